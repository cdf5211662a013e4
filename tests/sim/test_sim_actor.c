/* Actors under every interleaving that a seed can choose: what is sent, called, watched, killed, suspended and
 * restarted at the same time, against a shadow model.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "actor/internal.h"
#include "sim/sim.h"

#include <stdio.h>

enum { PLACES = 3, LIVES_MAX = 96, LETTERS_MAX = 400, WATCHES_MAX = 64, CLIENTS_MAX = 4 };

enum letter_kind {
	LETTER_NOTE,
	LETTER_CRASH,
	LETTER_SUSPEND,
	LETTER_REPLY_THEN_END,
	LETTER_PASS_ON,
	LETTER_CALL_ON,
	LETTER_KILL_SELF,
	LETTER_KINDS
};

/* One incarnation of an actor, as the model sees it. */
struct life {
	struct world *world;
	cu_actor_id id;
	unsigned place;
	unsigned last_seq[CLIENTS_MAX + 1]; /* per sender; the last is for actors, which keep no order among them */
	unsigned inside;
	bool fails;
	bool begun;
	bool exited;
	bool idled; /* suspended by the idle timer */
	struct cu_exit_reason reason;
};

struct letter {
	struct world *world;
	cu_actor_id target;
	enum letter_kind kind;
	unsigned sender;
	unsigned seq;
	bool accepted;
	unsigned handled;
	unsigned dropped;
};

struct watch {
	struct world *world;
	cu_actor_id watcher; /* CU_ACTOR_NONE: a function */
	cu_actor_id target;
	uint64_t ref;
	bool made;
	bool taken_back;
	unsigned notices;
};

struct world {
	cu_actor_system *sys;
	cu_actor_id places[PLACES];
	struct life lives[LIVES_MAX];
	unsigned life_count;
	struct letter letters[LETTERS_MAX];
	unsigned letter_count;
	struct watch watches[WATCHES_MAX];
	unsigned watch_count;
	bool own_timer; /* time moves with the steps, and the system's timer thread looks at it */
	uint64_t now_ms;
	unsigned ops;
	bool stops;
};

struct client {
	struct world *world;
	unsigned number;
	unsigned seq;
};

static struct life *life_of(struct world *world, cu_actor_id id)
{
	unsigned i;

	for (i = 0; i < world->life_count; i++) {
		if (world->lives[i].begun && world->lives[i].id == id)
			return &world->lives[i];
	}
	return NULL;
}

static struct letter *letter_new(struct world *world, cu_actor_id target, unsigned sender, unsigned seq)
{
	struct letter *letter;

	if (world->letter_count == LETTERS_MAX)
		return NULL;
	letter = &world->letters[world->letter_count++];
	*letter = (struct letter){ .world = world, .target = target, .sender = sender, .seq = seq };
	/* Mostly harmless ones, or nobody lives long enough to be interesting. */
	letter->kind = cu_sim_random(3) ? LETTER_NOTE : (enum letter_kind)cu_sim_random(LETTER_KINDS);
	return letter;
}

static void letter_dropped(void *payload)
{
	struct letter *letter = payload;
	struct life *life = life_of(letter->world, letter->target);

	CU_SIM_CHECK(letter->handled == 0 && letter->dropped++ == 0);
	CU_SIM_CHECK(life && life->exited);
	CU_SIM_CHECK(!life->idled); /* nothing pending is lost by suspension */
}

static void letter_send(struct world *world, cu_actor_id target, unsigned sender, unsigned seq)
{
	struct letter *letter = letter_new(world, target, sender, seq);
	int rc;

	if (!letter)
		return;
	cu_sim_note("sends letter %u (kind %d) to %llx", world->letter_count - 1, letter->kind,
		    (unsigned long long)target);
	rc = cu_actor_send(world->sys, target, CU_MSG_USER, letter, letter_dropped);
	CU_SIM_CHECK(rc == 0 || rc == CU_ENOTFOUND || rc == CU_EFULL);
	letter->accepted = rc == 0;
	CU_SIM_CHECK(rc == 0 || letter->handled + letter->dropped == 0);
}

/* What a call tells must be what became of its letter and of its actor. */
static void call_judge(struct world *world, const struct cu_actor_call *call, const struct letter *letter)
{
	struct life *life = life_of(world, call->id);

	CU_SIM_CHECK(letter->handled <= 1 && letter->dropped == 0);
	if (call->delivered) {
		CU_SIM_CHECK(letter->handled == 1);
		return;
	}
	if (call->ret_reason->kind == CU_EXIT_NOPROC) {
		CU_SIM_CHECK(letter->handled == 0);
		CU_SIM_CHECK(!life || life->exited);
	} else if (life) {
		CU_SIM_CHECK(life->exited && life->reason.kind == call->ret_reason->kind);
		CU_SIM_CHECK(life->reason.code == call->ret_reason->code);
	} else {
		CU_SIM_CHECK(call->ret_reason->kind == CU_EXIT_ERROR); /* it did not start */
	}
}

static void call_some(struct world *world, unsigned from_place, unsigned sender)
{
	struct cu_actor_call calls[3] = { 0 };
	struct cu_exit_reason reasons[3];
	struct letter *letters[3];
	unsigned count = 1 + cu_sim_random(3);
	unsigned i;

	if (from_place >= PLACES)
		return;
	for (i = 0; i < count; i++) {
		calls[i].id = world->places[from_place + cu_sim_random(PLACES - from_place)];
		letters[i] = letter_new(world, calls[i].id, sender, 0);
		if (!letters[i])
			return;
		calls[i].type = CU_MSG_USER;
		calls[i].payload = letters[i];
		calls[i].ret_reason = &reasons[i];
		cu_sim_note("calls %llx with letter %u", (unsigned long long)calls[i].id, world->letter_count - 1);
	}
	(void)cu_actor_call_many(world->sys, calls, count);
	for (i = 0; i < count; i++)
		call_judge(world, &calls[i], letters[i]);
}

static void notice_judge(struct watch *watch, const struct cu_down *down)
{
	struct life *life = life_of(watch->world, down->id);

	CU_SIM_CHECK(down->id == watch->target && !watch->taken_back);
	CU_SIM_CHECK(watch->notices++ == 0);
	CU_SIM_CHECK(!life || life->exited);
	if (life && down->reason.kind != CU_EXIT_NOPROC)
		CU_SIM_CHECK(life->reason.kind == down->reason.kind);
}

static void notice_to_function(const struct cu_down *down)
{
	notice_judge(down->tag, down);
}

static int life_on_start(struct cu_actor_ctx *ctx, void *state)
{
	struct life *life = state;

	if (life->fails)
		return CU_EIO;
	life->id = cu_actor_self(ctx);
	life->begun = true;
	life->world->places[life->place] = life->id; /* known to the others before it is open */
	cu_sim_note("%llx starts in place %u", (unsigned long long)life->id, life->place);
	cu_sim_point("on start", __FILE__, __LINE__);
	return 0;
}

static enum cu_verdict letter_obey(struct cu_actor_ctx *ctx, struct life *life, const struct letter *letter)
{
	struct world *world = life->world;

	switch (letter->kind) {
	case LETTER_CRASH: return cu_actor_end(ctx, CU_EXIT_ERROR, -77, "crash");
	case LETTER_SUSPEND: return cu_actor_end(ctx, CU_EXIT_SUSPEND, 0, "asked");
	case LETTER_REPLY_THEN_END: cu_actor_reply(ctx); return CU_VERDICT_EXIT;
	case LETTER_PASS_ON: letter_send(world, world->places[cu_sim_random(PLACES)], CLIENTS_MAX, 0); break;
	case LETTER_CALL_ON: call_some(world, life->place + 1, CLIENTS_MAX); break;
	case LETTER_KILL_SELF: (void)cu_actor_kill(world->sys, life->id, NULL); break;
	default: break;
	}
	return CU_VERDICT_CONTINUE;
}

static enum cu_verdict life_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct life *life = state;
	enum cu_verdict verdict = CU_VERDICT_CONTINUE;

	CU_SIM_CHECK(!life->exited && life->inside++ == 0);
	if (msg->type == CU_MSG_DOWN) {
		struct cu_down *down = msg->payload;

		CU_SIM_CHECK(((struct watch *)down->tag)->watcher == life->id);
		notice_judge(down->tag, down);
	} else {
		struct letter *letter = msg->payload;

		CU_SIM_CHECK(letter->target == life->id && letter->dropped == 0 && letter->handled++ == 0);
		if (letter->seq) {
			CU_SIM_CHECK(letter->seq > life->last_seq[letter->sender]);
			life->last_seq[letter->sender] = letter->seq;
		}
		cu_sim_point("on message", __FILE__, __LINE__);
		verdict = letter_obey(ctx, life, letter);
	}
	CU_SIM_CHECK(--life->inside == 0);
	return verdict;
}

static void life_on_hibernate(void *state)
{
	struct life *life = state;

	CU_SIM_CHECK(!life->exited && life->inside++ == 0);
	cu_sim_point("on hibernate", __FILE__, __LINE__);
	life->inside--;
}

static bool life_may_suspend(void *state)
{
	struct life *life = state;
	uint32_t dice = cu_sim_random(8);

	CU_SIM_CHECK(!life->exited && life->inside++ == 0);
	if (dice == 0)
		letter_send(life->world, life->id, CLIENTS_MAX, 0); /* something is pending after all */
	cu_sim_point("may suspend", __FILE__, __LINE__);
	life->inside--;
	return dice != 1;
}

static void life_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct life *life = state;

	CU_SIM_CHECK(cu_actor_self(ctx) == life->id);
	CU_SIM_CHECK(!life->exited && life->inside++ == 0);
	cu_sim_note("%llx ends: %s %s", (unsigned long long)life->id, cu_exit_kind_name(reason->kind), reason->text);
	cu_sim_point("on exit", __FILE__, __LINE__);
	life->exited = true;
	life->reason = *reason;
	life->idled = reason->kind == CU_EXIT_SUSPEND && strcmp(reason->text, "idle") == 0;
	life->inside--;
}

static const struct cu_behaviour life_behaviour = {
	.name = "life",
	.on_start = life_on_start,
	.on_message = life_on_message,
	.on_hibernate = life_on_hibernate,
	.may_suspend = life_may_suspend,
	.on_exit = life_on_exit,
};

static void place_fill(struct world *world, unsigned place)
{
	struct life *life;
	cu_actor_id id = CU_ACTOR_NONE;
	int rc;

	if (world->life_count == LIVES_MAX)
		return;
	life = &world->lives[world->life_count++];
	*life = (struct life){ .world = world, .place = place, .fails = cu_sim_random(8) == 0 };
	rc = cu_actor_start(world->sys, &life_behaviour, life, &id);
	CU_SIM_CHECK(rc == 0 || rc == CU_EFULL || rc == CU_ECLOSED || (rc == CU_EIO && life->fails));
	CU_SIM_CHECK(rc != 0 || (life->begun && id == life->id));
}

static void watch_one(struct world *world)
{
	struct watch *watch;
	cu_actor_id target = world->places[cu_sim_random(PLACES)];
	cu_actor_id watcher = cu_sim_random(2) ? world->places[cu_sim_random(PLACES)] : CU_ACTOR_NONE;
	int rc;

	if (world->watch_count == WATCHES_MAX)
		return;
	watch = &world->watches[world->watch_count++];
	*watch = (struct watch){ .world = world, .watcher = watcher, .target = target };
	if (watcher == CU_ACTOR_NONE)
		rc = cu_actor_monitor_fn(world->sys, target, notice_to_function, watch, &watch->ref);
	else
		rc = cu_actor_monitor(world->sys, watcher, target, watch, &watch->ref);
	CU_SIM_CHECK(rc == 0 || (watcher != CU_ACTOR_NONE && rc == CU_ENOTFOUND));
	CU_SIM_CHECK(rc == 0 || watch->notices == 0);
	watch->made = rc == 0;
}

static void watch_take_back(struct world *world)
{
	struct watch *watch;

	if (!world->watch_count)
		return;
	watch = &world->watches[cu_sim_random(world->watch_count)];
	if (!watch->made || watch->taken_back)
		return;
	if (cu_actor_demonitor(world->sys, watch->target, watch->ref)) {
		CU_SIM_CHECK(!watch->taken_back && watch->notices == 0);
		watch->taken_back = true;
	}
}

static void place_kill(struct world *world)
{
	cu_actor_id id = world->places[cu_sim_random(PLACES)];
	struct cu_exit_reason reason;

	cu_exit_reason_set(&reason, cu_sim_random(2) ? CU_EXIT_SUSPEND : CU_EXIT_CLEANUP, 3, "told");
	cu_sim_note("kills %llx", (unsigned long long)id);
	(void)cu_actor_kill(world->sys, id, cu_sim_random(2) ? &reason : NULL);
}

static void idle_set(struct world *world)
{
	struct cu_idle_policy policy = { .hibernate_after_ms = 100 * cu_sim_random(4),
					 .suspend_after_ms = 100 * cu_sim_random(3),
					 .suspend = cu_sim_random(4) != 0 };

	(void)cu_actor_set_idle(world->sys, world->places[cu_sim_random(PLACES)], &policy);
}

static void client_op(struct client *client)
{
	struct world *world = client->world;
	unsigned place = cu_sim_random(PLACES);

	switch (cu_sim_random(16)) {
	case 0:
	case 1:
	case 2:
	case 3: letter_send(world, world->places[place], client->number, ++client->seq); break;
	case 4:
	case 5:
	case 6: call_some(world, 0, client->number); break;
	case 7: place_kill(world); break;
	case 8:
	case 9:
		if (!cu_actor_alive(world->sys, world->places[place]))
			place_fill(world, place);
		break;
	case 10: watch_one(world); break;
	case 11: watch_take_back(world); break;
	case 12: idle_set(world); break;
	case 13:
	case 14:
		/* Time may not go back, so it is one thread's. */
		if (client->number == 0 && !world->own_timer)
			cu_actor_system_tick(world->sys, world->now_ms += 100 * (1 + cu_sim_random(8)));
		else
			(void)cu_actor_system_run(world->sys);
		break;
	default: (void)cu_actor_hibernating(world->sys, world->places[place]); break;
	}
}

static void client_main(void *arg)
{
	struct client *client = arg;
	unsigned stop_at = client->world->stops && client->number == 1 ? cu_sim_random(client->world->ops) : UINT32_MAX;
	unsigned i;

	for (i = 0; i < client->world->ops; i++) {
		if (i == stop_at)
			cu_actor_system_stop(client->world->sys);
		client_op(client);
	}
}

static void letters_judge(struct world *world)
{
	unsigned i;

	for (i = 0; i < world->letter_count; i++) {
		struct letter *letter = &world->letters[i];

		if (letter->accepted)
			CU_SIM_CHECK(letter->handled + letter->dropped == 1);
	}
}

static void watches_judge(struct world *world, bool stopped)
{
	unsigned i;

	for (i = 0; i < world->watch_count; i++) {
		struct watch *watch = &world->watches[i];
		struct life *target = life_of(world, watch->target);
		struct life *watcher = life_of(world, watch->watcher);
		bool over = stopped || !target || target->exited;

		if (!watch->made)
			continue;
		CU_SIM_CHECK(watch->notices + watch->taken_back <= 1);
		if (watch->watcher == CU_ACTOR_NONE || (watcher && !watcher->exited))
			CU_SIM_CHECK(watch->notices + watch->taken_back == (over || watch->taken_back));
	}
}

static size_t living(struct world *world)
{
	size_t count = 0;
	unsigned i;

	for (i = 0; i < world->life_count; i++)
		count += world->lives[i].begun && !world->lives[i].exited;
	return count;
}

static void world_run(void *arg)
{
	struct cu_actor_system_opts opts = { .manual_clock = true, .actors_max = 5, .mailbox_max = 4 };
	struct client clients[CLIENTS_MAX];
	struct cu_sim_task tasks[CLIENTS_MAX];
	struct world *world = cu_xzalloc(sizeof *world);
	unsigned client_count = 2 + cu_sim_random(CLIENTS_MAX - 1);
	unsigned i;

	(void)arg;
	opts.workers = cu_sim_random(3);
	world->own_timer = cu_sim_random(4) == 0;
	opts.manual_clock = !world->own_timer;
	world->ops = 4 + cu_sim_random(12);
	world->stops = cu_sim_random(4) == 0;
	CU_SIM_CHECK(cu_actor_system_new(&opts, &world->sys) == 0);
	for (i = 0; i < PLACES; i++)
		place_fill(world, i);
	for (i = 0; i < client_count; i++) {
		clients[i] = (struct client){ world, i, 0 };
		tasks[i] = (struct cu_sim_task){ client_main, &clients[i] };
	}
	cu_sim_together(tasks, client_count);

	/* All that was accepted gets handled without anybody pushing, or the workers have missed something. */
	cu_sim_quiesce();
	cu_sim_pause(1); /* the timer thread would go on while we look */
	if (opts.workers == 0)
		(void)cu_actor_system_run(world->sys);
	letters_judge(world);
	watches_judge(world, false);
	CU_SIM_CHECK(cu_actor_system_count(world->sys) == living(world));
	cu_actor_system_check(world->sys);
	cu_sim_pause(-1);

	cu_actor_system_stop(world->sys);
	letters_judge(world);
	watches_judge(world, true);
	CU_SIM_CHECK(living(world) == 0 && cu_actor_system_count(world->sys) == 0);
	cu_actor_system_free(&world->sys);
	free(world);
}

static void every_explored_interleaving_keeps_to_the_model(void **state)
{
	(void)state;
	assert_true(cu_sim_expect_pass("actor", world_run, 5000));
}

static void the_same_seed_gives_the_same_interleaving(void **state)
{
	(void)state;
	assert_true(cu_sim_expect_repeatable(world_run, 150));
}

static void the_explorer_finds_faults_put_in_on_purpose(void **state)
{
	static const struct {
		const char *what;
		enum cu_mutant mutant;
	} faults[] = {
		{ "suspends with a message waiting", CU_MUTANT_SUSPEND_WITH_INBOX },
		{ "leaves calls of a start to nobody", CU_MUTANT_START_LEAVES_CALLS },
		{ "opens behind the stop's back", CU_MUTANT_STOP_FORGETS_STARTS },
		{ "forgets to unlink a monitor", CU_MUTANT_DEMONITOR_LEAVES_LINK },
		{ "a notice wakes nobody", CU_MUTANT_NOTICE_WAKES_NOBODY },
		{ "kills under the owner's hands", CU_MUTANT_KILL_IGNORES_OWNER },
		{ "lets go of a lock without waking", CU_MUTANT_UNLOCK_WAKES_NOBODY },
		{ "a wiped slot gives an old id again", CU_MUTANT_WIPE_FORGETS_GENERATION },
		{ "a call returns and is still offered to workers", CU_MUTANT_WITHDRAW_LEAVES_GROUP },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < CU_ARRAY_LEN(faults); i++)
		assert_true(cu_sim_expect_found(faults[i].what, world_run, faults[i].mutant, 20000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_explored_interleaving_keeps_to_the_model),
		cmocka_unit_test(the_same_seed_gives_the_same_interleaving),
		cmocka_unit_test(the_explorer_finds_faults_put_in_on_purpose),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
