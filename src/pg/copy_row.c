/* copy_row.c: splits a COPY line at its tabs, eight bytes at a time.
 *
 * COPY TO escapes every tab, newline and backslash inside a value, so that a raw tab always separates and a
 * backslash is the only reason to copy. Most values are shorter than a vectorised memchr's start-up, hence the
 * word loop.
 */
#include "pg/copy_row.h"

#include "base/limits.h"

#include <stdlib.h>

#define SCRATCH_MIN 256u

void cu_copy_row_init(struct cu_copy_row *row, unsigned columns_n)
{
	CU_ASSERT(columns_n <= CU_COLUMNS_MAX);
	*row = (struct cu_copy_row){ .columns_n = columns_n };
	row->values = cu_xzalloc((columns_n ? columns_n : 1) * sizeof *row->values);
}

void cu_copy_row_fini(struct cu_copy_row *row)
{
	free(row->values);
	free(row->scratch);
	*row = (struct cu_copy_row){ 0 };
}

static int corrupt(struct cu_copy_row *row, const char *reason)
{
	row->reason = reason;
	return CU_ECORRUPT;
}

/* The high bit of the lowest byte of w that equals c is set, and none below it; bits above a hit may lie. */
static inline uint64_t word_find(uint64_t w, unsigned char c)
{
	const uint64_t ones = 0x0101010101010101ull, high = 0x8080808080808080ull;
	uint64_t x = w ^ (ones * c);

	return (x - ones) & ~x & high;
}

static inline bool is_special(char c)
{
	return c == '\t' || c == '\\' || c == '\n';
}

/* The first tab, backslash or newline, or end. */
static inline const char *special_find(const char *at, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	while (end - at >= 8) {
		uint64_t w, hit;

		memcpy(&w, at, 8);
		hit = word_find(w, '\t') | word_find(w, '\\') | word_find(w, '\n');
		if (hit)
			return at + (__builtin_ctzll(hit) >> 3);
		at += 8;
	}
#endif
	while (at < end && !is_special(*at))
		at++;
	return at;
}

/* A value is never longer than its escaped form: a scratch as long as the line holds all values of the line, so it
 * never moves while values point into it. */
static int scratch_reserve(struct cu_copy_row *row, size_t len)
{
	size_t cap = CU_MAX(CU_MAX(len, row->scratch_cap * 2), SCRATCH_MIN);
	char *scratch;

	if (row->scratch_cap >= len)
		return 0;
	free(row->scratch); /* nothing in it is needed any more */
	row->scratch_cap = 0;
	row->scratch = scratch = cu_try_malloc(cap);
	if (!scratch) {
		row->reason = "out of memory for a row";
		return CU_ENOMEM;
	}
	row->scratch_cap = cap;
	return 0;
}

/* What the letter behind a backslash stands for; 0 for one that COPY TO never writes. */
static char unescape(char letter)
{
	switch (letter) {
	case '\\': return '\\';
	case 'n': return '\n';
	case 't': return '\t';
	case 'r': return '\r';
	case 'b': return '\b';
	case 'f': return '\f';
	case 'v': return '\v';
	default: return 0;
	}
}

/* A value with at least one escape. start … at is plain, *at is a backslash. Writes to *scratch and advances both;
 * returns where the value ends (a tab, a newline or end), NULL for a bad escape. */
static const char *value_unescape(const char *start, const char *at, const char *end, char **scratch)
{
	char *out = *scratch;

	for (;;) {
		char c;

		memcpy(out, start, (size_t)(at - start));
		out += at - start;
		if (at == end || *at != '\\')
			break;
		c = at + 1 < end ? unescape(at[1]) : 0;
		if (!c)
			return NULL;
		*out++ = c;
		start = at + 2;
		at = special_find(start, end);
	}
	*scratch = out;
	return at;
}

int cu_copy_row_parse(struct cu_copy_row *row, const char *line, size_t len)
{
	const char *at = line, *end;
	char *scratch = NULL;
	unsigned n = 0;
	int rc;

	row->reason = NULL;
	if (len > UINT32_MAX) {
		row->reason = "a line of 4 GiB or more";
		return CU_ETOOBIG;
	}
	if (len && line[len - 1] == '\n')
		len--;
	if (row->columns_n == 0)
		return len == 0 ? 0 : corrupt(row, "a row without columns is not empty");
	end = line + len;
	for (;;) {
		struct cu_pg_value *value = &row->values[n];
		const char *stop = special_find(at, end);

		if (stop == end || *stop == '\t') {
			*value = (struct cu_pg_value){ CU_PG_TEXT, (uint32_t)(stop - at), at };
		} else if (*stop == '\\' && stop == at && end - at >= 2 && at[1] == 'N' &&
			   (end - at == 2 || at[2] == '\t')) {
			*value = (struct cu_pg_value){ CU_PG_NULL, 0, NULL };
			stop = at + 2;
		} else if (*stop == '\\') {
			char *from;

			if (!scratch) {
				rc = scratch_reserve(row, len);
				if (rc < 0)
					return rc;
				scratch = row->scratch;
			}
			from = scratch;
			stop = value_unescape(at, stop, end, &scratch);
			if (!stop)
				return corrupt(row, "an escape that COPY never writes");
			*value = (struct cu_pg_value){ CU_PG_TEXT, (uint32_t)(scratch - from), from };
		}
		n++;
		if (stop == end)
			break;
		if (*stop == '\n')
			return corrupt(row, "a newline inside a row");
		if (n == row->columns_n)
			return corrupt(row, "a row has too many columns");
		at = stop + 1;
	}
	return n == row->columns_n ? 0 : corrupt(row, "a row has too few columns");
}
