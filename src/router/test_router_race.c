/* label: race */
/* Many clauses that no index serves: helpers evaluate them, and the answers are those of one evaluator alone, while other
 * shapes come and go. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "router/router.h"
#include "value/collation.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 5, CLAUSES = 3000, CHANGES = 60, HELPERS = 3 };

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
		{ .name = "j", .type = cu_type_builtin(CU_JSONBOID), .typmod = -1 },
		{ .name = "m", .type = &mood, .typmod = -1 },
	};

	return cu_expr_scope_new("items", columns, COLUMNS, cu_collation_c, 15, NULL, NULL);
}

static void put_clause(cu_buf *out, unsigned i)
{
	switch (i % 6) {
	case 0: cu_buf_printf(out, "t ILIKE '%%Word %u%%'", i % 40); return;
	case 1: cu_buf_printf(out, "k + %u > 1000", i); return;
	case 2: cu_buf_printf(out, "10 / k < %u", i % 12); return; /* fails for k = 0 */
	case 3: cu_buf_printf(out, "round(n * %u) %% 7 = 3", i); return;
	case 4: cu_buf_printf(out, "j -> 'a' ->> 'b' = '%u' OR NOT j ? 'c'", i % 9); return;
	default: cu_buf_printf(out, "m::text || '%u' LIKE '%%w%u'", i % 9, i % 7); return;
	}
}

struct subject {
	cu_route route;
	cu_expr *expr;
	char *sql;
};

static struct {
	cu_expr_scope *scope;
	cu_router *router;
	int key;
	atomic_bool over;
} world;

static void subject_add(struct subject *subject, unsigned i)
{
	cu_buf text = CU_BUF_INIT, sql = CU_BUF_INIT;
	struct cu_route_key none = { 0 };

	put_clause(&text, i);
	if (cu_expr_new(world.scope, text.data, text.len, NULL, 0, &subject->expr, NULL) < 0)
		fail_msg("%s", cu_buf_str(&text));
	assert_int_equal(cu_expr_put_sql(subject->expr, &sql), 0);
	subject->sql = cu_xstrdup(cu_buf_str(&sql));
	subject->route = (cu_route){ .where = subject->sql };
	assert_int_equal(cu_router_add(world.router, 1, &world.key, world.scope, &subject->route, &none), 0);
	cu_buf_fini(&text);
	cu_buf_fini(&sql);
}

static void subject_remove(struct subject *subject)
{
	assert_int_equal(cu_router_remove(world.router, 1, &world.key, &subject->route), 0);
	cu_expr_unref(&subject->expr);
	free(subject->sql);
}

static void row_make(unsigned i, char text[COLUMNS][64], struct cu_pg_value *values)
{
	snprintf(text[0], 64, "%u", i % 5);
	snprintf(text[1], 64, "a WORD %u of %u", i % 50, i);
	snprintf(text[2], 64, "%u.%u", i, i % 10);
	snprintf(text[3], 64, i % 11 == 4 ? "{\"a\": " : "{\"a\": {\"b\": %u}, \"%s\": null}", i % 10,
		 i % 3 ? "c" : "d");
	/* "new" is a label that the scope does not know; above, now and then, no json. */
	snprintf(text[4], 64, "%s", i % 7 == 3 ? "new" : labels[i % 3]);
	for (unsigned c = 0; c < COLUMNS; c++)
		values[c] = (struct cu_pg_value){ CU_PG_TEXT, (uint32_t)strlen(text[c]), text[c] };
	if (i % 13 == 5)
		values[2] = (struct cu_pg_value){ CU_PG_UNCHANGED, 0, NULL };
	if (i % 17 == 6)
		values[1] = (struct cu_pg_value){ CU_PG_NULL, 0, NULL };
}

static struct subject subjects[CLAUSES];

static void assert_matches(const struct cu_pg_value *values[2], struct cu_expr_row *alone)
{
	const struct cu_router_match *matches;
	size_t len, i = 0, mine = 0, expected = 0;

	cu_router_read_lock(world.router);
	assert_int_equal(cu_router_match(world.router, cu_router_groups(world.router, 1), values[0], values[1],
					 &matches, &len),
			 0);
	for (i = 0; i < len; i++) {
		const struct subject *subject = CU_CONTAINER_OF(matches[i].route, struct subject, route);
		enum cu_truth truth[2];

		if (subject < subjects || subject >= subjects + CLAUSES)
			continue; /* one that comes and goes */
		for (unsigned r = 0; r < 2; r++) {
			cu_expr_row_set(alone, values[r]);
			truth[r] = cu_expr_eval(subject->expr, alone, NULL);
		}
		assert_int_equal(matches[i].failed, truth[0] == CU_FAILED || truth[1] == CU_FAILED);
		assert_true(matches[i].failed || matches[i].old_in == (truth[0] == CU_TRUE));
		assert_true(matches[i].failed || matches[i].new_in == (truth[1] == CU_TRUE));
		assert_true(!matches[i].failed || matches[i].error->message[0]);
		mine++;
	}
	cu_router_read_unlock(world.router);
	for (i = 0; i < CLAUSES; i++) {
		bool in = false;

		for (unsigned r = 0; r < 2; r++) {
			enum cu_truth truth;

			cu_expr_row_set(alone, values[r]);
			truth = cu_expr_eval(subjects[i].expr, alone, NULL);
			in |= truth == CU_TRUE || truth == CU_FAILED;
		}
		expected += in;
	}
	assert_int_equal(mine, expected);
}

static void *come_and_go(void *arg)
{
	struct subject subject;

	(void)arg;
	for (unsigned i = 0; !atomic_load(&world.over); i++) {
		subject_add(&subject, i);
		subject_remove(&subject);
	}
	return NULL;
}

static void helpers_find_what_one_evaluator_finds(void **state)
{
	struct cu_expr_row alone;
	pthread_t other;

	(void)state;
	world.scope = scope_new();
	world.router = cu_router_new_with(HELPERS);
	assert_int_equal(cu_expr_row_init(&alone, world.scope), 0);
	for (unsigned i = 0; i < CLAUSES; i++)
		subject_add(&subjects[i], i);
	assert_int_equal(pthread_create(&other, NULL, come_and_go, NULL), 0);
	for (unsigned i = 0; i < CHANGES; i++) {
		struct cu_pg_value old_row[COLUMNS], new_row[COLUMNS];
		const struct cu_pg_value *rows[2] = { old_row, new_row };
		char old_text[COLUMNS][64], new_text[COLUMNS][64];

		row_make(i, old_text, old_row);
		row_make(i * 3 + 1, new_text, new_row);
		assert_matches(rows, &alone);
	}
	atomic_store(&world.over, true);
	pthread_join(other, NULL);
	for (unsigned i = 0; i < CLAUSES; i++)
		subject_remove(&subjects[i]);
	assert_null(cu_router_groups(world.router, 1));
	cu_expr_row_fini(&alone);
	cu_router_free(&world.router);
	cu_expr_scope_unref(&world.scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(helpers_find_what_one_evaluator_finds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
