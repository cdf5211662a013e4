#include "shape/retention.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/usage.h"

#include <stdlib.h>

#define SETTING "shapes_last_read"
#define SETTING_VERSION 1
#define IDLE_LOOKS 20  /* in the length of the idle limit */
#define USAGE_REST 20  /* times as long as the look at the files took */
#define READ_NOW_S 60u /* a shape read so lately that is evicted comes back at once: the limit is too tight */

struct cu_retention {
	struct cu_retention_opts opts;
	uint64_t idle_due_ms;
	uint64_t usage_due_ms;
	uint64_t save_due_ms;
	uint64_t evicted; /* since the start */
};

struct candidate {
	cu_shape *shape; /* a reference */
	uint32_t read_until_s;
};

/* Live shapes, the least recently read first, the oldest of those first. */
struct candidates {
	struct candidate *list;
	size_t len, cap;
	size_t creating; /* others that are not on their way out */
	size_t going;    /* others that are, and take room until they are gone */
	size_t gone;     /* of the list, from its front: evicted */
};

static uint32_t age_of(uint32_t read_until_s)
{
	uint32_t now = cu_shape_clock_s();

	return read_until_s < now ? now - read_until_s : 0;
}

/* ---- the last reads ---- */

static void ages_restore(cu_retention *retention, const cu_buf *stored)
{
	cu_cursor cur = cu_cursor_over(stored->data, stored->len);
	uint64_t id = 0;

	if (cu_cursor_u8(&cur) != SETTING_VERSION)
		return;
	while (cu_cursor_left(&cur) > 0) {
		uint64_t age;
		cu_shape *shape;

		id += cu_cursor_varint(&cur);
		age = cu_cursor_varint(&cur);
		if (cur.failed)
			return;
		shape = cu_shape_set_by_id(retention->opts.shapes, id);
		if (shape)
			atomic_store(&shape->read_until_s, cu_shape_clock_s() - (uint32_t)CU_MIN(age, INT32_MAX));
		cu_shape_unref(&shape);
	}
}

cu_retention *cu_retention_new(const struct cu_retention_opts *opts)
{
	cu_retention *retention = cu_xzalloc(sizeof *retention);
	cu_buf stored = CU_BUF_INIT;
	int rc;

	retention->opts = *opts;
	retention->save_due_ms = cu_now_ms() + CU_RETENTION_SAVE_MS;
	rc = cu_metadata_get(cu_store_metadata(opts->store), SETTING, &stored);
	if (rc == 0)
		ages_restore(retention, &stored);
	else if (rc != CU_ENOTFOUND)
		cu_warn("when shapes were last read is not known: all count as read now",
			CU_KV("error", cu_strerror(rc)));
	cu_buf_fini(&stored);
	return retention;
}

void cu_retention_free(cu_retention **retention)
{
	free(*retention);
	*retention = NULL;
}

static void candidates_add(void *ctx, cu_shape *shape)
{
	struct candidates *candidates = ctx;
	uint8_t state;

	cu_shape_lock(shape);
	state = shape->state;
	cu_shape_unlock(shape);
	if (state != CU_SHAPE_LIVE) {
		candidates->creating += state == CU_SHAPE_CREATING;
		candidates->going += state == CU_SHAPE_REMOVING;
		return;
	}
	if (candidates->len == candidates->cap) {
		candidates->cap = candidates->cap ? candidates->cap * 2 : 256;
		candidates->list = cu_xrealloc(candidates->list, candidates->cap * sizeof *candidates->list);
	}
	candidates->list[candidates->len++] = (struct candidate){
		cu_shape_ref(shape),
		atomic_load_explicit(&shape->read_until_s, memory_order_relaxed),
	};
}

static int by_read(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->read_until_s != y->read_until_s)
		return x->read_until_s < y->read_until_s ? -1 : 1;
	return (x->shape->id > y->shape->id) - (x->shape->id < y->shape->id);
}

static int by_id(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->shape->id > y->shape->id) - (x->shape->id < y->shape->id);
}

static void candidates_fini(struct candidates *candidates)
{
	for (size_t i = 0; i < candidates->len; i++)
		cu_shape_unref(&candidates->list[i].shape);
	free(candidates->list);
}

static void candidates_collect(cu_retention *retention, struct candidates *candidates,
			       int (*order)(const void *a, const void *b))
{
	cu_shape_set_each(retention->opts.shapes, candidates_add, candidates);
	if (candidates->len > 1)
		qsort(candidates->list, candidates->len, sizeof *candidates->list, order);
}

void cu_retention_save(cu_retention *retention)
{
	struct candidates candidates = { 0 };
	cu_buf out = CU_BUF_INIT;
	uint64_t id = 0;

	candidates_collect(retention, &candidates, by_id);
	cu_buf_putc(&out, SETTING_VERSION);
	for (size_t i = 0; i < candidates.len; i++) {
		cu_buf_put_varint(&out, candidates.list[i].shape->id - id);
		cu_buf_put_varint(&out, age_of(candidates.list[i].read_until_s));
		id = candidates.list[i].shape->id;
	}
	/* If it fails, the metadata has said so; the shapes count as read later than they were. */
	if (!cu_buf_failed(&out))
		cu_metadata_set(cu_store_metadata(retention->opts.store), SETTING, out.data, out.len, NULL, NULL);
	cu_buf_fini(&out);
	candidates_fini(&candidates);
}

/* ---- evicting ---- */

struct look {
	cu_retention *retention;
	struct candidates candidates;
	cu_usage *usage; /* NULL: sizes are not known */
	size_t evicted;
	uint64_t freed;
};

/* The next candidate goes. in_use: it may be read right now. */
static void evict(struct look *look, const char *why, bool in_use)
{
	const struct candidate *candidate = &look->candidates.list[look->candidates.gone++];
	uint32_t age_s = age_of(candidate->read_until_s);
	cu_shape *shape = candidate->shape;
	uint64_t bytes = 0;

	if (look->usage && cu_usage_shape(look->usage, shape->id, &bytes) < 0)
		bytes = 0;
	look->freed += bytes;
	look->evicted++;
	look->retention->evicted++;
	if (in_use && age_s < READ_NOW_S)
		cu_warn("evicting a shape that is being read: the limit is too tight for what is in use",
			CU_KV("handle", shape->handle), CU_KV("why", why), CU_KV_U64("bytes", bytes),
			CU_KV_U64("last_read_s_ago", age_s), CU_KV_U64("evicted_so_far", look->retention->evicted));
	else
		cu_info("evicting a shape", CU_KV("handle", shape->handle), CU_KV("why", why),
			CU_KV_U64("bytes", bytes), CU_KV_U64("last_read_s_ago", age_s),
			CU_KV_U64("evicted_so_far", look->retention->evicted));
	cu_shape_set_remove(look->retention->opts.shapes, shape, why, NULL);
}

static bool may_evict(const struct look *look)
{
	return look->candidates.gone < look->candidates.len && look->evicted < CU_RETENTION_EVICTIONS_MAX;
}

/* By how much the shapes exceed the byte limit. */
static uint64_t bytes_over(cu_retention *retention, struct look *look, uint64_t now_ms)
{
	uint64_t bytes = 0;
	int rc;

	if (!retention->opts.bytes_max || now_ms < retention->usage_due_ms || !look->usage)
		return 0;
	rc = cu_usage_total(look->usage, &bytes);
	retention->usage_due_ms = now_ms + (cu_now_ms() - now_ms) * USAGE_REST;
	return rc == 0 && bytes > retention->opts.bytes_max ? bytes - retention->opts.bytes_max : 0;
}

size_t cu_retention_run(cu_retention *retention, uint64_t now_ms)
{
	const struct cu_retention_opts *opts = &retention->opts;
	bool idle = opts->idle_ms_max && now_ms >= retention->idle_due_ms;
	struct look look = { .retention = retention };
	size_t shapes = cu_shape_set_len(opts->shapes);
	uint64_t over;

	if (now_ms >= retention->save_due_ms) {
		retention->save_due_ms = now_ms + CU_RETENTION_SAVE_MS;
		cu_retention_save(retention);
	}
	if (shapes == 0 || (!idle && !opts->bytes_max && (!opts->shapes_max || shapes <= opts->shapes_max)))
		return 0;
	if (cu_usage_open(opts->store, &look.usage) < 0)
		look.usage = NULL;
	over = bytes_over(retention, &look, now_ms);
	if (!idle && !over && (!opts->shapes_max || shapes <= opts->shapes_max))
		goto out;
	candidates_collect(retention, &look.candidates, by_read);
	shapes = look.candidates.len + look.candidates.creating;
	if (idle) {
		retention->idle_due_ms = now_ms + opts->idle_ms_max / IDLE_LOOKS;
		while (may_evict(&look) &&
		       age_of(look.candidates.list[look.candidates.gone].read_until_s) * UINT64_C(1000) >=
			       opts->idle_ms_max)
			evict(&look, "evicted: nobody has read it for as long as --shape-max-idle says", false);
	}
	while (opts->shapes_max && may_evict(&look) && shapes - look.evicted > opts->shapes_max)
		evict(&look, "evicted: there are more shapes than --max-shapes allows", true);
	/* What is on its way out may be enough. */
	if (look.candidates.going || cu_shape_set_unremoved(opts->shapes))
		over = 0;
	while (may_evict(&look) && look.freed < over)
		evict(&look, "evicted: the shapes take more room than --max-storage-bytes allows", true);
	candidates_fini(&look.candidates);
out:
	cu_usage_close(&look.usage);
	return look.evicted;
}
