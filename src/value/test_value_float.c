/* real and double precision against Postgres. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "value/float.h"
#include "value/test_differ.h"

#include <math.h>

static struct pg_cluster *cluster;

static const char *const float8s[] = { "0",
				       "-0",
				       "1",
				       "-1",
				       "0.5",
				       "1.5",
				       "2.5",
				       "-2.5",
				       "NaN",
				       "inf",
				       "-inf",
				       "1e308",
				       "-1e308",
				       "5e-324",
				       "1e-300",
				       "0.1",
				       "1e23",
				       "1e15",
				       "123456.789",
				       "2147483647.5",
				       "-2147483648.5",
				       "9223372036854775807",
				       "32767.5",
				       "-32768.5",
				       "3",
				       "1e-5" };
static const char *const float4s[] = { "0",   "-0",       "1",    "-1.5",         "2.5",
				       "NaN", "inf",      "-inf", "3.4028235e38", "1e-45",
				       "0.1", "16777217", "1e6",  "-32768.5",     "1.17549435e-38" };
static const char *const float_texts[] = { "",
					   " ",
					   "x",
					   "+",
					   "-",
					   ".",
					   "e5",
					   "1e",
					   "1e+",
					   ".5",
					   "5.",
					   "-.5e-3",
					   " 12 ",
					   "\t1e5\n",
					   "12x",
					   "1 2",
					   "1e400",
					   "-1e400",
					   "1e-400",
					   "1e39",
					   "1e-46",
					   "1e-320",
					   "1e-45",
					   "NaN",
					   " nan ",
					   "-nan",
					   "+nan",
					   "nan(1)",
					   "nanx",
					   "inf",
					   "+inf",
					   "-inf",
					   "Infinity",
					   "-INFINITY",
					   "+Infinity",
					   "infinit",
					   "infx",
					   "0x10",
					   "0x1p-3",
					   "1_000",
					   "1e5 x",
					   "1e400x",
					   " 1e400 ",
					   "2.2250738585072011e-308",
					   "4.9e-324",
					   "2.4e-324",
					   "1.7976931348623157e308",
					   "1.7976931348623159e308",
					   "3.4028235e38",
					   "3.4028236e38",
					   "0.00001",
					   "0.0001",
					   "123456",
					   "1234567",
					   "100000",
					   "1000000",
					   "1e14",
					   "1e15",
					   "1e16",
					   "999999999999999",
					   "9999999999999998",
					   "123456789012345",
					   "1234567890123456",
					   "0.000123456789012345678",
					   "9007199254740992",
					   "9007199254740993",
					   "18014398509481984",
					   "1e22",
					   "1e23",
					   "9.5e22",
					   "5.684341886080802e-14",
					   "00001.5000",
					   "1d5",
					   "1,5" };
static const char *const ints[] = { "0", "1", "-1", "16777217", "2147483647", "-2147483648" };
static const char *const int2s[] = { "0", "1", "-32768", "32767" };
static const char *const int8s[] = {
	"0", "1", "9007199254740993", "9223372036854775807", "-9223372036854775808", "16777217", "36028797018963969"
};

static void random_float8(struct differ *d, cu_buf *out)
{
	union {
		uint64_t bits;
		double value;
	} any = { .bits = differ_rand(d) };

	switch (differ_rand(d) % 4) {
	case 0: break;
	case 1: any.value = (double)((int64_t)differ_rand(d) >> differ_rand(d) % 64); break;
	case 2: any.value = (double)(int32_t)differ_rand(d) / 1000; break;
	default: any.value = ldexp(1, (int)(differ_rand(d) % 2098) - 1074); break;
	}
	cu_buf_printf(out, "%.17g", any.value);
}

static void random_float4(struct differ *d, cu_buf *out)
{
	union {
		uint32_t bits;
		float value;
	} any = { .bits = (uint32_t)differ_rand(d) };

	switch (differ_rand(d) % 4) {
	case 0: break;
	case 1: any.value = (float)((int32_t)differ_rand(d) >> differ_rand(d) % 32); break;
	case 2: any.value = (float)(int16_t)differ_rand(d) / 100; break;
	default: any.value = ldexpf(1, (int)(differ_rand(d) % 277) - 149); break;
	}
	cu_buf_printf(out, "%.9g", (double)any.value);
}

static void random_int8(struct differ *d, cu_buf *out)
{
	cu_buf_printf(out, "%" PRId64, (int64_t)differ_rand(d) >> differ_rand(d) % 64);
}

#define POOL(oid, texts, random)                        \
	{                                               \
		oid, texts, CU_ARRAY_LEN(texts), random \
	}
static const struct differ_pool pools[] = {
	POOL(CU_FLOAT8OID, float8s, random_float8),
	POOL(CU_FLOAT4OID, float4s, random_float4),
	POOL(CU_INT2OID, int2s, NULL),
	POOL(CU_INT4OID, ints, NULL),
	POOL(CU_INT8OID, int8s, random_int8),
};

static void start(struct differ *d)
{
	differ_open(d, cluster);
	d->ops[CU_REPR_BOOL] = &cu_repr_ops_bool;
	d->ops[CU_REPR_INT] = &cu_repr_ops_int;
	d->ops[CU_REPR_FLOAT4] = &cu_repr_ops_float4;
	d->ops[CU_REPR_FLOAT8] = &cu_repr_ops_float8;
	d->tables[0] = &cu_functions_float;
}

static void literals_read_and_write_as_postgres_does(void **state)
{
	static const uint32_t oids[] = { CU_FLOAT4OID, CU_FLOAT8OID };
	struct differ d;

	(void)state;
	start(&d);
	for (size_t t = 0; t < CU_ARRAY_LEN(oids); t++)
		for (size_t i = 0; i < CU_ARRAY_LEN(float_texts); i++)
			differ_in(&d, cu_type_builtin(oids[t]), float_texts[i]);
	assert_int_equal(differ_close(&d), 0);
}

static void random_floats_print_as_shortly_as_in_postgres(void **state)
{
	cu_buf text = CU_BUF_INIT;
	struct differ d;

	(void)state;
	start(&d);
	for (unsigned i = 0; i < 12000; i++) {
		cu_buf_clear(&text);
		if (i & 1)
			random_float8(&d, &text);
		else
			random_float4(&d, &text);
		differ_in(&d, cu_type_builtin(i & 1 ? CU_FLOAT8OID : CU_FLOAT4OID), cu_buf_str(&text));
	}
	/* Every power of two: the neighbours stand at different distances. */
	for (int exponent = -1074; exponent < 1024; exponent++) {
		cu_buf_clear(&text);
		cu_buf_printf(&text, "%.17g", ldexp(1, exponent));
		differ_in(&d, cu_type_builtin(CU_FLOAT8OID), cu_buf_str(&text));
	}
	for (int exponent = -149; exponent < 128; exponent++) {
		cu_buf_clear(&text);
		cu_buf_printf(&text, "%.9g", ldexp(1, exponent));
		differ_in(&d, cu_type_builtin(CU_FLOAT4OID), cu_buf_str(&text));
	}
	cu_buf_fini(&text);
	assert_int_equal(differ_close(&d), 0);
}

static void functions_answer_as_postgres_does(void **state)
{
	struct differ d;

	(void)state;
	start(&d);
	differ_functions(&d, &cu_functions_float, pools, CU_ARRAY_LEN(pools), NULL, 700);
	assert_int_equal(differ_close(&d), 0);
}

static void order_and_keys_agree_with_postgres(void **state)
{
	struct differ d;

	(void)state;
	start(&d);
	differ_laws(&d, cu_type_builtin(CU_FLOAT8OID), float8s, CU_ARRAY_LEN(float8s));
	differ_laws(&d, cu_type_builtin(CU_FLOAT4OID), float4s, CU_ARRAY_LEN(float4s));
	assert_int_equal(differ_close(&d), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_read_and_write_as_postgres_does),
		cmocka_unit_test(random_floats_print_as_shortly_as_in_postgres),
		cmocka_unit_test(functions_answer_as_postgres_does),
		cmocka_unit_test(order_and_keys_agree_with_postgres),
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
