/* label: unit
 * test_item.c: items and keys, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "shape/item.h"

#define NIL "\1n"
#define SAME "\1u"

static const struct cu_item_op op = { .lsn = 26672376, .op_position = 4, .txid = 745 };
static const struct cu_item_op op_full = { .lsn = UINT64_MAX, .op_position = 5, .txid = 745, .replica_full = true };

static struct cu_pg_value value_from(const char *text)
{
	if (text[0] == '\1')
		return (struct cu_pg_value){ (uint8_t)text[1], 0, NULL };
	return (struct cu_pg_value){ CU_PG_TEXT, (uint32_t)strlen(text), text };
}

/* A row of up to 4 columns from texts. */
struct row {
	struct cu_pg_value values[4];
};

static struct row row_from(const char *const *texts)
{
	struct row row = { 0 };

	for (unsigned i = 0; texts[i]; i++)
		row.values[i] = value_from(texts[i]);
	return row;
}

#define ROW(...) (row_from((const char *const[]){ __VA_ARGS__, NULL }).values)

static cu_item_layout *layout_from(const char *schema, const char *table, unsigned n,
				   const struct cu_item_column_spec *columns)
{
	struct cu_item_layout_spec spec = { schema, table, n, columns };
	cu_item_layout *layout = NULL;

	assert_int_equal(cu_item_layout_new(&spec, &layout), 0);
	assert_int_equal(cu_item_layout_columns_n(layout), n);
	return layout;
}

/* id (key), title, n: as in the recorded answers; the table's order differs from the order of names. */
static cu_item_layout *items_layout(void)
{
	static const struct cu_item_column_spec columns[] = {
		{ "id", true, 0 },
		{ "title", true, -1 },
		{ "n", true, -1 },
	};

	return layout_from("public", "items", 3, columns);
}

static void assert_text(cu_buf *buf, const char *want)
{
	assert_false(cu_buf_failed(buf));
	assert_string_equal(cu_buf_str(buf), want);
	cu_buf_clear(buf);
}

#define KEY(id) "{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"" id "\\\"\",\"value\":"
#define HEADERS(operation) ",\"headers\":{\"operation\":\"" operation "\",\"relation\":[\"public\",\"items\"]"
#define OP ",\"lsn\":\"26672376\",\"op_position\":4,\"txids\":[745]"
#define OP_FULL ",\"lsn\":\"18446744073709551615\",\"op_position\":5,\"txids\":[745]"

/* --- keys --- */

static void keys_double_slashes_and_dots_and_mark_nulls(void **state)
{
	static const struct cu_item_column_spec pk_ab[] = { { "b", true, 1 }, { "a", true, 0 } };
	static const struct cu_item_column_spec no_pk[] = { { "c", true, -1 }, { "B", true, -1 }, { "a", true, -1 } };
	static const struct cu_item_column_spec only[] = { { "a", true, 0 } };
	static const struct {
		const char *schema, *table;
		unsigned n;
		const struct cu_item_column_spec *columns;
		const char *row[4];
		const char *key;
		const char *json;
	} cases[] = {
		/* In the order of the key, not of the table. */
		{ "hello",
		  "world",
		  2,
		  pk_ab,
		  { "second", "first" },
		  "\"hello\".\"world\"/\"first\"/\"second\"",
		  "\"\\\"hello\\\".\\\"world\\\"/\\\"first\\\"/\\\"second\\\"\"" },
		/* Slashes in values are doubled, dots are not. */
		{ "s",
		  "t",
		  2,
		  pk_ab,
		  { "/", "a/b//c.d/" },
		  "\"s\".\"t\"/\"a//b////c.d//\"/\"//\"",
		  "\"\\\"s\\\".\\\"t\\\"/\\\"a//b////c.d//\\\"/\\\"//\\\"\"" },
		/* No primary key: all columns by name, bytewise; null is _, empty is "". */
		{ "s",
		  "t",
		  3,
		  no_pk,
		  { "3", NIL, "" },
		  "\"s\".\"t\"/_/\"\"/\"3\"",
		  "\"\\\"s\\\".\\\"t\\\"/_/\\\"\\\"/\\\"3\\\"\"" },
		/* A text that looks like null is quoted. */
		{ "s", "t", 1, only, { "_" }, "\"s\".\"t\"/\"_\"", "\"\\\"s\\\".\\\"t\\\"/\\\"_\\\"\"" },
		/* Names: slashes and dots doubled, quotes as they are. */
		{ "a\".\"b",
		  "c",
		  1,
		  only,
		  { "" },
		  "\"a\"..\"b\".\"c\"/\"\"",
		  "\"\\\"a\\\"..\\\"b\\\".\\\"c\\\"/\\\"\\\"\"" },
		{ "odd/",
		  "na.me",
		  1,
		  only,
		  { "x" },
		  "\"odd//\".\"na..me\"/\"x\"",
		  "\"\\\"odd//\\\".\\\"na..me\\\"/\\\"x\\\"\"" },
		/* Quotes, backslashes, control characters and non-ASCII: raw in the key, escaped in JSON. */
		{ "\xc3\xbc",
		  "t",
		  1,
		  only,
		  { "q\"\\\n\x01/\xe2\x82\xac" },
		  "\"\xc3\xbc\".\"t\"/\"q\"\\\n\x01//\xe2\x82\xac\"",
		  "\"\\\"\xc3\xbc\\\".\\\"t\\\"/\\\"q\\\"\\\\\\n\\u0001//\xe2\x82\xac\\\"\"" },
	};
	cu_buf out = CU_BUF_INIT;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		cu_item_layout *layout = layout_from(cases[i].schema, cases[i].table, cases[i].n, cases[i].columns);
		struct row row = row_from(cases[i].row);

		cu_item_put_key(&out, layout, row.values);
		assert_text(&out, cases[i].key);
		cu_item_put_key_json(&out, layout, row.values);
		assert_text(&out, cases[i].json);
		cu_item_layout_free(&layout);
		assert_null(layout);
	}
	cu_buf_fini(&out);
}

/* --- items of a table with a primary key --- */

static void snapshot_items_carry_operation_and_relation_only(void **state)
{
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT;

	(void)state;
	cu_item_put_snapshot(&out, layout, ROW("1", "one", NIL));
	assert_text(&out, KEY("1") "{\"id\":\"1\",\"n\":null,\"title\":\"one\"}" HEADERS("insert") "}}");
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void a_subset_item_is_a_snapshot_item_with_a_mark(void **state)
{
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT;

	(void)state;
	cu_item_put_subset(&out, layout, ROW("1", "one", NIL), 2147483647);
	assert_text(&out, KEY("1") "{\"id\":\"1\",\"n\":null,\"title\":\"one\"}" HEADERS(
				  "insert") ",\"snapshot_mark\":2147483647}}");
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void insert_writes_all_selected_columns(void **state)
{
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT;

	(void)state;
	cu_item_put_insert(&out, layout, &op, ROW("4", "\"four\"\t\xc3\xbc\\", "40"));
	cu_buf_puts(&out, CU_ITEM_END_LAST);
	assert_text(&out, KEY("4") "{\"id\":\"4\",\"n\":\"40\",\"title\":\"\\\"four\\\"\\t\xc3\xbc\\\\\"}" HEADERS(
				  "insert") OP ",\"last\":true}}");
	cu_item_put_insert(&out, layout, &op_full, ROW("4", NIL, ""));
	cu_buf_puts(&out, CU_ITEM_END);
	assert_text(&out, KEY("4") "{\"id\":\"4\",\"n\":\"\",\"title\":null}" HEADERS("insert") OP_FULL "}}");
	cu_item_put_move_in(&out, layout, &op, ROW("4", "large", "0"), ROW("4", SAME, "1"));
	assert_text(&out, KEY("4") "{\"id\":\"4\",\"n\":\"1\",\"title\":\"large\"}" HEADERS("insert") OP);
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void update_writes_key_and_changed_columns(void **state)
{
	static const struct {
		const char *old_row[4], *new_row[4];
		const char *value;
	} cases[] = {
		{ { "4", "four", "40" }, { "4", "four", "41" }, "{\"id\":\"4\",\"n\":\"41\"}" },
		{ { "4", "four", "40" }, { "4", SAME, "41" }, "{\"id\":\"4\",\"n\":\"41\"}" },
		{ { "4", "four", "40" }, { "4", NIL, "40" }, "{\"id\":\"4\",\"title\":null}" },
		{ { "4", NIL, "40" }, { "4", "", "40" }, "{\"id\":\"4\",\"title\":\"\"}" },
		{ { "4", NIL, "40" }, { "4", NIL, "40" }, "{\"id\":\"4\"}" },
		{ { "4", "a", "1" }, { "4", "b", "2" }, "{\"id\":\"4\",\"n\":\"2\",\"title\":\"b\"}" },
	};
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT, want = CU_BUF_INIT;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct row old_row = row_from(cases[i].old_row), new_row = row_from(cases[i].new_row);

		cu_item_put_update(&out, layout, &op, old_row.values, new_row.values);
		cu_buf_printf(&want, KEY("4") "%s" HEADERS("update") OP, cases[i].value);
		assert_text(&out, cu_buf_str(&want));
		cu_buf_clear(&want);
	}
	cu_buf_fini(&want);
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void full_replica_update_writes_all_and_old_values_of_the_changed(void **state)
{
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT;

	(void)state;
	cu_item_put_update(&out, layout, &op_full, ROW("4", "large", NIL), ROW("4", SAME, "41"));
	assert_text(&out, KEY("4") "{\"id\":\"4\",\"n\":\"41\",\"title\":\"large\"},\"old_value\":{\"n\":null}" HEADERS(
				  "update") OP_FULL);
	cu_item_put_update(&out, layout, &op_full, ROW("4", "a", "1"), ROW("4", "a", "1"));
	assert_text(&out,
		    KEY("4") "{\"id\":\"4\",\"n\":\"1\",\"title\":\"a\"},\"old_value\":{}" HEADERS("update") OP_FULL);
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void delete_writes_the_key_and_with_full_replica_everything(void **state)
{
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT;

	(void)state;
	cu_item_put_delete(&out, layout, &op, ROW("4", "four", NIL));
	assert_text(&out, KEY("4") "{\"id\":\"4\"}" HEADERS("delete") OP);
	cu_item_put_delete(&out, layout, &op_full, ROW("4", "four", NIL));
	assert_text(&out, KEY("4") "{\"id\":\"4\",\"n\":null,\"title\":\"four\"}" HEADERS("delete") OP_FULL);
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void key_change_links_delete_and_insert(void **state)
{
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT;

	(void)state;
	cu_item_put_delete_key_change(&out, layout, &op, ROW("6", "six", "60"), ROW("7", SAME, "60"));
	assert_text(&out, KEY("6") "{\"id\":\"6\"}" HEADERS("delete") OP
		    ",\"key_change_to\":\"\\\"public\\\".\\\"items\\\"/\\\"7\\\"\"");
	cu_item_put_insert_key_change(&out, layout, &op, ROW("6", "six", "60"), ROW("7", SAME, "60"));
	assert_text(&out, KEY("7") "{\"id\":\"7\",\"n\":\"60\",\"title\":\"six\"}" HEADERS("insert") OP
		    ",\"key_change_from\":\"\\\"public\\\".\\\"items\\\"/\\\"6\\\"\"");
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void unresolved_toast_is_left_out_of_the_value(void **state)
{
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT;

	(void)state;
	cu_item_put_update(&out, layout, &op, NULL, ROW("4", SAME, "1"));
	assert_text(&out, KEY("4") "{\"id\":\"4\",\"n\":\"1\"}" HEADERS("update") OP);
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

/* --- other layouts --- */

static void table_without_a_key_deletes_with_all_columns(void **state)
{
	static const struct cu_item_column_spec columns[] = { { "b", true, -1 }, { "a", true, -1 } };
	cu_item_layout *layout = layout_from("public", "items", 2, columns);
	cu_buf out = CU_BUF_INIT;

	(void)state;
	assert_false(cu_item_layout_has_pk(layout));
	assert_true(cu_item_key_changed(layout, ROW("1", NIL), ROW("1", "")));
	cu_item_put_delete_key_change(&out, layout, &op, ROW("1", NIL), ROW("1", "x"));
	assert_text(&out,
		    "{\"key\":\"\\\"public\\\".\\\"items\\\"/_/\\\"1\\\"\",\"value\":{\"a\":null,\"b\":\"1\"}" HEADERS(
			    "delete") OP ",\"key_change_to\":\"\\\"public\\\".\\\"items\\\"/\\\"x\\\"/\\\"1\\\"\"");
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void only_selected_columns_count_and_are_written(void **state)
{
	static const struct cu_item_column_spec columns[] = {
		{ "id", true, 0 },
		{ "hidden", false, -1 },
		{ "we\"ird\xc3\xbc", true, -1 },
	};
	cu_item_layout *layout = layout_from("public", "items", 3, columns);
	cu_buf out = CU_BUF_INIT;

	(void)state;
	assert_true(cu_item_layout_has_pk(layout));
	assert_true(cu_item_layout_bytes(layout) > 100);
	assert_false(cu_item_row_changed(layout, ROW("1", "a", "b"), ROW("1", "x", "b")));
	assert_false(cu_item_row_changed(layout, ROW("1", "a", "b"), ROW("1", "x", SAME)));
	assert_true(cu_item_row_changed(layout, ROW("1", "a", "b"), ROW("1", "a", "c")));
	assert_true(cu_item_row_changed(layout, ROW("1", "a", NIL), ROW("1", "a", "")));
	assert_false(cu_item_key_changed(layout, ROW("1", "a", "b"), ROW("1", "x", "y")));
	assert_true(cu_item_key_changed(layout, ROW("1", "a", "b"), ROW("2", "a", "b")));
	cu_item_put_snapshot(&out, layout, ROW("1", NIL, "b"));
	assert_text(&out, KEY("1") "{\"id\":\"1\",\"we\\\"ird\xc3\xbc\":\"b\"}" HEADERS("insert") "}}");
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void table_without_columns_gives_empty_objects(void **state)
{
	cu_item_layout *layout = layout_from("public", "items", 0, NULL);
	cu_buf out = CU_BUF_INIT;

	(void)state;
	cu_item_put_snapshot(&out, layout, NULL);
	assert_text(&out, "{\"key\":\"\\\"public\\\".\\\"items\\\"\",\"value\":{}" HEADERS("insert") "}}");
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

static void bad_specs_are_refused(void **state)
{
	static const struct {
		int pk_index[2];
	} cases[] = { { { 0, 0 } }, { { 0, 2 } }, { { 1, -1 } }, { { -2, 0 } } };
	cu_item_layout *layout = NULL;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_item_column_spec columns[] = {
			{ "a", true, cases[i].pk_index[0] },
			{ "b", true, cases[i].pk_index[1] },
		};
		struct cu_item_layout_spec spec = { "s", "t", 2, columns };

		assert_int_equal(cu_item_layout_new(&spec, &layout), CU_EINVAL);
		assert_null(layout);
	}
	struct cu_item_layout_spec wide = { "s", "t", CU_COLUMNS_MAX + 1, NULL };

	assert_int_equal(cu_item_layout_new(&wide, &layout), CU_EINVAL);
	cu_item_layout_free(&layout);
}

static void layout_survives_every_failed_allocation(void **state)
{
	static const struct cu_item_column_spec columns[] = { { "id", true, 0 } };
	struct cu_item_layout_spec spec = { "public", "items", 1, columns };
	cu_item_layout *layout = NULL;
	int rc = CU_ENOMEM;

	(void)state;
	for (unsigned n = 1; rc != 0; n++) {
		cu_fault_alloc_at(n);
		rc = cu_item_layout_new(&spec, &layout);
		assert_true(rc == 0 || (rc == CU_ENOMEM && !layout));
		assert_true(n < 100);
	}
	cu_fault_alloc_at(0);
	cu_item_layout_free(&layout);
}

static void one_megabyte_value_is_written_whole_and_out_of_memory_sticks(void **state)
{
	cu_item_layout *layout = items_layout();
	cu_buf out = CU_BUF_INIT, want = CU_BUF_INIT;
	size_t len = 1u << 20;
	char *large = malloc(len + 1);

	(void)state;
	memset(large, '"', len);
	large[len] = '\0';
	cu_item_put_insert(&out, layout, &op, ROW("1", large, NIL));
	cu_buf_puts(&want, KEY("1") "{\"id\":\"1\",\"n\":null,\"title\":\"");
	for (size_t i = 0; i < len; i++)
		cu_buf_puts(&want, "\\\"");
	cu_buf_puts(&want, "\"}" HEADERS("insert") OP);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.data, want.data, want.len);

	cu_buf_fini(&out);
	cu_fault_alloc_at(3);
	cu_item_put_insert(&out, layout, &op, ROW("1", large, NIL));
	cu_fault_alloc_at(0);
	assert_true(cu_buf_failed(&out));
	free(large);
	cu_buf_fini(&want);
	cu_buf_fini(&out);
	cu_item_layout_free(&layout);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_double_slashes_and_dots_and_mark_nulls),
		cmocka_unit_test(snapshot_items_carry_operation_and_relation_only),
		cmocka_unit_test(a_subset_item_is_a_snapshot_item_with_a_mark),
		cmocka_unit_test(insert_writes_all_selected_columns),
		cmocka_unit_test(update_writes_key_and_changed_columns),
		cmocka_unit_test(full_replica_update_writes_all_and_old_values_of_the_changed),
		cmocka_unit_test(delete_writes_the_key_and_with_full_replica_everything),
		cmocka_unit_test(key_change_links_delete_and_insert),
		cmocka_unit_test(unresolved_toast_is_left_out_of_the_value),
		cmocka_unit_test(table_without_a_key_deletes_with_all_columns),
		cmocka_unit_test(only_selected_columns_count_and_are_written),
		cmocka_unit_test(table_without_columns_gives_empty_objects),
		cmocka_unit_test(bad_specs_are_refused),
		cmocka_unit_test(layout_survives_every_failed_allocation),
		cmocka_unit_test(one_megabyte_value_is_written_whole_and_out_of_memory_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
