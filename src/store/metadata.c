/* metadata.c: the queue, the writer thread with group commit, and loading; the SQL is in metadata_sql.c. */
#include "store/metadata.h"

#include "base/limits.h"
#include "base/log.h"
#include "store/metadata_internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define METADATA_MAGIC 0x3E7ADA7Au
#define WRITER_STACK_BYTES (512u * 1024)

struct cu_metadata {
	unsigned magic;

	/* any thread, under mtx */
	pthread_mutex_t mtx;
	pthread_cond_t work; /* the queue is not empty, or closing */
	pthread_cond_t room; /* the queue was taken */
	struct cu_metadata_op *head;
	struct cu_metadata_op **tail;
	unsigned queue_len; /* <= CU_METADATA_QUEUE_MAX */
	bool closing;
	int first_error; /* since the last sync */

	/* any thread */
	_Atomic uint64_t next_shape_id;
	_Atomic uint64_t removals_failed;

	/* the opener until the writer runs, then the writer */
	struct cu_metadata_db *db;

	/* any thread, under reader_mtx */
	pthread_mutex_t reader_mtx;
	struct cu_metadata_db *reader;

	/* the writer */
	bool damaged;

	/* set once */
	void (*on_damage)(void *ctx); /* NULL: nobody asks */
	void *on_damage_ctx;
	uint64_t log_start; /* when it was opened */
	char *damaged_path; /* a file that says to the next open what the writer found */
	pthread_t thread;
	bool thread_runs;
};

static void op_free(struct cu_metadata_op *op)
{
	free(op->text);
	free(op->published);
	free(op->blob);
	free(op->chunks);
	free(op);
}

/* What a writer stumbles over, a reader of the rows may never see: then the next start would go well, and this process
 * fail again at the same page. So it is written down. */
static void note_damage(struct cu_metadata *md)
{
	int fd = -1;

	if (md->damaged)
		return;
	md->damaged = true;
	if (cu_file_open(&cu_file_system, md->damaged_path, O_WRONLY | O_CREAT, &fd) == 0)
		(void)cu_file_sync(&cu_file_system, fd); /* it is there for every start until the machine goes down */
	cu_file_close(&cu_file_system, &fd);
	if (md->on_damage)
		md->on_damage(md->on_damage_ctx);
}

/* After a COMMIT: what must be folded for somebody, and what should be because it is long. */
static void fold(struct cu_metadata *md, struct cu_metadata_op *ops)
{
	bool wanted = false;
	int rc;

	for (struct cu_metadata_op *op = ops; op; op = op->next)
		wanted |= op->kind == CU_METADATA_SET_LOG_START;
	if (!wanted && !cu_metadata_db_is_long(md->db))
		return;
	rc = cu_metadata_db_fold(md->db);
	if (rc == CU_ECORRUPT)
		note_damage(md);
	for (struct cu_metadata_op *op = ops; op; op = op->next)
		if (op->kind == CU_METADATA_SET_LOG_START)
			op->rc = rc;
}

/* Runs what was taken in one transaction; every rc is set afterwards. */
static void group_run(struct cu_metadata *md, struct cu_metadata_op *ops)
{
	struct cu_metadata_db *db = md->db;
	int rc = cu_metadata_db_begin(db);

	for (struct cu_metadata_op *op = ops; op && rc == 0; op = op->next) {
		if (op->kind == CU_METADATA_PUT_CHECKPOINT && op->num[5] != cu_metadata_removals_failed(md)) {
			op->rc = CU_EAGAIN;
			continue;
		}
		op->rc = cu_metadata_db_run(db, op);
		/* These two are the operation's own trouble and have changed nothing; the rest is the disk's. */
		if (op->rc < 0 && op->rc != CU_EEXIST && op->rc != CU_ENOTFOUND)
			rc = op->rc;
	}
	if (rc == 0)
		rc = cu_metadata_db_commit(db);
	if (rc == 0) {
		fold(md, ops);
		return;
	}
	cu_metadata_db_rollback(db);
	if (rc == CU_ECORRUPT)
		note_damage(md);
	for (struct cu_metadata_op *op = ops; op; op = op->next)
		op->rc = rc;
}

static void *writer_main(void *arg)
{
	struct cu_metadata *md = arg;
	struct cu_metadata_op *ops;

	pthread_mutex_lock(&md->mtx);
	while (true) {
		while (!md->head && !md->closing)
			pthread_cond_wait(&md->work, &md->mtx);
		if (!md->head)
			break;
		ops = md->head;
		md->head = NULL;
		md->tail = &md->head;
		md->queue_len = 0;
		pthread_cond_broadcast(&md->room);
		pthread_mutex_unlock(&md->mtx);

		group_run(md, ops);
		while (ops) {
			struct cu_metadata_op *op = ops;

			ops = op->next;
			if (op->rc < 0 && op->kind != CU_METADATA_GET) {
				pthread_mutex_lock(&md->mtx);
				if (md->first_error == 0)
					md->first_error = op->rc;
				pthread_mutex_unlock(&md->mtx);
			}
			if (op->done)
				op->done(op->ctx, op->rc);
			if (op->rc < 0 && op->kind == CU_METADATA_REMOVE_SHAPE)
				atomic_fetch_add(&md->removals_failed, 1);
			op_free(op);
		}
		pthread_mutex_lock(&md->mtx);
	}
	pthread_mutex_unlock(&md->mtx);
	return NULL;
}

static int writer_start(struct cu_metadata *md)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WRITER_STACK_BYTES);
	err = pthread_create(&md->thread, &attr, writer_main, md);
	pthread_attr_destroy(&attr);
	if (err != 0) {
		cu_error("the metadata thread cannot start", CU_KV("error", strerror(err)));
		return CU_ENOMEM;
	}
	pthread_setname_np(md->thread, "metadata");
	md->thread_runs = true;
	return 0;
}

int cu_metadata_open(const char *path, const struct cu_metadata_loader *loader, cu_metadata **ret_md)
{
	struct cu_metadata *md = cu_xzalloc(sizeof *md);
	uint64_t shape_id_max = 0;
	int rc;

	md->magic = METADATA_MAGIC;
	atomic_init(&md->next_shape_id, 1);
	pthread_mutex_init(&md->mtx, NULL);
	pthread_cond_init(&md->work, NULL);
	pthread_cond_init(&md->room, NULL);
	pthread_mutex_init(&md->reader_mtx, NULL);
	md->tail = &md->head;
	md->damaged_path = cu_file_path("%s" CU_METADATA_DAMAGED_SUFFIX, path);
	if (access(md->damaged_path, F_OK) == 0) {
		cu_error("the metadata were found damaged when they were last written to", CU_KV("path", path));
		rc = CU_ECORRUPT;
		goto out;
	}
	rc = cu_metadata_db_open(path, &md->db);
	if (rc == 0 && loader && loader->older && cu_metadata_db_was(md->db))
		rc = loader->older(loader->ctx, cu_metadata_db_was(md->db));
	if (rc < 0)
		goto out;
	rc = cu_metadata_db_load(md->db, loader, &shape_id_max);
	if (rc < 0)
		goto out;
	rc = cu_metadata_db_get_log_start(md->db, &md->log_start);
	if (rc < 0)
		goto out;
	rc = cu_metadata_db_open_reader(path, &md->reader);
	if (rc < 0)
		goto out;
	cu_metadata_know_shape_id(md, shape_id_max);
	rc = writer_start(md);
	if (rc < 0)
		goto out;
	*ret_md = md;
	md = NULL;
out:
	cu_metadata_free(&md);
	return rc;
}

void cu_metadata_free(cu_metadata **ref)
{
	struct cu_metadata *md = *ref;

	if (!md)
		return;
	CU_ASSERT(md->magic == METADATA_MAGIC);
	pthread_mutex_lock(&md->mtx);
	md->closing = true;
	pthread_cond_signal(&md->work);
	pthread_cond_broadcast(&md->room);
	pthread_mutex_unlock(&md->mtx);
	if (md->thread_runs)
		pthread_join(md->thread, NULL);
	/* The writer's last: it folds the write-ahead file into the other one. */
	cu_metadata_db_close(&md->reader);
	cu_metadata_db_close(&md->db);
	pthread_mutex_destroy(&md->reader_mtx);
	pthread_cond_destroy(&md->work);
	pthread_cond_destroy(&md->room);
	pthread_mutex_destroy(&md->mtx);
	*ref = NULL;
	md->magic = 0;
	free(md->damaged_path);
	free(md);
}

static void ops_free(struct cu_metadata_op *op)
{
	while (op) {
		struct cu_metadata_op *next = op->next;

		op_free(op);
		op = next;
	}
}

/* The queue is full. Under mtx. */
static bool may_wait(const struct cu_metadata *md, enum cu_metadata_kind kind)
{
	switch (kind) {
	case CU_METADATA_PUT_SHAPE:
	case CU_METADATA_PUT_DEFINITION:
	case CU_METADATA_REMOVE_SHAPE:
	case CU_METADATA_REMOVE_DEFINITION: return false;
	/* The writer never waits for itself: a `done` that queues more finds room or makes the queue longer. */
	default: return !(md->thread_runs && pthread_equal(pthread_self(), md->thread));
	}
}

/* Takes op and those behind it, whatever happens; they are one transaction, whose end the last one's `done` is told. */
static int op_queue(struct cu_metadata *md, struct cu_metadata_op *op, cu_store_done *done, void *ctx)
{
	struct cu_metadata_op *last = op;
	unsigned len = 1;
	int rc = 0;

	CU_ASSERT(md->magic == METADATA_MAGIC);
	for (; last->next; last = last->next)
		len++;
	last->done = done;
	last->ctx = ctx;
	pthread_mutex_lock(&md->mtx);
	while (md->queue_len >= CU_METADATA_QUEUE_MAX && !md->closing && may_wait(md, op->kind))
		pthread_cond_wait(&md->room, &md->mtx);
	if (md->closing) {
		rc = CU_ECLOSED;
	} else if (md->queue_len >= CU_METADATA_QUEUE_MAX &&
		   (op->kind == CU_METADATA_PUT_SHAPE || op->kind == CU_METADATA_PUT_DEFINITION)) {
		rc = CU_EFULL;
	} else {
		*md->tail = op;
		md->tail = &last->next;
		md->queue_len += len;
		pthread_cond_signal(&md->work);
	}
	pthread_mutex_unlock(&md->mtx);
	if (rc < 0)
		ops_free(op);
	return rc;
}

static struct cu_metadata_op *op_new(enum cu_metadata_kind kind)
{
	struct cu_metadata_op *op = cu_xzalloc(sizeof *op);

	op->kind = kind;
	return op;
}

/* Copies to op->blob; frees op when it fails. */
static int op_set_blob(struct cu_metadata_op *op, const void *blob, size_t len)
{
	/* Here and not in SQLite, where it would take the whole group with it. */
	if (len > CU_METADATA_BLOB_MAX) {
		op_free(op);
		return CU_ETOOBIG;
	}
	op->blob = cu_try_malloc(len ? len : 1);
	if (!op->blob) {
		op_free(op);
		return CU_ENOMEM;
	}
	if (len)
		memcpy(op->blob, blob, len);
	op->blob_len = len;
	return 0;
}

/* The same for one of its texts. */
static int op_set_text(struct cu_metadata_op *op, char **ret_text, const char *text)
{
	size_t size = strlen(text) + 1;

	*ret_text = cu_try_malloc(size);
	if (!*ret_text) {
		op_free(op);
		return CU_ENOMEM;
	}
	memcpy(*ret_text, text, size);
	return 0;
}

int cu_metadata_put_shape(cu_metadata *md, const struct cu_shape_row *row, cu_store_done *done, void *ctx)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_PUT_SHAPE);
	int rc;

	op->num[0] = row->id;
	op->num[1] = row->created_us;
	op->num[2] = row->definition_id;
	rc = op_set_text(op, &op->text, row->handle);
	if (rc == 0 && row->where)
		rc = op_set_blob(op, row->where, row->where_len);
	return rc < 0 ? rc : op_queue(md, op, done, ctx);
}

int cu_metadata_set_snapshot(cu_metadata *md, uint64_t shape_id, const struct cu_snapshot_info *info,
			     cu_store_done *done, void *ctx)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_SET_SNAPSHOT);
	int rc;

	op->num[0] = shape_id;
	op->num[1] = info->xmin;
	op->num[2] = info->xmax;
	op->num[3] = info->lsn;
	op->num[4] = info->route_column;
	op->num[5] = info->route_hash;
	op->has_route_key = info->has_route_key;
	rc = op_set_text(op, &op->text, info->xip ? info->xip : "");
	if (rc == 0)
		rc = op_set_text(op, &op->published, info->published ? info->published : "");
	if (rc < 0)
		return rc;
	if (info->is_small) {
		op->is_small = true;
		rc = op_set_blob(op, info->small, info->small_len);
		if (rc < 0)
			return rc;
	} else if (info->chunks_len > 0) {
		op->chunks = cu_try_malloc(info->chunks_len * sizeof *info->chunks);
		if (!op->chunks) {
			op_free(op);
			return CU_ENOMEM;
		}
		memcpy(op->chunks, info->chunks, info->chunks_len * sizeof *info->chunks);
		op->chunks_len = info->chunks_len;
	}
	return op_queue(md, op, done, ctx);
}

int cu_metadata_remove_shape(cu_metadata *md, uint64_t shape_id, cu_store_done *done, void *ctx)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_REMOVE_SHAPE);

	op->num[0] = shape_id;
	return op_queue(md, op, done, ctx);
}

static int log_chunk_op(const struct cu_log_chunk_row *row, struct cu_metadata_op **ret_op)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_PUT_LOG_CHUNK);
	int rc = 0;

	op->num[0] = row->shape_id;
	op->num[1] = row->n;
	op->num[2] = row->last_tx;
	op->num[3] = row->last_op;
	op->num[4] = row->wire_bytes;
	op->num[5] = row->info.bytes;
	op->num[6] = row->info.items;
	op->num[7] = row->info.crc;
	op->num[8] = (row->ends ? CU_LOG_CHUNK_ENDS : 0) | (row->compacted ? CU_LOG_CHUNK_COMPACTED : 0) |
		     (row->kept ? CU_LOG_CHUNK_KEPT : 0) | (row->settled ? CU_LOG_CHUNK_SETTLED : 0) |
		     (row->is_small ? CU_LOG_CHUNK_SMALL : 0);
	op->is_small = row->is_small;
	if (row->is_small)
		rc = op_set_blob(op, row->small, row->info.bytes);
	if (rc == 0)
		*ret_op = op;
	return rc;
}

int cu_metadata_put_log_chunks(cu_metadata *md, const struct cu_log_chunk_row *rows, size_t rows_len, uint64_t from_tx,
			       uint64_t from_op, cu_store_done *done, void *ctx)
{
	struct cu_metadata_op *ops = NULL, **end = &ops;
	int rc = 0;

	CU_ASSERT(rows_len > 0);
	for (size_t i = 0; rc == 0 && i < rows_len; i++) {
		rc = log_chunk_op(&rows[i], end);
		if (rc < 0)
			break;
		(*end)->follows = i > 0;
		end = &(*end)->next;
	}
	if (rc < 0) {
		ops_free(ops);
		return rc;
	}
	ops->num[9] = from_tx;
	ops->num[10] = from_op;
	ops->num[11] = rows[rows_len - 1].last_tx;
	ops->num[12] = rows[rows_len - 1].last_op;
	return op_queue(md, ops, done, ctx);
}

int cu_metadata_put_definition(cu_metadata *md, uint64_t id, const void *body, size_t len, cu_store_done *done,
			       void *ctx)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_PUT_DEFINITION);
	int rc;

	op->num[0] = id;
	rc = op_set_blob(op, body, len);
	return rc < 0 ? rc : op_queue(md, op, done, ctx);
}

int cu_metadata_remove_definition(cu_metadata *md, uint64_t id, cu_store_done *done, void *ctx)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_REMOVE_DEFINITION);

	op->num[0] = id;
	return op_queue(md, op, done, ctx);
}

int cu_metadata_put_checkpoint(cu_metadata *md, const struct cu_checkpoint *cp, cu_store_done *done, void *ctx)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_PUT_CHECKPOINT);

	op->num[0] = cp->lsn;
	op->num[1] = cp->log_pos;
	op->num[2] = cp->last_tx;
	op->num[3] = cp->system_id;
	op->num[4] = cp->timeline;
	op->num[5] = cp->removals_failed;
	return op_queue(md, op, done, ctx);
}

int cu_metadata_set(cu_metadata *md, const char *key, const void *value, size_t len, cu_store_done *done, void *ctx)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_SET);
	int rc;

	rc = op_set_text(op, &op->text, key);
	if (rc == 0)
		rc = op_set_blob(op, value, len);
	return rc < 0 ? rc : op_queue(md, op, done, ctx);
}

struct waiter {
	pthread_mutex_t mtx;
	pthread_cond_t woken;
	bool done;
	int rc;
};

static void waiter_done(void *ctx, int rc)
{
	struct waiter *waiter = ctx;

	pthread_mutex_lock(&waiter->mtx);
	waiter->done = true;
	waiter->rc = rc;
	pthread_cond_signal(&waiter->woken);
	pthread_mutex_unlock(&waiter->mtx);
}

/* Queues op (taken) and waits for its result. */
static int op_wait(struct cu_metadata *md, struct cu_metadata_op *op)
{
	struct waiter waiter = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };
	int rc;

	CU_ASSERT(!pthread_equal(pthread_self(), md->thread));
	rc = op_queue(md, op, waiter_done, &waiter);
	pthread_mutex_lock(&waiter.mtx);
	while (rc == 0 && !waiter.done)
		pthread_cond_wait(&waiter.woken, &waiter.mtx);
	pthread_mutex_unlock(&waiter.mtx);
	pthread_cond_destroy(&waiter.woken);
	pthread_mutex_destroy(&waiter.mtx);
	return rc < 0 ? rc : waiter.rc;
}

int cu_metadata_get_small(cu_metadata *md, uint64_t shape_id, cu_buf *bytes)
{
	int rc;

	CU_ASSERT(md->magic == METADATA_MAGIC);
	pthread_mutex_lock(&md->reader_mtx);
	rc = cu_metadata_db_get_small(md->reader, shape_id, bytes);
	pthread_mutex_unlock(&md->reader_mtx);
	return rc;
}

int cu_metadata_get_log_chunk(cu_metadata *md, uint64_t shape_id, uint32_t n, cu_buf *bytes)
{
	int rc;

	CU_ASSERT(md->magic == METADATA_MAGIC);
	pthread_mutex_lock(&md->reader_mtx);
	rc = cu_metadata_db_get_log_chunk(md->reader, shape_id, n, bytes);
	pthread_mutex_unlock(&md->reader_mtx);
	return rc;
}

int cu_metadata_get_chunk(cu_metadata *md, uint64_t shape_id, uint32_t n, struct cu_chunk_info *ret_info)
{
	int rc;

	CU_ASSERT(md->magic == METADATA_MAGIC);
	pthread_mutex_lock(&md->reader_mtx);
	rc = cu_metadata_db_get_chunk(md->reader, shape_id, n, ret_info);
	pthread_mutex_unlock(&md->reader_mtx);
	return rc;
}

int cu_metadata_get(cu_metadata *md, const char *key, cu_buf *value)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_GET);
	int rc;

	op->ret_value = value;
	rc = op_set_text(op, &op->text, key);
	return rc < 0 ? rc : op_wait(md, op);
}

int cu_metadata_sync(cu_metadata *md)
{
	int rc = op_wait(md, op_new(CU_METADATA_SYNC));

	pthread_mutex_lock(&md->mtx);
	if (rc == 0)
		rc = md->first_error;
	md->first_error = 0;
	pthread_mutex_unlock(&md->mtx);
	return rc;
}

int cu_metadata_set_log_start(cu_metadata *md, uint64_t pos)
{
	struct cu_metadata_op *op = op_new(CU_METADATA_SET_LOG_START);

	op->num[0] = pos;
	return op_wait(md, op);
}

uint64_t cu_metadata_log_start(const cu_metadata *md)
{
	return md->log_start;
}

uint64_t cu_metadata_removals_failed(const cu_metadata *md)
{
	return atomic_load(&md->removals_failed);
}

uint64_t cu_metadata_next_shape_id(cu_metadata *md)
{
	return atomic_fetch_add_explicit(&md->next_shape_id, 1, memory_order_relaxed);
}

uint64_t cu_metadata_last_shape_id(const cu_metadata *md)
{
	return atomic_load(&md->next_shape_id) - 1;
}

void cu_metadata_know_shape_id(cu_metadata *md, uint64_t id)
{
	uint64_t next = atomic_load_explicit(&md->next_shape_id, memory_order_relaxed);

	while (next <= id && !atomic_compare_exchange_weak_explicit(&md->next_shape_id, &next, id + 1,
								    memory_order_relaxed, memory_order_relaxed))
		;
}

void cu_metadata_on_damage(cu_metadata *md, void (*damaged)(void *ctx), void *ctx)
{
	md->on_damage = damaged;
	md->on_damage_ctx = ctx;
}
