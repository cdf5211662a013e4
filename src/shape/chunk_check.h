/* chunk_check.h: chunk files of an earlier run are read through and compared with their checksums before anybody is sent a
 * byte of them.
 *
 * Files are sent by the kernel; nobody looks at the bytes on their way. What this process has written it knows to be good
 * (cu_shape.chunks_good, cu_sealed.good, set by the writers before readers can see the chunk). The rest is checked by one
 * thread when it is asked for first; its reader parks and is woken. So a cold file is read here as well and not by an
 * HTTP loop. A chunk that is damaged or lost takes its shape along.
 *
 * Threads: any; a shape is in the queue once. Cost when all is good: the shape's lock, a look at each sealed chunk of the
 * range; a restored chunk is read once in the life of the process.
 */
#ifndef CU_SHAPE_CHUNK_CHECK_H
#define CU_SHAPE_CHUNK_CHECK_H

#include "shape/shape_set.h"

typedef struct cu_chunk_checks cu_chunk_checks;

/* shapes and store are borrowed. CU_EAGAIN: no thread. */
int cu_chunk_checks_start(cu_shape_set *shapes, cu_store *store, cu_chunk_checks **ret_checks);
/* Ends after the file it is at. Nobody asks any more. NULL is fine. */
void cu_chunk_checks_free(cu_chunk_checks **checks);

/* May chunk n of the snapshot, which is in a file, be sent? False: the shape's readers are woken when it is known; then ask again. The
 * caller has set its bit in waiting_loops. */
bool cu_chunk_check_snapshot(cu_chunk_checks *checks, cu_shape *shape, uint32_t n);
/* The same for the items behind `from` up to `end`. */
bool cu_chunk_check_log(cu_chunk_checks *checks, cu_shape *shape, cu_offset from, cu_offset end);

#endif
