/* check.h: what has to be true of the store, whatever the disk did. A check that is not met ends the run.
 *
 * Threads: main.
 */
#ifndef CU_CRASH_CHECK_H
#define CU_CRASH_CHECK_H

#include "crash/world.h"

/* Between world_start() and world_follow(): every shape that somebody was told of is there, none that is gone, and Postgres was told of nothing
 * that is not. From here on known->shape is this process' shape, or NULL. */
void check_recovered(struct world *world);
/* At any time, also right after a crash: takes in what clients are told by now. */
void check_told(struct world *world);
/* At any time: a shape's snapshot, and its log up to the end of some transaction, byte by byte. */
void check_shape(struct world *world, struct known *known);
/* After world_catch_up(): every log is complete. */
void check_caught_up(struct world *world);
/* No file that nobody needs is left, once the others rest. */
void check_files(struct world *world);

#endif
