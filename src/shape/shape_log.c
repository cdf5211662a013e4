#include "shape/shape_log.h"

#include <stdlib.h>

void cu_shape_log_fini(cu_shape_log *log)
{
	free(log->sealed);
	cu_tail_fini(&log->tail);
}

static void make_room(cu_shape_log *log, uint32_t len)
{
	if (len > log->sealed_cap) {
		log->sealed_cap = CU_MAX(len, log->sealed_cap + log->sealed_cap / 2);
		log->sealed = cu_xrealloc(log->sealed, log->sealed_cap * sizeof *log->sealed);
	}
}

static void push(cu_shape_log *log, const struct cu_sealed *chunk)
{
	make_room(log, log->sealed_len + 1);
	log->sealed[log->sealed_len++] = *chunk;
}

int cu_shape_log_restore(cu_shape_log *log, const struct cu_log_chunk_row *row)
{
	struct cu_sealed chunk = {
		.tx = row->last_tx,
		.op = row->last_op,
		.n = row->n,
		.bytes = (uint32_t)row->wire_bytes,
		.crc = row->info.crc,
		.small = row->is_small,
		.ends = row->ends,
		.compacted = row->compacted,
		.kept = row->kept,
		.settled = row->settled,
	};

	if (row->wire_bytes > UINT32_MAX ||
	    (log->sealed_len && cu_offset_cmp(cu_shape_log_sealed_end(log), cu_sealed_last(&chunk)) >= 0))
		return CU_ECORRUPT;
	push(log, &chunk);
	log->next_n = CU_MAX(log->next_n, chunk.n + 1);
	/* Answers go on to end where they would have ended, about: the tail counts its items without their last bytes. */
	log->tail.chunk_bytes = chunk.ends ? 0 : log->tail.chunk_bytes + chunk.bytes;
	return 0;
}

void cu_shape_log_seal(cu_shape_log *log, const struct cu_sealed *chunk)
{
	cu_offset last = cu_sealed_last(chunk);
	size_t runs = cu_tail_seek(&log->tail, last);

	CU_ASSERT(cu_offset_cmp(cu_shape_log_sealed_end(log), last) < 0);
	push(log, chunk);
	if (runs)
		cu_tail_drop_first(&log->tail, runs);
}

void cu_shape_log_replace(cu_shape_log *log, uint32_t at, uint32_t len, const struct cu_sealed *chunks,
			  uint32_t chunks_len)
{
	CU_ASSERT(len > 0 && chunks_len > 0 && at + len <= log->sealed_len);
	CU_ASSERT(cu_offset_cmp(cu_sealed_last(&log->sealed[at + len - 1]), cu_sealed_last(&chunks[chunks_len - 1])) ==
		  0);
	make_room(log, log->sealed_len - len + chunks_len);
	memmove(log->sealed + at + chunks_len, log->sealed + at + len,
		(log->sealed_len - at - len) * sizeof *log->sealed);
	memcpy(log->sealed + at, chunks, chunks_len * sizeof *chunks);
	log->sealed_len = log->sealed_len - len + chunks_len;
}

uint32_t cu_shape_log_seek(const cu_shape_log *log, cu_offset offset)
{
	uint32_t low = 0, high = log->sealed_len;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (cu_offset_cmp(cu_sealed_last(&log->sealed[mid]), offset) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

cu_offset cu_shape_log_sealed_end(const cu_shape_log *log)
{
	return log->sealed_len ? cu_sealed_last(&log->sealed[log->sealed_len - 1]) : CU_OFFSET_SNAPSHOT_END;
}

cu_offset cu_shape_log_latest(const cu_shape_log *log)
{
	return log->tail.visible ? cu_tail_latest(&log->tail) : cu_shape_log_sealed_end(log);
}

static bool is_boundary(cu_offset offset)
{
	return offset.op >= CU_OP_BOUNDARY && offset.op != CU_OP_INF;
}

/* The numbers of a compaction that is on its way are larger than those of all before it, and what takes a compacted chunk's
 * place is compacted and has a larger one. */
static bool gave_number(const cu_shape_log *log, uint64_t n)
{
	for (uint32_t i = 0; i < log->sealed_len; i++) {
		if (log->sealed[i].compacted && log->sealed[i].n >= n)
			return true;
	}
	return false;
}

bool cu_shape_log_gave(const cu_shape_log *log, cu_offset offset)
{
	return !is_boundary(offset) ||
	       (gave_number(log, offset.op - CU_OP_BOUNDARY) && cu_offset_cmp(offset, cu_shape_log_latest(log)) < 0);
}

cu_offset cu_shape_log_answer_end(const cu_shape_log *log, cu_offset offset)
{
	for (uint32_t i = cu_shape_log_seek(log, offset); i < log->sealed_len; i++) {
		cu_offset last = cu_sealed_last(&log->sealed[i]);

		/* In the same transaction there may be no item in between: an answer has one. */
		if (log->sealed[i].ends && !(is_boundary(last) && last.tx == offset.tx))
			return last;
	}
	return log->tail.visible ? cu_tail_answer_end(&log->tail, offset) : cu_shape_log_sealed_end(log);
}
