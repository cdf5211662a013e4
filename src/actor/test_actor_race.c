/* Actors under many threads: each test keeps a number that must come out exactly.
 * label: race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "copper/actor.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MSG_NOTE = CU_MSG_USER };
enum { ACTORS = 16, THREADS = 4, ROUNDS = 400 };

struct counter {
	atomic_int inside; /* callbacks running right now: never above 1 */
	unsigned handled;  /* plain on purpose: TSan sees a second thread */
	unsigned downs;
	unsigned hibernated;
	atomic_uint *exits;
};

static void enter(struct counter *counter)
{
	assert_int_equal(atomic_fetch_add(&counter->inside, 1), 0);
}

static void leave(struct counter *counter)
{
	atomic_fetch_sub(&counter->inside, 1);
}

static enum cu_verdict counter_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct counter *counter = state;

	(void)ctx;
	enter(counter);
	if (msg->type == CU_MSG_DOWN)
		counter->downs++;
	else
		counter->handled++;
	leave(counter);
	return CU_VERDICT_CONTINUE;
}

static void counter_on_hibernate(void *state)
{
	enter(state);
	((struct counter *)state)->hibernated++;
	leave(state);
}

static bool counter_may_suspend(void *state)
{
	enter(state);
	leave(state);
	return true;
}

static void counter_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct counter *counter = state;

	(void)ctx;
	(void)reason;
	enter(counter);
	if (counter->exits)
		atomic_fetch_add(counter->exits, 1);
	leave(counter);
}

static const struct cu_behaviour counter_behaviour = {
	.name = "counter",
	.on_message = counter_on_message,
	.on_hibernate = counter_on_hibernate,
	.may_suspend = counter_may_suspend,
	.on_exit = counter_on_exit,
};

struct field {
	cu_actor_system *sys;
	struct counter counters[ACTORS];
	_Atomic(cu_actor_id) ids[ACTORS];
	atomic_uint sent;
	atomic_uint delivered;
	atomic_uint failed;
	atomic_uint exits;
	atomic_uint notices;
	atomic_uint monitors;
	atomic_bool over;
	pthread_mutex_t mtx;
	pthread_cond_t cond;
	bool started;
	bool released;
	atomic_bool returned;
};

static struct field *field_new(unsigned workers)
{
	const struct cu_actor_system_opts opts = { .workers = workers, .manual_clock = true };
	struct field *field = cu_xzalloc(sizeof *field);
	unsigned i;

	assert_int_equal(cu_actor_system_new(&opts, &field->sys), 0);
	pthread_mutex_init(&field->mtx, NULL);
	pthread_cond_init(&field->cond, NULL);
	for (i = 0; i < ACTORS; i++) {
		cu_actor_id id;

		field->counters[i].exits = &field->exits;
		assert_int_equal(cu_actor_start(field->sys, &counter_behaviour, &field->counters[i], &id), 0);
		atomic_store(&field->ids[i], id);
	}
	return field;
}

static void field_free(struct field *field)
{
	cu_actor_system_free(&field->sys);
	pthread_mutex_destroy(&field->mtx);
	pthread_cond_destroy(&field->cond);
	free(field);
}

static void threads_run(struct field *field, unsigned count, void *(*first)(void *), void *(*others)(void *))
{
	pthread_t threads[16];
	unsigned i;

	for (i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i ? others : first, field), 0);
	for (i = 1; i < count; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&field->over, true);
	pthread_join(threads[0], NULL);
}

static void *send_many(void *arg)
{
	struct field *field = arg;
	unsigned i;

	for (i = 0; i < ROUNDS * ACTORS; i++) {
		if (cu_actor_send(field->sys, atomic_load(&field->ids[i % ACTORS]), MSG_NOTE, NULL, NULL) == 0)
			atomic_fetch_add(&field->sent, 1);
	}
	return NULL;
}

static void *call_all(void *arg)
{
	struct field *field = arg;
	unsigned round, i;

	for (round = 0; round < ROUNDS; round++) {
		struct cu_actor_call calls[ACTORS] = { 0 };
		size_t failed;

		for (i = 0; i < ACTORS; i++) {
			calls[i].id = atomic_load(&field->ids[(i * 7 + round) % ACTORS]);
			calls[i].type = MSG_NOTE;
		}
		failed = cu_actor_call_many(field->sys, calls, ACTORS);
		atomic_fetch_add(&field->failed, (unsigned)failed);
		atomic_fetch_add(&field->delivered, ACTORS - (unsigned)failed);
	}
	return NULL;
}

/* A call comes after everything sent before it, so that afterwards the mailboxes are empty. */
static unsigned handled_total(struct field *field)
{
	unsigned total = 0;
	unsigned i;

	for (i = 0; i < ACTORS; i++) {
		struct cu_actor_call call = { .id = atomic_load(&field->ids[i]), .type = MSG_NOTE };

		assert_int_equal(cu_actor_call_many(field->sys, &call, 1), 0);
		total += field->counters[i].handled - 1;
	}
	return total;
}

static void every_message_sent_is_handled_once_and_never_two_at_a_time(void **state)
{
	struct field *field = field_new(2);

	(void)state;
	threads_run(field, THREADS, send_many, send_many);
	assert_int_equal(handled_total(field), atomic_load(&field->sent));
	field_free(field);
}

static void callers_and_senders_and_workers_share_actors_without_losing_any(void **state)
{
	struct field *field = field_new(2);

	(void)state;
	threads_run(field, THREADS, send_many, call_all);
	assert_int_equal(atomic_load(&field->failed), 0);
	assert_int_equal(atomic_load(&field->delivered), (THREADS - 1) * ROUNDS * ACTORS);
	assert_int_equal(handled_total(field), atomic_load(&field->sent) + atomic_load(&field->delivered));
	field_free(field);
}

static void freeing_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	(void)ctx;
	(void)reason;
	free(state);
}

static const struct cu_behaviour freeing_behaviour = {
	.name = "freeing",
	.on_message = counter_on_message,
	.on_exit = freeing_on_exit,
};

static void *kill_and_restart(void *arg)
{
	struct field *field = arg;
	unsigned i = 0;

	while (!atomic_load(&field->over)) {
		unsigned at = i++ % ACTORS;
		cu_actor_id id;

		assert_int_equal(cu_actor_kill(field->sys, atomic_load(&field->ids[at]), NULL), 0);
		assert_int_equal(
			cu_actor_start(field->sys, &freeing_behaviour, cu_xzalloc(sizeof(struct counter)), &id), 0);
		atomic_store(&field->ids[at], id);
	}
	return NULL;
}

static void every_call_is_answered_while_actors_are_killed_and_replaced(void **state)
{
	struct field *field = field_new(2);

	(void)state;
	threads_run(field, THREADS, kill_and_restart, call_all);
	assert_int_equal(atomic_load(&field->failed) + atomic_load(&field->delivered), (THREADS - 1) * ROUNDS * ACTORS);
	assert_int_equal(cu_actor_system_count(field->sys), ACTORS);
	field_free(field);
}

static void count_notice(const struct cu_down *down)
{
	atomic_fetch_add((atomic_uint *)down->tag, 1);
}

static void *monitor_many(void *arg)
{
	struct field *field = arg;
	unsigned i;

	for (i = 0; i < ROUNDS * 4; i++) {
		cu_actor_id id = atomic_load(&field->ids[i % ACTORS]);
		uint64_t ref;

		assert_int_equal(cu_actor_monitor_fn(field->sys, id, count_notice, &field->notices, &ref), 0);
		/* Every third is taken back; where that came too late its notice counts. */
		if (i % 3 || !cu_actor_demonitor(field->sys, id, ref))
			atomic_fetch_add(&field->monitors, 1);
	}
	return NULL;
}

static void every_monitor_gives_exactly_one_notice_while_its_target_ends(void **state)
{
	struct field *field = field_new(1);

	(void)state;
	threads_run(field, THREADS, kill_and_restart, monitor_many);
	cu_actor_system_stop(field->sys);
	assert_int_equal(atomic_load(&field->notices), atomic_load(&field->monitors));
	field_free(field);
}

static void *tick_on(void *arg)
{
	struct field *field = arg;
	uint64_t now = 0;
	unsigned i;

	while (!atomic_load(&field->over)) {
		cu_actor_system_tick(field->sys, now += 100);
		for (i = 0; i < ACTORS; i++)
			cu_actor_set_idle(field->sys, atomic_load(&field->ids[i]),
					  &(struct cu_idle_policy){ .hibernate_after_ms = 100 + i % 3 * 100 });
	}
	return NULL;
}

static void hibernation_under_load_loses_nothing(void **state)
{
	struct field *field = field_new(2);

	(void)state;
	threads_run(field, THREADS, tick_on, call_all);
	assert_int_equal(atomic_load(&field->failed), 0);
	assert_int_equal(handled_total(field), (THREADS - 1) * ROUNDS * ACTORS);
	field_free(field);
}

static void a_call_to_thousands_is_shared_with_the_workers(void **state)
{
	enum { MANY = 4000 };
	const struct cu_actor_system_opts opts = { .workers = 2, .manual_clock = true };
	struct counter *counters = cu_xzalloc(MANY * sizeof *counters);
	struct cu_actor_call *calls = cu_xzalloc(MANY * sizeof *calls);
	cu_actor_system *sys = NULL;
	unsigned round, i;

	(void)state;
	assert_int_equal(cu_actor_system_new(&opts, &sys), 0);
	for (i = 0; i < MANY; i++) {
		assert_int_equal(cu_actor_start(sys, &counter_behaviour, &counters[i], &calls[i].id), 0);
		calls[i].type = MSG_NOTE;
	}
	for (round = 1; round <= 20; round++) {
		assert_int_equal(cu_actor_call_many(sys, calls, MANY), 0);
		for (i = 0; i < MANY; i++)
			assert_int_equal(counters[i].handled, round);
	}
	cu_actor_system_free(&sys);
	free(calls);
	free(counters);
}

static enum cu_verdict blocking_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct field *field = state;

	(void)ctx;
	(void)msg;
	pthread_mutex_lock(&field->mtx);
	field->started = true;
	pthread_cond_broadcast(&field->cond);
	while (!field->released)
		pthread_cond_wait(&field->cond, &field->mtx);
	pthread_mutex_unlock(&field->mtx);
	return CU_VERDICT_CONTINUE;
}

static const struct cu_behaviour blocking_behaviour = { .name = "blocking", .on_message = blocking_on_message };

static void *call_two(void *arg)
{
	struct field *field = arg;
	struct cu_exit_reason reason;
	struct cu_actor_call calls[2] = { { .type = MSG_NOTE }, { .type = MSG_NOTE, .ret_reason = &reason } };

	calls[0].id = atomic_load(&field->ids[0]);
	calls[1].id = atomic_load(&field->ids[1]);
	assert_int_equal(cu_actor_call_many(field->sys, calls, 2), 1);
	assert_true(calls[0].delivered);
	assert_int_equal(reason.kind, CU_EXIT_KILLED);
	atomic_store(&field->returned, true);
	return NULL;
}

static void a_call_returns_only_when_all_have_handled_it_or_died(void **state)
{
	struct field *field = field_new(0);
	pthread_t caller;
	cu_actor_id id;

	(void)state;
	assert_int_equal(cu_actor_start(field->sys, &blocking_behaviour, field, &id), 0);
	atomic_store(&field->ids[0], id);
	assert_int_equal(pthread_create(&caller, NULL, call_two, field), 0);
	pthread_mutex_lock(&field->mtx);
	while (!field->started)
		pthread_cond_wait(&field->cond, &field->mtx);
	pthread_mutex_unlock(&field->mtx);
	assert_int_equal(cu_actor_kill(field->sys, atomic_load(&field->ids[1]), NULL), 0);
	assert_false(atomic_load(&field->returned));
	pthread_mutex_lock(&field->mtx);
	field->released = true;
	pthread_cond_broadcast(&field->cond);
	pthread_mutex_unlock(&field->mtx);
	pthread_join(caller, NULL);
	assert_true(atomic_load(&field->returned));
	field_free(field);
}

/* Tells its id, then waits in on_start until a call to it has been made: the flag comes from the caller. */
static int slow_on_start(struct cu_actor_ctx *ctx, void *state)
{
	struct field *field = state;

	atomic_store(&field->ids[0], cu_actor_self(ctx));
	pthread_mutex_lock(&field->mtx);
	field->started = true;
	pthread_cond_broadcast(&field->cond);
	while (!field->released)
		pthread_cond_wait(&field->cond, &field->mtx);
	pthread_mutex_unlock(&field->mtx);
	return 0;
}

static enum cu_verdict release_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct field *field = state;

	(void)ctx;
	(void)msg;
	pthread_mutex_lock(&field->mtx);
	field->released = true;
	pthread_cond_broadcast(&field->cond);
	pthread_mutex_unlock(&field->mtx);
	return CU_VERDICT_CONTINUE;
}

static void *call_the_starting(void *arg)
{
	static const struct cu_behaviour releasing = { .name = "releasing", .on_message = release_on_message };
	struct field *field = arg;
	struct cu_actor_call calls[2] = { { .type = MSG_NOTE }, { .type = MSG_NOTE } };

	/* All is sent before anybody runs: when the second one releases the start, the first one's call is in. */
	assert_int_equal(cu_actor_start(field->sys, &releasing, field, &calls[1].id), 0);
	pthread_mutex_lock(&field->mtx);
	while (!field->started)
		pthread_cond_wait(&field->cond, &field->mtx);
	pthread_mutex_unlock(&field->mtx);
	calls[0].id = atomic_load(&field->ids[0]);
	assert_int_equal(cu_actor_call_many(field->sys, calls, 2), 0);
	return NULL;
}

static void a_call_to_an_actor_that_is_still_starting_is_answered_without_a_worker(void **state)
{
	static const struct cu_behaviour slow = { .name = "slow",
						  .on_start = slow_on_start,
						  .on_message = release_on_message };
	struct field *field = field_new(0);
	pthread_t caller;
	cu_actor_id id;

	(void)state;
	assert_int_equal(pthread_create(&caller, NULL, call_the_starting, field), 0);
	assert_int_equal(cu_actor_start(field->sys, &slow, field, &id), 0);
	pthread_join(caller, NULL);
	field_free(field);
}

static void *start_until_closed(void *arg)
{
	struct field *field = arg;
	struct cu_actor_call call = { .type = MSG_NOTE };
	struct counter *counter;

	for (;;) {
		counter = cu_xzalloc(sizeof *counter);
		if (cu_actor_start(field->sys, &freeing_behaviour, counter, &call.id) != 0)
			break;
		atomic_fetch_add(&field->sent, 1);
		cu_actor_call_many(field->sys, &call, 1);
		cu_actor_send(field->sys, call.id, MSG_NOTE, NULL, NULL);
		if (atomic_load(&field->sent) % 2)
			cu_actor_kill(field->sys, call.id, NULL);
	}
	free(counter);
	return NULL;
}

static void stop_leaves_nobody_alive_however_many_are_starting(void **state)
{
	unsigned round;

	(void)state;
	for (round = 0; round < 20; round++) {
		struct field *field = field_new(round % 3);
		pthread_t threads[2];

		pthread_create(&threads[0], NULL, start_until_closed, field);
		pthread_create(&threads[1], NULL, start_until_closed, field);
		while (atomic_load(&field->sent) < 50 * round)
			sched_yield();
		cu_actor_system_stop(field->sys);
		assert_int_equal(cu_actor_system_count(field->sys), 0);
		assert_int_equal(atomic_load(&field->exits), ACTORS);
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
		field_free(field);
	}
}

static void the_timer_thread_hibernates_without_being_asked(void **state)
{
	const struct cu_actor_system_opts opts = { .workers = 1 };
	struct field *field = cu_xzalloc(sizeof *field);
	cu_actor_id id;

	(void)state;
	pthread_mutex_init(&field->mtx, NULL);
	pthread_cond_init(&field->cond, NULL);
	assert_int_equal(cu_actor_system_new(&opts, &field->sys), 0);
	assert_int_equal(cu_actor_start(field->sys, &counter_behaviour, &field->counters[0], &id), 0);
	assert_int_equal(cu_actor_monitor_fn(field->sys, id, count_notice, &field->notices, NULL), 0);
	cu_actor_set_idle(
		field->sys, id,
		&(struct cu_idle_policy){ .hibernate_after_ms = 100, .suspend_after_ms = 100, .suspend = true });
	while (atomic_load(&field->notices) == 0)
		sched_yield();
	assert_int_equal(field->counters[0].hibernated, 1);
	field_free(field);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_sent_is_handled_once_and_never_two_at_a_time),
		cmocka_unit_test(callers_and_senders_and_workers_share_actors_without_losing_any),
		cmocka_unit_test(every_call_is_answered_while_actors_are_killed_and_replaced),
		cmocka_unit_test(every_monitor_gives_exactly_one_notice_while_its_target_ends),
		cmocka_unit_test(hibernation_under_load_loses_nothing),
		cmocka_unit_test(a_call_to_thousands_is_shared_with_the_workers),
		cmocka_unit_test(a_call_returns_only_when_all_have_handled_it_or_died),
		cmocka_unit_test(a_call_to_an_actor_that_is_still_starting_is_answered_without_a_worker),
		cmocka_unit_test(stop_leaves_nobody_alive_however_many_are_starting),
		cmocka_unit_test(the_timer_thread_hibernates_without_being_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
