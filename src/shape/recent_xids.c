/* recent_xids.c: a ring of transaction ids. */
#include "shape/recent_xids.h"

#include <stdlib.h>

cu_recent_xids *cu_recent_xids_new(void)
{
	cu_recent_xids *recent = cu_xzalloc(sizeof *recent);

	CU_ASSERT(pthread_mutex_init(&recent->lock, NULL) == 0);
	return recent;
}

void cu_recent_xids_free(cu_recent_xids **recent)
{
	if (!*recent)
		return;
	pthread_mutex_destroy(&(*recent)->lock);
	free(*recent);
	*recent = NULL;
}

void cu_recent_xids_push(cu_recent_xids *recent, uint32_t xid)
{
	pthread_mutex_lock(&recent->lock);
	recent->ring[recent->pushed++ % CU_RECENT_XIDS] = xid;
	pthread_mutex_unlock(&recent->lock);
}

void cu_recent_xids_forget(cu_recent_xids *recent)
{
	pthread_mutex_lock(&recent->lock);
	recent->forgotten = recent->pushed;
	pthread_mutex_unlock(&recent->lock);
}

uint64_t cu_recent_xids_mark(cu_recent_xids *recent)
{
	uint64_t mark;

	pthread_mutex_lock(&recent->lock);
	mark = recent->pushed;
	pthread_mutex_unlock(&recent->lock);
	return mark;
}

bool cu_recent_xids_missed(cu_recent_xids *recent, uint64_t mark, const cu_snapshot_range *range)
{
	bool missed = false;
	uint64_t from;

	pthread_mutex_lock(&recent->lock);
	from = recent->pushed > CU_RECENT_XIDS ? recent->pushed - CU_RECENT_XIDS : 0;
	from = CU_MAX(from, recent->forgotten);
	for (uint64_t i = from; i < mark && !missed; i++)
		missed = !cu_snapshot_range_holds_xid(range, recent->ring[i % CU_RECENT_XIDS]);
	pthread_mutex_unlock(&recent->lock);
	return missed;
}
