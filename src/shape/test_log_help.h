/* test_log_help.h: three shapes on a real store, written to as the collector does, and what must be read of them. Included by
 * tests only.
 */
#ifndef CU_SHAPE_TEST_LOG_HELP_H
#define CU_SHAPE_TEST_LOG_HELP_H

#include "base/limits.h"
#include "shape/log_reader.h"
#include "shape/replay.h"
#include "shape/test_help.h"
#include "store/test_help.h"

#include <pthread.h>
#include <unistd.h>

#define SHAPES 3u
static uint64_t chunk_bytes = 4000;         /* a test may want another size */
static const struct cu_file_ops *store_ops; /* … or to see what is done to files */
#define HELD_XID 5u                         /* the third shape's snapshot holds it, and everything below */

/* What must come out: one entry per item of a shape, with its closing braces. */
struct expected_item {
	cu_offset offset;
	char *text;
	size_t len;
	bool ends; /* an answer may end here: the last of a run */
};

struct expected {
	struct expected_item *items;
	size_t len;
	size_t committed;
};

/* The collector's part: items into the change log, runs into the tails, one fan-out record per fragment. */
struct placed {
	uint64_t pos, op;
	uint32_t len;
};

struct world {
	char *dir;
	size_t segment_bytes;
	cu_store *store;
	cu_changelog *log; /* the store's */
	cu_shape_set *set;
	cu_shape *shapes[SHAPES];
	struct expected expected[SHAPES];

	uint64_t tx;
	uint32_t xid;
	uint32_t fragment;
	uint64_t op;
	uint32_t items_len; /* of the fragment */
	uint32_t of_shape[SHAPES][512];
	uint32_t of_shape_len[SHAPES];
	struct placed placed[512];
};

static void no_forget(void *ctx, cu_shape *shape)
{
	(void)ctx;
	(void)shape;
}

static cu_shape_set *set_new(void)
{
	struct cu_shape_set_opts opts = { .chunk_bytes = chunk_bytes, .create = no_forget, .forget = no_forget };

	return cu_shape_set_new(&opts);
}

/* The shape in the metadata, as the set has it. */
static void store_shape(struct world *w, const cu_shape *shape, uint64_t xid)
{
	cu_metadata *metadata = cu_store_metadata(w->store);
	struct cu_shape_row row = { .id = shape->id, .handle = shape->handle, .definition_id = shape->def->key_hash };
	struct cu_snapshot_info info = {
		.xmin = xid, .xmax = xid, .lsn = UINT64_MAX, .xip = "", .is_small = true, .small = "", .small_len = 0
	};
	cu_buf json = CU_BUF_INIT;

	assert_int_equal(cu_definition_put_json(shape->def, &json), 0);
	assert_int_equal(cu_metadata_put_definition(metadata, row.definition_id, json.data, json.len, NULL, NULL), 0);
	assert_int_equal(cu_metadata_put_shape(metadata, &row, NULL, NULL), 0);
	assert_int_equal(cu_metadata_set_snapshot(metadata, row.id, &info, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(metadata), 0);
	cu_buf_fini(&json);
}

static void store_open(struct world *w, const struct cu_store_loader *loader)
{
	assert_int_equal(cu_store_open(w->dir, store_ops, loader, &w->store), 0);
	w->log = cu_store_changelog(w->store);
	if (w->segment_bytes)
		cu_changelog_limit_segments(w->log, w->segment_bytes);
}

static struct world *world_new(size_t segment_bytes)
{
	struct world *w = cu_xzalloc(sizeof *w);

	w->dir = help_dir_new();
	w->segment_bytes = segment_bytes;
	store_open(w, NULL);
	w->set = set_new();
	for (uint32_t i = 0; i < SHAPES; i++) {
		uint64_t xid = i == 2 ? HELD_XID + 1 : 1;
		char handle[16];

		snprintf(handle, sizeof handle, "1-%u", i);
		w->shapes[i] = help_restore(w->set, i + 1, handle, help_definition(HELP_OID + i, false), xid, xid, "");
		store_shape(w, w->shapes[i], xid);
	}
	cu_shape_set_end_restore(w->set, w->store, 0);
	return w;
}

static void world_free(struct world *w)
{
	for (uint32_t s = 0; s < SHAPES; s++) {
		for (size_t i = 0; i < w->expected[s].len; i++)
			free(w->expected[s].items[i].text);
		free(w->expected[s].items);
		cu_shape_unref(&w->shapes[s]);
	}
	cu_store_free(&w->store);
	cu_shape_set_free(&w->set);
	help_dir_free(&w->dir);
	free(w);
}

static void begin(struct world *w, uint64_t tx, uint32_t xid)
{
	w->tx = tx;
	w->xid = xid;
	w->op = 0;
	w->fragment = 0;
}

static bool holds(const struct world *w, uint32_t s)
{
	return s == 2 && w->xid <= HELD_XID;
}

/* An item that the shapes in the mask see. */
static void item_of(struct world *w, unsigned mask, const char *payload, size_t len)
{
	struct placed *placed = &w->placed[w->items_len];

	assert_int_equal(cu_changelog_append_item(w->log, w->tx, w->op, payload, len, &placed->pos), 0);
	placed->op = w->op;
	placed->len = (uint32_t)len;
	for (uint32_t s = 0; s < SHAPES; s++) {
		struct expected *expected = &w->expected[s];

		if (!(mask & (1u << s)))
			continue;
		w->of_shape[s][w->of_shape_len[s]++] = w->items_len;
		if (holds(w, s))
			continue;
		expected->items = cu_xrealloc(expected->items, (expected->len + 1) * sizeof *expected->items);
		expected->items[expected->len++] = (struct expected_item){
			cu_offset_of(w->tx, w->op),
			cu_xstrndup(payload, len),
			len,
			false,
		};
	}
	w->items_len++;
	w->op += 2;
}

/* … whatever it is. */
__attribute__((unused)) static void item(struct world *w, unsigned mask, size_t len)
{
	char *payload = cu_xmalloc(len);

	for (size_t i = 0; i < len; i++)
		payload[i] = (char)('a' + (w->tx + w->op + i) % 26);
	item_of(w, mask, payload, len);
	free(payload);
}

static void append_run(struct world *w, uint32_t s, const struct cu_tail_run *run)
{
	struct expected *expected = &w->expected[s];
	size_t i = expected->len - 1;

	assert_int_equal(cu_shape_append(w->shapes[s], run), 0);
	while (expected->items[i].offset.op != run->last_op)
		i--;
	expected->items[i].ends = true;
}

static void to_tail(struct world *w, uint32_t s)
{
	struct cu_tail_run run = { .tx = w->tx, .xid = w->xid };

	if (holds(w, s))
		return;
	for (uint32_t i = 0; i < w->of_shape_len[s]; i++) {
		const struct placed *placed = &w->placed[w->of_shape[s][i]];

		if (cu_tail_run_extend(&run, placed->pos, placed->len, placed->op, cu_tail_run_bytes_max(chunk_bytes)))
			continue;
		append_run(w, s, &run);
		run.items = 0;
		cu_tail_run_extend(&run, placed->pos, placed->len, placed->op, cu_tail_run_bytes_max(chunk_bytes));
	}
	if (run.items)
		append_run(w, s, &run);
}

static void end_fragment(struct world *w, uint32_t flags)
{
	struct cu_fanout_shape shapes[SHAPES];
	struct cu_fanout_run runs[SHAPES * 512];
	struct cu_fanout fanout = {
		.tx = w->tx,
		.xid = w->xid,
		.fragment = w->fragment++,
		.flags = flags,
		.end_lsn = flags ? w->tx + 1 : 0,
		.shapes = shapes,
		.runs = runs,
	};

	for (uint32_t s = 0; s < SHAPES && flags != CU_FANOUT_ABORT; s++) {
		uint32_t at = fanout.runs_len;

		for (uint32_t i = 0; i < w->of_shape_len[s]; i++) {
			struct cu_fanout_run *last = fanout.runs_len > at ? &runs[fanout.runs_len - 1] : NULL;

			if (last && last->first + last->len == w->of_shape[s][i])
				last->len++;
			else
				runs[fanout.runs_len++] = (struct cu_fanout_run){ w->of_shape[s][i], 1 };
		}
		if (fanout.runs_len > at)
			shapes[fanout.shapes_len++] = (struct cu_fanout_shape){ s + 1, at, fanout.runs_len - at };
		to_tail(w, s);
		w->of_shape_len[s] = 0;
	}
	if (flags == CU_FANOUT_ABORT) {
		fanout.end_lsn = 0;
		memset(w->of_shape_len, 0, sizeof w->of_shape_len);
	}
	assert_int_equal(cu_changelog_append_fanout(w->log, &fanout), 0);
	w->items_len = 0;
}

static void commit(struct world *w)
{
	end_fragment(w, CU_FANOUT_COMMIT);
	assert_int_equal(cu_changelog_flush(w->log), 0);
	for (uint32_t s = 0; s < SHAPES; s++) {
		struct expected *expected = &w->expected[s];

		if (w->shapes[s]->log) {
			cu_shape_lock(w->shapes[s]);
			cu_tail_commit(&w->shapes[s]->log->tail, chunk_bytes);
			cu_tail_show(&w->shapes[s]->log->tail);
			cu_shape_unlock(w->shapes[s]);
		}
		for (size_t i = expected->committed; i < expected->len; i++) {
			struct expected_item *it = &expected->items[i];
			bool last = i + 1 == expected->len;

			it->text = cu_xrealloc(it->text, it->len + 32);
			it->len += (size_t)sprintf(it->text + it->len, "%s", last ? CU_ITEM_END_LAST : CU_ITEM_END);
		}
		expected->committed = expected->len;
	}
}

__attribute__((unused)) static void abort_tx(struct world *w)
{
	end_fragment(w, CU_FANOUT_ABORT);
	for (uint32_t s = 0; s < SHAPES; s++) {
		struct expected *expected = &w->expected[s];

		if (w->shapes[s]->log)
			cu_tail_abort(&w->shapes[s]->log->tail);
		while (expected->len > expected->committed)
			free(expected->items[--expected->len].text);
	}
}

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33) % n;
}

__attribute__((unused)) static void write_random_from(struct world *w, unsigned first, unsigned txs, size_t len_max)
{
	for (unsigned t = first; t < first + txs; t++) {
		unsigned fragments = 1 + random_below(3);

		begin(w, 1000 * t, t);
		for (unsigned f = 0; f < fragments; f++) {
			unsigned items = random_below(12), alone = random_below(3);

			for (unsigned i = 0; i < items; i++)
				item(w, alone ? 1u << (alone - 1) : random_below(8),
				     1 + random_below((uint32_t)len_max));
			if (f + 1 < fragments)
				end_fragment(w, 0);
		}
		if (random_below(6) == 0)
			abort_tx(w);
		else
			commit(w);
	}
}

__attribute__((unused)) static void write_random(struct world *w, unsigned txs, size_t len_max)
{
	write_random_from(w, 1, txs, len_max);
}

/* ---- reading ---- */

static void naive(const struct expected *expected, cu_offset from, cu_offset end, cu_buf *out)
{
	for (size_t i = 0; i < expected->committed; i++) {
		const struct expected_item *it = &expected->items[i];

		if (cu_offset_cmp(it->offset, from) <= 0 || cu_offset_cmp(it->offset, end) > 0)
			continue;
		if (out->len)
			cu_buf_putc(out, ',');
		cu_buf_append(out, it->text, it->len);
	}
}

static void assert_reads(struct world *w, uint32_t s, cu_shape *shape, cu_offset from, cu_offset end, bool rest)
{
	cu_buf want = CU_BUF_INIT, got = CU_BUF_INIT, piece = CU_BUF_INIT;
	size_t largest = 0;
	struct cu_log_file file;
	cu_log_reader reader;
	int rc;

	for (size_t i = 0; i < w->expected[s].committed; i++)
		largest = CU_MAX(largest, w->expected[s].items[i].len);
	naive(&w->expected[s], from, end, &want);
	cu_log_reader_init(&reader, shape, w->store, from, end);
	do {
		cu_buf_clear(&piece);
		rc = cu_log_reader_next(&reader, &piece, &file);
		assert_in_range(rc, 0, 1);
		assert_true(piece.len < CU_LOG_READER_PIECE + largest +
						CU_LOG_CHUNK_SMALL_MAX); /* bounded whatever the log's length */
		assert_true(rc == 0 || piece.len >= CU_LOG_READER_PIECE || file.len);
		cu_buf_append(&got, piece.data, piece.len);
		if (file.len) {
			assert_true(cu_buf_reserve(&got, file.len));
			assert_int_equal(pread(file.fd, got.data + got.len, file.len, (off_t)file.at), file.len);
			got.len += file.len;
		}
		if (rest)
			cu_log_reader_rest(&reader);
	} while (rc == 1);
	assert_int_equal(cu_log_reader_next(&reader, &piece, &file), 0);
	cu_log_reader_fini(&reader);
	if (got.len != want.len)
		print_message("shape %u, behind %" PRIu64 "_%" PRIu64 " to %" PRIu64 "_%" PRIu64 ", sealed to %" PRIu64
			      "_%" PRIu64 "\n",
			      s, from.tx, from.op, end.tx, end.op, cu_shape_log_sealed_end(cu_shape_log_of(shape)).tx,
			      cu_shape_log_sealed_end(cu_shape_log_of(shape)).op);
	assert_int_equal(got.len, want.len);
	if (want.len)
		assert_memory_equal(got.data, want.data, want.len);
	cu_buf_fini(&want);
	cu_buf_fini(&got);
	cu_buf_fini(&piece);
}

/* From every offset that a client may have to every end that an answer may have. */
static void assert_every_range(struct world *w, cu_shape *const *shapes, size_t step)
{
	for (uint32_t s = 0; s < SHAPES; s++) {
		const struct expected *expected = &w->expected[s];
		size_t len = expected->committed;

		assert_true(cu_offset_cmp(cu_shape_status(shapes[s]).latest,
					  len ? expected->items[len - 1].offset : CU_OFFSET_SNAPSHOT_END) == 0);
		for (size_t e = 0; e < len; e += e + step < len ? step : 1) { /* the last one always */
			cu_offset end = expected->items[e].offset;

			if (!expected->items[e].ends)
				continue;

			assert_reads(w, s, shapes[s], CU_OFFSET_BEFORE_ALL, end, e % 2);
			assert_reads(w, s, shapes[s], CU_OFFSET_SNAPSHOT_END, end, false);
			for (size_t i = 0; i < expected->committed; i += step) {
				cu_offset from = expected->items[i].offset;

				if (cu_offset_cmp(from, end) > 0)
					break;
				assert_reads(w, s, shapes[s], from, end, i % 2);
				from.op++; /* between two items */
				assert_reads(w, s, shapes[s], from, end, false);
			}
		}
	}
}

/* ---- checkpoints and restarts ---- */

static int load_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	return cu_shape_set_restore_definition(ctx, id, body, len);
}

static int load_shape(void *ctx, const struct cu_shape_row *row)
{
	return cu_shape_set_restore(ctx, row);
}

static int load_log_chunk(void *ctx, const struct cu_log_chunk_row *row)
{
	return cu_shape_set_restore_log_chunk(ctx, row);
}

/* Fills a set with what a store holds. Borrows both. */
static struct cu_store_loader loader_into(cu_shape_set *set, cu_replay *replay)
{
	return (struct cu_store_loader){
		.metadata = { .ctx = set,
			      .definition = load_definition,
			      .shape = load_shape,
			      .log_chunk = load_log_chunk },
		.replay = cu_replay_fanout,
		.replay_ctx = replay,
	};
}

struct durable {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void is_durable(void *ctx, int rc)
{
	struct durable *durable = ctx;

	CU_ASSERT(rc == 0);
	pthread_mutex_lock(&durable->lock);
	durable->done = true;
	pthread_cond_signal(&durable->cond);
	pthread_mutex_unlock(&durable->lock);
}

/* A checkpoint of everything written, durable when this returns. */
static struct cu_checkpoint checkpoint(struct world *w)
{
	struct durable durable = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
	struct cu_checkpoint cp = { .lsn = w->tx + 1, .log_pos = cu_changelog_end(w->log), .last_tx = w->tx };

	cp.removals_failed = cu_metadata_removals_failed(cu_store_metadata(w->store));
	assert_int_equal(cu_changelog_flush(w->log), 0);
	assert_int_equal(cu_store_checkpoint(w->store, &cp, is_durable, &durable), 0);
	pthread_mutex_lock(&durable.lock);
	while (!durable.done)
		pthread_cond_wait(&durable.cond, &durable.lock);
	pthread_mutex_unlock(&durable.lock);
	return cp;
}

/* Reopens the store; returns the set that it fills. */
__attribute__((unused)) static cu_shape_set *replayed(struct world *w, cu_shape **shapes)
{
	cu_shape_set *set = set_new();
	cu_replay replay;
	struct cu_store_loader loader = loader_into(set, &replay);

	checkpoint(w);
	cu_store_free(&w->store);
	cu_replay_init(&replay, set);
	store_open(w, &loader);
	cu_replay_fini(&replay);
	cu_shape_set_end_restore(set, w->store, 0);
	for (uint32_t s = 0; s < SHAPES; s++)
		shapes[s] = cu_shape_set_by_id(set, s + 1);
	return set;
}

#endif
