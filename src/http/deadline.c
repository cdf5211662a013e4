/* deadline.c: timeouts without a timer per connection.
 *
 * All connections with the same timeout stand in one list, so appending keeps it sorted and the head is the next
 * to expire. There are few distinct timeouts; should an app use more than CU_HTTP_DEADLINES_EXACT at once, the
 * others are rounded up to powers of two (and so expire late, up to twice the time). Powers of two have lists of their
 * own: who has a time of any length left can wait for it in such steps, exactly and without taking lists from others.
 */
#include "http/internal.h"

static unsigned list_for(cu_http_loop *loop, uint32_t *timeout_ms)
{
	unsigned empty = CU_HTTP_DEADLINES, bits = 0;

	if ((*timeout_ms & (*timeout_ms - 1)) == 0)
		return CU_HTTP_DEADLINES_EXACT + (unsigned)__builtin_ctz(*timeout_ms);
	for (unsigned i = 0; i < CU_HTTP_DEADLINES_EXACT; i++) {
		if (!loop->deadlines[i].head) {
			if (empty == CU_HTTP_DEADLINES || loop->deadlines[i].timeout_ms == *timeout_ms)
				empty = i;
		} else if (loop->deadlines[i].timeout_ms == *timeout_ms) {
			return i;
		}
	}
	if (empty < CU_HTTP_DEADLINES) {
		loop->deadlines[empty].timeout_ms = *timeout_ms;
		return empty;
	}
	while (bits < 31 && (1u << bits) < *timeout_ms)
		bits++;
	*timeout_ms = CU_MAX(*timeout_ms, 1u << bits);
	return CU_HTTP_DEADLINES_EXACT + bits;
}

void http_timer_arm(cu_http_loop *loop, uint64_t at)
{
	uint64_t now = uv_now(&loop->uv);

	if (at >= loop->timer_at || loop->stopping)
		return;
	loop->timer_at = at;
	/* Never 0: libuv would fire it again in the same turn, and slices would be none. */
	uv_timer_start(&loop->timer, http_timer_fired, at > now ? at - now : 1, 0);
}

void http_deadline_clear(conn *c)
{
	struct http_deadlines *list;

	if (c->deadline_list == CU_HTTP_DEADLINE_NONE)
		return;
	list = &conn_loop(c)->deadlines[c->deadline_list];
	if (c->deadline_prev)
		c->deadline_prev->deadline_next = c->deadline_next;
	else
		list->head = c->deadline_next;
	if (c->deadline_next)
		c->deadline_next->deadline_prev = c->deadline_prev;
	else
		list->tail = c->deadline_prev;
	c->deadline_prev = c->deadline_next = NULL;
	c->deadline_list = CU_HTTP_DEADLINE_NONE;
}

void http_deadline_set(conn *c, uint32_t timeout_ms)
{
	cu_http_loop *loop = conn_loop(c);
	struct http_deadlines *list;
	unsigned i;

	http_deadline_clear(c);
	i = list_for(loop, &timeout_ms);
	list = &loop->deadlines[i];
	c->deadline_at = uv_now(&loop->uv) + timeout_ms;
	/* The power-of-two list of 2^31 also holds longer ones; only order within a list matters, and theirs is
	 * at worst late. */
	if (list->tail && list->tail->deadline_at > c->deadline_at)
		c->deadline_at = list->tail->deadline_at;
	c->deadline_list = (uint8_t)i;
	c->deadline_prev = list->tail;
	c->deadline_next = NULL;
	if (list->tail)
		list->tail->deadline_next = c;
	else
		list->head = c;
	list->tail = c;
	http_timer_arm(loop, c->deadline_at);
}

void http_timer_fired(uv_timer_t *timer)
{
	cu_http_loop *loop = timer->data;
	uint64_t now = uv_now(&loop->uv), next = UINT64_MAX;
	unsigned budget = loop->server->opts.wake_slice;

	/* Deadlines set by the callbacks below arm nothing before `next` is known: the timer is theirs again
	 * when this returns. */
	loop->timer_at = 0;
	if (loop->accept_paused && loop->accept_resume_at <= now)
		http_listen_resume(loop);
	for (unsigned i = 0; i < CU_HTTP_DEADLINES; i++) {
		struct http_deadlines *list = &loop->deadlines[i];

		while (list->head && list->head->deadline_at <= now && budget) {
			conn *c = list->head;

			budget--;
			http_deadline_clear(c);
			http_conn_expired(c);
		}
	}
	/* After all expired: a callback may have put something on a list already passed. */
	for (unsigned i = 0; i < CU_HTTP_DEADLINES; i++) {
		if (loop->deadlines[i].head)
			next = CU_MIN(next, loop->deadlines[i].head->deadline_at);
	}
	if (loop->accept_paused)
		next = CU_MIN(next, loop->accept_resume_at);
	loop->timer_at = UINT64_MAX;
	if (next != UINT64_MAX)
		http_timer_arm(loop, next);
}
