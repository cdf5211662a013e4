/* test_slots.c: memory of ended actors goes back to the system, and their ids stay dead all the same.
 * label: race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "copper/actor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define ACTORS 4000u
#define ROUNDS 30u
#define WATCHED 512u

static atomic_uint_fast64_t astray; /* messages that reached somebody else */
static _Atomic(cu_actor_id) watched[WATCHED];
static atomic_bool over;

/* An actor's state is its round and number; who sends says whom it means. */
static enum cu_verdict on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	(void)ctx;
	if (msg->type == CU_MSG_USER && msg->payload != state)
		atomic_fetch_add(&astray, 1);
	return CU_VERDICT_CONTINUE;
}

static const struct cu_behaviour behaviour = { .name = "numbered", .on_message = on_message };

static void *state_of(unsigned round, unsigned number)
{
	return (void *)(uintptr_t)(1 + round * ACTORS + number);
}

static size_t rss_anon_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	size_t kib = 0;

	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "RssAnon: %zu", &kib) == 1)
			break;
	}
	fclose(file);
	return kib;
}

static void an_id_from_before_its_memory_went_back_stays_dead(void **state)
{
	const struct cu_actor_system_opts opts = { .manual_clock = true };
	static cu_actor_id old[ACTORS], now[ACTORS];
	cu_actor_system *sys;
	unsigned round;
	unsigned i;

	(void)state;
	assert_int_equal(cu_actor_system_new(&opts, &sys), 0);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < ACTORS; i++)
			assert_int_equal(cu_actor_start(sys, &behaviour, state_of(round, i), &now[i]), 0);
		for (i = 0; round > 0 && i < ACTORS; i++) {
			assert_false(cu_actor_alive(sys, old[i]));
			assert_int_equal(cu_actor_kill(sys, old[i], NULL), CU_ENOTFOUND);
		}
		for (i = 0; i < ACTORS; i++)
			assert_int_equal(cu_actor_kill(sys, now[i], NULL), 0);
		/* With the memory gone too. */
		for (i = 0; i < ACTORS; i++)
			assert_false(cu_actor_alive(sys, now[i]));
		memcpy(old, now, sizeof old);
	}
	cu_actor_system_free(&sys);
}

static void ended_actors_cost_no_memory(void **state)
{
	const struct cu_actor_system_opts opts = { .manual_clock = true };
	const unsigned count = 200000;
	cu_actor_id *ids = malloc(count * sizeof *ids);
	cu_actor_system *sys;
	size_t before;
	size_t with;
	unsigned i;

	(void)state;
	assert_non_null(ids);
	memset(ids, 0, count * sizeof *ids);
	assert_int_equal(cu_actor_system_new(&opts, &sys), 0);
	before = rss_anon_kib();
	for (i = 0; i < count; i++)
		assert_int_equal(cu_actor_start(sys, &behaviour, ids, &ids[i]), 0);
	with = rss_anon_kib();
	for (i = 0; i < count; i++)
		assert_int_equal(cu_actor_kill(sys, ids[i], NULL), 0);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
	assert_true(with - before >= count * 64 / 1024);
	assert_true(rss_anon_kib() - before < count / 1024);
#else
	(void)before;
	(void)with;
#endif
	cu_actor_system_free(&sys);
	free(ids);
}

static void *knock(void *arg)
{
	cu_actor_system *sys = arg;
	unsigned at = 0;

	while (!atomic_load(&over)) {
		cu_actor_id id = atomic_load(&watched[at++ % WATCHED]);

		/* Most of these are dead by now; a few live. */
		if (id != CU_ACTOR_NONE)
			(void)cu_actor_alive(sys, id);
		if (id != CU_ACTOR_NONE && at % 7 == 0) {
			struct cu_actor_call call = { .id = id, .type = CU_MSG_USER + 1 };

			(void)cu_actor_call_many(sys, &call, 1);
		}
	}
	return NULL;
}

static void whoever_knocks_while_memory_goes_back_finds_nobody_or_the_right_one(void **state)
{
	const struct cu_actor_system_opts opts = { .workers = 2 };
	static cu_actor_id ids[ACTORS];
	cu_actor_system *sys;
	pthread_t threads[3];
	unsigned round;
	unsigned i;

	(void)state;
	assert_int_equal(cu_actor_system_new(&opts, &sys), 0);
	for (i = 0; i < CU_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, knock, sys), 0);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < ACTORS; i++) {
			void *own = state_of(round, i);

			assert_int_equal(cu_actor_start(sys, &behaviour, own, &ids[i]), 0);
			assert_int_equal(cu_actor_send(sys, ids[i], CU_MSG_USER, own, NULL), 0);
			if (i % (ACTORS / WATCHED) == 0)
				atomic_store(&watched[i / (ACTORS / WATCHED) % WATCHED], ids[i]);
		}
		for (i = 0; i < ACTORS; i++)
			assert_int_equal(cu_actor_kill(sys, ids[i], NULL), 0);
	}
	atomic_store(&over, true);
	for (i = 0; i < CU_ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	cu_actor_system_free(&sys);
	assert_int_equal(atomic_load(&astray), 0);
}

struct crowd {
	cu_actor_system *sys;
	cu_actor_id id;
};

static void *crowd_in(void *arg)
{
	struct crowd *crowd = arg;
	unsigned i;

	for (i = 0; i < 100000; i++)
		assert_true(cu_actor_alive(crowd->sys, crowd->id));
	return NULL;
}

/* More threads than processors: some lose theirs while they hold the lock, and the others wait for them. */
static void a_crowd_at_one_actor_gets_through(void **state)
{
	const struct cu_actor_system_opts opts = { .manual_clock = true };
	struct crowd crowd;
	pthread_t threads[8];
	unsigned i;

	(void)state;
	assert_int_equal(cu_actor_system_new(&opts, &crowd.sys), 0);
	assert_int_equal(cu_actor_start(crowd.sys, &behaviour, &crowd, &crowd.id), 0);
	for (i = 0; i < CU_ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, crowd_in, &crowd), 0);
	for (i = 0; i < CU_ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	cu_actor_system_free(&crowd.sys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_from_before_its_memory_went_back_stays_dead),
		cmocka_unit_test(ended_actors_cost_no_memory),
		cmocka_unit_test(a_crowd_at_one_actor_gets_through),
		cmocka_unit_test(whoever_knocks_while_memory_goes_back_finds_nobody_or_the_right_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
