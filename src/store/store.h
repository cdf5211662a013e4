/* store.h: one stack's directory: change log, chunks and metadata together (docs/storage-format.md).
 *
 * Threads: every call: any thread, but not from inside a `done`, unless it says so. Has one thread of its own, for
 * checkpoints and for emptying the trash; metadata has another. `done` callbacks run on one of those two, must be
 * short and must not wait.
 * Errors: cu_store_open says CU_EBUSY (another process has the directory: not logged, it may be waited for), CU_EUNSUPPORTED (newer format),
 * CU_ECORRUPT, CU_EIO; the log line says what to do.
 */
#ifndef CU_STORE_STORE_H
#define CU_STORE_STORE_H

#include "store/changelog.h"
#include "store/chunk.h"
#include "store/metadata.h"

typedef struct cu_store cu_store;

#define CU_STORE_FORMAT "copper-storage 1\n" /* what the file `format` of a directory says */

/* Is what the file says ours with a flipped bit, or cut off, or nothing but zeros? No format is so near to another one. */
bool cu_store_format_is_damaged(const char *text, size_t len);

/* What open finds, in this order: checkpoint, definitions, shapes, their log chunks, then the fan-out records of the change log up to
 * the checkpoint (they may name shapes that were removed: skip those). */
struct cu_store_loader {
	struct cu_metadata_loader metadata;
	void (*locked)(void *ctx); /* before all: the directory is ours. ctx: the metadata's. NULL: nobody asks */
	cu_changelog_replay *replay;
	void *replay_ctx;
};

/* Makes the directory and its parents when missing. ops NULL: the system. loader may be NULL. Directories of shapes
 * that metadata does not know are removed. */
int cu_store_open(const char *dir, const struct cu_file_ops *ops, const struct cu_store_loader *loader,
		  cu_store **ret_store);
/* After CU_ECORRUPT: puts what cannot be read out of the way, so that the next open finds an empty store. The metadata are kept
 * beside it, as metadata.damaged.sqlite3, for whoever wants to know what happened. CU_EBUSY, CU_EIO. */
int cu_store_set_aside(const char *dir, const struct cu_file_ops *ops);
/* Finishes a checkpoint under way and what metadata has queued. Does not make a checkpoint. NULL is fine. */
void cu_store_free(cu_store **store);

/* Borrowed, good until cu_store_free(). */
const char *cu_store_dir(const cu_store *store);
const struct cu_file_ops *cu_store_file_ops(const cu_store *store);
cu_changelog *cu_store_changelog(cu_store *store);
cu_chunks *cu_store_chunks(cu_store *store);
cu_metadata *cu_store_metadata(cu_store *store);

/* fsync the change log up to cp->log_pos (flushed before this call), then commit metadata (after everything queued
 * there before), then done(ctx, rc): with 0 the caller may confirm cp->lsn to Postgres and drop segments. Does not
 * wait, may be called from the collector and from `done`. CU_EBUSY: one is under way, come back after its done. */
int cu_store_checkpoint(cu_store *store, const struct cu_checkpoint *cp, cu_store_done *done, void *ctx);

/* Drops the change log's segments that end before `pos`. Waits until the metadata that say where the items of them stand now cannot be
 * lost any more. CU_EAGAIN: they could not be made so; later. CU_EIO, CU_ECORRUPT. */
int cu_store_drop_log(cu_store *store, uint64_t pos);

/* Removes the row; once that is durable the files, then done(ctx, rc). Idempotent. */
int cu_store_remove_shape(cu_store *store, uint64_t shape_id, cu_store_done *done, void *ctx);

#endif
