/* The contracts of the consumer registry, one test per sentence.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "base/log.h"
#include "copper/consumer_registry.h"

#include <stdio.h>
#include <stdlib.h>

#define STACK "test-stack"

enum mood { MOOD_HANDLE, MOOD_SUSPEND, MOOD_CRASH, MOOD_CLEANUP, MOOD_REPLY_THEN_END };

struct world;

struct consumer {
	struct world *world;
	char handle[32];
	enum mood mood;
	bool busy; /* something is pending: may not suspend */
	bool keeps_entry;
	unsigned hibernated;
	void *seen[8];
	unsigned seen_count;
};

struct world {
	cu_actor_system *sys;
	cu_consumer_registry *reg;
	/* what start_consumer does */
	enum mood start_mood[8]; /* mood of the n-th started consumer */
	int start_error;         /* for the handle "bad" */
	int start_fails_later;   /* on_start's code */
	bool start_unnamed;
	unsigned started;
	char last_started[32];
	struct consumer *last; /* borrowed; valid while it lives */
	unsigned handled;
	void *last_event;
	unsigned exits;
	struct cu_exit_reason last_exit;
	unsigned removals;
	char removed[4][32];
	size_t removed_count;
	void (*in_message)(struct consumer *consumer, cu_actor_id id);
	void (*in_exit)(struct consumer *consumer);
	void (*in_removal)(struct world *world);
};

static int consumer_on_start(struct cu_actor_ctx *ctx, void *state)
{
	struct consumer *consumer = state;

	(void)ctx;
	return consumer->world->start_fails_later;
}

static enum cu_verdict consumer_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct consumer *consumer = state;
	struct world *world = consumer->world;

	world->handled++;
	world->last_event = msg->payload;
	if (consumer->seen_count < CU_ARRAY_LEN(consumer->seen))
		consumer->seen[consumer->seen_count++] = msg->payload;
	if (world->in_message)
		world->in_message(consumer, cu_actor_self(ctx));
	switch (consumer->mood) {
	case MOOD_SUSPEND: return cu_actor_end(ctx, CU_EXIT_SUSPEND, 0, NULL);
	case MOOD_CRASH: return cu_actor_end(ctx, CU_EXIT_ERROR, -77, "boom");
	case MOOD_CLEANUP: return cu_actor_end(ctx, CU_EXIT_CLEANUP, 0, "shape removed");
	case MOOD_REPLY_THEN_END: cu_actor_reply(ctx); return CU_VERDICT_EXIT;
	default: return CU_VERDICT_CONTINUE;
	}
}

static void consumer_on_hibernate(void *state)
{
	((struct consumer *)state)->hibernated++;
}

static bool consumer_may_suspend(void *state)
{
	struct consumer *consumer = state;

	return !consumer->busy && cu_stack_config_may_suspend(STACK);
}

static void consumer_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct consumer *consumer = state;
	struct world *world = consumer->world;

	world->exits++;
	world->last_exit = *reason;
	if (world->in_exit)
		world->in_exit(consumer);
	if (reason->kind == CU_EXIT_SUSPEND && !consumer->keeps_entry)
		cu_consumer_remove_if(STACK, consumer->handle, cu_actor_self(ctx));
	free(consumer);
}

static const struct cu_behaviour consumer_behaviour = {
	.name = "consumer",
	.on_start = consumer_on_start,
	.on_message = consumer_on_message,
	.on_hibernate = consumer_on_hibernate,
	.may_suspend = consumer_may_suspend,
	.on_exit = consumer_on_exit,
};

static struct consumer *consumer_new(struct world *world, const char *handle, enum mood mood)
{
	struct consumer *consumer = cu_xzalloc(sizeof *consumer);

	consumer->world = world;
	consumer->mood = mood;
	snprintf(consumer->handle, sizeof consumer->handle, "%s", handle);
	return consumer;
}

static cu_actor_id consumer_run(struct world *world, const char *handle, enum mood mood);

static int start_consumer(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct world *world = ctx;
	struct cu_actor_name name = cu_consumer_name(STACK, handle);
	struct consumer *consumer;
	int rc;

	if (strncmp(handle, "gone", 4) == 0)
		return CU_ENOTFOUND;
	if (strcmp(handle, "bad") == 0)
		return world->start_error;
	if (strcmp(handle, "half") == 0) {
		/* Registers, dies, fails. */
		consumer_run(world, handle, MOOD_HANDLE);
		cu_actor_kill(world->sys, cu_consumer_whereis(STACK, handle), NULL);
		return CU_EBUSY;
	}
	consumer = consumer_new(world, handle, world->start_mood[world->started % 8]);
	world->started++;
	snprintf(world->last_started, sizeof world->last_started, "%s", handle);
	if (world->start_unnamed) {
		rc = cu_actor_start(world->sys, &consumer_behaviour, consumer, ret_id);
		assert_int_equal(cu_consumer_register(STACK, handle, *ret_id), 0);
	} else {
		rc = cu_actor_start_named(world->sys, &name, &consumer_behaviour, consumer, ret_id);
	}
	if (rc != 0)
		free(consumer);
	else
		world->last = consumer;
	return rc;
}

static void remove_shapes(void *ctx, const char *const *handles, size_t count)
{
	struct world *world = ctx;
	size_t i;

	world->removals++;
	world->removed_count = count;
	if (world->in_removal)
		world->in_removal(world);
	for (i = 0; i < count && i < CU_ARRAY_LEN(world->removed); i++)
		snprintf(world->removed[i], sizeof world->removed[i], "%s", handles[i]);
}

static int setup(void **state)
{
	struct world *world = cu_xzalloc(sizeof *world);
	const struct cu_actor_system_opts sys_opts = { .manual_clock = true };
	struct cu_consumer_registry_opts opts = { .start_consumer = start_consumer, .remove_shapes = remove_shapes };

	cu_log_level_max = CU_LOG_ERROR;
	world->start_error = CU_EIO;
	assert_int_equal(cu_actor_system_new(&sys_opts, &world->sys), 0);
	opts.system = world->sys;
	opts.ctx = world;
	assert_int_equal(cu_consumer_registry_new(STACK, &opts, &world->reg), 0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	cu_actor_system_stop(world->sys);
	cu_consumer_registry_free(&world->reg);
	cu_actor_system_free(&world->sys);
	free(world);
	return 0;
}

static cu_actor_id consumer_run(struct world *world, const char *handle, enum mood mood)
{
	struct cu_actor_name name = cu_consumer_name(STACK, handle);
	struct consumer *consumer = consumer_new(world, handle, mood);
	cu_actor_id id;

	assert_int_equal(cu_actor_start_named(world->sys, &name, &consumer_behaviour, consumer, &id), 0);
	world->last = consumer;
	return id;
}

static size_t publish_one(struct world *world, const char *handle, void *event, struct cu_delivery *ret_delivery)
{
	*ret_delivery = (struct cu_delivery){ .handle = handle, .event = event };
	return cu_consumer_registry_publish(world->reg, ret_delivery, 1);
}

static int event_1, event_2;

static void publish_starts_the_consumer_on_its_first_message(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	assert_int_equal(cu_consumer_active_count(STACK), 0);
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	assert_int_equal(delivery.status, CU_DELIVERED);
	assert_int_equal(world->started, 1);
	assert_ptr_equal(world->last_event, &event_1);
	assert_int_equal(cu_consumer_active_count(STACK), 1);
	assert_true(delivery.id == cu_consumer_whereis(STACK, "h1"));
}

static void publish_uses_the_running_consumer(void **state)
{
	struct world *world = *state;
	struct cu_delivery first, second;

	publish_one(world, "h1", &event_1, &first);
	assert_int_equal(publish_one(world, "h1", &event_2, &second), 0);
	assert_int_equal(world->started, 1);
	assert_int_equal(world->handled, 2);
	assert_ptr_equal(world->last_event, &event_2);
	assert_true(first.id == second.id);
}

static void publish_starts_only_the_missing_consumers(void **state)
{
	struct world *world = *state;
	struct cu_delivery first;
	struct cu_delivery both[2] = { { .handle = "h1", .event = &event_1 }, { .handle = "h2", .event = &event_2 } };

	publish_one(world, "h1", &event_1, &first);
	assert_int_equal(cu_consumer_registry_publish(world->reg, both, 2), 0);
	assert_int_equal(world->started, 2);
	assert_string_equal(world->last_started, "h2");
	assert_int_equal(world->handled, 3);
	assert_int_equal(cu_consumer_active_count(STACK), 2);
}

static void publish_of_nothing_does_nothing(void **state)
{
	struct world *world = *state;

	assert_int_equal(cu_consumer_registry_publish(world->reg, NULL, 0), 0);
	assert_int_equal(world->started, 0);
}

static void a_suspended_consumer_is_retried_once_with_the_same_event(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;
	cu_actor_id old = consumer_run(world, "h1", MOOD_SUSPEND);

	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	assert_int_equal(delivery.status, CU_DELIVERED);
	assert_int_equal(world->started, 1);
	assert_int_equal(world->handled, 2);
	assert_ptr_equal(world->last->seen[0], &event_1);
	assert_true(delivery.id != old);
	assert_int_equal(world->removals, 0);
}

static void the_retry_removes_an_entry_its_consumer_left_behind(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	consumer_run(world, "h1", MOOD_SUSPEND);
	world->last->keeps_entry = true;
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	assert_int_equal(world->started, 1);
	assert_int_equal(cu_consumer_active_count(STACK), 1);
}

static void a_consumer_that_suspends_again_loses_its_shape(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	world->start_mood[0] = MOOD_SUSPEND;
	world->start_mood[1] = MOOD_SUSPEND;
	assert_int_equal(publish_one(world, "stubborn", &event_1, &delivery), 1);
	assert_int_equal(delivery.status, CU_SHAPE_REMOVED);
	assert_int_equal(world->started, 2);
	assert_int_equal(world->handled, 2);
	assert_int_equal(world->removals, 1);
	assert_int_equal(world->removed_count, 1);
	assert_string_equal(world->removed[0], "stubborn");
}

static void two_events_for_a_stubborn_handle_remove_its_shape_once(void **state)
{
	struct world *world = *state;
	struct cu_delivery both[2] = { { .handle = "h1", .event = &event_1 }, { .handle = "h1", .event = &event_2 } };

	world->start_mood[0] = MOOD_SUSPEND;
	world->start_mood[1] = MOOD_SUSPEND;
	assert_int_equal(cu_consumer_registry_publish(world->reg, both, 2), 2);
	assert_int_equal(both[0].status, CU_SHAPE_REMOVED);
	assert_int_equal(both[1].status, CU_SHAPE_REMOVED);
	assert_int_equal(world->removed_count, 1);
}

static void two_events_for_one_handle_both_reach_its_one_consumer_in_order(void **state)
{
	struct world *world = *state;
	struct cu_delivery both[2] = { { .handle = "h1", .event = &event_1 }, { .handle = "h1", .event = &event_2 } };

	assert_int_equal(cu_consumer_registry_publish(world->reg, both, 2), 0);
	assert_int_equal(world->started, 1);
	assert_int_equal(world->last->seen_count, 2);
	assert_ptr_equal(world->last->seen[0], &event_1);
	assert_ptr_equal(world->last->seen[1], &event_2);
}

static void a_dead_id_is_noproc_not_restarted_and_keeps_its_entry(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;
	cu_actor_id dead = consumer_run(world, "h1", MOOD_HANDLE);

	assert_int_equal(cu_actor_kill(world->sys, dead, NULL), 0);
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 1);
	assert_int_equal(delivery.status, CU_CRASHED);
	assert_int_equal(delivery.reason.kind, CU_EXIT_NOPROC);
	assert_int_equal(world->started, 0);
	assert_int_equal(cu_consumer_active_count(STACK), 1);
	assert_true(cu_consumer_whereis(STACK, "h1") == dead);
}

static void a_dead_id_is_noproc_even_when_its_shape_is_gone(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	assert_int_equal(cu_actor_kill(world->sys, consumer_run(world, "gone", MOOD_HANDLE), NULL), 0);
	assert_int_equal(publish_one(world, "gone", &event_1, &delivery), 1);
	assert_int_equal(delivery.status, CU_CRASHED);
	assert_int_equal(delivery.reason.kind, CU_EXIT_NOPROC);
}

/* Another one has the handle by the time it cleans up. */
static void successor_comes(struct consumer *consumer)
{
	cu_consumer_remove(STACK, consumer->handle);
	assert_int_equal(cu_consumer_register(STACK, consumer->handle, 99), 0);
}

static void the_own_clean_up_of_a_suspended_consumer_never_removes_its_successors_entry(void **state)
{
	struct world *world = *state;
	struct cu_exit_reason reason;

	cu_exit_reason_set(&reason, CU_EXIT_SUSPEND, 0, NULL);
	world->in_exit = successor_comes;
	assert_int_equal(cu_actor_kill(world->sys, consumer_run(world, "h1", MOOD_HANDLE), &reason), 0);
	assert_true(cu_consumer_whereis(STACK, "h1") == 99);
}

static void publish_inside(struct world *world)
{
	struct cu_delivery delivery;

	world->in_removal = NULL;
	cu_consumer_registry_remove(world->reg, "stubborn");
	assert_int_equal(publish_one(world, "other", &event_2, &delivery), 0);
}

static void remove_shapes_may_use_the_registry_itself(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	world->start_mood[0] = MOOD_SUSPEND;
	world->start_mood[1] = MOOD_SUSPEND;
	world->in_removal = publish_inside;
	assert_int_equal(publish_one(world, "stubborn", &event_1, &delivery), 1);
	assert_int_equal(delivery.status, CU_SHAPE_REMOVED);
	assert_ptr_equal(world->last_event, &event_2);
}

static void a_crash_is_its_reason_and_leaves_the_others_alone(void **state)
{
	struct world *world = *state;
	struct cu_delivery all[3] = { { .handle = "crash", .event = &event_1 },
				      { .handle = "ok", .event = &event_1 },
				      { .handle = "suspend", .event = &event_1 } };

	consumer_run(world, "crash", MOOD_CRASH);
	consumer_run(world, "ok", MOOD_HANDLE);
	consumer_run(world, "suspend", MOOD_SUSPEND);
	assert_int_equal(cu_consumer_registry_publish(world->reg, all, 3), 1);
	assert_int_equal(all[0].status, CU_CRASHED);
	assert_int_equal(all[0].reason.kind, CU_EXIT_ERROR);
	assert_int_equal(all[0].reason.code, -77);
	assert_string_equal(all[0].reason.text, "boom");
	assert_int_equal(all[1].status, CU_DELIVERED);
	assert_int_equal(all[2].status, CU_DELIVERED);
	assert_int_equal(world->started, 1);
	assert_string_equal(world->last_started, "suspend");
}

static void a_clean_up_during_the_event_is_reported_with_its_reason(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	consumer_run(world, "h1", MOOD_CLEANUP);
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 1);
	assert_int_equal(delivery.status, CU_CRASHED);
	assert_int_equal(delivery.reason.kind, CU_EXIT_CLEANUP);
}

static void an_early_reply_counts_as_delivered_whatever_comes_after(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;
	cu_actor_id id = consumer_run(world, "h1", MOOD_REPLY_THEN_END);

	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	assert_int_equal(delivery.status, CU_DELIVERED);
	assert_false(cu_actor_alive(world->sys, id));
}

static void an_unknown_shape_is_no_shape_and_the_rest_is_delivered(void **state)
{
	struct world *world = *state;
	struct cu_delivery both[2] = { { .handle = "gone", .event = &event_1 }, { .handle = "h1", .event = &event_1 } };

	assert_int_equal(cu_consumer_registry_publish(world->reg, both, 2), 1);
	assert_int_equal(both[0].status, CU_NO_SHAPE);
	assert_true(both[0].id == CU_ACTOR_NONE);
	assert_int_equal(both[1].status, CU_DELIVERED);
	assert_int_equal(cu_consumer_active_count(STACK), 1);
}

static void a_start_error_is_undeliverable_with_that_error_and_the_rest_is_delivered(void **state)
{
	struct world *world = *state;
	struct cu_delivery both[2] = { { .handle = "bad", .event = &event_1 }, { .handle = "h1", .event = &event_1 } };

	assert_int_equal(cu_consumer_registry_publish(world->reg, both, 2), 1);
	assert_int_equal(both[0].status, CU_START_FAILED);
	assert_int_equal(both[0].reason.code, CU_EIO);
	assert_int_equal(both[1].status, CU_DELIVERED);
	assert_true(cu_consumer_whereis(STACK, "bad") == CU_ACTOR_NONE);
	assert_int_equal(cu_consumer_active_count(STACK), 1);
}

static void a_start_that_fails_after_registering_leaves_no_entry(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	world->start_fails_later = CU_ECORRUPT;
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 1);
	assert_int_equal(delivery.status, CU_START_FAILED);
	assert_int_equal(delivery.reason.code, CU_ECORRUPT);
	assert_int_equal(cu_consumer_active_count(STACK), 0);
	assert_int_equal(cu_actor_system_count(world->sys), 0);
	assert_int_equal(world->exits, 0);
}

static void a_start_that_dies_half_way_leaves_no_entry(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	assert_int_equal(publish_one(world, "half", &event_1, &delivery), 1);
	assert_int_equal(delivery.status, CU_START_FAILED);
	assert_int_equal(delivery.reason.code, CU_EBUSY);
	assert_int_equal(cu_consumer_active_count(STACK), 0);
}

static void a_consumer_may_register_by_stack_id_instead_of_by_name(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	world->start_unnamed = true;
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	assert_true(cu_consumer_whereis(STACK, "h1") == delivery.id);
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	assert_int_equal(world->started, 1);
}

static void a_second_start_under_a_name_answers_with_the_first_id(void **state)
{
	struct world *world = *state;
	struct cu_actor_name name = cu_consumer_name(STACK, "h1");
	cu_actor_id first = consumer_run(world, "h1", MOOD_HANDLE);
	struct consumer *second = consumer_new(world, "h1", MOOD_HANDLE);
	cu_actor_id id = CU_ACTOR_NONE;

	assert_int_equal(cu_actor_start_named(world->sys, &name, &consumer_behaviour, second, &id), CU_EEXIST);
	assert_true(id == first);
	free(second);
	assert_int_equal(cu_actor_send_named(world->sys, &name, CU_MSG_USER, &event_1, NULL), 0);
	cu_actor_system_run(world->sys);
	assert_ptr_equal(world->last_event, &event_1);
	assert_true(cu_consumer_whereis_name(STACK, "h1") == first);
}

static void a_name_in_an_unknown_stack_starts_nobody(void **state)
{
	struct world *world = *state;
	struct cu_actor_name name = cu_consumer_name("nowhere", "h1");
	struct consumer *consumer = consumer_new(world, "h1", MOOD_HANDLE);
	cu_actor_id id;

	assert_int_equal(cu_actor_start_named(world->sys, &name, &consumer_behaviour, consumer, &id), CU_ENOTFOUND);
	assert_int_equal(cu_actor_send_named(world->sys, &name, CU_MSG_USER, NULL, NULL), CU_ENOTFOUND);
	assert_int_equal(cu_actor_system_count(world->sys), 0);
	free(consumer);
}

static void unregister_name_changes_nothing(void **state)
{
	struct world *world = *state;
	cu_actor_id id = consumer_run(world, "h1", MOOD_HANDLE);

	cu_consumer_unregister_name(STACK, "h1");
	assert_true(cu_consumer_whereis(STACK, "h1") == id);
	assert_int_equal(cu_consumer_active_count(STACK), 1);
}

static void the_first_registration_stays(void **state)
{
	struct world *world = *state;

	assert_int_equal(cu_consumer_register(STACK, "h1", 11), 0);
	assert_int_equal(cu_consumer_registry_register(world->reg, "h1", 12), CU_EEXIST);
	assert_int_equal(cu_consumer_table_register(cu_consumer_registry_table(world->reg), "h1", 13), CU_EEXIST);
	assert_int_equal(cu_consumer_register(STACK, "h1", 11), 0);
	assert_false(cu_consumer_register_name(STACK, "h1", 14));
	assert_true(cu_consumer_register_name(STACK, "h2", 15));
	assert_int_equal(cu_consumer_registry_register(world->reg, "h3", CU_ACTOR_NONE), CU_EINVAL);
	assert_true(cu_consumer_whereis(STACK, "h1") == 11);
	assert_int_equal(cu_consumer_registry_active_count(world->reg), 2);
}

static void removal_is_idempotent_and_the_next_event_starts_anew(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	consumer_run(world, "h1", MOOD_HANDLE);
	cu_consumer_remove(STACK, "h1");
	cu_consumer_registry_remove(world->reg, "h1");
	cu_consumer_remove(STACK, "h1");
	assert_int_equal(cu_consumer_active_count(STACK), 0);
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	assert_int_equal(world->started, 1);
	assert_int_equal(cu_consumer_active_count(STACK), 1);
}

static void remove_if_never_hits_a_successor(void **state)
{
	struct world *world = *state;

	cu_consumer_register(STACK, "h1", 11);
	assert_true(cu_consumer_remove_if(STACK, "h1", 11));
	cu_consumer_register(STACK, "h1", 12);
	assert_false(cu_consumer_remove_if(STACK, "h1", 11));
	assert_false(cu_consumer_registry_remove_if(world->reg, "h1", CU_ACTOR_NONE));
	assert_true(cu_consumer_whereis(STACK, "h1") == 12);
}

static void an_unknown_stack_has_nothing_and_does_no_harm(void **state)
{
	(void)state;
	assert_int_equal(cu_consumer_active_count("nowhere"), 0);
	assert_true(cu_consumer_whereis("nowhere", "h1") == CU_ACTOR_NONE);
	assert_int_equal(cu_consumer_register("nowhere", "h1", 11), CU_ENOTFOUND);
	assert_false(cu_consumer_register_name("nowhere", "h1", 11));
	assert_false(cu_consumer_remove_if("nowhere", "h1", 11));
	cu_consumer_remove("nowhere", "h1");
	assert_int_equal(cu_consumer_enable_suspend("nowhere", 1, 2), CU_ENOTFOUND);
}

static void a_stack_id_has_one_registry_and_is_free_again_afterwards(void **state)
{
	struct world *world = *state;
	struct cu_consumer_registry_opts opts = { .system = world->sys,
						  .start_consumer = start_consumer,
						  .ctx = world };
	cu_consumer_registry *other = NULL;

	assert_int_equal(cu_consumer_registry_new(STACK, &opts, &other), CU_EEXIST);
	assert_null(other);
	assert_int_equal(cu_consumer_registry_new("", &opts, &other), CU_EINVAL);
	assert_int_equal(cu_consumer_registry_new("other", &opts, &other), 0);
	cu_consumer_register("other", "h1", 11);
	assert_true(cu_consumer_whereis(STACK, "h1") == CU_ACTOR_NONE);
	cu_consumer_registry_free(&other);
	assert_int_equal(cu_consumer_active_count("other"), 0);
	assert_int_equal(cu_consumer_registry_new("other", &opts, &other), 0);
	cu_consumer_registry_free(&other);
}

static void broadcast_skips_missing_ids_and_sorts_the_rest(void **state)
{
	struct world *world = *state;
	struct cu_delivery all[5] = { { .handle = "ok", .event = &event_1 },
				      { .handle = "none", .event = &event_1 },
				      { .handle = "suspend", .event = &event_2 },
				      { .handle = "crash", .event = &event_1 },
				      { .handle = "dead", .event = &event_1 } };

	all[0].id = consumer_run(world, "ok", MOOD_HANDLE);
	all[2].id = consumer_run(world, "suspend", MOOD_SUSPEND);
	all[3].id = consumer_run(world, "crash", MOOD_CRASH);
	all[4].id = consumer_run(world, "dead", MOOD_HANDLE);
	cu_actor_kill(world->sys, all[4].id, NULL);
	assert_int_equal(cu_consumer_broadcast(world->sys, all, 5), 3);
	assert_int_equal(all[0].status, CU_DELIVERED);
	assert_int_equal(all[1].status, CU_SKIPPED);
	assert_int_equal(all[2].status, CU_SUSPENDED);
	assert_ptr_equal(all[2].event, &event_2);
	assert_int_equal(all[3].status, CU_CRASHED);
	assert_int_equal(all[4].reason.kind, CU_EXIT_NOPROC);
	assert_int_equal(world->started, 0);
}

static void broadcast_to_one_id_twice_delivers_twice(void **state)
{
	struct world *world = *state;
	struct cu_delivery both[2] = { { .handle = "h1", .event = &event_1 }, { .handle = "h1", .event = &event_2 } };

	both[0].id = both[1].id = consumer_run(world, "h1", MOOD_HANDLE);
	assert_int_equal(cu_consumer_broadcast(world->sys, both, 2), 0);
	assert_int_equal(world->handled, 2);
	assert_int_equal(cu_consumer_broadcast(world->sys, NULL, 0), 0);
}

static void every_one_of_a_large_fan_out_is_delivered(void **state)
{
	struct world *world = *state;
	enum { COUNT = 3000 };
	struct cu_delivery *all = calloc(COUNT, sizeof *all);
	char(*handles)[16] = calloc(COUNT, sizeof *handles);
	unsigned round;
	size_t i;

	for (i = 0; i < COUNT; i++)
		snprintf(handles[i], sizeof handles[i], "%s%zu", i % 10 == 9 ? "gone" : "h", i);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < COUNT; i++)
			all[i] = (struct cu_delivery){ .handle = handles[i], .event = &event_1 };
		/* The last round has no memory for its calls. */
		cu_fault_alloc_at(round == 2 ? COUNT / 10 + 1 : 0);
		assert_int_equal(cu_consumer_registry_publish(world->reg, all, COUNT), COUNT / 10);
		cu_fault_alloc_at(0);
	}
	assert_int_equal(world->started, COUNT - COUNT / 10);
	assert_int_equal(world->handled, 3 * (COUNT - COUNT / 10));
	assert_int_equal(cu_consumer_active_count(STACK), COUNT - COUNT / 10);
	for (i = 0; i < COUNT; i++)
		cu_consumer_remove(STACK, handles[i]);
	assert_int_equal(cu_consumer_active_count(STACK), 0);
	free(all);
	free(handles);
}

/* A consumer that suspends between the look-up and the delivery: here another event's consumer makes it happen. */
static cu_actor_id suspends_meanwhile;

static void suspend_the_other(struct consumer *consumer, cu_actor_id id)
{
	struct cu_exit_reason reason;

	(void)id;
	if (strcmp(consumer->handle, "first") != 0)
		return;
	cu_exit_reason_set(&reason, CU_EXIT_SUSPEND, 0, NULL);
	cu_actor_kill(consumer->world->sys, suspends_meanwhile, &reason);
}

static void an_event_that_waits_in_the_mailbox_survives_the_suspension(void **state)
{
	struct world *world = *state;
	struct cu_delivery both[2] = { { .handle = "first", .event = &event_1 },
				       { .handle = "second", .event = &event_2 } };

	consumer_run(world, "first", MOOD_HANDLE);
	suspends_meanwhile = consumer_run(world, "second", MOOD_HANDLE);
	world->in_message = suspend_the_other;
	assert_int_equal(cu_consumer_registry_publish(world->reg, both, 2), 0);
	assert_int_equal(world->started, 1);
	assert_ptr_equal(world->last->seen[0], &event_2);
	assert_int_equal(world->last->seen_count, 1);
}

/* start_consumer of a later handle suspends the consumer that an earlier one has been resolved to. */
static int start_and_suspend(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct world *world = ctx;
	struct cu_exit_reason reason;

	cu_exit_reason_set(&reason, CU_EXIT_SUSPEND, 0, NULL);
	cu_actor_kill(world->sys, suspends_meanwhile, &reason);
	return start_consumer(ctx, handle, ret_id);
}

static void a_consumer_that_suspends_right_after_the_look_up_is_retried(void **state)
{
	struct world *world = *state;
	struct cu_consumer_registry_opts opts = { .system = world->sys,
						  .start_consumer = start_and_suspend,
						  .ctx = world };
	struct cu_delivery both[2] = { { .handle = "early", .event = &event_1 },
				       { .handle = "late", .event = &event_2 } };

	cu_consumer_registry_free(&world->reg);
	assert_int_equal(cu_consumer_registry_new(STACK, &opts, &world->reg), 0);
	suspends_meanwhile = consumer_run(world, "early", MOOD_HANDLE);
	assert_int_equal(cu_consumer_registry_publish(world->reg, both, 2), 0);
	assert_int_equal(world->started, 2);
	assert_int_equal(world->handled, 2);
	assert_string_equal(world->last_started, "early");
}

static void enable_suspend_needs_a_jitter_longer_than_the_hibernate_time(void **state)
{
	(void)state;
	assert_int_equal(cu_consumer_enable_suspend(STACK, 0, 10), CU_EINVAL);
	assert_int_equal(cu_consumer_enable_suspend(STACK, 10, 10), CU_EINVAL);
	assert_int_equal(cu_consumer_enable_suspend_after(STACK, 10, 5, 9), CU_EINVAL);
	assert_int_equal(cu_consumer_enable_suspend(STACK, 10, 11), 0);
}

static void the_short_enable_suspend_suspends_within_the_jitter_without_hibernating(void **state)
{
	struct world *world = *state;
	cu_actor_id a = consumer_run(world, "h1", MOOD_HANDLE);
	cu_actor_id b = consumer_run(world, "h2", MOOD_HANDLE);

	cu_consumer_register(STACK, "dead", 0x7f00000000000001ull);
	assert_int_equal(cu_consumer_enable_suspend(STACK, 1000, 5000), 3);
	cu_actor_system_tick(world->sys, 900);
	assert_true(cu_actor_alive(world->sys, a) && cu_actor_alive(world->sys, b));
	cu_actor_system_tick(world->sys, 5100);
	assert_false(cu_actor_alive(world->sys, a) || cu_actor_alive(world->sys, b));
	assert_int_equal(world->last_exit.kind, CU_EXIT_SUSPEND);
	assert_int_equal(cu_consumer_active_count(STACK), 1);
}

static void enable_suspend_hibernates_first_then_suspends(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;
	cu_actor_id id = consumer_run(world, "h1", MOOD_HANDLE);

	assert_int_equal(cu_consumer_enable_suspend_after(STACK, 1000, 3000, 1001), 1);
	cu_actor_system_tick(world->sys, 1200);
	assert_true(cu_actor_hibernating(world->sys, id));
	assert_int_equal(world->last->hibernated, 1);
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	assert_false(cu_actor_hibernating(world->sys, id));
	cu_actor_system_tick(world->sys, 2000);
	assert_false(cu_actor_hibernating(world->sys, id));
	cu_actor_system_tick(world->sys, 2500);
	assert_true(cu_actor_hibernating(world->sys, id));
	cu_actor_system_tick(world->sys, 5300);
	assert_true(cu_actor_alive(world->sys, id));
	cu_actor_system_tick(world->sys, 5600);
	assert_false(cu_actor_alive(world->sys, id));
	assert_int_equal(cu_consumer_active_count(STACK), 0);
}

static void a_consumer_with_something_pending_hibernates_but_does_not_suspend(void **state)
{
	struct world *world = *state;
	cu_actor_id id = consumer_run(world, "h1", MOOD_HANDLE);

	world->last->busy = true;
	cu_consumer_enable_suspend(STACK, 1000, 1001);
	cu_actor_system_tick(world->sys, 10000);
	assert_true(cu_actor_alive(world->sys, id));
	assert_true(cu_actor_hibernating(world->sys, id));
	world->last->busy = false;
	cu_actor_system_tick(world->sys, 20000);
	assert_false(cu_actor_alive(world->sys, id));
}

static void switching_suspension_off_in_the_config_touches_no_consumer(void **state)
{
	struct world *world = *state;
	cu_actor_id id = consumer_run(world, "h1", MOOD_HANDLE);
	int64_t value;

	cu_consumer_enable_suspend(STACK, 1000, 1001);
	assert_int_equal(cu_stack_config_put(STACK, CU_CONFIG_ENABLE_SUSPEND, 0), 0);
	assert_int_equal(world->handled, 0);
	cu_actor_system_tick(world->sys, 100000);
	assert_true(cu_actor_alive(world->sys, id));
	assert_true(cu_stack_config_lookup(STACK, CU_CONFIG_HIBERNATE_AFTER, &value));
	assert_int_equal(value, 1000);
	assert_false(cu_stack_config_lookup(STACK, "no such key", &value));
	assert_int_equal(cu_stack_config_put("", "key", 1), CU_EINVAL);
	assert_int_equal(cu_consumer_enable_suspend(STACK, 1000, 1001), 1);
	cu_actor_system_tick(world->sys, 200000);
	assert_false(cu_actor_alive(world->sys, id));
}

static void a_consumer_registered_after_enable_suspend_gets_the_stored_settings(void **state)
{
	struct world *world = *state;
	struct cu_delivery delivery;

	cu_consumer_enable_suspend_after(STACK, 1000, 2000, 1001);
	assert_int_equal(publish_one(world, "h1", &event_1, &delivery), 0);
	cu_actor_system_tick(world->sys, 1100);
	assert_true(cu_actor_hibernating(world->sys, delivery.id));
	cu_actor_system_tick(world->sys, 3200);
	assert_false(cu_actor_alive(world->sys, delivery.id));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(publish_starts_the_consumer_on_its_first_message),
		TEST(publish_uses_the_running_consumer),
		TEST(publish_starts_only_the_missing_consumers),
		TEST(publish_of_nothing_does_nothing),
		TEST(a_suspended_consumer_is_retried_once_with_the_same_event),
		TEST(the_retry_removes_an_entry_its_consumer_left_behind),
		TEST(a_consumer_that_suspends_again_loses_its_shape),
		TEST(two_events_for_a_stubborn_handle_remove_its_shape_once),
		TEST(two_events_for_one_handle_both_reach_its_one_consumer_in_order),
		TEST(a_dead_id_is_noproc_not_restarted_and_keeps_its_entry),
		TEST(a_dead_id_is_noproc_even_when_its_shape_is_gone),
		TEST(the_own_clean_up_of_a_suspended_consumer_never_removes_its_successors_entry),
		TEST(remove_shapes_may_use_the_registry_itself),
		TEST(a_crash_is_its_reason_and_leaves_the_others_alone),
		TEST(a_clean_up_during_the_event_is_reported_with_its_reason),
		TEST(an_early_reply_counts_as_delivered_whatever_comes_after),
		TEST(an_unknown_shape_is_no_shape_and_the_rest_is_delivered),
		TEST(a_start_error_is_undeliverable_with_that_error_and_the_rest_is_delivered),
		TEST(a_start_that_fails_after_registering_leaves_no_entry),
		TEST(a_start_that_dies_half_way_leaves_no_entry),
		TEST(a_consumer_may_register_by_stack_id_instead_of_by_name),
		TEST(a_second_start_under_a_name_answers_with_the_first_id),
		TEST(a_name_in_an_unknown_stack_starts_nobody),
		TEST(unregister_name_changes_nothing),
		TEST(the_first_registration_stays),
		TEST(removal_is_idempotent_and_the_next_event_starts_anew),
		TEST(remove_if_never_hits_a_successor),
		TEST(an_unknown_stack_has_nothing_and_does_no_harm),
		TEST(a_stack_id_has_one_registry_and_is_free_again_afterwards),
		TEST(broadcast_skips_missing_ids_and_sorts_the_rest),
		TEST(broadcast_to_one_id_twice_delivers_twice),
		TEST(every_one_of_a_large_fan_out_is_delivered),
		TEST(an_event_that_waits_in_the_mailbox_survives_the_suspension),
		TEST(a_consumer_that_suspends_right_after_the_look_up_is_retried),
		TEST(enable_suspend_needs_a_jitter_longer_than_the_hibernate_time),
		TEST(the_short_enable_suspend_suspends_within_the_jitter_without_hibernating),
		TEST(enable_suspend_hibernates_first_then_suspends),
		TEST(a_consumer_with_something_pending_hibernates_but_does_not_suspend),
		TEST(switching_suspension_off_in_the_config_touches_no_consumer),
		TEST(a_consumer_registered_after_enable_suspend_gets_the_stored_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
