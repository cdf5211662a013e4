// A part of a table's columns, whole rows in updates, and generated columns, which the stream lacks before Postgres 18.
import assert from "node:assert/strict"
import { test } from "node:test"
import { follow, pgMajor, rowsBecome, startBoth, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE wide (id int PRIMARY KEY, a text, b text, "C d" text);
    INSERT INTO wide VALUES (1, 'a1', 'b1', 'c1'), (2, 'a2', NULL, 'c2');
    CREATE TABLE computed (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
    INSERT INTO computed VALUES (1, 1);`,
})

test("columns: only those, the key always among them; a change to the others is no item", async () => {
  const view = follow(copper, { table: "wide", columns: ["id", "a"] })
  await rowsBecome(view, cluster, "SELECT id, a FROM wide")
  const before = view.changes().length
  await sql("UPDATE wide SET b = 'unseen' WHERE id = 1")
  await sql("UPDATE wide SET a = 'seen', b = 'x' WHERE id = 2")
  await rowsBecome(view, cluster, "SELECT id, a FROM wide")
  assert.deepEqual(view.changes().slice(before).map(({ value }) => value), [{ id: 2, a: "seen" }])
  view.close()

  const quoted = follow(copper, { table: "wide", columns: ["id", "C d"] })
  await rowsBecome(quoted, cluster, `SELECT id, "C d" FROM wide`)
  quoted.close()

  const keyless = await copper.get({ table: "wide", columns: "a", offset: "-1" })
  assert.equal(keyless.status, 400)
  assert.ok(keyless.body.errors.columns[0].includes("id"), keyless.text)
  const unknown = await copper.get({ table: "wide", columns: "id,nope", offset: "-1" })
  assert.equal(unknown.status, 400)
  assert.ok(unknown.body.errors.columns[0].includes("nope"), unknown.text)
})

test("replica=full: whole rows in updates and deletes, and the old values of what changed", async () => {
  const view = follow(copper, { table: "wide", replica: "full" })
  await rowsBecome(view, cluster, "SELECT * FROM wide")
  const before = view.changes().length
  await sql("UPDATE wide SET b = 'full' WHERE id = 1")
  await sql("DELETE FROM wide WHERE id = 1")
  await waitFor(() => view.changes().length >= before + 2)
  const [update, deletion] = view.changes().slice(before)
  assert.deepEqual(update.value, { id: 1, a: "a1", b: "full", "C d": "c1" })
  assert.deepEqual(update.old_value, { b: "unseen" })
  assert.deepEqual(deletion.value, { id: 1, a: "a1", b: "full", "C d": "c1" })
  await rowsBecome(view, cluster, "SELECT * FROM wide")
  view.close()
})

test("log=changes_only: no snapshot rows, then every change", async () => {
  const { status, body, headers } = await copper.get({ table: "wide", offset: "-1", log: "changes_only" })
  assert.equal(status, 200)
  assert.deepEqual(body.map(({ headers: { control } }) => control), ["snapshot-end"])
  await sql("INSERT INTO wide VALUES (50, 'later', NULL, NULL)")
  const live = await copper.get({
    table: "wide", log: "changes_only", live: "true", handle: headers["electric-handle"], offset: "0_inf",
  })
  assert.deepEqual(live.body[0].value, { id: "50", a: "later", b: null, "C d": null })
})

test("a generated column is refused by name before Postgres 18, also when columns is left out", { skip: pgMajor >= 18 }, async () => {
  for (const params of [{ table: "computed" }, { table: "computed", columns: "id,twice" }]) {
    const { status, text } = await copper.get({ ...params, offset: "-1" })
    assert.equal(status, 400, text)
    assert.ok(text.includes("twice"), text)
  }
  const view = follow(copper, { table: "computed", columns: ["id", "n"] })
  await rowsBecome(view, cluster, "SELECT id, n FROM computed")
  await sql("UPDATE computed SET n = 5; INSERT INTO computed VALUES (2, 2)")
  await rowsBecome(view, cluster, "SELECT id, n FROM computed")
  view.close()
})

test("a stored generated column is synced from Postgres 18 on", { skip: pgMajor < 18 }, async () => {
  const view = follow(copper, { table: "computed", where: "twice > 1" })
  await rowsBecome(view, cluster, "SELECT * FROM computed WHERE twice > 1")
  await sql("UPDATE computed SET n = 5; INSERT INTO computed VALUES (3, 3), (4, 0)")
  await rowsBecome(view, cluster, "SELECT * FROM computed WHERE twice > 1")
  await sql("UPDATE computed SET n = 4 - id")
  await rowsBecome(view, cluster, "SELECT * FROM computed WHERE twice > 1")
  view.close()
})
