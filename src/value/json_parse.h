/* json_parse.h: the reader of json text that json and jsonb share. Accepts and refuses what Postgres does, and calls
 * back in its order, because looking into a json value shows that order (json.c).
 *
 * Inside src/value only. Depth: nesting beyond CU_VALUE_DEPTH_MAX fails with 54001.
 */
#ifndef CU_JSON_PARSE_H
#define CU_JSON_PARSE_H

#include "value/internal.h"

enum cu_json_token {
	CU_JSON_END,
	CU_JSON_STRING,
	CU_JSON_NUMBER,
	CU_JSON_TRUE,
	CU_JSON_FALSE,
	CU_JSON_NULL,
	CU_JSON_OBJECT_START,
	CU_JSON_OBJECT_END,
	CU_JSON_ARRAY_START,
	CU_JSON_ARRAY_END,
	CU_JSON_COMMA,
	CU_JSON_COLON,
};

struct cu_json_lexer {
	const char *at, *end;
	enum cu_json_token token;
	const char *token_start, *token_end;
	const char *prev_end; /* of the token before */
	unsigned level;       /* containers that are open */

	/* With an arena, strings are unescaped (and their surrogates judged) as they are read; without one, only
	 * checked. */
	cu_arena *arena;
	const char
		*string; /* of the last CU_JSON_STRING, with an arena; borrowed from the text where it has no escape */
	size_t string_len;
	struct cu_value_error *err;
};

/* What happens in a text, in its order. NULL members are skipped; a result other than 0 ends the parsing. While a
 * …_start runs, the lexer's token is the first of what starts; at a …_end or scalar it is the one behind. isnull: the
 * value is the literal null. */
struct cu_json_events {
	int (*object_start)(void *arg);
	int (*object_end)(void *arg);
	int (*array_start)(void *arg);
	int (*array_end)(void *arg);
	int (*field_start)(void *arg, const char *name, size_t len, bool isnull);
	int (*field_end)(void *arg, const char *name, size_t len, bool isnull);
	int (*element_start)(void *arg, bool isnull);
	int (*element_end)(void *arg, bool isnull);
	/* text: as it stands there; of a string, unescaped when the lexer has an arena */
	int (*scalar)(void *arg, enum cu_json_token token, const char *text, size_t len);
};

void cu_json_lexer_init(struct cu_json_lexer *lexer, const char *text, size_t len, cu_arena *arena,
			struct cu_value_error *err);
/* The next token. */
int cu_json_lex(struct cu_json_lexer *lexer);
/* One whole document; the lexer is fresh. */
int cu_json_parse(struct cu_json_lexer *lexer, const struct cu_json_events *events, void *arg);
/* How many elements the array has that starts at the lexer's token; the lexer stays where it is. */
int cu_json_count_elements(const struct cu_json_lexer *lexer, int *ret_count);

/* A json string with its quotes, as escape_json() writes it. */
void cu_json_put_string(cu_buf *out, const char *text, size_t len);

/* Copies out into the call's arena as the text that it returns, and frees it; an rc other than 0 is passed on. */
int cu_json_return_text(const struct cu_function_call *call, int rc, cu_buf *out, struct cu_datum *ret_datum);

/* An element of a path as an array's subscript: what strtol() reads to the end, "  +7" too; false: no int. */
bool cu_json_subscript(const char *text, size_t len, int *ret_value);

#endif
