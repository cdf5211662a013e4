/* The clause is parsed as SELECT WHERE (<clause>): the brackets make Postgres' own grammar refuse whatever may follow a
 * clause in a query (ORDER BY, UNION …), and the tokens show beforehand that they stay closed around it. */
#include "expr/parse.h"

#include "base/limits.h"

#include <pg_query.h>
#include <stdarg.h>
#include <stdlib.h>

/* Levels of a raw tree that come from one level of a checked one, when that is written out as SQL and read again:
 * brackets, the operator or call, a cast, COLLATE. */
#define LEVELS_PER_NODE 6u
#define LEVELS_MAX (CU_WHERE_DEPTH_MAX * LEVELS_PER_NODE)
/* A text with a query inside is not an expression's grammar any more: bounded by all its tokens. */
#define QUERY_TOKENS_MAX LEVELS_MAX
#define TOKENS_MAX (CU_WHERE_NODES_MAX * 16u)

int cu_expr_fail(struct cu_expr_error *err, const char *sqlstate, unsigned position, const char *fmt, ...)
{
	va_list args;

	if (err == NULL)
		return CU_EINVAL;
	memcpy(err->sqlstate, sqlstate, sizeof err->sqlstate);
	err->position = position;
	cu_buf_clear(&err->message);
	va_start(args, fmt);
	cu_buf_vprintf(&err->message, fmt, args);
	va_end(args);
	return CU_EINVAL;
}

unsigned cu_parse_position(const char *text, size_t len, size_t at)
{
	unsigned position = 1;

	for (size_t i = 1; i <= at && i < len; i++)
		position += ((unsigned char)text[i] & 0xc0) != 0x80;
	return position + (at >= len && len > 0);
}

/* The length of a valid UTF-8 sequence at text, 0: it is none. */
static size_t utf8_len(const unsigned char *text, size_t left)
{
	size_t len;
	uint32_t c;

	if (text[0] < 0x80)
		return text[0] != 0;
	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		len = 2;
	else if ((text[0] & 0xf0) == 0xe0)
		len = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (left < len)
		return 0;
	c = text[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (text[i] & 0x3f);
	}
	if ((len == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff))) || (len == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	return len;
}

size_t cu_parse_utf8(const char *text, size_t len)
{
	size_t at = 0, n;

	while (at < len && (n = utf8_len((const unsigned char *)text + at, len - at)) > 0)
		at += n;
	return at;
}

static int text_check(const char *text, size_t len, struct cu_expr_error *err)
{
	size_t at;

	if (len > CU_WHERE_BYTES_MAX)
		return cu_expr_fail(err, "54000", 0, "the where clause is longer than %u bytes", CU_WHERE_BYTES_MAX);
	at = cu_parse_utf8(text, len);
	if (at < len)
		return cu_expr_fail(err, "22021", cu_parse_position(text, len, at),
				    "invalid byte sequence for encoding \"UTF8\": 0x%02x", (unsigned char)text[at]);
	return 0;
}

/* One open bracket, [ or CASE. levels: what the current segment (between commas, AND, OR, WHEN, THEN, ELSE) adds up to
 * at most; inner: the deepest bracket in it; most: the deepest segment before it. */
struct level {
	PgQuery__Token open;
	unsigned levels, inner, most;
	unsigned betweens; /* whose AND is still to come: that one does not part two segments */
};

struct measure {
	struct level *stack;
	size_t len, cap;
	bool has_query;
};

static bool level_push(struct measure *m, PgQuery__Token open)
{
	if (m->len == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct level *stack = cu_try_realloc(m->stack, cap * sizeof *stack);

		if (stack == NULL)
			return false;
		m->stack = stack;
		m->cap = cap;
	}
	m->stack[m->len++] = (struct level){ .open = open };
	return true;
}

static unsigned level_most(const struct level *level)
{
	return CU_MAX(level->most, level->levels + level->inner);
}

static void level_pop(struct measure *m)
{
	unsigned levels = level_most(&m->stack[--m->len]) + 1;
	struct level *outer = &m->stack[m->len - 1];

	outer->inner = CU_MAX(outer->inner, levels);
}

static void segment_end(struct level *level)
{
	level->most = level_most(level);
	level->levels = level->inner = 0;
}

/* False: out of memory. The token before decides whether a keyword is one: after a dot it is a name. */
static bool measure_token(struct measure *m, const PgQuery__ScanToken *token, PgQuery__Token before)
{
	struct level *top = &m->stack[m->len - 1];
	bool is_name = before == PG_QUERY__TOKEN__ASCII_46;

	switch (token->token) {
	case PG_QUERY__TOKEN__ASCII_40:
	case PG_QUERY__TOKEN__ASCII_91: return level_push(m, token->token);
	case PG_QUERY__TOKEN__ASCII_41:
	case PG_QUERY__TOKEN__ASCII_93:
		/* What CASE left open ends with the bracket around it; the grammar will say so. */
		while (m->len > 1 && m->stack[m->len - 1].open == PG_QUERY__TOKEN__CASE)
			level_pop(m);
		if (m->len > 1)
			level_pop(m);
		return true;
	case PG_QUERY__TOKEN__CASE: return is_name || level_push(m, token->token);
	case PG_QUERY__TOKEN__END_P:
		if (!is_name && top->open == PG_QUERY__TOKEN__CASE)
			level_pop(m);
		return true;
	case PG_QUERY__TOKEN__BETWEEN: top->betweens++; break;
	case PG_QUERY__TOKEN__AND:
		if (is_name || top->betweens > 0) {
			top->betweens -= top->betweens > 0;
			break;
		}
		segment_end(top);
		return true;
	case PG_QUERY__TOKEN__WHEN:
	case PG_QUERY__TOKEN__THEN:
	case PG_QUERY__TOKEN__ELSE:
	case PG_QUERY__TOKEN__OR:
	case PG_QUERY__TOKEN__ASCII_44:
		if (is_name)
			break;
		segment_end(top);
		return true;
	case PG_QUERY__TOKEN__SELECT:
	case PG_QUERY__TOKEN__VALUES:
	case PG_QUERY__TOKEN__TABLE:
	case PG_QUERY__TOKEN__JOIN: m->has_query = true; break;
	case PG_QUERY__TOKEN__IDENT:
	case PG_QUERY__TOKEN__UIDENT:
	case PG_QUERY__TOKEN__FCONST:
	case PG_QUERY__TOKEN__SCONST:
	case PG_QUERY__TOKEN__USCONST:
	case PG_QUERY__TOKEN__BCONST:
	case PG_QUERY__TOKEN__XCONST:
	case PG_QUERY__TOKEN__ICONST:
	case PG_QUERY__TOKEN__PARAM:
	case PG_QUERY__TOKEN__ASCII_46: return true;
	default:
		if (is_name)
			return true;
		break;
	}
	top->levels++;
	return true;
}

static int syntax_error(struct cu_expr_error *err, const char *text, size_t len, const PgQuery__ScanToken *token)
{
	return cu_expr_fail(err, "42601", cu_parse_position(text, len, (size_t)token->start),
			    "syntax error at or near \"%.*s\"", (int)(token->end - token->start), text + token->start);
}

/* commas: may part what we put no brackets around. */
static int measure_tokens(const char *text, size_t len, const PgQuery__ScanResult *scan, bool commas,
			  unsigned *ret_levels, struct cu_expr_error *err)
{
	struct measure m = { 0 };
	PgQuery__Token before = PG_QUERY__TOKEN__NUL;
	size_t tokens = 0, brackets = 0, squares = 0;
	unsigned levels;
	int rc = CU_ENOMEM;

	if (!level_push(&m, PG_QUERY__TOKEN__NUL))
		goto out;
	for (size_t i = 0; i < scan->n_tokens; i++) {
		const PgQuery__ScanToken *token = scan->tokens[i];

		if (token->token == PG_QUERY__TOKEN__SQL_COMMENT || token->token == PG_QUERY__TOKEN__C_COMMENT)
			continue;
		tokens++;
		/* The clause may not leave the brackets that we put around it. */
		if (token->token == PG_QUERY__TOKEN__ASCII_59 ||
		    (brackets == 0 && token->token == PG_QUERY__TOKEN__ASCII_41) ||
		    (!commas && brackets == 0 && squares == 0 && token->token == PG_QUERY__TOKEN__ASCII_44)) {
			rc = syntax_error(err, text, len, token);
			goto out;
		}
		brackets += token->token == PG_QUERY__TOKEN__ASCII_40;
		brackets -= token->token == PG_QUERY__TOKEN__ASCII_41;
		squares += token->token == PG_QUERY__TOKEN__ASCII_91;
		squares -= token->token == PG_QUERY__TOKEN__ASCII_93 && squares > 0;
		/* OPERATOR(schema.op) is one operator. */
		if (token->token == PG_QUERY__TOKEN__OPERATOR && before != PG_QUERY__TOKEN__ASCII_46 &&
		    i + 5 < scan->n_tokens && scan->tokens[i + 1]->token == PG_QUERY__TOKEN__ASCII_40 &&
		    scan->tokens[i + 2]->token == PG_QUERY__TOKEN__IDENT &&
		    scan->tokens[i + 3]->token == PG_QUERY__TOKEN__ASCII_46 &&
		    scan->tokens[i + 5]->token == PG_QUERY__TOKEN__ASCII_41)
			i += 5, tokens += 5;
		if (!measure_token(&m, token, before))
			goto out;
		before = token->token;
	}
	while (m.len > 1)
		level_pop(&m);
	levels = level_most(&m.stack[0]) + 2;
	if (tokens > TOKENS_MAX)
		rc = cu_expr_fail(err, "54001", 0, "the where clause has more than %u parts", CU_WHERE_NODES_MAX);
	else if (levels > LEVELS_MAX || (m.has_query && tokens > QUERY_TOKENS_MAX))
		rc = cu_expr_fail(err, "54001", 0, "the where clause is nested more than %u levels deep",
				  CU_WHERE_DEPTH_MAX);
	else
		rc = 0;
	*ret_levels = m.has_query ? CU_MAX(levels, (unsigned)CU_MIN(tokens, QUERY_TOKENS_MAX)) : levels;
out:
	free(m.stack);
	return rc;
}

/* libpg_query's error in our terms; before: bytes (all ASCII) ahead of the clause in what it read. */
static int parser_error(struct cu_expr_error *err, const char *text, size_t len, const PgQueryError *error,
			size_t before)
{
	unsigned end = cu_parse_position(text, len, len);
	unsigned position = error->cursorpos > (int)before ? (unsigned)error->cursorpos - (unsigned)before : 0;
	const char *message = error->message;
	const char *state = "42601";

	/* Ours is what follows the clause. */
	if (position >= end && strncmp(message, "syntax error", 12) == 0) {
		message = "syntax error at end of input";
		position = end;
	}
	if (strstr(message, "memory exhausted") != NULL)
		state = "54001";
	if (strncmp(message, "precision for type float", 24) == 0)
		state = "22023";
	return cu_expr_fail(err, state, position, "%s", message);
}

static int measure(const char *text, size_t len, bool commas, unsigned *ret_levels, struct cu_expr_error *err)
{
	PgQueryScanResult result;
	PgQuery__ScanResult *scan = NULL;
	char *copy = NULL;
	int rc;

	rc = text_check(text, len, err);
	if (rc < 0)
		return rc;
	copy = cu_try_malloc(len + 1);
	if (copy == NULL)
		return CU_ENOMEM;
	memcpy(copy, text, len);
	copy[len] = 0;
	result = pg_query_scan(copy);
	if (result.error != NULL) {
		rc = parser_error(err, text, len, result.error, 0);
		goto out;
	}
	scan = pg_query__scan_result__unpack(NULL, result.pbuf.len, (const uint8_t *)result.pbuf.data);
	rc = scan == NULL ? CU_ENOMEM : measure_tokens(text, len, scan, commas, ret_levels, err);
out:
	if (scan != NULL)
		pg_query__scan_result__free_unpacked(scan, NULL);
	pg_query_free_scan_result(result);
	free(copy);
	return rc;
}

int cu_parse_measure(const char *text, size_t len, unsigned *ret_levels, struct cu_expr_error *err)
{
	return measure(text, len, false, ret_levels, err);
}

/* Exactly one SELECT with nothing but a WHERE or an ORDER BY clause. */
static const PgQuery__SelectStmt *only_select(const PgQuery__ParseResult *tree)
{
	const PgQuery__SelectStmt *select;
	const PgQuery__Node *stmt;

	if (tree->n_stmts != 1)
		return NULL;
	stmt = tree->stmts[0]->stmt;
	if (stmt == NULL || stmt->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
		return NULL;
	select = stmt->select_stmt;
	if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE || select->larg != NULL || select->rarg != NULL ||
	    select->n_distinct_clause || select->into_clause != NULL || select->n_target_list ||
	    select->n_from_clause || select->n_group_clause || select->having_clause != NULL ||
	    select->n_window_clause || select->n_values_lists || select->limit_offset != NULL ||
	    select->limit_count != NULL || select->n_locking_clause || select->with_clause != NULL)
		return NULL;
	return select;
}

/* prefix: all ASCII. */
static int parse(const char *prefix, const char *text, size_t len, const char *suffix, struct cu_parsed *ret_parsed,
		 struct cu_expr_error *err)
{
	PgQueryProtobufParseResult result;
	struct cu_parsed parsed = { 0 };
	cu_buf query = CU_BUF_INIT;
	int rc = CU_ENOMEM;

	cu_buf_puts(&query, prefix);
	cu_buf_append(&query, text, len);
	cu_buf_puts(&query, suffix);
	cu_buf_str(&query);
	if (cu_buf_failed(&query))
		goto out_query;
	result = pg_query_parse_protobuf(query.data);
	if (result.error != NULL) {
		rc = parser_error(err, text, len, result.error, strlen(prefix));
		goto out;
	}
	parsed.tree =
		pg_query__parse_result__unpack(NULL, result.parse_tree.len, (const uint8_t *)result.parse_tree.data);
	if (parsed.tree == NULL)
		goto out;
	parsed.select = only_select(parsed.tree);
	*ret_parsed = parsed;
	parsed.tree = NULL;
	rc = 0;
out:
	cu_parsed_free(&parsed);
	pg_query_free_protobuf_parse_result(result);
out_query:
	cu_buf_fini(&query);
	return rc;
}

int cu_parse(const char *text, size_t len, struct cu_parsed *ret_parsed, struct cu_expr_error *err)
{
	struct cu_parsed parsed = { 0 };
	/* The line's end: the clause may end in a comment. */
	int rc = parse(CU_PARSE_PREFIX, text, len, "\n)", &parsed, err);

	if (rc < 0)
		return rc;
	parsed.clause = parsed.select && !parsed.select->n_sort_clause ? parsed.select->where_clause : NULL;
	if (parsed.clause == NULL) {
		cu_parsed_free(&parsed);
		return cu_expr_fail(err, "42601", 0, "syntax error");
	}
	*ret_parsed = parsed;
	return 0;
}

int cu_parse_order_by(const char *text, size_t len, struct cu_parsed *ret_parsed, struct cu_expr_error *err)
{
	struct cu_parsed parsed = { 0 };
	unsigned levels;
	int rc;

	if (len > CU_ORDER_BY_BYTES_MAX)
		return cu_expr_fail(err, "54000", 0, "the ORDER BY clause is longer than %u bytes",
				    CU_ORDER_BY_BYTES_MAX);
	rc = measure(text, len, true, &levels, err);
	if (rc == 0 && levels > CU_ORDER_BY_LEVELS_MAX)
		rc = cu_expr_fail(err, "54001", 0, "the ORDER BY clause is nested more than %u levels deep",
				  CU_ORDER_BY_LEVELS_MAX);
	if (rc == 0)
		rc = parse(CU_PARSE_ORDER_PREFIX, text, len, "", &parsed, err);
	if (rc < 0)
		return rc;
	if (parsed.select == NULL || parsed.select->where_clause != NULL || !parsed.select->n_sort_clause) {
		cu_parsed_free(&parsed);
		return cu_expr_fail(err, "42601", 0, "only columns may follow ORDER BY");
	}
	*ret_parsed = parsed;
	return 0;
}

void cu_parsed_free(struct cu_parsed *parsed)
{
	if (parsed->tree != NULL)
		pg_query__parse_result__free_unpacked(parsed->tree, NULL);
	parsed->tree = NULL;
}
