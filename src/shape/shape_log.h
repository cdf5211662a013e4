/* shape_log.h: a shape's log behind its snapshot: sealed chunks, then the tail.
 *
 *	| log.0 | log.2 | …  | runs of the tail |
 *	  immutable, on disk   in the change log
 *
 * The sealer (sealer.h) moves the oldest runs of a tail into a sealed chunk. A sealed chunk holds the items behind the
 * chunk before it, up to its own last one; it never holds a chunk end but at its end, so answers end where they ended
 * before.
 *
 * Threads: none of its own; the shape's lock guards it. The sealer alone adds and replaces chunks.
 */
#ifndef CU_SHAPE_LOG_H
#define CU_SHAPE_LOG_H

#include "shape/tail.h"
#include "store/metadata.h"

struct cu_sealed {
	uint64_t tx, op; /* of its last item */
	uint32_t n;      /* its name: the file log.<n>, or the row in the metadata */
	uint32_t bytes;  /* of its items as they are sent */
	uint32_t crc;    /* crc32c of all its bytes */
	bool small;      /* in the metadata */
	bool ends;       /* answers end here */
	bool compacted;  /* superseded updates were merged in it */
	bool kept;       /* compaction has looked at it and left it as it is */
	bool settled;    /* a compaction of all that came before has been there */
	bool good; /* its file is known to be what was written: this process wrote it, or has checked it (chunk_check.h) */
};

/* Where chunk n ends that a compaction has made and that others of the same compaction follow: behind the last item of a
 * transaction, at an offset that no item has. Nobody was given it before, so no cache holds an
 * answer to it that relies on other chunks than these: numbers are taken in order, and what takes the place of chunks has larger ones
 * than they had. So the largest in the log tells which ones have been there, and after a restart too none of those is taken again. Transactions have fewer changes than 2^40; clients in JavaScript can
 * read numbers up to 2^53. */
#define CU_OP_BOUNDARY (UINT64_C(1) << 40)
static inline cu_offset cu_sealed_boundary(uint64_t tx, uint32_t n)
{
	return cu_offset_of(tx, CU_OP_BOUNDARY + n);
}

typedef struct cu_shape_log {
	struct cu_sealed *sealed;
	uint32_t sealed_len, sealed_cap;
	uint32_t next_n; /* of the next chunk that is written, sealed or compacted */
	bool listed;     /* the sealer knows that there is something in the tail */
	bool full;       /* … and a whole chunk to be sealed */
	bool waits;      /* … and chunks to be compacted */
	cu_tail tail;

	/* collector thread only: where it believes that the next run goes, to ask for it ahead. Others may have moved or freed
	 * what is there; asking is all that is done with it. */
	const void *next_run;
} cu_shape_log;

/* Collector: asks for the log, and for the place of its next run. NULL is fine. */
static inline void cu_shape_log_prefetch(const cu_shape_log *log)
{
	__builtin_prefetch(log, 1);
	if (log)
		__builtin_prefetch(&log->next_run, 1);
}
static inline void cu_shape_log_prefetch_run(const cu_shape_log *log)
{
	if (log)
		__builtin_prefetch(log->next_run, 1);
}
/* Under the shape's lock, collector. */
static inline void cu_shape_log_note_run(cu_shape_log *log)
{
	log->next_run = cu_tail_next_run(&log->tail);
}

void cu_shape_log_fini(cu_shape_log *log);
/* Start-up: the next chunk, in order of offsets. CU_ECORRUPT: it is not behind the one before. */
int cu_shape_log_restore(cu_shape_log *log, const struct cu_log_chunk_row *row);
/* A new chunk is durable: the runs that it holds leave the tail. */
void cu_shape_log_seal(cu_shape_log *log, const struct cu_sealed *chunk);
/* Chunks are durable that hold what the `len` chunks from `at` on held: the same range, to the same end. */
void cu_shape_log_replace(cu_shape_log *log, uint32_t at, uint32_t len, const struct cu_sealed *chunks,
			  uint32_t chunks_len);
/* Index of the first sealed chunk with an item behind the offset; == sealed_len when there is none. */
uint32_t cu_shape_log_seek(const cu_shape_log *log, cu_offset offset);
/* The offset of the last item of chunk i. */
static inline cu_offset cu_sealed_last(const struct cu_sealed *chunk)
{
	return cu_offset_of(chunk->tx, chunk->op);
}
/* … of the last one sealed; 0_inf: none is. */
cu_offset cu_shape_log_sealed_end(const cu_shape_log *log);
/* The offset of the last visible item, 0_inf when there is none. */
cu_offset cu_shape_log_latest(const cu_shape_log *log);
/* False: an offset that no answer has ended at, and one to come may end at (cu_sealed_boundary()). Behind all items there is none.
 * Cost: of an offset that no item has, a look at all chunks. */
bool cu_shape_log_gave(const cu_shape_log *log, cu_offset offset);
/* Where an answer that starts after `offset` ends: at the next chunk end, else at the latest. */
cu_offset cu_shape_log_answer_end(const cu_shape_log *log, cu_offset offset);

#endif
