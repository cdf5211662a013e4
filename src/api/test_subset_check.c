/* What may be asked of a shape as a subset, and in which words everything else is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/subset_check.h"
#include "shape/test_help.h"

#define PLAIN "table=items&offset=-1"

static cu_definition *def;

/* The query that is asked of Postgres, or the body of the refusal. Returns owned. */
static char *ask(const char *query, const char *body)
{
	struct cu_shape_params *params = NULL;
	cu_api_errors errors = CU_API_ERRORS_INIT;
	struct cu_subset *subset = NULL;
	cu_buf out = CU_BUF_INIT;
	int rc;

	rc = body ? cu_shape_params_parse_post(query, strlen(query), body, strlen(body), &params, &errors)
		  : cu_shape_params_parse(query, strlen(query), &params, &errors);
	assert_int_equal(rc, 0);
	assert_true(params->has_subset);
	rc = cu_subset_check(params, def, &subset, &errors);
	assert_int_equal(rc < 0 ? CU_EINVAL : 0, rc);
	assert_int_equal(rc == 0, subset != NULL);
	if (rc == 0)
		cu_subset_put_query(def, NULL, subset, &out);
	else
		cu_api_errors_body(&errors, &out);
	cu_subset_free(&subset);
	cu_shape_params_free(&params);
	cu_api_errors_fini(&errors);
	return cu_buf_steal(&out, NULL);
}

struct example {
	const char *query; /* behind PLAIN */
	const char *body;  /* NULL: GET */
	const char *answer;
};

static void check(const struct example *examples, size_t len, const char *before, const char *after)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < len; i++) {
		char query[512], answer[512];
		char *got;

		snprintf(query, sizeof query, PLAIN "%s", examples[i].query);
		snprintf(answer, sizeof answer, "%s%s%s", before, examples[i].answer, after);
		got = ask(query, examples[i].body);
		if (strcmp(got, answer) != 0) {
			print_error("%s %s\n  is    %s\n  not   %s\n", query, examples[i].body ? examples[i].body : "",
				    got, answer);
			wrong++;
		}
		free(got);
	}
	assert_int_equal(wrong, 0);
}

#define ID "\"id\" OPERATOR(pg_catalog.=) "

static void a_subset_becomes_a_query_of_our_own(void **state)
{
	static const struct example examples[] = {
		{ "&subset__where=", NULL, "" },
		{ "", "{\"subset\":{}}", "" },
		{ "&subset__where=id=5", NULL, " WHERE (" ID "5)" },
		{ "&subset__where=id=$1&subset__params={\"1\":\"5\"}", NULL, " WHERE (" ID "5)" },
		{ "&subset__where=id=$1&subset__params[1]=5", NULL, " WHERE (" ID "5)" },
		{ "", "{\"where\":\"id = $1\",\"params\":{\"1\":5}}", " WHERE (" ID "5)" },
		{ "", "{\"where\":\"id = $1\",\"params\":\"{\\\"1\\\":\\\"5\\\"}\"}", " WHERE (" ID "5)" },
		{ "", "{\"subset\":{\"where\":\"id = 5\"}}", " WHERE (" ID "5)" },
		{ "&subset__order_by=name+desc,id", NULL, " ORDER BY \"items\".\"name\" DESC, \"items\".\"id\"" },
		{ "&subset__order_by=id&subset__limit=10", NULL, " ORDER BY \"items\".\"id\" LIMIT 10" },
		{ "&subset__order_by=id&subset__limit=%2b10&subset__offset=0", NULL,
		  " ORDER BY \"items\".\"id\" LIMIT 10" },
		{ "", "{\"order_by\":\"id\",\"offset\":7,\"limit\":\"9223372036854775807\"}",
		  " ORDER BY \"items\".\"id\" LIMIT 9223372036854775807 OFFSET 7" },
		/* What is not looked at without a clause is not looked at. */
		{ "&subset__params={\"a\":\"5\"}", NULL, "" },
		{ "&subset__where_expr=nonsense&subset__order_by_expr=[[[", NULL, "" },
		{ "&queryable_columns=id,name&subset__where=id=5&subset__order_by=name", NULL,
		  " WHERE (" ID "5) ORDER BY \"items\".\"name\"" },
	};

	(void)state;
	check(examples, CU_ARRAY_LEN(examples), "SELECT \"id\", \"name\", \"note\" FROM ONLY \"public\".\"items\"", "");
}

static void everything_else_is_refused_under_the_name_of_its_part(void **state)
{
	static const struct example examples[] = {
		{ "&subset__limit=0&subset__order_by=id", NULL, "\"limit\":[\"must be greater than 0\"]" },
		{ "&subset__limit=-5&subset__order_by=id", NULL, "\"limit\":[\"must be greater than 0\"]" },
		{ "&subset__offset=-1&subset__order_by=id", NULL,
		  "\"offset\":[\"must be greater than or equal to 0\"]" },
		{ "&subset__limit=x&subset__order_by=id", NULL, "\"limit\":[\"is invalid\"]" },
		{ "&subset__limit=1.5&subset__order_by=id", NULL, "\"limit\":[\"is invalid\"]" },
		{ "&subset__limit=+5&subset__order_by=id", NULL, "\"limit\":[\"is invalid\"]" },
		{ "&subset__limit=5+&subset__order_by=id", NULL, "\"limit\":[\"is invalid\"]" },
		{ "&subset__limit=-&subset__order_by=id", NULL, "\"limit\":[\"is invalid\"]" },
		{ "&subset__limit=0x5&subset__order_by=id", NULL, "\"limit\":[\"is invalid\"]" },
		{ "&subset__limit=9223372036854775808&subset__order_by=id", NULL,
		  "\"limit\":[\"must be less than or equal to 9223372036854775807\"]" },
		{ "&subset__limit=5", NULL, "\"order_by\":[\"order_by is required when limit or offset is present\"]" },
		{ "&subset__offset=5&subset__order_by=++", NULL,
		  "\"order_by\":[\"order_by is required when limit or offset is present\"]" },
		{ "&subset__limit=0", NULL,
		  "\"limit\":[\"must be greater than 0\"],"
		  "\"order_by\":[\"order_by is required when limit or offset is present\"]" },
		{ "&subset__limit=x", NULL, "\"limit\":[\"is invalid\"]" },
		{ "", "{\"where\":5,\"limit\":1,\"order_by\":true}",
		  "\"where\":[\"is invalid\"],\"order_by\":[\"is invalid\"]" },
		{ "&subset__order_by=nope", NULL, "\"order_by\":[\"At location 18: unknown reference nope\"]" },
		{ "&subset__order_by=id,pg_sleep(5)", NULL,
		  "\"order_by\":[\"At location 21: FuncCall expressions are not allowed in ORDER BY clauses\"]" },
		{ "&subset__order_by=id+LIMIT+1", NULL, "\"order_by\":[\"only columns may follow ORDER BY\"]" },
		{ "&subset__order_by=id;SELECT+1", NULL,
		  "\"order_by\":[\"At location 20: syntax error at or near \\\";\\\"\"]" },
		{ "&subset__where=nope=1", NULL, "\"where\":[\"At location 0: unknown reference nope\"]" },
		{ "&subset__where=id=1)+OR+(true", NULL,
		  "\"where\":[\"At location 19: syntax error at or near \\\")\\\"\"]" },
		{ "&subset__where=id=$1", NULL, "\"where\":[\"At location 3: parameter $1 was not provided\"]" },
		{ "&subset__where=id=$1&subset__params=5", NULL, "\"params\":[\"params must be a JSON object\"]" },
		{ "&subset__where=id=$1&subset__params={", NULL, "\"params\":[\"params must be valid JSON\"]" },
		{ "&subset__where=id=$1&subset__params={\"a\":\"5\"}", NULL,
		  "\"params\":[\"Parameters can only use numbers as keys\"]" },
		{ "&subset__where=id=$1&subset__params={\"1\":\"5\",\"4\":\"5\"}", NULL,
		  "\"params\":[\"Parameters must be numbered sequentially, starting from 1\"]" },
		{ "&subset__where=id=$1&subset__params={\"1\":[5]}", NULL, "\"params\":[\"is invalid\"]" },
		/* ORDER BY first, then the clause. */
		{ "&subset__where=nope=1&subset__order_by=nope", NULL,
		  "\"order_by\":[\"At location 18: unknown reference nope\"]" },
		{ "&queryable_columns=id,name&subset__where=note='x'", NULL, "\"where\":[\"unknown reference note\"]" },
		{ "&queryable_columns=id,name&subset__where=id=1+OR+id+IN+(2,3)+AND+note+IS+NULL", NULL,
		  "\"where\":[\"unknown reference note\"]" },
		{ "&queryable_columns=id,name&subset__order_by=id,note", NULL,
		  "\"order_by\":[\"unknown reference note\"]" },
	};

	(void)state;
	check(examples, CU_ARRAY_LEN(examples), "{\"message\":\"Invalid request\",\"errors\":{\"subset\":{", "}}}");
}

static void numbers_among_the_parameters_keep_their_value(void **state)
{
	static const char *const values[][2] = {
		{ "5", "5" },       { "-9223372036854775808", "-9223372036854775808" },
		{ "0.1", "0.1" },   { "1e100", "1e+100" },
		{ "true", "true" }, { "\"5 \"", "5 " },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(values); i++) {
		char body[128], wanted[128];
		char *got;

		snprintf(body, sizeof body, "{\"where\":\"name = $1\",\"params\":{\"1\":%s}}", values[i][0]);
		snprintf(wanted, sizeof wanted, "'%s'", values[i][1]);
		got = ask(PLAIN, body);
		if (!strstr(got, wanted))
			print_error("%s: %s\n", body, got);
		assert_non_null(strstr(got, wanted));
		free(got);
	}
}

static int refusal(const char *query, const struct cu_table *table, char **ret_body)
{
	struct cu_shape_params *params = NULL;
	cu_api_errors errors = CU_API_ERRORS_INIT;
	cu_buf out = CU_BUF_INIT;
	int rc;

	assert_int_equal(cu_shape_params_parse(query, strlen(query), &params, &errors), 0);
	rc = cu_queryable_check_columns(params, &errors);
	if (rc == 0)
		rc = cu_queryable_check_table(params, table, &errors);
	cu_api_errors_body(&errors, &out);
	*ret_body = cu_buf_steal(&out, NULL);
	cu_shape_params_free(&params);
	cu_api_errors_fini(&errors);
	return rc;
}

static void queryable_columns_are_those_of_the_table_with_its_key_and_hold_the_selected_ones(void **state)
{
	static const char *const examples[][2] = {
		{ "", NULL },
		{ "&queryable_columns=id", NULL },
		{ "&queryable_columns=id,name&columns=id", NULL },
		{ "&queryable_columns=id,name&columns=id,note",
		  "\"columns\":[\"The following columns are not found on the table: note\"]" },
		{ "&queryable_columns=name",
		  "\"queryable_columns\":[\"The list of queryable columns must include all primary key columns, missing: id\"]" },
		{ "&queryable_columns=id,a,b",
		  "\"queryable_columns\":[\"The following queryable columns are not found on the table: a, b\"]" },
	};
	const struct cu_table table = help_table(HELP_OID);

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(examples); i++) {
		char query[256];
		char *body;
		int rc;

		snprintf(query, sizeof query, PLAIN "%s", examples[i][0]);
		rc = refusal(query, &table, &body);
		assert_int_equal(rc, examples[i][1] ? CU_EINVAL : 0);
		if (examples[i][1] && !strstr(body, examples[i][1]))
			print_error("%s: %s\n", query, body);
		assert_true(!examples[i][1] || strstr(body, examples[i][1]));
		free(body);
	}
}

static int group_setup(void **state)
{
	struct cu_table table = help_table(HELP_OID);
	struct cu_column *columns = cu_xmemdup(table.columns, table.columns_len * sizeof *columns);
	struct cu_definition_request request = { 0 };
	cu_buf message = CU_BUF_INIT;

	(void)state;
	for (unsigned i = 0; i < table.columns_len; i++)
		columns[i].scalar_type_oid = columns[i].type_oid;
	table.columns = columns;
	CU_ASSERT(cu_definition_new(&table, &request, &def, &message) == 0);
	free(columns);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	cu_definition_unref(&def);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_subset_becomes_a_query_of_our_own),
		cmocka_unit_test(everything_else_is_refused_under_the_name_of_its_part),
		cmocka_unit_test(numbers_among_the_parameters_keep_their_value),
		cmocka_unit_test(queryable_columns_are_those_of_the_table_with_its_key_and_hold_the_selected_ones),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
