// The storm: random transactions from several writers while Copper and Postgres are killed and restarted, connections cut,
// tables altered and shapes deleted. At quiet points every client's rows are those of SELECT, and no item came twice.
// STORM_SEED repeats the same decisions (not the same timing), STORM_SECONDS is how long it rages.
import assert from "node:assert/strict"
import { test } from "node:test"
import { rowsBecome, startBoth, waitFor, sleepUntilNextLook } from "./support.mjs"
import { chance, watch } from "./chance.mjs"

const seed = Number(process.env.STORM_SEED ?? 1)
const seconds = Number(process.env.STORM_SECONDS ?? 32)
console.log(`STORM_SEED=${seed} STORM_SECONDS=${seconds}`)

const { cluster, copper } = await startBoth({
  settings: ["max_prepared_transactions=20", "deadlock_timeout=100ms", "lock_timeout=500ms"],
  env: {
    COPPER_SHAPE_CHUNK_BYTES_THRESHOLD: "20000",
    COPPER_ENABLE_INTEGRATION_TESTING: "true",
    COPPER_LONG_POLL_TIMEOUT: "3s",
    COPPER_CHECKPOINT_INTERVAL: "300ms",
    // Consumers suspend and come back all the time.
    COPPER_SHAPE_HIBERNATE_AFTER: "100ms",
    COPPER_SHAPE_SUSPEND_AFTER: "100ms",
  },
  schema: `
    CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL, t text);
    CREATE TABLE pairs (id int, part text DEFAULT 'p', n int NOT NULL, t text, PRIMARY KEY (part, id));
    CREATE TABLE leaves (id int, region int DEFAULT 0, n int NOT NULL, t text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE leaves_0 PARTITION OF leaves FOR VALUES IN (0); CREATE TABLE leaves_1 PARTITION OF leaves FOR VALUES IN (1);
    CREATE TABLE leaves_rest PARTITION OF leaves DEFAULT;
    ALTER TABLE plain ALTER t SET STORAGE EXTERNAL; ALTER TABLE pairs ALTER t SET STORAGE EXTERNAL;
    INSERT INTO plain SELECT i, i, 'first' FROM generate_series(0, 199) i;
    INSERT INTO pairs SELECT i, 'p', i, 'first' FROM generate_series(0, 199) i;
    INSERT INTO leaves SELECT i, i % 3, i, 'first' FROM generate_series(0, 199) i;`,
})
const conflict = { plain: "id", pairs: "part, id", leaves: "id, region" }
const tables = Object.keys(conflict)

// ---------------------------------------------------------------------------------------------------- the clients

const definitions = [
  [{ table: "plain" }, "SELECT * FROM plain"],
  [{ table: "plain", columns: ["id", "n"] }, "SELECT id, n FROM plain"],
  [{ table: "pairs", replica: "full" }, "SELECT * FROM pairs"],
  [{ table: "pairs", columns: ["id", "part", "n"] }, "SELECT id, part, n FROM pairs"],
  [{ table: "leaves" }, "SELECT * FROM leaves"],
  [{ table: "leaves", columns: ["id", "region", "t"], replica: "full" }, "SELECT id, region, t FROM leaves"],
  [{ table: "leaves_1" }, "SELECT * FROM leaves_1"],
]

const views = definitions.map((definition) => watch(copper, ...definition))

async function everyoneIsRight() {
  await Promise.all(views.map((view) => rowsBecome(view, cluster, view.query)))
  for (const { faults, params } of views) assert.deepEqual(faults.slice(0, 5), [], JSON.stringify(params))
}

// ---------------------------------------------------------------------------------------------------- the writers

function statement(rng) {
  const table = rng.pick(tables)
  const id = rng.below(300)
  const n = rng.below(1000)
  const text = rng.likely(0.1) ? `repeat('${rng.pick(["a", "b"])}${n} ', 900)` : `'${rng.pick(["a", "b"]).repeat(1 + rng.below(60))}'`
  return rng.pick([
    `INSERT INTO ${table} (id, n, t) VALUES (${id}, ${n}, ${text}) ON CONFLICT (${conflict[table]}) DO UPDATE SET n = excluded.n, t = excluded.t`,
    `INSERT INTO ${table} (id, n, t) VALUES (${id}, ${n}, ${text}) ON CONFLICT DO NOTHING`,
    `UPDATE ${table} SET n = ${n} WHERE id = ${id}`,
    `UPDATE ${table} SET n = ${n}, t = ${text} WHERE id BETWEEN ${id} AND ${id + 8}`,
    `UPDATE ${table} SET t = NULL WHERE id = ${id}`,
    `DELETE FROM ${table} WHERE id = ${id}`,
    `DELETE FROM ${table} WHERE id BETWEEN ${id} AND ${id + 5}; INSERT INTO ${table} (id, n) VALUES (${id}, ${n}) ON CONFLICT DO NOTHING`,
    // Keys that change, swap places, and rows that move between leaves.
    `UPDATE ${table} SET id = id + 1000 WHERE id = ${id}`,
    `UPDATE ${table} SET id = id - 1000 WHERE id = ${id + 1000}`,
    `UPDATE ${table} SET id = -1 WHERE id = ${id}; UPDATE ${table} SET id = ${id} WHERE id = ${id + 1}; UPDATE ${table} SET id = ${id + 1} WHERE id = -1`,
    `UPDATE leaves SET region = (region + 1) % 4 WHERE id BETWEEN ${id} AND ${id + 3}`,
  ])
}

// More changes than the 8,192 that one fragment of a transaction holds.
const manyChanges = (rng) => {
  const table = rng.pick(tables)
  return rng.likely(0.5)
    ? `DO $$ BEGIN FOR i IN 1..50 LOOP UPDATE ${table} SET n = n + 1; END LOOP; END $$`
    : `INSERT INTO ${table} (id, n) SELECT i, i FROM generate_series(100000, 104999) i; DELETE FROM ${table} WHERE id >= 100000`
}

function transaction(rng, id) {
  const body = Array.from({ length: rng.pick([1, 1, 2, 5, 20]) }, () => {
    const text = statement(rng)
    return rng.likely(0.15) ? `SAVEPOINT s; ${text}; ${rng.likely(0.6) ? "ROLLBACK TO s" : "RELEASE s"}` : text
  })
  if (rng.likely(0.004)) body.push(manyChanges(rng))
  const begin = `BEGIN; ${body.join("; ")}; `
  if (rng.likely(0.05)) return [`${begin}ROLLBACK`]
  if (rng.likely(0.05)) return [`${begin}PREPARE TRANSACTION '${id}'`, `${rng.likely(0.7) ? "COMMIT" : "ROLLBACK"} PREPARED '${id}'`]
  return [`${begin}COMMIT`]
}

let transactions = 0
let writing = false

// What a cut connection left prepared still holds its locks.
async function decidePrepared(rng, pattern) {
  for (const { gid } of await cluster.sql("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE $1", [pattern])) {
    await cluster.sql(`${rng.likely(0.5) ? "COMMIT" : "ROLLBACK"} PREPARED '${gid}'`)
  }
}

async function writer(number, rng) {
  let client = null
  for (let i = 0; writing; i++) {
    try {
      if (!client) {
        client = await cluster.connect()
        await decidePrepared(rng, `${number}_%`)
      }
    } catch {
      await sleepUntilNextLook()
      continue
    }
    try {
      for (const text of transaction(rng, `${number}_${transactions}_${i}`)) await client.query(text)
      transactions += 1
    } catch {
      // A doubled key, a deadlock, a lock that took too long; or the connection is gone, and ROLLBACK fails as well.
      await client.query("ROLLBACK").catch(async () => {
        await client.end().catch(() => {})
        client = null
      })
    }
  }
  await client?.end().catch(() => {})
}

// ---------------------------------------------------------------------------------------------------- the weather

const restarts = {
  kill: async () => {
    await copper.kill()
    await copper.start()
  },
  term: async () => {
    await copper.stop()
    await copper.start()
  },
  crash: async () => {
    await cluster.stop("SIGQUIT")
    await cluster.start()
  },
  cut: () => cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication"),
  cut_all: () => cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender')"),
  twice: async () => {
    await copper.kill()
    await cluster.stop("SIGQUIT")
    await copper.start({ waitActive: false })
    await copper.kill()
    await cluster.start()
    await copper.start()
  },
}

let columns = 0
const changesOfShape = {
  delete_shape: async (rng) => {
    const { params } = rng.pick(views)
    const handle = rng.pick(views).handle()
    const answer = await copper.get(rng.likely(0.5) && handle ? { handle } : params, { method: "DELETE" })
    assert.ok([202, 400, 404, 409, 503].includes(answer.status), `DELETE: ${answer.status} ${answer.text}`)
  },
  truncate: (rng) => cluster.sql(`TRUNCATE ${rng.likely(0.3) ? tables.join(", ") : rng.pick([...tables, "leaves_1"])}`),
  add_column: (rng) => cluster.sql(`ALTER TABLE ${rng.pick(tables)} ADD COLUMN extra_${++columns} int DEFAULT ${columns}`),
  add_and_use: (rng) => {
    const table = rng.pick(tables)
    columns += 1
    return cluster.sql(`BEGIN; UPDATE ${table} SET n = n + 1 WHERE id < 20; ALTER TABLE ${table} ADD COLUMN extra_${columns} int;
      UPDATE ${table} SET extra_${columns} = n WHERE id < 40; COMMIT`)
  },
  rewrite: (rng) => {
    const table = rng.pick(["plain", "pairs"])
    return cluster.sql(`BEGIN; ALTER TABLE ${table} ALTER n TYPE bigint; UPDATE ${table} SET n = n + 1 WHERE id < 20; ALTER TABLE ${table} ALTER n TYPE int; COMMIT`)
  },
}

// One gust: writers write, some things happen, each after some more transactions; then all is quiet and compared.
async function gust(rng, events, told) {
  writing = true
  const writers = [1, 2, 3].map((number) => writer(number, chance(rng.below(2 ** 32))))
  try {
    for (let i = 1 + rng.below(3); i > 0; i--) {
      const goal = transactions + 20 + rng.below(80)
      await waitFor(() => transactions > goal, { what: "writes go on" })
      const name = rng.pick(Object.keys(events))
      told.push(name)
      // A statement may lose against the writers' locks: then it did not happen.
      const refused = (error) => assert.ok(["55P03", "40P01"].includes(error.code), error)
      await Promise.resolve(events[name](rng)).catch(refused)
    }
    const goal = transactions + 30
    await waitFor(() => transactions > goal, { what: "writes go on" })
  } finally {
    writing = false
    await Promise.all(writers)
  }
  await decidePrepared(rng, "%")
  await everyoneIsRight()
}

async function rage(events, duration, rng) {
  const told = []
  const end = Date.now() + duration * 1000
  try {
    do await gust(rng, events, told)
    while (Date.now() < end)
  } catch (error) {
    error.message += `\nSTORM_SEED=${seed}, so far: ${told.join(" ")}\nCopper's log:\n${copper.log.slice(-6000)}`
    throw error
  }
  console.log(`# ${transactions} transactions, ${views.reduce((sum, { messages }) => sum + messages.length, 0)} messages, ` +
    `${views.reduce((sum, { rotations }) => sum + rotations, 0)} rotations: ${told.join(" ")}`)
}

// Whoever reads the whole logs now gets the same rows.
async function lateReadersAreRight() {
  const late = definitions.map((definition) => watch(copper, ...definition))
  await Promise.all(late.map((view) => rowsBecome(view, cluster, view.query)))
  for (const { faults, params } of late) assert.deepEqual(faults.slice(0, 5), [], `a late reader, ${JSON.stringify(params)}`)
  for (const view of late) view.close()
}

test("restarts and cuts of all kinds: rows right at every quiet point, each item once, the handles stay", async () => {
  await everyoneIsRight()
  const handles = views.map((view) => view.handle())
  await rage(restarts, seconds * 0.5, chance(seed))
  assert.deepEqual(views.map((view) => view.handle()), handles)
  assert.equal(views.reduce((sum, { rotations }) => sum + rotations, 0), 0)
  await lateReadersAreRight()
})

test("schema changes, TRUNCATE and DELETE of shapes among restarts: rows right at every quiet point", async () => {
  await rage({ ...restarts, ...changesOfShape }, seconds * 0.5, chance(seed + 1))
  await lateReadersAreRight()
})
