/* test_collation.h: a collation of a test's Postgres as the catalog would describe it to us. */
#ifndef TEST_COLLATION_H
#define TEST_COLLATION_H

#include "value/collation.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <unicode/ucol.h>

/* Of this machine's root collation. */
static inline const char *test_icu_version(char version[U_MAX_VERSION_STRING_LENGTH])
{
	UErrorCode status = U_ZERO_ERROR;
	UCollator *collator = ucol_open("und", &status);
	UVersionInfo info;

	CU_ASSERT(U_SUCCESS(status));
	ucol_getVersion(collator, info);
	u_versionToString(info, version);
	ucol_close(collator);
	return version;
}

/* NULL: there is none of that name. */
static inline cu_collation *test_collation(PGconn *conn, const char *name)
{
	struct cu_collation_desc desc = { .encoding = "UTF8" };
	cu_collation *collation = NULL;
	char sql[512], quoted[128];
	PGresult *row;

	snprintf(
		sql, sizeof sql,
		/* Columns that some versions have are read by way of json. */
		"SELECT oid, collprovider, collisdeterministic, coalesce(to_jsonb(c) ->> 'colllocale', "
		"to_jsonb(c) ->> 'colliculocale', collcollate), pg_collation_actual_version(oid) FROM pg_collation c WHERE collname = '%s' AND collencoding IN (-1, 6) "
		"ORDER BY collencoding DESC LIMIT 1",
		name);
	row = PQexec(conn, sql);
	if (PQntuples(row)) {
		snprintf(quoted, sizeof quoted, "\"%s\"", name);
		desc.name = quoted;
		desc.oid = (uint32_t)strtoul(PQgetvalue(row, 0, 0), NULL, 10);
		desc.provider = *PQgetvalue(row, 0, 1);
		desc.deterministic = *PQgetvalue(row, 0, 2) == 't';
		desc.locale = PQgetvalue(row, 0, 3);
		desc.version = PQgetisnull(row, 0, 4) ? NULL : PQgetvalue(row, 0, 4);
		CU_ASSERT(cu_collation_new(&desc, &collation) == 0);
	}
	PQclear(row);
	return collation;
}

#endif
