/* cells.h: many cells of one size, each named by a 32-bit index, whose memory goes back to the system once nobody
 * uses it.
 *
 * Cells come in groups of 64, one page when a cell has 64 bytes. A group without a taken cell gives its page back,
 * but for a few that are kept for what comes next. A cell never moves.
 *
 * Threads: cu_cells_block() any, without a lock; the rest under the owner's lock, but for cu_cells_wipe().
 * Cost: 0.4 bytes per cell beside the cells. take and give are O(1).
 */
#ifndef CU_CELLS_H
#define CU_CELLS_H

#include "base/base.h"

#include <stdatomic.h>

#define CU_CELLS_GROUP 64u
#define CU_CELLS_BLOCK 1024u /* cells of one mapping */

struct cu_cells_info;

typedef struct cu_cells {
	/* set once */
	size_t size;
	uint32_t blocks_max;
	_Atomic(char *) *blocks; /* each set once, under the owner's lock */

	/* under the owner's lock */
	struct cu_cells_info **infos;
	uint32_t blocks_used;
	uint32_t room;       /* group + 1: those with a free cell, as a list */
	uint32_t warm_empty; /* groups that are empty and hold memory */
} cu_cells;

/* size: a multiple of 64. max is rounded up to whole blocks. CU_ENOMEM. */
int cu_cells_init(cu_cells *cells, size_t size, uint32_t max);
void cu_cells_fini(cu_cells *cells);

/* The block that holds the cell, as an array of CU_CELLS_BLOCK; NULL: there is no such cell yet. */
static inline void *cu_cells_block(const cu_cells *cells, uint32_t cell)
{
	uint32_t block = cell / CU_CELLS_BLOCK;

	return block < cells->blocks_max ? atomic_load_explicit(&cells->blocks[block], memory_order_acquire) : NULL;
}

/* A cell as its last user left it, or zeroed. CU_EFULL, CU_ENOMEM. */
int cu_cells_take(cu_cells *cells, uint32_t *ret_cell);
/* True: the cell's group is empty and has been set aside, so that nobody takes its cells. The caller then calls
 * cu_cells_wipe(), best without its lock, and cu_cells_return(). */
bool cu_cells_give(cu_cells *cells, uint32_t cell);
/* Zeroes the group and gives its memory back. False: the system refused, nothing has changed. */
bool cu_cells_wipe(const cu_cells *cells, uint32_t cell);
/* The group that was set aside can be used again. wiped: as cu_cells_wipe() said. */
void cu_cells_return(cu_cells *cells, uint32_t cell, bool wiped);

bool cu_cells_taken(const cu_cells *cells, uint32_t cell);
/* The first taken cell from *cell on; false when there is none. */
bool cu_cells_next(const cu_cells *cells, uint32_t *cell);
/* A number that the owner keeps with each group, 0 at first; a wipe leaves it alone. */
uint32_t *cu_cells_note(cu_cells *cells, uint32_t cell);

#endif
