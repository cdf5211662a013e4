/* metadata_load.c: the rows at open, each with its checksum compared.
 *
 * A checksum says that a row is as it was written, not that it is there: so a shape's row says how many chunks its snapshot
 * has, and log_count how many its log has. */
#include "base/log.h"
#include "store/changelog.h"
#include "store/metadata_internal.h"

#include <stdlib.h>

struct load {
	struct cu_metadata_db *db;
	const struct cu_metadata_loader *loader;
	uint64_t shape_id_max;
};

static uint64_t num(sqlite3_stmt *stmt, int at)
{
	return (uint64_t)sqlite3_column_int64(stmt, at);
}

static int damaged(const struct load *load, const char *table, bool is_definition, uint64_t id)
{
	cu_error("metadata: a row is damaged", CU_KV("table", table),
		 CU_KV_U64(is_definition ? "definition" : "shape_id", id));
	return load->loader->damaged ? load->loader->damaged(load->loader->ctx, is_definition, id) : CU_ECORRUPT;
}

/* A page of the file stands where it does not belong. */
static int disordered(const char *table)
{
	cu_error("metadata: rows are not in order", CU_KV("table", table));
	return CU_ECORRUPT;
}

static void know_id(struct load *load, uint64_t id)
{
	if (id < CU_SHAPE_ID_LIMIT)
		load->shape_id_max = CU_MAX(load->shape_id_max, id);
}

static int load_checkpoint(struct load *load)
{
	struct cu_checkpoint cp = { 0 };
	sqlite3_stmt *stmt = NULL;
	int rc, step;

	rc = cu_metadata_db_prepare(load->db,
				    "SELECT " CU_CHECKPOINT_COLUMNS ", row_crc = crc_of(" CU_CHECKPOINT_COLUMNS
				    ") FROM checkpoint",
				    &stmt);
	if (rc < 0)
		return rc;
	step = sqlite3_step(stmt);
	if (step == SQLITE_ROW && num(stmt, 5) == 1) {
		cp.lsn = num(stmt, 0);
		cp.log_pos = num(stmt, 1);
		cp.last_tx = num(stmt, 2);
		cp.system_id = num(stmt, 3);
		cp.timeline = (uint32_t)num(stmt, 4);
		if (cp.system_id || cp.lsn || cp.log_pos) /* else none was made yet */
			rc = load->loader->checkpoint(load->loader->ctx, &cp);
	} else if (step == SQLITE_ROW || step == SQLITE_DONE) {
		cu_error("metadata: the checkpoint is damaged");
		rc = CU_ECORRUPT;
	} else {
		rc = cu_metadata_db_failed(load->db, "load the checkpoint");
	}
	sqlite3_finalize(stmt);
	return rc;
}

static int load_definitions(struct load *load)
{
	sqlite3_stmt *stmt = NULL;
	int64_t before = INT64_MIN; /* in SQLite's order */
	int rc, step = SQLITE_ROW;

	rc = cu_metadata_db_prepare(load->db, "SELECT id, body, row_crc = crc_of(id, body) FROM definition ORDER BY id",
				    &stmt);
	while (rc >= 0 && (step = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t id = num(stmt, 0);

		if (num(stmt, 2) != 1) {
			rc = damaged(load, "definition", true, id);
			continue;
		}
		if ((int64_t)id <= before)
			rc = disordered("definition");
		else
			rc = load->loader->definition(load->loader->ctx, id, sqlite3_column_blob(stmt, 1),
						      (size_t)sqlite3_column_bytes(stmt, 1));
		before = (int64_t)id;
	}
	if (rc >= 0 && step != SQLITE_DONE)
		rc = cu_metadata_db_failed(load->db, "load definitions");
	sqlite3_finalize(stmt);
	return rc < 0 ? rc : 0;
}

struct chunk_list {
	struct cu_chunk_info *chunks;
	uint32_t len;
	uint32_t cap;
};

/* 1: they are all there; 0: they are not. */
static int load_chunks(struct load *load, sqlite3_stmt *stmt, uint64_t shape_id, uint64_t expected,
		       struct chunk_list *list)
{
	int rc = 1, step = SQLITE_DONE;

	list->len = 0;
	sqlite3_bind_int64(stmt, 1, (sqlite3_int64)shape_id);
	while (rc == 1 && (step = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (list->len == list->cap) {
			uint32_t cap = list->cap ? list->cap * 2 : 16;
			struct cu_chunk_info *chunks = cu_try_realloc(list->chunks, cap * sizeof *chunks);

			if (!chunks) {
				rc = CU_ENOMEM;
				break;
			}
			list->chunks = chunks;
			list->cap = cap;
		}
		if (num(stmt, 5) != 1 || num(stmt, 1) != list->len) {
			rc = 0;
			break;
		}
		list->chunks[list->len++] = (struct cu_chunk_info){
			.bytes = num(stmt, 2),
			.items = num(stmt, 3),
			.crc = (uint32_t)num(stmt, 4),
		};
	}
	if (rc == 1 && step != SQLITE_DONE)
		rc = cu_metadata_db_failed(load->db, "load chunks");
	sqlite3_reset(stmt);
	return rc == 1 ? list->len == expected : rc;
}

static int load_shape(struct load *load, sqlite3_stmt *stmt, sqlite3_stmt *chunk_stmt, struct chunk_list *list)
{
	struct cu_shape_row row = { 0 };
	int rc;

	row.id = num(stmt, 0);
	row.handle = (const char *)sqlite3_column_text(stmt, 1);
	row.definition_id = num(stmt, 2);
	row.where = (const char *)sqlite3_column_text(stmt, 3);
	row.where_len = (size_t)sqlite3_column_bytes(stmt, 3);
	row.created_us = num(stmt, 4);
	row.snapshot_complete = num(stmt, 5) != 0;
	row.snapshot.xmin = num(stmt, 6);
	row.snapshot.xmax = num(stmt, 7);
	row.snapshot.lsn = num(stmt, 8);
	row.snapshot.xip = (const char *)sqlite3_column_text(stmt, 9);
	row.snapshot.has_route_key = sqlite3_column_type(stmt, 11) == SQLITE_INTEGER;
	row.snapshot.route_column = (uint16_t)num(stmt, 10);
	row.snapshot.route_hash = num(stmt, 11);
	row.snapshot.is_small = num(stmt, 12) != 0;
	row.snapshot.published = (const char *)sqlite3_column_text(stmt, 14);
	if (!row.handle || !row.snapshot.xip || !row.snapshot.published)
		return CU_ENOMEM;
	list->len = 0;
	rc = 1;
	if (row.snapshot_complete && !row.snapshot.is_small)
		rc = load_chunks(load, chunk_stmt, row.id, num(stmt, 13), list);
	if (rc == 0)
		return damaged(load, "chunk", false, row.id);
	if (rc < 0)
		return rc;
	row.snapshot.chunks = list->chunks;
	row.snapshot.chunks_len = list->len;
	return load->loader->shape(load->loader->ctx, &row);
}

static int load_shapes(struct load *load)
{
	sqlite3_stmt *stmt = NULL, *chunk_stmt = NULL;
	struct chunk_list list = { 0 };
	uint64_t next = 0, count = 0;
	int rc, step = SQLITE_ROW;

	rc = load->loader->shapes ? cu_metadata_db_number(load->db, "SELECT count(*) FROM shape", &count) : 0;
	if (rc == 0 && load->loader->shapes)
		rc = load->loader->shapes(load->loader->ctx, count);
	if (rc < 0)
		return rc;
	rc = cu_metadata_db_prepare(load->db,
				    "SELECT " CU_SHAPE_COLUMNS ", row_crc = crc_of(" CU_SHAPE_COLUMNS
				    ") FROM shape ORDER BY id",
				    &stmt);
	if (rc == 0)
		rc = cu_metadata_db_prepare(load->db,
					    "SELECT " CU_CHUNK_COLUMNS ", row_crc = crc_of(" CU_CHUNK_COLUMNS
					    ") FROM chunk WHERE shape_id = ?1 ORDER BY n",
					    &chunk_stmt);
	while (rc >= 0 && (step = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t id = num(stmt, 0);

		know_id(load, id);
		if (num(stmt, 15) != 1) {
			rc = damaged(load, "shape", false, id);
			continue;
		}
		rc = id < next ? disordered("shape") : load_shape(load, stmt, chunk_stmt, &list);
		next = id + 1;
	}
	if (rc >= 0 && step != SQLITE_DONE)
		rc = cu_metadata_db_failed(load->db, "load shapes");
	sqlite3_finalize(stmt);
	sqlite3_finalize(chunk_stmt);
	free(list.chunks);
	return rc < 0 ? rc : 0;
}

static int load_log_chunk(struct load *load, sqlite3_stmt *stmt)
{
	uint64_t flags = num(stmt, 8);

	return load->loader->log_chunk(load->loader->ctx,
				       &(struct cu_log_chunk_row){
					       .shape_id = num(stmt, 0),
					       .n = (uint32_t)num(stmt, 1),
					       .last_tx = num(stmt, 2),
					       .last_op = num(stmt, 3),
					       .wire_bytes = num(stmt, 4),
					       .info = { num(stmt, 5), num(stmt, 6), (uint32_t)num(stmt, 7) },
					       .ends = flags & CU_LOG_CHUNK_ENDS,
					       .compacted = flags & CU_LOG_CHUNK_COMPACTED,
					       .kept = flags & CU_LOG_CHUNK_KEPT,
					       .settled = flags & CU_LOG_CHUNK_SETTLED,
					       .is_small = flags & CU_LOG_CHUNK_SMALL,
				       });
}

/* Walks log_count beside log_chunk. */
struct counts {
	sqlite3_stmt *stmt;
	int step;
};

static void next_count(struct counts *counts)
{
	if (counts->step == SQLITE_ROW)
		counts->step = sqlite3_step(counts->stmt);
}

/* The shape has so many whole rows in log_chunk; the ones that were counted up to it have none. */
static int compare_count(struct load *load, struct counts *counts, uint64_t shape_id, uint64_t chunks)
{
	int rc = 0;

	for (; rc >= 0 && counts->step == SQLITE_ROW && num(counts->stmt, 0) < shape_id; next_count(counts))
		rc = damaged(load, "log_count", false, num(counts->stmt, 0));
	if (rc < 0 || shape_id == UINT64_MAX)
		return rc;
	if (counts->step != SQLITE_ROW || num(counts->stmt, 0) != shape_id)
		return damaged(load, "log_chunk", false, shape_id);
	if (num(counts->stmt, 1) != chunks || num(counts->stmt, 2) != 1)
		rc = damaged(load, "log_chunk", false, shape_id);
	next_count(counts);
	return rc;
}

static int load_log_chunks(struct load *load)
{
	struct counts counts = { NULL, SQLITE_ROW };
	uint64_t shape_id = UINT64_MAX, chunks = 0;
	sqlite3_stmt *stmt = NULL;
	int rc, step = SQLITE_ROW;

	rc = cu_metadata_db_prepare(load->db,
				    "SELECT " CU_LOG_CHUNK_COLUMNS ", row_crc = crc_of(" CU_LOG_CHUNK_COLUMNS
				    ") FROM log_chunk ORDER BY shape_id, last_tx, last_op",
				    &stmt);
	if (rc == 0)
		rc = cu_metadata_db_prepare(
			load->db,
			"SELECT shape_id, chunks, row_crc = crc_of(shape_id, chunks) FROM log_count ORDER BY shape_id",
			&counts.stmt);
	if (rc == 0)
		next_count(&counts);
	while (rc >= 0 && (step = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t id = num(stmt, 0);

		if (num(stmt, 9) != 1) { /* whose it is shows in the count */
			rc = damaged(load, "log_chunk", false, id);
			continue;
		}
		know_id(load, id);
		if (id != shape_id && shape_id != UINT64_MAX)
			rc = compare_count(load, &counts, shape_id, chunks);
		chunks = id == shape_id ? chunks + 1 : 1;
		shape_id = id;
		if (rc >= 0)
			rc = load_log_chunk(load, stmt);
	}
	if (rc >= 0 && shape_id != UINT64_MAX && step == SQLITE_DONE)
		rc = compare_count(load, &counts, shape_id, chunks);
	if (rc >= 0 && step == SQLITE_DONE)
		rc = compare_count(load, &counts, UINT64_MAX, 0);
	if (rc >= 0 && (step != SQLITE_DONE || counts.step != SQLITE_DONE))
		rc = cu_metadata_db_failed(load->db, "load log chunks");
	sqlite3_finalize(stmt);
	sqlite3_finalize(counts.stmt);
	return rc < 0 ? rc : 0;
}

int cu_metadata_db_load(struct cu_metadata_db *db, const struct cu_metadata_loader *loader, uint64_t *ret_shape_id_max)
{
	struct load load = { .db = db, .loader = loader };
	uint64_t last = 0;
	int rc = 0;

	if (loader && loader->checkpoint)
		rc = load_checkpoint(&load);
	if (rc >= 0 && loader && loader->definition)
		rc = load_definitions(&load);
	if (rc >= 0 && loader && loader->shape)
		rc = load_shapes(&load);
	if (rc >= 0 && loader && loader->log_chunk)
		rc = load_log_chunks(&load);
	if (rc >= 0)
		rc = cu_metadata_db_number(db, "SELECT seq FROM sqlite_sequence WHERE name = 'shape'", &last);
	know_id(&load, last);
	*ret_shape_id_max = load.shape_id_max;
	return rc < 0 ? rc : 0;
}
