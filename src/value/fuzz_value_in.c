/* fuzz_value_in.c: the first byte chooses a type, the rest is a literal of it. What is read must write, read again as an
 * equal value, and write the same text. */
#include "value/internal.h"

#include <stdlib.h>

static const char *const labels[] = { "a", "b", "\xc3\xa4", "" };
static const struct cu_type fuzz_enum = {
	.oid = 100000, .repr = CU_REPR_ENUM, .category = 'E', .name = "fuzz", .labels = labels, .labels_len = 4
};

static const uint32_t oids[] = {
	CU_BOOLOID,     CU_BYTEAOID,   CU_CHAROID,    CU_NAMEOID, CU_INT8OID,      CU_INT2OID,
	CU_INT4OID,     CU_TEXTOID,    CU_OIDOID,     CU_JSONOID, CU_FLOAT4OID,    CU_FLOAT8OID,
	CU_BPCHAROID,   CU_VARCHAROID, CU_DATEOID,    CU_TIMEOID, CU_TIMESTAMPOID, CU_TIMESTAMPTZOID,
	CU_INTERVALOID, CU_TIMETZOID,  CU_NUMERICOID, CU_UUIDOID, CU_JSONBOID,
};

static const struct cu_type *choose(uint8_t at)
{
	const struct cu_type *type;

	if (at % 64 >= CU_ARRAY_LEN(oids))
		return &fuzz_enum;
	type = cu_type_builtin(oids[at % 64]);
	CU_ASSERT(type);
	return at & 64 && type->array ? type->array : type;
}

/* Typmods that any type may meet: none, small lengths, numeric(5,2). */
static int32_t choose_typmod(uint8_t at, const struct cu_type *type)
{
	static const int32_t typmods[] = { -1, 0, 3, 5, 327686 };

	int32_t typmod = at & 128 ? typmods[at % CU_ARRAY_LEN(typmods)] : -1;

	/* As a length it would pad every char(n) to a quarter of a megabyte. */
	return typmod == 327686 && type->repr != CU_REPR_NUMERIC ? 3 : typmod;
}

/* Without a collation at hand: everything but text, and json, which has no order. */
static bool is_ordered(const struct cu_type *type)
{
	const struct cu_type *of = type->elem ? type->elem : type;

	return of->repr != CU_REPR_TEXT && of->repr != CU_REPR_JSON && of->repr != CU_REPR_JSONB;
}

static void check_equal(const struct cu_type *type, const struct cu_datum *a, const struct cu_datum *b)
{
	cu_buf key_a = CU_BUF_INIT, key_b = CU_BUF_INIT;

	CU_ASSERT(cu_value_compare(type, NULL, a, b) == 0);
	CU_ASSERT(cu_value_put_key(type, NULL, a, &key_a) == 0 && cu_value_put_key(type, NULL, b, &key_b) == 0);
	CU_ASSERT(key_a.len == key_b.len);
	CU_ASSERT(key_a.len == 0 || memcmp(key_a.data, key_b.data, key_a.len) == 0);
	cu_buf_fini(&key_a);
	cu_buf_fini(&key_b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cu_value_error err = { 0 };
	struct cu_datum first, second;
	cu_arena arena = CU_ARENA_INIT;
	cu_buf once = CU_BUF_INIT, again = CU_BUF_INIT;
	const struct cu_type *type;
	int rc;

	if (len == 0)
		return 0;
	type = choose(data[0]);
	rc = cu_value_in(type, choose_typmod(data[0], type), (const char *)data + 1, len - 1, &arena, &first, &err);
	if (rc == 0) {
		CU_ASSERT(cu_value_out(type, &first, &once) == 0);
		CU_ASSERT(cu_value_in(type, -1, cu_buf_str(&once), once.len, &arena, &second, &err) == 0);
		CU_ASSERT(cu_value_out(type, &second, &again) == 0);
		CU_ASSERT(once.len == again.len);
		CU_ASSERT(once.len == 0 || memcmp(once.data, again.data, once.len) == 0);
		if (is_ordered(type))
			check_equal(type, &first, &second);
	} else {
		CU_ASSERT(rc == CU_EINVAL && strlen(err.sqlstate) == 5 && err.message[0]);
	}
	cu_buf_fini(&once);
	cu_buf_fini(&again);
	cu_arena_fini(&arena);
	return 0;
}
