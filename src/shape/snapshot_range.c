/* snapshot_range.c: pg_snapshot as data. */
#include "shape/snapshot_range.h"

#include <stdlib.h>

static const char *take_u64(const char *at, uint64_t *ret_value)
{
	char *end;

	if (*at < '0' || *at > '9')
		return NULL;
	errno = 0;
	*ret_value = strtoull(at, &end, 10);
	return errno ? NULL : end;
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int cu_snapshot_range_parse(const char *text, cu_snapshot_range *ret_range)
{
	cu_snapshot_range range = { 0 };
	size_t cap;
	int rc = CU_ECORRUPT;

	text = take_u64(text, &range.xmin);
	if (!text || *text++ != ':')
		goto out;
	text = take_u64(text, &range.xmax);
	if (!text || *text++ != ':' || range.xmin > range.xmax)
		goto out;
	cap = *text ? 1 : 0;
	for (const char *p = text; *p; p++)
		cap += *p == ',';
	/* Most have none: there may be a million shapes, and an empty list would leave a hole beside each. */
	if (cap)
		range.xip = cu_try_malloc(cap * sizeof *range.xip);
	if (cap && !range.xip) {
		rc = CU_ENOMEM;
		goto out;
	}
	while (*text) {
		text = take_u64(text, &range.xip[range.xip_len]);
		if (!text)
			goto out;
		range.xip_len++;
		if (*text == ',' && text[1])
			text++;
		else if (*text)
			goto out;
	}
	if (cap)
		qsort(range.xip, range.xip_len, sizeof *range.xip, cmp_u64);
	*ret_range = range;
	return 0;
out:
	cu_snapshot_range_fini(&range);
	return rc;
}

void cu_snapshot_range_fini(cu_snapshot_range *range)
{
	free(range->xip);
	*range = (cu_snapshot_range){ 0 };
}

uint64_t cu_snapshot_range_widen(const cu_snapshot_range *range, uint32_t xid)
{
	int32_t distance = (int32_t)(xid - (uint32_t)range->xmax);

	return range->xmax + (uint64_t)(int64_t)distance;
}

bool cu_snapshot_range_holds_xid(const cu_snapshot_range *range, uint32_t xid)
{
	uint64_t full = cu_snapshot_range_widen(range, xid);

	if (full < range->xmin)
		return true;
	if (full >= range->xmax)
		return false;
	return !range->xip_len || !bsearch(&full, range->xip, range->xip_len, sizeof full, cmp_u64);
}

void cu_snapshot_range_put_message(const cu_snapshot_range *range, cu_buf *out)
{
	cu_buf_printf(out,
		      "{\"headers\":{\"control\":\"snapshot-end\",\"xmin\":\"%" PRIu64 "\",\"xmax\":\"%" PRIu64
		      "\",\"xip_list\":[",
		      range->xmin, range->xmax);
	for (size_t i = 0; i < range->xip_len; i++)
		cu_buf_printf(out, "%s\"%" PRIu64 "\"", i ? "," : "", range->xip[i]);
	cu_buf_puts(out, "]}}");
}

void cu_snapshot_range_put_xip(const cu_snapshot_range *range, cu_buf *out)
{
	for (size_t i = 0; i < range->xip_len; i++)
		cu_buf_printf(out, "%s%" PRIu64, i ? "," : "", range->xip[i]);
}

void cu_snapshot_range_put_text(const cu_snapshot_range *range, cu_buf *out)
{
	cu_buf_printf(out, "%" PRIu64 ":%" PRIu64 ":", range->xmin, range->xmax);
	cu_snapshot_range_put_xip(range, out);
}
