/* bench_router.c: what it costs to find the shapes that a change touches, from 10 to 1,000,000 of them.
 *
 * Usage: bench_router [--shapes N] [--repeat N] [CASE…]: equality in prefix jsonb range ilike memory. Each case runs in a process of its own.
 * --shapes: only that size (a power of 10). Lines to read go to stderr; stdout gets one line of JSON per figure, which bench/run judges (README.md).
 */
#include "base/clock.h"
#include "bench/cases.h"
#include "router/router.h"
#include "value/collation.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { COLUMNS = 5, BLOCKS_MAX = 2000, BLOCK = 100 };

static size_t shapes_wanted; /* 0: all sizes */

/* ---- the shapes: each row is one's, number n's ---- */

enum kind { EQUALITY, IN_LIST, PREFIX, JSONB, RANGE, ILIKE };

static const struct {
	const char *name;
	double target_ns;
} kinds[] = {
	[EQUALITY] = { "equality", 1000 },    [IN_LIST] = { "IN", 1000 },  [PREFIX] = { "prefix", 1000 },
	[JSONB] = { "jsonb equality", 1000 }, [RANGE] = { "range", 3000 }, [ILIKE] = { "ILIKE", 0 },
};

static cu_expr_scope *scope_new(void)
{
	struct cu_expr_column columns[COLUMNS] = {
		{ .name = "id", .type = cu_type_builtin(CU_INT4OID), .typmod = -1 },
		{ .name = "k", .type = cu_type_builtin(CU_INT4OID), .typmod = -1 },
		{ .name = "t", .type = cu_type_builtin(CU_TEXTOID), .typmod = -1, .collation = cu_collation_c },
		{ .name = "j", .type = cu_type_builtin(CU_JSONBOID), .typmod = -1 },
		{ .name = "at", .type = cu_type_builtin(CU_TIMESTAMPTZOID), .typmod = -1 },
	};

	return cu_expr_scope_new("items", columns, COLUMNS, cu_collation_c, 15, NULL, NULL);
}

static void put_where(cu_buf *out, enum kind kind, size_t n)
{
	switch (kind) {
	case EQUALITY: cu_buf_printf(out, "k = %zu", n); return;
	case IN_LIST: cu_buf_printf(out, "k IN (%zu, %zu, %zu)", n * 3, n * 3 + 1, n * 3 + 2); return;
	case PREFIX: cu_buf_printf(out, "t LIKE 'group %07zu%%'", n); return;
	case JSONB: cu_buf_printf(out, "j = '{\"kind\": \"item\", \"owner\": %zu}'", n); return;
	case RANGE: cu_buf_printf(out, "k >= %zu AND k < %zu", n * 10, n * 10 + 10); return;
	case ILIKE: cu_buf_printf(out, "t ILIKE '%%NOBODY %zu%%'", n); return;
	}
}

struct row {
	struct cu_pg_value values[COLUMNS];
	char text[COLUMNS][64];
	size_t shape; /* whose it is */
};

static void row_make(struct row *row, enum kind kind, size_t n, unsigned version)
{
	size_t k = kind == IN_LIST ? n * 3 + version : kind == RANGE ? n * 10 + version : n;

	snprintf(row->text[0], sizeof row->text[0], "%zu", n * 7);
	snprintf(row->text[1], sizeof row->text[1], "%zu", k);
	snprintf(row->text[2], sizeof row->text[2], "group %07zu, version %u", n, version);
	snprintf(row->text[3], sizeof row->text[3], "{\"kind\": \"item\", \"owner\": %zu}", n);
	snprintf(row->text[4], sizeof row->text[4], "2026-01-01 00:00:0%u+00", version);
	for (unsigned i = 0; i < COLUMNS; i++)
		row->values[i] = (struct cu_pg_value){ CU_PG_TEXT, (uint32_t)strlen(row->text[i]), row->text[i] };
	row->shape = n;
}

/* ---- the yardstick: a plain chained hash table by the text of k ---- */

struct plain_entry {
	struct plain_entry *next;
	size_t shape;
	char key[16];
};

static struct {
	struct plain_entry **buckets, *entries;
	size_t mask;
} plain;

static uint64_t plain_hash(const char *key, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3u;
	return hash ^ hash >> 32;
}

static void plain_make(size_t len)
{
	for (plain.mask = 15; plain.mask < len; plain.mask = plain.mask * 2 + 1)
		;
	plain.buckets = cu_xzalloc((plain.mask + 1) * sizeof(*plain.buckets));
	plain.entries = cu_xzalloc(len * sizeof *plain.entries);
	for (size_t i = 0; i < len; i++) {
		struct plain_entry *entry = &plain.entries[i], **bucket;
		int n = snprintf(entry->key, sizeof entry->key, "%zu", i);

		bucket = &plain.buckets[plain_hash(entry->key, (size_t)n) & plain.mask];
		entry->shape = i;
		entry->next = *bucket;
		*bucket = entry;
	}
}

static size_t plain_find(const char *key, size_t len)
{
	const struct plain_entry *entry = plain.buckets[plain_hash(key, len) & plain.mask];

	while (entry && (memcmp(entry->key, key, len) != 0 || entry->key[len]))
		entry = entry->next;
	return entry ? entry->shape : 0;
}

static void plain_free(void)
{
	free(plain.buckets);
	free(plain.entries);
}

/* ---- a router with `len` shapes ---- */

static struct {
	cu_expr_scope *scope;
	cu_router *router;
	cu_route *routes;
	struct cu_route_key *keys; /* not part of a route's memory: the store has them */
	char **texts;
	size_t len;
	struct row old_rows[BLOCK], new_rows[BLOCK];
} world;

static int key_of_world;

static void world_make(enum kind kind, size_t len)
{
	cu_buf text = CU_BUF_INIT, sql = CU_BUF_INIT;

	world.scope = scope_new();
	world.router = cu_router_new();
	world.routes = cu_xzalloc(len * sizeof *world.routes);
	world.keys = cu_xzalloc(len * sizeof *world.keys);
	world.texts = cu_xzalloc(len * sizeof(*world.texts));
	world.len = len;
	for (size_t i = 0; i < len; i++) {
		cu_expr *expr;

		cu_buf_clear(&text);
		cu_buf_clear(&sql);
		put_where(&text, kind, i);
		bench_check(cu_expr_new(world.scope, text.data, text.len, NULL, 0, &expr, NULL));
		bench_check(cu_expr_put_sql(expr, &sql));
		world.texts[i] = cu_xstrdup(cu_buf_str(&sql));
		/* Where it sleeps the router lets it go; the others' exprs are as long-lived as their routes. */
		world.routes[i] = (cu_route){ .where = world.texts[i], .expr = expr };
		bench_check(
			cu_router_add(world.router, 1, &key_of_world, world.scope, &world.routes[i], &world.keys[i]));
	}
	cu_buf_fini(&text);
	cu_buf_fini(&sql);
}

/* The next block of changes. Rows are fresh, as if just received; the shapes they belong to are any of all. */
static void rows_make(enum kind kind)
{
	static uint64_t seed = 1;

	for (size_t i = 0; i < BLOCK; i++) {
		size_t n = bench_random(&seed) % world.len;

		row_make(&world.old_rows[i], kind, n, 1);
		row_make(&world.new_rows[i], kind, n, 2);
	}
}

static void world_free(void)
{
	for (size_t i = 0; i < world.len; i++) {
		bench_check(cu_router_remove(world.router, 1, &key_of_world, &world.routes[i]));
		free(world.texts[i]);
	}
	cu_router_free(&world.router);
	cu_expr_scope_unref(&world.scope);
	free(world.routes);
	free(world.keys);
	free(world.texts);
}

static void change_match(const struct row *old_row, const struct row *new_row)
{
	const struct cu_router_match *matches;
	size_t len;

	bench_check(cu_router_match(world.router, cu_router_groups(world.router, 1), old_row->values, new_row->values,
				    &matches, &len));
	if (len != 1 || matches[0].route != &world.routes[new_row->shape] || !matches[0].old_in || !matches[0].new_in) {
		fprintf(stderr, "bench_router: a change found %zu shapes\n", len);
		exit(1);
	}
}

/* ---- the cases ---- */

static void bench_kind(enum kind kind, size_t len)
{
	static double ours[BLOCKS_MAX], yardstick[BLOCKS_MAX];
	size_t blocks = bench_repeat * 100u < BLOCKS_MAX ? bench_repeat * 100u : BLOCKS_MAX, sum = 0,
	       churn = len < 1000 ? len : 1000;
	char name[128], probes[BLOCK][16];
	double route_ns, plain_ns, out_ns, in_ns;
	uint64_t start;

	world_make(kind, len);
	plain_make(len);
	for (size_t b = 0; b < blocks; b++) {
		rows_make(kind);
		start = cu_now_ns();
		for (unsigned i = 0; i < BLOCK; i++)
			change_match(&world.old_rows[i], &world.new_rows[i]);
		ours[b] = (double)(cu_now_ns() - start) / BLOCK;
		rows_make(kind);
		for (unsigned i = 0; i < BLOCK; i++)
			snprintf(probes[i], sizeof probes[i], "%zu", world.new_rows[i].shape);
		start = cu_now_ns();
		for (unsigned i = 0; i < BLOCK; i++)
			sum += plain_find(probes[i], strlen(probes[i]));
		yardstick[b] = (double)(cu_now_ns() - start) / BLOCK;
	}
	snprintf(name, sizeof name, "route a change among %zu: %s", len, kinds[kind].name);
	if (sum == 1)
		fputs("\n", stderr); /* so that the look-ups are needed */
	route_ns = bench_median(ours, blocks);
	plain_ns = bench_median(yardstick, blocks);
	bench_figure(name, route_ns, plain_ns, route_ns / plain_ns, "ns", "<=", kinds[kind].target_ns);

	start = cu_now_ns();
	for (size_t i = 0; i < churn; i++)
		bench_check(cu_router_remove(world.router, 1, &key_of_world, &world.routes[i]));
	out_ns = (double)(cu_now_ns() - start) / (double)churn;
	start = cu_now_ns();
	for (size_t i = 0; i < churn; i++)
		bench_check(
			cu_router_add(world.router, 1, &key_of_world, world.scope, &world.routes[i], &world.keys[i]));
	in_ns = (double)(cu_now_ns() - start) / (double)churn;
	fprintf(stderr, "  %s among %zu: removing %.1f us, adding %.1f us, each with parsing where it is text\n",
		kinds[kind].name, len, out_ns / 1e3, in_ns / 1e3);
	world_free();
	plain_free();
}

static void bench_sizes(enum kind kind)
{
	for (size_t len = 10; len <= 1000000; len *= 10) {
		if (!shapes_wanted || shapes_wanted == len)
			bench_kind(kind, len);
	}
}

static void bench_equality(void)
{
	bench_sizes(EQUALITY);
}

static void bench_in(void)
{
	bench_sizes(IN_LIST);
}

static void bench_prefix(void)
{
	bench_sizes(PREFIX);
}

static void bench_jsonb(void)
{
	bench_sizes(JSONB);
}

static void bench_range(void)
{
	bench_sizes(RANGE);
}

static double seconds_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Clauses that no index serves: each is evaluated on both rows of every change. */
static void bench_ilike(void)
{
	enum { SHAPES = 10000, CHANGES = BLOCK };
	static double per_core[BENCH_REPEAT_MAX], elapsed[BENCH_REPEAT_MAX];
	const struct cu_router_match *matches;
	size_t len;

	world_make(ILIKE, SHAPES);
	rows_make(ILIKE);
	for (unsigned r = 0; r < bench_repeat; r++) {
		double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), wall = seconds_of(CLOCK_MONOTONIC);

		for (unsigned i = 0; i < CHANGES; i++) {
			bench_check(cu_router_match(world.router, cu_router_groups(world.router, 1),
						    world.old_rows[i].values, world.new_rows[i].values, &matches,
						    &len));
			if (len)
				bench_check(CU_EINVAL);
		}
		per_core[r] = 2.0 * CHANGES * SHAPES / (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e6;
		elapsed[r] = 2.0 * CHANGES * SHAPES / (seconds_of(CLOCK_MONOTONIC) - wall) / 1e6;
	}
	fprintf(stderr, "  together %.1f million evaluations in a second of the clock\n",
		bench_median(elapsed, bench_repeat));
	bench_figure("10000 shapes with an ILIKE, evaluations per core", bench_median(per_core, bench_repeat), 0, 0,
		     "M/s", ">=", 2.8);
	world_free();
}

/* Small pieces and those that have mappings of their own. */
static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* What the router itself holds for each, without the route and its text, which are the shape's. */
static void bench_memory(void)
{
	enum { SHAPES = 1000000 };
	size_t before;

	world_make(EQUALITY, SHAPES);
	malloc_trim(0);
	before = heap_bytes();
	for (size_t i = 0; i < SHAPES; i++)
		bench_check(cu_router_remove(world.router, 1, &key_of_world, &world.routes[i]));
	before -= heap_bytes();
	for (size_t i = 0; i < SHAPES; i++)
		bench_check(
			cu_router_add(world.router, 1, &key_of_world, world.scope, &world.routes[i], &world.keys[i]));
	fprintf(stderr, "  the route itself %zu bytes, its text %zu\n", sizeof(cu_route), strlen(world.texts[0]) + 1);
	bench_figure("memory per equality route", (double)before / SHAPES, 0, 0, "bytes", "<=", 100);
	world_free();
}

static const struct bench_case cases[] = {
	{ "equality", bench_equality }, { "in", bench_in },       { "prefix", bench_prefix }, { "jsonb", bench_jsonb },
	{ "range", bench_range },       { "ilike", bench_ilike }, { "memory", bench_memory },
};

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "--shapes") == 0) {
		shapes_wanted = strtoul(argv[2], NULL, 10);
		argv += 2;
		argc -= 2;
	}
	return bench_cases(argc, argv, cases, CU_ARRAY_LEN(cases));
}
