/* label: unit
 * test_compact.c: what compaction leaves out, what it keeps, and that no client can tell. Items are written by item.c and read by
 * jansson, so that neither side is the code under test. COPPER_COMPACT_ROUNDS and COPPER_COMPACT_SEED: longer and other runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shape/compact.h"
#include "shape/item.h"
#include "shape/test_client.h"

#define COLUMNS 4
#define IDS 5 /* keys in play: few, so that they meet again and again */
#define ITEMS 60

/* Items, one behind the other. */
struct list {
	cu_buf bytes;
	struct {
		uint64_t tx;
		uint64_t op;
		size_t at;
		size_t len;
	} items[ITEMS];
	unsigned len;
};

static void list_end(struct list *list, uint64_t tx, uint64_t op, size_t from)
{
	assert_false(cu_buf_failed(&list->bytes));
	assert_true(list->len < ITEMS);
	list->items[list->len].tx = tx;
	list->items[list->len].op = op;
	list->items[list->len].at = from;
	list->items[list->len++].len = list->bytes.len - from;
}

static void list_add(struct list *list, uint64_t tx, uint64_t op, const char *item, size_t len)
{
	size_t from = list->bytes.len;

	cu_buf_append(&list->bytes, item, len);
	list_end(list, tx, op, from);
}

static const char *list_at(const struct list *list, unsigned i)
{
	return list->bytes.data + list->items[i].at;
}

static void list_fini(struct list *list)
{
	cu_buf_fini(&list->bytes);
}

/* Compacts some lists, one behind the other. */
static size_t compact(struct list *out, unsigned n, const struct list *const *lists)
{
	cu_compaction *compaction = cu_compaction_new();
	struct cu_compacted item;
	size_t superseded;
	int rc;

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < lists[i]->len; j++)
			assert_int_equal(cu_compaction_add(compaction, lists[i]->items[j].tx, lists[i]->items[j].op,
							   list_at(lists[i], j), lists[i]->items[j].len),
					 0);
	superseded = cu_compaction_superseded(compaction);
	while ((rc = cu_compaction_next(compaction, &item)) == 1)
		list_add(out, item.tx, item.op, item.item, item.len);
	assert_int_equal(rc, 0);
	cu_compaction_free(&compaction);
	return superseded;
}

/* --- exact bytes --- */

#define KEY(id) "{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"" id "\\\"\",\"value\":"
#define HEADERS(operation, op)                                                                               \
	",\"headers\":{\"operation\":\"" operation "\",\"relation\":[\"public\",\"items\"],\"lsn\":\"9\",\"" \
	"op_position\":" op ",\"txids\":[7]"

static void assert_compacted(const char *const *in, const char *const *want, size_t want_superseded)
{
	struct list plain = { 0 }, got = { 0 };
	unsigned n = 0;

	for (unsigned i = 0; in[i]; i++)
		list_add(&plain, 9, i, in[i], strlen(in[i]));
	assert_int_equal(compact(&got, 1, (const struct list *[]){ &plain }), want_superseded);
	for (; want[n]; n++) {
		assert_true(n < got.len);
		assert_int_equal(got.items[n].len, strlen(want[n]));
		assert_memory_equal(list_at(&got, n), want[n], strlen(want[n]));
	}
	assert_int_equal(got.len, n);
	list_fini(&plain);
	list_fini(&got);
}

#define ITEMS_OF(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void updates_of_a_key_become_one_with_the_last_headers(void **state)
{
	static const char first[] = KEY("1") "{\"id\":\"1\",\"n\":\"2\"}" HEADERS("update", "0") "}}";

	(void)state;
	assert_compacted(
		ITEMS_OF(first, KEY("2") "{\"id\":\"2\",\"n\":\"5\"}" HEADERS("update", "1") "}}",
			 KEY("1") "{\"id\":\"1\",\"a\":null}" HEADERS("update", "2") ",\"last\":true}}"),
		ITEMS_OF(KEY("2") "{\"id\":\"2\",\"n\":\"5\"}" HEADERS("update", "1") "}}",
			 KEY("1") "{\"a\":null,\"id\":\"1\",\"n\":\"2\"}" HEADERS("update", "2") ",\"last\":true}}"),
		sizeof first - 1);
}

static void the_latest_value_and_the_earliest_old_value_win(void **state)
{
	static const char first[] =
		KEY("1") "{\"id\":\"1\",\"n\":\"2\"},\"old_value\":{\"n\":\"1\"}" HEADERS("update", "0") "}}";
	static const char second[] =
		KEY("1") "{\"id\":\"1\",\"n\":null},\"old_value\":{\"n\":\"2\"}" HEADERS("update", "1") "}}";

	(void)state;
	assert_compacted(
		ITEMS_OF(
			first, second,
			KEY("1") "{\"id\":\"1\",\"n\":\"4\",\"x\":\"y\\\"}\"},\"old_value\":{\"n\":null,\"x\":\"\"}" HEADERS(
				"update", "2") "}}"),
		ITEMS_OF(
			KEY("1") "{\"id\":\"1\",\"n\":\"4\",\"x\":\"y\\\"}\"},\"old_value\":{\"n\":\"1\",\"x\":\"\"}" HEADERS(
				"update", "2") "}}"),
		sizeof first - 1 + sizeof second - 1);
}

static void inserts_and_deletes_stay_and_end_what_is_merged(void **state)
{
	static const char insert[] = KEY("1") "{\"id\":\"1\",\"n\":\"1\"}" HEADERS("insert", "0") "}}";
	static const char gone[] = KEY("1") "{\"id\":\"1\",\"n\":\"2\"}" HEADERS("update", "1") "}}";
	static const char delete[] = KEY("1") "{\"id\":\"1\"}" HEADERS("delete", "3") ",\"key_change_to\":\"k\"}}";
	static const char again[] =
		KEY("1") "{\"id\":\"1\",\"n\":\"1\"}" HEADERS("insert", "4") ",\"key_change_from\":\"k\"}}";
	static const char stays[] = KEY("1") "{\"id\":\"1\",\"n\":\"9\"}" HEADERS("update", "5") "}}";

	(void)state;
	assert_compacted(ITEMS_OF(insert, gone, gone, delete, again, stays), ITEMS_OF(insert, delete, again, stays),
			 2 * (sizeof gone - 1));
}

static void nothing_in_nothing_out(void **state)
{
	(void)state;
	assert_compacted(ITEMS_OF(NULL), ITEMS_OF(NULL), 0);
}

/* --- any client, anywhere --- */

struct random {
	uint64_t state;
};

static unsigned random_below(struct random *random, unsigned n)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return (unsigned)((random->state >> 20) % n);
}

/* Texts with everything that JSON or a scanner could trip over. */
static struct cu_pg_value random_value(struct random *random)
{
	static const char *const texts[] = { "",
					     "1",
					     "2",
					     "\"",
					     "\\",
					     "\\\"",
					     "\"}}",
					     "{",
					     ",\"a\":",
					     "\n\x01",
					     "grün 🙂",
					     "a long text that takes the scanner more than one step of eight bytes",
					     "and \" one with a quote in it" };
	unsigned n = random_below(random, CU_ARRAY_LEN(texts) + 1);

	if (n == CU_ARRAY_LEN(texts))
		return (struct cu_pg_value){ CU_PG_NULL, 0, NULL };
	return (struct cu_pg_value){ CU_PG_TEXT, (uint32_t)strlen(texts[n]), texts[n] };
}

static struct cu_pg_value id_value(unsigned id)
{
	static const char *const ids[IDS] = { "1", "2", "a/b", "\"\\", "ß" };

	return (struct cu_pg_value){ CU_PG_TEXT, (uint32_t)strlen(ids[id]), ids[id] };
}

struct world {
	struct random random;
	const cu_item_layout *layout;
	bool replica_full;
	bool there[IDS];
	struct cu_pg_value rows[IDS][COLUMNS];
	uint64_t tx;
	uint64_t op;
};

/* Columns 0 and 2 are the key; only the first varies, so a key change is a change of id. */
static void row_change(struct world *world, struct cu_pg_value *row, unsigned id)
{
	row[0] = id_value(id);
	row[2] = id_value(0);
	for (unsigned i = 1; i < COLUMNS; i += 2) {
		if (random_below(&world->random, 2))
			row[i] = random_value(&world->random);
	}
}

static size_t list_begin(struct list *list, struct world *world, struct cu_item_op *op)
{
	if (random_below(&world->random, 3) == 0) {
		world->tx++;
		world->op = 0;
	}
	*op = (struct cu_item_op){ world->tx, world->op, 700 + world->tx, world->replica_full };
	return list->bytes.len;
}

static void list_item_end(struct list *list, struct world *world, size_t from)
{
	cu_buf_puts(&list->bytes, random_below(&world->random, 4) ? CU_ITEM_END : CU_ITEM_END_LAST);
	list_end(list, world->tx, world->op++, from);
}

static void random_change(struct list *list, struct world *world)
{
	unsigned id = random_below(&world->random, IDS), other = random_below(&world->random, IDS);
	struct cu_pg_value row[COLUMNS];
	struct cu_item_op op;
	size_t from;

	memcpy(row, world->rows[id], sizeof row);
	row_change(world, row, id);
	from = list_begin(list, world, &op);
	if (!world->there[id]) {
		cu_item_put_insert(&list->bytes, world->layout, &op, row);
		world->there[id] = true;
	} else if (random_below(&world->random, 10) == 0) {
		cu_item_put_delete(&list->bytes, world->layout, &op, world->rows[id]);
		world->there[id] = false;
	} else if (!world->there[other] && random_below(&world->random, 4) == 0) {
		row[0] = id_value(other);
		cu_item_put_delete_key_change(&list->bytes, world->layout, &op, world->rows[id], row);
		list_item_end(list, world, from);
		op.op_position = world->op;
		from = list->bytes.len;
		cu_item_put_insert_key_change(&list->bytes, world->layout, &op, world->rows[id], row);
		world->there[id] = false;
		world->there[other] = true;
		id = other;
	} else {
		if (!cu_item_row_changed(world->layout, world->rows[id], row))
			return;
		cu_item_put_update(&list->bytes, world->layout, &op, world->rows[id], row);
	}
	memcpy(world->rows[id], row, sizeof row);
	list_item_end(list, world, from);
}

/* Items behind the first `skipped` of plain, out of `list`, which may be plain itself. */
static void client_catch_up(json_t *rows, const struct list *plain, unsigned skipped, const struct list *list)
{
	for (unsigned i = 0; i < list->len; i++) {
		if (skipped > 0) {
			unsigned last = skipped - 1;

			if (list->items[i].tx < plain->items[last].tx ||
			    (list->items[i].tx == plain->items[last].tx && list->items[i].op <= plain->items[last].op))
				continue;
		}
		test_client_apply(rows, list_at(list, i), list->items[i].len, skipped == 0);
	}
}

static void assert_clients_agree(const json_t *before, const struct list *plain, const struct list *compacted)
{
	json_t *now = json_deep_copy(before), *after = json_deep_copy(before);

	client_catch_up(after, plain, 0, plain);
	for (unsigned i = 0; i <= plain->len; i++) {
		json_t *rows = json_deep_copy(now);

		client_catch_up(rows, plain, i, compacted);
		assert_true(json_equal(rows, after));
		json_decref(rows);
		if (i < plain->len)
			test_client_apply(now, list_at(plain, i), plain->items[i].len, true);
	}
	json_decref(now);
	json_decref(after);
}

static void assert_same_list(const struct list *a, const struct list *b)
{
	assert_int_equal(a->len, b->len);
	for (unsigned i = 0; i < a->len; i++) {
		assert_int_equal(a->items[i].tx, b->items[i].tx);
		assert_int_equal(a->items[i].op, b->items[i].op);
		assert_int_equal(a->items[i].len, b->items[i].len);
		assert_memory_equal(list_at(a, i), list_at(b, i), a->items[i].len);
	}
}

static void round_run(uint64_t seed)
{
	static const struct cu_item_column_spec all[COLUMNS] = {
		{ "id", true, 0 }, { "a\"b", true, -1 }, { "key 2", true, 1 }, { "z", true, -1 }
	};
	static const struct cu_item_column_spec some[COLUMNS] = {
		{ "id", true, 0 }, { "a\"b", false, -1 }, { "key 2", true, 1 }, { "z", true, -1 }
	};
	struct world world = { .random = { seed * 0x9e3779b97f4a7c15ull | 1 }, .tx = 1 };
	struct cu_item_layout_spec spec = { "public", "it.ems", COLUMNS, all };
	struct list before = { 0 }, head = { 0 }, tail = { 0 }, plain = { 0 }, compacted = { 0 }, part = { 0 },
		    again = { 0 };
	cu_item_layout *layout = NULL;
	json_t *rows = json_object();
	size_t superseded;

	if (random_below(&world.random, 3) == 0)
		spec.columns = some;
	world.replica_full = random_below(&world.random, 2);
	assert_int_equal(cu_item_layout_new(&spec, &layout), 0);
	world.layout = layout;
	for (unsigned i = 0; i < IDS; i++)
		row_change(&world, world.rows[i], i);

	for (unsigned i = random_below(&world.random, 10); i > 0; i--)
		random_change(&before, &world);
	client_catch_up(rows, &before, 0, &before);
	for (unsigned i = random_below(&world.random, 15); i > 0; i--)
		random_change(&head, &world);
	for (unsigned i = random_below(&world.random, 15); i > 0; i--)
		random_change(&tail, &world);
	for (unsigned i = 0; i < head.len; i++)
		list_add(&plain, head.items[i].tx, head.items[i].op, list_at(&head, i), head.items[i].len);
	for (unsigned i = 0; i < tail.len; i++)
		list_add(&plain, tail.items[i].tx, tail.items[i].op, list_at(&tail, i), tail.items[i].len);

	superseded = compact(&compacted, 1, (const struct list *[]){ &plain });
	assert_clients_agree(rows, &plain, &compacted);
	assert_true(compacted.bytes.len <= plain.bytes.len);
	assert_true(world.replica_full || plain.bytes.len - compacted.bytes.len <= superseded);
	if (plain.len > 0) {
		assert_int_equal(compacted.items[compacted.len - 1].tx, plain.items[plain.len - 1].tx);
		assert_int_equal(compacted.items[compacted.len - 1].op, plain.items[plain.len - 1].op);
	}
	/* Step by step gives the same. */
	compact(&part, 1, (const struct list *[]){ &head });
	compact(&again, 2, (const struct list *[]){ &part, &tail });
	assert_same_list(&again, &compacted);

	json_decref(rows);
	list_fini(&before);
	list_fini(&head);
	list_fini(&tail);
	list_fini(&plain);
	list_fini(&compacted);
	list_fini(&part);
	list_fini(&again);
	cu_item_layout_free(&layout);
}

static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t failing_seed;

static int seed_tell(void **state)
{
	(void)state;
	if (failing_seed)
		print_message("COPPER_COMPACT_SEED=%" PRIu64 "\n", failing_seed);
	return 0;
}

static void a_client_at_any_offset_ends_in_the_same_state(void **state)
{
	uint64_t seed = number_from_env("COPPER_COMPACT_SEED", 1);
	uint64_t rounds = number_from_env("COPPER_COMPACT_ROUNDS", 1500);

	(void)state;
	for (uint64_t i = 0; i < rounds; i++) {
		failing_seed = seed + i;
		round_run(seed + i);
	}
	failing_seed = 0;
}

/* --- bad bytes --- */

static int scan_one(const char *item, size_t len)
{
	cu_compaction *compaction = cu_compaction_new();
	/* Of its own size, so that a byte read behind it is noticed. */
	char *copy = cu_xmemdup(item, len ? len : 1);
	int rc = cu_compaction_add(compaction, 1, 0, copy, len);

	cu_compaction_free(&compaction);
	free(copy);
	return rc;
}

static const char good[] = KEY(
	"1\\\\\\u000a") "{\"id\":\"1\",\"n\":null},\"old_value\":{}" HEADERS("update", "3") ",\"a\":[],\"b\":"
											    "-1.5e7,\"last\":true}}";

static void a_cut_or_changed_item_is_corrupt_or_another_item(void **state)
{
	char *changed = cu_xstrdup(good);
	unsigned corrupt = 0;

	(void)state;
	assert_int_equal(scan_one(good, sizeof good - 1), 0);
	for (size_t len = 0; len < sizeof good - 1; len++)
		assert_int_equal(scan_one(good, len), CU_ECORRUPT);
	for (size_t i = 0; i < sizeof good - 1; i++) {
		for (unsigned c = 0; c < 256; c++) {
			changed[i] = (char)c;
			corrupt += scan_one(changed, sizeof good - 1) == CU_ECORRUPT;
		}
		changed[i] = good[i];
	}
	assert_true(corrupt > sizeof good * 100);
	free(changed);
}

static void what_item_c_never_writes_is_corrupt(void **state)
{
	static const char *const items[] = {
		"",
		"{}",
		"}}",
		"{\"headers\":{\"control\":\"up-to-date\"}}",
		KEY("1") "{\"id\":1}" HEADERS("update", "0") "}}",
		KEY("1") "{\"id\":\"1\",}" HEADERS("update", "0") "}}",
		KEY("1") "{,}" HEADERS("update", "0") "}}",
		KEY("1") "{\"id\" :\"1\"}" HEADERS("update", "0") "}}",
		KEY("1") "null" HEADERS("update", "0") "}}",
		KEY("1") "{}" HEADERS("upsert", "0") "}}",
		KEY("1") "{}" HEADERS("update", "0") "}} ",
		KEY("1") "{}" HEADERS("update", "0") ",\"a\":{}}}",
		KEY("1") "{}" HEADERS("update", "0") ",\"a\":[[]]}}",
		KEY("1") "{}" HEADERS("update", "0") ",\"a\":}}",
		KEY("1\x01") "{}" HEADERS("update", "0") "}}",
		KEY("1\\x") "{}" HEADERS("update", "0") "}}",
		KEY("1\\u00g0") "{}" HEADERS("update", "0") "}}",
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(items); i++)
		assert_int_equal(scan_one(items[i], strlen(items[i])), CU_ECORRUPT);
}

static void offsets_must_rise(void **state)
{
	cu_compaction *compaction = cu_compaction_new();

	(void)state;
	assert_int_equal(cu_compaction_add(compaction, 5, 2, good, sizeof good - 1), 0);
	assert_int_equal(cu_compaction_add(compaction, 5, 3, good, sizeof good - 1), 0);
	assert_int_equal(cu_compaction_add(compaction, 5, 3, good, sizeof good - 1), CU_ECORRUPT);
	cu_compaction_free(&compaction);
	compaction = cu_compaction_new();
	assert_int_equal(cu_compaction_add(compaction, 5, 2, good, sizeof good - 1), 0);
	assert_int_equal(cu_compaction_add(compaction, 4, 9, good, sizeof good - 1), CU_ECORRUPT);
	cu_compaction_free(&compaction);
}

/* --- sizes and memory --- */

/* Items of two keys with many columns, each time other ones. */
static int wide_run(unsigned items, unsigned columns, unsigned *ret_len)
{
	cu_compaction *compaction = cu_compaction_new();
	cu_buf *texts = cu_xzalloc(items * sizeof *texts);
	struct cu_compacted item;
	int rc = 0;

	*ret_len = 0;
	for (unsigned i = 0; i < items && rc == 0; i++) {
		cu_buf_printf(&texts[i], KEY("%u") "{\"id\":\"1\"", i % 2);
		for (unsigned j = i % 7; j < columns; j += 1 + (i + j) % 5)
			cu_buf_printf(&texts[i], ",\"column %u\":\"%u\"", j, i);
		cu_buf_printf(&texts[i], "}" HEADERS("update", "%u") "}}", i);
		if (!cu_buf_failed(&texts[i]))
			rc = cu_compaction_add(compaction, 1, i, texts[i].data, texts[i].len);
	}
	while (rc == 0 && (rc = cu_compaction_next(compaction, &item)) == 1) {
		json_t *json = json_loadb(item.item, item.len, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(json);
		assert_int_equal(json_object_size(json_object_get(json, "value")), columns + 1);
		json_decref(json);
		(*ret_len)++;
		rc = 0;
	}
	for (unsigned i = 0; i < items; i++)
		cu_buf_fini(&texts[i]);
	free(texts);
	cu_compaction_free(&compaction);
	return rc;
}

static void many_columns_of_many_updates_are_united(void **state)
{
	unsigned len;

	(void)state;
	assert_int_equal(wide_run(400, 1600, &len), 0);
	assert_int_equal(len, 2);
}

static void out_of_memory_is_an_error(void **state)
{
	cu_compaction *compaction;
	struct cu_compacted item;
	char texts[100][256];
	unsigned n = 0, len;
	int rc;

	(void)state;
	for (unsigned i = 0; i < CU_ARRAY_LEN(texts); i++)
		snprintf(texts[i], sizeof texts[i],
			 KEY("%u") "{\"id\":\"1\",\"c%u\":\"%u\"}" HEADERS("update", "%u") "}}", i % 2 ? i : 0, i, i,
			 i);
	do {
		compaction = cu_compaction_new();
		rc = 0;
		cu_fault_alloc_at(++n);
		for (len = 0; len < CU_ARRAY_LEN(texts) && rc == 0; len++)
			rc = cu_compaction_add(compaction, 1, len, texts[len], strlen(texts[len]));
		while (rc == 0 && (rc = cu_compaction_next(compaction, &item)) == 1)
			rc = 0;
		cu_compaction_free(&compaction);
		assert_true(rc == 0 || rc == CU_ENOMEM);
	} while (cu_fault_alloc_at(0) == 0);
	assert_int_equal(rc, 0);
	assert_true(n > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(updates_of_a_key_become_one_with_the_last_headers),
		cmocka_unit_test(the_latest_value_and_the_earliest_old_value_win),
		cmocka_unit_test(inserts_and_deletes_stay_and_end_what_is_merged),
		cmocka_unit_test(nothing_in_nothing_out),
		cmocka_unit_test_teardown(a_client_at_any_offset_ends_in_the_same_state, seed_tell),
		cmocka_unit_test(a_cut_or_changed_item_is_corrupt_or_another_item),
		cmocka_unit_test(what_item_c_never_writes_is_corrupt),
		cmocka_unit_test(offsets_must_rise),
		cmocka_unit_test(many_columns_of_many_updates_are_united),
		cmocka_unit_test(out_of_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
