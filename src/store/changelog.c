/* changelog.c: writing, reading, syncing and dropping; see changelog_scan.c for opening.
 *
 * The buffer holds the bytes [flushed, end), always of the last segment: a new segment starts with a flush. So
 * whatever fails, the file up to `flushed` is what was promised, and the buffer is written again to the same place.
 */
#include "store/changelog.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"
#include "store/changelog_internal.h"
#include "store/crc32c.h"
#include "store/record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CHANGELOG_MAGIC 0xC10607A1u

char *cu_segment_path(const struct cu_changelog *cl, uint64_t base)
{
	return cu_file_path("%s/%016" PRIx64 ".seg", cl->dir, base);
}

static void segment_unref(struct cu_changelog *cl, struct cu_segment *segment)
{
	/* acq_rel: the closing thread comes after every other user's last read of the fd. */
	if (atomic_fetch_sub_explicit(&segment->refs, 1, memory_order_acq_rel) > 1)
		return;
	cu_file_close(cl->ops, &segment->fd);
	free(segment);
}

int cu_segments_reserve(struct cu_changelog *cl)
{
	struct cu_segment **list;
	size_t cap;
	int rc = 0;

	/* The writer alone adds, so the room found here stays. */
	pthread_rwlock_wrlock(&cl->list_lock);
	if (cl->segments_len == cl->segments_cap) {
		cap = cl->segments_cap ? cl->segments_cap * 2 : 16;
		list = cu_try_realloc(cl->segments, cap * sizeof(struct cu_segment *));
		if (list) {
			cl->segments = list;
			cl->segments_cap = cap;
		} else {
			rc = CU_ENOMEM;
		}
	}
	pthread_rwlock_unlock(&cl->list_lock);
	return rc;
}

struct cu_segment *cu_segments_add(struct cu_changelog *cl, uint64_t base, int fd, uint64_t synced_to)
{
	struct cu_segment *segment = cu_xzalloc(sizeof *segment);

	segment->base = base;
	segment->fd = fd;
	segment->synced_to = synced_to;
	atomic_init(&segment->refs, 1);
	pthread_rwlock_wrlock(&cl->list_lock);
	CU_ASSERT(cl->segments_len < cl->segments_cap);
	cl->segments[cl->segments_len++] = segment;
	pthread_rwlock_unlock(&cl->list_lock);
	return segment;
}

int cu_changelog_open(const struct cu_changelog_opts *opts, cu_changelog **ret_cl)
{
	struct cu_changelog *cl = cu_xzalloc(sizeof *cl);
	pthread_rwlockattr_t attr;
	int rc;

	cl->magic = CHANGELOG_MAGIC;
	cl->ops = opts->ops ? opts->ops : &cu_file_system;
	cl->dir = cu_xstrdup(opts->dir);
	cl->segment_bytes = opts->segment_bytes ? opts->segment_bytes : CU_SEGMENT_BYTES;
	cl->buffer_bytes = opts->buffer_bytes ? opts->buffer_bytes : CU_CHANGELOG_BUFFER;
	CU_ASSERT(cl->buffer_bytes >= 64);
	/* A steady stream of readers must not keep the collector from its next segment. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&cl->list_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&cl->sync_mtx, NULL);
	cu_buf_init(&cl->scratch);
	rc = cu_changelog_scan(cl, opts);
	if (rc < 0)
		goto out;
	cl->end = opts->end_pos;
	cl->synced = opts->end_pos;
	atomic_store(&cl->flushed, opts->end_pos);
	cl->last = cl->segments_len ? cl->segments[cl->segments_len - 1] : NULL;
	*ret_cl = cl;
	cl = NULL;
out:
	cu_changelog_free(&cl);
	return rc;
}

void cu_changelog_free(cu_changelog **ref)
{
	struct cu_changelog *cl = *ref;

	if (!cl)
		return;
	CU_ASSERT(cl->magic == CHANGELOG_MAGIC);
	*ref = NULL;
	for (size_t i = 0; i < cl->segments_len; i++)
		segment_unref(cl, cl->segments[i]);
	free(cl->segments);
	pthread_rwlock_destroy(&cl->list_lock);
	pthread_mutex_destroy(&cl->sync_mtx);
	cu_buf_fini(&cl->scratch);
	free(cl->buffer);
	free(cl->dir);
	cl->magic = 0;
	free(cl);
}

int cu_changelog_flush(cu_changelog *cl)
{
	int rc;

	CU_ASSERT(cl->magic == CHANGELOG_MAGIC);
	if (atomic_load_explicit(&cl->broken, memory_order_relaxed))
		return CU_EIO;
	if (cl->buffer_len == 0)
		return 0;
	rc = cu_file_write_at(cl->ops, cl->last->fd, cl->buffer, cl->buffer_len,
			      cl->end - cl->buffer_len - cl->last->base);
	if (rc < 0)
		return rc;
	cl->buffer_len = 0;
	/* release: who sees the position finds the bytes in the page cache. */
	atomic_store_explicit(&cl->flushed, cl->end, memory_order_release);
	return 0;
}

void cu_changelog_idle(cu_changelog *cl)
{
	if (cl->buffer_len > 0)
		return;
	free(cl->buffer);
	cl->buffer = NULL;
	cu_buf_fini(&cl->scratch);
}

/* Starts the segment whose base is the end of the log. Nothing is changed when it fails. */
static int segment_start(struct cu_changelog *cl)
{
	uint8_t header[CU_SEGMENT_HEADER];
	char *path = cu_segment_path(cl, cl->end);
	int fd = -1;
	int rc;

	rc = cu_changelog_flush(cl);
	if (rc < 0)
		goto out;
	rc = cu_segments_reserve(cl);
	if (rc < 0)
		goto out;
	rc = cu_file_open(cl->ops, path, O_RDWR | O_CREAT | O_TRUNC, &fd);
	if (rc < 0)
		goto out;
	cu_record_segment_header(cl->end, header);
	rc = cu_file_write_at(cl->ops, fd, header, sizeof header, 0);
	if (rc < 0) {
		/* Left there it would do no harm: it lies beyond every checkpoint and is truncated by the next try. */
		cu_file_close(cl->ops, &fd);
		cu_file_unlink(cl->ops, path);
		goto out;
	}
	atomic_store(&cl->dir_dirty, true);
	/* Readers take the new base as the end of the segment before, which is where it was flushed to. */
	cl->last = cu_segments_add(cl, cl->end, fd, cl->end);
	cl->end += sizeof header;
	atomic_store_explicit(&cl->flushed, cl->end, memory_order_release);
out:
	free(path);
	return rc == CU_ENOTFOUND ? CU_EIO : rc;
}

/* Appends one record of two parts; `head` begins with the record header, whose crc is filled in here. */
static int record_append(struct cu_changelog *cl, uint8_t *head, size_t head_len, const void *payload,
			 size_t payload_len)
{
	size_t total = head_len + payload_len;
	uint32_t crc;
	int rc;

	if (atomic_load_explicit(&cl->broken, memory_order_relaxed))
		return CU_EIO;
	if (!cl->last ||
	    (cl->end - cl->last->base + total > cl->segment_bytes && cl->end - cl->last->base > CU_SEGMENT_HEADER)) {
		rc = segment_start(cl);
		if (rc < 0)
			return rc;
	}
	if (!cl->buffer) {
		cl->buffer = cu_try_malloc(cl->buffer_bytes);
		if (!cl->buffer)
			return CU_ENOMEM;
	}
	if (cl->buffer_len + total > cl->buffer_bytes) {
		rc = cu_changelog_flush(cl);
		if (rc < 0)
			return rc;
	}
	crc = cu_crc32c(0, head + CU_RECORD_HEADER, head_len - CU_RECORD_HEADER);
	crc = cu_crc32c(crc, payload, payload_len);
	cu_record_put_le32(head + 4, crc);
	if (total <= cl->buffer_bytes) {
		memcpy(cl->buffer + cl->buffer_len, head, head_len);
		if (payload_len)
			memcpy(cl->buffer + cl->buffer_len + head_len, payload, payload_len);
		cl->buffer_len += total;
		cl->end += total;
		return 0;
	}
	/* Too large to gather. Half of it in the file is no harm: the next record is written over it. */
	rc = cu_file_write_at(cl->ops, cl->last->fd, head, head_len, cl->end - cl->last->base);
	if (rc < 0)
		return rc;
	rc = cu_file_write_at(cl->ops, cl->last->fd, payload, payload_len, cl->end - cl->last->base + head_len);
	if (rc < 0)
		return rc;
	cl->end += total;
	atomic_store_explicit(&cl->flushed, cl->end, memory_order_release);
	return 0;
}

void cu_changelog_limit_segments(cu_changelog *cl, size_t bytes)
{
	cl->segment_bytes = bytes;
}

int cu_changelog_append_item(cu_changelog *cl, uint64_t tx, uint64_t op, const void *payload, size_t len,
			     uint64_t *ret_pos)
{
	uint8_t prefix[CU_RECORD_ITEM_PREFIX_MAX];
	size_t prefix_len;
	int rc;

	CU_ASSERT(cl->magic == CHANGELOG_MAGIC);
	if (len > CU_CHANGELOG_RECORD_MAX - CU_RECORD_ITEM_PREFIX_MAX)
		return CU_ETOOBIG;
	if (cl->fragment_items == CU_FRAGMENT_ITEMS_MAX)
		return CU_EFULL;
	prefix_len = cu_record_item_prefix(tx, op, len, prefix);
	rc = record_append(cl, prefix, prefix_len, payload, len);
	if (rc < 0)
		return rc;
	cl->fragment_items++;
	if (ret_pos)
		*ret_pos = cl->end - len;
	return 0;
}

int cu_changelog_append_fanout(cu_changelog *cl, const struct cu_fanout *fanout)
{
	static const uint8_t no_header[CU_RECORD_HEADER];
	int rc;

	CU_ASSERT(cl->magic == CHANGELOG_MAGIC);
	cu_buf_clear(&cl->scratch);
	cu_buf_append(&cl->scratch, no_header, sizeof no_header);
	rc = cu_record_fanout_encode(fanout, cl->fragment_items, &cl->scratch);
	if (rc == 0) {
		cu_record_put_le32((uint8_t *)cl->scratch.data, (uint32_t)(cl->scratch.len - CU_RECORD_HEADER));
		rc = record_append(cl, (uint8_t *)cl->scratch.data, cl->scratch.len, NULL, 0);
	}
	if (rc == 0)
		cl->fragment_items = 0;
	/* One wide record must not hold its memory for good. */
	if (cl->scratch.cap > cl->buffer_bytes)
		cu_buf_fini(&cl->scratch);
	return rc;
}

uint64_t cu_changelog_end(const cu_changelog *cl)
{
	return cl->end;
}

uint64_t cu_changelog_flushed(const cu_changelog *cl)
{
	return atomic_load_explicit(&((struct cu_changelog *)(uintptr_t)cl)->flushed, memory_order_acquire);
}

uint64_t cu_changelog_start(cu_changelog *cl)
{
	uint64_t start;

	pthread_rwlock_rdlock(&cl->list_lock);
	start = cl->segments_len ? cl->segments[0]->base : cu_changelog_flushed(cl);
	pthread_rwlock_unlock(&cl->list_lock);
	return start;
}

/* The index of the segment that holds pos; the list is locked. segments_len when there is none. */
static size_t segment_index(const struct cu_changelog *cl, uint64_t pos)
{
	size_t low = 0, high = cl->segments_len;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (cl->segments[mid]->base <= pos)
			low = mid + 1;
		else
			high = mid;
	}
	return low > 0 ? low - 1 : cl->segments_len;
}

/* Where segment `at` of the locked list ends for readers. */
static uint64_t segment_limit(const struct cu_changelog *cl, size_t at)
{
	return at + 1 < cl->segments_len ? cl->segments[at + 1]->base : cu_changelog_flushed(cl);
}

int cu_changelog_read(cu_changelog *cl, uint64_t pos, size_t len, void *out)
{
	struct cu_segment *segment = NULL;
	size_t at, got = 0;
	int rc = 0;

	CU_ASSERT(cl->magic == CHANGELOG_MAGIC);
	pthread_rwlock_rdlock(&cl->list_lock);
	at = segment_index(cl, pos);
	if (at == cl->segments_len) {
		rc = cl->segments_len > 0 ? CU_ENOTFOUND : CU_EINVAL;
	} else if (segment_limit(cl, at) < pos || segment_limit(cl, at) - pos < len) {
		rc = CU_EINVAL;
	} else {
		segment = cl->segments[at];
		atomic_fetch_add_explicit(&segment->refs, 1, memory_order_relaxed);
	}
	pthread_rwlock_unlock(&cl->list_lock);
	if (rc < 0)
		return rc;
	rc = cu_file_read_at(cl->ops, segment->fd, out, len, pos - segment->base, &got);
	if (rc == 0 && got < len) {
		cu_error("the change log is shorter than what was written to it; was a file truncated?",
			 CU_KV("dir", cl->dir), CU_KV_U64("position", pos));
		rc = CU_EIO;
	}
	segment_unref(cl, segment);
	return rc;
}

/* The first segment with bytes below upto that are not on the disk, with a reference; NULL: none.
 * *ret_to: up to where it is written by now. */
static struct cu_segment *segment_unsynced(struct cu_changelog *cl, uint64_t upto, uint64_t *ret_to)
{
	struct cu_segment *found = NULL;

	pthread_rwlock_rdlock(&cl->list_lock);
	for (size_t i = 0; i < cl->segments_len && !found; i++) {
		struct cu_segment *segment = cl->segments[i];
		uint64_t limit = segment_limit(cl, i);

		if (segment->base < upto && segment->synced_to < CU_MIN(limit, upto)) {
			atomic_fetch_add_explicit(&segment->refs, 1, memory_order_relaxed);
			*ret_to = limit;
			found = segment;
		}
	}
	pthread_rwlock_unlock(&cl->list_lock);
	return found;
}

static int changelog_sync_locked(struct cu_changelog *cl, uint64_t upto)
{
	struct cu_segment *segment;
	uint64_t to = 0;
	int rc = 0;

	if (atomic_load(&cl->broken))
		return CU_EIO;
	if (upto <= cl->synced)
		return 0;
	if (upto > cu_changelog_flushed(cl))
		return CU_EINVAL;
	while (rc == 0 && (segment = segment_unsynced(cl, upto, &to))) {
		rc = cu_file_sync(cl->ops, segment->fd);
		if (rc == 0)
			segment->synced_to = to;
		segment_unref(cl, segment);
	}
	/* After the files: whatever segment was listed above had set the flag before. */
	if (rc == 0 && atomic_exchange(&cl->dir_dirty, false))
		rc = cu_file_sync_dir(cl->ops, cl->dir);
	if (rc < 0) {
		atomic_store(&cl->broken, true);
		cu_error("the change log is not safe on the disk; it is closed for writing until a restart",
			 CU_KV("dir", cl->dir), CU_KV_U64("position", upto), CU_KV("error", cu_strerror(rc)));
		return rc == CU_ENOSPC ? rc : CU_EIO;
	}
	cl->synced = upto;
	return 0;
}

int cu_changelog_sync(cu_changelog *cl, uint64_t upto_pos)
{
	int rc;

	CU_ASSERT(cl->magic == CHANGELOG_MAGIC);
	pthread_mutex_lock(&cl->sync_mtx);
	rc = changelog_sync_locked(cl, upto_pos);
	pthread_mutex_unlock(&cl->sync_mtx);
	return rc;
}

/* The oldest segment when it ends before pos and is not the last one. The one that ends at pos stays: a checkpoint there has
 * to find a log that begins before it, and the next segment may not be on the disk. Only the dropping thread takes segments
 * off the list, so the answer needs no reference. */
static struct cu_segment *segment_droppable(struct cu_changelog *cl, uint64_t pos)
{
	struct cu_segment *segment = NULL;

	pthread_rwlock_rdlock(&cl->list_lock);
	if (cl->segments_len > 1 &&
	    (cl->segments[1]->base < pos || (CU_MUTANT(DROP_WHAT_ENDS_THERE) && cl->segments[1]->base == pos)))
		segment = cl->segments[0];
	pthread_rwlock_unlock(&cl->list_lock);
	return segment;
}

bool cu_changelog_can_drop_before(cu_changelog *cl, uint64_t pos)
{
	return segment_droppable(cl, pos) != NULL;
}

int cu_changelog_drop_before(cu_changelog *cl, uint64_t pos)
{
	struct cu_segment *segment;
	int rc = 0;

	CU_ASSERT(cl->magic == CHANGELOG_MAGIC);
	pthread_mutex_lock(&cl->sync_mtx);
	while (rc == 0 && (segment = segment_droppable(cl, pos))) {
		char *path = cu_segment_path(cl, segment->base);

		/* Off the disk for good before the next one goes, or a crash could leave a gap. It stays listed when
		 * that fails, so that the next call tries again. */
		rc = cu_file_unlink(cl->ops, path);
		if (rc == CU_ENOTFOUND)
			rc = 0;
		if (rc == 0)
			rc = cu_file_sync_dir(cl->ops, cl->dir);
		if (rc == 0) {
			pthread_rwlock_wrlock(&cl->list_lock);
			memmove(cl->segments, cl->segments + 1, (cl->segments_len - 1) * sizeof(struct cu_segment *));
			cl->segments_len--;
			pthread_rwlock_unlock(&cl->list_lock);
			segment_unref(cl, segment);
		}
		free(path);
	}
	pthread_mutex_unlock(&cl->sync_mtx);
	return rc;
}

bool cu_changelog_is_broken(const cu_changelog *cl)
{
	return atomic_load(&cl->broken);
}
