/* label: unit
 * test_compact_parts.c: what comes out of parts in a file is what compacting all at once gives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "shape/compact_parts.h"
#include "store/test_help.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMORY 200000u

static char *dir;

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}

struct log {
	cu_buf bytes;
	struct cu_compacted *items; /* without the bytes, which stand at … */
	size_t *at;                 /* … in `bytes` */
	size_t len, cap;
};

/* What stands behind `from` is an item. */
static void log_end(struct log *log, uint64_t tx, uint64_t op, size_t from)
{
	if (log->len == log->cap) {
		log->cap = log->cap ? log->cap * 2 : 1000;
		log->items = cu_xrealloc(log->items, log->cap * sizeof *log->items);
		log->at = cu_xrealloc(log->at, log->cap * sizeof *log->at);
	}
	log->at[log->len] = from;
	log->items[log->len++] = (struct cu_compacted){ tx, op, NULL, log->bytes.len - from };
}

static void log_item(struct log *log, const char *operation, unsigned key, size_t padding)
{
	size_t from = log->bytes.len;

	cu_buf_printf(&log->bytes, "{\"key\":\"k%u\",\"value\":{\"c%u\":\"%zu\",\"pad\":\"%0*u\"}", key,
		      random_below(4), log->len, (int)padding, key);
	cu_buf_printf(&log->bytes, ",\"headers\":{\"operation\":\"%s\",\"op_position\":%zu}}", operation, log->len);
	log_end(log, 1 + log->len / 7, log->len, from);
}

/* Mostly updates of so many keys, and now and then a large item. */
static void log_random(struct log *log, size_t items, unsigned keys)
{
	static const char *const operations[] = {
		"insert", "delete", "update", "update", "update", "update", "update"
	};

	for (size_t i = 0; i < items; i++)
		log_item(log, operations[random_below(CU_ARRAY_LEN(operations))], random_below(keys),
			 random_below(200) == 0 ? CU_COMPACTION_BLOCK + 1000 : random_below(300));
}

static void log_fini(struct log *log)
{
	cu_buf_fini(&log->bytes);
	free(log->items);
	free(log->at);
}

static int log_add(cu_compact_parts *parts, const struct log *log)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < log->len; i++)
		rc = cu_compact_parts_add(parts, log->items[i].tx, log->items[i].op, log->bytes.data + log->at[i],
					  log->items[i].len);
	return rc;
}

static uint64_t log_item_bytes(const struct log *log)
{
	return log->bytes.len;
}

/* Appends what comes out, as text; its bytes of items. */
static uint64_t rest_put(cu_compact_parts *parts, cu_buf *out, int *ret_rc)
{
	struct cu_compacted item;
	uint64_t bytes = 0;

	while ((*ret_rc = cu_compact_parts_next(parts, &item)) == 1) {
		cu_buf_printf(out, "%" PRIu64 " %" PRIu64 " ", item.tx, item.op);
		cu_buf_append(out, item.item, item.len);
		cu_buf_putc(out, '\n');
		bytes += item.len;
	}
	return bytes;
}

static void put_compacted(const struct log *log, uint64_t bytes, size_t memory, cu_buf *out, uint64_t *ret_gained)
{
	cu_compact_parts *parts = cu_compact_parts_new(&cu_file_system, dir, bytes, memory);
	uint64_t came_out;
	int rc;

	assert_int_equal(log_add(parts, log), 0);
	assert_int_equal(cu_compact_parts_merge(parts, ret_gained), 0);
	came_out = rest_put(parts, out, &rc);
	assert_int_equal(rc, 0);
	assert_true(memory >= bytes || *ret_gained == log_item_bytes(log) - came_out);
	cu_compact_parts_free(&parts);
}

static void assert_same(struct log *log, uint64_t bytes)
{
	cu_buf all = CU_BUF_INIT, parts = CU_BUF_INIT;
	uint64_t gained;

	put_compacted(log, bytes, SIZE_MAX, &all, &gained);
	put_compacted(log, bytes, MEMORY, &parts, &gained);
	assert_int_equal(parts.len, all.len);
	assert_memory_equal(parts.data, all.data, all.len);
	cu_buf_fini(&all);
	cu_buf_fini(&parts);
}

static void parts_give_what_all_at_once_gives(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct log log = { 0 };

		random_state = round;
		log_random(&log, 500 + 200 * round, 300 + 100 * round);
		assert_same(&log, log_item_bytes(&log));
		log_fini(&log);
	}
}

static void a_part_that_does_not_fit_is_compacted_piece_by_piece(void **state)
{
	struct log log = { 0 };

	(void)state;
	random_state = 1;
	for (unsigned i = 0; i < 30000; i++)
		log_item(&log, "update", i % 3, 100);
	assert_same(&log, log_item_bytes(&log));
	log_fini(&log);
}

/* More bytes than were said: parts that do not fit even when they are compacted. */
static void what_does_not_fit_at_all_is_merged_less_and_says_the_same(void **state)
{
	cu_buf all = CU_BUF_INIT, few = CU_BUF_INIT;
	struct log log = { 0 }, again = { 0 };
	uint64_t gained;

	(void)state;
	random_state = 2;
	for (unsigned i = 0; i < 12000; i++)
		log_item(&log, "update", i % 4000, 100);
	put_compacted(&log, log_item_bytes(&log), SIZE_MAX, &all, &gained);
	put_compacted(&log, MEMORY + 1, MEMORY, &few, &gained);
	assert_true(few.len > all.len);
	/* Compacted once more, all at once, it is the same. */
	for (const char *at = few.data, *end = at + few.len; at < end;) {
		uint64_t tx, op;
		int head;
		size_t line = (size_t)((const char *)memchr(at, '\n', (size_t)(end - at)) - at);

		assert_int_equal(sscanf(at, "%" SCNu64 " %" SCNu64 " %n", &tx, &op, &head), 2);
		cu_buf_append(&again.bytes, at + head, line - (size_t)head);
		log_end(&again, tx, op, again.bytes.len - (line - (size_t)head));
		at += line + 1;
	}
	cu_buf_clear(&few);
	put_compacted(&again, log_item_bytes(&again), SIZE_MAX, &few, &gained);
	assert_int_equal(few.len, all.len);
	assert_memory_equal(few.data, all.data, all.len);
	cu_buf_fini(&all);
	cu_buf_fini(&few);
	log_fini(&log);
	log_fini(&again);
}

static void what_is_no_item_or_out_of_order_is_corrupt(void **state)
{
	cu_compact_parts *parts = cu_compact_parts_new(&cu_file_system, dir, MEMORY + 1, MEMORY);
	static const char item[] = "{\"key\":\"1\",\"value\":{},\"headers\":{\"operation\":\"update\"}}";
	static const char no_item[] = "{\"key\":\"1\",\"value\":{},\"headers\":{}}";
	uint64_t gained;

	(void)state;
	assert_int_equal(cu_compact_parts_add(parts, 5, 0, item, sizeof item - 1), 0);
	assert_int_equal(cu_compact_parts_add(parts, 5, 0, item, sizeof item - 1), CU_ECORRUPT);
	cu_compact_parts_free(&parts);
	parts = cu_compact_parts_new(&cu_file_system, dir, MEMORY + 1, MEMORY);
	assert_int_equal(cu_compact_parts_add(parts, 5, 0, "{\"kay\"", 6), CU_ECORRUPT);
	cu_compact_parts_free(&parts);
	parts = cu_compact_parts_new(&cu_file_system, dir, MEMORY + 1, MEMORY);
	assert_int_equal(cu_compact_parts_add(parts, 5, 0, no_item, sizeof no_item - 1), 0);
	assert_int_equal(cu_compact_parts_merge(parts, &gained), CU_ECORRUPT);
	cu_compact_parts_free(&parts);
}

/* Everything, with whatever fails. */
static int run_all(const struct log *log)
{
	cu_compact_parts *parts = cu_compact_parts_new(&help_fault_ops, dir, log_item_bytes(log), MEMORY);
	struct cu_compacted item;
	uint64_t gained;
	int rc = log_add(parts, log);

	if (rc == 0)
		rc = cu_compact_parts_merge(parts, &gained);
	while (rc == 0 && (rc = cu_compact_parts_next(parts, &item)) == 1)
		rc = 0;
	cu_compact_parts_free(&parts);
	return rc;
}

static void what_the_disk_or_the_memory_refuses_is_an_error(void **state)
{
	struct log log = { 0 };
	unsigned failures = 0;
	int rc;

	(void)state;
	random_state = 3;
	log_random(&log, 1500, 100);
	for (long n = 1;; n += 1 + n / 8) {
		help_fault_set(n, false);
		rc = run_all(&log);
		if (help_fault.calls < n)
			break;
		help_fault_set(0, false);
		assert_true(cu_is_disk_error(rc) || rc == 0); /* 0: it was the close */
		failures += rc < 0;
	}
	help_fault_set(0, false);
	assert_int_equal(rc, 0);
	assert_true(failures > 10);
	for (unsigned n = 1;; n += 1 + n / 8) {
		cu_fault_alloc_at(n);
		rc = run_all(&log);
		if (cu_fault_alloc_at(0) != 0)
			break;
		assert_int_equal(rc, CU_ENOMEM);
	}
	assert_int_equal(rc, 0);
	log_fini(&log);
}

static int make_dir(void **state)
{
	(void)state;
	dir = help_dir_new();
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	help_dir_free(&dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_give_what_all_at_once_gives),
		cmocka_unit_test(a_part_that_does_not_fit_is_compacted_piece_by_piece),
		cmocka_unit_test(what_does_not_fit_at_all_is_merged_less_and_says_the_same),
		cmocka_unit_test(what_is_no_item_or_out_of_order_is_corrupt),
		cmocka_unit_test(what_the_disk_or_the_memory_refuses_is_an_error),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
