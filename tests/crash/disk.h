/* disk.h: a disk that keeps after a crash what it had promised, and of the rest what a seed decides.
 *
 * It stands on a real directory, which holds what a process sees (the page cache). Beside it, in memory, is what would
 * be there after a crash: per file the bytes as of its last fsync and every write and truncation since, per directory
 * its names as of its last fsync and every creation, rename and removal since.
 *
 *	step k of the run ─► the world stops: from then on every operation fails, without effect
 *	disk_recover()    ─► the real directory becomes what the disk kept
 *
 * What a disk may keep (never kinder than ext4 in its ordered mode; README.md has the reasons):
 *	data: each 512-byte sector of a file has one of the states that it had since the last fsync, each by itself, and so
 *	has the size; bytes that were never written are zeros.
 *	names: each change since the directory's last fsync has happened or not, each by itself, as far as what it needs
 *	(the file, the directory) is there. A rename is one step, also between directories.
 *	fsync of a file keeps its bytes and its size but not its name; fsync of a directory keeps its names.
 *
 * SQLite goes through the same disk: disk_sqlite() makes a VFS over the default one the default. The -shm file is not
 * part of the disk: it is lost by every crash.
 *
 * Threads: the simulated ones (sim/sim.h); every operation is one schedule point.
 */
#ifndef CU_CRASH_DISK_H
#define CU_CRASH_DISK_H

#include "crash/hold.h"
#include "store/file.h"

struct disk;
struct disk_file; /* a file or directory, whatever its names */

/* fsyncs that a disk may lie about: it says 0 and keeps nothing. For the proof that each of them is needed. */
enum disk_lie {
	DISK_HONEST,
	DISK_LIE_FORMAT,     /* format.tmp */
	DISK_LIE_SEGMENT,    /* log/….seg */
	DISK_LIE_CHUNK,      /* shapes/…/snapshot.n */
	DISK_LIE_LOG_CHUNK,  /* shapes/…/log.n */
	DISK_LIE_WAL,        /* SQLite's write-ahead file */
	DISK_LIE_DATABASE,   /* SQLite's main file */
	DISK_LIE_PARENT_DIR, /* above the store's directory */
	DISK_LIE_STORE_DIR,  /* the store's directory itself */
	DISK_LIE_LOG_DIR,    /* log */
	DISK_LIE_SHAPE_DIR,  /* shapes/… */
	DISK_LIE_SHAPES_DIR, /* shapes */
	DISK_LIE_COUNT
};
extern enum disk_lie disk_lie; /* of every disk; set before a run */

/* Short of a crash: what the disk refuses. */
enum disk_trouble {
	DISK_FINE,
	DISK_FULL,       /* ENOSPC: writes, new names */
	DISK_SYNC_FAILS, /* EIO; what was to be synced may be lost, and no later sync brings it back */
};

/* root: an empty directory, outlives the disk. */
struct disk *disk_new(const char *root);
void disk_free(struct disk **disk);
const struct cu_file_ops *disk_ops(struct disk *disk);

/* The world stops at the step-th step from now on, before or after its effect; 0: never. */
void disk_arm(struct disk *disk, uint64_t step);
/* The same, from the next removal of such a file on: a segment, a log chunk. */
void disk_arm_behind(struct disk *disk, enum disk_lie kind, uint64_t step);
/* From the step-th step from now on, so many times; forgets what failed before. */
void disk_make_trouble(struct disk *disk, enum disk_trouble trouble, uint64_t step, unsigned times);
/* SQLite's next so many writes find no room; nobody else's. */
void disk_refuse_metadata(struct disk *disk, unsigned times);
/* Where somebody is about to make a shape's directory, or to find it there. */
struct hold *disk_hold(struct disk *disk);
bool disk_failed(const struct disk *disk); /* it has made trouble since */
/* A sync of SQLite's has failed at some time: what it was to keep may be lost, under what a later process found there. */
bool disk_lost_metadata(const struct disk *disk);
bool disk_crashed(const struct disk *disk);
uint64_t disk_steps(const struct disk *disk);
/* Nobody has a file open. The disk can be used again; not armed. */
void disk_recover(struct disk *disk);
/* The process is gone, the machine goes on: everything is as it was, and as durable as it was. */
void disk_survive(struct disk *disk);

/* ---- for the VFS (disk_sqlite.c) ---- */

void disk_sqlite(struct disk *disk); /* this disk's files are SQLite's from now on; NULL: the default VFS again */
/* Asks whether the next step happens: a schedule point. Whether its caller may be told of it is disk_told()'s. */
bool disk_step(struct disk *disk, const char *what);
bool disk_step_write(struct disk *disk, const char *what);                        /* that needs room; sets errno */
bool disk_step_write_metadata(struct disk *disk, bool in_place);                  /* the same of SQLite's files */
bool disk_step_sync(struct disk *disk, struct disk_file *file, const char *what); /* NULL: a directory; sets errno */
bool disk_told(const struct disk *disk);
/* The file of this name; one that is not known yet, but there, was created just now. NULL: there is none. */
struct disk_file *disk_lookup(struct disk *disk, const char *path);
void disk_created(struct disk *disk, const char *path);
void disk_removed(struct disk *disk, const char *path);
void disk_written(struct disk *disk, struct disk_file *file, const void *data, size_t len, uint64_t at);
void disk_truncated(struct disk *disk, struct disk_file *file, uint64_t len);
void disk_synced(struct disk *disk, struct disk_file *file);
void disk_synced_dir_of(struct disk *disk, const char *path);

#endif
