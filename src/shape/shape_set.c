/* shape_set.c: three maps under one lock. */
#include "shape/shape_set.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

struct cu_shape_set {
	struct cu_shape_set_opts opts;

	/* under lock */
	pthread_mutex_t lock;
	cu_map by_handle; /* hash of the handle → chain by next_same_hash_handle */
	cu_map by_key;    /* hash of the definition's key → chain by next_same_hash_key; not those being removed */
	cu_map by_id;
	uint64_t last_handle_us; /* handles never repeat, whatever the clock does */
	uint64_t *unremoved;     /* ids of shapes whose removal could not be stored */
	size_t unremoved_len, unremoved_cap;
	size_t removals_retried; /* … that are being tried again */
};

cu_shape_set *cu_shape_set_new(const struct cu_shape_set_opts *opts)
{
	cu_shape_set *set = cu_xzalloc(sizeof *set);

	set->opts = *opts;
	CU_ASSERT(pthread_mutex_init(&set->lock, NULL) == 0);
	return set;
}

void cu_shape_set_free(cu_shape_set **ref)
{
	cu_shape_set *set = *ref;
	cu_shape *shape;

	if (!set)
		return;
	*ref = NULL;
	for (size_t i = 0; (shape = cu_map_next(&set->by_id, &i));)
		cu_shape_unref(&shape);
	cu_map_fini(&set->by_id);
	cu_map_fini(&set->by_handle);
	cu_map_fini(&set->by_key);
	free(set->unremoved);
	pthread_mutex_destroy(&set->lock);
	free(set);
}

void cu_shape_set_use_store(cu_shape_set *set, cu_store *store)
{
	set->opts.store = store;
}

uint64_t cu_shape_set_chunk_bytes(const cu_shape_set *set)
{
	return set->opts.chunk_bytes;
}

size_t cu_shape_set_len(cu_shape_set *set)
{
	size_t len;

	pthread_mutex_lock(&set->lock);
	len = set->by_id.len;
	pthread_mutex_unlock(&set->lock);
	return len;
}

static uint64_t handle_hash(const char *handle)
{
	return XXH3_64bits(handle, strlen(handle));
}

/* ---- the maps, under the lock ---- */

static cu_shape *find_by_handle(cu_shape_set *set, const char *handle)
{
	cu_shape *shape = cu_map_get(&set->by_handle, handle_hash(handle));

	while (shape && strcmp(shape->handle, handle) != 0)
		shape = shape->next_same_hash_handle;
	return shape;
}

static cu_shape *find_by_key(cu_shape_set *set, const cu_definition *def)
{
	cu_shape *shape = cu_map_get(&set->by_key, def->key_hash);

	while (shape && strcmp(shape->def->key, def->key) != 0)
		shape = shape->next_same_hash_key;
	return shape;
}

static void insert(cu_shape_set *set, cu_shape *shape)
{
	uint64_t hash = handle_hash(shape->handle);

	shape->next_same_hash_handle = cu_map_get(&set->by_handle, hash);
	cu_map_put(&set->by_handle, hash, shape);
	shape->next_same_hash_key = cu_map_get(&set->by_key, shape->def->key_hash);
	cu_map_put(&set->by_key, shape->def->key_hash, shape);
	cu_map_put(&set->by_id, shape->id, cu_shape_ref(shape));
}

static void take_out_by_key(cu_shape_set *set, cu_shape *shape)
{
	cu_shape *first = cu_map_get(&set->by_key, shape->def->key_hash), **at = &first;

	while (*at && *at != shape)
		at = &(*at)->next_same_hash_key;
	if (!*at)
		return;
	*at = shape->next_same_hash_key;
	shape->next_same_hash_key = NULL;
	if (first)
		cu_map_put(&set->by_key, shape->def->key_hash, first);
	else
		cu_map_del(&set->by_key, shape->def->key_hash);
}

static void take_out_by_handle(cu_shape_set *set, cu_shape *shape)
{
	uint64_t hash = handle_hash(shape->handle);
	cu_shape *first = cu_map_get(&set->by_handle, hash), **at = &first;

	while (*at && *at != shape)
		at = &(*at)->next_same_hash_handle;
	if (!*at)
		return;
	*at = shape->next_same_hash_handle;
	shape->next_same_hash_handle = NULL;
	if (first)
		cu_map_put(&set->by_handle, hash, first);
	else
		cu_map_del(&set->by_handle, hash);
}

/* ---- looking up ---- */

cu_shape *cu_shape_set_by_handle(cu_shape_set *set, const char *handle)
{
	cu_shape *shape;

	pthread_mutex_lock(&set->lock);
	shape = find_by_handle(set, handle);
	if (shape)
		cu_shape_ref(shape);
	pthread_mutex_unlock(&set->lock);
	return shape;
}

cu_shape *cu_shape_set_by_id(cu_shape_set *set, uint64_t id)
{
	cu_shape *shape;

	pthread_mutex_lock(&set->lock);
	shape = cu_map_get(&set->by_id, id);
	if (shape)
		cu_shape_ref(shape);
	pthread_mutex_unlock(&set->lock);
	return shape;
}

cu_shape *cu_shape_set_match(cu_shape_set *set, const char *schema, const char *name,
			     const struct cu_definition_request *request)
{
	cu_shape *shape, *found = NULL;

	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; !found && (shape = cu_map_next(&set->by_key, &i));) {
		for (; shape && !found; shape = shape->next_same_hash_key) {
			if (cu_definition_matches(shape->def, schema, name, request))
				found = cu_shape_ref(shape);
		}
	}
	pthread_mutex_unlock(&set->lock);
	return found;
}

void cu_shape_set_each(cu_shape_set *set, void (*each)(void *ctx, cu_shape *shape), void *ctx)
{
	cu_shape **shapes, *shape;
	size_t len = 0;

	pthread_mutex_lock(&set->lock);
	shapes = cu_xmalloc((set->by_id.len + 1) * sizeof(*shapes));
	for (size_t i = 0; (shape = cu_map_next(&set->by_id, &i));)
		shapes[len++] = cu_shape_ref(shape);
	pthread_mutex_unlock(&set->lock);
	for (size_t i = 0; i < len; i++) {
		each(ctx, shapes[i]);
		cu_shape_unref(&shapes[i]);
	}
	free(shapes);
}

static void oldest_position_of(void *ctx, cu_shape *shape)
{
	uint64_t *oldest = ctx;

	pthread_mutex_lock(&shape->lock);
	if (shape->tail.len && shape->tail.runs[0].pos < *oldest)
		*oldest = shape->tail.runs[0].pos;
	pthread_mutex_unlock(&shape->lock);
}

uint64_t cu_shape_set_oldest_position(cu_shape_set *set)
{
	uint64_t oldest = UINT64_MAX;

	cu_shape_set_each(set, oldest_position_of, &oldest);
	return oldest;
}

void cu_shape_set_wake(cu_shape_set *set, cu_shape *shape)
{
	uint64_t loops = atomic_exchange(&shape->waiting_loops, 0);

	if (loops)
		set->opts.wake(set->opts.ctx, shape->id, loops);
}

/* ---- coming ---- */

/* The time in a handle that shape_for() made; 0 for any other. */
static uint64_t handle_us(const char *handle)
{
	const char *dash = strchr(handle, '-');

	return dash ? strtoull(dash + 1, NULL, 10) : 0;
}

int cu_shape_set_restore(cu_shape_set *set, const struct cu_shape_row *row)
{
	cu_definition *def = NULL;
	cu_buf range = CU_BUF_INIT;
	cu_shape *shape = NULL;
	int rc;

	rc = cu_definition_parse(row->definition, row->definition_len, &def);
	if (rc < 0)
		goto out;
	shape = cu_shape_new(row->id, row->handle, def);
	cu_buf_printf(&range, "%" PRIu64 ":%" PRIu64 ":%s", row->snapshot.xmin, row->snapshot.xmax, row->snapshot.xip);
	rc = cu_snapshot_range_parse(cu_buf_str(&range), &shape->range);
	if (rc < 0)
		goto out;
	shape->range.lsn = row->snapshot.lsn;
	shape->range_known = true;
	shape->durable = true;
	shape->snapshot_complete = true;
	shape->state = CU_SHAPE_LIVE;
	shape->chunks_len = row->snapshot.chunks_len;
	shape->chunks = cu_xzalloc(shape->chunks_len * sizeof *shape->chunks);
	for (size_t i = 0; i < shape->chunks_len; i++)
		shape->chunks[i] =
			(struct cu_snapshot_chunk){ row->snapshot.chunks[i].bytes, row->snapshot.chunks[i].crc };
	pthread_mutex_lock(&set->lock);
	set->last_handle_us = CU_MAX(set->last_handle_us, handle_us(shape->handle));
	insert(set, shape);
	pthread_mutex_unlock(&set->lock);
out:
	cu_buf_fini(&range);
	cu_shape_unref(&shape);
	return rc;
}

/* What a metadata operation's `done` needs. */
struct pending {
	cu_shape_set *set;
	cu_shape *shape;
};

static struct pending *pending_new(cu_shape_set *set, cu_shape *shape)
{
	struct pending *pending = cu_xmalloc(sizeof *pending);

	*pending = (struct pending){ set, cu_shape_ref(shape) };
	return pending;
}

static void pending_free(struct pending *pending)
{
	cu_shape_unref(&pending->shape);
	free(pending);
}

/* The end of a shape: out of every map, and its readers are told. */
static void removed(cu_shape_set *set, cu_shape *shape)
{
	cu_shape *mine;

	pthread_mutex_lock(&set->lock);
	take_out_by_key(set, shape);
	take_out_by_handle(set, shape);
	mine = cu_map_del(&set->by_id, shape->id);
	pthread_mutex_unlock(&set->lock);
	pthread_mutex_lock(&shape->lock);
	shape->state = CU_SHAPE_GONE;
	pthread_mutex_unlock(&shape->lock);
	cu_shape_set_wake(set, shape);
	cu_shape_unref(&mine);
}

static void stored(void *ctx, int rc)
{
	struct pending *pending = ctx;
	cu_shape *shape = pending->shape;

	if (rc == 0) {
		pthread_mutex_lock(&shape->lock);
		shape->durable = true;
		pthread_mutex_unlock(&shape->lock);
		cu_shape_set_wake(pending->set, shape);
	} else {
		cu_error("a new shape could not be stored; its readers get 503", CU_KV("handle", shape->handle),
			 CU_KV("error", cu_strerror(rc)), CU_KV("next", "check the storage directory's disk"));
		pthread_mutex_lock(&shape->lock);
		if (!shape->failure.message)
			shape->failure = (struct cu_shape_failure){ 503, cu_xstrdup("The shape could not be stored") };
		pthread_mutex_unlock(&shape->lock);
		pending->set->opts.forget(pending->set->opts.ctx, shape);
		removed(pending->set, shape);
	}
	pending_free(pending);
}

static cu_shape *shape_for(cu_shape_set *set, cu_definition *def)
{
	char handle[48];

	set->last_handle_us = CU_MAX(set->last_handle_us + 1, cu_wall_us());
	snprintf(handle, sizeof handle, "%" PRIu64 "-%" PRIu64, def->key_hash & 0x7ffffff, set->last_handle_us);
	return cu_shape_new(cu_metadata_next_shape_id(cu_store_metadata(set->opts.store)), handle, def);
}

cu_shape *cu_shape_set_get_or_create(cu_shape_set *set, cu_definition *def)
{
	cu_buf json = CU_BUF_INIT;
	cu_shape *shape;
	int rc;

	pthread_mutex_lock(&set->lock);
	shape = find_by_key(set, def);
	if (shape) {
		cu_shape_ref(shape);
		pthread_mutex_unlock(&set->lock);
		cu_definition_unref(&def);
		return shape;
	}
	shape = shape_for(set, def);
	insert(set, shape);
	pthread_mutex_unlock(&set->lock);

	cu_info("new shape", CU_KV("handle", shape->handle), CU_KV("schema", def->schema), CU_KV("table", def->name));
	rc = cu_definition_put_json(def, &json);
	if (rc == 0) {
		struct cu_shape_row row = {
			.id = shape->id,
			.handle = shape->handle,
			.definition = json.data,
			.definition_len = json.len,
			.created_us = cu_wall_us(),
		};
		struct pending *pending = pending_new(set, shape);

		rc = cu_metadata_put_shape(cu_store_metadata(set->opts.store), &row, stored, pending);
		if (rc < 0)
			pending_free(pending);
	}
	cu_buf_fini(&json);
	if (rc < 0)
		stored(pending_new(set, shape), rc);
	else
		set->opts.create(set->opts.ctx, shape);
	return shape;
}

/* ---- going ---- */

/* Under the lock. */
static void keep_unremoved(cu_shape_set *set, uint64_t id)
{
	if (set->unremoved_len == set->unremoved_cap) {
		set->unremoved_cap = set->unremoved_cap ? set->unremoved_cap * 2 : 16;
		set->unremoved = cu_xrealloc(set->unremoved, set->unremoved_cap * sizeof *set->unremoved);
	}
	set->unremoved[set->unremoved_len++] = id;
}

static void unstored(void *ctx, int rc)
{
	struct pending *pending = ctx;

	if (rc < 0) {
		cu_error(
			"a removed shape's record could not be deleted; its readers are told all the same, and it is tried again "
			"before the next checkpoint",
			CU_KV("handle", pending->shape->handle), CU_KV("error", cu_strerror(rc)),
			CU_KV("next", "check the storage directory's disk"));
		pthread_mutex_lock(&pending->set->lock);
		keep_unremoved(pending->set, pending->shape->id);
		pthread_mutex_unlock(&pending->set->lock);
	}
	removed(pending->set, pending->shape);
	pending_free(pending);
}

struct retry {
	cu_shape_set *set;
	uint64_t id;
};

static void retried(void *ctx, int rc)
{
	struct retry *retry = ctx;

	pthread_mutex_lock(&retry->set->lock);
	retry->set->removals_retried--;
	if (rc < 0)
		keep_unremoved(retry->set, retry->id);
	pthread_mutex_unlock(&retry->set->lock);
	free(retry);
}

size_t cu_shape_set_retry_removals(cu_shape_set *set)
{
	uint64_t *ids;
	size_t len, left;

	pthread_mutex_lock(&set->lock);
	ids = set->unremoved;
	len = set->unremoved_len;
	set->unremoved = NULL;
	set->unremoved_len = set->unremoved_cap = 0;
	set->removals_retried += len;
	left = set->removals_retried;
	pthread_mutex_unlock(&set->lock);
	for (size_t i = 0; i < len; i++) {
		struct retry *retry = cu_xmalloc(sizeof *retry);
		int rc;

		*retry = (struct retry){ set, ids[i] };
		rc = cu_store_remove_shape(set->opts.store, ids[i], retried, retry);
		if (rc < 0)
			retried(retry, rc);
	}
	free(ids);
	return left;
}

void cu_shape_set_remove(cu_shape_set *set, cu_shape *shape, const char *why, struct cu_shape_failure *failure)
{
	struct pending *pending;
	bool first;
	int rc;

	pthread_mutex_lock(&set->lock);
	pthread_mutex_lock(&shape->lock);
	first = shape->state == CU_SHAPE_CREATING || shape->state == CU_SHAPE_LIVE;
	if (first) {
		shape->state = CU_SHAPE_REMOVING;
		if (failure)
			shape->failure = *failure;
		take_out_by_key(set, shape);
	} else if (failure) {
		free(failure->message);
	}
	pthread_mutex_unlock(&shape->lock);
	pthread_mutex_unlock(&set->lock);
	if (!first)
		return;
	cu_info("shape removed", CU_KV("handle", shape->handle), CU_KV("schema", shape->def->schema),
		CU_KV("table", shape->def->name), CU_KV("why", why));
	set->opts.forget(set->opts.ctx, shape);
	pending = pending_new(set, shape);
	rc = cu_store_remove_shape(set->opts.store, shape->id, unstored, pending);
	if (rc < 0)
		unstored(pending, rc);
}

struct removal {
	cu_shape_set *set;
	const char *why;
};

static void remove_one(void *ctx, cu_shape *shape)
{
	struct removal *removal = ctx;

	cu_shape_set_remove(removal->set, shape, removal->why, NULL);
}

void cu_shape_set_remove_all(cu_shape_set *set, const char *why)
{
	struct removal removal = { set, why };

	cu_shape_set_each(set, remove_one, &removal);
}
