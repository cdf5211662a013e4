#include "shape/chunk_check.h"

#include "base/cond.h"
#include "base/limits.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

struct job {
	cu_shape *shape; /* a reference; its `checking` is set */
	bool snapshot;
	uint32_t n;          /* of the snapshot: up to this one */
	cu_offset from, end; /* of the log */
};

struct cu_chunk_checks {
	/* set once */
	cu_shape_set *shapes;
	cu_store *store;
	pthread_t thread;
	bool running;

	/* any thread, under lock: a leaf */
	pthread_mutex_t lock;
	pthread_cond_t work;
	bool stopping;
	struct job *jobs; /* those from jobs_at on have not had their turn */
	size_t jobs_at, jobs_len, jobs_cap;
};

/* ---- asking ---- */

static void queue(cu_chunk_checks *checks, const struct job *job)
{
	pthread_mutex_lock(&checks->lock);
	if (checks->jobs_len == checks->jobs_cap && checks->jobs_at > checks->jobs_cap / 2) {
		checks->jobs_len -= checks->jobs_at;
		memmove(checks->jobs, checks->jobs + checks->jobs_at, checks->jobs_len * sizeof *checks->jobs);
		checks->jobs_at = 0;
	}
	if (checks->jobs_len == checks->jobs_cap) {
		checks->jobs_cap = checks->jobs_cap ? 2 * checks->jobs_cap : 16;
		checks->jobs = cu_xrealloc(checks->jobs, checks->jobs_cap * sizeof *checks->jobs);
	}
	checks->jobs[checks->jobs_len] = *job;
	checks->jobs[checks->jobs_len++].shape = cu_shape_ref(job->shape);
	pthread_cond_signal(&checks->work);
	pthread_mutex_unlock(&checks->lock);
}

/* Under the shape's lock: the first chunk of the range whose file nobody has looked at, or NULL. */
static struct cu_sealed *first_unknown(cu_shape *shape, cu_offset from, cu_offset end)
{
	cu_shape_log *log = shape->log;
	cu_offset before = from;

	for (uint32_t i = log ? cu_shape_log_seek(log, from) : 0; log && i < log->sealed_len; i++) {
		if (cu_offset_cmp(before, end) >= 0)
			break;
		if (!log->sealed[i].small && !log->sealed[i].good)
			return &log->sealed[i];
		before = cu_sealed_last(&log->sealed[i]);
	}
	return NULL;
}

static bool ask(cu_chunk_checks *checks, const struct job *job)
{
	cu_shape *shape = job->shape;
	bool good, asks;

	cu_shape_lock(shape);
	good = job->snapshot ? job->n < shape->chunks_good : !first_unknown(shape, job->from, job->end);
	asks = !good && !shape->checking;
	shape->checking |= asks;
	cu_shape_unlock(shape);
	if (asks)
		queue(checks, job);
	return good;
}

bool cu_chunk_check_snapshot(cu_chunk_checks *checks, cu_shape *shape, uint32_t n)
{
	return ask(checks, &(struct job){ .shape = shape, .snapshot = true, .n = n });
}

bool cu_chunk_check_log(cu_chunk_checks *checks, cu_shape *shape, cu_offset from, cu_offset end)
{
	return ask(checks, &(struct job){ .shape = shape, .from = from, .end = end });
}

/* ---- looking ---- */

static bool is_stopping(cu_chunk_checks *checks)
{
	bool stopping;

	pthread_mutex_lock(&checks->lock);
	stopping = checks->stopping;
	pthread_mutex_unlock(&checks->lock);
	return stopping;
}

/* Chunk chunks_good of the snapshot. 1: it is good. 0: the job is done. */
static int check_snapshot(cu_chunk_checks *checks, const struct job *job)
{
	cu_shape *shape = job->shape;
	struct cu_chunk_info info;
	uint32_t n;
	int rc;

	cu_shape_lock(shape);
	n = shape->chunks_good;
	cu_shape_unlock(shape);
	if (n > job->n)
		return 0;
	rc = cu_metadata_get_chunk(cu_store_metadata(checks->store), shape->id, n, &info);
	if (rc == 0)
		rc = cu_chunk_verify(cu_store_chunks(checks->store), shape->id, CU_CHUNK_SNAPSHOT, n, &info);
	if (rc < 0)
		return rc == CU_ENOTFOUND ? CU_ECORRUPT : rc;
	cu_shape_lock(shape);
	shape->chunks_good = n + 1;
	cu_shape_unlock(shape);
	return 1;
}

/* Under the shape's lock: the sealed chunk of this name, NULL: compaction has replaced it. */
static struct cu_sealed *find(cu_shape *shape, uint32_t n)
{
	for (uint32_t i = 0; i < shape->log->sealed_len; i++) {
		if (shape->log->sealed[i].n == n)
			return &shape->log->sealed[i];
	}
	return NULL;
}

/* The next chunk of the range; as above. */
static int check_log(cu_chunk_checks *checks, const struct job *job)
{
	cu_shape *shape = job->shape;
	struct cu_sealed chunk, *at;
	uint64_t bytes;
	uint32_t crc;
	bool known;
	int rc;

	cu_shape_lock(shape);
	at = first_unknown(shape, job->from, job->end);
	known = !at;
	if (at)
		chunk = *at;
	cu_shape_unlock(shape);
	if (known)
		return 0;
	rc = cu_chunk_crc(cu_store_chunks(checks->store), shape->id, CU_CHUNK_LOG, chunk.n, &bytes, &crc);
	if (rc == 0 && crc != chunk.crc)
		rc = CU_ECORRUPT;
	cu_shape_lock(shape);
	at = find(shape, chunk.n);
	if (rc == 0 && at)
		at->good = true;
	cu_shape_unlock(shape);
	if (!at)
		return 1;
	return rc == 0 ? 1 : rc == CU_ENOTFOUND ? CU_ECORRUPT : rc;
}

static void pause(cu_chunk_checks *checks)
{
	struct timespec until = cu_until_ms(cu_now_ms() + CU_CHUNK_CHECK_RETRY_MS);

	pthread_mutex_lock(&checks->lock);
	while (!checks->stopping && pthread_cond_timedwait(&checks->work, &checks->lock, &until) == 0)
		;
	pthread_mutex_unlock(&checks->lock);
}

static void do_job(cu_chunk_checks *checks, struct job *job)
{
	cu_shape *shape = job->shape;
	int rc = 1;

	while (rc == 1 && !is_stopping(checks))
		rc = job->snapshot ? check_snapshot(checks, job) : check_log(checks, job);
	if (rc == CU_ECORRUPT) {
		cu_shape_set_remove(checks->shapes, shape,
				    job->snapshot ? "its snapshot is damaged" : "its log is damaged", NULL);
	} else if (rc < 0) {
		/* Its readers wait, and ask again when they are woken. */
		cu_error("a chunk cannot be read; it is tried again", CU_KV("handle", shape->handle),
			 CU_KV("error", cu_strerror(rc)), CU_KV("next", "check the storage directory's disk"));
		pause(checks);
	}
	cu_shape_lock(shape);
	shape->checking = false;
	cu_shape_unlock(shape);
	cu_shape_set_wake(checks->shapes, shape);
	cu_shape_unref(&job->shape);
}

static void *run(void *arg)
{
	cu_chunk_checks *checks = arg;

	pthread_mutex_lock(&checks->lock);
	while (!checks->stopping) {
		struct job job;

		if (checks->jobs_at == checks->jobs_len) {
			checks->jobs_at = checks->jobs_len = 0;
			pthread_cond_wait(&checks->work, &checks->lock);
			continue;
		}
		job = checks->jobs[checks->jobs_at++];
		pthread_mutex_unlock(&checks->lock);
		do_job(checks, &job);
		pthread_mutex_lock(&checks->lock);
	}
	pthread_mutex_unlock(&checks->lock);
	return NULL;
}

int cu_chunk_checks_start(cu_shape_set *shapes, cu_store *store, cu_chunk_checks **ret_checks)
{
	cu_chunk_checks *checks = cu_xzalloc(sizeof *checks);

	checks->shapes = shapes;
	checks->store = store;
	pthread_mutex_init(&checks->lock, NULL);
	cu_cond_init(&checks->work);
	if (pthread_create(&checks->thread, NULL, run, checks) != 0) {
		cu_chunk_checks_free(&checks);
		return CU_EAGAIN;
	}
	checks->running = true;
	pthread_setname_np(checks->thread, "chunk-check");
	*ret_checks = checks;
	return 0;
}

void cu_chunk_checks_free(cu_chunk_checks **ref)
{
	cu_chunk_checks *checks = *ref;

	if (!checks)
		return;
	*ref = NULL;
	pthread_mutex_lock(&checks->lock);
	checks->stopping = true;
	pthread_cond_signal(&checks->work);
	pthread_mutex_unlock(&checks->lock);
	if (checks->running)
		pthread_join(checks->thread, NULL);
	for (size_t i = checks->jobs_at; i < checks->jobs_len; i++)
		cu_shape_unref(&checks->jobs[i].shape);
	free(checks->jobs);
	pthread_cond_destroy(&checks->work);
	pthread_mutex_destroy(&checks->lock);
	free(checks);
}
