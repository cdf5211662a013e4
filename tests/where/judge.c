/* judge.c: Postgres is asked what the engine was asked, and the answers are compared.
 *
 *	the engine refused          only whether Postgres does (nothing is executed)
 *	no row failed with us       one query with the clause and the engine's SQL side by side
 *	some row failed, or that    clause and SQL apart: whether they are accepted, then row by row
 *	query fails
 */
#include "where.h"

const char *const w_finding_names[W_FINDINGS] = {
	[W_SAME] = "same",
	[W_UNSUPPORTED] = "unsupported",
	[W_UNSUPPORTED_ROW] = "unsupported, found out by a row",
	[W_SKIPPED] = "skipped",
	[W_MESSAGE] = "other message of a refusal",
	[W_POSITION] = "other position of a refusal",
	[W_ERROR_MESSAGE] = "other message of an error",
	[W_WHERE_FAILS] = "fails in a WHERE though no row does",
	[W_REFUSED] = "REFUSED BY US",
	[W_ACCEPTED] = "ACCEPTED BY US",
	[W_REFUSAL_STATE] = "OTHER SQLSTATE OF A REFUSAL",
	[W_VALUE] = "OTHER ANSWER",
	[W_ERROR_STATE] = "OTHER SQLSTATE OF AN ERROR",
	[W_SQL_REFUSED] = "OUR SQL REFUSED",
	[W_SQL_VALUE] = "OUR SQL ANSWERS OTHERWISE",
	[W_SQL_AGAIN] = "OUR SQL IS NOT STABLE",
	[W_CONDITION] = "WRONG CONDITION",
};

/* What stands before the clause when it is asked alone: positions count from behind it. */
#define PREFIX "SELECT ("
#define WHERE_PREFIX "SELECT FROM items WHERE ("

static void find(struct wcase *c, enum wfinding finding, unsigned row, const char *fmt, ...) CU_PRINTF(4, 5);
static void find(struct wcase *c, enum wfinding finding, unsigned row, const char *fmt, ...)
{
	cu_buf detail = CU_BUF_INIT;
	va_list args;

	if (c->finding >= W_REFUSED)
		return;
	if (!w_is_hard(finding) && finding > W_SKIPPED) {
		if (c->soft)
			return;
		c->soft = finding;
	} else {
		c->finding = finding;
	}
	c->row = row;
	va_start(args, fmt);
	cu_buf_vprintf(&detail, fmt, args);
	va_end(args);
	free(c->detail);
	c->detail = cu_xstrdup(cu_buf_str(&detail));
	cu_buf_fini(&detail);
}

/* Out of time, memory or stack: no answer. */
static bool is_skip(const char *sqlstate)
{
	return strncmp(sqlstate, "57", 2) == 0 || strncmp(sqlstate, "53", 2) == 0 || strcmp(sqlstate, "54001") == 0 ||
	       strcmp(sqlstate, "XX000") == 0; /* invalid memory alloc request size */
}

static void put_error(const PGresult *result, char *sqlstate, char **message, unsigned *position, size_t prefix)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *at = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);

	snprintf(sqlstate, 6, "%s", state ? state : "?????");
	free(*message);
	*message = cu_xstrdup(text ? text : "");
	if (position) {
		unsigned long n = at ? strtoul(at, NULL, 10) : 0;

		*position = n > prefix ? (unsigned)(n - prefix) : 0;
	}
}

static bool is_ok(const PGresult *result)
{
	return PQresultStatus(result) == PGRES_TUPLES_OK;
}

static void put_answer(const PGresult *result, int row, int column, struct wanswer *answer)
{
	if (PQgetisnull(result, row, column))
		answer->kind = 'n';
	else
		answer->kind = *PQgetvalue(result, row, column);
}

struct batch {
	struct world *world;
	struct wquery *queries;
	PGresult **results;
	char **texts;
	unsigned len, cap;
};

static unsigned add(struct batch *batch, const struct wtext *params, const char *fmt, ...) CU_PRINTF(3, 4);
static unsigned add(struct batch *batch, const struct wtext *params, const char *fmt, ...)
{
	cu_buf text = CU_BUF_INIT;
	va_list args;

	if (batch->len == batch->cap) {
		batch->cap = batch->cap ? batch->cap * 2 : 64;
		batch->queries = cu_xrealloc(batch->queries, batch->cap * sizeof(*batch->queries));
		batch->results = cu_xrealloc(batch->results, batch->cap * sizeof(*batch->results));
		batch->texts = cu_xrealloc(batch->texts, batch->cap * sizeof(*batch->texts));
	}
	va_start(args, fmt);
	cu_buf_vprintf(&text, fmt, args);
	va_end(args);
	batch->texts[batch->len] = cu_buf_steal(&text, NULL);
	batch->queries[batch->len] = (struct wquery){ batch->texts[batch->len], params ? params->params : NULL,
						      params ? params->params_len : 0 };
	return batch->len++;
}

/* Two queries that are analysed and planned, and run over no row. */
static unsigned add_probe(struct batch *batch, const struct wtext *params, const char *clause)
{
	unsigned at = add(batch, params, PREFIX "%s) FROM items WHERE false", clause);

	add(batch, params, WHERE_PREFIX "%s) LIMIT 0", clause);
	return at;
}

static void ask(struct batch *batch)
{
	w_ask(batch->world->conn, batch->queries, batch->len, batch->results);
}

static void forget(struct batch *batch)
{
	for (unsigned i = 0; i < batch->len; i++) {
		free(batch->texts[i]);
		PQclear(batch->results[i]);
	}
	batch->len = 0;
}

static void batch_fini(struct batch *batch)
{
	forget(batch);
	free(batch->queries);
	free(batch->results);
	free(batch->texts);
}

/* A WHERE refuses more than a SELECT (other types than boolean, aggregates), and plans more than it runs: for estimates
 * it evaluates what is stable. So its word counts for the analysis (class 42), the SELECT's for the rest. */
static void put_probe(struct wverdict *verdict, const PGresult *select, const PGresult *where)
{
	const char *state = is_ok(where) ? "" : PQresultErrorField(where, PG_DIAG_SQLSTATE);

	if ((strncmp(state, "42", 2) == 0 && strcmp(state, "42P22") != 0) ||
	    (*state && is_ok(select) && PQftype(select, 0) != CU_BOOLOID)) {
		verdict->refused = true;
		put_error(where, verdict->sqlstate, &verdict->message, &verdict->position, strlen(WHERE_PREFIX));
	} else if (!is_ok(select)) {
		verdict->refused = true;
		put_error(select, verdict->sqlstate, &verdict->message, &verdict->position, strlen(PREFIX));
	}
}

/* The engine names types of the database with their schema, Postgres without where the search path has it. */
static bool same_words(const char *ours, const char *theirs)
{
	while (*ours && *theirs) {
		if (strncmp(ours, "public.", 7) == 0)
			ours += 7;
		else if (strncmp(theirs, "public.", 7) == 0)
			theirs += 7;
		else if (*ours++ != *theirs++)
			return false;
	}
	return *ours == *theirs;
}

static void compare_refusals(const struct world *world, struct wcase *c)
{
	const struct wverdict *ours = &c->ours, *theirs = &c->theirs;

	/* A collation that is not determined (42P22) Postgres finds out when the first row asks for it; a clause that is
	 * too long for us (54001) never. */
	bool unsupported = strcmp(ours->sqlstate, "0A000") == 0 || strcmp(ours->sqlstate, "42P22") == 0 ||
			   strcmp(ours->sqlstate, "54001") == 0;

	/* Its catalog and grammar are those of 15: 0x10, 1_000 and IS JSON came with 16, casts between bytea and integers
	 * with 18. */
	if (strcmp(ours->sqlstate, "42601") == 0)
		unsupported |= PQserverVersion(world->conn) >= 160000;
	if (strcmp(ours->sqlstate, "42846") == 0 ||
	    (strcmp(ours->sqlstate, "42883") == 0 && strstr(ours->message, "(bytea)")))
		unsupported |= PQserverVersion(world->conn) >= 180000;
	if (is_skip(theirs->sqlstate)) {
		find(c, W_SKIPPED, 0, "%s", theirs->message);
	} else if (ours->refused && !theirs->refused) {
		if (unsupported)
			find(c, W_UNSUPPORTED, 0, "%s", ours->message);
		else
			find(c, W_REFUSED, 0, "%s at %u: %s", ours->sqlstate, ours->position, ours->message);
	} else if (theirs->refused && !ours->refused) {
		find(c, W_ACCEPTED, 0, "Postgres: %s at %u: %s", theirs->sqlstate, theirs->position, theirs->message);
	} else if (strcmp(ours->sqlstate, theirs->sqlstate) != 0) {
		enum wfinding finding = unsupported ? W_UNSUPPORTED : W_REFUSAL_STATE;

		find(c, finding, 0, "%s at %u: %s (Postgres: %s at %u: %s)", ours->sqlstate, ours->position,
		     ours->message, theirs->sqlstate, theirs->position, theirs->message);
	} else if (!same_words(ours->message, theirs->message)) {
		find(c, W_MESSAGE, 0, "%s: %s (Postgres: %s)", ours->sqlstate, ours->message, theirs->message);
	} else if (ours->position != theirs->position) {
		find(c, W_POSITION, 0, "%s at %u: %s (Postgres: at %u)", ours->sqlstate, ours->position, ours->message,
		     theirs->position);
	}
}

static void put_one(cu_buf *out, const struct wanswer *answer)
{
	if (answer->kind == 'e')
		cu_buf_printf(out, "%s %s", answer->sqlstate, answer->message);
	else
		cu_buf_puts(out, answer->kind == 't' ? "true" : answer->kind == 'f' ? "false" : "null");
}

/* Since 17 an element is read before what follows it is looked at. */
static bool is_array_read_otherwise(const struct world *world, const struct wanswer *ours)
{
	return PQserverVersion(world->conn) >= 170000 && strncmp(ours->message, "malformed array literal", 23) == 0;
}

static void compare_answers(const struct world *world, struct wcase *c, const struct wverdict *theirs, bool sql,
			    int only_row)
{
	for (unsigned i = 0; i < c->ours.rows_len; i++) {
		const struct wanswer *a = &c->ours.rows[i], *b = &theirs->rows[i];
		cu_buf detail = CU_BUF_INIT;

		if (only_row >= 0 && i != (unsigned)only_row)
			continue;
		put_one(&detail, a);
		cu_buf_puts(&detail, " (Postgres: ");
		put_one(&detail, b);
		cu_buf_puts(&detail, ")");
		if (b->kind == 'e' && is_skip(b->sqlstate))
			find(c, W_SKIPPED, i, "%s", b->message);
		else if (a->kind == 'e' && strcmp(a->sqlstate, "0A000") == 0 &&
			 (b->kind != 'e' || strcmp(b->sqlstate, "0A000") != 0))
			find(c, W_UNSUPPORTED_ROW, i, "%s", cu_buf_str(&detail));
		else if (a->kind != b->kind)
			find(c, sql ? W_SQL_VALUE : W_VALUE, i, "%s", cu_buf_str(&detail));
		else if (a->kind == 'e' && strcmp(a->sqlstate, b->sqlstate) != 0 && !is_array_read_otherwise(world, a))
			find(c, sql ? W_SQL_VALUE : W_ERROR_STATE, i, "%s", cu_buf_str(&detail));
		else if (a->kind == 'e' && !same_words(a->message, b->message))
			find(c, W_ERROR_MESSAGE, i, "%s", cu_buf_str(&detail));
		cu_buf_fini(&detail);
	}
}

static bool fails_with_us(const struct wverdict *ours)
{
	for (unsigned i = 0; i < ours->rows_len; i++)
		if (ours->rows[i].kind == 'e')
			return true;
	return false;
}

static void take_rows(const PGresult *result, int column, struct wverdict *verdict)
{
	verdict->rows_len = (unsigned)PQntuples(result);
	for (unsigned i = 0; i < verdict->rows_len && i < W_ROWS_MAX; i++)
		put_answer(result, (int)i, column, &verdict->rows[i]);
}

/* Accepted? Then row by row. */
static void resolve(struct batch *batch, struct wcase *c, const char *clause, const struct wtext *params,
		    struct wverdict *verdict, int only_row)
{
	struct world *world = batch->world;
	bool where = false;

	forget(batch);
	add_probe(batch, params, clause);
	ask(batch);
	put_probe(verdict, batch->results[0], batch->results[1]);
	where = is_ok(batch->results[0]) && PQftype(batch->results[0], 0) != CU_BOOLOID;
	forget(batch);
	verdict->rows_len = world->rows_len;
	if (verdict->refused || c->ours.refused)
		return;
	for (unsigned i = 0; i < world->rows_len; i++) {
		if (only_row >= 0 && i != (unsigned)only_row)
			continue;
		if (where)
			add(batch, params, "SELECT (%s)::boolean FROM items WHERE id = %u", clause, i + 1);
		else
			add(batch, params, "SELECT (%s) FROM items WHERE id = %u", clause, i + 1);
	}
	ask(batch);
	for (unsigned i = 0, k = 0; i < world->rows_len; i++) {
		struct wanswer *answer = &verdict->rows[i];
		const PGresult *result;

		if (only_row >= 0 && i != (unsigned)only_row)
			continue;
		result = batch->results[k++];
		if (is_ok(result)) {
			put_answer(result, 0, 0, answer);
		} else {
			answer->kind = 'e';
			put_error(result, answer->sqlstate, &answer->message, NULL, 0);
		}
	}
	forget(batch);
}

static void judge_apart(struct batch *batch, struct wcase *c, int only_row)
{
	resolve(batch, c, cu_buf_str(&c->text.sql), &c->text, &c->theirs, only_row);
	if (c->ours.refused || c->theirs.refused) {
		compare_refusals(batch->world, c);
		return;
	}
	compare_answers(batch->world, c, &c->theirs, false, only_row);
	if (c->finding)
		return;
	resolve(batch, c, cu_buf_str(&c->sql), NULL, &c->again, only_row);
	if (c->again.refused)
		find(c, is_skip(c->again.sqlstate) ? W_SKIPPED : W_SQL_REFUSED, 0, "%s at %u: %s", c->again.sqlstate,
		     c->again.position, c->again.message);
	else
		compare_answers(batch->world, c, &c->again, true, only_row);
}

/* The rows that a WHERE with our SQL finds. */
static void compare_rows(struct wcase *c, const PGresult *result)
{
	bool found[W_ROWS_MAX] = { false };

	if (!is_ok(result)) {
		find(c, W_WHERE_FAILS, 0, "%s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		return;
	}
	for (int i = 0; i < PQntuples(result); i++)
		found[(unsigned)(atoi(PQgetvalue(result, i, 0)) - 1) % W_ROWS_MAX] = true;
	for (unsigned i = 0; i < c->ours.rows_len; i++)
		if (found[i] != (c->ours.rows[i].kind == 't'))
			find(c, W_SQL_VALUE, i, "a WHERE %s the row", found[i] ? "finds" : "does not find");
}

/* The first round, for many cases at once: what is not settled by it is left to judge_apart(). */
static void judge_together(struct batch *batch, struct wcase *cases, unsigned len, int only_row)
{
	unsigned at[W_BATCH], where[W_BATCH];

	for (unsigned i = 0; i < len; i++) {
		struct wcase *c = &cases[i];

		at[i] = where[i] = UINT32_MAX;
		if (c->finding)
			c->resolved = true;
		else if (c->ours.refused)
			at[i] = add_probe(batch, &c->text, cu_buf_str(&c->text.sql));
		else if (only_row < 0 && !fails_with_us(&c->ours))
			at[i] = add(batch, &c->text, PREFIX "%s), (%s) FROM items", cu_buf_str(&c->text.sql),
				    cu_buf_str(&c->sql));
		/* As a snapshot uses it, now and then. */
		if (at[i] != UINT32_MAX && !c->ours.refused && i % 4 == 0)
			where[i] = add(batch, NULL, "SELECT id FROM items WHERE %s", cu_buf_str(&c->sql));
	}
	ask(batch);
	for (unsigned i = 0; i < len; i++) {
		struct wcase *c = &cases[i];
		const PGresult *result;

		if (at[i] == UINT32_MAX)
			continue;
		result = batch->results[at[i]];
		if (c->ours.refused) {
			put_probe(&c->theirs, result, batch->results[at[i] + 1]);
			compare_refusals(batch->world, c);
			c->resolved = true;
		} else if (is_ok(result) && PQftype(result, 0) == CU_BOOLOID &&
			   PQntuples(result) == (int)c->ours.rows_len) {
			take_rows(result, 0, &c->theirs);
			take_rows(result, 1, &c->again);
			compare_answers(batch->world, c, &c->theirs, false, only_row);
			if (!c->finding)
				compare_answers(batch->world, c, &c->again, true, only_row);
			if (!c->finding && where[i] != UINT32_MAX)
				compare_rows(c, batch->results[where[i]]);
			c->resolved = true;
		}
	}
	forget(batch);
}

void w_judge(struct world *world, struct wcase *cases, unsigned len, int only_row)
{
	struct batch batch = { .world = world };

	CU_ASSERT(len <= W_BATCH);
	judge_together(&batch, cases, len, only_row);
	for (unsigned i = 0; i < len; i++) {
		if (!cases[i].resolved)
			judge_apart(&batch, &cases[i], only_row);
	}
	batch_fini(&batch);
}
