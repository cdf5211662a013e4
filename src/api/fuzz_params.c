/* fuzz_params.c: a query string (and, after a NUL byte, a body) never makes the parser do anything but answer. */
#include "api/headers.h"
#include "api/params.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(int rc, struct cu_shape_params **params, cu_api_errors *errors)
{
	CU_ASSERT(rc == 0 || rc == CU_EINVAL);
	CU_ASSERT((rc == 0) == (*params != NULL));
	CU_ASSERT((rc == 0) != cu_api_errors_any(errors));
	if (*params) {
		const struct cu_shape_params *p = *params;

		CU_ASSERT(p->offset_text && (p->handle || p->offset_kind != CU_OFFSET_KIND_AT));
		CU_ASSERT(!p->live || p->offset_kind == CU_OFFSET_KIND_AT);
		for (size_t i = 0; i < p->columns_len; i++)
			CU_ASSERT(p->columns[i][0] != '\0');
		for (size_t i = 0; i < p->params_len; i++)
			CU_ASSERT(p->params[i].key && p->params[i].value);
	} else {
		cu_buf body = CU_BUF_INIT;

		cu_api_errors_body(errors, &body);
		CU_ASSERT(!cu_buf_failed(&body) && body.data[body.len - 1] == '}');
		cu_buf_fini(&body);
	}
	cu_shape_params_free(params);
	cu_api_errors_fini(errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	const char *nul = len ? memchr(text, '\0', len) : NULL;
	size_t query_len = nul ? (size_t)(nul - text) : len, secret_len = 0;
	struct cu_shape_params *params = NULL;
	cu_api_errors errors = CU_API_ERRORS_INIT;
	char *secret;

	check(cu_shape_params_parse(text, query_len, &params, &errors), &params, &errors);
	if (nul)
		check(cu_shape_params_parse_post(text, query_len, nul + 1, len - query_len - 1, &params, &errors),
		      &params, &errors);
	if (cu_shape_params_parse_delete(text, query_len, &params, &errors) == 0)
		CU_ASSERT(params->table || params->handle);
	cu_shape_params_free(&params);
	cu_api_errors_fini(&errors);
	secret = cu_query_secret(text, query_len, &secret_len);
	CU_ASSERT(!secret || secret_len <= query_len);
	free(secret);
	cu_route_match(CU_HTTP_GET, text, query_len);
	cu_etag_matches(text, query_len, "\"a\"", 3);
	return 0;
}
