/* stack.h: one stack, wired together: store, replication, collector, consumers, snapshots and HTTP.
 *
 * Start order: HTTP, which says 503 until the rest runs, store (and with it the shapes' logs), actors and registry, pool,
 * replication, collector. Stop order: the readers are drained first, then the reverse, with a last checkpoint at the end.
 *
 * A second instance on the same directory waits: it listens, says so on /v1/health, relays requests for shapes to the first,
 * and serves as soon as its caller's take_over() finds that the first one has ended.
 *
 * Threads: start, take over, wait for a signal, stop: one thread, the caller's.
 */
#ifndef CU_STACK_H
#define CU_STACK_H

#include "api/api.h"
#include "pg/preflight.h"

typedef struct cu_stack cu_stack;

/* Texts are borrowed for the life of the stack. */
struct cu_stack_opts {
	const char *database_url;
	const char *pooled_database_url; /* for snapshots; NULL: the same */
	const char *database_ca_file;    /* NULL: as the URLs say */
	unsigned keepalive_idle_ms, keepalive_interval_ms, keepalive_count;
	unsigned tcp_user_timeout_ms; /* 0: the system's */
	const char *storage_dir;
	const char *stream_id;
	bool manual_publishing;
	unsigned publication_refresh_ms; /* between two looks at whether the shapes' tables are there and published */
	bool temporary_slot, random_slot_name; /* the latter with the former only */
	unsigned idle_ms;                      /* without a change or a request for so long: no connections; 0: never */
	unsigned db_pool_size;

	const char *host;
	unsigned port;
	unsigned http_loops;
	const char *secret;
	bool compression;
	bool allow_shape_deletion;
	unsigned max_requests_initial, max_requests_existing;
	unsigned long_poll_ms, sse_timeout_ms, cache_max_age_s, cache_stale_age_s;
	unsigned send_timeout_ms, idle_timeout_ms;

	uint64_t chunk_bytes;
	uint64_t change_log_bytes_max;
	unsigned checkpoint_ms;

	/* retention; 0: no limit */
	unsigned max_shapes;
	uint64_t max_storage_bytes;
	unsigned shape_max_idle_ms;

	bool enable_suspend;
	unsigned hibernate_after_ms, suspend_after_ms;

	bool (*is_ending)(void); /* asked while the directory is loaded: true gives the start up; NULL: it goes on */
};

/* Everything runs when it returns 0, or it waits; the database may still be unreachable. The reason of a failure has
 * been logged, but for CU_ECLOSED: is_ending() said so. */
int cu_stack_start(const struct cu_stack_opts *opts, cu_stack **ret_stack);
/* Another process has the directory: call take_over again and again. */
bool cu_stack_waits(const cu_stack *stack);
/* One attempt, which costs an open and a flock while the answer is CU_EBUSY: still waiting. 0: everything runs. Any other
 * failure is that of a start: logged, stop the stack. */
int cu_stack_take_over(cu_stack *stack);
uint16_t cu_stack_port(const cu_stack *stack);
/* Drains readers, makes a last checkpoint, stops everything. NULL is fine. */
void cu_stack_stop(cu_stack **stack);

#endif
