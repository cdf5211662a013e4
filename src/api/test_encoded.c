/* test_encoded: label: fault. Copies are made once and found again, go when there is no room, and what fails says so to
 * everybody who waits. */
#include "api/encoded.h"

#include "base/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/cu-encoded-XXXXXX";
static char dir[64];

/* ---- writes that fail, or wait ---- */

static _Atomic bool writes_fail;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: writes wait */

static ssize_t gated_pwrite(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	pthread_mutex_lock(&gate);
	pthread_mutex_unlock(&gate);
	if (atomic_load(&writes_fail)) {
		errno = ENOSPC;
		return -1;
	}
	return cu_file_system.pwrite(ctx, fd, data, len, at);
}

static struct cu_file_ops ops;

/* ---- who waits ---- */

struct told {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned copies, none;
	struct cu_encoded_copy last; /* the others are closed */
};
#define TOLD_INIT                                                          \
	{                                                                  \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, \
		{                                                          \
			-1, 0, 0                                           \
		}                                                          \
	}

static void on_done(void *arg, const struct cu_encoded_copy *copy)
{
	struct told *told = arg;

	pthread_mutex_lock(&told->lock);
	if (copy) {
		if (told->last.fd >= 0)
			close(told->last.fd);
		told->last = *copy;
		told->copies++;
	} else {
		told->none++;
	}
	pthread_cond_signal(&told->changed);
	pthread_mutex_unlock(&told->lock);
}

static void wait_for(struct told *told, unsigned sum)
{
	pthread_mutex_lock(&told->lock);
	while (told->copies + told->none < sum)
		pthread_cond_wait(&told->changed, &told->lock);
	pthread_mutex_unlock(&told->lock);
}

/* ---- help ---- */

static cu_encoded *start(uint64_t bytes_max, uint32_t copies_max)
{
	struct cu_encoded_opts opts = { dir, &ops, bytes_max, copies_max };
	cu_encoded *encoded = cu_encoded_new(&opts);

	assert_non_null(encoded);
	return encoded;
}

static void stop(cu_encoded **encoded)
{
	cu_encoded_stop(*encoded);
	cu_encoded_free(encoded);
}

static int source_new(const char *name, char fill, size_t len)
{
	char path[128], *text = malloc(len);
	int fd;

	snprintf(path, sizeof path, "%s/%s", root, name);
	unlink(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(fill + (char)(i * i % 7));
	assert_int_equal(write(fd, text, len), len);
	free(text);
	return fd;
}

static unsigned files(void)
{
	DIR *list = opendir(dir);
	unsigned n = 0;

	assert_non_null(list);
	for (const struct dirent *item; (item = readdir(list));)
		n += item->d_name[0] != '.';
	closedir(list);
	return n;
}

static struct cu_encoded_copy made(cu_encoded *encoded, enum cu_encoding encoding, int fd, uint64_t len)
{
	struct told told = TOLD_INIT;

	cu_encoded_make(encoded, encoding, fd, 0, len, on_done, &told);
	wait_for(&told, 1);
	assert_int_equal(told.copies, 1);
	return told.last;
}

static bool found(cu_encoded *encoded, enum cu_encoding encoding, int fd, uint64_t len)
{
	struct cu_encoded_copy copy;

	if (cu_encoded_find(encoded, encoding, fd, 0, len, &copy) < 0)
		return false;
	close(copy.fd);
	return true;
}

/* ---- the tests ---- */

static void a_copy_is_made_once_and_found_by_what_it_is_a_copy_of(void **state)
{
	cu_encoded *encoded = start(1 << 20, 100);
	int fd = source_new("one", 'a', 200000), again, other;
	struct cu_encoded_copy copy;

	(void)state;
	assert_int_equal(cu_encoded_find(encoded, CU_ENCODING_GZIP, fd, 0, 200000, &copy), CU_ENOTFOUND);
	copy = made(encoded, CU_ENCODING_GZIP, fd, 200000);
	assert_true(copy.bytes > 0 && copy.bytes < 20000);
	assert_int_equal(lseek(copy.fd, 0, SEEK_END), copy.bytes);
	close(copy.fd);
	again = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(dup2(fd, again) == again);
	assert_true(found(encoded, CU_ENCODING_GZIP, again, 200000));
	assert_false(found(encoded, CU_ENCODING_ZSTD, again, 200000));
	assert_false(found(encoded, CU_ENCODING_GZIP, again, 199999));
	/* The same name is another file. */
	other = source_new("one", 'a', 200000);
	assert_false(found(encoded, CU_ENCODING_GZIP, other, 200000));
	assert_int_equal(files(), 1);
	close(fd);
	close(again);
	close(other);
	stop(&encoded);
	/* What an earlier process left has no meaning. */
	encoded = start(1 << 20, 100);
	assert_int_equal(files(), 0);
	stop(&encoded);
}

static void many_who_want_the_same_wait_for_one(void **state)
{
	cu_encoded *encoded = start(1 << 20, 100);
	struct told told = TOLD_INIT;
	int fd = source_new("many", 'b', 300000);

	(void)state;
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 50; i++)
		cu_encoded_make(encoded, CU_ENCODING_ZSTD, fd, 0, 300000, on_done, &told);
	pthread_mutex_unlock(&gate);
	wait_for(&told, 50);
	assert_int_equal(told.copies, 50);
	assert_int_equal(files(), 1);
	close(told.last.fd);
	close(fd);
	stop(&encoded);
}

static void those_not_used_lately_go(void **state)
{
	cu_encoded *encoded = start(1 << 20, 3);
	int fds[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof name, "lru%d", i);
		fds[i] = source_new(name, 'c', 50000);
		close(made(encoded, CU_ENCODING_GZIP, fds[i], 50000).fd);
		assert_true(found(encoded, CU_ENCODING_GZIP, fds[0], 50000));
	}
	/* The last file goes after those who waited have been told. */
	cu_encoded_stop(encoded);
	assert_int_equal(files(), 3);
	assert_true(found(encoded, CU_ENCODING_GZIP, fds[0], 50000));
	assert_false(found(encoded, CU_ENCODING_GZIP, fds[1], 50000));
	assert_false(found(encoded, CU_ENCODING_GZIP, fds[2], 50000));
	assert_true(found(encoded, CU_ENCODING_GZIP, fds[4], 50000));
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	cu_encoded_free(&encoded);
}

static void all_copies_together_stay_within_their_bytes(void **state)
{
	cu_encoded *encoded = start(1, 100);
	int fd = source_new("bytes", 'd', 50000);
	struct cu_encoded_copy copy = made(encoded, CU_ENCODING_GZIP, fd, 50000);
	char byte;

	(void)state;
	cu_encoded_stop(encoded);
	assert_int_equal(files(), 0);
	/* Who was given it can read it to the end. */
	assert_int_equal(pread(copy.fd, &byte, 1, 0), 1);
	close(copy.fd);
	close(fd);
	cu_encoded_free(&encoded);
}

static void a_full_disk_is_told_to_all_and_rests_for_a_while(void **state)
{
	cu_encoded *encoded = start(1 << 20, 100);
	struct told told = TOLD_INIT;
	struct cu_encoded_copy copy;
	int fd = source_new("full", 'e', 300000);

	(void)state;
	atomic_store(&writes_fail, true);
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 5; i++)
		cu_encoded_make(encoded, CU_ENCODING_GZIP, fd, 0, 300000, on_done, &told);
	pthread_mutex_unlock(&gate);
	wait_for(&told, 5);
	assert_int_equal(told.none, 5);
	atomic_store(&writes_fail, false);
	assert_int_equal(files(), 0);
	assert_int_equal(cu_encoded_find(encoded, CU_ENCODING_GZIP, fd, 0, 300000, &copy), CU_EFULL);
	cu_encoded_make(encoded, CU_ENCODING_GZIP, fd, 0, 300000, on_done, &told);
	assert_int_equal(told.none, 6);
	close(fd);
	stop(&encoded);
}

static void a_source_that_is_too_short_has_no_copy(void **state)
{
	cu_encoded *encoded = start(1 << 20, 100);
	struct told told = TOLD_INIT;
	int fd = source_new("short", 'f', 1000);

	(void)state;
	cu_encoded_make(encoded, CU_ENCODING_ZSTD, fd, 0, 1001, on_done, &told);
	wait_for(&told, 1);
	assert_int_equal(told.none, 1);
	close(fd);
	stop(&encoded);
}

static void the_queue_is_bounded_and_the_end_tells_everybody(void **state)
{
	cu_encoded *encoded = start(1 << 20, 1000);
	struct told told = TOLD_INIT;
	int fd = source_new("queue", 'g', 5000);
	unsigned asked = 2 * CU_ENCODED_QUEUE_MAX;

	(void)state;
	pthread_mutex_lock(&gate);
	for (unsigned i = 0; i < asked; i++)
		cu_encoded_make(encoded, CU_ENCODING_GZIP, fd, 0, 1000 + i, on_done, &told);
	assert_in_range(told.none, asked - CU_ENCODED_QUEUE_MAX - 1, asked - CU_ENCODED_QUEUE_MAX);
	pthread_mutex_unlock(&gate);
	cu_encoded_stop(encoded);
	assert_int_equal(told.copies + told.none, asked);
	if (told.last.fd >= 0)
		close(told.last.fd);
	close(fd);
	cu_encoded_free(&encoded);
}

static int group_setup(void **state)
{
	(void)state;
	ops = cu_file_system;
	ops.pwrite = gated_pwrite;
	if (!mkdtemp(root))
		return -1;
	snprintf(dir, sizeof dir, "%s/encoded", root);
	return 0;
}

static int group_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", root);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_is_made_once_and_found_by_what_it_is_a_copy_of),
		cmocka_unit_test(many_who_want_the_same_wait_for_one),
		cmocka_unit_test(those_not_used_lately_go),
		cmocka_unit_test(all_copies_together_stay_within_their_bytes),
		cmocka_unit_test(a_full_disk_is_told_to_all_and_rests_for_a_while),
		cmocka_unit_test(a_source_that_is_too_short_has_no_copy),
		cmocka_unit_test(the_queue_is_bounded_and_the_end_tells_everybody),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
