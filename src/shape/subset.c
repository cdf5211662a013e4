/* subset.c: one query's rows as items. */
#include "shape/subset.h"

#include "base/clock.h"
#include "base/limits.h"
#include "pg/copy_out.h"
#include "pg/copy_row.h"

#include <stdlib.h>
#include <sys/random.h>

struct reading {
	const cu_definition *def;
	struct cu_copy_row row;
	uint32_t mark;
	bool any;
	cu_spool *out;
};

void cu_subset_free(struct cu_subset **subset)
{
	if (!*subset)
		return;
	free((*subset)->where);
	free((*subset)->order_by);
	free(*subset);
	*subset = NULL;
}

void cu_subset_put_query(const cu_definition *def, const char *shape_where, const struct cu_subset *subset, cu_buf *out)
{
	cu_buf where = CU_BUF_INIT;

	if (shape_where && subset->where)
		cu_buf_printf(&where, "(%s) AND (%s)", shape_where, subset->where);
	else if (shape_where || subset->where)
		cu_buf_puts(&where, shape_where ? shape_where : subset->where);
	cu_definition_put_query(def, where.len ? cu_buf_str(&where) : NULL, out);
	if (subset->order_by) {
		cu_buf_puts(out, " ORDER BY ");
		cu_buf_puts(out, subset->order_by);
	}
	if (subset->limit != CU_SUBSET_ALL)
		cu_buf_printf(out, " LIMIT %" PRId64, subset->limit);
	if (subset->offset)
		cu_buf_printf(out, " OFFSET %" PRId64, subset->offset);
	if (cu_buf_failed(&where))
		out->failed = true;
	cu_buf_fini(&where);
}

/* A number below 2^31 that tells this snapshot's rows from another's; nobody's to guess, for two servers behind one address. */
static uint32_t new_mark(void)
{
	uint32_t mark;

	CU_ASSERT(getrandom(&mark, sizeof mark, 0) == (ssize_t)sizeof mark);
	return mark & INT32_MAX;
}

static void put_metadata(const cu_snapshot_range *range, uint32_t mark, cu_buf *out)
{
	cu_buf_printf(out,
		      "{\"metadata\":{\"database_lsn\":\"%" PRIu64 "\",\"snapshot_mark\":%" PRIu32 ",\"xip_list\":[",
		      range->lsn, mark);
	for (size_t i = 0; i < range->xip_len; i++)
		cu_buf_printf(out, "%s\"%" PRIu64 "\"", i ? "," : "", range->xip[i]);
	cu_buf_printf(out, "],\"xmax\":\"%" PRIu64 "\",\"xmin\":\"%" PRIu64 "\"}, \"data\": [", range->xmax,
		      range->xmin);
}

static int read_line(void *ctx, const char *line, size_t len)
{
	struct reading *reading = ctx;
	int rc = cu_copy_row_parse(&reading->row, line, len);

	if (rc < 0)
		return rc;
	if (reading->any)
		cu_buf_putc(&reading->out->memory, ',');
	reading->any = true;
	cu_item_put_subset(&reading->out->memory, reading->def->layout, reading->row.values, reading->mark);
	return cu_spool_put(reading->out);
}

int cu_subset_read(cu_snapshots *snapshots, PGconn *conn, const cu_definition *def, const char *shape_where,
		   const struct cu_subset *subset, cu_spool *out, struct cu_pg_error *err)
{
	struct reading reading = { .def = def, .mark = new_mark(), .out = out };
	unsigned timeout_ms = subset->timeout_ms ? subset->timeout_ms : CU_SUBSET_QUERY_MS;
	cu_snapshot_range range = { 0 };
	cu_buf sql = CU_BUF_INIT;
	uint64_t began;
	int rc;

	cu_copy_row_init(&reading.row, def->columns_len);
	rc = cu_snapshots_begin(snapshots, conn, def, &range, err);
	if (rc < 0)
		goto out;
	put_metadata(&range, reading.mark, &out->memory);
	/* As for a shape's snapshot: what our SQL cannot name is Postgres' own. Unlike one, which is made once for all its readers,
	 * a subset is any client's query, and every request's again: it may not hold a connection for as long as it likes. */
	cu_buf_printf(&sql, "SET LOCAL statement_timeout = '%ums'; SET LOCAL search_path = pg_catalog; COPY (",
		      timeout_ms);
	cu_subset_put_query(def, shape_where, subset, &sql);
	cu_buf_puts(&sql, ") TO STDOUT");
	began = cu_now_ms();
	rc = cu_buf_failed(&sql) ? CU_ENOMEM : cu_pg_copy_out(conn, cu_buf_str(&sql), NULL, read_line, &reading, err);
	/* By the clock: the server's words are in its own language, and an administrator's cancel has the same code. */
	if (rc == CU_EPG && err->kind == CU_PG_CANCELED && cu_now_ms() - began >= timeout_ms)
		rc = cu_pg_error_set(err, CU_EPG, CU_PG_CANCELED, "57014",
				     "its query took longer than %u ms. See that it can use an index, or ask for fewer "
				     "rows at a time",
				     timeout_ms);
	if (rc < 0)
		goto out;
	cu_buf_puts(&out->memory, "]}");
	rc = cu_spool_finish(out);
	/* Nothing was written: whatever becomes of the transaction, the rows are good. */
	if (rc == 0 && cu_pg_exec(conn, "COMMIT", NULL, err) < 0)
		cu_pg_error_clear(err);
out:
	cu_copy_row_fini(&reading.row);
	cu_snapshot_range_fini(&range);
	cu_buf_fini(&sql);
	return rc;
}
