/* catalog.h: what pg_catalog of Postgres 15 says about its own types, functions, operators and casts.
 *
 * Generated into builtin_catalog.inc by scripts/make-builtin-catalog; read-only, any thread, O(log n). citext, whose oids
 * differ from database to database, is listed under CU_CITEXTOID; it counts only where the scope has such a column.
 */
#ifndef CU_EXPR_CATALOG_H
#define CU_EXPR_CATALOG_H

#include "value/value.h"

#define CU_CITEXTOID 1u
#define CU_CITEXTARRAYOID 2u

enum {
	CU_INT2VECTOROID = 22,
	CU_OIDVECTOROID = 30,
	CU_CHARARRAYOID = 1002,
	CU_TEXTARRAYOID = 1009,
	CU_INT4ARRAYOID = 1007,
	CU_RECORDOID = 2249,
	CU_CSTRINGOID = 2275,
	CU_ANYOID = 2276,
	CU_ANYARRAYOID = 2277,
	CU_VOIDOID = 2278,
	CU_ANYELEMENTOID = 2283,
	CU_ANYNONARRAYOID = 2776,
	CU_ANYENUMOID = 3500,
	CU_ANYRANGEOID = 3831,
	CU_ANYMULTIRANGEOID = 4537,
	CU_ANYCOMPATIBLEOID = 5077,
	CU_ANYCOMPATIBLEARRAYOID = 5078,
	CU_ANYCOMPATIBLENONARRAYOID = 5079,
	CU_ANYCOMPATIBLERANGEOID = 5080,
	CU_ANYCOMPATIBLEMULTIRANGEOID = 4538,
};

/* Names are offsets into one pool: no relocations. */
struct cu_catalog_type {
	uint16_t oid;
	uint32_t name;   /* pg_type.typname */
	uint32_t format; /* format_type(oid, NULL): what messages say */
	char typtype;
	char category;
	uint8_t preferred;
	uint16_t elem; /* of a true array */
	uint16_t array;
	uint8_t collation; /* 0 none, 1 the database's, 2 "C" */
};
struct cu_catalog_proc {
	uint32_t name;
	uint32_t prosrc;   /* "" for a function of language sql */
	uint32_t body;     /* of such a one: RETURN … or SELECT … */
	uint32_t defaults; /* of the last arguments, joined by '\x1d' */
	uint16_t ret;
	uint16_t variadic; /* element type, or "any" */
	uint16_t args_at;
	uint8_t args_len;
	uint8_t defaults_len;
	uint8_t strict;
	char volatility; /* 'i', 's', 'v', as of version 15: cu_catalog_volatility() */
	char kind;       /* 'f', 'a'ggregate, 'w'indow */
	uint8_t retset;
};
struct cu_catalog_op {
	uint32_t name;
	uint16_t left; /* 0: prefix operator */
	uint16_t right;
	uint16_t ret;
	uint16_t proc;
};
struct cu_catalog_cast {
	uint16_t source;
	uint16_t target;
	uint16_t proc;
	char context; /* 'i'mplicit, 'a'ssignment, 'e'xplicit */
	char method;  /* 'f'unction, 'i'/o, 'b'inary */
};

const char *cu_catalog_string(uint32_t at);
const struct cu_catalog_type *cu_catalog_type(uint32_t oid);           /* or NULL */
const struct cu_catalog_type *cu_catalog_type_named(const char *name); /* by typname; or NULL */
const uint16_t *cu_catalog_args(const struct cu_catalog_proc *proc);
const struct cu_catalog_proc *cu_catalog_proc_at(uint16_t index);
/* In that major version of Postgres. */
char cu_catalog_volatility(const struct cu_catalog_proc *proc, int pg_version);
/* All of one name stand together. Returns how many; the first is *ret_first. */
size_t cu_catalog_procs(const char *name, const struct cu_catalog_proc **ret_first);
size_t cu_catalog_ops(const char *name, const struct cu_catalog_op **ret_first);
const struct cu_catalog_cast *cu_catalog_cast(uint32_t source, uint32_t target); /* or NULL */

#endif
