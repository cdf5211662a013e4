// Who may alter what: manual publishing, and a role that owns neither tables nor publication. Each refusal says what is
// missing, in the original's words, and the statements that its owner must run; running them is enough.
import assert from "node:assert/strict"
import { test } from "node:test"
import { follow, rowsBecome, startCluster, startCopper, waitFor } from "./support.mjs"

const cluster = await startCluster()
const { sql } = cluster
await sql("CREATE ROLE limited LOGIN REPLICATION")
const limited = { ...cluster, url: cluster.url.replace("postgres@", "limited@") }

// The statements behind "Run: " of a refusal.
const remedy = (message) => message.slice(message.indexOf(". Run: ") + ". Run: ".length)

async function refused(copper, table, words) {
  const { status, body, headers } = await copper.get({ table, offset: "-1" })
  assert.equal(status, 503, JSON.stringify(body))
  assert.ok(headers["retry-after"])
  assert.match(body.message, words)
  return body.message
}

test("manual publishing: a missing publication, table, replica identity are named one by one", async () => {
  await sql(`CREATE TABLE "Odd Name" (id int PRIMARY KEY, t text); INSERT INTO "Odd Name" VALUES (1, 'x')`)
  const copper = await startCopper({ cluster, env: { ELECTRIC_MANUAL_TABLE_PUBLISHING: "true" }, waitActive: false })
  const words = /publication .{0,1}"electric_publication_default.{0,1}" does not exist and manual table publishing is on: run (CREATE PUBLICATION .{0,1}"electric_publication_default.{0,1}")/
  await waitFor(() => words.test(copper.log), { what: "the log names the publication" })
  await sql(copper.log.match(words)[1].replaceAll("\\", ""))
  await waitFor(async () => (await copper.get({}, { path: "/v1/health" })).status === 200, { what: "it goes on by itself" })
  const table = '"Odd Name"'
  let message = await refused(copper, table, /^Database table "public\.Odd Name" is missing from the publication "electric_publication_default" and the ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it\. Run: ALTER PUBLICATION/)
  await sql(remedy(message).split(";")[0])
  message = await refused(copper, table, /^Database table "public\.Odd Name" does not have its replica identity set to FULL\. Run: ALTER TABLE ONLY "public"\."Odd Name" REPLICA IDENTITY FULL;$/)
  await sql(remedy(message))
  const view = follow(copper, { table })
  await rowsBecome(view, cluster, 'SELECT * FROM "Odd Name"')
  await sql(`INSERT INTO "Odd Name" VALUES (2, 'y')`)
  await rowsBecome(view, cluster, 'SELECT * FROM "Odd Name"')
  view.close()
  await copper.stop()
  await sql("SELECT pg_drop_replication_slot('electric_slot_default'); DROP PUBLICATION electric_publication_default")
})

test("a role that may not create the publication is told what to run", async () => {
  const copper = await startCopper({ cluster: limited, waitActive: false })
  await waitFor(() => /run CREATE PUBLICATION .*electric_publication_default.* as the database's owner, or GRANT CREATE ON DATABASE/.test(copper.log), { what: "the log says so" })
  assert.match(copper.log, /does not pass by itself/)
  await sql("GRANT CREATE ON DATABASE postgres TO limited")
  await waitFor(async () => (await copper.get({}, { path: "/v1/health" })).status === 200, { what: "it goes on by itself" })
  // It owns the publication now, but not the tables.
  await sql("CREATE TABLE theirs (id int PRIMARY KEY, t text); INSERT INTO theirs VALUES (1, 'a'); GRANT SELECT ON theirs TO limited")
  const message = await refused(copper, "theirs", /^Database table "public\.theirs" is missing from the publication "electric_publication_default" and Electric lacks privileges to add it\. Run: ALTER PUBLICATION .* ADD TABLE "public"\."theirs"; ALTER TABLE ONLY "public"\."theirs" REPLICA IDENTITY FULL;$/)
  await sql(remedy(message))
  const view = follow(copper, { table: "theirs" })
  await rowsBecome(view, cluster, "SELECT * FROM theirs")
  await sql("UPDATE theirs SET t = 'b'")
  await rowsBecome(view, cluster, "SELECT * FROM theirs")
  view.close()
  await sql("CREATE TABLE secret (id int PRIMARY KEY); ALTER TABLE secret REPLICA IDENTITY FULL; ALTER PUBLICATION electric_publication_default ADD TABLE secret")
  await refused(copper, "secret", /permission denied for table secret/)
  await copper.stop()
})
