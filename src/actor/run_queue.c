/* run_queue.c: actors that wait for a worker, as a list of slots.
 *
 * An entry is a hint, not a promise: the actor may have been run by a caller or have ended since. A worker that finds
 * its phase other than QUEUED passes on, so nobody ever has to search the queue to take something out. A worker that
 * finds the queue empty helps with large calls, a share at a time.
 */
#include "actor/internal.h"

static void push_locked(cu_actor_system *sys, uint32_t slot)
{
	struct actor *actor = slot_actor(sys, slot);

	if (actor->run_next)
		return;
	actor->run_next = RUN_LAST;
	if (sys->run_tail)
		slot_actor(sys, sys->run_tail - 1)->run_next = slot + 1;
	else
		sys->run_head = slot + 1;
	sys->run_tail = slot + 1;
}

static bool pop_locked(cu_actor_system *sys, uint32_t *ret_slot)
{
	struct actor *actor;

	if (!sys->run_head)
		return false;
	*ret_slot = sys->run_head - 1;
	actor = slot_actor(sys, *ret_slot);
	sys->run_head = actor->run_next == RUN_LAST ? 0 : actor->run_next;
	if (!sys->run_head)
		sys->run_tail = 0;
	actor->run_next = 0;
	return true;
}

void cu_run_queue_push(cu_actor_system *sys, uint32_t slot)
{
	pthread_mutex_lock(&sys->run_mtx);
	push_locked(sys, slot);
	if (sys->run_waiting)
		pthread_cond_signal(&sys->run_cond);
	pthread_mutex_unlock(&sys->run_mtx);
}

void cu_run_queue_offer(cu_actor_system *sys, struct call_group *group)
{
	pthread_mutex_lock(&sys->run_mtx);
	group->offered = true;
	group->next = sys->helped;
	if (sys->helped)
		sys->helped->prev = group;
	sys->helped = group;
	if (sys->run_waiting)
		pthread_cond_broadcast(&sys->run_cond);
	pthread_mutex_unlock(&sys->run_mtx);
}

static void withdraw_locked(cu_actor_system *sys, struct call_group *group)
{
	if (!group->offered)
		return;
	group->offered = false;
	if (group->next)
		group->next->prev = group->prev;
	if (group->prev)
		group->prev->next = group->next;
	else
		sys->helped = group->next;
}

void cu_run_queue_withdraw(cu_actor_system *sys, struct call_group *group)
{
	pthread_mutex_lock(&sys->run_mtx);
	if (!CU_MUTANT(WITHDRAW_LEAVES_GROUP))
		withdraw_locked(sys, group);
	pthread_mutex_unlock(&sys->run_mtx);
}

/* One share of a large call, if there is one; the lock is let go meanwhile. */
static bool help_locked(cu_actor_system *sys)
{
	struct call_share share;

	while (sys->helped && !cu_call_share_take(sys->helped, &share))
		withdraw_locked(sys, sys->helped);
	if (!sys->helped)
		return false;
	pthread_mutex_unlock(&sys->run_mtx);
	cu_call_share_run(sys, &share);
	pthread_mutex_lock(&sys->run_mtx);
	return true;
}

bool cu_run_queue_others_wait(cu_actor_system *sys)
{
	bool wait;

	pthread_mutex_lock(&sys->run_mtx);
	wait = sys->run_head != 0;
	pthread_mutex_unlock(&sys->run_mtx);
	return wait;
}

size_t cu_actor_system_run(cu_actor_system *sys)
{
	size_t runs = 0;
	uint32_t slot;

	for (;;) {
		bool got;

		pthread_mutex_lock(&sys->run_mtx);
		got = pop_locked(sys, &slot);
		pthread_mutex_unlock(&sys->run_mtx);
		if (!got)
			return runs;
		runs += cu_actor_try_run(sys, slot, 0, false);
	}
}

void *cu_run_queue_worker(void *arg)
{
	cu_actor_system *sys = arg;
	uint32_t slot;

	pthread_mutex_lock(&sys->run_mtx);
	while (!sys->run_stop) {
		if (!pop_locked(sys, &slot)) {
			if (help_locked(sys))
				continue;
			sys->run_waiting++;
			pthread_cond_wait(&sys->run_cond, &sys->run_mtx);
			sys->run_waiting--;
			continue;
		}
		pthread_mutex_unlock(&sys->run_mtx);
		cu_actor_try_run(sys, slot, 0, true);
		pthread_mutex_lock(&sys->run_mtx);
	}
	pthread_mutex_unlock(&sys->run_mtx);
	return NULL;
}

void cu_run_queue_stop(cu_actor_system *sys)
{
	pthread_mutex_lock(&sys->run_mtx);
	sys->run_stop = true;
	pthread_cond_broadcast(&sys->run_cond);
	pthread_mutex_unlock(&sys->run_mtx);
}
