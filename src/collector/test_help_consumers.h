/* test_help_consumers.h: a world whose actors' clock stands still but for cu_actor_system_tick(). Included by tests only. */
#ifndef CU_COLLECTOR_TEST_HELP_CONSUMERS_H
#define CU_COLLECTOR_TEST_HELP_CONSUMERS_H

#include "collector/test_help.h"

static void settings(unsigned hibernate_ms, unsigned suspend_ms, bool enabled)
{
	assert_int_equal(cu_stack_config_put(HELP_STACK, CU_CONFIG_HIBERNATE_AFTER, hibernate_ms), 0);
	assert_int_equal(cu_stack_config_put(HELP_STACK, CU_CONFIG_SUSPEND_AFTER, suspend_ms), 0);
	assert_int_equal(cu_stack_config_put(HELP_STACK, CU_CONFIG_ENABLE_SUSPEND, enabled), 0);
}

/* The world's actors and registry anew. */
static void use_manual_actors(struct world *w, unsigned workers,
			      int (*start_consumer)(void *ctx, const char *handle, cu_actor_id *ret_id))
{
	const struct cu_actor_system_opts actors = { .workers = workers, .manual_clock = true };
	struct cu_consumer_registry_opts registry = { .start_consumer = start_consumer,
						      .remove_shapes = cu_consumers_remove_shapes,
						      .ctx = &w->consumers };

	cu_actor_system_stop(w->actors);
	cu_consumer_registry_free(&w->registry);
	cu_actor_system_free(&w->actors);
	assert_int_equal(cu_actor_system_new(&actors, &w->actors), 0);
	registry.system = w->actors;
	assert_int_equal(cu_consumer_registry_new(HELP_STACK, &registry, &w->registry), 0);
	w->consumers.system = w->actors;
	w->consumers.registry = w->registry;
	w->c->opts.registry = w->registry;
}

/* How many items a reader of the whole log gets. */
static unsigned items(struct world *w, cu_shape *shape)
{
	char *log = world_log(w, shape);
	unsigned n = 0;

	for (const char *at = log; (at = strstr(at, "\"operation\"")); at++)
		n++;
	free(log);
	return n;
}

#endif
