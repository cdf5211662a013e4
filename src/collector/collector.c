/* collector.c: the thread: frames of the stream, connections that come and go, checkpoints. */
#include "collector/internal.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"

#include <stdlib.h>

/* ---- checkpoints ---- */

static void checkpoint_stored(void *ctx, int rc)
{
	struct cu_collector *c = ctx;

	if (rc == 0) {
		atomic_store(&c->checkpoint_lsn, c->saved.lsn);
		atomic_fetch_add_explicit(&c->stat_checkpoints, 1, memory_order_relaxed);
		cu_replication_confirm(c->opts.replication, c->saved.lsn);
		cu_sealer_checkpoint(c->opts.sealer, c->saved.log_pos);
	} else {
		cu_error("a checkpoint failed; WAL is not confirmed to Postgres until one succeeds",
			 CU_KV("stack", c->opts.stack_id), CU_KV_LSN("lsn", c->saved.lsn),
			 CU_KV("error", cu_strerror(rc)), CU_KV("next", "check the storage directory's disk"));
	}
	pthread_mutex_lock(&c->lock);
	c->checkpoint_running = false;
	c->checkpoint_rc = rc;
	pthread_cond_broadcast(&c->checkpoint_done);
	pthread_mutex_unlock(&c->lock);
}

static uint64_t removals_failed(const struct cu_collector *c)
{
	return cu_metadata_removals_failed(cu_store_metadata(c->opts.store));
}

/* Asks for a checkpoint at this point: outside of a transaction, everything shown. c->saved is ours again once
 * checkpoint_running is false. failed: removals_failed() before the last look for removals that are to be tried again. */
static void checkpoint_start(struct cu_collector *c, uint64_t failed)
{
	bool running;
	int rc;

	pthread_mutex_lock(&c->lock);
	running = c->checkpoint_running;
	if (!running)
		c->checkpoint_running = true;
	pthread_mutex_unlock(&c->lock);
	if (running)
		return; /* the next tick asks again */
	cu_shape_set_drop_ranges(c->opts.shapes, c->safe_lsn);
	c->saved.removals_failed = failed;
	c->saved.lsn = c->safe_lsn;
	c->saved.log_pos = cu_changelog_end(c->log);
	c->saved.last_tx = CU_MAX(c->saved.last_tx, c->committed_tx);
	c->checkpoint_log_pos = c->saved.log_pos;
	if (CU_MUTANT(CONFIRM_BEFORE_STORED))
		cu_replication_confirm(c->opts.replication, c->saved.lsn);
	rc = cu_store_checkpoint(c->opts.store, &c->saved, checkpoint_stored, c);
	if (rc < 0)
		checkpoint_stored(c, rc);
}

static int checkpoint_wait(struct cu_collector *c)
{
	int rc;

	pthread_mutex_lock(&c->lock);
	while (c->checkpoint_running)
		pthread_cond_wait(&c->checkpoint_done, &c->lock);
	rc = c->checkpoint_rc;
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static bool checkpoint_is_due(const struct cu_collector *c)
{
	return !c->tx.open && c->saved.system_id &&
	       (cu_now_ms() >= c->checkpoint_due_ms ||
		cu_changelog_end(c->log) - c->checkpoint_log_pos >= CU_CHECKPOINT_BYTES);
}

/* Everything has been shown. */
static void checkpoint_tick(struct cu_collector *c)
{
	uint64_t failed = removals_failed(c);

	if (!checkpoint_is_due(c))
		return;
	c->checkpoint_due_ms = cu_now_ms() + c->opts.checkpoint_ms;
	if (c->safe_lsn <= atomic_load(&c->checkpoint_lsn)) {
		cu_changelog_idle(c->log);
		cu_shape_set_drop_ranges(c->opts.shapes, c->safe_lsn); /* of shapes made while the database rests */
	} else if (cu_shape_set_retry_removals(c->opts.shapes) == 0) {
		checkpoint_start(c, failed);
	}
}

static bool checkpoint_is_running(struct cu_collector *c)
{
	bool running;

	pthread_mutex_lock(&c->lock);
	running = c->checkpoint_running;
	pthread_mutex_unlock(&c->lock);
	return running;
}

/* ---- connections ---- */

static const char *why_not_resumable(const struct cu_collector *c, const struct cu_replication_connected *now)
{
	if (!c->saved.system_id)
		return cu_shape_set_len(c->opts.shapes) ? "the storage has shapes but no checkpoint" : NULL;
	if (c->saved.system_id != now->ident.system_id)
		return "this is another Postgres cluster (system identifier differs)";
	if (c->saved.timeline != now->ident.timeline)
		return "Postgres is on another timeline (failover or restore)";
	if (now->slot.created)
		return "the replication slot was new";
	if (now->ident.flush_lsn < c->safe_lsn)
		return "the database is behind what is stored (restored from a backup)";
	if (c->diverged)
		return "the database has another history (restored from a copy, and written to since)";
	if (now->slot.confirmed_flush_lsn > c->safe_lsn)
		return "the replication slot has moved beyond what is stored";
	return NULL;
}

static int on_connected(struct cu_collector *c, const struct cu_replication_connected *now)
{
	const char *why = why_not_resumable(c, now);
	uint64_t failed = removals_failed(c);
	int rc;

	/* Before shapes are removed: one that is made anew meanwhile has to join its table again. */
	if (why || now->slot.created || now->slot.publication_created)
		cu_publication_forget(c->opts.publication, 0);
	if (why) {
		cu_warn("the stream cannot be resumed: every shape is dropped and its readers refetch",
			CU_KV("stack", c->opts.stack_id), CU_KV("why", why), CU_KV_LSN("stored", c->safe_lsn),
			CU_KV_LSN("slot", now->slot.confirmed_flush_lsn));
		cu_recent_xids_forget(c->opts.recent);
		cu_catalog_invalidate(c->opts.catalog, 0);
		cu_shape_set_remove_all(c->opts.shapes, why);
	}
	if (why || !c->saved.system_id) {
		/* What this replaces was never confirmed, or belongs to another history. */
		rc = cu_collector_show(c); /* a checkpoint's end lies in what has been flushed */
		if (rc < 0)
			return rc;
		checkpoint_wait(c);
		c->safe_lsn = now->slot.confirmed_flush_lsn;
		c->saved.system_id = now->ident.system_id;
		c->saved.timeline = now->ident.timeline;
		/* LSNs may be smaller than before: what was seen of the other history counts no more. */
		c->committed_tx = c->saved.last_tx = 0;
		atomic_store(&c->checkpoint_lsn, 0);
		atomic_store(&c->last_tx, c->safe_lsn);
		checkpoint_start(c, failed);
	}
	c->diverged = false;
	c->seen_tx = CU_MAX(c->saved.last_tx, c->committed_tx);
	c->expected_tx = c->seen_tx >= now->slot.confirmed_flush_lsn ? c->seen_tx : 0;
	if (!atomic_load(&c->last_tx))
		atomic_store(&c->last_tx, CU_MAX(c->saved.last_tx, c->safe_lsn));
	atomic_store(&c->server_version, now->ident.version_num);
	c->catch_up_lsn = now->ident.flush_lsn;
	return 0;
}

/* A copy of the server that was started again and has gone on has the same name and may be beyond what we hold; but not with
 * the same transactions at the same places. Of those that come again, the last one that we have must be among them, and
 * none that we have not. */
int cu_collector_compare_history(struct cu_collector *c, uint64_t tx)
{
	if (tx == c->expected_tx)
		c->expected_tx = 0;
	if ((!c->expected_tx || tx <= c->expected_tx) &&
	    (tx >= c->safe_lsn || tx <= CU_MAX(c->seen_tx, c->committed_tx)))
		return 0;
	cu_error("the database sends other transactions than it once did; connecting anew",
		 CU_KV("stack", c->opts.stack_id), CU_KV_LSN("transaction", tx), CU_KV_LSN("last", c->seen_tx),
		 CU_KV_LSN("stored", c->safe_lsn), CU_KV("next", "every shape starts anew"));
	c->diverged = true;
	return CU_ECORRUPT;
}

static void note_caught_up(struct cu_collector *c)
{
	if (!c->catch_up_lsn || c->safe_lsn < c->catch_up_lsn ||
	    atomic_load_explicit(&c->caught_up, memory_order_relaxed))
		return;
	atomic_store(&c->caught_up, true);
	cu_info("caught up with the database", CU_KV("stack", c->opts.stack_id), CU_KV_LSN("lsn", c->safe_lsn));
}

/* ---- the thread ---- */

static int on_frame(struct cu_collector *c, const struct cu_replication_frame *frame)
{
	const uint8_t *bytes = cu_replication_frame_bytes(frame);
	struct cu_replication_connected connected;

	switch ((enum cu_replication_kind)frame->kind) {
	case CU_REPLICATION_XLOG: return cu_collector_message(c, bytes, frame->len);
	case CU_REPLICATION_KEEPALIVE:
		if (c->expected_tx && frame->wal_end > c->expected_tx)
			return cu_collector_compare_history(c, frame->wal_end);
		if (!c->tx.open)
			c->safe_lsn = CU_MAX(c->safe_lsn, frame->wal_end);
		return 0;
	case CU_REPLICATION_CONNECTED:
		CU_ASSERT(frame->len == sizeof connected);
		memcpy(&connected, bytes, sizeof connected);
		cu_collector_abort(c);
		return on_connected(c, &connected);
	case CU_REPLICATION_DISCONNECTED: cu_collector_abort(c); return 0;
	}
	return 0;
}

/* Until the next CONNECTED frame nothing of a stream that we could not follow may be looked at. */
static int on_batch(struct cu_collector *c, const struct cu_replication_batch *batch, bool *lost)
{
	const struct cu_replication_frame *frame = NULL;
	int rc = 0;

	while (rc == 0 && (frame = cu_replication_frame_next(batch, frame))) {
		if (frame->kind == CU_REPLICATION_CONNECTED)
			*lost = false;
		if (!*lost)
			rc = on_frame(c, frame);
		if (rc < 0 && rc != CU_ECLOSED) {
			cu_collector_abort(c);
			*lost = true;
			cu_replication_restart(c->opts.replication);
			rc = 0;
		}
		/* Here too: under a steady load of large transactions no batch may ever end between two of them. */
		if (rc == 0 && !*lost && checkpoint_is_due(c) && !checkpoint_is_running(c)) {
			cu_collector_unlock_router(c); /* what follows may wait for the disk */
			rc = cu_collector_show(c);
			if (rc == 0)
				checkpoint_tick(c);
		}
	}
	cu_collector_unlock_router(c);
	return rc;
}

/* Until the next checkpoint is due. Where none can be made (see checkpoint_tick) only a frame changes that. */
static int wait_time_ms(const struct cu_collector *c)
{
	uint64_t now = cu_now_ms();

	if (c->unshown)
		return (int)(CU_SHOW_INTERVAL_NS / 1000000);
	if (c->tx.open || !c->saved.system_id)
		return (int)c->opts.checkpoint_ms;
	return c->checkpoint_due_ms > now ? (int)(c->checkpoint_due_ms - now) : 0;
}

static int show(struct cu_collector *c, uint64_t now_ns)
{
	int rc = cu_collector_show(c);

	if (rc < 0)
		return rc;
	c->unshown = false;
	c->show_due_ns = now_ns + CU_SHOW_INTERVAL_NS;
	note_caught_up(c);
	return 0;
}

/* The first commits after a pause are shown at once. Of a busy stream each show would wake the readers again, and their answers
 * would take the processor from the stream: those are shown together, at most once in CU_SHOW_INTERVAL_NS. */
static int show_when_due(struct cu_collector *c)
{
	uint64_t now = cu_now_ns();

	return c->unshown && now >= c->show_due_ns ? show(c, now) : 0;
}

/* What comes faster than it can be sealed waits in Postgres. What has come is shown before. Where draining does not help (the disk
 * refuses, a transaction is longer) it ends, and the stream goes on. */
static int wait_for_room(struct cu_collector *c)
{
	uint64_t now_ms;
	int rc;

	if (!cu_sealer_hold_up(c->opts.sealer, 0))
		return 0;
	rc = show(c, cu_now_ns());
	if (rc < 0)
		return rc;
	now_ms = cu_now_ms();
	if (now_ms >= c->held_up_due_ms) {
		cu_warn("changes come faster than they can be sealed: the stream waits until the change log has been drained",
			CU_KV("stack", c->opts.stack_id),
			CU_KV_U64("log_bytes", cu_changelog_end(c->log) - cu_changelog_start(c->log)),
			CU_KV("next", "a faster disk, fewer shapes per change, or a larger --change-log-max"));
		c->held_up_due_ms = now_ms + CU_SEALER_TOLD_MS;
	}
	while (!atomic_load(&c->stopping) && cu_sealer_hold_up(c->opts.sealer, CU_SEALER_HOLD_UP_MS))
		continue;
	return 0;
}

static void *run(void *arg)
{
	struct cu_collector *c = arg;
	struct cu_replication_batch batch;
	bool lost = false;
	uint64_t failed;
	int rc = 0;

	while (rc != CU_ECLOSED && !atomic_load(&c->stopping)) {
		rc = cu_replication_next(c->opts.replication, wait_time_ms(c), &batch);
		if (rc == 0) {
			rc = on_batch(c, &batch, &lost);
			cu_replication_release(c->opts.replication, &batch);
			c->unshown = true;
		}
		if (rc != CU_ECLOSED)
			rc = show_when_due(c);
		if (rc != CU_ECLOSED)
			rc = wait_for_room(c);
		if (!c->unshown)
			checkpoint_tick(c);
	}
	cu_collector_abort(c);
	failed = removals_failed(c);
	if (!c->unclosed && cu_collector_show(c) == 0 && c->saved.system_id &&
	    cu_shape_set_retry_removals(c->opts.shapes) == 0) {
		checkpoint_wait(c);
		checkpoint_start(c, failed);
		checkpoint_wait(c);
	}
	return NULL;
}

int cu_collector_start(const struct cu_collector_opts *opts, cu_collector **ret_collector)
{
	cu_collector *c = cu_xzalloc(sizeof *c);

	c->opts = *opts;
	c->log = cu_store_changelog(opts->store);
	c->saved = opts->checkpoint;
	c->safe_lsn = opts->checkpoint.lsn;
	c->checkpoint_log_pos = cu_changelog_end(c->log);
	atomic_init(&c->last_tx, CU_MAX(opts->checkpoint.last_tx, opts->checkpoint.lsn));
	atomic_init(&c->checkpoint_lsn, opts->checkpoint.lsn);
	cu_pgoutput_decoder_init(&c->decoder);
	cu_fragment_init(&c->fragment);
	CU_ASSERT(pthread_mutex_init(&c->lock, NULL) == 0);
	CU_ASSERT(pthread_cond_init(&c->checkpoint_done, NULL) == 0);
	if (pthread_create(&c->thread, NULL, run, c) != 0) {
		cu_collector_free(&c);
		return CU_EAGAIN;
	}
	c->running = true;
	*ret_collector = c;
	return 0;
}

void cu_collector_stop(cu_collector *c)
{
	if (!c->running)
		return;
	atomic_store(&c->stopping, true);
	cu_replication_wake(c->opts.replication);
	pthread_join(c->thread, NULL);
	c->running = false;
}

void cu_collector_free(cu_collector **ref)
{
	cu_collector *c = *ref;

	if (!c)
		return;
	*ref = NULL;
	cu_collector_stop(c);
	checkpoint_wait(c);
	cu_shape_list_fini(&c->touched);
	cu_shape_list_fini(&c->dirty);
	cu_fragment_fini(&c->fragment);
	cu_relations_fini(&c->relations);
	cu_pgoutput_decoder_fini(&c->decoder);
	cu_buf_fini(&c->item);
	free(c->doomed);
	free(c->view_buffer);
	free(c->deliveries);
	free(c->placing);
	free(c->fan_shapes);
	free(c->fan_runs);
	free(c->tail_runs);
	pthread_cond_destroy(&c->checkpoint_done);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

uint64_t cu_collector_last_tx(const cu_collector *c)
{
	return atomic_load_explicit(&c->last_tx, memory_order_acquire);
}

bool cu_collector_caught_up(const cu_collector *c)
{
	return atomic_load_explicit(&c->caught_up, memory_order_acquire);
}

void cu_collector_stats_get(const cu_collector *c, struct cu_collector_stats *ret_stats)
{
	*ret_stats = (struct cu_collector_stats){
		.transactions = atomic_load_explicit(&c->stat_transactions, memory_order_relaxed),
		.changes = atomic_load_explicit(&c->stat_changes, memory_order_relaxed),
		.items = atomic_load_explicit(&c->stat_items, memory_order_relaxed),
		.checkpoints = atomic_load_explicit(&c->stat_checkpoints, memory_order_relaxed),
		.checkpoint_lsn = atomic_load(&c->checkpoint_lsn),
	};
}

int cu_collector_server_version(const cu_collector *c)
{
	return atomic_load_explicit(&c->server_version, memory_order_acquire);
}
