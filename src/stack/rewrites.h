/* rewrites.h: tables whose values changed without a word in the stream: ALTER COLUMN … TYPE … USING, also to the type that the
 * column has already. The table gets a new file then, and the column a new row in the catalog; VACUUM FULL and TRUNCATE
 * change only the first of these, SET NOT NULL only the second.
 *
 * A look notes both; the next tells which columns were rewritten since. A table that was not noted before is taken as it is.
 * Partitioned tables have no file, and are not told of.
 *
 * Threads: one at a time.
 */
#ifndef CU_STACK_REWRITES_H
#define CU_STACK_REWRITES_H

#include "base/buf.h"

typedef struct cu_rewrites cu_rewrites;

cu_rewrites *cu_rewrites_new(void);
void cu_rewrites_free(cu_rewrites **rewrites); /* NULL is fine */

/* Two SQL expressions, with a comma between them: file and columns of the table whose row is c. */
extern const char cu_rewrites_sql[];

/* A look: tables in the order of their oids, then the end. What was noted of a table before stays until then. */
void cu_rewrites_note(cu_rewrites *rewrites, uint32_t oid, const char *file, const char *columns);
/* Has this look noted another file of the table than the look before? */
bool cu_rewrites_has_table(const cu_rewrites *rewrites, uint32_t oid);
/* … and was this column rewritten since? Not for who knows it with its new type already: that came after it. */
bool cu_rewrites_has_column(const cu_rewrites *rewrites, uint32_t oid, const char *column, uint32_t type_oid,
			    int32_t typmod);
/* Have columns of the table come, gone or changed since the look before, or was it not noted there? */
bool cu_rewrites_may_have_other_columns(const cu_rewrites *rewrites, uint32_t oid);
bool cu_rewrites_end(cu_rewrites *rewrites);    /* was it another one than before? */
void cu_rewrites_cancel(cu_rewrites *rewrites); /* instead: the next look is compared with the one before this */

/* Appends the last look that has ended; and the last look, as it was appended. What is not that is none. */
void cu_rewrites_put(const cu_rewrites *rewrites, cu_buf *bytes);
void cu_rewrites_restore(cu_rewrites *rewrites, const void *bytes, size_t len);

#endif
