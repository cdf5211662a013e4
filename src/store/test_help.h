/* test_help.h: a directory for a test, and file operations that fail on demand. Included by tests only. */
#ifndef CU_STORE_TEST_HELP_H
#define CU_STORE_TEST_HELP_H

#include "store/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((unused)) static char *help_dir_new(void)
{
	/* Memory where there is some: these tests sync a lot and fault by themselves. */
	char *dir = cu_xstrdup(access("/dev/shm", W_OK) == 0 ? "/dev/shm/cu-store-XXXXXX" : "/tmp/cu-store-XXXXXX");

	CU_ASSERT(mkdtemp(dir));
	return dir;
}

static int help_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

__attribute__((unused)) static void help_dir_free(char **dir)
{
	nftw(*dir, help_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(*dir);
	*dir = NULL;
}

/* Flips one bit of a file. */
__attribute__((unused)) static void help_flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	CU_ASSERT(fd >= 0 && pread(fd, &byte, 1, at) == 1);
	byte ^= 0x10;
	CU_ASSERT(pwrite(fd, &byte, 1, at) == 1);
	close(fd);
}

__attribute__((unused)) static off_t help_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Fails the n-th operation that changes something or reads, once; every write is short, so that continuing is
 * tested as well, and the failing one writes half. */
static struct {
	_Atomic long calls;
	_Atomic long fail_at; /* 0: never */
	_Atomic bool syncs_only;
	void (*look)(void *ctx); /* before each operation; NULL: nobody looks */
	void *look_ctx;
} help_fault;

static bool help_fails(bool sync)
{
	if (help_fault.look)
		help_fault.look(help_fault.look_ctx);
	if (help_fault.syncs_only && !sync)
		return false;
	if (++help_fault.calls != help_fault.fail_at)
		return false;
	errno = EIO;
	return true;
}

static int fault_open(void *ctx, const char *path, int flags, mode_t mode)
{
	return help_fails(false) ? -1 : cu_file_system.open(ctx, path, flags, mode);
}

static int fault_close(void *ctx, int fd)
{
	return cu_file_system.close(ctx, fd);
}

static ssize_t fault_pwrite(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	if (help_fails(false)) {
		if (len > 1)
			cu_file_system.pwrite(ctx, fd, data, len / 2, at);
		errno = ENOSPC;
		return -1;
	}
	return cu_file_system.pwrite(ctx, fd, data, len > 7 ? len - 5 : len, at);
}

static ssize_t fault_pread(void *ctx, int fd, void *out, size_t len, off_t at)
{
	return help_fails(false) ? -1 : cu_file_system.pread(ctx, fd, out, len > 7 ? len - 5 : len, at);
}

static int fault_fdatasync(void *ctx, int fd)
{
	return help_fails(true) ? -1 : cu_file_system.fdatasync(ctx, fd);
}

static int fault_ftruncate(void *ctx, int fd, off_t len)
{
	return help_fails(false) ? -1 : cu_file_system.ftruncate(ctx, fd, len);
}

static int fault_rename(void *ctx, const char *from, const char *to)
{
	return help_fails(false) ? -1 : cu_file_system.rename(ctx, from, to);
}

static int fault_unlink(void *ctx, const char *path)
{
	return help_fails(false) ? -1 : cu_file_system.unlink(ctx, path);
}

static int fault_mkdir(void *ctx, const char *path, mode_t mode)
{
	return help_fails(false) ? -1 : cu_file_system.mkdir(ctx, path, mode);
}

static int fault_rmdir(void *ctx, const char *path)
{
	return help_fails(false) ? -1 : cu_file_system.rmdir(ctx, path);
}

static int fault_fsync_dir(void *ctx, const char *path)
{
	return help_fails(true) ? -1 : cu_file_system.fsync_dir(ctx, path);
}

__attribute__((unused)) static const struct cu_file_ops help_fault_ops = {
	.open = fault_open,
	.close = fault_close,
	.pwrite = fault_pwrite,
	.pread = fault_pread,
	.fdatasync = fault_fdatasync,
	.ftruncate = fault_ftruncate,
	.rename = fault_rename,
	.unlink = fault_unlink,
	.mkdir = fault_mkdir,
	.rmdir = fault_rmdir,
	.fsync_dir = fault_fsync_dir,
};

__attribute__((unused)) static void help_fault_set(long fail_at, bool syncs_only)
{
	help_fault.calls = 0;
	help_fault.fail_at = fail_at;
	help_fault.syncs_only = syncs_only;
}

/* Another connection says something to a store's metadata, which is not expecting it. */
__attribute__((unused)) static void help_metadata_exec(const char *dir, const char *sql)
{
	char *path = cu_file_path("%s/metadata.sqlite3", dir);
	sqlite3 *db = NULL;

	CU_ASSERT(sqlite3_open(path, &db) == SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	CU_ASSERT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
	free(path);
}

#endif
