/* cases.h: what the benchmarks of one module share: cases in processes of their own, so that none inherits another's heap;
 * medians; figures for bench/run. Lines to read go to stderr, figures to stdout. Threads: one. */
#ifndef CU_BENCH_CASES_H
#define CU_BENCH_CASES_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_REPEAT_MAX 99u

struct bench_case {
	const char *name;
	void (*run)(void);
};

extern unsigned bench_repeat; /* --repeat N, from 1 to BENCH_REPEAT_MAX; 5 */

/* Arguments: [--repeat N] [CASE…]; all cases when none is named. The exit code. */
int bench_cases(int argc, char **argv, const struct bench_case *cases, size_t len);
/* An error code ends the case with its text. */
void bench_check(int64_t rc);
uint64_t bench_random(uint64_t *seed);
/* Sorts the list. */
double bench_median(double *list, size_t len);
/* One figure for bench/run, as a line of JSON. yardstick 0: it has none; ratio: of ours to it. */
void bench_figure(const char *name, double ours, double yardstick, double ratio, const char *unit, const char *relation,
		  double target);

#endif
