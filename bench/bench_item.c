/* bench_item.c: how many rows per second one core decodes and writes as items, without I/O.
 *
 * Usage: bench_item [rows]. The row has four columns, as the load generator's table: an integer key, a short text, a
 * number and a timestamp. Prints one line per path; the best of five rounds.
 */
#include "base/buf.h"
#include "pg/copy_row.h"
#include "pg/pgoutput.h"
#include "shape/item.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 5
#define FLUSH_AT (1u << 20) /* the buffer is emptied here, so that it stays in the cache as it does in use */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void tuple_put(cu_buf *out, char kind, const char *const *values)
{
	cu_buf_append(out, (char[]){ kind, 0, 4 }, 3);
	for (unsigned i = 0; i < 4; i++) {
		size_t len = strlen(values[i]);

		cu_buf_append(out, (char[]){ 't', 0, 0, 0, (char)len }, 5);
		cu_buf_append(out, values[i], len);
	}
}

enum path {
	INSERT,
	UPDATE,
	DELETE,
	COPY,
	PATHS,
};

static const char *const path_names[PATHS] = { "insert", "update", "delete", "copy" };
static const char *const old_row[] = { "123456", "title of row 123456", "41", "2026-11-22 21:00:00.123456+00" };
static const char *const new_row[] = { "123456", "title of row 123456", "42", "2026-11-22 21:00:00.123456+00" };

static void input_build(enum path path, cu_buf *in)
{
	static const char kinds[] = { 'I', 'U', 'D' };

	if (path == COPY) {
		cu_buf_printf(in, "%s\t%s\t%s\t%s\n", old_row[0], old_row[1], old_row[2], old_row[3]);
		return;
	}
	cu_buf_append(in, (char[]){ kinds[path], 0, 0, 64, 1 }, 5);
	if (path != INSERT)
		tuple_put(in, 'O', old_row);
	if (path != DELETE)
		tuple_put(in, 'N', new_row);
}

static void change_write(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			 const struct cu_pgoutput_msg *msg)
{
	const struct cu_pgoutput_change *change = &msg->u.change;

	if (msg->kind == CU_PGOUTPUT_INSERT)
		cu_item_put_insert(out, layout, op, change->new_row);
	else if (msg->kind == CU_PGOUTPUT_DELETE)
		cu_item_put_delete(out, layout, op, change->old_row);
	else if (!cu_item_key_changed(layout, change->old_row, change->new_row))
		cu_item_put_update(out, layout, op, change->old_row, change->new_row);
}

static double round_run(enum path path, const cu_buf *in, const cu_item_layout *layout, unsigned long rows, cu_buf *out,
			size_t *ret_bytes)
{
	struct cu_item_op op = { .lsn = 26672376, .txid = 745 };
	struct cu_pgoutput_decoder dec;
	struct cu_pgoutput_msg msg;
	struct cu_copy_row row;
	double start;

	cu_pgoutput_decoder_init(&dec);
	cu_copy_row_init(&row, 4);
	start = now();
	for (unsigned long i = 0; i < rows; i++) {
		size_t before;

		if (out->len > FLUSH_AT)
			cu_buf_clear(out);
		before = out->len;
		op.op_position = i * 2;
		if (path == COPY) {
			CU_ASSERT(cu_copy_row_parse(&row, in->data, in->len) == 0);
			cu_item_put_snapshot(out, layout, row.values);
		} else {
			CU_ASSERT(cu_pgoutput_decode(&dec, (const uint8_t *)in->data, in->len, &msg) == 0);
			change_write(out, layout, &op, &msg);
		}
		*ret_bytes = out->len - before;
	}
	start = now() - start;
	cu_pgoutput_decoder_fini(&dec);
	cu_copy_row_fini(&row);
	return start;
}

int main(int argc, char **argv)
{
	static const struct cu_item_column_spec columns[] = {
		{ "id", true, 0 },
		{ "title", true, -1 },
		{ "n", true, -1 },
		{ "at", true, -1 },
	};
	struct cu_item_layout_spec spec = { "public", "items", 4, columns };
	unsigned long rows = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000000;
	cu_item_layout *layout;
	cu_buf out = CU_BUF_INIT;

	CU_ASSERT(cu_item_layout_new(&spec, &layout) == 0);
	for (unsigned path = 0; path < PATHS; path++) {
		cu_buf in = CU_BUF_INIT;
		double best = 1e9;
		size_t bytes = 0;

		input_build(path, &in);
		for (unsigned i = 0; i < ROUNDS; i++) {
			double took = round_run(path, &in, layout, rows, &out, &bytes);

			best = CU_MIN(best, took);
		}
		printf("%-6s %5.2f million rows/s, %4.0f ns/row, %zu bytes/item\n", path_names[path],
		       (double)rows / best * 1e-6, best / (double)rows * 1e9, bytes);
		cu_buf_fini(&in);
	}
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
	return 0;
}
