/* crew.c: the routes of a call are handed out in slices by a counter; whoever is awake takes the next one.
 *
 * A helper works on a copy of the row: what the decoded columns point to is shared, the rest is its own, since a column that could not
 * be decoded is tried again. So nothing that two threads write is shared but the counter, and each truth has one writer.
 */
#include "router/crew.h"

#include "base/limits.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* A copy of the caller's row: scope, values and what the decoded columns point to are the caller's. */
struct copy {
	struct cu_expr_row row;
	size_t columns_cap;
};

struct helper {
	struct cu_crew *crew;
	pthread_t thread;
	struct copy copy;
};

struct cu_crew {
	/* set once */
	unsigned wanted;
	/* caller only */
	struct helper *helpers; /* NULL: not started yet */
	unsigned helpers_len;

	/* of the call; set while nobody is inside */
	struct copy shared; /* nobody evaluates on this one: the helpers' copies are made from it */
	size_t columns_len;
	cu_route *const *routes;
	uint32_t len;
	uint8_t *truths;
	_Atomic uint32_t next; /* any thread */

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t work, left;
	uint64_t call;   /* number of the newest one */
	unsigned inside; /* helpers that work on it */
	bool open;       /* helpers may still come in */
	bool stopping;
};

/* False: no memory. */
static bool copy_make(struct copy *copy, const struct cu_expr_row *from, size_t columns)
{
	struct cu_expr_row *row = &copy->row;

	if (columns > copy->columns_cap) {
		free(row->datums);
		free(row->decoded);
		row->datums = cu_try_malloc(columns * sizeof *row->datums);
		row->decoded = cu_try_malloc(columns);
		copy->columns_cap = row->datums && row->decoded ? columns : 0;
	}
	if (columns > copy->columns_cap)
		return false;
	memcpy(row->datums, from->datums, columns * sizeof *row->datums);
	memcpy(row->decoded, from->decoded, columns);
	row->values = from->values;
	row->scope = from->scope;
	if (row->arena.total)
		cu_arena_reset(&row->arena);
	return true;
}

static void copy_fini(struct copy *copy)
{
	cu_arena_fini(&copy->row.arena);
	cu_arena_fini(&copy->row.work);
	free(copy->row.datums);
	free(copy->row.decoded);
}

cu_crew *cu_crew_new(unsigned helpers)
{
	cu_crew *crew = cu_xzalloc(sizeof *crew);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	crew->wanted = helpers ? helpers : cores > 1 ? (unsigned)cores - 1 : 0;
	crew->wanted = CU_MIN(crew->wanted, CU_ROUTER_HELPERS_MAX);
	CU_ASSERT(pthread_mutex_init(&crew->lock, NULL) == 0);
	CU_ASSERT(pthread_cond_init(&crew->work, NULL) == 0);
	CU_ASSERT(pthread_cond_init(&crew->left, NULL) == 0);
	return crew;
}

void cu_crew_free(cu_crew **ref)
{
	cu_crew *crew = *ref;

	if (!crew)
		return;
	*ref = NULL;
	pthread_mutex_lock(&crew->lock);
	crew->stopping = true;
	pthread_cond_broadcast(&crew->work);
	pthread_mutex_unlock(&crew->lock);
	for (unsigned i = 0; i < crew->helpers_len; i++)
		pthread_join(crew->helpers[i].thread, NULL);
	free(crew->helpers);
	copy_fini(&crew->shared);
	pthread_cond_destroy(&crew->work);
	pthread_cond_destroy(&crew->left);
	pthread_mutex_destroy(&crew->lock);
	free(crew);
}

bool cu_crew_is_alone(const cu_crew *crew)
{
	return crew->wanted == 0 || (crew->helpers && crew->helpers_len == 0);
}

static void slices_eval(struct cu_crew *crew, struct cu_expr_row *row)
{
	uint32_t from;

	while ((from = atomic_fetch_add_explicit(&crew->next, CU_ROUTER_SLICE, memory_order_relaxed)) < crew->len) {
		uint32_t to = CU_MIN(from + CU_ROUTER_SLICE, crew->len);

		for (uint32_t i = from; i < to; i++) {
			struct cu_value_error ignored;

			crew->truths[i] = (uint8_t)cu_expr_eval(crew->routes[i]->expr, row, &ignored);
		}
	}
}

static void *helper_main(void *arg)
{
	struct helper *helper = arg;
	struct cu_crew *crew = helper->crew;
	uint64_t seen = 0;

	pthread_mutex_lock(&crew->lock);
	for (;;) {
		while (!crew->stopping && (!crew->open || crew->call == seen))
			pthread_cond_wait(&crew->work, &crew->lock);
		if (crew->stopping)
			break;
		seen = crew->call;
		crew->inside++;
		pthread_mutex_unlock(&crew->lock);
		if (copy_make(&helper->copy, &crew->shared.row, crew->columns_len))
			slices_eval(crew, &helper->copy.row);
		pthread_mutex_lock(&crew->lock);
		if (--crew->inside == 0)
			pthread_cond_signal(&crew->left);
	}
	pthread_mutex_unlock(&crew->lock);
	copy_fini(&helper->copy);
	return NULL;
}

static void helpers_start(struct cu_crew *crew)
{
	sigset_t all, before;

	crew->helpers = cu_xzalloc((crew->wanted + 1) * sizeof *crew->helpers);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < crew->wanted; i++) {
		crew->helpers[i].crew = crew;
		if (pthread_create(&crew->helpers[i].thread, NULL, helper_main, &crew->helpers[i]) != 0)
			break;
		pthread_setname_np(crew->helpers[i].thread, "router");
		crew->helpers_len++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void cu_crew_eval(cu_crew *crew, struct cu_expr_row *row, cu_route *const *routes, uint32_t len, uint8_t *ret_truths)
{
	bool together;

	if (!crew->helpers)
		helpers_start(crew);
	cu_expr_scope_columns(row->scope, &crew->columns_len);
	together = crew->helpers_len && copy_make(&crew->shared, row, crew->columns_len);
	crew->routes = routes;
	crew->len = len;
	crew->truths = ret_truths;
	atomic_store_explicit(&crew->next, 0, memory_order_relaxed);
	if (together) {
		pthread_mutex_lock(&crew->lock);
		crew->call++;
		crew->open = true;
		pthread_cond_broadcast(&crew->work);
		pthread_mutex_unlock(&crew->lock);
	}
	slices_eval(crew, row);
	if (together) {
		pthread_mutex_lock(&crew->lock);
		crew->open = false;
		while (crew->inside)
			pthread_cond_wait(&crew->left, &crew->lock);
		pthread_mutex_unlock(&crew->lock);
	}
}
