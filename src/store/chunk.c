#include "store/chunk.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "store/crc32c.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNKS_MAGIC 0xC405C405u
#define CHUNK_WRITER_MAGIC 0xC405817Eu

struct cu_chunks {
	unsigned magic;
	const struct cu_file_ops *ops;
	char *shapes_dir;
	char *trash_dir;
	_Atomic uint64_t trash_next; /* makes names in the trash unique; starts at the wall clock for this run */
};

struct cu_chunk_writer {
	unsigned magic;
	struct cu_chunks *chunks;
	char *path;
	char *path_tmp;
	int fd;
	char *buffer;
	size_t buffer_len;
	uint64_t written; /* in the file; behind it stands the buffer */
	struct cu_chunk_info info;
};

int cu_chunks_new(const char *dir, const struct cu_file_ops *ops, cu_chunks **ret_chunks)
{
	cu_chunks *chunks = cu_xzalloc(sizeof *chunks);
	int rc;

	chunks->magic = CHUNKS_MAGIC;
	chunks->ops = ops ? ops : &cu_file_system;
	chunks->shapes_dir = cu_file_path("%s/shapes", dir);
	chunks->trash_dir = cu_file_path("%s/trash", dir);
	atomic_init(&chunks->trash_next, cu_wall_us());
	rc = cu_file_mkdir(chunks->ops, chunks->shapes_dir);
	if (rc < 0 && rc != CU_EEXIST)
		goto out;
	rc = cu_file_mkdir(chunks->ops, chunks->trash_dir);
	if (rc < 0 && rc != CU_EEXIST)
		goto out;
	rc = 0;
	*ret_chunks = chunks;
	chunks = NULL;
out:
	cu_chunks_free(&chunks);
	return rc;
}

void cu_chunks_free(cu_chunks **ref)
{
	cu_chunks *chunks = *ref;

	if (!chunks)
		return;
	CU_ASSERT(chunks->magic == CHUNKS_MAGIC);
	*ref = NULL;
	chunks->magic = 0;
	free(chunks->shapes_dir);
	free(chunks->trash_dir);
	free(chunks);
}

static char *chunk_path(const cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n)
{
	return cu_file_path("%s/%" PRIu64 "/%s.%" PRIu32, chunks->shapes_dir, shape_id,
			    kind == CU_CHUNK_LOG ? "log" : "snapshot", n);
}

static char *shape_path(const cu_chunks *chunks, uint64_t shape_id)
{
	return cu_file_path("%s/%" PRIu64, chunks->shapes_dir, shape_id);
}

int cu_chunk_writer_new(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n,
			cu_chunk_writer **ret_writer)
{
	cu_chunk_writer *writer = cu_xzalloc(sizeof *writer);
	char *dir = shape_path(chunks, shape_id);
	int rc = 0;

	CU_ASSERT(chunks->magic == CHUNKS_MAGIC);
	writer->magic = CHUNK_WRITER_MAGIC;
	writer->chunks = chunks;
	writer->fd = -1;
	writer->path = chunk_path(chunks, shape_id, kind, n);
	writer->path_tmp = cu_file_path("%s.tmp", writer->path);
	writer->buffer = cu_try_malloc(CU_CHUNK_BUFFER);
	if (!writer->buffer) {
		rc = CU_ENOMEM;
		goto out;
	}
	/* Later pieces of a snapshot must not bring back the directory of a shape that is removed while it runs. A log
	 * chunk's writer asks the metadata afterwards. */
	if (n == 0 || kind == CU_CHUNK_LOG) {
		rc = cu_file_mkdir(chunks->ops, dir);
		if (rc < 0 && rc != CU_EEXIST)
			goto out;
	}
	rc = cu_file_open(chunks->ops, writer->path_tmp, O_RDWR | O_CREAT | O_TRUNC, &writer->fd);
	if (rc < 0)
		goto out;
	*ret_writer = writer;
	writer = NULL;
out:
	cu_chunk_writer_free(&writer);
	free(dir);
	return rc;
}

void cu_chunk_writer_free(cu_chunk_writer **ref)
{
	cu_chunk_writer *writer = *ref;

	if (!writer)
		return;
	CU_ASSERT(writer->magic == CHUNK_WRITER_MAGIC);
	*ref = NULL;
	if (writer->fd >= 0) {
		cu_file_close(writer->chunks->ops, &writer->fd);
		cu_file_unlink(writer->chunks->ops, writer->path_tmp);
	}
	writer->magic = 0;
	free(writer->buffer);
	free(writer->path);
	free(writer->path_tmp);
	free(writer);
}

static int writer_write(cu_chunk_writer *writer, const void *data, size_t len)
{
	int rc = cu_file_write_at(writer->chunks->ops, writer->fd, data, len, writer->written);

	if (rc == 0) {
		writer->written += len;
		writer->info.crc = cu_crc32c(writer->info.crc, data, len);
	}
	return rc;
}

static int writer_flush(cu_chunk_writer *writer)
{
	int rc = writer->buffer_len ? writer_write(writer, writer->buffer, writer->buffer_len) : 0;

	if (rc == 0)
		writer->buffer_len = 0;
	return rc;
}

static int writer_put(cu_chunk_writer *writer, const void *data, size_t len)
{
	int rc;

	if (len > CU_CHUNK_BUFFER - writer->buffer_len) {
		rc = writer_flush(writer);
		if (rc < 0)
			return rc;
	}
	if (len > CU_CHUNK_BUFFER) {
		rc = writer_write(writer, data, len);
		if (rc < 0)
			return rc;
	} else if (len > 0) {
		memcpy(writer->buffer + writer->buffer_len, data, len);
		writer->buffer_len += len;
	}
	writer->info.bytes += len;
	return 0;
}

int cu_chunk_writer_append(cu_chunk_writer *writer, const void *data, size_t len, uint64_t items)
{
	int rc;

	CU_ASSERT(writer->magic == CHUNK_WRITER_MAGIC);
	rc = writer_put(writer, data, len);
	if (rc == 0)
		writer->info.items += items;
	return rc;
}

int cu_chunk_writer_add_item(cu_chunk_writer *writer, const void *item, size_t len)
{
	int rc = 0;

	CU_ASSERT(writer->magic == CHUNK_WRITER_MAGIC);
	if (writer->info.bytes > 0)
		rc = writer_put(writer, ",", 1);
	return rc < 0 ? rc : cu_chunk_writer_append(writer, item, len, 1);
}

uint64_t cu_chunk_writer_bytes(const cu_chunk_writer *writer)
{
	return writer->info.bytes;
}

int cu_chunk_writer_finish(cu_chunk_writer **ref, bool durable, struct cu_chunk_info *ret_info)
{
	cu_chunk_writer *writer = *ref;
	int rc;

	CU_ASSERT(writer->magic == CHUNK_WRITER_MAGIC);
	rc = writer_flush(writer);
	/* An append that failed and was not heeded would leave a hole in the count. */
	if (rc == 0 && writer->written != writer->info.bytes)
		rc = CU_EIO;
	if (rc == 0 && durable)
		rc = cu_file_sync(writer->chunks->ops, writer->fd);
	else if (rc == 0)
		cu_file_write_back(writer->fd);
	if (rc == 0)
		rc = cu_file_rename(writer->chunks->ops, writer->path_tmp, writer->path);
	if (rc == 0) {
		cu_file_close(writer->chunks->ops, &writer->fd);
		*ret_info = writer->info;
	}
	cu_chunk_writer_free(ref);
	return rc;
}

int cu_chunks_sync_all(cu_chunks *chunks)
{
	return cu_file_sync_dir(chunks->ops, chunks->shapes_dir);
}

int cu_chunks_sync_names(cu_chunks *chunks, uint64_t shape_id)
{
	char *dir = shape_path(chunks, shape_id);
	int rc = cu_file_sync_dir(chunks->ops, dir);

	free(dir);
	return rc;
}

int cu_chunks_sync_shape(cu_chunks *chunks, uint64_t shape_id)
{
	int rc = cu_chunks_sync_names(chunks, shape_id);

	return rc < 0 ? rc : cu_chunks_sync_all(chunks);
}

int cu_chunk_open(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n, int *ret_fd,
		  uint64_t *ret_bytes)
{
	char *path = chunk_path(chunks, shape_id, kind, n);
	uint64_t bytes = 0;
	int fd = -1;
	int rc;

	rc = cu_file_open(chunks->ops, path, O_RDONLY, &fd);
	if (rc == 0)
		rc = cu_file_size(fd, &bytes);
	if (rc == 0) {
		*ret_fd = fd;
		*ret_bytes = bytes;
	} else {
		cu_file_close(chunks->ops, &fd);
	}
	free(path);
	return rc;
}

int cu_chunk_crc(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n, uint64_t *ret_bytes,
		 uint32_t *ret_crc)
{
	char *buffer = NULL;
	uint64_t bytes, at = 0;
	uint32_t crc = 0;
	size_t got = 1;
	int fd = -1;
	int rc;

	rc = cu_chunk_open(chunks, shape_id, kind, n, &fd, &bytes);
	if (rc < 0)
		return rc;
	buffer = cu_try_malloc(CU_CHUNK_BUFFER);
	if (!buffer)
		rc = CU_ENOMEM;
	while (rc == 0 && got > 0) {
		rc = cu_file_read_at(chunks->ops, fd, buffer, CU_CHUNK_BUFFER, at, &got);
		if (rc == 0) {
			crc = cu_crc32c(crc, buffer, got);
			at += got;
		}
	}
	*ret_bytes = at;
	*ret_crc = crc;
	cu_file_close(chunks->ops, &fd);
	free(buffer);
	return rc;
}

int cu_chunk_verify(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n,
		    const struct cu_chunk_info *info)
{
	uint64_t bytes = 0;
	uint32_t crc = 0;
	int rc = cu_chunk_crc(chunks, shape_id, kind, n, &bytes, &crc);

	if (rc == 0 && (bytes != info->bytes || crc != info->crc)) {
		cu_error("a chunk is not what was written; its shape must go", CU_KV_U64("shape_id", shape_id),
			 CU_KV_U64("chunk", n), CU_KV_U64("bytes", bytes), CU_KV_U64("bytes_expected", info->bytes));
		rc = CU_ECORRUPT;
	}
	return rc;
}

int cu_chunk_sync(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n)
{
	uint64_t bytes;
	int fd = -1;
	int rc = cu_chunk_open(chunks, shape_id, kind, n, &fd, &bytes);

	if (rc == 0)
		rc = cu_file_sync(chunks->ops, fd);
	cu_file_close(chunks->ops, &fd);
	return rc;
}

int cu_chunk_remove(cu_chunks *chunks, uint64_t shape_id, enum cu_chunk_kind kind, uint32_t n)
{
	char *path = chunk_path(chunks, shape_id, kind, n);
	char *path_tmp = cu_file_path("%s.tmp", path);
	int rc = cu_file_unlink(chunks->ops, path);

	if (rc == CU_ENOTFOUND)
		rc = cu_file_unlink(chunks->ops, path_tmp);
	free(path);
	free(path_tmp);
	return rc == CU_ENOTFOUND ? 0 : rc;
}

int cu_chunks_remove_shape(cu_chunks *chunks, uint64_t shape_id)
{
	uint64_t k = atomic_fetch_add_explicit(&chunks->trash_next, 1, memory_order_relaxed);
	char *from = shape_path(chunks, shape_id);
	char *to = cu_file_path("%s/%" PRIu64 ".%" PRIu64, chunks->trash_dir, shape_id, k);
	int rc = cu_file_rename(chunks->ops, from, to);

	free(from);
	free(to);
	return rc == CU_ENOTFOUND ? 0 : rc;
}

/* A decimal number and nothing else. */
static bool id_parse(const char *name, uint64_t *ret_id)
{
	uint64_t id = 0;

	if (!*name)
		return false;
	for (; *name; name++) {
		uint64_t digit = (uint64_t)(*name - '0');

		if (*name < '0' || *name > '9' || __builtin_mul_overflow(id, (uint64_t)10, &id) ||
		    __builtin_add_overflow(id, digit, &id))
			return false;
	}
	*ret_id = id;
	return true;
}

static int dir_open(const char *path, DIR **ret_dir)
{
	DIR *dir = opendir(path);

	if (!dir) {
		cu_error("a directory cannot be read", CU_KV("path", path), CU_KV("error", strerror(errno)));
		return CU_EIO;
	}
	*ret_dir = dir;
	return 0;
}

/* The next entry but . and ..; NULL at the end. */
static struct dirent *dir_next(DIR *dir)
{
	struct dirent *entry;

	do {
		entry = readdir(dir);
	} while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry;
}

int cu_chunks_each_shape(cu_chunks *chunks, int (*each)(void *ctx, uint64_t shape_id), void *ctx)
{
	struct dirent *entry;
	DIR *dir = NULL;
	uint64_t id;
	int rc;

	rc = dir_open(chunks->shapes_dir, &dir);
	if (rc < 0)
		return rc;
	while (rc >= 0 && (entry = dir_next(dir)))
		if (id_parse(entry->d_name, &id))
			rc = each(ctx, id);
	closedir(dir);
	return rc < 0 ? rc : 0;
}

int cu_chunks_each_log(cu_chunks *chunks, uint64_t shape_id, int (*each)(void *ctx, uint32_t n), void *ctx)
{
	char *path = shape_path(chunks, shape_id);
	struct dirent *entry;
	unsigned n;
	DIR *dir;
	int rc = 0;

	dir = opendir(path);
	if (!dir && errno != ENOENT) {
		cu_error("a directory cannot be read", CU_KV("path", path), CU_KV("error", strerror(errno)));
		rc = CU_EIO;
	}
	while (dir && rc >= 0 && (entry = dir_next(dir))) {
		if (sscanf(entry->d_name, "log.%u", &n) == 1)
			rc = each(ctx, n);
	}
	if (dir)
		closedir(dir);
	free(path);
	return rc < 0 ? rc : 0;
}

/* Unlinks files of one trashed directory, and the directory with its last one. *files is what may still go. */
static int trash_one(cu_chunks *chunks, const char *path, unsigned *files, bool *ret_more)
{
	struct dirent *entry;
	DIR *dir = NULL;
	int rc;

	rc = dir_open(path, &dir);
	if (rc < 0)
		return rc;
	while (rc == 0 && (entry = dir_next(dir))) {
		char *file;

		if (*files == 0) {
			*ret_more = true;
			break;
		}
		(*files)--;
		file = cu_file_path("%s/%s", path, entry->d_name);
		rc = cu_file_unlink(chunks->ops, file);
		free(file);
		if (rc == CU_ENOTFOUND)
			rc = 0;
	}
	closedir(dir);
	if (rc == 0 && !*ret_more)
		rc = cu_file_rmdir(chunks->ops, path);
	return rc;
}

int cu_chunks_empty_trash(cu_chunks *chunks, unsigned files_max, bool *ret_more)
{
	unsigned files = files_max;
	struct dirent *entry;
	bool more = false;
	DIR *dir = NULL;
	int rc;

	rc = dir_open(chunks->trash_dir, &dir);
	if (rc < 0)
		return rc;
	while (rc == 0 && !more && (entry = dir_next(dir))) {
		char *path = cu_file_path("%s/%s", chunks->trash_dir, entry->d_name);

		rc = trash_one(chunks, path, &files, &more);
		free(path);
	}
	closedir(dir);
	*ret_more = more;
	return rc;
}
