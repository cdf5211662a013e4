/* test_differ.h: our values against a private Postgres: the same calls on both sides, every answer compared by its text,
 * NULL, or sqlstate and message.
 *
 *	struct differ d; differ_open(&d, cluster);
 *	d.ops[CU_REPR_INT] = &cu_repr_ops_int; d.tables[0] = &cu_functions_int;   (only what the test links)
 *	differ_in(&d, type, "text");            'text'::type, in and out again
 *	differ_call(&d, "int4pl", …);           one call of a function
 *	differ_functions(&d, &table, pools, …); every pg_proc entry of a table's functions over pools of arguments
 *	differ_laws(&d, type, texts, len);      compare against < and =, keys against equality, all pairs
 *	differ_close(&d);                       asks what is still queued, fails when anything differed
 *
 * The arguments drawn are the same every time; DIFFER_SEED=n draws others. Calls are queued and asked in batches; a refusal costs a subtransaction, about 30 us.
 */
#ifndef TEST_DIFFER_H
#define TEST_DIFFER_H

#include "pg_cluster.h"
#include "value/internal.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#define DIFFER_BATCH 2000
#define DIFFER_SHOWN 40
#define DIFFER_ARGS 7
#define DIFFER_MESSAGE 200

struct differ {
	PGconn *conn;
	int pg_version; /* major */
	const struct cu_repr_ops *ops[CU_REPR_ARRAY + 1];
	const struct cu_function_table *tables[16];
	const struct cu_type *types[16];      /* what cu_type_builtin() does not know: enums */
	const struct cu_collation *collation; /* given to the functions */
	bool may_refuse;                      /* our 0A000 is no difference, but counted */
	size_t refused;
	bool sqlstate_only; /* messages are not compared */
	cu_arena arena;
	cu_buf queries; /* separated by \1 */
	char *ours[DIFFER_BATCH];
	unsigned queued;
	size_t asked, differing;
	uint64_t seed; /* of differ_rand() */
};

/* Arguments of one type. */
struct differ_pool {
	uint32_t type;
	const char *const *texts;
	size_t len;
	void (*random)(struct differ *d, cu_buf *out); /* may be NULL: from texts only */
};

static inline uint64_t differ_rand(struct differ *d)
{
	uint64_t z = (d->seed += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline void differ_sql(struct differ *d, const char *sql)
{
	PGresult *result = PQexec(d->conn, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
		fprintf(stderr, "%s\n%s", sql, PQerrorMessage(d->conn));
		abort();
	}
	PQclear(result);
}

static inline void differ_open_url(struct differ *d, const char *url)
{
	memset(d, 0, sizeof *d);
	d->conn = PQconnectdb(url);
	if (PQstatus(d->conn) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(d->conn));
		abort();
	}
	d->pg_version = PQserverVersion(d->conn) / 10000;
	d->seed = getenv("DIFFER_SEED") ? strtoull(getenv("DIFFER_SEED"), NULL, 10) : 1;
	differ_sql(d,
		   "SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC';"
		   "SET extra_float_digits = 1; SET IntervalStyle = 'iso_8601'; SET client_min_messages = error;"
		   "CREATE OR REPLACE FUNCTION pg_temp.ask(q text) RETURNS text LANGUAGE plpgsql AS $$"
		   "DECLARE r text; BEGIN EXECUTE 'SELECT CASE WHEN v IS NULL THEN ''N'' ELSE format(''V%s'', v) END "
		   "FROM (SELECT ' || q || ' AS v OFFSET 0) s' INTO r; RETURN r;"
		   "EXCEPTION WHEN OTHERS THEN RETURN 'E' || SQLSTATE || ' ' || SQLERRM; END $$");
}

static inline void differ_open(struct differ *d, struct pg_cluster *cluster)
{
	differ_open_url(d, pg_cluster_url(cluster, NULL));
}

static inline void differ_flush(struct differ *d)
{
	const char *values[1];
	PGresult *result;

	if (!d->queued)
		return;
	values[0] = cu_buf_str(&d->queries);
	result = PQexecParams(d->conn,
			      "SELECT pg_temp.ask(q), q FROM unnest(string_to_array($1, E'\\x01')) WITH ORDINALITY "
			      "AS u(q, i) ORDER BY i",
			      1, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != (int)d->queued) {
		fprintf(stderr, "%s", PQresultErrorMessage(result));
		abort();
	}
	for (unsigned i = 0; i < d->queued; i++) {
		const char *theirs = PQgetvalue(result, (int)i, 0);
		bool same = strcmp(theirs, d->ours[i]) == 0;

		if (!same && d->sqlstate_only && theirs[0] == 'E' && d->ours[i][0] == 'E')
			same = strncmp(theirs, d->ours[i], 6) == 0;
		if (!same && d->may_refuse && strncmp(d->ours[i], "E0A000", 6) == 0) {
			same = true;
			d->refused++;
		}
		/* Ours are cut (struct cu_value_error). */
		if (!same && theirs[0] == 'E' && strlen(d->ours[i]) > DIFFER_MESSAGE)
			same = strncmp(theirs, d->ours[i], DIFFER_MESSAGE) == 0;
		if (!same && d->differing++ < DIFFER_SHOWN)
			fprintf(stderr, "DIFFERS %.400s\n\tPostgres %.300s\n\tours     %.300s\n",
				PQgetvalue(result, (int)i, 1), theirs, d->ours[i]);
		free(d->ours[i]);
	}
	d->asked += d->queued;
	d->queued = 0;
	cu_buf_clear(&d->queries);
	PQclear(result);
}

/* Asks Postgres for the expression and expects ours: "V<text>", "N", or "E<sqlstate> <message>". Borrows both. */
static inline void differ_expect(struct differ *d, const char *sql, const char *ours)
{
	if (d->queued)
		cu_buf_putc(&d->queries, '\1');
	cu_buf_puts(&d->queries, sql);
	d->ours[d->queued++] = cu_xstrdup(ours);
	if (d->queued == DIFFER_BATCH)
		differ_flush(d);
}

/* Returns how many answers differed. */
static inline size_t differ_close(struct differ *d)
{
	differ_flush(d);
	printf("%zu answers compared, %zu differ, %zu refused\n", d->asked, d->differing, d->refused);
	cu_buf_fini(&d->queries);
	cu_arena_fini(&d->arena);
	PQfinish(d->conn);
	return d->differing;
}

static inline const struct cu_type *differ_type(struct differ *d, uint32_t oid)
{
	for (size_t i = 0; i < CU_ARRAY_LEN(d->types); i++)
		if (d->types[i] && d->types[i]->oid == oid)
			return d->types[i];
	return cu_type_builtin(oid);
}

static inline const struct cu_repr_ops *differ_ops(struct differ *d, const struct cu_type *type)
{
	const struct cu_repr_ops *ops = d->ops[type->repr];

	if (!ops) {
		fprintf(stderr, "no ops for type %s\n", type->name);
		abort();
	}
	return ops;
}

static inline void differ_put_error(cu_buf *out, int rc, const struct cu_value_error *err)
{
	if (rc == CU_EINVAL)
		cu_buf_printf(out, "E%s %s", err->sqlstate, err->message);
	else
		cu_buf_printf(out, "failed with %s", cu_strerror(rc));
}

static inline void differ_put_result(struct differ *d, const struct cu_type *type, int rc, const struct cu_datum *datum,
				     const struct cu_value_error *err, cu_buf *out)
{
	if (rc) {
		differ_put_error(out, rc, err);
	} else if (datum->is_null) {
		cu_buf_putc(out, 'N');
	} else {
		cu_buf_putc(out, 'V');
		rc = differ_ops(d, type)->out(type, datum, out);
		if (rc)
			cu_buf_printf(out, "out failed with %s", cu_strerror(rc));
	}
}

static inline void differ_put_literal(struct differ *d, cu_buf *sql, const struct cu_type *type, const char *text)
{
	char *quoted = text ? PQescapeLiteral(d->conn, text, strlen(text)) : NULL;

	cu_buf_printf(sql, "%s::%s", quoted ? quoted : "NULL", type->name);
	PQfreemem(quoted);
}

/* 'text'::type */
static inline void differ_in(struct differ *d, const struct cu_type *type, const char *text)
{
	struct cu_value_error err = { 0 };
	struct cu_datum datum = { 0 };
	cu_buf sql = CU_BUF_INIT, ours = CU_BUF_INIT;
	int rc;

	cu_arena_reset(&d->arena);
	rc = differ_ops(d, type)->in(type, -1, text, strlen(text), &d->arena, &datum, &err);
	differ_put_result(d, type, rc, &datum, &err, &ours);
	differ_put_literal(d, &sql, type, text);
	differ_expect(d, cu_buf_str(&sql), cu_buf_str(&ours));
	cu_buf_fini(&sql);
	cu_buf_fini(&ours);
}

static inline cu_function differ_find(struct differ *d, const char *prosrc)
{
	const struct cu_function_entry *found = NULL;

	for (size_t t = 0; t < CU_ARRAY_LEN(d->tables); t++) {
		for (size_t i = 0; d->tables[t] && i < d->tables[t]->len; i++) {
			const struct cu_function_entry *entry = &d->tables[t]->entries[i];

			if (cu_function_serves(entry, prosrc, d->pg_version) &&
			    (!found || strcmp(found->prosrc, entry->prosrc) < 0))
				found = entry;
		}
	}
	if (!found) {
		fprintf(stderr, "no function %s\n", prosrc);
		abort();
	}
	return found->function;
}

/* One call. proname: the name to call it by in pg_catalog; ret_type: of the result. texts: NULL for NULL. */
static inline void differ_call(struct differ *d, const char *prosrc, const char *proname,
			       const struct cu_type *ret_type, const struct cu_type *const *types,
			       const char *const *texts, unsigned len)
{
	struct cu_value_error err = { 0 };
	struct cu_datum args[DIFFER_ARGS], ret = { 0 };
	struct cu_function_call call = { &d->arena, types, ret_type, d->collation, args, len, &err };
	cu_buf sql = CU_BUF_INIT, ours = CU_BUF_INIT;
	char *quoted = PQescapeIdentifier(d->conn, proname, strlen(proname));
	int rc = 0;

	cu_arena_reset(&d->arena);
	cu_buf_printf(&sql, "pg_catalog.%s(", quoted);
	PQfreemem(quoted);
	for (unsigned i = 0; i < len; i++) {
		args[i] = CU_DATUM_NULL;
		if (rc == 0 && texts[i])
			rc = differ_ops(d, types[i])
				     ->in(types[i], -1, texts[i], strlen(texts[i]), &d->arena, &args[i], &err);
		cu_buf_puts(&sql, i ? ", " : "");
		differ_put_literal(d, &sql, types[i], texts[i]);
	}
	cu_buf_putc(&sql, ')');
	if (rc == 0)
		rc = differ_find(d, prosrc)(&call, &ret);
	differ_put_result(d, ret_type, rc, &ret, &err, &ours);
	differ_expect(d, cu_buf_str(&sql), cu_buf_str(&ours));
	cu_buf_fini(&sql);
	cu_buf_fini(&ours);
}

static inline const struct differ_pool *differ_pool_of(const struct differ_pool *pools, size_t pools_len, uint32_t type)
{
	for (size_t i = 0; i < pools_len; i++)
		if (pools[i].type == type)
			return &pools[i];
	return NULL;
}

/* One pg_proc row over its pools: all combinations when there are at most `cases`, else that many, drawn. */
static inline void differ_function(struct differ *d, const struct cu_function_entry *entry, const char *proname,
				   const struct cu_type *ret_type, const struct cu_type *const *types,
				   const struct differ_pool *const *pools, unsigned len, size_t cases)
{
	const char *texts[DIFFER_ARGS];
	size_t product = 1;
	cu_buf random[DIFFER_ARGS];

	memset(random, 0, sizeof random);
	for (unsigned i = 0; i < len; i++)
		product = product > cases ? product : product * pools[i]->len;
	for (size_t n = 0; n < CU_MIN(product, cases); n++) {
		size_t left = n;

		for (unsigned i = 0; i < len; i++) {
			size_t at = product <= cases ? left % pools[i]->len : differ_rand(d) % pools[i]->len;

			left /= pools[i]->len;
			texts[i] = pools[i]->texts[at];
		}
		differ_call(d, entry->prosrc, proname, ret_type, types, texts, len);
	}
	for (size_t n = 0; n < cases; n++) {
		bool any = false;

		for (unsigned i = 0; i < len; i++) {
			texts[i] = pools[i]->texts[differ_rand(d) % pools[i]->len];
			if (pools[i]->random && (differ_rand(d) & 3)) {
				cu_buf_clear(&random[i]);
				pools[i]->random(d, &random[i]);
				texts[i] = cu_buf_str(&random[i]);
				any = true;
			}
		}
		if (any)
			differ_call(d, entry->prosrc, proname, ret_type, types, texts, len);
	}
	for (unsigned i = 0; i < len; i++)
		cu_buf_fini(&random[i]);
}

/* Every pg_proc row whose prosrc stands in the table: up to `cases` combinations from the pools and as many random
 * ones. A prosrc that pg_proc does not know counts as a difference; rows with an argument or result type for which
 * there is no pool or no ops are left out, a function of which every row is left out counts as a difference too.
 * any: what stands for a polymorphic type (anyenum …); NULL: none. */
static inline void differ_functions(struct differ *d, const struct cu_function_table *table,
				    const struct differ_pool *pools, size_t pools_len, const struct cu_type *any,
				    size_t cases)
{
	for (size_t e = 0; e < table->len; e++) {
		const struct cu_function_entry *entry = &table->entries[e];
		const char *values[1] = { entry->prosrc };
		unsigned called = 0;
		PGresult *rows;

		if (strchr(entry->prosrc, ' '))
			continue; /* differ_find() finds it by its name */
		differ_flush(d);
		rows = PQexecParams(
			d->conn,
			"SELECT proname, prorettype::oid, array_to_string(proargtypes::oid[], ' '), pronargs "
			"FROM pg_proc WHERE prolang = 12 AND NOT proretset AND prosrc = $1 ORDER BY oid",
			1, NULL, values, NULL, NULL, 0);
		for (int r = 0; r < PQntuples(rows); r++) {
			uint32_t ret_oid = (uint32_t)strtoul(PQgetvalue(rows, r, 1), NULL, 10);
			const struct cu_type *types[DIFFER_ARGS], *ret = differ_type(d, ret_oid);
			const struct differ_pool *of[DIFFER_ARGS];
			unsigned len = (unsigned)atoi(PQgetvalue(rows, r, 3));
			char *at = PQgetvalue(rows, r, 2);
			bool ok;

			if (!ret && any)
				ret = any;
			ok = ret && d->ops[ret->repr] && len <= DIFFER_ARGS;
			for (unsigned i = 0; ok && i < len; i++) {
				types[i] = differ_type(d, (uint32_t)strtoul(at, &at, 10));
				if (!types[i])
					types[i] = any;
				of[i] = types[i] ? differ_pool_of(pools, pools_len, types[i]->oid) : NULL;
				ok = of[i] != NULL;
			}
			if (!ok)
				continue;
			differ_function(d, entry, PQgetvalue(rows, r, 0), ret, types, of, len, cases);
			called++;
		}
		PQclear(rows);
		if (!called) {
			fprintf(stderr, "DIFFERS %s: never called\n", entry->prosrc);
			d->differing++;
		}
	}
}

/* compare() against Postgres' < and =, put_key() and words against compare(), over all pairs. The texts must be valid. */
static inline void differ_laws(struct differ *d, const struct cu_type *type, const char *const *texts, size_t len)
{
	const struct cu_repr_ops *ops = differ_ops(d, type);
	struct cu_datum *datums = cu_xzalloc(len * sizeof *datums);
	cu_buf *keys = cu_xzalloc(len * sizeof *keys);

	cu_arena_reset(&d->arena);
	for (size_t i = 0; i < len; i++) {
		CU_ASSERT(ops->in(type, -1, texts[i], strlen(texts[i]), &d->arena, &datums[i], NULL) == 0);
		if (ops->put_key)
			CU_ASSERT(ops->put_key(type, d->collation, &datums[i], &keys[i]) == 0);
	}
	for (size_t i = 0; i < len; i++) {
		for (size_t j = 0; j < len; j++) {
			int order = ops->compare(type, d->collation, &datums[i], &datums[j]);
			int reverse = ops->compare(type, d->collation, &datums[j], &datums[i]);
			bool equal = keys[i].len == keys[j].len &&
				     (!keys[i].len || memcmp(keys[i].data, keys[j].data, keys[i].len) == 0);
			int64_t words[2];
			cu_buf sql = CU_BUF_INIT;

			if (cu_value_order_word(type, &datums[i], &words[0]) &&
			    cu_value_order_word(type, &datums[j], &words[1]) &&
			    (order > 0) - (order < 0) != (words[0] > words[1]) - (words[0] < words[1])) {
				fprintf(stderr, "DIFFERS %s: %s and %s: the order of their words\n", type->name,
					texts[i], texts[j]);
				d->differing++;
			}
			if ((order > 0) - (order < 0) != (reverse < 0) - (reverse > 0) ||
			    (ops->put_key && (order == 0) != equal)) {
				fprintf(stderr, "DIFFERS %s: %s and %s: order %d and %d, keys %s\n", type->name,
					texts[i], texts[j], order, reverse, equal ? "equal" : "different");
				d->differing++;
			}
			cu_buf_puts(&sql,
				    "(SELECT CASE WHEN a < b THEN '<' WHEN a = b THEN '=' ELSE '>' END FROM (SELECT ");
			differ_put_literal(d, &sql, type, texts[i]);
			cu_buf_puts(&sql, " AS a, ");
			differ_put_literal(d, &sql, type, texts[j]);
			cu_buf_puts(&sql, " AS b) ab)");
			differ_expect(d, cu_buf_str(&sql), order < 0 ? "V<" : order > 0 ? "V>" : "V=");
			cu_buf_fini(&sql);
		}
	}
	for (size_t i = 0; i < len; i++)
		cu_buf_fini(&keys[i]);
	free(datums);
	free(keys);
}

#endif
