/* The interval tree against a plain list: whatever was added and removed in which order, a value finds the ranges that hold it.
 * Bounds live no longer than their range, so that a tree which looks at one that is gone is caught. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "router/ranges.h"
#include "value/collation.h"

#include <stdio.h>
#include <stdlib.h>

enum { RANGES_MAX = 20000, TEXT_MAX = 8 };

/* A bound that is a text has a piece of memory of its own. */
struct bounds {
	struct cu_datum values[2];
	char *texts[2];
};

struct subject {
	struct cu_condition condition;
	struct bounds bounds;
	int numbers[2]; /* as `holds` sees them */
	bool in;
};

static struct subject subjects[RANGES_MAX];
static cu_route routes[RANGES_MAX]; /* two ranges each, as an OR would have it; .match counts how often it was found */
static size_t len;                  /* of the subjects */
static const struct cu_type *type;
static unsigned seed;

static unsigned below(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static cu_route *route_of(size_t i)
{
	return &routes[i / 2];
}

static struct cu_datum datum_make(int number, char **ret_text)
{
	*ret_text = NULL;
	if (type->repr == CU_REPR_INT)
		return (struct cu_datum){ .integer = number };
	*ret_text = cu_xmalloc(TEXT_MAX);
	return (struct cu_datum){ .len = (uint32_t)snprintf(*ret_text, TEXT_MAX, "%06d", number), .bytes = *ret_text };
}

/* Without bounds, with one, with two, each included or not; those of `numbers` are often the same. */
static void subject_make(struct subject *subject, int lower, int upper)
{
	struct cu_condition *condition = &subject->condition;

	*condition = (struct cu_condition){
		.kind = CU_COND_RANGE,
		.type = type,
		.values = subject->bounds.values,
		.has_lower = below(8) > 0,
		.has_upper = below(8) > 0,
		.lower_inclusive = below(2),
		.upper_inclusive = below(2),
	};
	subject->numbers[0] = lower;
	subject->numbers[1] = upper;
	if (condition->has_lower) {
		subject->bounds.values[0] = datum_make(lower, &subject->bounds.texts[0]);
		condition->values_len++;
	}
	if (condition->has_upper) {
		subject->bounds.values[condition->values_len] = datum_make(upper, &subject->bounds.texts[1]);
		condition->values_len++;
	}
}

static void subject_drop(struct subject *subject)
{
	free(subject->bounds.texts[0]);
	free(subject->bounds.texts[1]);
	*subject = (struct subject){ 0 };
}

static bool holds(const struct subject *subject, int number)
{
	const struct cu_condition *condition = &subject->condition;
	int lower = subject->numbers[0], upper = subject->numbers[1];

	return (!condition->has_lower || number > lower || (number == lower && condition->lower_inclusive)) &&
	       (!condition->has_upper || number < upper || (number == upper && condition->upper_inclusive));
}

static int count_sure(void *ctx, cu_route *route, bool sure)
{
	assert_null(ctx);
	assert_true(sure);
	route->match++;
	return 0;
}

static int count_any(void *ctx, cu_route *route, bool sure)
{
	assert_null(ctx);
	assert_false(sure);
	route->match++;
	return 0;
}

/* Each range was found as often as the list says. number: NULL: all. */
static void assert_found(const int *number)
{
	for (size_t i = 0; i < len; i++)
		route_of(i)->match -= subjects[i].in && (!number || holds(&subjects[i], *number));
	for (size_t i = 0; i < len; i += 2)
		assert_int_equal(route_of(i)->match, 0);
}

static void assert_as_list(const struct cu_ranges *ranges, int number)
{
	char *text;
	struct cu_datum value = datum_make(number, &text);

	assert_int_equal(cu_ranges_find(ranges, &value, count_sure, NULL), 0);
	assert_found(&number);
	free(text);
}

static void assert_each(const struct cu_ranges *ranges)
{
	size_t in = 0;

	for (size_t i = 0; i < len; i++)
		in += subjects[i].in;
	assert_int_equal(ranges->len, in);
	assert_int_equal(cu_ranges_each(ranges, count_any, NULL), 0);
	assert_found(NULL);
}

static void add(struct cu_ranges *ranges, size_t i, int lower, int upper)
{
	subject_make(&subjects[i], lower, upper);
	assert_int_equal(cu_ranges_add(ranges, &subjects[i].condition, route_of(i)), 0);
	subjects[i].in = true;
}

/* Removing needs no memory, and what is not there is not removed. */
static void take_out(struct cu_ranges *ranges, size_t i)
{
	cu_fault_alloc_from(1);
	assert_true(cu_ranges_remove(ranges, &subjects[i].condition, route_of(i)));
	assert_false(cu_ranges_remove(ranges, &subjects[i].condition, route_of(i)));
	cu_fault_alloc_at(0);
	subject_drop(&subjects[i]);
}

static void start(struct cu_ranges *ranges, uint32_t oid, size_t subjects_len)
{
	type = cu_type_builtin(oid);
	len = subjects_len;
	seed = 42;
	memset(subjects, 0, sizeof subjects);
	cu_ranges_init(ranges, type, oid == CU_TEXTOID ? cu_collation_c : NULL);
}

/* Full, to empty, and back, by random steps of which more add or more remove. Few values: most bounds have many equal ones. */
static void random_steps(uint32_t oid, unsigned values)
{
	enum { SUBJECTS = 600, STEPS = 9000, TURN = 3000 };
	struct cu_ranges ranges;

	start(&ranges, oid, SUBJECTS);
	for (unsigned step = 0; step < STEPS; step++) {
		size_t i = below(SUBJECTS);
		bool adding = below(8) < (step / (TURN / 2) % 2 ? 1u : 7u);

		if (adding && !subjects[i].in)
			add(&ranges, i, (int)below(values), (int)below(values));
		else if (!adding && subjects[i].in)
			take_out(&ranges, i);
		if (step % 8 == 0)
			assert_as_list(&ranges, (int)below(values + 2) - 1);
		if (step % 512 == 0)
			assert_each(&ranges);
	}
	for (size_t i = 0; i < SUBJECTS; i++) {
		if (subjects[i].in)
			take_out(&ranges, i);
	}
	assert_each(&ranges);
	assert_null(ranges.root);
	cu_ranges_fini(&ranges);
}

static void a_value_finds_the_ranges_that_hold_it(void **state)
{
	(void)state;
	random_steps(CU_INT4OID, 8);
	random_steps(CU_INT4OID, 5000);
	random_steps(CU_TEXTOID, 8);
	random_steps(CU_TEXTOID, 5000);
}

/* Four levels and more. order: 0: ascending, 1: descending, 2: any. */
static void many(unsigned order)
{
	enum { PROBES = 100 };
	static size_t at[RANGES_MAX];
	struct cu_ranges ranges;

	start(&ranges, CU_TEXTOID, RANGES_MAX);
	for (size_t i = 0; i < len; i++)
		at[i] = order == 1 ? len - 1 - i : i;
	for (size_t i = 0; i < len; i++) {
		size_t other = i + below((unsigned)(len - i)), was = at[i];

		if (order == 2) {
			at[i] = at[other];
			at[other] = was;
		}
		add(&ranges, at[i], (int)at[i] * 10, (int)at[i] * 10 + (int)below(40));
	}
	for (unsigned i = 0; i < PROBES; i++)
		assert_as_list(&ranges, (int)below(RANGES_MAX * 10));
	for (size_t i = 0; i < len; i++) {
		take_out(&ranges, at[(i * 7919) % len]);
		if (i % (RANGES_MAX / PROBES) == 0)
			assert_as_list(&ranges, (int)below(RANGES_MAX * 10));
	}
	assert_null(ranges.root);
}

static void twenty_thousand_come_and_go_in_any_order(void **state)
{
	(void)state;
	for (unsigned order = 0; order < 3; order++)
		many(order);
}

/* The n-th allocation of an add fails: the range is there, or it is not, and the others are as they were. */
static void a_range_that_memory_fails_changes_nothing(void **state)
{
	enum { SUBJECTS = 1200, VALUES = 50 };
	struct cu_ranges ranges;
	size_t failed = 0;

	(void)state;
	start(&ranges, CU_INT4OID, SUBJECTS);
	for (size_t i = 0; i < SUBJECTS; i++) {
		int rc = CU_ENOMEM;

		subject_make(&subjects[i], (int)below(VALUES), (int)below(VALUES));
		for (unsigned n = 1; rc == CU_ENOMEM; n++) {
			cu_fault_alloc_at(n);
			rc = cu_ranges_add(&ranges, &subjects[i].condition, route_of(i));
			cu_fault_alloc_at(0);
			if (rc == 0)
				break;
			assert_int_equal(rc, CU_ENOMEM);
			assert_false(cu_ranges_remove(&ranges, &subjects[i].condition, route_of(i)));
			assert_each(&ranges);
			assert_as_list(&ranges, (int)below(VALUES));
			failed++;
		}
		subjects[i].in = true;
	}
	assert_true(failed > SUBJECTS / 16); /* each node of the tree was asked for in vain once */
	assert_each(&ranges);
	for (int number = -1; number <= VALUES; number++)
		assert_as_list(&ranges, number);
	for (size_t i = 0; i < SUBJECTS; i++)
		take_out(&ranges, i);
	assert_null(ranges.root);
}

static int end_at_ten(void *ctx, cu_route *route, bool sure)
{
	unsigned *found = ctx;

	(void)route, (void)sure;
	return ++*found == 10 ? 4711 : 0;
}

static void a_search_ends_when_it_is_told_to(void **state)
{
	struct cu_ranges ranges;
	struct cu_datum value = { .integer = 5 };
	unsigned found = 0;

	(void)state;
	start(&ranges, CU_INT4OID, 1000);
	assert_int_equal(cu_ranges_find(&ranges, &value, end_at_ten, &found), 0);
	for (size_t i = 0; i < len; i++)
		add(&ranges, i, 0, 10);
	assert_int_equal(cu_ranges_find(&ranges, &value, end_at_ten, &found), 4711);
	assert_int_equal(found, 10);
	found = 0;
	assert_int_equal(cu_ranges_each(&ranges, end_at_ten, &found), 4711);
	assert_int_equal(found, 10);
	cu_ranges_fini(&ranges); /* with all of them in it */
}

static int count_one(void *ctx, cu_route *route, bool sure)
{
	unsigned *found = ctx;

	(void)route, (void)sure;
	++*found;
	return 0;
}

/* A cast from integer to oid leaves the datum as it is: -1 is the largest oid. */
static void a_number_is_what_its_type_says(void **state)
{
	struct cu_ranges ranges;
	struct cu_datum large = { .integer = -1 }, five = { .integer = 5 }, largest = { .integer = UINT32_MAX };
	struct cu_condition above = { .kind = CU_COND_RANGE, .values = &five, .values_len = 1, .has_lower = true };
	struct cu_condition below_largest = {
		.kind = CU_COND_RANGE, .values = &large, .values_len = 1, .has_upper = true
	};
	unsigned found = 0;

	(void)state;
	start(&ranges, CU_OIDOID, 2);
	above.type = below_largest.type = type;
	assert_int_equal(cu_ranges_add(&ranges, &above, &routes[0]), 0);
	assert_int_equal(cu_ranges_add(&ranges, &below_largest, &routes[1]), 0);
	assert_int_equal(cu_ranges_find(&ranges, &large, count_one, &found), 0);
	assert_int_equal(found, 1);
	assert_int_equal(cu_ranges_find(&ranges, &largest, count_one, &found), 0);
	assert_int_equal(found, 2);
	assert_int_equal(cu_ranges_find(&ranges, &five, count_one, &found), 0);
	assert_int_equal(found, 3);
	cu_ranges_fini(&ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_finds_the_ranges_that_hold_it),
		cmocka_unit_test(twenty_thousand_come_and_go_in_any_order),
		cmocka_unit_test(a_range_that_memory_fails_changes_nothing),
		cmocka_unit_test(a_search_ends_when_it_is_told_to),
		cmocka_unit_test(a_number_is_what_its_type_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
