// kill -9, again and again, at random moments of a mixed load: single writes, updates of many rows, deletes, keys that change, large
// transactions, shapes that are made meanwhile. After each round nothing is lost and nothing has come twice, every client went on
// where it was, and the logs are what they were, superseded updates merged, with something behind.
// KILL_ROUNDS=… for more, KILL_SEED repeats the decisions (not the timing), KILL_CHUNK is the chunks' size in bytes.
import assert from "node:assert/strict"
import { test } from "node:test"
import { inspect } from "node:util"
import { rowsBecome, startBoth, waitFor } from "./support.mjs"
import { chance, watch } from "./chance.mjs"

const rounds = Number(process.env.KILL_ROUNDS ?? 5)
const seed = Number(process.env.KILL_SEED ?? 1)
console.log(`KILL_SEED=${seed} KILL_ROUNDS=${rounds}`)
const dice = chance(seed)

const { cluster, copper } = await startBoth({
  env: { COPPER_CHECKPOINT_INTERVAL: "150ms", COPPER_SHAPE_HIBERNATE_AFTER: "200ms", COPPER_SHAPE_SUSPEND_AFTER: "200ms" },
  args: ["--shape-chunk-bytes-threshold", process.env.KILL_CHUNK ?? "20000"],
  schema: `
    CREATE TABLE items (id int PRIMARY KEY, team int NOT NULL, n int NOT NULL, t text);
    CREATE TABLE pairs (a text, b int, n int NOT NULL, t text, PRIMARY KEY (a, b));
    ALTER TABLE items ALTER t SET STORAGE EXTERNAL;
    INSERT INTO items SELECT i, i % 4, i, 'first' FROM generate_series(0, 399) i;
    INSERT INTO pairs SELECT 'p' || i % 3, i, i, 'first' FROM generate_series(0, 199) i`,
})

const definitions = [
  [{ table: "items" }, "SELECT * FROM items"],
  [{ table: "items", where: "team = 1" }, "SELECT * FROM items WHERE team = 1"],
  [{ table: "items", where: "team IN (0, 2) AND n > 200", replica: "full" }, "SELECT * FROM items WHERE team IN (0, 2) AND n > 200"],
  [{ table: "items", where: "t LIKE 'a%' OR n BETWEEN 10 AND 60", columns: ["id", "n"] }, "SELECT id, n FROM items WHERE t LIKE 'a%' OR n BETWEEN 10 AND 60"],
  [{ table: "pairs" }, "SELECT * FROM pairs"],
  [{ table: "pairs", where: "a = 'p1'" }, "SELECT * FROM pairs WHERE a = 'p1'"],
]

// ---------------------------------------------------------------------------------------------------- the writers

function statement(rng) {
  const id = rng.below(600)
  const n = rng.below(400)
  const text = rng.likely(0.1) ? `repeat('${rng.pick(["a", "b"])}${n} ', 1000)` : `'${rng.pick(["a", "b"]).repeat(1 + rng.below(40))}'`
  return rng.pick([
    `INSERT INTO items VALUES (${id}, ${n % 4}, ${n}, ${text}) ON CONFLICT (id) DO UPDATE SET n = excluded.n, t = excluded.t`,
    `UPDATE items SET n = ${n} WHERE id = ${id}`,
    `UPDATE items SET n = n + 1, team = (team + 1) % 4 WHERE id BETWEEN ${id} AND ${id + 6}`,
    `UPDATE items SET t = ${text} WHERE id BETWEEN ${id} AND ${id + 3}`,
    `DELETE FROM items WHERE id BETWEEN ${id} AND ${id + 2}`,
    `UPDATE items SET id = id + 1000 WHERE id = ${id}`,
    `UPDATE items SET id = id - 1000 WHERE id = ${id + 1000}`,
    `INSERT INTO pairs VALUES ('p${n % 3}', ${id % 200}, ${n}, ${text}) ON CONFLICT (a, b) DO UPDATE SET n = excluded.n`,
    `UPDATE pairs SET a = 'p' || (${n} % 3) WHERE b = ${id % 200} AND NOT EXISTS (SELECT FROM pairs o WHERE o.a = 'p' || (${n} % 3) AND o.b = ${id % 200})`,
    `DELETE FROM pairs WHERE b = ${id % 200}`,
  ])
}

// More than a fragment of a transaction holds: some of it is on disk before the rest comes.
const large = (rng) => rng.pick([
  "INSERT INTO items SELECT i, i % 4, i % 400, 'many' FROM generate_series(100000, 111999) i; DELETE FROM items WHERE id >= 100000",
  "DO $$ BEGIN FOR i IN 1..30 LOOP UPDATE items SET n = (n + 7) % 400; END LOOP; END $$",
  "UPDATE items SET t = repeat('large', 3000) WHERE team = 3; UPDATE items SET t = 'small' WHERE team = 3",
])

let transactions = 0
let writing = false

async function writer(rng) {
  const client = await cluster.connect()
  while (writing) {
    const body = Array.from({ length: rng.pick([1, 1, 2, 5, 30]) }, () => statement(rng))
    if (rng.likely(0.006)) body.push(large(rng))
    await client.query(`BEGIN; ${body.join("; ")}; ${rng.likely(0.05) ? "ROLLBACK" : "COMMIT"}`).catch(async (error) => {
      assert.ok(["40P01", "23505"].includes(error.code), error)
      await client.query("ROLLBACK")
    })
    transactions += 1
  }
  await client.end()
}

// ---------------------------------------------------------------------------------------------------- the logs

// A shape's whole log as it is now, and its handle.
async function wholeLog(params) {
  const query = { ...params, ...(params.columns && { columns: params.columns.join(",") }) }
  const items = []
  let handle = null
  for (let offset = "-1", done = false; !done;) {
    const answer = await waitFor(async () => {
      const got = await copper.get({ ...query, offset, ...(handle && { handle }) })
      return got.status !== 503 && got
    }, { what: "a log is served" })
    assert.equal(answer.status, 200, answer.text)
    handle = answer.headers["electric-handle"]
    offset = answer.headers["electric-offset"]
    done = "electric-up-to-date" in answer.headers
    for (const { headers, key, value } of answer.body) {
      const { lsn, op_position: op, operation } = headers
      if (lsn) items.push({ at: `${lsn}_${op}`, lsn: BigInt(lsn), op, operation, key, value })
    }
  }
  return { handle, items }
}

// What stood in the log before stands there still, at its place and unchanged; but compaction may have left an update to a
// later item of its key: an update, which has its columns then, or a delete.
function assertContinues(before, log) {
  const now = new Map(log.items.map((item) => [item.at, item]))
  assert.equal(now.size, log.items.length, "an item stands twice in the log")
  const next = new Map() // of each key, what stands behind the item that is looked at
  const old = new Map(before.items.map((item) => [item.at, item]))
  const last = before.items.at(-1)
  const grown = last ? log.items.findIndex(({ lsn, op }) => lsn > last.lsn || (lsn === last.lsn && op > last.op)) : 0
  const known = grown === -1 ? log.items.length : grown
  for (const item of log.items.slice(0, known)) assert.ok(old.has(item.at), `${inspect(item)} is new in front of others`)
  for (const item of log.items.slice(known).reverse()) next.set(item.key, item)
  for (const item of [...before.items].reverse()) {
    const here = now.get(item.at)
    if (here) {
      const value = item.operation === "update" ? { ...here.value, ...item.value } : item.value
      assert.deepEqual(here, { ...item, value }, `${inspect(item)} has changed`)
      next.set(item.key, here)
      continue
    }
    const later = next.get(item.key)
    assert.ok(item.operation === "update" && later && later.operation !== "insert", `${inspect(item)} is gone`)
    if (later.operation === "update") {
      for (const column of Object.keys(item.value)) assert.ok(column in later.value, `${column} of ${inspect(item)} is lost`)
    }
  }
}

const views = definitions.map(([params, query]) => watch(copper, params, query))
const logs = definitions.map(() => ({ handle: null, items: [] }))

async function allIsRight({ logsToo }) {
  await Promise.all(views.map((view) => rowsBecome(view, cluster, view.query)))
  for (const [i, view] of views.entries()) {
    const of = JSON.stringify(view.params)
    assert.deepEqual(view.faults.slice(0, 5), [], of)
    assert.equal(view.rotations, 0, `${of}: the client was sent away`)
    if (!logsToo) continue
    const log = await wholeLog(view.params)
    const before = logs[i]
    assert.equal(log.handle, before.handle ?? log.handle, of)
    assert.equal(log.handle, view.handle(), of)
    try {
      assertContinues(before, log)
    } catch (error) {
      error.message += `\nin ${of}`
      throw error
    }
    logs[i] = log
  }
}

async function killAtSomeMoment(rng) {
  const after = transactions + rng.below(120)
  const at = Date.now() + rng.below(400)
  await waitFor(() => transactions >= after && Date.now() >= at, { what: "writes go on" })
  await copper.kill()
  if (rng.likely(0.5)) {
    const missed = transactions + rng.below(60)
    await waitFor(() => transactions >= missed, { what: "writes go on while Copper is down" })
  }
  if (rng.likely(0.3)) {
    // And again before it is up.
    await copper.start({ waitActive: false })
    const soon = Date.now() + rng.below(150)
    await waitFor(() => Date.now() >= soon)
    await copper.kill()
  }
  await copper.start({ waitActive: rng.likely(0.5) })
}

test(`killed ${rounds} times: nothing lost, nothing doubled, handles kept, logs only grow`, async () => {
  await allIsRight({ logsToo: true }) // everything stands before the first kill: a snapshot that one interrupts rotates its shape
  let killed = 0
  try {
    for (; killed < rounds; killed++) {
      writing = true
      const writers = [1, 2, 3].map(() => writer(chance(dice.below(2 ** 32))))
      const modulus = 3 + dice.below(1000)
      const visitor = watch(copper, { table: "items", where: `id % ${modulus} = 1` }, `SELECT * FROM items WHERE id % ${modulus} = 1`)
      try {
        await killAtSomeMoment(dice)
        const goal = transactions + 20
        await waitFor(() => transactions > goal, { what: "writes go on" })
      } finally {
        writing = false
        await Promise.all(writers)
      }
      await allIsRight({ logsToo: killed % 5 === 4 || killed === rounds - 1 }) // they get long
      await rowsBecome(visitor, cluster, visitor.query)
      assert.deepEqual(visitor.faults.slice(0, 5), [], visitor.query)
      visitor.close()
    }
  } catch (error) {
    const stands = views.map((view) => `${JSON.stringify(view.params)}: ${view.offset()}, ${view.requests} requests, ${view.messages.length} messages`)
    error.message += `\nKILL_SEED=${seed}, ${killed} rounds were right\n${stands.join("\n")}\nCopper's log:\n${copper.log.slice(-6000)}`
    throw error
  }
  console.log(`# ${killed} kills, ${transactions} transactions, ${logs.reduce((sum, { items }) => sum + items.length, 0)} items in the logs`)
})
