/* conn.c: see conn.h. Connecting uses libpq's polling interface, so that a stop request ends it at once. */
#include "pg/conn.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define CONFIG_MAGIC 0x5c0a7f11u
#define CONFIG_PARAMS_OWN 7 /* what connect adds to the URL's parameters, with the terminator */

struct cu_pg_config {
	unsigned magic;
	PQconninfoOption *options; /* as parsed; values NULL when not in the URL and without a default */
	unsigned options_len;
	bool pooled;
};

/* Sent as one simple query: one round trip. The time-outs a role may have by default would end a snapshot of a large
 * table, or the idle session that holds the lock. */
static const char session_settings[] =
	"SET bytea_output = 'hex'; SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; "
	"SET extra_float_digits = 1; SET IntervalStyle = 'iso_8601'; SET statement_timeout = 0; SET lock_timeout = 0; "
	"SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0";

/* A server that notices our death ends the statement it runs for us. Not every platform's server can. */
static const char check_interval[] = "SET client_connection_check_interval = '2s'";

/* Readable: this thread's statements and connection attempts end with CU_ECLOSED. */
static _Thread_local int thread_cancel_fd = -1;
static _Thread_local int thread_job_cancel_fd = -1;

/* Copies without splitting a UTF-8 character, and without the newline that libpq puts at the end. */
static void text_copy(char *out, size_t size, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	if (len >= size) {
		len = size - 1;
		while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	if (len)
		memcpy(out, text, len);
	out[len] = '\0';
}

void cu_pg_error_clear(struct cu_pg_error *err)
{
	memset(err, 0, sizeof *err);
}

static bool starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static enum cu_pg_kind kind_of_sqlstate(const char *state)
{
	if (starts(state, "08") || strcmp(state, "57P01") == 0 || strcmp(state, "57P02") == 0 ||
	    strcmp(state, "57P03") == 0 || strcmp(state, "57P05") == 0)
		return CU_PG_LOST;
	if (starts(state, "28") || strcmp(state, "42501") == 0)
		return CU_PG_PERMISSION;
	if (starts(state, "53") || starts(state, "40") || strcmp(state, "55P03") == 0 || strcmp(state, "55006") == 0)
		return CU_PG_BUSY;
	if (strcmp(state, "57014") == 0)
		return CU_PG_CANCELED;
	if (strcmp(state, "3D000") == 0 || strcmp(state, "57P04") == 0)
		return CU_PG_CONFIG;
	return CU_PG_QUERY;
}

int cu_pg_error_of(PGconn *conn, const PGresult *result, struct cu_pg_error *err)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;

	cu_pg_error_clear(err);
	if (state) {
		text_copy(err->sqlstate, sizeof err->sqlstate, state);
		text_copy(err->message, sizeof err->message, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
		text_copy(err->detail, sizeof err->detail, PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
		text_copy(err->hint, sizeof err->hint, PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
		err->kind = kind_of_sqlstate(state);
	} else {
		const char *text = result ? PQresultErrorMessage(result) : "";

		if (*text == '\0' && conn)
			text = PQerrorMessage(conn);
		text_copy(err->message, sizeof err->message, *text ? text : "unexpected answer of the server");
		err->kind = CU_PG_QUERY;
	}
	/* An error that took the connection along is a lost connection, whatever its code. */
	if (!conn || PQstatus(conn) != CONNECTION_OK)
		err->kind = err->kind == CU_PG_PERMISSION ? CU_PG_PERMISSION : CU_PG_LOST;
	return CU_EPG;
}

int cu_pg_error_set(struct cu_pg_error *err, int code, enum cu_pg_kind kind, const char *sqlstate, const char *fmt, ...)
{
	cu_buf text = CU_BUF_INIT;
	va_list args;

	cu_pg_error_clear(err);
	va_start(args, fmt);
	cu_buf_vprintf(&text, fmt, args);
	va_end(args);
	text_copy(err->message, sizeof err->message, cu_buf_str(&text));
	text_copy(err->sqlstate, sizeof err->sqlstate, sqlstate);
	err->kind = kind;
	cu_buf_fini(&text);
	return code;
}

bool cu_pg_error_is_data(const struct cu_pg_error *err)
{
	/* Classes data exception and program limit exceeded; the rest is found out only when a collation is used: not
	 * supported, indeterminate. */
	static const char *const prefixes[] = { "22", "54", "0A000", "42P22" };

	for (size_t i = 0; err->kind == CU_PG_QUERY && i < CU_ARRAY_LEN(prefixes); i++) {
		if (strncmp(err->sqlstate, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return false;
}

const char *cu_pg_error_text(const struct cu_pg_error *err, char *out, size_t size)
{
	cu_buf text = CU_BUF_INIT;

	cu_buf_puts(&text, err->message[0] ? err->message : "no error");
	if (err->detail[0])
		cu_buf_printf(&text, " (%s)", err->detail);
	if (err->hint[0])
		cu_buf_printf(&text, " [%s]", err->hint);
	if (err->sqlstate[0])
		cu_buf_printf(&text, " SQLSTATE %s", err->sqlstate);
	text_copy(out, size, cu_buf_str(&text));
	cu_buf_fini(&text);
	return out;
}

static const char *config_value(const cu_pg_config *config, const char *key)
{
	for (unsigned i = 0; i < config->options_len; i++)
		if (strcmp(config->options[i].keyword, key) == 0)
			return config->options[i].val ? config->options[i].val : "";
	return "";
}

/* One port or a list of them, one a host; libpq looks at them only when it connects, and then again and again. */
static bool ports_good(const char *ports)
{
	while (*ports) {
		size_t len = strcspn(ports, ",");

		if (len > 0) {
			char *end;
			unsigned long port = strtoul(ports, &end, 10);

			if (*ports < '0' || *ports > '9' || end != ports + len || port == 0 || port > UINT16_MAX)
				return false;
		}
		ports += len;
		ports += *ports == ',';
	}
	return true;
}

int cu_pg_config_new(const char *url, cu_pg_config **ret_config, struct cu_pg_error *err)
{
	cu_pg_config *config = NULL;
	PQconninfoOption *options = NULL;
	char *message = NULL;
	int rc;

	if (!url || !*url) {
		rc = cu_pg_error_set(
			err, CU_EINVAL, CU_PG_CONFIG, NULL,
			"the database URL is empty: set DATABASE_URL to postgresql://user:password@host:port/database");
		goto out;
	}
	options = PQconninfoParse(url, &message);
	if (!options) {
		/* libpq quotes the piece it stumbled over, which may hold the password when its special characters are
		 * not escaped: say only what is safe. */
		bool shown = message && !strchr(url, '@') && !strstr(url, "password");

		rc = cu_pg_error_set(
			err, CU_EINVAL, CU_PG_CONFIG, NULL, "the database URL cannot be read%s%s%s", shown ? ": " : "",
			shown ? message : "",
			shown ? ""
			      : ": expected postgresql://user:password@host:port/database?options with special "
				"characters percent-encoded");
		goto out;
	}
	config = cu_xzalloc(sizeof *config);
	config->magic = CONFIG_MAGIC;
	config->options = options;
	options = NULL;
	while (config->options[config->options_len].keyword)
		config->options_len++;
	if (*config_value(config, "replication")) {
		rc = cu_pg_error_set(
			err, CU_EINVAL, CU_PG_CONFIG, NULL,
			"the database URL must not set \"replication\": it is used for ordinary connections too");
		goto out;
	}
	if (!ports_good(config_value(config, "port"))) {
		/* Not shown: behind a password with a '/' or '@' that is not escaped, it may be a piece of that. */
		rc = cu_pg_error_set(err, CU_EINVAL, CU_PG_CONFIG, NULL,
				     "the database URL's port is not a number between 1 and 65535");
		goto out;
	}
	cu_pg_error_clear(err);
	*ret_config = config;
	config = NULL;
	rc = 0;
out:
	PQfreemem(message);
	PQconninfoFree(options);
	cu_pg_config_free(&config);
	return rc;
}

void cu_pg_config_free(cu_pg_config **config_at)
{
	cu_pg_config *config = *config_at;

	if (!config)
		return;
	CU_ASSERT(config->magic == CONFIG_MAGIC);
	*config_at = NULL;
	config->magic = 0;
	PQconninfoFree(config->options);
	free(config);
}

void cu_pg_config_set_pooled(cu_pg_config *config)
{
	config->pooled = true;
}

static void config_set(cu_pg_config *config, const char *keyword, const char *value)
{
	for (unsigned i = 0; i < config->options_len; i++) {
		PQconninfoOption *option = &config->options[i];

		if (strcmp(option->keyword, keyword) != 0)
			continue;
		free(option->val); /* libpq's are malloc()ed, and freed as such */
		option->val = cu_xstrdup(value);
	}
}

void cu_pg_config_set_default(cu_pg_config *config, const char *keyword, const char *value)
{
	if (!*config_value(config, keyword))
		config_set(config, keyword, value);
}

int cu_pg_config_set_ca(cu_pg_config *config, const char *ca_file, struct cu_pg_error *err)
{
	const char *mode = config_value(config, "sslmode");

	if (strcmp(mode, "disable") == 0)
		return cu_pg_error_set(err, CU_EINVAL, CU_PG_CONFIG, NULL,
				       "there is a CA certificate file to verify the server with, but the database URL "
				       "says sslmode=disable: leave sslmode out");
	if (strcmp(mode, "verify-ca") != 0)
		config_set(config, "sslmode", "verify-full");
	config_set(config, "sslrootcert", ca_file);
	return 0;
}

const char *cu_pg_config_host(const cu_pg_config *config)
{
	return config_value(config, "host");
}

const char *cu_pg_config_dbname(const cu_pg_config *config)
{
	return config_value(config, "dbname");
}

/* Notices (a name that was truncated, a publication that exists) are not ours to print on standard error as they
 * are. */
static void notice(void *arg, const char *message)
{
	(void)arg;
	cu_debug("postgres notice", CU_KV("text", message));
}

/* Where libpq's text has "  28P01: ": the server's word for why it refuses us. NULL: it did not come so far. */
static const char *sqlstate_at(const char *text)
{
	while ((text = strstr(text, ":  "))) {
		const char *state = text + 3;

		if (strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && state[5] == ':')
			return state;
		text++;
	}
	return NULL;
}

/* Why there is no connection: with the SQLSTATE, and with what helps where it does not pass by itself. */
static int connect_error(PGconn *conn, struct cu_pg_error *err)
{
	const char *text = PQerrorMessage(conn), *state = sqlstate_at(text);
	cu_buf message = CU_BUF_INIT;
	char sqlstate[6] = "";
	enum cu_pg_kind kind = CU_PG_LOST;
	const char *hint = "";

	if (state) {
		const char *end = strchr(state, '\n'); /* the rest says where in the server's sources */

		memcpy(sqlstate, state, 5);
		kind = kind_of_sqlstate(sqlstate);
		cu_buf_append(&message, text, (size_t)(state - text));
		cu_buf_append(&message, state + 7, end ? (size_t)(end - state - 7) : strlen(state + 7));
	} else {
		cu_buf_puts(&message, text);
		if (strstr(text, "certificate")) {
			kind = CU_PG_CONFIG;
			hint = "the server's certificate was not accepted: see ELECTRIC_DATABASE_CA_CERTIFICATE_FILE, "
			       "sslrootcert and the host's name in the database URL";
		} else if (strstr(text, "does not support SSL")) {
			kind = CU_PG_CONFIG;
			hint = "switch ssl on in the server, or take sslmode out of the database URL";
		} else if (strncmp(text, "invalid ", strlen("invalid ")) == 0) { /* libpq's, of an option */
			kind = CU_PG_CONFIG;
			hint = "see the options in the database URL";
		}
	}
	if (kind == CU_PG_PERMISSION)
		hint = "see user and password in the database URL, and the server's pg_hba.conf";
	cu_pg_error_set(err, CU_EPG, kind, sqlstate, "%s", cu_buf_str(&message));
	text_copy(err->hint, sizeof err->hint, hint);
	cu_buf_fini(&message);
	return CU_EPG;
}

/* Drives the connection attempt to its end. 0, CU_EPG, CU_ECLOSED. */
static int connect_poll(PGconn *conn, int cancel_fd, struct cu_pg_error *err)
{
	uint64_t deadline = cu_now_ms() + CU_PG_CONNECT_TIMEOUT_S * 1000u;
	PostgresPollingStatusType want = PGRES_POLLING_WRITING;

	while (want != PGRES_POLLING_OK) {
		struct pollfd fds[2] = {
			{ .fd = PQsocket(conn), .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT },
			{ .fd = cancel_fd, .events = POLLIN },
		};
		uint64_t now = cu_now_ms();
		int n;

		if (want == PGRES_POLLING_FAILED || PQstatus(conn) == CONNECTION_BAD)
			return connect_error(conn, err);
		if (now >= deadline)
			return cu_pg_error_set(err, CU_EPG, CU_PG_LOST, NULL,
					       "no connection to the database within %u s", CU_PG_CONNECT_TIMEOUT_S);
		n = poll(fds, 2, (int)(deadline - now));
		if (n < 0 && errno != EINTR)
			return cu_pg_error_set(err, CU_EPG, CU_PG_LOST, NULL, "poll: %s", strerror(errno));
		if (n > 0 && fds[1].revents)
			return cu_pg_error_set(err, CU_ECLOSED, CU_PG_CANCELED, NULL, "stopping");
		if (n > 0 && fds[0].revents)
			want = PQconnectPoll(conn);
	}
	return 0;
}

int cu_pg_connect(const cu_pg_config *config, enum cu_pg_mode mode, int cancel_fd, PGconn **ret_conn,
		  struct cu_pg_error *err)
{
	const char **keys = cu_xzalloc((config->options_len + CONFIG_PARAMS_OWN) * sizeof *keys);
	const char **values = cu_xzalloc((config->options_len + CONFIG_PARAMS_OWN) * sizeof *values);
	PGconn *conn = NULL;
	unsigned n = 0;
	int rc;

	CU_ASSERT(config->magic == CONFIG_MAGIC);
	keys[n] = "fallback_application_name";
	values[n++] = "copper";
	for (unsigned i = 0; i < config->options_len; i++) {
		if (!config->options[i].val)
			continue;
		keys[n] = config->options[i].keyword;
		values[n++] = config->options[i].val;
	}
	/* A later key wins over an earlier one. */
	keys[n] = "client_encoding";
	values[n++] = "UTF8";
	keys[n] = "keepalives_idle"; /* a silent peer is noticed in about a minute, not in two hours */
	values[n++] = *config_value(config, "keepalives_idle") ? config_value(config, "keepalives_idle") : "30";
	keys[n] = "keepalives_interval";
	values[n++] = *config_value(config, "keepalives_interval") ? config_value(config, "keepalives_interval") : "10";
	keys[n] = "keepalives_count";
	values[n++] = *config_value(config, "keepalives_count") ? config_value(config, "keepalives_count") : "3";
	if (mode == CU_PG_REPLICATION) {
		keys[n] = "replication";
		values[n++] = "database";
	}
	conn = PQconnectStartParams(keys, values, 0);
	if (!conn) {
		rc = cu_pg_error_set(err, CU_EPG, CU_PG_LOST, NULL, "out of memory for a connection");
		goto out;
	}
	PQsetNoticeProcessor(conn, notice, NULL);
	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* the only way to the SQLSTATE of a refusal */
	rc = connect_poll(conn, cancel_fd, err);
	if (rc < 0)
		goto out;
	PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
	/* Older servers do not know all the settings; preflight refuses them in clear words. */
	if (!config->pooled && PQserverVersion(conn) >= 140000) {
		rc = cu_pg_exec(conn, session_settings, NULL, err);
		if (rc == 0 && PQserverVersion(conn) >= 170000)
			rc = cu_pg_exec(conn, "SET transaction_timeout = 0", NULL, err);
		if (rc < 0)
			goto out;
		rc = cu_pg_exec(conn, check_interval, NULL, err);
		if (rc == CU_EPG && err->kind != CU_PG_LOST)
			rc = 0;
		if (rc < 0)
			goto out;
	}
	cu_pg_error_clear(err);
	*ret_conn = conn;
	conn = NULL;
out:
	PQfinish(conn);
	free(keys);
	free(values);
	return rc;
}

/* Waits for the statement's last result. NULL when the connection is beyond use; *ret_cancelled when the thread's
 * cancel descriptor ended the wait (then the connection must be closed, a result is still on its way). */
static PGresult *result_wait(PGconn *conn, bool *ret_cancelled)
{
	PGresult *last = NULL, *next;

	for (;;) {
		ExecStatusType status;

		while (PQisBusy(conn)) {
			struct pollfd fds[3] = {
				{ .fd = PQsocket(conn), .events = POLLIN },
				{ .fd = thread_cancel_fd, .events = POLLIN },
				{ .fd = thread_job_cancel_fd, .events = POLLIN },
			};
			int n = poll(fds, 3, -1);

			if (n > 0 && (fds[1].revents || fds[2].revents)) {
				*ret_cancelled = true;
				PQclear(last);
				return NULL;
			}
			/* A failure shows as a result of its own or as a bad connection. */
			if (n > 0 && fds[0].revents && !PQconsumeInput(conn) && PQstatus(conn) != CONNECTION_OK)
				return last;
		}
		next = PQgetResult(conn);
		if (!next)
			return last;
		/* As PQexec() does: the last result counts, but an error is not hidden by what follows it. */
		if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
			PQclear(next);
		} else {
			PQclear(last);
			last = next;
		}
		status = PQresultStatus(last);
		if (status == PGRES_COPY_OUT || status == PGRES_COPY_IN || status == PGRES_COPY_BOTH ||
		    PQstatus(conn) != CONNECTION_OK)
			return last;
	}
}

static int result_take(PGconn *conn, int sent, PGresult **ret_result, struct cu_pg_error *err)
{
	bool cancelled = false;
	PGresult *result = sent ? result_wait(conn, &cancelled) : NULL;

	if (cancelled)
		return cu_pg_error_set(err, CU_ECLOSED, CU_PG_CANCELED, NULL, "stopping");
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH: break;
	default:
		cu_pg_error_of(conn, result, err);
		PQclear(result);
		return CU_EPG;
	}
	if (ret_result)
		*ret_result = result;
	else
		PQclear(result);
	return 0;
}

void cu_pg_thread_cancel_fd(int fd)
{
	thread_cancel_fd = fd;
}

void cu_pg_thread_job_cancel_fd(int fd)
{
	thread_job_cancel_fd = fd;
}

int cu_pg_thread_job_cancel_fd_get(void)
{
	return thread_job_cancel_fd;
}

bool cu_pg_thread_pause(unsigned ms)
{
	struct pollfd fd = { .fd = thread_cancel_fd, .events = POLLIN };

	return poll(&fd, 1, (int)ms) <= 0;
}

int cu_pg_exec(PGconn *conn, const char *sql, PGresult **ret_result, struct cu_pg_error *err)
{
	return result_take(conn, PQsendQuery(conn, sql), ret_result, err);
}

int cu_pg_query(PGconn *conn, const char *sql, int nparams, const char *const *params, PGresult **ret_result,
		struct cu_pg_error *err)
{
	return result_take(conn, PQsendQueryParams(conn, sql, nparams, NULL, params, NULL, NULL, 0), ret_result, err);
}

int cu_pg_execf(PGconn *conn, PGresult **ret_result, struct cu_pg_error *err, const char *fmt, ...)
{
	cu_buf sql = CU_BUF_INIT;
	va_list args;
	int rc;

	va_start(args, fmt);
	cu_buf_vprintf(&sql, fmt, args);
	va_end(args);
	rc = cu_buf_failed(&sql) ? cu_pg_error_set(err, CU_ENOMEM, CU_PG_QUERY, NULL, "out of memory")
				 : cu_pg_exec(conn, cu_buf_str(&sql), ret_result, err);
	cu_buf_fini(&sql);
	return rc;
}

static void put_quoted(cu_buf *buf, char quote, const char *text)
{
	cu_buf_putc(buf, quote);
	for (; *text; text++) {
		if (*text == quote)
			cu_buf_putc(buf, quote);
		cu_buf_putc(buf, *text);
	}
	cu_buf_putc(buf, quote);
}

void cu_pg_put_ident(cu_buf *buf, const char *name)
{
	put_quoted(buf, '"', name);
}

void cu_pg_put_relation(cu_buf *buf, const char *schema, const char *name)
{
	if (schema) {
		cu_pg_put_ident(buf, schema);
		cu_buf_putc(buf, '.');
	}
	cu_pg_put_ident(buf, name);
}

void cu_pg_put_literal(cu_buf *buf, const char *text)
{
	put_quoted(buf, '\'', text);
}
