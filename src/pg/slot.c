/* slot.c: see slot.h. */
#include "pg/slot.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/offset.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_MAGIC 0x10c4e1edu

struct cu_pg_lock {
	unsigned magic;
	PGconn *conn;
};

int cu_pg_names_init(struct cu_pg_names *names, const char *stream_id)
{
	struct cu_pg_names out;
	int n;

	if (!stream_id || !*stream_id)
		stream_id = "default";
	if (stream_id[strspn(stream_id, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
		return CU_EINVAL;
	n = snprintf(out.publication, sizeof out.publication, "electric_publication_%s", stream_id);
	if (n < 0 || (size_t)n >= sizeof out.publication)
		return CU_EINVAL;
	snprintf(out.slot, sizeof out.slot, "electric_slot_%s", stream_id);
	*names = out;
	return 0;
}

/* *ret_taken false: somebody else has it, *ret_pid when Postgres says who. */
static int lock_try(PGconn *conn, const char *slot, bool *ret_taken, int *ret_pid, struct cu_pg_error *err)
{
	const char *params[1] = { slot };
	PGresult *res = NULL;
	int rc;

	/* The holder is looked up for the log only: the int4 hash is widened to the bigint key with its sign, as
	 * pg_advisory_lock(hashtext(…)) does. */
	rc = cu_pg_query(
		conn,
		"SELECT pg_try_advisory_lock(hashtext($1)), (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND "
		"objsubid = 1 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = "
		"current_database()) AND ((classid::bigint << 32) | objid::bigint) = hashtext($1)::bigint LIMIT 1)",
		1, params, &res, err);
	if (rc < 0)
		goto out;
	*ret_taken = *PQgetvalue(res, 0, 0) == 't';
	*ret_pid = (int)strtol(PQgetvalue(res, 0, 1), NULL, 10);
out:
	PQclear(res);
	return rc;
}

int cu_pg_lock_acquire(const cu_pg_config *config, const char *slot, unsigned poll_ms, int cancel_fd,
		       void (*waiting)(void *arg, int pid), void *arg, cu_pg_lock **ret_lock, struct cu_pg_error *err)
{
	cu_pg_lock *lock = cu_xzalloc(sizeof *lock);
	unsigned tries = 0;
	bool taken = false;
	int pid = 0, rc;

	lock->magic = LOCK_MAGIC;
	rc = cu_pg_connect(config, CU_PG_ORDINARY, cancel_fd, &lock->conn, err);
	if (rc < 0)
		goto out;
	for (;;) {
		struct pollfd fd = { .fd = cancel_fd, .events = POLLIN };

		rc = lock_try(lock->conn, slot, &taken, &pid, err);
		if (rc < 0)
			goto out;
		if (taken)
			break;
		if (++tries == CU_PG_LOCK_TRIES) {
			cu_info("another instance is active: waiting for its lock", CU_KV("slot", slot),
				CU_KV_INT("holder_pid", pid), CU_KV("next", "taking over when it stops"));
			if (waiting)
				waiting(arg, pid);
		}
		if (poll(&fd, 1, (int)poll_ms) > 0) {
			rc = cu_pg_error_set(err, CU_ECLOSED, CU_PG_CANCELED, NULL, "stopping");
			goto out;
		}
	}
	cu_info("lock taken", CU_KV("slot", slot));
	*ret_lock = lock;
	lock = NULL;
out:
	cu_pg_lock_free(&lock);
	return rc;
}

int cu_pg_lock_fd(const cu_pg_lock *lock)
{
	return PQsocket(lock->conn);
}

bool cu_pg_lock_check(cu_pg_lock *lock)
{
	struct pollfd fd = { .fd = PQsocket(lock->conn), .events = POLLIN };

	CU_ASSERT(lock->magic == LOCK_MAGIC);
	/* The server's last words come before the end of the stream: read until there is nothing. */
	while (PQstatus(lock->conn) == CONNECTION_OK && poll(&fd, 1, 0) > 0)
		if (!PQconsumeInput(lock->conn))
			return false;
	return PQstatus(lock->conn) == CONNECTION_OK;
}

PGconn *cu_pg_lock_conn(cu_pg_lock *lock)
{
	return lock->conn;
}

void cu_pg_lock_free(cu_pg_lock **lock_at)
{
	cu_pg_lock *lock = *lock_at;

	if (!lock)
		return;
	CU_ASSERT(lock->magic == LOCK_MAGIC);
	*lock_at = NULL;
	lock->magic = 0;
	PQfinish(lock->conn); /* the lock goes with its session */
	free(lock);
}

static int publication_check(PGconn *conn, const char *publication, bool *ret_exists, struct cu_pg_error *err)
{
	const char *params[1] = { publication };
	PGresult *res = NULL;
	int rc;

	rc = cu_pg_query(conn,
			 "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate, pubviaroot FROM pg_publication "
			 "WHERE pubname = $1",
			 1, params, &res, err);
	if (rc < 0)
		goto out;
	*ret_exists = PQntuples(res) == 1;
	if (!*ret_exists)
		goto out;
	if (*PQgetvalue(res, 0, 0) != 't')
		rc = cu_pg_error_set(
			err, CU_EPG, CU_PG_CONFIG, NULL,
			"publication \"%s\" does not publish all operations: run ALTER PUBLICATION \"%s\" SET (publish "
			"= 'insert, update, delete, truncate')",
			publication, publication);
	else if (*PQgetvalue(res, 0, 1) == 't')
		rc = cu_pg_error_set(
			err, CU_EPG, CU_PG_CONFIG, NULL,
			"publication \"%s\" publishes via the partition root, which hides the partition of a change: "
			"run ALTER PUBLICATION \"%s\" SET (publish_via_partition_root = false)",
			publication, publication);
out:
	PQclear(res);
	return rc;
}

int cu_pg_publication_ensure(PGconn *conn, const char *publication, bool manual, int version_num, bool *ret_created,
			     struct cu_pg_error *err)
{
	/* Stored generated columns are in the stream from 18 on, if the publication says so. */
	const char *with = version_num >= 180000 ? " WITH (publish_generated_columns = stored)" : "";
	bool exists = false;
	int rc;

	*ret_created = false;
	rc = publication_check(conn, publication, &exists, err);
	if (rc < 0 || exists)
		return rc;
	if (manual)
		return cu_pg_error_set(
			err, CU_EPG, CU_PG_CONFIG, NULL,
			"publication \"%s\" does not exist and manual table publishing is on: run CREATE PUBLICATION "
			"\"%s\"%s",
			publication, publication, with);
	rc = cu_pg_execf(conn, NULL, err, "CREATE PUBLICATION \"%s\"%s", publication, with);
	if (rc == 0) {
		*ret_created = true;
		cu_info("publication created", CU_KV("publication", publication));
	} else if (err->kind == CU_PG_PERMISSION) {
		char text[300];

		snprintf(text, sizeof text,
			 "run CREATE PUBLICATION \"%s\"%s as the database's owner, or GRANT CREATE ON DATABASE to this "
			 "role",
			 publication, with);
		memcpy(err->hint, text, sizeof err->hint - 1);
		err->hint[sizeof err->hint - 1] = '\0';
	}
	return rc;
}

struct slot_row {
	bool exists;
	bool lost;
	bool usable; /* logical, pgoutput, of this database */
	int active_pid;
	uint64_t confirmed_flush_lsn;
	uint64_t restart_lsn;
};

static int slot_read(PGconn *conn, const char *slot, struct slot_row *row, struct cu_pg_error *err)
{
	const char *params[1] = { slot };
	PGresult *res = NULL;
	int rc;

	memset(row, 0, sizeof *row);
	/* A slot invalidated for another reason than its WAL (16+: conflicting, 17+: invalidation_reason) has no
	 * restart_lsn or the wal_status lost as well; the columns are read through JSON because old servers lack
	 * them. */
	rc = cu_pg_query(
		conn,
		"SELECT active_pid, confirmed_flush_lsn, restart_lsn, coalesce(wal_status = 'lost', false) OR "
		"coalesce(to_jsonb(s) ->> 'conflicting', 'false') = 'true' OR to_jsonb(s) ->> 'invalidation_reason' IS "
		"NOT NULL, coalesce(plugin = 'pgoutput' AND slot_type = 'logical' AND database = current_database(), false), "
		"coalesce('of database ' || quote_ident(database) || ' with plugin ' || plugin, 'a physical one') "
		"FROM pg_replication_slots s WHERE slot_name = $1",
		1, params, &res, err);
	if (rc < 0)
		goto out;
	row->exists = PQntuples(res) == 1;
	if (!row->exists)
		goto out;
	row->active_pid = (int)strtol(PQgetvalue(res, 0, 0), NULL, 10);
	row->lost = *PQgetvalue(res, 0, 3) == 't';
	row->usable = *PQgetvalue(res, 0, 4) == 't';
	if (!row->usable) {
		rc = cu_pg_error_set(
			err, CU_EPG, CU_PG_CONFIG, NULL,
			"replication slot \"%s\" is %s: not Copper's. Choose another stream id "
			"(ELECTRIC_REPLICATION_STREAM_ID), or drop it: SELECT pg_drop_replication_slot('%s')",
			slot, PQgetvalue(res, 0, 5), slot);
		goto out;
	}
	if (PQgetisnull(res, 0, 1) || cu_lsn_parse(PQgetvalue(res, 0, 1), &row->confirmed_flush_lsn) < 0)
		row->lost = true;
	if (PQgetisnull(res, 0, 2) || cu_lsn_parse(PQgetvalue(res, 0, 2), &row->restart_lsn) < 0)
		row->lost = true;
out:
	PQclear(res);
	return rc;
}

static int slot_drop(PGconn *conn, const char *slot, struct cu_pg_error *err)
{
	const char *params[1] = { slot };
	int rc =
		cu_pg_query(conn,
			    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1",
			    1, params, NULL, err);

	if (rc < 0 && strcmp(err->sqlstate, "42704") == 0)
		rc = 0; /* gone in between */
	return rc;
}

static int slot_create(PGconn *replication, const char *slot, bool temporary, struct cu_pg_slot *ret_slot,
		       struct cu_pg_error *err)
{
	PGresult *res = NULL;
	int rc;

	rc = cu_pg_execf(replication, &res, err, "CREATE_REPLICATION_SLOT \"%s\" %sLOGICAL pgoutput NOEXPORT_SNAPSHOT",
			 slot, temporary ? "TEMPORARY " : "");
	if (rc < 0)
		goto out;
	if (PQntuples(res) != 1 || cu_lsn_parse(PQgetvalue(res, 0, 1), &ret_slot->confirmed_flush_lsn) < 0) {
		rc = cu_pg_error_set(err, CU_EPG, CU_PG_QUERY, NULL,
				     "CREATE_REPLICATION_SLOT gave an unexpected answer");
		goto out;
	}
	ret_slot->restart_lsn = ret_slot->confirmed_flush_lsn;
	ret_slot->created = true;
	cu_info("replication slot created", CU_KV("slot", slot), CU_KV_LSN("lsn", ret_slot->confirmed_flush_lsn),
		CU_KV("next", "all shapes start anew"));
out:
	PQclear(res);
	return rc;
}

int cu_pg_slot_ensure(PGconn *conn, PGconn *replication, const char *slot, bool temporary, bool fresh,
		      struct cu_pg_slot *ret_slot, struct cu_pg_error *err)
{
	struct cu_pg_slot out = { 0 };
	struct slot_row row;
	int rc;

	rc = slot_read(conn, slot, &row, err);
	if (rc < 0)
		return rc;
	if (row.exists && row.active_pid) {
		/* We hold the lock, so this is a walsender whose client is gone and which has not noticed yet. */
		return cu_pg_error_set(
			err, CU_EPG, CU_PG_BUSY, "55006",
			"replication slot \"%s\" is in use by process %d; wal_sender_timeout ends it if it "
			"is dead, SELECT pg_terminate_backend(%d) frees the slot now",
			slot, row.active_pid, row.active_pid);
	}
	if (row.exists && row.lost) {
		cu_warn("replication slot was invalidated: its WAL is gone", CU_KV("slot", slot),
			CU_KV("next", "creating a new one; consider a larger max_slot_wal_keep_size"));
		out.recreated_lost = true;
	}
	/* A temporary slot ends with its session: one that is there is an old permanent one, and nobody would ever drop it. */
	if (row.exists && (row.lost || fresh || temporary)) {
		rc = slot_drop(conn, slot, err);
		if (rc < 0)
			return rc;
		row.exists = false;
	}
	if (row.exists) {
		out.confirmed_flush_lsn = row.confirmed_flush_lsn;
		out.restart_lsn = row.restart_lsn;
	} else {
		rc = slot_create(replication, slot, temporary, &out, err);
		if (rc < 0)
			return rc;
	}
	*ret_slot = out;
	return 0;
}

int cu_pg_slot_drop(PGconn *conn, const struct cu_pg_names *names, bool publication_too, struct cu_pg_error *err)
{
	int rc = slot_drop(conn, names->slot, err);

	if (rc == 0 && publication_too)
		rc = cu_pg_execf(conn, NULL, err, "DROP PUBLICATION IF EXISTS \"%s\"", names->publication);
	return rc;
}
