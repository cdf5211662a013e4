/* json_parse.c: recursive descent, depth-bounded. The next token is read before a scalar is reported, as Postgres does:
 * which of two errors of one text is told depends on it. */
#include "value/json_parse.h"

#include <limits.h>
#include <stdlib.h>

static int fail_syntax(const struct cu_json_lexer *lexer)
{
	return cu_value_fail(lexer->err, "22P02", "invalid input syntax for type json");
}

void cu_json_lexer_init(struct cu_json_lexer *lexer, const char *text, size_t len, cu_arena *arena,
			struct cu_value_error *err)
{
	*lexer = (struct cu_json_lexer){ .at = text, .end = text + len, .token_end = text, .arena = arena, .err = err };
}

/* at: behind the u. */
static bool read_hex4(const char *at, const char *end, unsigned *ret_unit)
{
	unsigned unit = 0;

	if (end - at < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int digit = cu_hex_digit(at[i]);

		if (digit < 0)
			return false;
		unit = unit << 4 | (unsigned)digit;
	}
	*ret_unit = unit;
	return true;
}

static size_t put_utf8(char *out, unsigned point)
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xc0 | point >> 6);
		out[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xe0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 0x3f));
		out[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 0x3f));
	out[2] = (char)(0x80 | (point >> 6 & 0x3f));
	out[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

/* The character of a one-letter escape, 0 when there is none. */
static char simple_escape(char c)
{
	switch (c) {
	case '"':
	case '\\':
	case '/': return c;
	case 'b': return '\b';
	case 'f': return '\f';
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	default: return 0;
	}
}

/* A code unit of \uXXXX behind the high half in *high (0: none). */
static int unescape_unit(struct cu_json_lexer *lexer, unsigned unit, unsigned *high, char *out, size_t *out_len)
{
	if (unit >= 0xd800 && unit <= 0xdbff) {
		if (*high)
			return fail_syntax(lexer);
		*high = unit;
		return 0;
	}
	if (unit >= 0xdc00 && unit <= 0xdfff) {
		if (!*high)
			return fail_syntax(lexer);
		unit = 0x10000 + ((*high & 0x3ff) << 10) + (unit & 0x3ff);
		*high = 0;
	}
	if (*high)
		return fail_syntax(lexer);
	if (unit == 0)
		return cu_value_fail(lexer->err, "22P05", "unsupported Unicode escape sequence");
	*out_len += put_utf8(out + *out_len, unit);
	return 0;
}

/* One escape; *at stands at the backslash and is moved behind. out NULL: checked only. */
static int lex_escape(struct cu_json_lexer *lexer, const char **at, unsigned *high, char *out, size_t *out_len)
{
	const char *s = *at + 1;
	unsigned unit;
	char simple;

	if (s == lexer->end)
		return fail_syntax(lexer);
	if (*s == 'u') {
		if (!read_hex4(s + 1, lexer->end, &unit))
			return fail_syntax(lexer);
		*at = s + 5;
		return out ? unescape_unit(lexer, unit, high, out, out_len) : 0;
	}
	if (out && *high)
		return fail_syntax(lexer);
	simple = simple_escape(*s);
	if (!simple)
		return fail_syntax(lexer);
	if (out)
		out[(*out_len)++] = simple;
	*at = s + 1;
	return 0;
}

/* Behind the opening quote, up to the first byte that is no plain character. */
static const char *skip_plain(const char *at, const char *end)
{
	while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 32)
		at++;
	return at;
}

static int lex_string(struct cu_json_lexer *lexer)
{
	const char *start = lexer->at + 1, *at = skip_plain(start, lexer->end), *close;
	unsigned high = 0;
	size_t len = 0;
	char *out = NULL;
	int rc;

	lexer->string = start;
	if (at < lexer->end && *at == '\\' && lexer->arena) {
		/* Unescaped text is never longer than escaped text; its end is not known yet. */
		for (close = at; close < lexer->end && *close != '"'; close++)
			close += *close == '\\' && close + 1 < lexer->end;
		out = cu_arena_alloc(lexer->arena, (size_t)(close - start) + 1);
		if (!out)
			return CU_ENOMEM;
		lexer->string = out;
	}
	for (;;) {
		size_t plain = (size_t)(at - start);

		if (plain && high)
			return fail_syntax(lexer);
		if (out)
			memcpy(out + len, start, plain);
		len += plain;
		if (at == lexer->end || (unsigned char)*at < 32)
			return fail_syntax(lexer);
		if (*at == '"')
			break;
		rc = lex_escape(lexer, &at, &high, out, &len);
		if (rc)
			return rc;
		start = at;
		at = skip_plain(at, lexer->end);
	}
	if (high)
		return fail_syntax(lexer);
	lexer->string_len = len;
	lexer->at = at + 1;
	lexer->token = CU_JSON_STRING;
	return 0;
}

static const char *skip_digits(const char *at, const char *end)
{
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at;
}

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
	       ((unsigned char)c & 0x80);
}

static int lex_number(struct cu_json_lexer *lexer)
{
	const char *at = lexer->at, *end = lexer->end, *digits;

	at += *at == '-';
	if (at < end && *at == '0') {
		at++;
	} else {
		digits = at;
		at = skip_digits(at, end);
		if (at == digits)
			return fail_syntax(lexer);
	}
	if (at < end && *at == '.') {
		digits = at + 1;
		at = skip_digits(digits, end);
		if (at == digits)
			return fail_syntax(lexer);
	}
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		at += at < end && (*at == '+' || *at == '-');
		digits = at;
		at = skip_digits(digits, end);
		if (at == digits)
			return fail_syntax(lexer);
	}
	if (at < end && is_word_char(*at))
		return fail_syntax(lexer);
	lexer->at = at;
	lexer->token = CU_JSON_NUMBER;
	return 0;
}

static int lex_word(struct cu_json_lexer *lexer)
{
	const char *at = lexer->at;
	size_t len;

	while (at < lexer->end && is_word_char(*at))
		at++;
	len = (size_t)(at - lexer->at);
	if (len == 4 && memcmp(lexer->at, "true", 4) == 0)
		lexer->token = CU_JSON_TRUE;
	else if (len == 4 && memcmp(lexer->at, "null", 4) == 0)
		lexer->token = CU_JSON_NULL;
	else if (len == 5 && memcmp(lexer->at, "false", 5) == 0)
		lexer->token = CU_JSON_FALSE;
	else
		return fail_syntax(lexer);
	lexer->at = at;
	return 0;
}

static bool lex_punctuation(struct cu_json_lexer *lexer)
{
	switch (*lexer->at) {
	case '{': lexer->token = CU_JSON_OBJECT_START; break;
	case '}': lexer->token = CU_JSON_OBJECT_END; break;
	case '[': lexer->token = CU_JSON_ARRAY_START; break;
	case ']': lexer->token = CU_JSON_ARRAY_END; break;
	case ',': lexer->token = CU_JSON_COMMA; break;
	case ':': lexer->token = CU_JSON_COLON; break;
	default: return false;
	}
	lexer->at++;
	return true;
}

int cu_json_lex(struct cu_json_lexer *lexer)
{
	int rc = 0;

	lexer->prev_end = lexer->token_end;
	while (lexer->at < lexer->end &&
	       (*lexer->at == ' ' || *lexer->at == '\t' || *lexer->at == '\n' || *lexer->at == '\r'))
		lexer->at++;
	lexer->token_start = lexer->at;
	if (lexer->at == lexer->end)
		lexer->token = CU_JSON_END;
	else if (*lexer->at == '"')
		rc = lex_string(lexer);
	else if (*lexer->at == '-' || (*lexer->at >= '0' && *lexer->at <= '9'))
		rc = lex_number(lexer);
	else if (!lex_punctuation(lexer))
		rc = lex_word(lexer);
	lexer->token_end = lexer->at;
	return rc;
}

static int expect(struct cu_json_lexer *lexer, enum cu_json_token token)
{
	return lexer->token == token ? cu_json_lex(lexer) : fail_syntax(lexer);
}

static int parse_value(struct cu_json_lexer *lexer, const struct cu_json_events *events, void *arg);

static int parse_scalar(struct cu_json_lexer *lexer, const struct cu_json_events *events, void *arg)
{
	enum cu_json_token token = lexer->token;
	const char *text = lexer->token_start;
	size_t len = (size_t)(lexer->token_end - lexer->token_start);
	int rc;

	if (token < CU_JSON_STRING || token > CU_JSON_NULL)
		return fail_syntax(lexer);
	if (token == CU_JSON_STRING && lexer->arena) {
		text = lexer->string;
		len = lexer->string_len;
	}
	rc = cu_json_lex(lexer);
	if (rc == 0 && events->scalar)
		rc = events->scalar(arg, token, text, len);
	return rc;
}

static int parse_field(struct cu_json_lexer *lexer, const struct cu_json_events *events, void *arg)
{
	const char *name = lexer->string;
	size_t len = lexer->string_len;
	bool isnull;
	int rc;

	rc = expect(lexer, CU_JSON_STRING);
	if (rc == 0)
		rc = expect(lexer, CU_JSON_COLON);
	if (rc)
		return rc;
	isnull = lexer->token == CU_JSON_NULL;
	if (events->field_start)
		rc = events->field_start(arg, name, len, isnull);
	if (rc == 0)
		rc = parse_value(lexer, events, arg);
	if (rc == 0 && events->field_end)
		rc = events->field_end(arg, name, len, isnull);
	return rc;
}

static int parse_element(struct cu_json_lexer *lexer, const struct cu_json_events *events, void *arg)
{
	bool isnull = lexer->token == CU_JSON_NULL;
	int rc = 0;

	if (events->element_start)
		rc = events->element_start(arg, isnull);
	if (rc == 0)
		rc = parse_value(lexer, events, arg);
	if (rc == 0 && events->element_end)
		rc = events->element_end(arg, isnull);
	return rc;
}

/* The items of a container whose opening token is the lexer's, and its closing one. */
static int parse_items(struct cu_json_lexer *lexer, const struct cu_json_events *events, void *arg,
		       int (*parse_item)(struct cu_json_lexer *, const struct cu_json_events *, void *),
		       enum cu_json_token close)
{
	int rc;

	if (lexer->level == CU_VALUE_DEPTH_MAX)
		return cu_value_fail(lexer->err, "54001", "stack depth limit exceeded");
	lexer->level++;
	rc = cu_json_lex(lexer);
	if (rc == 0 && lexer->token != close) {
		rc = parse_item(lexer, events, arg);
		while (rc == 0 && lexer->token == CU_JSON_COMMA) {
			rc = cu_json_lex(lexer);
			if (rc == 0)
				rc = parse_item(lexer, events, arg);
		}
	}
	if (rc == 0)
		rc = expect(lexer, close);
	lexer->level--;
	return rc;
}

static int parse_value(struct cu_json_lexer *lexer, const struct cu_json_events *events, void *arg)
{
	int rc = 0;

	if (lexer->token == CU_JSON_OBJECT_START) {
		if (events->object_start)
			rc = events->object_start(arg);
		if (rc == 0)
			rc = parse_items(lexer, events, arg, parse_field, CU_JSON_OBJECT_END);
		if (rc == 0 && events->object_end)
			rc = events->object_end(arg);
	} else if (lexer->token == CU_JSON_ARRAY_START) {
		if (events->array_start)
			rc = events->array_start(arg);
		if (rc == 0)
			rc = parse_items(lexer, events, arg, parse_element, CU_JSON_ARRAY_END);
		if (rc == 0 && events->array_end)
			rc = events->array_end(arg);
	} else {
		rc = parse_scalar(lexer, events, arg);
	}
	return rc;
}

int cu_json_parse(struct cu_json_lexer *lexer, const struct cu_json_events *events, void *arg)
{
	int rc = cu_json_lex(lexer);

	if (rc == 0)
		rc = parse_value(lexer, events, arg);
	if (rc == 0 && lexer->token != CU_JSON_END)
		rc = fail_syntax(lexer);
	return rc;
}

int cu_json_count_elements(const struct cu_json_lexer *lexer, int *ret_count)
{
	static const struct cu_json_events none;
	struct cu_json_lexer copy = *lexer;
	int count = 0, rc;

	copy.arena = NULL;
	copy.level++;
	rc = cu_json_lex(&copy);
	while (rc == 0 && copy.token != CU_JSON_ARRAY_END) {
		count++;
		rc = parse_value(&copy, &none, NULL);
		if (rc == 0 && copy.token != CU_JSON_COMMA)
			break;
		if (rc == 0)
			rc = cu_json_lex(&copy);
	}
	if (rc == 0 && copy.token != CU_JSON_ARRAY_END)
		rc = fail_syntax(&copy);
	if (rc == 0)
		*ret_count = count;
	return rc;
}

void cu_json_put_string(cu_buf *out, const char *text, size_t len)
{
	const char *end = text + len, *plain = text;

	cu_buf_putc(out, '"');
	for (; text < end; text++) {
		const char *escape;

		if ((unsigned char)*text >= 32 && *text != '"' && *text != '\\')
			continue;
		cu_buf_append(out, plain, (size_t)(text - plain));
		plain = text + 1;
		switch (*text) {
		case '\b': escape = "\\b"; break;
		case '\f': escape = "\\f"; break;
		case '\n': escape = "\\n"; break;
		case '\r': escape = "\\r"; break;
		case '\t': escape = "\\t"; break;
		case '"': escape = "\\\""; break;
		case '\\': escape = "\\\\"; break;
		default: cu_buf_printf(out, "\\u%04x", (unsigned)(unsigned char)*text); continue;
		}
		cu_buf_puts(out, escape);
	}
	cu_buf_append(out, plain, (size_t)(end - plain));
	cu_buf_putc(out, '"');
}

bool cu_json_subscript(const char *text, size_t len, int *ret_value)
{
	const char *end = text + len;
	int64_t value = 0;
	bool negative;

	while (text < end && cu_value_is_space(*text))
		text++;
	negative = text < end && *text == '-';
	text += text < end && (*text == '-' || *text == '+');
	if (text == end)
		return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (*text - '0');
		if (value > (int64_t)INT_MAX + 1)
			return false;
	}
	value = negative ? -value : value;
	if (value > INT_MAX)
		return false;
	*ret_value = (int)value;
	return true;
}

int cu_json_return_text(const struct cu_function_call *call, int rc, cu_buf *out, struct cu_datum *ret_datum)
{
	const char *text = NULL;

	if (rc == 0) {
		text = cu_buf_failed(out) ? NULL : cu_arena_copy(call->arena, out->data, out->len);
		if (text)
			*ret_datum = (struct cu_datum){ .len = (uint32_t)out->len, .bytes = text };
		else
			rc = CU_ENOMEM;
	}
	cu_buf_fini(out);
	return rc;
}
