/* internal.h: what the files of src/registry share.
 *
 * Locks: the directory's and a registry's table lock, and the config's lock; each is taken alone, and no callback
 * runs under one. */
#ifndef CU_REGISTRY_INTERNAL_H
#define CU_REGISTRY_INTERNAL_H

#include "base/mutant.h"
#include "copper/consumer_registry.h"
#include "registry/table.h"

struct cu_consumer_registry {
	char *stack_id;
	struct cu_consumer_registry_opts opts;
	atomic_uint refs; /* the owner's, and one per running call by stack id */
	bool config_over; /* under the config's lock: its settings are gone, none may come */
	struct cu_consumer_table table;
};

/* As cu_stack_config_put(), as long as the registry is not being freed: CU_ENOTFOUND. */
int cu_stack_config_put_for(cu_consumer_registry *reg, const char *key, int64_t value);
void cu_stack_config_forget(cu_consumer_registry *reg); /* everything of this stack, for good */

#endif
