/* crc32c.h: the Castagnoli checksum of everything storage writes.
 *
 * Threads: any. Cost: about 8 bytes per 3 cycles where the processor has SSE4.2, else tables of 8 KiB.
 */
#ifndef CU_STORE_CRC32C_H
#define CU_STORE_CRC32C_H

#include "base/base.h"

/* Continues `crc` (0 to start) over len bytes. */
uint32_t cu_crc32c(uint32_t crc, const void *data, size_t len);
/* The same without hardware, for tests. */
uint32_t cu_crc32c_tables(uint32_t crc, const void *data, size_t len);

#endif
