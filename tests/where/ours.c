/* ours.c: the engine's answers, and what can be checked without Postgres. */
#include "where.h"

void w_case_fini(struct wcase *c)
{
	struct wverdict *verdicts[] = { &c->ours, &c->theirs, &c->again };

	for (size_t i = 0; i < CU_ARRAY_LEN(verdicts); i++) {
		free(verdicts[i]->message);
		for (unsigned k = 0; k < W_ROWS_MAX; k++)
			free(verdicts[i]->rows[k].message);
	}
	cu_buf_fini(&c->text.sql);
	cu_buf_fini(&c->sql);
	free(c->detail);
	memset(c, 0, sizeof *c);
}

static void find(struct wcase *c, enum wfinding finding, unsigned row, const char *detail)
{
	if (c->finding >= finding)
		return;
	c->finding = finding;
	c->row = row;
	free(c->detail);
	c->detail = cu_xstrdup(detail);
}

static int parse(struct world *world, const char *text, size_t len, const struct wtext *params, cu_expr **ret_expr,
		 struct cu_expr_error *err)
{
	struct cu_expr_param own[W_PARAMS_MAX];

	for (unsigned i = 0; params && i < params->params_len; i++)
		own[i] = (struct cu_expr_param){ params->params[i], strlen(params->params[i]) };
	return cu_expr_new(world->scope, text, len, own, params ? params->params_len : 0, ret_expr, err);
}

/* Its own SQL, parsed again, is the same. */
static void check_again(struct world *world, struct wcase *c)
{
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	cu_buf sql = CU_BUF_INIT, detail = CU_BUF_INIT;
	cu_expr *expr = NULL;

	if (parse(world, c->sql.data, c->sql.len, NULL, &expr, &err) != 0) {
		cu_buf_printf(&detail, "refused: %s %s", err.sqlstate, cu_buf_str(&err.message));
		find(c, W_SQL_AGAIN, 0, cu_buf_str(&detail));
	} else {
		CU_ASSERT(cu_expr_put_sql(expr, &sql) == 0);
		if (sql.len != c->sql.len || memcmp(sql.data, c->sql.data, sql.len) != 0) {
			cu_buf_printf(&detail, "becomes %s", cu_buf_str(&sql));
			find(c, W_SQL_AGAIN, 0, cu_buf_str(&detail));
		}
	}
	cu_expr_unref(&expr);
	cu_buf_fini(&sql);
	cu_buf_fini(&detail);
	cu_buf_fini(&err.message);
}

static void evaluate(const struct world *world, struct wcase *c, const cu_expr *expr, struct cu_expr_row *row,
		     unsigned at)
{
	struct wanswer *answer = &c->ours.rows[at];
	struct cu_value_error err = { 0 };

	switch (cu_expr_eval(expr, row, &err)) {
	case CU_FALSE: answer->kind = 'f'; break;
	case CU_TRUE: answer->kind = 't'; break;
	case CU_UNKNOWN: answer->kind = 'n'; break;
	case CU_FAILED:
		answer->kind = 'e';
		memcpy(answer->sqlstate, err.sqlstate, sizeof answer->sqlstate);
		answer->message = cu_xstrdup(err.message);
		break;
	}
	if (answer->kind == 't' && !w_conditions_hold(world, cu_expr_conditions(expr), row))
		find(c, W_CONDITION, at, "the clause is true, but a condition of it does not hold");
	if (answer->kind != 't' && cu_expr_conditions(expr)->exact &&
	    w_conditions_hold(world, cu_expr_conditions(expr), row))
		find(c, W_CONDITION, at, "the exact conditions hold, but the clause is not true");
}

/* The clause as the product has it that keeps it as SQL: loaded through templates. */
static void check_loaded(const struct world *world, struct wcase *c, const cu_expr *loaded, struct cu_expr_row *row,
			 unsigned at)
{
	static const char kinds[] = { [CU_FALSE] = 'f', [CU_TRUE] = 't', [CU_UNKNOWN] = 'n', [CU_FAILED] = 'e' };
	struct cu_value_error err = { 0 };
	char kind = kinds[cu_expr_eval(loaded, row, &err)];

	if (kind != c->ours.rows[at].kind || (kind == 'e' && strcmp(err.sqlstate, c->ours.rows[at].sqlstate) != 0))
		find(c, W_SQL_AGAIN, at, "loaded from its SQL it answers otherwise");
	if (kind != 't' && cu_expr_templates_is_met(world->templates, c->sql.data, c->sql.len, row))
		find(c, W_SQL_AGAIN, at, "the row's text is said to tell that it is true, which it is not");
}

void w_ours(struct world *world, struct wcase *c, int only_row)
{
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	struct cu_expr_row row;
	cu_expr *expr = NULL, *loaded = NULL;
	int rc = parse(world, c->text.sql.data, c->text.sql.len, &c->text, &expr, &err);

	c->ours.rows_len = world->rows_len;
	if (rc) {
		c->ours.refused = true;
		if (rc == CU_EINVAL)
			memcpy(c->ours.sqlstate, err.sqlstate, sizeof c->ours.sqlstate);
		else
			memcpy(c->ours.sqlstate, "nomem", 6);
		c->ours.position = err.position;
		c->ours.message = cu_xstrdup(cu_buf_str(&err.message));
		cu_buf_fini(&err.message);
		return;
	}
	cu_buf_fini(&err.message);
	CU_ASSERT(cu_expr_put_sql(expr, &c->sql) == 0);
	check_again(world, c);
	if (cu_expr_templates_load(world->templates, c->sql.data, c->sql.len, &loaded) != 0)
		find(c, W_SQL_AGAIN, 0, "its SQL cannot be loaded");
	c->conditions = (unsigned)cu_expr_conditions(expr)->all_len;
	c->exact = cu_expr_conditions(expr)->exact;
	CU_ASSERT(cu_expr_row_init(&row, world->scope) == 0);
	for (unsigned i = 0; i < world->rows_len; i++) {
		if (only_row >= 0 && i != (unsigned)only_row)
			continue;
		cu_expr_row_set(&row, world->values[i]);
		evaluate(world, c, expr, &row, i);
		if (loaded)
			check_loaded(world, c, loaded, &row, i);
	}
	cu_expr_row_fini(&row);
	cu_expr_unref(&loaded);
	cu_expr_unref(&expr);
}
