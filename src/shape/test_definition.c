/* Definitions: what is refused and in which words, equality, storage; views on relations; the consumer's decisions.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/consumer.h"
#include "shape/test_help.h"
#include "shape/view.h"

#include <stdio.h>

static const char *const id_note[] = { "note", "id" };

static cu_definition *defined(const struct cu_table *table, const struct cu_definition_request *request)
{
	cu_buf message = CU_BUF_INIT;
	cu_definition *def = NULL;

	assert_int_equal(cu_definition_new(table, request, &def, &message), 0);
	assert_int_equal(message.len, 0);
	return def;
}

static void refused(const struct cu_table *table, const struct cu_definition_request *request, const char *words)
{
	cu_buf message = CU_BUF_INIT;
	cu_definition *def = NULL;

	assert_int_equal(cu_definition_new(table, request, &def, &message), CU_EINVAL);
	assert_null(def);
	assert_string_equal(cu_buf_str(&message), words);
	cu_buf_fini(&message);
}

static void every_refusal_says_which_columns(void **state)
{
	struct cu_table table = help_table(HELP_OID);
	struct cu_column columns[5];
	const uint16_t two_keys[] = { 1, 0 };

	(void)state;
	refused(&table, &(struct cu_definition_request){ .columns = (const char *[]){ "name" }, .columns_len = 1 },
		"The list of columns must include all primary key columns, missing: id");
	refused(&table,
		&(struct cu_definition_request){ .columns = (const char *[]){ "id", "nope", "ID" }, .columns_len = 3 },
		"The following columns are not found on the table: nope, ID");
	table.pk = two_keys;
	table.pk_len = 2;
	refused(&table, &(struct cu_definition_request){ .columns = (const char *[]){ "zzz" }, .columns_len = 1 },
		"The list of columns must include all primary key columns, missing: name, id");
	table = help_table(HELP_OID);
	memcpy(columns, table.columns, 3 * sizeof *columns);
	columns[3] = columns[4] = columns[1];
	columns[3].name = "gen_a";
	columns[4].name = "gen_b";
	columns[3].generated = 's';
	columns[4].generated = 'v';
	table.columns = columns;
	table.columns_len = 5;
	refused(&table,
		&(struct cu_definition_request){ .columns = (const char *[]){ "gen_b", "id" }, .columns_len = 2 },
		"The following columns are generated and cannot be included in the shape: gen_b");
	refused(&table, &(struct cu_definition_request){ .columns = NULL },
		"The following columns are generated and cannot be included in the shape: gen_a, gen_b. You can exclude them "
		"from the shape by explicitly listing which columns to fetch in the 'columns' query param");
}

static void generated_columns_are_left_out_unless_the_stream_has_them(void **state)
{
	struct cu_table table = help_table(HELP_OID);
	struct cu_column columns[3];
	struct cu_definition_request request = { .columns = (const char *[]){ "id", "note" }, .columns_len = 2 };
	cu_definition *def;

	(void)state;
	memcpy(columns, table.columns, sizeof columns);
	columns[1].generated = 's';
	table.columns = columns;
	def = defined(&table, &request);
	assert_int_equal(def->columns_len, 2);
	assert_string_equal(def->columns[1].name, "note");
	assert_int_equal(def->generated_len, 1);
	assert_string_equal(def->generated[0], "name");
	cu_definition_unref(&def);
	request = (struct cu_definition_request){ .generated_in_stream = true };
	def = defined(&table, &request);
	assert_int_equal(def->columns_len, 3);
	assert_int_equal(def->generated_len, 0);
	cu_definition_unref(&def);
}

static void equal_requests_have_equal_keys_and_others_do_not(void **state)
{
	struct cu_table tables[4] = { help_table(1), help_table(2), help_table(1), help_table(1) };
	struct cu_column columns[3];
	const struct cu_definition_request requests[] = {
		{ .columns = NULL },
		{ .replica_full = true },
		{ .changes_only = true },
		{ .columns = id_note, .columns_len = 2 },
		{ .columns = (const char *[]){ "id", "name" }, .columns_len = 2 },
	};
	cu_definition *defs[4 * CU_ARRAY_LEN(requests)];
	cu_definition *again;
	size_t n = 0;

	(void)state;
	tables[2].name = "items2";
	memcpy(columns, tables[3].columns, sizeof columns);
	columns[2].typmod = 24; /* only a type's modifier differs */
	tables[3].columns = columns;
	for (size_t t = 0; t < 4; t++) {
		for (size_t r = 0; r < CU_ARRAY_LEN(requests); r++)
			defs[n++] = defined(&tables[t], &requests[r]);
	}
	for (size_t a = 0; a < n; a++) {
		for (size_t b = 0; b < n; b++)
			assert_int_equal(strcmp(defs[a]->key, defs[b]->key) == 0, a == b);
	}
	/* the order and number of mentions do not matter */
	again = defined(&tables[0], &(struct cu_definition_request){ .columns = (const char *[]){ "id", "note", "id" },
								     .columns_len = 3 });
	assert_string_equal(again->key, defs[3]->key);
	assert_true(again->key_hash == defs[3]->key_hash);
	cu_definition_unref(&again);
	/* naming all is not asking for all: it leaves out those that are to come */
	again = defined(&tables[0], &(struct cu_definition_request){
					    .columns = (const char *[]){ "note", "name", "id" }, .columns_len = 3 });
	assert_string_not_equal(again->key, defs[0]->key);
	assert_false(cu_definition_matches(again, tables[0].schema, tables[0].name, &requests[0]));
	cu_definition_unref(&again);
	for (size_t i = 0; i < n; i++)
		cu_definition_unref(&defs[i]);
}

static void names_cannot_be_arranged_to_look_like_another_key(void **state)
{
	struct cu_table a = help_table(1), b = help_table(1);
	cu_definition *x, *y;

	(void)state;
	a.schema = "a\"\"b";
	a.name = "c";
	b.schema = "a";
	b.name = "b\"\"c";
	x = defined(&a, &(struct cu_definition_request){ .columns = NULL });
	y = defined(&b, &(struct cu_definition_request){ .columns = NULL });
	assert_string_not_equal(x->key, y->key);
	cu_definition_unref(&x);
	cu_definition_unref(&y);
}

static void a_clause_on_another_version_of_postgres_is_another(void **state)
{
	struct cu_table table = help_table(1);
	cu_definition *x, *y;

	(void)state;
	x = defined(&table, &(struct cu_definition_request){ .columns = NULL });
	table.pg_version++;
	y = defined(&table, &(struct cu_definition_request){ .columns = NULL });
	assert_string_not_equal(x->key, y->key);
	cu_definition_unref(&x);
	cu_definition_unref(&y);
}

static void a_definition_survives_storage_unchanged(void **state)
{
	struct cu_table table = help_table(4000000000u);
	struct cu_column columns[3];
	cu_buf json = CU_BUF_INIT, again = CU_BUF_INIT;

	(void)state;
	table.schema = "we\"ird \xc3\xa4";
	memcpy(columns, table.columns, sizeof columns);
	columns[1].name = "na\"me\\\n\t\xe2\x82\xac";
	table.columns = columns;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct cu_definition_request request = { .replica_full = bits & 1, .changes_only = bits & 2 };
		cu_definition *def, *back = NULL;

		table.kind = bits & 4 ? 'p' : 'r';
		table.pk_len = 1;
		columns[1].generated = bits & 8 ? 's' : 0;
		if (bits & 8) {
			request.columns = id_note;
			request.columns_len = 2;
		}
		def = defined(&table, &request);
		cu_buf_clear(&json);
		cu_buf_clear(&again);
		assert_int_equal(cu_definition_put_json(def, &json), 0);
		assert_int_equal(cu_definition_parse(json.data, json.len, &back), 0);
		assert_string_equal(back->key, def->key);
		assert_true(back->key_hash == def->key_hash);
		assert_int_equal(back->partitioned, def->partitioned);
		assert_int_equal(back->generated_len, bits & 8 ? 1 : 0);
		assert_int_equal(back->schema_json_len, def->schema_json_len);
		assert_memory_equal(back->schema_json, def->schema_json, def->schema_json_len);
		assert_int_equal(cu_definition_put_json(back, &again), 0);
		assert_string_equal(cu_buf_str(&again), cu_buf_str(&json));
		cu_definition_unref(&def);
		cu_definition_unref(&back);
	}
	cu_buf_fini(&json);
	cu_buf_fini(&again);
}

/* Cut off anywhere, or with any value replaced by a wrong one: told as corrupt, never a crash. */
static void a_damaged_definition_is_corrupt(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"[]",
		"null",
		"{\"schema\":1}",
		/* key positions that are doubled, and out of range */
		"{\"schema\":\"s\",\"table\":\"t\",\"oid\":1,\"partitioned\":false,\"replica_full\":false,\"changes_only\":false,"
		"\"columns\":[{\"name\":\"a\",\"type\":23,\"typmod\":-1,\"pk\":0,\"selected\":true},"
		"{\"name\":\"b\",\"type\":23,\"typmod\":-1,\"pk\":0,\"selected\":true}],\"electric_schema\":\"{}\"}",
		"{\"schema\":\"s\",\"table\":\"t\",\"oid\":1,\"partitioned\":false,\"replica_full\":false,\"changes_only\":false,"
		"\"columns\":[{\"name\":\"a\",\"type\":23,\"typmod\":-1,\"pk\":1,\"selected\":true}],\"electric_schema\":\"{}\"}",
		"{\"schema\":\"s\",\"table\":\"t\",\"oid\":1,\"partitioned\":false,\"replica_full\":false,\"changes_only\":false,"
		"\"columns\":[{\"name\":\"a\",\"type\":4294967296,\"typmod\":-1,\"pk\":0,\"selected\":true}],"
		"\"electric_schema\":\"{}\"}",
		"{\"schema\":\"s\",\"table\":\"t\",\"oid\":-1,\"partitioned\":false,\"replica_full\":false,\"changes_only\":false,"
		"\"columns\":[],\"electric_schema\":\"{}\"}",
		"{\"schema\":\"s\",\"table\":\"t\",\"oid\":1,\"partitioned\":false,\"replica_full\":false,\"changes_only\":false,"
		"\"columns\":{},\"electric_schema\":\"{}\"}",
	};
	cu_definition *def = help_definition(HELP_OID, false), *back = NULL;
	cu_buf json = CU_BUF_INIT;

	(void)state;
	assert_int_equal(cu_definition_put_json(def, &json), 0);
	for (size_t len = 0; len < json.len; len++)
		assert_int_equal(cu_definition_parse(json.data, len, &back), CU_ECORRUPT);
	for (size_t i = 0; i < CU_ARRAY_LEN(bad); i++)
		assert_int_equal(cu_definition_parse(bad[i], strlen(bad[i]), &back), CU_ECORRUPT);
	assert_null(back);
	cu_definition_unref(&def);
	cu_buf_fini(&json);
}

static void a_request_matches_by_name_what_it_would_define(void **state)
{
	struct cu_table table = help_table(HELP_OID);
	const struct cu_definition_request requests[] = {
		{ .columns = NULL },
		{ .replica_full = true },
		{ .changes_only = true },
		{ .columns = id_note, .columns_len = 2 },
		{ .columns = (const char *[]){ "id" }, .columns_len = 1 },
	};
	const struct cu_definition_request with_unknown = { .columns = (const char *[]){ "id", "note", "x" },
							    .columns_len = 3 };
	const struct cu_definition_request repeated = { .columns = (const char *[]){ "id", "note", "id" },
							.columns_len = 3 };

	(void)state;
	for (size_t a = 0; a < CU_ARRAY_LEN(requests); a++) {
		cu_definition *def = defined(&table, &requests[a]);

		for (size_t b = 0; b < CU_ARRAY_LEN(requests); b++)
			assert_int_equal(cu_definition_matches(def, "public", "items", &requests[b]), a == b);
		assert_false(cu_definition_matches(def, "public", "item", &requests[a]));
		assert_false(cu_definition_matches(def, "publi", "items", &requests[a]));
		assert_false(cu_definition_matches(def, "public", "items", &with_unknown));
		assert_int_equal(cu_definition_matches(def, "public", "items", &repeated), a == 3);
		cu_definition_unref(&def);
	}
}

static void the_query_asks_for_what_items_show(void **state)
{
	struct cu_table table = help_table(HELP_OID);
	struct cu_definition_request request = { .columns = id_note, .columns_len = 2, .changes_only = true };
	cu_definition *def = defined(&table, &request);
	cu_buf query = CU_BUF_INIT;

	(void)state;
	cu_definition_put_query(def, NULL, &query);
	assert_string_equal(cu_buf_str(&query), "SELECT \"id\", NULL, \"note\" FROM ONLY \"public\".\"items\"");
	cu_definition_unref(&def);
	cu_buf_fini(&query);
}

/* ---- views ---- */

static struct cu_relation relation_of(struct cu_relation_column *columns, unsigned len)
{
	static uint32_t routes[] = { HELP_OID };

	return (struct cu_relation){
		.oid = HELP_OID,
		.generation = 1,
		.replica_identity = 'f',
		.schema = (char *)"public",
		.name = (char *)"items",
		.columns = columns,
		.columns_len = len,
		.route_oids = routes,
		.route_len = 1,
	};
}

static void a_view_puts_permuted_columns_into_the_definitions_order(void **state)
{
	struct cu_relation_column same[] = { { (char *)"id", 23, -1 },
					     { (char *)"name", 25, -1 },
					     { (char *)"note", 1043, 14 } };
	struct cu_relation_column permuted[] = { same[2], same[0], same[1] };
	const struct cu_pg_value row[] = { HELP_TEXT("the note"), HELP_TEXT("1"), HELP_NULL };
	struct cu_relation table = relation_of(same, 3), leaf = relation_of(permuted, 3);
	cu_shape *shape = cu_shape_new(1, "1-1", help_definition(HELP_OID, false), NULL, 0);
	const cu_shape_view *view, *leaf_view;
	struct cu_pg_value seen[3];
	const char *why = NULL;

	(void)state;
	leaf.oid = 777; /* a partition may have another name */
	leaf.name = (char *)"items_2026";
	view = cu_shape_view_of(shape->def, &table, &why);
	assert_non_null(view);
	assert_true(cu_shape_view_is_identity(view));
	leaf_view = cu_shape_view_of(shape->def, &leaf, &why);
	assert_non_null(leaf_view);
	assert_false(cu_shape_view_is_identity(leaf_view));
	cu_shape_view_row(leaf_view, row, seen);
	assert_memory_equal(seen[0].data, "1", 1);
	assert_int_equal(seen[1].kind, CU_PG_NULL);
	assert_memory_equal(seen[2].data, "the note", 8);
	/* made once per relation and description */
	assert_ptr_equal(cu_shape_view_of(shape->def, &table, &why), view);
	assert_ptr_equal(cu_shape_view_of(shape->def, &leaf, &why), leaf_view);
	table.generation = 2;
	assert_non_null(cu_shape_view_of(shape->def, &table, &why));
	assert_ptr_equal(cu_shape_view_of(shape->def, &leaf, &why), leaf_view);
	assert_null(why);
	cu_shape_unref(&shape);
}

static void a_relation_that_does_not_fit_says_why(void **state)
{
	struct cu_relation_column base[] = { { (char *)"id", 23, -1 },
					     { (char *)"name", 25, -1 },
					     { (char *)"note", 1043, 14 },
					     { (char *)"more", 25, -1 } };
	struct cu_relation_column renamed[3], typed[3], modified[3];
	struct {
		struct cu_relation relation;
		const char *why;
	} cases[7];
	cu_shape *shape = cu_shape_new(1, "1-1", help_definition(HELP_OID, false), NULL, 0);

	(void)state;
	memcpy(renamed, base, sizeof renamed);
	memcpy(typed, base, sizeof typed);
	memcpy(modified, base, sizeof modified);
	renamed[1].name = (char *)"title";
	typed[1].type_oid = 1043;
	modified[2].typmod = 24;
	cases[0].relation = relation_of(base, 3);
	cases[0].relation.name = (char *)"things";
	cases[0].why = "the table was renamed";
	cases[1].relation = relation_of(base, 3);
	cases[1].relation.schema = (char *)"other";
	cases[1].why = "the table was renamed";
	cases[2].relation = relation_of(base, 4);
	cases[2].why = "columns were added or dropped";
	cases[3].relation = relation_of(base, 2);
	cases[3].why = "columns were added or dropped";
	cases[4].relation = relation_of(renamed, 3);
	cases[4].why = "a column was renamed or replaced";
	cases[5].relation = relation_of(typed, 3);
	cases[5].why = "a column's type changed";
	cases[6].relation = relation_of(modified, 3);
	cases[6].why = "a column's type changed";
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_relation good = relation_of(base, 3);
		const char *why = NULL;

		/* one that fits was known before: the new description counts */
		good.generation = 100 + (uint32_t)i;
		cases[i].relation.generation = 200 + (uint32_t)i;
		assert_non_null(cu_shape_view_of(shape->def, &good, &why));
		assert_null(cu_shape_view_of(shape->def, &cases[i].relation, &why));
		assert_string_equal(why, cases[i].why);
	}
	cu_shape_unref(&shape);
}

static void columns_that_nobody_listed_may_come_and_go(void **state)
{
	struct cu_relation_column base[] = { { (char *)"more", 25, -1 },
					     { (char *)"name", 25, -1 },
					     { (char *)"id", 23, -1 } };
	struct cu_relation relation = relation_of(base, 3);
	struct cu_table table = help_table(HELP_OID);
	cu_definition *def = defined(&table, &(struct cu_definition_request){
						     .columns = (const char *[]){ "id", "name" }, .columns_len = 2 });
	const struct cu_pg_value row[] = { HELP_TEXT("m"), HELP_TEXT("n"), HELP_TEXT("7") };
	struct cu_pg_value seen[3];
	const cu_shape_view *view;
	const char *why = NULL;

	(void)state;
	view = cu_shape_view_of(def, &relation, &why);
	assert_non_null(view);
	assert_false(cu_shape_view_is_identity(view));
	assert_false(cu_shape_view_is_complete(view));
	assert_true(cu_shape_view_misses(view, def, "\"note\" OPERATOR(pg_catalog.=) '1'"));
	assert_false(cu_shape_view_misses(view, def, "\"name\" OPERATOR(pg_catalog.=) 'note'"));
	assert_false(cu_shape_view_misses(view, def, NULL));
	cu_shape_view_row(view, row, seen);
	assert_memory_equal(seen[0].data, "7", 1);
	assert_memory_equal(seen[1].data, "n", 1);
	assert_int_equal(seen[2].kind, CU_PG_NULL);
	/* … but those that it lists may not. */
	relation.generation = 7;
	relation.columns_len = 1;
	assert_null(cu_shape_view_of(def, &relation, &why));
	cu_definition_unref(&def);
}

/* ---- decisions ---- */

static const struct cu_pg_value row_a[] = { HELP_TEXT("1"), HELP_TEXT("a"), HELP_TEXT("n") };
static const struct cu_pg_value row_b[] = { HELP_TEXT("1"), HELP_TEXT("b"), HELP_TEXT("n") };
static const struct cu_pg_value row_key[] = { HELP_TEXT("2"), HELP_TEXT("a"), HELP_TEXT("n") };
static const struct cu_pg_value row_null[] = { HELP_TEXT("1"), HELP_NULL, HELP_TEXT("n") };
static const struct cu_pg_value row_empty[] = { HELP_TEXT("1"), HELP_TEXT(""), HELP_TEXT("n") };

static const struct {
	const struct cu_pg_value *old_row, *new_row;
	enum cu_decision all, without_name; /* for shapes with and without the column name */
} decisions[] = {
	{ NULL, row_a, CU_DECIDE_INSERT, CU_DECIDE_INSERT },
	{ row_a, NULL, CU_DECIDE_DELETE, CU_DECIDE_DELETE },
	{ row_a, row_b, CU_DECIDE_UPDATE, CU_DECIDE_NOTHING },
	{ row_a, row_a, CU_DECIDE_NOTHING, CU_DECIDE_NOTHING },
	{ row_null, row_empty, CU_DECIDE_UPDATE, CU_DECIDE_NOTHING },
	{ row_null, row_null, CU_DECIDE_NOTHING, CU_DECIDE_NOTHING },
	{ row_a, row_key, CU_DECIDE_KEY_CHANGE, CU_DECIDE_KEY_CHANGE },
};

static void decide_all(cu_shape *shape, uint32_t xid, struct cu_touch *touches)
{
	struct cu_event event = { .shape = shape, .xid = xid, .first = 0, .touches = touches };

	for (uint32_t i = 0; i < CU_ARRAY_LEN(decisions); i++) {
		touches[2 * i] = (struct cu_touch){
			.op = 2 * i,
			.old_row = decisions[i].old_row,
			.new_row = decisions[i].new_row,
			.next = i + 1 < CU_ARRAY_LEN(decisions) ? 2 * (i + 1) : CU_TOUCH_NONE,
			.decision = 99,
		};
		touches[2 * i + 1].decision = 99; /* somebody else's */
	}
	event.last = 2 * (uint32_t)CU_ARRAY_LEN(decisions) - 2;
	cu_consumer_decide(&event);
	for (uint32_t i = 0; i < CU_ARRAY_LEN(decisions); i++)
		assert_int_equal(touches[2 * i + 1].decision, 99);
}

static void each_change_gets_its_decision_and_no_other_touch_is_written(void **state)
{
	struct cu_touch touches[2 * CU_ARRAY_LEN(decisions)] = { 0 };
	struct cu_table table = help_table(HELP_OID);
	struct cu_definition_request request = { .columns = id_note, .columns_len = 2 };
	cu_shape *all = cu_shape_new(1, "1-1", help_definition(HELP_OID, false), NULL, 0);
	cu_shape *without = cu_shape_new(2, "1-2", defined(&table, &request), NULL, 0);

	(void)state;
	decide_all(all, 500, touches);
	for (size_t i = 0; i < CU_ARRAY_LEN(decisions); i++)
		assert_int_equal(touches[2 * i].decision, decisions[i].all);
	decide_all(without, 500, touches);
	for (size_t i = 0; i < CU_ARRAY_LEN(decisions); i++)
		assert_int_equal(touches[2 * i].decision, decisions[i].without_name);
	cu_shape_unref(&all);
	cu_shape_unref(&without);
}

static void a_transaction_that_the_snapshot_holds_is_decided_nothing(void **state)
{
	struct cu_touch touches[2 * CU_ARRAY_LEN(decisions)] = { 0 };
	cu_shape *shape = cu_shape_new(1, "1-1", help_definition(HELP_OID, false), NULL, 0);

	cu_snapshot_range range = { 0 };

	(void)state;
	decide_all(shape, 104, touches); /* the range is not known yet */
	assert_int_equal(touches[0].decision, CU_DECIDE_INSERT);
	assert_int_equal(cu_snapshot_range_parse("100:110:105", &range), 0);
	range.lsn = UINT64_MAX;
	cu_shape_set_range(shape, &range);
	decide_all(shape, 104, touches);
	for (size_t i = 0; i < CU_ARRAY_LEN(decisions); i++)
		assert_int_equal(touches[2 * i].decision, CU_DECIDE_NOTHING);
	decide_all(shape, 105, touches);
	assert_int_equal(touches[0].decision, CU_DECIDE_INSERT);
	decide_all(shape, 110, touches);
	assert_int_equal(touches[0].decision, CU_DECIDE_INSERT);
	cu_shape_unref(&shape);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_says_which_columns),
		cmocka_unit_test(generated_columns_are_left_out_unless_the_stream_has_them),
		cmocka_unit_test(equal_requests_have_equal_keys_and_others_do_not),
		cmocka_unit_test(names_cannot_be_arranged_to_look_like_another_key),
		cmocka_unit_test(a_clause_on_another_version_of_postgres_is_another),
		cmocka_unit_test(a_definition_survives_storage_unchanged),
		cmocka_unit_test(a_damaged_definition_is_corrupt),
		cmocka_unit_test(a_request_matches_by_name_what_it_would_define),
		cmocka_unit_test(the_query_asks_for_what_items_show),
		cmocka_unit_test(a_view_puts_permuted_columns_into_the_definitions_order),
		cmocka_unit_test(a_relation_that_does_not_fit_says_why),
		cmocka_unit_test(columns_that_nobody_listed_may_come_and_go),
		cmocka_unit_test(each_change_gets_its_decision_and_no_other_touch_is_written),
		cmocka_unit_test(a_transaction_that_the_snapshot_holds_is_decided_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
