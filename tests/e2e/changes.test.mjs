// What happens to a table after its snapshot: every kind of change, one transaction or many, one table or several.
import assert from "node:assert/strict"
import { test } from "node:test"
import { assertOrdered, follow, rowsBecome, startBoth, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE items (id int PRIMARY KEY, title text NOT NULL, n int);
    INSERT INTO items SELECT i, 'item ' || i, i FROM generate_series(1, 20) i;`,
})

test("insert, update, delete and key change arrive once, in order", async () => {
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  await sql("INSERT INTO items VALUES (101, 'new', NULL)")
  await sql("UPDATE items SET n = NULL WHERE id = 3")
  await sql("DELETE FROM items WHERE id = 4")
  await sql("UPDATE items SET id = 205, title = 'moved' WHERE id = 5")
  await sql(`BEGIN; INSERT INTO items VALUES (102, 'a', 1), (103, 'b', 2); UPDATE items SET id = 104 WHERE id = 103;
    DELETE FROM items WHERE id = 102; UPDATE items SET n = n + 1; COMMIT`)
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM items"), 21)
  assertOrdered(view)

  const moved = view.changes().filter(({ headers }) => headers.key_change_to || headers.key_change_from)
  assert.deepEqual(moved.slice(0, 2).map(({ key, headers }) => [headers.operation, key, headers.key_change_to ?? headers.key_change_from]), [
    ["delete", `"public"."items"/"5"`, `"public"."items"/"205"`],
    ["insert", `"public"."items"/"205"`, `"public"."items"/"5"`],
  ])
  const update = view.changes().find(({ headers }) => headers.operation === "update")
  assert.deepEqual(update.value, { id: 3, n: null }, "an update holds the key and what changed")
  const deletion = view.changes().find(({ headers }) => headers.operation === "delete")
  assert.deepEqual(deletion.value, { id: 4 }, "a delete holds the key")
  assert.equal(view.rotations, 0)
  view.close()
})

test("changes of an aborted transaction and of rolled back savepoints never arrive", async () => {
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  const before = view.changes().length
  await sql("BEGIN; INSERT INTO items VALUES (900, 'never', 0); ROLLBACK")
  await sql(`BEGIN; INSERT INTO items VALUES (901, 'kept', 0); SAVEPOINT a; INSERT INTO items VALUES (902, 'never', 0);
    ROLLBACK TO a; SAVEPOINT b; INSERT INTO items VALUES (903, 'kept', 0); RELEASE b; COMMIT`)
  await rowsBecome(view, cluster, "SELECT * FROM items")
  assert.equal(view.changes().length - before, 2)
  view.close()
})

test("a transaction larger than one answer and one fragment", async () => {
  await sql("CREATE TABLE wide (id int PRIMARY KEY, t text)")
  const view = follow(copper, { table: "wide" })
  await view.upToDate()
  await sql("INSERT INTO wide SELECT i, repeat('y', 500) FROM generate_series(1, 60000) i")
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM wide"), 60000)
  assertOrdered(view)
  const last = view.changes().filter(({ headers }) => headers.last)
  assert.equal(last.length, 1, "one item closes the transaction")
  assert.equal(last[0].value.id, 60000)
  view.close()
})

test("several tables in one transaction, each with its own shape", async () => {
  await sql(`CREATE TABLE left_t (id int PRIMARY KEY, v text); CREATE TABLE right_t (id int PRIMARY KEY, v text);`)
  const left = follow(copper, { table: "left_t" })
  const right = follow(copper, { table: "public.right_t" })
  const both = [left, right]
  for (const view of both) await view.upToDate()
  await sql(`BEGIN; INSERT INTO left_t VALUES (1, 'l'); INSERT INTO right_t VALUES (1, 'r'); UPDATE left_t SET v = 'l2'; COMMIT`)
  await rowsBecome(left, cluster, "SELECT * FROM left_t")
  await rowsBecome(right, cluster, "SELECT * FROM right_t")
  assert.deepEqual(left.changes().map(({ headers }) => [headers.op_position, headers.last ?? false]), [[0, false], [4, true]])
  assert.deepEqual(right.changes().map(({ headers }) => [headers.op_position, headers.last ?? false]), [[2, true]])
  assert.equal(left.changes()[0].headers.lsn, right.changes()[0].headers.lsn)
  for (const view of both) view.close()
})

test("writers at work while the first request comes: nothing lost, nothing doubled", async () => {
  await sql("CREATE TABLE busy (id int PRIMARY KEY, n int NOT NULL); INSERT INTO busy SELECT i, 0 FROM generate_series(1, 500) i")
  let writing = true
  let transactions = 0
  const writer = async (seed) => {
    const client = await cluster.connect()
    for (let i = 0; writing; i++) {
      const id = 1000 + seed * 1_000_000 + i
      await client.query(`BEGIN; UPDATE busy SET n = n + 1 WHERE id = ${1 + ((i * 7 + seed) % 500)};
        SAVEPOINT s; INSERT INTO busy VALUES (${id}, ${i}); RELEASE s;
        ${i % 3 ? `DELETE FROM busy WHERE id = ${id - 1};` : ""} COMMIT`).catch(() => client.query("ROLLBACK"))
      transactions += 1
    }
    await client.end()
  }
  // This one is open across the snapshot.
  const open = await cluster.connect()
  await open.query("BEGIN; INSERT INTO busy VALUES (-1, 0)")
  const writers = [writer(1), writer(2), writer(3)]
  await waitFor(() => transactions > 50)
  const views = [follow(copper, { table: "busy" }), follow(copper, { table: "busy", columns: ["id", "n"] })]
  await waitFor(() => transactions > 200)
  await open.query("UPDATE busy SET n = 77 WHERE id = -1; COMMIT")
  await open.end()
  for (const view of views) await view.upToDate()
  const later = follow(copper, { table: "busy", replica: "full" })
  await waitFor(() => transactions > 500)
  await later.upToDate()
  writing = false
  await Promise.all(writers)
  for (const view of [...views, later]) {
    await rowsBecome(view, cluster, "SELECT * FROM busy")
    assertOrdered(view)
    assert.equal(view.rotations, 0)
    view.close()
  }
})

test("TRUNCATE and then new rows: the client starts over and ends equal", async () => {
  await sql("CREATE TABLE short (id int PRIMARY KEY); INSERT INTO short VALUES (1), (2)")
  const view = follow(copper, { table: "short" })
  await rowsBecome(view, cluster, "SELECT * FROM short")
  const handle = view.handle()
  await sql("TRUNCATE short")
  await waitFor(() => view.rotations > 0)
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM short"), 0)
  await sql("INSERT INTO short VALUES (3)")
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM short"), 1)
  assert.notEqual(view.handle(), handle)
  const old = await copper.get({ table: "short", handle, offset: "0_inf" })
  assert.equal(old.status, 409)
  assert.equal(old.headers["electric-handle"], view.handle())
  view.close()
})

test("a changed schema rotates the shape and the new columns arrive", async () => {
  await sql("CREATE TABLE growing (id int PRIMARY KEY, a text); INSERT INTO growing VALUES (1, 'x')")
  const view = follow(copper, { table: "growing" })
  await rowsBecome(view, cluster, "SELECT * FROM growing")
  const handle = view.handle()
  await sql("ALTER TABLE growing ADD COLUMN b int DEFAULT 7; INSERT INTO growing VALUES (2, 'y', 8)")
  await waitFor(() => view.rotations > 0)
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM growing"), 2)
  assert.notEqual(view.handle(), handle)
  await sql("ALTER TABLE growing DROP COLUMN a; ALTER TABLE growing ALTER b TYPE bigint; UPDATE growing SET b = 9 WHERE id = 1")
  await waitFor(() => view.rotations > 1)
  await rowsBecome(view, cluster, "SELECT * FROM growing")
  assert.equal(view.schema.b.type, "int8")
  assert.equal(view.schema.a, undefined)
  view.close()
})

test("a table dropped and made anew is another table", async () => {
  await sql("CREATE TABLE phoenix (id int PRIMARY KEY, v text); INSERT INTO phoenix VALUES (1, 'old')")
  const view = follow(copper, { table: "phoenix" })
  await rowsBecome(view, cluster, "SELECT * FROM phoenix")
  await sql("DROP TABLE phoenix; CREATE TABLE phoenix (id int PRIMARY KEY, v text); INSERT INTO phoenix VALUES (2, 'new')")
  // A first request for another shape of the name looks at the catalog and meets the new table.
  const other = follow(copper, { table: "phoenix", columns: ["id"] })
  assert.equal(await rowsBecome(other, cluster, "SELECT id FROM phoenix"), 1)
  await sql("INSERT INTO phoenix VALUES (3, 'newer')")
  assert.equal(await rowsBecome(other, cluster, "SELECT id FROM phoenix"), 2)
  view.close()
  other.close()
})
