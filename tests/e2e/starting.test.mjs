// The port is there before the storage directory has been loaded: from the first connection on every request is answered,
// by "starting" and 503 until there is something to serve.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { constants, closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { startBoth, waitFor } from "./support.mjs"

const shapes = Number(process.env.STARTING_SHAPES ?? 2000)

const { copper } = await startBoth({
  schema: "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 100) i",
  env: { ELECTRIC_ENABLE_INTEGRATION_TESTING: "true" },
})
const health = () => copper.get({}, { path: "/v1/health" })
const { headers: { "electric-handle": handle } } = await copper.get({ table: "items", offset: "-1" })
const ended = (child) => waitFor(() => child.exitCode !== null, { what: "Copper has ended" })

// The server reads this file before anything else of the directory; of a pipe it waits for the other end.
const format = join(copper.storageDir, "format")
const text = readFileSync(format)

test("while the directory is loaded: health says starting, shapes 503 with retry-after, and a start that fails ends", async (t) => {
  await copper.stop()
  t.after(async () => {
    await copper.kill()
    rmSync(format)
    writeFileSync(format, text)
  })
  rmSync(format)
  execFileSync("mkfifo", [format])
  await copper.start({ waitActive: false })
  const child = copper.process
  const { status, body } = await waitFor(health, { what: "the port is there" })
  assert.equal(status, 202)
  assert.deepEqual(body, { status: "starting" })
  for (const [params, method] of [
    [{ offset: "-1" }, "GET"], [{ offset: "-1" }, "HEAD"], [{ offset: "-1" }, "POST"], [{ handle }, "DELETE"],
    [{ offset: "0_inf", handle, live: "true" }, "GET"], [{ offset: "0_0", handle, live: "true", live_sse: "true" }, "GET"],
  ]) {
    const answer = await copper.get({ table: "items", ...params }, { method })
    assert.equal(answer.status, 503, `${method} ${JSON.stringify(params)}`)
    assert.equal(answer.headers["retry-after"], "1")
    assert.match(answer.headers["cache-control"], /^no-(store|cache)$/)
    if (method !== "HEAD") assert.equal(answer.body.message, "Copper is starting: loading the storage directory")
  }
  assert.equal((await copper.get({}, { method: "OPTIONS" })).status, 204)

  closeSync(openSync(format, constants.O_WRONLY | constants.O_NONBLOCK)) // a pipe is no file to read at a position
  copper.process = null
  await ended(child)
  assert.equal(child.exitCode, 1)
  assert.match(copper.log, /copper cannot start; see above/)
})

test(`with ${shapes} shapes: from the first answer on no request is refused or lost, and handles stay`, async () => {
  await copper.start()
  for (let i = 0; i < shapes; i += 100) {
    await Promise.all(Array.from({ length: 100 }, async (_, j) => {
      assert.equal((await copper.get({ table: "items", offset: "-1", where: `id = ${i + j}` })).status, 200)
    }))
  }
  await copper.kill()
  await copper.start({ waitActive: false })
  const seen = []
  for (let answered = false; seen.at(-1) !== "200"; ) {
    const answer = await copper.get({ table: "items", offset: "-1" }).catch((error) => {
      assert.ok(!answered && error.cause?.code === "ECONNREFUSED", `${error} ${error.cause}`)
      return null
    })
    if (!answer) continue
    answered = true
    if (answer.status === 200) assert.equal(answer.headers["electric-handle"], handle)
    else assert.equal(answer.headers["retry-after"], "1")
    const what = answer.status === 200 ? "200" : answer.body.message
    if (seen.at(-1) !== what) seen.push(what)
  }
  console.log(seen.join("; "))
  const order = ["Copper is starting: loading the storage directory",
    "Copper is starting: the replication stream is not connected yet", "200"]
  assert.deepEqual(seen, order.filter((what) => seen.includes(what)))
})
