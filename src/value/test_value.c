/* What the types are called and which functions there are, against Postgres' catalog. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pg_cluster.h"
#include "value/internal.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct pg_cluster *cluster;

static const uint32_t oids[] = {
	CU_BOOLOID,     CU_BYTEAOID,   CU_CHAROID,    CU_NAMEOID, CU_INT8OID,      CU_INT2OID,
	CU_INT4OID,     CU_TEXTOID,    CU_OIDOID,     CU_JSONOID, CU_FLOAT4OID,    CU_FLOAT8OID,
	CU_BPCHAROID,   CU_VARCHAROID, CU_DATEOID,    CU_TIMEOID, CU_TIMESTAMPOID, CU_TIMESTAMPTZOID,
	CU_INTERVALOID, CU_TIMETZOID,  CU_NUMERICOID, CU_UUIDOID, CU_JSONBOID,     CU_UNKNOWNOID,
};

static void assert_is_as_the_catalog_says(const struct cu_type *type, uint32_t oid)
{
	char ours[160];

	assert_non_null(type);
	assert_int_equal(type->oid, oid);
	snprintf(ours, sizeof ours, "%u %c %s %u", oid, type->category, type->preferred ? "t" : "f",
		 type->array  ? type->array->oid
		 : type->elem ? type->elem->oid
			      : 0);
	assert_string_equal(
		pg_cluster_sql(
			cluster,
			"SELECT oid || ' ' || typcategory::text || ' ' || CASE WHEN typispreferred THEN 't' ELSE "
			"'f' END || ' ' || CASE WHEN typarray = 0 AND oid <> 'unknown'::regtype THEN "
			"typelem ELSE typarray END FROM pg_type WHERE oid = '%s'::regtype",
			type->name),
		ours);
}

static void types_are_as_the_catalog_describes_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(oids); i++) {
		const struct cu_type *type = cu_type_builtin(oids[i]);

		/* Of category S in 14, which the scope of a clause knows (src/expr/scope.c). */
		if (oids[i] == CU_CHAROID && strncmp(pg_cluster_sql(cluster, "SHOW server_version_num"), "14", 2) == 0)
			continue;
		assert_is_as_the_catalog_says(type, oids[i]);
		if (!type->array)
			continue;
		assert_ptr_equal(type->array->elem, type);
		assert_ptr_equal(cu_type_builtin(type->array->oid), type->array);
		assert_is_as_the_catalog_says(type->array, type->array->oid);
	}
	assert_null(cu_type_builtin(0));
	assert_null(cu_type_builtin(600)); /* point */
}

static void *find_some(void *arg)
{
	(void)arg;
	return cu_function_find("int4pl", 15) && cu_function_find("texteq", 15) && !cu_function_find("", 15)
		       ? NULL
		       : (void *)(uintptr_t)oids;
}

static void threads_may_ask_first_at_the_same_moment(void **state)
{
	pthread_t threads[4];
	void *failed;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, find_some, NULL), 0);
	for (size_t i = 0; i < CU_ARRAY_LEN(threads); i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

/* All but regular expressions, which stay Postgres' own, and what the catalog of 15 does not have (src/expr/catalog.h):
 * casts between bytea and integers came with 18. */
static void operators_and_casts_of_the_types_have_their_functions(void **state)
{
	PGconn *conn = PQconnectdb(pg_cluster_url(cluster, NULL));
	cu_buf sql = CU_BUF_INIT;
	PGresult *rows;
	int missing = 0;

	(void)state;
	cu_buf_puts(&sql, "WITH t(oid) AS (SELECT unnest('{");
	for (size_t i = 0; i < CU_ARRAY_LEN(oids); i++)
		cu_buf_printf(&sql, "%s%u", i ? "," : "", oids[i]);
	cu_buf_puts(
		&sql,
		"}'::oid[])), f(oid, sql) AS ("
		"SELECT oprcode::oid, oid::regoperator::text FROM pg_operator WHERE (oprleft = 0 OR oprleft IN (TABLE t)) "
		"AND oprright IN (TABLE t) AND oprresult IN (TABLE t) UNION ALL "
		"SELECT castfunc, castsource::regtype || '::' || casttarget::regtype FROM pg_cast "
		"WHERE castsource IN (TABLE t) AND casttarget IN (TABLE t) AND castfunc <> 0) "
		"SELECT DISTINCT prosrc, f.sql FROM f JOIN pg_proc p ON p.oid = f.oid "
		"WHERE p.prolang = 12 AND p.provolatile = 'i' ORDER BY 1, 2");
	rows = PQexec(conn, cu_buf_str(&sql));
	assert_int_equal(PQresultStatus(rows), PGRES_TUPLES_OK);
	for (int i = 0; i < PQntuples(rows); i++) {
		if (cu_function_find(PQgetvalue(rows, i, 0), PQserverVersion(conn) / 10000) ||
		    strstr(PQgetvalue(rows, i, 0), "regex") ||
		    (PQserverVersion(conn) >= 180000 && strstr(PQgetvalue(rows, i, 0), "bytea") &&
		     strstr(PQgetvalue(rows, i, 0), "int")))
			continue;
		printf("not here: %s, %s\n", PQgetvalue(rows, i, 0), PQgetvalue(rows, i, 1));
		missing++;
	}
	assert_true(PQntuples(rows) > 400);
	assert_int_equal(missing, 0);
	PQclear(rows);
	PQfinish(conn);
	cu_buf_fini(&sql);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_may_ask_first_at_the_same_moment),
		cmocka_unit_test(types_are_as_the_catalog_describes_them),
		cmocka_unit_test(operators_and_casts_of_the_types_have_their_functions),
	};
	int failed;

	if (!pg_cluster_available()) {
		printf("no Postgres here: skipped\n");
		return 0;
	}
	cluster = pg_cluster_new(NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pg_cluster_free(&cluster);
	return failed;
}
