/* wheel.c: the idle timers of all actors: one hashed timing wheel.
 *
 * A message does not touch the wheel: it only moves the actor's active_tick. When a bucket comes up, whoever has been
 * active meanwhile is put back at its new deadline. ACTOR_ARMED (under the slot's lock) says that the wheel will look at
 * the actor; wheel_bucket (under the wheel's lock) that it stands in a bucket right now. Between the two lies the
 * moment in which the wheel has taken it out and waits for its lock.
 */
#include "actor/internal.h"

#include "base/clock.h"
#include "base/cond.h"

#include <errno.h>
#include <time.h>

#define FIRE_BATCH 32u /* actors unlinked at once: whoever wants to arm a timer waits that long, some microseconds */

static uint64_t clock_coarse_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

uint32_t cu_wheel_now(const cu_actor_system *sys)
{
	uint64_t now_ms = sys->manual_clock ? atomic_load_explicit(&sys->manual_ms, memory_order_relaxed)
					    : clock_coarse_ms() - sys->clock_base_ms;

	return (uint32_t)(now_ms / CU_ACTOR_TICK_MS);
}

/* A number of ticks in 16 bits: exact below 2048 (204 s), above in steps of at most a thousandth, rounded up. */
static uint16_t ticks_pack(uint32_t ms)
{
	uint32_t ticks = ms / CU_ACTOR_TICK_MS + (ms % CU_ACTOR_TICK_MS != 0);
	uint32_t shift = 0;

	while (ticks >= 4096) {
		ticks = (ticks + 1) / 2;
		shift++;
	}
	return (uint16_t)(ticks < 2048 ? ticks : (shift + 1) << 11 | (ticks - 2048));
}

static uint32_t ticks_unpack(uint16_t packed)
{
	return packed < 2048 ? packed : (2048u | (packed & 2047u)) << ((packed >> 11) - 1);
}

static void link_locked(cu_actor_system *sys, uint32_t slot, struct actor *actor, uint32_t at)
{
	uint32_t bucket;

	/* A bucket that has been looked at comes up again only a turn later, and so does the one that is being looked at.
	 * A deadline beyond this turn is looked at early and put back. */
	if ((int32_t)(at - sys->wheel_tick) <= 0)
		at = sys->wheel_tick + 1;
	else if (at - sys->wheel_tick >= WHEEL_BUCKETS)
		at = sys->wheel_tick + WHEEL_BUCKETS - 1;
	bucket = at % WHEEL_BUCKETS;
	actor->wheel_bucket = (uint16_t)(bucket + 1);
	actor->wheel_prev = 0;
	actor->wheel_next = sys->wheel[bucket];
	if (actor->wheel_next)
		slot_actor(sys, actor->wheel_next - 1)->wheel_prev = slot + 1;
	sys->wheel[bucket] = slot + 1;
	sys->wheel_count++;
}

static void unlink_locked(cu_actor_system *sys, struct actor *actor)
{
	if (actor->wheel_next)
		slot_actor(sys, actor->wheel_next - 1)->wheel_prev = actor->wheel_prev;
	if (actor->wheel_prev)
		slot_actor(sys, actor->wheel_prev - 1)->wheel_next = actor->wheel_next;
	else
		sys->wheel[actor->wheel_bucket - 1] = actor->wheel_next;
	actor->wheel_bucket = 0;
	sys->wheel_count--;
}

uint32_t cu_wheel_period(const struct actor *actor)
{
	/* Without a first time there is no second one: the policy may have been replaced while the actor was being put
	 * to sleep (found by the simulation). */
	if (!(actor->flags & ACTOR_HIBERNATED) || !actor->first_ticks)
		return ticks_unpack(actor->first_ticks);
	if (!(actor->flags & ACTOR_SUSPENDS))
		return 0;
	return ticks_unpack(actor->suspend_ticks ? actor->suspend_ticks : actor->first_ticks);
}

void cu_wheel_arm(cu_actor_system *sys, uint32_t slot, struct actor *actor)
{
	uint32_t period = cu_wheel_period(actor);

	if (actor->flags & ACTOR_ARMED || !period)
		return;
	actor->flags |= ACTOR_ARMED;
	pthread_mutex_lock(&sys->wheel_mtx);
	if (sys->wheel_count == 0)
		pthread_cond_signal(&sys->wheel_cond);
	link_locked(sys, slot, actor, actor->active_tick + period);
	pthread_mutex_unlock(&sys->wheel_mtx);
}

void cu_wheel_disarm(cu_actor_system *sys, struct actor *actor)
{
	if (!(actor->flags & ACTOR_ARMED))
		return;
	actor->flags &= (uint8_t)~ACTOR_ARMED;
	pthread_mutex_lock(&sys->wheel_mtx);
	if (actor->wheel_bucket)
		unlink_locked(sys, actor);
	pthread_mutex_unlock(&sys->wheel_mtx);
}

/* The actor agreed to go. True: it is EXITING; false: something came in meanwhile, it stays. */
static bool suspend_commit(cu_actor_system *sys, struct actor *actor, cu_actor_id id)
{
	bool go;

	slot_lock(sys, id_slot(id), actor);
	go = (!actor->inbox || CU_MUTANT(SUSPEND_WITH_INBOX)) &&
	     !atomic_load_explicit(&actor->killed, memory_order_relaxed) &&
	     actor->flags & ACTOR_SUSPENDS; /* a new policy may have come in meanwhile, too */
	if (go)
		actor->phase = PHASE_EXITING;
	else
		actor->active_tick = cu_wheel_now(sys);
	slot_unlock(sys, id_slot(id), actor);
	return go;
}

/* The actor is RUNNING, ours, and has been idle for its period. */
static void idle_step(cu_actor_system *sys, struct actor *actor, cu_actor_id id, bool suspends, bool hibernates)
{
	if (suspends) {
		bool may = actor->behaviour->may_suspend && actor->behaviour->may_suspend(actor->state);

		if (may && suspend_commit(sys, actor, id)) {
			struct cu_actor_ctx ctx = { .sys = sys, .actor = actor, .id = id };
			struct cu_exit_reason reason;

			cu_exit_reason_set(&reason, CU_EXIT_SUSPEND, 0, "idle");
			cu_actor_die(&ctx, NULL, &reason);
			return;
		}
		/* It stays: at least its buffers go, unless it is wanted again. */
		hibernates = hibernates && !may;
	}
	if (hibernates && actor->behaviour->on_hibernate)
		actor->behaviour->on_hibernate(actor->state);
	slot_lock(sys, id_slot(id), actor);
	if (hibernates)
		actor->flags |= ACTOR_HIBERNATED;
	actor->active_tick = cu_wheel_now(sys);
	slot_unlock(sys, id_slot(id), actor);
	cu_actor_run(sys, actor, id, NULL, false);
}

static void fire(cu_actor_system *sys, cu_actor_id id)
{
	struct actor *actor = cu_actor_lock(sys, id);
	uint32_t slot = id_slot(id);
	uint32_t period;
	bool hibernated;
	bool suspends;

	if (!actor)
		return;
	cu_wheel_disarm(sys, actor);
	period = cu_wheel_period(actor);
	if (actor->phase != PHASE_IDLE || !period) {
		slot_unlock(sys, slot, actor); /* going idle arms it again */
		return;
	}
	if ((int32_t)(actor->active_tick + period - cu_wheel_now(sys)) > 0) {
		cu_wheel_arm(sys, slot, actor);
		slot_unlock(sys, slot, actor);
		return;
	}
	hibernated = actor->flags & ACTOR_HIBERNATED;
	suspends = actor->flags & ACTOR_SUSPENDS && (hibernated || !actor->suspend_ticks);
	actor->phase = PHASE_RUNNING;
	slot_unlock(sys, slot, actor);
	idle_step(sys, actor, id, suspends, !hibernated);
}

/* Nobody is put into this bucket meanwhile (link_locked), so it ends. */
static void bucket_fire(cu_actor_system *sys, uint32_t tick)
{
	cu_actor_id due[FIRE_BATCH];
	size_t count;
	size_t i;

	do {
		uint32_t *head = &sys->wheel[tick % WHEEL_BUCKETS];

		count = 0;
		pthread_mutex_lock(&sys->wheel_mtx);
		while (*head && count < FIRE_BATCH) {
			uint32_t slot = *head - 1;
			struct actor *actor = slot_actor(sys, slot);

			unlink_locked(sys, actor);
			due[count++] = id_make(slot, actor->generation);
		}
		pthread_mutex_unlock(&sys->wheel_mtx);
		for (i = 0; i < count; i++)
			fire(sys, due[i]);
	} while (count == FIRE_BATCH);
}

/* Looks at every bucket up to now_tick, each once however long the wheel has stood still. A tick at a time: what is put
 * back meanwhile lands in a later bucket than the one that is being looked at. */
static void wheel_advance(cu_actor_system *sys, uint32_t now_tick)
{
	uint32_t tick;
	bool more;

	pthread_mutex_lock(&sys->wheel_mtx);
	if ((int32_t)(now_tick - sys->wheel_tick) > (int32_t)WHEEL_BUCKETS)
		sys->wheel_tick = now_tick - WHEEL_BUCKETS;
	pthread_mutex_unlock(&sys->wheel_mtx);
	do {
		pthread_mutex_lock(&sys->wheel_mtx);
		more = (int32_t)(now_tick - sys->wheel_tick) > 0;
		tick = more ? ++sys->wheel_tick : 0;
		pthread_mutex_unlock(&sys->wheel_mtx);
		if (more)
			bucket_fire(sys, tick);
	} while (more);
}

void cu_actor_system_tick(cu_actor_system *sys, uint64_t now_ms)
{
	CU_ASSERT(sys->manual_clock);
	CU_ASSERT(now_ms >= atomic_load(&sys->manual_ms));
	atomic_store(&sys->manual_ms, now_ms);
	wheel_advance(sys, cu_wheel_now(sys));
}

void *cu_wheel_thread(void *arg)
{
	cu_actor_system *sys = arg;

	pthread_mutex_lock(&sys->wheel_mtx);
	while (!sys->wheel_stop) {
		struct timespec until;

		if (sys->wheel_count == 0) {
			pthread_cond_wait(&sys->wheel_cond, &sys->wheel_mtx);
			continue;
		}
		until = cu_until_ns(cu_now_ns() + CU_ACTOR_TICK_MS * 1000000ull);
		while (!sys->wheel_stop &&
		       pthread_cond_timedwait(&sys->wheel_cond, &sys->wheel_mtx, &until) != ETIMEDOUT)
			;
		if (sys->wheel_stop)
			break;
		pthread_mutex_unlock(&sys->wheel_mtx);
		wheel_advance(sys, cu_wheel_now(sys));
		pthread_mutex_lock(&sys->wheel_mtx);
	}
	pthread_mutex_unlock(&sys->wheel_mtx);
	return NULL;
}

void cu_wheel_stop(cu_actor_system *sys)
{
	pthread_mutex_lock(&sys->wheel_mtx);
	sys->wheel_stop = true;
	pthread_cond_broadcast(&sys->wheel_cond);
	pthread_mutex_unlock(&sys->wheel_mtx);
}

int cu_actor_set_idle(cu_actor_system *sys, cu_actor_id id, const struct cu_idle_policy *policy)
{
	struct actor *actor = cu_actor_lock(sys, id);

	if (!actor)
		return CU_ENOTFOUND;
	cu_wheel_disarm(sys, actor);
	actor->first_ticks = ticks_pack(policy->hibernate_after_ms);
	actor->suspend_ticks = ticks_pack(policy->suspend_after_ms);
	actor->flags &= (uint8_t) ~(ACTOR_HIBERNATED | ACTOR_SUSPENDS);
	if (policy->suspend)
		actor->flags |= ACTOR_SUSPENDS;
	actor->active_tick = cu_wheel_now(sys);
	if (actor->phase == PHASE_IDLE)
		cu_wheel_arm(sys, id_slot(id), actor);
	slot_unlock(sys, id_slot(id), actor);
	return 0;
}
