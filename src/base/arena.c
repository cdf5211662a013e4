/* arena.c: a list of blocks. */
#include "base/arena.h"

#include <stdlib.h>

#define ARENA_BLOCK ((size_t)64 * 1024)
#define ARENA_ALIGN ((size_t)16)

struct cu_arena_block {
	struct cu_arena_block *next;
	size_t size;
	_Alignas(16) char data[];
};

static size_t ordinary(const cu_arena *arena)
{
	return arena->block_size ? arena->block_size : ARENA_BLOCK;
}

void *cu_arena_alloc(cu_arena *arena, size_t size)
{
	struct cu_arena_block *block = arena->blocks;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
	if (!block || block->size - arena->used < size) {
		size_t block_size = CU_MAX(size, ordinary(arena));

		block = cu_try_malloc(sizeof *block + block_size);
		if (!block)
			return NULL;
		block->next = arena->blocks;
		block->size = block_size;
		arena->blocks = block;
		arena->used = 0;
	}
	arena->used += size;
	arena->total += size;
	return block->data + arena->used - size;
}

void *cu_arena_copy(cu_arena *arena, const void *data, size_t size)
{
	void *copy = cu_arena_alloc(arena, size);

	if (copy && size)
		memcpy(copy, data, size);
	return copy;
}

void cu_arena_reset(cu_arena *arena)
{
	struct cu_arena_block *keep = NULL, *block = arena->blocks;

	while (block) {
		struct cu_arena_block *next = block->next;

		if (!keep && block->size == ordinary(arena))
			keep = block;
		else
			free(block);
		block = next;
	}
	if (keep)
		keep->next = NULL;
	*arena = (cu_arena){ keep, 0, 0, arena->block_size };
}

void cu_arena_fini(cu_arena *arena)
{
	cu_arena_reset(arena);
	free(arena->blocks);
	*arena = (cu_arena)CU_ARENA_INIT;
}
