// Consumers at rest: shapes whose consumers have suspended are read, waited for and changed like any other. The debug log
// says when a consumer starts and ends; both go through one pipe in their order, so a later line proves an earlier one's
// absence.
import assert from "node:assert/strict"
import { test } from "node:test"
import { assertOrdered, follow, rowsBecome, sanitized, sleepUntilNextLook, startBoth, waitFor } from "./support.mjs"

const shapes = sanitized ? 50 : 100

const { cluster, copper, sql } = await startBoth({
  env: {
    ELECTRIC_SHAPE_HIBERNATE_AFTER: "100ms",
    ELECTRIC_SHAPE_SUSPEND_AFTER: "100ms",
    COPPER_LOG_LEVEL: "debug",
  },
  schema: `
    CREATE TABLE things (id int PRIMARY KEY, k int NOT NULL, n int NOT NULL);
    CREATE TABLE clocks (id int PRIMARY KEY, n int NOT NULL);
    INSERT INTO things SELECT i, i % ${shapes}, 0 FROM generate_series(1, ${shapes * 3}) i;
    INSERT INTO clocks VALUES (1, 0);`,
})

// handle → how often its consumer started, and which run now. A start of Copper ends them all.
const consumers = { running: new Set(), starts: new Map(), suspended: 0, otherEnds: [] }
const startsOf = (handle) => consumers.starts.get(handle) ?? 0

function watchConsumers() {
  let rest = ""
  consumers.running.clear()
  copper.process.stderr.on("data", (text) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop()
    for (const line of lines) {
      const [, event, handle, exit] = line.match(/ consumer (started|ended) handle=(\S+)(?: exit=(\S+))?/) ?? []
      if (event === "started") {
        consumers.running.add(handle)
        consumers.starts.set(handle, startsOf(handle) + 1)
      } else if (event === "ended") {
        consumers.running.delete(handle)
        if (exit === "suspend") consumers.suspended += 1
        else consumers.otherEnds.push(line)
      }
    }
  })
}
watchConsumers()

const nobodyRuns = () => waitFor(() => consumers.running.size === 0, { what: "every consumer has suspended" })

// What a shape has now: handle, offset and messages of a whole read.
async function read(params) {
  const messages = []
  let position = { offset: "-1" }
  for (;;) {
    const answer = await copper.get({ ...params, ...position })
    assert.equal(answer.status, 200, answer.text)
    messages.push(...answer.body)
    position = { offset: answer.headers["electric-offset"], handle: answer.headers["electric-handle"] }
    if ("electric-up-to-date" in answer.headers) return { ...position, messages }
  }
}

// A change to a shape of its own: once its consumer's start has been seen, whatever was logged before has been too.
const clock = await read({ table: "clocks" })
async function everythingSoFarIsLogged() {
  await nobodyRuns()
  const before = startsOf(clock.handle)
  await sql("UPDATE clocks SET n = n + 1")
  await waitFor(() => startsOf(clock.handle) > before, { what: "the clock's consumer starts" })
}

test("a suspended shape is read without its consumer, a change starts it again", async () => {
  const params = { table: "things", where: "k = 1" }
  const { handle } = await read(params)
  assert.equal(startsOf(handle), 0, "a new shape needs none")
  for (let round = 1; round <= 3; round++) {
    await sql("UPDATE things SET n = n + 1 WHERE id = 1")
    await waitFor(() => startsOf(handle) === round, { what: "a change starts the consumer" })
    await nobodyRuns()
    const { messages, handle: same } = await read(params)
    assert.equal(same, handle)
    assert.equal(messages.filter(({ headers }) => headers.operation === "update").length, round)
  }
  await everythingSoFarIsLogged()
  assert.equal(startsOf(handle), 3, "reads started none")
})

test("readers that wait for a suspended shape are woken by a change", async () => {
  const params = { table: "things", where: "k = 2" }
  await read(params)
  for (let round = 0; round < 3; round++) {
    await sql("UPDATE things SET n = n + 1 WHERE id = 2")
    const { handle, offset } = await waitFor(async () => {
      const now = await read(params)
      return now.messages.filter(({ headers }) => headers.operation === "update").length > 2 * round && now
    })
    const starts = startsOf(handle)
    const waiting = Array.from({ length: 30 }, () => copper.get({ ...params, handle, offset, live: "true" }))
    await nobodyRuns()
    await everythingSoFarIsLogged()
    await nobodyRuns()
    assert.equal(startsOf(handle), starts, "waiting started none")
    await sql("UPDATE things SET n = n + 1 WHERE id = 2")
    for (const { status, body } of await Promise.all(waiting)) {
      assert.equal(status, 200)
      assert.equal(body.filter(({ headers }) => headers.operation === "update").length, 1)
    }
    await waitFor(() => startsOf(handle) === starts + 1, { what: "the change started the consumer" })
  }
})

test("a restart starts no consumer: readers that come back wait without, and a change starts them", async () => {
  const params = { table: "things", where: "k = 3" }
  const view = follow(copper, params)
  await rowsBecome(view, cluster, "SELECT * FROM things WHERE k = 3")
  for (const end of ["stop", "kill"]) {
    await sql("UPDATE things SET n = n + 1 WHERE id = 3")
    await copper[end]()
    await sql("UPDATE things SET n = n + 1 WHERE id = 3")
    await copper.start({ waitActive: false })
    watchConsumers()
    await rowsBecome(view, cluster, "SELECT * FROM things WHERE k = 3")
    await everythingSoFarIsLogged()
    assert.ok([...consumers.running].every((handle) => [clock.handle, view.handle()].includes(handle)), "nobody else")
    assert.equal(view.rotations, 0)
  }
  await nobodyRuns()
  view.close()
})

test("many shapes suspend and revive under writes, and every client holds what SELECT says", async () => {
  const where = (k) => `SELECT * FROM things WHERE k = ${k}`
  const views = Array.from({ length: shapes }, (_, k) => follow(copper, { table: "things", where: `k = ${k}` }))
  const all = follow(copper, { table: "things", replica: "full" })
  await Promise.all(views.map((view) => view.upToDate()))
  await rowsBecome(all, cluster, "SELECT * FROM things")
  const suspended = consumers.suspended

  let writing = true
  let written = 0
  const random = (n) => Math.floor(Math.random() * n)
  // Few keys at a time, others from time to time: most consumers fall asleep while some are just wanted again.
  const writer = async () => {
    const client = await cluster.connect()
    while (writing) {
      const k = random(shapes)
      for (let i = random(6); i >= 0 && writing; i--) {
        const id = 1 + random(shapes * 3)
        await client.query("UPDATE things SET n = n + 1 WHERE k = $1", [k])
        await client.query("UPDATE things SET k = $2, n = n + 1 WHERE id = $1", [id, (k + random(2)) % shapes])
        if (random(4) === 0) await client.query("DELETE FROM things WHERE id = $1", [id])
        await client.query("INSERT INTO things VALUES ($1, $2, 0) ON CONFLICT DO NOTHING", [id, k])
        written += 3
        // The idle times of the others pass meanwhile.
        for (let looks = random(4); looks > 0; looks--) await sleepUntilNextLook()
      }
    }
    await client.end()

  }
  for (let round = 0; round < 2; round++) {
    writing = true
    const goal = suspended + (round + 1) * shapes * 2
    const writers = [writer(), writer()]
    try {
      await waitFor(() => consumers.suspended > goal, { what: `${goal} suspensions under writes` })
    } finally {
      writing = false
      await Promise.all(writers)
    }
    await rowsBecome(all, cluster, "SELECT * FROM things")
    for (const [k, view] of views.entries()) await rowsBecome(view, cluster, where(k))
    await nobodyRuns()
  }
  for (const view of [...views, all]) {
    assertOrdered(view)
    assert.equal(view.rotations, 0)
    view.close()
  }
  assert.deepEqual(consumers.otherEnds.filter((line) => !/exit=killed/.test(line)), [])
  console.log(`# ${written} statements, ${consumers.suspended - suspended} suspensions of ${shapes + 1} consumers`)
})
