/* encoding.c: gzip (RFC 1952 around RFC 1951) and zstd (RFC 8878), whole and in parts. */
#include "api/encoding.h"

#include <stdlib.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

#define GZIP_LEVEL 6      /* of copies */
#define GZIP_LEVEL_ONCE 1 /* of a body that is made for one reader or one wave */
#define ZSTD_LEVEL 3
/* Stands in the frame's head, so it is the same for all copies. Decoders of browsers take up to 8 MiB. */
#define ZSTD_WINDOW_LOG 20
#define ZSTD_BLOCK_RAW 0u
#define STORED_MAX 65535u        /* of a deflate block; zstd's may have 128 KiB */
#define ENCODER_OUT (64u * 1024) /* room made for the libraries' output at a time */

static const char gzip_head[10] = { 0x1f, (char)0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
/* Magic number; a window, and neither length nor checksum; the window. */
static const char zstd_head[6] = { 0x28, (char)0xb5, 0x2f, (char)0xfd, 0, (ZSTD_WINDOW_LOG - 10) << 3 };

/* ---- which one ---- */

static const char *const names[CU_ENCODINGS] = { NULL, "gzip", "zstd" };

const char *cu_encoding_name(enum cu_encoding encoding)
{
	return names[encoding];
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void trim(const char **text, size_t *len)
{
	while (*len && is_blank(**text)) {
		(*text)++;
		(*len)--;
	}
	while (*len && is_blank((*text)[*len - 1]))
		(*len)--;
}

/* "0.75" → 750. What is no number counts as 0: better too plain than unreadable. */
static int thousandths(const char *text, size_t len)
{
	int value = 0, digit = 1000;

	if (!len || (text[0] != '0' && text[0] != '1') || (len > 1 && text[1] != '.'))
		return 0;
	value = (text[0] - '0') * 1000;
	for (size_t i = 2; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		digit /= 10;
		value += (text[i] - '0') * digit;
	}
	return CU_MIN(value, 1000);
}

/* One element: "gzip;q=0.5". Cuts the parameters off the name; returns q in thousandths. */
static int element_quality(const char **name, size_t *len)
{
	const char *semicolon = memchr(*name, ';', *len);
	const char *value;
	size_t value_len;

	if (!semicolon) {
		trim(name, len);
		return 1000;
	}
	value = semicolon + 1;
	value_len = *len - (size_t)(value - *name);
	*len = (size_t)(semicolon - *name);
	trim(name, len);
	trim(&value, &value_len);
	if (value_len < 2 || (value[0] != 'q' && value[0] != 'Q') || value[1] != '=')
		return 0;
	return thousandths(value + 2, value_len - 2);
}

enum cu_encoding cu_encoding_choose(const char *accept, size_t len)
{
	int quality[CU_ENCODINGS], any = -1;
	enum cu_encoding best = CU_ENCODING_NONE;

	for (int i = 0; i < CU_ENCODINGS; i++)
		quality[i] = -1;
	for (size_t at = 0; accept && at < len;) {
		const char *comma = memchr(accept + at, ',', len - at);
		size_t end = comma ? (size_t)(comma - accept) : len;
		const char *name = accept + at;
		size_t name_len = end - at;
		int q = element_quality(&name, &name_len);

		if (name_len == 1 && *name == '*')
			any = q;
		else if (name_len == 6 && strncasecmp(name, "x-gzip", 6) == 0)
			quality[CU_ENCODING_GZIP] = q;
		for (int i = CU_ENCODING_GZIP; i < CU_ENCODINGS; i++)
			if (strlen(names[i]) == name_len && strncasecmp(names[i], name, name_len) == 0)
				quality[i] = q;
		if (name_len == 8 && strncasecmp(name, "identity", 8) == 0)
			quality[CU_ENCODING_NONE] = q;
		at = end + 1;
	}
	for (int i = CU_ENCODING_GZIP; i < CU_ENCODINGS; i++)
		if (quality[i] < 0)
			quality[i] = CU_MAX(any, 0);
	/* An identity that is not named is fine, but never preferred. */
	for (int i = CU_ENCODING_GZIP; i < CU_ENCODINGS; i++)
		if (quality[i] > 0 && quality[i] >= quality[best])
			best = (enum cu_encoding)i;
	return best;
}

/* ---- parts ---- */

static void put_gzip_stored(const char *text, size_t len, bool last, cu_buf *out)
{
	do {
		size_t part = CU_MIN(len, STORED_MAX);

		cu_buf_putc(out, (char)(last && part == len));
		cu_buf_putc(out, (char)(part & 0xff));
		cu_buf_putc(out, (char)(part >> 8));
		cu_buf_putc(out, (char)(~part & 0xff));
		cu_buf_putc(out, (char)(~part >> 8 & 0xff));
		cu_buf_append(out, text, part);
		text += part;
		len -= part;
	} while (len);
}

static void put_zstd_stored(const char *text, size_t len, bool last, cu_buf *out)
{
	do {
		size_t part = CU_MIN(len, STORED_MAX);
		size_t head = part << 3 | ZSTD_BLOCK_RAW << 1 | (last && part == len);

		for (int i = 0; i < 3; i++)
			cu_buf_putc(out, (char)(head >> (8 * i) & 0xff));
		cu_buf_append(out, text, part);
		text += part;
		len -= part;
	} while (len);
}

static void add_stored(enum cu_encoding encoding, const void *text, size_t len, bool last, struct cu_encoding_sum *sum,
		       cu_buf *out)
{
	sum->len += len;
	if (encoding == CU_ENCODING_ZSTD) {
		put_zstd_stored(text, len, last, out);
	} else {
		sum->crc = (uint32_t)crc32_z(sum->crc, text, len);
		put_gzip_stored(text, len, last, out);
	}
}

void cu_encoding_put_start(enum cu_encoding encoding, const void *text, size_t len, struct cu_encoding_sum *sum,
			   cu_buf *out)
{
	*sum = (struct cu_encoding_sum){ 0, 0 };
	if (encoding == CU_ENCODING_ZSTD)
		cu_buf_append(out, zstd_head, sizeof zstd_head);
	else
		cu_buf_append(out, gzip_head, sizeof gzip_head);
	if (len)
		add_stored(encoding, text, len, false, sum, out);
}

void cu_encoding_joined(struct cu_encoding_sum *sum, uint32_t crc, uint64_t len)
{
	sum->crc = (uint32_t)crc32_combine(sum->crc, crc, (z_off_t)len);
	sum->len += len;
}

void cu_encoding_put_end(enum cu_encoding encoding, const void *text, size_t len, struct cu_encoding_sum *sum,
			 cu_buf *out)
{
	add_stored(encoding, text, len, true, sum, out);
	if (encoding == CU_ENCODING_GZIP) {
		cu_buf_put_le32(out, sum->crc);
		cu_buf_put_le32(out, (uint32_t)sum->len);
	}
}

/* ---- a file's copy ---- */

struct cu_encoder {
	enum cu_encoding encoding;
	z_stream deflate; /* of gzip */
	uint32_t crc;
	ZSTD_CCtx *zstd;  /* of zstd */
	size_t head_left; /* bytes of the frame's head still to come, which the copy does not have */
};

int cu_encoder_new(enum cu_encoding encoding, cu_encoder **ret_encoder)
{
	cu_encoder *encoder = cu_xzalloc(sizeof *encoder);
	bool ok;

	encoder->encoding = encoding;
	if (encoding == CU_ENCODING_ZSTD) {
		encoder->zstd = ZSTD_createCCtx();
		encoder->head_left = sizeof zstd_head;
		ok = encoder->zstd &&
		     !ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
		     !ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_windowLog, ZSTD_WINDOW_LOG)) &&
		     !ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_contentSizeFlag, 0));
	} else {
		ok = deflateInit2(&encoder->deflate, GZIP_LEVEL, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL - 1,
				  Z_DEFAULT_STRATEGY) == Z_OK;
	}
	if (!ok)
		cu_encoder_free(&encoder);
	*ret_encoder = encoder;
	return ok ? 0 : CU_ENOMEM;
}

void cu_encoder_free(cu_encoder **ref)
{
	cu_encoder *encoder = *ref;

	if (!encoder)
		return;
	*ref = NULL;
	ZSTD_freeCCtx(encoder->zstd);
	if (encoder->encoding == CU_ENCODING_GZIP)
		deflateEnd(&encoder->deflate);
	free(encoder);
}

static int add_zstd(cu_encoder *encoder, const void *data, size_t len, bool last, cu_buf *out)
{
	ZSTD_inBuffer in = { data, len, 0 };
	size_t left;

	do {
		size_t from = out->len, cut;
		ZSTD_outBuffer to;

		if (!cu_buf_reserve(out, ENCODER_OUT))
			return CU_ENOMEM;
		to = (ZSTD_outBuffer){ out->data + from, ENCODER_OUT, 0 };
		left = ZSTD_compressStream2(encoder->zstd, &to, &in, last ? ZSTD_e_flush : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return CU_EUNSUPPORTED;
		/* The head may come in parts; what it is must be what put_start() writes. */
		cut = CU_MIN(encoder->head_left, to.pos);
		if (memcmp(out->data + from, zstd_head + sizeof zstd_head - encoder->head_left, cut) != 0)
			return CU_EUNSUPPORTED;
		encoder->head_left -= cut;
		memmove(out->data + from, out->data + from + cut, to.pos - cut);
		out->len += to.pos - cut;
	} while (in.pos < in.size || (last && left));
	return 0;
}

static int add_deflate(cu_encoder *encoder, const void *data, size_t len, bool last, cu_buf *out)
{
	z_stream *stream = &encoder->deflate;

	encoder->crc = (uint32_t)crc32_z(encoder->crc, data, len);
	stream->next_in = (Bytef *)(uintptr_t)data;
	stream->avail_in = (uInt)len;
	do {
		if (!cu_buf_reserve(out, ENCODER_OUT))
			return CU_ENOMEM;
		stream->next_out = (Bytef *)out->data + out->len;
		stream->avail_out = ENCODER_OUT;
		if (deflate(stream, last ? Z_SYNC_FLUSH : Z_NO_FLUSH) == Z_STREAM_ERROR)
			return CU_EUNSUPPORTED;
		out->len += ENCODER_OUT - stream->avail_out;
	} while (stream->avail_out == 0);
	return 0;
}

int cu_encoder_add(cu_encoder *encoder, const void *data, size_t len, bool last, cu_buf *out)
{
	CU_ASSERT(len <= UINT32_MAX);
	return encoder->encoding == CU_ENCODING_ZSTD ? add_zstd(encoder, data, len, last, out)
						     : add_deflate(encoder, data, len, last, out);
}

uint32_t cu_encoder_crc(const cu_encoder *encoder)
{
	return encoder->crc;
}

/* ---- whole bodies ---- */

static int compress_zstd(const void *data, size_t len, cu_buf *out)
{
	size_t room = ZSTD_compressBound(len), n;

	if (!cu_buf_reserve(out, room))
		return CU_ENOMEM;
	n = ZSTD_compress(out->data + out->len, room, data, len, ZSTD_LEVEL);
	if (ZSTD_isError(n))
		return CU_ENOMEM;
	out->len += n;
	return 0;
}

static int compress_gzip(const void *data, size_t len, cu_buf *out)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len };
	size_t room;
	int rc = CU_ENOMEM;

	if (len > UINT32_MAX / 2)
		return CU_ETOOBIG;
	if (deflateInit2(&stream, GZIP_LEVEL_ONCE, Z_DEFLATED, MAX_WBITS + 16, MAX_MEM_LEVEL - 1, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return CU_ENOMEM;
	room = deflateBound(&stream, (uLong)len);
	if (cu_buf_reserve(out, room)) {
		stream.next_out = (Bytef *)out->data + out->len;
		stream.avail_out = (uInt)room;
		if (deflate(&stream, Z_FINISH) == Z_STREAM_END) {
			out->len += room - stream.avail_out;
			rc = 0;
		}
	}
	deflateEnd(&stream);
	return rc;
}

int cu_encoding_compress(enum cu_encoding encoding, const void *data, size_t len, cu_buf *out)
{
	return encoding == CU_ENCODING_ZSTD ? compress_zstd(data, len, out) : compress_gzip(data, len, out);
}
