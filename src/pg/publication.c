/* publication.c: see publication.h.
 *
 * Why ADD TABLE comes before the identity: the other order deadlocks with anybody else who alters the publication (it
 * locks the publication's tables first). Why both are in one transaction: a keyless table that is published without
 * FULL refuses the application's updates. Why writers are waited for: the changes they made before the table was
 * published are not in the stream, and they commit after the snapshot that would have to show them.
 *
 * ALTER … REPLICA IDENTITY waits in the lock queue with everybody else behind it, hence the short lock_timeout and the
 * pause between attempts.
 */
#include "pg/publication.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/limits.h"
#include "base/log.h"
#include "pg/slot.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PUBLICATION_MAGIC 0x9b11ca7eu
#define NO_VERSION "?" /* equals none */
#define PARTITIONS_DIGITS 16
#define RETRY_PAUSE_MS 300u /* lets through who queued behind our lock request */
#define WRITERS_PAUSE_MS_MIN 10u
#define WRITERS_PAUSE_MS_MAX 250u

/* A table that has joined, or (not joined) whose version was noted. */
struct member {
	uint32_t oid;
	bool joined;
	struct cu_publication_version version;
};

struct cu_publication {
	unsigned magic;

	/* set once */
	char *name;
	bool manual;
	unsigned wait_ms;

	/* under mtx */
	pthread_mutex_t mtx;
	pthread_cond_t joined_some;
	struct member *members; /* sorted by oid */
	unsigned members_len, members_cap;
	uint32_t *joining; /* a second caller must wait for the first, or it would skip the wait for writers */
	unsigned joining_len, joining_cap;
	uint64_t generation; /* counts forget(): a join under way during one is not remembered */
};

/* One call of join(). */
struct join {
	cu_publication *pub;
	PGconn *conn;
	const struct cu_table *table;
	struct cu_pg_error *err;
	uint64_t deadline_ms;
	char *relations; /* "{oid,…}" of the table and everything below it */
	bool member;
	struct cu_publication_version version;
	cu_buf identity; /* ALTER TABLE … statements still needed */
};

int cu_publication_new(const char *publication, bool manual, unsigned wait_ms, cu_publication **ret_pub)
{
	cu_publication *pub = cu_xzalloc(sizeof *pub);

	pub->magic = PUBLICATION_MAGIC;
	pub->name = cu_xstrdup(publication);
	pub->manual = manual;
	pub->wait_ms = wait_ms ? wait_ms : CU_TABLE_WRITERS_WAIT_MS;
	pthread_mutex_init(&pub->mtx, NULL);
	cu_cond_init(&pub->joined_some);
	*ret_pub = pub;
	return 0;
}

void cu_publication_free(cu_publication **pub_at)
{
	cu_publication *pub = *pub_at;

	if (!pub)
		return;
	CU_ASSERT(pub->magic == PUBLICATION_MAGIC && pub->joining_len == 0);
	*pub_at = NULL;
	pub->magic = 0;
	pthread_cond_destroy(&pub->joined_some);
	pthread_mutex_destroy(&pub->mtx);
	free(pub->members);
	free(pub->joining);
	free(pub->name);
	free(pub);
}

/* --- the members and the set of those under way, under mtx --- */

static struct member *member_find(const cu_publication *pub, uint32_t oid, unsigned *ret_at)
{
	unsigned low = 0, high = pub->members_len;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (pub->members[mid].oid < oid)
			low = mid + 1;
		else
			high = mid;
	}
	if (ret_at)
		*ret_at = low;
	return low < pub->members_len && pub->members[low].oid == oid ? &pub->members[low] : NULL;
}

static struct member *member_add(cu_publication *pub, uint32_t oid)
{
	unsigned at;
	struct member *member = member_find(pub, oid, &at);

	if (member)
		return member;
	if (pub->members_len == pub->members_cap) {
		pub->members_cap = pub->members_cap ? pub->members_cap * 2 : 16;
		pub->members = cu_xrealloc(pub->members, pub->members_cap * sizeof *pub->members);
	}
	member = &pub->members[at];
	memmove(member + 1, member, (pub->members_len - at) * sizeof *member);
	*member = (struct member){ .oid = oid };
	pub->members_len++;
	return member;
}

static bool has_joined(const cu_publication *pub, uint32_t oid)
{
	const struct member *member = member_find(pub, oid, NULL);

	return member && member->joined;
}

static bool is_joining(const cu_publication *pub, uint32_t oid)
{
	for (unsigned i = 0; i < pub->joining_len; i++) {
		if (pub->joining[i] == oid)
			return true;
	}
	return false;
}

static void joining_add(cu_publication *pub, uint32_t oid)
{
	if (pub->joining_len == pub->joining_cap) {
		pub->joining_cap = pub->joining_cap ? pub->joining_cap * 2 : 16;
		pub->joining = cu_xrealloc(pub->joining, pub->joining_cap * sizeof *pub->joining);
	}
	pub->joining[pub->joining_len++] = oid;
}

static void joining_remove(cu_publication *pub, uint32_t oid)
{
	for (unsigned i = 0; i < pub->joining_len; i++) {
		if (pub->joining[i] == oid) {
			pub->joining[i] = pub->joining[--pub->joining_len];
			return;
		}
	}
}

bool cu_publication_has(cu_publication *pub, uint32_t oid)
{
	bool has;

	pthread_mutex_lock(&pub->mtx);
	has = has_joined(pub, oid);
	pthread_mutex_unlock(&pub->mtx);
	return has;
}

void cu_publication_forget(cu_publication *pub, uint32_t oid)
{
	struct member *member;

	pthread_mutex_lock(&pub->mtx);
	pub->generation++;
	member = oid ? member_find(pub, oid, NULL) : NULL;
	if (member) {
		unsigned behind = pub->members_len - (unsigned)(member - pub->members) - 1;

		memmove(member, member + 1, behind * sizeof *member);
		pub->members_len--;
	} else if (!oid) {
		pub->members_len = 0;
	}
	pthread_mutex_unlock(&pub->mtx);
}

/* --- versions --- */

/* A number for all that are below a partitioned table, and since when; NULL for other tables. Without a lock on any of them. */
static void put_partitions(const char *oid, cu_buf *sql)
{
	cu_buf_printf(sql,
		      "(WITH RECURSIVE below AS (SELECT i.inhrelid, i.xmin FROM pg_catalog.pg_inherits i "
		      "JOIN pg_catalog.pg_class k ON k.oid = i.inhparent WHERE k.oid = %s AND k.relkind = 'p' "
		      "AND NOT i.inhdetachpending UNION ALL SELECT i.inhrelid, i.xmin FROM pg_catalog.pg_inherits i "
		      "JOIN below ON i.inhparent = below.inhrelid WHERE NOT i.inhdetachpending) "
		      "SELECT pg_catalog.left(pg_catalog.md5(pg_catalog.string_agg("
		      "pg_catalog.concat_ws('-', inhrelid, xmin), ',' ORDER BY inhrelid)), %d) FROM below)",
		      oid, PARTITIONS_DIGITS);
}

void cu_publication_put_version(const cu_publication *pub, int server_version, const char *oid, cu_buf *sql)
{
	const char *ancestors = "SELECT relid FROM pg_catalog.pg_partition_ancestors";

	/* The row that names the table, an ancestor or its schema is made anew when it is added again. Of several the
	 * oldest counts: one that comes in addition changes nothing. The publication's options are in its own row. What a
	 * partition that goes, or comes with rows, does to the partitioned table's is in no stream either. */
	cu_buf_puts(sql, "(SELECT v.text FROM (SELECT p.puballtables AS everything, "
			 "pg_catalog.concat_ws('/', p.oid, p.xmin, m.row, ");
	put_partitions(oid, sql);
	cu_buf_printf(sql,
		      ") AS text, m.row FROM pg_catalog.pg_publication p, "
		      "LATERAL (SELECT min(r.oid) AS row FROM (SELECT r.oid FROM pg_catalog.pg_publication_rel r "
		      "WHERE r.prpubid = p.oid AND (r.prrelid = %s OR r.prrelid IN (%s(%s)))",
		      oid, ancestors, oid);
	if (server_version >= 150000)
		cu_buf_printf(sql,
			      " UNION ALL SELECT s.oid FROM pg_catalog.pg_publication_namespace s "
			      "WHERE s.pnpubid = p.oid AND s.pnnspid IN (SELECT k.relnamespace FROM "
			      "pg_catalog.pg_class k WHERE k.oid = %s OR k.oid IN (%s(%s)))",
			      oid, ancestors, oid);
	cu_buf_puts(sql, ") r) m WHERE p.pubname = ");
	cu_pg_put_literal(sql, pub->name);
	cu_buf_puts(sql, ") v WHERE v.everything OR v.row IS NOT NULL)");
}

void cu_publication_version_set(struct cu_publication_version *version, const char *text)
{
	snprintf(version->text, sizeof version->text, "%s", text ? text : "");
}

void cu_publication_version_get(cu_publication *pub, uint32_t oid, struct cu_publication_version *ret_version)
{
	const struct member *member;

	pthread_mutex_lock(&pub->mtx);
	member = member_find(pub, oid, NULL);
	if (member)
		*ret_version = member->version;
	else
		cu_publication_version_set(ret_version, NULL);
	pthread_mutex_unlock(&pub->mtx);
}

void cu_publication_version_restore(cu_publication *pub, uint32_t oid, const char *text)
{
	struct member *member;

	pthread_mutex_lock(&pub->mtx);
	member = member_add(pub, oid);
	if (*member->version.text && strcmp(member->version.text, text) != 0)
		text = NO_VERSION;
	cu_publication_version_set(&member->version, *text ? text : NO_VERSION);
	pthread_mutex_unlock(&pub->mtx);
}

void cu_publication_version_note(cu_publication *pub, uint32_t oid, const struct cu_publication_version *version)
{
	struct member *member;

	pthread_mutex_lock(&pub->mtx);
	member = member_add(pub, oid);
	if (!member->joined)
		member->version = *version;
	pthread_mutex_unlock(&pub->mtx);
}

/* --- what is there, what is missing --- */

static const char relations_sql[] =
	"WITH RECURSIVE d AS (SELECT $1::oid AS oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN d ON "
	"i.inhparent = d.oid) SELECT c.oid, n.nspname, c.relname, c.relreplident FROM d JOIN pg_catalog.pg_class c ON "
	"c.oid = d.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') ORDER BY "
	"c.oid <> $1::oid, c.oid";

/* A table is published when it, or a partitioned ancestor, or its schema (15+) is in the publication. Row filters and
 * column lists (15+) are read through JSON because 14 has no such columns. */
static const char member_sql[] =
	"SELECT p.puballtables OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND "
	"(r.prrelid = $2::oid OR r.prrelid IN (SELECT relid FROM pg_catalog.pg_partition_ancestors($2::oid)))) OR "
	"EXISTS (SELECT FROM pg_catalog.pg_publication_tables t JOIN pg_catalog.pg_namespace n ON n.nspname = "
	"t.schemaname JOIN pg_catalog.pg_class c ON c.relname = t.tablename AND c.relnamespace = n.oid WHERE t.pubname "
	"= p.pubname AND c.oid = $2::oid), EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid "
	"AND (r.prrelid = $2::oid OR r.prrelid IN (SELECT relid FROM pg_catalog.pg_partition_ancestors($2::oid))) AND "
	"(to_jsonb(r) ->> 'prqual' IS NOT NULL OR to_jsonb(r) ->> 'prattrs' IS NOT NULL)), "
	"pubinsert AND pubupdate AND pubdelete AND pubtruncate "
	"FROM pg_catalog.pg_publication p WHERE p.pubname = $1";

static int relations_read(struct join *join)
{
	char oid_text[16];
	const char *params[1] = { oid_text };
	PGresult *res = NULL;
	cu_buf oids = CU_BUF_INIT;
	int rc;

	snprintf(oid_text, sizeof oid_text, "%u", join->table->oid);
	rc = cu_pg_query(join->conn, relations_sql, 1, params, &res, join->err);
	if (rc < 0)
		goto out;
	if (PQntuples(res) == 0 || strcmp(PQgetvalue(res, 0, 1), join->table->schema) != 0 ||
	    strcmp(PQgetvalue(res, 0, 2), join->table->name) != 0) {
		rc = cu_pg_error_set(join->err, CU_EPG, CU_PG_QUERY, "42P01",
				     "Database table \"%s\".\"%s\" has been dropped or renamed", join->table->schema,
				     join->table->name);
		goto out;
	}
	cu_buf_clear(&join->identity);
	for (int row = 0; row < PQntuples(res); row++) {
		cu_buf_printf(&oids, "%s%s", row ? "," : "{", PQgetvalue(res, row, 0));
		if (*PQgetvalue(res, row, 3) == 'f')
			continue;
		cu_buf_puts(&join->identity, "ALTER TABLE ONLY ");
		cu_pg_put_relation(&join->identity, PQgetvalue(res, row, 1), PQgetvalue(res, row, 2));
		cu_buf_puts(&join->identity, " REPLICA IDENTITY FULL; ");
	}
	cu_buf_putc(&oids, '}');
	free(join->relations);
	join->relations = cu_buf_steal(&oids, NULL);
	if (!join->relations)
		rc = CU_ENOMEM;
out:
	cu_buf_fini(&oids);
	PQclear(res);
	return rc;
}

/* Somebody dropped the publication. The stream would make it anew, but a silent one does not notice. */
static int publication_missing(struct join *join)
{
	struct cu_publication *pub = join->pub;
	bool created;

	return cu_pg_publication_ensure(join->conn, pub->name, pub->manual, PQserverVersion(join->conn), &created,
					join->err);
}

static int member_read(struct join *join)
{
	char oid_text[16];
	const char *params[2] = { join->pub->name, oid_text };
	PGresult *res = NULL;
	int rc;

	snprintf(oid_text, sizeof oid_text, "%u", join->table->oid);
	rc = cu_pg_query(join->conn, member_sql, 2, params, &res, join->err);
	if (rc < 0)
		goto out;
	if (PQntuples(res) == 0) {
		join->member = false;
		rc = publication_missing(join);
		goto out;
	}
	join->member = *PQgetvalue(res, 0, 0) == 't';
	if (*PQgetvalue(res, 0, 1) == 't')
		rc = cu_pg_error_set(
			join->err, CU_EPG, CU_PG_CONFIG, NULL,
			"publication \"%s\" has a row filter or a column list on table \"%s\".\"%s\": shapes would "
			"miss changes. Drop the table from the publication and add it without one",
			join->pub->name, join->table->schema, join->table->name);
	else if (*PQgetvalue(res, 0, 2) != 't') /* altered since the stream started, which looks too */
		rc = cu_pg_error_set(
			join->err, CU_EPG, CU_PG_CONFIG, NULL,
			"publication \"%s\" does not publish all operations: shapes would miss changes. Run: ALTER "
			"PUBLICATION \"%s\" SET (publish = 'insert, update, delete, truncate')",
			join->pub->name, join->pub->name);
out:
	PQclear(res);
	return rc;
}

/* Inside of the transaction that joins: the version that its commit makes. */
static int version_read(struct join *join)
{
	cu_buf sql = CU_BUF_INIT;
	PGresult *res = NULL;
	char oid_text[16];
	int rc;

	snprintf(oid_text, sizeof oid_text, "%u", join->table->oid);
	cu_buf_puts(&sql, "SELECT ");
	cu_publication_put_version(join->pub, PQserverVersion(join->conn), oid_text, &sql);
	rc = cu_pg_exec(join->conn, cu_buf_str(&sql), &res, join->err);
	if (rc == 0)
		cu_publication_version_set(&join->version, PQgetvalue(res, 0, 0));
	PQclear(res);
	cu_buf_fini(&sql);
	return rc;
}

/* Manual mode, and a role that may not alter: in Electric's words, and then exactly what the owner must run. */
static int missing_report(struct join *join, enum cu_pg_kind kind, const char *why)
{
	cu_buf text = CU_BUF_INIT;
	int rc;

	cu_buf_printf(&text, "Database table \"%s.%s\" ", join->table->schema, join->table->name);
	if (!join->member)
		cu_buf_printf(&text, "is missing from the publication \"%s\" and %s", join->pub->name, why);
	else
		cu_buf_puts(&text, "does not have its replica identity set to FULL");
	cu_buf_puts(&text, ". Run: ");
	if (!join->member) {
		cu_buf_printf(&text, "ALTER PUBLICATION \"%s\" ADD TABLE ", join->pub->name);
		cu_pg_put_relation(&text, join->table->schema, join->table->name);
		cu_buf_puts(&text, "; ");
	}
	cu_buf_puts(&text, cu_buf_str(&join->identity));
	rc = cu_pg_error_set(join->err, CU_EPG, kind, NULL, "%s", cu_buf_str(&text));
	cu_buf_fini(&text);
	return rc;
}

/* --- the change --- */

/* Before these minor versions a transaction that was writing keeps its old view of the publication until it ends, for
 * changes it makes later too: nobody may be writing at the moment the table joins. */
static bool stale_view(int version)
{
	static const int fixed[] = { 140018, 150013, 160009, 170005 };

	for (unsigned i = 0; i < CU_ARRAY_LEN(fixed); i++)
		if (version / 10000 == fixed[i] / 10000)
			return version < fixed[i];
	return version < 140000;
}

static int alter(struct join *join)
{
	cu_buf sql = CU_BUF_INIT;
	int rc;

	cu_buf_printf(&sql, "SET LOCAL lock_timeout = '%ums'; ", CU_TABLE_LOCK_TIMEOUT_MS);
	if (!join->member) {
		cu_buf_printf(&sql, "ALTER PUBLICATION \"%s\" ADD TABLE ", join->pub->name);
		cu_pg_put_relation(&sql, join->table->schema, join->table->name);
		cu_buf_puts(&sql, "; ");
	}
	cu_buf_puts(&sql, cu_buf_str(&join->identity));
	if (!join->member && stale_view(PQserverVersion(join->conn))) {
		cu_buf_puts(&sql, "LOCK TABLE ");
		cu_pg_put_relation(&sql, join->table->schema, join->table->name);
		cu_buf_puts(&sql, " IN ACCESS EXCLUSIVE MODE; ");
	}
	/* Several statements in one message are one transaction, together with the BEGIN they stand behind. */
	rc = cu_pg_exec(join->conn, cu_buf_str(&sql), NULL, join->err);
	cu_buf_fini(&sql);
	return rc;
}

/* Failures that pass: a lock not got in time, a deadlock, somebody who altered the same thing in the same moment. */
static bool passing(const struct cu_pg_error *err)
{
	return err->kind == CU_PG_BUSY || strcmp(err->sqlstate, "42710") == 0 || strcmp(err->sqlstate, "23505") == 0 ||
	       strcmp(err->sqlstate, "XX000") == 0;
}

/* One attempt: look, and change what is missing, in one transaction. */
static int attempt(struct join *join)
{
	struct cu_pg_error ignored;
	bool changed = false;
	int rc;

	rc = cu_pg_exec(join->conn, "BEGIN", NULL, join->err);
	if (rc < 0)
		return rc;
	rc = relations_read(join);
	if (rc < 0)
		goto out;
	rc = member_read(join);
	if (rc < 0)
		goto out;
	if (!join->member || join->identity.len) {
		if (join->pub->manual) {
			rc = missing_report(
				join, CU_PG_CONFIG,
				"the ELECTRIC_MANUAL_TABLE_PUBLISHING setting prevents Electric from adding it");
			goto out;
		}
		rc = alter(join);
		changed = rc == 0;
		if (rc == CU_EPG && join->err->kind == CU_PG_PERMISSION)
			rc = missing_report(join, CU_PG_PERMISSION, "Electric lacks privileges to add it");
		if (rc < 0)
			goto out;
	}
	rc = version_read(join);
	if (rc < 0)
		goto out;
	rc = cu_pg_exec(join->conn, "COMMIT", NULL, join->err);
	if (rc == 0 && changed)
		cu_info("table joined the publication", CU_KV("publication", join->pub->name),
			CU_KV("schema", join->table->schema), CU_KV("table", join->table->name));
out:
	if (rc < 0 && PQtransactionStatus(join->conn) != PQTRANS_IDLE)
		cu_pg_exec(join->conn, "ROLLBACK", NULL, &ignored);
	return rc;
}

static int alter_with_retries(struct join *join)
{
	for (;;) {
		int rc = attempt(join);

		if (rc != CU_EPG || !passing(join->err))
			return rc;
		if (cu_now_ms() + RETRY_PAUSE_MS >= join->deadline_ms) {
			char why[512];

			memcpy(why, join->err->message, sizeof why - 1);
			why[sizeof why - 1] = '\0';
			return cu_pg_error_set(join->err, CU_EAGAIN, CU_PG_BUSY, NULL,
					       "table \"%s\".\"%s\" could not be locked to set up its replication: %s",
					       join->table->schema, join->table->name, why);
		}
		cu_debug("table is locked, trying again", CU_KV("table", join->table->name),
			 CU_KV("error", join->err->message));
		if (!cu_pg_thread_pause(RETRY_PAUSE_MS))
			return cu_pg_error_set(join->err, CU_ECLOSED, CU_PG_CANCELED, NULL, "stopping");
	}
}

/* --- writers --- */

/* Who has a lock that writing takes (not what VACUUM or CREATE INDEX take). A transaction that prepares itself gives
 * its virtual id up, so prepared ones (no pid) count always: $2 NULL asks for the set to wait for, else it is that
 * set. */
static const char writers_sql[] =
	"SELECT array_agg(DISTINCT virtualtransaction)::text, min(pid), count(*) FROM pg_catalog.pg_locks WHERE "
	"locktype = 'relation' AND granted AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = "
	"current_database()) AND relation = ANY ($1::oid[]) AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', "
	"'ExclusiveLock', 'AccessExclusiveLock') AND pid IS DISTINCT FROM pg_backend_pid() AND ($2::text[] IS NULL OR "
	"pid IS NULL OR virtualtransaction = ANY ($2::text[]))";

static int writers_wait(struct join *join)
{
	const char *params[2] = { join->relations, NULL };
	char *waited_for = NULL;
	unsigned pause_ms = WRITERS_PAUSE_MS_MIN;
	PGresult *res = NULL;
	int rc;

	for (;;) {
		rc = cu_pg_query(join->conn, writers_sql, 2, params, &res, join->err);
		if (rc < 0 || PQgetisnull(res, 0, 0))
			break;
		if (!waited_for) {
			waited_for = cu_xstrdup(PQgetvalue(res, 0, 0));
			params[1] = waited_for;
			cu_debug("waiting for transactions that write to a table", CU_KV("table", join->table->name),
				 CU_KV("writers", waited_for));
		}
		if (cu_now_ms() >= join->deadline_ms) {
			rc = cu_pg_error_set(
				join->err, CU_EAGAIN, CU_PG_BUSY, NULL,
				"a transaction has been writing to table \"%s\".\"%s\" since before it was published "
				"(%s %s): the table can be synced when that has ended",
				join->table->schema, join->table->name,
				PQgetisnull(res, 0, 1) ? "prepared transaction" : "process",
				PQgetisnull(res, 0, 1) ? "" : PQgetvalue(res, 0, 1));
			break;
		}
		PQclear(res);
		res = NULL;
		if (!cu_pg_thread_pause(pause_ms)) {
			rc = cu_pg_error_set(join->err, CU_ECLOSED, CU_PG_CANCELED, NULL, "stopping");
			break;
		}
		pause_ms = CU_MIN(pause_ms * 2, WRITERS_PAUSE_MS_MAX);
	}
	PQclear(res);
	free(waited_for);
	return rc;
}

/* --- join --- */

/* 1: joined already; 0: ours to do; CU_EAGAIN: somebody else is still at it when the time is over. */
static int turn_take(cu_publication *pub, uint32_t oid, uint64_t *ret_generation)
{
	struct timespec until = cu_until_ms(cu_now_ms() + pub->wait_ms);
	int rc = 0;

	pthread_mutex_lock(&pub->mtx);
	for (;;) {
		if (has_joined(pub, oid)) {
			rc = 1;
			break;
		}
		if (!is_joining(pub, oid)) {
			joining_add(pub, oid);
			*ret_generation = pub->generation;
			break;
		}
		if (pthread_cond_timedwait(&pub->joined_some, &pub->mtx, &until) == ETIMEDOUT) {
			rc = CU_EAGAIN;
			break;
		}
	}
	pthread_mutex_unlock(&pub->mtx);
	return rc;
}

static void turn_end(const struct join *join, bool joined, uint64_t generation)
{
	cu_publication *pub = join->pub;
	struct member *member;

	pthread_mutex_lock(&pub->mtx);
	joining_remove(pub, join->table->oid);
	if (joined && generation == pub->generation) {
		member = member_add(pub, join->table->oid);
		member->joined = true;
		/* One that was noted before stays: if they differ, older shapes of the table have a gap. */
		if (!*member->version.text)
			member->version = join->version;
	}
	pthread_cond_broadcast(&pub->joined_some);
	pthread_mutex_unlock(&pub->mtx);
}

int cu_publication_join(cu_publication *pub, PGconn *conn, const struct cu_table *table, struct cu_pg_error *err)
{
	struct join join = { .pub = pub, .conn = conn, .table = table, .err = err, .identity = CU_BUF_INIT };
	uint64_t generation = 0;
	int rc;

	CU_ASSERT(pub->magic == PUBLICATION_MAGIC);
	rc = turn_take(pub, table->oid, &generation);
	if (rc == CU_EAGAIN)
		return cu_pg_error_set(err, CU_EAGAIN, CU_PG_BUSY, NULL, "table \"%s\".\"%s\" is still being set up",
				       table->schema, table->name);
	if (rc == 1)
		return 0;
	join.deadline_ms = cu_now_ms() + pub->wait_ms;
	rc = alter_with_retries(&join);
	if (rc == 0)
		rc = writers_wait(&join);
	turn_end(&join, rc == 0, generation);
	cu_buf_fini(&join.identity);
	free(join.relations);
	return rc;
}

/* --- join on another pool's connection --- */

struct elsewhere {
	cu_publication *pub;
	const struct cu_table *table;
	struct cu_pg_error *err;
	int rc;
	bool done;
	pthread_mutex_t mtx;
	pthread_cond_t cond;
};

static void run_elsewhere(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	struct elsewhere *ask = arg;
	int rc = CU_EPG;

	if (conn)
		rc = cu_publication_join(ask->pub, conn, ask->table, ask->err);
	else
		*ask->err = *err;
	pthread_mutex_lock(&ask->mtx);
	ask->rc = rc;
	ask->done = true;
	pthread_cond_signal(&ask->cond);
	pthread_mutex_unlock(&ask->mtx);
}

int cu_publication_join_in(cu_publication *pub, cu_pool *pool, const struct cu_table *table, struct cu_pg_error *err)
{
	struct elsewhere ask = { .pub = pub,
				 .table = table,
				 .err = err,
				 .mtx = PTHREAD_MUTEX_INITIALIZER,
				 .cond = PTHREAD_COND_INITIALIZER };

	if (cu_publication_has(pub, table->oid))
		return 0;
	if (cu_pool_submit(pool, CU_POOL_SHORT, run_elsewhere, &ask) < 0)
		return cu_pg_error_set(err, CU_EAGAIN, CU_PG_BUSY, NULL, "too many jobs wait for a connection");
	pthread_mutex_lock(&ask.mtx);
	while (!ask.done)
		pthread_cond_wait(&ask.cond, &ask.mtx);
	pthread_mutex_unlock(&ask.mtx);
	pthread_cond_destroy(&ask.cond);
	pthread_mutex_destroy(&ask.mtx);
	return ask.rc;
}
