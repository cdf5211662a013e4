#include "value/value.h"

/* name_ is a spelling that SQL takes as it stands: bpchar, because a bare "character" means character(1). */
#define TYPE(oid_, array_oid_, repr_, category_, preferred_, name_, ident)                                      \
	static const struct cu_type ident;                                                                      \
	static const struct cu_type ident##_array = {                                                           \
		.oid = (array_oid_), .repr = CU_REPR_ARRAY, .category = 'A', .name = name_ "[]", .elem = &ident \
	};                                                                                                      \
	static const struct cu_type ident = { .oid = (oid_),                                                    \
					      .repr = CU_REPR_##repr_,                                          \
					      .category = (category_),                                          \
					      .preferred = (preferred_),                                        \
					      .name = (name_),                                                  \
					      .array = &ident##_array }

TYPE(CU_BOOLOID, 1000, BOOL, 'B', true, "boolean", boolean_type);
TYPE(CU_BYTEAOID, 1001, BYTEA, 'U', false, "bytea", bytea_type);
TYPE(CU_CHAROID, 1002, INT, 'Z', false, "\"char\"", qchar_type);
TYPE(CU_NAMEOID, 1003, TEXT, 'S', false, "name", name_type);
TYPE(CU_INT8OID, 1016, INT, 'N', false, "bigint", int8_type);
TYPE(CU_INT2OID, 1005, INT, 'N', false, "smallint", int2_type);
TYPE(CU_INT4OID, 1007, INT, 'N', false, "integer", int4_type);
TYPE(CU_TEXTOID, 1009, TEXT, 'S', true, "text", text_type);
TYPE(CU_OIDOID, 1028, INT, 'N', true, "oid", oid_type);
TYPE(CU_JSONOID, 199, JSON, 'U', false, "json", json_type);
TYPE(CU_FLOAT4OID, 1021, FLOAT4, 'N', false, "real", float4_type);
TYPE(CU_FLOAT8OID, 1022, FLOAT8, 'N', true, "double precision", float8_type);
TYPE(CU_BPCHAROID, 1014, TEXT, 'S', false, "bpchar", bpchar_type);
TYPE(CU_VARCHAROID, 1015, TEXT, 'S', false, "character varying", varchar_type);
TYPE(CU_DATEOID, 1182, DATE, 'D', false, "date", date_type);
TYPE(CU_TIMEOID, 1183, TIME, 'D', false, "time without time zone", time_type);
TYPE(CU_TIMESTAMPOID, 1115, TIMESTAMP, 'D', false, "timestamp without time zone", timestamp_type);
TYPE(CU_TIMESTAMPTZOID, 1185, TIMESTAMPTZ, 'D', true, "timestamp with time zone", timestamptz_type);
TYPE(CU_INTERVALOID, 1187, INTERVAL, 'T', true, "interval", interval_type);
TYPE(CU_TIMETZOID, 1270, TIMETZ, 'D', false, "time with time zone", timetz_type);
TYPE(CU_NUMERICOID, 1231, NUMERIC, 'N', false, "numeric", numeric_type);
TYPE(CU_UUIDOID, 2951, UUID, 'U', false, "uuid", uuid_type);
TYPE(CU_JSONBOID, 3807, JSONB, 'U', false, "jsonb", jsonb_type);

/* A literal before its type is known; there is no array of it. */
static const struct cu_type unknown_type = {
	.oid = CU_UNKNOWNOID, .repr = CU_REPR_TEXT, .category = 'X', .name = "unknown"
};

const struct cu_type *cu_type_builtin(uint32_t oid)
{
	switch (oid) {
	case CU_UNKNOWNOID: return &unknown_type;
	case CU_BOOLOID: return &boolean_type;
	case 1000: return &boolean_type_array;
	case CU_BYTEAOID: return &bytea_type;
	case 1001: return &bytea_type_array;
	case CU_CHAROID: return &qchar_type;
	case 1002: return &qchar_type_array;
	case CU_NAMEOID: return &name_type;
	case 1003: return &name_type_array;
	case CU_INT8OID: return &int8_type;
	case 1016: return &int8_type_array;
	case CU_INT2OID: return &int2_type;
	case 1005: return &int2_type_array;
	case CU_INT4OID: return &int4_type;
	case 1007: return &int4_type_array;
	case CU_TEXTOID: return &text_type;
	case 1009: return &text_type_array;
	case CU_OIDOID: return &oid_type;
	case 1028: return &oid_type_array;
	case CU_JSONOID: return &json_type;
	case 199: return &json_type_array;
	case CU_FLOAT4OID: return &float4_type;
	case 1021: return &float4_type_array;
	case CU_FLOAT8OID: return &float8_type;
	case 1022: return &float8_type_array;
	case CU_BPCHAROID: return &bpchar_type;
	case 1014: return &bpchar_type_array;
	case CU_VARCHAROID: return &varchar_type;
	case 1015: return &varchar_type_array;
	case CU_DATEOID: return &date_type;
	case 1182: return &date_type_array;
	case CU_TIMEOID: return &time_type;
	case 1183: return &time_type_array;
	case CU_TIMESTAMPOID: return &timestamp_type;
	case 1115: return &timestamp_type_array;
	case CU_TIMESTAMPTZOID: return &timestamptz_type;
	case 1185: return &timestamptz_type_array;
	case CU_INTERVALOID: return &interval_type;
	case 1187: return &interval_type_array;
	case CU_TIMETZOID: return &timetz_type;
	case 1270: return &timetz_type_array;
	case CU_NUMERICOID: return &numeric_type;
	case 1231: return &numeric_type_array;
	case CU_UUIDOID: return &uuid_type;
	case 2951: return &uuid_type_array;
	case CU_JSONBOID: return &jsonb_type;
	case 3807: return &jsonb_type_array;
	}
	return NULL;
}
