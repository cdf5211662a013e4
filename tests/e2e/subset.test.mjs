// Subset snapshots: some of a shape's rows on request, GET and POST; with the shape's log they make up the table, whatever
// is written meanwhile. The official client's requestSnapshot and fetchSnapshot, and what TanStack DB asks of them.
import assert from "node:assert/strict"
import { readdirSync } from "node:fs"
import http from "node:http"
import { test } from "node:test"
import { ShapeStream } from "@electric-sql/client"
import { follow, rowsBecome, sanitized, startBoth, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TYPE mood AS ENUM ('low', 'middle', 'high');
    CREATE TABLE things (id int PRIMARY KEY, k int NOT NULL, t text, m mood, doc json, secret text DEFAULT 'none');
    INSERT INTO things SELECT n, n % 10, 'thing ' || n, (ARRAY['low','middle','high']::mood[])[n % 3 + 1], '{}'
      FROM generate_series(1, 100) n;
    CREATE TABLE moving (id int PRIMARY KEY, k int NOT NULL, t text);
    INSERT INTO moving SELECT n, n % 10, 'row ' || n FROM generate_series(1, 200) n;
    CREATE TABLE keyless (a int, b text);
    INSERT INTO keyless VALUES (1, NULL), (2, 'x');
    CREATE TABLE wide (id int PRIMARY KEY, filler text);`,
})

const post = async (params, body) => {
  const response = await fetch(`${copper.shapeUrl}?${new URLSearchParams(params)}`, {
    method: "POST", body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json" },
  })
  const text = await response.text()
  return { status: response.status, headers: Object.fromEntries(response.headers), text, body: JSON.parse(text) }
}
const things = { table: "things", offset: "-1", log: "changes_only" }
const ids = (answer) => answer.body.data.map(({ value }) => Number(value.id))

test("an answer: metadata, items with the snapshot's mark, headers", async () => {
  const before = BigInt((await sql("SELECT pg_current_wal_lsn() - '0/0' AS lsn"))[0].lsn)
  const answer = await copper.get({ ...things, columns: "id,t,m", subset__where: "id = 7" })
  assert.equal(answer.status, 200)
  const { metadata, data } = answer.body
  assert.deepEqual(Object.keys(metadata).sort(), ["database_lsn", "snapshot_mark", "xip_list", "xmax", "xmin"])
  for (const name of ["database_lsn", "xmax", "xmin"]) assert.match(metadata[name], /^\d+$/)
  assert.ok(BigInt(metadata.database_lsn) >= before)
  assert.ok(BigInt(metadata.xmin) <= BigInt(metadata.xmax))
  assert.deepEqual(metadata.xip_list, [])
  assert.ok(Number.isInteger(metadata.snapshot_mark) && metadata.snapshot_mark >= 0 && metadata.snapshot_mark < 2 ** 31)
  assert.deepEqual(data, [{
    key: '"public"."things"/"7"',
    value: { id: "7", m: "middle", t: "thing 7" },
    headers: { operation: "insert", relation: ["public", "things"], snapshot_mark: metadata.snapshot_mark },
  }])
  assert.equal(answer.headers["content-type"], "application/json; charset=utf-8")
  assert.equal(answer.headers["cache-control"], "no-cache")
  assert.equal(answer.headers["electric-snapshot"], "true")
  assert.equal(answer.headers["electric-offset"], "0_0")
  assert.match(answer.headers["electric-handle"], /^\d+-\d+$/)
  assert.deepEqual(Object.keys(JSON.parse(answer.headers["electric-schema"])).sort(), ["id", "m", "t"])
  assert.equal(answer.headers.etag, undefined)
  // Without it, clients up to 1.5.26 would ask ahead for the same subset once more.
  assert.equal(answer.headers["electric-up-to-date"], "")
  const again = await copper.get({ ...things, columns: "id,t,m", subset__where: "id = 7" })
  assert.notEqual(again.body.metadata.snapshot_mark, metadata.snapshot_mark)
  assert.equal(again.headers["electric-handle"], answer.headers["electric-handle"])
})

test("a client that hangs up ends its query at the server, whether it runs or still waits for a connection", async () => {
  assert.equal((await copper.get({ table: "wide", offset: "-1", log: "changes_only", subset__where: "id = 1" })).status, 200)
  const locked = await cluster.connect()
  const waiting = async () =>
    Number((await sql("SELECT count(*) AS n FROM pg_locks WHERE relation = 'wide'::regclass AND NOT granted"))[0].n)
  await locked.query("BEGIN; LOCK TABLE wide IN ACCESS EXCLUSIVE MODE")
  // More than there are connections.
  const clients = Array.from({ length: 40 }, () => new AbortController())
  const asked = clients.map(({ signal }, i) =>
    fetch(`${copper.shapeUrl}?${new URLSearchParams({ table: "wide", offset: "-1", log: "changes_only", subset__where: `id = ${i}` })}`, { signal }))
  const began = Date.now()
  await waitFor(async () => (await waiting()) >= 5, { what: "queries that wait" })
  for (const client of clients) client.abort()
  for (const answer of await Promise.allSettled(asked)) assert.equal(answer.status, "rejected")
  await waitFor(async () => (await waiting()) === 0, { what: "the end of the queries" })
  // Not because they had waited for the lock long enough.
  assert.ok(Date.now() - began < 20_000)
  await locked.query("ROLLBACK")
  await locked.end()
  assert.equal((await copper.get({ table: "wide", offset: "-1", log: "changes_only", subset__where: "id = 1" })).status, 200)
})

test("a query that is cancelled in Postgres, as one that takes too long is, ends in a 503 that says so", async () => {
  const locked = await cluster.connect()
  await locked.query("BEGIN; LOCK TABLE wide IN ACCESS EXCLUSIVE MODE")
  const answer = copper.get({ table: "wide", offset: "-1", log: "changes_only", subset__where: "id = 1" })
  await waitFor(async () =>
    (await sql("SELECT pg_cancel_backend(pid) FROM pg_locks WHERE relation = 'wide'::regclass AND NOT granted")).length, { what: "the query" })
  const { status, headers, body } = await answer
  await locked.query("ROLLBACK")
  await locked.end()
  assert.equal(status, 503)
  assert.equal(headers["retry-after"], "10")
  assert.match(body.message, /^The subset could not be read, please retry: canceling statement due to user request$/)
  assert.match(copper.log, /a subset's query was ended handle=/)
})

test("transactions under way are listed, and their rows are not there", async () => {
  const writer = await cluster.connect()
  await writer.query("BEGIN; INSERT INTO things VALUES (1000, 1, 'not yet')")
  const { rows: [{ xid }] } = await writer.query("SELECT pg_current_xact_id() AS xid")
  const during = await copper.get({ ...things, subset__where: "id >= 1000" })
  assert.deepEqual(during.body.data, [])
  assert.ok(during.body.metadata.xip_list.includes(xid) || BigInt(xid) >= BigInt(during.body.metadata.xmax))
  await writer.query("COMMIT")
  await writer.end()
  assert.deepEqual(ids(await copper.get({ ...things, subset__where: "id >= 1000" })), [1000])
  await sql("DELETE FROM things WHERE id >= 1000")
})

test("GET and POST, in both forms of its body, ask the same", async () => {
  const cases = [
    [{}, {}, 100],
    [{ where: "k = 3" }, {}, 10],
    [{ where: "k = $1 AND t > $2", params: { 1: "3", 2: "thing 5" } }, {}, 5],
    [{ where: "id = ANY($1)", params: { 1: "{5,3,999}" }, order_by: "id" }, {}, 2],
    [{ where: "m = $1", params: { 1: "high" } }, {}, 33],
    [{ where: "m IN ('high', 'low')" }, {}, 66],
    [{ where: "t ILIKE $1", params: { 1: "%2" } }, {}, 10],
    [{ where: "t = $1::text", params: { 1: "thing 1" } }, {}, 1],
    [{ order_by: "k DESC, id ASC", limit: 7, offset: 8 }, {}, 7],
    [{ order_by: '"t" DESC NULLS LAST', limit: 1 }, {}, 1],
    [{ order_by: "id", limit: 5 }, { where: "k = 1 OR k = 2", columns: "id,t" }, 5],
    [{ where: "id < 50 OR true" }, { where: "k = 1 OR k = 2" }, 20],
    [{ where: "id = 31" }, { where: "k = $1", "params[1]": "1" }, 1],
    [{ where: "id = 32" }, { where: "k = $1", "params[1]": "1" }, 0],
  ]
  for (const [subset, shape, count] of cases) {
    const params = { ...things, ...shape }
    const query = Object.entries(subset).map(([name, value]) =>
      [`subset__${name}`, typeof value === "object" ? JSON.stringify(value) : value])
    const answers = [
      await copper.get({ ...params, ...Object.fromEntries(query), ...(query.length ? {} : { subset__where: "" }) }),
      await post(params, query.length ? subset : { subset }),
      await post(params, { subset }),
    ]
    for (const answer of answers) {
      assert.equal(answer.status, 200, answer.text.slice(0, 500))
      assert.equal(answer.body.data.length, count, JSON.stringify([subset, shape]))
      assert.equal(answer.headers["cache-control"], "no-cache")
      const inOrder = subset.order_by ? (list) => list : (list) => list.sort((a, b) => a - b)
      assert.deepEqual(inOrder(ids(answer)), inOrder(ids(answers[0])))
    }
  }
  // What the body says about the shape counts as well, beside a subset of its own.
  assert.deepEqual(ids(await post({ offset: "-1" }, { table: "things", where: "k = 1", subset: { where: "id < 20", order_by: "id" } })),
    [1, 11])
  assert.deepEqual((await copper.get({ table: "keyless", offset: "-1", subset__where: "a > 0", subset__order_by: "a" })).body.data
    .map(({ key }) => key), ['"public"."keyless"/"1"/_', '"public"."keyless"/"2"/"x"'])
})

test("a POST without a subset asks for the log, and no cache keeps the answer", async () => {
  const asked = { table: "things", offset: "-1", columns: "id" }
  const viaGet = await copper.get(asked)
  for (const body of ["", "{}", { columns: ["id"] }]) {
    const answer = await post(asked, body)
    assert.equal(answer.status, 200)
    assert.deepEqual(answer.body, viaGet.body)
    assert.equal(answer.headers["cache-control"], "no-cache")
  }
  const handle = viaGet.headers["electric-handle"]
  const live = post({ ...asked, offset: "0_inf", handle, live: "true" }, "")
  await sql("UPDATE things SET id = 101 WHERE id = 100")
  assert.equal((await live).headers["cache-control"], "no-cache")
  assert.deepEqual((await live).body.filter(({ value }) => value).map(({ headers }) => headers.operation), ["delete", "insert"])
  await sql("UPDATE things SET id = 100 WHERE id = 101")
})

test("HEAD says how long the answer would be", async () => {
  const params = { ...things, subset__where: "id = 1" }
  const [head, get] = [await copper.get(params, { method: "HEAD" }), await copper.get(params)]
  assert.equal(head.status, 200)
  assert.equal(head.text, "")
  assert.ok(Math.abs(Number(head.headers["content-length"]) - get.text.length) < 12)
})

test("every refusal: its status, its body, and that nobody keeps it", async () => {
  const invalid = (errors) => ({ message: "Invalid request", errors })
  const subset = (errors) => invalid({ subset: errors })
  const long = `t = '${"a".repeat(2_000_000)}'`
  const cases = [
    [{ limit: 1 }, subset({ order_by: ["order_by is required when limit or offset is present"] })],
    [{ offset: 0 }, subset({ order_by: ["order_by is required when limit or offset is present"] })],
    [{ limit: 0, order_by: "id" }, subset({ limit: ["must be greater than 0"] })],
    [{ offset: -1, order_by: "id" }, subset({ offset: ["must be greater than or equal to 0"] })],
    [{ limit: "many", order_by: "id" }, subset({ limit: ["is invalid"] })],
    [{ where: "nope = 1" }, subset({ where: ["At location 0: unknown reference nope"] })],
    [{ where: "k = 1 AND" }, subset({ where: ["At location 24: syntax error at end of input"] })],
    [{ where: "k" }, /argument of WHERE must be type boolean/],
    [{ where: "m = 'furious'" }, /furious/],
    [{ where: "m = ANY($1)", params: { 1: "{furious}" } }, /furious/],
    [{ where: "id IN (SELECT id FROM moving)" }, /Subqueries are not allowed in subsets/],
    [{ where: "k = $1", params: { 2: "5" } }, subset({ params: ["Parameters must be numbered sequentially, starting from 1"] })],
    [{ where: "1 / (id - 5) > 0" }, subset({ where: ["division by zero"] })],
    [{ order_by: "nope" }, subset({ order_by: ["At location 18: unknown reference nope"] })],
    [{ order_by: "CAST((SELECT version()) AS int) DESC" }, /TypeCast expressions are not allowed in ORDER BY/],
    [{ order_by: "pg_sleep(5)" }, /FuncCall expressions are not allowed in ORDER BY/],
    [{ order_by: "id; DROP TABLE things" }, /syntax error/],
    [{ order_by: "id LIMIT 1" }, subset({ order_by: ["only columns may follow ORDER BY"] })],
    [{ order_by: "doc" }, subset({ order_by: ["could not identify an ordering operator for type json"] })],
  ]
  for (const [parts, expected] of cases) {
    for (const ask of ["get", "post"]) {
      const query = Object.entries(parts).map(([name, value]) =>
        [`subset__${name}`, typeof value === "object" ? JSON.stringify(value) : value])
      const answer = ask === "get" ? await copper.get({ ...things, ...Object.fromEntries(query) }) : await post(things, parts)
      const where = `${ask} ${JSON.stringify(parts)}: ${answer.text}`
      assert.equal(answer.status, 400, where)
      if (expected instanceof RegExp) {
        assert.equal(answer.body.message, "Invalid request", where)
        assert.match(Object.values(answer.body.errors.subset)[0][0], expected, where)
      } else {
        assert.deepEqual(answer.body, expected, where)
      }
      assert.equal(answer.headers["cache-control"], ask === "get" ? "no-store" : "no-cache", where)
    }
  }
  // The shape itself comes first.
  assert.deepEqual((await copper.get({ table: "things", offset: "-1", where: "nope = 1", subset__where: "nope = 1" })).body,
    invalid({ where: ["At location 0: unknown reference nope"] }))
  assert.deepEqual((await copper.get({ table: "things", subset__limit: "1" })).body, invalid({ offset: ["can't be blank"] }))
  assert.deepEqual((await copper.get({ ...things, subset: "x" })).body, invalid({ subset: ["is invalid"] }))
  // The body.
  for (const body of ["[]", '"where"', "5"]) {
    const answer = await post(things, body)
    assert.deepEqual([answer.status, answer.body], [400, { error: "Request body must be a JSON object" }])
  }
  const broken = await post(things, "{where}")
  assert.deepEqual([broken.status, broken.body.error], [400, "Invalid JSON in request body"])
  assert.equal((await post(things, { where: long })).status, 413)
  const url = new URLSearchParams({ ...things, subset__where: long.slice(0, 70_000) })
  assert.equal((await fetch(`${copper.shapeUrl}?${url}`)).status, 414)
  // Another shape's handle, or nobody's: the shape that is meant.
  const { headers } = await copper.get({ ...things, subset__where: "id = 1" })
  const other = await copper.get({ ...things, handle: "1-1", offset: "0_0", subset__where: "id = 1" })
  assert.deepEqual([other.status, other.headers["electric-handle"]], [409, headers["electric-handle"]])
})

test("queryable_columns: what a client may name in a subset, and what it gets", async () => {
  const params = { ...things, queryable_columns: "id,t" }
  const answer = await copper.get({ ...params, subset__where: "t = 'thing 5'", subset__order_by: "t" })
  assert.deepEqual(answer.body.data.map(({ value }) => value), [{ id: "5", t: "thing 5" }])
  assert.deepEqual((await copper.get({ ...params, columns: "id", subset__where: "t = 'thing 5'" })).body.data[0].value, { id: "5" })
  const refused = async (more, errors) => assert.deepEqual((await copper.get({ ...params, ...more })).body.errors, errors)
  await refused({ subset__where: "secret = 'none'" }, { subset: { where: ["unknown reference secret"] } })
  await refused({ subset__order_by: "secret" }, { subset: { order_by: ["unknown reference secret"] } })
  const handle = answer.headers["electric-handle"]
  await refused({ handle, offset: "0_inf", subset__where: "secret = 'none'" }, { subset: { where: ["unknown reference secret"] } })
  await refused({ columns: "id,secret" }, { columns: ["The following columns are not found on the table: secret"] })
  await refused({ queryable_columns: "t" },
    { queryable_columns: ["The list of queryable columns must include all primary key columns, missing: id"] })
})

test("offset=now: the log is read on from before the subset; elsewhere from where the client stands", async () => {
  const params = { table: "things", log: "changes_only", columns: "id,k" }
  const start = await copper.get({ ...params, offset: "now", subset__where: "id = 1" })
  const handle = start.headers["electric-handle"]
  const from = start.headers["electric-offset"]
  await sql("UPDATE things SET k = k + 100 WHERE id <= 3")
  const live = await copper.get({ ...params, handle, offset: from, live: "true" })
  assert.deepEqual(live.body.filter(({ value }) => value).map(({ value }) => value.id), ["1", "2", "3"])
  // A subset asked for meanwhile must not carry the client past what it has not read.
  const during = await copper.get({ ...params, handle, offset: from, subset__where: "id = 1" })
  assert.equal(during.headers["electric-offset"], from)
  assert.equal(during.body.data[0].value.k, "101")
  await sql("UPDATE things SET k = k - 100 WHERE id <= 3")
})

// A client that holds what it was told of a table, by subsets and by the log.
function partial(table, options = {}) {
  return follow(copper, { table }, { log: "changes_only", ...options })
}

test("rows loaded bit by bit while the table is written equal the table in the end", async () => {
  let state = Number(process.env.SUBSET_SEED ?? 20240611)
  const random = (n) => ((state = (state * 1103515245 + 12345) % 2147483648), Math.floor(state / 65536) % n)
  const views = [
    partial("moving"),
    partial("moving", { offset: "now" }),
    partial("moving", { subsetMethod: "POST" }),
    partial("moving", { offset: "now", subsetMethod: "POST", liveSse: false }),
  ]
  let writing = true
  const writers = [0, 1, 2].map(async (n) => {
    const client = await cluster.connect()
    while (writing) {
      await client.query("BEGIN")
      for (let i = random(5); i >= 0; i--) {
        const id = 1 + random(250)
        const kind = random(10)
        if (kind < 6) await client.query("UPDATE moving SET k = (k + 1) % 10, t = t || $2 WHERE id = $1", [id, String(n)])
        else if (kind < 8) await client.query("INSERT INTO moving VALUES ($1, $2, 'new') ON CONFLICT DO NOTHING", [id, random(10)])
        else await client.query("DELETE FROM moving WHERE id = $1", [id])
      }
      await client.query(random(6) === 0 ? "ROLLBACK" : "COMMIT").catch(() => {})
    }
    await client.end()
  }).map((each) => each.catch((error) => {
    if (error.code !== "40P01") throw error // a deadlock of the writers is none of ours
  }))
  await Promise.all(views.map((view) => view.upToDate()))
  const rounds = Number(process.env.SUBSET_ROUNDS ?? (sanitized ? 6 : 12))
  for (let round = 0; round < rounds; round++) {
    await Promise.all(views.map((view, i) => {
      const asked = [
        { where: `id > ${random(250)}`, orderBy: "id", limit: 1 + random(60) },
        { where: "k = $1", params: { 1: String(random(10)) } },
        { where: "id = ANY($1)", params: { 1: `{${[random(250), random(250), random(250)]}}` }, method: random(2) ? "GET" : "POST" },
        { orderBy: "t DESC NULLS LAST, id", limit: 20, offset: random(40) },
      ]
      return view.stream.requestSnapshot(asked[(round + i) % asked.length])
    }))
  }
  // Everything, part after part, while the writers go on.
  for (const from of [0, 50, 100, 150, 200]) {
    await Promise.all(views.map((view) => view.stream.requestSnapshot({ where: `id > ${from} AND id <= ${from + 50}` })))
  }
  writing = false
  await Promise.all(writers)
  for (const view of views) {
    await rowsBecome(view, cluster, "SELECT * FROM moving")
    assert.equal(view.rotations, 0)
    view.close()
  }
})

test("the official client asks once for each snapshot, also before its stream has begun", async () => {
  for (const offset of ["-1", "now"]) {
    let asked = 0
    const stream = new ShapeStream({
      url: copper.shapeUrl, params: { table: "things" }, log: "changes_only", offset,
      fetchClient: (...request) => (asked++, fetch(...request)),
    })
    const { data } = await stream.fetchSnapshot({ where: "id = 5" })
    assert.equal(data.length, 1)
    // What it asks for ahead it asks for at once; the next answer comes after that one's.
    await copper.get({ ...things, subset__where: "id = 5" })
    assert.equal(asked, 1)
  }
  for (const method of ["GET", "POST"]) {
    const asked = []
    const view = partial("things", {
      offset: "now",
      subsetMethod: method,
      fetchClient: (url, init) => {
        const { searchParams } = new URL(url)
        if (init?.method === "POST" || [...searchParams.keys()].some((name) => name.startsWith("subset__"))) asked.push(String(url))
        return fetch(url, init)
      },
    })
    await view.upToDate()
    const { data } = await view.stream.requestSnapshot({ where: "k = 4", orderBy: "id", limit: 3 })
    assert.deepEqual(data.map(({ value }) => value.id), [4, 14, 24])
    const expressed = await view.stream.fetchSnapshot({
      whereExpr: { type: "func", name: "eq", args: [{ type: "ref", column: "k" }, { type: "val", paramIndex: 1 }] },
      params: { 1: "5" },
      orderByExpr: [{ column: "id", direction: "desc", nulls: "last" }],
      limit: 2,
    })
    assert.deepEqual(expressed.data.map(({ value }) => value.id), [95, 85])
    assert.equal(asked.length, 2, asked.join("\n"))
    view.failIfGivenUp()
    view.close()
  }
})

test("TanStack DB, on demand: pages by cursor, ties and all, from a stream that starts now", async () => {
  const view = partial("things", { offset: "now" })
  await view.upToDate()
  const orderBy = '"k" NULLS FIRST,"id" DESC NULLS FIRST'
  await view.stream.requestSnapshot({ where: "true = true", orderBy, limit: 12, params: {} })
  assert.equal(view.rows().length, 12)
  for (let page = 0; page < 8; page++) {
    const last = Math.max(...view.rows().map(({ k }) => k))
    // What was loaded is brought up to date first, then the next page and all that tie with the last row, at once.
    await view.stream.forceDisconnectAndRefresh()
    await Promise.all([
      view.stream.requestSnapshot({ where: '"k" = $1', orderBy, params: { 1: String(last) } }),
      view.stream.requestSnapshot({ where: '"k" > $1', orderBy, limit: 15, params: { 1: String(last) } }),
    ])
    await sql("UPDATE things SET t = t || '.' WHERE id % 10 = $1", [page])
  }
  await rowsBecome(view, cluster, "SELECT * FROM things")
  const compiled = [
    ['"k" = $1 AND "t" LIKE $2', { 1: "3", 2: "thing 1%" }, 1],
    ['("k" = $1) OR ("k" = $2) OR ("id" = $3)', { 1: "3", 2: "4", 3: "5" }, 21],
    ['"id" = ANY($1)', { 1: "{1,2,3}" }, 3],
    ['"t" IS NULL', {}, 0],
    ["NOT (\"t\" = $1)", { 1: "" }, 100],
    ['LOWER("t") = $1', { 1: "nothing" }, 0],
    ["false", {}, 0],
  ]
  for (const [where, params, count] of compiled) {
    const { data } = await view.stream.fetchSnapshot({ where, params, method: "POST" })
    assert.equal(data.length, count, where)
  }
  view.failIfGivenUp()
  view.close()
})

test("TanStack DB, progressive: what is looked at comes first, the whole shape behind it", async () => {
  await sql("INSERT INTO wide SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 20000) n")
  const view = follow(copper, { table: "wide" })
  const { data } = await view.stream.fetchSnapshot({ where: '"id" <= $1', params: { 1: "10" }, orderBy: '"id"' })
  assert.deepEqual(data.map(({ value }) => value.id), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  await rowsBecome(view, cluster, "SELECT * FROM wide")
  view.close()
})

test("a large subset goes through a file: a slow reader holds neither memory nor a connection", async () => {
  await copper.get({ table: "wide", offset: "-1", subset__where: "id = 1" })
  const before = copper.memory("RssAnon")
  const slow = []
  for (let i = 0; i < 6; i++) {
    slow.push(await new Promise((resolve, reject) => {
      http.get(`${copper.shapeUrl}?table=wide&offset=-1&subset__where=`, (response) => {
        response.pause()
        resolve(response)
      }).on("error", reject)
    }))
  }
  // All of them have their head: the rows are read, and nobody of the pool waits.
  assert.ok(slow.every((response) => Number(response.headers["content-length"]) > 25_000_000))
  if (!sanitized) assert.ok(copper.memory("RssAnon") - before < 20 * 1024 * 1024)
  assert.equal((await copper.get({ ...things, subset__where: "id = 1" })).status, 200)
  assert.deepEqual(readdirSync(copper.storageDir).filter((name) => name.startsWith("spool-")), [])
  const bodies = await Promise.all(slow.map(async (response) => {
    const parts = []
    for await (const part of response) parts.push(part)
    return JSON.parse(Buffer.concat(parts))
  }))
  for (const { data } of bodies) assert.equal(data.length, 20000)
})

test("a reader that leaves, and a table that changes its columns, do no harm", async () => {
  const abort = new AbortController()
  const left = copper.get({ table: "wide", offset: "-1", subset__where: "filler LIKE '%zz%' OR id > 5" }, { signal: abort.signal })
  abort.abort()
  await assert.rejects(left)
  await sql("CREATE TABLE changing (id int PRIMARY KEY, a int); INSERT INTO changing VALUES (1, 1)")
  const first = await copper.get({ table: "changing", offset: "-1", subset__where: "a = 1" })
  assert.equal(first.body.data.length, 1)
  await sql("ALTER TABLE changing ALTER COLUMN a TYPE text")
  const answer = await waitFor(async () => {
    const again = await copper.get({ table: "changing", offset: "-1", subset__where: "a = '1'" })
    if (again.status !== 200) assert.ok([400, 503].includes(again.status), again.text)
    return again.status === 200 && again
  }, { what: "the new table's subset" })
  assert.equal(JSON.parse(answer.headers["electric-schema"]).a.type, "text")
  assert.notEqual(answer.headers["electric-handle"], first.headers["electric-handle"])
})

test("without the database a subset is refused for now, and there again with it", async () => {
  const known = await copper.get({ ...things, subset__where: "id = 1" })
  await cluster.stop()
  const handle = known.headers["electric-handle"]
  const refused = await waitFor(async () => {
    const answer = await copper.get({ ...things, handle, offset: "0_inf", subset__where: "id = 1" })
    return answer.status === 503 && answer
  }, { what: "503" })
  assert.ok(Number(refused.headers["retry-after"]) > 0)
  assert.equal(refused.headers["cache-control"], "no-store")
  await cluster.start()
  await waitFor(async () => (await copper.get({ ...things, subset__where: "id = 1" })).status === 200, { what: "the subset" })
})
