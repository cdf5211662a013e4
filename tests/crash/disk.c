/* disk.c: the journal of what is not durable yet; what a crash makes of it is in disk_crash.c. */
#include "crash/disk_internal.h"

#include "sim/sim.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum disk_lie disk_lie;

/* For the trace. */
static const char *const kind_names[DISK_LIE_COUNT] = {
	[DISK_HONEST] = "another",
	[DISK_LIE_FORMAT] = "format",
	[DISK_LIE_SEGMENT] = "a segment",
	[DISK_LIE_CHUNK] = "a snapshot file",
	[DISK_LIE_LOG_CHUNK] = "a log chunk",
	[DISK_LIE_WAL] = "SQLite's write-ahead file",
	[DISK_LIE_DATABASE] = "SQLite's main file",
	[DISK_LIE_PARENT_DIR] = "the root directory",
	[DISK_LIE_STORE_DIR] = "the store's directory",
	[DISK_LIE_LOG_DIR] = "log/",
	[DISK_LIE_SHAPE_DIR] = "a shape's directory",
	[DISK_LIE_SHAPES_DIR] = "shapes/",
};

/* ---- names ---- */

static struct entry *entry_find(const struct entries *entries, const char *name)
{
	for (size_t i = 0; i < entries->len; i++) {
		if (strcmp(entries->list[i].name, name) == 0)
			return &entries->list[i];
	}
	return NULL;
}

void disk_entry_put(struct entries *entries, const char *name, struct disk_file *file)
{
	struct entry *entry = entry_find(entries, name);

	if (entry) {
		entry->file = file;
		return;
	}
	if (entries->len == entries->cap) {
		entries->cap = entries->cap ? entries->cap * 2 : 8;
		entries->list = cu_xrealloc(entries->list, entries->cap * sizeof *entries->list);
	}
	entries->list[entries->len++] = (struct entry){ cu_xstrdup(name), file };
}

static void entry_remove(struct entries *entries, struct entry *entry)
{
	size_t at = (size_t)(entry - entries->list);

	free(entry->name);
	memmove(entry, entry + 1, (--entries->len - at) * sizeof *entry);
}

void disk_entries_clear(struct entries *entries)
{
	for (size_t i = 0; i < entries->len; i++)
		free(entries->list[i].name);
	free(entries->list);
	*entries = (struct entries){ NULL, 0, 0 };
}

static struct entries *tree(struct disk_file *dir, bool safe)
{
	return safe ? &dir->safe : &dir->now;
}

void disk_naming_apply(const struct naming *naming, bool safe)
{
	struct entries *from = tree(naming->dir, safe);
	struct entry *entry = entry_find(from, naming->name);
	struct disk_file *file;

	switch (naming->kind) {
	case NAMING_CREATE: disk_entry_put(from, naming->name, naming->file); break;
	case NAMING_REMOVE:
		if (entry && !(entry->file->dir && tree(entry->file, safe)->len))
			entry_remove(from, entry);
		break;
	case NAMING_RENAME:
		if (!entry)
			break;
		file = entry->file;
		entry_remove(from, entry);
		disk_entry_put(tree(naming->dir_to, safe), naming->name_to, file);
		break;
	}
}

void disk_naming_fini(struct naming *naming)
{
	free(naming->name);
	free(naming->name_to);
}

static void naming_add(struct disk *disk, struct naming naming)
{
	static const char *const kinds[] = { "created", "removed", "renamed" };

	naming.when = disk->steps;
	cu_sim_note("disk: %s %s%s%s", naming.name, kinds[naming.kind], naming.name_to ? " to " : "",
		    naming.name_to ? naming.name_to : "");
	disk_naming_apply(&naming, false);
	if (disk->namings_len == disk->namings_cap) {
		disk->namings_cap = disk->namings_cap ? disk->namings_cap * 2 : 32;
		disk->namings = cu_xrealloc(disk->namings, disk->namings_cap * sizeof *disk->namings);
	}
	disk->namings[disk->namings_len++] = naming;
}

/* The directory's changes are durable from now on, and those that they build upon. */
static void dir_sync(struct disk *disk, const struct disk_file *dir)
{
	size_t kept = 0;

	for (size_t i = disk->namings_len; i-- > 0;) {
		struct naming *naming = &disk->namings[i];

		naming->settles |= naming->dir == dir || naming->dir_to == dir;
		for (size_t j = 0; naming->settles && j < i; j++)
			disk->namings[j].settles |= disk->namings[j].file == naming->file;
	}
	for (size_t i = 0; i < disk->namings_len; i++) {
		struct naming *naming = &disk->namings[i];

		if (naming->settles) {
			disk_naming_apply(naming, true);
			disk_naming_fini(naming);
		} else {
			disk->namings[kept++] = *naming;
		}
	}
	disk->namings_len = kept;
}

/* ---- files ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Which lie is about this file: by the name it got first, below the root. */
static enum disk_lie kind_of(const char *path, bool dir)
{
	if (!dir) {
		if (ends_with(path, "format.tmp"))
			return DISK_LIE_FORMAT;
		if (ends_with(path, ".seg"))
			return DISK_LIE_SEGMENT;
		if (ends_with(path, "-wal"))
			return DISK_LIE_WAL;
		if (ends_with(path, ".sqlite3"))
			return DISK_LIE_DATABASE;
		if (strstr(path, "/log."))
			return DISK_LIE_LOG_CHUNK;
		return strstr(path, "/snapshot.") ? DISK_LIE_CHUNK : DISK_HONEST;
	}
	if (ends_with(path, "/log"))
		return DISK_LIE_LOG_DIR;
	if (ends_with(path, "/shapes"))
		return DISK_LIE_SHAPES_DIR;
	if (strstr(path, "/shapes/"))
		return DISK_LIE_SHAPE_DIR;
	if (strchr(path, '/'))
		return DISK_HONEST;
	return *path ? DISK_LIE_STORE_DIR : DISK_LIE_PARENT_DIR;
}

static struct disk_file *file_new(struct disk *disk, const char *path, bool dir)
{
	struct disk_file *file = cu_xzalloc(sizeof *file);

	file->dir = dir;
	file->kind = kind_of(path, dir);
	file->next = disk->files;
	disk->files = file;
	return file;
}

void disk_changes_clear(struct disk_file *file)
{
	for (size_t i = 0; i < file->changes_len; i++)
		free(file->changes[i].data);
	free(file->changes);
	file->changes = NULL;
	file->changes_len = file->changes_cap = 0;
}

void disk_file_free(struct disk_file *file)
{
	disk_changes_clear(file);
	disk_entries_clear(&file->now);
	disk_entries_clear(&file->safe);
	free(file->durable);
	free(file);
}

static void change_add(struct disk_file *file, struct change change)
{
	if (file->changes_len == file->changes_cap) {
		file->changes_cap = file->changes_cap ? file->changes_cap * 2 : 8;
		file->changes = cu_xrealloc(file->changes, file->changes_cap * sizeof *file->changes);
	}
	file->changes[file->changes_len++] = change;
}

/* Grows with zeros, or cuts. */
static void resize(struct disk_file *file, size_t len)
{
	file->durable = cu_xrealloc(file->durable, CU_MAX(len, (size_t)1));
	if (len > file->durable_len)
		memset(file->durable + file->durable_len, 0, len - file->durable_len);
	file->durable_len = len;
}

static void change_apply(struct disk_file *file, const struct change *change)
{
	if (!change->data) {
		resize(file, change->at);
		return;
	}
	if (change->at + change->len > file->durable_len)
		resize(file, change->at + change->len);
	memcpy(file->durable + change->at, change->data, change->len);
}

static void file_sync(struct disk_file *file)
{
	for (size_t i = 0; i < file->changes_len; i++)
		change_apply(file, &file->changes[i]);
	disk_changes_clear(file);
}

/* ---- paths ---- */

/* The path below the root, without a slash at its start; NULL: it is not on this disk. */
static const char *below_root(const struct disk *disk, const char *path)
{
	if (strncmp(path, disk->root_path, disk->root_len) != 0)
		return NULL;
	path += disk->root_len;
	return *path == '/' ? path + 1 : *path ? NULL : path;
}

/* The directory that the name is in, and the name; NULL: there is no such directory. */
static struct disk_file *parent_of(const struct disk *disk, const char *below, char **ret_name)
{
	struct disk_file *dir = disk->root;
	const char *slash;

	while (dir && (slash = strchr(below, '/'))) {
		char *name = cu_xstrndup(below, (size_t)(slash - below));
		const struct entry *entry = entry_find(&dir->now, name);

		dir = entry && entry->file->dir ? entry->file : NULL;
		free(name);
		below = slash + 1;
	}
	*ret_name = cu_xstrdup(below);
	return dir;
}

static struct disk_file *lookup(const struct disk *disk, const char *path)
{
	const char *below = below_root(disk, path);
	struct disk_file *dir, *file = NULL;
	const struct entry *entry;
	char *name;

	if (!below)
		return NULL;
	if (!*below)
		return disk->root;
	dir = parent_of(disk, below, &name);
	entry = dir ? entry_find(&dir->now, name) : NULL;
	if (entry)
		file = entry->file;
	free(name);
	return file;
}

static struct disk_file *name_new(struct disk *disk, const char *path, bool dir)
{
	struct naming naming = { .kind = NAMING_CREATE };

	naming.dir = parent_of(disk, below_root(disk, path), &naming.name);
	CU_ASSERT(naming.dir);
	naming.file = file_new(disk, below_root(disk, path), dir);
	naming_add(disk, naming);
	return naming.file;
}

void disk_created(struct disk *disk, const char *path)
{
	if (!lookup(disk, path))
		name_new(disk, path, false);
}

struct disk_file *disk_lookup(struct disk *disk, const char *path)
{
	struct disk_file *file = lookup(disk, path);

	return !file && below_root(disk, path) && access(path, F_OK) == 0 ? name_new(disk, path, false) : file;
}

void disk_removed(struct disk *disk, const char *path)
{
	struct naming naming = { .kind = NAMING_REMOVE, .file = lookup(disk, path) };

	if (!naming.file)
		return;
	naming.dir = parent_of(disk, below_root(disk, path), &naming.name);
	naming_add(disk, naming);
}

void disk_written(struct disk *disk, struct disk_file *file, const void *data, size_t len, uint64_t at)
{
	cu_sim_note("disk: step %llu writes %zu at %llu of %s", (unsigned long long)disk->steps, len,
		    (unsigned long long)at, kind_names[file->kind]);
	change_add(file, (struct change){ disk->steps, at, cu_xmemdup(data, len), len });
}

void disk_truncated(struct disk *disk, struct disk_file *file, uint64_t len)
{
	cu_sim_note("disk: step %llu truncates %s to %llu", (unsigned long long)disk->steps, kind_names[file->kind],
		    (unsigned long long)len);
	change_add(file, (struct change){ disk->steps, len, NULL, 0 });
}

void disk_synced(struct disk *disk, struct disk_file *file)
{
	cu_sim_note("disk: step %llu syncs %s", (unsigned long long)disk->steps, kind_names[file->kind]);
	if (disk_lie == DISK_HONEST || disk_lie != file->kind)
		file_sync(file);
}

static void synced_dir(struct disk *disk, const struct disk_file *dir)
{
	cu_sim_note("disk: step %llu syncs %s", (unsigned long long)disk->steps, kind_names[dir->kind]);
	if (disk_lie == DISK_HONEST || disk_lie != dir->kind)
		dir_sync(disk, dir);
}

void disk_synced_dir_of(struct disk *disk, const char *path)
{
	char *name;
	struct disk_file *dir = parent_of(disk, below_root(disk, path), &name);

	free(name);
	if (dir)
		synced_dir(disk, dir);
}

/* ---- the operations ---- */

bool disk_step(struct disk *disk, const char *what)
{
	cu_sim_point(what, __FILE__, __LINE__);
	if (disk->crashed)
		return false;
	if (++disk->steps != disk->crash_at)
		return true;
	disk->crashed = true;
	cu_sim_note("CRASH at step %llu, %s: %s", (unsigned long long)disk->steps, what,
		    disk->crash_after ? "it happened" : "it did not happen");
	return disk->crash_after;
}

/* Does the trouble that was asked for concern this step? */
static bool troubled(struct disk *disk, enum disk_trouble trouble)
{
	if (disk->trouble != trouble || disk->steps < disk->trouble_at || disk->trouble_left == 0)
		return false;
	disk->trouble_left--;
	disk->failed = true;
	return true;
}

bool disk_step_write(struct disk *disk, const char *what)
{
	if (!disk_step(disk, what))
		return false;
	if (disk->crashed || !troubled(disk, DISK_FULL))
		return true;
	cu_sim_note("disk: no room, step %llu, %s", (unsigned long long)disk->steps, what);
	errno = ENOSPC;
	return false;
}

bool disk_step_write_metadata(struct disk *disk, bool in_place)
{
	if (in_place ? !disk_step(disk, "xWrite") : !disk_step_write(disk, "xWrite"))
		return false;
	if (disk->crashed || disk->refused_left == 0)
		return true;
	disk->refused_left--;
	disk->failed = true;
	cu_sim_note("disk: no room for the metadata, step %llu", (unsigned long long)disk->steps);
	return false;
}

bool disk_step_sync(struct disk *disk, struct disk_file *file, const char *what)
{
	if (!disk_step(disk, what))
		return false;
	if (disk->crashed || !troubled(disk, DISK_SYNC_FAILS))
		return true;
	cu_sim_note("disk: the sync fails, step %llu, %s", (unsigned long long)disk->steps, what);
	disk->lost_metadata |= strcmp(what, "xSync") == 0;
	/* The kernel says so once, and calls the pages clean. */
	if (file)
		disk_settle(file);
	errno = EIO;
	return false;
}

void disk_make_trouble(struct disk *disk, enum disk_trouble trouble, uint64_t step, unsigned times)
{
	disk->trouble = trouble;
	disk->trouble_at = disk->steps + step;
	disk->trouble_left = times;
	disk->refused_left = 0;
	disk->failed = false;
}

void disk_refuse_metadata(struct disk *disk, unsigned times)
{
	disk->refused_left = times;
}

bool disk_lost_metadata(const struct disk *disk)
{
	return disk->lost_metadata;
}

bool disk_failed(const struct disk *disk)
{
	return disk->failed;
}

bool disk_told(const struct disk *disk)
{
	return !disk->crashed;
}

static int told(const struct disk *disk, int rc)
{
	if (disk_told(disk))
		return rc;
	errno = EIO;
	return -1;
}

static int op_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct disk *disk = ctx;
	struct disk_file *file = lookup(disk, path);
	int fd = -1;

	if (!below_root(disk, path))
		return cu_file_system.open(NULL, path, flags, mode);
	if ((flags & O_CREAT) && (!file || (flags & O_TRUNC))) {
		if (disk_step_write(disk, "open"))
			fd = cu_file_system.open(NULL, path, flags, mode);
	} else if (disk_told(disk)) {
		fd = cu_file_system.open(NULL, path, flags, mode);
	}
	if (fd >= 0) {
		CU_ASSERT(fd < DISK_FDS_MAX);
		if (!file)
			file = name_new(disk, path, false);
		else if (flags & O_TRUNC)
			disk_truncated(disk, file, 0);
		disk->by_fd[fd] = file;
	}
	if (!disk_told(disk) && fd >= 0) {
		close(fd);
		fd = -1;
	}
	return told(disk, fd);
}

static int op_close(void *ctx, int fd)
{
	struct disk *disk = ctx;

	disk->by_fd[fd] = NULL;
	return cu_file_system.close(NULL, fd);
}

static ssize_t op_pwrite(void *ctx, int fd, const void *data, size_t len, off_t at)
{
	struct disk *disk = ctx;
	ssize_t n = -1;

	if (disk_step_write(disk, "pwrite")) {
		n = cu_file_system.pwrite(NULL, fd, data, len, at);
		CU_ASSERT(n == (ssize_t)len);
		disk_written(disk, disk->by_fd[fd], data, len, (uint64_t)at);
	}
	return told(disk, 0) < 0 ? -1 : n;
}

static ssize_t op_pread(void *ctx, int fd, void *out, size_t len, off_t at)
{
	(void)ctx;
	return cu_file_system.pread(NULL, fd, out, len, at);
}

static int op_fdatasync(void *ctx, int fd)
{
	struct disk *disk = ctx;
	int rc = -1;

	if (disk_step_sync(disk, disk->by_fd[fd], "fdatasync")) {
		disk_synced(disk, disk->by_fd[fd]);
		rc = 0;
	}
	return told(disk, rc);
}

static int op_ftruncate(void *ctx, int fd, off_t len)
{
	struct disk *disk = ctx;
	int rc = -1;

	if (disk_step(disk, "ftruncate")) {
		rc = cu_file_system.ftruncate(NULL, fd, len);
		disk_truncated(disk, disk->by_fd[fd], (uint64_t)len);
	}
	return told(disk, rc);
}

static int op_rename(void *ctx, const char *from, const char *to)
{
	struct disk *disk = ctx;
	struct naming naming = { .kind = NAMING_RENAME };
	int rc = -1;

	if (!disk_told(disk) || !lookup(disk, from)) {
		errno = ENOENT;
		return told(disk, -1);
	}
	if (disk_step_write(disk, "rename")) {
		/* Looked up again: others may have gone on meanwhile. */
		naming.file = lookup(disk, from);
		rc = cu_file_system.rename(NULL, from, to);
	}
	if (rc == 0) {
		naming.dir = parent_of(disk, below_root(disk, from), &naming.name);
		naming.dir_to = parent_of(disk, below_root(disk, to), &naming.name_to);
		naming_add(disk, naming);
	}
	return told(disk, rc);
}

static int op_unlink(void *ctx, const char *path)
{
	struct disk *disk = ctx;
	int rc = -1;

	if (disk_step(disk, "unlink"))
		rc = cu_file_system.unlink(NULL, path);
	if (rc == 0)
		disk_removed(disk, path);
	if (rc == 0 && disk->crash_behind && below_root(disk, path) &&
	    kind_of(below_root(disk, path), false) == disk->crash_behind)
		disk_arm(disk, disk->crash_behind_steps);
	return told(disk, rc);
}

struct hold *disk_hold(struct disk *disk)
{
	return &disk->hold;
}

static int op_mkdir(void *ctx, const char *path, mode_t mode)
{
	struct disk *disk = ctx;
	int rc = -1;

	if (!below_root(disk, path))
		return cu_file_system.mkdir(NULL, path, mode);
	if (kind_of(below_root(disk, path), true) == DISK_LIE_SHAPE_DIR)
		hold_here(&disk->hold);
	if (lookup(disk, path)) {
		errno = EEXIST;
		return told(disk, -1);
	}
	if (disk_step_write(disk, "mkdir"))
		rc = cu_file_system.mkdir(NULL, path, mode);
	if (rc == 0)
		name_new(disk, path, true);
	return told(disk, rc);
}

static int op_rmdir(void *ctx, const char *path)
{
	struct disk *disk = ctx;
	int rc = -1;

	if (disk_step(disk, "rmdir"))
		rc = cu_file_system.rmdir(NULL, path);
	if (rc == 0)
		disk_removed(disk, path);
	return told(disk, rc);
}

static int op_fsync_dir(void *ctx, const char *path)
{
	struct disk *disk = ctx;
	struct disk_file *dir;
	int rc = -1;

	if (disk_step_sync(disk, NULL, "fsync_dir")) {
		dir = lookup(disk, path);
		errno = ENOENT;
		rc = dir ? 0 : -1;
		if (dir)
			synced_dir(disk, dir);
	}
	return told(disk, rc);
}

/* ---- coming and going ---- */

struct disk *disk_new(const char *root)
{
	struct disk *disk = cu_xzalloc(sizeof *disk);

	disk->root_path = cu_xstrdup(root);
	disk->root_len = strlen(root);
	disk->root = file_new(disk, "", true);
	disk->ops = (struct cu_file_ops){
		.ctx = disk,
		.open = op_open,
		.close = op_close,
		.pwrite = op_pwrite,
		.pread = op_pread,
		.fdatasync = op_fdatasync,
		.ftruncate = op_ftruncate,
		.rename = op_rename,
		.unlink = op_unlink,
		.mkdir = op_mkdir,
		.rmdir = op_rmdir,
		.fsync_dir = op_fsync_dir,
	};
	return disk;
}

void disk_free(struct disk **ref)
{
	struct disk *disk = *ref;
	struct disk_file *file;

	*ref = NULL;
	for (size_t i = 0; i < disk->namings_len; i++)
		disk_naming_fini(&disk->namings[i]);
	free(disk->namings);
	while ((file = disk->files)) {
		disk->files = file->next;
		disk_file_free(file);
	}
	free(disk->root_path);
	free(disk);
}

const struct cu_file_ops *disk_ops(struct disk *disk)
{
	return &disk->ops;
}

void disk_arm(struct disk *disk, uint64_t step)
{
	disk->crash_at = step ? disk->steps + step : 0;
	disk->crash_after = cu_sim_random(2);
	disk->crash_behind = DISK_HONEST;
}

void disk_arm_behind(struct disk *disk, enum disk_lie kind, uint64_t step)
{
	disk->crash_behind = kind;
	disk->crash_behind_steps = step;
}

void disk_survive(struct disk *disk)
{
	memset(disk->by_fd, 0, sizeof disk->by_fd);
	disk->crashed = false;
	disk->crash_at = 0;
	disk->crash_behind = DISK_HONEST;
}

bool disk_crashed(const struct disk *disk)
{
	return disk->crashed;
}

uint64_t disk_steps(const struct disk *disk)
{
	return disk->steps;
}
