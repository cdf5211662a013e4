/* postgres_client.c: the model in place of the replication thread and of COPY: the product's calls end here (hooks.h). */
#include "crash/postgres.h"

#include "pg/copy_out.h"
#include "pg/replication.h"
#include "sim/sim.h"

#include <stdlib.h>

enum { FRAMES_MAX = 12, SYSTEM_ID = 77 };

/* ---- messages ---- */

static void put_be(cu_buf *out, uint64_t value, unsigned bytes)
{
	while (bytes--)
		cu_buf_putc(out, (char)(value >> 8 * bytes));
}

static void put_text(cu_buf *out, const char *text)
{
	cu_buf_append(out, text, strlen(text) + 1);
}

static void put_row(cu_buf *out, char head, const struct pg_row *row)
{
	cu_buf_putc(out, head);
	put_be(out, POSTGRES_COLUMNS, 2);
	for (unsigned i = 0; i < POSTGRES_COLUMNS; i++) {
		const char *value = row->values[i];

		cu_buf_putc(out, value ? 't' : 'n');
		if (!value)
			continue;
		put_be(out, strlen(value), 4);
		cu_buf_puts(out, value);
	}
}

static void put_relation(cu_buf *out, unsigned table)
{
	static const struct {
		const char *name;
		uint32_t type;
		int32_t typmod;
	} columns[] = { { "id", 23, -1 }, { "name", 25, -1 }, { "note", 1043, 14 } };
	char name[] = { 't', (char)('0' + table), '\0' };

	cu_buf_putc(out, 'R');
	put_be(out, POSTGRES_OID(table), 4);
	put_text(out, "public");
	put_text(out, name);
	cu_buf_putc(out, 'f');
	put_be(out, CU_ARRAY_LEN(columns), 2);
	for (size_t i = 0; i < CU_ARRAY_LEN(columns); i++) {
		put_be(out, 1, 1);
		put_text(out, columns[i].name);
		put_be(out, columns[i].type, 4);
		put_be(out, (uint32_t)columns[i].typmod, 4);
	}
}

static void put_change(cu_buf *out, const struct pg_change *change)
{
	static const char kinds[] = { [PG_INSERT] = 'I', [PG_UPDATE] = 'U', [PG_DELETE] = 'D', [PG_TRUNCATE] = 'T' };

	cu_buf_putc(out, kinds[change->kind]);
	if (change->kind == PG_TRUNCATE) {
		put_be(out, 1, 4);
		put_be(out, 0, 1);
	}
	put_be(out, POSTGRES_OID(change->table), 4);
	if (change->kind == PG_UPDATE || change->kind == PG_DELETE)
		put_row(out, 'O', &change->old_row);
	if (change->kind == PG_INSERT || change->kind == PG_UPDATE)
		put_row(out, 'N', &change->new_row);
}

/* ---- frames ---- */

static void put_frame(cu_buf *out, enum cu_replication_kind kind, uint64_t wal_end, const void *bytes, size_t len)
{
	struct cu_replication_frame frame = { 0, wal_end, kind, (uint32_t)len };

	cu_buf_append(out, &frame, sizeof frame);
	cu_buf_append(out, bytes, len);
	while (out->len % 8)
		cu_buf_putc(out, 0);
}

static void put_message(cu_buf *out, cu_buf *message)
{
	put_frame(out, CU_REPLICATION_XLOG, 0, message->data, message->len);
	cu_buf_fini(message);
}

static void put_connected(struct postgres *pg, cu_buf *out)
{
	uint64_t start = pg->confirmed;
	struct cu_replication_connected connected = {
		.ident = { .system_id = SYSTEM_ID, .timeline = 1, .flush_lsn = pg->lsn, .version_num = 150000 },
		.slot = { .created = pg->never, .confirmed_flush_lsn = pg->confirmed },
	};

	/* Postgres writes a slot down now and then: after a crash of its own it may have forgotten the last steps. */
	if (cu_sim_random(4) == 0)
		start -= CU_MIN(start, (uint64_t)cu_sim_random(500));
	start = CU_MAX(start, pg->oldest);
	for (pg->tx = 0; pg->tx < pg->txs_len && pg->txs[pg->tx].end_lsn <= start;)
		pg->tx++;
	pg->at = 0;
	pg->described = 0;
	pg->connected = true;
	pg->never = false;
	put_frame(out, CU_REPLICATION_CONNECTED, 0, &connected, sizeof connected);
	cu_sim_note("postgres: connected, from %llu", (unsigned long long)start);
}

static void put_next_change(struct postgres *pg, const struct pg_change *change, cu_buf *out)
{
	cu_buf message = CU_BUF_INIT;

	if (!(pg->described & 1u << change->table)) {
		pg->described |= 1u << change->table;
		put_relation(&message, change->table);
		put_message(out, &message);
	}
	if (change->kind == PG_TRUNCATE)
		pg->truncated(pg->ctx, change->table);
	put_change(&message, change);
	put_message(out, &message);
}

/* The next message of the stream. */
static void put_next(struct postgres *pg, cu_buf *out)
{
	const struct pg_tx *tx = &pg->txs[pg->tx];
	cu_buf message = CU_BUF_INIT;

	if (pg->at == 0) {
		cu_buf_putc(&message, 'B');
		put_be(&message, tx->final_lsn, 8);
		put_be(&message, 0, 8);
		put_be(&message, tx->xid, 4);
		put_message(out, &message);
		pg->at++;
		return;
	}
	if (pg->at <= tx->len) {
		put_next_change(pg, &tx->changes[pg->at - 1], out);
		pg->at++;
		return;
	}
	cu_buf_putc(&message, 'C');
	put_be(&message, 0, 1);
	put_be(&message, tx->final_lsn, 8);
	put_be(&message, tx->end_lsn, 8);
	put_be(&message, 0, 8);
	put_message(out, &message);
	pg->told = CU_MAX(pg->told, tx->end_lsn);
	pg->at = 0;
	pg->tx++;
	if (cu_sim_random(4) == 0) {
		uint64_t end = pg->tx == pg->txs_len ? pg->lsn : tx->end_lsn;

		pg->told = CU_MAX(pg->told, end);
		put_frame(out, CU_REPLICATION_KEEPALIVE, end, NULL, 0);
	}
}

static void put_frames(struct postgres *pg, cu_buf *out)
{
	unsigned frames = 1 + cu_sim_random(FRAMES_MAX);

	if (pg->breaks && pg->connected)
		put_frame(out, CU_REPLICATION_DISCONNECTED, 0, NULL, 0);
	if (pg->breaks)
		pg->connected = false;
	pg->breaks = false;
	if (!pg->connected)
		put_connected(pg, out);
	while (frames-- && pg->tx < pg->txs_len)
		put_next(pg, out);
	pg->idle = 0;
}

bool postgres_is_caught_up(const struct postgres *pg)
{
	return pg->connected && !pg->breaks && pg->tx == pg->txs_len && pg->idle > 3;
}

void postgres_break(struct postgres *pg)
{
	pthread_mutex_lock(&pg->mtx);
	pg->breaks = true;
	pg->idle = 0;
	pthread_cond_signal(&pg->news);
	pthread_mutex_unlock(&pg->mtx);
}

void postgres_disconnect(struct postgres *pg)
{
	pg->connected = pg->breaks = false;
	pg->idle = 0;
}

/* ---- pg/replication.h ---- */

static struct postgres *postgres_of(const cu_replication *repl)
{
	return (struct postgres *)(uintptr_t)repl;
}

int cu_replication_next(cu_replication *repl, int timeout_ms, struct cu_replication_batch *ret_batch)
{
	struct postgres *pg = postgres_of(repl);
	struct timespec until = { 0, 0 };
	cu_buf frames = CU_BUF_INIT;

	(void)timeout_ms; /* simulated time has its own way */
	pthread_mutex_lock(&pg->mtx);
	if (pg->connected && !pg->breaks && pg->tx == pg->txs_len) {
		pg->idle++;
		pthread_cond_timedwait(&pg->news, &pg->mtx, &until);
	} else {
		put_frames(pg, &frames);
	}
	pthread_mutex_unlock(&pg->mtx);
	if (!frames.len)
		return CU_EAGAIN;
	*ret_batch = (struct cu_replication_batch){ (const uint8_t *)frames.data, frames.len, frames.data, 0 };
	return 0;
}

void cu_replication_release(cu_replication *repl, struct cu_replication_batch *batch)
{
	(void)repl;
	free(batch->block);
}

void cu_replication_wake(cu_replication *repl)
{
	struct postgres *pg = postgres_of(repl);

	pthread_mutex_lock(&pg->mtx);
	pthread_cond_signal(&pg->news);
	pthread_mutex_unlock(&pg->mtx);
}

void cu_replication_confirm(cu_replication *repl, uint64_t lsn)
{
	struct postgres *pg = postgres_of(repl);

	CU_SIM_CHECK(lsn <= CU_MAX(pg->told, pg->confirmed));
	pg->confirmed = CU_MAX(pg->confirmed, lsn);
	pg->was_confirmed = true;
	cu_sim_note("postgres: confirmed %llu", (unsigned long long)lsn);
	hold_here(&pg->confirms);
}

void cu_replication_restart(cu_replication *repl)
{
	(void)repl;
	cu_sim_fail(__FILE__, __LINE__, "the stream could not be followed");
}

/* ---- pg/copy_out.h: a connection is a struct pg_copy ---- */

int cu_pg_copy_out(PGconn *conn, const char *sql, struct cu_pg_patience *patience,
		   int (*line)(void *ctx, const char *line, size_t len), void *ctx, struct cu_pg_error *ret_err)
{
	const struct pg_copy *copy = (const struct pg_copy *)(const void *)conn;
	cu_buf text = CU_BUF_INIT;
	int rc = 0;

	(void)sql;
	(void)patience;
	(void)ret_err;
	for (size_t r = 0; rc == 0 && r < copy->len; r++) {
		cu_sim_point("copy", __FILE__, __LINE__);
		cu_buf_clear(&text);
		for (unsigned i = 0; i < POSTGRES_COLUMNS; i++) {
			const char *value = copy->rows[r].values[i];

			if (i > 0)
				cu_buf_putc(&text, '\t');
			cu_buf_puts(&text, value ? value : "\\N");
		}
		cu_buf_putc(&text, '\n');
		rc = line(ctx, text.data, text.len);
	}
	cu_buf_fini(&text);
	return rc;
}
