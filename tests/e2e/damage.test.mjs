// Bad disks: bits flip, files are cut off or vanish between two lives of the server. It starts all the same, and no client
// ever gets a wrong byte: what it is told is what was stored, or 409.
//
// One storage directory lives through all rounds, so damage that was not met stays there. DAMAGE_ROUNDS=n for more than the
// few of every run, DAMAGE_SEED=n to repeat one.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { chance } from "./chance.mjs"
import { binary, startBoth, waitFor } from "./support.mjs"

const rounds = Number(process.env.DAMAGE_ROUNDS ?? 8)
const seed = Number(process.env.DAMAGE_SEED ?? 1)
const { below, pick } = chance(seed)

const { copper, sql } = await startBoth({
  schema: `CREATE TABLE big (id int PRIMARY KEY, n int NOT NULL, note text NOT NULL);
    INSERT INTO big SELECT i, 0, repeat(md5(i::text), 8) FROM generate_series(1, 600) i;
    CREATE TABLE small (id int PRIMARY KEY, n int NOT NULL);
    INSERT INTO small SELECT i, 0 FROM generate_series(1, 50) i;`,
  args: ["--shape-chunk-bytes-threshold", "32KiB", "--change-log-max", "64KiB", "--checkpoint-interval", "50ms"],
})

const shapes = [
  { params: { table: "big" }, query: "SELECT id::text, n::text, note FROM big" },
  { params: { table: "big", where: "id <= 40" }, query: "SELECT id::text, n::text, note FROM big WHERE id <= 40" },
  { params: { table: "small" }, query: "SELECT id::text, n::text FROM small" },
  { params: { table: "small", where: "n > 0" }, query: "SELECT id::text, n::text FROM small WHERE n > 0" },
]

const text = (rows) => [...rows].map((row) => JSON.stringify(row, Object.keys(row).sort())).sort().join("\n")

function apply(state, items) {
  const next = new Map(state)
  for (const { key, value, headers } of items) {
    if (headers.operation === "insert") next.set(key, value)
    if (headers.operation === "update") next.set(key, { ...next.get(key), ...value })
    if (headers.operation === "delete") next.delete(key)
  }
  return next
}

// Reads from a place to the end. null: 409, at whatever step. Each step is what a client has before it asks on.
async function read(shape, place = { offset: "-1", state: new Map() }) {
  const steps = [place]
  for (;;) {
    const { offset, handle, state } = steps.at(-1)
    const answer = await waitFor(async () => {
      await supervise()
      const got = await copper.get({ ...shape.params, offset, ...(handle && { handle }) })
      return got.status !== 503 && got
    }, { what: `an answer for ${JSON.stringify(shape.params)} at ${offset}` })
    if (answer.status === 409) return null
    assert.equal(answer.status, 200, answer.text)
    assert.ok(answer.body, `not JSON: ${answer.text.slice(0, 200)}`)
    steps.push({
      offset: answer.headers["electric-offset"],
      handle: answer.headers["electric-handle"],
      state: apply(state, answer.body),
      text: answer.text,
    })
    if ("electric-up-to-date" in answer.headers) return steps
  }
}

// What was not durable comes from Postgres again; so the end may be a moment away. 409 in between is fine.
async function becomesRight(shape, steps) {
  await waitFor(async () => {
    if (!steps || text(steps.at(-1).state.values()) === text(await sql(shape.query))) return true
    steps = await read(shape, steps.at(-1))
  }, { what: `the rows of ${JSON.stringify(shape.params)} on from what was read` })
}

async function readAll(shape) {
  return waitFor(async () => {
    const steps = await read(shape)
    const rows = await sql(shape.query)
    return steps && text(steps.at(-1).state.values()) === text(rows) && steps
  }, { what: `all rows of ${JSON.stringify(shape.params)}` })
}

async function write() {
  for (let i = 0; i < 6; i++) {
    const from = below(500)
    await sql(`UPDATE big SET n = n + 1 WHERE id BETWEEN ${from} AND ${from + 80}`)
    await sql(`UPDATE small SET n = n + ${below(3) - 1} WHERE id = ${1 + below(50)}`)
  }
}

function files(dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/^(lock|metadata\.damaged)/.test(entry.name) && !/trash/.test(entry.parentPath))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path).size > 0)
    .sort()
}

function damage() {
  const path = pick(files(copper.storageDir))
  const size = statSync(path).size
  const kind = pick(["flip", "flip", "flip", "flip", "flip", "cut", "lose"])
  const at = below(size)
  if (kind === "flip") {
    const bytes = readFileSync(path)
    bytes[at] ^= 1 << below(8)
    writeFileSync(path, bytes)
  } else if (kind === "cut") {
    truncateSync(path, at)
  } else {
    unlinkSync(path)
  }
  return `${kind} ${path.slice(copper.storageDir.length + 1)} at ${at} of ${size}`
}

// `copper check`: 0 all is well, 1 damage.
function check(dir) {
  const { status, stdout, stderr } = spawnSync(binary, ["check", dir], { encoding: "utf8" })
  assert.ok(status === 0 || status === 1, `check: ${status} ${stdout} ${stderr.slice(-2000)}`)
  assert.match(stdout, status ? /damaged/ : /all is well/)
  return status
}

// Damage that is met only when something is written makes Copper leave; a supervisor starts it again.
async function supervise() {
  const child = copper.process
  if (child.exitCode === null && child.signalCode === null) return
  assert.equal(child.signalCode, null)
  assert.match(copper.log, /the storage failed; copper leaves/)
  copper.log = ""
  await copper.start()
}

test(`damaged files, ${rounds} times (seed ${seed})`, async () => {
  let rotated = 0
  for (let round = 0; round < rounds; round++) {
    const before = []
    for (const shape of shapes) await readAll(shape)
    await write()
    for (const shape of shapes) before.push(await readAll(shape))
    await (round % 2 ? copper.kill() : copper.stop())
    const what = damage()
    if (rounds > 20) console.log(`# round ${round}: ${what}`)
    copper.log = ""
    try {
      const rotatedBefore = rotated
      // A directory whose format nobody can tell is not looked into; the start repairs the file.
      const clean = /^\w+ format /.test(what) || check(copper.storageDir) === 0
      // Twice at most: the second start knows what the first one stumbled over.
      await copper.start().catch(async (error) => {
        if (copper.process.exitCode === null) throw error
        await supervise()
      })
      for (const [i, shape] of shapes.entries()) {
        const steps = before[i]
        // What was read before is read again, the snapshot to the byte; and whoever stood anywhere goes on from there.
        const again = await read(shape, { ...steps[0], handle: steps[1].handle })
        for (const [n, step] of (again ?? []).entries()) {
          // An unknown handle at the beginning is no 409: it is the beginning of the shape that took its place.
          const same = step.handle === steps[n]?.handle && /^0_\d+$/.test(step.offset)
          if (same) assert.equal(step.text, steps[n].text)
        }
        for (const ends of [again, await read(shape, pick(steps.slice(1)))]) {
          if (ends?.at(-1).handle !== steps.at(-1).handle) rotated++
          if (ends === null) continue
          await becomesRight(shape, ends)
        }
        await readAll(shape)
      }
      // Of a write-ahead file that is cut short nobody can tell that there was more, but Postgres.
      if (clean && !/-wal/.test(what)) assert.equal(rotated, rotatedBefore, "copper check has missed it")
    } catch (error) {
      error.message = `seed ${seed}, round ${round}, ${what}: ${error.message}\n${copper.log.slice(-4000)}`
      throw error
    }
  }
  console.log(`# ${rounds} rounds, ${rotated} of ${rounds * shapes.length * 2} readers found another shape in its place`)
})

test("a format from a newer version is refused clearly, and left alone", async () => {
  await copper.stop()
  const path = join(copper.storageDir, "format")
  writeFileSync(path, "copper-storage 2\n")
  copper.log = ""
  await copper.start({ waitActive: false })
  const child = copper.process
  await waitFor(() => child.exitCode !== null)
  assert.equal(child.exitCode, 1)
  assert.match(copper.log, /has another format/)
  assert.equal(readFileSync(path, "utf8"), "copper-storage 2\n")
  writeFileSync(path, "copper-storage 1\n")
  await copper.start()
  for (const shape of shapes) await readAll(shape)
})

test("copper inspect lists the shapes of a stopped server; a running one is left alone", async () => {
  const inspect = (...args) => spawnSync(binary, ["inspect", ...args], { encoding: "utf8" })
  assert.equal(inspect(copper.storageDir).status, 2)
  await copper.stop()
  const { status, stdout } = inspect("--json", copper.storageDir)
  assert.ok(status === 0 || status === 1) // damage that nobody met is still there
  const { shapes: listed, checkpoint } = JSON.parse(stdout)
  assert.equal(listed.length, shapes.length)
  assert.deepEqual(new Set(listed.map(({ table }) => table)), new Set(["big", "small"]))
  assert.match(checkpoint.lsn, /^[0-9A-F]+\/[0-9A-F]+$/)
  assert.match(inspect(copper.storageDir).stdout, /public\.big where .*snapshot/)
  await copper.start()
})
