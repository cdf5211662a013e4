/* cells.c: which cells are taken is a bit mask per group; groups with room form a doubly linked list. */
#include "base/cells.h"

#include <stdlib.h>
#include <sys/mman.h>

#define GROUPS (CU_CELLS_BLOCK / CU_CELLS_GROUP)
#ifndef WARM_EMPTY_MAX    /* the simulation has none, so that it wipes often */
#define WARM_EMPTY_MAX 4u /* empty groups that keep their memory, so that a lone coming and going costs no page fault */
#endif

struct group {
	uint64_t taken;
	uint32_t prev, next; /* group + 1; in the list while it has room and is not set aside */
	uint32_t note;
	bool warm; /* it may hold memory */
	bool aside;
};

struct cu_cells_info {
	struct group groups[GROUPS];
};

static struct group *group_at(const cu_cells *cells, uint32_t group)
{
	return &cells->infos[group / GROUPS]->groups[group % GROUPS];
}

static void room_push(cu_cells *cells, uint32_t at)
{
	struct group *group = group_at(cells, at);

	group->prev = 0;
	group->next = cells->room;
	if (cells->room)
		group_at(cells, cells->room - 1)->prev = at + 1;
	cells->room = at + 1;
}

static void room_remove(cu_cells *cells, uint32_t at)
{
	struct group *group = group_at(cells, at);

	if (group->next)
		group_at(cells, group->next - 1)->prev = group->prev;
	if (group->prev)
		group_at(cells, group->prev - 1)->next = group->next;
	else
		cells->room = group->next;
}

static size_t lists_size(const cu_cells *cells)
{
	return cells->blocks_max * (sizeof *cells->blocks + sizeof *cells->infos);
}

int cu_cells_init(cu_cells *cells, size_t size, uint32_t max)
{
	void *lists;

	memset(cells, 0, sizeof *cells);
	CU_ASSERT(size && size % 64 == 0 && max);
	cells->size = size;
	cells->blocks_max = max / CU_CELLS_BLOCK + (max % CU_CELLS_BLOCK != 0);
	/* Not from the heap: both lists are sparse, and what has not been touched shall cost no memory. */
	lists = cu_try_map(lists_size(cells));
	if (!lists) {
		memset(cells, 0, sizeof *cells);
		return CU_ENOMEM;
	}
	cells->blocks = lists;
	cells->infos = (struct cu_cells_info **)(void *)&cells->blocks[cells->blocks_max];
	return 0;
}

void cu_cells_fini(cu_cells *cells)
{
	for (uint32_t i = 0; i < cells->blocks_used; i++) {
		cu_unmap(atomic_load_explicit(&cells->blocks[i], memory_order_relaxed), CU_CELLS_BLOCK * cells->size);
		free(cells->infos[i]);
	}
	cu_unmap(cells->blocks, lists_size(cells));
	memset(cells, 0, sizeof *cells);
}

static int block_add(cu_cells *cells)
{
	uint32_t block = cells->blocks_used;
	struct cu_cells_info *info;
	char *mem;

	if (block == cells->blocks_max)
		return CU_EFULL;
	info = cu_try_zalloc(sizeof *info);
	if (!info)
		return CU_ENOMEM;
	mem = cu_try_map(CU_CELLS_BLOCK * cells->size);
	if (!mem) {
		free(info);
		return CU_ENOMEM;
	}
	/* Memory comes and goes by the page here; a huge one would hold 500 of them. A kernel without them says no. */
	(void)madvise(mem, CU_CELLS_BLOCK * cells->size, MADV_NOHUGEPAGE);
	cells->infos[block] = info;
	cells->blocks_used++;
	atomic_store_explicit(&cells->blocks[block], mem, memory_order_release);
	for (uint32_t i = GROUPS; i-- > 0;)
		room_push(cells, block * GROUPS + i);
	return 0;
}

int cu_cells_take(cu_cells *cells, uint32_t *ret_cell)
{
	struct group *group;
	uint32_t at;
	uint32_t bit;

	if (!cells->room) {
		int rc = block_add(cells);

		if (rc < 0)
			return rc;
	}
	at = cells->room - 1;
	group = group_at(cells, at);
	bit = (uint32_t)__builtin_ctzll(~group->taken);
	if (!group->taken && group->warm)
		cells->warm_empty--;
	group->warm = true;
	group->taken |= 1ull << bit;
	if (group->taken == UINT64_MAX)
		room_remove(cells, at);
	*ret_cell = at * CU_CELLS_GROUP + bit;
	return 0;
}

bool cu_cells_give(cu_cells *cells, uint32_t cell)
{
	uint32_t at = cell / CU_CELLS_GROUP;
	struct group *group = group_at(cells, at);

	CU_ASSERT(cu_cells_taken(cells, cell));
	if (group->taken == UINT64_MAX)
		room_push(cells, at);
	group->taken &= ~(1ull << cell % CU_CELLS_GROUP);
	if (group->taken)
		return false;
	if (cells->warm_empty < WARM_EMPTY_MAX) {
		cells->warm_empty++;
		return false;
	}
	room_remove(cells, at);
	group->aside = true;
	return true;
}

bool cu_cells_wipe(const cu_cells *cells, uint32_t cell)
{
	char *block = cu_cells_block(cells, cell);
	size_t first = cell % CU_CELLS_BLOCK / CU_CELLS_GROUP * CU_CELLS_GROUP;

	return madvise(block + first * cells->size, CU_CELLS_GROUP * cells->size, MADV_DONTNEED) == 0;
}

void cu_cells_return(cu_cells *cells, uint32_t cell, bool wiped)
{
	struct group *group = group_at(cells, cell / CU_CELLS_GROUP);

	CU_ASSERT(group->aside && !group->taken);
	group->aside = false;
	group->warm = !wiped;
	cells->warm_empty += group->warm;
	room_push(cells, cell / CU_CELLS_GROUP);
}

bool cu_cells_taken(const cu_cells *cells, uint32_t cell)
{
	return cell / CU_CELLS_BLOCK < cells->blocks_used &&
	       group_at(cells, cell / CU_CELLS_GROUP)->taken >> cell % CU_CELLS_GROUP & 1;
}

bool cu_cells_next(const cu_cells *cells, uint32_t *cell)
{
	uint32_t from = *cell % CU_CELLS_GROUP;

	for (uint32_t at = *cell / CU_CELLS_GROUP; at < cells->blocks_used * GROUPS; at++, from = 0) {
		uint64_t taken = group_at(cells, at)->taken & UINT64_MAX << from;

		if (taken) {
			*cell = at * CU_CELLS_GROUP + (uint32_t)__builtin_ctzll(taken);
			return true;
		}
	}
	return false;
}

uint32_t *cu_cells_note(cu_cells *cells, uint32_t cell)
{
	return &group_at(cells, cell / CU_CELLS_GROUP)->note;
}
