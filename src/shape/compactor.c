/* compactor.c: what to compact; then read, merge, write, change hands. */
#include "shape/compactor.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"
#include "shape/compact_parts.h"
#include "shape/item_scan.h"
#include "store/log_chunk.h"

#include <pthread.h>
#include <stdlib.h>

#define WORTH 8 /* less than one in so many bytes to gain: the chunks stay */

/* ---- what to compact ---- */

struct cu_compactor_limits cu_compactor_limits_of(uint64_t chunk_bytes)
{
	return (struct cu_compactor_limits){
		.chunk_bytes = chunk_bytes,
		.memory = CU_COMPACTION_MEMORY,
		.near = CU_COMPACTION_BYTES,
		.far = CU_COMPACTION_BYTES_MAX,
		.chunk_max = CU_COMPACTION_CHUNK_MAX,
	};
}

/* Chunks at … at + len of a log. */
struct plan {
	uint32_t at;
	uint32_t len;
	bool far;
};

/* Compaction has been there. */
static bool is_old(const struct cu_sealed *chunk)
{
	return chunk->compacted || chunk->kept;
}

/* Leaves out new chunks until what remains fits, but one at least. */
static void plan_trim(const cu_shape_log *log, uint64_t bytes, uint64_t max, struct plan *plan)
{
	for (; plan->len > 1 && bytes > max; plan->len--)
		bytes -= log->sealed[plan->at + plan->len - 1].bytes;
}

/* Many small ones: joined with those before them that are not much larger than what has gathered, so that sizes
 * about double. */
static void plan_small(const cu_shape_log *log, const struct cu_compactor_limits *limits, uint64_t bytes,
		       struct plan *plan)
{
	for (; plan->at > 0 && !log->sealed[plan->at - 1].settled; plan->at--, plan->len++) {
		uint64_t before = log->sealed[plan->at - 1].bytes;

		if (before > bytes + bytes / 2 || bytes + before > CU_MIN(limits->chunk_bytes, limits->near))
			return;
		bytes += before;
	}
}

/* What is sealed and not settled, and as much of what is settled: when nearer ones cannot reach all of it. */
static bool plan_far(const cu_shape_log *log, const struct cu_compactor_limits *limits, uint32_t end,
		     struct plan *ret_plan)
{
	uint64_t fresh = 0, settled = 0;
	uint32_t at = end;

	for (; at > 0 && !log->sealed[at - 1].settled; at--)
		fresh += log->sealed[at - 1].bytes;
	if (fresh <= limits->near)
		return false;
	for (; at > 0 && settled + log->sealed[at - 1].bytes <= limits->far / 2; at--)
		settled += log->sealed[at - 1].bytes;
	if (fresh < settled)
		return false;
	*ret_plan = (struct plan){ at, end - at, true };
	plan_trim(log, fresh + settled, limits->far, ret_plan);
	return true;
}

/* New chunks, and the compacted ones beside them that can take part, when together these are not larger. */
static bool plan_near(const cu_shape_log *log, const struct cu_compactor_limits *limits, uint32_t end,
		      struct plan *ret_plan)
{
	uint64_t fresh = 0, old = 0;
	uint32_t first = end, at;

	while (first > 0 && !is_old(&log->sealed[first - 1]))
		fresh += log->sealed[--first].bytes;
	if (first == end)
		return false;
	for (at = first; at > 0 && !log->sealed[at - 1].settled; at--) {
		if (old + log->sealed[at - 1].bytes > limits->near / 2)
			break;
		old += log->sealed[at - 1].bytes;
	}
	if (fresh >= CU_MIN(CU_COMPACTION_BYTES_MIN, CU_COMPACTION_CHUNKS * limits->chunk_bytes) && fresh >= old) {
		*ret_plan = (struct plan){ at, end - at, false };
		plan_trim(log, old + fresh, limits->near, ret_plan);
		if (ret_plan->at + ret_plan->len <= first) /* not even one new one fits */
			*ret_plan = (struct plan){ first, 1, false };
		return true;
	}
	*ret_plan = (struct plan){ first, end - first, false };
	/* Chunks of about the usual size wait for more. */
	if (end - first < CU_COMPACTION_CHUNKS || fresh >= (end - first) * (limits->chunk_bytes / 4))
		return false;
	plan_small(log, limits, fresh, ret_plan);
	return true;
}

/* False: nothing to do now. */
static bool plan_make(const cu_shape_log *log, const struct cu_compactor_limits *limits, struct plan *ret_plan)
{
	uint32_t end = log->sealed_len > CU_COMPACTION_WINDOW ? log->sealed_len - CU_COMPACTION_WINDOW : 0;

	return plan_near(log, limits, end, ret_plan) || plan_far(log, limits, end, ret_plan);
}

bool cu_compactor_wants(const cu_shape_log *log, const struct cu_compactor_limits *limits)
{
	struct plan plan;

	return plan_make(log, limits, &plan);
}

/* ---- reading ---- */

struct input {
	struct cu_sealed chunk;
	struct cu_chunk_info info; /* of all its bytes, the index too */
};

struct output {
	struct cu_sealed chunk;
	struct cu_log_chunk written;
};

/* One compaction. */
struct work {
	cu_store *store;
	cu_shape *shape;
	const struct cu_compactor_limits *limits;
	struct plan plan;
	cu_offset from; /* the last offset before */
	struct input *inputs;
	uint64_t bytes;   /* of the items */
	bool unknown;     /* an item that compact.h does not know: all stay */
	bool looking;     /* only adding up: */
	uint64_t updates; /* bytes of updates: no more can be gained */
	cu_compact_parts *parts;
	struct output *outputs;
	uint32_t outputs_len, outputs_cap;
	struct cu_compaction_yield yield;
};

/* The plan, with copies of what the lock guards. False: nothing to do. */
static bool work_init(struct work *work)
{
	cu_shape *shape = work->shape;
	cu_shape_log *log;
	bool wants;

	cu_shape_lock(shape);
	log = shape->log;
	wants = log && shape->state == CU_SHAPE_LIVE && plan_make(log, work->limits, &work->plan);
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
	for (uint32_t i = 0; i < work->outputs_len; i++)
		free(work->outputs[i].written.small);
	free(work->outputs);
	free(work->inputs);
	cu_compact_parts_free(&work->parts);
}

static bool is_live(struct work *work)
{
	return cu_shape_status(work->shape).state == CU_SHAPE_LIVE;
}

/* A chunk that is not there: of a shape that was removed, or lost. */
static int missing(struct work *work)
{
	return is_live(work) ? CU_ECORRUPT : CU_ECLOSED;
}

/* rc of what was added: an item that is not known is no error when the checksum says that it is what was written. */
static int unless_unknown(struct work *work, int rc)
{
	work->unknown |= rc == CU_ECORRUPT;
	return rc == CU_ECORRUPT ? 0 : rc;
}

static bool is_worth(const struct work *work, uint64_t gained)
{
	return gained >= work->bytes / WORTH;
}

static void look_at(struct work *work, const struct cu_log_chunk_item *item)
{
	struct cu_item_parts parts;

	if (cu_item_scan(item->wire, item->len, &parts) == 0 && parts.operation == CU_ITEM_UPDATE)
		work->updates += item->len;
}

/* 1: there is no need to look further. */
static int walk_input(struct work *work, struct input *input, struct cu_log_chunk_cursor *cursor)
{
	struct cu_log_chunk_item item;
	int rc = 0;

	input->info.items = 0;
	while (rc == 0 && (rc = cu_log_chunk_next(cursor, &item)) == 1) {
		input->info.items++;
		rc = 0;
		if (work->looking) {
			look_at(work, &item);
			rc = is_worth(work, work->updates);
		} else if (!work->unknown) {
			rc = unless_unknown(work,
					    cu_compact_parts_add(work->parts, item.tx, item.op, item.wire, item.len));
		}
		if (rc == 0)
			rc = cu_compaction_yield(&work->yield, item.len);
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

/* Between two files: there is little to hold on to then, and stopping should not wait for the next one. */
static int yield_now(struct work *work)
{
	return cu_compaction_yield(&work->yield, CU_COMPACTION_YIELD);
}

static int walk_inputs(struct work *work)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < work->plan.len; i++) {
		struct input *input = &work->inputs[i];

		rc = yield_now(work);
		input->info.crc = input->chunk.crc;
		if (rc == 0)
			rc = input->chunk.small ? walk_small(work, input) : walk_file(work, input);
	}
	return rc == CU_ENOTFOUND ? missing(work) : rc;
}

/* CU_EFULL: they stay as they are. */
static int compact_inputs(struct work *work)
{
	bool joins = work->bytes <= work->limits->chunk_bytes && work->plan.len > 1; /* worth while by itself */
	uint64_t gained = 0;
	int rc = 0;

	/* Logs of inserts alone are not dealt out to find that there is nothing to merge. */
	if (!joins && work->bytes > work->limits->memory) {
		work->looking = true;
		rc = walk_inputs(work);
		work->looking = false;
		if (rc <= 0)
			return rc < 0 ? rc : CU_EFULL;
	}
	work->parts = cu_compact_parts_new(cu_store_file_ops(work->store), cu_store_dir(work->store), work->bytes,
					   work->limits->memory);
	cu_compact_parts_yield_to(work->parts, &work->yield);
	rc = walk_inputs(work);
	if (rc == 0 && !work->unknown)
		rc = unless_unknown(work, cu_compact_parts_merge(work->parts, &gained));
	if (rc < 0)
		return rc;
	return work->unknown || !(joins || is_worth(work, gained)) ? CU_EFULL : 0;
}

/* ---- writing ---- */

/* The output that is being written. */
struct writing {
	cu_log_chunk_writer *writer; /* NULL: none has begun */
	cu_log_index index;
	uint64_t bytes;
	uint32_t n;
};

static void writing_begin(struct work *work, struct writing *writing)
{
	cu_shape_lock(work->shape);
	writing->n = work->shape->log->next_n++;
	cu_shape_unlock(work->shape);
	writing->writer = cu_log_chunk_writer_new(cu_store_chunks(work->store), work->shape->id, writing->n);
	writing->bytes = 0;
}

static int writing_add(struct writing *writing, const struct cu_compacted *item)
{
	int rc = writing->bytes ? cu_log_chunk_writer_append(writing->writer, ",", 1) : 0;

	if (rc == 0)
		rc = cu_log_chunk_writer_append(writing->writer, item->item, item->len);
	writing->bytes += item->len + 1;
	cu_log_index_add(&writing->index, item->tx, item->op, item->len);
	return rc;
}

/* It is an output now. */
static int writing_end(struct work *work, struct writing *writing, cu_offset last)
{
	struct output *output;
	int rc;

	if (work->outputs_len == work->outputs_cap) {
		work->outputs_cap = work->outputs_cap ? work->outputs_cap * 2 : 4;
		work->outputs = cu_xrealloc(work->outputs, work->outputs_cap * sizeof *work->outputs);
	}
	output = &work->outputs[work->outputs_len++];
	*output = (struct output){ .chunk = { .n = writing->n } };
	rc = cu_log_chunk_writer_finish(&writing->writer, &writing->index, true, &output->written);
	output->chunk = (struct cu_sealed){
		.tx = last.tx,
		.op = last.op,
		.n = writing->n,
		.bytes = (uint32_t)output->written.wire_bytes,
		.crc = output->written.info.crc,
		.small = output->written.small != NULL,
		.ends = true,
		.compacted = true,
		.settled = work->plan.far,
		.good = true,
	};
	return rc;
}

static void remove_file(struct work *work, uint32_t n)
{
	cu_chunk_remove(cu_store_chunks(work->store), work->shape->id, CU_CHUNK_LOG, n);
}

static void remove_outputs(struct work *work)
{
	for (uint32_t i = 0; i < work->outputs_len; i++)
		remove_file(work, work->outputs[i].chunk.n);
}

/* Chunks of about the usual size, each but the last up to the end of a transaction. CU_EFULL: a transaction has left so much that
 * an answer with all of it would be too large. */
static int write_outputs(struct work *work)
{
	cu_offset end = cu_sealed_last(&work->inputs[work->plan.len - 1].chunk);
	struct writing writing = { .index = CU_LOG_INDEX_INIT };
	struct cu_compacted item;
	int rc = 0, next = 1;

	while (rc == 0 && (next = cu_compact_parts_next(work->parts, &item)) == 1) {
		if (writing.writer && writing.bytes >= work->limits->chunk_bytes && item.tx > writing.index.tx)
			rc = writing_end(work, &writing, cu_sealed_boundary(writing.index.tx, writing.n));
		if (rc == 0 && !writing.writer) {
			rc = yield_now(work);
			if (rc == 0)
				writing_begin(work, &writing);
		}
		if (rc == 0 && writing.bytes + item.len > work->limits->chunk_max)
			rc = CU_EFULL;
		if (rc == 0)
			rc = writing_add(&writing, &item);
		if (rc == 0)
			rc = cu_compaction_yield(&work->yield, item.len);
	}
	rc = next < 0 ? next : rc;
	if (rc == 0)
		rc = writing_end(work, &writing, end);
	cu_log_chunk_writer_free(&writing.writer);
	cu_buf_fini(&writing.index.bytes);
	if (rc < 0)
		remove_outputs(work);
	return rc;
}

/* ---- changing hands ---- */

/* Chunks on their way into the metadata. */
struct handover {
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool done;
	int rc;
	cu_shape *shape;
	struct plan plan;
	const struct cu_sealed *chunks;
	uint32_t chunks_len;
};

/* On the metadata's thread: what was committed is what readers find from now on. */
static void handed_over(void *ctx, int rc)
{
	struct handover *handover = ctx;

	if (rc == 0) {
		cu_shape_lock(handover->shape);
		cu_shape_log_replace(handover->shape->log, handover->plan.at, handover->plan.len, handover->chunks,
				     handover->chunks_len);
		cu_shape_unlock(handover->shape);
	}
	pthread_mutex_lock(&handover->lock);
	handover->done = true;
	handover->rc = rc;
	pthread_cond_signal(&handover->over);
	pthread_mutex_unlock(&handover->lock);
}

static struct cu_log_chunk_row row_of(const struct work *work, const struct cu_sealed *chunk,
				      const struct cu_chunk_info *info, const char *small)
{
	return (struct cu_log_chunk_row){
		.shape_id = work->shape->id,
		.n = chunk->n,
		.last_tx = chunk->tx,
		.last_op = chunk->op,
		.wire_bytes = chunk->bytes,
		.info = *info,
		.ends = chunk->ends,
		.compacted = chunk->compacted,
		.kept = chunk->kept,
		.settled = chunk->settled,
		.is_small = chunk->small,
		.small = small,
	};
}

/* The chunks, with their rows, stand for the plan's. */
static int hand_over(struct work *work, const struct cu_sealed *chunks, const struct cu_log_chunk_row *rows,
		     uint32_t len)
{
	struct handover handover = {
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.over = PTHREAD_COND_INITIALIZER,
		.shape = work->shape,
		.plan = work->plan,
		.chunks = chunks,
		.chunks_len = len,
	};
	int rc = cu_metadata_put_log_chunks(cu_store_metadata(work->store), rows, len, work->from.tx, work->from.op,
					    handed_over, &handover);

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
	uint32_t len = work->plan.len;
	struct cu_sealed *chunks = cu_xmalloc(len * sizeof *chunks);
	struct cu_log_chunk_row *rows = cu_xmalloc(len * sizeof *rows);
	cu_buf *smalls = cu_xzalloc(len * sizeof *smalls);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < len; i++) {
		struct input *input = &work->inputs[i];

		chunks[i] = input->chunk;
		chunks[i].kept = !chunks[i].compacted;
		chunks[i].settled |= work->plan.far;
		if (chunks[i].small)
			rc = read_small(work, input, &smalls[i]);
		rows[i] = row_of(work, &chunks[i], &input->info, smalls[i].data);
	}
	if (rc == 0)
		rc = hand_over(work, chunks, rows, len);
	for (uint32_t i = 0; i < len; i++)
		cu_buf_fini(&smalls[i]);
	free(smalls);
	free(rows);
	free(chunks);
	return rc;
}

static void remove_inputs(struct work *work)
{
	for (uint32_t i = 0; i < work->plan.len; i++) {
		if (!work->inputs[i].chunk.small)
			remove_file(work, work->inputs[i].chunk.n);
		(void)cu_compaction_yield(&work->yield, work->inputs[i].chunk.bytes); /* to stop is too late here */
	}
}

/* The outputs take the inputs' place. A COMMIT that failed may be durable all the same, so both stay then: what the next start finds
 * no row for goes. */
static int replace_all(struct work *work, uint64_t *ret_bytes)
{
	uint32_t len = work->outputs_len;
	struct cu_sealed *chunks = cu_xmalloc(len * sizeof *chunks);
	struct cu_log_chunk_row *rows = cu_xmalloc(len * sizeof *rows);
	int rc;

	*ret_bytes = 0;
	for (uint32_t i = 0; i < len; i++) {
		const struct output *output = &work->outputs[i];

		chunks[i] = output->chunk;
		rows[i] = row_of(work, &output->chunk, &output->written.info, output->written.small);
		*ret_bytes += output->chunk.bytes;
	}
	if (CU_MUTANT(COMPACTED_FILES_GO_FIRST))
		remove_inputs(work);
	rc = hand_over(work, chunks, rows, len);
	if (rc == 0)
		remove_inputs(work);
	free(rows);
	free(chunks);
	return rc;
}

int cu_compactor_run(cu_store *store, cu_shape *shape, const struct cu_compactor_limits *limits,
		     struct cu_compacted_bytes *ret_bytes)
{
	struct work work = { .store = store, .shape = shape, .limits = limits };
	int rc;

	work.yield = (struct cu_compaction_yield){ limits->turn, limits->turn_ctx, 0 };
	if (!work_init(&work))
		return 0;
	*ret_bytes = (struct cu_compacted_bytes){ work.bytes, work.bytes };
	rc = compact_inputs(&work);
	if (rc == 0)
		rc = write_outputs(&work);
	if (rc == 0)
		rc = replace_all(&work, &ret_bytes->after);
	else if (rc == CU_EFULL)
		rc = mark_all(&work);
	if (rc == 0)
		rc = 1;
	/* It was removed meanwhile: its directory may have come back with a new file. */
	if (rc == CU_ENOTFOUND || (rc < 0 && !is_live(&work)))
		(void)cu_store_remove_shape(store, shape->id, NULL, NULL);
	work_fini(&work);
	return rc == CU_ENOTFOUND || rc == CU_ECLOSED ? 0 : rc;
}
