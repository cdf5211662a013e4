/* replication_queue.c: see replication_queue.h. */
#include "pg/replication_queue.h"

#include "base/clock.h"
#include "base/cond.h"

#include <stdlib.h>
#include <unistd.h>

struct cu_replication_block {
	struct cu_replication_block *next;
	size_t len;
	size_t cap;
	uint64_t epoch;
	_Alignas(8) uint8_t data[];
};

static size_t frame_size(uint32_t len)
{
	return sizeof(struct cu_replication_frame) + (((size_t)len + 7) & ~(size_t)7);
}

void cu_replication_queue_init(struct cu_replication_queue *queue, size_t bytes_max, int wake_fd)
{
	memset(queue, 0, sizeof *queue);
	queue->bytes_max = bytes_max;
	queue->wake_fd = wake_fd;
	pthread_mutex_init(&queue->mtx, NULL);
	cu_cond_init(&queue->filled);
}

void cu_replication_queue_fini(struct cu_replication_queue *queue)
{
	struct cu_replication_block *block;

	while ((block = queue->head)) {
		queue->head = block->next;
		free(block);
	}
	free(queue->filling);
	free(queue->spare);
	pthread_cond_destroy(&queue->filled);
	pthread_mutex_destroy(&queue->mtx);
}

static struct cu_replication_block *block_new(struct cu_replication_queue *queue, size_t need)
{
	struct cu_replication_block *block = NULL;
	size_t cap = CU_REPLICATION_BLOCK - sizeof *block;

	if (need <= cap) {
		pthread_mutex_lock(&queue->mtx);
		block = queue->spare;
		queue->spare = NULL;
		pthread_mutex_unlock(&queue->mtx);
	} else {
		cap = need;
	}
	if (!block)
		block = cu_try_malloc(sizeof *block + cap);
	if (!block)
		return NULL;
	block->next = NULL;
	block->len = 0;
	block->epoch = 0;
	block->cap = cap;
	return block;
}

int cu_replication_queue_put(struct cu_replication_queue *queue, const struct cu_replication_frame *head,
			     const void *bytes)
{
	struct cu_replication_block *block = queue->filling;
	size_t need = frame_size(head->len);
	uint8_t *at;

	if (block && block->cap - block->len < need)
		cu_replication_queue_flush(queue);
	block = queue->filling;
	if (block && block->cap - block->len < need) {
		/* The flush copied a small block and kept it; this frame needs a block of its own. */
		CU_ASSERT(block->len == 0);
		free(block);
		block = queue->filling = NULL;
	}
	if (!block) {
		block = queue->filling = block_new(queue, need);
		if (!block)
			return CU_ENOMEM;
	}
	at = block->data + block->len;
	memcpy(at, head, sizeof *head);
	if (head->len)
		memcpy(at + sizeof *head, bytes, head->len);
	memset(at + sizeof *head + head->len, 0, need - sizeof *head - head->len);
	block->len += need;
	return 0;
}

void cu_replication_queue_mark(struct cu_replication_queue *queue, uint64_t epoch)
{
	queue->filling->epoch = epoch;
}

void cu_replication_queue_flush(struct cu_replication_queue *queue)
{
	struct cu_replication_block *block = queue->filling;
	struct cu_replication_block *tail;
	bool was_empty;

	if (!block || block->len == 0)
		return;
	pthread_mutex_lock(&queue->mtx);
	tail = queue->tail;
	was_empty = !queue->head;
	if (tail && block->len <= CU_REPLICATION_BLOCK / 4 && tail->cap - tail->len >= block->len) {
		memcpy(tail->data + tail->len, block->data, block->len);
		tail->len += block->len;
		tail->epoch = CU_MAX(tail->epoch, block->epoch);
		block->len = 0;
		block->epoch = 0;
	} else {
		if (tail)
			tail->next = block;
		else
			queue->head = block;
		queue->tail = block;
		queue->bytes += block->cap;
		queue->filling = NULL;
	}
	if (was_empty)
		pthread_cond_signal(&queue->filled);
	pthread_mutex_unlock(&queue->mtx);
}

bool cu_replication_queue_full(struct cu_replication_queue *queue)
{
	bool full;

	pthread_mutex_lock(&queue->mtx);
	full = queue->bytes >= queue->bytes_max;
	queue->stalled = full;
	pthread_mutex_unlock(&queue->mtx);
	return full;
}

void cu_replication_queue_close(struct cu_replication_queue *queue)
{
	cu_replication_queue_flush(queue);
	pthread_mutex_lock(&queue->mtx);
	queue->closed = true;
	pthread_cond_broadcast(&queue->filled);
	pthread_mutex_unlock(&queue->mtx);
}

int cu_replication_queue_take(struct cu_replication_queue *queue, int timeout_ms,
			      struct cu_replication_batch *ret_batch)
{
	struct timespec until = cu_until_ns(cu_now_ns() + (timeout_ms < 0 ? 0 : (uint64_t)timeout_ms * 1000000u));
	struct cu_replication_block *block;
	int rc = 0;

	pthread_mutex_lock(&queue->mtx);
	while (!queue->head && !queue->closed && !queue->woken) {
		if (timeout_ms < 0)
			pthread_cond_wait(&queue->filled, &queue->mtx);
		else if (pthread_cond_timedwait(&queue->filled, &queue->mtx, &until) != 0)
			break;
	}
	queue->woken = false;
	block = queue->head;
	if (block) {
		queue->head = block->next;
		if (!queue->head)
			queue->tail = NULL;
		*ret_batch = (struct cu_replication_batch){ block->data, block->len, block, block->epoch };
	} else {
		rc = queue->closed ? CU_ECLOSED : CU_EAGAIN;
	}
	pthread_mutex_unlock(&queue->mtx);
	return rc;
}

void cu_replication_queue_release(struct cu_replication_queue *queue, struct cu_replication_batch *batch)
{
	struct cu_replication_block *block = batch->block;
	bool wake;

	memset(batch, 0, sizeof *batch);
	pthread_mutex_lock(&queue->mtx);
	CU_ASSERT(queue->bytes >= block->cap);
	queue->bytes -= block->cap;
	/* Half empty before it goes on: no hand-over per block between two threads that take turns. */
	wake = queue->stalled && queue->bytes <= queue->bytes_max / 2;
	if (wake)
		queue->stalled = false;
	if (!queue->spare && block->cap == CU_REPLICATION_BLOCK - sizeof *block && queue->head) {
		queue->spare = block;
		block = NULL;
	}
	pthread_mutex_unlock(&queue->mtx);
	free(block);
	if (wake) {
		uint64_t one = 1;
		ssize_t n = write(queue->wake_fd, &one, sizeof one);

		(void)n; /* the counter is far from its end: it cannot fail */
	}
}

void cu_replication_queue_wake(struct cu_replication_queue *queue)
{
	pthread_mutex_lock(&queue->mtx);
	queue->woken = true;
	pthread_cond_broadcast(&queue->filled);
	pthread_mutex_unlock(&queue->mtx);
}

size_t cu_replication_queue_bytes(struct cu_replication_queue *queue)
{
	size_t bytes;

	pthread_mutex_lock(&queue->mtx);
	bytes = queue->bytes;
	pthread_mutex_unlock(&queue->mtx);
	return bytes;
}
