// A hot table's log is compacted while it is written and read: clients that stand at any offset end with Postgres' rows, and
// the disk holds little more than the rows. COPPER_COMPACTION_ROUNDS: a longer run.
import assert from "node:assert/strict"
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { follow, rowsBecome, startBoth, waitFor } from "./support.mjs"

const rounds = Number(process.env.COPPER_COMPACTION_ROUNDS ?? 250)
const rowsN = 1000
const { cluster, copper, sql } = await startBoth({
  schema: `CREATE TABLE hot (id int PRIMARY KEY, a int NOT NULL DEFAULT 0, b text, c text NOT NULL DEFAULT 'quite "constant"');
    INSERT INTO hot (id) SELECT generate_series(1, ${rowsN});`,
  args: ["--shape-chunk-bytes-threshold", "20000", "--checkpoint-interval", "100ms"],
})

// A strict client by hand: a key must be there or not, as the operation says.
function clientOf(from = { offset: "-1", rows: new Map() }) {
  const client = { offset: from.offset, handle: from.handle, rows: new Map(from.rows), answers: 0 }
  client.apply = ({ key, value, headers }) => {
    if (headers.operation === "insert") {
      assert.ok(!client.rows.has(key), `${key} is inserted twice`)
      client.rows.set(key, value)
    } else if (headers.operation) {
      assert.ok(client.rows.has(key), `${headers.operation} of ${key}, which is not there`)
      if (headers.operation === "delete") client.rows.delete(key)
      else client.rows.set(key, { ...client.rows.get(key), ...value })
    }
  }
  // One answer. True: up to date. 503 and no connection, while Copper starts: asked again.
  client.step = async (params = {}) => {
    const answer = await waitFor(async () => {
      const got = await copper.get({ table: "hot", ...params, offset: client.offset,
        ...(client.handle ? { handle: client.handle } : {}) })
      return got.status !== 503 && got
    }, { what: `an answer behind ${client.offset}` })
    assert.equal(answer.status, 200, answer.text.slice(0, 300))
    answer.body.forEach(client.apply)
    client.offset = answer.headers["electric-offset"]
    client.handle = answer.headers["electric-handle"]
    client.answers += 1
    return answer.headers["electric-up-to-date"] !== undefined
  }
  client.catchUp = async (params) => {
    while (!(await client.step(params)));
  }
  return client
}

const logBytes = () => {
  const shapes = join(copper.storageDir, "shapes")
  return readdirSync(shapes, { recursive: true }).reduce((sum, name) => {
    const stat = statSync(join(shapes, name), { throwIfNoEntry: false })
    return sum + (stat?.isFile() && /log\.\d+$/.test(name) ? stat.size : 0)
  }, 0)
}
const sortedRows = (rows) => [...rows.values()].sort((x, y) => Number(x.id) - Number(y.id))
const expected = async () => (await sql("SELECT id, a, b, c FROM hot ORDER BY id")).map((row) => ({ ...row }))
const same = async (client) => assert.deepEqual(sortedRows(client.rows).map(({ id, a, b, c }) => ({ id, a, b, c })), await expected())
// It may be up to date before the last update has come from Postgres.
const ends = (client) => waitFor(async () => {
  await client.catchUp()
  await same(client)
  return true
}, { what: "a client to end with the table's rows" })

test("clients at every kind of offset end with the table's rows, before, while and after it is compacted", async () => {
  const view = follow(copper, { table: "hot" })
  await view.upToDate()
  const leader = clientOf()
  await leader.catchUp()
  const stops = [clientOf(leader)]
  const slow = clientOf(leader)
  const writer = await cluster.connect()
  for (let round = 0; round < rounds; round++) {
    const k = round % 10
    await writer.query(round % 3 ? `UPDATE hot SET a = a + 1 WHERE id % 10 = ${k}` : `UPDATE hot SET b = 'round ${round}' WHERE id % 10 = ${k}`)
    if (round % 25 === 7) await writer.query(`DELETE FROM hot WHERE id = ${round + 1}`)
    if (round % 25 === 17) await writer.query(`INSERT INTO hot (id, b) VALUES (${round - 9}, 'again')`)
    if (round % 40 === 20) await writer.query(`UPDATE hot SET id = id + 100000 WHERE id = ${500 + round}`)
    if (round % 20 === 0) {
      await leader.step()
      stops.push(clientOf(leader)) // in the middle of the log, at the end of whatever that answer was
      await slow.step() // far behind, one answer at a time
    }
  }
  await writer.end()
  const late = stops.map((client) => clientOf(client))
  const [early] = stops[stops.length >> 1].offset.split("_")
  for (const client of [leader, slow, ...stops, clientOf()]) {
    await ends(client)
  }
  await rowsBecome(view, cluster, "SELECT * FROM hot")
  assert.equal(view.rotations, 0)
  view.close()

  const written = (rounds * rowsN / 10) * 190
  await waitFor(() => logBytes() < written / 3, { what: `the log of ${written} bytes to be compacted` })
  for (const client of [...late, clientOf()]) {
    await ends(client)
  }
  // An offset at which a compacted chunk may end one day, and which a cache must not have an answer to by then.
  const ahead = await copper.get({ table: "hot", offset: `${early}_${2 ** 40 + 2 ** 31}`, handle: leader.handle })
  assert.equal(ahead.status, 409)
  const behindAll = await copper.get({ table: "hot", offset: `${leader.offset.split("_")[0]}_${2 ** 40}`, handle: leader.handle })
  assert.equal(behindAll.status, 409)
})

test("the same after a restart and after kill -9, from a snapshot and from the middle", async () => {
  const middle = clientOf()
  await middle.step()
  await middle.step()
  for (const end of ["stop", "kill"]) {
    await copper[end]()
    await copper.start()
    for (const client of [clientOf(), clientOf(middle)]) {
      await ends(client)
    }
    await sql("UPDATE hot SET a = a + 1")
  }
  const client = clientOf()
  await client.catchUp()
})

test("killed at any moment of it: clients that stood anywhere end with the table's rows, under the same handle", async () => {
  const rotation = Number(process.env.COPPER_COMPACTION_SEED ?? 1)
  const leader = clientOf()
  await leader.catchUp()
  const handle = leader.handle
  const stops = []
  const writer = await cluster.connect()
  for (let kill = 0; kill < 6; kill++) {
    const until = Date.now() + 60 + ((kill * 7919 + rotation * 104729) % 300)
    for (let i = 0; Date.now() < until; i++) {
      await writer.query(i % 2 ? `UPDATE hot SET a = a + 1 WHERE id % 4 = ${i % 4}` : `UPDATE hot SET b = '${kill}/${i}' WHERE id % 3 = ${i % 3}`)
    }
    await leader.step()
    stops.push(clientOf(leader))
    await copper.kill()
    await copper.start()
  }
  await writer.end()
  for (const client of [leader, ...stops, clientOf()]) {
    await ends(client)
    assert.equal(client.handle, handle)
  }
})
