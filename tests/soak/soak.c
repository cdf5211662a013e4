/* soak.c: random load from many threads on actors and registries for as long as wanted, against a shadow model.
 *
 *   SOAK_SECONDS=600 SOAK_SEED=… soak
 *
 * Four stacks are created and destroyed again and again while two threads publish to them, and others kill, remove,
 * send, monitor, look up and switch suspension on and off. Every event, message and monitor is accounted for; a
 * handle never has two consumers, a consumer never runs on two threads. Every 20 seconds all of it comes to an end:
 * then nobody lives, the structures are whole, and the memory in use is what it was before.
 */
#include "actor/internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "copper/consumer_registry.h"

#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { STACKS = 4, HANDLES = 3000, BATCH_MAX = 1200, WATCHES = 512, PHASE_SECONDS = 20, SYSTEM_PHASES = 5 };

struct stack {
	char id[16];
	pthread_rwlock_t lock; /* readers use reg; the keeper frees it */
	cu_consumer_registry *reg;
	atomic_uchar living[HANDLES]; /* consumers per handle: never two */
	atomic_size_t alive;
};

struct consumer {
	struct stack *stack;
	unsigned handle;
	atomic_uint inside;
	bool exited;
};

struct event {
	atomic_uint handled;
	unsigned handle;
	unsigned char mood;
};

struct letter {
	unsigned number;
};

struct watch {
	atomic_uint notices;
	uint64_t ref;
	cu_actor_id target;
	bool taken_back;
};

static struct {
	cu_actor_system *sys;
	struct stack stacks[STACKS];
	char handles[HANDLES][16];
	atomic_bool over;
	uint64_t seed;
	/* what happened */
	atomic_ullong publishes, delivered, crashed, noproc, removed, started, letters, letters_handled,
		letters_dropped;
	atomic_ullong watches, notices, suspended, lives, killed, lookups;
} all;

static _Thread_local uint64_t rng;

static uint32_t rnd(uint32_t bound)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 20) % bound;
}

static void letter_drop(void *payload)
{
	atomic_fetch_add(&all.letters_dropped, 1);
	free(payload);
}

static void letter_send(cu_actor_id to)
{
	struct letter *letter = cu_xzalloc(sizeof *letter);

	if (cu_actor_send(all.sys, to, CU_MSG_USER, letter, letter_drop) == 0)
		atomic_fetch_add(&all.letters, 1);
	else
		free(letter);
}

static int consumer_on_start(struct cu_actor_ctx *ctx, void *state)
{
	struct consumer *consumer = state;

	(void)ctx;
	CU_ASSERT(atomic_fetch_add(&consumer->stack->living[consumer->handle], 1) == 0);
	atomic_fetch_add(&consumer->stack->alive, 1);
	atomic_fetch_add(&all.started, 1);
	return 0;
}

static void enter(struct consumer *consumer)
{
	CU_ASSERT(!consumer->exited && atomic_fetch_add(&consumer->inside, 1) == 0);
}

static void leave(struct consumer *consumer)
{
	CU_ASSERT(atomic_fetch_sub(&consumer->inside, 1) == 1);
}

static enum cu_verdict consumer_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct consumer *consumer = state;
	enum cu_verdict verdict = CU_VERDICT_CONTINUE;

	enter(consumer);
	if (msg->type == CU_MSG_EVENT) {
		struct event *event = msg->payload;

		CU_ASSERT(event->handle == consumer->handle);
		CU_ASSERT(atomic_fetch_add(&event->handled, 1) < 2);
		if (event->mood == 1)
			verdict = cu_actor_end(ctx, CU_EXIT_ERROR, -77, "crash");
		else if (event->mood == 2 && atomic_load(&event->handled) == 1)
			verdict = cu_actor_end(ctx, CU_EXIT_SUSPEND, 0, "asked");
		else if (event->mood == 3)
			letter_send(cu_consumer_whereis(consumer->stack->id, all.handles[rnd(HANDLES)]));
	} else {
		atomic_fetch_add(&all.letters_handled, 1);
		free(msg->payload);
	}
	leave(consumer);
	return verdict;
}

static void consumer_on_hibernate(void *state)
{
	enter(state);
	leave(state);
}

static bool consumer_may_suspend(void *state)
{
	bool may;

	enter(state);
	may = cu_stack_config_may_suspend(((struct consumer *)state)->stack->id);
	leave(state);
	return may;
}

static void consumer_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct consumer *consumer = state;

	enter(consumer);
	consumer->exited = true;
	CU_ASSERT(atomic_fetch_sub(&consumer->stack->living[consumer->handle], 1) == 1);
	if (reason->kind == CU_EXIT_SUSPEND || reason->kind == CU_EXIT_CLEANUP)
		(void)cu_consumer_remove_if(consumer->stack->id, all.handles[consumer->handle], cu_actor_self(ctx));
	atomic_fetch_add(&all.suspended, reason->kind == CU_EXIT_SUSPEND);
	atomic_fetch_sub(&consumer->stack->alive, 1);
	free(consumer);
}

static const struct cu_behaviour behaviour = {
	.name = "consumer",
	.on_start = consumer_on_start,
	.on_message = consumer_on_message,
	.on_hibernate = consumer_on_hibernate,
	.may_suspend = consumer_may_suspend,
	.on_exit = consumer_on_exit,
};

static unsigned handle_number(const char *handle)
{
	return (unsigned)strtoul(handle + 1, NULL, 10);
}

static int consumer_start(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct stack *stack = ctx;
	struct cu_actor_name name = cu_consumer_name(stack->id, handle);
	struct consumer *consumer = cu_xzalloc(sizeof *consumer);
	int rc;

	consumer->stack = stack;
	consumer->handle = handle_number(handle);
	rc = cu_actor_start_named(all.sys, &name, &behaviour, consumer, ret_id);
	if (rc != 0)
		free(consumer);
	CU_ASSERT(rc == 0 || rc == CU_EEXIST || rc == CU_EAGAIN);
	return rc;
}

static void consumer_remove(struct stack *stack, const char *handle)
{
	cu_actor_id id = cu_consumer_whereis(stack->id, handle);
	struct cu_exit_reason reason;

	cu_exit_reason_set(&reason, CU_EXIT_CLEANUP, 0, "shape removed");
	if (id != CU_ACTOR_NONE && cu_actor_kill(all.sys, id, &reason) != 0)
		(void)cu_consumer_remove_if(stack->id, handle, id);
}

static void shapes_remove(void *ctx, const char *const *handles, size_t count)
{
	while (count--)
		consumer_remove(ctx, handles[count]);
}

/* Publishes to some handles of a stack that is there, and says what must hold of every outcome. */
static void publish_once(struct stack *stack, struct event *events, struct cu_delivery *deliveries)
{
	unsigned count = rnd(16) ? 1 + rnd(40) : 1 + rnd(BATCH_MAX);
	size_t missed = 0;
	size_t told;
	unsigned i;

	for (i = 0; i < count; i++) {
		uint32_t dice = rnd(4000);

		atomic_init(&events[i].handled, 0);
		events[i].handle = rnd(HANDLES);
		events[i].mood = dice < 4 ? 1 : dice < 12 ? 2 : dice < 300 ? 3 : 0;
		deliveries[i] = (struct cu_delivery){ .handle = all.handles[events[i].handle], .event = &events[i] };
	}
	told = cu_consumer_registry_publish(stack->reg, deliveries, count);
	for (i = 0; i < count; i++) {
		unsigned handled = atomic_load(&events[i].handled);

		missed += deliveries[i].status != CU_DELIVERED;
		switch (deliveries[i].status) {
		case CU_DELIVERED:
			CU_ASSERT(handled >= 1 && deliveries[i].id != CU_ACTOR_NONE);
			atomic_fetch_add(&all.delivered, 1);
			break;
		case CU_CRASHED:
			CU_ASSERT(deliveries[i].reason.kind != CU_EXIT_SUSPEND);
			CU_ASSERT(deliveries[i].reason.kind != CU_EXIT_NOPROC || handled <= 1);
			atomic_fetch_add(deliveries[i].reason.kind == CU_EXIT_NOPROC ? &all.noproc : &all.crashed, 1);
			break;
		case CU_SHAPE_REMOVED: atomic_fetch_add(&all.removed, 1); break;
		default: CU_ASSERT(deliveries[i].status == CU_START_FAILED && deliveries[i].reason.code == CU_EAGAIN);
		}
	}
	CU_ASSERT(told == missed);
	atomic_fetch_add(&all.publishes, 1);
}

static void publisher(void)
{
	struct event *events = cu_xzalloc(BATCH_MAX * sizeof *events);
	struct cu_delivery *deliveries = cu_xzalloc(BATCH_MAX * sizeof *deliveries);

	while (!atomic_load(&all.over)) {
		struct stack *stack = &all.stacks[rnd(STACKS)];

		pthread_rwlock_rdlock(&stack->lock);
		if (stack->reg)
			publish_once(stack, events, deliveries);
		pthread_rwlock_unlock(&stack->lock);
	}
	free(events);
	free(deliveries);
}

static void killer(void)
{
	static const enum cu_exit_kind kinds[] = { CU_EXIT_KILLED, CU_EXIT_SUSPEND, CU_EXIT_ERROR, CU_EXIT_CLEANUP };

	while (!atomic_load(&all.over)) {
		struct stack *stack = &all.stacks[rnd(STACKS)];
		const char *handle = all.handles[rnd(HANDLES)];
		cu_actor_id id = cu_consumer_whereis(stack->id, handle);
		struct cu_exit_reason reason;

		cu_exit_reason_set(&reason, kinds[rnd(4)], 1, "told");
		if (id == CU_ACTOR_NONE)
			continue;
		if (!cu_actor_alive(all.sys, id))
			(void)cu_consumer_remove_if(stack->id, handle, id); /* its shape is removed, and comes back */
		else if (rnd(8) == 0)
			atomic_fetch_add(&all.killed, cu_actor_kill(all.sys, id, &reason) == 0);
		else
			letter_send(id);
	}
}

static void notice(const struct cu_down *down)
{
	struct watch *watch = down->tag;

	CU_ASSERT(down->id == watch->target && atomic_fetch_add(&watch->notices, 1) == 0);
	atomic_fetch_add(&all.notices, 1);
}

/* A ring of monitors; one whose place is wanted is taken back, or has given its one notice. */
static void watch_end(struct watch *watch)
{
	if (!watch->target)
		return;
	watch->taken_back = cu_actor_demonitor(all.sys, watch->target, watch->ref);
	/* Not taken back: it has been sent, and whoever ended the target is in the middle of telling us. */
	while (!watch->taken_back && atomic_load(&watch->notices) == 0)
		sched_yield();
	CU_ASSERT(atomic_load(&watch->notices) + watch->taken_back == 1);
	watch->target = CU_ACTOR_NONE;
}

static void watcher(void)
{
	struct watch *watches = cu_xzalloc(WATCHES * sizeof *watches);
	unsigned i;

	for (i = 0; !atomic_load(&all.over); i = (i + 1) % WATCHES) {
		struct watch *watch = &watches[i];

		watch_end(watch);
		atomic_init(&watch->notices, 0);
		watch->taken_back = false;
		watch->target = cu_consumer_whereis(all.stacks[rnd(STACKS)].id, all.handles[rnd(HANDLES)]);
		if (watch->target == CU_ACTOR_NONE)
			continue;
		CU_ASSERT(cu_actor_monitor_fn(all.sys, watch->target, notice, watch, &watch->ref) == 0);
		atomic_fetch_add(&all.watches, 1);
	}
	for (i = 0; i < WATCHES; i++)
		watch_end(&watches[i]);
	free(watches);
}

static void entry_seen(void *arg, const char *handle, cu_actor_id id)
{
	CU_ASSERT(id != CU_ACTOR_NONE && handle_number(handle) < HANDLES);
	++*(size_t *)arg;
}

static void asker(void)
{
	while (!atomic_load(&all.over)) {
		struct stack *stack = &all.stacks[rnd(STACKS)];
		size_t seen = 0;
		unsigned i;

		for (i = 0; i < 200; i++)
			(void)cu_actor_hibernating(all.sys, cu_consumer_whereis(stack->id, all.handles[rnd(HANDLES)]));
		atomic_fetch_add(&all.lookups, 200);
		CU_ASSERT(cu_consumer_active_count(stack->id) <= HANDLES);
		switch (rnd(400)) {
		case 0: (void)cu_consumer_enable_suspend_after(stack->id, 100 + rnd(300), 100, 500 + rnd(500)); break;
		case 1: (void)cu_consumer_enable_suspend(stack->id, 100 + rnd(300), 500 + rnd(500)); break;
		case 2:
			pthread_rwlock_rdlock(&stack->lock);
			if (stack->reg) {
				CU_ASSERT(cu_stack_config_put(stack->id, CU_CONFIG_ENABLE_SUSPEND, rnd(2)) == 0);
				CU_ASSERT(cu_consumer_registry_foreach(stack->reg, entry_seen, &seen) == (int64_t)seen);
			}
			pthread_rwlock_unlock(&stack->lock);
			break;
		default: break;
		}
	}
}

static void consumer_end(void *arg, const char *handle, cu_actor_id id)
{
	(void)arg;
	(void)handle;
	(void)cu_actor_kill(all.sys, id, NULL);
}

/* Nobody publishes to it now; what other threads still run ends there. */
static void stack_end(struct stack *stack)
{
	int64_t value;

	while (atomic_load(&stack->alive) > 0) {
		CU_ASSERT(cu_consumer_registry_foreach(stack->reg, consumer_end, NULL) >= 0);
		sched_yield();
	}
	cu_consumer_registry_free(&stack->reg);
	CU_ASSERT(cu_consumer_active_count(stack->id) == 0);
	CU_ASSERT(!cu_stack_config_lookup(stack->id, CU_CONFIG_HIBERNATE_AFTER, &value));
}

static void stack_begin(struct stack *stack)
{
	struct cu_consumer_registry_opts opts = {
		.system = all.sys, .start_consumer = consumer_start, .remove_shapes = shapes_remove, .ctx = stack
	};
	cu_consumer_registry *reg = NULL;

	CU_ASSERT(cu_consumer_registry_new(stack->id, &opts, &reg) == 0);
	stack->reg = reg;
	atomic_fetch_add(&all.lives, 1);
}

static void keeper(void)
{
	while (!atomic_load(&all.over)) {
		struct stack *stack = &all.stacks[rnd(STACKS)];
		uint64_t until = cu_now_ms() + 50 + rnd(1000);

		pthread_rwlock_wrlock(&stack->lock);
		if (stack->reg)
			stack_end(stack);
		else
			stack_begin(stack);
		pthread_rwlock_unlock(&stack->lock);
		while (cu_now_ms() < until && !atomic_load(&all.over))
			sched_yield();
	}
}

static void (*const roles[])(void) = { publisher, publisher, killer, watcher, asker, keeper };

static void *role_main(void *arg)
{
	size_t role = (size_t)(uintptr_t)arg;

	rng = (all.seed + role + 1) * 0x9e3779b97f4a7c15ull | 1;
	roles[role]();
	return NULL;
}

/* Sanitizers keep what was freed, and shadows of it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_IS_OURS false
#else
#define MEMORY_IS_OURS true
#endif

static size_t rss_kb(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	size_t pages = 0;

	if (file && fscanf(file, "%*u %zu", &pages) != 1)
		pages = 0;
	if (file)
		(void)fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static size_t heap_bytes(void)
{
	return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* Runs everything for a while, then looks at what is left when all has ended. */
static void phase_run(uint64_t ms)
{
	pthread_t threads[CU_ARRAY_LEN(roles)];
	uint64_t until = cu_now_ms() + ms;
	pthread_mutex_t mtx = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond;
	pthread_condattr_t attr;
	struct timespec at = { (time_t)(until / 1000), (long)(until % 1000) * 1000000 };
	size_t i;

	atomic_store(&all.over, false);
	for (i = 0; i < STACKS; i++)
		stack_begin(&all.stacks[i]);
	for (i = 0; i < CU_ARRAY_LEN(roles); i++)
		CU_ASSERT(pthread_create(&threads[i], NULL, role_main, (void *)(uintptr_t)i) == 0);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cond, &attr);
	pthread_mutex_lock(&mtx);
	while (pthread_cond_timedwait(&cond, &mtx, &at) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&mtx);
	pthread_cond_destroy(&cond);
	pthread_condattr_destroy(&attr);
	atomic_store(&all.over, true);
	for (i = 0; i < CU_ARRAY_LEN(roles); i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < STACKS; i++) {
		if (all.stacks[i].reg)
			stack_end(&all.stacks[i]);
	}
	/* on_exit is not the end: the slot is given back, and what waited in the mailbox dropped, right after it. */
	while (cu_actor_system_count(all.sys) > 0)
		sched_yield();
	CU_ASSERT(atomic_load(&all.letters) == atomic_load(&all.letters_handled) + atomic_load(&all.letters_dropped));
}

static void system_begin(void)
{
	const struct cu_actor_system_opts opts = { .workers = 2 };

	CU_ASSERT(cu_actor_system_new(&opts, &all.sys) == 0);
}

static unsigned long long env_number(const char *name, unsigned long long usual)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : usual;
}

int main(void)
{
	uint64_t seconds = env_number("SOAK_SECONDS", 600);
	uint64_t start = cu_now_ms();
	uint64_t end = start + seconds * 1000;
	uint64_t phase_ms = CU_MIN((uint64_t)PHASE_SECONDS * 1000, seconds * 1000 / 6 + 1);
	size_t heap_first = 0;
	size_t rss_first = 0;
	unsigned phase;
	unsigned i;

	all.seed = env_number("SOAK_SEED", cu_now_ns());
	cu_log_level_max = CU_LOG_ERROR;
	printf("soak: %llu s, SOAK_SEED=%llu\n", (unsigned long long)seconds, (unsigned long long)all.seed);
	for (i = 0; i < HANDLES; i++)
		snprintf(all.handles[i], sizeof all.handles[i], "h%u", i);
	for (i = 0; i < STACKS; i++) {
		snprintf(all.stacks[i].id, sizeof all.stacks[i].id, "soak-%u", i);
		pthread_rwlock_init(&all.stacks[i].lock, NULL);
	}
	for (phase = 0; cu_now_ms() < end; phase++) {
		size_t heap, rss;

		if (phase % SYSTEM_PHASES == 0)
			system_begin();
		phase_run(CU_MIN(phase_ms, end > cu_now_ms() ? end - cu_now_ms() : 1));
		all.seed += CU_ARRAY_LEN(roles);
		if (phase % SYSTEM_PHASES == SYSTEM_PHASES - 1) {
			cu_actor_system_check(all.sys);
			cu_actor_system_free(&all.sys);
		}
		heap = heap_bytes();
		rss = rss_kb();
		printf("%5llu s: %llu stacks, %llu publishes, %llu delivered, %llu crashed, %llu noproc, %llu removed, "
		       "%llu starts, %llu suspended, %llu killed, %llu messages, %llu monitors (%llu notices), %llu lookups; "
		       "heap %zu KB, RSS %zu KB\n",
		       (unsigned long long)(cu_now_ms() - start) / 1000, atomic_load(&all.lives),
		       atomic_load(&all.publishes), atomic_load(&all.delivered), atomic_load(&all.crashed),
		       atomic_load(&all.noproc), atomic_load(&all.removed), atomic_load(&all.started),
		       atomic_load(&all.suspended), atomic_load(&all.killed), atomic_load(&all.letters),
		       atomic_load(&all.watches), atomic_load(&all.notices), atomic_load(&all.lookups), heap / 1024,
		       rss);
		(void)fflush(stdout);
		/* The first phases fill what is kept for later: the allocator's arenas, warm groups of slots. */
		if (phase == 1) {
			heap_first = heap;
			rss_first = rss;
		}
		if (MEMORY_IS_OURS && phase > 1 && (heap > heap_first + 256 * 1024 || rss > rss_first + 16 * 1024)) {
			fprintf(stderr, "soak: memory is not flat: heap %zu -> %zu bytes, RSS %zu -> %zu KB\n",
				heap_first, heap, rss_first, rss);
			return 1;
		}
	}
	if (all.sys)
		cu_actor_system_free(&all.sys);
	for (i = 0; i < STACKS; i++)
		pthread_rwlock_destroy(&all.stacks[i].lock);
	printf("soak: passed\n");
	return 0;
}
