/* shape.c: the shape object. */
#include "shape/shape.h"

#include <pthread.h>
#include <stdlib.h>

#define STRIPES 256

static pthread_mutex_t stripes[STRIPES] = { [0 ... STRIPES - 1] = PTHREAD_MUTEX_INITIALIZER };

void cu_shape_lock(const cu_shape *shape)
{
	pthread_mutex_lock(&stripes[shape->id % STRIPES]);
}

void cu_shape_unlock(const cu_shape *shape)
{
	pthread_mutex_unlock(&stripes[shape->id % STRIPES]);
}

cu_shape *cu_shape_new(uint64_t id, const char *handle, cu_definition *def, cu_expr *where)
{
	size_t size = strlen(handle) + 1;
	cu_shape *shape = cu_xzalloc(sizeof *shape + size);

	shape->magic = CU_SHAPE_MAGIC;
	atomic_init(&shape->refs, 1);
	shape->id = id;
	shape->def = def;
	shape->route.where = where;
	memcpy(shape->handle, handle, size);
	return shape;
}

cu_shape *cu_shape_ref(cu_shape *shape)
{
	CU_ASSERT(shape->magic == CU_SHAPE_MAGIC);
	atomic_fetch_add_explicit(&shape->refs, 1, memory_order_relaxed);
	return shape;
}

void cu_shape_unref(cu_shape **ref)
{
	cu_shape *shape = *ref;

	if (!shape)
		return;
	*ref = NULL;
	CU_ASSERT(shape->magic == CU_SHAPE_MAGIC);
	if (atomic_fetch_sub_explicit(&shape->refs, 1, memory_order_acq_rel) != 1)
		return;
	shape->magic = 0;
	if (shape->range)
		cu_snapshot_range_fini(shape->range);
	free(shape->range);
	if (shape->tail)
		cu_tail_fini(shape->tail);
	free(shape->tail);
	if (shape->failure)
		free(shape->failure->message);
	free(shape->failure);
	cu_expr_unref(&shape->route.where);
	cu_definition_unref(&shape->def);
	free(shape);
}

int cu_shape_append(cu_shape *shape, const struct cu_tail_run *run)
{
	if (!shape->tail) {
		shape->tail = cu_try_zalloc(sizeof *shape->tail);
		if (!shape->tail)
			return CU_ENOMEM;
	}
	return cu_tail_append(shape->tail, run);
}

const cu_tail *cu_shape_tail(const cu_shape *shape)
{
	static const cu_tail empty;

	return shape->tail ? shape->tail : &empty;
}

void cu_shape_set_failure(cu_shape *shape, const struct cu_shape_failure *failure)
{
	CU_ASSERT(!shape->failure);
	shape->failure = cu_xmemdup(failure, sizeof *failure);
}

bool cu_shape_holds(const cu_shape *shape, uint32_t xid, uint64_t tx)
{
	bool holds;

	cu_shape_lock(shape);
	holds = shape->range && cu_snapshot_range_holds(shape->range, xid, tx);
	cu_shape_unlock(shape);
	return holds;
}

struct cu_shape_status cu_shape_status(const cu_shape *shape)
{
	struct cu_shape_status status;

	cu_shape_lock(shape);
	status = (struct cu_shape_status){
		.state = shape->state,
		.durable = shape->durable,
		.snapshot_complete = shape->snapshot_complete,
		.chunks_len = shape->chunks_len,
		.latest = cu_tail_latest(cu_shape_tail(shape)),
	};
	cu_shape_unlock(shape);
	return status;
}
