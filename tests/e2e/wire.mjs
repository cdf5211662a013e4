// wire.mjs: HTTP/1.1 on a bare socket: whatever bytes a test likes to send, and a strict reader of what comes back. A reply
// is { kind: "answer", status, headers, body }, or what stands for one: "cut" (ended inside), "closed" (not a byte of it),
// "late" (nothing whole within the deadline). Bytes that are no HTTP throw.
import net from "node:net"

export class Malformed extends Error {}

const headMax = 128 * 1024

function parseHead(text) {
  const [first, ...lines] = text.split("\r\n")
  const status = /^HTTP\/1\.1 (\d{3}) [\x20-\x7e]+$/.exec(first)
  if (!status) throw new Malformed(`status line ${JSON.stringify(first)}`)
  const headers = {}
  for (const line of lines) {
    const header = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)$/.exec(line)
    if (!header) throw new Malformed(`header line ${JSON.stringify(line)}`)
    const name = header[1].toLowerCase()
    if (name in headers) throw new Malformed(`header ${name} twice`)
    headers[name] = header[2]
  }
  return { status: Number(status[1]), headers }
}

function framing(method, { status, headers }) {
  const length = headers["content-length"]
  const encoding = headers["transfer-encoding"]
  if (length !== undefined && !/^\d+$/.test(length)) throw new Malformed(`content-length ${length}`)
  if (length !== undefined && encoding !== undefined) throw new Malformed("content-length with transfer-encoding")
  if (encoding !== undefined && encoding !== "chunked") throw new Malformed(`transfer-encoding ${encoding}`)
  if (method === "HEAD" || status === 204 || status === 304) return { none: true }
  if (encoding) return { chunked: true }
  return length === undefined ? { untilClose: true } : { length: Number(length) }
}

export class Wire {
  constructor(port) {
    this.rest = Buffer.alloc(0)
    this.waiting = [] // { method, onBody, resolve, reject, timer }
    this.answer = null // the one being read: { head, frame, pieces }
    this.closed = false
    this.usedAt = Date.now()
    this.sent = 0
    this.socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true })
    this.socket.on("data", (bytes) => this.#take(bytes))
    this.socket.on("error", () => {})
    this.socket.on("end", () => this.#ended())
    this.socket.on("close", () => this.#ended())
  }

  // Sends bytes; drained or broken when it returns.
  send(bytes) {
    this.usedAt = Date.now()
    this.sent += 1
    return new Promise((resolve) => {
      if (this.closed || this.socket.destroyed || !this.socket.writable) resolve()
      else this.socket.write(bytes, () => resolve())
    })
  }

  // The next reply in order. onBody gets the body's bytes as they come.
  reply(method, { deadline, onBody = null }) {
    return new Promise((resolve, reject) => {
      const waiter = { method, onBody, resolve, reject }
      waiter.timer = setTimeout(() => this.#finish(waiter, { kind: "late", ...this.#partial() }), deadline)
      this.waiting.push(waiter)
      if (this.closed) this.#ended()
      else this.#parse()
    })
  }

  halfClose() {
    if (!this.socket.destroyed) this.socket.end()
  }

  destroy() {
    this.socket.destroy()
  }

  get reusable() {
    return !this.closed && !this.socket.destroyed && this.waiting.length === 0 && Date.now() - this.usedAt < 500
  }

  #partial() {
    return this.answer ? { ...this.answer.head, body: Buffer.concat(this.answer.pieces) } : {}
  }

  #finish(waiter, reply) {
    clearTimeout(waiter.timer)
    this.usedAt = Date.now()
    const at = this.waiting.indexOf(waiter)
    if (at >= 0) this.waiting.splice(at, 1)
    this.answer = null
    if (reply instanceof Error) waiter.reject(reply)
    else waiter.resolve(reply)
  }

  #take(bytes) {
    this.rest = this.rest.length ? Buffer.concat([this.rest, bytes]) : bytes
    this.#parse()
  }

  #parse() {
    try {
      while (this.waiting.length > 0 && this.#parseOne(this.waiting[0]));
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      error.message += ` (rest: ${JSON.stringify(this.rest.subarray(0, 200).toString("latin1"))})`
      this.#finish(this.waiting[0], error)
      this.socket.destroy()
    }
  }

  #body(waiter, bytes) {
    this.answer.pieces.push(bytes)
    waiter.onBody?.(bytes, this.answer.head)
  }

  // True: one more answer is whole.
  #parseOne(waiter) {
    if (!this.answer) {
      const end = this.rest.indexOf("\r\n\r\n")
      if (end < 0) {
        if (this.rest.length > headMax) throw new Malformed("a head without an end")
        return false
      }
      const head = parseHead(this.rest.subarray(0, end).toString("latin1"))
      this.rest = this.rest.subarray(end + 4)
      if (head.status === 100) return true
      this.answer = { head, frame: framing(waiter.method, head), pieces: [], left: 0 }
      this.answer.left = this.answer.frame.length ?? 0
    }
    const { frame } = this.answer
    if (frame.untilClose) {
      if (this.rest.length) this.#body(waiter, this.rest)
      this.rest = Buffer.alloc(0)
      return false
    }
    const whole = frame.none || (frame.chunked ? this.#chunks(waiter) : this.#counted(waiter))
    if (whole) this.#finish(waiter, { kind: "answer", ...this.#partial() })
    return whole
  }

  #counted(waiter) {
    const part = this.rest.subarray(0, this.answer.left)
    if (part.length) this.#body(waiter, part)
    this.answer.left -= part.length
    this.rest = this.rest.subarray(part.length)
    return this.answer.left === 0
  }

  #chunks(waiter) {
    for (;;) {
      const end = this.rest.indexOf("\r\n")
      if (end < 0) {
        if (this.rest.length > 20) throw new Malformed("a chunk without a size")
        return false
      }
      const line = this.rest.subarray(0, end).toString("latin1")
      if (!/^[0-9a-fA-F]{1,8}$/.test(line)) throw new Malformed(`chunk size ${JSON.stringify(line)}`)
      const size = parseInt(line, 16)
      if (this.rest.length < end + 2 + size + 2) return false
      const data = this.rest.subarray(end + 2, end + 2 + size)
      if (this.rest.subarray(end + 2 + size, end + 4 + size).toString("latin1") !== "\r\n") {
        throw new Malformed("a chunk longer than its size")
      }
      this.rest = this.rest.subarray(end + 4 + size)
      if (size === 0) return true
      this.#body(waiter, data)
    }
  }

  #ended() {
    this.closed = true
    while (this.waiting.length > 0) {
      const waiter = this.waiting[0]
      const partial = this.#partial()
      if (!this.answer) this.#finish(waiter, { kind: this.rest.length ? "cut" : "closed" })
      else this.#finish(waiter, { kind: this.answer.frame.untilClose ? "answer" : "cut", ...partial })
    }
    if (!this.socket.destroyed) this.socket.end()
  }
}

// A request's bytes. query: pairs, each encoded here unless `raw`.
export function requestBytes({ method = "GET", path = "/v1/shape", query = [], headers = {}, body = null, raw = false }) {
  const code = raw ? (text) => text : encodeURIComponent
  const text = query.map(([name, value]) => `${code(name)}=${code(value)}`).join("&")
  const payload = body === null ? Buffer.alloc(0) : Buffer.from(body)
  const all = { host: "fuzz", ...(body === null ? {} : { "content-length": String(payload.length) }), ...headers }
  const head = `${method} ${path}${text && `?${text}`} HTTP/1.1\r\n` +
    `${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`
  return Buffer.concat([Buffer.from(head, raw ? "latin1" : "utf8"), payload])
}
