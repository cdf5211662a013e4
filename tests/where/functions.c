/* functions.c: what Postgres' catalog offers over the types we know, and which of it the engine has.
 *
 * Immutable functions all, since they can do no harm; stable ones only where the engine has them. What the engine does not have is
 * generated now and then, for the refusal.
 */
#include "where.h"

#include "expr/catalog.h"

static const char load_sql[] =
	"WITH ok(oid) AS (SELECT unnest('{16,17,18,19,20,21,23,25,26,114,700,701,1042,1043,1082,1083,1114,1184,1186,"
	"  1266,1700,2950,3802,2276,2277,2283,2776,3500,5077,5078,5079}'::oid[])"
	" UNION SELECT typarray FROM pg_type WHERE oid IN (16,17,18,19,20,21,23,25,26,114,700,701,1042,1043,1082,1083,"
	"  1114,1184,1186,1266,1700,2950,3802)"
	" UNION SELECT oid FROM pg_type WHERE typname IN ('citext', '_citext')),"
	" p AS (SELECT p.*, l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
	"  WHERE p.pronamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace) AND p.prokind = 'f' AND NOT p.proretset AND p.pronargs <= 8"
	"  AND p.prorettype IN (SELECT oid FROM ok)"
	"  AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a WHERE a NOT IN (SELECT oid FROM ok))"
	"  AND (p.provolatile = 'i' OR p.provolatile = 's' AND p.proname !~ '^(pg_|txid|has_|current|session|inet_|"
	"database|schema|table|query|cursor|xml|ts_|to_ts|col_|obj_|row_security|getdatabase|currtid|version|"
	"shobj|format_type|jsonb_pop|json_pop|to_reg|binary_upgrade|acl|set_config|lo_)')"
	"  AND p.proname NOT IN ('pg_sleep', 'pg_relation_is_publishable', 'hashvarlena'))"
	" SELECT o.oprname, CASE o.oprleft WHEN 0 THEN 'p' ELSE 'o' END, p.prosrc, o.oprresult,"
	"  CASE o.oprleft WHEN 0 THEN o.oprright::text ELSE o.oprleft || ' ' || o.oprright END, 0, p.lanname, p.provolatile,"
	"  p.pronamespace <> 'pg_catalog'::regnamespace, o.oid, o.oprname FROM pg_operator o JOIN p ON p.oid = o.oprcode"
	" UNION ALL SELECT quote_ident(p.proname), 'f', p.prosrc, p.prorettype, p.proargtypes::text, p.provariadic,"
	"  p.lanname, p.provolatile, p.pronamespace <> 'pg_catalog'::regnamespace, p.oid, p.proname FROM p ORDER BY 2, 1, 10";

static bool is_small(const char *name)
{
	static const char *const names[] = { "repeat", "lpad", "rpad",        "factorial", "format", "power", "pow",
					     "^",      "exp",  "numeric_inc", "<<",        "round",  "trunc" };

	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static PGresult *rows_of(PGconn *conn, const char *sql)
{
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		fprintf(stderr, "%s\n%s", sql, PQerrorMessage(conn));
		abort();
	}
	return result;
}

static uint32_t oid_of(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

static void make_buckets(struct wfunctions *functions)
{
	functions->buckets = cu_xzalloc(functions->procs_len * sizeof(*functions->buckets));
	for (unsigned i = 0; i < functions->procs_len; i++) {
		struct wbucket *bucket = functions->buckets;

		while (bucket->ids && bucket->ret != functions->procs[i].ret)
			bucket++;
		if (!bucket->ids) {
			bucket->ret = functions->procs[i].ret;
			bucket->ids = cu_xzalloc(functions->procs_len * sizeof(*bucket->ids));
			functions->buckets_len++;
		}
		bucket->ids[bucket->len++] = i;
	}
}

const struct wbucket *w_bucket(const struct wfunctions *functions, uint32_t ret)
{
	static const struct wbucket none;

	for (unsigned i = 0; i < functions->buckets_len; i++)
		if (functions->buckets[i].ret == ret)
			return &functions->buckets[i];
	return &none;
}

/* The engine's catalog is that of one version: what came later it refuses, whatever the arguments. */
static bool is_known(const struct wproc *proc, const char *name)
{
	const struct cu_catalog_proc *procs;
	const struct cu_catalog_op *ops;
	size_t len;

	if (proc->is_op) {
		uint32_t left = proc->is_prefix ? 0 : proc->args[0];

		len = cu_catalog_ops(name, &ops);
		while (len > 0 && (ops[len - 1].left != left || ops[len - 1].right != proc->args[proc->args_len - 1]))
			len--;
		return len > 0;
	}
	for (len = cu_catalog_procs(name, &procs); len > 0; len--) {
		const uint16_t *args = cu_catalog_args(&procs[len - 1]);
		unsigned same = 0;

		while (same < proc->args_len && same < procs[len - 1].args_len && args[same] == proc->args[same])
			same++;
		if (same == proc->args_len && same == procs[len - 1].args_len)
			return true;
	}
	return false;
}

void w_functions_load(PGconn *conn, struct wfunctions *functions)
{
	PGresult *rows = rows_of(conn, load_sql);

	memset(functions, 0, sizeof *functions);
	functions->procs = cu_xzalloc((size_t)PQntuples(rows) * sizeof(*functions->procs));
	for (int i = 0; i < PQntuples(rows); i++) {
		struct wproc *proc = &functions->procs[functions->procs_len];
		const char *args = PQgetvalue(rows, i, 4), *prosrc = PQgetvalue(rows, i, 2);
		bool sql = strcmp(PQgetvalue(rows, i, 6), "sql") == 0;
		bool offered = sql || cu_function_find(prosrc, PQserverVersion(conn) / 10000) != NULL;
		char *end;

		if (!offered && *PQgetvalue(rows, i, 7) != 'i')
			continue;
		proc->name = cu_xstrdup(PQgetvalue(rows, i, 0));
		proc->prosrc = cu_xstrdup(sql ? "" : prosrc);
		proc->is_op = *PQgetvalue(rows, i, 1) != 'f';
		proc->is_prefix = *PQgetvalue(rows, i, 1) == 'p';
		proc->ret = oid_of(PQgetvalue(rows, i, 3));
		proc->variadic = oid_of(PQgetvalue(rows, i, 5));
		proc->offered = offered;
		proc->is_public = *PQgetvalue(rows, i, 8) == 't';
		proc->wants_small = is_small(proc->name);
		for (; *args; args = *end ? end + 1 : end)
			proc->args[proc->args_len++] = (uint32_t)strtoul(args, &end, 10);
		if (!proc->is_public && !is_known(proc, PQgetvalue(rows, i, 10))) {
			free(proc->name);
			free(proc->prosrc);
			memset(proc, 0, sizeof *proc);
			continue;
		}
		functions->procs_len++;
	}
	PQclear(rows);
	make_buckets(functions);

	rows = rows_of(conn, "SELECT castsource, casttarget, castcontext FROM pg_cast");
	functions->casts = cu_xzalloc((size_t)PQntuples(rows) * sizeof(*functions->casts));
	for (int i = 0; i < PQntuples(rows); i++) {
		functions->casts[i].source = oid_of(PQgetvalue(rows, i, 0));
		functions->casts[i].target = oid_of(PQgetvalue(rows, i, 1));
		functions->casts[i].context = *PQgetvalue(rows, i, 2);
	}
	functions->casts_len = (unsigned)PQntuples(rows);
	PQclear(rows);
}

void w_functions_free(struct wfunctions *functions)
{
	for (unsigned i = 0; i < functions->procs_len; i++) {
		free(functions->procs[i].name);
		free(functions->procs[i].prosrc);
	}
	for (unsigned i = 0; i < functions->buckets_len; i++)
		free(functions->buckets[i].ids);
	free(functions->buckets);
	free(functions->procs);
	free(functions->casts);
	memset(functions, 0, sizeof *functions);
}
