/* text_edit.c: functions that measure, cut, join and search text. Positions and lengths are of characters, from 1. */
#include "value/text_internal.h"

#include <limits.h>
#include <stdlib.h>

int cu_text_textcat(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *a = &call->args[0], *b = &call->args[1];
	char *bytes;
	int rc = cu_text_alloc(call, (size_t)a->len + b->len, &bytes);

	if (rc < 0)
		return rc;
	memcpy(bytes, a->len ? a->bytes : "", a->len);
	memcpy(bytes + a->len, b->len ? b->bytes : "", b->len);
	return cu_text_return(ret_datum, bytes, (size_t)a->len + b->len);
}

int cu_text_textlen(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cu_text_return_int(ret_datum, (int64_t)cu_utf8_len(call->args[0].bytes, call->args[0].len));
}

int cu_text_bpcharlen(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	size_t len = cu_text_trimmed_len(&call->args[0]);

	return cu_text_return_int(ret_datum, (int64_t)cu_utf8_len(call->args[0].bytes, len));
}

int cu_text_textoctetlen(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cu_text_return_int(ret_datum, call->args[0].len);
}

int cu_text_bpcharoctetlen(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return cu_text_return_int(ret_datum, call->args[0].len);
}

/* The standard's rule: what of [start, start + length) lies in the text. to_end: whatever there is. */
static int substring(const struct cu_function_call *call, const struct cu_datum *text, int64_t start, int64_t length,
		     bool to_end, struct cu_datum *ret_datum)
{
	int64_t end = start + length, from = CU_MAX(start, 1);
	size_t skip, keep;

	if (!to_end && length < 0)
		return cu_value_fail(call->err, "22011", "negative substring length not allowed");
	if (!to_end && end <= from)
		return cu_text_return(ret_datum, "", 0);
	skip = cu_utf8_offset(text->bytes, text->len, (size_t)(from - 1));
	keep = to_end ? text->len - skip : cu_utf8_offset(text->bytes + skip, text->len - skip, (size_t)(end - from));
	return cu_text_return(ret_datum, text->bytes + skip, keep);
}

int cu_text_text_substr(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return substring(call, &call->args[0], call->args[1].integer, call->args[2].integer, false, ret_datum);
}

int cu_text_text_substr_no_len(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return substring(call, &call->args[0], call->args[1].integer, 0, true, ret_datum);
}

int cu_text_text_left(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0];
	int64_t chars = call->args[1].integer;

	if (chars < 0)
		chars += (int64_t)cu_utf8_len(text->bytes, text->len);
	return cu_text_return(ret_datum, text->bytes, cu_utf8_offset(text->bytes, text->len, (size_t)CU_MAX(chars, 0)));
}

int cu_text_text_right(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0];
	int64_t skip = call->args[1].integer;
	size_t offset;

	if (skip == INT32_MIN)
		skip = 0; /* Postgres negates it, which changes nothing. */
	else if (skip < 0)
		skip = -skip;
	else
		skip = (int64_t)cu_utf8_len(text->bytes, text->len) - skip;
	offset = cu_utf8_offset(text->bytes, text->len, (size_t)CU_MAX(skip, 0));
	return cu_text_return(ret_datum, text->bytes + offset, text->len - offset);
}

static int overlay(const struct cu_function_call *call, int64_t start, int64_t length, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0], *patch = &call->args[1];
	struct cu_datum before, after;
	char *bytes;
	int rc;

	if (start <= 0)
		return cu_value_fail(call->err, "22011", "negative substring length not allowed");
	if (start + length > INT32_MAX || start + length < INT32_MIN)
		return cu_value_fail(call->err, "22003", "integer out of range");
	rc = substring(call, text, 1, start - 1, false, &before);
	if (rc == 0)
		rc = substring(call, text, start + length, 0, true, &after);
	if (rc == 0)
		rc = cu_text_alloc(call, (size_t)before.len + patch->len + after.len, &bytes);
	if (rc < 0)
		return rc;
	memcpy(bytes, before.bytes, before.len);
	memcpy(bytes + before.len, patch->len ? patch->bytes : "", patch->len);
	memcpy(bytes + before.len + patch->len, after.bytes, after.len);
	return cu_text_return(ret_datum, bytes, (size_t)before.len + patch->len + after.len);
}

int cu_text_textoverlay(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return overlay(call, call->args[2].integer, call->args[3].integer, ret_datum);
}

int cu_text_textoverlay_no_len(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return overlay(call, call->args[2].integer, (int64_t)cu_utf8_len(call->args[1].bytes, call->args[1].len),
		       ret_datum);
}

/* A set of characters, each with its first place in the text it came from. */
struct charset {
	struct charset_entry {
		uint32_t point;
		uint32_t place;
	} * entries; /* sorted by both; those with equal points follow the first */
	size_t len;
};

static int by_point(const void *a, const void *b)
{
	const struct charset_entry *x = a, *y = b;

	if (x->point != y->point)
		return x->point < y->point ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static int charset_init(struct charset *set, const struct cu_datum *text, cu_arena *arena)
{
	size_t at = 0;

	set->len = cu_utf8_len(text->bytes, text->len);
	/* Where the text is not UTF-8, steps may be more than characters that begin. */
	set->entries = cu_arena_alloc(arena, CU_MAX(text->len, 1) * sizeof *set->entries);
	if (!set->entries)
		return CU_ENOMEM;
	for (set->len = 0; at < text->len; set->len++) {
		at += cu_utf8_decode(text->bytes + at, text->len - at, &set->entries[set->len].point);
		set->entries[set->len].place = (uint32_t)set->len;
	}
	if (set->len > 1)
		qsort(set->entries, set->len, sizeof *set->entries, by_point);
	return 0;
}

/* The first place of the character, or -1. */
static int64_t charset_place(const struct charset *set, uint32_t point)
{
	size_t low = 0, high = set->len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->entries[middle].point < point)
			low = middle + 1;
		else
			high = middle;
	}
	return low < set->len && set->entries[low].point == point ? (int64_t)set->entries[low].place : -1;
}

/* Bytes of the last character of a text. */
static size_t last_char(const char *text, size_t len)
{
	size_t size = 1;

	while (size < len && size < 4 && ((unsigned char)text[len - size] & 0xc0) == 0x80)
		size++;
	return size;
}

static int trim(const struct cu_function_call *call, bool left, bool right, struct cu_datum *ret_datum)
{
	static const struct cu_datum blank = { .len = 1, .bytes = " " };
	const char *text = call->args[0].bytes;
	size_t from = 0, to = call->args[0].len, step;
	struct charset set;
	uint32_t point;
	int rc = charset_init(&set, call->args_len > 1 ? &call->args[1] : &blank, call->arena);

	if (rc < 0)
		return rc;
	while (left && from < to) {
		step = cu_utf8_decode(text + from, to - from, &point);
		if (charset_place(&set, point) < 0)
			break;
		from += step;
	}
	while (right && from < to) {
		step = last_char(text + from, to - from);
		(void)cu_utf8_decode(text + to - step, step, &point);
		if (charset_place(&set, point) < 0)
			break;
		to -= step;
	}
	return cu_text_return(ret_datum, text + from, to - from);
}

#define TRIM(prosrc, left, right)                                                             \
	int cu_text_##prosrc(const struct cu_function_call *call, struct cu_datum *ret_datum) \
	{                                                                                     \
		return trim(call, left, right, ret_datum);                                    \
	}
TRIM(btrim, true, true)
TRIM(btrim1, true, true)
TRIM(ltrim, true, false)
TRIM(ltrim1, true, false)
TRIM(rtrim, false, true)
TRIM(rtrim1, false, true)

static int pad(const struct cu_function_call *call, bool left, const struct cu_datum *filler,
	       struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0];
	int64_t chars = CU_MAX(call->args[1].integer, 0), have = (int64_t)cu_utf8_len(text->bytes, text->len);
	size_t filler_chars = cu_utf8_len(filler->bytes, filler->len), missing, whole, rest, fill;
	char *bytes, *to;
	int rc;

	if (chars * 4 + 4 > 0x3fffffff && (have < chars && filler->len > 0))
		return cu_value_fail(call->err, "54000", "requested length too large");
	if (have >= chars || filler->len == 0)
		return cu_text_return(ret_datum, text->bytes,
				      cu_utf8_offset(text->bytes, text->len, (size_t)CU_MIN(have, chars)));
	missing = (size_t)(chars - have);
	whole = missing / CU_MAX(filler_chars, 1);
	rest = cu_utf8_offset(filler->bytes, filler->len, missing - whole * CU_MAX(filler_chars, 1));
	fill = whole * filler->len + rest;
	rc = cu_text_alloc(call, text->len + fill, &bytes);
	if (rc < 0)
		return rc;
	to = bytes + (left ? 0 : text->len);
	for (size_t i = 0; i < whole; i++, to += filler->len)
		memcpy(to, filler->bytes, filler->len);
	memcpy(to, filler->bytes, rest);
	memcpy(left ? bytes + fill : bytes, text->len ? text->bytes : "", text->len);
	return cu_text_return(ret_datum, bytes, text->len + fill);
}

int cu_text_lpad(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return pad(call, true, &call->args[2], ret_datum);
}

int cu_text_rpad(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	return pad(call, false, &call->args[2], ret_datum);
}

int cu_text_repeat(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0];
	uint64_t count = (uint64_t)CU_MAX(call->args[1].integer, 0), len = count * text->len;
	char *bytes;
	int rc = cu_text_alloc(call, len, &bytes);

	if (rc < 0)
		return rc;
	for (uint64_t at = 0; at < len; at += text->len)
		memcpy(bytes + at, text->bytes, text->len);
	return cu_text_return(ret_datum, bytes, len);
}

int cu_text_text_reverse(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0];
	size_t at = 0;
	char *bytes;
	int rc = cu_text_alloc(call, text->len, &bytes);

	if (rc < 0)
		return rc;
	while (at < text->len) {
		size_t step = cu_utf8_char(text->bytes + at, text->len - at);

		memcpy(bytes + text->len - at - step, text->bytes + at, step);
		at += step;
	}
	return cu_text_return(ret_datum, bytes, text->len);
}

/* What every search asks of the collation first. */
static int search_check(const struct cu_function_call *call)
{
	int rc = cu_text_need_collation(call);

	if (rc == 0 && !cu_collation_desc(call->collation)->deterministic)
		rc = cu_value_fail(call->err, "0A000",
				   "nondeterministic collations are not supported for substring searches");
	return rc;
}

/* Where needle begins in text from `from` on, or SIZE_MAX. UTF-8 finds characters by their bytes. */
static size_t find(const struct cu_datum *text, size_t from, const struct cu_datum *needle)
{
	const char *found = memmem(text->bytes + from, text->len - from, needle->bytes, needle->len);

	return found ? (size_t)(found - text->bytes) : SIZE_MAX;
}

int cu_text_textpos(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0], *needle = &call->args[1];
	size_t at;
	int rc;

	if (needle->len == 0)
		return cu_text_return_int(ret_datum, 1);
	if (text->len < needle->len)
		return cu_text_return_int(ret_datum, 0);
	rc = search_check(call);
	if (rc < 0)
		return rc;
	at = find(text, 0, needle);
	return cu_text_return_int(ret_datum, at == SIZE_MAX ? 0 : (int64_t)cu_utf8_len(text->bytes, at) + 1);
}

int cu_text_replace_text(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0], *from = &call->args[1], *to = &call->args[2];
	size_t count = 0, len, done = 0, filled = 0;
	char *bytes;
	int rc;

	if (text->len == 0 || from->len == 0)
		return cu_text_return(ret_datum, text->bytes, text->len);
	rc = search_check(call);
	if (rc < 0)
		return rc;
	for (size_t at = find(text, 0, from); at != SIZE_MAX; at = find(text, at + from->len, from))
		count++;
	if (count == 0)
		return cu_text_return(ret_datum, text->bytes, text->len);
	len = text->len - count * from->len + count * to->len;
	rc = cu_text_alloc(call, len, &bytes);
	if (rc < 0)
		return rc;
	for (size_t at = find(text, 0, from); at != SIZE_MAX; at = find(text, done, from)) {
		memcpy(bytes + filled, text->bytes + done, at - done);
		filled += at - done;
		memcpy(bytes + filled, to->len ? to->bytes : "", to->len);
		filled += to->len;
		done = at + from->len;
	}
	memcpy(bytes + filled, text->bytes + done, text->len - done);
	return cu_text_return(ret_datum, bytes, len);
}

/* Field n from 1 of a text with at least one separator; "" when there is none. */
static int field(const struct cu_datum *text, const struct cu_datum *separator, int64_t n, struct cu_datum *ret_datum)
{
	size_t from = 0, to = find(text, 0, separator);

	while (--n > 0 && to != SIZE_MAX) {
		from = to + separator->len;
		to = find(text, from, separator);
	}
	if (n > 0)
		return cu_text_return(ret_datum, "", 0);
	return cu_text_return(ret_datum, text->bytes + from, (to == SIZE_MAX ? text->len : to) - from);
}

int cu_text_split_part(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0], *separator = &call->args[1];
	int64_t n = call->args[2].integer, fields = 1;
	bool outer = n == 1 || n == -1;
	int rc;

	if (n == 0)
		return cu_value_fail(call->err, "22023", "field position must not be zero");
	if (text->len == 0)
		return cu_text_return(ret_datum, "", 0);
	if (separator->len == 0)
		return cu_text_return(ret_datum, text->bytes, outer ? text->len : 0);
	rc = search_check(call);
	if (rc < 0)
		return rc;
	if (n < 0) {
		for (size_t at = find(text, 0, separator); at != SIZE_MAX;
		     at = find(text, at + separator->len, separator))
			fields++;
		n += fields + 1;
		if (n <= 0)
			return cu_text_return(ret_datum, "", 0);
	}
	return field(text, separator, n, ret_datum);
}

/* Where each character of a text begins, and its end. */
static int char_places(const struct cu_datum *text, cu_arena *arena, size_t **ret_places, size_t *ret_chars)
{
	size_t *places = cu_arena_alloc(arena, ((size_t)text->len + 1) * sizeof *places);
	size_t chars = 0;

	if (!places)
		return CU_ENOMEM;
	for (size_t at = 0; at < text->len; at += cu_utf8_char(text->bytes + at, text->len - at))
		places[chars++] = at;
	places[chars] = text->len;
	*ret_places = places;
	*ret_chars = chars;
	return 0;
}

int cu_text_translate(const struct cu_function_call *call, struct cu_datum *ret_datum)
{
	const struct cu_datum *text = &call->args[0], *to = &call->args[2];
	size_t *places, to_chars, filled = 0;
	struct charset from;
	char *bytes = NULL;
	int rc = char_places(to, call->arena, &places, &to_chars);

	if (rc == 0)
		rc = charset_init(&from, &call->args[1], call->arena);
	/* Once to measure, once to fill. */
	for (int pass = 0; pass < 2 && rc == 0; pass++) {
		if (pass == 1)
			rc = cu_text_alloc(call, filled, &bytes);
		filled = 0;
		for (size_t at = 0, step; at < text->len && rc == 0; at += step) {
			const char *chosen = text->bytes + at;
			size_t size;
			uint32_t point;
			int64_t place;

			step = size = cu_utf8_decode(text->bytes + at, text->len - at, &point);
			place = charset_place(&from, point);
			if (place >= (int64_t)to_chars)
				continue;
			if (place >= 0) {
				chosen = to->bytes + places[place];
				size = places[place + 1] - places[place];
			}
			if (bytes)
				memcpy(bytes + filled, chosen, size);
			filled += size;
		}
	}
	return rc ? rc : cu_text_return(ret_datum, bytes, filled);
}
