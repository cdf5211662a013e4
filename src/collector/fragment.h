/* fragment.h: the part of a transaction that is being put together: copies of its rows, and who is touched by them.
 *
 * Threads: collector only; consumers see events and touches while publish runs.
 * Errors: CU_ENOMEM; the fragment is then incomplete and its transaction cannot go on.
 */
#ifndef CU_FRAGMENT_H
#define CU_FRAGMENT_H

#include "base/arena.h"
#include "shape/consumer.h"
#include "shape/view.h"

/* Where an item went: one per item of the fragment, in the order of the change log, so its index is its ordinal. Touches of
 * several events may share it. */
struct cu_placed {
	uint64_t pos;
	uint64_t op;
	uint32_t len;
};

typedef struct cu_fragment {
	cu_arena arena;
	struct cu_touch *touches;
	size_t touches_len, touches_cap;
	struct cu_event *events;
	size_t events_len, events_cap;
	struct cu_placed *placed;
	size_t placed_len, placed_cap;
	size_t changes; /* of the stream, routed or not */
	size_t bytes;   /* likewise */
} cu_fragment;

void cu_fragment_init(cu_fragment *fragment);
void cu_fragment_fini(cu_fragment *fragment);
/* Forgets everything and gives the shapes back. */
void cu_fragment_reset(cu_fragment *fragment);
bool cu_fragment_is_full(const cu_fragment *fragment);

/* Copies a row, in whatever order; its values' bytes lie in [wire, wire + wire_len), which has been copied to `copy`. NULL: no memory. */
struct cu_pg_value *cu_fragment_row(cu_fragment *fragment, const struct cu_pg_value *row, unsigned len,
				    const uint8_t *wire, const char *copy);
/* This shape is touched by this change. Rows are in its definition's order and in the fragment; NULL: there is none that it
 * holds. */
int cu_fragment_touch(cu_fragment *fragment, cu_shape *shape, uint64_t tx, uint32_t xid, uint64_t op,
		      const struct cu_pg_value *old_row, const struct cu_pg_value *new_row);
/* The next item; returns its ordinal. */
uint32_t cu_fragment_place(cu_fragment *fragment, uint64_t pos, uint64_t op, uint32_t len);

#endif
