/* text_internal.h: what text.c, text_*.c and like.c share. A function stands in one of the lists below and is called
 * cu_text_<prosrc>; the lists make its prototype and its entry in the table. */
#ifndef CU_VALUE_TEXT_INTERNAL_H
#define CU_VALUE_TEXT_INTERNAL_H

#include "value/collation.h"
#include "value/internal.h"
#include "value/utf8.h"

/* clang-format off */

/* text_compare.c */
#define CU_TEXT_COMPARE(X) \
	X(texteq) X(textne) X(text_lt) X(text_le) X(text_gt) X(text_ge) X(text_larger) X(text_smaller) \
	X(text_pattern_lt) X(text_pattern_le) X(text_pattern_gt) X(text_pattern_ge) X(bpchareq) X(bpcharne) \
	X(bpcharlt) X(bpcharle) X(bpchargt) X(bpcharge) X(bpchar_larger) X(bpchar_smaller) \
	X(bpchar_pattern_lt) X(bpchar_pattern_le) X(bpchar_pattern_gt) X(bpchar_pattern_ge) X(nameeq) \
	X(namene) X(namelt) X(namele) X(namegt) X(namege) X(nameeqtext) X(namenetext) X(namelttext) \
	X(nameletext) X(namegttext) X(namegetext) X(texteqname) X(textnename) X(textltname) X(textlename) \
	X(textgtname) X(textgename) X(citext_eq) X(citext_ne) X(citext_lt) X(citext_le) X(citext_gt) \
	X(citext_ge) X(citext_larger) X(citext_smaller) X(citext_pattern_lt) X(citext_pattern_le) \
	X(citext_pattern_gt) X(citext_pattern_ge) X(text_starts_with)

/* text_edit.c */
#define CU_TEXT_EDIT(X) \
	X(textcat) X(textlen) X(bpcharlen) X(textoctetlen) X(bpcharoctetlen) X(text_substr) \
	X(text_substr_no_len) X(text_left) X(text_right) X(textoverlay) X(textoverlay_no_len) X(btrim) \
	X(btrim1) X(ltrim) X(ltrim1) X(rtrim) X(rtrim1) X(lpad) X(rpad) X(repeat) X(text_reverse) X(textpos) \
	X(replace_text) X(split_part) X(translate)

/* text_case.c */
#define CU_TEXT_CASE(X) \
	X(lower) X(upper) X(initcap) X(ascii) X(chr) X(md5_text) X(quote_literal) X(quote_nullable) \
	X(text_concat) X(text_concat_ws) X(text_name) X(name_text) X(bpchar_name) X(name_bpchar) \
	X(char_bpchar) X(bpchar) X(varchar)

/* clang-format on */

#define CU_TEXT_PROTOTYPE(prosrc) int cu_text_##prosrc(const struct cu_function_call *call, struct cu_datum *ret_datum);
CU_TEXT_COMPARE(CU_TEXT_PROTOTYPE)
CU_TEXT_EDIT(CU_TEXT_PROTOTYPE)
CU_TEXT_CASE(CU_TEXT_PROTOTYPE)
CU_TEXT_PROTOTYPE(chr_15)

/* 42P22 when the call has none. */
int cu_text_need_collation(const struct cu_function_call *call);
/* Room for a result in the arena; 54000 beyond CU_VALUE_RESULT_MAX unless that is no more than the arguments hold. */
int cu_text_alloc(const struct cu_function_call *call, size_t len, char **ret_bytes);
/* lower(), upper(), initcap(): 'l', 'u', 'i'; 0A000 where the collation cannot. The result may be the input itself. */
int cu_text_case(const struct cu_collation *collation, char which, const struct cu_datum *text, cu_arena *arena,
		 struct cu_datum *ret_datum, struct cu_value_error *err);
/* A citext as its operators see it: lower() under the database's default collation. */
int cu_text_fold_citext(const struct cu_collation *collation, const struct cu_datum *text, cu_arena *arena,
			struct cu_datum *ret_datum, struct cu_value_error *err);
/* Equal as citext's = has it: folded, byte for byte, whatever the collation. */
bool cu_text_citext_equal(const struct cu_collation *collation, const struct cu_datum *a, const struct cu_datum *b);
/* char(n) without its blanks. */
size_t cu_text_trimmed_len(const struct cu_datum *datum);

static inline int cu_text_return(struct cu_datum *ret_datum, const char *bytes, size_t len)
{
	*ret_datum = (struct cu_datum){ .len = (uint32_t)len, .bytes = bytes };
	return 0;
}

static inline int cu_text_return_bool(struct cu_datum *ret_datum, bool value)
{
	*ret_datum = (struct cu_datum){ .boolean = value };
	return 0;
}

static inline int cu_text_return_int(struct cu_datum *ret_datum, int64_t value)
{
	*ret_datum = (struct cu_datum){ .integer = value };
	return 0;
}

#endif
