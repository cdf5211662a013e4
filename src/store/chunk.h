/* chunk.h: the immutable files of shapes: pieces of a snapshot, sealed pieces of a log (docs/storage-format.md, "Chunks").
 *
 * Threads: cu_chunks: any. A writer: one at a time. The trash is emptied by whoever calls empty_trash (the store's
 * thread).
 * Cost: append copies into a buffer of CU_CHUNK_BUFFER bytes; open is one open(2).
 * Errors: CU_EIO; a chunk that failed leaves a .tmp file that goes with the shape's directory.
 */
#ifndef CU_STORE_CHUNK_H
#define CU_STORE_CHUNK_H

#include "base/base.h"
#include "store/file.h"

typedef struct cu_chunks cu_chunks;
typedef struct cu_chunk_writer cu_chunk_writer;

enum cu_chunk_kind {
	CU_CHUNK_SNAPSHOT, /* snapshot.<n>: wire bytes */
	CU_CHUNK_LOG,      /* log.<n>: wire bytes and an index behind them (log_chunk.h) */
};

/* What metadata remembers of a chunk. */
struct cu_chunk_info {
	uint64_t bytes;
	uint64_t items;
	uint32_t crc; /* crc32c of the whole file */
};

/* Makes <dir>/shapes and <dir>/trash when missing. */
int cu_chunks_new(const char *dir, const struct cu_file_ops *ops, cu_chunks **ret_chunks);
void cu_chunks_free(cu_chunks **chunks);

/* Starts chunk n of a shape; a snapshot's chunk 0 and every log chunk make the shape's directory if it has none.
 * CU_ENOTFOUND: the shape was removed meanwhile. CU_ENOMEM, CU_EIO. */
int cu_chunk_writer_new(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n,
			cu_chunk_writer **ret_writer);
/* One whole item: puts a comma before it unless it is the first. */
int cu_chunk_writer_add_item(cu_chunk_writer *writer, const void *item, size_t len);
/* Any bytes; the caller sees to the commas and counts the items. */
int cu_chunk_writer_append(cu_chunk_writer *writer, const void *data, size_t len, uint64_t items);
uint64_t cu_chunk_writer_bytes(const cu_chunk_writer *writer);
/* Writes the rest, fdatasyncs if `durable`, and gives the file its name. Readers can open it from then on. Frees the
 * writer in every case. CU_ENOTFOUND: the shape was removed meanwhile. */
int cu_chunk_writer_finish(cu_chunk_writer **writer, bool durable, struct cu_chunk_info *ret_info);
void cu_chunk_writer_free(cu_chunk_writer **writer); /* gives up: the file is removed; NULL is fine */

/* fdatasyncs a chunk that was finished without `durable`. CU_ENOTFOUND: no such chunk. */
int cu_chunk_sync(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n);
/* fsyncs the shape's directory and the one above: with durable chunks, the last step before set_snapshot. */
int cu_chunks_sync_shape(cu_chunks *chunks, uint64_t shape_id);
/* The shape's directory alone. */
int cu_chunks_sync_names(cu_chunks *chunks, uint64_t shape_id);

/* A descriptor for pread and sendfile; stays good when the shape is removed. CU_ENOTFOUND: no such chunk. The caller
 * closes it with close(2). */
int cu_chunk_open(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n, int *ret_fd,
		  uint64_t *ret_bytes);
/* Reads the file through. CU_ENOTFOUND, CU_EIO. */
int cu_chunk_crc(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n, uint64_t *ret_bytes,
		 uint32_t *ret_crc);
/* … and compares size and crc: 0, CU_ECORRUPT, CU_ENOTFOUND, CU_EIO. */
int cu_chunk_verify(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n,
		    const struct cu_chunk_info *info);

/* Unlinks one, or what a writer left of it; descriptors of it stay good. Not there is fine. */
int cu_chunk_remove(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n);
/* Calls back for the number of each log chunk in the shape's directory, half-written ones too. No directory is fine. */
int cu_chunks_each_log(cu_chunks *chunks, uint64_t shape_id, int (*each)(void *ctx, uint32_t n), void *ctx);

/* Renames the shape's directory into the trash: at once gone for readers to come. No directory is fine. */
int cu_chunks_remove_shape(cu_chunks *chunks, uint64_t shape_id);
/* fsyncs the directory above the shapes': what was removed stays removed, and a directory that was made is there. */
int cu_chunks_sync_all(cu_chunks *chunks);
/* Calls back for every shape that has a directory. */
int cu_chunks_each_shape(cu_chunks *chunks, int (*each)(void *ctx, uint64_t shape_id), void *ctx);
/* Unlinks up to files_max files of the trash; *ret_more: there are others. */
int cu_chunks_empty_trash(cu_chunks *chunks, unsigned files_max, bool *ret_more);

#endif
