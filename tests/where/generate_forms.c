/* generate_forms.c: what SQL has its own grammar for: casts, CASE, subscripts, EXTRACT … */
#include "where.h"

#include "expr/catalog.h"

#define T CU_TEXTOID
#define I CU_INT4OID
#define B CU_BOOLOID

struct form {
	uint32_t ret;
	const char *form;
	uint32_t args[4];
};

static const struct form forms[] = {
	{ T, "substring(\1 from \1 for \1)", { T, I, I } },
	{ T, "substring(\1 from \1)", { T, I } },
	{ T, "substring(\1 for \1)", { T, I } },
	{ T, "substr(\1, \1)", { T, I } },
	{ T, "substring(\1, \1, \1)", { T, I, I } },
	{ T, "trim(\1)", { T } },
	{ T, "trim(both \1 from \1)", { T, T } },
	{ T, "trim(leading from \1)", { T } },
	{ T, "trim(trailing \1 from \1)", { T, T } },
	{ T, "btrim(\1, \1)", { T, T } },
	{ T, "overlay(\1 placing \1 from \1 for \1)", { T, T, I, I } },
	{ T, "overlay(\1 placing \1 from \1)", { T, T, I } },
	{ T, "(\1 COLLATE \"C\")", { T } },
	{ T, "(\1 COLLATE \"en-x-icu\")", { T } },
	{ T, "(\1 COLLATE \"default\")", { T } },
	{ T, "upper(\1)", { T } },
	{ T, "lower(\1)", { T } },
	{ T, "left(\1, \1)", { T, I } },
	{ T, "right(\1, \1)", { T, I } },
	{ T, "replace(\1, \1, \1)", { T, T, T } },
	{ T, "concat(\1, \1)", { T, I } },
	{ T, "concat_ws(\1, \1, \1)", { T, T, T } },
	{ T, "(\1 || \1)", { T, T } },
	{ T, "(\1 || \1)", { T, I } },
	{ T, "(\1 ->> 'a')", { CU_JSONBOID } },
	{ T, "(\1 ->> 0)", { CU_JSONOID } },
	{ T, "(\1 #>> '{a,b}')", { CU_JSONBOID } },
	{ T, "normalize(\1)", { T } },
	{ T, "split_part(\1, \1, \1)", { T, T, I } },
	{ I, "position(\1 in \1)", { T, T } },
	{ I, "strpos(\1, \1)", { T, T } },
	{ I, "length(\1)", { T } },
	{ I, "char_length(\1)", { T } },
	{ I, "ascii(\1)", { T } },
	{ I, "(\1)[1]", { CU_INT4ARRAYOID } },
	{ T, "(\1)[\1]", { CU_TEXTARRAYOID, I } },
	{ T, "(\1)[1][2]", { CU_TEXTARRAYOID } },
	{ CU_TEXTARRAYOID, "(\1)[\1:\1]", { CU_TEXTARRAYOID, I, I } },
	{ CU_INT4ARRAYOID, "(\1)[\1:]", { CU_INT4ARRAYOID, I } },
	{ CU_INT4ARRAYOID, "(\1)[1:2][:]", { CU_INT4ARRAYOID } },
	{ CU_TEXTARRAYOID, "string_to_array(\1, ',')", { T } },
	{ CU_JSONBOID, "(\1 -> 'a')", { CU_JSONBOID } },
	{ CU_JSONBOID, "(\1 -> \1)", { CU_JSONBOID, I } },
	{ CU_JSONBOID, "(\1)['a']", { CU_JSONBOID } },
	{ CU_JSONBOID, "(\1 #> '{a,0}')", { CU_JSONBOID } },
	{ CU_JSONOID, "(\1 -> 'a')", { CU_JSONOID } },
	{ CU_TIMESTAMPOID, "(\1 AT TIME ZONE 'UTC')", { CU_TIMESTAMPTZOID } },
	{ CU_TIMESTAMPTZOID, "(\1 AT TIME ZONE 'UTC')", { CU_TIMESTAMPOID } },
	{ CU_TIMESTAMPTZOID, "(\1 AT TIME ZONE \1)", { CU_TIMESTAMPOID, CU_INTERVALOID } },
	{ CU_TIMESTAMPOID, "(\1 AT TIME ZONE '+02')", { CU_TIMESTAMPTZOID } },
	{ CU_TIMETZOID, "(\1 AT TIME ZONE '-03:30')", { CU_TIMETZOID } },
	{ CU_INTERVALOID, "age(\1, \1)", { CU_TIMESTAMPOID, CU_TIMESTAMPOID } },
	{ CU_INTERVALOID, "(\1 - \1)", { CU_TIMESTAMPOID, CU_TIMESTAMPOID } },
	{ I, "(\1 - \1)", { CU_DATEOID, CU_DATEOID } },
	{ CU_DATEOID, "(\1 + \1)", { CU_DATEOID, I } },
	{ CU_TIMESTAMPOID, "(\1 + \1)", { CU_DATEOID, CU_INTERVALOID } },
	{ CU_TIMESTAMPOID, "(\1 + \1)", { CU_TIMESTAMPOID, CU_INTERVALOID } },
	{ CU_TIMESTAMPTZOID, "(\1 - \1)", { CU_TIMESTAMPTZOID, CU_INTERVALOID } },
	{ CU_INTERVALOID, "(\1 * \1)", { CU_INTERVALOID, CU_FLOAT8OID } },
	{ CU_INTERVALOID, "INTERVAL '1' DAY", { 0 } },
	{ CU_INTERVALOID, "INTERVAL '1-2' YEAR TO MONTH", { 0 } },
	{ CU_INTERVALOID, "INTERVAL '1.5' HOUR", { 0 } },
	{ CU_INTERVALOID, "(\1)::interval(2)", { CU_INTERVALOID } },
	{ CU_INTERVALOID, "(\1)::interval day to minute", { CU_INTERVALOID } },
	{ CU_NUMERICOID, "(\1)::numeric(6,2)", { CU_NUMERICOID } },
	{ CU_NUMERICOID, "(\1)::numeric(10)", { CU_FLOAT8OID } },
	{ CU_NUMERICOID, "round(\1, 2)", { CU_NUMERICOID } },
	{ CU_NUMERICOID, "(\1 % \1)", { CU_NUMERICOID, CU_NUMERICOID } },
	{ I, "(\1 % \1)", { I, I } },
	{ I, "(\1 / \1)", { I, I } },
	{ I, "abs(\1)", { I } },
	{ CU_VARCHAROID, "(\1)::varchar(3)", { T } },
	{ CU_BPCHAROID, "(\1)::char(4)", { T } },
	{ CU_BPCHAROID, "(\1)::char", { T } },
	{ CU_TIMESTAMPOID, "(\1)::timestamp(0)", { CU_TIMESTAMPOID } },
	{ CU_TIMEOID, "(\1)::time(3)", { CU_TIMEOID } },
	{ CU_TIMETZOID, "(\1)::timetz(1)", { CU_TIMETZOID } },
	{ CU_TIMESTAMPTZOID, "(\1)::timestamptz(2)", { CU_TIMESTAMPTZOID } },
	{ CU_BYTEAOID, "substring(\1 from \1 for \1)", { CU_BYTEAOID, I, I } },
	{ CU_BYTEAOID, "trim(both \1 from \1)", { CU_BYTEAOID, CU_BYTEAOID } },
	{ CU_BYTEAOID, "overlay(\1 placing \1 from \1)", { CU_BYTEAOID, CU_BYTEAOID, I } },
	{ I, "position(\1 in \1)", { CU_BYTEAOID, CU_BYTEAOID } },
};

static struct wnode *extract(struct wgen *gen, uint32_t type, int depth)
{
	static const char *const fields[] = { "year",         "month",        "day",          "hour",   "minute",
					      "second",       "week",         "quarter",      "decade", "century",
					      "millennium",   "milliseconds", "microseconds", "dow",    "isodow",
					      "doy",          "epoch",        "isoyear",      "julian", "timezone",
					      "timezone_hour" };
	static const uint32_t sources[] = { CU_DATEOID,     CU_TIMESTAMPOID, CU_TIMESTAMPTZOID,
					    CU_INTERVALOID, CU_TIMEOID,      CU_TIMETZOID };
	const uint32_t source = W_PICK(gen->rand, sources);
	const char *field = W_PICK(gen->rand, fields);
	const char *form = type == CU_NUMERICOID ? "extract(%s from \1)" : "date_part('%s', \1)";
	cu_buf buf = CU_BUF_INIT;
	struct wnode *node;

	for (const char *p = form; *p; p++) {
		if (*p == '%')
			cu_buf_puts(&buf, field), p++;
		else
			cu_buf_putc(&buf, *p);
	}
	form = w_printf(gen->arena, "%s", cu_buf_str(&buf));
	cu_buf_fini(&buf);
	node = w_form(gen, type, form, depth, &source);
	return node;
}

static struct wnode *special(struct wgen *gen, uint32_t type, int depth)
{
	unsigned start = w_below(gen->rand, CU_ARRAY_LEN(forms));

	if ((type == CU_NUMERICOID || type == CU_FLOAT8OID) && w_chance(gen->rand, 400))
		return extract(gen, type, depth);
	for (unsigned i = 0; i < CU_ARRAY_LEN(forms); i++) {
		const struct form *form = &forms[(start + i) % CU_ARRAY_LEN(forms)];
		uint32_t args[4];

		if (form->ret != type)
			continue;
		for (unsigned k = 0; k < 4; k++)
			args[k] = form->args[k] == T && w_chance(gen->rand, 300) ? w_pick_text(gen) : form->args[k];
		return w_form(gen, type, form->form, depth, args);
	}
	return w_gen_call(gen, type, depth);
}

static struct wnode *cast(struct wgen *gen, uint32_t type, int depth)
{
	const struct world *world = gen->world;
	const struct wtype *info = w_type(world, type);
	uint32_t source = w_pick_type(gen);
	struct wnode *node = NULL;

	/* Mostly along pg_cast; else through text, or not at all. */
	for (unsigned i = 0; i < 8 && w_chance(gen->rand, 930); i++) {
		const struct wcast *one = &world->functions->casts[w_below(gen->rand, world->functions->casts_len)];

		if (one->target == type && w_type(world, one->source)) {
			source = one->source;
			break;
		}
		source = w_pick_type(gen);
		if (source == CU_TEXTOID || source == type)
			break;
	}
	node = w_node(gen->arena, W_FORM, type,
		      w_chance(gen->rand, 700) ? w_printf(gen->arena, "(\1)::%s", info->name)
					       : w_printf(gen->arena, "CAST(\1 AS %s)", info->name),
		      1);
	node->kids[0] = w_gen(gen, source, depth - 1);
	return node;
}

static struct wnode *case_when(struct wgen *gen, uint32_t type, int depth)
{
	unsigned whens = 1 + w_below(gen->rand, 3);
	bool with_arg = w_chance(gen->rand, 350), with_else = w_chance(gen->rand, 750);
	uint32_t arg = w_pick_comparable(gen);
	struct wnode *node = w_node(gen->arena, W_FORM, type, with_arg ? "CASE \1\2 END" : "CASE\2 END",
				    with_arg + whens + with_else);
	unsigned at = 0;

	node->sep = " ";
	if (with_arg)
		node->kids[at++] = w_gen(gen, arg, depth - 1);
	for (unsigned i = 0; i < whens; i++) {
		const uint32_t types[2] = { with_arg ? arg : B, type };

		node->kids[at++] = w_form(gen, 0, " WHEN \1 THEN \1", depth, types);
	}
	if (with_else)
		node->kids[at] = w_form(gen, 0, " ELSE \1", depth, &type);
	return node;
}

static struct wnode *generic(struct wgen *gen, uint32_t type, int depth)
{
	const uint32_t two[2] = { type, type };

	switch (w_below(gen->rand, 6)) {
	case 0:
	case 1: return case_when(gen, type, depth);
	case 2: return w_list(gen, type, "COALESCE(\2)", ", ", depth, 0, type, 1 + w_below(gen->rand, 3));
	case 3: return w_form(gen, type, "NULLIF(\1, \1)", depth, two);
	case 4: return w_list(gen, type, "GREATEST(\2)", ", ", depth, 0, type, 1 + w_below(gen->rand, 3));
	default: return w_list(gen, type, "LEAST(\2)", ", ", depth, 0, type, 1 + w_below(gen->rand, 3));
	}
}

/* An array, or an element of one. */
static struct wnode *of_array(struct wgen *gen, const struct wtype *info, int depth)
{
	uint32_t type = info->oid;

	if (info->elem) {
		uint32_t args[3] = { type, I, I };

		switch (w_below(gen->rand, 6)) {
		case 0:
		case 1:
		case 2: return w_list(gen, type, "ARRAY[\2]", ", ", depth, 0, info->elem, 1 + w_below(gen->rand, 4));
		case 3: return w_fixed(gen, type, w_printf(gen->arena, "ARRAY[]::%s", info->name));
		case 4: return w_form(gen, type, "(\1)[\1:\1]", depth, args);
		default: return w_list(gen, type, "ARRAY[\2]", ", ", depth, 0, type, 1 + w_below(gen->rand, 2));
		}
	}
	if (info->array) {
		uint32_t args[3] = { info->array, I, I };

		return w_form(gen, type, w_chance(gen->rand, 900) ? "(\1)[\1]" : "(\1)[\1][\1]", depth, args);
	}
	return w_gen_leaf(gen, type);
}

static uint32_t implicit_source(struct wgen *gen, uint32_t type)
{
	const struct wfunctions *functions = gen->world->functions;
	unsigned start = w_below(gen->rand, functions->casts_len);

	for (unsigned i = 0; i < functions->casts_len; i++) {
		const struct wcast *cast_ = &functions->casts[(start + i) % functions->casts_len];

		if (cast_->target == type && cast_->context == 'i' && w_type(gen->world, cast_->source))
			return cast_->source;
	}
	return type;
}

struct wnode *w_gen(struct wgen *gen, uint32_t type, int depth)
{
	const struct wtype *info;
	unsigned what;

	if (w_chance(gen->rand, gen->ill))
		type = w_pick_type(gen);
	else if (w_chance(gen->rand, 60))
		type = implicit_source(gen, type);
	info = w_type(gen->world, type);
	if (!info) { /* a type that we know no values of */
		type = CU_TEXTOID;
		info = w_type(gen->world, type);
	}
	if (depth <= 0 || w_chance(gen->rand, 220))
		return w_gen_leaf(gen, type);
	gen->typed = false;
	if (type == B)
		return w_gen_bool(gen, depth);
	what = w_below(gen->rand, 100);
	if (what < 42)
		return w_gen_call(gen, type, depth);
	if (what < 56)
		return special(gen, type, depth);
	if (what < 67)
		return cast(gen, type, depth);
	if (what < 78)
		return generic(gen, type, depth);
	if (what < 85 || (info->elem && what < 95))
		return of_array(gen, info, depth);
	return w_gen_leaf(gen, type);
}
