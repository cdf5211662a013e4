/* group.c: from a clause's conditions to index entries, and from a row's columns to routes.
 *
 * Of the conditions that a clause implies, one is chosen: the one that fewest rows meet, as far as its kind tells. The route
 * is entered under that one's keys. A clause without such a condition is evaluated for every row.
 */
#include "router/group.h"

#include "expr/program.h"
#include "value/array.h"

#include <stdlib.h>
#include <xxhash.h>

int cu_group_new(void *key, cu_expr_scope *scope, struct cu_router_group **ret_group)
{
	struct cu_router_group *group = cu_xzalloc(sizeof *group);
	size_t columns_len;
	int rc;

	group->key = key;
	group->scope = cu_expr_scope_ref(scope);
	group->templates = cu_expr_templates_new(scope);
	cu_expr_scope_columns(scope, &columns_len);
	group->rest_columns = cu_try_zalloc((columns_len + 1) * sizeof *group->rest_columns);
	rc = group->rest_columns ? cu_expr_row_init(&group->old_row, scope) : CU_ENOMEM;
	if (rc == 0)
		rc = cu_expr_row_init(&group->new_row, scope);
	if (rc < 0)
		cu_group_free(&group);
	else
		*ret_group = group;
	return rc;
}

/* ---- clauses that stay loaded ---- */

/* Clauses that differ in their constants alone run one program: it is in the processor's cache, theirs would not be. */
struct shared_program {
	cu_program *program;
	size_t uses;
};

static void shared_free(struct shared_program *shared)
{
	cu_program_unref(&shared->program);
	free(shared);
}

/* A clause that stays is added: sharing is a saving, so without memory it keeps its own. */
static void program_share(struct cu_router_group *group, cu_expr *expr)
{
	cu_program *program = cu_expr_program(expr);
	struct shared_program *shared = cu_map_get(&group->programs, cu_program_hash(program));

	if (!shared) {
		shared = cu_try_zalloc(sizeof *shared);
		if (!shared)
			return;
		shared->program = cu_program_ref(program);
		cu_map_put(&group->programs, cu_program_hash(program), shared);
	} else if (cu_program_equal(shared->program, program)) {
		cu_expr_use_program(expr, shared->program);
	}
	shared->uses += shared->program == cu_expr_program(expr);
}

static void program_unshare(struct cu_router_group *group, const cu_expr *expr)
{
	cu_program *program = cu_expr_program(expr);
	struct shared_program *shared = cu_map_get(&group->programs, cu_program_hash(program));

	if (!shared || shared->program != program || --shared->uses > 0)
		return;
	cu_map_del(&group->programs, cu_program_hash(program));
	shared_free(shared);
}

static void rest_columns_count(struct cu_router_group *group, const cu_expr *expr, uint32_t more)
{
	size_t len;
	const uint16_t *columns = cu_expr_columns(expr, &len);

	for (size_t i = 0; i < len; i++)
		group->rest_columns[columns[i]] += more;
}

static void index_fini(struct cu_column_index *index)
{
	cu_postings_fini(&index->postings);
	cu_ranges_fini(&index->ranges);
	free(index->lengths);
}

void cu_group_free(struct cu_router_group **ref)
{
	struct cu_router_group *group = *ref;
	struct shared_program *shared;

	if (!group)
		return;
	*ref = NULL;
	for (size_t i = 0; i < group->indexes_len; i++)
		index_fini(&group->indexes[i]);
	free(group->indexes);
	cu_posting_fini(&group->every);
	cu_posting_fini(&group->rest);
	for (size_t i = 0; (shared = cu_map_next(&group->programs, &i));)
		shared_free(shared);
	cu_map_fini(&group->programs);
	free(group->rest_columns);
	cu_buf_fini(&group->entry);
	cu_expr_row_fini(&group->old_row);
	cu_expr_row_fini(&group->new_row);
	cu_expr_templates_free(&group->templates);
	cu_expr_scope_unref(&group->scope);
	free(group);
}

/* ---- choosing ---- */

static bool choose(const struct cu_conditions *conditions, const struct cu_condition **ret_condition);

/* How few rows meet a condition of this kind, by experience; 0: no index serves it. */
static unsigned selectivity(const struct cu_condition *condition)
{
	const struct cu_condition *ignored;

	switch (condition->kind) {
	case CU_COND_EQUAL: return condition->values_len <= 1 ? 100 : condition->values_len <= 8 ? 90 : 80;
	case CU_COND_CONTAINS: return condition->values_len ? 85 : 0;
	case CU_COND_OVERLAPS: return 75;
	case CU_COND_PREFIX: return condition->values[0].len ? 70 : 0;
	case CU_COND_RANGE: return condition->has_lower && condition->has_upper ? 60 : 30;
	case CU_COND_NULL: return 40;
	case CU_COND_ANY:
		for (size_t i = 0; i < condition->alternatives_len; i++) {
			if (!choose(&condition->alternatives[i], &ignored))
				return 0;
		}
		return 50;
	}
	return 0;
}

static bool choose(const struct cu_conditions *conditions, const struct cu_condition **ret_condition)
{
	unsigned best = 0;

	for (size_t i = 0; i < conditions->all_len; i++) {
		unsigned is = selectivity(&conditions->all[i]);

		if (is > best) {
			best = is;
			*ret_condition = &conditions->all[i];
		}
	}
	return best > 0;
}

/* ---- entering ---- */

/* Adding or removing one route. The same walk over its keys does both, so what was entered is found again. */
struct change {
	struct cu_router_group *group;
	cu_route *route;
	bool add;
	bool alone;   /* one key: one posting */
	bool told;    /* each key by its hash alone */
	size_t done;  /* keys entered or removed so far */
	size_t limit; /* of keys: those that had been entered when adding failed */
	int rc;
};

static struct cu_column_index *index_for(struct change *change, enum cu_column_index_kind kind, uint16_t column,
					 const struct cu_type *type, const struct cu_collation *collation)
{
	struct cu_router_group *group = change->group;
	struct cu_column_index *indexes, *index;

	for (size_t i = 0; i < group->indexes_len; i++) {
		index = &group->indexes[i];
		if (index->kind == kind && index->column == column &&
		    (kind == CU_INDEX_NULL || (index->type == type && index->collation == collation)))
			return index;
	}
	if (!change->add)
		return NULL;
	indexes = cu_try_realloc(group->indexes, (group->indexes_len + 1) * sizeof *indexes);
	if (!indexes) {
		change->rc = CU_ENOMEM;
		return NULL;
	}
	group->indexes = indexes;
	index = &indexes[group->indexes_len++];
	*index = (struct cu_column_index){ .kind = kind, .column = column, .type = type, .collation = collation };
	cu_ranges_init(&index->ranges, type, collation);
	return index;
}

static struct cu_column_index *index_of(struct change *change, enum cu_column_index_kind kind,
					const struct cu_condition *condition)
{
	return index_for(change, kind, condition->column, condition->type, condition->collation);
}

static void count(struct change *change, struct cu_column_index *index, int rc)
{
	if (rc < 0) {
		change->rc = rc;
		return;
	}
	change->done++;
	if (change->add) {
		index->entries++;
		return;
	}
	if (--index->entries > 0)
		return;
	index_fini(index);
	*index = change->group->indexes[--change->group->indexes_len];
}

static uint64_t hash_of_key(const cu_buf *key)
{
	return XXH3_64bits(key->data, key->len);
}

/* A key of as many bytes as its hash has: XXH3 permutes them (it xors what it can shift back, and multiplies by odd numbers), so no other
 * key of this length has that hash. */
static bool is_told(const cu_buf *key)
{
	return key->len == sizeof(uint64_t);
}

static void posting_change(struct change *change, struct cu_column_index *index, uint64_t hash)
{
	int rc;

	if (change->add)
		rc = cu_postings_add(&index->postings, hash, change->route, change->alone);
	else
		rc = cu_postings_remove(&index->postings, hash, change->route, change->alone) ? 0 : CU_ENOTFOUND;
	count(change, index, rc);
}

/* A prefix length is used once more, or once less. */
static int length_change(struct change *change, struct cu_column_index *index, uint32_t len)
{
	struct cu_prefix_length *lengths;
	size_t at;

	for (at = 0; at < index->lengths_len && index->lengths[at].len < len; at++)
		;
	if (at < index->lengths_len && index->lengths[at].len == len) {
		index->lengths[at].uses += change->add ? 1u : -1u;
		if (index->lengths[at].uses == 0) {
			index->lengths_len--;
			memmove(&index->lengths[at], &index->lengths[at + 1],
				(index->lengths_len - at) * sizeof *index->lengths);
		}
		return 0;
	}
	if (!change->add)
		return CU_ENOTFOUND;
	lengths = cu_try_realloc(index->lengths, (index->lengths_len + 1) * sizeof *lengths);
	if (!lengths)
		return CU_ENOMEM;
	index->lengths = lengths;
	memmove(&lengths[at + 1], &lengths[at], (index->lengths_len - at) * sizeof *lengths);
	lengths[at] = (struct cu_prefix_length){ len, 1 };
	index->lengths_len++;
	return 0;
}

/* One key of a condition. */
static void key_change(struct change *change, const struct cu_condition *condition, const struct cu_datum *value)
{
	enum cu_column_index_kind kind = condition->kind == CU_COND_EQUAL ? CU_INDEX_EQUAL : CU_INDEX_ELEMENT;
	struct cu_column_index *index = index_of(change, kind, condition);

	if (!index)
		return;
	cu_buf_clear(&change->group->entry);
	change->rc = cu_value_put_key(condition->type, condition->collation, value, &change->group->entry);
	if (change->rc == 0 && cu_buf_failed(&change->group->entry))
		change->rc = CU_ENOMEM;
	change->told &= is_told(&change->group->entry);
	if (change->rc == 0)
		posting_change(change, index, hash_of_key(&change->group->entry));
}

static void prefix_change(struct change *change, const struct cu_condition *condition)
{
	struct cu_column_index *index = index_of(change, CU_INDEX_PREFIX, condition);
	const struct cu_datum *prefix = &condition->values[0];

	if (!index)
		return;
	change->rc = length_change(change, index, prefix->len);
	if (change->rc < 0)
		return;
	posting_change(change, index, XXH3_64bits(prefix->bytes, prefix->len));
	if (change->rc == CU_ENOMEM) {
		change->add = false;
		length_change(change, index, prefix->len);
		change->add = true;
	}
}

static void range_change(struct change *change, const struct cu_condition *condition)
{
	struct cu_column_index *index = index_of(change, CU_INDEX_RANGE, condition);

	if (!index)
		return;
	if (change->add)
		count(change, index, cu_ranges_add(&index->ranges, condition, change->route));
	else
		count(change, index, cu_ranges_remove(&index->ranges, condition, change->route) ? 0 : CU_ENOTFOUND);
}

static bool is_going_on(const struct change *change)
{
	return change->rc == 0 && change->done < change->limit;
}

static void condition_change(struct change *change, const struct cu_condition *condition)
{
	const struct cu_condition *inner;
	struct cu_column_index *index;

	switch (condition->kind) {
	case CU_COND_CONTAINS: /* whoever holds all of them holds the first */
		key_change(change, condition, &condition->values[0]);
		break;
	case CU_COND_EQUAL:
	case CU_COND_OVERLAPS:
		for (size_t i = 0; i < condition->values_len && is_going_on(change); i++)
			key_change(change, condition, &condition->values[i]);
		break;
	case CU_COND_PREFIX: prefix_change(change, condition); break;
	case CU_COND_RANGE: range_change(change, condition); break;
	case CU_COND_NULL:
		index = index_of(change, CU_INDEX_NULL, condition);
		if (index)
			posting_change(change, index, 0);
		break;
	case CU_COND_ANY:
		for (size_t i = 0; i < condition->alternatives_len && is_going_on(change); i++) {
			if (choose(&condition->alternatives[i], &inner))
				condition_change(change, inner);
		}
		break;
	}
}

/* Is the route entered under one key? Then its posting remembers its place. */
static bool is_alone(const struct cu_condition *condition)
{
	return condition->kind != CU_COND_ANY &&
	       (condition->values_len == 1 || condition->kind == CU_COND_CONTAINS || condition->kind == CU_COND_NULL);
}

/* The column's own type and collation, as those of a stored key are. */
static const struct cu_expr_column *column_of(const struct cu_router_group *group, uint16_t column)
{
	size_t len;
	const struct cu_expr_column *columns = cu_expr_scope_columns(group->scope, &len);

	return column < len ? &columns[column] : NULL;
}

/* One hash key, of the column's own type: then the key is all there is to know until a row has it. */
static bool is_one_key(const struct cu_router_group *group, const struct cu_condition *condition)
{
	const struct cu_expr_column *column = column_of(group, condition->column);

	return condition->kind == CU_COND_EQUAL && condition->values_len == 1 && condition->type == column->type &&
	       condition->collation == column->collation;
}

static void key_change_stored(struct change *change, const struct cu_route_key *key)
{
	const struct cu_expr_column *column = column_of(change->group, key->column);
	struct cu_column_index *index = index_for(change, CU_INDEX_EQUAL, key->column, column->type, column->collation);

	if (index)
		posting_change(change, index, key->hash);
}

/* Is a row that an index finds for sure by this condition one for which the clause is TRUE? */
static bool is_whole(const struct cu_conditions *conditions, const struct cu_condition *condition, bool told)
{
	if (!conditions->exact || conditions->all_len != 1)
		return false;
	switch (condition->kind) {
	case CU_COND_RANGE:
	case CU_COND_NULL: return true;
	case CU_COND_EQUAL:
	case CU_COND_OVERLAPS: return told;
	case CU_COND_CONTAINS: return told && condition->values_len == 1;
	case CU_COND_PREFIX:
	case CU_COND_ANY: return false;
	}
	return false;
}

static int add_by_condition(struct cu_router_group *group, cu_route *route, struct cu_route_key *ret_key)
{
	struct change change = { .group = group, .route = route, .add = true, .told = true, .limit = SIZE_MAX };
	const struct cu_conditions *conditions = cu_expr_conditions(route->expr);
	const struct cu_condition *condition;

	if (!choose(conditions, &condition)) {
		change.rc = cu_posting_add(&group->rest, route, true);
		if (change.rc == 0)
			rest_columns_count(group, route->expr, 1);
		return change.rc;
	}
	change.alone = is_alone(condition);
	condition_change(&change, condition);
	if (change.rc < 0) {
		/* Half of its keys is no subscription: those that were entered go again. */
		struct change undo = { .group = group, .route = route, .alone = change.alone, .limit = change.done };

		if (undo.limit)
			condition_change(&undo, condition);
	} else if (is_one_key(group, condition)) {
		*ret_key = (struct cu_route_key){ true, condition->column, hash_of_key(&group->entry) };
	}
	route->sleeps = ret_key->known || (change.rc == 0 && condition->kind == CU_COND_PREFIX);
	route->exact = change.rc == 0 && is_whole(conditions, condition, change.told);
	return change.rc;
}

static int add_by_key(struct cu_router_group *group, cu_route *route, const struct cu_route_key *key)
{
	struct change change = { .group = group, .route = route, .add = true, .alone = true, .limit = SIZE_MAX };

	if (!column_of(group, key->column) || !column_of(group, key->column)->type)
		return CU_EINVAL;
	key_change_stored(&change, key);
	return change.rc;
}

int cu_group_add(struct cu_router_group *group, cu_route *route, struct cu_route_key *route_key)
{
	bool stored = route_key->known;
	int rc = 0;

	route->exact = false;
	route->sleeps = stored;
	if (!route->where) {
		rc = cu_posting_add(&group->every, route, true);
	} else if (stored) {
		rc = add_by_key(group, route, route_key);
	} else {
		if (!route->expr)
			rc = cu_expr_new(group->scope, route->where, strlen(route->where), NULL, 0, &route->expr, NULL);
		if (rc == 0)
			rc = add_by_condition(group, route, route_key);
	}
	if (rc < 0)
		return rc;
	if (route->sleeps)
		cu_expr_unref(&route->expr);
	else if (route->expr)
		program_share(group, route->expr);
	group->routes++;
	return 0;
}

/* A sleeper whose clause cannot be parsed again, or has another key by now than the one that was stored: everywhere. A
 * route that stayed would outlive its shape. How long its prefix was is not known any more: one length too many may be probed
 * until the index goes. */
static bool remove_everywhere(struct cu_router_group *group, cu_route *route)
{
	bool found = false;

	for (size_t i = group->indexes_len; i-- > 0;) {
		struct cu_column_index *index = &group->indexes[i];
		struct cu_posting posting;
		uint64_t hash;

		for (size_t k = 0; cu_postings_next(&index->postings, &k, &hash, &posting);) {
			if (!cu_postings_remove(&index->postings, hash, route, false))
				continue;
			index->entries--;
			found = true;
			/* The table has changed: from its beginning again. */
			k = 0;
		}
		if (index->entries == 0) {
			index_fini(index);
			*index = group->indexes[--group->indexes_len];
		}
	}
	return found;
}

bool cu_group_remove(struct cu_router_group *group, cu_route *route, const cu_expr *parsed)
{
	struct change change = { .group = group, .route = route, .limit = SIZE_MAX };
	const cu_expr *expr = route->sleeps ? parsed : route->expr;
	const struct cu_condition *condition;
	bool found;

	if (!route->where) {
		found = cu_posting_remove(&group->every, route, true);
	} else if (!expr) {
		found = remove_everywhere(group, route);
	} else if (!choose(cu_expr_conditions(expr), &condition)) {
		found = cu_posting_remove(&group->rest, route, true);
		if (found)
			rest_columns_count(group, expr, -1u);
	} else {
		change.alone = is_alone(condition);
		condition_change(&change, condition);
		found = change.rc == 0 && change.done > 0;
	}
	if (!found && route->sleeps)
		found = remove_everywhere(group, route);
	if (found && !route->sleeps && route->expr) {
		program_unshare(group, route->expr);
		cu_expr_unref(&route->expr);
	}
	group->routes -= found;
	return found;
}

/* ---- finding ---- */

struct finder {
	cu_buf *key;
	cu_route_found *found;
	void *ctx;
};

static int posting_each(const struct finder *finder, struct cu_posting posting, bool sure)
{
	cu_route *const *list = cu_posting_list(&posting);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < posting.len; i++)
		rc = finder->found(finder->ctx, list[i], sure);
	return rc;
}

static int find_all(const struct finder *finder, const struct cu_column_index *index)
{
	struct cu_posting posting;
	uint64_t hash;
	int rc = 0;

	if (index->kind == CU_INDEX_RANGE)
		return cu_ranges_each(&index->ranges, finder->found, finder->ctx);
	for (size_t i = 0; rc == 0 && cu_postings_next(&index->postings, &i, &hash, &posting);)
		rc = posting_each(finder, posting, false);
	return rc;
}

static int key_make(const struct finder *finder, const struct cu_column_index *index, const struct cu_datum *value,
		    struct cu_index_key *ret_key)
{
	int rc;

	cu_buf_clear(finder->key);
	rc = cu_value_put_key(index->type, index->collation, value, finder->key);
	if (rc == CU_ENOMEM || cu_buf_failed(finder->key))
		return CU_ENOMEM;
	ret_key->known = rc == 0;
	if (ret_key->known) {
		ret_key->hash = hash_of_key(finder->key);
		ret_key->told = is_told(finder->key);
	}
	return 0;
}

static int find_key(const struct finder *finder, const struct cu_column_index *index, const struct cu_index_key *key)
{
	/* A value without a key could be anybody's. */
	if (!key->known)
		return find_all(finder, index);
	return posting_each(finder, cu_postings_find(&index->postings, key->hash), key->told);
}

static int find_element(const struct finder *finder, const struct cu_column_index *index, const struct cu_datum *value)
{
	struct cu_index_key key;
	int rc = 0;

	if (value->is_null)
		return 0;
	rc = key_make(finder, index, value, &key);
	return rc < 0 ? rc : find_key(finder, index, &key);
}

/* before: the old row's value where this is the new row's, or NULL. They are often one and the same (cu_expr_row.like), and
 * then the index still has its key. */
static int find_equal(const struct finder *finder, struct cu_column_index *index, const struct cu_datum *value,
		      const struct cu_datum *before)
{
	bool same = before && !before->is_null && before->len == value->len && before->integer == value->integer;
	int rc = same ? 0 : key_make(finder, index, value, &index->key);

	return rc < 0 ? rc : find_key(finder, index, &index->key);
}

static int find_prefix(const struct finder *finder, const struct cu_column_index *index, const struct cu_datum *value)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < index->lengths_len && index->lengths[i].len <= value->len; i++) {
		uint64_t hash = XXH3_64bits(value->bytes, index->lengths[i].len);

		rc = posting_each(finder, cu_postings_find(&index->postings, hash), false);
	}
	return rc;
}

static int find_in(const struct finder *finder, struct cu_column_index *index, const struct cu_datum *value,
		   const struct cu_datum *before)
{
	int rc = 0;

	if (index->kind == CU_INDEX_NULL)
		return value->is_null ? posting_each(finder, cu_postings_find(&index->postings, 0), true) : 0;
	if (value->is_null)
		return 0;
	switch (index->kind) {
	case CU_INDEX_EQUAL: return find_equal(finder, index, value, before);
	case CU_INDEX_PREFIX: return find_prefix(finder, index, value);
	case CU_INDEX_RANGE: return cu_ranges_find(&index->ranges, value, finder->found, finder->ctx);
	case CU_INDEX_ELEMENT:
		for (uint32_t i = 0; rc == 0 && i < value->array->len; i++)
			rc = find_element(finder, index, &value->array->elems[i]);
		return rc;
	case CU_INDEX_NULL: break;
	}
	return 0;
}

int cu_group_find(struct cu_router_group *group, struct cu_expr_row *row, cu_buf *scratch, cu_route_found *found,
		  void *ctx)
{
	struct finder finder = { scratch, found, ctx };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < group->indexes_len; i++) {
		struct cu_column_index *index = &group->indexes[i];
		const struct cu_expr_row *like = row->like;
		const struct cu_datum *value, *before;
		struct cu_value_error error;

		rc = cu_expr_row_column(row, index->column, &value, &error);
		before = like && like->decoded[index->column] == 1 ? &like->datums[index->column] : NULL;
		if (rc == 0)
			rc = find_in(&finder, index, value, before);
		else if (rc != CU_ENOMEM)
			rc = find_all(&finder, index);
	}
	return rc;
}
