/* relations.h: the tables of the stream, as its Relation messages described them last in this connection.
 *
 * Threads: collector only.
 */
#ifndef CU_RELATIONS_H
#define CU_RELATIONS_H

#include "base/map.h"
#include "shape/view.h"

#define CU_ANCESTORS_MAX 32u /* levels of partitioning above a table */

typedef struct cu_relations {
	cu_map by_oid; /* struct cu_relation */
	uint32_t generation;
} cu_relations;

void cu_relations_fini(cu_relations *relations);
/* Borrowed, valid until the next put. NULL: not seen. */
struct cu_relation *cu_relations_get(const cu_relations *relations, uint32_t oid);
/* Takes in a Relation message. *ret_changed: it differs from the one before, or there was none. ancestors: partitioned
 * tables above it, nearest first. */
struct cu_relation *cu_relations_put(cu_relations *relations, const struct cu_pgoutput_relation *message,
				     const uint32_t *ancestors, unsigned ancestors_len, bool *ret_changed);

#endif
