// Tables that are renamed, dropped, made again or altered without a write: requests that read the catalog find out, and the
// shapes that do not fit any more end with that, long before the next look at all tables.
import assert from "node:assert/strict"
import { test } from "node:test"
import { startBoth, waitFor } from "./support.mjs"

const { copper, sql } = await startBoth({
  env: { ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD: "1h" },
  schema: ["renamed", "dropped", "again", "altered", "moved"]
    .map((table) => `CREATE TABLE ${table} (id int PRIMARY KEY, a text, b int); INSERT INTO ${table} SELECT i, 'x', i FROM generate_series(1, 5) i;`)
    .join("\n"),
})

// A shape, read to its end.
async function shapeOf(params) {
  const answer = await waitFor(async () => {
    const got = await copper.get({ ...params, offset: "-1" })
    return got.status === 200 && got
  })
  return { ...params, handle: answer.headers["electric-handle"], offset: answer.headers["electric-offset"] }
}

const status = async (shape) => (await copper.get(shape)).status
const ends = (shape) => waitFor(async () => (await status(shape)) !== 200, { what: `the end of ${JSON.stringify(shape)}`, timeout: 10_000 })
// Whoever creates a shape from what the cache says of a table is told to ask again.
const asked = (params, wanted) =>
  waitFor(async () => (await status({ ...params, offset: "-1" })) === wanted, { what: `${wanted} for ${JSON.stringify(params)}`, timeout: 10_000 })

test("a table that has another name now, in its schema or another: a request for the new name ends the shapes of the old one", async () => {
  const shape = await shapeOf({ table: "renamed" })
  await sql("ALTER TABLE renamed RENAME TO renamed2")
  assert.equal(await status(shape), 200) // nobody could know
  await asked({ table: "renamed2" }, 200)
  await ends(shape)
  const moved = await shapeOf({ table: "moved" })
  await sql("CREATE SCHEMA there; ALTER TABLE moved SET SCHEMA there")
  await asked({ table: "there.moved" }, 200)
  await ends(moved)
})

test("a table that is gone: a request that finds out ends its shapes", async () => {
  const shapes = [await shapeOf({ table: "dropped" }), await shapeOf({ table: "dropped", columns: "id,a" })]
  await sql("DROP TABLE dropped")
  await asked({ table: "dropped", where: "id > 1" }, 400)
  for (const shape of shapes) await ends(shape)
})

test("a table that was dropped and made again: a new shape of it ends those of the old one", async () => {
  const shapes = [await shapeOf({ table: "again" }), await shapeOf({ table: "again", columns: "id,a" })]
  await sql("DROP TABLE again; CREATE TABLE again (id int PRIMARY KEY, a text, b int)")
  await asked({ table: "again", where: "id > 1" }, 200)
  for (const shape of shapes) await ends(shape)
  assert.deepEqual((await copper.get({ table: "again", offset: "-1" })).body.filter(({ key }) => key), [])
})

test("columns that changed: a new shape ends those that have them, others stay", async () => {
  const all = await shapeOf({ table: "altered" })
  const filtered = await shapeOf({ table: "altered", columns: "id,a", where: "b > 2" })
  const listed = await shapeOf({ table: "altered", columns: "id,a" })
  await sql("ALTER TABLE altered ALTER b TYPE bigint")
  await asked({ table: "altered", where: "id > 1" }, 200)
  for (const shape of [all, filtered]) await ends(shape)
  assert.equal(await status(listed), 200)
})
