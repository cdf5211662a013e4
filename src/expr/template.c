/* template.c: clauses that differ in their constants alone have SQL that differs in its literals alone. So from canonical SQL
 * the literals are cut out; what is left names the program, and the literals are its constants.
 *
 * Which literals are constants is what the deparser said when the first such clause was made; all others (a type's
 * modifier, say) are part of what must be equal. */
#include "expr/template.h"

#include "base/index.h"
#include "base/limits.h"

#include <stdlib.h>
#include <xxhash.h>

#define LITERALS_MAX 32u /* of a template: others are parsed each time */
#define TELLING_MAX 8u   /* templates that tell by a row's text: those loaded last */

struct literal {
	uint32_t at, len; /* with its quotes */
	bool quoted;
};

struct literals {
	struct literal list[LITERALS_MAX];
	uint32_t len;
	bool too_many;
};

/* What a row's text tells about a clause without evaluating it. */
enum telling {
	TELLS_NOTHING,
	TELLS_EQUAL, /* the clause is column = the one constant, and equal texts are equal values */
	TELLS_LIKE,  /* it is column LIKE the one constant, of a column whose value is its text */
};

struct template
{
	uint64_t hash; /* of the SQL without its literals */
	char *sql;     /* of the first of its kind */
	size_t sql_len;
	struct literals literals;
	int32_t constants[LITERALS_MAX]; /* the program's constant that each literal is; -1: it must be equal */
	enum telling telling;
	uint16_t column;       /* that tells, and … */
	struct literal *whose; /* … the literal that it is compared with */
	cu_program *program;
};

struct cu_expr_templates {
	cu_expr_scope *scope;
	cu_index templates;
	const struct template *telling[TELLING_MAX]; /* newest first */
	uint32_t telling_len;
	uint64_t parsed;
};

static uint64_t hash_of(const void *object)
{
	return ((const struct template *)object)->hash;
}

cu_expr_templates *cu_expr_templates_new(cu_expr_scope *scope)
{
	cu_expr_templates *templates = cu_xzalloc(sizeof *templates);

	templates->scope = cu_expr_scope_ref(scope);
	cu_index_init(&templates->templates, hash_of);
	return templates;
}

static void template_free(struct template *template)
{
	cu_program_unref(&template->program);
	free(template->sql);
	free(template);
}

void cu_expr_templates_free(cu_expr_templates **ref)
{
	cu_expr_templates *templates = *ref;
	struct template *template;

	if (!templates)
		return;
	*ref = NULL;
	for (size_t i = 0; (template = cu_index_next(&templates->templates, &i));)
		template_free(template);
	cu_index_fini(&templates->templates);
	cu_expr_scope_unref(&templates->scope);
	free(templates);
}

/* ---- literals ---- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
	       (unsigned char)c >= 0x80;
}

/* The end of what begins with a quote: behind its second one. Doubled quotes belong to it. */
static size_t quoted_end(const char *sql, size_t len, size_t at)
{
	const char *end = sql + len, *quote = sql + at, *next = quote;

	while ((next = memchr(next + 1, *quote, (size_t)(end - next - 1))) != NULL) {
		if (next + 1 == end || next[1] != *quote)
			return (size_t)(next + 1 - sql);
		next++;
	}
	return len;
}

static void literal_add(struct literals *literals, size_t at, size_t end, bool quoted)
{
	if (literals->len == LITERALS_MAX) {
		literals->too_many = true;
		return;
	}
	literals->list[literals->len++] =
		(struct literal){ .at = (uint32_t)at, .len = (uint32_t)(end - at), .quoted = quoted };
}

/* Canonical SQL has no comments, no dollar quotes, and backslashes are doubled. Returns the hash of what is left. */
static uint64_t literals_find(const char *sql, size_t len, struct literals *ret_literals)
{
	uint64_t hash = 0;
	size_t kept = 0, at = 0;

	ret_literals->len = 0;
	ret_literals->too_many = false;
	while (at < len) {
		bool starts = at == 0 || !is_word(sql[at - 1]);
		size_t end;

		if (sql[at] == '"') {
			at = quoted_end(sql, len, at);
			continue;
		}
		if (sql[at] == '\'')
			end = quoted_end(sql, len, at);
		else if (sql[at] == 'E' && starts && at + 1 < len && sql[at + 1] == '\'')
			end = quoted_end(sql, len, at + 1);
		else if (sql[at] >= '0' && sql[at] <= '9' && starts)
			for (end = at; end < len && sql[end] >= '0' && sql[end] <= '9';)
				end++;
		else {
			at++;
			continue;
		}
		literal_add(ret_literals, at, end, sql[end - 1] == '\'');
		hash = XXH3_64bits_withSeed(sql + kept, at - kept, hash);
		kept = at = end;
	}
	return XXH3_64bits_withSeed(sql + kept, len - kept, hash);
}

static bool rest_equal(const char *a, const struct literals *la, size_t a_len, const char *b, const struct literals *lb,
		       size_t b_len)
{
	size_t i = 0, k = 0;

	if (la->len != lb->len)
		return false;
	for (uint32_t n = 0; n <= la->len; n++) {
		size_t i_end = n < la->len ? la->list[n].at : a_len, k_end = n < lb->len ? lb->list[n].at : b_len;

		if (i_end - i != k_end - k || memcmp(a + i, b + k, i_end - i) != 0)
			return false;
		if (n < la->len) {
			i = i_end + la->list[n].len;
			k = k_end + lb->list[n].len;
		}
	}
	return true;
}

/* ---- finding ---- */

struct wanted {
	const char *sql;
	size_t len;
	uint64_t hash;
	struct literals literals;
};

static bool is_template_of(const void *object, const void *key)
{
	const struct template *template = object;
	const struct wanted *wanted = key;

	if (template->hash != wanted->hash || !rest_equal(template->sql, &template->literals, template->sql_len,
							  wanted->sql, &wanted->literals, wanted->len))
		return false;
	for (uint32_t i = 0; i < wanted->literals.len; i++) {
		const struct literal *mine = &template->literals.list[i], *theirs = &wanted->literals.list[i];

		if (mine->quoted != theirs->quoted)
			return false;
		if (template->constants[i] < 0 &&
		    (mine->len != theirs->len ||
		     memcmp(template->sql + mine->at, wanted->sql + theirs->at, mine->len) != 0))
			return false;
	}
	return true;
}

/* *ret_wanted: what the SQL is without its literals; it is as large as the most of them, so that it is not zeroed before. */
static const struct template *template_find(const cu_expr_templates *templates, const char *sql, size_t len,
					    struct wanted *ret_wanted)
{
	ret_wanted->sql = sql;
	ret_wanted->len = len;
	ret_wanted->hash = literals_find(sql, len, &ret_wanted->literals);
	if (ret_wanted->literals.too_many)
		return NULL;
	return cu_index_find(&templates->templates, ret_wanted->hash, is_template_of, ret_wanted);
}

/* A literal's value, as it stands for: in the arena. */
static int literal_read(const char *sql, const struct literal *literal, const struct cu_type *type, cu_arena *arena,
			struct cu_datum *ret_datum)
{
	const char *at = sql + literal->at, *end = at + literal->len;
	char *text = cu_arena_alloc(arena, literal->len + 1);
	size_t len = 0;

	if (!text)
		return CU_ENOMEM;
	if (literal->quoted) {
		at += *at == 'E' ? 2 : 1;
		end--;
	}
	while (at < end) {
		text[len++] = *at;
		/* Quotes are doubled, and so are backslashes, which only E'…' has. */
		at += literal->quoted && (*at == '\'' || *at == '\\') ? 2 : 1;
	}
	return cu_value_in(type, -1, text, len, arena, ret_datum, NULL);
}

static int from_template(const struct template *template, const struct wanted *wanted, cu_expr **ret_expr)
{
	cu_program *program = template->program;
	cu_arena arena = { .block_size = 128 };
	struct cu_datum *consts = cu_arena_alloc(&arena, (program->consts_len + 1) * sizeof *consts);
	int rc = consts ? 0 : CU_ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < wanted->literals.len; i++) {
		int32_t n = template->constants[i];

		if (n >= 0)
			rc = literal_read(wanted->sql, &wanted->literals.list[i], program->const_types[n], &arena,
					  &consts[n]);
	}
	if (rc == 0) {
		*ret_expr = cu_expr_of(program, consts, &arena);
		rc = *ret_expr ? 0 : CU_ENOMEM;
	}
	if (rc < 0)
		cu_arena_fini(&arena);
	return rc;
}

/* ---- the first of its kind ---- */

/* Which literal each constant is. False: not all of them can be told. */
static bool constants_place(struct template *template, const struct cu_const_marks *marks)
{
	uint32_t placed = 0;

	for (uint32_t i = 0; i < template->literals.len; i++)
		template->constants[i] = -1;
	for (uint32_t m = 0; m < marks->len; m++) {
		const struct cu_const_mark *mark = &marks->list[m];
		uint32_t i = 0;

		while (i < template->literals.len && template->literals.list[i].at != mark->at)
			i++;
		if (i == template->literals.len || template->literals.list[i].len != mark->len ||
		    template->constants[i] >= 0)
			return false;
		template->constants[i] = (int32_t)mark->constant;
		placed++;
	}
	return placed == template->program->consts_len;
}

/* Literals of the two types that are equal byte for byte are equal values. */
static bool same_text_is_equal(const struct cu_type *a, const struct cu_type *b)
{
	if (a == b)
		return true;
	return a->repr == b->repr && (a->repr == CU_REPR_TEXT || a->repr == CU_REPR_INT) && a->oid != CU_CHAROID &&
	       b->oid != CU_CHAROID;
}

static bool is_equality(const cu_expr_templates *templates, const cu_expr *expr, uint16_t *ret_column)
{
	const struct cu_conditions *conditions = cu_expr_conditions(expr);
	const struct cu_condition *condition = conditions->all;

	if (!conditions->exact || conditions->all_len != 1 || condition->kind != CU_COND_EQUAL ||
	    condition->values_len != 1)
		return false;
	*ret_column = condition->column;
	return same_text_is_equal(cu_expr_program(expr)->const_types[0],
				  templates->scope->columns[condition->column].type);
}

/* By its program, for the pattern of the first of its kind says nothing about the others'. */
static bool is_like(const cu_expr_templates *templates, const cu_program *program, uint16_t *ret_column)
{
	const struct cu_step *steps = program->steps;
	const struct cu_call_site *site = program->calls;
	const struct cu_type *type;

	if (program->steps_len != 3 || steps[0].op != CU_STEP_COLUMN || steps[1].op != CU_STEP_CONST ||
	    steps[2].op != CU_STEP_CALL)
		return false;
	if (site->function != cu_function_find("textlike", templates->scope->pg_version) &&
	    site->function != cu_function_find("namelike", templates->scope->pg_version))
		return false;
	*ret_column = (uint16_t)steps[0].n;
	type = templates->scope->columns[*ret_column].type;
	return type->repr == CU_REPR_TEXT && type->oid != CU_BPCHAROID && !type->citext && site->collation &&
	       cu_collation_desc(site->collation)->deterministic;
}

/* Of a template whose constants have their places. */
static void telling_find(const cu_expr_templates *templates, struct template *template, const cu_expr *expr)
{
	if (template->program->consts_len != 1)
		return;
	if (is_equality(templates, expr, &template->column))
		template->telling = TELLS_EQUAL;
	else if (is_like(templates, template->program, &template->column))
		template->telling = TELLS_LIKE;
	for (uint32_t i = 0; i < template->literals.len; i++) {
		if (template->constants[i] >= 0)
			template->whose = &template->literals.list[i];
	}
}

/* A clause of this template was loaded: its text is likely to be asked about next. */
static void telling_note(cu_expr_templates *templates, const struct template *template)
{
	uint32_t at = 0;

	if (template->telling == TELLS_NOTHING)
		return;
	while (at < templates->telling_len && templates->telling[at] != template)
		at++;
	if (at == templates->telling_len && at < TELLING_MAX)
		templates->telling_len++;
	at = CU_MIN(at, TELLING_MAX - 1);
	memmove(&templates->telling[1], &templates->telling[0], at * sizeof *templates->telling);
	templates->telling[0] = template;
}

static void template_add(cu_expr_templates *templates, const struct wanted *wanted, const cu_expr *expr,
			 const struct cu_const_marks *marks)
{
	cu_program *program = cu_expr_program(expr);
	struct template *template;

	if (marks->incomplete || marks->len != program->consts_len ||
	    templates->templates.len >= CU_WHERE_TEMPLATES_MAX)
		return;
	for (uint32_t i = 0; i < program->consts_len; i++) {
		/* How a list is searched hangs on its length. */
		if (program->const_types[i]->elem)
			return;
	}
	template = cu_try_zalloc(sizeof *template);
	if (!template)
		return;
	template->hash = wanted->hash;
	template->literals = wanted->literals;
	template->program = cu_program_ref(program);
	template->sql = cu_try_malloc(wanted->len);
	if (!template->sql || !constants_place(template, marks)) {
		template_free(template);
		return;
	}
	memcpy(template->sql, wanted->sql, wanted->len);
	template->sql_len = wanted->len;
	telling_find(templates, template, expr);
	cu_index_insert(&templates->templates, template);
	telling_note(templates, template);
}

int cu_expr_templates_load(cu_expr_templates *templates, const char *sql, size_t len, cu_expr **ret_expr)
{
	struct cu_const_marks marks = { 0 };
	struct wanted wanted;
	const struct template *template = template_find(templates, sql, len, &wanted);
	int rc;

	if (template && from_template(template, &wanted, ret_expr) == 0) {
		telling_note(templates, template);
		return 0;
	}
	templates->parsed++;
	rc = cu_expr_new_marked(templates->scope, sql, len, ret_expr, &marks);
	if (rc == 0 && !wanted.literals.too_many && !template)
		template_add(templates, &wanted, *ret_expr, &marks);
	free(marks.list);
	return rc;
}

/* ---- asking a row's text ---- */

/* What stands in the SQL where the template has its constant; false: something else differs, too. */
static bool literal_of(const struct template *template, const char *sql, size_t len, const char **ret_literal,
		       size_t *ret_len)
{
	size_t head = template->whose->at, tail = template->sql_len - head - template->whose->len;

	if (len < head + tail || memcmp(sql, template->sql, head) != 0 ||
	    memcmp(sql + len - tail, template->sql + template->sql_len - tail, tail) != 0)
		return false;
	*ret_literal = sql + head;
	*ret_len = len - head - tail;
	return true;
}

static bool is_number(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && text[at] >= '0' && text[at] <= '9')
		at++;
	return at == len && len > 0;
}

/* Does the literal, which must be a plain one, stand for this text? */
static bool stands_for(const char *literal, size_t literal_len, bool quoted, const char *text, size_t len)
{
	if (!quoted)
		return literal_len == len && memcmp(literal, text, len) == 0 && is_number(text, len);
	return literal_len == len + 2 && literal[0] == '\'' && memcmp(literal + 1, text, len) == 0 &&
	       literal[len + 1] == '\'' && memchr(text, '\'', len) == NULL;
}

/* Is the literal a pattern of plain characters and then one %, and does the text start with them? What is doubled there
 * is looked at, so that the literal is known to be one. */
static bool starts_as(const char *literal, size_t literal_len, const char *text, size_t len)
{
	const char *at = literal, *end = literal + literal_len - 1, *text_end = text + len;
	bool escapes = literal_len > 0 && *at == 'E';

	at += escapes;
	if (literal_len < 2u + escapes || *at++ != '\'' || *end != '\'')
		return false;
	for (; at < end; at++) {
		switch (*at) {
		case '%': return at + 1 == end;
		case '_': return false;
		case '\\': /* the pattern's escape, doubled: what is behind it means itself */
			if (!escapes || end - at < 3 || at[1] != '\\')
				return false;
			at += 2;
			if (*at != '\\' && *at != '\'')
				break;
			/* fallthrough */
		case '\'':
			if (end - at < 2 || at[1] != *at)
				return false;
			at++;
			break;
		default: break;
		}
		if (text == text_end || *text++ != *at)
			return false;
	}
	return false;
}

bool cu_expr_templates_is_met(const cu_expr_templates *templates, const char *sql, size_t len,
			      const struct cu_expr_row *row)
{
	for (uint32_t i = 0; i < templates->telling_len; i++) {
		const struct template *template = templates->telling[i];
		const struct cu_pg_value *value = &row->values[template->column];
		size_t literal_len;
		const char *literal;

		if (!literal_of(template, sql, len, &literal, &literal_len))
			continue;
		if (value->kind != CU_PG_TEXT)
			return false;
		return template->telling == TELLS_LIKE
			       ? starts_as(literal, literal_len, value->data, value->len)
			       : stands_for(literal, literal_len, template->whose->quoted, value->data, value->len);
	}
	return false;
}

uint64_t cu_expr_templates_parsed(const cu_expr_templates *templates)
{
	return templates->parsed;
}
