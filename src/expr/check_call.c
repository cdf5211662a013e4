/* Function calls (parse_func.c). */
#include "expr/tree.h"

struct call_name {
	const char *schema;
	const char *name;
};

static bool uses_citext(const struct cu_catalog_proc *proc)
{
	const uint16_t *args = cu_catalog_args(proc);

	for (unsigned i = 0; i < proc->args_len; i++) {
		if (args[i] == CU_CITEXTOID || args[i] == CU_CITEXTARRAYOID)
			return true;
	}
	return proc->ret == CU_CITEXTOID;
}

/* One candidate with its arguments spread out to args_len; false: it takes another number of them. */
static bool candidate_fill(struct cu_check *check, const struct cu_catalog_proc *proc, unsigned args_len, bool spread,
			   struct cu_candidate *ret)
{
	const uint16_t *args = cu_catalog_args(proc);
	bool variadic = spread && proc->variadic != 0 && proc->args_len <= args_len;
	unsigned len = variadic ? args_len : proc->args_len;

	if (!variadic && proc->args_len != args_len &&
	    !(proc->args_len > args_len && proc->args_len <= args_len + proc->defaults_len))
		return false;
	*ret = (struct cu_candidate){ .proc = proc };
	ret->args = cu_check_alloc(check, (len + 1) * sizeof *ret->args);
	if (ret->args == NULL)
		return false;
	for (unsigned i = 0; i < len; i++)
		ret->args[i] = variadic && i + 1 >= proc->args_len ? proc->variadic : args[i];
	ret->variadic_args = variadic ? len - proc->args_len + 1 : 0;
	ret->defaults = proc->args_len > args_len ? proc->args_len - args_len : 0;
	return true;
}

/* The same arguments twice: the one that needs no spreading, or fewer defaults, stays. */
static bool candidate_is_hidden(struct cu_candidate *all, size_t len, const struct cu_candidate *candidate,
				unsigned args_len)
{
	for (size_t i = 0; i < len; i++) {
		if (memcmp(all[i].args, candidate->args, args_len * sizeof *candidate->args) != 0)
			continue;
		if ((candidate->variadic_args == 0 && all[i].variadic_args != 0) ||
		    candidate->defaults < all[i].defaults)
			all[i] = *candidate;
		return true;
	}
	return false;
}

static void put_signature(struct cu_check *check, struct call_name name, struct cu_node *const *args, unsigned args_len,
			  cu_buf *out)
{
	if (name.schema != NULL)
		cu_buf_printf(out, "%s.", name.schema);
	cu_buf_printf(out, "%s(", name.name);
	for (unsigned i = 0; i < args_len; i++)
		cu_buf_printf(out, "%s%s", i ? ", " : "", cu_type_format(check, args[i]->type));
	cu_buf_putc(out, ')');
}

static void *call_missing(struct cu_check *check, struct call_name name, struct cu_node *const *args, unsigned args_len,
			  size_t matches, int at)
{
	cu_buf signature = CU_BUF_INIT;

	put_signature(check, name, args, args_len, &signature);
	cu_check_fail(check, matches > 1 ? "42725" : "42883", at,
		      matches > 1 ? "function %s is not unique" : "function %s does not exist", cu_buf_str(&signature));
	cu_buf_fini(&signature);
	return NULL;
}

/* f(x) where f names a type: a cast, where that needs no function. NULL without an error: it is none. */
static struct cu_node *call_as_cast(struct cu_check *check, struct call_name name, struct cu_node *arg, int at)
{
	uint32_t type = cu_scope_type_named(check->scope, name.schema, name.name);
	const struct cu_catalog_proc *proc;
	struct cu_tinfo info;
	enum cu_path path;

	if (type == 0)
		return NULL;
	info = cu_type_info(check, type);
	path = arg->type == CU_UNKNOWNOID && arg->kind == CU_NODE_CONST && arg->param == 0
		       ? CU_PATH_IO
		       : cu_coercion_path(check, type, arg->type, CU_COERCE_EXPLICIT, &proc);
	if ((path != CU_PATH_RELABEL && path != CU_PATH_IO) || info.typtype == 'p')
		return NULL;
	if (info.type == NULL)
		return cu_check_fail(check, "0A000", at, "type %s is not supported in where clauses", info.format);
	return cu_coerce(check, arg, type, -1, CU_COERCE_EXPLICIT, at);
}

/* func_get_detail(); NULL without an error when *ret_cast was the answer. */
static const struct cu_candidate *call_find(struct cu_check *check, struct call_name name, struct cu_node *const *args,
					    unsigned args_len, bool spread, int at, struct cu_node **ret_cast)
{
	const struct cu_catalog_proc *procs;
	size_t procs_len = cu_catalog_procs(name.name, &procs), len = 0, matches = 0;
	uint32_t inputs[CU_FUNCTION_ARGS_MAX];
	struct cu_candidate *candidates;
	const struct cu_candidate *winner;

	candidates = cu_check_alloc(check, (procs_len + 1) * sizeof *candidates);
	if (candidates == NULL)
		return NULL;
	for (unsigned i = 0; i < args_len; i++)
		inputs[i] = args[i]->type;
	for (size_t i = 0; i < procs_len; i++) {
		bool citext = uses_citext(&procs[i]);

		if (citext ? !check->scope->has_citext : name.schema && strcmp(name.schema, "pg_catalog") != 0)
			continue;
		if (candidate_fill(check, &procs[i], args_len, spread, &candidates[len]) &&
		    !candidate_is_hidden(candidates, len, &candidates[len], args_len))
			len++;
		if (check->rc < 0)
			return NULL;
	}
	for (size_t i = 0; i < len; i++) {
		if (memcmp(candidates[i].args, inputs, args_len * sizeof *inputs) == 0)
			return &candidates[i];
	}
	if (args_len == 1 && spread) {
		*ret_cast = call_as_cast(check, name, args[0], at);
		if (*ret_cast != NULL || check->rc < 0)
			return NULL;
	}
	winner = cu_candidate_select(check, inputs, args_len, candidates, len, &matches);
	for (size_t i = 0; winner == NULL && len == 0 && i < procs_len; i++) {
		if (uses_citext(&procs[i]) && !check->scope->has_citext)
			return cu_check_fail(
				check, "0A000", at,
				"function %s is not supported here: no column of this table is of type citext",
				name.name);
	}
	return winner != NULL ? winner : call_missing(check, name, args, args_len, matches, at);
}

/* The literals that stand for arguments which were not given. */
static bool add_defaults(struct cu_check *check, const struct cu_candidate *found, struct cu_node **args,
			 unsigned args_len)
{
	const char *text = cu_catalog_string(found->proc->defaults);
	unsigned first = found->proc->args_len - found->proc->defaults_len;

	for (unsigned i = first; i < found->proc->args_len; i++) {
		size_t len = strcspn(text, "\x1d");
		char *one;

		if (i >= args_len) {
			one = cu_check_alloc(check, len + 1);
			if (one == NULL)
				return false;
			memcpy(one, text, len);
			args[i] = cu_check_body(check, one, args, 0);
			if (args[i] == NULL)
				return false;
		}
		text += len + (text[len] != 0);
	}
	return true;
}

/* The spread arguments of a variadic function become its array. */
static bool gather(struct cu_check *check, const struct cu_candidate *found, struct cu_node **args, unsigned *args_len)
{
	unsigned len = found->variadic_args, first = *args_len - len;
	struct cu_node *array;
	uint32_t type;

	if (len == 0 || found->proc->variadic == CU_ANYOID)
		return true;
	type = cu_type_info(check, args[first]->type).array;
	array = cu_node_new(check, CU_NODE_ARRAY, type, args[first]->at, len);
	if (array == NULL)
		return false;
	if (type == 0) {
		cu_check_no_array(check, args[first]->type, args[first]->at);
		return false;
	}
	memcpy(array->args, args + first, len * sizeof *args);
	args[first] = cu_node_done(check, array);
	*args_len = first + 1;
	return args[first] != NULL;
}

/* What is not a plain function, or is decorated as plain ones cannot be. False: refused. */
static bool check_kind(struct cu_check *check, const PgQuery__FuncCall *raw, const struct cu_catalog_proc *proc)
{
	const char *name = cu_catalog_string(proc->name);
	int at = raw->location;

	if (proc->kind != 'f' && raw->over != NULL)
		cu_check_fail(check, "42P20", at, "window functions are not allowed in WHERE");
	else if (proc->kind == 'w')
		cu_check_fail(check, "42809", at, "window function %s requires an OVER clause", name);
	else if (proc->kind == 'a')
		cu_check_fail(check, "42803", at, "aggregate functions are not allowed in WHERE");
	else if (raw->agg_star)
		cu_check_fail(check, "42809", at, "%s(*) specified, but %s is not an aggregate function", name, name);
	else if (raw->agg_distinct)
		cu_check_fail(check, "42809", at, "DISTINCT specified, but %s is not an aggregate function", name);
	else if (raw->agg_within_group)
		cu_check_fail(check, "42809", at, "WITHIN GROUP specified, but %s is not an aggregate function", name);
	else if (raw->n_agg_order > 0)
		cu_check_fail(check, "42809", at, "ORDER BY specified, but %s is not an aggregate function", name);
	else if (raw->agg_filter != NULL)
		cu_check_fail(check, "42809", at, "FILTER specified, but %s is not an aggregate function", name);
	else if (raw->over != NULL)
		cu_check_fail(check, "42809", at,
			      "OVER specified, but %s is not a window function nor an aggregate function", name);
	else
		return true;
	return false;
}

/* What a cast to a type with a modifier calls. */
static bool is_length_coercion(const char *prosrc)
{
	static const char *const names[] = { "varchar",           "bpchar",     "numeric",      "timestamp_scale",
					     "timestamptz_scale", "time_scale", "timetz_scale", "interval_scale" };

	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		if (strcmp(names[i], prosrc) == 0)
			return true;
	}
	return false;
}

/* Whether another collation than the database's may come from it. */
static bool has_own_collation(const struct cu_check *check, const struct cu_node *node)
{
	if (node->kind == CU_NODE_COLLATE || node->type == CU_NAMEOID ||
	    (node->kind == CU_NODE_COLUMN && node->collation != NULL &&
	     node->collation != check->scope->default_collation))
		return true;
	for (unsigned i = 0; i < node->args_len; i++) {
		if (node->args[i] != NULL && has_own_collation(check, node->args[i]))
			return true;
	}
	return false;
}

static struct cu_node *make_call(struct cu_check *check, const PgQuery__FuncCall *raw, struct call_name name,
				 struct cu_node *const *given, unsigned args_len)
{
	bool spread = !raw->func_variadic;
	int at = raw->location;
	struct cu_node *args[CU_FUNCTION_ARGS_MAX + 8], *node = NULL;
	uint32_t actual[CU_FUNCTION_ARGS_MAX + 8];
	const struct cu_candidate *found;
	const struct cu_catalog_proc *proc;
	uint32_t type;

	memcpy(args, given, args_len * sizeof *args);
	found = call_find(check, name, args, args_len, spread, at, &node);
	if (found == NULL)
		return node;
	proc = found->proc;
	if (!check_kind(check, raw, proc))
		return NULL;
	/* Postgres' planner leaves such calls out by rules of its own. */
	if (is_length_coercion(cu_catalog_string(proc->prosrc)))
		return cu_check_fail(check, "0A000", at,
				     "function %s with a type modifier is not supported in where clauses: write a cast",
				     name.name);
	if (proc->retset)
		return cu_check_fail(check, "0A000", at, "set-returning functions are not allowed in WHERE");
	if (!spread && proc->variadic == CU_ANYOID)
		return cu_check_fail(check, "0A000", at, "VARIADIC is not supported for function %s in where clauses",
				     name.name);
	check->inline_at = check->inline_args == NULL ? at : check->inline_at;
	if (found->defaults > 0) {
		if (!add_defaults(check, found, args, args_len))
			return NULL;
		args_len = proc->args_len;
	}
	for (unsigned i = 0; i < args_len; i++)
		actual[i] = args[i]->type;
	type = cu_generic_enforce(check, actual, found->args, args_len, proc->ret, at);
	if (type == 0)
		return NULL;
	for (unsigned i = 0; i < args_len; i++) {
		args[i] = cu_coerce(check, args[i], found->args[i], -1, CU_COERCE_IMPLICIT, at);
		if (args[i] == NULL)
			return NULL;
	}
	if (!gather(check, found, args, &args_len))
		return NULL;
	if (*cu_catalog_string(proc->prosrc) == 0) {
		/* In Postgres the body's parameters all have the collation that the arguments agree on. */
		for (unsigned i = 0; args_len > 1 && uses_citext(proc) && i < args_len; i++) {
			if (has_own_collation(check, args[i]))
				return cu_check_fail(
					check, "0A000", at,
					"function %s of citext is supported under the database's collation only",
					name.name);
		}
		node = cu_check_body(check, cu_catalog_string(proc->body), args, args_len);
		return node == NULL || node->type == type ? node
							  : cu_coerce(check, node, type, -1, CU_COERCE_EXPLICIT, at);
	}
	node = cu_node_new(check, CU_NODE_CALL, type, at, args_len);
	if (node == NULL)
		return NULL;
	memcpy(node->args, args, args_len * sizeof *args);
	node->proc = proc;
	/* Its last argument is the array of a variadic function, and is to be written so. */
	node->sub = proc->variadic != 0 && proc->variadic != CU_ANYOID;
	return cu_node_done(check, node);
}

struct cu_node *cu_check_func_call(struct cu_check *check, const PgQuery__FuncCall *raw)
{
	struct cu_node *args[CU_FUNCTION_ARGS_MAX], *node;
	struct call_name name = { NULL, "" };
	int at = raw->location;

	for (size_t i = 0; i < raw->n_funcname; i++) {
		if (raw->funcname[i]->node_case != PG_QUERY__NODE__NODE_STRING || raw->n_funcname > 2)
			return cu_check_fail(check, "42601", at, "improper qualified name (too many dotted names)");
		name.schema = i > 0 ? name.name : NULL;
		name.name = raw->funcname[i]->string->sval;
	}
	if (raw->n_args > CU_FUNCTION_ARGS_MAX)
		return cu_check_fail(check, "54023", at, "cannot pass more than %u arguments to a function",
				     CU_FUNCTION_ARGS_MAX);
	for (size_t i = 0; i < raw->n_args; i++) {
		args[i] = cu_check_expr(check, raw->args[i]);
		if (args[i] == NULL)
			return NULL;
		if (args[i]->kind == CU_NODE_ROW)
			return cu_check_fail(check, "0A000", args[i]->at, "rows are not supported as arguments");
	}
	node = make_call(check, raw, name, args, (unsigned)raw->n_args);
	if (node == NULL)
		return NULL;
	/* exprLocation: x AT TIME ZONE y begins with x. */
	for (size_t i = 0; node->kind == CU_NODE_CALL && node->at == at && i < raw->n_args; i++) {
		if (args[i]->at >= 0 && args[i]->at < node->at)
			node->at = args[i]->at;
	}
	return node;
}
