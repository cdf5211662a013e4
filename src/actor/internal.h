/* internal.h: what the files of src/actor share. Nobody else includes it.
 *
 * Locks, and the only order in which two may be held: slot → run queue, slot → wheel. The slot list's lock and a
 * call group's lock are taken alone. No callback runs under any of them. Only slots.c holds the locks of several slots
 * at once: of free ones, which nobody holds for long.
 *
 * An actor's slot stays mapped while the system lives, so an id can be looked at without holding anything: its slot
 * exists, and the generation says whether it is still the same actor. The memory of 64 free slots may have been given
 * back: then they are zero, which is FREE, and their next generations start behind all earlier ones.
 */
#ifndef CU_ACTOR_INTERNAL_H
#define CU_ACTOR_INTERNAL_H

#include "base/base.h"
#include "base/cells.h"
#include "base/limits.h"
#include "base/mutant.h"
#include "copper/actor.h"

#include <pthread.h>
#include <stdatomic.h>

#ifndef CU_CALL_SHARE /* the simulation has smaller calls */
#define CU_CALL_SHARE 64u
#endif
#define LOTS 64u            /* where threads wait for a slot's lock; a group of slots has each of them once */
#define WHEEL_BUCKETS 4096u /* with 100 ms ticks one turn is 410 s; later deadlines are looked at once a turn */
#define RUN_LAST UINT32_MAX

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
	const void *state; /* of the actor when it was sent to: a hint what to fetch from memory, may be gone */
#ifdef CU_DEBUG
	bool finished;
#endif
};

#ifdef CU_DEBUG
enum monitor_stage { MONITOR_NEW, MONITOR_LISTED, MONITOR_SENT, MONITOR_TAKEN_BACK };
#endif

struct monitor {
	struct node node;     /* the notice; sent without an allocation, so it cannot be refused */
	struct monitor *next; /* in the target's list, under its slot's lock */
	cu_actor_id watcher;  /* CU_ACTOR_NONE: fn */
	void (*fn)(const struct cu_down *down);
	struct cu_down down;
#ifdef CU_DEBUG
	enum monitor_stage stage;
#endif
};

/* What few actors have. Under the slot's lock. */
struct extra {
	struct monitor *monitors;
	struct cu_exit_reason kill_reason;
};

/* One cache line, and 64 of them a page. All zero is a FREE slot that has never been used. */
struct actor {
	/* under the slot's lock; state and behaviour are also read by the owner of RUNNING or EXITING */
	_Alignas(64) void *state;
	const struct cu_behaviour *behaviour;
	struct node *inbox; /* the last one; circular */
	struct extra *extra;
	uint32_t generation;  /* never 0 once used; also stable under the wheel's lock while wheel_bucket is set */
	uint32_t active_tick; /* last activity, or when hibernation began */
	uint16_t first_ticks; /* idle policy, packed (wheel.c); 0: none */
	uint16_t suspend_ticks;
	uint16_t inbox_sends; /* <= mailbox_max */
	uint8_t phase;
	uint8_t flags;
	atomic_uchar killed; /* set under the slot's lock, peeked at by the owner between two messages */

	atomic_uchar lock; /* 0 free, 1 held (slots.c) */

	/* under the wheel's lock */
	uint16_t wheel_bucket; /* bucket + 1; 0: not linked */
	uint32_t wheel_prev;   /* slot + 1 */
	uint32_t wheel_next;   /* slot + 1 */

	/* under the run queue's lock */
	uint32_t run_next; /* slot + 1, or RUN_LAST; 0: not in the run queue */

#ifdef CU_DEBUG
	/* what check.c saw last, under the slot's lock */
	uint32_t checked_generation;
	uint8_t checked_phase;
#endif
};
#ifndef CU_DEBUG
_Static_assert(sizeof(struct actor) == 64, "an idle actor stays small");
#endif

/* Where threads wait for a slot's lock that is taken: the lock itself is a byte. */
struct lot {
	_Alignas(64) pthread_mutex_t mtx;
	pthread_cond_t cond;
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
	struct lot lots[LOTS];
	atomic_uint lock_waiters; /* threads that wait for any slot's lock */
	bool light_unlock;        /* set once: letting go of a lock needs no barrier (slots.c) */

	atomic_uint_fast64_t manual_ms;
	atomic_uint_fast64_t next_ref;
	atomic_size_t living;
	atomic_bool stopping; /* set under slots_mtx; no slot opens once it is seen under the slot's lock */

	/* slot list */
	pthread_mutex_t slots_mtx;
	pthread_cond_t slots_emptied; /* living became 0 while stopping */
	struct cu_cells slots;        /* note: the generation from which wiped slots of the group go on */
	bool stopped;

	/* run queue */
	pthread_mutex_t run_mtx;
	pthread_cond_t run_cond;
	uint32_t run_head, run_tail; /* slot + 1 */
	unsigned run_waiting;        /* workers in cond_wait */
	struct call_group *helped;   /* large calls in which workers may take part */
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

static inline struct actor *slot_actor(const cu_actor_system *sys, uint32_t slot)
{
	struct actor *block = cu_cells_block(&sys->slots, slot);

	return block ? &block[slot % CU_CELLS_BLOCK] : NULL;
}

/* slots.c */
/* A FREE slot that nobody else can get, in id and actor; the generation is for one that has none.
 * CU_ECLOSED, CU_EFULL, CU_ENOMEM. */
int cu_slot_claim(cu_actor_system *sys, struct cu_actor_ctx *ret_ctx, uint32_t *ret_generation);
void cu_slot_release(cu_actor_system *sys, uint32_t slot); /* FREE, and nobody's */
void cu_slot_lock_wait(cu_actor_system *sys, uint32_t slot, struct actor *actor);
void cu_slot_lock_wake(cu_actor_system *sys, uint32_t slot);
bool cu_slot_unlock_is_light(void);

static inline void slot_lock(cu_actor_system *sys, uint32_t slot, struct actor *actor)
{
	unsigned char seen = 0;

	if (!atomic_compare_exchange_strong_explicit(&actor->lock, &seen, 1, memory_order_acquire,
						     memory_order_relaxed))
		cu_slot_lock_wait(sys, slot, actor);
}

/* check.c: the model and its invariants. */
void cu_actor_system_check(cu_actor_system *sys); /* when nobody is inside; any build */
#ifdef CU_DEBUG
void cu_actor_check(cu_actor_system *sys, uint32_t slot); /* its lock held */
#else
static inline void cu_actor_check(cu_actor_system *sys, uint32_t slot)
{
	(void)sys;
	(void)slot;
}
#endif

static inline void slot_unlock(cu_actor_system *sys, uint32_t slot, struct actor *actor)
{
	CU_UNSEEN(cu_actor_check(sys, slot));
	if (sys->light_unlock) {
		atomic_store_explicit(&actor->lock, 0, memory_order_release);
		atomic_signal_fence(memory_order_seq_cst); /* in this order, for whoever comes by membarrier */
	} else {
		atomic_exchange_explicit(&actor->lock, 0, memory_order_seq_cst);
	}
	if (atomic_load_explicit(&sys->lock_waiters, memory_order_seq_cst) && !CU_MUTANT(UNLOCK_WAKES_NOBODY))
		cu_slot_lock_wake(sys, slot);
}

/* Locks the slot of a living actor and returns it; NULL, nothing locked, when the id is dead. */
struct actor *cu_actor_lock(cu_actor_system *sys, cu_actor_id id);

/* actor.c */
void cu_inbox_push(struct actor *actor, struct node *node); /* slot locked */
/* slot locked: IDLE → QUEUED for a worker */
void cu_actor_wake(cu_actor_system *sys, uint32_t slot, struct actor *actor);
/* slot locked, RUNNING: ends hibernation and takes the inbox, oldest first */
struct node *cu_actor_awaken(cu_actor_system *sys, struct actor *actor);
/* The caller has made it RUNNING. batch: what it has taken from the inbox, may be NULL. on_worker: give others a turn
 * after a while. */
void cu_actor_run(cu_actor_system *sys, struct actor *actor, cu_actor_id id, struct node *batch, bool on_worker);
/* Runs the actor if it is QUEUED; true if it did. generation 0: whichever lives there. */
bool cu_actor_try_run(cu_actor_system *sys, uint32_t slot, uint32_t generation, bool on_worker);
/* The caller has made it EXITING. rest: taken messages that will not be handled. */
void cu_actor_die(struct cu_actor_ctx *ctx, struct node *rest, const struct cu_exit_reason *reason);

/* call.c */
struct call_group {
	const void *owner; /* thread_marker of the calling thread */
	size_t own_done;   /* calling thread only */
	size_t own_failed; /* calling thread only */

	/* set once */
	cu_actor_system *sys;
	struct cu_actor_call *calls;
	size_t count;

	/* large calls only: how many shares of the calls have been taken, by anybody and by helpers */
	atomic_size_t shares_taken;
	size_t shares_helped; /* under the run queue's lock */

	/* under the run queue's lock */
	struct call_group *next, *prev;
	bool offered;

	/* Calls that are not finished, and one for the caller: it takes away what it has done itself at its end. Whoever
	 * then makes it 0 says so under mtx; nobody else touches the group after counting down. */
	atomic_size_t left;
	atomic_size_t others_failed;
	pthread_mutex_t mtx;
	pthread_cond_t cond;
	bool over; /* under mtx */
};

/* Part of a large call, copied: whoever runs it does not need the caller to be there still. */
struct call_share {
	size_t count;
	cu_actor_id ids[CU_CALL_SHARE];
	const void *states[CU_CALL_SHARE];
};
void cu_call_finish(struct call_node *call, const struct cu_exit_reason *why_not);
/* run queue locked: takes a share; false: none is left */
bool cu_call_share_take(struct call_group *group, struct call_share *ret_share);
void cu_call_share_run(cu_actor_system *sys, const struct call_share *share);

/* monitor.c */
void cu_monitors_fire(cu_actor_system *sys, struct monitor *list, const struct cu_exit_reason *reason);

/* run_queue.c */
void cu_run_queue_push(cu_actor_system *sys, uint32_t slot); /* any lock but the wheel's may be held */
bool cu_run_queue_others_wait(cu_actor_system *sys);
/* Workers without anything else to do take shares of the call until it is withdrawn. */
void cu_run_queue_offer(cu_actor_system *sys, struct call_group *group);
void cu_run_queue_withdraw(cu_actor_system *sys, struct call_group *group);
void *cu_run_queue_worker(void *arg);
void cu_run_queue_stop(cu_actor_system *sys);

/* wheel.c */
uint32_t cu_wheel_now(const cu_actor_system *sys);
/* How long it may stay as it is; 0: for ever. Slot locked. */
uint32_t cu_wheel_period(const struct actor *actor);
void cu_wheel_arm(cu_actor_system *sys, uint32_t slot, struct actor *actor); /* slot locked */
void cu_wheel_disarm(cu_actor_system *sys, struct actor *actor);             /* slot locked */
void *cu_wheel_thread(void *arg);
void cu_wheel_stop(cu_actor_system *sys);

#endif
