/* call.c: one call to each of many actors.
 *
 * The calls sit in the caller's own array, so a call needs no memory and no mailbox can refuse it. Idle actors become
 * QUEUED without standing in the run queue: the calling thread claims them itself, one after the other, and with many
 * of them the back half is offered to the workers too, who start at the far end. Whoever comes second finds the
 * actor no longer QUEUED and passes on. What is left at the end is being run by somebody else: wait.
 */
#include "actor/internal.h"

struct call_group {
	const void *owner; /* thread_marker of the calling thread */
	size_t own_done;   /* calling thread only */

	/* under mtx */
	pthread_mutex_t mtx;
	pthread_cond_t cond;
	size_t others_done;
	size_t others_awaited; /* 0 until the caller waits */
};

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
		return;
	}
	pthread_mutex_lock(&group->mtx);
	group->others_done++;
	if (group->others_done == group->others_awaited)
		pthread_cond_signal(&group->cond);
	pthread_mutex_unlock(&group->mtx);
}

/* Puts the call into its actor's mailbox; an idle actor becomes QUEUED for this thread. */
static void call_send(cu_actor_system *sys, struct cu_actor_call *call, struct call_group *group)
{
	struct call_node *node = call_node(call);
	struct actor *actor;

	*node = (struct call_node){ { NULL, call->type, NODE_CALL, call->payload }, .group = group };
	call->delivered = false;
	actor = cu_actor_lock(sys, call->id);
	if (!actor) {
		struct cu_exit_reason reason;

		cu_exit_reason_set(&reason, CU_EXIT_NOPROC, 0, "no such actor");
		cu_call_finish(node, &reason);
		return;
	}
	cu_inbox_push(actor, &node->node);
	actor->flags |= ACTOR_CALLED;
	if (actor->phase == PHASE_IDLE)
		actor->phase = PHASE_QUEUED;
	stripe_unlock(sys, id_slot(call->id));
}

static void group_wait(struct call_group *group, size_t count)
{
	pthread_mutex_lock(&group->mtx);
	group->others_awaited = count - group->own_done;
	while (group->others_done < group->others_awaited)
		pthread_cond_wait(&group->cond, &group->mtx);
	pthread_mutex_unlock(&group->mtx);
}

size_t cu_actor_call_many(cu_actor_system *sys, struct cu_actor_call *calls, size_t count)
{
	struct call_group group = { .owner = &thread_marker };
	size_t failed = 0;
	size_t i;

	pthread_mutex_init(&group.mtx, NULL);
	pthread_cond_init(&group.cond, NULL);

	for (i = 0; i < count; i++)
		call_send(sys, &calls[i], &group);
	if (sys->workers && count >= CU_ACTOR_HELP_MIN)
		cu_run_queue_push_many(sys, calls + count / 2, count - count / 2);
	for (i = 0; i < count; i++) {
		if (calls[i].id != CU_ACTOR_NONE)
			cu_actor_try_run(sys, id_slot(calls[i].id), (uint32_t)(calls[i].id >> 32), false);
	}
	if (group.own_done < count)
		group_wait(&group, count);

	for (i = 0; i < count; i++)
		failed += !calls[i].delivered;
	pthread_cond_destroy(&group.cond);
	pthread_mutex_destroy(&group.mtx);
	return failed;
}
