/* usage.h: what shapes take on disk: the files below shapes/, and the pages of the metadata that are in use. Not counted are
 * the change log, which has a bound of its own, and the trash, which is on its way out.
 *
 * Threads: one at a time per object; it disturbs nobody: files are looked at by name, the metadata through a connection of
 * its own. Cost: cu_usage_total() looks at every file.
 * Errors: CU_EIO. What is removed meanwhile counts as gone.
 */
#ifndef CU_STORE_USAGE_H
#define CU_STORE_USAGE_H

#include "store/store.h"

typedef struct cu_usage cu_usage;

int cu_usage_open(const cu_store *store, cu_usage **ret_usage);
void cu_usage_close(cu_usage **usage); /* NULL is fine */

int cu_usage_total(cu_usage *usage, uint64_t *ret_bytes);
/* One shape's files and its part of the metadata, about. */
int cu_usage_shape(cu_usage *usage, uint64_t shape_id, uint64_t *ret_bytes);

#endif
