/* pool.c: see pool.h. One mutex guards queue and workers; it is never held while a job runs or a connection is made. */
#include "pg/pool.h"

#include "base/clock.h"
#include "base/cond.h"
#include "base/limits.h"
#include "base/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL_MAGIC 0x9001c0deu

struct job {
	struct job *next;
	cu_pool_run *run;
	void *arg;
};

struct job_list {
	struct job *head, *tail;
	unsigned len;
};

struct worker {
	cu_pool *pool;
	pthread_t thread;
	enum { WORKER_NONE, WORKER_RUNNING, WORKER_ENDED } state; /* ENDED: to be joined before the place is reused */
	bool idle;
	int running_class; /* enum cu_pool_class, -1 = none */
	PGconn *conn;      /* set and cleared by the worker under mtx, so that stop may shut its socket */
	pthread_cond_t work;
};

struct cu_pool {
	unsigned magic;

	/* set once */
	const cu_pg_config *config;
	unsigned workers_max;
	unsigned long_max; /* long jobs at once */
	unsigned jobs_max;
	unsigned idle_ms;
	int stop_fd;

	/* under mtx */
	pthread_mutex_t mtx;
	struct job_list jobs[2]; /* by class */
	unsigned long_running;
	bool stopping;
	struct worker *workers; /* workers_max places */
};

int cu_pool_new(const struct cu_pool_opts *opts, cu_pool **ret_pool)
{
	cu_pool *pool = cu_xzalloc(sizeof *pool);

	pool->magic = POOL_MAGIC;
	pool->config = opts->config;
	pool->workers_max = opts->connections_max ? opts->connections_max : CU_POOL_CONNECTIONS_MAX;
	pool->long_max = pool->workers_max > 3   ? pool->workers_max - 2
			 : pool->workers_max > 1 ? pool->workers_max - 1
						 : 1;
	pool->jobs_max = opts->jobs_max ? opts->jobs_max : CU_POOL_JOBS_MAX;
	pool->idle_ms = opts->idle_ms ? opts->idle_ms : CU_POOL_IDLE_MS;
	pool->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&pool->mtx, NULL);
	pool->workers = cu_xzalloc(pool->workers_max * sizeof *pool->workers);
	for (unsigned i = 0; i < pool->workers_max; i++) {
		pool->workers[i].pool = pool;
		pool->workers[i].running_class = -1;
		cu_cond_init(&pool->workers[i].work);
	}
	if (pool->stop_fd < 0) {
		cu_error("no event descriptor for the pool", CU_KV("error", strerror(errno)));
		cu_pool_free(&pool);
		return CU_EIO;
	}
	*ret_pool = pool;
	return 0;
}

/* Under mtx. The next job that may run now, and its class. */
static struct job *job_take(cu_pool *pool, int *ret_kind)
{
	for (int kind = CU_POOL_SHORT; kind <= CU_POOL_LONG; kind++) {
		struct job_list *list = &pool->jobs[kind];
		struct job *job = list->head;

		if (!job || (kind == CU_POOL_LONG && pool->long_running >= pool->long_max && !pool->stopping))
			continue;
		list->head = job->next;
		if (!list->head)
			list->tail = NULL;
		list->len--;
		if (kind == CU_POOL_LONG)
			pool->long_running++;
		*ret_kind = kind;
		return job;
	}
	return NULL;
}

static void conn_set(struct worker *worker, PGconn *conn)
{
	pthread_mutex_lock(&worker->pool->mtx);
	worker->conn = conn;
	pthread_mutex_unlock(&worker->pool->mtx);
}

static void conn_close(struct worker *worker)
{
	PGconn *conn = worker->conn;

	conn_set(worker, NULL);
	PQfinish(conn);
}

/* An idle connection that the server has closed is seen here instead of by the job. */
static bool conn_alive(PGconn *conn)
{
	struct pollfd fd = { .fd = PQsocket(conn), .events = POLLIN };

	while (PQstatus(conn) == CONNECTION_OK && poll(&fd, 1, 0) > 0)
		if (!PQconsumeInput(conn))
			return false;
	return PQstatus(conn) == CONNECTION_OK;
}

static void job_run(struct worker *worker, struct job *job, bool stopping)
{
	struct cu_pg_error err;
	PGconn *conn = NULL;

	cu_pg_error_clear(&err);
	if (stopping) {
		cu_pg_error_set(&err, CU_ECLOSED, CU_PG_CANCELED, NULL, "stopping");
		job->run(NULL, &err, job->arg);
		return;
	}
	if (worker->conn && !conn_alive(worker->conn))
		conn_close(worker);
	if (!worker->conn) {
		if (cu_pg_connect(worker->pool->config, CU_PG_ORDINARY, worker->pool->stop_fd, &conn, &err) < 0) {
			job->run(NULL, &err, job->arg);
			return;
		}
		conn_set(worker, conn);
	}
	job->run(worker->conn, &err, job->arg);
	switch (PQtransactionStatus(worker->conn)) {
	case PQTRANS_IDLE: break;
	case PQTRANS_INTRANS:
	case PQTRANS_INERROR:
		if (cu_pg_exec(worker->conn, "ROLLBACK", NULL, &err) == 0)
			break;
		/* fall through */
	default: /* a statement is still under way, or the connection is broken */ conn_close(worker);
	}
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	cu_pool *pool = worker->pool;
	struct job *job;
	PGconn *conn;

	cu_pg_thread_cancel_fd(pool->stop_fd);
	pthread_mutex_lock(&pool->mtx);
	for (;;) {
		bool stopping = pool->stopping;
		struct timespec until;

		job = job_take(pool, &worker->running_class);
		if (job) {
			pthread_mutex_unlock(&pool->mtx);
			job_run(worker, job, stopping);
			free(job);
			pthread_mutex_lock(&pool->mtx);
			if (worker->running_class == CU_POOL_LONG)
				pool->long_running--;
			worker->running_class = -1;
			continue;
		}
		if (stopping)
			break;
		until = cu_until_ns(cu_now_ns() + (uint64_t)pool->idle_ms * 1000000u);
		worker->idle = true;
		/* idle is cleared by the submitter that chose us, so that two jobs wake two workers. */
		while (worker->idle && !pool->stopping)
			if (pthread_cond_timedwait(&worker->work, &pool->mtx, &until) == ETIMEDOUT)
				break;
		if (worker->idle && !pool->stopping) {
			worker->idle = false;
			break;
		}
		worker->idle = false;
	}
	/* Under the lock that found no job, so that the next submitter does not count on us. */
	conn = worker->conn;
	worker->conn = NULL;
	worker->state = WORKER_ENDED;
	pthread_mutex_unlock(&pool->mtx);
	PQfinish(conn);
	return NULL;
}

/* Under mtx. Wakes an idle worker or starts one. False: there is none and none can be made. */
static bool worker_call(cu_pool *pool)
{
	struct worker *place = NULL;
	unsigned running = 0;
	pthread_attr_t attr;
	int rc;

	for (unsigned i = 0; i < pool->workers_max; i++) {
		struct worker *worker = &pool->workers[i];

		if (worker->state == WORKER_RUNNING && worker->idle) {
			worker->idle = false;
			pthread_cond_signal(&worker->work);
			return true;
		}
		running += worker->state == WORKER_RUNNING;
		if (!place && worker->state != WORKER_RUNNING)
			place = worker;
	}
	if (!place)
		return true; /* all busy: whoever is ready first takes it */
	if (place->state == WORKER_ENDED) {
		/* It only has to close its connection: one write. */
		pthread_join(place->thread, NULL);
		place->state = WORKER_NONE;
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1024u * 1024);
	place->state = WORKER_RUNNING;
	place->idle = false;
	rc = pthread_create(&place->thread, &attr, worker_main, place);
	pthread_attr_destroy(&attr);
	if (rc != 0) {
		place->state = WORKER_NONE;
		cu_error("no thread for the pool", CU_KV("error", strerror(rc)));
		return running > 0;
	}
	return true;
}

int cu_pool_submit(cu_pool *pool, enum cu_pool_class kind, cu_pool_run *run, void *arg)
{
	struct job *job = cu_xzalloc(sizeof *job);
	struct job_list *list = &pool->jobs[kind];
	int rc = 0;

	CU_ASSERT(pool->magic == POOL_MAGIC);
	job->run = run;
	job->arg = arg;
	pthread_mutex_lock(&pool->mtx);
	if (pool->stopping) {
		rc = CU_ECLOSED;
		goto out;
	}
	if (pool->jobs[0].len + pool->jobs[1].len >= pool->jobs_max) {
		rc = CU_EFULL;
		goto out;
	}
	if ((kind == CU_POOL_SHORT || pool->long_running < pool->long_max) && !worker_call(pool)) {
		rc = CU_EFULL;
		goto out;
	}
	if (list->tail)
		list->tail->next = job;
	else
		list->head = job;
	list->tail = job;
	list->len++;
	job = NULL;
out:
	pthread_mutex_unlock(&pool->mtx);
	free(job);
	return rc;
}

void cu_pool_stop(cu_pool *pool)
{
	uint64_t one = 1;
	struct job *job;
	int class;
	ssize_t n;

	CU_ASSERT(pool->magic == POOL_MAGIC);
	n = write(pool->stop_fd, &one, sizeof one);
	(void)n;
	pthread_mutex_lock(&pool->mtx);
	pool->stopping = true;
	for (unsigned i = 0; i < pool->workers_max; i++) {
		struct worker *worker = &pool->workers[i];

		/* A job that reads a COPY itself waits in libpq, not in our poll(). The server ends its statement when
		 * it notices (client_connection_check_interval). */
		if (worker->conn && worker->running_class >= 0)
			shutdown(PQsocket(worker->conn), SHUT_RDWR);
		pthread_cond_signal(&worker->work);
	}
	pthread_mutex_unlock(&pool->mtx);
	for (unsigned i = 0; i < pool->workers_max; i++) {
		bool join;

		pthread_mutex_lock(&pool->mtx);
		join = pool->workers[i].state != WORKER_NONE;
		pthread_mutex_unlock(&pool->mtx);
		if (join)
			pthread_join(pool->workers[i].thread, NULL);
		pool->workers[i].state = WORKER_NONE;
	}
	/* Only when no worker was there to do it. */
	while ((job = job_take(pool, &class))) {
		struct cu_pg_error err;

		cu_pg_error_set(&err, CU_ECLOSED, CU_PG_CANCELED, NULL, "stopping");
		job->run(NULL, &err, job->arg);
		free(job);
	}
}

void cu_pool_free(cu_pool **pool_at)
{
	cu_pool *pool = *pool_at;

	if (!pool)
		return;
	CU_ASSERT(pool->magic == POOL_MAGIC);
	if (pool->stop_fd >= 0)
		cu_pool_stop(pool);
	*pool_at = NULL;
	pool->magic = 0;
	for (unsigned i = 0; i < pool->workers_max; i++)
		pthread_cond_destroy(&pool->workers[i].work);
	pthread_mutex_destroy(&pool->mtx);
	free(pool->workers);
	if (pool->stop_fd >= 0)
		close(pool->stop_fd);
	free(pool);
}

void cu_pool_stats_get(cu_pool *pool, struct cu_pool_stats *ret_stats)
{
	struct cu_pool_stats stats = { 0 };

	pthread_mutex_lock(&pool->mtx);
	for (unsigned i = 0; i < pool->workers_max; i++) {
		stats.threads += pool->workers[i].state == WORKER_RUNNING;
		stats.connections += pool->workers[i].conn != NULL;
		stats.running += pool->workers[i].running_class >= 0;
	}
	stats.queued = pool->jobs[0].len + pool->jobs[1].len;
	pthread_mutex_unlock(&pool->mtx);
	*ret_stats = stats;
}
