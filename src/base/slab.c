/* slab.c: blocks of slots, one kind of block for each size class. */
#include "base/slab.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define STEP 16u /* between two size classes */
#define CLASSES (CU_SLAB_MAX / STEP)

struct slot {
	struct slot *next;
};

/* At the beginning of its memory, which is aligned to its size: so a slot finds it. */
struct block {
	struct block *prev, *next; /* among those of the class with room */
	struct slot *given_back;
	char *untouched; /* from here on no slot was ever taken */
	size_t slot_size;
	uint32_t live;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *with_room[CLASSES];

static struct block *block_of(void *slot)
{
	return (struct block *)((uintptr_t)slot & ~(uintptr_t)(CU_SLAB_BLOCK - 1));
}

static char *block_end(struct block *block)
{
	return (char *)block + CU_SLAB_BLOCK;
}

static bool has_room(struct block *block)
{
	return block->given_back || block->untouched + block->slot_size <= block_end(block);
}

static void list_add(struct block **list, struct block *block)
{
	block->prev = NULL;
	block->next = *list;
	if (*list)
		(*list)->prev = block;
	*list = block;
}

static void list_remove(struct block **list, struct block *block)
{
	if (block->prev)
		block->prev->next = block->next;
	else
		*list = block->next;
	if (block->next)
		block->next->prev = block->prev;
}

/* Maps twice as much and keeps the aligned half. */
static struct block *block_new(size_t slot_size)
{
	char *map = mmap(NULL, 2 * CU_SLAB_BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct block *block;
	size_t before;

	if (map == MAP_FAILED) {
		fprintf(stderr, "copper: out of memory for %zu bytes\n", CU_SLAB_BLOCK);
		abort();
	}
	before = CU_SLAB_BLOCK - ((uintptr_t)map & (CU_SLAB_BLOCK - 1));
	block = (struct block *)(map + before);
	munmap(map, before);
	if (before < CU_SLAB_BLOCK)
		munmap(block_end(block), CU_SLAB_BLOCK - before);
	block->slot_size = slot_size;
	block->untouched = (char *)block + (sizeof *block + STEP - 1) / STEP * STEP;
	ASAN_POISON_MEMORY_REGION(block->untouched, (size_t)(block_end(block) - block->untouched));
	return block;
}

static void block_free(struct block *block)
{
	ASAN_UNPOISON_MEMORY_REGION(block, CU_SLAB_BLOCK);
	munmap(block, CU_SLAB_BLOCK);
}

void *cu_slab_alloc(size_t size)
{
	size_t class = (size + STEP - 1) / STEP;
	struct block *block;
	void *slot;

	if (size == 0 || size > CU_SLAB_MAX)
		return cu_xzalloc(size);
	pthread_mutex_lock(&lock);
	block = with_room[class - 1];
	if (!block) {
		block = block_new(class * STEP);
		list_add(&with_room[class - 1], block);
	}
	slot = block->given_back;
	if (slot) {
		ASAN_UNPOISON_MEMORY_REGION(slot, sizeof(struct slot));
		block->given_back = block->given_back->next;
	} else {
		slot = block->untouched;
		block->untouched += block->slot_size;
	}
	block->live++;
	if (!has_room(block))
		list_remove(&with_room[class - 1], block);
	pthread_mutex_unlock(&lock);
	ASAN_UNPOISON_MEMORY_REGION(slot, size);
	return memset(slot, 0, size);
}

void cu_slab_free(void *ptr, size_t size)
{
	size_t class = (size + STEP - 1) / STEP;
	struct slot *slot = ptr;
	struct block *block;

	if (size == 0 || size > CU_SLAB_MAX) {
		free(ptr);
		return;
	}
	if (!ptr)
		return;
	block = block_of(ptr);
	pthread_mutex_lock(&lock);
	CU_ASSERT(block->slot_size == class * STEP && block->live > 0);
	if (!has_room(block))
		list_add(&with_room[class - 1], block);
	ASAN_UNPOISON_MEMORY_REGION(slot, sizeof *slot);
	slot->next = block->given_back;
	block->given_back = slot;
	ASAN_POISON_MEMORY_REGION(slot, block->slot_size);
	if (--block->live == 0) {
		list_remove(&with_room[class - 1], block);
		block_free(block);
	}
	pthread_mutex_unlock(&lock);
}
