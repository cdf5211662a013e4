/* Clients of a log that is compacted again and again, behind a cache: whatever answer it gives them, they end with the right rows.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "shape/test_compactor_help.h"

/* ---- answers, and a cache that forgets none ---- */

struct answer {
	cu_offset from, end;
	json_t *items;
};

struct cache {
	struct answer *answers;
	size_t len, cap;
};

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % n;
}

/* Any answer that was ever given to this offset, or a new one. */
static const struct answer *answer_get(struct world *w, struct cache *cache, cu_offset from)
{
	size_t skip = random_below(4);
	struct answer *answer;

	for (size_t i = cache->len; i > 0 && skip < 3; i--) {
		if (cu_offset_cmp(cache->answers[i - 1].from, from) == 0 && skip-- == 0)
			return &cache->answers[i - 1];
	}
	if (cache->len == cache->cap) {
		cache->cap = cache->cap ? cache->cap * 2 : 64;
		cache->answers = cu_xrealloc(cache->answers, cache->cap * sizeof *cache->answers);
	}
	answer = &cache->answers[cache->len++];
	assert_true(cu_shape_log_gave(log_of(w), from));
	*answer = (struct answer){ .from = from, .end = cu_shape_log_answer_end(log_of(w), from) };
	answer->items = read_range(w, answer->from, answer->end);
	assert_true(json_array_size(answer->items) > 0);
	return answer;
}

static void cache_fini(struct cache *cache)
{
	for (size_t i = 0; i < cache->len; i++)
		json_decref(cache->answers[i].items);
	free(cache->answers);
}

struct client {
	cu_offset at;
	json_t *rows;
};

static void client_step(struct world *w, struct cache *cache, struct client *client)
{
	const struct answer *answer = answer_get(w, cache, client->at);

	test_read_apply(client->rows, answer->items);
	client->at = answer->end;
}

static bool is_up_to_date(struct world *w, const struct client *client)
{
	return cu_offset_cmp(client->at, cu_shape_log_latest(log_of(w))) == 0;
}

/* ---- tests ---- */

/* Few columns each time, so that an update that is missed is seen; now and then a row goes and comes. */
static const char *at_random(struct world *w, unsigned *ret_key)
{
	*ret_key = random_below(120);
	if (w->tx <= 120) {
		*ret_key = (unsigned)w->tx - 1;
		return "insert";
	}
	if (w->tx >= 160 && w->tx % 40 < 2) {
		*ret_key = (unsigned)(w->tx / 40 % 120);
		return w->tx % 40 == 0 ? "delete" : "insert";
	}
	return "update";
}

#define CLIENTS 12u

struct crowd {
	struct world *w;
	struct client clients[CLIENTS];
	struct cache cache;
};

static void crowd_steps(struct crowd *crowd, uint32_t steps_max)
{
	for (size_t c = 0; c < CLIENTS; c++) {
		struct client *client = &crowd->clients[c];

		for (uint32_t steps = random_below(steps_max); steps && !is_up_to_date(crowd->w, client); steps--)
			client_step(crowd->w, &crowd->cache, client);
	}
}

/* In the middle of a compaction. */
static int crowd_goes_on(void *ctx)
{
	struct crowd *crowd = ctx;

	if (random_below(16) == 0)
		seal(crowd->w, 1 + random_below(20), 2, at_random);
	if (random_below(8) == 0)
		crowd_steps(crowd, 2);
	return 0;
}

static void clients_round(uint64_t seed)
{
	struct world *w = world_new();
	struct crowd crowd = { .w = w };
	struct client *clients = crowd.clients;
	json_t *want = NULL;

	random_state = seed;
	limits.turn = crowd_goes_on;
	limits.turn_ctx = &crowd;
	limits.chunk_bytes = 600;
	limits.memory = 4000;
	limits.near = 20000;
	w->tx_items = 1 + random_below(3);
	for (size_t c = 0; c < CLIENTS; c++)
		clients[c] = (struct client){ CU_OFFSET_SNAPSHOT_END, json_object() };
	for (unsigned round = 0; round < 60; round++) {
		seal(w, 20 + random_below(30), 2, at_random);
		if (random_below(2))
			compact_all(w);
		crowd_steps(&crowd, 6);
		if (random_below(4) == 0) {
			struct client *late = &clients[random_below(CLIENTS)];

			json_decref(late->rows);
			*late = (struct client){ CU_OFFSET_SNAPSHOT_END, json_object() };
		}
	}
	want = rows_at(w, w->tx);
	for (size_t c = 0; c < CLIENTS; c++) {
		while (!is_up_to_date(w, &clients[c]))
			client_step(w, &crowd.cache, &clients[c]);
		assert_true(json_equal(clients[c].rows, want));
		json_decref(clients[c].rows);
	}
	json_decref(want);
	cache_fini(&crowd.cache);
	world_free(w);
}

static void a_cache_that_forgets_nothing_gives_no_wrong_rows(void **state)
{
	const char *rounds = getenv("COPPER_COMPACTOR_ROUNDS"); /* for longer runs */

	(void)state;
	for (uint64_t seed = 1; seed <= (rounds ? strtoull(rounds, NULL, 10) : 4); seed++)
		clients_round(seed);
}

static void an_offset_that_was_not_given_yet_is_told(void **state)
{
	struct world *w = world_new();

	(void)state;
	seal(w, 3, 10, insert_only);
	assert_true(cu_shape_log_gave(log_of(w), cu_offset_of(1, 0)));
	assert_true(cu_shape_log_gave(log_of(w), cu_offset_of(1, CU_OP_INF)));
	for (uint32_t n = 0; n < 3; n++) /* no compaction has been there */
		assert_false(cu_shape_log_gave(log_of(w), cu_sealed_boundary(1, n)));
	world_free(w);
}

static const char *in_turn(struct world *w, unsigned *ret_key)
{
	*ret_key = (unsigned)w->tx % 30;
	return w->tx <= 30 ? "insert" : "update";
}

struct look {
	struct world *w;
	uint32_t next_n; /* as the compaction began */
	unsigned before, after, sealed;
	bool early;
};

/* In the middle of the compaction, whose chunks will have the next numbers and end in some transaction. */
static void look_for_early(void *ctx)
{
	struct look *look = ctx;
	cu_shape_log *log = log_of(look->w);

	cu_shape_lock(look->w->shape);
	if (!log->sealed[0].compacted) {
		look->before++;
		for (uint32_t n = look->next_n; n < look->next_n + 100; n++)
			look->early |= cu_shape_log_gave(log, cu_sealed_boundary(1, n));
	} else {
		look->after++;
	}
	cu_shape_unlock(look->w->shape);
}

/* Its number is larger than those of the compaction's chunks before it. */
static int seal_few(void *ctx)
{
	struct look *look = ctx;

	if (look->sealed++ % 4 == 3) {
		help_fault.look = NULL;
		seal(look->w, 10, 100, in_turn);
		help_fault.look = look_for_early;
	}
	return 0;
}

static void an_offset_is_given_when_its_chunk_is_in_the_log(void **state)
{
	struct world *w = world_new();
	struct look look = { .w = w };
	struct cu_compacted_bytes bytes;
	uint32_t len;

	(void)state;
	for (unsigned i = 0; i < 3 + CU_COMPACTION_WINDOW; i++)
		seal(w, 30, 40000, in_turn);
	look.next_n = log_of(w)->next_n;
	help_fault.look_ctx = &look;
	help_fault.look = look_for_early;
	limits.turn = seal_few;
	limits.turn_ctx = &look;
	assert_int_equal(cu_compactor_run(w->store, w->shape, &limits, &bytes), 1);
	help_fault.look = NULL;
	len = log_of(w)->sealed_len;
	assert_true(len > 5 + CU_COMPACTION_WINDOW && look.before > 10 && look.after > 0);
	assert_false(look.early);
	assert_true(look.sealed > 8);
	for (uint32_t i = 0; i < len; i++)
		assert_true(cu_shape_log_gave(log_of(w), cu_sealed_last(&log_of(w)->sealed[i])));
	world_free(w);
}

static void behind_all_items_no_offset_was_given(void **state)
{
	struct world *w = world_new();

	(void)state;
	seal(w, 3, 10, insert_only);
	assert_false(cu_shape_log_gave(log_of(w), cu_sealed_boundary(3, 0)));
	assert_false(cu_shape_log_gave(log_of(w), cu_sealed_boundary(99, 0)));
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cache_that_forgets_nothing_gives_no_wrong_rows),
		cmocka_unit_test(an_offset_that_was_not_given_yet_is_told),
		cmocka_unit_test(an_offset_is_given_when_its_chunk_is_in_the_log),
		cmocka_unit_test(behind_all_items_no_offset_was_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
