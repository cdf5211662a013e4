/* identifiers.c: names as clients write them. */
#include "api/identifiers.h"

#include "base/limits.h"

static size_t code_points(const char *text, size_t len)
{
	size_t count = 0;

	for (size_t i = 0; i < len; i++)
		count += ((unsigned char)text[i] & 0xc0) != 0x80;
	return count;
}

static bool is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static int refuse(cu_buf *err, const char *why, const char *text, size_t len)
{
	cu_buf_puts(err, why);
	cu_buf_append(err, text, len);
	return CU_EINVAL;
}

/* `text` is what stands between the outer quotes. */
static int parse_quoted(const char *text, size_t len, cu_buf *out, cu_buf *err)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"') {
			if (i + 1 == len || text[i + 1] != '"')
				return refuse(err, "Invalid identifier with unescaped quote: ", text, len);
			i++;
		}
		cu_buf_putc(out, text[i]);
	}
	return 0;
}

static int parse_unquoted(const char *text, size_t len, cu_buf *out, cu_buf *err)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (!is_letter(c) && (i == 0 || ((c < '0' || c > '9') && c != '$')))
			return refuse(err, "Invalid unquoted identifier contains special characters: ", text, len);
		cu_buf_putc(out, (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
	}
	return 0;
}

int cu_identifier_parse(const char *text, size_t len, cu_buf *out, cu_buf *err)
{
	size_t from = out->len;
	bool quoted = len > 0 && text[0] == '"' && text[len - 1] == '"';
	int rc;

	if (quoted) {
		text++;
		len = len >= 2 ? len - 2 : 0;
	}
	if (len == 0)
		return refuse(err, "Invalid zero-length delimited identifier", "", 0);
	rc = quoted ? parse_quoted(text, len, out, err) : parse_unquoted(text, len, out, err);
	if (rc == 0 && cu_buf_failed(out))
		rc = CU_ENOMEM;
	if (rc == 0 && code_points(out->data + from, out->len - from) > CU_IDENTIFIER_MAX) {
		cu_buf_printf(err, "Identifier is too long (max length is %u)", CU_IDENTIFIER_MAX);
		rc = CU_EINVAL;
	}
	return rc;
}

int cu_relation_parse(const char *text, size_t len, cu_buf *out, cu_buf *err)
{
	bool in_quotes = false;
	size_t dots = 0, dot = 0;
	int rc = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			in_quotes = !in_quotes;
		else if (text[i] == '.' && !in_quotes && dots++ == 0)
			dot = i;
	}
	if (dots > 1)
		return refuse(err, "Invalid relation identifier, too many delimiters: ", text, len);
	if (dots == 1) {
		rc = cu_identifier_parse(text, dot, out, err);
		text += dot + 1;
		len -= dot + 1;
	} else {
		cu_buf_puts(out, "public");
	}
	if (rc == 0) {
		cu_buf_putc(out, '\0');
		rc = cu_identifier_parse(text, len, out, err);
	}
	cu_buf_putc(out, '\0');
	return rc == 0 && cu_buf_failed(out) ? CU_ENOMEM : rc;
}

int cu_columns_parse(const char *text, size_t len, cu_buf *out, size_t *ret_count, cu_buf *err)
{
	size_t quotes_after = 0, count = 0, from = 0;
	int rc = 0;

	for (size_t i = 0; i < len; i++)
		quotes_after += text[i] == '"';
	/* A comma separates when an even number of quotes follows it: with unbalanced quotes the damage then stays in
	 * the first name, as in the original. */
	for (size_t i = 0; i <= len && rc == 0; i++) {
		if (i < len && text[i] == '"')
			quotes_after--;
		if (i < len && (text[i] != ',' || quotes_after % 2 != 0))
			continue;
		if (++count > CU_COLUMNS_MAX) {
			cu_buf_printf(err, "too many columns (max is %u)", CU_COLUMNS_MAX);
			return CU_EINVAL;
		}
		rc = cu_identifier_parse(text + from, i - from, out, err);
		cu_buf_putc(out, '\0');
		from = i + 1;
	}
	if (rc == 0 && cu_buf_failed(out))
		rc = CU_ENOMEM;
	if (rc == 0)
		*ret_count = count;
	return rc;
}
