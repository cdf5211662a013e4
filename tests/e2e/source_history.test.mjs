// Another history: a standby takes over, a server is restored from a copy, or made anew. What the shapes hold may not have
// happened there, so every shape starts anew, and nothing of the old history is served as if it were current.
import assert from "node:assert/strict"
import { join } from "node:path"
import { test } from "node:test"
import { asPostgres, follow, freePort, initCluster, rowsBecome, startCluster, startCopper, waitFor } from "./support.mjs"

const everything = "SELECT * FROM items"
const schema = "CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL); INSERT INTO items SELECT i, 0 FROM generate_series(1, 50) i"
const env = { COPPER_CHECKPOINT_INTERVAL: "200ms" }

async function startWatched() {
  const cluster = await startCluster()
  await cluster.sql(schema)
  const copper = await startCopper({ cluster, env })
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, everything)
  await cluster.sql("UPDATE items SET n = n + 1 WHERE id <= 5")
  await rowsBecome(view, cluster, everything)
  return { cluster, copper, view }
}

// A copy of the data directory as it is now, without a walsender's help: what a snapshot of a disk is.
const copyOf = (cluster, name) => {
  const copy = join(cluster.data, "..", name)
  asPostgres("cp", "-a", cluster.data, copy)
  return copy
}

async function rotated({ cluster, copper, view }, handle, why) {
  await waitFor(() => view.rotations > 0, { what: `a rotation (${why})` })
  await rowsBecome(view, cluster, everything)
  assert.notEqual(view.handle(), handle)
  assert.match(copper.log, why)
  assert.match(copper.log, /every shape is dropped and its readers refetch/)
  await cluster.sql("UPDATE items SET n = n + 1 WHERE id = 7")
  await rowsBecome(view, cluster, everything)
  const late = await copper.get({ table: "items", handle, offset: "0_0" })
  assert.equal(late.status, 409)
  view.close()
  await copper.stop()
  await cluster.stop("SIGQUIT")
}

test("a standby takes over: its timeline is another one", async () => {
  const watched = await startWatched()
  const { cluster, view } = watched
  const handle = view.handle()
  await cluster.stop()
  const standby = copyOf(cluster, "standby")
  asPostgres("sh", "-c", 'rm -r "$1"/pg_replslot/* && touch "$1/standby.signal"', "sh", standby)
  await cluster.start()
  await cluster.sql("UPDATE items SET n = n + 1 WHERE id = 6")
  await rowsBecome(view, cluster, everything)
  await cluster.stop("SIGQUIT")
  // At the same address, as behind a name that moves.
  cluster.data = standby
  await cluster.start()
  assert.equal((await cluster.sql("SELECT pg_is_in_recovery() AS r"))[0].r, "t")
  await waitFor(() => watched.copper.log.includes("standby"), { what: "a server in recovery is refused with words" })
  await cluster.sql("SELECT pg_promote()")
  await rotated(watched, handle, /another timeline/)
})

test("a copy from before is started instead, and is behind", async () => {
  const watched = await startWatched()
  const { cluster, view } = watched
  const handle = view.handle()
  await cluster.stop()
  const copy = copyOf(cluster, "copy")
  await cluster.start()
  await cluster.sql("INSERT INTO items SELECT i, 1 FROM generate_series(100, 3000) i; UPDATE items SET n = n + 1 WHERE id = 6")
  await rowsBecome(view, cluster, everything)
  await cluster.stop()
  cluster.data = copy
  await cluster.start()
  await rotated(watched, handle, /behind what is stored/)
})

for (const down of [true, false]) {
  test(`a copy from before is started instead, and has gone on beyond what is stored${down ? ", while Copper was down" : ""}`, async () => {
    const watched = await startWatched()
    const { cluster, copper, view } = watched
    const handle = view.handle()
    await cluster.stop()
    const copy = copyOf(cluster, "copy")
    await cluster.start()
    await cluster.sql("UPDATE items SET n = 1000 WHERE id <= 10")
    await cluster.sql("DELETE FROM items WHERE id = 20")
    await rowsBecome(view, cluster, everything)
    if (down) await copper.stop()
    await cluster.stop()
    cluster.data = copy
    const { port } = cluster
    cluster.port = await freePort() // Copper comes only when everything has happened
    await cluster.start()
    await cluster.sql("UPDATE items SET n = n + 1 WHERE id = 30")
    await cluster.sql("CREATE TABLE filler AS SELECT repeat('f', 1000) FROM generate_series(1, 3000)")
    await cluster.sql("UPDATE items SET n = n + 1 WHERE id = 31")
    await cluster.stop()
    cluster.port = port
    await cluster.start()
    if (down) await copper.start()
    await rotated(watched, handle, /another history/)
  })
}

test("the server is made anew at the same address: another system", async () => {
  const watched = await startWatched()
  const { cluster, view } = watched
  const handle = view.handle()
  await cluster.stop("SIGQUIT")
  cluster.data = initCluster()
  await cluster.start()
  await cluster.sql(schema)
  await cluster.sql("UPDATE items SET n = 77")
  await rotated(watched, handle, /another Postgres cluster/)
})
