// mutations.mjs: requests that are nearly right. A request is { method, path, query (pairs), headers, body } (wire.mjs).
import { requestBytes } from "./wire.mjs"

// Fine by themselves, but maybe not for each row; or not ours.
const clauses = ["n * 2000000000 > 1", "n::smallint + 32767 > 0", "t LIKE 'a\\'", "t ILIKE $1", "a[1] = 'x'", "a && ARRAY['a', NULL]",
  "j ->> 'a' = 'b'", "x / 0 > 1", "t::int > 3", "t ~ '('", "lower(t) = 'a' AND NOT (n = ANY ('{1,2}'))", "b IS DISTINCT FROM '\\x00'", "region <> 1",
  "repeat(t, 100000) = 'x'", "id IN (SELECT 1)", "pg_sleep(9) IS NULL", "now() > '2020-01-01'", "true", "n = 1; SELECT 1", "n /* */ = 1 --", "\"N\" = 1"]

const oddValues = (rng, known) => rng.pick([
  () => "", () => "-1", () => "now", () => "0_inf", () => "0_0", () => `${rng.below(2 ** 31)}_${rng.below(9)}`,
  () => "18446744073709551615_18446744073709551615", () => "18446744073709551616_0", () => "9223372036854775808_0", () => "1_-1", () => "inf",
  () => "true", () => "false", () => "full", () => "changes_only", () => "TRUE", () => "0", () => "x".repeat(rng.below(3000)),
  () => "ü🙂\u0000\u0001", () => "'; DROP TABLE odd; --", () => '"', () => '"odd', () => "odd.odd.odd", () => "id = 1", () => "id = ",
  () => "(".repeat(rng.below(2000)), () => `id IN (${Array.from({ length: rng.below(500) }, (_, i) => i)})`, () => "n / (n - 3) > 1", () => rng.pick(clauses),
  () => rng.pick(clauses),
  () => '{"1":"2"}', () => '{"1":', () => "[]", () => "id desc, n", () => "1e9", () => "99999999999999999999",
  () => rng.pick(known), () => rng.pick(known),
])()

const names = ["table", "offset", "handle", "live", "live_sse", "experimental_live_sse", "where", "columns", "queryable_columns", "replica",
  "log", "cursor", "params", "params[1]", "params[2]", "params[]", "params[1][2]", "params[999999999999]", "subset__where", "subset__order_by",
  "subset__limit", "subset__offset", "subset__params", "subset__where_expr", "subset__", "offset[]", "table[x]", "secret", "unknown", "", "[", "]"]

const onQuery = {
  drop: (rng, query) => void query.splice(rng.below(query.length), 1),
  double: (rng, query) => void (query.length && query.push([...rng.pick(query)])),
  double_otherwise: (rng, query, known) => void (query.length && query.push([rng.pick(query)[0], oddValues(rng, known)])),
  swap: (rng, query) => {
    if (query.length < 2) return
    const [a, b] = [rng.pick(query), rng.pick(query)]
    const value = a[1]
    a[1] = b[1]
    b[1] = value
  },
  change: (rng, query, known) => void (query.length && (rng.pick(query)[1] = oddValues(rng, known))),
  clause: (rng, query) => void query.push([rng.pick(["where", "where", "subset__where"]), rng.pick(clauses)]),
  add: (rng, query, known) => void query.push([rng.pick(names), oddValues(rng, known)]),
  shuffle: (rng, query) => void query.sort(() => rng.below(3) - 1),
}

const onRequest = {
  method: (rng, request) => void (request.method = rng.pick(["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"])),
  path: (rng, request) => void (request.path = rng.pick(["/", "/v1/health", "//v1/shape", "/v1/shape/", "/v1/%73hape", "/v1/shape/x", "/v1/./shape",
    "/v1/../v1/shape", "/v1/shape%00", "/v1/shape%2f", "/%", "/v1/%zz", "/v1/shape;x"])),
  tag: (rng, request) => void (request.headers["if-none-match"] = rng.pick(['"a:b:c"', "*", "W/\"x\"", '"', ",,,", `"${"x".repeat(500)}"`])),
  id: (rng, request) => void (request.headers["x-request-id"] = rng.pick(["x", "ÿþ", "y".repeat(5000), " "])),
  body: (rng, request) => {
    request.method = rng.likely(0.8) ? "POST" : request.method
    request.body = rng.pick(["", "{}", "[]", "{nonsense", '{"where":"id = 1"}', '{"subset":{"where":"id = 1"}}', '{"subset":1}', '{"limit":-1}',
      '{"where":"n > $1","params":{"1":"2"},"order_by":"id","limit":3,"offset":1}', '{"where":"n > $1","params":["2"]}', '{"limit":1e99}',
      '{"where":{"a":[null]}}', `{"order_by":"${"id,".repeat(300)}id"}`, "[".repeat(3000), '"\\ud800"', '{"a":1,"a":2}', "\u0000"])
  },
  accept: (rng, request) => void (request.headers["accept-encoding"] = rng.pick(["gzip;q=0", "identity;q=0, *;q=0", "br", ";;;=", ""])),
}

// One whole HTTP request whose meaning is mutated: it must be answered, whatever it says.
export function mutateMeaning(rng, request, known) {
  const mutated = { ...request, query: request.query.map((pair) => [...pair]), headers: { ...request.headers } }
  for (let i = 1 + rng.below(3); i > 0; i--) {
    if (rng.likely(0.75)) onQuery[rng.pick(Object.keys(onQuery))](rng, mutated.query, known)
    else onRequest[rng.pick(Object.keys(onRequest))](rng, mutated)
  }
  return mutated
}

// Bytes: mutated so that they may not be a request, or not a whole one.
const onBytes = {
  flip: (rng, bytes) => {
    for (let i = 1 + rng.below(4); i > 0; i--) bytes[rng.below(bytes.length)] ^= 1 << rng.below(8)
    return bytes
  },
  replace: (rng, bytes) => {
    bytes[rng.below(bytes.length)] = rng.pick([0, 10, 13, 32, 37, 255, 58])
    return bytes
  },
  cut: (rng, bytes) => bytes.subarray(0, rng.below(bytes.length)),
  remove: (rng, bytes) => {
    const at = rng.below(bytes.length)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + rng.below(4))])
  },
  insert: (rng, bytes) => {
    const at = rng.below(bytes.length)
    const more = rng.pick(["\r\n", "\r\n\r\n", "%", "%zz", "%c3", "\0", " ", "content-length: 5\r\n", "transfer-encoding: chunked\r\n", "\r", "\n", "&&&=", "#"])
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(more), bytes.subarray(at)])
  },
  repeat: (rng, bytes) => {
    const at = rng.below(bytes.length)
    return Buffer.concat([bytes.subarray(0, at), Buffer.alloc(rng.pick([10, 1000, 70_000]), rng.pick(["a", "%41", "&", "\n"])), bytes.subarray(at)])
  },
  header: (rng, bytes) => {
    const at = bytes.indexOf("\r\n") + 2
    const line = rng.pick([`x: ${"y".repeat(rng.pick([100, 66_000]))}`, "content-length: 10", "content-length: -1", "content-length: 99999999999999999999",
      "transfer-encoding: chunked", "transfer-encoding: gzip", "expect: 100-continue", "connection: close", "host: again", "x : y", ": y", "x\0: y", " folded",
      "connection: upgrade\r\nupgrade: h2c", "content-length: 2000000"])
    return Buffer.concat([bytes.subarray(0, at), Buffer.from(`${line}\r\n`, "latin1"), bytes.subarray(at)])
  },
  version: (rng, bytes) => Buffer.from(bytes.toString("latin1").replace("HTTP/1.1", rng.pick(["HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/9.9", "HTTP/1.", "http/1.1"])), "latin1"),
  raw_escapes: (rng, bytes) => Buffer.from(bytes.toString("latin1").replace("?", rng.pick(["?%&", "?a=%&", "?where=%ff%fe&", "?%00=1&", "?&&&=&", "??", "?#"])), "latin1"),
  chunked: (rng, bytes) => {
    const text = bytes.toString("latin1").replace(/content-length: \d+\r\n/, "").replace(/^GET/, "POST")
    return Buffer.from(text.replace("\r\n", "\r\ntransfer-encoding: chunked\r\n").replace(/\r\n\r\n[^]*$/, "\r\n\r\n") +
      rng.pick(["0\r\n\r\n", "2\r\n{}\r\n0\r\n\r\n", "2\r\n{}x0\r\n\r\n", "zz\r\n", "ffffffffffffffff\r\n{}", "5\r\n{}", "0\r\nx: y\r\n\r\n"]), "latin1")
  },
}

export function mutateBytes(rng, request) {
  let bytes = Buffer.from(requestBytes(request))
  for (let i = 1 + rng.below(2); i > 0; i--) {
    bytes = onBytes[rng.pick(Object.keys(onBytes))](rng, bytes)
    if (bytes.length === 0) break
  }
  return bytes
}
