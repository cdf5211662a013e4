// Compressed answers: the same text however it comes, one copy on disk per file, made once; etags that tell the ways apart.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { readdirSync, statSync } from "node:fs"
import http from "node:http"
import { join } from "node:path"
import { test } from "node:test"
import { gunzipSync } from "node:zlib"
import { follow, rowsBecome, startBoth, startCopper, waitFor } from "./support.mjs"

const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE big (id int PRIMARY KEY, t text);
    INSERT INTO big SELECT n, repeat('row ' || n || ' ', 20) FROM generate_series(1, 2000) n;
    CREATE TABLE small (id int PRIMARY KEY, t text); INSERT INTO small SELECT n, 'text ' || n FROM generate_series(1, 30) n;
    CREATE TABLE lively (id int PRIMARY KEY, t text);
    CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one VALUES (1)`,
  args: ["--shape-chunk-bytes-threshold", "100KB", "--change-log-max", "1MB"],
})
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity })

function unpack(encoding, bytes) {
  if (!encoding) return bytes
  if (encoding === "gzip") return gunzipSync(bytes)
  assert.equal(encoding, "zstd")
  const { status, stdout, stderr } = spawnSync("zstd", ["-dc"], { input: bytes, maxBuffer: 1 << 28 })
  assert.equal(status, 0, String(stderr))
  return stdout
}

// fetch() asks for gzip by itself and hides what came; this does neither.
function get(params, accept, { method = "GET", headers = {}, server = copper } = {}) {
  return new Promise((resolve, reject) => {
    const options = { method, agent, headers: { ...(accept ? { "accept-encoding": accept } : {}), ...headers } }
    http.request(`${server.shapeUrl}?${new URLSearchParams(params)}`, options, (response) => {
      const pieces = []
      response.on("data", (piece) => pieces.push(piece))
      response.on("end", () => {
        const bytes = Buffer.concat(pieces)
        const encoding = response.headers["content-encoding"]
        const text = method === "GET" && response.statusCode === 200 ? unpack(encoding, bytes).toString() : bytes.toString()
        resolve({ status: response.statusCode, headers: response.headers, encoding, size: bytes.length, text })
      })
      response.on("error", reject)
    }).on("error", reject).end()
  })
}

function copies(server = copper) {
  const found = readdirSync(server.storageDir, { recursive: true }).filter((path) => /(^|\/)encoded\/\d+$/.test(path))
  return found.filter((path) => statSync(join(server.storageDir, path)).isFile())
}

// Every answer of a catch-up, in order.
async function catchUp(table, accept) {
  const answers = []
  let offset = "-1", handle
  for (;;) {
    const answer = await get({ table, offset, ...(handle ? { handle } : {}) }, accept)
    assert.equal(answer.status, 200, answer.text)
    answers.push(answer)
    offset = answer.headers["electric-offset"]
    handle = answer.headers["electric-handle"]
    if (answer.headers["electric-up-to-date"] !== undefined) return answers
  }
}

// A reader that asks again is answered in the same way, so texts may be compared; the copies are made once.
async function sameInEveryWay(table, least) {
  const plain = await catchUp(table)
  for (const encoding of ["gzip", "zstd"]) {
    const [first, again] = [await catchUp(table, encoding), await catchUp(table, encoding)]
    assert.deepEqual(first.map(({ text }) => text), plain.map(({ text }) => text))
    assert.deepEqual(again.map(({ text }) => text), plain.map(({ text }) => text))
    first.forEach(({ headers, size, encoding: used }, i) => {
      assert.equal(headers.vary, "accept-encoding")
      assert.equal(Number(headers["content-length"] ?? size), size)
      if (plain[i].size < 1024) return assert.equal(used, undefined)
      assert.equal(used, encoding)
      assert.ok(size < plain[i].size / 3, `${size} of ${plain[i].size}`)
      assert.equal(headers.etag, plain[i].headers.etag.replace(/"$/, `:${encoding}"`))
    })
    assert.ok(first.filter(({ encoding: used }) => used).length >= least)
  }
  return plain
}

test("a snapshot in several files comes the same in every way, from one copy per file and way", async () => {
  const before = copies().length
  const plain = await sameInEveryWay("big", 3)
  const files = plain.filter(({ size }) => size > 50_000).length
  assert.ok(files >= 3)
  await Promise.all(Array.from({ length: 20 }, () => get({ table: "big", offset: "-1" }, "gzip")))
  assert.ok(copies().length - before >= 2 * files && copies().length - before <= 2 * plain.length, `${copies()}`)
})

test("sealed pieces of the log come compressed, with and without an up-to-date behind them", async () => {
  const view = follow(copper, { table: "big" })
  await rowsBecome(view, cluster, "SELECT * FROM big")
  const sealed = () => readdirSync(copper.storageDir, { recursive: true }).filter((path) => /(^|\/)log\.\d+$/.test(path)).length
  await waitFor(async () => {
    await sql("UPDATE big SET t = repeat('new ' || id || now(), 20) WHERE id <= 1000")
    return sealed() >= 3
  })
  await rowsBecome(view, cluster, "SELECT * FROM big")
  view.close()
  await waitFor(async () => {
    const [plain, packed] = [await catchUp("big"), await catchUp("big", "zstd")]
    const whole = (answers) => answers.flatMap(({ text }) => JSON.parse(text)).filter(({ headers }) => headers.operation)
    assert.deepEqual(whole(packed), whole(plain))
    return packed.some(({ encoding, headers }) => encoding && /^[1-9]/.test(headers["electric-offset"]))
  })
})

test("a long piece of the unsealed log is compressed as it is sent, to several readers at once", async () => {
  const { headers } = await get({ table: "small", offset: "now" })
  await sql("INSERT INTO small SELECT n, repeat('more', 20) || n FROM generate_series(1000, 1800) n")
  const params = { table: "small", handle: headers["electric-handle"], offset: headers["electric-offset"] }
  await waitFor(async () => (await get(params)).size > 80_000)
  const plain = await get(params)
  for (const encoding of ["gzip", "zstd"]) {
    const packed = await Promise.all(Array.from({ length: 100 }, () => get(params, encoding)))
    assert.ok(packed.some(({ encoding: used, size }) => used === encoding && size < plain.size / 5))
    for (const { encoding: used, text } of packed) {
      assert.ok(used === encoding || used === undefined)
      assert.equal(text, plain.text)
    }
  }
})

test("small answers are compressed from 1 KiB on, shorter ones and errors are not", async () => {
  await sameInEveryWay("small", 1)
  assert.equal((await get({ table: "one", offset: "-1" }, "gzip")).encoding, undefined)
  assert.equal((await get({ table: "none", offset: "-1" }, "gzip")).encoding, undefined)
  const head = await get({ table: "small", offset: "-1" }, "gzip", { method: "HEAD" })
  const whole = await get({ table: "small", offset: "-1" }, "gzip")
  assert.equal(head.headers["content-length"], whole.headers["content-length"])
  assert.equal(head.encoding, "gzip")
})

test("Accept-Encoding is weighed; 304 is for what the client would get, or for the plain answer", async () => {
  const params = { table: "small", offset: "-1" }
  const ways = {
    "gzip, deflate, br, zstd": "zstd", "gzip;q=1, zstd;q=0.1": "gzip", "zstd;q=0, *": "gzip", "identity;q=0, gzip": "gzip",
    "gzip;q=0": undefined, "br": undefined, "*;q=0": undefined, "identity": undefined,
  }
  for (const [accept, used] of Object.entries(ways)) assert.equal((await get(params, accept)).encoding, used, accept)

  const etag = async (accept) => (await get(params, accept)).headers.etag
  const [plain, gzip, zstd] = [await etag(), await etag("gzip"), await etag("zstd")]
  assert.equal(new Set([plain, gzip, zstd]).size, 3)
  const asks = async (accept, tags) => {
    const { status, headers, encoding } = await get(params, accept, { headers: { "if-none-match": tags } })
    assert.ok(status !== 304 || encoding === undefined)
    return [status, headers.etag]
  }
  assert.deepEqual(await asks("gzip", gzip), [304, gzip])
  assert.deepEqual(await asks("gzip", plain), [304, plain])
  assert.deepEqual(await asks("gzip", zstd), [200, gzip])
  assert.deepEqual(await asks(undefined, gzip), [200, plain])
  assert.deepEqual(await asks("zstd", `${plain}, ${gzip}, ${zstd}`), [304, zstd])
  assert.deepEqual(await asks("gzip", "*"), [304, gzip])
})

test("a change of many live readers comes to each in its own way, and is the same", async () => {
  // A table of its own: behind a long log the answer may end with a chunk, in the middle of the change.
  const { headers } = await get({ table: "lively", offset: "now" })
  const params = { table: "lively", handle: headers["electric-handle"], offset: headers["electric-offset"], live: "true" }
  const ways = [undefined, "gzip", "zstd"]
  const readers = Array.from({ length: 150 }, (_, i) => get(params, ways[i % 3]))
  await sql("INSERT INTO lively SELECT n, repeat('live', 20) || n FROM generate_series(100, 150) n")
  const answers = await Promise.all(readers)
  answers.forEach(({ encoding, text }, i) => {
    assert.equal(encoding, ways[i % 3])
    assert.equal(text, answers[0].text)
  })
  assert.equal(JSON.parse(answers[0].text).length, 52)
})

test("copies do not outlive the process; what is there of them is removed", async () => {
  assert.ok(copies().length > 0)
  await copper.kill()
  assert.ok(copies().length > 0)
  await copper.start()
  assert.equal(copies().length, 0)
  const [plain, packed] = [await get({ table: "big", offset: "-1" }), await get({ table: "big", offset: "-1" }, "gzip")]
  assert.equal(packed.encoding, "gzip")
  assert.equal(packed.text, plain.text)
  assert.equal(copies().length, 1)
})

test("--compression=false: nothing is compressed", async () => {
  await copper.stop()
  const plain = await startCopper({ cluster, storageDir: copper.storageDir, args: ["--compression=false"] })
  const answer = await get({ table: "big", offset: "-1" }, "gzip, zstd", { server: plain })
  assert.deepEqual([answer.status, answer.encoding], [200, undefined])
  await plain.stop()
})
