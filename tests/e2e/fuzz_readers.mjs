// fuzz_readers.mjs: readers that follow shapes over bare sockets and check each answer against all that is known.
import { spawnSync } from "node:child_process"
import { createGunzip, gunzipSync } from "node:zlib"
import { sleepUntilNextLook } from "./support.mjs"
import { Malformed, Wire, requestBytes } from "./wire.mjs"
import { ShapeLog, briefRow, compareOffsets, isBoundary, itemOf, parseOffset } from "./shape_model.mjs"

// What the whole protocol may answer; 500 and 502 are never right.
const statuses = new Set([200, 202, 204, 304, 400, 404, 405, 408, 409, 413, 414, 417, 431, 501, 503, 505])
const refetch = '[{"headers":{"control":"must-refetch"}}]'

const zstd = spawnSync("zstd", ["--version"]).status === 0
const codings = ["gzip", "gzip, deflate, br", ...(zstd ? ["zstd", "gzip;q=0.5, zstd"] : [])]

// A body without its content coding; throws where it is not that.
function plainBody({ headers, body }) {
  const coding = headers["content-encoding"]
  if (coding === undefined || body.length === 0) return body
  if (coding === "gzip") return gunzipSync(body)
  if (coding !== "zstd") throw new Error(`content-encoding ${coding}`)
  const { status, stdout, stderr } = spawnSync("zstd", ["-dc"], { input: body, maxBuffer: 2 ** 28 })
  if (status !== 0) throw new Error(String(stderr))
  return stdout
}

// What all readers of one server share. `epoch` grows whenever the server goes or comes: what was under way then may end
// without an answer.
export class World {
  constructor({ port, deadline, definition }) {
    Object.assign(this, { port, deadline, definition, epoch: 0, up: true, raging: false, faults: [], logs: new Map(), dead: new Set(), lastGlobal: 0,
      globalEpoch: 0, recent: [], sleepers: [], counts: {} })
  }

  count(name) {
    this.counts[name] = (this.counts[name] ?? 0) + 1
  }

  fault(what, request, reply) {
    if (this.faults.length >= 20) return
    const asked = request ? `\n  asked: ${Buffer.isBuffer(request) ? JSON.stringify(request.subarray(0, 2000).toString("latin1")) : JSON.stringify(request).slice(0, 2000)}` : ""
    const got = reply ? `\n  got: ${reply.kind} ${reply.status} ${JSON.stringify(reply.headers)} ${reply.body?.subarray(0, 1000)}` : ""
    this.faults.push(`${new Date().toISOString()} ${what}${asked}${got}`)
    this.raging = false
  }

  log(handle) {
    if (!this.logs.has(handle)) this.logs.set(handle, new ShapeLog(handle))
    return this.logs.get(handle)
  }

  moment() {
    return { epoch: this.epoch, up: this.up }
  }

  excuses({ epoch, up }) {
    return !up || epoch !== this.epoch || !this.up
  }

  // What is true of every answer. Returns its JSON, if it is that.
  check(request, reply) {
    const { status, headers, body } = reply
    this.count(status)
    if (!statuses.has(status)) this.fault(`status ${status}`, request, reply)
    if (headers.date === undefined) this.fault("no date", request, reply)
    const cache = headers["cache-control"] ?? ""
    if (status >= 400 && status !== 409 && !/no-store|no-cache|max-age=0/.test(cache)) this.fault(`an error to be kept: ${cache}`, request, reply)
    if (status === 503 && !(Number(headers["retry-after"]) >= 1)) this.fault("503 without retry-after", request, reply)
    if (status === 304 && body.length > 0) this.fault("304 with a body", request, reply)
    if (headers["content-encoding"]) {
      this.count(headers["content-encoding"])
      if (!/accept-encoding/.test(headers.vary ?? "")) this.fault("encoded, and does not vary", request, reply)
      if (!Buffer.isBuffer(request) && !request.headers["accept-encoding"]) this.fault("encoded unasked", request, reply)
    }
    if (!/json/.test(headers["content-type"] ?? "") || body.length === 0) return null
    try {
      reply.body = plainBody(reply)
      return JSON.parse(new TextDecoder("utf8", { fatal: true }).decode(reply.body))
    } catch (error) {
      this.fault(`a body that is no JSON: ${error.message}`, request, reply)
      return null
    }
  }
}

// Takes server-sent events from bytes as they come.
class Events {
  constructor(onMessage) {
    Object.assign(this, { onMessage, decoder: new TextDecoder("utf8", { fatal: true }), rest: "" })
  }

  take(bytes) {
    const events = (this.rest + this.decoder.decode(bytes, { stream: true })).split("\n\n")
    this.rest = events.pop()
    for (const event of events) {
      if (event.startsWith("data: ")) this.onMessage(JSON.parse(event.slice(6)))
      else if (event !== ": keep-alive") throw new Malformed(`event ${JSON.stringify(event.slice(0, 200))}`)
    }
  }
}

export class Reader {
  constructor(world, rng, [params, query], from = null) {
    Object.assign(this, { world, rng, params, query, wire: null })
    this.restart()
    if (from) Object.assign(this, { handle: from.handle, offset: from.offset, at: from.at, rows: new Map(from.rows), tag: null })
  }

  // Another shape from now on.
  turnTo([params, query]) {
    Object.assign(this, { params, query })
    this.restart()
  }

  restart() {
    Object.assign(this, { handle: null, offset: "-1", at: [-1, 0], rows: new Map(), upToDate: false, tag: null, lsn: null })
  }

  get whole() {
    return this.query !== null
  }

  close() {
    this.wire?.destroy()
    this.wire = null
  }

  fault(what, request, reply) {
    this.world.fault(`${what} [${JSON.stringify(this.params)} handle ${this.handle} offset ${this.offset}]`, request, reply)
  }

  // One request and its reply; null: there is none, and it is excused or was told as a fault.
  async exchange(request, { onBody = null, wire = null } = {}) {
    const { world } = this
    const moment = world.moment()
    if (!wire) {
      if (!this.wire?.reusable) {
        this.close()
        this.wire = new Wire(world.port)
      }
      wire = this.wire
    }
    if (request.offset !== "-1") world.recent = [...world.recent.slice(-30), request]
    let reply
    try {
      const reading = wire.reply(request.method, { deadline: world.deadline, onBody })
      void wire.send(requestBytes(request))
      reply = await reading
    } catch (error) {
      this.fault(`no HTTP: ${error.message}`, request)
      wire.destroy()
      return null
    }
    if (reply.kind === "answer") {
      if (reply.status === 503) await sleepUntilNextLook()
      return reply
    }
    wire.destroy()
    if (world.excuses(moment)) return null
    world.count(reply.kind)
    // An answer may be cut off where its shape goes, or a compaction moved what it was reading: the next one is whole.
    if (reply.kind !== "cut") this.fault(`no answer: ${reply.kind}`, request, reply)
    return null
  }

  request(more = {}, { method = "GET", headers = {}, body = null } = {}) {
    const query = Object.entries({ ...this.params, offset: this.offset, ...(this.handle ? { handle: this.handle } : {}), ...more })
    const accept = this.rng.likely(0.3) ? { "accept-encoding": this.rng.pick(codings) } : {}
    return { method, query: this.rng.likely(0.2) ? query.reverse() : query, headers: { ...accept, ...headers }, body }
  }

  // 409, 503: what any request of a reader may be told. True: it was one of them.
  refused(request, reply, deadBefore) {
    if (reply.status === 503) return true
    if (reply.status !== 409) return false
    const named = reply.headers["electric-handle"]
    if (request.method !== "HEAD" && reply.body.toString() !== refetch) this.fault("a 409 that says something else", request, reply)
    if (!this.handle) this.world.count("409 without a handle")
    if (named !== undefined && (named === this.handle || deadBefore.has(named))) this.fault(`409 sends to ${named}, which is gone`, request, reply)
    if (this.handle) this.world.dead.add(this.handle)
    this.restart()
    return true
  }

  checkHead(request, reply, { live = false, sse = false } = {}) {
    const { headers } = reply
    const asked = request.query.find(([name]) => name === "offset")[1]
    const handle = headers["electric-handle"]
    if (!/^\d+-\d+$/.test(handle ?? "")) this.fault("no handle", request, reply)
    if (this.handle && asked !== "-1" && handle !== this.handle) this.fault(`handle ${handle}`, request, reply)
    if (!/^(-1|\d+_(\d+|inf))$/.test(headers["electric-offset"] ?? "")) this.fault("no offset", request, reply)
    const etag = headers.etag ?? ""
    if (!etag.startsWith(`"${handle}:${asked}:${headers["electric-offset"]}`)) this.fault(`etag ${etag}`, request, reply)
    if (!headers["cache-control"]) this.fault("no cache-control", request, reply)
    if (!live && reply.status === 200) {
      try {
        JSON.parse(Buffer.from(headers["electric-schema"], "latin1").toString())
      } catch {
        this.fault("no schema", request, reply)
      }
    }
    if (live && !/^\d+$/.test(headers["electric-cursor"] ?? "")) this.fault("no cursor", request, reply)
    if (sse && headers["content-type"] !== "text/event-stream") this.fault("no event stream", request, reply)
  }

  // The rows after these items, of which each is looked at once.
  apply(items) {
    for (const item of items) {
      if (item.at && compareOffsets(item.at, this.at) <= 0) continue
      const there = this.rows.has(item.key)
      if (this.whole && there === (item.kind === "insert")) {
        this.fault(`${item.kind} of ${item.key} at ${item.at}: the row was ${there ? "" : "not "}there`)
      }
      if (item.kind === "delete") this.rows.delete(item.key)
      else this.rows.set(item.key, item.kind === "insert" ? item.value : { ...this.rows.get(item.key), ...item.value })
      if (item.at) this.at = item.at
    }
  }

  judge(faults, request, reply) {
    for (const fault of faults) this.fault(fault, request, reply)
  }

  // ---- one step: a request and what follows from it

  async catchUp({ twin = false } = {}) {
    const { world } = this
    const moment = world.moment()
    const deadBefore = new Set(world.dead)
    const globalBefore = world.globalEpoch === moment.epoch ? world.lastGlobal : 0
    const tagged = this.tag?.offset === this.offset && this.rng.likely(0.5)
    const odd = this.offset === "-1" && this.rng.likely(0.2) ? { handle: "1-1" } : {}
    const request = this.request(odd, { headers: tagged ? { "if-none-match": this.tag.value } : {} })
    const other = twin ? new Wire(world.port) : null
    const [reply, second] = await Promise.all([this.exchange(request), other && this.exchange(request, { wire: other })])
    other?.destroy()
    const state = { handle: this.handle, offset: this.offset }
    if (second?.status === 200) this.take(request, second, { deadBefore, globalBefore, moment, keep: false })
    if (reply && this.handle === state.handle) this.take(request, reply, { deadBefore, globalBefore, moment, keep: true })
  }

  take(request, reply, { deadBefore, globalBefore, moment, keep }) {
    const { world } = this
    const messages = world.check(request, reply)
    if (this.refused(request, reply, deadBefore)) return
    if (reply.status === 304) {
      if (reply.headers.etag !== this.tag?.value || !request.headers["if-none-match"]) this.fault("304 for another etag", request, reply)
      return
    }
    if (reply.status !== 200 || !Array.isArray(messages)) {
      this.fault(`a reader is told ${reply.status}`, request, reply)
      return
    }
    this.checkHead(request, reply)
    this.takeMessages(request, reply, messages, { deadBefore, globalBefore, moment, keep, live: false })
  }

  takeMessages(request, reply, messages, { deadBefore, globalBefore, moment, keep, live }) {
    const { world } = this
    const handle = reply.headers["electric-handle"]
    const asked = request.query.find(([name]) => name === "offset")[1]
    const answered = reply.headers["electric-offset"]
    const log = world.log(handle)
    if (deadBefore.has(handle)) this.fault(`handle ${handle} is back from the dead`, request, reply)
    const end = messages.at(-1)?.headers
    const upToDate = end?.control === "up-to-date"
    if (upToDate !== (reply.headers["electric-up-to-date"] !== undefined)) this.fault("electric-up-to-date and the last message differ", request, reply)
    const items = messages.filter(({ headers }) => headers.operation).map(itemOf)
    const inSnapshot = asked === "-1" || (/^0_\d+$/.test(asked) && items.some(({ at }) => !at))
    if (inSnapshot) {
      if (upToDate) this.fault("up-to-date inside the snapshot", request, reply)
      this.judge(log.snapshotPiece(asked, answered, messages), request, reply)
    } else {
      const from = asked.startsWith("0_") ? [0, Infinity] : parseOffset(asked)
      const to = parseOffset(answered)
      if (items.some(({ at }) => !at)) this.fault("a row of the snapshot in the log", request, reply)
      if (compareOffsets(to, from) < 0) this.fault("offsets go back", request, reply)
      if (items.length === 0 && !upToDate) this.fault("an answer with nothing", request, reply)
      if (isBoundary(to)) world.count("to a boundary")
      if (isBoundary(from)) world.count("from a boundary")
      this.judge(log.observe(from, to, items), request, reply)
      if (upToDate) this.upToDateAt(log, to, Number(end.global_last_seen_lsn), { globalBefore: live ? 0 : globalBefore, moment }, request, reply)
    }
    if (!keep) return
    this.handle = handle
    this.apply(items)
    this.offset = answered
    if (!inSnapshot && compareOffsets(parseOffset(answered), this.at) > 0) this.at = parseOffset(answered)
    this.upToDate = upToDate
    this.lsn = upToDate ? end.global_last_seen_lsn : null
    this.tag = live ? null : { offset: asked, value: reply.headers.etag }
    this.remember()
  }

  upToDateAt(log, to, lsn, { globalBefore, moment }, request, reply) {
    const { world } = this
    this.judge(log.claim(to, lsn), request, reply)
    if (globalBefore > lsn && !world.excuses(moment)) this.judge(log.claim(to, globalBefore), request, reply)
    if (world.globalEpoch !== world.epoch) world.lastGlobal = 0
    world.globalEpoch = world.epoch
    if (!world.excuses(moment)) world.lastGlobal = Math.max(world.lastGlobal, lsn)
  }

  // Who stops here reads on another day.
  remember() {
    if (!this.rng.likely(0.08)) return
    const { handle, offset, at, params, query } = this
    this.world.sleepers = [...this.world.sleepers.slice(-60), { handle, offset, at, definition: [params, query], rows: new Map(this.rows) }]
  }

  async live({ twin = false } = {}) {
    const { world } = this
    const moment = world.moment()
    const deadBefore = new Set(world.dead)
    // Some go on as clients of streams do.
    const offset = this.lsn && this.rng.likely(0.15) ? `${this.lsn}_0` : this.offset
    const request = this.request({ offset, live: "true", ...(this.rng.likely(0.7) ? { cursor: String(this.cursor ?? 1) } : {}) },
      { method: this.rng.likely(0.9) ? "GET" : "POST" })
    if (request.method === "POST") request.body = "{}"
    const other = twin ? new Wire(world.port) : null
    // Who stands at the same place under another name gets what is new under that name.
    const beside = this.lsn && twin && this.rng.likely(0.5) ? `${this.lsn}_0` : offset
    const requests = [request, { ...request, query: request.query.map(([name, value]) => [name, name === "offset" ? beside : value]) }]
    const handle = this.handle
    const replies = await Promise.all([this.exchange(request), other && this.exchange(requests[1], { wire: other })])
    other?.destroy()
    for (const [i, reply] of replies.entries()) {
      const request = requests[i]
      if (!reply || this.handle !== handle) continue
      const messages = world.check(request, reply)
      if (this.refused(request, reply, deadBefore)) continue
      if (reply.status !== 200 || !Array.isArray(messages)) {
        this.fault(`a live reader is told ${reply.status}`, request, reply)
        continue
      }
      this.checkHead(request, reply, { live: true })
      this.cursor = reply.headers["electric-cursor"]
      this.takeMessages(request, reply, messages, { deadBefore, globalBefore: 0, moment, keep: i === 0, live: true })
    }
  }

  // keep: the reader goes on from what comes. Else it is only looked at.
  async stream({ offset = this.offset, keep = true } = {}) {
    const { world } = this
    const moment = world.moment()
    const deadBefore = new Set(world.dead)
    const handle = this.handle
    const log = world.log(handle)
    let from = offset.startsWith("0_") ? [0, Infinity] : parseOffset(offset)
    let piece = []
    let request = null
    const events = new Events((message) => {
      if (message.headers.operation) {
        piece.push(itemOf(message))
        return
      }
      if (message.headers.control !== "up-to-date") {
        this.fault(`a stream says ${JSON.stringify(message)}`, request)
        return
      }
      const lsn = Number(message.headers.global_last_seen_lsn)
      this.lsn = null
      const to = piece.at(-1)?.at ?? from
      this.judge(log.observe(from, to, piece), request)
      this.judge(log.claim(to, lsn), request)
      if (keep) this.apply(piece)
      from = to
      piece = []
      if (!keep) return
      if (compareOffsets(to, this.at) > 0) this.at = to
      // Clients of streams go on from what up-to-date said.
      this.offset = this.rng.likely(0.5) ? `${lsn}_0` : to[0] === 0 ? "0_inf" : `${to[0]}_${to[1]}`
      this.remember()
    })
    let broken = null
    let gunzip = null
    const take = (bytes) => {
      if (broken) return
      try {
        events.take(bytes)
      } catch (error) {
        broken = error
      }
    }
    const onBody = (bytes, head) => {
      if (head.status !== 200) return
      if (head.headers["content-encoding"] === undefined) return take(bytes)
      if (!gunzip) {
        gunzip = createGunzip().on("data", take).on("error", (error) => (broken ??= error))
        gunzip.over = new Promise((resolve) => gunzip.on("close", resolve))
      }
      gunzip.write(bytes)
    }
    request = this.request({ offset, live: "true", [this.rng.pick(["live_sse", "live_sse", "experimental_live_sse"])]: "true" })
    if (request.headers["accept-encoding"]) request.headers["accept-encoding"] = "gzip"
    const wire = keep ? null : new Wire(world.port)
    const reply = await this.exchange(request, { onBody, wire })
    wire?.destroy()
    if (gunzip && reply) {
      gunzip.end()
      await gunzip.over
    } else gunzip?.destroy()
    if (broken) this.fault(`a stream breaks: ${broken.message}`, request)
    if (!reply) return
    if (reply.status !== 200) {
      world.check(request, reply)
      if (this.handle !== handle) return
      if (!this.refused(request, reply, deadBefore)) this.fault(`a stream is told ${reply.status}`, request, reply)
      return
    }
    world.count("stream")
    if (deadBefore.has(handle)) this.fault(`handle ${handle} is back from the dead`, request, reply)
    if (events.rest !== "" && !world.excuses(moment)) this.fault(`a stream ends inside an event: ${events.rest.slice(0, 200)}`, request)
    if (this.handle === handle) this.checkHead(request, reply, { live: true, sse: true })
  }

  // Any place in the log, whatever it was read to.
  async reread() {
    const { world, handle } = this
    const moment = world.moment()
    const deadBefore = new Set(world.dead)
    const request = this.request({ offset: world.log(handle).someOffset(this.rng) })
    const reply = await this.exchange(request)
    if (!reply || this.handle !== handle) return
    const messages = world.check(request, reply)
    if (this.refused(request, reply, deadBefore)) return
    if (reply.status !== 200 || !Array.isArray(messages)) return void this.fault(`a rereader is told ${reply.status}`, request, reply)
    this.checkHead(request, reply)
    this.takeMessages(request, reply, messages, { deadBefore, globalBefore: 0, moment, keep: false, live: false })
  }

  async now() {
    const { world } = this
    const moment = world.moment()
    const deadBefore = new Set(world.dead)
    const request = this.request({ offset: "now" })
    const reply = await this.exchange(request)
    if (!reply) return
    const messages = world.check(request, reply)
    if (reply.status === 409 || reply.status === 503) return
    if (reply.status !== 200) return void this.fault(`offset=now is told ${reply.status}`, request, reply)
    if (messages?.length !== 1 || messages[0].headers.control !== "up-to-date") return void this.fault("offset=now with more", request, reply)
    const handle = reply.headers["electric-handle"]
    const to = parseOffset(reply.headers["electric-offset"])
    if (deadBefore.has(handle)) this.fault(`handle ${handle} is back from the dead`, request, reply)
    if (to[0] > 0) this.upToDateAt(world.log(handle), to, Number(messages[0].headers.global_last_seen_lsn), { globalBefore: 0, moment }, request, reply)
    if (!this.whole) Object.assign(this, { handle, offset: reply.headers["electric-offset"], at: to, rows: new Map() })
  }

  async head() {
    const request = this.request({}, { method: "HEAD" })
    const reply = await this.exchange(request)
    if (!reply) return
    if (reply.body.length > 0) this.fault("HEAD with a body", request, reply)
    this.world.check(request, reply)
    if (![200, 304, 409, 503].includes(reply.status)) this.fault(`HEAD is told ${reply.status}`, request, reply)
  }

  async options() {
    const request = this.request({}, { method: "OPTIONS" })
    const reply = await this.exchange(request)
    if (reply && reply.status !== 204) this.fault(`OPTIONS is told ${reply.status}`, request, reply)
  }

  async subset() {
    const column = this.params.table.startsWith('"') ? '"k/1"' : this.params.table === "keyless" ? "a" : "id"
    const subset = { where: `${column} IS NOT NULL`, order_by: `${column} DESC`, limit: 1 + this.rng.below(20), offset: this.rng.below(3) }
    const inQuery = Object.fromEntries(Object.entries(subset).map(([name, value]) => [`subset__${name}`, String(value)]))
    const request = this.rng.likely(0.4) ? this.request(inQuery)
      : this.request({}, { method: "POST", body: JSON.stringify(this.rng.likely(0.5) ? subset : { subset }) })
    const reply = await this.exchange(request)
    if (!reply) return
    const answer = this.world.check(request, reply)
    if (reply.status === 409 || reply.status === 503) return
    if (reply.status !== 200) return void this.fault(`a subset is told ${reply.status}`, request, reply)
    const { metadata, data } = answer ?? {}
    if (!Array.isArray(data) || data.length > subset.limit || !/^\d+$/.test(metadata?.xmin)) this.fault("no subset", request, reply)
    if (data?.some(({ headers }) => headers.snapshot_mark !== metadata.snapshot_mark)) this.fault("another snapshot's mark", request, reply)
  }

  async step() {
    const { rng } = this
    const twin = rng.likely(0.15)
    if (!this.handle) {
      if (rng.likely(this.whole ? 0.05 : 0.3)) return this.now()
      return this.catchUp({ twin })
    }
    if (rng.likely(0.03)) return this.restart()
    if (rng.likely(0.01)) return this.turnTo(this.world.definition(rng))
    if (rng.likely(0.04)) return this.head()
    if (rng.likely(0.02)) return this.options()
    if (rng.likely(0.06)) return this.subset()
    if (rng.likely(0.03)) return this.now()
    if (rng.likely(0.15)) return this.reread()
    if (!this.upToDate) return this.catchUp({ twin })
    if (rng.likely(0.2)) return this.catchUp({ twin })
    if (rng.likely(0.6)) return this.live({ twin })
    // Another stream of the same shape catches up beside it.
    const others = Array.from({ length: rng.below(3) }, () => this.stream({ offset: this.world.log(this.handle).someOffset(rng), keep: false }))
    return Promise.all([this.stream(), ...others])
  }

  // The rows as texts, the same for equal ones.
  texts() {
    return [...this.rows.values()].map(rowText).sort()
  }
}

const rowText = (row) => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)))
export const rowTexts = (rows) => rows.map((row) => rowText(briefRow(row))).sort()
