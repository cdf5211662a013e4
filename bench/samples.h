/* samples.h: a growing list of numbers and its percentiles. Threads: one. Cost: a sort per change of the list. */
#ifndef CU_BENCH_SAMPLES_H
#define CU_BENCH_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cu_samples {
	double *values;
	size_t len;
	size_t cap;
	bool sorted;
} cu_samples;

void cu_samples_add(cu_samples *samples, double value);
/* The value that a share of p (0 … 1) of the samples does not exceed (nearest rank); 0 without samples. */
double cu_samples_at(cu_samples *samples, double p);
void cu_samples_clear(cu_samples *samples);
void cu_samples_fini(cu_samples *samples);

#endif
