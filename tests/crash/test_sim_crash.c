/* The store on a disk that crashes: after recovery and replay every log is what Postgres' transactions make of it, every
 * shape that was promised is there, and none that was removed; several lives of the process for each seed.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"
#include "crash/check.h"
#include "crash/removal.h"
#include "sim/sim.h"

#include <stdlib.h>

enum { SEEDS = 200 };

/* One of the shapes of this process; NULL: there is none. */
static struct known *random_known(struct world *world)
{
	struct known *found = NULL;
	uint32_t count = 0;

	for (struct known *known = world->known; known; known = known->next) {
		if (known->shape && cu_sim_random(++count) == 0)
			found = known;
	}
	return found;
}

/* A young one if there is one, every other time: whose snapshot is under way. */
static void remove_one(struct world *world)
{
	struct known *known = random_known(world);
	bool young = cu_sim_random(2);

	if (!known)
		return;
	for (struct known *other = world->known; young && known->live && other; other = other->next) {
		if (other->shape && !other->live && !other->asked_to_go)
			known = other;
	}
	removal_ask(world, known);
}

enum action {
	ACTION_COMMIT,
	ACTION_CREATE,
	ACTION_REMOVE,
	ACTION_BEGIN,
	ACTION_BREAK,
	ACTION_CATCH_UP,
	ACTION_CHECK,
	ACTION_RETAIN,
	ACTION_PAUSE,
	ACTIONS
};

/* How often each is done, by seed: what is rare in all of them together is common in some. */
static void choose_weights(bool churn, uint32_t weights[ACTIONS])
{
	static const uint32_t some[] = { 0, 1, 2, 4, 8 };

	for (unsigned i = 0; i < ACTIONS; i++)
		weights[i] = some[cu_sim_random(CU_ARRAY_LEN(some))];
	weights[ACTION_COMMIT] += 4;
	weights[ACTION_CREATE] += 1;
	if (churn)
		weights[ACTION_CREATE] = weights[ACTION_REMOVE] = 4;
}

static enum action choose(const uint32_t weights[ACTIONS])
{
	uint32_t sum = 0, at;
	unsigned action = 0;

	for (unsigned i = 0; i < ACTIONS; i++)
		sum += weights[i];
	for (at = cu_sim_random(sum); at >= weights[action]; action++)
		at -= weights[action];
	return action;
}

static void act(struct world *world, const uint32_t weights[ACTIONS])
{
	struct known *known;

	switch (choose(weights)) {
	case ACTION_COMMIT: postgres_commit(world->pg); break;
	case ACTION_CREATE:
		if (world->waiting_len < WAITING_MAX)
			world_create(world, cu_sim_random(DEFINITIONS));
		break;
	case ACTION_REMOVE:
		if (world->churn)
			removal_in_drain(world);
		else
			remove_one(world);
		break;
	case ACTION_BEGIN: postgres_begin(world->pg); break;
	case ACTION_BREAK: postgres_break(world->pg); break;
	case ACTION_CATCH_UP: world_catch_up(world); break;
	case ACTION_CHECK:
		known = random_known(world);
		if (known)
			check_shape(world, known);
		break;
	case ACTION_RETAIN: world_retain(world); break;
	case ACTION_PAUSE:
	case ACTIONS: world_pause(world); break;
	}
	check_told(world);
}

/* The life of one process, until the disk stops, or it is stopped. */
static void live(struct world *world, bool last)
{
	uint32_t acts = last ? 0 : 5 + cu_sim_random(60), weights[ACTIONS];

	choose_weights(world->churn, weights);
	if (!world_start(world))
		return;
	check_recovered(world);
	world_follow(world);
	/* Nobody is served before it is known that the stored shapes can go on. */
	while (!world_is_over(world) && !cu_collector_server_version(world->collector))
		world_pause(world);
	while (acts-- && !world_is_over(world))
		act(world, weights);
	if ((last || cu_sim_random(2)) && world_catch_up(world)) {
		check_caught_up(world);
		check_files(world);
	}
	check_told(world);
	world_stop(world);
	check_told(world);
}

static uint32_t some_steps(void)
{
	static const uint32_t steps[] = { 10, 40, 150, 400, 400, 1000 };

	return cu_sim_random(steps[cu_sim_random(CU_ARRAY_LEN(steps))]);
}

/* Most lives end by a crash: somewhere, or just behind the removal of something that was needed a moment ago. */
static void choose_end(struct disk *disk)
{
	switch (cu_sim_random(8)) {
	case 0: break;
	case 1: disk_arm_behind(disk, DISK_LIE_SEGMENT, 1 + cu_sim_random(20)); break;
	case 2: disk_arm_behind(disk, DISK_LIE_LOG_CHUNK, 1 + cu_sim_random(20)); break;
	default: disk_arm(disk, 1 + some_steps());
	}
}

/* A disk whose syncs have failed is often full afterwards: that is when a start meets what was not kept. */
static void choose_trouble(struct disk *disk, bool last)
{
	if (!last && cu_sim_random(3) == 0)
		disk_make_trouble(disk, cu_sim_random(2) ? DISK_FULL : DISK_SYNC_FAILS, some_steps(),
				  1 + cu_sim_random(20));
	else if (!last && disk_lost_metadata(disk) && cu_sim_random(2))
		disk_make_trouble(disk, DISK_FULL, cu_sim_random(4), 1 + cu_sim_random(20));
	else
		disk_make_trouble(disk, DISK_FINE, 0, 0);
}

static void scenario(void *arg)
{
	struct world *world = world_new();
	uint32_t lives = 3 + cu_sim_random(4);

	(void)arg;
	while (lives--) {
		world->churn = lives && cu_sim_random(4) == 0;
		if (lives && !world->churn)
			choose_end(world->disk);
		choose_trouble(world->disk, lives == 0);
		live(world, lives == 0);
		world->had_trouble |= disk_failed(world->disk);
		/* A process that ends leaves its files in the page cache; then the power may fail all the same. */
		if (cu_sim_random(disk_crashed(world->disk) ? 4 : 2))
			disk_recover(world->disk);
		else
			disk_survive(world->disk);
	}
	world_free(&world);
}

static void every_seed_recovers(void **state)
{
	(void)state;
	assert_true(cu_sim_expect_pass("crash", scenario, SEEDS));
}

static void seeds_are_repeatable(void **state)
{
	(void)state;
	assert_true(cu_sim_expect_repeatable(scenario, 5));
}

/* Each fsync is needed: a disk that only pretends it loses something that was promised. */
static void a_disk_that_lies_is_found_out(void **state)
{
	static const struct {
		enum disk_lie lie;
		const char *what;
		uint64_t within;
	} lies[] = {
		{ DISK_LIE_FORMAT, "format.tmp is not synced", 400 },
		{ DISK_LIE_SEGMENT, "change log segments are not synced", 400 },
		{ DISK_LIE_CHUNK, "snapshot files are not synced", 400 },
		{ DISK_LIE_LOG_CHUNK, "sealed chunks are not synced", 400 },
		{ DISK_LIE_WAL, "SQLite's write-ahead file is not synced", 400 },
		{ DISK_LIE_DATABASE, "SQLite's main file is not synced", 400 },
		{ DISK_LIE_PARENT_DIR, "the directory above the store is not synced", 400 },
		{ DISK_LIE_STORE_DIR, "the store's directory is not synced", 400 },
		{ DISK_LIE_LOG_DIR, "log/ is not synced", 400 },
		{ DISK_LIE_SHAPE_DIR, "a shape's directory is not synced", 400 },
		{ DISK_LIE_SHAPES_DIR, "shapes/ is not synced", 400 },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(lies); i++) {
		bool found;

		disk_lie = lies[i].lie;
		found = cu_sim_expect_found(lies[i].what, scenario, CU_MUTANT_NONE, lies[i].within);
		disk_lie = DISK_HONEST;
		assert_true(found);
	}
}

/* Some take many seeds: those are looked for by `make crash-sim` alone. */
static bool is_looked_for(uint64_t within)
{
	return within <= 1000 || getenv("COPPER_CRASH_RARE");
}

static void slips_of_the_store_are_found(void **state)
{
	static const struct {
		enum cu_mutant mutant;
		const char *what;
		uint64_t within;
	} slips[] = {
		{ CU_MUTANT_CONFIRM_BEFORE_STORED, "confirmed before the checkpoint is durable", 400 },
		{ CU_MUTANT_DROP_TO_CHECKPOINT, "segments dropped that a tail needs", 400 },
		{ CU_MUTANT_TRANSACTION_TWICE, "a transaction taken in twice", 400 },
		{ CU_MUTANT_ABORT_LEAVES_NO_RECORD, "an abort that is not in the change log", 1000 },
		{ CU_MUTANT_CUT_LEAVES_THE_REST, "a log that is not cut at the checkpoint", 1000 },
		{ CU_MUTANT_REPLAY_SHOWS_HELD, "replay shows what the snapshot holds", 5000 },
		{ CU_MUTANT_SEAL_BEYOND_CHECKPOINT, "sealed beyond the checkpoint", 1000 },
		{ CU_MUTANT_STRAYS_STAY, "sealed chunks without a row stay", 1000 },
		{ CU_MUTANT_COMPACTED_FILES_GO_FIRST, "compacted chunks' files removed before the new row", 1000 },
		{ CU_MUTANT_MERGE_TAKES_THE_LAST, "a merged update without the columns of the others", 5000 },
		{ CU_MUTANT_REPLAY_SHOWS_SEALED, "replay shows what is sealed", 400 },
		{ CU_MUTANT_FILES_GO_FIRST, "a shape's files removed before its row", 400 },
		{ CU_MUTANT_ORPHANS_STAY, "files without a row stay", 400 },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(slips); i++) {
		if (is_looked_for(slips[i].within))
			assert_true(cu_sim_expect_found(slips[i].what, scenario, slips[i].mutant, slips[i].within));
	}
}

/* What it has found in the product: put back in, it is found again. */
static void assert_found_again(enum cu_mutant mutant, const char *what, uint64_t within)
{
	if (!is_looked_for(within))
		skip();
	assert_true(cu_sim_expect_found(what, scenario, mutant, within));
}

static void an_aborted_transaction_whose_segment_is_gone_does_not_stop_the_start(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_REPLAY_WANTS_ABORTED,
			   "a dropped part of an aborted transaction missed at the start", 10000);
}

static void a_log_dropped_up_to_its_checkpoint_opens(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_DROP_WHAT_ENDS_THERE, "the segment that ends at the checkpoint dropped", 20000);
}

static void a_shape_whose_removal_is_not_durable_keeps_its_segments(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_SWEEP_FORGETS_REMOVING, "segments dropped of a shape that a crash brings back",
			   1000);
}

static void a_shape_whose_removal_the_disk_refused_keeps_its_segments(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_DROP_DESPITE_UNREMOVED, "segments dropped of a shape whose removal was refused",
			   1000);
}

static void no_checkpoint_covers_what_a_shape_missed_that_is_being_removed(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_CHECKPOINT_PASSES_REMOVALS, "a checkpoint beyond a removal that is not durable",
			   10000);
}

static void a_shape_is_not_promised_when_its_definition_could_not_be_stored(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_SHAPE_WITHOUT_DEFINITION, "a shape promised whose definition could not be stored",
			   5000);
}

static void a_shape_without_its_definition_does_not_get_another_one(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_DEFINITION_ID_AGAIN,
			   "the id of a definition given again that a stored shape names", 20000);
}

static void a_commit_that_a_killed_process_left_is_synced_before_it_counts(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_LOADED_IS_NOT_SYNCED, "metadata found at the start and not synced", 10000);
}

static void a_directory_that_a_killed_process_left_is_synced_before_it_counts(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_PARENT_SYNCED_ONCE, "a directory found at the start and not synced", 10000);
}

static void a_shape_removed_before_its_first_file_leaves_none(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_COPY_LEAVES_FILES, "files of a shape that was removed before they came", 1000);
}

static void a_shape_removed_before_its_sealed_chunk_leaves_none(void **state)
{
	(void)state;
	assert_found_again(CU_MUTANT_SEALED_LEAVES_FILES, "a sealed chunk of a shape that was removed before it came",
			   1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_seed_recovers),
		cmocka_unit_test(seeds_are_repeatable),
		cmocka_unit_test(a_disk_that_lies_is_found_out),
		cmocka_unit_test(slips_of_the_store_are_found),
		cmocka_unit_test(an_aborted_transaction_whose_segment_is_gone_does_not_stop_the_start),
		cmocka_unit_test(a_log_dropped_up_to_its_checkpoint_opens),
		cmocka_unit_test(a_shape_whose_removal_is_not_durable_keeps_its_segments),
		cmocka_unit_test(a_shape_whose_removal_the_disk_refused_keeps_its_segments),
		cmocka_unit_test(no_checkpoint_covers_what_a_shape_missed_that_is_being_removed),
		cmocka_unit_test(a_shape_is_not_promised_when_its_definition_could_not_be_stored),
		cmocka_unit_test(a_shape_without_its_definition_does_not_get_another_one),
		cmocka_unit_test(a_commit_that_a_killed_process_left_is_synced_before_it_counts),
		cmocka_unit_test(a_directory_that_a_killed_process_left_is_synced_before_it_counts),
		cmocka_unit_test(a_shape_removed_before_its_first_file_leaves_none),
		cmocka_unit_test(a_shape_removed_before_its_sealed_chunk_leaves_none),
	};

	cu_log_level_max = getenv("COPPER_SIM_SEED") ? CU_LOG_INFO : CU_LOG_ERROR;
	if (getenv("COPPER_SIM_SEEDS"))
		cmocka_set_test_filter("every_seed_recovers"); /* make crash-sim */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
