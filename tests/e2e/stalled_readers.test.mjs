// Readers that stop reading in the middle of an answer cost the server next to no memory, wherever its bytes come from: the files
// of a snapshot, sealed pieces of the log, its tail. Those that go on get every byte.
// STALLED_READERS=400 STALLED_MB=200 for the size of issue 5.
import assert from "node:assert/strict"
import { readdirSync } from "node:fs"
import net from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { sanitized, startBoth, waitFor } from "./support.mjs"

const readers = Number(process.env.STALLED_READERS ?? 120)
const megabytes = Number(process.env.STALLED_MB ?? 40)
const row = (from, to) => `INSERT INTO wide SELECT i, repeat(md5(i::text), 31) FROM generate_series(${from}, ${to}) i`
const snapshotRows = Math.floor((megabytes - 26) * 900)

const { cluster, copper } = await startBoth({
  schema: `CREATE TABLE wide (id int PRIMARY KEY, t text NOT NULL); ALTER TABLE wide ALTER t SET STORAGE EXTERNAL; ${row(1, snapshotRows)}`,
  args: ["--checkpoint-interval", "100ms"],
})
const sealedFiles = () => readdirSync(join(copper.storageDir, "shapes"), { recursive: true }).filter((name) => /log\.\d+$/.test(name)).length
const ask = (offset, handle) => `/v1/shape?table=wide&offset=${offset}${handle ? `&handle=${handle}` : ""}`

// A request over a socket that nobody reads from.
async function stall(path) {
  const socket = net.connect({ port: copper.port, host: "127.0.0.1", highWaterMark: 1024 })
  socket.on("error", () => {})
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject))
  socket.pause()
  socket.write(`GET ${path} HTTP/1.1\r\nHost: copper\r\nConnection: close\r\n\r\n`)
  return socket
}

async function readOn(socket) {
  const pieces = []
  for await (const piece of socket) pieces.push(piece)
  const text = Buffer.concat(pieces).toString()
  const at = text.indexOf("\r\n\r\n")
  const [head, body] = [text.slice(0, at), text.slice(at + 4)]
  if (!/^transfer-encoding: chunked/im.test(head)) return body
  let whole = ""
  for (let from = 0; ;) {
    const end = body.indexOf("\r\n", from)
    const length = parseInt(body.slice(from, end), 16)
    if (!length) return whole
    whole += body.slice(end + 2, end + 2 + length)
    from = end + 2 + length + 2
  }
}

test(`${readers} readers that stop reading a log of ${megabytes} MB cost less than 5 MiB, and can go on`, async () => {
  const first = await copper.get({ table: "wide", offset: "-1" })
  const handle = first.headers["electric-handle"]
  for (let at = 1; at <= 26; at++) await cluster.sql(row(1_000_000 + at * 900, 1_000_000 + at * 900 + 899))

  // Where each answer of the log begins. The last one comes from the tail, once two whole chunks are sealed.
  const walk = async () => {
    const answers = [{ offset: "-1", answer: first }]
    while (!("electric-up-to-date" in answers.at(-1).answer.headers)) {
      const offset = answers.at(-1).answer.headers["electric-offset"]
      answers.push({ offset, answer: await copper.get({ table: "wide", handle, offset }) })
    }
    return answers
  }
  const answers = await waitFor(async () => {
    const all = await walk()
    const items = all.flatMap(({ answer }) => answer.body).filter(({ headers }) => headers.operation).length
    return items === snapshotRows + 26 * 900 && sealedFiles() >= 2 && all
  }, { what: "all rows are in the log, and chunks of it are sealed" })
  const kinds = { snapshot: answers[0], sealed: answers.find(({ offset }) => offset === "0_inf" || /^[1-9]/.test(offset)), tail: answers.at(-1) }
  for (const { answer } of Object.values(kinds)) assert.ok(answer.text.length > 4_000_000, `${answer.text.length} bytes`)

  const before = copper.memory("RssAnon")
  const sockets = []
  for (let i = 0; i < readers; i++) {
    const kind = Object.keys(kinds)[i % 3]
    sockets.push({ kind, socket: await stall(ask(kinds[kind].offset, handle)) })
  }
  // Each has begun to answer and has come to stand.
  let last = null
  await waitFor(async () => {
    const health = await copper.get({}, { path: "/v1/health" })
    assert.equal(health.status, 200)
    const now = copper.memory("RssAnon")
    const still = now === last
    last = now
    return still && sockets.every(({ socket }) => socket.bytesRead > 0)
  }, { what: "all readers stand" })
  const cost = last - before
  console.log(`# ${readers} stalled readers: ${(cost / 1048576).toFixed(2)} MiB; ${(before / 1048576).toFixed(1)} MiB before`)
  if (!sanitized) assert.ok(cost < 5 * 1048576, `${cost} bytes`)

  for (const { kind, socket } of sockets.slice(0, 6)) {
    const body = await readOn(socket)
    assert.ok(body === kinds[kind].answer.text, `${kind}: ${body.length} bytes, not ${kinds[kind].answer.text.length}`)
  }
  for (const { socket } of sockets) socket.destroy()
})
