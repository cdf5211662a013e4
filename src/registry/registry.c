/* registry.c: the registries by stack id, their entries, names and idle settings. Delivery is in publish.c.
 *
 * The directory of registries is the same kind of table as a registry's own, with pointers for values. A look-up by
 * stack id does both steps within one RCU section. A call that may take a lock or wait holds a reference instead.
 */
#include "registry/internal.h"

#include "base/clock.h"
#include "registry/rcu.h"

#include <stdlib.h>

static struct cu_consumer_table directory = TABLE_INIT;

/* Inside rcu_enter()/rcu_leave(). */
static cu_consumer_registry *registry_find(const char *stack_id)
{
	return (cu_consumer_registry *)(uintptr_t)cu_table_find(&directory, stack_id);
}

/* Returns a reference or NULL; registry_unref() it. */
static cu_consumer_registry *registry_ref(const char *stack_id)
{
	cu_consumer_registry *reg;
	unsigned refs;

	rcu_enter();
	reg = registry_find(stack_id);
	if (reg) {
		refs = atomic_load_explicit(&reg->refs, memory_order_relaxed);
		while (refs && !atomic_compare_exchange_weak_explicit(&reg->refs, &refs, refs + 1, memory_order_acquire,
								      memory_order_relaxed))
			;
		if (!refs)
			reg = NULL;
	}
	rcu_leave();
	return reg;
}

static void registry_unref(cu_consumer_registry *reg)
{
	if (!reg || atomic_fetch_sub_explicit(&reg->refs, 1, memory_order_acq_rel) != 1)
		return;
	cu_table_fini(&reg->table);
	free(reg->stack_id);
	free(reg);
}

int cu_consumer_registry_new(const char *stack_id, const struct cu_consumer_registry_opts *opts,
			     cu_consumer_registry **ret_reg)
{
	cu_consumer_registry *reg;
	uint64_t there;
	int rc;

	if (!stack_id || !*stack_id || !opts || !opts->system || !opts->start_consumer)
		return CU_EINVAL;
	reg = cu_try_zalloc(sizeof *reg);
	if (!reg)
		return CU_ENOMEM;
	atomic_init(&reg->refs, 1);
	cu_table_init(&reg->table);
	reg->opts = *opts;
	reg->stack_id = cu_try_malloc(strlen(stack_id) + 1);
	if (!reg->stack_id) {
		rc = CU_ENOMEM;
		goto out;
	}
	memcpy(reg->stack_id, stack_id, strlen(stack_id) + 1);
	rc = cu_table_insert(&directory, stack_id, (uint64_t)(uintptr_t)reg, &there);
	if (rc < 0)
		goto out;
	*ret_reg = reg;
	reg = NULL;
out:
	registry_unref(reg);
	return rc;
}

void cu_consumer_registry_free(cu_consumer_registry **reg_at)
{
	cu_consumer_registry *reg = *reg_at;
	bool removed;

	if (!reg)
		return;
	*reg_at = NULL;
	removed = cu_table_remove(&directory, reg->stack_id, (uint64_t)(uintptr_t)reg);
	CU_ASSERT(removed);
	cu_table_release_empty(&directory); /* the last registry leaves nothing behind */
	rcu_wait_for_readers();
	cu_stack_config_forget(reg);
	registry_unref(reg);
}

const char *cu_consumer_registry_stack_id(const cu_consumer_registry *reg)
{
	return reg->stack_id;
}

cu_consumer_table *cu_consumer_registry_table(cu_consumer_registry *reg)
{
	return &reg->table;
}

static uint32_t config_ms(const char *stack_id, const char *key)
{
	int64_t value;

	if (!cu_stack_config_lookup(stack_id, key, &value) || value < 0)
		return 0;
	return (uint32_t)CU_MIN(value, (int64_t)UINT32_MAX);
}

/* The stack's idle settings for a consumer that has just been registered. */
static void idle_policy_apply(cu_consumer_registry *reg, cu_actor_id id)
{
	struct cu_idle_policy policy = { .hibernate_after_ms = config_ms(reg->stack_id, CU_CONFIG_HIBERNATE_AFTER) };
	int64_t enabled;

	if (!policy.hibernate_after_ms)
		return;
	policy.suspend_after_ms = config_ms(reg->stack_id, CU_CONFIG_SUSPEND_AFTER);
	policy.suspend = cu_stack_config_lookup(reg->stack_id, CU_CONFIG_ENABLE_SUSPEND, &enabled) && enabled != 0;
	(void)cu_actor_set_idle(reg->opts.system, id, &policy); /* a dead one needs no timer */
}

static int table_register(struct cu_consumer_table *table, const char *handle, cu_actor_id id, bool *ret_fresh)
{
	uint64_t there = 0;
	int rc;

	*ret_fresh = false;
	if (id == CU_ACTOR_NONE)
		return CU_EINVAL;
	rc = cu_table_insert(table, handle, id, &there);
	*ret_fresh = rc == 0;
	return rc == CU_EEXIST && there == id ? 0 : rc;
}

int cu_consumer_table_register(cu_consumer_table *table, const char *handle, cu_actor_id id)
{
	bool fresh;

	return table_register(table, handle, id, &fresh);
}

int cu_consumer_registry_register(cu_consumer_registry *reg, const char *handle, cu_actor_id id)
{
	bool fresh;
	int rc = table_register(&reg->table, handle, id, &fresh);

	if (fresh)
		idle_policy_apply(reg, id);
	return rc;
}

int cu_consumer_register(const char *stack_id, const char *handle, cu_actor_id id)
{
	cu_consumer_registry *reg = registry_ref(stack_id);
	int rc = reg ? cu_consumer_registry_register(reg, handle, id) : CU_ENOTFOUND;

	registry_unref(reg);
	return rc;
}

cu_actor_id cu_consumer_registry_whereis(cu_consumer_registry *reg, const char *handle)
{
	cu_actor_id id;

	rcu_enter();
	id = cu_table_find(&reg->table, handle);
	rcu_leave();
	return id;
}

cu_actor_id cu_consumer_whereis(const char *stack_id, const char *handle)
{
	cu_consumer_registry *reg;
	cu_actor_id id = CU_ACTOR_NONE;

	rcu_enter();
	reg = registry_find(stack_id);
	if (reg)
		id = cu_table_find(&reg->table, handle);
	rcu_leave();
	return id;
}

size_t cu_consumer_registry_active_count(const cu_consumer_registry *reg)
{
	return atomic_load_explicit(&reg->table.count, memory_order_relaxed);
}

size_t cu_consumer_active_count(const char *stack_id)
{
	cu_consumer_registry *reg;
	size_t count = 0;

	rcu_enter();
	reg = registry_find(stack_id);
	if (reg)
		count = cu_consumer_registry_active_count(reg);
	rcu_leave();
	return count;
}

void cu_consumer_registry_remove(cu_consumer_registry *reg, const char *handle)
{
	(void)cu_table_remove(&reg->table, handle, 0);
}

void cu_consumer_remove(const char *stack_id, const char *handle)
{
	cu_consumer_registry *reg = registry_ref(stack_id);

	if (reg)
		cu_consumer_registry_remove(reg, handle);
	registry_unref(reg);
}

bool cu_consumer_registry_remove_if(cu_consumer_registry *reg, const char *handle, cu_actor_id id)
{
	return id != CU_ACTOR_NONE && cu_table_remove(&reg->table, handle, id);
}

bool cu_consumer_remove_if(const char *stack_id, const char *handle, cu_actor_id id)
{
	cu_consumer_registry *reg = registry_ref(stack_id);
	bool removed = reg && cu_consumer_registry_remove_if(reg, handle, id);

	registry_unref(reg);
	return removed;
}

int64_t cu_consumer_registry_foreach(cu_consumer_registry *reg,
				     void (*fn)(void *arg, const char *handle, cu_actor_id id), void *arg)
{
	struct table_entry **list = cu_table_snapshot(&reg->table);
	int64_t count = 0;

	if (!list)
		return CU_ENOMEM;
	for (; list[count]; count++)
		fn(arg, list[count]->key, list[count]->value);
	free(list);
	return count;
}

/* The name service. */
bool cu_consumer_register_name(const char *stack_id, const char *handle, cu_actor_id id)
{
	return cu_consumer_register(stack_id, handle, id) == 0;
}

/* Nothing, on purpose: an entry that went away with its actor would let a late event start a consumer for a shape
 * that is on its way out. */
void cu_consumer_unregister_name(const char *stack_id, const char *handle)
{
	(void)stack_id;
	(void)handle;
}

cu_actor_id cu_consumer_whereis_name(const char *stack_id, const char *handle)
{
	return cu_consumer_whereis(stack_id, handle);
}

static void name_forget(const char *stack_id, const char *handle, cu_actor_id id)
{
	(void)cu_consumer_remove_if(stack_id, handle, id);
}

struct cu_actor_name cu_consumer_name(const char *stack_id, const char *handle)
{
	static const struct cu_name_service service = {
		.register_name = cu_consumer_register_name,
		.unregister_name = cu_consumer_unregister_name,
		.whereis_name = cu_consumer_whereis_name,
		.forget_name = name_forget,
		.claim_name = cu_consumer_register,
	};

	return (struct cu_actor_name){ &service, stack_id, handle };
}

/* Suspension. */
struct suspend_order {
	cu_actor_system *sys;
	uint64_t seed;
	uint32_t idle_min;
	uint32_t idle_max;
	uint32_t suspend_after;
};

/* splitmix64: spreads the consumers, nothing secret hangs on it. */
static uint64_t random_next(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void suspend_order_give(void *arg, const char *handle, cu_actor_id id)
{
	struct suspend_order *order = arg;
	uint64_t range = (uint64_t)order->idle_max - order->idle_min + 1;
	struct cu_idle_policy policy = {
		.hibernate_after_ms = order->idle_min + (uint32_t)(random_next(&order->seed) % range),
		.suspend_after_ms = order->suspend_after,
		.suspend = true,
	};

	(void)handle;
	(void)cu_actor_set_idle(order->sys, id, &policy); /* the dead ones count, but have nothing to be told */
}

/* The switch last: without memory for one of them suspension is not switched on. */
static int suspend_settings_put(cu_consumer_registry *reg, uint32_t hibernate_after, uint32_t suspend_after)
{
	int rc = cu_stack_config_put_for(reg, CU_CONFIG_SUSPEND_AFTER, suspend_after);

	if (rc == 0)
		rc = cu_stack_config_put_for(reg, CU_CONFIG_HIBERNATE_AFTER, hibernate_after);
	if (rc == 0)
		rc = cu_stack_config_put_for(reg, CU_CONFIG_ENABLE_SUSPEND, 1);
	return rc;
}

int64_t cu_consumer_enable_suspend_after(const char *stack_id, uint32_t hibernate_after, uint32_t suspend_after,
					 uint32_t jitter_period)
{
	struct suspend_order order = {
		.seed = cu_now_ns(),
		.idle_min = hibernate_after,
		.idle_max = jitter_period,
		.suspend_after = suspend_after,
	};
	cu_consumer_registry *reg;
	int64_t count;

	if (hibernate_after == 0 || jitter_period <= hibernate_after)
		return CU_EINVAL;
	reg = registry_ref(stack_id);
	if (!reg)
		return CU_ENOTFOUND;
	order.sys = reg->opts.system;
	count = suspend_settings_put(reg, hibernate_after, suspend_after);
	if (count == 0)
		count = cu_consumer_registry_foreach(reg, suspend_order_give, &order);
	registry_unref(reg);
	return count;
}

int64_t cu_consumer_enable_suspend(const char *stack_id, uint32_t hibernate_after, uint32_t jitter_period)
{
	return cu_consumer_enable_suspend_after(stack_id, hibernate_after, 0, jitter_period);
}
