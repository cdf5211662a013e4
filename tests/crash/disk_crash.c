/* disk_crash.c: what a disk kept, as a seed decides. */
#include "crash/disk_internal.h"

#include "sim/sim.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u

enum mercy { MERCY_NONE, MERCY_ALL, MERCY_UNTIL, MERCY_CHANCE, MERCY_KINDS };

/* How a crash chooses, for data and for names. */
struct fate {
	enum mercy data, names;
	uint64_t until;  /* the step before which everything was kept */
	uint32_t chance; /* of 8 */
};

static bool fate_keeps(const struct fate *fate, enum mercy mercy, uint64_t when)
{
	switch (mercy) {
	case MERCY_NONE: return false;
	case MERCY_ALL: return true;
	case MERCY_UNTIL: return when < fate->until;
	default: return cu_sim_random(8) < fate->chance;
	}
}

/* Does the change concern these bytes? */
static bool change_touches(const struct change *change, uint64_t from, uint64_t to)
{
	return change->data ? change->at < to && change->at + change->len > from : change->at < to;
}

/* The changes before index `upto`, as far as they concern the bytes [from, to) of `out`. */
static void sector_build(const struct disk_file *file, size_t upto, uint64_t from, uint64_t to, uint8_t *out)
{
	memset(out + from, 0, to - from);
	if (from < file->durable_len)
		memcpy(out + from, file->durable + from, CU_MIN(to, (uint64_t)file->durable_len) - from);
	for (size_t i = 0; i < upto; i++) {
		const struct change *change = &file->changes[i];
		uint64_t start = CU_MAX(change->at, from), end;

		if (!change_touches(change, from, to))
			continue;
		end = change->data ? CU_MIN(change->at + change->len, to) : to;
		if (change->data)
			memcpy(out + start, change->data + (start - change->at), end - start);
		else
			memset(out + start, 0, end - start);
	}
}

static size_t size_after(const struct disk_file *file, size_t upto)
{
	size_t size = file->durable_len;

	for (size_t i = 0; i < upto; i++) {
		const struct change *change = &file->changes[i];

		size = change->data ? CU_MAX(size, (size_t)(change->at + change->len)) : (size_t)change->at;
	}
	return size;
}

/* A truncation is one step of the file system, and what was written behind it comes after it: of those that took effect, the
 * last one is change cut - 1 (0: none did), the next one change `end`. */
struct reach {
	size_t cut, end;
};

static struct reach reach_choose(const struct disk_file *file)
{
	struct reach reach = { 0, file->changes_len };
	uint32_t count = 1;

	/* Each stretch between two truncations is as likely as any other. */
	for (size_t i = 0; i < file->changes_len; i++) {
		if (file->changes[i].data)
			continue;
		if (count++ == 1)
			reach.end = i;
		if (cu_sim_random(count) == 0) {
			reach.cut = i + 1;
			for (reach.end = i + 1; reach.end < file->changes_len && file->changes[reach.end].data;)
				reach.end++;
		}
	}
	return reach;
}

/* How many of the file's changes count for the bytes [from, to), which choose by themselves. */
static size_t changes_kept(const struct fate *fate, const struct disk_file *file, struct reach reach, uint64_t from,
			   uint64_t to)
{
	size_t upto = 0, least = reach.cut;

	switch (fate->data) {
	case MERCY_NONE: return 0;
	case MERCY_ALL: return file->changes_len;
	case MERCY_UNTIL:
		while (upto < file->changes_len && file->changes[upto].when < fate->until)
			upto++;
		/* The write that was under way has reached some sectors. */
		if (upto < file->changes_len && file->changes[upto].when == fate->until && file->changes[upto].data)
			upto += cu_sim_random(2);
		return upto;
	default: break;
	}
	while (least > 0 && (file->changes[least - 1].data || !change_touches(&file->changes[least - 1], from, to)))
		least--;
	/* Mostly the end: half-written files are rarer than lost ones, and find less. */
	if (cu_sim_random(8) < fate->chance)
		return reach.end;
	return least + cu_sim_random((uint32_t)(reach.end - least) + 1);
}

static void file_settle(const struct fate *fate, struct disk_file *file)
{
	struct reach reach = reach_choose(file);
	size_t size_max = 0, size;
	uint8_t *bytes;

	for (size_t i = 0; i <= file->changes_len; i++)
		size_max = CU_MAX(size_max, size_after(file, i));
	size = size_after(file, changes_kept(fate, file, reach, UINT64_MAX - 1, UINT64_MAX));
	bytes = cu_xmalloc(CU_MAX(size_max, (size_t)1));
	for (uint64_t from = 0; from < size_max; from += SECTOR) {
		uint64_t to = CU_MIN(from + SECTOR, (uint64_t)size_max);

		sector_build(file, changes_kept(fate, file, reach, from, to), from, to, bytes);
	}
	free(file->durable);
	file->durable = bytes;
	file->durable_len = size;
	disk_changes_clear(file);
}

void disk_settle(struct disk_file *file)
{
	struct fate fate = { .data = MERCY_CHANCE, .chance = cu_sim_random(9) };

	file_settle(&fate, file);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level == 0 ? 0 : remove(path);
}

static void file_write_out(const struct disk_file *file, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	CU_ASSERT(fd >= 0);
	CU_ASSERT(pwrite(fd, file->durable, file->durable_len, 0) == (ssize_t)file->durable_len);
	close(fd);
}

/* No deeper than the store's directories are. */
static void dir_write_out(const struct fate *fate, struct disk_file *dir, const char *path)
{
	dir->reached = true;
	disk_entries_clear(&dir->now);
	for (size_t i = 0; i < dir->safe.len; i++) {
		const struct entry *entry = &dir->safe.list[i];
		char *below = cu_file_path("%s/%s", path, entry->name);

		disk_entry_put(&dir->now, entry->name, entry->file);
		if (entry->file->dir) {
			CU_ASSERT(mkdir(below, 0700) == 0);
			dir_write_out(fate, entry->file, below);
		} else {
			CU_ASSERT(!entry->file->reached); /* nobody makes links */
			entry->file->reached = true;
			file_settle(fate, entry->file);
			file_write_out(entry->file, below);
		}
		free(below);
	}
}

/* Files that have no name any more. */
static void forget_unreached(struct disk *disk)
{
	struct disk_file **at = &disk->files, *file;

	while ((file = *at)) {
		if (file->reached) {
			file->reached = false;
			at = &file->next;
		} else {
			*at = file->next;
			disk_file_free(file);
		}
	}
}

void disk_recover(struct disk *disk)
{
	uint64_t oldest = disk->steps;
	struct fate fate = { .data = cu_sim_random(MERCY_KINDS), .names = cu_sim_random(MERCY_KINDS) };

	for (size_t i = 0; i < disk->namings_len; i++)
		oldest = CU_MIN(oldest, disk->namings[i].when);
	for (const struct disk_file *file = disk->files; file; file = file->next) {
		if (file->changes_len)
			oldest = CU_MIN(oldest, file->changes[0].when);
	}
	fate.until = oldest + cu_sim_random((uint32_t)(disk->steps - oldest) + 2);
	fate.chance = cu_sim_random(9);
	cu_sim_note("disk: data %d, names %d, until step %llu, chance %u", fate.data, fate.names,
		    (unsigned long long)fate.until, fate.chance);
	for (size_t i = 0; i < disk->namings_len; i++) {
		if (fate_keeps(&fate, fate.names, disk->namings[i].when))
			disk_naming_apply(&disk->namings[i], true);
		disk_naming_fini(&disk->namings[i]);
	}
	disk->namings_len = 0;
	CU_ASSERT(nftw(disk->root_path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
	dir_write_out(&fate, disk->root, disk->root_path);
	forget_unreached(disk);
	disk_survive(disk);
}
