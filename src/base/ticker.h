/* ticker.h: a thread that does something every so often, and otherwise waits.
 *
 * Threads: fn runs on the ticker's own, one call at a time; start and stop: any, but stop never from fn. Cost: a thread
 * with a small stack. A call that takes longer than the interval delays the next one.
 */
#ifndef CU_TICKER_H
#define CU_TICKER_H

#include "base/base.h"

typedef struct cu_ticker cu_ticker;

/* The first call comes after one interval. name: of the thread, at most 15 bytes. CU_EAGAIN: no thread to be had. */
int cu_ticker_start(const char *name, uint64_t interval_ms, void (*fn)(void *ctx), void *ctx, cu_ticker **ret_ticker);
/* Waits for a call under way. NULL is fine. */
void cu_ticker_stop(cu_ticker **ticker);

#endif
