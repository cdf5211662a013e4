/* table_check.c: descriptions with the version at which they were read. */
#include "shape/table_check.h"

#include "base/clock.h"
#include "base/limits.h"

#include <pthread.h>
#include <stdlib.h>

struct check {
	struct cu_table *table; /* a reference; NULL: free */
	char *version;
	uint64_t read_ms;
};

struct cu_table_checks {
	cu_catalog *catalog;
	pthread_mutex_t lock;                     /* guards the rest */
	struct check checks[CU_TABLE_CHECKS_MAX]; /* by oid; a newer one takes the place of an older */
};

cu_table_checks *cu_table_checks_new(cu_catalog *catalog)
{
	cu_table_checks *checks = cu_xzalloc(sizeof *checks);

	checks->catalog = catalog;
	CU_ASSERT(pthread_mutex_init(&checks->lock, NULL) == 0);
	return checks;
}

static void check_fini(struct check *check)
{
	cu_table_unref(&check->table);
	free(check->version);
	*check = (struct check){ 0 };
}

void cu_table_checks_free(cu_table_checks **ref)
{
	cu_table_checks *checks = *ref;

	if (!checks)
		return;
	*ref = NULL;
	for (size_t i = 0; i < CU_TABLE_CHECKS_MAX; i++)
		check_fini(&checks->checks[i]);
	pthread_mutex_destroy(&checks->lock);
	free(checks);
}

void cu_table_checks_put_version(uint32_t oid, cu_buf *sql)
{
	cu_buf_printf(
		sql,
		"(SELECT pg_catalog.concat_ws('/', c.xmin, n.xmin, "
		"(SELECT pg_catalog.string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a "
		"WHERE a.attrelid = %u AND a.attnum > 0), "
		"(SELECT pg_catalog.string_agg(i.xmin::text, ',' ORDER BY i.indexrelid) FROM pg_catalog.pg_index i "
		"WHERE i.indrelid = %u)) "
		"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %u)",
		oid, oid, oid);
}

static bool has_labels(const struct cu_table *table)
{
	for (unsigned i = 0; i < table->columns_len; i++) {
		if (table->columns[i].enum_labels_len)
			return true;
	}
	return false;
}

static void keep(cu_table_checks *checks, struct cu_table *table, const char *version, uint64_t read_ms)
{
	struct check *check = &checks->checks[table->oid % CU_TABLE_CHECKS_MAX];

	pthread_mutex_lock(&checks->lock);
	check_fini(check);
	cu_table_ref(table);
	*check = (struct check){ table, cu_xstrdup(version), read_ms };
	pthread_mutex_unlock(&checks->lock);
}

int cu_table_checks_read(cu_table_checks *checks, PGconn *conn, uint32_t oid, const char *version,
			 struct cu_table **ret_table, struct cu_pg_error *err)
{
	struct check *check = &checks->checks[oid % CU_TABLE_CHECKS_MAX];
	uint64_t now = cu_now_ms();
	int rc = CU_ENOTFOUND;

	if (!version)
		return CU_ENOTFOUND;
	pthread_mutex_lock(&checks->lock);
	/* Not for ever: transaction ids come round again. */
	if (check->table && check->table->oid == oid && now - check->read_ms < CU_CATALOG_TTL_MS &&
	    strcmp(check->version, version) == 0) {
		cu_table_ref(check->table);
		*ret_table = check->table;
		rc = 0;
	}
	pthread_mutex_unlock(&checks->lock);
	if (rc == 0)
		return 0;
	rc = cu_catalog_refresh(checks->catalog, conn, oid, ret_table, err);
	if (rc == 0 && !has_labels(*ret_table))
		keep(checks, *ret_table, version, now);
	return rc;
}

static bool labels_equal(const struct cu_column *column, const struct cu_definition_column *defined)
{
	if (column->enum_labels_len != defined->labels_len)
		return false;
	for (size_t i = 0; i < defined->labels_len; i++) {
		if (strcmp(column->enum_labels[i], defined->labels[i]) != 0)
			return false;
	}
	return true;
}

/* Columns that came after the definition: they are in the stream's rows and not in the definition. */
static bool has_more(const struct cu_table *table, const cu_definition *def)
{
	unsigned plain = 0, defined = 0;

	for (unsigned i = 0; i < table->columns_len; i++)
		plain += !table->columns[i].generated;
	for (unsigned i = 0; i < def->columns_len; i++) {
		const struct cu_column *column = cu_table_column(table, def->columns[i].name);

		defined += column && !column->generated;
	}
	return plain > defined;
}

static bool column_is(const struct cu_table *table, const struct cu_definition_column *defined)
{
	const struct cu_column *column = cu_table_column(table, defined->name);

	return column && column->attnum == defined->attnum && column->type_oid == defined->type_oid &&
	       column->typmod == defined->typmod && column->pk_index == defined->pk_index &&
	       column->collate.oid == defined->collate.oid && labels_equal(column, defined);
}

static bool table_is(const struct cu_table *table, const cu_definition *def)
{
	return (cu_definition_ignores_new_columns(def) || !has_more(table, def)) &&
	       strcmp(table->name, def->name) == 0 && strcmp(table->schema, def->schema) == 0;
}

bool cu_table_fits(const struct cu_table *table, const cu_definition *def, const char *where)
{
	for (unsigned i = 0; i < def->columns_len; i++) {
		if (cu_definition_needs(def, i, where) && !column_is(table, &def->columns[i]))
			return false;
	}
	return table_is(table, def);
}

bool cu_table_fits_all(const struct cu_table *table, const cu_definition *def)
{
	for (unsigned i = 0; i < def->columns_len; i++) {
		if (!column_is(table, &def->columns[i]))
			return false;
	}
	return table_is(table, def);
}

bool cu_table_has_grown(const struct cu_table *table, const cu_definition *def)
{
	return cu_table_fits_all(table, def) && has_more(table, def);
}
