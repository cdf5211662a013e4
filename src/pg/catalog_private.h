/* catalog_private.h: between catalog.c (reading) and catalog_cache.c (keeping). */
#ifndef CU_PG_CATALOG_PRIVATE_H
#define CU_PG_CATALOG_PRIVATE_H

#include "pg/catalog.h"

/* By name, or by oid when name is NULL. Returns a reference. CU_ENOTFOUND, CU_EPG with err. */
int cu_catalog_read(PGconn *conn, const struct cu_table_name *name, uint32_t oid, struct cu_table **ret_table,
		    struct cu_pg_error *err);

#endif
