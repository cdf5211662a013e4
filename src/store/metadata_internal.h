/* metadata_internal.h: between the queue (metadata.c) and the SQL (metadata_sql.c).
 *
 * Threads: a cu_metadata_db belongs to one thread at a time. There are two: one writes, one reads small snapshots.
 */
#ifndef CU_STORE_METADATA_INTERNAL_H
#define CU_STORE_METADATA_INTERNAL_H

#include "store/metadata.h"

#include <sqlite3.h>

struct cu_metadata_db;

/* The columns that a row's checksum is made of, in its order. */
#define CU_SHAPE_COLUMNS                                                                                     \
	"id, handle, definition_id, where_clause, created_us, snapshot_complete, xmin, xmax, snapshot_lsn, " \
	"xip, route_column, route_hash, snapshot_small, snapshot_chunks, published"
#define CU_CHUNK_COLUMNS "shape_id, n, bytes, items, crc"
#define CU_LOG_CHUNK_COLUMNS "shape_id, n, last_tx, last_op, wire_bytes, bytes, items, crc, flags"
#define CU_CHECKPOINT_COLUMNS "lsn, log_pos, last_tx, system_id, timeline"

enum cu_metadata_kind {
	CU_METADATA_PUT_SHAPE,
	CU_METADATA_SET_SNAPSHOT,
	CU_METADATA_REMOVE_SHAPE,
	CU_METADATA_PUT_LOG_CHUNK,
	CU_METADATA_PUT_DEFINITION,
	CU_METADATA_REMOVE_DEFINITION,
	CU_METADATA_PUT_CHECKPOINT,
	CU_METADATA_SET,
	CU_METADATA_GET,
	CU_METADATA_SET_LOG_START,
	CU_METADATA_SYNC,
};

/* Flags of a log chunk's row. */
enum {
	CU_LOG_CHUNK_ENDS = 1,
	CU_LOG_CHUNK_COMPACTED = 2,
	CU_LOG_CHUNK_SMALL = 4,
	CU_LOG_CHUNK_KEPT = 8,
	CU_LOG_CHUNK_SETTLED = 16,
};

struct cu_metadata_op {
	struct cu_metadata_op *next;
	enum cu_metadata_kind kind;
	uint64_t num[13];
	bool follows; /* PUT_LOG_CHUNK: what it replaces has gone with the one before it */
	bool has_route_key;
	bool is_small; /* blob is the snapshot, the log chunk */
	char *text;    /* handle, xip, key */
	char *published;
	void *blob;
	size_t blob_len;
	struct cu_chunk_info *chunks;
	uint32_t chunks_len;
	cu_buf *ret_value; /* GET; borrowed from the waiting thread */
	cu_store_done *done;
	void *ctx;
	int rc;
};

int cu_metadata_db_open(const char *path, struct cu_metadata_db **ret_db);
/* The version that it had before it was opened, if an older one: what was in it is gone. 0: this one's, or it is new. */
uint64_t cu_metadata_db_was(const struct cu_metadata_db *db);
/* A file that is open already; for get_small only. */
int cu_metadata_db_open_reader(const char *path, struct cu_metadata_db **ret_db);
int cu_metadata_db_get_small(struct cu_metadata_db *db, uint64_t shape_id, cu_buf *bytes);
int cu_metadata_db_get_log_chunk(struct cu_metadata_db *db, uint64_t shape_id, uint32_t n, cu_buf *bytes);
int cu_metadata_db_get_chunk(struct cu_metadata_db *db, uint64_t shape_id, uint32_t n, struct cu_chunk_info *ret_info);
void cu_metadata_db_close(struct cu_metadata_db **db);
/* metadata_cut.c: CU_ECORRUPT: the file's end is missing. No file, or somebody else's, is fine. */
int cu_metadata_check_length(const char *path);
/* metadata_load.c */
int cu_metadata_db_load(struct cu_metadata_db *db, const struct cu_metadata_loader *loader, uint64_t *ret_shape_id_max);
/* The statement failed: says why in the log. CU_ECORRUPT: what it found in the file; CU_EIO: the disk, the rights. */
int cu_metadata_db_failed(struct cu_metadata_db *db, const char *what);
int cu_metadata_db_prepare(struct cu_metadata_db *db, const char *sql, sqlite3_stmt **ret_stmt);
int cu_metadata_db_number(struct cu_metadata_db *db, const char *sql, uint64_t *ret_value);
int cu_metadata_db_begin(struct cu_metadata_db *db);
/* CU_EEXIST and CU_ENOTFOUND have changed nothing; after anything else the transaction must be rolled back. */
int cu_metadata_db_run(struct cu_metadata_db *db, struct cu_metadata_op *op);
int cu_metadata_db_commit(struct cu_metadata_db *db);
/* Folds the write-ahead file into the other one, which syncs both, and begins a new one. CU_EAGAIN: somebody reads the file. */
int cu_metadata_db_fold(struct cu_metadata_db *db);
/* Is the write-ahead file so long that it should be folded? */
bool cu_metadata_db_is_long(struct cu_metadata_db *db);
/* 0: none. */
int cu_metadata_db_get_log_start(struct cu_metadata_db *db, uint64_t *ret_pos);
void cu_metadata_db_rollback(struct cu_metadata_db *db);

#endif
