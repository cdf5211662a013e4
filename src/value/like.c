/* like.c: LIKE and ILIKE over text, char(n), name and bytea.
 *
 * The pattern is matched with one way back: to the last %. An earlier one need never be tried again, because whatever
 * it could skip the last one can skip as well. Postgres recurses at each % and gives up everything when the text runs
 * out, which visits the same places in the same order: errors in the pattern are found exactly when it finds them.
 */
#include "value/text_internal.h"

#include <stdlib.h>

enum match {
	MATCH_NO,
	MATCH_YES,
	MATCH_BAD_ESCAPE,
};

struct cursor {
	const char *at;
	const char *end;
};

static inline void step_char(struct cursor *text, bool utf8)
{
	text->at++;
	while (utf8 && text->at < text->end && ((unsigned char)*text->at & 0xc0) == 0x80)
		text->at++;
}

/* Past a % and what follows of % and _; false: the text is too short for the _. */
static bool skip_wildcards(struct cursor *text, struct cursor *pattern, bool utf8)
{
	for (; pattern->at < pattern->end; pattern->at++) {
		if (*pattern->at == '_') {
			if (text->at >= text->end)
				return false;
			step_char(text, utf8);
		} else if (*pattern->at != '%') {
			break;
		}
	}
	return true;
}

/* On to the next place where what follows the last % could begin, `first` being its first byte: a byte with which a
 * character begins stands nowhere else in UTF-8. */
static bool seek(struct cursor *text, char first)
{
	const char *found = text->at < text->end ? memchr(text->at, first, (size_t)(text->end - text->at)) : NULL;

	text->at = found ? found : text->end;
	return found != NULL;
}

static enum match match(struct cursor text, struct cursor pattern, bool utf8)
{
	struct cursor text_back = { NULL, NULL }, pattern_back = { NULL, NULL };
	char first = 0;

	for (;;) {
		bool same = false;

		if (text.at >= text.end) {
			while (pattern.at < pattern.end && *pattern.at == '%')
				pattern.at++;
			/* No later place has more text. */
			return pattern.at < pattern.end ? MATCH_NO : MATCH_YES;
		}
		if (pattern.at < pattern.end && *pattern.at == '%') {
			if (!skip_wildcards(&text, &pattern, utf8))
				return MATCH_NO;
			if (pattern.at == pattern.end)
				return MATCH_YES;
			if (*pattern.at == '\\' && pattern.at + 1 == pattern.end)
				return MATCH_BAD_ESCAPE;
			first = *pattern.at == '\\' ? pattern.at[1] : *pattern.at;
			if (!seek(&text, first))
				return MATCH_NO;
			text_back = text;
			pattern_back = pattern;
			continue;
		}
		if (pattern.at < pattern.end && *pattern.at == '_') {
			step_char(&text, utf8);
			pattern.at++;
			continue;
		}
		if (pattern.at < pattern.end) {
			if (*pattern.at == '\\' && ++pattern.at == pattern.end)
				return MATCH_BAD_ESCAPE;
			same = *pattern.at == *text.at;
		}
		if (same) {
			text.at++;
			pattern.at++;
			continue;
		}
		if (!pattern_back.at)
			return MATCH_NO;
		text = text_back;
		step_char(&text, utf8);
		if (!seek(&text, first))
			return MATCH_NO;
		text_back = text;
		pattern = pattern_back;
	}
}

static struct cursor cursor_over(const struct cu_datum *datum)
{
	return (struct cursor){ datum->bytes, datum->bytes + datum->len };
}

static int like_bytes(const struct cu_function_call *call, const struct cu_datum *text, const struct cu_datum *pattern,
		      bool utf8, bool negated, struct cu_datum *ret_datum)
{
	enum match found = match(cursor_over(text), cursor_over(pattern), utf8);

	if (found == MATCH_BAD_ESCAPE)
		return cu_value_fail(call->err, "22025", "LIKE pattern must not end with escape character");
	return cu_text_return_bool(ret_datum, (found == MATCH_YES) != negated);
}

static int like(const struct cu_function_call *call, bool negated, struct cu_datum *ret_datum)
{
	if (call->collation && !cu_collation_desc(call->collation)->deterministic)
		return cu_value_fail(call->err, "0A000", "nondeterministic collations are not supported for LIKE");
	return like_bytes(call, &call->args[0], &call->args[1], true, negated, ret_datum);
}

static int ilike(const struct cu_function_call *call, bool negated, struct cu_datum *ret_datum)
{
	struct cu_datum lower[2];
	int rc = 0;

	if (!call->collation)
		return cu_value_fail(call->err, "42P22", "could not determine which collation to use for ILIKE");
	if (!cu_collation_desc(call->collation)->deterministic)
		return cu_value_fail(call->err, "0A000", "nondeterministic collations are not supported for ILIKE");
	for (int i = 0; i < 2 && rc == 0; i++)
		rc = cu_text_case(call->collation, 'l', &call->args[i], call->arena, &lower[i], call->err);
	return rc ? rc : like_bytes(call, &lower[0], &lower[1], true, negated, ret_datum);
}

static int byte_like(const struct cu_function_call *call, bool negated, struct cu_datum *ret_datum)
{
	return like_bytes(call, &call->args[0], &call->args[1], false, negated, ret_datum);
}

/* Rewrites a pattern with its own escape character, or none, to one that escapes with \. */
static int escape(const struct cu_function_call *call, bool utf8, struct cu_datum *ret_datum)
{
	const struct cu_datum *pattern = &call->args[0], *own = &call->args[1];
	struct cursor at = cursor_over(pattern), one = cursor_over(own);
	bool after = false; /* an escape */
	size_t len = 0;
	char *bytes;
	int rc;

	if (own->len) {
		step_char(&one, utf8);
		if (one.at < one.end)
			return cu_value_fail(call->err, "22025", "invalid escape string");
		if (*own->bytes == '\\')
			return cu_text_return(ret_datum, pattern->bytes, pattern->len);
	}
	rc = cu_text_alloc(call, (size_t)pattern->len * 2, &bytes);
	if (rc < 0)
		return rc;
	while (at.at < at.end) {
		const char *start = at.at;
		size_t size;

		step_char(&at, utf8);
		size = (size_t)(at.at - start);
		if (own->len && !after && size == own->len && memcmp(start, own->bytes, size) == 0) {
			bytes[len++] = '\\';
			after = true;
			continue;
		}
		if (*start == '\\' && !after)
			bytes[len++] = '\\';
		memcpy(bytes + len, start, size);
		len += size;
		after = false;
	}
	return cu_text_return(ret_datum, bytes, len);
}

#define LIKE(prosrc, kind, negated)                                                        \
	static int prosrc(const struct cu_function_call *call, struct cu_datum *ret_datum) \
	{                                                                                  \
		return kind(call, negated, ret_datum);                                     \
	}
LIKE(textlike, like, false)
LIKE(textnlike, like, true)
LIKE(texticlike, ilike, false)
LIKE(texticnlike, ilike, true)
LIKE(bytealike, byte_like, false)
LIKE(byteanlike, byte_like, true)
LIKE(like_escape, escape, true)
LIKE(like_escape_bytea, escape, false)

static const struct cu_function_entry like_entries[] = {
	{ "textlike", textlike },     { "textnlike", textnlike },     { "namelike", textlike },
	{ "namenlike", textnlike },   { "texticlike", texticlike },   { "texticnlike", texticnlike },
	{ "nameiclike", texticlike }, { "nameicnlike", texticnlike }, { "bytealike", bytealike },
	{ "byteanlike", byteanlike }, { "like_escape", like_escape }, { "like_escape_bytea", like_escape_bytea },
};
CU_FUNCTION_TABLE(cu_functions_like, like_entries);
