// The database's bad days: a restart, a crash, a broken connection, a failing snapshot; and the WAL it may forget.
import assert from "node:assert/strict"
import { test } from "node:test"
import { assertOrdered, follow, rowsBecome, startBoth, startCluster, startCopper, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 100) i`,
})

test("Postgres restarts, cleanly and by a crash: clients go on, handle unchanged", async () => {
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  const handle = view.handle()
  for (const signal of ["SIGINT", "SIGQUIT"]) {
    await sql("UPDATE items SET n = n + 1 WHERE id <= 50")
    await cluster.stop(signal)
    await cluster.start()
    await sql("UPDATE items SET n = n + 1 WHERE id > 20; INSERT INTO items SELECT max(id) + 1, 0 FROM items")
    await rowsBecome(view, cluster, "SELECT * FROM items")
  }
  assertOrdered(view)
  assert.equal(view.handle(), handle)
  assert.equal(view.rotations, 0)
  view.close()
})

test("with Postgres away, what is there is still served, and new shapes get 503 or wait", async () => {
  const { headers } = await copper.get({ table: "items", offset: "-1" })
  await cluster.stop()
  const again = await copper.get({ table: "items", offset: "-1" })
  assert.ok([200, 503].includes(again.status), `status ${again.status}`)
  if (again.status === 200) assert.equal(again.headers["electric-handle"], headers["electric-handle"])
  const fresh = await copper.get({ table: "items", columns: "id", offset: "-1" }, { signal: AbortSignal.timeout(40_000) })
  assert.equal(fresh.status, 503, fresh.text)
  assert.ok(fresh.headers["retry-after"])
  await cluster.start()
  const view = follow(copper, { table: "items", columns: ["id"] })
  await rowsBecome(view, cluster, "SELECT id FROM items")
  view.close()
})

test("the walsender is killed in the middle of a large transaction: it arrives once", async () => {
  await sql("CREATE TABLE cut (id int PRIMARY KEY, t text)")
  const view = follow(copper, { table: "cut" })
  await view.upToDate()
  const handle = view.handle()
  await sql("INSERT INTO cut SELECT i, repeat('c', 300) FROM generate_series(1, 80000) i")
  await sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL")
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM cut"), 80000)
  assertOrdered(view)
  assert.equal(view.handle(), handle)
  view.close()
})

test("a slow snapshot that fails answers with Postgres' message and leaves no half shape", async () => {
  await sql("CREATE TABLE slow (id int PRIMARY KEY, t text); INSERT INTO slow SELECT i, 'x' FROM generate_series(1, 1000) i")
  // The table joins the publication with a first shape, so that only the COPY of the second meets the lock.
  const first = follow(copper, { table: "slow" })
  await rowsBecome(first, cluster, "SELECT * FROM slow")
  const locker = await cluster.connect()
  await locker.query("BEGIN; LOCK TABLE slow IN ACCESS EXCLUSIVE MODE")
  let answered = null
  const pending = copper.get({ table: "slow", columns: "id", offset: "-1" }).then((answer) => (answered = answer))
  // Whoever waits for the lock is cancelled until the request is answered.
  await waitFor(async () => {
    await sql(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid <> pg_backend_pid()`)
    return answered
  }, { what: "the request is answered" })
  await pending
  assert.ok(answered.status >= 400, `status ${answered.status}: ${answered.text.slice(0, 200)}`)
  assert.match(answered.text, /cancel|lock|snapshot|timeout/i)
  await locker.query("COMMIT")
  await locker.end()
  const view = follow(copper, { table: "slow", columns: ["id"] })
  assert.equal(await rowsBecome(view, cluster, "SELECT id FROM slow"), 1000)
  await sql("DELETE FROM slow WHERE id > 990")
  assert.equal(await rowsBecome(view, cluster, "SELECT id FROM slow"), 990)
  await rowsBecome(first, cluster, "SELECT * FROM slow")
  view.close()
  first.close()
})

test("a table that may not be read is an error in Postgres' words, and works once it may", async () => {
  const other = await startCluster()
  await other.sql(`CREATE ROLE reader LOGIN REPLICATION; GRANT CREATE ON DATABASE postgres TO reader;
    CREATE TABLE denied (id int PRIMARY KEY); INSERT INTO denied VALUES (1); ALTER TABLE denied REPLICA IDENTITY FULL;
    CREATE PUBLICATION electric_publication_default FOR TABLE denied; ALTER PUBLICATION electric_publication_default OWNER TO reader`)
  const limited = await startCopper({
    cluster: { ...other, url: other.url.replace("postgres@", "reader@") },
    env: { ELECTRIC_MANUAL_TABLE_PUBLISHING: "true" },
  })
  const refused = await limited.get({ table: "denied", offset: "-1" })
  assert.ok(refused.status >= 400, `status ${refused.status}`)
  assert.match(refused.text, /permission denied/)
  await other.sql("GRANT SELECT ON denied TO reader")
  const view = follow(limited, { table: "denied" })
  assert.equal(await rowsBecome(view, other, "SELECT * FROM denied"), 1)
  view.close()
  await limited.stop()
  await other.stop()
})

test("a table that no publication takes is the client's mistake, in Postgres' words", async () => {
  await sql("CREATE UNLOGGED TABLE volatile_items (id int PRIMARY KEY)")
  for (const [table, words] of [["volatile_items", /unlogged (tables|relations)/], ["pg_catalog.pg_class", /system tables/i]]) {
    const refused = await copper.get({ table, offset: "-1" })
    assert.equal(refused.status, 400)
    assert.match(refused.body.message, words)
  }
})

const lsnValue = (text) => text.split("/").reduce((high, low) => (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`))

async function confirmedReaches(goal, options) {
  await waitFor(async () => {
    const [{ confirmed_flush_lsn: confirmed }] = await sql("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'electric_slot_default'")
    return lsnValue(confirmed) >= lsnValue(goal)
  }, options)
}

test("confirmed WAL advances: for our tables, for others' writes, and on a silent database", async () => {
  await sql("UPDATE items SET n = n + 1")
  const [{ lsn: ours }] = await sql("SELECT pg_current_wal_lsn() AS lsn")
  await confirmedReaches(ours, { what: "our own changes are confirmed" })
  await sql("CREATE TABLE elsewhere (t text); INSERT INTO elsewhere SELECT repeat('e', 1000) FROM generate_series(1, 2000)")
  const [{ lsn: others }] = await sql("SELECT pg_current_wal_lsn() AS lsn")
  await confirmedReaches(others, { what: "writes to other tables are confirmed" })
  await sql("CHECKPOINT; SELECT pg_switch_wal()")
  const [{ lsn: silent }] = await sql("SELECT pg_current_wal_lsn() AS lsn")
  await confirmedReaches(silent, { what: "a silent database is confirmed" })
})

test("wal_level other than logical: the error says how to fix it", async () => {
  const plain = await startCluster({ settings: ["wal_level=replica"] })
  const lost = await startCopper({ cluster: plain, waitActive: false })
  await waitFor(() => /wal_level/.test(lost.log) && /logical/.test(lost.log), { what: "the log names wal_level" })
  // It may end with an error or go on trying: both are told apart from being active.
  const status = await lost.get({}, { path: "/v1/health" }).then((answer) => answer.status, () => "ended")
  assert.notEqual(status, 200)
  await lost.kill()
  await plain.stop()
})
