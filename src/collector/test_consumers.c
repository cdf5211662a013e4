/* Consumers that come and go under the collector: suspended ones, crashing ones, and what their shapes keep.
 * Time stands still but for idle(), and everything runs on this thread, so each moment can be chosen.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "collector/test_help_consumers.h"

#define HIBERNATE_MS 1000u
#define SUSPEND_MS 5000u
#define LONG_MS (HIBERNATE_MS + SUSPEND_MS + 200u)
#define OTHER_OID (HELP_OID + 1)

/* What happens while a consumer is being started: the moments in which publish has looked some consumers up already. */
enum moment { QUIET, BEFORE_START, AFTER_START };

struct scene {
	struct world *w;
	uint64_t now_ms;
	unsigned starts;
	enum moment moment;  /* when all that is idle suspends */
	unsigned moments;    /* how many times more */
	const char *started; /* only while this handle's consumer is started; NULL: any */
};

/* One for the test that runs: the registry's callback gets the world's consumers. */
static struct scene scene;

/* In steps of the wheel, so that a hibernation is followed by its suspension. */
static void idle(unsigned ms)
{
	for (uint64_t end = scene.now_ms + ms; scene.now_ms < end; scene.now_ms += 100)
		cu_actor_system_tick(scene.w->actors, scene.now_ms + 100);
}

static void moment_is(enum moment moment, const char *handle)
{
	if (scene.moment != moment || scene.moments == 0 || (scene.started && strcmp(scene.started, handle) != 0))
		return;
	scene.moments--;
	idle(LONG_MS);
}

static int start_consumer(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	int rc;

	moment_is(BEFORE_START, handle);
	scene.starts++;
	rc = cu_consumers_start(ctx, handle, ret_id);
	moment_is(AFTER_START, handle);
	return rc;
}

static int setup(void **state)
{
	struct world *w = world_new(NULL);

	cu_log_level_max = CU_LOG_ERROR;
	scene = (struct scene){ .w = w };
	use_manual_actors(w, 0, start_consumer);
	settings(HIBERNATE_MS, SUSPEND_MS, true);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static void begin(struct world *w)
{
	BEGIN(w, 700 + (uint32_t)(w->lsn / 100));
	assert_int_equal(send_relation(w, HELP_OID), 0);
	assert_int_equal(send_relation(w, OTHER_OID), 0);
}

static void commit(struct world *w)
{
	COMMIT(w);
	assert_int_equal(cu_collector_show(w->c), 0);
}

/* A transaction with one row for every shape of a table. */
static void change(struct world *w, uint32_t oid)
{
	begin(w);
	INSERT(w, oid, "1", "a", NULL);
	commit(w);
}

static size_t consumers(void)
{
	return cu_consumer_active_count(HELP_STACK);
}

static bool is_going(cu_shape *shape)
{
	enum cu_shape_state state = cu_shape_status(shape).state;

	return state == CU_SHAPE_REMOVING || state == CU_SHAPE_GONE;
}

/* Durably gone, without a failure of its own: what a reader is told with 409. */
static void assert_refetched(struct world *w, cu_shape *shape)
{
	assert_int_equal(cu_metadata_sync(cu_store_metadata(w->store)), 0);
	assert_int_equal(cu_shape_status(shape).state, CU_SHAPE_GONE);
	assert_null(cu_shape_failure(shape));
	assert_null(cu_shape_set_by_handle(w->set, shape->handle));
	assert_true(cu_consumer_registry_whereis(w->registry, shape->handle) == CU_ACTOR_NONE);
}

/* ---- at rest ---- */

static void a_suspended_shape_is_read_without_its_consumer(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	change(w, HELP_OID);
	assert_int_equal(consumers(), 1);
	idle(LONG_MS);
	assert_int_equal(consumers(), 0);
	assert_int_equal(cu_actor_system_count(w->actors), 0);
	assert_int_equal(items(w, shape), 1);
	assert_int_equal(consumers(), 0);
	assert_int_equal(scene.starts, 1);
	cu_shape_unref(&shape);
}

static void a_shape_that_nothing_changes_never_has_a_consumer(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_shape *other = world_shape(w, help_definition(OTHER_OID, false), "1:1:");

	change(w, OTHER_OID);
	assert_int_equal(items(w, shape), 0);
	assert_int_equal(consumers(), 1);
	assert_true(cu_consumer_registry_whereis(w->registry, shape->handle) == CU_ACTOR_NONE);
	cu_shape_unref(&shape);
	cu_shape_unref(&other);
}

static void a_change_starts_a_suspended_consumer_again(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	for (unsigned round = 1; round <= 3; round++) {
		change(w, HELP_OID);
		assert_int_equal(consumers(), 1);
		assert_int_equal(scene.starts, round);
		assert_int_equal(items(w, shape), round);
		assert_int_equal(cu_offset_cmp(cu_shape_status(shape).latest, cu_offset_of(w->lsn - 100, 0)), 0);
		idle(LONG_MS);
		assert_int_equal(consumers(), 0);
	}
	cu_shape_unref(&shape);
}

static void a_restart_starts_no_consumer(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	uint64_t id = shape->id;

	change(w, HELP_OID);
	cu_shape_unref(&shape);
	world_restart(w);
	use_manual_actors(w, 0, start_consumer);
	scene.now_ms = 0;
	settings(HIBERNATE_MS, SUSPEND_MS, true);
	shape = cu_shape_set_by_id(w->set, id);
	assert_int_equal(items(w, shape), 1);
	assert_int_equal(consumers(), 0);
	change(w, HELP_OID);
	assert_int_equal(consumers(), 1);
	assert_int_equal(items(w, shape), 2);
	cu_shape_unref(&shape);
}

static void a_shape_whose_snapshot_is_not_complete_keeps_its_consumer(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	cu_shape_lock(shape);
	shape->snapshot_complete = false;
	cu_shape_unlock(shape);
	change(w, HELP_OID);
	idle(2 * LONG_MS);
	assert_int_equal(consumers(), 1);
	cu_shape_lock(shape);
	shape->snapshot_complete = true;
	cu_shape_unlock(shape);
	idle(LONG_MS);
	assert_int_equal(consumers(), 0);
	cu_shape_unref(&shape);
}

static void a_removed_shape_gets_no_consumer_any_more(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_actor_id id;

	change(w, HELP_OID);
	idle(LONG_MS);
	cu_shape_set_remove(w->set, shape, "a test", NULL);
	assert_int_equal(cu_consumers_start(&w->consumers, shape->handle, &id), CU_ENOTFOUND);
	assert_refetched(w, shape);
	assert_int_equal(cu_consumers_start(&w->consumers, shape->handle, &id), CU_ENOTFOUND);
	assert_int_equal(consumers(), 0);
	assert_int_equal(cu_actor_system_count(w->actors), 0);
	cu_shape_unref(&shape);
}

/* ---- suspension at the moment of a change ---- */

/* The first shape's consumer has been looked up; while the second's is started, `moment` has all idle ones suspend. */
static void suspends_in_the_middle_of_a_publish(struct world *w, enum moment moment)
{
	cu_shape *first = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_shape *second = world_shape(w, help_definition(OTHER_OID, false), "1:1:");

	change(w, HELP_OID);
	assert_int_equal(consumers(), 1);
	scene.moment = moment;
	scene.moments = 1;
	begin(w);
	INSERT(w, HELP_OID, "2", "b", NULL);
	INSERT(w, OTHER_OID, "2", "b", NULL);
	commit(w);
	assert_int_equal(scene.moments, 0);
	assert_int_equal(items(w, first), 2);
	assert_int_equal(items(w, second), 1);
	assert_false(is_going(first));
	assert_false(is_going(second));
	assert_int_equal(consumers(), 2);
	cu_shape_unref(&first);
	cu_shape_unref(&second);
}

static void a_consumer_that_suspends_after_it_was_looked_up_loses_nothing(void **state)
{
	suspends_in_the_middle_of_a_publish(*state, BEFORE_START);
	assert_int_equal(scene.starts, 3); /* the first one's, the second one's, the first one's again */
}

static void consumers_that_all_suspend_before_their_event_lose_nothing(void **state)
{
	suspends_in_the_middle_of_a_publish(*state, AFTER_START);
	assert_int_equal(scene.starts, 4);
}

static void a_consumer_that_suspends_twice_in_a_row_takes_its_shape_down_alone(void **state)
{
	struct world *w = *state;
	cu_shape *restless = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_shape *other = world_shape(w, help_definition(OTHER_OID, false), "1:1:");

	scene.moment = AFTER_START;
	scene.moments = 2;
	scene.started = restless->handle;
	begin(w);
	INSERT(w, HELP_OID, "1", "a", NULL);
	INSERT(w, OTHER_OID, "1", "a", NULL); /* looked up last: it is not idle at either moment */
	commit(w);
	assert_int_equal(scene.moments, 0);
	assert_refetched(w, restless);
	assert_int_equal(items(w, other), 1);
	assert_false(is_going(other));
	change(w, OTHER_OID);
	assert_int_equal(items(w, other), 2);
	cu_shape_unref(&restless);
	cu_shape_unref(&other);
}

static void a_consumer_that_suspends_once_per_event_is_no_harm(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	scene.moment = AFTER_START;
	for (unsigned round = 1; round <= 3; round++) {
		scene.moments = 1;
		change(w, HELP_OID);
		assert_int_equal(items(w, shape), round);
		assert_false(is_going(shape));
		idle(LONG_MS);
	}
	assert_int_equal(scene.starts, 6);
	cu_shape_unref(&shape);
}

/* ---- crashes ---- */

static void a_consumer_that_crashes_on_its_event_takes_its_shape_down_alone(void **state)
{
	struct world *w = *state;
	cu_shape *crashing = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_shape *other = world_shape(w, help_definition(HELP_OID, true), "1:1:");
	struct cu_event wrong = { .shape = other, .first = CU_TOUCH_NONE };

	change(w, HELP_OID);
	assert_int_equal(items(w, crashing), 1);
	/* It meets this one before its next event, which has nobody to handle it then. */
	assert_int_equal(cu_actor_send(w->actors, cu_consumer_registry_whereis(w->registry, crashing->handle),
				       CU_MSG_EVENT, &wrong, NULL),
			 0);
	begin(w);
	INSERT(w, HELP_OID, "2", "b", NULL);
	UPDATE(w, HELP_OID, ROW("2", "b", NULL), ROW("2", "c", NULL));
	commit(w);
	assert_refetched(w, crashing);
	assert_int_equal(cu_offset_cmp(cu_shape_status(crashing).latest, cu_offset_of(1000, 0)), 0); /* no half of it */
	assert_int_equal(items(w, other), 3);
	assert_int_equal(scene.starts, 2);
	change(w, HELP_OID);
	assert_int_equal(items(w, other), 4);
	assert_int_equal(consumers(), 1);
	cu_shape_unref(&crashing);
	cu_shape_unref(&other);
}

static void a_consumer_that_is_found_dead_is_not_started_again(void **state)
{
	struct world *w = *state;
	cu_shape *dead = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_shape *other = world_shape(w, help_definition(HELP_OID, true), "1:1:");

	change(w, HELP_OID);
	assert_int_equal(cu_actor_kill(w->actors, cu_consumer_registry_whereis(w->registry, dead->handle), NULL), 0);
	assert_int_equal(consumers(), 2); /* its entry stays: nothing may start it */
	change(w, HELP_OID);
	assert_refetched(w, dead);
	assert_int_equal(items(w, other), 2);
	assert_int_equal(scene.starts, 2);
	cu_shape_unref(&dead);
	cu_shape_unref(&other);
}

/* ---- settings ---- */

static void settings_reach_new_consumers_and_those_that_are_started_again(void **state)
{
	static const struct {
		unsigned hibernate_ms, suspend_ms;
	} rounds[] = { { 1000, 5000 }, { 300, 200 }, { 20000, 60000 } };
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	for (size_t i = 0; i < CU_ARRAY_LEN(rounds); i++) {
		cu_actor_id id;

		settings(rounds[i].hibernate_ms, rounds[i].suspend_ms, true);
		change(w, HELP_OID);
		id = cu_consumer_registry_whereis(w->registry, shape->handle);
		idle(rounds[i].hibernate_ms - 100);
		assert_false(cu_actor_hibernating(w->actors, id));
		idle(200);
		assert_true(cu_actor_hibernating(w->actors, id));
		idle(rounds[i].suspend_ms - 200);
		assert_true(cu_actor_alive(w->actors, id));
		idle(300);
		assert_int_equal(consumers(), 0);
	}
	cu_shape_unref(&shape);
}

static void a_change_ends_hibernation_and_its_time_begins_anew(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_actor_id id;

	change(w, HELP_OID);
	id = cu_consumer_registry_whereis(w->registry, shape->handle);
	for (unsigned round = 0; round < 3; round++) {
		idle(LONG_MS - 1000);
		assert_true(cu_actor_hibernating(w->actors, id));
		change(w, HELP_OID);
		assert_false(cu_actor_hibernating(w->actors, id));
	}
	assert_true(cu_consumer_registry_whereis(w->registry, shape->handle) == id);
	assert_int_equal(scene.starts, 1);
	cu_shape_unref(&shape);
}

static void the_switch_stops_suspension_at_once(void **state)
{
	struct world *w = *state;
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_actor_id id;

	change(w, HELP_OID);
	id = cu_consumer_registry_whereis(w->registry, shape->handle);
	idle(LONG_MS - 400);
	assert_int_equal(cu_stack_config_put(HELP_STACK, CU_CONFIG_ENABLE_SUSPEND, 0), 0);
	idle(10 * LONG_MS);
	assert_int_equal(consumers(), 1);
	assert_true(cu_actor_hibernating(w->actors, id)); /* its buffers are given back all the same */
	change(w, HELP_OID);
	assert_int_equal(items(w, shape), 2);
	assert_int_equal(scene.starts, 1);
	assert_int_equal(cu_stack_config_put(HELP_STACK, CU_CONFIG_ENABLE_SUSPEND, 1), 0);
	idle(LONG_MS);
	assert_int_equal(consumers(), 0);
	cu_shape_unref(&shape);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_suspended_shape_is_read_without_its_consumer),
		TEST(a_shape_that_nothing_changes_never_has_a_consumer),
		TEST(a_change_starts_a_suspended_consumer_again),
		TEST(a_restart_starts_no_consumer),
		TEST(a_shape_whose_snapshot_is_not_complete_keeps_its_consumer),
		TEST(a_removed_shape_gets_no_consumer_any_more),
		TEST(a_consumer_that_suspends_after_it_was_looked_up_loses_nothing),
		TEST(consumers_that_all_suspend_before_their_event_lose_nothing),
		TEST(a_consumer_that_suspends_twice_in_a_row_takes_its_shape_down_alone),
		TEST(a_consumer_that_suspends_once_per_event_is_no_harm),
		TEST(a_consumer_that_crashes_on_its_event_takes_its_shape_down_alone),
		TEST(a_consumer_that_is_found_dead_is_not_started_again),
		TEST(settings_reach_new_consumers_and_those_that_are_started_again),
		TEST(a_change_ends_hibernation_and_its_time_begins_anew),
		TEST(the_switch_stops_suspension_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
