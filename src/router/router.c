/* router.c: tables, their groups, and the matches of one change. */
#include "router/router.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "router/crew.h"
#include "router/group.h"

#include <pthread.h>
#include <stdlib.h>

struct hot_list {
	cu_route **list;
	uint32_t len, cap;
};

struct cu_router {
	pthread_rwlock_t lock;
	cu_map tables; /* oid → first group */

	/* collector only, under the read lock */
	struct cu_router_match *matches;
	size_t matches_len, matches_cap;
	cu_arena errors; /* of the matches that failed: beside them, for there may be thousands that did not */
	cu_buf key;
	cu_crew *crew;
	uint8_t *truths; /* of a group's `rest` */
	size_t truths_cap;

	/* under either lock's holder: the collector adds, a removal (write lock) takes out */
	struct hot_list hot[2]; /* sleepers whose clauses are loaded: those that load cheaply, those that are costly */
};

static const uint32_t hot_max[] = { CU_ROUTER_HOT_CHEAP_MAX, CU_ROUTER_HOT_MAX };

cu_router *cu_router_new(void)
{
	return cu_router_new_with(0);
}

cu_router *cu_router_new_with(unsigned helpers)
{
	cu_router *router = cu_xzalloc(sizeof *router);

	router->crew = cu_crew_new(helpers);
	CU_ASSERT(pthread_rwlock_init(&router->lock, NULL) == 0);
	return router;
}

void cu_router_free(cu_router **ref)
{
	cu_router *router = *ref;
	struct cu_router_group *group;

	if (!router)
		return;
	*ref = NULL;
	for (size_t i = 0; (group = cu_map_next(&router->tables, &i));) {
		while (group) {
			struct cu_router_group *next = group->next;

			cu_group_free(&group);
			group = next;
		}
	}
	cu_map_fini(&router->tables);
	free(router->hot[0].list);
	free(router->hot[1].list);
	free(router->matches);
	cu_arena_fini(&router->errors);
	cu_buf_fini(&router->key);
	cu_crew_free(&router->crew);
	free(router->truths);
	pthread_rwlock_destroy(&router->lock);
	free(router);
}

static struct cu_router_group *group_find(const cu_router *router, uint32_t table_oid, const void *key)
{
	struct cu_router_group *group = cu_map_get(&router->tables, table_oid);

	while (group && group->key != key)
		group = group->next;
	return group;
}

static void group_unlink(cu_router *router, uint32_t table_oid, struct cu_router_group *group)
{
	struct cu_router_group *first = cu_map_get(&router->tables, table_oid), **at = &first;

	while (*at != group)
		at = &(*at)->next;
	*at = group->next;
	if (first)
		cu_map_put(&router->tables, table_oid, first);
	else
		cu_map_del(&router->tables, table_oid);
	cu_group_free(&group);
}

int cu_router_add(cu_router *router, uint32_t table_oid, void *key, cu_expr_scope *scope, cu_route *route,
		  struct cu_route_key *route_key)
{
	struct cu_router_group *group;
	int rc = 0;

	pthread_rwlock_wrlock(&router->lock);
	if (route->listed)
		goto out;
	group = group_find(router, table_oid, key);
	if (!group) {
		rc = cu_group_new(key, scope, &group);
		if (rc < 0)
			goto out;
		group->next = cu_map_get(&router->tables, table_oid);
		cu_map_put(&router->tables, table_oid, group);
	}
	rc = cu_group_add(group, route, route_key);
	route->listed = rc == 0;
	if (group->routes == 0)
		group_unlink(router, table_oid, group);
out:
	pthread_rwlock_unlock(&router->lock);
	return rc;
}

/* A sleeper's clause is not loaded any more. */
static void cool(cu_router *router, cu_route *route)
{
	struct hot_list *hot = &router->hot[route->costly];
	cu_route *last;

	if (!route->sleeps || !route->expr)
		return;
	cu_expr_unref(&route->expr);
	last = hot->list[--hot->len];
	hot->list[route->hot] = last;
	last->hot = route->hot;
}

/* The clause of one that sleeps, for its keys; parsed while nobody waits. NULL: it does not sleep, or cannot be parsed. */
static cu_expr *sleeper_parse(cu_router *router, uint32_t table_oid, void *key, const cu_route *route)
{
	struct cu_router_group *group;
	cu_expr_scope *scope = NULL;
	cu_expr *expr = NULL;

	pthread_rwlock_rdlock(&router->lock);
	group = group_find(router, table_oid, key);
	if (group && route->listed && route->sleeps)
		scope = cu_expr_scope_ref(group->scope);
	pthread_rwlock_unlock(&router->lock);
	if (scope && cu_expr_new(scope, route->where, strlen(route->where), NULL, 0, &expr, NULL) < 0)
		expr = NULL;
	cu_expr_scope_unref(&scope);
	return expr;
}

int cu_router_remove(cu_router *router, uint32_t table_oid, void *key, cu_route *route)
{
	cu_expr *parsed = sleeper_parse(router, table_oid, key, route);
	struct cu_router_group *group;
	bool removed;

	pthread_rwlock_wrlock(&router->lock);
	group = group_find(router, table_oid, key);
	removed = route->listed && group;
	if (removed) {
		cool(router, route);
		removed = cu_group_remove(group, route, parsed);
	}
	if (removed)
		route->listed = false;
	if (removed && group->routes == 0)
		group_unlink(router, table_oid, group);
	pthread_rwlock_unlock(&router->lock);
	cu_expr_unref(&parsed);
	return removed ? 0 : CU_ENOTFOUND;
}

void cu_router_read_lock(cu_router *router)
{
	pthread_rwlock_rdlock(&router->lock);
}

void cu_router_read_unlock(cu_router *router)
{
	pthread_rwlock_unlock(&router->lock);
}

struct cu_router_group *cu_router_groups(cu_router *router, uint32_t table_oid)
{
	return cu_map_get(&router->tables, table_oid);
}

struct cu_router_group *cu_router_group_next(const struct cu_router_group *group)
{
	return group->next;
}

void *cu_router_group_key(const struct cu_router_group *group)
{
	return group->key;
}

/* ---- matching ---- */

/* The route's match of this change, or NULL. A stale place belongs to somebody else, so none needs to be cleared. */
static struct cu_router_match *match_find(cu_router *router, const cu_route *route)
{
	struct cu_router_match *match = router->matches + route->match;

	return route->match < router->matches_len && match->route == route ? match : NULL;
}

/* The same, made when there is none yet. NULL: out of memory. */
static struct cu_router_match *match_of(cu_router *router, cu_route *route)
{
	struct cu_router_match *matches = match_find(router, route);
	size_t cap;

	if (matches)
		return matches;
	if (router->matches_len == router->matches_cap) {
		cap = router->matches_cap ? router->matches_cap * 2 : 64;
		matches = cu_try_realloc(router->matches, cap * sizeof *matches);
		if (!matches)
			return NULL;
		router->matches = matches;
		router->matches_cap = cap;
	}
	route->match = (uint32_t)router->matches_len;
	matches = &router->matches[router->matches_len++];
	matches->route = route;
	matches->old_in = matches->new_in = matches->failed = false;
	matches->error = NULL;
	return matches;
}

/* Those that were not used since the last sweep go to sleep; if all were, half of them. */
static void sweep(cu_router *router, struct hot_list *hot)
{
	uint32_t before = hot->len;

	for (uint32_t i = hot->len; i-- > 0;) {
		if (hot->list[i]->used)
			hot->list[i]->used = false;
		else
			cool(router, hot->list[i]);
	}
	while (hot->len > before / 2)
		cool(router, hot->list[hot->len - 1]);
}

/* The route's clause has been loaded. */
static int hot_add(cu_router *router, cu_route *route)
{
	struct hot_list *hot = &router->hot[route->costly];

	if (hot->len == hot_max[route->costly])
		sweep(router, hot);
	if (hot->len == hot->cap) {
		uint32_t cap = hot->cap ? hot->cap * 2 : 64;
		cu_route **list = cu_try_realloc(hot->list, cap * sizeof(*list));

		if (!list)
			return CU_ENOMEM;
		hot->list = list;
		hot->cap = cap;
	}
	route->hot = hot->len;
	hot->list[hot->len++] = route;
	return 0;
}

/* Loads a sleeper's clause. CU_EINVAL: it cannot be read. */
static int warm(cu_router *router, struct cu_router_group *group, cu_route *route)
{
	uint64_t parsed = cu_expr_templates_parsed(group->templates);
	int rc;

	route->used = true;
	if (route->expr)
		return 0;
	rc = cu_expr_templates_load(group->templates, route->where, strlen(route->where), &route->expr);
	if (rc < 0)
		return rc;
	route->costly = cu_expr_templates_parsed(group->templates) != parsed;
	rc = hot_add(router, route);
	if (rc < 0)
		cu_expr_unref(&route->expr);
	return rc;
}

/* One row of the change. */
struct matching {
	cu_router *router;
	struct cu_router_group *group;
	struct cu_expr_row *row;
	bool is_new;
};

static int match_true(struct matching *matching, cu_route *route)
{
	struct cu_router_match *match = match_of(matching->router, route);

	if (!match)
		return CU_ENOMEM;
	if (matching->is_new)
		match->new_in = true;
	else
		match->old_in = true;
	return 0;
}

static int match_failed(struct matching *matching, cu_route *route, const struct cu_value_error *error)
{
	cu_router *router = matching->router;
	struct cu_router_match *match = match_of(router, route);

	if (!match)
		return CU_ENOMEM;
	match->failed = true;
	match->error = cu_arena_copy(&router->errors, error, sizeof *error);
	return match->error ? 0 : CU_ENOMEM;
}

static int match_by_clause(struct matching *matching, cu_route *route)
{
	struct cu_value_error error;
	enum cu_truth truth;
	int rc = 0;

	if (route->sleeps)
		rc = warm(matching->router, matching->group, route);
	if (rc == CU_ENOMEM)
		return rc;
	truth = rc == 0 ? cu_expr_eval(route->expr, matching->row, &error) : CU_FAILED;
	if (rc < 0)
		cu_value_fail(&error, "XX001", "the stored where clause cannot be read");
	if (truth == CU_FAILED)
		return match_failed(matching, route, &error);
	return truth == CU_TRUE ? match_true(matching, route) : 0;
}

static int match_candidate(void *ctx, cu_route *route, bool sure)
{
	struct matching *matching = ctx;
	const struct cu_router_match *match = match_find(matching->router, route);

	/* It came by another of its keys already. */
	if (match && (match->failed || (matching->is_new ? match->new_in : match->old_in)))
		return 0;
	if (sure && route->exact)
		return match_true(matching, route);
	if (route->sleeps && !route->expr &&
	    cu_expr_templates_is_met(matching->group->templates, route->where, strlen(route->where), matching->row))
		return match_true(matching, route);
	return match_by_clause(matching, route);
}

/* The same once helpers have evaluated it. A clause that fails is looked at again: its error counts. */
static int match_evaluated(struct matching *matching, cu_route *route, enum cu_truth truth)
{
	if (truth == CU_FAILED)
		return match_by_clause(matching, route);
	return truth == CU_TRUE ? match_true(matching, route) : 0;
}

/* Decodes what the clauses of `rest` look at: helpers share the columns, so none may decode any. One that cannot be read fails
 * those that need it. */
static int rest_columns_read(const struct cu_router_group *group, struct cu_expr_row *row)
{
	struct cu_value_error ignored;
	const struct cu_datum *datum;
	size_t len;

	cu_expr_scope_columns(group->scope, &len);
	for (unsigned i = 0; i < len; i++) {
		if (group->rest_columns[i] && cu_expr_row_column(row, i, &datum, &ignored) == CU_ENOMEM)
			return CU_ENOMEM;
	}
	return 0;
}

/* The clauses that no index serves, from `from` on: by all threads there are. */
static int match_rest_together(struct matching *matching, uint32_t from)
{
	cu_router *router = matching->router;
	cu_route *const *list = cu_posting_list(&matching->group->rest);
	uint32_t len = matching->group->rest.len;
	int rc = rest_columns_read(matching->group, matching->row);

	if (rc < 0)
		return rc;
	if (len > router->truths_cap) {
		free(router->truths);
		router->truths = cu_try_malloc(len);
		router->truths_cap = router->truths ? len : 0;
	}
	if (!router->truths)
		return CU_ENOMEM;
	cu_crew_eval(router->crew, matching->row, list + from, len - from, router->truths + from);
	for (uint32_t i = from; rc == 0 && i < len; i++)
		rc = match_evaluated(matching, list[i], router->truths[i]);
	return rc;
}

static int match_rest(struct matching *matching)
{
	const struct cu_posting *rest = &matching->group->rest;
	cu_route *const *list = cu_posting_list(rest);
	bool together = rest->len > CU_ROUTER_ALONE && !cu_crew_is_alone(matching->router->crew);
	uint32_t alone = together ? CU_ROUTER_ALONE : rest->len, i = 0;
	uint64_t start = together ? cu_now_ns() : 0;
	int rc = 0;

	/* Waking others costs more than a few clauses: the first ones tell how much there is to share. */
	for (; rc == 0 && i < alone; i++)
		rc = match_by_clause(matching, list[i]);
	if (rc < 0 || !together)
		return rc;
	if ((cu_now_ns() - start) * (rest->len - alone) / alone >= CU_ROUTER_HELP_NS)
		return match_rest_together(matching, alone);
	for (; rc == 0 && i < rest->len; i++)
		rc = match_by_clause(matching, list[i]);
	return rc;
}

static int match_row(cu_router *router, struct cu_router_group *group, struct cu_expr_row *row,
		     const struct cu_pg_value *values, bool is_new)
{
	struct matching matching = { router, group, row, is_new };
	cu_route *const *list = cu_posting_list(&group->every);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < group->every.len; i++)
		rc = match_true(&matching, list[i]);
	if (rc < 0 || group->routes == group->every.len)
		return rc;
	cu_expr_row_set(row, values);
	rc = cu_group_find(group, row, &router->key, match_candidate, &matching);
	return rc < 0 ? rc : match_rest(&matching);
}

int cu_router_match(cu_router *router, struct cu_router_group *group, const struct cu_pg_value *old_row,
		    const struct cu_pg_value *new_row, const struct cu_router_match **ret_matches, size_t *ret_len)
{
	int rc = 0;

	router->matches_len = 0;
	if (router->errors.total)
		cu_arena_fini(&router->errors);
	group->new_row.like = old_row ? &group->old_row : NULL;
	if (old_row)
		rc = match_row(router, group, &group->old_row, old_row, false);
	if (rc == 0 && new_row)
		rc = match_row(router, group, &group->new_row, new_row, true);
	*ret_matches = router->matches;
	*ret_len = router->matches_len;
	return rc;
}
