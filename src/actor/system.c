/* system.c: an actor system: its threads and their end. */
#include "actor/internal.h"

#include "base/clock.h"
#include "base/cond.h"

#include <stdlib.h>

static void locks_init(cu_actor_system *sys)
{
	unsigned i;

	for (i = 0; i < LOTS; i++) {
		pthread_mutex_init(&sys->lots[i].mtx, NULL);
		pthread_cond_init(&sys->lots[i].cond, NULL);
	}
	pthread_mutex_init(&sys->slots_mtx, NULL);
	pthread_cond_init(&sys->slots_emptied, NULL);
	pthread_mutex_init(&sys->run_mtx, NULL);
	pthread_cond_init(&sys->run_cond, NULL);
	pthread_mutex_init(&sys->wheel_mtx, NULL);
	cu_cond_init(&sys->wheel_cond);
}

static void locks_fini(cu_actor_system *sys)
{
	unsigned i;

	for (i = 0; i < LOTS; i++) {
		pthread_mutex_destroy(&sys->lots[i].mtx);
		pthread_cond_destroy(&sys->lots[i].cond);
	}
	pthread_mutex_destroy(&sys->slots_mtx);
	pthread_cond_destroy(&sys->slots_emptied);
	pthread_mutex_destroy(&sys->run_mtx);
	pthread_cond_destroy(&sys->run_cond);
	pthread_mutex_destroy(&sys->wheel_mtx);
	pthread_cond_destroy(&sys->wheel_cond);
}

int cu_actor_system_new(const struct cu_actor_system_opts *opts, cu_actor_system **ret_sys)
{
	static const struct cu_actor_system_opts defaults = { .workers = 2 };
	cu_actor_system *sys;
	unsigned wanted;
	int rc = 0;

	if (!opts)
		opts = &defaults;
	if (opts->mailbox_max > UINT16_MAX || opts->actors_max > INT32_MAX)
		return CU_EINVAL;
	sys = aligned_alloc(_Alignof(cu_actor_system), sizeof *sys);
	if (!sys)
		return CU_ENOMEM;
	memset(sys, 0, sizeof *sys);
	sys->slots_max = opts->actors_max ? opts->actors_max : CU_ACTORS_MAX;
	sys->mailbox_max = opts->mailbox_max ? opts->mailbox_max : CU_MAILBOX_MAX;
	sys->manual_clock = opts->manual_clock;
	/* One tick is taken off, so that a deadline computed at start-up is never one the wheel has passed. */
	sys->clock_base_ms = cu_now_ms() - 2 * CU_ACTOR_TICK_MS;
	locks_init(sys);
	sys->light_unlock = cu_slot_unlock_is_light();
	/* One block more than needed: a group that is just being given back must not make the system look full. */
	rc = cu_cells_init(&sys->slots, sizeof(struct actor), sys->slots_max + CU_CELLS_BLOCK);
	if (rc < 0)
		goto out;
	sys->wheel = cu_try_zalloc(WHEEL_BUCKETS * sizeof *sys->wheel);
	sys->worker_threads = cu_try_zalloc((opts->workers + 1) * sizeof *sys->worker_threads);
	if (!sys->wheel || !sys->worker_threads) {
		rc = CU_ENOMEM;
		goto out;
	}

	wanted = opts->workers;
	while (sys->workers < wanted) {
		if (pthread_create(&sys->worker_threads[sys->workers], NULL, cu_run_queue_worker, sys) != 0) {
			rc = CU_EAGAIN;
			goto out;
		}
		sys->workers++;
	}
	if (!sys->manual_clock) {
		if (pthread_create(&sys->timer_thread, NULL, cu_wheel_thread, sys) != 0) {
			rc = CU_EAGAIN;
			goto out;
		}
		sys->timer_started = true;
	}
	*ret_sys = sys;
	sys = NULL;
out:
	cu_actor_system_free(&sys);
	return rc;
}

/* The next slot from *at on that is somebody's. */
static bool living_next(cu_actor_system *sys, uint32_t *at, cu_actor_id *ret_id)
{
	struct actor *actor;
	bool found;

	pthread_mutex_lock(&sys->slots_mtx);
	found = cu_cells_next(&sys->slots, at);
	pthread_mutex_unlock(&sys->slots_mtx);
	if (!found)
		return false;
	actor = slot_actor(sys, *at);
	slot_lock(sys, *at, actor);
	*ret_id = actor->phase == PHASE_FREE ? CU_ACTOR_NONE : id_make(*at, actor->generation);
	slot_unlock(sys, *at, actor);
	return true;
}

static void living_kill(cu_actor_system *sys)
{
	cu_actor_id id;
	uint32_t at;

	for (at = 0; living_next(sys, &at, &id); at++) {
		if (id != CU_ACTOR_NONE)
			cu_actor_kill(sys, id, NULL);
	}
	/* What other threads are running right now ends there. */
	pthread_mutex_lock(&sys->slots_mtx);
	while (atomic_load(&sys->living) > 0)
		pthread_cond_wait(&sys->slots_emptied, &sys->slots_mtx);
	pthread_mutex_unlock(&sys->slots_mtx);
}

void cu_actor_system_stop(cu_actor_system *sys)
{
	bool stopped;
	unsigned i;

	pthread_mutex_lock(&sys->slots_mtx);
	stopped = sys->stopped;
	atomic_store(&sys->stopping, true);
	sys->stopped = true;
	pthread_mutex_unlock(&sys->slots_mtx);
	if (stopped)
		return;
	cu_run_queue_stop(sys);
	cu_wheel_stop(sys);
	for (i = 0; i < sys->workers; i++)
		pthread_join(sys->worker_threads[i], NULL);
	if (sys->timer_started)
		pthread_join(sys->timer_thread, NULL);
	living_kill(sys);
}

void cu_actor_system_free(cu_actor_system **sys_at)
{
	cu_actor_system *sys = *sys_at;

	if (!sys)
		return;
	*sys_at = NULL;
	cu_actor_system_stop(sys);
#ifdef CU_DEBUG
	CU_UNSEEN(cu_actor_system_check(sys));
#endif
	cu_cells_fini(&sys->slots);
	free(sys->wheel);
	free(sys->worker_threads);
	locks_fini(sys);
	free(sys);
}

size_t cu_actor_system_count(const cu_actor_system *sys)
{
	return atomic_load_explicit(&sys->living, memory_order_relaxed);
}
