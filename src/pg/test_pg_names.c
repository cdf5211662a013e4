/* label: unit
 * What needs no server: DATABASE_URL, names, identifiers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pg/catalog.h"
#include "pg/slot.h"

#include <stdlib.h>

static void url_and_conninfo_are_both_read(void **state)
{
	cu_pg_config *config = NULL;
	struct cu_pg_error err;

	(void)state;
	assert_int_equal(cu_pg_config_new("postgresql://u:p%40ss@db.example:6432/app?sslmode=disable", &config, &err),
			 0);
	assert_string_equal(cu_pg_config_host(config), "db.example");
	assert_string_equal(cu_pg_config_dbname(config), "app");
	cu_pg_config_free(&config);
	assert_int_equal(cu_pg_config_new("host=/tmp dbname='my db'", &config, &err), 0);
	assert_string_equal(cu_pg_config_dbname(config), "my db");
	cu_pg_config_free(&config);
	assert_int_equal(cu_pg_config_new("postgresql://h,i:5433,j:65535/app", &config, &err), 0);
	cu_pg_config_free(&config);
}

static void bad_url_is_refused_without_showing_the_password(void **state)
{
	static const char *const bad[] = { "",
					   "postgresql://u:geh%zzeim@h/app",
					   "nonsense",
					   "postgresql://u:geheim@h/db?nope=1",
					   "host=h password=geheim nope=1",
					   "postgresql://u:geheim@h:65536/app",
					   "postgresql://u:geheim/more@h/app",
					   "postgresql://h,i:5432,j:0/app",
					   "postgresql://h/db?replication=database" };
	cu_pg_config *config = NULL;
	struct cu_pg_error err;

	(void)state;
	for (unsigned i = 0; i < CU_ARRAY_LEN(bad); i++) {
		assert_int_equal(cu_pg_config_new(bad[i], &config, &err), CU_EINVAL);
		assert_null(config);
		assert_int_equal(err.kind, CU_PG_CONFIG);
		assert_null(strstr(err.message, "geheim"));
		assert_null(strstr(err.message, "geh%zzeim"));
		assert_true(strlen(err.message) > 10);
	}
}

/* It would not pass by itself. */
static void an_option_that_libpq_refuses_is_the_configurations_fault(void **state)
{
	cu_pg_config *config = NULL;
	PGconn *conn = NULL;
	struct cu_pg_error err;

	(void)state;
	assert_int_equal(cu_pg_config_new("postgresql://h/app?sslmode=bogus", &config, &err), 0);
	assert_int_equal(cu_pg_connect(config, CU_PG_ORDINARY, -1, &conn, &err), CU_EPG);
	assert_int_equal(err.kind, CU_PG_CONFIG);
	assert_non_null(strstr(err.message, "invalid sslmode value"));
	cu_pg_config_free(&config);
}

static void names_are_electrics(void **state)
{
	struct cu_pg_names names;

	(void)state;
	assert_int_equal(cu_pg_names_init(&names, NULL), 0);
	assert_string_equal(names.slot, "electric_slot_default");
	assert_string_equal(names.publication, "electric_publication_default");
	assert_int_equal(cu_pg_names_init(&names, "a_1"), 0);
	assert_string_equal(names.slot, "electric_slot_a_1");
	assert_int_equal(cu_pg_names_init(&names, "A"), CU_EINVAL);
	assert_int_equal(cu_pg_names_init(&names, "a\"b"), CU_EINVAL);
	assert_int_equal(cu_pg_names_init(&names, "a123456789b123456789c123456789d123456789e123456789"), CU_EINVAL);
}

struct name_case {
	const char *text, *schema, *name, *words;
};

static void table_names_follow_electrics_rules(void **state)
{
	static const struct name_case cases[] = {
		{ "foo", "public", "foo", NULL },
		{ "FooBar", "public", "foobar", NULL },
		{ "foo.bar", "foo", "bar", NULL },
		{ "\"foo\".\"bar\"", "foo", "bar", NULL },
		{ "\"foo.woah\".\"bar\"", "foo.woah", "bar", NULL },
		{ "\"Foo\"\"Bar\"", "public", "Foo\"Bar", NULL },
		{ "\" \"", "public", " ", NULL },
		{ "_a$1", "public", "_a$1", NULL },
		{ "caf\xc3\xa9", "public", "caf\xc3\xa9", NULL },
		{ "\"foo\".\"bar", NULL, NULL, "Invalid unquoted identifier contains special characters: \"bar" },
		{ "foo.bar.baz", NULL, NULL, "Invalid relation identifier, too many delimiters: foo.bar.baz" },
		{ "Foo\"Bar\"", NULL, NULL, "Invalid unquoted identifier contains special characters: Foo\"Bar\"" },
		{ " ", NULL, NULL, "Invalid unquoted identifier contains special characters:  " },
		{ "foob@r", NULL, NULL, "Invalid unquoted identifier contains special characters: foob@r" },
		{ "1a", NULL, NULL, "Invalid unquoted identifier contains special characters: 1a" },
		{ "\"Foo\"Bar\"", NULL, NULL, "Invalid identifier with unescaped quote: Foo\"Bar" },
		{ "\"\"", NULL, NULL, "Invalid zero-length delimited identifier" },
		{ "\"", NULL, NULL, "Invalid zero-length delimited identifier" },
		{ "", NULL, NULL, "Invalid zero-length delimited identifier" },
		{ ".a", NULL, NULL, "Invalid zero-length delimited identifier" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL, NULL,
		  "Identifier is too long (max length is 63)" },
		{ "\"a\xff\"", NULL, NULL, "Invalid identifier: not valid UTF-8 text" },
	};

	(void)state;
	for (unsigned i = 0; i < CU_ARRAY_LEN(cases); i++) {
		struct cu_table_name name;
		cu_buf words = CU_BUF_INIT;
		int rc = cu_table_name_parse(cases[i].text, strlen(cases[i].text), &name, &words);

		if (cases[i].words) {
			assert_int_equal(rc, CU_EINVAL);
			assert_string_equal(cu_buf_str(&words), cases[i].words);
		} else {
			assert_int_equal(rc, 0);
			assert_string_equal(name.schema, cases[i].schema);
			assert_string_equal(name.name, cases[i].name);
		}
		cu_buf_fini(&words);
	}
}

static void longest_identifier_fits(void **state)
{
	char text[4 * 63 + 3];
	struct cu_table_name name;
	cu_buf words = CU_BUF_INIT;

	(void)state;
	text[0] = '"';
	for (unsigned i = 0; i < 63; i++)
		memcpy(text + 1 + 4 * i, "\xf0\x9f\x90\x98", 4);
	memcpy(text + 1 + 4 * 63, "\"", 2);
	assert_int_equal(cu_table_name_parse(text, strlen(text), &name, &words), 0);
	assert_int_equal(strlen(name.name), 252);
	cu_buf_fini(&words);
}

static void quoting_doubles_quotes(void **state)
{
	cu_buf buf = CU_BUF_INIT;

	(void)state;
	cu_pg_put_relation(&buf, "a\"b", "c");
	cu_pg_put_literal(&buf, "it's");
	assert_string_equal(cu_buf_str(&buf), "\"a\"\"b\".\"c\"'it''s'");
	cu_buf_fini(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(url_and_conninfo_are_both_read),
		cmocka_unit_test(bad_url_is_refused_without_showing_the_password),
		cmocka_unit_test(an_option_that_libpq_refuses_is_the_configurations_fault),
		cmocka_unit_test(names_are_electrics),
		cmocka_unit_test(table_names_follow_electrics_rules),
		cmocka_unit_test(longest_identifier_fits),
		cmocka_unit_test(quoting_doubles_quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
