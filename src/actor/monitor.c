/* monitor.c: exactly one notice per monitor.
 *
 * A monitor stands in its target's list until the target ends or the monitor is taken back; both unlink it under the
 * target's lock, so only one of them has it. The notice is the monitor itself, put into the watcher's mailbox. A
 * watcher that ends first leaves its monitors behind: they cost memory until the target ends, and are freed then.
 */
#include "actor/internal.h"

#include <stdlib.h>

/* Debug builds: each monitor is sent or taken back once, A10 of check.c. */
#ifdef CU_DEBUG
#define STAGE_MOVE(mon, to) (CU_ASSERT((mon)->stage < MONITOR_SENT), (mon)->stage = (to))
#else
#define STAGE_MOVE(mon, to) ((void)0)
#endif

static void monitor_send(cu_actor_system *sys, struct monitor *mon, const struct cu_exit_reason *reason)
{
	struct actor *watcher;

	STAGE_MOVE(mon, MONITOR_SENT);
	mon->down.reason = *reason;
	if (mon->watcher == CU_ACTOR_NONE) {
		mon->fn(&mon->down);
		free(mon);
		return;
	}
	watcher = cu_actor_lock(sys, mon->watcher);
	if (!watcher) {
		free(mon);
		return;
	}
	cu_inbox_push(watcher, &mon->node);
	if (!CU_MUTANT(NOTICE_WAKES_NOBODY))
		cu_actor_wake(sys, id_slot(mon->watcher), watcher);
	slot_unlock(sys, id_slot(mon->watcher), watcher);
}

void cu_monitors_fire(cu_actor_system *sys, struct monitor *list, const struct cu_exit_reason *reason)
{
	while (list) {
		struct monitor *mon = list;

		list = mon->next;
		monitor_send(sys, mon, reason);
	}
}

static int monitor_add(cu_actor_system *sys, cu_actor_id watcher, void (*fn)(const struct cu_down *down),
		       cu_actor_id target, void *tag, uint64_t *ret_ref)
{
	struct monitor *mon = cu_try_zalloc(sizeof *mon);
	struct cu_exit_reason reason;
	struct actor *actor;

	if (!mon)
		return CU_ENOMEM;
	mon->node = (struct node){ NULL, CU_MSG_DOWN, NODE_DOWN, &mon->down };
	mon->watcher = watcher;
	mon->fn = fn;
	mon->down.id = target;
	mon->down.tag = tag;
	mon->down.ref = 1 + atomic_fetch_add_explicit(&sys->next_ref, 1, memory_order_relaxed);
	if (ret_ref)
		*ret_ref = mon->down.ref;

	actor = cu_actor_lock(sys, target);
	if (actor) {
		if (!actor->extra)
			actor->extra = cu_try_zalloc(sizeof *actor->extra);
		if (!actor->extra) {
			slot_unlock(sys, id_slot(target), actor);
			free(mon);
			return CU_ENOMEM;
		}
		mon->next = actor->extra->monitors;
		actor->extra->monitors = mon;
		STAGE_MOVE(mon, MONITOR_LISTED);
		slot_unlock(sys, id_slot(target), actor);
		return 0;
	}
	cu_exit_reason_set(&reason, CU_EXIT_NOPROC, 0, "no such actor");
	monitor_send(sys, mon, &reason);
	return 0;
}

int cu_actor_monitor(cu_actor_system *sys, cu_actor_id watcher, cu_actor_id target, void *tag, uint64_t *ret_ref)
{
	if (!cu_actor_alive(sys, watcher))
		return CU_ENOTFOUND;
	return monitor_add(sys, watcher, NULL, target, tag, ret_ref);
}

int cu_actor_monitor_fn(cu_actor_system *sys, cu_actor_id target, void (*on_down)(const struct cu_down *down),
			void *tag, uint64_t *ret_ref)
{
	return monitor_add(sys, CU_ACTOR_NONE, on_down, target, tag, ret_ref);
}

bool cu_actor_demonitor(cu_actor_system *sys, cu_actor_id target, uint64_t ref)
{
	struct actor *actor = cu_actor_lock(sys, target);
	struct monitor **link;
	struct monitor *mon = NULL;
	bool found;

	if (!actor)
		return false;
	if (actor->extra) {
		for (link = &actor->extra->monitors; *link && (*link)->down.ref != ref; link = &(*link)->next)
			;
		mon = *link;
		if (mon) {
			if (!CU_MUTANT(DEMONITOR_LEAVES_LINK))
				*link = mon->next;
			STAGE_MOVE(mon, MONITOR_TAKEN_BACK);
		}
	}
	slot_unlock(sys, id_slot(target), actor);
	found = mon != NULL;
	free(mon);
	return found;
}
