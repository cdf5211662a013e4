/* replay.h: start-up: from the change log's fan-out records back to the shapes' tails.
 *
 * The same rules as the collector's, applied to what it wrote: runs of neighbouring items, transactions that a snapshot
 * holds left out, visible at commit. Records may name shapes that were removed since: those are skipped.
 *
 * Threads: start-up only, before anything else looks at the shapes.
 */
#ifndef CU_SHAPE_REPLAY_H
#define CU_SHAPE_REPLAY_H

#include "shape/shape_list.h"
#include "shape/shape_set.h"

typedef struct cu_replay {
	cu_shape_set *shapes;
	struct cu_shape_list touched; /* of the open transaction */
	struct cu_shape_list lacking; /* an item of theirs in it is damaged, or in a segment that was dropped */
	struct cu_shape_list lacking_for_good; /* … and the transaction was committed: these have to go */
} cu_replay;

void cu_replay_init(cu_replay *replay, cu_shape_set *shapes);
void cu_replay_fini(cu_replay *replay);
/* A cu_changelog_replay; ctx is the cu_replay. */
int cu_replay_fanout(void *ctx, const struct cu_fanout *fanout, const struct cu_changelog_item *items);
/* After the last record: removes the shapes whose logs have lost an item. Their readers refetch. */
void cu_replay_remove_lacking(cu_replay *replay);

#endif
