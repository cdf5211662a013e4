// A table as it is: every built-in type, odd names, keys of all kinds, and big values, through the client's own parser.
import assert from "node:assert/strict"
import { test } from "node:test"
import { follow, rowsBecome, startBoth } from "./support.mjs"

const { cluster, copper, sql } = await startBoth()

test("every built-in type arrives as Postgres prints it", async () => {
  await sql(`
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'very happy');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE TABLE every_type (
      id int PRIMARY KEY,
      c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_float4 float4, c_float8 float8, c_numeric numeric,
      c_numeric_p numeric(10, 3), c_money money, c_text text, c_varchar varchar, c_varchar_n varchar(12), c_char char(7),
      c_char1 "char", c_name name, c_bytea bytea, c_date date, c_time time, c_timetz timetz, c_timestamp timestamp,
      c_timestamptz timestamptz, c_timestamp3 timestamp(3), c_interval interval, c_interval_y interval year to month,
      c_uuid uuid, c_json json, c_jsonb jsonb, c_xml xml, c_inet inet, c_cidr cidr, c_macaddr macaddr,
      c_macaddr8 macaddr8, c_bit bit(5), c_varbit varbit(9), c_point point, c_line line, c_lseg lseg, c_box box,
      c_path path, c_polygon polygon, c_circle circle, c_tsvector tsvector, c_tsquery tsquery, c_oid oid,
      c_regclass regclass, c_pg_lsn pg_lsn, c_xid xid, c_tid tid, c_int4range int4range, c_numrange numrange,
      c_tstzrange tstzrange, c_daterange daterange, c_int4multirange int4multirange, c_mood mood, c_pair pair,
      c_positive positive, c_ints int[], c_texts text[], c_matrix int[][], c_bools bool[], c_jsonbs jsonb[],
      c_moods mood[], c_int8s int8[], c_jsonpath jsonpath
    );
    INSERT INTO every_type VALUES (1,
      true, -32768, 2147483647, 9223372036854775807, 1.5, 0.1, 123456789012345678901234567890.123456789, 1.2, 12.34,
      E'tab\\tnew\\nline\\r\\\\ "quoted" ''single'' \\u0001 \\x7f', 'v', 'twelve chars', 'pad', 'x', 'a_name',
      '\\x00ff10', '2024-02-29', '23:59:59.999999', '23:59:59.5+02', '1999-12-31 23:59:59.123456',
      '2024-06-01 12:00:00+02', '2024-01-01 00:00:00.1237', '1 year 2 mons -3 days 04:05:06.789', '3 years 4 mons',
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b": 1,  "a": [null, "ü"]}', '{"b": 1, "a": [null, "ü"]}', '<a>x</a>',
      '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10101', B'101', '(1,2)',
      '{1,2,3}', '[(1,2),(3,4)]', '(3,4),(1,2)', '[(1,2),(3,4)]', '((1,2),(3,4),(5,6))', '<(1,2),3>',
      'a fat cat', 'fat & cat', 4294967295, 'pg_class', '16/B374D848', '42', '(1,2)', '[1,10)', '(1.5,2.5]',
      '[2024-01-01 00:00:00+00,)', 'empty', '{[1,3),[5,9)}', 'very happy', ROW(1, 'with "quotes", commas'), 7,
      '{1,NULL,-3}', '{"a b","c\\"d",NULL,"NULL",""}', '{{1,2},{3,4}}', '{t,f,NULL}', ARRAY['{"x": 1}'::jsonb],
      '{sad,"very happy"}', '{9007199254740993}', '$.a[*] ? (@ > 1)');
    INSERT INTO every_type (id, c_float4, c_float8, c_numeric, c_date, c_timestamp, c_timestamptz, c_bytea, c_texts, c_text)
      VALUES (2, 'NaN', 'Infinity', 'NaN', 'infinity', '-infinity', '0044-03-15 12:00:00+00 BC', '', '{}', '');
    INSERT INTO every_type (id) VALUES (3);`)
  const view = follow(copper, { table: "every_type" })
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM every_type"), 3)

  // The same types through the stream.
  await sql(`
    UPDATE every_type SET c_bool = false, c_char = 'q', c_interval = '-1 day', c_bytea = '\\xdeadbeef',
      c_timestamptz = '2030-01-01 00:00:00+05', c_float8 = 1e-300, c_text = E'\\u2028 \\u0002', c_texts = '{"\\\\"}' WHERE id = 1;
    INSERT INTO every_type SELECT 4, c_bool, c_int2, c_int4, c_int8, c_float4, c_float8, c_numeric, c_numeric_p, c_money,
      c_text, c_varchar, c_varchar_n, c_char, c_char1, c_name, c_bytea, c_date, c_time, c_timetz, c_timestamp,
      c_timestamptz, c_timestamp3, c_interval, c_interval_y, c_uuid, c_json, c_jsonb, c_xml, c_inet, c_cidr, c_macaddr,
      c_macaddr8, c_bit, c_varbit, c_point, c_line, c_lseg, c_box, c_path, c_polygon, c_circle, c_tsvector, c_tsquery,
      c_oid, c_regclass, c_pg_lsn, c_xid, c_tid, c_int4range, c_numrange, c_tstzrange, c_daterange, c_int4multirange,
      c_mood, c_pair, c_positive, c_ints, c_texts, c_matrix, c_bools, c_jsonbs, c_moods, c_int8s, c_jsonpath
      FROM every_type WHERE id = 1;
    UPDATE every_type SET c_mood = 'ok', c_ints = NULL WHERE id = 3;`)
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM every_type"), 4)
  const row = view.rows().find(({ id }) => id === 4)
  assert.equal(row.c_int8, 9223372036854775807n, "int8 is known as such to the client")
  assert.deepEqual(row.c_matrix, [[1, 2], [3, 4]], "dimensions are known to the client")
  assert.deepEqual(row.c_jsonb, { b: 1, a: [null, "ü"] })
  assert.equal(row.c_char, "q      ", "char(n) keeps its padding")
  view.close()
})

test("the schema header describes columns as the client expects", async () => {
  const { headers } = await copper.get({ table: "every_type", offset: "-1" })
  const schema = JSON.parse(headers["electric-schema"])
  assert.deepEqual(schema.id, { type: "int4", not_null: true, pk_index: 0 })
  assert.deepEqual(schema.c_numeric_p, { type: "numeric", precision: 10, scale: 3 })
  assert.deepEqual(schema.c_varchar_n, { type: "varchar", max_length: 12 })
  assert.deepEqual(schema.c_char, { type: "bpchar", length: 7 })
  assert.deepEqual(schema.c_timestamp3, { type: "timestamp", precision: 3 })
  assert.deepEqual(schema.c_interval_y, { type: "interval", fields: "YEAR TO MONTH" })
  assert.deepEqual(schema.c_bit, { type: "bit", length: 5 })
  assert.deepEqual(schema.c_ints, { type: "int4", dims: 1 })
  assert.deepEqual(schema.c_mood, { type: "mood" })
})

test("names with quotes, capitals, slashes, dots and other alphabets", async () => {
  await sql(`
    CREATE SCHEMA "Other/Schema";
    CREATE TABLE "Other/Schema"."We""ird. Täble" ("Key/1" text, "select" text, "col ""q"", comma" text, "日本" text,
      PRIMARY KEY ("Key/1", "select"));
    INSERT INTO "Other/Schema"."We""ird. Täble" VALUES ('a/b', 'c"d', 'x', '語'), ('', ' ', NULL, '🙂'), ('a', '/b', 'y', '');`)
  const table = `"Other/Schema"."We""ird. Täble"`
  const view = follow(copper, { table })
  assert.equal(await rowsBecome(view, cluster, `SELECT * FROM ${table}`), 3)
  const keys = [...view.shape.currentValue.keys()]
  assert.ok(keys.includes(`"Other//Schema"."We"ird.. Täble"/"a//b"/"c"d"`) || keys.includes(`"Other//Schema"."We""ird.. Täble"/"a//b"/"c"d"`),
    `keys ${keys}`)
  await sql(`UPDATE ${table} SET "日本" = 'neu' WHERE "Key/1" = 'a/b'; DELETE FROM ${table} WHERE "Key/1" = '';`)
  assert.equal(await rowsBecome(view, cluster, `SELECT * FROM ${table}`), 2)
  view.close()
})

test("a table without a key: rows are told apart by all their columns, NULLs included", async () => {
  await sql(`CREATE TABLE keyless (b text, a int); INSERT INTO keyless VALUES ('x', 1), (NULL, 2), ('x', NULL), (NULL, NULL);`)
  const view = follow(copper, { table: "keyless" })
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM keyless"), 4)
  const keys = [...view.shape.currentValue.keys()].sort()
  assert.deepEqual(keys, [`"public"."keyless"/"1"/"x"`, `"public"."keyless"/"2"/_`, `"public"."keyless"/_/"x"`, `"public"."keyless"/_/_`])
  await sql(`UPDATE keyless SET b = 'y' WHERE a = 1; DELETE FROM keyless WHERE a = 2; INSERT INTO keyless VALUES ('neu', 9);
    UPDATE keyless SET a = 5 WHERE a IS NULL AND b IS NULL;`)
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM keyless"), 4)
  view.close()
})

test("1 MB values, in the snapshot, in the stream, and unchanged beside a change", async () => {
  await sql(`
    CREATE TABLE big (id int PRIMARY KEY, n int, t text, b bytea);
    ALTER TABLE big ALTER t SET STORAGE EXTERNAL;
    INSERT INTO big SELECT i, 0, repeat('ä"\\' || i, 262144), decode(repeat('00ff', 100000), 'hex') FROM generate_series(1, 3) i;`)
  const view = follow(copper, { table: "big" })
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM big"), 3)
  await sql(`UPDATE big SET n = 1 WHERE id = 1; UPDATE big SET t = repeat('z', 1048576) WHERE id = 2;
    INSERT INTO big VALUES (4, 4, repeat(E'\\x01', 1048576), NULL); UPDATE big SET id = 10 WHERE id = 3;`)
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM big"), 4)
  view.close()
})

test("an empty table, a table with one column, and one with a dropped column", async () => {
  await sql(`CREATE TABLE empty_one (id int PRIMARY KEY); CREATE TABLE dropped (id int PRIMARY KEY, gone text, kept text);
    INSERT INTO dropped VALUES (1, 'gone', 'kept'); ALTER TABLE dropped DROP COLUMN gone;`)
  const empty = follow(copper, { table: "empty_one" })
  const dropped = follow(copper, { table: "dropped" })
  assert.equal(await rowsBecome(empty, cluster, "SELECT * FROM empty_one"), 0)
  assert.equal(await rowsBecome(dropped, cluster, "SELECT * FROM dropped"), 1)
  await sql(`INSERT INTO empty_one VALUES (1); INSERT INTO dropped VALUES (2, 'two'); UPDATE dropped SET kept = 'k' WHERE id = 1;`)
  assert.equal(await rowsBecome(empty, cluster, "SELECT * FROM empty_one"), 1)
  assert.equal(await rowsBecome(dropped, cluster, "SELECT * FROM dropped"), 2)
  empty.close()
  dropped.close()
})

test("a snapshot of several chunks", async () => {
  await sql(`CREATE TABLE chunky (id int PRIMARY KEY, t text); INSERT INTO chunky SELECT i, repeat('x', 1000) FROM generate_series(1, 25000) i;`)
  const first = await copper.get({ table: "chunky", offset: "-1" })
  assert.equal(first.status, 200)
  assert.equal(first.headers["electric-offset"], "0_0")
  assert.equal(first.headers["electric-up-to-date"], undefined)
  const view = follow(copper, { table: "chunky" })
  assert.equal(await rowsBecome(view, cluster, "SELECT * FROM chunky"), 25000)
  assert.ok(view.requests >= 3, `${view.requests} requests`)
  view.close()
})
