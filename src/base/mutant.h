/* mutant.h: faults put in on purpose, to prove that the simulation would find them (tests/sim/).
 *
 * CU_MUTANT(NAME) is 0 in every build but the simulation's (CU_SIM), where a test chooses which one is alive. Each
 * stands at a place where a small slip has cost somebody a message: what it says is what the code would do wrong.
 */
#ifndef CU_MUTANT_H
#define CU_MUTANT_H

#ifdef CU_SIM
enum cu_mutant {
	CU_MUTANT_NONE,
	CU_MUTANT_SUSPEND_WITH_INBOX,      /* wheel.c: suspends without looking at the inbox again */
	CU_MUTANT_START_LEAVES_CALLS,      /* actor.c: calls that came during on_start are left to the workers */
	CU_MUTANT_STOP_FORGETS_STARTS,     /* actor.c: a start that the stop has overtaken opens all the same */
	CU_MUTANT_DEMONITOR_LEAVES_LINK,   /* monitor.c: says taken back, and leaves it in the list */
	CU_MUTANT_NOTICE_WAKES_NOBODY,     /* monitor.c: the notice is queued, the watcher not woken */
	CU_MUTANT_KILL_IGNORES_OWNER,      /* actor.c: ends an actor that somebody is running */
	CU_MUTANT_UNLOCK_WAKES_NOBODY,     /* internal.h: lets go of a slot's lock without a look at who waits */
	CU_MUTANT_WIPE_FORGETS_GENERATION, /* slots.c: wiped slots begin with the first generation again */
	CU_MUTANT_WITHDRAW_LEAVES_GROUP,   /* run_queue.c: a large call returns and is still offered to workers */
	CU_MUTANT_RETRY_REMOVES_ANY,       /* publish.c: the retry removes whatever entry is there */
	CU_MUTANT_NOPROC_IS_A_CRASH,       /* publish.c: suspended just before the event counts as crashed */
	CU_MUTANT_NO_GRACE_PERIOD,         /* table.c: frees while readers may look */

	/* tests/crash/ */
	CU_MUTANT_CONFIRM_BEFORE_STORED,  /* collector.c: tells Postgres before the checkpoint is durable */
	CU_MUTANT_DROP_TO_CHECKPOINT,     /* sealer.c: drops segments that tails still need */
	CU_MUTANT_TRANSACTION_TWICE,      /* transaction.c: takes in what came again */
	CU_MUTANT_ABORT_LEAVES_NO_RECORD, /* transaction.c: an aborted transaction stays open in the change log */
	CU_MUTANT_CUT_LEAVES_THE_REST,    /* changelog_scan.c: what lies behind the checkpoint stays */
	CU_MUTANT_DROP_WHAT_ENDS_THERE,   /* changelog.c: drops the segment that ends where the checkpoint does */
	CU_MUTANT_REPLAY_SHOWS_HELD,      /* replay.c: also transactions that the snapshot holds */
	CU_MUTANT_REPLAY_WANTS_ABORTED, /* replay.c: refuses a log without the dropped part of an aborted transaction */
	CU_MUTANT_SHAPE_WITHOUT_DEFINITION, /* shape_set.c: promised although its definition could not be stored */
	CU_MUTANT_LOADED_IS_NOT_SYNCED,     /* metadata_sql.c: what the page cache had at the start counts as durable */
	CU_MUTANT_PARENT_SYNCED_ONCE,       /* store.c: the directory's name is durable because it is there */
	CU_MUTANT_SWEEP_FORGETS_REMOVING,   /* sealer.c: drops what a shape needs whose removal is not durable */
	CU_MUTANT_DROP_DESPITE_UNREMOVED,   /* sealer.c: drops what a shape needs whose removal the disk refused */
	CU_MUTANT_SEAL_BEYOND_CHECKPOINT,   /* sealer.c: seals what a crash may cut from the change log */
	CU_MUTANT_STRAYS_STAY,              /* sealer.c: log chunks without a row are left at the start */
	CU_MUTANT_REPLAY_SHOWS_SEALED,      /* replay.c: also what stands in a sealed chunk */
	CU_MUTANT_CHECKPOINT_PASSES_REMOVALS, /* shape_set.c: a checkpoint covers what a shape missed that is being removed */
	CU_MUTANT_FILES_GO_FIRST,             /* store.c: a shape's files go before its row */
	CU_MUTANT_ORPHANS_STAY,               /* store.c: files without a row are left at the start */
	CU_MUTANT_COPY_LEAVES_FILES, /* snapshot_copy.c: of a shape that was removed before its first file came */
	CU_MUTANT_COMPACTED_FILES_GO_FIRST, /* compactor.c: the old chunks go before the new one's row is durable */
	CU_MUTANT_SEALED_LEAVES_FILES,      /* sealer.c: of a shape that was removed before its chunk came */
	CU_MUTANT_MERGE_TAKES_THE_LAST,     /* compact.c: a merged update has the columns of the last one only */
	CU_MUTANT_DEFINITION_ID_AGAIN,      /* shape_set.c: an id that a stored shape still names is given again */
	CU_MUTANT_COUNT
};
extern enum cu_mutant cu_mutant;
#define CU_MUTANT(name) (cu_mutant == CU_MUTANT_##name)
/* What a check of invariants does is no step of the program: nobody else goes on meanwhile. */
void cu_sim_pause(int by);
#define CU_UNSEEN(check) (cu_sim_pause(1), (check), cu_sim_pause(-1))
#else
#define CU_MUTANT(name) 0
#define CU_UNSEEN(check) (check)
#endif

#endif
