/* removal.h: shapes that go, and in some lives just while the change log is drained.
 *
 * The log may lose what nobody needs. A shape on its way out needs its part until its removal is durable: a crash brings it
 * back. To show that something breaks this, four things have to meet: the log is kept for this shape, a checkpoint has been
 * made at which it is drained, the removal is slow or refused, and the disk stops soon after a segment is gone. Left to chance they do
 * not within 20,000 seeds. So they are arranged: whoever tells Postgres of the checkpoint waits until the removal has begun,
 * the removal until a segment is gone. Each of these waits may happen on a busy machine as well; what the disk then keeps,
 * and who goes on when, is chance again.
 *
 * Threads: main, but for removal_forgotten().
 */
#ifndef CU_CRASH_REMOVAL_H
#define CU_CRASH_REMOVAL_H

#include "crash/world.h"

/* In lives with removals in drains: the next checkpoint, which tries again what was refused, is not due at once. */
enum { CHURN_CHECKPOINT_MS = 1000 };

void removal_ask(struct world *world, struct known *known);
/* Commits until a checkpoint is durable at which the log is drained; then one of these: the shape that the log is kept for goes
 * slowly, or in vain (the disk refuses it); all shapes go while a file of one is being made; or the log alone loses segments. */
void removal_in_drain(struct world *world);
/* The shape listens no more; whoever removes it goes on afterwards. */
void removal_forgotten(struct world *world, const cu_shape *shape);

#endif
