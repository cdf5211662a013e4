#include "store/record.h"

#include "base/limits.h"
#include "store/crc32c.h"

#include <stdlib.h>

static void put_le64(uint8_t *out, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(value >> 8 * i);
}

void cu_record_put_le32(uint8_t *out, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(value >> 8 * i);
}

void cu_record_segment_header(uint64_t base, uint8_t out[CU_SEGMENT_HEADER])
{
	memcpy(out, CU_SEGMENT_MAGIC, 8);
	put_le64(out + 8, base);
	cu_record_put_le32(out + 16, cu_crc32c(0, out, 16));
	cu_record_put_le32(out + 20, 0);
}

bool cu_record_segment_header_ok(const uint8_t *header, uint64_t base)
{
	uint8_t want[CU_SEGMENT_HEADER];

	cu_record_segment_header(base, want);
	return memcmp(header, want, sizeof want) == 0;
}

size_t cu_record_item_prefix(uint64_t tx, uint64_t op, size_t payload_len, uint8_t *out)
{
	size_t len = CU_RECORD_HEADER;

	out[len++] = CU_RECORD_ITEM;
	put_le64(out + len, tx);
	len += 8;
	for (; op >= 0x80; op >>= 7)
		out[len++] = (uint8_t)(op | 0x80);
	out[len++] = (uint8_t)op;
	cu_record_put_le32(out, (uint32_t)(len - CU_RECORD_HEADER + payload_len));
	return len;
}

static uint64_t zigzag(int64_t value)
{
	return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static int64_t unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1 ^ -(value & 1));
}

static bool runs_same(const struct cu_fanout *fanout, const struct cu_fanout_shape *a, const struct cu_fanout_shape *b)
{
	if (a->runs_len != b->runs_len)
		return false;
	return a->runs_at == b->runs_at || a->runs_len == 0 ||
	       memcmp(fanout->runs + a->runs_at, fanout->runs + b->runs_at, a->runs_len * sizeof *fanout->runs) == 0;
}

static int runs_encode(const struct cu_fanout *fanout, const struct cu_fanout_shape *shape, uint32_t items_len,
		       cu_buf *out)
{
	uint64_t end = 0;

	cu_buf_put_varint(out, shape->runs_len);
	for (uint32_t i = 0; i < shape->runs_len; i++) {
		const struct cu_fanout_run *run = &fanout->runs[shape->runs_at + i];

		if (run->len == 0 || run->first < end || (uint64_t)run->first + run->len > items_len)
			return CU_EINVAL;
		cu_buf_put_varint(out, run->first - end);
		cu_buf_put_varint(out, run->len);
		end = (uint64_t)run->first + run->len;
	}
	return 0;
}

int cu_record_fanout_encode(const struct cu_fanout *fanout, uint32_t items_len, cu_buf *out)
{
	const struct cu_fanout_shape *before = NULL;
	uint64_t id_before = 0;
	int rc;

	if ((fanout->flags & ~(uint32_t)(CU_FANOUT_COMMIT | CU_FANOUT_ABORT)) != 0 ||
	    ((fanout->flags & CU_FANOUT_ABORT) && (fanout->shapes_len > 0 || (fanout->flags & CU_FANOUT_COMMIT))))
		return CU_EINVAL;
	cu_buf_putc(out, CU_RECORD_FANOUT);
	cu_buf_putc(out, (char)fanout->flags);
	cu_buf_put_le64(out, fanout->tx);
	cu_buf_put_le64(out, fanout->end_lsn);
	cu_buf_put_le32(out, fanout->xid);
	cu_buf_put_varint(out, fanout->fragment);
	cu_buf_put_varint(out, items_len);
	cu_buf_put_varint(out, fanout->shapes_len);
	for (uint32_t i = 0; i < fanout->shapes_len; i++) {
		const struct cu_fanout_shape *shape = &fanout->shapes[i];
		bool same = before && runs_same(fanout, before, shape);

		if (shape->shape_id >= CU_SHAPE_ID_LIMIT ||
		    (uint64_t)shape->runs_at + shape->runs_len > fanout->runs_len)
			return CU_EINVAL;
		cu_buf_put_varint(out, zigzag((int64_t)(shape->shape_id - id_before)) << 1 | same);
		if (!same) {
			rc = runs_encode(fanout, shape, items_len, out);
			if (rc < 0)
				return rc;
		}
		id_before = shape->shape_id;
		before = shape;
	}
	if (cu_buf_failed(out))
		return CU_ENOMEM;
	return out->len > CU_CHANGELOG_RECORD_MAX ? CU_ETOOBIG : 0;
}

/* Doubles a list; what it may grow to is bounded by the record's bytes. */
static int list_grow(void **list, size_t *cap, size_t len, size_t size)
{
	size_t cap_new = *cap ? *cap * 2 : 64;
	void *list_new;

	if (len < *cap)
		return 0;
	list_new = cu_try_realloc(*list, cap_new * size);
	if (!list_new)
		return CU_ENOMEM;
	*list = list_new;
	*cap = cap_new;
	return 0;
}

static int runs_decode(cu_cursor *body, struct cu_fanout_decoded *decoded, struct cu_fanout_shape *ret_shape)
{
	struct cu_fanout *fanout = &decoded->fanout;
	uint64_t runs = cu_cursor_varint(body);
	uint64_t end = 0;

	/* A run is two bytes at least, so a count beyond that lies. */
	if (body->failed || runs > cu_cursor_left(body) / 2)
		return CU_ECORRUPT;
	ret_shape->runs_at = fanout->runs_len;
	ret_shape->runs_len = (uint32_t)runs;
	for (uint64_t i = 0; i < runs; i++) {
		uint64_t gap = cu_cursor_varint(body);
		uint64_t len = cu_cursor_varint(body);

		if (body->failed || gap > fanout->items_len || len == 0 || len > fanout->items_len ||
		    end + gap + len > fanout->items_len)
			return CU_ECORRUPT;
		if (list_grow((void **)&decoded->runs, &decoded->runs_cap, fanout->runs_len, sizeof *decoded->runs) < 0)
			return CU_ENOMEM;
		decoded->runs[fanout->runs_len++] = (struct cu_fanout_run){ (uint32_t)(end + gap), (uint32_t)len };
		end += gap + len;
	}
	return 0;
}

static int shape_decode(cu_cursor *body, struct cu_fanout_decoded *decoded)
{
	struct cu_fanout *fanout = &decoded->fanout;
	const struct cu_fanout_shape *before = fanout->shapes_len ? &decoded->shapes[fanout->shapes_len - 1] : NULL;
	uint64_t head = cu_cursor_varint(body);
	struct cu_fanout_shape shape = { 0 };
	int rc;

	shape.shape_id = (before ? before->shape_id : 0) + (uint64_t)unzigzag(head >> 1);
	if (body->failed || shape.shape_id >= CU_SHAPE_ID_LIMIT || ((head & 1) && !before))
		return CU_ECORRUPT;
	if (head & 1) {
		shape.runs_at = before->runs_at;
		shape.runs_len = before->runs_len;
	} else {
		rc = runs_decode(body, decoded, &shape);
		if (rc < 0)
			return rc;
	}
	if (list_grow((void **)&decoded->shapes, &decoded->shapes_cap, fanout->shapes_len, sizeof *decoded->shapes) < 0)
		return CU_ENOMEM;
	decoded->shapes[fanout->shapes_len++] = shape;
	return 0;
}

int cu_record_fanout_decode(cu_cursor *body, struct cu_fanout_decoded *ret_decoded)
{
	struct cu_fanout *fanout = &ret_decoded->fanout;
	uint64_t fragment, items, shapes;
	int rc;

	memset(fanout, 0, sizeof *fanout);
	fanout->flags = cu_cursor_u8(body);
	fanout->tx = cu_cursor_le64(body);
	fanout->end_lsn = cu_cursor_le64(body);
	fanout->xid = cu_cursor_le32(body);
	fragment = cu_cursor_varint(body);
	items = cu_cursor_varint(body);
	shapes = cu_cursor_varint(body);
	if (body->failed || fragment > UINT32_MAX || items > CU_FRAGMENT_ITEMS_MAX || shapes > cu_cursor_left(body))
		return CU_ECORRUPT;
	if (fanout->flags > CU_FANOUT_ABORT || (fanout->flags == CU_FANOUT_ABORT && shapes > 0))
		return CU_ECORRUPT;
	fanout->fragment = (uint32_t)fragment;
	fanout->items_len = (uint32_t)items;
	while (shapes-- > 0) {
		rc = shape_decode(body, ret_decoded);
		if (rc < 0)
			return rc;
	}
	if (cu_cursor_left(body) > 0)
		return CU_ECORRUPT;
	fanout->shapes = ret_decoded->shapes;
	fanout->runs = ret_decoded->runs;
	return 0;
}

void cu_fanout_decoded_fini(struct cu_fanout_decoded *decoded)
{
	free(decoded->shapes);
	free(decoded->runs);
	memset(decoded, 0, sizeof *decoded);
}
