/* From pgoutput messages to the bytes of shape logs, and the same bytes again after a restart.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "collector/test_help.h"

#define LEAF_OID 20000u

static void assert_log(struct world *w, cu_shape *shape, const char *expected)
{
	char *log = world_log(w, shape);

	assert_string_equal(log, expected);
	free(log);
}

static void show(struct world *w)
{
	assert_int_equal(cu_collector_show(w->c), 0);
}

static bool is_going(cu_shape *shape)
{
	enum cu_shape_state state = cu_shape_status(shape).state;

	return state == CU_SHAPE_REMOVING || state == CU_SHAPE_GONE;
}

static unsigned count(const char *text, const char *word)
{
	const char *end = text + strlen(text);
	unsigned n = 0;

	for (; (text = memmem(text, (size_t)(end - text), word, strlen(word))); text += strlen(word))
		n++;
	return n;
}

/* The shape's log must be the same after a restart. */
static void assert_recovers(struct world *w, cu_shape **shape)
{
	uint64_t id = (*shape)->id;
	char *before = world_log(w, *shape), *after;
	cu_offset latest = cu_shape_status(*shape).latest;

	cu_shape_unref(shape);
	world_restart(w);
	*shape = cu_shape_set_by_id(w->set, id);
	assert_non_null(*shape);
	after = world_log(w, *shape);
	assert_string_equal(after, before);
	assert_int_equal(cu_offset_cmp(cu_shape_status(*shape).latest, latest), 0);
	free(before);
	free(after);
}

#define REL "\"relation\":[\"public\",\"items\"],"

static void each_change_becomes_its_item(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	INSERT(w, HELP_OID, "1", "a", NULL);
	UPDATE(w, HELP_OID, ROW("1", "a", NULL), ROW("1", "b", NULL));
	UPDATE(w, HELP_OID, ROW("1", "b", NULL), ROW("1", "b", NULL)); /* nothing, but its position passes */
	UPDATE(w, HELP_OID, ROW("1", "b", NULL), ROW("2", "b", NULL));
	DELETE(w, HELP_OID, "2", "b", NULL);
	COMMIT(w);
	assert_log(w, shape, ""); /* not shown yet */
	assert_int_equal(cu_collector_last_tx(w->c), 0);
	show(w);
	assert_int_equal(cu_collector_last_tx(w->c), 1000);
	assert_log(
		w, shape,
		"{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"1\\\"\",\"value\":{\"id\":\"1\",\"name\":\"a\",\"note\":null},"
		"\"headers\":{\"operation\":\"insert\"," REL "\"lsn\":\"1000\",\"op_position\":0,\"txids\":[700]}},"
		"{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"1\\\"\",\"value\":{\"id\":\"1\",\"name\":\"b\"},"
		"\"headers\":{\"operation\":\"update\"," REL "\"lsn\":\"1000\",\"op_position\":2,\"txids\":[700]}},"
		"{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"1\\\"\",\"value\":{\"id\":\"1\"},"
		"\"headers\":{\"operation\":\"delete\"," REL "\"lsn\":\"1000\",\"op_position\":6,\"txids\":[700],"
		"\"key_change_to\":\"\\\"public\\\".\\\"items\\\"/\\\"2\\\"\"}},"
		"{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"2\\\"\",\"value\":{\"id\":\"2\",\"name\":\"b\",\"note\":null},"
		"\"headers\":{\"operation\":\"insert\"," REL "\"lsn\":\"1000\",\"op_position\":7,\"txids\":[700],"
		"\"key_change_from\":\"\\\"public\\\".\\\"items\\\"/\\\"1\\\"\"}},"
		"{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"2\\\"\",\"value\":{\"id\":\"2\"},"
		"\"headers\":{\"operation\":\"delete\"," REL
		"\"lsn\":\"1000\",\"op_position\":8,\"txids\":[700],\"last\":true}}");
	assert_recovers(w, &shape);
	cu_shape_unref(&shape);
	world_free(w);
}

static void an_unchanged_toast_value_comes_from_the_old_row(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, true), "1:1:");
	char *log;

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	UPDATE(w, HELP_OID, ROW("1", "a", "toasted"), ROW("1", "b", "\1"));
	COMMIT(w);
	show(w);
	log = world_log(w, shape);
	assert_non_null(strstr(log, "\"value\":{\"id\":\"1\",\"name\":\"b\",\"note\":\"toasted\"}"));
	free(log);
	cu_shape_unref(&shape);
	world_free(w);
}

static void several_shapes_see_their_own_items_only(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *plain = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_shape *full = world_shape(w, help_definition(HELP_OID, true), "1:1:");
	cu_shape *other = world_shape(w, help_definition(HELP_OID + 1, false), "1:1:");
	char *log;

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	assert_int_equal(send_relation(w, HELP_OID + 1), 0);
	for (unsigned i = 0; i < 10; i++) {
		UPDATE(w, HELP_OID, ROW("1", "a", "n"), ROW("1", "b", "n"));
		INSERT(w, HELP_OID + 1, "7", "other", NULL);
	}
	COMMIT(w);
	BEGIN(w, 701);
	INSERT(w, HELP_OID + 1, "8", "other", NULL);
	COMMIT(w);
	show(w);
	log = world_log(w, plain);
	assert_int_equal(count(log, "\"operation\":\"update\""), 10);
	assert_int_equal(count(log, "other") + count(log, "old_value"), 0);
	assert_int_equal(count(log, "\"last\":true"), 1);
	free(log);
	log = world_log(w, full);
	assert_int_equal(count(log, "old_value"), 10);
	free(log);
	log = world_log(w, other);
	assert_int_equal(count(log, "\"operation\":\"insert\""), 11);
	assert_int_equal(count(log, "\"last\":true"), 2);
	free(log);
	assert_int_equal(cu_consumer_active_count(HELP_STACK), 3);
	cu_shape_unref(&plain);
	cu_shape_unref(&full);
	assert_recovers(w, &other);
	cu_shape_unref(&other);
	world_free(w);
}

static void what_many_shapes_see_alike_is_written_once(void **state)
{
	enum { MANY = 100 };
	struct world *w = world_new(NULL);
	cu_shape *shapes[MANY];
	char where[32], *first, *log, *left;
	uint64_t before;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		snprintf(where, sizeof where, "id > %d", -i);
		shapes[i] = world_shape_where(w, help_definition(HELP_OID, false), where, "1:1:");
	}
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	INSERT(w, HELP_OID, "1", "something long enough to be noticed", NULL);
	show(w);
	before = cu_changelog_end(w->c->log);
	UPDATE(w, HELP_OID, ROW("1", "a", NULL), ROW("1", "b", NULL));
	UPDATE(w, HELP_OID, ROW("1", "b", NULL), ROW("2", "b", NULL));     /* a key change: two items */
	UPDATE(w, HELP_OID, ROW("2", "b", NULL), ROW("-50", "b", NULL));   /* leaves some of them */
	UPDATE(w, HELP_OID, ROW("-50", "b", NULL), ROW("-50", "c", NULL)); /* is not there for those */
	UPDATE(w, HELP_OID, ROW("-50", "c", NULL), ROW("3", "c", NULL));   /* and comes back */
	COMMIT(w);
	show(w);
	assert_in_range(cu_changelog_end(w->c->log) - before, 1, 10 * 220 + 6 * MANY);

	first = world_log(w, shapes[0]);
	assert_int_equal(count(first, "\"operation\":\"insert\""), 3);
	assert_int_equal(count(first, "\"operation\":\"delete\""), 2);
	assert_int_equal(count(first, "\"operation\":\"update\""), 1);
	left = world_log(w, shapes[MANY - 1]);
	assert_int_equal(count(left, "\"operation\":\"insert\""), 4);
	assert_int_equal(count(left, "\"operation\":\"delete\""), 3);
	assert_int_equal(count(left, "\"operation\":\"update\""), 2);
	for (int i = 0; i < MANY; i++) {
		log = world_log(w, shapes[i]);
		assert_string_equal(log, i <= 50 ? first : left);
		free(log);
	}
	free(first);
	free(left);
	for (int i = 1; i < MANY - 1; i++)
		cu_shape_unref(&shapes[i]);
	cu_shape_unref(&shapes[0]);
	assert_recovers(w, &shapes[MANY - 1]);
	cu_shape_unref(&shapes[MANY - 1]);
	world_free(w);
}

static void a_transaction_larger_than_a_fragment_is_shown_whole(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	char id[16], *log;

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	for (unsigned i = 0; i < 2 * CU_FRAGMENT_CHANGES_MAX + 10; i++) {
		snprintf(id, sizeof id, "%u", i);
		INSERT(w, HELP_OID, id, "a", NULL);
	}
	assert_int_equal(w->c->tx.fragment, 2);
	show(w);
	assert_log(w, shape, ""); /* flushed, and seen by nobody */
	COMMIT(w);
	show(w);
	log = world_log(w, shape);
	assert_int_equal(count(log, "\"operation\":\"insert\""), 2 * CU_FRAGMENT_CHANGES_MAX + 10);
	assert_int_equal(count(log, "\"last\":true"), 1);
	assert_non_null(strstr(log, "\"op_position\":32786,")); /* the last change's */
	free(log);
	assert_true(cu_offset_cmp(cu_shape_status(shape).latest,
				  cu_offset_of(1000, 2 * (2 * CU_FRAGMENT_CHANGES_MAX + 9))) == 0);
	assert_recovers(w, &shape);
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_connection_that_breaks_in_the_middle_leaves_nothing(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	char *log;

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		BEGIN(w, 700);
		assert_int_equal(send_relation(w, HELP_OID), 0);
		/* round 0: before the first fragment; 1: in the second; 2: it goes through */
		for (unsigned i = 0; i < (round == 1 ? CU_FRAGMENT_CHANGES_MAX + 5 : 5); i++)
			INSERT(w, HELP_OID, "1", "a", NULL);
		if (round < 2) {
			cu_collector_abort(w->c);
			show(w);
			assert_log(w, shape, "");
			assert_false(is_going(shape));
		}
	}
	COMMIT(w);
	show(w);
	log = world_log(w, shape);
	assert_int_equal(count(log, "\"operation\":\"insert\""), 5);
	free(log);
	assert_recovers(w, &shape);
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_transaction_that_is_held_is_skipped_when_it_comes_again(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	char *log;

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		w->lsn = 1000;
		for (unsigned tx = 0; tx < 2 + round; tx++) {
			BEGIN(w, 700 + tx);
			if (tx == 0)
				assert_int_equal(send_relation(w, HELP_OID), 0);
			INSERT(w, HELP_OID, "1", "a", NULL);
			COMMIT(w);
		}
		show(w);
		if (round == 1)
			assert_recovers(w, &shape); /* from the checkpoint on, too */
		cu_collector_abort(w->c);
	}
	log = world_log(w, shape);
	assert_int_equal(count(log, "\"operation\":\"insert\""), 4);
	assert_int_equal(count(log, "\"txids\":[703]"), 1);
	free(log);
	cu_shape_unref(&shape);
	world_free(w);
}

/* What a connection starts with when transactions up to 1200 are held, and everything up to 1300 was empty. */
static void resume(struct world *w)
{
	w->c->safe_lsn = 1300;
	w->c->seen_tx = w->c->expected_tx = w->c->committed_tx = 1200;
	w->c->diverged = false;
}

static int send_tx(struct world *w, uint64_t lsn)
{
	int rc;

	w->lsn = lsn;
	rc = send_begin(w, 700);
	return rc < 0 ? rc : send_commit(w);
}

static void another_history_is_noticed_by_its_transactions(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	/* The same as once before, as far as the slot reaches back, then something new. */
	resume(w);
	assert_int_equal(send_tx(w, 1100), 0);
	assert_int_equal(send_tx(w, 1200), 0);
	assert_int_equal(send_tx(w, 1400), 0);
	assert_false(w->c->diverged);
	/* The last one that we have does not come. */
	resume(w);
	assert_int_equal(send_tx(w, 1150), 0);
	assert_int_equal(send_tx(w, 1250), CU_ECORRUPT);
	assert_true(w->c->diverged);
	resume(w);
	assert_int_equal(send_tx(w, 1400), CU_ECORRUPT);
	assert_true(w->c->diverged);
	/* One comes that we never saw, where we hold everything. */
	resume(w);
	w->c->expected_tx = 0;
	assert_int_equal(send_tx(w, 1250), CU_ECORRUPT);
	assert_true(w->c->diverged);
	world_free(w);
}

static void what_the_snapshot_holds_is_not_shown_again(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "700:705:702");
	char *log;

	(void)state;
	for (uint32_t xid = 699; xid < 708; xid++) {
		BEGIN(w, xid);
		if (xid == 699)
			assert_int_equal(send_relation(w, HELP_OID), 0);
		INSERT(w, HELP_OID, "1", "a", NULL);
		COMMIT(w);
	}
	show(w);
	log = world_log(w, shape);
	assert_int_equal(count(log, "\"operation\":\"insert\""), 4);
	assert_int_equal(count(log, "[702]") + count(log, "[705]") + count(log, "[706]") + count(log, "[707]"), 4);
	free(log);
	assert_recovers(w, &shape);
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_relation_of_the_past_concerns_only_those_who_do_not_hold_it(void **state)
{
	static const struct column before[] = { { "id", 23, -1 }, { "name", 25, -1 } };
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "700:700:");

	(void)state;
	BEGIN(w, 650); /* the snapshot was taken after the column was added */
	assert_int_equal(send_relation_of(w, HELP_OID, "items", 'f', before, 2), 0);
	COMMIT(w);
	assert_false(is_going(shape));
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	INSERT(w, HELP_OID, "1", "a", NULL);
	COMMIT(w);
	show(w);
	assert_int_equal(cu_offset_cmp(cu_shape_status(shape).latest, cu_offset_of(1100, 0)), 0);
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_table_that_changed_takes_its_shapes_down_before_the_commit_shows(void **state)
{
	static const struct column renamed[] = { { "id", 23, -1 }, { "title", 25, -1 }, { "note", 1043, 14 } };
	static const struct {
		const char *name;
		char identity;
		const struct column *columns;
		unsigned len;
	} cases[] = {
		{ "things", 'f', items_columns, 3 },
		{ "items", 'f', items_columns, 2 },
		{ "items", 'f', renamed, 3 },
		{ "items", 'd', items_columns, 3 },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct world *w = world_new(NULL);
		cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
		cu_shape *other = world_shape(w, help_definition(HELP_OID + 1, false), "1:1:");

		BEGIN(w, 700);
		assert_int_equal(send_relation(w, HELP_OID + 1), 0);
		INSERT(w, HELP_OID + 1, "1", "a", NULL);
		assert_int_equal(send_relation_of(w, HELP_OID, cases[i].name, cases[i].identity, cases[i].columns,
						  cases[i].len),
				 0);
		COMMIT(w);
		assert_true(is_going(shape));
		assert_false(is_going(other));
		show(w);
		assert_int_equal(cu_offset_cmp(cu_shape_status(other).latest, cu_offset_of(1000, 0)), 0);
		cu_shape_unref(&shape);
		cu_shape_unref(&other);
		world_free(w);
	}
}

static void a_doomed_shape_lives_on_when_the_transaction_is_dropped(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	INSERT(w, HELP_OID, "1", "a", NULL);
	assert_int_equal(send_truncate(w, HELP_OID), 0);
	cu_collector_abort(w->c);
	assert_false(is_going(shape));
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	assert_int_equal(send_truncate(w, HELP_OID), 0);
	assert_false(is_going(shape));
	COMMIT(w);
	assert_true(is_going(shape));
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_change_without_its_old_row_takes_the_shape_down(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 3; how++) {
		struct world *w = world_new(NULL);
		cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

		BEGIN(w, 700);
		assert_int_equal(send_relation(w, HELP_OID), 0);
		if (how == 0)
			assert_int_equal(send_change(w, HELP_OID, NULL, ROW("1", "a", NULL), 'U'), 0);
		else if (how == 1)
			assert_int_equal(send_change(w, HELP_OID, ROW("1", NULL, NULL), ROW("2", "a", NULL), 'K'), 0);
		else
			assert_int_equal(send_change(w, HELP_OID, ROW("1", NULL, NULL), NULL, 'K'), 0);
		COMMIT(w);
		assert_true(is_going(shape));
		cu_shape_unref(&shape);
		world_free(w);
	}
}

static void a_partition_with_other_column_order_goes_to_its_root(void **state)
{
	static const struct column permuted[] = { { "note", 1043, 14 }, { "id", 23, -1 }, { "name", 25, -1 } };
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	(void)state;
	w->ancestor = HELP_OID;
	BEGIN(w, 700);
	assert_int_equal(send_relation_of(w, LEAF_OID, "items_2026", 'f', permuted, 3), 0);
	INSERT(w, LEAF_OID, "n", "1", "a");
	COMMIT(w);
	show(w);
	assert_log(
		w, shape,
		"{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"1\\\"\",\"value\":{\"id\":\"1\",\"name\":\"a\",\"note\":\"n\"},"
		"\"headers\":{\"operation\":\"insert\"," REL
		"\"lsn\":\"1000\",\"op_position\":0,\"txids\":[700],\"last\":true}}");
	cu_shape_unref(&shape);
	world_free(w);
}

static void what_cannot_be_followed_is_refused(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_change(w, HELP_OID, NULL, ROW("1", "a", NULL), 'O'), CU_ECORRUPT); /* never described */
	cu_collector_abort(w->c);
	assert_int_equal(send_commit(w), CU_ECORRUPT);
	assert_int_equal(send_change(w, HELP_OID, NULL, ROW("1", "a", NULL), 'O'), CU_ECORRUPT);
	assert_int_equal(send_truncate(w, HELP_OID), CU_ECORRUPT);
	cu_buf_puts(&w->message, "?");
	assert_true(send_message(w) < 0);
	cu_buf_puts(&w->message, "B");
	assert_int_equal(send_message(w), CU_ECORRUPT);
	assert_false(is_going(shape));
	assert_int_equal(w->c->safe_lsn, 0);
	cu_shape_unref(&shape);
	world_free(w);
}

static void a_transaction_that_nobody_sees_leaves_nothing_and_still_counts(void **state)
{
	struct world *w = world_new(NULL);
	uint64_t end = cu_changelog_end(w->c->log);

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	INSERT(w, HELP_OID, "1", "a", NULL);
	COMMIT(w);
	show(w);
	assert_int_equal(cu_changelog_end(w->c->log), end);
	assert_int_equal(w->c->safe_lsn, 1050);
	assert_int_equal(cu_collector_last_tx(w->c), 1000);
	world_free(w);
}

static void a_shape_removed_in_the_middle_takes_nothing_more(void **state)
{
	struct world *w = world_new(NULL);
	cu_shape *shape = world_shape(w, help_definition(HELP_OID, false), "1:1:");
	cu_shape *stays = world_shape(w, help_definition(HELP_OID, true), "1:1:");

	(void)state;
	BEGIN(w, 700);
	assert_int_equal(send_relation(w, HELP_OID), 0);
	INSERT(w, HELP_OID, "1", "a", NULL);
	cu_collector_unlock_router(w->c);
	cu_shape_set_remove(w->set, shape, "a test", NULL);
	INSERT(w, HELP_OID, "2", "a", NULL);
	COMMIT(w);
	show(w);
	assert_true(is_going(shape));
	assert_int_equal(cu_shape_log_of(shape)->tail.visible, 0);
	assert_int_equal(cu_offset_cmp(cu_shape_status(stays).latest, cu_offset_of(1000, 2)), 0);
	cu_shape_unref(&shape);
	assert_recovers(w, &stays);
	cu_shape_unref(&stays);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_change_becomes_its_item),
		cmocka_unit_test(an_unchanged_toast_value_comes_from_the_old_row),
		cmocka_unit_test(several_shapes_see_their_own_items_only),
		cmocka_unit_test(what_many_shapes_see_alike_is_written_once),
		cmocka_unit_test(a_transaction_larger_than_a_fragment_is_shown_whole),
		cmocka_unit_test(a_connection_that_breaks_in_the_middle_leaves_nothing),
		cmocka_unit_test(a_transaction_that_is_held_is_skipped_when_it_comes_again),
		cmocka_unit_test(another_history_is_noticed_by_its_transactions),
		cmocka_unit_test(what_the_snapshot_holds_is_not_shown_again),
		cmocka_unit_test(a_relation_of_the_past_concerns_only_those_who_do_not_hold_it),
		cmocka_unit_test(a_table_that_changed_takes_its_shapes_down_before_the_commit_shows),
		cmocka_unit_test(a_doomed_shape_lives_on_when_the_transaction_is_dropped),
		cmocka_unit_test(a_change_without_its_old_row_takes_the_shape_down),
		cmocka_unit_test(a_partition_with_other_column_order_goes_to_its_root),
		cmocka_unit_test(what_cannot_be_followed_is_refused),
		cmocka_unit_test(a_transaction_that_nobody_sees_leaves_nothing_and_still_counts),
		cmocka_unit_test(a_shape_removed_in_the_middle_takes_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
