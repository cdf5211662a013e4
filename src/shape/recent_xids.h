/* recent_xids.h: would a new snapshot miss a transaction that the stream has already passed?
 *
 * A commit reaches the stream when its WAL record is flushed, a moment before new snapshots see it (with synchronous
 * replication: much before). A shape that starts to listen in between, and whose snapshot still counts that
 * transaction as running, would get it from neither. So: start to listen, take a mark, take the snapshot, ask
 * missed(); take the snapshot again while it says yes.
 *
 * Threads: push: the collector; mark and missed: any. One mutex. Remembers the last CU_RECENT_XIDS transactions.
 */
#ifndef CU_RECENT_XIDS_H
#define CU_RECENT_XIDS_H

#include "base/limits.h"
#include "shape/snapshot_range.h"

#include <pthread.h>

typedef struct cu_recent_xids {
	pthread_mutex_t lock;
	uint64_t pushed;    /* ever */
	uint64_t forgotten; /* so many of them */
	uint32_t ring[CU_RECENT_XIDS];
} cu_recent_xids;

cu_recent_xids *cu_recent_xids_new(void);
void cu_recent_xids_free(cu_recent_xids **recent);
/* A transaction begins in the stream. */
void cu_recent_xids_push(cu_recent_xids *recent, uint32_t xid);
/* The stream is of another history now, which has other transactions under these ids. */
void cu_recent_xids_forget(cu_recent_xids *recent);
/* Transactions pushed from now on are not asked about. */
uint64_t cu_recent_xids_mark(cu_recent_xids *recent);
/* Is there a transaction pushed before the mark that this snapshot does not hold? */
bool cu_recent_xids_missed(cu_recent_xids *recent, uint64_t mark, const cu_snapshot_range *range);

#endif
