// The edges: a table emptied, rewritten or replaced under a shape, two Coppers on one database or one directory, a slot
// that somebody dropped, rows of inheriting tables.
import assert from "node:assert/strict"
import { test } from "node:test"
import { follow, rowsBecome, startBoth, startCopper, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth()

const waitingForLock = () => waitFor(async () => (await sql(`SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
  WHERE NOT l.granted AND l.locktype = 'relation'`)).length > 0, { what: "Copper waits for the table's lock" })

// To an older transaction's snapshot a table that was emptied or rewritten since looks empty: what each of these leaves.
const rewrites = {
  truncate: (table) => `TRUNCATE ${table}; INSERT INTO ${table} VALUES (1000, 7)`,
  retype: (table) => `ALTER TABLE ${table} ALTER n TYPE bigint; UPDATE ${table} SET n = n + 1 WHERE id = 1`,
  back_and_forth: (table) => `ALTER TABLE ${table} ALTER n TYPE bigint; ALTER TABLE ${table} ALTER n TYPE int`,
  vacuum_like: (table) => `CLUSTER ${table} USING ${table}_pkey; DELETE FROM ${table} WHERE id = 2`,
}

for (const [name, rewrite] of Object.entries(rewrites)) {
  for (const known of [false, true]) {
    test(`${name} holds the table as the first snapshot of a ${known ? "known" : "new"} table starts: rows are right`, async () => {
      const table = `held_${name}${known ? "_known" : ""}`
      await sql(`CREATE TABLE ${table} (id int PRIMARY KEY, n int); INSERT INTO ${table} SELECT i, i FROM generate_series(1, 500) i`)
      if (known) await copper.get({ table, columns: "id", offset: "-1" })
      const holder = await cluster.connect()
      await holder.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
      const view = follow(copper, { table, columns: ["id", "n"] })
      await waitingForLock()
      await holder.query(rewrite(table))
      await holder.query("COMMIT")
      await holder.end()
      assert.ok(await rowsBecome(view, cluster, `SELECT * FROM ${table}`) > 0)
      await sql(`INSERT INTO ${table} VALUES (2000, 2)`)
      await rowsBecome(view, cluster, `SELECT * FROM ${table}`)
      // The stored shape is what the next client reads.
      const late = follow(copper, { table, columns: ["id", "n"] })
      await rowsBecome(late, cluster, `SELECT * FROM ${table}`)
      view.close()
      late.close()
    })
  }
}

test("TRUNCATE and rewrites at many moments around the first snapshot: never a stale or an empty shape", async () => {
  const statements = Object.values(rewrites)
  await Promise.all(statements.map(async (rewrite, column) => {
    for (let moment = 0; moment < 8; moment++) {
      const table = `moment_${column}_${moment}`
      await sql(`CREATE TABLE ${table} (id int PRIMARY KEY, n int, t text);
        INSERT INTO ${table} SELECT i, i, repeat('m', 100) FROM generate_series(1, 3000) i`)
      const client = await cluster.connect()
      const view = follow(copper, { table })
      for (let trip = 0; trip < moment * 3; trip++) await client.query("SELECT 1")
      await client.query(`BEGIN; ${rewrite(table)}; COMMIT`)
      await client.end()
      assert.ok(await rowsBecome(view, cluster, `SELECT * FROM ${table}`) > 0)
      await sql(`INSERT INTO ${table} VALUES (5000, 5)`)
      await rowsBecome(view, cluster, `SELECT * FROM ${table}`)
      view.close()
    }
  }))
})

test("a table dropped and made anew: old readers get 409, new ones the new table", async () => {
  for (const together of [true, false]) {
    await sql("DROP TABLE IF EXISTS reborn; CREATE TABLE reborn (id int PRIMARY KEY, old text); INSERT INTO reborn VALUES (1, 'old')")
    const view = follow(copper, { table: "reborn" })
    await rowsBecome(view, cluster, "SELECT * FROM reborn")
    const handle = view.handle()
    const rotations = view.rotations
    const again = "CREATE TABLE reborn (id text PRIMARY KEY, new int); INSERT INTO reborn VALUES ('a', 1), ('b', 2)"
    if (together) await sql(`BEGIN; DROP TABLE reborn; ${again}; COMMIT`)
    else for (const statement of ["DROP TABLE reborn", again]) await sql(statement)
    await waitFor(async () => (await copper.get({ table: "reborn", handle, offset: "0_0" })).status === 409,
      { what: "the old handle gets 409" })
    const fresh = await copper.get({ table: "reborn", offset: "-1" })
    assert.equal(fresh.status, 200, fresh.text)
    assert.notEqual(fresh.headers["electric-handle"], handle)
    assert.deepEqual(fresh.body.filter(({ value }) => value).map(({ value }) => value.id).sort(), ["a", "b"])
    // The reader either met the moment without a table, which is an error for it, or goes on with the new one.
    if (together) {
      await rowsBecome(view, cluster, "SELECT * FROM reborn")
      assert.ok(view.rotations > rotations)
      await sql("UPDATE reborn SET new = 3 WHERE id = 'a'")
      await rowsBecome(view, cluster, "SELECT * FROM reborn")
    }
    view.close()
  }
})

test("rows of tables that inherit are not in the parent's shape", async () => {
  await sql(`CREATE TABLE parent (id int PRIMARY KEY, t text); CREATE TABLE child (extra int) INHERITS (parent);
    INSERT INTO parent VALUES (1, 'parent'); INSERT INTO child VALUES (2, 'child', 0)`)
  const view = follow(copper, { table: "parent" })
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM ONLY parent"), 1)
  await sql(`INSERT INTO child VALUES (3, 'child', 1); UPDATE parent SET t = 'both'; DELETE FROM parent WHERE id = 2;
    INSERT INTO parent VALUES (4, 'parent')`)
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM ONLY parent"), 2)
  // Nothing of the child came in between either.
  assert.deepEqual([...new Set(view.changes().map(({ value }) => value.id))].sort(), [1, 4])
  view.close()
})

test("a second Copper on the same database waits, and takes over when the first is killed", async () => {
  await sql("CREATE TABLE shared (id int PRIMARY KEY); INSERT INTO shared VALUES (1), (2)")
  const first = follow(copper, { table: "shared" })
  await rowsBecome(first, cluster, "SELECT * FROM shared")
  const second = await startCopper({ cluster, waitActive: false })
  const health = () => second.get({}, { path: "/v1/health" })
  const answer = await waitFor(async () => {
    const { status, body } = await health()
    return status === 202 && body.status === "waiting" && { status, body }
  }, { what: "the second one says that it waits" })
  assert.deepEqual(answer, { status: 202, body: { status: "waiting" } })
  const refused = await second.get({ table: "shared", offset: "-1" }, { signal: AbortSignal.timeout(60_000) })
  assert.equal(refused.status, 503, refused.text)
  assert.ok(refused.headers["retry-after"])
  await sql("INSERT INTO shared VALUES (3)")
  await rowsBecome(first, cluster, "SELECT * FROM shared")
  assert.equal((await health()).status, 202, "still waiting while the first one works")

  await copper.kill()
  await waitFor(async () => (await health()).status === 200, { what: "the second one is active" })
  const view = follow(second, { table: "shared" })
  await rowsBecome(view, cluster, "SELECT * FROM shared")
  await sql("DELETE FROM shared WHERE id = 1")
  await rowsBecome(view, cluster, "SELECT * FROM shared")
  view.close()
  await second.stop()

  // The first one again: the slot went on without it, so its reader starts over or goes on, and is right.
  await copper.start()
  await rowsBecome(first, cluster, "SELECT * FROM shared")
  await sql("INSERT INTO shared VALUES (9)")
  await rowsBecome(first, cluster, "SELECT * FROM shared")
  first.close()
})

test("the replication slot is dropped while Copper is stopped: every shape rotates, clients converge", async () => {
  await sql(`CREATE TABLE gap_a (id int PRIMARY KEY, n int); CREATE TABLE gap_b (id int PRIMARY KEY, n int);
    INSERT INTO gap_a VALUES (1, 1), (2, 2); INSERT INTO gap_b VALUES (1, 1)`)
  const definitions = [
    [{ table: "gap_a" }, "SELECT * FROM gap_a"],
    [{ table: "gap_a", columns: ["id"] }, "SELECT id FROM gap_a"],
    [{ table: "gap_b" }, "SELECT * FROM gap_b"],
  ]
  const views = definitions.map(([params]) => follow(copper, params))
  const allRight = () => Promise.all(views.map((view, i) => rowsBecome(view, cluster, definitions[i][1])))
  await allRight()
  const handles = views.map((view) => view.handle())
  await copper.stop()
  await sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
  await sql("UPDATE gap_a SET n = n + 10 WHERE id = 1; DELETE FROM gap_a WHERE id = 2")
  await copper.start()
  await waitFor(() => views.every((view) => view.rotations > 0), { what: "all three shapes rotate, the untouched one as well" })
  await allRight()
  views.forEach((view, i) => assert.notEqual(view.handle(), handles[i]))
  await sql("INSERT INTO gap_a VALUES (5, 5); UPDATE gap_b SET n = 2")
  await allRight()
  views.forEach((view) => view.close())
})
