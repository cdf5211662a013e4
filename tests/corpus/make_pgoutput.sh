#!/bin/sh
# make_pgoutput.sh: records real pgoutput messages and COPY lines of the local Postgres into the fuzz corpora.
# Usage (as root; Postgres 15): tests/corpus/make_pgoutput.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=${PGBIN:-/usr/lib/postgresql/15/bin}
port=${PGPORT:-54971}
dir=$(mktemp -d /tmp/cu_corpus.XXXXXX)
chmod 755 "$dir"
mkdir "$dir/data" && chown postgres "$dir/data"
runuser -u postgres -- "$bin/initdb" -D "$dir/data" -A trust -E UTF8 --locale=C.UTF-8 -N >/dev/null
runuser -u postgres -- "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/data/log" \
	-o "-p $port -k $dir/data -c listen_addresses= -c wal_level=logical -c fsync=off" start >/dev/null
trap 'runuser -u postgres -- "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null; rm -rf "$dir"' EXIT
sql() { runuser -u postgres -- "$bin/psql" -X -q -v ON_ERROR_STOP=1 -h "$dir/data" -p "$port" -d postgres "$@"; }

sql <<'SQL'
CREATE TYPE mood AS ENUM ('fine', 'so-so');
CREATE TABLE items (id int PRIMARY KEY, title text, n numeric(10,2), m mood);
CREATE TABLE full_id (id int PRIMARY KEY, big text, note varchar(40));
ALTER TABLE full_id REPLICA IDENTITY FULL;
ALTER TABLE full_id ALTER big SET STORAGE EXTERNAL;
CREATE TABLE toasted (id int PRIMARY KEY, big text, note text);
ALTER TABLE toasted ALTER big SET STORAGE EXTERNAL;
CREATE TABLE "odd/na.me" ("a""b" text, "ü" text, c bytea);
ALTER TABLE "odd/na.me" REPLICA IDENTITY FULL;
CREATE TABLE nothing ();
ALTER TABLE nothing REPLICA IDENTITY FULL;
CREATE PUBLICATION p FOR ALL TABLES;
SELECT pg_create_logical_replication_slot('s', 'pgoutput') \g /dev/null
SELECT pg_replication_origin_create('elsewhere') \g /dev/null
INSERT INTO items VALUES (1, 'one', 1.5, 'fine'), (2, NULL, NULL, NULL);
UPDATE items SET title = 'zwölf "quoted"' WHERE id = 1;
UPDATE items SET id = 3 WHERE id = 2;
DELETE FROM items WHERE id = 3;
INSERT INTO full_id VALUES (1, repeat('x', 3000), 'a');
UPDATE full_id SET note = 'b';
DELETE FROM full_id;
INSERT INTO toasted VALUES (1, repeat('y', 3000), 'a');
UPDATE toasted SET note = 'b';
INSERT INTO "odd/na.me" VALUES ('a/b', E'tab\tback\\slash\nline', '\x00ff'), (NULL, '', NULL);
UPDATE "odd/na.me" SET "ü" = NULL;
INSERT INTO nothing DEFAULT VALUES;
TRUNCATE items, toasted RESTART IDENTITY CASCADE;
SELECT pg_logical_emit_message(true, 'pre', 'inside') \g /dev/null
SELECT pg_logical_emit_message(false, 'pre', 'outside') \g /dev/null
SELECT pg_replication_origin_session_setup('elsewhere') \g /dev/null
INSERT INTO items VALUES (9, 'from elsewhere', 0, 'so-so');
SQL

i=0
sql -At -c "SELECT encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('s', NULL, NULL,
	'proto_version', '1', 'publication_names', 'p', 'messages', 'true')" >"$dir/hex"
seen=" "
while read -r hex; do
	# One file per distinct message; Begin and Commit differ in times only: one of each is enough.
	kind=$(printf '%s' "$hex" | cut -c1-2)
	case "$kind$seen" in 42*' 42 '*|43*' 43 '*) continue ;; esac
	seen="$seen$kind "
	i=$((i + 1))
	printf '%s' "$hex" | xxd -r -p >"$here/fuzz_pgoutput/$(printf '%02d_%s' $i $kind)"
done <"$dir/hex"
sql -c 'COPY (SELECT * FROM "odd/na.me" LIMIT 1) TO STDOUT' >"$here/fuzz_copy_row/3_escapes"
sql -c "COPY (SELECT 1, NULL, E'a\\b\\f\\n\\r\\t\\x0b\\\\z') TO STDOUT" >"$here/fuzz_copy_row/3_every_escape"
sql -c "COPY (SELECT NULL, NULL, NULL) TO STDOUT" >"$here/fuzz_copy_row/3_nulls"
sql -c "COPY (SELECT 12, 'a text that is longer than a word', E'\\\\N') TO STDOUT" >"$here/fuzz_copy_row/3_plain"
echo "$i messages"
