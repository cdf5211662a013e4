/* text.c: the representation of text, varchar, char(n), name, unknown and citext, and the table of their functions. */
#include "value/text_internal.h"

#include <limits.h>
#include <stdlib.h>

#define VARHDRSZ 4         /* a typmod of varchar(n) is n + 4 */
#define CHARS_MAX 10485760 /* n at most; only who calls the cast's function himself can ask for more */

#define TEXT_ENTRY(prosrc) { #prosrc, cu_text_##prosrc },
static const struct cu_function_entry text_entries[] = {
	/* clang-format off */
	CU_TEXT_COMPARE(TEXT_ENTRY) CU_TEXT_EDIT(TEXT_ENTRY) CU_TEXT_CASE(TEXT_ENTRY)
	/* clang-format on */
	{ "chr 15", cu_text_chr_15 },
};
CU_FUNCTION_TABLE(cu_functions_text, text_entries);

static bool only_blanks(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] != ' ')
			return false;
	return true;
}

/* Cuts to `chars` characters; for char(n), pads to them. */
static int cut_or_pad(bool pad, size_t chars, bool is_explicit, cu_arena *arena, struct cu_datum *datum,
		      struct cu_value_error *err)
{
	size_t keep = cu_utf8_offset(datum->bytes, datum->len, chars), have;
	char *bytes;

	if (keep < datum->len) {
		if (!is_explicit && !only_blanks(datum->bytes + keep, datum->len - keep))
			return cu_value_fail(err, "22001", "value too long for type character%s(%zu)",
					     pad ? "" : " varying", chars);
		datum->len = (uint32_t)keep;
		return 0;
	}
	have = pad ? cu_utf8_len(datum->bytes, datum->len) : chars;
	if (have >= chars)
		return 0;
	if (chars > CHARS_MAX)
		return cu_value_fail(err, "54000", "requested length too large");
	bytes = cu_arena_alloc(arena, datum->len + chars - have);
	if (!bytes)
		return CU_ENOMEM;
	if (datum->len)
		memcpy(bytes, datum->bytes, datum->len);
	memset(bytes + datum->len, ' ', chars - have);
	datum->bytes = bytes;
	datum->len += (uint32_t)(chars - have);
	return 0;
}

static int text_typmod(const struct cu_type *type, int32_t typmod, bool is_explicit, cu_arena *arena,
		       struct cu_datum *datum, struct cu_value_error *err)
{
	bool pad = type->oid == CU_BPCHAROID;

	if (datum->is_null || typmod < VARHDRSZ || (!pad && type->oid != CU_VARCHAROID))
		return 0;
	return cut_or_pad(pad, (size_t)(typmod - VARHDRSZ), is_explicit, arena, datum, err);
}

static int text_in(const struct cu_type *type, int32_t typmod, const char *text, size_t len, cu_arena *arena,
		   struct cu_datum *ret_datum, struct cu_value_error *err)
{
	struct cu_datum datum = { .len = (uint32_t)len, .bytes = text };
	int rc;

	if (len > UINT32_MAX)
		return CU_ENOMEM;
	if (type->oid == CU_NAMEOID && len > CU_IDENTIFIER_MAX) {
		size_t at = 0, step;

		while (at < len && at + (step = cu_utf8_char(text + at, len - at)) <= CU_IDENTIFIER_MAX)
			at += step;
		datum.len = (uint32_t)at;
	}
	rc = text_typmod(type, typmod, false, arena, &datum, err);
	if (rc == 0)
		*ret_datum = datum;
	return rc;
}

static int text_out(const struct cu_type *type, const struct cu_datum *datum, cu_buf *out)
{
	(void)type;
	cu_buf_append(out, datum->bytes, datum->len);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

size_t cu_text_trimmed_len(const struct cu_datum *datum)
{
	size_t len = datum->len;

	while (len > 0 && datum->bytes[len - 1] == ' ')
		len--;
	return len;
}

/* Whoever asks for the order of citext has seen to it that the collation can fold; without memory for that, two equal
 * texts must still not become different ones: abort. */
static struct cu_datum folded(const struct cu_collation *collation, const struct cu_datum *datum, cu_arena *arena)
{
	struct cu_datum lower;

	CU_ASSERT(cu_text_fold_citext(collation, datum, arena, &lower, NULL) == 0);
	return lower;
}

bool cu_text_citext_equal(const struct cu_collation *collation, const struct cu_datum *a, const struct cu_datum *b)
{
	cu_arena arena = CU_ARENA_INIT;
	struct cu_datum left = folded(collation ? collation : cu_collation_c, a, &arena),
			right = folded(collation ? collation : cu_collation_c, b, &arena);
	bool equal = left.len == right.len && memcmp(left.bytes, right.bytes, left.len) == 0;

	cu_arena_fini(&arena);
	return equal;
}

static int text_compare(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *a,
			const struct cu_datum *b)
{
	cu_arena arena = CU_ARENA_INIT;
	struct cu_datum left = *a, right = *b;
	int order;

	if (!collation)
		collation = cu_collation_c;
	if (type->citext) {
		left = folded(collation, a, &arena);
		right = folded(collation, b, &arena);
	} else if (type->oid == CU_BPCHAROID) {
		left.len = (uint32_t)cu_text_trimmed_len(a);
		right.len = (uint32_t)cu_text_trimmed_len(b);
	}
	order = cu_collation_compare(collation, left.bytes, left.len, right.bytes, right.len);
	cu_arena_fini(&arena);
	return order;
}

static int text_put_key(const struct cu_type *type, const struct cu_collation *collation, const struct cu_datum *datum,
			cu_buf *out)
{
	cu_arena arena = CU_ARENA_INIT;
	struct cu_datum key = *datum;
	int rc = 0;

	if (type->citext) {
		/* Its equality is of the folded bytes, whatever the collation. */
		rc = cu_text_fold_citext(collation, datum, &arena, &key, NULL);
		if (rc == CU_EINVAL)
			rc = CU_EUNSUPPORTED;
	} else if (collation && !cu_collation_desc(collation)->deterministic) {
		rc = CU_EUNSUPPORTED;
	} else if (type->oid == CU_BPCHAROID) {
		key.len = (uint32_t)cu_text_trimmed_len(datum);
	}
	if (rc == 0) {
		cu_buf_append(out, key.bytes, key.len);
		rc = cu_buf_failed(out) ? CU_ENOMEM : 0;
	}
	cu_arena_fini(&arena);
	return rc;
}

const struct cu_repr_ops cu_repr_ops_text = {
	.in = text_in,
	.out = text_out,
	.typmod = text_typmod,
	.compare = text_compare,
	.put_key = text_put_key,
};

int cu_text_need_collation(const struct cu_function_call *call)
{
	if (call->collation)
		return 0;
	return cu_value_fail(call->err, "42P22", "could not determine which collation to use for string comparison");
}

int cu_text_alloc(const struct cu_function_call *call, size_t len, char **ret_bytes)
{
	if (len > CU_VALUE_RESULT_MAX) {
		size_t have = 0;

		for (unsigned i = 0; i < call->args_len; i++)
			if (call->types[i]->repr == CU_REPR_TEXT && !call->args[i].is_null)
				have += call->args[i].len;
		if (len > have && len + 4 > 0x3fffffff) /* MaxAllocSize */
			return cu_value_fail(call->err, "54000", "requested length too large");
		if (len > have)
			return cu_value_fail(call->err, "0A000",
					     "the result is longer than %u bytes, which is not supported here",
					     CU_VALUE_RESULT_MAX);
	}
	*ret_bytes = cu_arena_alloc(call->arena, len ? len : 1);
	return *ret_bytes ? 0 : CU_ENOMEM;
}
