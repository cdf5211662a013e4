/* sim.h: a deterministic scheduler for code that uses threads.
 *
 * The threads are real ones, but exactly one runs: it holds the baton. At every schedule point (lock, unlock, wait,
 * signal, atomic access, RCU section: hooks.h) a generator with a seed decides who goes on. A thread that must wait
 * hands the baton over, so the same seed gives the same interleaving, on any machine; the hash of the trace proves
 * it. When nobody can go on it is a deadlock, when it never ends a livelock: both fail.
 *
 * Two ways to choose, by seed: a random walk (of several eagerness), and priorities that change at a few random
 * steps (PCT, Burckhardt et al. 2010), which finds with few seeds what needs few unlucky switches.
 *
 * cu_sim_explore() runs seeds in a child process, because a bug may abort it. COPPER_SIM_SEED=n replays one seed and
 * prints its trace; COPPER_SIM_SEEDS=n says how many to explore, COPPER_SIM_FIRST=n from which on.
 */
#ifndef CU_SIM_H
#define CU_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mutant.h"

/* Inside a simulated thread. */
uint32_t cu_sim_random(uint32_t bound); /* [0, bound), from the seed */
void cu_sim_quiesce(void);              /* until every other thread waits for something or is done */
void cu_sim_note(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a line of the trace */
_Noreturn void cu_sim_fail(const char *file, int line, const char *text);
#define CU_SIM_CHECK(cond) ((cond) ? (void)0 : cu_sim_fail(__FILE__, __LINE__, #cond))
/* Threads of the scenario itself. */
struct cu_sim_task {
	void (*fn)(void *arg);
	void *arg;
};
void cu_sim_together(const struct cu_sim_task *tasks, unsigned count); /* runs them at once, waits for all */

/* Runs main_fn as a simulated thread and returns the hash of the trace. Everything it started has ended, everything
 * it allocated has been freed. */
uint64_t cu_sim_run(uint64_t seed, void (*main_fn)(void *arg), void *arg);

struct cu_sim_result {
	bool passed;
	uint64_t seed; /* the failing one */
	uint64_t runs;
	uint64_t hash; /* of all traces */
	uint64_t steps;
	uint64_t switches;
};
/* Seeds first … first + count - 1 in a child process. quiet: its words are not shown. */
void cu_sim_explore(void (*main_fn)(void *arg), uint64_t first, uint64_t count, enum cu_mutant mutant, bool quiet,
		    struct cu_sim_result *ret_result);
/* What a test claims; false, and says why on stderr, when it is not so. COPPER_SIM_SEED replaces all of them. */
/* `usual` seeds pass (COPPER_SIM_SEEDS: as many as that). */
bool cu_sim_expect_pass(const char *name, void (*main_fn)(void *arg), uint64_t usual);
/* Each of these seeds gives the same trace twice, and another one gives another. */
bool cu_sim_expect_repeatable(void (*main_fn)(void *arg), uint64_t count);
/* The fault is found within so many seeds. */
bool cu_sim_expect_found(const char *what, void (*main_fn)(void *arg), enum cu_mutant mutant, uint64_t within);

#endif
