/* log_reader.h: pulls a range of a shape's log as wire bytes, piece by piece: from sealed chunks, then from the tail.
 *
 * Each piece is looked up anew by (shape, offset, end): between two pieces a reader holds no lock, no segment, nothing but an
 * offset, and the descriptor of the file that was given out last. Items come comma-joined, without brackets.
 *
 * Threads: one at a time per reader. Cost: one look-up under the shape's lock and one pread per piece of the tail, where
 * neighbouring runs are read together; an open and a fstat per sealed file, which the caller sends.
 */
#ifndef CU_LOG_READER_H
#define CU_LOG_READER_H

#include "shape/shape.h"
#include "store/log_chunk.h"
#include "store/store.h"

#define CU_LOG_READER_PIECE ((size_t)64 * 1024) /* aimed at, by default; one item may be larger */

typedef struct cu_log_reader {
	cu_shape *shape; /* a reference */
	cu_store *store;
	cu_log_index *index; /* NULL; else told of each item that comes from the tail: for the sealer */
	cu_offset at;        /* last item given out */
	cu_offset end;       /* last item to give out */
	uint64_t resume; /* position of the record behind `at` when a piece ended inside a run; 0: at a run's start */
	size_t piece;    /* bytes aimed at: CU_LOG_READER_PIECE, or less if the caller says so after init */
	bool any;        /* an item has been given out: a comma comes before the next */
	char *window;    /* bytes of the change log */
	size_t window_cap;
	uint64_t window_pos;
	size_t window_len;
	int fd;                     /* of the file that was given out last; -1: none */
	uint64_t file_at, file_len; /* what cu_log_reader_next_bytes() has not read of it */
} cu_log_reader;

/* A range of a file, borrowed until the next call. len 0: none. */
struct cu_log_file {
	int fd;
	uint64_t at;
	uint64_t len;
};

/* Items after `from` up to and including `end`, which is a latest offset or a chunk end. Keeps a reference. */
void cu_log_reader_init(cu_log_reader *reader, cu_shape *shape, cu_store *store, cu_offset from, cu_offset end);
void cu_log_reader_fini(cu_log_reader *reader);
/* Appends about a piece's bytes; what *ret_file says comes behind them. 1: there is more; 0: that was all;
 * CU_ECLOSED: the shape is gone; CU_EAGAIN: a compaction moved items beyond `end`: what is left of this range cannot be
 * given out any more, but any range that is asked for now can; CU_EIO, CU_ECORRUPT, CU_ENOMEM. */
int cu_log_reader_next(cu_log_reader *reader, cu_buf *out, struct cu_log_file *ret_file);
/* The same with the files' bytes read, a piece at a time; for a reader that is asked in no other way. */
int cu_log_reader_next_bytes(cu_log_reader *reader, cu_buf *out);
/* Lets go of the window; it comes back with the next piece. */
void cu_log_reader_rest(cu_log_reader *reader);

#endif
