// support.mjs: what every end-to-end story needs: a private Postgres, the real binary, the official client, and waiting
// for conditions with a deadline. Everything started here ends with the test process, even when that is killed.
import assert from "node:assert/strict"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { after } from "node:test"
import { inspect } from "node:util"
import pg from "pg"
import { Shape, ShapeStream } from "@electric-sql/client"

export const checkout = fileURLToPath(new URL("../..", import.meta.url))
export const binary = process.env.COPPER_BIN ?? join(checkout, "build/release/copper")
export const sanitized = /\b(asan|tsan)\b/.test(binary)
// Sanitizers and a busy machine make everything slower; a deadline is for what hangs, not a measurement.
// Flags for every server of a story: how `make test` tells some of them again with tiny chunks.
const everywhere = (process.env.E2E_FLAGS ?? "").split(" ").filter(Boolean)
export const patience = Number(process.env.PATIENCE ?? (sanitized ? 120_000 : 45_000))

export const pgBin = process.env.PG_BIN ?? "/usr/lib/postgresql/15/bin"
export const pgMajor = Number(execFileSync(join(pgBin, "postgres"), ["--version"], { encoding: "utf8" }).match(/\d+/)[0])
const root = process.getuid() === 0
const cleanups = []

// The client leaves timers of a minute behind when its stream is closed; a test process need not wait for them.
for (const name of ["setTimeout", "setInterval"]) {
  const original = globalThis[name]
  globalThis[name] = (callback, ms, ...args) => {
    const timer = original(callback, ms, ...args)
    if (ms >= 10_000) timer.unref()
    return timer
  }
}

// Runs the clean-ups of this file, newest first, when its tests are over, whatever their outcome.
after(async () => {
  const failures = []
  for (const cleanup of cleanups.reverse()) {
    try {
      await cleanup()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
})

export const sleepUntilNextLook = () => new Promise((resolve) => setTimeout(resolve, 15))

// Waits until the condition gives something truthy, and returns it. Errors of the condition count as "not yet" and are
// told when the deadline passes.
export async function waitFor(condition, { what = condition.toString(), timeout = patience } = {}) {
  const deadline = Date.now() + timeout
  let last
  for (;;) {
    try {
      const value = await condition()
      if (value) return value
      last = value
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) assert.fail(`waited ${timeout} ms in vain for: ${what} (last: ${inspect(last)})`)
    await sleepUntilNextLook()
  }
}

// Below the range of ports that the kernel hands to clients.
export async function freePort() {
  for (;;) {
    const port = 20000 + Math.floor(Math.random() * 10000)
    const free = await new Promise((resolve) => {
      const server = net.createServer()
      server.on("error", () => resolve(false))
      server.listen(port, "0.0.0.0", () => server.close(() => resolve(true)))
    })
    if (free) return port
  }
}

export function tempDir(name) {
  const dir = mkdtempSync(join(tmpdir(), `copper-e2e-${name}-`))
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

// A child that is killed with this process. As root, `user` is who runs it.
function spawnBound(command, args, { signal = "KILL", user, ...options }) {
  const as = user && root ? [`--reuid=${user}`, `--regid=${user}`, "--init-groups"] : []
  return spawn("setpriv", [...as, "--pdeathsig", signal, "--", command, ...args], options)
}

const exited = (child) =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve()
    : new Promise((resolve) => child.once("exit", resolve))

// ---------------------------------------------------------------------------------------------------- Postgres

// Postgres' text output under these settings is what the protocol's values are.
const textSettings = [
  "bytea_output=hex",
  "DateStyle=ISO,DMY",
  "TimeZone=UTC",
  "extra_float_digits=1",
  "IntervalStyle=iso_8601",
]

// Runs a program as the user that Postgres runs as, and waits for it.
export function asPostgres(...command) {
  const [program, ...args] = [...(root ? ["runuser", "-u", "postgres", "--"] : []), ...command]
  const made = spawnSync(program, args, { cwd: "/", encoding: "utf8" })
  assert.equal(made.status, 0, `${command.join(" ")}: ${made.stderr ?? made.error}`)
}

// A new data directory.
export function initCluster() {
  const home = tempDir("pg")
  giveToPostgres(home)
  const data = join(home, "data")
  asPostgres(join(pgBin, "initdb"), "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "--no-sync")
  return data
}

// Its port and its data directory may be changed while it is stopped.
export async function startCluster({ settings = [] } = {}) {
  const cluster = {
    port: await freePort(),
    data: initCluster(),
    get url() {
      return `postgresql://postgres@127.0.0.1:${cluster.port}/postgres?sslmode=disable`
    },
    log: "",
    server: null,

    async start() {
      const options = [
        `port=${cluster.port}`, "listen_addresses=127.0.0.1", "unix_socket_directories=", "wal_level=logical", "fsync=off",
        "max_connections=100", "max_wal_senders=20", "max_replication_slots=20", ...settings,
      ].flatMap((setting) => ["-c", setting])
      const server = spawnBound(join(pgBin, "postgres"), ["-D", cluster.data, ...options], {
        signal: "QUIT", user: "postgres", cwd: "/", stdio: ["ignore", "pipe", "pipe"],
      })
      for (const stream of [server.stdout, server.stderr]) {
        stream.on("data", (text) => (cluster.log = (cluster.log + text).slice(-100_000)))
      }
      cluster.server = server
      await waitFor(async () => {
        assert.equal(server.exitCode, null, `Postgres ended: ${cluster.log}`)
        const client = new pg.Client({ connectionString: cluster.url })
        client.on("error", () => {})
        try {
          await client.connect()
          return true
        } finally {
          await client.end().catch(() => {})
        }
      }, { what: "Postgres answers" })
    },

    // SIGINT is a fast shutdown, SIGQUIT an immediate one, which has Postgres recover at the next start.
    async stop(signal = "SIGINT") {
      if (!cluster.server) return
      cluster.server.kill(signal)
      await exited(cluster.server)
      cluster.server = null
    },

    // One connection of one's own, for transactions. Values come as Postgres' text.
    async connect({ database = "postgres" } = {}) {
      const client = new pg.Client({
        connectionString: cluster.url.replace(/\/postgres\?/, `/${database}?`),
        options: textSettings.map((setting) => `-c ${setting}`).join(" "),
        types: { getTypeParser: () => (text) => text },
      })
      client.on("error", () => {})
      await client.connect()
      return client
    },

    // Runs one statement or several, and returns the rows of the last.
    async sql(text, values) {
      const client = await cluster.connect()
      try {
        const result = await client.query(text, values)
        return (Array.isArray(result) ? result.at(-1) : result).rows
      } finally {
        await client.end().catch(() => {})
      }
    },
  }
  cleanups.push(() => cluster.stop("SIGQUIT"))
  await cluster.start()
  return cluster
}

// Gives files to the user that Postgres runs as: keys must be its own.
export function giveToPostgres(...files) {
  if (!root) return
  const id = (flag) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }))
  for (const file of files) chownSync(file, id("-u"), id("-g"))
}

// A PgBouncer in transaction mode in front of a cluster. `users` may connect without a password.
export async function startPgBouncer({ cluster, users = ["postgres"], poolSize = 2 }) {
  const home = tempDir("pgbouncer")
  const port = await freePort()
  const config = join(home, "pgbouncer.ini")
  const list = join(home, "users.txt")
  writeFileSync(list, users.map((user) => `"${user}" ""\n`).join(""))
  writeFileSync(config, `[databases]\npostgres = host=127.0.0.1 port=${cluster.port} dbname=postgres\n[pgbouncer]\n` +
    `listen_addr = 127.0.0.1\nlisten_port = ${port}\nunix_socket_dir =\nauth_type = trust\nauth_file = ${list}\n` +
    `pool_mode = transaction\ndefault_pool_size = ${poolSize}\nserver_tls_sslmode = disable\n`)
  giveToPostgres(home, config, list)
  const bouncer = { port, log: "", url: (user) => `postgresql://${user}@127.0.0.1:${port}/postgres?sslmode=disable` }
  const child = spawnBound("pgbouncer", [config], { user: "postgres", cwd: "/", stdio: ["ignore", "pipe", "pipe"] })
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => (bouncer.log = (bouncer.log + text).slice(-100_000)))
  }
  bouncer.stop = async () => {
    child.kill("SIGKILL")
    await exited(child)
  }
  cleanups.push(bouncer.stop)
  await waitFor(() => /process up/.test(bouncer.log), { what: "PgBouncer listens" })
  return bouncer
}

// A program in the foreground that ends with this process; `log` has what it says.
export function startProgram(command, args, options = {}) {
  const child = spawnBound(command, args, { cwd: "/", stdio: ["ignore", "pipe", "pipe"], ...options })
  const program = {
    log: "",
    async stop() {
      child.kill("SIGTERM")
      await exited(child)
    },
  }
  child.on("error", (error) => (program.log += `${error}`))
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => (program.log = (program.log + text).slice(-100_000)))
  }
  cleanups.push(program.stop)
  return program
}

// ---------------------------------------------------------------------------------------------------- Copper

export async function startCopper({ cluster, env = {}, args = [], storageDir, port, waitActive = true, insecure = true }) {
  const dir = storageDir ?? join(tempDir("copper"), "storage")
  mkdirSync(dir, { recursive: true })
  const ownPort = port ?? (await freePort())
  const inherited = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(COPPER_|ELECTRIC_|DATABASE_URL|PG)/.test(name)))

  const copper = {
    port: ownPort,
    url: `http://127.0.0.1:${ownPort}`,
    shapeUrl: `http://127.0.0.1:${ownPort}/v1/shape`,
    storageDir: dir,
    process: null,
    log: "",

    async start({ waitActive: wait = true } = {}) {
      assert.ok(existsSync(binary), `${binary} is missing: scripts/build release`)
      const flags = ["--port", String(ownPort), "--storage-dir", dir, ...(insecure ? ["--insecure"] : []),
        ...everywhere, ...args]
      const child = spawnBound(binary, flags, {
        env: { ...inherited, DATABASE_URL: cluster?.url, ...env },
        stdio: ["ignore", "pipe", "pipe"],
      })
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (text) => (copper.log = (copper.log + text).slice(-200_000)))
      }
      copper.process = child
      if (!wait) return
      await waitFor(async () => {
        assert.equal(child.exitCode, null)
        return (await fetch(`${copper.url}/v1/health`)).status === 200
      }, { what: "Copper is active" }).catch((error) => {
        error.message += `\nCopper's log:\n${copper.log}`
        throw error
      })
    },

    // A clean stop must end with status 0; under ASan that also says that nothing leaked.
    async stop() {
      const child = copper.process
      if (!child) return
      copper.process = null
      assert.equal(child.exitCode ?? child.signalCode, null, `Copper had ended by itself:\n${copper.log}`)
      child.kill("SIGTERM")
      const hung = setTimeout(() => child.kill("SIGKILL"), patience)
      await exited(child)
      clearTimeout(hung)
      assert.equal(child.signalCode ?? child.exitCode, 0, `a clean stop. Copper's log:\n${copper.log}`)
    },

    async kill() {
      const child = copper.process
      if (!child) return
      copper.process = null
      copper.killed = true
      child.kill("SIGKILL")
      await exited(child)
    },

    // Raw request: { status, headers, text, body (parsed JSON or null) }.
    async get(params = {}, { method = "GET", path = "/v1/shape", headers = {}, signal } = {}) {
      const query = new URLSearchParams(params).toString()
      const response = await fetch(copper.url + path + (query && `?${query}`), { method, headers, signal })
      const text = await response.text()
      let body = null
      try {
        body = JSON.parse(text)
      } catch {}
      return { status: response.status, headers: Object.fromEntries(response.headers), text, body }
    },

    // A number of /proc/PID/status in bytes, e.g. RssAnon.
    memory(field) {
      const line = readFileSync(`/proc/${copper.process.pid}/status`, "utf8").match(new RegExp(`^${field}:\\s+(\\d+) kB`, "m"))
      return Number(line[1]) * 1024
    },
  }
  cleanups.push(() => copper.stop())
  await copper.start({ waitActive })
  return copper
}

// Postgres and Copper for a file of stories.
export async function startBoth(options = {}) {
  const cluster = await startCluster({ settings: options.settings })
  if (options.schema) await cluster.sql(options.schema)
  const copper = await startCopper({ cluster, ...options })
  return { cluster, copper, sql: cluster.sql }
}

// ---------------------------------------------------------------------------------------------------- the client

// A live copy of a shape through the official client. `messages` is everything that the stream brought, `rotations`
// counts its must-refetch messages, `errors` holds what the client gave up on. `via` stands for fetch.
export function follow(copper, params, { handle, offset, via = fetch, ...options } = {}) {
  const abort = new AbortController()
  const view = { messages: [], errors: [], rotations: 0, schema: null, requests: 0 }
  const watchingFetch = async (...request) => {
    view.requests += 1
    const response = await via(...request)
    const schema = response.headers.get("electric-schema")
    if (schema) view.schema = JSON.parse(schema)
    return response
  }
  const stream = new ShapeStream({
    url: copper.shapeUrl,
    params,
    handle,
    offset,
    signal: abort.signal,
    fetchClient: watchingFetch,
    backoffOptions: { initialDelay: 30, maxDelay: 300, multiplier: 1.5 },
    // An answer that kill -9 cut off: the client leaves it to the application to ask again.
    onError: (error) => (copper.killed && error.status === 200 ? {} : void view.errors.push(error)),
    ...options,
  })
  stream.subscribe((messages) => {
    view.messages.push(...messages)
    view.rotations += messages.filter(({ headers }) => headers.control === "must-refetch").length
  }, () => {})
  const shape = new Shape(stream)
  Object.assign(view, {
    stream,
    shape,
    rows: () => [...shape.currentValue.values()],
    handle: () => stream.shapeHandle,
    offset: () => stream.lastOffset,
    changes: () => view.messages.filter(({ headers }) => headers.operation),
    failIfGivenUp() {
      if (view.errors.length > 0) throw view.errors[0]
    },
    upToDate: () => waitFor(() => (view.failIfGivenUp(), stream.isUpToDate), { what: `${inspect(params)} is up to date` }),
    close: () => abort.abort(),
  })
  cleanups.push(view.close)
  return view
}

// The rows as the client would have parsed them: a stream that reads the given rows, in Postgres' text, as a snapshot.
export async function parsedByClient(schema, rows, primaryKey) {
  const answers = [
    rows.map((value, i) => ({
      key: primaryKey ? primaryKey.map((column) => value[column]).join("/") : String(i),
      value,
      headers: { operation: "insert" },
    })),
    [],
  ]
  const abort = new AbortController()
  const seen = []
  await new Promise((resolve, reject) => {
    const stream = new ShapeStream({
      url: "http://rows.invalid/v1/shape",
      params: { table: "rows" },
      subscribe: false,
      signal: abort.signal,
      fetchClient: async () => {
        const last = answers.length === 1
        const body = answers.shift()
        if (last) body.push({ headers: { control: "up-to-date" } })
        return new Response(JSON.stringify(body), {
          headers: {
            "content-type": "application/json",
            "electric-handle": "1-1",
            "electric-offset": last ? "0_inf" : "0_0",
            "electric-schema": JSON.stringify(schema),
            ...(last ? { "electric-up-to-date": "" } : {}),
          },
        })
      },
      onError: reject,
    })
    stream.subscribe((messages) => {
      for (const { headers, value } of messages) {
        if (headers.operation) seen.push(value)
        if (headers.control === "up-to-date") resolve()
      }
    }, reject)
  })
  abort.abort()
  return seen
}

// A row as one text, the same for equal rows whatever the order of their columns.
function canonical(value) {
  if (typeof value === "bigint") return `${value}n`
  if (Array.isArray(value)) return `[${value.map(canonical)}]`
  if (value && typeof value === "object") {
    return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`)}}`
  }
  return typeof value === "number" ? String(value) : JSON.stringify(value) ?? "undefined"
}
const sorted = (rows) => rows.map(canonical).sort()

// Waits until the client's rows are those of the query, and fails with the difference when the client stands still for as long as
// the timeout and they are not. One that goes on from answer to answer is slow, not stuck: there may be thousands of them.
export async function rowsBecome(view, cluster, query, { timeout = patience } = {}) {
  let deadline = Date.now() + timeout
  let stands = null
  for (;;) {
    view.failIfGivenUp()
    if (view.offset() !== stands) {
      stands = view.offset()
      deadline = Date.now() + timeout
    }
    if (view.stream.isUpToDate && view.schema) {
      const [{ rows: count }] = await cluster.sql(`SELECT count(*) AS rows FROM (${query}) counted`)
      if (Number(count) !== view.shape.currentValue.size && Date.now() <= deadline) {
        await sleepUntilNextLook()
        continue
      }
      const selected = await cluster.sql(query)
      const expected = sorted(await parsedByClient(view.schema, selected))
      const actual = sorted(view.rows())
      if (inspect(expected, { maxArrayLength: null, maxStringLength: null }) ===
        inspect(actual, { maxArrayLength: null, maxStringLength: null })) return selected.length
      if (Date.now() > deadline) {
        const have = new Set(actual)
        const want = new Set(expected)
        assert.fail(`the client's rows differ from ${query}: ${actual.length} rows, not ${expected.length}.\n` +
          `missing: ${inspect(expected.filter((row) => !have.has(row)).slice(0, 5))}\n` +
          `too many: ${inspect(actual.filter((row) => !want.has(row)).slice(0, 5))}`)
      }
    } else if (Date.now() > deadline) {
      assert.fail(`the client was never up to date (query ${query})`)
    }
    await sleepUntilNextLook()
  }
}

// Each item of a log exactly once: no (lsn, op_position) twice, and in order.
export function assertOrdered(view) {
  let last = [-1n, -1]
  for (const { headers } of view.changes()) {
    if (headers.lsn === undefined) continue
    const next = [BigInt(headers.lsn), headers.op_position]
    assert.ok(next[0] > last[0] || (next[0] === last[0] && next[1] > last[1]),
      `item ${next} after ${last}: doubled or out of order`)
    last = next
  }
}
