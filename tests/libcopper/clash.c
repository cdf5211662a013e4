/* A program that has functions of its own under the names of our internal ones, linked with the static library:
 * neither side gets the other's. */
#include <copper/consumer_registry.h>

#include <stdio.h>
#include <stdlib.h>

#define OURS(name)                    \
	void name(void);              \
	void name(void)               \
	{                             \
		puts("mine: " #name); \
		exit(1);              \
	}

OURS(cu_xzalloc)
OURS(cu_xstrdup)
OURS(cu_try_malloc)
OURS(cu_log_write)
OURS(cu_buf_append)
OURS(cu_assert_failed)
OURS(cu_actor_lock)
OURS(cu_actor_run)
OURS(cu_table_insert)
OURS(cu_wheel_arm)

static int start(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	(void)ctx;
	(void)handle;
	(void)ret_id;
	return CU_ENOMEM;
}

int main(void)
{
	struct cu_consumer_registry_opts opts = { .start_consumer = start };
	struct cu_delivery delivery = { .handle = "a" };
	cu_consumer_registry *reg;

	if (cu_actor_system_new(NULL, &opts.system) != 0 || cu_consumer_registry_new("s", &opts, &reg) != 0)
		return 1;
	cu_consumer_registry_publish(reg, &delivery, 1);
	printf("%s: %s\n", cu_delivery_status_name(delivery.status), delivery.reason.text);
	cu_consumer_registry_free(&reg);
	cu_actor_system_free(&opts.system);
	return 0;
}
