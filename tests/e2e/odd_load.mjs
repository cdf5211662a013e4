// odd_load.mjs: tables whose names and texts are hard to quote, shapes of them, and random transactions.
export const schema = `
  CREATE TABLE odd (id int PRIMARY KEY, n int NOT NULL, t text, b bytea, j jsonb, a text[], x numeric);
  CREATE TABLE "Qu""o/te.d ta,b" ("k/1" text, "K 2" int, "va""l" text, n int, PRIMARY KEY ("K 2", "k/1"));
  CREATE TABLE keyless (a int, t text, n int);
  CREATE TABLE large (id int PRIMARY KEY, body text, n int NOT NULL);
  ALTER TABLE large ALTER body SET STORAGE EXTERNAL;
  CREATE TABLE leaves (id int, region int, t text, n int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
  CREATE TABLE leaves_0 PARTITION OF leaves FOR VALUES IN (0);
  CREATE TABLE leaves_rest PARTITION OF leaves DEFAULT;
  CREATE SEQUENCE counter;
  INSERT INTO odd SELECT i, i % 12, 'first ' || i FROM generate_series(1, 60) i;
  INSERT INTO "Qu""o/te.d ta,b" SELECT 'k/' || i, i, 'v"' || i, i FROM generate_series(1, 30) i;
  INSERT INTO keyless SELECT nextval('counter'), 'first', i FROM generate_series(1, 20) i;
  INSERT INTO large SELECT i, repeat('x', 300 * i), i FROM generate_series(1, 20) i;
  INSERT INTO leaves SELECT i, i % 3, 'first', i FROM generate_series(1, 30) i;`

const quoted = '"Qu""o/te.d ta,b"'
const tables = ["odd", quoted, "keyless", "large", "leaves"]

// [parameters, the query with the same rows; null: there is none, its rows are not whole]
export const definitions = [
  [{ table: "odd" }, "SELECT * FROM odd"],
  [{ table: "odd", columns: "id,t,n" }, "SELECT id, t, n FROM odd"],
  [{ table: "public.odd", replica: "full" }, "SELECT * FROM odd"],
  [{ table: "odd", where: "n > 5" }, "SELECT * FROM odd WHERE n > 5"],
  [{ table: "odd", columns: "id,n,t", where: "t LIKE $1 OR id < $2", "params[1]": "a%", "params[2]": "10" },
    "SELECT id, n, t FROM odd WHERE t LIKE 'a%' OR id < 10"],
  [{ table: "odd", where: "t IS NULL AND n IN (1,2,3,4)", replica: "full" }, "SELECT * FROM odd WHERE t IS NULL AND n IN (1,2,3,4)"],
  [{ table: quoted }, `SELECT * FROM ${quoted}`],
  [{ table: quoted, columns: '"K 2","k/1","va""l"', where: '"va""l" IS NOT NULL', replica: "full" },
    `SELECT "K 2", "k/1", "va""l" FROM ${quoted} WHERE "va""l" IS NOT NULL`],
  [{ table: "keyless" }, "SELECT * FROM keyless"],
  [{ table: "keyless", columns: "a,n", where: "n < 500" }, "SELECT a, n FROM keyless WHERE n < 500"],
  [{ table: "large" }, "SELECT * FROM large"],
  [{ table: "large", columns: "id,n", replica: "full" }, "SELECT id, n FROM large"],
  [{ table: "leaves" }, "SELECT * FROM leaves"],
  [{ table: "leaves", where: "region = 1", columns: "id,region,t" }, "SELECT id, region, t FROM leaves WHERE region = 1"],
  [{ table: "leaves_0" }, "SELECT * FROM leaves_0"],
  [{ table: "odd", log: "changes_only" }, null],
  [{ table: "leaves", log: "changes_only", replica: "full" }, null],
]

// One that is most likely new: its snapshot is made now.
export function freshDefinition(rng) {
  const where = `id > -${1 + rng.below(10_000)}`
  const table = rng.pick(["odd", "large", "leaves"])
  return [{ table, where, ...(rng.likely(0.3) ? { replica: "full" } : {}) }, `SELECT * FROM ${table} WHERE ${where}`]
}

const literal = (text) => (text === null ? "NULL" : `'${text.replaceAll("'", "''")}'`)
const texts = ["a", "", "it's", '"', 'a"b\\"c', "\\", "line\nbreak\r\n", "\t\u0001\u001f\u007f", "ünï→語🙂", "\u2028\ufeff", "a/b//c", "{\"}",
  "],[", "data: x\n\n", "</script>", "%00%zz", "null", "a,b;c", "$1", "'; --"]

function someText(rng) {
  if (rng.likely(0.15)) return null
  if (rng.likely(0.1)) return rng.pick(texts).repeat(1 + rng.below(40))
  return rng.pick(texts) + (rng.likely(0.5) ? String(rng.below(100)) : "")
}

// As SQL: most are short, some are longer than a chunk, a few much longer.
function largeText(rng) {
  const n = rng.likely(0.7) ? rng.below(500) : rng.likely(0.9) ? rng.below(9000) : rng.below(120_000)
  return `repeat(${literal(rng.pick(["x", '"', "é", "\\"]))}, ${n})`
}

const onOdd = (rng, id, n) => {
  const t = literal(someText(rng))
  return rng.pick([
    `INSERT INTO odd (id, n, t) VALUES (${id}, ${n}, ${t}) ON CONFLICT (id) DO UPDATE SET n = excluded.n, t = excluded.t`,
    `UPDATE odd SET n = ${n} WHERE id = ${id}`,
    `UPDATE odd SET n = n + 1 WHERE id BETWEEN ${id} AND ${id + 8}`,
    `UPDATE odd SET t = ${t}, b = ${rng.likely(0.3) ? "NULL" : `'\\x${rng.below(1e6).toString(16).padStart(6, "0")}'`} WHERE id = ${id}`,
    `UPDATE odd SET j = to_jsonb(${t}::text), a = ARRAY[${t}, NULL, ''], x = ${rng.pick(["'NaN'", "1e20", "-0.00", "NULL", n])} WHERE id = ${id}`,
    `DELETE FROM odd WHERE id BETWEEN ${id} AND ${id + 1}`,
    `UPDATE odd SET id = id + 1000 WHERE id = ${id}`,
    `UPDATE odd SET id = id - 1000 WHERE id = ${id + 1000}`,
    `DELETE FROM odd WHERE id = ${id}; INSERT INTO odd (id, n, t) VALUES (${id}, ${n}, ${t}); UPDATE odd SET n = n + 1 WHERE id = ${id}`,
  ])
}

const onQuoted = (rng, id, n) => {
  const key = literal(someText(rng) ?? "k")
  const t = literal(someText(rng))
  return rng.pick([
    `INSERT INTO ${quoted} VALUES (${key}, ${id}, ${t}, ${n}) ON CONFLICT DO NOTHING`,
    `UPDATE ${quoted} SET "va""l" = ${t} WHERE "K 2" = ${id}`,
    `UPDATE ${quoted} SET "k/1" = ${key} WHERE "K 2" = ${id}`,
    `UPDATE ${quoted} SET n = ${n}, "va""l" = ${t} WHERE "K 2" < ${id} AND "K 2" > ${id - 5}`,
    `DELETE FROM ${quoted} WHERE "K 2" = ${id}`,
  ])
}

const onKeyless = (rng, id, n) => rng.pick([
  `INSERT INTO keyless VALUES (nextval('counter'), ${literal(someText(rng))}, ${n})`,
  `UPDATE keyless SET n = ${n} WHERE a % 30 = ${id % 30}`,
  `DELETE FROM keyless WHERE a % 30 = ${id % 30}`,
])

const onLarge = (rng, id, n) => {
  const row = 1 + (id % 25)
  return rng.pick([
    `INSERT INTO large VALUES (${row}, ${largeText(rng)}, ${n}) ON CONFLICT (id) DO UPDATE SET n = excluded.n`,
    `UPDATE large SET body = ${largeText(rng)} WHERE id = ${row}`,
    `UPDATE large SET n = ${n} WHERE id BETWEEN ${row} AND ${row + 3}`,
    `DELETE FROM large WHERE id = ${row}`,
    `UPDATE large SET id = ${row + 1} WHERE id = ${row}`,
  ])
}

const onLeaves = (rng, id, n) => rng.pick([
  `INSERT INTO leaves VALUES (${id}, ${rng.below(4)}, ${literal(someText(rng))}, ${n}) ON CONFLICT (id, region) DO UPDATE SET t = excluded.t`,
  `UPDATE leaves SET region = (region + 1) % 4 WHERE id BETWEEN ${id} AND ${id + 2}`,
  `UPDATE leaves SET n = ${n} WHERE id = ${id}`,
  `DELETE FROM leaves WHERE id = ${id}`,
])

// All rows again and again: what compaction is for.
const hot = (rng, n) => rng.pick([
  `UPDATE odd SET n = (n + ${n}) % 12`, `UPDATE odd SET x = ${n}, t = coalesce(t, '') || 'x' WHERE id < 40`,
  `UPDATE large SET n = n + 1`, `UPDATE leaves SET n = n + 1; UPDATE leaves SET t = ${literal(someText(rng))}`, `UPDATE keyless SET n = n + 1`,
])

export function transaction(rng) {
  if (rng.likely(0.15)) return `BEGIN; ${hot(rng, rng.below(12))}; ${hot(rng, rng.below(12))}; COMMIT`
  const statement = () => rng.pick([onOdd, onOdd, onQuoted, onKeyless, onLarge, onLeaves])(rng, 1 + rng.below(70), rng.below(1000))
  const body = Array.from({ length: rng.pick([1, 1, 2, 4, 12]) }, () => {
    const text = statement()
    return rng.likely(0.1) ? `SAVEPOINT s; ${text}; ${rng.likely(0.6) ? "ROLLBACK TO s" : "RELEASE s"}` : text
  })
  return `BEGIN; ${body.join("; ")}; ${rng.likely(0.05) ? "ROLLBACK" : "COMMIT"}`
}

let extras = 0

// What ends shapes, or must not.
export const schemaChanges = {
  truncate: (rng) => `TRUNCATE ${rng.pick([...tables, "leaves_0"])}`,
  add_column: (rng) => `ALTER TABLE ${rng.pick(tables)} ADD COLUMN extra_${++extras} int DEFAULT ${extras}`,
  add_and_drop: (rng) => {
    const table = rng.pick(tables)
    extras += 1
    return `ALTER TABLE ${table} ADD COLUMN extra_${extras} int; UPDATE ${table} SET n = n + 1; ALTER TABLE ${table} DROP COLUMN extra_${extras}`
  },
  rewrite: (rng) => {
    const table = rng.pick(["odd", "large"])
    return `BEGIN; ALTER TABLE ${table} ALTER n TYPE bigint; UPDATE ${table} SET n = n + 1 WHERE id < 9; ALTER TABLE ${table} ALTER n TYPE int; COMMIT`
  },
}
