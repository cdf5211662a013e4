/* client.h: a client that keeps a shape's rows, strictly: an insert's key must be new to it, every other's must be there.
 *
 * Threads: one at a time. Whatever is not as it must be is a failed check of the simulation.
 */
#ifndef CU_CRASH_CLIENT_H
#define CU_CRASH_CLIENT_H

#include "base/buf.h"
#include "base/offset.h"

#include <jansson.h>

/* Applies items that are joined by commas: all of them, or up to the one at *until, which must be among them. Returns the
 * bytes that were. */
size_t client_apply(json_t *rows, const char *items, size_t len, const cu_offset *until);

#endif
