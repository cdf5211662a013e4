/* params.h: routes, and the parameters of /v1/shape.
 *
 * Parsing is pure: no catalog, no clock. What needs the catalog (does the table exist, the where clause, the
 * columns' names) is the caller's business, as the last stage of validation.
 *
 * Validation happens in stages; the first stage with a complaint is the last one that ran, but a stage may
 * complain about several fields: (1) the form of each value, and that offset is there, (2) offset's format, (3)
 * handle, (4) live, (5) live_sse, (6) table.
 *
 * Threads: any; one result is used by one thread at a time. Cost: linear in the query's length (sorting params
 * aside), one arena. Ownership: a result owns all its texts until cu_shape_params_free().
 */
#ifndef CU_API_PARAMS_H
#define CU_API_PARAMS_H

#include "api/errors.h"
#include "base/offset.h"
#include "http/http.h"

/* ---- routes ---- */

enum cu_api_route {
	CU_ROUTE_NOT_FOUND,     /* 404 "Not found", CORS methods GET, HEAD */
	CU_ROUTE_BAD_PATH,      /* malformed percent escape or invalid UTF-8 in the path: 400 */
	CU_ROUTE_ROOT,          /* GET, HEAD / */
	CU_ROUTE_HEALTH,        /* GET, HEAD /v1/health */
	CU_ROUTE_SHAPE_GET,     /* GET, HEAD /v1/shape: wants the secret */
	CU_ROUTE_SHAPE_POST,    /* wants the secret */
	CU_ROUTE_SHAPE_DELETE,  /* wants the secret */
	CU_ROUTE_SHAPE_OPTIONS, /* never authenticated */
	CU_ROUTE_SHAPE_OTHER,   /* another method on /v1/shape: wants the secret, then 404 with the shape's CORS set */
	CU_ROUTE_SHAPE_BELOW,   /* /v1/shape/…: 404 with the shape's CORS set */
};

/* Resolves a path (without the query). Empty segments (doubled, leading, trailing slashes) do not count and each
 * segment is percent-decoded after splitting, so an encoded slash is part of a segment's name and never separates.
 * Every decision, the secret's too, is made on the result. */
enum cu_api_route cu_route_match(enum cu_http_method method, const char *path, size_t path_len);
bool cu_route_needs_secret(enum cu_api_route route);

/* ---- parameters ---- */

enum cu_offset_kind { CU_OFFSET_KIND_BEFORE_ALL, CU_OFFSET_KIND_NOW, CU_OFFSET_KIND_AT };
enum cu_replica { CU_REPLICA_DEFAULT, CU_REPLICA_FULL };
enum cu_log_mode { CU_LOG_MODE_FULL, CU_LOG_MODE_CHANGES_ONLY };

/* Parts of a subset; checked against the table, in the last stage of all (subset_check.h). */
enum cu_subset_part { CU_SUBSET_WHERE, CU_SUBSET_ORDER_BY, CU_SUBSET_LIMIT, CU_SUBSET_OFFSET, CU_SUBSET_PARAMS };

struct cu_text_pair {
	const char *key;
	const char *value;
};

/* A text is NULL when the parameter is missing or blank. Texts are valid UTF-8 and hold no NUL byte. */
struct cu_shape_params {
	const char *table;       /* as sent */
	const char *schema_name; /* parsed: quotes removed, folded; "public" when not qualified; NULL like table */
	const char *table_name;

	enum cu_offset_kind offset_kind;
	cu_offset offset;        /* for AT; CU_OFFSET_BEFORE_ALL for BEFORE_ALL */
	const char *offset_text; /* canonical: "-1", "now", "12_0", "0_inf": what the etag names */
	const char *handle;      /* NULL with BEFORE_ALL and NOW, whatever was sent */
	const char *handle_sent; /* this, then */
	bool live;
	bool live_sse;
	const char *cursor; /* any text */

	const char **columns; /* folded names in the order asked, repeats kept; NULL when not given */
	size_t columns_len;
	const char **queryable_columns;
	size_t queryable_columns_len;
	enum cu_replica replica;
	enum cu_log_mode log_mode;
	const char *where;
	struct cu_text_pair *params; /* params[key]=value: numbers first, in their order, then others; keys unique */
	size_t params_len;
	bool experimental_compaction; /* accepted, without effect */

	bool has_subset; /* any subset__… parameter, or a subset in the body */
	const char *subset_where;
	const char *subset_order_by;
	const char *subset_limit;
	const char *subset_offset;
	const char *subset_params; /* JSON text */
	unsigned subset_invalid;   /* bit (enum cu_subset_part): given as something that this part cannot be */

	struct cu_shape_params_arena *arena; /* private */
};

/* Parses the raw query string (what follows '?', may be empty). CU_EINVAL: `errors` (empty before) says why, 400.
 * CU_ENOMEM: 503. On error *ret is left alone. Takes nothing, keeps nothing. Of repeated parameters the last counts. */
int cu_shape_params_parse(const char *query, size_t len, struct cu_shape_params **ret, cu_api_errors *errors);
/* The same for POST: a JSON object in the body overrides the query, parameter by parameter; an empty body is fine.
 * A body that is not a JSON object is the whole complaint. Subset parameters may stand in {"subset":{…}} or at the top level (where, order_by, limit, offset, params). */
int cu_shape_params_parse_post(const char *query, size_t len, const char *body, size_t body_len,
			       struct cu_shape_params **ret, cu_api_errors *errors);
/* For DELETE: a table (with its definition, and maybe a handle), or a handle alone. offset is -1; live and cursor are
 * not looked at. Here the handle is kept. */
int cu_shape_params_parse_delete(const char *query, size_t len, struct cu_shape_params **ret, cu_api_errors *errors);
void cu_shape_params_free(struct cu_shape_params **params); /* NULL is fine */

/* The value of `secret`, else of `api_secret` (the old name), percent-decoded; NULL when neither is there or its value
 * is malformed. Independent of all validation, because authentication comes first. Returns owned; free(). */
char *cu_query_secret(const char *query, size_t len, size_t *ret_len);
/* Equal? Takes a time that depends on the lengths only. */
bool cu_secret_equal(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
