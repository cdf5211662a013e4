/* call.c: one call to each of many actors.
 *
 * The calls sit in the caller's own array, so a call needs no memory and no mailbox can refuse it. Idle actors become
 * QUEUED without standing in the run queue: the calling thread claims them itself, one after the other. Whoever comes
 * second finds the actor no longer QUEUED and passes on. What is left at the end is being run by somebody else: wait.
 *
 * A large call is cut into shares of 64. The caller takes them from the front; when it sees that they will keep it busy
 * for a while, workers with nothing else to do are told of the group and take them from the back. Both count in shares_taken, so they meet in the middle. Taking a share
 * claims no actor: whoever needs one of them in the meantime (a behaviour that makes a call itself) runs it. A helper
 * may lose its processor at any moment, so it works with a copy of its share's ids, and the caller at its end also looks
 * through the shares taken last: it waits for nobody but those who are running one of its actors.
 *
 * What costs time in a large call is fetching actors from memory, so they are asked for a few ahead.
 */
#include "actor/internal.h"

#include "base/clock.h"

#define AHEAD_ACTORS 12u
#define AHEAD_STATES 6u

_Static_assert(sizeof(struct call_node) <= sizeof(((struct cu_actor_call *)0)->priv), "priv holds the call");

static _Thread_local char thread_marker; /* its address tells threads apart */

static struct call_node *call_node(struct cu_actor_call *call)
{
	return (struct call_node *)(void *)call->priv;
}

/* The last touch of a call and its group by whoever finishes it: afterwards both may be gone from its stack. */
void cu_call_finish(struct call_node *node, const struct cu_exit_reason *why_not)
{
	struct cu_actor_call *call = CU_CONTAINER_OF(node, struct cu_actor_call, priv);
	struct call_group *group = node->group;

#ifdef CU_DEBUG
	CU_ASSERT(!node->finished); /* A10 */
	node->finished = true;
#endif
	call->delivered = !why_not;
	if (why_not && call->ret_reason)
		*call->ret_reason = *why_not;
	if (group->owner == &thread_marker) {
		group->own_done++;
		group->own_failed += why_not != NULL;
		return;
	}
	if (why_not)
		atomic_fetch_add_explicit(&group->others_failed, 1, memory_order_relaxed);
	if (atomic_fetch_sub_explicit(&group->left, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_lock(&group->mtx);
	group->over = true;
	pthread_cond_signal(&group->cond);
	pthread_mutex_unlock(&group->mtx);
}

static void call_prepare(struct cu_actor_call *call, struct call_group *group)
{
	*call_node(call) = (struct call_node){ { NULL, call->type, NODE_CALL, call->payload }, .group = group };
	call->delivered = false;
}

static void call_refuse(struct cu_actor_call *call)
{
	struct cu_exit_reason reason;

	cu_exit_reason_set(&reason, CU_EXIT_NOPROC, 0, "no such actor");
	cu_call_finish(call_node(call), &reason);
}

/* Puts the call into its actor's mailbox; an idle actor becomes QUEUED for this thread. */
static void call_send(cu_actor_system *sys, struct cu_actor_call *call, struct call_group *group)
{
	struct call_node *node = call_node(call);
	struct actor *actor;

	call_prepare(call, group);
	actor = cu_actor_lock(sys, call->id);
	if (!actor) {
		call_refuse(call);
		return;
	}
	node->state = actor->state;
	cu_inbox_push(actor, &node->node);
	actor->flags |= ACTOR_CALLED;
	if (actor->phase == PHASE_IDLE)
		actor->phase = PHASE_QUEUED;
	slot_unlock(sys, id_slot(call->id), actor);
}

/* One call alone: an idle actor gets it at once, without the way through the mailbox. */
static void call_one(cu_actor_system *sys, struct cu_actor_call *call, struct call_group *group)
{
	uint32_t slot = id_slot(call->id);
	struct call_node *node = call_node(call);
	struct actor *actor;
	bool ours;

	call_prepare(call, group);
	actor = cu_actor_lock(sys, call->id);
	if (!actor) {
		call_refuse(call);
		return;
	}
	ours = actor->phase == PHASE_IDLE;
	if (ours) {
		struct node *none = cu_actor_awaken(sys, actor);

		CU_ASSERT(!none); /* A3 */
		actor->phase = PHASE_RUNNING;
	} else {
		cu_inbox_push(actor, &node->node);
		actor->flags |= ACTOR_CALLED;
	}
	slot_unlock(sys, slot, actor);
	if (ours)
		cu_actor_run(sys, actor, call->id, &node->node, false);
	else
		cu_actor_try_run(sys, slot, (uint32_t)(call->id >> 32), false);
}

static void actor_prefetch(const cu_actor_system *sys, cu_actor_id id)
{
	const struct actor *actor = slot_actor(sys, id_slot(id));

	if (actor)
		__builtin_prefetch(actor, 1);
}

/* Runs whoever is QUEUED among these. */
static void calls_run(cu_actor_system *sys, struct cu_actor_call *calls, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (i + AHEAD_ACTORS < count)
			actor_prefetch(sys, calls[i + AHEAD_ACTORS].id);
		if (i + AHEAD_STATES < count)
			__builtin_prefetch(call_node(&calls[i + AHEAD_STATES])->state, 1);
		if (calls[i].id != CU_ACTOR_NONE)
			cu_actor_try_run(sys, id_slot(calls[i].id), (uint32_t)(calls[i].id >> 32), false);
	}
}

static size_t shares_count(const struct call_group *group)
{
	return (group->count + CU_CALL_SHARE - 1) / CU_CALL_SHARE;
}

static bool share_take(struct call_group *group)
{
	return atomic_fetch_add_explicit(&group->shares_taken, 1, memory_order_relaxed) < shares_count(group);
}

static void share_run(struct call_group *group, size_t share)
{
	size_t from = share * CU_CALL_SHARE;

	calls_run(group->sys, group->calls + from, CU_MIN(group->count - from, (size_t)CU_CALL_SHARE));
}

bool cu_call_share_take(struct call_group *group, struct call_share *ret_share)
{
	struct cu_actor_call *calls;
	size_t from;
	size_t i;

	if (!share_take(group))
		return false;
	from = (shares_count(group) - ++group->shares_helped) * CU_CALL_SHARE;
	calls = group->calls + from;
	ret_share->count = CU_MIN(group->count - from, (size_t)CU_CALL_SHARE);
	for (i = 0; i < ret_share->count; i++) {
		ret_share->ids[i] = calls[i].id;
		ret_share->states[i] = call_node(&calls[i])->state;
	}
	return true;
}

void cu_call_share_run(cu_actor_system *sys, const struct call_share *share)
{
	size_t i;

	for (i = 0; i < share->count; i++) {
		if (i + AHEAD_ACTORS < share->count)
			actor_prefetch(sys, share->ids[i + AHEAD_ACTORS]);
		if (i + AHEAD_STATES < share->count)
			__builtin_prefetch(share->states[i + AHEAD_STATES], 1);
		if (share->ids[i] != CU_ACTOR_NONE)
			cu_actor_try_run(sys, id_slot(share->ids[i]), (uint32_t)(share->ids[i] >> 32), false);
	}
}

/* Waking workers costs the caller some microseconds, and it takes them tens more to arrive: only for what would keep
 * the caller busy for longer than that, as far as the shares that are done can tell. */
static bool help_is_wanted(const struct call_group *group, uint64_t started_ns, size_t done)
{
	size_t left = shares_count(group) - done;

	return left > 0 && (cu_now_ns() - started_ns) * left / done >= CU_ACTOR_HELP_NS;
}

static void group_run(struct call_group *group)
{
	uint64_t started_ns = cu_now_ns();
	bool offered = false;
	size_t share = 0;
	unsigned i;

	while (share_take(group)) {
		share_run(group, share++);
		if (!offered && help_is_wanted(group, started_ns, share)) {
			offered = true;
			cu_run_queue_offer(group->sys, group);
		}
	}
	if (!offered)
		return;
	for (i = 0; i < group->sys->workers && share < shares_count(group); i++)
		share_run(group, share++);
	cu_run_queue_withdraw(group->sys, group);
}

/* Until the others have finished what the caller has not. */
static void group_wait(struct call_group *group)
{
	size_t own = group->own_done + 1;

	if (atomic_fetch_sub_explicit(&group->left, own, memory_order_acq_rel) == own)
		return;
	pthread_mutex_lock(&group->mtx);
	while (!group->over)
		pthread_cond_wait(&group->cond, &group->mtx);
	pthread_mutex_unlock(&group->mtx);
}

size_t cu_actor_call_many(cu_actor_system *sys, struct cu_actor_call *calls, size_t count)
{
	struct call_group group = {
		.owner = &thread_marker,
		.sys = sys,
		.calls = calls,
		.count = count,
		.mtx = PTHREAD_MUTEX_INITIALIZER,
		.cond = PTHREAD_COND_INITIALIZER,
	};
	size_t i;

	atomic_init(&group.left, count + 1);
	if (count == 1) {
		call_one(sys, calls, &group);
	} else {
		for (i = 0; i < count; i++) {
			if (i + AHEAD_ACTORS < count)
				actor_prefetch(sys, calls[i + AHEAD_ACTORS].id);
			call_send(sys, &calls[i], &group);
		}
		if (sys->workers && count > CU_CALL_SHARE)
			group_run(&group);
		else
			calls_run(sys, calls, count);
	}
	/* Whoever did all of it alone is the only one who has ever touched the group. */
	if (group.own_done < count) {
		group_wait(&group);
		pthread_cond_destroy(&group.cond);
		pthread_mutex_destroy(&group.mtx);
	}
	CU_ASSERT(!group.offered); /* its memory is this stack */
	return group.own_failed + atomic_load_explicit(&group.others_failed, memory_order_relaxed);
}
