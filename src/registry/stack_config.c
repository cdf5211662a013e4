/* stack_config.c: a few numbers per stack. A list under one lock: it is written by hand and read at most once per
 * consumer start or suspension. */
#include "registry/internal.h"

#include <stdlib.h>

struct setting {
	struct setting *next;
	int64_t value;
	const char *key; /* behind the stack id */
	char stack_id[];
};

static pthread_mutex_t mtx = PTHREAD_MUTEX_INITIALIZER;
static struct setting *settings; /* under mtx */

static struct setting **setting_find(const char *stack_id, const char *key)
{
	struct setting **link;

	for (link = &settings; *link; link = &(*link)->next) {
		if (strcmp((*link)->stack_id, stack_id) == 0 && (!key || strcmp((*link)->key, key) == 0))
			break;
	}
	return link;
}

static int put_locked(const char *stack_id, const char *key, int64_t value)
{
	struct setting **link = setting_find(stack_id, key);
	size_t id_size = strlen(stack_id) + 1;
	size_t key_size = strlen(key) + 1;

	if (!*link) {
		struct setting *setting = cu_try_zalloc(sizeof *setting + id_size + key_size);

		if (!setting)
			return CU_ENOMEM;
		memcpy(setting->stack_id, stack_id, id_size);
		setting->key = memcpy(setting->stack_id + id_size, key, key_size);
		*link = setting;
	}
	(*link)->value = value;
	return 0;
}

int cu_stack_config_put(const char *stack_id, const char *key, int64_t value)
{
	int rc;

	if (!stack_id || !*stack_id || !key || !*key)
		return CU_EINVAL;
	pthread_mutex_lock(&mtx);
	rc = put_locked(stack_id, key, value);
	pthread_mutex_unlock(&mtx);
	return rc;
}

/* Forgetting and putting look at config_over under the same lock: a registry that is being freed leaves no setting
 * behind for the next one of its name (found by the simulation). */
int cu_stack_config_put_for(cu_consumer_registry *reg, const char *key, int64_t value)
{
	int rc;

	pthread_mutex_lock(&mtx);
	rc = reg->config_over ? CU_ENOTFOUND : put_locked(reg->stack_id, key, value);
	pthread_mutex_unlock(&mtx);
	return rc;
}

bool cu_stack_config_lookup(const char *stack_id, const char *key, int64_t *ret_value)
{
	struct setting *setting;

	pthread_mutex_lock(&mtx);
	setting = *setting_find(stack_id, key);
	if (setting)
		*ret_value = setting->value;
	pthread_mutex_unlock(&mtx);
	return setting != NULL;
}

bool cu_stack_config_may_suspend(const char *stack_id)
{
	int64_t enabled;

	return !cu_stack_config_lookup(stack_id, CU_CONFIG_ENABLE_SUSPEND, &enabled) || enabled != 0;
}

void cu_stack_config_forget(cu_consumer_registry *reg)
{
	struct setting **link;

	pthread_mutex_lock(&mtx);
	reg->config_over = true;
	while (*(link = setting_find(reg->stack_id, NULL))) {
		struct setting *setting = *link;

		*link = setting->next;
		free(setting);
	}
	pthread_mutex_unlock(&mtx);
}
