/* publish.c: one event per handle to its consumer, started where it is missing.
 *
 *   resolve ──► send to all, wait for all ──► suspended? ──► remove their entries, resolve, send, wait ──► still? ──►
 *   remove_shapes
 *
 * A consumer that suspends removes its own entry and is dead afterwards. An event that resolved it just before meets
 * a dead id whose entry is gone (or a successor's): it has been missed by suspension, not by a crash, and is retried.
 * A dead id whose entry is still there crashed: that one is never started again.
 */
#include "registry/internal.h"

#include "base/log.h"
#include "registry/rcu.h"

#include <stdlib.h>

#ifndef CALLS_INLINE     /* smaller in the simulation */
#define CALLS_INLINE 16u /* calls that need no heap; the slice when the heap has nothing */
#endif
#define HANDLES_AHEAD 24u /* how far ahead the texts of the handles are asked for */

/* Inside this file only: resolved, not sent yet. */
#define PENDING ((enum cu_delivery_status)64)

const char *cu_delivery_status_name(enum cu_delivery_status status)
{
	static const char *const names[] = { "delivered",     "suspended", "skipped",     "no shape",
					     "shape removed", "crashed",   "start failed" };

	return (size_t)status < CU_ARRAY_LEN(names) ? names[status] : "unknown";
}

/* The outcome of an event that was not handled. With a registry, one that had suspended before the event reached it
 * counts as suspended. */
static enum cu_delivery_status missed_status(cu_consumer_registry *reg, const struct cu_delivery *delivery)
{
	if (delivery->reason.kind == CU_EXIT_SUSPEND)
		return CU_SUSPENDED;
	if (reg && delivery->reason.kind == CU_EXIT_NOPROC && !CU_MUTANT(NOPROC_IS_A_CRASH) &&
	    cu_consumer_registry_whereis(reg, delivery->handle) != delivery->id)
		return CU_SUSPENDED;
	return CU_CRASHED;
}

/* What became of the pending deliveries. */
struct outcome {
	size_t missed; /* not handled, whatever the reason */
	size_t suspended;
};

/* Sends to the pending ones among these and waits; at most `room` of them, from *at on. */
static void slice_deliver(cu_actor_system *sys, cu_consumer_registry *reg, struct cu_delivery *deliveries, size_t count,
			  size_t *at, struct cu_actor_call *calls, size_t room, struct outcome *outcome)
{
	size_t sent = 0;
	size_t missed;
	size_t i;

	for (; *at < count && sent < room; ++*at) {
		struct cu_delivery *delivery = &deliveries[*at];

		if (delivery->status != PENDING)
			continue;
		calls[sent].id = delivery->id;
		calls[sent].type = CU_MSG_EVENT;
		calls[sent].payload = delivery->event;
		calls[sent].ret_reason = &delivery->reason;
		delivery->status = CU_DELIVERED; /* as nearly all of them will be */
		sent++;
	}
	missed = sent ? cu_actor_call_many(sys, calls, sent) : 0;
	outcome->missed += missed;
	for (i = 0; missed; i++) {
		struct cu_delivery *delivery = CU_CONTAINER_OF(calls[i].ret_reason, struct cu_delivery, reason);

		if (calls[i].delivered)
			continue;
		delivery->status = missed_status(reg, delivery);
		outcome->suspended += delivery->status == CU_SUSPENDED;
		missed--;
	}
}

/* Every pending delivery gets its outcome. reg: NULL for a mere broadcast. */
static struct outcome deliver(cu_actor_system *sys, cu_consumer_registry *reg, struct cu_delivery *deliveries,
			      size_t count, size_t pending)
{
	struct outcome outcome = { 0, 0 };
	struct cu_actor_call few[CALLS_INLINE];
	struct cu_actor_call *calls = few;
	size_t room = CALLS_INLINE;
	size_t at = 0;

	if (pending > CALLS_INLINE) {
		calls = cu_try_malloc(pending * sizeof *calls);
		/* Without memory the fan-out goes in small slices: slower, and still every one of them. */
		if (calls)
			room = pending;
		else
			calls = few;
	}
	while (pending && at < count)
		slice_deliver(sys, reg, deliveries, count, &at, calls, room, &outcome);
	if (calls != few)
		free(calls);
	return outcome;
}

static size_t undelivered_count(const struct cu_delivery *deliveries, size_t count)
{
	const struct cu_delivery *first = NULL;
	size_t undelivered = 0;
	size_t crashed = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		const struct cu_delivery *delivery = &deliveries[i];

		undelivered += delivery->status != CU_DELIVERED && delivery->status != CU_SKIPPED;
		if (delivery->status == CU_CRASHED && ++crashed == 1)
			first = delivery;
	}
	if (first)
		cu_warn("consumers ended before they had handled their event", CU_KV_U64("count", crashed),
			CU_KV("first_handle", first->handle ? first->handle : ""),
			CU_KV("reason", cu_exit_kind_name(first->reason.kind)), CU_KV("text", first->reason.text));
	return undelivered;
}

size_t cu_consumer_broadcast(cu_actor_system *sys, struct cu_delivery *deliveries, size_t count)
{
	size_t pending = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		deliveries[i].status = deliveries[i].id == CU_ACTOR_NONE ? CU_SKIPPED : PENDING;
		pending += deliveries[i].status == PENDING;
	}
	(void)deliver(sys, NULL, deliveries, count, pending);
	return undelivered_count(deliveries, count);
}

static void start_failed(struct cu_delivery *delivery, int rc)
{
	delivery->id = CU_ACTOR_NONE;
	delivery->status = CU_START_FAILED;
	cu_exit_reason_set(&delivery->reason, CU_EXIT_ERROR, rc, cu_strerror(rc));
}

/* The id is used as it comes and never entered here: a consumer that has suspended by now has removed its entry, and
 * putting it back would leave a dead id for good. */
static void consumer_start(cu_consumer_registry *reg, struct cu_delivery *delivery)
{
	cu_actor_id id = CU_ACTOR_NONE;
	cu_actor_id there;
	int rc = reg->opts.start_consumer(reg->opts.ctx, delivery->handle, &id);

	if ((rc == 0 || rc == CU_EEXIST) && id != CU_ACTOR_NONE) {
		delivery->id = id;
		delivery->status = PENDING;
		return;
	}
	/* A start that failed half-way leaves no entry. A living one is somebody else's. */
	there = cu_consumer_registry_whereis(reg, delivery->handle);
	if (there != CU_ACTOR_NONE && !cu_actor_alive(reg->opts.system, there))
		(void)cu_consumer_registry_remove_if(reg, delivery->handle, there);
	start_failed(delivery, rc == 0 ? CU_EINVAL : rc);
	if (rc == CU_ENOTFOUND)
		delivery->status = CU_NO_SHAPE;
}

/* Up to TABLE_TOGETHER of them: their look-ups overlap. Returns how many are pending now. */
static size_t resolve_together(cu_consumer_registry *reg, struct cu_delivery **list, size_t count)
{
	const char *handles[TABLE_TOGETHER];
	uint64_t ids[TABLE_TOGETHER];
	size_t pending = 0;
	size_t i;

	for (i = 0; i < count; i++)
		handles[i] = list[i]->handle;
	rcu_enter();
	cu_table_find_many(&reg->table, handles, count, ids);
	rcu_leave();
	for (i = 0; i < count; i++) {
		list[i]->id = ids[i];
		list[i]->status = PENDING;
		/* Looked up again: the same handle may have been started for one before it. */
		if (list[i]->id == CU_ACTOR_NONE)
			list[i]->id = cu_consumer_registry_whereis(reg, list[i]->handle);
		if (list[i]->id == CU_ACTOR_NONE)
			consumer_start(reg, list[i]);
		pending += list[i]->status == PENDING;
	}
	return pending;
}

/* Finds or starts the consumers of all, or of those that suspended. Returns how many are pending now. */
static size_t resolve(cu_consumer_registry *reg, struct cu_delivery *deliveries, size_t count, bool suspended_only)
{
	struct cu_delivery *list[TABLE_TOGETHER];
	size_t pending = 0;
	size_t listed = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		if (i + HANDLES_AHEAD < count)
			__builtin_prefetch(deliveries[i + HANDLES_AHEAD].handle);
		if (!suspended_only || deliveries[i].status == CU_SUSPENDED)
			list[listed++] = &deliveries[i];
		if (listed == TABLE_TOGETHER) {
			pending += resolve_together(reg, list, listed);
			listed = 0;
		}
	}
	return pending + (listed ? resolve_together(reg, list, listed) : 0);
}

static int handle_compare(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The suspended ones suspended again. */
static void shapes_remove(cu_consumer_registry *reg, struct cu_delivery *deliveries, size_t count, size_t suspended)
{
	const char **handles = cu_try_malloc(suspended * sizeof *handles);
	size_t distinct = 0;
	size_t found = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		struct cu_delivery *delivery = &deliveries[i];

		if (delivery->status != CU_SUSPENDED)
			continue;
		if (found == 0)
			cu_warn("consumers suspended again on the retry, their shapes are removed",
				CU_KV("stack", reg->stack_id), CU_KV_U64("count", suspended),
				CU_KV("first_handle", delivery->handle));
		delivery->status = CU_SHAPE_REMOVED;
		if (handles)
			handles[found] = delivery->handle;
		else if (reg->opts.remove_shapes)
			reg->opts.remove_shapes(reg->opts.ctx, &delivery->handle, 1);
		found++;
	}
	if (handles && reg->opts.remove_shapes) {
		qsort(handles, found, sizeof *handles, handle_compare);
		for (i = 0; i < found; i++) {
			if (i == 0 || strcmp(handles[i], handles[distinct - 1]) != 0)
				handles[distinct++] = handles[i];
		}
		reg->opts.remove_shapes(reg->opts.ctx, handles, distinct);
	}
	free(handles);
}

/* The model of an outcome, asserted in debug builds: nothing is left pending or suspended, there is an id exactly where
 * somebody was sent to, and a crash is no suspension. */
#ifdef CU_DEBUG
static void outcomes_check(const struct cu_delivery *deliveries, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		enum cu_delivery_status status = deliveries[i].status;
		bool sent = status == CU_DELIVERED || status == CU_CRASHED || status == CU_SHAPE_REMOVED;

		CU_ASSERT(sent || status == CU_NO_SHAPE || status == CU_START_FAILED);
		CU_ASSERT(sent == (deliveries[i].id != CU_ACTOR_NONE));
		CU_ASSERT(status != CU_CRASHED || deliveries[i].reason.kind != CU_EXIT_SUSPEND);
		CU_ASSERT(status != CU_SHAPE_REMOVED || deliveries[i].reason.kind == CU_EXIT_SUSPEND ||
			  deliveries[i].reason.kind == CU_EXIT_NOPROC);
	}
}
#else
static void outcomes_check(const struct cu_delivery *deliveries, size_t count)
{
	(void)deliveries;
	(void)count;
}
#endif

size_t cu_consumer_registry_publish(cu_consumer_registry *reg, struct cu_delivery *deliveries, size_t count)
{
	size_t pending = resolve(reg, deliveries, count, false);
	struct outcome outcome = deliver(reg->opts.system, reg, deliveries, count, pending);
	size_t i;

	if (pending == count && !outcome.missed)
		return 0;
	if (outcome.suspended > 0) {
		/* All entries first: of two events for one handle the second must not find the old id. */
		for (i = 0; i < count; i++) {
			if (deliveries[i].status != CU_SUSPENDED)
				continue;
			if (CU_MUTANT(RETRY_REMOVES_ANY))
				cu_consumer_registry_remove(reg, deliveries[i].handle);
			(void)cu_consumer_registry_remove_if(reg, deliveries[i].handle, deliveries[i].id);
		}
		pending = resolve(reg, deliveries, count, true);
		outcome = deliver(reg->opts.system, reg, deliveries, count, pending);
		if (outcome.suspended > 0)
			shapes_remove(reg, deliveries, count, outcome.suspended);
	}
	outcomes_check(deliveries, count);
	return undelivered_count(deliveries, count);
}
