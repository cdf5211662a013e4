// nginx and Varnish with the configurations of deploy/, in front of a Copper whose requests are counted: many readers cost
// it what one costs, a dropped shape moves them all without a loop, errors are not kept, streams are not held back.
import assert from "node:assert/strict"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import http from "node:http"
import { join } from "node:path"
import { test } from "node:test"
import { gunzipSync } from "node:zlib"
import { checkout, follow, freePort, rowsBecome, sanitized, startBoth, startProgram, tempDir, waitFor } from "./support.mjs"

const readersMax = Number(process.env.PROXY_READERS ?? (sanitized ? 400 : 2000))
const perChangeMax = 5

const { cluster, copper, sql } = await startBoth({
  schema: "CREATE TABLE items (id int PRIMARY KEY, n int); INSERT INTO items VALUES (1, 1), (2, 2)",
  env: { ELECTRIC_ENABLE_INTEGRATION_TESTING: "true" },
  args: ["--cache-max-age", "1", "--cache-stale-age", "1"],
})

const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity })

function request(base, params, { method = "GET", headers = {}, onData, signal } = {}) {
  return new Promise((resolve, reject) => {
    const url = `${base}/v1/shape?${new URLSearchParams(params)}`
    http.request(url, { method, headers, agent, signal, maxHeaderSize: 512 * 1024 }, (response) => {
      const pieces = []
      response.on("data", (piece) => (pieces.push(piece), onData?.(piece)))
      response.on("end", () => {
        const bytes = Buffer.concat(pieces)
        const text = () => (response.headers["content-encoding"] === "gzip" ? gunzipSync(bytes) : bytes).toString()
        resolve({ status: response.statusCode, headers: response.headers, text })
      })
      response.on("error", reject)
    }).on("error", reject).end()
  })
}

// Stands between the cache and Copper and remembers what is asked: { url, status }.
async function startOrigin() {
  const port = await freePort()
  const asked = []
  const upstream = new http.Agent({ keepAlive: true, maxSockets: Infinity })
  const server = http.createServer((req, res) => {
    const entry = { url: req.url, method: req.method, status: 0, headers: req.headers }
    asked.push(entry)
    const to = { method: req.method, headers: req.headers, agent: upstream, maxHeaderSize: 512 * 1024 }
    const forward = http.request(copper.url + req.url, to, (answer) => {
      entry.status = answer.statusCode
      res.writeHead(answer.statusCode, answer.headers)
      res.flushHeaders()
      answer.pipe(res)
    })
    forward.on("error", () => res.destroy())
    res.on("close", () => forward.destroy())
    req.pipe(forward)
  })
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve))
  server.unref()
  return { port, asked }
}

async function answers(url, program) {
  await waitFor(async () => (await fetch(`${url}/v1/health`)).status === 200, { what: `${url} answers` }).catch((error) => {
    error.message += `\n${program.log}`
    throw error
  })
}

async function startNginx(origin) {
  const home = tempDir("nginx")
  const port = await freePort()
  const site = readFileSync(join(checkout, "deploy/nginx/copper.conf"), "utf8")
    .replace("/var/cache/nginx/copper", join(home, "cache"))
    .replace("server 127.0.0.1:3000;", `server 127.0.0.1:${origin.port};`)
    .replace("listen 8080;", `listen 127.0.0.1:${port};`)
  mkdirSync(join(home, "temp"))
  writeFileSync(join(home, "copper.conf"), site)
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${home}/temp/${name};`)
  writeFileSync(join(home, "nginx.conf"), `daemon off; master_process off; pid ${home}/pid; error_log stderr warn;
    worker_rlimit_nofile 16384;
    events { worker_connections 8192; }
    http { access_log off; ${temp.join(" ")} include ${home}/copper.conf; }`)
  const program = startProgram("nginx", ["-p", home, "-e", "stderr", "-c", join(home, "nginx.conf")])
  const url = `http://127.0.0.1:${port}`
  await answers(url, program)
  return url
}

async function startVarnish(origin) {
  const home = tempDir("varnish")
  const port = await freePort()
  const vcl = readFileSync(join(checkout, "deploy/varnish/copper.vcl"), "utf8")
    .replace('.port = "3000"', `.port = "${origin.port}"`)
  writeFileSync(join(home, "copper.vcl"), vcl)
  // Its parameters are the README's.
  const parameters = readFileSync(join(checkout, "deploy/varnish/README.md"), "utf8").match(/-p \w+=\w+/g)?.flatMap((one) => one.split(" "))
  const program = startProgram("varnishd", ["-F", "-j", "none", "-n", join(home, "work"), "-f", join(home, "copper.vcl"),
    "-a", `127.0.0.1:${port}`, "-s", "default,64M", ...(parameters ?? [])])
  const url = `http://127.0.0.1:${port}`
  await answers(url, program)
  return url
}

// A reader with the client's URLs and rules and next to no cost: it follows offset, cursor and handle, and starts over at 409.
function lightReader(base) {
  const abort = new AbortController()
  const reader = { ids: new Set(), requests: 0, handle: null, offset: "-1", cursor: null, live: false, close: () => abort.abort() }
  const step = async () => {
    const { handle, offset, cursor, live } = reader
    const params = Object.fromEntries(
      Object.entries({ cursor, handle, live: live ? "true" : null, log: "full", offset, table: "items" }).filter(([, value]) => value))
    reader.requests += 1
    const { status, headers, text } = await request(base, params, { signal: abort.signal })
    if (status === 409) {
      const named = headers["electric-handle"]
      Object.assign(reader, {
        ids: new Set(), handle: named ?? `${handle}-next`, offset: "-1", cursor: null, live: false,
      })
      return
    }
    assert.equal(status, 200, text())
    reader.handle = headers["electric-handle"]
    reader.offset = headers["electric-offset"]
    reader.cursor = headers["electric-cursor"] ?? reader.cursor
    reader.live = headers["electric-up-to-date"] !== undefined
    for (const { headers: { operation }, value } of JSON.parse(text())) {
      if (operation === "insert") reader.ids.add(Number(value.id))
    }
  }
  reader.done = (async () => {
    while (!abort.signal.aborted) await step()
  })().catch((error) => {
    if (!abort.signal.aborted) reader.error = error
  })
  return reader
}

// Old catch-up answers are asked for again in the background, as often as this server's short max-age says.
const liveAsked = (origin) => origin.asked.filter(({ url }) => url.includes("live=true"))

function told(origin) {
  return origin.asked.map(({ method, url, status }) => `${status} ${method} ${url}`).join("\n")
}

// Looks at the readers one after the other, so that a look costs little.
async function everybody(readers, condition, what) {
  let at = 0
  await waitFor(() => {
    for (; at < readers.length; at++) {
      if (readers[at].error) throw readers[at].error
      if (!condition(readers[at])) return false
    }
    return true
  }, { what })
}

let nextId = 100
for (const [name, start] of [["nginx", startNginx], ["Varnish", startVarnish]]) {
  test(`${name}: the official client, and ${readersMax} readers that cost Copper what one costs, also when the shape goes`, async (t) => {
    const origin = await startOrigin()
    const url = await start(origin)
    const view = follow({ shapeUrl: `${url}/v1/shape` }, { table: "items" })
    await rowsBecome(view, cluster, "SELECT * FROM items")

    const readers = Array.from({ length: readersMax }, () => lightReader(url))
    t.after(() => readers.forEach(({ close }) => close()))
    await everybody(readers, ({ live }) => live, "all are live")

    for (let i = 0; i < 3; i++) {
      const id = nextId++
      origin.asked.length = 0
      await sql(`INSERT INTO items VALUES (${id}, 0)`)
      await everybody(readers, ({ ids }) => ids.has(id), `all have ${id}`)
      t.diagnostic(`a change: ${liveAsked(origin).length} live requests to Copper`)
      assert.ok(liveAsked(origin).length <= perChangeMax, told(origin))
    }

    const old = readers[0].handle
    const before = readers.map(({ requests }) => requests)
    origin.asked.length = 0
    assert.equal((await copper.get({ table: "items" }, { method: "DELETE" })).status, 202)
    await everybody(readers, ({ handle, live }) => live && handle && !handle.startsWith(old), "all have the new shape")
    const most = Math.max(...readers.map(({ requests }, i) => requests - before[i]))
    t.diagnostic(`the shape is dropped: ${origin.asked.length} requests to Copper, at most ${most} of a reader`)
    assert.equal(new Set(readers.map(({ handle }) => handle)).size, 1)
    assert.ok(origin.asked.length <= 20, told(origin))
    assert.ok(most <= 8, `a reader made ${most} requests`)

    const id = nextId++
    origin.asked.length = 0
    await sql(`INSERT INTO items VALUES (${id}, 0)`)
    await everybody(readers, ({ ids }) => ids.has(id), `all have ${id}`)
    assert.ok(liveAsked(origin).length <= perChangeMax, told(origin))
    await rowsBecome(view, cluster, "SELECT * FROM items")
    view.close()
  })

  test(`${name}: catch-up comes from the cache, is asked again with 304, errors are not kept, 409 is`, async () => {
    const origin = await startOrigin()
    const url = await start(origin)
    const first = await request(url, { table: "items", offset: "-1" })
    const handle = first.headers["electric-handle"]
    const asks = async (params, status, times = 3) => {
      origin.asked.length = 0
      for (let i = 0; i < times; i++) assert.equal((await request(url, params)).status, status)
      return origin.asked.length
    }
    assert.equal(await asks({ table: "items", offset: "-1" }, 200), 0)
    const catchUp = { table: "items", handle, offset: "0_0" }
    const whole = await request(url, catchUp)
    await waitFor(async () => {
      assert.equal((await request(url, catchUp)).text(), whole.text())
      return origin.asked.some(({ status }) => status === 304)
    }, { what: "304" })

    assert.equal(await asks({ table: "items", offset: "nonsense" }, 400), 3)
    assert.ok(await asks({ table: "items", handle: "1-1", offset: "0_0" }, 409) <= 1)
    // A client that does not take gzip gets the same.
    const plain = await request(url, { table: "items", offset: "-1" }, { headers: { "accept-encoding": "identity" } })
    assert.equal(plain.headers["content-encoding"], undefined)
    assert.equal(plain.text(), first.text())
  })

  test(`${name}: answers about the widest tables pass, and so do long URLs`, async () => {
    const origin = await startOrigin()
    const url = await start(origin)
    const columns = Array.from({ length: 1599 }, (_, i) => `"${`a_long_name_of_a_column_${i}_`.padEnd(60, "x")}" numeric(38,10)`)
    await sql(`CREATE TABLE IF NOT EXISTS widest (id int PRIMARY KEY, ${columns.join(", ")})`)
    const { status, headers } = await request(url, { table: "widest", offset: "-1" })
    assert.equal(status, 200)
    assert.equal(Object.keys(JSON.parse(headers["electric-schema"])).length, 1600)
    const long = { table: "items", offset: "-1", where: `id IN (${Array.from({ length: 1000 }, (_, i) => i)})` }
    for (let i = 0; i < 2; i++) assert.equal((await request(url, long)).status, 200)
    assert.equal(origin.asked.filter(({ url }) => url.includes("where=")).length, 1, "the second is the first one's copy")
  })

  test(`${name}: equal subsets do not wait for one another`, async () => {
    const origin = await startOrigin()
    const url = await start(origin)
    const subset = { table: "items", offset: "-1", log: "changes_only", subset__where: "id = 1" }
    assert.equal((await request(url, subset)).status, 200)
    const writer = await cluster.connect()
    await writer.query("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
    origin.asked.length = 0
    const answers = Array.from({ length: 10 }, () => request(url, subset))
    await waitFor(() => origin.asked.length === 10, { what: "all of them are with Copper" })
    await writer.query("ROLLBACK")
    await writer.end()
    for (const { status, text } of await Promise.all(answers)) assert.deepEqual([status, JSON.parse(text()).data.length], [200, 1])
  })

  test(`${name}: live_sse streams are not held back`, async () => {
    const origin = await startOrigin()
    const url = await start(origin)
    const { headers } = await request(url, { table: "items", offset: "now" })
    const params = { table: "items", handle: headers["electric-handle"], offset: headers["electric-offset"], live: "true" }
    // As Electric does, anything but false is taken for true.
    for (const sse of [{ live_sse: "true" }, { live_sse: "1" }, { experimental_live_sse: "true" }]) {
      const abort = new AbortController()
      const texts = ["", ""]
      origin.asked.length = 0
      const streams = texts.map((_, i) =>
        request(url, { ...params, ...sse }, { onData: (piece) => (texts[i] += piece), signal: abort.signal }).catch(() => {}))
      await waitFor(() => origin.asked.filter(({ url: asked, status }) => asked.includes("live_sse") && status === 200).length === 2,
        { what: `two streams with ${JSON.stringify(sse)}` })
      for (let i = 0; i < 3; i++) {
        const id = nextId++
        await sql(`INSERT INTO items VALUES (${id}, 0)`)
        await waitFor(() => texts.every((text) => text.includes(`"id":"${id}"`)))
      }
      abort.abort()
      await Promise.all(streams)
    }
  })
}
