/* shape_set.c: four indexes under one lock. */
#include "shape/shape_set.h"

#include "base/clock.h"
#include "base/index.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mutant.h"
#include "shape/shape_list.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

struct cu_shape_set {
	struct cu_shape_set_opts opts;

	/* under lock */
	pthread_mutex_t lock;
	cu_index definitions; /* by key; those that a shape has */
	cu_index by_handle;
	cu_index by_key; /* by definition and where clause; not those being removed */
	cu_index by_id;
	cu_map restored; /* id → definition; at start-up only, with a reference each */
	uint64_t last_definition_id;
	uint64_t last_handle_us;     /* handles never repeat, whatever the clock does */
	struct cu_shape_list ranged; /* live ones that have a snapshot range */
	uint64_t *unremoved;         /* ids of shapes whose removal could not be stored */
	size_t unremoved_len, unremoved_cap;
	size_t removals_retried; /* … that are being tried again */
	size_t removals;         /* asked for and not answered yet */
};

/* ---- how the indexes find their objects ---- */

static uint64_t handle_hash(const char *handle)
{
	return XXH3_64bits(handle, strlen(handle));
}

static uint64_t definition_hash(const void *object)
{
	return ((const cu_definition *)object)->key_hash;
}

static uint64_t handle_hash_of(const void *object)
{
	return handle_hash(((const cu_shape *)object)->handle);
}

/* where: canonical SQL, NULL: none. */
static uint64_t key_hash(const cu_definition *def, const char *where)
{
	return def->key_hash ^ (where ? XXH3_64bits(where, strlen(where)) : 0);
}

static uint64_t key_hash_of(const void *object)
{
	const cu_shape *shape = object;

	return key_hash(shape->def, shape->route.where);
}

static uint64_t id_hash_of(const void *object)
{
	return cu_index_hash_u64(((const cu_shape *)object)->id);
}

static bool definition_is(const void *object, const void *key)
{
	return strcmp(((const cu_definition *)object)->key, key) == 0;
}

static bool handle_is(const void *object, const void *key)
{
	return strcmp(((const cu_shape *)object)->handle, key) == 0;
}

/* What makes a shape this one. */
struct shape_key {
	const cu_definition *def;
	cu_buf where; /* its SQL; empty: none */
	uint64_t hash;
};

static void shape_key_init(struct shape_key *key, const cu_definition *def, const cu_expr *where)
{
	*key = (struct shape_key){ .def = def, .where = CU_BUF_INIT };
	if (where)
		cu_expr_put_sql(where, &key->where);
	key->hash = key_hash(def, where ? cu_buf_str(&key->where) : NULL);
}

static bool shape_is_of(const void *object, const void *arg)
{
	const struct shape_key *key = arg;
	const cu_shape *shape = object;

	if (shape->def != key->def || !shape->route.where != !key->where.len)
		return false;
	return !shape->route.where || strcmp(shape->route.where, key->where.data) == 0;
}

static bool id_is(const void *object, const void *key)
{
	return ((const cu_shape *)object)->id == *(const uint64_t *)key;
}

cu_shape_set *cu_shape_set_new(const struct cu_shape_set_opts *opts)
{
	cu_shape_set *set = cu_xzalloc(sizeof *set);

	set->opts = *opts;
	cu_index_init(&set->definitions, definition_hash);
	cu_index_init(&set->by_handle, handle_hash_of);
	cu_index_init(&set->by_key, key_hash_of);
	cu_index_init(&set->by_id, id_hash_of);
	CU_ASSERT(pthread_mutex_init(&set->lock, NULL) == 0);
	return set;
}

static void forget_restored(cu_shape_set *set)
{
	cu_definition *def;

	for (size_t i = 0; (def = cu_map_next(&set->restored, &i));)
		cu_definition_unref(&def);
	cu_map_fini(&set->restored);
}

void cu_shape_set_free(cu_shape_set **ref)
{
	cu_shape_set *set = *ref;
	cu_shape *shape;

	if (!set)
		return;
	*ref = NULL;
	forget_restored(set);
	cu_shape_list_fini(&set->ranged);
	for (size_t i = 0; (shape = cu_index_next(&set->by_id, &i));)
		cu_shape_unref(&shape);
	cu_index_fini(&set->by_id);
	cu_index_fini(&set->by_handle);
	cu_index_fini(&set->by_key);
	cu_index_fini(&set->definitions);
	free(set->unremoved);
	pthread_mutex_destroy(&set->lock);
	free(set);
}

void cu_shape_set_end_restore(cu_shape_set *set, cu_store *store, uint64_t lsn)
{
	cu_definition *def;

	cu_shape_set_drop_ranges(set, lsn);
	set->opts.store = store;
	for (size_t i = 0; (def = cu_map_next(&set->restored, &i));) {
		if (!def->named)
			cu_metadata_remove_definition(cu_store_metadata(store), def->id, NULL, NULL);
	}
	forget_restored(set);
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

/* ---- the indexes, under the lock ---- */

static cu_shape *find_by_handle(cu_shape_set *set, const char *handle)
{
	return cu_index_find(&set->by_handle, handle_hash(handle), handle_is, handle);
}

/* The set's own definition of this one's key: *def is replaced by a reference to it, or taken in. */
static void intern(cu_shape_set *set, cu_definition **def)
{
	cu_definition *mine = cu_index_find(&set->definitions, (*def)->key_hash, definition_is, (*def)->key);

	if (mine) {
		cu_definition_unref(def);
		*def = cu_definition_ref(mine);
		return;
	}
	if ((*def)->id == 0)
		(*def)->id = ++set->last_definition_id;
	cu_index_insert(&set->definitions, *def);
}

/* Somebody has the definition no more. True: nobody has, its row may go. */
static bool leave(cu_shape_set *set, cu_definition *def)
{
	if (--def->shapes > 0)
		return false;
	cu_index_remove(&set->definitions, def);
	return true;
}

/* Its definition has been entered for it. */
static void insert(cu_shape_set *set, cu_shape *shape)
{
	cu_index_insert(&set->by_handle, shape);
	cu_index_insert(&set->by_key, shape);
	cu_index_insert(&set->by_id, cu_shape_ref(shape));
}

/* False: it is out already. *ret_last: it was the last shape with its definition. */
static bool take_out(cu_shape_set *set, cu_shape *shape, bool *ret_last)
{
	cu_index_remove(&set->by_key, shape);
	cu_index_remove(&set->by_handle, shape);
	*ret_last = false;
	if (!cu_index_remove(&set->by_id, shape))
		return false;
	*ret_last = leave(set, shape->def);
	return true;
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
	shape = cu_index_find(&set->by_id, cu_index_hash_u64(id), id_is, &id);
	if (shape)
		cu_shape_ref(shape);
	pthread_mutex_unlock(&set->lock);
	return shape;
}

cu_definition *cu_shape_set_enter_definition(cu_shape_set *set, cu_definition *def)
{
	pthread_mutex_lock(&set->lock);
	intern(set, &def);
	def->shapes++;
	pthread_mutex_unlock(&set->lock);
	return def;
}

static void forget_definition(cu_shape_set *set, const cu_definition *def)
{
	/* If this fails the row stays, and the next start finds it without a shape. */
	if (atomic_load(&def->stored))
		cu_metadata_remove_definition(cu_store_metadata(set->opts.store), def->id, NULL, NULL);
}

void cu_shape_set_leave_definition(cu_shape_set *set, cu_definition **def)
{
	bool last;

	pthread_mutex_lock(&set->lock);
	last = leave(set, *def);
	pthread_mutex_unlock(&set->lock);
	if (last)
		forget_definition(set, *def);
	cu_definition_unref(def);
}

cu_definition *cu_shape_set_match(cu_shape_set *set, const char *schema, const char *name,
				  const struct cu_definition_request *request)
{
	cu_definition *found = NULL, *def;

	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; !found && (def = cu_index_next(&set->definitions, &i));) {
		if (cu_definition_matches(def, schema, name, request))
			found = cu_definition_ref(def);
	}
	if (found)
		found->shapes++;
	pthread_mutex_unlock(&set->lock);
	return found;
}

cu_shape *cu_shape_set_find(cu_shape_set *set, const cu_definition *def, const cu_expr *where)
{
	struct shape_key key;
	cu_shape *shape;

	shape_key_init(&key, def, where);
	pthread_mutex_lock(&set->lock);
	shape = cu_buf_failed(&key.where) ? NULL : cu_index_find(&set->by_key, key.hash, shape_is_of, &key);
	if (shape)
		cu_shape_ref(shape);
	pthread_mutex_unlock(&set->lock);
	cu_buf_fini(&key.where);
	return shape;
}

size_t cu_shape_set_definitions(cu_shape_set *set, cu_definition ***ret_list)
{
	cu_definition **list, *def;
	size_t len = 0;

	pthread_mutex_lock(&set->lock);
	list = cu_xmalloc((set->definitions.len + 1) * sizeof(*list));
	for (size_t i = 0; (def = cu_index_next(&set->definitions, &i));)
		list[len++] = cu_definition_ref(def);
	pthread_mutex_unlock(&set->lock);
	*ret_list = list;
	return len;
}

/* References to the shapes of a definition, NULL: to all. The list is the caller's to free. */
static size_t list_shapes(cu_shape_set *set, const cu_definition *def, cu_shape ***ret_list)
{
	cu_shape **list = NULL, *shape;
	size_t len = 0, cap = 0;

	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; (shape = cu_index_next(&set->by_id, &i));) {
		if (def && shape->def != def)
			continue;
		if (len == cap) {
			cap = def ? CU_MAX(cap * 2, (size_t)16) : set->by_id.len;
			list = cu_xrealloc(list, cap * sizeof(*list));
		}
		list[len++] = cu_shape_ref(shape);
	}
	pthread_mutex_unlock(&set->lock);
	*ret_list = list;
	return len;
}

void cu_shape_set_each_of(cu_shape_set *set, const cu_definition *def, void (*each)(void *ctx, cu_shape *shape),
			  void *ctx)
{
	cu_shape **list;
	size_t len = list_shapes(set, def, &list);

	for (size_t i = 0; i < len; i++) {
		each(ctx, list[i]);
		cu_shape_unref(&list[i]);
	}
	free(list);
}

void cu_shape_set_each(cu_shape_set *set, void (*each)(void *ctx, cu_shape *shape), void *ctx)
{
	cu_shape_set_each_of(set, NULL, each, ctx);
}

void cu_shape_set_wake(cu_shape_set *set, cu_shape *shape)
{
	uint64_t loops;

	/* Whoever set a bit before it looked at what has changed since is seen here: its look and the change were under the
	 * shape's lock, one after the other. */
	if (!atomic_load_explicit(&shape->waiting_loops, memory_order_relaxed))
		return;
	loops = atomic_exchange(&shape->waiting_loops, 0);
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

int cu_shape_set_restore_definition(cu_shape_set *set, uint64_t id, const void *body, size_t len)
{
	cu_definition *def = NULL, *own;
	int rc = id == 0 ? CU_ECORRUPT : cu_definition_parse(body, len, &def);

	pthread_mutex_lock(&set->lock);
	set->last_definition_id = CU_MAX(set->last_definition_id, id);
	if (rc == 0) {
		def->id = id;
		atomic_store(&def->stored, true);
		own = cu_map_put(&set->restored, id, def);
		cu_definition_unref(&own);
	}
	pthread_mutex_unlock(&set->lock);
	return rc;
}

static int restore_range(const struct cu_snapshot_info *info, cu_snapshot_range *ret_range)
{
	cu_buf text = CU_BUF_INIT;
	int rc;

	cu_buf_printf(&text, "%" PRIu64 ":%" PRIu64 ":%s", info->xmin, info->xmax, info->xip);
	rc = cu_snapshot_range_parse(cu_buf_str(&text), ret_range);
	ret_range->lsn = info->lsn;
	cu_buf_fini(&text);
	return rc;
}

void cu_shape_set_expect(cu_shape_set *set, size_t len)
{
	pthread_mutex_lock(&set->lock);
	cu_index_reserve(&set->by_handle, len);
	cu_index_reserve(&set->by_key, len);
	cu_index_reserve(&set->by_id, len);
	pthread_mutex_unlock(&set->lock);
}

int cu_shape_set_restore(cu_shape_set *set, const struct cu_shape_row *row)
{
	cu_snapshot_range range = { 0 };
	cu_definition *def;
	cu_shape *shape;
	int rc = restore_range(&row->snapshot, &range);

	pthread_mutex_lock(&set->lock);
	/* Its definition may be gone, and its own removal be refused again: it must not find another one by that id later. */
	if (!CU_MUTANT(DEFINITION_ID_AGAIN))
		set->last_definition_id = CU_MAX(set->last_definition_id, row->definition_id);
	def = rc == 0 ? cu_map_get(&set->restored, row->definition_id) : NULL;
	if (def) {
		/* Of two equal ones (the removal of the older was not durable) the set has the first: the other is rare and
		 * counts for its row alone. */
		def->named = true;
		cu_definition_ref(def);
		intern(set, &def);
		def->shapes++;
	}
	pthread_mutex_unlock(&set->lock);
	if (!def) {
		cu_snapshot_range_fini(&range);
		return rc < 0 ? rc : CU_ECORRUPT;
	}
	shape = cu_shape_new(row->id, row->handle, def, row->where, row->where_len);
	shape->durable = true;
	shape->snapshot_complete = true;
	shape->state = CU_SHAPE_LIVE;
	shape->snapshot_small = row->snapshot.is_small;
	shape->chunks_len = row->snapshot.is_small ? 1 : row->snapshot.chunks_len;
	pthread_mutex_lock(&set->lock);
	cu_shape_set_range(shape, &range);
	set->last_handle_us = CU_MAX(set->last_handle_us, handle_us(shape->handle));
	insert(set, shape);
	pthread_mutex_unlock(&set->lock);
	cu_shape_set_keep_range(set, shape);
	cu_shape_unref(&shape);
	return 0;
}

int cu_shape_set_restore_log_chunk(cu_shape_set *set, const struct cu_log_chunk_row *row)
{
	cu_shape *shape = cu_shape_set_by_id(set, row->shape_id);
	cu_shape_log *log;
	int rc;

	if (!shape)
		return CU_ENOTFOUND;
	log = cu_shape_make_log(shape);
	rc = log ? cu_shape_log_restore(log, row) : CU_ENOMEM;
	cu_shape_unref(&shape);
	return rc;
}

void cu_shape_set_keep_range(cu_shape_set *set, cu_shape *shape)
{
	pthread_mutex_lock(&set->lock);
	cu_shape_list_add(&set->ranged, shape);
	pthread_mutex_unlock(&set->lock);
}

/* True: the shape has no range any more. */
static bool drop_range(cu_shape *shape, uint64_t lsn)
{
	cu_snapshot_range none = { 0 };
	bool drop;

	cu_shape_lock(shape);
	drop = !cu_shape_range(shape) || cu_shape_range(shape)->lsn <= lsn;
	if (drop && shape->birth)
		cu_shape_set_range(shape, &none);
	cu_shape_unlock(shape);
	return drop;
}

void cu_shape_set_drop_ranges(cu_shape_set *set, uint64_t lsn)
{
	size_t kept = 0;

	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->ranged.len; i++) {
		if (drop_range(set->ranged.list[i], lsn))
			cu_shape_unref(&set->ranged.list[i]);
		else
			set->ranged.list[kept++] = set->ranged.list[i];
	}
	set->ranged.len = kept;
	if (kept == 0)
		cu_shape_list_fini(&set->ranged);
	pthread_mutex_unlock(&set->lock);
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

/* The end of a shape: out of every index, and its readers are told. May come twice: its record could not be stored, and
 * somebody had asked for its removal by then. */
static void removed(cu_shape_set *set, cu_shape *shape)
{
	cu_shape *mine;
	bool last;

	pthread_mutex_lock(&set->lock);
	mine = take_out(set, shape, &last) ? shape : NULL; /* the set's reference */
	pthread_mutex_unlock(&set->lock);
	if (last)
		forget_definition(set, shape->def);
	cu_shape_lock(shape);
	shape->state = CU_SHAPE_GONE;
	cu_shape_unlock(shape);
	cu_shape_set_wake(set, shape);
	cu_shape_unref(&mine);
}

static void stored(void *ctx, int rc)
{
	struct pending *pending = ctx;
	cu_shape *shape = pending->shape;

	/* Its definition, which was queued before, could not be: a restart would find a shape that it cannot read. */
	if (rc == 0 && !atomic_load(&shape->def->stored) && !CU_MUTANT(SHAPE_WITHOUT_DEFINITION)) {
		(void)cu_store_remove_shape(pending->set->opts.store, shape->id, NULL, NULL);
		rc = CU_EIO;
	}
	if (rc == 0) {
		cu_shape_lock(shape);
		shape->durable = true;
		cu_shape_unlock(shape);
		cu_shape_set_wake(pending->set, shape);
	} else {
		bool full = rc == CU_EFULL;
		const char *told = full              ? "Too many shapes are being created, please retry"
				   : rc == CU_ENOSPC ? "The shape could not be stored: no space left on the disk"
						     : "The shape could not be stored";

		if (full)
			cu_debug("too many shapes are being created: a new one is refused",
				 CU_KV("handle", shape->handle));
		else
			cu_error("a new shape could not be stored; its readers get 503", CU_KV("handle", shape->handle),
				 CU_KV("error", cu_strerror(rc)), CU_KV("next", "check the storage directory's disk"));
		cu_shape_lock(shape);
		cu_shape_set_failure(shape, &(struct cu_shape_failure){ 503, cu_xstrdup(told) });
		cu_shape_unlock(shape);
		pending->set->opts.forget(pending->set->opts.ctx, shape);
		removed(pending->set, shape);
	}
	pending_free(pending);
}

/* Takes definition and clause. */
static cu_shape *shape_for(cu_shape_set *set, const struct shape_key *key, cu_definition *def, cu_expr *where)
{
	cu_shape *shape;
	char handle[48];

	set->last_handle_us = CU_MAX(set->last_handle_us + 1, cu_wall_us());
	snprintf(handle, sizeof handle, "%" PRIu64 "-%" PRIu64, key->hash & 0x7ffffff, set->last_handle_us);
	shape = cu_shape_new(cu_metadata_next_shape_id(cu_store_metadata(set->opts.store)), handle, def,
			     where ? key->where.data : NULL, key->where.len);
	shape->route.expr = where;
	return shape;
}

static void definition_stored(void *ctx, int rc)
{
	cu_definition *def = ctx;

	if (rc == 0)
		atomic_store(&def->stored, true);
	cu_definition_unref(&def);
}

/* Queued before the first shapes that have it, by each of them until it is known to be durable. */
static int store_definition(cu_shape_set *set, cu_definition *def)
{
	cu_buf json = CU_BUF_INIT;
	cu_definition *held;
	int rc;

	if (atomic_load(&def->stored))
		return 0;
	held = cu_definition_ref(def);
	rc = cu_definition_put_json(def, &json);
	if (rc == 0)
		rc = cu_metadata_put_definition(cu_store_metadata(set->opts.store), def->id, json.data, json.len,
						definition_stored, held);
	if (rc < 0)
		cu_definition_unref(&held);
	cu_buf_fini(&json);
	return rc;
}

/* Stores a new shape's row, and its definition's if need be. */
static int store_shape(cu_shape_set *set, cu_shape *shape, const cu_buf *where)
{
	struct cu_shape_row row = {
		.id = shape->id,
		.handle = shape->handle,
		.definition_id = shape->def->id,
		.where = where->len ? where->data : NULL,
		.where_len = where->len,
		.created_us = cu_wall_us(),
	};
	struct pending *pending = pending_new(set, shape);
	int rc = store_definition(set, shape->def);

	if (rc == 0)
		rc = cu_metadata_put_shape(cu_store_metadata(set->opts.store), &row, stored, pending);
	if (rc < 0)
		pending_free(pending);
	return rc;
}

cu_shape *cu_shape_set_get_or_create(cu_shape_set *set, cu_definition *def, cu_expr *where)
{
	struct shape_key key;
	cu_shape *shape;
	bool fresh;
	int rc;

	shape_key_init(&key, def, where);
	if (cu_buf_failed(&key.where)) {
		cu_expr_unref(&where);
		cu_shape_set_leave_definition(set, &def);
		shape = NULL;
		goto out;
	}
	pthread_mutex_lock(&set->lock);
	shape = cu_index_find(&set->by_key, key.hash, shape_is_of, &key);
	fresh = !shape;
	if (fresh) {
		shape = shape_for(set, &key, def, where);
		insert(set, shape);
	} else {
		cu_shape_ref(shape);
	}
	pthread_mutex_unlock(&set->lock);
	if (!fresh) {
		cu_expr_unref(&where);
		cu_shape_set_leave_definition(set, &def);
		goto out;
	}
	cu_info("new shape", CU_KV("handle", shape->handle), CU_KV("schema", def->schema), CU_KV("table", def->name),
		CU_KV("where", cu_buf_str(&key.where)));
	rc = store_shape(set, shape, &key.where);
	if (rc < 0)
		stored(pending_new(set, shape), rc);
	else
		set->opts.create(set->opts.ctx, shape);
out:
	cu_buf_fini(&key.where);
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
	}
	pthread_mutex_lock(&pending->set->lock);
	pending->set->removals--;
	if (rc < 0)
		keep_unremoved(pending->set, pending->shape->id);
	pthread_mutex_unlock(&pending->set->lock);
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
	left = set->removals_retried + (CU_MUTANT(CHECKPOINT_PASSES_REMOVALS) ? 0 : set->removals);
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

size_t cu_shape_set_unremoved(cu_shape_set *set)
{
	size_t len;

	pthread_mutex_lock(&set->lock);
	len = set->unremoved_len + set->removals_retried;
	pthread_mutex_unlock(&set->lock);
	return len;
}

void cu_shape_set_remove(cu_shape_set *set, cu_shape *shape, const char *why, struct cu_shape_failure *failure)
{
	struct pending *pending;
	bool first;
	int rc;

	pthread_mutex_lock(&set->lock);
	cu_shape_lock(shape);
	first = shape->state == CU_SHAPE_CREATING || shape->state == CU_SHAPE_LIVE;
	if (first) {
		shape->state = CU_SHAPE_REMOVING;
		set->removals++; /* before it stops listening: what it misses from then on no checkpoint may cover */
		if (failure)
			cu_shape_set_failure(shape, failure);
		cu_index_remove(&set->by_key, shape);
	} else if (failure) {
		free(failure->message);
	}
	cu_shape_unlock(shape);
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

uint64_t cu_shape_set_last_id(cu_shape_set *set)
{
	return cu_metadata_last_shape_id(cu_store_metadata(set->opts.store));
}
