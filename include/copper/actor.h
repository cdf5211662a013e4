/* copper/actor.h: light actors: a mailbox, a behaviour and a private state; no thread of their own.
 *
 * An actor runs when its mailbox is not empty: on a worker thread, or on the thread that calls it
 * (cu_actor_call_many) when nobody else runs it. It never runs on two threads at once, so its state needs no lock.
 * An idle actor costs memory only.
 *
 * Threads: any call from any thread, also from inside a behaviour, unless its comment says otherwise.
 * Cost: send and call take one short lock each; an uncontended call that runs inline is well under a microsecond.
 * Ids: slot and generation. A stale id is harmless: every call on it answers CU_ENOTFOUND, or "not alive".
 * Errors: negative CU_E… codes of copper/error.h. Mailboxes are bounded: CU_EFULL, never a wait. Misuse (a NULL that
 * is not said to be allowed, a clock moved back) is a bug and aborts.
 * Ownership: takes (yours no more), borrows (until the call returns), returns owned, returns borrowed.
 *
 * A behaviour must not block. It may call other actors (cu_actor_call_many, publish) as long as no chain of calls
 * comes back to it: that can never be answered. Idle times have a resolution of 100 ms.
 */
#ifndef COPPER_ACTOR_H
#define COPPER_ACTOR_H

#include "copper/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default) /* libcopper.so exports what stands between here and pop, and nothing else */

/* Actors with their worker threads, their timer and their memory. Several may exist in a process; an id means
 * something in its own system only. */
typedef struct cu_actor_system cu_actor_system;

/* The running actor as its behaviour sees it; valid during the callback only. */
struct cu_actor_ctx;

/* Which actor. A plain number: copy it, keep it, compare it; there is nothing to free. */
typedef uint64_t cu_actor_id;

/* No actor; every call on it finds nobody. */
#define CU_ACTOR_NONE ((cu_actor_id)0)

/* Why an actor ended. */
enum cu_exit_kind {
	CU_EXIT_NORMAL = 0, /* its work was done */
	CU_EXIT_SUSPEND,    /* gone to save memory; whoever needs it starts a fresh one */
	CU_EXIT_CLEANUP,    /* its shape is being removed */
	CU_EXIT_NOPROC,     /* never seen alive: the id was dead already when it was used */
	CU_EXIT_KILLED,     /* cu_actor_kill() or the system's stop */
	CU_EXIT_ERROR       /* it failed: code and text say how */
};

/* Bytes of an exit text with its NUL; longer texts are cut. */
#define CU_EXIT_TEXT_MAX 80

/* Why an actor ended, in full: plain data, copied wherever it goes. */
struct cu_exit_reason {
	enum cu_exit_kind kind;      /* which of the six */
	int code;                    /* a CU_E… code or the user's own number; 0 when there is none */
	char text[CU_EXIT_TEXT_MAX]; /* for people; terminated, may be empty */
};

/* Fills *ret_reason. text is borrowed and may be NULL. */
void cu_exit_reason_set(struct cu_exit_reason *ret_reason, enum cu_exit_kind kind, int code, const char *text);

/* "normal", "suspend", "cleanup", "noproc", "killed" or "error"; "unknown" for any other number, never NULL. */
const char *cu_exit_kind_name(enum cu_exit_kind kind);

/* Types of messages. Those below CU_MSG_USER are the library's. */
enum {
	CU_MSG_EVENT = 1, /* an event of publish or broadcast: payload is the event, borrowed until on_message returns
			   * (or until cu_actor_reply) */
	CU_MSG_DOWN = 2,  /* a monitored actor ended: payload is a struct cu_down, borrowed */
	CU_MSG_USER = 256 /* yours are this and above */
};

/* A message as on_message gets it; borrowed until it returns. */
struct cu_message {
	uint32_t type; /* CU_MSG_… or CU_MSG_USER and above */
	void *payload; /* sent: the behaviour's from now on; called: borrowed, the caller waits */
	bool is_call;  /* somebody waits until this message has been handled */
};

/* The notice that a monitored actor has ended. */
struct cu_down {
	cu_actor_id id;               /* who ended */
	uint64_t ref;                 /* as cu_actor_monitor() returned it */
	void *tag;                    /* as given to cu_actor_monitor() */
	struct cu_exit_reason reason; /* why; NOPROC: it was dead when the monitor was asked for */
};

/* What on_message wants next. */
enum cu_verdict {
	CU_VERDICT_CONTINUE = 0, /* go on living */
	CU_VERDICT_EXIT          /* end now; the reason is the one given to cu_actor_end(), else NORMAL */
};

/* What an actor does. Static data: must outlive every actor that uses it. Only on_message is required; the others
 * may be NULL. Callbacks of one actor never overlap, and no lock of the library is held while one runs. */
struct cu_behaviour {
	const char *name; /* for logs and debuggers */
	/* Runs on the starting thread before the actor can receive anything. Non-zero refuses the start: the actor
	 * never existed, on_exit does not run and the state stays the caller's. */
	int (*on_start)(struct cu_actor_ctx *ctx, void *state);
	/* Handles one message. Must not block. */
	enum cu_verdict (*on_message)(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg);
	/* Idle for its hibernate time: give back every buffer that can be rebuilt. */
	void (*on_hibernate)(void *state);
	/* Asked right before the idle timer suspends; false postpones. NULL: this actor is never suspended by the
	 * timer. */
	bool (*may_suspend)(void *state);
	/* The last callback: owns the state from here on and frees it. Still runs as the actor (its id is alive, sends
	 * are refused); callers that wait are answered after it has returned. */
	void (*on_exit)(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason);
};

/* The actor's own id. Inside a behaviour only. */
cu_actor_id cu_actor_self(const struct cu_actor_ctx *ctx);

/* The system that runs the actor; borrowed. Inside a behaviour only. */
cu_actor_system *cu_actor_ctx_system(const struct cu_actor_ctx *ctx);

/* Sets the exit reason and returns CU_VERDICT_EXIT: `return cu_actor_end(ctx, CU_EXIT_ERROR, rc, "log full");`
 * Inside on_message only. text is borrowed and may be NULL. */
enum cu_verdict cu_actor_end(struct cu_actor_ctx *ctx, enum cu_exit_kind kind, int code, const char *text);

/* Answers the call being handled right away as delivered; its payload must not be touched afterwards. Without it a
 * call is answered when on_message has returned CONTINUE; an EXIT answers it with the exit reason. Inside on_message
 * only; nothing for a message that is no call, or when it has been answered. */
void cu_actor_reply(struct cu_actor_ctx *ctx);

/* How a system is built. All zero is valid: no workers, default bounds, its own timer thread. */
struct cu_actor_system_opts {
	unsigned workers;     /* worker threads; 0: none, see cu_actor_system_run() */
	uint32_t actors_max;  /* living actors; 0: 1,048,576. More: CU_EFULL */
	uint32_t mailbox_max; /* waiting sent messages per actor (calls and notices come on top); 0: 1,024 */
	bool manual_clock;    /* tests: no timer thread, time moves with cu_actor_system_tick() only, from 0 */
};

/* Makes a system and starts its threads; returns owned. opts is borrowed; NULL: 2 workers, own timer thread.
 * CU_EINVAL: mailbox_max above 65,535 or actors_max above 2^31 - 1; CU_EAGAIN: no thread to be had; CU_ENOMEM. */
int cu_actor_system_new(const struct cu_actor_system_opts *opts, cu_actor_system **ret_sys);

/* Ends the threads, then every living actor (KILLED) on the calling thread, and waits for those that other threads
 * are running. No behaviour runs afterwards, starts answer CU_ECLOSED. Not from inside a behaviour. Idempotent. */
void cu_actor_system_stop(cu_actor_system *sys);

/* Stops, frees and clears *sys; NULL in *sys is fine. No other call on the system may be running or come later: free
 * the registries that use it first. */
void cu_actor_system_free(cu_actor_system **sys);

/* Runs every actor that waits for a worker, on the calling thread, until none does. For tests and for systems
 * without workers. Returns how many runs that were. */
size_t cu_actor_system_run(cu_actor_system *sys);

/* Manual clock only: moves the time to now_ms (never back) and runs the idle timers that are due, on the calling
 * thread. One thread at a time. */
void cu_actor_system_tick(cu_actor_system *sys, uint64_t now_ms);

/* Living actors, a moment ago. Takes no lock. */
size_t cu_actor_system_count(const cu_actor_system *sys);

/* Starts an actor on the calling thread; takes the state on success, it stays the caller's on an error. Calls that
 * came in during on_start are handled here, before it returns. ret_id may be NULL. CU_EFULL: actors_max are living;
 * CU_ECLOSED: the system has been stopped; CU_ENOMEM; or what on_start returned. */
int cu_actor_start(cu_actor_system *sys, const struct cu_behaviour *behaviour, void *state, cu_actor_id *ret_id);

/* Whether it lives: from before its on_start until after its on_exit. Out of date as soon as it is told. */
bool cu_actor_alive(cu_actor_system *sys, cu_actor_id id);

/* Whether it hibernates: on_hibernate has run, and nothing has come in since. False for a dead one. */
bool cu_actor_hibernating(cu_actor_system *sys, cu_actor_id id);

/* Queues a message and returns at once. Takes the payload on 0; on error it stays the caller's. drop (may be NULL)
 * gets the payload if the actor ends before it has handled the message; after on_message the payload is the
 * behaviour's. Messages of one sender arrive in their order. One allocation. CU_ENOTFOUND: not alive, or on its way
 * out; CU_EFULL: mailbox_max are waiting; CU_ENOMEM. */
int cu_actor_send(cu_actor_system *sys, cu_actor_id id, uint32_t type, void *payload, void (*drop)(void *payload));

/* Ends an actor from outside, reason (borrowed) NULL: KILLED. One that is being run ends when its callback returns;
 * any other ends here, on the calling thread, so its on_exit runs under whatever locks the caller holds. A message
 * that was being handled counts as not handled. CU_ENOTFOUND when it is not alive. */
int cu_actor_kill(cu_actor_system *sys, cu_actor_id id, const struct cu_exit_reason *reason);

/* One call of cu_actor_call_many(): the first three are the caller's, delivered and *ret_reason are the answer. */
struct cu_actor_call {
	cu_actor_id id;                    /* CU_ACTOR_NONE: skipped, answered false, NOPROC */
	uint32_t type;                     /* CU_MSG_… or CU_MSG_USER and above */
	void *payload;                     /* borrowed until cu_actor_call_many returns */
	bool delivered;                    /* out: it has been handled */
	struct cu_exit_reason *ret_reason; /* where to write why not; not touched when delivered; NULL: not wanted */
	void *priv[6];                     /* the library's while the call runs; need not be set */
};

/* One call to each of many actors: sends all first, then waits until each has handled its message or has ended. No
 * timeout. Idle actors run on the calling thread; workers help when there are many. No mailbox is ever too full for
 * a call, and no memory is needed: the calls themselves (borrowed) stand in the mailboxes. Returns how many were not
 * delivered. */
size_t cu_actor_call_many(cu_actor_system *sys, struct cu_actor_call *calls, size_t count);

/* Asks for one notice: exactly one CU_MSG_DOWN reaches the watcher (while it lives): when the target ends, or at once
 * with NOPROC. tag comes back in the notice; ret_ref (may be NULL) is for cu_actor_demonitor(). CU_ENOTFOUND: the
 * watcher is not alive; CU_ENOMEM. */
int cu_actor_monitor(cu_actor_system *sys, cu_actor_id watcher, cu_actor_id target, void *tag, uint64_t *ret_ref);

/* The same for code that is no actor: on_down runs once, on the thread where the target ends, before the callers
 * that wait for the target are answered; at once, on this thread, when it is dead already. CU_ENOMEM. */
int cu_actor_monitor_fn(cu_actor_system *sys, cu_actor_id target, void (*on_down)(const struct cu_down *down),
			void *tag, uint64_t *ret_ref);

/* Takes a monitor back. True: no notice will come. False: it has been sent already, or ref is unknown. */
bool cu_actor_demonitor(cu_actor_system *sys, cu_actor_id target, uint64_t ref);

/* What idleness does to an actor. Any message counts as activity. All zero: nothing (the state after a start). Times
 * in milliseconds, rounded up to 100. */
struct cu_idle_policy {
	uint32_t hibernate_after_ms; /* idle this long → on_hibernate; 0: no idle timers at all */
	uint32_t suspend_after_ms;   /* hibernating this long → suspend; 0: suspend instead of hibernating */
	bool suspend;                /* false: hibernate only */
};

/* Replaces the policy (borrowed); counts as activity and ends hibernation. CU_ENOTFOUND. */
int cu_actor_set_idle(cu_actor_system *sys, cu_actor_id id, const struct cu_idle_policy *policy);

/* Names: whoever keeps names answers these questions, from any thread. The strings are borrowed for the call. The
 * consumer registry is one (cu_consumer_name). */
struct cu_name_service {
	/* true: yes, registered; false: no, taken (or unknown scope). */
	bool (*register_name)(const char *scope, const char *key, cu_actor_id id);
	/* Gives a name up; a service may choose to do nothing. */
	void (*unregister_name)(const char *scope, const char *key);
	/* Who has the name, or CU_ACTOR_NONE. */
	cu_actor_id (*whereis_name)(const char *scope, const char *key);
	/* Takes back a registration whose start failed, if the entry is still this id's. */
	void (*forget_name)(const char *scope, const char *key, cu_actor_id id);
	/* register_name with the reason for a no, which is then what a start answers: CU_ENOMEM, CU_ENOTFOUND (unknown
	 * scope), CU_EEXIST (taken). May be NULL. */
	int (*claim_name)(const char *scope, const char *key, cu_actor_id id);
};

/* A name: usable wherever an id is, by resolving it through its service. */
struct cu_actor_name {
	const struct cu_name_service *service; /* borrowed as long as the name is used */
	const char *scope;                     /* borrowed likewise; for consumers the stack id */
	const char *key;                       /* borrowed likewise; for consumers the shape handle */
};

/* Starts an actor under a name (borrowed): registered before its on_start runs, so of two starts only one happens.
 * CU_EEXIST: already started, *ret_id is the owner's id (the state stays the caller's). CU_ENOTFOUND: unknown scope;
 * CU_EAGAIN: its owners come and go; what claim_name says. Otherwise as cu_actor_start(). A start that fails leaves no
 * entry. */
int cu_actor_start_named(cu_actor_system *sys, const struct cu_actor_name *name, const struct cu_behaviour *behaviour,
			 void *state, cu_actor_id *ret_id);

/* Who has the name right now, alive or not; CU_ACTOR_NONE when nobody has it. */
cu_actor_id cu_actor_resolve(const struct cu_actor_name *name);

/* Resolves the name, then as cu_actor_send(). CU_ENOTFOUND also when nobody has the name. */
int cu_actor_send_named(cu_actor_system *sys, const struct cu_actor_name *name, uint32_t type, void *payload,
			void (*drop)(void *payload));

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
