/* compactor.c: what to compact; then read, merge, write, change hands. */
#include "shape/compactor.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"
#include "shape/compact_parts.h"
#include "store/log_chunk.h"

#include <pthread.h>
#include <stdlib.h>

#define WORTH 8 /* less than one in so many bytes to gain: the chunks stay */

/* ---- what to compact ---- */

/* Chunks at … at + len of a log. */
struct plan {
	uint32_t at;
	uint32_t len;
};

/* Compaction has been there. */
static bool is_old(const struct cu_sealed *chunk)
{
	return chunk->compacted || chunk->kept;
}

/* Many small ones: joined with those before them that are not much larger than what has gathered, so that sizes
 * about double. */
static void plan_small(const cu_shape_log *log, uint64_t chunk_bytes, uint64_t bytes, struct plan *plan)
{
	for (; plan->at > 0; plan->at--, plan->len++) {
		uint64_t before = log->sealed[plan->at - 1].bytes;

		if (before > bytes + bytes / 2 || bytes + before > CU_MIN(chunk_bytes, CU_COMPACTION_BYTES))
			return;
		bytes += before;
	}
}

/* False: nothing to do now. */
static bool plan_make(const cu_shape_log *log, uint64_t chunk_bytes, struct plan *ret_plan)
{
	uint32_t end = log->sealed_len > CU_COMPACTION_WINDOW ? log->sealed_len - CU_COMPACTION_WINDOW : 0;
	uint32_t first = end, at;
	uint64_t fresh = 0, old = 0;

	while (first > 0 && !is_old(&log->sealed[first - 1]))
		fresh += log->sealed[--first].bytes;
	if (first == end)
		return false;
	/* The compacted ones beside them that can take part. */
	for (at = first; at > 0 && old + log->sealed[at - 1].bytes <= CU_COMPACTION_BYTES / 2; at--)
		old += log->sealed[at - 1].bytes;
	if (fresh >= CU_MIN(CU_COMPACTION_BYTES_MIN, CU_COMPACTION_CHUNKS * chunk_bytes) && fresh >= old) {
		/* No more new ones than fit, but one at least. */
		for (; end - 1 > first && old + fresh > CU_COMPACTION_BYTES; end--)
			fresh -= log->sealed[end - 1].bytes;
		*ret_plan =
			old + fresh > CU_COMPACTION_BYTES ? (struct plan){ first, 1 } : (struct plan){ at, end - at };
		return true;
	}
	*ret_plan = (struct plan){ first, end - first };
	/* Chunks of about the usual size wait for more. */
	if (end - first < CU_COMPACTION_CHUNKS || fresh >= (end - first) * (chunk_bytes / 4))
		return false;
	plan_small(log, chunk_bytes, fresh, ret_plan);
	return true;
}

bool cu_compactor_wants(const cu_shape_log *log, uint64_t chunk_bytes)
{
	struct plan plan;

	return plan_make(log, chunk_bytes, &plan);
}

/* ---- reading ---- */

struct input {
	struct cu_sealed chunk;
	struct cu_chunk_info info; /* of all its bytes, the index too */
};

/* One compaction. */
struct work {
	cu_store *store;
	cu_shape *shape;
	struct plan plan;
	cu_offset from; /* the last offset before */
	struct input *inputs;
	uint64_t bytes; /* of the items */
	bool unknown;   /* an item that compact.h does not know: all stay */
	cu_compact_parts *parts;
};

/* The plan, with copies of what the lock guards. False: nothing to do. */
static bool work_init(struct work *work, uint64_t chunk_bytes)
{
	cu_shape *shape = work->shape;
	cu_shape_log *log;
	bool wants;

	cu_shape_lock(shape);
	log = shape->log;
	wants = log && shape->state == CU_SHAPE_LIVE && plan_make(log, chunk_bytes, &work->plan);
	if (wants) {
		work->inputs = cu_xzalloc(work->plan.len * sizeof *work->inputs);
		for (uint32_t i = 0; i < work->plan.len; i++) {
			work->inputs[i].chunk = log->sealed[work->plan.at + i];
			work->bytes += work->inputs[i].chunk.bytes;
		}
		work->from = work->plan.at ? cu_sealed_last(&log->sealed[work->plan.at - 1]) : CU_OFFSET_SNAPSHOT_END;
	}
	cu_shape_unlock(shape);
	return wants;
}

static void work_fini(struct work *work)
{
	free(work->inputs);
	cu_compact_parts_free(&work->parts);
}

/* A chunk that is not there: of a shape that was removed, or lost. */
static int missing(struct work *work)
{
	bool live;

	cu_shape_lock(work->shape);
	live = work->shape->state == CU_SHAPE_LIVE;
	cu_shape_unlock(work->shape);
	return live ? CU_ECORRUPT : CU_ECLOSED;
}

/* rc of what was added: an item that is not known is no error when the checksum says that it is what was written. */
static int unless_unknown(struct work *work, int rc)
{
	work->unknown |= rc == CU_ECORRUPT;
	return rc == CU_ECORRUPT ? 0 : rc;
}

static int walk_input(struct work *work, struct input *input, struct cu_log_chunk_cursor *cursor)
{
	struct cu_log_chunk_item item;
	int rc = 0;

	while (rc == 0 && (rc = cu_log_chunk_next(cursor, &item)) == 1) {
		input->info.items++;
		rc = work->unknown ? 0
				   : unless_unknown(work, cu_compact_parts_add(work->parts, item.tx, item.op, item.wire,
									       item.len));
	}
	return rc;
}

static int read_small(struct work *work, struct input *input, cu_buf *bytes)
{
	return cu_metadata_get_log_chunk(cu_store_metadata(work->store), work->shape->id, input->chunk.n, bytes);
}

static int walk_small(struct work *work, struct input *input)
{
	struct cu_log_chunk_cursor cursor;
	cu_buf bytes = CU_BUF_INIT;
	int rc = read_small(work, input, &bytes);

	if (rc == 0)
		rc = cu_log_chunk_walk(bytes.data, bytes.len, &cursor);
	if (rc == 0)
		rc = walk_input(work, input, &cursor);
	input->info.bytes = bytes.len;
	cu_buf_fini(&bytes);
	return rc;
}

static int walk_file(struct work *work, struct input *input)
{
	struct cu_log_chunk_cursor cursor;
	int fd = -1;
	int rc = cu_chunk_open(cu_store_chunks(work->store), work->shape->id, CU_CHUNK_LOG, input->chunk.n, &fd,
			       &input->info.bytes);

	if (rc < 0)
		return rc;
	rc = cu_log_chunk_walk_file(fd, input->info.bytes, &cursor);
	if (rc == 0)
		rc = walk_input(work, input, &cursor);
	if (rc == 0 && cursor.crc != input->chunk.crc)
		rc = CU_ECORRUPT;
	cu_log_chunk_cursor_fini(&cursor);
	cu_file_close(&cu_file_system, &fd);
	return rc;
}

static int read_inputs(struct work *work)
{
	int rc = 0;

	work->parts = cu_compact_parts_new(cu_store_file_ops(work->store), cu_store_dir(work->store), work->bytes,
					   CU_COMPACTION_MEMORY);
	for (uint32_t i = 0; rc == 0 && i < work->plan.len; i++) {
		struct input *input = &work->inputs[i];

		input->info.crc = input->chunk.crc;
		rc = input->chunk.small ? walk_small(work, input) : walk_file(work, input);
	}
	return rc == CU_ENOTFOUND ? missing(work) : rc;
}

/* ---- changing hands ---- */

/* A chunk on its way into the metadata. */
struct handover {
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
	int rc;
	cu_shape *shape;
	struct plan plan;
	struct cu_sealed chunk;
};

/* On the metadata's thread: what was committed is what readers find from now on. */
static void handed_over(void *ctx, int rc)
{
	struct handover *handover = ctx;

	if (rc == 0) {
		cu_shape_lock(handover->shape);
		cu_shape_log_replace(handover->shape->log, handover->plan.at, handover->plan.len, &handover->chunk);
		cu_shape_unlock(handover->shape);
	}
	pthread_mutex_lock(&handover->lock);
	handover->done = true;
	handover->rc = rc;
	pthread_cond_signal(&handover->over);
	pthread_mutex_unlock(&handover->lock);
}

/* chunk stands for plan's chunks, those behind `from`. */
static int hand_over(struct work *work, const struct plan *plan, cu_offset from, const struct cu_sealed *chunk,
		     const struct cu_chunk_info *info, const char *small)
{
	struct handover handover = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.over = PTHREAD_COND_INITIALIZER,
		.shape = work->shape,
		.plan = *plan,
		.chunk = *chunk,
	};
	struct cu_log_chunk_row row = {
		.shape_id = work->shape->id,
		.n = chunk->n,
		.last_tx = chunk->tx,
		.last_op = chunk->op,
		.wire_bytes = chunk->bytes,
		.info = *info,
		.ends = chunk->ends,
		.compacted = chunk->compacted,
		.kept = chunk->kept,
		.is_small = chunk->small,
		.small = small,
	};
	int rc = cu_metadata_put_log_chunk(cu_store_metadata(work->store), &row, from.tx, from.op, handed_over,
					   &handover);

	pthread_mutex_lock(&handover.lock);
	while (rc == 0 && !handover.done)
		pthread_cond_wait(&handover.over, &handover.lock);
	pthread_mutex_unlock(&handover.lock);
	pthread_cond_destroy(&handover.over);
	pthread_mutex_destroy(&handover.lock);
	return rc < 0 ? rc : handover.rc;
}

/* The chunks stay, each marked as looked at. */
static int mark_all(struct work *work)
{
	cu_offset from = work->from;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < work->plan.len; i++) {
		struct input *input = &work->inputs[i];
		cu_buf small = CU_BUF_INIT;

		if (!is_old(&input->chunk)) {
			input->chunk.kept = true;
			if (input->chunk.small)
				rc = read_small(work, input, &small);
			if (rc == 0)
				rc = hand_over(work, &(struct plan){ work->plan.at + i, 1 }, from, &input->chunk,
					       &input->info, small.data);
			cu_buf_fini(&small);
		}
		from = cu_sealed_last(&input->chunk);
	}
	return rc;
}

/* One that does not fit into memory: known until the next start, which costs a look then. */
static void mark_too_large(struct work *work)
{
	cu_shape_lock(work->shape);
	work->shape->log->sealed[work->plan.at].kept = true;
	cu_shape_unlock(work->shape);
}

static int write_merged(struct work *work, uint32_t n, struct cu_log_chunk *ret_chunk)
{
	cu_log_chunk_writer *writer = cu_log_chunk_writer_new(cu_store_chunks(work->store), work->shape->id, n);
	cu_log_index index = CU_LOG_INDEX_INIT;
	struct cu_compacted item;
	bool any = false;
	int rc, put = 0;

	while (put == 0 && (rc = cu_compact_parts_next(work->parts, &item)) == 1) {
		if (any)
			put = cu_log_chunk_writer_append(writer, ",", 1);
		any = true;
		if (put == 0)
			put = cu_log_chunk_writer_append(writer, item.item, item.len);
		cu_log_index_add(&index, item.tx, item.op, item.len);
	}
	rc = put < 0 ? put : rc;
	if (rc == 0)
		rc = cu_log_chunk_writer_finish(&writer, &index, ret_chunk);
	cu_log_chunk_writer_free(&writer);
	cu_buf_fini(&index.bytes);
	return rc;
}

static void remove_file(struct work *work, uint32_t n)
{
	cu_chunk_remove(cu_store_chunks(work->store), work->shape->id, CU_CHUNK_LOG, n);
}

static void remove_inputs(struct work *work)
{
	for (uint32_t i = 0; i < work->plan.len; i++) {
		if (!work->inputs[i].chunk.small)
			remove_file(work, work->inputs[i].chunk.n);
	}
}

/* All chunks become one. */
static int replace_all(struct work *work, uint64_t *ret_bytes)
{
	const struct cu_sealed *last = &work->inputs[work->plan.len - 1].chunk;
	struct cu_log_chunk written = { 0 };
	struct cu_sealed chunk = { .tx = last->tx, .op = last->op, .ends = true, .compacted = true, .good = true };
	bool asked;
	int rc;

	cu_shape_lock(work->shape);
	chunk.n = work->shape->log->next_n++;
	cu_shape_unlock(work->shape);
	rc = write_merged(work, chunk.n, &written);
	/* A COMMIT that failed may be durable all the same: what the next start finds no row for goes then. */
	asked = rc == 0;
	if (rc == 0) {
		chunk.bytes = (uint32_t)written.wire_bytes;
		chunk.crc = written.info.crc;
		chunk.small = written.small != NULL;
		if (CU_MUTANT(COMPACTED_FILES_GO_FIRST))
			remove_inputs(work);
		rc = hand_over(work, &work->plan, work->from, &chunk, &written.info, written.small);
	}
	if (rc == 0)
		remove_inputs(work);
	else if (!asked)
		remove_file(work, chunk.n);
	*ret_bytes = chunk.bytes;
	free(written.small);
	return rc;
}

int cu_compactor_run(cu_store *store, cu_shape *shape, uint64_t chunk_bytes, struct cu_compacted_bytes *ret_bytes)
{
	struct work work = { .store = store, .shape = shape };
	uint64_t gained = 0;
	int rc = 0;

	if (!work_init(&work, chunk_bytes))
		return 0;
	if (work.plan.len == 1 && work.inputs[0].chunk.bytes > CU_COMPACTION_BYTES) {
		mark_too_large(&work);
		*ret_bytes = (struct cu_compacted_bytes){ 0, 0 };
		rc = 1;
		goto out;
	}
	rc = read_inputs(&work);
	if (rc == 0 && !work.unknown)
		rc = unless_unknown(&work, cu_compact_parts_merge(work.parts, &gained));
	if (rc < 0)
		goto out;
	*ret_bytes = (struct cu_compacted_bytes){ work.bytes, work.bytes };
	if (work.unknown || (gained < work.bytes / WORTH && (work.bytes > chunk_bytes || work.plan.len == 1)))
		rc = mark_all(&work);
	else
		rc = replace_all(&work, &ret_bytes->after);
	if (rc == 0)
		rc = 1;
out:
	if (rc == CU_ENOTFOUND) /* it was removed; its directory may have come back with the new file */
		cu_chunks_remove_shape(cu_store_chunks(store), shape->id);
	work_fini(&work);
	return rc == CU_ENOTFOUND || rc == CU_ECLOSED ? 0 : rc;
}
