/* Runs programs. One loop, no recursion but for the elements of an array that is cast, whose steps hold no such cast. */
#include "expr/program.h"

#include "value/array.h"

#include <stdlib.h>

#define REGS_ON_STACK 48u

struct frame {
	const struct cu_run *run;
	struct cu_datum *regs;
};

static int call(const struct frame *f, const struct cu_call_site *site, const struct cu_datum *args,
		struct cu_datum *ret)
{
	const struct cu_program *program = f->run->program;
	struct cu_function_call fc;

	if (site->strict) {
		for (unsigned i = 0; i < site->args_len; i++) {
			if (args[i].is_null) {
				*ret = CU_DATUM_NULL;
				return 0;
			}
		}
	}
	fc = (struct cu_function_call){
		.arena = f->run->arena,
		.types = program->types + site->types_at,
		.ret_type = site->ret_type,
		.collation = site->collation,
		.args = args,
		.args_len = site->args_len,
		.err = f->run->err,
	};
	*ret = (struct cu_datum){ 0 };
	return site->function(&fc, ret);
}

static int step_minmax(const struct frame *f, const struct cu_step *step, const struct cu_call_site *site)
{
	struct cu_datum *best = &f->regs[step->dst], *next = &f->regs[step->src];
	int order;

	if (next->is_null)
		return 0;
	if (!best->is_null) {
		order = cu_value_compare(f->run->program->types[site->types_at], site->collation, next, best);
		if (step->sub ? order >= 0 : order <= 0)
			return 0;
	}
	*best = *next;
	return 0;
}

static int step_distinct(const struct frame *f, const struct cu_step *step, const struct cu_call_site *site)
{
	const struct cu_datum *args = &f->regs[step->src];
	struct cu_datum equal;
	bool distinct;
	int rc = 0;

	if (args[0].is_null || args[1].is_null) {
		distinct = args[0].is_null != args[1].is_null;
	} else {
		rc = call(f, site, args, &equal);
		distinct = rc == 0 && !equal.boolean;
	}
	/* sub: IS NOT DISTINCT FROM */
	f->regs[step->dst] = (struct cu_datum){ .boolean = distinct != (step->sub != 0) };
	return rc;
}

static int step_nullif(const struct frame *f, const struct cu_step *step, const struct cu_call_site *site)
{
	const struct cu_datum *args = &f->regs[step->src];
	struct cu_datum result = args[0], equal;
	int rc;

	if (!args[0].is_null && !args[1].is_null) {
		rc = call(f, site, args, &equal);
		if (rc < 0)
			return rc;
		if (!equal.is_null && equal.boolean)
			result = CU_DATUM_NULL;
	}
	f->regs[step->dst] = result;
	return 0;
}

static bool set_has(const struct cu_const_set *set, const struct cu_datum *value)
{
	size_t low = 0, high = set->len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = cu_value_compare(set->type, cu_collation_c, value, &set->sorted[mid]);

		if (order == 0)
			return true;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return false;
}

static const struct cu_const_set *set_of(const struct cu_run *run, uint32_t constant)
{
	for (size_t i = 0; i < run->sets_len; i++) {
		if (run->sets[i].constant == constant)
			return &run->sets[i];
	}
	return NULL;
}

static int step_any(const struct frame *f, const struct cu_step *step, const struct cu_call_site *site)
{
	const struct cu_datum *scalar = &f->regs[step->src], *array = scalar + 1;
	bool is_all = step->sub != 0, seen_null = false;
	struct cu_datum result = { .boolean = is_all }, args[2], one;
	const struct cu_const_set *set;
	int rc;

	if (array->is_null) {
		f->regs[step->dst] = CU_DATUM_NULL;
		return 0;
	}
	if (array->array->len == 0)
		goto done;
	if (scalar->is_null && site->strict) {
		result = CU_DATUM_NULL;
		goto done;
	}
	set = step->n ? set_of(f->run, step->n - 1) : NULL;
	if (set != NULL) {
		/* = ANY, or <> ALL, which is its contrary. */
		if (set_has(set, scalar))
			result.boolean = !is_all;
		else if (set->has_nulls)
			result = CU_DATUM_NULL;
		goto done;
	}
	args[0] = *scalar;
	for (uint32_t i = 0; i < array->array->len; i++) {
		args[1] = array->array->elems[i];
		rc = call(f, site, args, &one);
		if (rc < 0)
			return rc;
		if (one.is_null) {
			seen_null = true;
		} else if (one.boolean != is_all) {
			result.boolean = !is_all;
			goto done;
		}
	}
	if (seen_null)
		result = CU_DATUM_NULL;
done:
	f->regs[step->dst] = result;
	return 0;
}

static int step_array(const struct frame *f, const struct cu_step *step)
{
	struct cu_datum result = { 0 };
	int rc;

	rc = (step->sub ? cu_array_make_nested : cu_array_make)(&f->regs[step->src], step->n, f->run->arena,
								&result.array, f->run->err);
	if (rc == 0)
		f->regs[step->dst] = result;
	return rc;
}

static int step_element(const struct frame *f, const struct cu_step *step)
{
	const struct cu_datum *args = &f->regs[step->src];
	int32_t subscripts[CU_ARRAY_NDIM_MAX];
	struct cu_datum result = CU_DATUM_NULL;
	bool any_null = args[0].is_null;

	for (unsigned i = 0; i < step->n && i < CU_ARRAY_NDIM_MAX; i++) {
		any_null |= args[i + 1].is_null;
		subscripts[i] = (int32_t)args[i + 1].integer;
	}
	if (!any_null)
		result = cu_array_get_element(args[0].array, subscripts, step->n);
	f->regs[step->dst] = result;
	return 0;
}

static int step_slice(const struct frame *f, const struct cu_step *step, const struct cu_call_site *site)
{
	const struct cu_datum *args = &f->regs[step->src];
	struct cu_array_bound bounds[CU_ARRAY_NDIM_MAX] = { 0 };
	struct cu_datum result = { 0 };
	bool any_null = args[0].is_null;
	int rc = 0;

	for (unsigned i = 0; i < step->n * 2 && i < CU_ARRAY_NDIM_MAX * 2; i++) {
		struct cu_array_bound *bound = &bounds[i / 2];

		if ((site->mask >> i & 1) == 0)
			continue;
		any_null |= args[i + 1].is_null;
		if (i % 2 == 0) {
			bound->has_lower = true;
			bound->lower = (int32_t)args[i + 1].integer;
		} else {
			bound->has_upper = true;
			bound->upper = (int32_t)args[i + 1].integer;
		}
	}
	if (any_null)
		result = CU_DATUM_NULL;
	else
		rc = cu_array_get_slice(args[0].array, bounds, step->n, f->run->arena, &result.array, f->run->err);
	if (rc == 0)
		f->regs[step->dst] = result;
	return rc;
}

static int step_io(const struct frame *f, const struct cu_step *step, const struct cu_call_site *site)
{
	const struct cu_type *from = f->run->program->types[site->types_at];
	struct cu_datum result = CU_DATUM_NULL;
	cu_buf text = CU_BUF_INIT;
	const char *copy;
	int rc;

	if (f->regs[step->src].is_null) {
		f->regs[step->dst] = result;
		return 0;
	}
	rc = cu_value_out(from, &f->regs[step->src], &text);
	if (rc < 0)
		goto out;
	/* What is read may point into its text. */
	copy = cu_arena_copy(f->run->arena, text.data ? text.data : "", text.len);
	if (copy == NULL || cu_buf_failed(&text)) {
		rc = CU_ENOMEM;
		goto out;
	}
	rc = cu_value_in(site->ret_type, -1, copy, text.len, f->run->arena, &result, f->run->err);
	if (rc == 0)
		f->regs[step->dst] = result;
out:
	cu_buf_fini(&text);
	return rc;
}

static int step_typmod(const struct frame *f, const struct cu_step *step, const struct cu_call_site *site)
{
	struct cu_datum value = f->regs[step->src];
	int rc = 0;

	if (!value.is_null)
		rc = cu_value_typmod(site->ret_type, site->typmod, step->sub, f->run->arena, &value, f->run->err);
	f->regs[step->dst] = value;
	return rc;
}

static void step_booltest(const struct frame *f, const struct cu_step *step)
{
	const struct cu_datum *arg = &f->regs[step->src];
	bool is_true = !arg->is_null && arg->boolean, is_false = !arg->is_null && !arg->boolean, answer;

	switch (step->sub) {
	case PG_QUERY__BOOL_TEST_TYPE__IS_TRUE: answer = is_true; break;
	case PG_QUERY__BOOL_TEST_TYPE__IS_NOT_TRUE: answer = !is_true; break;
	case PG_QUERY__BOOL_TEST_TYPE__IS_FALSE: answer = is_false; break;
	case PG_QUERY__BOOL_TEST_TYPE__IS_NOT_FALSE: answer = !is_false; break;
	case PG_QUERY__BOOL_TEST_TYPE__IS_UNKNOWN: answer = arg->is_null; break;
	default: answer = !arg->is_null; break;
	}
	f->regs[step->dst] = (struct cu_datum){ .boolean = answer };
}

static int run_steps(const struct frame *f, uint32_t from, uint32_t to);

struct mapping {
	const struct frame *frame;
	const struct cu_step *step;
	uint32_t from;
};

static int map_element(void *arg, const struct cu_datum *elem, struct cu_datum *ret_elem)
{
	const struct mapping *m = arg;
	struct cu_datum *regs = &m->frame->regs[m->step->src];
	int rc;

	regs[1] = *elem;
	rc = run_steps(m->frame, m->from, m->step->jump);
	if (rc == 0)
		*ret_elem = regs[2];
	return rc;
}

static int step_map(const struct frame *f, const struct cu_step *step, uint32_t at)
{
	struct mapping m = { f, step, at + 1 };
	struct cu_datum result = CU_DATUM_NULL;
	int rc = 0;

	if (!f->regs[step->src].is_null) {
		result = (struct cu_datum){ 0 };
		rc = cu_array_map(f->regs[step->src].array, map_element, &m, f->run->arena, &result.array);
	}
	if (rc == 0)
		f->regs[step->dst] = result;
	return rc;
}

static int step_column(const struct frame *f, const struct cu_step *step)
{
	const struct cu_datum *datum;
	int rc;

	if (f->run->row == NULL)
		return CU_EINVAL;
	rc = cu_expr_row_column(f->run->row, step->n, &datum, f->run->err);
	if (rc == 0)
		f->regs[step->dst] = *datum;
	return rc;
}

static int run_steps(const struct frame *f, uint32_t from, uint32_t to)
{
	const struct cu_program *program = f->run->program;
	struct cu_datum *regs = f->regs;
	int rc = 0;

	for (uint32_t at = from; at < to; at++) {
		const struct cu_step *step = &program->steps[at];
		const struct cu_call_site *site = &program->calls[step->call];
		struct cu_datum *dst = &regs[step->dst], *src = &regs[step->src];

		switch ((enum cu_step_op)step->op) {
		case CU_STEP_COLUMN: rc = step_column(f, step); break;
		case CU_STEP_CONST: *dst = f->run->consts[step->n]; break;
		case CU_STEP_COPY: *dst = *src; break;
		case CU_STEP_TRUE: *dst = (struct cu_datum){ .boolean = step->sub != 0 }; break;
		case CU_STEP_CALL: rc = call(f, site, src, dst); break;
		case CU_STEP_AND:
			if (src->is_null) {
				*dst = CU_DATUM_NULL;
			} else if (!src->boolean) {
				*dst = (struct cu_datum){ .boolean = false };
				at = step->jump - 1;
			}
			break;
		case CU_STEP_OR:
			if (src->is_null) {
				*dst = CU_DATUM_NULL;
			} else if (src->boolean) {
				*dst = (struct cu_datum){ .boolean = true };
				at = step->jump - 1;
			}
			break;
		case CU_STEP_WRAP:
			*dst = *src;
			if (!src->is_null)
				dst->integer =
					step->sub ? (int64_t)(int32_t)src->integer : (int64_t)(uint32_t)src->integer;
			break;
		case CU_STEP_NOT:
			*dst = src->is_null ? CU_DATUM_NULL : (struct cu_datum){ .boolean = !src->boolean };
			break;
		case CU_STEP_NULLTEST: *dst = (struct cu_datum){ .boolean = src->is_null != (step->sub != 0) }; break;
		case CU_STEP_BOOLTEST: step_booltest(f, step); break;
		case CU_STEP_JUMP: at = step->jump - 1; break;
		case CU_STEP_JUMP_UNLESS:
			if (src->is_null || !src->boolean)
				at = step->jump - 1;
			break;
		case CU_STEP_JUMP_NOT_NULL:
			if (!src->is_null)
				at = step->jump - 1;
			break;
		case CU_STEP_JUMP_NULL:
			if (src->is_null) {
				*dst = CU_DATUM_NULL;
				at = step->jump - 1;
			}
			break;
		case CU_STEP_DECIDE:
			if (src->is_null || src->boolean) {
				*dst = src->is_null ? CU_DATUM_NULL : (struct cu_datum){ .boolean = step->sub != 0 };
				at = step->jump - 1;
			}
			break;
		case CU_STEP_MINMAX: rc = step_minmax(f, step, site); break;
		case CU_STEP_DISTINCT: rc = step_distinct(f, step, site); break;
		case CU_STEP_NULLIF: rc = step_nullif(f, step, site); break;
		case CU_STEP_ANY: rc = step_any(f, step, site); break;
		case CU_STEP_ARRAY: rc = step_array(f, step); break;
		case CU_STEP_ELEMENT: rc = step_element(f, step); break;
		case CU_STEP_SLICE: rc = step_slice(f, step, site); break;
		case CU_STEP_IO: rc = step_io(f, step, site); break;
		case CU_STEP_TYPMOD: rc = step_typmod(f, step, site); break;
		case CU_STEP_MAP:
			rc = step_map(f, step, at);
			at = step->jump - 1;
			break;
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}

int cu_program_run(const struct cu_run *run, struct cu_datum *ret_datum)
{
	struct cu_datum on_stack[REGS_ON_STACK];
	struct frame frame = { run, on_stack };
	int rc;

	if (run->program->regs_len > REGS_ON_STACK) {
		frame.regs = cu_arena_alloc(run->arena, run->program->regs_len * sizeof *frame.regs);
		if (frame.regs == NULL)
			return CU_ENOMEM;
	}
	rc = run_steps(&frame, 0, run->program->steps_len);
	if (rc == 0)
		*ret_datum = frame.regs[0];
	return rc;
}

static int by_value(const void *a, const void *b, void *arg)
{
	return cu_value_compare(arg, cu_collation_c, a, b);
}

static int set_new(const struct cu_program *program, const struct cu_step *step, const struct cu_datum *consts,
		   cu_arena *arena, struct cu_const_set *set)
{
	uint32_t constant = step->n - 1;
	const struct cu_array *array = consts[constant].array;
	struct cu_datum *sorted;
	uint32_t len = 0;

	set->constant = constant;
	set->type = program->const_types[constant]->elem;
	set->has_nulls = array->has_nulls;
	sorted = cu_arena_alloc(arena, array->len * sizeof *sorted);
	if (sorted == NULL)
		return CU_ENOMEM;
	for (uint32_t i = 0; i < array->len; i++) {
		if (!array->elems[i].is_null)
			sorted[len++] = array->elems[i];
	}
	qsort_r(sorted, len, sizeof *sorted, by_value, (void *)set->type);
	set->len = len;
	set->sorted = sorted;
	return 0;
}

int cu_const_sets_new(const cu_program *program, const struct cu_datum *consts, cu_arena *arena,
		      const struct cu_const_set **ret_sets, size_t *ret_len)
{
	struct cu_const_set *sets = NULL;
	size_t len = 0, n = 0;
	int rc = 0;

	for (uint32_t i = 0; i < program->steps_len; i++)
		len += program->steps[i].op == CU_STEP_ANY && program->steps[i].n != 0;
	if (len > 0) {
		sets = cu_arena_alloc(arena, len * sizeof *sets);
		rc = sets == NULL ? CU_ENOMEM : 0;
	}
	for (uint32_t i = 0; rc == 0 && i < program->steps_len; i++) {
		const struct cu_step *step = &program->steps[i];

		if (step->op == CU_STEP_ANY && step->n != 0)
			rc = set_new(program, step, consts, arena, &sets[n++]);
	}
	*ret_sets = sets;
	*ret_len = len;
	return rc;
}
