/* shape_set.h: the shapes of a stack: by definition and where clause, by handle, by id; how they come and go.
 *
 * A definition and a where clause have at most one shape at a time. Durable before anyone is told: a shape's handle is given out only once
 * its record is committed (shape->durable), and readers of a removed shape learn of it only once its removal is
 * (CU_SHAPE_GONE). In between it is CU_SHAPE_REMOVING and its readers wait.
 *
 * Threads: any. Lock order: set → shape; callbacks are called without either lock, on the calling thread or on the
 * metadata's writer thread, and must not wait.
 */
#ifndef CU_SHAPE_SET_H
#define CU_SHAPE_SET_H

#include "shape/shape.h"
#include "store/store.h"

typedef struct cu_shape_set cu_shape_set;

struct cu_shape_set_opts {
	cu_store *store;      /* borrowed; may be set later with cu_shape_set_end_restore() */
	uint64_t chunk_bytes; /* size at which an answer ends */
	/* A new shape: take its snapshot. Borrowed; keep a reference. */
	void (*create)(void *ctx, cu_shape *shape);
	/* A shape is being removed: out of the router and the registry with it. */
	void (*forget)(void *ctx, cu_shape *shape);
	/* Something a waiting reader of this shape wants to look at happened. */
	void (*wake)(void *ctx, uint64_t shape_id, uint64_t loops);
	void *ctx;
};

cu_shape_set *cu_shape_set_new(const struct cu_shape_set_opts *opts);
void cu_shape_set_free(cu_shape_set **set); /* drops its references; nothing may be under way */
/* The end of the restoring, and of a replay after it; the store is used from now on (borrowed). lsn: nothing before it will
 * come again. Definitions that no shape has are removed from the store. */
void cu_shape_set_end_restore(cu_shape_set *set, cu_store *store, uint64_t lsn);
uint64_t cu_shape_set_chunk_bytes(const cu_shape_set *set);
size_t cu_shape_set_len(cu_shape_set *set);

/* Start-up: definitions first, then the shapes that have them, as metadata gives them, then cu_shape_set_end_restore().
 * CU_ECORRUPT: a definition, a snapshot cannot be read or is not there; the caller removes the shape by id. */
int cu_shape_set_restore_definition(cu_shape_set *set, uint64_t id, const void *body, size_t len);
void cu_shape_set_expect(cu_shape_set *set, size_t len); /* so many will be restored: takes no long pauses for room */
int cu_shape_set_restore(cu_shape_set *set, const struct cu_shape_row *row);
/* After the shapes, in order of offsets. CU_ENOTFOUND: no such shape. CU_ECORRUPT: the shape has to go. */
int cu_shape_set_restore_log_chunk(cu_shape_set *set, const struct cu_log_chunk_row *row);

/* Return a reference, or NULL. by_handle finds shapes that are being removed as well. */
cu_shape *cu_shape_set_by_handle(cu_shape_set *set, const char *handle);
cu_shape *cu_shape_set_by_id(cu_shape_set *set, uint64_t id);
/* The set's own definition that equals this one, which is taken. Returns a reference, to be given to get_or_create or
 * back with leave: until then the set keeps it. Where clauses are parsed in its scope. */
cu_definition *cu_shape_set_enter_definition(cu_shape_set *set, cu_definition *def);
void cu_shape_set_leave_definition(cu_shape_set *set, cu_definition **def);
/* The shape of this definition (entered) and where clause (NULL: none); made, stored and given to `create` when there is
 * none. Takes both. Returns a reference; NULL: no memory for the clause. */
cu_shape *cu_shape_set_get_or_create(cu_shape_set *set, cu_definition *def, cu_expr *where);
/* The definition that matches what a request names, without the catalog: entered, or NULL. */
cu_definition *cu_shape_set_match(cu_shape_set *set, const char *schema, const char *name,
				  const struct cu_definition_request *request);
/* The shape of an entered definition and a where clause (borrowed, NULL: none), if there is one: a reference, or NULL. */
cu_shape *cu_shape_set_find(cu_shape_set *set, const cu_definition *def, const cu_expr *where);

/* Removes a shape: idempotent, does not wait. why: for the log. failure: what its first readers are told instead of
 * 409; NULL for none, else taken (its message is freed by the shape). */
void cu_shape_set_remove(cu_shape_set *set, cu_shape *shape, const char *why, struct cu_shape_failure *failure);
void cu_shape_set_remove_all(cu_shape_set *set, const char *why);

/* Asks again for the removals that could not be stored (the disk). Returns how many are not durable yet; until that is 0
 * no checkpoint may be made: it would cover events that such a shape missed, and a restart would bring it back. */
size_t cu_shape_set_retry_removals(cu_shape_set *set);
/* How many there are of those: shapes that are CU_SHAPE_GONE and would come back in a crash. Counted before a shape is gone. */
size_t cu_shape_set_unremoved(cu_shape_set *set);

/* Wakes the readers that wait for this shape. */
void cu_shape_set_wake(cu_shape_set *set, cu_shape *shape);

/* The shape is live: its snapshot's range is kept for as long as a transaction may come that it holds … */
void cu_shape_set_keep_range(cu_shape_set *set, cu_shape *shape);
/* … that is, until the stream has passed its LSN: nothing before this one will come again. */
void cu_shape_set_drop_ranges(cu_shape_set *set, uint64_t lsn);

/* Every shape that is there has this id or a smaller one; those that are made from now on have larger ones. */
uint64_t cu_shape_set_last_id(cu_shape_set *set);

/* The definitions that shapes have: references, and the list is the caller's to free. Returns how many. */
size_t cu_shape_set_definitions(cu_shape_set *set, cu_definition ***ret_list);
/* Calls back for each shape of a definition, with a reference held. O(all shapes): for what happens to a table, not to a
 * row. */
void cu_shape_set_each_of(cu_shape_set *set, const cu_definition *def, void (*each)(void *ctx, cu_shape *shape),
			  void *ctx);
/* Calls back for each shape, with a reference held. */
void cu_shape_set_each(cu_shape_set *set, void (*each)(void *ctx, cu_shape *shape), void *ctx);

#endif
