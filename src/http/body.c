/* body.c: shared immutable bodies, and the texts of status codes. */
#include "http/http.h"

#include <stdatomic.h>
#include <stdlib.h>

struct cu_http_body {
	_Atomic unsigned refs;
	size_t len;
	char *data; /* behind the struct, or a buffer that was taken */
};

int cu_http_body_new(const void *data, size_t len, cu_http_body **ret_body)
{
	cu_http_body *body = len < SIZE_MAX - sizeof *body ? cu_try_malloc(sizeof *body + len) : NULL;

	if (!body)
		return CU_ENOMEM;
	atomic_init(&body->refs, 1);
	body->len = len;
	body->data = (char *)(body + 1);
	if (len)
		memcpy(body->data, data, len);
	*ret_body = body;
	return 0;
}

int cu_http_body_take(char *data, size_t len, cu_http_body **ret_body)
{
	cu_http_body *body = cu_try_malloc(sizeof *body);

	if (!body)
		return CU_ENOMEM;
	atomic_init(&body->refs, 1);
	body->len = len;
	body->data = data;
	*ret_body = body;
	return 0;
}

cu_http_body *cu_http_body_ref(cu_http_body *body)
{
	unsigned before = atomic_fetch_add_explicit(&body->refs, 1, memory_order_relaxed);

	CU_ASSERT(before > 0);
	return body;
}

void cu_http_body_unref(cu_http_body **ptr)
{
	cu_http_body *body = *ptr;

	if (!body)
		return;
	*ptr = NULL;
	/* acq_rel: the thread that frees has seen every other holder's last read. */
	if (atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (body->data != (char *)(body + 1))
		free(body->data);
	free(body);
}

struct cu_http_slice cu_http_body_bytes(const cu_http_body *body)
{
	return (struct cu_http_slice){ body->data ? body->data : "", body->len };
}

const char *cu_http_status_text(int status)
{
	switch (status) {
	case 200: return "OK";
	case 201: return "Created";
	case 202: return "Accepted";
	case 204: return "No Content";
	case 206: return "Partial Content";
	case 301: return "Moved Permanently";
	case 302: return "Found";
	case 303: return "See Other";
	case 304: return "Not Modified";
	case 307: return "Temporary Redirect";
	case 308: return "Permanent Redirect";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 406: return "Not Acceptable";
	case 408: return "Request Timeout";
	case 409: return "Conflict";
	case 410: return "Gone";
	case 411: return "Length Required";
	case 413: return "Content Too Large";
	case 414: return "URI Too Long";
	case 415: return "Unsupported Media Type";
	case 422: return "Unprocessable Content";
	case 429: return "Too Many Requests";
	case 431: return "Request Header Fields Too Large";
	case 500: return "Internal Server Error";
	case 501: return "Not Implemented";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	case 505: return "HTTP Version Not Supported";
	default: return "";
	}
}
