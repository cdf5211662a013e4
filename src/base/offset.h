/* offset.h: positions in a shape log, and LSNs.
 *
 * An offset is (tx, op): tx is the transaction's final LSN, op counts 0, 2, 4 … in the transaction. Snapshot
 * chunk n ends at 0_n; 0_inf is the snapshot's end, before any change. -1 is before everything. Comparison: tx,
 * then op, inf greatest (PROTOCOL.md, "Offsets").
 */
#ifndef CU_OFFSET_H
#define CU_OFFSET_H

#include "base/buf.h"

#define CU_OP_INF UINT64_MAX
#define CU_OFFSET_TEXT_MAX 48 /* bytes that cu_offset_format() needs, with the NUL */

typedef struct cu_offset {
	uint64_t tx;
	uint64_t op;
	bool before_all; /* the offset -1; tx and op are 0 */
} cu_offset;

#define CU_OFFSET_BEFORE_ALL ((cu_offset){ 0, 0, true })
#define CU_OFFSET_SNAPSHOT_END ((cu_offset){ 0, CU_OP_INF, false })

static inline cu_offset cu_offset_of(uint64_t tx, uint64_t op)
{
	return (cu_offset){ tx, op, false };
}
/* <0, 0, >0 */
static inline int cu_offset_cmp(cu_offset a, cu_offset b)
{
	if (a.before_all != b.before_all)
		return a.before_all ? -1 : 1;
	if (a.tx != b.tx)
		return a.tx < b.tx ? -1 : 1;
	return a.op == b.op ? 0 : a.op < b.op ? -1 : 1;
}
/* "-1", "12_0", "12_inf". CU_EINVAL for anything else ("now" is the caller's business). */
int cu_offset_parse(const char *text, size_t len, cu_offset *ret_offset);
/* Writes the text with its NUL into out[CU_OFFSET_TEXT_MAX]; returns its length. */
size_t cu_offset_format(cu_offset offset, char *out);

/* "16/B374D848" ⇄ number. */
int cu_lsn_parse(const char *text, uint64_t *ret_lsn);

#endif
