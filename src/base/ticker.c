#include "base/ticker.h"

#include "base/clock.h"
#include "base/cond.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define STACK_BYTES (256u * 1024)

struct cu_ticker {
	uint64_t interval_ms;
	void (*fn)(void *ctx);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stopping; /* under lock */
};

static void *run(void *arg)
{
	cu_ticker *ticker = arg;
	uint64_t due_ms = cu_now_ms() + ticker->interval_ms;

	pthread_mutex_lock(&ticker->lock);
	while (!ticker->stopping) {
		struct timespec due = cu_until_ms(due_ms);

		pthread_cond_timedwait(&ticker->cond, &ticker->lock, &due);
		if (ticker->stopping || cu_now_ms() < due_ms)
			continue;
		pthread_mutex_unlock(&ticker->lock);
		ticker->fn(ticker->ctx);
		due_ms = cu_now_ms() + ticker->interval_ms;
		pthread_mutex_lock(&ticker->lock);
	}
	pthread_mutex_unlock(&ticker->lock);
	return NULL;
}

static void ticker_free(cu_ticker *ticker)
{
	pthread_cond_destroy(&ticker->cond);
	pthread_mutex_destroy(&ticker->lock);
	free(ticker);
}

int cu_ticker_start(const char *name, uint64_t interval_ms, void (*fn)(void *ctx), void *ctx, cu_ticker **ret_ticker)
{
	cu_ticker *ticker = cu_xzalloc(sizeof *ticker);
	pthread_attr_t attr;
	int err;

	*ticker = (cu_ticker){ .interval_ms = interval_ms, .fn = fn, .ctx = ctx };
	CU_ASSERT(pthread_mutex_init(&ticker->lock, NULL) == 0);
	cu_cond_init(&ticker->cond);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = pthread_create(&ticker->thread, &attr, run, ticker);
	pthread_attr_destroy(&attr);
	if (err != 0) {
		ticker_free(ticker);
		return CU_EAGAIN;
	}
	pthread_setname_np(ticker->thread, name);
	*ret_ticker = ticker;
	return 0;
}

void cu_ticker_stop(cu_ticker **ref)
{
	cu_ticker *ticker = *ref;

	if (!ticker)
		return;
	*ref = NULL;
	pthread_mutex_lock(&ticker->lock);
	ticker->stopping = true;
	pthread_cond_signal(&ticker->cond);
	pthread_mutex_unlock(&ticker->lock);
	pthread_join(ticker->thread, NULL);
	ticker_free(ticker);
}
