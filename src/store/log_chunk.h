/* log_chunk.h: a sealed piece of a shape's log: wire items, and an index by offset behind them (docs/storage-format.md,
 * "Log chunks").
 *
 * Any range of offsets is a range of bytes. A chunk up to CU_LOG_CHUNK_SMALL_MAX bytes has no file: its bytes are kept
 * in the metadata, in the same form.
 *
 * Threads: a writer belongs to one at a time. Parsing: any; no state.
 * Cost: finding a range in a chunk walks its index, some 4 bytes per item; a range that is the whole chunk costs nothing.
 * Errors: CU_ECORRUPT: the index is not one. CU_EIO, CU_ENOMEM, CU_ENOTFOUND (no such chunk).
 */
#ifndef CU_STORE_LOG_CHUNK_H
#define CU_STORE_LOG_CHUNK_H

#include "base/buf.h"
#include "base/offset.h"
#include "store/chunk.h"

/* The index while it is made: one entry per item, in order. */
typedef struct cu_log_index {
	cu_buf bytes;
	uint64_t tx, op; /* of the last item */
	uint32_t items;
} cu_log_index;

#define CU_LOG_INDEX_INIT            \
	{                            \
		CU_BUF_INIT, 0, 0, 0 \
	}

/* len: of the item's wire bytes, without the comma in front of it. */
void cu_log_index_add(cu_log_index *index, uint64_t tx, uint64_t op, size_t len);

typedef struct cu_log_chunk_writer cu_log_chunk_writer;

struct cu_log_chunk {
	uint64_t wire_bytes;
	struct cu_chunk_info info; /* of all bytes, the index among them */
	char *small;               /* owned: there is no file; info.bytes of them. NULL: there is one */
};

/* Nothing is done to the disk before the chunk outgrows CU_LOG_CHUNK_SMALL_MAX. */
cu_log_chunk_writer *cu_log_chunk_writer_new(cu_chunks *chunks, uint64_t shape_id, uint32_t n);
/* Comma-joined wire items, a piece at a time; the comma between two pieces is the caller's as well. */
int cu_log_chunk_writer_append(cu_log_chunk_writer *writer, const void *wire, size_t len);
/* Appends the index, which is emptied. A file is there under its name when this says 0; with `durable` it stays, else the caller syncs
 * it (cu_chunk_sync(), then its directories). Frees the writer in every case. */
int cu_log_chunk_writer_finish(cu_log_chunk_writer **writer, cu_log_index *index, bool durable,
			       struct cu_log_chunk *ret_chunk);
void cu_log_chunk_writer_free(cu_log_chunk_writer **writer); /* gives up; NULL is fine */

/* The bytes of the items behind `from` up to and including `to`; *ret_len 0: there is none. In memory (small), or in a file. */
int cu_log_chunk_range(const void *bytes, size_t len, cu_offset from, cu_offset to, uint64_t *ret_at,
		       uint64_t *ret_len);
int cu_log_chunk_range_in_file(int fd, uint64_t len, cu_offset from, cu_offset to, uint64_t *ret_at, uint64_t *ret_len);

/* Walks a whole chunk: one in memory, or a file of any size, of which the index and a piece of the items are held. */
struct cu_log_chunk_cursor {
	int fd;             /* -1: all is in memory */
	uint64_t file_at;   /* the next bytes to be read of the file … */
	uint64_t file_left; /* … up to the index */
	const char *wire;   /* the next item … */
	size_t wire_left;   /* … and so much of what follows is in memory */
	cu_cursor index;
	uint64_t tx, op;
	bool any;
	uint32_t crc;          /* of a file, once it was walked to its end */
	cu_buf window, ending; /* of a file */
};
struct cu_log_chunk_item {
	uint64_t tx, op;
	const char *wire; /* borrowed until the next one */
	size_t len;
};
int cu_log_chunk_walk(const void *bytes, size_t len, struct cu_log_chunk_cursor *ret_cursor);
/* fd: borrowed. Needs _fini(), also after an error; the other walk does not. */
int cu_log_chunk_walk_file(int fd, uint64_t len, struct cu_log_chunk_cursor *ret_cursor);
/* 1: the next item. 0: that was all. CU_ECORRUPT, CU_EIO, CU_ENOMEM. */
int cu_log_chunk_next(struct cu_log_chunk_cursor *cursor, struct cu_log_chunk_item *ret_item);
void cu_log_chunk_cursor_fini(struct cu_log_chunk_cursor *cursor);

#endif
