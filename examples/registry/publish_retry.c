/* publish_retry.c: what publish does when a consumer is not there to take its event.
 *
 * Four consumers get an event each. One handles it. One suspends with the event in its hands: publish starts a fresh
 * one and gives it the same event. One suspends every time: after one retry its shape is removed. One crashes: that is
 * reported with its reason, and it is never started again, because half of the event may have been done. Nobody's
 * trouble touches anybody else.
 */
#include <copper/consumer_registry.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK "office"

struct clerk {
	char name[16];
	unsigned life; /* 1 for the first that was started under this name, … */
};

static enum cu_verdict clerk_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	const struct clerk *clerk = state;

	printf("  %s, life %u, gets \"%s\"\n", clerk->name, clerk->life, (const char *)msg->payload);
	if (strcmp(clerk->name, "sleepless") == 0 || (strcmp(clerk->name, "tired") == 0 && clerk->life > 1))
		return CU_VERDICT_CONTINUE;
	if (strcmp(clerk->name, "broken") == 0)
		return cu_actor_end(ctx, CU_EXIT_ERROR, 42, "out of ink");
	return cu_actor_end(ctx, CU_EXIT_SUSPEND, 0, NULL); /* tired, or always asleep */
}

/* After a crash the entry stays: it keeps the dead from being started again until the shape is removed. */
static void clerk_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct clerk *clerk = state;

	if (reason->kind == CU_EXIT_SUSPEND)
		cu_consumer_remove_if(STACK, clerk->name, cu_actor_self(ctx));
	free(clerk);
}

static const struct cu_behaviour clerk_behaviour = {
	.name = "clerk",
	.on_message = clerk_on_message,
	.on_exit = clerk_on_exit,
};

/* The actor owns its state only once it has started; until then it is ours to free. */
static int clerk_start(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	static unsigned lives_of_tired;
	struct cu_actor_name name = cu_consumer_name(STACK, handle);
	struct clerk *clerk = calloc(1, sizeof *clerk);
	int rc;

	if (!clerk)
		return CU_ENOMEM;
	snprintf(clerk->name, sizeof clerk->name, "%s", handle);
	clerk->life = strcmp(handle, "tired") == 0 ? ++lives_of_tired : 1;
	rc = cu_actor_start_named(ctx, &name, &clerk_behaviour, clerk, ret_id);
	if (rc != 0)
		free(clerk);
	return rc;
}

static void clerks_remove(void *ctx, const char *const *handles, size_t count)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++)
		printf("  %s suspended twice: its shape is removed\n", handles[i]);
}

static void letter_to_all(cu_consumer_registry *reg, char *letter)
{
	struct cu_delivery deliveries[] = {
		{ .handle = "sleepless", .event = letter },
		{ .handle = "tired", .event = letter },
		{ .handle = "asleep", .event = letter },
		{ .handle = "broken", .event = letter },
	};
	size_t count = sizeof deliveries / sizeof deliveries[0];
	size_t undeliverable;

	printf("\"%s\":\n", letter);
	undeliverable = cu_consumer_registry_publish(reg, deliveries, count);
	printf("  %zu of %zu undeliverable\n", undeliverable, count);
	for (size_t i = 0; i < count; i++) {
		const struct cu_delivery *delivery = &deliveries[i];

		printf("  %s: %s", delivery->handle, cu_delivery_status_name(delivery->status));
		if (delivery->status == CU_CRASHED)
			printf(", %s %d %s", cu_exit_kind_name(delivery->reason.kind), delivery->reason.code,
			       delivery->reason.text);
		printf("\n");
	}
}

int main(void)
{
	struct cu_consumer_registry_opts opts = { .start_consumer = clerk_start, .remove_shapes = clerks_remove };
	char first[] = "first letter", second[] = "second letter";
	cu_consumer_registry *reg;

	if (cu_actor_system_new(NULL, &opts.system) != 0)
		return 1;
	opts.ctx = opts.system;
	if (cu_consumer_registry_new(STACK, &opts, &reg) != 0)
		return 1;
	letter_to_all(reg, first);
	letter_to_all(reg, second);
	cu_consumer_registry_free(&reg);
	cu_actor_system_free(&opts.system);
	return 0;
}
