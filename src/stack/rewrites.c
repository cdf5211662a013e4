/* rewrites.c: see rewrites.h. */
#include "stack/rewrites.h"

#include "pg/conn.h"
#include "store/crc32c.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct noted {
	uint32_t oid;
	char *file;
	char *columns; /* ,"name":version/type/typmod for each */
};

struct look {
	struct noted *list; /* by oid */
	size_t len, cap;
};

struct cu_rewrites {
	struct look before, now;
};

const char cu_rewrites_sql[] =
	"c.relfilenode, (SELECT pg_catalog.string_agg(',\"' || pg_catalog.replace(a.attname, '\"', '\"\"') || '\":' || "
	"pg_catalog.concat_ws('/', a.xmin, a.atttypid, a.atttypmod), '') || ',' FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT "
	"a.attisdropped)";

cu_rewrites *cu_rewrites_new(void)
{
	return cu_xzalloc(sizeof(cu_rewrites));
}

static void look_fini(struct look *look)
{
	for (size_t i = 0; i < look->len; i++) {
		free(look->list[i].file);
		free(look->list[i].columns);
	}
	free(look->list);
	*look = (struct look){ 0 };
}

void cu_rewrites_free(cu_rewrites **ref)
{
	cu_rewrites *rewrites = *ref;

	if (!rewrites)
		return;
	*ref = NULL;
	look_fini(&rewrites->before);
	look_fini(&rewrites->now);
	free(rewrites);
}

void cu_rewrites_note(cu_rewrites *rewrites, uint32_t oid, const char *file, const char *columns)
{
	struct look *now = &rewrites->now;

	CU_ASSERT(now->len == 0 || now->list[now->len - 1].oid < oid);
	if (now->len == now->cap) {
		now->cap = now->cap ? 2 * now->cap : 16;
		now->list = cu_xrealloc(now->list, now->cap * sizeof *now->list);
	}
	now->list[now->len++] = (struct noted){ oid, cu_xstrdup(file), cu_xstrdup(columns) };
}

static int by_oid(const void *key, const void *noted)
{
	uint32_t oid = *(const uint32_t *)key, other = ((const struct noted *)noted)->oid;

	return (oid > other) - (oid < other);
}

static const struct noted *find(const struct look *look, uint32_t oid)
{
	return look->len ? bsearch(&oid, look->list, look->len, sizeof *look->list, by_oid) : NULL;
}

struct version {
	char xmin[16];
	uint32_t type_oid;
	int32_t typmod;
};

/* False: there is no such column. */
static bool version_of(const struct noted *noted, const char *label, struct version *ret_version)
{
	const char *at = strstr(noted->columns, label);

	return at && sscanf(at + strlen(label), "%15[0-9]/%" SCNu32 "/%" SCNd32, ret_version->xmin,
			    &ret_version->type_oid, &ret_version->typmod) == 3;
}

bool cu_rewrites_has_table(const cu_rewrites *rewrites, uint32_t oid)
{
	const struct noted *before = find(&rewrites->before, oid), *now = find(&rewrites->now, oid);

	return before && now && strcmp(before->file, now->file) != 0;
}

bool cu_rewrites_has_column(const cu_rewrites *rewrites, uint32_t oid, const char *column, uint32_t type_oid,
			    int32_t typmod)
{
	struct version before, now;
	cu_buf label = CU_BUF_INIT;
	bool rewritten = false;

	if (!cu_rewrites_has_table(rewrites, oid))
		return false;
	/* A quote inside of a name is doubled, so that the label cannot be a part of another one. */
	cu_buf_putc(&label, ',');
	cu_pg_put_ident(&label, column);
	cu_buf_putc(&label, ':');
	if (version_of(find(&rewrites->before, oid), cu_buf_str(&label), &before) &&
	    version_of(find(&rewrites->now, oid), cu_buf_str(&label), &now) && strcmp(before.xmin, now.xmin) != 0)
		rewritten = (before.type_oid == now.type_oid && before.typmod == now.typmod) ||
			    type_oid != now.type_oid || typmod != now.typmod;
	cu_buf_fini(&label);
	return rewritten;
}

bool cu_rewrites_may_have_other_columns(const cu_rewrites *rewrites, uint32_t oid)
{
	const struct noted *before = find(&rewrites->before, oid), *now = find(&rewrites->now, oid);

	return now && (!before || strcmp(before->columns, now->columns) != 0);
}

void cu_rewrites_cancel(cu_rewrites *rewrites)
{
	look_fini(&rewrites->now);
}

static bool equal(const struct look *a, const struct look *b)
{
	for (size_t i = 0; a->len == b->len && i < a->len; i++) {
		if (a->list[i].oid != b->list[i].oid || strcmp(a->list[i].file, b->list[i].file) != 0 ||
		    strcmp(a->list[i].columns, b->list[i].columns) != 0)
			return false;
	}
	return a->len == b->len;
}

bool cu_rewrites_end(cu_rewrites *rewrites)
{
	bool other = !equal(&rewrites->before, &rewrites->now);

	look_fini(&rewrites->before);
	rewrites->before = rewrites->now;
	rewrites->now = (struct look){ 0 };
	return other;
}

/* crc32c of the rest, then per table its oid and two texts, each with a NUL. */
void cu_rewrites_put(const cu_rewrites *rewrites, cu_buf *bytes)
{
	cu_buf rest = CU_BUF_INIT;

	for (size_t i = 0; i < rewrites->before.len; i++) {
		const struct noted *noted = &rewrites->before.list[i];

		cu_buf_put_varint(&rest, noted->oid);
		cu_buf_append(&rest, noted->file, strlen(noted->file) + 1);
		cu_buf_append(&rest, noted->columns, strlen(noted->columns) + 1);
	}
	cu_buf_put_le32(bytes, cu_crc32c(0, rest.data, rest.len));
	cu_buf_append(bytes, rest.data, rest.len);
	cu_buf_fini(&rest);
}

void cu_rewrites_restore(cu_rewrites *rewrites, const void *bytes, size_t len)
{
	cu_cursor at = cu_cursor_over(bytes, len);
	uint32_t crc = cu_cursor_le32(&at);
	size_t left = cu_cursor_left(&at);

	if (at.failed || cu_crc32c(0, (const uint8_t *)bytes + len - left, left) != crc)
		return;
	while (!at.failed && cu_cursor_left(&at)) {
		uint32_t oid = (uint32_t)cu_cursor_varint(&at);
		const char *file = cu_cursor_cstr(&at), *columns = cu_cursor_cstr(&at);

		if (file && columns && (rewrites->now.len == 0 || rewrites->now.list[rewrites->now.len - 1].oid < oid))
			cu_rewrites_note(rewrites, oid, file, columns);
	}
	cu_rewrites_end(rewrites);
}
