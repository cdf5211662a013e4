// `make run` as a new user meets it: everything comes up, Ctrl-C ends everything, the second start is quick.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync } from "node:fs"
import net from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { checkout, freePort, patience, tempDir, waitFor } from "./support.mjs"

const runDir = join(tempDir("run"), "with a space")
mkdirSync(runDir)

function run(port) {
  const child = spawn(join(checkout, "scripts/run"), {
    env: { ...process.env, PORT: String(port), RUN_DIR: runDir }, detached: true, stdio: ["ignore", "pipe", "pipe"],
  })
  const running = { child, text: "" }
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (running.text += text))
  running.ended = new Promise((resolve) => child.once("exit", (code) => resolve(code)))
  return running
}

test("it starts, serves rows that change, and Ctrl-C stops all of it; then it starts again", async () => {
  const port = await freePort()
  for (const round of [1, 2]) {
    const started = Date.now()
    const running = run(port)
    try {
      await waitFor(() => running.text.includes("Ctrl-C stops everything") ||
        (running.child.exitCode !== null && assert.fail(running.text)), { timeout: 2 * patience, what: "make run is up" })
      const took = Date.now() - started
      console.log(`# start ${round}: ${took} ms`)
      const answer = await fetch(`http://127.0.0.1:${port}/v1/shape?table=items&offset=now`)
      assert.equal(answer.status, 200)
      const live = await fetch(`http://127.0.0.1:${port}/v1/shape?table=items&live=true` +
        `&handle=${answer.headers.get("electric-handle")}&offset=${answer.headers.get("electric-offset")}`)
      assert.equal(live.headers.get("electric-has-data"), "true", "the table changes by itself")
      const page = running.text.match(/browser:\s+(http:\S+)/)[1]
      assert.match(await (await fetch(page)).text(), /<title>/)
      if (round === 2) {
        const second = run(port)
        assert.notEqual(await second.ended, 0)
        assert.match(second.text, /already running/)
      }
    } finally {
      process.kill(-running.child.pid, "SIGINT") // what a terminal does at Ctrl-C
      assert.equal(await running.ended, 130, running.text)
    }
    await assert.rejects(fetch(`http://127.0.0.1:${port}/`), "Copper has ended")
    const pgPort = Number(running.text.match(/postgresql:\/\/[^ ]*:(\d+)\//)[1])
    await assert.rejects(new Promise((resolve, reject) => net.connect(pgPort, "127.0.0.1", resolve).on("error", reject)), "Postgres has ended")
    const home = readFileSync(join(runDir, "pg_home"), "utf8").trim()
    assert.ok(home.startsWith(runDir) || home.startsWith("/tmp/copper-run-"))
  }
})

test("a taken port is a clear message that names PORT=", async () => {
  const server = net.createServer()
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  const running = run(server.address().port)
  assert.equal(await running.ended, 1)
  assert.match(running.text, /taken.*PORT=/s)
  server.close()
})
