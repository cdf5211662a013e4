/* fuzz_json_in.c: arbitrary bytes as json and jsonb: what is read is written as a text that reads as an equal value. */
#include "value/internal.h"
#include "value/jsonb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct cu_type *type = cu_type_builtin(CU_JSONBOID);
	const char *text = (const char *)data;
	struct cu_value_error err;
	cu_arena arena = CU_ARENA_INIT;
	struct cu_jsonb jsonb, again;
	cu_buf out = CU_BUF_INIT, key = CU_BUF_INIT, again_key = CU_BUF_INIT;
	int rc = cu_jsonb_parse(text, len, &arena, &jsonb, &err);

	CU_ASSERT(rc == 0 || rc == CU_EINVAL);
	if (rc == 0) {
		/* What jsonb takes, json takes. */
		CU_ASSERT(cu_json_check(text, len, &err) == 0);
		CU_ASSERT(cu_jsonb_put(&jsonb, &out) == 0);
		CU_ASSERT(cu_jsonb_parse(out.data, out.len, &arena, &again, &err) == 0);
		CU_ASSERT(cu_jsonb_equal(&jsonb, &again));
		CU_ASSERT(cu_jsonb_compare(&jsonb, &again, NULL) == 0);
		CU_ASSERT(cu_jsonb_contains(&jsonb, &again));
		CU_ASSERT(cu_value_put_key(type, NULL, &(struct cu_datum){ .jsonb = &jsonb }, &key) == 0);
		CU_ASSERT(cu_value_put_key(type, NULL, &(struct cu_datum){ .jsonb = &again }, &again_key) == 0);
		CU_ASSERT(key.len == again_key.len && memcmp(key.data, again_key.data, key.len) == 0);
	} else {
		cu_json_check(text, len, &err);
	}
	cu_buf_fini(&out);
	cu_buf_fini(&key);
	cu_buf_fini(&again_key);
	cu_arena_fini(&arena);
	return 0;
}
