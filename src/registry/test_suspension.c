/* enable_suspend and the config switch: when consumers fall asleep, and when they do not.
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

#define STACK "suspend-stack"

enum { MANY = 20000 };

struct world {
	cu_actor_system *sys;
	cu_consumer_registry *reg;
	unsigned living;
	unsigned handled;
	unsigned hibernated;
};

struct consumer {
	struct world *world;
	char handle[16];
	cu_actor_id id;
};

static enum cu_verdict consumer_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	(void)ctx;
	(void)msg;
	((struct consumer *)state)->world->handled++;
	return CU_VERDICT_CONTINUE;
}

static void consumer_on_hibernate(void *state)
{
	((struct consumer *)state)->world->hibernated++;
}

static bool consumer_may_suspend(void *state)
{
	(void)state;
	return cu_stack_config_may_suspend(STACK);
}

static void consumer_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct consumer *consumer = state;

	consumer->world->living--;
	if (reason->kind == CU_EXIT_SUSPEND)
		assert_true(cu_consumer_remove_if(STACK, consumer->handle, cu_actor_self(ctx)));
	free(consumer);
}

static const struct cu_behaviour behaviour = {
	.name = "consumer",
	.on_message = consumer_on_message,
	.on_hibernate = consumer_on_hibernate,
	.may_suspend = consumer_may_suspend,
	.on_exit = consumer_on_exit,
};

static int start_consumer(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct world *world = ctx;
	struct consumer *consumer = cu_xzalloc(sizeof *consumer);
	struct cu_actor_name name = cu_consumer_name(STACK, handle);
	int rc;

	consumer->world = world;
	snprintf(consumer->handle, sizeof consumer->handle, "%s", handle);
	rc = cu_actor_start_named(world->sys, &name, &behaviour, consumer, ret_id);
	if (rc == 0)
		world->living++;
	else
		free(consumer);
	return rc;
}

static int setup(void **state)
{
	const struct cu_actor_system_opts sys_opts = { .manual_clock = true };
	struct cu_consumer_registry_opts opts = { .start_consumer = start_consumer };
	struct world *world = cu_xzalloc(sizeof *world);

	cu_log_level_max = CU_LOG_ERROR;
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
	assert_int_equal(world->living, 0);
	cu_consumer_registry_free(&world->reg);
	cu_actor_system_free(&world->sys);
	free(world);
	return 0;
}

static void consumers_start(struct world *world, unsigned count)
{
	char handle[16];
	cu_actor_id id;
	unsigned i;

	for (i = 0; i < count; i++) {
		snprintf(handle, sizeof handle, "h%u", i);
		assert_int_equal(start_consumer(world, handle, &id), 0);
	}
}

/* Chi-square of the counts against equal ones. */
static double chi_square(const unsigned *counts, unsigned bins, unsigned total)
{
	double expected = (double)total / bins;
	double sum = 0;
	unsigned i;

	for (i = 0; i < bins; i++)
		sum += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
	return sum;
}

static void idle_times_are_uniform_over_the_jitter_window(void **state)
{
	/* Idle times are rounded up to 100 ms, so from 1,000 ms exclusive on 100 ticks are equally likely. */
	enum { FROM = 1000, TO = 11000, BINS = 50 };
	struct world *world = *state;
	unsigned counts[BINS] = { 0 };
	unsigned before = MANY;
	uint64_t now;

	consumers_start(world, MANY);
	assert_int_equal(cu_consumer_enable_suspend(STACK, FROM, TO), MANY);
	cu_actor_system_tick(world->sys, FROM - 100);
	assert_int_equal(world->living, MANY);
	cu_actor_system_tick(world->sys, FROM);
	assert_true(MANY - world->living < 30); /* those that chose 1,000 ms exactly: 2 are expected */
	for (now = FROM + 100; now <= TO; now += 100) {
		cu_actor_system_tick(world->sys, now);
		counts[(now - FROM - 100) * BINS / (TO - FROM)] += before - world->living;
		before = world->living;
	}
	assert_int_equal(world->living, 0);
	assert_int_equal(world->hibernated, 0);
	/* 49 degrees of freedom: above 125 once in ten million runs; a window cut by a tenth gives 2,000. */
	assert_true(chi_square(counts, BINS, MANY) < 125);
}

static void times_of_neighbours_have_nothing_to_do_with_each_other(void **state)
{
	enum { FROM = 1000, TO = 11000, HALF = 6000 };
	struct world *world = *state;
	unsigned pairs[4] = { 0 };
	unsigned early = 0;
	char handle[16];
	unsigned i;

	consumers_start(world, MANY);
	cu_consumer_enable_suspend(STACK, FROM, TO);
	cu_actor_system_tick(world->sys, HALF);
	for (i = 0; i < MANY; i++) {
		snprintf(handle, sizeof handle, "h%u", i);
		early = (early << 1 | (cu_consumer_whereis(STACK, handle) == CU_ACTOR_NONE)) & 3;
		if (i % 2)
			pairs[early]++;
	}
	assert_true(chi_square(pairs, 4, MANY / 2) < 40); /* 3 degrees of freedom: once in 80 million */
}

static void enable_suspend_wakes_hibernating_consumers(void **state)
{
	struct world *world = *state;
	cu_actor_id id;

	assert_int_equal(start_consumer(world, "h1", &id), 0);
	assert_int_equal(cu_consumer_enable_suspend_after(STACK, 1000, 100000, 1001), 1);
	cu_actor_system_tick(world->sys, 2000);
	assert_true(cu_actor_hibernating(world->sys, id));
	assert_int_equal(cu_consumer_enable_suspend_after(STACK, 1000, 100000, 1001), 1);
	assert_false(cu_actor_hibernating(world->sys, id));
	/* And it falls asleep again after its new time. */
	cu_actor_system_tick(world->sys, 2500);
	assert_int_equal(world->hibernated, 1);
	cu_actor_system_tick(world->sys, 3200);
	assert_int_equal(world->hibernated, 2);
	assert_int_equal(world->handled, 0);
}

static void enable_suspend_reports_every_entry_dead_ones_too(void **state)
{
	struct world *world = *state;
	cu_actor_id id;

	assert_int_equal(cu_consumer_enable_suspend(STACK, 10, 20), 0);
	consumers_start(world, 5);
	assert_int_equal(start_consumer(world, "dead", &id), 0);
	cu_actor_kill(world->sys, id, NULL);
	assert_int_equal(cu_consumer_enable_suspend(STACK, 1000, 2000), 6);
	assert_int_equal(cu_consumer_active_count(STACK), 6);
}

static void refused_arguments_leave_the_settings_alone(void **state)
{
	struct world *world = *state;
	int64_t value;

	(void)world;
	assert_int_equal(cu_consumer_enable_suspend_after(STACK, 1000, 7000, 2000), 0);
	assert_int_equal(cu_consumer_enable_suspend_after(STACK, 0, 1, 2), CU_EINVAL);
	assert_int_equal(cu_consumer_enable_suspend_after(STACK, 3000, 1, 3000), CU_EINVAL);
	assert_int_equal(cu_consumer_enable_suspend(STACK, 3000, 2999), CU_EINVAL);
	assert_true(cu_stack_config_lookup(STACK, CU_CONFIG_HIBERNATE_AFTER, &value) && value == 1000);
	assert_true(cu_stack_config_lookup(STACK, CU_CONFIG_SUSPEND_AFTER, &value) && value == 7000);
	assert_true(cu_stack_config_lookup(STACK, CU_CONFIG_ENABLE_SUSPEND, &value) && value == 1);
}

static void the_config_switch_stops_suspension_at_once_for_every_consumer(void **state)
{
	struct world *world = *state;

	consumers_start(world, 1000);
	assert_int_equal(cu_consumer_enable_suspend(STACK, 1000, 11000), 1000);
	cu_actor_system_tick(world->sys, 6000);
	assert_in_range(world->living, 300, 700);
	assert_int_equal(cu_stack_config_put(STACK, CU_CONFIG_ENABLE_SUSPEND, 0), 0);
	/* All of the rest are due now. */
	unsigned left = world->living;

	cu_actor_system_tick(world->sys, 20000);
	cu_actor_system_tick(world->sys, 500000);
	assert_int_equal(world->living, left);
	assert_int_equal(world->handled, 0);
	/* Their buffers go all the same, and when it is on again so do they. */
	assert_int_equal(world->hibernated, left);
	assert_int_equal(cu_stack_config_put(STACK, CU_CONFIG_ENABLE_SUSPEND, 1), 0);
	cu_actor_system_tick(world->sys, 600000);
	cu_actor_system_tick(world->sys, 700000);
	assert_int_equal(world->living, 0);
}

static void one_stacks_switch_is_not_anothers(void **state)
{
	struct world *world = *state;
	int64_t value;

	(void)world;
	assert_int_equal(cu_stack_config_put("another", CU_CONFIG_ENABLE_SUSPEND, 0), 0);
	assert_true(cu_stack_config_may_suspend(STACK));
	assert_false(cu_stack_config_may_suspend("another"));
	assert_true(cu_stack_config_lookup("another", CU_CONFIG_ENABLE_SUSPEND, &value) && value == 0);
	assert_int_equal(cu_stack_config_put("another", CU_CONFIG_ENABLE_SUSPEND, 1), 0);
	assert_true(cu_stack_config_may_suspend("another"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(idle_times_are_uniform_over_the_jitter_window),
		TEST(times_of_neighbours_have_nothing_to_do_with_each_other),
		TEST(enable_suspend_wakes_hibernating_consumers),
		TEST(enable_suspend_reports_every_entry_dead_ones_too),
		TEST(refused_arguments_leave_the_settings_alone),
		TEST(the_config_switch_stops_suspension_at_once_for_every_consumer),
		TEST(one_stacks_switch_is_not_anothers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
