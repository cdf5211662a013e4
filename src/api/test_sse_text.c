/* The text of server-sent events. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/sse_text.h"
#include "base/limits.h"

static void each_item_becomes_an_event_wherever_the_bytes_are_cut(void **state)
{
	static const char items[] =
		"{\"key\":\"\\\"a\\\"/\\\\\",\"value\":{\"t\":\"x},{y\\\"}\",\"n\":null},\"headers\":{}},"
		"{},{\"a\":[{\"b\":{}}]}";
	static const char events[] =
		"data: {\"key\":\"\\\"a\\\"/\\\\\",\"value\":{\"t\":\"x},{y\\\"}\",\"n\":null},\"headers\":{}}\n\n"
		"data: {}\n\ndata: {\"a\":[{\"b\":{}}]}\n\n";

	(void)state;
	for (size_t first = 0; first < sizeof items; first++) {
		for (size_t second = first; second < sizeof items; second++) {
			struct cu_sse_split split = { 0 };
			cu_buf out = CU_BUF_INIT;

			cu_sse_put_items(&split, items, first, &out);
			cu_sse_put_items(&split, items + first, second - first, &out);
			cu_sse_put_items(&split, items + second, sizeof items - 1 - second, &out);
			assert_string_equal(cu_buf_str(&out), events);
			assert_int_equal(split.depth, 0);
			cu_buf_fini(&out);
		}
	}
}

/* Follows the turns of a stream without news from `now` on; returns how often it was asked. */
static unsigned turns(uint64_t now, uint64_t spoke, uint64_t end, uint64_t *ret_keep_alives, uint64_t *ret_end)
{
	unsigned asked = 0;
	uint32_t wait;

	*ret_keep_alives = 0;
	for (;;) {
		enum cu_sse_turn turn = cu_sse_turn(now, spoke, end, &wait);

		asked++;
		if (turn == CU_SSE_END)
			break;
		if (turn == CU_SSE_WAIT) {
			assert_true(wait > 0 && (wait == CU_SSE_KEEP_ALIVE_MS || (wait & (wait - 1)) == 0));
			now += wait;
			continue;
		}
		assert_in_range(now - spoke, CU_SSE_KEEP_ALIVE_MS, CU_SSE_KEEP_ALIVE_MS + 64);
		spoke = now;
		++*ret_keep_alives;
	}
	*ret_end = now;
	return asked;
}

static void a_quiet_stream_speaks_every_21_s_and_ends_after_60(void **state)
{
	uint64_t keep_alives, end;

	(void)state;
	assert_in_range(turns(1000, 1000, 61000, &keep_alives, &end), 1, 20);
	assert_int_equal(keep_alives, 2);
	assert_in_range(end, 61000, 61063);

	/* It spoke in between, and was woken for nothing. */
	assert_in_range(turns(30000, 17123, 61000, &keep_alives, &end), 1, 30);
	assert_int_equal(keep_alives, 2); /* at 38123 and 59123 */
	assert_in_range(end, 61000, 61063);

	/* A stream shorter than the silence. */
	turns(0, 0, 1500, &keep_alives, &end);
	assert_int_equal(keep_alives, 0);
	assert_in_range(end, 1500, 1563);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_item_becomes_an_event_wherever_the_bytes_are_cut),
		cmocka_unit_test(a_quiet_stream_speaks_every_21_s_and_ends_after_60),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
