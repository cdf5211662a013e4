// Shapes go when there are too many, when they take too much room, and when nobody reads them: the least recently read
// first, never one that somebody waits for, and what was read when outlives a restart.
import assert from "node:assert/strict"
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { follow, rowsBecome, startCluster, startCopper, waitFor } from "./support.mjs"

const cluster = await startCluster()
await cluster.sql(`CREATE TABLE notes (id int PRIMARY KEY, note text NOT NULL);
  INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 100) i;
  CREATE TABLE large (id int PRIMARY KEY, body text NOT NULL);
  INSERT INTO large SELECT i, repeat('x', 1000000) FROM generate_series(1, 6) i;`)

let streams = 0
const start = (...args) => startCopper({ cluster, args: [...args, "--replication-stream-id", `retention${streams++}`] })
const make = async (copper, table, id) => {
  const answer = await copper.get({ table, where: `id = ${id}`, offset: "-1" })
  assert.equal(answer.status, 200)
  return answer.headers["electric-handle"]
}
// Asks with the handle for what is behind the snapshot.
const read = async (copper, table, id, handle) => {
  const answer = await copper.get({ table, where: `id = ${id}`, offset: "0_inf", handle })
  return answer.status
}
const evictions = (copper) => copper.log.split("\n").filter((line) => /evicting a shape/.test(line))
// Looking for what is read must not be reading.
const isEvicted = (copper, handle) => evictions(copper).some((line) => line.includes(`handle=${handle} `))

test("above --max-shapes the least recently read go, not those that are waited for", async () => {
  const copper = await start("--max-shapes", "3")
  const followed = [1, 2].map((id) => follow(copper, { table: "notes", where: `id = ${id}` }))
  for (const view of followed) await view.upToDate()
  const handles = followed.map((view) => view.handle())
  const others = []
  for (const id of [3, 4, 5, 6]) others.push(await make(copper, "notes", id))
  await waitFor(() => others.filter((handle) => isEvicted(copper, handle)).length === 3)
  assert.equal(evictions(copper).length, 3)
  assert.match(evictions(copper)[0], /why="evicted: there are more shapes than --max-shapes allows" bytes=\d+ last_read_s_ago=\d+ evicted_so_far=1/)

  const gone = others.findIndex((handle) => isEvicted(copper, handle))
  assert.equal(await read(copper, "notes", 3 + gone, others[gone]), 409)
  await cluster.sql("UPDATE notes SET note = 'changed' WHERE id <= 2")
  for (const [i, view] of followed.entries()) {
    await rowsBecome(view, cluster, `SELECT * FROM notes WHERE id = ${i + 1}`)
    assert.equal(view.handle(), handles[i])
    assert.equal(view.rotations, 0)
    view.close()
  }
  await copper.stop()
})

test("a shape that nobody reads for --shape-max-idle goes, one that is waited for stays", async () => {
  const copper = await start("--shape-max-idle", "2s")
  const view = follow(copper, { table: "notes", where: "id = 10" })
  await view.upToDate()
  const handle = view.handle()
  const idle = await make(copper, "notes", 11)
  await waitFor(() => isEvicted(copper, idle))
  assert.ok(!isEvicted(copper, handle))
  await cluster.sql("UPDATE notes SET note = 'changed' WHERE id = 10")
  await rowsBecome(view, cluster, "SELECT * FROM notes WHERE id = 10")
  assert.equal(view.handle(), handle)
  view.close()
  await copper.stop()
})

test("above --max-storage-bytes the least recently read go, also when they were read before a restart", async () => {
  const copper = await start("--max-storage-bytes", "3.5MB")
  const bytes = () => {
    const shapes = join(copper.storageDir, "shapes")
    return readdirSync(shapes, { recursive: true }).reduce((sum, name) => {
      const stat = statSync(join(shapes, name), { throwIfNoEntry: false })
      return sum + (stat?.isFile() ? stat.size : 0)
    }, 0)
  }
  const handles = {}
  for (const id of [1, 2, 3]) handles[id] = await make(copper, "large", id)
  // Seconds are what last reads are kept in.
  const second = Date.now() + 1100
  await waitFor(() => Date.now() > second, { what: "another second" })
  assert.equal(await read(copper, "large", 1, handles[1]), 200)
  assert.equal(await read(copper, "large", 3, handles[3]), 200)
  await copper.stop()
  assert.equal(evictions(copper).length, 0)

  await copper.start()
  handles[4] = await make(copper, "large", 4)
  await waitFor(() => evictions(copper).length > 0)
  assert.ok(isEvicted(copper, handles[2]))
  await waitFor(() => bytes() < 3_500_000)
  assert.equal(evictions(copper).length, 1)
  assert.equal(await read(copper, "large", 1, handles[1]), 200)
  assert.equal(await read(copper, "large", 3, handles[3]), 200)
  assert.equal(await read(copper, "large", 2, handles[2]), 409)
  await copper.stop()
})
