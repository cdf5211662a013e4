/* test_options.c: flags, variables, precedence, error texts; and docs/configuration.md says the same. */
#include "cli/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define URL "postgresql://u:hidden@h/db"
#define ENV(...) ((char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* argv is given without the program's name. */
static int run(char *const *argv, char *const *env, struct cu_options *ret, char **ret_err)
{
	char *full[16] = { (char *)"copper" };
	cu_buf err = CU_BUF_INIT;
	int argc = 1, rc;

	while (*argv && argc < 15)
		full[argc++] = *argv++;
	rc = cu_options_parse(argc, full, env, ret, &err);
	*ret_err = cu_buf_steal(&err, NULL);
	return rc;
}

static void assert_good(char *const *argv, char *const *env, struct cu_options *ret)
{
	char *err;
	int rc = run(argv, env, ret, &err);

	if (rc != 0)
		print_error("%s\n", err);
	assert_int_equal(rc, CU_OPTIONS_RUN);
	assert_string_equal(err, "");
	free(err);
}

static void assert_error(char *const *argv, char *const *env, const char *wanted)
{
	struct cu_options options;
	char *err;

	assert_int_equal(run(argv, env, &options, &err), CU_EINVAL);
	assert_string_equal(err, wanted);
	assert_null(options.database_url);
	assert_null(options.storage_dir);
	free(err);
}

static void defaults_are_electrics_but_that_consumers_suspend(void **state)
{
	struct cu_options o;

	(void)state;
	assert_good(ENV(), ENV("DATABASE_URL=" URL, "ELECTRIC_SECRET=s"), &o);
	assert_string_equal(o.database_url, URL);
	assert_string_equal(o.secret, "s");
	assert_false(o.insecure);
	assert_int_equal(o.port, 3000);
	assert_string_equal(o.host, "0.0.0.0");
	assert_string_equal(o.storage_dir, "./persistent");
	assert_int_equal(o.db_pool_size, 20);
	assert_string_equal(o.replication_stream_id, "default");
	assert_int_equal(o.max_requests_initial, 300);
	assert_int_equal(o.max_requests_existing, 10000);
	assert_true(o.compression);
	assert_int_equal(o.cache_max_age_s, 60);
	assert_int_equal(o.cache_stale_age_s, 300);
	assert_int_equal(o.long_poll_ms, 20000);
	assert_int_equal(o.sse_timeout_ms, 60000);
	assert_int_equal(o.send_timeout_ms, 30000);
	assert_int_equal(o.read_timeout_ms, 60000);
	assert_int_equal(o.chunk_bytes, 10 * 1024 * 1024);
	assert_int_equal(o.hibernate_after_ms, 30000);
	assert_int_equal(o.suspend_after_ms, 600000);
	assert_true(o.enable_suspend);
	assert_false(o.allow_shape_deletion);
	assert_int_equal(o.checkpoint_ms, 1000);
	assert_int_equal(o.max_shapes, 0);
	assert_int_equal(o.max_storage_bytes, 0);
	assert_int_equal(o.shape_max_idle_ms, 0);
	assert_string_equal(o.log_level, "info");
	assert_string_equal(o.log_format, "text");
	assert_in_range(o.threads, 1, 64);
	assert_int_equal(o.warnings_len, 0);
	cu_options_fini(&o);
}

static void a_flag_beats_coppers_variable_beats_electrics(void **state)
{
	struct cu_options o;

	(void)state;
	assert_good(ENV((char *)"--insecure"), ENV("DATABASE_URL=" URL, "ELECTRIC_PORT=1"), &o);
	assert_int_equal(o.port, 1);
	cu_options_fini(&o);
	assert_good(ENV((char *)"--insecure"), ENV("COPPER_PORT=2", "DATABASE_URL=" URL, "ELECTRIC_PORT=1"), &o);
	assert_int_equal(o.port, 2);
	cu_options_fini(&o);
	assert_good(ENV((char *)"--insecure", (char *)"--port", (char *)"3"),
		    ENV("COPPER_PORT=2", "DATABASE_URL=" URL, "ELECTRIC_PORT=1"), &o);
	assert_int_equal(o.port, 3);
	cu_options_fini(&o);
	/* What a flag overrides is not even looked at. */
	assert_good(ENV((char *)"--insecure", (char *)"--port=0"), ENV("COPPER_PORT=abc", "DATABASE_URL=" URL), &o);
	assert_int_equal(o.port, 0);
	cu_options_fini(&o);
	assert_good(ENV((char *)"--insecure"), ENV("COPPER_DATABASE_URL=" URL, "DATABASE_URL=broken"), &o);
	assert_string_equal(o.database_url, URL);
	cu_options_fini(&o);
}

static void empty_variables_count_as_not_set(void **state)
{
	struct cu_options o;

	(void)state;
	assert_good(ENV(),
		    ENV("DATABASE_URL=" URL, "ELECTRIC_SECRET=s", "COPPER_PORT=", "ELECTRIC_PORT=4",
			"ELECTRIC_INSECURE="),
		    &o);
	assert_int_equal(o.port, 4);
	cu_options_fini(&o);
}

static void errors_name_their_source_and_never_a_secret(void **state)
{
	static const struct {
		const char *variable;
		const char *error;
	} cases[] = {
		{ "COPPER_PORT=abc", "COPPER_PORT: \"abc\" is not a number between 0 and 65535" },
		{ "ELECTRIC_PORT=65536", "ELECTRIC_PORT: \"65536\" is not a number between 0 and 65535" },
		{ "ELECTRIC_PORT=-1", "ELECTRIC_PORT: \"-1\" is not a number between 0 and 65535" },
		{ "ELECTRIC_DB_POOL_SIZE=0", "ELECTRIC_DB_POOL_SIZE: \"0\" is not a number between 2 and 1000" },
		{ "ELECTRIC_INSECURE=maybe", "ELECTRIC_INSECURE: \"maybe\" is not true or false" },
		{ "ELECTRIC_SHAPE_HIBERNATE_AFTER=5x",
		  "ELECTRIC_SHAPE_HIBERNATE_AFTER: \"5x\" is not a time between 1 ms and 604800 s, like 500ms, "
		  "30s or 2m" },
		{ "ELECTRIC_LOG_LEVEL=loud", "ELECTRIC_LOG_LEVEL: \"loud\" is not one of error, warning, info, debug" },
		{ "COPPER_LOG_FORMAT=xml", "COPPER_LOG_FORMAT: \"xml\" is not text or json" },
		{ "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD=1TB",
		  "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD: \"1TB\" is not a size between 1024 and 1073741824 bytes, like "
		  "10485760 or 10MiB" },
		{ "ELECTRIC_REPLICATION_STREAM_ID=a-b",
		  "ELECTRIC_REPLICATION_STREAM_ID: \"a-b\" is not a name of at most 42 letters, digits and _ that does "
		  "not start with a digit" },
		{ "ELECTRIC_MAX_CONCURRENT_REQUESTS={\"initial\":0}",
		  "ELECTRIC_MAX_CONCURRENT_REQUESTS: \"{\"initial\":0}\" is not a JSON object like "
		  "{\"initial\":300,\"existing\":10000} with numbers from 1 on" },
		{ "COPPER_DATABASE_URL=mysql://u:hidden@h",
		  "COPPER_DATABASE_URL: its value is not a URL that starts with postgresql://" },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++)
		assert_error(ENV(), ENV((char *)cases[i].variable, "DATABASE_URL=" URL, "ELECTRIC_SECRET=s"),
			     cases[i].error);
	assert_error(ENV((char *)"--port=x", (char *)"--bogus=1", (char *)"extra"),
		     ENV("DATABASE_URL=" URL, "ELECTRIC_SECRET=s"),
		     "--port: \"x\" is not a number between 0 and 65535\n--bogus: no such option; see copper --help\n"
		     "extra: unexpected argument; see copper --help");
	assert_error(ENV((char *)"--port"), ENV("DATABASE_URL=" URL, "ELECTRIC_SECRET=s"),
		     "--port: its value is missing");
}

static void a_secret_or_insecure_is_required_but_not_both(void **state)
{
	struct cu_options o;
	char *err;

	(void)state;
	assert_int_equal(run(ENV(), ENV("DATABASE_URL=" URL), &o, &err), CU_EINVAL);
	assert_non_null(strstr(err, "ELECTRIC_SECRET: not set"));
	assert_non_null(strstr(err, "--insecure"));
	free(err);
	assert_int_equal(run(ENV(), ENV("DATABASE_URL=" URL, "ELECTRIC_SECRET="), &o, &err), CU_EINVAL);
	free(err);
	assert_error(ENV((char *)"--insecure"), ENV("DATABASE_URL=" URL, "ELECTRIC_SECRET=s"),
		     "ELECTRIC_SECRET and ELECTRIC_INSECURE are both set: choose one (--secret or --insecure)");
	assert_good(ENV((char *)"--secret", (char *)"s", (char *)"--insecure=false"), ENV("DATABASE_URL=" URL), &o);
	assert_string_equal(o.secret, "s");
	cu_options_fini(&o);
}

static void the_database_url_is_required(void **state)
{
	struct cu_options o;
	char *err;

	(void)state;
	assert_int_equal(run(ENV((char *)"--insecure"), ENV(), &o, &err), CU_EINVAL);
	assert_non_null(strstr(err, "DATABASE_URL: not set"));
	free(err);
	assert_good(ENV((char *)"--insecure", (char *)"--database-url=host=/tmp dbname=x"), ENV(), &o);
	cu_options_fini(&o);
}

static void times_and_sizes_take_units(void **state)
{
	static const struct {
		const char *text;
		unsigned ms;
	} times[] = { { "500", 500 },    { "500ms", 500 }, { "500 msec", 500 }, { "30s", 30000 }, { "1.5s", 1500 },
		      { "2 sec", 2000 }, { "2m", 120000 }, { "5min", 300000 },  { "1h", 3600000 } };
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = { { "10485760", 10485760 },
		      { "1MiB", 1048576 },
		      { "1MB", 1000000 },
		      { "2.5KiB", 2560 },
		      { "1GiB", 1u << 30 } };
	struct cu_options o;
	char variable[100];

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(times); i++) {
		snprintf(variable, sizeof variable, "ELECTRIC_SHAPE_HIBERNATE_AFTER=%s", times[i].text);
		assert_good(ENV((char *)"--insecure"), ENV("DATABASE_URL=" URL, variable), &o);
		assert_int_equal(o.hibernate_after_ms, times[i].ms);
		cu_options_fini(&o);
	}
	for (size_t i = 0; i < CU_ARRAY_LEN(sizes); i++) {
		snprintf(variable, sizeof variable, "ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD=%s", sizes[i].text);
		assert_good(ENV((char *)"--insecure"), ENV("DATABASE_URL=" URL, variable), &o);
		assert_int_equal(o.chunk_bytes, sizes[i].bytes);
		cu_options_fini(&o);
	}
}

static void special_values_are_understood(void **state)
{
	struct cu_options o;

	(void)state;
	assert_good(ENV((char *)"--insecure", (char *)"--listen-on-ipv6"),
		    ENV("DATABASE_URL=" URL, "ELECTRIC_MAX_CONCURRENT_REQUESTS={\"initial\": 5}",
			"ELECTRIC_LOG_LEVEL=warn", "ELECTRIC_REPLICATION_STREAM_ID=MyApp_2",
			"ELECTRIC_SHAPE_SUSPEND_CONSUMER=0"),
		    &o);
	assert_string_equal(o.host, "::");
	assert_int_equal(o.max_requests_initial, 5);
	assert_int_equal(o.max_requests_existing, 10000);
	assert_string_equal(o.log_level, "warning");
	assert_string_equal(o.replication_stream_id, "myapp_2");
	assert_false(o.enable_suspend);
	cu_options_fini(&o);
	assert_good(ENV((char *)"--insecure", (char *)"--host=127.0.0.1", (char *)"--listen-on-ipv6"),
		    ENV("DATABASE_URL=" URL), &o);
	assert_string_equal(o.host, "127.0.0.1");
	cu_options_fini(&o);
}

static void unknown_variables_of_ours_and_electrics_are_warned_about(void **state)
{
	struct cu_options o;

	(void)state;
	assert_good(ENV((char *)"--insecure"),
		    ENV("DATABASE_URL=" URL, "ELECTRIC_PROT=1", "COPPER_X=2", "PATH=/bin", "ELECTRIC_STORAGE=MEMORY",
			"ELECTRIC_INSTANCE_ID=silent", "ELECTRIC_PORT=1", "COPPER_Y="),
		    &o);
	assert_int_equal(o.warnings_len, 3);
	assert_string_equal(o.warnings[0], "ELECTRIC_PROT is not known, and ignored");
	assert_string_equal(o.warnings[1], "COPPER_X is not known, and ignored");
	assert_string_equal(o.warnings[2], "ELECTRIC_STORAGE has no effect here: storage is always on disk");
	cu_options_fini(&o);
}

static void help_and_version_win_over_errors(void **state)
{
	struct cu_options o;
	cu_buf help = CU_BUF_INIT;
	char *err;

	(void)state;
	assert_int_equal(run(ENV((char *)"--bogus", (char *)"--help"), ENV(), &o, &err), CU_OPTIONS_HELP);
	free(err);
	assert_int_equal(run(ENV((char *)"-V"), ENV(), &o, &err), CU_OPTIONS_VERSION);
	free(err);
	cu_options_help(&help);
	assert_non_null(strstr(cu_buf_str(&help), "--storage-dir  (COPPER_STORAGE_DIR, ELECTRIC_STORAGE_DIR)"));
	assert_non_null(strstr(cu_buf_str(&help), "[3000]"));
	for (const char *line = cu_buf_str(&help); *line; line += strcspn(line, "\n") + 1)
		assert_in_range(strcspn(line, "\n"), 0, 80 + 2 /* an ellipsis is three bytes */);
	cu_buf_fini(&help);
}

static cu_buf page_of_docs(const char *name)
{
	cu_buf doc = CU_BUF_INIT;
	char path[512], piece[4096];
	FILE *file;
	size_t got;

	snprintf(path, sizeof path, TEST_CORPUS_DIR "/../../docs/%s", name);
	file = fopen(path, "rb");
	assert_non_null(file);
	while ((got = fread(piece, 1, sizeof piece, file)) > 0)
		cu_buf_append(&doc, piece, got);
	fclose(file);
	return doc;
}

/* Every option of Electric's configuration page, with a value that it may have there. */
static void every_option_of_electrics_page_is_honoured_or_named_with_a_reason(void **state)
{
	static const char *const page[] = {
		"DATABASE_URL=" URL,
		"ELECTRIC_POOLED_DATABASE_URL=" URL,
		"ELECTRIC_DATABASE_USE_IPV6=true",
		"ELECTRIC_DB_POOL_SIZE=10",
		"ELECTRIC_DATABASE_TCP_KEEPALIVE_IDLE=60",
		"ELECTRIC_DATABASE_TCP_KEEPALIVE_INTERVAL=10",
		"ELECTRIC_DATABASE_TCP_KEEPALIVE_COUNT=3",
		"ELECTRIC_DATABASE_TCP_USER_TIMEOUT=30000",
		"ELECTRIC_DATABASE_CA_CERTIFICATE_FILE=/path/to/cert.pem",
		"ELECTRIC_REPLICATION_STREAM_ID=my_app",
		"CLEANUP_REPLICATION_SLOTS_ON_SHUTDOWN=true",
		"ELECTRIC_TEMPORARY_REPLICATION_SLOT_USE_RANDOM_NAME=true",
		"ELECTRIC_REPLICATION_IDLE_TIMEOUT=5min",
		"ELECTRIC_MANUAL_TABLE_PUBLISHING=true",
		"ELECTRIC_SECRET=1U6ItbhoQb4kGUU5wXBLbxvNf",
		"ELECTRIC_INSECURE=true",
		"ELECTRIC_INSTANCE_ID=some-unique-instance-identifier",
		"ELECTRIC_SERVICE_NAME=my-electric-service",
		"ELECTRIC_LISTEN_ON_IPV6=true",
		"ELECTRIC_TCP_SEND_TIMEOUT=60s",
		"ELECTRIC_TCP_READ_TIMEOUT=5min",
		"ELECTRIC_SHAPE_CHUNK_BYTES_THRESHOLD=20971520",
		"ELECTRIC_PORT=8080",
		"ELECTRIC_SHAPE_SUSPEND_CONSUMER=true",
		"ELECTRIC_SHAPE_HIBERNATE_AFTER=5min",
		"ELECTRIC_SHAPE_DB_EXCLUSIVE_MODE=true",
		"ELECTRIC_SHAPE_DB_STORAGE_DIR=:memory:",
		"ELECTRIC_SHAPE_DB_SYNCHRONOUS=NORMAL",
		"ELECTRIC_SHAPE_DB_CACHE_SIZE=512KiB",
		"ELECTRIC_SHAPE_DB_ENABLE_STATS=true",
		"ELECTRIC_SHAPE_DB_ENABLE_MEMORY_STATS=true",
		"ELECTRIC_MAX_CONCURRENT_REQUESTS={\"initial\": 100, \"existing\": 10000}",
		"ELECTRIC_MAX_SHAPES=1000",
		"ELECTRIC_CONSUMER_PARTITIONS=32",
		"ELECTRIC_FEATURE_FLAGS=allow_subqueries,tagged_subqueries",
		"ELECTRIC_CACHE_MAX_AGE=5",
		"ELECTRIC_CACHE_STALE_AGE=5",
		"ELECTRIC_PERSISTENT_STATE=MEMORY",
		"ELECTRIC_STORAGE=MEMORY",
		"ELECTRIC_STORAGE_DIR=/var/example",
		"ELECTRIC_OTLP_ENDPOINT=https://example.com",
		"ELECTRIC_OTEL_DEBUG=true",
		"ELECTRIC_HNY_API_KEY=your-api-key",
		"ELECTRIC_HNY_DATASET=your-dataset-name",
		"ELECTRIC_PROMETHEUS_PORT=9090",
		"ELECTRIC_STATSD_HOST=https://example.com",
		"SENTRY_DSN=https://example.com/1",
		"ELECTRIC_LOG_LEVEL=debug",
		"ELECTRIC_LOG_COLORS=false",
		"ELECTRIC_LOG_OTP_REPORTS=true",
	};
	cu_buf ours = CU_BUF_INIT, doc = page_of_docs("compatibility.md");

	(void)state;
	cu_options_markdown(&ours);
	for (size_t i = 0; i < CU_ARRAY_LEN(page); i++) {
		int len = (int)strcspn(page[i], "=");
		char *row, option[100], honoured[100], named[100], useless[100];
		const char *secret = strncmp(page[i], "ELECTRIC_SECRET", 15) ? "ELECTRIC_INSECURE=true" : "X=";
		struct cu_options o;
		bool is_honoured;

		assert_good(ENV(), ENV("DATABASE_URL=" URL, (char *)page[i], (char *)secret), &o);
		assert_in_range(o.warnings_len, 0, 1);
		if (o.warnings_len)
			assert_non_null(strstr(o.warnings[0], " has no effect here: "));
		snprintf(option, sizeof option, ", `%.*s` |", len, page[i]); /* behind COPPER_… */
		snprintf(honoured, sizeof honoured, "| `%.*s` | honoured", len, page[i]);
		snprintf(named, sizeof named, "| `%.*s` | ", len, page[i]);
		snprintf(useless, sizeof useless, "\n| `%.*s` | ", len,
			 page[i]); /* in the table of those without effect */
		row = strstr(cu_buf_str(&doc), named);
		if (!row)
			print_error("docs/compatibility.md does not name %.*s\n", len, page[i]);
		assert_non_null(row);
		is_honoured = strncmp(row, honoured, strlen(honoured)) == 0;
		if (is_honoured != (strstr(cu_buf_str(&ours), option) != NULL) ||
		    (is_honoured && (o.warnings_len || strstr(cu_buf_str(&ours), useless)))) {
			print_error("docs/compatibility.md must say whether %.*s is honoured\n", len, page[i]);
			fail();
		}
		cu_options_fini(&o);
	}
	cu_buf_fini(&doc);
	cu_buf_fini(&ours);
}

/* Regenerate with: build/test_options --markdown */
static void docs_configuration_md_holds_the_whole_table(void **state)
{
	cu_buf table = CU_BUF_INIT, doc = page_of_docs("configuration.md");

	(void)state;
	cu_options_markdown(&table);
	assert_non_null(strstr(cu_buf_str(&doc), cu_buf_str(&table)));
	cu_buf_fini(&table);
	cu_buf_fini(&doc);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_electrics_but_that_consumers_suspend),
		cmocka_unit_test(a_flag_beats_coppers_variable_beats_electrics),
		cmocka_unit_test(empty_variables_count_as_not_set),
		cmocka_unit_test(errors_name_their_source_and_never_a_secret),
		cmocka_unit_test(a_secret_or_insecure_is_required_but_not_both),
		cmocka_unit_test(the_database_url_is_required),
		cmocka_unit_test(times_and_sizes_take_units),
		cmocka_unit_test(special_values_are_understood),
		cmocka_unit_test(unknown_variables_of_ours_and_electrics_are_warned_about),
		cmocka_unit_test(help_and_version_win_over_errors),
		cmocka_unit_test(every_option_of_electrics_page_is_honoured_or_named_with_a_reason),
		cmocka_unit_test(docs_configuration_md_holds_the_whole_table),
	};

	if (argc > 1 && strcmp(argv[1], "--markdown") == 0) {
		cu_buf table = CU_BUF_INIT;

		cu_options_markdown(&table);
		fputs(cu_buf_str(&table), stdout);
		cu_buf_fini(&table);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
