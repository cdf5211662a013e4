/* world.h: one process after the other on one simulated disk: what src/stack puts together, without HTTP and actors, and
 * what its clients were told.
 *
 *	postgres ─► collector (its own thread) ─► store ─► disk
 *	main ─► shapes come and go ─► snapshots (a thread) ─┘
 *
 * Threads: main, but for what is said.
 */
#ifndef CU_CRASH_WORLD_H
#define CU_CRASH_WORLD_H

#include "collector/collector.h"
#include "crash/disk.h"
#include "crash/postgres.h"
#include "shape/retention.h"

enum { DEFINITIONS = POSTGRES_TABLES * 4, CUTS_MAX = 64, WAITING_MAX = 16 };

#define LOG_BYTES_MIN 4096u /* of the change log, before it is drained */

/* One of its log, as Postgres' transactions make it. */
struct known_item {
	cu_offset at;
	size_t end; /* in the log's bytes */
};

/* A shape that was ever made, as its clients know it. */
struct known {
	struct known *next;
	char *handle;
	unsigned definition;
	cu_shape *shape; /* in this process; a reference */

	/* what was told to somebody, or is therefore true */
	bool live;        /* complete and durable: it has to be there from now on … */
	bool asked_to_go; /* … unless somebody asked for its removal, */
	bool may_go;      /* or something may have forced it */
	bool gone;        /* its removal is durable */

	/* what it must hold */
	bool has_snapshot;
	size_t snapshot_txs; /* transactions of Postgres that the snapshot holds: the first ones */
	cu_buf snapshot;
	cu_buf log; /* of the transactions [snapshot_txs, txs) */
	size_t txs;
	size_t *ends; /* of log: where a transaction of it ended */
	size_t ends_len, ends_cap;
	struct known_item *items; /* of log */
	size_t items_len, items_cap;
	cu_offset cuts[CUTS_MAX]; /* chunk ends that were seen, from the start, or from what was compacted */
	size_t cuts_len;
};

struct world {
	char *root, *dir; /* of the disk, of the store */
	struct disk *disk;
	struct postgres *pg;
	cu_definition *definitions[DEFINITIONS]; /* the model's own */
	struct known *known;
	unsigned checkpoint_ms;
	uint64_t log_bytes_max;
	unsigned shapes_max; /* retention; 0: no limit */
	bool had_trouble;    /* the disk has refused something, in some life */

	/* this process */
	bool churn;              /* shapes go while the change log is drained (removal.h) */
	const cu_shape *held_up; /* its removal is, until the log was dropped */
	bool stops;              /* and the disk stops soon after that */
	cu_store *store;
	cu_shape_set *set;
	cu_router *router;
	cu_recent_xids *recent;
	cu_catalog *catalog;
	cu_publication *publication;
	cu_collector *collector;
	cu_sealer *sealer;
	cu_retention *retention;
	struct cu_checkpoint checkpoint; /* as loaded */
	uint64_t *broken;                /* loaded, and not complete */
	size_t broken_len;

	/* snapshots: their own thread; shapes that wait */
	pthread_mutex_t mtx;
	pthread_cond_t work;
	pthread_t snapshots;
	bool stopping;
	bool lost; /* the storage can be used by a new process only */
	cu_shape *waiting[WAITING_MAX];
	size_t waiting_len;
	pthread_cond_t never; /* for pauses */
};

struct world *world_new(void);
void world_free(struct world **world); /* it is down */

/* A process starts, and has its shapes from the store. False: the disk stopped or failed meanwhile, and it is down. */
bool world_start(struct world *world);
/* It follows Postgres and takes snapshots from now on. */
void world_follow(struct world *world);
/* As the server ends; after a crash of the disk this has no effect on it. */
void world_stop(struct world *world);
/* The process can do nothing any more. */
bool world_is_over(const struct world *world);
/* Waits until the store has what Postgres has. False: it is over. */
bool world_catch_up(struct world *world);
/* Lets the others go on for a while. */
void world_pause(struct world *world);

/* Retention has its turn. */
void world_retain(struct world *world);
void world_create(struct world *world, unsigned definition);
/* NULL: there is none. */
struct known *world_find(struct world *world, const char *handle);
/* Its definition in the model: table and columns. */
static inline unsigned known_table(const struct known *known)
{
	return known->definition / 4;
}

#endif
