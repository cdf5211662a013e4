/* copper/consumer_registry.h: which consumer (an actor) serves which shape handle, and the delivery of events to
 * them: started on demand, retried once when they were just suspending, reported when they cannot be reached.
 *
 * Threads: any. whereis is wait-free and writes no shared memory, so readers never disturb the publisher or each
 * other. Registration and removal take the registry's lock for an insertion. publish and broadcast wait for the
 * consumers, without a timeout; see copper/actor.h for which thread runs them.
 * Entries outlive their actors on purpose: a crashed consumer keeps its entry until its shape is removed, so that a
 * late event cannot start it again. Errors: CU_E… of copper/error.h.
 *
 * Calls exist by registry (cu_consumer_registry_…) and by stack id (cu_consumer_…). An unknown stack is no error for
 * questions: none, or 0.
 */
#ifndef COPPER_CONSUMER_REGISTRY_H
#define COPPER_CONSUMER_REGISTRY_H

#include "copper/actor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cu_consumer_registry cu_consumer_registry;
typedef struct cu_consumer_table cu_consumer_table; /* a registry's entries alone */

struct cu_consumer_registry_opts {
	cu_actor_system *system; /* borrowed; outlives the registry */
	/* Starts the consumer of a handle and registers it, on the publishing thread: best both at once, with
	 * cu_actor_start_named() and cu_consumer_name(). 0 and its id; CU_EEXIST and the id of the one that runs already,
	 * which is used; CU_ENOTFOUND: there is no such shape; any other code: the handle is undeliverable with that code.
	 * handle is borrowed. */
	int (*start_consumer)(void *ctx, const char *handle, cu_actor_id *ret_id);
	/* Removes shapes whose consumers suspended twice. Runs inside publish and must not wait for the publisher. The
	 * handles are distinct and borrowed. */
	void (*remove_shapes)(void *ctx, const char *const *handles, size_t count);
	void *ctx;
};

/* Returns owned. CU_EEXIST: the stack id has a registry; CU_EINVAL: no system or no start_consumer. */
int cu_consumer_registry_new(const char *stack_id, const struct cu_consumer_registry_opts *opts,
			     cu_consumer_registry **ret_reg);
/* Forgets the entries (the actors live on) and the stack's config. No other call on this registry, by pointer, may
 * be running; calls by stack id may be, except those that publish. NULL is fine. */
void cu_consumer_registry_free(cu_consumer_registry **reg);
const char *cu_consumer_registry_stack_id(const cu_consumer_registry *reg); /* borrowed, valid until free */
cu_consumer_table *cu_consumer_registry_table(cu_consumer_registry *reg);   /* borrowed, valid until free */

/* Insert if absent: the first registration stays. 0; CU_EEXIST: another id has the handle (registering the same id
 * again is 0); CU_ENOTFOUND: unknown stack. The idle policy of the stack (enable_suspend below) is applied to a
 * newly registered consumer. The table form does not apply it. */
int cu_consumer_register(const char *stack_id, const char *handle, cu_actor_id id);
int cu_consumer_registry_register(cu_consumer_registry *reg, const char *handle, cu_actor_id id);
int cu_consumer_table_register(cu_consumer_table *table, const char *handle, cu_actor_id id);

/* The id, alive or not, or CU_ACTOR_NONE. */
cu_actor_id cu_consumer_whereis(const char *stack_id, const char *handle);
cu_actor_id cu_consumer_registry_whereis(cu_consumer_registry *reg, const char *handle);

/* Number of entries; 0 for an unknown stack. */
size_t cu_consumer_active_count(const char *stack_id);
size_t cu_consumer_registry_active_count(const cu_consumer_registry *reg);

/* Idempotent. */
void cu_consumer_remove(const char *stack_id, const char *handle);
void cu_consumer_registry_remove(cu_consumer_registry *reg, const char *handle);
/* Only if the entry is this id's, so that a successor's is never hit: for a consumer's own clean-up (on_exit after
 * SUSPEND or CLEANUP). True: removed. */
bool cu_consumer_remove_if(const char *stack_id, const char *handle, cu_actor_id id);
bool cu_consumer_registry_remove_if(cu_consumer_registry *reg, const char *handle, cu_actor_id id);

/* Calls fn for a snapshot of the entries; returns their number, or CU_ENOMEM before the first. handle is borrowed
 * for the call; fn may call anything. */
int64_t cu_consumer_registry_foreach(cu_consumer_registry *reg,
				     void (*fn)(void *arg, const char *handle, cu_actor_id id), void *arg);

enum cu_delivery_status {
	CU_DELIVERED = 0, /* handled by `id` */
	CU_SUSPENDED,     /* broadcast only: retry with a fresh consumer */
	CU_SKIPPED,       /* broadcast only: no id was given */
	CU_NO_SHAPE,      /* publish: start_consumer knows no such shape */
	CU_SHAPE_REMOVED, /* publish: suspended again on the retry; remove_shapes has been called */
	CU_CRASHED,       /* ended while it had the event, or was dead before (reason NOPROC); never restarted */
	CU_START_FAILED   /* publish: reason.code is what start_consumer returned */
};

struct cu_delivery {
	const char *handle; /* borrowed until the call returns */
	void *event;        /* borrowed until the call returns; reaches the consumer as CU_MSG_EVENT */
	cu_actor_id id;     /* in for broadcast, out for publish: who has (or should have) handled it */
	/* out */
	enum cu_delivery_status status;
	struct cu_exit_reason reason; /* set unless DELIVERED, NO_SHAPE or SKIPPED */
};
const char *cu_delivery_status_name(enum cu_delivery_status status); /* "delivered", "shape removed", … */

/* Delivers one event per handle and returns when every consumer has handled it, or is gone. Consumers that do not
 * run are started; those that suspended with the event are retried once, with fresh ones. Returns how many are
 * undeliverable (status is not DELIVERED); one that cannot be reached never affects the others. */
size_t cu_consumer_registry_publish(cu_consumer_registry *reg, struct cu_delivery *deliveries, size_t count);
/* The lower half of publish: sends to the ids given, starts and retries nothing. Returns how many are neither
 * DELIVERED nor SKIPPED. */
size_t cu_consumer_broadcast(cu_actor_system *sys, struct cu_delivery *deliveries, size_t count);

/* The name-service interface: an address usable wherever an actor id is (copper/actor.h). The strings are borrowed
 * as long as the name is used. unregister does nothing: an entry is removed explicitly. */
struct cu_actor_name cu_consumer_name(const char *stack_id, const char *handle);
bool cu_consumer_register_name(const char *stack_id, const char *handle, cu_actor_id id);
void cu_consumer_unregister_name(const char *stack_id, const char *handle);
cu_actor_id cu_consumer_whereis_name(const char *stack_id, const char *handle);

/* Switches suspension on: stores the settings for consumers registered from now on, and gives every live one a
 * random idle time in [hibernate_after, jitter_period] before it hibernates, then suspend_after more before it
 * suspends. suspend_after 0 (the short form): suspend at the random time, without hibernating first.
 * Needs jitter_period > hibernate_after > 0, else CU_EINVAL; CU_ENOTFOUND for an unknown stack; CU_ENOMEM; otherwise
 * the number of entries. Times in milliseconds. */
int64_t cu_consumer_enable_suspend(const char *stack_id, uint32_t hibernate_after, uint32_t jitter_period);
int64_t cu_consumer_enable_suspend_after(const char *stack_id, uint32_t hibernate_after, uint32_t suspend_after,
					 uint32_t jitter_period);

/* Stack config: small numbers by stack id and key. put: CU_EINVAL for an empty name. lookup: false when unset. */
#define CU_CONFIG_ENABLE_SUSPEND "shape_enable_suspend"   /* 0: no consumer is suspended from now on */
#define CU_CONFIG_HIBERNATE_AFTER "shape_hibernate_after" /* ms; unset or 0: new consumers have no idle timer */
#define CU_CONFIG_SUSPEND_AFTER "shape_suspend_after"     /* ms */
int cu_stack_config_put(const char *stack_id, const char *key, int64_t value);
bool cu_stack_config_lookup(const char *stack_id, const char *key, int64_t *ret_value);
/* What a consumer's may_suspend asks first: true unless CU_CONFIG_ENABLE_SUSPEND is set to 0. */
bool cu_stack_config_may_suspend(const char *stack_id);

#ifdef __cplusplus
}
#endif

#endif
