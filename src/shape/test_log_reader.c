/* A range of a shape's log, read in pieces, is byte for byte the naive concatenation of its items, whatever part of it is
 * sealed; the same log read back from disk gives the same.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "shape/log_reader.h"
#include "shape/replay.h"
#include "shape/sealer.h"
#include "shape/test_help.h"
#include "store/test_help.h"

#include <pthread.h>
#include <unistd.h>

#define SHAPES 3u
static uint64_t chunk_bytes = 4000; /* a test may want another size */
#define HELD_XID 5u                 /* the third shape's snapshot holds it, and everything below */

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
	assert_int_equal(cu_store_open(w->dir, NULL, loader, &w->store), 0);
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
static void item(struct world *w, unsigned mask, size_t len)
{
	struct placed *placed = &w->placed[w->items_len];
	char *payload = cu_xmalloc(len);

	for (size_t i = 0; i < len; i++)
		payload[i] = (char)('a' + (w->tx + w->op + i) % 26);
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
	free(payload);
	w->items_len++;
	w->op += 2;
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

static void abort_tx(struct world *w)
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

static void write_random_from(struct world *w, unsigned first, unsigned txs, size_t len_max)
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

static void write_random(struct world *w, unsigned txs, size_t len_max)
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

static void any_range_is_the_naive_concatenation(void **state)
{
	struct world *w = world_new(0);

	(void)state;
	random_state = 1;
	write_random(w, 30, 200);
	assert_every_range(w, w->shapes, 1);
	world_free(w);
}

static void runs_across_segment_borders_read_the_same(void **state)
{
	struct world *w = world_new(700);

	(void)state;
	random_state = 2;
	write_random(w, 30, 200);
	assert_every_range(w, w->shapes, 1);
	world_free(w);
}

static void long_logs_come_in_bounded_pieces(void **state)
{
	struct world *w = world_new(100000);

	(void)state;
	random_state = 3;
	write_random(w, 60, 5000);
	assert_every_range(w, w->shapes, 23);
	world_free(w);
}

/* Some are twice a piece, some end right at its border. */
static void items_larger_than_a_piece_read_whole(void **state)
{
	static const size_t lens[] = {
		10, 65500, 65535, 65536, 65537, 200000, 1, 65510, 65520, 30, 131072, 65518, 65519
	};
	struct world *w = world_new(300000);

	(void)state;
	for (unsigned t = 1; t <= 4; t++) {
		begin(w, 1000 * t, 100 + t);
		for (size_t i = 0; i < CU_ARRAY_LEN(lens); i++)
			item(w, t == 2 ? 7 : 1u << i % SHAPES, lens[(i * t) % CU_ARRAY_LEN(lens)]);
		commit(w);
	}
	assert_every_range(w, w->shapes, 3);
	world_free(w);
}

static void one_transaction_of_many_small_items_is_one_run(void **state)
{
	uint64_t usual = chunk_bytes;
	struct world *w;

	(void)state;
	chunk_bytes = 8u << 20;
	w = world_new(0);
	begin(w, 1000, 100);
	for (unsigned i = 0; i < 500; i++)
		item(w, 1, 400);
	commit(w);
	assert_int_equal(cu_shape_log_of(w->shapes[0])->tail.len, 1);
	for (size_t i = 0; i < 500; i += 7)
		assert_reads(w, 0, w->shapes[0], cu_offset_of(1000, 2 * i), cu_shape_status(w->shapes[0]).latest,
			     i % 2);
	world_free(w);
	chunk_bytes = usual;
}

static void a_transaction_larger_than_a_chunk_comes_in_chunks(void **state)
{
	struct world *w = world_new(0);
	cu_offset from = CU_OFFSET_SNAPSHOT_END, latest;
	unsigned answers = 0;

	(void)state;
	begin(w, 1000, 100);
	for (unsigned i = 0; i < 500; i++)
		item(w, 1, 400);
	commit(w);
	latest = cu_shape_status(w->shapes[0]).latest;
	while (cu_offset_cmp(from, latest) < 0) {
		cu_offset end = cu_shape_log_answer_end(cu_shape_log_of(w->shapes[0]), from);
		uint64_t items = (end.op - (answers ? from.op : 0)) / 2;

		assert_reads(w, 0, w->shapes[0], from, end, false);
		assert_in_range(items * 400, 0, chunk_bytes + cu_tail_run_bytes_max(chunk_bytes) + 400);
		from = end;
		answers++;
	}
	assert_in_range(answers, 200000 / (chunk_bytes + cu_tail_run_bytes_max(chunk_bytes) + 400),
			200000 / chunk_bytes + 1);
	world_free(w);
}

static void a_shape_that_goes_closes_its_readers(void **state)
{
	struct world *w = world_new(0);
	struct cu_log_file file;
	cu_buf out = CU_BUF_INIT;
	cu_log_reader reader;

	(void)state;
	begin(w, 1000, 100);
	for (unsigned i = 0; i < 500; i++)
		item(w, 1, 400);
	commit(w);
	cu_log_reader_init(&reader, w->shapes[0], w->store, CU_OFFSET_BEFORE_ALL, cu_shape_status(w->shapes[0]).latest);
	assert_int_equal(cu_log_reader_next(&reader, &out, &file), 1);
	w->shapes[0]->state = CU_SHAPE_REMOVING;
	cu_buf_clear(&out);
	assert_int_equal(cu_log_reader_next(&reader, &out, &file), CU_ECLOSED);
	assert_int_equal(out.len, 0);
	w->shapes[0]->state = CU_SHAPE_GONE;
	assert_int_equal(cu_log_reader_next(&reader, &out, &file), CU_ECLOSED);
	cu_log_reader_fini(&reader);
	cu_buf_fini(&out);
	world_free(w);
}

static void a_lost_segment_is_damage(void **state)
{
	struct world *w = world_new(1000);
	cu_offset end;
	struct cu_log_file file;
	cu_buf out = CU_BUF_INIT;
	cu_log_reader reader;

	(void)state;
	random_state = 4;
	write_random(w, 30, 300);
	end = cu_shape_status(w->shapes[0]).latest;
	assert_int_equal(cu_changelog_drop_before(w->log, cu_changelog_flushed(w->log)), 0);
	cu_log_reader_init(&reader, w->shapes[0], w->store, CU_OFFSET_BEFORE_ALL, end);
	assert_int_equal(cu_log_reader_next(&reader, &out, &file), CU_ECORRUPT);
	cu_log_reader_fini(&reader);
	cu_buf_fini(&out);
	world_free(w);
}

static void no_memory_for_the_window_is_told(void **state)
{
	struct world *w = world_new(0);
	struct cu_log_file file;
	cu_log_reader reader;
	unsigned n = 0;
	int rc;

	(void)state;
	random_state = 5;
	write_random(w, 10, 300);
	do {
		cu_buf out = CU_BUF_INIT;

		cu_log_reader_init(&reader, w->shapes[1], w->store, CU_OFFSET_BEFORE_ALL,
				   cu_shape_status(w->shapes[1]).latest);
		cu_fault_alloc_at(++n);
		rc = cu_log_reader_next(&reader, &out, &file);
		cu_fault_alloc_at(0);
		assert_true(rc == 0 || rc == CU_ENOMEM);
		cu_log_reader_fini(&reader);
		cu_buf_fini(&out);
	} while (rc != 0);
	assert_true(n > 2);
	world_free(w);
}

/* ---- replay ---- */

static void assert_same_tail(const cu_tail *a, const cu_tail *b)
{
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->committed, b->committed);
	assert_int_equal(a->visible, b->visible);
	for (size_t i = 0; i < a->len; i++) {
		assert_int_equal(a->runs[i].tx, b->runs[i].tx);
		assert_int_equal(a->runs[i].xid, b->runs[i].xid);
		assert_int_equal(a->runs[i].first_op, b->runs[i].first_op);
		assert_int_equal(a->runs[i].last_op, b->runs[i].last_op);
		assert_int_equal(a->runs[i].pos, b->runs[i].pos);
		assert_int_equal(a->runs[i].span, b->runs[i].span);
		assert_int_equal(a->runs[i].items, b->runs[i].items);
		assert_int_equal(a->runs[i].bytes, b->runs[i].bytes);
		assert_int_equal(a->runs[i].last, b->runs[i].last);
	}
	assert_int_equal(a->chunk_ends_len, b->chunk_ends_len);
	for (size_t i = 0; i < a->chunk_ends_len; i++)
		assert_int_equal(a->chunk_ends[i], b->chunk_ends[i]);
	assert_int_equal(a->chunk_bytes, b->chunk_bytes);
}

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

	assert_int_equal(cu_changelog_flush(w->log), 0);
	assert_int_equal(cu_store_checkpoint(w->store, &cp, is_durable, &durable), 0);
	pthread_mutex_lock(&durable.lock);
	while (!durable.done)
		pthread_cond_wait(&durable.cond, &durable.lock);
	pthread_mutex_unlock(&durable.lock);
	return cp;
}

/* Seals what a checkpoint now would: whole chunks; all that is in the log's older half if it is longer than log_max. */
static void seal(struct world *w, uint64_t log_max)
{
	struct cu_sealer_opts opts = {
		.stack_id = "test", .shapes = w->set, .store = w->store, .log_bytes_max = log_max
	};
	struct cu_checkpoint cp = checkpoint(w);
	cu_sealer *sealer = NULL;

	assert_int_equal(cu_sealer_start(&opts, &sealer), 0);
	cu_sealer_checkpoint(sealer, cp.last_tx, cp.log_pos);
	cu_sealer_wait(sealer);
	cu_sealer_free(&sealer);
}

/* Reopens the store; returns the set that it fills. */
static cu_shape_set *replayed(struct world *w, cu_shape **shapes)
{
	cu_shape_set *set = set_new();
	cu_replay replay;
	struct cu_store_loader loader = {
		.metadata = { .ctx = set,
			      .definition = load_definition,
			      .shape = load_shape,
			      .log_chunk = load_log_chunk },
		.replay = cu_replay_fanout,
		.replay_ctx = &replay,
	};

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

static void replay_gives_the_same_tails_and_bytes(void **state)
{
	(void)state;
	for (unsigned seed = 10; seed < 20; seed++) {
		struct world *w = world_new(seed % 2 ? 0 : 900);
		cu_shape *shapes[SHAPES];
		cu_shape_set *set;

		random_state = seed;
		write_random(w, 40, 300);
		set = replayed(w, shapes);
		for (uint32_t s = 0; s < SHAPES; s++)
			assert_same_tail(&cu_shape_log_of(shapes[s])->tail, &cu_shape_log_of(w->shapes[s])->tail);
		assert_true(cu_shape_log_of(w->shapes[0])->tail.chunk_ends_len > 1);
		assert_every_range(w, shapes, 9);
		for (uint32_t s = 0; s < SHAPES; s++)
			cu_shape_unref(&shapes[s]);
		cu_shape_set_free(&set);
		world_free(w);
	}
}

static void an_aborted_transaction_leaves_nothing_after_replay(void **state)
{
	struct world *w = world_new(0);
	cu_shape *shapes[SHAPES];
	cu_shape_set *set;

	(void)state;
	begin(w, 1000, 100);
	item(w, 7, 10);
	end_fragment(w, 0);
	item(w, 7, 10);
	abort_tx(w);
	begin(w, 1000, 100); /* it comes again */
	item(w, 1, 10);
	commit(w);
	set = replayed(w, shapes);
	assert_int_equal(cu_shape_log_of(shapes[0])->tail.visible, 1);
	assert_int_equal(cu_shape_log_of(shapes[1])->tail.len, 0);
	assert_int_equal(cu_shape_log_of(shapes[2])->tail.len, 0);
	assert_every_range(w, shapes, 1);
	for (uint32_t s = 0; s < SHAPES; s++)
		cu_shape_unref(&shapes[s]);
	cu_shape_set_free(&set);
	world_free(w);
}

static void records_of_unknown_shapes_are_skipped(void **state)
{
	struct world *w = world_new(0);
	struct cu_fanout_shape shape = { 99, 0, 1 };
	struct cu_fanout_run run = { 0, 1 };
	struct cu_fanout fanout = { .tx = 1000,
				    .end_lsn = 1001,
				    .xid = 100,
				    .flags = CU_FANOUT_COMMIT,
				    .shapes = &shape,
				    .runs = &run,
				    .shapes_len = 1,
				    .runs_len = 1 };
	cu_shape *shapes[SHAPES];
	cu_shape_set *set;

	(void)state;
	assert_int_equal(cu_changelog_append_item(w->log, 1000, 0, "x", 1, NULL), 0);
	assert_int_equal(cu_changelog_append_fanout(w->log, &fanout), 0);
	set = replayed(w, shapes);
	for (uint32_t s = 0; s < SHAPES; s++) {
		assert_int_equal(cu_shape_log_of(shapes[s])->tail.len, 0);
		cu_shape_unref(&shapes[s]);
	}
	cu_shape_set_free(&set);
	world_free(w);
}

/* ---- sealed ---- */

static void assert_same_chunk(const struct cu_sealed *a, const struct cu_sealed *b)
{
	assert_int_equal(cu_offset_cmp(cu_sealed_last(a), cu_sealed_last(b)), 0);
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->small, b->small);
	assert_int_equal(a->ends, b->ends);
	assert_int_equal(a->compacted, b->compacted);
}

/* At random moments all or only whole chunks are sealed; then the store is opened again, more is written and sealed. */
static void what_is_sealed_reads_the_same_now_and_after_a_restart(void **state)
{
	(void)state;
	for (unsigned seed = 30; seed < 32; seed++) {
		struct world *w = world_new(seed % 3 ? 0 : 900);
		cu_shape *shapes[SHAPES];
		cu_shape_set *set;

		random_state = seed;
		for (unsigned round = 0; round < 4; round++) {
			write_random_from(w, 1 + 20 * round, 20, seed % 2 ? 300 : 6000);
			seal(w, round % 2 ? 1 : UINT64_MAX);
		}
		assert_every_range(w, w->shapes, 61);
		assert_true(cu_shape_log_of(w->shapes[0])->sealed_len > 1);
		set = replayed(w, shapes);
		for (uint32_t s = 0; s < SHAPES; s++) {
			const cu_shape_log *is = cu_shape_log_of(shapes[s]), *was = cu_shape_log_of(w->shapes[s]);

			assert_int_equal(is->sealed_len, was->sealed_len);
			for (uint32_t i = 0; i < is->sealed_len; i++)
				assert_same_chunk(&is->sealed[i], &was->sealed[i]);
			assert_int_equal(is->next_n, is->sealed_len ? is->sealed[is->sealed_len - 1].n + 1 : 0);
		}
		assert_every_range(w, shapes, 61);
		for (uint32_t s = 0; s < SHAPES; s++)
			cu_shape_unref(&shapes[s]);
		cu_shape_set_free(&set);
		world_free(w);
	}
}

/* Where an answer ends does not depend on what is sealed. */
static void answers_end_where_they_ended_before_the_sealing(void **state)
{
	struct world *w = world_new(0);
	cu_offset *ends[SHAPES];

	(void)state;
	random_state = 50;
	write_random(w, 60, 900);
	for (uint32_t s = 0; s < SHAPES; s++) {
		ends[s] = cu_xmalloc((w->expected[s].committed + 1) * sizeof(cu_offset));
		for (size_t i = 0; i < w->expected[s].committed; i++)
			ends[s][i] =
				cu_shape_log_answer_end(cu_shape_log_of(w->shapes[s]), w->expected[s].items[i].offset);
	}
	seal(w, UINT64_MAX);
	assert_true(cu_shape_log_of(w->shapes[0])->sealed_len > 3);
	assert_true(cu_shape_log_of(w->shapes[0])->tail.len > 0);
	for (uint32_t s = 0; s < SHAPES; s++) {
		for (size_t i = 0; i < w->expected[s].committed; i++)
			assert_int_equal(cu_offset_cmp(ends[s][i],
						       cu_shape_log_answer_end(cu_shape_log_of(w->shapes[s]),
									       w->expected[s].items[i].offset)),
					 0);
		free(ends[s]);
	}
	world_free(w);
}

static void a_log_that_is_too_long_loses_its_segments_and_no_item(void **state)
{
	struct world *w = world_new(4096);
	uint64_t end;

	(void)state;
	random_state = 51;
	for (unsigned round = 0; round < 10; round++) {
		write_random_from(w, 1 + 20 * round, 20, 300);
		seal(w, 16384);
		end = cu_changelog_end(w->log);
		assert_in_range(end - cu_changelog_start(w->log), 0, 16384 + 2 * 4096);
	}
	assert_every_range(w, w->shapes, 83);
	assert_true(end > 100000);
	world_free(w);
}

static void what_no_checkpoint_covers_is_not_sealed(void **state)
{
	struct world *w = world_new(0);
	struct cu_sealer_opts opts = { .stack_id = "test", .shapes = w->set, .store = w->store, .log_bytes_max = 1 };
	cu_sealer *sealer = NULL;

	(void)state;
	random_state = 52;
	write_random(w, 20, 900);
	assert_int_equal(cu_sealer_start(&opts, &sealer), 0);
	cu_sealer_checkpoint(sealer, 10000, cu_changelog_end(w->log));
	cu_sealer_wait(sealer);
	cu_sealer_free(&sealer);
	for (uint32_t s = 0; s < SHAPES; s++)
		assert_true(cu_shape_log_sealed_end(cu_shape_log_of(w->shapes[s])).tx <= 10000);
	assert_true(cu_shape_log_of(w->shapes[0])->sealed_len > 0);
	assert_every_range(w, w->shapes, 31);
	world_free(w);
}

static void a_shape_that_is_gone_gets_no_chunk_and_no_directory(void **state)
{
	struct world *w = world_new(0);
	uint64_t bytes;
	int fd;

	(void)state;
	random_state = 53;
	write_random(w, 40, 6000);
	/* Its row goes while the set still has it. */
	assert_int_equal(cu_store_remove_shape(w->store, 1, NULL, NULL), 0);
	seal(w, 1);
	assert_int_equal(cu_shape_log_of(w->shapes[0])->sealed_len, 0);
	assert_int_equal(cu_chunk_open(cu_store_chunks(w->store), 1, CU_CHUNK_LOG, 0, &fd, &bytes), CU_ENOTFOUND);
	assert_true(cu_shape_log_of(w->shapes[1])->sealed_len > 0);
	world_free(w);
}

static void log_chunks_that_a_crash_left_are_removed(void **state)
{
	struct world *w = world_new(0);
	struct cu_log_chunk chunk = { 0 };
	cu_log_index index = CU_LOG_INDEX_INIT;
	cu_log_chunk_writer *writer = cu_log_chunk_writer_new(cu_store_chunks(w->store), 1, 77);
	char *wire = cu_xzalloc(100000);
	uint64_t bytes;
	int fd;

	(void)state;
	random_state = 54;
	write_random(w, 40, 6000);
	seal(w, 1);
	assert_int_equal(cu_log_chunk_writer_append(writer, wire, 100000), 0);
	cu_log_index_add(&index, 1, 0, 100000);
	assert_int_equal(cu_log_chunk_writer_finish(&writer, &index, &chunk), 0);
	seal(w, 1);
	assert_int_equal(cu_chunk_open(cu_store_chunks(w->store), 1, CU_CHUNK_LOG, 77, &fd, &bytes), CU_ENOTFOUND);
	assert_every_range(w, w->shapes, 61);
	free(wire);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sealed_reads_the_same_now_and_after_a_restart),
		cmocka_unit_test(answers_end_where_they_ended_before_the_sealing),
		cmocka_unit_test(a_log_that_is_too_long_loses_its_segments_and_no_item),
		cmocka_unit_test(what_no_checkpoint_covers_is_not_sealed),
		cmocka_unit_test(a_shape_that_is_gone_gets_no_chunk_and_no_directory),
		cmocka_unit_test(log_chunks_that_a_crash_left_are_removed),
		cmocka_unit_test(any_range_is_the_naive_concatenation),
		cmocka_unit_test(runs_across_segment_borders_read_the_same),
		cmocka_unit_test(long_logs_come_in_bounded_pieces),
		cmocka_unit_test(items_larger_than_a_piece_read_whole),
		cmocka_unit_test(one_transaction_of_many_small_items_is_one_run),
		cmocka_unit_test(a_transaction_larger_than_a_chunk_comes_in_chunks),
		cmocka_unit_test(a_shape_that_goes_closes_its_readers),
		cmocka_unit_test(a_lost_segment_is_damage),
		cmocka_unit_test(no_memory_for_the_window_is_told),
		cmocka_unit_test(replay_gives_the_same_tails_and_bytes),
		cmocka_unit_test(an_aborted_transaction_leaves_nothing_after_replay),
		cmocka_unit_test(records_of_unknown_shapes_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
