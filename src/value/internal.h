/* internal.h: what the files of src/value share: one vtable per representation, one table of functions per file.
 *
 * A file that owns a representation defines its cu_repr_ops_… and, where it has functions, its cu_functions_… (value.h).
 * The dispatch (value.c) and the look-up of functions (function.c) refer to every one of them; nothing else does, so
 * that a test which calls only its own file's ops and table links without the others. fail.c and type.c stand alone.
 */
#ifndef CU_VALUE_INTERNAL_H
#define CU_VALUE_INTERNAL_H

#include "base/limits.h"
#include "value/value.h"

#include <stdlib.h>

/* The five operations of value.h for one representation, with the same contracts. A NULL member: typmod: the type takes
 * none and -1 is all that comes; compare, put_key: there is no such order or form. type: for bits that one
 * representation does not tell (which integer, which text type, which enum, which element). */
struct cu_repr_ops {
	/* The modifier is applied as on input (implicitly). Text is not terminated. */
	int (*in)(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		  struct cu_datum *ret_datum, struct cu_value_error *err);
	/* 0, or CU_ENOMEM when the buffer failed. */
	int (*out)(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out);
	/* typmod is not -1. */
	int (*typmod)(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		      struct cu_datum *datum, struct cu_value_error *err);
	int (*compare)(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
		       const struct cu_datum *b);
	int (*put_key)(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
		       cu_buf *out);
};

extern const struct cu_repr_ops cu_repr_ops_bool;        /* bool.c */
extern const struct cu_repr_ops cu_repr_ops_int;         /* int.c */
extern const struct cu_repr_ops cu_repr_ops_float4;      /* float.c */
extern const struct cu_repr_ops cu_repr_ops_float8;      /* float.c */
extern const struct cu_repr_ops cu_repr_ops_numeric;     /* numeric.c */
extern const struct cu_repr_ops cu_repr_ops_text;        /* text.c: text, varchar, bpchar, name, unknown, citext */
extern const struct cu_repr_ops cu_repr_ops_bytea;       /* bytea.c */
extern const struct cu_repr_ops cu_repr_ops_uuid;        /* uuid.c */
extern const struct cu_repr_ops cu_repr_ops_date;        /* datetime.c … */
extern const struct cu_repr_ops cu_repr_ops_time;        /* datetime.c … */
extern const struct cu_repr_ops cu_repr_ops_timetz;      /* datetime.c … */
extern const struct cu_repr_ops cu_repr_ops_timestamp;   /* datetime.c … */
extern const struct cu_repr_ops cu_repr_ops_timestamptz; /* datetime.c … */
extern const struct cu_repr_ops cu_repr_ops_interval;    /* interval.c */
extern const struct cu_repr_ops cu_repr_ops_enum;        /* enum.c */
extern const struct cu_repr_ops cu_repr_ops_json;        /* json.c */
extern const struct cu_repr_ops cu_repr_ops_jsonb;       /* jsonb.c */
extern const struct cu_repr_ops cu_repr_ops_array;       /* array.c: its elements through cu_value_in() and so on */

/* int.c: as its SQL type sees it; a binary coercible cast leaves the datum as it was. */
int64_t cu_int_value(const struct cu_type *type, const struct cu_datum *datum);

/* Whether the entry is prosrc's, and no newer than that version of Postgres. */
static inline bool cu_function_serves(const struct cu_function_entry *entry, const char *prosrc, int pg_version)
{
	size_t len = strlen(prosrc);

	return strncmp(entry->prosrc, prosrc, len) == 0 &&
	       (!entry->prosrc[len] ||
		(entry->prosrc[len] == ' ' && strtol(entry->prosrc + len, NULL, 10) <= pg_version));
}

/* The table of a file, from its array of entries: CU_FUNCTION_TABLE(cu_functions_bool, bool_entries); the entries may
 * stand in any order. A prosrc stands in one table only. */
#define CU_FUNCTION_TABLE(table, entries_array) \
	const struct cu_function_table table = { (entries_array), CU_ARRAY_LEN(entries_array) }

/* 22P02 invalid input syntax for type <name>: "<text>". name as format_type says: "integer", "double precision". */
int cu_value_fail_syntax(struct cu_value_error *err, const char *name, const char *text, size_t len);
/* … of an integer or a numeric: 0A000 for what some versions of Postgres read. */
int cu_value_fail_number(struct cu_value_error *err, const char *name, const char *text, size_t len);
/* sqlstate and format, in which one %s stands for a text that is not terminated (the last argument is text, len). */
int cu_value_fail_text(struct cu_value_error *err, const char *sqlstate, const char *fmt_of_one_s, const char *text,
		       size_t len);

/* isspace() in Postgres' parsers: blank, \t \n \v \f \r, whatever the locale. */
static inline bool cu_value_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif
