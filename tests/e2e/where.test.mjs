// Where clauses: whatever the clause and whatever is written, the official client holds what Postgres' SELECT … WHERE says.
import assert from "node:assert/strict"
import { test } from "node:test"
import { assertOrdered, follow, pgMajor, rowsBecome, sanitized, startBoth, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TYPE mood AS ENUM ('low', 'middle', 'high');
    CREATE DOMAIN amount AS numeric CHECK (VALUE < 1000000);
    CREATE TABLE things (id int PRIMARY KEY, k int, t text, n numeric(8,2), at timestamptz, tags text[], doc jsonb,
      m mood, done boolean NOT NULL DEFAULT false, f float8, d date, amount amount);
    CREATE TABLE parted (id int, region text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
    CREATE TABLE parted_us (n int, region text NOT NULL, id int NOT NULL);
    ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us');`,
})

// Each with what Postgres is asked; params stand for $1, $2 …
const clauses = [
  ["k = 3"],
  ["k = $1", "4"],
  ["k IN (1, 5, 7)"],
  ["k BETWEEN 2 AND 6 AND NOT done"],
  ["k > 7 OR t LIKE 'a%'"],
  ["t ILIKE '%B%'"],
  ["t IS NULL"],
  ["t = $1 OR n >= $2", "it's", "12.50"],
  ["n = 1.5"],
  ["at >= '2024-06-01' AND at < '2024-06-01'::timestamptz + interval '10 days'"],
  ["tags @> '{red}'"],
  ["tags && ARRAY['blue','green']"],
  ["'red' = ANY (tags)"],
  ["doc @> '{\"a\": 1}'"],
  ["doc ->> 'b' = 'x'"],
  ["(doc -> 'a')::int > 1"],
  ["m = 'high'"],
  ["m > 'low'"],
  ["m IN ('low', 'middle') AND done"],
  ["done"],
  ["f > 0.5 AND f <> 'NaN'"],
  ["d BETWEEN '2024-01-01' AND '2024-12-31'"],
  ["lower(t) || '!' = 'abc!'"],
  ["CASE WHEN done THEN k > 5 ELSE k < 3 END"],
  ["coalesce(t, 'none') <> 'abc'"],
  ["amount > 10"],
  ["(k, done) = (3, true)"],
  ["t IS DISTINCT FROM 'abc' AND k % 2 = 0"],
  ["length(t) > 3 AND starts_with(t, 'a')"],
  ["extract(month from d) = 6"],
]

const random = (() => {
  let state = 20240611n
  return (n) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn
    return Number((state >> 33n) % BigInt(n))
  }
})()
const one = (list) => list[random(list.length)]
const values = () => ({
  k: one([null, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
  t: one([null, "", "abc", "ABC", "it's", "abcd", "b\\", "ünï", "a%"]),
  n: one([null, "1.5", "1.50", "12.5", "-3", "NaN", "99999.99"]),
  at: one([null, "2024-06-01 00:00+00", "2024-06-05 12:00+02", "2024-06-11 00:00+00", "infinity"]),
  tags: one([null, "{}", "{red}", "{blue,red}", "{green,NULL}", '{"r,ed"}']),
  doc: one([null, '{"a": 1}', '{"a": 1.0, "b": "x"}', '{"a": 2}', "[1]", '{"b": null}']),
  m: one([null, "low", "middle", "high"]),
  done: one([true, false]),
  f: one([null, 0, 0.5, 0.75, "NaN", "-0"]),
  d: one([null, "2024-06-15", "2023-12-31", "2024-12-31", "infinity"]),
  amount: one([null, 5, 10.01, 500]),
})
const columns = Object.keys(values())

// One random statement; ids come from a small range, so that rows are met again.
async function write(client) {
  const id = random(60)
  const row = values()
  const kind = random(10)
  if (kind < 4) {
    await client.query(
      `INSERT INTO things (id, ${columns}) VALUES ($1, ${columns.map((_, i) => `$${i + 2}`)}) ON CONFLICT (id) DO NOTHING`,
      [id, ...Object.values(row)])
  } else if (kind < 7) {
    const changed = columns.filter(() => random(3) === 0)
    if (changed.length === 0) return
    await client.query(`UPDATE things SET ${changed.map((name, i) => `${name} = $${i + 2}`)} WHERE id = $1`,
      [id, ...changed.map((name) => row[name])])
  } else if (kind === 7) {
    await client.query("UPDATE things SET id = $2 WHERE id = $1 AND NOT EXISTS (SELECT FROM things WHERE id = $2)",
      [id, random(60)])
  } else if (kind === 8) {
    await client.query("DELETE FROM things WHERE id = $1", [id])
  } else {
    await client.query("UPDATE things SET k = (k + 1) % 10, done = NOT done WHERE id % 7 = $1", [id % 7])
  }
}

const asSql = ([where, ...params]) => `SELECT * FROM things WHERE ${params.reduce(
  (text, param, i) => text.replaceAll(`$${i + 1}`, `'${param.replaceAll("'", "''")}'`), where)}`
const asParams = ([where, ...params]) => ({
  table: "things", where, ...(params.length > 0 ? { params: Object.fromEntries(params.map((p, i) => [i + 1, p])) } : {}),
})

test("random writes: every client holds its clause's rows at every quiet point", async () => {
  const writer = await cluster.connect()
  const views = clauses.map((clause) => follow(copper, asParams(clause)))
  const lateViews = []
  for (let round = 0; round < (sanitized ? 4 : 10); round++) {
    for (let i = 0; i < 25; i++) {
      await writer.query("BEGIN")
      for (let n = random(8); n >= 0; n--) await write(writer)
      await writer.query(random(8) === 0 ? "ROLLBACK" : "COMMIT")
    }
    for (const [i, clause] of clauses.entries()) await rowsBecome(views[i], cluster, asSql(clause))
    if (round === 2) {
      // Others come when the logs are long already, and one restart is survived.
      await copper.stop()
      await copper.start()
      for (const clause of clauses) lateViews.push([follow(copper, asParams(clause)), clause])
    }
  }
  for (const [view, clause] of lateViews) await rowsBecome(view, cluster, asSql(clause))
  for (const view of views) {
    assert.equal(view.rotations, 0)
    assertOrdered(view)
    view.close()
  }
  for (const [view] of lateViews) view.close()
  await writer.end()
})

test("a row that enters is an insert, one that leaves a delete", async () => {
  await sql("DELETE FROM things")
  const view = follow(copper, { table: "things", where: "k = 77", columns: ["id", "k", "t"] })
  await view.upToDate()
  await sql("INSERT INTO things (id, k, t) VALUES (1, 76, 'out')")
  await sql("UPDATE things SET k = 77 WHERE id = 1")
  await sql("UPDATE things SET t = 'in' WHERE id = 1")
  await sql("UPDATE things SET k = 78 WHERE id = 1")
  await sql("UPDATE things SET k = 77, id = 2 WHERE id = 1")
  await sql("UPDATE things SET id = 3 WHERE id = 2")
  await sql("UPDATE things SET id = 4, k = 1 WHERE id = 3")
  await waitFor(() => view.changes().length >= 7)
  assert.deepEqual(view.changes().map(({ headers, value }) => [headers.operation, value.id, value.t]), [
    ["insert", 1, "out"],
    ["update", 1, "in"],
    ["delete", 1, undefined],
    ["insert", 2, "in"],
    ["delete", 2, undefined],
    ["insert", 3, "in"],
    ["delete", 3, undefined],
  ])
  view.close()
})

test("a clause in other words is the same shape; other constants are another", async () => {
  const handle = async (where, params = {}) =>
    (await copper.get({ table: "things", offset: "-1", where, ...params })).headers["electric-handle"]
  const first = await handle("k = 5 AND t = 'x'")
  assert.equal(await handle("(k=5) and (t  =  'x')"), first)
  assert.equal(await handle("k = $1 AND t = $2", { "params[1]": "5", "params[2]": "x" }), first)
  assert.notEqual(await handle("k = 6 AND t = 'x'"), first)
  const other = await copper.get({ table: "things", offset: "0_inf", handle: first, where: "k = 6 AND t = 'x'" })
  assert.equal(other.status, 409)
})

test("partitions: a clause is judged on a partition's rows in the order of its own columns", async () => {
  const view = follow(copper, { table: "parted", where: "n > 10 AND region <> 'xx'" })
  await view.upToDate()
  await sql("INSERT INTO parted VALUES (1, 'eu', 11), (2, 'us', 12), (3, 'us', 9)")
  await sql("UPDATE parted SET n = n + 2 WHERE id = 3")
  await sql("UPDATE parted SET region = 'us' WHERE id = 1")
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM parted WHERE n > 10"), 3)
  view.close()
})

test("a label that the shape did not know rotates it, and then it is known", async () => {
  const view = follow(copper, { table: "things", where: "m >= 'middle'", columns: ["id", "m"] })
  await view.upToDate()
  await sql("ALTER TYPE mood ADD VALUE 'highest'")
  await sql("INSERT INTO things (id, m) VALUES (500, 'highest')")
  await rowsBecome(view, cluster, "SELECT id, m FROM things WHERE m >= 'middle'")
  assert.ok(view.rows().some(({ id }) => id === 500))
  view.close()
})

test("a row for which the clause fails, as it would in Postgres, ends the shape and says so", async () => {
  await sql("DELETE FROM things")
  const params = { table: "things", where: "100 / k > 3", offset: "-1" }
  const { status, headers } = await copper.get(params)
  assert.equal(status, 200)
  await sql("INSERT INTO things (id, k) VALUES (1, 0)")
  await waitFor(async () =>
    (await copper.get({ ...params, offset: "0_inf", handle: headers["electric-handle"], live: "true" })).status === 409)
  assert.match(copper.log, /division by zero/)
  const again = await copper.get(params)
  assert.equal(again.status, 400, again.text)
  assert.match(again.text, /division by zero/)
})

test("whatever Postgres cannot answer for a row is the clause's fault: 400, not a 500 that a client repeats for ever", async () => {
  await sql(`CREATE TABLE posix (id int PRIMARY KEY, t text COLLATE "POSIX"); INSERT INTO posix VALUES (1, 'a')`)
  for (const [where, reason] of [
    ["10 / (id - 1) = 1", /division by zero/],
    ["chr(id - 1) = 'a'", /null character not permitted/],
    ...(pgMajor < 15 ? [] : [["repeat(t, 2000000000) = 'a'", /requested length too large/]]), // 14 calls that an internal error
    ["t::name = 'a'", /could not determine which collation/],
  ]) {
    const whole = await copper.get({ table: "posix", where, offset: "-1" })
    assert.equal(whole.status, 400, `${where}: ${whole.text}`)
    assert.match(whole.text, reason)
    const subset = await copper.get({ table: "posix", offset: "-1", subset__where: where })
    assert.equal(subset.status, 400, `${where}: ${subset.text}`)
    assert.match(subset.body.errors.subset.where[0], reason)
  }
})

test("refusals: 400 with the place as Electric gives it and Postgres' words", async () => {
  for (const [where, reason, params] of [
    ["id = = 1", /^At location 20: syntax error at or near "="$/],
    ["nope = 1", /^At location 0: unknown reference nope$/],
    ["k = 1 and things.zz = 1", /^At location 10: unknown reference things.zz$/],
    ["k = 'x'", /^At location 4: invalid input syntax for type integer: "x"$/],
    ["k", /argument of WHERE must be type boolean, not type integer/],
    ["count(*) > 1", /aggregate functions are not allowed in WHERE/],
    ["at > now()", /now/],
    ["k IN (SELECT 1)", /^Subqueries are not supported$/],
    ["k = 1; DROP TABLE things", /syntax error|one expression|end/],
    ["k = 1 LIMIT 1", /syntax error/],
    ["k = $2", /^At location 4: parameter \$2 was not provided$/, { "params[1]": "1" }],
    ["amount = n::public.amount", /^At location \d+: casts to the domain "public.amount" are not supported.* Cast to numeric, the type under it$/],
    ["m = 'sad'", /invalid input value for enum .*mood: "sad"/],
    ["t > 1", /operator does not exist: text > integer/],
    ["k = ", /^At location 19: syntax error at end of input$/],
    ["k = 1 /* ", /unterminated/],
  ]) {
    const { status, body, text } = await copper.get({ table: "things", offset: "-1", where, ...params })
    assert.equal(status, 400, `${where}: ${text}`)
    assert.equal(body.errors.where.length, 1, text)
    assert.match(body.errors.where[0], reason, where)
  }
  const gap = await copper.get({ table: "things", offset: "-1", where: "k = $1", "params[2]": "1" })
  assert.deepEqual(gap.body.errors, { params: ["Parameters must be numbered sequentially, starting from 1"] })
  // Nothing that a client writes is pasted into a query.
  const { status } = await copper.get({ table: "things", offset: "-1", where: "t = $1", "params[1]": "'; DROP TABLE things; --\\" })
  assert.equal(status, 200)
  assert.equal((await sql("SELECT count(*) FROM things")).length, 1)
})
