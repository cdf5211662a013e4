/* internal.h: shared by collector.c (thread, connection, checkpoints), transaction.c (messages → fragments) and
 * deliver.c (fragments → change log and tails). Everything belongs to the collector's thread unless it says otherwise.
 */
#ifndef CU_COLLECTOR_INTERNAL_H
#define CU_COLLECTOR_INTERNAL_H

#include "collector/collector.h"
#include "collector/fragment.h"
#include "collector/relations.h"
#include "shape/shape_list.h"

/* A shape that cannot go on; removed before the commit that it would miss becomes visible. */
struct cu_doomed {
	cu_shape *shape;
	const char *why; /* static */
};

struct cu_transaction {
	bool open;
	bool skip;     /* held already: it came again after a reconnection */
	bool appended; /* something of it stands in the change log */
	uint64_t tx;   /* final LSN */
	uint64_t next_op;
	uint32_t xid;
	uint32_t fragment; /* number of the next one */
};

struct cu_collector {
	/* set once */
	struct cu_collector_opts opts;
	cu_changelog *log;
	pthread_t thread;
	bool running;

	/* any thread */
	_Atomic bool stopping;
	_Atomic uint64_t last_tx;
	_Atomic bool caught_up;
	_Atomic int server_version;
	_Atomic uint64_t stat_transactions, stat_changes, stat_items, stat_checkpoints;
	_Atomic uint64_t checkpoint_lsn; /* of the last durable one */
	pthread_mutex_t lock;            /* guards the next three */
	pthread_cond_t checkpoint_done;
	bool checkpoint_running;
	int checkpoint_rc;

	/* collector thread */
	struct cu_pgoutput_decoder decoder;
	cu_relations relations;
	cu_fragment fragment;
	struct cu_transaction tx;
	bool router_locked;
	uint64_t look; /* number of the transaction's part under one read lock: meanwhile no shape begins to listen */
	struct cu_pg_value *view_buffer; /* the rows of a change in a definition's order */
	size_t view_buffer_cap;
	struct cu_doomed *doomed;
	size_t doomed_len, doomed_cap;
	struct cu_shape_list touched; /* have items in the open transaction */
	struct cu_shape_list dirty;   /* have committed runs that are not shown yet */
	uint64_t committed_tx;        /* last transaction committed, shown or not */
	uint64_t safe_lsn;            /* everything before it is in the change log, flushed or not */
	uint64_t catch_up_lsn;        /* the server's flush position when we connected; 0: not connected yet */
	uint64_t seen_tx;             /* committed_tx, also of an earlier run, when we connected */
	uint64_t expected_tx;         /* … and has to come again; 0: it has, or the slot is beyond it */
	bool diverged;                /* it has not: the database has another history */
	struct cu_checkpoint saved;   /* the last checkpoint asked for */
	bool unclosed; /* stopping: the change log ends within a transaction that the disk did not let us abort */
	bool unshown;  /* something was taken in since the last show */
	uint64_t show_due_ns;
	uint64_t held_up_due_ms; /* nothing is said before, see wait_for_room() */
	uint64_t checkpoint_due_ms;
	uint64_t checkpoint_log_pos; /* log position of the last checkpoint asked for */

	/* deliver.c's scratch, kept between fragments */
	cu_buf item;
	struct cu_delivery *deliveries;
	size_t deliveries_cap;
	struct cu_placing *placing; /* per event */
	size_t placing_cap;
	struct cu_fanout_shape *fan_shapes;
	size_t fan_shapes_cap;
	struct cu_fanout_run *fan_runs;
	size_t fan_runs_len, fan_runs_cap;
	struct cu_tail_run *tail_runs;
	size_t tail_runs_len, tail_runs_cap;
};

/* transaction.c: one pgoutput message. Negative: the stream cannot be followed any further on this connection. */
int cu_collector_message(struct cu_collector *c, const uint8_t *data, size_t len);
/* The connection broke, or we stop: drops the open transaction's part everywhere. */
void cu_collector_abort(struct cu_collector *c);
void cu_collector_unlock_router(struct cu_collector *c);
void cu_collector_doom(struct cu_collector *c, cu_shape *shape, const char *why);

/* collector.c: a transaction begins, or the server says that it has sent everything before this position. Negative: the
 * database has another history than the one that we hold. */
int cu_collector_compare_history(struct cu_collector *c, uint64_t tx);

/* deliver.c: the fragment goes through. CU_ECLOSED: we are stopping and the disk cannot take it. */
int cu_collector_deliver(struct cu_collector *c, bool commit, uint64_t end_lsn);
/* Flushes the log and shows what has been committed. CU_ECLOSED as above. */
int cu_collector_show(struct cu_collector *c);
/* Runs op until it succeeds or fails for a reason other than the disk, or we are stopping (CU_ECLOSED). */
#define CU_RETRY_ON_DISK(c, rc, op) \
	do {                        \
		(rc) = (op);        \
	} while (cu_is_disk_error(rc) && cu_collector_wait_for_disk((c), (rc)))
bool cu_collector_wait_for_disk(struct cu_collector *c, int rc);

#endif
