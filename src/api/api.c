/* api.c: routes, and from a request's parameters to its shape. */
#include "api/reader.h"

#include "api/subset_check.h"
#include "api/where.h"
#include "base/limits.h"
#include "base/log.h"
#include "shape/table_check.h"
#include "shape/table_shapes.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_OVERLOADED_S 5
#define WAITING_MESSAGE "Another instance is active: this one waits for the lock"
#define LOADING_MESSAGE "Copper is starting: loading the storage directory"
#define IDLE_RETRY_S 1
#define NOT_US_MESSAGE "This is not the instance that the request was relayed to"

static void resume(cu_http_request *req, void *arg);

/* Beside the shapes' directories. Without a store (nothing is served yet) there are no files to copy. */
static cu_encoded *encoded_new(const struct cu_api_opts *opts)
{
	struct cu_encoded_opts encoded = {
		.bytes_max = CU_ENCODED_BYTES_MAX,
		.copies_max = CU_ENCODED_COPIES_MAX,
	};
	cu_encoded *made;
	char *dir;

	if (!opts->compression || !opts->store)
		return NULL;
	dir = cu_file_path("%s/encoded", cu_store_dir(opts->store));
	encoded.dir = dir;
	made = cu_encoded_new(&encoded);
	free(dir);
	return made;
}

cu_api *cu_api_new(const struct cu_api_opts *opts)
{
	cu_api *api = cu_xzalloc(sizeof *api);

	api->opts = *opts;
	api->held = cu_held_new(resume);
	api->encoded = encoded_new(opts);
	cu_headers_new(&opts->headers, &api->headers);
	return api;
}

void cu_api_stop(cu_api *api)
{
	if (api)
		cu_encoded_stop(api->encoded);
}

void cu_api_free(cu_api **api)
{
	if (!*api)
		return;
	cu_headers_free(&(*api)->headers);
	cu_held_free(&(*api)->held);
	cu_encoded_free(&(*api)->encoded);
	for (size_t i = 0; i < CU_ARRAY_LEN((*api)->sse_shared); i++)
		cu_http_body_unref(&(*api)->sse_shared[i].body);
	free(*api);
	*api = NULL;
}

/* ---- from parameters to a shape ---- */

static void definition_request(const cu_api *api, const struct cu_shape_params *params,
			       struct cu_definition_request *ret_request)
{
	bool all = !params->columns;

	*ret_request = (struct cu_definition_request){
		.columns = (const char *const *)(all ? params->queryable_columns : params->columns),
		.columns_len = all ? params->queryable_columns_len : params->columns_len,
		.replica_full = params->replica == CU_REPLICA_FULL,
		.changes_only = params->log_mode == CU_LOG_MODE_CHANGES_ONLY,
		.generated_in_stream = api->opts.generated_in_stream(api->opts.ctx),
	};
}

/* Takes the shape's reference. What was only needed to find it goes. */
static void serve_shape(struct cu_reader *reader, cu_http_request *req, cu_shape *shape)
{
	const struct cu_shape_params *params = reader->params;

	reader->shape = shape;
	reader->redirect = params->handle && strcmp(params->handle, shape->handle) != 0;
	reader->now = params->offset_kind == CU_OFFSET_KIND_NOW;
	reader->offset = params->offset;
	reader->live = params->live;
	reader->live_sse = params->live_sse;
	reader->cursor = params->cursor && params->live ? cu_xstrdup(params->cursor) : NULL;
	cu_shape_params_free(&reader->params);
	cu_reader_serve(reader, req);
}

/* Does the request ask for a subset, and rightly so? def: of the shape that it will have. */
static int check_subset(struct cu_reader *reader, const cu_definition *def, cu_api_errors *errors)
{
	if (!reader->params->has_subset)
		return 0;
	return cu_subset_check(reader->params, def, &reader->subset, errors);
}

static void answer_bad(struct cu_reader *reader, cu_http_request *req, int rc, const cu_api_errors *errors)
{
	if (rc == CU_EINVAL)
		cu_answer_invalid(reader, req, errors);
	else
		cu_answer_error(reader, req, 503, cu_strerror(rc), RETRY_OVERLOADED_S);
}

/* A shape that is there already. Takes its reference. */
static void serve_known(struct cu_reader *reader, cu_http_request *req, cu_shape *shape)
{
	cu_api_errors errors = CU_API_ERRORS_INIT;
	int rc = check_subset(reader, shape->def, &errors);

	if (rc == 0) {
		serve_shape(reader, req, shape);
	} else {
		cu_shape_unref(&shape);
		answer_bad(reader, req, rc, &errors);
	}
	cu_api_errors_fini(&errors);
}

/* The definition that such a request has already, where the table got columns since that are none of its business, and what
 * the request's clause means there. NULL: there is none. */
static cu_definition *definition_there(struct cu_reader *reader, const struct cu_table *table,
				       const struct cu_definition_request *request, cu_expr **ret_where)
{
	const struct cu_shape_params *params = reader->params;
	cu_shape_set *shapes = reader->api->opts.shapes;
	cu_definition *def = NULL;
	cu_api_errors errors = CU_API_ERRORS_INIT;

	if (request->columns)
		def = cu_shape_set_match(shapes, params->schema_name, params->table_name, request);
	/* A clause may name one of the new columns. */
	if (def && (def->oid != table->oid || !cu_table_has_grown(table, def) ||
		    cu_api_where_parse(params, def, ret_where, &errors) < 0))
		cu_shape_set_leave_definition(shapes, &def);
	cu_api_errors_fini(&errors);
	return def;
}

static void serve_table(struct cu_reader *reader, cu_http_request *req, const struct cu_table *table)
{
	cu_api *api = reader->api;
	struct cu_definition_request request;
	cu_definition *def = NULL;
	cu_expr *where = NULL;
	cu_shape *shape = NULL;
	cu_api_errors errors = CU_API_ERRORS_INIT;
	cu_buf message = CU_BUF_INIT;
	int rc;

	rc = cu_queryable_check_table(reader->params, table, &errors);
	definition_request(api, reader->params, &request);
	if (rc == 0)
		def = definition_there(reader, table, &request, &where);
	if (rc == 0 && !def) {
		rc = cu_definition_new(table, &request, &def, &message);
		if (rc == CU_EINVAL)
			cu_api_errors_add(&errors, "columns", cu_buf_str(&message));
		if (rc == 0) {
			def = cu_shape_set_enter_definition(api->opts.shapes, def);
			rc = cu_api_where_parse(reader->params, def, &where, &errors);
		}
	}
	if (def) {
		if (rc == 0)
			rc = check_subset(reader, def, &errors);
		if (rc < 0) {
			cu_expr_unref(&where);
			cu_shape_set_leave_definition(api->opts.shapes, &def);
		}
	}
	if (rc == 0) {
		shape = cu_shape_set_get_or_create(api->opts.shapes, def, where);
		rc = shape ? 0 : CU_ENOMEM;
	}
	if (rc == 0)
		serve_shape(reader, req, shape);
	else
		answer_bad(reader, req, rc, &errors);
	cu_buf_fini(&message);
	cu_api_errors_fini(&errors);
}

/* ---- a table that the catalog's cache does not know: ask the database, on the pool ---- */

struct lookup {
	struct cu_reader *reader;
	cu_http_ticket ticket;
	struct cu_table_name name;
	struct cu_table *table;
	struct cu_pg_error err;
	int rc;
};

static void table_not_found(struct cu_reader *reader, cu_http_request *req)
{
	const struct cu_shape_params *params = reader->params;
	cu_api_errors errors = CU_API_ERRORS_INIT;

	cu_api_errors_add_fmt(
		&errors, "table",
		"Table \"%s\".\"%s\" does not exist. If the table name contains capitals or special characters "
		"you must quote it.",
		params->schema_name, params->table_name);
	cu_answer_invalid(reader, req, &errors);
	cu_api_errors_fini(&errors);
}

/* The shape that these parameters name, without asking the catalog: a reference, or NULL. */
static cu_shape *known_shape(cu_api *api, const struct cu_shape_params *params)
{
	struct cu_definition_request request;
	cu_api_errors errors = CU_API_ERRORS_INIT;
	cu_definition *def;
	cu_expr *where = NULL;
	cu_shape *shape = NULL;

	definition_request(api, params, &request);
	def = cu_shape_set_match(api->opts.shapes, params->schema_name, params->table_name, &request);
	if (!def)
		return NULL;
	if (cu_api_where_parse(params, def, &where, &errors) == 0)
		shape = cu_shape_set_find(api->opts.shapes, def, where);
	cu_expr_unref(&where);
	cu_shape_set_leave_definition(api->opts.shapes, &def);
	cu_api_errors_fini(&errors);
	return shape;
}

static void lookup_done(cu_http_request *req, void *arg)
{
	struct lookup *lookup = arg;
	struct cu_reader *reader = lookup->reader;
	cu_shape *shape = NULL;

	if (!req) {
		cu_reader_free(&reader);
	} else if (lookup->rc == 0) {
		serve_table(reader, req, lookup->table);
	} else if (lookup->rc == CU_ENOTFOUND) {
		table_not_found(reader, req);
	} else {
		/* Without the database, what is already here can still be served. */
		shape = known_shape(reader->api, reader->params);
		if (shape)
			serve_known(reader, req, shape);
		else
			cu_answer_error(reader, req, 503,
					"Cannot connect to the database to verify the shape. Please try again later.",
					1);
	}
	cu_table_unref(&lookup->table);
	free(lookup);
}

/* What the table looks like now is also said to the shapes that it has. */
static int look_up(struct lookup *lookup, PGconn *conn)
{
	const struct cu_api_opts *opts = &lookup->reader->api->opts;
	uint64_t mark;
	int rc;

	if (cu_catalog_peek(opts->catalog, &lookup->name, &lookup->table) == 0)
		return 0; /* another request has asked meanwhile */
	mark = cu_table_shapes_mark(opts->shapes);
	rc = cu_catalog_lookup(opts->catalog, conn, &lookup->name, &lookup->table, &lookup->err);
	if (rc == 0)
		cu_table_shapes_compare(opts->shapes, lookup->table, mark);
	else if (rc == CU_ENOTFOUND)
		cu_table_shapes_missing(opts->shapes, lookup->name.schema, lookup->name.name, mark);
	return rc;
}

static void lookup_run(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	struct lookup *lookup = arg;

	if (conn)
		lookup->rc = look_up(lookup, conn);
	else
		lookup->err = *err;
	if (lookup->rc < 0 && lookup->rc != CU_ENOTFOUND)
		cu_warn("a table could not be looked up", CU_KV("schema", lookup->name.schema),
			CU_KV("table", lookup->name.name), CU_KV("error", lookup->err.message));
	cu_http_post(lookup->ticket, lookup_done, lookup);
}

static void find_table(struct cu_reader *reader, cu_http_request *req)
{
	const struct cu_shape_params *params = reader->params;
	cu_api *api = reader->api;
	struct cu_table *table = NULL;
	struct cu_table_name name;
	struct lookup *lookup;

	memset(&name, 0, sizeof name);
	if (strlen(params->schema_name) >= sizeof name.schema || strlen(params->table_name) >= sizeof name.name) {
		table_not_found(reader, req);
		return;
	}
	memcpy(name.schema, params->schema_name, strlen(params->schema_name));
	memcpy(name.name, params->table_name, strlen(params->table_name));
	if (cu_catalog_peek(api->opts.catalog, &name, &table) == 0) {
		serve_table(reader, req, table);
		cu_table_unref(&table);
		return;
	}
	lookup = cu_xzalloc(sizeof *lookup);
	lookup->reader = reader;
	lookup->name = name;
	lookup->rc = CU_EPG;
	lookup->ticket = cu_http_request_defer(req);
	if (cu_pool_submit(api->opts.pool, CU_POOL_SHORT, lookup_run, lookup) < 0)
		lookup_run(NULL,
			   &(struct cu_pg_error){ .kind = CU_PG_BUSY, .message = "too many look-ups are waiting" },
			   lookup);
}

/* The database cannot be asked yet: what is here is served. */
static void find_stored(struct cu_reader *reader, cu_http_request *req)
{
	cu_shape *shape = known_shape(reader->api, reader->params);

	if (shape)
		serve_known(reader, req, shape);
	else
		cu_answer_error(reader, req, 503, "Copper is starting: the replication stream is not connected yet", 1);
}

/* ---- while another instance is active ---- */

static void answer_idle(cu_api *api, cu_http_request *req, const char *message)
{
	cu_buf body = CU_BUF_INIT;

	cu_buf_printf(&body, "{\"message\":\"%s\"}", message);
	cu_answer_plain(api, req, CU_ANSWER_SHAPE, cu_answer_method_of(req), 503, cu_buf_str(&body), IDLE_RETRY_S);
	cu_buf_fini(&body);
}

static void relay_failed(void *ctx, cu_http_request *req)
{
	answer_idle(ctx, req, WAITING_MESSAGE);
}

/* Does the other one answer? What has been relayed once is not again. */
static bool relayed(cu_api *api, cu_http_request *req)
{
	struct cu_api_peer peer;
	char mark[sizeof CU_API_RELAYED ": \r\n" + sizeof peer.instance];
	struct cu_http_relay relay = {
		.mark = mark,
		.timeout_ms = CU_MAX(api->opts.long_poll_ms, CU_SNAPSHOT_WAIT_MS) + CU_HTTP_RELAY_SLACK_MS,
		.failed = relay_failed,
		.ctx = api,
	};

	if (!api->opts.active_peer || cu_http_request_header(req, CU_API_RELAYED).data ||
	    !api->opts.active_peer(api->opts.ctx, &peer))
		return false;
	snprintf(mark, sizeof mark, CU_API_RELAYED ": %s\r\n", peer.instance);
	relay.host = peer.host;
	relay.port = peer.port;
	return cu_http_relay(req, &relay) == 0;
}

/* ---- until the shapes are loaded ---- */

static void loading_over(cu_http_request *req, void *app)
{
	struct cu_reader *reader = app;
	cu_api *api = reader->api;

	cu_reader_free(&reader);
	api->opts.again(api->opts.ctx, req);
}

static void loading_too_long(cu_http_request *req, void *app)
{
	cu_answer_error(app, req, 503, LOADING_MESSAGE, IDLE_RETRY_S);
}

static const struct cu_http_waiter_ops loading_ops = {
	.on_wake = loading_over,
	.on_timeout = loading_too_long,
	.on_gone = cu_reader_gone,
};

/* Who ends the loading changes first what on_request and health say, and wakes then: a request that found the old state is
 * woken, because it parks before its loop looks at anything else. */
static void wait_until_loaded(struct cu_reader *reader, cu_http_request *req)
{
	cu_http_hold(req, CU_API_LOADED_KEY, CU_MIN(reader->api->opts.long_poll_ms, CU_LOADING_WAIT_MS), &loading_ops,
		     reader);
}

/* The logs here stand still while another instance goes on: nothing of them is up to date. It may have become known only after the
 * first look for it. */
static void find_elsewhere(struct cu_reader *reader, cu_http_request *req)
{
	if (relayed(reader->api, req))
		cu_reader_free(&reader);
	else
		cu_answer_error(reader, req, 503, WAITING_MESSAGE, IDLE_RETRY_S);
}

/* ---- with the shapes ---- */

static void find_awake(struct cu_reader *reader, cu_http_request *req)
{
	const struct cu_shape_params *params = reader->params;
	enum cu_api_health health = reader->api->opts.health(reader->api->opts.ctx);
	struct cu_definition_request request;
	cu_shape *shape;

	if (health == CU_API_LOADING) {
		wait_until_loaded(reader, req);
		return;
	}
	if (health == CU_API_WAITING) {
		find_elsewhere(reader, req);
		return;
	}
	shape = params->handle ? cu_shape_set_by_handle(reader->api->opts.shapes, params->handle) : NULL;
	definition_request(reader->api, params, &request);
	if (shape && cu_shape_status(shape).state != CU_SHAPE_GONE &&
	    cu_definition_matches(shape->def, params->schema_name, params->table_name, &request) &&
	    cu_api_where_matches(params, shape)) {
		serve_known(reader, req, shape);
		return;
	}
	cu_shape_unref(&shape);
	if (health == CU_API_STARTING)
		find_stored(reader, req);
	else
		find_table(reader, req);
}

static void resume(cu_http_request *req, void *arg)
{
	struct cu_reader *reader = arg;

	if (!req) {
		cu_reader_free(&reader);
		return;
	}
	/* What has been processed may be more by now; never less. */
	find_awake(reader, req);
}

void cu_api_resume(cu_api *api)
{
	cu_held_release(api->held);
}

static void find_shape(struct cu_reader *reader, cu_http_request *req)
{
	cu_api *api = reader->api;

	if (!api->opts.touch || !api->opts.touch(api->opts.ctx)) {
		find_awake(reader, req);
		return;
	}
	cu_held_add(api->held, cu_http_request_defer(req), reader);
	/* It may have woken up before the request was in the list. */
	if (!api->opts.touch(api->opts.ctx))
		cu_api_resume(api);
}

/* ---- /v1/shape ---- */

static bool admitted(cu_api *api, bool initial)
{
	unsigned before = atomic_fetch_add_explicit(initial ? &api->initial : &api->existing, 1, memory_order_relaxed);

	return before < (initial ? api->opts.max_requests_initial : api->opts.max_requests_existing);
}

/* Whoever starts over with the handle that a 409 told comes with all others of that shape, and makes no work. Before the
 * shapes are loaded everybody is believed: nobody makes work. */
static bool names_our_shape(const cu_api *api, const struct cu_shape_params *params)
{
	cu_shape *shape = NULL;
	bool ours;

	if (params && params->handle_sent && !api->opts.shapes)
		return true;
	if (params && params->handle_sent)
		shape = cu_shape_set_by_handle(api->opts.shapes, params->handle_sent);
	ours = shape != NULL;
	cu_shape_unref(&shape);
	return ours;
}

/* Every place for first requests is taken. Maybe by those who wait for the same snapshot after a rotation, of which the
 * clients know no handle: what a request for a shape of ours waits for is under way without it. */
static bool admitted_as_existing(struct cu_reader *reader)
{
	cu_api *api = reader->api;
	cu_shape *shape =
		reader->initial && reader->params && api->opts.shapes ? known_shape(api, reader->params) : NULL;

	if (!shape)
		return false;
	cu_shape_unref(&shape);
	atomic_fetch_sub_explicit(&api->initial, 1, memory_order_relaxed);
	reader->initial = false;
	return admitted(api, false);
}

static void overloaded(struct cu_reader *reader, cu_http_request *req)
{
	char message[128];

	snprintf(message, sizeof message, "Concurrent %s request limit exceeded (limit: %u), please retry",
		 reader->initial ? "initial" : "existing",
		 reader->initial ? reader->api->opts.max_requests_initial : reader->api->opts.max_requests_existing);
	cu_answer_overloaded(reader, req, message);
}

static void on_shape(cu_api *api, cu_http_request *req, bool post)
{
	struct cu_http_slice query = cu_http_request_query(req), body = cu_http_request_body(req);
	struct cu_http_slice accept = cu_http_request_header(req, "accept-encoding");
	struct cu_reader *reader = cu_xzalloc(sizeof *reader);
	cu_api_errors errors = CU_API_ERRORS_INIT;
	int rc;

	reader->api = api;
	if (api->opts.compression)
		reader->encoding = cu_encoding_choose(accept.data, accept.len);
	reader->post = post;
	/* Before anything else is looked at (PROTOCOL.md, global_last_seen_lsn). */
	reader->global_lsn = api->opts.collector ? cu_collector_last_tx(api->opts.collector) : 0;
	rc = post ? cu_shape_params_parse_post(query.data ? query.data : "", query.len, body.data ? body.data : "",
					       body.len, &reader->params, &errors)
		  : cu_shape_params_parse(query.data ? query.data : "", query.len, &reader->params, &errors);
	if (rc == 0)
		rc = cu_queryable_check_columns(reader->params, &errors);
	reader->initial = !names_our_shape(api, reader->params);
	if (!admitted(api, reader->initial) && !admitted_as_existing(reader))
		overloaded(reader, req);
	else if (rc == CU_ENOMEM)
		cu_answer_error(reader, req, 503, cu_strerror(rc), RETRY_OVERLOADED_S);
	else if (rc < 0 || cu_api_errors_any(&errors))
		cu_answer_invalid(reader, req, &errors);
	else
		find_shape(reader, req);
	cu_api_errors_fini(&errors);
}

/* Why no shape can be removed. NULL: it can. */
static const char *why_idle(enum cu_api_health health)
{
	switch (health) {
	case CU_API_LOADING: return LOADING_MESSAGE;
	case CU_API_WAITING: return WAITING_MESSAGE;
	default: return NULL;
	}
}

static void on_delete(cu_api *api, cu_http_request *req)
{
	struct cu_http_slice query = cu_http_request_query(req);
	const char *idle = why_idle(api->opts.health(api->opts.ctx));
	struct cu_shape_params *params = NULL;
	cu_api_errors errors = CU_API_ERRORS_INIT;
	cu_buf body = CU_BUF_INIT;
	cu_shape *shape = NULL;

	if (idle) {
		answer_idle(api, req, idle);
		return;
	}
	if (!api->opts.allow_shape_deletion) {
		cu_answer_plain(api, req, CU_ANSWER_SHAPE, CU_ANSWER_DELETE, 405,
				"{\"message\":\"DELETE not allowed\"}", 0);
		return;
	}
	if (cu_shape_params_parse_delete(query.data ? query.data : "", query.len, &params, &errors) < 0) {
		cu_api_errors_body(&errors, &body);
		cu_answer_plain(api, req, CU_ANSWER_SHAPE, CU_ANSWER_DELETE, 400, cu_buf_str(&body), 0);
		goto out;
	}
	shape = params->table ? known_shape(api, params) : cu_shape_set_by_handle(api->opts.shapes, params->handle);
	if (!shape) {
		cu_answer_plain(api, req, CU_ANSWER_SHAPE, CU_ANSWER_DELETE, 404,
				"{\"message\":\"No existing shape found\"}", 0);
		goto out;
	}
	if (params->handle && strcmp(params->handle, shape->handle) != 0) {
		cu_answer_plain(api, req, CU_ANSWER_SHAPE, CU_ANSWER_DELETE, 400,
				"{\"message\":\"" CU_API_ERROR_MISMATCH "\"}", 0);
		goto out;
	}
	cu_shape_set_remove(api->opts.shapes, shape, "asked for by DELETE", NULL);
	cu_answer_plain(api, req, CU_ANSWER_SHAPE, CU_ANSWER_DELETE, 202, NULL, 0);
out:
	cu_shape_unref(&shape);
	cu_shape_params_free(&params);
	cu_api_errors_fini(&errors);
	cu_buf_fini(&body);
}

static void on_health(cu_api *api, cu_http_request *req)
{
	switch (api->opts.health(api->opts.ctx)) {
	case CU_API_ACTIVE:
	case CU_API_SLEEPING:
		cu_answer_plain(api, req, CU_ANSWER_HEALTH, CU_ANSWER_GET, 200, "{\"status\":\"active\"}", 0);
		return;
	case CU_API_WAITING:
		cu_answer_plain(api, req, CU_ANSWER_HEALTH, CU_ANSWER_GET, 202, "{\"status\":\"waiting\"}", 0);
		return;
	case CU_API_LOADING:
	case CU_API_STARTING:
	case CU_API_DISCONNECTED:
		cu_answer_plain(api, req, CU_ANSWER_HEALTH, CU_ANSWER_GET, 202, "{\"status\":\"starting\"}", 0);
		return;
	}
}

/* True: there is nothing more to do. A relayed request that was not meant for us (we wait ourselves, or have the address of
 * the one that was meant) goes no further. */
static bool answered_elsewhere(cu_api *api, cu_http_request *req)
{
	struct cu_http_slice meant = cu_http_request_header(req, CU_API_RELAYED);
	const char *ours = api->opts.instance;

	if (!meant.data)
		return relayed(api, req);
	if (meant.len == strlen(ours) && memcmp(meant.data, ours, meant.len) == 0) {
		cu_http_request_mark(req);
		return false;
	}
	answer_idle(api, req, NOT_US_MESSAGE);
	return true;
}

static bool is_for_shapes(enum cu_api_route route)
{
	return route == CU_ROUTE_SHAPE_GET || route == CU_ROUTE_SHAPE_POST || route == CU_ROUTE_SHAPE_DELETE;
}

static bool secret_ok(const cu_api *api, const cu_http_request *req)
{
	struct cu_http_slice query = cu_http_request_query(req);
	size_t len = 0;
	char *given = cu_query_secret(query.data ? query.data : "", query.len, &len);
	bool ok = given && cu_secret_equal(given, len, api->opts.secret, strlen(api->opts.secret));

	free(given);
	return ok;
}

void cu_api_on_request(void *ctx, cu_http_request *req)
{
	cu_api *api = ctx;
	struct cu_http_slice path = cu_http_request_path(req);
	enum cu_api_route route = cu_route_match(cu_http_request_method(req), path.data, path.len);

	if (is_for_shapes(route) && answered_elsewhere(api, req))
		return;
	if (api->opts.secret && cu_route_needs_secret(route) && !secret_ok(api, req)) {
		cu_answer_plain(api, req, CU_ANSWER_SHAPE, cu_answer_method_of(req), 401,
				"{\"message\":\"" CU_API_ERROR_UNAUTHORIZED "\"}", 0);
		return;
	}
	switch (route) {
	case CU_ROUTE_ROOT: cu_answer_plain(api, req, CU_ANSWER_PLAIN, CU_ANSWER_GET, 200, "", 0); return;
	case CU_ROUTE_HEALTH: on_health(api, req); return;
	case CU_ROUTE_SHAPE_GET: on_shape(api, req, false); return;
	case CU_ROUTE_SHAPE_POST: on_shape(api, req, true); return;
	case CU_ROUTE_SHAPE_DELETE: on_delete(api, req); return;
	case CU_ROUTE_SHAPE_OPTIONS: cu_answer_options(api, req); return;
	case CU_ROUTE_SHAPE_OTHER:
	case CU_ROUTE_SHAPE_BELOW:
		cu_answer_plain(api, req, CU_ANSWER_SHAPE_PLAIN, CU_ANSWER_GET, 404, CU_API_ERROR_NOT_FOUND_TEXT, 0);
		return;
	case CU_ROUTE_BAD_PATH:
		cu_answer_plain(api, req, CU_ANSWER_PLAIN, CU_ANSWER_GET, 400, "Bad Request", 0);
		return;
	case CU_ROUTE_NOT_FOUND: break;
	}
	cu_answer_plain(api, req, CU_ANSWER_PLAIN, CU_ANSWER_GET, 404, CU_API_ERROR_NOT_FOUND_TEXT, 0);
}
