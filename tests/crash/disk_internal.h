/* disk_internal.h: between the journal (disk.c) and what a crash makes of it (disk_crash.c). */
#ifndef CU_CRASH_DISK_INTERNAL_H
#define CU_CRASH_DISK_INTERNAL_H

#include "crash/disk.h"

#define DISK_FDS_MAX 4096

struct change {
	uint64_t when; /* the step that made it */
	uint64_t at;
	uint8_t *data; /* NULL: a truncation to `at` */
	size_t len;
};

struct entry {
	char *name;
	struct disk_file *file;
};

struct entries {
	struct entry *list;
	size_t len, cap;
};

struct disk_file {
	struct disk_file *next; /* of all */
	bool dir;
	bool reached; /* disk_recover() has found it */
	enum disk_lie kind;

	/* a file: durable bytes, and what came since */
	uint8_t *durable;
	size_t durable_len;
	struct change *changes;
	size_t changes_len, changes_cap;

	/* a directory: as a process sees it, and as of the last fsync */
	struct entries now, safe;
};

enum naming_kind { NAMING_CREATE, NAMING_REMOVE, NAMING_RENAME };

/* A change of names that is not durable. */
struct naming {
	enum naming_kind kind;
	uint64_t when;
	struct disk_file *dir, *dir_to;
	char *name, *name_to;
	struct disk_file *file;
	bool settles; /* is being made durable */
};

struct disk {
	char *root_path;
	size_t root_len;
	struct cu_file_ops ops;
	struct disk_file *files;
	struct disk_file *root;
	struct naming *namings;
	size_t namings_len, namings_cap;
	struct disk_file *by_fd[DISK_FDS_MAX];
	uint64_t steps;
	uint64_t crash_at;
	bool crash_after;
	enum disk_lie crash_behind; /* this kind of file is removed: then crash_at is counted from there */
	uint64_t crash_behind_steps;
	bool crashed;
	enum disk_trouble trouble;
	uint64_t trouble_at;
	unsigned trouble_left;
	unsigned refused_left; /* SQLite's writes */
	bool failed;
	struct hold hold; /* shapes' directories */
	bool lost_metadata;
};

void disk_entry_put(struct entries *entries, const char *name, struct disk_file *file);
void disk_entries_clear(struct entries *entries);
/* To the names as a process sees them, or to the durable ones; there it changes nothing when what it needs is missing. */
void disk_naming_apply(const struct naming *naming, bool safe);
void disk_naming_fini(struct naming *naming);
/* What a sync that failed leaves: some of it. */
void disk_settle(struct disk_file *file);
void disk_changes_clear(struct disk_file *file);
void disk_file_free(struct disk_file *file);

#endif
