// Much at once: a transaction larger than memory would like, a row of 100 MB, a disk that pauses while the walsender's patience is short,
// a table that joins and one that changes while writers are in them.
// LARGE_ROWS=5000000 and LARGE_MB=100 are the sizes that are promised; the defaults keep the suite short.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { chance } from "./chance.mjs"
import { assertOrdered, follow, rowsBecome, sanitized, startBoth, startCluster, startCopper, tempDir, waitFor } from "./support.mjs"

const rows = Number(process.env.LARGE_ROWS ?? 60_000)
const megabytes = Number(process.env.LARGE_MB ?? 12)

const { cluster, copper, sql } = await startBoth({
  settings: ["wal_sender_timeout=2s", "logical_decoding_work_mem=8MB", "max_wal_size=4GB"],
  schema: "CREATE TABLE mass (id int PRIMARY KEY, n int NOT NULL, t text); CREATE TABLE huge (id int PRIMARY KEY, n int, t text)",
})

const lsnValue = (text) => text.split("/").reduce((high, low) => (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`))
const confirmedReaches = async (goal, what) => {
  await waitFor(async () => {
    const [{ confirmed_flush_lsn: at }] = await sql("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'electric_slot_default'")
    return lsnValue(at) >= lsnValue(goal)
  }, { what, timeout: 600_000 })
}
const now = async () => (await sql("SELECT pg_current_wal_lsn() AS lsn"))[0].lsn

// The items of a log, counted without keeping them.
async function count(params) {
  let items = 0, last = 0
  for (let offset = "-1", handle, done = false; !done;) {
    const answer = await copper.get({ ...params, offset, ...(handle && { handle }) })
    assert.equal(answer.status, 200, answer.text.slice(0, 300))
    handle = answer.headers["electric-handle"]
    offset = answer.headers["electric-offset"]
    done = "electric-up-to-date" in answer.headers
    for (const { headers } of answer.body) {
      items += headers.operation ? 1 : 0
      last += headers.last ? 1 : 0
    }
  }
  return { items, last }
}

test(`a transaction of ${rows} rows goes through in pieces, and is seen as one`, async () => {
  const shapes = [{ table: "mass" }, { table: "mass", where: "n % 10 = 3" }]
  for (const shape of shapes) await copper.get({ ...shape, offset: "-1" })
  // The text keeps what is on its way from fitting into any queue.
  await sql(`INSERT INTO mass SELECT i, i, 'row ' || i FROM generate_series(1, ${rows}) i`)
  const started = Date.now()
  const goal = await now()
  let peak = 0
  const watching = setInterval(() => (peak = Math.max(peak, copper.memory("RssAnon"))), 20)
  await confirmedReaches(goal, "the transaction is confirmed")
  clearInterval(watching)
  console.log(`# ${rows} rows: confirmed ${Date.now() - started} ms after the commit, RssAnon ${(peak / 2 ** 20).toFixed(1)} MiB at most`)
  if (!sanitized) assert.ok(peak < 160 * 2 ** 20, `RssAnon was ${peak}`)
  if (rows <= 1_000_000) {
    assert.deepEqual(await count(shapes[0]), { items: rows, last: 1 })
    assert.deepEqual(await count(shapes[1]), { items: Math.floor((rows + 7) / 10), last: 1 })
  }
  await sql("TRUNCATE mass")
})

test(`a row of ${megabytes} MB, in several shapes, changed without its large value`, async () => {
  const shapes = [{ table: "huge" }, { table: "huge", replica: "full" }, { table: "huge", where: "n > 0" }, { table: "huge", where: "t LIKE 'large%'" }]
  for (const shape of shapes) assert.equal((await copper.get({ ...shape, offset: "-1" })).status, 200)
  const size = megabytes * 1_000_000
  await sql(`INSERT INTO huge VALUES (1, 1, 'large' || repeat('x', ${size - 5}))`)
  await sql("UPDATE huge SET n = n + 1")
  await sql("UPDATE huge SET t = t || 'y'")
  await confirmedReaches(await now(), "the row is confirmed")
  for (const shape of shapes) {
    let offset = "-1", handle
    const seen = []
    for (let done = false; !done;) {
      const { status, headers, body } = await copper.get({ ...shape, offset, ...(handle && { handle }) })
      assert.equal(status, 200)
      handle = headers["electric-handle"]
      offset = headers["electric-offset"]
      done = "electric-up-to-date" in headers
      for (const item of body.filter(({ headers: { operation } }) => operation)) seen.push([item.headers.operation, item.value.n, item.value.t?.length])
    }
    const full = shape.replica === "full"
    assert.deepEqual(seen, [["insert", "1", size], ["update", "2", full ? size : undefined], ["update", full ? "2" : undefined, size + 1]], JSON.stringify(shape))
  }
  await sql("DELETE FROM huge")
  await confirmedReaches(await now(), "its end is confirmed")
})

test("a table joins while writers are in it: its first snapshot and what follows are all of it", async () => {
  await sql("CREATE TABLE busy (id int PRIMARY KEY, n int NOT NULL); INSERT INTO busy SELECT i, 0 FROM generate_series(0, 199) i")
  let writing = true, written = 0
  const writers = [1, 2, 3].map(async (number) => {
    const rng = chance(number)
    const client = await cluster.connect()
    for (; writing; written++) {
      const id = rng.below(200)
      await client.query(`BEGIN; UPDATE busy SET n = n + 1 WHERE id = ${id}; INSERT INTO busy VALUES (${number}000000 + ${written}, 0) ON CONFLICT DO NOTHING`)
      await client.query(rng.likely(0.1) ? "ROLLBACK" : "COMMIT")
    }
    await client.end()
  })
  await waitFor(() => written > 30, { what: "writers write" })
  const view = follow(copper, { table: "busy" })
  await view.upToDate()
  const goal = written + 60
  await waitFor(() => written > goal, { what: "writers go on" })
  writing = false
  await Promise.all(writers)
  await rowsBecome(view, cluster, "SELECT * FROM busy")
  assertOrdered(view)
  assert.equal(view.rotations, 0)
  view.close()
})

test("a table is altered in the middle of writes: readers start anew and have every row in its new form", async () => {
  await sql("CREATE TABLE form (id int PRIMARY KEY, n int NOT NULL); INSERT INTO form SELECT i, 0 FROM generate_series(0, 99) i")
  const view = follow(copper, { table: "form" })
  const some = follow(copper, { table: "form", where: "n >= 0" })
  await view.upToDate()
  await some.upToDate()
  let writing = true, written = 0
  const writers = [1, 2].map(async (number) => {
    const client = await cluster.connect()
    for (; writing; written++) await client.query(`UPDATE form SET n = n + 1 WHERE id = ${(written * 7 + number) % 100}`)
    await client.end()
  })
  for (const alter of ["ADD COLUMN extra text DEFAULT 'new'", "ALTER COLUMN n TYPE bigint", "DROP COLUMN extra", "ALTER COLUMN n TYPE int"]) {
    const goal = written + 15
    await waitFor(() => written > goal, { what: "writers write" })
    await sql(`ALTER TABLE form ${alter}`)
  }
  writing = false
  await Promise.all(writers)
  await waitFor(() => view.rotations > 0 && some.rotations + some.errors.length > 0, { what: "the readers start anew" })
  await sql("INSERT INTO form VALUES (500, 5)")
  await rowsBecome(view, cluster, "SELECT * FROM form")
  const late = follow(copper, { table: "form", where: "n >= 0" })
  await rowsBecome(late, cluster, "SELECT * FROM form WHERE n >= 0")
  for (const each of [view, some, late]) each.close()
})

test("Copper stands still for longer than wal_sender_timeout, in the middle of a transaction: it goes on, nothing is lost or doubled", async () => {
  const view = follow(copper, { table: "mass" })
  await view.upToDate()
  const walsender = async () => (await sql("SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'electric_slot_default'"))[0].active_pid
  const before = await walsender()
  await sql("INSERT INTO mass SELECT i, i, repeat('w', 10000) FROM generate_series(1, 3000) i")
  copper.process.kill("SIGSTOP")
  try {
    await waitFor(async () => (await walsender()) !== before, { what: "the walsender gives up" })
  } finally {
    copper.process.kill("SIGCONT")
  }
  await sql("UPDATE mass SET n = -1 WHERE id <= 100")
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM mass"), 3_000)
  assertOrdered(view)
  assert.equal(view.rotations, 0)
  view.close()
})

test("the disk is full for longer than wal_sender_timeout: the walsender stays, and what it has sent follows when there is room", async (context) => {
  const dir = tempDir("small-disk")
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=24m", "none", dir])
  if (mounted.status !== 0) return context.skip("no tmpfs can be mounted here")
  const other = await startCluster({ settings: ["wal_sender_timeout=2s"] })
  await other.sql("CREATE TABLE mass (id int PRIMARY KEY, t text)")
  const small = await startCopper({ cluster: other, storageDir: join(dir, "storage") })
  try {
    const view = follow(small, { table: "mass" })
    await view.upToDate()
    const walsender = async () => (await other.sql("SELECT active_pid FROM pg_replication_slots"))[0].active_pid
    const before = await walsender()
    await other.sql("INSERT INTO mass SELECT i, repeat('d', 1000) FROM generate_series(1, 40000) i")
    await waitFor(() => /replication pauses and tries again .*error="no space left on the disk"/.test(small.log),
      { what: "the log says that the disk is full" })
    assert.doesNotMatch(small.log, /input\/output error/i)
    const patient = Date.now() + 4500
    await waitFor(() => Date.now() > patient)
    assert.equal(await walsender(), before, "the walsender did not time out")
    assert.equal(spawnSync("mount", ["-o", "remount,size=200m", dir]).status, 0)
    await waitFor(() => (view.failIfGivenUp(), view.rows().length === 40_000), { what: "all rows are there" })
    assertOrdered(view)
    assert.equal(view.rotations, 0)
    assert.equal(await walsender(), before)

    // Full again, by somebody else this time, and killed there: what is stored is served, the rest follows when there is room.
    for (let i = 1; i <= 20; i++) await small.get({ table: "mass", where: `id <= 9 AND id <> ${i}`, offset: "-1" }) // rows for the metadata
    const filler = join(dir, "filler")
    assert.notEqual(spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4k"]).status, 0)
    small.log = ""
    await other.sql("UPDATE mass SET t = repeat('e', 1000) WHERE id <= 1000")
    await waitFor(() => small.log.includes("replication pauses and tries again"), { what: "the disk is full again" })
    await small.kill()
    await small.start()
    const served = await small.get({ table: "mass", offset: "-1", handle: view.handle() })
    assert.equal(served.status, 200)
    rmSync(filler)
    await rowsBecome(view, other, "SELECT * FROM mass")
    assert.equal(view.rotations, 0)
    view.close()
  } finally {
    await small.kill()
    spawnSync("umount", ["-l", dir])
    await other.stop("SIGQUIT")
  }
})
