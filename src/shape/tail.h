/* tail.h: where the newest part of a shape's log stands in the change log.
 *
 * A tail is a list of runs. A run is a stretch of consecutive change log records that all belong to this shape
 * and to one transaction, so a table with one shape costs one run per fragment or eighth of a chunk, however many rows
 * it changes.
 *
 *	runs:  [ visible … | committed, not yet shown … | of the open transaction … ]
 *	                   ^ visible                    ^ committed                  ^ len
 *
 * Memory: up to a block of runs is one array, as large as it has to be: most tails have one run. More are blocks, so that
 * where thousands of shapes see the same changes, the places of their next runs are made one after the other and lie beside
 * each other: one array for each shape would be a page of its own to look for with every change.
 *
 * Threads: none of its own; the shape's lock guards it. The collector appends, commits and aborts; it shows what
 * is committed once the change log has been flushed. Readers copy runs out.
 */
#ifndef CU_TAIL_H
#define CU_TAIL_H

#include "base/offset.h"
#include "shape/snapshot_range.h"

struct cu_tail_run {
	uint64_t tx;       /* final LSN of the transaction */
	uint64_t first_op; /* of the first item */
	uint64_t last_op;  /* of the last item */
	uint64_t pos;      /* change log position of the first item's payload */
	uint32_t span;     /* bytes from there to the end of the last payload, record headers in between included */
	uint32_t items;
	uint32_t bytes; /* payload bytes alone */
	uint32_t xid;
	bool last; /* its last item is the transaction's last in this shape */
};

/* Payload bytes at which a run ends although its next neighbour follows: a chunk ends with a run, and a transaction
 * may be far larger than a chunk. A chunk is at most this and one item larger than it should be. */
static inline uint64_t cu_tail_run_bytes_max(uint64_t chunk_bytes_max)
{
	return chunk_bytes_max / 8;
}

/* Makes the item part of the run if it is its next neighbour in the change log and the run has fewer than bytes_max, or
 * the first (run->items == 0; tx and xid are the caller's). False: it starts another run. */
bool cu_tail_run_extend(struct cu_tail_run *run, uint64_t pos, uint32_t len, uint64_t op, uint64_t bytes_max);

#define CU_TAIL_BLOCK 8u /* runs */

typedef struct cu_tail {
	union {
		struct cu_tail_run *one;   /* blocks_cap 0: the runs */
		struct cu_tail_run **many; /* of CU_TAIL_BLOCK runs each */
	};
	uint32_t blocks_cap;
	uint32_t skip;     /* runs of the first of many that have left */
	uint32_t len, cap; /* cap: room in all, what skip counts included */
	uint32_t committed;
	uint32_t visible;
	/* Runs at which an answer ends because the chunk threshold was reached: indexes, ascending. HTTP caches depend
	 * on them: they are a function of the committed runs alone, so that a restart finds the same ones. */
	uint32_t *chunk_ends;
	uint32_t chunk_ends_len, chunk_ends_cap;
	uint64_t chunk_bytes; /* payload bytes of the committed runs since the last chunk end */
} cu_tail;

static inline struct cu_tail_run *cu_tail_run_at(const cu_tail *tail, size_t i)
{
	if (!tail->blocks_cap)
		return &tail->one[i];
	i += tail->skip;
	return &tail->many[i / CU_TAIL_BLOCK][i % CU_TAIL_BLOCK];
}

void cu_tail_fini(cu_tail *tail);
/* Where the next run goes; NULL: there is no room yet. */
static inline const struct cu_tail_run *cu_tail_next_run(const cu_tail *tail)
{
	return tail->skip + tail->len < tail->cap ? cu_tail_run_at(tail, tail->len) : NULL;
}
/* A run of the open transaction. Runs arrive in order of (tx, op). CU_ENOMEM: the shape has to go. */
int cu_tail_append(cu_tail *tail, const struct cu_tail_run *run);
/* The open transaction is complete: marks its last run, and chunk ends every chunk_bytes_max. */
void cu_tail_commit(cu_tail *tail, uint64_t chunk_bytes_max);
/* The open transaction is dropped. */
void cu_tail_abort(cu_tail *tail);
/* Shows what is committed. Returns whether anything is new. */
bool cu_tail_show(cu_tail *tail);
/* Drops the runs of transactions that the snapshot already holds. Before any reader
 * looked: nobody is served before the snapshot is known. */
void cu_tail_filter(cu_tail *tail, const cu_snapshot_range *range, uint64_t chunk_bytes_max);
/* The first n runs, visible ones, stand in a sealed chunk now. What is left needs no more memory than it takes. */
void cu_tail_drop_first(cu_tail *tail, size_t n);
/* How many of the first runs, those below the change log's `log_pos`, a sealed chunk may take: those up to the first chunk
 * end among them (*ret_ends), else all. 0: none. */
size_t cu_tail_sealable(const cu_tail *tail, uint64_t log_pos, bool *ret_ends);
/* Index of the first visible run that holds an item after `offset`; == visible when there is none. */
size_t cu_tail_seek(const cu_tail *tail, cu_offset offset);
/* The offset of the last visible item; there is one. */
cu_offset cu_tail_latest(const cu_tail *tail);
/* Where an answer that starts after `offset` ends: at the next chunk end, else at the latest; there is a visible item. */
cu_offset cu_tail_answer_end(const cu_tail *tail, cu_offset offset);

#endif
