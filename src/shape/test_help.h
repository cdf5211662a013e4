/* test_help.h: a small table and shapes on it. Included by tests only. */
#ifndef CU_SHAPE_TEST_HELP_H
#define CU_SHAPE_TEST_HELP_H

#include "shape/shape_set.h"

#include <stdlib.h>

#define HELP_OID 16384u

/* public.items (id int4 primary key, name text, note varchar(10)). */
__attribute__((unused)) static struct cu_table help_table(uint32_t oid)
{
	static const struct cu_column columns[] = {
		{ .name = "id",
		  .type_name = "int4",
		  .formatted_type = "integer",
		  .type_oid = 23,
		  .base_type_oid = 23,
		  .scalar_type_oid = 23,
		  .typmod = -1,
		  .attnum = 1,
		  .pk_index = 0,
		  .type_kind = 'b',
		  .not_null = true },
		{ .name = "name",
		  .type_name = "text",
		  .formatted_type = "text",
		  .type_oid = 25,
		  .base_type_oid = 25,
		  .scalar_type_oid = 25,
		  .typmod = -1,
		  .attnum = 2,
		  .pk_index = -1,
		  .type_kind = 'b' },
		{ .name = "note",
		  .type_name = "varchar",
		  .formatted_type = "character varying(10)",
		  .type_oid = 1043,
		  .base_type_oid = 1043,
		  .scalar_type_oid = 1043,
		  .typmod = 14,
		  .attnum = 3,
		  .pk_index = -1,
		  .type_kind = 'b' },
	};
	static const uint16_t pk[] = { 0 };

	return (struct cu_table){
		.oid = oid,
		.schema = "public",
		.name = "items",
		.kind = 'r',
		.replica_identity = 'f',
		.root_oid = oid,
		.columns = columns,
		.columns_len = 3,
		.pk = pk,
		.pk_len = 1,
		.pg_version = 15,
	};
}

__attribute__((unused)) static cu_definition *help_definition(uint32_t oid, bool replica_full)
{
	struct cu_table table = help_table(oid);
	struct cu_definition_request request = { .replica_full = replica_full };
	cu_buf message = CU_BUF_INIT;
	cu_definition *def = NULL;

	CU_ASSERT(cu_definition_new(&table, &request, &def, &message) == 0);
	CU_ASSERT(message.len == 0);
	return def;
}

/* The shape of a definition without a where clause. */
__attribute__((unused)) static cu_shape *help_create(cu_shape_set *set, cu_definition *def)
{
	return cu_shape_set_get_or_create(set, cu_shape_set_enter_definition(set, def), NULL);
}

/* Puts a live shape into the set as if it had been stored; returns a reference. range: "xmin:xmax", xip. */
__attribute__((unused)) static cu_shape *help_restore(cu_shape_set *set, uint64_t id, const char *handle,
						      cu_definition *def, uint64_t xmin, uint64_t xmax, const char *xip)
{
	cu_buf json = CU_BUF_INIT;
	struct cu_shape_row row = {
		.id = id,
		.handle = handle,
		.snapshot_complete = true,
		.snapshot = { .xmin = xmin, .xmax = xmax, .lsn = UINT64_MAX, .xip = xip },
	};
	int rc = cu_definition_put_json(def, &json);

	row.definition_id = def->key_hash;
	cu_definition_unref(&def);
	if (rc == 0)
		rc = cu_shape_set_restore_definition(set, row.definition_id, json.data, json.len);
	if (rc == 0)
		rc = cu_shape_set_restore(set, &row);
	CU_ASSERT(rc == 0);
	cu_buf_fini(&json);
	return cu_shape_set_by_id(set, id);
}

#define HELP_TEXT(s)                           \
	{                                      \
		CU_PG_TEXT, sizeof(s) - 1, (s) \
	}
#define HELP_NULL                   \
	{                           \
		CU_PG_NULL, 0, NULL \
	}

#endif
