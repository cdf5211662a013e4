/* table_check.h: does a table still look like the definitions of its shapes, as a transaction sees it?
 *
 * To read a description takes two large queries, most of what a small snapshot costs Postgres. That nothing has changed
 * since one was read takes a small one: the versions (xmin) of the catalog's rows that it is made of. Every change of a
 * row gives it another, and only what has committed is seen. Enum labels are in rows that are not looked at: a table
 * that has some is read each time.
 *
 * Threads: any. Bound: CU_TABLE_CHECKS_MAX tables, each for CU_CATALOG_TTL_MS; others are read again.
 */
#ifndef CU_TABLE_CHECK_H
#define CU_TABLE_CHECK_H

#include "pg/catalog.h"
#include "shape/definition.h"

typedef struct cu_table_checks cu_table_checks;

cu_table_checks *cu_table_checks_new(cu_catalog *catalog); /* borrowed */
void cu_table_checks_free(cu_table_checks **checks);       /* NULL is fine */

/* Appends an SQL expression: the table's version as a text; NULL: there is no such table. */
void cu_table_checks_put_version(uint32_t oid, cu_buf *sql);
/* The table as the connection's transaction sees it; version: what the expression gave in that transaction. Returns a
 * reference. CU_ENOTFOUND: there is no such table; else as cu_catalog_refresh(). */
int cu_table_checks_read(cu_table_checks *checks, PGconn *conn, uint32_t oid, const char *version,
			 struct cu_table **ret_table, struct cu_pg_error *err);

/* Is everything of the table as the definition has it that its items, or the where clause of a shape (NULL: none), depend
 * on? */
bool cu_table_fits(const struct cu_table *table, const cu_definition *def, const char *where);
/* … whatever the where clause? */
bool cu_table_fits_all(const struct cu_table *table, const cu_definition *def);
/* Has it got more columns than the definition, which ignores them, and is all else as the definition has it? */
bool cu_table_has_grown(const struct cu_table *table, const cu_definition *def);

#endif
