/* file.h: the few file operations that storage uses, behind a table that tests replace.
 *
 * Threads: any. A table's functions behave like the system calls: -1 and errno on failure, short counts and EINTR
 * allowed; the cu_file_… wrappers repeat those, log what failed with its path, and return CU_E… codes.
 * Directory listings and fstat go straight to the system: they change nothing.
 */
#ifndef CU_STORE_FILE_H
#define CU_STORE_FILE_H

#include "base/base.h"

#include <sys/types.h>

struct cu_file_ops {
	void *ctx;
	int (*open)(void *ctx, const char *path, int flags, mode_t mode);
	int (*close)(void *ctx, int fd);
	ssize_t (*pwrite)(void *ctx, int fd, const void *data, size_t len, off_t at);
	ssize_t (*pread)(void *ctx, int fd, void *out, size_t len, off_t at);
	int (*fdatasync)(void *ctx, int fd);
	int (*ftruncate)(void *ctx, int fd, off_t len);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*unlink)(void *ctx, const char *path);
	int (*mkdir)(void *ctx, const char *path, mode_t mode);
	int (*rmdir)(void *ctx, const char *path);
	int (*fsync_dir)(void *ctx, const char *path); /* makes names made, changed and removed in it durable */
};

/* The real system calls. NULL stands for it wherever a table is asked for. */
extern const struct cu_file_ops cu_file_system;

/* CU_ENOTFOUND when open, rename or unlink miss the file, CU_EEXIST for mkdir, CU_ENOSPC when there is no room;
 * everything else is CU_EIO. */
int cu_file_open(const struct cu_file_ops *ops, const char *path, int flags, int *ret_fd); /* O_CLOEXEC, 0600 */
/* In dir, for reading and writing; its name goes at once. A crash in between leaves an empty "spool-…". */
int cu_file_open_unnamed(const struct cu_file_ops *ops, const char *dir, int *ret_fd);
void cu_file_close(const struct cu_file_ops *ops, int *fd); /* -1 is fine; sets -1 */
int cu_file_write_at(const struct cu_file_ops *ops, int fd, const void *data, size_t len, uint64_t at); /* all of it */
/* Reads until len or the end of the file; *ret_len may be short only at the end. */
int cu_file_read_at(const struct cu_file_ops *ops, int fd, void *out, size_t len, uint64_t at, size_t *ret_len);
int cu_file_sync(const struct cu_file_ops *ops, int fd);
/* Begins to write: many files that are synced later need not wait one after the other. */
void cu_file_write_back(int fd);
int cu_file_truncate(const struct cu_file_ops *ops, int fd, uint64_t len);
int cu_file_rename(const struct cu_file_ops *ops, const char *from, const char *to);
int cu_file_unlink(const struct cu_file_ops *ops, const char *path);
int cu_file_mkdir(const struct cu_file_ops *ops, const char *path);
int cu_file_rmdir(const struct cu_file_ops *ops, const char *path);
int cu_file_sync_dir(const struct cu_file_ops *ops, const char *path);
int cu_file_size(int fd, uint64_t *ret_size);

/* "dir/name" as printf. Returns owned. */
char *cu_file_path(const char *fmt, ...) CU_PRINTF(1, 2);

#endif
