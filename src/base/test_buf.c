/* Buffers fail once and stay failed, JSON escaping is exact for every byte, and a cursor never reads past its end.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

static void appends_keep_every_byte_while_the_buffer_grows(void **state)
{
	cu_buf buf = CU_BUF_INIT;

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		cu_buf_putc(&buf, (char)(i * 7));
	assert_int_equal(buf.len, 100000);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal((uint8_t)buf.data[i], (uint8_t)(i * 7));
	cu_buf_fini(&buf);
	assert_null(buf.data);
}

static void printf_writes_exactly_what_it_formats(void **state)
{
	cu_buf buf = CU_BUF_INIT;
	char long_text[300];

	(void)state;
	memset(long_text, 'x', sizeof long_text - 1);
	long_text[sizeof long_text - 1] = '\0';
	cu_buf_printf(&buf, "%s", "");
	assert_int_equal(buf.len, 0);
	cu_buf_printf(&buf, "%d-%s", 42, long_text);
	assert_int_equal(buf.len, 3 + sizeof long_text - 1);
	assert_memory_equal(buf.data, "42-xxx", 6);
	cu_buf_fini(&buf);
}

static void u64_is_decimal_over_the_whole_range(void **state)
{
	static const uint64_t values[] = { 0, 1, 9, 10, 99, 100, 4294967295u, 4294967296u, UINT64_MAX - 1, UINT64_MAX };
	cu_buf buf = CU_BUF_INIT;
	char expected[32];

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(values); i++) {
		cu_buf_clear(&buf);
		cu_buf_put_u64(&buf, values[i]);
		snprintf(expected, sizeof expected, "%" PRIu64, values[i]);
		assert_string_equal(cu_buf_str(&buf), expected);
	}
	cu_buf_fini(&buf);
}

static void everything_at_once(cu_buf *buf)
{
	cu_buf_puts(buf, "head");
	cu_buf_put_json(buf, "a\"b", 3);
	cu_buf_printf(buf, "%0200d", 7);
	cu_buf_put_u64(buf, 12345);
	for (unsigned i = 0; i < 500; i++)
		cu_buf_putc(buf, 'z');
	cu_buf_put_le64(buf, 1);
	cu_buf_put_varint(buf, 300);
}

static void a_failed_allocation_sticks_until_clear_at_every_place(void **state)
{
	cu_buf buf = CU_BUF_INIT;
	unsigned n = 0, failures = 0;
	bool failed;

	(void)state;
	do {
		size_t len;

		cu_buf_fini(&buf);
		cu_fault_alloc_at(++n);
		everything_at_once(&buf);
		cu_fault_alloc_at(0);
		failed = cu_buf_failed(&buf);
		if (failed) {
			failures++;
			len = buf.len;
			/* The fault is over, but nothing is appended behind a hole. */
			cu_buf_puts(&buf, "more");
			cu_buf_putc(&buf, 'm');
			cu_buf_printf(&buf, "%d", 1);
			cu_buf_put_json(&buf, "x", 1);
			assert_int_equal(buf.len, len);
			assert_true(cu_buf_failed(&buf));
			assert_false(cu_buf_reserve(&buf, 0));
			assert_string_equal(cu_buf_str(&buf), "");
			cu_buf_clear(&buf);
			assert_false(cu_buf_failed(&buf));
			cu_buf_puts(&buf, "again");
			assert_string_equal(cu_buf_str(&buf), "again");
		}
	} while (failed);
	assert_true(failures >= 3);
	cu_buf_fini(&buf);
}

static void stealing_a_failed_buffer_gives_nothing(void **state)
{
	cu_buf buf = CU_BUF_INIT;
	size_t len = 77;
	char *text;

	(void)state;
	cu_fault_alloc_at(1);
	cu_buf_puts(&buf, "x");
	cu_fault_alloc_at(0);
	assert_null(cu_buf_steal(&buf, &len));
	assert_int_equal(len, 77);
	cu_buf_puts(&buf, "y");
	text = cu_buf_steal(&buf, &len);
	assert_string_equal(text, "y");
	assert_int_equal(len, 1);
	assert_null(buf.data);
	free(text);
}

static void an_absurd_size_fails_instead_of_wrapping(void **state)
{
	cu_buf buf = CU_BUF_INIT;

	(void)state;
	cu_buf_puts(&buf, "abc");
	assert_false(cu_buf_reserve(&buf, SIZE_MAX));
	assert_true(cu_buf_failed(&buf));
	cu_buf_clear(&buf);
	assert_false(cu_buf_reserve(&buf, SIZE_MAX / 2));
	cu_buf_fini(&buf);
}

/* ---- JSON ---- */

/* The rule once more, as RFC 8259 has it with the short forms, one byte at a time. */
static size_t escaped(unsigned char c, char *out)
{
	static const char shorts[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
	const char *at = c ? strchr(shorts, c) : NULL;

	if (at)
		return (size_t)sprintf(out, "\\%c", letters[at - shorts]);
	if (c < 0x20)
		return (size_t)sprintf(out, "\\u%04x", c);
	out[0] = (char)c;
	return 1;
}

/* Each byte at each place of a text longer than two words, since eight bytes are looked at together. */
static void every_byte_is_escaped_right_at_every_place(void **state)
{
	cu_buf buf = CU_BUF_INIT;

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		for (size_t len = 1; len <= 19; len++) {
			for (size_t at = 0; at < len; at++) {
				char text[19], expected[64], *end = expected;

				memset(text, 'k', sizeof text);
				text[at] = (char)c;
				*end++ = '"';
				for (size_t i = 0; i < len; i++)
					end += escaped((unsigned char)text[i], end);
				*end++ = '"';
				cu_buf_clear(&buf);
				cu_buf_put_json(&buf, text, len);
				assert_int_equal(buf.len, end - expected);
				assert_memory_equal(buf.data, expected, buf.len);
			}
		}
	}
	cu_buf_fini(&buf);
}

static void every_pair_of_bytes_is_escaped_right(void **state)
{
	cu_buf buf = CU_BUF_INIT;

	(void)state;
	for (unsigned c = 0; c < 65536; c++) {
		char text[9] = "abcdefgh", expected[64], *end = expected;

		text[3] = (char)(c >> 8);
		text[4] = (char)c;
		for (size_t i = 0; i < 9; i++)
			end += escaped((unsigned char)text[i], end);
		cu_buf_clear(&buf);
		cu_buf_put_json_body(&buf, text, 9);
		assert_int_equal(buf.len, end - expected);
		assert_memory_equal(buf.data, expected, buf.len);
	}
	cu_buf_fini(&buf);
}

/* ---- the cursor ---- */

static void integers_come_back_as_written(void **state)
{
	static const uint8_t big_endian[] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0 };
	cu_buf buf = CU_BUF_INIT;
	cu_cursor cur;

	(void)state;
	cu_buf_put_le32(&buf, 0x89abcdefu);
	cu_buf_put_le64(&buf, 0x0123456789abcdefull);
	assert_memory_equal(buf.data, "\xef\xcd\xab\x89\xef\xcd\xab\x89\x67\x45\x23\x01", 12);
	cur = cu_cursor_over(buf.data, buf.len);
	assert_true(cu_cursor_le32(&cur) == 0x89abcdefu);
	assert_true(cu_cursor_le64(&cur) == 0x0123456789abcdefull);
	assert_false(cur.failed);
	assert_int_equal(cu_cursor_left(&cur), 0);
	cur = cu_cursor_over(big_endian, 8);
	assert_true(cu_cursor_be64(&cur) == 0x123456789abcdef0ull);
	cur = cu_cursor_over(big_endian, 7);
	assert_int_equal(cu_cursor_u8(&cur), 0x12);
	assert_int_equal(cu_cursor_be16(&cur), 0x3456);
	assert_true(cu_cursor_be32(&cur) == 0x789abcdeu);
	assert_false(cur.failed);
	cu_buf_fini(&buf);
}

static bool read_one(cu_cursor *cur, unsigned how)
{
	switch (how) {
	case 0: return cu_cursor_u8(cur) == 0;
	case 1: return cu_cursor_be16(cur) == 0;
	case 2: return cu_cursor_be32(cur) == 0;
	case 3: return cu_cursor_be64(cur) == 0;
	case 4: return cu_cursor_le32(cur) == 0;
	case 5: return cu_cursor_le64(cur) == 0;
	case 6: return cu_cursor_varint(cur) == 0;
	case 7: return cu_cursor_cstr(cur) == NULL;
	default: return cu_cursor_bytes(cur, 9) == NULL;
	}
}

/* The bytes lie at the end of an allocation of their own, so that ASan sees one read too many. */
static void a_read_past_the_end_fails_gives_nothing_and_stays_failed(void **state)
{
	static const size_t needs[] = { 1, 2, 4, 8, 4, 8, 10, 9, 9 };

	(void)state;
	for (unsigned how = 0; how < CU_ARRAY_LEN(needs); how++) {
		for (size_t len = 0; len < needs[how]; len++) {
			uint8_t *bytes = cu_xmalloc(len);
			cu_cursor cur;

			memset(bytes, 0xff, len);
			cur = cu_cursor_over(bytes, len);
			assert_true(read_one(&cur, how));
			assert_true(cur.failed);
			assert_true(cur.at <= cur.end);
			for (unsigned then = 0; then < CU_ARRAY_LEN(needs); then++)
				assert_true(read_one(&cur, then));
			free(bytes);
		}
	}
}

static void a_length_that_would_wrap_is_past_the_end(void **state)
{
	cu_cursor cur = cu_cursor_over("abc", 3);

	(void)state;
	assert_null(cu_cursor_bytes(&cur, SIZE_MAX));
	assert_true(cur.failed);
}

static void a_text_ends_at_its_nul_and_never_behind_the_end(void **state)
{
	cu_cursor cur = cu_cursor_over("ab\0\0cd", 6);

	(void)state;
	assert_string_equal(cu_cursor_cstr(&cur), "ab");
	assert_string_equal(cu_cursor_cstr(&cur), "");
	assert_null(cu_cursor_cstr(&cur));
	assert_true(cur.failed);
}

static void varints_round_trip_at_every_width(void **state)
{
	cu_buf buf = CU_BUF_INIT;

	(void)state;
	for (unsigned bits = 0; bits <= 64; bits++) {
		for (int delta = -1; delta <= 1; delta++) {
			uint64_t value = (bits == 64 ? 0 : UINT64_C(1) << bits) + (uint64_t)(int64_t)delta;
			cu_cursor cur;

			cu_buf_clear(&buf);
			cu_buf_put_varint(&buf, value);
			assert_in_range(buf.len, 1, 10);
			cur = cu_cursor_over(buf.data, buf.len);
			assert_true(cu_cursor_varint(&cur) == value);
			assert_false(cur.failed);
			assert_int_equal(cu_cursor_left(&cur), 0);
			for (size_t len = 0; len < buf.len; len++) {
				cur = cu_cursor_over(buf.data, len);
				assert_true(cu_cursor_varint(&cur) == 0);
				assert_true(cur.failed);
			}
		}
	}
	cu_buf_fini(&buf);
}

static void a_varint_of_more_than_64_bits_is_refused(void **state)
{
	static const uint8_t over[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02 };
	static const uint8_t endless[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00 };
	cu_cursor cur = cu_cursor_over(over, sizeof over);

	(void)state;
	assert_true(cu_cursor_varint(&cur) == 0);
	assert_true(cur.failed);
	cur = cu_cursor_over(endless, sizeof endless);
	assert_true(cu_cursor_varint(&cur) == 0);
	assert_true(cur.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_keep_every_byte_while_the_buffer_grows),
		cmocka_unit_test(printf_writes_exactly_what_it_formats),
		cmocka_unit_test(u64_is_decimal_over_the_whole_range),
		cmocka_unit_test(a_failed_allocation_sticks_until_clear_at_every_place),
		cmocka_unit_test(stealing_a_failed_buffer_gives_nothing),
		cmocka_unit_test(an_absurd_size_fails_instead_of_wrapping),
		cmocka_unit_test(every_byte_is_escaped_right_at_every_place),
		cmocka_unit_test(every_pair_of_bytes_is_escaped_right),
		cmocka_unit_test(integers_come_back_as_written),
		cmocka_unit_test(a_read_past_the_end_fails_gives_nothing_and_stays_failed),
		cmocka_unit_test(a_length_that_would_wrap_is_past_the_end),
		cmocka_unit_test(a_text_ends_at_its_nul_and_never_behind_the_end),
		cmocka_unit_test(varints_round_trip_at_every_width),
		cmocka_unit_test(a_varint_of_more_than_64_bits_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
