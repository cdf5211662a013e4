/* numeric against Postgres. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "value/numeric.h"
#include "value/test_differ.h"

static struct pg_cluster *cluster;

static const char *const numerics[] = { "0",
					"0.00",
					"1",
					"1.0",
					"-1",
					"0.5",
					"-0.5",
					"1.5",
					"2.5",
					"-2.5",
					"10",
					"100.00",
					"9999",
					"10000",
					"10001",
					"99999999.9999",
					"0.0001",
					"0.00001",
					"-0.00000001",
					"123456789012345678901234567890.123456789",
					"NaN",
					"inf",
					"-inf",
					"3",
					"7",
					"-7",
					"32767.5",
					"-32768.5",
					"2147483647.4",
					"2147483647.5",
					"-2147483648.5",
					"9223372036854775807.49",
					"-9223372036854775808.5",
					"1e131071",
					"-1e131071",
					"1e-16383",
					"1e20",
					"1e-20",
					"0.1",
					"12.34",
					"1e40",
					"4",
					"2",
					"1e308",
					"1e309",
					"1e-330" };
static const char *const texts[] = { "",
				     " ",
				     ".",
				     "+",
				     "-",
				     "+.",
				     "5.",
				     ".5",
				     "-.5",
				     "+5",
				     " 12 ",
				     "\t1.50\n",
				     "1..2",
				     "1.2.3",
				     "1e5",
				     "1E5",
				     "1e-5",
				     "1e+5",
				     "1e",
				     "1e+",
				     "1e 5",
				     "1 e5",
				     "e5",
				     "1e5.5",
				     "1e5x",
				     "12x",
				     "0x10",
				     "1_000",
				     "00012.3400",
				     "-0",
				     "-0.00",
				     "NaN",
				     " nan ",
				     "+nan",
				     "-nan",
				     "nanx",
				     "nan x",
				     "inf",
				     "+inf",
				     "-Infinity",
				     "infinit",
				     "Infinityx",
				     "inf ",
				     "1e131071",
				     "1e131072",
				     "12e131071",
				     "0.0001e131075",
				     "1e-16383",
				     "1e-16384",
				     "0e-16384",
				     "0e200000",
				     "0e-20000",
				     "1e1000000",
				     "1e1073741823",
				     "1e1073741822",
				     "1e-1073741823",
				     "1e99999999999999999999",
				     "1e-99999999999999999999",
				     "1e1073741823x",
				     "1e2147483648",
				     "123456789.123456789e-3",
				     "1.5e2",
				     "1.50e1",
				     "1.5e-2",
				     "1.50e0",
				     "0e5",
				     "0.0e5",
				     "1e3.",
				     "--1",
				     "- 1",
				     "1-",
				     "\xc3\xa4" };
static const char *const int4s[] = { "0",    "1",     "-1",    "2",          "-2",         "5",
				     "20",   "-20",   "2000",  "16384",      "-131071",    "-131072",
				     "2001", "-2001", "20000", "2147483647", "-2147483648" };
/* As typmods: numeric(5,2), (3,-2), (2,5), (1000,0), (1,1), (38,10), and numbers that are none. */
static const char *const typmods[] = { "-1", "3", "327686", "198658", "131081", "65536004", "65541", "2490382" };
static const char *const int8s[] = { "0", "1", "-1", "20", "9223372036854775807", "-9223372036854775808", "500" };
static const char *const int2s[] = { "0", "32767", "-32768" };
static const char *const float8s[] = {
	"0",    "-0",   "1.5",  "0.1", "NaN", "inf", "-inf", "1e308", "1e-308", "5e-324", "123456789.123456789",
	"1e15", "1e16", "-1e22"
};
static const char *const float4s[] = {
	"0", "-0", "1.5", "0.1", "NaN", "inf", "-inf", "3e38", "1e-45", "16777217", "1e6"
};

static void random_numeric(struct differ *d, cu_buf *out)
{
	unsigned before = (unsigned)(differ_rand(d) % (differ_rand(d) % 8 ? 10 : 40));
	unsigned after = (unsigned)(differ_rand(d) % (differ_rand(d) % 8 ? 6 : 30));
	bool sparse = differ_rand(d) % 4 == 0;

	cu_buf_puts(out, differ_rand(d) & 1 ? "-" : "");
	for (unsigned i = 0; i <= before; i++)
		cu_buf_putc(out, (char)('0' + (sparse && i ? 9 * (differ_rand(d) & 1) : differ_rand(d) % 10)));
	for (unsigned i = 0; i < after; i++) {
		cu_buf_puts(out, i ? "" : ".");
		cu_buf_putc(out, (char)('0' + (sparse ? 9 * (differ_rand(d) & 1) : differ_rand(d) % 10)));
	}
	if (differ_rand(d) % 10 == 0)
		cu_buf_printf(out, "e%d", (int)(differ_rand(d) % 60) - 30);
}

static void random_int8(struct differ *d, cu_buf *out)
{
	cu_buf_printf(out, "%" PRId64, (int64_t)differ_rand(d) >> differ_rand(d) % 64);
}

static void random_scale(struct differ *d, cu_buf *out)
{
	cu_buf_printf(out, "%d", (int)(differ_rand(d) % 40) - 15);
}

static void random_float8(struct differ *d, cu_buf *out)
{
	cu_buf_printf(out, "%d.%de%d", (int)(differ_rand(d) % 1000), (int)(differ_rand(d) >> 34),
		      (int)(differ_rand(d) % 60) - 30);
}

#define POOL(oid, texts, random)                        \
	{                                               \
		oid, texts, CU_ARRAY_LEN(texts), random \
	}
static const struct differ_pool pools[] = {
	POOL(CU_NUMERICOID, numerics, random_numeric), POOL(CU_INT4OID, int4s, random_scale),
	POOL(CU_INT8OID, int8s, random_int8),          POOL(CU_INT2OID, int2s, NULL),
	POOL(CU_FLOAT8OID, float8s, random_float8),    POOL(CU_FLOAT4OID, float4s, random_float8),
};
static const struct differ_pool typmod_pools[] = {
	POOL(CU_NUMERICOID, numerics, random_numeric),
	POOL(CU_INT4OID, typmods, NULL),
};

static void start(struct differ *d)
{
	differ_open(d, cluster);
	d->ops[CU_REPR_BOOL] = &cu_repr_ops_bool;
	d->ops[CU_REPR_INT] = &cu_repr_ops_int;
	d->ops[CU_REPR_FLOAT4] = &cu_repr_ops_float4;
	d->ops[CU_REPR_FLOAT8] = &cu_repr_ops_float8;
	d->ops[CU_REPR_NUMERIC] = &cu_repr_ops_numeric;
	d->tables[0] = &cu_functions_numeric;
	d->tables[1] = &cu_functions_numeric_math;
}

static void literals_read_and_write_as_postgres_does(void **state)
{
	cu_buf text = CU_BUF_INIT;
	struct differ d;

	(void)state;
	start(&d);
	d.may_refuse = true; /* numbers that only some versions read */
	for (size_t i = 0; i < CU_ARRAY_LEN(texts); i++)
		differ_in(&d, cu_type_builtin(CU_NUMERICOID), texts[i]);
	for (size_t i = 0; i < CU_ARRAY_LEN(numerics); i++)
		differ_in(&d, cu_type_builtin(CU_NUMERICOID), numerics[i]);
	for (unsigned i = 0; i < 3000; i++) {
		cu_buf_clear(&text);
		random_numeric(&d, &text);
		differ_in(&d, cu_type_builtin(CU_NUMERICOID), cu_buf_str(&text));
	}
	cu_buf_fini(&text);
	assert_int_equal(differ_close(&d), 0);
	assert_int_equal(d.refused, 3);
}

static void functions_answer_as_postgres_does(void **state)
{
	struct cu_function_table table = cu_functions_numeric, one = { NULL, 1 };
	struct cu_function_entry rest[64];
	struct differ d;
	size_t len = 0;

	(void)state;
	start(&d);
	/* numeric(n, typmod) has arguments of its own. */
	for (size_t i = 0; i < table.len; i++) {
		if (strcmp(table.entries[i].prosrc, "numeric") == 0)
			one.entries = &table.entries[i];
		else
			rest[len++] = table.entries[i];
	}
	table = (struct cu_function_table){ rest, len };
	differ_functions(&d, &table, pools, CU_ARRAY_LEN(pools), NULL, 800);
	differ_functions(&d, &one, typmod_pools, CU_ARRAY_LEN(typmod_pools), NULL, 800);
	assert_int_equal(differ_close(&d), 0);
}

static const char *const bases[] = { "0",     "0.0",        "1",         "1.000", "-1",     "2",          "-2",
				     "10",    "100",        "0.1",       "0.01",  "1.5",    "-1.5",       "0.5",
				     "0.05",  "1.0000001",  "0.99999",   "1.1",   "0.9",    "1.2",        "9999",
				     "10000", "123456.789", "100000001", "1e100", "1e-100", "1.00000005", "3",
				     "NaN",   "inf",        "-inf",      "1e2000" };
static const char *const exponents[] = {
	"0",       "0.000",      "1",          "-1",           "2",    "-2",   "3",     "-3",           "2.00",
	"0.5",     "-0.5",       "0.25",       "1.5",          "12",   "13",   "23",    "-23",          "22",
	"100",     "-100",       "1000",       "0.3333333333", "2.5",  "7.1",  "NaN",   "inf",          "-inf",
	"1000000", "2147483648", "2147483649", "-2147483648",  "5999", "6000", "-6001", "0.00000000001"
};

static void random_base(struct differ *d, cu_buf *out)
{
	if (differ_rand(d) & 1)
		cu_buf_printf(out, "%u.%02u", (unsigned)(differ_rand(d) % 200), (unsigned)(differ_rand(d) % 100));
	else
		random_numeric(d, out);
}

static void random_exponent(struct differ *d, cu_buf *out)
{
	switch (differ_rand(d) % 3) {
	case 0: cu_buf_printf(out, "%d", (int)(differ_rand(d) % 80) - 20); break;
	case 1: cu_buf_printf(out, "%d.%u", (int)(differ_rand(d) % 40) - 10, (unsigned)(differ_rand(d) % 1000)); break;
	default: cu_buf_printf(out, "%u.%u", (unsigned)(differ_rand(d) % 300), (unsigned)(differ_rand(d) % 100)); break;
	}
}

static void powers_and_logarithms_end_in_the_same_digit(void **state)
{
	const struct differ_pool base = POOL(CU_NUMERICOID, bases, random_base);
	const struct differ_pool exponent = POOL(CU_NUMERICOID, exponents, random_exponent);
	const struct differ_pool *const power[] = { &base, &exponent }, *const log[] = { &base, &base };
	const struct cu_type *type = cu_type_builtin(CU_NUMERICOID), *const types[] = { type, type };
	struct cu_function_entry entry = { "numeric_power", NULL };
	struct differ d;

	(void)state;
	start(&d);
	/* Where versions of Postgres differ, and once in a million cases. */
	d.may_refuse = true;
	differ_function(&d, &entry, "numeric_power", type, types, power, 2, 1200);
	differ_flush(&d);
	assert_true(d.refused < d.asked / 5);
	d.may_refuse = false;
	entry.prosrc = "numeric_log";
	differ_function(&d, &entry, "numeric_log", type, types, log, 2, 1200);
	entry.prosrc = "numeric_ln";
	differ_function(&d, &entry, "numeric_ln", type, types, log, 1, 1000);
	entry.prosrc = "numeric_exp";
	differ_function(&d, &entry, "numeric_exp", type, types, &power[1], 1, 600);
	assert_int_equal(differ_close(&d), 0);
}

/* As on input into a column of the type, where the modifier comes before the bounds. */
static void input_applies_the_modifier_as_postgres_does(void **state)
{
	const struct cu_type *type = cu_type_builtin(CU_NUMERICOID);
	struct differ d;

	(void)state;
	start(&d);
	d.may_refuse = true; /* numbers that only some versions read */
	for (size_t i = 0; i < CU_ARRAY_LEN(texts) + CU_ARRAY_LEN(numerics); i++) {
		const char *text = i < CU_ARRAY_LEN(texts) ? texts[i] : numerics[i - CU_ARRAY_LEN(texts)];

		for (size_t m = 0; m < CU_ARRAY_LEN(typmods); m++) {
			struct cu_value_error err = { 0 };
			struct cu_datum datum = { 0 };
			cu_buf sql = CU_BUF_INIT, ours = CU_BUF_INIT;
			int rc;

			cu_arena_reset(&d.arena);
			rc = cu_repr_ops_numeric.in(type, atoi(typmods[m]), text, strlen(text), &d.arena, &datum, &err);
			differ_put_result(&d, type, rc, &datum, &err, &ours);
			cu_buf_printf(&sql, "numeric_in('%s', 0, %s)", text, typmods[m]);
			differ_expect(&d, cu_buf_str(&sql), cu_buf_str(&ours));
			cu_buf_fini(&sql);
			cu_buf_fini(&ours);
		}
	}
	assert_int_equal(differ_close(&d), 0);
}

static void order_and_keys_agree_with_postgres(void **state)
{
	struct differ d;

	(void)state;
	start(&d);
	differ_laws(&d, cu_type_builtin(CU_NUMERICOID), numerics, CU_ARRAY_LEN(numerics));
	assert_int_equal(differ_close(&d), 0);
}

static void numbers_are_made_from_integers_and_a_scale(void **state)
{
	const struct cu_numeric *numeric;
	cu_arena arena = CU_ARENA_INIT;
	cu_buf out = CU_BUF_INIT;
	struct cu_datum datum;

	(void)state;
	assert_int_equal(cu_numeric_from_int(&arena, INT64_MIN, 6, &numeric), 0);
	datum = (struct cu_datum){ .numeric = numeric };
	assert_int_equal(cu_repr_ops_numeric.out(NULL, &datum, &out), 0);
	assert_string_equal(cu_buf_str(&out), "-9223372036854.775808");
	cu_buf_fini(&out);
	cu_arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_read_and_write_as_postgres_does),
		cmocka_unit_test(functions_answer_as_postgres_does),
		cmocka_unit_test(powers_and_logarithms_end_in_the_same_digit),
		cmocka_unit_test(input_applies_the_modifier_as_postgres_does),
		cmocka_unit_test(order_and_keys_agree_with_postgres),
		cmocka_unit_test(numbers_are_made_from_integers_and_a_scale),
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
