/* catalog.c: reading a table's description from the server. The cache is in catalog_cache.c. */
#include "pg/catalog.h"

#include "base/limits.h"
#include "pg/catalog_private.h"

#include <stdio.h>
#include <stdlib.h>

/* The memory of one description: the public part first, then what its pointers point into. */
struct table {
	struct cu_table pub;
	struct cu_column *columns;
	uint16_t *pk;
	uint32_t *leaves;
	const char **labels;
	char *strings;
	size_t strings_used;
};

static const char table_sql[] =
	"SELECT c.oid, n.nspname, c.relname, c.relkind, c.relreplident, c.relispartition, "
	"(SELECT inhparent FROM pg_catalog.pg_inherits WHERE inhrelid = c.oid ORDER BY inhseqno LIMIT 1), "
	"coalesce(pg_catalog.pg_partition_root(c.oid)::oid, c.oid), "
	"(WITH RECURSIVE d AS (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = c.oid UNION "
	"SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN d ON i.inhparent = d.inhrelid) "
	"SELECT string_agg(inhrelid::text, ',' ORDER BY inhrelid) FROM d), "
	/* What stands in some versions' catalogs alone is read by way of json. */
	"pg_catalog.pg_encoding_to_char(db.encoding), coalesce(to_jsonb(db) ->> 'datlocprovider', 'c'), "
	"CASE coalesce(to_jsonb(db) ->> 'datlocprovider', 'c') WHEN 'c' THEN CASE WHEN db.datcollate = db.datctype THEN "
	"db.datcollate END ELSE coalesce(to_jsonb(db) ->> 'datlocale', to_jsonb(db) ->> 'daticulocale') END, "
	"%s, to_jsonb(db) ->> 'daticurules' "
	"FROM pg_catalog.pg_database db, pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
	"WHERE db.datname = pg_catalog.current_database() AND c.relkind IN ('r', 'p') AND ";

/* The version of the database's own collation: since 15 the server tells; before, it is the C library's, which a collation
 * of the same locale has as well. */
static const char version_sql[] = "pg_catalog.pg_database_collation_actual_version(db.oid)";
static const char version_sql_14[] =
	"(SELECT pg_catalog.pg_collation_actual_version(v.oid) FROM pg_catalog.pg_collation v "
	"WHERE v.collprovider = 'c' AND v.collcollate = db.datcollate AND v.collctype = db.datctype "
	"AND v.collencoding IN (-1, db.encoding) LIMIT 1)";

static const char columns_sql[] =
	"SELECT a.attnum, a.attname, t.typname, format_type(a.atttypid, a.atttypmod), "
	"CASE WHEN t.typcategory = 'A' THEN e.typname END, a.atttypid, CASE WHEN t.typcategory = 'A' THEN e.oid ELSE 0 "
	"END, b.oid, a.attcollation, co.collname, coalesce(co.collisdeterministic, true), a.atttypmod, a.attndims, "
	/* An INCLUDE column stands in indkey as well, behind the key's own. */
	"CASE WHEN array_position(i.indkey, a.attnum) < i.indnkeyatts THEN array_position(i.indkey, a.attnum) ELSE -1 "
	"END, t.typtype, a.attgenerated, a.attnotnull, "
	"CASE WHEN t.typcategory = 'A' AND e.typtype = 'e' THEN e.oid WHEN b.typtype = 'e' THEN b.oid ELSE 0 END, "
	"quote_ident(sn.nspname) || '.' || quote_ident(s.typname), s.typname, s.oid, s.oid <> b.oid, "
	"quote_ident(cn.nspname) || '.' || quote_ident(co.collname), co.collprovider, CASE WHEN co.collprovider = 'd' "
	"THEN NULL ELSE coalesce(to_jsonb(co) ->> 'colllocale', to_jsonb(co) ->> 'colliculocale', "
	"CASE WHEN co.collcollate = co.collctype THEN co.collcollate END) END, "
	"CASE WHEN co.collprovider <> 'd' THEN pg_catalog.pg_collation_actual_version(co.oid) END, "
	"to_jsonb(co) ->> 'collicurules' "
	"FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
	"JOIN LATERAL (WITH RECURSIVE base AS (SELECT t.oid, t.typbasetype, t.typtype UNION ALL "
	"SELECT p.oid, p.typbasetype, p.typtype FROM base JOIN pg_catalog.pg_type p ON p.oid = base.typbasetype "
	"WHERE base.typtype = 'd') SELECT oid, typtype FROM base WHERE typtype <> 'd' LIMIT 1) b ON true "
	"JOIN pg_catalog.pg_type bt ON bt.oid = b.oid "
	"JOIN pg_catalog.pg_type s ON s.oid = CASE WHEN bt.typcategory = 'A' AND bt.typelem <> 0 THEN bt.typelem ELSE bt.oid "
	"END JOIN pg_catalog.pg_namespace sn ON sn.oid = s.typnamespace "
	"LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem "
	"LEFT JOIN pg_catalog.pg_collation co ON co.oid = a.attcollation "
	"LEFT JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace "
	"LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary "
	"WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

static const char labels_sql[] =
	"SELECT enumtypid, enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = ANY ($1::oid[]) ORDER BY enumtypid, "
	"enumsortorder";

static uint32_t u32_at(const PGresult *res, int row, int col)
{
	return (uint32_t)strtoul(PQgetvalue(res, row, col), NULL, 10);
}

static int int_at(const PGresult *res, int row, int col)
{
	return (int)strtol(PQgetvalue(res, row, col), NULL, 10);
}

static size_t strings_size(const PGresult *res)
{
	size_t size = 0;

	for (int row = 0; row < PQntuples(res); row++)
		for (int col = 0; col < PQnfields(res); col++)
			size += (size_t)PQgetlength(res, row, col) + 1;
	return size;
}

static const char *string_at(struct table *table, const PGresult *res, int row, int col)
{
	size_t size = (size_t)PQgetlength(res, row, col) + 1;
	char *at = table->strings + table->strings_used;

	if (PQgetisnull(res, row, col))
		return NULL;
	memcpy(at, PQgetvalue(res, row, col), size);
	table->strings_used += size;
	return at;
}

static void table_free(struct table *table)
{
	if (!table)
		return;
	free(table->columns);
	free(table->pk);
	free(table->leaves);
	free(table->labels);
	free(table->strings);
	free(table);
}

static void head_fill(struct table *table, const PGresult *res)
{
	struct cu_table *pub = &table->pub;
	const char *at = PQgetvalue(res, 0, 8);

	pub->oid = u32_at(res, 0, 0);
	pub->schema = string_at(table, res, 0, 1);
	pub->name = string_at(table, res, 0, 2);
	pub->kind = *PQgetvalue(res, 0, 3);
	pub->replica_identity = *PQgetvalue(res, 0, 4);
	pub->is_partition = *PQgetvalue(res, 0, 5) == 't';
	pub->parent_oid = u32_at(res, 0, 6);
	pub->root_oid = u32_at(res, 0, 7);
	for (const char *p = at; *p; p++)
		pub->leaves_len += *p == ',' || p == at;
	pub->encoding = string_at(table, res, 0, 9);
	pub->database = (struct cu_catalog_collation){
		.oid = 100,
		.name = "pg_catalog.\"default\"",
		.provider = *PQgetvalue(res, 0, 10),
		.deterministic = true,
		.locale = string_at(table, res, 0, 11),
		.version = string_at(table, res, 0, 12),
		.rules = string_at(table, res, 0, 13),
	};
	table->leaves = cu_xzalloc(CU_MAX(pub->leaves_len, 1u) * sizeof *table->leaves);
	for (unsigned i = 0; i < pub->leaves_len; i++) {
		char *end;

		table->leaves[i] = (uint32_t)strtoul(at, &end, 10);
		at = end + (*end == ',');
	}
	pub->leaves = table->leaves;
}

static void columns_fill(struct table *table, const PGresult *res, const PGresult *labels)
{
	struct cu_table *pub = &table->pub;
	int labels_len = labels ? PQntuples(labels) : 0;

	pub->columns_len = (unsigned)PQntuples(res);
	table->columns = cu_xzalloc(pub->columns_len * sizeof *table->columns);
	table->pk = cu_xzalloc(pub->columns_len * sizeof *table->pk);
	table->labels = cu_xzalloc((size_t)CU_MAX(labels_len, 1) * sizeof *table->labels);
	for (int i = 0; i < labels_len; i++)
		table->labels[i] = string_at(table, labels, i, 1);
	for (unsigned i = 0; i < pub->columns_len; i++) {
		struct cu_column *col = &table->columns[i];
		int row = (int)i;
		uint32_t enum_oid = u32_at(res, row, 17);

		col->attnum = (int16_t)int_at(res, row, 0);
		col->name = string_at(table, res, row, 1);
		col->type_name = string_at(table, res, row, 2);
		col->formatted_type = string_at(table, res, row, 3);
		col->elem_type_name = string_at(table, res, row, 4);
		col->type_oid = u32_at(res, row, 5);
		col->elem_type_oid = u32_at(res, row, 6);
		col->base_type_oid = u32_at(res, row, 7);
		col->collation_oid = u32_at(res, row, 8);
		col->collation = string_at(table, res, row, 9);
		col->collation_deterministic = *PQgetvalue(res, row, 10) == 't';
		col->typmod = (int32_t)int_at(res, row, 11);
		col->dims = (int16_t)int_at(res, row, 12);
		col->pk_index = (int16_t)int_at(res, row, 13);
		col->type_kind = *PQgetvalue(res, row, 14);
		col->generated = *PQgetvalue(res, row, 15);
		col->not_null = *PQgetvalue(res, row, 16) == 't';
		col->scalar_type = string_at(table, res, row, 18);
		col->scalar_name = string_at(table, res, row, 19);
		col->scalar_type_oid = u32_at(res, row, 20);
		col->is_array = *PQgetvalue(res, row, 21) == 't';
		if (col->collation_oid)
			col->collate = (struct cu_catalog_collation){
				.oid = col->collation_oid,
				.name = string_at(table, res, row, 22),
				.provider = *PQgetvalue(res, row, 23),
				.deterministic = col->collation_deterministic,
				.locale = string_at(table, res, row, 24),
				.version = string_at(table, res, row, 25),
				.rules = string_at(table, res, row, 26),
			};
		for (int k = 0; enum_oid && k < labels_len; k++) {
			if (u32_at(labels, k, 0) != enum_oid)
				continue;
			if (!col->enum_labels)
				col->enum_labels = table->labels + k;
			col->enum_labels_len++;
		}
		pub->pk_len += col->pk_index >= 0;
	}
	for (unsigned i = 0; i < pub->columns_len; i++)
		if (table->columns[i].pk_index >= 0 && (unsigned)table->columns[i].pk_index < pub->pk_len)
			table->pk[table->columns[i].pk_index] = (uint16_t)i;
	pub->columns = table->columns;
	pub->pk = table->pk;
}

/* The labels of all enums among the columns; *ret_labels stays NULL when there is none. */
static int labels_read(PGconn *conn, const PGresult *columns, PGresult **ret_labels, struct cu_pg_error *err)
{
	cu_buf oids = CU_BUF_INIT;
	const char *params[1];
	int rc = 0;

	for (int row = 0; row < PQntuples(columns); row++)
		if (u32_at(columns, row, 17))
			cu_buf_printf(&oids, "%s%u", oids.len ? "," : "{", u32_at(columns, row, 17));
	if (oids.len) {
		cu_buf_putc(&oids, '}');
		params[0] = cu_buf_str(&oids);
		rc = cu_pg_query(conn, labels_sql, 1, params, ret_labels, err);
	}
	cu_buf_fini(&oids);
	return rc;
}

int cu_catalog_read(PGconn *conn, const struct cu_table_name *name, uint32_t oid, struct cu_table **ret_table,
		    struct cu_pg_error *err)
{
	struct table *table = NULL;
	PGresult *head = NULL, *columns = NULL, *labels = NULL;
	cu_buf sql = CU_BUF_INIT;
	char oid_text[16];
	const char *params[2] = { oid_text, NULL };
	int rc;

	cu_buf_printf(&sql, table_sql, PQserverVersion(conn) >= 150000 ? version_sql : version_sql_14);
	if (name) {
		cu_buf_puts(&sql, "n.nspname = $1 AND c.relname = $2");
		params[0] = name->schema;
		params[1] = name->name;
	} else {
		cu_buf_puts(&sql, "c.oid = $1::oid");
		snprintf(oid_text, sizeof oid_text, "%u", oid);
	}
	rc = cu_pg_query(conn, cu_buf_str(&sql), name ? 2 : 1, params, &head, err);
	if (rc < 0)
		goto out;
	if (PQntuples(head) == 0) {
		rc = CU_ENOTFOUND;
		goto out;
	}
	snprintf(oid_text, sizeof oid_text, "%u", u32_at(head, 0, 0));
	params[0] = oid_text;
	rc = cu_pg_query(conn, columns_sql, 1, params, &columns, err);
	if (rc < 0)
		goto out;
	if (PQntuples(columns) == 0) {
		rc = CU_ENOTFOUND; /* Electric takes a table without columns for none, too */
		goto out;
	}
	rc = labels_read(conn, columns, &labels, err);
	if (rc < 0)
		goto out;
	table = cu_xzalloc(sizeof *table);
	table->strings = cu_xmalloc(strings_size(head) + strings_size(columns) + (labels ? strings_size(labels) : 0));
	head_fill(table, head);
	columns_fill(table, columns, labels);
	table->pub.pg_version = PQserverVersion(conn) / 10000;
	atomic_init(&table->pub.refs, 1);
	*ret_table = &table->pub;
	table = NULL;
out:
	PQclear(head);
	PQclear(columns);
	PQclear(labels);
	cu_buf_fini(&sql);
	table_free(table);
	return rc;
}

void cu_table_ref(struct cu_table *table)
{
	atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
}

void cu_table_unref(struct cu_table **table_at)
{
	struct cu_table *table = *table_at;

	*table_at = NULL;
	/* acq_rel: the last one sees all the others' reads done before it frees. */
	if (table && atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) == 1)
		table_free(CU_CONTAINER_OF(table, struct table, pub));
}

const struct cu_column *cu_table_column(const struct cu_table *table, const char *name)
{
	for (unsigned i = 0; i < table->columns_len; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return &table->columns[i];
	return NULL;
}

static bool column_equal(const struct cu_column *a, const struct cu_column *b)
{
	if (strcmp(a->name, b->name) != 0 || a->type_oid != b->type_oid || a->typmod != b->typmod ||
	    a->attnum != b->attnum || a->dims != b->dims || a->pk_index != b->pk_index ||
	    a->generated != b->generated || a->not_null != b->not_null || a->collation_oid != b->collation_oid ||
	    a->enum_labels_len != b->enum_labels_len || strcmp(a->type_name, b->type_name) != 0)
		return false;
	for (unsigned i = 0; i < a->enum_labels_len; i++)
		if (strcmp(a->enum_labels[i], b->enum_labels[i]) != 0)
			return false;
	return true;
}

bool cu_table_equal(const struct cu_table *a, const struct cu_table *b)
{
	if (a->oid != b->oid || a->columns_len != b->columns_len || strcmp(a->schema, b->schema) != 0 ||
	    strcmp(a->name, b->name) != 0)
		return false;
	for (unsigned i = 0; i < a->columns_len; i++)
		if (!column_equal(&a->columns[i], &b->columns[i]))
			return false;
	return true;
}
