// What Electric's Elixir client sends and relies on: its requests are made here as it makes them (query sorted by name
// and written as RFC 3986 has it, handle and cursor as it keeps them, live once it was up to date, Req's headers), and
// what it raises an exception for is an assertion.
import assert from "node:assert/strict"
import http from "node:http"
import { test } from "node:test"
import { gunzipSync } from "node:zlib"
import { patience, startBoth, waitFor } from "./support.mjs"

const { copper, sql } = await startBoth({
  schema: `
    CREATE TABLE items (id int PRIMARY KEY, title text NOT NULL, price float8, tags text[]);
    INSERT INTO items SELECT i, repeat('title ' || i, 20), i / 4.0, ARRAY['a', 'b' || i] FROM generate_series(1, 300) i;
    CREATE SCHEMA "my app";
    CREATE TABLE "my app"."My ""Table""" (id bigint PRIMARY KEY, n int);
    INSERT INTO "my app"."My ""Table""" VALUES (9007199254740993, 1);`,
  env: { ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "10000", ELECTRIC_LONG_POLL_TIMEOUT: "2000", ELECTRIC_ENABLE_INTEGRATION_TESTING: "true" },
})

const agent = new http.Agent({ keepAlive: true })
const rfc3986 = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

function fetchAsReq(params, method = "GET") {
  const path = "/v1/shape?" + Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${rfc3986(name)}=${rfc3986(String(value))}`).join("&")
  const headers = { "user-agent": "req/0.5", "accept-encoding": "gzip" }
  return new Promise((resolve, reject) => {
    const sent = http.request({ host: "127.0.0.1", port: copper.port, method, path, headers, agent }, (response) => {
      const pieces = []
      response.on("data", (piece) => pieces.push(piece))
      response.on("end", () => {
        const bytes = Buffer.concat(pieces)
        const text = String(response.headers["content-encoding"] === "gzip" ? gunzipSync(bytes) : bytes)
        resolve({ status: response.statusCode, headers: response.headers, body: text === "" ? "" : JSON.parse(text) })
      })
      response.on("error", reject)
    })
    sent.on("error", reject)
    sent.end()
  })
}

// The client's name of a table: quoted unless it is plain.
const quoted = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`)

function shape({ namespace, table, where, columns, params, replica }) {
  const list = Array.isArray(params) ? Object.fromEntries(params.map((value, i) => [i + 1, value])) : params ?? {}
  return {
    table: namespace ? `${quoted(namespace)}.${quoted(table)}` : quoted(table),
    ...(where ? { where } : {}),
    ...(columns ? { columns: columns.join(",") } : {}),
    ...(replica ? { replica } : {}),
    ...Object.fromEntries(Object.entries(list).map(([key, value]) => [`params[${key}]`, value])),
  }
}

const integers = ["int2", "int4", "int8"]

class Client {
  constructor(definition, resume) {
    Object.assign(this, {
      definition, rows: new Map(), messages: [], refetches: 0, requests: 0, recent: [],
      offset: "-1", handle: null, schema: null, cursor: null, upToDate: false, expired: null, buster: null,
      // A resumed client starts live.
      ...(resume ? { ...resume, upToDate: true } : {}),
    })
  }

  request() {
    return fetchAsReq({
      ...this.definition,
      offset: this.offset,
      ...(this.handle ? { handle: this.handle } : {}),
      ...(this.upToDate ? { live: "true" } : {}),
      ...(this.cursor === null ? {} : { cursor: this.cursor }),
      ...(this.expired ? { expired_handle: this.expired } : {}),
      ...(this.buster ? { "cache-buster": this.buster } : {}),
    })
  }

  // Five requests at one offset within half a second, not live, are a loop to it.
  noteRequest() {
    this.requests += 1
    if (this.upToDate) return
    const now = Date.now()
    this.recent = [...this.recent.filter(([at]) => now - at < 500), [now, this.offset]]
    assert.ok(this.recent.filter(([, offset]) => offset === this.offset).length < 5, `a fast loop at ${this.offset}`)
  }

  async poll() {
    this.noteRequest()
    const wasLive = this.upToDate
    const { status, headers, body } = await this.request()
    if (status === 409) return this.mustRefetch(headers)
    assert.equal(status, 200, JSON.stringify(body))
    assert.ok(headers["electric-handle"], "electric-handle")
    assert.ok(headers["electric-offset"], "electric-offset")
    if (wasLive) assert.match(headers["electric-cursor"], /^\d+$/)
    else if (!this.schema) assert.ok(headers["electric-schema"], "electric-schema")
    assert.notEqual(headers["electric-handle"], this.expired, "a handle that was given up comes back")
    this.handle = headers["electric-handle"]
    this.offset = headers["electric-offset"]
    this.cursor = headers["electric-cursor"] ?? null
    this.schema ??= JSON.parse(headers["electric-schema"])
    this.buster = null
    assert.ok(Array.isArray(body))
    for (const message of body) this.take(message)
  }

  mustRefetch(headers) {
    this.expired = this.handle
    this.handle = headers["electric-handle"] ?? `${(this.handle ?? "").replace(/(-next)+$/, "")}-next`
    Object.assign(this, { offset: "-1", upToDate: false, cursor: null, recent: [], buster: Math.random().toString(16).slice(2) })
    this.rows.clear()
    this.refetches += 1
  }

  cast(value) {
    return Object.fromEntries(Object.entries(value).map(([column, text]) => {
      const type = this.schema[column]?.type
      if (text === null || !type) return [column, text]
      if (integers.includes(type)) {
        assert.match(text, /^-?\d+$/)
        return [column, BigInt(text)]
      }
      return [column, type === "float8" ? Number(text) : text]
    }))
  }

  // Whatever is not one of these raises in the client.
  take({ key, value, old_value: oldValue, headers }) {
    if (value) {
      assert.ok(["insert", "update", "delete"].includes(headers.operation), headers.operation)
      const row = this.cast(value)
      this.messages.push({ operation: headers.operation, key, row, oldValue: oldValue && this.cast(oldValue), headers })
      if (headers.operation === "delete") this.rows.delete(key)
      else this.rows.set(key, { ...this.rows.get(key), ...row })
      return
    }
    assert.ok(["up-to-date", "snapshot-end"].includes(headers.control), headers.control)
    if (headers.control !== "up-to-date") return
    assert.match(headers.global_last_seen_lsn, /^\d+$/)
    this.upToDate = true
  }

  async untilUpToDate() {
    while (!this.upToDate) await this.poll()
    return this
  }

  // What `live: false` leaves to go on with.
  resume() {
    return { handle: this.handle, offset: this.offset, schema: this.schema }
  }

  async until(condition, what) {
    const deadline = Date.now() + patience
    while (!condition()) {
      assert.ok(Date.now() < deadline, `waited in vain for: ${what}`)
      await this.poll()
    }
  }
}

const ids = (client) => [...client.rows.values()].map(({ id }) => Number(id)).sort((a, b) => a - b)

test("a stream: a snapshot of several chunks, then changes, each poll with the headers it needs", async () => {
  const client = await new Client(shape({ table: "items" })).untilUpToDate()
  assert.ok(client.requests > 4, `${client.requests} requests`)
  assert.equal(client.rows.size, 300)
  assert.equal([...client.rows.values()][0].price, 0.25)
  await sql("INSERT INTO items VALUES (301, 'new', NULL, NULL)")
  await sql("UPDATE items SET title = 'changed' WHERE id = 2; DELETE FROM items WHERE id = 1")
  await client.until(() => client.rows.has('"public"."items"/"301"') && !client.rows.has('"public"."items"/"1"'), "the changes")
  const update = client.messages.find(({ operation }) => operation === "update")
  assert.deepEqual(update.row, { id: 2n, title: "changed" })
  assert.ok(Array.isArray(update.headers.txids) && typeof update.headers.lsn === "string")
  // It stays live although an answer that ends in the middle of a transaction says nothing of up-to-date.
  await sql("INSERT INTO items SELECT i, repeat('x', 900), 1, NULL FROM generate_series(1001, 1050) i")
  await client.until(() => client.rows.size === 350, "fifty rows in one transaction")
})

test("an empty long poll: up-to-date, the same offset, a cursor that moves on", async () => {
  const client = await new Client(shape({ table: "items", where: "id = -1" })).untilUpToDate()
  const { offset } = client
  const cursors = []
  for (let i = 0; i < 2; i++) {
    await client.poll()
    cursors.push(client.cursor)
    assert.equal(client.offset, offset)
  }
  assert.notEqual(cursors[0], cursors[1])
})

test("columns, a clause with a list of params, replica=full with old values", async () => {
  const client = await new Client(shape({
    table: "items", columns: ["id", "title"], where: "id > $1 AND title <> $2", params: ["295", "it's (odd)! & co*"], replica: "full",
  })).untilUpToDate()
  assert.deepEqual(Object.keys(client.schema).sort(), ["id", "title"])
  await sql("UPDATE items SET title = 'full' WHERE id = 300")
  await client.until(() => client.messages.some(({ operation }) => operation === "update"), "the update")
  const update = client.messages.find(({ operation }) => operation === "update")
  assert.deepEqual(update.row, { id: 300n, title: "full" })
  assert.match(update.oldValue.title, /^title 300/)
})

test("names with blanks, capitals and quotes; integers beyond a float's precision", async () => {
  const client = await new Client(shape({ namespace: "my app", table: 'My "Table"' })).untilUpToDate()
  assert.deepEqual([...client.rows.values()], [{ id: 9007199254740993n, n: 1n }])
})

test("live: false leaves a point from which another client goes on, live from its first request", async () => {
  const first = await new Client(shape({ table: "items", where: "id > 2000" })).untilUpToDate()
  await sql("INSERT INTO items VALUES (2001, 'while nobody was there', 1, NULL)")
  const second = new Client(shape({ table: "items", where: "id > 2000" }), first.resume())
  await second.until(() => second.rows.size === 1, "the row")
  assert.deepEqual(ids(second), [2001])
  assert.equal(second.handle, first.handle)
})

test("a rotation: from the handle that 409 names, or from one of its own making, and never in a loop", async () => {
  const client = await new Client(shape({ table: "items" })).untilUpToDate()
  const before = client.handle
  const polls = client.until(() => client.refetches === 1 && client.upToDate, "the new shape")
  await sql("TRUNCATE items")
  await sql("INSERT INTO items VALUES (1, 'again', 1, NULL)")
  await polls
  await client.until(() => client.rows.size === 1, "the row")
  assert.notEqual(client.handle, before)
  // The shape is deleted as the client deletes it; a 409 without a handle makes it ask with "<old>-next".
  assert.equal((await fetchAsReq({ ...shape({ table: "items" }), offset: "-1" }, "DELETE")).status, 202)
  const requests = client.requests
  await client.until(() => client.refetches === 2 && client.upToDate, "the second rotation")
  assert.deepEqual(ids(client), [1])
  assert.ok(client.requests - requests < 10, `${client.requests - requests} requests for a rotation`)
  const lost = new Client(shape({ table: "items" }), { handle: "1-2", offset: "5_0", schema: client.schema })
  lost.upToDate = false
  await lost.untilUpToDate()
  assert.deepEqual([lost.refetches, lost.handle], [1, client.handle])
})

test("errors: 400 ends the stream with the message's map, 503 is tried again", async () => {
  const { status, body } = await fetchAsReq({ ...shape({ table: "nope" }), offset: "-1" })
  assert.equal(status, 400)
  assert.deepEqual(Object.keys(body), ["message", "errors"])
  await copper.stop()
  await copper.start({ waitActive: false })
  await waitFor(async () => {
    const answer = await fetchAsReq({ ...shape({ table: "items" }), offset: "-1" })
    assert.ok([200, 503].includes(answer.status), `status ${answer.status}: the client gives up`)
    return answer.status === 200
  })
})
