// What does not need rows: health, methods, the gate of DELETE, the secret, limits of requests, the end by SIGTERM.
import assert from "node:assert/strict"
import net from "node:net"
import { test } from "node:test"
import { follow, patience, rowsBecome, startBoth, startCluster, startCopper, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: "CREATE TABLE items (id int PRIMARY KEY, n int); INSERT INTO items VALUES (1, 1), (2, 2)",
})

test("health is 200 active, the root 200, anything else 404", async () => {
  const health = await copper.get({}, { path: "/v1/health" })
  assert.deepEqual([health.status, health.body], [200, { status: "active" }])
  assert.equal((await copper.get({}, { path: "/" })).status, 200)
  assert.equal((await copper.get({}, { path: "/v2/shape" })).status, 404)
})

test("a second Copper on the same database waits with 202 and takes over when the first ends", async () => {
  const other = await startCluster()
  await other.sql("CREATE TABLE items (id int PRIMARY KEY)")
  const first = await startCopper({ cluster: other })
  const second = await startCopper({ cluster: other, waitActive: false })
  await waitFor(async () => (await second.get({}, { path: "/v1/health" })).status === 202, { what: "the second waits" })
  const refused = await second.get({ table: "items", offset: "-1" })
  assert.equal(refused.status, 503)
  assert.ok(refused.headers["retry-after"])
  await first.stop()
  await waitFor(async () => (await second.get({}, { path: "/v1/health" })).status === 200, { what: "the second is active" })
  await second.stop()
  await other.stop()
})

test("HEAD has the headers of GET and no body", async () => {
  const get = await copper.get({ table: "items", offset: "-1" })
  const head = await copper.get({ table: "items", offset: "-1" }, { method: "HEAD" })
  assert.equal(head.status, 200)
  assert.equal(head.text, "")
  for (const name of ["electric-handle", "electric-offset", "electric-schema", "etag", "cache-control"]) {
    assert.equal(head.headers[name], get.headers[name], name)
  }
})

test("DELETE is 405 unless enabled; enabled, it drops the shape and clients start over", async () => {
  const shut = await copper.get({ table: "items" }, { method: "DELETE" })
  assert.equal(shut.status, 405)
  const other = await startCluster()
  await other.sql("CREATE TABLE items (id int PRIMARY KEY, n int); INSERT INTO items VALUES (1, 1)")
  const open = await startCopper({ cluster: other, env: { ELECTRIC_ENABLE_INTEGRATION_TESTING: "true" } })
  const view = follow(open, { table: "items" })
  await rowsBecome(view, other, "SELECT * FROM items")
  const handle = view.handle()
  assert.equal((await open.get({ table: "items", handle: "1-1" }, { method: "DELETE" })).status, 400)
  assert.equal((await open.get({ table: "items", handle }, { method: "DELETE" })).status, 202)
  await waitFor(() => view.rotations > 0)
  await rowsBecome(view, other, "SELECT * FROM items")
  assert.notEqual(view.handle(), handle)
  assert.equal((await open.get({ table: "items" }, { method: "DELETE" })).status, 202)
  await waitFor(() => view.rotations > 1)
  await other.sql("INSERT INTO items VALUES (2, 2)")
  await rowsBecome(view, other, "SELECT * FROM items")
  view.close()
  await open.stop()
  await other.stop()
})

test("with a secret: 401 without it, however the path is written; health and OPTIONS need none", async () => {
  const other = await startCluster()
  await other.sql("CREATE TABLE items (id int PRIMARY KEY); INSERT INTO items VALUES (1)")
  const locked = await startCopper({ cluster: other, insecure: false, env: { ELECTRIC_SECRET: "top secret/+&" } })
  const params = { table: "items", offset: "-1" }
  for (const wrong of [{}, { secret: "" }, { secret: "top" }, { secret: "top secret/+&x" }]) {
    assert.equal((await locked.get({ ...params, ...wrong })).status, 401)
  }
  for (const path of ["//v1/shape", "/v1//shape", "/v1/%73hape", "/v1%2Fshape", "/v1/shape/"]) {
    const { status } = await locked.get(params, { path })
    assert.ok(status === 401 || status === 404, `${path}: ${status}`)
  }
  // As fetch would not write them. Only what is /v1/shape in the end is that, and asks.
  const targets = [
    "/v1/shape", "/v1/./shape", "/v1/x/../shape", "/v1/%2e/shape", "/v1/%2e%2e/v1/shape", "/v1/health/../shape", "/v1/health/%2e%2e/shape",
    "/v1/health/%2e%2e%2fshape", "/v1/health%2f..%2fshape", "/v1/health;/../shape", "/v1/shape;x", "/v1/shape%00", "/v1/shape%20", "/v1/SHAPE",
    "/v1\\shape", "/%76%31/%73%68%61%70%65", "///v1///shape///", "/v1/shape/%2e", "/v1/%C0%AFshape", "//x/v1/shape", "http://x/v1/shape", "http://x//v1/shape/",
  ]
  for (const target of targets) {
    for (const method of ["GET", "HEAD", "POST", "DELETE", "PATCH"]) {
      const answer = await talk(`${method} ${target}?table=items&offset=-1&x=secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
        { port: locked.port })
      assert.match(answer, /^HTTP\/1\.1 40[0145] /, `${method} ${target}`)
      assert.doesNotMatch(answer, /electric-handle: /, `${method} ${target}`)
    }
  }
  assert.equal((await locked.get({ ...params, secret: "top secret/+&" })).status, 200)
  assert.equal((await locked.get({ ...params, api_secret: "top secret/+&" })).status, 200)
  assert.equal((await locked.get({}, { path: "/v1/health" })).status, 200)
  assert.equal((await locked.get(params, { method: "OPTIONS" })).status, 204)
  assert.ok(!locked.log.includes("top secret"), "the secret is not in the log")
  await locked.stop()
  await other.stop()
})

// What comes back until the server closes.
const talk = (bytes, { port = copper.port } = {}) => new Promise((resolve) => {
  const socket = net.connect(port, "127.0.0.1", () => socket.end(bytes))
  let text = ""
  socket.on("data", (piece) => (text += piece)).on("close", () => resolve(text)).on("error", () => {})
})

test("garbage, a request in drips and one that hangs up do no harm", async () => {
  assert.match(await talk("\x16\x03\x01nonsense\r\n\r\n"), /^HTTP\/1\.1 400|^$/)
  assert.match(await talk(`GET /v1/shape?table=${"x".repeat(200_000)} HTTP/1.1\r\nHost: x\r\n\r\n`), /^HTTP\/1\.1 414|^$/)
  assert.match(await talk("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), /^HTTP\/1\.1 400|^$/)
  const two = await talk("GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
  assert.equal(two.match(/HTTP\/1\.1 200/g)?.length, 2, "pipelined requests are both answered")
  const handle = (await copper.get({ table: "items", offset: "-1" })).headers["electric-handle"]
  for (let i = 0; i < 50; i++) {
    const socket = net.connect(copper.port, "127.0.0.1")
    await new Promise((resolve) => socket.once("connect", resolve))
    socket.write(`GET /v1/shape?table=items&handle=${handle}&offset=0_inf&live=true HTTP/1.1\r\nHost: x\r\n\r\n`)
    socket.destroy()
  }
  assert.equal((await copper.get({}, { path: "/v1/health" })).status, 200)
})

test("too long a URL, header or body is refused with a reason; who says nothing is closed, and holds nobody up", async () => {
  const quick = await startCopper({ cluster: await startCluster(), args: ["--tcp-read-timeout", "500ms"] })
  const refusals = [
    [414, `GET /v1/shape?x=${"x".repeat(70_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    [431, `GET /v1/shape HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(70_000)}\r\n\r\n`],
    [431, `GET /v1/shape HTTP/1.1\r\nHost: x\r\n${"A: a\r\n".repeat(20_000)}\r\n`],
    [413, "POST /v1/shape HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n{"],
  ]
  for (const [status, bytes] of refusals) {
    const answer = await talk(bytes, quick)
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} [^]*cache-control: no-store[^]*\\{"message":"`), `${status}`)
  }
  // Half a request each; that one is cut off in the end is told by src/http's tests.
  const dripping = await Promise.all(Array.from({ length: 300 }, () => new Promise((resolve) => {
    const socket = net.connect(quick.port, "127.0.0.1", () => socket.write("GET /v1/health HTTP/1.1\r\nHo", () => resolve(socket)))
    socket.on("error", () => {})
  })))
  const idle = net.connect(quick.port, "127.0.0.1")
  const closed = new Promise((resolve) => idle.once("close", resolve))
  idle.resume()
  assert.equal((await quick.get({}, { path: "/v1/health" })).status, 200)
  await closed
  for (const socket of dripping) socket.destroy()
  await quick.stop()
})

test("SIGTERM: waiting readers get an answer, a client goes on with the next process, status 0", async () => {
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  const requests = view.requests
  await waitFor(() => view.requests >= requests)
  const handle = view.handle()
  const waiting = copper.get({ table: "items", handle, offset: view.offset(), live: "true" })
  const started = Date.now()
  await Promise.all([copper.stop(), waiting.then(
    ({ status }) => assert.ok([200, 503].includes(status), `status ${status}`),
    (error) => assert.fail(`the waiting reader was cut off: ${error}`))])
  assert.ok(Date.now() - started < Math.min(patience, 15_000), "the end does not wait for the long-poll time")
  await sql("INSERT INTO items VALUES (3, 3)")
  await copper.start()
  await rowsBecome(view, cluster, "SELECT * FROM items")
  assert.equal(view.handle(), handle)
  view.close()
})
