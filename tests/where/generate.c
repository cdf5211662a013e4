/* generate.c: random typed expressions. Depth bounds everything. */
#include "where.h"

#include "expr/catalog.h"

uint32_t w_pick_type(struct wgen *gen)
{
	const struct world *world = gen->world;

	if (w_chance(gen->rand, 750))
		return world->columns[w_below(gen->rand, world->columns_len)].type;
	return world->types[w_below(gen->rand, world->types_len)].oid;
}

uint32_t w_pick_comparable(struct wgen *gen)
{
	uint32_t type = w_pick_type(gen);

	for (unsigned i = 0; i < 4 && (type == CU_JSONOID || type == w_type(gen->world, CU_JSONOID)->array); i++)
		type = w_pick_type(gen);
	return type;
}

uint32_t w_pick_array(struct wgen *gen)
{
	for (unsigned i = 0; i < 20; i++) {
		const struct wtype *type = w_type(gen->world, w_pick_type(gen));

		if (type->elem)
			return type->oid;
		if (i > 4 && type->array)
			return type->array;
	}
	return CU_INT4ARRAYOID;
}

uint32_t w_pick_text(struct wgen *gen)
{
	static const uint32_t texts[] = { CU_TEXTOID, CU_TEXTOID, CU_TEXTOID, CU_VARCHAROID, CU_BPCHAROID, CU_NAMEOID };

	return W_PICK(gen->rand, texts);
}

struct wnode *w_fixed(struct wgen *gen, uint32_t type, const char *text)
{
	return w_node(gen->arena, W_LEAF, type, text, 0);
}

struct wnode *w_literal(struct wgen *gen, uint32_t type, const char *value)
{
	struct wnode *node = w_node(gen->arena, W_LITERAL, type, "\1", 0);

	node->value = value;
	return node;
}

struct wnode *w_form(struct wgen *gen, uint32_t type, const char *form, int depth, const uint32_t *types)
{
	unsigned n = 0;
	struct wnode *node;

	for (const char *p = form; *p; p++)
		n += *p == '\1';
	node = w_node(gen->arena, W_FORM, type, form, n);
	gen->typed = strchr(form, '[') && w_chance(gen->rand, 930);
	for (unsigned i = 0; i < n; i++) {
		node->kids[i] = w_gen(gen, types[i], depth - 1);
		gen->typed = false;
	}
	return node;
}

struct wnode *w_list(struct wgen *gen, uint32_t type, const char *form, const char *sep, int depth, uint32_t first,
		     uint32_t others, unsigned n)
{
	struct wnode *node = w_node(gen->arena, W_FORM, type, form, n + 8);

	node->sep = sep;
	node->kids_len = node->fixed + n;
	CU_ASSERT(node->fixed <= 8);
	for (unsigned i = 0; i < node->kids_len; i++)
		node->kids[i] = w_gen(gen, i < node->fixed ? first : others, depth - 1);
	return node;
}

struct wnode *w_gen_small(struct wgen *gen)
{
	static const char *const values[] = { "-1", "0", "1", "2", "3", "5", "20" };
	struct wnode *node = w_literal(gen, CU_INT4OID, W_PICK(gen->rand, values));

	node->style = W_RAW;
	return node;
}

/* ---- leaves ---- */

static bool is_number(uint32_t type)
{
	return type == CU_INT2OID || type == CU_INT4OID || type == CU_INT8OID || type == CU_FLOAT4OID ||
	       type == CU_FLOAT8OID || type == CU_NUMERICOID;
}

/* A cell of the type, or an element's text of the simple arrays. NULL: none at hand. */
static const char *some_cell(struct wgen *gen, uint32_t type)
{
	const struct world *world = gen->world;
	unsigned start = w_below(gen->rand, world->columns_len);

	for (unsigned i = 0; i < world->columns_len; i++) {
		unsigned k = (start + i) % world->columns_len;
		const char *cell = world->cells[w_below(gen->rand, world->rows_len)][k];

		if (world->columns[k].type == type && cell)
			return cell;
	}
	return NULL;
}

static const char *literal_text(struct wgen *gen, uint32_t type)
{
	const char *cell = w_chance(gen->rand, 450) ? some_cell(gen, type) : NULL;
	cu_buf buf = CU_BUF_INIT;
	const char *text;

	if (cell)
		return cell;
	w_value(gen->world, w_chance(gen->rand, 5) ? CU_TEXTOID : type, &buf);
	text = w_printf(gen->arena, "%s", cu_buf_str(&buf));
	cu_buf_fini(&buf);
	return text;
}

static const char *cast_form(struct wgen *gen, uint32_t type)
{
	const struct wtype *info = w_type(gen->world, type);
	unsigned what = w_below(gen->rand, 10);

	if (what < 6)
		return w_printf(gen->arena, "\1::%s", info->name);
	if (what < 8 || info->elem)
		return w_printf(gen->arena, "CAST(\1 AS %s)", info->name);
	return w_printf(gen->arena, "%s \1", info->name);
}

struct wnode *w_gen_literal(struct wgen *gen, uint32_t type)
{
	struct wnode *node = w_literal(gen, type, literal_text(gen, type));
	unsigned what = w_below(gen->rand, 100);
	const char *value = node->value;

	if (what < 3)
		return w_fixed(gen, type, "NULL");
	if (what < 5) {
		const struct wtype *info = w_type(gen->world, type);

		return w_fixed(gen, type, w_printf(gen->arena, "NULL::%s", info->name));
	}
	if (type == CU_BOOLOID && what < 70)
		return w_fixed(gen, type, w_chance(gen->rand, 500) ? "TRUE" : "false");
	if (is_number(type) && what < 55) {
		size_t len = strspn(value + (*value == '-'), "0123456789.e");

		if (len && len == strlen(value + (*value == '-')) && value[*value == '-'] != 'e') {
			node->style = W_RAW;
			if (*value == '-')
				node->form = "(\1)";
			if (w_chance(gen->rand, 200))
				node->form = w_printf(gen->arena, "%s::%s", node->form, w_type(gen->world, type)->name);
			return node;
		}
	}
	if (what < 72 && !gen->typed)
		return node;
	if (what < 82 && gen->params < W_PARAMS_MAX) {
		node->style = W_PARAM;
		if (gen->shared && w_chance(gen->rand, 150)) {
			node->param = gen->shared->param;
			node->value = gen->shared->value;
		} else {
			node->param = ++gen->params;
			gen->shared = node;
		}
		if (w_chance(gen->rand, 400))
			node->form = w_printf(gen->arena, "\1::%s", w_type(gen->world, type)->name);
		return node;
	}
	node->form = cast_form(gen, type);
	return node;
}

/* n of the columns of the type, -1: there is none. */
static int some_column(struct wgen *gen, uint32_t type)
{
	const struct world *world = gen->world;
	unsigned start = w_below(gen->rand, world->columns_len);

	for (unsigned i = 0; i < world->columns_len; i++) {
		unsigned k = (start + i) % world->columns_len;

		if (world->columns[k].type == type)
			return (int)k;
	}
	return -1;
}

static bool can_cast(const struct world *world, uint32_t source, uint32_t target, bool implicit)
{
	for (unsigned i = 0; i < world->functions->casts_len; i++) {
		const struct wcast *cast = &world->functions->casts[i];

		if (cast->source == source && cast->target == target && (!implicit || cast->context == 'i'))
			return true;
	}
	return false;
}

static struct wnode *column_node(struct wgen *gen, unsigned column)
{
	struct wnode *node = w_node(gen->arena, W_COLUMN, gen->world->columns[column].type, NULL, 0);

	node->column = column;
	return node;
}

struct wnode *w_gen_leaf(struct wgen *gen, uint32_t type)
{
	int column = some_column(gen, type);

	if (column >= 0 && w_chance(gen->rand, 620))
		return column_node(gen, (unsigned)column);
	if (column < 0 && w_chance(gen->rand, 350)) {
		for (unsigned i = 0; i < 4; i++) {
			unsigned k = w_below(gen->rand, gen->world->columns_len);
			struct wnode *node;

			if (!can_cast(gen->world, gen->world->columns[k].type, type, false) && i < 3)
				continue;
			node = w_node(gen->arena, W_FORM, type, cast_form(gen, type), 1);
			if (node->form[0] != '\1' && node->form[0] != 'C')
				break;
			node->kids[0] = column_node(gen, k);
			return node;
		}
	}
	return w_gen_literal(gen, type);
}

/* ---- calls from the catalog ---- */

static bool is_array(const struct wgen *gen, uint32_t type)
{
	const struct wtype *info = w_type(gen->world, type);

	return info && info->elem;
}

static bool is_enum(const struct wgen *gen, uint32_t type)
{
	const struct wtype *info = w_type(gen->world, type);

	return info && info->is_enum;
}

/* The concrete type of a declared one, when anyelement is elem. */
static uint32_t concrete(struct wgen *gen, uint32_t declared, uint32_t elem)
{
	const struct wtype *info = w_type(gen->world, elem);

	switch (declared) {
	case CU_ANYELEMENTOID:
	case CU_ANYNONARRAYOID:
	case CU_ANYENUMOID:
	case CU_ANYCOMPATIBLEOID:
	case CU_ANYCOMPATIBLENONARRAYOID: return elem;
	case CU_ANYARRAYOID:
	case CU_ANYCOMPATIBLEARRAYOID: return info && info->array ? info->array : w_pick_array(gen);
	case CU_ANYOID: return w_pick_type(gen);
	}
	return declared;
}

static const struct wproc *some_proc(struct wgen *gen, uint32_t type)
{
	static const uint32_t poly[] = {
		CU_ANYELEMENTOID,    CU_ANYARRAYOID,           CU_ANYNONARRAYOID,           CU_ANYENUMOID,
		CU_ANYCOMPATIBLEOID, CU_ANYCOMPATIBLEARRAYOID, CU_ANYCOMPATIBLENONARRAYOID, 0
	};
	const struct wfunctions *functions = gen->world->functions;
	const struct wproc *proc = NULL;

	for (unsigned tries = 0; tries < 12; tries++) {
		uint32_t ret = type;
		const struct wbucket *bucket;
		bool near = false;

		if (w_chance(gen->rand, 200) || is_enum(gen, type) || is_array(gen, type)) {
			ret = W_PICK(gen->rand, poly);
			if (ret == 0)
				ret = type;
			if ((ret == CU_ANYARRAYOID || ret == CU_ANYCOMPATIBLEARRAYOID) != is_array(gen, type) &&
			    ret != CU_ANYELEMENTOID)
				continue;
			if (ret == CU_ANYENUMOID && !is_enum(gen, type))
				continue;
		}
		bucket = w_bucket(functions, ret);
		if (bucket->len == 0)
			continue;
		proc = &functions->procs[bucket->ids[w_below(gen->rand, bucket->len)]];
		if (!proc->offered && !w_chance(gen->rand, 10)) {
			proc = NULL;
			continue;
		}
		/* What has to do with the table's columns is worth more. */
		for (unsigned i = 0; i < proc->args_len; i++)
			near |= proc->args[i] > 2276 || some_column(gen, proc->args[i]) >= 0;
		if (near || w_chance(gen->rand, 300))
			break;
	}
	return proc;
}

/* The arguments that the function's name is about. NULL: any will do. */
static struct wnode *special_arg(struct wgen *gen, const struct wproc *proc, unsigned at)
{
	static const char *const fields[] = {
		"year",         "month",    "day",    "hour",          "minute",          "second",
		"week",         "quarter",  "decade", "century",       "millennium",      "milliseconds",
		"microseconds", "dow",      "isodow", "doy",           "epoch",           "isoyear",
		"julian",       "timezone", "YEAR",   "timezone_hour", "timezone_minute", "years",
		"fortnight",    ""
	};
	static const char *const keys[] = { "a", "b", "c", "", "A", "0", "key", "1" };
	static const char *const zones[] = { "UTC", "GMT",           "+02", "-05:30", "utc",
					     "Z",   "Europe/Berlin", "EST", "nowhere" };
	static const char *const formats[] = { "hex", "base64", "escape", "HEX", "other" };
	static const char *const forms[] = { "NFC", "NFD", "NFKC", "nfkd", "x" };
	const char *name = proc->name;
	bool text = proc->args[at] == CU_TEXTOID;

	if (proc->wants_small &&
	    (proc->args[at] == CU_INT4OID || proc->args_len == 1 || proc->name[0] == '^' || proc->name[0] == 'p') &&
	    is_number(proc->args[at]))
		return w_gen_small(gen);
	if (!text || w_chance(gen->rand, 60))
		return NULL;
	if (at == 0 &&
	    (strcmp(name, "date_part") == 0 || strcmp(name, "\"extract\"") == 0 || strcmp(name, "date_trunc") == 0))
		return w_literal(gen, CU_TEXTOID, W_PICK(gen->rand, fields));
	if (strcmp(name, "timezone") == 0)
		return w_literal(gen, CU_TEXTOID, W_PICK(gen->rand, zones));
	if (at == 1 && (strcmp(name, "encode") == 0 || strcmp(name, "decode") == 0))
		return w_literal(gen, CU_TEXTOID, W_PICK(gen->rand, formats));
	if (at == 1 && strstr(name, "normalize"))
		return w_literal(gen, CU_TEXTOID, W_PICK(gen->rand, forms));
	if (at == 1 && (proc->args[0] == CU_JSONBOID || proc->args[0] == CU_JSONOID) && w_chance(gen->rand, 700))
		return w_literal(gen, CU_TEXTOID, W_PICK(gen->rand, keys));
	return NULL;
}

static struct wnode *call_args(struct wgen *gen, const struct wproc *proc, uint32_t elem, struct wnode *node, int depth)
{
	for (unsigned i = 0; i < node->kids_len; i++) {
		uint32_t declared = proc->args[CU_MIN(i, proc->args_len - 1)];

		node->kids[i] = i < proc->args_len ? special_arg(gen, proc, i) : NULL;
		if (proc->variadic && i + 1 >= proc->args_len && !strstr(node->form, "VARIADIC"))
			declared = proc->variadic;
		/* A function with many faces, or with any type's, must be told which. */
		gen->typed = (declared > CU_ANYOID || declared == CU_ANYOID || (proc->args_len == 1 && !proc->is_op)) &&
			     w_chance(gen->rand, 800);
		if (!node->kids[i])
			node->kids[i] = w_gen(gen, concrete(gen, declared, elem), depth - 1);
		gen->typed = false;
	}
	return node;
}

struct wnode *w_gen_call(struct wgen *gen, uint32_t type, int depth)
{
	const struct wproc *proc = some_proc(gen, type);
	const struct wtype *info = w_type(gen->world, type);
	uint32_t elem = w_pick_type(gen);
	unsigned n;
	cu_buf form = CU_BUF_INIT;
	struct wnode *node;
	bool whole;

	if (!proc)
		return w_gen_leaf(gen, type);
	if (proc->ret == CU_ANYARRAYOID || proc->ret == CU_ANYCOMPATIBLEARRAYOID)
		elem = info->elem;
	else if (proc->ret != type)
		elem = type;
	else if (proc->args_len && proc->args[0] == CU_ANYENUMOID)
		elem = gen->world->own_types[w_chance(gen->rand, 500) ? 0 : 2].oid;
	else
		for (unsigned i = 0; i < 5 && is_array(gen, elem); i++)
			elem = w_pick_type(gen);
	n = proc->args_len;
	whole = w_chance(gen->rand, 250);
	if (proc->variadic && !whole)
		n += w_below(gen->rand, 3);
	if (proc->is_prefix) {
		cu_buf_printf(&form, "(%s \1)", proc->name);
	} else if (proc->is_op && !proc->is_public && w_chance(gen->rand, 20)) {
		cu_buf_printf(&form, "(\1 OPERATOR(pg_catalog.%s) \1)", proc->name);
	} else if (proc->is_op) {
		cu_buf_printf(&form, "(\1 %s \1)", proc->name);
	} else {
		cu_buf_printf(&form, "%s%s(", !proc->is_public && w_chance(gen->rand, 50) ? "pg_catalog." : "",
			      proc->name);
		for (unsigned i = 0; i < n; i++)
			cu_buf_printf(&form, "%s%s\1", i ? ", " : "",
				      proc->variadic && whole && i + 1 == n ? "VARIADIC " : "");
		cu_buf_putc(&form, ')');
	}
	node = w_node(gen->arena, W_FORM, type, w_printf(gen->arena, "%s", cu_buf_str(&form)), n);
	cu_buf_fini(&form);
	node->proc = (unsigned)(proc - gen->world->functions->procs) + 1;
	return call_args(gen, proc, elem, node, depth);
}
