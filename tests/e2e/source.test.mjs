// The source stays safe, and nothing of it is missed: WAL is confirmed whatever the shapes do, and a slot or a publication
// that somebody else has changed makes the shapes start anew instead of going on with a gap.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import net from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { assertOrdered, follow, pgBin, pgMajor, rowsBecome, startBoth, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  settings: ["wal_keep_size=0", "min_wal_size=32MB", "max_wal_size=64MB"],
  env: { COPPER_CHECKPOINT_INTERVAL: "200ms", ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD: "200ms", COPPER_ENABLE_INTEGRATION_TESTING: "true", ELECTRIC_LOG_LEVEL: "debug" },
  schema: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 50) i;
    CREATE TABLE others (id int PRIMARY KEY, n int NOT NULL); INSERT INTO others VALUES (1, 1);
    CREATE TABLE unwatched (t text)`,
})
const slot = "electric_slot_default"
const publication = "electric_publication_default"
const everything = "SELECT * FROM items"

const lsnValue = (text) => text.split("/").reduce((high, low) => (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`))
const slotRow = async () => (await sql(`SELECT * FROM pg_replication_slots WHERE slot_name = '${slot}'`))[0]
async function walIsConfirmed(what) {
  const [{ lsn }] = await sql("SELECT pg_current_wal_lsn() AS lsn")
  await waitFor(async () => lsnValue((await slotRow()).confirmed_flush_lsn) >= lsnValue(lsn), { what })
}

async function watch(params = { table: "items" }) {
  const view = follow(copper, params)
  await view.upToDate()
  return view
}

// The shape got a new handle, the log says why, and the rows are right, now and after another write.
async function rotates(view, before, { handle, why, query = everything, table = "items" }) {
  await waitFor(() => view.rotations > before, { what: `a rotation (${why})` })
  await rowsBecome(view, cluster, query)
  assert.notEqual(view.handle(), handle)
  assert.match(copper.log, why)
  await sql(`UPDATE ${table} SET n = n + 1 WHERE id = 1`)
  await rowsBecome(view, cluster, query)
}

test("WAL is confirmed on a silent database, with idle shapes, and with writes elsewhere only", async () => {
  const view = await watch()
  await walIsConfirmed("a silent database")
  await sql("INSERT INTO unwatched SELECT repeat('u', 1000) FROM generate_series(1, 3000)")
  await walIsConfirmed("writes to a table without a shape")
  await sql("CREATE DATABASE elsewhere")
  const elsewhere = await cluster.connect({ database: "elsewhere" })
  await elsewhere.query("CREATE TABLE t AS SELECT repeat('t', 1000) FROM generate_series(1, 3000)")
  await elsewhere.end()
  await walIsConfirmed("writes to another database")
  await sql("BEGIN; UPDATE items SET n = n + 1; ROLLBACK")
  await walIsConfirmed("a transaction rolled back")
  // What the server may throw away follows what is confirmed.
  await sql("CHECKPOINT")
  await waitFor(async () => {
    await sql("SELECT pg_log_standby_snapshot()").catch(() => sql("CHECKPOINT"))
    const [{ lsn }] = await sql("SELECT pg_current_wal_lsn() AS lsn")
    return lsnValue(lsn) - lsnValue((await slotRow()).restart_lsn) < 2n ** 20n
  }, { what: "restart_lsn follows" })
  assert.equal(view.rotations, 0)
  view.close()
})

test("a reader that has stopped reading holds back no WAL", async () => {
  const view = await watch()
  const socket = net.connect(copper.port, "127.0.0.1")
  socket.pause() // more than the kernel takes for it is on its way to somebody who does not read
  await sql("CREATE TABLE wide (id int PRIMARY KEY, t text); INSERT INTO wide SELECT i, repeat('w', 10000) FROM generate_series(1, 1500) i")
  await (await watch({ table: "wide" })).close()
  socket.write("GET /v1/shape?table=wide&offset=-1 HTTP/1.1\r\nhost: copper\r\n\r\n")
  await sql("INSERT INTO items SELECT i, 0 FROM generate_series(1000, 60000) i")
  await sql("DELETE FROM items WHERE id >= 1000")
  await walIsConfirmed("WAL of rows that a stalled reader does not take")
  await sql("UPDATE wide SET t = t || 'x'")
  await walIsConfirmed("WAL of the rows that it is reading")
  socket.destroy()
  await rowsBecome(view, cluster, everything)
  view.close()
})

test("the slot is dropped: shapes start anew", async () => {
  const view = await watch()
  const handle = view.handle()
  // Copper is back in 100 ms.
  await sql(`DO $$ BEGIN LOOP BEGIN
    PERFORM pg_drop_replication_slot('${slot}'); EXIT;
    EXCEPTION WHEN object_in_use THEN PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${slot}'; END;
    END LOOP; END $$`)
  await sql("UPDATE items SET n = n + 1 WHERE id <= 10")
  await rotates(view, 0, { handle, why: /the replication slot was new/ })
  view.close()
})

test("while Copper is down the slot is dropped, made anew by hand, or advanced: shapes start anew", async () => {
  const view = await watch()
  for (const [meddle, why] of [
    [`SELECT pg_drop_replication_slot('${slot}'); UPDATE items SET n = n + 1 WHERE id = 2`, /the replication slot was new/],
    [`SELECT pg_drop_replication_slot('${slot}'); UPDATE items SET n = n + 1 WHERE id = 3;
      SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`, /slot has moved beyond/],
    [`UPDATE items SET n = n + 1 WHERE id = 4; SELECT pg_replication_slot_advance('${slot}', pg_current_wal_lsn())`, /slot has moved beyond/],
  ]) {
    await rowsBecome(view, cluster, everything)
    const { rotations } = view
    const handle = view.handle()
    copper.log = ""
    await copper.stop()
    for (const statement of meddle.split(";")) await sql(statement)
    await copper.start()
    await rotates(view, rotations, { handle, why })
  }
  view.close()
})

test("the slot is invalidated because too much WAL was kept for it: it is replaced, shapes start anew", async () => {
  const view = await watch()
  const handle = view.handle()
  await copper.stop()
  await sql("UPDATE items SET n = n + 1 WHERE id = 5")
  await sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
  await sql("SELECT pg_reload_conf()")
  await waitFor(async () => {
    await sql("INSERT INTO unwatched SELECT 'x'; SELECT pg_switch_wal()")
    await sql("CHECKPOINT")
    return (await slotRow()).wal_status === "lost"
  }, { what: "the slot is lost" })
  await sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
  await sql("SELECT pg_reload_conf()")
  copper.log = ""
  await copper.start()
  await rotates(view, 0, { handle, why: /max_slot_wal_keep_size/ })
  assert.equal((await slotRow()).wal_status, "reserved")
  view.close()
})

test("a zombie has the slot: the log says who, and Copper goes on when it is gone", async () => {
  const view = await watch()
  const handle = view.handle()
  await copper.stop()
  const zombie = spawn(join(pgBin, "pg_recvlogical"), ["-d", cluster.url, "-S", slot, "--start", "-f", "-", "-o", "proto_version=1", "-o", `publication_names=${publication}`],
    { stdio: "ignore" })
  await waitFor(async () => (await slotRow()).active_pid, { what: "the zombie has the slot" })
  const { active_pid: pid } = await slotRow()
  await copper.start({ waitActive: false })
  await waitFor(() => copper.log.includes(`in use by process ${pid}`), { what: "the log names the process" })
  assert.match(copper.log, new RegExp(`pg_terminate_backend\\(${pid}\\)`))
  zombie.kill("SIGKILL")
  await sql("UPDATE items SET n = n + 1 WHERE id = 6")
  await rowsBecome(view, cluster, everything)
  assert.equal(view.handle(), handle)
  view.close()
})

test("the publication is dropped, or dropped and made again by hand: shapes start anew", async () => {
  const view = await watch()
  for (const meddle of [
    `DROP PUBLICATION ${publication}`,
    `DROP PUBLICATION ${publication}; CREATE PUBLICATION ${publication} FOR TABLE items`,
    `DROP PUBLICATION ${publication}; UPDATE items SET n = n + 1 WHERE id = 8; CREATE PUBLICATION ${publication}`,
  ]) {
    await rowsBecome(view, cluster, everything)
    const { rotations } = view
    const handle = view.handle()
    await sql(meddle)
    await sql("UPDATE items SET n = n + 1 WHERE id = 7")
    await rotates(view, rotations, { handle, why: /publication/ })
  }
  view.close()
})

test("a table leaves the publication by hand, for good or for a moment: its shapes start anew, others' stay", async () => {
  const view = await watch()
  const other = await watch({ table: "others" })
  const unlessBack = (error) => assert.equal(error.code, "42710", error.message) // Copper has looked, and put it back itself
  for (const back of ["", `; ALTER PUBLICATION ${publication} ADD TABLE items`]) {
    await rowsBecome(view, cluster, everything)
    const { rotations } = view
    const handle = view.handle()
    await sql(`ALTER PUBLICATION ${publication} DROP TABLE items`)
    await sql(`UPDATE items SET n = n + 1 WHERE id = 9${back}`).catch(unlessBack)
    if (back) await sql("UPDATE items SET n = n + 1 WHERE id = 10")
    await rotates(view, rotations, { handle, why: /publication/ })
  }
  assert.equal(other.rotations, 0)
  view.close()
  other.close()
})

test("a table leaves the publication while Copper is down: its shapes start anew", async () => {
  const view = await watch()
  const handle = view.handle()
  await copper.stop()
  await sql(`ALTER PUBLICATION ${publication} DROP TABLE items`)
  await sql("UPDATE items SET n = n + 1 WHERE id = 9")
  await copper.start()
  await rotates(view, 0, { handle, why: /publication/ })
  view.close()
})

test("a table leaves the publication and comes back while Copper is down: its shapes start anew, others' stay, twice too", async () => {
  for (const end of [() => copper.stop(), () => copper.kill(), () => copper.stop()]) {
    const view = await watch()
    const other = await watch({ table: "others" })
    await rowsBecome(view, cluster, everything)
    const handle = view.handle()
    const otherHandle = other.handle()
    await end()
    await sql(`ALTER PUBLICATION ${publication} DROP TABLE items`)
    await sql("UPDATE items SET n = n + 1 WHERE id = 9")
    await sql(`ALTER PUBLICATION ${publication} ADD TABLE items`)
    await copper.start()
    await rotates(view, 0, { handle, why: /publication/ })
    assert.equal(other.rotations, 0)
    assert.equal(other.handle(), otherHandle)
    view.close()
    other.close()
  }
})

// A look at the tables that has begun after this call.
async function seen() {
  const looks = () => copper.log.split("the shapes' tables were looked at").length
  const before = looks()
  await waitFor(() => looks() > before + 1, { what: "two looks at the tables" })
}

async function stays(view, { table, query }, meddle = "SELECT 1") {
  await rowsBecome(view, cluster, query)
  const handle = view.handle()
  await copper.stop()
  await sql(meddle)
  await copper.start()
  await sql(`UPDATE ${table} SET n = n + 1 WHERE id = 1`)
  await rowsBecome(view, cluster, query)
  await seen()
  assert.equal(view.handle(), handle)
}

async function doesNotStay(view, { table, query }, meddle) {
  await rowsBecome(view, cluster, query)
  const { rotations } = view
  const handle = view.handle()
  await copper.stop()
  for (const statement of meddle) await sql(statement)
  await copper.start()
  await rotates(view, rotations, { handle, why: /left the publication/, table, query })
}

test("publications of all tables, of a schema, of a partitioned table: what left and came back is noticed after a restart", async () => {
  await sql(`CREATE TABLE parts (id int PRIMARY KEY, n int NOT NULL) PARTITION BY RANGE (id);
    CREATE TABLE leaf PARTITION OF parts DEFAULT; INSERT INTO parts SELECT i, 0 FROM generate_series(1, 9) i; CREATE SCHEMA empty`)
  const views = new Map()
  for (const table of ["items", "parts", "leaf"]) views.set(table, { table, query: `SELECT * FROM ${table}`, view: await watch({ table }) })
  const { items, parts, leaf } = Object.fromEntries(views)
  for (const shape of [parts, leaf]) {
    await stays(shape.view, shape)
    await doesNotStay(shape.view, shape, [
      `ALTER PUBLICATION ${publication} DROP TABLE parts`,
      "UPDATE leaf SET n = n + 1 WHERE id = 2",
      `ALTER PUBLICATION ${publication} ADD TABLE parts`,
    ])
  }
  const schemas = pgMajor >= 15
  for (const all of ["ALL TABLES", ...(schemas ? ["TABLES IN SCHEMA public"] : [])]) {
    const { rotations } = items.view
    await sql(`DROP PUBLICATION ${publication}; CREATE PUBLICATION ${publication} FOR ${all}`)
    await sql("UPDATE items SET n = n + 1 WHERE id = 7")
    await waitFor(() => items.view.rotations > rotations, { what: `a rotation, for ${all}` })
    await stays(items.view, items)
  }
  if (schemas) {
    await stays(items.view, items, `ALTER PUBLICATION ${publication} ADD TABLES IN SCHEMA empty`)
    await doesNotStay(items.view, items, [
      `ALTER PUBLICATION ${publication} DROP TABLES IN SCHEMA public`,
      "UPDATE items SET n = n + 1 WHERE id = 9",
      `ALTER PUBLICATION ${publication} ADD TABLES IN SCHEMA public`,
    ])
  }
  const { rotations } = items.view
  await sql(`DROP PUBLICATION ${publication}; DROP TABLE parts`)
  await waitFor(() => items.view.rotations > rotations, { what: "a rotation, for the publication dropped" })
  for (const { view } of views.values()) view.close()
  const again = await watch()
  await rowsBecome(again, cluster, everything)
  again.close()
})

test("a column is rewritten while Copper is down: its shapes start anew", async () => {
  const view = await watch()
  const other = await watch({ table: "others" })
  const handle = view.handle()
  await rowsBecome(view, cluster, everything)
  await seen()
  await copper.stop()
  await sql("ALTER TABLE items ALTER n TYPE int USING n + 1000")
  await copper.start()
  await rotates(view, 0, { handle, why: /rewritten/ })
  // What leaves no trace in the rows leaves the shapes as well.
  const again = view.handle()
  await seen()
  await copper.stop()
  for (const table of ["items", "pg_publication", "pg_publication_rel", "pg_attribute", "pg_class"]) await sql(`VACUUM (FULL, FREEZE) ${table}`)
  await copper.start()
  await sql("UPDATE items SET n = n + 1 WHERE id = 3")
  await rowsBecome(view, cluster, everything)
  assert.equal(view.handle(), again)
  assert.equal(other.rotations, 0)
  view.close()
  other.close()
})

test("the publication no longer publishes every operation: the log says what to run, and nothing is served past it", async () => {
  const view = await watch()
  const handle = view.handle()
  await sql(`ALTER PUBLICATION ${publication} SET (publish = 'insert, update')`)
  await sql("DELETE FROM items WHERE id = 50")
  await waitFor(() => view.rotations > 0 || view.errors.length > 0, { what: "the shape does not go on" })
  view.close()
  const refused = await copper.get({ table: "items", offset: "-1" })
  assert.ok(refused.status >= 500, `status ${refused.status}`)
  assert.match(refused.text, /SET \(publish = 'insert, update, delete, truncate'\)/)
  assert.match(copper.log, /SET \(publish = 'insert, update, delete, truncate'\)/)
  await sql(`ALTER PUBLICATION ${publication} SET (publish = 'insert, update, delete, truncate')`)
  const again = await watch()
  await rowsBecome(again, cluster, everything)
  assert.notEqual(again.handle(), handle)
  again.close()
})

test("a row filter or a column list that comes later is not synced around", { skip: pgMajor < 15 }, async () => {
  const view = await watch()
  const handle = view.handle()
  await sql(`ALTER PUBLICATION ${publication} SET TABLE others, items WHERE (id > 10)`)
  await sql("UPDATE items SET n = n + 1 WHERE id = 3")
  await waitFor(() => view.rotations > 0 || view.errors.length > 0, { what: "the shape does not go on" })
  const refused = await copper.get({ table: "items", offset: "-1" })
  assert.match(refused.text, /row filter/)
  await sql(`ALTER PUBLICATION ${publication} SET TABLE others, items`)
  const again = await watch()
  await rowsBecome(again, cluster, everything)
  assert.notEqual(again.handle(), handle)
  view.close()
  again.close()
})

test("the walsender is killed again and again during large transactions: no half is seen, nothing comes twice", async () => {
  await sql("CREATE TABLE halves (id int PRIMARY KEY, n int NOT NULL, t text)")
  const view = await watch({ table: "halves" })
  const seen = new Map()
  view.stream.subscribe((messages) => {
    for (const { headers } of messages) {
      if (headers.lsn) seen.set(headers.lsn, (seen.get(headers.lsn) ?? 0) + 1)
    }
  }, () => {})
  for (let round = 0; round < 4; round++) {
    await sql(`INSERT INTO halves SELECT i, ${round}, repeat('h', 600) FROM generate_series(${round}00001, ${round}00001 + 9999) i`)
    for (let i = 0; i < 3; i++) {
      await waitFor(async () => (await slotRow()).active_pid)
      await sql(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${slot}' AND active_pid IS NOT NULL`)
    }
  }
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM halves"), 40_000)
  assertOrdered(view)
  assert.deepEqual([...seen.values()], [10_000, 10_000, 10_000, 10_000])
  assert.equal(view.rotations, 0)
  view.close()
})
