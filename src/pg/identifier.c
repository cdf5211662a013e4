/* identifier.c: a client's table and column names, by Electric's rules and in its words (catalog.h). */
#include "pg/catalog.h"

#include "base/limits.h"

#define NAME_SIZE (4 * CU_IDENTIFIER_MAX + 1)

/* One UTF-8 character at *at, which moves behind it; -1 when it is none. */
static int32_t utf8_next(const uint8_t **at, const uint8_t *end)
{
	const uint8_t *p = *at;
	unsigned extra = p[0] < 0x80 ? 0 : p[0] >= 0xc2 && p[0] < 0xe0 ? 1 : (p[0] & 0xf0) == 0xe0 ? 2 : 3;
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	uint32_t value;

	if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || (size_t)(end - p) <= extra)
		return -1;
	value = extra ? p[0] & (0x3fu >> extra) : p[0];
	for (unsigned i = 1; i <= extra; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return -1;
		value = value << 6 | (p[i] & 0x3f);
	}
	if (value < least[extra] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return -1;
	*at = p + extra + 1;
	return (int32_t)value;
}

/* Postgres takes every byte above 127 as a letter. Electric asks Unicode; what it refuses on top (signs, symbols) can
 * name no table without quotes in any case that a client could have meant, so only spaces and controls up there are
 * refused. */
static bool wide_ok(int32_t ch)
{
	return ch >= 0xa1 && !(ch >= 0x2000 && ch <= 0x206f) && ch != 0x3000 && ch != 0xfeff && ch != 0x1680;
}

static bool unquoted_ok(const uint8_t *at, const uint8_t *end)
{
	bool first = true;

	while (at < end) {
		int32_t ch = utf8_next(&at, end);
		bool letter =
			(ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' || (ch > 127 && wide_ok(ch));

		if (!letter && (first || !((ch >= '0' && ch <= '9') || ch == '$')))
			return false;
		first = false;
	}
	return true;
}

/* Quotes come in pairs: of a run of quotes only a single one is wrong, as in Electric's rule; a longer odd run would
 * leave one over, which no identifier can have. */
static bool quotes_paired(const uint8_t *at, const uint8_t *end)
{
	while (at < end) {
		size_t run = 0;

		while (at < end && *at == '"') {
			run++;
			at++;
		}
		if (run % 2)
			return false;
		if (at < end)
			at++;
	}
	return true;
}

static int refuse(cu_buf *ret_msg, const char *words, const uint8_t *at, size_t len)
{
	cu_buf_puts(ret_msg, words);
	if (at)
		cu_buf_append(ret_msg, at, len);
	return CU_EINVAL;
}

int cu_identifier_parse(const char *text, size_t len, char *out, cu_buf *ret_msg)
{
	const uint8_t *at = (const uint8_t *)text;
	const uint8_t *end = at + len;
	bool quoted = len >= 1 && at[0] == '"' && end[-1] == '"';
	size_t chars = 0, used = 0;

	if (quoted && len >= 2) {
		at++;
		end--;
	}
	if (at == end || (quoted && len == 1))
		return refuse(ret_msg, "Invalid zero-length delimited identifier", NULL, 0);
	if (quoted && !quotes_paired(at, end))
		return refuse(ret_msg, "Invalid identifier with unescaped quote: ", at, (size_t)(end - at));
	if (!quoted && !unquoted_ok(at, end))
		return refuse(ret_msg, "Invalid unquoted identifier contains special characters: ", at,
			      (size_t)(end - at));
	while (at < end) {
		const uint8_t *from = at;
		int32_t ch = utf8_next(&at, end);

		if (ch <= 0)
			return refuse(ret_msg, "Invalid identifier: not valid UTF-8 text", NULL, 0);
		if (++chars > CU_IDENTIFIER_MAX)
			return refuse(ret_msg, "Identifier is too long (max length is 63)", NULL, 0);
		if (quoted && ch == '"')
			at++; /* the second of the pair */
		if (!quoted && ch >= 'A' && ch <= 'Z') {
			out[used++] = (char)(ch - 'A' + 'a');
			continue;
		}
		for (; from < at && !(quoted && ch == '"'); from++)
			out[used++] = (char)*from;
		if (quoted && ch == '"')
			out[used++] = '"';
	}
	CU_ASSERT(used < NAME_SIZE);
	out[used] = '\0';
	return 0;
}

int cu_table_name_parse(const char *text, size_t len, struct cu_table_name *ret_name, cu_buf *ret_msg)
{
	struct cu_table_name name = { "public", "" };
	size_t dot = 0;
	unsigned dots = 0;
	bool quoted = false;
	int rc;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			quoted = !quoted;
		if (text[i] == '.' && !quoted && dots++ == 0)
			dot = i;
	}
	if (dots > 1)
		return refuse(ret_msg, "Invalid relation identifier, too many delimiters: ", (const uint8_t *)text,
			      len);
	if (dots == 1) {
		rc = cu_identifier_parse(text, dot, name.schema, ret_msg);
		if (rc < 0)
			return rc;
		text += dot + 1;
		len -= dot + 1;
	}
	rc = cu_identifier_parse(text, len, name.name, ret_msg);
	if (rc < 0)
		return rc;
	*ret_name = name;
	return 0;
}
