/* A log line is one line whatever is in it, and a password never gets into it.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

#define SECRET "s3cr3t"

static void a_password_is_nowhere_in_the_redacted_text(void **state)
{
	static const char *const urls[] = {
		"postgresql://u:s3cr3t@h:5432/db",
		"postgres://u:s3cr3t@h",
		"postgresql://:s3cr3t@h/db",
		"postgresql://u:s3cr3t@/db?host=/run",
		"postgresql://u:a@s3cr3t@h/db",
		"postgresql://u:s3cr3t:x@h/db",
		"postgresql://u:x:s3cr3t@h/db",
		/* libpq looks for the @ beyond these two */
		"postgresql://u:x?s3cr3t@h/db",
		"postgresql://u:x#s3cr3t@h/db",
		/* what libpq refuses is shown in an error, too */
		"postgresql://u:x/s3cr3t@h/db",
		"postgresql://u:s3cr3t@h1:1,h2:2/db?a=b",
		"postgresql://u@h/db?password=s3cr3t",
		"postgresql://u@h/db?password=s3cr3t&sslmode=require",
		"postgresql://u@h/db?sslmode=require&password=s3cr3t",
		"postgresql://u@h:5432/db?password=x@s3cr3t",
		"postgresql://u@h/db?password=x s3cr3t",
		"postgresql://u:s3cr3t@h/db?password=s3cr3t&sslpassword=s3cr3t",
		"postgresql://u@h/db?sslpassword=abc&password=s3cr3t",
		"host=h password=s3cr3t dbname=d",
		"password=s3cr3t",
		"host=h password = s3cr3t dbname=d",
		"host=h password\t=\ts3cr3t",
		"host=h password='s3cr3t' dbname=d",
		"host=h password='a s3cr3t' dbname=d",
		"host=h password='it\\'s s3cr3t' dbname=d",
		"host=h password='s3cr3t",
		"host=h password = 'a s3cr3t'",
		"host=h password=a\\ s3cr3t dbname=d",
		"host=h password=a&s3cr3t dbname=d",
		"host=h password=a@s3cr3t",
		"host=h password=a://u:s3cr3t@h",
		"sslpassword=s3cr3t password=s3cr3t",
		"password=first password=s3cr3t",
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(urls); i++) {
		char *shown = cu_log_redacted_url(urls[i]);

		if (strstr(shown, SECRET))
			fail_msg("\"%s\" is shown as \"%s\"", urls[i], shown);
		assert_non_null(strstr(shown, "***"));
		free(shown);
	}
}

static void the_rest_of_a_url_stays_readable(void **state)
{
	static const char *const cases[][2] = {
		{ "postgresql://u:pw@h:5432/db?sslmode=require", "postgresql://u:***@h:5432/db?sslmode=require" },
		{ "postgresql://u@h/db?password=pw&a=b", "postgresql://u@h/db?password=***&a=b" },
		{ "host=h password='p w' dbname=d", "host=h password=*** dbname=d" },
		{ "host=h password = pw dbname=d", "host=h password = *** dbname=d" },
		{ "postgresql://u@h:5432/db", "postgresql://u@h:5432/db" },
		{ "postgresql://h:5432/db", "postgresql://h:5432/db" },
		{ "host=h dbname=d passfile=/x", "host=h dbname=d passfile=/x" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		char *shown = cu_log_redacted_url(cases[i][0]);

		assert_string_equal(shown, cases[i][1]);
		free(shown);
	}
}

/* Runs with standard error in a pipe; returns what was written. */
static char *captured(void (*say)(void))
{
	static char out[16384];
	int pipes[2], before = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	close(pipes[1]);
	say();
	dup2(before, STDERR_FILENO);
	close(before);
	n = read(pipes[0], out, sizeof out - 1);
	close(pipes[0]);
	assert_true(n >= 0);
	out[n] = '\0';
	return out;
}

static void say_much(void)
{
	cu_info("it happened", CU_KV("plain", "abc"), CU_KV("odd", "a b\n\"c\""), CU_KV("empty", ""),
		CU_KV("null", NULL), CU_KV_N("part", "abcdef", 3), CU_KV_INT("int", -5), CU_KV_U64("big", UINT64_MAX),
		CU_KV_LSN("lsn", 0x16b374d848));
}

static void say_below_the_level(void)
{
	cu_debug("never seen", CU_KV("a", "b"));
	cu_info("never seen");
}

static void text_lines_stay_one_line(void **state)
{
	const char *line;

	(void)state;
	cu_log_set_format("text");
	assert_int_equal(cu_log_set_level("info"), 0);
	line = captured(say_much);
	assert_non_null(strstr(
		line, "Z info  it happened plain=abc odd=\"a b\\n\\\"c\\\"\" empty=\"\" null=\"\" part=abc int=-5 "
		      "big=18446744073709551615 lsn=16/B374D848\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void json_lines_are_one_object(void **state)
{
	const char *line;

	(void)state;
	assert_int_equal(cu_log_set_format("json"), 0);
	line = captured(say_much);
	assert_memory_equal(line, "{\"time\":\"", 9);
	assert_non_null(strstr(
		line, "Z\",\"level\":\"info\",\"msg\":\"it happened\",\"plain\":\"abc\",\"odd\":\"a b\\n\\\"c\\\"\","
		      "\"empty\":\"\",\"null\":\"\",\"part\":\"abc\",\"int\":-5,\"big\":18446744073709551615,"
		      "\"lsn\":\"16/B374D848\"}\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	cu_log_set_format("text");
}

static char long_text[CU_LOG_VALUE_MAX + 8];

static void say_something_long(void)
{
	cu_info("long", CU_KV("cut", long_text), CU_KV_N("also", long_text, CU_LOG_VALUE_MAX + 1),
		CU_KV_N("fits", long_text, CU_LOG_VALUE_MAX), CU_KV("after", "b"));
}

static void assert_cut_to(const char *key, const char *quote, const char *text, size_t len, const char *end)
{
	const char *line = captured(say_something_long);
	cu_buf value = CU_BUF_INIT;

	cu_buf_printf(&value, "%s%s%.*s%s%s", key, quote, (int)len, text, end, quote);
	if (!strstr(line, cu_buf_str(&value)))
		fail_msg("there is no %s in %s", cu_buf_str(&value), line);
	cu_buf_fini(&value);
}

static void long_values_are_cut_between_characters(void **state)
{
	static const char *const characters[] = { "x", "é", "€", "😀" };

	(void)state;
	memset(long_text, 'a', sizeof long_text - 1);
	assert_cut_to(" cut=", "", long_text, CU_LOG_VALUE_MAX, "…");
	assert_cut_to(" also=", "", long_text, CU_LOG_VALUE_MAX, "…");
	assert_cut_to(" fits=", "", long_text, CU_LOG_VALUE_MAX, " after=b\n");
	for (size_t i = 0; i < CU_ARRAY_LEN(characters); i++) {
		size_t width = strlen(characters[i]);

		for (size_t before = 0; before <= width; before++) {
			memset(long_text, ' ', sizeof long_text - 1);
			memcpy(long_text + CU_LOG_VALUE_MAX - before, characters[i], width);
			assert_cut_to(" cut=", "\"", long_text, CU_LOG_VALUE_MAX - (before < width ? before : 0), "…");
		}
	}
	/* No character at all: cut all the same. */
	memset(long_text, 0x80, sizeof long_text - 1);
	assert_cut_to(" cut=", "", long_text, CU_LOG_VALUE_MAX - 3, "…");
	cu_log_set_format("json");
	memset(long_text, '"', sizeof long_text - 1);
	assert_non_null(strstr(captured(say_something_long), "\\\"…\",\"also\":\""));
	cu_log_set_format("text");
}

static void what_is_below_the_level_is_not_written(void **state)
{
	(void)state;
	assert_int_equal(cu_log_set_level("warning"), 0);
	assert_string_equal(captured(say_below_the_level), "");
	cu_log_set_level("info");
}

static void unknown_levels_and_formats_are_refused(void **state)
{
	(void)state;
	assert_int_equal(cu_log_set_level("loud"), CU_EINVAL);
	assert_int_equal(cu_log_set_level(""), CU_EINVAL);
	assert_int_equal(cu_log_set_format("xml"), CU_EINVAL);
	assert_int_equal(cu_log_level_max, CU_LOG_INFO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_password_is_nowhere_in_the_redacted_text),
		cmocka_unit_test(the_rest_of_a_url_stays_readable),
		cmocka_unit_test(text_lines_stay_one_line),
		cmocka_unit_test(json_lines_are_one_object),
		cmocka_unit_test(long_values_are_cut_between_characters),
		cmocka_unit_test(what_is_below_the_level_is_not_written),
		cmocka_unit_test(unknown_levels_and_formats_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
