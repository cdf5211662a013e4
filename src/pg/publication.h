/* publication.h: a table joins the stream (DESIGN.md, section 7).
 *
 * In one transaction with a short lock_timeout: ADD TABLE to the publication, then REPLICA IDENTITY FULL on the table
 * and all its partitions; then wait for the transactions that were already writing. Only after join() returned 0 may
 * the table's snapshot be taken. What has been joined is remembered by oid, so the second call costs a hash probe.
 *
 * Threads: any that may block; several at once are fine (one mutex, not held during I/O). Bound:
 * CU_TABLE_WRITERS_WAIT_MS for locks and writers together, then CU_EAGAIN with err saying who is in the way: answer
 * 503.
 */
#ifndef CU_PG_PUBLICATION_H
#define CU_PG_PUBLICATION_H

#include "pg/catalog.h"
#include "pg/pool.h"

typedef struct cu_publication cu_publication;

/* manual: only check, never ALTER (ELECTRIC_MANUAL_TABLE_PUBLISHING). wait_ms 0 = CU_TABLE_WRITERS_WAIT_MS. */
int cu_publication_new(const char *publication, bool manual, unsigned wait_ms, cu_publication **ret_pub);
void cu_publication_free(cu_publication **pub);
/* 0, CU_EAGAIN (locks or writers in the way), CU_EPG with err: kind CU_PG_PERMISSION when we may not alter,
 * CU_PG_CONFIG when the publication or (manual) the table's settings are missing: err->message tells precisely what. */
int cu_publication_join(cu_publication *pub, PGconn *conn, const struct cu_table *table, struct cu_pg_error *err);
/* The same on a connection of that pool, whose role may alter what the caller's own may not. Waits; never from a worker
 * of that pool. */
int cu_publication_join_in(cu_publication *pub, cu_pool *pool, const struct cu_table *table, struct cu_pg_error *err);
bool cu_publication_has(cu_publication *pub, uint32_t oid);
/* 0 = all (after a reconnection, or when the publication was made anew). */
void cu_publication_forget(cu_publication *pub, uint32_t oid);

/* How a table came to be published: equal texts, and it has been published all the time between the two looks, with the
 * same options and the same partitions. A table that left the publication and came back has another version: changes of it may
 * be missing. */
#define CU_PUBLICATION_VERSION_SIZE 64

struct cu_publication_version {
	char text[CU_PUBLICATION_VERSION_SIZE]; /* "": not published, or not known */
};

/* Appends an SQL expression: the version of the table whose oid the expression `oid` gives; NULL: not published. */
void cu_publication_put_version(const cu_publication *pub, int server_version, const char *oid, cu_buf *sql);
/* text NULL: not published. */
void cu_publication_version_set(struct cu_publication_version *version, const char *text);
/* The version with which the table joined, or that was noted for it. */
void cu_publication_version_get(cu_publication *pub, uint32_t oid, struct cu_publication_version *ret_version);
/* Before the first join: a shape was stored whose table had this version. Two that differ make one that none equals: one of them
 * has a gap. */
void cu_publication_version_restore(cu_publication *pub, uint32_t oid, const char *text);
/* Of a table that has not joined since the start and has no stored version. One that has joined keeps its own. */
void cu_publication_version_note(cu_publication *pub, uint32_t oid, const struct cu_publication_version *version);

#endif
