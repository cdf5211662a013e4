/* disk_sqlite.c: SQLite's files on the simulated disk: a VFS that tells the disk what it does and lets the default one
 * do it. Locks and shared memory are the default one's business alone.
 */
#include "crash/disk.h"

#include "sim/sim.h"

#include <sqlite3.h>
#include <stdlib.h>

/* The real file follows it in memory. */
struct shim {
	sqlite3_file base;
	struct disk_file *file;
	char *path;    /* NULL: a file that has no name of ours */
	bool sync_dir; /* a new journal: its first sync is its directory's as well, as the unix VFS does it */
};

static struct disk *shim_disk;
static sqlite3_vfs *real_vfs;

static struct shim *shim_of(sqlite3_file *file)
{
	return (struct shim *)(void *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
	return (sqlite3_file *)(void *)(shim_of(file) + 1);
}

/* ---- what changes something ---- */

static int shim_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
	struct shim *shim = shim_of(file);
	sqlite3_int64 size = 0;
	int rc = SQLITE_FULL;

	real_of(file)->pMethods->xFileSize(real_of(file), &size);
	if (disk_step_write_metadata(shim_disk, at + len <= size)) {
		rc = real_of(file)->pMethods->xWrite(real_of(file), data, len, at);
		if (rc == SQLITE_OK && shim->file)
			disk_written(shim_disk, shim->file, data, (size_t)len, (uint64_t)at);
	}
	return disk_told(shim_disk) ? rc : SQLITE_IOERR_WRITE;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 len)
{
	struct shim *shim = shim_of(file);
	int rc = SQLITE_IOERR_TRUNCATE;

	if (disk_step(shim_disk, "xTruncate")) {
		rc = real_of(file)->pMethods->xTruncate(real_of(file), len);
		if (rc == SQLITE_OK && shim->file)
			disk_truncated(shim_disk, shim->file, (uint64_t)len);
	}
	return disk_told(shim_disk) ? rc : SQLITE_IOERR_TRUNCATE;
}

static int shim_sync(sqlite3_file *file, int flags)
{
	struct shim *shim = shim_of(file);
	int rc = SQLITE_IOERR_FSYNC;

	(void)flags;
	if (disk_step_sync(shim_disk, shim->file, "xSync")) {
		rc = SQLITE_OK;
		if (shim->file)
			disk_synced(shim_disk, shim->file);
		if (shim->file && shim->sync_dir)
			disk_synced_dir_of(shim_disk, shim->path);
		shim->sync_dir = false;
	}
	return disk_told(shim_disk) ? rc : SQLITE_IOERR_FSYNC;
}

static int shim_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	int rc = SQLITE_IOERR_DELETE;

	(void)vfs;
	if (disk_step(shim_disk, "xDelete")) {
		rc = real_vfs->xDelete(real_vfs, path, 0);
		if (rc == SQLITE_OK) {
			disk_removed(shim_disk, path);
			if (sync_dir)
				disk_synced_dir_of(shim_disk, path);
		}
	}
	return disk_told(shim_disk) ? rc : SQLITE_IOERR_DELETE;
}

/* ---- what does not ---- */

static int shim_close(sqlite3_file *file)
{
	struct shim *shim = shim_of(file);

	free(shim->path);
	return real_of(file)->pMethods->xClose(real_of(file));
}

static int shim_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
	return real_of(file)->pMethods->xRead(real_of(file), out, len, at);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
	return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}

static int shim_lock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int shim_check_lock(sqlite3_file *file, int *ret_locked)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_locked);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
	return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int shim_sector_size(sqlite3_file *file)
{
	return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_device(sqlite3_file *file)
{
	return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shim_shm_unmap(sqlite3_file *file, int delete)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* without memory-mapped files */
	.xClose = shim_close,
	.xRead = shim_read,
	.xWrite = shim_write,
	.xTruncate = shim_truncate,
	.xSync = shim_sync,
	.xFileSize = shim_size,
	.xLock = shim_lock,
	.xUnlock = shim_unlock,
	.xCheckReservedLock = shim_check_lock,
	.xFileControl = shim_control,
	.xSectorSize = shim_sector_size,
	.xDeviceCharacteristics = shim_device,
	.xShmMap = shim_shm_map,
	.xShmLock = shim_shm_lock,
	.xShmBarrier = shim_shm_barrier,
	.xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *ret_flags)
{
	struct shim *shim = shim_of(file);
	int rc, exists = 1;

	(void)vfs;
	memset(shim, 0, sizeof *shim);
	if (path)
		real_vfs->xAccess(real_vfs, path, SQLITE_ACCESS_EXISTS, &exists);
	if (exists ? !disk_told(shim_disk) : !disk_step_write(shim_disk, "xOpen"))
		return SQLITE_CANTOPEN;
	rc = real_vfs->xOpen(real_vfs, path, real_of(file), flags, ret_flags);
	if (rc != SQLITE_OK)
		return rc;
	if (path) {
		shim->path = cu_xstrdup(path);
		shim->file = disk_lookup(shim_disk, path);
	}
	shim->sync_dir =
		!exists && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL)) != 0;
	shim->base.pMethods = &methods;
	if (disk_told(shim_disk))
		return SQLITE_OK;
	shim_close(file);
	shim->base.pMethods = NULL;
	return SQLITE_CANTOPEN;
}

static int shim_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
	(void)vfs;
	return real_vfs->xAccess(real_vfs, path, flags, ret);
}

static int shim_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
	(void)vfs;
	return real_vfs->xFullPathname(real_vfs, path, size, out);
}

/* Salts and the like: the same in every run. */
static int shim_randomness(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	memset(out, 7, (size_t)len);
	return len;
}

static int shim_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	cu_sim_point("sleep", __FILE__, __LINE__);
	return us;
}

static int shim_time(sqlite3_vfs *vfs, sqlite3_int64 *ret_ms)
{
	(void)vfs;
	*ret_ms = INT64_C(210866760000000); /* 1970, as good as any */
	return SQLITE_OK;
}

static int shim_last_error(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	return real_vfs->xGetLastError(real_vfs, len, out);
}

static sqlite3_vfs shim_vfs = {
	.iVersion = 2,
	.zName = "crash",
	.xOpen = shim_open,
	.xDelete = shim_delete,
	.xAccess = shim_access,
	.xFullPathname = shim_full_path,
	.xRandomness = shim_randomness,
	.xSleep = shim_sleep,
	.xGetLastError = shim_last_error,
	.xCurrentTimeInt64 = shim_time,
};

void disk_sqlite(struct disk *disk)
{
	if (!real_vfs) {
		sqlite3_initialize();
		real_vfs = sqlite3_vfs_find(NULL);
		shim_vfs.szOsFile = (int)sizeof(struct shim) + real_vfs->szOsFile;
		shim_vfs.mxPathname = real_vfs->mxPathname;
	}
	shim_disk = disk;
	sqlite3_test_control(SQLITE_TESTCTRL_PRNG_RESET);
	sqlite3_vfs_register(disk ? &shim_vfs : real_vfs, 1);
}
