/* api.h: /v1/shape, /v1/health and /: from parameters to answers.
 *
 *	request ─► route, secret ─► parameters ─► definition (catalog) ─► shape ─► serve ─► answer, or wait and serve again
 *
 * A reader that has to wait (for a snapshot, for a change, for a removal to be durable) is parked under its shape's id and
 * served again, from the beginning of `serve`, whenever the shape wakes it: one function decides everything.
 *
 * Threads: the handlers run on the HTTP loops; look-ups that need the database run on the pool and come back.
 */
#ifndef CU_API_H
#define CU_API_H

#include "api/headers.h"
#include "collector/collector.h"
#include "http/http.h"
#include "pg/pool.h"
#include "shape/chunk_check.h"
#include "shape/shape_set.h"
#include "shape/snapshot.h"

typedef struct cu_api cu_api;

enum cu_api_health {
	CU_API_LOADING, /* nothing is here yet, not even the shapes: health says starting */
	CU_API_STARTING,
	CU_API_WAITING, /* another instance is active */
	CU_API_ACTIVE,
	CU_API_SLEEPING,     /* idle, without connections; requests wake it: health says active */
	CU_API_DISCONNECTED, /* was active; the database is away: what is here is served, health says starting */
};

#define CU_API_LOADED_KEY UINT64_MAX /* no shape's id */
#define CU_API_RELAYED \
	"copper-relayed" /* a header: the name of the instance that is asked, and in the answer of the one that did */
#define CU_API_INSTANCE_TEXT_MAX 40u
#define CU_API_HOST_MAX 64u

/* Another instance: where it listens. */
struct cu_api_peer {
	char host[CU_API_HOST_MAX]; /* numeric */
	uint16_t port;
	char instance[CU_API_INSTANCE_TEXT_MAX]; /* names one run of a process: who has its port later is another */
};

/* Everything is borrowed for the life of the api. */
struct cu_api_opts {
	cu_shape_set *shapes;
	cu_store *store;
	cu_catalog *catalog;
	cu_pool *pool;
	cu_collector *collector;
	cu_snapshots *snapshots;
	cu_chunk_checks *checks;
	const char *storage_dir; /* for answers that are too large for memory */
	enum cu_api_health (*health)(void *ctx);
	bool (*generated_in_stream)(void *ctx); /* Postgres 18 and newer */
	/* A request wants the connections to the database. True: they are closed, or on their way back: it is held until
	 * cu_api_resume(). NULL: they are never closed. */
	bool (*touch)(void *ctx);
	/* While health says LOADING, requests for shapes wait under CU_API_LOADED_KEY. When that is woken each is given to this, to be
	 * handled from the beginning. NULL: health never says so. */
	void (*again)(void *ctx, cu_http_request *req);
	/* Another instance answers for shapes: which. False: nobody can be asked. NULL: this one does. */
	bool (*active_peer)(void *ctx, struct cu_api_peer *ret_peer);
	const char *instance; /* our name: what is relayed is meant for it, and the HTTP server's mark says so */
	void *ctx;
	struct cu_headers_config headers;
	const char *secret; /* NULL: none is asked for */
	bool compression;   /* of answers, where the client takes it */
	bool allow_shape_deletion;
	unsigned long_poll_ms;
	unsigned max_requests_initial;
	unsigned max_requests_existing;
};

cu_api *cu_api_new(const struct cu_api_opts *opts);
/* Nothing is posted to the HTTP server from here on. Before that is freed; NULL is fine. */
void cu_api_stop(cu_api *api);
/* Stopped, and no request may be under way any more. NULL is fine. */
void cu_api_free(cu_api **api);
/* Held requests go on. Any thread. */
void cu_api_resume(cu_api *api);
/* Handlers for struct cu_http_opts; ctx is the cu_api. */
void cu_api_on_request(void *ctx, cu_http_request *req);
void cu_api_on_wave_end(void *ctx, cu_http_loop *loop, uint64_t key);

#endif
