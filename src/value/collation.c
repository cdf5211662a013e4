/* collation.c: three ways to order a text (bytes, libc, ICU) and three to change its case (ASCII, libc, ICU).
 *
 * Which of them Postgres uses follows from provider and locale as in its pg_locale.c. What makes them comparable across
 * machines is the version of the library: Postgres reports it for everything but locales named C or POSIX, of which
 * "C.UTF-8" sorts by code point everywhere, which is the order of UTF-8's bytes.
 */
#include "value/collation.h"
#include "value/utf8.h"

#include <gnu/libc-version.h>
#include <langinfo.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unicode/ucol.h>
#include <unicode/ustring.h>
#include <wctype.h>

#define COLLATION_MAGIC 0xc0117a7eu

enum order {
	ORDER_NONE = 0,
	ORDER_BYTES,
	ORDER_LIBC,
	ORDER_ICU,
};
enum letter_case {
	CASE_NONE = 0,
	CASE_ASCII,
	CASE_LIBC,
	CASE_ICU,
};

struct cu_collation {
	unsigned magic;
	struct cu_collation *next;     /* among all */
	struct cu_collation_desc desc; /* texts are owned */
	enum order order;
	enum letter_case letter_case;
	char *why_unordered; /* set exactly when order is ORDER_NONE */
	char *why_uncased;   /* set exactly when letter_case is CASE_NONE */
	locale_t locale;     /* libc */
	UCollator *icu;
	/* An ASCII text becomes what these say, letter by letter; false: it may become something else (Turkish). */
	bool ascii_simple;
};

static const struct cu_collation collation_c = {
	.magic = COLLATION_MAGIC,
	.desc = { .oid = 950,
		  .name = "pg_catalog.\"C\"",
		  .provider = 'c',
		  .deterministic = true,
		  .locale = "C",
		  .encoding = "UTF8" },
	.order = ORDER_BYTES,
	.letter_case = CASE_ASCII,
	.ascii_simple = true,
};
const cu_collation *const cu_collation_c = &collation_c;

/* All that were ever asked for; equal descriptions have one. */
static pthread_mutex_t all_mtx = PTHREAD_MUTEX_INITIALIZER;
static struct cu_collation *all;

static char *sentence(const char *fmt, ...) CU_PRINTF(1, 2);
static char *sentence(const char *fmt, ...)
{
	cu_buf buf = CU_BUF_INIT;
	va_list args;
	char *text;

	va_start(args, fmt);
	cu_buf_vprintf(&buf, fmt, args);
	va_end(args);
	text = cu_buf_steal(&buf, NULL);
	return text ? text : cu_xstrdup("out of memory");
}

static void refuse(cu_collation *collation, char *why)
{
	collation->order = ORDER_NONE;
	collation->letter_case = CASE_NONE;
	free(collation->why_unordered);
	free(collation->why_uncased);
	collation->why_unordered = why;
	collation->why_uncased = cu_xstrdup(why);
}

static bool is_c(const char *locale)
{
	return strcmp(locale, "C") == 0 || strcmp(locale, "POSIX") == 0;
}

/* "C.UTF-8" as people spell it. */
static bool is_c_utf8(const char *locale)
{
	return strcasecmp(locale, "C.UTF-8") == 0 || strcasecmp(locale, "C.UTF8") == 0;
}

static bool same_version(cu_collation *collation, const char *library, const char *here)
{
	const char *theirs = collation->desc.version;

	if (theirs && strcmp(theirs, here) == 0)
		return true;
	if (theirs)
		refuse(collation,
		       sentence("The database sorts collation %s with version %s of %s, Copper has version %s.",
				collation->desc.name, theirs, library, here));
	else
		refuse(collation, sentence("The database does not tell which version of %s sorts its collation %s.",
					   library, collation->desc.name));
	return false;
}

static void open_libc(cu_collation *collation)
{
	const char *locale = collation->desc.locale;
	bool by_code_point;

	if (!locale) {
		refuse(collation,
		       sentence("Collation %s has different locales for order and for case.", collation->desc.name));
		return;
	}
	if (is_c(locale)) {
		collation->order = ORDER_BYTES;
		collation->letter_case = CASE_ASCII;
		return;
	}
	by_code_point = is_c_utf8(locale);
	if (!by_code_point && !same_version(collation, "the C library", gnu_get_libc_version()))
		return;
	collation->locale = newlocale(LC_COLLATE_MASK | LC_CTYPE_MASK, locale, (locale_t)0);
	if (!collation->locale || strcmp(nl_langinfo_l(CODESET, collation->locale), "UTF-8") != 0) {
		refuse(collation, sentence("The locale %s of collation %s is not installed where Copper runs.", locale,
					   collation->desc.name));
		if (by_code_point) {
			collation->order = ORDER_BYTES;
			free(collation->why_unordered);
			collation->why_unordered = NULL;
		}
		return;
	}
	collation->order = by_code_point ? ORDER_BYTES : ORDER_LIBC;
	collation->letter_case = CASE_LIBC;
}

static void open_icu(cu_collation *collation)
{
	UErrorCode status = U_ZERO_ERROR;
	UVersionInfo version;
	char here[U_MAX_VERSION_STRING_LENGTH];

	if (!collation->desc.locale) {
		refuse(collation, sentence("Collation %s has no locale.", collation->desc.name));
		return;
	}
	if (collation->desc.rules && collation->desc.rules[0]) {
		refuse(collation, sentence("Collation %s has rules of its own.", collation->desc.name));
		return;
	}
	collation->icu = ucol_open(collation->desc.locale, &status);
	if (U_FAILURE(status)) {
		refuse(collation, sentence("ICU cannot open the locale %s of collation %s: %s.", collation->desc.locale,
					   collation->desc.name, u_errorName(status)));
		return;
	}
	ucol_getVersion(collation->icu, version);
	u_versionToString(version, here);
	if (!same_version(collation, "ICU's collator", here))
		return;
	collation->order = ORDER_ICU;
	collation->letter_case = CASE_ICU;
}

/* Postgres 17's own: by code point, with case tables that are no other library's. */
static void open_builtin(cu_collation *collation)
{
	const char *locale = collation->desc.locale;

	if (locale && is_c(locale)) {
		collation->order = ORDER_BYTES;
		collation->letter_case = CASE_ASCII;
		return;
	}
	refuse(collation, sentence("Copper does not have Postgres' own case tables, which collation %s uses.",
				   collation->desc.name));
	if (locale && (is_c_utf8(locale) || strcmp(locale, "PG_UNICODE_FAST") == 0)) {
		collation->order = ORDER_BYTES;
		free(collation->why_unordered);
		collation->why_unordered = NULL;
	}
}

/* In another encoding bytes stand in another order than in UTF-8, which is what we see; Latin 1 is in Unicode's order,
 * and SQL_ASCII is not converted. */
static bool encoding_keeps_order(const char *encoding)
{
	return strcmp(encoding, "UTF8") == 0 || strcmp(encoding, "LATIN1") == 0 || strcmp(encoding, "SQL_ASCII") == 0;
}

static bool simple_in_ascii(const cu_collation *collation)
{
	for (unsigned char c = 1; c < 128; c++) {
		char text = (char)c, lower = text, upper = text;
		cu_buf buf = CU_BUF_INIT;
		bool same;

		if (c >= 'A' && c <= 'Z')
			lower = (char)(c + 32);
		if (c >= 'a' && c <= 'z')
			upper = (char)(c - 32);
		same = cu_collation_case(collation, 'l', &text, 1, &buf) == 0 &&
		       cu_collation_case(collation, 'u', &text, 1, &buf) == 0 && buf.len == 2 && buf.data[0] == lower &&
		       buf.data[1] == upper;
		cu_buf_fini(&buf);
		if (!same)
			return false;
	}
	return true;
}

static const char *copy(const char *text)
{
	return text ? cu_xstrdup(text) : NULL;
}

static cu_collation *collation_make(const struct cu_collation_desc *desc)
{
	cu_collation *collation = cu_xzalloc(sizeof *collation);

	collation->magic = COLLATION_MAGIC;
	collation->desc = *desc;
	collation->desc.name = cu_xstrdup(desc->name);
	collation->desc.locale = copy(desc->locale);
	collation->desc.version = copy(desc->version);
	collation->desc.rules = copy(desc->rules);
	collation->desc.encoding = cu_xstrdup(desc->encoding);
	if (desc->provider == 'c')
		open_libc(collation);
	else if (desc->provider == 'i')
		open_icu(collation);
	else if (desc->provider == 'b')
		open_builtin(collation);
	else
		refuse(collation, sentence("Collation %s has a provider that Copper does not know.", desc->name));
	if (strcmp(desc->encoding, "UTF8") != 0 && !collation->why_unordered &&
	    (collation->letter_case != CASE_ASCII || !encoding_keeps_order(desc->encoding)))
		refuse(collation,
		       sentence("Copper cannot order texts of a database whose encoding is %s.", desc->encoding));
	collation->ascii_simple = collation->letter_case != CASE_NONE && simple_in_ascii(collation);
	return collation;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_desc(const struct cu_collation_desc *a, const struct cu_collation_desc *b)
{
	return a->oid == b->oid && a->provider == b->provider && a->deterministic == b->deterministic &&
	       a->database == b->database && same_text(a->name, b->name) && same_text(a->locale, b->locale) &&
	       same_text(a->version, b->version) && same_text(a->rules, b->rules) &&
	       same_text(a->encoding, b->encoding);
}

int cu_collation_new(const struct cu_collation_desc *desc, cu_collation **ret_collation)
{
	cu_collation *collation;

	pthread_mutex_lock(&all_mtx);
	for (collation = all; collation && !same_desc(&collation->desc, desc);)
		collation = collation->next;
	if (!collation) {
		collation = collation_make(desc);
		collation->next = all;
		all = collation;
	}
	pthread_mutex_unlock(&all_mtx);
	*ret_collation = collation;
	return 0;
}

void cu_collation_free(cu_collation **collation)
{
	*collation = NULL;
}

const struct cu_collation_desc *cu_collation_desc(const cu_collation *collation)
{
	return &collation->desc;
}

const char *cu_collation_why_unordered(const cu_collation *collation)
{
	return collation->why_unordered;
}

const char *cu_collation_why_uncased(const cu_collation *collation)
{
	return collation->why_uncased;
}

static int compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t len = CU_MIN(a_len, b_len);
	int order = len ? memcmp(a, b, len) : 0;

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* strcoll wants its texts terminated, ours are not. A comparison cannot fail, so that memory for one aborts. */
static int compare_libc(locale_t locale, const char *a, size_t a_len, const char *b, size_t b_len)
{
	char small[1024];
	size_t need = a_len + b_len + 2;
	char *copies = need <= sizeof small ? small : cu_xmalloc(need);
	int order;

	if (a_len)
		memcpy(copies, a, a_len);
	copies[a_len] = 0;
	if (b_len)
		memcpy(copies + a_len + 1, b, b_len);
	copies[need - 1] = 0;
	order = strcoll_l(copies, copies + a_len + 1, locale);
	if (copies != small)
		free(copies);
	return order;
}

int cu_collation_compare(const cu_collation *collation, const char *a, size_t a_len, const char *b, size_t b_len)
{
	UErrorCode status = U_ZERO_ERROR;
	int order = 0;

	CU_ASSERT(collation->order != ORDER_NONE);
	if (collation->order == ORDER_BYTES)
		return compare_bytes(a, a_len, b, b_len);
	if (a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0))
		return 0;
	if (collation->order == ORDER_LIBC) {
		order = compare_libc(collation->locale, a, a_len, b, b_len);
	} else {
		order = ucol_strcollUTF8(collation->icu, a, (int32_t)a_len, b, (int32_t)b_len, &status);
		CU_ASSERT(U_SUCCESS(status));
	}
	if (order == 0 && collation->desc.deterministic)
		order = compare_bytes(a, a_len, b, b_len);
	return order;
}

bool cu_collation_equal(const cu_collation *collation, const char *a, size_t a_len, const char *b, size_t b_len)
{
	if (!collation->desc.deterministic)
		return cu_collation_compare(collation, a, a_len, b, b_len) == 0;
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 128)
			return false;
	return true;
}

static void case_ascii(char which, const char *text, size_t len, char *out)
{
	bool inside = false; /* a word */

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		bool down = which == 'l' || (which == 'i' && inside);

		if (down && c >= 'A' && c <= 'Z')
			c = (unsigned char)(c + 32);
		else if (!down && c >= 'a' && c <= 'z')
			c = (unsigned char)(c - 32);
		out[i] = (char)c;
		inside = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
	}
}

static void case_libc(locale_t locale, char which, const char *text, size_t len, cu_buf *out)
{
	bool inside = false;
	size_t at = 0;

	while (at < len) {
		uint32_t c;

		at += cu_utf8_decode(text + at, len - at, &c);
		if (which == 'l' || (which == 'i' && inside))
			c = (uint32_t)towlower_l((wint_t)c, locale);
		else
			c = (uint32_t)towupper_l((wint_t)c, locale);
		inside = which == 'i' && iswalnum_l((wint_t)c, locale);
		cu_utf8_put(out, c);
	}
}

static int32_t icu_convert(const cu_collation *collation, char which, UChar *to, int32_t cap, const UChar *from,
			   int32_t len, UErrorCode *status)
{
	const char *locale = collation->desc.locale;

	*status = U_ZERO_ERROR;
	if (which == 'l')
		return u_strToLower(to, cap, from, len, locale, status);
	if (which == 'u')
		return u_strToUpper(to, cap, from, len, locale, status);
	return u_strToTitle(to, cap, from, len, NULL, locale, status);
}

static int case_icu(const cu_collation *collation, char which, const char *text, size_t len, cu_buf *out)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t from_len = 0, to_len, utf8_len = 0;
	UChar *from = NULL, *to = NULL;
	int rc = CU_ENOMEM;

	if (len == 0)
		return 0;
	if (len > INT32_MAX / 4)
		return CU_ENOMEM;
	from = cu_try_malloc((len + 1) * sizeof *from);
	if (!from)
		goto out;
	u_strFromUTF8(from, (int32_t)len + 1, &from_len, text, (int32_t)len, &status);
	if (U_FAILURE(status)) {
		rc = CU_EINVAL;
		goto out;
	}
	to_len = icu_convert(collation, which, NULL, 0, from, from_len, &status);
	if (status != U_BUFFER_OVERFLOW_ERROR && U_FAILURE(status))
		goto out;
	to = cu_try_malloc(((size_t)to_len + 1) * sizeof *to);
	if (!to)
		goto out;
	to_len = icu_convert(collation, which, to, to_len + 1, from, from_len, &status);
	if (U_FAILURE(status) || !cu_buf_reserve(out, (size_t)to_len * 3 + 1))
		goto out;
	u_strToUTF8(out->data + out->len, (int32_t)(to_len * 3 + 1), &utf8_len, to, to_len, &status);
	if (U_FAILURE(status))
		goto out;
	out->len += (size_t)utf8_len;
	rc = 0;
out:
	free(from);
	free(to);
	return rc;
}

int cu_collation_case(const cu_collation *collation, char which, const char *text, size_t len, cu_buf *out)
{
	int rc = 0;

	CU_ASSERT(which == 'l' || which == 'u' || which == 'i');
	if (collation->letter_case == CASE_NONE)
		return CU_EUNSUPPORTED;
	if (collation->letter_case == CASE_ASCII || (which != 'i' && collation->ascii_simple && is_ascii(text, len))) {
		if (!cu_buf_reserve(out, len + 1)) /* + 1: data is not NULL even for nothing */
			return CU_ENOMEM;
		case_ascii(which, text, len, out->data + out->len);
		out->len += len;
	} else if (collation->letter_case == CASE_LIBC) {
		case_libc(collation->locale, which, text, len, out);
	} else {
		rc = case_icu(collation, which, text, len, out);
	}
	return rc ? rc : cu_buf_failed(out) ? CU_ENOMEM : 0;
}

/* Eight letters at a time; returns the high bits of all bytes seen. In each byte, adding carries into the high bit from
 * 'A' on, and from behind 'Z' on; one of the two is a capital. Its lower form has one bit more. */
static uint64_t lower_words(const char *text, size_t len, char *out)
{
	const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
	uint64_t seen = 0;

	for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
		size_t size = CU_MIN(len - at, sizeof(uint64_t));
		uint64_t word = 0, low, capital;

		memcpy(&word, text + at, size);
		low = word & ~highs;
		capital = (low + ones * (0x80 - 'A')) ^ (low + ones * (0x7f - 'Z'));
		seen |= word;
		word |= (capital & ~word & highs) >> 2;
		memcpy(out + at, &word, size);
	}
	return seen & highs;
}

bool cu_collation_lower_ascii(const cu_collation *collation, const char *text, size_t len, char *out)
{
	if (collation->letter_case != CASE_ASCII && !collation->ascii_simple)
		return false;
	return !lower_words(text, len, out) || collation->letter_case == CASE_ASCII;
}
