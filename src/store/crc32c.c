#include "store/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82F63B78u /* Castagnoli, reflected */

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void tables_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		tables[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
}

uint32_t cu_crc32c_tables(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *at = data;

	pthread_once(&tables_once, tables_fill);
	crc = ~crc;
	for (; len >= 8; len -= 8, at += 8) {
		uint32_t low =
			crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24);

		crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
		      tables[4][low >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
	}
	while (len-- > 0)
		crc = crc >> 8 ^ tables[0][(crc ^ *at++) & 0xff];
	return ~crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *at = data;
	uint64_t crc64 = (uint32_t)~crc;
	uint32_t crc32;

	for (; len >= 8; len -= 8, at += 8) {
		uint64_t word;

		memcpy(&word, at, sizeof word);
		crc64 = _mm_crc32_u64(crc64, word);
	}
	crc32 = (uint32_t)crc64;
	while (len-- > 0)
		crc32 = _mm_crc32_u8(crc32, *at++);
	return ~crc32;
}

uint32_t cu_crc32c(uint32_t crc, const void *data, size_t len)
{
	return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(crc, data, len) : cu_crc32c_tables(crc, data, len);
}
#else
uint32_t cu_crc32c(uint32_t crc, const void *data, size_t len)
{
	return cu_crc32c_tables(crc, data, len);
}
#endif
