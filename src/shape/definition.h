/* definition.h: what a shape is, but for its where clause: table, columns, replica mode, log mode; frozen when the first
 * shape with it was created.
 *
 * Replay reads no catalog, so everything that items depend on stands here: the columns as they were, the key, the
 * electric-schema header. Thousands of shapes that differ in their where clause alone share one definition: the shape set
 * holds one of each key.
 *
 * Threads: immutable but for the fields at the end, counted; any thread. Storage: cu_definition_put_json() and
 * cu_definition_parse() (the metadata's `definition` table, docs/storage-format.md).
 */
#ifndef CU_DEFINITION_H
#define CU_DEFINITION_H

#include "expr/expr.h"
#include "pg/catalog.h"
#include "shape/item.h"

struct cu_definition_column {
	char *name;
	uint32_t type_oid;
	int32_t typmod;
	int16_t attnum;   /* which column of that name: one that took its place has another */
	int16_t pk_index; /* -1: not in the primary key */
	bool selected;
	/* for where clauses: as in struct cu_column, strings owned */
	bool is_array;
	bool is_domain;
	uint32_t scalar_oid;
	char *scalar_type;
	char *scalar_name;
	char *formatted_type;
	char **labels; /* of an enum, or an array of one */
	size_t labels_len;
	struct cu_catalog_collation collate;
};

typedef struct cu_definition {
	atomic_uint refs;
	char *schema;
	char *name;
	uint32_t oid;
	bool partitioned; /* changes arrive under the oids of its partitions */
	bool replica_full;
	bool changes_only; /* log=changes_only: the snapshot has no rows */
	bool listed;       /* its columns were asked for by name: a new one is none of its business */
	struct cu_definition_column *columns; /* by attnum; generated ones are not in the stream and not here */
	unsigned columns_len;
	char **generated; /* their names, for messages: as they were when the definition was made */
	size_t generated_len;
	struct cu_catalog_collation database; /* its own collation; strings owned */
	char *encoding;                       /* of the database */
	int pg_version;                       /* the server's major version: where clauses mean what they mean to it */
	cu_expr_scope *scope;                 /* what names in a where clause mean */
	char *schema_json;                    /* the electric-schema header */
	size_t schema_json_len;
	cu_item_layout *layout;
	char *key; /* canonical text of all of the above that makes a difference */
	uint64_t key_hash;

	/* shape set only, under its lock */
	uint64_t id;   /* names it in storage; 0 until the set has taken it in */
	bool named;    /* at start-up: a stored shape's row names it */
	size_t shapes; /* that have it, and requests that are about to make one */
	/* any thread: its row is committed */
	atomic_bool stored;
	/* collector thread only: how each relation's columns map to the definition's */
	struct cu_shape_view *views;
	uint64_t doomed; /* the collector's look in which its shapes were doomed last */
} cu_definition;

/* What a request asks for. */
struct cu_definition_request {
	const char *const *columns; /* selected names; NULL = all */
	size_t columns_len;
	bool replica_full;
	bool changes_only;
	bool generated_in_stream; /* stored ones are: Postgres 18 and newer */
};

/* Checks the request against the table. CU_EINVAL: `ret_message` (appended) is what the client is told about its
 * `columns`. CU_ENOMEM. Returns owned, refs = 1. */
int cu_definition_new(const struct cu_table *table, const struct cu_definition_request *request,
		      cu_definition **ret_def, cu_buf *ret_message);
cu_definition *cu_definition_ref(cu_definition *def);
void cu_definition_unref(cu_definition **def);

/* Could this request, by the names it uses, be for this definition? Without the catalog: for requests with a handle. */
bool cu_definition_matches(const cu_definition *def, const char *schema, const char *name,
			   const struct cu_definition_request *request);

/* Do items, or this where clause (canonical SQL; NULL: none), depend on the column? A clause is searched for the name, so
 * it may seem to. */
bool cu_definition_needs(const cu_definition *def, unsigned column, const char *where);
/* Could a column that is not in the definition come to the table without a difference to it? Not where there is no
 * primary key: then the key is all columns. */
bool cu_definition_ignores_new_columns(const cu_definition *def);

/* The query of a snapshot, without its bounds: one value per column of the definition, in order; NULL for those that no item shows. where: canonical
 * SQL, NULL for every row. */
void cu_definition_put_query(const cu_definition *def, const char *where, cu_buf *out);

int cu_definition_put_json(const cu_definition *def, cu_buf *out);
/* CU_ECORRUPT: not what put_json wrote. */
int cu_definition_parse(const void *json, size_t len, cu_definition **ret_def);

#endif
