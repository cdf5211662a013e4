// Copper stopped and started again, cleanly and by kill -9: handles and offsets stay valid, no item lost or doubled.
import assert from "node:assert/strict"
import { test } from "node:test"
import { assertOrdered, follow, rowsBecome, startBoth, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL, note text);
    INSERT INTO items SELECT i, 0, 'note ' || i FROM generate_series(1, 300) i;
    CREATE TABLE quiet (id int PRIMARY KEY); INSERT INTO quiet VALUES (1);`,
})

test("after a clean restart the client goes on where it was, with what it missed", async () => {
  const view = follow(copper, { table: "items" })
  const quiet = follow(copper, { table: "quiet" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  await rowsBecome(quiet, cluster, "SELECT * FROM quiet")
  await sql("UPDATE items SET n = 1 WHERE id <= 10")
  await rowsBecome(view, cluster, "SELECT * FROM items")
  const handles = [view.handle(), quiet.handle()]

  await copper.stop()
  await sql("UPDATE items SET n = 2 WHERE id <= 20; DELETE FROM items WHERE id = 300; INSERT INTO items VALUES (400, 4, NULL)")
  await copper.start()

  await rowsBecome(view, cluster, "SELECT * FROM items")
  await rowsBecome(quiet, cluster, "SELECT * FROM quiet")
  await sql("UPDATE items SET n = 3 WHERE id = 1; INSERT INTO quiet VALUES (2)")
  await rowsBecome(view, cluster, "SELECT * FROM items")
  await rowsBecome(quiet, cluster, "SELECT * FROM quiet")
  assertOrdered(view)
  assert.deepEqual([view.handle(), quiet.handle()], handles)
  assert.equal(view.rotations + quiet.rotations, 0)

  // Somebody who comes only now gets the same log from the start.
  const late = follow(copper, { table: "items" })
  await rowsBecome(late, cluster, "SELECT * FROM items")
  assert.equal(late.handle(), handles[0])
  for (const each of [view, quiet, late]) each.close()
})

test("a schema change made while Copper was down is noticed", async () => {
  await sql("CREATE TABLE altered (id int PRIMARY KEY, a text); INSERT INTO altered VALUES (1, 'x')")
  const view = follow(copper, { table: "altered" })
  await rowsBecome(view, cluster, "SELECT * FROM altered")
  await copper.stop()
  await sql("ALTER TABLE altered ADD COLUMN b int DEFAULT 5; UPDATE altered SET a = 'y'")
  await copper.start()
  await waitFor(() => view.rotations > 0)
  await rowsBecome(view, cluster, "SELECT * FROM altered")
  view.close()
})

test("kill -9 in the middle of writes, several times: rows equal at the end, handle unchanged, each item once", async () => {
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  const handle = view.handle()
  let writing = true
  let transactions = 0
  const writer = async (seed) => {
    const client = await cluster.connect()
    for (let i = 0; writing; i++) {
      const id = seed * 1_000_000 + i
      await client.query(`BEGIN; UPDATE items SET n = n + 1 WHERE id = ${1 + ((i * 13 + seed) % 290)};
        INSERT INTO items VALUES (${id}, ${i}, repeat('n', ${i % 2000}));
        ${i > 50 ? `DELETE FROM items WHERE id = ${id - 50};` : ""} COMMIT`).catch(() => client.query("ROLLBACK"))
      transactions += 1
    }
    await client.end()
  }
  const writers = [writer(1), writer(2)]
  for (let round = 0; round < 4; round++) {
    const goal = transactions + 150
    await waitFor(() => transactions > goal, { what: "writes go on" })
    await copper.kill()
    await waitFor(() => transactions > goal + 60, { what: "writes go on while Copper is down" })
    await copper.start()
  }
  writing = false
  await Promise.all(writers)
  await rowsBecome(view, cluster, "SELECT * FROM items")
  assertOrdered(view)
  assert.equal(view.handle(), handle)
  assert.equal(view.rotations, 0)

  // The whole log, read anew, holds the very items that the first client saw live.
  const again = follow(copper, { table: "items" })
  await rowsBecome(again, cluster, "SELECT * FROM items")
  const lines = (each) => each.changes().filter(({ headers }) => headers.lsn)
    .map(({ key, headers }) => `${headers.lsn}_${headers.op_position} ${headers.operation} ${key}`)
  const seen = new Set(lines(view))
  const whole = lines(again)
  assert.equal(new Set(whole).size, whole.length, "no item twice in the log")
  const wholeSet = new Set(whole)
  assert.deepEqual([...seen].filter((line) => !wholeSet.has(line)), [], "what was read once stays in the log")
  view.close()
  again.close()
})

test("kill -9 while a large transaction arrives", async () => {
  await sql("CREATE TABLE flood (id int PRIMARY KEY, t text)")
  const view = follow(copper, { table: "flood" })
  await view.upToDate()
  // A snapshot that a crash interrupts before the disk has it rotates its shape: not this story.
  await copper.stop()
  await copper.start()
  const handle = view.handle()
  const inserted = sql("INSERT INTO flood SELECT i, repeat('f', 200) FROM generate_series(1, 100000) i")
  await inserted
  await copper.kill()
  await copper.start()
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM flood"), 100000)
  assertOrdered(view)
  assert.equal(view.handle(), handle)
  view.close()
})

test("kill -9 while a snapshot is being made: the next request gets a whole one", async () => {
  await sql("CREATE TABLE large (id int PRIMARY KEY, t text); INSERT INTO large SELECT i, repeat('l', 300) FROM generate_series(1, 100000) i")
  const first = copper.get({ table: "large", offset: "-1" }).catch(() => null)
  await waitFor(async () => (await sql("SELECT 1 FROM pg_stat_activity WHERE query ILIKE '%copy%large%' AND pid <> pg_backend_pid()")).length > 0 ||
    (await Promise.race([first.then(() => true), Promise.resolve(false)])))
  await copper.kill()
  await first
  await copper.start()
  const view = follow(copper, { table: "large" })
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM large"), 100000)
  view.close()
})
