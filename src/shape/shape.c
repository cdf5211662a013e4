/* shape.c: the shape object. */
#include "shape/shape.h"

#include "base/clock.h"
#include "base/slab.h"

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

static void birth_free(struct cu_shape_birth *birth)
{
	if (!birth)
		return;
	cu_snapshot_range_fini(&birth->range);
	free(birth->failure.message);
	free(birth->small);
	cu_slab_free(birth, sizeof *birth);
}

cu_shape *cu_shape_new(uint64_t id, const char *handle, cu_definition *def, const char *where, size_t where_len)
{
	size_t size = strlen(handle) + 1;
	cu_shape *shape;

	where_len = where ? strnlen(where, where_len) : 0; /* as shape_size() will find it */
	shape = cu_slab_alloc(offsetof(cu_shape, handle) + size + (where ? where_len + 1 : 0));
	shape->magic = CU_SHAPE_MAGIC;
	atomic_init(&shape->refs, 1);
	atomic_init(&shape->read_until_s, cu_shape_clock_s());
	shape->id = id;
	shape->def = def;
	memcpy(shape->handle, handle, size);
	if (where) {
		memcpy(shape->handle + size, where, where_len);
		shape->route.where = shape->handle + size;
	}
	return shape;
}

static size_t shape_size(const cu_shape *shape)
{
	return offsetof(cu_shape, handle) + strlen(shape->handle) + 1 +
	       (shape->route.where ? strlen(shape->route.where) + 1 : 0);
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
	if (shape->log)
		cu_shape_log_fini(shape->log);
	free(shape->log);
	birth_free(shape->birth);
	cu_expr_unref(&shape->route.expr);
	cu_definition_unref(&shape->def);
	cu_slab_free(shape, shape_size(shape));
}

uint32_t cu_shape_clock_s(void)
{
	return (uint32_t)(cu_now_ms() / 1000) + (1u << 31);
}

void cu_shape_mark_read(cu_shape *shape, uint64_t wait_ms)
{
	uint32_t until = cu_shape_clock_s() + (uint32_t)((wait_ms + 999) / 1000);
	uint32_t seen = atomic_load_explicit(&shape->read_until_s, memory_order_relaxed);

	while (seen < until && !atomic_compare_exchange_weak_explicit(&shape->read_until_s, &seen, until,
								      memory_order_relaxed, memory_order_relaxed))
		;
}

cu_shape_log *cu_shape_make_log(cu_shape *shape)
{
	if (!shape->log)
		shape->log = cu_try_zalloc(sizeof *shape->log);
	return shape->log;
}

int cu_shape_append(cu_shape *shape, const struct cu_tail_run *run)
{
	cu_shape_log *log = cu_shape_make_log(shape);

	return log ? cu_tail_append(&log->tail, run) : CU_ENOMEM;
}

const cu_shape_log *cu_shape_log_of(const cu_shape *shape)
{
	static const cu_shape_log empty;

	return shape->log ? shape->log : &empty;
}

static struct cu_shape_birth *birth_of(cu_shape *shape)
{
	if (!shape->birth)
		shape->birth = cu_slab_alloc(sizeof *shape->birth);
	return shape->birth;
}

/* Under the lock: what its range holds has changed. */
static void note_range(cu_shape *shape)
{
	atomic_store_explicit(&shape->held_below, shape->birth ? shape->birth->range.lsn : 0, memory_order_relaxed);
}

void cu_shape_set_range(cu_shape *shape, cu_snapshot_range *range)
{
	struct cu_shape_birth *birth = birth_of(shape);

	cu_snapshot_range_fini(&birth->range);
	birth->range = *range;
	*range = (cu_snapshot_range){ 0 };
	if (!birth->range.lsn && !birth->failure.status && !birth->small) {
		birth_free(birth);
		shape->birth = NULL;
	}
	note_range(shape);
}

void cu_shape_set_failure(cu_shape *shape, struct cu_shape_failure *failure)
{
	struct cu_shape_birth *birth = birth_of(shape);

	if (birth->failure.status)
		free(failure->message);
	else
		birth->failure = *failure;
	*failure = (struct cu_shape_failure){ 0 };
}

void cu_shape_set_small(cu_shape *shape, char *bytes, size_t len)
{
	struct cu_shape_birth *birth = birth_of(shape);

	CU_ASSERT(!birth->small && shape->chunks_len == 0);
	birth->small = bytes;
	birth->small_len = len;
	shape->chunks_len = 1;
	shape->snapshot_small = true;
	shape->snapshot_complete = true;
}

void cu_shape_drop_small(cu_shape *shape)
{
	if (!shape->birth)
		return;
	free(shape->birth->small);
	shape->birth->small = NULL;
}

bool cu_shape_put_small(const cu_shape *shape, cu_buf *out)
{
	bool there;

	cu_shape_lock(shape);
	there = shape->birth && shape->birth->small;
	if (there)
		cu_buf_append(out, shape->birth->small, shape->birth->small_len);
	cu_shape_unlock(shape);
	return there;
}

bool cu_shape_holds_locked(const cu_shape *shape, uint32_t xid, uint64_t tx)
{
	return tx < atomic_load_explicit(&shape->held_below, memory_order_relaxed) &&
	       cu_snapshot_range_holds(&shape->birth->range, xid, tx);
}

struct cu_shape_status cu_shape_status(const cu_shape *shape)
{
	struct cu_shape_status status;

	cu_shape_lock(shape);
	status = (struct cu_shape_status){
		.state = shape->state,
		.durable = shape->durable,
		.snapshot_complete = shape->snapshot_complete,
		.snapshot_small = shape->snapshot_small,
		.chunks_len = shape->chunks_len,
		.latest = cu_shape_log_latest(cu_shape_log_of(shape)),
	};
	cu_shape_unlock(shape);
	return status;
}
