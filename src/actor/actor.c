/* actor.c: the life of an actor: start, mailbox, run, end. The phases are drawn in internal.h. */
#include "actor/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_ATTEMPTS 8u

static const char *const exit_kind_names[] = { "normal", "suspend", "cleanup", "noproc", "killed", "error" };

void cu_exit_reason_set(struct cu_exit_reason *ret_reason, enum cu_exit_kind kind, int code, const char *text)
{
	ret_reason->kind = kind;
	ret_reason->code = code;
	snprintf(ret_reason->text, sizeof ret_reason->text, "%s", text ? text : "");
}

const char *cu_exit_kind_name(enum cu_exit_kind kind)
{
	return (size_t)kind < CU_ARRAY_LEN(exit_kind_names) ? exit_kind_names[kind] : "unknown";
}

cu_actor_id cu_actor_self(const struct cu_actor_ctx *ctx)
{
	return ctx->id;
}

cu_actor_system *cu_actor_ctx_system(const struct cu_actor_ctx *ctx)
{
	return ctx->sys;
}

enum cu_verdict cu_actor_end(struct cu_actor_ctx *ctx, enum cu_exit_kind kind, int code, const char *text)
{
	cu_exit_reason_set(&ctx->reason, kind, code, text);
	return CU_VERDICT_EXIT;
}

void cu_actor_reply(struct cu_actor_ctx *ctx)
{
	struct call_node *call = ctx->call;

	ctx->call = NULL;
	if (call)
		cu_call_finish(call, NULL);
}

struct actor *cu_actor_lock(cu_actor_system *sys, cu_actor_id id)
{
	uint32_t slot = id_slot(id);
	struct actor *actor = slot_actor(sys, slot);

	if (!actor)
		return NULL;
	slot_lock(sys, slot, actor);
	if (actor->phase != PHASE_FREE && actor->generation == id >> 32)
		return actor;
	slot_unlock(sys, slot, actor);
	return NULL;
}

void cu_inbox_push(struct actor *actor, struct node *node)
{
	if (actor->inbox) {
		node->next = actor->inbox->next;
		actor->inbox->next = node;
	} else {
		node->next = node;
	}
	actor->inbox = node;
}

/* The whole inbox, oldest first, as a plain list. */
static struct node *inbox_take(struct actor *actor)
{
	struct node *last = actor->inbox;
	struct node *first;

	if (!last)
		return NULL;
	first = last->next;
	last->next = NULL;
	actor->inbox = NULL;
	actor->inbox_sends = 0;
	actor->flags &= (uint8_t)~ACTOR_CALLED;
	return first;
}

void cu_actor_wake(cu_actor_system *sys, uint32_t slot, struct actor *actor)
{
	if (actor->phase != PHASE_IDLE)
		return;
	actor->phase = PHASE_QUEUED;
	cu_run_queue_push(sys, slot);
}

/* The actor is gone: whoever waits for these messages is told, whoever sent them gets the payload dropped. */
static void nodes_fail(struct node *list, const struct cu_exit_reason *reason)
{
	while (list) {
		struct node *node = list;

		list = node->next;
		if (node->kind == NODE_CALL) {
			cu_call_finish(CU_CONTAINER_OF(node, struct call_node, node), reason);
		} else {
			if (node->kind == NODE_SEND) {
				struct send_node *sent = CU_CONTAINER_OF(node, struct send_node, node);

				if (sent->drop)
					sent->drop(node->payload);
			}
			free(node);
		}
	}
}

/* EXITING → FREE: from here on the id is dead. */
static void actor_retire(struct cu_actor_ctx *ctx, struct node *rest, const struct cu_exit_reason *reason)
{
	cu_actor_system *sys = ctx->sys;
	struct actor *actor = ctx->actor;
	uint32_t slot = id_slot(ctx->id);
	struct monitor *monitors = NULL;
	struct node *late;

	slot_lock(sys, slot, actor);
	CU_ASSERT(actor->phase == PHASE_EXITING);
	late = inbox_take(actor);
	if (actor->extra)
		monitors = actor->extra->monitors;
	free(actor->extra);
	actor->extra = NULL;
	cu_wheel_disarm(sys, actor);
	if (++actor->generation == 0)
		actor->generation = 1;
	actor->phase = PHASE_FREE;
	actor->state = NULL;
	actor->behaviour = NULL;
	slot_unlock(sys, slot, actor);

	cu_monitors_fire(sys, monitors, reason);
	nodes_fail(rest, reason);
	nodes_fail(late, reason);
	cu_slot_release(sys, slot);
}

void cu_actor_die(struct cu_actor_ctx *ctx, struct node *rest, const struct cu_exit_reason *reason)
{
	struct cu_exit_reason why = *reason; /* it may be the context's, which on_exit can reach */
	struct actor *actor = ctx->actor;

	ctx->call = NULL;
	if (actor->behaviour->on_exit)
		actor->behaviour->on_exit(ctx, actor->state, &why);
	actor_retire(ctx, rest, &why);
}

/* RUNNING → EXITING, by its owner. Sends are refused from here on; calls still queue and get the reason. */
static void phase_exiting(cu_actor_system *sys, struct actor *actor, cu_actor_id id)
{
	slot_lock(sys, id_slot(id), actor);
	actor->phase = PHASE_EXITING;
	slot_unlock(sys, id_slot(id), actor);
}

static void die_killed(struct cu_actor_ctx *ctx, struct node *rest)
{
	struct actor *actor = ctx->actor;
	struct cu_exit_reason reason;

	slot_lock(ctx->sys, id_slot(ctx->id), actor);
	actor->phase = PHASE_EXITING;
	if (actor->extra)
		reason = actor->extra->kill_reason;
	else
		cu_exit_reason_set(&reason, CU_EXIT_KILLED, CU_ENOMEM, "no memory for the reason");
	slot_unlock(ctx->sys, id_slot(ctx->id), actor);
	cu_actor_die(ctx, rest, &reason);
}

/* Handles *batch from its head. False: the actor must end, as ctx->reason or the killer says; *batch holds what was
 * not handled, among it the call that was answered with neither a reply nor CONTINUE. */
static bool batch_handle(struct cu_actor_ctx *ctx, struct node **batch, unsigned *ret_handled)
{
	struct actor *actor = ctx->actor;

	while (*batch && !atomic_load_explicit(&actor->killed, memory_order_acquire)) {
		struct node *node = *batch;
		struct cu_message msg = { node->type, node->payload, node->kind == NODE_CALL };
		enum cu_verdict verdict;
		bool ends;

		*batch = node->next;
		ctx->call = msg.is_call ? CU_CONTAINER_OF(node, struct call_node, node) : NULL;
		verdict = actor->behaviour->on_message(ctx, actor->state, &msg);
		ends = verdict == CU_VERDICT_EXIT || atomic_load_explicit(&actor->killed, memory_order_acquire);
		++*ret_handled;
		if (!msg.is_call) {
			free(node);
		} else if (ctx->call && ends) {
			node->next = *batch;
			*batch = node;
		} else {
			cu_actor_reply(ctx);
		}
		if (verdict == CU_VERDICT_EXIT)
			return false;
	}
	return !atomic_load_explicit(&actor->killed, memory_order_acquire);
}

struct node *cu_actor_awaken(cu_actor_system *sys, struct actor *actor)
{
	if (actor->flags & ACTOR_HIBERNATED) {
		/* What the wheel holds was meant for suspension; being awake starts anew. */
		actor->flags &= (uint8_t)~ACTOR_HIBERNATED;
		cu_wheel_disarm(sys, actor);
	}
	return inbox_take(actor);
}

/* Decides what comes after a batch. True: the actor goes on with *ret_batch; false: it is not ours any more. */
static bool run_next(struct cu_actor_ctx *ctx, bool crowded, bool active, struct node **ret_batch)
{
	cu_actor_system *sys = ctx->sys;
	struct actor *actor = ctx->actor;
	uint32_t slot = id_slot(ctx->id);
	bool killed;

	slot_lock(sys, slot, actor);
	CU_ASSERT(actor->phase == PHASE_RUNNING && actor->generation == ctx->id >> 32);
	killed = atomic_load_explicit(&actor->killed, memory_order_relaxed);
	if (!killed && !actor->inbox) {
		actor->phase = PHASE_IDLE;
		if (actor->first_ticks) {
			if (active)
				actor->active_tick = cu_wheel_now(sys);
			cu_wheel_arm(sys, slot, actor);
		}
		slot_unlock(sys, slot, actor);
		return false;
	}
	if (!killed && crowded && !(actor->flags & ACTOR_CALLED)) {
		actor->phase = PHASE_QUEUED;
		cu_run_queue_push(sys, slot);
		slot_unlock(sys, slot, actor);
		return false;
	}
	if (!killed)
		*ret_batch = cu_actor_awaken(sys, actor);
	slot_unlock(sys, slot, actor);
	if (killed)
		die_killed(ctx, NULL);
	return !killed;
}

void cu_actor_run(cu_actor_system *sys, struct actor *actor, cu_actor_id id, struct node *batch, bool on_worker)
{
	struct cu_actor_ctx ctx; /* its reason's text is not worth clearing for every message */
	unsigned handled = 0;

	ctx.sys = sys;
	ctx.actor = actor;
	ctx.id = id;
	ctx.call = NULL;
	ctx.reason.kind = CU_EXIT_NORMAL;
	ctx.reason.code = 0;
	ctx.reason.text[0] = '\0';
	for (;;) {
		if (batch && !batch_handle(&ctx, &batch, &handled))
			break;
		if (!run_next(&ctx, on_worker && handled >= CU_ACTOR_RUN_MAX && cu_run_queue_others_wait(sys),
			      handled > 0, &batch))
			return;
	}
	if (atomic_load_explicit(&actor->killed, memory_order_acquire)) {
		die_killed(&ctx, batch);
	} else {
		phase_exiting(sys, actor, id);
		cu_actor_die(&ctx, batch, &ctx.reason);
	}
}

bool cu_actor_try_run(cu_actor_system *sys, uint32_t slot, uint32_t generation, bool on_worker)
{
	struct actor *actor = slot_actor(sys, slot);
	struct node *batch;
	cu_actor_id id;

	if (!actor)
		return false;
	slot_lock(sys, slot, actor);
	if (actor->phase != PHASE_QUEUED || (generation && generation != actor->generation)) {
		slot_unlock(sys, slot, actor);
		return false;
	}
	actor->phase = PHASE_RUNNING;
	id = id_make(slot, actor->generation);
	batch = cu_actor_awaken(sys, actor);
	slot_unlock(sys, slot, actor);
	cu_actor_run(sys, actor, id, batch, on_worker);
	return true;
}

/* Claims a slot and makes it a RUNNING actor, owned by the caller. */
static int slot_open(cu_actor_system *sys, const struct cu_behaviour *behaviour, void *state,
		     struct cu_actor_ctx *ret_ctx)
{
	struct actor *actor;
	uint32_t generation;
	uint32_t slot;
	int rc = cu_slot_claim(sys, ret_ctx, &generation);

	if (rc < 0)
		return rc;
	actor = ret_ctx->actor;
	slot = id_slot(ret_ctx->id);
	slot_lock(sys, slot, actor);
	CU_ASSERT(actor->phase == PHASE_FREE && !actor->inbox && !actor->extra);
	if (atomic_load_explicit(&sys->stopping, memory_order_relaxed) && !CU_MUTANT(STOP_FORGETS_STARTS)) {
		/* The stop has been here already and would wait for this one for ever. */
		slot_unlock(sys, slot, actor);
		cu_slot_release(sys, slot);
		return CU_ECLOSED;
	}
	if (actor->generation == 0)
		actor->generation = generation;
	actor->behaviour = behaviour;
	actor->state = state;
	actor->first_ticks = 0;
	actor->suspend_ticks = 0;
	actor->flags = 0;
	atomic_store_explicit(&actor->killed, 0, memory_order_relaxed);
	actor->phase = PHASE_RUNNING;
	ret_ctx->id = id_make(slot, actor->generation);
	slot_unlock(sys, slot, actor);
	return 0;
}

/* The start failed: the actor never was, so there is no on_exit. */
static void slot_abandon(struct cu_actor_ctx *ctx, int rc)
{
	struct cu_exit_reason reason;

	cu_exit_reason_set(&reason, CU_EXIT_ERROR, rc, "the actor did not start");
	phase_exiting(ctx->sys, ctx->actor, ctx->id);
	actor_retire(ctx, NULL, &reason);
}

/* on_start, then the actor is open for business. */
static int slot_begin(struct cu_actor_ctx *ctx, const struct cu_behaviour *behaviour, void *state)
{
	uint32_t slot = id_slot(ctx->id);
	int rc = behaviour->on_start ? behaviour->on_start(ctx, state) : 0;
	struct actor *actor = ctx->actor;
	bool run;

	if (rc != 0)
		return rc;
	slot_lock(ctx->sys, slot, actor);
	run = (actor->flags & ACTOR_CALLED && !CU_MUTANT(START_LEAVES_CALLS)) ||
	      atomic_load_explicit(&actor->killed, memory_order_relaxed);
	if (!run) {
		actor->phase = PHASE_IDLE;
		if (actor->inbox)
			cu_actor_wake(ctx->sys, slot, actor);
		else if (actor->first_ticks)
			cu_wheel_arm(ctx->sys, slot, actor);
	}
	slot_unlock(ctx->sys, slot, actor);
	if (run)
		cu_actor_run(ctx->sys, actor, ctx->id, NULL, false);
	return 0;
}

int cu_actor_start(cu_actor_system *sys, const struct cu_behaviour *behaviour, void *state, cu_actor_id *ret_id)
{
	struct cu_actor_ctx ctx = { 0 };
	cu_actor_id id;
	int rc = slot_open(sys, behaviour, state, &ctx);

	if (rc < 0)
		return rc;
	id = ctx.id;
	rc = slot_begin(&ctx, behaviour, state);
	if (rc != 0)
		slot_abandon(&ctx, rc);
	else if (ret_id)
		*ret_id = id;
	return rc;
}

/* CU_EEXIST and who has it. Taken, but by nobody: the owner left between the two looks, which does not happen many
 * times in a row; or, with a service that gives no reasons, the scope is unknown. */
static int name_claim(const struct cu_actor_name *name, const struct cu_actor_ctx *ctx, cu_actor_id *ret_owner)
{
	const struct cu_name_service *service = name->service;
	unsigned attempt;

	for (attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
		int rc = CU_EEXIST;

		if (service->claim_name)
			rc = service->claim_name(name->scope, name->key, ctx->id);
		else if (service->register_name(name->scope, name->key, ctx->id))
			rc = 0;
		if (rc != CU_EEXIST)
			return rc;
		*ret_owner = cu_actor_resolve(name);
		if (*ret_owner != CU_ACTOR_NONE)
			return CU_EEXIST;
	}
	return service->claim_name ? CU_EAGAIN : CU_ENOTFOUND;
}

int cu_actor_start_named(cu_actor_system *sys, const struct cu_actor_name *name, const struct cu_behaviour *behaviour,
			 void *state, cu_actor_id *ret_id)
{
	struct cu_actor_ctx ctx = { 0 };
	cu_actor_id owner = CU_ACTOR_NONE;
	cu_actor_id id;
	int rc = slot_open(sys, behaviour, state, &ctx);

	if (rc < 0)
		return rc;
	id = ctx.id;
	rc = name_claim(name, &ctx, &owner);
	if (rc < 0) {
		slot_abandon(&ctx, rc);
		if (rc == CU_EEXIST && ret_id)
			*ret_id = owner;
		return rc;
	}
	rc = slot_begin(&ctx, behaviour, state);
	if (rc != 0) {
		name->service->forget_name(name->scope, name->key, id);
		slot_abandon(&ctx, rc);
	} else if (ret_id) {
		*ret_id = id;
	}
	return rc;
}

cu_actor_id cu_actor_resolve(const struct cu_actor_name *name)
{
	return name->service->whereis_name(name->scope, name->key);
}

int cu_actor_send(cu_actor_system *sys, cu_actor_id id, uint32_t type, void *payload, void (*drop)(void *payload))
{
	struct send_node *sent = cu_try_malloc(sizeof *sent);
	struct actor *actor;
	int rc = CU_ENOTFOUND;

	if (!sent)
		return CU_ENOMEM;
	sent->node = (struct node){ NULL, type, NODE_SEND, payload };
	sent->drop = drop;
	actor = cu_actor_lock(sys, id);
	if (!actor)
		goto out;
	if (actor->phase == PHASE_EXITING)
		goto unlock;
	if (actor->inbox_sends >= sys->mailbox_max) {
		rc = CU_EFULL;
		goto unlock;
	}
	actor->inbox_sends++;
	cu_inbox_push(actor, &sent->node);
	cu_actor_wake(sys, id_slot(id), actor);
	sent = NULL;
	rc = 0;
unlock:
	slot_unlock(sys, id_slot(id), actor);
out:
	free(sent);
	return rc;
}

int cu_actor_send_named(cu_actor_system *sys, const struct cu_actor_name *name, uint32_t type, void *payload,
			void (*drop)(void *payload))
{
	return cu_actor_send(sys, cu_actor_resolve(name), type, payload, drop);
}

int cu_actor_kill(cu_actor_system *sys, cu_actor_id id, const struct cu_exit_reason *reason)
{
	struct cu_actor_ctx ctx = { .sys = sys, .id = id };
	struct cu_exit_reason killed;
	struct actor *actor;
	bool ours = false;

	if (!reason) {
		cu_exit_reason_set(&killed, CU_EXIT_KILLED, 0, NULL);
		reason = &killed;
	}
	actor = cu_actor_lock(sys, id);
	if (!actor)
		return CU_ENOTFOUND;
	if (actor->phase == PHASE_IDLE || actor->phase == PHASE_QUEUED || CU_MUTANT(KILL_IGNORES_OWNER)) {
		actor->phase = PHASE_EXITING;
		ours = true;
	} else if (actor->phase == PHASE_RUNNING && !atomic_load_explicit(&actor->killed, memory_order_relaxed)) {
		/* A kill is never refused: without memory for its reason it is a plain one. */
		if (!actor->extra)
			actor->extra = cu_try_zalloc(sizeof *actor->extra);
		if (actor->extra)
			actor->extra->kill_reason = *reason;
		atomic_store_explicit(&actor->killed, 1, memory_order_release);
	}
	slot_unlock(sys, id_slot(id), actor);
	if (ours) {
		ctx.actor = actor;
		cu_actor_die(&ctx, NULL, reason);
	}
	return 0;
}

bool cu_actor_alive(cu_actor_system *sys, cu_actor_id id)
{
	struct actor *actor = cu_actor_lock(sys, id);

	if (actor)
		slot_unlock(sys, id_slot(id), actor);
	return actor != NULL;
}

bool cu_actor_hibernating(cu_actor_system *sys, cu_actor_id id)
{
	struct actor *actor = cu_actor_lock(sys, id);
	bool hibernating = actor && actor->flags & ACTOR_HIBERNATED;

	if (actor)
		slot_unlock(sys, id_slot(id), actor);
	return hibernating;
}
