/* Change log: round trips, cutting, damage, sizes.
 * label: unit */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/log.h"
#include "store/changelog.h"
#include "store/crc32c.h"
#include "store/record.h"
#include "store/span.h"
#include "store/test_help.h"

/* What replay saw, as text: "tx/fragment flags [op@pos+len …] id:first+len,… ;" */
struct seen {
	cu_buf text;
	unsigned fanouts;
	unsigned items;
	int answer;
};

static int seen_replay(void *ctx, const struct cu_fanout *f, const struct cu_changelog_item *items)
{
	struct seen *seen = ctx;

	seen->fanouts++;
	seen->items += f->items_len;
	cu_buf_printf(&seen->text, "%" PRIu64 "/%u f%u x%u l%" PRIu64 " [", f->tx, f->fragment, f->flags, f->xid,
		      f->end_lsn);
	for (uint32_t i = 0; i < f->items_len; i++)
		cu_buf_printf(&seen->text, "%s%" PRIu64 "+%u%s", i ? " " : "", items[i].op, items[i].len,
			      items[i].pos ? "" : "?");
	cu_buf_puts(&seen->text, "]");
	for (uint32_t i = 0; i < f->shapes_len; i++) {
		cu_buf_printf(&seen->text, " %" PRIu64 ":", f->shapes[i].shape_id);
		for (uint32_t j = 0; j < f->shapes[i].runs_len; j++) {
			const struct cu_fanout_run *run = &f->runs[f->shapes[i].runs_at + j];

			cu_buf_printf(&seen->text, "%s%u+%u", j ? "," : "", run->first, run->len);
		}
	}
	cu_buf_puts(&seen->text, ";");
	return seen->answer;
}

static int open_log(const char *dir, uint64_t end, size_t segment_bytes, struct seen *seen, cu_changelog **ret)
{
	struct cu_changelog_opts opts = {
		.dir = dir,
		.end_pos = end,
		.segment_bytes = segment_bytes,
		.buffer_bytes = 4096,
	};

	if (seen) {
		memset(seen, 0, sizeof *seen);
		opts.replay = seen_replay;
		opts.replay_ctx = seen;
	}
	return cu_changelog_open(&opts, ret);
}

static void append_tx(cu_changelog *cl, uint64_t tx, unsigned items, size_t len)
{
	struct cu_fanout_run run = { 0, items };
	struct cu_fanout_shape shape = { 7, 0, 1 };
	struct cu_fanout f = { .tx = tx,
			       .end_lsn = tx + 8,
			       .xid = (uint32_t)tx,
			       .flags = CU_FANOUT_COMMIT,
			       .shapes = &shape,
			       .shapes_len = 1,
			       .runs = &run,
			       .runs_len = 1 };
	char *payload = cu_xmalloc(len + 1);

	memset(payload, 'a' + (int)(tx % 26), len);
	for (unsigned i = 0; i < items; i++)
		assert_int_equal(cu_changelog_append_item(cl, tx, 2 * i, payload, len, NULL), 0);
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	free(payload);
}

static void crc32c_is_the_published_one_with_and_without_hardware(void **state)
{
	char bytes[300];

	(void)state;
	assert_int_equal(cu_crc32c(0, "123456789", 9), 0xE3069283u);
	assert_int_equal(cu_crc32c_tables(0, "123456789", 9), 0xE3069283u);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 37);
	for (size_t len = 0; len <= sizeof bytes; len++) {
		uint32_t whole = cu_crc32c(0, bytes, len);

		assert_int_equal(whole, cu_crc32c_tables(0, bytes, len));
		assert_int_equal(whole, cu_crc32c(cu_crc32c(0, bytes, len / 3), bytes + len / 3, len - len / 3));
	}
}

static void what_is_appended_is_read_and_replayed(void **state)
{
	struct cu_fanout_run runs[] = { { 0, 1 }, { 1, 1 }, { 0, 1 }, { 2, 1 } };
	struct cu_fanout_shape shapes[] = {
		{ 12, 0, 1 }, { 3, 1, 1 }, { 4, 1, 1 }, { CU_SHAPE_ID_LIMIT - 1, 2, 2 }, { 9, 0, 0 }
	};
	struct cu_fanout f = { .tx = UINT64_MAX,
			       .end_lsn = UINT64_MAX - 1,
			       .xid = UINT32_MAX,
			       .fragment = 0,
			       .shapes = shapes,
			       .shapes_len = 5,
			       .runs = runs,
			       .runs_len = 4 };
	char *dir = *state, out[16];
	uint64_t pos[3], end;
	cu_changelog *cl = NULL;
	struct seen seen;

	assert_int_equal(open_log(dir, 0, 0, &seen, &cl), 0);
	assert_int_equal(seen.fanouts, 0);
	assert_int_equal(cu_changelog_append_item(cl, UINT64_MAX, 0, "one", 3, &pos[0]), 0);
	assert_int_equal(cu_changelog_append_item(cl, UINT64_MAX, UINT64_MAX, "", 0, &pos[1]), 0);
	assert_int_equal(cu_changelog_append_item(cl, UINT64_MAX, 300, "three", 5, &pos[2]), 0);
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	f.fragment = 1;
	f.flags = CU_FANOUT_COMMIT;
	f.shapes_len = 0;
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	assert_int_equal(cu_changelog_read(cl, pos[0], 3, out), CU_EINVAL);
	assert_int_equal(cu_changelog_flush(cl), 0);
	assert_int_equal(cu_changelog_read(cl, pos[0], 3, out), 0);
	assert_memory_equal(out, "one", 3);
	assert_int_equal(cu_changelog_read(cl, pos[2], 5, out), 0);
	assert_memory_equal(out, "three", 5);
	end = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_flushed(cl), end);
	assert_int_equal(cu_changelog_read(cl, end, 0, out), 0);
	assert_int_equal(cu_changelog_read(cl, end - 1, 2, out), CU_EINVAL);
	assert_int_equal(cu_changelog_read(cl, UINT64_MAX, 2, out), CU_EINVAL);
	assert_int_equal(cu_changelog_sync(cl, end + 1), CU_EINVAL);
	assert_int_equal(cu_changelog_sync(cl, end), 0);
	cu_changelog_idle(cl);
	cu_changelog_free(&cl);

	assert_int_equal(open_log(dir, end, 0, &seen, &cl), 0);
	assert_string_equal(cu_buf_str(&seen.text),
			    "18446744073709551615/0 f0 x4294967295 l18446744073709551614 "
			    "[0+3 18446744073709551615+0 300+5] 12:0+1 3:1+1 4:1+1 1152921504606846975:0+1,2+1 9:;"
			    "18446744073709551615/1 f1 x4294967295 l18446744073709551614 [];");
	assert_int_equal(cu_changelog_read(cl, pos[2], 5, out), 0);
	assert_memory_equal(out, "three", 5);
	assert_int_equal(cu_changelog_end(cl), end);
	cu_buf_fini(&seen.text);
	cu_changelog_free(&cl);
}

static void neighbouring_items_are_read_as_one_span(void **state)
{
	static const uint64_t ops[] = { 0, 127, 128, UINT64_MAX };
	struct cu_span_item item;
	cu_changelog *cl = NULL;
	uint64_t pos[4], start;
	char span[256];
	cu_cursor cur;

	assert_int_equal(open_log(*state, 0, 0, NULL, &cl), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(cu_changelog_append_item(cl, 1, ops[i], "abc", i, &pos[i]), 0);
		if (i > 0)
			assert_int_equal(pos[i], pos[i - 1] + i - 1 + cu_span_prefix(ops[i]));
	}
	assert_int_equal(cu_changelog_flush(cl), 0);
	start = pos[0] - cu_span_prefix(ops[0]);
	assert_int_equal(cu_changelog_read(cl, start, pos[3] + 3 - start, span), 0);
	cur = cu_cursor_over(span, pos[3] + 3 - start);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(cu_span_next(&cur, &item));
		assert_int_equal(item.op, ops[i]);
		assert_int_equal(item.len, i);
		assert_memory_equal(item.payload, "abc", i);
	}
	assert_false(cu_span_next(&cur, &item));
	assert_false(cur.failed);
	cu_changelog_free(&cl);
}

static void a_log_is_cut_at_the_checkpoint_and_continues_there(void **state)
{
	char *dir = *state;
	cu_changelog *cl = NULL;
	uint64_t end, end2;
	struct seen seen;

	assert_int_equal(open_log(dir, 0, 1000, NULL, &cl), 0);
	append_tx(cl, 1, 3, 100);
	append_tx(cl, 2, 3, 100);
	end = cu_changelog_end(cl);
	for (uint64_t tx = 3; tx < 30; tx++)
		append_tx(cl, tx, 3, 100);
	assert_int_equal(cu_changelog_flush(cl), 0);
	cu_changelog_free(&cl);

	assert_int_equal(open_log(dir, end, 1000, &seen, &cl), 0);
	assert_int_equal(seen.fanouts, 2);
	assert_int_equal(seen.items, 6);
	cu_buf_fini(&seen.text);
	append_tx(cl, 40, 5, 250);
	append_tx(cl, 41, 1, 5000);
	append_tx(cl, 42, 1, 1);
	end2 = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_flush(cl), 0);
	assert_int_equal(cu_changelog_sync(cl, end2), 0);
	cu_changelog_free(&cl);

	assert_int_equal(open_log(dir, end2, 1000, &seen, &cl), 0);
	assert_int_equal(seen.fanouts, 5);
	assert_int_equal(seen.items, 13);
	cu_buf_fini(&seen.text);
	cu_changelog_free(&cl);
	/* No checkpoint at all: nothing stays. */
	assert_int_equal(open_log(dir, 0, 1000, &seen, &cl), 0);
	assert_int_equal(seen.fanouts, 0);
	assert_int_equal(cu_changelog_end(cl), 0);
	cu_changelog_free(&cl);
}

/* The fan-out record says which shapes lose an item; of a record that is not an item's nobody could say what it held. */
static void every_byte_below_the_checkpoint_is_checked(void **state)
{
	char *dir = *state, *path = cu_file_path("%s/%016x.seg", dir, 0);
	cu_changelog *cl = NULL;
	struct seen seen;
	unsigned lost = 0;
	uint64_t end;

	assert_int_equal(open_log(dir, 0, 0, NULL, &cl), 0);
	append_tx(cl, 1, 2, 20);
	append_tx(cl, 2, 1, 1);
	end = cu_changelog_end(cl);
	append_tx(cl, 3, 1, 1);
	assert_int_equal(cu_changelog_flush(cl), 0);
	cu_changelog_free(&cl);
	for (uint64_t at = 0; at < end; at++) {
		off_t size = help_size(path);

		int rc;

		help_flip(path, (off_t)at);
		rc = open_log(dir, end, 0, &seen, &cl);
		if (rc == 0) {
			assert_int_equal(seen.fanouts, 2);
			assert_non_null(strchr(cu_buf_str(&seen.text), '?')); /* an item that is lost */
			lost++;
			cu_changelog_free(&cl);
		} else {
			assert_int_equal(rc, CU_ECORRUPT);
			assert_int_equal(help_size(path), size); /* kept as evidence */
		}
		cu_buf_fini(&seen.text);
		help_flip(path, (off_t)at);
		if (rc == 0) {
			FILE *file = fopen(path, "a"); /* what the open has cut is back */

			assert_non_null(file);
			for (off_t i = (off_t)end; i < size; i++)
				fputc(0, file);
			fclose(file);
		}
	}
	assert_true(lost > 3 * 20);
	/* Behind it nothing is looked at. */
	help_flip(path, (off_t)end + 3);
	assert_int_equal(open_log(dir, end, 0, &seen, &cl), 0);
	assert_int_equal(seen.fanouts, 2);
	assert_int_equal(help_size(path), (off_t)end);
	cu_buf_fini(&seen.text);
	cu_changelog_free(&cl);
	free(path);
}

static void a_log_torn_anywhere_below_the_checkpoint_is_refused_and_behind_it_cut(void **state)
{
	char *dir = *state, *path = cu_file_path("%s/%016x.seg", dir, 0);
	cu_changelog *cl = NULL;
	struct seen seen;
	uint64_t end, all;

	assert_int_equal(open_log(dir, 0, 0, NULL, &cl), 0);
	append_tx(cl, 1, 2, 20);
	end = cu_changelog_end(cl);
	append_tx(cl, 2, 2, 20);
	all = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_flush(cl), 0);
	cu_changelog_free(&cl);
	for (uint64_t size = all + 1; size-- > 0;) {
		assert_int_equal(truncate(path, (off_t)size), 0);
		cl = NULL;
		assert_int_equal(open_log(dir, end, 0, &seen, &cl), size >= end ? 0 : CU_ECORRUPT);
		if (cl)
			assert_int_equal(cu_changelog_end(cl), end);
		cu_buf_fini(&seen.text);
		cu_changelog_free(&cl);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(open_log(dir, end, 0, &seen, &cl), CU_ECORRUPT);
	free(path);
}

static void a_missing_middle_segment_is_noticed(void **state)
{
	char *dir = *state, *path;
	cu_changelog *cl = NULL;
	uint64_t end, middle = 0;

	assert_int_equal(open_log(dir, 0, 500, NULL, &cl), 0);
	for (uint64_t tx = 1; tx < 10; tx++) {
		append_tx(cl, tx, 2, 150);
		if (tx == 4)
			middle = cu_changelog_end(cl);
	}
	end = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_flush(cl), 0);
	cu_changelog_free(&cl);
	/* The segment that `middle` lies in. */
	do {
		path = cu_file_path("%s/%016" PRIx64 ".seg", dir, middle--);
	} while (access(path, F_OK) != 0 && (free(path), true));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(open_log(dir, end, 500, NULL, &cl), CU_ECORRUPT);
	free(path);
}

static void a_checkpoint_that_is_not_behind_a_commit_is_refused(void **state)
{
	struct cu_fanout f = { .tx = 2 };
	cu_changelog *cl = NULL;
	uint64_t ends[3];

	assert_int_equal(open_log(*state, 0, 0, NULL, &cl), 0);
	append_tx(cl, 1, 1, 5);
	assert_int_equal(cu_changelog_append_item(cl, 2, 0, "x", 1, NULL), 0);
	ends[0] = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	ends[1] = cu_changelog_end(cl);
	f.flags = CU_FANOUT_ABORT;
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	ends[2] = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_flush(cl), 0);
	cu_changelog_free(&cl);
	assert_int_equal(open_log(*state, ends[2], 0, NULL, &cl), 0);
	cu_changelog_free(&cl);
	assert_int_equal(open_log(*state, ends[1], 0, NULL, &cl), CU_ECORRUPT);
	assert_int_equal(open_log(*state, ends[0], 0, NULL, &cl), CU_ECORRUPT);
}

static void an_abort_is_replayed_with_the_items_it_drops(void **state)
{
	struct cu_fanout f = { .tx = 5, .flags = CU_FANOUT_ABORT };
	cu_changelog *cl = NULL;
	struct seen seen;
	uint64_t end;

	assert_int_equal(open_log(*state, 0, 0, NULL, &cl), 0);
	assert_int_equal(cu_changelog_append_item(cl, 5, 0, "x", 1, NULL), 0);
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	append_tx(cl, 5, 1, 2);
	end = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_flush(cl), 0);
	cu_changelog_free(&cl);
	assert_int_equal(open_log(*state, end, 0, &seen, &cl), 0);
	assert_string_equal(cu_buf_str(&seen.text), "5/0 f2 x0 l0 [0+1];5/0 f1 x5 l13 [0+2] 7:0+1;");
	cu_buf_fini(&seen.text);
	cu_changelog_free(&cl);
}

/* The crash simulation's find: the next segment had been begun, but was not on the disk yet, and nobody had a tail. */
static void a_log_dropped_up_to_its_checkpoint_opens_without_what_came_behind(void **state)
{
	char *dir = *state, *path;
	cu_changelog *cl = NULL;
	uint64_t end;

	assert_int_equal(open_log(dir, 0, 100, NULL, &cl), 0);
	append_tx(cl, 1, 1, 1);
	append_tx(cl, 2, 3, 1);
	end = cu_changelog_end(cl);
	append_tx(cl, 3, 3, 1); /* in a segment that begins at `end` */
	assert_int_equal(cu_changelog_flush(cl), 0);
	assert_int_equal(cu_changelog_drop_before(cl, end), 0);
	cu_changelog_free(&cl);
	path = cu_file_path("%s/%016" PRIx64 ".seg", dir, end);
	assert_int_equal(unlink(path), 0);
	free(path);
	assert_int_equal(open_log(dir, end, 100, NULL, &cl), 0);
	assert_int_equal(cu_changelog_end(cl), end);
	cu_changelog_free(&cl);
}

static void dropping_goes_by_whole_segments_and_the_rest_stays_readable(void **state)
{
	char *dir = *state, out[150];
	struct cu_fanout f = { .tx = 1, .flags = CU_FANOUT_COMMIT };
	uint64_t pos[20], end;
	cu_changelog *cl = NULL;
	struct seen seen;

	assert_int_equal(open_log(dir, 0, 500, NULL, &cl), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(cu_changelog_append_item(cl, 1, i, memset(out, 'a' + (int)i, 150), 150, &pos[i]), 0);
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	append_tx(cl, 2, 1, 1);
	assert_int_equal(cu_changelog_flush(cl), 0);
	end = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_drop_before(cl, pos[7]), 0);
	assert_true(cu_changelog_start(cl) > 0 && cu_changelog_start(cl) <= pos[7]);
	assert_int_equal(cu_changelog_read(cl, pos[0], 150, out), CU_ENOTFOUND);
	for (unsigned i = 7; i < 20; i++) {
		assert_int_equal(cu_changelog_read(cl, pos[i], 150, out), 0);
		assert_int_equal(out[149], 'a' + (int)i);
	}
	/* The first fragment has lost its beginning: its items keep their ordinals. */
	cu_changelog_free(&cl);
	assert_int_equal(open_log(dir, end, 500, &seen, &cl), 0);
	assert_int_equal(seen.items, 21);
	assert_int_equal(strncmp(cu_buf_str(&seen.text), "1/0 f1 x0 l0 [0+0? 0+0? 0+0? ", 29), 0);
	assert_non_null(strstr(cu_buf_str(&seen.text), " 18+150 19+150];"));
	cu_buf_fini(&seen.text);
	/* The last segment stays even when all of it is asked for. */
	assert_int_equal(cu_changelog_drop_before(cl, UINT64_MAX), 0);
	assert_true(cu_changelog_start(cl) < end);
	cu_changelog_free(&cl);
	assert_int_equal(open_log(dir, end, 500, NULL, &cl), 0);
	cu_changelog_free(&cl);
}

static void items_larger_than_buffer_window_and_segment_survive(void **state)
{
	size_t len = 3 * 1024 * 1024 + 17;
	char *payload = cu_xmalloc(len), *out = cu_xmalloc(len);
	cu_changelog *cl = NULL;
	struct cu_fanout f = { .tx = 1, .flags = CU_FANOUT_COMMIT };
	struct seen seen;
	uint64_t pos, end;

	for (size_t i = 0; i < len; i++)
		payload[i] = (char)(i * 2654435761u >> 13);
	assert_int_equal(open_log(*state, 0, 1024 * 1024, NULL, &cl), 0);
	assert_int_equal(cu_changelog_append_item(cl, 1, 0, "x", 1, NULL), 0);
	assert_int_equal(cu_changelog_append_item(cl, 1, 2, payload, len, &pos), 0);
	assert_int_equal(cu_changelog_append_item(cl, 1, 4, "y", 1, NULL), 0);
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	assert_int_equal(cu_changelog_flush(cl), 0);
	end = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_read(cl, pos, len, out), 0);
	assert_memory_equal(payload, out, len);
	cu_changelog_free(&cl);
	assert_int_equal(open_log(*state, end, 1024 * 1024, &seen, &cl), 0);
	assert_string_equal(cu_buf_str(&seen.text), "1/0 f1 x0 l0 [0+1 2+3145745 4+1];");
	cu_buf_fini(&seen.text);
	cu_changelog_free(&cl);
	free(payload);
	free(out);
}

static void a_fanout_that_makes_no_sense_is_refused_and_changes_nothing(void **state)
{
	struct cu_fanout_run run = { 1, 1 };
	struct cu_fanout_shape shape = { 7, 0, 1 };
	struct cu_fanout f = { .tx = 1, .shapes = &shape, .shapes_len = 1, .runs = &run, .runs_len = 1 };
	cu_changelog *cl = NULL;
	uint64_t end;

	assert_int_equal(open_log(*state, 0, 0, NULL, &cl), 0);
	assert_int_equal(cu_changelog_append_item(cl, 1, 0, "x", 1, NULL), 0);
	end = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_append_fanout(cl, &f), CU_EINVAL); /* beyond the items */
	run = (struct cu_fanout_run){ 0, 0 };
	assert_int_equal(cu_changelog_append_fanout(cl, &f), CU_EINVAL); /* empty run */
	run.len = 1;
	shape.runs_len = 2;
	assert_int_equal(cu_changelog_append_fanout(cl, &f), CU_EINVAL); /* beyond the runs */
	shape.runs_len = 1;
	shape.shape_id = CU_SHAPE_ID_LIMIT;
	assert_int_equal(cu_changelog_append_fanout(cl, &f), CU_EINVAL);
	shape.shape_id = 1;
	f.flags = CU_FANOUT_ABORT;
	assert_int_equal(cu_changelog_append_fanout(cl, &f), CU_EINVAL); /* abort with shapes */
	assert_int_equal(cu_changelog_end(cl), end);
	assert_int_equal(cu_changelog_append_item(cl, 1, 0, "x", CU_CHANGELOG_RECORD_MAX, NULL), CU_ETOOBIG);
	assert_int_equal(cu_changelog_end(cl), end);
	f.flags = CU_FANOUT_COMMIT;
	assert_int_equal(cu_changelog_append_fanout(cl, &f), 0);
	cu_changelog_free(&cl);
}

static uint64_t fanout_size(const struct cu_fanout *f, uint32_t items)
{
	cu_buf out = CU_BUF_INIT;
	uint64_t len;

	assert_int_equal(cu_record_fanout_encode(f, items, &out), 0);
	len = CU_RECORD_HEADER + out.len;
	cu_buf_fini(&out);
	return len;
}

static void fanout_is_small_for_many_shapes_and_for_many_items(void **state)
{
	struct cu_fanout_shape *shapes = cu_xzalloc(10000 * sizeof *shapes);
	struct cu_fanout_run *runs = cu_xzalloc(10000 * sizeof *runs);
	struct cu_fanout f = { .tx = 1,
			       .end_lsn = 2,
			       .xid = 3,
			       .flags = CU_FANOUT_COMMIT,
			       .shapes = shapes,
			       .runs = runs,
			       .shapes_len = 10000,
			       .runs_len = 10000 };
	uint64_t size;

	(void)state;
	for (uint32_t i = 0; i < 10000; i++) {
		shapes[i] = (struct cu_fanout_shape){ 1000000 + 3 * i, i, 1 };
		runs[i] = (struct cu_fanout_run){ 0, 1 };
	}
	size = fanout_size(&f, 1);
	print_message("10,000 shapes, one item: %" PRIu64 " bytes\n", size);
	assert_true(size <= 2 * 10000 + 64);
	for (uint32_t i = 0; i < 10000; i++) {
		shapes[i].shape_id = 1000000 + 40 * i;
		runs[i].first = i & 1;
	}
	size = fanout_size(&f, 2);
	print_message("10,000 shapes, two items by turns: %" PRIu64 " bytes\n", size);
	assert_true(size <= 5 * 10000 + 64);
	runs[0] = (struct cu_fanout_run){ 0, 5000 };
	f.shapes_len = 1;
	size = fanout_size(&f, 5000);
	print_message("one shape, 5,000 items: %" PRIu64 " bytes\n", size);
	assert_true(size <= 64);
	free(shapes);
	free(runs);
}

static void a_replay_that_refuses_stops_the_open(void **state)
{
	struct cu_changelog_opts opts = { .dir = *state, .replay = seen_replay };
	struct seen seen = { .answer = CU_ENOMEM };
	cu_changelog *cl = NULL;

	assert_int_equal(open_log(*state, 0, 0, NULL, &cl), 0);
	append_tx(cl, 1, 1, 1);
	append_tx(cl, 2, 1, 1);
	opts.end_pos = cu_changelog_end(cl);
	assert_int_equal(cu_changelog_flush(cl), 0);
	cu_changelog_free(&cl);
	opts.replay_ctx = &seen;
	assert_int_equal(cu_changelog_open(&opts, &cl), CU_ENOMEM);
	assert_int_equal(seen.fanouts, 1);
	cu_buf_fini(&seen.text);
}

static int setup(void **state)
{
	*state = help_dir_new();
	return 0;
}

static int teardown(void **state)
{
	char *dir = *state;

	help_dir_free(&dir);
	return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(crc32c_is_the_published_one_with_and_without_hardware),
		T(what_is_appended_is_read_and_replayed),
		T(neighbouring_items_are_read_as_one_span),
		T(a_log_is_cut_at_the_checkpoint_and_continues_there),
		T(every_byte_below_the_checkpoint_is_checked),
		T(a_log_torn_anywhere_below_the_checkpoint_is_refused_and_behind_it_cut),
		T(a_missing_middle_segment_is_noticed),
		T(a_checkpoint_that_is_not_behind_a_commit_is_refused),
		T(an_abort_is_replayed_with_the_items_it_drops),
		T(a_log_dropped_up_to_its_checkpoint_opens_without_what_came_behind),
		T(dropping_goes_by_whole_segments_and_the_rest_stays_readable),
		T(items_larger_than_buffer_window_and_segment_survive),
		T(a_fanout_that_makes_no_sense_is_refused_and_changes_nothing),
		T(fanout_is_small_for_many_shapes_and_for_many_items),
		T(a_replay_that_refuses_stops_the_open),
	};

	cu_log_level_max = CU_LOG_ERROR;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
