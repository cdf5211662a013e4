/* function.c: all tables of functions as one, sorted by name when first asked. */
#include "value/internal.h"

#include <pthread.h>
#include <stdlib.h>

static const struct cu_function_table *const tables[] = {
	&cu_functions_bool,         &cu_functions_int,      &cu_functions_float, &cu_functions_numeric,
	&cu_functions_numeric_math, &cu_functions_uuid,     &cu_functions_bytea, &cu_functions_enum,
	&cu_functions_datetime,     &cu_functions_interval, &cu_functions_text,  &cu_functions_like,
	&cu_functions_json,         &cu_functions_jsonb,    &cu_functions_array,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct cu_function_entry **sorted; /* lives as long as the process */
static size_t sorted_len;

static int by_name(const void *a, const void *b)
{
	const struct cu_function_entry *const *left = a, *const *right = b;

	return strcmp((*left)->prosrc, (*right)->prosrc);
}

static void sort_all(void)
{
	size_t len = 0;

	for (size_t t = 0; t < CU_ARRAY_LEN(tables); t++)
		len += tables[t]->len;
	sorted = cu_xmalloc(len * sizeof(*sorted));
	for (size_t t = 0; t < CU_ARRAY_LEN(tables); t++)
		for (size_t i = 0; i < tables[t]->len; i++)
			sorted[sorted_len++] = &tables[t]->entries[i];
	qsort(sorted, sorted_len, sizeof(*sorted), by_name);
	for (size_t i = 1; i < sorted_len; i++)
		CU_ASSERT(by_name(&sorted[i - 1], &sorted[i]) < 0); /* one function, one table */
}

cu_function cu_function_find(const char *prosrc, int pg_version)
{
	const struct cu_function_entry key = { prosrc, NULL }, *at = &key, **found;

	pthread_once(&once, sort_all);
	found = bsearch(&at, sorted, sorted_len, sizeof(*sorted), by_name);
	if (!found)
		return NULL;
	/* Those of newer versions stand behind it, oldest first. */
	while (found + 1 < sorted + sorted_len && cu_function_serves(found[1], prosrc, pg_version))
		found++;
	return (*found)->function;
}
