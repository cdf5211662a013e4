/* query.c: query strings, percent-decoding, and the resolution of paths to routes. */
#include "api/query.h"

#include "api/params.h"

#include <stdlib.h>

ssize_t cu_percent_decode(const char *text, size_t len, bool plus_is_blank, char *out)
{
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '+' && plus_is_blank) {
			c = ' ';
		} else if (c == '%') {
			int high, low;

			if (len - i < 3)
				return -1;
			high = cu_hex_digit(text[i + 1]);
			low = cu_hex_digit(text[i + 2]);
			if (high < 0 || low < 0)
				return -1;
			c = (char)(high << 4 | low);
			i += 2;
		}
		out[at++] = c;
	}
	return (ssize_t)at;
}

/* The length of the UTF-8 sequence at text, 0 when there is none: no overlong forms, no surrogates, nothing beyond
 * U+10FFFF (RFC 3629, section 4). */
static size_t sequence_len(const unsigned char *text, size_t left)
{
	unsigned char first = text[0], low = 0x80, high = 0xbf;
	size_t len;

	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		len = 2;
	else if (first >= 0xe0 && first <= 0xef)
		len = 3;
	else if (first >= 0xf0 && first <= 0xf4)
		len = 4;
	else
		return 0;
	if (len > left)
		return 0;
	switch (first) {
	case 0xe0: low = 0xa0; break;
	case 0xed: high = 0x9f; break;
	case 0xf0: low = 0x90; break;
	case 0xf4: high = 0x8f; break;
	default: break;
	}
	if (text[1] < low || text[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool cu_utf8_valid(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;

	while (len > 0) {
		size_t step = sequence_len(at, len);

		if (step == 0)
			return false;
		at += step;
		len -= step;
	}
	return true;
}

static size_t pairs_max(const char *query, size_t len)
{
	size_t count = 1;

	for (size_t i = 0; i < len; i++)
		count += query[i] == '&';
	return count;
}

/* Decodes text, appends it and a NUL at *out. */
static int decode_text(const char *text, size_t len, char **out, const char **ret_text, size_t *ret_len)
{
	ssize_t decoded = cu_percent_decode(text, len, true, *out);

	if (decoded < 0 || !cu_utf8_valid(*out, (size_t)decoded))
		return CU_EINVAL;
	(*out)[decoded] = '\0';
	*ret_text = *out;
	*ret_len = (size_t)decoded;
	*out += decoded + 1;
	return 0;
}

static int decode_pair(const char *text, size_t len, char **out, struct cu_query_pair *ret_pair)
{
	const char *equals = memchr(text, '=', len);
	size_t key_len = equals ? (size_t)(equals - text) : len;
	const char *value = equals ? equals + 1 : "";
	int rc;

	rc = decode_text(text, key_len, out, &ret_pair->key, &ret_pair->key_len);
	if (rc == 0)
		rc = decode_text(value, equals ? len - key_len - 1 : 0, out, &ret_pair->value, &ret_pair->value_len);
	return rc;
}

int cu_query_parse(const char *query, size_t len, struct cu_query *ret)
{
	size_t max = pairs_max(query, len), at = 0;
	struct cu_query parsed = { NULL, NULL, 0 };
	char *out;
	int rc = CU_ENOMEM;

	*ret = parsed;
	parsed.text = cu_try_malloc(len + 2 * max); /* decoding only shrinks; two NULs per pair */
	parsed.pairs = cu_try_malloc(max * sizeof *parsed.pairs);
	if (!parsed.text || !parsed.pairs)
		goto out;
	out = parsed.text;
	rc = 0;
	while (at < len && rc == 0) {
		const char *and = memchr(query + at, '&', len - at);
		size_t pair_len = and? (size_t)(and-query) - at : len - at;

		if (pair_len > 0) {
			rc = decode_pair(query + at, pair_len, &out, &parsed.pairs[parsed.len]);
			if (rc == 0 && parsed.pairs[parsed.len].key_len > 0)
				parsed.len++;
		}
		at += pair_len + 1;
	}
	if (rc < 0)
		goto out;
	*ret = parsed;
	parsed = (struct cu_query){ NULL, NULL, 0 };
out:
	cu_query_fini(&parsed);
	return rc;
}

void cu_query_fini(struct cu_query *query)
{
	free(query->text);
	free(query->pairs);
	*query = (struct cu_query){ NULL, NULL, 0 };
}

/* ---- secrets ---- */

/* Decodes the value of the last pair with that name. Malformed pairs are not its business. */
static char *find_value(const char *query, size_t len, const char *name, char *scratch, size_t *ret_len)
{
	const char *found = NULL;
	size_t found_len = 0, at = 0, name_len = strlen(name);
	char *value;
	ssize_t decoded;

	while (at < len) {
		const char *and = memchr(query + at, '&', len - at);
		size_t pair_len = and? (size_t)(and-query) - at : len - at;
		const char *equals = memchr(query + at, '=', pair_len);
		size_t key_len = equals ? (size_t)(equals - query) - at : pair_len;

		decoded = cu_percent_decode(query + at, key_len, true, scratch);
		if (decoded == (ssize_t)name_len && memcmp(scratch, name, name_len) == 0) {
			found = equals ? equals + 1 : "";
			found_len = equals ? pair_len - key_len - 1 : 0;
		}
		at += pair_len + 1;
	}
	if (!found)
		return NULL;
	value = cu_try_malloc(found_len + 1);
	if (!value)
		return NULL;
	decoded = cu_percent_decode(found, found_len, true, value);
	if (decoded < 0) {
		free(value);
		return NULL;
	}
	value[decoded] = '\0';
	*ret_len = (size_t)decoded;
	return value;
}

char *cu_query_secret(const char *query, size_t len, size_t *ret_len)
{
	char *scratch = cu_try_malloc(len + 1), *value = NULL;

	if (scratch) {
		value = find_value(query, len, "secret", scratch, ret_len);
		if (!value)
			value = find_value(query, len, "api_secret", scratch, ret_len);
	}
	free(scratch);
	return value;
}

bool cu_secret_equal(const char *a, size_t a_len, const char *b, size_t b_len)
{
	volatile unsigned char differ = a_len != b_len;

	for (size_t i = 0; i < a_len; i++) {
		unsigned char other = b_len ? (unsigned char)b[i % b_len] : 0;

		differ = (unsigned char)(differ | ((unsigned char)a[i] ^ other));
	}
	return differ == 0;
}

/* ---- routes ---- */

#define SEGMENTS_MAX 3u    /* a longer path is nobody's; its first two segments still choose the CORS set */
#define SEGMENT_LEN_MAX 8u /* "health" and a little more: longer ones match nothing */

struct segment {
	char text[SEGMENT_LEN_MAX];
	size_t len; /* > SEGMENT_LEN_MAX: too long to be ours */
};

static bool segment_is(const struct segment *segment, const char *text)
{
	return segment->len == strlen(text) && memcmp(segment->text, text, segment->len) == 0;
}

/* Decodes and checks every segment, remembers the first few. Returns their number, or -1 for a malformed path. */
static int split_path(const char *path, size_t path_len, struct segment *segments)
{
	unsigned count = 0;
	size_t at = 0;
	char *scratch = cu_try_malloc(path_len + 1);
	int rc = -1;

	if (!scratch)
		return -1;
	while (at < path_len) {
		const char *slash = memchr(path + at, '/', path_len - at);
		size_t len = slash ? (size_t)(slash - path) - at : path_len - at;
		ssize_t decoded;

		if (len > 0) {
			decoded = cu_percent_decode(path + at, len, false, scratch);
			if (decoded < 0 || !cu_utf8_valid(scratch, (size_t)decoded))
				goto out;
			if (count < SEGMENTS_MAX) {
				segments[count].len = (size_t)decoded;
				memcpy(segments[count].text, scratch, CU_MIN((size_t)decoded, SEGMENT_LEN_MAX));
				count++;
			}
		}
		at += len + 1;
	}
	rc = (int)count;
out:
	free(scratch);
	return rc;
}

enum cu_api_route cu_route_match(enum cu_http_method method, const char *path, size_t path_len)
{
	struct segment segments[SEGMENTS_MAX];
	bool get = method == CU_HTTP_GET || method == CU_HTTP_HEAD;
	int count = split_path(path, path_len, segments);

	if (count < 0)
		return CU_ROUTE_BAD_PATH;
	if (count == 0)
		return get ? CU_ROUTE_ROOT : CU_ROUTE_NOT_FOUND;
	if (count < 2 || !segment_is(&segments[0], "v1"))
		return CU_ROUTE_NOT_FOUND;
	if (segment_is(&segments[1], "health"))
		return count == 2 && get ? CU_ROUTE_HEALTH : CU_ROUTE_NOT_FOUND;
	if (!segment_is(&segments[1], "shape"))
		return CU_ROUTE_NOT_FOUND;
	if (count > 2)
		return CU_ROUTE_SHAPE_BELOW;
	switch (method) {
	case CU_HTTP_GET:
	case CU_HTTP_HEAD: return CU_ROUTE_SHAPE_GET;
	case CU_HTTP_POST: return CU_ROUTE_SHAPE_POST;
	case CU_HTTP_DELETE: return CU_ROUTE_SHAPE_DELETE;
	case CU_HTTP_OPTIONS: return CU_ROUTE_SHAPE_OPTIONS;
	case CU_HTTP_OTHER: break;
	}
	return CU_ROUTE_SHAPE_OTHER;
}

bool cu_route_needs_secret(enum cu_api_route route)
{
	return route == CU_ROUTE_SHAPE_GET || route == CU_ROUTE_SHAPE_POST || route == CU_ROUTE_SHAPE_DELETE ||
	       route == CU_ROUTE_SHAPE_OTHER;
}
