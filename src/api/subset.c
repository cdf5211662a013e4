/* subset.c: a subset snapshot is read by the pool and comes back whole; then it is sent, from memory or from a file. */
#include "api/reader.h"

#include "base/limits.h"
#include "base/log.h"
#include "shape/subset.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job {
	struct cu_reader *reader;
	cu_http_ticket ticket;
	cu_offset offset; /* the answer's */
	cu_spool spool;
	struct cu_pg_error err;
	int rc;

	/* the loop and the worker */
	pthread_mutex_t lock;
	bool gone;     /* the client hung up */
	int cancel_fd; /* while the worker reads: readable ends that; else -1 */
};

static void job_free(struct job *job)
{
	pthread_mutex_destroy(&job->lock);
	cu_spool_fini(&job->spool);
	free(job);
}

/* ---- answers ---- */

struct spool_source {
	struct cu_http_source source;
	cu_spool spool;
	bool given;
};

static int spool_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct spool_source *spooled = CU_CONTAINER_OF(source, struct spool_source, source);

	if (spooled->given)
		return 0;
	spooled->given = true;
	*ret_piece = (struct cu_http_piece){ .fd = spooled->spool.fd, .len = spooled->spool.file_bytes };
	return 1;
}

static void spool_close(struct cu_http_source *source)
{
	struct spool_source *spooled = CU_CONTAINER_OF(source, struct spool_source, source);

	cu_spool_fini(&spooled->spool);
	free(spooled);
}

static void answer(struct cu_reader *reader, cu_http_request *req, struct job *job)
{
	const cu_definition *def = reader->shape->def;
	char offset[CU_OFFSET_TEXT_MAX];
	struct spool_source *spooled;
	/* up_to_date: else official clients up to 1.5.26 ask ahead for the "next chunk", the same subset again. The cursor:
	 * they miss it in an answer to a POST that says live. */
	struct cu_answer head = {
		.kind = CU_ANSWER_SUBSET,
		.method = reader->post ? CU_ANSWER_POST : CU_ANSWER_GET,
		.status = 200,
		.live = reader->live,
		.up_to_date = true,
		.cursor_asked = reader->cursor,
		.handle = reader->shape->handle,
		.offset = offset,
		.schema = def->schema_json,
		.schema_len = def->schema_json_len,
	};

	cu_offset_format(job->offset, offset);
	if (job->spool.fd < 0) {
		cu_answer_send_text(reader, req, &head, &job->spool.memory);
		return;
	}
	spooled = cu_xzalloc(sizeof *spooled);
	spooled->spool = job->spool;
	spooled->source = (struct cu_http_source){
		.next = spool_next,
		.close = spool_close,
		.length = job->spool.file_bytes,
	};
	cu_spool_init(&job->spool, job->spool.dir, job->spool.ops);
	cu_answer_send(reader, req, &head, NULL, &spooled->source);
}

/* Postgres refused the query: whose fault is it? */
static void answer_refused(struct cu_reader *reader, cu_http_request *req, const struct cu_pg_error *err)
{
	cu_api_errors errors = CU_API_ERRORS_INIT;
	cu_buf text = CU_BUF_INIT;
	bool data = cu_pg_error_is_data(err);
	bool order = strcmp(err->sqlstate, "42883") == 0; /* json has no order */

	if (data || order) {
		errors.within = "subset";
		cu_api_errors_add(&errors, order && reader->subset->order_by ? "order_by" : "where", err->message);
		cu_answer_invalid(reader, req, &errors);
	} else if (strcmp(err->sqlstate, "42P01") == 0 || strcmp(err->sqlstate, "42703") == 0) {
		/* The stream is about to say so too; until then this shape is the one to come back to. */
		cu_catalog_invalidate(reader->api->opts.catalog, reader->shape->def->oid);
		cu_answer_error(reader, req, 503, "The table was altered, please retry", 1);
	} else {
		cu_warn("a subset snapshot failed", CU_KV("handle", reader->shape->handle),
			CU_KV("error", err->message), CU_KV("sqlstate", err->sqlstate));
		cu_buf_printf(&text, "Unexpected error while reading the subset: %s", err->message);
		cu_answer_error(reader, req, 500, cu_buf_str(&text), 0);
	}
	cu_api_errors_fini(&errors);
	cu_buf_fini(&text);
}

static void answer_failed(struct cu_reader *reader, cu_http_request *req, const struct job *job)
{
	const struct cu_pg_error *err = &job->err;
	cu_buf text = CU_BUF_INIT;

	if (job->rc == CU_EFULL) {
		cu_answer_error(reader, req, 503, "Too many large subsets are under way, please retry", 5);
	} else if (cu_is_disk_error(job->rc)) {
		cu_buf_printf(&text, "The subset could not be written to the storage directory: %s",
			      cu_strerror(job->rc));
		cu_answer_error(reader, req, 503, cu_buf_str(&text), 5);
	} else if (job->rc != CU_EPG && job->rc != CU_EAGAIN) {
		cu_answer_error(reader, req, 503, cu_strerror(job->rc), 5);
	} else if (err->kind == CU_PG_LOST) {
		cu_answer_error(reader, req, 503, "Database is unreachable", 10);
	} else if (err->kind == CU_PG_BUSY || err->kind == CU_PG_CANCELED) {
		if (err->kind == CU_PG_CANCELED)
			cu_warn("a subset's query was ended", CU_KV("handle", reader->shape->handle),
				CU_KV("error", err->message));
		cu_buf_printf(&text, "The subset could not be read, please retry: %s", err->message);
		cu_answer_error(reader, req, 503, cu_buf_str(&text), err->kind == CU_PG_CANCELED ? 10 : 1);
	} else {
		answer_refused(reader, req, err);
	}
	cu_buf_fini(&text);
}

/* ---- the job ---- */

static void job_done(cu_http_request *req, void *arg)
{
	struct job *job = arg;
	struct cu_reader *reader = job->reader;

	if (!req)
		cu_reader_free(&reader);
	else if (job->rc == 0)
		answer(reader, req, job);
	else
		answer_failed(reader, req, job);
	job_free(job);
}

/* On the loop. The query is not for nobody: the pool closes its connection, and the server ends what it ran for that one. */
static void job_gone(void *app)
{
	struct job *job = app;

	pthread_mutex_lock(&job->lock);
	job->gone = true;
	if (job->cancel_fd >= 0)
		(void)eventfd_write(job->cancel_fd, 1);
	pthread_mutex_unlock(&job->lock);
}

static const struct cu_http_waiter_ops job_ops = { .on_gone = job_gone };

/* False: there is no need to begin. Without a descriptor it is read to its end. */
static bool begin(struct job *job)
{
	bool wanted;

	pthread_mutex_lock(&job->lock);
	wanted = !job->gone;
	if (wanted)
		job->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cu_pg_thread_job_cancel_fd(job->cancel_fd);
	pthread_mutex_unlock(&job->lock);
	return wanted;
}

static void end(struct job *job)
{
	pthread_mutex_lock(&job->lock);
	cu_pg_thread_job_cancel_fd(-1);
	if (job->cancel_fd >= 0)
		close(job->cancel_fd);
	job->cancel_fd = -1;
	pthread_mutex_unlock(&job->lock);
}

static void job_run(PGconn *conn, const struct cu_pg_error *err, void *arg)
{
	struct job *job = arg;
	const struct cu_reader *reader = job->reader;
	const cu_shape *shape = reader->shape;

	if (conn) {
		job->rc = CU_ECLOSED;
		if (begin(job))
			job->rc = cu_subset_read(reader->api->opts.snapshots, conn, shape->def, shape->route.where,
						 reader->subset, &job->spool, &job->err);
		end(job);
	} else {
		job->rc = CU_EPG;
		job->err = *err;
	}
	cu_http_post(job->ticket, job_done, job);
}

void cu_answer_subset(struct cu_reader *reader, cu_http_request *req, cu_offset offset)
{
	struct job *job = cu_xzalloc(sizeof *job);

	job->reader = reader;
	job->offset = offset;
	job->cancel_fd = -1;
	CU_ASSERT(pthread_mutex_init(&job->lock, NULL) == 0);
	cu_spool_init(&job->spool, reader->api->opts.storage_dir, NULL);
	job->ticket = cu_http_request_defer_while_wanted(req, &job_ops, job);
	if (cu_pool_submit(reader->api->opts.pool, CU_POOL_LONG, job_run, job) < 0)
		job_run(NULL,
			&(struct cu_pg_error){ .kind = CU_PG_BUSY, .message = "too many are waiting for the database" },
			job);
}
