/* The consumer registry under many threads.
 * label: race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "base/log.h"
#include "copper/consumer_registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define STACK "race-stack"

enum { HANDLES = 8 };

struct arena {
	cu_actor_system *sys;
	cu_consumer_registry *reg;
	atomic_uint handled;
	atomic_uint delivered;
	atomic_uint removed;
	atomic_uint crashed;
	atomic_uint started;
	atomic_uint living;
	atomic_uint wins;
	atomic_bool over;
	pthread_barrier_t gate;
	unsigned rounds;
	unsigned starts_min; /* and go on until so many have been started */
	_Atomic(cu_actor_id) winner;
};

struct consumer {
	struct arena *arena;
	char handle[16];
};

static enum cu_verdict on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct consumer *consumer = state;

	(void)ctx;
	if (msg->type == CU_MSG_EVENT) {
		++*(unsigned *)msg->payload; /* the event is ours alone until we return */
		atomic_fetch_add(&consumer->arena->handled, 1);
	}
	return CU_VERDICT_CONTINUE;
}

static bool may_suspend(void *state)
{
	(void)state;
	return cu_stack_config_may_suspend(STACK);
}

static void on_exit_consumer(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct consumer *consumer = state;

	if (reason->kind == CU_EXIT_SUSPEND)
		cu_consumer_remove_if(STACK, consumer->handle, cu_actor_self(ctx));
	atomic_fetch_sub(&consumer->arena->living, 1);
	free(consumer);
}

static const struct cu_behaviour behaviour = {
	.name = "consumer",
	.on_message = on_message,
	.may_suspend = may_suspend,
	.on_exit = on_exit_consumer,
};

static int start_consumer(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct arena *arena = ctx;
	struct cu_actor_name name = cu_consumer_name(STACK, handle);
	struct consumer *consumer = cu_xzalloc(sizeof *consumer);
	int rc;

	consumer->arena = arena;
	snprintf(consumer->handle, sizeof consumer->handle, "%s", handle);
	atomic_fetch_add(&arena->living, 1);
	atomic_fetch_add(&arena->started, 1);
	rc = cu_actor_start_named(arena->sys, &name, &behaviour, consumer, ret_id);
	if (rc != 0) {
		atomic_fetch_sub(&arena->living, 1);
		free(consumer);
	}
	return rc;
}

static void remove_shapes(void *ctx, const char *const *handles, size_t count)
{
	struct arena *arena = ctx;
	size_t i;

	for (i = 0; i < count; i++)
		cu_consumer_remove(STACK, handles[i]);
	atomic_fetch_add(&arena->removed, (unsigned)count);
}

static struct arena *arena_new(unsigned threads)
{
	const struct cu_actor_system_opts sys_opts = { .workers = 1, .manual_clock = true };
	struct cu_consumer_registry_opts opts = { .start_consumer = start_consumer, .remove_shapes = remove_shapes };
	struct arena *arena = cu_xzalloc(sizeof *arena);

	cu_log_level_max = CU_LOG_ERROR;
	assert_int_equal(cu_actor_system_new(&sys_opts, &arena->sys), 0);
	opts.system = arena->sys;
	opts.ctx = arena;
	assert_int_equal(cu_consumer_registry_new(STACK, &opts, &arena->reg), 0);
	pthread_barrier_init(&arena->gate, NULL, threads);
	return arena;
}

static void arena_free(struct arena *arena)
{
	cu_actor_system_stop(arena->sys);
	assert_int_equal(atomic_load(&arena->living), 0);
	cu_consumer_registry_free(&arena->reg);
	cu_actor_system_free(&arena->sys);
	pthread_barrier_destroy(&arena->gate);
	free(arena);
}

static void threads_run(struct arena *arena, unsigned count, void *(*fn)(void *))
{
	pthread_t threads[8];
	unsigned i;

	for (i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, fn, arena), 0);
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static atomic_uint next_id;

static void *register_same(void *arg)
{
	struct arena *arena = arg;
	cu_actor_id id = 1000 + atomic_fetch_add(&next_id, 1);
	unsigned round;

	for (round = 0; round < arena->rounds; round++) {
		char handle[16];

		snprintf(handle, sizeof handle, "h%u", round);
		pthread_barrier_wait(&arena->gate);
		if (cu_consumer_register(STACK, handle, id) == 0) {
			atomic_fetch_add(&arena->wins, 1);
			atomic_store(&arena->winner, id);
		}
		pthread_barrier_wait(&arena->gate);
		assert_int_equal(atomic_load(&arena->wins), round + 1);
		assert_true(cu_consumer_whereis(STACK, handle) == atomic_load(&arena->winner));
	}
	return NULL;
}

static void of_eight_racing_registrations_exactly_one_wins(void **state)
{
	struct arena *arena = arena_new(8);

	(void)state;
	arena->rounds = 200;
	threads_run(arena, 8, register_same);
	assert_int_equal(cu_consumer_active_count(STACK), 200);
	arena_free(arena);
}

static void *publish_all(void *arg)
{
	struct arena *arena = arg;
	char handles[HANDLES][16];
	unsigned round, i;

	for (i = 0; i < HANDLES; i++)
		snprintf(handles[i], sizeof handles[i], "h%u", i);
	for (round = 0; round < arena->rounds || atomic_load(&arena->started) < arena->starts_min; round++) {
		struct cu_delivery all[HANDLES];
		unsigned events[HANDLES] = { 0 };
		size_t missed;

		for (i = 0; i < HANDLES; i++)
			all[i] = (struct cu_delivery){ .handle = handles[i], .event = &events[i] };
		missed = cu_consumer_registry_publish(arena->reg, all, HANDLES);
		for (i = 0; i < HANDLES; i++) {
			missed -= all[i].status != CU_DELIVERED;
			/* Delivered is handled once, anything else not at all: nobody gets an event twice. */
			assert_int_equal(events[i], all[i].status == CU_DELIVERED);
			atomic_fetch_add(&arena->delivered, all[i].status == CU_DELIVERED);
			atomic_fetch_add(&arena->crashed, all[i].status == CU_CRASHED);
			assert_true(all[i].status == CU_DELIVERED || all[i].status == CU_SHAPE_REMOVED ||
				    all[i].status == CU_CRASHED);
		}
		assert_int_equal(missed, 0);
	}
	return NULL;
}

static void racing_publishers_start_one_consumer_per_handle(void **state)
{
	unsigned round;

	(void)state;
	for (round = 0; round < 50; round++) {
		struct arena *arena = arena_new(1);

		arena->rounds = 3;
		threads_run(arena, 4, publish_all);
		assert_int_equal(atomic_load(&arena->delivered), 4 * 3 * HANDLES);
		assert_int_equal(atomic_load(&arena->living), HANDLES);
		assert_int_equal(cu_consumer_active_count(STACK), HANDLES);
		arena_free(arena);
	}
}

static void *tick_on(void *arg)
{
	struct arena *arena = arg;
	uint64_t now = 0;

	while (!atomic_load(&arena->over))
		cu_actor_system_tick(arena->sys, now += 100);
	return NULL;
}

static void no_event_is_lost_to_a_suspension_that_happens_at_the_same_moment(void **state)
{
	struct arena *arena = arena_new(1);
	pthread_t ticker;

	(void)state;
	arena->rounds = 1000;
	arena->starts_min = 20 * HANDLES;
	assert_int_equal(cu_consumer_enable_suspend(STACK, 200, 201), 0);
	assert_int_equal(pthread_create(&ticker, NULL, tick_on, arena), 0);
	threads_run(arena, 2, publish_all);
	atomic_store(&arena->over, true);
	pthread_join(ticker, NULL);
	/* Time runs wild here, so a fresh consumer may suspend as well and lose its shape; but it is never a crash, and
	 * what was delivered has been handled. */
	assert_int_equal(atomic_load(&arena->crashed), 0);
	assert_int_equal(atomic_load(&arena->handled), atomic_load(&arena->delivered));
	arena_free(arena);
}

static void *look_up(void *arg)
{
	struct arena *arena = arg;

	while (!atomic_load(&arena->over)) {
		cu_actor_id id = cu_consumer_whereis("comes-and-goes", "h1");

		assert_true(id == CU_ACTOR_NONE || id == 77);
		assert_true(cu_consumer_active_count("comes-and-goes") <= 1);
		cu_consumer_remove_if("comes-and-goes", "h1", 78);
		cu_consumer_register("comes-and-goes", "h1", 77);
	}
	return NULL;
}

static void calls_by_stack_id_are_safe_while_the_registry_comes_and_goes(void **state)
{
	struct arena *arena = arena_new(1);
	struct cu_consumer_registry_opts opts = { .system = arena->sys,
						  .start_consumer = start_consumer,
						  .ctx = arena };
	pthread_t threads[2];
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_up, arena), 0);
	for (i = 0; i < 500; i++) {
		cu_consumer_registry *reg = NULL;

		assert_int_equal(cu_consumer_registry_new("comes-and-goes", &opts, &reg), 0);
		cu_consumer_registry_register(reg, "h1", 77);
		cu_consumer_registry_free(&reg);
	}
	atomic_store(&arena->over, true);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	arena_free(arena);
}

/* A consumer that is in the middle of its event until it is let go. */
struct blocker {
	pthread_mutex_t mtx;
	pthread_cond_t cond;
	unsigned inside;
	bool released;
	unsigned noted; /* by a consumer that nobody waits for */
	atomic_bool returned;
	cu_actor_system *sys;
	cu_actor_id ids[3];
};

static enum cu_verdict blocker_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct blocker *blocker = state;

	(void)ctx;
	pthread_mutex_lock(&blocker->mtx);
	if (msg->type == CU_MSG_EVENT) {
		blocker->inside++;
		pthread_cond_broadcast(&blocker->cond);
		while (!blocker->released)
			pthread_cond_wait(&blocker->cond, &blocker->mtx);
	} else {
		blocker->noted++;
		pthread_cond_broadcast(&blocker->cond);
	}
	pthread_mutex_unlock(&blocker->mtx);
	return CU_VERDICT_CONTINUE;
}

static void *broadcast_two(void *arg)
{
	struct blocker *blocker = arg;
	struct cu_delivery both[2] = { { .handle = "h1", .event = arg, .id = blocker->ids[0] },
				       { .handle = "h2", .event = arg, .id = blocker->ids[1] } };

	assert_int_equal(cu_consumer_broadcast(blocker->sys, both, 2), 1);
	assert_int_equal(both[0].status, CU_DELIVERED);
	assert_true(both[0].id == blocker->ids[0]);
	assert_int_equal(both[1].status, CU_CRASHED);
	assert_int_equal(both[1].reason.kind, CU_EXIT_KILLED);
	atomic_store(&blocker->returned, true);
	return NULL;
}

static void a_broadcast_waits_for_all_to_handle_it_or_die_and_keeps_no_worker_busy(void **state)
{
	static const struct cu_behaviour blocking = { .name = "blocking", .on_message = blocker_on_message };
	const struct cu_actor_system_opts opts = { .workers = 1, .manual_clock = true };
	struct blocker blocker = { .mtx = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	pthread_t caller;
	unsigned i;

	(void)state;
	assert_int_equal(cu_actor_system_new(&opts, &blocker.sys), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(cu_actor_start(blocker.sys, &blocking, &blocker, &blocker.ids[i]), 0);
	assert_int_equal(pthread_create(&caller, NULL, broadcast_two, &blocker), 0);
	pthread_mutex_lock(&blocker.mtx);
	while (blocker.inside == 0)
		pthread_cond_wait(&blocker.cond, &blocker.mtx);
	pthread_mutex_unlock(&blocker.mtx);
	/* The caller runs the first one; the second one dies before it has seen its event; the worker is free. */
	assert_int_equal(cu_actor_kill(blocker.sys, blocker.ids[1], NULL), 0);
	assert_int_equal(cu_actor_send(blocker.sys, blocker.ids[2], CU_MSG_USER, NULL, NULL), 0);
	pthread_mutex_lock(&blocker.mtx);
	while (blocker.noted == 0)
		pthread_cond_wait(&blocker.cond, &blocker.mtx);
	assert_false(atomic_load(&blocker.returned));
	blocker.released = true;
	pthread_cond_broadcast(&blocker.cond);
	pthread_mutex_unlock(&blocker.mtx);
	pthread_join(caller, NULL);
	assert_true(atomic_load(&blocker.returned));
	cu_actor_system_free(&blocker.sys);
}

/* Several stacks, each made, used and destroyed again and again by its own thread, in one actor system. */
enum { STACKS = 3, STACK_HANDLES = 6 };

struct stack {
	struct load *load;
	char id[16];
	atomic_uint living;
	unsigned handled; /* calls run on the thread that owns the stack: plain on purpose */
};

struct load {
	cu_actor_system *sys;
	struct stack stacks[STACKS];
	atomic_uint running;
};

struct stack_consumer {
	struct stack *stack;
	char handle[16];
};

static enum cu_verdict stack_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct stack_consumer *consumer = state;

	assert_ptr_equal(msg->payload, consumer->stack); /* never another stack's event */
	consumer->stack->handled++;
	if (consumer->stack->handled % 7 == 0)
		return cu_actor_end(ctx, CU_EXIT_SUSPEND, 0, NULL);
	return CU_VERDICT_CONTINUE;
}

static void stack_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct stack_consumer *consumer = state;

	if (reason->kind == CU_EXIT_SUSPEND)
		cu_consumer_remove_if(consumer->stack->id, consumer->handle, cu_actor_self(ctx));
	atomic_fetch_sub(&consumer->stack->living, 1);
	free(consumer);
}

static const struct cu_behaviour stack_behaviour = {
	.name = "stack consumer",
	.on_message = stack_on_message,
	.on_exit = stack_on_exit,
};

static int stack_start_consumer(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct stack *stack = ctx;
	struct cu_actor_name name = cu_consumer_name(stack->id, handle);
	struct stack_consumer *consumer = cu_xzalloc(sizeof *consumer);
	int rc;

	consumer->stack = stack;
	snprintf(consumer->handle, sizeof consumer->handle, "%s", handle);
	atomic_fetch_add(&stack->living, 1);
	rc = cu_actor_start_named(stack->load->sys, &name, &stack_behaviour, consumer, ret_id);
	assert_int_equal(rc, 0);
	return rc;
}

static void stack_consumer_kill(void *arg, const char *handle, cu_actor_id id)
{
	struct stack *stack = arg;

	(void)handle;
	assert_int_equal(cu_actor_kill(stack->load->sys, id, NULL), 0);
}

static void stack_live(struct stack *stack)
{
	struct cu_consumer_registry_opts opts = { .system = stack->load->sys,
						  .start_consumer = stack_start_consumer,
						  .ctx = stack };
	static const char *const handles[STACK_HANDLES] = { "h0", "h1", "h2", "h3", "h4", "h5" };
	cu_consumer_registry *reg = NULL;
	unsigned round, i;

	assert_int_equal(cu_consumer_registry_new(stack->id, &opts, &reg), 0);
	for (round = 0; round < 5; round++) {
		struct cu_delivery all[STACK_HANDLES];

		for (i = 0; i < STACK_HANDLES; i++)
			all[i] = (struct cu_delivery){ .handle = handles[i], .event = stack };
		assert_int_equal(cu_consumer_registry_publish(reg, all, STACK_HANDLES), 0);
		assert_int_equal(cu_consumer_active_count(stack->id), STACK_HANDLES);
		assert_int_equal(atomic_load(&stack->living), STACK_HANDLES);
	}
	assert_int_equal(cu_consumer_registry_foreach(reg, stack_consumer_kill, stack), STACK_HANDLES);
	assert_int_equal(atomic_load(&stack->living), 0);
	cu_consumer_registry_free(&reg);
	assert_int_equal(cu_consumer_active_count(stack->id), 0);
}

static void *stack_main(void *arg)
{
	struct stack *stack = arg;
	unsigned round;

	for (round = 0; round < 150; round++)
		stack_live(stack);
	atomic_fetch_sub(&stack->load->running, 1);
	return NULL;
}

static void *stacks_look(void *arg)
{
	struct load *load = arg;
	unsigned i = 0;

	while (atomic_load(&load->running)) {
		const char *id = load->stacks[i++ % STACKS].id;

		(void)cu_actor_alive(load->sys, cu_consumer_whereis(id, "h3"));
		assert_true(cu_consumer_active_count(id) <= STACK_HANDLES);
		assert_true(cu_consumer_whereis(id, "nobody") == CU_ACTOR_NONE);
		(void)cu_consumer_enable_suspend(id, 1000, 2000);
	}
	return NULL;
}

static void stacks_are_made_and_destroyed_under_load_and_know_nothing_of_each_other(void **state)
{
	const struct cu_actor_system_opts opts = { .workers = 1, .manual_clock = true };
	struct load load = { .running = STACKS };
	pthread_t threads[STACKS + 1];
	int64_t value;
	unsigned i;

	(void)state;
	cu_log_level_max = CU_LOG_ERROR;
	assert_int_equal(cu_actor_system_new(&opts, &load.sys), 0);
	for (i = 0; i < STACKS; i++) {
		load.stacks[i].load = &load;
		snprintf(load.stacks[i].id, sizeof load.stacks[i].id, "stack-%u", i);
		assert_int_equal(pthread_create(&threads[i], NULL, stack_main, &load.stacks[i]), 0);
	}
	assert_int_equal(pthread_create(&threads[STACKS], NULL, stacks_look, &load), 0);
	for (i = 0; i <= STACKS; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < STACKS; i++)
		assert_false(cu_stack_config_lookup(load.stacks[i].id, CU_CONFIG_HIBERNATE_AFTER, &value));
	assert_int_equal(cu_actor_system_count(load.sys), 0);
	cu_actor_system_free(&load.sys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_eight_racing_registrations_exactly_one_wins),
		cmocka_unit_test(racing_publishers_start_one_consumer_per_handle),
		cmocka_unit_test(no_event_is_lost_to_a_suspension_that_happens_at_the_same_moment),
		cmocka_unit_test(a_broadcast_waits_for_all_to_handle_it_or_die_and_keeps_no_worker_busy),
		cmocka_unit_test(stacks_are_made_and_destroyed_under_load_and_know_nothing_of_each_other),
		cmocka_unit_test(calls_by_stack_id_are_safe_while_the_registry_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
