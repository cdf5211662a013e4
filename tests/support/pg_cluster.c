/* pg_cluster.c: see pg_cluster.h. */
#include "pg_cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct pg_cluster {
	char dir[64];
	char bin[256];
	char url[256];
	char value[4096];
	int port;
	pid_t pid;
};

static bool bin_find(char *out, size_t size)
{
	const char *own = getenv("COPPER_TEST_PG_BIN");
	glob_t found;
	bool ok = false;

	if (own) {
		snprintf(out, size, "%s", own);
		return true;
	}
	if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0) {
		/* sorted: the last is the newest */
		snprintf(out, size, "%.*s", (int)(strlen(found.gl_pathv[found.gl_pathc - 1]) - strlen("/initdb")),
			 found.gl_pathv[found.gl_pathc - 1]);
		ok = true;
	}
	globfree(&found);
	return ok;
}

bool pg_cluster_available(void)
{
	char bin[256];

	return bin_find(bin, sizeof bin);
}

static void log_show(const struct pg_cluster *cluster)
{
	char path[128], buf[4096];
	size_t n;
	FILE *file;

	snprintf(path, sizeof path, "%s/log", cluster->dir);
	file = fopen(path, "r");
	while (file && (n = fread(buf, 1, sizeof buf, file)) > 0)
		fwrite(buf, 1, n, stderr);
	if (file)
		fclose(file);
}

static void __attribute__((noreturn, format(printf, 2, 3))) fail(struct pg_cluster *cluster, const char *fmt, ...)
{
	va_list args;

	log_show(cluster);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static int port_free(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof addr;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		abort();
	close(fd);
	return ntohs(addr.sin_port);
}

/* In the child: becomes the user postgres when it is root. */
static void user_drop(void)
{
	struct passwd *pw = geteuid() == 0 ? getpwnam("postgres") : NULL;

	if (pw && (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0))
		_exit(127);
}

static pid_t spawn(struct pg_cluster *cluster, const char *program, char *args[])
{
	char path[320], log[128];
	pid_t parent = getpid();
	pid_t pid;

	snprintf(path, sizeof path, "%s/%s", cluster->bin, program);
	args[0] = path; /* the programs find each other by it */
	snprintf(log, sizeof log, "%s/log", cluster->dir);
	pid = fork();
	if (pid == 0) {
		int fd;

		user_drop();
		prctl(PR_SET_PDEATHSIG, SIGQUIT);
		if (getppid() != parent || chdir(cluster->dir) < 0)
			_exit(127);
		fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		dup2(fd, 1);
		dup2(fd, 2);
		setpgid(0, 0);
		execv(path, args);
		_exit(127);
	}
	if (pid < 0)
		abort();
	return pid;
}

static void initdb(struct pg_cluster *cluster)
{
	char *args[] = { "initdb",           "-D", "data", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8",
			 "--locale=C.UTF-8", NULL };
	pid_t pid = spawn(cluster, "initdb", args);
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail(cluster, "initdb failed");
}

struct pg_cluster *pg_cluster_new(const char *conf)
{
	struct pg_cluster *cluster = calloc(1, sizeof *cluster);
	struct passwd *pw = geteuid() == 0 ? getpwnam("postgres") : NULL;
	char path[128];
	FILE *file;

	snprintf(cluster->dir, sizeof cluster->dir, "/tmp/cu-pg-XXXXXX");
	if (!mkdtemp(cluster->dir) || !bin_find(cluster->bin, sizeof cluster->bin))
		abort();
	if (pw && chown(cluster->dir, pw->pw_uid, pw->pw_gid) < 0)
		abort();
	initdb(cluster);
	cluster->port = port_free();
	snprintf(path, sizeof path, "%s/data/postgresql.conf", cluster->dir);
	file = fopen(path, "a");
	if (!file)
		fail(cluster, "postgresql.conf: %s", strerror(errno));
	fprintf(file,
		"\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = '%s'\nfsync = off\n"
		"wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nmax_prepared_transactions = "
		"10\nshared_buffers = 16MB\nmax_connections = 60\nautovacuum = off\n%s\n",
		cluster->port, cluster->dir, conf ? conf : "");
	fclose(file);
	pg_cluster_start(cluster);
	return cluster;
}

void pg_cluster_start(struct pg_cluster *cluster)
{
	char *args[] = { "postgres", "-D", "data", NULL };
	struct timespec start, now;

	cluster->pid = spawn(cluster, "postgres", args);
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (PQping(pg_cluster_url(cluster, NULL)) != PQPING_OK) {
		if (waitpid(cluster->pid, NULL, WNOHANG) == cluster->pid)
			fail(cluster, "postgres ended at its start");
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec > 60)
			fail(cluster, "postgres did not start");
		poll(NULL, 0, 20);
	}
}

void pg_cluster_stop(struct pg_cluster *cluster, bool immediate)
{
	int status;

	if (!cluster->pid)
		return;
	kill(cluster->pid, immediate ? SIGQUIT : SIGINT);
	waitpid(cluster->pid, &status, 0);
	cluster->pid = 0;
}

void pg_cluster_free(struct pg_cluster **cluster_at)
{
	struct pg_cluster *cluster = *cluster_at;
	char *args[] = { "rm", "-rf", NULL, NULL };
	pid_t pid;

	if (!cluster)
		return;
	*cluster_at = NULL;
	pg_cluster_stop(cluster, true);
	args[2] = cluster->dir;
	pid = fork();
	if (pid == 0) {
		execvp("rm", args);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	free(cluster);
}

const char *pg_cluster_url(struct pg_cluster *cluster, const char *user)
{
	snprintf(cluster->url, sizeof cluster->url, "postgresql://%s@127.0.0.1:%d/postgres", user ? user : "postgres",
		 cluster->port);
	return cluster->url;
}

int pg_cluster_version(struct pg_cluster *cluster)
{
	return atoi(pg_cluster_sql(cluster, "SHOW server_version_num"));
}

int pg_cluster_port(const struct pg_cluster *cluster)
{
	return cluster->port;
}

const char *pg_cluster_socket_dir(const struct pg_cluster *cluster)
{
	return cluster->dir;
}

const char *pg_cluster_sql(struct pg_cluster *cluster, const char *fmt, ...)
{
	PGconn *conn = PQconnectdb(pg_cluster_url(cluster, NULL));
	char *sql = NULL;
	PGresult *res;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&sql, fmt, args) < 0)
		abort();
	va_end(args);
	res = PQexec(conn, sql);
	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		fail(cluster, "%s: %s", sql, PQerrorMessage(conn));
	snprintf(cluster->value, sizeof cluster->value, "%s",
		 PQntuples(res) && PQnfields(res) ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(conn);
	free(sql);
	return cluster->value;
}

bool pg_cluster_until(struct pg_cluster *cluster, const char *sql, const char *want, unsigned timeout_ms)
{
	for (unsigned waited = 0;; waited += 20) {
		if (strcmp(pg_cluster_sql(cluster, "%s", sql), want) == 0)
			return true;
		if (waited >= timeout_ms)
			return false;
		poll(NULL, 0, 20);
	}
}
