#include "store/file.h"

#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int system_open(void *ctx, const char *path, int flags, mode_t mode)
{
	(void)ctx;
	return open(path, flags, mode);
}

static int system_close(void *ctx, int fd)
{
	(void)ctx;
	return close(fd);
}

static ssize_t system_pwrite(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	(void)ctx;
	return pwrite(fd, data, len, at);
}

static ssize_t system_pread(void *ctx, int fd, void *out, size_t len, off_t at)
{
	(void)ctx;
	return pread(fd, out, len, at);
}

static int system_fdatasync(void *ctx, int fd)
{
	(void)ctx;
	return fdatasync(fd);
}

static int system_ftruncate(void *ctx, int fd, off_t len)
{
	(void)ctx;
	return ftruncate(fd, len);
}

static int system_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return rename(from, to);
}

static int system_unlink(void *ctx, const char *path)
{
	(void)ctx;
	return unlink(path);
}

static int system_mkdir(void *ctx, const char *path, mode_t mode)
{
	(void)ctx;
	return mkdir(path, mode);
}

static int system_rmdir(void *ctx, const char *path)
{
	(void)ctx;
	return rmdir(path);
}

static int system_fsync_dir(void *ctx, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc, saved;

	(void)ctx;
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return rc;
}

const struct cu_file_ops cu_file_system = {
	.open = system_open,
	.close = system_close,
	.pwrite = system_pwrite,
	.pread = system_pread,
	.fdatasync = system_fdatasync,
	.ftruncate = system_ftruncate,
	.rename = system_rename,
	.unlink = system_unlink,
	.mkdir = system_mkdir,
	.rmdir = system_rmdir,
	.fsync_dir = system_fsync_dir,
};

static int failed(const char *what, const char *path)
{
	int saved = errno;

	if (saved == ENOENT)
		return CU_ENOTFOUND;
	if (saved == EEXIST)
		return CU_EEXIST;
	if (path)
		cu_error("a file operation failed; look at the disk and the directory's rights",
			 CU_KV("operation", what), CU_KV("path", path), CU_KV("error", strerror(saved)));
	else
		cu_error("a file operation failed; look at the disk", CU_KV("operation", what),
			 CU_KV("error", strerror(saved)));
	return cu_disk_error(saved);
}

/* Descriptors have no names here; a missing file cannot be their trouble. */
static int failed_fd(const char *what)
{
	int rc = failed(what, NULL);

	return rc == CU_ENOSPC ? rc : CU_EIO;
}

int cu_file_open(const struct cu_file_ops *ops, const char *path, int flags, int *ret_fd)
{
	int fd;

	do {
		fd = ops->open(ops->ctx, path, flags | O_CLOEXEC, 0600);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return failed("open", path);
	*ret_fd = fd;
	return 0;
}

int cu_file_open_unnamed(const struct cu_file_ops *ops, const char *dir, int *ret_fd)
{
	static _Atomic uint64_t number;
	char *path = cu_file_path("%s/spool-%ld-%" PRIu64, dir, (long)getpid(), atomic_fetch_add(&number, 1));
	int fd = -1;
	int rc;

	rc = cu_file_open(ops, path, O_RDWR | O_CREAT | O_TRUNC, &fd);
	if (rc == 0)
		rc = cu_file_unlink(ops, path);
	if (rc == 0)
		*ret_fd = fd;
	else
		cu_file_close(ops, &fd);
	free(path);
	return rc < 0 && rc != CU_ENOSPC ? CU_EIO : rc;
}

void cu_file_close(const struct cu_file_ops *ops, int *fd)
{
	/* Linux closes the descriptor even when it says EINTR. Nothing relies on close for durability. */
	if (*fd >= 0)
		ops->close(ops->ctx, *fd);
	*fd = -1;
}

int cu_file_write_at(const struct cu_file_ops *ops, int fd, const void *data, size_t len, uint64_t at)
{
	const char *from = data;

	while (len > 0) {
		ssize_t n = ops->pwrite(ops->ctx, fd, from, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENOSPC;
		if (n <= 0)
			return failed_fd("pwrite");
		from += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int cu_file_read_at(const struct cu_file_ops *ops, int fd, void *out, size_t len, uint64_t at, size_t *ret_len)
{
	char *to = out;
	size_t done = 0;

	while (done < len) {
		ssize_t n = ops->pread(ops->ctx, fd, to + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed_fd("pread");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*ret_len = done;
	return 0;
}

int cu_file_sync(const struct cu_file_ops *ops, int fd)
{
	/* Never repeated, not even after EINTR: the kernel reports a lost page once and then calls it clean. */
	return ops->fdatasync(ops->ctx, fd) < 0 ? failed_fd("fdatasync") : 0;
}

void cu_file_write_back(int fd)
{
	(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* what fails is told by the sync */
}

int cu_file_truncate(const struct cu_file_ops *ops, int fd, uint64_t len)
{
	int rc;

	do {
		rc = ops->ftruncate(ops->ctx, fd, (off_t)len);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? failed_fd("ftruncate") : 0;
}

int cu_file_rename(const struct cu_file_ops *ops, const char *from, const char *to)
{
	return ops->rename(ops->ctx, from, to) < 0 ? failed("rename", from) : 0;
}

int cu_file_unlink(const struct cu_file_ops *ops, const char *path)
{
	return ops->unlink(ops->ctx, path) < 0 ? failed("unlink", path) : 0;
}

int cu_file_mkdir(const struct cu_file_ops *ops, const char *path)
{
	return ops->mkdir(ops->ctx, path, 0700) < 0 ? failed("mkdir", path) : 0;
}

int cu_file_rmdir(const struct cu_file_ops *ops, const char *path)
{
	return ops->rmdir(ops->ctx, path) < 0 ? failed("rmdir", path) : 0;
}

int cu_file_sync_dir(const struct cu_file_ops *ops, const char *path)
{
	return ops->fsync_dir(ops->ctx, path) < 0 ? failed("fsync", path) : 0;
}

int cu_file_size(int fd, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return failed_fd("fstat");
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

char *cu_file_path(const char *fmt, ...)
{
	va_list args;
	char *path;
	int len;

	va_start(args, fmt);
	len = vasprintf(&path, fmt, args);
	va_end(args);
	CU_ASSERT(len >= 0);
	return path;
}
