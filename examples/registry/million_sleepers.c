/* million_sleepers.c: a million named actors in one process, nearly all of them asleep. Starts them, says what one
 * costs, wakes a thousand by publishing to them, then lets time pass until all have suspended and none is left.
 * million_sleepers 50000 takes fewer.
 */
#include <copper/consumer_registry.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define STACK "dormitory"
#define WOKEN 1000

/* A sleeper's state is its number, carried in the pointer itself: nothing to allocate, nothing to free. */
static void handle_of(uintptr_t number, char ret_handle[33])
{
	snprintf(ret_handle, 33, "sleeper-%024zu", (size_t)number);
}

static enum cu_verdict sleeper_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	(void)ctx;
	*(uintptr_t *)msg->payload = (uintptr_t)state;
	return CU_VERDICT_CONTINUE;
}

static bool sleeper_may_suspend(void *state)
{
	(void)state;
	return true;
}

static void sleeper_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	char handle[33];

	handle_of((uintptr_t)state, handle);
	if (reason->kind == CU_EXIT_SUSPEND)
		cu_consumer_remove_if(STACK, handle, cu_actor_self(ctx));
}

static const struct cu_behaviour sleeper_behaviour = {
	.name = "sleeper",
	.on_message = sleeper_on_message,
	.may_suspend = sleeper_may_suspend,
	.on_exit = sleeper_on_exit,
};

static int sleeper_start(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	const struct cu_consumer_registry_opts *opts = ctx;
	struct cu_actor_name name = cu_consumer_name(STACK, handle);
	uintptr_t number = strtoull(handle + sizeof "sleeper-" - 1, NULL, 10);

	return cu_actor_start_named(opts->system, &name, &sleeper_behaviour, (void *)number, ret_id);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* What the process occupies, in bytes. */
static double memory_used(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages;

	if (!statm || fscanf(statm, "%*u %lu", &pages) != 1)
		exit(1);
	fclose(statm);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv)
{
	static char handles[WOKEN][33];
	static struct cu_delivery deliveries[WOKEN];
	static uintptr_t answers[WOKEN]; /* one each: a big publish runs on several threads */
	const struct cu_actor_system_opts system_opts = { .workers = 2, .manual_clock = true };
	struct cu_consumer_registry_opts opts = { .start_consumer = sleeper_start, .ctx = &opts };
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	cu_consumer_registry *reg;
	double memory, began;

	if (count < WOKEN || cu_actor_system_new(&system_opts, &opts.system) != 0 ||
	    cu_consumer_registry_new(STACK, &opts, &reg) != 0)
		return 1;
	memory = memory_used();
	began = seconds();
	for (size_t i = 0; i < count; i++) {
		handle_of(i, handles[0]);
		if (sleeper_start(&opts, handles[0], NULL) != 0)
			return 1;
	}
	printf("%zu sleepers started, %.2f million/s\n", count, (double)count / (seconds() - began) / 1e6);
	printf("%.0f bytes each, its name of 32 characters included\n", (memory_used() - memory) / (double)count);

	for (size_t i = 0; i < WOKEN; i++) {
		handle_of(i * (count / WOKEN), handles[i]);
		deliveries[i] = (struct cu_delivery){ .handle = handles[i], .event = &answers[i] };
	}
	began = seconds();
	if (cu_consumer_registry_publish(reg, deliveries, WOKEN) == 0)
		printf("%d woken in %.0f us\n", WOKEN, (seconds() - began) * 1e6);

	cu_consumer_enable_suspend(STACK, 1000, 60000); /* each at a random moment between */
	for (unsigned second = 0; second <= 60; second += 20) {
		cu_actor_system_tick(opts.system, second * 1000);
		printf("after %2u s: %zu left\n", second, cu_consumer_registry_active_count(reg));
	}
	cu_consumer_registry_free(&reg);
	cu_actor_system_free(&opts.system);
	return 0;
}
