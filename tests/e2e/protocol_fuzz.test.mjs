// A protocol fuzzer: readers that follow shapes of a database with odd texts, and requests that are nearly right, while the
// server is killed, shapes go and everything is sealed and compacted all the time. Each answer is well-formed, a log only
// grows, offsets too, all readers see the same, nobody waits in vain, and at quiet points all rows are those of SELECT.
// PROTOCOL_FUZZ_SEED repeats the same decisions (not the same timing), PROTOCOL_FUZZ_SECONDS is how long it goes on.
import assert from "node:assert/strict"
import { readdirSync } from "node:fs"
import { test } from "node:test"
import { chance } from "./chance.mjs"
import { Reader, World, rowTexts } from "./fuzz_readers.mjs"
import { mutateBytes, mutateMeaning } from "./mutations.mjs"
import { definitions, freshDefinition, schema, schemaChanges, transaction } from "./odd_load.mjs"
import { patience, sanitized, sleepUntilNextLook, startBoth, waitFor } from "./support.mjs"
import { Malformed, Wire, requestBytes } from "./wire.mjs"

const seed = Number(process.env.PROTOCOL_FUZZ_SEED ?? 1)
const seconds = Number(process.env.PROTOCOL_FUZZ_SECONDS ?? 15)
console.log(`PROTOCOL_FUZZ_SEED=${seed} PROTOCOL_FUZZ_SECONDS=${seconds}`)
const dice = chance(seed)

const { cluster, copper } = await startBoth({
  schema,
  settings: ["deadlock_timeout=100ms", "lock_timeout=500ms"],
  args: [
    "--shape-chunk-bytes-threshold", dice.pick(["4KiB", "4KiB", "20KiB"]), "--change-log-max", dice.pick(["256KiB", "64KiB"]),
    "--checkpoint-interval", "50ms", "--max-shapes", String(definitions.length + 4), "--shape-max-idle", dice.pick(["3s", "20s"]),
    "--long-poll-timeout", "700ms", "--sse-timeout", "1500ms", "--tcp-read-timeout", "5s", "--tcp-send-timeout", "2s",
    "--shape-hibernate-after", "100ms", "--shape-suspend-after", "100ms", "--publication-refresh-period", "1s",
    "--max-concurrent-requests", '{"initial":4,"existing":32}', "--enable-integration-testing", "--threads", dice.pick(["1", "2"]),
  ],
})
// Some shapes have several readers, so that they stand in each other's way.
const popular = Array.from({ length: 5 }, () => dice.pick(definitions))
const definition = (rng) => (rng.likely(0.6) ? rng.pick(popular) : rng.likely(0.6) ? rng.pick(definitions) : freshDefinition(rng))
const world = new World({ port: copper.port, deadline: patience, definition })
const readers = Array.from({ length: 14 }, () => new Reader(world, chance(dice.below(2 ** 32)), definition(dice)))
const told = []
let transactions = 0

const loop = async (turn) => {
  while (world.raging) await turn()
}

// ---------------------------------------------------------------------------------------------------- writers

async function writer(rng) {
  const client = await cluster.connect()
  await loop(async () => {
    await client.query(transaction(rng)).then(() => (transactions += 1), () => client.query("ROLLBACK"))
    // A few answers for each transaction, or the logs only grow.
    const goal = total() + rng.below(8)
    const end = Date.now() + 40
    await waitFor(() => !world.raging || total() >= goal || Date.now() > end)
  })
  await client.end()
}

const total = () => Object.values(world.counts).reduce((sum, n) => sum + n, 0)

// ---------------------------------------------------------------------------------------------------- nearly right requests

const someRequest = (rng) => world.recent.length > 0 ? rng.pick(world.recent) : { method: "GET", query: [["table", "odd"], ["offset", "-1"]], headers: {}, body: null }
const knownValues = () => [...world.recent.flatMap(({ query }) => query.map(([, value]) => value)), ...world.dead, "odd"]

// At once, in two pieces, or byte by byte.
async function dribble(rng, wire, bytes) {
  if (rng.likely(0.6)) return wire.send(bytes)
  const size = rng.pick([1, 7, 100, Math.ceil(bytes.length / 2)])
  const pieces = Math.min(Math.ceil(bytes.length / size), 400)
  for (let i = 0; i < pieces && !wire.closed; i++) {
    await wire.send(bytes.subarray(i * size, i + 1 === pieces ? bytes.length : (i + 1) * size))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const attacks = {
  // Whole requests in a row: each is answered, in order.
  meaning: async (rng, wire, moment) => {
    const requests = Array.from({ length: rng.pick([1, 1, 1, 2, 5]) }, () =>
      rng.likely(0.8) ? mutateMeaning(rng, someRequest(rng), knownValues()) : someRequest(rng))
    const reading = requests.map((request) => wire.reply(request.method, { deadline: world.deadline }))
    const sending = dribble(rng, wire, Buffer.concat(requests.map(requestBytes)))
    let closing = false
    for (const [i, reply] of (await Promise.all(reading)).entries()) {
      if (reply.kind === "answer") {
        if (closing) world.fault("an answer behind the last one", requests[i], reply)
        world.check(requests[i], reply)
        closing ||= reply.headers.connection === "close"
      } else if (!closing && !world.excuses(moment)) {
        world.count(reply.kind)
        if (reply.kind !== "cut") world.fault(`a whole request, no answer: ${reply.kind} (${i + 1} of ${requests.length})`, requests[i], reply)
        closing = true
      }
    }
    await sending
  },

  // Anything: when we have said all, the server says something that is HTTP, or hangs up.
  bytes: async (rng, wire, moment) => {
    const request = someRequest(rng)
    const bytes = mutateBytes(rng, request.method === "HEAD" ? { ...request, method: "GET" } : request)
    const sending = dribble(rng, wire, bytes).then(() => wire.halfClose())
    for (;;) {
      const reply = await wire.reply("GET", { deadline: world.deadline })
      if (reply.kind === "answer") {
        world.check(bytes, reply)
        continue
      }
      if (reply.kind === "late" && !world.excuses(moment)) world.fault("neither an answer nor an end", bytes, reply)
      break
    }
    await sending
  },

  // A right request from who hangs up, somewhere in between.
  abort: async (rng, wire) => {
    const bytes = requestBytes(someRequest(rng))
    const reading = wire.reply("GET", { deadline: world.deadline, onBody: () => wire.destroy() })
    await wire.send(bytes.subarray(0, rng.likely(0.3) ? rng.below(bytes.length) : bytes.length))
    if (rng.likely(0.5)) wire.destroy()
    else setTimeout(() => wire.destroy(), rng.below(100))
    await reading
  },

  // Half-closed: who waits is gone, all others are answered.
  half: async (rng, wire, moment) => {
    const request = someRequest(rng)
    const reading = wire.reply(request.method, { deadline: world.deadline })
    await wire.send(requestBytes(request))
    wire.halfClose()
    const reply = await reading
    if (reply.kind === "answer") world.check(request, reply)
    else if (reply.kind === "late" && !world.excuses(moment)) world.fault("half-closed, and never ended", request, reply)
  },

  // Asks again and again, and takes nothing.
  deaf: async (rng, wire) => {
    wire.socket.pause()
    for (let i = rng.below(30); i >= 0; i--) void wire.send(requestBytes(someRequest(rng)))
    const goal = total() + 20
    const end = Date.now() + 1000
    await waitFor(() => !world.raging || total() > goal || Date.now() > end)
  },
}

async function attacker(rng) {
  await loop(async () => {
    if (!world.up) return sleepUntilNextLook()
    const name = rng.pick(["meaning", "meaning", "meaning", "meaning", "bytes", "bytes", "bytes", "abort", "half", "deaf"])
    const wire = new Wire(world.port)
    try {
      await attacks[name](rng, wire, world.moment())
      world.count(name)
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      world.fault(`no HTTP: ${error.message}`)
    }
    wire.destroy()
  })
}

// ---------------------------------------------------------------------------------------------------- weather

async function restart(down) {
  assert.equal(copper.process.exitCode ?? copper.process.signalCode, null, `Copper ended by itself:\n${copper.log.slice(-8000)}`)
  world.epoch += 1
  world.up = false
  await down()
  await copper.start()
  listen()
  world.epoch += 1
  world.up = true
}

// What all shapes survive.
const weather = {
  kill: () => restart(() => copper.kill()),
  term: () => restart(() => copper.stop()),
  cut: () => cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication"),
}
const roughWeather = {
  ...weather,
  drop: async (rng) => {
    const handle = rng.pick(readers).handle
    if (!handle) return
    const answer = await copper.get({ handle }, { method: "DELETE" })
    if (![202, 404, 503].includes(answer.status)) world.fault(`DELETE is told ${answer.status}: ${answer.text}`)
  },
}
for (const [name, change] of Object.entries(schemaChanges)) {
  // It may lose against the writers' locks: then it did not happen.
  roughWeather[name] = (rng) => cluster.sql(change(rng)).catch((error) => assert.ok(["55P03", "40P01"].includes(error.code), error))
}

async function clouds(rng) {
  const events = rng.likely(0.5) ? weather : roughWeather
  await loop(async () => {
    const goal = total() + 30 + rng.below(300)
    const end = Date.now() + 2000
    await waitFor(() => !world.raging || total() > goal || Date.now() > end)
    if (!world.raging) return
    const name = rng.pick(["kill", ...("drop" in events ? ["drop", "drop"] : []), ...Object.keys(events)])
    told.push(name)
    await events[name](rng)
  })
}

// What the log must not say: an error is something for somebody to do.
function listen() {
  const look = (text) => {
    for (const line of String(text).split("\n")) {
      if (/^\S+ +error /.test(line) || /Sanitizer|runtime error|assert/i.test(line)) world.fault(`the log says: ${line}`)
    }
  }
  look(copper.log)
  for (const stream of [copper.process.stdout, copper.process.stderr]) stream.on("data", look)
}

// ---------------------------------------------------------------------------------------------------- quiet points

function failIfFaulty() {
  if (world.faults.length === 0) return
  assert.fail(`${world.faults.join("\n")}\nPROTOCOL_FUZZ_SEED=${seed}, so far: ${told.join(" ")}\nCopper's log:\n${copper.log.slice(-8000)}`)
}

// Reads on until the rows are Postgres'. True; false where the handle has gone meanwhile (`stay`).
async function becomesRight(reader, stay = false) {
  const { handle } = reader
  const end = Date.now() + patience
  for (;;) {
    await reader.catchUp()
    failIfFaulty()
    if (stay && reader.handle !== handle) return false
    if (reader.handle && reader.upToDate) {
      const expected = rowTexts(await cluster.sql(reader.query))
      const actual = reader.texts()
      if (JSON.stringify(expected) === JSON.stringify(actual)) return true
      if (Date.now() > end) {
        assert.deepEqual(actual, expected, `${JSON.stringify(reader.params)}, handle ${reader.handle}, offset ${reader.offset}, ` +
          `first at ${JSON.stringify(stay)}, PROTOCOL_FUZZ_SEED=${seed}, so far: ${told.join(" ")}`)
      }
    }
    assert.ok(Date.now() < end, `${JSON.stringify(reader.params)} never becomes up to date`)
    await sleepUntilNextLook()
  }
}

async function quiet(rng) {
  failIfFaulty()
  assert.equal(copper.process.exitCode ?? copper.process.signalCode, null, `Copper ended by itself:\n${copper.log.slice(-8000)}`)
  for (const reader of readers.filter(({ whole }) => whole)) await becomesRight(reader)
  // Any offset ever given out is one to go on from.
  for (let i = 0; i < 6 && world.sleepers.length > 0; i++) {
    const { definition, ...from } = rng.pick(world.sleepers)
    if (world.dead.has(from.handle) || definition[1] === null) continue
    const sleeper = new Reader(world, rng, definition, from)
    world.count(await becomesRight(sleeper, from.offset) ? "sleeper" : "sleeper gone")
    sleeper.close()
  }
  const late = new Reader(world, rng, rng.pick(definitions.filter(([, query]) => query)))
  await becomesRight(late)
  late.close()
  for (const handle of world.dead) world.logs.delete(handle)
  failIfFaulty()
}

test("whatever is asked, each answer is well-formed and true", async () => {
  listen()
  const end = Date.now() + seconds * 1000
  do {
    world.raging = true
    const until = Date.now() + 1500 + dice.below(2500)
    const some = () => chance(dice.below(2 ** 32))
    const all = [
      ...readers.map((reader) => loop(async () => (world.up ? reader.step() : sleepUntilNextLook()))),
      ...[1, 2].map(() => writer(some())), ...[1, 2, 3, 4].map(() => attacker(some())), clouds(some()),
    ]
    await waitFor(() => !world.raging || Date.now() > until, { timeout: 2 * patience })
    world.raging = false
    await Promise.all(all)
    await quiet(some())
  } while (Date.now() < end)
  const merged = [...world.logs.values()].reduce((sum, log) => sum + log.merged, 0)
  console.log(`# ${transactions} transactions, ${JSON.stringify(world.counts)}, ${merged} merged updates seen, ${world.dead.size} handles gone: ${told.join(" ")}`)
})

test("at the end nothing is left of all that: descriptors, memory, a clean stop", async () => {
  for (const reader of readers) reader.close()
  const descriptors = () => readdirSync(`/proc/${copper.process.pid}/fd`).length
  await waitFor(() => descriptors() < 100, { what: "descriptors are given back" })
  // A sanitizer keeps what was freed for a while.
  const bound = (sanitized ? 1500 : 150) * 1024 * 1024
  assert.ok(copper.memory("RssAnon") < bound, `${copper.memory("RssAnon")} bytes`)
  await copper.stop()
  failIfFaulty()
})
