/* md5.h: RFC 1321, for the SQL function only. Threads: any. */
#ifndef CU_VALUE_MD5_H
#define CU_VALUE_MD5_H

#include <stddef.h>

/* 32 lower-case digits, not terminated. */
void cu_md5_hex(const void *data, size_t len, char out[32]);

#endif
