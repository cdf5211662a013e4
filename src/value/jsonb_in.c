/* jsonb_in.c: from text to tree and back.
 *
 * Values are gathered on one stack as they are read; when a container closes, its items are copied off the stack into
 * the arena, in their final order. Strings without escapes are borrowed from the text.
 */
#include "value/json_parse.h"
#include "value/jsonb.h"

#include <stdlib.h>

#define STRING_LEN_MAX 0x0fffffffu /* JENTRY_OFFLENMASK of Postgres */

struct builder {
	struct cu_json_lexer lexer;
	cu_buf stack; /* of struct cu_jsonb_pair; array elements without a key */
	size_t bases[CU_VALUE_DEPTH_MAX + 1];
	unsigned level;
	const char *key; /* of the value that comes */
	uint32_t key_len;
	const char *keys[CU_VALUE_DEPTH_MAX + 1]; /* of the containers that are open */
	uint32_t keys_len[CU_VALUE_DEPTH_MAX + 1];
	const struct cu_type *numeric;
};

static size_t stack_len(const struct builder *b)
{
	return b->stack.len / sizeof(struct cu_jsonb_pair);
}

static int push(struct builder *b, struct cu_jsonb value)
{
	struct cu_jsonb_pair pair = { b->key, b->key_len, value };

	b->key = NULL;
	b->key_len = 0;
	cu_buf_append(&b->stack, &pair, sizeof pair);
	return cu_buf_failed(&b->stack) ? CU_ENOMEM : 0;
}

static int check_string_len(const struct builder *b, size_t len)
{
	if (len > STRING_LEN_MAX)
		return cu_value_fail(b->lexer.err, "54000", "string too long to represent as jsonb string");
	return 0;
}

static int on_start(void *arg)
{
	struct builder *b = arg;

	CU_ASSERT(b->level <= CU_VALUE_DEPTH_MAX);
	b->bases[b->level] = stack_len(b);
	b->keys[b->level] = b->key;
	b->keys_len[b->level] = b->key_len;
	b->level++;
	return 0;
}

/* Closes the innermost container: its items leave the stack, it takes their place. */
static int close_container(struct builder *b, struct cu_jsonb value, size_t base)
{
	b->stack.len = base * sizeof(struct cu_jsonb_pair);
	b->key = b->keys[b->level];
	b->key_len = b->keys_len[b->level];
	return push(b, value);
}

static int on_array_end(void *arg)
{
	struct builder *b = arg;
	size_t base = b->bases[--b->level], len = stack_len(b) - base;
	const struct cu_jsonb_pair *items = (const struct cu_jsonb_pair *)(const void *)b->stack.data;
	struct cu_jsonb *elements = cu_arena_alloc(b->lexer.arena, len * sizeof *elements);

	if (!elements)
		return CU_ENOMEM;
	for (size_t i = 0; i < len; i++)
		elements[i] = items[base + i].value;
	return close_container(
		b, (struct cu_jsonb){ .kind = CU_JSONB_ARRAY, .len = (uint32_t)len, .elements = elements }, base);
}

static int key_compare(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
	if (a_len != b_len)
		return a_len < b_len ? -1 : 1;
	return memcmp(a, b, a_len);
}

static int pair_compare(const void *a, const void *b)
{
	const struct cu_jsonb_pair *const *pa = a, *const *pb = b;
	int order = key_compare((*pa)->key, (*pa)->key_len, (*pb)->key, (*pb)->key_len);

	/* They all lie in the stack: the later one of two equals first, because the last one wins. */
	return order ? order : (*pa < *pb) - (*pa > *pb);
}

/* Copies the pairs, sorted and without duplicates; returns how many. */
static size_t copy_sorted(const struct cu_jsonb_pair *items, size_t len, const struct cu_jsonb_pair **sorted,
			  struct cu_jsonb_pair *pairs)
{
	size_t count = 0;

	for (size_t i = 0; i < len; i++)
		sorted[i] = &items[i];
	qsort(sorted, len, sizeof *sorted, pair_compare);
	for (size_t i = 0; i < len; i++)
		if (!count ||
		    key_compare(pairs[count - 1].key, pairs[count - 1].key_len, sorted[i]->key, sorted[i]->key_len))
			pairs[count++] = *sorted[i];
	return count;
}

static int on_object_end(void *arg)
{
	struct builder *b = arg;
	size_t base = b->bases[--b->level], len = stack_len(b) - base, count = len;
	struct cu_jsonb_pair *pairs = cu_arena_alloc(b->lexer.arena, len * sizeof *pairs);
	const struct cu_jsonb_pair *items, **sorted = NULL;
	bool ordered = true;

	if (!pairs)
		return CU_ENOMEM;
	if (len) {
		items = (const struct cu_jsonb_pair *)(const void *)b->stack.data + base;
		for (size_t i = 1; i < len && ordered; i++)
			ordered =
				key_compare(items[i - 1].key, items[i - 1].key_len, items[i].key, items[i].key_len) < 0;
		if (ordered) { /* what Postgres has written is */
			memcpy(pairs, items, len * sizeof *pairs);
		} else {
			sorted = cu_try_malloc(len * sizeof *sorted);
			if (!sorted)
				return CU_ENOMEM;
			count = copy_sorted(items, len, sorted, pairs);
			free(sorted);
		}
	}
	return close_container(b, (struct cu_jsonb){ .kind = CU_JSONB_OBJECT, .len = (uint32_t)count, .pairs = pairs },
			       base);
}

static int on_field_start(void *arg, const char *name, size_t len, bool isnull)
{
	struct builder *b = arg;

	(void)isnull;
	b->key = name;
	b->key_len = (uint32_t)len;
	return check_string_len(b, len);
}

static int on_scalar(void *arg, enum cu_json_token token, const char *text, size_t len)
{
	struct builder *b = arg;
	struct cu_jsonb value = { .kind = CU_JSONB_NULL };
	struct cu_datum datum;
	int rc = 0;

	switch (token) {
	case CU_JSON_STRING:
		rc = check_string_len(b, len);
		value = (struct cu_jsonb){ .kind = CU_JSONB_STRING, .len = (uint32_t)len, .string = text };
		break;
	case CU_JSON_NUMBER:
		rc = cu_repr_ops_numeric.in(b->numeric, -1, text, len, b->lexer.arena, &datum, b->lexer.err);
		if (rc == 0)
			value = (struct cu_jsonb){ .kind = CU_JSONB_NUMERIC, .numeric = datum.numeric };
		break;
	case CU_JSON_TRUE:
	case CU_JSON_FALSE: value = (struct cu_jsonb){ .kind = CU_JSONB_BOOL, .boolean = token == CU_JSON_TRUE }; break;
	default: break;
	}
	return rc ? rc : push(b, value);
}

int cu_jsonb_parse(const char *text, size_t len, cu_arena *arena, struct cu_jsonb *ret_jsonb,
		   struct cu_value_error *err)
{
	static const struct cu_json_events events = {
		.object_start = on_start,
		.object_end = on_object_end,
		.array_start = on_start,
		.array_end = on_array_end,
		.field_start = on_field_start,
		.scalar = on_scalar,
	};
	struct builder b;
	int rc;

	cu_json_lexer_init(&b.lexer, text, len, arena, err);
	cu_buf_init(&b.stack);
	/* Small values need no more than this; that there is no memory is noticed when something is pushed. */
	cu_buf_reserve(&b.stack, 8 * sizeof(struct cu_jsonb_pair));
	b.level = 0;
	b.key = NULL;
	b.key_len = 0;
	b.numeric = cu_type_builtin(CU_NUMERICOID);
	rc = cu_json_parse(&b.lexer, &events, &b);
	if (rc == 0) {
		CU_ASSERT(stack_len(&b) == 1);
		*ret_jsonb = ((const struct cu_jsonb_pair *)(const void *)b.stack.data)->value;
	}
	cu_buf_fini(&b.stack);
	return rc;
}

static int put_value(const struct cu_jsonb *jsonb, cu_buf *out)
{
	int rc = 0;

	switch (jsonb->kind) {
	case CU_JSONB_NULL: cu_buf_append(out, "null", 4); break;
	case CU_JSONB_STRING: cu_json_put_string(out, jsonb->string, jsonb->len); break;
	case CU_JSONB_NUMERIC: {
		struct cu_datum datum = { .numeric = jsonb->numeric };

		rc = cu_repr_ops_numeric.out(cu_type_builtin(CU_NUMERICOID), &datum, out);
		break;
	}
	case CU_JSONB_BOOL: cu_buf_puts(out, jsonb->boolean ? "true" : "false"); break;
	case CU_JSONB_ARRAY:
		cu_buf_putc(out, '[');
		for (uint32_t i = 0; rc == 0 && i < jsonb->len; i++) {
			if (i)
				cu_buf_append(out, ", ", 2);
			rc = put_value(&jsonb->elements[i], out);
		}
		cu_buf_putc(out, ']');
		break;
	case CU_JSONB_OBJECT:
		cu_buf_putc(out, '{');
		for (uint32_t i = 0; rc == 0 && i < jsonb->len; i++) {
			if (i)
				cu_buf_append(out, ", ", 2);
			cu_json_put_string(out, jsonb->pairs[i].key, jsonb->pairs[i].key_len);
			cu_buf_append(out, ": ", 2);
			rc = put_value(&jsonb->pairs[i].value, out);
		}
		cu_buf_putc(out, '}');
		break;
	}
	return rc;
}

int cu_jsonb_put(const struct cu_jsonb *jsonb, cu_buf *out)
{
	int rc = put_value(jsonb, out);

	return rc == 0 && cu_buf_failed(out) ? CU_ENOMEM : rc;
}
