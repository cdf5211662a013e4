/* conn.h: one connection to Postgres: what DATABASE_URL means, how we connect, how a failure reads.
 *
 * Threads: a configuration is immutable and may be shared; a PGconn belongs to one thread at a time. Every call that
 * talks to the server blocks: never from a thread that serves requests. The password is never logged nor put into an
 * error.
 *
 * Each connection gets the display settings of PROTOCOL.md ("Items"), so that a value reads the same in a snapshot and
 * in the stream. They are session settings: a pooler in transaction mode loses them, so whoever reads values runs
 * CU_PG_DISPLAY_SETTINGS_LOCAL inside its transaction (it costs no round trip when sent along). On a connection of a
 * configuration that is pooled, nothing is set outside a transaction: it would change somebody else's session.
 */
#ifndef CU_PG_CONN_H
#define CU_PG_CONN_H

#include "base/buf.h"

#include <libpq-fe.h>

#define CU_PG_DISPLAY_SETTINGS_LOCAL                                                                     \
	"SET LOCAL bytea_output = 'hex'; SET LOCAL DateStyle = 'ISO, DMY'; SET LOCAL TimeZone = 'UTC'; " \
	"SET LOCAL extra_float_digits = 1; SET LOCAL IntervalStyle = 'iso_8601'; "                       \
	"SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;"

/* What a failure means to the caller. */
enum cu_pg_kind {
	CU_PG_NONE = 0,
	CU_PG_LOST,       /* the connection broke or was never made: try again later */
	CU_PG_PERMISSION, /* the role may not do that: somebody must GRANT or ALTER ROLE */
	CU_PG_CONFIG,     /* the server or the URL must be set up differently; the message says how */
	CU_PG_BUSY,       /* a lock, a slot or a resource is taken: try again */
	CU_PG_CANCELED,   /* cancelled: by our stop request, a timeout or an administrator */
	CU_PG_QUERY,      /* Postgres refused this statement */
};

/* Texts are cut at a character's boundary when they do not fit. */
struct cu_pg_error {
	enum cu_pg_kind kind;
	char sqlstate[6]; /* "" when there is none, as with a refused connection */
	char message[768];
	char detail[512];
	char hint[256];
};

enum cu_pg_mode { CU_PG_ORDINARY, CU_PG_REPLICATION };

typedef struct cu_pg_config cu_pg_config;

/* url: postgres://…, postgresql://… or "host=… dbname=…". CU_EINVAL with a clear err when libpq cannot read it. */
int cu_pg_config_new(const char *url, cu_pg_config **ret_config, struct cu_pg_error *err);
void cu_pg_config_free(cu_pg_config **config);
/* Before the configuration is shared. It leads to a pooler in transaction mode: no session settings. */
void cu_pg_config_set_pooled(cu_pg_config *config);
/* A parameter of libpq's that holds where the URL has none. */
void cu_pg_config_set_default(cu_pg_config *config, const char *keyword, const char *value);
/* The server must show a certificate of an authority in that file, for the host's name (sslmode=verify-full, or
 * verify-ca where the URL says so). CU_EINVAL with err when the URL turns encryption off. */
int cu_pg_config_set_ca(cu_pg_config *config, const char *ca_file, struct cu_pg_error *err);
/* Borrowed, valid as long as the configuration; "" when not set. For logs. */
const char *cu_pg_config_host(const cu_pg_config *config);
const char *cu_pg_config_dbname(const cu_pg_config *config);

/* Connects and sets the display settings. cancel_fd: becoming readable aborts with CU_ECLOSED; -1 = none (name
 * resolution cannot be aborted). Returns owned (PQfinish). CU_EPG with err otherwise. */
int cu_pg_connect(const cu_pg_config *config, enum cu_pg_mode mode, int cancel_fd, PGconn **ret_conn,
		  struct cu_pg_error *err);

/* From now on cu_pg_exec() and its kin end with CU_ECLOSED in this thread as soon as fd is readable (-1 = never); the
 * connection must then be closed. For threads that must stop within a second. */
void cu_pg_thread_cancel_fd(int fd);
/* The same for the job that this thread has in hand, COPY included: nobody waits for it any more. */
void cu_pg_thread_job_cancel_fd(int fd);
int cu_pg_thread_job_cancel_fd_get(void);
/* Waits for ms; false at once when that descriptor is readable. For what must be asked again. */
bool cu_pg_thread_pause(unsigned ms);

/* Runs SQL (one statement, or several without parameters) and waits; the result is the last one's. ret_result may be
 * NULL; returns owned (PQclear). COPY … TO STDOUT gives PGRES_COPY_OUT: go on with PQgetCopyData. CU_EPG with err. */
int cu_pg_exec(PGconn *conn, const char *sql, PGresult **ret_result, struct cu_pg_error *err);
int cu_pg_query(PGconn *conn, const char *sql, int nparams, const char *const *params, PGresult **ret_result,
		struct cu_pg_error *err);
int cu_pg_execf(PGconn *conn, PGresult **ret_result, struct cu_pg_error *err, const char *fmt, ...) CU_PRINTF(4, 5);

/* Fills err from a failed result (may be NULL: then from the connection) and returns CU_EPG. */
int cu_pg_error_of(PGconn *conn, const PGresult *result, struct cu_pg_error *err);
/* Fills err with our own words and returns code. */
int cu_pg_error_set(struct cu_pg_error *err, int code, enum cu_pg_kind kind, const char *sqlstate, const char *fmt, ...)
	CU_PRINTF(5, 6);
void cu_pg_error_clear(struct cu_pg_error *err);
/* Is it what an expression makes of a row, like a division by zero, a text that is too long or a comparison that lacks a
 * collation? Asking again is no help. */
bool cu_pg_error_is_data(const struct cu_pg_error *err);
/* "message (detail) [hint] SQLSTATE 42501" into out; always terminated. Returns out. */
const char *cu_pg_error_text(const struct cu_pg_error *err, char *out, size_t size);

/* "name" → "\"name\"" with quotes doubled, appended to a buffer of the caller; schema may be NULL. */

void cu_pg_put_ident(cu_buf *buf, const char *name);
void cu_pg_put_relation(cu_buf *buf, const char *schema, const char *name);
void cu_pg_put_literal(cu_buf *buf, const char *text); /* '…', standard_conforming_strings on */

#endif
