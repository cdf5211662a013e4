/* test_read.h: what a client is sent of a shape's log, and what it makes of that. Included by tests only. */
#ifndef CU_SHAPE_TEST_READ_H
#define CU_SHAPE_TEST_READ_H

#include "shape/log_reader.h"
#include "shape/test_client.h"

#include <stdlib.h>

/* Everything behind `from`, up to `end`, as an array. */
static json_t *test_read_range(cu_store *store, cu_shape *shape, cu_offset from, cu_offset end)
{
	cu_buf out = CU_BUF_INIT, piece = CU_BUF_INIT;
	cu_log_reader reader;
	json_t *items;
	int rc;

	cu_log_reader_init(&reader, shape, store, from, end);
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

static void test_read_apply(json_t *rows, json_t *items)
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

#endif
