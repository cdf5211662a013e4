/* test_client.h: a client that keeps a shape's rows, by jansson. Included by tests only. */
#ifndef CU_SHAPE_TEST_CLIENT_H
#define CU_SHAPE_TEST_CLIENT_H

#include <jansson.h>
#include <string.h>

/* What a strict client does with an item: keys must be there or not, as the operation says, and old values are those that it has. */
__attribute__((unused)) static void test_client_apply(json_t *rows, const char *bytes, size_t len, bool whole)
{
	json_t *item = json_loadb(bytes, len, 0, NULL);
	const char *operation = json_string_value(json_object_get(json_object_get(item, "headers"), "operation"));
	const char *key = json_string_value(json_object_get(item, "key"));
	json_t *row = json_object_get(rows, key), *value = json_object_get(item, "value"), *old;
	const char *name;

	assert_non_null(operation);
	if (strcmp(operation, "insert") == 0) {
		assert_null(row);
		json_object_set_new(rows, key, json_copy(value));
	} else if (strcmp(operation, "delete") == 0) {
		assert_non_null(row);
		json_object_del(rows, key);
	} else {
		assert_string_equal(operation, "update");
		assert_non_null(row);
		json_object_foreach(json_object_get(item, "old_value"), name, old)
			assert_true(!whole || json_equal(old, json_object_get(row, name)));
		json_object_update(row, value);
	}
	json_decref(item);
}

#endif
