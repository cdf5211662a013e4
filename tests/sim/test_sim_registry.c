/* The consumer registry under every interleaving that a seed can choose: publishers, crashes, kills, suspensions,
 * removed and re-registered consumers, stacks that come and go, against a shadow model.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "actor/internal.h"
#include "base/log.h"
#include "copper/consumer_registry.h"
#include "sim/sim.h"

#include <stdio.h>

#define STACK "sim-a"        /* the consumers */
#define COMING_STACK "sim-b" /* comes and goes */
#define TABLE_STACK "sim-c"  /* entries only */

enum { HANDLES = 3, LIVES_MAX = 200, EVENTS_MAX = 300, CLIENTS_MAX = 4, BATCH_MAX = 4, CHURN = 14 };

enum event_kind {
	EVENT_NOTE,
	EVENT_CRASH,
	EVENT_SUSPEND,
	EVENT_SUSPEND_ONCE,
	EVENT_REPLY_THEN_END,
	EVENT_KILL_SELF,
	EVENT_CLEANUP,
	EVENT_KINDS
};

struct life {
	struct world *world;
	cu_actor_id id;
	unsigned handle;
	bool fails;
	bool begun;
	bool exited;
	bool idled;
	struct cu_exit_reason reason;
	unsigned inside;
};

struct event {
	struct world *world;
	unsigned handle;
	enum event_kind kind;
	bool accepted;      /* a sent one */
	cu_actor_id target; /* of a sent one */
	unsigned dropped;
	unsigned handled;
	cu_actor_id by[2];
};

struct world {
	cu_actor_system *sys;
	cu_consumer_registry *reg;
	cu_consumer_registry *table_reg;
	bool shape_is_there[HANDLES];
	bool raw_removed[HANDLES]; /* somebody removed an entry without its consumer: there may be more than one */
	unsigned no_shape_answers[HANDLES];
	unsigned removals[HANDLES];
	struct life lives[LIVES_MAX];
	unsigned life_count;
	struct event events[EVENTS_MAX];
	unsigned event_count;
	bool own_timer; /* time moves with the steps, and the system's timer thread looks at it */
	uint64_t now_ms;
	unsigned ops;
};

struct client {
	struct world *world;
	unsigned number;
	bool stacks;
};

static const char *const handles[HANDLES] = { "h0", "h1", "h2" };

static unsigned handle_number(const char *handle)
{
	return (unsigned)(handle[1] - '0');
}

static struct life *life_of(struct world *world, cu_actor_id id)
{
	unsigned i;

	for (i = 0; i < world->life_count; i++) {
		if (world->lives[i].begun && world->lives[i].id == id)
			return &world->lives[i];
	}
	return NULL;
}

static int life_on_start(struct cu_actor_ctx *ctx, void *state)
{
	struct life *life = state;

	cu_sim_point("on start", __FILE__, __LINE__);
	if (life->fails)
		return CU_EIO;
	life->id = cu_actor_self(ctx);
	life->begun = true;
	cu_sim_note("%llx starts as %s", (unsigned long long)life->id, handles[life->handle]);
	return 0;
}

static enum cu_verdict life_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct life *life = state;
	struct event *event = msg->payload;
	enum cu_verdict verdict = CU_VERDICT_CONTINUE;

	CU_SIM_CHECK(life->begun && !life->exited && life->inside++ == 0);
	CU_SIM_CHECK(event->handle == life->handle && event->dropped == 0);
	CU_SIM_CHECK(event->handled < 2); /* once, and once more on the retry */
	if (event->handled)
		CU_SIM_CHECK(life_of(life->world, event->by[0])->reason.kind == CU_EXIT_SUSPEND);
	event->by[event->handled++] = life->id;
	cu_sim_point("on message", __FILE__, __LINE__);
	switch (event->kind) {
	case EVENT_CRASH: verdict = cu_actor_end(ctx, CU_EXIT_ERROR, -77, "crash"); break;
	case EVENT_SUSPEND: verdict = cu_actor_end(ctx, CU_EXIT_SUSPEND, 0, "asked"); break;
	case EVENT_SUSPEND_ONCE:
		if (event->handled == 1)
			verdict = cu_actor_end(ctx, CU_EXIT_SUSPEND, 0, "asked");
		break;
	case EVENT_REPLY_THEN_END:
		cu_actor_reply(ctx);
		verdict = CU_VERDICT_EXIT;
		break;
	case EVENT_KILL_SELF: (void)cu_actor_kill(life->world->sys, life->id, NULL); break;
	case EVENT_CLEANUP: verdict = cu_actor_end(ctx, CU_EXIT_CLEANUP, 0, "shape removed"); break;
	default: break;
	}
	CU_SIM_CHECK(--life->inside == 0);
	return verdict;
}

static bool life_may_suspend(void *state)
{
	struct life *life = state;
	bool may;

	CU_SIM_CHECK(!life->exited && life->inside++ == 0);
	may = cu_stack_config_may_suspend(STACK);
	life->inside--;
	return may;
}

static void life_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct life *life = state;

	CU_SIM_CHECK(!life->exited && life->inside++ == 0);
	cu_sim_note("%llx ends: %s", (unsigned long long)life->id, cu_exit_kind_name(reason->kind));
	life->reason = *reason;
	life->exited = true;
	life->idled = reason->kind == CU_EXIT_SUSPEND && strcmp(reason->text, "idle") == 0;
	if (reason->kind == CU_EXIT_SUSPEND || reason->kind == CU_EXIT_CLEANUP)
		(void)cu_consumer_remove_if(STACK, handles[life->handle], cu_actor_self(ctx));
	life->inside--;
}

static const struct cu_behaviour life_behaviour = {
	.name = "consumer",
	.on_start = life_on_start,
	.on_message = life_on_message,
	.may_suspend = life_may_suspend,
	.on_exit = life_on_exit,
};

static int consumer_start(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct world *world = ctx;
	struct cu_actor_name name = cu_consumer_name(STACK, handle);
	struct life *life;
	int rc;

	if (!world->shape_is_there[handle_number(handle)]) {
		world->no_shape_answers[handle_number(handle)]++;
		return CU_ENOTFOUND;
	}
	if (world->life_count == LIVES_MAX)
		return CU_EFULL;
	life = &world->lives[world->life_count++];
	*life = (struct life){ .world = world, .handle = handle_number(handle), .fails = cu_sim_random(12) == 0 };
	rc = cu_actor_start_named(world->sys, &name, &life_behaviour, life, ret_id);
	/* EAGAIN: nobody had the name eight times in a row; possible here, where time stands still for some. */
	CU_SIM_CHECK(rc == 0 || rc == CU_EEXIST || rc == CU_EFULL || rc == CU_EAGAIN || (rc == CU_EIO && life->fails));
	return rc;
}

static void shape_remove(struct world *world, const char *handle)
{
	cu_actor_id id = cu_consumer_whereis(STACK, handle);
	struct cu_exit_reason reason;

	if (id == CU_ACTOR_NONE)
		return;
	cu_exit_reason_set(&reason, CU_EXIT_CLEANUP, 0, "shape removed");
	if (cu_actor_kill(world->sys, id, &reason) == CU_ENOTFOUND)
		(void)cu_consumer_registry_remove_if(world->reg, handle, id); /* it crashed earlier */
}

static void shapes_remove(void *ctx, const char *const *removed, size_t count)
{
	struct world *world = ctx;
	size_t i;

	for (i = 0; i < count; i++) {
		CU_SIM_CHECK(i == 0 || strcmp(removed[i], removed[i - 1]) != 0);
		world->removals[handle_number(removed[i])]++;
		shape_remove(world, removed[i]);
	}
}

static struct event *event_new(struct world *world, unsigned handle)
{
	struct event *event;

	if (world->event_count == EVENTS_MAX)
		return NULL;
	event = &world->events[world->event_count++];
	*event = (struct event){ .world = world, .handle = handle };
	event->kind = cu_sim_random(3) ? EVENT_NOTE : (enum event_kind)cu_sim_random(EVENT_KINDS);
	return event;
}

static void delivery_judge(struct world *world, const struct cu_delivery *delivery, const unsigned *no_shape_before,
			   const unsigned *removals_before)
{
	const struct event *event = delivery->event;
	struct life *life = life_of(world, delivery->id);
	unsigned handle = event->handle;

	cu_sim_note("event %u for %s: %s, %s", (unsigned)(event - world->events), delivery->handle,
		    cu_delivery_status_name(delivery->status), cu_exit_kind_name(delivery->reason.kind));
	switch (delivery->status) {
	case CU_DELIVERED:
		CU_SIM_CHECK(event->handled >= 1 && event->by[event->handled - 1] == delivery->id);
		CU_SIM_CHECK(life && life->handle == handle);
		break;
	case CU_CRASHED:
		CU_SIM_CHECK(delivery->reason.kind != CU_EXIT_SUSPEND);
		if (!life)
			CU_SIM_CHECK(delivery->reason.kind == CU_EXIT_ERROR || delivery->reason.kind == CU_EXIT_NOPROC);
		else if (delivery->reason.kind == CU_EXIT_NOPROC)
			/* Never for one that had suspended: its event would have been lost. */
			CU_SIM_CHECK(life->exited && life->reason.kind != CU_EXIT_SUSPEND);
		else
			CU_SIM_CHECK(life->exited && life->reason.kind == delivery->reason.kind);
		break;
	case CU_SHAPE_REMOVED: CU_SIM_CHECK(world->removals[handle] > removals_before[handle]); break;
	case CU_NO_SHAPE: CU_SIM_CHECK(world->no_shape_answers[handle] > no_shape_before[handle]); break;
	case CU_START_FAILED:
		CU_SIM_CHECK(delivery->reason.code == CU_EIO || delivery->reason.code == CU_EFULL ||
			     delivery->reason.code == CU_EAGAIN);
		break;
	default: CU_SIM_CHECK(!"publish has no such outcome");
	}
}

static void publish_some(struct world *world)
{
	struct cu_delivery deliveries[BATCH_MAX];
	unsigned no_shape_before[HANDLES];
	unsigned removals_before[HANDLES];
	unsigned count = 1 + cu_sim_random(BATCH_MAX);
	size_t undelivered = 0;
	size_t told;
	unsigned i;

	memcpy(no_shape_before, world->no_shape_answers, sizeof no_shape_before);
	memcpy(removals_before, world->removals, sizeof removals_before);
	for (i = 0; i < count; i++) {
		unsigned handle = cu_sim_random(HANDLES);
		struct event *event = event_new(world, handle);

		if (!event)
			return;
		deliveries[i] = (struct cu_delivery){ .handle = handles[handle], .event = event };
		cu_sim_note("publishes event %u (kind %d) to %s", (unsigned)(event - world->events), event->kind,
			    handles[handle]);
	}
	told = cu_consumer_registry_publish(world->reg, deliveries, count);
	for (i = 0; i < count; i++) {
		delivery_judge(world, &deliveries[i], no_shape_before, removals_before);
		undelivered += deliveries[i].status != CU_DELIVERED;
	}
	CU_SIM_CHECK(told == undelivered);
}

static void broadcast_some(struct world *world)
{
	struct cu_delivery deliveries[BATCH_MAX];
	unsigned count = 1 + cu_sim_random(BATCH_MAX);
	unsigned i;

	for (i = 0; i < count; i++) {
		unsigned handle = cu_sim_random(HANDLES);
		struct event *event = event_new(world, handle);

		if (!event)
			return;
		deliveries[i] = (struct cu_delivery){ .handle = handles[handle],
						      .event = event,
						      .id = cu_consumer_whereis(STACK, handles[handle]) };
	}
	(void)cu_consumer_broadcast(world->sys, deliveries, count);
	for (i = 0; i < count; i++) {
		const struct event *event = deliveries[i].event;

		CU_SIM_CHECK((deliveries[i].id == CU_ACTOR_NONE) == (deliveries[i].status == CU_SKIPPED));
		CU_SIM_CHECK(event->handled <= 1);
		CU_SIM_CHECK(deliveries[i].status != CU_DELIVERED || event->handled == 1);
	}
}

static void event_dropped(void *payload)
{
	struct event *event = payload;

	struct life *life = life_of(event->world, event->target);

	CU_SIM_CHECK(event->handled == 0 && event->dropped++ == 0);
	CU_SIM_CHECK(!life || (life->exited && !life->idled)); /* nothing pending is lost by suspension */
}

static void send_by_name(struct world *world)
{
	unsigned handle = cu_sim_random(HANDLES);
	struct cu_actor_name name = cu_consumer_name(STACK, handles[handle]);
	struct event *event = event_new(world, handle);

	if (!event)
		return;
	event->target = cu_actor_resolve(&name);
	event->accepted = cu_actor_send(world->sys, event->target, CU_MSG_USER, event, event_dropped) == 0;
}

static void consumer_kill(struct world *world)
{
	static const enum cu_exit_kind kinds[] = { CU_EXIT_KILLED, CU_EXIT_SUSPEND, CU_EXIT_CLEANUP, CU_EXIT_ERROR };
	struct cu_exit_reason reason;

	cu_exit_reason_set(&reason, kinds[cu_sim_random(CU_ARRAY_LEN(kinds))], 5, "told");
	(void)cu_actor_kill(world->sys, cu_consumer_whereis(STACK, handles[cu_sim_random(HANDLES)]), &reason);
}

static void shape_come_or_go(struct world *world)
{
	unsigned handle = cu_sim_random(HANDLES);

	world->shape_is_there[handle] = !world->shape_is_there[handle];
	if (!world->shape_is_there[handle])
		shape_remove(world, handles[handle]);
}

static void entry_remove(struct world *world)
{
	unsigned handle = cu_sim_random(HANDLES);

	if (cu_sim_random(4))
		return;
	world->raw_removed[handle] = true;
	cu_consumer_remove(STACK, handles[handle]);
}

static void suspension_set(void)
{
	uint32_t after = 100 * (1 + cu_sim_random(3));

	switch (cu_sim_random(4)) {
	case 0: CU_SIM_CHECK(cu_consumer_enable_suspend(STACK, after, after + 200) >= 0); break;
	case 1: CU_SIM_CHECK(cu_consumer_enable_suspend_after(STACK, after, 100, after + 1) >= 0); break;
	default: (void)cu_stack_config_put(STACK, CU_CONFIG_ENABLE_SUSPEND, cu_sim_random(2)); break;
	}
}

static void entry_seen(void *arg, const char *handle, cu_actor_id id)
{
	(void)arg;
	CU_SIM_CHECK(handle[0] == 'h' && id != CU_ACTOR_NONE);
}

static void questions_ask(struct world *world)
{
	cu_actor_id id = cu_consumer_whereis_name(STACK, handles[cu_sim_random(HANDLES)]);

	CU_SIM_CHECK(cu_consumer_active_count(STACK) <= HANDLES);
	CU_SIM_CHECK(cu_consumer_registry_foreach(world->reg, entry_seen, NULL) <= HANDLES);
	if (id != CU_ACTOR_NONE)
		(void)cu_actor_hibernating(world->sys, id);
}

/* A stack that one client creates and destroys while the others use it by its id. */
static void coming_stack_op(struct client *client)
{
	struct cu_consumer_registry_opts opts = { .system = client->world->sys, .start_consumer = consumer_start };
	cu_consumer_registry *reg = NULL;
	cu_actor_id id;
	int64_t rc;

	if (client->number == 1) {
		CU_SIM_CHECK(cu_consumer_registry_new(COMING_STACK, &opts, &reg) == 0);
		(void)cu_consumer_registry_register(reg, "k", 77);
		cu_sim_point("the stack is there", __FILE__, __LINE__);
		cu_consumer_registry_free(&reg);
		return;
	}
	id = cu_consumer_whereis(COMING_STACK, "k");
	CU_SIM_CHECK(id == CU_ACTOR_NONE || id == 77);
	CU_SIM_CHECK(cu_consumer_active_count(COMING_STACK) <= 1);
	rc = cu_consumer_register(COMING_STACK, "k", 77);
	CU_SIM_CHECK(rc == 0 || rc == CU_ENOTFOUND);
	CU_SIM_CHECK(!cu_consumer_remove_if(COMING_STACK, "k", 78));
	rc = cu_consumer_enable_suspend(COMING_STACK, 100, 200);
	CU_SIM_CHECK(rc == CU_ENOTFOUND || rc == 0 || rc == 1);
}

/* One entry stays while others make the table grow and shrink: it must be there at every look. */
static void table_op(struct client *client)
{
	char key[8];
	unsigned i;

	if (client->number % 2) {
		for (i = 0; i < 12; i++)
			CU_SIM_CHECK(cu_consumer_whereis(TABLE_STACK, "stays") == 5);
		return;
	}
	for (i = 0; i < CHURN; i++) {
		snprintf(key, sizeof key, "c%u-%u", client->number, i);
		CU_SIM_CHECK(cu_consumer_registry_register(client->world->table_reg, key, 100 + i) == 0);
	}
	for (i = 0; i < CHURN; i++) {
		snprintf(key, sizeof key, "c%u-%u", client->number, i);
		CU_SIM_CHECK(cu_consumer_registry_remove_if(client->world->table_reg, key, 100 + i));
	}
}

static void client_op(struct client *client)
{
	struct world *world = client->world;
	cu_actor_id id;

	switch (cu_sim_random(20)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
	case 5: publish_some(world); break;
	case 6: broadcast_some(world); break;
	case 7:
	case 8: send_by_name(world); break;
	case 9: consumer_kill(world); break;
	case 10: shape_come_or_go(world); break;
	case 11: entry_remove(world); break;
	case 12: (void)consumer_start(world, handles[cu_sim_random(HANDLES)], &id); break;
	case 13: suspension_set(); break;
	case 14: coming_stack_op(client); break;
	case 15:
		if (cu_sim_random(4) == 0)
			table_op(client);
		break;
	case 16: questions_ask(world); break;
	default:
		if (client->number == 0 && !world->own_timer)
			cu_actor_system_tick(world->sys, world->now_ms += 100 * (1 + cu_sim_random(5)));
		else
			(void)cu_actor_system_run(world->sys);
		break;
	}
}

static void client_main(void *arg)
{
	struct client *client = arg;
	unsigned i;

	for (i = 0; i < client->world->ops; i++)
		client_op(client);
}

/* All is quiet: what the registry knows is what lives, and nothing sent has been forgotten. */
static void world_judge(struct world *world)
{
	size_t entries = 0;
	unsigned i, handle;

	for (handle = 0; handle < HANDLES; handle++) {
		cu_actor_id entry = cu_consumer_whereis(STACK, handles[handle]);
		struct life *life = life_of(world, entry);
		unsigned living = 0;

		entries += entry != CU_ACTOR_NONE;
		CU_SIM_CHECK(entry == CU_ACTOR_NONE || (life && life->handle == handle));
		if (life && life->exited)
			CU_SIM_CHECK(life->reason.kind != CU_EXIT_SUSPEND && life->reason.kind != CU_EXIT_CLEANUP);
		for (i = 0; i < world->life_count; i++) {
			const struct life *at = &world->lives[i];

			if (at->handle != handle || !at->begun || at->exited)
				continue;
			living++;
			CU_SIM_CHECK(world->raw_removed[handle] || entry == at->id);
		}
		CU_SIM_CHECK(world->raw_removed[handle] || living <= 1);
	}
	CU_SIM_CHECK(cu_consumer_registry_active_count(world->reg) == entries);
	for (i = 0; i < world->event_count; i++) {
		const struct event *event = &world->events[i];

		if (event->accepted)
			CU_SIM_CHECK(event->handled + event->dropped == 1);
	}
}

static void world_run(void *arg)
{
	struct cu_actor_system_opts sys_opts = { .manual_clock = true, .actors_max = 6, .mailbox_max = 4 };
	struct cu_consumer_registry_opts opts = { .start_consumer = consumer_start, .remove_shapes = shapes_remove };
	struct client clients[CLIENTS_MAX];
	struct cu_sim_task tasks[CLIENTS_MAX];
	struct world *world = cu_xzalloc(sizeof *world);
	unsigned client_count = 2 + cu_sim_random(CLIENTS_MAX - 1);
	unsigned i;

	(void)arg;
	cu_log_level_max = CU_LOG_ERROR;
	sys_opts.workers = cu_sim_random(3);
	world->own_timer = cu_sim_random(4) == 0;
	sys_opts.manual_clock = !world->own_timer;
	world->ops = 3 + cu_sim_random(10);
	CU_SIM_CHECK(cu_actor_system_new(&sys_opts, &world->sys) == 0);
	opts.system = world->sys;
	opts.ctx = world;
	CU_SIM_CHECK(cu_consumer_registry_new(STACK, &opts, &world->reg) == 0);
	CU_SIM_CHECK(cu_consumer_registry_new(TABLE_STACK, &opts, &world->table_reg) == 0);
	CU_SIM_CHECK(cu_consumer_register(TABLE_STACK, "stays", 5) == 0);
	for (i = 0; i < HANDLES; i++)
		world->shape_is_there[i] = cu_sim_random(8) != 0;
	for (i = 0; i < client_count; i++) {
		clients[i] = (struct client){ .world = world, .number = i };
		tasks[i] = (struct cu_sim_task){ client_main, &clients[i] };
	}
	cu_sim_together(tasks, client_count);

	cu_sim_quiesce();
	cu_sim_pause(1); /* the timer thread would go on while we look */
	if (sys_opts.workers == 0)
		(void)cu_actor_system_run(world->sys);
	world_judge(world);
	cu_actor_system_check(world->sys);
	cu_sim_pause(-1);
	cu_actor_system_stop(world->sys);
	for (i = 0; i < world->life_count; i++)
		CU_SIM_CHECK(!world->lives[i].begun || world->lives[i].exited);
	cu_consumer_registry_free(&world->reg);
	cu_consumer_registry_free(&world->table_reg);
	cu_actor_system_free(&world->sys);
	free(world);
}

static void stacks_client_main(void *arg)
{
	struct client *client = arg;
	unsigned i;

	for (i = 0; i < client->world->ops; i++) {
		if (client->stacks)
			coming_stack_op(client);
		else
			table_op(client);
	}
}

/* Only stacks that come and go, and a table that grows and shrinks under its readers. */
static void stacks_run(void *arg)
{
	struct cu_actor_system_opts sys_opts = { .manual_clock = true, .actors_max = 2 };
	struct cu_consumer_registry_opts opts = { .start_consumer = consumer_start };
	struct client clients[CLIENTS_MAX + 1];
	struct cu_sim_task tasks[CLIENTS_MAX + 1];
	struct world *world = cu_xzalloc(sizeof *world);
	unsigned from = cu_sim_random(2) ? 2 : 0; /* either the stacks or the table */
	unsigned count = 2 + cu_sim_random(2);
	unsigned i;

	(void)arg;
	world->ops = 1 + cu_sim_random(3);
	CU_SIM_CHECK(cu_actor_system_new(&sys_opts, &world->sys) == 0);
	opts.system = world->sys;
	opts.ctx = world;
	CU_SIM_CHECK(cu_consumer_registry_new(TABLE_STACK, &opts, &world->table_reg) == 0);
	CU_SIM_CHECK(cu_consumer_register(TABLE_STACK, "stays", 5) == 0);
	for (i = 0; i < CU_ARRAY_LEN(clients); i++) {
		clients[i] = (struct client){ .world = world, .number = i, .stacks = from == 0 };
		tasks[i] = (struct cu_sim_task){ stacks_client_main, &clients[i] };
	}
	cu_sim_together(tasks + from, count);
	CU_SIM_CHECK(cu_consumer_registry_active_count(world->table_reg) == 1);
	cu_consumer_registry_free(&world->table_reg);
	cu_actor_system_free(&world->sys);
	free(world);
}

static void stacks_that_come_and_go_leave_nothing_and_tables_move_under_their_readers(void **state)
{
	(void)state;
	assert_true(cu_sim_expect_pass("registry", stacks_run, 2500));
	assert_true(cu_sim_expect_found("frees while readers look", stacks_run, CU_MUTANT_NO_GRACE_PERIOD, 4000));
}

static void every_explored_interleaving_keeps_to_the_contract(void **state)
{
	(void)state;
	assert_true(cu_sim_expect_pass("registry", world_run, 5000));
}

static void the_same_seed_gives_the_same_interleaving(void **state)
{
	(void)state;
	assert_true(cu_sim_expect_repeatable(world_run, 150));
}

static void the_explorer_finds_faults_put_in_on_purpose(void **state)
{
	(void)state;
	assert_true(
		cu_sim_expect_found("the retry removes a successor", world_run, CU_MUTANT_RETRY_REMOVES_ANY, 20000));
	assert_true(
		cu_sim_expect_found("just suspended counts as crashed", world_run, CU_MUTANT_NOPROC_IS_A_CRASH, 20000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_explored_interleaving_keeps_to_the_contract),
		cmocka_unit_test(stacks_that_come_and_go_leave_nothing_and_tables_move_under_their_readers),
		cmocka_unit_test(the_same_seed_gives_the_same_interleaving),
		cmocka_unit_test(the_explorer_finds_faults_put_in_on_purpose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
