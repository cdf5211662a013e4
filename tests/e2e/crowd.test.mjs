// Many at once: 200 clients of one shape, and first requests that meet.
import assert from "node:assert/strict"
import { test } from "node:test"
import { assertOrdered, follow, rowsBecome, startBoth, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE items (id int PRIMARY KEY, title text);
    INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 200) i;
    CREATE TABLE first_seen (id int PRIMARY KEY, t text);
    INSERT INTO first_seen SELECT i, repeat('t', 100) FROM generate_series(1, 50000) i;`,
})

test("first requests for the same shape at once share one handle and one snapshot", async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => copper.get({ table: "first_seen", offset: "-1" })))
  for (const { status, text } of answers) assert.equal(status, 200, text.slice(0, 300))
  assert.equal(new Set(answers.map(({ headers }) => headers["electric-handle"])).size, 1)
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1)
})

test("200 clients at once, all live, all equal at the end", async () => {
  const views = Array.from({ length: 200 }, () => follow(copper, { table: "items" }))
  await Promise.all(views.map((view) => view.upToDate()))
  assert.equal(new Set(views.map((view) => view.handle())).size, 1)
  for (let i = 0; i < 20; i++) {
    await sql(`UPDATE items SET title = 'round ${i}' WHERE id % 20 = ${i}; INSERT INTO items VALUES (${1000 + i}, 'new')`)
  }
  await sql("DELETE FROM items WHERE id <= 50")
  await rowsBecome(views[0], cluster, "SELECT * FROM items")
  const rows = JSON.stringify(views[0].rows().sort((a, b) => a.id - b.id))
  for (const view of views) {
    await waitFor(() => (view.failIfGivenUp(), JSON.stringify(view.rows().sort((a, b) => a.id - b.id)) === rows),
      { what: "every client has the rows" })
    assertOrdered(view)
  }
  for (const view of views) view.close()
})

test("50 different shapes of one table at once", async () => {
  const columns = ["a", "b", "c", "d", "e", "f"]
  await sql(`CREATE TABLE six (id int PRIMARY KEY, ${columns.map((name) => `${name} int`).join(", ")}); INSERT INTO six (id) SELECT generate_series(1, 100)`)
  const subsets = Array.from({ length: 50 }, (_, i) => ["id", ...columns.filter((_, bit) => (i + 1) & (1 << bit))])
  const views = subsets.map((subset) => follow(copper, { table: "six", columns: subset }))
  await Promise.all(views.map((view) => view.upToDate()))
  assert.equal(new Set(views.map((view) => view.handle())).size, 50)
  await sql("UPDATE six SET a = 1, c = 3, e = 5 WHERE id % 2 = 0; UPDATE six SET b = 2, d = 4, f = 6 WHERE id % 3 = 0; DELETE FROM six WHERE id = 7")
  for (const [i, view] of views.entries()) {
    await rowsBecome(view, cluster, `SELECT ${subsets[i]} FROM six`)
    view.close()
  }
})
