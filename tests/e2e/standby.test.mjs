// A second instance on the same storage and slot: it waits, says so, passes requests on to the first, so that readers of both
// see one truth, and takes over within two seconds when the first stops or dies.
import assert from "node:assert/strict"
import { once } from "node:events"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import http from "node:http"
import net from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { assertOrdered, follow, freePort, rowsBecome, startBoth, startCopper, waitFor } from "./support.mjs"

const { cluster, copper: first, sql } = await startBoth({
  schema: "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 100) i",
})
const health = (copper) => copper.get({}, { path: "/v1/health" })
const second = await startCopper({ cluster, storageDir: first.storageDir, port: await freePort(), waitActive: false })

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

// One request, its answer as it came but for the date.
async function raw(copper, params, { method = "GET", headers = {}, body, path = "/v1/shape" } = {}) {
  const request = http.request(`${copper.url}${path}?${new URLSearchParams(params)}`,
    { method, headers: { "x-request-id": "the-same-for-both-of-them", ...headers } })
  const [response] = await once(request.end(body), "response")
  const pieces = await response.toArray()
  const { rawHeaders } = response
  const lines = rawHeaders.flatMap((name, i) => (i % 2 || name === "date" ? [] : [`${name}: ${rawHeaders[i + 1]}`]))
  return { status: response.statusCode, lines, body: Buffer.concat(pieces).toString("latin1") }
}

// The id of who was parked is the server's.
const notItsOwn = (line) => !/^(x-request-id|etag): /.test(line)

const snapshot = await first.get({ table: "items", offset: "-1" })
const handle = snapshot.headers["electric-handle"]

test("while the first runs, the second says waiting", async () => {
  await waitFor(async () => (await health(second)).body?.status === "waiting", { what: "the second waits" })
  const { status, body } = await health(second)
  assert.equal(status, 202)
  assert.deepEqual(body, { status: "waiting" })
  assert.equal((await health(first)).body.status, "active")
  assert.match(second.log, /another copper has the storage directory: waiting to take over/)
})

test("whatever is asked, the second gives the first's answer, byte for byte", async () => {
  await sql("UPDATE items SET n = n + 1 WHERE id <= 3")
  const log = await waitFor(async () => {
    const answer = await first.get({ table: "items", offset: "0_inf", handle })
    return answer.body?.length > 3 && answer
  }, { what: "the log has the changes" })
  const subset = JSON.stringify({ subset: { where: "id < $1", params: { 1: "10" }, order_by: "id", limit: 5 } })
  for (const [what, status, params, options] of [
    ["a snapshot", 200, { offset: "-1" }],
    ["a compressed one", 200, { offset: "-1" }, { headers: { "accept-encoding": "gzip" } }],
    ["HEAD", 200, { offset: "-1" }, { method: "HEAD" }],
    ["the log", 200, { offset: "0_inf", handle }],
    ["now, whose etag counts", 200, { offset: "now" }],
    ["not modified", 304, { offset: "-1" }, { headers: { "if-none-match": snapshot.headers.etag.replace(/:(gzip|zstd)"/, '"') } }],
    ["another handle", 409, { offset: "0_0", handle: "1-1" }],
    ["no such table", 400, { table: "none", offset: "-1" }],
    ["no offset", 400, {}],
    ["a new clause, which is waited for", 200, { offset: "-1", where: "id < 7" }],
    ["a subset", 200, { offset: "now" }, { method: "POST", body: subset, headers: { "content-type": "application/json" } }],
    ["bad JSON", 400, { offset: "-1" }, { method: "POST", body: "{", headers: { "content-type": "application/json" } }],
    ["a body in chunks", 200, { offset: "-1" }, { method: "POST", body: "{}", headers: { "transfer-encoding": "chunked" } }],
    ["DELETE, which is off", 405, { handle }, { method: "DELETE" }],
    ["OPTIONS", 204, {}, { method: "OPTIONS" }],
    ["PUT", 404, {}, { method: "PUT" }],
  ]) {
    const [theirs, ours] = await Promise.all([second, first].map((copper) => raw(copper, { table: "items", ...params }, options)))
    assert.equal(theirs.status, status, `${what}: ${theirs.body.slice(0, 200)}`)
    if (/counts|waited/.test(what)) for (const answer of [theirs, ours]) answer.lines = answer.lines.filter(notItsOwn)
    if (what === "a subset") { // each is a transaction of its own
      for (const answer of [theirs, ours]) {
        answer.body = answer.body.replaceAll(/"(snapshot_mark|xmin|xmax|database_lsn)":("?)\d+\2/g, '"$1":0').replace(/"xip_list":\[[^\]]*]/, "")
        answer.lines = answer.lines.filter((line) => !/^(electric-snapshot|content-length|etag)/.test(line))
      }
    }
    assert.deepEqual(theirs, ours, what)
  }
  assert.ok(log)
})

test("a long poll and a stream through the second get the change when it comes", async () => {
  const { headers: { "electric-offset": offset } } = await first.get({ table: "items", offset: "now", handle })
  const params = { table: "items", offset, handle, live: "true" }
  const polls = Promise.all([second, first].map((copper) => raw(copper, params)))
  const abort = new AbortController()
  const stream = await fetch(`${second.shapeUrl}?${new URLSearchParams({ ...params, live_sse: "true" })}`, { signal: abort.signal })
  assert.equal(stream.status, 200)
  assert.match(stream.headers.get("content-type"), /^text\/event-stream/)
  let events = ""
  const reading = (async () => {
    for await (const piece of stream.body.pipeThrough(new TextDecoderStream())) events += piece
  })().catch(() => {})
  await sql("UPDATE items SET n = 77 WHERE id = 9")
  const [theirs, ours] = await polls
  assert.equal(theirs.status, 200)
  assert.deepEqual(theirs.lines.filter(notItsOwn), ours.lines.filter(notItsOwn))
  assert.equal(theirs.body, ours.body)
  assert.match(theirs.body, /"77"/)
  await waitFor(() => /"77"/.test(events), { what: "the first event" })
  await sql("UPDATE items SET n = 78 WHERE id = 9")
  await waitFor(() => /"78"/.test(events), { what: "the next event" })
  abort.abort()
  await reading
})

test("a client that ends its side after its request is answered all the same", async () => {
  for (const copper of [first, second]) {
    const socket = net.connect({ port: copper.port, host: "127.0.0.1", allowHalfOpen: true })
    socket.end("GET /v1/shape?table=items&offset=-1 HTTP/1.1\r\nhost: t\r\n\r\n")
    let answer = ""
    for await (const piece of socket) answer += piece
    assert.match(answer, /^HTTP\/1.1 200 OK\r\n[^]*"id":"100"[^]*]$/)
  }
})

const unavailable = (answer) => {
  assert.equal(answer.status, 503)
  assert.ok(answer.lines.includes("retry-after: 1"), answer.lines.join("\n"))
}
const listening = join(first.storageDir, "listening")
const [instance] = readFileSync(listening, "utf8").match(/(?<=^instance )\w+/)
const mark = `copper-relayed: ${instance}\r\n`

test("a relayed request goes no further, and is answered only by the instance that it is meant for", async () => {
  for (const [copper, mark, status] of [[second, instance, 503], [second, "", 503], [first, "0123", 503], [first, "", 503], [first, instance, 200]]) {
    const answer = await raw(copper, { table: "items", offset: "-1" }, { headers: { "copper-relayed": mark } })
    if (status === 503) unavailable(answer)
    else assert.equal(answer.status, status)
  }
})

test("when the first cannot be reached, breaks off or is not to be found: 503 with retry-after, a body is cut off", async () => {
  const told = readFileSync(listening, "utf8")
  let reply
  const server = net.createServer((socket) => {
    socket.on("error", () => {})
    socket.once("data", () => (reply ? socket.end(reply) : socket.destroy()))
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  const tell = (port) => writeFileSync(listening, told.replace(/(?<=^port )\d+/m, String(port)))
  const ask = (options) => raw(second, { table: "items", offset: "-1" }, options)
  try {
    tell(server.address().port)
    for (const broken of [null, `HTTP/1.1 200 OK\r\n${mark}content-length: 5\r\n`, "nonsense\r\n\r\n", `HTTP/1.1 100 Continue\r\n${mark}\r\n`,
      // Another program, or another instance, that has the port by now.
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", `HTTP/1.1 200 OK\r\n${mark.replace(instance, "0123")}content-length: 2\r\n\r\n[]`,
      `HTTP/1.1 200 OK\r\n${mark}x: ${"x".repeat(300_000)}\r\n\r\n`]) {
      reply = broken
      unavailable(await ask())
    }
    reply = `HTTP/1.1 200 OK\r\n${mark}a: b\r\nempty:\r\nconnection: close\r\n\r\nuntil the end`
    const { status, lines, body } = await ask()
    assert.equal(status, 200)
    assert.deepEqual(lines.slice(0, 2), ["a: b", "empty: "])
    assert.equal(body, "until the end")
    for (const cut of [`HTTP/1.1 200 OK\r\n${mark}content-length: 5\r\n\r\nabc`, `HTTP/1.1 200 OK\r\n${mark}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`]) {
      reply = cut
      await assert.rejects(ask(), { code: "ECONNRESET" })
    }
    tell(await freePort())
    unavailable(await ask())
    for (const text of ["", "nonsense", told.replace(/(?<=^port )\d+/m, "0"), told.replace(/^host .*$/m, "host nowhere")]) {
      writeFileSync(listening, text)
      unavailable(await ask())
    }
    rmSync(listening)
    unavailable(await ask())
  } finally {
    writeFileSync(listening, told)
    server.close()
  }
  assert.equal((await ask()).status, 200)
})

test("an instance elsewhere is asked at its address", async () => {
  const told = readFileSync(listening, "utf8")
  const other = told.replace(/^place .*$/m, "place elsewhere/net:[1]")
  try {
    writeFileSync(listening, other.replace(/^address .*$/m, "address -"))
    unavailable(await raw(second, { table: "items", offset: "-1" }))
    writeFileSync(listening, other.replace(/^address .*$/m, "address 127.0.0.2"))
    assert.equal((await raw(second, { table: "items", offset: "-1" })).status, 200)
  } finally {
    writeFileSync(listening, told)
  }
})

for (const [how, end, start] of [
  ["is killed", () => first.kill(), () => first.start({ waitActive: false })],
  ["stops", () => second.stop(), null],
]) {
  test(`the first ${how}: the other takes over, handles and offsets go on, nothing is lost or doubled`, async () => {
    const next = start ? second : first
    await waitFor(async () => (await health(next)).body?.status === "waiting", { what: "the other waits" })
    // Half of them ask the one that waits first: their long polls are under way through it.
    const views = Array.from({ length: 8 }, (_, i) => follow({ shapeUrl: "http://balanced.invalid/v1/shape" }, { table: "items" },
      { via: balanced(i % 2 ? [first, second] : [second, first]) }))
    for (const view of views) await rowsBecome(view, cluster, "SELECT * FROM items")
    await sql("UPDATE items SET n = n + 1 WHERE id <= 50")
    const ended = end()
    await sql("UPDATE items SET n = n + 1 WHERE id > 20")
    await ended
    const since = Date.now()
    await waitFor(async () => (await health(next)).status === 200, { what: "the other is active" })
    console.log(`# taken over after ${Date.now() - since} ms`)
    for (const view of views) {
      await rowsBecome(view, cluster, "SELECT * FROM items")
      assert.equal(view.handle(), handle)
      assert.equal(view.rotations, 0)
      assertOrdered(view)
      view.close()
    }
    await start?.()
  })
}

test("a second instance that is stopped while it waits leaves with 0", async () => {
  await second.start({ waitActive: false })
  await waitFor(async () => (await health(second)).body?.status === "waiting", { what: "the second waits" })
  await second.stop()
  assert.equal((await health(first)).status, 200)
})
