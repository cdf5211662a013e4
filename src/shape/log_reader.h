/* log_reader.h: pulls a range of a shape's log as wire bytes, piece by piece.
 *
 * Each piece looks its runs up anew by (shape, offset, end): between two pieces a reader holds no lock, no segment, and
 * nothing but an offset. Items come comma-joined, without brackets.
 *
 * Threads: one at a time per reader. Cost: one look-up under the shape's lock and one pread per piece; neighbouring runs
 * are read together.
 */
#ifndef CU_LOG_READER_H
#define CU_LOG_READER_H

#include "shape/shape.h"
#include "store/store.h"

#define CU_LOG_READER_PIECE ((size_t)64 * 1024) /* aimed at; one item may be larger */

typedef struct cu_log_reader {
	cu_shape *shape; /* a reference */
	cu_changelog *log;
	cu_offset at;    /* last item given out */
	cu_offset end;   /* last item to give out */
	uint64_t resume; /* position of the record behind `at` when a piece ended inside a run; 0: at a run's start */
	bool any;        /* an item has been given out: a comma comes before the next */
	char *window;    /* bytes of the change log */
	size_t window_cap;
	uint64_t window_pos;
	size_t window_len;
} cu_log_reader;

/* Items after `from` up to and including `end`, which is a latest offset or a chunk end. Keeps a reference. */
void cu_log_reader_init(cu_log_reader *reader, cu_shape *shape, cu_changelog *log, cu_offset from, cu_offset end);
void cu_log_reader_fini(cu_log_reader *reader);
/* Appends about CU_LOG_READER_PIECE bytes. 1: there is more; 0: that was all; CU_ECLOSED: the shape is gone; CU_EIO,
 * CU_ECORRUPT, CU_ENOMEM. */
int cu_log_reader_next(cu_log_reader *reader, cu_buf *out);
/* Lets go of the window; it comes back with the next piece. */
void cu_log_reader_rest(cu_log_reader *reader);

#endif
