/* metadata.h: the SQLite file of a stack: definitions, shapes, snapshots, the checkpoint, keys
 * (docs/storage-format.md, "Metadata").
 *
 * Threads: any; inside a `done` everything but get, sync and free, which wait.
 * Operations are queued in order; one writer thread takes what has gathered, runs it in one SQLite transaction
 * (synchronous=FULL) and then runs each `done` on itself, in order: rc 0 means durable. Callbacks must be short.
 * Arguments are copied. A queue of CU_METADATA_QUEUE_MAX operations is full: the call waits, but for what a request may ask for,
 * whose thread must not: a shape or a definition is refused (CU_EFULL), removals go in beyond it, one for each shape at most.
 * Errors: the call itself says CU_ENOMEM, CU_ETOOBIG (definition, blob) or CU_ECLOSED (closing), and `done` is not
 * called then. A small snapshot is read on the caller's thread, by a connection of its own that never waits for the
 * writer. `done` gets CU_EEXIST (id or handle taken), CU_ENOTFOUND (no such shape), CU_EIO or CU_ECORRUPT (the
 * disk; nothing of the group was kept, though a crash right then may still bring it back as a whole).
 */
#ifndef CU_STORE_METADATA_H
#define CU_STORE_METADATA_H

#include "base/buf.h"
#include "store/chunk.h"

typedef struct cu_metadata cu_metadata;

/* Behind the file's name: an empty file that is there once the writer has found damage in it. */
#define CU_METADATA_DAMAGED_SUFFIX "-damaged"

typedef void cu_store_done(void *ctx, int rc);

struct cu_snapshot_info {
	uint64_t xmin;
	uint64_t xmax;
	uint64_t lsn;    /* WAL position after the snapshot */
	const char *xip; /* text as the caller formats it; never NULL when loaded */
	/* How its table was published then (cu_publication_version; opaque here); "" is unknown, NULL when stored too. */
	const char *published;
	uint32_t chunks_len;
	const struct cu_chunk_info *chunks; /* chunk n = 0, 1 … in files; none when it is small */
	/* The key by which changes find the shape, where its clause has just one; opaque here. */
	bool has_route_key;
	uint16_t route_column;
	uint64_t route_hash;
	/* A small snapshot lives here and has no file: its one chunk, as the file would have been. */
	bool is_small;
	const void *small; /* NULL when loaded: cu_metadata_get_small() */
	size_t small_len;
};

struct cu_shape_row {
	uint64_t id;
	const char *handle;
	uint64_t definition_id; /* what it has in common with other shapes; see cu_metadata_put_definition() */
	const char *where;      /* its where clause; NULL: none */
	size_t where_len;
	uint64_t created_us;
	bool snapshot_complete;           /* false: the caller removes the shape (a crash interrupted its snapshot) */
	struct cu_snapshot_info snapshot; /* when complete */
};

/* A sealed piece of a shape's log: the items behind the piece before it, up to and including (last_tx, last_op). */
struct cu_log_chunk_row {
	uint64_t shape_id;
	uint32_t n; /* never used twice for a shape */
	uint64_t last_tx, last_op;
	uint64_t wire_bytes; /* of the items alone */
	struct cu_chunk_info info;
	bool ends;         /* answers end at its end */
	bool compacted;    /* superseded updates were merged in it */
	bool kept;         /* compaction has looked at it and left it as it is */
	bool settled;      /* a compaction of all that came before has been there */
	bool is_small;     /* it is kept here and has no file */
	const char *small; /* info.bytes of them; NULL when loaded: cu_metadata_get_log_chunk() */
};

struct cu_checkpoint {
	uint64_t lsn;       /* confirmed to Postgres */
	uint64_t log_pos;   /* end of the change log, after a commit */
	uint64_t last_tx;   /* offset of the last transaction held */
	uint64_t system_id; /* of the Postgres cluster */
	uint32_t timeline;
	/* Not stored: cu_metadata_removals_failed() before the caller saw that no failed removal is left. If more have failed when
	 * its turn comes the checkpoint fails too (CU_EAGAIN): it would cover what a shape missed that comes back in a crash. */
	uint64_t removals_failed;
};

/* Rows at open; everything is borrowed until the callback returns; a negative answer stops the open. Order:
 * checkpoint (not called on a new store), definitions by id, shapes by id, log chunks by shape and offset. Any may be NULL.
 * A row whose checksum is wrong, or one that must have others beside it and has not, is told to `damaged` in place of
 * being loaded; a damaged checkpoint, or rows in an order that no writer left, is CU_ECORRUPT. */
struct cu_metadata_loader {
	void *ctx;
	int (*older)(void *ctx, uint64_t version); /* before all: it was an older copper's, and is empty now */
	int (*checkpoint)(void *ctx, const struct cu_checkpoint *cp);
	int (*definition)(void *ctx, uint64_t id, const void *body, size_t len);
	int (*shapes)(void *ctx, uint64_t count); /* so many will come */
	int (*shape)(void *ctx, const struct cu_shape_row *row);
	int (*log_chunk)(void *ctx, const struct cu_log_chunk_row *row);
	/* is_definition: of this id; else the shape of this id, which may have been loaded already, or not exist at all. */
	int (*damaged)(void *ctx, bool is_definition, uint64_t id);
};

/* CU_EUNSUPPORTED: written by a newer version. CU_ECORRUPT (also when the file was found damaged by an earlier run), CU_EIO.
 * The writer thread runs on 0. */
int cu_metadata_open(const char *path, const struct cu_metadata_loader *loader, cu_metadata **ret_md);
/* Finishes what is queued, then ends the thread. NULL is fine. */
void cu_metadata_free(cu_metadata **md);

/* `done` may be NULL everywhere below. Only id, handle, definition_id, where and created_us of the row are read. */
int cu_metadata_put_shape(cu_metadata *md, const struct cu_shape_row *row, cu_store_done *done, void *ctx);
int cu_metadata_set_snapshot(cu_metadata *md, uint64_t shape_id, const struct cu_snapshot_info *info,
			     cu_store_done *done, void *ctx); /* also marks it complete */
int cu_metadata_remove_shape(cu_metadata *md, uint64_t shape_id, cu_store_done *done, void *ctx); /* idempotent */
/* Sealed chunks of a shape's log, in their order; they replace those whose last offset lies behind (from_tx, from_op) up to the
 * last one's own, all or none. The bytes of small ones among them can be read until the shape's next chunk is put. A chunk may
 * replace itself, to be marked. CU_ENOTFOUND: no such shape. */
int cu_metadata_put_log_chunks(cu_metadata *md, const struct cu_log_chunk_row *rows, size_t rows_len, uint64_t from_tx,
			       uint64_t from_op, cu_store_done *done, void *ctx);
/* A definition: opaque to storage, binary-safe; ids are the caller's. Replaces. Shapes refer to it by id; storage does not
 * check that it is there. */
int cu_metadata_put_definition(cu_metadata *md, uint64_t id, const void *body, size_t len, cu_store_done *done,
			       void *ctx);
int cu_metadata_remove_definition(cu_metadata *md, uint64_t id, cu_store_done *done, void *ctx);
int cu_metadata_put_checkpoint(cu_metadata *md, const struct cu_checkpoint *cp, cu_store_done *done, void *ctx);
int cu_metadata_set(cu_metadata *md, const char *key, const void *value, size_t len, cu_store_done *done, void *ctx);

/* Appends a small snapshot. Does not wait for the writer: sees it from its `done` on. CU_ENOTFOUND: the shape is not
 * there, or has none. CU_ECORRUPT: it is not what was stored. CU_EIO, CU_ENOMEM. Nothing is appended then. */
int cu_metadata_get_small(cu_metadata *md, uint64_t shape_id, cu_buf *bytes);
/* The same for a small log chunk, all of its bytes. */
int cu_metadata_get_log_chunk(cu_metadata *md, uint64_t shape_id, uint32_t n, cu_buf *bytes);
/* What was recorded of chunk n of a snapshot that is in files. Does not wait for the writer. */
int cu_metadata_get_chunk(cu_metadata *md, uint64_t shape_id, uint32_t n, struct cu_chunk_info *ret_info);
/* Waits. Appends the value. CU_ENOTFOUND. Sees every set queued before. */
int cu_metadata_get(cu_metadata *md, const char *key, cu_buf *value);
/* Waits until everything queued before is durable; the first error since the last call of this, or 0. */
int cu_metadata_sync(cu_metadata *md);
/* Waits. The change log may begin at `pos` from now on: everything queued before is where damage in the write-ahead file, which
 * SQLite leaves out without a word, does not take it back. CU_EAGAIN: somebody reads the file; later. CU_EIO, CU_ECORRUPT. */
int cu_metadata_set_log_start(cu_metadata *md, uint64_t pos);
/* … the last one when it was opened, 0: none. A change log that begins behind it has lost items: what says where they stand now is
 * not in the metadata. */
uint64_t cu_metadata_log_start(const cu_metadata *md);
/* How often a removal of a shape has failed, whose `done` is over. Any thread. */
uint64_t cu_metadata_removals_failed(const cu_metadata *md);
/* A new shape id: larger than every id ever stored. Any thread, does not wait. */
uint64_t cu_metadata_next_shape_id(cu_metadata *md);
/* The last one, or one that is in use and larger. */
uint64_t cu_metadata_last_shape_id(const cu_metadata *md);
/* This id is in use somewhere: new ones are larger. */
void cu_metadata_know_shape_id(cu_metadata *md, uint64_t id);
/* Once, on the writer's thread, when it finds damage in the file: no operation goes well from then on, and the next open says
 * CU_ECORRUPT. Set before the first operation. */
void cu_metadata_on_damage(cu_metadata *md, void (*damaged)(void *ctx), void *ctx);

#endif
