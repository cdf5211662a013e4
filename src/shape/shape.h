/* shape.h: one shape: its frozen definition, its snapshot and its log.
 *
 * Life:
 *	CREATING ──snapshot complete──► LIVE ──► REMOVING ──durably gone──► GONE
 *	    └───────────(failed, or removed meanwhile)──────────▲
 *
 * Ownership: counted. The shape set holds one reference while the shape is in it; every reader, event and snapshot
 * in flight holds its own. The struct is visible to the modules that work on it; what may touch which field is said
 * at the group.
 *
 * Memory: there may be a million of them, and most are never touched: some 200 bytes with handle and where clause. What only a few need at a
 * time (a log, a snapshot's range, a failure) is beside it and NULL otherwise; locks are shared by stripes.
 *
 * Lock order: shape set → shape. Nothing is called with a shape's lock held, no two shapes' locks are held at once.
 */
#ifndef CU_SHAPE_H
#define CU_SHAPE_H

#include "router/router.h"
#include "shape/definition.h"
#include "shape/snapshot_range.h"
#include "shape/shape_log.h"

#include <stdatomic.h>

enum cu_shape_state {
	CU_SHAPE_CREATING,
	CU_SHAPE_LIVE,
	CU_SHAPE_REMOVING, /* no longer served anew; its removal is not durable yet, so nobody is told */
	CU_SHAPE_GONE,     /* durably gone: 409, or the failure if it has one */
};

/* Why a shape could not be created: what its first readers are told. */
struct cu_shape_failure {
	int status;    /* HTTP: 400, 409, 500 or 503 */
	char *message; /* owned */
};

/* What matters only as long as a shape is young, or could not be made. */
struct cu_shape_birth {
	/* lsn 0 while it is not known, and again when no transaction that it holds can come any more. */
	cu_snapshot_range range;
	struct cu_shape_failure failure; /* status 0: none; written before the state, never changes */
	/* A small snapshot until metadata has it; owned. NULL: metadata has it, or the snapshot is in files. */
	char *small;
	size_t small_len;
};

#define CU_SHAPE_MAGIC 0x5ba9u

typedef struct cu_shape {
	uint16_t magic;

	/* collector thread only */
	bool touched : 1; /* has items in the open transaction */
	bool dirty : 1;   /* has committed runs that are not shown yet */
	bool doomed : 1;  /* is removed when the fragment being put together goes through */
	uint8_t : 0;      /* what others write is another byte */

	/* any thread, under cu_shape_lock() */
	uint8_t state : 2;          /* enum cu_shape_state */
	bool durable : 1;           /* its record is committed: the handle may be given out */
	bool snapshot_complete : 1; /* no further chunk will come */
	bool snapshot_small : 1;    /* its one chunk is not a file: cu_shape_put_small(), else in metadata */
	bool checking : 1;          /* its chunks are being checked */

	atomic_uint refs;

	/* set once */
	uint64_t id; /* names it on disk and in fan-out records; never reused */
	cu_definition *def;
	cu_route route; /* the router's, but for route.where: the where clause in canonical SQL, NULL: none */

	/* any thread, under cu_shape_lock() */
	cu_shape_log *log; /* behind the snapshot; NULL while there is nothing in it. The collector makes it and
	                                 may look whether it has without the lock */
	struct cu_shape_birth *birth; /* NULL for most of its life */
	uint32_t chunks_len;          /* of the snapshot: complete ones, ready to be read */
	uint32_t chunks_good; /* … of these, the first ones that are known to be what was written (chunk_check.h) */

	/* collector thread only */
	uint32_t event; /* index + 1 of its event in the fragment being put together; 0: none */

	/* any thread, atomic: until when somebody reads it, on cu_shape_clock_s(): a reader that waits is reading */
	_Atomic uint32_t read_until_s;

	/* any thread, atomic; written under the lock: the range's lsn. A transaction that committed there or later is not
	 * held: soon that is every one, and nobody need take the lock to see it. */
	_Atomic uint64_t held_below;

	/* any thread, atomic: loops that have (or had) readers waiting for it. Pairs: a reader sets its bit, then looks
	 * at the state under the lock; whoever changes the state does so under the lock, then reads the bits. */
	_Atomic uint64_t waiting_loops;

	char handle[]; /* set once; behind it the where clause */
} cu_shape;

/* Takes the definition. handle and where (canonical SQL, NULL: none) are copied. refs = 1. */
cu_shape *cu_shape_new(uint64_t id, const char *handle, cu_definition *def, const char *where, size_t where_len);
static inline cu_shape *cu_shape_of_route(cu_route *route)
{
	return CU_CONTAINER_OF(route, cu_shape, route);
}
cu_shape *cu_shape_ref(cu_shape *shape);
void cu_shape_unref(cu_shape **shape);

/* Asks for the struct ahead of its use: a walk over thousands waits for the memory of each otherwise. */
static inline void cu_shape_prefetch(const cu_shape *shape)
{
	__builtin_prefetch(shape, 1);
	__builtin_prefetch((const char *)shape + 64, 1);
	__builtin_prefetch(shape->handle, 1);
}
#define CU_SHAPES_AHEAD 8u /* how far ahead, in a walk that does little with each */

void cu_shape_lock(const cu_shape *shape);
void cu_shape_unlock(const cu_shape *shape);

/* Seconds, monotonic, from a point long before this process: what was read before a restart has a place in it. */
uint32_t cu_shape_clock_s(void);
/* Somebody reads the shape, and will for wait_ms. Any thread; writes once a second at most. */
void cu_shape_mark_read(cu_shape *shape, uint64_t wait_ms);

/* Under the lock: a run of the open transaction. CU_ENOMEM: the shape has to go. */
int cu_shape_append(cu_shape *shape, const struct cu_tail_run *run);
/* Under the lock: the log to read from, be it empty. */
const cu_shape_log *cu_shape_log_of(const cu_shape *shape);
/* Under the lock: the log to write to, made if need be. NULL: no memory. */
cu_shape_log *cu_shape_make_log(cu_shape *shape);
/* Under the lock: the snapshot's range, NULL: not known, or not needed any more. */
static inline const cu_snapshot_range *cu_shape_range(const cu_shape *shape)
{
	return shape->birth && shape->birth->range.lsn ? &shape->birth->range : NULL;
}
/* Under the lock: which transactions its snapshot holds is decided, and it is not on its way out: what its tail shows stays. A
 * shape whose snapshot could not be recorded is CREATING for as long as the process lives. */
static inline bool cu_shape_is_settled(const cu_shape *shape)
{
	return shape->state <= CU_SHAPE_LIVE && shape->snapshot_complete;
}
/* Under the lock. Takes *range; what was there goes. Its lsn 0: it is not needed any more. */
void cu_shape_set_range(cu_shape *shape, cu_snapshot_range *range);
/* Under the lock. NULL: none. One that is there stays as it is until the shape is freed. */
static inline const struct cu_shape_failure *cu_shape_failure(const cu_shape *shape)
{
	return shape->birth && shape->birth->failure.status ? &shape->birth->failure : NULL;
}
/* Under the lock. Takes *failure; the first one counts. */
void cu_shape_set_failure(cu_shape *shape, struct cu_shape_failure *failure);

/* Under the lock, while the shape is being created: its snapshot is complete and small. Takes bytes. */
void cu_shape_set_small(cu_shape *shape, char *bytes, size_t len);
/* Under the lock: metadata has the small snapshot. */
void cu_shape_drop_small(cu_shape *shape);
/* Appends the small snapshot if it is still in memory. False: it is not. Takes the lock. */
bool cu_shape_put_small(const cu_shape *shape, cu_buf *out);

/* Under the lock: does the shape's snapshot already hold what this transaction did? false while the snapshot is not known. */
bool cu_shape_holds_locked(const cu_shape *shape, uint32_t xid, uint64_t tx);
/* The same from outside. Takes the lock only if the transaction is older than the snapshot: relaxed, because nothing else is
 * concluded from the lsn. A range that is set at this moment would be as late for somebody who had just held the lock. */
static inline bool cu_shape_holds(const cu_shape *shape, uint32_t xid, uint64_t tx)
{
	bool holds;

	if (tx >= atomic_load_explicit(&shape->held_below, memory_order_relaxed))
		return false;
	cu_shape_lock(shape);
	holds = cu_shape_holds_locked(shape, xid, tx);
	cu_shape_unlock(shape);
	return holds;
}

/* What its readers need to decide, read in one go under the lock. */
struct cu_shape_status {
	enum cu_shape_state state;
	bool durable;
	bool snapshot_complete;
	bool snapshot_small;
	size_t chunks_len;
	cu_offset latest; /* 0_inf when nothing has changed since the snapshot */
};
struct cu_shape_status cu_shape_status(const cu_shape *shape);

#endif
