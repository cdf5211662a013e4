/* slots.c: the slots of actors: their locks, who gets a free one, and how the memory of 64 free ones goes back.
 *
 * A slot's lock is a byte within the actor, so that two threads working on different actors share no cache line and
 * touching an actor costs one miss. Whoever finds it taken looks again for a moment, then waits in a lot: one of 64
 * pairs of mutex and condition, by slot.
 *
 * Taking the lock is one atomic instruction, letting go none: a plain store, then a look whether anybody waits. The
 * processor may do the look first. So a waiter, who is rare, pays for both: having counted itself it runs a barrier on
 * every processor (membarrier), and after that looks at the byte. Whoever had let go before the barrier is seen, whoever
 * does so after it sees the waiter. Where the kernel has no membarrier, letting go is an atomic exchange.
 *
 * Giving back a group: nobody can get a slot of it (cu_cells_give has set it aside), but somebody with an old id may
 * still come and look. So all 64 locks are taken first. None is ever let go: the wipe makes them 0, which is free, and
 * whoever has come meanwhile waits in a lot and is woken to look again. What must outlive the wipe is the generation:
 * the highest one is noted for the group, and every slot of it goes on from there.
 */
#include "actor/internal.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef LOOKS_MAX      /* in the simulation nobody lets go meanwhile */
#define LOOKS_MAX 100u /* about as long as a holder needs */
#endif

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static bool lock_try(struct actor *actor)
{
	unsigned char seen = 0;

	return atomic_compare_exchange_strong_explicit(&actor->lock, &seen, 1, memory_order_seq_cst,
						       memory_order_seq_cst);
}

bool cu_slot_unlock_is_light(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void cu_slot_lock_wait(cu_actor_system *sys, uint32_t slot, struct actor *actor)
{
	struct lot *lot = &sys->lots[slot % LOTS];
	unsigned looks;

	for (looks = 0; looks < LOOKS_MAX; looks++) {
		if (atomic_load_explicit(&actor->lock, memory_order_relaxed) == 0 && lock_try(actor))
			return;
		relax();
	}
	atomic_fetch_add_explicit(&sys->lock_waiters, 1, memory_order_seq_cst);
	if (sys->light_unlock)
		(void)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	pthread_mutex_lock(&lot->mtx);
	while (!lock_try(actor))
		pthread_cond_wait(&lot->cond, &lot->mtx);
	pthread_mutex_unlock(&lot->mtx);
	atomic_fetch_sub_explicit(&sys->lock_waiters, 1, memory_order_relaxed);
}

void cu_slot_lock_wake(cu_actor_system *sys, uint32_t slot)
{
	struct lot *lot = &sys->lots[slot % LOTS];

	/* The mutex: between a waiter's look at the byte and its wait nobody may broadcast. */
	pthread_mutex_lock(&lot->mtx);
	pthread_cond_broadcast(&lot->cond);
	pthread_mutex_unlock(&lot->mtx);
}

int cu_slot_claim(cu_actor_system *sys, struct cu_actor_ctx *ret_ctx, uint32_t *ret_generation)
{
	uint32_t slot;
	int rc;

	pthread_mutex_lock(&sys->slots_mtx);
	if (atomic_load_explicit(&sys->stopping, memory_order_relaxed)) {
		rc = CU_ECLOSED;
		goto out;
	}
	if (atomic_load_explicit(&sys->living, memory_order_relaxed) >= sys->slots_max) {
		rc = CU_EFULL;
		goto out;
	}
	rc = cu_cells_take(&sys->slots, &slot);
	if (rc < 0)
		goto out;
	atomic_fetch_add_explicit(&sys->living, 1, memory_order_relaxed);
	*ret_generation = CU_MAX(*cu_cells_note(&sys->slots, slot), 1u);
	ret_ctx->sys = sys;
	ret_ctx->actor = slot_actor(sys, slot);
	ret_ctx->id = slot;
out:
	pthread_mutex_unlock(&sys->slots_mtx);
	return rc;
}

/* All locks of the group are held. True: none of its slots stands in the run queue, so none ever will. */
static bool group_is_quiet(cu_actor_system *sys, const struct actor *group)
{
	bool quiet = true;
	unsigned i;

	pthread_mutex_lock(&sys->run_mtx);
	for (i = 0; i < CU_CELLS_GROUP; i++)
		quiet = quiet && !group[i].run_next;
	pthread_mutex_unlock(&sys->run_mtx);
	return quiet;
}

static void group_wipe(cu_actor_system *sys, uint32_t slot)
{
	uint32_t first = slot - slot % CU_CELLS_GROUP;
	struct actor *group = slot_actor(sys, first);
	uint32_t generation = 0;
	bool wiped;
	bool wake;
	uint32_t i;

	for (i = 0; i < CU_CELLS_GROUP; i++) {
		slot_lock(sys, first + i, &group[i]);
		CU_ASSERT(group[i].phase == PHASE_FREE);
		generation = CU_MAX(generation, group[i].generation);
	}
	wiped = group_is_quiet(sys, group) && cu_cells_wipe(&sys->slots, first);
	/* The addition of nothing is a barrier: what has been wiped counts as let go. */
	wake = wiped && atomic_fetch_add_explicit(&sys->lock_waiters, 0, memory_order_seq_cst);
	for (i = 0; i < CU_CELLS_GROUP; i++) {
		if (wake)
			cu_slot_lock_wake(sys, first + i);
		else if (!wiped)
			slot_unlock(sys, first + i, &group[i]);
	}
	pthread_mutex_lock(&sys->slots_mtx);
	if (!CU_MUTANT(WIPE_FORGETS_GENERATION))
		*cu_cells_note(&sys->slots, first) = generation;
	cu_cells_return(&sys->slots, first, wiped);
	pthread_mutex_unlock(&sys->slots_mtx);
}

void cu_slot_release(cu_actor_system *sys, uint32_t slot)
{
	bool stopping;
	bool wipe;

	pthread_mutex_lock(&sys->slots_mtx);
	wipe = cu_cells_give(&sys->slots, slot);
	stopping = atomic_load_explicit(&sys->stopping, memory_order_relaxed);
	/* While stopping, `living` is what cu_actor_system_stop() waits for: nothing is touched after it became 0. */
	if (wipe && stopping) {
		cu_cells_return(&sys->slots, slot, false);
		wipe = false;
	}
	if (atomic_fetch_sub_explicit(&sys->living, 1, memory_order_relaxed) == 1)
		pthread_cond_broadcast(&sys->slots_emptied);
	pthread_mutex_unlock(&sys->slots_mtx);
	if (wipe)
		group_wipe(sys, slot);
}
