/* check.c: the model's side of every shape, and its comparison with the store's. */
#include "crash/check.h"

#include "crash/client.h"
#include "shape/log_reader.h"
#include "sim/sim.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- what a log must say ---- */

static void item_end(struct known *known, const char *closing)
{
	cu_buf_puts(&known->log, closing);
	known->items[known->items_len - 1].end = known->log.len;
}

/* open: the transaction has one whose end is not written yet. */
static void item_begin(struct known *known, bool *open, const struct cu_item_op *op)
{
	if (*open)
		item_end(known, CU_ITEM_END);
	if (known->log.len)
		cu_buf_putc(&known->log, ',');
	if (known->items_len == known->items_cap) {
		known->items_cap = known->items_cap ? known->items_cap * 2 : 64;
		known->items = cu_xrealloc(known->items, known->items_cap * sizeof *known->items);
	}
	known->items[known->items_len++].at = cu_offset_of(op->lsn, op->op_position);
	*open = true;
}

static void expect_update(struct known *known, bool *open, const cu_definition *def, struct cu_item_op op,
			  const struct cu_pg_value *old_row, const struct cu_pg_value *new_row)
{
	if (cu_item_key_changed(def->layout, old_row, new_row)) {
		item_begin(known, open, &op);
		cu_item_put_delete_key_change(&known->log, def->layout, &op, old_row, new_row);
		op.op_position++;
		item_begin(known, open, &op);
		cu_item_put_insert_key_change(&known->log, def->layout, &op, old_row, new_row);
	} else if (cu_item_row_changed(def->layout, old_row, new_row)) {
		item_begin(known, open, &op);
		cu_item_put_update(&known->log, def->layout, &op, old_row, new_row);
	}
}

static void expect_tx(struct known *known, const cu_definition *def, const struct pg_tx *tx)
{
	struct cu_pg_value old_row[POSTGRES_COLUMNS], new_row[POSTGRES_COLUMNS];
	struct cu_item_op op = { .lsn = tx->final_lsn, .txid = tx->xid, .replica_full = def->replica_full };
	bool open = false;

	for (size_t i = 0; i < tx->len; i++) {
		const struct pg_change *change = &tx->changes[i];

		op.op_position = 2 * i;
		if (change->table != known_table(known))
			continue;
		pg_row_values(&change->old_row, old_row);
		pg_row_values(&change->new_row, new_row);
		switch (change->kind) {
		case PG_INSERT:
			item_begin(known, &open, &op);
			cu_item_put_insert(&known->log, def->layout, &op, new_row);
			break;
		case PG_DELETE:
			item_begin(known, &open, &op);
			cu_item_put_delete(&known->log, def->layout, &op, old_row);
			break;
		case PG_UPDATE: expect_update(known, &open, def, op, old_row, new_row); break;
		case PG_TRUNCATE: break;
		}
	}
	if (open)
		item_end(known, CU_ITEM_END_LAST);
}

static void end_add(struct known *known)
{
	if (known->ends_len == known->ends_cap) {
		known->ends_cap = known->ends_cap ? known->ends_cap * 2 : 64;
		known->ends = cu_xrealloc(known->ends, known->ends_cap * sizeof *known->ends);
	}
	known->ends[known->ends_len++] = known->log.len;
}

static bool truncates(const struct pg_tx *tx, unsigned table)
{
	for (size_t i = 0; i < tx->len; i++) {
		if (tx->changes[i].kind == PG_TRUNCATE && tx->changes[i].table == table)
			return true;
	}
	return false;
}

/* Takes in what Postgres committed meanwhile: ends[n] is where the n-th transaction behind the snapshot ends. */
static void expect(struct world *world, struct known *known)
{
	const cu_definition *def = world->definitions[known->definition];

	for (; known->txs < world->pg->txs_len; known->txs++) {
		const struct pg_tx *tx = &world->pg->txs[known->txs];

		if (truncates(tx, known_table(known)))
			known->may_go = true;
		expect_tx(known, def, tx);
		end_add(known);
	}
}

/* The bytes that are told to be safe: of the transactions that end before lsn. */
static size_t told_before(const struct world *world, const struct known *known, uint64_t lsn)
{
	size_t len = 0;

	for (size_t i = 0; i < known->ends_len; i++) {
		if (world->pg->txs[known->snapshot_txs + i].end_lsn <= lsn)
			len = known->ends[i];
	}
	return len;
}

/* ---- what it says ---- */

/* What comes after `from`, up to `to`. CU_ECLOSED: the shape was removed meanwhile. */
static int read_log(struct world *world, cu_shape *shape, cu_offset from, cu_offset to, cu_buf *out)
{
	cu_buf piece = CU_BUF_INIT;
	cu_log_reader reader;
	int rc;

	cu_log_reader_init(&reader, shape, world->store, from, to);
	do {
		cu_buf_clear(&piece);
		rc = cu_log_reader_next_bytes(&reader, &piece);
		cu_buf_append(out, piece.data, piece.len);
	} while (rc == 1);
	cu_log_reader_fini(&reader);
	cu_buf_fini(&piece);
	return rc;
}

static int read_chunk(struct world *world, uint64_t shape_id, uint32_t n, cu_buf *out)
{
	uint64_t bytes;
	size_t got;
	int fd = -1;
	int rc = cu_chunk_open(cu_store_chunks(world->store), shape_id, CU_CHUNK_SNAPSHOT, n, &fd, &bytes);

	if (rc < 0)
		return rc;
	cu_buf_reserve(out, bytes);
	rc = cu_file_read_at(&cu_file_system, fd, out->data + out->len, bytes, 0, &got);
	out->len += got;
	close(fd);
	return rc;
}

static int read_snapshot(struct world *world, cu_shape *shape, cu_buf *out)
{
	struct cu_shape_status status = cu_shape_status(shape);
	int rc = 0;

	if (status.snapshot_small) {
		if (cu_shape_put_small(shape, out))
			return 0;
		return cu_metadata_get_small(cu_store_metadata(world->store), shape->id, out);
	}
	for (uint32_t n = 0; rc == 0 && n < status.chunks_len; n++) {
		if (n > 0)
			cu_buf_putc(out, ',');
		rc = read_chunk(world, shape->id, n, out);
	}
	return rc;
}

static bool is_served(const cu_shape *shape)
{
	enum cu_shape_state state = cu_shape_status(shape).state;

	return state == CU_SHAPE_LIVE || state == CU_SHAPE_CREATING;
}

/* Where the bytes differ from what they must begin with; for the trace. */
static void note_difference(const struct known *known, const char *what, const cu_buf *is, const cu_buf *should)
{
	size_t at = 0;

	while (at < is->len && at < should->len && is->data[at] == should->data[at])
		at++;
	cu_sim_note("%s of %s: %zu bytes, should be %zu, same up to %zu", what, known->handle, is->len, should->len,
		    at);
	fprintf(stderr, "crash: the %s of %s has %zu bytes of %zu and differs at %zu: is %.*s, should be %.*s\n", what,
		known->handle, is->len, should->len, at, (int)CU_MIN(is->len - at, (size_t)160), is->data + at,
		(int)CU_MIN(should->len - at, (size_t)160), should->data + at);
}

static void check_snapshot(struct world *world, struct known *known)
{
	cu_buf bytes = CU_BUF_INIT;
	int rc;

	if (!cu_shape_status(known->shape).snapshot_complete)
		return;
	rc = read_snapshot(world, known->shape, &bytes);
	if (rc == 0 && (bytes.len != known->snapshot.len || memcmp(bytes.data, known->snapshot.data, bytes.len) != 0)) {
		note_difference(known, "snapshot", &bytes, &known->snapshot);
		CU_SIM_CHECK(!"a snapshot is not what it was");
	}
	cu_buf_fini(&bytes);
	/* Unless it was removed under our hands, or its files cannot be opened any more. */
	CU_SIM_CHECK(rc == 0 || !is_served(known->shape) || disk_crashed(world->disk));
}

/* Under the shape's lock: up to here parts of its log may be compacted. */
static cu_offset compacted_end(const cu_shape_log *log)
{
	uint32_t i = log->sealed_len;

	while (i > 0 && !log->sealed[i - 1].compacted)
		i--;
	return i ? cu_sealed_last(&log->sealed[i - 1]) : CU_OFFSET_SNAPSHOT_END;
}

/* Answers end where they ended before: caches keep them. In what was compacted they end at its end. */
static void check_cuts(struct known *known)
{
	cu_offset cuts[CUTS_MAX], compacted, at;
	cu_shape *shape = known->shape;
	size_t len = 0, first = 0;

	cu_shape_lock(shape);
	at = compacted = compacted_end(cu_shape_log_of(shape));
	while (len < CUTS_MAX) {
		const cu_shape_log *log = cu_shape_log_of(shape);

		at = cu_shape_log_answer_end(log, at);
		if (cu_offset_cmp(at, cu_shape_log_latest(log)) >= 0)
			break;
		cuts[len++] = at;
	}
	cu_shape_unlock(shape);
	while (first < known->cuts_len && cu_offset_cmp(known->cuts[first], compacted) <= 0)
		first++;
	for (size_t i = 0; i < CU_MIN(len, known->cuts_len - first); i++)
		CU_SIM_CHECK(cu_offset_cmp(cuts[i], known->cuts[first + i]) == 0);
	if (len > known->cuts_len - first) {
		memcpy(known->cuts, cuts, len * sizeof *cuts);
		known->cuts_len = len;
	}
}

/* Where a client may stand: behind some item, or some transaction, up to `to`. *ret_len: so much of the log is before that. */
static cu_offset random_place(const struct world *world, const struct known *known, cu_offset to, size_t *ret_len)
{
	cu_offset place = CU_OFFSET_SNAPSHOT_END;

	*ret_len = 0;
	if (!known->items_len || cu_sim_random(3) == 0)
		return place;
	if (cu_sim_random(2)) {
		const struct known_item *item = &known->items[cu_sim_random((uint32_t)known->items_len)];

		place = item->at;
		*ret_len = item->end;
	} else {
		size_t i = cu_sim_random((uint32_t)known->ends_len);

		place = cu_offset_of(world->pg->txs[known->snapshot_txs + i].final_lsn, CU_OP_INF);
		*ret_len = known->ends[i];
	}
	if (cu_offset_cmp(place, to) > 0) {
		place = CU_OFFSET_SNAPSHOT_END;
		*ret_len = 0;
	}
	return place;
}

/* The bytes of the log up to the item at this offset. */
static size_t log_until(const struct known *known, cu_offset at)
{
	size_t low = 0, high = known->items_len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (cu_offset_cmp(known->items[mid].at, at) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	CU_SIM_CHECK(low < known->items_len && cu_offset_cmp(known->items[low].at, at) == 0);
	return known->items[low].end;
}

/* A client that has `before` bytes of the plain log gets `items`, of which those up to `until` may be compacted: it must
 * have the same rows then. Returns how many bytes of `items` that were. */
static size_t check_client(const struct known *known, size_t before, const cu_buf *items, cu_offset until)
{
	json_t *rows = json_object(), *wanted;
	size_t len;

	client_apply(rows, known->snapshot.data, known->snapshot.len, NULL);
	client_apply(rows, known->log.data, before, NULL);
	wanted = json_deep_copy(rows);
	client_apply(wanted, known->log.data + before, log_until(known, until) - before, NULL);
	len = client_apply(rows, items->data, items->len, &until);
	CU_SIM_CHECK(json_equal(rows, wanted));
	json_decref(rows);
	json_decref(wanted);
	return len;
}

/* What a client has that reads on from some place: in *bytes, as if nothing of it was compacted. */
static int read_from_somewhere(struct world *world, struct known *known, cu_buf *bytes)
{
	cu_buf rest = CU_BUF_INIT;
	cu_offset from, to, compacted;
	size_t before;
	int rc;

	do {
		cu_buf_clear(&rest);
		to = cu_shape_status(known->shape).latest;
		from = random_place(world, known, to, &before);
		rc = read_log(world, known->shape, from, to, &rest);
	} while (rc == CU_EAGAIN); /* it was compacted meanwhile beyond `to` */
	expect(world, known);
	if (rc < 0) {
		cu_sim_note("the log of %s behind %llu cannot be read: %s", known->handle, (unsigned long long)from.tx,
			    cu_strerror(rc));
		goto out;
	}
	cu_shape_lock(known->shape);
	compacted = compacted_end(cu_shape_log_of(known->shape));
	cu_shape_unlock(known->shape);
	if (cu_offset_cmp(to, compacted) < 0)
		compacted = to;
	if (cu_offset_cmp(from, compacted) < 0) {
		size_t len = check_client(known, before, &rest, compacted);

		cu_buf_append(bytes, known->log.data, log_until(known, compacted));
		cu_buf_append(bytes, rest.data + len, rest.len - len);
	} else {
		cu_buf_append(bytes, known->log.data, before);
		if (before && rest.len)
			cu_buf_putc(bytes, ',');
		cu_buf_append(bytes, rest.data, rest.len);
	}
out:
	cu_buf_fini(&rest);
	return rc;
}

static void check_log(struct world *world, struct known *known)
{
	uint64_t confirmed = world->pg->confirmed;
	cu_buf bytes = CU_BUF_INIT;
	bool ends = false;
	int rc;

	expect(world, known);
	rc = read_from_somewhere(world, known, &bytes);
	if (rc == CU_ECLOSED) {
		CU_SIM_CHECK(!is_served(known->shape));
		goto out;
	}
	if (rc < 0 && disk_crashed(world->disk))
		goto out; /* files cannot be opened any more */
	CU_SIM_CHECK(rc == 0);
	for (size_t i = 0; i < known->ends_len; i++)
		ends |= known->ends[i] == bytes.len;
	if (bytes.len > known->log.len || (bytes.len && memcmp(bytes.data, known->log.data, bytes.len) != 0) ||
	    (bytes.len && !ends)) {
		note_difference(known, "log", &bytes, &known->log);
		CU_SIM_CHECK(!"a log is not what it must be");
	}
	if (bytes.len < told_before(world, known, confirmed)) {
		note_difference(known, "log", &bytes, &known->log);
		CU_SIM_CHECK(!"something confirmed to Postgres is missing");
	}
out:
	cu_buf_fini(&bytes);
}

void check_shape(struct world *world, struct known *known)
{
	/* Nobody is served before the snapshot is known. */
	if (!known->shape || !known->has_snapshot || !cu_shape_status(known->shape).snapshot_complete ||
	    !is_served(known->shape))
		return;
	check_snapshot(world, known);
	check_log(world, known);
	check_cuts(known);
}

/* ---- what was told ---- */

void check_told(struct world *world)
{
	for (struct known *known = world->known; known; known = known->next) {
		struct cu_shape_status status;

		if (!known->shape)
			continue;
		status = cu_shape_status(known->shape);
		known->live |= status.state == CU_SHAPE_LIVE;
		/* When something failed this may be said of a removal that was not stored. */
		known->gone |= status.state == CU_SHAPE_GONE && !disk_crashed(world->disk) && !disk_failed(world->disk);
		if (known->live && known->gone)
			expect(world, known);
		CU_SIM_CHECK(!known->gone || !known->live || known->asked_to_go || known->may_go);
	}
}

/* What Postgres sends again may be cut elsewhere: runs end with segments, and the log's end has moved. So may the rest of a
 * chunk whose first part was sealed (cu_shape_log_restore()). Bytes and offsets are the same. */
static void forget_cuts(struct world *world, struct known *known)
{
	const cu_shape_log *log = cu_shape_log_of(known->shape);
	bool about = log->sealed_len && !log->sealed[log->sealed_len - 1].ends;
	size_t len = 0;

	while (len < known->cuts_len && known->cuts[len].tx < world->pg->confirmed_at_start &&
	       (!about || cu_offset_cmp(known->cuts[len], cu_shape_log_sealed_end(log)) <= 0))
		len++;
	known->cuts_len = len;
}

static void take_over(void *ctx, cu_shape *shape)
{
	struct world *world = ctx;
	struct known *known = world_find(world, shape->handle);

	if (cu_shape_status(shape).state != CU_SHAPE_LIVE)
		return; /* it could not be read, and goes */
	CU_SIM_CHECK(known && known->has_snapshot);
	if (known->gone)
		cu_sim_note("%s is back", known->handle);
	CU_SIM_CHECK(!known->gone);
	CU_SIM_CHECK(cu_shape_status(shape).snapshot_complete);
	cu_shape_unref(&known->shape);
	known->shape = cu_shape_ref(shape);
	known->live = true;
	forget_cuts(world, known);
	known->asked_to_go = false; /* nobody was told of it */
}

void check_recovered(struct world *world)
{
	const struct cu_checkpoint *cp = &world->checkpoint;

	CU_SIM_CHECK(world->pg->confirmed_at_start <= cp->lsn);
	/* Without a checkpoint nobody knows whose the shapes are: the collector drops them. */
	if (!cp->system_id) {
		for (struct known *known = world->known; known; known = known->next)
			known->may_go = true;
	}
	cu_shape_set_each(world->set, take_over, world);
	for (struct known *known = world->known; known; known = known->next) {
		if (known->shape)
			continue;
		if (known->has_snapshot)
			expect(world, known);
		if (known->live && !known->gone && !known->asked_to_go && !known->may_go)
			cu_sim_note("%s is missing", known->handle);
		CU_SIM_CHECK(!known->live || known->gone || known->asked_to_go || known->may_go);
		known->gone = true;
	}
}

void check_caught_up(struct world *world)
{
	for (struct known *known = world->known; known; known = known->next) {
		bool truncated = false;

		if (!known->shape || !known->has_snapshot || cu_shape_status(known->shape).state != CU_SHAPE_LIVE)
			continue;
		check_shape(world, known);
		for (size_t i = known->snapshot_txs; i < world->pg->txs_len; i++)
			truncated |= truncates(&world->pg->txs[i], known_table(known));
		if (truncated)
			cu_sim_note("%s outlives a truncation", known->handle);
		CU_SIM_CHECK(!truncated);
	}
	check_told(world);
}

/* ---- files ---- */

static size_t count_files(const char *path)
{
	DIR *dir = opendir(path);
	size_t count = 0;
	struct dirent *entry;

	CU_SIM_CHECK(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		cu_sim_note("file %s/%s", path, entry->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

struct files {
	struct world *world;
	size_t dirs;
};

static void count_shape(void *ctx, cu_shape *shape)
{
	struct files *files = ctx;
	struct cu_shape_status status = cu_shape_status(shape);
	char *path = cu_file_path("%s/shapes/%" PRIu64, files->world->dir, shape->id);
	size_t expected = status.snapshot_small ? 0 : status.chunks_len;
	const cu_shape_log *log;

	cu_shape_lock(shape);
	log = cu_shape_log_of(shape);
	for (uint32_t i = 0; i < log->sealed_len; i++)
		expected += !log->sealed[i].small;
	cu_shape_unlock(shape);
	if (access(path, F_OK) == 0) {
		files->dirs++;
		CU_SIM_CHECK(count_files(path) == expected);
	} else {
		CU_SIM_CHECK(expected == 0);
	}
	free(path);
}

void check_files(struct world *world)
{
	struct files files = { world, 0 };
	char *shapes = cu_file_path("%s/shapes", world->dir), *trash = cu_file_path("%s/trash", world->dir);

	cu_sim_quiesce();
	/* A checkpoint would go on while we look, and a chunk be sealed between what is expected and what is counted. */
	cu_sim_pause(1);
	/* Where something failed, files may wait for the next start. */
	if (!disk_crashed(world->disk) && !disk_failed(world->disk)) {
		cu_shape_set_each(world->set, count_shape, &files);
		CU_SIM_CHECK(count_files(shapes) == files.dirs);
		CU_SIM_CHECK(count_files(trash) == 0);
	}
	cu_sim_pause(-1);
	free(shapes);
	free(trash);
}
