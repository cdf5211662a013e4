/* fragment.c: rows, touches and events of one fragment. */
#include "collector/fragment.h"

#include "base/limits.h"

#include <stdlib.h>

#define KEEP_MAX 16384 /* entries of an array that are kept for the next fragment */

void cu_fragment_init(cu_fragment *fragment)
{
	*fragment = (cu_fragment){ .arena = CU_ARENA_INIT };
}

/* Room for one more; false: no memory. */
static bool grow(void **list, size_t len, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *moved;

	if (len < *cap)
		return true;
	moved = cu_try_realloc(*list, more * size);
	if (!moved)
		return false;
	*list = moved;
	*cap = more;
	return true;
}

static void shrink(void **list, size_t *cap)
{
	if (*cap <= KEEP_MAX)
		return;
	free(*list);
	*list = NULL;
	*cap = 0;
}

void cu_fragment_reset(cu_fragment *fragment)
{
	for (size_t i = 0; i < fragment->events_len; i++) {
		fragment->events[i].shape->event = 0;
		cu_shape_unref(&fragment->events[i].shape);
	}
	fragment->touches_len = fragment->events_len = fragment->placed_len = 0;
	fragment->changes = fragment->bytes = 0;
	shrink((void **)&fragment->touches, &fragment->touches_cap);
	shrink((void **)&fragment->events, &fragment->events_cap);
	shrink((void **)&fragment->placed, &fragment->placed_cap);
	cu_arena_reset(&fragment->arena);
}

void cu_fragment_fini(cu_fragment *fragment)
{
	cu_fragment_reset(fragment);
	free(fragment->touches);
	free(fragment->events);
	free(fragment->placed);
	cu_arena_fini(&fragment->arena);
}

bool cu_fragment_is_full(const cu_fragment *fragment)
{
	return fragment->changes >= CU_FRAGMENT_CHANGES_MAX || fragment->bytes >= CU_FRAGMENT_BYTES_MAX ||
	       fragment->touches_len >= CU_FRAGMENT_TOUCHES_MAX;
}

struct cu_pg_value *cu_fragment_row(cu_fragment *fragment, const struct cu_pg_value *row, unsigned len,
				    const uint8_t *wire, const char *copy)
{
	struct cu_pg_value *mine = cu_arena_alloc(&fragment->arena, len * sizeof *mine);

	if (!mine)
		return NULL;
	for (unsigned i = 0; i < len; i++) {
		mine[i] = row[i];
		if (mine[i].data)
			mine[i].data = copy + (mine[i].data - (const char *)wire);
	}
	return mine;
}

static struct cu_event *event_of(cu_fragment *fragment, cu_shape *shape, uint64_t tx, uint32_t xid)
{
	if (shape->event)
		return &fragment->events[shape->event - 1];
	if (!grow((void **)&fragment->events, fragment->events_len, &fragment->events_cap, sizeof *fragment->events))
		return NULL;
	fragment->events[fragment->events_len] = (struct cu_event){
		.shape = cu_shape_ref(shape),
		.xid = xid,
		.tx = tx,
		.first = CU_TOUCH_NONE,
		.last = CU_TOUCH_NONE,
	};
	shape->event = (uint32_t)++fragment->events_len;
	return &fragment->events[fragment->events_len - 1];
}

int cu_fragment_touch(cu_fragment *fragment, cu_shape *shape, uint64_t tx, uint32_t xid, uint64_t op,
		      const struct cu_pg_value *old_row, const struct cu_pg_value *new_row)
{
	struct cu_event *event = event_of(fragment, shape, tx, xid);
	uint32_t at = (uint32_t)fragment->touches_len;
	struct cu_touch touch = {
		.op = op,
		.old_row = old_row,
		.new_row = new_row,
		.next = CU_TOUCH_NONE,
		.item = CU_TOUCH_NONE,
		.decision = CU_DECIDE_NOTHING,
	};

	if (!event || !grow((void **)&fragment->touches, fragment->touches_len, &fragment->touches_cap,
			    sizeof *fragment->touches))
		return CU_ENOMEM;
	touch.event = shape->event - 1;
	fragment->touches[at] = touch;
	fragment->touches_len++;
	if (event->first == CU_TOUCH_NONE)
		event->first = at;
	else
		fragment->touches[event->last].next = at;
	event->last = at;
	return 0;
}

uint32_t cu_fragment_place(cu_fragment *fragment, uint64_t pos, uint64_t op, uint32_t len)
{
	uint32_t at = (uint32_t)fragment->placed_len;
	bool room =
		grow((void **)&fragment->placed, fragment->placed_len, &fragment->placed_cap, sizeof *fragment->placed);

	CU_ASSERT(room); /* 24 bytes beside an item that has just been written */
	fragment->placed[at] = (struct cu_placed){ pos, op, len };
	fragment->placed_len++;
	return at;
}
