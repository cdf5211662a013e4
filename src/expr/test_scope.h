/* test_scope.h: a table with a column of every type, as a scope here and as a table of a private Postgres. */
#ifndef CU_EXPR_TEST_SCOPE_H
#define CU_EXPR_TEST_SCOPE_H

#include "expr/program.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const test_labels[] = { "sad", "ok", "happy" };
static const struct cu_type test_mood = {
	.oid = 70000, .repr = CU_REPR_ENUM, .category = 'E', .name = "mood", .labels = test_labels, .labels_len = 3
};
static const struct cu_type test_mood_array = {
	.oid = 70001, .repr = CU_REPR_ARRAY, .category = 'A', .name = "mood[]", .elem = &test_mood
};
static const struct cu_type test_citext = {
	.oid = 70002, .repr = CU_REPR_TEXT, .category = 'S', .citext = true, .name = "citext"
};

struct test_column {
	const char *name;
	const char *sql;
	uint32_t type; /* 0: type_own, or none */
	const struct cu_type *own;
	int32_t typmod;
	const char *value; /* of the one row */
};
static const struct test_column test_columns[] = {
	{ "id", "int4", 23, NULL, -1, "5" },
	{ "b", "bool", 16, NULL, -1, "t" },
	{ "i2", "int2", 21, NULL, -1, "2" },
	{ "i8", "int8", 20, NULL, -1, "800" },
	{ "f4", "float4", 700, NULL, -1, "1.5" },
	{ "f8", "float8", 701, NULL, -1, "2.25" },
	{ "n", "numeric", 1700, NULL, -1, "3.140" },
	{ "n2", "numeric(6,2)", 1700, NULL, (6 << 16 | 2) + 4, "12.50" },
	{ "t", "text", 25, NULL, -1, "hello" },
	{ "v", "varchar", 1043, NULL, -1, "World" },
	{ "v5", "varchar(5)", 1043, NULL, 9, "abc" },
	{ "bc", "char(5)", 1042, NULL, 9, "ab   " },
	{ "nm", "name", 19, NULL, -1, "nam" },
	{ "ch", "\"char\"", 18, NULL, -1, "x" },
	{ "o", "oid", 26, NULL, -1, "42" },
	{ "u", "uuid", 2950, NULL, -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" },
	{ "by", "bytea", 17, NULL, -1, "\\x616263" },
	{ "d", "date", 1082, NULL, -1, "2020-02-29" },
	{ "tm", "time", 1083, NULL, -1, "01:02:03.5" },
	{ "ttz", "timetz", 1266, NULL, -1, "01:02:03+02" },
	{ "ts", "timestamp", 1114, NULL, -1, "2020-01-02 03:04:05" },
	{ "tz", "timestamptz", 1184, NULL, -1, "2020-01-02 03:04:05.25+00" },
	{ "iv", "interval", 1186, NULL, -1, "P1DT2H" },
	{ "j", "json", 114, NULL, -1, "{\"a\": 1}" },
	{ "jb", "jsonb", 3802, NULL, -1, "{\"a\": {\"b\": [1, 2]}}" },
	{ "ia", "int4[]", 1007, NULL, -1, "{1,2,NULL}" },
	{ "ta", "text[]", 1009, NULL, -1, "{a,B}" },
	{ "m", "mood", 0, &test_mood, -1, "ok" },
	{ "ma", "mood[]", 0, &test_mood_array, -1, "{sad,ok}" },
	{ "ci", "citext", 0, &test_citext, -1, "MiXed" },
	{ "tc", "text COLLATE \"C\"", 25, NULL, -1, "c" },
	{ "tp", "text COLLATE \"POSIX\"", 25, NULL, -1, "p" },
	{ "nul", "int4", 23, NULL, -1, NULL },
	{ "pt", "point", 0, NULL, -1, "(1,2)" },
};
#define TEST_COLUMNS_LEN CU_ARRAY_LEN(test_columns)

static inline cu_expr_scope *test_scope(int pg_version)
{
	const struct cu_collation_desc desc = { .oid = 100,
						.name = "\"default\"",
						.provider = 'c',
						.deterministic = true,
						.locale = "C.UTF-8",
						.encoding = "UTF8" };
	struct cu_expr_column columns[TEST_COLUMNS_LEN] = { 0 };
	const struct cu_collation_desc posix_desc = { .oid = 951,
						      .name = "\"POSIX\"",
						      .provider = 'c',
						      .deterministic = true,
						      .locale = "POSIX",
						      .encoding = "UTF8" };
	cu_collation *collation, *posix;

	CU_ASSERT(cu_collation_new(&desc, &collation) == 0);
	CU_ASSERT(cu_collation_new(&posix_desc, &posix) == 0);
	for (size_t i = 0; i < TEST_COLUMNS_LEN; i++) {
		const struct test_column *from = &test_columns[i];
		const struct cu_type *type = from->type ? cu_type_builtin(from->type) : from->own;
		const struct cu_type *elem = type && type->elem ? type->elem : type;

		columns[i] = (struct cu_expr_column){ .name = from->name,
						      .type = type,
						      .type_name = type ? type->name : from->sql,
						      .typmod = from->typmod };
		if (elem && elem->category == 'S')
			columns[i].collation = from->type == CU_NAMEOID || strstr(from->sql, "\"C\"") ? cu_collation_c
					       : strstr(from->sql, "POSIX")                           ? posix
												      : collation;
	}
	return cu_expr_scope_new("items", columns, TEST_COLUMNS_LEN, collation, pg_version, NULL, NULL);
}

/* The row of the table. */
static inline void test_values(struct cu_pg_value *values)
{
	for (size_t i = 0; i < TEST_COLUMNS_LEN; i++) {
		const char *text = test_columns[i].value;

		values[i] = (struct cu_pg_value){ .kind = text ? CU_PG_TEXT : CU_PG_NULL,
						  .data = text,
						  .len = text ? (uint32_t)strlen(text) : 0 };
	}
}

/* CREATE and INSERT for the same. */
static inline void test_put_table(cu_buf *out)
{
	cu_buf_puts(out,
		    "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE TABLE items (");
	for (size_t i = 0; i < TEST_COLUMNS_LEN; i++)
		cu_buf_printf(out, "%s%s %s", i ? ", " : "", test_columns[i].name, test_columns[i].sql);
	cu_buf_puts(out, "); INSERT INTO items VALUES (");
	for (size_t i = 0; i < TEST_COLUMNS_LEN; i++) {
		if (test_columns[i].value)
			cu_buf_printf(out, "%s'%s'", i ? ", " : "", test_columns[i].value);
		else
			cu_buf_printf(out, "%sNULL", i ? ", " : "");
	}
	cu_buf_puts(out, ")");
}

#endif
