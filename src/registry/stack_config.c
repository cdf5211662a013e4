/* stack_config.c: a few numbers per stack. A list under one lock: it is written by hand and read at most once per
 * consumer start or suspension. */
#include "registry/internal.h"

#include <stdlib.h>

struct setting {
	struct setting *next;
	char *stack_id;
	char *key;
	int64_t value;
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

int cu_stack_config_put(const char *stack_id, const char *key, int64_t value)
{
	struct setting **link;

	if (!stack_id || !*stack_id || !key || !*key)
		return CU_EINVAL;
	pthread_mutex_lock(&mtx);
	link = setting_find(stack_id, key);
	if (!*link) {
		*link = cu_xzalloc(sizeof **link);
		(*link)->stack_id = cu_xstrdup(stack_id);
		(*link)->key = cu_xstrdup(key);
	}
	(*link)->value = value;
	pthread_mutex_unlock(&mtx);
	return 0;
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

void cu_stack_config_forget(const char *stack_id)
{
	struct setting **link;

	pthread_mutex_lock(&mtx);
	while (*(link = setting_find(stack_id, NULL))) {
		struct setting *setting = *link;

		*link = setting->next;
		free(setting->stack_id);
		free(setting->key);
		free(setting);
	}
	pthread_mutex_unlock(&mtx);
}
