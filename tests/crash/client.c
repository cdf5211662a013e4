#include "crash/client.h"

#include "sim/sim.h"

#include <stdlib.h>
#include <string.h>

static cu_offset offset_of(const json_t *headers)
{
	const char *lsn = json_string_value(json_object_get(headers, "lsn"));

	if (!lsn)
		return CU_OFFSET_SNAPSHOT_END;
	return cu_offset_of(strtoull(lsn, NULL, 10),
			    (uint64_t)json_integer_value(json_object_get(headers, "op_position")));
}

static void apply(json_t *rows, const json_t *item, const char *operation)
{
	const char *key = json_string_value(json_object_get(item, "key"));
	json_t *value = json_object_get(item, "value"), *row;

	CU_SIM_CHECK(key && json_is_object(value));
	row = json_object_get(rows, key);
	if (strcmp(operation, "insert") == 0) {
		CU_SIM_CHECK(!row);
		json_object_set_new(rows, key, json_copy(value));
	} else if (strcmp(operation, "delete") == 0) {
		CU_SIM_CHECK(row);
		json_object_del(rows, key);
	} else {
		CU_SIM_CHECK(strcmp(operation, "update") == 0 && row);
		json_object_update(row, value);
	}
}

size_t client_apply(json_t *rows, const char *items, size_t len, const cu_offset *until)
{
	size_t at = 0;
	bool last = false;

	while (at < len && !last) {
		json_error_t error;
		json_t *item, *headers;
		const char *operation;

		at += items[at] == ',';
		item = json_loadb(items + at, len - at, JSON_DISABLE_EOF_CHECK, &error);
		CU_SIM_CHECK(item && error.position > 0);
		at += (size_t)error.position;
		headers = json_object_get(item, "headers");
		operation = json_string_value(json_object_get(headers, "operation"));
		if (operation) /* else it says where the snapshot ends */
			apply(rows, item, operation);
		last = until && cu_offset_cmp(offset_of(headers), *until) == 0;
		json_decref(item);
	}
	CU_SIM_CHECK(!until || last);
	return at;
}
