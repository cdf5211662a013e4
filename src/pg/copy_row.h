/* copy_row.h: one line of COPY … TO STDOUT (text format) → row values.
 *
 * Threads: one at a time per cu_copy_row. Cost: one pass; a value is copied only when it holds an escape. The
 * values are borrowed: valid until the next parse of the same row, and while the line's bytes live.
 * Errors: CU_ECORRUPT (row->reason says why) for a wrong number of columns or an escape that COPY TO never
 * writes; CU_ENOMEM; CU_ETOOBIG for a line of 4 GiB or more.
 */
#ifndef CU_COPY_ROW_H
#define CU_COPY_ROW_H

#include "base/base.h"
#include "pg/pgoutput.h"

struct cu_copy_row {
	unsigned columns_n;         /* set by init */
	struct cu_pg_value *values; /* columns_n of them, after a successful parse */
	const char *reason;         /* static text for the last error */

	/* private: holds unescaped values */
	char *scratch;
	size_t scratch_cap;
};

/* columns_n <= CU_COLUMNS_MAX. A table may have no columns at all. */
void cu_copy_row_init(struct cu_copy_row *row, unsigned columns_n);
void cu_copy_row_fini(struct cu_copy_row *row);

/* The payload of one CopyData message: one line with its newline (tolerated: without). Borrows line. */
int cu_copy_row_parse(struct cu_copy_row *row, const char *line, size_t len);

#endif
