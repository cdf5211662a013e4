/* collector.h: the one thread that turns the replication stream into shape logs.
 *
 *	frame ─► decode ─► transaction ─► fragment: changes, and per touched shape an event
 *	      ─► registry.publish: the consumers decide ─► encode and append, one fan-out record ─► at commit: show, wake
 *
 * A transaction is never collected whole: fragments of bounded size go through and become visible at commit. What has been
 * committed is shown at the end of a batch of frames, after one flush of the change log.
 *
 * Checkpoints: on commit boundaries, every checkpoint_ms or CU_CHECKPOINT_BYTES: the store makes log and metadata
 * durable, then the LSN is confirmed to Postgres, then segments that no tail needs are dropped.
 *
 * Threads: its own; the calls below from any. Bounds: a fragment (limits.h), the replication queue behind it.
 * A full or failing disk stops it (and with it the stream, by back-pressure), it tries again until it can go on.
 */
#ifndef CU_COLLECTOR_H
#define CU_COLLECTOR_H

#include "copper/consumer_registry.h"
#include "pg/publication.h"
#include "pg/replication.h"
#include "router/router.h"
#include "shape/recent_xids.h"
#include "shape/sealer.h"

typedef struct cu_collector cu_collector;

/* Everything is borrowed for the life of the collector. */
struct cu_collector_opts {
	const char *stack_id;
	cu_replication *replication;
	cu_store *store;
	cu_router *router;
	cu_consumer_registry *registry;
	cu_shape_set *shapes;
	cu_sealer *sealer; /* NULL: nothing is sealed, the change log is never dropped */
	cu_recent_xids *recent;
	cu_publication *publication;
	cu_catalog *catalog;
	unsigned checkpoint_ms;
	struct cu_checkpoint checkpoint; /* as loaded; all zero on a new store */
	/* The storage can only be used again by a new process (an fsync failed). Must not return in the server, which leaves
	 * by then; a collector whose callback returns is to be stopped. */
	void (*storage_lost)(void *ctx);
	/* The partitioned ancestors of a table, nearest first, as a snapshot sees them that holds transaction xid; from the
	 * database; blocks. Returns their number (at most max), negative when the database cannot be asked. */
	int (*ancestors)(void *ctx, uint32_t oid, uint32_t xid, uint32_t *ret_oids, unsigned max);
	void *ctx;
};

int cu_collector_start(const struct cu_collector_opts *opts, cu_collector **ret_collector);
/* After cu_replication_stop(): takes what is queued, makes a last checkpoint, joins the thread. */
void cu_collector_stop(cu_collector *collector);
void cu_collector_free(cu_collector **collector); /* stops first; NULL is fine */

/* The last transaction whose items every reader can see: global_last_seen_lsn. Wait-free. */
uint64_t cu_collector_last_tx(const cu_collector *collector);
/* Has the stream reached what the server had written when we connected? Until then a position beyond a log's end may
 * be one that an earlier run of ours gave out. Wait-free. */
bool cu_collector_caught_up(const cu_collector *collector);

/* PQserverVersion() of the server that we follow; 0 until the first connection has been taken in, that is, until it is
 * known whether the stored shapes can go on. Wait-free. */
int cu_collector_server_version(const cu_collector *collector);

struct cu_collector_stats {
	uint64_t transactions;
	uint64_t changes;
	uint64_t items;
	uint64_t checkpoints;
	uint64_t checkpoint_lsn;
};
void cu_collector_stats_get(const cu_collector *collector, struct cu_collector_stats *ret_stats);

#endif
