// Every error answer: status, body and headers, as Electric gives them (PROTOCOL.md, reference/, its params.ex, api.ex,
// router.ex). Each row of a table is a request and all of its answer but date, length, request id and server.
import assert from "node:assert/strict"
import http from "node:http"
import net from "node:net"
import { test } from "node:test"
import { pgMajor, startBoth, startCluster, startCopper, waitFor } from "./support.mjs"

const { copper } = await startBoth({
  schema: `
    CREATE TABLE items (id int PRIMARY KEY, title text NOT NULL, n int);
    INSERT INTO items VALUES (1, 'one', 10);
    CREATE TABLE generated (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);`,
  env: {
    ELECTRIC_LONG_POLL_TIMEOUT: "1000", ELECTRIC_ENABLE_INTEGRATION_TESTING: "true",
    ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":300,"existing":2}',
  },
})
const initial = await copper.get({ table: "items", offset: "-1" })
const handle = initial.headers["electric-handle"]

// node:http leaves the headers and the path as they are.
function request(path, { method = "GET", headers = {}, body, port = copper.port } = {}) {
  return new Promise((resolve, reject) => {
    const sent = http.request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (piece) => (text += piece))
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }))
    })
    sent.on("error", reject)
    sent.end(body)
  })
}

const expose = "electric-cursor,electric-handle,electric-has-data,electric-offset,electric-schema,electric-up-to-date," +
  "electric-internal-known-error,retry-after"
const cors = (methods) => ({
  "access-control-allow-origin": "*", "access-control-expose-headers": expose, "access-control-allow-methods": methods,
})
const shapeCors = cors("GET, POST, HEAD, DELETE, OPTIONS")
const json = { "content-type": "application/json; charset=utf-8", vary: "accept-encoding" }
const noStore = { ...shapeCors, ...json, "cache-control": "no-store", "surrogate-control": "no-store" }
const noCache = { ...shapeCors, ...json, "cache-control": "no-cache" }
const plain = { vary: "accept-encoding", "cache-control": "max-age=0, private, must-revalidate" }
const incidental = ["date", "content-length", "x-request-id", "electric-server", "connection", "keep-alive", "transfer-encoding"]

async function expectAnswer(path, options, status, text, headers) {
  const answer = await request(path, options)
  const what = `${options?.method ?? "GET"} ${path} ${options?.body ?? ""}`
  assert.equal(answer.text, text, what)
  assert.equal(answer.status, status, what)
  const left = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !incidental.includes(name)))
  assert.deepEqual(left, headers, what)
  assert.match(answer.headers["electric-server"], /^Copper\//)
  assert.ok(answer.headers["x-request-id"].length >= 20)
  return answer
}

const query = (params) => `/v1/shape?${typeof params === "string" ? params : new URLSearchParams(params)}`
const invalid = (errors) => JSON.stringify({ message: "Invalid request", errors })

// [parameters, errors]; each with GET, and with POST, where a cache never stores an answer. offset=-1 and the table are
// added to parameters that are an object without them.
const refusals = [
  ["", { offset: ["can't be blank"] }],
  ["table=items", { offset: ["can't be blank"] }],
  ["table=items&offset=", { offset: ["can't be blank"] }],
  ["offset=-1", { table: ["can't be blank"] }],
  ["offset=-1&table=", { table: ["can't be blank"] }],
  ["table=items&offset[]=-1", { offset: ["is invalid"] }],
  ["table[]=items&offset=-1", { table: ["is invalid"] }],
  ...["abc", "invalid", "0_-1", "-2", "1", "1_", "_1", "0_0_0", "18446744073709551616_0"].map((offset) =>
    [{ offset }, { offset: ["has invalid format"] }]),
  [{ offset: "0_0" }, { handle: ["can't be blank when offset != -1"] }],
  [{ offset: "0_0", handle: "" }, { handle: ["can't be blank when offset != -1"] }],
  [{ live: "true" }, { live: ["can't be true when offset == -1"] }],
  [{ offset: "now", live: "true" }, { live: ["can't be true when offset is 'now'"] }],
  [{ live_sse: "true" }, { live_sse: ["can't be true unless live is also true"] }],
  [{ experimental_live_sse: "true" }, { live_sse: ["can't be true unless live is also true"] }],
  [{ experimental_live_sse: "maybe" }, { live_sse: ["is invalid"] }],
  [{ replica: "half" }, { replica: ["is invalid"] }],
  [{ log: "some" }, { log: ["is invalid"] }],
  [{ experimental_compaction: "x" }, { experimental_compaction: ["is invalid"] }],
  [{ params: "x" }, { params: ["is invalid"] }],
  // Several wrong values are told together; what the next stage would find is not.
  [{ offset: "abc", replica: "half", log: "some" }, { replica: ["is invalid"], log: ["is invalid"] }],
  [{ offset: "abc", table: "" }, { offset: ["has invalid format"] }],
  // Tables.
  [{ table: "nope" }, { table: [
    'Table "public"."nope" does not exist. If the table name contains capitals or special characters you must quote it.'] }],
  [{ table: "Other.Nope" }, { table: [
    'Table "other"."nope" does not exist. If the table name contains capitals or special characters you must quote it.'] }],
  [{ table: '"Nope"' }, { table: [
    'Table "public"."Nope" does not exist. If the table name contains capitals or special characters you must quote it.'] }],
  [{ table: ".items" }, { table: ["Invalid zero-length delimited identifier"] }],
  [{ table: "a.b.c" }, { table: ["Invalid relation identifier, too many delimiters: a.b.c"] }],
  [{ table: "foob@r" }, { table: ["Invalid unquoted identifier contains special characters: foob@r"] }],
  [{ table: "x".repeat(64) }, { table: ["Identifier is too long (max length is 63)"] }],
  // Columns.
  [{ columns: "title" }, { columns: ["The list of columns must include all primary key columns, missing: id"] }],
  [{ columns: "id,nope,neither" }, { columns: ["The following columns are not found on the table: nope, neither"] }],
  [{ columns: "id," }, { columns: ["Invalid zero-length delimited identifier"] }],
  [{ columns: '"id,"title"' }, { columns: ['Invalid unquoted identifier contains special characters: "id'] }],
  ...(pgMajor >= 18 ? [] : [
    [{ table: "generated" }, { columns: [
      "The following columns are generated and cannot be included in the shape: twice. You can exclude them from the shape by " +
      "explicitly listing which columns to fetch in the 'columns' query param"] }],
    [{ table: "generated", columns: "id,twice" }, { columns: [
      "The following columns are generated and cannot be included in the shape: twice"] }],
  ]),
  // Where clauses: the syntax first, then the parameters' numbers, then what it means.
  [{ where: "id = = 1" }, { where: ['At location 20: syntax error at or near "="'] }],
  [{ where: "1 x 1", "params[a]": "1" }, { where: ['At location 17: syntax error at or near "x"'] }],
  [{ where: "id = $1", "params[a]": "1" }, { params: ["Parameters can only use numbers as keys"] }],
  [{ where: "zz = $1", "params[2]": "1" }, { params: ["Parameters must be numbered sequentially, starting from 1"] }],
  [{ where: "zz = 1" }, { where: ["At location 0: unknown reference zz"] }],
  ...(pgMajor >= 18 ? [] : [
    [{ table: "generated", columns: "id,n", where: "n = 1 AND generated.twice = 2" }, { where: [
      "At location 10: column generated.twice is generated, and Postgres' replication stream does not have it (a stored one only " +
      "from Postgres 18 on). Write the expression that it is generated by"] }],
  ]),
  [{ where: "id = $1" }, { where: ["At location 5: parameter $1 was not provided"] }],
  [{ where: "id IN (SELECT 1)" }, { where: ["Subqueries are not supported"] }],
  // Columns come before the clause, the table before both.
  [{ columns: "title", where: "zz = 1" }, { columns: ["The list of columns must include all primary key columns, missing: id"] }],
]

for (const [method, headers] of [["GET", noStore], ["POST", noCache]]) {
  test(`a request that does not validate is 400 with its complaints, by ${method}`, async () => {
    for (const [params, errors] of refusals) {
      const path = query(typeof params === "string" ? params : { table: "items", offset: "-1", ...params })
      await expectAnswer(path, { method }, 400, invalid(errors), headers)
    }
  })
}

test("parameters without a clause mean nothing", async () => {
  const { status, headers } = await request(query({ table: "items", offset: "-1", "params[7]": "x" }))
  assert.deepEqual([status, headers["electric-handle"]], [200, handle])
})

test("an offset beyond the end is 400 after half the long-poll time", async () => {
  const started = Date.now()
  await expectAnswer(query({ table: "items", offset: "999999999999999_0", handle }), {}, 400,
    invalid({ offset: ["out of bounds for this shape"] }), noStore)
  assert.ok(Date.now() - started >= 450)
})

test("an unknown handle is 409 with the handle to go on with, kept for a minute", async () => {
  const headers = { ...shapeCors, ...json, "cache-control": "public, max-age=60, must-revalidate", "electric-handle": handle,
    etag: `"${handle}::"` }
  const body = '[{"headers":{"control":"must-refetch"}}]'
  await expectAnswer(query({ table: "items", offset: "0_0", handle: "1-2" }), {}, 409, body, headers)
  await expectAnswer(query({ table: "items", offset: "0_0", handle: "1-2", live: "true" }), {}, 409, body, headers)
  // A handle of another definition is one that is not there.
  const other = await request(query({ table: "items", offset: "-1", where: "id > 1" }))
  await expectAnswer(query({ table: "items", offset: "0_0", handle: other.headers["electric-handle"] }), {}, 409, body, headers)
})

test("a body that cannot be read is 400 with an error", async () => {
  const path = query({ table: "items", offset: "-1" })
  const post = (body) => ({ method: "POST", body })
  await expectAnswer(path, post("[1]"), 400, '{"error":"Request body must be a JSON object"}', noCache)
  await expectAnswer(path, post("1"), 400, '{"error":"Request body must be a JSON object"}', noCache)
  const { status, text } = await request(path, post("{nonsense"))
  assert.equal(status, 400)
  assert.equal(JSON.parse(text).error, "Invalid JSON in request body")
  assert.equal(typeof JSON.parse(text).details, "string")
  assert.equal((await request(path, post(""))).status, 200)
  assert.equal((await request(path, post("{}"))).status, 200)
})

test("paths and methods that are nobody's are 404", async () => {
  const other = { ...plain, ...cors("GET, HEAD") }
  for (const [path, method] of [
    ["/v1/nothing", "GET"], ["/v1/shap", "GET"], ["/v2/shape", "GET"], ["/v1", "GET"], ["/v1/shape%2F", "GET"],
    ["/", "POST"], ["/", "OPTIONS"], ["/v1/health", "POST"], ["/v1/health", "OPTIONS"], ["/v1/health/x", "GET"],
  ]) {
    await expectAnswer(path, { method }, 404, "Not found", other)
  }
  for (const [path, method] of [["/v1/shape", "PUT"], ["/v1/shape", "PATCH"], ["/v1/shape/x", "GET"]]) {
    await expectAnswer(path, { method }, 404, "Not found", { ...plain, ...shapeCors })
  }
  await expectAnswer("/v1/nothing", { method: "HEAD" }, 404, "", other)
})

test("root, health, OPTIONS and HEAD", async () => {
  await expectAnswer("/", {}, 200, "", { ...plain, ...cors("GET, HEAD") })
  await expectAnswer("/v1/health", {}, 200, '{"status":"active"}',
    { ...json, ...cors("GET, HEAD"), "cache-control": "no-cache, no-store, must-revalidate" })
  await expectAnswer("/v1/health", { method: "HEAD" }, 200, "",
    { ...json, ...cors("GET, HEAD"), "cache-control": "no-cache, no-store, must-revalidate" })
  const options = { ...shapeCors, "access-control-max-age": "86400" }
  await expectAnswer("/v1/shape", { method: "OPTIONS" }, 204, "", options)
  await expectAnswer("/v1/shape?whatever", { method: "OPTIONS", headers: { "access-control-request-headers": "x-other" } }, 204, "", options)
  await expectAnswer("/v1/shape", { method: "OPTIONS", headers: { "access-control-request-headers": "If-None-Match, x-other,traceparent" } },
    204, "", { ...options, "access-control-allow-headers": "if-none-match,traceparent" })
  await expectAnswer(query("table=nope&offset=-1"), { method: "HEAD" }, 400, "", noStore)
  // Written otherwise, a path is still the same one.
  for (const path of ["//v1/shape", "/v1//shape/", "/v1/%73hape"]) {
    await expectAnswer(`${path}?table=items`, {}, 400, invalid({ offset: ["can't be blank"] }), noStore)
  }
})

test("DELETE: 404 for what is not there, 400 for what does not fit together, 202", async () => {
  const drop = (params, status, body, headers = noCache) => expectAnswer(query(params), { method: "DELETE" }, status, body, headers)
  await drop("", 400, invalid({ handle: ["can't be blank when shape definition is missing"] }))
  await drop("table=a.b.c", 400, invalid({ table: ["Invalid relation identifier, too many delimiters: a.b.c"] }))
  await drop("table=items&live=banana", 400, invalid({ live: ["is invalid"] }))
  await drop("handle=1-2", 404, '{"message":"No existing shape found"}')
  await drop({ table: "items", where: "id = 77" }, 404, '{"message":"No existing shape found"}')
  await drop({ table: "items", handle: "1-2" }, 400, JSON.stringify({
    message: "The specified shape definition and handle do not match. Please ensure the shape definition is correct or " +
      "omit the shape handle from the request to obtain a new one." }))
  const doomed = (await request(query({ table: "items", offset: "-1", where: "id = 5" }))).headers["electric-handle"]
  await drop({ handle: doomed }, 202, "", { ...noCache, "electric-has-data": "true" })
})

test("over the limit of requests at the same time: 503 with a code, and times that differ", async () => {
  const live = query({ table: "items", offset: "0_inf", handle, live: "true" })
  const times = new Set()
  const over = { ...noStore, "electric-internal-known-error": "true" }
  for (let round = 0; round < 100 && times.size < 2; round++) {
    const waiting = [request(live), request(live)]
    const answers = await Promise.all([...waiting, ...Array.from({ length: 6 }, () => request(live))])
    for (const { status, headers, text } of answers) {
      if (status === 200) continue
      assert.equal(status, 503)
      assert.equal(text, '{"code":"concurrent_request_limit_exceeded",' +
        '"message":"Concurrent existing request limit exceeded (limit: 2), please retry"}')
      const left = Object.fromEntries(Object.entries(headers).filter(([name]) => !incidental.includes(name)))
      const after = left["retry-after"]
      delete left["retry-after"]
      assert.deepEqual(left, over)
      assert.ok(Number(after) >= 6 && Number(after) <= 10, `retry-after ${after}`)
      times.add(after)
    }
    assert.ok(answers.filter(({ status }) => status === 200).length >= 2)
  }
  assert.ok(times.size >= 2)
})

test("a request counts as a first one until its answer begins, and not at all when it names a shape that is there", async () => {
  const cluster = await startCluster()
  await cluster.sql(`
    CREATE TABLE items (id int PRIMARY KEY); CREATE TABLE locked (id int PRIMARY KEY);
    CREATE TABLE large (id int PRIMARY KEY, t text); INSERT INTO large SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i`)
  const narrow = await startCopper({ cluster, env: {
    ELECTRIC_MAX_CONCURRENT_REQUESTS: '{"initial":1,"existing":10}', ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: "100MiB" } })
  const { port } = narrow
  const first = await request(query("table=items&offset=-1"), { port })
  assert.equal(first.status, 200)
  assert.equal((await request(query("table=large&offset=-1"), { port })).status, 200)
  // It reads nothing of a long answer: all of that is another kind of waiting.
  const lazy = net.connect(port, "127.0.0.1")
  lazy.write("GET /v1/shape?table=large&offset=-1 HTTP/1.1\r\nHost: x\r\n\r\n")
  await new Promise((resolve) => lazy.once("readable", resolve))
  await waitFor(async () => (await request(query("table=items&offset=-1"), { port })).status === 200)
  // The only place for first requests is taken while a snapshot waits for the table's lock.
  const writer = await cluster.connect()
  await writer.query("BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
  const waiting = [request(query("table=locked&offset=-1"), { port })]
  await waitFor(async () =>
    (await cluster.sql("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")).length > 0, { what: "the snapshot waits" })
  const unheardOf = () => request(query({ table: "items", offset: "-1", where: "id = 1" }), { port })
  const answer = await unheardOf()
  assert.equal(answer.status, 503)
  const refused = JSON.parse(answer.text)
  assert.equal(refused.message, "Concurrent initial request limit exceeded (limit: 1), please retry")
  assert.equal((await request(query(`table=items&offset=-1&handle=${first.headers["electric-handle"]}`), { port })).status, 200)
  // Nor is there a limit of one for what waits for a snapshot that is being made, or needs none.
  assert.equal((await request(query("table=items&offset=-1"), { port })).status, 200)
  for (let i = 0; i < 5; i++) waiting.push(request(query("table=locked&offset=-1"), { port }))
  await writer.query("COMMIT")
  assert.deepEqual((await Promise.all(waiting)).map(({ status }) => status), [200, 200, 200, 200, 200, 200])
  await writer.end()
  lazy.destroy()
  await narrow.stop()
  await cluster.stop()
})

test("DELETE where it is not enabled is 405; without the secret 401; without the database 503", async () => {
  const cluster = await startCluster()
  await cluster.sql("CREATE TABLE items (id int PRIMARY KEY)")
  const locked = await startCopper({ cluster, insecure: false, env: { ELECTRIC_SECRET: "s" } })
  const { port } = locked
  await expectAnswer(query("table=items&secret=s"), { port, method: "DELETE" }, 405, '{"message":"DELETE not allowed"}', noCache)
  // Before anything else is looked at. Unlike the original's it says so to a browser as well, and to caches.
  const unauthorized = '{"message":"Unauthorized - Invalid API secret"}'
  for (const path of [query(""), query("table=nope&offset=x&secret=no"), "/v1//shape", "/v1/%73hape?offset=-1"]) {
    await expectAnswer(path, { port }, 401, unauthorized, noStore)
    await expectAnswer(path, { port, method: "DELETE" }, 401, unauthorized, noCache)
  }
  await expectAnswer("/v1/nothing", { port }, 404, "Not found", { ...plain, ...cors("GET, HEAD") })
  await cluster.stop()
  await waitFor(async () => (await request(query("table=items&offset=-1&secret=s"), { port })).status === 503)
  const { headers, text } = await request(query("table=items&offset=-1&secret=s"), { port })
  assert.equal(typeof JSON.parse(text).message, "string")
  assert.equal(headers["cache-control"], "no-store")
  assert.ok(Number(headers["retry-after"]) > 0)
  await locked.stop()
})
