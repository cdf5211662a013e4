/* postgres.h: what Postgres is to a store: tables, transactions in the order of their commits, and a slot.
 *
 * A transaction that is committed stays for ever; the slot streams those behind what was confirmed to it, each time
 * that somebody connects. Nothing here is ever lost: Postgres is not what is tested.
 *
 * postgres_client.c is how the product sees it: in place of the replication thread (pg/replication.h) and of COPY
 * (pg/copy_out.h), by the same names.
 *
 * Threads: simulated ones (sim/sim.h), of which one runs: what is below takes no locks.
 */
#ifndef CU_CRASH_POSTGRES_H
#define CU_CRASH_POSTGRES_H

#include "crash/hold.h"
#include "pg/pgoutput.h"
#include "shape/snapshot_range.h"

enum { POSTGRES_TABLES = 3, POSTGRES_ROWS = 40, POSTGRES_COLUMNS = 3 };

#define POSTGRES_OID(table) (16384u + (table))

/* id, name, note as text; name and note may be NULL. */
struct pg_row {
	char *values[POSTGRES_COLUMNS];
};

enum pg_change_kind { PG_INSERT, PG_UPDATE, PG_DELETE, PG_TRUNCATE };

struct pg_change {
	enum pg_change_kind kind;
	unsigned table;
	struct pg_row old_row, new_row; /* those that the kind has */
};

struct pg_tx {
	uint32_t xid;
	uint64_t final_lsn, end_lsn;
	struct pg_change *changes;
	size_t len;
};

struct postgres {
	struct pg_row rows[POSTGRES_TABLES][POSTGRES_ROWS]; /* values[0] NULL: no such row */
	struct pg_tx *txs;                                  /* committed, by final_lsn */
	size_t txs_len, txs_cap;
	uint32_t open[4]; /* transactions under way; 0: none */
	uint32_t next_xid;
	bool hot;     /* a few rows are updated again and again: what compaction is for */
	uint64_t lsn; /* end of the WAL */
	uint64_t confirmed;
	bool was_confirmed; /* something was: there is a checkpoint */
	uint64_t oldest;    /* what was confirmed before it is not sent again: who asks has forgotten it, too */
	uint64_t confirmed_at_start; /* of the process that runs; 0: nothing was yet */

	/* the connection */
	pthread_mutex_t mtx;
	pthread_cond_t news;
	bool connected;
	bool breaks;          /* is to break */
	bool never;           /* nobody has been connected yet: the slot is new */
	size_t tx;            /* being streamed */
	size_t at;            /* its next message: 0 begin, 1 … changes, then commit */
	uint64_t told;        /* everything before it has been streamed */
	unsigned described;   /* tables whose Relation message was sent: bits */
	unsigned idle;        /* times that the reader found nothing since something was sent */
	struct hold confirms; /* where a checkpoint's end is told */
	/* A truncation is on its way to the reader. */
	void (*truncated)(void *ctx, unsigned table);
	void *ctx;
};

struct postgres *postgres_new(void);
void postgres_free(struct postgres **pg);

/* Begins a transaction that will be committed later; commits the one that is the longest under way, or a new one. */
void postgres_begin(struct postgres *pg);
void postgres_commit(struct postgres *pg);
/* The reader's connection is lost; the next thing it sees is a new one. */
void postgres_break(struct postgres *pg);
/* Nobody is connected any more. */
void postgres_disconnect(struct postgres *pg);
/* Everything has been streamed, and the reader has asked for more a few times since. */
bool postgres_is_caught_up(const struct postgres *pg);

/* A row as the product's functions take it. */
void pg_row_values(const struct pg_row *row, struct cu_pg_value *out);

/* What a snapshot of this moment holds, and what COPY says within it. */
struct pg_copy {
	cu_snapshot_range range;
	struct pg_row *rows; /* copies */
	size_t len;
};
struct pg_copy *postgres_snapshot(const struct postgres *pg, unsigned table);
void pg_copy_free(struct pg_copy **copy);

#endif
