/* label: unit
 * The request parser, fed from memory. */
#include "http/testkit.h"

#include "http/parse.h"

static const struct cu_http_parse_limits limits = { 100, 200, 50 };

/* Feeds `text` in pieces of `step` bytes until it is decided. */
static enum cu_http_parse_result feed(struct cu_http_parse *parse, const char *text, size_t step, size_t *ret_used)
{
	size_t len = strlen(text), at = 0;
	enum cu_http_parse_result result = CU_HTTP_PARSE_MORE;

	while (at < len && result == CU_HTTP_PARSE_MORE) {
		size_t used;

		result = cu_http_parse_feed(parse, text + at, CU_MIN(step, len - at), &used);
		at += used;
	}
	*ret_used = at;
	return result;
}

static void assert_slice(struct cu_http_slice slice, const char *text)
{
	assert_non_null(slice.data);
	assert_int_equal(slice.len, strlen(text));
	assert_memory_equal(slice.data, text, slice.len);
}

static void any_split_of_the_bytes_gives_the_same_request(void **state)
{
	const char *text =
		"POST /a/b?x=1&y=%20 HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Val:  two words \r\n"
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: t\r\n\r\nGET /next";
	struct cu_http_parse parse;
	size_t used;

	(void)state;
	cu_http_parse_init(&parse, &limits);
	for (size_t step = 1; step <= strlen(text); step++) {
		assert_int_equal(feed(&parse, text, step, &used), CU_HTTP_PARSE_DONE);
		assert_string_equal(text + used, "GET /next");
		assert_int_equal(parse.method, CU_HTTP_POST);
		assert_slice(cu_http_parse_path(&parse), "/a/b");
		assert_slice(cu_http_parse_query(&parse), "x=1&y=%20");
		assert_slice(cu_http_parse_header(&parse, "x-empty"), "");
		assert_slice(cu_http_parse_header(&parse, "X-VAL"), "two words");
		assert_slice(cu_http_parse_body(&parse), "abcde");
		assert_null(cu_http_parse_header(&parse, "trailer").data);
		assert_null(cu_http_parse_header(&parse, "x-va").data);
		assert_true(parse.keep_alive);
		cu_http_parse_reset(&parse);
	}
	cu_http_parse_fini(&parse);
}

static void targets_are_split(void **state)
{
	static const struct {
		const char *target, *path, *query;
	} rows[] = {
		{ "/", "/", NULL },
		{ "/p?", "/p", "" },
		{ "/p?a?b", "/p", "a?b" },
		{ "/p?q#f?g", "/p", "q" },
		{ "http://host", "/", NULL },
		{ "http://host/p?q", "/p", "q" },
		{ "http://host?q", "/", "q" },
		{ "/p?u=http://x/y", "/p", "u=http://x/y" },
		{ "*", "*", NULL },
	};
	struct cu_http_parse parse;

	(void)state;
	cu_http_parse_init(&parse, &limits);
	for (size_t i = 0; i < CU_ARRAY_LEN(rows); i++) {
		cu_buf text = CU_BUF_INIT;
		size_t used;

		cu_buf_printf(&text, "OPTIONS %s HTTP/1.1\r\nhost: h\r\n\r\n", rows[i].target);
		assert_int_equal(feed(&parse, cu_buf_str(&text), 1000, &used), CU_HTTP_PARSE_DONE);
		assert_slice(cu_http_parse_path(&parse), rows[i].path);
		if (rows[i].query)
			assert_slice(cu_http_parse_query(&parse), rows[i].query);
		else
			assert_null(cu_http_parse_query(&parse).data);
		cu_http_parse_reset(&parse);
		cu_buf_fini(&text);
	}
	cu_http_parse_fini(&parse);
}

static void upgrades_are_ordinary_requests(void **state)
{
	const char *text = "GET / HTTP/1.1\r\nhost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET";
	struct cu_http_parse parse;
	size_t used;

	(void)state;
	cu_http_parse_init(&parse, &limits);
	assert_int_equal(feed(&parse, text, 1000, &used), CU_HTTP_PARSE_DONE);
	assert_string_equal(text + used, "GET");
	cu_http_parse_fini(&parse);
}

#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
#define HOST "host: h\r\n"

static void bad_requests_are_refused_with_their_status(void **state)
{
	static const struct {
		int status; /* 0: accepted */
		const char *text;
	} rows[] = {
		{ 0, "GET /" FIFTY TEN TEN TEN TEN "123456789 HTTP/1.1\r\n" HOST "\r\n" },
		{ 414, "GET /" FIFTY FIFTY " HTTP/1.1\r\n" HOST "\r\n" },
		{ 0, "GET / HTTP/1.1\r\n" HOST "a: " FIFTY FIFTY FIFTY "\r\n\r\n" },
		{ 431, "GET / HTTP/1.1\r\n" HOST "a: " FIFTY FIFTY FIFTY FIFTY "\r\n\r\n" },
		{ 431, "GET / HTTP/1.1\r\n" HOST FIFTY FIFTY FIFTY FIFTY ": 1\r\n\r\n" },
		{ 431,
		  "GET / HTTP/1.1\r\n" HOST "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n"
		  "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n"
		  "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n" },
		{ 0, "POST / HTTP/1.1\r\n" HOST "Content-Length: 50\r\n\r\n" FIFTY },
		{ 413, "POST / HTTP/1.1\r\n" HOST "Content-Length: 51\r\n\r\n" },
		{ 413, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n32\r\n" FIFTY "\r\n1\r\nx" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\nabc" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
		{ 400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" },
		{ 400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n" },
		{ 400, "GET / HTTP/1.1\r\n" HOST " folded: x\r\nbad name: 1\r\n\r\n" },
		{ 0, "GET / HTTP/1.0\r\n\r\n" },
		{ 505, "GET / HTTP/2.0\r\n" HOST "\r\n" },
		{ 505, "GET /\r\n\r\n" },
		{ 400, "NONSENSE / HTTP/1.1\r\n\r\n" },
		{ 400, "GET / HTTQ/1.1\r\n\r\n" },
		{ 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" },
		{ 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" },
	};
	struct cu_http_parse parse;

	(void)state;
	cu_http_parse_init(&parse, &limits);
	for (size_t step = 1; step <= 400; step += 399) {
		for (size_t i = 0; i < CU_ARRAY_LEN(rows); i++) {
			size_t used;
			enum cu_http_parse_result result = feed(&parse, rows[i].text, step, &used);

			if ((result == CU_HTTP_PARSE_BAD ? parse.status : 0) != rows[i].status)
				fail_msg("row %zu (step %zu): result %d, status %d", i, step, (int)result,
					 parse.status);
			cu_http_parse_reset(&parse);
		}
	}
	cu_http_parse_fini(&parse);
}

static void blanks_and_empty_lines_cannot_grow_without_bound(void **state)
{
	struct cu_http_parse parse;
	size_t used, fed = 0;
	enum cu_http_parse_result result;
	char blanks[1000];

	(void)state;
	memset(blanks, ' ', sizeof blanks);
	cu_http_parse_init(&parse, &limits);
	assert_int_equal(feed(&parse, "GET / HTTP/1.1\r\na:", 1000, &used), CU_HTTP_PARSE_MORE);
	do {
		result = cu_http_parse_feed(&parse, blanks, sizeof blanks, &used);
		fed += sizeof blanks;
	} while (result == CU_HTTP_PARSE_MORE && fed < 10 * 1024 * 1024);
	assert_int_equal(result, CU_HTTP_PARSE_BAD);
	assert_int_equal(parse.status, 431);
	cu_http_parse_fini(&parse);
}

static void memory_that_runs_out_is_an_error_for_the_client(void **state)
{
	const char *text = "POST /abc HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nabcde";
	bool passed = false;

	(void)state;
	for (unsigned n = 1; !passed; n++) {
		struct cu_http_parse parse;
		size_t used;

		cu_http_parse_init(&parse, &limits);
		cu_fault_alloc_at(n);
		if (feed(&parse, text, 7, &used) == CU_HTTP_PARSE_DONE)
			passed = true;
		else
			assert_int_equal(parse.status, 503);
		passed = cu_fault_alloc_at(0) != 0 && passed;
		cu_http_parse_fini(&parse);
		assert_true(n < 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_split_of_the_bytes_gives_the_same_request),
		cmocka_unit_test(targets_are_split),
		cmocka_unit_test(upgrades_are_ordinary_requests),
		cmocka_unit_test(bad_requests_are_refused_with_their_status),
		cmocka_unit_test(blanks_and_empty_lines_cannot_grow_without_bound),
		cmocka_unit_test(memory_that_runs_out_is_an_error_for_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
