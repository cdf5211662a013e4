/* label: race
 * The pool's workers, jobs and reconnections; and the queue of replication.h without a server. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "pg/copy_out.h"
#include "pg/pool.h"
#include "pg/replication_queue.h"

#include "pg_cluster.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_S 20

static struct pg_cluster *cluster;
static cu_pg_config *config;
static struct cu_pg_error err;

/* Lets a test wait for jobs, and jobs for the test. */
struct gate {
	pthread_mutex_t mtx;
	pthread_cond_t changed;
	unsigned started, done, failed;
	bool open;
	enum cu_pg_kind last_kind;
};

#define GATE_INIT                                                                               \
	{                                                                                       \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, false, CU_PG_NONE \
	}

static void gate_wait(struct gate *gate, const unsigned *counter, unsigned want)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&gate->mtx);
	while (*counter < want)
		assert_int_equal(pthread_cond_timedwait(&gate->changed, &gate->mtx, &until), 0);
	pthread_mutex_unlock(&gate->mtx);
}

static void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->mtx);
	gate->open = true;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->mtx);
}

static void job_done(struct gate *gate, PGconn *conn, const struct cu_pg_error *job_err)
{
	pthread_mutex_lock(&gate->mtx);
	gate->done++;
	gate->failed += conn == NULL;
	gate->last_kind = job_err->kind;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->mtx);
}

/* A job that ends at once. */
static void quick(PGconn *conn, const struct cu_pg_error *job_err, void *arg)
{
	struct cu_pg_error own;

	if (conn && cu_pg_exec(conn, "SELECT 1", NULL, &own) < 0)
		conn = NULL;
	job_done(arg, conn, job_err);
}

/* A job that waits until the gate opens. */
static void held(PGconn *conn, const struct cu_pg_error *job_err, void *arg)
{
	struct gate *gate = arg;

	pthread_mutex_lock(&gate->mtx);
	gate->started++;
	pthread_cond_broadcast(&gate->changed);
	while (!gate->open)
		pthread_cond_wait(&gate->changed, &gate->mtx);
	pthread_mutex_unlock(&gate->mtx);
	job_done(gate, conn, job_err);
}

static void untidy(PGconn *conn, const struct cu_pg_error *job_err, void *arg)
{
	struct cu_pg_error own;

	cu_pg_exec(conn, "BEGIN", NULL, &own);
	cu_pg_exec(conn, "CREATE TABLE left_behind (a int)", NULL, &own);
	cu_pg_exec(conn, "nonsense", NULL, &own);
	job_done(arg, conn, job_err);
}

static void half_read(PGconn *conn, const struct cu_pg_error *job_err, void *arg)
{
	struct cu_pg_error own;

	cu_pg_exec(conn, "COPY (SELECT generate_series(1, 100000)) TO STDOUT", NULL, &own);
	job_done(arg, conn, job_err);
}

/* Runs a statement that only ends by cancellation. */
static void endless(PGconn *conn, const struct cu_pg_error *job_err, void *arg)
{
	struct gate *gate = arg;
	struct cu_pg_error own;
	int rc;

	pthread_mutex_lock(&gate->mtx);
	gate->started++;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->mtx);
	rc = conn ? cu_pg_exec(conn, "SELECT pg_sleep(3600)", NULL, &own) : CU_ECLOSED;
	(void)job_err;
	job_done(gate, rc == 0 ? conn : NULL, &own);
}

static cu_pool *pool_new(unsigned connections_max, unsigned jobs_max, unsigned idle_ms)
{
	struct cu_pool_opts opts = { config, connections_max, jobs_max, idle_ms };
	cu_pool *pool = NULL;

	assert_int_equal(cu_pool_new(&opts, &pool), 0);
	return pool;
}

static void jobs_run_once_each_on_few_connections(void **state)
{
	cu_pool *pool = pool_new(3, 0, 0);
	struct gate gate = GATE_INIT;
	struct cu_pool_stats stats;

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(cu_pool_submit(pool, i % 2 ? CU_POOL_LONG : CU_POOL_SHORT, quick, &gate), 0);
	gate_wait(&gate, &gate.done, 500);
	cu_pool_stats_get(pool, &stats);
	assert_true(stats.connections <= 3 && stats.threads <= 3);
	assert_int_equal(gate.failed, 0);
	cu_pool_free(&pool);
	assert_int_equal(gate.done, 500);
}

static void long_jobs_leave_room_for_short_ones(void **state)
{
	cu_pool *pool = pool_new(4, 0, 0);
	struct gate slow = GATE_INIT, fast = GATE_INIT;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(cu_pool_submit(pool, CU_POOL_LONG, held, &slow), 0);
	gate_wait(&slow, &slow.started, 2);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &fast), 0);
	gate_wait(&fast, &fast.done, 1);
	assert_int_equal(slow.started, 2);
	gate_open(&slow);
	gate_wait(&slow, &slow.done, 10);
	cu_pool_free(&pool);
}

static void full_queue_refuses(void **state)
{
	cu_pool *pool = pool_new(1, 2, 0);
	struct gate gate = GATE_INIT;

	(void)state;
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, held, &gate), 0);
	gate_wait(&gate, &gate.started, 1);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, held, &gate), 0);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, held, &gate), 0);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, held, &gate), CU_EFULL);
	gate_open(&gate);
	gate_wait(&gate, &gate.done, 3);
	cu_pool_free(&pool);
}

static void idle_workers_end_with_their_connections(void **state)
{
	cu_pool *pool = pool_new(2, 0, 50);
	struct gate gate = GATE_INIT;
	struct cu_pool_stats stats;

	(void)state;
	for (unsigned round = 1; round <= 3; round++) {
		assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &gate), 0);
		gate_wait(&gate, &gate.done, round);
		assert_true(pg_cluster_until(cluster,
					     "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'copper'",
					     "0", WAIT_S * 1000));
		cu_pool_stats_get(pool, &stats);
		assert_int_equal(stats.threads + stats.connections, 0);
	}
	cu_pool_free(&pool);
}

static void untidy_job_does_not_hurt_the_next(void **state)
{
	cu_pool *pool = pool_new(1, 0, 0);
	struct gate gate = GATE_INIT;

	(void)state;
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, untidy, &gate), 0);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &gate), 0);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, half_read, &gate), 0);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &gate), 0);
	gate_wait(&gate, &gate.done, 4);
	assert_int_equal(gate.failed, 0);
	assert_string_equal(pg_cluster_sql(cluster, "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'"),
			    "0");
	cu_pool_free(&pool);
}

static void broken_connection_is_replaced_and_a_dead_server_reported(void **state)
{
	cu_pool *pool = pool_new(1, 0, 0);
	struct gate gate = GATE_INIT;

	(void)state;
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &gate), 0);
	gate_wait(&gate, &gate.done, 1);
	pg_cluster_sql(
		cluster,
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'copper'");
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &gate), 0);
	gate_wait(&gate, &gate.done, 2);
	assert_int_equal(gate.failed, 0);
	pg_cluster_stop(cluster, true);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &gate), 0);
	gate_wait(&gate, &gate.done, 3);
	assert_int_equal(gate.failed, 1);
	assert_int_equal(gate.last_kind, CU_PG_LOST);
	pg_cluster_start(cluster);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &gate), 0);
	gate_wait(&gate, &gate.done, 4);
	assert_int_equal(gate.failed, 1);
	cu_pool_free(&pool);
}

static void stop_ends_running_statements_and_answers_waiting_jobs(void **state)
{
	cu_pool *pool = pool_new(2, 0, 0);
	struct gate gate = GATE_INIT;
	uint64_t start;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, endless, &gate), 0);
	gate_wait(&gate, &gate.started, 2);
	start = cu_now_ms();
	cu_pool_stop(pool);
	assert_true(cu_now_ms() - start < WAIT_S * 1000);
	assert_int_equal(gate.done, 5);
	assert_int_equal(gate.failed, 5);
	assert_int_equal(cu_pool_submit(pool, CU_POOL_SHORT, quick, &gate), CU_ECLOSED);
	cu_pool_free(&pool);
	/* The server notices as well. */
	assert_true(pg_cluster_until(cluster, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'copper'",
				     "0", WAIT_S * 1000));
}

/* A statement, or a COPY, that nobody waits for any more. */
struct unwanted {
	struct gate gate;
	int cancel_fd;
	bool copies;
};

static int no_line(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	(void)line;
	(void)len;
	return 0;
}

static void run_unwanted(PGconn *conn, const struct cu_pg_error *job_err, void *arg)
{
	struct unwanted *job = arg;
	struct cu_pg_error own;
	int rc;

	assert_non_null(conn);
	cu_pg_thread_job_cancel_fd(job->cancel_fd);
	if (job->copies)
		rc = cu_pg_copy_out(conn, "COPY (SELECT pg_sleep(3600)) TO STDOUT", NULL, no_line, NULL, &own);
	else
		rc = cu_pg_exec(conn, "SELECT pg_sleep(3600)", NULL, &own);
	cu_pg_thread_job_cancel_fd(-1);
	assert_true(rc < 0);
	job_done(&job->gate, conn, job_err);
}

static void a_job_that_nobody_waits_for_ends_here_and_at_the_server(void **state)
{
	static const char running[] =
		"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)%' AND pid <> "
		"pg_backend_pid() AND application_name = 'copper'";
	cu_pool *pool = pool_new(1, 0, 0);

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct unwanted job = { .gate = GATE_INIT, .cancel_fd = eventfd(0, EFD_CLOEXEC), .copies = i };
		struct gate next = GATE_INIT;

		assert_int_equal(cu_pool_submit(pool, CU_POOL_LONG, run_unwanted, &job), 0);
		assert_true(pg_cluster_until(cluster, running, "1", WAIT_S * 1000));
		assert_int_equal(eventfd_write(job.cancel_fd, 1), 0);
		gate_wait(&job.gate, &job.gate.done, 1);
		assert_true(pg_cluster_until(cluster, running, "0", WAIT_S * 1000));
		assert_int_equal(cu_pool_submit(pool, CU_POOL_LONG, quick, &next), 0);
		gate_wait(&next, &next.done, 1);
		assert_int_equal(next.failed, 0);
		close(job.cancel_fd);
	}
	cu_pool_free(&pool);
}

/* --- the queue between replication and collector --- */

struct producer {
	struct cu_replication_queue queue;
	unsigned frames;
	unsigned stalls;
	int stalled_fd; /* written at the first stall */
};

static void *producer_main(void *arg)
{
	struct producer *producer = arg;
	uint8_t *bytes = calloc(1, 200000);

	for (unsigned i = 0; i < producer->frames; i++) {
		uint32_t len = i % 5000 == 4999 ? 200000 : i % 300;
		struct cu_replication_frame head = { i, i, CU_REPLICATION_XLOG, len };

		memset(bytes, (int)(i & 0xff), len);
		assert_int_equal(cu_replication_queue_put(&producer->queue, &head, bytes), 0);
		if (i % 7 == 0)
			cu_replication_queue_flush(&producer->queue);
		while (cu_replication_queue_full(&producer->queue)) {
			uint64_t count, one = 1;

			if (producer->stalls++ == 0)
				assert_int_equal(write(producer->stalled_fd, &one, sizeof one), sizeof one);
			assert_int_equal(read(producer->queue.wake_fd, &count, sizeof count), sizeof count);
		}
	}
	cu_replication_queue_close(&producer->queue);
	free(bytes);
	return NULL;
}

static void queue_keeps_order_and_bound_with_a_slow_consumer(void **state)
{
	struct producer producer = { .frames = 60000 };
	struct cu_replication_batch batch;
	unsigned next = 0;
	pthread_t thread;
	int fd = eventfd(0, 0), rc;
	uint64_t count;

	(void)state;
	cu_replication_queue_init(&producer.queue, 512 * 1024, fd);
	producer.stalled_fd = eventfd(0, 0);
	pthread_create(&thread, NULL, producer_main, &producer);
	assert_int_equal(read(producer.stalled_fd, &count, sizeof count), sizeof count);
	while ((rc = cu_replication_queue_take(&producer.queue, -1, &batch)) == 0) {
		const struct cu_replication_frame *frame = NULL;

		while ((frame = cu_replication_frame_next(&batch, frame))) {
			const uint8_t *bytes = cu_replication_frame_bytes(frame);

			assert_int_equal(frame->wal_start, next);
			if (frame->len)
				assert_true(bytes[0] == (next & 0xff) && bytes[frame->len - 1] == (next & 0xff));
			next++;
		}
		assert_true(cu_replication_queue_bytes(&producer.queue) <= 512 * 1024 + 300000);
		cu_replication_queue_release(&producer.queue, &batch);
	}
	assert_int_equal(rc, CU_ECLOSED);
	pthread_join(thread, NULL);
	assert_int_equal(next, 60000);
	assert_true(producer.stalls > 0);
	cu_replication_queue_fini(&producer.queue);
	close(fd);
	close(producer.stalled_fd);
}

static void trickle_behind_a_stalled_consumer_shares_blocks(void **state)
{
	struct cu_replication_frame head = { 1, 1, CU_REPLICATION_KEEPALIVE, 0 };
	struct cu_replication_batch batch;
	struct cu_replication_queue queue;

	(void)state;
	cu_replication_queue_init(&queue, 1024 * 1024, -1);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(cu_replication_queue_put(&queue, &head, NULL), 0);
		cu_replication_queue_flush(&queue);
	}
	assert_true(cu_replication_queue_bytes(&queue) <= CU_REPLICATION_BLOCK);
	assert_int_equal(cu_replication_queue_take(&queue, 0, &batch), 0);
	assert_int_equal(batch.len, 1000 * sizeof head);
	cu_replication_queue_release(&queue, &batch);
	assert_int_equal(cu_replication_queue_take(&queue, 0, &batch), CU_EAGAIN);
	cu_replication_queue_fini(&queue);
}

static void message_without_memory_is_refused(void **state)
{
	struct cu_replication_frame head = { 1, 1, CU_REPLICATION_XLOG, 100000 };
	struct cu_replication_queue queue;
	uint8_t *bytes = calloc(1, head.len);

	(void)state;
	cu_replication_queue_init(&queue, 1024 * 1024, -1);
	cu_fault_alloc_at(1);
	assert_int_equal(cu_replication_queue_put(&queue, &head, bytes), CU_ENOMEM);
	cu_fault_alloc_at(0);
	assert_int_equal(cu_replication_queue_put(&queue, &head, bytes), 0);
	cu_replication_queue_fini(&queue);
	free(bytes);
}

static int group_setup(void **state)
{
	(void)state;
	cluster = pg_cluster_new(NULL);
	return cu_pg_config_new(pg_cluster_url(cluster, NULL), &config, &err);
}

static int group_teardown(void **state)
{
	(void)state;
	cu_pg_config_free(&config);
	pg_cluster_free(&cluster);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_run_once_each_on_few_connections),
		cmocka_unit_test(long_jobs_leave_room_for_short_ones),
		cmocka_unit_test(full_queue_refuses),
		cmocka_unit_test(idle_workers_end_with_their_connections),
		cmocka_unit_test(untidy_job_does_not_hurt_the_next),
		cmocka_unit_test(broken_connection_is_replaced_and_a_dead_server_reported),
		cmocka_unit_test(stop_ends_running_statements_and_answers_waiting_jobs),
		cmocka_unit_test(a_job_that_nobody_waits_for_ends_here_and_at_the_server),
		cmocka_unit_test(queue_keeps_order_and_bound_with_a_slow_consumer),
		cmocka_unit_test(trickle_behind_a_stalled_consumer_shares_blocks),
		cmocka_unit_test(message_without_memory_is_refused),
	};

	if (!pg_cluster_available())
		return 0;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
