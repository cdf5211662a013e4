// The parameters that say which part of a shape's history a client gets, and how: offset=now, log=changes_only,
// replica=full, queryable_columns, cursor; through the official client where it has a way to ask for them.
import assert from "node:assert/strict"
import { test } from "node:test"
import { follow, startBoth, waitFor } from "./support.mjs"

const { copper, sql } = await startBoth({
  schema: `CREATE TABLE items (id int PRIMARY KEY, title text, n int);
    INSERT INTO items SELECT i, 'item ' || i, i FROM generate_series(1, 100) i;
    CREATE TABLE open (id int PRIMARY KEY, t text, secret text); INSERT INTO open VALUES (1, 'one', 'hidden');`,
  env: { COPPER_LONG_POLL_TIMEOUT: "2s" },
})

const control = ({ headers }) => headers.control
const values = (view) => view.changes().map(({ value }) => value)

test("offset=now: nothing of before, everything from now on", async () => {
  const { status, headers, body } = await copper.get({ table: "items", offset: "now" })
  assert.equal(status, 200)
  assert.deepEqual(body.map(control), ["up-to-date"])
  assert.equal(headers["electric-has-data"], "false")
  assert.equal(headers["electric-up-to-date"], "")
  assert.notEqual(headers["electric-schema"], undefined)
  assert.equal(headers["electric-offset"], "0_inf")
  assert.match(headers.etag, new RegExp(`^"${headers["electric-handle"]}:now:0_inf:\\d+"$`))

  for (const options of [{}, { liveSse: true }]) {
    const view = follow(copper, { table: "items" }, { offset: "now", ...options })
    await view.upToDate()
    assert.deepEqual(view.changes(), [])
    await sql("UPDATE items SET n = n + 1 WHERE id = 7; DELETE FROM items WHERE id = 9; INSERT INTO items VALUES (9, 'again', 9)")
    await waitFor(() => (view.failIfGivenUp(), view.changes().length >= 3))
    assert.deepEqual(view.changes().slice(0, 3).map(({ headers: { operation } }) => operation), ["update", "delete", "insert"])
    assert.deepEqual(values(view)[2], { id: 9, title: "again", n: 9 })
    await sql("UPDATE items SET n = n + 1") // not what a later `now` begins with
    await waitFor(() => view.changes().length >= 103, { what: "the log has it: now is behind it" })
    view.close()
  }
  const later = await copper.get({ table: "items", offset: "now", handle: "ignored" })
  assert.equal(later.status, 200)
  assert.notEqual(later.headers["electric-offset"], "0_inf", "behind the changes there were")
})

test("log=changes_only: its own shape, without rows, with every change; the client stays up to date", async () => {
  for (const options of [{}, { liveSse: true }]) {
    const params = { table: "items", log: "changes_only", replica: "full" }
    const view = follow(copper, { table: "items", replica: "full" }, { log: "changes_only", offset: "now", ...options })
    await view.upToDate()
    const whole = await copper.get({ table: "items", offset: "-1" })
    assert.notEqual(view.handle(), whole.headers["electric-handle"])
    const own = await copper.get({ ...params, offset: "-1" })
    assert.equal(view.handle(), own.headers["electric-handle"])
    assert.deepEqual(own.body.map(control), ["snapshot-end"])
    await sql("UPDATE items SET title = title || '!', n = 0 WHERE id = 3")
    await waitFor(() => (view.failIfGivenUp(), view.changes().length > 0))
    const [update] = view.changes()
    assert.equal(update.headers.operation, "update")
    assert.equal(update.value.id, 3)
    assert.equal(update.value.n, 0)
    // Only what changed, as it was before, parsed as values are.
    assert.equal(`${update.old_value.title}!`, update.value.title)
    assert.ok(Object.keys(update.old_value).every((name) => ["title", "n"].includes(name)))
    await sql("DELETE FROM items WHERE id = 4")
    await waitFor(() => view.changes().at(-1).headers.operation === "delete")
    assert.equal(view.changes().at(-1).value.title, "item 4", "whole, under replica=full")
    await sql("INSERT INTO items VALUES (4, 'item 4', 4); UPDATE items SET n = 3 WHERE id = 3")
    await waitFor(() => view.changes().length === 4, { what: "the log has it: the next one's now is behind it" })
    view.close()
  }
})

test("queryable_columns: a list of columns that columns must be part of, and its default", async () => {
  const all = await copper.get({ table: "open", queryable_columns: "id,t", offset: "-1" })
  assert.deepEqual(all.body[0].value, { id: "1", t: "one" })
  assert.deepEqual(Object.keys(JSON.parse(all.headers["electric-schema"])), ["id", "t"])
  const part = await copper.get({ table: "open", queryable_columns: "id,t", columns: "id", offset: "-1" })
  assert.deepEqual(part.body[0].value, { id: "1" })
  const hidden = await copper.get({ table: "open", queryable_columns: "id,t", columns: "id,secret", offset: "-1" })
  assert.equal(hidden.status, 400)
  assert.deepEqual(hidden.body.errors, { columns: ["The following columns are not found on the table: secret"] })
  const unknown = await copper.get({ table: "open", queryable_columns: "id,none", offset: "-1" })
  assert.deepEqual(unknown.body.errors, { queryable_columns: ["The following queryable columns are not found on the table: none"] })

  const view = follow(copper, { table: "open", queryable_columns: "id,t", columns: ["id", "t"] }, { liveSse: true })
  await view.upToDate()
  await sql("UPDATE open SET secret = 'other'; UPDATE open SET t = 'two', secret = 'third'")
  await waitFor(() => (view.failIfGivenUp(), view.changes().length === 2))
  assert.deepEqual(values(view), [{ id: 1, t: "one" }, { id: 1, t: "two" }])
  assert.deepEqual(view.changes()[1].old_value, undefined)
  view.close()
})

test("cursor: moves on with every live answer, whatever the request's was", async () => {
  let { headers } = await copper.get({ table: "items", offset: "now" })
  const handle = headers["electric-handle"], offset = headers["electric-offset"]
  assert.equal(headers["electric-cursor"], undefined, "live answers only")
  const live = (cursor) => copper.get({ table: "items", handle, offset, live: "true", ...(cursor !== undefined && { cursor }) })
  const now = () => Math.floor(Date.now() / 1000) - Date.UTC(2024, 9, 9) / 1000
  const asked = now()
  const answers = await Promise.all(["", "0", "junk", "99999999999999999999", undefined, String(now() + 100_000)].map(live))
  for (const { status } of answers) assert.equal(status, 200)
  const next = answers.map((answer) => Number(answer.headers["electric-cursor"]))
  for (const cursor of next.slice(0, 5)) {
    assert.equal(cursor % 2, 0, "a multiple of the long-poll time")
    assert.ok(cursor >= asked - 6 && cursor <= now() + 6, `${cursor} is about now, ${asked} to ${now()}`)
  }
  assert.ok(next[5] > now() + 99_000 && next[5] <= now() + 100_000 + 3600, "ahead of the request's, by a random step")
  const again = await live(String(next[0]))
  assert.ok(Number(again.headers["electric-cursor"]) > next[0])
})
