/* value.h: Postgres' values outside Postgres: their types, their text forms, their functions.
 *
 * The standard is Postgres itself: a function here is named after the C function that pg_proc.prosrc names
 * (int4pl, textlike, numeric_add …), and answers what that one answers: value, NULL or error, to the last digit.
 * What cannot be answered exactly is not here, and whoever looks it up is told so.
 *
 * Memory: a datum of a type that does not fit into it points into an arena, its text or its array's elements
 * included; it lives as long as that arena. Input text may be borrowed as it is (text, json): the caller keeps it.
 * Threads: all of this is immutable or the caller's; any thread.
 * Errors: CU_ENOMEM, and CU_EINVAL with a struct cu_value_error that says what Postgres would say.
 * Depth: no call recurses on input deeper than CU_VALUE_DEPTH_MAX.
 */
#ifndef CU_VALUE_H
#define CU_VALUE_H

#include "base/arena.h"
#include "base/buf.h"

/* Built-in types by their oid in pg_type, which never changes. */
enum cu_type_oid {
	CU_BOOLOID = 16,
	CU_BYTEAOID = 17,
	CU_CHAROID = 18, /* "char" */
	CU_NAMEOID = 19,
	CU_INT8OID = 20,
	CU_INT2OID = 21,
	CU_INT4OID = 23,
	CU_TEXTOID = 25,
	CU_OIDOID = 26,
	CU_JSONOID = 114,
	CU_FLOAT4OID = 700,
	CU_FLOAT8OID = 701,
	CU_UNKNOWNOID = 705,
	CU_BPCHAROID = 1042,
	CU_VARCHAROID = 1043,
	CU_DATEOID = 1082,
	CU_TIMEOID = 1083,
	CU_TIMESTAMPOID = 1114,
	CU_TIMESTAMPTZOID = 1184,
	CU_INTERVALOID = 1186,
	CU_TIMETZOID = 1266,
	CU_NUMERICOID = 1700,
	CU_UUIDOID = 2950,
	CU_JSONBOID = 3802,
};

/* How a type's values are held in a datum. */
enum cu_repr {
	CU_REPR_NONE = 0,    /* not supported: a column of it can be selected, not filtered on */
	CU_REPR_BOOL,        /* .boolean */
	CU_REPR_INT,         /* .integer: int2, int4, int8, oid, "char" */
	CU_REPR_FLOAT4,      /* .real: already rounded to float */
	CU_REPR_FLOAT8,      /* .real */
	CU_REPR_NUMERIC,     /* .numeric */
	CU_REPR_TEXT,        /* .bytes: text, varchar, bpchar (with its blanks), name, unknown, citext */
	CU_REPR_BYTEA,       /* .bytes: the raw bytes */
	CU_REPR_UUID,        /* .bytes: 16 of them */
	CU_REPR_DATE,        /* .integer: days since 2000-01-01; INT32_MIN/INT32_MAX: -infinity, infinity */
	CU_REPR_TIME,        /* .integer: microseconds since midnight */
	CU_REPR_TIMETZ,      /* .timetz */
	CU_REPR_TIMESTAMP,   /* .integer: microseconds since 2000-01-01; INT64_MIN/INT64_MAX: -infinity, infinity */
	CU_REPR_TIMESTAMPTZ, /* … in UTC */
	CU_REPR_INTERVAL,    /* .interval */
	CU_REPR_ENUM,        /* .integer: place among the type's labels, from 0 */
	CU_REPR_JSON,        /* .bytes: the text as it came */
	CU_REPR_JSONB,       /* .jsonb */
	CU_REPR_ARRAY,       /* .array */
};

/* A type as the catalog describes it. Immutable; lives at least as long as whatever uses it. */
struct cu_type {
	uint32_t oid;
	enum cu_repr repr;
	char category;               /* pg_type.typcategory: 'N', 'S', 'D', 'B', 'A', 'E', 'U', … */
	bool preferred;              /* pg_type.typispreferred */
	bool citext;                 /* the extension's type: compares as lower() under the default collation */
	const char *name;            /* quoted and schema-qualified where needed: usable in SQL as it stands */
	const struct cu_type *elem;  /* of an array; else NULL */
	const struct cu_type *array; /* the array type of this one, where known; else NULL */
	const char *const *labels;   /* of an enum, in declared order */
	unsigned labels_len;
};

/* Text order and case rules. Immutable. Equality is by byte unless !deterministic. */
struct cu_collation; /* collation.h */

struct cu_numeric;  /* numeric.h */
struct cu_interval; /* datetime.h */
struct cu_timetz;   /* datetime.h */
struct cu_jsonb;    /* jsonb.h */
struct cu_array;    /* array.h */

struct cu_datum {
	bool is_null;
	uint32_t len; /* of .bytes */
	union {
		bool boolean;
		int64_t integer;
		double real;
		const char *bytes; /* not terminated */
		const struct cu_numeric *numeric;
		const struct cu_interval *interval;
		const struct cu_timetz *timetz;
		const struct cu_jsonb *jsonb;
		const struct cu_array *array;
	};
};
#define CU_DATUM_NULL ((struct cu_datum){ .is_null = true })

/* What Postgres would say. */
struct cu_value_error {
	char sqlstate[6];
	char message[240]; /* cut where longer */
};
/* Fills *err (may be NULL) and returns CU_EINVAL. sqlstate: five characters, "22012". */
int cu_value_fail(struct cu_value_error *err, const char *sqlstate, const char *fmt, ...) CU_PRINTF(3, 4);

/* One call of a function. Everything is borrowed. */
struct cu_function_call {
	cu_arena *arena;                    /* for the result and on the way to it */
	const struct cu_type *const *types; /* of the arguments */
	const struct cu_type *ret_type;
	const struct cu_collation *collation; /* that the operation uses; NULL when none of its types has one */
	const struct cu_datum *args;          /* not NULL-valued for a strict function */
	unsigned args_len;
	struct cu_value_error *err;
};
/* 0 and *ret_datum; CU_EINVAL with call->err; CU_ENOMEM. */
typedef int (*cu_function)(const struct cu_function_call *call, struct cu_datum *ret_datum);

struct cu_function_entry {
	/* pg_proc.prosrc, for a function of language internal (or of citext: its C symbol); "numeric_power 16": as since
	 * version 16 */
	const char *prosrc;
	cu_function function;
};

/* The implementation of pg_proc.prosrc as that major version of Postgres has it, or NULL. O(log n). */
cu_function cu_function_find(const char *prosrc, int pg_version);

/* Each file of functions offers one table, sorted in cu_function_find() at first use or merged at build time. */
struct cu_function_table {
	const struct cu_function_entry *entries;
	size_t len;
};
extern const struct cu_function_table cu_functions_bool, cu_functions_int, cu_functions_float, cu_functions_numeric,
	cu_functions_numeric_math, cu_functions_uuid, cu_functions_bytea, cu_functions_enum, cu_functions_datetime,
	cu_functions_interval, cu_functions_text, cu_functions_like, cu_functions_json, cu_functions_jsonb,
	cu_functions_array;

/* Text forms. in: what a literal of the type may look like to Postgres with the settings of all our sessions (pg/conn.c):
 * DateStyle ISO, DMY; IntervalStyle iso_8601; time zone UTC; bytea_output hex; extra_float_digits 1. Forms that we do not read although Postgres does fail with sqlstate 0A000. typmod: applied as
 * Postgres does on input (varchar(n) refuses, numeric(p,s) rounds …), -1: none. A value that came from Postgres
 * always reads. out: exactly what Postgres writes with those settings. */
int cu_value_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		struct cu_datum *ret_datum, struct cu_value_error *err);
int cu_value_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out);

/* Applies a type modifier to a value of the type: explicit as in a cast (cuts), or not, as on assignment (refuses). */
int cu_value_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		    struct cu_datum *datum, struct cu_value_error *err);

/* The order of the type's btree operator class; neither datum is null. Not for json, which has none. */
int cu_value_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
		     const struct cu_datum *b);
/* The value as an integer, where the type's order is that of integers: whoever compares one with many need not call for each. With
 * it as .integer the datum is the same value. False: not such a type. */
bool cu_value_order_word(const struct cu_type *type, const struct cu_datum *datum, int64_t *ret_word);
/* Bytes that are equal exactly when the values are (a numeric's scale, -0 and a bpchar's blanks do not count); for hash
 * indexes. CU_EUNSUPPORTED: this type or collation has no such form (json, text under a nondeterministic collation). */
int cu_value_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
		     cu_buf *out);

/* Built-in types by oid, arrays of them included; NULL: not supported. Enums, domains and extensions' types are the
 * catalog's to describe. */
const struct cu_type *cu_type_builtin(uint32_t oid);

#endif
