/* bench_registry.c: the consumer registry against its targets, each figure beside a yardstick of the same run.
 *
 * Usage: bench_registry [--repeat N] [CASE…]: whereis publish memory start million. Each case runs in a process of its
 * own, so that none inherits another's heap. Lines to read go to stderr; stdout gets one line of JSON per figure, which
 * bench/run judges. What each figure means stands in README.md.
 */
#include "bench/cases.h"
#include "copper/consumer_registry.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STACK "bench"
#define HANDLE_SIZE 33u /* 32 characters, as "12345678-1234567890123456" padded would be */
#define THREADS_MAX 16u
#define ACTIVE 1000u
#define HISTOGRAM_US 20000u
#define BLOCKS_MAX 4000u
#define LOOKUPS 4000000u
#define LOOKUP_BLOCK 1000u

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *must_alloc(size_t size)
{
	void *p = malloc(size);

	if (p)
		return p;
	fprintf(stderr, "bench_registry: out of memory\n");
	exit(1);
}

/* ---- samples ---- */

struct samples {
	double ours[BENCH_REPEAT_MAX], yardstick[BENCH_REPEAT_MAX], ratio[BENCH_REPEAT_MAX];
	unsigned count;
};

static void samples_add(struct samples *s, double ours, double yardstick)
{
	s->ours[s->count] = ours;
	s->yardstick[s->count] = yardstick;
	s->ratio[s->count++] = ours / yardstick;
}

static void samples_figure(struct samples *s, const char *name, const char *unit, const char *relation, double target)
{
	double ratio = bench_median(s->ratio, s->count);

	bench_figure(name, bench_median(s->ours, s->count), bench_median(s->yardstick, s->count), ratio, unit, relation,
		     target);
}

/* ---- the yardstick: a plain hash table with a mutex ---- */

struct plain_entry {
	struct plain_entry *next;
	uint64_t hash, value;
	char key[];
};

static struct {
	pthread_mutex_t mtx;
	struct plain_entry **buckets;
	size_t mask, count;
} plain = { .mtx = PTHREAD_MUTEX_INITIALIZER };

static uint64_t plain_hash(const char *key)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	while (*key)
		hash = (hash ^ (unsigned char)*key++) * 0x100000001b3u;
	return hash;
}

static void plain_grow(void)
{
	size_t size = plain.buckets ? (plain.mask + 1) * 2 : 16;
	struct plain_entry **buckets = calloc(size, sizeof *buckets);

	if (!buckets)
		exit(1);
	for (size_t i = 0; plain.buckets && i <= plain.mask; i++) {
		for (struct plain_entry *entry = plain.buckets[i], *next; entry; entry = next) {
			next = entry->next;
			entry->next = buckets[entry->hash & (size - 1)];
			buckets[entry->hash & (size - 1)] = entry;
		}
	}
	free(plain.buckets);
	plain.buckets = buckets;
	plain.mask = size - 1;
}

static void plain_insert(const char *key, uint64_t value)
{
	uint64_t hash = plain_hash(key);
	struct plain_entry *entry;

	pthread_mutex_lock(&plain.mtx);
	if (!plain.buckets || plain.count > plain.mask)
		plain_grow();
	for (entry = plain.buckets[hash & plain.mask]; entry; entry = entry->next) {
		if (entry->hash == hash && strcmp(entry->key, key) == 0)
			break;
	}
	if (!entry) {
		entry = must_alloc(sizeof *entry + strlen(key) + 1);
		entry->hash = hash;
		entry->value = value;
		memcpy(entry->key, key, strlen(key) + 1);
		entry->next = plain.buckets[hash & plain.mask];
		plain.buckets[hash & plain.mask] = entry;
		plain.count++;
	}
	pthread_mutex_unlock(&plain.mtx);
}

static uint64_t plain_find(const char *key)
{
	uint64_t hash = plain_hash(key);
	uint64_t value = 0;

	pthread_mutex_lock(&plain.mtx);
	for (struct plain_entry *entry = plain.buckets[hash & plain.mask]; entry; entry = entry->next) {
		if (entry->hash == hash && strcmp(entry->key, key) == 0) {
			value = entry->value;
			break;
		}
	}
	pthread_mutex_unlock(&plain.mtx);
	return value;
}

static void plain_free(void)
{
	for (size_t i = 0; plain.buckets && i <= plain.mask; i++) {
		for (struct plain_entry *entry = plain.buckets[i], *next; entry; entry = next) {
			next = entry->next;
			free(entry);
		}
	}
	free(plain.buckets);
	plain.buckets = NULL;
	plain.mask = plain.count = 0;
}

/* ---- consumers ---- */

struct consumer {
	uint64_t events;
	char handle[HANDLE_SIZE];
};

static enum cu_verdict on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct consumer *consumer = state;

	(void)ctx;
	consumer->events += *(const uint64_t *)msg->payload;
	return CU_VERDICT_CONTINUE;
}

static bool may_suspend(void *state)
{
	(void)state;
	return cu_stack_config_may_suspend(STACK);
}

static void on_hibernate(void *state)
{
	(void)state;
}

static void on_exit_consumer(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct consumer *consumer = state;

	if (reason->kind == CU_EXIT_SUSPEND)
		cu_consumer_remove_if(STACK, consumer->handle, cu_actor_self(ctx));
}

static const struct cu_behaviour behaviour = {
	.name = "consumer",
	.on_message = on_message,
	.on_hibernate = on_hibernate,
	.may_suspend = may_suspend,
	.on_exit = on_exit_consumer,
};

static cu_actor_system *sys;
static cu_consumer_registry *reg;
static struct consumer *consumers; /* their state and their handles; not counted as the registry's memory */

static int no_consumer(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	(void)ctx;
	(void)handle;
	(void)ret_id;
	return CU_ENOTFOUND;
}

static void world_new(bool manual_clock)
{
	struct cu_actor_system_opts sys_opts = {
		.workers = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
		.manual_clock = manual_clock,
	};
	struct cu_consumer_registry_opts reg_opts = { .start_consumer = no_consumer };

	bench_check(cu_actor_system_new(&sys_opts, &sys));
	reg_opts.system = sys;
	bench_check(cu_consumer_registry_new(STACK, &reg_opts, &reg));
}

static void world_free(void)
{
	cu_consumer_registry_free(&reg);
	cu_actor_system_free(&sys);
}

static void consumers_make(size_t count)
{
	uint64_t seed = count;

	consumers = must_alloc(count * sizeof *consumers);
	for (size_t i = 0; i < count; i++) {
		consumers[i].events = 0;
		/* The shape of our handles, digits-digits, brought to 32 characters. */
		snprintf(consumers[i].handle, HANDLE_SIZE, "%015llu-%016llu",
			 (unsigned long long)(bench_random(&seed) % 1000000000000000u), 1760000000000000ull + i);
	}
}

static void consumers_start(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct cu_actor_name name = cu_consumer_name(STACK, consumers[i].handle);

		bench_check(cu_actor_start_named(sys, &name, &behaviour, &consumers[i], NULL));
	}
}

/* A random order of 0 … count - 1, so that no case profits from the order in which things were made. */
static uint32_t *shuffled(size_t count)
{
	uint32_t *order = must_alloc(count * sizeof *order);
	uint64_t seed = 7;

	for (size_t i = 0; i < count; i++)
		order[i] = (uint32_t)i;
	for (size_t i = count; i > 1; i--) {
		size_t other = bench_random(&seed) % i;
		uint32_t swap = order[i - 1];

		order[i - 1] = order[other];
		order[other] = swap;
	}
	return order;
}

/* ---- whereis ---- */

struct lookups {
	pthread_t thread;
	const char (
		*handles)[HANDLE_SIZE]; /* in random order, one after the other: whoever asks has just had it in hand */
	size_t count, rounds, offset;
	bool use_plain;
	uint64_t found;
	double *block_ns; /* of each LOOKUP_BLOCK */
};

static pthread_barrier_t barrier;

static void *lookups_run(void *arg)
{
	struct lookups *job = arg;
	uint64_t start;
	size_t done = 0;

	pthread_barrier_wait(&barrier);
	start = now_ns();
	for (size_t round = 0; round < job->rounds; round++) {
		for (size_t i = 0; i < job->count; i++) {
			size_t at = i + job->offset < job->count ? i + job->offset : i + job->offset - job->count;
			const char *handle = job->handles[at];

			job->found += (job->use_plain ? plain_find(handle) : cu_consumer_whereis(STACK, handle)) != 0;
			if (++done % LOOKUP_BLOCK == 0) {
				uint64_t now = now_ns();

				job->block_ns[done / LOOKUP_BLOCK - 1] = (double)(now - start);
				start = now;
			}
		}
	}
	return NULL;
}

/* Millions of look-ups per second: the sum of each thread's median over blocks of 1,000, so that a moment without a
 * processor spoils one block only. */
static double lookups_rate(const char (*handles)[HANDLE_SIZE], size_t count, unsigned threads, bool use_plain)
{
	struct lookups jobs[THREADS_MAX] = { 0 };
	size_t rounds = LOOKUPS / count;
	size_t blocks = rounds * count / LOOKUP_BLOCK;
	double rate = 0;

	pthread_barrier_init(&barrier, NULL, threads);
	for (unsigned i = 0; i < threads; i++) {
		jobs[i] = (struct lookups){
			.handles = handles,
			.count = count,
			.rounds = rounds,
			.offset = count / threads * i,
			.use_plain = use_plain,
			.block_ns = must_alloc(blocks * sizeof(double)),
		};
		bench_check(-pthread_create(&jobs[i].thread, NULL, lookups_run, &jobs[i]));
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(jobs[i].thread, NULL);
		if (jobs[i].found != count * rounds)
			bench_check(CU_ENOTFOUND);
		rate += LOOKUP_BLOCK * 1e3 / bench_median(jobs[i].block_ns, (unsigned)blocks);
		free(jobs[i].block_ns);
	}
	pthread_barrier_destroy(&barrier);
	return rate;
}

static void bench_whereis(void)
{
	static const size_t counts[] = { 1000, 10000, 100000 };
	unsigned cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);

	if (cores > THREADS_MAX)
		cores = THREADS_MAX;
	for (size_t c = 0; c < 3; c++) {
		size_t count = counts[c];
		uint32_t *order = shuffled(count);
		char(*handles)[HANDLE_SIZE] = must_alloc(count * sizeof *handles);
		struct samples one = { .count = 0 }, all = { .count = 0 };
		char name[80];

		world_new(true);
		consumers_make(count);
		consumers_start(count);
		for (size_t i = 0; i < count; i++) {
			plain_insert(consumers[i].handle, i + 1);
			memcpy(handles[i], consumers[order[i]].handle, HANDLE_SIZE);
		}
		for (unsigned r = 0; r < bench_repeat; r++) {
			samples_add(&one, lookups_rate(handles, count, 1, false),
				    lookups_rate(handles, count, 1, true));
			samples_add(&all, lookups_rate(handles, count, cores, false),
				    lookups_rate(handles, count, cores, true));
		}
		snprintf(name, sizeof name, "whereis among %zu, one thread", count);
		samples_figure(&one, name, "M/s", ">=", 25);
		snprintf(name, sizeof name, "whereis among %zu, %u threads", count, cores);
		samples_figure(&all, name, "M/s", ">=", 25.0 * cores * 0.8);
		world_free();
		plain_free();
		free(consumers);
		free(handles);
		free(order);
	}
}

/* ---- publish ---- */

struct fan {
	size_t count, fan, stride; /* stride 0: the same ones every time */
	size_t block;              /* publishes that are timed together */
	size_t blocks;
	double target_us;
	const char *name;
};

static double blocks_us[BLOCKS_MAX];

/* Median over the blocks of the microseconds per publish: a moment without the processor spoils one block only. */
static double publish_us(const struct fan *fan, struct cu_delivery *deliveries)
{
	size_t at = 0;

	for (size_t b = 0; b < fan->blocks; b++) {
		uint64_t start = now_ns();

		for (size_t i = 0; i < fan->block; i++) {
			if (cu_consumer_registry_publish(reg, deliveries + at, fan->fan) != 0)
				bench_check(CU_ENOTFOUND);
			at = at + fan->stride + fan->fan > fan->count ? 0 : at + fan->stride;
		}
		blocks_us[b] = (double)(now_ns() - start) / 1e3 / (double)fan->block;
	}
	return bench_median(blocks_us, (unsigned)fan->blocks);
}

/* The same events to the same states in the same order by a bare call of the behaviour. */
static double call_us(const struct fan *fan, const uint32_t *order, void *event)
{
	enum cu_verdict (*volatile fn)(struct cu_actor_ctx *, void *, struct cu_message *) = on_message;
	struct cu_message msg = { CU_MSG_EVENT, event, true };
	size_t at = 0;

	for (size_t b = 0; b < fan->blocks; b++) {
		uint64_t start = now_ns();

		for (size_t i = 0; i < fan->block; i++) {
			for (size_t k = at; k < at + fan->fan; k++)
				(void)fn(NULL, &consumers[order[k]], &msg);
			at = at + fan->stride + fan->fan > fan->count ? 0 : at + fan->stride;
		}
		blocks_us[b] = (double)(now_ns() - start) / 1e3 / (double)fan->block;
	}
	return bench_median(blocks_us, (unsigned)fan->blocks);
}

static void bench_publish(void)
{
	static const struct fan fans[] = {
		{ 1, 1, 0, 200, 4000, 1, "publish to 1" },
		{ 100000, 1, 1, 200, 2000, 1, "publish to 1 of 100000, another one each time" },
		{ 10, 10, 0, 50, 4000, 3, "publish to 10" },
		{ 1000, 1000, 0, 1, 2000, 60, "publish to 1000" },
		{ 100000, 100000, 0, 1, 15, 10000, "publish to 100000" },
	};
	uint64_t event = 1;

	for (size_t c = 0; c < sizeof fans / sizeof fans[0]; c++) {
		const struct fan *fan = &fans[c];
		uint32_t *order = shuffled(fan->count);
		struct cu_delivery *deliveries = must_alloc(fan->count * sizeof *deliveries);
		struct samples s = { .count = 0 };

		world_new(false);
		consumers_make(fan->count);
		consumers_start(fan->count);
		for (size_t i = 0; i < fan->count; i++)
			deliveries[i] = (struct cu_delivery){ .handle = consumers[order[i]].handle, .event = &event };
		(void)publish_us(fan, deliveries);
		for (unsigned r = 0; r < bench_repeat; r++)
			samples_add(&s, publish_us(fan, deliveries), call_us(fan, order, &event));
		samples_figure(&s, fan->name, "us", "<=", fan->target_us);
		world_free();
		free(deliveries);
		free(consumers);
		free(order);
	}
}

/* ---- memory ---- */

static double rss_anon(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	double kib = 0;

	while (file && fgets(line, sizeof line, file)) {
		if (sscanf(line, "RssAnon: %lf", &kib) == 1)
			break;
	}
	if (file)
		fclose(file);
	return kib * 1024;
}

static void bench_memory(void)
{
	static const size_t counts[] = { 100000, 164000, 1000000 }; /* the second: the table has just grown */

	for (size_t c = 0; c < 3; c++) {
		size_t count = counts[c];
		double before, with, without;
		char name[80];

		consumers_make(count);
		world_new(true);
		before = rss_anon();
		consumers_start(count);
		with = rss_anon();
		snprintf(name, sizeof name, "memory per idle consumer of %zu", count);
		bench_figure(name, (with - before) / (double)count, 0, 0, "bytes", "<=", 176);
		if (cu_consumer_enable_suspend(STACK, 1000, 60000) != (int64_t)count)
			bench_check(CU_ENOTFOUND);
		for (uint64_t ms = 100; cu_actor_system_count(sys) > 0 && ms < 200000; ms += 100)
			cu_actor_system_tick(sys, ms);
		if (cu_actor_system_count(sys) != 0 || cu_consumer_active_count(STACK) != 0)
			bench_check(CU_EBUSY);
		without = rss_anon();
		malloc_trim(0);
		fprintf(stderr, "  %zu suspended: %.0f KiB stay, %.0f KiB of that given back by malloc_trim\n", count,
			(without - before) / 1024, (without - rss_anon()) / 1024);
		snprintf(name, sizeof name, "memory per suspended consumer of %zu", count);
		bench_figure(name, (without - before) / (double)count, 0, 0, "bytes", "<=", 4);
		world_free();
		free(consumers);
		malloc_trim(0);
	}
}

/* ---- start and register: by the thread's own time, since nothing waits here ---- */

static uint64_t own_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static double start_rate(size_t count)
{
	uint64_t start, took;

	world_new(true);
	start = own_ns();
	consumers_start(count);
	took = own_ns() - start;
	world_free();
	return (double)count * 1e3 / (double)took;
}

static double plain_insert_rate(size_t count)
{
	uint64_t start = own_ns(), took;

	for (size_t i = 0; i < count; i++)
		plain_insert(consumers[i].handle, i + 1);
	took = own_ns() - start;
	plain_free();
	return (double)count * 1e3 / (double)took;
}

static void bench_start(void)
{
	static const size_t counts[] = { 100000, 1000000 };

	for (size_t c = 0; c < 2; c++) {
		struct samples s = { .count = 0 };
		char name[80];

		consumers_make(counts[c]);
		(void)start_rate(counts[c]);
		for (unsigned r = 0; r < bench_repeat; r++)
			samples_add(&s, start_rate(counts[c]), plain_insert_rate(counts[c]));
		snprintf(name, sizeof name, "start and register %zu", counts[c]);
		samples_figure(&s, name, "M/s", ">=", 3);
		free(consumers);
	}
}

/* ---- a million that hibernate and suspend ---- */

struct latencies {
	uint32_t below_us[HISTOGRAM_US]; /* in steps of 0.1 us; the last one holds all above */
	uint64_t count, max_ns;
};

static double percentile(const struct latencies *l, double part)
{
	uint64_t left = (uint64_t)((double)l->count * part);

	for (size_t i = 0; i < HISTOGRAM_US; i++) {
		if (left < l->below_us[i])
			return (double)(i + 1) / 10;
		left -= l->below_us[i];
	}
	return (double)HISTOGRAM_US / 10;
}

/* Publishes to the active ones, one after the other, until the population is `until` or the time is over. */
static void publish_meanwhile(struct latencies *l, size_t until, double seconds)
{
	uint64_t event = 1, start = now_ns(), before, after;
	uint64_t seed = 3;

	memset(l, 0, sizeof *l);
	do {
		struct cu_delivery delivery = { .handle = consumers[bench_random(&seed) % ACTIVE].handle,
						.event = &event };

		before = now_ns();
		if (cu_consumer_registry_publish(reg, &delivery, 1) != 0)
			bench_check(CU_ENOTFOUND);
		after = now_ns();
		l->below_us[(after - before) / 100 < HISTOGRAM_US ? (after - before) / 100 : HISTOGRAM_US - 1]++;
		l->count++;
		if (after - before > l->max_ns)
			l->max_ns = after - before;
	} while (cu_actor_system_count(sys) > until && (double)(after - start) < seconds * 1e9);
}

static void latencies_print(const char *when, const struct latencies *l)
{
	fprintf(stderr,
		"  publish to 1 %s: median %.1f us, p99 %.1f, p99.9 %.1f, p99.99 %.1f, worst %.0f us; %.1f million\n",
		when, percentile(l, 0.5), percentile(l, 0.99), percentile(l, 0.999), percentile(l, 0.9999),
		(double)l->max_ns / 1e3, (double)l->count / 1e6);
}

static void bench_million(void)
{
	static struct latencies calm, meanwhile;
	size_t count = 1000000;
	uint64_t start;

	world_new(false);
	consumers_make(count);
	consumers_start(count);
	publish_meanwhile(&calm, 0, 2);
	latencies_print("while a million sleep", &calm);
	start = now_ns();
	/* Hibernating at a random time of 4 s, suspending a second later. */
	if (cu_consumer_enable_suspend_after(STACK, 2000, 1000, 6000) != (int64_t)count)
		bench_check(CU_ENOTFOUND);
	fprintf(stderr, "  telling a million to suspend took %.0f ms\n", (double)(now_ns() - start) / 1e6);
	publish_meanwhile(&meanwhile, ACTIVE, 30);
	latencies_print("while they go", &meanwhile);
	fprintf(stderr, "  %zu are left after %.1f s\n", cu_actor_system_count(sys), (double)(now_ns() - start) / 1e9);
	if (cu_actor_system_count(sys) != ACTIVE)
		bench_check(CU_EBUSY);
	bench_figure("p99 of publish to 1 while 999000 hibernate and suspend", percentile(&meanwhile, 0.99),
		     percentile(&calm, 0.99), percentile(&meanwhile, 0.99) / percentile(&calm, 0.99), "us", "<=", 50);
	world_free();
	free(consumers);
}

/* ---- */

static const struct bench_case cases[] = {
	{ "whereis", bench_whereis }, { "publish", bench_publish }, { "memory", bench_memory },
	{ "start", bench_start },     { "million", bench_million },
};

int main(int argc, char **argv)
{
	return bench_cases(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
