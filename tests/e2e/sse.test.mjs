// live_sse: changes as server-sent events, through the official client and raw. COPPER_SSE_LONG=1 also waits for the
// keep-alives of a quiet stream, which come every 21 s.
import assert from "node:assert/strict"
import { readdirSync, readFileSync, rmSync } from "node:fs"
import net from "node:net"
import { join } from "node:path"
import { StringDecoder } from "node:string_decoder"
import { test } from "node:test"
import { follow, patience, rowsBecome, sanitized, startBoth, startCopper, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE items (id int PRIMARY KEY, title text);
    INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 10) i;
    CREATE TABLE wide (id int PRIMARY KEY, t text); INSERT INTO wide VALUES (0, '');
    CREATE TABLE goes (id int PRIMARY KEY); INSERT INTO goes VALUES (1);`,
  env: { ELECTRIC_ENABLE_INTEGRATION_TESTING: "true" },
  args: ["--tcp-send-timeout", "2s", "--sse-timeout", "2s"],
})

// ---------------------------------------------------------------------------------------------------- helpers

// Where a table's log ends now, as parameters of a live request.
async function atEnd(server, table) {
  let offset = "-1", handle
  for (;;) {
    const { headers, status, text } = await server.get({ table, offset, ...(handle && { handle }) })
    assert.equal(status, 200, text)
    handle = headers["electric-handle"]
    offset = headers["electric-offset"]
    if ("electric-up-to-date" in headers) return { table, handle, offset, live: "true", live_sse: "true" }
  }
}

// One SSE answer: its head, the events' data so far, whatever else came as lines, and whether it has ended.
async function listen(server, params, { method = "GET" } = {}) {
  const abort = new AbortController()
  const response = await fetch(`${server.shapeUrl}?${new URLSearchParams(params)}`, { method, signal: abort.signal })
  const stream = { status: response.status, headers: Object.fromEntries(response.headers), text: "", ended: false,
    broken: null, close: () => abort.abort(),
    get messages() {
      return this.text.split("\n\n").slice(0, -1).filter((event) => event.startsWith("data: ")).map((event) => JSON.parse(event.slice(6)))
    } }
  const decoder = new TextDecoder()
  ;(async () => {
    try {
      for await (const bytes of response.body) stream.text += decoder.decode(bytes, { stream: true })
      stream.ended = true
    } catch (error) {
      stream.broken = error
    }
  })()
  return stream
}

// A reader of its own that can stop reading: whole events so far as [op, lsn] are counted, not kept.
function rawReader(server, params) {
  const socket = net.connect({ port: server.port, host: "127.0.0.1", highWaterMark: 16 * 1024 })
  const reader = { socket, closed: false, bytes: 0, ids: [], upToDates: 0, rest: "" }
  const decoder = new StringDecoder("utf8")
  let raw = Buffer.alloc(0)
  let inBody = false
  // The head, then frames of "size CRLF bytes CRLF"; whatever pieces they arrive in.
  const framed = () => {
    const at = raw.indexOf(inBody ? "\r\n" : "\r\n\r\n")
    if (at < 0) return null
    if (!inBody) {
      inBody = true
      raw = raw.subarray(at + 4)
      return ""
    }
    const size = parseInt(raw.toString("latin1", 0, at), 16)
    if (raw.length < at + 2 + size + 2) return null
    const text = decoder.write(raw.subarray(at + 2, at + 2 + size))
    raw = raw.subarray(at + 2 + size + 2)
    return text
  }
  socket.on("data", (bytes) => {
    reader.bytes += bytes.length
    raw = raw.length ? Buffer.concat([raw, bytes]) : bytes
    for (let text = framed(); text !== null; text = framed()) reader.rest += text
    const events = reader.rest.split("\n\n")
    reader.rest = events.pop()
    for (const event of events) {
      const id = /"value":\{"id":"(\d+)"/.exec(event)
      if (id) reader.ids.push(Number(id[1]))
      else if (event.includes("up-to-date")) reader.upToDates++
    }
  })
  socket.on("close", () => (reader.closed = true))
  socket.on("error", () => {})
  socket.write(`GET /v1/shape?${new URLSearchParams(params)} HTTP/1.1\r\nhost: t\r\n\r\n`)
  return reader
}

const liveUrls = (view) => {
  const urls = []
  return { urls, fetchClient: async (url, ...rest) => (String(url).includes("live=true") && urls.push(String(url)), fetch(url, ...rest)) }
}

// ---------------------------------------------------------------------------------------------------- stories

test("the answer's head and events are the original's", async () => {
  const at = await atEnd(copper, "items")
  const stream = await listen(copper, at)
  assert.equal(stream.status, 200)
  const { headers } = stream
  assert.equal(headers["content-type"], "text/event-stream")
  assert.equal(headers["cache-control"], "public, max-age=1") // a second less than the stream lives
  assert.equal(headers.etag, `"${at.handle}:${at.offset}:${at.offset}"`)
  assert.equal(headers["electric-handle"], at.handle)
  assert.equal(headers["electric-offset"], at.offset)
  assert.equal(headers["electric-has-data"], "true")
  assert.equal(headers["electric-up-to-date"], "")
  assert.match(headers["electric-cursor"], /^\d+$/)
  assert.equal(headers["electric-schema"], undefined)
  assert.equal(stream.text, "")

  await sql("INSERT INTO items VALUES (11, 'a\nb'), (12, '{\"}')")
  await waitFor(() => stream.messages.length === 3)
  await sql("UPDATE items SET title = 'x' WHERE id = 11")
  await waitFor(() => stream.messages.length === 5)
  const [first, second, end, update, again] = stream.messages
  assert.deepEqual([first.value, second.value, update.value], [{ id: "11", title: "a\nb" }, { id: "12", title: '{"}' }, { id: "11", title: "x" }])
  assert.deepEqual([first, second, update].map(({ headers: { operation } }) => operation), ["insert", "insert", "update"])
  assert.deepEqual(Object.keys(end), ["headers"])
  assert.deepEqual(end.headers, { control: "up-to-date", global_last_seen_lsn: first.headers.lsn })
  assert.deepEqual(again.headers, { control: "up-to-date", global_last_seen_lsn: update.headers.lsn })
  assert.match(stream.text, /^(data: \{[^\n]*\}\n\n){5}$/)
  stream.close()

  // A client goes on from what up-to-date said; what it has of that transaction beyond its first item may come again.
  const next = await listen(copper, { ...at, offset: `${update.headers.lsn}_0` })
  await sql("DELETE FROM items WHERE id = 12")
  await waitFor(() => next.messages.length === 2)
  assert.equal(next.messages[0].headers.operation, "delete")
  next.close()
})

test("the old name works, alone it is refused, and HEAD gets the head", async () => {
  const { live_sse, ...at } = await atEnd(copper, "items")
  const stream = await listen(copper, { ...at, experimental_live_sse: "true" })
  assert.equal(stream.headers["content-type"], "text/event-stream")
  stream.close()
  for (const name of ["live_sse", "experimental_live_sse"]) {
    const { status, body } = await copper.get({ ...at, live: "false", [name]: "true" })
    assert.equal(status, 400)
    assert.deepEqual(body, { message: "Invalid request", errors: { live_sse: ["can't be true unless live is also true"] } })
  }
  const head = await copper.get({ ...at, live_sse }, { method: "HEAD" })
  assert.equal(head.headers["content-type"], "text/event-stream")
  assert.equal(head.text, "")
  const post = await listen(copper, { ...at, live_sse }, { method: "POST" })
  assert.equal(post.headers["content-type"], "text/event-stream")
  assert.equal(post.headers["cache-control"], "no-cache")
  post.close()
})

test("a stream that starts behind the log's end brings what is missing and goes on", async () => {
  const at = await atEnd(copper, "items")
  const before = Number((await sql("SELECT max(id) AS m FROM items"))[0].m)
  for (let i = 1; i <= 3; i++) await sql(`INSERT INTO items VALUES (${before + i}, 'missed')`)
  await waitFor(async () => (await copper.get({ ...at, live: "false", live_sse: "false" })).body.length === 4)
  const stream = await listen(copper, at)
  assert.equal(stream.headers["electric-offset"], at.offset, "what the client has before the first event")
  await waitFor(() => stream.messages.length === 4)
  assert.deepEqual(stream.messages.map(({ headers }) => headers.control ?? "item"), ["item", "item", "item", "up-to-date"])
  await sql(`INSERT INTO items VALUES (${before + 4}, 'live')`)
  await waitFor(() => stream.messages.length === 6)
  stream.close()

})

test("a stream that starts inside the snapshot brings its chunks, then the log; a lost chunk ends shape and stream", async () => {
  const own = await startCopper({ cluster, env: { ELECTRIC_REPLICATION_STREAM_ID: "inside", ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "30000" } })
  await sql("CREATE TABLE chunky AS SELECT i AS id, repeat('c', 500) AS t FROM generate_series(1, 1000) i; ALTER TABLE chunky ADD PRIMARY KEY (id)")
  const at = await atEnd(own, "chunky")
  const first = (await own.get({ table: "chunky", offset: "-1" })).body.length
  assert.ok(first < 200, `one chunk of several: ${first}`)
  const inside = { ...at, offset: "0_0" }
  const stream = await listen(own, inside)
  await waitFor(() => stream.messages.at(-1)?.headers.control === "up-to-date")
  const rows = stream.messages.filter(({ value }) => value)
  assert.deepEqual(rows.map(({ value }) => Number(value.id)), Array.from({ length: 1000 - first }, (_, i) => first + i + 1))
  assert.deepEqual(stream.messages.slice(-2).map(({ headers }) => headers.control), ["snapshot-end", "up-to-date"])
  await sql("INSERT INTO chunky VALUES (1001, 'live')")
  await waitFor(() => stream.messages.at(-2).value?.id === "1001")
  assert.equal(stream.messages.at(-1).headers.control, "up-to-date")
  stream.close()

  const shapes = join(own.storageDir, "shapes")
  const chunks = readdirSync(shapes, { recursive: true }).filter((name) => name.includes("snapshot."))
  assert.ok(chunks.length >= 10, String(chunks))
  for (const name of chunks) rmSync(join(shapes, name))
  const broken = await listen(own, inside)
  await waitFor(() => broken.ended)
  assert.equal((await own.get({ ...inside, live: "false", live_sse: "false" })).status, 409)
  await own.stop()
})

test("an offset beyond the log's end is refused as without live_sse", { skip: sanitized }, async () => {
  const own = await startCopper({ cluster, env: { COPPER_LONG_POLL_TIMEOUT: "200ms", ELECTRIC_REPLICATION_STREAM_ID: "beyond" } })
  const at = await atEnd(own, "items")
  const { status, body } = await own.get({ ...at, offset: "99999999999_0" })
  assert.equal(status, 400)
  assert.deepEqual(body.errors, { offset: ["out of bounds for this shape"] })
  await own.stop()
})

for (const option of ["liveSse", "experimentalLiveSse"]) {
  test(`the official client follows with ${option}, over several streams`, async () => {
    const { urls, fetchClient } = liveUrls()
    const view = follow(copper, { table: "items" }, { [option]: true, fetchClient })
    const parsed = follow(copper, { table: "items" }) // tells rowsBecome the schema
    await Promise.all([view.upToDate(), parsed.upToDate()])
    view.schema = parsed.schema
    parsed.close()
    // Until it came back after a stream's end.
    let changes = 0
    await waitFor(async () => {
      changes += 1
      await sql(`INSERT INTO items VALUES (${1000 + changes}, '${option}'); UPDATE items SET title = 'r${changes}' WHERE id <= 3;
        DELETE FROM items WHERE id = ${1000 + changes - 1}`)
      return urls.length >= 2 && changes >= 50
    })
    await rowsBecome(view, cluster, "SELECT * FROM items")
    assert.ok(urls.length < changes / 2, `few requests for many changes: ${urls.length}, ${changes}`)
    for (const url of urls) assert.ok(url.includes("live_sse=true"), url)
    view.close()
    await sql("DELETE FROM items WHERE id >= 1000")
  })
}

test("a quiet stream ends by itself, whole, in its time", async () => {
  const began = Date.now()
  const stream = await listen(copper, await atEnd(copper, "goes"))
  await waitFor(() => stream.ended)
  assert.equal(stream.text, "")
  assert.ok(Date.now() - began >= 1900)
})

test("a busy stream ends in its time as well", async () => {
  const began = Date.now()
  const stream = await listen(copper, await atEnd(copper, "items"))
  while (!stream.ended) {
    assert.ok(Date.now() - began < patience)
    await sql("UPDATE items SET title = 'busy' || random() WHERE id = 1")
  }
  assert.equal(stream.messages.at(-1).headers.control, "up-to-date")
})

test("a shape that goes ends its streams; the client refetches", async () => {
  const view = follow(copper, { table: "goes" }, { liveSse: true })
  await view.upToDate()
  const stream = await listen(copper, await atEnd(copper, "goes"))
  const [first] = view.handle().split("-")
  await sql("TRUNCATE goes; INSERT INTO goes VALUES (2), (3)")
  await waitFor(() => stream.ended || stream.broken)
  assert.equal(stream.broken, null)
  assert.equal(stream.text, "", "no must-refetch in the stream: the next request is told")
  await rowsBecome(view, cluster, "SELECT * FROM goes")
  assert.ok(view.rotations > 0)
  assert.ok(first)
  view.close()
})

test("a reader that stops reading costs no memory, and one that goes on misses nothing", async () => {
  // A server whose streams live longer than a slow machine takes.
  const own = await startCopper({ cluster, env: { ELECTRIC_REPLICATION_STREAM_ID: "slow" }, args: ["--tcp-send-timeout", "2s"] })
  const at = await atEnd(own, "wide")
  await atEnd(copper, "wide") // for the next story
  const slow = [rawReader(own, at), rawReader(own, at)]
  await sql("INSERT INTO wide VALUES (1, 'x')")
  await waitFor(() => slow.every(({ ids }) => ids.length === 1))
  for (const { socket } of slow) socket.pause()
  const before = own.memory("RssAnon")
  // 40 MB in 400 transactions, in under the 2 s after which a stalled reader is cut off as far as possible.
  const client = await cluster.connect()
  for (let i = 0; i < 400; i++) {
    await client.query(`INSERT INTO wide SELECT ${2 + i * 10} + j, repeat('w', 10000) FROM generate_series(0, 9) j`)
    if (i % 40 === 0) slow[0].socket.resume() // a little at a time: slow, but not stalled
    else slow[0].socket.pause()
  }
  await client.end()
  const during = own.memory("RssAnon")
  slow[0].socket.resume()
  await waitFor(() => slow[0].closed || slow[0].ids.at(-1) === 4001)
  // It may have been cut off as stalled: then the rest is the next stream's.
  const got = slow[0].ids.length
  assert.deepEqual(slow[0].ids, Array.from({ length: got }, (_, i) => i + 1))
  if (!sanitized) assert.ok(during - before < 24 * 1024 * 1024, `${during - before} bytes more`)
  slow[0].socket.destroy()
  slow[1].socket.destroy()
  await own.stop()
})

test("a stalled reader is cut off", async () => {
  const at = await atEnd(copper, "wide")
  const stalled = rawReader(copper, { ...at, offset: "0_inf" }) // 40 MB behind
  await waitFor(() => stalled.bytes > 0)
  stalled.socket.pause()
  // Its connection is the only one: how many the server has is what its sockets say.
  const port = stalled.socket.localPort
  const there = async () => readFileSync("/proc/net/tcp", "utf8").split("\n")
    .some((line) => line.includes(`0100007F:${copper.port.toString(16).toUpperCase().padStart(4, "0")} 0100007F:${port.toString(16).toUpperCase().padStart(4, "0")} 01`))
  assert.ok(await there())
  await waitFor(async () => !(await there()), { what: "the server closed its side" })
  stalled.socket.destroy()
})

test("a restart: streams end with a whole answer, the client goes on", async () => {
  const own = await startCopper({ cluster, env: { ELECTRIC_REPLICATION_STREAM_ID: "again" } })
  const { urls, fetchClient } = liveUrls()
  const view = follow(own, { table: "items" }, { liveSse: true, fetchClient })
  const plain = follow(own, { table: "items" })
  await Promise.all([view.upToDate(), plain.upToDate()])
  view.schema = plain.schema
  const stream = await listen(own, await atEnd(own, "items"))
  await sql("INSERT INTO items VALUES (501, 'before')")
  await waitFor(() => stream.messages.length === 2)
  const began = Date.now()
  await own.stop()
  assert.ok(Date.now() - began < Math.min(patience, 15_000), "nobody waits for the streams")
  await waitFor(() => stream.ended || stream.broken)
  assert.equal(stream.broken, null)
  await sql("INSERT INTO items VALUES (502, 'meanwhile')")
  await own.start()
  await sql("INSERT INTO items VALUES (503, 'after')")
  await rowsBecome(view, cluster, "SELECT * FROM items")
  assert.equal(view.rotations, 0)
  assert.ok(urls.at(-1).includes("live_sse=true"))
  view.close()
  plain.close()
})

test("200 streams of one shape, each has every change once and in order", async () => {
  const own = await startCopper({ cluster, env: { ELECTRIC_REPLICATION_STREAM_ID: "many" } })
  const at = await atEnd(own, "items")
  const readers = Array.from({ length: 200 }, () => rawReader(own, at))
  await sql("INSERT INTO items VALUES (2000, 'go')")
  await waitFor(() => readers.every(({ ids }) => ids.length === 1))
  for (let i = 1; i <= 50; i++) await sql(`INSERT INTO items VALUES (${2000 + i}, 'n')`)
  const expected = Array.from({ length: 51 }, (_, i) => 2000 + i)
  await waitFor(() => readers.every(({ ids }) => ids.length === 51))
  for (const { ids, upToDates } of readers) {
    assert.deepEqual(ids, expected)
    assert.ok(upToDates > 0 && upToDates <= 51)
  }
  for (const { socket } of readers) socket.destroy()
  await own.stop()
})

test("a quiet stream speaks every 21 s", { skip: !process.env.COPPER_SSE_LONG }, async () => {
  const own = await startCopper({ cluster, env: { ELECTRIC_REPLICATION_STREAM_ID: "quiet" } })
  const began = Date.now()
  const stream = await listen(own, await atEnd(own, "items"))
  await waitFor(() => stream.text === ": keep-alive\n\n", { timeout: 30_000 })
  assert.ok(Math.abs(Date.now() - began - 21_000) < 1000)
  await waitFor(() => stream.ended, { timeout: 60_000 })
  assert.equal(stream.text, ": keep-alive\n\n: keep-alive\n\n")
  assert.ok(Math.abs(Date.now() - began - 60_000) < 1000)
  await own.stop()
})
