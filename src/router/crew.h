/* crew.h: threads that help the collector evaluate many clauses on one row.
 *
 * Threads: one caller at a time; the helpers are ours, started with the first call that wants them, ended by
 * cu_crew_free(). The caller takes part: it waits only for helpers that are evaluating a slice (CU_ROUTER_SLICE clauses),
 * never for one that has yet to wake up.
 * Errors: none. Without helpers (one core, no memory for them) the caller does it all.
 */
#ifndef CU_ROUTER_CREW_H
#define CU_ROUTER_CREW_H

#include "router/router.h"

typedef struct cu_crew cu_crew;

/* helpers: how many threads at most; 0: one for each core but one. */
cu_crew *cu_crew_new(unsigned helpers);
void cu_crew_free(cu_crew **crew);
bool cu_crew_is_alone(const cu_crew *crew); /* nobody to help */

/* Evaluates each route's expr on the row; ret_truths gets one enum cu_truth each. The row's columns that the clauses need are
 * decoded already; one that could not be is tried again, by each helper for itself. */
void cu_crew_eval(cu_crew *crew, struct cu_expr_row *row, cu_route *const *routes, uint32_t len, uint8_t *ret_truths);

#endif
