/* label: unit
 * Preflight, lock, publication and slot, against a private Postgres. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "pg/slot.h"

#include "pg_cluster.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct pg_cluster *cluster;
static cu_pg_config *config;
static struct cu_pg_error err;

static cu_pg_config *config_as(const char *user)
{
	cu_pg_config *out = NULL;

	assert_int_equal(cu_pg_config_new(pg_cluster_url(cluster, user), &out, &err), 0);
	return out;
}

static PGconn *connect_as(enum cu_pg_mode mode)
{
	PGconn *conn = NULL;

	assert_int_equal(cu_pg_connect(config, mode, -1, &conn, &err), 0);
	return conn;
}

static void preflight_tells_which_server_it_is(void **state)
{
	struct cu_pg_ident ident;

	(void)state;
	assert_int_equal(cu_pg_preflight(config, -1, &ident, &err), 0);
	assert_true(ident.version_num >= CU_PG_VERSION_MIN);
	assert_int_equal(ident.timeline, 1);
	assert_int_equal(ident.wal_sender_timeout_ms, 60000);
	assert_true(ident.flush_lsn > 0);
	assert_true(ident.system_id ==
		    strtoull(pg_cluster_sql(cluster, "SELECT system_identifier FROM pg_control_system()"), NULL, 10));
}

static void preflight_says_how_to_grant_replication(void **state)
{
	struct cu_pg_ident ident;
	cu_pg_config *plain;

	(void)state;
	pg_cluster_sql(cluster, "CREATE ROLE \"pl\"\"ain\" LOGIN");
	plain = config_as("pl%22ain");
	assert_int_equal(cu_pg_preflight(plain, -1, &ident, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_PERMISSION);
	assert_non_null(strstr(err.message, "ALTER ROLE \"pl\"\"ain\" REPLICATION"));
	cu_pg_config_free(&plain);
}

static void preflight_says_how_to_set_wal_level(void **state)
{
	struct pg_cluster *other = pg_cluster_new("wal_level = replica");
	cu_pg_config *other_config = NULL;
	struct cu_pg_ident ident;

	(void)state;
	assert_int_equal(cu_pg_config_new(pg_cluster_url(other, NULL), &other_config, &err), 0);
	assert_int_equal(cu_pg_preflight(other_config, -1, &ident, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_CONFIG);
	assert_non_null(strstr(err.message, "ALTER SYSTEM SET wal_level = logical and restart"));
	/* And one that is not there at all. */
	pg_cluster_stop(other, true);
	assert_int_equal(cu_pg_preflight(other_config, -1, &ident, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_LOST);
	cu_pg_config_free(&other_config);
	pg_cluster_free(&other);
}

/* One connection to a server that speaks the protocol and goes away when it has answered so many queries. */
struct dying_server {
	int listener;
	unsigned queries;
};

static void *dying_server_main(void *arg)
{
	static const char hello[] = "R\0\0\0\10\0\0\0\0S\0\0\0\30server_version\00015.0\0Z\0\0\0\5I";
	static const char done[] = "C\0\0\0\10SET\0Z\0\0\0\5I";
	const struct dying_server *server = arg;
	int fd = accept(server->listener, NULL, NULL);
	char bytes[4096];

	/* Each message of a client that waits for its answer comes in one piece. */
	for (unsigned i = 0; recv(fd, bytes, sizeof bytes, 0) > 0 && i <= server->queries; i++) {
		const char *answer = i ? done : hello;
		size_t len = (i ? sizeof done : sizeof hello) - 1;

		assert_int_equal(send(fd, answer, len, MSG_NOSIGNAL), (ssize_t)len);
	}
	close(fd);
	return NULL;
}

static void a_connection_that_breaks_while_it_is_set_up_was_never_made(void **state)
{
	(void)state;
	for (unsigned queries = 0; queries < 3; queries++) {
		struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		struct dying_server server = { socket(AF_INET, SOCK_STREAM, 0), queries };
		socklen_t len = sizeof address;
		struct cu_pg_ident ident;
		cu_pg_config *to_it = NULL;
		pthread_t thread;
		char url[128];

		assert_int_equal(bind(server.listener, (struct sockaddr *)&address, len), 0);
		assert_int_equal(listen(server.listener, 1), 0);
		assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &len), 0);
		snprintf(url, sizeof url, "postgresql://u@127.0.0.1:%u/d?sslmode=disable&gssencmode=disable",
			 ntohs(address.sin_port));
		assert_int_equal(cu_pg_config_new(url, &to_it, &err), 0);
		assert_int_equal(pthread_create(&thread, NULL, dying_server_main, &server), 0);
		assert_int_equal(cu_pg_preflight(to_it, -1, &ident, &err), CU_EPG);
		if (err.kind != CU_PG_LOST)
			fail_msg("after %u queries: %s", queries, err.message);
		pthread_join(thread, NULL);
		close(server.listener);
		cu_pg_config_free(&to_it);
	}
}

static void every_connection_has_the_display_settings(void **state)
{
	static const char *const names[][2] = { { "bytea_output", "hex" },       { "DateStyle", "ISO, DMY" },
						{ "TimeZone", "UTC" },           { "extra_float_digits", "1" },
						{ "IntervalStyle", "iso_8601" }, { "client_encoding", "UTF8" },
						{ "application_name", "copper" } };

	(void)state;
	pg_cluster_sql(cluster,
		       "ALTER ROLE postgres SET bytea_output = 'escape'; ALTER ROLE postgres SET TimeZone = 'CET'");
	for (int mode = CU_PG_ORDINARY; mode <= CU_PG_REPLICATION; mode++) {
		PGconn *conn = connect_as((enum cu_pg_mode)mode);

		for (unsigned i = 0; i < CU_ARRAY_LEN(names); i++) {
			PGresult *res = NULL;

			assert_int_equal(cu_pg_execf(conn, &res, &err, "SHOW %s", names[i][0]), 0);
			assert_string_equal(PQgetvalue(res, 0, 0), names[i][1]);
			PQclear(res);
		}
		PQfinish(conn);
	}
	pg_cluster_sql(cluster, "ALTER ROLE postgres RESET ALL");
}

static void error_carries_state_detail_and_hint(void **state)
{
	PGconn *conn = connect_as(CU_PG_ORDINARY);
	char text[256];

	(void)state;
	assert_int_equal(
		cu_pg_exec(conn,
			   "DO $$ BEGIN RAISE EXCEPTION 'no' USING errcode = '42501', detail = 'because', hint = "
			   "'try'; END $$",
			   NULL, &err),
		CU_EPG);
	assert_int_equal(err.kind, CU_PG_PERMISSION);
	assert_string_equal(cu_pg_error_text(&err, text, sizeof text), "no (because) [try] SQLSTATE 42501");
	assert_string_equal(cu_pg_error_text(&err, text, 6), "no (b");
	PQfinish(conn);
}

static void error_text_is_cut_within_its_buffer(void **state)
{
	char text[8];

	(void)state;
	cu_pg_error_set(&err, CU_EPG, CU_PG_QUERY, NULL, "abcde\xc3\xa9\xc3\xa9");
	cu_pg_error_text(&err, text, sizeof text);
	assert_string_equal(text, "abcde\xc3\xa9");
	cu_pg_error_text(&err, text, 7);
	assert_string_equal(text, "abcde");
}

struct waiter {
	int cancel_fd;
	int told_fd;
	int holder;
	int rc;
	cu_pg_lock *lock;
	unsigned poll_ms;
};

static void waiting(void *arg, int pid)
{
	struct waiter *waiter = arg;
	uint64_t one = 1;

	waiter->holder = pid;
	assert_int_equal(write(waiter->told_fd, &one, sizeof one), sizeof one);
}

static void *waiter_main(void *arg)
{
	struct waiter *waiter = arg;
	struct cu_pg_error waiter_err;

	waiter->rc = cu_pg_lock_acquire(config, "electric_slot_default", waiter->poll_ms, waiter->cancel_fd, waiting,
					waiter, &waiter->lock, &waiter_err);
	return NULL;
}

static void waiter_start(struct waiter *waiter, pthread_t *thread)
{
	uint64_t count;

	*waiter = (struct waiter){ eventfd(0, 0), eventfd(0, 0), 0, 0, NULL, 20 };
	pthread_create(thread, NULL, waiter_main, waiter);
	assert_int_equal(read(waiter->told_fd, &count, sizeof count), sizeof count);
}

static void waiter_end(struct waiter *waiter)
{
	cu_pg_lock_free(&waiter->lock);
	close(waiter->cancel_fd);
	close(waiter->told_fd);
}

static void lock_excludes_electric_and_is_excluded_by_it(void **state)
{
	/* What Electric runs, word for word in its effect. */
	static const char electric[] = "SELECT pg_advisory_lock(hashtext('electric_slot_default'))";
	PGconn *conn = connect_as(CU_PG_ORDINARY);
	cu_pg_lock *lock = NULL;
	struct waiter waiter;
	pthread_t thread;

	(void)state;
	assert_int_equal(cu_pg_exec(conn, electric, NULL, &err), 0);
	waiter_start(&waiter, &thread);
	assert_int_equal(waiter.holder, PQbackendPID(conn));
	PQfinish(conn);
	pthread_join(thread, NULL);
	assert_int_equal(waiter.rc, 0);
	conn = connect_as(CU_PG_ORDINARY);
	assert_int_equal(cu_pg_exec(conn, "SET lock_timeout = 50", NULL, &err), 0);
	assert_int_equal(cu_pg_exec(conn, electric, NULL, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_BUSY);
	waiter_end(&waiter);
	PQfinish(conn);
	assert_int_equal(cu_pg_lock_acquire(config, "electric_slot_default", 20, -1, NULL, NULL, &lock, &err), 0);
	assert_true(cu_pg_lock_check(lock));
	cu_pg_lock_free(&lock);
}

static void a_lock_that_is_free_soon_was_nobodys(void **state)
{
	struct waiter waiter = { eventfd(0, 0), eventfd(0, EFD_NONBLOCK), 0, 0, NULL, 1000 };
	uint64_t deadline = cu_now_ms() + 10000, count;
	cu_pg_lock *lock = NULL;
	pthread_t thread;

	(void)state;
	assert_int_equal(cu_pg_lock_acquire(config, "electric_slot_default", 20, -1, NULL, NULL, &lock, &err), 0);
	pthread_create(&thread, NULL, waiter_main, &waiter);
	while (strcmp(pg_cluster_sql(cluster,
				     "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' AND pid <> %d AND "
				     "query LIKE '%%pg_try_advisory_lock%%'",
				     PQbackendPID(cu_pg_lock_conn(lock))),
		      "1") != 0)
		assert_true(cu_now_ms() < deadline);
	cu_pg_lock_free(&lock);
	pthread_join(thread, NULL);
	assert_int_equal(waiter.rc, 0);
	assert_int_equal(read(waiter.told_fd, &count, sizeof count), -1);
	waiter_end(&waiter);
}

static void waiting_for_the_lock_ends_when_asked_to_stop(void **state)
{
	cu_pg_lock *lock = NULL;
	struct waiter waiter;
	pthread_t thread;
	uint64_t one = 1;

	(void)state;
	assert_int_equal(cu_pg_lock_acquire(config, "electric_slot_default", 20, -1, NULL, NULL, &lock, &err), 0);
	waiter_start(&waiter, &thread);
	assert_int_equal(write(waiter.cancel_fd, &one, sizeof one), sizeof one);
	pthread_join(thread, NULL);
	assert_int_equal(waiter.rc, CU_ECLOSED);
	waiter_end(&waiter);
	cu_pg_lock_free(&lock);
}

static void lost_lock_connection_is_noticed(void **state)
{
	cu_pg_lock *lock = NULL;

	(void)state;
	assert_int_equal(cu_pg_lock_acquire(config, "electric_slot_default", 20, -1, NULL, NULL, &lock, &err), 0);
	pg_cluster_sql(cluster, "SELECT pg_terminate_backend(%d, 5000)", PQbackendPID(cu_pg_lock_conn(lock)));
	assert_false(cu_pg_lock_check(lock));
	cu_pg_lock_free(&lock);
}

static void publication_and_slot_are_created_once_and_reused(void **state)
{
	PGconn *conn = connect_as(CU_PG_ORDINARY), *repl = connect_as(CU_PG_REPLICATION);
	struct cu_pg_names names;
	struct cu_pg_slot slot, again;
	bool created;

	(void)state;
	assert_int_equal(cu_pg_names_init(&names, "once"), 0);
	assert_int_equal(cu_pg_publication_ensure(conn, names.publication, true, 150000, &created, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_CONFIG);
	assert_non_null(strstr(err.message, "CREATE PUBLICATION \"electric_publication_once\""));
	assert_int_equal(cu_pg_publication_ensure(conn, names.publication, false, 150000, &created, &err), 0);
	assert_true(created);
	assert_int_equal(cu_pg_publication_ensure(conn, names.publication, false, 150000, &created, &err), 0);
	assert_false(created);
	assert_int_equal(cu_pg_slot_ensure(conn, repl, names.slot, false, false, &slot, &err), 0);
	assert_true(slot.created && !slot.recreated_lost);
	assert_string_equal(pg_cluster_sql(cluster,
					   "SELECT plugin || temporary FROM pg_replication_slots WHERE slot_name = "
					   "'electric_slot_once'"),
			    "pgoutputfalse");
	assert_int_equal(cu_pg_slot_ensure(conn, repl, names.slot, false, false, &again, &err), 0);
	assert_false(again.created);
	assert_true(again.confirmed_flush_lsn == slot.confirmed_flush_lsn);
	assert_int_equal(cu_pg_slot_ensure(conn, repl, names.slot, false, true, &again, &err), 0);
	assert_true(again.created);
	assert_int_equal(cu_pg_slot_drop(conn, &names, true, &err), 0);
	assert_int_equal(cu_pg_slot_drop(conn, &names, true, &err), 0);
	PQfinish(conn);
	PQfinish(repl);
}

static void publication_that_hides_changes_is_refused(void **state)
{
	PGconn *conn = connect_as(CU_PG_ORDINARY);
	bool created;

	(void)state;
	pg_cluster_sql(
		cluster,
		"CREATE PUBLICATION no_delete WITH (publish = 'insert, update'); CREATE PUBLICATION via_root WITH "
		"(publish_via_partition_root)");
	assert_int_equal(cu_pg_publication_ensure(conn, "no_delete", false, 150000, &created, &err), CU_EPG);
	assert_non_null(strstr(err.message, "does not publish all operations"));
	assert_int_equal(cu_pg_publication_ensure(conn, "via_root", false, 150000, &created, &err), CU_EPG);
	assert_non_null(strstr(err.message, "publish_via_partition_root = false"));
	PQfinish(conn);
}

static void invalidated_slot_is_replaced(void **state)
{
	struct pg_cluster *other =
		pg_cluster_new("max_slot_wal_keep_size = 1MB\nmax_wal_size = 32MB\nmin_wal_size = 32MB");
	cu_pg_config *other_config = NULL;
	PGconn *conn = NULL, *repl = NULL;
	struct cu_pg_slot slot;

	(void)state;
	assert_int_equal(cu_pg_config_new(pg_cluster_url(other, NULL), &other_config, &err), 0);
	assert_int_equal(cu_pg_connect(other_config, CU_PG_ORDINARY, -1, &conn, &err), 0);
	assert_int_equal(cu_pg_connect(other_config, CU_PG_REPLICATION, -1, &repl, &err), 0);
	assert_int_equal(cu_pg_slot_ensure(conn, repl, "electric_slot_default", false, false, &slot, &err), 0);
	for (int i = 0; i < 4; i++)
		pg_cluster_sql(other, "CREATE TABLE t%d (a int); SELECT pg_switch_wal()", i);
	pg_cluster_sql(other, "CHECKPOINT");
	assert_string_equal(pg_cluster_sql(other, "SELECT wal_status FROM pg_replication_slots"), "lost");
	assert_int_equal(cu_pg_slot_ensure(conn, repl, "electric_slot_default", false, false, &slot, &err), 0);
	assert_true(slot.created && slot.recreated_lost);
	assert_string_equal(pg_cluster_sql(other, "SELECT wal_status FROM pg_replication_slots"), "reserved");
	PQfinish(conn);
	PQfinish(repl);
	cu_pg_config_free(&other_config);
	pg_cluster_free(&other);
}

static void slot_of_somebody_else_is_refused_and_a_zombie_waited_for(void **state)
{
	PGconn *conn = connect_as(CU_PG_ORDINARY), *repl = connect_as(CU_PG_REPLICATION),
	       *zombie = connect_as(CU_PG_REPLICATION);
	struct cu_pg_slot slot;

	(void)state;
	pg_cluster_sql(cluster, "SELECT pg_create_logical_replication_slot('electric_slot_other', 'test_decoding')");
	assert_int_equal(cu_pg_slot_ensure(conn, repl, "electric_slot_other", false, false, &slot, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_CONFIG);
	assert_non_null(strstr(err.message, "test_decoding"));
	assert_non_null(strstr(err.message, "SELECT pg_drop_replication_slot('electric_slot_other')"));
	assert_int_equal(cu_pg_slot_ensure(conn, zombie, "electric_slot_z", true, false, &slot, &err), 0);
	assert_int_equal(cu_pg_slot_ensure(conn, repl, "electric_slot_z", false, false, &slot, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_BUSY);
	assert_non_null(strstr(err.message, "pg_terminate_backend"));
	PQfinish(zombie);
	PQfinish(conn);
	PQfinish(repl);
}

static int group_setup(void **state)
{
	(void)state;
	cluster = pg_cluster_new(NULL);
	config = config_as(NULL);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	cu_pg_config_free(&config);
	pg_cluster_free(&cluster);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(preflight_tells_which_server_it_is),
		cmocka_unit_test(preflight_says_how_to_grant_replication),
		cmocka_unit_test(preflight_says_how_to_set_wal_level),
		cmocka_unit_test(a_connection_that_breaks_while_it_is_set_up_was_never_made),
		cmocka_unit_test(every_connection_has_the_display_settings),
		cmocka_unit_test(error_carries_state_detail_and_hint),
		cmocka_unit_test(error_text_is_cut_within_its_buffer),
		cmocka_unit_test(lock_excludes_electric_and_is_excluded_by_it),
		cmocka_unit_test(a_lock_that_is_free_soon_was_nobodys),
		cmocka_unit_test(waiting_for_the_lock_ends_when_asked_to_stop),
		cmocka_unit_test(lost_lock_connection_is_noticed),
		cmocka_unit_test(publication_and_slot_are_created_once_and_reused),
		cmocka_unit_test(publication_that_hides_changes_is_refused),
		cmocka_unit_test(invalidated_slot_is_replaced),
		cmocka_unit_test(slot_of_somebody_else_is_refused_and_a_zombie_waited_for),
	};

	if (!pg_cluster_available())
		return 0;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
