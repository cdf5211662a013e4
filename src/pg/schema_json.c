/* schema_json.c: the electric-schema header. Which modifier is shown under which name is Electric's choice (its odd
 * corners too: a precision of 0 is shown as type_mod, a bit string without a length as -1), because clients parse
 * it. */
#include "pg/catalog.h"

#include "base/limits.h"

#include <stdlib.h>

#define VARHDRSZ 4
#define INTERVAL_ALL_FIELDS 0x7fff
#define INTERVAL_NO_PRECISION 0xffff

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static void put_interval(cu_buf *buf, int32_t typmod)
{
	static const struct {
		const char *unit;
		int bit;
	} fields[] = {
		{ "YEAR", 2 }, { "MONTH", 1 }, { "DAY", 3 }, { "HOUR", 10 }, { "MINUTE", 11 }, { "SECOND", 12 },
	};
	int range = (typmod >> 16) & 0x7fff;
	int precision = typmod & 0xffff;
	const char *first = NULL, *last = NULL;

	if (range != INTERVAL_ALL_FIELDS)
		for (unsigned i = 0; i < CU_ARRAY_LEN(fields); i++) {
			if (!(range & 1 << fields[i].bit))
				continue;
			first = first ? first : fields[i].unit;
			last = fields[i].unit;
		}
	if (first && first == last)
		cu_buf_printf(buf, ",\"fields\":\"%s\"", first);
	else if (first)
		cu_buf_printf(buf, ",\"fields\":\"%s TO %s\"", first, last);
	if (precision != INTERVAL_NO_PRECISION)
		cu_buf_printf(buf, ",\"precision\":%d", precision);
}

static void put_modifier(cu_buf *buf, const char *type, int32_t typmod)
{
	static const char *const variable[] = { "varchar", "text", NULL };
	static const char *const bits[] = { "bit", "varbit", NULL };
	static const char *const times[] = { "timetz", "date", "time", "timestamp", "timestamptz", NULL };

	if (typmod > 0 && is_one_of(type, variable)) {
		cu_buf_printf(buf, ",\"max_length\":%d", typmod - VARHDRSZ);
	} else if (typmod > 0 && strcmp(type, "bpchar") == 0) {
		cu_buf_printf(buf, ",\"length\":%d", typmod - VARHDRSZ);
	} else if (is_one_of(type, bits)) {
		cu_buf_printf(buf, ",\"length\":%d", typmod);
	} else if (typmod >= 0 && strcmp(type, "interval") == 0) {
		put_interval(buf, typmod);
	} else if (typmod > 0 && is_one_of(type, times)) {
		cu_buf_printf(buf, ",\"precision\":%d", typmod);
	} else if (typmod >= VARHDRSZ && strcmp(type, "numeric") == 0) {
		int scale = (typmod - VARHDRSZ) & 0x7ff; /* 11 bits with a sign since Postgres 15 */

		cu_buf_printf(buf, ",\"precision\":%d,\"scale\":%d", (typmod - VARHDRSZ) >> 16 & 0xffff,
			      (scale ^ 1024) - 1024);
	} else if (typmod >= 0) {
		cu_buf_printf(buf, ",\"type_mod\":%d", typmod);
	}
}

static void put_column(cu_buf *buf, const struct cu_column *col)
{
	const char *type = col->dims && col->elem_type_name ? col->elem_type_name : col->type_name;

	cu_buf_put_json(buf, col->name, strlen(col->name));
	cu_buf_puts(buf, ":{\"type\":");
	cu_buf_put_json(buf, type, strlen(type));
	if (col->dims)
		cu_buf_printf(buf, ",\"dims\":%d", col->dims);
	if (col->not_null)
		cu_buf_puts(buf, ",\"not_null\":true");
	if (col->pk_index >= 0)
		cu_buf_printf(buf, ",\"pk_index\":%d", col->pk_index);
	put_modifier(buf, type, col->typmod);
	cu_buf_putc(buf, '}');
}

static int by_name(const void *a, const void *b, void *arg)
{
	const struct cu_column *columns = arg;

	return strcmp(columns[*(const uint16_t *)a].name, columns[*(const uint16_t *)b].name);
}

void cu_catalog_put_schema_json(cu_buf *buf, const struct cu_table *table, const uint16_t *selected,
				unsigned selected_len)
{
	unsigned len = selected ? selected_len : table->columns_len;
	uint16_t *order = cu_xmalloc(CU_MAX(len, 1u) * sizeof *order);

	for (unsigned i = 0; i < len; i++)
		order[i] = selected ? selected[i] : (uint16_t)i;
	qsort_r(order, len, sizeof *order, by_name, (void *)(uintptr_t)table->columns);
	cu_buf_putc(buf, '{');
	for (unsigned i = 0; i < len; i++) {
		if (i)
			cu_buf_putc(buf, ',');
		put_column(buf, &table->columns[order[i]]);
	}
	cu_buf_putc(buf, '}');
	free(order);
}
