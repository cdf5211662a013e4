#include "expr/catalog.h"

#include <stdlib.h>

#include "expr/builtin_catalog.inc"

const char *cu_catalog_string(uint32_t at)
{
	return catalog_strings + at;
}

const struct cu_catalog_type *cu_catalog_type(uint32_t oid)
{
	size_t low = 0, high = CU_ARRAY_LEN(catalog_types);

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (catalog_types[mid].oid == oid)
			return &catalog_types[mid];
		if (catalog_types[mid].oid < oid)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Linear: names are written in few clauses, and there are 200 types. */
const struct cu_catalog_type *cu_catalog_type_named(const char *name)
{
	for (size_t i = 0; i < CU_ARRAY_LEN(catalog_types); i++) {
		if (strcmp(catalog_strings + catalog_types[i].name, name) == 0)
			return &catalog_types[i];
	}
	return NULL;
}

const uint16_t *cu_catalog_args(const struct cu_catalog_proc *proc)
{
	return catalog_args + proc->args_at;
}

const struct cu_catalog_proc *cu_catalog_proc_at(uint16_t index)
{
	return &catalog_procs[index];
}

char cu_catalog_volatility(const struct cu_catalog_proc *proc, int pg_version)
{
	const char *prosrc = catalog_strings + proc->prosrc;

	if (pg_version < 15 && strcmp(prosrc, "timetz_zone") == 0)
		return 'v';
	if (pg_version >= 16 && strcmp(prosrc, "timestamptz_trunc_zone") == 0)
		return 'i';
	return proc->volatility;
}

/* Both tables begin each row with the name's offset and are sorted by the name's bytes. */
static size_t named(const void *table, size_t len, size_t size, const char *name, const void **ret_first)
{
	const char *rows = table;
	size_t low = 0, high = len, end;
	uint32_t at;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		memcpy(&at, rows + mid * size, sizeof at);
		if (strcmp(catalog_strings + at, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (end = low; end < len; end++) {
		memcpy(&at, rows + end * size, sizeof at);
		if (strcmp(catalog_strings + at, name) != 0)
			break;
	}
	*ret_first = rows + low * size;
	return end - low;
}

size_t cu_catalog_procs(const char *name, const struct cu_catalog_proc **ret_first)
{
	const void *first;
	size_t len = named(catalog_procs, CU_ARRAY_LEN(catalog_procs), sizeof catalog_procs[0], name, &first);

	*ret_first = first;
	return len;
}

size_t cu_catalog_ops(const char *name, const struct cu_catalog_op **ret_first)
{
	const void *first;
	size_t len = named(catalog_ops, CU_ARRAY_LEN(catalog_ops), sizeof catalog_ops[0], name, &first);

	*ret_first = first;
	return len;
}

const struct cu_catalog_cast *cu_catalog_cast(uint32_t source, uint32_t target)
{
	size_t low = 0, high = CU_ARRAY_LEN(catalog_casts);

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct cu_catalog_cast *cast = &catalog_casts[mid];

		if (cast->source == source && cast->target == target)
			return cast;
		if (cast->source < source || (cast->source == source && cast->target < target))
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}
