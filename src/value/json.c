/* json.c: the type json, which is its text. Looking into it parses it as a stream and remembers what matched last: with
 * duplicate keys, the last full match of a path wins, not the last key of each level; and a negative subscript is made
 * positive by the first array of its level, wherever that stands. That is how Postgres answers. */
#include "value/array.h"
#include "value/json_parse.h"
#include "value/jsonb.h"

#include <limits.h>

int cu_json_check(const char *text, size_t len, struct cu_value_error *err)
{
	static const struct cu_json_events none;
	struct cu_json_lexer lexer;

	cu_json_lexer_init(&lexer, text, len, NULL, err);
	return cu_json_parse(&lexer, &none, NULL);
}

static int json_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		   struct cu_datum *ret_datum, struct cu_value_error *err)
{
	int rc = cu_json_check(text, len, err);

	(void)type;
	(void)typmod;
	(void)arena;
	if (rc == 0)
		*ret_datum = (struct cu_datum){ .len = (uint32_t)len, .bytes = text };
	return rc;
}

static int json_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	cu_buf_append(out, datum->bytes, datum->len);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

const struct cu_repr_ops cu_repr_ops_json = { .in = json_in, .out = json_out };

/* One step of a path: a name, an index, or what may be either. */
struct step {
	const char *name; /* NULL: matches no field */
	size_t len;
	int index; /* INT_MIN: matches no element */
	bool on_path;
	int current; /* of the array that is open at this level */
};

struct search {
	struct cu_json_lexer lexer;
	const char *text;
	struct step *steps;
	unsigned steps_len;
	bool as_text;
	bool next_scalar; /* the next scalar is the answer, unescaped */
	const char *start;
	struct cu_datum result;
};

static void set_result(struct search *s, const char *text, size_t len)
{
	s->result = (struct cu_datum){ .len = (uint32_t)len, .bytes = text };
}

static void match_start(struct search *s)
{
	unsigned level = s->lexer.level;

	if (level < s->steps_len) {
		s->steps[level].on_path = true;
		return;
	}
	s->result = CU_DATUM_NULL;
	s->start = NULL;
	if (s->as_text && s->lexer.token == CU_JSON_STRING)
		s->next_scalar = true;
	else
		s->start = s->lexer.token_start;
}

static void match_end(struct search *s, bool isnull)
{
	unsigned level = s->lexer.level;

	if (level < s->steps_len) {
		s->steps[level].on_path = false;
	} else if (s->start) {
		if (isnull && s->as_text)
			s->result = CU_DATUM_NULL;
		else
			set_result(s, s->start, (size_t)(s->lexer.prev_end - s->start));
		s->start = NULL;
	}
}

static bool field_matches(const struct search *s, const char *name, size_t len)
{
	unsigned level = s->lexer.level;
	const struct step *step;

	if (level > s->steps_len)
		return false;
	step = &s->steps[level - 1];
	return step->on_path && step->name && step->len == len && memcmp(step->name, name, len) == 0;
}

static bool element_matches(const struct search *s)
{
	unsigned level = s->lexer.level;

	return level <= s->steps_len && s->steps[level - 1].on_path &&
	       s->steps[level - 1].current == s->steps[level - 1].index;
}

static int on_field_start(void *arg, const char *name, size_t len, bool isnull)
{
	struct search *s = arg;

	(void)isnull;
	if (field_matches(s, name, len))
		match_start(s);
	return 0;
}

static int on_field_end(void *arg, const char *name, size_t len, bool isnull)
{
	struct search *s = arg;

	if (field_matches(s, name, len))
		match_end(s, isnull);
	return 0;
}

static int on_array_start(void *arg)
{
	struct search *s = arg;
	struct step *step;
	int count, rc;

	if (s->lexer.level >= s->steps_len)
		return 0;
	step = &s->steps[s->lexer.level];
	step->current = -1;
	if (step->index >= 0 || step->index == INT_MIN)
		return 0;
	rc = cu_json_count_elements(&s->lexer, &count);
	if (rc == 0 && -step->index <= count)
		step->index += count;
	return rc;
}

static int on_element_start(void *arg, bool isnull)
{
	struct search *s = arg;

	(void)isnull;
	if (s->lexer.level <= s->steps_len)
		s->steps[s->lexer.level - 1].current++;
	if (element_matches(s))
		match_start(s);
	return 0;
}

static int on_element_end(void *arg, bool isnull)
{
	struct search *s = arg;

	if (element_matches(s))
		match_end(s, isnull);
	return 0;
}

static int on_scalar(void *arg, enum cu_json_token token, const char *text, size_t len)
{
	struct search *s = arg;

	(void)token;
	if (s->next_scalar) {
		set_result(s, text, len);
		s->next_scalar = false;
	}
	return 0;
}

/* An empty path: the document itself, without the blanks around it, but with those before a scalar. */
static int on_whole_start(void *arg)
{
	struct search *s = arg;

	if (s->lexer.level == 0)
		s->start = s->lexer.token_start;
	return 0;
}

static int on_whole_end(void *arg)
{
	struct search *s = arg;

	if (s->lexer.level == 0)
		set_result(s, s->start, (size_t)(s->lexer.prev_end - s->start));
	return 0;
}

static int on_whole_scalar(void *arg, enum cu_json_token token, const char *text, size_t len)
{
	struct search *s = arg;

	if (s->lexer.level > 0)
		return 0;
	if (s->as_text && token == CU_JSON_STRING)
		set_result(s, text, len);
	else if (s->as_text && token == CU_JSON_NULL)
		s->result = CU_DATUM_NULL;
	else
		set_result(s, s->text, (size_t)(s->lexer.prev_end - s->text));
	return 0;
}

/* has_indexes: subscripts may match; without, arrays are passed over. */
static int search(const struct cu_function_call *call, struct step *steps, unsigned steps_len, bool has_indexes,
		  bool as_text, struct cu_datum *ret_datum)
{
	static const struct cu_json_events whole = {
		.object_start = on_whole_start,
		.object_end = on_whole_end,
		.array_start = on_whole_start,
		.array_end = on_whole_end,
		.scalar = on_whole_scalar,
	};
	struct cu_json_events events = {
		.field_start = on_field_start,
		.field_end = on_field_end,
		.scalar = on_scalar,
	};
	struct search s = { .text = call->args[0].bytes, .steps = steps, .steps_len = steps_len, .as_text = as_text };
	int rc;

	if (steps_len)
		steps[0].on_path = true;
	if (has_indexes) {
		events.array_start = on_array_start;
		events.element_start = on_element_start;
		events.element_end = on_element_end;
	}
	s.result = CU_DATUM_NULL;
	cu_json_lexer_init(&s.lexer, call->args[0].bytes, call->args[0].len, call->arena, call->err);
	rc = cu_json_parse(&s.lexer, steps_len ? &events : &whole, &s);
	if (rc == 0)
		*ret_datum = s.result;
	return rc;
}

static int object_field(const struct cu_function_call *call, bool as_text, struct cu_datum *ret_datum)
{
	struct step step = { .name = call->args[1].bytes, .len = call->args[1].len, .index = INT_MIN };

	return search(call, &step, 1, false, as_text, ret_datum);
}

static int json_object_field(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return object_field(call, false, ret_datum);
}

static int json_object_field_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return object_field(call, true, ret_datum);
}

static int array_element(const struct cu_function_call *call, bool as_text, struct cu_datum *ret_datum)
{
	struct step step = { .index = (int)call->args[1].integer };

	return search(call, &step, 1, true, as_text, ret_datum);
}

static int json_array_element(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return array_element(call, false, ret_datum);
}

static int json_array_element_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return array_element(call, true, ret_datum);
}

static int extract_path(const struct cu_function_call *call, bool as_text, struct cu_datum *ret_datum)
{
	const struct cu_array *path = call->args[1].array;
	struct step *steps;

	if (path->has_nulls) {
		*ret_datum = CU_DATUM_NULL;
		return 0;
	}
	steps = cu_arena_alloc(call->arena, path->len * sizeof *steps);
	if (!steps)
		return CU_ENOMEM;
	for (uint32_t i = 0; i < path->len; i++) {
		steps[i] = (struct step){ .name = path->elems[i].bytes, .len = path->elems[i].len };
		if (!cu_json_subscript(steps[i].name, steps[i].len, &steps[i].index))
			steps[i].index = INT_MIN;
	}
	return search(call, steps, path->len, true, as_text, ret_datum);
}

static int json_extract_path(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return extract_path(call, false, ret_datum);
}

static int json_extract_path_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return extract_path(call, true, ret_datum);
}

static int json_typeof(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	static const char *const names[] = {
		[CU_JSON_STRING] = "string",     [CU_JSON_NUMBER] = "number", [CU_JSON_TRUE] = "boolean",
		[CU_JSON_FALSE] = "boolean",     [CU_JSON_NULL] = "null",     [CU_JSON_OBJECT_START] = "object",
		[CU_JSON_ARRAY_START] = "array",
	};
	struct cu_json_lexer lexer;
	const char *name = NULL;
	int rc;

	cu_json_lexer_init(&lexer, call->args[0].bytes, call->args[0].len, NULL, call->err);
	rc = cu_json_lex(&lexer);
	if (rc)
		return rc;
	if (lexer.token < CU_ARRAY_LEN(names))
		name = names[lexer.token];
	if (!name)
		return cu_value_fail(call->err, "22P02", "invalid input syntax for type json");
	*ret_datum = (struct cu_datum){ .len = (uint32_t)strlen(name), .bytes = name };
	return 0;
}

static int json_array_length(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	struct cu_json_lexer lexer;
	int rc, count;

	cu_json_lexer_init(&lexer, call->args[0].bytes, call->args[0].len, NULL, call->err);
	rc = cu_json_lex(&lexer);
	if (rc)
		return rc;
	if (lexer.token == CU_JSON_OBJECT_START)
		return cu_value_fail(call->err, "22023", "cannot get array length of a non-array");
	if (lexer.token != CU_JSON_ARRAY_START)
		return cu_value_fail(call->err, "22023", "cannot get array length of a scalar");
	rc = cu_json_count_elements(&lexer, &count);
	if (rc == 0)
		*ret_datum = (struct cu_datum){ .integer = count };
	return rc;
}

struct stripper {
	cu_buf out;
	bool skip_null; /* the scalar that comes is the value of a dropped field */
};

static int strip_object_start(void *arg)
{
	cu_buf_putc(&((struct stripper *)arg)->out, '{');
	return 0;
}

static int strip_object_end(void *arg)
{
	cu_buf_putc(&((struct stripper *)arg)->out, '}');
	return 0;
}

static int strip_array_start(void *arg)
{
	cu_buf_putc(&((struct stripper *)arg)->out, '[');
	return 0;
}

static int strip_array_end(void *arg)
{
	cu_buf_putc(&((struct stripper *)arg)->out, ']');
	return 0;
}

static void strip_comma(cu_buf *out, char open)
{
	if (out->len && out->data[out->len - 1] != open)
		cu_buf_putc(out, ',');
}

static int strip_field_start(void *arg, const char *name, size_t len, bool isnull)
{
	struct stripper *s = arg;

	if (isnull) {
		s->skip_null = true;
		return 0;
	}
	strip_comma(&s->out, '{');
	cu_json_put_string(&s->out, name, len);
	cu_buf_putc(&s->out, ':');
	return 0;
}

static int strip_element_start(void *arg, bool isnull)
{
	(void)isnull;
	strip_comma(&((struct stripper *)arg)->out, '[');
	return 0;
}

static int strip_scalar(void *arg, enum cu_json_token token, const char *text, size_t len)
{
	struct stripper *s = arg;

	if (s->skip_null)
		s->skip_null = false;
	else if (token == CU_JSON_STRING)
		cu_json_put_string(&s->out, text, len);
	else
		cu_buf_append(&s->out, text, len);
	return 0;
}

static int json_strip_nulls(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	static const struct cu_json_events events = {
		.object_start = strip_object_start,
		.object_end = strip_object_end,
		.array_start = strip_array_start,
		.array_end = strip_array_end,
		.field_start = strip_field_start,
		.element_start = strip_element_start,
		.scalar = strip_scalar,
	};
	struct stripper s = { .out = CU_BUF_INIT };
	struct cu_json_lexer lexer;
	int rc;

	cu_json_lexer_init(&lexer, call->args[0].bytes, call->args[0].len, call->arena, call->err);
	rc = cu_json_parse(&lexer, &events, &s);
	return cu_json_return_text(call, rc, &s.out, ret_datum);
}

static const struct cu_function_entry json_entries[] = {
	{ "json_array_element", json_array_element },
	{ "json_array_element_text", json_array_element_text },
	{ "json_array_length", json_array_length },
	{ "json_extract_path", json_extract_path },
	{ "json_extract_path_text", json_extract_path_text },
	{ "json_object_field", json_object_field },
	{ "json_object_field_text", json_object_field_text },
	{ "json_strip_nulls", json_strip_nulls },
	{ "json_typeof", json_typeof },
};
CU_FUNCTION_TABLE(cu_functions_json, json_entries);
