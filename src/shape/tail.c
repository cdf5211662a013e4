/* tail.c: runs, committed and shown. */
#include "shape/tail.h"

#include "store/span.h"

#include <stdlib.h>

bool cu_tail_run_extend(struct cu_tail_run *run, uint64_t pos, uint32_t len, uint64_t op, uint64_t bytes_max)
{
	if (run->items == 0) {
		run->pos = pos;
		run->first_op = op;
		run->span = 0;
		run->bytes = 0;
	} else if (run->bytes >= bytes_max || pos != run->pos + run->span + cu_span_prefix(op)) {
		return false;
	}
	run->items++;
	run->span = (uint32_t)(pos + len - run->pos);
	run->bytes += len;
	run->last_op = op;
	return true;
}

void cu_tail_fini(cu_tail *tail)
{
	free(tail->runs);
	free(tail->chunk_ends);
	*tail = (cu_tail){ 0 };
}

int cu_tail_append(cu_tail *tail, const struct cu_tail_run *run)
{
	if (tail->len == tail->cap) {
		/* Most have one, for a short time. */
		size_t cap = tail->cap ? tail->cap + tail->cap / 2 + 1 : 1;
		struct cu_tail_run *runs = cap < UINT32_MAX ? cu_try_realloc(tail->runs, cap * sizeof *runs) : NULL;

		if (!runs)
			return CU_ENOMEM;
		tail->runs = runs;
		tail->cap = (uint32_t)cap;
	}
	if (tail->len) {
		const struct cu_tail_run *before = &tail->runs[tail->len - 1];

		CU_ASSERT(before->tx < run->tx || (before->tx == run->tx && before->last_op < run->first_op));
	}
	tail->runs[tail->len++] = *run;
	return 0;
}

static void count_committed(cu_tail *tail, uint32_t at, uint64_t chunk_bytes_max)
{
	tail->chunk_bytes += tail->runs[at].bytes;
	if (tail->chunk_bytes < chunk_bytes_max)
		return;
	if (tail->chunk_ends_len == tail->chunk_ends_cap) {
		tail->chunk_ends_cap = tail->chunk_ends_cap ? tail->chunk_ends_cap * 2 : 4;
		tail->chunk_ends = cu_xrealloc(tail->chunk_ends, tail->chunk_ends_cap * sizeof *tail->chunk_ends);
	}
	tail->chunk_ends[tail->chunk_ends_len++] = at;
	tail->chunk_bytes = 0;
}

void cu_tail_commit(cu_tail *tail, uint64_t chunk_bytes_max)
{
	if (tail->committed == tail->len)
		return;
	tail->runs[tail->len - 1].last = true;
	for (; tail->committed < tail->len; tail->committed++)
		count_committed(tail, tail->committed, chunk_bytes_max);
}

void cu_tail_abort(cu_tail *tail)
{
	tail->len = tail->committed;
}

bool cu_tail_show(cu_tail *tail)
{
	bool news = tail->visible != tail->committed;

	tail->visible = tail->committed;
	return news;
}

void cu_tail_filter(cu_tail *tail, const cu_snapshot_range *range, uint64_t chunk_bytes_max)
{
	uint32_t kept = 0, committed = 0, visible = 0;

	for (uint32_t i = 0; i < tail->len; i++) {
		if (cu_snapshot_range_holds(range, tail->runs[i].xid, tail->runs[i].tx))
			continue;
		committed += i < tail->committed;
		visible += i < tail->visible;
		tail->runs[kept++] = tail->runs[i];
	}
	tail->len = kept;
	tail->committed = committed;
	tail->visible = visible;
	tail->chunk_ends_len = 0;
	tail->chunk_bytes = 0;
	for (uint32_t i = 0; i < committed; i++)
		count_committed(tail, i, chunk_bytes_max);
}

void cu_tail_drop_first(cu_tail *tail, size_t n)
{
	uint32_t ends = 0, first = (uint32_t)n;
	struct cu_tail_run *runs;

	CU_ASSERT(n <= tail->visible);
	tail->len -= first;
	tail->committed -= first;
	tail->visible -= first;
	memmove(tail->runs, tail->runs + n, tail->len * sizeof *tail->runs);
	if (tail->len == 0) {
		free(tail->runs);
		tail->runs = NULL;
		tail->cap = 0;
	} else if (tail->len <= tail->cap / 2) {
		runs = cu_try_realloc(tail->runs, tail->len * sizeof *runs);
		if (runs) {
			tail->runs = runs;
			tail->cap = tail->len;
		}
	}
	for (uint32_t i = 0; i < tail->chunk_ends_len; i++) {
		if (tail->chunk_ends[i] >= first)
			tail->chunk_ends[ends++] = tail->chunk_ends[i] - first;
	}
	tail->chunk_ends_len = ends;
	if (ends == 0) {
		free(tail->chunk_ends);
		tail->chunk_ends = NULL;
		tail->chunk_ends_cap = 0;
	}
}

size_t cu_tail_sealable(const cu_tail *tail, uint64_t log_pos, bool *ret_ends)
{
	size_t low = 0, high = tail->visible;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (tail->runs[mid].pos < log_pos)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_ends = tail->chunk_ends_len > 0 && tail->chunk_ends[0] < low;
	return *ret_ends ? tail->chunk_ends[0] + (size_t)1 : low;
}

size_t cu_tail_seek(const cu_tail *tail, cu_offset offset)
{
	size_t low = 0, high = tail->visible;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (cu_offset_cmp(cu_offset_of(tail->runs[mid].tx, tail->runs[mid].last_op), offset) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

cu_offset cu_tail_latest(const cu_tail *tail)
{
	const struct cu_tail_run *run;

	CU_ASSERT(tail->visible);
	run = &tail->runs[tail->visible - 1];
	return cu_offset_of(run->tx, run->last_op);
}

cu_offset cu_tail_answer_end(const cu_tail *tail, cu_offset offset)
{
	size_t from = cu_tail_seek(tail, offset);
	size_t low = 0, high = tail->chunk_ends_len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (tail->chunk_ends[mid] < from)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < tail->chunk_ends_len && tail->chunk_ends[low] < tail->visible) {
		const struct cu_tail_run *run = &tail->runs[tail->chunk_ends[low]];

		return cu_offset_of(run->tx, run->last_op);
	}
	return cu_tail_latest(tail);
}
