/* record.h: the bytes of change log records; private to the change log (docs/storage-format.md).
 *
 * Threads: any; nothing here has state.
 */
#ifndef CU_STORE_RECORD_H
#define CU_STORE_RECORD_H

#include "base/buf.h"
#include "store/changelog.h"

#define CU_SEGMENT_MAGIC "CUCHLOG1"
#define CU_SEGMENT_HEADER 24u
#define CU_RECORD_HEADER 8u           /* len, crc */
#define CU_RECORD_ITEM_PREFIX_MAX 27u /* header, kind, tx, op */

enum cu_record_kind { CU_RECORD_ITEM = 1, CU_RECORD_FANOUT = 2 };

/* A decoded fan-out record and the memory of its lists; reused from record to record. */
struct cu_fanout_decoded {
	struct cu_fanout fanout;
	struct cu_fanout_shape *shapes;
	struct cu_fanout_run *runs;
	size_t shapes_cap;
	size_t runs_cap;
};

void cu_record_segment_header(uint64_t base, uint8_t out[CU_SEGMENT_HEADER]);
bool cu_record_segment_header_ok(const uint8_t *header, uint64_t base);

/* Writes the record's bytes before the payload, but the crc; returns their number (<= …_PREFIX_MAX). */
size_t cu_record_item_prefix(uint64_t tx, uint64_t op, size_t payload_len, uint8_t *out);
void cu_record_put_le32(uint8_t *out, uint32_t value);

/* Appends kind and body. CU_EINVAL, CU_ENOMEM, CU_ETOOBIG. */
int cu_record_fanout_encode(const struct cu_fanout *fanout, uint32_t items_len, cu_buf *out);
/* `body` stands behind the kind and is used up. CU_ECORRUPT, CU_ENOMEM. Whether items_len fits is the caller's. */
int cu_record_fanout_decode(cu_cursor *body, struct cu_fanout_decoded *ret_decoded);
void cu_fanout_decoded_fini(struct cu_fanout_decoded *decoded);

#endif
