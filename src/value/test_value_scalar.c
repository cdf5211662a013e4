/* bool, the integers, oid, "char", uuid, bytea and enums against Postgres. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "value/test_differ.h"

static struct pg_cluster *cluster;

static const char *const bools[] = { "t", "f" };
static const char *const bool_texts[] = { "true", "TRUE", " t ", "y", "no",    "on",   "of",    "off",  "o",    "1",
					  "0",    "10",   "",    " ", "truee", "fals", "\tF\n", "yess", "tr ue" };
static const char *const int2s[] = { "0", "1", "-1", "2", "-2", "7", "100", "-32768", "32767", "181", "182", "-181" };
static const char *const int4s[] = { "0",     "1",      "-1",     "2",           "-3",         "32767",
				     "32768", "-32768", "-32769", "-2147483648", "2147483647", "46341",
				     "65536", "33",     "31",     "12" };
static const char *const int8s[] = { "0",
				     "1",
				     "-1",
				     "3",
				     "-32769",
				     "32768",
				     "2147483648",
				     "-2147483648",
				     "-2147483649",
				     "4294967295",
				     "4294967296",
				     "9223372036854775807",
				     "-9223372036854775808",
				     "3037000500",
				     "-3037000500",
				     "36" };
static const char *const oids[] = { "0", "1", "2147483647", "2147483648", "4294967295", "16384" };
static const char *const int_texts[] = { "",
					 " ",
					 "-",
					 "+",
					 "+5",
					 "- 5",
					 " 12 ",
					 "\t7\n",
					 "12x",
					 "x",
					 "0x10",
					 "1_000",
					 "00012",
					 "32768",
					 "-32769",
					 "2147483648",
					 "-2147483649",
					 "9223372036854775808",
					 "-9223372036854775808",
					 "-9223372036854775809",
					 "99999999999",
					 "4294967295",
					 "4294967296",
					 "-1",
					 "-2147483648",
					 "-4294967296",
					 "18446744073709551615",
					 "18446744073709551616",
					 "-18446744073709551615",
					 "99999999999999999999999999x",
					 "1.0",
					 "1e3",
					 "--1",
					 "\xc3\xa4" };
static const char *const chars[] = { "a", "b", "", "\\377", "\\200", "A", "~", " " };
static const char *const char_texts[] = { "a",     "abc",   "",       "\\",    "\\1", "\\101",
					  "\\377", "\\400", "\\1234", "\\18a", " ",   "\xc3\xa4" };
static const char *const uuids[] = { "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
				     "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
				     "7fffffff-ffff-ffff-ffff-ffffffffffff" };
static const char *const uuid_texts[] = { "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
					  "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
					  "a0eebc999c0b4ef8bb6d6bb9bd380a11",
					  "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
					  "a0-eebc999c0b4ef8bb6d6bb9bd380a11",
					  "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
					  "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
					  "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11 ",
					  " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
					  "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1",
					  "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
					  "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
					  "",
					  "{}",
					  "{",
					  "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11" };
static const char *const byteas[] = {
	"", "\\x00", "\\xff", "\\x0001", "\\x00ff10", "abc", "abcabc", "\\xdeadbeef", "c"
};
static const char *const bytea_texts[] = { "\\x",          "\\xDE AD\n", "\\xd",      "\\xd e",     "\\xg0",
					   "\\x0\xc3\xa4", "\\X00",      "\\000a",    "\\400",      "\\38",
					   "\\\\",         "\\",         "a\\b",      "\\3777",     "\xc3\xa4",
					   "\\x \t12",     "\\x1\t2",    "\\x12\f34", "a\\\\b\\001" };

static int plain_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	cu_buf_append(out, datum->bytes, datum->len);
	return 0;
}

static int plain_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		    struct cu_datum *ret_datum, struct cu_value_error *err)
{
	(void)type, (void)typmod, (void)arena, (void)err;
	*ret_datum = (struct cu_datum){ .bytes = text, .len = (uint32_t)len };
	return 0;
}

/* So that this test links without text.c. */
static const struct cu_repr_ops plain_text = { .in = plain_in, .out = plain_out };

static void random_int(struct differ *d, cu_buf *out, unsigned bits)
{
	/* Every magnitude is as likely as any other. */
	int64_t value = (int64_t)differ_rand(d) >> (64 - bits + differ_rand(d) % bits);

	cu_buf_printf(out, "%" PRId64, value);
}

static void random_int2(struct differ *d, cu_buf *out)
{
	random_int(d, out, 16);
}

static void random_int4(struct differ *d, cu_buf *out)
{
	random_int(d, out, 32);
}

static void random_int8(struct differ *d, cu_buf *out)
{
	random_int(d, out, 64);
}

static void random_oid(struct differ *d, cu_buf *out)
{
	cu_buf_put_u64(out, (uint32_t)differ_rand(d) >> differ_rand(d) % 32);
}

static void random_bytea(struct differ *d, cu_buf *out)
{
	cu_buf_puts(out, "\\x");
	for (uint64_t n = differ_rand(d) % 6; n > 0; n--)
		cu_buf_printf(out, "%02x", (unsigned)(differ_rand(d) % 3));
}

static const char *const labels[] = { "sad", "ok", "happy", "a \"b\"" };
static struct cu_type mood = {
	.repr = CU_REPR_ENUM, .category = 'E', .name = "mood", .labels = labels, .labels_len = 4
};

#define POOL(oid, texts, random)                        \
	{                                               \
		oid, texts, CU_ARRAY_LEN(texts), random \
	}
static const struct differ_pool pools[] = {
	POOL(CU_BOOLOID, bools, NULL),        POOL(CU_INT2OID, int2s, random_int2),
	POOL(CU_INT4OID, int4s, random_int4), POOL(CU_INT8OID, int8s, random_int8),
	POOL(CU_OIDOID, oids, random_oid),    POOL(CU_CHAROID, chars, NULL),
	POOL(CU_UUIDOID, uuids, NULL),        POOL(CU_BYTEAOID, byteas, random_bytea),
	POOL(CU_TEXTOID, char_texts, NULL),
};

static void start(struct differ *d)
{
	differ_open(d, cluster);
	d->ops[CU_REPR_BOOL] = &cu_repr_ops_bool;
	d->ops[CU_REPR_INT] = &cu_repr_ops_int;
	d->ops[CU_REPR_UUID] = &cu_repr_ops_uuid;
	d->ops[CU_REPR_BYTEA] = &cu_repr_ops_bytea;
	d->ops[CU_REPR_ENUM] = &cu_repr_ops_enum;
	d->ops[CU_REPR_TEXT] = &plain_text;
	d->tables[0] = &cu_functions_bool;
	d->tables[1] = &cu_functions_int;
	d->tables[2] = &cu_functions_uuid;
	d->tables[3] = &cu_functions_bytea;
	d->tables[4] = &cu_functions_enum;
}

static void all_in(struct differ *d, uint32_t oid, const char *const *texts, size_t len)
{
	for (size_t i = 0; i < len; i++)
		differ_in(d, cu_type_builtin(oid), texts[i]);
}

static void literals_read_and_write_as_postgres_does(void **state)
{
	static const uint32_t ints[] = { CU_INT2OID, CU_INT4OID, CU_INT8OID, CU_OIDOID };
	struct differ d;

	(void)state;
	start(&d);
	d.may_refuse = true; /* numbers that only some versions read */
	for (size_t i = 0; i < CU_ARRAY_LEN(ints); i++)
		all_in(&d, ints[i], int_texts, CU_ARRAY_LEN(int_texts));
	all_in(&d, CU_BOOLOID, bool_texts, CU_ARRAY_LEN(bool_texts));
	all_in(&d, CU_CHAROID, char_texts, CU_ARRAY_LEN(char_texts));
	all_in(&d, CU_UUIDOID, uuids, CU_ARRAY_LEN(uuids));
	all_in(&d, CU_UUIDOID, uuid_texts, CU_ARRAY_LEN(uuid_texts));
	all_in(&d, CU_BYTEAOID, byteas, CU_ARRAY_LEN(byteas));
	all_in(&d, CU_BYTEAOID, bytea_texts, CU_ARRAY_LEN(bytea_texts));
	assert_int_equal(differ_close(&d), 0);
	assert_int_equal(d.refused, 9);
}

static void functions_answer_as_postgres_does(void **state)
{
	struct differ d;

	(void)state;
	start(&d);
	for (size_t i = 0; i < 4; i++)
		differ_functions(&d, d.tables[i], pools, CU_ARRAY_LEN(pools), NULL, 130);
	assert_int_equal(differ_close(&d), 0);
}

static void order_and_keys_agree_with_postgres(void **state)
{
	struct differ d;

	(void)state;
	start(&d);
	for (size_t i = 0; i < CU_ARRAY_LEN(pools); i++)
		if (pools[i].type != CU_TEXTOID)
			differ_laws(&d, cu_type_builtin(pools[i].type), pools[i].texts, pools[i].len);
	assert_int_equal(differ_close(&d), 0);
}

static void enums_follow_their_declared_order(void **state)
{
	struct differ_pool pool = POOL(0, labels, NULL);
	struct differ d;

	(void)state;
	pg_cluster_sql(cluster,
		       "CREATE TYPE mood AS ENUM ('ok', 'a \"b\"'); ALTER TYPE mood ADD VALUE 'sad' BEFORE 'ok';"
		       "ALTER TYPE mood ADD VALUE 'happy' BEFORE 'a \"b\"'");
	mood.oid = (uint32_t)strtoul(pg_cluster_sql(cluster, "SELECT 'mood'::regtype::oid"), NULL, 10);
	pool.type = mood.oid;
	start(&d);
	d.types[0] = &mood;
	for (size_t i = 0; i < CU_ARRAY_LEN(labels); i++)
		differ_in(&d, &mood, labels[i]);
	differ_in(&d, &mood, "");
	differ_in(&d, &mood, "OK");
	differ_in(&d, &mood, "ok ");
	differ_in(&d, &mood, "%s");
	differ_laws(&d, &mood, labels, CU_ARRAY_LEN(labels));
	differ_functions(&d, &cu_functions_enum, &pool, 1, &mood, 100);
	assert_int_equal(differ_close(&d), 0);
}

static void an_oid_seen_as_an_integer_wraps_around(void **state)
{
	struct cu_datum big = { .integer = 4294967295 };
	cu_buf out = CU_BUF_INIT;

	(void)state;
	assert_int_equal(cu_repr_ops_int.out(cu_type_builtin(CU_INT4OID), &big, &out), 0);
	assert_string_equal(cu_buf_str(&out), "-1");
	cu_buf_fini(&out);
}

static void long_messages_are_cut_between_characters(void **state)
{
	char text[400];
	struct cu_value_error err;
	struct cu_datum datum;
	cu_arena arena = CU_ARENA_INIT;

	(void)state;
	for (size_t shift = 0; shift < 4; shift++) {
		size_t len = 0;

		memset(text, 'a', sizeof text);
		for (size_t i = shift; i + 3 <= sizeof text; i += 3)
			memcpy(text + i, "\xe2\x82\xac", 3);
		assert_int_equal(cu_repr_ops_bool.in(cu_type_builtin(CU_BOOLOID), -1, text, sizeof text, &arena, &datum,
						     &err),
				 CU_EINVAL);
		assert_string_equal(err.sqlstate, "22P02");
		len = strlen(err.message);
		assert_true(len > 200 && len < sizeof err.message);
		assert_int_equal(err.message[len - 1], '"');
		assert_true(memcmp(err.message + len - 4, "\xe2\x82\xac", 3) == 0);
	}
	cu_arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_read_and_write_as_postgres_does),
		cmocka_unit_test(functions_answer_as_postgres_does),
		cmocka_unit_test(order_and_keys_agree_with_postgres),
		cmocka_unit_test(enums_follow_their_declared_order),
		cmocka_unit_test(an_oid_seen_as_an_integer_wraps_around),
		cmocka_unit_test(long_messages_are_cut_between_characters),
	};
	int failed;

	if (!pg_cluster_available()) {
		printf("no Postgres here: skipped\n");
		return 0;
	}
	cluster = pg_cluster_new(NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pg_cluster_free(&cluster);
	return failed;
}
