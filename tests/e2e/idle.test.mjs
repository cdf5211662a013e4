// What ends with the connection, or without one: temporary slots; connections that are closed while nothing happens.
import assert from "node:assert/strict"
import { test } from "node:test"
import { assertOrdered, follow, rowsBecome, startCluster, startCopper, waitFor } from "./support.mjs"

const cluster = await startCluster()
const { sql } = cluster
await sql("CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 100) i")
const slots = () => sql("SELECT slot_name, temporary FROM pg_replication_slots")
const sessions = async () => Number((await sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'copper'"))[0].count)

test("a temporary slot goes with us, and every shape starts anew at the next start", async () => {
  // One that is left over from a start without the option is dropped too.
  await sql("SELECT pg_create_logical_replication_slot('electric_slot_default', 'pgoutput')")
  const copper = await startCopper({ cluster, env: { CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN: "true" } })
  assert.deepEqual(await slots(), [{ slot_name: "electric_slot_default", temporary: "t" }])
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  const handle = view.handle()
  for (const end of ["stop", "kill"]) {
    await copper[end]()
    await waitFor(async () => (await slots()).length === 0, { what: `the slot goes by ${end}` })
    await sql("UPDATE items SET n = n + 1 WHERE id <= 10")
    await copper.start()
    await rowsBecome(view, cluster, "SELECT * FROM items")
  }
  assert.notEqual(view.handle(), handle)
  assert.equal(view.rotations, 2)
  view.close()
  await copper.stop()
})

test("temporary slots with random names: two instances, each with its storage, side by side", async () => {
  const env = { CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN: "true", ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME: "true" }
  const both = await Promise.all([startCopper({ cluster, env }), startCopper({ cluster, env })])
  const names = (await slots()).map(({ slot_name }) => slot_name)
  assert.equal(new Set(names).size, 2)
  for (const name of names) assert.match(name, /^electric_slot_[0-9a-f]{32}$/)
  const views = both.map((copper) => follow(copper, { table: "items" }))
  await sql("UPDATE items SET n = n + 1 WHERE id > 90")
  for (const view of views) await rowsBecome(view, cluster, "SELECT * FROM items")
  for (const view of views) view.close()
  for (const copper of both) await copper.stop()
  assert.deepEqual(await slots(), [])
})

test("when nothing happens all connections are closed; a request brings them back, and what it missed", async () => {
  const copper = await startCopper({ cluster, env: { ELECTRIC_REPLICATION_IDLE_TIMEOUT: "500ms" } })
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  const handle = view.handle()
  // Somebody waits for changes: it stays awake.
  await waitFor(async () => (await copper.get({ table: "items", offset: "0_inf", handle, live: "true" }, { signal: AbortSignal.timeout(1200) }).catch(() => true)))
  assert.ok((await sessions()) >= 2)
  const offset = view.offset()
  view.close()
  const slept = () => copper.log.split("connections to the database are closed until a request comes").length - 1
  await waitFor(async () => (await sessions()) === 0, { what: "all connections are closed", timeout: 60_000 })
  assert.deepEqual((await copper.get({}, { path: "/v1/health" })).body, { status: "active" })
  await sql("UPDATE items SET n = n + 1 WHERE id <= 5")
  assert.equal(await sessions(), 0, "a change does not wake it")
  // Held, not refused: those that come at once with one connection.
  const answers = await Promise.all(Array.from({ length: 5 }, () => copper.get({ table: "items", offset, handle })))
  for (const { status } of answers) assert.equal(status, 200)
  const again = follow(copper, { table: "items" }, { handle, offset: "-1" })
  await rowsBecome(again, cluster, "SELECT * FROM items")
  assert.equal(again.handle(), handle)
  assertOrdered(again)
  again.close()
  const before = slept()
  assert.ok(before >= 1)
  await waitFor(() => slept() > before, { what: "it sleeps again" })
  // It wakes to a database that is away: what is here is served, as always then.
  await cluster.stop()
  assert.equal((await copper.get({ table: "items", offset, handle })).status, 200)
  await cluster.start()
  await waitFor(async () => (await sessions()) > 0, { what: "it goes on trying" })
  await copper.stop()
})
