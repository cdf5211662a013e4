/* slot.h: the names we share with Electric, the advisory lock, the publication and the slot.
 *
 * Names and lock key are Electric's (electric_slot_<stream id>, electric_publication_<stream id>,
 * pg_advisory_lock(hashtext(slot))): an existing deployment can switch over, and the two exclude each other.
 *
 * Threads: any that may block. Normally only the replication thread calls this; see replication.h.
 */
#ifndef CU_PG_SLOT_H
#define CU_PG_SLOT_H

#include "pg/preflight.h"

#define CU_PG_NAME_SIZE 64 /* NAMEDATALEN */

struct cu_pg_names {
	char slot[CU_PG_NAME_SIZE];
	char publication[CU_PG_NAME_SIZE];
};

/* stream_id NULL or "" = "default". CU_EINVAL when it has other characters than a-z 0-9 _ or is too long: Postgres
 * allows nothing else in a slot's name. */
int cu_pg_names_init(struct cu_pg_names *names, const char *stream_id);

/* --- lock --- */
typedef struct cu_pg_lock cu_pg_lock;

/* Takes the lock on a connection of its own. While another instance has it: tries again every poll_ms (never a waiting
 * statement, that would hold back vacuum) and calls waiting(arg, holder pid) once, when CU_PG_LOCK_TRIES have failed.
 * CU_ECLOSED when cancel_fd becomes readable. */
int cu_pg_lock_acquire(const cu_pg_config *config, const char *slot, unsigned poll_ms, int cancel_fd,
		       void (*waiting)(void *arg, int pid), void *arg, cu_pg_lock **ret_lock, struct cu_pg_error *err);
int cu_pg_lock_fd(const cu_pg_lock *lock); /* readable = call cu_pg_lock_check() */
/* False when its connection is gone, and the lock with it. Does not block. */
bool cu_pg_lock_check(cu_pg_lock *lock);
/* The connection that holds the lock, for other short statements of the same thread. Borrowed. */
PGconn *cu_pg_lock_conn(cu_pg_lock *lock);
void cu_pg_lock_free(cu_pg_lock **lock); /* NULL is fine */

/* --- publication and slot --- */
struct cu_pg_slot {
	bool publication_created; /* then the slot is new as well */
	bool created;             /* new: nothing of the past can be resumed, every shape rotates */
	bool recreated_lost;      /* created because the old one had been invalidated */
	uint64_t confirmed_flush_lsn;
	uint64_t restart_lsn;
};

/* Creates the publication when it is missing (CU_EPG / permission when we may not; manual = never create, only check).
 * Complains when it does not publish all operations. */
int cu_pg_publication_ensure(PGconn *conn, const char *publication, bool manual, int version_num, bool *ret_created,
			     struct cu_pg_error *err);
/* Creates the slot when it is missing, lost, not temporary although that is wanted, or `fresh` is asked for. replication: the connection that will stream
 * (creates a temporary slot there when temporary is set). CU_EPG with kind CU_PG_BUSY while a zombie walsender has
 * it. */
int cu_pg_slot_ensure(PGconn *conn, PGconn *replication, const char *slot, bool temporary, bool fresh,
		      struct cu_pg_slot *ret_slot, struct cu_pg_error *err);
/* Drops slot and publication (shutdown with clean-up asked for, tests). Missing ones are fine. */
int cu_pg_slot_drop(PGconn *conn, const struct cu_pg_names *names, bool publication_too, struct cu_pg_error *err);

#endif
