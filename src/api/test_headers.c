/* test_headers.c: header blocks, byte for byte as recorded from Electric 1.6.2; etags, cursors, ids, error bodies. */
#include "api/errors.h"
#include "api/headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define SCHEMA                                                                                    \
	"{\"id\":{\"type\":\"int4\",\"not_null\":true,\"pk_index\":0},\"n\":{\"type\":\"int4\"}," \
	"\"title\":{\"type\":\"text\",\"not_null\":true}}"
#define EXPOSE                                                                                              \
	"access-control-expose-headers: electric-cursor,electric-handle,electric-has-data,electric-offset," \
	"electric-schema,electric-up-to-date,electric-internal-known-error,retry-after\n"
#define METHODS "access-control-allow-methods: GET, POST, HEAD, DELETE, OPTIONS\n"

static const struct cu_headers_config config = { 60, 300, 20000, 60000 };

/* The recorded lines in their order, without date, content-length, transfer-encoding, connection and x-request-id. A
 * star stands for what differs by nature: the server's name, the unique part of an etag. */
static const struct {
	const char *name;
	struct cu_answer answer;
	uint64_t now_s;
	const char *lines;
} recorded[] = {
	{ "1. health",
	  { .kind = CU_ANSWER_HEALTH, .status = 200 },
	  1795359408u,
	  "vary: accept-encoding\n"
	  "cache-control: no-cache, no-store, must-revalidate\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE "access-control-allow-methods: GET, HEAD\n"
	  "content-type: application/json; charset=utf-8\n" },
	{ "2. first request (offset=-1)",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "-1",
	    .offset = "0_0",
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359408u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=604800, s-maxage=3600, stale-while-revalidate=2629746\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "etag: \"67265603-1795359408652735:-1:0_0\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-schema: " SCHEMA "\n"
	  "electric-has-data: true\n"
	  "electric-offset: 0_0\n" },
	{ "3. catch-up (handle, offset from 2)",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "0_0",
	    .offset = "0_inf",
	    .up_to_date = true,
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359408u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=60, stale-while-revalidate=300\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "etag: \"67265603-1795359408652735:0_0:0_inf\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-schema: " SCHEMA "\n"
	  "electric-up-to-date: \n"
	  "electric-has-data: true\n"
	  "electric-offset: 0_inf\n" },
	{ "4. live long poll, insert into items values (4,'four',40) made ",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .live = true,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "0_inf",
	    .offset = "26672376_0",
	    .up_to_date = true,
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359410u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=5, stale-while-revalidate=5\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "electric-cursor: 66927420\n"
	  "etag: \"67265603-1795359408652735:0_inf:26672376_0\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-up-to-date: \n"
	  "electric-has-data: true\n"
	  "electric-offset: 26672376_0\n" },
	{ "5. live, update items set n=41 where id=4",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .live = true,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "26672376_0",
	    .offset = "26672584_0",
	    .up_to_date = true,
	    .cursor_asked = "66927420",
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359452u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=5, stale-while-revalidate=5\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "electric-cursor: 66927460\n"
	  "etag: \"67265603-1795359408652735:26672376_0:26672584_0\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-up-to-date: \n"
	  "electric-has-data: true\n"
	  "electric-offset: 26672584_0\n" },
	{ "7. live, nothing happens (20 s long-poll timeout)",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .live = true,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "26673336_6",
	    .offset = "26673336_6",
	    .up_to_date = true,
	    .no_changes = true,
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=5, stale-while-revalidate=5\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "electric-cursor: 66927480\n"
	  "etag: \"67265603-1795359408652735:26673336_6:26673336_6:*\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-up-to-date: \n"
	  "electric-has-data: false\n"
	  "electric-offset: 26673336_6\n" },
	{ "9. log after 0_0 (all changes so far + up-to-date)",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "0_0",
	    .offset = "26673336_6",
	    .up_to_date = true,
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=60, stale-while-revalidate=300\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "etag: \"67265603-1795359408652735:0_0:26673336_6\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-schema: " SCHEMA "\n"
	  "electric-up-to-date: \n"
	  "electric-has-data: true\n"
	  "electric-offset: 26673336_6\n" },
	{ "10. If-None-Match with the etag of 9",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 304,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "0_0",
	    .offset = "26673336_6",
	    .up_to_date = true,
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=60, stale-while-revalidate=300\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "etag: \"67265603-1795359408652735:0_0:26673336_6\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-up-to-date: \n"
	  "electric-has-data: true\n"
	  "electric-offset: 26673336_6\n" },
	{ "11. wrong handle",
	  { .kind = CU_ANSWER_SHAPE, .status = 409, .handle = "67265603-1795359408652735" },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=60, must-revalidate\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "etag: \"67265603-1795359408652735::\"\n"
	  "electric-handle: 67265603-1795359408652735\n" },
	{ "14. bad offset",
	  { .kind = CU_ANSWER_SHAPE, .status = 400 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: no-store\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "surrogate-control: no-store\n" },
	{ "21. HEAD",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "-1",
	    .offset = "0_0",
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=604800, s-maxage=3600, stale-while-revalidate=2629746\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "etag: \"67265603-1795359408652735:-1:0_0\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-schema: " SCHEMA "\n"
	  "electric-has-data: true\n"
	  "electric-offset: 0_0\n" },
	{ "22. OPTIONS",
	  { .kind = CU_ANSWER_OPTIONS, .status = 204 },
	  1795359473u,
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "access-control-max-age: 86400\n" },
	{ "23. DELETE (not enabled by default)",
	  { .kind = CU_ANSWER_SHAPE, .status = 405, .method = CU_ANSWER_DELETE },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: no-cache\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n" },
	{ "24. offset=now",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "now",
	    .offset = "26673336_6",
	    .up_to_date = true,
	    .no_changes = true,
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=60, stale-while-revalidate=300\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "etag: \"67265603-1795359408652735:now:26673336_6:*\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-schema: " SCHEMA "\n"
	  "electric-up-to-date: \n"
	  "electric-has-data: false\n"
	  "electric-offset: 26673336_6\n" },
	{ "27. root",
	  { .kind = CU_ANSWER_PLAIN, .status = 200 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: max-age=0, private, must-revalidate\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE "access-control-allow-methods: GET, HEAD\n" },
	{ "28. unknown path",
	  { .kind = CU_ANSWER_PLAIN, .status = 404 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: max-age=0, private, must-revalidate\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE "access-control-allow-methods: GET, HEAD\n" },
	{ "29. SSE: live=true&live_sse=true, insert after 1 s, update after",
	  { .kind = CU_ANSWER_SHAPE,
	    .status = 200,
	    .live = true,
	    .live_sse = true,
	    .handle = "67265603-1795359408652735",
	    .offset_asked = "26673336_6",
	    .offset = "26673336_6",
	    .up_to_date = true,
	    .schema = SCHEMA,
	    .schema_len = sizeof SCHEMA - 1 },
	  1795359473u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=59\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: text/event-stream\n"
	  "electric-cursor: 66927480\n"
	  "etag: \"67265603-1795359408652735:26673336_6:26673336_6\"\n"
	  "electric-handle: 67265603-1795359408652735\n"
	  "electric-up-to-date: \n"
	  "electric-has-data: true\n"
	  "electric-offset: 26673336_6\n" },
	{ "30. old handle after TRUNCATE",
	  { .kind = CU_ANSWER_SHAPE, .status = 409, .handle = "67265603-1795359478803445" },
	  1795359478u,
	  "vary: accept-encoding\n"
	  "cache-control: public, max-age=60, must-revalidate\n"
	  "electric-server: *\n"
	  "access-control-allow-origin: *\n" EXPOSE METHODS "content-type: application/json; charset=utf-8\n"
	  "etag: \"67265603-1795359478803445::\"\n"
	  "electric-handle: 67265603-1795359478803445\n" },
};

/* Replaces the values that differ by nature, and ends lines as the recording does. */
static char *normalized(cu_buf *block, bool unique)
{
	cu_buf out = CU_BUF_INIT;
	char *line, *save = NULL, *text = cu_xstrdup(cu_buf_str(block));

	for (line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
		if (strncmp(line, "electric-server: Copper/", 24) == 0) {
			cu_buf_puts(&out, "electric-server: *\n");
		} else if (unique && strncmp(line, "etag: ", 6) == 0) {
			cu_buf_append(&out, line, (size_t)(strrchr(line, ':') - line));
			cu_buf_puts(&out, ":*\"\n");
		} else {
			cu_buf_puts(&out, line);
			cu_buf_putc(&out, '\n');
		}
	}
	free(text);
	return cu_buf_steal(&out, NULL);
}

static char *block_of(const struct cu_answer *answer, uint64_t now_s)
{
	cu_headers *headers;
	cu_buf block = CU_BUF_INIT;
	char *text;

	cu_headers_new(&config, &headers);
	cu_headers_put(headers, answer, now_s, &block);
	assert_false(cu_buf_failed(&block));
	text = normalized(&block, answer->no_changes);
	cu_buf_fini(&block);
	cu_headers_free(&headers);
	assert_null(headers);
	return text;
}

static void blocks_equal_the_recorded_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(recorded); i++) {
		char *text = block_of(&recorded[i].answer, recorded[i].now_s);

		if (strcmp(text, recorded[i].lines) != 0)
			print_error("answer %s\n", recorded[i].name);
		assert_string_equal(text, recorded[i].lines);
		free(text);
	}
}

static void every_line_ends_with_cr_lf(void **state)
{
	cu_headers *headers;
	cu_buf block = CU_BUF_INIT;
	const char *text;

	(void)state;
	cu_headers_new(&config, &headers);
	for (size_t i = 0; i < CU_ARRAY_LEN(recorded); i++)
		cu_headers_put(headers, &recorded[i].answer, recorded[i].now_s, &block);
	cu_headers_put_request_id(NULL, 0, &block);
	text = cu_buf_str(&block);
	assert_null(strstr(text, "\n\n"));
	assert_null(strstr(text, "\r\n\r\n"));
	for (size_t i = 0; i < block.len; i++)
		if (text[i] == '\n')
			assert_int_equal(text[i - 1], '\r');
	assert_int_equal(text[block.len - 1], '\n');
	cu_buf_fini(&block);
	cu_headers_free(&headers);
}

static void assert_has(const struct cu_answer *answer, const char *line, bool wanted)
{
	char *text = block_of(answer, 1795359408u);

	if (!!strstr(text, line) != wanted)
		print_error("%s%s\n", wanted ? "missing: " : "unexpected: ", line);
	assert_int_equal(!!strstr(text, line), wanted);
	free(text);
}

static void a_409_without_handle_is_kept_for_a_second_and_has_no_etag(void **state)
{
	const struct cu_answer answer = { .kind = CU_ANSWER_SHAPE, .status = 409 };

	(void)state;
	assert_has(&answer, "cache-control: public, max-age=1, must-revalidate\n", true);
	assert_has(&answer, "\netag:", false);
	assert_has(&answer, "electric-handle:", false);
}

static void a_503_is_never_stored_and_says_when_to_come_back(void **state)
{
	const struct cu_answer answer = {
		.kind = CU_ANSWER_SHAPE, .status = 503, .live = true, .known_error = true, .retry_after_s = 7
	};

	(void)state;
	assert_has(&answer, "cache-control: no-store\n", true);
	assert_has(&answer, "surrogate-control: no-store\n", true);
	assert_has(&answer, "electric-internal-known-error: true\nretry-after: 7\n", true);
	assert_has(&answer, "\nelectric-has-data", false);
	assert_has(&answer, "\nelectric-cursor", false);
}

static void post_and_delete_are_not_cached_whatever_the_status(void **state)
{
	struct cu_answer answer = { .kind = CU_ANSWER_SHAPE, .method = CU_ANSWER_POST, .status = 200 };

	(void)state;
	assert_has(&answer, "cache-control: no-cache\n", true);
	answer.status = 409;
	assert_has(&answer, "cache-control: no-cache\n", true);
	answer.method = CU_ANSWER_DELETE;
	answer.status = 202;
	assert_has(&answer, "cache-control: no-cache\n", true);
}

static void a_subset_is_marked_and_has_neither_etag_nor_has_data(void **state)
{
	const struct cu_answer answer = { .kind = CU_ANSWER_SUBSET,
					  .status = 200,
					  .handle = "1-2",
					  .offset = "5_0",
					  .offset_asked = "-1",
					  .schema = "{}",
					  .schema_len = 2 };

	(void)state;
	assert_has(&answer, "cache-control: no-cache\n", true);
	assert_has(&answer,
		   "electric-snapshot: true\nelectric-handle: 1-2\nelectric-schema: {}\nelectric-offset: 5_0\n", true);
	assert_has(&answer, "\netag:", false);
	assert_has(&answer, "\nelectric-has-data", false);
}

static void configured_ages_and_timeouts_are_used(void **state)
{
	const struct cu_headers_config other = { 5, 6, 1000, 500 };
	struct cu_answer answer = { .kind = CU_ANSWER_SHAPE, .status = 200, .offset_asked = "0_0" };
	cu_headers *headers;
	cu_buf block = CU_BUF_INIT;

	(void)state;
	cu_headers_new(&other, &headers);
	cu_headers_put(headers, &answer, 0, &block);
	assert_non_null(strstr(cu_buf_str(&block), "public, max-age=5, stale-while-revalidate=6\r\n"));
	cu_buf_clear(&block);
	answer.live = answer.live_sse = true;
	cu_headers_put(headers, &answer, 0, &block);
	assert_non_null(strstr(cu_buf_str(&block), "public, max-age=1\r\n"));
	cu_buf_fini(&block);
	cu_headers_free(&headers);
}

static void a_value_cannot_add_a_header(void **state)
{
	const struct cu_answer answer = { .kind = CU_ANSWER_SHAPE,
					  .status = 200,
					  .handle = "1-2\r\nset-cookie: a=b",
					  .offset_asked = "0_0\r\n\r\nx",
					  .offset = "0_0" };

	(void)state;
	assert_has(&answer, "\nset-cookie", false);
	assert_has(&answer, "etag: \"1-2set-cookie: a=b:0_0x:0_0\"\n", true);
}

static void request_ids_differ_and_a_clients_own_is_kept(void **state)
{
	cu_buf block = CU_BUF_INIT;
	char ids[1000][CU_REQUEST_ID_LEN];
	const char *own = "0123456789-0123456789";

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(ids); i++) {
		cu_request_id(ids[i]);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(ids[i], ids[j], CU_REQUEST_ID_LEN);
	}
	cu_headers_put_request_id(own, strlen(own), &block);
	assert_string_equal(cu_buf_str(&block), "x-request-id: 0123456789-0123456789\r\n");
	cu_buf_clear(&block);
	cu_headers_put_request_id("short", 5, &block);
	assert_int_equal(block.len, strlen("x-request-id: ") + CU_REQUEST_ID_LEN + 2);
	cu_buf_clear(&block);
	cu_headers_put_request_id("0123456789\r\n0123456789", 22, &block);
	assert_int_equal(block.len, strlen("x-request-id: ") + CU_REQUEST_ID_LEN + 2);
	cu_buf_fini(&block);
}

static void etags_without_news_are_never_the_same(void **state)
{
	const struct cu_answer answer = { .handle = "1-2", .offset_asked = "0_0", .offset = "0_0", .no_changes = true };
	cu_buf one = CU_BUF_INIT, two = CU_BUF_INIT;

	(void)state;
	cu_etag_put(&answer, &one);
	cu_etag_put(&answer, &two);
	assert_string_not_equal(cu_buf_str(&one), cu_buf_str(&two));
	cu_buf_fini(&one);
	cu_buf_fini(&two);
}

static void a_compressed_answer_names_its_coding_and_has_an_etag_of_its_own(void **state)
{
	struct cu_answer answer = {
		.kind = CU_ANSWER_SHAPE,
		.status = 200,
		.handle = "1-2",
		.offset_asked = "-1",
		.offset = "0_0",
		.encoding = CU_ENCODING_ZSTD,
	};

	(void)state;
	assert_has(&answer, "content-encoding: zstd\n", true);
	assert_has(&answer, "etag: \"1-2:-1:0_0:zstd\"\n", true);
	/* 304 has no body: the etag alone says which one it stands for. */
	answer.status = 304;
	assert_has(&answer, "content-encoding", false);
	assert_has(&answer, "etag: \"1-2:-1:0_0:zstd\"\n", true);
}

static void etags_match_as_the_http_standard_says(void **state)
{
	static const struct {
		const char *header;
		bool matches;
	} cases[] = {
		{ "\"a:b:c\"", true },
		{ "W/\"a:b:c\"", true },
		{ "\"x\", \"a:b:c\"", true },
		{ "\"x\",W/\"a:b:c\" ", true },
		{ " , \"a:b:c\",", true },
		{ "*", true },
		{ " * ", true },
		{ "\"a,b\", \"a:b:c\"", true },
		{ "", false },
		{ "\"a:b:d\"", false },
		{ "a:b:c", false },
		{ "\"a:b:c", false },
		{ "W/", false },
		{ "w/\"a:b:c\"", false },
		{ "*, \"a:b:c\"", false },
		{ "\"a:b:c\" x", false },
		{ "\"", false },
		{ "\"a:b:cc\"", false },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		bool matches = cu_etag_matches(cases[i].header, strlen(cases[i].header), "\"a:b:c\"", 7);

		if (matches != cases[i].matches)
			print_error("If-None-Match: %s\n", cases[i].header);
		assert_int_equal(matches, cases[i].matches);
	}
	assert_false(cu_etag_matches(NULL, 0, "\"a\"", 3));
}

static void cursors_step_with_the_long_poll_time_and_never_stand_still(void **state)
{
	const uint64_t epoch = 1728432000, now = 1795359410;

	(void)state;
	assert_int_equal(cu_cursor_next_with(now, 20, NULL, 0), 66927420);
	assert_int_equal(cu_cursor_next_with(now, 20, "66927400", 0), 66927420);
	/* The same interval again: beyond the request's, by 1..3600. */
	assert_int_equal(cu_cursor_next_with(now, 20, "66927420", 0), 66927421);
	assert_int_equal(cu_cursor_next_with(now, 20, "66927420", 3599), 66927420 + 3600);
	assert_int_equal(cu_cursor_next_with(now, 20, "66927420", 3600), 66927421);
	/* A cursor that had its random step is still ahead of the clock. */
	assert_int_equal(cu_cursor_next_with(now, 20, "66928000", 41), 66928042);
	assert_int_equal(cu_cursor_next_with(epoch, 20, NULL, 0), 0);
	assert_int_equal(cu_cursor_next_with(epoch + 1, 20, NULL, 0), 20);
	assert_int_equal(cu_cursor_next_with(epoch + 20, 20, NULL, 0), 20);
	assert_int_equal(cu_cursor_next_with(0, 20, NULL, 0), 0);
	assert_int_equal(cu_cursor_next_with(now, 0, "5", 0), 0);
	/* Not a number, or no time: does not count. */
	assert_int_equal(cu_cursor_next_with(now, 20, "abc", 0), 66927420);
	assert_int_equal(cu_cursor_next_with(now, 20, "-5", 0), 66927420);
	assert_int_equal(cu_cursor_next_with(now, 20, "18446744073709551615", 0), 66927420);
	assert_int_equal(cu_cursor_next_with(now, 20, "99999999999999999999999999", 0), 66927420);
	for (int i = 0; i < 10000; i++) {
		uint64_t next = cu_cursor_next(now, 20, "66927420");

		assert_in_range(next, 66927421, 66927420 + 3600);
	}
}

static void error_bodies_equal_the_recorded_ones(void **state)
{
	cu_api_errors errors;
	cu_buf body = CU_BUF_INIT;

	(void)state;
	cu_api_errors_init(&errors);
	assert_false(cu_api_errors_any(&errors));
	cu_api_errors_add(&errors, "offset", "has invalid format");
	cu_api_errors_body(&errors, &body);
	assert_string_equal(cu_buf_str(&body),
			    "{\"message\":\"Invalid request\",\"errors\":{\"offset\":[\"has invalid format\"]}}");
	cu_api_errors_add_fmt(&errors, "table", "%s \"%s\"", "no", "x");
	cu_api_errors_add(&errors, "offset", "again");
	cu_buf_clear(&body);
	cu_api_errors_body(&errors, &body);
	assert_string_equal(cu_buf_str(&body), "{\"message\":\"Invalid request\",\"errors\":{\"offset\":[\"has invalid "
					       "format\",\"again\"],\"table\":[\"no \\\"x\\\"\"]}}");
	assert_true(cu_api_errors_has(&errors, "table"));
	assert_false(cu_api_errors_has(&errors, "where"));
	cu_api_errors_fini(&errors);
	cu_buf_clear(&body);
	cu_api_message_body("DELETE not allowed", &body);
	assert_string_equal(cu_buf_str(&body), "{\"message\":\"DELETE not allowed\"}");
	cu_buf_clear(&body);
	cu_api_code_body("c", "m", &body);
	assert_string_equal(cu_buf_str(&body), "{\"code\":\"c\",\"message\":\"m\"}");
	cu_buf_clear(&body);
	cu_api_must_refetch_body(&body);
	assert_string_equal(cu_buf_str(&body), "[{\"headers\":{\"control\":\"must-refetch\"}}]");
	cu_buf_fini(&body);
}

static void errors_survive_a_failed_allocation(void **state)
{
	cu_api_errors errors;

	(void)state;
	for (unsigned n = 1; n <= 4; n++) {
		cu_api_errors_init(&errors);
		cu_fault_alloc_at(n);
		cu_api_errors_add(&errors, "table", "m");
		cu_fault_alloc_at(0);
		assert_int_equal(errors.len, n == 4);
		cu_api_errors_fini(&errors);
	}
}

static void a_browser_may_send_what_we_look_at(void **state)
{
	static const char *const cases[][2] = {
		{ "if-none-match", "access-control-allow-headers: if-none-match\r\n" },
		{ " TraceParent ,x, If-None-Match", "access-control-allow-headers: traceparent,if-none-match\r\n" },
		{ "content-type", "access-control-allow-headers: content-type\r\n" }, /* of a subset's JSON */
		{ "authorization", "" },
		{ "if-none-matchx,xif-none-match,,", "" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		cu_buf block = CU_BUF_INIT;

		cu_headers_put_allowed(cases[i][0], strlen(cases[i][0]), &block);
		assert_string_equal(cu_buf_str(&block), cases[i][1]);
		cu_buf_fini(&block);
	}
	{
		cu_buf block = CU_BUF_INIT;

		cu_headers_put_allowed(NULL, 0, &block); /* the header is missing */
		assert_int_equal(block.len, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_equal_the_recorded_answers),
		cmocka_unit_test(every_line_ends_with_cr_lf),
		cmocka_unit_test(a_409_without_handle_is_kept_for_a_second_and_has_no_etag),
		cmocka_unit_test(a_503_is_never_stored_and_says_when_to_come_back),
		cmocka_unit_test(post_and_delete_are_not_cached_whatever_the_status),
		cmocka_unit_test(a_subset_is_marked_and_has_neither_etag_nor_has_data),
		cmocka_unit_test(configured_ages_and_timeouts_are_used),
		cmocka_unit_test(a_value_cannot_add_a_header),
		cmocka_unit_test(request_ids_differ_and_a_clients_own_is_kept),
		cmocka_unit_test(etags_without_news_are_never_the_same),
		cmocka_unit_test(a_compressed_answer_names_its_coding_and_has_an_etag_of_its_own),
		cmocka_unit_test(etags_match_as_the_http_standard_says),
		cmocka_unit_test(cursors_step_with_the_long_poll_time_and_never_stand_still),
		cmocka_unit_test(error_bodies_equal_the_recorded_ones),
		cmocka_unit_test(errors_survive_a_failed_allocation),
		cmocka_unit_test(a_browser_may_send_what_we_look_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
