/* pg_cluster.h: a private Postgres for a test: own directory, free port, loopback and unix socket only, trust, no
 * fsync.
 *
 * The server dies with the thread that started it (PR_SET_PDEATHSIG), so start it from main(). As root it runs as the
 * user postgres. Failures abort the test program with the server's log.
 */
#ifndef TEST_PG_CLUSTER_H
#define TEST_PG_CLUSTER_H

#include <stdbool.h>

struct pg_cluster;

/* False: no Postgres on this machine; skip. */
bool pg_cluster_available(void);
/* conf: lines for postgresql.conf, may be NULL; wal_level is logical unless they say otherwise. Started. */
struct pg_cluster *pg_cluster_new(const char *conf);
void pg_cluster_free(struct pg_cluster **cluster);
void pg_cluster_stop(struct pg_cluster *cluster, bool immediate);
void pg_cluster_start(struct pg_cluster *cluster);
/* postgresql://user@127.0.0.1:port/postgres; user NULL = postgres. Borrowed until the next call. */
const char *pg_cluster_url(struct pg_cluster *cluster, const char *user);
/* As PQserverVersion() says it: 150004. */
int pg_cluster_version(struct pg_cluster *cluster);
int pg_cluster_port(const struct pg_cluster *cluster);
const char *pg_cluster_socket_dir(const struct pg_cluster *cluster);
/* Runs statements on a connection of its own; aborts when one fails. The first field of the last result, "" when none;
 * borrowed until the next call. */
const char *pg_cluster_sql(struct pg_cluster *cluster, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Asks sql until its first field is want; false after timeout_ms. */
bool pg_cluster_until(struct pg_cluster *cluster, const char *sql, const char *want, unsigned timeout_ms);

#endif
