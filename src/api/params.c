/* params.c: the parameters of /v1/shape: from query string (and body) to a checked definition.
 *
 * First each known parameter is gathered in its raw form (struct raw): a text, a list (name[]=…), a map
 * (name[key]=…), or something else that a JSON body may hold. Then the values are cast, and last come the stages of
 * params.h. Gathering knows where a value came from, casting does not.
 */
#include "api/params.h"

#include "api/identifiers.h"
#include "api/query.h"
#include "base/limits.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define MSG_BLANK "can't be blank"
#define MSG_INVALID "is invalid"

enum field {
	FIELD_TABLE,
	FIELD_OFFSET,
	FIELD_HANDLE,
	FIELD_LIVE,
	FIELD_WHERE,
	FIELD_COLUMNS,
	FIELD_QUERYABLE_COLUMNS,
	FIELD_REPLICA,
	FIELD_PARAMS,
	FIELD_COMPACTION,
	FIELD_LIVE_SSE,
	FIELD_EXPERIMENTAL_LIVE_SSE,
	FIELD_LOG,
	FIELD_CURSOR,
	FIELD_SUBSET,
	FIELD_SUBSET_WHERE, /* from here on: the parts of a subset, "subset__<name>" */
	FIELD_SUBSET_ORDER_BY,
	FIELD_SUBSET_LIMIT,
	FIELD_SUBSET_OFFSET,
	FIELD_SUBSET_PARAMS,
	FIELD_COUNT,
};

static const char *const field_names[FIELD_COUNT] = {
	[FIELD_TABLE] = "table",
	[FIELD_OFFSET] = "offset",
	[FIELD_HANDLE] = "handle",
	[FIELD_LIVE] = "live",
	[FIELD_WHERE] = "where",
	[FIELD_COLUMNS] = "columns",
	[FIELD_QUERYABLE_COLUMNS] = "queryable_columns",
	[FIELD_REPLICA] = "replica",
	[FIELD_PARAMS] = "params",
	[FIELD_COMPACTION] = "experimental_compaction",
	[FIELD_LIVE_SSE] = "live_sse",
	[FIELD_EXPERIMENTAL_LIVE_SSE] = "experimental_live_sse",
	[FIELD_LOG] = "log",
	[FIELD_CURSOR] = "cursor",
	[FIELD_SUBSET] = "subset",
	[FIELD_SUBSET_WHERE] = "subset__where",
	[FIELD_SUBSET_ORDER_BY] = "subset__order_by",
	[FIELD_SUBSET_LIMIT] = "subset__limit",
	[FIELD_SUBSET_OFFSET] = "subset__offset",
	[FIELD_SUBSET_PARAMS] = "subset__params",
};
#define SUBSET_PREFIX "subset__"
#define SUBSET_PREFIX_LEN (sizeof SUBSET_PREFIX - 1)

enum form { FORM_ABSENT, FORM_TEXT, FORM_LIST, FORM_MAP, FORM_OTHER };

struct raw_item {
	const char *key; /* of a map; NULL in a list */
	const char *value;
	size_t seq;
	enum field field;
};

struct raw {
	enum form form;
	const char *text;
	size_t since; /* items before this one are overridden */
};

/* ---- the arena: blocks in a list, freed together ---- */

struct block {
	struct block *next;
	size_t used;
	size_t size;
};

struct cu_shape_params_arena {
	struct block *blocks;
	bool failed;
};

#define BLOCK_SIZE_MIN 1024u

static void *arena_alloc(struct cu_shape_params_arena *arena, size_t size)
{
	struct block *block = arena->blocks;
	void *at;

	size = (size + 7) & ~(size_t)7;
	if (!block || block->size - block->used < size) {
		size_t room = CU_MAX(size, BLOCK_SIZE_MIN);

		block = cu_try_malloc(sizeof *block + room);
		if (!block) {
			arena->failed = true;
			return NULL;
		}
		*block = (struct block){ arena->blocks, 0, room };
		arena->blocks = block;
	}
	at = (char *)(block + 1) + block->used;
	block->used += size;
	return at;
}

static char *arena_copy(struct cu_shape_params_arena *arena, const char *text, size_t len)
{
	char *copy = arena_alloc(arena, len + 1);

	if (copy) {
		if (len)
			memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

static const char *arena_text(struct cu_shape_params_arena *arena, const char *text)
{
	return text ? arena_copy(arena, text, strlen(text)) : NULL;
}

/* ---- gathering ---- */

struct gathered {
	struct raw raw[FIELD_COUNT];
	struct raw_item *items;
	size_t items_len;
	size_t items_cap;
	bool has_subset;
	bool failed;
	cu_api_errors *errors;
	struct cu_query query; /* owns the texts from the query */
	json_t *body;          /* owns the texts from the body */
	char *scratch;         /* JSON text of the body's subset params */
	char numbers[2][24];   /* limit and offset of the body's subset */
};

static void gathered_fini(struct gathered *gathered)
{
	free(gathered->items);
	free(gathered->scratch);
	cu_query_fini(&gathered->query);
	json_decref(gathered->body);
}

static void add_item(struct gathered *gathered, enum field field, const char *key, const char *value)
{
	struct raw *raw = &gathered->raw[field];
	enum form form = key ? FORM_MAP : FORM_LIST;

	if (gathered->items_len == gathered->items_cap) {
		size_t cap = gathered->items_cap ? gathered->items_cap * 2 : 16;
		struct raw_item *items = cu_try_realloc(gathered->items, cap * sizeof *items);

		if (!items) {
			gathered->failed = true;
			return;
		}
		gathered->items = items;
		gathered->items_cap = cap;
	}
	if (raw->form != form) {
		*raw = (struct raw){ form, NULL, gathered->items_len };
	}
	gathered->items[gathered->items_len] = (struct raw_item){ key, value, gathered->items_len, field };
	gathered->items_len++;
}

static int find_field(const char *name, size_t len)
{
	for (int i = 0; i < FIELD_COUNT; i++)
		if (strlen(field_names[i]) == len && memcmp(field_names[i], name, len) == 0)
			return i;
	return -1;
}

static void set_text(struct gathered *gathered, enum field field, const char *text)
{
	gathered->raw[field] = (struct raw){ FORM_TEXT, text, 0 };
}

/* name, name[], name[key]; anything deeper has no meaning here and makes the parameter invalid. The key lies in our
 * own buffer, so its closing bracket may become a NUL. */
static void gather_pair(struct gathered *gathered, const struct cu_query_pair *pair)
{
	const char *bracket = memchr(pair->key, '[', pair->key_len);
	size_t name_len = pair->key_len, inner_len = 0;
	bool nul = memchr(pair->value, '\0', pair->value_len) || memchr(pair->key, '\0', pair->key_len);
	char *inner = NULL;
	int field;

	if (bracket && pair->key[pair->key_len - 1] == ']') {
		name_len = (size_t)(bracket - pair->key);
		inner = gathered->query.text + (bracket - gathered->query.text) + 1;
		inner_len = pair->key_len - name_len - 2;
	}
	field = find_field(pair->key, name_len);
	if (pair->key_len >= SUBSET_PREFIX_LEN && memcmp(pair->key, SUBSET_PREFIX, SUBSET_PREFIX_LEN) == 0)
		gathered->has_subset = true;
	if (field == FIELD_SUBSET && inner && inner_len > 0) {
		char name[32];

		/* subset[where]=… is another way to write subset__where=… */
		gathered->has_subset = true;
		snprintf(name, sizeof name, SUBSET_PREFIX "%.*s", (int)CU_MIN(inner_len, (size_t)20), inner);
		field = find_field(name, strlen(name));
		inner = NULL;
	}
	if (field < 0)
		return;
	if (nul || (inner && memchr(inner, '[', inner_len))) {
		/* No text of Postgres holds a NUL. */
		gathered->raw[field] = (struct raw){ FORM_OTHER, NULL, 0 };
	} else if (!inner) {
		set_text(gathered, (enum field)field, pair->value);
	} else {
		inner[inner_len] = '\0';
		add_item(gathered, (enum field)field, inner_len ? inner : NULL, pair->value);
	}
}

static void gather_query(struct gathered *gathered)
{
	for (size_t i = 0; i < gathered->query.len; i++)
		gather_pair(gathered, &gathered->query.pairs[i]);
}

static void gather_json(struct gathered *gathered, enum field field, json_t *value)
{
	struct raw *raw = &gathered->raw[field];
	const char *key;
	json_t *inner;
	size_t i;

	*raw = (struct raw){ FORM_ABSENT, NULL, 0 };
	if (json_is_string(value)) {
		set_text(gathered, field, json_string_value(value));
	} else if (json_is_boolean(value)) {
		set_text(gathered, field, json_is_true(value) ? "true" : "false");
	} else if (field == FIELD_SUBSET_PARAMS && json_is_object(value)) {
		free(gathered->scratch);
		gathered->scratch = json_dumps(value, JSON_COMPACT);
		if (gathered->scratch)
			set_text(gathered, field, gathered->scratch);
		else
			gathered->failed = true;
	} else if (json_is_object(value) && json_object_size(value) > 0) {
		json_object_foreach(value, key, inner)
		{
			if (!json_is_string(inner)) {
				raw->form = FORM_OTHER;
				return;
			}
			add_item(gathered, field, key, json_string_value(inner));
		}
	} else if (json_is_array(value)) {
		raw->form = json_array_size(value) ? FORM_ABSENT : FORM_OTHER;
		json_array_foreach(value, i, inner)
		{
			if (!json_is_string(inner)) {
				raw->form = FORM_OTHER;
				return;
			}
			add_item(gathered, field, NULL, json_string_value(inner));
		}
	} else if (!json_is_null(value) && !json_is_object(value)) {
		raw->form = FORM_OTHER;
	}
}

/* One part of a subset from the body; integers may be given as numbers. */
static void gather_subset_part(struct gathered *gathered, const char *name, json_t *value)
{
	char full[32];
	int field;

	gathered->has_subset = true;
	snprintf(full, sizeof full, SUBSET_PREFIX "%.20s", name);
	field = find_field(full, strlen(full));
	if (field < 0)
		return;
	if (json_is_integer(value) && (field == FIELD_SUBSET_LIMIT || field == FIELD_SUBSET_OFFSET)) {
		char *digits = gathered->numbers[field == FIELD_SUBSET_OFFSET];

		snprintf(digits, sizeof gathered->numbers[0], "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		set_text(gathered, (enum field)field, digits);
	} else if (json_is_boolean(value)) {
		gathered->raw[field] = (struct raw){ FORM_OTHER, NULL, 0 };
	} else {
		gather_json(gathered, (enum field)field, value);
	}
}

static bool is_subset_part(const char *key)
{
	static const char *const parts[] = { "where",  "order_by",   "limit",        "offset",
					     "params", "where_expr", "order_by_expr" };

	for (size_t i = 0; i < CU_ARRAY_LEN(parts); i++)
		if (strcmp(key, parts[i]) == 0)
			return true;
	return false;
}

static int gather_body(struct gathered *gathered, const char *body, size_t len)
{
	json_t *value, *subset;
	json_error_t error;
	const char *key;
	bool nested;

	if (len == 0)
		return 0;
	gathered->body = json_loadb(body, len, JSON_DECODE_ANY, &error);
	if (!gathered->body) {
		if (json_error_code(&error) == json_error_out_of_memory)
			return CU_ENOMEM;
		cu_api_errors_set_unreadable(gathered->errors, "Invalid JSON in request body", error.text);
		return CU_EINVAL;
	}
	if (!json_is_object(gathered->body)) {
		cu_api_errors_set_unreadable(gathered->errors, "Request body must be a JSON object", NULL);
		return CU_EINVAL;
	}
	subset = json_object_get(gathered->body, "subset");
	nested = json_is_object(subset);
	if (nested)
		gathered->has_subset = true;
	json_object_foreach(subset, key, value) gather_subset_part(gathered, key, value);
	json_object_foreach(gathered->body, key, value)
	{
		int field = find_field(key, strlen(key));

		if (!nested && is_subset_part(key))
			gather_subset_part(gathered, key, value);
		else if (field >= 0 && !(nested && field == FIELD_SUBSET))
			gather_json(gathered, (enum field)field, value);
	}
	return 0;
}

/* ---- casting ---- */

struct cast {
	struct gathered *in;
	struct cu_shape_params *out;
	cu_api_errors *errors;
	bool failed; /* out of memory */
};

static bool is_blank(const char *text)
{
	return text[strspn(text, " \t\n\v\f\r")] == '\0';
}

static void complain(struct cast *cast, enum field field, const char *message)
{
	cu_api_errors_add(cast->errors, field_names[field], message);
}

/* The text of a parameter, NULL when it is missing or blank. Another form is a complaint. */
static const char *cast_text(struct cast *cast, enum field field)
{
	const struct raw *raw = &cast->in->raw[field];

	if (raw->form == FORM_ABSENT || (raw->form == FORM_TEXT && is_blank(raw->text)))
		return NULL;
	if (raw->form != FORM_TEXT) {
		complain(cast, field, MSG_INVALID);
		return NULL;
	}
	return arena_text(cast->out->arena, raw->text);
}

/* One of two words; the first is the default. */
static int cast_choice(struct cast *cast, enum field field, const char *first, const char *second)
{
	const struct raw *raw = &cast->in->raw[field];

	if (raw->form == FORM_ABSENT || (raw->form == FORM_TEXT && (is_blank(raw->text) || !strcmp(raw->text, first))))
		return 0;
	if (raw->form == FORM_TEXT && strcmp(raw->text, second) == 0)
		return 1;
	complain(cast, field, MSG_INVALID);
	return 0;
}

/* true, 1, false, 0; anything else is a complaint, under the name of `report`. */
static bool cast_bool(struct cast *cast, enum field field, enum field report)
{
	const struct raw *raw = &cast->in->raw[field];
	const char *text = raw->form == FORM_TEXT ? raw->text : NULL;

	if (raw->form == FORM_ABSENT || (text && is_blank(text)))
		return false;
	if (text && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0))
		return true;
	if (!text || (strcmp(text, "false") != 0 && strcmp(text, "0") != 0))
		complain(cast, report, MSG_INVALID);
	return false;
}

/* live and live_sse are on with whatever value but the word false, as in the original: `live`, `live=1`, `live=0`. */
static bool cast_present(const struct cast *cast, enum field field)
{
	const struct raw *raw = &cast->in->raw[field];

	return raw->form != FORM_ABSENT && !(raw->form == FORM_TEXT && strcmp(raw->text, "false") == 0);
}

/* Turns `count` NUL-terminated names in buf into an array in the arena. */
static const char **copy_names(struct cast *cast, const cu_buf *buf, size_t count)
{
	struct cu_shape_params_arena *arena = cast->out->arena;
	const char **names = arena_alloc(arena, CU_MAX(count, 1u) * sizeof *names);
	char *text = arena_copy(arena, buf->data, buf->len);

	if (!names || !text)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		names[i] = text;
		text += strlen(text) + 1;
	}
	return names;
}

/* columns[]=a&columns[]=b: names as they are, neither quoted nor folded. */
static int list_names(struct cast *cast, enum field field, cu_buf *names, size_t *ret_count, cu_buf *err)
{
	size_t count = 0;

	for (size_t i = cast->in->raw[field].since; i < cast->in->items_len; i++) {
		const struct raw_item *item = &cast->in->items[i];

		if (item->field != field)
			continue;
		if (*item->value == '\0') {
			cu_buf_puts(err, "Invalid zero-length identifier");
			return CU_EINVAL;
		}
		if (++count > CU_COLUMNS_MAX) {
			cu_buf_printf(err, "too many columns (max is %u)", CU_COLUMNS_MAX);
			return CU_EINVAL;
		}
		cu_buf_append(names, item->value, strlen(item->value) + 1);
	}
	*ret_count = count;
	return cu_buf_failed(names) ? CU_ENOMEM : 0;
}

static void cast_columns(struct cast *cast, enum field field, const char ***ret_names, size_t *ret_len)
{
	const struct raw *raw = &cast->in->raw[field];
	cu_buf names = CU_BUF_INIT, err = CU_BUF_INIT;
	size_t count = 0;
	int rc;

	if (raw->form == FORM_ABSENT || (raw->form == FORM_TEXT && is_blank(raw->text)))
		return;
	if (raw->form == FORM_TEXT) {
		rc = cu_columns_parse(raw->text, strlen(raw->text), &names, &count, &err);
	} else if (raw->form == FORM_LIST) {
		rc = list_names(cast, field, &names, &count, &err);
	} else {
		cu_buf_puts(&err, MSG_INVALID);
		rc = CU_EINVAL;
	}
	if (rc == CU_EINVAL)
		complain(cast, field, cu_buf_str(&err));
	else if (rc < 0)
		cast->failed = true;
	else
		*ret_names = copy_names(cast, &names, count);
	if (*ret_names)
		*ret_len = count;
	cu_buf_fini(&names);
	cu_buf_fini(&err);
}

static bool is_number(const char *text)
{
	return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

/* Numbers first, by value; the rest by bytes. */
static int key_cmp(const char *a, const char *b)
{
	bool a_number = is_number(a), b_number = is_number(b);

	if (a_number != b_number)
		return a_number ? -1 : 1;
	if (a_number) {
		const char *a_digits = a + strspn(a, "0"), *b_digits = b + strspn(b, "0");
		size_t a_len = strlen(a_digits), b_len = strlen(b_digits);
		int by_value;

		if (a_len != b_len)
			return a_len < b_len ? -1 : 1;
		by_value = strcmp(a_digits, b_digits);
		if (by_value)
			return by_value;
	}
	return strcmp(a, b);
}

static int item_cmp(const void *a, const void *b)
{
	const struct raw_item *x = a, *y = b;
	int by_key = key_cmp(x->key, y->key);

	return by_key ? by_key : x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Sorts the items of `params` in place (they are the last to be looked at) and copies the last of each key. */
static void cast_param_map(struct cast *cast)
{
	struct gathered *in = cast->in;
	struct cu_shape_params *out = cast->out;
	size_t count = 0;

	for (size_t i = in->raw[FIELD_PARAMS].since; i < in->items_len; i++)
		if (in->items[i].field == FIELD_PARAMS)
			in->items[count++] = in->items[i];
	if (count > 1)
		qsort(in->items, count, sizeof *in->items, item_cmp);
	out->params = arena_alloc(out->arena, CU_MAX(count, 1u) * sizeof *out->params);
	for (size_t i = 0; i < count && out->params; i++) {
		struct cu_text_pair pair;

		if (i + 1 < count && strcmp(in->items[i].key, in->items[i + 1].key) == 0)
			continue;
		pair.key = arena_text(out->arena, in->items[i].key);
		pair.value = arena_text(out->arena, in->items[i].value);
		out->params[out->params_len++] = pair;
	}
}

/* params={"1":"a"}: turned into items, as if they had come one by one. The object must live until they are copied. */
static json_t *params_from_text(struct cast *cast, const char *text)
{
	json_t *object = json_loads(text, JSON_DECODE_ANY, NULL), *value;
	const char *key;

	if (!json_is_object(object)) {
		complain(cast, FIELD_PARAMS, MSG_INVALID);
		json_decref(object);
		return NULL;
	}
	cast->in->raw[FIELD_PARAMS] = (struct raw){ FORM_MAP, NULL, cast->in->items_len };
	json_object_foreach(object, key, value)
	{
		if (json_is_integer(value)) {
			/* A number among texts: as the text of that number. */
			char digits[24];

			snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
			value = json_string(digits);
			json_object_set_new(object, key, value);
		}
		if (!json_is_string(value)) {
			complain(cast, FIELD_PARAMS, MSG_INVALID);
			break;
		}
		add_item(cast->in, FIELD_PARAMS, key, json_string_value(value));
	}
	return object;
}

static void cast_params(struct cast *cast)
{
	const struct raw *raw = &cast->in->raw[FIELD_PARAMS];
	json_t *object = NULL;

	if (raw->form == FORM_ABSENT || (raw->form == FORM_TEXT && is_blank(raw->text)))
		return;
	if (raw->form == FORM_TEXT)
		object = params_from_text(cast, raw->text);
	else if (raw->form != FORM_MAP)
		complain(cast, FIELD_PARAMS, MSG_INVALID);
	if (raw->form == FORM_MAP && !cu_api_errors_has(cast->errors, field_names[FIELD_PARAMS]))
		cast_param_map(cast);
	json_decref(object);
}

/* As cast_text(), but complaints about a subset come after all others, so the form is only noted. */
static const char *cast_subset_part(struct cast *cast, enum field field)
{
	const struct raw *raw = &cast->in->raw[field];

	if (raw->form == FORM_ABSENT || (raw->form == FORM_TEXT && is_blank(raw->text)))
		return NULL;
	if (raw->form == FORM_TEXT)
		return arena_text(cast->out->arena, raw->text);
	cast->out->subset_invalid |= 1u << (field - FIELD_SUBSET_WHERE);
	return NULL;
}

/* subset__params[1]=a: as if it had come as JSON. */
static void subset_params_to_text(struct cast *cast)
{
	struct gathered *in = cast->in;
	json_t *object;

	if (in->raw[FIELD_SUBSET_PARAMS].form != FORM_MAP)
		return;
	object = json_object();
	for (size_t i = in->raw[FIELD_SUBSET_PARAMS].since; i < in->items_len; i++)
		if (in->items[i].field == FIELD_SUBSET_PARAMS)
			json_object_set_new(object, in->items[i].key, json_string(in->items[i].value));
	free(in->scratch);
	in->scratch = object ? json_dumps(object, JSON_COMPACT) : NULL;
	json_decref(object);
	if (in->scratch)
		set_text(in, FIELD_SUBSET_PARAMS, in->scratch);
	else
		cast->failed = true;
}

static void cast_all(struct cast *cast)
{
	struct cu_shape_params *out = cast->out;

	out->table = cast_text(cast, FIELD_TABLE);
	out->offset_text = cast_text(cast, FIELD_OFFSET);
	out->handle = out->handle_sent = cast_text(cast, FIELD_HANDLE);
	out->live = cast_present(cast, FIELD_LIVE);
	out->where = cast_text(cast, FIELD_WHERE);
	cast_columns(cast, FIELD_COLUMNS, &out->columns, &out->columns_len);
	cast_columns(cast, FIELD_QUERYABLE_COLUMNS, &out->queryable_columns, &out->queryable_columns_len);
	out->replica = cast_choice(cast, FIELD_REPLICA, "default", "full") ? CU_REPLICA_FULL : CU_REPLICA_DEFAULT;
	out->experimental_compaction = cast_bool(cast, FIELD_COMPACTION, FIELD_COMPACTION);
	if (cast->in->raw[FIELD_LIVE_SSE].form != FORM_ABSENT)
		out->live_sse = cast_present(cast, FIELD_LIVE_SSE);
	else
		out->live_sse = cast_bool(cast, FIELD_EXPERIMENTAL_LIVE_SSE, FIELD_LIVE_SSE);
	out->log_mode =
		cast_choice(cast, FIELD_LOG, "full", "changes_only") ? CU_LOG_MODE_CHANGES_ONLY : CU_LOG_MODE_FULL;
	if (cast->in->raw[FIELD_CURSOR].form == FORM_TEXT)
		out->cursor = arena_text(out->arena, cast->in->raw[FIELD_CURSOR].text);
	cast_text(cast, FIELD_SUBSET); /* a subset has parts */
	if (cast->in->raw[FIELD_SUBSET].form == FORM_TEXT && !is_blank(cast->in->raw[FIELD_SUBSET].text))
		complain(cast, FIELD_SUBSET, MSG_INVALID);
	out->has_subset = cast->in->has_subset;
	subset_params_to_text(cast);
	out->subset_where = cast_subset_part(cast, FIELD_SUBSET_WHERE);
	out->subset_order_by = cast_subset_part(cast, FIELD_SUBSET_ORDER_BY);
	out->subset_limit = cast_subset_part(cast, FIELD_SUBSET_LIMIT);
	out->subset_offset = cast_subset_part(cast, FIELD_SUBSET_OFFSET);
	out->subset_params = cast_subset_part(cast, FIELD_SUBSET_PARAMS);
	cast_params(cast); /* last: it reorders the items */
	cast->failed |= out->arena->failed || cast->in->failed;
}

/* ---- stages ---- */

static void check_offset(struct cast *cast)
{
	struct cu_shape_params *out = cast->out;
	char text[CU_OFFSET_TEXT_MAX];

	if (strcmp(out->offset_text, "now") == 0) {
		out->offset_kind = CU_OFFSET_KIND_NOW;
		out->offset = CU_OFFSET_BEFORE_ALL;
		return;
	}
	/* "-1_0" is the long form of -1 in the original. */
	if (strcmp(out->offset_text, "-1_0") == 0)
		out->offset_text = "-1";
	if (cu_offset_parse(out->offset_text, strlen(out->offset_text), &out->offset) < 0) {
		complain(cast, FIELD_OFFSET, "has invalid format");
		return;
	}
	out->offset_kind = out->offset.before_all ? CU_OFFSET_KIND_BEFORE_ALL : CU_OFFSET_KIND_AT;
	cu_offset_format(out->offset, text);
	out->offset_text = arena_text(out->arena, text);
}

static void check_handle(struct cast *cast)
{
	struct cu_shape_params *out = cast->out;

	if (out->offset_kind != CU_OFFSET_KIND_AT)
		out->handle = NULL;
	else if (!out->handle)
		complain(cast, FIELD_HANDLE, "can't be blank when offset != -1");
}

static void check_live(struct cast *cast)
{
	const struct cu_shape_params *out = cast->out;

	if (!out->live || out->offset_kind == CU_OFFSET_KIND_AT)
		return;
	complain(cast, FIELD_LIVE,
		 out->offset_kind == CU_OFFSET_KIND_NOW ? "can't be true when offset is 'now'"
							: "can't be true when offset == -1");
}

static void check_live_sse(struct cast *cast)
{
	if (cast->out->live_sse && !cast->out->live)
		complain(cast, FIELD_LIVE_SSE, "can't be true unless live is also true");
}

static void check_table(struct cast *cast)
{
	struct cu_shape_params *out = cast->out;
	cu_buf names = CU_BUF_INIT, err = CU_BUF_INIT;
	const char **both;
	int rc;

	if (!out->table) {
		complain(cast, FIELD_TABLE, MSG_BLANK);
		return;
	}
	rc = cu_relation_parse(out->table, strlen(out->table), &names, &err);
	if (rc == CU_EINVAL) {
		complain(cast, FIELD_TABLE, cu_buf_str(&err));
	} else if (rc < 0) {
		cast->failed = true;
	} else if ((both = copy_names(cast, &names, 2))) {
		out->schema_name = both[0];
		out->table_name = both[1];
	}
	cu_buf_fini(&names);
	cu_buf_fini(&err);
}

static void check_shape(struct cast *cast)
{
	static void (*const stages[])(struct cast * cast) = { check_offset, check_handle, check_live, check_live_sse,
							      check_table };

	if (!cast->out->offset_text && !cu_api_errors_has(cast->errors, field_names[FIELD_OFFSET]))
		complain(cast, FIELD_OFFSET, MSG_BLANK);
	for (size_t i = 0; i < CU_ARRAY_LEN(stages); i++) {
		if (cu_api_errors_any(cast->errors) || cast->failed || cast->out->arena->failed)
			return;
		stages[i](cast);
	}
}

static void check_delete(struct cast *cast)
{
	struct cu_shape_params *out = cast->out;

	/* Without a meaning here, but only their usual values do. */
	cast_bool(cast, FIELD_LIVE, FIELD_LIVE);
	cast_bool(cast, FIELD_LIVE_SSE, FIELD_LIVE_SSE);
	out->offset_kind = CU_OFFSET_KIND_BEFORE_ALL;
	out->offset = CU_OFFSET_BEFORE_ALL;
	out->offset_text = "-1";
	out->live = false;
	out->live_sse = false;
	if (cu_api_errors_any(cast->errors))
		return;
	if (out->table)
		check_table(cast);
	else if (!out->handle)
		complain(cast, FIELD_HANDLE, "can't be blank when shape definition is missing");
}

/* ---- together ---- */

static int cast_gathered(struct gathered *gathered, bool delete, struct cu_shape_params **ret)
{
	struct cu_shape_params_arena *arena = cu_try_zalloc(sizeof *arena);
	struct cu_shape_params *params = cu_try_zalloc(sizeof *params);
	struct cast cast = { gathered, params, gathered->errors, false };
	int rc = CU_ENOMEM;

	if (!arena || !params) {
		free(arena);
		free(params);
		return CU_ENOMEM;
	}
	params->arena = arena;
	cast_all(&cast);
	if (delete)
		check_delete(&cast);
	else
		check_shape(&cast);
	if (cast.failed || arena->failed || gathered->failed)
		goto out;
	rc = cu_api_errors_any(gathered->errors) ? CU_EINVAL : 0;
	if (rc == 0) {
		*ret = params;
		params = NULL;
	}
out:
	cu_shape_params_free(&params);
	return rc;
}

static int parse(const char *query, size_t len, const char *body, size_t body_len, bool delete,
		 struct cu_shape_params **ret, cu_api_errors *errors)
{
	struct gathered gathered = { .errors = errors };
	int rc;

	rc = cu_query_parse(query, len, &gathered.query);
	if (rc == CU_EINVAL)
		cu_api_errors_add(errors, "query", "is not valid percent-encoded UTF-8");
	if (rc < 0)
		goto out;
	gather_query(&gathered);
	if (delete) {
		gathered.raw[FIELD_OFFSET] = (struct raw){ FORM_ABSENT, NULL, 0 };
		gathered.raw[FIELD_EXPERIMENTAL_LIVE_SSE] = (struct raw){ FORM_ABSENT, NULL, 0 };
	}
	rc = gather_body(&gathered, body, body_len);
	if (rc == 0)
		rc = cast_gathered(&gathered, delete, ret);
out:
	gathered_fini(&gathered);
	return rc;
}

int cu_shape_params_parse(const char *query, size_t len, struct cu_shape_params **ret, cu_api_errors *errors)
{
	return parse(query, len, NULL, 0, false, ret, errors);
}

int cu_shape_params_parse_post(const char *query, size_t len, const char *body, size_t body_len,
			       struct cu_shape_params **ret, cu_api_errors *errors)
{
	return parse(query, len, body, body_len, false, ret, errors);
}

int cu_shape_params_parse_delete(const char *query, size_t len, struct cu_shape_params **ret, cu_api_errors *errors)
{
	return parse(query, len, NULL, 0, true, ret, errors);
}

void cu_shape_params_free(struct cu_shape_params **params)
{
	struct block *block, *next;

	if (!*params)
		return;
	for (block = (*params)->arena->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	free((*params)->arena);
	free(*params);
	*params = NULL;
}
