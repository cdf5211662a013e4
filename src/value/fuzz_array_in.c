/* fuzz_array_in.c: arbitrary bytes as text[] and integer[]: what is read is written as a text that reads as an equal
 * value. */
#include "value/array.h"
#include "value/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_and_write(const struct cu_type *type, const char *text, size_t len)
{
	struct cu_value_error err;
	struct cu_datum datum, again;
	cu_arena arena = CU_ARENA_INIT;
	cu_buf out = CU_BUF_INIT, key = CU_BUF_INIT, again_key = CU_BUF_INIT;
	int rc = cu_value_in(type, -1, text, len, &arena, &datum, &err);

	CU_ASSERT(rc == 0 || rc == CU_EINVAL);
	if (rc == 0) {
		CU_ASSERT(cu_value_out(type, &datum, &out) == 0);
		CU_ASSERT(cu_value_in(type, -1, out.data, out.len, &arena, &again, &err) == 0);
		CU_ASSERT(cu_value_compare(type, NULL, &datum, &again) == 0);
		CU_ASSERT(cu_value_put_key(type, NULL, &datum, &key) == 0);
		CU_ASSERT(cu_value_put_key(type, NULL, &again, &again_key) == 0);
		CU_ASSERT(key.len == again_key.len && memcmp(key.data, again_key.data, key.len) == 0);
	}
	cu_buf_fini(&out);
	cu_buf_fini(&key);
	cu_buf_fini(&again_key);
	cu_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	read_and_write(cu_type_builtin(CU_TEXTOID)->array, (const char *)data, len);
	read_and_write(cu_type_builtin(CU_INT4OID)->array, (const char *)data, len);
	return 0;
}
