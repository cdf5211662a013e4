/* item_scan.h: reads items of a log back: the exact form that item.c writes, nothing more general.
 *
 * {"key":"…","value":{columns},"old_value":{columns},"headers":{"operation":"…",…}} where old_value may be missing, a column is
 * "name":"text" or "name":null, and the other headers are any flat JSON: strings, numbers, words, arrays of these.
 *
 * Threads: any. Cost: one pass over the bytes, nothing is copied or allocated; names, keys and values stay in their
 * escaped form, which is the same for equal ones because one encoder wrote them all.
 * Errors: the bytes come from a disk. Whatever differs from the form is CU_ECORRUPT.
 */
#ifndef CU_SHAPE_ITEM_SCAN_H
#define CU_SHAPE_ITEM_SCAN_H

#include "base/base.h"

enum cu_item_operation {
	CU_ITEM_INSERT,
	CU_ITEM_UPDATE,
	CU_ITEM_DELETE,
};

/* A piece of an item: bytes at..at+len. */
struct cu_item_span {
	uint32_t at;
	uint32_t len;
};

struct cu_item_parts {
	struct cu_item_span key;       /* without its quotes */
	struct cu_item_span value;     /* the columns, without braces */
	struct cu_item_span old_value; /* at = 0: there is none */
	uint32_t headers_at;           /* from here to the end: ,"headers":{…}} */
	uint8_t operation;             /* enum cu_item_operation */
};

/* Its key alone; the rest may be anything. */
int cu_item_scan_key(const char *item, size_t len, struct cu_item_span *ret_key);
/* A whole item, closing braces included. CU_ETOOBIG: 4 GiB or more. */
int cu_item_scan(const char *item, size_t len, struct cu_item_parts *ret_parts);

struct cu_item_column {
	const char *name; /* without its quotes */
	size_t name_len;
	const char *text; /* the whole column: "name":value */
	size_t text_len;
};

/* The column at *at of a list that cu_item_scan() has found; moves on. false: there are no more. */
bool cu_item_scan_column(const char **at, const char *end, struct cu_item_column *ret_column);

#endif
