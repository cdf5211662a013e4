/* metadata_cut.c: has the metadata's main file lost its end? SQLite does not notice where a write-ahead file stands beside it, which
 * says how long the database is: what is gone counts as zeros then, until somebody reads there.
 *
 * The main file's header says how many pages it had when it was last written as a whole. Those that are not there must be in
 * the write-ahead file: a process that is killed while that is folded has written the first page and not yet the last. */
#include "base/log.h"
#include "store/metadata_internal.h"

#include <fcntl.h>
#include <stdlib.h>

/* https://sqlite.org/fileformat2.html: numbers are big-endian */
#define HEADER_SIZE 100
#define HEADER_PAGE_SIZE 16
#define HEADER_CHANGES 24
#define HEADER_PAGES 28
#define HEADER_VALID_FOR 92 /* the number of pages is that of this count of changes */
#define WAL_HEADER_SIZE 32
#define WAL_SALT 16
#define FRAME_HEADER_SIZE 24
#define FRAME_SALT 8
#define SALT_SIZE 8

static uint32_t number(const uint8_t *at)
{
	cu_cursor cursor = cu_cursor_over(at, sizeof(uint32_t));

	return cu_cursor_be32(&cursor);
}

/* The pages of the main file that are missing: first … first + len - 1. */
struct missing {
	uint32_t page_size;
	uint32_t first, len;
};

static int find_missing(int fd, uint64_t size, struct missing *ret_missing)
{
	uint8_t header[HEADER_SIZE];
	uint32_t pages, there;
	size_t got = 0;
	int rc = cu_file_read_at(&cu_file_system, fd, header, sizeof header, 0, &got);

	*ret_missing = (struct missing){ 0 };
	/* What is no database SQLite says. */
	if (rc < 0 || got < sizeof header || memcmp(header, "SQLite format 3", 16) != 0)
		return rc;
	ret_missing->page_size = number(header + HEADER_PAGE_SIZE) >> 16;
	if (ret_missing->page_size <= 1)
		ret_missing->page_size = 65536;
	pages = number(header + HEADER_PAGES);
	there = (uint32_t)(size / ret_missing->page_size);
	if (number(header + HEADER_CHANGES) == number(header + HEADER_VALID_FOR) && pages > there) {
		ret_missing->first = there + 1;
		ret_missing->len = pages - there;
	}
	return 0;
}

/* Those that the write-ahead file has too. Whether it is whole is SQLite's business. */
static int count_in_wal(int fd, uint64_t size, const struct missing *missing, uint32_t *ret_found)
{
	uint64_t frame_size = FRAME_HEADER_SIZE + missing->page_size;
	uint64_t frames = size > WAL_HEADER_SIZE ? (size - WAL_HEADER_SIZE) / frame_size : 0;
	uint8_t header[WAL_HEADER_SIZE], frame[FRAME_HEADER_SIZE];
	bool *found;
	size_t got = 0;
	int rc = 0;

	*ret_found = 0;
	if (frames < missing->len) /* a damaged header may ask for any number */
		return 0;
	found = cu_xzalloc(missing->len * sizeof *found);
	rc = cu_file_read_at(&cu_file_system, fd, header, sizeof header, 0, &got);
	for (uint64_t i = 0; rc == 0 && i < frames; i++) {
		uint32_t at;

		rc = cu_file_read_at(&cu_file_system, fd, frame, sizeof frame, WAL_HEADER_SIZE + i * frame_size, &got);
		if (rc < 0 || memcmp(frame + FRAME_SALT, header + WAL_SALT, SALT_SIZE) != 0)
			break; /* of an earlier time */
		at = number(frame) - missing->first;
		if (at < missing->len && !found[at]) {
			found[at] = true;
			++*ret_found;
		}
	}
	free(found);
	return rc;
}

int cu_metadata_check_length(const char *path)
{
	char *wal = cu_file_path("%s-wal", path);
	struct missing missing = { 0 };
	uint32_t found = 0;
	uint64_t size = 0;
	int fd = -1, wal_fd = -1;
	int rc = cu_file_open(&cu_file_system, path, O_RDONLY, &fd);

	if (rc == 0)
		rc = cu_file_size(fd, &size);
	if (rc == 0)
		rc = find_missing(fd, size, &missing);
	if (rc < 0 || missing.len == 0)
		goto out;
	rc = cu_file_open(&cu_file_system, wal, O_RDONLY, &wal_fd);
	if (rc == 0)
		rc = cu_file_size(wal_fd, &size);
	if (rc == 0)
		rc = count_in_wal(wal_fd, size, &missing, &found);
	if (rc == CU_ENOTFOUND)
		rc = 0;
	if (rc == 0 && found < missing.len) {
		cu_error("the metadata file is cut off", CU_KV("path", path),
			 CU_KV_U64("missing_pages", missing.len - found));
		rc = CU_ECORRUPT;
	}
out:
	cu_file_close(&cu_file_system, &wal_fd);
	cu_file_close(&cu_file_system, &fd);
	free(wal);
	return rc == CU_ENOTFOUND ? 0 : rc;
}
