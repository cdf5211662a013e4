/* slab.h: small objects that live long, in memory of their own.
 *
 * In the heap each of many thousands stands between what the request that made it needed for a moment, and cuts a piece off
 * the holes that this leaves. Here objects of about one size lie side by side in blocks; a block whose last one is given back
 * goes back to the system.
 *
 * Threads: any; one lock. Cost: O(1); up to 15 bytes of each, and 64 bytes of a block. Sizes beyond CU_SLAB_MAX come from the
 * heap. Ownership: the caller's, until cu_slab_free(). Under ASan, what was given back is poisoned.
 */
#ifndef CU_SLAB_H
#define CU_SLAB_H

#include "base/base.h"

#define CU_SLAB_MAX 1024u                  /* bytes of the largest object */
#define CU_SLAB_BLOCK ((size_t)256 * 1024) /* address space of a block; memory only as far as it was used */

/* Zeroed, 16-byte aligned. Aborts when there is no memory, as cu_xzalloc(). */
void *cu_slab_alloc(size_t size);
/* size: as it was asked for. NULL is fine. */
void cu_slab_free(void *ptr, size_t size);

#endif
