/* replication.c: see replication.h. The thread's life is run(): connect, stream, back off. Statements of the set-up
 * end early through cu_pg_thread_cancel_fd(); the streaming part never blocks outside poll(). */
#include "pg/replication.h"
#include "pg/replication_queue.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/offset.h"

#include <endian.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLICATION_MAGIC 0x4e91ca7eu
#define STALL_STATUS_MS 1000u /* while the socket is not read we would not see the walsender ask */
#define STATUS_LEN 34

/* The walsender sends message by message, so a fast reader gets a handful per wake-up: 2.9 us of CPU per message. A
 * stream that has kept us awake for BULK_STREAK reads in a row is read in pieces of BULK_BYTES instead; the millisecond
 * that its end then waits is paid by long streams only. */
#define BULK_STREAK 64u
#define BULK_GAP_NS 200000u
#define BULK_BYTES 16384
#define BULK_WAIT_MS 1
#define PG_EPOCH_US 946684800000000ull /* 2000-01-01 in microseconds since 1970 */

struct cu_replication {
	unsigned magic;

	/* set once */
	const cu_pg_config *config;
	struct cu_replication_opts opts;
	int wake_fd; /* something changed: look */
	int stop_fd; /* readable for good once stop was asked for */

	/* any thread */
	atomic_uint_fast64_t confirm_lsn;
	atomic_uint_fast64_t accepted_epoch; /* epoch whose CONNECTED frame the consumer has released */
	atomic_int state;
	atomic_bool reset_slot;
	atomic_bool restart;
	atomic_bool stopping;
	atomic_uint_fast64_t touched_ms; /* when somebody wanted the stream last */
	atomic_bool asleep;              /* from the decision to sleep until the outcome of waking up */
	atomic_bool wanted;              /* touched while asleep */
	atomic_uint_fast64_t messages, bytes, stalls, connects, server_wal_end, reported_lsn;
	struct cu_replication_queue queue; /* has its own lock */

	/* under err_mtx */
	pthread_mutex_t err_mtx;
	struct cu_pg_error last_error;

	/* owner of start/stop */
	bool started;
	pthread_t thread;

	/* replication thread only */
	cu_pg_lock *lock;
	PGconn *conn;
	struct cu_replication_connected now; /* the present connection */
	struct cu_pg_ident last_ident;       /* the one before; system_id 0 = none yet */
	uint64_t epoch;                      /* counts connections; 0 = none yet */
	bool told_connected;
	bool want_fresh_slot;
	bool slot_created;        /* not yet told to the consumer */
	bool publication_created; /* same */
	bool recreated_lost;      /* same */
	bool status_asked;
	uint64_t status_at_ms; /* when the last status was sent */
	unsigned status_every_ms;
	unsigned backoff_ms;
	uint64_t stuck_since_ms; /* the server has been failing to decode what comes next since then; 0: it has not … */
	uint64_t stuck_lsn;      /* … with this confirmed */
	uint64_t seen_messages; /* at the last look whether the stream is idle */
	uint64_t seen_ms;       /* when it was seen to be alive last */
	bool bulk;              /* the socket wakes us for BULK_BYTES only */
	unsigned streak;        /* reads that followed each other within BULK_GAP_NS */
	uint64_t read_ns;
};

static void wake(cu_replication *repl)
{
	uint64_t one = 1;
	ssize_t n = write(repl->wake_fd, &one, sizeof one);

	(void)n; /* full means that it is awake already */
}

static bool stopping(const cu_replication *repl)
{
	return atomic_load_explicit(&repl->stopping, memory_order_relaxed);
}

static void state_set(cu_replication *repl, enum cu_replication_state state)
{
	if (state != CU_REPLICATION_SLEEPING && state != CU_REPLICATION_CONNECTING && state != CU_REPLICATION_PREPARING)
		atomic_store(&repl->asleep, false);
	if (atomic_exchange(&repl->state, (int)state) != (int)state && repl->opts.on_state)
		repl->opts.on_state(repl->opts.arg, state);
}

static void frame_put_simple(cu_replication *repl, enum cu_replication_kind kind, uint64_t lsn, const void *bytes,
			     uint32_t len)
{
	struct cu_replication_frame head = { lsn, lsn, (uint32_t)kind, len };

	CU_ASSERT(cu_replication_queue_put(&repl->queue, &head, bytes) == 0); /* small and fixed: as cu_xmalloc */
}

/* --- status messages --- */

/* What may be reported: see replication.h on confirmations. */
static uint64_t report_lsn(cu_replication *repl)
{
	uint64_t lsn = repl->now.slot.confirmed_flush_lsn;
	uint64_t confirmed = atomic_load(&repl->confirm_lsn);

	if (atomic_load(&repl->accepted_epoch) == repl->epoch)
		lsn = CU_MAX(lsn, CU_MIN(confirmed, atomic_load(&repl->server_wal_end)));
	return lsn;
}

/* False: the connection is broken. Sends nothing while an earlier message still waits for the socket. */
static bool status_send(cu_replication *repl)
{
	uint8_t msg[STATUS_LEN] = { 'r' };
	uint64_t lsn = report_lsn(repl);
	uint64_t field;
	int flushed = PQflush(repl->conn);

	if (flushed != 0)
		return flushed > 0;
	field = htobe64(lsn);
	memcpy(msg + 1, &field, 8);
	memcpy(msg + 9, &field, 8);
	memcpy(msg + 17, &field, 8);
	field = htobe64(cu_wall_us() - PG_EPOCH_US);
	memcpy(msg + 25, &field, 8);
	if (PQputCopyData(repl->conn, (const char *)msg, sizeof msg) < 0 || PQflush(repl->conn) < 0)
		return false;
	repl->status_at_ms = cu_now_ms();
	repl->status_asked = false;
	atomic_store(&repl->reported_lsn, lsn);
	return true;
}

static unsigned status_every(uint32_t wal_sender_timeout_ms)
{
	unsigned ms = CU_REPLICATION_STATUS_MS;

	if (wal_sender_timeout_ms)
		ms = CU_MIN(ms, wal_sender_timeout_ms / 3);
	return CU_MAX(ms, 10u);
}

/* --- streaming --- */

static uint64_t be64_at(const char *at)
{
	uint64_t value;

	memcpy(&value, at, 8);
	return be64toh(value);
}

static void wal_end_note(cu_replication *repl, uint64_t lsn)
{
	if (lsn > atomic_load_explicit(&repl->server_wal_end, memory_order_relaxed))
		atomic_store(&repl->server_wal_end, lsn);
}

static int message_take(cu_replication *repl, const char *msg, size_t len, struct cu_pg_error *err)
{
	struct cu_replication_frame head;

	if (len >= 25 && msg[0] == 'w') {
		head = (struct cu_replication_frame){ be64_at(msg + 1), be64_at(msg + 9), CU_REPLICATION_XLOG,
						      (uint32_t)(len - 25) };
		wal_end_note(repl, CU_MAX(head.wal_start, head.wal_end));
		if (cu_replication_queue_put(&repl->queue, &head, msg + 25) < 0)
			return cu_pg_error_set(err, CU_ENOMEM, CU_PG_LOST, NULL,
					       "out of memory for a message of %zu bytes", len);
		atomic_fetch_add_explicit(&repl->messages, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&repl->bytes, len - 25, memory_order_relaxed);
		return 0;
	}
	if (len >= 18 && msg[0] == 'k') {
		uint64_t end = be64_at(msg + 1);

		wal_end_note(repl, end);
		if (msg[17])
			repl->status_asked = true;
		frame_put_simple(repl, CU_REPLICATION_KEEPALIVE, end, NULL, 0);
		return 0;
	}
	return cu_pg_error_set(err, CU_ECORRUPT, CU_PG_LOST, NULL, "unexpected replication message of %zu bytes", len);
}

/* Everything that libpq holds. 0: it needs more; 1: the queue is full; <0: the connection's end, with err. */
static int drain(cu_replication *repl, struct cu_pg_error *err)
{
	for (;;) {
		char *msg = NULL;
		int n, rc;

		if (cu_replication_queue_full(&repl->queue))
			return 1;
		/* The bound is looked at every 64 messages: it takes a lock. */
		for (int i = 0; i < 64; i++) {
			n = PQgetCopyData(repl->conn, &msg, 1);
			if (n == 0)
				return 0;
			if (n < 0) {
				PGresult *res = n == -1 ? PQgetResult(repl->conn) : NULL;

				if (res && PQresultStatus(res) != PGRES_FATAL_ERROR)
					cu_pg_error_set(err, CU_EPG, CU_PG_LOST, NULL, "the server ended the stream");
				else
					cu_pg_error_of(repl->conn, res, err);
				PQclear(res);
				return CU_EPG;
			}
			rc = message_take(repl, msg, (size_t)n, err);
			PQfreemem(msg);
			if (rc < 0)
				return rc;
			if (n > (int)CU_REPLICATION_BLOCK)
				break; /* a large one counts at once */
		}
	}
}

static void wake_clear(cu_replication *repl)
{
	uint64_t count;
	ssize_t n = read(repl->wake_fd, &count, sizeof count);

	(void)n; /* nothing there is fine */
}

static void bulk_set(cu_replication *repl, bool bulk)
{
	int bytes = bulk ? BULK_BYTES : 1;

	repl->streak = 0;
	repl->bulk = bulk && setsockopt(PQsocket(repl->conn), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0;
	if (!bulk)
		(void)setsockopt(PQsocket(repl->conn), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

static void streak_count(cu_replication *repl)
{
	uint64_t now = cu_now_ns();

	repl->streak = now - repl->read_ns < BULK_GAP_NS ? repl->streak + 1 : 0;
	repl->read_ns = now;
	if (repl->streak >= BULK_STREAK && !repl->bulk)
		bulk_set(repl, true);
}

/* --- idling --- */

static bool can_idle(const cu_replication *repl)
{
	return repl->opts.idle_ms > 0 && !repl->opts.temporary_slot;
}

/* When the stream has been idle for long enough, if nothing happens before. */
static uint64_t idle_due(const cu_replication *repl)
{
	return CU_MAX(repl->seen_ms, atomic_load(&repl->touched_ms)) + repl->opts.idle_ms;
}

/* Decides to sleep: a touch from now on wakes. */
static bool fall_asleep(cu_replication *repl)
{
	uint64_t now = cu_now_ms(), messages = atomic_load_explicit(&repl->messages, memory_order_relaxed);

	if (!can_idle(repl))
		return false;
	if (messages != repl->seen_messages) {
		repl->seen_messages = messages;
		repl->seen_ms = now;
	}
	if (now < idle_due(repl))
		return false;
	if (repl->opts.may_sleep && !repl->opts.may_sleep(repl->opts.arg)) {
		repl->seen_ms = now;
		return false;
	}
	atomic_store(&repl->wanted, false);
	atomic_store(&repl->asleep, true);
	/* Whoever touched before could see that is seen here; whoever comes after sees `asleep`. */
	if (now < idle_due(repl)) {
		atomic_store(&repl->asleep, false);
		return false;
	}
	return true;
}

/* Sleeps until there is something to do; reads the socket. <0: the connection or the lock is gone. */
static int stream_wait(cu_replication *repl, bool full, struct cu_pg_error *err)
{
	unsigned every = full ? CU_MIN(repl->status_every_ms, STALL_STATUS_MS) : repl->status_every_ms;
	uint64_t now = cu_now_ms();
	uint64_t due = repl->status_at_ms + every;
	short events = full ? 0 : POLLIN;
	struct pollfd fds[3];
	int n;

	/* A status that cannot leave is no reason to spin: the socket says when it can. */
	if (PQflush(repl->conn) > 0) {
		events |= POLLOUT;
		due = CU_MAX(due, now + STALL_STATUS_MS);
	}
	if (can_idle(repl))
		due = CU_MIN(due, CU_MAX(idle_due(repl), now + 1));
	fds[0] = (struct pollfd){ .fd = PQsocket(repl->conn), .events = events };
	fds[1] = (struct pollfd){ .fd = repl->wake_fd, .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = cu_pg_lock_fd(repl->lock), .events = POLLIN };
	/* A full queue ignores the socket, its hang-up too: that would spin. The next status finds out. */
	if (full && !(events & POLLOUT))
		fds[0].fd = -1;
	n = poll(fds, 3, due <= now ? 0 : repl->bulk && !full ? BULK_WAIT_MS : (int)(due - now));
	if (n < 0 && errno != EINTR)
		return cu_pg_error_set(err, CU_EPG, CU_PG_LOST, NULL, "poll: %s", strerror(errno));
	if (n <= 0) {
		if (repl->bulk && !full)
			bulk_set(repl, false); /* what is there, if anything, wakes us at once */
		return 0;
	}
	if (fds[1].revents)
		wake_clear(repl);
	if (fds[2].revents && !cu_pg_lock_check(repl->lock))
		return cu_pg_error_set(err, CU_EPG, CU_PG_LOST, NULL, "the connection that holds the lock is gone");
	if (fds[0].revents && !full) {
		streak_count(repl);
		if (!PQconsumeInput(repl->conn))
			return cu_pg_error_of(repl->conn, NULL, err);
	}
	return 0;
}

/* Until the connection ends or stop: err says why; or until it may sleep: 0. */
static int stream(cu_replication *repl, struct cu_pg_error *err)
{
	bool was_full = false;

	while (!stopping(repl)) {
		int rc = drain(repl, err);
		bool full = rc == 1;
		uint64_t now = cu_now_ms();
		unsigned every = full ? CU_MIN(repl->status_every_ms, STALL_STATUS_MS) : repl->status_every_ms;

		cu_replication_queue_flush(&repl->queue);
		if (rc < 0)
			return rc;
		if (full && !was_full)
			atomic_fetch_add(&repl->stalls, 1);
		was_full = full;
		if (atomic_exchange(&repl->reset_slot, false)) {
			repl->want_fresh_slot = true;
			return cu_pg_error_set(err, CU_EPG, CU_PG_LOST, NULL, "a new slot was asked for");
		}
		if (atomic_exchange(&repl->restart, false))
			return cu_pg_error_set(err, CU_EPG, CU_PG_LOST, NULL, "the consumer asked to connect anew");
		if ((repl->status_asked || now >= repl->status_at_ms + every ||
		     report_lsn(repl) != atomic_load(&repl->reported_lsn)) &&
		    !status_send(repl))
			return cu_pg_error_of(repl->conn, NULL, err);
		if (!full && fall_asleep(repl))
			return 0;
		rc = stream_wait(repl, full, err);
		if (rc < 0)
			return rc;
	}
	status_send(repl);
	return cu_pg_error_set(err, CU_ECLOSED, CU_PG_CANCELED, NULL, "stopping");
}

/* --- connecting --- */

static void lock_waiting(void *arg, int pid)
{
	(void)pid;
	state_set(arg, CU_REPLICATION_WAITING_LOCK);
}

static bool same_history(const cu_replication *repl, const struct cu_pg_ident *ident)
{
	uint64_t system_id = repl->last_ident.system_id;
	uint32_t timeline = repl->last_ident.timeline;

	if (!system_id) {
		system_id = repl->opts.resume_system_id;
		timeline = repl->opts.resume_timeline;
	}
	return system_id == ident->system_id && timeline == ident->timeline;
}

static int start_streaming(cu_replication *repl, struct cu_pg_error *err)
{
	struct cu_replication_connected *now = &repl->now;
	uint64_t confirmed = atomic_load(&repl->confirm_lsn);
	int rc;

	if (now->slot.created || !same_history(repl, &now->ident) || confirmed > now->ident.flush_lsn)
		atomic_store(&repl->confirm_lsn, 0); /* of another history */
	/* From where the slot stands, even if we have more: what comes again tells whether it is the same history. */
	rc = cu_pg_execf(
		repl->conn, NULL, err,
		"START_REPLICATION SLOT \"%s\" LOGICAL 0/0 (proto_version '1', publication_names '\"%s\"', messages "
		"'true')",
		repl->opts.names.slot, repl->opts.names.publication);
	if (rc < 0)
		return rc;
	if (PQsetnonblocking(repl->conn, 1) < 0)
		return cu_pg_error_of(repl->conn, NULL, err);
	repl->last_ident = now->ident;
	repl->status_every_ms = status_every(now->ident.wal_sender_timeout_ms);
	repl->status_at_ms = 0; /* the first goes out at once */
	repl->status_asked = false;
	if (repl->stuck_lsn != confirmed)
		repl->stuck_since_ms = 0;
	if (!repl->stuck_since_ms)
		repl->backoff_ms = 0;
	repl->bulk = false;
	repl->streak = 0;
	repl->seen_ms = cu_now_ms();
	atomic_store(&repl->server_wal_end, now->ident.flush_lsn);
	atomic_fetch_add(&repl->connects, 1);
	repl->epoch++;
	state_set(repl, CU_REPLICATION_STREAMING); /* before the consumer can know */
	frame_put_simple(repl, CU_REPLICATION_CONNECTED, now->ident.flush_lsn, now, sizeof *now);
	cu_replication_queue_mark(&repl->queue, repl->epoch);
	cu_replication_queue_flush(&repl->queue);
	repl->told_connected = true;
	repl->slot_created = repl->publication_created = repl->recreated_lost = false;
	cu_info("replication started", CU_KV("slot", repl->opts.names.slot),
		CU_KV_LSN("confirmed", now->slot.confirmed_flush_lsn), CU_KV_LSN("server", now->ident.flush_lsn),
		CU_KV_U64("timeline", now->ident.timeline));
	return 0;
}

/* What has been created stays on record in repl until the consumer has been told: a connection that breaks in between
 * must not hide that the past is lost. */
static int prepare(cu_replication *repl, struct cu_pg_error *err)
{
	const struct cu_replication_opts *opts = &repl->opts;
	struct cu_replication_connected *now = &repl->now;
	PGconn *sql = cu_pg_lock_conn(repl->lock);
	bool created = false;
	int rc;

	rc = cu_pg_identify(repl->conn, &now->ident, err);
	if (rc < 0)
		return rc;
	rc = cu_pg_publication_ensure(sql, opts->names.publication, opts->manual_publication, now->ident.version_num,
				      &created, err);
	if (rc < 0)
		return rc;
	repl->publication_created |= created;
	/* A slot older than its publication decodes WAL that knows no publication, which is an error. */
	if (created || atomic_exchange(&repl->reset_slot, false))
		repl->want_fresh_slot = true;
	rc = cu_pg_slot_ensure(sql, repl->conn, opts->names.slot, opts->temporary_slot, repl->want_fresh_slot,
			       &now->slot, err);
	if (rc < 0)
		return rc;
	repl->want_fresh_slot = false;
	repl->slot_created |= now->slot.created;
	repl->recreated_lost |= now->slot.recreated_lost;
	now->slot.created = repl->slot_created;
	now->slot.publication_created = repl->publication_created;
	now->slot.recreated_lost = repl->recreated_lost;
	return 0;
}

static int connect_once(cu_replication *repl, struct cu_pg_error *err)
{
	const struct cu_replication_opts *opts = &repl->opts;
	int rc;

	memset(&repl->now, 0, sizeof repl->now);
	if (repl->lock && !cu_pg_lock_check(repl->lock))
		cu_pg_lock_free(&repl->lock);
	state_set(repl, CU_REPLICATION_CONNECTING);
	if (!repl->lock) {
		rc = cu_pg_preflight(repl->config, repl->stop_fd, &repl->now.ident, err);
		if (rc < 0)
			return rc;
		rc = cu_pg_lock_acquire(repl->config, opts->names.slot, opts->lock_poll_ms, repl->stop_fd, lock_waiting,
					repl, &repl->lock, err);
		if (rc < 0)
			return rc;
	}
	state_set(repl, CU_REPLICATION_PREPARING);
	rc = cu_pg_connect(repl->config, CU_PG_REPLICATION, repl->stop_fd, &repl->conn, err);
	if (rc < 0)
		return rc;
	rc = prepare(repl, err);
	if (rc < 0)
		return rc;
	rc = start_streaming(repl, err);
	return rc;
}

/* The server gave up on the WAL that comes next. It is older than its publication (which somebody made anew): no attempt
 * will ever get past it. Other reasons may pass; but as long as none does, the slot keeps all WAL from here on. */
static void undecodable(cu_replication *repl, const struct cu_pg_error *err)
{
	uint64_t confirmed = atomic_load(&repl->confirm_lsn);
	uint64_t now = cu_now_ms();
	const char *why = NULL;

	if (err->kind != CU_PG_QUERY || *err->sqlstate == '\0')
		return;
	if (!repl->stuck_since_ms || repl->stuck_lsn != confirmed) {
		repl->stuck_since_ms = now;
		repl->stuck_lsn = confirmed;
	}
	if (strcmp(err->sqlstate, "42704") == 0)
		why = "the publication is newer than the WAL that comes next";
	else if (now - repl->stuck_since_ms >= repl->opts.stuck_ms)
		why = "no attempt to decode the WAL that comes next has succeeded for too long";
	if (!why)
		return;
	cu_error("replication cannot go on from the slot's position", CU_KV("slot", repl->opts.names.slot),
		 CU_KV("why", why), CU_KV_LSN("confirmed", confirmed),
		 CU_KV("next", "a new slot, so that WAL does not pile up; all shapes start anew"));
	repl->want_fresh_slot = true;
	repl->stuck_since_ms = 0;
}

/* Closes the stream's connection, and tells the consumer. */
static void hang_up(cu_replication *repl)
{
	PQfinish(repl->conn);
	repl->conn = NULL;
	if (repl->told_connected) {
		frame_put_simple(repl, CU_REPLICATION_DISCONNECTED, atomic_load(&repl->server_wal_end), NULL, 0);
		cu_replication_queue_flush(&repl->queue);
		repl->told_connected = false;
	}
}

/* Logs, tells the consumer, closes what cannot be used on. */
static void disconnect(cu_replication *repl, const struct cu_pg_error *err)
{
	char text[1024];

	pthread_mutex_lock(&repl->err_mtx);
	repl->last_error = *err;
	pthread_mutex_unlock(&repl->err_mtx);
	cu_pg_error_text(err, text, sizeof text);
	if (!stopping(repl) && (err->kind == CU_PG_PERMISSION || err->kind == CU_PG_CONFIG)) {
		repl->backoff_ms = CU_MAX(repl->backoff_ms, CU_RECONNECT_REFUSED_MS / 2);
		cu_error("replication cannot start", CU_KV("slot", repl->opts.names.slot), CU_KV("error", text),
			 CU_KV("next", "this does not pass by itself: somebody must change it; it is tried again from "
				       "time to time"));
	} else if (!stopping(repl)) {
		cu_warn(repl->told_connected ? "replication interrupted" : "replication could not start",
			CU_KV("slot", repl->opts.names.slot), CU_KV("error", text), CU_KV("next", "connecting again"));
	}
	hang_up(repl);
}

/* Without any connection, the lock's too, until somebody wants the stream. */
static void sleep_until_wanted(cu_replication *repl)
{
	struct pollfd fd = { .fd = repl->wake_fd, .events = POLLIN };

	cu_info("nothing happens: the connections to the database are closed until a request comes",
		CU_KV("slot", repl->opts.names.slot), CU_KV_U64("idle_ms", repl->opts.idle_ms));
	hang_up(repl);
	cu_pg_lock_free(&repl->lock);
	state_set(repl, CU_REPLICATION_SLEEPING);
	while (!stopping(repl) && !atomic_load(&repl->wanted))
		if (poll(&fd, 1, -1) > 0)
			wake_clear(repl);
	if (!stopping(repl))
		cu_info("a request came: connecting to the database", CU_KV("slot", repl->opts.names.slot));
}

/* Full queue: waits for the consumer, so that a database that comes and goes cannot fill it with frames of ours. */
static void backoff(cu_replication *repl)
{
	uint64_t now = cu_now_ms();
	uint64_t until;
	unsigned seed = (unsigned)(cu_now_ns() >> 10);

	repl->backoff_ms = repl->backoff_ms ? CU_MIN(repl->backoff_ms * 2, CU_RECONNECT_MS_MAX) : CU_RECONNECT_MS_MIN;
	until = now + repl->backoff_ms / 2 + (unsigned)rand_r(&seed) % (repl->backoff_ms / 2 + 1);
	state_set(repl, CU_REPLICATION_BACKOFF);
	while (!stopping(repl)) {
		bool full = cu_replication_queue_full(&repl->queue);
		struct pollfd fd = { .fd = repl->wake_fd, .events = POLLIN };

		now = cu_now_ms();
		if (now >= until && !full)
			break;
		if (poll(&fd, 1, now < until ? (int)(until - now) : -1) > 0)
			wake_clear(repl);
	}
}

static void *run(void *arg)
{
	cu_replication *repl = arg;
	struct cu_pg_error err;

	cu_pg_thread_cancel_fd(repl->stop_fd);
	while (!stopping(repl)) {
		int rc = connect_once(repl, &err);

		if (rc == 0) {
			rc = stream(repl, &err);
			if (rc == 0) {
				sleep_until_wanted(repl);
				continue;
			}
			undecodable(repl, &err);
		}
		disconnect(repl, &err);
		if (rc != CU_ECLOSED)
			backoff(repl);
	}
	cu_pg_lock_free(&repl->lock);
	state_set(repl, CU_REPLICATION_STOPPED);
	cu_replication_queue_close(&repl->queue);
	cu_info("replication stopped", CU_KV("slot", repl->opts.names.slot),
		CU_KV_LSN("confirmed", atomic_load(&repl->reported_lsn)));
	return NULL;
}

/* --- public --- */

int cu_replication_new(const struct cu_replication_opts *opts, cu_replication **ret_repl)
{
	cu_replication *repl = cu_xzalloc(sizeof *repl);
	int rc = 0;

	repl->magic = REPLICATION_MAGIC;
	repl->config = opts->config;
	repl->opts = *opts;
	if (!repl->opts.queue_bytes_max)
		repl->opts.queue_bytes_max = CU_REPLICATION_QUEUE_MAX;
	if (!repl->opts.lock_poll_ms)
		repl->opts.lock_poll_ms = CU_PG_LOCK_POLL_MS;
	if (!repl->opts.stuck_ms)
		repl->opts.stuck_ms = CU_REPLICATION_STUCK_MS;
	atomic_store(&repl->confirm_lsn, opts->resume_lsn);
	pthread_mutex_init(&repl->err_mtx, NULL);
	repl->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	repl->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cu_replication_queue_init(&repl->queue, repl->opts.queue_bytes_max, repl->wake_fd);
	if (repl->wake_fd < 0 || repl->stop_fd < 0) {
		cu_error("no event descriptor for replication", CU_KV("error", strerror(errno)));
		rc = CU_EIO;
		goto out;
	}
	*ret_repl = repl;
	repl = NULL;
out:
	cu_replication_free(&repl);
	return rc;
}

int cu_replication_start(cu_replication *repl)
{
	pthread_attr_t attr;
	int rc;

	CU_ASSERT(repl->magic == REPLICATION_MAGIC && !repl->started);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512u * 1024); /* libpq with OpenSSL needs a good part of it */
	rc = pthread_create(&repl->thread, &attr, run, repl);
	pthread_attr_destroy(&attr);
	if (rc != 0) {
		cu_error("no thread for replication", CU_KV("error", strerror(rc)));
		return CU_EAGAIN;
	}
	repl->started = true;
	return 0;
}

void cu_replication_stop(cu_replication *repl)
{
	uint64_t one = 1;
	ssize_t n;

	if (!repl->started)
		return;
	atomic_store(&repl->stopping, true);
	n = write(repl->stop_fd, &one, sizeof one);
	(void)n; /* readable already is what we want */
	wake(repl);
	pthread_join(repl->thread, NULL);
	repl->started = false;
}

void cu_replication_free(cu_replication **repl_at)
{
	cu_replication *repl = *repl_at;

	if (!repl)
		return;
	CU_ASSERT(repl->magic == REPLICATION_MAGIC);
	cu_replication_stop(repl);
	*repl_at = NULL;
	repl->magic = 0;
	cu_replication_queue_fini(&repl->queue);
	pthread_mutex_destroy(&repl->err_mtx);
	if (repl->wake_fd >= 0)
		close(repl->wake_fd);
	if (repl->stop_fd >= 0)
		close(repl->stop_fd);
	free(repl);
}

int cu_replication_next(cu_replication *repl, int timeout_ms, struct cu_replication_batch *ret_batch)
{
	return cu_replication_queue_take(&repl->queue, timeout_ms, ret_batch);
}

void cu_replication_release(cu_replication *repl, struct cu_replication_batch *batch)
{
	uint64_t epoch = batch->epoch;

	if (!batch->block)
		return;
	cu_replication_queue_release(&repl->queue, batch);
	if (epoch > atomic_load(&repl->accepted_epoch)) {
		atomic_store(&repl->accepted_epoch, epoch);
		wake(repl);
	}
}

void cu_replication_wake(cu_replication *repl)
{
	cu_replication_queue_wake(&repl->queue);
}

void cu_replication_confirm(cu_replication *repl, uint64_t lsn)
{
	uint64_t old = atomic_load(&repl->confirm_lsn);

	while (old < lsn)
		if (atomic_compare_exchange_weak(&repl->confirm_lsn, &old, lsn)) {
			wake(repl);
			break;
		}
}

void cu_replication_reset_slot(cu_replication *repl)
{
	atomic_store(&repl->reset_slot, true);
	wake(repl);
}

void cu_replication_restart(cu_replication *repl)
{
	atomic_store(&repl->restart, true);
	wake(repl);
}

bool cu_replication_touch(cu_replication *repl)
{
	if (!can_idle(repl))
		return false;
	atomic_store(&repl->touched_ms, cu_now_ms());
	if (!atomic_load(&repl->asleep))
		return false;
	atomic_store(&repl->wanted, true);
	wake(repl);
	return true;
}

enum cu_replication_state cu_replication_state_get(const cu_replication *repl)
{
	return (enum cu_replication_state)atomic_load(&repl->state);
}

void cu_replication_last_error(cu_replication *repl, struct cu_pg_error *ret_err)
{
	pthread_mutex_lock(&repl->err_mtx);
	*ret_err = repl->last_error;
	pthread_mutex_unlock(&repl->err_mtx);
}

void cu_replication_stats_get(cu_replication *repl, struct cu_replication_stats *ret_stats)
{
	*ret_stats = (struct cu_replication_stats){
		.messages = atomic_load(&repl->messages),
		.bytes = atomic_load(&repl->bytes),
		.queued_bytes = cu_replication_queue_bytes(&repl->queue),
		.stalls = atomic_load(&repl->stalls),
		.connects = atomic_load(&repl->connects),
		.server_wal_end = atomic_load(&repl->server_wal_end),
		.confirmed_lsn = atomic_load(&repl->reported_lsn),
	};
}
