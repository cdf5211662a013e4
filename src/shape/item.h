/* item.h: writes shape log items (PROTOCOL.md, "Items") from rows.
 *
 * A layout is what a shape froze about its table: names, key, selected columns. Everything that does not depend on
 * the row is escaped once, when the layout is built. Rows are arrays of cu_pg_value in the table's column order, one
 * per column of the layout (the caller has compared the counts); columns that are neither selected nor part of
 * the key are never looked at.
 *
 * Partitions: the relation in key and headers is the one the layout was built with, so a shape on a partitioned
 * table freezes its root and rows of every leaf carry the root's name.
 *
 * Threads: a layout is immutable, any thread may use it; a cu_buf belongs to one thread at a time.
 * Errors: the writers only append; out of memory stays in the buffer (cu_buf_failed()).
 *
 * Unchanged TOAST values ('u'): a writer that is given both rows takes them from the old one. One that is left
 * unresolved, which needs a table without REPLICA IDENTITY FULL, is left out of value; in a key it reads as null. A
 * shape must not be fed such changes: see cu_pgoutput_change.old_kind.
 */
#ifndef CU_SHAPE_ITEM_H
#define CU_SHAPE_ITEM_H

#include "base/buf.h"
#include "pg/pgoutput.h"

typedef struct cu_item_layout cu_item_layout;

struct cu_item_column_spec {
	const char *name;
	bool selected;
	int pk_index; /* position in the primary key, from 0 without gaps; -1 = not in it */
};

struct cu_item_layout_spec {
	const char *schema;
	const char *table;
	unsigned columns_n;                        /* <= CU_COLUMNS_MAX */
	const struct cu_item_column_spec *columns; /* in the order of the rows */
};

/* Copies what it needs. No column with a pk_index: the key is all columns, sorted by name (byte order).
 * CU_EINVAL for too many columns or key positions that are doubled, negative (other than -1) or have gaps. */
int cu_item_layout_new(const struct cu_item_layout_spec *spec, cu_item_layout **ret_layout);
void cu_item_layout_free(cu_item_layout **layout); /* NULL is fine */

unsigned cu_item_layout_columns_n(const cu_item_layout *layout);
bool cu_item_layout_has_pk(const cu_item_layout *layout);
size_t cu_item_layout_bytes(const cu_item_layout *layout); /* memory it takes, for accounting */

/* The key, raw: "schema"."table"/"1". */
void cu_item_put_key(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row);
/* The key as a JSON string, with its quotes. */
void cu_item_put_key_json(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row);

/* A complete snapshot item: {"key":…,"value":{…},"headers":{"operation":"insert","relation":[…]}}. */
void cu_item_put_snapshot(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row);

/* The same of a subset snapshot: with "snapshot_mark" as the last of its headers. */
void cu_item_put_subset(cu_buf *out, const cu_item_layout *layout, const struct cu_pg_value *row, uint32_t mark);

struct cu_item_op {
	uint64_t lsn; /* the transaction's final LSN */
	uint64_t op_position;
	uint64_t txid;
	bool replica_full;
};

/* These write an item up to, but excluding, the two closing braces, so that CU_ITEM_END or CU_ITEM_END_LAST is
 * appended on the way out. */
#define CU_ITEM_END "}}"
#define CU_ITEM_END_LAST ",\"last\":true}}"

/* All selected columns. _key_change: the second half of a key change, with key_change_from = old_row's
 * key. */
void cu_item_put_insert(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			const struct cu_pg_value *new_row);
void cu_item_put_insert_key_change(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
				   const struct cu_pg_value *old_row, const struct cu_pg_value *new_row);
/* An update that brings the row into the where clause is an insert of the new row. */
void cu_item_put_move_in(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			 const struct cu_pg_value *old_row, const struct cu_pg_value *new_row);

/* Selected key columns and selected changed columns; replica_full: all selected columns, and old_value with the old
 * values of the changed ones. */
void cu_item_put_update(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			const struct cu_pg_value *old_row, const struct cu_pg_value *new_row);

/* Selected key columns; replica_full or no primary key: all selected columns. Also for a row that leaves the
 * where clause. _key_change: the first half of a key change, with key_change_to = new_row's key. */
void cu_item_put_delete(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
			const struct cu_pg_value *old_row);
void cu_item_put_delete_key_change(cu_buf *out, const cu_item_layout *layout, const struct cu_item_op *op,
				   const struct cu_pg_value *old_row, const struct cu_pg_value *new_row);

/* Does any selected column differ? An update where none does yields no item. Without an old row: yes. */
bool cu_item_row_changed(const cu_item_layout *layout, const struct cu_pg_value *old_row,
			 const struct cu_pg_value *new_row);
/* Does the key differ? Then the update takes two items. */
bool cu_item_key_changed(const cu_item_layout *layout, const struct cu_pg_value *old_row,
			 const struct cu_pg_value *new_row);

#endif
