/* label: unit
 * test_pgoutput.c: every message kind, built by hand and recorded from a real Postgres, whole and cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "pg/pgoutput.h"

/* --- building messages --- */

static void put_be(cu_buf *out, uint64_t value, unsigned bytes)
{
	while (bytes--)
		cu_buf_putc(out, (char)(value >> (8 * bytes)));
}

static void put_cstr(cu_buf *out, const char *text)
{
	cu_buf_append(out, text, strlen(text) + 1);
}

/* A tuple from texts; "\1n" and "\1u" stand for null and unchanged. NULL ends it. */
static void put_tuple(cu_buf *out, char kind, const char *const *values)
{
	unsigned n = 0;

	while (values[n])
		n++;
	cu_buf_putc(out, kind);
	put_be(out, n, 2);
	for (unsigned i = 0; i < n; i++) {
		if (values[i][0] == '\1') {
			cu_buf_putc(out, values[i][1]);
			continue;
		}
		cu_buf_putc(out, 't');
		put_be(out, strlen(values[i]), 4);
		cu_buf_append(out, values[i], strlen(values[i]));
	}
}

#define TUPLE(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int decode(struct cu_pgoutput_decoder *dec, const cu_buf *buf, struct cu_pgoutput_msg *ret_msg)
{
	return cu_pgoutput_decode(dec, (const uint8_t *)buf->data, buf->len, ret_msg);
}

static void assert_value(const struct cu_pg_value *value, const char *want)
{
	if (want[0] == '\1') {
		assert_int_equal(value->kind, want[1]);
		assert_null(value->data);
		assert_int_equal(value->len, 0);
		return;
	}
	assert_int_equal(value->kind, CU_PG_TEXT);
	assert_int_equal(value->len, strlen(want));
	assert_memory_equal(value->data, want, strlen(want));
}

/* --- fixture: a decoder, a buffer, a result --- */

struct fixture {
	struct cu_pgoutput_decoder dec;
	struct cu_pgoutput_msg msg;
	cu_buf buf;
};

static int setup(void **state)
{
	struct fixture *f = cu_xzalloc(sizeof *f);

	cu_pgoutput_decoder_init(&f->dec);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cu_pgoutput_decoder_fini(&f->dec);
	cu_buf_fini(&f->buf);
	free(f);
	return 0;
}

/* --- whole messages --- */

static void begin_and_commit_carry_lsns_above_2_to_63(void **state)
{
	struct fixture *f = *state;

	cu_buf_putc(&f->buf, 'B');
	put_be(&f->buf, 0xfedcba9876543210ull, 8);
	put_be(&f->buf, (uint64_t)-5, 8);
	put_be(&f->buf, 0xfffffff0u, 4);
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(f->msg.kind, CU_PGOUTPUT_BEGIN);
	assert_true(f->msg.u.begin.final_lsn == 0xfedcba9876543210ull);
	assert_true(f->msg.u.begin.commit_time == -5);
	assert_int_equal(f->msg.u.begin.xid, 0xfffffff0u);

	cu_buf_clear(&f->buf);
	cu_buf_append(&f->buf, "C\0", 2);
	put_be(&f->buf, 0xfedcba9876543210ull, 8);
	put_be(&f->buf, 0xfedcba9876543240ull, 8);
	put_be(&f->buf, 77, 8);
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_true(f->msg.u.commit.commit_lsn == 0xfedcba9876543210ull);
	assert_true(f->msg.u.commit.end_lsn == 0xfedcba9876543240ull);
	assert_true(f->msg.u.commit.commit_time == 77);
}

static void origin_type_and_message_decode(void **state)
{
	struct fixture *f = *state;

	cu_buf_putc(&f->buf, 'O');
	put_be(&f->buf, 9, 8);
	put_cstr(&f->buf, "elsewhere");
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(f->msg.u.origin.lsn, 9);
	assert_string_equal(f->msg.u.origin.name, "elsewhere");

	cu_buf_clear(&f->buf);
	cu_buf_putc(&f->buf, 'Y');
	put_be(&f->buf, 16400, 4);
	put_cstr(&f->buf, "");
	put_cstr(&f->buf, "mood");
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(f->msg.u.type.oid, 16400);
	assert_string_equal(f->msg.u.type.namespace, "pg_catalog");
	assert_string_equal(f->msg.u.type.name, "mood");

	cu_buf_clear(&f->buf);
	cu_buf_append(&f->buf, "M\1", 2);
	put_be(&f->buf, 5, 8);
	put_cstr(&f->buf, "prefix");
	put_be(&f->buf, 3, 4);
	cu_buf_append(&f->buf, "a\0b", 3);
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_true(f->msg.u.message.transactional);
	assert_int_equal(f->msg.u.message.lsn, 5);
	assert_string_equal(f->msg.u.message.prefix, "prefix");
	assert_int_equal(f->msg.u.message.len, 3);
	assert_memory_equal(f->msg.u.message.data, "a\0b", 3);
}

static void relation_put(cu_buf *out, unsigned columns_n, char identity)
{
	cu_buf_putc(out, 'R');
	put_be(out, 16385, 4);
	put_cstr(out, "public");
	put_cstr(out, "items");
	cu_buf_putc(out, identity);
	put_be(out, columns_n, 2);
	for (unsigned i = 0; i < columns_n; i++) {
		char name[16];

		snprintf(name, sizeof name, "c%u", i);
		cu_buf_putc(out, i == 0);
		put_cstr(out, name);
		put_be(out, 23 + i, 4);
		put_be(out, i ? i + 4 : 0xffffffffu, 4);
	}
}

static void relation_carries_names_identity_and_columns(void **state)
{
	struct fixture *f = *state;
	const struct cu_pgoutput_relation *relation = &f->msg.u.relation;

	relation_put(&f->buf, 2, 'f');
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(f->msg.kind, CU_PGOUTPUT_RELATION);
	assert_int_equal(relation->oid, 16385);
	assert_string_equal(relation->namespace, "public");
	assert_string_equal(relation->name, "items");
	assert_int_equal(relation->replica_identity, 'f');
	assert_int_equal(relation->columns_n, 2);
	assert_true(relation->columns[0].is_key);
	assert_string_equal(relation->columns[0].name, "c0");
	assert_int_equal(relation->columns[0].type_oid, 23);
	assert_int_equal(relation->columns[0].typmod, -1);
	assert_false(relation->columns[1].is_key);
	assert_int_equal(relation->columns[1].typmod, 5);

	cu_buf_clear(&f->buf);
	relation_put(&f->buf, CU_COLUMNS_MAX, 'd');
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_string_equal(relation->columns[CU_COLUMNS_MAX - 1].name, "c1663");
}

static void relation_beyond_the_limits_is_corrupt(void **state)
{
	struct fixture *f = *state;

	relation_put(&f->buf, CU_COLUMNS_MAX + 1, 'd');
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), CU_ECORRUPT);
	cu_buf_clear(&f->buf);
	relation_put(&f->buf, 1, 'x');
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), CU_ECORRUPT);
	assert_string_equal(f->dec.reason, "a Relation has an unknown replica identity");
}

static void change_begin(cu_buf *out, char kind)
{
	cu_buf_clear(out);
	cu_buf_putc(out, kind);
	put_be(out, 16385, 4);
}

static void insert_and_delete_carry_their_row(void **state)
{
	struct fixture *f = *state;
	const struct cu_pgoutput_change *change = &f->msg.u.change;

	change_begin(&f->buf, 'I');
	put_tuple(&f->buf, 'N', TUPLE("1", "\1n", ""));
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(change->oid, 16385);
	assert_int_equal(change->old_kind, CU_PGOUTPUT_OLD_NONE);
	assert_int_equal(change->old_n, 0);
	assert_int_equal(change->new_n, 3);
	assert_value(&change->new_row[0], "1");
	assert_value(&change->new_row[1], "\1n");
	assert_value(&change->new_row[2], "");
	assert_null(f->dec.reason);

	change_begin(&f->buf, 'D');
	put_tuple(&f->buf, 'O', TUPLE("1", "two"));
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(change->old_kind, CU_PGOUTPUT_OLD_FULL);
	assert_int_equal(change->old_n, 2);
	assert_int_equal(change->new_n, 0);
	assert_value(&change->old_row[1], "two");

	change_begin(&f->buf, 'D');
	put_tuple(&f->buf, 'K', TUPLE("1", "\1n"));
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(change->old_kind, CU_PGOUTPUT_OLD_KEY);
}

static void update_fills_unchanged_values_from_a_full_old_row(void **state)
{
	struct fixture *f = *state;
	const struct cu_pgoutput_change *change = &f->msg.u.change;

	change_begin(&f->buf, 'U');
	put_tuple(&f->buf, 'O', TUPLE("1", "large", "a"));
	put_tuple(&f->buf, 'N', TUPLE("1", "\1u", "b"));
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(change->old_kind, CU_PGOUTPUT_OLD_FULL);
	assert_value(&change->new_row[1], "large");
	assert_ptr_equal(change->new_row[1].data, change->old_row[1].data);
	assert_value(&change->new_row[2], "b");
	assert_value(&change->old_row[2], "a");
}

static void update_without_a_full_old_row_keeps_unchanged(void **state)
{
	struct fixture *f = *state;
	const struct cu_pgoutput_change *change = &f->msg.u.change;

	change_begin(&f->buf, 'U');
	put_tuple(&f->buf, 'K', TUPLE("1", "\1n"));
	put_tuple(&f->buf, 'N', TUPLE("2", "\1u"));
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(change->old_kind, CU_PGOUTPUT_OLD_KEY);
	assert_value(&change->new_row[1], "\1u");

	change_begin(&f->buf, 'U');
	put_tuple(&f->buf, 'N', TUPLE("2", "\1u"));
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(change->old_kind, CU_PGOUTPUT_OLD_NONE);
	assert_null(change->old_row);
}

static void truncate_lists_its_tables(void **state)
{
	struct fixture *f = *state;

	cu_buf_putc(&f->buf, 'T');
	put_be(&f->buf, 2, 4);
	put_be(&f->buf, 3, 1);
	put_be(&f->buf, 7, 4);
	put_be(&f->buf, 0xfffffffeu, 4);
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_true(f->msg.u.truncate.cascade);
	assert_true(f->msg.u.truncate.restart_identity);
	assert_int_equal(f->msg.u.truncate.oids_n, 2);
	assert_int_equal(cu_pgoutput_truncate_oid(&f->msg, 0), 7);
	assert_int_equal(cu_pgoutput_truncate_oid(&f->msg, 1), 0xfffffffeu);
}

static void one_megabyte_value_is_borrowed_not_copied(void **state)
{
	struct fixture *f = *state;
	size_t len = 1u << 20;
	char *large = malloc(len + 1);

	memset(large, 'x', len);
	large[len] = '\0';
	change_begin(&f->buf, 'I');
	put_tuple(&f->buf, 'N', TUPLE("1", large));
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(f->msg.u.change.new_row[1].len, len);
	assert_ptr_equal(f->msg.u.change.new_row[1].data, f->buf.data + f->buf.len - len);
	free(large);
}

/* --- malformed messages --- */

static void malformed_messages_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int rc;
		const char *reason;
	} cases[] = {
		{ "", 0, CU_ECORRUPT, "an empty message" },
		{ "S\0\0\0\1\1", 6, CU_EUNSUPPORTED, "a message of a kind that protocol version 1 does not have" },
		{ "\0", 1, CU_EUNSUPPORTED, "a message of a kind that protocol version 1 does not have" },
		{ "I\0\0\0\1X\0\0", 8, CU_ECORRUPT, "a change has a tuple of unknown kind" },
		{ "I\0\0\0\1K\0\0", 8, CU_ECORRUPT, "a change has a tuple of unknown kind" },
		{ "I\0\0\0\1N\0\1x", 9, CU_ECORRUPT, "a tuple has a column of unknown kind" },
		{ "I\0\0\0\1N\0\1t\xff\xff\xff\xff", 13, CU_ECORRUPT, "a tuple is cut off" },
		{ "I\0\0\0\1N\xff\xff", 8, CU_ECORRUPT, "a tuple has more columns than a table can have" },
		{ "D\0\0\0\1N\0\0", 8, CU_ECORRUPT, "a Delete has no old row" },
		{ "U\0\0\0\1O\0\0O\0\0", 11, CU_ECORRUPT, "a change has a tuple of unknown kind" },
		{ "U\0\0\0\1O\0\1nN\0\0", 12, CU_ECORRUPT, "old and new row differ in their number of columns" },
		{ "T\xff\xff\xff\xff\0\0\0\0\1", 10, CU_ECORRUPT, "a Truncate is cut off" },
		{ "T\x40\0\0\1\0\0\0\0\1", 10, CU_ECORRUPT, "a Truncate is cut off" },
		{ "O\0\0\0\0\0\0\0\0abc", 12, CU_ECORRUPT, "a message is cut off" },
		{ "O\0\0\0\0\0\0\0\0abc\0x", 14, CU_ECORRUPT, "a message has bytes behind its end" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		uint8_t *exact = malloc(cases[i].len ? cases[i].len : 1);

		memcpy(exact, cases[i].bytes, cases[i].len);
		f->msg.kind = CU_PGOUTPUT_TYPE;
		assert_int_equal(cu_pgoutput_decode(&f->dec, exact, cases[i].len, &f->msg), cases[i].rc);
		assert_string_equal(f->dec.reason, cases[i].reason);
		assert_int_equal(f->msg.kind, CU_PGOUTPUT_TYPE);
		free(exact);
	}
}

static void failed_allocation_is_reported_and_survived(void **state)
{
	struct fixture *f = *state;

	relation_put(&f->buf, 3, 'f');
	cu_fault_alloc_at(1);
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), CU_ENOMEM);
	assert_non_null(f->dec.reason);
	change_begin(&f->buf, 'I');
	put_tuple(&f->buf, 'N', TUPLE("1", "2"));
	cu_fault_alloc_at(1);
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), CU_ENOMEM);
	cu_fault_alloc_at(0);
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	/* Once the arrays are large enough, nothing is allocated any more. */
	cu_fault_alloc_at(1);
	assert_int_equal(decode(&f->dec, &f->buf, &f->msg), 0);
	assert_int_equal(cu_fault_alloc_at(0), 1);
}

/* --- messages of a real Postgres 15 (tests/corpus/make_pgoutput.sh) --- */

/* Each prefix in an exact allocation, so that ASan sees a read past its end. */
static void prefixes_check(const uint8_t *data, size_t len)
{
	for (size_t cut = 0; cut < len; cut++) {
		struct cu_pgoutput_decoder dec;
		struct cu_pgoutput_msg msg;
		uint8_t *exact = malloc(cut ? cut : 1);

		memcpy(exact, data, cut);
		cu_pgoutput_decoder_init(&dec);
		assert_int_equal(cu_pgoutput_decode(&dec, exact, cut, &msg), CU_ECORRUPT);
		assert_non_null(dec.reason);
		cu_pgoutput_decoder_fini(&dec);
		free(exact);
	}
}

static void recorded_messages_decode_and_all_their_prefixes_are_corrupt(void **state)
{
	struct fixture *f = *state;
	DIR *dir = opendir(TEST_CORPUS_DIR "/fuzz_pgoutput");
	char kinds[64] = "";
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char path[1024];
		uint8_t data[8192];
		unsigned kind;
		size_t len;
		FILE *file;

		/* Recorded ones are named 01_42: number and kind in hex. Inputs that a fuzzer found are not. */
		if (sscanf(entry->d_name, "%*2u_%2x", &kind) != 1)
			continue;
		snprintf(path, sizeof path, "%s/%s", TEST_CORPUS_DIR "/fuzz_pgoutput", entry->d_name);
		file = fopen(path, "rb");
		assert_non_null(file);
		len = fread(data, 1, sizeof data, file);
		fclose(file);
		assert_true(len < sizeof data);
		assert_int_equal(cu_pgoutput_decode(&f->dec, data, len, &f->msg), 0);
		assert_int_equal(f->msg.kind, kind);
		if (!strchr(kinds, (int)kind))
			kinds[strlen(kinds)] = (char)kind;
		prefixes_check(data, len);
		/* One byte too many. */
		data[len] = 0;
		assert_int_equal(cu_pgoutput_decode(&f->dec, data, len + 1, &f->msg), CU_ECORRUPT);
	}
	closedir(dir);
	/* Every kind of the protocol has been recorded. */
	for (const char *kind = "BCORYIUDTM"; *kind; kind++)
		assert_non_null(strchr(kinds, *kind));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(begin_and_commit_carry_lsns_above_2_to_63),
		TEST(origin_type_and_message_decode),
		TEST(relation_carries_names_identity_and_columns),
		TEST(relation_beyond_the_limits_is_corrupt),
		TEST(insert_and_delete_carry_their_row),
		TEST(update_fills_unchanged_values_from_a_full_old_row),
		TEST(update_without_a_full_old_row_keeps_unchanged),
		TEST(truncate_lists_its_tables),
		TEST(one_megabyte_value_is_borrowed_not_copied),
		TEST(malformed_messages_are_refused_with_a_reason),
		TEST(failed_allocation_is_reported_and_survived),
		TEST(recorded_messages_decode_and_all_their_prefixes_are_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
