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

/* How many blocks there are of many. */
static uint32_t blocks_len(const cu_tail *tail)
{
	return tail->cap / CU_TAIL_BLOCK;
}

static void runs_free(cu_tail *tail)
{
	for (uint32_t i = 0; tail->blocks_cap && i < blocks_len(tail); i++)
		free(tail->many[i]);
	free(tail->one); /* or many */
	tail->one = NULL;
	tail->blocks_cap = tail->skip = tail->cap = 0;
}

void cu_tail_fini(cu_tail *tail)
{
	runs_free(tail);
	free(tail->chunk_ends);
	*tail = (cu_tail){ 0 };
}

/* Room for n runs in the one array. False: no memory. */
static bool resize_one(cu_tail *tail, uint32_t n)
{
	struct cu_tail_run *runs = cu_try_realloc(tail->one, n * sizeof *runs);

	if (!runs)
		return false;
	tail->one = runs;
	tail->cap = n;
	return true;
}

/* From one array, which is a whole block, to many. */
static bool begin_many(cu_tail *tail)
{
	struct cu_tail_run **many = cu_try_malloc(4 * sizeof(*many));

	if (!many)
		return false;
	many[0] = tail->one;
	tail->many = many;
	tail->blocks_cap = 4;
	return true;
}

static bool add_block(cu_tail *tail)
{
	uint32_t n = blocks_len(tail);

	if (n == tail->blocks_cap) {
		struct cu_tail_run **many = cu_try_realloc(tail->many, 2 * (size_t)n * sizeof(*many));

		if (!many)
			return false;
		tail->many = many;
		tail->blocks_cap = 2 * n;
	}
	tail->many[n] = cu_try_malloc(CU_TAIL_BLOCK * sizeof(**tail->many));
	if (!tail->many[n])
		return false;
	tail->cap += CU_TAIL_BLOCK;
	return true;
}

/* Most have one run, for a short time. */
static bool make_room(cu_tail *tail)
{
	if (tail->cap > UINT32_MAX / 4)
		return false;
	if (!tail->blocks_cap && tail->cap < CU_TAIL_BLOCK)
		return resize_one(tail, tail->cap ? CU_MIN(tail->cap * 2, CU_TAIL_BLOCK) : 1);
	return (tail->blocks_cap || begin_many(tail)) && add_block(tail);
}

int cu_tail_append(cu_tail *tail, const struct cu_tail_run *run)
{
	if (tail->skip + tail->len == tail->cap && !make_room(tail))
		return CU_ENOMEM;
	if (tail->len) {
		const struct cu_tail_run *before = cu_tail_run_at(tail, tail->len - 1);

		CU_ASSERT(before->tx < run->tx || (before->tx == run->tx && before->last_op < run->first_op));
	}
	*cu_tail_run_at(tail, tail->len) = *run;
	tail->len++;
	return 0;
}

static void count_committed(cu_tail *tail, uint32_t at, uint64_t chunk_bytes_max)
{
	tail->chunk_bytes += cu_tail_run_at(tail, at)->bytes;
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
	cu_tail_run_at(tail, tail->len - 1)->last = true;
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
		const struct cu_tail_run *run = cu_tail_run_at(tail, i);

		if (cu_snapshot_range_holds(range, run->xid, run->tx))
			continue;
		committed += i < tail->committed;
		visible += i < tail->visible;
		*cu_tail_run_at(tail, kept++) = *run;
	}
	tail->len = kept;
	tail->committed = committed;
	tail->visible = visible;
	tail->chunk_ends_len = 0;
	tail->chunk_bytes = 0;
	for (uint32_t i = 0; i < committed; i++)
		count_committed(tail, i, chunk_bytes_max);
}

/* The first n of many leave. What is left in one block is one array again. */
static void drop_of_many(cu_tail *tail, uint32_t n)
{
	uint32_t gone = (tail->skip + n) / CU_TAIL_BLOCK;
	struct cu_tail_run **many = tail->many, *one;

	for (uint32_t i = 0; i < gone; i++)
		free(many[i]);
	tail->cap -= gone * CU_TAIL_BLOCK;
	tail->skip = (tail->skip + n) % CU_TAIL_BLOCK;
	memmove(many, many + gone, blocks_len(tail) * sizeof(*many));
	if (blocks_len(tail) != 1) {
		if (blocks_len(tail) > tail->blocks_cap / 2)
			return;
		many = cu_try_realloc(many, blocks_len(tail) * sizeof(*many));
		if (many) {
			tail->many = many;
			tail->blocks_cap = blocks_len(tail);
		}
		return;
	}
	one = many[0];
	memmove(one, one + tail->skip, tail->len * sizeof *one);
	free(many);
	tail->one = one;
	tail->blocks_cap = tail->skip = 0;
}

void cu_tail_drop_first(cu_tail *tail, size_t n)
{
	uint32_t ends = 0, first = (uint32_t)n;

	CU_ASSERT(n <= tail->visible);
	tail->len -= first;
	tail->committed -= first;
	tail->visible -= first;
	if (tail->len == 0)
		runs_free(tail);
	else if (tail->blocks_cap)
		drop_of_many(tail, first);
	else
		memmove(tail->one, tail->one + n, tail->len * sizeof *tail->one);
	if (!tail->blocks_cap && tail->len && tail->len <= tail->cap / 2)
		(void)resize_one(tail, tail->len);
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

		if (cu_tail_run_at(tail, mid)->pos < log_pos)
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

		const struct cu_tail_run *run = cu_tail_run_at(tail, mid);

		if (cu_offset_cmp(cu_offset_of(run->tx, run->last_op), offset) <= 0)
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
	run = cu_tail_run_at(tail, tail->visible - 1);
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
		const struct cu_tail_run *run = cu_tail_run_at(tail, tail->chunk_ends[low]);

		return cu_offset_of(run->tx, run->last_op);
	}
	return cu_tail_latest(tail);
}
