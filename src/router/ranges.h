/* ranges.h: which ranges hold this value: an interval tree.
 *
 * A B+ tree by lower bound, each entry of an inner node with the largest upper bound below it. Ranges with equal bounds each have an
 * entry. 65 to 110 bytes for a range.
 * Cost: insert and remove O(log n), a search O(log n + found). Out of memory: CU_ENOMEM from add, and the ranges are as they were.
 */
#ifndef CU_ROUTER_RANGES_H
#define CU_ROUTER_RANGES_H

#include "router/router.h"

/* What an index finds. sure: the row meets the condition that the route is entered under; otherwise it may. */
typedef int cu_route_found(void *ctx, cu_route *route, bool sure);

struct cu_range_node;

struct cu_ranges {
	struct cu_range_node *root;
	size_t len;
	const struct cu_type *type;
	const struct cu_collation *collation;
};

void cu_ranges_init(struct cu_ranges *ranges, const struct cu_type *type, const struct cu_collation *collation);
void cu_ranges_fini(struct cu_ranges *ranges);
/* The condition (CU_COND_RANGE) is borrowed until the range is removed: it lives in the route's expr. */
int cu_ranges_add(struct cu_ranges *ranges, const struct cu_condition *condition, cu_route *route);
bool cu_ranges_remove(struct cu_ranges *ranges, const struct cu_condition *condition, cu_route *route);
/* Calls found() for each range that holds the value. Non-zero from found() ends the search and is returned. */
int cu_ranges_find(const struct cu_ranges *ranges, const struct cu_datum *value, cu_route_found *found, void *ctx);
/* … for each range, none of them sure. */
int cu_ranges_each(const struct cu_ranges *ranges, cu_route_found *found, void *ctx);

#endif
