/* run_queue.c: actors that wait for a worker, as a list of slots.
 *
 * An entry is a hint, not a promise: the actor may have been run by a caller or have ended since. A worker that finds
 * its phase other than QUEUED passes on, so nobody ever has to search the queue to take something out.
 */
#include "actor/internal.h"

static void push_locked(cu_actor_system *sys, uint32_t slot)
{
	struct actor *actor = slot_actor(sys, slot);

	if (!actor || actor->in_run_queue)
		return;
	actor->in_run_queue = 1;
	actor->run_next = 0;
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
	sys->run_head = actor->run_next;
	if (!sys->run_head)
		sys->run_tail = 0;
	actor->in_run_queue = 0;
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

void cu_run_queue_push_many(cu_actor_system *sys, const struct cu_actor_call *calls, size_t count)
{
	pthread_mutex_lock(&sys->run_mtx);
	while (count--) {
		if (calls[count].id != CU_ACTOR_NONE)
			push_locked(sys, id_slot(calls[count].id));
	}
	if (sys->run_waiting)
		pthread_cond_broadcast(&sys->run_cond);
	pthread_mutex_unlock(&sys->run_mtx);
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
