/* fuzz_copy_row.c: any line parses or is refused; what was parsed, escaped again, is the line. */
#include "base/buf.h"
#include "pg/copy_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void value_escape(cu_buf *out, const struct cu_pg_value *value)
{
	static const char from[] = "\b\f\n\r\t\v\\", to[] = "bfnrtv\\";

	if (value->kind == CU_PG_NULL) {
		cu_buf_puts(out, "\\N");
		return;
	}
	for (uint32_t i = 0; i < value->len; i++) {
		const char *at = value->data[i] ? strchr(from, value->data[i]) : NULL;

		if (at) {
			cu_buf_putc(out, '\\');
			cu_buf_putc(out, to[at - from]);
		} else {
			cu_buf_putc(out, value->data[i]);
		}
	}
}

/* COPY would have escaped these; the parser lets them pass as they are. */
static bool has_raw_control(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (line[i] && strchr("\b\f\r\v", line[i]))
			return true;
	}
	return false;
}

/* As many columns as the tabs of the input make, so that most inputs get past the count. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *line = (const char *)data;
	struct cu_copy_row row;
	cu_buf again = CU_BUF_INIT;
	unsigned n = 1;
	int rc;

	for (size_t i = 0; i < len; i++)
		n += line[i] == '\t';
	cu_copy_row_init(&row, n > 64 ? 64 : n);
	rc = cu_copy_row_parse(&row, line, len);
	if (rc == 0) {
		for (unsigned i = 0; i < row.columns_n; i++) {
			if (i)
				cu_buf_putc(&again, '\t');
			value_escape(&again, &row.values[i]);
		}
		if (len && line[len - 1] == '\n')
			len--;
		if (!has_raw_control(line, len))
			CU_ASSERT(again.len == len && (len == 0 || memcmp(again.data, line, len) == 0));
	} else {
		CU_ASSERT(rc == CU_ECORRUPT && row.reason);
	}
	cu_buf_fini(&again);
	cu_copy_row_fini(&row);
	return 0;
}
