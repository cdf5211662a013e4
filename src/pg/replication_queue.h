/* replication_queue.h: private to replication.c: blocks of frames from one producer to one consumer, bounded in bytes.
 *
 * The producer fills a block of its own without any lock and hands it over when it is full or when the socket has
 * nothing more; a small one is copied behind the last waiting block instead, so that a trickle behind a stalled
 * consumer does not take a block per message. A block counts against the bound until it is released.
 *
 * Lock: one mutex; nothing is called under it.
 */
#ifndef CU_PG_REPLICATION_QUEUE_H
#define CU_PG_REPLICATION_QUEUE_H

#include "pg/replication.h"

#include <pthread.h>

#define CU_REPLICATION_BLOCK (64u * 1024) /* below malloc's mmap threshold; about 500 hand-overs a second at 30 MB/s */

struct cu_replication_block;

struct cu_replication_queue {
	/* set once */
	size_t bytes_max;
	int wake_fd; /* written when a stalled producer may go on; borrowed */

	/* producer only */
	struct cu_replication_block *filling;

	/* under mtx */
	pthread_mutex_t mtx;
	pthread_cond_t filled;
	struct cu_replication_block *head, *tail;
	struct cu_replication_block *spare; /* at most one, so that a busy stream does not allocate */
	size_t bytes;                       /* capacity of all blocks handed over and not released */
	bool stalled;                       /* the producer waits for wake_fd */
	bool woken;
	bool closed;
};

void cu_replication_queue_init(struct cu_replication_queue *queue, size_t bytes_max, int wake_fd);
void cu_replication_queue_fini(struct cu_replication_queue *queue);

/* Producer. CU_ENOMEM for a frame that finds no memory. */
int cu_replication_queue_put(struct cu_replication_queue *queue, const struct cu_replication_frame *head,
			     const void *bytes);
/* The frame put last opens connection `epoch`. */
void cu_replication_queue_mark(struct cu_replication_queue *queue, uint64_t epoch);
void cu_replication_queue_flush(struct cu_replication_queue *queue);
/* True: the bound is reached; wake_fd will be written when it no longer is. */
bool cu_replication_queue_full(struct cu_replication_queue *queue);
void cu_replication_queue_close(struct cu_replication_queue *queue);

/* Consumer; wake: any thread. */
int cu_replication_queue_take(struct cu_replication_queue *queue, int timeout_ms,
			      struct cu_replication_batch *ret_batch);
void cu_replication_queue_release(struct cu_replication_queue *queue, struct cu_replication_batch *batch);
void cu_replication_queue_wake(struct cu_replication_queue *queue);
size_t cu_replication_queue_bytes(struct cu_replication_queue *queue);

#endif
