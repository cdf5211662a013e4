/* options.h: the options of the copper binary, from one table: flags, COPPER_… and ELECTRIC_… variables.
 *
 * Precedence: flag, then COPPER_…, then Electric's variable, then the default. An empty variable counts as not set.
 * An error names its source: `COPPER_PORT: "abc" is not a number between 0 and 65535`; secrets are never quoted.
 *
 * Threads: start-up only. Ownership: cu_options owns its texts until cu_options_fini(). docs/configuration.md is the
 * table in words; a test checks that each option stands there.
 */
#ifndef CU_CLI_OPTIONS_H
#define CU_CLI_OPTIONS_H

#include "base/buf.h"

struct cu_options {
	/* database */
	char *database_url;        /* required */
	char *pooled_database_url; /* NULL: none */
	char *database_ca_file;    /* NULL: none */
	bool database_ipv6;
	unsigned keepalive_idle_ms;
	unsigned keepalive_interval_ms;
	unsigned keepalive_count;
	unsigned tcp_user_timeout_ms; /* 0: the system's */
	unsigned db_pool_size;
	char *replication_stream_id; /* "default" */
	bool manual_table_publishing;
	unsigned publication_refresh_ms;
	bool temporary_slot;
	bool random_slot_name;
	unsigned replication_idle_ms; /* 0: never */

	/* http */
	char *host;       /* numeric address to listen on; "0.0.0.0", or "::" with listen_ipv6 */
	unsigned port;    /* 0: any free port */
	bool listen_ipv6; /* already applied to host */
	unsigned threads; /* http loops; the default is the number of cores, at most 64 */
	char *secret;     /* NULL: insecure */
	bool insecure;
	unsigned max_requests_initial;
	unsigned max_requests_existing;
	bool compression;
	unsigned cache_max_age_s;
	unsigned cache_stale_age_s;
	unsigned long_poll_ms;
	unsigned sse_timeout_ms;
	unsigned send_timeout_ms; /* no byte taken by a reader for so long: close */
	unsigned read_timeout_ms; /* idle keep-alive connection: close */
	bool allow_shape_deletion;

	/* storage */
	char *storage_dir;
	uint64_t chunk_bytes;
	uint64_t change_log_bytes_max;
	unsigned checkpoint_ms;
	uint64_t max_storage_bytes; /* 0: no limit, as for the next two */

	/* shapes */
	unsigned max_shapes;
	unsigned shape_max_idle_ms;
	unsigned hibernate_after_ms;
	unsigned suspend_after_ms;
	bool enable_suspend;

	/* log */
	char *log_level;
	char *log_format;

	/* warnings for the caller to log: unknown ELECTRIC_… and COPPER_… variables, and ones without effect here */
	char **warnings;
	size_t warnings_len;
};

enum cu_options_result {
	CU_OPTIONS_RUN = 0,
	CU_OPTIONS_HELP = 1,    /* --help: print cu_options_help() and leave with 0 */
	CU_OPTIONS_VERSION = 2, /* --version */
};

/* CU_OPTIONS_…, or CU_EINVAL with a message (one or more lines, all that is wrong) in err. env is NULL-terminated
 * "NAME=value". On CU_OPTIONS_RUN ret is filled, to be freed by cu_options_fini(); otherwise it is zeroed. */
int cu_options_parse(int argc, char *const *argv, char *const *env, struct cu_options *ret, cu_buf *err);
void cu_options_fini(struct cu_options *options);
/* The text of --help. */
void cu_options_help(cu_buf *ret_text);
/* The lines of the documentation's tables, in Markdown (docs/configuration.md is made of it). */
void cu_options_markdown(cu_buf *ret_text);

#endif
