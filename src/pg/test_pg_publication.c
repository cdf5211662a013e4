/* label: race
 * How a table joins the stream, against a private Postgres. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "pg/publication.h"

#include "pg_cluster.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 20000

static struct pg_cluster *cluster;
static cu_pg_config *config;
static struct cu_pg_error err;

static PGconn *connect_as(const char *user)
{
	cu_pg_config *own = NULL;
	PGconn *conn = NULL;

	assert_int_equal(cu_pg_config_new(pg_cluster_url(cluster, user), &own, &err), 0);
	assert_int_equal(cu_pg_connect(own, CU_PG_ORDINARY, -1, &conn, &err), 0);
	cu_pg_config_free(&own);
	return conn;
}

static void run(PGconn *conn, const char *sql)
{
	assert_int_equal(cu_pg_exec(conn, sql, NULL, &err), 0);
}

static struct cu_table *describe(PGconn *conn, const char *name)
{
	struct cu_table_name table_name = { "public", "" };
	cu_catalog *cat = NULL;
	struct cu_table *table = NULL;

	snprintf(table_name.name, sizeof table_name.name, "%s", name);
	assert_int_equal(cu_catalog_new(0, &cat), 0);
	assert_int_equal(cu_catalog_lookup(cat, conn, &table_name, &table, &err), 0);
	cu_catalog_free(&cat);
	return table;
}

static cu_publication *publication(bool manual, unsigned wait_ms)
{
	cu_publication *pub = NULL;

	assert_int_equal(cu_publication_new("pub", manual, wait_ms, &pub), 0);
	return pub;
}

static const char *identity_of(const char *name)
{
	return pg_cluster_sql(cluster, "SELECT relreplident FROM pg_class WHERE relname = '%s'", name);
}

static const char *members(const char *pub)
{
	return pg_cluster_sql(
		cluster,
		"SELECT coalesce(string_agg(c.relname, ',' ORDER BY 1), '') FROM pg_publication_rel r JOIN pg_class c "
		"ON c.oid = r.prrelid JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = '%s'",
		pub);
}

static void fresh_publication(void)
{
	pg_cluster_sql(cluster, "DROP PUBLICATION IF EXISTS pub; CREATE PUBLICATION pub");
}

static void join_sets_membership_and_identity_once(void **state)
{
	PGconn *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 0);
	struct cu_table *table;

	(void)state;
	fresh_publication();
	pg_cluster_sql(cluster, "CREATE TABLE j1 (id int PRIMARY KEY)");
	table = describe(conn, "j1");
	assert_false(cu_publication_has(pub, table->oid));
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	assert_string_equal(members("pub"), "j1");
	assert_string_equal(identity_of("j1"), "f");
	assert_true(cu_publication_has(pub, table->oid));
	/* The second call asks nobody. */
	pg_cluster_sql(cluster, "DROP PUBLICATION pub");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	cu_publication_forget(pub, 0);
	/* One that somebody dropped is made anew, unless that is for somebody else to do. */
	cu_publication_free(&pub);
	pub = publication(true, 0);
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_CONFIG);
	cu_publication_free(&pub);
	pub = publication(false, 0);
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	assert_string_equal(members("pub"), "j1");
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

static void version_now(PGconn *conn, const cu_publication *pub, uint32_t oid,
			struct cu_publication_version *ret_version)
{
	cu_buf sql = CU_BUF_INIT;
	PGresult *res = NULL;
	char text[16];

	snprintf(text, sizeof text, "%u", oid);
	cu_buf_puts(&sql, "SELECT ");
	cu_publication_put_version(pub, PQserverVersion(conn), text, &sql);
	assert_int_equal(cu_pg_exec(conn, cu_buf_str(&sql), &res, &err), 0);
	cu_publication_version_set(ret_version, PQgetisnull(res, 0, 0) ? NULL : PQgetvalue(res, 0, 0));
	PQclear(res);
	cu_buf_fini(&sql);
}

static void version_tells_whether_a_table_was_published_all_the_time(void **state)
{
	PGconn *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 0);
	struct cu_publication_version joined, now;
	struct cu_table *table;

	(void)state;
	fresh_publication();
	pg_cluster_sql(cluster, "CREATE TABLE jvp (id int PRIMARY KEY) PARTITION BY RANGE (id);"
				"CREATE TABLE jv PARTITION OF jvp DEFAULT; CREATE TABLE jv_other (id int)");
	table = describe(conn, "jv");
	version_now(conn, pub, table->oid, &now);
	assert_string_equal(now.text, "");
	cu_publication_version_get(pub, table->oid, &joined);
	assert_string_equal(joined.text, "");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	cu_publication_version_get(pub, table->oid, &joined);
	version_now(conn, pub, table->oid, &now);
	assert_string_equal(now.text, joined.text);
	assert_int_not_equal(*joined.text, '\0');
	/* What comes in addition, its partitioned table among it, changes nothing; nor does what goes beside it. */
	pg_cluster_sql(cluster, "ALTER PUBLICATION pub ADD TABLE jv_other; ALTER PUBLICATION pub ADD TABLE jvp;"
				"ALTER PUBLICATION pub DROP TABLE jv_other");
	version_now(conn, pub, table->oid, &now);
	assert_string_equal(now.text, joined.text);
	pg_cluster_sql(cluster, "ALTER PUBLICATION pub DROP TABLE jv; ALTER PUBLICATION pub ADD TABLE jv");
	version_now(conn, pub, table->oid, &now);
	assert_string_not_equal(now.text, joined.text);
	/* A version that was noted for stored shapes outlives the join of a new one: theirs have the gap. */
	cu_publication_forget(pub, table->oid);
	cu_publication_version_note(pub, table->oid, &joined);
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	cu_publication_version_get(pub, table->oid, &now);
	assert_string_equal(now.text, joined.text);
	/* So does a stored one, and two that differ are no version. */
	cu_publication_forget(pub, table->oid);
	cu_publication_version_restore(pub, table->oid, "1/2/3");
	cu_publication_version_restore(pub, table->oid, "1/2/3");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	cu_publication_version_get(pub, table->oid, &now);
	assert_string_equal(now.text, "1/2/3");
	cu_publication_forget(pub, table->oid);
	cu_publication_version_restore(pub, table->oid, joined.text);
	cu_publication_version_restore(pub, table->oid, "1/2/3");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	cu_publication_version_get(pub, table->oid, &now);
	assert_string_not_equal(now.text, joined.text);
	assert_string_not_equal(now.text, "1/2/3");
	pg_cluster_sql(cluster, "ALTER PUBLICATION pub SET (publish = 'insert')");
	cu_publication_forget(pub, 0);
	version_now(conn, pub, table->oid, &joined);
	pg_cluster_sql(cluster, "ALTER PUBLICATION pub SET (publish = 'insert, update, delete, truncate')");
	version_now(conn, pub, table->oid, &now);
	assert_string_not_equal(now.text, joined.text);
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

static void version_of_a_partitioned_table_tells_its_partitions(void **state)
{
	static const char *const changes[] = {
		"CREATE TABLE vt3 PARTITION OF vt FOR VALUES IN (3)",
		"ALTER TABLE vt DETACH PARTITION vt3",
		"ALTER TABLE vt ATTACH PARTITION vt3 FOR VALUES IN (3)",
		"CREATE TABLE vt21 PARTITION OF vt2 DEFAULT",
		"ALTER TABLE vt2 DETACH PARTITION vt21",
		"DROP TABLE vt1",
	};
	PGconn *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 0);
	struct cu_publication_version before, now, leaf, leaf_now;
	struct cu_table *table, *one;

	(void)state;
	fresh_publication();
	pg_cluster_sql(
		cluster,
		"CREATE TABLE vt (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE vt1 PARTITION OF vt "
		"FOR VALUES IN (1); CREATE TABLE vt2 PARTITION OF vt FOR VALUES IN (2) PARTITION BY LIST (id);"
		"CREATE TABLE vt3_away (id int PRIMARY KEY); CREATE TABLE vt2_leaf PARTITION OF vt2 FOR VALUES IN (2)");
	table = describe(conn, "vt");
	one = describe(conn, "vt2_leaf");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	cu_publication_version_get(pub, table->oid, &before);
	version_now(conn, pub, one->oid, &leaf);
	for (size_t i = 0; i < CU_ARRAY_LEN(changes); i++) {
		pg_cluster_sql(cluster,
			       "CREATE TABLE beside%zu () INHERITS (vt3_away); CLUSTER vt2_leaf USING vt2_leaf_pkey",
			       i);
		version_now(conn, pub, table->oid, &now);
		assert_string_equal(now.text, before.text);
		pg_cluster_sql(cluster, "%s", changes[i]);
		version_now(conn, pub, table->oid, &now);
		if (strcmp(now.text, before.text) == 0)
			fail_msg("%s", changes[i]);
		before = now;
		/* None of a partition's own business. */
		version_now(conn, pub, one->oid, &leaf_now);
		assert_string_equal(leaf_now.text, leaf.text);
	}
	cu_table_unref(&one);
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

static void join_reaches_every_partition(void **state)
{
	PGconn *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 0);
	struct cu_table *table;

	(void)state;
	fresh_publication();
	pg_cluster_sql(
		cluster,
		"CREATE TABLE jp (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE jp1 PARTITION OF jp "
		"FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id); CREATE TABLE jp11 PARTITION OF jp1 DEFAULT");
	table = describe(conn, "jp");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	assert_string_equal(members("pub"), "jp");
	assert_string_equal(identity_of("jp11"), "f");
	cu_table_unref(&table);
	/* A leaf is published through its root: nothing to add. */
	table = describe(conn, "jp11");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	assert_string_equal(members("pub"), "jp");
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

struct joiner {
	cu_publication *pub;
	const struct cu_table *table;
	PGconn *conn;
	struct cu_pg_error err;
	int rc;
};

static void *joiner_main(void *arg)
{
	struct joiner *joiner = arg;

	joiner->rc = cu_publication_join(joiner->pub, joiner->conn, joiner->table, &joiner->err);
	return NULL;
}

static void join_waits_for_who_was_writing_and_for_nobody_else(void **state)
{
	PGconn *writer = connect_as(NULL), *late = connect_as(NULL), *conn = connect_as(NULL);
	cu_publication *pub = publication(false, WAIT_MS);
	struct joiner joiner = { .pub = pub, .conn = conn };
	struct cu_table *table;
	pthread_t thread;

	(void)state;
	fresh_publication();
	/* FULL already: then only ADD TABLE is left, which does not wait for writers by itself. */
	pg_cluster_sql(cluster, "CREATE TABLE jw (id int PRIMARY KEY); ALTER TABLE jw REPLICA IDENTITY FULL");
	table = describe(conn, "jw");
	joiner.table = table;
	run(writer, "BEGIN");
	run(writer, "INSERT INTO jw VALUES (1)");
	pthread_create(&thread, NULL, joiner_main, &joiner);
	assert_true(pg_cluster_until(cluster, "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'jw'", "1",
				     WAIT_MS));
	run(late, "BEGIN");
	run(late, "INSERT INTO jw VALUES (2)");
	/* A prepared transaction has no process any more, and still counts. */
	run(writer, "PREPARE TRANSACTION 'gid'");
	assert_false(cu_publication_has(pub, table->oid));
	run(writer, "COMMIT PREPARED 'gid'");
	pthread_join(thread, NULL);
	assert_int_equal(joiner.rc, 0);
	run(late, "ROLLBACK");
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(writer);
	PQfinish(late);
	PQfinish(conn);
}

static void writer_that_does_not_end_gives_eagain(void **state)
{
	PGconn *writer = connect_as(NULL), *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 100);
	struct cu_table *table;
	char pid[32];

	(void)state;
	fresh_publication();
	pg_cluster_sql(cluster, "CREATE TABLE je (id int PRIMARY KEY); ALTER TABLE je REPLICA IDENTITY FULL");
	table = describe(conn, "je");
	run(writer, "BEGIN");
	run(writer, "INSERT INTO je VALUES (1)");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EAGAIN);
	snprintf(pid, sizeof pid, "process %d", PQbackendPID(writer));
	assert_non_null(strstr(err.message, pid));
	assert_false(cu_publication_has(pub, table->oid));
	run(writer, "COMMIT");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(writer);
	PQfinish(conn);
}

static void locked_table_is_retried_until_the_lock_is_free(void **state)
{
	PGconn *holder = connect_as(NULL), *conn = connect_as(NULL);
	cu_publication *pub = publication(false, WAIT_MS);
	struct joiner joiner = { .pub = pub, .conn = conn };
	struct cu_table *table;
	pthread_t thread;

	(void)state;
	fresh_publication();
	pg_cluster_sql(cluster, "CREATE TABLE jl (id int PRIMARY KEY)");
	table = describe(conn, "jl");
	joiner.table = table;
	run(holder, "BEGIN");
	run(holder, "SELECT FROM jl"); /* a reader is enough to hold up the exclusive lock */
	pthread_create(&thread, NULL, joiner_main, &joiner);
	assert_true(pg_cluster_until(
		cluster, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'jl'::regclass", "t",
		WAIT_MS));
	/* It gives up its place in the queue: others are let through. */
	assert_true(pg_cluster_until(cluster,
				     "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'jl'::regclass",
				     "0", WAIT_MS));
	assert_string_equal(members("pub"), "");
	run(holder, "COMMIT");
	pthread_join(thread, NULL);
	assert_int_equal(joiner.rc, 0);
	assert_string_equal(identity_of("jl"), "f");
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(holder);
	PQfinish(conn);
}

static void lock_that_stays_gives_eagain_and_leaves_nothing_behind(void **state)
{
	PGconn *holder = connect_as(NULL), *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 500);
	struct cu_table *table;

	(void)state;
	fresh_publication();
	pg_cluster_sql(cluster, "CREATE TABLE js (id int)");
	table = describe(conn, "js");
	run(holder, "BEGIN");
	run(holder, "SELECT FROM js");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EAGAIN);
	assert_string_equal(members("pub"), "");
	assert_int_equal(PQtransactionStatus(conn), PQTRANS_IDLE);
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(holder);
	PQfinish(conn);
}

static void manual_mode_says_what_to_run(void **state)
{
	PGconn *conn = connect_as(NULL);
	cu_publication *pub = publication(true, 0);
	struct cu_table *table;

	(void)state;
	fresh_publication();
	pg_cluster_sql(cluster, "CREATE TABLE jm (id int)");
	table = describe(conn, "jm");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_CONFIG);
	assert_non_null(strstr(err.message, "ALTER PUBLICATION \"pub\" ADD TABLE \"public\".\"jm\"; ALTER TABLE ONLY "
					    "\"public\".\"jm\" REPLICA IDENTITY FULL"));
	pg_cluster_sql(cluster, "ALTER PUBLICATION pub ADD TABLE jm");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EPG);
	assert_null(strstr(err.message, "ADD TABLE"));
	assert_non_null(strstr(err.message, "REPLICA IDENTITY FULL"));
	pg_cluster_sql(cluster, "ALTER TABLE jm REPLICA IDENTITY FULL");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), 0);
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

static void role_without_rights_is_told_what_an_owner_must_run(void **state)
{
	PGconn *conn;
	cu_publication *pub = publication(false, 0);
	struct cu_table *table;

	(void)state;
	fresh_publication();
	pg_cluster_sql(
		cluster,
		"CREATE ROLE nobody_special LOGIN; CREATE TABLE jr (id int); GRANT SELECT ON jr TO nobody_special");
	conn = connect_as("nobody_special");
	table = describe(conn, "jr");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_PERMISSION);
	assert_non_null(strstr(err.message, "Run: ALTER PUBLICATION \"pub\" ADD TABLE \"public\".\"jr\""));
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

static void row_filter_and_column_list_are_refused(void **state)
{
	PGconn *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 0);
	struct cu_table *table;

	(void)state;
	if (PQserverVersion(conn) < 150000) {
		cu_publication_free(&pub);
		PQfinish(conn);
		return;
	}
	fresh_publication();
	pg_cluster_sql(
		cluster,
		"CREATE TABLE jf (id int PRIMARY KEY); ALTER TABLE jf REPLICA IDENTITY FULL; ALTER PUBLICATION pub "
		"ADD TABLE jf WHERE (id > 1)");
	table = describe(conn, "jf");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EPG);
	assert_non_null(strstr(err.message, "row filter"));
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

static void publication_of_some_operations_is_refused(void **state)
{
	PGconn *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 0);
	struct cu_table *table;

	(void)state;
	fresh_publication();
	pg_cluster_sql(cluster,
		       "CREATE TABLE jops (id int PRIMARY KEY); ALTER PUBLICATION pub SET (publish = 'insert')");
	table = describe(conn, "jops");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EPG);
	assert_non_null(strstr(err.message, "SET (publish = 'insert, update, delete, truncate')"));
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

static void dropped_table_is_named(void **state)
{
	PGconn *conn = connect_as(NULL);
	cu_publication *pub = publication(false, 0);
	struct cu_table *table;

	(void)state;
	fresh_publication();
	pg_cluster_sql(cluster, "CREATE TABLE jd (id int)");
	table = describe(conn, "jd");
	pg_cluster_sql(cluster, "DROP TABLE jd");
	assert_int_equal(cu_publication_join(pub, conn, table, &err), CU_EPG);
	assert_string_equal(err.sqlstate, "42P01");
	cu_table_unref(&table);
	cu_publication_free(&pub);
	PQfinish(conn);
}

static int group_setup(void **state)
{
	(void)state;
	cluster = pg_cluster_new(NULL);
	return cu_pg_config_new(pg_cluster_url(cluster, NULL), &config, &err);
}

static int group_teardown(void **state)
{
	(void)state;
	cu_pg_config_free(&config);
	pg_cluster_free(&cluster);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(join_sets_membership_and_identity_once),
		cmocka_unit_test(version_tells_whether_a_table_was_published_all_the_time),
		cmocka_unit_test(version_of_a_partitioned_table_tells_its_partitions),
		cmocka_unit_test(join_reaches_every_partition),
		cmocka_unit_test(join_waits_for_who_was_writing_and_for_nobody_else),
		cmocka_unit_test(writer_that_does_not_end_gives_eagain),
		cmocka_unit_test(locked_table_is_retried_until_the_lock_is_free),
		cmocka_unit_test(lock_that_stays_gives_eagain_and_leaves_nothing_behind),
		cmocka_unit_test(manual_mode_says_what_to_run),
		cmocka_unit_test(role_without_rights_is_told_what_an_owner_must_run),
		cmocka_unit_test(row_filter_and_column_list_are_refused),
		cmocka_unit_test(publication_of_some_operations_is_refused),
		cmocka_unit_test(dropped_table_is_named),
	};

	if (!pg_cluster_available())
		return 0;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
