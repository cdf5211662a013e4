/* fuzz_http_request.c: bytes of a connection through the parser, without a socket.
 *
 * The first byte chooses the size of the pieces. Whatever the split, the same requests must come out and every
 * slice must lie in what was sent.
 */
#include "base/limits.h"
#include "http/parse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint64_t hash_slice(uint64_t hash, struct cu_http_slice slice)
{
	for (size_t i = 0; i < slice.len; i++)
		hash = (hash ^ (uint8_t)slice.data[i]) * 1099511628211ull;
	return hash * 31 + (slice.data ? slice.len + 1 : 0);
}

/* Returns a digest of the requests and of how it ended. */
static uint64_t run(const char *data, size_t len, size_t step)
{
	static const struct cu_http_parse_limits limits = { 300, 600, 400 };
	struct cu_http_parse parse;
	uint64_t hash = 0;
	size_t at = 0;

	cu_http_parse_init(&parse, &limits);
	while (at < len) {
		size_t used = 0;
		enum cu_http_parse_result result = cu_http_parse_feed(&parse, data + at, CU_MIN(step, len - at), &used);

		CU_ASSERT(used <= CU_MIN(step, len - at));
		CU_ASSERT(parse.target_len <= limits.url_max && parse.headers_bytes <= limits.headers_max &&
			  parse.body.len <= limits.body_max);
		at += used;
		if (result == CU_HTTP_PARSE_BAD) {
			CU_ASSERT(parse.status >= 400 && parse.status <= 505 && parse.message);
			hash = hash * 31 + 1;
			break;
		}
		if (result == CU_HTTP_PARSE_MORE)
			continue;
		hash = hash_slice(hash, cu_http_parse_path(&parse));
		hash = hash_slice(hash, cu_http_parse_query(&parse));
		hash = hash_slice(hash, cu_http_parse_header(&parse, "host"));
		hash = hash_slice(hash, cu_http_parse_header(&parse, "if-none-match"));
		hash = hash_slice(hash, cu_http_parse_body(&parse));
		hash = hash * 31 + (unsigned)parse.method * 4 + parse.keep_alive * 2 + parse.http10;
		cu_http_parse_reset(&parse);
	}
	cu_http_parse_fini(&parse);
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint64_t whole;

	if (!len)
		return 0;
	whole = run((const char *)data + 1, len - 1, len);
	CU_ASSERT(whole == run((const char *)data + 1, len - 1, 1u + data[0]));
	CU_ASSERT(whole == run((const char *)data + 1, len - 1, 1));
	return 0;
}
