/* test_encoding: label: unit. Accept-Encoding, and that what we make is one stream that gives back what went in. */
#include "api/encoding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

static void the_best_of_what_a_client_takes(void **state)
{
	static const struct {
		const char *accept;
		enum cu_encoding chosen;
	} cases[] = {
		{ NULL, CU_ENCODING_NONE },
		{ "", CU_ENCODING_NONE },
		{ "identity", CU_ENCODING_NONE },
		{ "br, deflate", CU_ENCODING_NONE },
		{ "gzip", CU_ENCODING_GZIP },
		{ "x-gzip", CU_ENCODING_GZIP },
		{ "GZip", CU_ENCODING_GZIP },
		{ "gzip, deflate, br, zstd", CU_ENCODING_ZSTD },
		{ "zstd;q=0.5, gzip;q=0.8", CU_ENCODING_GZIP },
		{ " zstd ; q=0.801 ,gzip;q=0.8", CU_ENCODING_ZSTD },
		{ "gzip;q=0", CU_ENCODING_NONE },
		{ "gzip;q=0.000", CU_ENCODING_NONE },
		{ "*", CU_ENCODING_ZSTD },
		{ "*;q=0", CU_ENCODING_NONE },
		{ "zstd;q=0, *", CU_ENCODING_GZIP },
		{ "*;q=0, gzip", CU_ENCODING_GZIP },
		{ "identity;q=0", CU_ENCODING_NONE },
		{ "identity;q=0, gzip;q=0.1", CU_ENCODING_GZIP },
		{ "identity;q=1, gzip;q=0.5", CU_ENCODING_NONE },
		{ "identity;q=0.5, gzip;q=0.5", CU_ENCODING_GZIP },
		{ "gzip;q=1.0", CU_ENCODING_GZIP },
		{ "gzip;q=7", CU_ENCODING_NONE },
		{ "gzip;q=", CU_ENCODING_NONE },
		{ "gzip;level=3", CU_ENCODING_NONE },
		{ ",,;,gzip", CU_ENCODING_GZIP },
		{ "gzipp, zst", CU_ENCODING_NONE },
	};

	(void)state;
	for (size_t i = 0; i < CU_ARRAY_LEN(cases); i++) {
		const char *accept = cases[i].accept;
		enum cu_encoding chosen = cu_encoding_choose(accept, accept ? strlen(accept) : 0);

		if (chosen != cases[i].chosen)
			fail_msg("%s: %d", accept, (int)chosen);
	}
}

/* One member, or one frame, and nothing behind it. */
static void assert_gives(enum cu_encoding encoding, const cu_buf *packed, const cu_buf *expected)
{
	char *text = malloc(expected->len + 1);

	if (encoding == CU_ENCODING_ZSTD) {
		ZSTD_DCtx *context = ZSTD_createDCtx();

		assert_int_equal(ZSTD_findFrameCompressedSize(packed->data, packed->len), packed->len);
		assert_int_equal(ZSTD_decompressDCtx(context, text, expected->len + 1, packed->data, packed->len),
				 expected->len);
		ZSTD_freeDCtx(context);
	} else {
		z_stream stream = { .next_in = (Bytef *)packed->data,
				    .avail_in = (uInt)packed->len,
				    .next_out = (Bytef *)text,
				    .avail_out = (uInt)expected->len + 1 };

		assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
		assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
		assert_int_equal(stream.avail_in, 0);
		assert_int_equal(stream.total_out, expected->len);
		inflateEnd(&stream);
	}
	assert_memory_equal(text, expected->data, expected->len);
	free(text);
}

/* Rows as a snapshot has them. */
static void put_rows(cu_buf *text, size_t len, unsigned seed)
{
	size_t from = text->len;

	while (text->len - from < len)
		cu_buf_printf(text, "{\"key\":\"\\\"public\\\".\\\"items\\\"/\\\"%u\\\"\",\"value\":{\"n\":\"%u\"}},",
			      (unsigned)(text->len * 7 + seed), (unsigned)text->len * 2654435761u + seed);
	text->len = from + len;
}

static void a_whole_body_comes_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 1000, 300000 };

	(void)state;
	for (int encoding = CU_ENCODING_GZIP; encoding < CU_ENCODINGS; encoding++) {
		for (size_t i = 0; i < CU_ARRAY_LEN(sizes); i++) {
			cu_buf text = CU_BUF_INIT, packed = CU_BUF_INIT;

			cu_buf_reserve(&text, 1);
			put_rows(&text, sizes[i], 1);
			assert_int_equal(cu_encoding_compress(encoding, text.data, text.len, &packed), 0);
			assert_gives(encoding, &packed, &text);
			cu_buf_fini(&text);
			cu_buf_fini(&packed);
		}
	}
}

static void join(enum cu_encoding encoding, size_t before, size_t middle, size_t behind, size_t step)
{
	cu_buf text = CU_BUF_INIT, packed = CU_BUF_INIT;
	struct cu_encoding_sum sum;
	cu_encoder *encoder;

	cu_buf_reserve(&text, 1);
	put_rows(&text, before, 1);
	put_rows(&text, middle, 2);
	put_rows(&text, behind, 3);
	cu_encoding_put_start(encoding, text.data, before, &sum, &packed);
	assert_int_equal(cu_encoder_new(encoding, &encoder), 0);
	for (size_t at = 0; at < middle || at == 0; at += step) {
		size_t len = CU_MIN(step, middle - at);

		assert_int_equal(cu_encoder_add(encoder, text.data + before + at, len, at + len == middle, &packed), 0);
	}
	cu_encoding_joined(&sum, cu_encoder_crc(encoder), middle);
	cu_encoder_free(&encoder);
	cu_encoding_put_end(encoding, text.data + before + middle, behind, &sum, &packed);
	assert_false(cu_buf_failed(&packed));
	assert_gives(encoding, &packed, &text);
	cu_buf_fini(&text);
	cu_buf_fini(&packed);
}

static void text_joined_to_a_copy_is_one_stream(void **state)
{
	static const size_t sizes[] = { 1, 3, 65535, 65536, 200000 };

	(void)state;
	for (int encoding = CU_ENCODING_GZIP; encoding < CU_ENCODINGS; encoding++) {
		for (size_t i = 0; i < CU_ARRAY_LEN(sizes); i++) {
			join(encoding, 1, sizes[i], 1, 65536);
			join(encoding, sizes[i], 70000, sizes[i], 1000);
			join(encoding, 0, sizes[i], 0, sizes[i]);
		}
		join(encoding, 1, 3000000, 100, 65536);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_best_of_what_a_client_takes),
		cmocka_unit_test(a_whole_body_comes_back),
		cmocka_unit_test(text_joined_to_a_copy_is_one_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
