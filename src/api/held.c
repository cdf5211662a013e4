/* held.c: see held.h. */
#include "api/held.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
	cu_http_ticket ticket;
	void *arg;
};

struct cu_held {
	cu_held_resume *resume;
	pthread_mutex_t lock;
	struct entry *list; /* under lock, with the next two */
	size_t len, cap;
};

cu_held *cu_held_new(cu_held_resume *resume)
{
	cu_held *held = cu_xzalloc(sizeof *held);

	held->resume = resume;
	pthread_mutex_init(&held->lock, NULL);
	return held;
}

void cu_held_free(cu_held **ref)
{
	cu_held *held = *ref;

	if (!held)
		return;
	CU_ASSERT(held->len == 0);
	*ref = NULL;
	pthread_mutex_destroy(&held->lock);
	free(held->list);
	free(held);
}

void cu_held_add(cu_held *held, cu_http_ticket ticket, void *arg)
{
	pthread_mutex_lock(&held->lock);
	if (held->len == held->cap) {
		held->cap = held->cap ? 2 * held->cap : 16;
		held->list = cu_xrealloc(held->list, held->cap * sizeof *held->list);
	}
	held->list[held->len++] = (struct entry){ ticket, arg };
	pthread_mutex_unlock(&held->lock);
}

void cu_held_release(cu_held *held)
{
	struct entry *list;
	size_t len;

	pthread_mutex_lock(&held->lock);
	list = held->list;
	len = held->len;
	held->list = NULL;
	held->len = held->cap = 0;
	pthread_mutex_unlock(&held->lock);
	for (size_t i = 0; i < len; i++)
		cu_http_post(list[i].ticket, held->resume, list[i].arg);
	free(list);
}
