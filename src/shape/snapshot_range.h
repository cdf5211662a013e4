/* snapshot_range.h: which transactions a snapshot already holds (xmin, xmax, xip of pg_current_snapshot()).
 *
 * Threads: any, values only. Full transaction ids are 64 bits wide (with epoch); the replication stream carries
 * the low 32, which are completed here: the stream is never 2^31 transactions away from the snapshot.
 */
#ifndef CU_SNAPSHOT_RANGE_H
#define CU_SNAPSHOT_RANGE_H

#include "base/buf.h"

typedef struct cu_snapshot_range {
	uint64_t xmin; /* everything below is visible */
	uint64_t xmax; /* nothing from here on is visible */
	uint64_t *xip; /* sorted: still running in between, not visible */
	size_t xip_len;
	/* The server's WAL position after the snapshot was taken: a transaction that committed at or behind it is not held,
	 * whatever its number. Without this, numbers that come around after 2^31 transactions would look old. */
	uint64_t lsn;
} cu_snapshot_range;

/* Parses "xmin:xmax:xip,xip…". CU_ECORRUPT when it is not one. Returns owned memory in *ret. */
int cu_snapshot_range_parse(const char *text, cu_snapshot_range *ret_range);
void cu_snapshot_range_fini(cu_snapshot_range *range);
/* The full id of a 32-bit xid seen near this snapshot. */
uint64_t cu_snapshot_range_widen(const cu_snapshot_range *range, uint32_t xid);
/* Does the snapshot hold what this transaction did? For transactions near the snapshot. */
bool cu_snapshot_range_holds_xid(const cu_snapshot_range *range, uint32_t xid);
/* The same for any transaction of the stream; tx is its final LSN. */
static inline bool cu_snapshot_range_holds(const cu_snapshot_range *range, uint32_t xid, uint64_t tx)
{
	return tx < range->lsn && cu_snapshot_range_holds_xid(range, xid);
}
/* The snapshot-end control message of PROTOCOL.md. */
void cu_snapshot_range_put_message(const cu_snapshot_range *range, cu_buf *out);
/* Back to Postgres' text form. */
void cu_snapshot_range_put_text(const cu_snapshot_range *range, cu_buf *out);
/* The list of running transactions alone, as metadata keeps it: "xip,xip…". */
void cu_snapshot_range_put_xip(const cu_snapshot_range *range, cu_buf *out);

#endif
