// A second instance on the same storage and slot: it waits, says so, answers nothing that could be false, and takes over
// within two seconds when the first stops or dies.
import assert from "node:assert/strict"
import { test } from "node:test"
import { assertOrdered, follow, freePort, rowsBecome, sanitized, startBoth, startCopper, waitFor } from "./support.mjs"

const { cluster, copper: first, sql } = await startBoth({
  schema: "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 100) i",
})
const health = (copper) => copper.get({}, { path: "/v1/health" })
const second = await startCopper({ cluster, storageDir: first.storageDir, port: await freePort(), waitActive: false })
const takeOverMs = 2000 * (sanitized ? 5 : 1)

// Two instances behind one name, as behind a load balancer that asks the second when the first does not serve.
function balanced(coppers) {
  return async (input, init) => {
    const { pathname, search } = new URL(input)
    let last
    for (const copper of coppers) {
      last = await fetch(copper.url + pathname + search, init).catch((error) => (last = error))
      if (last instanceof Response && last.status !== 503) return last
    }
    if (last instanceof Response) return last
    throw last
  }
}

test("while the first runs, the second is waiting: 202, and 503 with retry-after for shapes", async () => {
  await waitFor(async () => (await health(second)).body?.status === "waiting", { what: "the second waits" })
  const { status, body } = await health(second)
  assert.equal(status, 202)
  assert.deepEqual(body, { status: "waiting" })
  const { headers } = await first.get({ table: "items", offset: "-1" })
  for (const params of [{ offset: "-1" }, { offset: "0_inf", handle: headers["electric-handle"], live: "true" }]) {
    const answer = await second.get({ table: "items", ...params })
    assert.equal(answer.status, 503)
    assert.equal(answer.headers["retry-after"], "1")
    assert.equal(answer.headers["cache-control"], "no-store")
  }
  assert.equal((await second.get({ table: "items", offset: "-1" }, { method: "DELETE" })).status, 503)
  assert.equal((await health(first)).body.status, "active")
  assert.match(second.log, /another copper has the storage directory: waiting to take over/)
})

for (const [how, end, start] of [
  ["is killed", () => first.kill(), () => first.start({ waitActive: false })],
  ["stops", () => second.stop(), null],
]) {
  test(`the first ${how}: the other takes over within 2 s, handles and offsets go on, nothing is lost or doubled`, async () => {
    const next = start ? second : first
    await waitFor(async () => (await health(next)).body?.status === "waiting", { what: "the other waits" })
    const view = follow({ shapeUrl: "http://balanced.invalid/v1/shape" }, { table: "items" }, { via: balanced([first, second]) })
    await rowsBecome(view, cluster, "SELECT * FROM items")
    const handle = view.handle()
    await sql("UPDATE items SET n = n + 1 WHERE id <= 50")
    const ended = end()
    await sql("UPDATE items SET n = n + 1 WHERE id > 20")
    await ended
    const since = Date.now()
    await waitFor(async () => (await health(next)).status === 200, { what: "the other is active" })
    assert.ok(Date.now() - since < takeOverMs, `it took ${Date.now() - since} ms`)
    await rowsBecome(view, cluster, "SELECT * FROM items")
    assert.equal(view.handle(), handle)
    assert.equal(view.rotations, 0)
    assertOrdered(view)
    view.close()
    await start?.()
  })
}

test("a second instance that is stopped while it waits leaves with 0", async () => {
  await second.start({ waitActive: false })
  await waitFor(async () => (await health(second)).body?.status === "waiting", { what: "the second waits" })
  await second.stop()
  assert.equal((await health(first)).status, 200)
})
