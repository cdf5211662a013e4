/* generate_bool.c: conditions. */
#include "where.h"

#include "expr/catalog.h"

#define B CU_BOOLOID

static const char *const comparisons[] = { "=", "=", "=", "<>", "!=", "<", "<=", ">", ">=" };

/* A column more often than elsewhere: what a clause is about. */
static struct wnode *subject(struct wgen *gen, uint32_t type, int depth)
{
	return w_chance(gen->rand, 550) ? w_gen_leaf(gen, type) : w_gen(gen, type, depth - 1);
}

/* The type that stands on the other side: mostly the same. */
static uint32_t partner(struct wgen *gen, uint32_t type)
{
	static const uint32_t numbers[] = { CU_INT2OID,   CU_INT4OID,   CU_INT8OID,
					    CU_FLOAT4OID, CU_FLOAT8OID, CU_NUMERICOID };
	static const uint32_t dates[] = { CU_DATEOID, CU_TIMESTAMPOID, CU_TIMESTAMPTZOID };

	if (w_chance(gen->rand, 750))
		return type;
	for (unsigned i = 0; i < CU_ARRAY_LEN(numbers); i++)
		if (numbers[i] == type)
			return W_PICK(gen->rand, numbers);
	for (unsigned i = 0; i < CU_ARRAY_LEN(dates); i++)
		if (dates[i] == type)
			return W_PICK(gen->rand, dates);
	if (type == CU_TEXTOID || type == CU_VARCHAROID || type == CU_BPCHAROID || type == CU_NAMEOID)
		return w_pick_text(gen);
	return type;
}

static const char *op_form(struct wgen *gen, const char *before, const char *after)
{
	return w_printf(gen->arena, "%s%s%s", before, W_PICK(gen->rand, comparisons), after);
}

static struct wnode *comparison(struct wgen *gen, int depth)
{
	uint32_t type = w_pick_comparable(gen);
	struct wnode *node = w_node(gen->arena, W_FORM, B, op_form(gen, "(\1 ", " \1)"), 2);
	unsigned first = w_below(gen->rand, 10) < 8 ? 0 : 1;

	node->kids[first] = subject(gen, type, depth);
	node->kids[1 - first] = w_gen(gen, partner(gen, type), depth - 1);
	return node;
}

static struct wnode *tests(struct wgen *gen, int depth)
{
	static const char *const nulls[] = { "(\1 IS NULL)", "(\1 IS NOT NULL)", "(\1 ISNULL)", "(\1 NOTNULL)" };
	static const char *const truths[] = { "(\1 IS TRUE)",      "(\1 IS NOT TRUE)", "(\1 IS FALSE)",
					      "(\1 IS NOT FALSE)", "(\1 IS UNKNOWN)",  "(\1 IS NOT UNKNOWN)" };
	uint32_t two[2] = { w_pick_comparable(gen), 0 };

	two[1] = partner(gen, two[0]);
	switch (w_below(gen->rand, 3)) {
	case 0: return w_form(gen, B, W_PICK(gen->rand, nulls), depth, two);
	case 1: two[0] = B; return w_form(gen, B, W_PICK(gen->rand, truths), depth, two);
	default:
		return w_form(gen, B,
			      w_chance(gen->rand, 500) ? "(\1 IS DISTINCT FROM \1)" : "(\1 IS NOT DISTINCT FROM \1)",
			      depth, two);
	}
}

static struct wnode *between(struct wgen *gen, int depth)
{
	static const char *const forms[] = { "(\1 BETWEEN \1 AND \1)", "(\1 NOT BETWEEN \1 AND \1)",
					     "(\1 BETWEEN SYMMETRIC \1 AND \1)",
					     "(\1 NOT BETWEEN SYMMETRIC \1 AND \1)" };
	uint32_t type = w_pick_comparable(gen);
	const uint32_t types[3] = { type, partner(gen, type), partner(gen, type) };
	struct wnode *node = w_form(gen, B, W_PICK(gen->rand, forms), depth, types);

	if (w_chance(gen->rand, 500))
		node->kids[0] = subject(gen, type, depth);
	return node;
}

static struct wnode *in_list(struct wgen *gen, int depth)
{
	uint32_t type = w_pick_comparable(gen);
	unsigned n = 1 + w_below(gen->rand, 5);
	bool many = w_chance(gen->rand, 60);
	struct wnode *node;

	/* Postgres hashes lists of nine and more. */
	if (many)
		n = 9 + w_below(gen->rand, 12);
	node = w_list(gen, B, w_chance(gen->rand, 700) ? "(\1 IN (\2))" : "(\1 NOT IN (\2))", ", ",
		      many ? 1 : CU_MIN(depth, 2), type, partner(gen, type), n);
	node->kids[0] = subject(gen, type, depth);
	return node;
}

static struct wnode *any_all(struct wgen *gen, int depth)
{
	static const char *const words[] = { "ANY", "ANY", "ALL", "SOME" };
	static const char *const others[] = { "~~", "!~~", "LIKE", "ILIKE", "NOT LIKE", "@>", "<@", "&&", "||" };
	uint32_t array = w_pick_array(gen);
	const struct wtype *info = w_type(gen->world, array);
	const char *op = w_chance(gen->rand, 850) ? W_PICK(gen->rand, comparisons) : W_PICK(gen->rand, others);
	const uint32_t types[2] = { partner(gen, info->elem), array };

	return w_form(gen, B, w_printf(gen->arena, "(\1 %s %s (\1))", op, W_PICK(gen->rand, words)), depth, types);
}

static struct wnode *pattern(struct wgen *gen)
{
	static const char *const patterns[] = {
		"%",   "a%",  "%a",   "%a%", "_",      "__", "a_b",     "a\\%b", "\\_%",
		"A%",  "ab%", "",     "%%",  "a\\\\b", "é%", "_%_",     "%b%c%", "a",
		"abc", "%\\", "foo%", "%_",  "x%x",    "ß%", "foo\\_%", "1%",    "%o%"
	};
	struct wnode *node = w_literal(gen, CU_TEXTOID, W_PICK(gen->rand, patterns));

	if (w_chance(gen->rand, 120) && gen->params < W_PARAMS_MAX) {
		node->style = W_PARAM;
		node->param = ++gen->params;
	}
	return node;
}

static struct wnode *like(struct wgen *gen, int depth)
{
	static const char *const ops[] = { "LIKE", "LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE", "~~", "!~~",
					   "~~*",  "!~~*", "^@",       "~",     "~*",        "!~", "SIMILAR TO" };
	static const char *const escapes[] = { " ESCAPE '\\'", " ESCAPE ''",  " ESCAPE '%'",
					       " ESCAPE 'a'",  " ESCAPE '#'", " ESCAPE 'ab'" };
	const char *op = w_chance(gen->rand, 940) ? ops[w_below(gen->rand, 10)] : W_PICK(gen->rand, ops);
	bool escape = strstr(op, "LIKE") && w_chance(gen->rand, 150);
	uint32_t text = w_chance(gen->rand, 950) ? w_pick_text(gen) : CU_BYTEAOID;
	struct wnode *node =
		w_node(gen->arena, W_FORM, B,
		       w_printf(gen->arena, "(\1 %s \1%s)", op, escape ? W_PICK(gen->rand, escapes) : ""), 2);

	node->kids[0] = subject(gen, text, depth);
	node->kids[1] = w_chance(gen->rand, 800) ? pattern(gen) : w_gen(gen, text, depth - 1);
	return node;
}

static struct wnode *row_of(struct wgen *gen, const uint32_t *types, unsigned n, int depth)
{
	struct wnode *node = w_node(gen->arena, W_FORM, 0, w_chance(gen->rand, 700) ? "(\2)" : "ROW(\2)", n);

	for (unsigned i = 0; i < n; i++)
		node->kids[i] = w_gen(gen, partner(gen, types[i]), depth - 1);
	return node;
}

static struct wnode *rows(struct wgen *gen, int depth)
{
	static const char *const null_tests[] = { "(\1 IS NULL)", "(\1 IS NOT NULL)" };
	static const char *const pairs[] = { "(\1 IS DISTINCT FROM \1)", "(\1 IS NOT DISTINCT FROM \1)",
					     "(\1 OVERLAPS \1)" };
	uint32_t types[3];
	unsigned n = 2 + w_below(gen->rand, 2), what = w_below(gen->rand, 20), kids = 2;
	const char *form;
	struct wnode *node;

	for (unsigned i = 0; i < n; i++)
		types[i] = w_pick_comparable(gen);
	depth = CU_MIN(depth, 2);
	if (what < 10) {
		form = op_form(gen, "(\1 ", " \1)");
	} else if (what < 14) {
		form = w_chance(gen->rand, 600) ? "(\1 IN (\2))" : "(\1 NOT IN (\2))";
		kids = 2 + w_below(gen->rand, 3);
	} else if (what < 16) {
		form = W_PICK(gen->rand, null_tests);
		kids = 1;
	} else if (what < 19) {
		form = W_PICK(gen->rand, pairs);
	} else {
		form = "(\1 BETWEEN \1 AND \1)";
		kids = 3;
	}
	if (strstr(form, "OVERLAPS")) {
		static const uint32_t whens[] = { CU_DATEOID, CU_TIMESTAMPOID, CU_TIMESTAMPTZOID, CU_TIMEOID };

		n = 2;
		types[0] = W_PICK(gen->rand, whens);
		types[1] = w_chance(gen->rand, 500) ? CU_INTERVALOID : types[0];
	}
	node = w_node(gen->arena, W_FORM, B, form, kids);
	for (unsigned i = 0; i < kids; i++)
		node->kids[i] = row_of(gen, types, n, depth);
	return node;
}

static struct wnode *oddity(struct wgen *gen, int depth)
{
	static const char *const texts[] = {
		"EXISTS (SELECT 1)",
		"(id IN (SELECT 1))",
		"(count(*) > 0)",
		"(sum(id) > 1)",
		"(random() < 0.5)",
		"(now() > '2020-01-01')",
		"(CURRENT_DATE > '2020-01-01')",
		"(row_number() OVER () = 1)",
		"nonexistent",
		"(nonexistent = 1)",
		"no_such_function(1)",
		"(id = nonsense::int4)",
		"(id::nonsense = 1)",
		"(items.id = 1)",
		"(items IS NOT NULL)",
		"(generate_series(1, 2) = 1)",
		"(id = DEFAULT)",
		"(ctid IS NOT NULL)",
		"(id = id)",
		"(current_user = 'postgres')",
		"(id = 1) AND",
		"id id",
		"(",
		"(other.id = 1)",
		"(id.id = 1)",
		"(public.items.id = 1)",
		"(id COLLATE \"C\" = 1)",
		"('a' COLLATE \"nope\" = 'b')",
		"('x' = 'x')",
		"(1 = 1)",
		"(1 = '1')",
		"(NULL = NULL)",
		"NULL",
		"('a' || 'b' = 'ab')",
		"(id = 1.0)",
		"(id = 1e0)",
		"(id = '1')",
		"(id = ' 1 ')",
		"(id = '1.0')",
		"(1 / 0 = 1)",
		"(id = 1 AND 1 / 0 = 1)",
		"(id = 1 OR 1 / 0 = 1)",
		"(false AND 1 / 0 = 1)",
		"(CASE WHEN true THEN 1 ELSE 1 / 0 END = 1)",
		"(id = 99999999999)",
		"(id = 99999999999999999999)",
		"(id = -2147483648)",
		"(- 2147483648 = id)",
		"(id = 0x10)",
		"(id = 1_000)",
		"(id = E'1')",
		"(id = U&'\\0031')",
		"(id = $$1$$)",
		"(B'1' = '1')",
		"(X'ff' = B'11111111')",
		"(id IS JSON)",
		"('{}'::jsonb @? '$')",
		"(GROUPING(id) = 1)",
		"(xmlexists('a' PASSING 'b'))",
		"(id = ANY (SELECT 1))",
		"(ROW(1, 2) = ROW(1, 2))",
		"(ROW(1, 2) = ROW(1))",
		"((1, 2) IN ((1, 2), (3, 4)))",
		"(id = ANY ('{1,2}'))",
		"(id = ANY ('{1,x}'))",
		"(id = ANY (ARRAY[1, 2.5]))",
		"(id = ANY (1))",
		"(ARRAY[1, 'a'] = ARRAY[1])",
		"(ARRAY[] = ARRAY[1])",
		"(CASE id WHEN 1 THEN 'a' ELSE 1 END = 'a')",
		"(CASE id WHEN 'x' THEN true END)",
		"(COALESCE(id, 'x') = 1)",
		"(length('abc') = 3)",
		"(length(1) = 3)",
		"(upper(id) = '1')",
		"(not id)",
		"(id and true)",
		"(id is true)",
		"(id between 'a' and 2)",
		"(id like '1%')",
		"(id::text like '1%')",
		"(lower('ABC') = 'abc')",
		"(substring('abc' from 'b') = 'b')",
		"(substring('abc' similar 'b' escape '#') = 'b')",
		"(array_length('{1,2}', 1) = 2)",
		"(array_length('{1,2}'::int[], 1) = 2)",
		"(jsonb '1' = 1)",
		"(row_to_json(ROW(1)) IS NULL)",
		"(id = 'x')",
		"true",
		"('t')",
		"'yes'",
		"'maybe'",
		"1",
		"id",
		"'1'::text",
		"(id::varchar(0) = '1')",
		"(id::numeric(0) = 1)",
		"('1'::numeric(5, 6) = 1)",
		"(id::float(54) = 1)",
		"(id::bit(3) = '1')",
		"(LOCALTIMESTAMP(0) IS NULL)",
		"(id = POSITION('a' IN 'b'))",
		"(id IN ())",
		"(treat(id as int) = 1)",
		"(make_date(2020, 13, 1) = '2020-01-01')",
		"(date_trunc('nope', now()) = now())",
		"(to_char(id, '9') = ' 1')",
		"((ARRAY[1,2,3])[2] = id)",
		"((ARRAY[[1,2],[3]])[1][1] = id)",
		"(id = ALL (ARRAY[]::int[]))",
		"(id = ANY (NULL))",
		"(id = ANY (NULL::int[]))",
		"('{}' = '{}'::int[])",
		"(now() AT TIME ZONE 'UTC' = '2020-01-01')",
		"(timestamp '2020-01-01' AT TIME ZONE 'nowhere' IS NULL)",
		"('2020-01-01'::date + 1 = '2020-01-02')",
		"('now'::timestamptz IS NULL)",
		"('today'::date IS NULL)",
		"(date 'tomorrow' IS NULL)",
		"(\"id\" = 1)",
		"(\"ID\" = 1)",
		"(ID = 1)",
		"(id = 1;)",
		"(id = 1 -- comment\n)",
		"(id = /* c */ 1)",
		"(id=-1)",
		"(id=+1)",
		"(id<-1)",
		"(id@-1 = 1)",
		"(|/ 4 = 2)",
		"(@ id = 1)",
		"(id !== 1)",
		"(id === 1)",
		"(!! id = 1)",
		"(id ~= 1)",
		"(~ id = 1)",
		"(id # 3 = 1)",
		"(id & 1 = 1)",
		"(id << 1 = 2)",
		"(2 ^ 3 = 8)",
		"(id ^ 2 = 4)",
		"(id % 2 = 0)",
		"(5 % 0 = 0)",
		"(id / 0 = 1)",
		"(1.0 / 0 = 1)",
		"(0.1 + 0.2 = 0.3)",
		"(0.1::float8 + 0.2::float8 = 0.3::float8)",
		"('NaN'::float8 = 'NaN'::float8)",
		"('-0'::float8 = 0)",
	};

	if (w_chance(gen->rand, 800) || depth <= 1)
		return w_fixed(gen, B, W_PICK(gen->rand, texts));
	return w_gen(gen, w_pick_type(gen), depth - 1); /* not a condition at all, mostly */
}

static struct wnode *logic(struct wgen *gen, int depth)
{
	static const uint32_t one = B;
	unsigned what = w_below(gen->rand, 10);

	if (what < 2)
		return w_form(gen, B, "(NOT \1)", depth, &one);
	return w_list(gen, B, "(\2)", what < 6 ? " AND " : " OR ", depth, 0, B, 2 + w_below(gen->rand, 3));
}

struct wnode *w_gen_bool(struct wgen *gen, int depth)
{
	unsigned what = w_below(gen->rand, 1000);

	if (what < 240)
		return comparison(gen, depth);
	if (what < 400)
		return logic(gen, depth);
	if (what < 500)
		return tests(gen, depth);
	if (what < 560)
		return between(gen, depth);
	if (what < 630)
		return in_list(gen, depth);
	if (what < 690)
		return any_all(gen, depth);
	if (what < 760)
		return like(gen, depth);
	if (what < 810)
		return rows(gen, depth);
	if (what < 980)
		return w_gen_call(gen, B, depth);
	if (what < 990)
		return w_gen_leaf(gen, B);
	return oddity(gen, depth);
}

struct wnode *w_generate(struct world *world, cu_arena *arena)
{
	struct wgen gen = { .world = world, .rand = &world->rand, .arena = arena };
	int depth = 1 + (int)w_below(&world->rand, 3) + (w_chance(&world->rand, 100) ? 2 : 0);

	gen.ill = w_chance(&world->rand, 250) ? 80 : 0;
	return w_gen_bool(&gen, depth);
}
