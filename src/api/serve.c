/* serve.c: decides what a reader gets now, or what it waits for. */
#include "api/reader.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdlib.h>

static void wait_on_wake(cu_http_request *req, void *app);
static void wait_on_timeout(cu_http_request *req, void *app);
static void wait_on_drain(cu_http_request *req, void *app);

static const struct cu_http_waiter_ops waiter_ops = {
	.on_wake = wait_on_wake,
	.on_timeout = wait_on_timeout,
	.on_drain = wait_on_drain,
	.on_gone = cu_reader_gone,
};

void cu_reader_free(struct cu_reader **ref)
{
	struct cu_reader *reader = *ref;

	if (!reader)
		return;
	*ref = NULL;
	atomic_fetch_sub_explicit(reader->initial ? &reader->api->initial : &reader->api->existing, 1,
				  memory_order_relaxed);
	cu_shape_unref(&reader->shape);
	cu_shape_params_free(&reader->params);
	cu_subset_free(&reader->subset);
	free(reader->cursor);
	free(reader);
}

/* ---- waiting ---- */

static uint32_t wait_time_ms(const struct cu_reader *reader, enum cu_wait wait)
{
	switch (wait) {
	case CU_WAIT_LIVE: return reader->api->opts.long_poll_ms;
	case CU_WAIT_BEYOND: return reader->api->opts.long_poll_ms / 2;
	default: return CU_SNAPSHOT_WAIT_MS;
	}
}

/* Parks under the shape's id. The deadline is the wait's, however often it is woken in between. */
static void park(struct cu_reader *reader, cu_http_request *req, enum cu_wait wait)
{
	uint64_t now = cu_now_ms();

	if (reader->wait != wait) {
		reader->wait = wait;
		reader->deadline_ms = now + wait_time_ms(reader, wait);
	}
	if (now >= reader->deadline_ms) {
		wait_on_timeout(req, reader);
		return;
	}
	reader->parked = true;
	/* A shape that is still being made is safe from retention anyway. */
	if (wait != CU_WAIT_SNAPSHOT)
		cu_shape_mark_read(reader->shape, reader->deadline_ms - now);
	cu_http_park(req, reader->shape->id, (uint32_t)(reader->deadline_ms - now), &waiter_ops, reader);
}

static void wait_on_wake(cu_http_request *req, void *app)
{
	cu_reader_serve(app, req);
}

static void wait_on_timeout(cu_http_request *req, void *app)
{
	struct cu_reader *reader = app;
	cu_api_errors errors = CU_API_ERRORS_INIT;

	switch (reader->wait) {
	case CU_WAIT_LIVE: cu_answer_up_to_date(reader, req, reader->offset, true); return;
	case CU_WAIT_BEYOND:
		cu_api_errors_add(&errors, "offset", "out of bounds for this shape");
		cu_answer_invalid(reader, req, &errors);
		cu_api_errors_fini(&errors);
		return;
	default:
		reader->known_error = true;
		cu_answer_error(reader, req, 503, "The shape is still being made or read, please retry", 5);
		return;
	}
}

static void wait_on_drain(cu_http_request *req, void *app)
{
	struct cu_reader *reader = app;

	if (reader->wait == CU_WAIT_LIVE)
		cu_answer_up_to_date(reader, req, reader->offset, true);
	else
		cu_answer_error(reader, req, 503, "The server is stopping, please retry", 1);
}

void cu_reader_gone(void *app)
{
	struct cu_reader *reader = app;

	cu_reader_free(&reader);
}

/* ---- deciding ---- */

static void serve_gone(struct cu_reader *reader, cu_http_request *req)
{
	const struct cu_shape_failure *failure;

	cu_shape_lock(reader->shape);
	failure = cu_shape_failure(reader->shape);
	cu_shape_unlock(reader->shape);
	reader->known_error = failure && failure->status == 503;
	if (failure && failure->status != 409)
		cu_answer_error(reader, req, failure->status, failure->message, failure->status == 503 ? 10 : 0);
	else
		cu_answer_must_refetch(reader, req, NULL);
}

/* An offset that nobody was given yet. Up to the last transaction that was processed, all is at the log's end: also the
 * offsets that clients of live_sse make of an up-to-date's LSN. */
static bool beyond(cu_offset offset, cu_offset latest, uint64_t last_tx)
{
	return cu_offset_cmp(offset, latest) > 0 && offset.tx > last_tx;
}

/* The log after the snapshot, with `from` an offset in it. */
static void serve_log(struct cu_reader *reader, cu_http_request *req, cu_offset from, cu_offset latest,
		      uint64_t last_tx)
{
	int compared = cu_offset_cmp(from, latest);
	cu_offset end;
	bool gave;

	/* More may have been shown since `latest` was read; what the answer says is decided here. */
	cu_shape_lock(reader->shape);
	gave = cu_shape_log_gave(cu_shape_log_of(reader->shape), from);
	end = cu_shape_log_answer_end(cu_shape_log_of(reader->shape), from);
	if (compared < 0)
		latest = cu_shape_log_latest(cu_shape_log_of(reader->shape));
	cu_shape_unlock(reader->shape);
	/* An answer to it would be right now, and wrong in a cache when an answer to come ends there. */
	if (!gave) {
		cu_answer_must_refetch(reader, req, NULL);
		return;
	}
	if (compared < 0) {
		if (!cu_chunk_check_log(reader->api->opts.checks, reader->shape, from, end)) {
			park(reader, req, CU_WAIT_SNAPSHOT);
			return;
		}
		cu_answer_log(reader, req, from, end, cu_offset_cmp(end, latest) == 0);
		return;
	}
	if (beyond(from, latest, last_tx)) {
		/* Maybe an offset that an earlier run of ours gave out and that the stream is about to bring again. */
		if (cu_collector_caught_up(reader->api->opts.collector))
			park(reader, req, CU_WAIT_BEYOND);
		else
			cu_answer_error(reader, req, 503, "Catching up with the database, please retry", 1);
		return;
	}
	if (reader->live)
		park(reader, req, CU_WAIT_LIVE);
	else
		cu_answer_up_to_date(reader, req, compared > 0 ? from : latest, false);
}

/* The log is to be read on from where it stood when it was looked at, or where the client has read to: whatever came after
 * that it will find there. So a shape whose log is all there is must have begun: what its own snapshot holds is not in it. */
static void serve_subset(struct cu_reader *reader, cu_http_request *req, const struct cu_shape_status *status)
{
	if (status->chunks_len == 0 && (reader->now || reader->shape->def->changes_only))
		park(reader, req, CU_WAIT_SNAPSHOT);
	else if (reader->now)
		cu_answer_subset(reader, req, status->latest);
	else
		cu_answer_subset(reader, req, reader->offset.before_all ? cu_offset_of(0, 0) : reader->offset);
}

void cu_reader_serve(struct cu_reader *reader, cu_http_request *req)
{
	cu_shape *shape = reader->shape;
	struct cu_shape_status status;
	uint64_t last_tx;
	uint32_t n = 0;
	bool in_snapshot = cu_snapshot_chunk_after(reader->offset, &n);

	cu_shape_mark_read(shape, 0);
	/* The bit first, then the look (shape.h). */
	atomic_fetch_or(&shape->waiting_loops, UINT64_C(1) << cu_http_loop_index(cu_http_request_loop(req)));
	/* Before the status: what the shape has of these transactions is in it, whatever is shown meanwhile. */
	last_tx = cu_collector_last_tx(reader->api->opts.collector);
	status = cu_shape_status(shape);
	if (status.state == CU_SHAPE_GONE) {
		serve_gone(reader, req);
		return;
	}
	if (status.state == CU_SHAPE_REMOVING || !status.durable) {
		park(reader, req, CU_WAIT_SNAPSHOT);
		return;
	}
	if (reader->redirect) {
		cu_answer_must_refetch(reader, req, shape->handle);
		return;
	}
	if (reader->subset) {
		serve_subset(reader, req, &status);
		return;
	}
	if (reader->now) {
		if (status.chunks_len == 0)
			park(reader, req, CU_WAIT_SNAPSHOT);
		else
			cu_answer_up_to_date(reader, req, status.latest, true);
		return;
	}
	if (reader->live_sse && !beyond(reader->offset, status.latest, last_tx)) {
		cu_sse_start(reader, req, cu_offset_cmp(reader->offset, status.latest) >= 0);
		return;
	}
	if (in_snapshot && n < status.chunks_len) {
		if (status.snapshot_small || cu_chunk_check_snapshot(reader->api->opts.checks, shape, n))
			cu_answer_chunk(reader, req, n, status.snapshot_small);
		else
			park(reader, req, CU_WAIT_SNAPSHOT);
		return;
	}
	if (!status.snapshot_complete) {
		park(reader, req, CU_WAIT_SNAPSHOT);
		return;
	}
	serve_log(reader, req, in_snapshot ? CU_OFFSET_SNAPSHOT_END : reader->offset, status.latest, last_tx);
}
