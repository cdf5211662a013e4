/* check.c: the model of an actor, and that the code keeps to it.
 *
 * Debug builds (CU_DEBUG: debug, asan, tsan) run cu_actor_check() at the end of every critical section of a slot.
 * Since no field of an actor but its state changes outside of one, that is after every transition. Release builds
 * have none of it, but for cu_actor_system_check(), which soak and simulation call when all is quiet.
 *
 * The legal moves, as they can be seen from one critical section to the next:
 *
 *   from \ to  FREE  IDLE  QUEUED  RUNNING  EXITING
 *   FREE         ·     -      -       S        -       S start
 *   IDLE         -     ·      M       T        K       M message or call, T idle timer, K kill
 *   QUEUED       -     -      ·       C        K       C claimed by a worker or a caller
 *   RUNNING      -     I      Y       ·        E       I inbox empty, Y gives others a turn, E end, kill, suspend
 *   EXITING      R     -      -       -        ·       R retire: the generation grows, and only here
 *
 * What holds in each phase (the numbers stand at the assertions):
 *
 *   A1  FREE: no behaviour, state, inbox, extra or timer; the generation is that of the next life.
 *   A2  Not FREE: a behaviour and a generation; the generation is the same until FREE.
 *   A3  IDLE: the inbox is empty, it has not been killed, and it stands in the wheel if its policy has a period:
 *       nothing is ever forgotten by an actor that nobody is going to run.
 *   A4  QUEUED: the inbox is not empty and it has not been killed.
 *   A5  Killed: only while RUNNING or EXITING.
 *   A6  inbox_sends is the number of sends in the inbox, and at most mailbox_max.
 *   A7  CALLED if and only if a call stands in the inbox: a caller's wait always has somebody who answers.
 *   A8  Not ARMED: not linked in the wheel.
 *   A9  Every monitor in the list is LISTED, watches this very id, and has not been sent or taken back.
 *   A10 A call is finished exactly once, a monitor sent or taken back exactly once (asserted in call.c, monitor.c).
 *
 * And of the whole system, when nobody is inside (cu_actor_system_check):
 *
 *   S1  A slot is taken if and only if it is not FREE; living counts those.
 *   S2  The wheel: each link is mutual, stands in the bucket of its tick, belongs to an ARMED actor; the sum is
 *       wheel_count.
 *   S3  The run queue: each entry once, marked so, the tail is the last.
 */
#include "actor/internal.h"

#ifdef CU_DEBUG

#define SCAN_MAX 64u /* nodes of an inbox or list that are looked at: the check stays O(1) */

static bool move_is_legal(unsigned from, unsigned to)
{
	static const uint8_t moves[] = {
		[PHASE_FREE] = 1 << PHASE_RUNNING,
		[PHASE_IDLE] = 1 << PHASE_QUEUED | 1 << PHASE_RUNNING | 1 << PHASE_EXITING,
		[PHASE_QUEUED] = 1 << PHASE_RUNNING | 1 << PHASE_EXITING,
		[PHASE_RUNNING] = 1 << PHASE_IDLE | 1 << PHASE_QUEUED | 1 << PHASE_EXITING,
		[PHASE_EXITING] = 1 << PHASE_FREE,
	};

	return from == to || moves[from] & 1 << to;
}

static void inbox_check(const cu_actor_system *sys, const struct actor *actor)
{
	const struct node *node = actor->inbox;
	unsigned sends = 0;
	unsigned calls = 0;
	unsigned seen = 0;

	CU_ASSERT(actor->inbox_sends <= sys->mailbox_max); /* A6 */
	if (!node) {
		CU_ASSERT(actor->inbox_sends == 0 && !(actor->flags & ACTOR_CALLED));
		return;
	}
	do {
		node = node->next;
		CU_ASSERT(node);
		sends += node->kind == NODE_SEND;
		calls += node->kind == NODE_CALL;
	} while (node != actor->inbox && ++seen < SCAN_MAX);
	if (node != actor->inbox)
		return;
	CU_ASSERT(sends == actor->inbox_sends);                     /* A6 */
	CU_ASSERT((calls != 0) == !!(actor->flags & ACTOR_CALLED)); /* A7 */
}

static void monitors_check(const struct actor *actor, uint32_t slot)
{
	const struct monitor *mon = actor->extra ? actor->extra->monitors : NULL;
	unsigned seen;

	for (seen = 0; mon && seen < SCAN_MAX; seen++, mon = mon->next)
		CU_ASSERT(mon->stage == MONITOR_LISTED && mon->down.id == id_make(slot, actor->generation)); /* A9 */
}

void cu_actor_check(cu_actor_system *sys, uint32_t slot)
{
	struct actor *actor = slot_actor(sys, slot);
	bool killed;

	CU_ASSERT(actor);
	killed = atomic_load_explicit(&actor->killed, memory_order_relaxed);
	CU_ASSERT(move_is_legal(actor->checked_phase, actor->phase));
	if (actor->checked_phase == PHASE_EXITING && actor->phase == PHASE_FREE)
		CU_ASSERT(actor->generation ==
			  (actor->checked_generation == UINT32_MAX ? 1 : actor->checked_generation + 1));
	else if (actor->checked_phase != PHASE_FREE)
		CU_ASSERT(actor->generation == actor->checked_generation); /* A2 */
	actor->checked_phase = actor->phase;
	actor->checked_generation = actor->generation;

	if (actor->phase == PHASE_FREE) {
		CU_ASSERT(!actor->behaviour && !actor->state && !actor->inbox && !actor->extra); /* A1 */
		CU_ASSERT(!(actor->flags & ACTOR_ARMED));
	} else {
		CU_ASSERT(actor->behaviour && actor->generation); /* A2 */
	}
	if (actor->phase == PHASE_IDLE)
		CU_ASSERT(!actor->inbox && (!cu_wheel_period(actor) || actor->flags & ACTOR_ARMED)); /* A3 */
	if (actor->phase == PHASE_QUEUED)
		CU_ASSERT(actor->inbox); /* A4 */
	if (killed && actor->phase != PHASE_FREE)
		CU_ASSERT(actor->phase == PHASE_RUNNING || actor->phase == PHASE_EXITING); /* A5 */
	if (!(actor->flags & ACTOR_ARMED))
		CU_ASSERT(!actor->wheel_bucket); /* A8 */
	inbox_check(sys, actor);
	monitors_check(actor, slot);
}

#endif

static void wheel_check(cu_actor_system *sys)
{
	size_t linked = 0;
	uint32_t bucket;

	pthread_mutex_lock(&sys->wheel_mtx);
	for (bucket = 0; bucket < WHEEL_BUCKETS; bucket++) {
		uint32_t prev = 0;
		uint32_t at;

		for (at = sys->wheel[bucket]; at; prev = at, at = slot_actor(sys, at - 1)->wheel_next) {
			const struct actor *actor = slot_actor(sys, at - 1);

			CU_ASSERT(actor->wheel_bucket == bucket + 1 && actor->wheel_prev == prev); /* S2 */
			CU_ASSERT(actor->flags & ACTOR_ARMED);
			CU_ASSERT(++linked <= sys->wheel_count);
		}
	}
	CU_ASSERT(linked == sys->wheel_count);
	pthread_mutex_unlock(&sys->wheel_mtx);
}

static void run_queue_check(cu_actor_system *sys)
{
	uint32_t slots = sys->slots.blocks_used * CU_CELLS_BLOCK;
	uint32_t seen = 0;
	uint32_t last = 0;
	uint32_t at;

	pthread_mutex_lock(&sys->run_mtx);
	for (at = sys->run_head; at && at != RUN_LAST; at = slot_actor(sys, at - 1)->run_next) {
		CU_ASSERT(slot_actor(sys, at - 1)->run_next && ++seen <= slots); /* S3 */
		last = at;
	}
	CU_ASSERT(sys->run_tail == last);
	pthread_mutex_unlock(&sys->run_mtx);
}

void cu_actor_system_check(cu_actor_system *sys)
{
	uint32_t slots = sys->slots.blocks_used * CU_CELLS_BLOCK;
	size_t living = 0;
	uint32_t slot;

	for (slot = 0; slot < slots; slot++) {
		struct actor *actor = slot_actor(sys, slot);

		slot_lock(sys, slot, actor);
		CU_ASSERT((actor->phase != PHASE_FREE) == cu_cells_taken(&sys->slots, slot)); /* S1 */
		living += actor->phase != PHASE_FREE;
		slot_unlock(sys, slot, actor);
	}
	CU_ASSERT(living == atomic_load(&sys->living));
	if (sys->wheel) /* its start may have failed */
		wheel_check(sys);
	run_queue_check(sys);
}
