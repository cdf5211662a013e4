#include "bench/samples.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>

void cu_samples_add(cu_samples *samples, double value)
{
	if (samples->len == samples->cap) {
		samples->cap = samples->cap ? samples->cap * 2 : 256;
		samples->values = cu_xrealloc(samples->values, samples->cap * sizeof *samples->values);
	}
	samples->values[samples->len++] = value;
	samples->sorted = false;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double cu_samples_at(cu_samples *samples, double p)
{
	size_t rank;

	if (samples->len == 0)
		return 0;
	if (!samples->sorted) {
		qsort(samples->values, samples->len, sizeof *samples->values, compare);
		samples->sorted = true;
	}
	rank = (size_t)ceil(p * (double)samples->len);
	return samples->values[rank ? rank - 1 : 0];
}

void cu_samples_clear(cu_samples *samples)
{
	samples->len = 0;
	samples->sorted = false;
}

void cu_samples_fini(cu_samples *samples)
{
	free(samples->values);
	*samples = (cu_samples){ 0 };
}
