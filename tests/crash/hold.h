/* hold.h: a place where whoever comes by next is held up when somebody asks for it, until that is taken back, or for a while. A
 * busy machine may hold up a thread anywhere; this does it where something else has to happen meanwhile.
 *
 * Threads: simulated ones, of which one runs.
 */
#ifndef CU_CRASH_HOLD_H
#define CU_CRASH_HOLD_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

enum { HOLD_PAUSES = 300 };

struct hold {
	bool wanted;
	bool held; /* somebody is */
};

/* The place. */
static inline void hold_here(struct hold *hold)
{
	if (!hold->wanted || hold->held)
		return;
	hold->held = true;
	for (unsigned i = 0; i < HOLD_PAUSES && hold->wanted; i++)
		poll(NULL, 0, 0); /* lets others go on: hooks.h */
	hold->wanted = hold->held = false;
}

#endif
