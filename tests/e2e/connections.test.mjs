// The ways to the database: TLS with a private authority, IPv6, a pooler in transaction mode, a refused password; and what
// /v1/health says while the database is away.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import pg from "pg"
import { follow, giveToPostgres, rowsBecome, startCluster, startCopper, startPgBouncer, tempDir, waitFor } from "./support.mjs"

const dir = tempDir("tls")
giveToPostgres(dir)
const openssl = (...args) => execFileSync("openssl", args, { cwd: dir, stdio: ["ignore", "ignore", "pipe"] })
const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
for (const name of ["ours", "other"]) {
  openssl("req", "-x509", ...key, "-days", "2", "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.crt`)
}
// The server's certificate names localhost, not 127.0.0.1.
openssl("req", ...key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
writeFileSync(join(dir, "names"), "subjectAltName=DNS:localhost\n")
openssl("x509", "-req", "-in", "server.csr", "-CA", "ours.crt", "-CAkey", "ours.key", "-CAcreateserial", "-days", "2",
  "-extfile", "names", "-out", "server.crt")
// Everybody is trusted but app, who needs a password.
writeFileSync(join(dir, "hba"), ["host all,replication app all scram-sha-256", "host all,replication all all trust", ""].join("\n"))
giveToPostgres(...["server.key", "server.crt", "hba"].map((name) => join(dir, name)))

const cluster = await startCluster({
  settings: ["listen_addresses=127.0.0.1,::1", "ssl=on", `ssl_cert_file=${dir}/server.crt`, `ssl_key_file=${dir}/server.key`,
    `hba_file=${dir}/hba`],
})
const { sql } = cluster
await sql(`CREATE TABLE items (id int PRIMARY KEY, at timestamptz, span interval, bytes bytea);
  INSERT INTO items SELECT i, timestamptz '2024-02-29 12:00+00' + i * interval '1 day', i * interval '90 min', '\\x00ff' FROM generate_series(1, 50) i;
  CREATE ROLE app LOGIN SUPERUSER PASSWORD 'right';
  CREATE ROLE reader LOGIN; GRANT SELECT ON items TO reader;
  ALTER ROLE reader SET statement_timeout = '54321ms'; ALTER ROLE reader SET IntervalStyle = 'sql_standard';
  ALTER ROLE reader SET DateStyle = 'SQL, MDY'; ALTER ROLE reader SET bytea_output = 'escape'`)

const health = async (copper) => (await copper.get({}, { path: "/v1/health" })).body.status
const at = (url) => ({ ...cluster, url })

async function servesItems(copper) {
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  await sql("UPDATE items SET span = span * 2 WHERE id <= 3")
  await rowsBecome(view, cluster, "SELECT * FROM items")
  view.close()
}

test("TLS: the CA file verifies the server; a wrong authority or host is a clear error", async () => {
  const url = `postgresql://postgres@localhost:${cluster.port}/postgres`
  const copper = await startCopper({ cluster: at(url), env: { ELECTRIC_DATABASE_CA_CERTIFICATE_FILE: join(dir, "ours.crt") } })
  await servesItems(copper)
  const [{ plain }] = await sql(`SELECT count(*) AS plain FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
    WHERE application_name = 'copper' AND NOT ssl`)
  assert.equal(plain, "0")
  await copper.stop()
  for (const [what, bad, ca, words] of [
    ["another authority", url, "other.crt", /certificate verify failed/],
    ["another host", url.replace("localhost", "127.0.0.1"), "ours.crt", /certificate for .*localhost.* does not match host name/],
    ["no such file", url, "missing.crt", /missing\.crt.* does not exist/],
  ]) {
    const refused = await startCopper({ cluster: at(bad), env: { ELECTRIC_DATABASE_CA_CERTIFICATE_FILE: join(dir, ca) }, waitActive: false })
    await waitFor(() => words.test(refused.log), { what })
    assert.match(refused.log, /replication cannot start.*ELECTRIC_DATABASE_CA_CERTIFICATE_FILE.*does not pass by itself/)
    assert.equal(await health(refused), "starting")
    await refused.stop()
  }
})

test("sslmode=disable and a CA file contradict each other: it does not start", async () => {
  const copper = await startCopper({ cluster, env: { ELECTRIC_DATABASE_CA_CERTIFICATE_FILE: join(dir, "ours.crt") }, waitActive: false })
  await waitFor(() => copper.process.exitCode !== null, { what: "it ends" })
  assert.match(copper.log, /sslmode=disable/)
  await copper.kill()
})

test("IPv6: to the database, and to us", async () => {
  const copper = await startCopper({
    cluster: at(`postgresql://postgres@[::1]:${cluster.port}/postgres`),
    env: { ELECTRIC_DATABASE_USE_IPV6: "true", ELECTRIC_LISTEN_ON_IPV6: "true" },
  })
  await servesItems(copper)
  assert.equal((await fetch(`http://[::1]:${copper.port}/v1/health`)).status, 200)
  const [{ addresses }] = await sql("SELECT string_agg(DISTINCT client_addr::text, ',') AS addresses FROM pg_stat_activity WHERE application_name = 'copper'")
  assert.equal(addresses, "::1/128")
  await copper.stop()
})

test("a pooled URL through PgBouncer in transaction mode: snapshots use it, and leave its sessions as they were", async () => {
  const bouncer = await startPgBouncer({ cluster, users: ["reader"] })
  await sql("CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh SELECT generate_series(1, 20); GRANT SELECT ON fresh TO reader")
  const copper = await startCopper({ cluster, env: { ELECTRIC_POOLED_DATABASE_URL: bouncer.url("reader") } })
  await servesItems(copper)
  // The role of the pooled URL may only read: publication and replica identity are altered by the other.
  const views = Array.from({ length: 12 }, (_, i) => follow(copper, { table: "fresh", where: `id > ${i}` }))
  for (const [i, view] of views.entries()) await rowsBecome(view, cluster, `SELECT * FROM fresh WHERE id > ${i}`)
  for (const view of views) view.close()
  const activity = await sql("SELECT usename, backend_type, query FROM pg_stat_activity WHERE application_name = 'copper'")
  assert.ok(activity.some((row) => row.usename === "reader"), "snapshots went through the pooler")
  assert.ok(activity.every((row) => row.usename === "postgres" || row.backend_type === "client backend"))
  const [{ held_by: holder }] = await sql(`SELECT usename AS held_by FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'`)
  assert.equal(holder, "postgres")
  const client = new pg.Client({ connectionString: bouncer.url("reader") })
  await client.connect()
  for (const [name, value] of [["statement_timeout", "54321ms"], ["IntervalStyle", "sql_standard"], ["bytea_output", "escape"], ["search_path", '"$user", public']]) {
    const { rows } = await client.query(`SELECT current_setting('${name}') AS value`)
    assert.equal(rows[0].value, value)
  }
  await client.end()
  await copper.stop()
  await bouncer.stop()
})

test("a wrong password is said to be permanent; once it is right, Copper goes on by itself", async () => {
  const copper = await startCopper({ cluster: at(cluster.url.replace("postgres@", "app:wrong@")), waitActive: false })
  await waitFor(() => /password authentication failed.*SQLSTATE 28P01.*does not pass by itself/.test(copper.log), { what: "the log says so" })
  assert.doesNotMatch(copper.log, /wrong/)
  assert.equal(await health(copper), "starting")
  await sql("ALTER ROLE app PASSWORD 'wrong'")
  await waitFor(async () => (await health(copper)) === "active", { what: "it connects" })
  await copper.stop()
})

test("while the database is away, health says starting, and shapes go on being served", async () => {
  const copper = await startCopper({ cluster })
  const view = follow(copper, { table: "items" })
  await rowsBecome(view, cluster, "SELECT * FROM items")
  view.close()
  await cluster.stop()
  await waitFor(async () => (await health(copper)) === "starting", { what: "health says starting" })
  assert.equal((await copper.get({}, { path: "/v1/health" })).status, 202)
  assert.equal((await copper.get({ table: "items", offset: "-1", handle: view.handle() })).status, 200)
  await cluster.start()
  await waitFor(async () => (await health(copper)) === "active", { what: "health says active" })
  await copper.stop()
})
