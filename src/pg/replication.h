/* replication.h: the thread that follows the slot.
 *
 *   connecting ─► waiting for the lock ─► preparing (publication, slot) ─► streaming
 *        ▲                                                                    │
 *        └───────────── back-off CU_RECONNECT_MS_MIN…MAX ◄────────────────────┘ connection or lock lost
 *        └───────────── asleep, with every connection closed ◄────────────────┘ nothing happened for idle_ms
 *
 * It owns the lock, creates what is missing, and reads pgoutput (proto_version 1, messages on) into blocks. The
 * consumer (the collector's thread, one) takes whole blocks. The queue is bounded in bytes (CU_REPLICATION_QUEUE_MAX):
 * when it is full the socket is not read, but the walsender keeps getting its status messages, so it never times out.
 *
 * What is confirmed to Postgres is cu_replication_confirm()'s LSN and nothing else: a silent database advances because
 * the consumer confirms the positions of KEEPALIVE frames when it holds nothing unsynced.
 *
 * Every (re)connection gives a CONNECTED frame before its data; every loss after that gives a DISCONNECTED frame: drop
 * the open transaction. After CONNECTED the stream restarts at a commit boundary, at or before what was confirmed:
 * skip what is held. All shapes must rotate when slot.created, when slot.confirmed_flush_lsn is beyond what the
 * consumer holds (somebody else moved the slot), or when system id or timeline differ from the stored ones,
 * or when ident.flush_lsn is before what the consumer holds (the server was restored).
 *
 * No confirmation is reported between a connection and the release of the batch with its CONNECTED frame, and never one
 * beyond what this connection's server has told: a position of another history must not move the slot. A consumer that
 * rotates everything does so before it releases that batch, and stops its checkpoints from confirming older positions.
 *
 * Threads: next/release: the one consumer. The rest: any. Cost of idling: one thread asleep in poll().
 */
#ifndef CU_PG_REPLICATION_H
#define CU_PG_REPLICATION_H

#include "pg/slot.h"

#include <stdatomic.h>

enum cu_replication_state {
	CU_REPLICATION_STOPPED,
	CU_REPLICATION_CONNECTING,
	CU_REPLICATION_WAITING_LOCK, /* another instance is active */
	CU_REPLICATION_PREPARING,
	CU_REPLICATION_STREAMING,
	CU_REPLICATION_BACKOFF,  /* cu_replication_last_error() says why */
	CU_REPLICATION_SLEEPING, /* until cu_replication_touch() */
};

enum cu_replication_kind {
	CU_REPLICATION_XLOG,         /* bytes: one pgoutput message */
	CU_REPLICATION_KEEPALIVE,    /* wal_end: everything before it has been sent; no bytes */
	CU_REPLICATION_CONNECTED,    /* bytes: struct cu_replication_connected */
	CU_REPLICATION_DISCONNECTED, /* no bytes */
};

struct cu_replication_connected {
	struct cu_pg_ident ident;
	struct cu_pg_slot slot;
};

/* Frames lie behind each other in a batch, each 8-byte aligned, bytes directly behind the head. */
struct cu_replication_frame {
	uint64_t wal_start;
	uint64_t wal_end;
	uint32_t kind; /* enum cu_replication_kind */
	uint32_t len;  /* bytes behind the head */
};

struct cu_replication_batch {
	const uint8_t *data; /* frames; borrowed until cu_replication_release() */
	size_t len;
	void *block;
	uint64_t epoch; /* of the last CONNECTED frame in it; 0 = none. Private */
};

struct cu_replication_opts {
	const cu_pg_config *config; /* borrowed for the life of the object */
	struct cu_pg_names names;
	bool manual_publication; /* never create or alter the publication */
	bool temporary_slot;
	size_t queue_bytes_max; /* 0 = CU_REPLICATION_QUEUE_MAX */
	unsigned lock_poll_ms;  /* 0 = CU_PG_LOCK_POLL_MS */
	unsigned stuck_ms;      /* 0 = CU_REPLICATION_STUCK_MS */
	/* Neither a change nor a touch() for so long: the connections are closed. 0 = never; nor with a temporary slot,
	 * which would not outlive that. */
	unsigned idle_ms;
	bool (*may_sleep)(void *arg); /* asked before; false: after idle_ms again. May be NULL */
	/* Everything before resume_lsn is held, of the history of that system and timeline; used to skip on connection
	 * when they are the server's. 0 = the slot knows. */
	uint64_t resume_lsn;
	uint64_t resume_system_id;
	uint32_t resume_timeline;
	/* Called by the replication thread at each change of state; must not block. May be NULL. */
	void (*on_state)(void *arg, enum cu_replication_state state);
	void *arg;
};

typedef struct cu_replication cu_replication;

int cu_replication_new(const struct cu_replication_opts *opts, cu_replication **ret_repl);
int cu_replication_start(cu_replication *repl);
/* Ends the thread within a second (name resolution aside) after a last status message; next() then drains what is
 * queued and says CU_ECLOSED. Idempotent; one thread. */
void cu_replication_stop(cu_replication *repl);
void cu_replication_free(cu_replication **repl); /* stops first; all batches must have been released */

/* Waits up to timeout_ms (-1 = for ever) for frames. 0, CU_EAGAIN (time passed, or woken), CU_ECLOSED. */
int cu_replication_next(cu_replication *repl, int timeout_ms, struct cu_replication_batch *ret_batch);
void cu_replication_release(cu_replication *repl, struct cu_replication_batch *batch);
/* Makes a waiting next() return CU_EAGAIN. */
void cu_replication_wake(cu_replication *repl);

/* Everything before lsn is durable here: reported as written, flushed and applied; never goes back. Also moves the
 * resume position. Wait-free but for one write to an eventfd. */
void cu_replication_confirm(cu_replication *repl, uint64_t lsn);
/* Breaks the connection, so that it is made anew with a new slot (the caller found that it cannot resume). */
void cu_replication_reset_slot(cu_replication *repl);
/* Breaks the connection, so that it is made anew and the stream comes again from the resume position (the caller could
 * not follow it). Frames of the old connection that are queued come before the next CONNECTED. */
void cu_replication_restart(cu_replication *repl);

/* Somebody wants the stream to run. True: it sleeps, or is on its way back: the next state told by on_state that is not
 * CONNECTING or PREPARING says how that went. Wait-free while it runs. */
bool cu_replication_touch(cu_replication *repl);

enum cu_replication_state cu_replication_state_get(const cu_replication *repl);
void cu_replication_last_error(cu_replication *repl, struct cu_pg_error *ret_err);

struct cu_replication_stats {
	uint64_t messages;
	uint64_t bytes;
	uint64_t queued_bytes;
	uint64_t stalls; /* times the queue was full */
	uint64_t connects;
	uint64_t server_wal_end; /* last position that the server told */
	uint64_t confirmed_lsn;
};
void cu_replication_stats_get(cu_replication *repl, struct cu_replication_stats *ret_stats);

/* First frame: prev NULL. NULL at the end. */
static inline const struct cu_replication_frame *cu_replication_frame_next(const struct cu_replication_batch *batch,
									   const struct cu_replication_frame *prev)
{
	const uint8_t *at = batch->data;

	if (prev)
		at = (const uint8_t *)(prev + 1) + (((size_t)prev->len + 7) & ~(size_t)7);
	return at < batch->data + batch->len ? (const struct cu_replication_frame *)(const void *)at : NULL;
}
static inline const uint8_t *cu_replication_frame_bytes(const struct cu_replication_frame *frame)
{
	return (const uint8_t *)(frame + 1);
}

#endif
