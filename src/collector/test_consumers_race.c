/* Consumers suspend on one thread while another publishes to them: whatever the timing, nothing is lost.
 * label: race */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "collector/test_help_consumers.h"

#define SHAPES 40u
#define ROUNDS 400u

struct ticker {
	struct world *w;
	sem_t go, done;
	bool stop; /* written before go is posted */
};

/* Once per publish, and over before the next: so no event ever meets two suspensions, which would take its shape down. */
static void *tick(void *arg)
{
	struct ticker *ticker = arg;

	for (uint64_t now_ms = 1000;; now_ms += 1000) {
		sem_wait(&ticker->go);
		if (ticker->stop)
			return NULL;
		cu_actor_system_tick(ticker->w->actors, now_ms);
		sem_post(&ticker->done);
	}
}

static _Atomic unsigned starts;

static int start_consumer(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	atomic_fetch_add(&starts, 1);
	return cu_consumers_start(ctx, handle, ret_id);
}

static void suspending_while_events_come_loses_nothing(void **state)
{
	struct world *w = world_new(NULL);
	struct ticker ticker = { .w = w };
	cu_shape *shapes[SHAPES];
	pthread_t thread;

	(void)state;
	cu_log_level_max = CU_LOG_ERROR;
	use_manual_actors(w, 2, start_consumer);
	settings(100, 0, true); /* idle for one tick of the wheel is enough */
	for (unsigned i = 0; i < SHAPES; i++)
		shapes[i] = world_shape(w, help_definition(HELP_OID + i / 2, i % 2), "1:1:");
	sem_init(&ticker.go, 0, 0);
	sem_init(&ticker.done, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, tick, &ticker), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		BEGIN(w, 700 + round);
		for (uint32_t oid = HELP_OID; oid < HELP_OID + SHAPES / 2; oid++) {
			assert_int_equal(send_relation(w, oid), 0);
			INSERT(w, oid, "1", "a", NULL);
		}
		sem_post(&ticker.go);
		COMMIT(w);
		sem_wait(&ticker.done);
	}
	ticker.stop = true;
	sem_post(&ticker.go);
	pthread_join(thread, NULL);
	assert_int_equal(cu_collector_show(w->c), 0);
	for (unsigned i = 0; i < SHAPES; i++) {
		assert_int_equal(cu_shape_status(shapes[i]).state, CU_SHAPE_LIVE);
		assert_int_equal(items(w, shapes[i]), ROUNDS);
		cu_shape_unref(&shapes[i]);
	}
	assert_true(starts > SHAPES * 2); /* they did suspend */
	print_message("%u starts for %u events\n", starts, SHAPES * ROUNDS);
	sem_destroy(&ticker.go);
	sem_destroy(&ticker.done);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(suspending_while_events_come_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
