/* identifiers.h: names as clients write them: table and columns, with Postgres' quoting rules.
 *
 * Quoted: kept as they are, "" is a quote. Unquoted: a letter or _ first, then letters, digits, _ and $; A-Z are
 * folded. Every code point from U+0080 on counts as a letter, as in Postgres' own scanner. At most 63 characters; a
 * longer one is refused (Postgres would cut it, and the client would get another table).
 *
 * Threads: any. Input is valid UTF-8. Errors: the text for the client goes to `err`.
 */
#ifndef CU_API_IDENTIFIERS_H
#define CU_API_IDENTIFIERS_H

#include "base/buf.h"

/* Appends the folded name to out (without NUL). CU_EINVAL: err says why. */
int cu_identifier_parse(const char *text, size_t len, cu_buf *out, cu_buf *err);
/* "table" or "schema.table": `schema\0table\0` is appended to out; the schema is "public" when missing. */
int cu_relation_parse(const char *text, size_t len, cu_buf *out, cu_buf *err);
/* Names separated by commas outside quotes, blanks count: `a\0b\0…` is appended to out, their number returned. */
int cu_columns_parse(const char *text, size_t len, cu_buf *out, size_t *ret_count, cu_buf *err);

#endif
