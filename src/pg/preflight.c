/* preflight.c: see preflight.h. */
#include "pg/preflight.h"

#include "base/offset.h"

#include <stdlib.h>

/* The settings that decide whether we can follow this server, with one round trip. */
static const char settings_sql[] =
	"SELECT current_setting('server_version_num'), current_setting('wal_level'), pg_is_in_recovery(), "
	"(SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'), "
	"current_setting('max_wal_senders'), current_setting('max_replication_slots'), "
	"(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), current_user, "
	/* Hosted services grant replication by membership instead of by attribute. */
	"EXISTS (SELECT FROM pg_roles WHERE rolname IN ('rds_replication', 'rds_superuser', 'azure_pg_admin', "
	"'cloudsqlsuperuser', 'alloydbsuperuser') AND pg_has_role(current_user, oid, 'member'))";

static int settings_check(PGconn *conn, struct cu_pg_error *err)
{
	PGresult *res = NULL;
	const char *user;
	int version, rc;

	/* Before any SQL, which an old server might not even parse. */
	version = PQserverVersion(conn);
	if (version < CU_PG_VERSION_MIN)
		return cu_pg_error_set(err, CU_EPG, CU_PG_CONFIG, NULL,
				       "PostgreSQL %d.%d is too old: Copper needs version 14 or newer", version / 10000,
				       version % 10000);
	rc = cu_pg_exec(conn, settings_sql, &res, err);
	if (rc < 0)
		goto out;
	user = PQgetvalue(res, 0, 7);
	rc = CU_EPG;
	if (*PQgetvalue(res, 0, 2) == 't') {
		cu_pg_error_set(err, rc, CU_PG_CONFIG, NULL,
				"this server is a standby (in recovery): point DATABASE_URL at the primary");
		goto out;
	}
	if (strcmp(PQgetvalue(res, 0, 1), "logical") != 0) {
		cu_pg_error_set(
			err, rc, CU_PG_CONFIG, NULL,
			"wal_level is \"%s\", logical replication needs \"logical\": run ALTER SYSTEM SET wal_level = "
			"logical and restart PostgreSQL",
			PQgetvalue(res, 0, 1));
		goto out;
	}
	if (*PQgetvalue(res, 0, 6) != 't' && *PQgetvalue(res, 0, 8) != 't') {
		cu_buf role = CU_BUF_INIT;

		cu_pg_put_ident(&role, user);
		cu_pg_error_set(err, rc, CU_PG_PERMISSION, "42501",
				"role \"%s\" may not replicate: run ALTER ROLE %s REPLICATION as a superuser", user,
				cu_buf_str(&role));
		cu_buf_fini(&role);
		goto out;
	}
	if ((int)strtol(PQgetvalue(res, 0, 4), NULL, 10) == 0 || (int)strtol(PQgetvalue(res, 0, 5), NULL, 10) == 0) {
		cu_pg_error_set(
			err, rc, CU_PG_CONFIG, NULL,
			"max_wal_senders is %s and max_replication_slots is %s, both must be at least 1: ALTER SYSTEM "
			"SET them and restart PostgreSQL",
			PQgetvalue(res, 0, 4), PQgetvalue(res, 0, 5));
		goto out;
	}
	rc = 0;
out:
	PQclear(res);
	return rc;
}

int cu_pg_identify(PGconn *replication, struct cu_pg_ident *ret_ident, struct cu_pg_error *err)
{
	struct cu_pg_ident ident = { 0 };
	PGresult *res = NULL;
	int rc;

	rc = cu_pg_exec(replication, "IDENTIFY_SYSTEM", &res, err);
	if (rc < 0)
		goto out;
	if (PQntuples(res) != 1 || PQnfields(res) < 3 || cu_lsn_parse(PQgetvalue(res, 0, 2), &ident.flush_lsn) < 0) {
		rc = cu_pg_error_set(err, CU_EPG, CU_PG_CONFIG, NULL, "IDENTIFY_SYSTEM gave an unexpected answer");
		goto out;
	}
	ident.system_id = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
	ident.timeline = (uint32_t)strtoul(PQgetvalue(res, 0, 1), NULL, 10);
	ident.version_num = PQserverVersion(replication);
	PQclear(res);
	res = NULL;
	rc = cu_pg_exec(replication, "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'", &res, err);
	if (rc < 0)
		goto out;
	ident.wal_sender_timeout_ms = PQntuples(res) ? (uint32_t)strtoul(PQgetvalue(res, 0, 0), NULL, 10) : 0;
	*ret_ident = ident;
out:
	PQclear(res);
	return rc;
}

int cu_pg_preflight(const cu_pg_config *config, int cancel_fd, struct cu_pg_ident *ret_ident, struct cu_pg_error *err)
{
	PGconn *conn = NULL;
	int rc;

	rc = cu_pg_connect(config, CU_PG_ORDINARY, cancel_fd, &conn, err);
	if (rc < 0)
		goto out;
	rc = settings_check(conn, err);
	if (rc < 0)
		goto out;
	PQfinish(conn);
	conn = NULL;
	rc = cu_pg_connect(config, CU_PG_REPLICATION, cancel_fd, &conn, err);
	if (rc < 0)
		goto out;
	rc = cu_pg_identify(conn, ret_ident, err);
out:
	PQfinish(conn);
	return rc;
}
