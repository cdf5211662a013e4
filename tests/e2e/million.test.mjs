// 1,000,000 rows: every row once, and bounded memory from the first request to the last byte.
import assert from "node:assert/strict"
import { test } from "node:test"
import { sanitized, startBoth, waitFor } from "./support.mjs"

const rows = sanitized ? 100_000 : 1_000_000

test(`${rows} rows arrive once each while RssAnon stays under 32 MiB`, async () => {
  const { copper, sql } = await startBoth({
    schema: `CREATE TABLE million (id int PRIMARY KEY, a text, b int, c timestamptz);
      INSERT INTO million SELECT i, 'row number ' || i, i % 1000, '2024-01-01'::timestamptz + i * interval '1 second'
      FROM generate_series(1, ${rows}) i`,
  })
  const resting = copper.memory("RssAnon")
  let peak = resting
  const sampling = setInterval(() => (peak = Math.max(peak, copper.memory("RssAnon"))), 5)
  const seen = new Uint8Array(rows + 1)
  let handle
  let offset = "-1"
  for (let upToDate = false; !upToDate; ) {
    const answer = await copper.get({ table: "million", offset, ...(handle ? { handle } : {}) })
    assert.equal(answer.status, 200, answer.text.slice(0, 300))
    peak = Math.max(peak, copper.memory("RssAnon"))
    for (const { value, headers } of answer.body) {
      if (headers.operation === "insert") seen[Number(value.id)] += 1
    }
    handle = answer.headers["electric-handle"]
    offset = answer.headers["electric-offset"]
    upToDate = answer.headers["electric-up-to-date"] !== undefined
  }
  clearInterval(sampling)
  assert.equal(seen[0], 0)
  assert.ok(seen.subarray(1).every((times) => times === 1), "each row once")
  const mib = (bytes) => (bytes / 1048576).toFixed(1)
  console.log(`RssAnon: ${mib(resting)} MiB at rest, ${mib(peak)} MiB at most, ${mib(copper.memory("RssAnon"))} MiB at the end`)
  if (!sanitized) assert.ok(peak < 32 * 1048576, `${mib(peak)} MiB`)

  // The stream takes as many rows in one transaction, in bounded memory too.
  await sql("UPDATE million SET b = b + 1")
  peak = 0
  let updates = 0
  const sampling2 = setInterval(() => (peak = Math.max(peak, copper.memory("RssAnon"))), 5)
  while (updates < rows) {
    const answer = await copper.get({ table: "million", offset, handle, live: "true" })
    assert.equal(answer.status, 200, answer.text.slice(0, 300))
    updates += answer.body.filter(({ headers }) => headers.operation === "update").length
    offset = answer.headers["electric-offset"]
  }
  clearInterval(sampling2)
  assert.equal(updates, rows)
  console.log(`RssAnon: ${mib(peak)} MiB at most while ${rows} updates of one transaction arrive`)
  // A compaction holds up to CU_COMPACTION_BYTES and what it has to know of its items, and gives all of it back.
  if (!sanitized) assert.ok(peak < 160 * 1048576, `${mib(peak)} MiB`)
  if (!sanitized) await waitFor(() => copper.memory("RssAnon") < 32 * 1048576, { what: "the memory is given back" })
})
