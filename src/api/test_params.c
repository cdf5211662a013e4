/* test_params.c: routes, secrets, identifiers and the parameters of /v1/shape. */
#include "api/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum how { GET, DELETE, POST };

/* Parses; on failure ret_body is the JSON body, to be freed. */
static int parse_how(enum how how, const char *query, const char *body, struct cu_shape_params **ret, char **ret_body)
{
	cu_api_errors errors = CU_API_ERRORS_INIT;
	cu_buf text = CU_BUF_INIT;
	int rc;

	*ret = NULL;
	switch (how) {
	case DELETE: rc = cu_shape_params_parse_delete(query, strlen(query), ret, &errors); break;
	case POST: rc = cu_shape_params_parse_post(query, strlen(query), body, strlen(body), ret, &errors); break;
	default: rc = cu_shape_params_parse(query, strlen(query), ret, &errors); break;
	}
	assert_int_equal(rc == 0, *ret != NULL);
	cu_api_errors_body(&errors, &text);
	*ret_body = cu_buf_steal(&text, NULL);
	cu_api_errors_fini(&errors);
	return rc;
}

static struct cu_shape_params *good_how(enum how how, const char *query, const char *body)
{
	struct cu_shape_params *params;
	char *text;
	int rc = parse_how(how, query, body, &params, &text);

	if (rc != 0)
		print_error("%s: %s\n", query, text);
	assert_int_equal(rc, 0);
	free(text);
	return params;
}

static struct cu_shape_params *good(const char *query)
{
	return good_how(GET, query, NULL);
}

static void assert_refused_as(enum how how, const char *query, const char *body, const char *wanted)
{
	struct cu_shape_params *params;
	char *text;
	int rc = parse_how(how, query, body, &params, &text);

	if (rc != CU_EINVAL || strcmp(text, wanted) != 0)
		print_error("%s\n", query);
	assert_int_equal(rc, CU_EINVAL);
	assert_string_equal(text, wanted);
	free(text);
}

static void assert_refused(enum how how, const char *query, const char *body, const char *errors)
{
	char wanted[512];

	snprintf(wanted, sizeof wanted, "{\"message\":\"Invalid request\",\"errors\":{%s}}", errors);
	assert_refused_as(how, query, body, wanted);
}

static void a_whole_request_is_understood(void **state)
{
	struct cu_shape_params *p = good("table=Items&offset=12_4&handle=1-2&live=true&live_sse=true&cursor=77"
					 "&where=id+%3d+%241&params[1]=a+b&params%5B2%5D=%25&columns=ID,%22Ab%22%22c%22"
					 "&replica=full&log=changes_only&secret=s&unknown=%31&queryable_columns=x");

	(void)state;
	assert_string_equal(p->table, "Items");
	assert_string_equal(p->schema_name, "public");
	assert_string_equal(p->table_name, "items");
	assert_int_equal(p->offset_kind, CU_OFFSET_KIND_AT);
	assert_int_equal(p->offset.tx, 12);
	assert_int_equal(p->offset.op, 4);
	assert_string_equal(p->offset_text, "12_4");
	assert_string_equal(p->handle, "1-2");
	assert_true(p->live);
	assert_true(p->live_sse);
	assert_string_equal(p->cursor, "77");
	assert_string_equal(p->where, "id = $1");
	assert_int_equal(p->params_len, 2);
	assert_string_equal(p->params[0].key, "1");
	assert_string_equal(p->params[0].value, "a b");
	assert_string_equal(p->params[1].value, "%");
	assert_int_equal(p->columns_len, 2);
	assert_string_equal(p->columns[0], "id");
	assert_string_equal(p->columns[1], "Ab\"c");
	assert_int_equal(p->queryable_columns_len, 1);
	assert_int_equal(p->replica, CU_REPLICA_FULL);
	assert_int_equal(p->log_mode, CU_LOG_MODE_CHANGES_ONLY);
	assert_false(p->has_subset);
	cu_shape_params_free(&p);
	assert_null(p);
}

static void defaults_are_electrics(void **state)
{
	struct cu_shape_params *p = good("table=t&offset=-1");

	(void)state;
	assert_int_equal(p->offset_kind, CU_OFFSET_KIND_BEFORE_ALL);
	assert_true(p->offset.before_all);
	assert_string_equal(p->offset_text, "-1");
	assert_null(p->handle);
	assert_null(p->where);
	assert_null(p->columns);
	assert_null(p->cursor);
	assert_int_equal(p->params_len, 0);
	assert_false(p->live);
	assert_false(p->live_sse);
	assert_int_equal(p->replica, CU_REPLICA_DEFAULT);
	assert_int_equal(p->log_mode, CU_LOG_MODE_FULL);
	cu_shape_params_free(&p);
}

static void errors_equal_electrics(void **state)
{
	static const struct {
		const char *query;
		const char *errors;
	} cases[] = {
		{ "offset=-1", "\"table\":[\"can't be blank\"]" },
		{ "table=items", "\"offset\":[\"can't be blank\"]" },
		{ "", "\"offset\":[\"can't be blank\"]" },
		{ "table=items&offset=+", "\"offset\":[\"can't be blank\"]" },
		{ "table=items&offset=abc", "\"offset\":[\"has invalid format\"]" },
		{ "table=items&offset=1_2_3", "\"offset\":[\"has invalid format\"]" },
		{ "table=items&offset=10", "\"offset\":[\"has invalid format\"]" },
		{ "table=items&offset=-5_0", "\"offset\":[\"has invalid format\"]" },
		{ "table=items&offset=99999999999999999999_0", "\"offset\":[\"has invalid format\"]" },
		{ "table=items&offset[]=1", "\"offset\":[\"is invalid\"]" },
		{ "table=items&offset=0_0", "\"handle\":[\"can't be blank when offset != -1\"]" },
		{ "table=items&offset=0_0&handle=", "\"handle\":[\"can't be blank when offset != -1\"]" },
		{ "table=items&offset=-1&live=true", "\"live\":[\"can't be true when offset == -1\"]" },
		{ "table=items&offset=now&live=true", "\"live\":[\"can't be true when offset is 'now'\"]" },
		{ "table=items&offset=0_0&handle=a&live_sse=true",
		  "\"live_sse\":[\"can't be true unless live is also true\"]" },
		{ "table=items&offset=0_0&handle=a&experimental_live_sse=true",
		  "\"live_sse\":[\"can't be true unless live is also true\"]" },
		{ "table=items&offset=-1&experimental_live_sse=maybe", "\"live_sse\":[\"is invalid\"]" },
		{ "table=items&offset=-1&replica=some", "\"replica\":[\"is invalid\"]" },
		{ "table=items&offset=-1&log=some", "\"log\":[\"is invalid\"]" },
		{ "table=items&offset=-1&params=x", "\"params\":[\"is invalid\"]" },
		{ "table=items&offset=-1&params[]=x", "\"params\":[\"is invalid\"]" },
		{ "table=items&offset=-1&params[1][a]=x", "\"params\":[\"is invalid\"]" },
		{ "table=items&offset=-1&where=a%00b", "\"where\":[\"is invalid\"]" },
		{ "table=items&offset=-1&columns=a,", "\"columns\":[\"Invalid zero-length delimited identifier\"]" },
		{ "table=items&offset=-1&columns=%22%22",
		  "\"columns\":[\"Invalid zero-length delimited identifier\"]" },
		{ "table=items&offset=-1&columns=%22id,%22name%22",
		  "\"columns\":[\"Invalid unquoted identifier contains special characters: \\\"id\"]" },
		{ "table=items&offset=-1&columns=a,+b",
		  "\"columns\":[\"Invalid unquoted identifier contains special characters:  b\"]" },
		{ "table=items&offset=-1&columns=%22Foo%22Bar%22",
		  "\"columns\":[\"Invalid identifier with unescaped quote: Foo\\\"Bar\"]" },
		{ "table=items&offset=-1&columns[]=a&columns[]=", "\"columns\":[\"Invalid zero-length identifier\"]" },
		{ "table=items&offset=-1&columns[a]=a", "\"columns\":[\"is invalid\"]" },
		{ "table=a.b.c&offset=-1", "\"table\":[\"Invalid relation identifier, too many delimiters: a.b.c\"]" },
		{ "table=foob%40r&offset=-1",
		  "\"table\":[\"Invalid unquoted identifier contains special characters: foob@r\"]" },
		{ "table=a.&offset=-1", "\"table\":[\"Invalid zero-length delimited identifier\"]" },
		{ "table=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&offset=-1",
		  "\"table\":[\"Identifier is too long (max length is 63)\"]" },
		{ "table=a&offset=-1&x=%zz", "\"query\":[\"is not valid percent-encoded UTF-8\"]" },
		{ "table=a&offset=-1&x=%ff", "\"query\":[\"is not valid percent-encoded UTF-8\"]" },
		{ "table=a&offset=-1&x=%ed%a0%80", "\"query\":[\"is not valid percent-encoded UTF-8\"]" },
		{ "table=a&offset=-1&%c0%af=1", "\"query\":[\"is not valid percent-encoded UTF-8\"]" },
		{ "table=a&offset=-1&x=%4", "\"query\":[\"is not valid percent-encoded UTF-8\"]" },
		{ "table=a&offset=-1&subset=x", "\"subset\":[\"is invalid\"]" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++)
		assert_refused(GET, cases[i].query, NULL, cases[i].errors);
}

static void a_stage_reports_all_its_fields_and_later_stages_do_not_run(void **state)
{
	(void)state;
	assert_refused(GET, "replica=x&columns=a,", NULL,
		       "\"columns\":[\"Invalid zero-length delimited identifier\"],\"replica\":[\"is invalid\"],"
		       "\"offset\":[\"can't be blank\"]");
	/* No table either, but the offset's format comes first. */
	assert_refused(GET, "offset=x", NULL, "\"offset\":[\"has invalid format\"]");
}

static void any_value_of_live_but_false_is_true(void **state)
{
	static const struct {
		const char *text;
		bool live;
	} cases[] = { { "&live=true", true }, { "&live=false", false }, { "&live=0", true },
		      { "&live", true },      { "&live=", true },       { "", false } };

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		char query[100];
		struct cu_shape_params *p;

		snprintf(query, sizeof query, "table=t&offset=0_0&handle=h%s", cases[i].text);
		p = good(query);
		assert_int_equal(p->live, cases[i].live);
		cu_shape_params_free(&p);
	}
}

static void a_handle_is_ignored_with_minus_one_and_now(void **state)
{
	struct cu_shape_params *p = good("table=t&offset=-1&handle=old");

	(void)state;
	assert_null(p->handle);
	assert_string_equal(p->handle_sent, "old");
	cu_shape_params_free(&p);
	p = good("table=t&offset=now&handle=old");
	assert_null(p->handle);
	assert_int_equal(p->offset_kind, CU_OFFSET_KIND_NOW);
	assert_string_equal(p->offset_text, "now");
	cu_shape_params_free(&p);
}

static void offsets_are_named_in_their_canonical_form(void **state)
{
	static const char *const cases[][2] = {
		{ "0_02", "0_2" },  { "0_inf", "0_inf" }, { "18446744073709551615_7", "18446744073709551615_7" },
		{ "007_0", "7_0" }, { "-1_0", "-1" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		char query[100];
		struct cu_shape_params *p;

		snprintf(query, sizeof query, "table=t&handle=h&offset=%s", cases[i][0]);
		p = good(query);
		assert_string_equal(p->offset_text, cases[i][1]);
		cu_shape_params_free(&p);
	}
}

static void the_last_of_repeated_parameters_counts(void **state)
{
	struct cu_shape_params *p = good("table=a&table=b&offset=x&offset=-1&params[1]=a&params[1]=b"
					 "&live=true&live=false");

	(void)state;
	assert_string_equal(p->table_name, "b");
	assert_int_equal(p->params_len, 1);
	assert_string_equal(p->params[0].value, "b");
	cu_shape_params_free(&p);
}

static void params_are_sorted_by_number(void **state)
{
	struct cu_shape_params *p = good("table=t&offset=-1&params[10]=j&params[x]=z&params[2]=b&params[1]=");
	static const char *const keys[] = { "1", "2", "10", "x" };

	(void)state;
	assert_int_equal(p->params_len, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(p->params[i].key, keys[i]);
	assert_string_equal(p->params[0].value, "");
	cu_shape_params_free(&p);
}

static void params_may_be_a_json_object(void **state)
{
	struct cu_shape_params *p = good("table=t&offset=-1&params=%7B%222%22:%22b%22,%221%22:5%7D");

	(void)state;
	assert_int_equal(p->params_len, 2);
	assert_string_equal(p->params[0].key, "1");
	assert_string_equal(p->params[0].value, "5");
	assert_string_equal(p->params[1].value, "b");
	cu_shape_params_free(&p);
	assert_refused(GET, "table=t&offset=-1&params=%5B1%5D", NULL, "\"params\":[\"is invalid\"]");
	assert_refused(GET, "table=t&offset=-1&params=%7B%221%22:null%7D", NULL, "\"params\":[\"is invalid\"]");
}

static void quoted_names_keep_dots_commas_and_case(void **state)
{
	struct cu_shape_params *p = good("table=%22My.Schema%22.%22T%22%22x%22&offset=-1"
					 "&columns=%22a,B%22,_c$1,%c3%84b");

	(void)state;
	assert_string_equal(p->schema_name, "My.Schema");
	assert_string_equal(p->table_name, "T\"x");
	assert_int_equal(p->columns_len, 3);
	assert_string_equal(p->columns[0], "a,B");
	assert_string_equal(p->columns[1], "_c$1");
	assert_string_equal(p->columns[2], "\xc3\x84"
					   "b");
	cu_shape_params_free(&p);
	p = good("table=t&offset=-1&columns[]=Ab&columns[]=c+d");
	assert_int_equal(p->columns_len, 2);
	assert_string_equal(p->columns[0], "Ab");
	assert_string_equal(p->columns[1], "c d");
	cu_shape_params_free(&p);
}

static void blank_values_count_as_missing(void **state)
{
	struct cu_shape_params *p = good("table=t&offset=-1&where=++&columns=&replica=&log=&params=&subset=");

	(void)state;
	assert_null(p->where);
	assert_null(p->columns);
	assert_int_equal(p->params_len, 0);
	assert_false(p->has_subset);
	cu_shape_params_free(&p);
}

static void subset_parameters_are_noticed(void **state)
{
	struct cu_shape_params *p = good("table=t&offset=-1&subset__where=a&subset__limit=5&subset[order_by]=b");

	(void)state;
	assert_true(p->has_subset);
	assert_string_equal(p->subset_where, "a");
	assert_string_equal(p->subset_limit, "5");
	assert_string_equal(p->subset_order_by, "b");
	cu_shape_params_free(&p);
	p = good("table=t&offset=-1&subset__whatever=1");
	assert_true(p->has_subset);
	cu_shape_params_free(&p);
}

static void a_post_body_overrides_the_query(void **state)
{
	struct cu_shape_params *p;

	(void)state;
	p = good_how(POST, "table=t&offset=-1&replica=full", "");
	assert_int_equal(p->replica, CU_REPLICA_FULL);
	cu_shape_params_free(&p);
	p = good_how(POST, "table=t&offset=-1&subset__where=q",
		     "{\"table\":\"u\",\"columns\":[\"a\",\"B\"],\"live\":false,"
		     "\"subset\":{\"limit\":5,\"where\":\"w\",\"params\":{\"1\":\"x\"}}}");
	assert_string_equal(p->table_name, "u");
	assert_int_equal(p->columns_len, 2);
	assert_string_equal(p->columns[1], "B");
	assert_true(p->has_subset);
	assert_string_equal(p->subset_where, "w");
	assert_string_equal(p->subset_limit, "5");
	assert_string_equal(p->subset_params, "{\"1\":\"x\"}");
	cu_shape_params_free(&p);
	p = good_how(POST, "table=t&offset=-1&where=outer", "{\"where\":\"inner\",\"offset\":7,\"other\":1}");
	assert_string_equal(p->where, "outer");
	assert_string_equal(p->subset_where, "inner");
	assert_string_equal(p->subset_offset, "7");
	assert_int_equal(p->offset_kind, CU_OFFSET_KIND_BEFORE_ALL);
	cu_shape_params_free(&p);
	p = good_how(POST, "table=t&offset=-1&subset__where=q&subset__limit=3", "{\"subset\":{}}");
	assert_true(p->has_subset);
	assert_string_equal(p->subset_where, "q");
	assert_string_equal(p->subset_limit, "3");
	cu_shape_params_free(&p);
	p = good_how(POST, "table=t&offset=-1&subset__where=q", "{\"where\":null,\"where_expr\":{\"type\":\"val\"}}");
	assert_true(p->has_subset);
	assert_null(p->subset_where);
	cu_shape_params_free(&p);
	p = good_how(POST, "table=t&offset=-1", "{\"order_by_expr\":[]}");
	assert_true(p->has_subset);
	cu_shape_params_free(&p);
	p = good_how(POST, "table=t&offset=-1", "{}");
	assert_false(p->has_subset);
	cu_shape_params_free(&p);
	/* With a subset of its own, the rest of the body is about the shape. */
	p = good_how(POST, "offset=-1",
		     "{\"table\":\"t\",\"where\":\"shape\",\"params\":{\"1\":\"x\"},\"subset\":{\"where\":\"inner\"}}");
	assert_string_equal(p->where, "shape");
	assert_int_equal(p->params_len, 1);
	assert_string_equal(p->subset_where, "inner");
	assert_null(p->subset_params);
	cu_shape_params_free(&p);
	assert_refused(POST, "offset=-1", "{\"table\":5}", "\"table\":[\"is invalid\"]");
}

static void what_a_part_of_a_subset_cannot_be_is_noted(void **state)
{
	static const struct {
		const char *body;
		unsigned invalid;
	} cases[] = {
		{ "{\"where\":5}", 1u << CU_SUBSET_WHERE },
		{ "{\"where\":true}", 1u << CU_SUBSET_WHERE },
		{ "{\"where\":{\"a\":\"b\"}}", 1u << CU_SUBSET_WHERE },
		{ "{\"order_by\":[\"id\"]}", 1u << CU_SUBSET_ORDER_BY },
		{ "{\"limit\":1.5,\"offset\":true}", 1u << CU_SUBSET_LIMIT | 1u << CU_SUBSET_OFFSET },
		{ "{\"params\":[1]}", 1u << CU_SUBSET_PARAMS },
		{ "{\"params\":5,\"where\":\"x\"}", 1u << CU_SUBSET_PARAMS },
		{ "{\"params\":{},\"where\":null,\"limit\":\"5\"}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_shape_params *p = good_how(POST, "table=t&offset=-1", cases[i].body);

		assert_true(p->has_subset);
		if (p->subset_invalid != cases[i].invalid)
			print_error("%s\n", cases[i].body);
		assert_int_equal(p->subset_invalid, cases[i].invalid);
		cu_shape_params_free(&p);
	}
}

static void subset_params_may_come_one_by_one(void **state)
{
	struct cu_shape_params *p = good("table=t&offset=-1&subset__where=a&subset__params[1]=x&subset__params[2]=%22");

	(void)state;
	assert_string_equal(p->subset_params, "{\"1\":\"x\",\"2\":\"\\\"\"}");
	cu_shape_params_free(&p);
	p = good("table=t&offset=-1&subset__params[]=x");
	assert_int_equal(p->subset_invalid, 1u << CU_SUBSET_PARAMS);
	cu_shape_params_free(&p);
}

static void a_body_that_cannot_be_read_is_the_whole_complaint(void **state)
{
	static const char *const cases[][2] = {
		{ "[1]", "{\"error\":\"Request body must be a JSON object\"}" },
		{ "\"a\"", "{\"error\":\"Request body must be a JSON object\"}" },
		{ "null", "{\"error\":\"Request body must be a JSON object\"}" },
		{ "{", "{\"error\":\"Invalid JSON in request body\",\"details\":\"" },
		{ "where", "{\"error\":\"Invalid JSON in request body\",\"details\":\"" },
		{ "{\"where\":\"\\u0000\"}", "{\"error\":\"Invalid JSON in request body\",\"details\":\"" },
		{ "{\"limit\":99999999999999999999}", "{\"error\":\"Invalid JSON in request body\",\"details\":\"" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_shape_params *params;
		char *text;

		assert_int_equal(parse_how(POST, "table=5&offset=nonsense", cases[i][0], &params, &text), CU_EINVAL);
		if (strncmp(text, cases[i][1], strlen(cases[i][1])) != 0 || text[strlen(text) - 1] != '}')
			print_error("%s: %s\n", cases[i][0], text);
		assert_memory_equal(text, cases[i][1], strlen(cases[i][1]));
		free(text);
	}
}

static void delete_wants_a_table_or_a_handle(void **state)
{
	struct cu_shape_params *p;

	(void)state;
	p = good_how(DELETE, "table=items&offset=broken&live=true", NULL);
	assert_string_equal(p->table_name, "items");
	assert_int_equal(p->offset_kind, CU_OFFSET_KIND_BEFORE_ALL);
	assert_false(p->live);
	cu_shape_params_free(&p);
	p = good_how(DELETE, "handle=1-2", NULL);
	assert_null(p->table);
	assert_string_equal(p->handle, "1-2");
	cu_shape_params_free(&p);
	assert_refused(DELETE, "", NULL, "\"handle\":[\"can't be blank when shape definition is missing\"]");
	assert_refused(DELETE, "table=t&live=banana", NULL, "\"live\":[\"is invalid\"]");
	assert_refused(DELETE, "table=a.b.c", NULL,
		       "\"table\":[\"Invalid relation identifier, too many delimiters: a.b.c\"]");
}

static void too_many_columns_are_refused(void **state)
{
	cu_buf query = CU_BUF_INIT;
	struct cu_shape_params *p;
	char *text;

	(void)state;
	cu_buf_puts(&query, "table=t&offset=-1&columns=a");
	for (int i = 1; i < 1664; i++)
		cu_buf_puts(&query, ",a");
	p = good(cu_buf_str(&query));
	assert_int_equal(p->columns_len, 1664);
	cu_shape_params_free(&p);
	cu_buf_puts(&query, ",a");
	assert_int_equal(parse_how(GET, cu_buf_str(&query), NULL, &p, &text), CU_EINVAL);
	free(text);
	cu_buf_fini(&query);
}

static void a_failed_allocation_is_an_error_and_nothing_leaks(void **state)
{
	static const char query[] = "table=a.b&offset=0_0&handle=1-2&where=x&columns=a,b&params[1]=a&params[2]=b"
				    "&subset__where=x";
	unsigned n = 1;
	bool failed = true;

	(void)state;
	for (; failed; n++) {
		struct cu_shape_params *params = NULL;
		cu_api_errors errors = CU_API_ERRORS_INIT;
		int rc;

		cu_fault_alloc_at(n);
		rc = cu_shape_params_parse(query, sizeof query - 1, &params, &errors);
		failed = cu_fault_alloc_at(0) == 0;
		assert_int_equal(rc, failed ? CU_ENOMEM : 0);
		assert_int_equal(params != NULL, !failed);
		cu_shape_params_free(&params);
		cu_api_errors_fini(&errors);
	}
	assert_true(n > 5);
}

static void routes_are_resolved_before_anything_is_decided(void **state)
{
	static const struct {
		enum cu_http_method method;
		const char *path;
		enum cu_api_route route;
	} cases[] = {
		{ CU_HTTP_GET, "/", CU_ROUTE_ROOT },
		{ CU_HTTP_HEAD, "//", CU_ROUTE_ROOT },
		{ CU_HTTP_POST, "/", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_GET, "/v1/health", CU_ROUTE_HEALTH },
		{ CU_HTTP_GET, "/v1/health/", CU_ROUTE_HEALTH },
		{ CU_HTTP_POST, "/v1/health", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_GET, "/v1/shape", CU_ROUTE_SHAPE_GET },
		{ CU_HTTP_HEAD, "/v1/shape", CU_ROUTE_SHAPE_GET },
		{ CU_HTTP_GET, "//v1///shape/", CU_ROUTE_SHAPE_GET },
		{ CU_HTTP_GET, "/%761/%73hape", CU_ROUTE_SHAPE_GET },
		{ CU_HTTP_GET, "/v1%2Fshape", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_GET, "/v1/shape%2f", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_POST, "/v1/shape", CU_ROUTE_SHAPE_POST },
		{ CU_HTTP_DELETE, "/v1/shape", CU_ROUTE_SHAPE_DELETE },
		{ CU_HTTP_OPTIONS, "/v1/shape", CU_ROUTE_SHAPE_OPTIONS },
		{ CU_HTTP_OPTIONS, "/", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_OTHER, "//v1/shape", CU_ROUTE_SHAPE_OTHER },
		{ CU_HTTP_GET, "/v1/shape/x", CU_ROUTE_SHAPE_BELOW },
		{ CU_HTTP_GET, "/v1/shape/x/y/z", CU_ROUTE_SHAPE_BELOW },
		{ CU_HTTP_GET, "/v1", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_GET, "/v1/shapes", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_GET, "/V1/shape", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_GET, "/v1/../v1/shape", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_GET, "/v1/averyveryverylongsegment", CU_ROUTE_NOT_FOUND },
		{ CU_HTTP_GET, "/v1/shape/%", CU_ROUTE_BAD_PATH },
		{ CU_HTTP_GET, "/%zz", CU_ROUTE_BAD_PATH },
		{ CU_HTTP_GET, "/%ff", CU_ROUTE_BAD_PATH },
		{ CU_HTTP_OPTIONS, "*", CU_ROUTE_NOT_FOUND },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		enum cu_api_route route = cu_route_match(cases[i].method, cases[i].path, strlen(cases[i].path));

		if (route != cases[i].route)
			print_error("path %s\n", cases[i].path);
		assert_int_equal(route, cases[i].route);
	}
	assert_true(cu_route_needs_secret(CU_ROUTE_SHAPE_OTHER));
	assert_true(cu_route_needs_secret(CU_ROUTE_SHAPE_GET));
	assert_false(cu_route_needs_secret(CU_ROUTE_SHAPE_OPTIONS));
	assert_false(cu_route_needs_secret(CU_ROUTE_HEALTH));
}

static void assert_secret(const char *query, const char *wanted)
{
	size_t len = 0;
	char *secret = cu_query_secret(query, strlen(query), &len);

	assert_int_equal(secret != NULL, wanted != NULL);
	if (wanted) {
		assert_int_equal(len, strlen(wanted));
		assert_string_equal(secret, wanted);
	}
	free(secret);
}

static void the_secret_is_found_under_both_names(void **state)
{
	(void)state;
	assert_secret("table=t&secret=a%20b+c", "a b c");
	assert_secret("api_secret=old", "old");
	assert_secret("api_secret=old&secret=new", "new");
	assert_secret("secret=&api_secret=old", "");
	assert_secret("secret=1&secret=2", "2");
	assert_secret("%73ecret=x", "x");
	assert_secret("secrets=1&xsecret=2&%zz=3", NULL);
	assert_secret("", NULL);
	assert_secret("secret=%zz", NULL);
}

static void secrets_compare_by_every_byte_and_length(void **state)
{
	(void)state;
	assert_true(cu_secret_equal("abc", 3, "abc", 3));
	assert_true(cu_secret_equal("", 0, "", 0));
	assert_false(cu_secret_equal("abc", 3, "abd", 3));
	assert_false(cu_secret_equal("abc", 3, "ab", 2));
	assert_false(cu_secret_equal("ab", 2, "abc", 3));
	assert_false(cu_secret_equal("", 0, "abc", 3));
	assert_false(cu_secret_equal("abc", 3, "", 0));
	assert_false(cu_secret_equal("abab", 4, "ab", 2));
	assert_false(cu_secret_equal("a\0c", 3, "a\0b", 3));
	/* 256 bytes more: a truncated length comparison would miss it. */
	{
		char longer[259];

		for (size_t i = 0; i < sizeof longer; i++)
			longer[i] = "abc"[i % 3];
		assert_false(cu_secret_equal(longer, sizeof longer, "abc", 3));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_request_is_understood),
		cmocka_unit_test(defaults_are_electrics),
		cmocka_unit_test(errors_equal_electrics),
		cmocka_unit_test(a_stage_reports_all_its_fields_and_later_stages_do_not_run),
		cmocka_unit_test(any_value_of_live_but_false_is_true),
		cmocka_unit_test(a_handle_is_ignored_with_minus_one_and_now),
		cmocka_unit_test(offsets_are_named_in_their_canonical_form),
		cmocka_unit_test(the_last_of_repeated_parameters_counts),
		cmocka_unit_test(params_are_sorted_by_number),
		cmocka_unit_test(params_may_be_a_json_object),
		cmocka_unit_test(quoted_names_keep_dots_commas_and_case),
		cmocka_unit_test(blank_values_count_as_missing),
		cmocka_unit_test(subset_parameters_are_noticed),
		cmocka_unit_test(a_post_body_overrides_the_query),
		cmocka_unit_test(what_a_part_of_a_subset_cannot_be_is_noted),
		cmocka_unit_test(subset_params_may_come_one_by_one),
		cmocka_unit_test(a_body_that_cannot_be_read_is_the_whole_complaint),
		cmocka_unit_test(delete_wants_a_table_or_a_handle),
		cmocka_unit_test(too_many_columns_are_refused),
		cmocka_unit_test(a_failed_allocation_is_an_error_and_nothing_leaks),
		cmocka_unit_test(routes_are_resolved_before_anything_is_decided),
		cmocka_unit_test(the_secret_is_found_under_both_names),
		cmocka_unit_test(secrets_compare_by_every_byte_and_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
