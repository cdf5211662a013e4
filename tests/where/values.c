/* values.c: texts that a type reads, with a taste for edges. */
#include "where.h"

#define POOL(name_, ...) static const char *const name_[] = { __VA_ARGS__ }

POOL(bools, "t", "f", "true", "false", "yes", "no", "on", "off", "1", "0", " tr ", "FALSE");
POOL(ints, "0", "1", "-1", "2", "3", "5", "7", "10", "12", "42", "-42", "100", "255", "-7", "+4", " 6 ", "0010", "0x1F",
     "1_000");
POOL(int2s, "32767", "-32768", "32766", "181");
POOL(int4s, "2147483647", "-2147483648", "2147483646", "46341", "65536", "1000000");
POOL(int8s, "9223372036854775807", "-9223372036854775808", "4294967296", "3037000500", "9007199254740993",
     "-2147483649");
POOL(floats, "0", "-0", "1", "-1", "0.1", "1.5", "2.5", "-2.5", "0.5", "NaN", "Infinity", "-Infinity", "1e10", "1e-10",
     "100", "16777217", "3.14159", "2", "10", "-0.5", "nan", "inf", "1e30", "123456.789", "1e15", "1e-5", "0.3");
POOL(float8s, "1e308", "-1e308", "1e-320", "9007199254740993", "0.30000000000000004", "1.7976931348623157e308",
     "4.9e-324", "2147483648", "9223372036854775808", "1e100");
POOL(float4s, "3.4028235e38", "1e-45", "-3.4028235e38", "1.17549435e-38", "0.3", "8388608.5");
POOL(numerics, "0", "1", "-1", "0.0", "1.0", "1.00", "1.50", "1.5", "-1.5", "2.5", "0.5", "NaN", "Infinity",
     "-Infinity", "123456789012345678901234567890.123456789", "1e100", "1e-30", "9999999999.99999", "0.1", "0.3",
     "99999999999999999999", "-99999999999999999999.5", "10", "100", "3", "7", "0.000001", "12345.6789", "32767.5",
     "2147483647.5", "9223372036854775807.5", "1e20", "4", "0.00000000000000000000000000000000000001", "0x1F", "1_0.5",
     "1e 5");
POOL(texts, "", "a", "A", "b", "B", "ab", "abc", "ABC", "aBc", " a", "a ", "  ", "é", "É", "e\xcc\x81", "ß", "straße",
     "STRASSE", "ǆ", "ǅ", "İ", "ı", "日本語", "😀", "👩‍👩‍👧", "a%b", "a_b", "a\\b", "\\", "it's", "\"q\"",
     "null", "NULL", "1", "1.5", "-1", "true", "t", "2020-01-01", "{}", "{a,b}", "{\"a\": 1}", "hello world",
     "Hello World", "foo-bar", "foo_bar", "foobar", "%", "_", "%%", "a\nb", "\t", "xx", "xyx",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "z", "Z", "0", "Ω",
     "ω", "σς", "ΣΑΣ", "ﬁ", "co-op", "coop", "year", "day", "UTC", "12:34:56", "[1,2]", "a,b", "\xe2\x80\x8b", "0x1F",
     "1_000", "{{}}", "1.3 years", "0010", "infinity");
POOL(names, "", "a", "A", "b", "abc", "ABC", " a", "é", "pg_class", "x y", "it's", "1",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
POOL(uuids, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
     "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
     "{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a12",
     "a0eebc999c0b4ef8bb6d6bb9bd380a10");
POOL(byteas, "\\x", "\\x00", "\\xff", "\\xdeadbeef", "\\xDEADBEEF", "abc", "a\\000b", "\\\\", "\\x6162", "\\x616263",
     "\\xde ad", "\\x0001", "\\x61");
POOL(dates, "2020-01-01", "2000-02-29", "1999-12-31", "infinity", "-infinity", "0001-01-01", "0001-12-31 BC",
     "4713-01-01 BC", "5874897-12-31", "epoch", "1970-01-01", "2024-02-29", "2023-03-31", "2020-01-31", "1/2/2020",
     "January 8, 1999", "19990108", "99-01-08", "2020-12-31", "2021-01-03", "1582-10-15", "0044-03-15 BC", "31.12.2019",
     "8 Jan 1999", "2020.366", "J2451187");
POOL(times, "00:00:00", "24:00:00", "23:59:59.999999", "12:34:56.789", "04:05 PM", "12:00", "040506",
     "04:05:06.1234567", "allballs", "01:02:03", "23:59:60", "12:00 AM");
POOL(timetzs, "00:00:00+00", "24:00:00-12", "23:59:59.999999+14", "12:34:56.789-05", "04:05 PM+02", "12:00Z",
     "12:00:00+05:30", "11:00:00-01", "13:00:00+01", "12:00:00+00", "01:02:03+15:59:59");
POOL(timestamps, "2020-01-01 00:00:00", "2000-02-29 12:34:56.789", "1999-12-31 23:59:59.999999", "infinity",
     "-infinity", "0001-01-01 00:00:00", "0044-03-15 12:00:00 BC", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59",
     "epoch", "1970-01-01", "2024-02-29T01:02:03", "2020-01-31 10:00", "2020-03-31 10:00:00.5", "19990108 040506",
     "Jan 8 1999 04:05:06", "2020-01-01 24:00:00", "2020-12-31 23:59:59.9999999", "2021-01-03 00:00", "2020-02-30");
POOL(timestamptzs, "2020-01-01 00:00:00+00", "2020-01-01 00:00:00", "2020-01-01 02:00:00+02", "infinity", "-infinity",
     "2000-02-29 12:34:56.789-08", "0044-03-15 12:00:00+00 BC", "294276-12-31 23:59:59+00", "epoch",
     "2024-02-29T01:02:03Z", "2020-03-29 01:30:00 UTC", "1999-12-31 23:59:59.999999+14", "2020-01-31 10:00+05:30",
     "Sat Jan 04 12:00:00 2020 GMT");
POOL(intervals, "0", "1 day", "1 month", "-1 mon", "1 year 2 mons 3 days 04:05:06.789", "P1Y2M", "P1DT2H", "30 days",
     "24:00:00", "24 hours", "-1 day +24:00:00", "1 mon -1 day", "12 months", "1 year", "178000000 years",
     "@ 1 minute ago", "00:00:00.000001", "-00:00:00.000001", "1.5 days", "2 weeks", "P-1Y", "1 day 01:02:03",
     "1 decade", "3.7 months", "720:00:00", "1-2", "100 years", "PT0S", "1 hour", "15 minutes", "29 days 24:00",
     "1.3 years", "infinity", "1.5 us");
POOL(oids, "0", "1", "25", "4294967295", "16384", "-1", "0010");
POOL(chars, "a", "b", "", " ", "z", "ab", "\\200", "1");
POOL(keys, "a", "b", "c", "", "A", "0", "key", "é", "a b");
POOL(json_scalars, "null", "true", "false", "0", "1", "-1", "1.0", "1.50", "1e2", "12345678901234567890.123", "\"\"",
     "\"a\"", "\"b\"", "\"A\"", "\"1\"", "\"true\"", "\"é\"", "\"\\u00e9\"", "\"a\\nb\"", "\"\\\"\"", "0.1", "2", "-0",
     "1E-5", "\"null\"", "100", "\"abc\"");

static void put_json(struct world *world, cu_buf *out, int depth)
{
	struct wrand *r = &world->rand;
	const char *space = w_chance(r, 200) ? " " : "";
	unsigned what = depth <= 0 ? 0 : w_below(r, 5);
	unsigned n = w_below(r, 4);

	if (what <= 1) {
		cu_buf_puts(out, W_PICK(r, json_scalars));
		return;
	}
	cu_buf_putc(out, what <= 3 ? '{' : '[');
	for (unsigned i = 0; i < n; i++) {
		if (i)
			cu_buf_printf(out, ",%s", space);
		if (what <= 3)
			cu_buf_printf(out, "%s\"%s\":%s", space, W_PICK(r, keys), space);
		put_json(world, out, depth - 1);
	}
	cu_buf_putc(out, what <= 3 ? '}' : ']');
}

/* One level of an array; every array of a level has as many elements as the others of it. */
static void put_array_level(struct world *world, uint32_t elem, const unsigned *lens, unsigned dims, cu_buf *out)
{
	cu_buf text = CU_BUF_INIT;

	cu_buf_putc(out, '{');
	for (unsigned i = 0; i < lens[0]; i++) {
		if (i)
			cu_buf_putc(out, ',');
		if (dims > 1) {
			put_array_level(world, elem, lens + 1, dims - 1, out);
			continue;
		}
		if (w_chance(&world->rand, 150)) {
			cu_buf_puts(out, "NULL");
			continue;
		}
		cu_buf_clear(&text);
		w_value(world, elem, &text);
		cu_buf_putc(out, '"');
		for (size_t k = 0; k < text.len; k++) {
			if (text.data[k] == '"' || text.data[k] == '\\')
				cu_buf_putc(out, '\\');
			cu_buf_putc(out, text.data[k]);
		}
		cu_buf_putc(out, '"');
	}
	cu_buf_putc(out, '}');
	cu_buf_fini(&text);
}

static void put_array(struct world *world, uint32_t elem, cu_buf *out)
{
	struct wrand *r = &world->rand;
	unsigned dims = w_chance(r, 150) ? 2 + w_below(r, 2) : 1;
	unsigned lens[3];

	if (w_chance(r, 100)) {
		cu_buf_puts(out, "{}");
		return;
	}
	for (unsigned i = 0; i < dims; i++)
		lens[i] = 1 + w_below(r, dims > 1 ? 2 : 4);
	if (w_chance(r, 80)) {
		for (unsigned i = 0; i < dims; i++) {
			int lower = (int)w_below(r, 5) - 1;

			cu_buf_printf(out, "[%d:%d]", lower, lower + (int)lens[i] - 1);
		}
		cu_buf_putc(out, '=');
	}
	put_array_level(world, elem, lens, dims, out);
}

static void put_random_date(struct wrand *r, cu_buf *out)
{
	cu_buf_printf(out, "%04u-%02u-%02u", 1990 + w_below(r, 40), 1 + w_below(r, 12), 1 + w_below(r, 28));
}

static void put_random_time(struct wrand *r, cu_buf *out)
{
	cu_buf_printf(out, "%02u:%02u:%02u", w_below(r, 24), w_below(r, 60), w_below(r, 60));
	if (w_chance(r, 400))
		cu_buf_printf(out, ".%06u", w_below(r, 1000000));
}

static void put_random_text(struct wrand *r, cu_buf *out)
{
	static const char *const parts[] = {
		"a", "b", "c", "A", "B", "x", " ", "1", "é", "-", "_", "%", "o", "ß", "."
	};

	for (unsigned n = w_below(r, 6); n > 0; n--)
		cu_buf_puts(out, W_PICK(r, parts));
}

static void put_random_interval(struct wrand *r, cu_buf *out)
{
	static const char *const units[] = { "year", "month", "day", "hour", "minute", "second", "week" };

	for (unsigned n = 1 + w_below(r, 3); n > 0; n--)
		cu_buf_printf(out, "%d %s ", (int)w_below(r, 60) - 20, W_PICK(r, units));
}

#define FROM(pool) cu_buf_puts(out, W_PICK(r, pool))

static void put_integer(struct wrand *r, uint32_t oid, cu_buf *out)
{
	unsigned what = w_below(r, 10);

	if (what < 4)
		FROM(ints);
	else if (what < 6)
		cu_buf_printf(out, "%d", (int)w_below(r, 20) - 5);
	else if (oid == CU_INT2OID || what == 6)
		FROM(int2s);
	else if (oid == CU_INT4OID || what == 7)
		FROM(int4s);
	else
		FROM(int8s);
}

static void put_number(struct wrand *r, uint32_t oid, cu_buf *out)
{
	unsigned what = w_below(r, 10);

	if (what < 3)
		cu_buf_printf(out, "%d", (int)w_below(r, 20) - 5);
	else if (what < 5)
		cu_buf_printf(out, "%d.%u", (int)w_below(r, 2000) - 1000, w_below(r, 1000));
	else if (oid == CU_NUMERICOID)
		FROM(numerics);
	else if (what < 8)
		FROM(floats);
	else if (oid == CU_FLOAT4OID)
		FROM(float4s);
	else
		FROM(float8s);
}

static void put_when(struct wrand *r, uint32_t oid, cu_buf *out)
{
	bool random = w_chance(r, 400);

	switch (oid) {
	case CU_DATEOID:
		if (random)
			put_random_date(r, out);
		else
			FROM(dates);
		break;
	case CU_TIMEOID:
	case CU_TIMETZOID:
		if (random)
			put_random_time(r, out);
		else if (oid == CU_TIMEOID)
			FROM(times);
		else
			FROM(timetzs);
		break;
	case CU_TIMESTAMPOID:
	case CU_TIMESTAMPTZOID:
		if (random) {
			put_random_date(r, out);
			cu_buf_putc(out, ' ');
			put_random_time(r, out);
		} else if (oid == CU_TIMESTAMPOID) {
			FROM(timestamps);
		} else {
			FROM(timestamptzs);
		}
		break;
	default:
		if (random)
			put_random_interval(r, out);
		else
			FROM(intervals);
	}
}

static void put_text(struct wrand *r, cu_buf *out)
{
	if (w_chance(r, 300))
		put_random_text(r, out);
	else
		FROM(texts);
}

static void put_uuid(struct wrand *r, cu_buf *out)
{
	if (w_chance(r, 700))
		FROM(uuids);
	else
		cu_buf_printf(out, "%08x-%04x-%04x-%04x-%012x", (unsigned)w_rand(r), w_below(r, 65536),
			      w_below(r, 65536), w_below(r, 65536), (unsigned)w_rand(r));
}

void w_value(struct world *world, uint32_t oid, cu_buf *out)
{
	struct wrand *r = &world->rand;
	const struct wtype *type = w_type(world, oid);

	if (type && type->elem) {
		put_array(world, type->elem, out);
		return;
	}
	if (type && type->is_enum) {
		cu_buf_puts(out, type->labels[w_below(r, type->labels_len)]);
		return;
	}
	switch (oid) {
	case CU_BOOLOID: FROM(bools); break;
	case CU_INT2OID:
	case CU_INT4OID:
	case CU_INT8OID: put_integer(r, oid, out); break;
	case CU_FLOAT4OID:
	case CU_FLOAT8OID:
	case CU_NUMERICOID: put_number(r, oid, out); break;
	case CU_NAMEOID: FROM(names); break;
	case CU_CHAROID: FROM(chars); break;
	case CU_OIDOID: FROM(oids); break;
	case CU_UUIDOID: put_uuid(r, out); break;
	case CU_BYTEAOID: FROM(byteas); break;
	case CU_DATEOID:
	case CU_TIMEOID:
	case CU_TIMETZOID:
	case CU_TIMESTAMPOID:
	case CU_TIMESTAMPTZOID:
	case CU_INTERVALOID: put_when(r, oid, out); break;
	case CU_JSONOID:
	case CU_JSONBOID: put_json(world, out, 3); break;
	default: put_text(r, out);
	}
}
