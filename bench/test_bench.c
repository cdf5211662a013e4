/* label: unit
 * What the figures of the load generator rest on: counting in a stream, and percentiles. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bench/samples.h"
#include "bench/scan.h"

#include <string.h>

static void a_text_is_counted_wherever_the_stream_is_cut(void **state)
{
	static const char stream[] = "a\"operation\":\"b\"\"operation\":\"\"operation\":\"\"operation\":";
	size_t len = strlen(stream);

	(void)state;
	for (size_t piece = 1; piece <= len; piece++) {
		cu_scan scan;

		cu_scan_init(&scan, "\"operation\":\"");
		for (size_t at = 0; at < len; at += piece)
			cu_scan_feed(&scan, stream + at, len - at < piece ? len - at : piece);
		assert_int_equal(scan.count, 3);
		cu_scan_fini(&scan);
	}
}

static void a_text_of_one_byte_is_counted_once_each(void **state)
{
	cu_scan scan;

	(void)state;
	cu_scan_init(&scan, "x");
	cu_scan_feed(&scan, "axbx", 4);
	cu_scan_feed(&scan, "x", 1);
	assert_int_equal(scan.count, 3);
	cu_scan_fini(&scan);
}

static void percentiles_are_the_nearest_rank_of_what_was_added(void **state)
{
	cu_samples samples = { 0 };

	(void)state;
	assert_true(cu_samples_at(&samples, 0.5) == 0);
	for (int i = 100; i > 0; i--)
		cu_samples_add(&samples, i);
	assert_true(cu_samples_at(&samples, 0) == 1);
	assert_true(cu_samples_at(&samples, 0.5) == 50);
	assert_true(cu_samples_at(&samples, 0.99) == 99);
	assert_true(cu_samples_at(&samples, 1) == 100);
	cu_samples_add(&samples, 1000);
	assert_true(cu_samples_at(&samples, 1) == 1000);
	cu_samples_fini(&samples);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_is_counted_wherever_the_stream_is_cut),
		cmocka_unit_test(a_text_of_one_byte_is_counted_once_each),
		cmocka_unit_test(percentiles_are_the_nearest_rank_of_what_was_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
