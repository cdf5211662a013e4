/* What an actor, its mailbox, its monitors and its idle timers promise. No threads: a manual clock, and the test runs
 * the run queue itself.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base.h"
#include "copper/actor.h"

#include <stdlib.h>

enum { MSG_NOTE = CU_MSG_USER, MSG_END, MSG_FAIL, MSG_KILL_SELF, MSG_CALL_OTHER };

struct probe {
	unsigned handled;
	void *seen[8];
	unsigned downs;
	struct cu_down last_down;
	unsigned hibernated;
	unsigned exits;
	struct cu_exit_reason last_exit;
	bool may_suspend;
	bool send_to_self_when_asked;
	cu_actor_system *sys;
	cu_actor_id self;
	cu_actor_id other;
	bool other_delivered;
};

static enum cu_verdict probe_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct probe *probe = state;
	struct cu_actor_call call = { .id = probe->other, .type = MSG_NOTE };

	if (msg->type == CU_MSG_DOWN) {
		probe->downs++;
		probe->last_down = *(struct cu_down *)msg->payload;
		return CU_VERDICT_CONTINUE;
	}
	if (probe->handled < CU_ARRAY_LEN(probe->seen))
		probe->seen[probe->handled] = msg->payload;
	probe->handled++;
	switch (msg->type) {
	case MSG_END: return CU_VERDICT_EXIT;
	case MSG_FAIL: return cu_actor_end(ctx, CU_EXIT_ERROR, 42, "failed");
	case MSG_KILL_SELF:
		assert_int_equal(cu_actor_kill(cu_actor_ctx_system(ctx), cu_actor_self(ctx), NULL), 0);
		return CU_VERDICT_CONTINUE;
	case MSG_CALL_OTHER:
		cu_actor_call_many(cu_actor_ctx_system(ctx), &call, 1);
		probe->other_delivered = call.delivered;
		return CU_VERDICT_CONTINUE;
	default: return CU_VERDICT_CONTINUE;
	}
}

static void probe_on_hibernate(void *state)
{
	((struct probe *)state)->hibernated++;
}

static bool probe_may_suspend(void *state)
{
	struct probe *probe = state;

	if (probe->send_to_self_when_asked)
		assert_int_equal(cu_actor_send(probe->sys, probe->self, MSG_NOTE, NULL, NULL), 0);
	return probe->may_suspend;
}

static void probe_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct probe *probe = state;

	assert_true(cu_actor_alive(cu_actor_ctx_system(ctx), cu_actor_self(ctx)));
	assert_int_equal(cu_actor_send(cu_actor_ctx_system(ctx), cu_actor_self(ctx), MSG_NOTE, NULL, NULL),
			 CU_ENOTFOUND);
	probe->exits++;
	probe->last_exit = *reason;
}

static const struct cu_behaviour probe_behaviour = {
	.name = "probe",
	.on_message = probe_on_message,
	.on_hibernate = probe_on_hibernate,
	.may_suspend = probe_may_suspend,
	.on_exit = probe_on_exit,
};
static const struct cu_behaviour plain_behaviour = { .name = "plain", .on_message = probe_on_message };

static cu_actor_system *system_new(uint32_t actors_max, uint32_t mailbox_max)
{
	const struct cu_actor_system_opts opts = { .actors_max = actors_max,
						   .mailbox_max = mailbox_max,
						   .manual_clock = true };
	cu_actor_system *sys = NULL;

	assert_int_equal(cu_actor_system_new(&opts, &sys), 0);
	return sys;
}

static int setup(void **state)
{
	*state = system_new(0, 0);
	return 0;
}

static int teardown(void **state)
{
	cu_actor_system *sys = *state;

	cu_actor_system_free(&sys);
	assert_null(sys);
	cu_actor_system_free(&sys);
	return 0;
}

static cu_actor_id probe_start(cu_actor_system *sys, struct probe *probe)
{
	*probe = (struct probe){ .may_suspend = true, .sys = sys };
	assert_int_equal(cu_actor_start(sys, &probe_behaviour, probe, &probe->self), 0);
	assert_true(probe->self != CU_ACTOR_NONE);
	return probe->self;
}

static unsigned drops;
static void count_drop(void *payload)
{
	(void)payload;
	drops++;
}

static void messages_are_handled_in_the_order_sent(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	cu_actor_id id = probe_start(sys, &probe);
	int marks[3];
	int i;

	for (i = 0; i < 3; i++)
		assert_int_equal(cu_actor_send(sys, id, MSG_NOTE, &marks[i], NULL), 0);
	assert_int_equal(probe.handled, 0);
	assert_int_equal(cu_actor_system_run(sys), 1);
	for (i = 0; i < 3; i++)
		assert_ptr_equal(probe.seen[i], &marks[i]);
	assert_int_equal(cu_actor_system_run(sys), 0);
}

static void a_full_mailbox_refuses_and_the_payload_stays_the_senders(void **state)
{
	cu_actor_system *sys = system_new(0, 2);
	static struct probe probe;
	cu_actor_id id = probe_start(sys, &probe);

	(void)state;
	drops = 0;
	assert_int_equal(cu_actor_send(sys, id, MSG_NOTE, NULL, count_drop), 0);
	assert_int_equal(cu_actor_send(sys, id, MSG_NOTE, NULL, count_drop), 0);
	assert_int_equal(cu_actor_send(sys, id, MSG_NOTE, NULL, count_drop), CU_EFULL);
	cu_actor_system_run(sys);
	assert_int_equal(cu_actor_send(sys, id, MSG_NOTE, NULL, count_drop), 0);
	cu_actor_system_free(&sys);
	assert_int_equal(drops, 1);
	assert_int_equal(probe.last_exit.kind, CU_EXIT_KILLED);
}

static void without_memory_a_send_is_refused(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	cu_actor_id id = probe_start(sys, &probe);

	cu_fault_alloc_at(1);
	assert_int_equal(cu_actor_send(sys, id, MSG_NOTE, NULL, NULL), CU_ENOMEM);
	cu_fault_alloc_at(1);
	assert_int_equal(cu_actor_monitor(sys, id, id, NULL, NULL), CU_ENOMEM);
	cu_fault_alloc_at(0);
}

static void messages_behind_the_end_are_dropped_through_their_drop(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	cu_actor_id id = probe_start(sys, &probe);

	drops = 0;
	cu_actor_send(sys, id, MSG_FAIL, NULL, NULL);
	cu_actor_send(sys, id, MSG_NOTE, NULL, count_drop);
	cu_actor_send(sys, id, MSG_NOTE, NULL, count_drop);
	cu_actor_system_run(sys);
	assert_int_equal(probe.handled, 1);
	assert_int_equal(drops, 2);
	assert_int_equal(probe.exits, 1);
	assert_int_equal(probe.last_exit.kind, CU_EXIT_ERROR);
	assert_int_equal(probe.last_exit.code, 42);
	assert_string_equal(probe.last_exit.text, "failed");
}

static void a_stale_id_is_harmless_when_its_slot_lives_again(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe first, second;
	cu_actor_id old = probe_start(sys, &first);
	cu_actor_id new;

	cu_actor_kill(sys, old, NULL);
	new = probe_start(sys, &second);
	assert_int_equal((uint32_t)old, (uint32_t) new);
	assert_true(old != new);
	assert_false(cu_actor_alive(sys, old));
	assert_int_equal(cu_actor_send(sys, old, MSG_NOTE, NULL, NULL), CU_ENOTFOUND);
	assert_int_equal(cu_actor_kill(sys, old, NULL), CU_ENOTFOUND);
	assert_int_equal(cu_actor_send(sys, CU_ACTOR_NONE, MSG_NOTE, NULL, NULL), CU_ENOTFOUND);
	assert_int_equal(cu_actor_send(sys, ~(cu_actor_id)0, MSG_NOTE, NULL, NULL), CU_ENOTFOUND);
	assert_true(cu_actor_alive(sys, new));
	assert_int_equal(second.exits, 0);
}

static void the_number_of_actors_is_bounded_and_slots_come_back(void **state)
{
	cu_actor_system *sys = system_new(2000, 0);
	static struct probe probe = { 0 };
	cu_actor_id ids[2000];
	cu_actor_id one;
	unsigned i;

	(void)state;
	for (i = 0; i < 2000; i++)
		assert_int_equal(cu_actor_start(sys, &plain_behaviour, &probe, &ids[i]), 0);
	assert_int_equal(cu_actor_start(sys, &plain_behaviour, &probe, &one), CU_EFULL);
	assert_int_equal(cu_actor_system_count(sys), 2000);
	cu_actor_kill(sys, ids[1500], NULL);
	assert_int_equal(cu_actor_start(sys, &plain_behaviour, &probe, &one), 0);
	assert_int_equal(cu_actor_start(sys, &plain_behaviour, &probe, &one), CU_EFULL);
	cu_actor_system_free(&sys);
}

static int refuse_start(struct cu_actor_ctx *ctx, void *state)
{
	(void)ctx;
	(void)state;
	return -99;
}

static void a_refused_start_leaves_no_actor_and_no_on_exit(void **state)
{
	static const struct cu_behaviour refusing = {
		.name = "refusing", .on_start = refuse_start, .on_message = probe_on_message, .on_exit = probe_on_exit
	};
	cu_actor_system *sys = *state;
	static struct probe probe = { 0 };
	cu_actor_id id = CU_ACTOR_NONE;

	assert_int_equal(cu_actor_start(sys, &refusing, &probe, &id), -99);
	assert_true(id == CU_ACTOR_NONE);
	assert_int_equal(probe.exits, 0);
	assert_int_equal(cu_actor_system_count(sys), 0);
}

static void a_call_runs_an_idle_actor_on_the_calling_thread(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	struct cu_exit_reason reason;
	struct cu_actor_call calls[3] = { { .type = MSG_NOTE, .payload = &probe },
					  { .id = CU_ACTOR_NONE, .ret_reason = &reason },
					  { .type = MSG_NOTE } };

	calls[0].id = calls[2].id = probe_start(sys, &probe);
	assert_int_equal(cu_actor_call_many(sys, calls, 3), 1);
	assert_true(calls[0].delivered && calls[2].delivered);
	assert_false(calls[1].delivered);
	assert_int_equal(reason.kind, CU_EXIT_NOPROC);
	assert_int_equal(probe.handled, 2);
	assert_ptr_equal(probe.seen[0], &probe);
}

static void a_call_comes_after_what_was_sent_before(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	int before, called;
	struct cu_actor_call call = { .id = probe_start(sys, &probe), .type = MSG_NOTE, .payload = &called };

	cu_actor_send(sys, probe.self, MSG_NOTE, &before, NULL);
	assert_int_equal(cu_actor_call_many(sys, &call, 1), 0);
	assert_ptr_equal(probe.seen[0], &before);
	assert_ptr_equal(probe.seen[1], &called);
}

static void a_call_that_meets_the_end_gets_its_reason(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	struct cu_exit_reason reasons[2];
	struct cu_actor_call calls[2] = { { .type = MSG_FAIL, .ret_reason = &reasons[0] },
					  { .type = MSG_NOTE, .ret_reason = &reasons[1] } };

	calls[0].id = calls[1].id = probe_start(sys, &probe);
	assert_int_equal(cu_actor_call_many(sys, calls, 2), 2);
	assert_int_equal(reasons[0].code, 42);
	assert_int_equal(reasons[1].code, 42);
	assert_int_equal(probe.handled, 1);
}

static void an_actor_may_call_another_one(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe caller, other;
	struct cu_actor_call calls[2] = { { .type = MSG_CALL_OTHER }, { .type = MSG_NOTE } };

	calls[0].id = probe_start(sys, &caller);
	/* The other one waits for the same outer call: the inner call must run it rather than wait. */
	caller.other = calls[1].id = probe_start(sys, &other);
	assert_int_equal(cu_actor_call_many(sys, calls, 2), 0);
	assert_true(caller.other_delivered);
	assert_int_equal(other.handled, 2);
}

static void what_was_being_handled_when_killed_counts_as_not_handled(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	struct cu_exit_reason reason;
	struct cu_actor_call call = { .id = probe_start(sys, &probe), .type = MSG_KILL_SELF, .ret_reason = &reason };

	assert_int_equal(cu_actor_call_many(sys, &call, 1), 1);
	assert_int_equal(reason.kind, CU_EXIT_KILLED);
	assert_int_equal(probe.exits, 1);
	assert_false(cu_actor_alive(sys, call.id));
}

static void a_monitor_gives_exactly_one_notice(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe watcher, target;
	cu_actor_id watcher_id = probe_start(sys, &watcher);
	cu_actor_id target_id = probe_start(sys, &target);
	uint64_t ref;

	assert_int_equal(cu_actor_monitor(sys, watcher_id, target_id, &target, &ref), 0);
	cu_actor_send(sys, target_id, MSG_FAIL, NULL, NULL);
	cu_actor_system_run(sys);
	assert_int_equal(watcher.downs, 1);
	assert_true(watcher.last_down.id == target_id && watcher.last_down.ref == ref);
	assert_ptr_equal(watcher.last_down.tag, &target);
	assert_int_equal(watcher.last_down.reason.code, 42);
	assert_false(cu_actor_demonitor(sys, target_id, ref));
}

static void monitoring_a_dead_actor_gives_noproc_at_once(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe watcher, target;
	cu_actor_id watcher_id = probe_start(sys, &watcher);
	cu_actor_id target_id = probe_start(sys, &target);

	cu_actor_kill(sys, target_id, NULL);
	assert_int_equal(cu_actor_monitor(sys, watcher_id, target_id, NULL, NULL), 0);
	cu_actor_system_run(sys);
	assert_int_equal(watcher.downs, 1);
	assert_int_equal(watcher.last_down.reason.kind, CU_EXIT_NOPROC);
	assert_int_equal(cu_actor_monitor(sys, target_id, watcher_id, NULL, NULL), CU_ENOTFOUND);
}

static void a_monitor_taken_back_gives_no_notice(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe watcher, target;
	cu_actor_id watcher_id = probe_start(sys, &watcher);
	cu_actor_id target_id = probe_start(sys, &target);
	uint64_t first, second;

	cu_actor_monitor(sys, watcher_id, target_id, NULL, &first);
	cu_actor_monitor(sys, watcher_id, target_id, NULL, &second);
	assert_true(cu_actor_demonitor(sys, target_id, first));
	assert_false(cu_actor_demonitor(sys, target_id, first));
	cu_actor_kill(sys, target_id, NULL);
	cu_actor_system_run(sys);
	assert_int_equal(watcher.downs, 1);
	assert_true(watcher.last_down.ref == second);
}

static void a_watcher_that_ended_first_is_no_trouble(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe watcher, target;
	cu_actor_id watcher_id = probe_start(sys, &watcher);
	cu_actor_id target_id = probe_start(sys, &target);

	cu_actor_monitor(sys, watcher_id, target_id, NULL, NULL);
	cu_actor_kill(sys, watcher_id, NULL);
	cu_actor_kill(sys, target_id, NULL);
	assert_int_equal(watcher.downs, 0);
}

static void count_down(const struct cu_down *down)
{
	++*(unsigned *)down->tag;
}

static void a_function_can_watch_too(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe target;
	cu_actor_id target_id = probe_start(sys, &target);
	unsigned downs = 0;

	assert_int_equal(cu_actor_monitor_fn(sys, target_id, count_down, &downs, NULL), 0);
	cu_actor_kill(sys, target_id, NULL);
	assert_int_equal(downs, 1);
	assert_int_equal(cu_actor_monitor_fn(sys, target_id, count_down, &downs, NULL), 0);
	assert_int_equal(downs, 2);
}

static void an_idle_actor_hibernates_once_and_any_message_counts_as_activity(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	cu_actor_id id = probe_start(sys, &probe);
	struct cu_actor_call call = { .id = id, .type = MSG_NOTE };

	cu_actor_set_idle(sys, id, &(struct cu_idle_policy){ .hibernate_after_ms = 1000 });
	cu_actor_system_tick(sys, 900);
	cu_actor_call_many(sys, &call, 1);
	cu_actor_system_tick(sys, 1800);
	assert_int_equal(probe.hibernated, 0);
	cu_actor_system_tick(sys, 1900);
	assert_int_equal(probe.hibernated, 1);
	assert_true(cu_actor_hibernating(sys, id));
	cu_actor_system_tick(sys, 900000);
	assert_int_equal(probe.hibernated, 1);
	assert_true(cu_actor_alive(sys, id));
	cu_actor_call_many(sys, &call, 1);
	assert_false(cu_actor_hibernating(sys, id));
	cu_actor_system_tick(sys, 901000);
	assert_int_equal(probe.hibernated, 2);
}

static void a_new_idle_policy_replaces_the_old_one(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	cu_actor_id id = probe_start(sys, &probe);

	cu_actor_set_idle(sys, id, &(struct cu_idle_policy){ .hibernate_after_ms = 5000 });
	cu_actor_set_idle(sys, id, &(struct cu_idle_policy){ .hibernate_after_ms = 300, .suspend = true });
	cu_actor_system_tick(sys, 300);
	assert_false(cu_actor_alive(sys, id));
	assert_int_equal(probe.hibernated, 0);
	assert_int_equal(probe.last_exit.kind, CU_EXIT_SUSPEND);
	id = probe_start(sys, &probe);
	cu_actor_set_idle(sys, id, &(struct cu_idle_policy){ .hibernate_after_ms = 300, .suspend = true });
	cu_actor_set_idle(sys, id, &(struct cu_idle_policy){ 0 });
	cu_actor_system_tick(sys, 100000);
	assert_true(cu_actor_alive(sys, id));
	assert_int_equal(cu_actor_set_idle(sys, CU_ACTOR_NONE, &(struct cu_idle_policy){ 0 }), CU_ENOTFOUND);
}

static void an_idle_time_longer_than_a_turn_of_the_wheel_is_kept(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	cu_actor_id id = probe_start(sys, &probe);
	uint64_t now;

	cu_actor_set_idle(sys, id, &(struct cu_idle_policy){ .hibernate_after_ms = 1000000 });
	for (now = 100; now < 1000000; now += 9700)
		cu_actor_system_tick(sys, now);
	assert_int_equal(probe.hibernated, 0);
	cu_actor_system_tick(sys, 1000000);
	assert_int_equal(probe.hibernated, 1);
}

static void a_thousand_actors_due_at_once_all_suspend(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probes[1000];
	unsigned i;

	for (i = 0; i < 1000; i++) {
		probe_start(sys, &probes[i]);
		probes[i].may_suspend = i % 2;
		cu_actor_set_idle(sys, probes[i].self,
				  &(struct cu_idle_policy){ .hibernate_after_ms = 700, .suspend = true });
	}
	cu_actor_system_tick(sys, 700);
	assert_int_equal(cu_actor_system_count(sys), 500);
}

static void an_actor_without_may_suspend_only_hibernates(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe = { 0 };
	cu_actor_id id;

	assert_int_equal(cu_actor_start(sys, &plain_behaviour, &probe, &id), 0);
	cu_actor_set_idle(sys, id, &(struct cu_idle_policy){ .hibernate_after_ms = 100, .suspend = true });
	cu_actor_system_tick(sys, 1000);
	assert_true(cu_actor_alive(sys, id));
	assert_true(cu_actor_hibernating(sys, id));
}

static void a_message_that_comes_in_while_it_decides_to_suspend_keeps_it_alive(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe probe;
	cu_actor_id id = probe_start(sys, &probe);

	probe.send_to_self_when_asked = true;
	cu_actor_set_idle(sys, id, &(struct cu_idle_policy){ .hibernate_after_ms = 100, .suspend = true });
	cu_actor_system_tick(sys, 100);
	assert_true(cu_actor_alive(sys, id));
	assert_int_equal(probe.handled, 1);
	probe.send_to_self_when_asked = false;
	cu_actor_system_tick(sys, 200);
	assert_false(cu_actor_alive(sys, id));
}

/* Replaces its own idle policy while it is being put to sleep: `self` and `policy` say which. */
static struct {
	cu_actor_system *sys;
	cu_actor_id id;
	struct cu_idle_policy policy;
	unsigned exits;
} sleeper;

static void sleeper_repolicy(void *state)
{
	(void)state;
	assert_int_equal(cu_actor_set_idle(sleeper.sys, sleeper.id, &sleeper.policy), 0);
}

static bool sleeper_may_suspend(void *state)
{
	sleeper_repolicy(state);
	return true;
}

static void sleeper_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	(void)ctx;
	(void)state;
	(void)reason;
	sleeper.exits++;
}

static const struct cu_behaviour sleeper_behaviour = {
	.name = "sleeper",
	.on_message = probe_on_message,
	.on_hibernate = sleeper_repolicy,
	.may_suspend = sleeper_may_suspend,
	.on_exit = sleeper_on_exit,
};

static struct cu_exit_reason wanted_end;

static enum cu_verdict end_as_wanted(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	(void)state;
	(void)msg;
	return cu_actor_end(ctx, wanted_end.kind, wanted_end.code, wanted_end.text);
}

static void assert_wanted_end(const struct cu_exit_reason *reason)
{
	assert_int_equal(reason->kind, wanted_end.kind);
	assert_int_equal(reason->code, wanted_end.code);
	assert_string_equal(reason->text, wanted_end.text);
}

/* An exit reason is data: kind, code and text reach on_exit, the caller and the watcher as they were given. */
static void every_kind_of_end_reaches_all_who_want_to_know_as_it_was_told(void **state)
{
	static const struct cu_behaviour ending = { .name = "ending",
						    .on_message = end_as_wanted,
						    .on_exit = probe_on_exit };
	cu_actor_system *sys = *state;
	static struct probe watcher, target;
	unsigned kind, by_kill;

	probe_start(sys, &watcher);
	for (kind = CU_EXIT_NORMAL; kind <= CU_EXIT_ERROR; kind++) {
		for (by_kill = 0; by_kill < 2; by_kill++) {
			struct cu_exit_reason reason;
			struct cu_actor_call call = { .type = MSG_NOTE, .ret_reason = &reason };

			cu_exit_reason_set(&wanted_end, (enum cu_exit_kind)kind, -5 * (int)kind, "why it ended");
			assert_int_equal(cu_actor_start(sys, &ending, &target, &call.id), 0);
			assert_int_equal(cu_actor_monitor(sys, watcher.self, call.id, NULL, NULL), 0);
			if (by_kill) {
				assert_int_equal(cu_actor_kill(sys, call.id, &wanted_end), 0);
			} else {
				assert_int_equal(cu_actor_call_many(sys, &call, 1), 1);
				assert_wanted_end(&reason);
			}
			assert_wanted_end(&target.last_exit);
			cu_actor_system_run(sys);
			assert_wanted_end(&watcher.last_down.reason);
			/* Afterwards it is only dead. */
			assert_int_equal(cu_actor_call_many(sys, &call, 1), 1);
			assert_int_equal(reason.kind, CU_EXIT_NOPROC);
		}
	}
	assert_int_equal(watcher.downs, 2 * (CU_EXIT_ERROR + 1));
}

static void a_policy_that_comes_in_while_it_is_put_to_sleep_holds_at_once(void **state)
{
	const struct cu_actor_system_opts opts = { .manual_clock = true };

	(void)state;
	memset(&sleeper, 0, sizeof sleeper);
	assert_int_equal(cu_actor_system_new(&opts, &sleeper.sys), 0);
	assert_int_equal(cu_actor_start(sleeper.sys, &sleeper_behaviour, &sleeper, &sleeper.id), 0);
	/* It hibernates, and has no idle times any more: it stays for ever. */
	cu_actor_set_idle(
		sleeper.sys, sleeper.id,
		&(struct cu_idle_policy){ .hibernate_after_ms = 100, .suspend_after_ms = 100, .suspend = true });
	sleeper.policy = (struct cu_idle_policy){ .suspend_after_ms = 100, .suspend = true };
	cu_actor_system_tick(sleeper.sys, 1000);
	cu_actor_system_tick(sleeper.sys, 100000);
	assert_true(cu_actor_alive(sleeper.sys, sleeper.id));
	/* It has said that it may go, and may not any more. */
	cu_actor_set_idle(sleeper.sys, sleeper.id,
			  &(struct cu_idle_policy){ .hibernate_after_ms = 100, .suspend = true });
	sleeper.policy = (struct cu_idle_policy){ .hibernate_after_ms = 100 };
	cu_actor_system_tick(sleeper.sys, 200000);
	cu_actor_system_tick(sleeper.sys, 300000);
	assert_true(cu_actor_alive(sleeper.sys, sleeper.id));
	assert_int_equal(sleeper.exits, 0);
	cu_actor_system_free(&sleeper.sys);
	assert_int_equal(sleeper.exits, 1);
}

static void stop_ends_every_actor_and_refuses_new_ones(void **state)
{
	cu_actor_system *sys = *state;
	static struct probe idle, waiting;
	cu_actor_id id;

	probe_start(sys, &idle);
	cu_actor_send(sys, probe_start(sys, &waiting), MSG_NOTE, NULL, NULL);
	cu_actor_system_stop(sys);
	cu_actor_system_stop(sys);
	assert_int_equal(idle.exits, 1);
	assert_int_equal(waiting.exits, 1);
	assert_int_equal(waiting.last_exit.kind, CU_EXIT_KILLED);
	assert_int_equal(cu_actor_start(sys, &probe_behaviour, &idle, &id), CU_ECLOSED);
}

static void reasons_have_names_and_long_texts_are_cut(void **state)
{
	struct cu_exit_reason reason;
	char text[200];

	(void)state;
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = 0;
	cu_exit_reason_set(&reason, CU_EXIT_ERROR, 1, text);
	assert_int_equal(strlen(reason.text), CU_EXIT_TEXT_MAX - 1);
	assert_string_equal(cu_exit_kind_name(CU_EXIT_NOPROC), "noproc");
	assert_string_equal(cu_exit_kind_name((enum cu_exit_kind)99), "unknown");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_are_handled_in_the_order_sent),
		TEST(a_full_mailbox_refuses_and_the_payload_stays_the_senders),
		TEST(without_memory_a_send_is_refused),
		TEST(messages_behind_the_end_are_dropped_through_their_drop),
		TEST(a_stale_id_is_harmless_when_its_slot_lives_again),
		TEST(the_number_of_actors_is_bounded_and_slots_come_back),
		TEST(a_refused_start_leaves_no_actor_and_no_on_exit),
		TEST(a_call_runs_an_idle_actor_on_the_calling_thread),
		TEST(a_call_comes_after_what_was_sent_before),
		TEST(a_call_that_meets_the_end_gets_its_reason),
		TEST(an_actor_may_call_another_one),
		TEST(what_was_being_handled_when_killed_counts_as_not_handled),
		TEST(a_monitor_gives_exactly_one_notice),
		TEST(monitoring_a_dead_actor_gives_noproc_at_once),
		TEST(a_monitor_taken_back_gives_no_notice),
		TEST(a_watcher_that_ended_first_is_no_trouble),
		TEST(a_function_can_watch_too),
		TEST(an_idle_actor_hibernates_once_and_any_message_counts_as_activity),
		TEST(a_new_idle_policy_replaces_the_old_one),
		TEST(an_idle_time_longer_than_a_turn_of_the_wheel_is_kept),
		TEST(a_thousand_actors_due_at_once_all_suspend),
		TEST(an_actor_without_may_suspend_only_hibernates),
		TEST(a_message_that_comes_in_while_it_decides_to_suspend_keeps_it_alive),
		TEST(every_kind_of_end_reaches_all_who_want_to_know_as_it_was_told),
		TEST(a_policy_that_comes_in_while_it_is_put_to_sleep_holds_at_once),
		TEST(stop_ends_every_actor_and_refuses_new_ones),
		TEST(reasons_have_names_and_long_texts_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
