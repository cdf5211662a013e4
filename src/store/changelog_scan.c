/* changelog_scan.c: opening a change log: check and replay everything below the checkpoint, cut what lies behind.
 *
 * Bytes are read in windows, so that a scan runs at the speed of crc32c and needs little memory; only a fan-out
 * record must be in memory as a whole.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"
#include "store/changelog_internal.h"
#include "store/crc32c.h"
#include "store/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define WINDOW_BYTES (1024u * 1024)

struct scan {
	struct cu_changelog *cl;
	const struct cu_changelog_opts *opts;
	uint64_t *bases; /* ascending; all that the directory holds */
	size_t bases_len;
	size_t bases_cap;

	/* the segment being read */
	int fd;
	uint64_t base;
	uint64_t limit;  /* offset in the file */
	uint8_t *window; /* bytes [window_at, window_at + window_len) of the file */
	size_t window_cap;
	size_t window_len;
	uint64_t window_at;

	/* the fragment being gathered */
	struct cu_changelog_item *items;
	size_t items_len;
	size_t items_cap;
	bool open_tx; /* fragments without their commit */
	bool fanout_seen;
	struct cu_fanout_decoded fanout;
};

static int corrupt(const struct scan *scan, uint64_t offset, const char *what)
{
	cu_error(
		"the change log is damaged below the checkpoint; restore the directory, or remove it to start over with "
		"new shapes",
		CU_KV("what", what), CU_KV("dir", scan->cl->dir), CU_KV_U64("segment", scan->base),
		CU_KV_U64("position", scan->base + offset));
	return CU_ECORRUPT;
}

/* "<16 hex digits>.seg" */
static bool base_parse(const char *name, uint64_t *ret_base)
{
	uint64_t base = 0;

	for (int i = 0; i < 16; i++) {
		char c = name[i];

		if (c >= '0' && c <= '9')
			base = base << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			base = base << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret_base = base;
	return strcmp(name + 16, ".seg") == 0;
}

static int base_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int bases_list(struct scan *scan)
{
	DIR *dir = opendir(scan->cl->dir);
	struct dirent *entry;
	uint64_t base;
	int rc = 0;

	if (!dir) {
		cu_error("the change log's directory cannot be read", CU_KV("dir", scan->cl->dir),
			 CU_KV("error", strerror(errno)));
		return CU_EIO;
	}
	while (rc == 0 && (errno = 0, entry = readdir(dir))) {
		if (!base_parse(entry->d_name, &base))
			continue;
		if (scan->bases_len == scan->bases_cap) {
			size_t cap = scan->bases_cap ? scan->bases_cap * 2 : 64;
			uint64_t *bases = cu_try_realloc(scan->bases, cap * sizeof *bases);

			if (!bases) {
				rc = CU_ENOMEM;
				break;
			}
			scan->bases = bases;
			scan->bases_cap = cap;
		}
		scan->bases[scan->bases_len++] = base;
	}
	if (rc == 0 && errno != 0)
		rc = CU_EIO;
	closedir(dir);
	if (scan->bases_len > 0)
		qsort(scan->bases, scan->bases_len, sizeof *scan->bases, base_cmp);
	return rc;
}

/* Makes bytes [at, at + len) of the file available; len <= limit - at. */
static int window_get(struct scan *scan, uint64_t at, size_t len, const uint8_t **ret_data)
{
	size_t want;
	int rc;

	if (at >= scan->window_at && at + len <= scan->window_at + scan->window_len) {
		*ret_data = scan->window + (at - scan->window_at);
		return 0;
	}
	if (len > scan->window_cap) {
		uint8_t *window = cu_try_realloc(scan->window, len);

		if (!window)
			return CU_ENOMEM;
		scan->window = window;
		scan->window_cap = len;
	}
	scan->window_at = at;
	scan->window_len = 0;
	want = (size_t)CU_MIN((uint64_t)scan->window_cap, scan->limit - at);
	rc = cu_file_read_at(scan->cl->ops, scan->fd, scan->window, want, at, &scan->window_len);
	if (rc < 0)
		return rc;
	if (scan->window_len < len)
		return corrupt(scan, at, "the file ends too early");
	*ret_data = scan->window;
	return 0;
}

/* The crc of a long item, without having it in memory at once. */
static int crc_of_span(struct scan *scan, uint64_t at, uint64_t len, uint32_t *ret_crc)
{
	const uint8_t *data;
	uint32_t crc = 0;
	int rc;

	while (len > 0) {
		size_t piece = (size_t)CU_MIN(len, (uint64_t)WINDOW_BYTES);

		rc = window_get(scan, at, piece, &data);
		if (rc < 0)
			return rc;
		crc = cu_crc32c(crc, data, piece);
		at += piece;
		len -= piece;
	}
	*ret_crc = crc;
	return 0;
}

static int items_reserve(struct scan *scan, size_t len)
{
	size_t cap = scan->items_cap ? scan->items_cap : 256;
	struct cu_changelog_item *items;

	if (len <= scan->items_cap)
		return 0;
	while (cap < len)
		cap *= 2;
	items = cu_try_realloc(scan->items, cap * sizeof *items);
	if (!items)
		return CU_ENOMEM;
	scan->items = items;
	scan->items_cap = cap;
	return 0;
}

static int item_add(struct scan *scan, uint64_t at, struct cu_changelog_item item)
{
	int rc;

	if (scan->items_len == CU_FRAGMENT_ITEMS_MAX)
		return corrupt(scan, at, "too many items in a fragment");
	rc = items_reserve(scan, scan->items_len + 1);
	if (rc == 0)
		scan->items[scan->items_len++] = item;
	return rc;
}

/* `at` is the offset of the record's kind; the crc was right. */
static int item_take(struct scan *scan, uint64_t at, uint32_t len)
{
	uint32_t head_len = CU_MIN(len, CU_RECORD_ITEM_PREFIX_MAX - CU_RECORD_HEADER);
	struct cu_changelog_item item;
	const uint8_t *data;
	cu_cursor head;
	int rc;

	rc = window_get(scan, at, head_len, &data);
	if (rc < 0)
		return rc;
	head = cu_cursor_over(data + 1, head_len - 1);
	cu_cursor_le64(&head);
	item.op = cu_cursor_varint(&head);
	if (head.failed)
		return corrupt(scan, at, "an item without its head");
	item.len = len - (head_len - (uint32_t)cu_cursor_left(&head));
	item.pos = scan->base + at + len - item.len;
	return item_add(scan, at, item);
}

static int fanout_take(struct scan *scan, uint64_t at, const uint8_t *data, uint32_t len)
{
	cu_cursor body = cu_cursor_over(data + 1, len - 1);
	size_t missing;
	int rc;

	rc = cu_record_fanout_decode(&body, &scan->fanout);
	if (rc == CU_ECORRUPT)
		return corrupt(scan, at, "a fan-out record that makes no sense");
	if (rc < 0)
		return rc;
	if (scan->fanout.fanout.items_len < scan->items_len)
		return corrupt(scan, at, "a fan-out record of fewer items than there are");
	missing = scan->fanout.fanout.items_len - scan->items_len;
	if (missing > 0 && (scan->fanout_seen || scan->bases[0] == 0))
		return corrupt(scan, at, "a fan-out record of more items than there are");
	if (missing > 0) {
		rc = items_reserve(scan, scan->items_len + missing);
		if (rc < 0)
			return rc;
		memmove(scan->items + missing, scan->items, scan->items_len * sizeof *scan->items);
		memset(scan->items, 0, missing * sizeof *scan->items);
	}
	scan->fanout_seen = true;
	scan->open_tx = scan->fanout.fanout.flags == 0;
	scan->items_len = 0;
	return scan->opts->replay ? scan->opts->replay(scan->opts->replay_ctx, &scan->fanout.fanout, scan->items) : 0;
}

/* A record with a wrong checksum that says it is an item: its length is right if a whole record, or the end, follows. */
static bool is_damaged_item(struct scan *scan, uint8_t kind, uint64_t next)
{
	const uint8_t *data;
	cu_cursor head;
	uint32_t len, crc;

	if (kind != CU_RECORD_ITEM)
		return false;
	if (next == scan->limit)
		return true;
	if (scan->limit - next <= CU_RECORD_HEADER || window_get(scan, next, CU_RECORD_HEADER, &data) < 0)
		return false;
	head = cu_cursor_over(data, CU_RECORD_HEADER);
	len = cu_cursor_le32(&head);
	crc = cu_cursor_le32(&head);
	if (len == 0 || len > WINDOW_BYTES || len > scan->limit - next - CU_RECORD_HEADER)
		return false;
	return window_get(scan, next + CU_RECORD_HEADER, len, &data) == 0 && cu_crc32c(0, data, len) == crc;
}

static int record_take(struct scan *scan, uint64_t offset, uint64_t *ret_next)
{
	uint64_t at = offset + CU_RECORD_HEADER;
	const uint8_t *data;
	uint32_t len, crc, crc_is = 0;
	cu_cursor head;
	uint8_t kind;
	int rc;

	if (scan->limit - offset <= CU_RECORD_HEADER)
		return corrupt(scan, offset, "a record without its header");
	/* One byte more than the header: the kind decides how the rest is read. */
	rc = window_get(scan, offset, CU_RECORD_HEADER + 1, &data);
	if (rc < 0)
		return rc;
	head = cu_cursor_over(data, CU_RECORD_HEADER + 1);
	len = cu_cursor_le32(&head);
	crc = cu_cursor_le32(&head);
	kind = cu_cursor_u8(&head);
	if (len == 0 || len > CU_CHANGELOG_RECORD_MAX || len > scan->limit - at)
		return corrupt(scan, offset, "a record of impossible length");
	if (len > WINDOW_BYTES && kind == CU_RECORD_ITEM) {
		rc = crc_of_span(scan, at, len, &crc_is);
		data = NULL;
	} else {
		rc = window_get(scan, at, len, &data);
		if (rc == 0)
			crc_is = cu_crc32c(0, data, len);
	}
	if (rc < 0)
		return rc;
	if (crc_is != crc && !is_damaged_item(scan, kind, at + len))
		return corrupt(scan, offset, "a checksum is wrong");
	if (crc_is != crc) {
		cu_error("an item in the change log is damaged; the shapes that have it are made anew",
			 CU_KV("dir", scan->cl->dir), CU_KV_U64("segment", scan->base),
			 CU_KV_U64("position", scan->base + offset));
		*ret_next = at + len;
		/* Its place in the transaction is not known: it may lie behind whatever of that stands elsewhere. */
		return item_add(scan, at, (struct cu_changelog_item){ .op = UINT64_MAX });
	}
	if (kind == CU_RECORD_ITEM)
		rc = item_take(scan, at, len);
	else if (kind == CU_RECORD_FANOUT)
		rc = fanout_take(scan, at, data, len);
	else
		rc = corrupt(scan, offset, "a record of unknown kind");
	*ret_next = at + len;
	return rc;
}

static int segment_read(struct scan *scan)
{
	uint64_t offset = CU_SEGMENT_HEADER;
	const uint8_t *header;
	int rc;

	scan->window_len = 0;
	if (scan->limit < CU_SEGMENT_HEADER)
		return corrupt(scan, 0, "a segment without its header");
	rc = window_get(scan, 0, CU_SEGMENT_HEADER, &header);
	if (rc < 0)
		return rc;
	if (!cu_record_segment_header_ok(header, scan->base))
		return corrupt(scan, 0, "a segment's header is wrong");
	while (rc == 0 && offset < scan->limit)
		rc = record_take(scan, offset, &offset);
	return rc;
}

/* Opens, reads and lists the segments below the end. */
static int segments_read(struct scan *scan)
{
	uint64_t end = scan->opts->end_pos;
	char *path;
	int rc = 0;

	if (end > 0 && (scan->bases_len == 0 || scan->bases[0] >= end)) {
		scan->base = end;
		return corrupt(scan, 0, "the log is missing");
	}
	for (size_t i = 0; rc == 0 && i < scan->bases_len && scan->bases[i] < end; i++) {
		uint64_t next = i + 1 < scan->bases_len ? scan->bases[i + 1] : UINT64_MAX;

		scan->base = scan->bases[i];
		scan->limit = CU_MIN(next, end) - scan->base;
		path = cu_segment_path(scan->cl, scan->base);
		rc = cu_file_open(scan->cl->ops, path, O_RDWR, &scan->fd);
		free(path);
		if (rc == 0)
			rc = segment_read(scan);
		if (rc == 0)
			rc = cu_segments_reserve(scan->cl);
		if (rc == 0) {
			cu_segments_add(scan->cl, scan->base, scan->fd, scan->base + scan->limit);
			scan->fd = -1;
		}
	}
	if (rc == 0 && end > 0 && (scan->items_len > 0 || scan->open_tx))
		rc = corrupt(scan, scan->limit, "the checkpoint is not behind a commit");
	return rc == CU_ENOTFOUND ? CU_EIO : rc;
}

static int cut(struct scan *scan)
{
	struct cu_changelog *cl = scan->cl;
	uint64_t size = 0;
	bool unlinked = false;
	int rc = 0;

	for (size_t i = scan->bases_len; rc == 0 && i > 0 && scan->bases[i - 1] >= scan->opts->end_pos; i--) {
		char *path = cu_segment_path(cl, scan->bases[i - 1]);

		rc = cu_file_unlink(cl->ops, path);
		free(path);
		unlinked = true;
	}
	if (rc == 0 && unlinked)
		rc = cu_file_sync_dir(cl->ops, cl->dir);
	if (rc == 0 && cl->segments_len > 0) {
		struct cu_segment *last = cl->segments[cl->segments_len - 1];

		rc = cu_file_size(last->fd, &size);
		if (rc == 0 && size > scan->opts->end_pos - last->base)
			rc = cu_file_truncate(cl->ops, last->fd, scan->opts->end_pos - last->base);
	}
	return rc == CU_ENOTFOUND ? CU_EIO : rc;
}

int cu_changelog_scan(struct cu_changelog *cl, const struct cu_changelog_opts *opts)
{
	struct scan scan = { .cl = cl, .opts = opts, .fd = -1, .window_cap = WINDOW_BYTES };
	int rc;

	rc = bases_list(&scan);
	if (rc < 0)
		goto out;
	if (opts->end_pos > 0) {
		scan.window = cu_try_malloc(scan.window_cap);
		rc = scan.window ? segments_read(&scan) : CU_ENOMEM;
		if (rc < 0)
			goto out;
	}
	rc = CU_MUTANT(CUT_LEAVES_THE_REST) ? 0 : cut(&scan);
out:
	cu_file_close(cl->ops, &scan.fd);
	cu_fanout_decoded_fini(&scan.fanout);
	free(scan.items);
	free(scan.window);
	free(scan.bases);
	return rc;
}
