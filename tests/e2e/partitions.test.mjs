// Partitioned tables: a shape on the root sees every leaf, one on a leaf sees that leaf.
import assert from "node:assert/strict"
import { test } from "node:test"
import { follow, rowsBecome, startBoth, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  env: { ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD: "300ms" },
  schema: `CREATE TABLE events (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
    CREATE TABLE events_eu PARTITION OF events FOR VALUES IN ('eu');
    CREATE TABLE events_us PARTITION OF events FOR VALUES IN ('us');
    INSERT INTO events SELECT i, CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, 'v' || i FROM generate_series(1, 10) i;`,
})

test("a shape on the root follows all leaves, one on a leaf follows that leaf", async () => {
  const rootView = follow(copper, { table: "events" })
  const leaf = follow(copper, { table: "events_eu" })
  assert.equal(await rowsBecome(rootView, cluster, "SELECT * FROM events"), 10)
  assert.equal(await rowsBecome(leaf, cluster, "SELECT * FROM events_eu"), 5)
  await sql(`INSERT INTO events VALUES (11, 'us', 'new'), (12, 'eu', 'new'); UPDATE events SET v = 'x' WHERE id IN (1, 2);
    DELETE FROM events WHERE id IN (3, 4); INSERT INTO events_eu VALUES (20, 'eu', 'direct')`)
  assert.equal(await rowsBecome(rootView, cluster, "SELECT * FROM events"), 11)
  assert.equal(await rowsBecome(leaf, cluster, "SELECT * FROM events_eu"), 6)
  for (const { headers } of rootView.changes()) assert.deepEqual(headers.relation, ["public", "events"])
  for (const { headers } of leaf.changes()) assert.deepEqual(headers.relation, ["public", "events_eu"])

  // A row that moves from one leaf to the other.
  await sql("UPDATE events SET region = 'eu' WHERE id = 1; UPDATE events SET region = 'us' WHERE id = 20")
  await rowsBecome(rootView, cluster, "SELECT * FROM events")
  await rowsBecome(leaf, cluster, "SELECT * FROM events_eu")
  rootView.close()
  leaf.close()
})

test("a leaf made later belongs to the root's shape", async () => {
  const view = follow(copper, { table: "events" })
  await rowsBecome(view, cluster, "SELECT * FROM events")
  await sql("CREATE TABLE events_asia PARTITION OF events FOR VALUES IN ('asia'); INSERT INTO events VALUES (30, 'asia', 'new leaf')")
  await rowsBecome(view, cluster, "SELECT * FROM events")
  view.close()
})

test("leaves that are detached, dropped or attached with rows: the root's shape starts anew, those of other leaves go on", async () => {
  const rootView = follow(copper, { table: "events" })
  const leaf = follow(copper, { table: "events_us" })
  await rowsBecome(rootView, cluster, "SELECT * FROM events")
  await rowsBecome(leaf, cluster, "SELECT * FROM events_us")
  for (const change of [
    "ALTER TABLE events DETACH PARTITION events_eu",
    "UPDATE events_eu SET v = 'while away'; ALTER TABLE events ATTACH PARTITION events_eu FOR VALUES IN ('eu')",
    "DROP TABLE events_eu",
  ]) {
    const handle = rootView.handle()
    await sql(change)
    await waitFor(() => rootView.handle() !== handle, { what: `a new shape after ${change}` })
    await rowsBecome(rootView, cluster, "SELECT * FROM events")
  }
  await sql("INSERT INTO events VALUES (40, 'us', 'last')")
  await rowsBecome(rootView, cluster, "SELECT * FROM events")
  await rowsBecome(leaf, cluster, "SELECT * FROM events_us")
  assert.equal(leaf.rotations, 0)
  rootView.close()
  leaf.close()
})
