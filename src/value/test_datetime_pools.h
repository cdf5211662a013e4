/* test_datetime_pools.h: values of the date and time types for differ_functions(): edges, and random ones. */
#ifndef TEST_DATETIME_POOLS_H
#define TEST_DATETIME_POOLS_H

#include "value/test_differ.h"

static inline long long between(struct differ *d, long long low, long long high)
{
	return low + (long long)(differ_rand(d) % (unsigned long long)(high - low + 1));
}

/* ",", "unix", or nothing: fractions are often absent, often short. */
static inline void put_fraction(struct differ *d, cu_buf *out)
{
	unsigned digits = (unsigned)(differ_rand(d) % 10);

	if (digits < 4)
		return;
	cu_buf_putc(out, '.');
	for (digits -= 3; digits > 0; digits--)
		cu_buf_putc(out, (char)('0' + differ_rand(d) % 10));
}

static inline void put_ymd(struct differ *d, cu_buf *out, int year_max)
{
	static const int days[] = { 1, 2, 15, 28, 28, 28, 27, 10 };
	long long year = differ_rand(d) % 4 ? between(d, 1890, 2110) : between(d, 1, year_max);

	cu_buf_printf(out, "%04lld-%02lld-%02lld", year, between(d, 1, 12),
		      differ_rand(d) % 2 ? between(d, 1, 28) : days[differ_rand(d) % 8]);
}

static inline void put_hms(struct differ *d, cu_buf *out)
{
	cu_buf_printf(out, "%02lld:%02lld:%02lld", between(d, 0, 23), between(d, 0, 59), between(d, 0, 59));
	put_fraction(d, out);
}

static inline void put_offset(struct differ *d, cu_buf *out)
{
	cu_buf_printf(out, "%c%02lld", differ_rand(d) % 2 ? '+' : '-', between(d, 0, 15));
	if (differ_rand(d) % 2)
		cu_buf_printf(out, ":%02lld", between(d, 0, 59));
}

static inline void random_date(struct differ *d, cu_buf *out)
{
	bool bc = differ_rand(d) % 8 == 0;

	put_ymd(d, out, bc ? 4712 : 5874897);
	cu_buf_puts(out, bc ? " BC" : "");
}

static inline void random_time(struct differ *d, cu_buf *out)
{
	put_hms(d, out);
}

static inline void random_timetz(struct differ *d, cu_buf *out)
{
	put_hms(d, out);
	put_offset(d, out);
}

static inline void random_timestamp(struct differ *d, cu_buf *out)
{
	bool bc = differ_rand(d) % 8 == 0;

	put_ymd(d, out, bc ? 4712 : 280000);
	cu_buf_putc(out, ' ');
	put_hms(d, out);
	cu_buf_puts(out, bc ? " BC" : "");
}

static inline void random_timestamptz(struct differ *d, cu_buf *out)
{
	put_ymd(d, out, 280000);
	cu_buf_putc(out, ' ');
	put_hms(d, out);
	put_offset(d, out);
}

static inline void random_interval(struct differ *d, cu_buf *out)
{
	static const int maxima[] = { 3, 40, 1000, 100000 };
	long long max = maxima[differ_rand(d) % 4];
	unsigned parts = (unsigned)(differ_rand(d) % 7 + 1);

	cu_buf_putc(out, 'P');
	if (parts & 1)
		cu_buf_printf(out, "%lldM", between(d, -max, max));
	if (parts & 2)
		cu_buf_printf(out, "%lldD", between(d, -max, max));
	if (parts & 4) {
		cu_buf_printf(out, "T%lldH%lldM%lld", between(d, -max, max), between(d, -max, max),
			      between(d, -max, max));
		put_fraction(d, out);
		cu_buf_putc(out, 'S');
	}
}

static inline void random_float8(struct differ *d, cu_buf *out)
{
	switch (differ_rand(d) % 4) {
	case 0: cu_buf_printf(out, "%lld", between(d, -1000, 1000)); break;
	case 1: cu_buf_printf(out, "%lld.%lld", between(d, -1000, 1000), between(d, 0, 99999999)); break;
	case 2: cu_buf_printf(out, "%lld.%03lld", between(d, -3000000000, 4000000000), between(d, 0, 999)); break;
	default: cu_buf_printf(out, "0.%lld", between(d, 0, 99999999)); break;
	}
}

static const char *const date_edges[] = {
	"infinity",      "-infinity",     "epoch",         "2000-01-01",    "1999-12-31",   "2020-02-29",
	"2021-02-28",    "2024-12-31",    "2023-01-01",    "2016-01-03",    "0001-01-01",   "0001-12-31 BC",
	"0002-01-01 BC", "4714-11-24 BC", "5874897-12-31", "294276-12-31",  "294277-01-01", "1900-02-28",
	"2004-02-29",    "0100-12-31",    "0101-01-01",    "0011-12-31 BC", "1001-01-01",   "4714-12-31 BC",
};
static const char *const time_edges[] = {
	"00:00:00",   "24:00:00", "23:59:59.999999", "00:00:00.000001",
	"12:34:56.5", "01:02:03", "12:00:00",        "00:00:59.9995",
};
static const char *const timetz_edges[] = {
	"00:00:00+00", "24:00:00+00", "24:00:00-15:59:59", "00:00:00+15:59:59", "12:34:56.5+05:30",
	"02:00:00+02", "12:00:00-12", "13:34:56.5+06:30",  "00:00:00-00:00:01", "23:59:59.999999+01",
};
static const char *const timestamp_edges[] = {
	"infinity",
	"-infinity",
	"epoch",
	"2000-01-01 00:00:00",
	"1999-12-31 23:59:59.999999",
	"2020-02-29 12:00:00",
	"2020-01-31 00:00:00",
	"2020-03-31 10:20:30.5",
	"2021-02-28 23:59:59",
	"0001-01-01 00:00:00",
	"0001-12-31 23:59:59.999999 BC",
	"0044-03-15 12:00:00 BC",
	"4714-11-24 00:00:00 BC",
	"4714-11-30 12:00:00.000001 BC",
	"294276-12-31 23:59:59.999999",
	"2016-01-03 00:00:00",
	"2024-12-30 01:00:00",
	"1000-12-31 00:00:00",
	"2000-01-01 00:00:00.000001",
	"2000-01-01 00:00:00.5",
	"2000-01-01 00:01:26.4",
	"2000-01-01 00:01:26.5",
};
static const char *const interval_edges[] = {
	"PT0S",
	"P1D",
	"P-1D",
	"P1M",
	"P-1M",
	"P12M",
	"P1Y2M3DT4H5M6.789S",
	"P-1Y-2M3DT-4H-5M-6.789S",
	"PT24H",
	"PT-24H",
	"PT0.000001S",
	"PT-0.000001S",
	"P30D",
	"P1M-30D",
	"P-1M30DT1H",
	"P1M-1DT-1H",
	"P31DT-25H",
	"P2147483647D",
	"P-2147483648D",
	"P178956970Y7M",
	"P-178956970Y-8M",
	"PT2562047788H54.775807S",
	"PT-2562047760H-54.775807S",
	"P178956970Y7M2147483646DT2562047788H54.775807S",
	"PT15M",
	"P1YT1H",
	"PT10H30M",
	"P7D",
	"P1DT0.5S",
};
static const char *const unit_names[] = {
	"microseconds",
	"milliseconds",
	"second",
	"minute",
	"hour",
	"day",
	"dow",
	"doy",
	"isodow",
	"week",
	"month",
	"quarter",
	"year",
	"isoyear",
	"decade",
	"century",
	"millennium",
	"julian",
	"epoch",
	"timezone",
	"timezone_hour",
	"timezone_minute",
	"YEAR",
	"Years",
	"usec",
	"ms",
	"msecs",
	"mm",
	"jd",
	"microsecondsish",
	"foo",
	"",
	"ago",
	"@",
	"now",
	"infinity",
	"c",
	"qtr",
	"mon",
	"jan",
	"  day",
	"us",
	"allballs",
	"hrs",
	"yr",
	"d\xc3\x84y",
	"today",
	"-infinity",
	"millenniums",
	"secs",
};
static const char *const zone_names[] = { "UTC", "gmt", "Z", "+05", "-05:30", "5", "0", "+00:00", "12:45", "-15" };
static const char *const int4_edges[] = {
	"0",   "1",  "-1", "2",  "12",   "13",         "31",          "29",        "59",
	"60",  "24", "25", "28", "2020", "-44",        "-4713",       "-4714",     "5874897",
	"3",   "6",  "7",  "30", "1999", "294276",     "294277",      "-8000",     "5874898",
	"100", "-7", "23", "11", "10",   "2147483647", "-2147483648", "2147483000"
};
static const char *const float8_edges[] = { "0",
					    "1",
					    "-1",
					    "0.5",
					    "59.9999999",
					    "60",
					    "60.000001",
					    "NaN",
					    "Infinity",
					    "-Infinity",
					    "1e10",
					    "-210866803200",
					    "9224318016000",
					    "1e300",
					    "1e-300",
					    "-0",
					    "30.5",
					    "3.3",
					    "0.1",
					    "1.5",
					    "2e9",
					    "9224318015999.999" };

static const struct differ_pool datetime_pools[] = {
	{ CU_DATEOID, date_edges, CU_ARRAY_LEN(date_edges), random_date },
	{ CU_TIMEOID, time_edges, CU_ARRAY_LEN(time_edges), random_time },
	{ CU_TIMETZOID, timetz_edges, CU_ARRAY_LEN(timetz_edges), random_timetz },
	{ CU_TIMESTAMPOID, timestamp_edges, CU_ARRAY_LEN(timestamp_edges), random_timestamp },
	{ CU_TIMESTAMPTZOID, timestamp_edges, CU_ARRAY_LEN(timestamp_edges), random_timestamptz },
	{ CU_INTERVALOID, interval_edges, CU_ARRAY_LEN(interval_edges), random_interval },
	{ CU_INT4OID, int4_edges, CU_ARRAY_LEN(int4_edges), NULL },
	{ CU_FLOAT8OID, float8_edges, CU_ARRAY_LEN(float8_edges), random_float8 },
	{ CU_TEXTOID, unit_names, CU_ARRAY_LEN(unit_names), NULL },
};
/* Where age(), differences of timestamps and make_interval() go further, Postgres 15 computes with what overflowed and
 * later versions refuse. */
static const char *const timestamp_calm[] = {
	"2000-01-01 00:00:00", "1999-12-31 23:59:59.999999",    "2020-02-29 12:00:00",
	"2020-01-31 00:00:00", "2020-03-31 10:20:30.5",         "2021-02-28 23:59:59",
	"0001-01-01 00:00:00", "0001-12-31 23:59:59.999999 BC", "4714-11-24 00:00:00 BC",
	"2024-12-30 01:00:00", "280000-01-01 00:00:00",         "2020-03-01 00:00:00",
};
static const char *const int4_calm[] = { "0", "1", "-1", "7", "-30", "100", "-2000", "100000" };
static const char *const float8_calm[] = {
	"0", "-1.5", "59.9999995", "1e9", "0.0000005", "NaN", "Infinity", "-Infinity"
};
static const struct differ_pool calm_pools[] = {
	{ CU_INT4OID, int4_calm, CU_ARRAY_LEN(int4_calm), NULL },
	{ CU_FLOAT8OID, float8_calm, CU_ARRAY_LEN(float8_calm), NULL },
	{ CU_TIMESTAMPOID, timestamp_calm, CU_ARRAY_LEN(timestamp_calm), random_timestamp },
	{ CU_TIMESTAMPTZOID, timestamp_calm, CU_ARRAY_LEN(timestamp_calm), random_timestamptz },
};
/* With NULLs, for functions that are not strict. */
static const char *const time_nulls[] = { NULL, "10:00:00", "11:00:00", "12:00:00", NULL, "11:30:00" };
static const char *const timetz_nulls[] = { NULL, "10:00:00+00", "12:00:00+01", "12:00:00-02", NULL, "11:30:00+00" };
static const char *const timestamp_nulls[] = { NULL, "2020-01-01", "2020-01-02", "infinity", NULL, "2020-01-01 12:00" };
static const struct differ_pool null_pools[] = {
	{ CU_TIMEOID, time_nulls, CU_ARRAY_LEN(time_nulls), NULL },
	{ CU_TIMETZOID, timetz_nulls, CU_ARRAY_LEN(timetz_nulls), NULL },
	{ CU_TIMESTAMPOID, timestamp_nulls, CU_ARRAY_LEN(timestamp_nulls), NULL },
	{ CU_TIMESTAMPTZOID, timestamp_nulls, CU_ARRAY_LEN(timestamp_nulls), NULL },
};
/* With time zones for texts. */
static const struct differ_pool zone_pools[] = {
	{ CU_TIMETZOID, timetz_edges, CU_ARRAY_LEN(timetz_edges), random_timetz },
	{ CU_TIMESTAMPOID, timestamp_edges, CU_ARRAY_LEN(timestamp_edges), random_timestamp },
	{ CU_TIMESTAMPTZOID, timestamp_edges, CU_ARRAY_LEN(timestamp_edges), random_timestamptz },
	{ CU_TEXTOID, zone_names, CU_ARRAY_LEN(zone_names), NULL },
};

#endif
