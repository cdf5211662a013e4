/* The router against the plain evaluator: whatever clauses are subscribed, a change touches those that are TRUE for one of
 * its rows, and no other. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "router/router.h"
#include "value/collation.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { COLUMNS = 7 };

static const char *const labels[] = { "low", "middle", "high" };
static const struct cu_type mood = {
	.oid = 20000, .repr = CU_REPR_ENUM, .category = 'E', .name = "public.mood", .labels = labels, .labels_len = 3
};

static cu_expr_scope *scope_new(void)
{
	struct cu_expr_column columns[COLUMNS] = {
		{ .name = "k", .type = cu_type_builtin(CU_INT4OID), .typmod = -1 },
		{ .name = "t", .type = cu_type_builtin(CU_TEXTOID), .typmod = -1, .collation = cu_collation_c },
		{ .name = "n", .type = cu_type_builtin(CU_NUMERICOID), .typmod = -1 },
		{ .name = "a", .type = cu_type_builtin(1007), .typmod = -1 },
		{ .name = "j", .type = cu_type_builtin(CU_JSONBOID), .typmod = -1 },
		{ .name = "m", .type = &mood, .typmod = -1 },
		{ .name = "b", .type = cu_type_builtin(CU_BOOLOID), .typmod = -1 },
	};

	return cu_expr_scope_new("items", columns, COLUMNS, cu_collation_c, 15, NULL, NULL);
}

static cu_expr *clause(cu_expr_scope *scope, const char *text)
{
	struct cu_expr_error err = { .message = CU_BUF_INIT };
	cu_expr *expr = NULL;

	if (cu_expr_new(scope, text, strlen(text), NULL, 0, &expr, &err) < 0)
		fail_msg("%s: %s", text, cu_buf_str(&err.message));
	cu_buf_fini(&err.message);
	return expr;
}

static unsigned seed;

static unsigned below(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

/* ---- random clauses and rows ---- */

static void put_condition(cu_buf *out)
{
	static const char *const words[] = { "a", "ab", "abc", "b", "ba", "" };
	unsigned x = below(12), y = below(12);

	switch (below(20)) {
	case 0: cu_buf_printf(out, "k = %u", x); return;
	case 1: cu_buf_printf(out, "k IN (%u, %u, %u)", x, y, x + 1); return;
	case 2: cu_buf_printf(out, "k > %u", x); return;
	case 3: cu_buf_printf(out, "k BETWEEN %u AND %u", CU_MIN(x, y), CU_MAX(x, y)); return;
	case 4: cu_buf_printf(out, "k >= %u AND k < %u", CU_MIN(x, y), CU_MAX(x, y)); return;
	case 5: cu_buf_printf(out, "t = '%s'", words[x % 6]); return;
	case 6: cu_buf_printf(out, "t LIKE '%s%s%%'", words[x % 6], y % 4 ? "" : y ? "\\_" : "_"); return;
	case 7: cu_buf_printf(out, "t LIKE '%%%s'", words[x % 6]); return;
	case 8: cu_buf_puts(out, "t IS NULL"); return;
	case 9: cu_buf_printf(out, "n = %u.%u", x % 3, y % 3); return;
	case 10: cu_buf_printf(out, "n <= %u.5", x); return;
	case 11: cu_buf_printf(out, "a @> '{%u,%u}'", x % 4, y % 4); return;
	case 12: cu_buf_printf(out, "a && '{%u,%u}'", x % 4, y % 4); return;
	case 13: cu_buf_printf(out, "%u = ANY (a)", x % 4); return;
	case 14: cu_buf_printf(out, "j = '{\"a\": %u.0}'", x % 3); return;
	case 15: cu_buf_printf(out, "m = '%s'", labels[x % 3]); return;
	case 16: cu_buf_printf(out, "m > '%s'", labels[x % 3]); return;
	case 17: cu_buf_puts(out, x % 2 ? "b" : "NOT b"); return;
	case 18: cu_buf_printf(out, "k + 1 = %u", x); return;
	default: cu_buf_printf(out, "10 / k > %u", y); return; /* fails for k = 0 */
	}
}

static void put_clause(cu_buf *out, unsigned depth)
{
	unsigned parts = depth ? 1 + below(3) : 1;
	const char *joint = below(2) ? " AND " : " OR ";

	for (unsigned i = 0; i < parts; i++) {
		cu_buf_puts(out, i ? joint : "");
		cu_buf_puts(out, "(");
		if (parts > 1)
			put_clause(out, depth - 1);
		else
			put_condition(out);
		cu_buf_puts(out, ")");
	}
}

struct row {
	struct cu_pg_value values[COLUMNS];
	char text[COLUMNS][32];
};

static void row_make(struct row *row)
{
	static const char *const texts[] = { "", "a", "ab", "abc", "abcd", "b", "ba", "a_c" };
	static const char *const arrays[] = { "{}", "{1}", "{1,2}", "{NULL,3}", "{0,1,2,3}", "{2,2}" };
	static const char *const jsons[] = { "{\"a\": 1}", "{\"a\": 1.00}", "{\"a\": 2}", "{}", "[1]" };

	snprintf(row->text[0], sizeof row->text[0], "%u", below(14));
	snprintf(row->text[1], sizeof row->text[1], "%s", texts[below(8)]);
	snprintf(row->text[2], sizeof row->text[2], "%u.%u0", below(3), below(3));
	snprintf(row->text[3], sizeof row->text[3], "%s", arrays[below(6)]);
	snprintf(row->text[4], sizeof row->text[4], "%s", jsons[below(5)]);
	/* "new" is a label that the scope does not know. */
	snprintf(row->text[5], sizeof row->text[5], "%s", below(40) ? labels[below(3)] : "new");
	snprintf(row->text[6], sizeof row->text[6], "%s", below(2) ? "t" : "f");
	for (unsigned i = 0; i < COLUMNS; i++) {
		bool null = below(8) == 0;

		row->values[i] =
			(struct cu_pg_value){ null ? CU_PG_NULL : CU_PG_TEXT, null ? 0 : (uint32_t)strlen(row->text[i]),
					      null ? NULL : row->text[i] };
	}
}

/* ---- the comparison ---- */

struct subject {
	cu_route route;
	cu_expr *expr;
	bool in;
	cu_buf text, sql;
};

static void assert_change(cu_router *router, void *key, struct subject *subjects, size_t len,
			  struct cu_expr_row *evaluated, const struct row *old_row, const struct row *new_row)
{
	struct cu_router_group *group = cu_router_groups(router, 1);
	const struct cu_router_match *matches = NULL;
	size_t matches_len = 0, found = 0;
	const struct row *rows[] = { old_row, new_row };

	if (group) {
		assert_ptr_equal(cu_router_group_key(group), key);
		assert_int_equal(cu_router_match(router, group, old_row ? old_row->values : NULL,
						 new_row ? new_row->values : NULL, &matches, &matches_len),
				 0);
	}
	for (size_t i = 0; i < len; i++) {
		struct subject *subject = &subjects[i];
		enum cu_truth truth[2] = { CU_FALSE, CU_FALSE };
		const struct cu_router_match *match = NULL;

		if (!subject->in)
			continue;
		for (unsigned r = 0; r < 2; r++) {
			if (!rows[r])
				continue;
			truth[r] = CU_TRUE;
			if (subject->expr) {
				cu_expr_row_set(evaluated, rows[r]->values);
				truth[r] = cu_expr_eval(subject->expr, evaluated, NULL);
			}
		}
		for (size_t m = 0; m < matches_len && !match; m++)
			match = matches[m].route == &subject->route ? &matches[m] : NULL;
		found += match != NULL;
		if (truth[0] == CU_FAILED || truth[1] == CU_FAILED) {
			/* An index may have said no where the evaluator meets an error first. */
			assert_true(!match || match->failed || match->old_in == (truth[0] == CU_TRUE) ||
				    match->new_in == (truth[1] == CU_TRUE));
			continue;
		}
		if ((match && match->failed) || (match && match->old_in) != (truth[0] == CU_TRUE) ||
		    (match && match->new_in) != (truth[1] == CU_TRUE))
			fail_msg("%s: router %d %d, evaluator %d %d", cu_buf_str(&subject->text),
				 match ? match->old_in : 0, match ? match->new_in : 0, truth[0], truth[1]);
	}
	assert_int_equal(found, matches_len);
}

static void a_change_touches_whom_the_evaluator_says(void **state)
{
	enum { SUBJECTS = 120, ROUNDS = 60, CHANGES = 60 };
	static struct subject subjects[SUBJECTS];
	cu_expr_scope *scope = scope_new();
	cu_router *router = cu_router_new();
	struct cu_expr_row evaluated;
	int key;

	(void)state;
	seed = 42;
	assert_int_equal(cu_expr_row_init(&evaluated, scope), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < SUBJECTS; i++) {
			struct subject *subject = &subjects[i];

			if (subject->in && below(3) == 0) {
				assert_int_equal(cu_router_remove(router, 1, &key, &subject->route), 0);
				assert_int_equal(cu_router_remove(router, 1, &key, &subject->route), CU_ENOTFOUND);
				cu_expr_unref(&subject->expr);
				cu_buf_fini(&subject->text);
				cu_buf_fini(&subject->sql);
				subject->in = false;
			} else if (!subject->in && below(2)) {
				struct cu_route_key stored = { 0 };

				subject->route = (cu_route){ .where = NULL };
				if (below(10)) {
					put_clause(&subject->text, 2);
					subject->expr = clause(scope, cu_buf_str(&subject->text));
					assert_int_equal(cu_expr_put_sql(subject->expr, &subject->sql), 0);
					subject->route.where = cu_buf_str(&subject->sql);
					/* Parsed already, or not. */
					subject->route.expr = below(2) ? cu_expr_ref(subject->expr) : NULL;
				}
				assert_int_equal(cu_router_add(router, 1, &key, scope, &subject->route, &stored), 0);
				if (stored.known && below(2)) {
					/* As after a restart: by its key alone. */
					assert_int_equal(cu_router_remove(router, 1, &key, &subject->route), 0);
					assert_null(subject->route.expr);
					assert_int_equal(
						cu_router_add(router, 1, &key, scope, &subject->route, &stored), 0);
				}
				subject->in = true;
			}
		}
		for (unsigned i = 0; i < CHANGES; i++) {
			struct row old_row, new_row;
			unsigned kind = below(3);

			row_make(&old_row);
			row_make(&new_row);
			assert_change(router, &key, subjects, SUBJECTS, &evaluated, kind == 0 ? NULL : &old_row,
				      kind == 1 ? NULL : &new_row);
		}
	}
	for (unsigned i = 0; i < SUBJECTS; i++) {
		if (subjects[i].in)
			assert_int_equal(cu_router_remove(router, 1, &key, &subjects[i].route), 0);
		cu_expr_unref(&subjects[i].expr);
		cu_buf_fini(&subjects[i].text);
		cu_buf_fini(&subjects[i].sql);
	}
	assert_null(cu_router_groups(router, 1)); /* nothing is left behind */
	cu_expr_row_fini(&evaluated);
	cu_router_free(&router);
	cu_expr_scope_unref(&scope);
}

static void groups_of_a_table_are_apart(void **state)
{
	cu_expr_scope *scope = scope_new();
	cu_router *router = cu_router_new();
	cu_route routes[3] = { 0 };
	struct cu_route_key none = { 0 };
	int keys[2];
	struct cu_router_group *group;
	unsigned groups = 0;

	(void)state;
	assert_null(cu_router_groups(router, 1));
	assert_int_equal(cu_router_add(router, 1, &keys[0], scope, &routes[0], &none), 0);
	assert_int_equal(cu_router_add(router, 1, &keys[1], scope, &routes[1], &none), 0);
	assert_int_equal(cu_router_add(router, 2, &keys[0], scope, &routes[2], &none), 0);
	for (group = cu_router_groups(router, 1); group; group = cu_router_group_next(group))
		groups++;
	assert_int_equal(groups, 2);
	assert_true(routes[0].listed);
	assert_int_equal(cu_router_remove(router, 1, &keys[0], &routes[0]), 0);
	assert_false(routes[0].listed);
	assert_ptr_equal(cu_router_group_key(cu_router_groups(router, 1)), &keys[1]);
	assert_ptr_equal(cu_router_group_key(cu_router_groups(router, 2)), &keys[0]);
	cu_router_free(&router);
	cu_expr_scope_unref(&scope);
}

static uint64_t rotated(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

/* XXH3 of 8 bytes, backwards, up to a constant that is xored. */
static uint64_t unhashed(uint64_t hash)
{
	const uint64_t prime = 0x9FB21C651E98DF25u;
	uint64_t inverse = prime;

	for (unsigned i = 0; i < 6; i++)
		inverse *= 2 - prime * inverse;
	hash ^= hash >> 28 ^ hash >> 56;
	hash *= inverse;
	hash ^= (hash >> 35) + 8;
	hash *= inverse;
	for (unsigned i = 0; i < 63; i++) /* whose 64th power changes nothing */
		hash ^= rotated(hash, 49) ^ rotated(hash, 24);
	return hash;
}

/* So an index that keeps hashes alone knows an integer for sure. */
static void a_hash_of_eight_bytes_tells_them(void **state)
{
	const uint64_t zero = 0, mask = unhashed(XXH3_64bits(&zero, sizeof zero));

	(void)state;
	for (uint64_t i = 0, x = 1; i < 100000; i++, x = x * 6364136223846793005u + 1442695040888963407u) {
		uint64_t key = i % 2 ? x : i;

		assert_int_equal(rotated(unhashed(XXH3_64bits(&key, sizeof key)) ^ mask, 32), key);
	}
}

/* A snapshot that is given back subscribes its shape again. */
static void subscribing_twice_is_subscribing_once(void **state)
{
	cu_expr_scope *scope = scope_new();
	cu_router *router = cu_router_new();
	cu_route every = { 0 }, one = { .where = "(k = 1)" };
	struct cu_route_key none = { 0 }, stored = { 0 };
	int key;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(cu_router_add(router, 1, &key, scope, &every, &none), 0);
		assert_int_equal(cu_router_add(router, 1, &key, scope, &one, &stored), 0);
		assert_true(stored.known);
	}
	assert_int_equal(cu_router_remove(router, 1, &key, &every), 0);
	assert_int_equal(cu_router_remove(router, 1, &key, &one), 0);
	assert_null(cu_router_groups(router, 1));
	cu_router_free(&router);
	cu_expr_scope_unref(&scope);
}

/* What was stored by another version: the route would outlive its shape. */
static void a_route_under_a_key_that_is_not_its_clauses_is_removed(void **state)
{
	cu_expr_scope *scope = scope_new();
	cu_router *router = cu_router_new();
	cu_route route = { .where = "(k = 1)" }, other = { .where = "(k = 2)" };
	struct cu_route_key wrong = { true, 0, 4711 }, stored = { 0 };
	int key;

	(void)state;
	assert_int_equal(cu_router_add(router, 1, &key, scope, &other, &stored), 0);
	assert_int_equal(cu_router_add(router, 1, &key, scope, &route, &wrong), 0);
	assert_int_equal(cu_router_remove(router, 1, &key, &route), 0);
	assert_false(route.listed);
	assert_int_equal(cu_router_remove(router, 1, &key, &other), 0);
	assert_null(cu_router_groups(router, 1));
	cu_router_free(&router);
	cu_expr_scope_unref(&scope);
}

/* The n-th allocation fails: the route is subscribed, or it is not, and the others are as they were. */
static void a_route_that_memory_fails_leaves_nothing_behind(void **state)
{
	static const char *const texts[] = {
		"k = 1",    "k IN (1,2,3,4,5,6,7)", "k > 3", "t LIKE 'abc%'", "k = 1 OR t = 'x' OR a && '{1,2,3}'",
		"t IS NULL"
	};
	cu_expr_scope *scope = scope_new();
	int key;

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(texts); i++) {
		cu_expr *expr = clause(scope, texts[i]);
		cu_buf sql = CU_BUF_INIT;
		int rc = CU_ENOMEM;

		assert_int_equal(cu_expr_put_sql(expr, &sql), 0);
		for (unsigned n = 1; rc == CU_ENOMEM; n++) {
			cu_router *router = cu_router_new();
			cu_route route = { .where = cu_buf_str(&sql) }, other = { .where = cu_buf_str(&sql) };
			struct cu_route_key stored = { 0 }, again = { 0 };

			assert_int_equal(cu_router_add(router, 1, &key, scope, &other, &again), 0);
			cu_fault_alloc_at(n);
			rc = cu_router_add(router, 1, &key, scope, &route, &stored);
			cu_fault_alloc_at(0);
			assert_true(rc == 0 || rc == CU_ENOMEM);
			/* Removing cannot fail, with or without memory. */
			cu_fault_alloc_at(i % 2);
			assert_int_equal(cu_router_remove(router, 1, &key, &route), rc == 0 ? 0 : CU_ENOTFOUND);
			cu_fault_alloc_at(0);
			cu_expr_unref(&route.expr);
			assert_int_equal(cu_router_remove(router, 1, &key, &other), 0);
			assert_null(cu_router_groups(router, 1));
			cu_router_free(&router);
		}
		cu_buf_fini(&sql);
		cu_expr_unref(&expr);
	}
	cu_expr_scope_unref(&scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_touches_whom_the_evaluator_says),
		cmocka_unit_test(a_hash_of_eight_bytes_tells_them),
		cmocka_unit_test(groups_of_a_table_are_apart),
		cmocka_unit_test(subscribing_twice_is_subscribing_once),
		cmocka_unit_test(a_route_under_a_key_that_is_not_its_clauses_is_removed),
		cmocka_unit_test(a_route_that_memory_fails_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
