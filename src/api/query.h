/* query.h: the raw query string as pairs, percent-decoded; and routes' path segments.
 *
 * Threads: any. Cost: linear. Ownership: cu_query owns one buffer that the pairs point into.
 */
#ifndef CU_API_QUERY_H
#define CU_API_QUERY_H

#include "base/buf.h"

#include <sys/types.h>

struct cu_query_pair {
	const char *key; /* NUL-terminated, and so is the value */
	size_t key_len;
	const char *value; /* "" when there is no '=' */
	size_t value_len;
};

struct cu_query {
	char *text;
	struct cu_query_pair *pairs;
	size_t len;
};

/* %XX and '+' (a blank) decoded, valid UTF-8 throughout, else CU_EINVAL. Empty pairs and pairs without a name do not
 * count. CU_ENOMEM. On error *ret is empty. */
int cu_query_parse(const char *query, size_t len, struct cu_query *ret);
void cu_query_fini(struct cu_query *query);

/* Decodes into out (len bytes suffice); -1 for a malformed escape, else the decoded length. */
ssize_t cu_percent_decode(const char *text, size_t len, bool plus_is_blank, char *out);
bool cu_utf8_valid(const char *text, size_t len);

#endif
