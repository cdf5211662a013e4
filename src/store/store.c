#include "store/store.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define STORE_MAGIC 0x5709A6E5u
#define WORKER_STACK_BYTES (256u * 1024)

struct cu_store {
	unsigned magic;

	/* set once */
	char *dir;
	const struct cu_file_ops *ops;
	int lock_fd;
	cu_changelog *changelog;
	cu_chunks *chunks;
	cu_metadata *metadata;
	pthread_t thread;
	bool thread_runs;

	/* any thread, under mtx, which is never held across a call into the parts */
	pthread_mutex_t mtx;
	pthread_cond_t work;
	bool stopping;
	bool trash;             /* there may be something in it */
	bool checkpoint_queued; /* the worker has not begun it */
	bool checkpoint_busy;   /* from cu_store_checkpoint until just before its done */
	struct cu_checkpoint checkpoint;
	cu_store_done *checkpoint_done;
	void *checkpoint_ctx;
};

/* ---- checkpoint and trash: the store's own thread ---- */

/* On the worker when the sync failed, else on the metadata thread. */
static void checkpoint_finished(void *ctx, int rc)
{
	struct cu_store *store = ctx;
	cu_store_done *done;
	void *done_ctx;

	pthread_mutex_lock(&store->mtx);
	done = store->checkpoint_done;
	done_ctx = store->checkpoint_ctx;
	/* Before `done`, so that it may ask for the next one. */
	store->checkpoint_busy = false;
	pthread_mutex_unlock(&store->mtx);
	if (done)
		done(done_ctx, rc);
}

static void checkpoint_run(struct cu_store *store, const struct cu_checkpoint *cp)
{
	int rc = cu_changelog_sync(store->changelog, cp->log_pos);

	if (rc == 0)
		rc = cu_metadata_put_checkpoint(store->metadata, cp, checkpoint_finished, store);
	if (rc < 0)
		checkpoint_finished(store, rc);
}

static void *worker_main(void *arg)
{
	struct cu_store *store = arg;
	struct cu_checkpoint cp;
	bool more;
	int rc;

	pthread_mutex_lock(&store->mtx);
	while (true) {
		if (store->checkpoint_queued) {
			store->checkpoint_queued = false;
			cp = store->checkpoint;
			pthread_mutex_unlock(&store->mtx);
			checkpoint_run(store, &cp);
			pthread_mutex_lock(&store->mtx);
		} else if (store->stopping) {
			break; /* what is left in the trash goes at the next start */
		} else if (store->trash) {
			store->trash = false;
			pthread_mutex_unlock(&store->mtx);
			more = false;
			rc = cu_chunks_empty_trash(store->chunks, CU_STORE_TRASH_SLICE, &more);
			pthread_mutex_lock(&store->mtx);
			/* After an error the next removal tries again; it was logged. */
			if (rc == 0 && more)
				store->trash = true;
		} else {
			pthread_cond_wait(&store->work, &store->mtx);
		}
	}
	pthread_mutex_unlock(&store->mtx);
	return NULL;
}

int cu_store_checkpoint(cu_store *store, const struct cu_checkpoint *cp, cu_store_done *done, void *ctx)
{
	int rc = 0;

	CU_ASSERT(store->magic == STORE_MAGIC);
	pthread_mutex_lock(&store->mtx);
	if (store->stopping) {
		rc = CU_ECLOSED;
	} else if (store->checkpoint_busy) {
		rc = CU_EBUSY;
	} else {
		store->checkpoint = *cp;
		store->checkpoint_done = done;
		store->checkpoint_ctx = ctx;
		store->checkpoint_busy = true;
		store->checkpoint_queued = true;
		pthread_cond_signal(&store->work);
	}
	pthread_mutex_unlock(&store->mtx);
	return rc;
}

int cu_store_drop_log(cu_store *store, uint64_t pos)
{
	int rc;

	CU_ASSERT(store->magic == STORE_MAGIC);
	if (!cu_changelog_can_drop_before(store->changelog, pos))
		return 0;
	rc = cu_metadata_set_log_start(store->metadata, pos);
	return rc < 0 ? rc : cu_changelog_drop_before(store->changelog, pos);
}

struct removal {
	struct cu_store *store;
	uint64_t shape_id;
	cu_store_done *done;
	void *ctx;
};

static void removal_trash(struct cu_store *store, uint64_t shape_id)
{
	/* The row is gone: files that stay behind cost room until the next start, nothing else. */
	if (cu_chunks_remove_shape(store->chunks, shape_id) < 0)
		cu_warn("the files of a removed shape stay until the next start", CU_KV_U64("shape_id", shape_id));
	pthread_mutex_lock(&store->mtx);
	store->trash = true;
	pthread_cond_signal(&store->work);
	pthread_mutex_unlock(&store->mtx);
}

static void removal_durable(void *ctx, int rc)
{
	struct removal *removal = ctx;

	if (rc == 0)
		removal_trash(removal->store, removal->shape_id);
	if (removal->done)
		removal->done(removal->ctx, rc);
	free(removal);
}

int cu_store_remove_shape(cu_store *store, uint64_t shape_id, cu_store_done *done, void *ctx)
{
	struct removal *removal = cu_xzalloc(sizeof *removal);
	int rc;

	CU_ASSERT(store->magic == STORE_MAGIC);
	*removal = (struct removal){ store, shape_id, done, ctx };
	if (CU_MUTANT(FILES_GO_FIRST))
		removal_trash(store, shape_id);
	rc = cu_metadata_remove_shape(store->metadata, shape_id, removal_durable, removal);
	if (rc < 0)
		free(removal);
	return rc;
}

/* ---- opening ---- */

/* What open needs of the rows besides handing them on. */
struct load {
	const struct cu_store_loader *loader;
	uint64_t log_pos;
	uint64_t *ids; /* ascending */
	size_t ids_len;
	size_t ids_cap;
	struct cu_store *store;
};

static int load_checkpoint(void *ctx, const struct cu_checkpoint *cp)
{
	struct load *load = ctx;

	load->log_pos = cp->log_pos;
	if (!load->loader || !load->loader->metadata.checkpoint)
		return 0;
	return load->loader->metadata.checkpoint(load->loader->metadata.ctx, cp);
}

static int load_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	struct load *load = ctx;

	if (!load->loader || !load->loader->metadata.definition)
		return 0;
	return load->loader->metadata.definition(load->loader->metadata.ctx, id, body, len);
}

static int load_shape_count(void *ctx, uint64_t count)
{
	struct load *load = ctx;

	if (!load->loader || !load->loader->metadata.shapes)
		return 0;
	return load->loader->metadata.shapes(load->loader->metadata.ctx, count);
}

static int load_shape(void *ctx, const struct cu_shape_row *row)
{
	struct load *load = ctx;

	if (load->ids_len == load->ids_cap) {
		size_t cap = load->ids_cap ? load->ids_cap * 2 : 256;
		uint64_t *ids = cu_try_realloc(load->ids, cap * sizeof *ids);

		if (!ids)
			return CU_ENOMEM;
		load->ids = ids;
		load->ids_cap = cap;
	}
	load->ids[load->ids_len++] = row->id;
	if (!load->loader || !load->loader->metadata.shape)
		return 0;
	return load->loader->metadata.shape(load->loader->metadata.ctx, row);
}

static int load_log_chunk(void *ctx, const struct cu_log_chunk_row *row)
{
	struct load *load = ctx;

	if (!load->loader || !load->loader->metadata.log_chunk)
		return 0;
	return load->loader->metadata.log_chunk(load->loader->metadata.ctx, row);
}

static int load_damaged(void *ctx, bool is_definition, uint64_t id)
{
	struct load *load = ctx;

	if (!load->loader || !load->loader->metadata.damaged)
		return CU_ECORRUPT;
	return load->loader->metadata.damaged(load->loader->metadata.ctx, is_definition, id);
}

/* An id that the log still names must not be given to a new shape, be it that metadata have forgotten it. */
static int replay_fanout(void *ctx, const struct cu_fanout *fanout, const struct cu_changelog_item *items)
{
	struct load *load = ctx;

	for (uint32_t i = 0; i < fanout->shapes_len; i++)
		cu_metadata_know_shape_id(load->store->metadata, fanout->shapes[i].shape_id);
	return load->loader && load->loader->replay ? load->loader->replay(load->loader->replay_ctx, fanout, items) : 0;
}

static int id_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int remove_orphan(void *ctx, uint64_t shape_id)
{
	struct load *load = ctx;

	if ((load->ids_len > 0 && bsearch(&shape_id, load->ids, load->ids_len, sizeof *load->ids, id_cmp)) ||
	    CU_MUTANT(ORPHANS_STAY))
		return 0;
	return cu_chunks_remove_shape(load->store->chunks, shape_id);
}

/* Makes the name of a directory durable in the one above: a new one's, or the store's, which a process may have made that was
 * killed before it came here. Somebody else's directory may not be ours to open; then its owner has made ours, long ago. */
static int parent_sync(const struct cu_file_ops *ops, const char *path, bool is_new)
{
	const char *slash = strrchr(path, '/');
	char *parent;
	int rc = 0;

	if (!slash)
		parent = cu_xstrdup(".");
	else
		parent = cu_xstrndup(path, CU_MAX((size_t)(slash - path), (size_t)1)); /* the root keeps its slash */
	if (is_new || access(parent, R_OK) == 0)
		rc = cu_file_sync_dir(ops, parent);
	free(parent);
	return rc;
}

/* mkdir -p */
static int dirs_make(const struct cu_file_ops *ops, const char *dir)
{
	char *path = cu_xstrdup(dir);
	int rc = 0;

	for (char *at = path + 1; rc == 0 && *path; at++) {
		char was = *at;

		if (was != '/' && was != '\0')
			continue;
		*at = '\0';
		rc = cu_file_mkdir(ops, path);
		if (rc == 0)
			rc = parent_sync(ops, path, true);
		else if (rc == CU_EEXIST)
			rc = was == '\0' && !CU_MUTANT(PARENT_SYNCED_ONCE) ? parent_sync(ops, path, false) : 0;
		*at = was;
		if (was == '\0')
			break;
	}
	if (rc == CU_ENOTFOUND) /* the one failure the file layer says nothing about; /proc and dangling links */
		cu_error("the storage directory cannot be made there; use another one", CU_KV("dir", dir));
	free(path);
	return rc;
}

static int store_lock(struct cu_store *store)
{
	char *path = cu_file_path("%s/lock", store->dir);
	int rc = cu_file_open(store->ops, path, O_RDWR | O_CREAT, &store->lock_fd);

	if (rc == 0 && flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		rc = errno == EWOULDBLOCK ? CU_EBUSY : CU_EIO;
		if (rc == CU_EIO)
			cu_error("the storage directory cannot be locked", CU_KV("dir", store->dir),
				 CU_KV("error", strerror(errno)));
	}
	free(path);
	return rc;
}

static int format_write(struct cu_store *store)
{
	char *path = cu_file_path("%s/format", store->dir), *tmp = cu_file_path("%s.tmp", path);
	int fd = -1;
	int rc;

	rc = cu_file_open(store->ops, tmp, O_RDWR | O_CREAT | O_TRUNC, &fd);
	if (rc == 0)
		rc = cu_file_write_at(store->ops, fd, CU_STORE_FORMAT, strlen(CU_STORE_FORMAT), 0);
	if (rc == 0)
		rc = cu_file_sync(store->ops, fd);
	if (rc == 0)
		rc = cu_file_rename(store->ops, tmp, path);
	if (rc == 0)
		rc = cu_file_sync_dir(store->ops, store->dir);
	cu_file_close(store->ops, &fd);
	free(path);
	free(tmp);
	return rc;
}

bool cu_store_format_is_damaged(const char *text, size_t len)
{
	unsigned bits = 0;
	size_t zeros = 0;

	/* A file system that crashed may leave a file with its length and none of its bytes. */
	while (zeros < len && text[zeros] == '\0')
		zeros++;
	if (zeros == len)
		return true;
	if (len > strlen(CU_STORE_FORMAT))
		return false;
	for (size_t i = 0; i < len; i++)
		bits += (unsigned)__builtin_popcount((unsigned)(uint8_t)(text[i] ^ CU_STORE_FORMAT[i]));
	return len < strlen(CU_STORE_FORMAT) ? bits == 0 : bits == 1;
}

/* *ret_damaged: it does not tell the version. What else is there does, and only then is it written anew. */
static int format_check(struct cu_store *store, bool *ret_damaged)
{
	char *path = cu_file_path("%s/format", store->dir);
	char text[sizeof CU_STORE_FORMAT + 1];
	size_t len = 0;
	int fd = -1;
	int rc;

	rc = cu_file_open(store->ops, path, O_RDONLY, &fd);
	if (rc == CU_ENOTFOUND) {
		rc = format_write(store);
		goto out;
	}
	if (rc == 0)
		rc = cu_file_read_at(store->ops, fd, text, sizeof text, 0, &len);
	if (rc == 0 && cu_store_format_is_damaged(text, len)) {
		cu_warn("the storage directory's format file is damaged; it is written anew if the rest can be read",
			CU_KV("dir", store->dir), CU_KV_N("format", text, len));
		*ret_damaged = true;
	} else if (rc == 0 && (len != strlen(CU_STORE_FORMAT) || memcmp(text, CU_STORE_FORMAT, len) != 0)) {
		cu_error(
			"the storage directory has another format; use the version that wrote it, or another directory",
			CU_KV("dir", store->dir), CU_KV_N("format", text, len), CU_KV("supported", CU_STORE_FORMAT));
		rc = CU_EUNSUPPORTED;
	}
out:
	cu_file_close(store->ops, &fd);
	free(path);
	return rc;
}

static int parts_open(struct cu_store *store, struct load *load)
{
	struct cu_metadata_loader loader = { .ctx = load,
					     .checkpoint = load_checkpoint,
					     .definition = load_definition,
					     .shapes = load_shape_count,
					     .shape = load_shape,
					     .log_chunk = load_log_chunk,
					     .damaged = load_damaged };
	struct cu_changelog_opts opts = { .ops = store->ops };
	char *metadata_path = cu_file_path("%s/metadata.sqlite3", store->dir);
	char *log_dir = cu_file_path("%s/log", store->dir);
	int rc;

	rc = cu_chunks_new(store->dir, store->ops, &store->chunks);
	if (rc < 0)
		goto out;
	rc = cu_file_mkdir(store->ops, log_dir);
	if (rc < 0 && rc != CU_EEXIST)
		goto out;
	rc = cu_metadata_open(metadata_path, &loader, &store->metadata);
	if (rc < 0)
		goto out;
	/* The names of log, shapes and the metadata file. */
	rc = cu_file_sync_dir(store->ops, store->dir);
	if (rc < 0)
		goto out;
	opts.dir = log_dir;
	opts.end_pos = load->log_pos;
	opts.replay = replay_fanout;
	opts.replay_ctx = load;
	rc = cu_changelog_open(&opts, &store->changelog);
	if (rc == 0 && cu_changelog_start(store->changelog) > cu_metadata_log_start(store->metadata)) {
		cu_error("the metadata are older than the change log", CU_KV("dir", store->dir),
			 CU_KV_U64("log_start", cu_changelog_start(store->changelog)),
			 CU_KV_U64("known", cu_metadata_log_start(store->metadata)));
		rc = CU_ECORRUPT;
	}
	if (rc < 0)
		goto out;
	rc = cu_chunks_each_shape(store->chunks, remove_orphan, load);
	/* An id whose row was never stored is used again: the directory that had its name must not come back. */
	if (rc == 0)
		rc = cu_chunks_sync_all(store->chunks);
out:
	free(metadata_path);
	free(log_dir);
	return rc;
}

static int worker_start(struct cu_store *store)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
	err = pthread_create(&store->thread, &attr, worker_main, store);
	pthread_attr_destroy(&attr);
	if (err != 0) {
		cu_error("the storage thread cannot start", CU_KV("error", strerror(err)));
		return CU_ENOMEM;
	}
	pthread_setname_np(store->thread, "store");
	store->thread_runs = true;
	return 0;
}

int cu_store_open(const char *dir, const struct cu_file_ops *ops, const struct cu_store_loader *loader,
		  cu_store **ret_store)
{
	struct cu_store *store = cu_xzalloc(sizeof *store);
	struct load load = { .loader = loader, .store = store };
	bool damaged = false;
	int rc;

	store->magic = STORE_MAGIC;
	store->dir = cu_xstrdup(dir);
	store->ops = ops ? ops : &cu_file_system;
	store->lock_fd = -1;
	store->trash = true; /* of the run before */
	pthread_mutex_init(&store->mtx, NULL);
	pthread_cond_init(&store->work, NULL);
	rc = dirs_make(store->ops, dir);
	if (rc == 0)
		rc = store_lock(store);
	if (rc == 0 && loader && loader->locked)
		loader->locked(loader->metadata.ctx);
	if (rc == 0)
		rc = format_check(store, &damaged);
	if (rc == 0)
		rc = parts_open(store, &load);
	if (rc == 0 && damaged)
		rc = format_write(store);
	if (rc == 0)
		rc = worker_start(store);
	if (rc < 0)
		goto out;
	*ret_store = store;
	store = NULL;
out:
	cu_store_free(&store);
	free(load.ids);
	return rc;
}

static int move(struct cu_store *store, const char *from, const char *to)
{
	char *path_from = cu_file_path("%s/%s", store->dir, from);
	char *path_to = cu_file_path("%s/%s", store->dir, to);
	int rc = cu_file_rename(store->ops, path_from, path_to);

	free(path_from);
	free(path_to);
	return rc == CU_ENOTFOUND ? 0 : rc;
}

int cu_store_set_aside(const char *dir, const struct cu_file_ops *ops)
{
	struct cu_store *store = cu_xzalloc(sizeof *store);
	char *log = cu_file_path("trash/log.%" PRIu64, cu_wall_us());
	int rc;

	store->dir = cu_xstrdup(dir);
	store->ops = ops ? ops : &cu_file_system;
	store->lock_fd = -1;
	rc = store_lock(store);
	/* The log first: the metadata's checkpoint asks for it, so a crash in between is damage again. */
	if (rc == 0)
		rc = move(store, "log", log);
	if (rc == 0)
		rc = move(store, "metadata.sqlite3-wal", "metadata.damaged.sqlite3-wal");
	if (rc == 0)
		rc = move(store, "metadata.sqlite3-shm", "metadata.damaged.sqlite3-shm");
	if (rc == 0)
		rc = move(store, "metadata.sqlite3", "metadata.damaged.sqlite3");
	/* The last: while it is there, what is beside it is damage. */
	if (rc == 0)
		rc = move(store, "metadata.sqlite3" CU_METADATA_DAMAGED_SUFFIX, "metadata.damaged");
	if (rc == 0)
		rc = cu_file_sync_dir(store->ops, dir);
	cu_file_close(store->ops, &store->lock_fd);
	free(store->dir);
	free(store);
	free(log);
	return rc;
}

void cu_store_free(cu_store **ref)
{
	struct cu_store *store = *ref;

	if (!store)
		return;
	CU_ASSERT(store->magic == STORE_MAGIC);
	pthread_mutex_lock(&store->mtx);
	store->stopping = true;
	pthread_cond_signal(&store->work);
	pthread_mutex_unlock(&store->mtx);
	if (store->thread_runs)
		pthread_join(store->thread, NULL);
	/* Runs every callback that is left; they may still use the other parts. */
	cu_metadata_free(&store->metadata);
	cu_changelog_free(&store->changelog);
	cu_chunks_free(&store->chunks);
	cu_file_close(store->ops, &store->lock_fd);
	pthread_cond_destroy(&store->work);
	pthread_mutex_destroy(&store->mtx);
	*ref = NULL;
	store->magic = 0;
	free(store->dir);
	free(store);
}

const struct cu_file_ops *cu_store_file_ops(const cu_store *store)
{
	return store->ops;
}

const char *cu_store_dir(const cu_store *store)
{
	return store->dir;
}

cu_changelog *cu_store_changelog(cu_store *store)
{
	return store->changelog;
}

cu_chunks *cu_store_chunks(cu_store *store)
{
	return store->chunks;
}

cu_metadata *cu_store_metadata(cu_store *store)
{
	return store->metadata;
}
