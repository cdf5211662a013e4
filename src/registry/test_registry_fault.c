/* Out of memory at every place: the n-th allocation of a whole scenario fails, once or from there on, for every n.
 * Each step says CU_ENOMEM (or does with less), has changed nothing, and works when it is asked again.
 * label: fault */
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

#define STACK "fault-stack"

enum { CONSUMERS = 40, ENTRIES = 60, HANDLE_MAX = 96 };

struct world {
	cu_actor_system *sys;
	cu_consumer_registry *reg;
	char handles[CONSUMERS][HANDLE_MAX];
	bool stubborn; /* consumers suspend with every event */
	unsigned living;
	unsigned handled;
	unsigned downs;
	unsigned dropped;
	unsigned removed;
	bool kills_itself;
	unsigned exits;
	struct cu_exit_reason last_exit;
};

struct consumer {
	struct world *world;
	const char *handle;
};

/* How the memory runs out; n counts over all steps of a run. */
static unsigned fault_n;
static bool fault_lasts;
static bool fault_struck;

static void fault_arm(void)
{
	if (fault_n == 0)
		return;
	if (fault_lasts)
		cu_fault_alloc_from(fault_n);
	else
		cu_fault_alloc_at(fault_n);
}

/* True: it struck during the step, and is over. */
static bool fault_disarm(void)
{
	unsigned left = cu_fault_alloc_at(0);
	bool struck = fault_n != 0 && left == 0;

	fault_n = struck ? 0 : left;
	fault_struck = fault_struck || struck;
	return struck;
}

/* A step that may be refused for want of memory, and then works. */
#define STEP(call)                                                    \
	do {                                                          \
		int64_t step_rc;                                      \
                                                                      \
		fault_arm();                                          \
		step_rc = (call);                                     \
		if (fault_disarm()) {                                 \
			if (step_rc < 0) {                            \
				assert_int_equal(step_rc, CU_ENOMEM); \
				step_rc = (call);                     \
			}                                             \
		}                                                     \
		assert_true(step_rc >= 0);                            \
	} while (0)

static enum cu_verdict consumer_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct consumer *consumer = state;
	struct world *world = consumer->world;
	struct cu_exit_reason reason;

	if (msg->type == CU_MSG_DOWN) {
		world->downs++;
		return CU_VERDICT_CONTINUE;
	}
	if (world->stubborn)
		return cu_actor_end(ctx, CU_EXIT_SUSPEND, 0, NULL);
	world->handled++;
	if (world->kills_itself) {
		cu_exit_reason_set(&reason, CU_EXIT_CLEANUP, 0, "removed");
		assert_int_equal(cu_actor_kill(world->sys, cu_actor_self(ctx), &reason), 0);
	}
	return CU_VERDICT_CONTINUE;
}

static bool consumer_may_suspend(void *state)
{
	(void)state;
	return true;
}

static void consumer_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct consumer *consumer = state;

	consumer->world->living--;
	consumer->world->exits++;
	consumer->world->last_exit = *reason;
	if (reason->kind == CU_EXIT_SUSPEND)
		cu_consumer_remove_if(STACK, consumer->handle, cu_actor_self(ctx));
	free(consumer);
}

static const struct cu_behaviour behaviour = {
	.name = "consumer",
	.on_message = consumer_on_message,
	.may_suspend = consumer_may_suspend,
	.on_exit = consumer_on_exit,
};

static int start_consumer(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct world *world = ctx;
	struct cu_actor_name name = cu_consumer_name(STACK, handle);
	struct consumer *consumer = malloc(sizeof *consumer);
	int rc;

	*consumer = (struct consumer){ world, handle };
	rc = cu_actor_start_named(world->sys, &name, &behaviour, consumer, ret_id);
	if (rc == 0)
		world->living++;
	else
		free(consumer);
	return rc;
}

static void remove_shapes(void *ctx, const char *const *handles, size_t count)
{
	struct world *world = ctx;

	(void)handles;
	world->removed += (unsigned)count;
}

/* Publishes one event to each of the first `count` handles. What memory refused must say so, and goes through when it
 * is published again. */
static void publish_step(struct world *world, unsigned count, enum cu_delivery_status expected)
{
	struct cu_delivery *all = calloc(count, sizeof *all);
	bool struck;
	unsigned i;

	for (i = 0; i < count; i++)
		all[i] = (struct cu_delivery){ .handle = world->handles[i], .event = world };
	fault_arm();
	(void)cu_consumer_registry_publish(world->reg, all, count);
	struck = fault_disarm();
	for (i = 0; i < count; i++) {
		if (all[i].status == expected)
			continue;
		assert_true(struck);
		assert_int_equal(all[i].status, CU_START_FAILED);
		assert_int_equal(all[i].reason.code, CU_ENOMEM);
		assert_true(cu_consumer_whereis(STACK, all[i].handle) == CU_ACTOR_NONE);
		(void)cu_consumer_registry_publish(world->reg, &all[i], 1);
		assert_int_equal(all[i].status, expected);
	}
	free(all);
}

static void drop(void *payload)
{
	((struct world *)payload)->dropped++;
}

static void count_down(const struct cu_down *down)
{
	((struct world *)down->tag)->downs++;
}

static void count_entry(void *arg, const char *handle, cu_actor_id id)
{
	(void)handle;
	(void)id;
	++*(unsigned *)arg;
}

static void entries_come_and_go(struct world *world)
{
	char key[HANDLE_MAX];
	unsigned listed = 0;
	unsigned i;

	for (i = 0; i < ENTRIES; i++) {
		/* Short and long ones. */
		snprintf(key, sizeof key, i % 2 ? "e%u" : "entry-%u-%060u", i, i);
		STEP(cu_consumer_registry_register(world->reg, key, 1000 + i));
		assert_true(cu_consumer_whereis(STACK, key) == 1000 + i);
	}
	STEP((listed = 0, cu_consumer_registry_foreach(world->reg, count_entry, &listed)));
	assert_int_equal(listed, ENTRIES);
	fault_arm(); /* removal needs memory only to shrink, and does without */
	for (i = 0; i < ENTRIES; i++) {
		snprintf(key, sizeof key, i % 2 ? "e%u" : "entry-%u-%060u", i, i);
		assert_true(cu_consumer_registry_remove_if(world->reg, key, 1000 + i));
	}
	fault_disarm();
	assert_int_equal(cu_consumer_active_count(STACK), 0);
}

static void suspension_step(struct world *world)
{
	int64_t value;

	STEP(cu_stack_config_put(STACK, "some key", 7));
	assert_true(cu_stack_config_lookup(STACK, "some key", &value) && value == 7);
	STEP(cu_consumer_enable_suspend_after(STACK, 1000, 1000, 2000));
	assert_true(cu_stack_config_lookup(STACK, CU_CONFIG_ENABLE_SUSPEND, &value) && value == 1);
	cu_actor_system_tick(world->sys, 100000);
	cu_actor_system_tick(world->sys, 200000);
	assert_int_equal(world->living, 0);
	assert_int_equal(cu_consumer_active_count(STACK), 0);
}

static void monitors_and_messages(struct world *world)
{
	cu_actor_id first = cu_consumer_whereis(STACK, world->handles[0]);
	cu_actor_id second = cu_consumer_whereis(STACK, world->handles[1]);
	struct cu_actor_call call = { .id = second, .type = CU_MSG_USER };
	unsigned handled = world->handled;

	STEP(cu_actor_monitor(world->sys, first, second, NULL, NULL));
	STEP(cu_actor_monitor_fn(world->sys, second, count_down, world, NULL));
	STEP(cu_actor_send(world->sys, second, CU_MSG_USER, world, drop));
	cu_actor_system_run(world->sys);
	assert_int_equal(world->handled, handled + 1);
	world->kills_itself = true;
	fault_arm();
	assert_int_equal(cu_actor_call_many(world->sys, &call, 1), 1);
	/* The reason is kept with the monitors here, so no memory was wanted. */
	fault_disarm();
	assert_int_equal(world->last_exit.kind, CU_EXIT_CLEANUP);
	call.id = cu_consumer_whereis(STACK, world->handles[2]);
	fault_arm();
	assert_int_equal(cu_actor_call_many(world->sys, &call, 1), 1);
	/* Killed all the same, but plainly. */
	assert_int_equal(world->last_exit.kind, fault_disarm() ? CU_EXIT_KILLED : CU_EXIT_CLEANUP);
	world->kills_itself = false;
	cu_actor_system_run(world->sys);
	assert_int_equal(world->downs, 2);
	cu_consumer_remove(STACK, world->handles[1]);
	cu_consumer_remove(STACK, world->handles[2]);
}

/* Everything that a stack does, once. Returns whether the memory ran out on the way. */
static bool life_of_a_stack(unsigned n, bool lasts)
{
	const struct cu_actor_system_opts sys_opts = { .manual_clock = true, .actors_max = 5000 };
	struct cu_consumer_registry_opts opts = { .start_consumer = start_consumer, .remove_shapes = remove_shapes };
	struct world *world = calloc(1, sizeof *world);
	unsigned i;

	fault_n = n;
	fault_lasts = lasts;
	fault_struck = false;
	for (i = 0; i < CONSUMERS; i++)
		snprintf(world->handles[i], sizeof world->handles[i], i % 3 ? "h%02u" : "handle-%02u-%070u", i, i);
	STEP(cu_actor_system_new(&sys_opts, &world->sys));
	opts.system = world->sys;
	opts.ctx = world;
	STEP(cu_consumer_registry_new(STACK, &opts, &world->reg));
	entries_come_and_go(world);
	publish_step(world, CONSUMERS, CU_DELIVERED);
	assert_int_equal(world->handled, CONSUMERS);
	assert_int_equal(world->living, CONSUMERS);
	assert_int_equal(cu_consumer_active_count(STACK), CONSUMERS);
	publish_step(world, CONSUMERS, CU_DELIVERED);
	assert_int_equal(world->handled, 2 * CONSUMERS);
	monitors_and_messages(world);
	suspension_step(world);
	world->stubborn = true;
	publish_step(world, CONSUMERS, CU_SHAPE_REMOVED);
	assert_int_equal(world->removed, CONSUMERS);
	assert_int_equal(world->dropped, 0);
	assert_int_equal(cu_consumer_active_count(STACK), 0);

	cu_actor_system_stop(world->sys);
	assert_int_equal(world->living, 0);
	cu_consumer_registry_free(&world->reg);
	cu_actor_system_free(&world->sys);
	free(world);
	return fault_struck;
}

static void every_allocation_may_fail_once(void **state)
{
	unsigned n = 1;

	(void)state;
	cu_log_level_max = CU_LOG_ERROR;
	assert_false(life_of_a_stack(0, false));
	while (life_of_a_stack(n, false))
		n++;
	assert_true(n > 100); /* it has been on the way at all */
}

static void every_allocation_from_one_on_may_fail(void **state)
{
	unsigned n = 1;

	(void)state;
	cu_log_level_max = CU_LOG_ERROR;
	while (life_of_a_stack(n, true))
		n++;
	assert_true(n > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_may_fail_once),
		cmocka_unit_test(every_allocation_from_one_on_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
