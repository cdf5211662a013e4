/* options.c: the table of options, and how a value gets from argv and the environment into struct cu_options.
 *
 * Defaults are texts and take the same way as values from outside, so the table cannot hold one that does not parse.
 */
#include "cli/options.h"

#include "base/limits.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MAX 64u
#define STREAM_ID_LEN_MAX 42u /* "electric_publication_<id>" is a name of Postgres: 63 bytes */
#define DAY_MS (24u * 3600 * 1000)

enum type {
	TYPE_STRING,
	TYPE_UNSIGNED,
	TYPE_BOOL,
	TYPE_DURATION, /* milliseconds */
	TYPE_BYTES,
	TYPE_LOG_LEVEL,
	TYPE_LOG_FORMAT,
	TYPE_STREAM_ID,
	TYPE_URL,
	TYPE_CONCURRENCY, /* {"initial":300,"existing":10000}: two fields, max_requests_… */
};

enum group { GROUP_DATABASE, GROUP_HTTP, GROUP_STORAGE, GROUP_SHAPES, GROUP_LOG, GROUP_COUNT };

static const char *const group_names[GROUP_COUNT] = {
	[GROUP_DATABASE] = "Database", [GROUP_HTTP] = "HTTP", [GROUP_STORAGE] = "Storage",
	[GROUP_SHAPES] = "Shapes",     [GROUP_LOG] = "Log",
};

struct option {
	const char *name;     /* the flag without its dashes; COPPER_<NAME> follows from it */
	const char *electric; /* Electric's variable; NULL: none */
	enum type type;
	enum group group;
	size_t at; /* offset in struct cu_options */
	uint64_t min, max;
	const char *def; /* NULL: none */
	bool secret;     /* its value is never shown */
	const char *help;
};

#define AT(field) offsetof(struct cu_options, field)

static const struct option options[] = {
	{ "database-url", "DATABASE_URL", TYPE_URL, GROUP_DATABASE, AT(database_url), 0, 0, NULL, true,
	  "Postgres to follow: postgresql://user:password@host:5432/db?sslmode=require. Required. The role needs "
	  "REPLICATION" },
	{ "pooled-database-url", "ELECTRIC_POOLED_DATABASE_URL", TYPE_URL, GROUP_DATABASE, AT(pooled_database_url), 0,
	  0, NULL, true,
	  "the same database through a pooler (PgBouncer in transaction mode is fine): snapshots use it; replication, "
	  "lock, catalog and publication do not. Its role needs SELECT. Older name: ELECTRIC_QUERY_DATABASE_URL" },
	{ "database-ca-certificate-file", "ELECTRIC_DATABASE_CA_CERTIFICATE_FILE", TYPE_STRING, GROUP_DATABASE,
	  AT(database_ca_file), 0, 0, NULL, false,
	  "PEM file of the authorities that may have signed the server's certificate; turns sslmode=verify-full on" },
	{ "database-tcp-keepalive-idle", "ELECTRIC_DATABASE_TCP_KEEPALIVE_IDLE", TYPE_DURATION, GROUP_DATABASE,
	  AT(keepalive_idle_ms), 1, DAY_MS, "30s", false,
	  "a connection that is silent for so long is probed; what the URL says (keepalives_idle) comes first, here and "
	  "in the next three" },
	{ "database-tcp-keepalive-interval", "ELECTRIC_DATABASE_TCP_KEEPALIVE_INTERVAL", TYPE_DURATION, GROUP_DATABASE,
	  AT(keepalive_interval_ms), 1, DAY_MS, "10s", false, "between two probes" },
	{ "database-tcp-keepalive-count", "ELECTRIC_DATABASE_TCP_KEEPALIVE_COUNT", TYPE_UNSIGNED, GROUP_DATABASE,
	  AT(keepalive_count), 1, 127, "3", false, "unanswered probes after which it is given up" },
	{ "database-tcp-user-timeout", "ELECTRIC_DATABASE_TCP_USER_TIMEOUT", TYPE_DURATION, GROUP_DATABASE,
	  AT(tcp_user_timeout_ms), 0, DAY_MS, "0", false,
	  "how long what was sent may stay unacknowledged; 0 is the system's" },
	{ "database-use-ipv6", "ELECTRIC_DATABASE_USE_IPV6", TYPE_BOOL, GROUP_DATABASE, AT(database_ipv6), 0, 0,
	  "false", false, "accepted for Electric's sake: every address of the database's host is tried anyway" },
	{ "db-pool-size", "ELECTRIC_DB_POOL_SIZE", TYPE_UNSIGNED, GROUP_DATABASE, AT(db_pool_size), 2, 1000, "20",
	  false, "connections for snapshots and catalog queries, at most" },
	{ "replication-stream-id", "ELECTRIC_REPLICATION_STREAM_ID", TYPE_STREAM_ID, GROUP_DATABASE,
	  AT(replication_stream_id), 0, 0, "default", false,
	  "suffix of the slot's and the publication's name; lower-case letters, digits, _" },
	{ "temporary-slot", "CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN", TYPE_BOOL, GROUP_DATABASE, AT(temporary_slot), 0,
	  0, "false", false,
	  "a temporary replication slot: Postgres drops it when the connection ends, however it ends, and then every shape "
	  "starts anew" },
	{ "random-slot-name", "ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME", TYPE_BOOL, GROUP_DATABASE,
	  AT(random_slot_name), 0, 0, "false", false,
	  "the temporary slot has a name of its own, so that instances with a storage each run side by side" },
	{ "replication-idle-timeout", "ELECTRIC_REPLICATION_IDLE_TIMEOUT", TYPE_DURATION, GROUP_DATABASE,
	  AT(replication_idle_ms), 0, 7 * DAY_MS, "0", false,
	  "without a change or a request for so long, all connections to the database are closed until a request comes; "
	  "0 is never. Postgres keeps WAL meanwhile" },
	{ "manual-table-publishing", "ELECTRIC_MANUAL_TABLE_PUBLISHING", TYPE_BOOL, GROUP_DATABASE,
	  AT(manual_table_publishing), 0, 0, "false", false,
	  "never touch the publication or a table's replica identity; say what is missing instead" },
	{ "publication-refresh-period", "ELECTRIC_TWEAKS_PUBLICATION_REFRESH_PERIOD", TYPE_DURATION, GROUP_DATABASE,
	  AT(publication_refresh_ms), 10, DAY_MS, "10s", false,
	  "how often it is looked whether the shapes' tables are still there and published" },

	{ "port", "ELECTRIC_PORT", TYPE_UNSIGNED, GROUP_HTTP, AT(port), 0, 65535, "3000", false,
	  "port to listen on; 0 takes any free one" },
	{ "host", NULL, TYPE_STRING, GROUP_HTTP, AT(host), 0, 0, NULL, false,
	  "numeric address to listen on; default: 0.0.0.0, or :: with --listen-on-ipv6" },
	{ "listen-on-ipv6", "ELECTRIC_LISTEN_ON_IPV6", TYPE_BOOL, GROUP_HTTP, AT(listen_ipv6), 0, 0, "false", false,
	  "listen on IPv6 as well" },
	{ "threads", NULL, TYPE_UNSIGNED, GROUP_HTTP, AT(threads), 0, THREADS_MAX, "0", false,
	  "HTTP threads; 0 is one per core" },
	{ "secret", "ELECTRIC_SECRET", TYPE_STRING, GROUP_HTTP, AT(secret), 0, 0, NULL, true,
	  "what requests must carry as ?secret=…; required unless --insecure" },
	{ "insecure", "ELECTRIC_INSECURE", TYPE_BOOL, GROUP_HTTP, AT(insecure), 0, 0, "false", false,
	  "serve everyone who can reach the port, without a secret" },
	{ "max-concurrent-requests", "ELECTRIC_MAX_CONCURRENT_REQUESTS", TYPE_CONCURRENCY, GROUP_HTTP, 0, 1, 100000000,
	  "{\"initial\":300,\"existing\":10000}", false,
	  "requests at the same time for new shapes and for known ones; above: 503 with retry-after" },
	{ "compression", NULL, TYPE_BOOL, GROUP_HTTP, AT(compression), 0, 0, "true", false,
	  "zstd or gzip for answers of 1 KiB and more to clients that take it; copies of files are kept in the storage "
	  "directory, 1 GiB at most" },
	{ "cache-max-age", "ELECTRIC_CACHE_MAX_AGE", TYPE_UNSIGNED, GROUP_HTTP, AT(cache_max_age_s), 0, INT_MAX, "60",
	  false, "seconds; max-age of catch-up answers" },
	{ "cache-stale-age", "ELECTRIC_CACHE_STALE_AGE", TYPE_UNSIGNED, GROUP_HTTP, AT(cache_stale_age_s), 0, INT_MAX,
	  "300", false, "seconds; stale-while-revalidate of catch-up answers" },
	{ "long-poll-timeout", "ELECTRIC_LONG_POLL_TIMEOUT", TYPE_DURATION, GROUP_HTTP, AT(long_poll_ms), 1, DAY_MS,
	  "20s", false, "how long a live request waits for news" },
	{ "sse-timeout", NULL, TYPE_DURATION, GROUP_HTTP, AT(sse_timeout_ms), 1, DAY_MS, "60s", false,
	  "how long a live_sse stream lives; above 1 s, for shorter ones make clients fall back to long polling" },
	{ "tcp-send-timeout", "ELECTRIC_TCP_SEND_TIMEOUT", TYPE_DURATION, GROUP_HTTP, AT(send_timeout_ms), 1, DAY_MS,
	  "30s", false, "a reader that takes no byte for so long is cut off" },
	{ "tcp-read-timeout", "ELECTRIC_TCP_READ_TIMEOUT", TYPE_DURATION, GROUP_HTTP, AT(read_timeout_ms), 1, DAY_MS,
	  "60s", false, "an idle connection is closed; set it above the idle time of a proxy in front" },
	{ "enable-integration-testing", "ELECTRIC_ENABLE_INTEGRATION_TESTING", TYPE_BOOL, GROUP_HTTP,
	  AT(allow_shape_deletion), 0, 0, "false", false, "allow DELETE /v1/shape" },

	{ "storage-dir", "ELECTRIC_STORAGE_DIR", TYPE_STRING, GROUP_STORAGE, AT(storage_dir), 0, 0, "./persistent",
	  false, "directory for the shapes' logs; must survive restarts" },
	{ "shape-chunk-bytes-threshold", "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD", TYPE_BYTES, GROUP_STORAGE,
	  AT(chunk_bytes), 1024, 1u << 30, "10MiB", false,
	  "size of one answer's body, about; it ends at the next whole item" },
	{ "change-log-max", NULL, TYPE_BYTES, GROUP_STORAGE, AT(change_log_bytes_max), 64 * 1024, UINT64_C(1) << 40,
	  "256MiB", false,
	  "size of the change log at which its older half is moved into the shapes' own files; a transaction that is larger "
	  "makes it longer for as long as it runs. At four times this size the stream waits until it has been drained" },
	{ "checkpoint-interval", NULL, TYPE_DURATION, GROUP_STORAGE, AT(checkpoint_ms), 1, 600000, "1s", false,
	  "how often everything is made durable and confirmed to Postgres" },
	{ "max-storage-bytes", NULL, TYPE_BYTES, GROUP_STORAGE, AT(max_storage_bytes), 0, UINT64_C(1) << 50, "0", false,
	  "above it the least recently read shapes are evicted; counts snapshots, sealed logs and metadata; 0 is no limit" },

	{ "max-shapes", "ELECTRIC_MAX_SHAPES", TYPE_UNSIGNED, GROUP_SHAPES, AT(max_shapes), 0, INT_MAX, "0", false,
	  "above it the least recently read shapes are evicted; 0 is no limit" },
	{ "shape-max-idle", NULL, TYPE_DURATION, GROUP_SHAPES, AT(shape_max_idle_ms), 0, 45 * DAY_MS, "0", false,
	  "a shape that nobody reads for so long is evicted; 0 is never" },
	{ "shape-hibernate-after", "ELECTRIC_SHAPE_HIBERNATE_AFTER", TYPE_DURATION, GROUP_SHAPES,
	  AT(hibernate_after_ms), 1, 7 * DAY_MS, "30s", false,
	  "a shape without changes for so long gives back its buffers" },
	{ "shape-suspend-after", "ELECTRIC_SHAPE_SUSPEND_AFTER", TYPE_DURATION, GROUP_SHAPES, AT(suspend_after_ms), 1,
	  7 * DAY_MS, "10m", false, "so long after that its actor ends, with --shape-suspend-consumer" },
	{ "shape-suspend-consumer", "ELECTRIC_SHAPE_SUSPEND_CONSUMER", TYPE_BOOL, GROUP_SHAPES, AT(enable_suspend), 0,
	  0, "true", false, "the actors of idle shapes end; a change starts them again, a read does not need them" },

	{ "log-level", "ELECTRIC_LOG_LEVEL", TYPE_LOG_LEVEL, GROUP_LOG, AT(log_level), 0, 0, "info", false,
	  "error, warning, info or debug" },
	{ "log-format", NULL, TYPE_LOG_FORMAT, GROUP_LOG, AT(log_format), 0, 0, "text", false, "text or json" },
};
#define OPTIONS_LEN CU_ARRAY_LEN(options)

/* Older names of Electric's variables. */
static const struct {
	const char *variable;
	size_t at; /* of which option */
} old_variables[] = {
	{ "ELECTRIC_QUERY_DATABASE_URL", AT(pooled_database_url) },
};

/* What Electric understands and we do not need; a value is worth a warning, since somebody expects something of it. */
static const struct {
	const char *name;
	const char *note;
} ignored[] = {
	{ "ELECTRIC_STORAGE", "storage is always on disk" },
	{ "ELECTRIC_PERSISTENT_STATE", "storage is always on disk" },
	{ "ELECTRIC_EXPERIMENTAL_MAX_SHAPES", "its name is ELECTRIC_MAX_SHAPES now" },
	{ "ELECTRIC_FEATURE_FLAGS", "there are no such features; where clauses with subqueries are refused" },
	{ "ELECTRIC_PROMETHEUS_PORT", "no metrics are exported; watch /v1/health and the log" },
	{ "ELECTRIC_STATSD_HOST", "no metrics are exported; watch /v1/health and the log" },
	{ "ELECTRIC_OTLP_ENDPOINT", "no metrics and traces are exported" },
	{ "ELECTRIC_LIVE_DASHBOARD_PORT", "there is no dashboard" },
	{ "SENTRY_DSN", "errors are in the log; none are sent elsewhere" },
};

/* Of Electric's runtime and telemetry: without a meaning here and harmless, so not a word about them. */
static const char *const silent[] = {
	"ELECTRIC_CLEANUP_INTERVAL_MS",
	"ELECTRIC_CONSUMER_GC_HEAP_THRESHOLD",
	"ELECTRIC_CONSUMER_PARTITIONS",
	"ELECTRIC_DATABASE_ID",
	"ELECTRIC_DROP_EMPTY_RESPONSE_SPANS",
	"ELECTRIC_EXCLUDE_SPANS",
	"ELECTRIC_EXPERIMENTAL_MAX_BATCH_SIZE",
	"ELECTRIC_EXPERIMENTAL_MAX_TXN_SIZE",
	"ELECTRIC_FLUSH_STALL_GRACE_PERIOD",
	"ELECTRIC_HNY_API_KEY",
	"ELECTRIC_HNY_DATASET",
	"ELECTRIC_INSTANCE_ID",
	"ELECTRIC_LOG_COLORS",
	"ELECTRIC_LOG_OTP_REPORTS",
	"ELECTRIC_METRICS_SAMPLING_RATIO",
	"ELECTRIC_OTEL_DEBUG",
	"ELECTRIC_OTEL_EXPORT_PERIOD",
	"ELECTRIC_OTEL_SAMPLING_RATIO",
	"ELECTRIC_PROCESS_SPAWN_OPTS",
	"ELECTRIC_PROFILE_WHERE_CLAUSES",
	"ELECTRIC_PUBLICATION_ALTER_DEBOUNCE_TIME",
	"ELECTRIC_SERVICE_NAME",
	"ELECTRIC_SHAPE_DB_CACHE_SIZE",
	"ELECTRIC_SHAPE_DB_ENABLE_MEMORY_STATS",
	"ELECTRIC_SHAPE_DB_ENABLE_STATS",
	"ELECTRIC_SHAPE_DB_EXCLUSIVE_MODE",
	"ELECTRIC_SHAPE_DB_STORAGE_DIR",
	"ELECTRIC_SHAPE_DB_SYNCHRONOUS",
	"ELECTRIC_STACK_TELEMETRY_INIT_DELAY",
	"ELECTRIC_SUBQUERY_BUFFER_MAX_TRANSACTIONS",
	"ELECTRIC_SYSTEM_METRICS_POLL_INTERVAL",
	"ELECTRIC_TELEMETRY_LONG_GC_THRESHOLD",
	"ELECTRIC_TELEMETRY_LONG_MESSAGE_QUEUE_DISABLE_THRESHOLD",
	"ELECTRIC_TELEMETRY_LONG_MESSAGE_QUEUE_ENABLE_THRESHOLD",
	"ELECTRIC_TELEMETRY_LONG_SCHEDULE_THRESHOLD",
	"ELECTRIC_TELEMETRY_TOP_PROCESS_COUNT",
	"ELECTRIC_TELEMETRY_TOP_PROCESS_LIMIT",
	"ELECTRIC_TELEMETRY_URL",
	"ELECTRIC_TEST_LOG_LEVEL",
	"ELECTRIC_TWEAKS_CONN_MAX_REQUESTS",
	"ELECTRIC_TWEAKS_HANDLER_FULLSWEEP_AFTER",
	"ELECTRIC_TWEAKS_HTTP_API_NUM_ACCEPTORS",
	"ELECTRIC_TWEAKS_PROCESS_REGISTRY_PARTITIONS",
	"ELECTRIC_TWEAKS_SCHEMA_RECONCILER_PERIOD",
	"ELECTRIC_USAGE_REPORTING",
};

/* ---- values ---- */

struct parse {
	struct cu_options *out;
	cu_buf *err;
	unsigned errors;
};

static void complain(struct parse *parse, const struct option *option, const char *source, const char *value,
		     const char *what)
{
	if (parse->errors++)
		cu_buf_putc(parse->err, '\n');
	cu_buf_printf(parse->err, "%s: ", source);
	if (option->secret)
		cu_buf_printf(parse->err, "its value is not %s", what);
	else
		cu_buf_printf(parse->err, "\"%s\" is not %s", value, what);
}

static bool parse_number(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = value;
	return true;
}

static bool parse_bool(const char *text, bool *ret_value)
{
	static const char *const words[] = { "false", "true", "0", "1", "no", "yes", "off", "on" };

	for (size_t i = 0; i < CU_ARRAY_LEN(words); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*ret_value = i % 2;
			return true;
		}
	}
	return false;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit time_units[] = { { "", 1 },        { "ms", 1 },      { "msec", 1 },
					  { "s", 1000 },    { "sec", 1000 },  { "m", 60000 },
					  { "min", 60000 }, { "h", 3600000 }, { NULL, 0 } };
static const struct unit size_units[] = {
	{ "", 1 },          { "KB", 1000 },       { "KiB", 1024 },       { "MB", 1000000 },
	{ "MiB", 1048576 }, { "GB", 1000000000 }, { "GiB", 1073741824 }, { NULL, 0 }
};

/* A decimal number, maybe with a fraction, blanks, a unit: "30s", "1.5 m", "20000". Six digits of fraction count. */
static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *ret_value)
{
	uint64_t whole = 0, fraction = 0, scale = 1;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		whole = whole * 10 + (uint64_t)(*at - '0');
		if (whole > 1000000000000ull)
			return false;
	}
	if (at == text)
		return false;
	if (*at == '.') {
		at++;
		if (*at < '0' || *at > '9')
			return false;
		for (; *at >= '0' && *at <= '9'; at++) {
			if (scale < 1000000) {
				fraction = fraction * 10 + (uint64_t)(*at - '0');
				scale *= 10;
			}
		}
	}
	while (*at == ' ')
		at++;
	for (; units->name; units++) {
		if (strcmp(at, units->name) == 0) {
			if (whole > UINT64_MAX / units->factor / 2)
				return false;
			*ret_value = whole * units->factor + fraction * units->factor / scale;
			return true;
		}
	}
	return false;
}

static void set_string(struct parse *parse, const struct option *option, const char *value)
{
	char **field = (char **)(void *)((char *)parse->out + option->at);

	free(*field);
	*field = cu_xstrdup(value);
}

static void set_unsigned(struct parse *parse, const struct option *option, uint64_t value)
{
	*(unsigned *)(void *)((char *)parse->out + option->at) = (unsigned)value;
}

static void set_range(struct parse *parse, const struct option *option, const char *source, const char *text)
{
	char what[160];
	uint64_t value = 0;
	bool good = false;

	switch (option->type) {
	case TYPE_UNSIGNED:
		good = parse_number(text, &value);
		snprintf(what, sizeof what, "a number between %" PRIu64 " and %" PRIu64, option->min, option->max);
		break;
	case TYPE_DURATION:
		good = parse_with_unit(text, time_units, &value);
		snprintf(what, sizeof what, "a time between %" PRIu64 " ms and %" PRIu64 " s, like 500ms, 30s or 2m",
			 option->min, option->max / 1000);
		break;
	default:
		good = parse_with_unit(text, size_units, &value);
		snprintf(what, sizeof what, "a size between %" PRIu64 " and %" PRIu64 " bytes, like 10485760 or 10MiB",
			 option->min, option->max);
		break;
	}
	if (!good || value < option->min || value > option->max)
		complain(parse, option, source, text, what);
	else if (option->type == TYPE_BYTES)
		*(uint64_t *)(void *)((char *)parse->out + option->at) = value;
	else
		set_unsigned(parse, option, value);
}

static void set_concurrency(struct parse *parse, const struct option *option, const char *source, const char *text)
{
	json_t *object = json_loads(text, 0, NULL), *value;
	unsigned initial = parse->out->max_requests_initial, existing = parse->out->max_requests_existing;
	bool good = json_is_object(object);
	const char *key;

	json_object_foreach(object, key, value)
	{
		json_int_t number = json_integer_value(value); /* 0 for anything else */

		if (number < (json_int_t)option->min || number > (json_int_t)option->max)
			good = false;
		else if (strcmp(key, "initial") == 0)
			initial = (unsigned)number;
		else if (strcmp(key, "existing") == 0)
			existing = (unsigned)number;
		else
			good = false;
	}
	json_decref(object);
	if (good) {
		parse->out->max_requests_initial = initial;
		parse->out->max_requests_existing = existing;
	} else {
		complain(parse, option, source, text,
			 "a JSON object like {\"initial\":300,\"existing\":10000} with numbers from 1 on");
	}
}

static void set_log_level(struct parse *parse, const struct option *option, const char *source, const char *text)
{
	static const char *const words[][2] = {
		{ "error", "error" },    { "warning", "warning" }, { "warn", "warning" },
		{ "info", "info" },      { "debug", "debug" },     { "notice", "info" },
		{ "critical", "error" }, { "alert", "error" },     { "emergency", "error" },
	};

	for (size_t i = 0; i < CU_ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i][0]) == 0) {
			set_string(parse, option, words[i][1]);
			return;
		}
	}
	complain(parse, option, source, text, "one of error, warning, info, debug");
}

static void set_stream_id(struct parse *parse, const struct option *option, const char *source, const char *text)
{
	size_t len = strlen(text);
	char *folded = cu_xstrdup(text);
	bool good = len > 0 && len <= STREAM_ID_LEN_MAX;

	for (size_t i = 0; i < len; i++) {
		if (folded[i] >= 'A' && folded[i] <= 'Z')
			folded[i] = (char)(folded[i] + ('a' - 'A'));
		if (!(folded[i] >= 'a' && folded[i] <= 'z') && !(folded[i] >= '0' && folded[i] <= '9' && i > 0) &&
		    folded[i] != '_')
			good = false;
	}
	if (good)
		set_string(parse, option, folded);
	else
		complain(parse, option, source, text,
			 "a name of at most 42 letters, digits and _ that does not start with a digit");
	free(folded);
}

/* libpq checks the rest; a scheme that it would take for a database's name is caught here. */
static void set_url(struct parse *parse, const struct option *option, const char *source, const char *text)
{
	bool uri = strncmp(text, "postgres://", 11) == 0 || strncmp(text, "postgresql://", 13) == 0;
	bool conninfo = !strstr(text, "://") && strchr(text, '=');

	if (!uri && !conninfo)
		complain(parse, option, source, text, "a URL that starts with postgresql://");
	else if (strstr(text, "replication="))
		complain(parse, option, source, text,
			 "free of replication=…: both kinds of connections are opened as needed");
	else
		set_string(parse, option, text);
}

static void set_value(struct parse *parse, const struct option *option, const char *source, const char *text)
{
	bool flag;

	switch (option->type) {
	case TYPE_STRING: set_string(parse, option, text); break;
	case TYPE_UNSIGNED:
	case TYPE_DURATION:
	case TYPE_BYTES: set_range(parse, option, source, text); break;
	case TYPE_BOOL:
		if (parse_bool(text, &flag))
			*((bool *)(void *)((char *)parse->out + option->at)) = flag;
		else
			complain(parse, option, source, text, "true or false");
		break;
	case TYPE_LOG_LEVEL: set_log_level(parse, option, source, text); break;
	case TYPE_LOG_FORMAT:
		if (strcmp(text, "text") == 0 || strcmp(text, "json") == 0)
			set_string(parse, option, text);
		else
			complain(parse, option, source, text, "text or json");
		break;
	case TYPE_STREAM_ID: set_stream_id(parse, option, source, text); break;
	case TYPE_URL: set_url(parse, option, source, text); break;
	case TYPE_CONCURRENCY: set_concurrency(parse, option, source, text); break;
	}
}

/* ---- sources ---- */

#define VARIABLE_LEN_MAX 64u
#define HELP_COLUMNS 80u

static void copper_variable(const struct option *option, char *ret_name)
{
	size_t at = (size_t)snprintf(ret_name, VARIABLE_LEN_MAX, "COPPER_%s", option->name);

	CU_ASSERT(at < VARIABLE_LEN_MAX);
	for (char *c = ret_name; *c; c++)
		*c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
}

/* The value of a variable; NULL when it is not set, or empty. */
static const char *lookup(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return (*env)[len + 1] ? *env + len + 1 : NULL;
	return NULL;
}

/* NULL: there is none. */
static const char *old_variable(const struct option *option)
{
	for (size_t i = 0; i < CU_ARRAY_LEN(old_variables); i++)
		if (old_variables[i].at == option->at)
			return old_variables[i].variable;
	return NULL;
}

static void parse_environment(struct parse *parse, char *const *env, const bool *from_flag)
{
	char name[VARIABLE_LEN_MAX];

	for (size_t i = 0; i < OPTIONS_LEN; i++) {
		const struct option *option = &options[i];
		const char *value;

		if (option->def)
			set_value(parse, option, option->name, option->def);
		if (from_flag[i])
			continue;
		copper_variable(option, name);
		value = lookup(env, name);
		if (value) {
			set_value(parse, option, name, value);
		} else if (option->electric && (value = lookup(env, option->electric))) {
			set_value(parse, option, option->electric, value);
		} else if (old_variable(option) && (value = lookup(env, old_variable(option)))) {
			set_value(parse, option, old_variable(option), value);
		}
	}
}

static const struct option *find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < OPTIONS_LEN; i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return &options[i];
	return NULL;
}

static void argument_error(struct parse *parse, const char *argument, size_t len, const char *what)
{
	if (parse->errors++)
		cu_buf_putc(parse->err, '\n');
	cu_buf_append(parse->err, argument, len);
	cu_buf_printf(parse->err, ": %s", what);
}

struct argument {
	const struct option *option;
	const char *value;
	char source[VARIABLE_LEN_MAX];
};

/* Reads the argument at *at, and its value behind it if it stands there; moves *at to the next. */
static bool next_argument(struct parse *parse, int argc, char *const *argv, int *at, struct argument *ret)
{
	const char *text = argv[(*at)++];
	const char *equals = strchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);

	if (strncmp(text, "--", 2) != 0) {
		argument_error(parse, text, CU_MIN(strlen(text), (size_t)40), "unexpected argument; see copper --help");
		return false;
	}
	ret->option = find_option(text + 2, len - 2);
	if (!ret->option) {
		argument_error(parse, text, len, "no such option; see copper --help");
		return false;
	}
	snprintf(ret->source, sizeof ret->source, "--%s", ret->option->name);
	if (equals) {
		ret->value = equals + 1;
	} else if (ret->option->type == TYPE_BOOL) {
		/* A bare switch is on. A value takes an equals sign, or it would swallow the next argument. */
		ret->value = "true";
	} else if (*at < argc) {
		ret->value = argv[(*at)++];
	} else {
		argument_error(parse, text, len, "its value is missing");
		return false;
	}
	return true;
}

static int find_help(int argc, char *const *argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return CU_OPTIONS_HELP;
		if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
			return CU_OPTIONS_VERSION;
	}
	return CU_OPTIONS_RUN;
}

/* Two rounds: the first learns which options are given by flag, because the environment comes before the flags but
 * must not be complained about where a flag overrides it. */
static void parse_arguments(struct parse *parse, int argc, char *const *argv, char *const *env)
{
	bool from_flag[OPTIONS_LEN] = { false };
	struct argument argument;
	struct parse quiet = { parse->out, parse->err, 0 };
	cu_buf unheard = CU_BUF_INIT;

	quiet.err = &unheard;
	for (int at = 1; at < argc;)
		if (next_argument(&quiet, argc, argv, &at, &argument))
			from_flag[argument.option - options] = true;
	cu_buf_fini(&unheard);
	parse_environment(parse, env, from_flag);
	for (int at = 1; at < argc;)
		if (next_argument(parse, argc, argv, &at, &argument))
			set_value(parse, argument.option, argument.source, argument.value);
}

/* ---- warnings ---- */

static bool is_name(const char *known, const char *name, size_t len)
{
	return known && strlen(known) == len && memcmp(known, name, len) == 0;
}

static bool is_known(const char *name, size_t len, const char **ret_note)
{
	char copper[VARIABLE_LEN_MAX];

	for (size_t i = 0; i < OPTIONS_LEN; i++) {
		copper_variable(&options[i], copper);
		if (is_name(copper, name, len) || is_name(options[i].electric, name, len) ||
		    is_name(old_variable(&options[i]), name, len))
			return true;
	}
	for (size_t i = 0; i < CU_ARRAY_LEN(ignored); i++) {
		if (strlen(ignored[i].name) == len && memcmp(ignored[i].name, name, len) == 0) {
			*ret_note = ignored[i].note;
			return true;
		}
	}
	for (size_t i = 0; i < CU_ARRAY_LEN(silent); i++)
		if (strlen(silent[i]) == len && memcmp(silent[i], name, len) == 0)
			return true;
	return false;
}

static void warn(struct cu_options *out, const char *name, size_t len, const char *note)
{
	cu_buf text = CU_BUF_INIT;
	char *line;

	cu_buf_append(&text, name, len);
	if (note)
		cu_buf_printf(&text, " has no effect here: %s", note);
	else
		cu_buf_puts(&text, " is not known, and ignored");
	line = cu_buf_steal(&text, NULL);
	if (!line)
		return;
	out->warnings = cu_xrealloc(out->warnings, (out->warnings_len + 1) * sizeof *out->warnings);
	out->warnings[out->warnings_len++] = line;
}

static void warn_about_environment(struct cu_options *out, char *const *env)
{
	for (; *env; env++) {
		size_t len = strcspn(*env, "=");
		const char *note = NULL;
		bool ours = strncmp(*env, "ELECTRIC_", 9) == 0 || strncmp(*env, "COPPER_", 7) == 0;
		bool known;

		if ((*env)[len] == '\0' || (*env)[len + 1] == '\0')
			continue;
		known = is_known(*env, len, &note);
		if (note || (ours && !known))
			warn(out, *env, len, note);
	}
}

/* ---- together ---- */

static void general_error(struct parse *parse, const char *text)
{
	if (parse->errors++)
		cu_buf_putc(parse->err, '\n');
	cu_buf_puts(parse->err, text);
}

static void finish(struct parse *parse)
{
	struct cu_options *out = parse->out;
	long cores;

	if (!out->database_url && parse->errors == 0)
		general_error(parse, "DATABASE_URL: not set. Say which Postgres to follow: DATABASE_URL=postgresql://… "
				     "or --database-url");
	if (out->secret && *out->secret == '\0') {
		free(out->secret);
		out->secret = NULL;
	}
	if (out->insecure && out->secret)
		general_error(parse, "ELECTRIC_SECRET and ELECTRIC_INSECURE are both set: choose one (--secret or "
				     "--insecure)");
	else if (!out->insecure && !out->secret)
		general_error(parse, "ELECTRIC_SECRET: not set. Requests must carry a secret; set ELECTRIC_SECRET, or "
				     "start with --insecure (ELECTRIC_INSECURE=true) to let everyone who reaches the "
				     "port read the database");
	if (!out->host || *out->host == '\0') {
		free(out->host);
		out->host = cu_xstrdup(out->listen_ipv6 ? "::" : "0.0.0.0");
	}
	if (out->threads == 0) {
		cores = sysconf(_SC_NPROCESSORS_ONLN);
		out->threads = cores < 1 ? 1 : (unsigned)CU_MIN(cores, (long)THREADS_MAX);
	}
}

int cu_options_parse(int argc, char *const *argv, char *const *env, struct cu_options *ret, cu_buf *err)
{
	struct parse parse = { ret, err, 0 };
	int wanted = find_help(argc, argv);

	memset(ret, 0, sizeof *ret);
	if (wanted != CU_OPTIONS_RUN)
		return wanted;
	parse_arguments(&parse, argc, argv, env);
	finish(&parse);
	if (parse.errors) {
		cu_options_fini(ret);
		return CU_EINVAL;
	}
	warn_about_environment(ret, env);
	return CU_OPTIONS_RUN;
}

static bool is_text(enum type type)
{
	return type == TYPE_STRING || type == TYPE_LOG_LEVEL || type == TYPE_LOG_FORMAT || type == TYPE_STREAM_ID ||
	       type == TYPE_URL;
}

void cu_options_fini(struct cu_options *out)
{
	for (size_t i = 0; i < OPTIONS_LEN; i++)
		if (is_text(options[i].type))
			free(*(char **)(void *)((char *)out + options[i].at));
	for (size_t i = 0; i < out->warnings_len; i++)
		free(out->warnings[i]);
	free(out->warnings);
	memset(out, 0, sizeof *out);
}

/* ---- texts ---- */

/* Appends text with indent before each line, broken at spaces so that it fits a terminal of 80 columns. */
static void put_wrapped(cu_buf *out, const char *indent, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (column > 0 && column + 1 + word > HELP_COLUMNS) {
			cu_buf_putc(out, '\n');
			column = 0;
		}
		if (column == 0) {
			cu_buf_puts(out, indent);
			column = strlen(indent);
		} else {
			cu_buf_putc(out, ' ');
			column++;
		}
		cu_buf_append(out, text, word);
		column += word;
		text += word;
		text += strspn(text, " ");
	}
	cu_buf_putc(out, '\n');
}

static void put_help(cu_buf *out, const struct option *option)
{
	char variable[VARIABLE_LEN_MAX];
	cu_buf text = CU_BUF_INIT;

	copper_variable(option, variable);
	cu_buf_printf(&text, "  --%s  (%s", option->name, variable);
	if (option->electric)
		cu_buf_printf(&text, ",%s%s",
			      text.len + strlen(", )") + strlen(option->electric) <= HELP_COLUMNS ? " " : "\n      ",
			      option->electric);
	cu_buf_printf(out, "%s)\n", cu_buf_str(&text));
	cu_buf_clear(&text);
	cu_buf_puts(&text, option->help);
	if (option->def)
		cu_buf_printf(&text, " [%s]", option->def);
	put_wrapped(out, "      ", cu_buf_str(&text));
	cu_buf_fini(&text);
}

void cu_options_help(cu_buf *ret_text)
{
	cu_buf_puts(ret_text, "copper " COPPER_VERSION ": a sync engine for Postgres\n\n"
			      "usage: DATABASE_URL=postgresql://user:password@host/db COPPER_SECRET=... copper\n"
			      "       copper check DIR               is a stopped server's storage whole?\n"
			      "       copper inspect [--json] DIR    what is in it\n\n"
			      "Each option is a flag (--name value or --name=value) or a variable. A flag\n"
			      "comes before a COPPER_ variable, that before Electric's. A flag can be seen by\n"
			      "everyone who may list processes: give secrets as variables.\n");
	for (int group = 0; group < GROUP_COUNT; group++) {
		cu_buf_printf(ret_text, "\n%s\n", group_names[group]);
		for (size_t i = 0; i < OPTIONS_LEN; i++) {
			const struct option *option = &options[i];

			if ((int)option->group != group)
				continue;
			put_help(ret_text, option);
		}
	}
	cu_buf_puts(ret_text, "\n  --help, --version\n");
}

void cu_options_markdown(cu_buf *ret_text)
{
	char variable[VARIABLE_LEN_MAX];

	for (int group = 0; group < GROUP_COUNT; group++) {
		cu_buf_printf(ret_text, "%s## %s\n\n| flag | variables | default | what |\n| --- | --- | --- | --- |\n",
			      group ? "\n" : "", group_names[group]);
		for (size_t i = 0; i < OPTIONS_LEN; i++) {
			const struct option *option = &options[i];

			if ((int)option->group != group)
				continue;
			copper_variable(option, variable);
			cu_buf_printf(ret_text, "| `--%s` | `%s`", option->name, variable);
			if (option->electric)
				cu_buf_printf(ret_text, ", `%s`", option->electric);
			if (option->def)
				cu_buf_printf(ret_text, " | `%s` | %s |\n", option->def, option->help);
			else
				cu_buf_printf(ret_text, " | | %s |\n", option->help);
		}
	}
	cu_buf_puts(ret_text, "\n## Electric's variables without effect here\n\n"
			      "Each of these gives a warning when set.\n\n"
			      "| variable | instead |\n| --- | --- |\n");
	for (size_t i = 0; i < CU_ARRAY_LEN(ignored); i++)
		cu_buf_printf(ret_text, "| `%s` | %s |\n", ignored[i].name, ignored[i].note);
}
