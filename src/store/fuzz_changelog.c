/* fuzz_changelog.c: any bytes as the segment files of a change log: opening them must end in an answer, and what is
 * replayed must be readable.
 *
 * Input: byte 0 says how: bit 0 repairs checksums and the header, so that the fuzzer gets past them; bit 1 cuts the
 * rest into two segments; bit 2 lets the log begin at a later position. The rest is segment bytes.
 */
#include "base/limits.h"
#include "store/crc32c.h"
#include "store/record.h"
#include "store/test_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct replay {
	cu_changelog *cl;
	struct cu_changelog_item last;
	uint64_t sum;
};

static int replay(void *ctx, const struct cu_fanout *f, const struct cu_changelog_item *items)
{
	struct replay *seen = ctx;

	for (uint32_t i = 0; i < f->shapes_len; i++)
		for (uint32_t j = 0; j < f->shapes[i].runs_len; j++) {
			const struct cu_fanout_run *run = &f->runs[f->shapes[i].runs_at + j];

			CU_ASSERT(run->len > 0 && (uint64_t)run->first + run->len <= f->items_len);
			/* Touches the first and the last item. */
			seen->sum += items[run->first].pos + items[run->first + run->len - 1].op;
		}
	if (f->items_len > 0)
		seen->last = items[f->items_len - 1];
	return 0;
}

/* Fills in the header and every record's checksum as far as the lengths lead. */
static void repair(uint8_t *bytes, size_t len, uint64_t base)
{
	size_t at = CU_SEGMENT_HEADER;

	if (len < CU_SEGMENT_HEADER)
		return;
	cu_record_segment_header(base, bytes);
	while (len - at > CU_RECORD_HEADER) {
		cu_cursor head = cu_cursor_over(bytes + at, CU_RECORD_HEADER);
		uint32_t record = cu_cursor_le32(&head);

		if (record > len - at - CU_RECORD_HEADER)
			break;
		cu_record_put_le32(bytes + at + 4, cu_crc32c(0, bytes + at + CU_RECORD_HEADER, record));
		at += CU_RECORD_HEADER + record;
	}
}

static void segment_put(const char *dir, uint64_t base, const uint8_t *data, size_t len, bool repaired)
{
	char *path = cu_file_path("%s/%016" PRIx64 ".seg", dir, base);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t *bytes = cu_xmalloc(len + 1);

	CU_ASSERT(fd >= 0);
	memcpy(bytes, data, len);
	if (repaired)
		repair(bytes, len, base);
	CU_ASSERT(pwrite(fd, bytes, len, 0) == (ssize_t)len);
	close(fd);
	free(bytes);
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct replay seen = { 0 };
	struct cu_changelog_opts opts = { .replay = replay, .replay_ctx = &seen };
	cu_changelog *cl = NULL;
	uint64_t base;
	size_t first;
	char *dir;
	int rc;

	if (len < 2 || len > 1 << 16)
		return 0;
	dir = help_dir_new();
	base = data[0] & 4 ? 1 << 20 : 0;
	first = data[0] & 2 ? (len - 1) / 2 : len - 1;
	segment_put(dir, base, data + 1, first, data[0] & 1);
	if (data[0] & 2)
		segment_put(dir, base + first, data + 1 + first, len - 1 - first, data[0] & 1);
	opts.dir = dir;
	opts.end_pos = base + len - 1;
	rc = cu_changelog_open(&opts, &cl);
	CU_ASSERT(rc == 0 || rc == CU_ECORRUPT || rc == CU_ENOMEM);
	if (rc == 0) {
		char *out = cu_xmalloc((size_t)seen.last.len + 1);

		if (seen.last.pos > 0)
			CU_ASSERT(cu_changelog_read(cl, seen.last.pos, seen.last.len, out) == 0);
		CU_ASSERT(cu_changelog_append_item(cl, 1, 0, "after", 5, NULL) == 0);
		CU_ASSERT(cu_changelog_flush(cl) == 0);
		free(out);
	}
	cu_changelog_free(&cl);
	help_dir_free(&dir);
	return 0;
}
