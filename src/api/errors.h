/* errors.h: the bodies of error answers.
 *
 * A request that does not validate collects one entry per complaint; a field may have several. The body is
 *   {"message":"Invalid request","errors":{"offset":["has invalid format"]}}
 * with the fields in the order in which they were first named; complaints about a subset are one level deeper:
 *   {"message":"Invalid request","errors":{"subset":{"limit":["must be greater than 0"]}}}
 * A POST body that cannot be read is said otherwise:
 *   {"error":"Invalid JSON in request body","details":"…"}
 *
 * Threads: one at a time. Ownership: texts are copied. Errors: a failed allocation is remembered; the body then
 * lacks that entry, never more.
 */
#ifndef CU_API_ERRORS_H
#define CU_API_ERRORS_H

#include "base/buf.h"

#define CU_API_ERROR_INVALID "Invalid request"
#define CU_API_ERROR_UNAUTHORIZED "Unauthorized - Invalid API secret"
#define CU_API_ERROR_MISMATCH                                                                                       \
	"The specified shape definition and handle do not match. Please ensure the shape definition is correct or " \
	"omit the shape handle from the request to obtain a new one."
#define CU_API_ERROR_NOT_FOUND_TEXT "Not found" /* the body for unknown routes; not JSON */
#define CU_API_MUST_REFETCH_BODY "[{\"headers\":{\"control\":\"must-refetch\"}}]"

struct cu_api_error {
	char *field;
	char *message;
};

typedef struct cu_api_errors {
	struct cu_api_error *list;
	size_t len;
	size_t cap;
	struct cu_api_error unreadable; /* a body: error and details (may be NULL); takes the place of the list */
	const char *within;             /* what all complaints are about, "subset"; NULL: the request. Static */
} cu_api_errors;

#define CU_API_ERRORS_INIT   \
	{                    \
		.list = NULL \
	}

void cu_api_errors_init(cu_api_errors *errors);
void cu_api_errors_fini(cu_api_errors *errors); /* empty and usable again */
/* `message` is the text as the client sees it; add_fmt formats it. */
void cu_api_errors_add(cu_api_errors *errors, const char *field, const char *message);
void cu_api_errors_add_fmt(cu_api_errors *errors, const char *field, const char *fmt, ...) CU_PRINTF(3, 4);
bool cu_api_errors_has(const cu_api_errors *errors, const char *field);

/* The request's body is no JSON object. details may be NULL. */
void cu_api_errors_set_unreadable(cu_api_errors *errors, const char *error, const char *details);

static inline bool cu_api_errors_any(const cu_api_errors *errors)
{
	return errors->len > 0 || errors->unreadable.field;
}

/* {"message":"Invalid request","errors":{…}}, or the body's error */
void cu_api_errors_body(const cu_api_errors *errors, cu_buf *ret_body);
/* {"message":"…"} */
void cu_api_message_body(const char *message, cu_buf *ret_body);
/* {"code":"…","message":"…"}: 503 over the concurrency limit */
void cu_api_code_body(const char *code, const char *message, cu_buf *ret_body);
/* [{"headers":{"control":"must-refetch"}}] */
void cu_api_must_refetch_body(cu_buf *ret_body);

#endif
