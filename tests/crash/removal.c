/* removal.c: what has to meet is made to meet. */
#include "crash/removal.h"

#include "sim/sim.h"

/* What does not come within so many does not come. */
enum { COMMITS_MAX = 25, COMMIT_PAUSES = 30, DROP_PAUSES = 150 };

void removal_ask(struct world *world, struct known *known)
{
	cu_sim_note("main: %s is to go", known->handle);
	known->asked_to_go = true;
	cu_shape_set_remove(world->set, known->shape, "simulated", NULL);
}

/* Of the complete ones, that whose tail begins first in the change log; NULL: none has one. */
static struct known *oldest_tail(const struct world *world)
{
	struct known *found = NULL;
	uint64_t oldest = UINT64_MAX;

	for (struct known *known = world->known; known; known = known->next) {
		uint64_t first = UINT64_MAX;

		if (!known->shape)
			continue;
		cu_shape_lock(known->shape);
		if (known->shape->state == CU_SHAPE_LIVE && known->shape->log && known->shape->log->tail.len)
			first = cu_tail_run_at(&known->shape->log->tail, 0)->pos;
		cu_shape_unlock(known->shape);
		if (first < oldest) {
			oldest = first;
			found = known;
		}
	}
	return found;
}

/* Commits until a checkpoint is durable at which the log is drained; whoever says so is held up. Returns for whom it is kept. */
static struct known *stop_before_drain(struct world *world)
{
	cu_changelog *log = cu_store_changelog(world->store);
	struct postgres *pg = world->pg;

	for (unsigned i = 0; i < COMMITS_MAX && !world_is_over(world); i++) {
		struct known *oldest = oldest_tail(world);

		if (!oldest && !world->waiting_len)
			world_create(world, cu_sim_random(DEFINITIONS));
		postgres_commit(pg);
		pg->confirms.wanted = true;
		for (unsigned j = 0; j < COMMIT_PAUSES && !pg->confirms.held && !world_is_over(world); j++)
			world_pause(world);
		oldest = oldest_tail(world);
		if (pg->confirms.held && oldest && cu_changelog_end(log) - cu_changelog_start(log) > LOG_BYTES_MIN)
			return oldest;
		pg->confirms.wanted = false;
	}
	return NULL;
}

/* Lets the sealer go on until the log has lost a segment. */
static void await_drop(struct world *world)
{
	cu_changelog *log = cu_store_changelog(world->store);
	uint64_t start = cu_changelog_start(log);

	world->pg->confirms.wanted = false;
	for (unsigned i = 0; i < DROP_PAUSES && cu_changelog_start(log) == start && !world_is_over(world); i++)
		world_pause(world);
	if (world->stops)
		disk_arm(world->disk, 1 + cu_sim_random(20));
}

static bool all_are_gone(const struct world *world)
{
	for (const struct known *known = world->known; known; known = known->next) {
		if (known->shape && cu_shape_status(known->shape).state != CU_SHAPE_GONE)
			return false;
	}
	return true;
}

/* All shapes, while a file of one of them is about to be made: a sealed chunk, or a snapshot. */
static void all_before_a_file(struct world *world)
{
	struct hold *hold = disk_hold(world->disk);

	hold->wanted = true;
	world->pg->confirms.wanted = false;
	if (world->waiting_len == 0)
		world_create(world, cu_sim_random(DEFINITIONS));
	for (unsigned i = 0; i < DROP_PAUSES && !hold->held && !world_is_over(world); i++)
		world_pause(world);
	for (struct known *known = world->known; known; known = known->next) {
		if (known->shape && cu_shape_status(known->shape).state <= CU_SHAPE_LIVE)
			removal_ask(world, known);
	}
	for (unsigned i = 0; i < DROP_PAUSES && !all_are_gone(world) && !world_is_over(world); i++)
		world_pause(world);
	hold->wanted = false;
}

/* Of nobody: what comes behind the checkpoint may not be on the disk yet when what is before it goes. */
static void drop_alone(struct world *world)
{
	world->stops = true;
	postgres_commit(world->pg);
	await_drop(world);
}

static void one_slowly(struct world *world, struct known *known)
{
	world->stops = cu_sim_random(2);
	world->held_up = known->shape;
	removal_ask(world, known);
	world->held_up = NULL;
	world->pg->confirms.wanted = false; /* somebody else may have removed it, and nobody waited */
}

static void one_in_vain(struct world *world, struct known *known)
{
	world->stops = cu_sim_random(2);
	disk_refuse_metadata(world->disk, 1 + cu_sim_random(2));
	removal_ask(world, known);
	await_drop(world);
}

void removal_in_drain(struct world *world)
{
	struct known *known = stop_before_drain(world);

	if (!known)
		return;
	switch (cu_sim_random(6)) {
	case 0: drop_alone(world); break;
	case 1: all_before_a_file(world); break;
	case 2: one_slowly(world, known); break;
	default: one_in_vain(world, known);
	}
}

void removal_forgotten(struct world *world, const cu_shape *shape)
{
	if (world->held_up == shape)
		await_drop(world);
}
