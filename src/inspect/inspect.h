/* inspect.h: looks at a storage directory that no server uses: `copper check` and `copper inspect`.
 *
 * Nothing in the directory is changed: the metadata are copied and looked at there, and files are opened for reading. The
 * directory's lock is held meanwhile, so no server starts in it.
 * Threads: one. Cost of a check: everything is read once.
 */
#ifndef CU_INSPECT_INSPECT_H
#define CU_INSPECT_INSPECT_H

#include "base/base.h"

#include <stdio.h>

/* Results: what the process leaves with. */
enum {
	CU_INSPECT_GOOD = 0,
	CU_INSPECT_DAMAGED = 1,
	CU_INSPECT_CANNOT = 2, /* no such directory, a server runs in it, another format */
};

/* Compares every row, chunk and record with its checksum, and looks that what refers to each other is there. A line to `out` for
 * everything that is wrong, and a summary. */
int cu_inspect_check(const char *dir, FILE *out);
/* Prints the checkpoint, sizes, and a line per shape; json: one object. */
int cu_inspect_print(const char *dir, bool json, FILE *out);

#endif
