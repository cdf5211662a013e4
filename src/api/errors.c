/* errors.c: the bodies of error answers. */
#include "api/errors.h"

#include <stdio.h>
#include <stdlib.h>

void cu_api_errors_init(cu_api_errors *errors)
{
	*errors = (cu_api_errors)CU_API_ERRORS_INIT;
}

void cu_api_errors_fini(cu_api_errors *errors)
{
	for (size_t i = 0; i < errors->len; i++) {
		free(errors->list[i].field);
		free(errors->list[i].message);
	}
	free(errors->list);
	free(errors->unreadable.field);
	free(errors->unreadable.message);
	cu_api_errors_init(errors);
}

static char *try_strdup(const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = cu_try_malloc(len);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

void cu_api_errors_add(cu_api_errors *errors, const char *field, const char *message)
{
	struct cu_api_error entry;

	if (errors->len == errors->cap) {
		size_t cap = errors->cap ? errors->cap * 2 : 4;
		struct cu_api_error *list = cu_try_realloc(errors->list, cap * sizeof *list);

		if (!list)
			return;
		errors->list = list;
		errors->cap = cap;
	}
	entry = (struct cu_api_error){ try_strdup(field), try_strdup(message) };
	if (!entry.field || !entry.message) {
		free(entry.field);
		free(entry.message);
		return;
	}
	errors->list[errors->len++] = entry;
}

void cu_api_errors_add_fmt(cu_api_errors *errors, const char *field, const char *fmt, ...)
{
	cu_buf text = CU_BUF_INIT;
	va_list args;

	va_start(args, fmt);
	cu_buf_vprintf(&text, fmt, args);
	va_end(args);
	/* An incomplete message still says which field is wrong. */
	cu_api_errors_add(errors, field, cu_buf_str(&text));
	cu_buf_fini(&text);
}

bool cu_api_errors_has(const cu_api_errors *errors, const char *field)
{
	for (size_t i = 0; i < errors->len; i++)
		if (strcmp(errors->list[i].field, field) == 0)
			return true;
	return false;
}

static void put_text(cu_buf *buf, const char *text)
{
	cu_buf_put_json(buf, text, strlen(text));
}

void cu_api_errors_set_unreadable(cu_api_errors *errors, const char *error, const char *details)
{
	errors->unreadable.field = try_strdup(error);
	errors->unreadable.message = details ? try_strdup(details) : NULL;
}

static void put_unreadable(const struct cu_api_error *unreadable, cu_buf *buf)
{
	cu_buf_puts(buf, "{\"error\":");
	put_text(buf, unreadable->field);
	if (unreadable->message) {
		cu_buf_puts(buf, ",\"details\":");
		put_text(buf, unreadable->message);
	}
	cu_buf_putc(buf, '}');
}

/* Quadratic in the number of complaints, which is bounded by the number of parameters that we know. */
void cu_api_errors_body(const cu_api_errors *errors, cu_buf *ret_body)
{
	bool first_field = true;

	if (errors->unreadable.field) {
		put_unreadable(&errors->unreadable, ret_body);
		return;
	}
	cu_buf_puts(ret_body, "{\"message\":\"" CU_API_ERROR_INVALID "\",\"errors\":{");
	if (errors->within) {
		put_text(ret_body, errors->within);
		cu_buf_puts(ret_body, ":{");
	}
	for (size_t i = 0; i < errors->len; i++) {
		const char *field = errors->list[i].field;
		bool first = true, seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = strcmp(errors->list[j].field, field) == 0;
		if (seen)
			continue;
		if (!first_field)
			cu_buf_putc(ret_body, ',');
		first_field = false;
		put_text(ret_body, field);
		cu_buf_puts(ret_body, ":[");
		for (size_t j = i; j < errors->len; j++) {
			if (strcmp(errors->list[j].field, field) != 0)
				continue;
			if (!first)
				cu_buf_putc(ret_body, ',');
			first = false;
			put_text(ret_body, errors->list[j].message);
		}
		cu_buf_putc(ret_body, ']');
	}
	cu_buf_puts(ret_body, errors->within ? "}}}" : "}}");
}

void cu_api_message_body(const char *message, cu_buf *ret_body)
{
	cu_buf_puts(ret_body, "{\"message\":");
	put_text(ret_body, message);
	cu_buf_putc(ret_body, '}');
}

void cu_api_code_body(const char *code, const char *message, cu_buf *ret_body)
{
	cu_buf_puts(ret_body, "{\"code\":");
	put_text(ret_body, code);
	cu_buf_puts(ret_body, ",\"message\":");
	put_text(ret_body, message);
	cu_buf_putc(ret_body, '}');
}

void cu_api_must_refetch_body(cu_buf *ret_body)
{
	cu_buf_puts(ret_body, CU_API_MUST_REFETCH_BODY);
}
