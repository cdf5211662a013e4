/* fuzz_pg_identifier.c: any bytes as a client's `table`: refused with words, or two names that fit and read back as
 * themselves when they are quoted again. */
#include "pg/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cu_table_name name, again;
	cu_buf words = CU_BUF_INIT, quoted = CU_BUF_INIT;

	if (cu_table_name_parse((const char *)data, size, &name, &words) < 0) {
		CU_ASSERT(words.len > 0);
	} else {
		CU_ASSERT(name.schema[0] && name.name[0] && strlen(name.name) < sizeof name.name);
		cu_pg_put_relation(&quoted, name.schema, name.name);
		CU_ASSERT(cu_table_name_parse(quoted.data, quoted.len, &again, &words) == 0);
		CU_ASSERT(strcmp(name.schema, again.schema) == 0 && strcmp(name.name, again.name) == 0);
	}
	cu_buf_fini(&words);
	cu_buf_fini(&quoted);
	return 0;
}
