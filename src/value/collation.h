/* collation.h: text order, equality and case as a Postgres collation has them.
 *
 * A collation that this machine cannot reproduce to the letter (another libc or ICU version than the database's, a
 * locale that is missing) still compares for equality where it is deterministic; order and case are refused at check
 * time.
 *
 * Threads: immutable after cu_collation_new(); any thread.
 * Cost: a comparison under libc copies both texts (strcoll wants them terminated); case under ICU converts to UTF-16
 * and back unless the text is ASCII.
 */
#ifndef CU_COLLATION_H
#define CU_COLLATION_H

#include "value/value.h"

typedef struct cu_collation cu_collation;

struct cu_collation_desc {
	uint32_t oid;     /* of pg_collation; 100 is "default", 950 "C", 951 "POSIX" */
	const char *name; /* quoted and qualified, for COLLATE and messages */
	char provider;    /* 'c' libc, 'i' ICU, 'b' Postgres' own (17+); default already resolved to the database's */
	bool deterministic;
	/* libc: the LC_COLLATE and LC_CTYPE name; NULL: the two differ, order and case are refused.
	 * ICU, builtin: the locale. */
	const char *locale;
	/* Of the library that sorts, best as the server has it now (pg_collation_actual_version), else as recorded;
	 * NULL: none. Only locales of libc named C… need none: C.UTF-8 is by code point everywhere; its case tables are
	 * taken to be those of this machine, and a letter younger than one of the two C libraries may differ. */
	const char *version;
	const char *rules;    /* ICU: tailoring (16+), order is refused with any; NULL: none */
	const char *encoding; /* of the database: "UTF8"; others: C/POSIX only */
	/* The database's default, under which citext folds case, whatever the collation. NULL: this one is it. */
	const struct cu_collation *database;
};

/* Equal descriptions get one and the same collation, so that pointers tell whether two are equal. It stays for the life
 * of the process: there are as many as the database describes. 0 always. */
int cu_collation_new(const struct cu_collation_desc *desc, cu_collation **ret_collation);
void cu_collation_free(cu_collation **collation); /* clears the pointer */
const struct cu_collation_desc *cu_collation_desc(const cu_collation *collation);
/* NULL when order can be reproduced; else why not: a sentence for the client. A nondeterministic collation that has no
 * order here has no equality either. */
const char *cu_collation_why_unordered(const cu_collation *collation);
/* The same for lower(), upper(), initcap(), ILIKE and all of citext. */
const char *cu_collation_why_uncased(const cu_collation *collation);

/* As strcmp, with Postgres' tie-break by byte for deterministic ones. Only when cu_collation_why_unordered() is NULL. */
int cu_collation_compare(const cu_collation *collation, const char *a, size_t a_len, const char *b, size_t b_len);
bool cu_collation_equal(const cu_collation *collation, const char *a, size_t a_len, const char *b, size_t b_len);
/* lower(), upper(), initcap(): 'l', 'u', 'i'; appends. 0, CU_ENOMEM; CU_EUNSUPPORTED: cu_collation_why_uncased(). */
int cu_collation_case(const cu_collation *collation, char which, const char *text, size_t len, cu_buf *out);

/* lower() of a text that needs no more than ASCII's rules, into len bytes at out; false: it does. */
bool cu_collation_lower_ascii(const cu_collation *collation, const char *text, size_t len, char *out);

extern const cu_collation *const cu_collation_c; /* "C" */

#endif
