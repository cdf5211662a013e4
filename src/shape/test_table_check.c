/* What a table looks like is read again exactly when it may have changed, on a real Postgres. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/table_check.h"

#include "base/limits.h"

#include "pg_cluster.h"

#include <stdio.h>
#include <stdlib.h>

static struct pg_cluster *cluster;
static cu_pg_config *config;
static PGconn *conn;
static struct cu_pg_error err;
static cu_catalog *catalog;
static cu_table_checks *checks;

static uint32_t oid_of(const char *table)
{
	return (uint32_t)strtoul(pg_cluster_sql(cluster, "SELECT '%s'::regclass::oid", table), NULL, 10);
}

/* As a snapshot's transaction would. NULL: there is no such table. Returns a reference. */
static struct cu_table *look(uint32_t oid)
{
	struct cu_table *table = NULL;
	PGresult *result = NULL;
	cu_buf sql = CU_BUF_INIT;
	int rc;

	cu_buf_puts(&sql, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT ");
	cu_table_checks_put_version(oid, &sql);
	assert_int_equal(cu_pg_exec(conn, cu_buf_str(&sql), &result, &err), 0);
	rc = cu_table_checks_read(checks, conn, oid, PQgetisnull(result, 0, 0) ? NULL : PQgetvalue(result, 0, 0),
				  &table, &err);
	assert_true(rc == 0 || rc == CU_ENOTFOUND);
	PQclear(result);
	assert_int_equal(cu_pg_exec(conn, "COMMIT", NULL, &err), 0);
	cu_buf_fini(&sql);
	return table;
}

static cu_definition *define(uint32_t oid)
{
	struct cu_table *table = look(oid);
	struct cu_definition_request request = { 0 };
	cu_buf message = CU_BUF_INIT;
	cu_definition *def = NULL;

	assert_non_null(table);
	assert_int_equal(cu_definition_new(table, &request, &def, &message), 0);
	assert_true(cu_table_fits(table, def, NULL));
	cu_table_unref(&table);
	cu_buf_fini(&message);
	return def;
}

/* The very object that was given before: it was not read again. */
static bool is_kept(uint32_t oid)
{
	struct cu_table *first = look(oid), *second = look(oid);
	bool kept = first && first == second;

	cu_table_unref(&first);
	cu_table_unref(&second);
	return kept;
}

static void a_table_that_stays_as_it_is_is_read_once(void **state)
{
	struct cu_table *before, *after;
	uint32_t oid;

	(void)state;
	pg_cluster_sql(cluster, "CREATE TABLE calm (id int PRIMARY KEY, n int, note varchar(10))");
	oid = oid_of("calm");
	before = look(oid);
	pg_cluster_sql(cluster,
		       "INSERT INTO calm SELECT i, i, 'x' FROM generate_series(1, 1000) i; DELETE FROM calm WHERE "
		       "id < 10");
	pg_cluster_sql(cluster, "VACUUM ANALYZE calm");
	after = look(oid);
	assert_ptr_equal(before, after);
	cu_table_unref(&before);
	cu_table_unref(&after);
}

static void every_change_of_it_is_seen(void **state)
{
	static const struct {
		const char *change;
		bool fits; /* what the definition has is as it was */
	} cases[] = {
		{ "ALTER TABLE %s ADD COLUMN more int", false },
		{ "ALTER TABLE %s ALTER COLUMN n TYPE bigint", false },
		{ "ALTER TABLE %s ALTER COLUMN note TYPE varchar(20)", false },
		{ "ALTER TABLE %s RENAME COLUMN n TO m", false },
		{ "ALTER TABLE %s DROP COLUMN n", false },
		/* Another column of the same name and type: its rows have other values. */
		{ "ALTER TABLE %s DROP COLUMN n; ALTER TABLE %s ADD COLUMN n int", false },
		{ "ALTER TABLE %s RENAME id TO other; ALTER TABLE %s RENAME n TO id; ALTER TABLE %s RENAME other TO n; "
		  "ALTER TABLE %s DROP CONSTRAINT %s_pkey; ALTER TABLE %s ADD PRIMARY KEY (id)",
		  false },
		{ "ALTER TABLE %s RENAME TO other", false },
		{ "CREATE SCHEMA away; ALTER TABLE %s SET SCHEMA away", false },
		{ "DO $$ BEGIN EXECUTE 'ALTER TABLE %s DROP CONSTRAINT ' || '%s_pkey'; END $$", false },
		{ "ALTER TABLE %s DROP CONSTRAINT %s_pkey; ALTER TABLE %s ADD PRIMARY KEY (n, id)", false },
		{ "ALTER SCHEMA public RENAME TO private", false },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		cu_buf sql = CU_BUF_INIT;
		struct cu_table *table;
		cu_definition *def;
		char name[16];
		uint32_t oid;

		snprintf(name, sizeof name, "t%zu", i);
		pg_cluster_sql(cluster, "CREATE TABLE %s (id int PRIMARY KEY, n int NOT NULL, note varchar(10))", name);
		oid = oid_of(name);
		def = define(oid);
		assert_true(is_kept(oid));
		for (const char *at = cases[i].change; *at; at++) {
			/* %s is the table's name. */
			if (*at == '%' && *++at)
				cu_buf_puts(&sql, name);
			else
				cu_buf_putc(&sql, *at);
		}
		pg_cluster_sql(cluster, "%s", cu_buf_str(&sql));
		table = look(oid);
		assert_non_null(table);
		if (cu_table_fits(table, def, NULL) != cases[i].fits)
			fail_msg("%s", cu_buf_str(&sql));
		cu_table_unref(&table);
		assert_true(is_kept(oid));
		cu_definition_unref(&def);
		cu_buf_fini(&sql);
	}
	pg_cluster_sql(cluster, "ALTER SCHEMA private RENAME TO public");
}

static void a_dropped_table_is_not_there(void **state)
{
	uint32_t oid;

	(void)state;
	pg_cluster_sql(cluster, "CREATE TABLE gone (id int PRIMARY KEY)");
	oid = oid_of("gone");
	assert_true(is_kept(oid));
	pg_cluster_sql(cluster, "DROP TABLE gone");
	assert_null(look(oid));
}

static void new_labels_of_an_enum_are_seen(void **state)
{
	struct cu_table *table;
	cu_definition *def;
	uint32_t oid;

	(void)state;
	pg_cluster_sql(cluster, "CREATE TYPE mood AS ENUM ('fine'); CREATE DOMAIN feeling AS mood; "
				"CREATE TABLE felt (id int PRIMARY KEY, moods feeling)");
	oid = oid_of("felt");
	def = define(oid);
	pg_cluster_sql(cluster, "ALTER TYPE mood ADD VALUE 'sad'");
	table = look(oid);
	assert_false(cu_table_fits(table, def, NULL));
	cu_table_unref(&table);
	cu_definition_unref(&def);
}

static void tables_that_share_a_place_are_not_mixed_up(void **state)
{
	struct cu_table *table;
	uint32_t first, oid;

	(void)state;
	pg_cluster_sql(cluster, "CREATE TABLE one (id int PRIMARY KEY)");
	first = oid = oid_of("one");
	do { /* an oid or more go with each */
		pg_cluster_sql(cluster, "DROP TABLE IF EXISTS two; CREATE TABLE two (id int PRIMARY KEY)");
		oid = oid_of("two");
	} while (oid % CU_TABLE_CHECKS_MAX != first % CU_TABLE_CHECKS_MAX);
	for (int i = 0; i < 3; i++) {
		table = look(first);
		assert_string_equal(table->name, "one");
		cu_table_unref(&table);
		table = look(oid);
		assert_string_equal(table->name, "two");
		cu_table_unref(&table);
	}
}

static int group_setup(void **state)
{
	(void)state;
	cluster = pg_cluster_new(NULL);
	assert_int_equal(cu_pg_config_new(pg_cluster_url(cluster, NULL), &config, &err), 0);
	assert_int_equal(cu_catalog_new(0, &catalog), 0);
	checks = cu_table_checks_new(catalog);
	return cu_pg_connect(config, CU_PG_ORDINARY, -1, &conn, &err);
}

static int group_teardown(void **state)
{
	(void)state;
	PQfinish(conn);
	cu_table_checks_free(&checks);
	cu_catalog_free(&catalog);
	cu_pg_config_free(&config);
	pg_cluster_free(&cluster);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_that_stays_as_it_is_is_read_once),
		cmocka_unit_test(every_change_of_it_is_seen),
		cmocka_unit_test(a_dropped_table_is_not_there),
		cmocka_unit_test(new_labels_of_an_enum_are_seen),
		cmocka_unit_test(tables_that_share_a_place_are_not_mixed_up),
	};

	if (!pg_cluster_available())
		return 0;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
