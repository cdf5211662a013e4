/* sealer.c: the thread, what it is told, and the two reasons to seal: a whole chunk, a change log that is too long. */
#include "shape/sealer.h"

#include "base/cond.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"
#include "shape/compactor.h"
#include "shape/log_reader.h"
#include "shape/shape_list.h"

#include <pthread.h>
#include <stdlib.h>

/* What is to be sealed next of a tail. */
struct piece {
	cu_offset from, end;
	uint32_t n;
	bool ends;
};

/* One whose bytes are in a file, or in memory. */
struct written {
	cu_shape *shape; /* the reference is the list's */
	struct piece piece;
	struct cu_log_chunk chunk;
	int rc;
};

struct cu_sealer {
	/* set once */
	struct cu_sealer_opts opts;
	pthread_t thread;
	bool running;

	/* any thread, under lock: a leaf */
	pthread_mutex_t lock;
	pthread_cond_t work;              /* a checkpoint, or stopping */
	pthread_cond_t settled;           /* in_flight has become 0, a round has ended, or the thread rests */
	atomic_bool stopping;             /* set under the lock; looked at without */
	bool checkpoint;                  /* one has come since the last round */
	bool sealing;                     /* a round runs */
	bool resting;                     /* the thread waits for the next one */
	uint64_t log_pos;                 /* of the last one */
	struct cu_shape_list full;        /* each has log->full set */
	struct cu_shape_list tails;       /* each has log->listed set: with whatever in its tail */
	size_t tails_kept;                /* … after the last sweep */
	struct cu_shape_list compactable; /* each has log->waits set */
	unsigned in_flight;
	unsigned failed; /* of those on their way since seal_list() began */
	struct cu_sealer_stats stats;

	/* its own thread */
	/* Up to this position of the change log, in the round that is running. A transaction would not do: of another history
	 * it may be newer and have a smaller LSN. */
	uint64_t sealable_pos;
	/* What was in `compactable`: those from compacting_at on have not had their turn. */
	struct cu_shape_list compacting;
	size_t compacting_at;
	/* Pieces that are synced and recorded together. */
	struct written batch[CU_SEALER_BATCH];
	size_t batch_len;
	uint64_t batch_bytes;
};

/* ---- lists ---- */

static struct cu_shape_list take(struct cu_sealer *sealer, struct cu_shape_list *list)
{
	struct cu_shape_list taken;

	pthread_mutex_lock(&sealer->lock);
	taken = *list;
	*list = (struct cu_shape_list){ NULL, 0, 0 };
	pthread_mutex_unlock(&sealer->lock);
	return taken;
}

void cu_sealer_note(cu_sealer *sealer, cu_shape *shape)
{
	cu_shape_log *log = shape->log;
	bool first, full;

	if (!sealer || !log)
		return;
	first = !log->listed && log->tail.len;
	full = !log->full && log->tail.chunk_ends_len;
	if (!first && !full)
		return;
	pthread_mutex_lock(&sealer->lock);
	if (first)
		cu_shape_list_add(&sealer->tails, shape);
	if (full)
		cu_shape_list_add(&sealer->full, shape);
	pthread_mutex_unlock(&sealer->lock);
	log->listed |= first;
	log->full |= full;
}

/* Under the shape's lock. */
static void note_compactable(cu_sealer *sealer, cu_shape *shape)
{
	struct cu_compactor_limits limits = cu_compactor_limits_of(cu_shape_set_chunk_bytes(sealer->opts.shapes));
	cu_shape_log *log = shape->log;

	if (!log || log->waits || !cu_compactor_wants(log, &limits))
		return;
	log->waits = true;
	pthread_mutex_lock(&sealer->lock);
	cu_shape_list_add(&sealer->compactable, shape);
	pthread_mutex_unlock(&sealer->lock);
}

/* ---- one chunk ---- */

static bool is_stopping(struct cu_sealer *sealer)
{
	return atomic_load(&sealer->stopping);
}

/* A chunk on its way into the metadata. */
struct sealing {
	struct cu_sealer *sealer;
	cu_shape *shape;
	struct cu_sealed chunk;
};

/* Of a shape that was removed while the chunk was made: its directory may have come back. */
static void remove_again(struct cu_sealer *sealer, const cu_shape *shape)
{
	if (!CU_MUTANT(SEALED_LEAVES_FILES))
		(void)cu_store_remove_shape(sealer->opts.store, shape->id, NULL, NULL);
}

/* On the metadata's thread. */
static void sealed(void *ctx, int rc)
{
	struct sealing *sealing = ctx;
	struct cu_sealer *sealer = sealing->sealer;
	cu_shape *shape = sealing->shape;

	if (rc == 0) {
		cu_shape_lock(shape);
		cu_shape_log_seal(shape->log, &sealing->chunk);
		note_compactable(sealer, shape);
		cu_shape_unlock(shape);
	} else if (rc == CU_ENOTFOUND) {
		remove_again(sealer, shape);
	} else {
		cu_error("a sealed chunk could not be recorded; the change log keeps its items",
			 CU_KV("stack", sealer->opts.stack_id), CU_KV("handle", shape->handle),
			 CU_KV("error", cu_strerror(rc)), CU_KV("next", "check the storage directory's disk"));
	}
	pthread_mutex_lock(&sealer->lock);
	if (rc == 0) {
		sealer->stats.chunks++;
		sealer->stats.bytes += sealing->chunk.bytes;
	}
	sealer->failed += rc < 0;
	if (--sealer->in_flight == 0)
		pthread_cond_broadcast(&sealer->settled);
	pthread_mutex_unlock(&sealer->lock);
	cu_shape_unref(&sealing->shape);
	free(sealing);
}

/* Waits for what is on its way. Returns how many of all since the last begin could not be recorded. */
static unsigned settle(struct cu_sealer *sealer)
{
	unsigned failed;

	pthread_mutex_lock(&sealer->lock);
	while (sealer->in_flight)
		pthread_cond_wait(&sealer->settled, &sealer->lock);
	failed = sealer->failed;
	pthread_mutex_unlock(&sealer->lock);
	return failed;
}

/* False: nothing now. whole: all that may be, else whole chunks only. */
static bool next_piece(struct cu_sealer *sealer, cu_shape *shape, bool whole, struct piece *ret_piece)
{
	cu_shape_log *log;
	size_t runs = 0;

	cu_shape_lock(shape);
	log = shape->log;
	if (log && cu_shape_is_settled(shape))
		runs = cu_tail_sealable(&log->tail, sealer->sealable_pos, &ret_piece->ends);
	if (runs && (ret_piece->ends || whole)) {
		const struct cu_tail_run *last = cu_tail_run_at(&log->tail, runs - 1);

		ret_piece->from = cu_shape_log_sealed_end(log);
		ret_piece->end = cu_offset_of(last->tx, last->last_op);
		ret_piece->n = log->next_n++;
	} else {
		runs = 0;
	}
	cu_shape_unlock(shape);
	return runs > 0;
}

static int write_piece(struct cu_sealer *sealer, cu_shape *shape, const struct piece *piece,
		       struct cu_log_chunk *ret_chunk)
{
	cu_log_chunk_writer *writer = cu_log_chunk_writer_new(cu_store_chunks(sealer->opts.store), shape->id, piece->n);
	cu_log_index index = CU_LOG_INDEX_INIT;
	struct cu_log_file file;
	cu_log_reader reader;
	cu_buf out = CU_BUF_INIT;
	int rc, put;

	cu_log_reader_init(&reader, shape, sealer->opts.store, piece->from, piece->end);
	reader.index = &index;
	do {
		cu_buf_clear(&out);
		rc = cu_log_reader_next(&reader, &out, &file);
		CU_ASSERT(rc < 0 || file.len == 0); /* nobody else seals */
		put = rc >= 0 ? cu_log_chunk_writer_append(writer, out.data, out.len) : 0;
		if (put < 0)
			rc = put;
		else if (cu_is_disk_error(rc))
			rc = CU_ECORRUPT; /* what cannot be read would hold the change log for ever */
	} while (rc > 0);
	if (rc == 0)
		rc = cu_log_chunk_writer_finish(&writer, &index, false, ret_chunk);
	if (rc == 0 && ret_chunk->wire_bytes > UINT32_MAX)
		rc = CU_ETOOBIG;
	cu_log_chunk_writer_free(&writer);
	cu_buf_fini(&index.bytes);
	cu_buf_fini(&out);
	cu_log_reader_fini(&reader);
	return rc;
}

/* On its way into the metadata when this says 0. */
static int record_piece(struct cu_sealer *sealer, cu_shape *shape, const struct piece *piece,
			const struct cu_log_chunk *chunk)
{
	struct cu_log_chunk_row row = {
		.shape_id = shape->id,
		.n = piece->n,
		.last_tx = piece->end.tx,
		.last_op = piece->end.op,
		.wire_bytes = chunk->wire_bytes,
		.info = chunk->info,
		.ends = piece->ends,
		.is_small = chunk->small != NULL,
		.small = chunk->small,
	};
	struct sealing *sealing = cu_xmalloc(sizeof *sealing);
	int rc;

	*sealing = (struct sealing){ .sealer = sealer, .shape = cu_shape_ref(shape) };
	sealing->chunk = (struct cu_sealed){
		.tx = piece->end.tx,
		.op = piece->end.op,
		.n = piece->n,
		.bytes = (uint32_t)chunk->wire_bytes,
		.crc = chunk->info.crc,
		.small = row.is_small,
		.ends = row.ends,
		.good = true,
	};
	pthread_mutex_lock(&sealer->lock);
	sealer->in_flight++;
	pthread_mutex_unlock(&sealer->lock);
	rc = cu_metadata_put_log_chunks(cu_store_metadata(sealer->opts.store), &row, 1, piece->from.tx, piece->from.op,
					sealed, sealing);
	if (rc < 0)
		sealed(sealing, rc);
	return rc;
}

/* What a shape that is being removed meanwhile says. */
static bool is_going(int rc)
{
	return rc == CU_ECLOSED || rc == CU_ENOTFOUND;
}

static void tell_not_sealed(struct cu_sealer *sealer, cu_shape *shape, int rc)
{
	if (rc == CU_ECORRUPT)
		cu_shape_set_remove(sealer->opts.shapes, shape, "its log is damaged", NULL);
	else if (!is_going(rc))
		cu_error("a part of a shape's log could not be sealed; the change log keeps it",
			 CU_KV("stack", sealer->opts.stack_id), CU_KV("handle", shape->handle),
			 CU_KV("error", cu_strerror(rc)), CU_KV("next", "check the storage directory's disk"));
}

static void take_away(struct cu_sealer *sealer, cu_shape *shape, const struct piece *piece)
{
	cu_chunk_remove(cu_store_chunks(sealer->opts.store), shape->id, CU_CHUNK_LOG, piece->n);
	if (cu_shape_status(shape).state > CU_SHAPE_LIVE)
		remove_again(sealer, shape);
}

/* ---- many of them ---- */

/* Writes the next piece of a tail, into the batch. 1: it is there. 0: there is nothing to seal. */
static int seal(struct cu_sealer *sealer, cu_shape *shape, bool whole)
{
	struct written *written = &sealer->batch[sealer->batch_len];
	int rc;

	*written = (struct written){ .shape = shape };
	if (!next_piece(sealer, shape, whole, &written->piece))
		return 0;
	rc = write_piece(sealer, shape, &written->piece, &written->chunk);
	if (rc < 0) {
		tell_not_sealed(sealer, shape, rc);
		take_away(sealer, shape, &written->piece);
		free(written->chunk.small);
		return rc;
	}
	sealer->batch_len++;
	sealer->batch_bytes += written->chunk.wire_bytes;
	return 1;
}

/* The files first, all of them: the disk has begun to write them, and what they have in common is in one commit of the file
 * system's journal. Where one fails the rest have failed with it, but for those whose shape is being removed. */
static void sync_batch(struct cu_sealer *sealer)
{
	cu_chunks *chunks = cu_store_chunks(sealer->opts.store);
	struct written *batch = sealer->batch;
	bool any = false;
	int rc = 0;

	for (size_t i = 0; i < sealer->batch_len; i++) {
		if (batch[i].chunk.small)
			continue;
		batch[i].rc = rc < 0 ? rc : cu_chunk_sync(chunks, batch[i].shape->id, CU_CHUNK_LOG, batch[i].piece.n);
		if (batch[i].rc < 0 && !is_going(batch[i].rc))
			rc = batch[i].rc;
	}
	for (size_t i = 0; i < sealer->batch_len; i++) {
		if (batch[i].chunk.small || batch[i].rc < 0)
			continue;
		batch[i].rc = rc < 0 ? rc : cu_chunks_sync_names(chunks, batch[i].shape->id);
		if (batch[i].rc < 0 && !is_going(batch[i].rc))
			rc = batch[i].rc;
		any = true;
	}
	if (any && rc == 0)
		rc = cu_chunks_sync_all(chunks);
	for (size_t i = 0; i < sealer->batch_len && rc < 0; i++) {
		if (!batch[i].chunk.small && batch[i].rc == 0)
			batch[i].rc = rc;
	}
}

/* Makes durable what has been written, and puts it into the metadata. Returns what went wrong, but for shapes that are being
 * removed. */
static int seal_batch(struct cu_sealer *sealer)
{
	int rc = 0;

	sync_batch(sealer);
	for (size_t i = 0; i < sealer->batch_len; i++) {
		struct written *written = &sealer->batch[i];

		if (written->rc == 0)
			written->rc = record_piece(sealer, written->shape, &written->piece, &written->chunk);
		else if (rc == 0)
			tell_not_sealed(sealer, written->shape, written->rc);
		if (written->rc < 0)
			take_away(sealer, written->shape, &written->piece);
		if (written->rc < 0 && !is_going(written->rc))
			rc = written->rc;
		free(written->chunk.small);
	}
	sealer->batch_len = 0;
	sealer->batch_bytes = 0;
	return rc;
}

/* Seals what the listed shapes have, a piece of each at a time, and waits until all of it is durable. Stops at what the
 * disk refuses. */
static int seal_list(struct cu_sealer *sealer, const struct cu_shape_list *list, bool whole)
{
	bool more = true;
	int rc = 0, failed;

	pthread_mutex_lock(&sealer->lock);
	sealer->failed = 0;
	pthread_mutex_unlock(&sealer->lock);
	while (more && rc >= 0) {
		more = false;
		for (size_t i = 0; i < list->len && rc >= 0; i++) {
			if (is_stopping(sealer))
				rc = CU_ECLOSED;
			else
				rc = seal(sealer, list->list[i], whole);
			more |= rc > 0;
			if (is_going(rc) || rc == CU_ECORRUPT)
				rc = is_stopping(sealer) ? CU_ECLOSED : 0;
			if (rc >= 0 &&
			    (sealer->batch_len == CU_SEALER_BATCH || sealer->batch_bytes >= CU_SEALER_BATCH_BYTES)) {
				rc = seal_batch(sealer);
				settle(sealer);
			}
		}
		failed = seal_batch(sealer);
		rc = rc < 0 ? rc : failed;
		if (settle(sealer))
			more = false; /* not again and again: after the next checkpoint */
	}
	return rc < 0 ? rc : 0;
}

/* ---- the two reasons ---- */

static void seal_full(struct cu_sealer *sealer)
{
	struct cu_shape_list full = take(sealer, &sealer->full);

	seal_list(sealer, &full, false);
	for (size_t i = 0; i < full.len; i++) {
		cu_shape *shape = full.list[i];

		/* What no checkpoint covers yet, and what failed, is noted again. */
		cu_shape_lock(shape);
		shape->log->full = false;
		if (cu_shape_is_settled(shape))
			cu_sealer_note(sealer, shape);
		cu_shape_unlock(shape);
	}
	cu_shape_list_fini(&full);
}

/* Forgets the tails that hold nothing. Those that begin before `pos` are added to *ret_old (may be NULL). Returns the oldest position that
 * one needs, UINT64_MAX: none does. */
static uint64_t sweep(struct cu_sealer *sealer, uint64_t pos, struct cu_shape_list *ret_old)
{
	struct cu_shape_list tails = take(sealer, &sealer->tails);
	uint64_t oldest = UINT64_MAX;
	size_t kept = 0;

	for (size_t i = 0; i < tails.len; i++) {
		cu_shape *shape = tails.list[i];
		bool keep;

		cu_shape_lock(shape);
		/* One whose removal is not durable comes back in a crash, and needs its tail then. */
		keep = shape->log->tail.len && (CU_MUTANT(SWEEP_FORGETS_REMOVING) ? shape->state <= CU_SHAPE_LIVE
										  : shape->state != CU_SHAPE_GONE);
		shape->log->listed = keep;
		if (keep) {
			uint64_t first = cu_tail_run_at(&shape->log->tail, 0)->pos;

			oldest = CU_MIN(oldest, first);
			if (ret_old && first < pos)
				cu_shape_list_add(ret_old, shape);
		}
		cu_shape_unlock(shape);
		if (keep)
			tails.list[kept++] = shape;
		else
			cu_shape_unref(&shape);
	}
	tails.len = kept;
	/* Before those that were noted meanwhile. */
	pthread_mutex_lock(&sealer->lock);
	for (size_t i = 0; i < sealer->tails.len; i++)
		cu_shape_list_add(&tails, sealer->tails.list[i]);
	cu_shape_list_fini(&sealer->tails);
	sealer->tails = tails;
	sealer->tails_kept = tails.len;
	pthread_mutex_unlock(&sealer->lock);
	return oldest;
}

/* The change log is too long: its older half goes. */
static void drain(struct cu_sealer *sealer, uint64_t log_pos)
{
	cu_changelog *changelog = cu_store_changelog(sealer->opts.store);
	uint64_t start = cu_changelog_start(changelog), oldest, now;
	struct cu_shape_list old = { NULL, 0, 0 };

	sweep(sealer, log_pos - sealer->opts.log_bytes_max / 2, &old);
	if (seal_list(sealer, &old, true) == 0) {
		oldest = CU_MUTANT(DROP_TO_CHECKPOINT) ? UINT64_MAX : sweep(sealer, 0, NULL);
		/* After the look at the tails: one that was passed over because its shape is gone may have to come back. */
		if (cu_shape_set_unremoved(sealer->opts.shapes) == 0 || CU_MUTANT(DROP_DESPITE_UNREMOVED))
			cu_store_drop_log(sealer->opts.store, CU_MIN(oldest, log_pos)); /* else at the next drain */
	}
	now = cu_changelog_start(changelog);
	cu_debug("the change log was drained", CU_KV("stack", sealer->opts.stack_id), CU_KV_U64("tails", old.len),
		 CU_KV_U64("dropped_bytes", now - start), CU_KV_U64("left_bytes", log_pos - now));
	cu_shape_list_fini(&old);
	pthread_mutex_lock(&sealer->lock);
	sealer->stats.drains++;
	sealer->stats.dropped += now - start;
	pthread_mutex_unlock(&sealer->lock);
}

/* For the last checkpoint. Under the lock, which is given up meanwhile. */
static void seal_round(struct cu_sealer *sealer)
{
	/* Shapes that were removed since the last sweep are still held by the list. */
	bool crowded = sealer->tails.len > 2 * sealer->tails_kept + CU_SEALER_TAILS_SLACK;
	uint64_t log_pos = sealer->log_pos;

	sealer->checkpoint = false;
	sealer->sealing = true;
	sealer->sealable_pos = CU_MUTANT(SEAL_BEYOND_CHECKPOINT) ? UINT64_MAX : log_pos;
	pthread_mutex_unlock(&sealer->lock);
	seal_full(sealer);
	if (log_pos - cu_changelog_start(cu_store_changelog(sealer->opts.store)) > sealer->opts.log_bytes_max)
		drain(sealer, log_pos);
	else if (crowded)
		sweep(sealer, 0, NULL);
	pthread_mutex_lock(&sealer->lock);
	sealer->sealing = false;
	pthread_cond_broadcast(&sealer->settled);
}

/* ---- compacting ---- */

/* In the middle of a compaction, whose shape may be among those that are sealed. */
static int turn(void *ctx)
{
	struct cu_sealer *sealer = ctx;
	int rc = 0;

	pthread_mutex_lock(&sealer->lock);
	if (sealer->stopping)
		rc = CU_ECLOSED;
	else if (sealer->checkpoint)
		seal_round(sealer);
	pthread_mutex_unlock(&sealer->lock);
	return rc;
}

static void compact(struct cu_sealer *sealer, cu_shape *shape)
{
	struct cu_compactor_limits limits = cu_compactor_limits_of(cu_shape_set_chunk_bytes(sealer->opts.shapes));
	struct cu_compacted_bytes bytes = { 0, 0 };
	int rc;

	limits.turn = turn;
	limits.turn_ctx = sealer;
	rc = cu_compactor_run(sealer->opts.store, shape, &limits, &bytes);

	if (rc == 1) {
		cu_debug("a shape's log was compacted", CU_KV("stack", sealer->opts.stack_id),
			 CU_KV("handle", shape->handle), CU_KV_U64("bytes_before", bytes.before),
			 CU_KV_U64("bytes_after", bytes.after));
		pthread_mutex_lock(&sealer->lock);
		sealer->stats.compactions++;
		sealer->stats.compacted_from += bytes.before;
		sealer->stats.compacted_to += bytes.after;
		pthread_mutex_unlock(&sealer->lock);
	} else if (rc == CU_ECORRUPT) {
		cu_shape_set_remove(sealer->opts.shapes, shape, "its log is damaged", NULL);
	} else if (rc < 0) {
		cu_error("a shape's log could not be compacted; it stays as it is until more of it is sealed",
			 CU_KV("stack", sealer->opts.stack_id), CU_KV("handle", shape->handle),
			 CU_KV("error", cu_strerror(rc)), CU_KV("next", "check the storage directory's disk"));
	}
	cu_shape_lock(shape);
	shape->log->waits = false;
	if (rc == 1)
		note_compactable(sealer, shape);
	cu_shape_unlock(shape);
}

/* The next shape that waits. Under the lock, which is given up meanwhile. */
static void compact_next(struct cu_sealer *sealer)
{
	cu_shape *shape;

	if (sealer->compacting_at == sealer->compacting.len) {
		cu_shape_list_fini(&sealer->compacting);
		sealer->compacting = sealer->compactable;
		sealer->compactable = (struct cu_shape_list){ NULL, 0, 0 };
		sealer->compacting_at = 0;
	}
	shape = sealer->compacting.list[sealer->compacting_at++];
	pthread_mutex_unlock(&sealer->lock);
	compact(sealer, shape);
	pthread_mutex_lock(&sealer->lock);
}

/* ---- the thread ---- */

static void note_restored(void *ctx, cu_shape *shape)
{
	cu_shape_lock(shape);
	cu_sealer_note(ctx, shape);
	note_compactable(ctx, shape);
	cu_shape_unlock(shape);
}

struct stray {
	struct cu_sealer *sealer;
	cu_shape *shape;
};

static int remove_stray_log(void *ctx, uint32_t n)
{
	const struct stray *stray = ctx;
	const cu_shape_log *log;
	bool known = false;

	cu_shape_lock(stray->shape);
	log = cu_shape_log_of(stray->shape);
	for (uint32_t i = 0; !known && i < log->sealed_len; i++)
		known = log->sealed[i].n == n && !log->sealed[i].small;
	cu_shape_unlock(stray->shape);
	if (!known && !CU_MUTANT(STRAYS_STAY))
		cu_chunk_remove(cu_store_chunks(stray->sealer->opts.store), stray->shape->id, CU_CHUNK_LOG, n);
	return 0;
}

/* Log chunks that a crash left without a row. */
static int remove_strays_of(void *ctx, uint64_t shape_id)
{
	struct cu_sealer *sealer = ctx;
	struct stray stray = { sealer, cu_shape_set_by_id(sealer->opts.shapes, shape_id) };

	if (is_stopping(sealer))
		return CU_ECLOSED;
	if (stray.shape)
		cu_chunks_each_log(cu_store_chunks(sealer->opts.store), shape_id, remove_stray_log, &stray);
	cu_shape_unref(&stray.shape);
	return 0;
}

static void *run(void *arg)
{
	struct cu_sealer *sealer = arg;

	cu_shape_set_each(sealer->opts.shapes, note_restored, sealer);
	cu_chunks_each_shape(cu_store_chunks(sealer->opts.store), remove_strays_of, sealer);
	pthread_mutex_lock(&sealer->lock);
	while (!sealer->stopping) {
		if (sealer->checkpoint) {
			seal_round(sealer);
		} else if (sealer->compacting_at < sealer->compacting.len || sealer->compactable.len) {
			compact_next(sealer);
		} else {
			sealer->resting = true;
			pthread_cond_broadcast(&sealer->settled);
			pthread_cond_wait(&sealer->work, &sealer->lock);
			sealer->resting = false;
		}
	}
	pthread_mutex_unlock(&sealer->lock);
	return NULL;
}

void cu_sealer_checkpoint(cu_sealer *sealer, uint64_t log_pos)
{
	if (!sealer)
		return;
	pthread_mutex_lock(&sealer->lock);
	sealer->log_pos = log_pos;
	sealer->checkpoint = true;
	pthread_cond_signal(&sealer->work);
	pthread_mutex_unlock(&sealer->lock);
}

void cu_sealer_wait(cu_sealer *sealer)
{
	pthread_mutex_lock(&sealer->lock);
	while (sealer->checkpoint || !sealer->resting)
		pthread_cond_wait(&sealer->settled, &sealer->lock);
	pthread_mutex_unlock(&sealer->lock);
}

static bool is_far_too_long(const struct cu_sealer *sealer)
{
	cu_changelog *changelog = cu_store_changelog(sealer->opts.store);

	return cu_changelog_end(changelog) - cu_changelog_start(changelog) >
	       CU_SEALER_LOG_FACTOR * sealer->opts.log_bytes_max;
}

bool cu_sealer_hold_up(cu_sealer *sealer, unsigned ms)
{
	struct timespec until;
	bool sealing;

	if (!sealer || !is_far_too_long(sealer))
		return false;
	until = cu_until_ms(cu_now_ms() + ms);
	pthread_mutex_lock(&sealer->lock);
	if (sealer->sealing && !sealer->stopping)
		pthread_cond_timedwait(&sealer->settled, &sealer->lock, &until);
	sealing = sealer->sealing && !sealer->stopping;
	pthread_mutex_unlock(&sealer->lock);
	return sealing && is_far_too_long(sealer);
}

void cu_sealer_stats_get(cu_sealer *sealer, struct cu_sealer_stats *ret_stats)
{
	pthread_mutex_lock(&sealer->lock);
	*ret_stats = sealer->stats;
	pthread_mutex_unlock(&sealer->lock);
}

int cu_sealer_start(const struct cu_sealer_opts *opts, cu_sealer **ret_sealer)
{
	struct cu_sealer *sealer = cu_xzalloc(sizeof *sealer);

	sealer->opts = *opts;
	CU_ASSERT(pthread_mutex_init(&sealer->lock, NULL) == 0);
	CU_ASSERT(pthread_cond_init(&sealer->work, NULL) == 0);
	cu_cond_init(&sealer->settled);
	if (pthread_create(&sealer->thread, NULL, run, sealer) != 0) {
		cu_sealer_free(&sealer);
		return CU_EAGAIN;
	}
	pthread_setname_np(sealer->thread, "sealer");
	sealer->running = true;
	*ret_sealer = sealer;
	return 0;
}

/* Another sealer of the same shapes would be told again. */
static void forget_noted(struct cu_shape_list *list)
{
	for (size_t i = 0; i < list->len; i++) {
		cu_shape_log *log = list->list[i]->log;

		cu_shape_lock(list->list[i]);
		log->listed = log->full = log->waits = false;
		cu_shape_unlock(list->list[i]);
	}
	cu_shape_list_fini(list);
}

void cu_sealer_free(cu_sealer **ref)
{
	struct cu_sealer *sealer = *ref;

	if (!sealer)
		return;
	*ref = NULL;
	pthread_mutex_lock(&sealer->lock);
	sealer->stopping = true;
	pthread_cond_signal(&sealer->work);
	pthread_mutex_unlock(&sealer->lock);
	if (sealer->running)
		pthread_join(sealer->thread, NULL);
	settle(sealer);
	forget_noted(&sealer->full);
	forget_noted(&sealer->tails);
	forget_noted(&sealer->compactable);
	forget_noted(&sealer->compacting);
	pthread_cond_destroy(&sealer->settled);
	pthread_cond_destroy(&sealer->work);
	pthread_mutex_destroy(&sealer->lock);
	free(sealer);
}
