/* shape.c: the shape object. */
#include "shape/shape.h"

#include "shape/view.h"

#include <stdlib.h>

cu_shape *cu_shape_new(uint64_t id, const char *handle, cu_definition *def)
{
	cu_shape *shape = cu_xzalloc(sizeof *shape);

	shape->magic = CU_SHAPE_MAGIC;
	atomic_init(&shape->refs, 1);
	shape->id = id;
	shape->handle = cu_xstrdup(handle);
	shape->def = def;
	CU_ASSERT(pthread_mutex_init(&shape->lock, NULL) == 0);
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
	cu_shape_views_free(&shape->views);
	cu_snapshot_range_fini(&shape->range);
	cu_tail_fini(&shape->tail);
	free(shape->chunks);
	free(shape->failure.message);
	free(shape->handle);
	cu_definition_unref(&shape->def);
	pthread_mutex_destroy(&shape->lock);
	free(shape);
}

bool cu_shape_holds(cu_shape *shape, uint32_t xid, uint64_t tx)
{
	bool known;

	pthread_mutex_lock(&shape->lock);
	known = shape->range_known;
	pthread_mutex_unlock(&shape->lock);
	/* The range is immutable once it is known. */
	return known && cu_snapshot_range_holds(&shape->range, xid, tx);
}

struct cu_shape_status cu_shape_status(cu_shape *shape)
{
	struct cu_shape_status status;

	pthread_mutex_lock(&shape->lock);
	status = (struct cu_shape_status){
		.state = shape->state,
		.durable = shape->durable,
		.snapshot_complete = shape->snapshot_complete,
		.chunks_len = shape->chunks_len,
		.latest = cu_tail_latest(&shape->tail),
	};
	pthread_mutex_unlock(&shape->lock);
	return status;
}
