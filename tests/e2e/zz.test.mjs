// Much at once: a transaction larger than memory would like, a row of 100 MB, a disk that pauses while the walsender's patience is short,
// a table that joins and one that changes while writers are in them.
// LARGE_ROWS=5000000 and LARGE_MB=100 are the sizes that are promised; the defaults keep the suite short.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
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
  await sql("SELECT pg_create_logical_replication_slot('yard','pgoutput')");
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
  console.log("# server", copper.memory("VmHWM")/2**20)
  const t0=Date.now();
  const r=spawnSync("/usr/lib/postgresql/15/bin/pg_recvlogical",["-d",cluster.url,"-S","yard","--start","-f","/dev/null","-o","proto_version=1","-o","publication_names=electric_publication_default","-E",await now()],{encoding:"utf8"});
  console.log("# pg_recvlogical", Date.now()-t0, "ms", r.status, r.stderr.slice(0,200));
  await sql("SELECT pg_drop_replication_slot('yard')");
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
