/* where.c: parameters are numbered from 1, as in $1.
 *
 * A refusal says where, as the original does: in characters from 0, counted in the clause, but for syntax errors in
 * the query that the original puts the clause into. The words are Postgres', save where the original's answers are
 * known: a column or a parameter that is not there.
 */
#include "api/where.h"

#include "base/limits.h"

#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

/* What is wrong with the numbers of the parameters, NULL: nothing. Numbers come first and in their order (params.h). */
static const char *numbering_complaint(const struct cu_text_pair *params, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const char *key = params[i].key;

		if (*key == '\0' || key[strspn(key, "0123456789")] != '\0')
			return "Parameters can only use numbers as keys";
	}
	for (size_t i = 0; i < len; i++) {
		if (strtoul(params[i].key, NULL, 10) != i + 1)
			return "Parameters must be numbered sequentially, starting from 1";
	}
	return NULL;
}

#define SYNTAX_PREFIX_LEN (sizeof "SELECT 1 WHERE " - 1)

/* What stands between `before` at the text's start and `after` at its end, without quotes. */
static bool between(const char *text, const char *before, const char *after, cu_buf *ret_name)
{
	size_t len = strlen(text), head = strlen(before), tail = strlen(after);

	if (len < head + tail || strncmp(text, before, head) != 0 || strcmp(text + len - tail, after) != 0)
		return false;
	text += head;
	len -= head + tail;
	if (len >= 2 && text[0] == '"' && text[len - 1] == '"')
		text++, len -= 2;
	cu_buf_append(ret_name, text, len);
	return true;
}

static bool is_syntax_error(struct cu_expr_error *err)
{
	return strcmp(err->sqlstate, "42601") == 0 && strncmp(cu_buf_str(&err->message), "syntax error", 12) == 0;
}

void cu_api_complain(struct cu_expr_error *err, const char *field, size_t before, cu_api_errors *errors)
{
	const char *message = cu_buf_str(&err->message);
	cu_buf name = CU_BUF_INIT, text = CU_BUF_INIT;
	size_t location = before + (err->position ? err->position - 1 : 0);

	if (err->position)
		cu_buf_printf(&text, "At location %zu: ", location);
	if (strcmp(err->sqlstate, "42703") == 0 && between(message, "column ", " does not exist", &name))
		cu_buf_printf(&text, "unknown reference %s", cu_buf_str(&name));
	else if (strcmp(err->sqlstate, "0A000") == 0 && strncmp(message, "subqueries ", 11) == 0)
		cu_buf_clear(&text), cu_buf_puts(&text, errors->within ? "Subqueries are not allowed in subsets"
								       : "Subqueries are not supported");
	else if (strcmp(err->sqlstate, "42P02") == 0 && between(message, "there is no parameter ", "", &name))
		cu_buf_printf(&text, "parameter %s was not provided", cu_buf_str(&name));
	else
		cu_buf_puts(&text, message);
	cu_api_errors_add(errors, field, cu_buf_str(&text));
	cu_buf_fini(&name);
	cu_buf_fini(&text);
}

int cu_api_clause_parse(const cu_definition *def, const char *text, const struct cu_text_pair *params,
			size_t params_len, cu_expr **ret_clause, cu_api_errors *errors)
{
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	struct cu_expr_param *values;
	const char *complaint;
	int rc;

	/* The stream comes in UTF-8 whatever the database has; lengths in bytes, order and md5() would be others there. */
	if (def->encoding && strcmp(def->encoding, "UTF8") != 0) {
		cu_api_errors_add_fmt(errors, "where", "Where clauses need a database whose encoding is UTF8, not %s",
				      def->encoding);
		return CU_EINVAL;
	}
	values = cu_try_malloc((params_len + 1) * sizeof *values);
	if (!values)
		return CU_ENOMEM;
	for (size_t i = 0; i < params_len; i++)
		values[i] = (struct cu_expr_param){ params[i].value, strlen(params[i].value) };
	rc = cu_expr_new(def->scope, text, strlen(text), values, params_len, ret_clause, &err);
	complaint = numbering_complaint(params, params_len);
	if (complaint && (rc == 0 || (rc == CU_EINVAL && !is_syntax_error(&err)))) {
		cu_api_errors_add(errors, "params", complaint);
		cu_expr_unref(ret_clause);
		rc = CU_EINVAL;
	} else if (rc == CU_EINVAL) {
		cu_api_complain(&err, "where", is_syntax_error(&err) ? SYNTAX_PREFIX_LEN : 0, errors);
	}
	cu_buf_fini(&err.message);
	free(values);
	return rc;
}

int cu_api_where_parse(const struct cu_shape_params *params, const cu_definition *def, cu_expr **ret_where,
		       cu_api_errors *errors)
{
	*ret_where = NULL;
	if (!params->where)
		return 0; /* parameters of nothing are nothing */
	return cu_api_clause_parse(def, params->where, params->params, params->params_len, ret_where, errors);
}

/* Of the request's clause and parameters, as they were written, and the shape. Not 0. The seed is this process' own and nobody's to guess, so that nobody can look for two texts with one hash. */
static uint64_t text_hash(const struct cu_shape_params *params, uint64_t shape_id)
{
	static _Atomic uint64_t seed;
	uint64_t hash = seed, fresh;

	if (!hash) {
		CU_ASSERT(getrandom(&fresh, sizeof fresh, 0) == (ssize_t)sizeof fresh);
		/* Several threads may come here at once: the first one's counts. */
		if (atomic_compare_exchange_strong(&seed, &hash, fresh | 1))
			hash = fresh | 1;
	}
	hash = XXH3_64bits_withSeed(params->where, strlen(params->where) + 1, hash);
	for (size_t i = 0; i < params->params_len; i++)
		hash = XXH3_64bits_withSeed(params->params[i].value, strlen(params->params[i].value) + 1, hash);
	return XXH3_64bits_withSeed(&shape_id, sizeof shape_id, hash) | 1;
}

/* (text, shape) pairs that are known to belong together, by their hash; a newer one takes an older one's place. */
static _Atomic uint64_t seen[CU_API_WHERE_SEEN];

bool cu_api_where_matches(const struct cu_shape_params *params, cu_shape *shape)
{
	cu_api_errors errors = CU_API_ERRORS_INIT;
	cu_expr *where = NULL;
	cu_buf sql = CU_BUF_INIT;
	_Atomic uint64_t *known;
	uint64_t hash;
	bool matches;

	if (!params->where || !shape->route.where)
		return !params->where && !shape->route.where;
	if (numbering_complaint(params->params, params->params_len))
		return false;
	hash = text_hash(params, shape->id);
	known = &seen[(hash >> 1) % CU_API_WHERE_SEEN];
	if (atomic_load_explicit(known, memory_order_relaxed) == hash)
		return true;
	/* By its text: a shape that is being removed has its readers until they are told. */
	matches = cu_api_where_parse(params, shape->def, &where, &errors) == 0 && cu_expr_put_sql(where, &sql) == 0 &&
		  strcmp(cu_buf_str(&sql), shape->route.where) == 0;
	if (matches)
		atomic_store_explicit(known, hash, memory_order_relaxed);
	cu_buf_fini(&sql);
	cu_expr_unref(&where);
	cu_api_errors_fini(&errors);
	return matches;
}
