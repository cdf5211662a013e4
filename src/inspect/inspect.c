#include "inspect/inspect.h"

#include "base/map.h"
#include "shape/definition.h"
#include "store/crc32c.h"
#include "store/log_chunk.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct shape {
	uint64_t id;
	char *handle;
	char *where; /* NULL: none */
	uint64_t definition_id;
	bool complete;
	bool small;
	struct cu_chunk_info *chunks;
	uint32_t chunks_len;
	struct cu_log_chunk_row *log;
	uint32_t log_len;
	uint64_t tail_items, tail_bytes;
	bool lacks; /* an item of its tail */
};

struct inspection {
	const char *dir;
	FILE *out;
	int lock_fd;
	char *copy; /* of the metadata, in a directory of its own */
	cu_metadata *metadata;
	cu_chunks *chunks;
	struct cu_checkpoint cp;
	struct shape **shapes;
	size_t shapes_len;
	cu_map by_id;       /* → struct shape */
	cu_map definitions; /* → cu_definition */
	uint64_t files, records, damaged;
	uint64_t items_damaged; /* in the change log */
	bool older;             /* the metadata are of an older version */
};

/* ---- a file system that is only read ---- */

static int open_only(void *ctx, const char *path, int flags, mode_t mode)
{
	(void)ctx;
	(void)mode;
	(void)flags;
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int leave_fd(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static int leave_length(void *ctx, int fd, off_t len)
{
	(void)ctx;
	(void)fd;
	(void)len;
	return 0;
}

static int leave_names(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	(void)from;
	(void)to;
	return 0;
}

static int leave_path(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
	return 0;
}

static int leave_dir(void *ctx, const char *path, mode_t mode)
{
	(void)ctx;
	(void)path;
	(void)mode;
	return 0;
}

static struct cu_file_ops only_read(void)
{
	struct cu_file_ops ops = cu_file_system;

	ops.open = open_only;
	ops.fdatasync = leave_fd;
	ops.ftruncate = leave_length;
	ops.rename = leave_names;
	ops.unlink = leave_path;
	ops.mkdir = leave_dir;
	ops.rmdir = leave_path;
	ops.fsync_dir = leave_path;
	return ops;
}

/* ---- the metadata ---- */

#define WRONG(inspection, ...)                           \
	do {                                             \
		(inspection)->damaged++;                 \
		fprintf((inspection)->out, "damaged: "); \
		fprintf((inspection)->out, __VA_ARGS__); \
		fputc('\n', (inspection)->out);          \
	} while (0)

static int see_older(void *ctx, uint64_t version)
{
	(void)version;
	((struct inspection *)ctx)->older = true;
	return CU_EUNSUPPORTED;
}

static int see_checkpoint(void *ctx, const struct cu_checkpoint *cp)
{
	((struct inspection *)ctx)->cp = *cp;
	return 0;
}

static int see_definition(void *ctx, uint64_t id, const void *body, size_t len)
{
	struct inspection *in = ctx;
	cu_definition *def = NULL;

	if (cu_definition_parse(body, len, &def) < 0)
		WRONG(in, "definition %" PRIu64 " cannot be read", id);
	else
		cu_map_put(&in->definitions, id, def);
	return 0;
}

static int see_shape(void *ctx, const struct cu_shape_row *row)
{
	struct inspection *in = ctx;
	struct shape *shape = cu_xzalloc(sizeof *shape);
	const struct cu_snapshot_info *snapshot = &row->snapshot;

	*shape = (struct shape){
		.id = row->id,
		.handle = cu_xstrdup(row->handle),
		.where = row->where ? cu_xstrndup(row->where, row->where_len) : NULL,
		.definition_id = row->definition_id,
		.complete = row->snapshot_complete,
		.small = snapshot->is_small,
		.chunks_len = snapshot->chunks_len,
	};
	if (snapshot->chunks_len)
		shape->chunks = cu_xmemdup(snapshot->chunks, snapshot->chunks_len * sizeof *snapshot->chunks);
	if (in->shapes_len % 256 == 0)
		in->shapes = cu_xrealloc(in->shapes, (in->shapes_len + 256) * sizeof(*in->shapes));
	in->shapes[in->shapes_len++] = shape;
	cu_map_put(&in->by_id, shape->id, shape);
	if (!cu_map_get(&in->definitions, shape->definition_id))
		WRONG(in, "shape %" PRIu64 " (%s) has no definition", shape->id, shape->handle);
	return 0;
}

static int see_log_chunk(void *ctx, const struct cu_log_chunk_row *row)
{
	struct inspection *in = ctx;
	struct shape *shape = cu_map_get(&in->by_id, row->shape_id);

	if (!shape) {
		WRONG(in, "log chunk %u of shape %" PRIu64 ", which is not there", row->n, row->shape_id);
		return 0;
	}
	shape->log = cu_xrealloc(shape->log, (shape->log_len + 1) * sizeof *shape->log);
	shape->log[shape->log_len++] = *row;
	return 0;
}

static int see_damaged(void *ctx, bool is_definition, uint64_t id)
{
	struct inspection *in = ctx;

	WRONG(in, "metadata: a row of %s %" PRIu64 " is not what was written, or is missing",
	      is_definition ? "definition" : "shape", id);
	return 0;
}

static int copy_file(const char *from, const char *to)
{
	char buffer[65536];
	FILE *in = fopen(from, "re"), *out;
	size_t n;
	int rc = 0;

	if (!in)
		return errno == ENOENT ? CU_ENOTFOUND : CU_EIO;
	out = fopen(to, "wxe");
	while (out && (n = fread(buffer, 1, sizeof buffer, in)) > 0)
		if (fwrite(buffer, 1, n, out) != n)
			rc = CU_EIO;
	if (!out || ferror(in))
		rc = CU_EIO;
	if (out && fclose(out) != 0)
		rc = CU_EIO;
	fclose(in);
	return rc;
}

static int copy_metadata(struct inspection *in)
{
	static const char *const ends[] = { "", "-wal", CU_METADATA_DAMAGED_SUFFIX };
	const char *tmp = getenv("TMPDIR");
	int rc = 0;

	in->copy = cu_file_path("%s/copper-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(in->copy)) {
		free(in->copy);
		in->copy = NULL;
		return CU_EIO;
	}
	for (size_t i = 0; rc == 0 && i < CU_ARRAY_LEN(ends); i++) {
		char *from = cu_file_path("%s/metadata.sqlite3%s", in->dir, ends[i]);
		char *to = cu_file_path("%s/metadata.sqlite3%s", in->copy, ends[i]);

		rc = copy_file(from, to);
		if (rc == CU_ENOTFOUND && i > 0)
			rc = 0;
		free(from);
		free(to);
	}
	return rc;
}

static void remove_copy(struct inspection *in)
{
	static const char *const ends[] = { "", "-wal", "-shm", CU_METADATA_DAMAGED_SUFFIX };

	if (!in->copy)
		return;
	for (size_t i = 0; i < CU_ARRAY_LEN(ends); i++) {
		char *path = cu_file_path("%s/metadata.sqlite3%s", in->copy, ends[i]);

		unlink(path);
		free(path);
	}
	rmdir(in->copy);
	free(in->copy);
}

/* ---- the directory ---- */

static int cannot(struct inspection *in, const char *why)
{
	fprintf(in->out, "%s: %s\n", in->dir, why);
	return CU_INSPECT_CANNOT;
}

/* CU_INSPECT_CANNOT, having said why; else 0. */
static int enter(struct inspection *in)
{
	char *lock = cu_file_path("%s/lock", in->dir), *format = cu_file_path("%s/format", in->dir);
	char text[sizeof CU_STORE_FORMAT + 1];
	size_t len = 0;
	FILE *file;
	int status = 0;

	in->lock_fd = open(lock, O_RDONLY | O_CLOEXEC);
	file = fopen(format, "re");
	if (access(in->dir, R_OK | X_OK) < 0)
		status = cannot(in, strerror(errno));
	else if (in->lock_fd < 0 && !file)
		status = cannot(in, "no storage directory of Copper");
	else if (in->lock_fd >= 0 && flock(in->lock_fd, LOCK_SH | LOCK_NB) < 0)
		status = cannot(in, "a copper runs there; stop it first");
	else if (!file || (len = fread(text, 1, sizeof text, file)) == 0)
		WRONG(in, "format is missing or empty");
	else if (cu_store_format_is_damaged(text, len))
		WRONG(in, "format; a start writes it anew");
	else if (len != strlen(CU_STORE_FORMAT) || memcmp(text, CU_STORE_FORMAT, len) != 0)
		status = cannot(in, "has another format, or its format file is damaged");
	if (file)
		fclose(file);
	free(lock);
	free(format);
	return status;
}

static int load(struct inspection *in)
{
	struct cu_metadata_loader loader = { .ctx = in,
					     .older = see_older,
					     .checkpoint = see_checkpoint,
					     .definition = see_definition,
					     .shape = see_shape,
					     .log_chunk = see_log_chunk,
					     .damaged = see_damaged };
	char *path;
	int rc = copy_metadata(in);

	if (rc == CU_ENOTFOUND) {
		WRONG(in, "metadata.sqlite3 is missing");
		return CU_INSPECT_DAMAGED;
	}
	if (rc < 0)
		return cannot(in, "the metadata cannot be copied to look at them; is there room in TMPDIR?");
	path = cu_file_path("%s/metadata.sqlite3", in->copy);
	rc = cu_metadata_open(path, &loader, &in->metadata);
	free(path);
	if (in->older)
		return cannot(in, "was written by an older copper; a start makes every shape anew");
	if (rc == CU_EUNSUPPORTED)
		return cannot(in, "is of a newer version");
	if (cu_is_disk_error(rc))
		return cannot(in, rc == CU_ENOSPC ? "the metadata cannot be read: no space left in TMPDIR"
						  : "the metadata cannot be read");
	if (rc < 0) {
		WRONG(in, "the metadata cannot be read as a whole");
		return CU_INSPECT_DAMAGED;
	}
	return 0;
}

static void leave(struct inspection *in)
{
	void *def;

	cu_metadata_free(&in->metadata);
	cu_chunks_free(&in->chunks);
	for (size_t i = 0; i < in->shapes_len; i++) {
		free(in->shapes[i]->handle);
		free(in->shapes[i]->where);
		free(in->shapes[i]->chunks);
		free(in->shapes[i]->log);
		free(in->shapes[i]);
	}
	for (size_t i = 0; (def = cu_map_next(&in->definitions, &i));) {
		cu_definition *owned = def;

		cu_definition_unref(&owned);
	}
	free(in->shapes);
	cu_map_fini(&in->by_id);
	cu_map_fini(&in->definitions);
	remove_copy(in);
	if (in->lock_fd >= 0)
		close(in->lock_fd);
}

/* ---- check ---- */

static void check_snapshot(struct inspection *in, const struct shape *shape)
{
	cu_buf bytes = CU_BUF_INIT;

	if (!shape->complete)
		fprintf(in->out, "note: the snapshot of shape %" PRIu64 " was interrupted; a start removes the shape\n",
			shape->id);
	if (shape->complete && shape->small) {
		in->records++;
		if (cu_metadata_get_small(in->metadata, shape->id, &bytes) < 0)
			WRONG(in, "the small snapshot of shape %" PRIu64, shape->id);
	}
	for (uint32_t n = 0; n < shape->chunks_len; n++) {
		in->files++;
		if (cu_chunk_verify(in->chunks, shape->id, CU_CHUNK_SNAPSHOT, n, &shape->chunks[n]) < 0)
			WRONG(in, "shapes/%" PRIu64 "/snapshot.%u", shape->id, n);
	}
	cu_buf_fini(&bytes);
}

static int read_chunk(struct inspection *in, const struct cu_log_chunk_row *row, cu_buf *bytes)
{
	uint64_t size;
	size_t got;
	int fd = -1;
	int rc = cu_chunk_open(in->chunks, row->shape_id, CU_CHUNK_LOG, row->n, &fd, &size);

	if (rc == 0 && size != row->info.bytes)
		rc = CU_ECORRUPT;
	if (rc == 0 && !cu_buf_reserve(bytes, (size_t)size + 1))
		rc = CU_ENOMEM;
	if (rc == 0)
		rc = cu_file_read_at(&cu_file_system, fd, bytes->data, (size_t)size, 0, &got);
	if (rc == 0)
		bytes->len = got;
	cu_file_close(&cu_file_system, &fd);
	return rc;
}

/* Its bytes, its index, and that it ends where its row says. */
static void check_log_chunk(struct inspection *in, const struct cu_log_chunk_row *row)
{
	struct cu_log_chunk_cursor cursor;
	struct cu_log_chunk_item item = { 0 };
	cu_buf bytes = CU_BUF_INIT;
	uint64_t items = 0;
	int rc;

	in->files += !row->is_small;
	in->records += row->is_small;
	rc = row->is_small ? cu_metadata_get_log_chunk(in->metadata, row->shape_id, row->n, &bytes)
			   : read_chunk(in, row, &bytes);
	if (rc == 0 && cu_crc32c(0, bytes.data, bytes.len) != row->info.crc)
		rc = CU_ECORRUPT;
	if (rc == 0)
		rc = cu_log_chunk_walk(bytes.data, bytes.len, &cursor);
	while (rc == 0 && (rc = cu_log_chunk_next(&cursor, &item)) == 1) {
		items++;
		rc = 0;
	}
	if (rc < 0 || items != row->info.items || item.tx > row->last_tx)
		WRONG(in, "log chunk %u of shape %" PRIu64 " (%s)", row->n, row->shape_id,
		      row->is_small ? "in the metadata" : "a file");
	cu_buf_fini(&bytes);
}

static int see_fanout(void *ctx, const struct cu_fanout *fanout, const struct cu_changelog_item *items)
{
	struct inspection *in = ctx;

	in->records += 1 + fanout->items_len;
	for (uint32_t at = 0; at < fanout->items_len; at++)
		in->items_damaged += items[at].op == UINT64_MAX; /* pos 0 alone: dropped */
	for (uint32_t i = 0; i < fanout->shapes_len; i++) {
		const struct cu_fanout_shape *entry = &fanout->shapes[i];
		struct shape *shape = cu_map_get(&in->by_id, entry->shape_id);
		const struct cu_log_chunk_row *last = shape && shape->log_len ? &shape->log[shape->log_len - 1] : NULL;

		for (uint32_t r = 0; shape && r < entry->runs_len; r++) {
			const struct cu_fanout_run *run = &fanout->runs[entry->runs_at + r];

			for (uint32_t at = run->first; at < run->first + run->len; at++) {
				if (last && cu_offset_cmp(cu_offset_of(fanout->tx, items[at].op),
							  cu_offset_of(last->last_tx, last->last_op)) <= 0)
					continue; /* it is sealed */
				shape->tail_items++;
				shape->tail_bytes += items[at].len;
				shape->lacks |= items[at].pos == 0;
			}
		}
	}
	return 0;
}

/* The change log up to the checkpoint. */
static void check_log(struct inspection *in, const struct cu_file_ops *ops)
{
	char *dir = cu_file_path("%s/log", in->dir);
	struct cu_changelog_opts opts = {
		.dir = dir, .ops = ops, .end_pos = in->cp.log_pos, .replay = see_fanout, .replay_ctx = in
	};
	cu_changelog *log = NULL;

	if (in->cp.log_pos && cu_changelog_open(&opts, &log) < 0)
		WRONG(in, "the change log cannot be read up to the checkpoint");
	if (log && cu_changelog_start(log) > cu_metadata_log_start(in->metadata))
		WRONG(in,
		      "the change log begins at %" PRIu64 ", the metadata know of %" PRIu64
		      ": they are older, and sealed items between may be lost",
		      cu_changelog_start(log), cu_metadata_log_start(in->metadata));
	if (in->items_damaged)
		WRONG(in, "%" PRIu64 " item%s of the change log", in->items_damaged, in->items_damaged == 1 ? "" : "s");
	for (size_t i = 0; i < in->shapes_len; i++) {
		if (in->shapes[i]->lacks)
			WRONG(in, "shape %" PRIu64 " (%s) lacks an item of its log", in->shapes[i]->id,
			      in->shapes[i]->handle);
	}
	cu_changelog_free(&log);
	free(dir);
}

static int see_directory(void *ctx, uint64_t id)
{
	struct inspection *in = ctx;

	if (!cu_map_get(&in->by_id, id))
		fprintf(in->out, "note: shapes/%" PRIu64 " belongs to no shape; a start removes it\n", id);
	return 0;
}

int cu_inspect_check(const char *dir, FILE *out)
{
	struct inspection in = { .dir = dir, .out = out, .lock_fd = -1 };
	struct cu_file_ops ops = only_read();
	int status = enter(&in);

	if (status == 0)
		status = load(&in);
	if (status == 0 && cu_chunks_new(dir, &ops, &in.chunks) == 0) {
		check_log(&in, &ops);
		for (size_t i = 0; i < in.shapes_len; i++) {
			check_snapshot(&in, in.shapes[i]);
			for (uint32_t n = 0; n < in.shapes[i]->log_len; n++)
				check_log_chunk(&in, &in.shapes[i]->log[n]);
		}
		if (in.shapes_len)
			cu_chunks_each_shape(in.chunks, see_directory, &in);
	}
	if (status != CU_INSPECT_CANNOT) {
		fprintf(out, "%zu shapes, %" PRIu64 " chunk files, %" PRIu64 " records: %s", in.shapes_len, in.files,
			in.records, in.damaged ? "" : "all is well\n");
		if (in.damaged)
			fprintf(out, "%" PRIu64 " damaged\n", in.damaged);
		status = in.damaged ? CU_INSPECT_DAMAGED : CU_INSPECT_GOOD;
	}
	leave(&in);
	return status;
}

/* ---- inspect ---- */

static void put_json_text(FILE *out, const char *text)
{
	cu_buf json = CU_BUF_INIT;

	cu_buf_put_json(&json, text, strlen(text));
	fputs(cu_buf_str(&json), out);
	cu_buf_fini(&json);
}

static uint64_t bytes_of(const struct shape *shape)
{
	uint64_t bytes = 0;

	for (uint32_t n = 0; n < shape->chunks_len; n++)
		bytes += shape->chunks[n].bytes;
	for (uint32_t n = 0; n < shape->log_len; n++)
		bytes += shape->log[n].info.bytes;
	return bytes;
}

static void print_shape(const struct inspection *in, const struct shape *shape, bool json)
{
	const cu_definition *def = cu_map_get(&in->definitions, shape->definition_id);
	const struct cu_log_chunk_row *last = shape->log_len ? &shape->log[shape->log_len - 1] : NULL;
	FILE *out = in->out;

	if (json) {
		fprintf(out, "{\"id\":%" PRIu64 ",\"handle\":", shape->id);
		put_json_text(out, shape->handle);
		fputs(",\"schema\":", out);
		put_json_text(out, def ? def->schema : "");
		fputs(",\"table\":", out);
		put_json_text(out, def ? def->name : "");
		if (shape->where) {
			fputs(",\"where\":", out);
			put_json_text(out, shape->where);
		}
		fprintf(out,
			",\"complete\":%s,\"snapshot_chunks\":%u,\"sealed_chunks\":%u,\"sealed_to\":\"%" PRIu64
			"_%" PRIu64 "\",\"tail_items\":%" PRIu64 ",\"tail_bytes\":%" PRIu64 ",\"chunk_bytes\":%" PRIu64
			"}",
			shape->complete ? "true" : "false", shape->small ? 1 : shape->chunks_len, shape->log_len,
			last ? last->last_tx : 0, last ? last->last_op : 0, shape->tail_items, shape->tail_bytes,
			bytes_of(shape));
		return;
	}
	fprintf(out, "%-8" PRIu64 " %-28s %s.%s%s%s  snapshot %u%s, sealed %u", shape->id, shape->handle,
		def ? def->schema : "?", def ? def->name : "?", shape->where ? " where " : "",
		shape->where ? shape->where : "", shape->small ? 1 : shape->chunks_len,
		shape->complete ? "" : " (interrupted)", shape->log_len);
	if (last)
		fprintf(out, " to %" PRIu64 "_%" PRIu64, last->last_tx, last->last_op);
	fprintf(out, ", tail %" PRIu64 " items %" PRIu64 " bytes, chunks %" PRIu64 " bytes\n", shape->tail_items,
		shape->tail_bytes, bytes_of(shape));
}

int cu_inspect_print(const char *dir, bool json, FILE *out)
{
	struct inspection in = { .dir = dir, .out = stderr, .lock_fd = -1 };
	struct cu_file_ops ops = only_read();
	int status = enter(&in);

	if (status == 0)
		status = load(&in);
	if (status == 0) {
		check_log(&in, &ops);
		in.out = out;
		fprintf(out,
			json ? "{\"checkpoint\":{\"lsn\":\"%X/%X\",\"log_pos\":%" PRIu64 ",\"last_tx\":%" PRIu64
			       ",\"system_id\":%" PRIu64 ",\"timeline\":%u},\"shapes\":["
			     : "checkpoint %X/%X, change log to %" PRIu64 ", last transaction %" PRIu64
			       ", system %" PRIu64 ", timeline %u\n",
			(unsigned)(in.cp.lsn >> 32), (unsigned)in.cp.lsn, in.cp.log_pos, in.cp.last_tx, in.cp.system_id,
			in.cp.timeline);
		for (size_t i = 0; i < in.shapes_len; i++) {
			if (json && i)
				fputc(',', out);
			print_shape(&in, in.shapes[i], json);
		}
		if (json)
			fputs("]}\n", out);
		else
			fprintf(out, "%zu shapes\n", in.shapes_len);
		status = in.damaged ? CU_INSPECT_DAMAGED : CU_INSPECT_GOOD;
	}
	leave(&in);
	return status;
}
