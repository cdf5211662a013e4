/* Texts, order and functions of dates and times against Postgres. label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "value/test_datetime_pools.h"

static struct pg_cluster *cluster;

/* CU_TEST_CASES: so many times as many random cases; CU_TEST_SEED: others. */
static unsigned long env_number(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : 1;
}

static size_t cases(size_t len)
{
	return len * env_number("CU_TEST_CASES");
}

static void differ_open_datetime(struct differ *d)
{
	differ_open(d, cluster);
	d->seed = env_number("CU_TEST_SEED");
	d->ops[CU_REPR_DATE] = &cu_repr_ops_date;
	d->ops[CU_REPR_TIME] = &cu_repr_ops_time;
	d->ops[CU_REPR_TIMETZ] = &cu_repr_ops_timetz;
	d->ops[CU_REPR_TIMESTAMP] = &cu_repr_ops_timestamp;
	d->ops[CU_REPR_TIMESTAMPTZ] = &cu_repr_ops_timestamptz;
	d->ops[CU_REPR_INTERVAL] = &cu_repr_ops_interval;
	d->ops[CU_REPR_BOOL] = &cu_repr_ops_bool;
	d->ops[CU_REPR_INT] = &cu_repr_ops_int;
	d->ops[CU_REPR_FLOAT8] = &cu_repr_ops_float8;
	d->ops[CU_REPR_NUMERIC] = &cu_repr_ops_numeric;
	d->ops[CU_REPR_TEXT] = &cu_repr_ops_text;
	d->tables[0] = &cu_functions_datetime;
	d->tables[1] = &cu_functions_interval;
}

static const uint32_t types[] = { CU_DATEOID,      CU_TIMEOID,        CU_TIMETZOID,
				  CU_TIMESTAMPOID, CU_TIMESTAMPTZOID, CU_INTERVALOID };

/* Read by every type, by some, by Postgres alone, or by nobody. */
static const char *const literals[] = {
	"Jan 5, 2020",
	"January 5 2020 10:20",
	"5 Sept 2020",
	"5 jan, 2020 1:2:3+02",
	"05-Feb-2020",
	"2020-Dec-31 10:20",
	"31-Apr-2020",
	"Feb 29, 2021",
	"0-Jan-2020",
	"44-Mar-0015 BC",
	"15 March 0044 BC",
	"March 5",
	"Marchy 5, 2020",
	"Jan 5,2020",
	"Jan 5 , 2020",
	"Jan 5, 20200",
	"Jan 2020 5",
	"2020 Jan 5",
	"5 Jan 20",
	"Jan 5, 2020T10:20",
	"may 1, 2020 BC",
	"5Jan2020",
	"Jan5, 2020",
	"20200105 BC",
	"2020-01-05 12:05 AM",
	"2020-01-05 12:05 PM",
	"2020-01-05 13:05 PM",
	"2020-01-05 00:05 PM",
	"2020-01-05 24:00 AM",
	"4:05:06.7 am +02",
	"12:00 am",
	"2020-01-05 4:05pm",
	"99:00 PM",
	"13:00 am",
	"2020-01-05",
	" 2020-1-5 ",
	"2020/01/05",
	"20200105",
	"2020-01-05 10:20",
	"2020-01-05T10:20:30",
	"20200105T10:20:30Z",
	"2020-01-05t10:20:30.123456z",
	"2020-01-05 10:20:30.5+02",
	"2020-01-05 10:20:30 +02:30",
	"2020-01-05 10:20:30-0330",
	"2020-01-05 10:20:30 UTC",
	"2020-01-05 10:20:30+05:30:15",
	"2020-01-05 10:20:30+16",
	"2020-01-05 10:20:30+15:60",
	"2020-01-05 10:20:30+15:59:59",
	"2020-01-05 10:20:30-530",
	"2020-01-05 24:00:00",
	"2020-01-05 24:00:01",
	"2020-01-05 23:59:60",
	"2020-01-05 23:59:60.5",
	"2020-01-05 12:00:60.5",
	"2020-01-05 23:60:00",
	"2020-01-05 25:00:00",
	"2020-01-05 10:20.5",
	"2020-01-05 10:20:30.9999999",
	"2020-01-05 10:20:30.0000005",
	"2020-01-05 10:20:30.0000015",
	"2020-01-05 23:59:59.9999999",
	"2020-01-05 10:20:30.12345678901234567890",
	"2020-02-30",
	"2021-02-29",
	"2020-13-01",
	"2020-00-01",
	"2020-01-00",
	"2020-01-32",
	"0000-01-01",
	"0000-01-01 BC",
	"0001-01-01 BC",
	"0044-03-15 BC",
	"0044-03-15 12:00:00 BC",
	"0044-03-15 12:00:00+00 BC",
	"0044-03-15 12:00:00+02:00 AD",
	"4714-11-24 BC",
	"4714-11-23 BC",
	"4714-10-31 BC",
	"4713-01-01 BC",
	"5000-01-01 BC",
	"4714-11-24 00:00:00+01 BC",
	"4714-11-24 00:00:00-01 BC",
	"10000-01-01",
	"294276-12-31 23:59:59.999999",
	"294276-12-31 23:59:59.9999999",
	"294277-01-01",
	"294277-01-01 00:00:00+01",
	"294276-12-31 23:59:59-01",
	"5874897-12-31",
	"5874898-01-01",
	"5874898-06-01",
	"99999999-01-01",
	"99999999999-01-01",
	"infinity",
	"-infinity",
	" Infinity ",
	"+infinity",
	"epoch",
	"EPOCH",
	"now",
	"today",
	"",
	"   ",
	"abc",
	"hello world",
	"2020",
	"2020-01",
	"1-2-2020",
	"01/02/2020",
	"5.1.2020",
	"Jan 5, 2020",
	"5 January 2020",
	"2020-Jan-05",
	"J2451187",
	"2020-01-05 10:20:30 PST",
	"2020-01-05 10:20:30 Europe/Berlin",
	"2020-01-05 4:05 PM",
	"2020.005",
	"20-01-05",
	"2020-01-05 10",
	"2020-01-05 10:",
	"2020-01-05 10:20:",
	"2020-01-05 10:20:30.",
	"2020-01-05 10:20:30+",
	"2020-01-05T",
	"2020-01-05 BC 10:20",
	"2020-01-05x",
	"2020-01-05 10:20:30x",
	"2020--01-05",
	"-2020-01-05",
	"2020-01-05-07",
	"2020-01-05 10:20:30++02",
	"2020-01-05 +02",
	"10:20:30",
	"10:20",
	"1:2:3",
	"10:20:30+02",
	"10:20:30-00:00:01",
	"10:20:30 Z",
	"24:00",
	"24:00:00.000001",
	"23:59:60",
	"00:00:60",
	"99:00",
	"10:60",
	"10:20.5",
	"100:20.5",
	"102030",
	"10:20:30.9999999",
	"23:59:59.9999999",
	"10:20:30 BC",
	"10:20:30+15:59",
	"10:20:30+16:00",
	"04:05 PM",
	"allballs",
	"10:20:30 America/New_York",
	"1 day",
	"1 day 2 hours",
	"1 mon -3 days",
	"P1Y2M",
	"P1Y2M3W4DT5H6M7.8S",
	"1-2",
	"-1-2",
	"+1-2",
	"1-12",
	"1:30",
	"1:30:15.5",
	"-1:30",
	"1 1:30",
	"-1 1:30",
	"1-2 3 4:05:06.7",
	"-1-2 +3 -4:05:06.7",
	"2.5 hours",
	"1.5 days",
	"1.5 months",
	"1.5 years",
	"1.3 years",
	"0.7 weeks",
	"1.55 weeks",
	"1.1 decades",
	"1.01 century",
	"1.001 millennium",
	"1 millennium 2 centuries 3 decades 4 years",
	"@ 1 day 2 hours ago",
	"1 day ago",
	"1:30 ago",
	"1 ago",
	"ago",
	"day",
	"1 day 1 day",
	"1 year 1 decade",
	"1 foo",
	"1",
	"-1",
	"1.5",
	".5",
	"-.5",
	"5.",
	"1 2",
	"1 2 hours",
	"1 2 minutes",
	"2 1:30:00",
	"1d",
	"1d2h",
	"1d 2h 3m 4s",
	"1y 2mon 3w",
	"1.5 s",
	"1.0000005 s",
	"1.5 ms",
	"1.5 us",
	"2 us 1.5 s",
	"2 us 1 s",
	"0.1 mon",
	"-0.1 mon",
	"0.05 mon",
	"-1.5 days",
	"1 day, 2 hours",
	"1 day +2:00",
	"1 day -2:00",
	"PT",
	"P",
	"P1",
	"P1H",
	"PT1D",
	"P1DT",
	"PT1.5H",
	"P1.5Y",
	"P1.7M",
	"P-1.7M",
	"P0.3W",
	"PT-0.5S",
	"PT1e3S",
	"P1Y1Y",
	"p1y",
	"P1Y ",
	" P1Y",
	"P0001-02-03T04:05:06",
	"P00010203T040506",
	"PT9999999999999999S",
	"PT999999999999999S",
	"P3000000000D",
	"P200000000Y",
	"P-200000000Y",
	"3000000000 days",
	"178956970 years 7 months",
	"178956970 years 8 months",
	"-178956970 years -8 months",
	"-178956970 years -9 months",
	"2147483647 days",
	"2147483648 days",
	"-2147483648 days",
	"-2147483648 days ago",
	"9223372036854775807 us",
	"9223372036854775808 us",
	"99999999999999999999 us",
	"2562047788:00:54.775807",
	"2562047788:00:54.775808",
	"-2562047788:00:54.775807",
	"10:70",
	"-10:70",
	"10:20:61",
	"1 quarter",
	"1 timezone",
	"1/2",
	"1..5",
	"1 day infinity",
	"1 year 2 months 3 days 4:05:06.789",
	"1 century ago",
	"  1 day  ",
	"1 microsecond",
	"1 milliseconds",
	"3 useconds 4 msec",
	"1 week 2 days",
	"1.2.3",
	"1-2-3",
	"--1",
	"1 day day",
	"1:2:3:4",
	"1:2.5",
	"01:02:03.4567891",
	"-00:00:00.5",
	"1 d 2 hr 3 min",
	"5 mons",
	"6 yrs",
	"+1 day",
	"+1.5 hours",
	"10:00:00 1.5 days",
	"1.5 days 10:00:00",
	"1e3 days",
};

/* Whether we read the text; what we read, Postgres reads the same way, and what we refuse in its words, it refuses. */
static bool ask_in(struct differ *d, const struct cu_type *type, const char *text)
{
	struct cu_value_error err = { 0 };
	struct cu_datum datum;

	if (differ_ops(d, type)->in(type, -1, text, strlen(text), &d->arena, &datum, &err) == CU_EINVAL &&
	    strcmp(err.sqlstate, "0A000") == 0)
		return false;
	differ_in(d, type, text);
	return true;
}

static void texts_read_as_postgres_reads_them_or_not_at_all(void **state)
{
	unsigned refused = 0;
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t t = 0; t < CU_ARRAY_LEN(types); t++)
		for (size_t i = 0; i < CU_ARRAY_LEN(literals); i++)
			refused += !ask_in(&d, cu_type_builtin(types[t]), literals[i]);
	printf("%u of %zu refused\n", refused, CU_ARRAY_LEN(types) * CU_ARRAY_LEN(literals));
	assert_int_equal(differ_close(&d), 0);
}

static void what_postgres_writes_is_read(void **state)
{
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t p = 0; p < CU_ARRAY_LEN(datetime_pools); p++) {
		const struct cu_type *type = cu_type_builtin(datetime_pools[p].type);
		cu_buf text = CU_BUF_INIT;

		if (p > 5)
			continue;
		for (size_t i = 0; i < datetime_pools[p].len; i++)
			assert_true(ask_in(&d, type, datetime_pools[p].texts[i]));
		for (size_t i = 0; i < cases(500); i++) {
			cu_buf_clear(&text);
			datetime_pools[p].random(&d, &text);
			assert_true(ask_in(&d, type, cu_buf_str(&text)));
		}
		cu_buf_fini(&text);
	}
	assert_int_equal(differ_close(&d), 0);
}

/* Pieces of texts put together: no crash, and never another answer than Postgres. */
static void random_texts_are_never_read_otherwise(void **state)
{
	static const char *const pieces[] = { "1",   "12",  "2020-01-05", "10:20", ":30",  ".5",  "-",    "+",
					      "+02", " ",   " ",          " day",  " mon", "T",   "Z",    "P",
					      "Y",   "M",   "D",          "H",     "S",    " BC", " ago", "0",
					      "-3",  " 4",  " hours",     ",",     "@",    "1-2", "/",    " years",
					      "59",  "2e3", "jan",        " May ", "2020", " pm", "am",   ", ",
					      "4",   "jan", " May ",      "2020",  " pm",  "am",  ", " };
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t i = 0; i < cases(20000); i++) {
		cu_buf text = CU_BUF_INIT;

		for (uint64_t n = differ_rand(&d) % 6 + 1; n > 0; n--)
			cu_buf_puts(&text, pieces[differ_rand(&d) % CU_ARRAY_LEN(pieces)]);
		ask_in(&d, cu_type_builtin(types[i % 6]), cu_buf_str(&text));
		cu_buf_fini(&text);
	}
	assert_int_equal(differ_close(&d), 0);
}

static void expect_typmod(struct differ *d, uint32_t oid, const char *type_sql, int32_t typmod, const char *text)
{
	const struct cu_type *type = cu_type_builtin(oid);
	struct cu_datum in = { 0 }, cast = { 0 };
	struct cu_value_error err = { 0 };
	cu_buf ours = CU_BUF_INIT, sql = CU_BUF_INIT;
	char *quoted = PQescapeLiteral(d->conn, text, strlen(text));
	int rc;

	cu_arena_reset(&d->arena);
	rc = differ_ops(d, type)->in(type, typmod, text, strlen(text), &d->arena, &in, &err);
	differ_put_result(d, type, rc, &in, &err, &ours);
	cu_buf_printf(&sql, "%s::%s", quoted, type_sql);
	differ_expect(d, cu_buf_str(&sql), cu_buf_str(&ours));
	/* … and as a cast. */
	cu_buf_clear(&ours);
	cu_buf_clear(&sql);
	rc = differ_ops(d, type)->in(type, -1, text, strlen(text), &d->arena, &cast, &err);
	if (rc == 0)
		rc = differ_ops(d, type)->typmod(type, typmod, true, &d->arena, &cast, &err);
	differ_put_result(d, type, rc, &cast, &err, &ours);
	cu_buf_printf(&sql, "%s::%s::%s", quoted, type->name, type_sql);
	differ_expect(d, cu_buf_str(&sql), cu_buf_str(&ours));
	PQfreemem(quoted);
	cu_buf_fini(&ours);
	cu_buf_fini(&sql);
}

static void modifiers_round_and_cut(void **state)
{
	static const struct {
		const char *sql;
		int range;
	} ranges[] = {
		{ "year", 1 << 2 },
		{ "month", 1 << 1 },
		{ "day", 1 << 3 },
		{ "hour", 1 << 10 },
		{ "minute", 1 << 11 },
		{ "second", 1 << 12 },
		{ "year to month", 1 << 2 | 1 << 1 },
		{ "day to hour", 1 << 3 | 1 << 10 },
		{ "day to minute", 1 << 3 | 1 << 10 | 1 << 11 },
		{ "day to second", 1 << 3 | 1 << 10 | 1 << 11 | 1 << 12 },
		{ "hour to minute", 1 << 10 | 1 << 11 },
		{ "hour to second", 1 << 10 | 1 << 11 | 1 << 12 },
		{ "minute to second", 1 << 11 | 1 << 12 },
	};
	static const char *const spans[] = { "1",
					     "1.5",
					     "-2.7",
					     "1-2",
					     "1:30",
					     "1:30.25",
					     "3 4:05",
					     "-1:30",
					     "-3 4:05:06.7",
					     "1-2 3 4:05:06.789",
					     "7 days",
					     "1.5 months",
					     "P1Y2M3DT4H5M6.789S",
					     "10 20 hours",
					     "P-1Y-2M-3DT-4H-5M-6.789S",
					     "1 2:03:04",
					     "100:00:00",
					     "1:2:3.5555555" };
	char sql[64];
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t r = 0; r < CU_ARRAY_LEN(ranges); r++)
		for (size_t i = 0; i < CU_ARRAY_LEN(spans); i++) {
			snprintf(sql, sizeof sql, "interval %s", ranges[r].sql);
			expect_typmod(&d, CU_INTERVALOID, sql, ranges[r].range << 16 | 0xffff, spans[i]);
		}
	for (int32_t precision = 0; precision <= 6; precision++) {
		cu_buf text = CU_BUF_INIT;

		for (size_t i = 0; i < CU_ARRAY_LEN(spans); i++) {
			snprintf(sql, sizeof sql, "interval(%d)", precision);
			expect_typmod(&d, CU_INTERVALOID, sql, 0x7fff << 16 | precision, spans[i]);
			snprintf(sql, sizeof sql, "interval second(%d)", precision);
			expect_typmod(&d, CU_INTERVALOID, sql, 1 << 28 | precision, spans[i]);
		}
		for (size_t p = 1; p < 5; p++)
			for (int i = 0; i < 40; i++) {
				const struct cu_type *type = cu_type_builtin(datetime_pools[p].type);

				cu_buf_clear(&text);
				datetime_pools[p].random(&d, &text);
				/* "time with time zone" takes its precision in the middle, the short names at the end. */
				snprintf(sql, sizeof sql, "%s(%d)",
					 type->oid == CU_TIMEOID        ? "time"
					 : type->oid == CU_TIMETZOID    ? "timetz"
					 : type->oid == CU_TIMESTAMPOID ? "timestamp"
									: "timestamptz",
					 precision);
				expect_typmod(&d, type->oid, sql, precision, cu_buf_str(&text));
			}
		cu_buf_fini(&text);
	}
	assert_int_equal(differ_close(&d), 0);
}

static void order_and_keys_agree_with_postgres(void **state)
{
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t p = 0; p < 6; p++)
		differ_laws(&d, cu_type_builtin(datetime_pools[p].type), datetime_pools[p].texts,
			    datetime_pools[p].len);
	assert_int_equal(differ_close(&d), 0);
}

static bool takes_zone(const char *prosrc)
{
	const char *underscore = strrchr(prosrc, '_');

	return strcmp(underscore, "_zone") == 0;
}

static bool wants_calm(const char *prosrc)
{
	return strcmp(prosrc, "timestamp_mi") == 0 || strstr(prosrc, "_age") || strcmp(prosrc, "make_interval") == 0;
}

static void functions_answer_as_postgres_does(void **state)
{
	struct cu_function_entry entries[256], calm[8];
	struct cu_function_table table = { entries, 0 }, calm_table = { calm, 0 };
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	d.may_refuse = true; /* what versions answer differently: infinite intervals, overflows */
	for (size_t t = 0; t < 2; t++)
		for (size_t i = 0; i < d.tables[t]->len; i++) {
			const struct cu_function_entry *entry = &d.tables[t]->entries[i];

			CU_ASSERT(table.len < CU_ARRAY_LEN(entries) && calm_table.len < CU_ARRAY_LEN(calm));
			if (wants_calm(entry->prosrc))
				calm[calm_table.len++] = *entry;
			else if (!takes_zone(entry->prosrc))
				entries[table.len++] = *entry;
		}
	differ_functions(&d, &table, datetime_pools, CU_ARRAY_LEN(datetime_pools), NULL, cases(80));
	differ_functions(&d, &calm_table, calm_pools, CU_ARRAY_LEN(calm_pools), NULL, cases(600));
	assert_int_equal(differ_close(&d), 0);
	assert_true(d.refused * 20 < d.asked);
}

/* Every field of many values: the two argument lists are long. */
static void fields_are_extracted_as_postgres_does(void **state)
{
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t i = 0; i < cu_functions_datetime.len + cu_functions_interval.len; i++) {
		const struct cu_function_entry *entry =
			i < cu_functions_datetime.len ? &cu_functions_datetime.entries[i]
						      : &cu_functions_interval.entries[i - cu_functions_datetime.len];
		struct cu_function_table one = { entry, 1 };

		if (strncmp(entry->prosrc, "extract_", 8) == 0 || strstr(entry->prosrc, "_part") ||
		    (strstr(entry->prosrc, "_trunc") && !takes_zone(entry->prosrc)))
			differ_functions(&d, &one, datetime_pools, CU_ARRAY_LEN(datetime_pools), NULL, cases(600));
	}
	assert_int_equal(differ_close(&d), 0);
}

static void zones_of_fixed_offset_are_known(void **state)
{
	struct cu_function_entry entries[8];
	struct cu_function_table table = { entries, 0 };
	const struct cu_type *args[3] = { cu_type_builtin(CU_TEXTOID), cu_type_builtin(CU_TIMESTAMPTZOID),
					  cu_type_builtin(CU_TEXTOID) };
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t i = 0; i < cu_functions_datetime.len; i++)
		if (takes_zone(cu_functions_datetime.entries[i].prosrc) &&
		    strcmp(cu_functions_datetime.entries[i].prosrc, "timestamptz_trunc_zone") != 0)
			entries[table.len++] = cu_functions_datetime.entries[i];
	differ_functions(&d, &table, zone_pools, CU_ARRAY_LEN(zone_pools), NULL, cases(200));
	for (size_t i = 0; i < cases(300); i++) {
		cu_buf text = CU_BUF_INIT;
		const char *texts[3] = { unit_names[differ_rand(&d) % CU_ARRAY_LEN(unit_names)], NULL,
					 zone_names[differ_rand(&d) % CU_ARRAY_LEN(zone_names)] };

		random_timestamptz(&d, &text);
		texts[1] = cu_buf_str(&text);
		differ_call(&d, "timestamptz_trunc_zone", "date_trunc", args[1], args, texts, 3);
		cu_buf_fini(&text);
	}
	assert_int_equal(differ_close(&d), 0);
}

static void overlaps_knows_what_null_leaves_open(void **state)
{
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t i = 0; i < cu_functions_datetime.len; i++) {
		const struct cu_function_table one = { &cu_functions_datetime.entries[i], 1 };

		if (strncmp(one.entries->prosrc, "overlaps_", 9) == 0)
			differ_functions(&d, &one, null_pools, CU_ARRAY_LEN(null_pools), NULL, 1296);
	}
	assert_int_equal(differ_close(&d), 0);
}

static int read_plain(const struct cu_type *type, const char *text, cu_arena *arena, struct cu_datum *ret_datum)
{
	const struct cu_repr_ops *ops = type->repr == CU_REPR_TIMETZ ? &cu_repr_ops_timetz : &cu_repr_ops_interval;

	return ops->in(type, -1, text, strlen(text), arena, ret_datum, NULL);
}

/* With no memory for what they allocate. */
static void without_memory_there_is_no_value(void **state)
{
	static const char *const names[] = { "interval_um", "interval_justify_hours", "interval_justify_days",
					     "interval_justify_interval" };
	const struct cu_type *interval = cu_type_builtin(CU_INTERVALOID), *timetz = cu_type_builtin(CU_TIMETZOID);
	cu_arena arena = CU_ARENA_INIT, none = CU_ARENA_INIT;
	struct cu_datum datum, zoned, ret;
	struct differ d = { .tables = { &cu_functions_datetime, &cu_functions_interval } };

	(void)state;
	assert_int_equal(read_plain(interval, "P1DT30H", &arena, &datum), 0);
	assert_int_equal(read_plain(timetz, "10:00+02", &arena, &zoned), 0);
	for (size_t i = 0; i < CU_ARRAY_LEN(names); i++) {
		struct cu_function_call call = { &none, &interval, interval, NULL, &datum, 1, NULL };

		cu_fault_alloc_at(1);
		assert_int_equal(differ_find(&d, names[i])(&call, &ret), CU_ENOMEM);
	}
	cu_fault_alloc_at(1);
	assert_int_equal(read_plain(interval, "P1D", &none, &ret), CU_ENOMEM);
	cu_fault_alloc_at(1);
	assert_int_equal(read_plain(timetz, "10:00", &none, &ret), CU_ENOMEM);
	cu_fault_alloc_at(1);
	ret = datum;
	assert_int_equal(cu_repr_ops_interval.typmod(interval, 0x7fff << 16 | 3, true, &none, &ret, NULL), CU_ENOMEM);
	cu_fault_alloc_at(1);
	ret = zoned;
	assert_int_equal(cu_repr_ops_timetz.typmod(timetz, 3, true, &none, &ret, NULL), CU_ENOMEM);
	assert_int_equal(cu_fault_alloc_at(0), 0);
	cu_arena_fini(&arena);
	cu_arena_fini(&none);
}

static void named_zones_are_refused(void **state)
{
	static const char *const zones[] = { "Europe/Berlin", "CET", "PST8PDT", "UTC+3", "<+03>-3", "+0530", "", "16" };
	const struct cu_type *args[2] = { cu_type_builtin(CU_TEXTOID), cu_type_builtin(CU_TIMESTAMPOID) };
	struct cu_value_error err;
	struct differ d;

	(void)state;
	differ_open_datetime(&d);
	for (size_t i = 0; i < CU_ARRAY_LEN(zones); i++) {
		struct cu_datum values[2] = { { .bytes = zones[i], .len = (uint32_t)strlen(zones[i]) }, { 0 } }, ret;
		struct cu_function_call call = { &d.arena, args, args[1], NULL, values, 2, &err };

		assert_int_equal(differ_find(&d, "timestamp_zone")(&call, &ret), CU_EINVAL);
		assert_string_equal(err.sqlstate, "0A000");
	}
	differ_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_read_as_postgres_reads_them_or_not_at_all),
		cmocka_unit_test(what_postgres_writes_is_read),
		cmocka_unit_test(random_texts_are_never_read_otherwise),
		cmocka_unit_test(modifiers_round_and_cut),
		cmocka_unit_test(order_and_keys_agree_with_postgres),
		cmocka_unit_test(functions_answer_as_postgres_does),
		cmocka_unit_test(fields_are_extracted_as_postgres_does),
		cmocka_unit_test(zones_of_fixed_offset_are_known),
		cmocka_unit_test(named_zones_are_refused),
		cmocka_unit_test(overlaps_knows_what_null_leaves_open),
		cmocka_unit_test(without_memory_there_is_no_value),
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
