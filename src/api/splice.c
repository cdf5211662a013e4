/* splice.c: an answer that is a little text, a range of a file, and a little text: as it is, or from the file's compressed
 * copy, which is made at the first wish; until it is there the request waits. */
#include "api/reader.h"

#include "base/limits.h"

#include <stdlib.h>
#include <unistd.h>

void cu_splice_fini(struct cu_splice *parts)
{
	if (parts->fd >= 0)
		close(parts->fd);
	parts->fd = -1;
	cu_buf_fini(&parts->prefix);
	cu_buf_fini(&parts->suffix);
}

/* ---- the body ---- */

struct splice_source {
	struct cu_http_source source;
	struct cu_splice parts;
	enum { GIVE_PREFIX, GIVE_FILE, GIVE_SUFFIX, GIVE_END } stage;
};

static int splice_next(struct cu_http_source *source, struct cu_http_piece *ret_piece)
{
	struct splice_source *splice = CU_CONTAINER_OF(source, struct splice_source, source);
	const struct cu_splice *parts = &splice->parts;

	for (;;) {
		switch (splice->stage++) {
		case GIVE_PREFIX:
			*ret_piece = (struct cu_http_piece){ .data = parts->prefix.data, .len = parts->prefix.len };
			break;
		case GIVE_FILE:
			*ret_piece = (struct cu_http_piece){
				.fd = parts->fd,
				.offset = (off_t)parts->at,
				.len = parts->len,
			};
			break;
		case GIVE_SUFFIX:
			*ret_piece = (struct cu_http_piece){ .data = parts->suffix.data, .len = parts->suffix.len };
			break;
		default: return 0;
		}
		if (ret_piece->len)
			return 1;
	}
}

static void splice_close(struct cu_http_source *source)
{
	struct splice_source *splice = CU_CONTAINER_OF(source, struct splice_source, source);

	cu_splice_fini(&splice->parts);
	free(splice);
}

/* Takes the parts. */
static void send_parts(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer,
		       struct cu_splice *parts)
{
	struct splice_source *splice;

	if (cu_buf_failed(&parts->prefix) || cu_buf_failed(&parts->suffix)) {
		cu_splice_fini(parts);
		cu_answer_error(reader, req, 503, "Out of memory", 5);
		return;
	}
	splice = cu_xzalloc(sizeof *splice);
	splice->parts = *parts;
	splice->source = (struct cu_http_source){
		.next = splice_next,
		.close = splice_close,
		.length = parts->prefix.len + parts->len + parts->suffix.len,
	};
	cu_answer_send(reader, req, answer, NULL, &splice->source);
}

/* Takes the parts and the copy. */
static void send_copy(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer,
		      struct cu_splice *parts, const struct cu_encoded_copy *copy)
{
	struct cu_answer head = *answer;
	struct cu_splice encoded = { .fd = copy->fd, .len = copy->bytes };
	struct cu_encoding_sum sum;

	head.encoding = reader->encoding;
	cu_encoding_put_start(head.encoding, parts->prefix.data, parts->prefix.len, &sum, &encoded.prefix);
	cu_encoding_joined(&sum, copy->crc, parts->len);
	cu_encoding_put_end(head.encoding, parts->suffix.data, parts->suffix.len, &sum, &encoded.suffix);
	cu_splice_fini(parts);
	send_parts(reader, req, &head, &encoded);
}

/* ---- waiting for a copy ---- */

struct job {
	struct cu_reader *reader;
	cu_http_ticket ticket;
	struct cu_answer answer;
	char asked[CU_OFFSET_TEXT_MAX], offset[CU_OFFSET_TEXT_MAX]; /* what the answer refers to */
	struct cu_splice parts;
	struct cu_encoded_copy copy; /* fd -1: none */
};

static void job_done(cu_http_request *req, void *arg)
{
	struct job *job = arg;

	if (!req) {
		if (job->copy.fd >= 0)
			close(job->copy.fd);
		cu_splice_fini(&job->parts);
		cu_reader_free(&job->reader);
	} else if (job->copy.fd >= 0) {
		send_copy(job->reader, req, &job->answer, &job->parts, &job->copy);
	} else {
		send_parts(job->reader, req, &job->answer, &job->parts);
	}
	free(job);
}

static void job_copied(void *arg, const struct cu_encoded_copy *copy)
{
	struct job *job = arg;

	if (copy)
		job->copy = *copy;
	cu_http_post(job->ticket, job_done, job);
}

static void wait_for_copy(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer,
			  struct cu_splice *parts)
{
	struct job *job = cu_xzalloc(sizeof *job);

	job->reader = reader;
	job->answer = *answer;
	memcpy(job->asked, answer->offset_asked, strlen(answer->offset_asked) + 1);
	memcpy(job->offset, answer->offset, strlen(answer->offset) + 1);
	job->answer.offset_asked = job->asked;
	job->answer.offset = job->offset;
	job->parts = *parts;
	job->copy.fd = -1;
	job->ticket = cu_http_request_defer(req);
	cu_encoded_make(reader->api->encoded, reader->encoding, parts->fd, parts->at, parts->len, job_copied, job);
}

void cu_answer_splice(struct cu_reader *reader, cu_http_request *req, const struct cu_answer *answer,
		      struct cu_splice *parts)
{
	struct cu_encoded_copy copy;
	int rc = CU_EFULL;

	/* A range from within a file is one reader's, who came on in its middle. */
	if (reader->encoding && reader->api->encoded && parts->at == 0 && parts->len >= CU_ENCODE_MIN)
		rc = cu_encoded_find(reader->api->encoded, reader->encoding, parts->fd, parts->at, parts->len, &copy);
	if (rc == 0)
		send_copy(reader, req, answer, parts, &copy);
	else if (rc == CU_ENOTFOUND)
		wait_for_copy(reader, req, answer, parts);
	else
		send_parts(reader, req, answer, parts);
}
