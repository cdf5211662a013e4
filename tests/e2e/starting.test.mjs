// The port is there before the storage directory has been loaded. What is asked for meanwhile is held, and answered as soon as
// the shapes are there, with or without Postgres: who asks in a restart waits for a moment and sees no error.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { constants, closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import net from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { freePort, startBoth, startCopper, waitFor } from "./support.mjs"

const shapes = Number(process.env.STARTING_SHAPES ?? 2000)

const env = { ELECTRIC_INSECURE: "false", ELECTRIC_SECRET: "s", ELECTRIC_ENABLE_INTEGRATION_TESTING: "true" }
const { cluster, copper } = await startBoth({
  schema: "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 100) i",
  env, insecure: false,
})
const get = (params, options) => copper.get({ table: "items", secret: "s", ...params }, options)
const health = (of = copper) => of.get({}, { path: "/v1/health" })
const { headers: { "electric-handle": handle } } = await get({ offset: "-1" })
const ended = (child) => waitFor(() => child.exitCode !== null, { what: "Copper has ended" })

const starting = "Copper is starting: loading the storage directory"
const notConnected = "Copper is starting: the replication stream is not connected yet"

// A request that the server has read already when this returns: it lies behind another one, whose answer has come.
async function asked(of, params, { method = "GET", body = "", headers = "" } = {}) {
  const socket = net.connect(of.port, "127.0.0.1")
  const target = `/v1/shape?${new URLSearchParams({ table: "items", secret: "s", ...params })}`
  socket.write(`GET / HTTP/1.1\r\nhost: t\r\n\r\n${method} ${target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n${headers}` +
    `content-length: ${body.length}\r\n\r\n${body}`)
  let text = "", waited
  const since = Date.now()
  const over = (async () => {
    for await (const piece of socket) text += piece
    waited = Date.now() - since
  })()
  over.catch(() => {})
  const second = () => text.slice(text.indexOf("\r\n\r\n") + 4)
  await waitFor(() => text.includes("\r\n\r\n"), { what: "the first answer" })
  return {
    socket,
    answered: () => second() !== "",
    async answer() {
      await over
      const [head, ...rest] = second().split("\r\n\r\n")
      const [line, ...lines] = head.split("\r\n")
      return {
        status: Number(line.split(" ")[1]), text: rest.join("\r\n\r\n"),
        headers: Object.fromEntries(lines.map((each) => each.split(/: (.*)/))),
      }
    },
    tooLate: () => waited >= limit,
    again: () => asked(of, params, { method, body, headers }),
  }
}

// A machine may be so busy that loading takes longer than anybody is held.
const limit = 9_900
async function served(request) {
  const answer = await request.answer()
  return answer.status === 503 && request.tooLate() ? served(await request.again()) : answer
}

function unavailable({ status, headers, text }, { method = "GET", message = starting } = {}) {
  assert.equal(status, 503, text)
  assert.equal(headers["retry-after"], "1")
  assert.match(headers["cache-control"], /^no-(store|cache)$/)
  if (method !== "HEAD") assert.equal(JSON.parse(text).message, message)
}

test("who asks while the directory is loaded is held, and told 503 at the time limit, and when the start fails", async (t) => {
  // The server reads this file before anything else of the directory; of a pipe it waits for the other end.
  const format = join(copper.storageDir, "format")
  const text = readFileSync(format)
  await copper.stop()
  t.after(async () => {
    await copper.kill()
    rmSync(format)
    writeFileSync(format, text)
    delete env.ELECTRIC_LONG_POLL_TIMEOUT
  })
  rmSync(format)
  execFileSync("mkfifo", [format])
  env.ELECTRIC_LONG_POLL_TIMEOUT = "500ms" // longer than that nobody is held
  await copper.start({ waitActive: false })
  const child = copper.process
  const { status, body } = await waitFor(() => health(), { what: "the port is there" })
  assert.equal(status, 202)
  assert.deepEqual(body, { status: "starting" })
  const kinds = [
    [{ offset: "-1" }, "GET"], [{ offset: "-1" }, "HEAD"], [{ offset: "-1" }, "POST"], [{ offset: "0_inf", handle, live: "true" }, "GET"],
    [{ offset: "0_0", handle, live: "true", live_sse: "true" }, "GET"], [{ offset: "-1", table: "none" }, "GET"],
  ]
  await Promise.all(kinds.map(async ([params, method]) => {
    const since = Date.now()
    unavailable(await get(params, { method }), { method })
    assert.ok(Date.now() - since >= 490, `${method} ${JSON.stringify(params)}: ${Date.now() - since} ms`)
  }))
  assert.equal((await get({}, { method: "OPTIONS" })).status, 204)
  assert.equal((await get({ secret: "no" })).status, 401)
  assert.equal((await get({ offset: "nonsense" })).status, 400)
  unavailable(await get({ handle }, { method: "DELETE" }))

  const held = await Promise.all(kinds.map(([params, method]) => asked(copper, params, { method })))
  ;(await asked(copper, { offset: "-1" })).socket.destroy()
  closeSync(openSync(format, constants.O_WRONLY | constants.O_NONBLOCK)) // a pipe is no file to read at a position
  copper.process = null
  for (const [i, request] of held.entries()) unavailable(await request.answer(), { method: kinds[i][1] })
  await ended(child)
  assert.equal(child.exitCode, 1)
  assert.match(copper.log, /copper cannot start; see above/)
})

// An instance that has the lock says where it listens before it loads anything; through a pipe it waits for the other end. That
// this fails then keeps nobody from serving.
async function loading(of) {
  const pipe = join(of.storageDir, "listening.tmp")
  rmSync(pipe, { force: true })
  execFileSync("mkfifo", [pipe])
  return () => {
    openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK) // stays open: the server may come later
    rmSync(pipe)
  }
}

test("who asks while the directory is loaded is answered when the shapes are there, be Postgres there or not", async () => {
  await copper.start()
  const clause = { where: "id < 7" }
  const { headers: { etag } } = await get({ offset: "-1" }, { headers: { "accept-encoding": "identity" } })
  const { headers: { "electric-handle": other } } = await get({ offset: "-1", ...clause })
  await copper.stop()
  await cluster.stop()
  const goOn = await loading(copper)
  await copper.start({ waitActive: false })
  await waitFor(() => health(), { what: "the port is there" })
  const requests = [
    [{ offset: "-1" }, {}, handle], [{ offset: "-1", handle }, {}, handle], [{ offset: "-1" }, { method: "HEAD" }, handle],
    [{ offset: "-1", ...clause }, { method: "POST", body: "{}", headers: "content-type: application/json\r\n" }, other],
    [{ offset: "0_0", handle: other, ...clause }, {}, other], [{ offset: "-1", ...clause }, {}, other],
  ]
  const held = await Promise.all(requests.map(([params, options]) => asked(copper, params, options)))
  const [matching, unknown] = await Promise.all([
    asked(copper, { offset: "-1" }, { headers: `if-none-match: ${etag}\r\n` }), asked(copper, { offset: "-1", where: "id < 8" }),
  ])
  const gone = await asked(copper, { offset: "-1" })
  gone.socket.destroy()
  const live = await asked(copper, { offset: "0_inf", handle, live: "true" })
  assert.equal((await health()).body.status, "starting")
  for (const each of [...held, matching, unknown, live]) assert.ok(!each.answered())
  goOn()
  for (const [i, request] of held.entries()) {
    const { status, headers, text } = await served(request)
    assert.equal(status, 200, `${JSON.stringify(requests[i])}: ${text}`)
    assert.equal(headers["electric-handle"], requests[i][2])
  }
  assert.equal((await served(matching)).status, 304)
  unavailable(await served(unknown), { message: notConnected })
  assert.ok(!live.answered())
  await cluster.start()
  await cluster.sql("UPDATE items SET n = 1 WHERE id = 1")
  assert.match((await served(live)).text, /"n":"1"/)
})

test("a signal to end while the directory is loaded ends the start, and nothing is lost by it", async () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
    const goOn = await loading(copper)
    await (signal === "SIGTERM" ? copper.stop() : copper.kill())
    copper.log = ""
    await copper.start({ waitActive: false })
    await waitFor(() => health(), { what: "the port is there" })
    const held = await asked(copper, { offset: "-1", handle })
    const child = copper.process
    child.kill(signal)
    goOn()
    copper.process = null
    unavailable(await held.answer())
    await ended(child)
    assert.equal(child.exitCode, 0, copper.log)
    assert.match(copper.log, /stopping signal=/)
    assert.doesNotMatch(copper.log, /storage opened|copper is ready|copper cannot/)
  }
  await copper.start()
  assert.equal((await get({ offset: "-1", handle })).headers["electric-handle"], handle)
})

// Asks a starting server again and again, from the moment when it takes connections until health says so: all are served.
async function servedUntil(of, wanted) {
  const known = [{ offset: "-1" }, { offset: "-1", handle }]
  let answers = 0, longest = 0
  for (let said; said !== wanted; ) {
    const since = Date.now()
    const answer = await of.get({ table: "items", secret: "s", ...known[answers % 2] }).catch((error) => {
      assert.ok(!answers && error.cause?.code === "ECONNREFUSED", `${error} ${error.cause}`)
      return null
    })
    if (!answer) continue
    answers += 1
    longest = Math.max(longest, Date.now() - since)
    if (answer.status === 503 && Date.now() - since >= limit) continue
    assert.equal(answer.status, 200, answer.text)
    assert.equal(answer.headers["electric-handle"], handle)
    said = (await health(of)).body.status
  }
  console.log(`# ${answers} answers before it was ${wanted}, the longest took ${longest} ms`)
}

test("a second instance passes on what came before it knew of the first, and holds requests while it takes over", async () => {
  await copper.stop()
  await copper.start()
  const second = await startCopper({ cluster, storageDir: copper.storageDir, port: await freePort(), waitActive: false, env, insecure: false })
  await servedUntil(second, "waiting")
  const goOn = await loading(copper)
  await copper.kill()
  await waitFor(async () => (await health(second)).body?.status === "starting", { what: "the second has the directory" })
  const held = await asked(second, { offset: "-1" })
  assert.ok(!held.answered())
  goOn()
  const { status, headers } = await served(held)
  assert.equal(status, 200)
  assert.equal(headers["electric-handle"], handle)
  await second.stop()
})

test(`with ${shapes} shapes, after kill -9: from the first connection on the shapes are served, and handles stay`, async () => {
  await copper.start()
  for (let i = 0; i < shapes; i += 100) {
    await Promise.all(Array.from({ length: 100 }, async (_, j) => {
      assert.equal((await get({ offset: "-1", where: `id = ${i + j}` })).status, 200)
    }))
  }
  await copper.kill()
  await copper.start({ waitActive: false })
  await servedUntil(copper, "active")
})
