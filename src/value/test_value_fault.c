/* Each allocation fails once: every type's literal is read, written and keyed. label: fault */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "value/internal.h"

#include <stdio.h>

static const struct {
	uint32_t oid;
	const char *text;
} literals[] = {
	{ CU_BOOLOID, "t" },
	{ CU_BYTEAOID, "\\xdeadbeef" },
	{ CU_CHAROID, "a" },
	{ CU_NAMEOID, "name" },
	{ CU_INT8OID, "-9223372036854775808" },
	{ CU_INT2OID, "7" },
	{ CU_INT4OID, "7" },
	{ CU_TEXTOID, "text" },
	{ CU_OIDOID, "7" },
	{ CU_JSONOID, "{\"a\": [1, \"\\u00e4\"]}" },
	{ CU_FLOAT4OID, "1.5" },
	{ CU_FLOAT8OID, "0.30000000000000004" },
	{ CU_BPCHAROID, "a  " },
	{ CU_VARCHAROID, "text" },
	{ CU_DATEOID, "2024-02-29" },
	{ CU_TIMEOID, "12:34:56.789" },
	{ CU_TIMESTAMPOID, "2024-02-29 12:34:56.789" },
	{ CU_TIMESTAMPTZOID, "2024-02-29 12:34:56.789+02" },
	{ CU_INTERVALOID, "P1Y2M3DT4H5M6.7S" },
	{ CU_TIMETZOID, "12:34:56+02" },
	{ CU_NUMERICOID, "1234567890123456789012345678901234567890123456789012345678901234567890.5" },
	{ CU_UUIDOID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" },
	{ CU_JSONBOID, "{\"b\": [1, \"\\u00e4\"], \"a\": 1.50}" },
	{ 1007, "[0:1][1:2]={{1,2},{3,NULL}}" },
	{ 1009, "{\"a b\",c}" },
	{ 1231, "{1.5,NaN}" },
};

/* 0, or CU_ENOMEM and nothing else. */
static int go_round(const struct cu_type *type, const char *text)
{
	struct cu_value_error err = { 0 };
	struct cu_datum datum;
	cu_arena arena = CU_ARENA_INIT;
	cu_buf out = CU_BUF_INIT, key = CU_BUF_INIT;
	int rc = cu_value_in(type, -1, text, strlen(text), &arena, &datum, &err);

	if (rc == 0)
		rc = cu_value_out(type, &datum, &out);
	if (rc == 0 && type->repr != CU_REPR_TEXT && type->repr != CU_REPR_JSON &&
	    !(type->elem && type->elem->repr == CU_REPR_TEXT))
		rc = cu_value_put_key(type, NULL, &datum, &key);
	if (rc == CU_EINVAL)
		fprintf(stderr, "%s %s: %s\n", type->name, text, err.message);
	cu_buf_fini(&out);
	cu_buf_fini(&key);
	cu_arena_fini(&arena);
	return rc;
}

static void no_memory_is_said_and_nothing_leaks(void **state)
{
	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(literals); i++) {
		const struct cu_type *type = cu_type_builtin(literals[i].oid);
		unsigned n = 0, left;

		assert_int_equal(go_round(type, literals[i].text), 0);
		do {
			int rc;

			cu_fault_alloc_at(++n);
			rc = go_round(type, literals[i].text);
			left = cu_fault_alloc_at(0);
			assert_int_equal(rc, left ? 0 : CU_ENOMEM);
		} while (left == 0);
		assert_true(n > 1 || type->repr == CU_REPR_TEXT || type->repr == CU_REPR_JSON);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_memory_is_said_and_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
