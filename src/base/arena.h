/* arena.h: memory that is given back all at once.
 *
 * Threads: one at a time. Cost: a pointer bump. Allocations are 16-byte aligned and live until cu_arena_reset(), which
 * keeps one block for reuse. Returns NULL when out of memory: what is put here is sized from outside.
 */
#ifndef CU_ARENA_H
#define CU_ARENA_H

#include "base/base.h"

struct cu_arena_block;

typedef struct cu_arena {
	struct cu_arena_block *blocks; /* newest first */
	size_t used;                   /* in the newest block */
	size_t total;                  /* bytes handed out since the last reset */
	size_t block_size;             /* of an ordinary block; 0: 64 KiB. For arenas that live long and hold little */
} cu_arena;

#define CU_ARENA_INIT         \
	{                     \
		NULL, 0, 0, 0 \
	}

void *cu_arena_alloc(cu_arena *arena, size_t size);
void *cu_arena_copy(cu_arena *arena, const void *data, size_t size);
void cu_arena_reset(cu_arena *arena); /* forgets everything, keeps one ordinary block */
void cu_arena_fini(cu_arena *arena);

#endif
