/* Answers that are made in memory, and in files when they grow. */
#include "store/spool.h"

#include "base/limits.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/copper-spool-XXXXXX";

static void fill(cu_buf *buf, size_t len, char from)
{
	for (size_t i = 0; i < len; i++)
		cu_buf_putc(buf, (char)(from + (char)(i % 26)));
}

static void what_is_small_stays_in_memory(void **state)
{
	cu_spool spool;

	(void)state;
	cu_spool_init(&spool, dir, NULL);
	fill(&spool.memory, CU_SPOOL_MEMORY - 1, 'a');
	assert_int_equal(cu_spool_put(&spool), 0);
	assert_int_equal(cu_spool_finish(&spool), 0);
	assert_int_equal(spool.fd, -1);
	assert_int_equal(spool.memory.len, CU_SPOOL_MEMORY - 1);
	cu_spool_fini(&spool);
}

static void what_grows_is_in_a_file_without_a_name_byte_for_byte(void **state)
{
	cu_buf expected = CU_BUF_INIT;
	char *found;
	cu_spool spool;
	size_t len;

	(void)state;
	cu_spool_init(&spool, dir, NULL);
	for (unsigned i = 0; i < 100; i++) {
		fill(&spool.memory, 10007 + i, 'A');
		fill(&expected, 10007 + i, 'A');
		assert_int_equal(cu_spool_put(&spool), 0);
		assert_true(spool.memory.len < CU_SPOOL_MEMORY);
	}
	assert_int_equal(cu_spool_finish(&spool), 0);
	assert_true(spool.fd >= 0);
	assert_int_equal(spool.memory.len, 0);
	assert_int_equal(spool.file_bytes, expected.len);
	found = malloc(expected.len + 1);
	assert_int_equal(cu_file_read_at(&cu_file_system, spool.fd, found, expected.len + 1, 0, &len), 0);
	assert_int_equal(len, expected.len);
	assert_memory_equal(found, expected.data, len);
	assert_int_equal(rmdir(dir), 0); /* nothing in it */
	assert_ptr_equal(mkdtemp(strcpy(dir, "/tmp/copper-spool-XXXXXX")), dir);
	free(found);
	cu_buf_fini(&expected);
	cu_spool_fini(&spool);
}

static ssize_t full_disk(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	(void)ctx, (void)fd, (void)data, (void)len, (void)at;
	errno = ENOSPC;
	return -1;
}

static void a_disk_that_is_full_is_said(void **state)
{
	struct cu_file_ops ops = cu_file_system;
	cu_spool spool;

	(void)state;
	ops.pwrite = full_disk;
	cu_spool_init(&spool, dir, &ops);
	fill(&spool.memory, CU_SPOOL_MEMORY, 'a');
	assert_int_equal(cu_spool_put(&spool), CU_ENOSPC);
	cu_spool_fini(&spool);
	cu_spool_init(&spool, "/nowhere/at/all", NULL);
	fill(&spool.memory, CU_SPOOL_MEMORY, 'a');
	assert_int_equal(cu_spool_put(&spool), CU_EIO);
	cu_spool_fini(&spool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_small_stays_in_memory),
		cmocka_unit_test(what_grows_is_in_a_file_without_a_name_byte_for_byte),
		cmocka_unit_test(a_disk_that_is_full_is_said),
	};
	int rc;

	if (!mkdtemp(dir))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return rc;
}
