/* label: unit
 * Descriptions and the electric-schema header, against a private Postgres. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pg/catalog.h"

#include "pg_cluster.h"

#include <stdlib.h>

static struct pg_cluster *cluster;
static cu_pg_config *config;
static PGconn *conn;
static struct cu_pg_error err;

static struct cu_table *look(cu_catalog *cat, const char *text)
{
	struct cu_table_name name;
	struct cu_table *table = NULL;
	cu_buf words = CU_BUF_INIT;

	assert_int_equal(cu_table_name_parse(text, strlen(text), &name, &words), 0);
	assert_int_equal(cu_catalog_lookup(cat, conn, &name, &table, &err), 0);
	return table;
}

struct type_case {
	const char *type, *json;
};

static void schema_json_shows_every_odd_type_as_electric_does(void **state)
{
	static const struct type_case cases[] = {
		{ "smallint", "\"type\":\"int2\"" },
		{ "serial", "\"type\":\"int4\",\"not_null\":true" },
		{ "varchar", "\"type\":\"varchar\"" },
		{ "varchar(123)", "\"type\":\"varchar\",\"max_length\":123" },
		{ "varchar(123)[][]", "\"type\":\"varchar\",\"dims\":2,\"max_length\":123" },
		{ "char", "\"type\":\"bpchar\",\"length\":1" },
		{ "bpchar", "\"type\":\"bpchar\"" },
		{ "char(9)[]", "\"type\":\"bpchar\",\"dims\":1,\"length\":9" },
		{ "time(3)", "\"type\":\"time\",\"precision\":3" },
		{ "timetz(2)", "\"type\":\"timetz\",\"precision\":2" },
		{ "timestamp(0)", "\"type\":\"timestamp\",\"type_mod\":0" },
		{ "timestamptz(6)[]", "\"type\":\"timestamptz\",\"dims\":1,\"precision\":6" },
		{ "interval", "\"type\":\"interval\"" },
		{ "interval year", "\"type\":\"interval\",\"fields\":\"YEAR\"" },
		{ "interval day to second", "\"type\":\"interval\",\"fields\":\"DAY TO SECOND\"" },
		{ "interval second(4)[]", "\"type\":\"interval\",\"dims\":1,\"fields\":\"SECOND\",\"precision\":4" },
		{ "interval(4)", "\"type\":\"interval\",\"precision\":4" },
		{ "numeric", "\"type\":\"numeric\"" },
		{ "numeric(5,3)", "\"type\":\"numeric\",\"precision\":5,\"scale\":3" },
		{ "numeric(5)[]", "\"type\":\"numeric\",\"dims\":1,\"precision\":5,\"scale\":0" },
		{ "bit(5)", "\"type\":\"bit\",\"length\":5" },
		{ "bit varying", "\"type\":\"varbit\",\"length\":-1" },
		{ "point", "\"type\":\"point\"" },
		{ "name", "\"type\":\"name\"" },
		{ "jsonb[]", "\"type\":\"jsonb\",\"dims\":1" },
		{ "mood", "\"type\":\"mood\"" },
		{ "mood[]", "\"type\":\"mood\",\"dims\":1" },
		{ "posint", "\"type\":\"posint\"" },
		{ "pair", "\"type\":\"pair\"" },
		{ "int4range", "\"type\":\"int4range\"" },
		{ "float4", "\"type\":\"float4\"" },
		{ "date", "\"type\":\"date\"" },
		{ "uuid", "\"type\":\"uuid\"" },
		/* Since Postgres 15. */
		{ "numeric(3,-2)", "\"type\":\"numeric\",\"precision\":3,\"scale\":-2" },
	};
	unsigned cases_len = CU_ARRAY_LEN(cases) - (PQserverVersion(conn) < 150000);
	cu_buf sql = CU_BUF_INIT, want = CU_BUF_INIT, got = CU_BUF_INIT;
	cu_catalog *cat = NULL;
	struct cu_table *table;

	(void)state;
	pg_cluster_sql(cluster,
		       "CREATE TYPE mood AS ENUM ('sad', 'ok'); ALTER TYPE mood ADD VALUE 'so''so' BEFORE 'ok'; "
		       "CREATE DOMAIN posint AS int CHECK (value > 0); CREATE TYPE pair AS (a int, b text)");
	cu_buf_puts(&sql, "CREATE TABLE odd (");
	cu_buf_putc(&want, '{');
	for (unsigned i = 0; i < cases_len; i++) {
		cu_buf_printf(&sql, "%sc%02u %s", i ? ", " : "", i, cases[i].type);
		cu_buf_printf(&want, "%s\"c%02u\":{%s}", i ? "," : "", i, cases[i].json);
	}
	cu_buf_puts(&sql, ")");
	cu_buf_putc(&want, '}');
	pg_cluster_sql(cluster, "%s", cu_buf_str(&sql));
	assert_int_equal(cu_catalog_new(0, &cat), 0);
	table = look(cat, "odd");
	cu_catalog_put_schema_json(&got, table, NULL, 0);
	assert_string_equal(cu_buf_str(&got), cu_buf_str(&want));
	assert_int_equal(cu_table_column(table, "c25")->enum_labels_len, 3);
	assert_string_equal(cu_table_column(table, "c25")->enum_labels[1], "so'so");
	assert_int_equal(cu_table_column(table, "c26")->enum_labels_len, 3);
	assert_int_equal(cu_table_column(table, "c27")->type_kind, 'd');
	assert_int_equal(cu_table_column(table, "c27")->base_type_oid, 23);
	assert_string_equal(cu_table_column(table, "c25")->formatted_type, "mood");
	assert_string_equal(cu_table_column(table, "c25")->scalar_type, "public.mood");
	assert_false(cu_table_column(table, "c25")->is_array);
	assert_string_equal(cu_table_column(table, "c26")->scalar_name, "mood");
	assert_true(cu_table_column(table, "c26")->is_array);
	assert_int_equal(cu_table_column(table, "c27")->scalar_type_oid, 23);
	assert_string_equal(table->encoding, "UTF8");
	assert_int_equal(table->database.provider, 'c');
	assert_string_equal(table->database.locale, "C.UTF-8");
	cu_table_unref(&table);
	cu_catalog_free(&cat);
	cu_buf_fini(&sql);
	cu_buf_fini(&want);
	cu_buf_fini(&got);
}

static void key_order_dropped_and_generated_columns_are_seen(void **state)
{
	cu_buf got = CU_BUF_INIT;
	cu_catalog *cat = NULL;
	struct cu_table *table;
	uint16_t selected[2] = { 3, 1 };

	(void)state;
	pg_cluster_sql(
		cluster,
		"CREATE SCHEMA \"S.1\"; CREATE TABLE \"S.1\".\"T\"\"x\" (gone int, b text COLLATE \"C\", a int NOT "
		"NULL, \"Gen\" int GENERATED ALWAYS AS (a * 2) STORED, extra int, PRIMARY KEY (a, b) INCLUDE "
		"(extra)); ALTER TABLE \"S.1\".\"T\"\"x\" DROP COLUMN gone");
	assert_int_equal(cu_catalog_new(0, &cat), 0);
	table = look(cat, "\"S.1\".\"T\"\"x\"");
	assert_int_equal(table->columns_len, 4);
	assert_string_equal(table->columns[0].name, "b");
	assert_int_equal(table->columns[0].attnum, 2);
	assert_string_equal(table->columns[0].collation, "C");
	assert_string_equal(table->columns[0].collate.name, "pg_catalog.\"C\"");
	assert_int_equal(table->columns[0].collate.provider, 'c');
	assert_string_equal(table->columns[0].collate.locale, "C");
	assert_int_equal(table->columns[1].collate.oid, 0);
	assert_int_equal(table->pk_len, 2);
	assert_string_equal(table->columns[table->pk[0]].name, "a");
	assert_string_equal(table->columns[table->pk[1]].name, "b");
	assert_int_equal(table->columns[2].generated, 's');
	assert_int_equal(table->columns[3].pk_index, -1);
	assert_int_equal(table->replica_identity, 'd');
	assert_int_equal(table->root_oid, table->oid);
	cu_catalog_put_schema_json(&got, table, selected, 2);
	assert_string_equal(
		cu_buf_str(&got),
		"{\"a\":{\"type\":\"int4\",\"not_null\":true,\"pk_index\":0},\"extra\":{\"type\":\"int4\"}}");
	cu_table_unref(&table);
	cu_catalog_free(&cat);
	cu_buf_fini(&got);
}

static void partitions_know_root_and_leaves(void **state)
{
	cu_catalog *cat = NULL;
	struct cu_table *root, *leaf;

	(void)state;
	pg_cluster_sql(
		cluster,
		"CREATE TABLE pr (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE pr1 PARTITION OF pr "
		"FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id); CREATE TABLE pr11 PARTITION OF pr1 FOR VALUES "
		"FROM (0) TO (5)");
	assert_int_equal(cu_catalog_new(0, &cat), 0);
	root = look(cat, "pr");
	leaf = look(cat, "pr11");
	assert_int_equal(root->kind, 'p');
	assert_int_equal(root->leaves_len, 2);
	assert_int_equal(root->leaves[1], leaf->oid);
	assert_true(leaf->is_partition);
	assert_int_equal(leaf->root_oid, root->oid);
	assert_int_equal(leaf->parent_oid, root->leaves[0]);
	assert_int_equal(leaf->leaves_len, 0);
	cu_table_unref(&root);
	cu_table_unref(&leaf);
	cu_catalog_free(&cat);
}

static void what_is_no_table_is_not_found(void **state)
{
	static const char *const names[] = { "nope", "pg_catalog.pg_tables", "nope.nope", "empty" };
	cu_catalog *cat = NULL;

	(void)state;
	pg_cluster_sql(cluster, "CREATE TABLE empty ()");
	assert_int_equal(cu_catalog_new(0, &cat), 0);
	for (unsigned i = 0; i < CU_ARRAY_LEN(names); i++) {
		struct cu_table_name name;
		struct cu_table *table = NULL;
		cu_buf words = CU_BUF_INIT;

		assert_int_equal(cu_table_name_parse(names[i], strlen(names[i]), &name, &words), 0);
		assert_int_equal(cu_catalog_lookup(cat, conn, &name, &table, &err), CU_ENOTFOUND);
		assert_null(table);
	}
	cu_catalog_free(&cat);
}

static void cache_answers_until_it_is_told_otherwise(void **state)
{
	struct cu_table_name name = { "public", "cached" };
	cu_catalog *cat = NULL;
	struct cu_table *first, *again, *fresh;

	(void)state;
	pg_cluster_sql(cluster, "CREATE TABLE cached (a int)");
	assert_int_equal(cu_catalog_new(0, &cat), 0);
	assert_int_equal(cu_catalog_peek(cat, &name, &first), CU_ENOTFOUND);
	first = look(cat, "cached");
	pg_cluster_sql(cluster, "ALTER TABLE cached ADD b text");
	again = look(cat, "cached");
	assert_ptr_equal(first, again);
	cu_table_unref(&again);
	assert_int_equal(cu_catalog_peek_oid(cat, first->oid, &again), 0);
	assert_ptr_equal(first, again);
	cu_catalog_invalidate(cat, first->oid);
	assert_int_equal(cu_catalog_peek(cat, &name, &fresh), CU_ENOTFOUND);
	fresh = look(cat, "cached");
	assert_int_equal(fresh->columns_len, 2);
	assert_int_equal(first->columns_len, 1); /* what was handed out does not change */
	assert_false(cu_table_equal(first, fresh));
	cu_table_unref(&first);
	cu_table_unref(&again);
	/* The name moves to another table: the older entry must not answer for it. */
	pg_cluster_sql(cluster, "ALTER TABLE cached RENAME TO cached_old; CREATE TABLE cached (z int)");
	assert_int_equal(cu_catalog_refresh(cat, conn, fresh->oid, &again, &err), 0);
	assert_string_equal(again->name, "cached_old");
	cu_table_unref(&again);
	again = look(cat, "cached");
	assert_string_equal(again->columns[0].name, "z");
	assert_true(again->oid != fresh->oid);
	cu_table_unref(&again);
	cu_table_unref(&fresh);
	cu_catalog_free(&cat);
}

static void old_entries_are_read_again(void **state)
{
	struct cu_table_name name = { "public", "aging" };
	cu_catalog *cat = NULL;
	struct cu_table *table;

	(void)state;
	pg_cluster_sql(cluster, "CREATE TABLE aging (a int)");
	assert_int_equal(cu_catalog_new(1, &cat), 0);
	table = look(cat, "aging");
	cu_table_unref(&table);
	pg_cluster_sql(cluster, "SELECT 1"); /* takes longer than a millisecond */
	assert_int_equal(cu_catalog_peek(cat, &name, &table), CU_ENOTFOUND);
	cu_catalog_free(&cat);
}

static int group_setup(void **state)
{
	(void)state;
	cluster = pg_cluster_new(NULL);
	assert_int_equal(cu_pg_config_new(pg_cluster_url(cluster, NULL), &config, &err), 0);
	return cu_pg_connect(config, CU_PG_ORDINARY, -1, &conn, &err);
}

static int group_teardown(void **state)
{
	(void)state;
	PQfinish(conn);
	cu_pg_config_free(&config);
	pg_cluster_free(&cluster);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schema_json_shows_every_odd_type_as_electric_does),
		cmocka_unit_test(key_order_dropped_and_generated_columns_are_seen),
		cmocka_unit_test(partitions_know_root_and_leaves),
		cmocka_unit_test(what_is_no_table_is_not_found),
		cmocka_unit_test(cache_answers_until_it_is_told_otherwise),
		cmocka_unit_test(old_entries_are_read_again),
	};

	if (!pg_cluster_available())
		return 0;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
