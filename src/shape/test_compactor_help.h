/* test_compactor_help.h: one shape on a real store, sealed chunks of whatever items, what a reader gets. Included by tests only. */
#ifndef CU_SHAPE_TEST_COMPACTOR_HELP_H
#define CU_SHAPE_TEST_COMPACTOR_HELP_H

#include "base/limits.h"
#include "shape/compactor.h"
#include "shape/test_read.h"
#include "shape/test_help.h"
#include "store/log_chunk.h"
#include "store/test_help.h"

#include <stdlib.h>

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
	assert_int_equal(cu_log_chunk_writer_finish(&writer, &index, true, &chunk), 0);
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
	return test_read_range(w->store, w->shape, from, end);
}

#endif
