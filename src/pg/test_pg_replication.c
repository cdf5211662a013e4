/* label: race
 * The replication thread against a private Postgres that is stopped, started and kept waiting. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/offset.h"
#include "pg/replication.h"

#include "pg_cluster.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 10000

static struct pg_cluster *cluster;
static cu_pg_config *config;
static struct cu_pg_error err;

/* What a consumer saw: counts by pgoutput's message letter, and the last of each kind of frame. */
struct seen {
	unsigned inserts, commits, begins, keepalives, connected, disconnected;
	uint64_t commit_lsn; /* behind the last commit */
	uint64_t keepalive_lsn;
	struct cu_replication_connected last;
};

static cu_replication *repl_start(size_t queue_bytes_max, const char *stream)
{
	struct cu_replication_opts opts = { .config = config, .queue_bytes_max = queue_bytes_max, .lock_poll_ms = 20 };
	cu_replication *repl = NULL;

	assert_int_equal(cu_pg_names_init(&opts.names, stream), 0);
	assert_int_equal(cu_replication_new(&opts, &repl), 0);
	assert_int_equal(cu_replication_start(repl), 0);
	return repl;
}

static void batch_read(const struct cu_replication_batch *batch, struct seen *seen)
{
	const struct cu_replication_frame *frame = NULL;

	while ((frame = cu_replication_frame_next(batch, frame))) {
		const uint8_t *bytes = cu_replication_frame_bytes(frame);

		assert_int_equal((uintptr_t)frame % 8, 0);
		switch (frame->kind) {
		case CU_REPLICATION_XLOG:
			assert_true(seen->connected > seen->disconnected);
			assert_true(frame->len > 0);
			seen->inserts += bytes[0] == 'I';
			seen->begins += bytes[0] == 'B';
			if (bytes[0] == 'C') {
				cu_cursor cur = cu_cursor_over(bytes + 10, 8);

				seen->commits++;
				seen->commit_lsn = cu_cursor_be64(&cur);
			}
			break;
		case CU_REPLICATION_KEEPALIVE:
			seen->keepalives++;
			seen->keepalive_lsn = frame->wal_end;
			break;
		case CU_REPLICATION_CONNECTED:
			seen->connected++;
			assert_int_equal(frame->len, sizeof seen->last);
			memcpy(&seen->last, bytes, sizeof seen->last);
			break;
		case CU_REPLICATION_DISCONNECTED:
			seen->disconnected++;
			seen->begins = seen->commits; /* an open transaction is dropped */
			break;
		default: fail_msg("frame of kind %u", frame->kind);
		}
	}
}

/* Reads until *counter reaches want. */
static void read_until(cu_replication *repl, struct seen *seen, const unsigned *counter, unsigned want)
{
	uint64_t deadline = cu_now_ms() + WAIT_MS;

	while (*counter < want) {
		struct cu_replication_batch batch;
		int rc = cu_replication_next(repl, 1000, &batch);

		if (rc == 0) {
			batch_read(&batch, seen);
			cu_replication_release(repl, &batch);
		} else {
			assert_int_equal(rc, CU_EAGAIN);
		}
		if (cu_now_ms() >= deadline)
			fail_msg("%u of %u; inserts %u commits %u begins %u keepalives %u connected %u disconnected %u",
				 *counter, want, seen->inserts, seen->commits, seen->begins, seen->keepalives,
				 seen->connected, seen->disconnected);
	}
}

static void streams_a_transaction_after_connected(void **state)
{
	cu_replication *repl = repl_start(0, "stream");
	struct seen seen = { 0 };
	struct cu_replication_stats stats;

	(void)state;
	read_until(repl, &seen, &seen.connected, 1);
	assert_true(seen.last.slot.created && seen.last.slot.publication_created);
	assert_int_equal(seen.last.ident.timeline, 1);
	assert_int_equal(cu_replication_state_get(repl), CU_REPLICATION_STREAMING);
	pg_cluster_sql(cluster,
		       "CREATE TABLE s (id int PRIMARY KEY, v text); ALTER PUBLICATION electric_publication_stream ADD "
		       "TABLE s");
	pg_cluster_sql(cluster, "INSERT INTO s SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i");
	read_until(repl, &seen, &seen.inserts, 5000);
	/* A message larger than a block gets one of its own. */
	pg_cluster_sql(cluster,
		       "INSERT INTO s SELECT 0, string_agg(md5(i::text), '') FROM generate_series(1, 20000) i");
	read_until(repl, &seen, &seen.inserts, 5001);
	cu_replication_stats_get(repl, &stats);
	assert_true(stats.messages > 5000 && stats.bytes > 600000 && stats.connects == 1);
	cu_replication_free(&repl);
}

static void stop_waits_for_nothing_and_next_says_closed(void **state)
{
	cu_replication *repl = repl_start(0, "stop");
	struct cu_replication_batch batch;
	struct seen seen = { 0 };
	uint64_t start;
	int rc;

	(void)state;
	read_until(repl, &seen, &seen.connected, 1);
	start = cu_now_ms();
	cu_replication_stop(repl);
	assert_true(cu_now_ms() - start < WAIT_MS);
	while ((rc = cu_replication_next(repl, 0, &batch)) == 0) {
		batch_read(&batch, &seen);
		cu_replication_release(repl, &batch);
	}
	assert_int_equal(rc, CU_ECLOSED);
	assert_int_equal(seen.disconnected, 1);
	assert_int_equal(cu_replication_state_get(repl), CU_REPLICATION_STOPPED);
	cu_replication_free(&repl);
}

static void stop_is_quick_while_the_slot_cannot_be_created(void **state)
{
	PGconn *conn = NULL;
	cu_replication *repl;
	uint64_t start;

	(void)state;
	/* A slot waits for transactions that are writing. */
	assert_int_equal(cu_pg_connect(config, CU_PG_ORDINARY, -1, &conn, &err), 0);
	assert_int_equal(cu_pg_exec(conn, "BEGIN", NULL, &err), 0);
	assert_int_equal(cu_pg_exec(conn, "SELECT pg_current_xact_id()", NULL, &err), 0);
	repl = repl_start(0, "held");
	assert_true(pg_cluster_until(
		cluster,
		"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE_REPLICATION_SLOT%' AND "
		"wait_event_type = 'Lock'",
		"1", WAIT_MS));
	assert_int_equal(cu_replication_state_get(repl), CU_REPLICATION_PREPARING);
	start = cu_now_ms();
	cu_replication_free(&repl);
	assert_true(cu_now_ms() - start < WAIT_MS);
	PQfinish(conn);
}

static void restart_redelivers_what_was_not_confirmed(void **state)
{
	cu_replication *repl = repl_start(0, "restart");
	struct seen seen = { 0 };
	unsigned again;
	uint64_t confirmed;

	(void)state;
	read_until(repl, &seen, &seen.connected, 1);
	pg_cluster_sql(
		cluster,
		"CREATE TABLE r (id int PRIMARY KEY); ALTER PUBLICATION electric_publication_restart ADD TABLE r");
	pg_cluster_sql(cluster, "INSERT INTO r VALUES (1)");
	read_until(repl, &seen, &seen.inserts, 1);
	read_until(repl, &seen, &seen.commits, seen.begins);
	confirmed = seen.commit_lsn;
	cu_replication_confirm(repl, confirmed);
	assert_true(pg_cluster_until(cluster,
				     "SELECT confirmed_flush_lsn >= pg_current_wal_lsn() - 1000000::numeric AND "
				     "confirmed_flush_lsn > restart_lsn FROM pg_replication_slots WHERE slot_name = "
				     "'electric_slot_restart'",
				     "t", WAIT_MS));
	pg_cluster_sql(cluster, "INSERT INTO r VALUES (2)");
	read_until(repl, &seen, &seen.inserts, 2);
	pg_cluster_stop(cluster, true);
	read_until(repl, &seen, &seen.disconnected, 1);
	pg_cluster_start(cluster);
	read_until(repl, &seen, &seen.connected, 2);
	assert_false(seen.last.slot.created);
	/* An immediate stop forgets what the slot had not written: then the first one comes again as well. */
	assert_true(seen.last.slot.confirmed_flush_lsn <= confirmed);
	again = seen.last.slot.confirmed_flush_lsn < confirmed ? 2 : 1;
	read_until(repl, &seen, &seen.inserts, 2 + again);
	pg_cluster_sql(cluster, "INSERT INTO r VALUES (3)");
	read_until(repl, &seen, &seen.inserts, 3 + again);
	read_until(repl, &seen, &seen.commits, seen.begins);
	assert_int_equal(seen.inserts, 3 + again);
	cu_replication_free(&repl);
}

static void walsender_lives_while_nobody_takes_from_the_queue(void **state)
{
	cu_replication *repl;
	struct cu_replication_stats stats = { 0 };
	struct seen seen = { 0 };
	uint64_t until;

	(void)state;
	pg_cluster_sql(cluster, "ALTER SYSTEM SET wal_sender_timeout = '1s'");
	pg_cluster_sql(cluster, "SELECT pg_reload_conf()");
	assert_true(pg_cluster_until(cluster, "SHOW wal_sender_timeout", "1s", WAIT_MS));
	repl = repl_start(256 * 1024, "stall");
	read_until(repl, &seen, &seen.connected, 1);
	pg_cluster_sql(cluster,
		       "CREATE TABLE w (id int PRIMARY KEY, v text); ALTER PUBLICATION electric_publication_stall ADD "
		       "TABLE w");
	/* Far more than queue, libpq and the sockets hold. */
	pg_cluster_sql(cluster, "INSERT INTO w SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i");
	until = cu_now_ms() + 3500;
	while (cu_now_ms() < until)
		pg_cluster_until(cluster, "SELECT 1", "0", 200); /* passes time: the server must see us alive */
	cu_replication_stats_get(repl, &stats);
	assert_true(stats.stalls >= 1);
	assert_true(stats.queued_bytes < 1024 * 1024);
	assert_int_equal(stats.connects, 1);
	read_until(repl, &seen, &seen.inserts, 30000);
	assert_int_equal(seen.disconnected, 0);
	cu_replication_free(&repl);
	pg_cluster_sql(cluster, "ALTER SYSTEM RESET wal_sender_timeout");
	pg_cluster_sql(cluster, "SELECT pg_reload_conf()");
}

static void silent_database_advances_by_keepalives(void **state)
{
	cu_replication *repl = repl_start(0, "silent");
	struct seen seen = { 0 };
	char sql[256];
	uint64_t target = 0;

	(void)state;
	read_until(repl, &seen, &seen.connected, 1);
	/* WAL that no shape sees: nothing of it is in the stream but positions. */
	pg_cluster_sql(cluster,
		       "CREATE TABLE unpublished (a int); INSERT INTO unpublished SELECT generate_series(1, 10000)");
	assert_int_equal(cu_lsn_parse(pg_cluster_sql(cluster, "SELECT pg_current_wal_lsn()"), &target), 0);
	while (seen.keepalive_lsn < target)
		read_until(repl, &seen, &seen.keepalives, seen.keepalives + 1);
	assert_int_equal(seen.inserts, 0);
	cu_replication_confirm(repl, seen.keepalive_lsn);
	snprintf(sql, sizeof sql,
		 "SELECT confirmed_flush_lsn >= '%X/%X' FROM pg_replication_slots WHERE slot_name = "
		 "'electric_slot_silent'",
		 (unsigned)(target >> 32), (unsigned)target);
	assert_true(pg_cluster_until(cluster, sql, "t", WAIT_MS));
	cu_replication_free(&repl);
}

static void position_beyond_the_server_is_never_confirmed(void **state)
{
	cu_replication *repl = repl_start(0, "beyond");
	struct seen seen = { 0 };
	uint64_t target = 0;

	(void)state;
	read_until(repl, &seen, &seen.connected, 1);
	cu_replication_confirm(repl, UINT64_MAX / 2);
	pg_cluster_sql(cluster, "CREATE TABLE beyond (a int)");
	assert_int_equal(cu_lsn_parse(pg_cluster_sql(cluster, "SELECT pg_current_wal_lsn()"), &target), 0);
	while (seen.keepalive_lsn < target)
		read_until(repl, &seen, &seen.keepalives, seen.keepalives + 1);
	assert_string_equal(
		pg_cluster_sql(cluster, "SELECT confirmed_flush_lsn <= pg_current_wal_lsn() FROM pg_replication_slots "
					"WHERE slot_name = 'electric_slot_beyond'"),
		"t");
	cu_replication_free(&repl);
}

static void second_instance_waits_and_takes_over(void **state)
{
	cu_replication *first = repl_start(0, "two"), *second;
	struct seen seen = { 0 }, other = { 0 };
	uint64_t deadline = cu_now_ms() + WAIT_MS;

	(void)state;
	read_until(first, &seen, &seen.connected, 1);
	second = repl_start(0, "two");
	while (cu_replication_state_get(second) != CU_REPLICATION_WAITING_LOCK) {
		struct cu_replication_batch batch;

		assert_int_equal(cu_replication_next(second, 10, &batch), CU_EAGAIN);
		assert_true(cu_now_ms() < deadline);
	}
	cu_replication_free(&first);
	read_until(second, &other, &other.connected, 1);
	assert_false(other.last.slot.created);
	cu_replication_free(&second);
}

static void lost_lock_ends_the_stream(void **state)
{
	cu_replication *repl = repl_start(0, "locked");
	struct seen seen = { 0 };

	(void)state;
	read_until(repl, &seen, &seen.connected, 1);
	pg_cluster_sql(cluster,
		       "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = "
		       "hashtext('electric_slot_locked')::bit(32)::bigint");
	read_until(repl, &seen, &seen.connected, 2);
	assert_int_equal(seen.disconnected, 1);
	assert_false(seen.last.slot.created);
	cu_replication_free(&repl);
}

/* Since Postgres 18 the stream goes on without a publication that is missing, and leaves its changes out. There a look
 * at the tables notices (tests/e2e/source.test.mjs). */
static bool missing_publication_ends_the_stream(void)
{
	return pg_cluster_version(cluster) < 180000;
}

static void dropped_publication_gives_a_new_slot(void **state)
{
	cu_replication *repl;
	struct seen seen = { 0 };

	(void)state;
	if (!missing_publication_ends_the_stream())
		return;
	repl = repl_start(0, "dropped");
	read_until(repl, &seen, &seen.connected, 1);
	pg_cluster_sql(cluster, "CREATE TABLE d (id int PRIMARY KEY); DROP PUBLICATION electric_publication_dropped");
	pg_cluster_sql(cluster, "INSERT INTO d VALUES (1)");
	read_until(repl, &seen, &seen.connected, 2);
	assert_true(seen.last.slot.created && seen.last.slot.publication_created);
	cu_replication_free(&repl);
}

static void publication_made_anew_by_hand_gives_a_new_slot(void **state)
{
	cu_replication *repl;
	struct seen seen = { 0 };

	(void)state;
	if (!missing_publication_ends_the_stream())
		return;
	repl = repl_start(0, "renewed");
	read_until(repl, &seen, &seen.connected, 1);
	pg_cluster_sql(cluster,
		       "CREATE TABLE renewed (id int PRIMARY KEY); DROP PUBLICATION electric_publication_renewed");
	/* This row's WAL knows no publication: no attempt would ever get past it. */
	pg_cluster_sql(cluster, "INSERT INTO renewed VALUES (1)");
	pg_cluster_sql(cluster, "CREATE PUBLICATION electric_publication_renewed FOR TABLE renewed");
	read_until(repl, &seen, &seen.connected, 2);
	while (!seen.last.slot.created)
		read_until(repl, &seen, &seen.connected, seen.connected + 1);
	cu_replication_free(&repl);
}

static void wal_that_cannot_be_decoded_is_given_up_after_a_while(void **state)
{
	struct cu_replication_opts opts = { .config = config, .stuck_ms = 300 };
	struct seen seen = { 0 };
	cu_replication *repl = NULL;

	(void)state;
	if (pg_cluster_version(cluster) < 150000)
		return; /* row filters are newer */
	assert_int_equal(cu_pg_names_init(&opts.names, "stuck"), 0);
	/* The filter fails in the walsender, each time that it meets this row. */
	pg_cluster_sql(cluster, "CREATE TABLE stuck (id int PRIMARY KEY);"
				"CREATE PUBLICATION electric_publication_stuck FOR TABLE stuck WHERE (1 / id > 0)");
	assert_int_equal(cu_replication_new(&opts, &repl), 0);
	assert_int_equal(cu_replication_start(repl), 0);
	read_until(repl, &seen, &seen.connected, 1);
	assert_true(seen.last.slot.created);
	pg_cluster_sql(cluster, "INSERT INTO stuck VALUES (0)");
	read_until(repl, &seen, &seen.connected, 2);
	assert_false(seen.last.slot.created);
	while (!seen.last.slot.created)
		read_until(repl, &seen, &seen.connected, seen.connected + 1);
	cu_replication_free(&repl);
}

static void reset_slot_makes_a_new_one(void **state)
{
	cu_replication *repl = repl_start(0, "reset");
	struct seen seen = { 0 };

	(void)state;
	read_until(repl, &seen, &seen.connected, 1);
	cu_replication_reset_slot(repl);
	read_until(repl, &seen, &seen.connected, 2);
	assert_true(seen.last.slot.created);
	assert_int_equal(seen.disconnected, 1);
	cu_replication_free(&repl);
}

static void wake_interrupts_a_waiting_consumer(void **state)
{
	struct cu_replication_opts opts = { .config = config };
	struct cu_replication_batch batch;
	cu_replication *repl = NULL;

	(void)state;
	assert_int_equal(cu_pg_names_init(&opts.names, "wake"), 0);
	assert_int_equal(cu_replication_new(&opts, &repl), 0);
	cu_replication_wake(repl);
	assert_int_equal(cu_replication_next(repl, -1, &batch), CU_EAGAIN);
	cu_replication_free(&repl);
}

static int group_setup(void **state)
{
	(void)state;
	cluster = pg_cluster_new("max_replication_slots = 40\nmax_wal_senders = 20");
	return cu_pg_config_new(pg_cluster_url(cluster, NULL), &config, &err);
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
		cmocka_unit_test(streams_a_transaction_after_connected),
		cmocka_unit_test(stop_waits_for_nothing_and_next_says_closed),
		cmocka_unit_test(stop_is_quick_while_the_slot_cannot_be_created),
		cmocka_unit_test(restart_redelivers_what_was_not_confirmed),
		cmocka_unit_test(walsender_lives_while_nobody_takes_from_the_queue),
		cmocka_unit_test(silent_database_advances_by_keepalives),
		cmocka_unit_test(position_beyond_the_server_is_never_confirmed),
		cmocka_unit_test(second_instance_waits_and_takes_over),
		cmocka_unit_test(lost_lock_ends_the_stream),
		cmocka_unit_test(dropped_publication_gives_a_new_slot),
		cmocka_unit_test(publication_made_anew_by_hand_gives_a_new_slot),
		cmocka_unit_test(wal_that_cannot_be_decoded_is_given_up_after_a_while),
		cmocka_unit_test(reset_slot_makes_a_new_one),
		cmocka_unit_test(wake_interrupts_a_waiting_consumer),
	};

	if (!pg_cluster_available())
		return 0;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
