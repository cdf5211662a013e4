/* test_cells.c: cells against a model; memory that is not used goes back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MAX 3000u

static void *cell_at(const cu_cells *cells, uint32_t cell)
{
	char *block = cu_cells_block(cells, cell);

	assert_non_null(block);
	return block + cell % CU_CELLS_BLOCK * cells->size;
}

/* Gives a cell back and does what an owner does with an empty group. True: its memory went. */
static bool give(cu_cells *cells, uint32_t cell)
{
	bool wiped;

	if (!cu_cells_give(cells, cell))
		return false;
	wiped = cu_cells_wipe(cells, cell);
	cu_cells_return(cells, cell, wiped);
	return wiped;
}

static void a_taken_cell_is_nobody_elses_and_keeps_what_is_in_it(void **state)
{
	static uint32_t owned[MAX];
	cu_cells cells;
	uint32_t count = 0;
	unsigned seed = 11;
	unsigned step;

	(void)state;
	assert_int_equal(cu_cells_init(&cells, 64, MAX), 0);
	for (step = 0; step < 40000; step++) {
		bool grows = (unsigned)rand_r(&seed) % 10 < (step / 5000 % 2 ? 2 : 8);

		if (grows && count < MAX) {
			uint32_t cell;

			assert_int_equal(cu_cells_take(&cells, &cell), 0);
			assert_int_not_equal(*(uint32_t *)cell_at(&cells, cell), cell + 1);
			assert_true(cu_cells_taken(&cells, cell));
			*(uint32_t *)cell_at(&cells, cell) = cell + 1;
			owned[count++] = cell;
		} else if (count) {
			uint32_t at = (uint32_t)rand_r(&seed) % count;
			uint32_t cell = owned[at];

			assert_int_equal(*(uint32_t *)cell_at(&cells, cell), cell + 1);
			*(uint32_t *)cell_at(&cells, cell) = 0;
			give(&cells, cell);
			assert_false(cu_cells_taken(&cells, cell));
			owned[at] = owned[--count];
		}
	}
	for (uint32_t cell = 0; cu_cells_next(&cells, &cell); cell++)
		count--;
	assert_int_equal(count, 0);
	cu_cells_fini(&cells);
}

static void groups_that_nobody_uses_give_their_memory_back(void **state)
{
	cu_cells cells;
	uint32_t cell;
	unsigned wiped = 0;
	unsigned char resident[CU_CELLS_BLOCK * 64 / 4096];
	size_t pages = 0;

	(void)state;
	assert_int_equal(cu_cells_init(&cells, 64, CU_CELLS_BLOCK), 0);
	for (uint32_t i = 0; i < CU_CELLS_BLOCK; i++) {
		assert_int_equal(cu_cells_take(&cells, &cell), 0);
		memset(cell_at(&cells, cell), 1, 64);
		*cu_cells_note(&cells, cell) = 7;
	}
	for (uint32_t i = 0; i < CU_CELLS_BLOCK; i++)
		wiped += give(&cells, i);
	assert_int_equal(wiped, CU_CELLS_BLOCK / CU_CELLS_GROUP - 4);
	assert_int_equal(*cu_cells_note(&cells, 0), 7);
	assert_int_equal(mincore(cu_cells_block(&cells, 0), sizeof resident * 4096, resident), 0);
	for (size_t i = 0; i < sizeof resident; i++)
		pages += resident[i] & 1;
	assert_int_equal(pages, 4);
	/* And they serve again. */
	for (uint32_t i = 0; i < CU_CELLS_BLOCK; i++)
		assert_int_equal(cu_cells_take(&cells, &cell), 0);
	assert_int_equal(cu_cells_take(&cells, &cell), CU_EFULL);
	cu_cells_fini(&cells);
}

static void a_group_set_aside_is_not_handed_out(void **state)
{
	cu_cells cells;
	uint32_t cell;
	uint32_t aside = UINT32_MAX;

	(void)state;
	assert_int_equal(cu_cells_init(&cells, 64, CU_CELLS_BLOCK), 0);
	for (uint32_t i = 0; i < CU_CELLS_BLOCK; i++)
		assert_int_equal(cu_cells_take(&cells, &cell), 0);
	for (uint32_t i = 0; aside == UINT32_MAX; i++) {
		if (cu_cells_give(&cells, i))
			aside = i;
	}
	for (uint32_t i = 0; i < aside + 1 - CU_CELLS_GROUP; i++) {
		assert_int_equal(cu_cells_take(&cells, &cell), 0);
		assert_int_not_equal(cell / CU_CELLS_GROUP, aside / CU_CELLS_GROUP);
	}
	assert_int_equal(cu_cells_take(&cells, &cell), CU_EFULL);
	cu_cells_return(&cells, aside, false);
	assert_int_equal(cu_cells_take(&cells, &cell), 0);
	cu_cells_fini(&cells);
}

static void without_memory_nothing_is_taken(void **state)
{
	cu_cells cells;
	uint32_t cell;

	(void)state;
	assert_int_equal(cu_cells_init(&cells, 64, CU_CELLS_BLOCK), 0);
	cu_fault_alloc_at(1);
	assert_int_equal(cu_cells_take(&cells, &cell), CU_ENOMEM);
	cu_fault_alloc_at(0);
	assert_int_equal(cu_cells_take(&cells, &cell), 0);
	assert_int_equal(cell, 0);
	cu_cells_fini(&cells);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_taken_cell_is_nobody_elses_and_keeps_what_is_in_it),
		cmocka_unit_test(groups_that_nobody_uses_give_their_memory_back),
		cmocka_unit_test(a_group_set_aside_is_not_handed_out),
		cmocka_unit_test(without_memory_nothing_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
