/* Compaction of sealed logs on a real store: what is left of them, and that every reader ends with the same rows.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "shape/compactor.h"
#include "shape/log_reader.h"
#include "shape/test_client.h"
#include "shape/test_help.h"
#include "store/log_chunk.h"
#include "store/test_help.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK_BYTES 100000u

static struct cu_compactor_limits limits;

struct world {
	char *dir;
	cu_store *store;
	cu_shape_set *set;
	cu_shape *shape;
	uint64_t tx;       /* items: each is a transaction by itself, or … */
	unsigned tx_items; /* … so many are one */
	cu_buf plain;      /* all items, a line each, as they were written */
	uint64_t bytes;    /* of all items */
};

static void ignore(void *ctx, cu_shape *shape)
{
	(void)ctx;
	(void)shape;
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
	cu_shape *shape = cu_shape_set_by_id(ctx, row->shape_id);
	int rc = cu_shape_log_restore(cu_shape_make_log(shape), row);

	cu_shape_unref(&shape);
	return rc;
}

static void world_open(struct world *w)
{
	struct cu_shape_set_opts opts = { .chunk_bytes = CHUNK_BYTES, .create = ignore, .forget = ignore };
	struct cu_store_loader loader = {
		.metadata = { .definition = load_definition, .shape = load_shape, .log_chunk = load_log_chunk }
	};

	w->set = cu_shape_set_new(&opts);
	loader.metadata.ctx = w->set;
	assert_int_equal(cu_store_open(w->dir, &help_fault_ops, &loader, &w->store), 0);
	w->shape = cu_shape_set_by_id(w->set, 1);
	cu_shape_set_end_restore(w->set, w->store, 0);
}

static void world_close(struct world *w)
{
	cu_shape_unref(&w->shape);
	cu_store_free(&w->store);
	cu_shape_set_free(&w->set);
}

static struct world *world_new(void)
{
	struct world *w = cu_xzalloc(sizeof *w);
	struct cu_snapshot_info info = { .xmin = 1, .xmax = 1, .xip = "", .is_small = true, .small = "" };
	cu_definition *def = help_definition(HELP_OID, false);
	struct cu_shape_row row = { .id = 1, .handle = "1-1", .definition_id = 7 };
	cu_buf json = CU_BUF_INIT;
	cu_metadata *metadata;

	limits = cu_compactor_limits_of(CHUNK_BYTES);
	w->tx_items = 1;
	w->dir = help_dir_new();
	world_open(w);
	metadata = cu_store_metadata(w->store);
	assert_int_equal(cu_definition_put_json(def, &json), 0);
	assert_int_equal(cu_metadata_put_definition(metadata, 7, json.data, json.len, NULL, NULL), 0);
	assert_int_equal(cu_metadata_put_shape(metadata, &row, NULL, NULL), 0);
	assert_int_equal(cu_metadata_set_snapshot(metadata, 1, &info, NULL, NULL), 0);
	assert_int_equal(cu_metadata_sync(metadata), 0);
	cu_buf_fini(&json);
	cu_definition_unref(&def);
	world_close(w);
	world_open(w);
	assert_non_null(w->shape);
	return w;
}

static void world_free(struct world *w)
{
	world_close(w);
	cu_buf_fini(&w->plain);
	help_dir_free(&w->dir);
	free(w);
}

static void world_reopen(struct world *w)
{
	world_close(w);
	world_open(w);
}

/* Of the i-th item, counted from 1. */
static cu_offset offset_at(const struct world *w, uint64_t i)
{
	return cu_offset_of(1 + (i - 1) / w->tx_items, (i - 1) % w->tx_items * 2);
}

static cu_shape_log *log_of(struct world *w)
{
	return w->shape->log;
}

/* ---- writing sealed chunks ---- */

static void item_put(cu_buf *out, const char *operation, unsigned key, uint64_t tx, size_t padding)
{
	cu_buf_printf(out, "{\"key\":\"%u\",\"value\":{\"c%u\":\"%" PRIu64 "\",\"id\":\"%u\",\"pad\":\"%0*u\"}", key,
		      (unsigned)(tx % 5), tx, key, (int)padding, key);
	cu_buf_printf(out, ",\"headers\":{\"operation\":\"%s\",\"relation\":[\"p\",\"t\"],\"lsn\":\"%" PRIu64 "\"}}",
		      operation, tx);
}

/* The next transactions, sealed. `make` says what each is: its operation and key. */
static void seal(struct world *w, unsigned items, size_t padding,
		 const char *(*make)(struct world *w, unsigned *ret_key))
{
	cu_shape_log *log = cu_shape_make_log(w->shape);
	cu_log_chunk_writer *writer = cu_log_chunk_writer_new(cu_store_chunks(w->store), 1, log->next_n);
	cu_offset from = cu_shape_log_sealed_end(log);
	cu_log_index index = CU_LOG_INDEX_INIT;
	struct cu_log_chunk chunk;
	struct cu_log_chunk_row row;
	struct cu_sealed sealed;
	cu_buf item = CU_BUF_INIT;
	cu_offset last;

	for (unsigned i = 0; i < items; i++) {
		unsigned key;
		const char *operation;

		w->tx++;
		operation = make(w, &key);
		cu_buf_clear(&item);
		item_put(&item, operation, key, w->tx, padding);
		cu_log_index_add(&index, offset_at(w, w->tx).tx, offset_at(w, w->tx).op, item.len);
		if (i > 0)
			assert_int_equal(cu_log_chunk_writer_append(writer, ",", 1), 0);
		assert_int_equal(cu_log_chunk_writer_append(writer, item.data, item.len), 0);
		cu_buf_append(&w->plain, item.data, item.len);
		cu_buf_putc(&w->plain, '\n');
	}
	assert_int_equal(cu_log_chunk_writer_finish(&writer, &index, &chunk), 0);
	last = offset_at(w, w->tx);
	row = (struct cu_log_chunk_row){ .shape_id = 1,
					 .n = log->next_n++,
					 .last_tx = last.tx,
					 .last_op = last.op,
					 .wire_bytes = chunk.wire_bytes,
					 .info = chunk.info,
					 .ends = true,
					 .is_small = chunk.small != NULL,
					 .small = chunk.small };
	assert_int_equal(cu_metadata_put_log_chunks(cu_store_metadata(w->store), &row, 1, from.tx, from.op, NULL, NULL),
			 0);
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	sealed = (struct cu_sealed){ .tx = last.tx,
				     .op = last.op,
				     .n = row.n,
				     .bytes = (uint32_t)row.wire_bytes,
				     .crc = chunk.info.crc,
				     .small = row.is_small,
				     .ends = true };
	cu_shape_lock(w->shape);
	cu_shape_log_seal(log, &sealed);
	cu_shape_unlock(w->shape);
	w->bytes += row.wire_bytes;
	free(chunk.small);
	cu_buf_fini(&item);
}

/* A hot table: ten rows, inserted first, then updated again and again; one is deleted and inserted anew now and then. */
static const char *hot(struct world *w, unsigned *ret_key)
{
	if (w->tx <= 10) {
		*ret_key = (unsigned)w->tx - 1;
		return "insert";
	}
	*ret_key = (unsigned)(w->tx * 7919 % 10);
	if (w->tx % 100 == 50 || w->tx % 100 == 51) {
		*ret_key = 5;
		return w->tx % 100 == 50 ? "delete" : "insert";
	}
	return "update";
}

static const char *insert_only(struct world *w, unsigned *ret_key)
{
	*ret_key = (unsigned)w->tx;
	return "insert";
}

/* Compacts until there is nothing left to do. Returns the bytes that were written. */
static uint64_t compact_all(struct world *w)
{
	struct cu_compacted_bytes bytes;
	uint64_t written = 0;
	int rc;

	while ((rc = cu_compactor_run(w->store, w->shape, &limits, &bytes)) == 1)
		written += bytes.after == bytes.before ? 0 : bytes.after;
	assert_int_equal(rc, 0);
	return written;
}

/* ---- reading ---- */

static json_t *rows_at(struct world *w, uint64_t tx)
{
	json_t *rows = json_object();
	const char *at = w->plain.data;

	for (uint64_t i = 1; i <= tx; i++) {
		const char *end = memchr(at, '\n', w->plain.len - (size_t)(at - w->plain.data));

		test_client_apply(rows, at, (size_t)(end - at), true);
		at = end + 1;
	}
	return rows;
}

/* Everything behind `from`, up to `end`, as an array. */
static json_t *read_range(struct world *w, cu_offset from, cu_offset end)
{
	cu_buf out = CU_BUF_INIT, piece = CU_BUF_INIT;
	cu_log_reader reader;
	json_t *items;
	int rc;

	cu_log_reader_init(&reader, w->shape, w->store, from, end);
	cu_buf_putc(&out, '[');
	do {
		cu_buf_clear(&piece);
		rc = cu_log_reader_next_bytes(&reader, &piece);
		cu_buf_append(&out, piece.data, piece.len);
	} while (rc == 1);
	assert_int_equal(rc, 0);
	cu_buf_fini(&piece);
	cu_buf_putc(&out, ']');
	cu_log_reader_fini(&reader);
	items = json_loadb(out.data, out.len, 0, NULL);
	assert_non_null(items);
	cu_buf_fini(&out);
	return items;
}

static void apply(json_t *rows, json_t *items)
{
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		char *text = json_dumps(item, 0);

		test_client_apply(rows, text, strlen(text), false);
		free(text);
	}
}

/* A client that stands at each of some offsets catches up and has the rows that the plain log makes. */
static void assert_clients_agree(struct world *w, uint64_t step)
{
	json_t *want = rows_at(w, w->tx);

	for (uint64_t tx = 0; tx <= w->tx; tx += step) {
		json_t *rows = rows_at(w, tx);
		json_t *items =
			read_range(w, tx ? offset_at(w, tx) : CU_OFFSET_SNAPSHOT_END, cu_shape_log_latest(log_of(w)));

		apply(rows, items);
		assert_true(json_equal(rows, want));
		json_decref(items);
		json_decref(rows);
	}
	json_decref(want);
}

static bool has_directory(struct world *w)
{
	char *path = cu_file_path("%s/shapes/1", w->dir);
	bool has = access(path, F_OK) == 0;

	free(path);
	return has;
}

static int count_one(void *ctx, uint32_t n)
{
	(void)n;
	(*(unsigned *)ctx)++;
	return 0;
}

static unsigned log_files(struct world *w)
{
	unsigned n = 0;

	assert_int_equal(cu_chunks_each_log(cu_store_chunks(w->store), 1, count_one, &n), 0);
	return n;
}

static unsigned sealed_files(struct world *w)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < log_of(w)->sealed_len; i++)
		n += !log_of(w)->sealed[i].small;
	return n;
}

/* ---- answers, and a cache that forgets none ---- */

struct answer {
	cu_offset from, end;
	json_t *items;
};

struct cache {
	struct answer *answers;
	size_t len, cap;
};

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}

/* Any answer that was ever given to this offset, or a new one. */
static const struct answer *answer_get(struct world *w, struct cache *cache, cu_offset from)
{
	size_t skip = random_below(4);
	struct answer *answer;

	for (size_t i = cache->len; i > 0 && skip < 3; i--) {
		if (cu_offset_cmp(cache->answers[i - 1].from, from) == 0 && skip-- == 0)
			return &cache->answers[i - 1];
	}
	if (cache->len == cache->cap) {
		cache->cap = cache->cap ? cache->cap * 2 : 64;
		cache->answers = cu_xrealloc(cache->answers, cache->cap * sizeof *cache->answers);
	}
	answer = &cache->answers[cache->len++];
	assert_true(cu_shape_log_gave(log_of(w), from));
	*answer = (struct answer){ .from = from, .end = cu_shape_log_answer_end(log_of(w), from) };
	answer->items = read_range(w, answer->from, answer->end);
	assert_true(json_array_size(answer->items) > 0);
	return answer;
}

static void cache_fini(struct cache *cache)
{
	for (size_t i = 0; i < cache->len; i++)
		json_decref(cache->answers[i].items);
	free(cache->answers);
}

struct client {
	cu_offset at;
	json_t *rows;
};

static void client_step(struct world *w, struct cache *cache, struct client *client)
{
	const struct answer *answer = answer_get(w, cache, client->at);

	apply(client->rows, answer->items);
	client->at = answer->end;
}

static bool is_up_to_date(struct world *w, const struct client *client)
{
	return cu_offset_cmp(client->at, cu_shape_log_latest(log_of(w))) == 0;
}

/* ---- tests ---- */

static void a_hot_log_stays_as_large_as_its_rows_and_the_window(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		seal(w, 300, 100, hot);
		compact_all(w);
	}
	/* No more gather than CU_COMPACTION_CHUNKS, because they are small. */
	assert_in_range(log_of(w)->sealed_len, 1, CU_COMPACTION_CHUNKS + CU_COMPACTION_WINDOW + 1);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_true(log_of(w)->sealed[0].ends);
	for (uint32_t i = log_of(w)->sealed_len - CU_COMPACTION_WINDOW; i < log_of(w)->sealed_len; i++) {
		assert_false(log_of(w)->sealed[i].compacted);
	}
	assert_true(log_of(w)->sealed[0].bytes < w->bytes / 20);
	assert_int_equal(log_files(w), sealed_files(w));
	assert_clients_agree(w, 1997);
	world_reopen(w);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_int_equal(log_files(w), sealed_files(w));
	assert_clients_agree(w, 5003);
	seal(w, 300, 100, hot);
	compact_all(w);
	assert_clients_agree(w, 5003);
	world_free(w);
}

static void large_chunks_are_compacted_as_they_come(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		seal(w, 30, 40000, hot);
		compact_all(w);
		if (i >= CU_COMPACTION_WINDOW)
			assert_in_range(log_of(w)->sealed_len, CU_COMPACTION_WINDOW + 1, CU_COMPACTION_WINDOW + 10);
	}
	assert_int_equal(log_files(w), sealed_files(w));
	assert_clients_agree(w, 61);
	world_free(w);
}

static void what_gains_little_is_kept_and_not_looked_at_again(void **state)
{
	struct world *w = world_new();
	uint32_t n[6];

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		n[i] = log_of(w) ? log_of(w)->next_n : 0;
		seal(w, 30, 40000, insert_only);
	}
	assert_int_equal(compact_all(w), 0);
	world_reopen(w);
	assert_false(cu_compactor_wants(log_of(w), &limits));
	assert_int_equal(log_of(w)->sealed_len, 6);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(log_of(w)->sealed[i].n, n[i]);
		assert_int_equal(log_of(w)->sealed[i].kept, i < 6 - CU_COMPACTION_WINDOW);
		assert_false(log_of(w)->sealed[i].compacted);
	}
	assert_clients_agree(w, 97);
	world_free(w);
}

static void a_log_of_inserts_is_read_once_and_nothing_is_written(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;

	(void)state;
	limits.memory = 100000;
	for (unsigned i = 0; i < 6; i++)
		seal(w, 30, 40000, insert_only);
	help_fault_set(0, false);
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), 1);
	assert_int_equal(help_fault.calls, 6 - CU_COMPACTION_WINDOW); /* each file was opened */
	assert_true(log_of(w)->sealed[0].kept);
	assert_false(cu_compactor_wants(log_of(w), &limits));
	world_free(w);
}

/* Rows that are all updated in turn, and are larger than what may be in memory and than what is compacted as a rule. */
#define TURN 1500u

static const char *in_turn(struct world *w, unsigned *ret_key)
{
	*ret_key = (unsigned)(w->tx % TURN);
	return w->tx <= TURN ? "insert" : "update";
}

static void rows_larger_than_the_memory_are_compacted_too(void **state)
{
	struct world *w = world_new();
	uint64_t rows = 0, bytes, written = 0;

	(void)state;
	limits.chunk_bytes = 5000;
	limits.memory = 30000;
	limits.near = 90000;
	for (unsigned turn = 0; turn < 8; turn++) {
		for (unsigned i = 0; i < TURN; i += 50) {
			seal(w, 50, 10, in_turn);
			written += compact_all(w);
		}
		if (turn == 0)
			rows = w->bytes;
		bytes = 0;
		for (uint32_t i = 0; i < log_of(w)->sealed_len; i++)
			bytes += log_of(w)->sealed[i].bytes;
		/* The inserts, the last update of each, and as much as both that waits. */
		assert_in_range(bytes, rows, 5 * rows);
	}
	assert_true(rows > 2 * limits.near);
	assert_true(w->bytes > 7 * rows);
	assert_in_range(written, rows, 3 * w->bytes);
	for (uint32_t i = 0; i < log_of(w)->sealed_len; i++)
		assert_in_range(log_of(w)->sealed[i].bytes, 1, 2 * limits.chunk_bytes + 1000);
	assert_int_equal(log_files(w), sealed_files(w));
	assert_clients_agree(w, 1999);
	world_reopen(w);
	assert_false(cu_compactor_wants(log_of(w), &limits));
	assert_clients_agree(w, 3999);
	world_free(w);
}

/* Few columns each time, so that an update that is missed is seen; now and then a row goes and comes. */
static const char *at_random(struct world *w, unsigned *ret_key)
{
	*ret_key = random_below(120);
	if (w->tx <= 120) {
		*ret_key = (unsigned)w->tx - 1;
		return "insert";
	}
	if (w->tx >= 160 && w->tx % 40 < 2) {
		*ret_key = (unsigned)(w->tx / 40 % 120);
		return w->tx % 40 == 0 ? "delete" : "insert";
	}
	return "update";
}

static void clients_round(uint64_t seed)
{
	struct world *w = world_new();
	struct client clients[12];
	struct cache cache = { 0 };
	json_t *want = NULL;

	random_state = seed;
	limits.chunk_bytes = 600;
	limits.memory = 4000;
	limits.near = 20000;
	w->tx_items = 1 + random_below(3);
	for (size_t c = 0; c < CU_ARRAY_LEN(clients); c++)
		clients[c] = (struct client){ CU_OFFSET_SNAPSHOT_END, json_object() };
	for (unsigned round = 0; round < 60; round++) {
		seal(w, 20 + random_below(30), 2, at_random);
		if (random_below(2))
			compact_all(w);
		for (size_t c = 0; c < CU_ARRAY_LEN(clients); c++) {
			for (uint32_t steps = random_below(6); steps && !is_up_to_date(w, &clients[c]); steps--)
				client_step(w, &cache, &clients[c]);
		}
		if (random_below(4) == 0) {
			struct client *late = &clients[random_below(CU_ARRAY_LEN(clients))];

			json_decref(late->rows);
			*late = (struct client){ CU_OFFSET_SNAPSHOT_END, json_object() };
		}
	}
	want = rows_at(w, w->tx);
	for (size_t c = 0; c < CU_ARRAY_LEN(clients); c++) {
		while (!is_up_to_date(w, &clients[c]))
			client_step(w, &cache, &clients[c]);
		assert_true(json_equal(clients[c].rows, want));
		json_decref(clients[c].rows);
	}
	json_decref(want);
	cache_fini(&cache);
	world_free(w);
}

static void a_cache_that_forgets_nothing_gives_no_wrong_rows(void **state)
{
	const char *rounds = getenv("COPPER_COMPACTOR_ROUNDS"); /* for longer runs */

	(void)state;
	for (uint64_t seed = 1; seed <= (rounds ? strtoull(rounds, NULL, 10) : 4); seed++)
		clients_round(seed);
}

static void an_offset_that_was_not_given_yet_is_told(void **state)
{
	struct world *w = world_new();

	(void)state;
	seal(w, 3, 10, insert_only);
	assert_true(cu_shape_log_gave(log_of(w), cu_offset_of(1, 0)));
	assert_true(cu_shape_log_gave(log_of(w), cu_offset_of(1, CU_OP_INF)));
	assert_true(cu_shape_log_gave(log_of(w), cu_sealed_boundary(1, log_of(w)->next_n - 1)));
	assert_false(cu_shape_log_gave(log_of(w), cu_sealed_boundary(1, log_of(w)->next_n)));
	world_free(w);
}

/* Of one transaction, so that it is one chunk: too large for an answer. */
static void what_a_transaction_leaves_is_kept_when_it_is_too_large(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->tx_items = 1000;
	limits.chunk_max = 20000;
	for (unsigned i = 0; i < 5; i++)
		seal(w, 30, 40000, hot);
	assert_int_equal(compact_all(w), 0);
	assert_int_equal(log_of(w)->sealed_len, 5);
	assert_true(log_of(w)->sealed[0].kept);
	assert_int_equal(log_files(w), 5);
	limits.chunk_max = CU_COMPACTION_CHUNK_MAX;
	for (unsigned i = 0; i < 5; i++)
		seal(w, 30, 40000, hot);
	assert_true(compact_all(w) > 0);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_clients_agree(w, 61);
	world_free(w);
}

static void small_chunks_of_a_slow_shape_do_not_gather(void **state)
{
	struct world *w = world_new();
	uint64_t written = 0;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		seal(w, 3, 10, insert_only);
		written += compact_all(w);
	}
	assert_in_range(log_of(w)->sealed_len, 1, 50);
	assert_in_range(written, 0, 5 * w->bytes);
	assert_clients_agree(w, 401);
	world_free(w);
}

static void a_flipped_bit_is_not_written_on(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;
	uint64_t size;
	char byte;
	char *path;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	assert_int_equal(cu_chunk_open(cu_store_chunks(w->store), 1, CU_CHUNK_LOG, 0, &fd, &size), 0);
	close(fd);
	path = cu_file_path("%s/shapes/1/log.0", w->dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, 5000), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, 5000), 1);
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), CU_ECORRUPT);
	assert_int_equal(log_of(w)->sealed_len, 3);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), CU_ECORRUPT);
	free(path);
	world_free(w);
}

static void a_shape_that_goes_meanwhile_leaves_nothing(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	/* Its row goes, its files are still there. */
	assert_int_equal(cu_metadata_remove_shape(cu_store_metadata(w->store), 1, NULL, NULL), 0);
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), 0);
	assert_false(has_directory(w));
	world_free(w);
}

static void a_failed_allocation_leaves_all_as_it_was(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;
	unsigned n = 0;
	int rc;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	do {
		assert_int_equal(log_of(w)->sealed_len, 3);
		assert_int_equal(log_files(w), 3);
		cu_fault_alloc_at(++n);
		rc = cu_compactor_run(w->store, w->shape, &limits, &bytes);
		assert_true(rc == 1 || rc == CU_ENOMEM);
	} while (cu_fault_alloc_at(0) == 0 && rc < 0);
	assert_int_equal(rc, 1);
	assert_true(n > 5);
	assert_clients_agree(w, 61);
	world_free(w);
}

static void a_failed_file_operation_leaves_all_as_it_was(void **state)
{
	struct world *w = world_new();
	struct cu_compacted_bytes bytes;
	unsigned failures = 0;
	int rc;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	for (long n = 1;; n++) {
		help_fault_set(n, false);
		rc = cu_compactor_run(w->store, w->shape, &limits, &bytes);
		help_fault_set(0, false);
		if (rc == 1)
			break; /* the first that may fail without harm is the removal of an old file */
		assert_int_equal(rc, CU_EIO);
		failures++;
		assert_int_equal(log_of(w)->sealed_len, 3);
		assert_int_equal(log_files(w), 3);
	}
	assert_true(failures > 5);
	assert_clients_agree(w, 61);
	world_reopen(w);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_clients_agree(w, 61);
	world_free(w);
}

/* SQLite's write-ahead file: its sync fails when it is to. */
static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	sqlite3_io_methods methods;
	const sqlite3_io_methods *real_methods;
	_Atomic bool fails;
} wal;

static int wal_sync(sqlite3_file *file, int flags)
{
	return wal.fails ? SQLITE_IOERR_FSYNC : wal.real_methods->xSync(file, flags);
}

static int wal_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
	int rc = wal.real->xOpen(wal.real, name, file, flags, ret_flags);

	(void)vfs;
	if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL)) {
		wal.real_methods = file->pMethods;
		wal.methods = *file->pMethods;
		wal.methods.xSync = wal_sync;
		file->pMethods = &wal.methods;
	}
	return rc;
}

/* A COMMIT whose sync fails may be durable: then the next start finds the new chunk's row. */
static void a_commit_that_failed_may_be_there_after_a_crash(void **state)
{
	struct cu_compacted_bytes bytes;
	struct world *w;
	char *copy, *command;

	(void)state;
	wal.real = sqlite3_vfs_find(NULL);
	wal.vfs = *wal.real;
	wal.vfs.zName = "wal";
	wal.vfs.xOpen = wal_open;
	assert_int_equal(sqlite3_vfs_register(&wal.vfs, 1), SQLITE_OK);
	w = world_new();
	for (unsigned i = 0; i < 3; i++)
		seal(w, 30, 40000, hot);
	wal.fails = true;
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), CU_EIO);
	assert_int_equal(log_of(w)->sealed_len, 3);
	assert_clients_agree(w, 61);
	/* A crash now. */
	copy = help_dir_new();
	command = cu_file_path("cp -r %s/. %s", w->dir, copy);
	assert_int_equal(system(command), 0);
	free(command);
	wal.fails = false;
	world_close(w);
	help_dir_free(&w->dir);
	w->dir = copy;
	world_open(w);
	assert_true(log_of(w)->sealed[0].compacted);
	assert_clients_agree(w, 61);
	world_free(w);
	assert_int_equal(sqlite3_vfs_unregister(&wal.vfs), SQLITE_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hot_log_stays_as_large_as_its_rows_and_the_window),
		cmocka_unit_test(large_chunks_are_compacted_as_they_come),
		cmocka_unit_test(what_gains_little_is_kept_and_not_looked_at_again),
		cmocka_unit_test(a_log_of_inserts_is_read_once_and_nothing_is_written),
		cmocka_unit_test(rows_larger_than_the_memory_are_compacted_too),
		cmocka_unit_test(a_cache_that_forgets_nothing_gives_no_wrong_rows),
		cmocka_unit_test(an_offset_that_was_not_given_yet_is_told),
		cmocka_unit_test(what_a_transaction_leaves_is_kept_when_it_is_too_large),
		cmocka_unit_test(small_chunks_of_a_slow_shape_do_not_gather),
		cmocka_unit_test(a_flipped_bit_is_not_written_on),
		cmocka_unit_test(a_shape_that_goes_meanwhile_leaves_nothing),
		cmocka_unit_test(a_failed_allocation_leaves_all_as_it_was),
		cmocka_unit_test(a_failed_file_operation_leaves_all_as_it_was),
		cmocka_unit_test(a_commit_that_failed_may_be_there_after_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
