/* shape.h: one shape: its frozen definition, its snapshot's chunks and its tail.
 *
 * Life:
 *	CREATING ──snapshot complete──► LIVE ──► REMOVING ──durably gone──► GONE
 *	    └───────────(failed, or removed meanwhile)──────────▲
 *
 * Ownership: counted. The shape set holds one reference while the shape is in it; every reader, event and snapshot
 * in flight holds its own. The struct is visible to the modules that work on it; what may touch which field is said
 * at the group.
 *
 * Lock order: shape set → shape. Nothing is called with a shape's lock held.
 */
#ifndef CU_SHAPE_H
#define CU_SHAPE_H

#include "shape/definition.h"
#include "shape/snapshot_range.h"
#include "shape/tail.h"

#include <pthread.h>
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

struct cu_snapshot_chunk {
	uint64_t bytes;
	uint32_t crc;
};

#define CU_SHAPE_MAGIC 0x5ba9e001u

typedef struct cu_shape {
	unsigned magic;
	atomic_uint refs;

	/* set once */
	uint64_t id; /* names it on disk and in fan-out records; never reused */
	char *handle;
	cu_definition *def;

	/* any thread, under lock */
	pthread_mutex_t lock;
	enum cu_shape_state state;
	bool durable; /* its record is committed: the handle may be given out */
	bool range_known;
	cu_snapshot_range range; /* immutable once range_known */
	struct cu_snapshot_chunk *chunks;
	size_t chunks_len;      /* complete ones, ready to be read */
	bool snapshot_complete; /* no further chunk will come */
	cu_tail tail;
	struct cu_shape_failure failure; /* message NULL: none */

	/* any thread, atomic: loops that have (or had) readers waiting for it. Pairs: a reader sets its bit, then looks
	 * at the state under the lock; whoever changes the state does so under the lock, then reads the bits. */
	_Atomic uint64_t waiting_loops;

	/* collector thread only */
	uint32_t event;              /* index + 1 of its event in the fragment being put together; 0: none */
	bool touched;                /* has items in the open transaction */
	bool dirty;                  /* has committed runs that are not shown yet */
	bool doomed;                 /* is removed when the fragment being put together goes through */
	struct cu_shape_view *views; /* how each relation's columns map to the definition's */

	/* shape set only */
	struct cu_shape *next_same_hash_handle, *next_same_hash_key;
} cu_shape;

/* Takes the definition. handle is copied. refs = 1. */
cu_shape *cu_shape_new(uint64_t id, const char *handle, cu_definition *def);
cu_shape *cu_shape_ref(cu_shape *shape);
void cu_shape_unref(cu_shape **shape);

/* Does the shape's snapshot already hold what this transaction did? false while the snapshot is not known. Takes the
 * lock. */
bool cu_shape_holds(cu_shape *shape, uint32_t xid, uint64_t tx);

/* What its readers need to decide, read in one go under the lock. */
struct cu_shape_status {
	enum cu_shape_state state;
	bool durable;
	bool snapshot_complete;
	size_t chunks_len;
	cu_offset latest; /* 0_inf when nothing has changed since the snapshot */
};
struct cu_shape_status cu_shape_status(cu_shape *shape);

#endif
