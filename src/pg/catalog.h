/* catalog.h: what a table looks like: columns, key, partitions, and the electric-schema header made of it.
 *
 * A description is immutable and counted; the cache (by name and by oid, CU_CATALOG_TTL_MS) hands out references.
 * Replay never reads it: a shape freezes what it needs (DESIGN.md, section 2).
 *
 * Threads: any. lookup() blocks on the server when the cache does not know; peek() never does. Lock: one mutex in the
 * cache, never held during I/O; nothing is called under it.
 */
#ifndef CU_PG_CATALOG_H
#define CU_PG_CATALOG_H

#include "base/buf.h"
#include "pg/conn.h"

#include <stdatomic.h>

/* A collation, as far as text can be compared with it elsewhere (docs/where.md). */
struct cu_catalog_collation {
	uint32_t oid;     /* 0: the type has none */
	const char *name; /* quoted and qualified: for SQL */
	char provider;    /* 'c' libc, 'i' ICU, 'b' builtin, 'd' the database's default */
	bool deterministic;
	const char *locale;  /* NULL: libc with different LC_COLLATE and LC_CTYPE, or the default */
	const char *version; /* of the server's library now; NULL: not known */
	const char *rules;   /* ICU tailoring; NULL: none */
};

struct cu_column {
	const char *name;
	const char *type_name;      /* pg_type.typname: "int4", "_text" for an array */
	const char *formatted_type; /* format_type(): "character varying(10)", for casts and messages */
	const char *elem_type_name; /* element type of an array; NULL otherwise */
	const char *collation;      /* name of the column's collation, NULL when the type has none */
	const char *scalar_type;    /* base type without domains and array: quoted and qualified, for SQL */
	const char *scalar_name;    /* … its pg_type.typname */
	struct cu_catalog_collation collate;
	const char *const *enum_labels; /* in sort order; of the type itself or of its element; NULL when no enum */
	unsigned enum_labels_len;
	uint32_t type_oid;
	uint32_t elem_type_oid;   /* 0 when no array */
	uint32_t base_type_oid;   /* of a domain, down to the bottom; type_oid otherwise */
	uint32_t scalar_type_oid; /* … and of that one's elements, if it is an array */
	uint32_t collation_oid;
	int32_t typmod;
	int16_t attnum;
	int16_t dims;     /* attndims */
	int16_t pk_index; /* position in the primary key from 0; -1 when not in it */
	char type_kind;   /* pg_type.typtype: b c d e p r m */
	char generated;   /* 0, 's' stored, 'v' virtual */
	bool not_null;
	bool collation_deterministic; /* true when there is no collation */
	bool is_array;                /* the base type is one */
};

struct cu_table {
	atomic_uint refs;
	uint32_t oid;
	const char *schema;
	const char *name;
	char kind;             /* 'r' ordinary, 'p' partitioned */
	char replica_identity; /* d n i f */
	bool is_partition;
	uint32_t parent_oid;             /* direct parent (partition or inheritance), 0 when none */
	uint32_t root_oid;               /* topmost partitioned ancestor; itself when none */
	const struct cu_column *columns; /* by attnum, without dropped ones */
	unsigned columns_len;
	const uint16_t *pk; /* indexes into columns, in key order */
	unsigned pk_len;
	const uint32_t
		*leaves; /* oids of all partitions below, leaves and inner ones; changes arrive under a leaf's oid */
	unsigned leaves_len;
	struct cu_catalog_collation database; /* the database's own collation */
	const char *encoding;                 /* of the database */
	int pg_version;                       /* the server's major version: 15 */
};

void cu_table_ref(struct cu_table *table);
void cu_table_unref(struct cu_table **table); /* NULL is fine */
/* NULL when there is none. */
const struct cu_column *cu_table_column(const struct cu_table *table, const char *name);
/* The same description: names, oids, types, modifiers, nullability, key. Partitions and identity are not compared. */
bool cu_table_equal(const struct cu_table *a, const struct cu_table *b);

/* A client's `table`: schema.table, each unquoted (folded to lower case) or "quoted"; schema is public when left out.
 * CU_EINVAL with Electric's words in ret_msg (appended). */
struct cu_table_name {
	char schema[4 * 63 + 1]; /* 63 characters of up to 4 bytes: Electric counts characters */
	char name[4 * 63 + 1];
};
int cu_table_name_parse(const char *text, size_t len, struct cu_table_name *ret_name, cu_buf *ret_msg);
/* One identifier by the same rules, for `columns`; CU_EINVAL with the words. out has 4 * 63 + 1 bytes. */
int cu_identifier_parse(const char *text, size_t len, char *out, cu_buf *ret_msg);

typedef struct cu_catalog cu_catalog;

int cu_catalog_new(unsigned ttl_ms, cu_catalog **ret_cat); /* 0 = CU_CATALOG_TTL_MS */
void cu_catalog_free(cu_catalog **cat);
/* CU_ENOTFOUND: not cached, or too old. Returns a reference. */
int cu_catalog_peek(cu_catalog *cat, const struct cu_table_name *name, struct cu_table **ret_table);
int cu_catalog_peek_oid(cu_catalog *cat, uint32_t oid, struct cu_table **ret_table);
/* From the cache or from the server. CU_ENOTFOUND: no such table (or a view, or without columns); CU_EPG with err. */
int cu_catalog_lookup(cu_catalog *cat, PGconn *conn, const struct cu_table_name *name, struct cu_table **ret_table,
		      struct cu_pg_error *err);
int cu_catalog_lookup_oid(cu_catalog *cat, PGconn *conn, uint32_t oid, struct cu_table **ret_table,
			  struct cu_pg_error *err);
/* From the server, past the cache (which gets the result). */
int cu_catalog_refresh(cu_catalog *cat, PGconn *conn, uint32_t oid, struct cu_table **ret_table,
		       struct cu_pg_error *err);
void cu_catalog_invalidate(cu_catalog *cat, uint32_t oid); /* 0 = all */

/* The electric-schema header's value: {"col":{"type":…},…}, columns by name. selected: indexes into table->columns,
 * NULL = all. */
void cu_catalog_put_schema_json(cu_buf *buf, const struct cu_table *table, const uint16_t *selected,
				unsigned selected_len);

#endif
