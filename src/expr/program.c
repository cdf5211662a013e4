/* The checked tree is walked once; registers are handed out as on a stack, so that the arguments of a call stand side
 * by side and are what the function gets. */
#include "expr/program.h"

#include "base/limits.h"
#include "value/array.h"

#include <stdlib.h>
#include <xxhash.h>

#define STEPS_MAX (CU_WHERE_NODES_MAX * 8u)

struct builder {
	struct cu_check *check;
	struct cu_step *steps;
	struct cu_call_site *calls;
	const struct cu_type **types;
	const struct cu_type **const_types;
	struct cu_datum *consts;
	uint32_t steps_len, calls_len, types_len, consts_len;
	uint32_t steps_cap, calls_cap, types_cap, consts_cap, const_types_cap;
	uint32_t top, regs_len; /* registers in use; most of them ever */
};

/* Room for one more in an array that lives in the check's arena. */
static bool grow(struct builder *b, void *array, uint32_t len, uint32_t *cap, size_t size)
{
	void **at = array;
	uint32_t more = *cap ? *cap * 2 : 16;
	void *data;

	if (len < *cap)
		return true;
	data = cu_check_alloc(b->check, more * size);
	if (data == NULL)
		return false;
	if (len)
		memcpy(data, *at, len * size);
	*at = data;
	*cap = more;
	return true;
}

static struct cu_step *emit(struct builder *b, enum cu_step_op op, uint32_t dst, uint32_t src)
{
	struct cu_step *step;

	if (b->steps_len >= STEPS_MAX)
		return cu_check_fail(b->check, "54001", -1, "the where clause has more than %u parts",
				     CU_WHERE_NODES_MAX);
	if (!grow(b, &b->steps, b->steps_len, &b->steps_cap, sizeof *b->steps))
		return NULL;
	step = &b->steps[b->steps_len++];
	step->op = (uint8_t)op;
	step->dst = dst;
	step->src = src;
	return step;
}

static uint32_t reserve(struct builder *b, uint32_t n)
{
	uint32_t at = b->top;

	b->top += n;
	b->regs_len = CU_MAX(b->regs_len, b->top);
	return at;
}

static const struct cu_type *type_of(const struct builder *b, const struct cu_node *node)
{
	return cu_type_info(b->check, node->type).type;
}

static bool has_jsonb(const struct cu_type *type)
{
	return type->repr == CU_REPR_JSONB || (type->elem != NULL && type->elem->repr == CU_REPR_JSONB);
}

static bool type_add(struct builder *b, const struct cu_type *type)
{
	if (!grow(b, &b->types, b->types_len, &b->types_cap, sizeof *b->types))
		return false;
	b->types[b->types_len++] = type;
	return true;
}

/* A site for node's function over args, taking their types; *ret_index for the step. */
static struct cu_call_site *site_new(struct builder *b, const struct cu_node *node, struct cu_node *const *args,
				     unsigned args_len, uint16_t *ret_index)
{
	struct cu_call_site *site;

	if (b->calls_len > UINT16_MAX)
		return cu_check_fail(b->check, "54001", -1, "the where clause has more than %u calls", UINT16_MAX);
	if (!grow(b, &b->calls, b->calls_len, &b->calls_cap, sizeof *b->calls))
		return NULL;
	site = &b->calls[b->calls_len];
	*ret_index = (uint16_t)b->calls_len++;
	site->types_at = b->types_len;
	site->args_len = (uint16_t)args_len;
	site->ret_type = type_of(b, node);
	site->collation = node->input;
	site->typmod = node->typmod;
	if (node->proc != NULL) {
		site->function = cu_function_find(cu_catalog_string(node->proc->prosrc), b->check->scope->pg_version);
		site->strict = node->proc->strict;
		/* citext folds case under the database's collation, whatever came together. */
		if (site->collation == NULL && strncmp(cu_catalog_string(node->proc->prosrc), "citext", 6) == 0)
			site->collation = b->check->scope->default_collation;
	}
	for (unsigned i = 0; i < args_len; i++) {
		const struct cu_type *type = type_of(b, args[i]);

		/* The order of jsonb's strings is the database's, although jsonb is of no collatable type. */
		if (site->collation == NULL && !node->conflict && type != NULL && has_jsonb(type))
			site->collation = b->check->scope->default_collation;
		if (!type_add(b, type))
			return NULL;
	}
	return site;
}

static bool compile(struct builder *b, struct cu_node *node, uint32_t dst);

static bool compile_args(struct builder *b, struct cu_node *const *args, unsigned len, uint32_t first)
{
	for (unsigned i = 0; i < len; i++) {
		if (!compile(b, args[i], first + i))
			return false;
	}
	return true;
}

static bool compile_const(struct builder *b, struct cu_node *node, uint32_t dst)
{
	struct cu_step *step = emit(b, CU_STEP_CONST, dst, 0);

	if (step == NULL || !grow(b, &b->consts, b->consts_len, &b->consts_cap, sizeof *b->consts) ||
	    !grow(b, &b->const_types, b->consts_len, &b->const_types_cap, sizeof *b->const_types))
		return false;
	b->consts[b->consts_len] = node->value;
	b->const_types[b->consts_len] = type_of(b, node);
	step->n = b->consts_len++;
	node->number = b->consts_len;
	return true;
}

/* The search of a sorted list replaces the walk where the list is constant, long, and the operator is the equality that
 * the order knows. */
#define SEARCH_MIN 5u

static bool is_searchable(const struct builder *b, const struct cu_node *node)
{
	const struct cu_node *array = node->args[1];
	const struct cu_type *elem;

	if (array->kind != CU_NODE_CONST || array->value.is_null || array->value.array->len < SEARCH_MIN)
		return false;
	if (strcmp(node->op, node->sub ? "<>" : "=") != 0)
		return false;
	elem = cu_type_info(b->check, array->type).type->elem;
	if (cu_type_info(b->check, node->args[0]->type).type != elem || elem->citext)
		return false;
	switch (elem->repr) {
	case CU_REPR_TEXT: return node->input != NULL && cu_collation_desc(node->input)->deterministic;
	case CU_REPR_JSON:
	case CU_REPR_JSONB:
	case CU_REPR_ARRAY:
	case CU_REPR_NONE: return false;
	default: return true;
	}
}

static bool compile_call(struct builder *b, struct cu_node *node, uint32_t dst, enum cu_step_op op)
{
	uint32_t first = reserve(b, node->args_len);
	struct cu_call_site *site;
	struct cu_step *step;
	uint16_t index;

	if (!compile_args(b, node->args, node->args_len, first))
		return false;
	b->top = first;
	site = site_new(b, node, node->args, node->args_len, &index);
	step = site == NULL ? NULL : emit(b, op, dst, first);
	if (step == NULL)
		return false;
	step->call = index;
	step->sub = op == CU_STEP_CALL ? 0 : node->sub;
	if (op == CU_STEP_ANY) {
		/* The function sees elements. */
		const struct cu_type *array = b->types[site->types_at + 1];

		b->types[site->types_at + 1] = array->elem;
		if (has_jsonb(array) && site->collation == NULL)
			site->collation = b->check->scope->default_collation;
		if (is_searchable(b, node))
			step->n = b->consts_len; /* its number + 1: it was the last one compiled */
	}
	return true;
}

#define TO_THE_END UINT32_MAX

/* What was emitted since `from` and was to jump to the end jumps here: inner constructs have done this before. */
static void jumps_end_here(struct builder *b, uint32_t from)
{
	for (uint32_t i = from; i < b->steps_len; i++) {
		if (b->steps[i].jump == TO_THE_END)
			b->steps[i].jump = b->steps_len;
	}
}

static bool compile_bool(struct builder *b, struct cu_node *node, uint32_t dst)
{
	enum cu_step_op op = node->kind == CU_NODE_AND ? CU_STEP_AND : CU_STEP_OR;
	struct cu_step *step = emit(b, CU_STEP_TRUE, dst, 0);
	uint32_t from = b->steps_len, reg = reserve(b, 1);

	if (step == NULL)
		return false;
	step->sub = node->kind == CU_NODE_AND;
	for (unsigned i = 0; i < node->args_len; i++) {
		if (!compile(b, node->args[i], reg))
			return false;
		step = emit(b, op, dst, reg);
		if (step == NULL)
			return false;
		step->jump = TO_THE_END;
	}
	b->top = reg;
	jumps_end_here(b, from);
	return true;
}

static bool compile_case(struct builder *b, struct cu_node *node, uint32_t dst)
{
	unsigned i = node->sub;
	uint32_t held = b->top, from, reg;

	if (node->sub) {
		node->slot_reg = reserve(b, 1);
		if (node->ref != NULL)
			((struct cu_node *)(uintptr_t)node->ref)->slot_reg = node->slot_reg;
		if (!compile(b, node->args[0], node->slot_reg))
			return false;
	}
	from = b->steps_len;
	reg = reserve(b, 1);
	for (; i + 1 < node->args_len; i += 2) {
		uint32_t test;
		struct cu_step *step;

		if (!compile(b, node->args[i], reg))
			return false;
		test = b->steps_len;
		if (emit(b, CU_STEP_JUMP_UNLESS, 0, reg) == NULL || !compile(b, node->args[i + 1], dst))
			return false;
		step = emit(b, CU_STEP_JUMP, 0, 0);
		if (step == NULL)
			return false;
		step->jump = TO_THE_END;
		b->steps[test].jump = b->steps_len;
	}
	if (!compile(b, node->args[i], dst))
		return false;
	jumps_end_here(b, from);
	b->top = held;
	return true;
}

static bool compile_coalesce(struct builder *b, struct cu_node *node, uint32_t dst)
{
	uint32_t from = b->steps_len;

	for (unsigned i = 0; i < node->args_len; i++) {
		struct cu_step *step;

		if (!compile(b, node->args[i], dst))
			return false;
		if (i + 1 == node->args_len)
			break;
		step = emit(b, CU_STEP_JUMP_NOT_NULL, dst, dst);
		if (step == NULL)
			return false;
		step->jump = TO_THE_END;
	}
	jumps_end_here(b, from);
	return true;
}

static bool compile_minmax(struct builder *b, struct cu_node *node, uint32_t dst)
{
	struct cu_tinfo info = cu_type_info(b->check, cu_type_base(b->check, node->type));
	uint32_t reg = reserve(b, 1);
	uint16_t index;

	if (info.oid == CU_JSONOID || info.elem == CU_JSONOID)
		return cu_check_fail(b->check, "42883", -1, "could not identify a comparison function for type %s",
				     cu_type_format(b->check, node->type));
	if (!compile(b, node->args[0], dst) || site_new(b, node, node->args, 1, &index) == NULL)
		return false;
	for (unsigned i = 1; i < node->args_len; i++) {
		struct cu_step *step;

		if (!compile(b, node->args[i], reg))
			return false;
		step = emit(b, CU_STEP_MINMAX, dst, reg);
		if (step == NULL)
			return false;
		step->sub = node->sub;
		step->call = index;
	}
	b->top = reg;
	return true;
}

static bool compile_rowcmp(struct builder *b, struct cu_node *node, uint32_t dst)
{
	uint32_t reg = reserve(b, 1), from = b->steps_len;

	for (unsigned i = 0; i + 1 < node->args_len; i++) {
		struct cu_step *step;

		if (!compile(b, node->args[i], reg))
			return false;
		step = emit(b, CU_STEP_DECIDE, dst, reg);
		if (step == NULL)
			return false;
		/* Even: this pair is strictly on the asked side, which decides; odd: on the other. */
		step->sub = i % 2 == 0;
		step->jump = TO_THE_END;
	}
	if (!compile(b, node->args[node->args_len - 1], dst))
		return false;
	b->top = reg;
	jumps_end_here(b, from);
	return true;
}

static bool compile_array(struct builder *b, struct cu_node *node, uint32_t dst)
{
	uint32_t first = reserve(b, node->args_len);
	struct cu_step *step;
	uint16_t index;

	if (!compile_args(b, node->args, node->args_len, first) || site_new(b, node, NULL, 0, &index) == NULL)
		return false;
	b->top = first;
	step = emit(b, CU_STEP_ARRAY, dst, first);
	if (step == NULL)
		return false;
	step->sub = node->sub;
	step->n = node->args_len;
	step->call = index;
	return true;
}

static bool compile_subscript(struct builder *b, struct cu_node *node, uint32_t dst)
{
	uint32_t first = reserve(b, node->args_len);
	bool is_slice = node->kind == CU_NODE_SLICE;
	struct cu_call_site *site;
	struct cu_step *step;
	uint32_t null_test;
	uint16_t index;

	if (!compile(b, node->args[0], first))
		return false;
	null_test = b->steps_len;
	if (emit(b, CU_STEP_JUMP_NULL, dst, first) == NULL)
		return false;
	/* Of slices the upper bounds come before the lower ones. */
	for (unsigned i = 1; i < node->args_len; i++) {
		if ((!is_slice || i % 2 == 0) && node->args[i] != NULL && !compile(b, node->args[i], first + i))
			return false;
	}
	for (unsigned i = 1; is_slice && i < node->args_len; i += 2) {
		if (node->args[i] != NULL && !compile(b, node->args[i], first + i))
			return false;
	}
	b->top = first;
	site = site_new(b, node, NULL, 0, &index);
	step = site == NULL ? NULL : emit(b, is_slice ? CU_STEP_SLICE : CU_STEP_ELEMENT, dst, first);
	if (step == NULL)
		return false;
	for (unsigned i = 1; is_slice && i < node->args_len; i++)
		site->mask |= (uint16_t)((node->args[i] != NULL) << (i - 1));
	step->n = is_slice ? (node->args_len - 1) / 2 : node->args_len - 1;
	step->call = index;
	b->steps[null_test].jump = b->steps_len;
	return true;
}

static bool compile_map(struct builder *b, struct cu_node *node, uint32_t dst)
{
	uint32_t first = reserve(b, 3), at;
	struct cu_step *step;

	if (!compile(b, node->args[0], first))
		return false;
	at = b->steps_len;
	step = emit(b, CU_STEP_MAP, dst, first);
	if (step == NULL)
		return false;
	node->slot_reg = first + 1;
	if (!compile(b, node->args[1], first + 2))
		return false;
	b->steps[at].jump = b->steps_len;
	b->top = first;
	return true;
}

static bool compile_unary(struct builder *b, struct cu_node *node, uint32_t dst, enum cu_step_op op)
{
	struct cu_step *step;
	uint16_t index = 0;

	if (!compile(b, node->args[0], dst))
		return false;
	if ((op == CU_STEP_IO || op == CU_STEP_TYPMOD) && site_new(b, node, node->args, 1, &index) == NULL)
		return false;
	step = emit(b, op, dst, dst);
	if (step == NULL)
		return false;
	step->sub = node->sub;
	step->call = index;
	return true;
}

/* A cast between int4 and oid keeps the bits, of which one is the sign or not. */
static bool compile_cast(struct builder *b, struct cu_node *node, uint32_t dst)
{
	uint32_t from = cu_type_base(b->check, node->args[0]->type);
	struct cu_step *step;

	if (!compile(b, node->args[0], dst))
		return false;
	if (!(from == CU_OIDOID && node->type == CU_INT4OID) && !(from == CU_INT4OID && node->type == CU_OIDOID))
		return true;
	step = emit(b, CU_STEP_WRAP, dst, dst);
	if (step != NULL)
		step->sub = node->type == CU_INT4OID;
	return step != NULL;
}

static bool compile(struct builder *b, struct cu_node *node, uint32_t dst)
{
	struct cu_step *step;

	/* What it comes to is known, though that cannot stand for it in the SQL (fold.c). */
	if (node->known != NULL)
		return compile(b, node->known, dst);

	switch (node->kind) {
	case CU_NODE_COLUMN:
		step = emit(b, CU_STEP_COLUMN, dst, 0);
		if (step != NULL)
			step->n = node->column;
		return step != NULL;
	case CU_NODE_CONST: return compile_const(b, node, dst);
	case CU_NODE_CALL:
		if (!compile_call(b, node, dst, CU_STEP_CALL))
			return false;
		/* int2 becomes an oid by way of a function that gives an int4. */
		return node->type != CU_OIDOID || emit(b, CU_STEP_WRAP, dst, dst) != NULL;
	case CU_NODE_DISTINCT: return compile_call(b, node, dst, CU_STEP_DISTINCT);
	case CU_NODE_NULLIF: return compile_call(b, node, dst, CU_STEP_NULLIF);
	case CU_NODE_ANY: return compile_call(b, node, dst, CU_STEP_ANY);
	case CU_NODE_RELABEL: return compile_cast(b, node, dst);
	case CU_NODE_COLLATE: return compile(b, node->args[0], dst);
	case CU_NODE_IO: return compile_unary(b, node, dst, CU_STEP_IO);
	case CU_NODE_TYPMOD: return compile_unary(b, node, dst, CU_STEP_TYPMOD);
	case CU_NODE_NOT: return compile_unary(b, node, dst, CU_STEP_NOT);
	case CU_NODE_NULLTEST: return compile_unary(b, node, dst, CU_STEP_NULLTEST);
	case CU_NODE_BOOLTEST: return compile_unary(b, node, dst, CU_STEP_BOOLTEST);
	case CU_NODE_AND:
	case CU_NODE_OR: return compile_bool(b, node, dst);
	case CU_NODE_CASE: return compile_case(b, node, dst);
	case CU_NODE_SLOT: return emit(b, CU_STEP_COPY, dst, node->ref->slot_reg) != NULL;
	case CU_NODE_COALESCE: return compile_coalesce(b, node, dst);
	case CU_NODE_MINMAX: return compile_minmax(b, node, dst);
	case CU_NODE_ARRAY: return compile_array(b, node, dst);
	case CU_NODE_ELEMENT:
	case CU_NODE_SLICE: return compile_subscript(b, node, dst);
	case CU_NODE_MAP: return compile_map(b, node, dst);
	case CU_NODE_ROWCMP: return compile_rowcmp(b, node, dst);
	default: return cu_check_fail(b->check, "0A000", node->at, "rows are not supported here") != NULL;
	}
}

cu_program *cu_program_new(struct cu_check *check, const struct cu_node *node, const struct cu_datum **ret_consts)
{
	struct builder b = { .check = check };
	struct cu_program *program;
	size_t steps, calls, types, const_types;
	char *at;

	reserve(&b, 1);
	if (!compile(&b, (struct cu_node *)node, 0))
		return NULL;
	steps = b.steps_len * sizeof *b.steps;
	calls = b.calls_len * sizeof *b.calls;
	types = b.types_len * sizeof *b.types;
	const_types = b.consts_len * sizeof *b.const_types;
	program = cu_try_zalloc(sizeof *program + steps + calls + types + const_types);
	if (program == NULL)
		return cu_check_nomem(check);
	/* What holds pointers goes first, for alignment. */
	at = (char *)(program + 1);
	if (calls)
		memcpy(at, b.calls, calls);
	program->calls = (const void *)at;
	at += calls;
	if (types)
		memcpy(at, b.types, types);
	program->types = (const void *)at;
	at += types;
	if (const_types)
		memcpy(at, b.const_types, const_types);
	program->const_types = (const void *)at;
	at += const_types;
	memcpy(at, b.steps, steps);
	program->steps = (const void *)at;
	program->refs = 1;
	program->steps_len = b.steps_len;
	program->calls_len = b.calls_len;
	program->types_len = b.types_len;
	program->consts_len = b.consts_len;
	program->regs_len = b.regs_len;
	program->scope = cu_expr_scope_ref(check->scope);
	program->hash = XXH3_64bits(program + 1, steps + calls + types + const_types);
	*ret_consts = b.consts;
	return program;
}

cu_program *cu_program_ref(cu_program *program)
{
	__atomic_fetch_add(&program->refs, 1, __ATOMIC_RELAXED);
	return program;
}

void cu_program_unref(cu_program **ref)
{
	cu_program *program = *ref;

	*ref = NULL;
	if (program == NULL || __atomic_sub_fetch(&program->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	cu_expr_scope_unref(&program->scope);
	free(program);
}

uint64_t cu_program_hash(const cu_program *program)
{
	return program->hash;
}

static size_t body_len(const cu_program *program)
{
	return program->steps_len * sizeof *program->steps + program->calls_len * sizeof *program->calls +
	       program->types_len * sizeof *program->types + program->consts_len * sizeof *program->const_types;
}

bool cu_program_equal(const cu_program *a, const cu_program *b)
{
	return a == b || (a->hash == b->hash && a->scope == b->scope && a->steps_len == b->steps_len &&
			  a->calls_len == b->calls_len && a->types_len == b->types_len &&
			  a->consts_len == b->consts_len && memcmp(a + 1, b + 1, body_len(a)) == 0);
}
