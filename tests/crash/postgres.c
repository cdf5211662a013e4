/* postgres.c: rows, transactions and snapshots of the model. */
#include "crash/postgres.h"

#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

struct postgres *postgres_new(void)
{
	struct postgres *pg = cu_xzalloc(sizeof *pg);

	pg->next_xid = 700 + cu_sim_random(100);
	pg->lsn = pg->confirmed = 1000;
	pg->never = true;
	pg->hot = cu_sim_random(2);
	pthread_mutex_init(&pg->mtx, NULL);
	pthread_cond_init(&pg->news, NULL);
	return pg;
}

static void row_fini(struct pg_row *row)
{
	for (unsigned i = 0; i < POSTGRES_COLUMNS; i++) {
		free(row->values[i]);
		row->values[i] = NULL;
	}
}

static struct pg_row row_copy(const struct pg_row *row)
{
	struct pg_row copy = { { NULL } };

	for (unsigned i = 0; i < POSTGRES_COLUMNS; i++)
		copy.values[i] = row->values[i] ? cu_xstrdup(row->values[i]) : NULL;
	return copy;
}

void postgres_free(struct postgres **ref)
{
	struct postgres *pg = *ref;

	*ref = NULL;
	for (size_t i = 0; i < pg->txs_len; i++) {
		for (size_t j = 0; j < pg->txs[i].len; j++) {
			row_fini(&pg->txs[i].changes[j].old_row);
			row_fini(&pg->txs[i].changes[j].new_row);
		}
		free(pg->txs[i].changes);
	}
	free(pg->txs);
	for (unsigned t = 0; t < POSTGRES_TABLES; t++) {
		for (unsigned r = 0; r < POSTGRES_ROWS; r++)
			row_fini(&pg->rows[t][r]);
	}
	pthread_cond_destroy(&pg->news);
	pthread_mutex_destroy(&pg->mtx);
	free(pg);
}

void pg_row_values(const struct pg_row *row, struct cu_pg_value *out)
{
	for (unsigned i = 0; i < POSTGRES_COLUMNS; i++) {
		out[i] = (struct cu_pg_value){ .kind = CU_PG_NULL };
		if (row->values[i])
			out[i] = (struct cu_pg_value){ CU_PG_TEXT, (uint32_t)strlen(row->values[i]), row->values[i] };
	}
}

/* ---- transactions ---- */

/* Mostly short; now and then longer than the change log's buffer, or than a segment. */
static char *random_text(void)
{
	static const uint32_t lengths[] = { 1, 3, 12, 12, 40, 40, 200, 600 };
	uint32_t len = 1 + cu_sim_random(lengths[cu_sim_random(CU_ARRAY_LEN(lengths))]);
	char *text;

	if (cu_sim_random(60) == 0)
		len = 1000 + cu_sim_random(4000);
	text = cu_xmalloc(len + 1);
	memset(text, 'a' + (int)cu_sim_random(26), len);
	for (uint32_t i = 0; i < len; i += 16)
		text[i] = (char)('A' + cu_sim_random(26));
	text[len] = '\0';
	return text;
}

static struct pg_row random_row(unsigned slot)
{
	struct pg_row row = { { NULL } };
	char id[16];

	snprintf(id, sizeof id, "%u", slot);
	row.values[0] = cu_xstrdup(id);
	if (cu_sim_random(8))
		row.values[1] = random_text();
	if (cu_sim_random(2))
		row.values[2] = cu_xstrdup(cu_sim_random(2) ? "one" : "two");
	return row;
}

/* One change of a random row, applied. */
static struct pg_change random_change(struct postgres *pg)
{
	struct pg_change change = { .kind = PG_UPDATE, .table = cu_sim_random(POSTGRES_TABLES) };
	struct pg_row *rows = pg->rows[change.table];
	unsigned slot = cu_sim_random(POSTGRES_ROWS), other = cu_sim_random(POSTGRES_ROWS);

	if (pg->hot && cu_sim_random(8))
		slot = cu_sim_random(3);
	if (!rows[slot].values[0]) {
		change.kind = PG_INSERT;
		rows[slot] = random_row(slot);
		change.new_row = row_copy(&rows[slot]);
		return change;
	}
	change.old_row = rows[slot];
	rows[slot] = (struct pg_row){ { NULL } };
	if (cu_sim_random(pg->hot ? 12 : 3) == 0) {
		change.kind = PG_DELETE;
		return change;
	}
	/* Another key now and then, if it is free; or nothing that differs. */
	if (rows[other].values[0] || cu_sim_random(4))
		other = slot;
	if (other == slot && cu_sim_random(8) == 0)
		rows[other] = row_copy(&change.old_row);
	else
		rows[other] = random_row(other);
	change.new_row = row_copy(&rows[other]);
	return change;
}

static struct pg_change truncate(struct postgres *pg)
{
	struct pg_change change = { .kind = PG_TRUNCATE, .table = cu_sim_random(POSTGRES_TABLES) };

	for (unsigned r = 0; r < POSTGRES_ROWS; r++)
		row_fini(&pg->rows[change.table][r]);
	return change;
}

static void transaction_add(struct postgres *pg, uint32_t xid)
{
	static const uint32_t sizes[] = { 1, 1, 2, 3, 5, 8, 14, 40 };
	struct pg_tx tx = { .xid = xid };

	tx.len = 1 + cu_sim_random(sizes[cu_sim_random(CU_ARRAY_LEN(sizes))]);
	tx.changes = cu_xmalloc(tx.len * sizeof *tx.changes);
	for (size_t i = 0; i < tx.len; i++)
		tx.changes[i] = cu_sim_random(120) == 0 ? truncate(pg) : random_change(pg);
	tx.final_lsn = pg->lsn + 1 + cu_sim_random(100);
	tx.end_lsn = tx.final_lsn + 1 + cu_sim_random(50);
	pg->lsn = tx.end_lsn;
	if (pg->txs_len == pg->txs_cap) {
		pg->txs_cap = pg->txs_cap ? pg->txs_cap * 2 : 64;
		pg->txs = cu_xrealloc(pg->txs, pg->txs_cap * sizeof *pg->txs);
	}
	pg->txs[pg->txs_len++] = tx;
	cu_sim_note("postgres: xid %u with %zu changes at %llu", xid, tx.len, (unsigned long long)tx.final_lsn);
}

void postgres_begin(struct postgres *pg)
{
	for (size_t i = 0; i < CU_ARRAY_LEN(pg->open); i++) {
		if (!pg->open[i]) {
			pg->open[i] = pg->next_xid++;
			return;
		}
	}
}

void postgres_commit(struct postgres *pg)
{
	uint32_t xid = 0;

	for (size_t i = 0; i < CU_ARRAY_LEN(pg->open) && !xid; i++) {
		if (pg->open[i] && cu_sim_random(2)) {
			xid = pg->open[i];
			pg->open[i] = 0;
		}
	}
	transaction_add(pg, xid ? xid : pg->next_xid++);
	pthread_mutex_lock(&pg->mtx);
	pg->idle = 0;
	pthread_cond_signal(&pg->news);
	pthread_mutex_unlock(&pg->mtx);
}

/* ---- snapshots ---- */

struct pg_copy *postgres_snapshot(const struct postgres *pg, unsigned table)
{
	struct pg_copy *copy = cu_xzalloc(sizeof *copy);

	copy->range = (cu_snapshot_range){ .xmin = pg->next_xid, .xmax = pg->next_xid, .lsn = pg->lsn };
	copy->range.xip = cu_xmalloc(sizeof pg->open / sizeof *pg->open * sizeof *copy->range.xip);
	for (size_t i = 0; i < CU_ARRAY_LEN(pg->open); i++) {
		size_t at = copy->range.xip_len;

		if (!pg->open[i])
			continue;
		copy->range.xmin = CU_MIN(copy->range.xmin, (uint64_t)pg->open[i]);
		for (; at > 0 && copy->range.xip[at - 1] > pg->open[i]; at--)
			copy->range.xip[at] = copy->range.xip[at - 1];
		copy->range.xip[at] = pg->open[i];
		copy->range.xip_len++;
	}
	copy->rows = cu_xmalloc(POSTGRES_ROWS * sizeof *copy->rows);
	for (unsigned r = 0; r < POSTGRES_ROWS; r++) {
		if (pg->rows[table][r].values[0])
			copy->rows[copy->len++] = row_copy(&pg->rows[table][r]);
	}
	return copy;
}

void pg_copy_free(struct pg_copy **ref)
{
	struct pg_copy *copy = *ref;

	*ref = NULL;
	for (size_t i = 0; i < copy->len; i++)
		row_fini(&copy->rows[i]);
	free(copy->rows);
	cu_snapshot_range_fini(&copy->range);
	free(copy);
}
