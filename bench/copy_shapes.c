/* copy_shapes.c: fills a storage directory with shapes like the one that it holds, as a day of clients would.
 *
 * Usage: copy_shapes DIR COUNT CONSTANT [sealed]. DIR is the storage of a server that has been stopped; one of its shapes has
 * CONSTANT (decimal) in its where clause. COUNT shapes are added whose constants are the following numbers, each with a
 * handle, a row of metadata, the key by which changes find it and a snapshot of its own. The constants must stay of one length, so that the stored
 * form of a clause, whatever it is, stays right. sealed: each has a small sealed piece of a log as well.
 */
#include "base/clock.h"
#include "router/router.h"
#include "shape/definition.h"
#include "store/log_chunk.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The shape to be copied. */
struct original {
	const char *constant;
	uint64_t id;
	uint64_t definition_id;
	char *where;
	size_t where_len, constant_at;
	char *handle;
	struct cu_snapshot_info snapshot;
	struct cu_chunk_info chunk;
	char *data; /* of the one chunk; owned */
	cu_definition *def;
};

struct found {
	struct original original;
	cu_definition *defs[64]; /* all that are stored */
	size_t defs_len;
};

static void check(int rc, const char *what)
{
	if (rc < 0) {
		fprintf(stderr, "copy_shapes: %s: %s\n", what, cu_strerror(rc));
		exit(1);
	}
}

static int take_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	struct found *found = ctx;
	cu_definition *def;

	if (found->defs_len == CU_ARRAY_LEN(found->defs))
		return CU_EFULL;
	check(cu_definition_parse(body, len, &def), "a definition");
	def->id = id;
	found->defs[found->defs_len++] = def;
	return 0;
}

static int take_original(void *ctx, const struct cu_shape_row *row)
{
	struct found *found = ctx;
	struct original *original = &found->original;
	const char *at =
		row->where ? memmem(row->where, row->where_len, original->constant, strlen(original->constant)) : NULL;

	if (!at || !row->snapshot_complete || (!row->snapshot.is_small && row->snapshot.chunks_len != 1) ||
	    original->id)
		return 0;
	for (size_t i = 0; i < found->defs_len; i++) {
		if (found->defs[i]->id == row->definition_id)
			original->def = found->defs[i];
	}
	if (!original->def)
		return CU_ECORRUPT;
	original->id = row->id;
	original->definition_id = row->definition_id;
	original->where = cu_xmemdup(row->where, row->where_len);
	original->where_len = row->where_len;
	original->constant_at = (size_t)(at - row->where);
	original->handle = cu_xstrdup(row->handle);
	original->snapshot = row->snapshot;
	original->snapshot.xip = cu_xstrdup(row->snapshot.xip);
	original->snapshot.published = cu_xstrdup(row->snapshot.published);
	if (!row->snapshot.is_small)
		original->chunk = row->snapshot.chunks[0];
	original->snapshot.chunks = &original->chunk;
	return 0;
}

static void read_chunk(cu_store *store, struct original *original)
{
	uint64_t bytes;
	int fd;

	if (original->snapshot.is_small) {
		cu_buf small = CU_BUF_INIT;

		check(cu_metadata_get_small(cu_store_metadata(store), original->id, &small), "the shape's snapshot");
		original->snapshot.small_len = small.len;
		original->data = cu_buf_steal(&small, NULL);
		original->snapshot.small = original->data;
		return;
	}
	check(cu_chunk_open(cu_store_chunks(store), original->id, CU_CHUNK_SNAPSHOT, 0, &fd, &bytes),
	      "the shape's snapshot");
	original->data = cu_xmalloc(bytes + 1);
	if (pread(fd, original->data, bytes, 0) != (ssize_t)bytes)
		check(CU_EIO, "the shape's snapshot");
	close(fd);
}

static void write_chunk(cu_store *store, uint64_t id, const struct original *original)
{
	cu_chunk_writer *writer;
	struct cu_chunk_info info;

	if (original->snapshot.is_small)
		return; /* it goes with the row */

	check(cu_chunk_writer_new(cu_store_chunks(store), id, CU_CHUNK_SNAPSHOT, 0, &writer), "a snapshot's file");
	check(cu_chunk_writer_append(writer, original->data, original->chunk.bytes, original->chunk.items),
	      "a snapshot's file");
	check(cu_chunk_writer_finish(&writer, false, &info), "a snapshot's file");
}

/* As the server would have stored it. */
static void set_route_key(struct original *original)
{
	char *where = cu_xstrndup(original->where, original->where_len);
	cu_router *router = cu_router_new();
	cu_route route = { .where = where };
	struct cu_route_key key = { .known = false };
	cu_definition *def = original->def;

	check(cu_router_add(router, def->oid, def, def->scope, &route, &key), where);
	check(cu_router_remove(router, def->oid, def, &route), where);
	cu_router_free(&router);
	original->snapshot.has_route_key = key.known;
	original->snapshot.route_column = key.column;
	original->snapshot.route_hash = key.hash;
	free(where);
}

/* One item, from before any transaction that the log holds. */
static void write_log_chunk(cu_store *store, uint64_t id)
{
	static const char item[] = "{\"headers\":{\"operation\":\"insert\"},\"key\":\"k\",\"value\":{\"id\":\"1\"}}";
	cu_log_chunk_writer *writer = cu_log_chunk_writer_new(cu_store_chunks(store), id, 0);
	cu_log_index index = CU_LOG_INDEX_INIT;
	struct cu_log_chunk chunk;
	struct cu_log_chunk_row row = { .shape_id = id, .last_tx = 1, .is_small = true };

	cu_log_index_add(&index, row.last_tx, row.last_op, sizeof item - 1);
	check(cu_log_chunk_writer_append(writer, item, sizeof item - 1), "a sealed piece");
	check(cu_log_chunk_writer_finish(&writer, &index, true, &chunk), "a sealed piece");
	row.wire_bytes = chunk.wire_bytes;
	row.info = chunk.info;
	row.small = chunk.small;
	check(cu_metadata_put_log_chunks(cu_store_metadata(store), &row, 1, 0, 0, NULL, NULL), "a sealed piece's row");
	free(chunk.small);
	cu_buf_fini(&index.bytes);
}

static void add_shapes(cu_store *store, struct original *original, unsigned long count, bool sealed)
{
	cu_metadata *metadata = cu_store_metadata(store);
	size_t digits = strlen(original->constant);
	uint64_t now_us = cu_wall_us();

	read_chunk(store, original);
	for (unsigned long i = 1; i <= count; i++) {
		char constant[24], handle[48];
		struct cu_shape_row row = {
			.id = cu_metadata_next_shape_id(metadata),
			.handle = handle,
			.definition_id = original->definition_id,
			.where = original->where,
			.where_len = original->where_len,
			.created_us = now_us + i,
		};

		snprintf(constant, sizeof constant, "%llu", strtoull(original->constant, NULL, 10) + i);
		if (strlen(constant) != digits)
			check(CU_EINVAL, "the constants get longer: choose one like 100000000");
		memcpy(original->where + original->constant_at, constant, digits);
		snprintf(handle, sizeof handle, "%lu-%llu", (unsigned long)(i * 7919 % 134217728),
			 (unsigned long long)now_us + i);
		set_route_key(original);
		write_chunk(store, row.id, original);
		check(cu_metadata_put_shape(metadata, &row, NULL, NULL), "a shape's row");
		check(cu_metadata_set_snapshot(metadata, row.id, &original->snapshot, NULL, NULL), "a shape's row");
		if (sealed)
			write_log_chunk(store, row.id);
	}
	check(cu_metadata_sync(metadata), "the metadata");
}

int main(int argc, char **argv)
{
	struct found found = { .defs_len = 0 };
	struct original *original = &found.original;
	struct cu_store_loader loader = {
		.metadata = { .ctx = &found, .definition = take_definition, .shape = take_original }
	};
	cu_store *store = NULL;

	if (argc < 4 || argc > 5 || (argc == 5 && strcmp(argv[4], "sealed") != 0)) {
		fprintf(stderr, "usage: copy_shapes DIR COUNT CONSTANT [sealed]\n");
		return 2;
	}
	original->constant = argv[3];
	check(cu_store_open(argv[1], NULL, &loader, &store), argv[1]);
	if (!original->id)
		check(CU_ENOTFOUND, "a shape with this constant and a snapshot of one chunk");
	add_shapes(store, original, strtoul(argv[2], NULL, 10), argc == 5);
	cu_store_free(&store);
	free(original->where);
	free(original->data);
	free(original->handle);
	free((char *)original->snapshot.xip);
	free((char *)original->snapshot.published);
	for (size_t i = 0; i < found.defs_len; i++)
		cu_definition_unref(&found.defs[i]);
	return 0;
}
