#include "store/usage.h"

#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHAPE_ROW_BYTES 512u /* a shape's row with its index entries and its share of a page, about */

struct cu_usage {
	char *shapes_dir;
	sqlite3 *sqlite;
	sqlite3_stmt *pages;
	sqlite3_stmt *shape;
};

static int sqlite_failed(const struct cu_usage *usage)
{
	cu_error("the metadata's size cannot be read", CU_KV("error", sqlite3_errmsg(usage->sqlite)));
	return CU_EIO;
}

int cu_usage_open(const cu_store *store, cu_usage **ret_usage)
{
	cu_usage *usage = cu_xzalloc(sizeof *usage);
	char *path = cu_file_path("%s/metadata.sqlite3", cu_store_dir(store));
	int rc = 0;

	usage->shapes_dir = cu_file_path("%s/shapes", cu_store_dir(store));
	if (sqlite3_open_v2(path, &usage->sqlite, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(usage->sqlite,
			       "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, "
			       "pragma_freelist_count, pragma_page_size",
			       -1, &usage->pages, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(usage->sqlite,
			       "SELECT (SELECT total(length(bytes)) FROM snapshot WHERE shape_id = ?1) + "
			       "(SELECT total(length(bytes)) FROM log_bytes WHERE shape_id = ?1)",
			       -1, &usage->shape, NULL) != SQLITE_OK) {
		rc = sqlite_failed(usage);
		goto out;
	}
	*ret_usage = usage;
	usage = NULL;
out:
	cu_usage_close(&usage);
	free(path);
	return rc;
}

void cu_usage_close(cu_usage **ref)
{
	cu_usage *usage = *ref;

	if (!usage)
		return;
	*ref = NULL;
	sqlite3_finalize(usage->pages);
	sqlite3_finalize(usage->shape);
	sqlite3_close(usage->sqlite);
	free(usage->shapes_dir);
	free(usage);
}

/* The statement's one number. */
static int number(struct cu_usage *usage, sqlite3_stmt *stmt, uint64_t *ret_value)
{
	int rc = 0;

	if (sqlite3_step(stmt) == SQLITE_ROW)
		*ret_value = (uint64_t)sqlite3_column_int64(stmt, 0);
	else
		rc = sqlite_failed(usage);
	sqlite3_reset(stmt);
	return rc;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Opens a directory in another one. *ret_dir NULL: it is gone. */
static int dir_open_at(int at, const char *name, DIR **ret_dir)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*ret_dir = NULL;
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	*ret_dir = fd < 0 ? NULL : fdopendir(fd);
	if (!*ret_dir) {
		cu_error("a directory cannot be read", CU_KV("name", name), CU_KV("error", strerror(errno)));
		if (fd >= 0)
			close(fd);
		return CU_EIO;
	}
	return 0;
}

/* Adds the files of one shape's directory. */
static int dir_add(int at, const char *name, uint64_t *bytes)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir;
	int rc = dir_open_at(at, name, &dir);

	if (rc < 0 || !dir)
		return rc;
	while ((entry = readdir(dir))) {
		if (!is_dots(entry->d_name) && fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			*bytes += (uint64_t)st.st_blocks * 512;
	}
	closedir(dir);
	return 0;
}

int cu_usage_total(cu_usage *usage, uint64_t *ret_bytes)
{
	struct dirent *entry;
	uint64_t bytes = 0;
	DIR *dir = NULL;
	int rc;

	rc = number(usage, usage->pages, &bytes);
	if (rc == 0)
		rc = dir_open_at(AT_FDCWD, usage->shapes_dir, &dir);
	while (rc == 0 && dir && (entry = readdir(dir))) {
		if (!is_dots(entry->d_name))
			rc = dir_add(dirfd(dir), entry->d_name, &bytes);
	}
	if (dir)
		closedir(dir);
	if (rc == 0)
		*ret_bytes = bytes;
	return rc;
}

int cu_usage_shape(cu_usage *usage, uint64_t shape_id, uint64_t *ret_bytes)
{
	char *dir = cu_file_path("%s/%" PRIu64, usage->shapes_dir, shape_id);
	uint64_t bytes = 0;
	int rc;

	sqlite3_bind_int64(usage->shape, 1, (sqlite3_int64)shape_id);
	rc = number(usage, usage->shape, &bytes);
	bytes += SHAPE_ROW_BYTES;
	if (rc == 0)
		rc = dir_add(AT_FDCWD, dir, &bytes);
	if (rc == 0)
		*ret_bytes = bytes;
	free(dir);
	return rc;
}
