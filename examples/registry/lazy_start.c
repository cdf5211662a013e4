/* lazy_start.c: consumers that start when something comes for them, and go when nothing does.
 *
 * This program knows two rooms, and neither runs. The first message to a room starts the actor that serves it, the
 * next one finds it running. A message to a room that nobody knows is reported; the others arrive all the same. Idle
 * rooms suspend and leave nothing in memory; a new message starts them again. The clock is ours, so nobody waits.
 */
#include <copper/consumer_registry.h>

#include <stdio.h>
#include <string.h>

#define HOUSE "house"

/* What a room must remember while it does not run. In a real program: a file, a database. */
struct room {
	const char *name;
	unsigned heard;
};

static struct room rooms[] = { { "kitchen", 0 }, { "garden", 0 } };

static struct room *room_find(const char *name)
{
	for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
		if (strcmp(rooms[i].name, name) == 0)
			return &rooms[i];
	}
	return NULL;
}

static int room_on_start(struct cu_actor_ctx *ctx, void *state)
{
	const struct room *room = state;

	(void)ctx;
	printf("  %s starts\n", room->name);
	return 0;
}

static enum cu_verdict room_on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct room *room = state;

	(void)ctx;
	room->heard++;
	printf("  %s hears \"%s\", its message %u\n", room->name, (const char *)msg->payload, room->heard);
	return CU_VERDICT_CONTINUE;
}

/* Nothing is ever pending in a room, so it may always go. */
static bool room_may_suspend(void *state)
{
	(void)state;
	return cu_stack_config_may_suspend(HOUSE);
}

/* Who suspends takes its own entry out; remove_if never hits a successor's. */
static void room_on_exit(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	const struct room *room = state;

	printf("  %s ends: %s\n", room->name, cu_exit_kind_name(reason->kind));
	if (reason->kind == CU_EXIT_SUSPEND)
		cu_consumer_remove_if(HOUSE, room->name, cu_actor_self(ctx));
}

static const struct cu_behaviour room_behaviour = {
	.name = "room",
	.on_start = room_on_start,
	.on_message = room_on_message,
	.may_suspend = room_may_suspend,
	.on_exit = room_on_exit,
};

/* Asked by publish for a room that does not run. */
static int room_start(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct cu_actor_name name = cu_consumer_name(HOUSE, handle);
	struct room *room = room_find(handle);

	return room ? cu_actor_start_named(ctx, &name, &room_behaviour, room, ret_id) : CU_ENOTFOUND;
}

static void tell(cu_consumer_registry *reg, const char *text, const char *const *names, size_t count)
{
	struct cu_delivery deliveries[4] = { { 0 } };

	printf("\"%s\"\n", text);
	for (size_t i = 0; i < count; i++)
		deliveries[i] = (struct cu_delivery){ .handle = names[i], .event = (void *)(uintptr_t)text };
	cu_consumer_registry_publish(reg, deliveries, count);
	for (size_t i = 0; i < count; i++)
		printf("  %s: %s\n", names[i], cu_delivery_status_name(deliveries[i].status));
	printf("%zu run\n", cu_consumer_registry_active_count(reg));
}

int main(void)
{
	const struct cu_actor_system_opts system_opts = { .manual_clock = true };
	struct cu_consumer_registry_opts opts = { .start_consumer = room_start };
	cu_consumer_registry *reg;

	if (cu_actor_system_new(&system_opts, &opts.system) != 0)
		return 1;
	opts.ctx = opts.system;
	if (cu_consumer_registry_new(HOUSE, &opts, &reg) != 0)
		return 1;
	cu_consumer_enable_suspend(HOUSE, 1000, 2000); /* after one to two idle seconds */

	tell(reg, "good morning", (const char *[]){ "kitchen" }, 1);
	tell(reg, "lunch", (const char *[]){ "kitchen", "garden", "attic" }, 3);
	printf("three seconds pass\n");
	cu_actor_system_tick(opts.system, 3000);
	tell(reg, "good night", (const char *[]){ "garden" }, 1);

	cu_consumer_registry_free(&reg);
	cu_actor_system_free(&opts.system);
	return 0;
}
