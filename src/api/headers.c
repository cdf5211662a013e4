/* headers.c: the header block of every answer.
 *
 * What never changes stands in one piece per kind of answer, made once from the configuration, so that an answer is
 * that piece, the changing lines, and nothing formatted by printf.
 *
 * Two departures from the original, both invisible to clients: access-control-allow-origin is always "*" (the
 * original echoes the request's Origin into answers that shared caches keep, so a cache could hand one site's
 * permission to another; it never allows credentials, hence "*" permits the same), and a 401 carries the CORS set and
 * no-store, so that a browser can see why it was refused.
 */
#include "api/headers.h"

#include "base/clock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

/* 2024-10-09 00:00:00 UTC, the protocol's epoch of cursors. */
#define CURSOR_EPOCH_S 1728432000ull
#define CURSOR_RANDOM_S 3600u
/* Larger than any clock will be: a request's cursor beyond it was not ours. 15 digits: no overflow anywhere. */
#define CURSOR_DIGITS_MAX 15u
#define CLIENT_ID_LEN_MIN 20u
#define CLIENT_ID_LEN_MAX 200u

#define VARY "vary: accept-encoding\r\n"
#define SERVER "electric-server: Copper/" COPPER_VERSION "\r\n"
#define CORS(methods)                                                                                       \
	"access-control-allow-origin: *\r\n"                                                                \
	"access-control-expose-headers: electric-cursor,electric-handle,electric-has-data,electric-offset," \
	"electric-schema,electric-up-to-date,electric-internal-known-error,retry-after\r\n"                 \
	"access-control-allow-methods: " methods "\r\n"
#define CORS_SHAPE CORS("GET, POST, HEAD, DELETE, OPTIONS")
#define CORS_OTHER CORS("GET, HEAD")
#define TYPE_JSON "content-type: application/json; charset=utf-8\r\n"
#define TYPE_SSE "content-type: text/event-stream\r\n"
#define CACHE(value) "cache-control: " value "\r\n"
#define JSON_ANSWER(cache) \
	VARY CACHE(cache)  \
	SERVER CORS_SHAPE TYPE_JSON

/* One per set of lines that does not depend on the request's values. */
enum fixed {
	FIXED_INITIAL,
	FIXED_CATCH_UP,
	FIXED_LIVE,
	FIXED_SSE,
	FIXED_NO_CACHE,
	FIXED_SSE_NO_CACHE,
	FIXED_NO_STORE,
	FIXED_REFETCH,
	FIXED_REFETCH_NO_HANDLE,
	FIXED_SUBSET,
	FIXED_OPTIONS,
	FIXED_HEALTH,
	FIXED_PLAIN,
	FIXED_SHAPE_PLAIN,
	FIXED_COUNT,
};

struct cu_headers {
	cu_buf fixed[FIXED_COUNT]; /* set once */
	unsigned long_poll_s;
};

static const char *const fixed_texts[FIXED_COUNT] = {
	[FIXED_INITIAL] = JSON_ANSWER("public, max-age=604800, s-maxage=3600, stale-while-revalidate=2629746"),
	[FIXED_LIVE] = JSON_ANSWER("public, max-age=5, stale-while-revalidate=5"),
	[FIXED_NO_CACHE] = JSON_ANSWER("no-cache"),
	[FIXED_SSE_NO_CACHE] = VARY CACHE("no-cache") SERVER CORS_SHAPE TYPE_SSE,
	[FIXED_NO_STORE] = JSON_ANSWER("no-store") "surrogate-control: no-store\r\n",
	[FIXED_REFETCH] = JSON_ANSWER("public, max-age=60, must-revalidate"),
	[FIXED_REFETCH_NO_HANDLE] = JSON_ANSWER("public, max-age=1, must-revalidate"),
	[FIXED_SUBSET] = JSON_ANSWER("no-cache") "electric-snapshot: true\r\n",
	[FIXED_OPTIONS] = SERVER CORS_SHAPE "access-control-max-age: 86400\r\n",
	[FIXED_HEALTH] = VARY CACHE("no-cache, no-store, must-revalidate") SERVER CORS_OTHER TYPE_JSON,
	[FIXED_PLAIN] = VARY CACHE("max-age=0, private, must-revalidate") SERVER CORS_OTHER,
	[FIXED_SHAPE_PLAIN] = VARY CACHE("max-age=0, private, must-revalidate") SERVER CORS_SHAPE,
};

void cu_headers_new(const struct cu_headers_config *config, cu_headers **ret_headers)
{
	cu_headers *headers = cu_xzalloc(sizeof *headers);
	unsigned sse_s = config->sse_timeout_ms / 1000;

	for (int i = 0; i < FIXED_COUNT; i++)
		if (fixed_texts[i])
			cu_buf_puts(&headers->fixed[i], fixed_texts[i]);
	cu_buf_printf(&headers->fixed[FIXED_CATCH_UP],
		      VARY CACHE("public, max-age=%u, stale-while-revalidate=%u") SERVER CORS_SHAPE TYPE_JSON,
		      config->max_age_s, config->stale_age_s);
	/* Just under the time that a stream lives, so that a cache may merge those who connect meanwhile. */
	cu_buf_printf(&headers->fixed[FIXED_SSE], VARY CACHE("public, max-age=%u") SERVER CORS_SHAPE TYPE_SSE,
		      sse_s > 1 ? sse_s - 1 : 1);
	for (int i = 0; i < FIXED_COUNT; i++)
		CU_ASSERT(!cu_buf_failed(&headers->fixed[i])); /* small and at start-up */
	headers->long_poll_s = config->long_poll_ms / 1000;
	*ret_headers = headers;
}

void cu_headers_free(cu_headers **headers)
{
	if (!*headers)
		return;
	for (int i = 0; i < FIXED_COUNT; i++)
		cu_buf_fini(&(*headers)->fixed[i]);
	free(*headers);
	*headers = NULL;
}

static enum fixed shape_fixed(const struct cu_answer *answer)
{
	if (answer->method != CU_ANSWER_GET)
		return answer->live_sse ? FIXED_SSE_NO_CACHE : FIXED_NO_CACHE;
	if (answer->status == 409)
		return answer->handle ? FIXED_REFETCH : FIXED_REFETCH_NO_HANDLE;
	if (answer->status >= 400)
		return FIXED_NO_STORE;
	if (answer->offset_asked && strcmp(answer->offset_asked, "-1") == 0)
		return FIXED_INITIAL;
	if (answer->live)
		return answer->live_sse ? FIXED_SSE : FIXED_LIVE;
	return FIXED_CATCH_UP;
}

/* Values go into lines of their own; a control character in one (there is none in anything that we make) would end
 * the line, so it is left out. */
static void put_value(cu_buf *buf, const char *text, size_t len)
{
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != 0x7f)
			continue;
		cu_buf_append(buf, text + from, i - from);
		from = i + 1;
	}
	cu_buf_append(buf, text + from, len - from);
}

static size_t skip_blanks(const char *text, size_t at, size_t len)
{
	while (at < len && (text[at] == ' ' || text[at] == '\t'))
		at++;
	return at;
}

static void put_line(cu_buf *buf, const char *name_colon, size_t name_len, const char *value, size_t len)
{
	cu_buf_append(buf, name_colon, name_len);
	put_value(buf, value, len);
	cu_buf_append(buf, "\r\n", 2);
}
#define PUT_LINE(buf, name, value, len) put_line((buf), name ": ", sizeof(name ": ") - 1, (value), (len))
#define PUT_TEXT(buf, text) cu_buf_append((buf), (text), sizeof(text) - 1)

static void put_etag_line(const struct cu_answer *answer, cu_buf *block)
{
	PUT_TEXT(block, "etag: ");
	cu_etag_put(answer, block);
	PUT_TEXT(block, "\r\n");
}

static void put_shape_lines(const cu_headers *headers, const struct cu_answer *answer, uint64_t now_s, cu_buf *block)
{
	bool log = answer->kind == CU_ANSWER_SHAPE;
	bool good = answer->status < 400;

	if (answer->live && good) {
		PUT_TEXT(block, "electric-cursor: ");
		cu_buf_put_u64(block, cu_cursor_next(now_s, headers->long_poll_s, answer->cursor_asked));
		PUT_TEXT(block, "\r\n");
	}
	if (log && answer->handle)
		put_etag_line(answer, block);
	if (answer->encoding && answer->status == 200)
		PUT_LINE(block, "content-encoding", cu_encoding_name(answer->encoding),
			 strlen(cu_encoding_name(answer->encoding)));
	if (answer->handle)
		PUT_LINE(block, "electric-handle", answer->handle, strlen(answer->handle));
	if (answer->schema && !(log && answer->live) && answer->status == 200)
		PUT_LINE(block, "electric-schema", answer->schema, answer->schema_len);
	if (answer->up_to_date)
		PUT_TEXT(block, "electric-up-to-date: \r\n");
	if (log && good) {
		if (answer->no_changes)
			PUT_TEXT(block, "electric-has-data: false\r\n");
		else
			PUT_TEXT(block, "electric-has-data: true\r\n");
	}
	if (answer->offset)
		PUT_LINE(block, "electric-offset", answer->offset, strlen(answer->offset));
	if (answer->known_error)
		PUT_TEXT(block, "electric-internal-known-error: true\r\n");
	if (answer->retry_after_s) {
		PUT_TEXT(block, "retry-after: ");
		cu_buf_put_u64(block, answer->retry_after_s);
		PUT_TEXT(block, "\r\n");
	}
}

void cu_headers_put(const cu_headers *headers, const struct cu_answer *answer, uint64_t now_s, cu_buf *ret_block)
{
	enum fixed fixed = FIXED_PLAIN;

	switch (answer->kind) {
	case CU_ANSWER_SHAPE: fixed = shape_fixed(answer); break;
	case CU_ANSWER_SUBSET: fixed = answer->status < 400 ? FIXED_SUBSET : shape_fixed(answer); break;
	case CU_ANSWER_OPTIONS: fixed = FIXED_OPTIONS; break;
	case CU_ANSWER_HEALTH: fixed = FIXED_HEALTH; break;
	case CU_ANSWER_PLAIN: fixed = FIXED_PLAIN; break;
	case CU_ANSWER_SHAPE_PLAIN: fixed = FIXED_SHAPE_PLAIN; break;
	}
	cu_buf_append(ret_block, headers->fixed[fixed].data, headers->fixed[fixed].len);
	if (answer->kind == CU_ANSWER_SHAPE || answer->kind == CU_ANSWER_SUBSET)
		put_shape_lines(headers, answer, now_s, ret_block);
}

/* ---- request ids and randomness ---- */

struct id_source {
	bool seeded;
	uint64_t salt;
	uint64_t state;
};

static _Thread_local struct id_source ids;

/* splitmix64 (Sebastiano Vigna, public domain): a bijection of a counter, so one thread's values do not repeat within
 * 2^64 ids; the salt keeps threads apart. Not for secrets. */
static uint64_t random_next(void)
{
	uint64_t z;

	if (!ids.seeded) {
		uint64_t seed[2] = { cu_now_ns(), (uint64_t)(uintptr_t)&ids ^ cu_wall_us() };

		/* Fails only where the system call is forbidden; the clocks and the thread's address do then. */
		if (getrandom(seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
			seed[1] *= 0x9e3779b97f4a7c15ull;
		ids.state = seed[0];
		ids.salt = seed[1];
		ids.seeded = true;
	}
	ids.state += 0x9e3779b97f4a7c15ull;
	z = ids.state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

unsigned cu_random_below(unsigned n)
{
	return (unsigned)(random_next() % n);
}

void cu_request_id(char *ret_id)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t halves[2];

	halves[0] = random_next();
	halves[1] = random_next() ^ ids.salt;
	/* Ten characters of six bits from each half; the top four bits are left over. */
	for (int i = 0; i < CU_REQUEST_ID_LEN; i++)
		ret_id[i] = alphabet[halves[i / 10] >> (i % 10 * 6) & 63];
}

static bool client_id_usable(const char *id, size_t len)
{
	if (!id || len < CLIENT_ID_LEN_MIN || len > CLIENT_ID_LEN_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (id[i] <= 0x20 || id[i] >= 0x7f)
			return false;
	return true;
}

void cu_headers_put_request_id(const char *client_id, size_t client_id_len, cu_buf *ret_block)
{
	if (client_id_usable(client_id, client_id_len)) {
		PUT_LINE(ret_block, "x-request-id", client_id, client_id_len);
	} else {
		char line[] = "x-request-id: 01234567890123456789\r\n";

		cu_request_id(line + sizeof "x-request-id: " - 1);
		cu_buf_append(ret_block, line, sizeof line - 1);
	}
}

/* ---- what a browser may send ---- */

void cu_headers_put_allowed(const char *list, size_t len, cu_buf *ret_block)
{
	static const char *const allowed[] = { "if-none-match", "traceparent", "content-type" };
	bool any = false;
	size_t at = 0;

	while (at < len) {
		const char *comma = memchr(list + at, ',', len - at);
		size_t end = comma ? (size_t)(comma - list) : len;
		size_t from = skip_blanks(list, at, end), to = end;

		while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t'))
			to--;
		for (size_t i = 0; i < CU_ARRAY_LEN(allowed); i++) {
			if (strlen(allowed[i]) != to - from || strncasecmp(list + from, allowed[i], to - from) != 0)
				continue;
			if (!any)
				PUT_TEXT(ret_block, "access-control-allow-headers: ");
			else
				PUT_TEXT(ret_block, ",");
			cu_buf_puts(ret_block, allowed[i]);
			any = true;
		}
		at = end + 1;
	}
	if (any)
		PUT_TEXT(ret_block, "\r\n");
}

/* ---- cursors ---- */

/* Decimal digits and nothing else, short enough to be a time; else 0, which every cursor is greater than. */
static uint64_t cursor_parse(const char *text)
{
	uint64_t value = 0;
	size_t len = text ? strlen(text) : 0;

	if (len > CURSOR_DIGITS_MAX)
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	return value;
}

uint64_t cu_cursor_next_with(uint64_t now_s, unsigned long_poll_s, const char *request_cursor, uint64_t random)
{
	uint64_t since = now_s > CURSOR_EPOCH_S ? now_s - CURSOR_EPOCH_S : 0;
	uint64_t next, asked;

	if (long_poll_s == 0)
		return 0;
	next = (since / long_poll_s + (since % long_poll_s != 0)) * long_poll_s;
	asked = cursor_parse(request_cursor);
	if (next > asked || !request_cursor)
		return next;
	/* The same URL twice would be answered from a cache for ever; the random step also parts readers that would
	 * otherwise stay in step. */
	return asked + 1 + random % CURSOR_RANDOM_S;
}

uint64_t cu_cursor_next(uint64_t now_s, unsigned long_poll_s, const char *request_cursor)
{
	return cu_cursor_next_with(now_s, long_poll_s, request_cursor, random_next());
}

/* ---- etags ---- */

/* Unique in this process, and unlikely to repeat in the next one: it starts at the time in microseconds, and no
 * process answers more than a million polls per second of its life. */
static uint64_t unique_number(void)
{
	static _Atomic uint64_t next;

	if (atomic_load_explicit(&next, memory_order_relaxed) == 0) {
		uint64_t none = 0;

		/* Whoever comes first sets the start; the others use it. */
		atomic_compare_exchange_strong_explicit(&next, &none, cu_wall_us(), memory_order_relaxed,
							memory_order_relaxed);
	}
	return atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
}

void cu_etag_put(const struct cu_answer *answer, cu_buf *ret_etag)
{
	cu_buf_putc(ret_etag, '"');
	if (answer->handle)
		put_value(ret_etag, answer->handle, strlen(answer->handle));
	cu_buf_putc(ret_etag, ':');
	if (answer->offset_asked)
		put_value(ret_etag, answer->offset_asked, strlen(answer->offset_asked));
	cu_buf_putc(ret_etag, ':');
	if (answer->offset)
		put_value(ret_etag, answer->offset, strlen(answer->offset));
	/* An answer without news must not be confirmed by 304: a cache that revalidates it has to wait with us. */
	if (answer->no_changes) {
		cu_buf_putc(ret_etag, ':');
		cu_buf_put_u64(ret_etag, unique_number());
	}
	/* Other bytes: a cache that has both must be able to tell them apart. */
	if (answer->encoding) {
		cu_buf_putc(ret_etag, ':');
		cu_buf_puts(ret_etag, cu_encoding_name(answer->encoding));
	}
	cu_buf_putc(ret_etag, '"');
}

bool cu_etag_matches(const char *if_none_match, size_t len, const char *etag, size_t etag_len)
{
	size_t at = skip_blanks(if_none_match, 0, len);
	bool found = false;

	if (at < len && if_none_match[at] == '*')
		return skip_blanks(if_none_match, at + 1, len) == len;
	while (at < len) {
		const char *end;
		size_t from;

		if (if_none_match[at] == ',') { /* empty elements are allowed */
			at = skip_blanks(if_none_match, at + 1, len);
			continue;
		}
		if (len - at >= 2 && memcmp(if_none_match + at, "W/", 2) == 0)
			at += 2;
		if (at == len || if_none_match[at] != '"')
			return false;
		from = at;
		end = memchr(if_none_match + at + 1, '"', len - at - 1);
		if (!end)
			return false;
		at = (size_t)(end - if_none_match) + 1;
		if (at - from == etag_len && memcmp(if_none_match + from, etag, etag_len) == 0)
			found = true;
		at = skip_blanks(if_none_match, at, len);
		if (at < len && if_none_match[at] != ',')
			return false;
	}
	return found;
}
