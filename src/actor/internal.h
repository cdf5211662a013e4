/* internal.h: what the files of src/actor share. Nobody else includes it.
 *
 * Locks, and the only order in which two may be held: stripe → run queue, stripe → wheel. The slot list's lock and a
 * call group's lock are taken alone. No callback runs under any of them.
 *
 * An actor's slot is never given back to the heap while the system lives, so an id can be looked at without holding
 * anything: its slot exists, and the generation says whether it is still the same actor.
 */
#ifndef CU_ACTOR_INTERNAL_H
#define CU_ACTOR_INTERNAL_H

#include "base/base.h"
#include "base/limits.h"
#include "base/mutant.h"
#include "copper/actor.h"

#include <pthread.h>
#include <stdatomic.h>

#define SLAB_SLOTS 1024u
#define STRIPES 64u
#define WHEEL_BUCKETS 4096u /* with 100 ms ticks one turn is 410 s; later deadlines stay for another turn */

/*            start            message           claimed
 *   FREE ──► RUNNING ──► IDLE ───────► QUEUED ──────────► RUNNING ──► IDLE
 *                          └──── idle timer, single call ────┘  │
 *   FREE ◄── EXITING ◄──────── end, kill, suspend ──────────────┘
 *
 * RUNNING and EXITING have one owner, the thread that set them; the state is that thread's alone. */
enum phase { PHASE_FREE, PHASE_IDLE, PHASE_QUEUED, PHASE_RUNNING, PHASE_EXITING };

enum {
	ACTOR_HIBERNATED = 1,
	ACTOR_ARMED = 2,    /* the wheel will look at it */
	ACTOR_SUSPENDS = 4, /* its idle policy lets it suspend */
	/* There is a call in the inbox. Its caller has looked already whether it can run the actor itself, so whoever
	 * runs it now may not leave it to the run queue: with every worker waiting in a call, nobody would come. */
	ACTOR_CALLED = 8
};

enum node_kind { NODE_SEND, NODE_CALL, NODE_DOWN };

/* A message in a mailbox, the head of send_node, call_node and monitor. */
struct node {
	struct node *next;
	uint32_t type;
	uint32_t kind;
	void *payload;
};

struct send_node {
	struct node node;
	void (*drop)(void *payload);
};

struct call_group;

struct call_node { /* lives in cu_actor_call.priv */
	struct node node;
	struct call_group *group;
#ifdef CU_DEBUG
	bool finished;
#endif
};

#ifdef CU_DEBUG
enum monitor_stage { MONITOR_NEW, MONITOR_LISTED, MONITOR_SENT, MONITOR_TAKEN_BACK };
#endif

struct monitor {
	struct node node;     /* the notice; sent without an allocation, so it cannot be refused */
	struct monitor *next; /* in the target's list, under its stripe */
	cu_actor_id watcher;  /* CU_ACTOR_NONE: fn */
	void (*fn)(const struct cu_down *down);
	struct cu_down down;
#ifdef CU_DEBUG
	enum monitor_stage stage;
#endif
};

/* What few actors have. Under the stripe. */
struct extra {
	struct monitor *monitors;
	struct cu_exit_reason kill_reason;
};

struct actor {
	/* under the stripe; state and behaviour are also read by the owner of RUNNING or EXITING */
	void *state;
	const struct cu_behaviour *behaviour;
	struct node *inbox; /* the last one; circular */
	struct extra *extra;
	uint32_t generation;  /* never 0; also stable under the wheel's lock while wheel_linked */
	uint32_t active_tick; /* last activity, or when hibernation began */
	uint32_t first_ticks; /* idle policy; 0: none */
	uint32_t suspend_ticks;
	uint16_t inbox_sends; /* <= mailbox_max */
	uint8_t phase;
	uint8_t flags;
	atomic_uchar killed; /* set under the stripe, peeked at by the owner between two messages */

	/* under the run queue's lock */
	uint8_t in_run_queue;

	/* under the wheel's lock */
	uint8_t wheel_linked;
	uint32_t run_next;   /* run queue's lock; slot + 1 */
	uint32_t wheel_prev; /* slot + 1 */
	uint32_t wheel_next; /* slot + 1; in a FREE slot the next free one (slot list's lock) */
	uint32_t wheel_at;   /* tick */

#ifdef CU_DEBUG
	/* what check.c saw last, under the stripe */
	uint32_t checked_generation;
	uint8_t checked_phase;
#endif
};
#ifndef CU_DEBUG
_Static_assert(sizeof(struct actor) <= 80, "an idle actor stays small");
#endif

struct stripe {
	_Alignas(64) pthread_mutex_t mtx;
};

struct cu_actor_system {
	/* set once */
	unsigned workers;
	uint32_t slots_max;
	uint32_t mailbox_max;
	bool manual_clock;
	uint64_t clock_base_ms;
	pthread_t *worker_threads;
	pthread_t timer_thread;
	bool timer_started;
	_Atomic(struct actor *) *slabs; /* slots_max / SLAB_SLOTS, each set once */
	struct stripe stripes[STRIPES];

	atomic_uint_fast64_t manual_ms;
	atomic_uint_fast64_t next_ref;
	atomic_size_t living;
	atomic_bool stopping; /* set under slots_mtx; no slot opens once it is seen under the slot's stripe */

	/* slot list */
	pthread_mutex_t slots_mtx;
	pthread_cond_t slots_emptied; /* living became 0 while stopping */
	uint32_t slots_used;          /* slots ever handed out */
	uint32_t slots_free;          /* slot + 1 */
	bool stopped;

	/* run queue */
	pthread_mutex_t run_mtx;
	pthread_cond_t run_cond;
	uint32_t run_head, run_tail; /* slot + 1 */
	unsigned run_waiting;        /* workers in cond_wait */
	bool run_stop;

	/* wheel */
	pthread_mutex_t wheel_mtx;
	pthread_cond_t wheel_cond;
	uint32_t wheel_tick; /* every bucket up to this tick has been looked at */
	size_t wheel_count;
	bool wheel_stop;
	uint32_t *wheel; /* WHEEL_BUCKETS, slot + 1 */
};

struct cu_actor_ctx {
	cu_actor_system *sys;
	struct actor *actor;
	cu_actor_id id;
	struct call_node *call; /* being handled and not answered yet */
	struct cu_exit_reason reason;
};

static inline uint32_t id_slot(cu_actor_id id)
{
	return (uint32_t)id;
}

static inline cu_actor_id id_make(uint32_t slot, uint32_t generation)
{
	return (uint64_t)generation << 32 | slot;
}

static inline struct actor *slot_actor(cu_actor_system *sys, uint32_t slot)
{
	struct actor *slab;

	if (slot >= sys->slots_max)
		return NULL;
	slab = atomic_load_explicit(&sys->slabs[slot / SLAB_SLOTS], memory_order_acquire);
	return slab ? &slab[slot % SLAB_SLOTS] : NULL;
}

static inline void stripe_lock(cu_actor_system *sys, uint32_t slot)
{
	pthread_mutex_lock(&sys->stripes[slot % STRIPES].mtx);
}

/* check.c: the model and its invariants. */
void cu_actor_system_check(cu_actor_system *sys); /* when nobody is inside; any build */
#ifdef CU_DEBUG
void cu_actor_check(cu_actor_system *sys, uint32_t slot); /* stripe held */
#else
static inline void cu_actor_check(cu_actor_system *sys, uint32_t slot)
{
	(void)sys;
	(void)slot;
}
#endif

static inline void stripe_unlock(cu_actor_system *sys, uint32_t slot)
{
	cu_actor_check(sys, slot);
	pthread_mutex_unlock(&sys->stripes[slot % STRIPES].mtx);
}

/* Locks the stripe of a living actor and returns it; NULL, nothing locked, when the id is dead. */
struct actor *cu_actor_lock(cu_actor_system *sys, cu_actor_id id);

/* actor.c */
void cu_inbox_push(struct actor *actor, struct node *node); /* stripe held */
/* stripe held: IDLE → QUEUED for a worker */
void cu_actor_wake(cu_actor_system *sys, uint32_t slot, struct actor *actor);
/* The caller has made it RUNNING. on_worker: give others a turn after a while. */
void cu_actor_run(cu_actor_system *sys, struct actor *actor, cu_actor_id id, bool on_worker);
/* Runs the actor if it is QUEUED; true if it did. generation 0: whichever lives there. */
bool cu_actor_try_run(cu_actor_system *sys, uint32_t slot, uint32_t generation, bool on_worker);
/* The caller has made it EXITING. rest: taken messages that will not be handled. */
void cu_actor_die(struct cu_actor_ctx *ctx, struct node *rest, const struct cu_exit_reason *reason);

/* call.c */
void cu_call_finish(struct call_node *call, const struct cu_exit_reason *why_not);

/* monitor.c */
void cu_monitors_fire(cu_actor_system *sys, struct monitor *list, const struct cu_exit_reason *reason);

/* run_queue.c */
void cu_run_queue_push(cu_actor_system *sys, uint32_t slot); /* any lock but the wheel's may be held */
void cu_run_queue_push_many(cu_actor_system *sys, const struct cu_actor_call *calls, size_t count);
bool cu_run_queue_others_wait(cu_actor_system *sys);
void *cu_run_queue_worker(void *arg);
void cu_run_queue_stop(cu_actor_system *sys);

/* wheel.c */
uint32_t cu_wheel_now(const cu_actor_system *sys);
/* How long it may stay as it is; 0: for ever. Stripe held. */
uint32_t cu_wheel_period(const struct actor *actor);
void cu_wheel_arm(cu_actor_system *sys, uint32_t slot, struct actor *actor); /* stripe held */
void cu_wheel_disarm(cu_actor_system *sys, struct actor *actor);             /* stripe held */
void *cu_wheel_thread(void *arg);
void cu_wheel_stop(cu_actor_system *sys);

#endif
