/* preflight.h: can we follow this server at all, and which server is it?
 *
 * Threads: any that may block. Cost: two connections for a moment.
 * Each refusal says what to do: the statement to run, and whether a restart is needed.
 */
#ifndef CU_PG_PREFLIGHT_H
#define CU_PG_PREFLIGHT_H

#include "pg/conn.h"

#define CU_PG_VERSION_MIN 140000

struct cu_pg_ident {
	uint64_t system_id;
	uint32_t timeline;
	int version_num;                /* 150013 */
	uint64_t flush_lsn;             /* the server's flush position when asked */
	uint32_t wal_sender_timeout_ms; /* 0 = none */
};

/* Checks version, standby, wal_level, replication privilege, free walsenders' configuration. CU_EPG with err (kind
 * CU_PG_CONFIG or CU_PG_PERMISSION when only an administrator can help), CU_ECLOSED when cancelled. */
int cu_pg_preflight(const cu_pg_config *config, int cancel_fd, struct cu_pg_ident *ret_ident, struct cu_pg_error *err);
/* The part that needs an open replication connection: IDENTIFY_SYSTEM and settings. */
int cu_pg_identify(PGconn *replication, struct cu_pg_ident *ret_ident, struct cu_pg_error *err);

#endif
