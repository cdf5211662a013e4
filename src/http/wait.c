/* wait.c: who waits for which key, and waking them.
 *
 * A key's waiters stand in order of parking, each with a sequence number. A wave takes a number at its start and
 * wakes from the head as long as the waiter's is not above it: what parks again meanwhile stands behind, so a wave
 * always ends. Waves run in slices, in turns, between other events of the loop.
 */
#include "http/internal.h"

#include <stdlib.h>

#define KEYS_MIN 64u

static uint64_t mix(uint64_t x)
{
	/* The finalizer of splitmix64: keys may be counters or pointers. */
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* ---- key sets ---- */

static void keyset_rehash(struct http_keyset *set, uint32_t cap)
{
	free(set->index);
	set->index = cu_xzalloc(cap * sizeof *set->index);
	set->index_cap = cap;
	for (uint32_t i = 0; i < set->len; i++) {
		uint32_t at = (uint32_t)mix(set->keys[i]) & (cap - 1);

		while (set->index[at])
			at = (at + 1) & (cap - 1);
		set->index[at] = i + 1;
	}
}

bool http_keyset_add(struct http_keyset *set, uint64_t key)
{
	uint32_t at;

	if (set->everybody)
		return false;
	if ((set->len + 1) * 2 > set->index_cap)
		keyset_rehash(set, CU_MAX(set->index_cap * 2, KEYS_MIN));
	at = (uint32_t)mix(key) & (set->index_cap - 1);
	while (set->index[at]) {
		if (set->keys[set->index[at] - 1] == key)
			return false;
		at = (at + 1) & (set->index_cap - 1);
	}
	if (set->len == CU_HTTP_WAKE_KEYS_MAX) {
		set->everybody = true;
		return true;
	}
	if (set->len == set->cap) {
		set->cap = CU_MAX(set->cap * 2, KEYS_MIN);
		set->keys = cu_xrealloc(set->keys, set->cap * sizeof *set->keys);
	}
	set->keys[set->len++] = key;
	set->index[at] = set->len;
	return true;
}

void http_keyset_fini(struct http_keyset *set)
{
	free(set->keys);
	free(set->index);
	memset(set, 0, sizeof *set);
}

void http_keyset_clear(struct http_keyset *set)
{
	if (set->index_cap > 4096) { /* after a burst: clearing a large index each time would cost more */
		http_keyset_fini(set);
		return;
	}
	if (set->len)
		memset(set->index, 0, set->index_cap * sizeof *set->index);
	set->len = 0;
	set->everybody = false;
}

/* ---- keys with waiters ---- */

static struct http_key **key_find(cu_http_loop *loop, uint64_t key)
{
	struct http_key **at = &loop->keys[mix(key) & (loop->keys_cap - 1)];

	while (*at && (*at)->key != key)
		at = &(*at)->chain;
	return at;
}

static void keys_resize(cu_http_loop *loop, uint32_t cap)
{
	struct http_key **old = loop->keys;
	uint32_t old_cap = loop->keys_cap;

	loop->keys = cu_xzalloc(cap * sizeof *loop->keys);
	loop->keys_cap = cap;
	for (uint32_t i = 0; i < old_cap; i++) {
		struct http_key *next;

		for (struct http_key *k = old[i]; k; k = next) {
			struct http_key **at = &loop->keys[mix(k->key) & (cap - 1)];

			next = k->chain;
			k->chain = *at;
			*at = k;
		}
	}
	free(old);
}

static void key_drop_if_unused(cu_http_loop *loop, struct http_key *k)
{
	struct http_key **at;

	if (k->head || k->in_wave)
		return;
	at = key_find(loop, k->key);
	CU_ASSERT(*at == k);
	*at = k->chain;
	free(k);
	loop->keys_len--;
	if (loop->keys_cap > KEYS_MIN && loop->keys_len < loop->keys_cap / 8)
		keys_resize(loop, loop->keys_cap / 2);
}

void http_wait_init(cu_http_loop *loop)
{
	keys_resize(loop, KEYS_MIN);
}

void http_wait_fini(cu_http_loop *loop)
{
	CU_ASSERT(loop->keys_len == 0);
	free(loop->keys);
	loop->keys = NULL;
	http_keyset_fini(&loop->wakes);
	http_keyset_fini(&loop->woken_keys);
}

static void wait_link(conn *c, uint64_t key)
{
	cu_http_loop *loop = conn_loop(c);
	struct http_key **at = key_find(loop, key), *k = *at;

	if (!k) {
		k = cu_xzalloc(sizeof *k);
		k->key = key;
		*at = k;
		if (++loop->keys_len > loop->keys_cap)
			keys_resize(loop, loop->keys_cap * 2);
	}
	c->wait_key = k;
	c->wait_seq = ++loop->wait_seq;
	c->wait_prev = k->tail;
	c->wait_next = NULL;
	if (k->tail)
		k->tail->wait_next = c;
	else
		k->head = c;
	k->tail = c;
	atomic_fetch_add_explicit(&loop->parked, 1, memory_order_relaxed);
}

void http_wait_unlink(conn *c)
{
	struct http_key *k = c->wait_key;

	if (c->wait_prev)
		c->wait_prev->wait_next = c->wait_next;
	else
		k->head = c->wait_next;
	if (c->wait_next)
		c->wait_next->wait_prev = c->wait_prev;
	else
		k->tail = c->wait_prev;
	conn_loop(c)->lasting -= c->ops->lasts;
	c->wait_key = NULL;
	c->wait_prev = c->wait_next = NULL;
	atomic_fetch_sub_explicit(&conn_loop(c)->parked, 1, memory_order_relaxed);
	key_drop_if_unused(conn_loop(c), k);
}

/* ---- waves ---- */

static void wave_append(cu_http_loop *loop, struct http_key *k)
{
	k->wave_prev = loop->wave_tail;
	k->wave_next = NULL;
	if (loop->wave_tail)
		loop->wave_tail->wave_next = k;
	else
		loop->wave_head = k;
	loop->wave_tail = k;
}

static void wave_remove(cu_http_loop *loop, struct http_key *k)
{
	if (k->wave_prev)
		k->wave_prev->wave_next = k->wave_next;
	else
		loop->wave_head = k->wave_next;
	if (k->wave_next)
		k->wave_next->wave_prev = k->wave_prev;
	else
		loop->wave_tail = k->wave_prev;
	k->wave_prev = k->wave_next = NULL;
}

static void wave_start_key(cu_http_loop *loop, struct http_key *k)
{
	if (k->in_wave) {
		k->again = true;
		return;
	}
	k->in_wave = true;
	k->began = false;
	k->again = false;
	k->wave_limit = loop->wait_seq;
	wave_append(loop, k);
}

void http_wave_start(cu_http_loop *loop, uint64_t key)
{
	struct http_key *k = *key_find(loop, key);

	if (k)
		wave_start_key(loop, k);
}

void http_wave_start_all(cu_http_loop *loop)
{
	for (uint32_t i = 0; i < loop->keys_cap; i++) {
		for (struct http_key *k = loop->keys[i]; k; k = k->chain)
			wave_start_key(loop, k);
	}
}

static void waiter_wake(cu_http_loop *loop, conn *c)
{
	const struct cu_http_waiter_ops *ops = c->ops;
	void *app = c->app;

	http_wait_unlink(c);
	http_deadline_clear(c);
	atomic_fetch_add_explicit(&loop->woken, 1, memory_order_relaxed);
	http_conn_enter(c);
	ops->on_wake(c, app);
	http_conn_leave(c);
}

static bool wave_has_more(const struct http_key *k)
{
	return k->head && k->head->wait_seq <= k->wave_limit;
}

void http_wave_run(cu_http_loop *loop, unsigned *budget)
{
	const struct cu_http_opts *opts = &loop->server->opts;

	while (loop->wave_head && *budget) {
		struct http_key *k = loop->wave_head;

		if (!k->began && wave_has_more(k)) { /* all may have hung up meanwhile */
			k->began = true;
			atomic_fetch_add_explicit(&loop->waves, 1, memory_order_relaxed);
			if (opts->handlers.on_wave_begin)
				opts->handlers.on_wave_begin(opts->ctx, loop, k->key);
		}
		while (*budget && wave_has_more(k)) {
			--*budget;
			waiter_wake(loop, k->head);
		}
		wave_remove(loop, k);
		if (wave_has_more(k)) {
			wave_append(loop, k); /* the others' turn */
			continue;
		}
		k->in_wave = false;
		if (k->began && opts->handlers.on_wave_end)
			opts->handlers.on_wave_end(opts->ctx, loop, k->key);
		if (k->again && k->head)
			wave_start_key(loop, k);
		else
			key_drop_if_unused(loop, k);
	}
}

void http_wait_park(conn *c, uint64_t key, uint32_t timeout_ms, const struct cu_http_waiter_ops *ops, void *app)
{
	CU_ASSERT(timeout_ms > 0 && ops->on_wake && ops->on_timeout && ops->on_gone);
	c->ops = ops;
	c->app = app;
	c->state = CONN_PARKED;
	wait_link(c, key);
	http_deadline_set(c, timeout_ms);
	conn_loop(c)->lasting += ops->lasts;
	if (conn_loop(c)->draining && !ops->lasts)
		http_loop_turn(conn_loop(c));
}

void cu_http_park(cu_http_request *req, uint64_t key, uint32_t timeout_ms, const struct cu_http_waiter_ops *ops,
		  void *app)
{
	conn *c = req;

	http_conn_block_release(c);
	cu_http_hold(c, key, timeout_ms, ops, app);
}

void cu_http_hold(cu_http_request *req, uint64_t key, uint32_t timeout_ms, const struct cu_http_waiter_ops *ops,
		  void *app)
{
	conn *c = req;

	CU_ASSERT(c->state == CONN_HANDLING);
	conn_loop(c)->slots[c->slot].generation++; /* tickets of it are over */
	http_wait_park(c, key, timeout_ms, ops, app);
}
