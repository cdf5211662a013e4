/* A clause from its text to its program; what is kept of it afterwards. */
#include "expr/conditions.h"
#include "expr/program.h"
#include "expr/template.h"

#include "base/limits.h"

#include <pthread.h>
#include <stdlib.h>

/* A parser's and the checker's stack frames are some 2 KiB for each level (more with sanitizers). Clauses up to LEVELS_HERE are
 * handled on the caller's stack, deeper ones on one of their own. */
#define LEVELS_HERE 48u
#define DEEP_STACK_BYTES (32u * 1024 * 1024)

struct cu_expr {
	int refs; /* atomic */
	cu_expr_scope *scope;
	cu_program *program;
	const struct cu_datum *consts;
	const struct cu_const_set *sets;
	size_t sets_len;
	const struct cu_conditions *conditions;
	char *sql;
	uint32_t sql_len;
	uint16_t columns_len;
	cu_arena arena; /* constants, sets, conditions, columns */
	const uint16_t *columns;
};

struct job {
	cu_expr_scope *scope;
	const char *text;
	size_t len;
	const struct cu_expr_param *params;
	size_t params_len;
	struct cu_expr_error *err;
	struct cu_expr *expr;
	struct cu_const_marks *marks; /* NULL: nobody asks */
	int rc;
};

static int check_params(const struct cu_expr_param *params, size_t params_len, struct cu_expr_error *err)
{
	size_t bytes = 0;

	if (params_len > UINT16_MAX)
		return cu_expr_fail(err, "54000", 0, "there are more than %u parameters", UINT16_MAX);
	for (size_t i = 0; i < params_len; i++) {
		const char *text = params[i].text;
		size_t valid = text == NULL ? 0 : cu_parse_utf8(text, params[i].len);

		if (text == NULL)
			continue;
		if (valid < params[i].len)
			return cu_expr_fail(err, "22021", 0,
					    "invalid byte sequence for encoding \"UTF8\": 0x%02x, in parameter $%zu",
					    (unsigned char)text[valid], i + 1);
		bytes += params[i].len;
	}
	if (bytes > CU_WHERE_BYTES_MAX)
		return cu_expr_fail(err, "54000", 0, "the where clause's parameters are longer than %u bytes",
				    CU_WHERE_BYTES_MAX);
	return 0;
}

/* Which columns the program reads. */
static int columns_find(struct cu_expr *expr)
{
	const cu_program *program = expr->program;
	size_t len = expr->scope->columns_len, n = 0;
	uint8_t *used = cu_try_zalloc(len + 1);
	uint16_t *columns;

	if (used == NULL)
		return CU_ENOMEM;
	for (uint32_t i = 0; i < program->steps_len; i++) {
		if (program->steps[i].op == CU_STEP_COLUMN && !used[program->steps[i].n]++)
			n++;
	}
	columns = cu_arena_alloc(&expr->arena, n * sizeof *columns);
	if (columns != NULL) {
		n = 0;
		for (size_t i = 0; i < len; i++) {
			if (used[i])
				columns[n++] = (uint16_t)i;
		}
		expr->columns = columns;
		expr->columns_len = (uint16_t)n;
	}
	free(used);
	return columns == NULL ? CU_ENOMEM : 0;
}

/* The constants, out of the check's large arena into the expr's small one: by way of their text, which is exact. */
static int consts_keep(struct cu_check *check, struct cu_expr *expr, const struct cu_datum *consts)
{
	uint32_t len = expr->program->consts_len;
	struct cu_datum *kept = cu_arena_alloc(&expr->arena, len * sizeof *kept);
	int rc = kept == NULL ? CU_ENOMEM : 0;

	for (uint32_t i = 0; rc == 0 && i < len; i++)
		rc = cu_datum_keep(expr->program->const_types[i], &consts[i], &expr->arena, &kept[i]);
	expr->consts = kept;
	/* The snapshot's query could not hold it either: a time 24 hours from UTC, which AT TIME ZONE can make. */
	if (rc == CU_EINVAL)
		cu_expr_fail(check->err, "0A000", 0,
			     "a part of the where clause has a constant value that cannot be written in SQL");
	return rc;
}

static int expr_keep(struct cu_check *check, struct cu_node *node, struct cu_expr *expr, struct cu_const_marks *marks)
{
	const struct cu_datum *consts;
	cu_buf sql = CU_BUF_INIT;
	size_t sql_len;
	int rc;

	expr->program = cu_program_new(check, node, &consts);
	if (expr->program == NULL)
		return check->rc;
	rc = cu_deparse(check->scope, node, &sql, marks);
	if (rc < 0)
		goto out;
	expr->sql = cu_buf_steal(&sql, &sql_len);
	rc = CU_ENOMEM;
	if (expr->sql == NULL)
		goto out;
	expr->sql_len = (uint32_t)sql_len;
	expr->arena.block_size = 256;
	rc = consts_keep(check, expr, consts);
	if (rc < 0)
		goto out;
	rc = cu_const_sets_new(expr->program, expr->consts, &expr->arena, &expr->sets, &expr->sets_len);
	if (rc < 0)
		goto out;
	rc = columns_find(expr);
	if (rc < 0)
		goto out;
	rc = cu_conditions_new(check, node, &expr->arena, &expr->conditions);
out:
	if (rc == CU_ETOOBIG)
		rc = cu_expr_fail(check->err, "54001", 0, "the where clause has more than %u parts",
				  CU_WHERE_NODES_MAX);
	cu_buf_fini(&sql);
	return rc;
}

/* Every parameter has a type, and its text is a value of it. In Postgres' order of complaints. */
static bool params_settled(struct cu_check *check)
{
	const struct cu_node *untyped = NULL;

	/* Where no type is needed; but when another use tells it, Postgres wants to know it there as well. */
	for (const struct cu_node *use = check->param_uses; use != NULL; use = use->ref) {
		if (use->type == CU_UNKNOWNOID && !use->copied && check->param_types[use->param - 1] != CU_UNKNOWNOID)
			untyped = use;
	}
	if (untyped != NULL)
		return cu_check_fail(check, "42P08", untyped->at, "could not determine data type of parameter $%u",
				     untyped->param);
	for (size_t i = 0; i < check->params_len; i++) {
		if (check->param_types[i] == CU_UNKNOWNOID && check->param_used[i])
			return cu_check_fail(check, "42P18", -1, "could not determine data type of parameter $%zu",
					     i + 1);
	}
	return check->bad_param == 0 ||
	       cu_check_value_error(check, check->bad_param_rc, check->bad_param_at, &check->bad_param_err);
}

static bool is_late(struct cu_check *check)
{
	if (check->late.sqlstate[0] != 0)
		cu_check_value_error(check, CU_EINVAL, -1, &check->late);
	return check->late.sqlstate[0] != 0;
}

static int expr_check(struct cu_check *check, const struct cu_parsed *parsed, struct cu_expr *expr,
		      struct cu_const_marks *marks)
{
	struct cu_node *node = cu_check_expr(check, parsed->clause);

	if (node == NULL)
		return check->rc;
	node = cu_check_boolean(check, node, "WHERE");
	if (node == NULL)
		return check->rc;
	if (!cu_collate(check, node) || !params_settled(check) || is_late(check))
		return check->rc;
	node = cu_fold(check, node);
	if (node != NULL && is_late(check))
		node = NULL;
	if (node == NULL)
		return check->rc;
	return expr_keep(check, node, expr, marks);
}

static void job_run(struct job *job)
{
	cu_arena arena = CU_ARENA_INIT;
	struct cu_check check = {
		.arena = &arena,
		.scope = job->scope,
		.err = job->err,
		.text = job->text,
		.text_len = job->len,
		.params = job->params,
		.params_len = job->params_len,
	};
	struct cu_parsed parsed = { 0 };

	job->rc = cu_parse(job->text, job->len, &parsed, job->err);
	if (job->rc < 0)
		goto out;
	check.param_types = cu_check_alloc(&check, (job->params_len + 1) * sizeof *check.param_types);
	check.param_used = cu_check_alloc(&check, job->params_len + 1);
	job->rc = CU_ENOMEM;
	if (check.param_types == NULL || check.param_used == NULL)
		goto out;
	for (size_t i = 0; i < job->params_len; i++)
		check.param_types[i] = CU_UNKNOWNOID;
	job->rc = expr_check(&check, &parsed, job->expr, job->marks);
out:
	cu_parsed_free(&parsed);
	cu_arena_fini(&arena);
}

static void *job_thread(void *arg)
{
	job_run(arg);
	return NULL;
}

static void job_run_deep(struct job *job)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, DEEP_STACK_BYTES);
	if (pthread_create(&thread, &attr, job_thread, job) == 0)
		pthread_join(thread, NULL);
	else
		job->rc = CU_ENOMEM;
	pthread_attr_destroy(&attr);
}

static int expr_new(cu_expr_scope *scope, const char *text, size_t len, const struct cu_expr_param *params,
		    size_t params_len, cu_expr **ret_expr, struct cu_const_marks *marks, struct cu_expr_error *err)
{
	struct job job = { scope, text, len, params, params_len, err, NULL, marks, 0 };
	unsigned levels = 0;
	int rc;

	rc = check_params(params, params_len, err);
	if (rc < 0)
		return rc;
	rc = cu_parse_measure(text, len, &levels, err);
	if (rc < 0)
		return rc;
	job.expr = cu_try_zalloc(sizeof *job.expr);
	if (job.expr == NULL)
		return CU_ENOMEM;
	job.expr->refs = 1;
	job.expr->scope = cu_expr_scope_ref(scope);
	if (levels <= LEVELS_HERE)
		job_run(&job);
	else
		job_run_deep(&job);
	if (job.rc < 0) {
		cu_expr_unref(&job.expr);
		return job.rc;
	}
	*ret_expr = job.expr;
	return 0;
}

int cu_expr_new(cu_expr_scope *scope, const char *text, size_t len, const struct cu_expr_param *params,
		size_t params_len, cu_expr **ret_expr, struct cu_expr_error *err)
{
	return expr_new(scope, text, len, params, params_len, ret_expr, NULL, err);
}

int cu_expr_new_marked(cu_expr_scope *scope, const char *sql, size_t len, cu_expr **ret_expr,
		       struct cu_const_marks *ret_marks)
{
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	int rc = expr_new(scope, sql, len, NULL, 0, ret_expr, ret_marks, &err);

	cu_buf_fini(&err.message);
	return rc;
}

cu_expr *cu_expr_of(cu_program *program, const struct cu_datum *consts, cu_arena *arena)
{
	cu_expr *expr = cu_try_zalloc(sizeof *expr);

	if (expr == NULL)
		return NULL;
	expr->refs = 1;
	expr->scope = cu_expr_scope_ref(program->scope);
	expr->program = cu_program_ref(program);
	expr->consts = consts;
	expr->arena = *arena;
	*arena = (cu_arena)CU_ARENA_INIT;
	return expr;
}

cu_expr *cu_expr_ref(cu_expr *expr)
{
	__atomic_fetch_add(&expr->refs, 1, __ATOMIC_RELAXED);
	return expr;
}

void cu_expr_unref(cu_expr **ref)
{
	struct cu_expr *expr = *ref;

	*ref = NULL;
	if (expr == NULL || __atomic_sub_fetch(&expr->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	cu_program_unref(&expr->program);
	cu_expr_scope_unref(&expr->scope);
	cu_arena_fini(&expr->arena);
	free(expr->sql);
	free(expr);
}

int cu_expr_put_sql(const cu_expr *expr, cu_buf *out)
{
	CU_ASSERT(expr->sql);
	cu_buf_append(out, expr->sql, expr->sql_len);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const uint16_t *cu_expr_columns(const cu_expr *expr, size_t *ret_len)
{
	*ret_len = expr->columns_len;
	return expr->columns;
}

const struct cu_conditions *cu_expr_conditions(const cu_expr *expr)
{
	CU_ASSERT(expr->sql);
	return expr->conditions;
}

cu_program *cu_expr_program(const cu_expr *expr)
{
	return expr->program;
}

void cu_expr_use_program(cu_expr *expr, cu_program *program)
{
	CU_ASSERT(cu_program_equal(expr->program, program));
	cu_program_ref(program);
	cu_program_unref(&expr->program);
	expr->program = program;
}

enum cu_truth cu_expr_eval(const cu_expr *expr, struct cu_expr_row *row, struct cu_value_error *err)
{
	struct cu_run run = {
		.program = expr->program,
		.consts = expr->consts,
		.sets = expr->sets,
		.sets_len = expr->sets_len,
		.row = row,
		.arena = &row->work,
		.err = err,
	};
	struct cu_datum value;
	int rc;

	CU_ASSERT(row->scope == expr->scope);
	if (row->work.total)
		cu_arena_reset(&row->work);
	rc = cu_program_run(&run, &value);
	if (rc == CU_ENOMEM)
		cu_value_fail(err, "53200", "out of memory");
	if (rc < 0)
		return CU_FAILED;
	return value.is_null ? CU_UNKNOWN : value.boolean ? CU_TRUE : CU_FALSE;
}
