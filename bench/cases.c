#include "bench/cases.h"

#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

unsigned bench_repeat = 5;

void bench_check(int64_t rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, cu_strerror((int)rc));
	exit(1);
}

uint64_t bench_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static int double_compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

double bench_median(double *list, size_t len)
{
	qsort(list, len, sizeof *list, double_compare);
	return list[(len - 1) / 2];
}

void bench_figure(const char *name, double ours, double yardstick, double ratio, const char *unit, const char *relation,
		  double target)
{
	printf("{\"name\":\"%s\",\"ours\":%g,\"yardstick\":", name, ours);
	if (yardstick > 0)
		printf("%g,\"ratio\":%g", yardstick, ratio);
	else
		printf("null,\"ratio\":null");
	printf(",\"unit\":\"%s\",\"relation\":\"%s\",\"target\":%g}\n", unit, relation, target);
	fflush(stdout);
}

static int case_run(const struct bench_case *one)
{
	pid_t child = fork();
	int status = 1;

	if (child == 0) {
		one->run();
		fflush(NULL);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) {
		fprintf(stderr, "%s: %s failed\n", program_invocation_short_name, one->name);
		return 1;
	}
	return 0;
}

static int usage(const struct bench_case *cases, size_t len)
{
	fprintf(stderr, "usage: %s [--repeat N] [CASE…], of the cases", program_invocation_short_name);
	for (size_t c = 0; c < len; c++)
		fprintf(stderr, " %s", cases[c].name);
	fprintf(stderr, "\n");
	return 2;
}

int bench_cases(int argc, char **argv, const struct bench_case *cases, size_t len)
{
	bool some = false;
	int rc = 0;

	for (int i = 1; i < argc; i++) {
		size_t c = 0;

		if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) {
			int n = atoi(argv[++i]);

			bench_repeat = n < 1 ? 1 : CU_MIN((unsigned)n, BENCH_REPEAT_MAX);
			continue;
		}
		while (c < len && strcmp(argv[i], cases[c].name) != 0)
			c++;
		if (c == len)
			return usage(cases, len);
		some = true;
		rc |= case_run(&cases[c]);
	}
	for (size_t c = 0; !some && c < len; c++)
		rc |= case_run(&cases[c]);
	return rc;
}
