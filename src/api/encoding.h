/* encoding.h: content codings: which one a client takes, compressing a body, and joining text to a compressed file.
 *
 * An answer from disk is "[", a file, and a few bytes that differ by request. So that the file can be compressed once and
 * sent by sendfile, its copy is the middle of a gzip or zstd stream: whole blocks that are not the last and look back at
 * nothing before them (cu_encoder). cu_encoding_put_start() and _put_end() make what comes before and behind it; text there
 * is stored uncompressed. The whole is one gzip member or zstd frame: browsers read no further than the first.
 *
 * Threads: any; an encoder one at a time. Errors: CU_ENOMEM, what fails in the libraries otherwise is CU_EUNSUPPORTED.
 */
#ifndef CU_API_ENCODING_H
#define CU_API_ENCODING_H

#include "base/buf.h"

enum cu_encoding {
	CU_ENCODING_NONE,
	CU_ENCODING_GZIP,
	CU_ENCODING_ZSTD,
	CU_ENCODINGS,
};

/* What is best of an Accept-Encoding header: the greatest q, zstd before gzip. NULL: NONE. NONE also where the header forbids
 * it (identity;q=0) together with all that we have: such a client gets what there is. */
enum cu_encoding cu_encoding_choose(const char *accept, size_t len);
const char *cu_encoding_name(enum cu_encoding encoding); /* "gzip"; NULL: none */

/* Appends the whole stream. About 6 us/KB for gzip, 2 for zstd. */
int cu_encoding_compress(enum cu_encoding encoding, const void *data, size_t len, cu_buf *out);

/* Checksum and length of what the stream holds; put_end() needs them. */
struct cu_encoding_sum {
	uint32_t crc;
	uint64_t len;
};
void cu_encoding_put_start(enum cu_encoding encoding, const void *text, size_t len, struct cu_encoding_sum *sum,
			   cu_buf *out);
/* A file's copy comes next: `crc` of its `len` bytes before compression. */
void cu_encoding_joined(struct cu_encoding_sum *sum, uint32_t crc, uint64_t len);
void cu_encoding_put_end(enum cu_encoding encoding, const void *text, size_t len, struct cu_encoding_sum *sum,
			 cu_buf *out);

/* Makes a file's copy. */
typedef struct cu_encoder cu_encoder;
int cu_encoder_new(enum cu_encoding encoding, cu_encoder **ret_encoder);
void cu_encoder_free(cu_encoder **encoder); /* NULL is fine */
/* Appends to `out` what comes of it; all of it when `last`. */
int cu_encoder_add(cu_encoder *encoder, const void *data, size_t len, bool last, cu_buf *out);
uint32_t cu_encoder_crc(const cu_encoder *encoder); /* of what was added; of gzip only */

#endif
