/* copper/consumer_registry.h: which consumer (an actor) serves which shape handle, and the delivery of events to
 * them: started on demand, retried once when they were just suspending, reported when they cannot be reached.
 *
 * Threads: any. whereis is wait-free and writes no shared memory, so readers never disturb the publisher or each
 * other. Registration and removal take the registry's lock for an insertion. publish and broadcast wait for the
 * consumers, without a timeout; see copper/actor.h for which thread runs them.
 * Entries outlive their actors on purpose: a crashed consumer keeps its entry until its shape is removed, so that a
 * late event cannot start it again. Errors: CU_E… of copper/error.h.
 *
 * Calls exist by registry (cu_consumer_registry_…) and by stack id (cu_consumer_…); the latter look the registry up
 * first, which costs one more wait-free read. An unknown stack is no error for questions: none, or 0. All strings are
 * borrowed until the call returns; handles may have any length.
 *
 * The semantics are those of Electric 1.6.2's module Electric.Shapes.ConsumerRegistry; "as f/n" names the function
 * there. docs/registry.md tells the whole story.
 */
#ifndef COPPER_CONSUMER_REGISTRY_H
#define COPPER_CONSUMER_REGISTRY_H

#include "copper/actor.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The consumers of one stack. */
typedef struct cu_consumer_registry cu_consumer_registry;

/* A registry's entries alone. */
typedef struct cu_consumer_table cu_consumer_table;

/* What a registry is told about its stack. */
struct cu_consumer_registry_opts {
	/* Runs the consumers. Borrowed; outlives the registry. */
	cu_actor_system *system;
	/* Starts the consumer of a handle and registers it, on the publishing thread: best both at once, with
	 * cu_actor_start_named() and cu_consumer_name(). 0 and its id; CU_EEXIST and the id of the one that runs already,
	 * which is used; CU_ENOTFOUND: there is no such shape; any other code: the handle is undeliverable with that code.
	 * handle is borrowed. */
	int (*start_consumer)(void *ctx, const char *handle, cu_actor_id *ret_id);
	/* Removes shapes whose consumers suspended twice. Runs inside publish and must not wait for the publisher. The
	 * handles are distinct and borrowed. NULL: nobody wants to know. */
	void (*remove_shapes)(void *ctx, const char *const *handles, size_t count);
	void *ctx; /* handed to both */
};

/* Makes the registry of a stack; returns owned. opts is copied. As new/2. CU_EEXIST: the stack id has a registry;
 * CU_EINVAL: an empty stack id, no system or no start_consumer; CU_ENOMEM. */
int cu_consumer_registry_new(const char *stack_id, const struct cu_consumer_registry_opts *opts,
			     cu_consumer_registry **ret_reg);

/* Forgets the entries (the actors live on) and the stack's config, frees and clears *reg; NULL in *reg is fine. No
 * call on this registry by pointer, publish included, may be running; calls by stack id may. Waits for running
 * look-ups, about a millisecond. */
void cu_consumer_registry_free(cu_consumer_registry **reg);

/* The id given to new; borrowed, valid until free. */
const char *cu_consumer_registry_stack_id(const cu_consumer_registry *reg);

/* The entries alone, for cu_consumer_table_register(); borrowed, valid until free. */
cu_consumer_table *cu_consumer_registry_table(cu_consumer_registry *reg);

/* Registers by stack id. As register_consumer/3. Insert if absent: the first registration stays. 0; CU_EEXIST:
 * another id has the handle (registering the same id again is 0); CU_ENOTFOUND: unknown stack; CU_EINVAL: no id;
 * CU_ENOMEM. The idle policy of the stack (enable_suspend below) is applied to a newly registered consumer. */
int cu_consumer_register(const char *stack_id, const char *handle, cu_actor_id id);

/* The same by registry. */
int cu_consumer_registry_register(cu_consumer_registry *reg, const char *handle, cu_actor_id id);

/* The same by table, which knows no idle policy: none is applied. */
int cu_consumer_table_register(cu_consumer_table *table, const char *handle, cu_actor_id id);

/* The id registered for a handle, alive or not, or CU_ACTOR_NONE; by stack id. As whereis/2. Wait-free. */
cu_actor_id cu_consumer_whereis(const char *stack_id, const char *handle);

/* The same by registry. */
cu_actor_id cu_consumer_registry_whereis(cu_consumer_registry *reg, const char *handle);

/* Number of entries, those of dead consumers included; 0 for an unknown stack. As active_consumer_count/1. */
size_t cu_consumer_active_count(const char *stack_id);

/* The same by registry. */
size_t cu_consumer_registry_active_count(const cu_consumer_registry *reg);

/* Removes the entry, whoever has it; the actor is not touched. As remove_consumer/2. Idempotent. */
void cu_consumer_remove(const char *stack_id, const char *handle);

/* The same by registry. */
void cu_consumer_registry_remove(cu_consumer_registry *reg, const char *handle);

/* Removes the entry only if it is this id's, so that a successor's is never hit: for a consumer's own clean-up
 * (on_exit after SUSPEND or CLEANUP). True: removed. */
bool cu_consumer_remove_if(const char *stack_id, const char *handle, cu_actor_id id);

/* The same by registry. */
bool cu_consumer_registry_remove_if(cu_consumer_registry *reg, const char *handle, cu_actor_id id);

/* Calls fn for a snapshot of the entries; returns their number, or CU_ENOMEM before the first. handle is borrowed
 * for the call; fn may call anything. */
int64_t cu_consumer_registry_foreach(cu_consumer_registry *reg,
				     void (*fn)(void *arg, const char *handle, cu_actor_id id), void *arg);

/* What became of an event. */
enum cu_delivery_status {
	CU_DELIVERED = 0, /* handled by `id` */
	CU_SUSPENDED,     /* broadcast only: retry with a fresh consumer */
	CU_SKIPPED,       /* broadcast only: no id was given */
	CU_NO_SHAPE,      /* publish: start_consumer knows no such shape */
	CU_SHAPE_REMOVED, /* publish: suspended again on the retry; remove_shapes has been called */
	CU_CRASHED,       /* ended while it had the event, or was dead before (reason NOPROC); never restarted */
	CU_START_FAILED   /* publish: reason.code is what start_consumer returned */
};

/* One event for one handle, and its fate. The same handle may stand in an array more than once. */
struct cu_delivery {
	const char *handle;             /* borrowed until the call returns; broadcast: for logs only, may be NULL */
	void *event;                    /* borrowed likewise; reaches the consumer as CU_MSG_EVENT */
	cu_actor_id id;                 /* in for broadcast, out for publish: who has (or should have) handled it */
	enum cu_delivery_status status; /* out */
	struct cu_exit_reason reason;   /* out; set unless DELIVERED, NO_SHAPE or SKIPPED */
};

/* "delivered", "suspended", "skipped", "no shape", "shape removed", "crashed" or "start failed"; never NULL. */
const char *cu_delivery_status_name(enum cu_delivery_status status);

/* Delivers one event per handle and returns when every consumer has handled it, or is gone. As publish/2. Consumers
 * that do not run are started; those that suspended with the event are retried once, with fresh ones. Returns how
 * many are undeliverable (status is not DELIVERED); one that cannot be reached never affects the others. What is not
 * delivered because of a crash or a second suspension is one warning on standard error for all of them.
 *
 * Waits without a timeout: a consumer that blocks holds up this caller (nobody else). Not from inside a consumer that
 * is among the receivers. An idle consumer runs on the calling thread; from 256 receivers on the workers help. */
size_t cu_consumer_registry_publish(cu_consumer_registry *reg, struct cu_delivery *deliveries, size_t count);

/* The lower half of publish: sends to the ids given, starts and retries nothing. As broadcast/1. Waits as publish
 * does. Returns how many are neither DELIVERED nor SKIPPED. */
size_t cu_consumer_broadcast(cu_actor_system *sys, struct cu_delivery *deliveries, size_t count);

/* The address of a consumer, usable wherever an actor id is (copper/actor.h): starting an actor under it registers
 * it, sending to it resolves it. As name/2. Both strings are borrowed as long as the name is used. */
struct cu_actor_name cu_consumer_name(const char *stack_id, const char *handle);

/* The name service behind cu_consumer_name(): true, registered; false, taken or unknown stack. As register_name/2. */
bool cu_consumer_register_name(const char *stack_id, const char *handle, cu_actor_id id);

/* Nothing, on purpose: an entry is removed explicitly, so that a late event cannot resurrect a shape that is on its
 * way out. As unregister_name/1. */
void cu_consumer_unregister_name(const char *stack_id, const char *handle);

/* As cu_consumer_whereis(), for the name service. As whereis_name/1. */
cu_actor_id cu_consumer_whereis_name(const char *stack_id, const char *handle);

/* Switches suspension on, short form: suspend at a random idle time in [hibernate_after, jitter_period], without
 * hibernating first. As enable_suspend/3. The rest as in cu_consumer_enable_suspend_after() with suspend_after 0. */
int64_t cu_consumer_enable_suspend(const char *stack_id, uint32_t hibernate_after, uint32_t jitter_period);

/* Switches suspension on: stores the settings for consumers registered from now on, and gives every live one a
 * random idle time in [hibernate_after, jitter_period] before it hibernates, then suspend_after more before it
 * suspends. Hibernating ones wake for it. Times in milliseconds. Returns the number of entries. CU_EINVAL unless
 * jitter_period > hibernate_after > 0; CU_ENOTFOUND: unknown stack; CU_ENOMEM. */
int64_t cu_consumer_enable_suspend_after(const char *stack_id, uint32_t hibernate_after, uint32_t suspend_after,
					 uint32_t jitter_period);

/* Config key: 0 means that no consumer is suspended from now on. */
#define CU_CONFIG_ENABLE_SUSPEND "shape_enable_suspend"
/* Config key, in milliseconds: unset or 0 means that new consumers have no idle timer. */
#define CU_CONFIG_HIBERNATE_AFTER "shape_hibernate_after"
/* Config key, in milliseconds: from hibernation to suspension. */
#define CU_CONFIG_SUSPEND_AFTER "shape_suspend_after"

/* Stack config: small numbers by stack id and key; they need no registry, and go when the stack's is freed. Replaces
 * what is there. CU_EINVAL for an empty stack id or key; CU_ENOMEM. */
int cu_stack_config_put(const char *stack_id, const char *key, int64_t value);

/* True and the value; false, *ret_value untouched, when it is not set. */
bool cu_stack_config_lookup(const char *stack_id, const char *key, int64_t *ret_value);

/* What a consumer's may_suspend asks first: true unless CU_CONFIG_ENABLE_SUSPEND is set to 0. */
bool cu_stack_config_may_suspend(const char *stack_id);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
