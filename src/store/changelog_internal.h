/* changelog_internal.h: shared by changelog.c (write, read, sync, drop) and changelog_scan.c (open). */
#ifndef CU_STORE_CHANGELOG_INTERNAL_H
#define CU_STORE_CHANGELOG_INTERNAL_H

#include "base/buf.h"
#include "store/changelog.h"

#include <pthread.h>
#include <stdatomic.h>

struct cu_segment {
	uint64_t base;
	int fd;
	atomic_uint refs;   /* one for the list, one per read or fdatasync under way; the last one closes */
	uint64_t synced_to; /* position; under sync_mtx */
};

struct cu_changelog {
	unsigned magic;

	/* set once */
	const struct cu_file_ops *ops;
	char *dir;
	size_t segment_bytes;
	size_t buffer_bytes;

	/* Any thread. The list changes under the write lock; the lock is never held across a file operation.
	 * A segment ends where the next one begins, the last one at `flushed`. */
	pthread_rwlock_t list_lock;
	struct cu_segment **segments;
	size_t segments_len;
	size_t segments_cap;
	_Atomic uint64_t flushed; /* written after the bytes are in the file, read before a pread */
	atomic_bool broken;       /* an fdatasync failed */
	atomic_bool dir_dirty;    /* a segment was created; set before it is listed */

	/* sync and drop_before, which exclude each other; taken before list_lock */
	pthread_mutex_t sync_mtx;
	uint64_t synced; /* everything below is on the disk */

	/* the writer only */
	uint64_t end;            /* flushed + buffer_len, outside of an append */
	struct cu_segment *last; /* NULL: none yet */
	uint8_t *buffer;         /* NULL while idle */
	size_t buffer_len;
	uint32_t fragment_items; /* since the last fan-out record */
	cu_buf scratch;          /* a fan-out record being made */
};

/* Returns owned. */
char *cu_segment_path(const struct cu_changelog *cl, uint64_t base);
/* Makes room first, so that listing a segment cannot fail. */
int cu_segments_reserve(struct cu_changelog *cl);
/* Takes fd; the list has room. */
struct cu_segment *cu_segments_add(struct cu_changelog *cl, uint64_t base, int fd, uint64_t synced_to);
/* Reads, checks and replays what is there, cuts the rest, and lists the segments. */
int cu_changelog_scan(struct cu_changelog *cl, const struct cu_changelog_opts *opts);

#endif
