/* load.h: what the subcommands of the load generator share: options, readers that walk a shape, output. */
#ifndef CU_BENCH_LOAD_H
#define CU_BENCH_LOAD_H

#include "bench/client.h"
#include "bench/samples.h"

struct cu_load_opts {
	const char *base; /* http://host:port */
	const char *table;
	char **targets; /* get: the paths to fetch, in order */
	unsigned targets_len;
	unsigned readers;
	uint64_t requests; /* fetch, get: start new walks until so many requests were made */
	unsigned rounds;   /* wait, bare: measured writes */
	unsigned warmup;   /* wait, bare: writes before them that are not counted */
	unsigned rate;     /* sse: writes per second */
	unsigned settle_ms;
	unsigned limit_s; /* give up after so many seconds without progress */
	const char *
		query; /* further parameters, already encoded: columns=…&secret=…; {} is each reader's number, from 1, times spread */
	unsigned spread;
	const char *handle;
	const char *offset;
	const char *save;   /* fetch: folder for the bodies of the first walk */
	const char *others; /* wait: a second table, whose readers stay parked */
	unsigned others_len;
	const char *db;    /* connection string */
	const char *write; /* SQL of a measured write */
	const char *shell; /* or a command that writes */
	const char *publication;
	const char *marker;
	uint64_t items;
	bool each;      /* get: every path once, shared out among the readers */
	int cont_pid;   /* drain: gets SIGCONT at the start of the clock */
	int signal_pid; /* sse: a write is SIGRTMIN to this process, which makes an item of each */
};

/* A position in one shape and the connection that follows it. */
typedef struct cu_reader {
	cu_conn *conn;
	unsigned index;
	unsigned step;    /* get: the next path */
	bool live;        /* the request in flight is a live one */
	bool sse;         /* live requests ask for live_sse */
	bool answered;    /* wait: in this round */
	bool parked_only; /* wait: a reader of the second table */
	const char *table;
	uint64_t walk_ns; /* start of this walk */
	char handle[CU_CLIENT_FIELD_MAX];
	char offset[CU_CLIENT_FIELD_MAX];
	char cursor[CU_CLIENT_FIELD_MAX];
} cu_reader;

/* The subcommands: 0, or a negative CU_E… with the reason on stderr. */
int cu_load_fetch(const struct cu_load_opts *opts); /* also `get`, when there are targets */
int cu_load_drain(const struct cu_load_opts *opts);
int cu_load_wait(const struct cu_load_opts *opts);
int cu_load_idle(const struct cu_load_opts *opts);
int cu_load_sse(const struct cu_load_opts *opts);
int cu_load_bare(const struct cu_load_opts *opts);

/* Asks for what follows the reader's position. */
void cu_reader_ask(cu_reader *reader, const struct cu_load_opts *opts, bool live);
/* Puts the reader before the beginning of its shape. */
void cu_reader_rewind(cu_reader *reader);
/* Moves the reader behind an answer: true when it is a usable 200 or 409 (which rewinds). Otherwise the request is
 * sent again later and the failure counted; too many end the process with a message. */
bool cu_reader_take(cu_reader *reader, const cu_answer *answer);

/* Failures seen by cu_reader_take() so far. */
struct cu_load_failures {
	uint64_t broken;      /* connections that broke */
	uint64_t unavailable; /* 429, 503 */
	uint64_t refetches;   /* 409 */
};
extern struct cu_load_failures cu_load_failures;

/* Prints the median, p90, p99 and largest of samples (in milliseconds) under a name, as text. */
void cu_load_print_samples(const char *name, cu_samples *samples);
/* The same as a member of a JSON object, with a comma before it. */
void cu_load_json_samples(const char *name, cu_samples *samples);

#endif
