/* metadata_sql.c: the SQLite file itself. u64 values are stored as the i64 with the same bits. */
#include "base/log.h"
#include "base/mutant.h"
#include "store/crc32c.h"
#include "store/metadata_internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SCHEMA_VERSION 6
#define SCHEMA_VERSION_TEXT "6"
#define BUSY_TIMEOUT_MS 5000 /* somebody looks inside with the sqlite3 shell and holds a lock */
#define FOLD_TIMEOUT_MS 100  /* our own reader is through before; whoever else reads is not waited for */
#define FOLD_PAGES 1000      /* 4 MiB */
#define LOG_START_KEY "log_start"

enum stmt {
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_PUT_SHAPE,
	STMT_SET_SNAPSHOT,
	STMT_CLEAR_CHUNKS,
	STMT_PUT_CHUNK,
	STMT_GET_CHUNK,
	STMT_CLEAR_SMALL,
	STMT_PUT_SMALL,
	STMT_GET_SMALL,
	STMT_REMOVE_SHAPE,
	STMT_HAS_SHAPE,
	STMT_DROP_LOG_BYTES,
	STMT_DROP_OLD_LOG_BYTES,
	STMT_DROP_LOG_CHUNKS,
	STMT_COUNT_LOG_CHUNKS,
	STMT_DROP_LOG_COUNT,
	STMT_PUT_LOG_CHUNK,
	STMT_PUT_LOG_BYTES,
	STMT_GET_LOG_BYTES,
	STMT_PUT_DEFINITION,
	STMT_REMOVE_DEFINITION,
	STMT_PUT_CHECKPOINT,
	STMT_SET,
	STMT_GET,
	STMT_LEN,
};

static const char *const stmt_sql[STMT_LEN] = {
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_PUT_SHAPE] =
		"INSERT INTO shape (id, created_us, definition_id, handle, where_clause, row_crc) VALUES (?1, ?2, ?3, ?4, ?5, "
		"crc_of(?1, ?4, ?3, ?5, ?2, 0, 0, 0, 0, '', NULL, NULL, 0, 0, ''))",
	[STMT_SET_SNAPSHOT] =
		"UPDATE shape SET snapshot_complete = 1, xmin = ?2, xmax = ?3, snapshot_lsn = ?4, xip = ?5, "
		"route_column = ?6, route_hash = ?7, snapshot_small = ?8, snapshot_chunks = ?9, published = ?10, "
		"row_crc = crc_of(id, handle, definition_id, where_clause, created_us, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
		/* What was damaged meanwhile must not get a new checksum. */
		"WHERE id = ?1 AND row_crc = crc_of(" CU_SHAPE_COLUMNS ")",
	[STMT_CLEAR_CHUNKS] = "DELETE FROM chunk WHERE shape_id = ?1",
	[STMT_PUT_CHUNK] = "INSERT INTO chunk (" CU_CHUNK_COLUMNS ", row_crc) "
			   "VALUES (?1, ?2, ?3, ?4, ?5, crc_of(?1, ?2, ?3, ?4, ?5))",
	[STMT_GET_CHUNK] = "SELECT row_crc = crc_of(" CU_CHUNK_COLUMNS "), bytes, items, crc FROM chunk "
			   "WHERE shape_id = ?1 AND n = ?2",
	[STMT_CLEAR_SMALL] = "DELETE FROM snapshot WHERE shape_id = ?1",
	[STMT_PUT_SMALL] = "INSERT INTO snapshot (shape_id, bytes, row_crc) VALUES (?1, ?2, crc_of(?1, ?2))",
	[STMT_GET_SMALL] = "SELECT row_crc = crc_of(?1, bytes), bytes FROM snapshot WHERE shape_id = ?1",
	[STMT_REMOVE_SHAPE] = "DELETE FROM shape WHERE id = ?1",
	[STMT_HAS_SHAPE] = "SELECT 1 FROM shape WHERE id = ?1",
	[STMT_DROP_LOG_BYTES] = "DELETE FROM log_bytes WHERE shape_id = ?1",
	/* Those whose chunk was replaced before. */
	[STMT_DROP_OLD_LOG_BYTES] = "DELETE FROM log_bytes WHERE shape_id = ?1 AND "
				    "n NOT IN (SELECT n FROM log_chunk WHERE shape_id = ?1)",
	/* Those behind ?2, ?3 up to ?4, ?5. */
	[STMT_DROP_LOG_CHUNKS] = "DELETE FROM log_chunk WHERE shape_id = ?1 AND (last_tx, last_op) > (?2, ?3) "
				 "AND (last_tx, last_op) <= (?4, ?5)",
	[STMT_PUT_LOG_CHUNK] =
		"INSERT INTO log_chunk (" CU_LOG_CHUNK_COLUMNS ", row_crc) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, crc_of(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))",
	/* One more, and ?2 fewer. */
	[STMT_COUNT_LOG_CHUNKS] =
		"INSERT INTO log_count (shape_id, chunks, row_crc) VALUES (?1, 1 - ?2, crc_of(?1, 1 - ?2)) "
		"ON CONFLICT (shape_id) DO UPDATE SET chunks = chunks + 1 - ?2, row_crc = crc_of(?1, chunks + 1 - ?2)",
	[STMT_DROP_LOG_COUNT] = "DELETE FROM log_count WHERE shape_id = ?1",
	[STMT_PUT_LOG_BYTES] =
		"INSERT OR REPLACE INTO log_bytes (shape_id, n, bytes, row_crc) VALUES (?1, ?2, ?3, crc_of(?1, ?2, ?3))",
	[STMT_GET_LOG_BYTES] =
		"SELECT row_crc = crc_of(?1, ?2, bytes), bytes FROM log_bytes WHERE shape_id = ?1 AND n = ?2",
	[STMT_PUT_DEFINITION] = "INSERT INTO definition (id, body, row_crc) VALUES (?1, ?2, crc_of(?1, ?2)) "
				"ON CONFLICT (id) DO UPDATE SET body = excluded.body, row_crc = excluded.row_crc",
	[STMT_REMOVE_DEFINITION] = "DELETE FROM definition WHERE id = ?1",
	[STMT_PUT_CHECKPOINT] = "INSERT OR REPLACE INTO checkpoint (id, " CU_CHECKPOINT_COLUMNS ", row_crc) "
				"VALUES (1, ?1, ?2, ?3, ?4, ?5, crc_of(?1, ?2, ?3, ?4, ?5))",
	[STMT_SET] =
		"INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
	[STMT_GET] = "SELECT value FROM setting WHERE key = ?1",
};

static const char schema_sql[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE shape ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, handle TEXT NOT NULL UNIQUE,"
	" definition_id INTEGER NOT NULL, where_clause TEXT, created_us INTEGER NOT NULL, snapshot_complete INTEGER NOT NULL DEFAULT 0,"
	" xmin INTEGER NOT NULL DEFAULT 0, xmax INTEGER NOT NULL DEFAULT 0,"
	" snapshot_lsn INTEGER NOT NULL DEFAULT 0, xip TEXT NOT NULL DEFAULT '',"
	" route_column INTEGER, route_hash INTEGER, snapshot_small INTEGER NOT NULL DEFAULT 0,"
	" snapshot_chunks INTEGER NOT NULL DEFAULT 0, published TEXT NOT NULL DEFAULT '', row_crc INTEGER NOT NULL) STRICT;"
	"CREATE TABLE chunk ("
	" shape_id INTEGER NOT NULL, n INTEGER NOT NULL, bytes INTEGER NOT NULL, items INTEGER NOT NULL,"
	" crc INTEGER NOT NULL, row_crc INTEGER NOT NULL, PRIMARY KEY (shape_id, n)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE snapshot ("
	" shape_id INTEGER PRIMARY KEY, bytes BLOB NOT NULL, row_crc INTEGER NOT NULL) STRICT;"
	"CREATE TABLE log_chunk ("
	" shape_id INTEGER NOT NULL, last_tx INTEGER NOT NULL, last_op INTEGER NOT NULL, n INTEGER NOT NULL,"
	" wire_bytes INTEGER NOT NULL, bytes INTEGER NOT NULL, items INTEGER NOT NULL, crc INTEGER NOT NULL,"
	" flags INTEGER NOT NULL, row_crc INTEGER NOT NULL,"
	" PRIMARY KEY (shape_id, last_tx, last_op)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE log_count ("
	" shape_id INTEGER PRIMARY KEY, chunks INTEGER NOT NULL, row_crc INTEGER NOT NULL) STRICT;"
	"CREATE TABLE log_bytes ("
	" shape_id INTEGER NOT NULL, n INTEGER NOT NULL, bytes BLOB NOT NULL, row_crc INTEGER NOT NULL,"
	" PRIMARY KEY (shape_id, n)) STRICT;"
	"CREATE TABLE definition (id INTEGER PRIMARY KEY, body BLOB NOT NULL, row_crc INTEGER NOT NULL) STRICT;"
	"CREATE TABLE checkpoint ("
	" id INTEGER PRIMARY KEY CHECK (id = 1), lsn INTEGER NOT NULL, log_pos INTEGER NOT NULL,"
	" last_tx INTEGER NOT NULL, system_id INTEGER NOT NULL, timeline INTEGER NOT NULL,"
	" row_crc INTEGER NOT NULL) STRICT;"
	/* So that one that is missing is damage. */
	"INSERT INTO checkpoint VALUES (1, 0, 0, 0, 0, 0, crc_of(0, 0, 0, 0, 0));"
	"CREATE TABLE setting (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"PRAGMA application_id = 1131762548;" /* 0x43755374, "CuSt" */
	"PRAGMA user_version = " SCHEMA_VERSION_TEXT ";"
	"COMMIT;";

struct cu_metadata_db {
	sqlite3 *sqlite;
	uint64_t was;                  /* the version that it had, if that was an older one */
	int wal_pages;                 /* in the write-ahead file */
	int fold_at;                   /* it is long with so many */
	sqlite3_stmt *stmts[STMT_LEN]; /* prepared at first use */
};

/* crc_of(…): crc32c of any values, each with its type and its length, so that no two lists of values look the same. */
static void crc_of(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	uint32_t crc = 0;

	for (int i = 0; i < argc; i++) {
		uint8_t type = (uint8_t)sqlite3_value_type(argv[i]);
		const void *bytes = NULL;
		uint64_t number = 0;

		if (type == SQLITE_INTEGER) {
			number = (uint64_t)sqlite3_value_int64(argv[i]);
		} else if (type != SQLITE_NULL) {
			bytes = sqlite3_value_blob(argv[i]);
			number = (uint64_t)sqlite3_value_bytes(argv[i]);
		}
		if (number && !bytes && type != SQLITE_INTEGER) {
			sqlite3_result_error_nomem(ctx);
			return;
		}
		crc = cu_crc32c(crc, &type, 1);
		number = htole64(number);
		crc = cu_crc32c(crc, &number, sizeof number);
		if (bytes)
			crc = cu_crc32c(crc, bytes, (size_t)le64toh(number));
	}
	sqlite3_result_int64(ctx, crc);
}

/* Is what SQLite says about the file's content? Its statements are ours and right, so whatever is not about the world
 * around the file is. */
static bool is_damage(struct cu_metadata_db *db)
{
	switch (sqlite3_errcode(db->sqlite) & 0xff) {
	case SQLITE_IOERR:
	case SQLITE_FULL:
	case SQLITE_CANTOPEN:
	case SQLITE_NOMEM:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_PROTOCOL:
	case SQLITE_CONSTRAINT:
	case SQLITE_INTERRUPT: return false;
	/* A flag of the file's header says so, or its rights do. */
	case SQLITE_READONLY:
		return sqlite3_extended_errcode(db->sqlite) == SQLITE_READONLY &&
		       access(sqlite3_db_filename(db->sqlite, NULL), W_OK) == 0;
	default: return true;
	}
}

static bool is_full(struct cu_metadata_db *db)
{
	int code = sqlite3_errcode(db->sqlite) & 0xff;

	return code == SQLITE_FULL || ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) &&
				       cu_disk_error(sqlite3_system_errno(db->sqlite)) == CU_ENOSPC);
}

int cu_metadata_db_failed(struct cu_metadata_db *db, const char *what)
{
	bool damaged = is_damage(db), full = is_full(db);

	cu_error("metadata: SQLite failed", CU_KV("path", sqlite3_db_filename(db->sqlite, NULL)), CU_KV("what", what),
		 CU_KV("error", sqlite3_errmsg(db->sqlite)),
		 CU_KV("next", damaged ? "check the disk; a start puts the damaged file aside"
			       : full  ? "no space is left: make room on the storage directory's disk"
				       : "look at the disk and the directory's rights"));
	return damaged ? CU_ECORRUPT : full ? CU_ENOSPC : CU_EIO;
}

static int exec(struct cu_metadata_db *db, const char *sql, const char *what)
{
	return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : cu_metadata_db_failed(db, what);
}

int cu_metadata_db_prepare(struct cu_metadata_db *db, const char *sql, sqlite3_stmt **ret_stmt)
{
	if (sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL) != SQLITE_OK)
		return cu_metadata_db_failed(db, sql);
	return 0;
}

int cu_metadata_db_number(struct cu_metadata_db *db, const char *sql, uint64_t *ret_value)
{
	sqlite3_stmt *stmt = NULL;
	int rc, step;

	rc = cu_metadata_db_prepare(db, sql, &stmt);
	if (rc < 0)
		return rc;
	step = sqlite3_step(stmt);
	if (step == SQLITE_ROW)
		*ret_value = (uint64_t)sqlite3_column_int64(stmt, 0);
	else if (step == SQLITE_DONE)
		*ret_value = 0;
	else
		rc = cu_metadata_db_failed(db, sql);
	sqlite3_finalize(stmt);
	return rc;
}

/* Makes the write-ahead file durable as it is found. To sync it would not do: where a sync of the process before has failed, the
 * page cache calls pages clean that the disk has not, and whatever were committed behind them would be lost with them. So
 * each byte is written once more, in place, which takes no room. */
static int wal_rewrite(struct cu_metadata_db *db)
{
	sqlite3_file *file = NULL;
	sqlite3_int64 size = 0;
	uint8_t buf[4096];
	int rc = sqlite3_file_control(db->sqlite, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);

	if (rc == SQLITE_OK && (!file || !file->pMethods))
		return 0;
	if (rc == SQLITE_OK)
		rc = file->pMethods->xFileSize(file, &size);
	for (sqlite3_int64 at = 0; rc == SQLITE_OK && at < size; at += (sqlite3_int64)sizeof buf) {
		int len = (int)CU_MIN(size - at, (sqlite3_int64)sizeof buf);

		rc = file->pMethods->xRead(file, buf, len, at);
		if (rc == SQLITE_OK)
			rc = file->pMethods->xWrite(file, buf, len, at);
	}
	if (rc == SQLITE_OK && size > 0)
		rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
	if (rc == SQLITE_OK)
		return 0;
	cu_error("the metadata's write-ahead file can neither be folded nor written again",
		 CU_KV("error", sqlite3_errstr(rc)),
		 CU_KV("next", "make room on the storage directory's disk, or repair it"));
	return rc == SQLITE_FULL ? CU_ENOSPC : CU_EIO;
}

static int schema_check(struct cu_metadata_db *db, const char *path)
{
	uint64_t version = 0, tables = 0;
	int rc;

	rc = cu_metadata_db_number(db, "PRAGMA user_version", &version);
	if (rc == 0)
		rc = cu_metadata_db_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc < 0)
		return rc;
	/* No version is one bit away from another that was used. */
	if (version > SCHEMA_VERSION && __builtin_popcountll(version ^ SCHEMA_VERSION) == 1) {
		cu_error("the metadata's version is damaged", CU_KV("path", path), CU_KV_U64("version", version));
		return CU_ECORRUPT;
	}
	if (version > SCHEMA_VERSION) {
		cu_error("the metadata was written by a newer copper; use that version, or another storage directory",
			 CU_KV("path", path), CU_KV_U64("version", version), CU_KV_U64("supported", SCHEMA_VERSION));
		return CU_EUNSUPPORTED;
	}
	if (version == 0 && tables > 0) {
		cu_error("the metadata file is not Copper's; use another storage directory", CU_KV("path", path));
		return CU_EUNSUPPORTED; /* and not damage: it is somebody's */
	}
	/* Pragmas that write come after the check: a file that is refused is not touched. The cache is small because
	 * nothing here is read twice. */
	rc = exec(db,
		  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -256;"
		  "PRAGMA journal_size_limit = 4194304; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY",
		  "settings");
	if (rc == 0 && version > 0 && version < SCHEMA_VERSION) {
		cu_warn("the storage was written by an older copper; every shape is made anew when asked for",
			CU_KV("path", path), CU_KV_U64("version", version));
		db->was = version;
		rc = exec(
			db,
			"DROP TABLE IF EXISTS shape; DROP TABLE IF EXISTS chunk; DROP TABLE IF EXISTS relation;"
			"DROP TABLE IF EXISTS snapshot; DROP TABLE IF EXISTS definition;"
			"DROP TABLE IF EXISTS checkpoint; DROP TABLE IF EXISTS setting;"
			"DROP TABLE IF EXISTS log_chunk; DROP TABLE IF EXISTS log_bytes; DROP TABLE IF EXISTS log_count",
			"drop the older tables");
	}
	if (rc == 0 && version < SCHEMA_VERSION)
		rc = exec(db, schema_sql, "create tables");
	if (rc < 0)
		return rc;
	/* What is about to be loaded counts as durable, but its COMMIT may have been overtaken by a kill: folding it into the file
	 * syncs it. Without room for that, or while somebody looks inside, it counts where it is, and what is stored can be
	 * served. */
	rc = cu_metadata_db_fold(db);
	if (rc == CU_EAGAIN || (rc == CU_ENOSPC && (sqlite3_errcode(db->sqlite) & 0xff) == SQLITE_FULL))
		rc = wal_rewrite(db);
	return rc;
}

static int wal_written(void *ctx, sqlite3 *sqlite, const char *name, int pages)
{
	(void)sqlite;
	(void)name;
	((struct cu_metadata_db *)ctx)->wal_pages = pages;
	return SQLITE_OK;
}

int cu_metadata_db_fold(struct cu_metadata_db *db)
{
	int step = SQLITE_OK, rc = 0;

	sqlite3_busy_timeout(db->sqlite, FOLD_TIMEOUT_MS);
	if (!CU_MUTANT(LOADED_IS_NOT_SYNCED))
		step = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (step == SQLITE_BUSY)
		rc = CU_EAGAIN;
	else if (step != SQLITE_OK)
		rc = cu_metadata_db_failed(db, "fold the write-ahead file");
	sqlite3_busy_timeout(db->sqlite, BUSY_TIMEOUT_MS);
	/* The write-ahead file's new beginning is synced with this: after an fsync that failed the disk may still have an older
	 * one, whose part would go over what was folded in. */
	if (rc == 0)
		rc = exec(db, "PRAGMA user_version = " SCHEMA_VERSION_TEXT, "begin a write-ahead file");
	/* What could not be folded is not tried again with every commit. */
	db->fold_at = (rc < 0 ? db->wal_pages : 0) + FOLD_PAGES;
	return rc;
}

uint64_t cu_metadata_db_was(const struct cu_metadata_db *db)
{
	return db->was;
}

bool cu_metadata_db_is_long(struct cu_metadata_db *db)
{
	return db->wal_pages >= db->fold_at;
}

static int connect(const char *path, int flags, struct cu_metadata_db **ret_db)
{
	struct cu_metadata_db *db = cu_xzalloc(sizeof *db);

	*ret_db = db;
	if (sqlite3_open_v2(path, &db->sqlite, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		cu_error("the metadata file cannot be opened", CU_KV("path", path),
			 CU_KV("error", db->sqlite ? sqlite3_errmsg(db->sqlite) : "out of memory"),
			 CU_KV("next", "look at the disk and the directory's rights"));
		return CU_EIO;
	}
	sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_LOOKASIDE, NULL, 256, 64);
	sqlite3_extended_result_codes(db->sqlite, 1);
	sqlite3_busy_timeout(db->sqlite, BUSY_TIMEOUT_MS);
	if (sqlite3_create_function(db->sqlite, "crc_of", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, crc_of, NULL,
				    NULL) != SQLITE_OK)
		return CU_ENOMEM;
	return 0;
}

int cu_metadata_db_open(const char *path, struct cu_metadata_db **ret_db)
{
	/* SQLite gives its files the rights of the one that is there; rows of clients are nobody else's. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int rc;

	if (fd >= 0)
		close(fd); /* what is wrong otherwise SQLite says better */
	rc = cu_metadata_check_length(path);
	if (rc == 0)
		rc = connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, ret_db);
	/* In the place of SQLite's own hook, as PRAGMA wal_autocheckpoint would be in ours. We fold, at once and as a whole: where a
	 * write-ahead file stays behind whose pages are in the other one, damage in it would bring older pages back beside newer
	 * ones. */
	if (rc == 0)
		sqlite3_wal_hook((*ret_db)->sqlite, wal_written, *ret_db);
	if (rc == 0)
		rc = schema_check(*ret_db, path);
	if (rc < 0)
		cu_metadata_db_close(ret_db);
	return rc;
}

int cu_metadata_db_open_reader(const char *path, struct cu_metadata_db **ret_db)
{
	int rc = connect(path, SQLITE_OPEN_READONLY, ret_db);

	if (rc == 0)
		rc = exec(*ret_db, "PRAGMA cache_size = -256; PRAGMA mmap_size = 0", "settings");
	if (rc < 0)
		cu_metadata_db_close(ret_db);
	return rc;
}

void cu_metadata_db_close(struct cu_metadata_db **ref)
{
	struct cu_metadata_db *db = *ref;

	if (!db)
		return;
	for (int i = 0; i < STMT_LEN; i++)
		sqlite3_finalize(db->stmts[i]);
	sqlite3_close(db->sqlite);
	free(db);
	*ref = NULL;
}

static int stmt_get(struct cu_metadata_db *db, enum stmt which, sqlite3_stmt **ret_stmt)
{
	int rc = db->stmts[which] ? 0 : cu_metadata_db_prepare(db, stmt_sql[which], &db->stmts[which]);

	*ret_stmt = db->stmts[which];
	return rc;
}

static void bind_num(sqlite3_stmt *stmt, int at, uint64_t value)
{
	sqlite3_bind_int64(stmt, at, (sqlite3_int64)value);
}

static void bind_blob(sqlite3_stmt *stmt, int at, const void *blob, size_t len)
{
	/* Zero bytes are not NULL. */
	sqlite3_bind_blob64(stmt, at, len ? blob : "", len, SQLITE_STATIC);
}

/* Steps a statement without rows, resets it. */
static int stmt_run(struct cu_metadata_db *db, sqlite3_stmt *stmt)
{
	int step = sqlite3_step(stmt);
	int code = sqlite3_extended_errcode(db->sqlite);
	int rc = 0;

	if (step != SQLITE_DONE) {
		if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ||
		    code == SQLITE_CONSTRAINT_ROWID)
			rc = CU_EEXIST;
		else
			rc = cu_metadata_db_failed(db, sqlite3_sql(stmt));
	}
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return rc;
}

static int run_simple(struct cu_metadata_db *db, enum stmt which, const uint64_t *nums, int nums_len)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, which, &stmt);

	if (rc < 0)
		return rc;
	for (int i = 0; i < nums_len; i++)
		bind_num(stmt, i + 1, nums[i]);
	return stmt_run(db, stmt);
}

static int run_put_shape(struct cu_metadata_db *db, const struct cu_metadata_op *op)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_PUT_SHAPE, &stmt);

	if (rc < 0)
		return rc;
	bind_num(stmt, 1, op->num[0]);
	bind_num(stmt, 2, op->num[1]);
	bind_num(stmt, 3, op->num[2]);
	sqlite3_bind_text(stmt, 4, op->text, -1, SQLITE_STATIC);
	if (op->blob)
		sqlite3_bind_text64(stmt, 5, op->blob, op->blob_len, SQLITE_STATIC, SQLITE_UTF8);
	return stmt_run(db, stmt);
}

static int clear_snapshot(struct cu_metadata_db *db, const uint64_t *shape_id)
{
	int rc = run_simple(db, STMT_CLEAR_CHUNKS, shape_id, 1);

	return rc < 0 ? rc : run_simple(db, STMT_CLEAR_SMALL, shape_id, 1);
}

static int run_put_small(struct cu_metadata_db *db, const struct cu_metadata_op *op)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_PUT_SMALL, &stmt);

	if (rc < 0)
		return rc;
	bind_num(stmt, 1, op->num[0]);
	bind_blob(stmt, 2, op->blob, op->blob_len);
	rc = stmt_run(db, stmt);
	return rc == CU_EEXIST ? CU_EIO : rc; /* it was just deleted */
}

/* Appends the blob of the row that stmt finds, if its checksum is right. */
static int get_bytes(struct cu_metadata_db *db, sqlite3_stmt *stmt, uint64_t shape_id, cu_buf *bytes)
{
	int step = sqlite3_step(stmt);
	int rc = 0;

	if (step == SQLITE_ROW) {
		const void *blob = sqlite3_column_blob(stmt, 1);
		size_t len = (size_t)sqlite3_column_bytes(stmt, 1);

		if (len && !blob) {
			rc = CU_ENOMEM;
		} else if (sqlite3_column_int64(stmt, 0) != 1) {
			cu_error("a small chunk is not what was stored; its shape must go",
				 CU_KV_U64("shape_id", shape_id), CU_KV_U64("bytes", len));
			rc = CU_ECORRUPT;
		} else {
			cu_buf_append(bytes, blob, len);
			rc = cu_buf_failed(bytes) ? CU_ENOMEM : 0;
		}
	} else if (step == SQLITE_DONE) {
		rc = CU_ENOTFOUND;
	} else {
		rc = cu_metadata_db_failed(db, "get a small chunk");
	}
	sqlite3_reset(stmt);
	return rc;
}

int cu_metadata_db_get_small(struct cu_metadata_db *db, uint64_t shape_id, cu_buf *bytes)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_GET_SMALL, &stmt);

	if (rc < 0)
		return rc;
	bind_num(stmt, 1, shape_id);
	return get_bytes(db, stmt, shape_id, bytes);
}

int cu_metadata_db_get_log_chunk(struct cu_metadata_db *db, uint64_t shape_id, uint32_t n, cu_buf *bytes)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_GET_LOG_BYTES, &stmt);

	if (rc < 0)
		return rc;
	bind_num(stmt, 1, shape_id);
	bind_num(stmt, 2, n);
	return get_bytes(db, stmt, shape_id, bytes);
}

int cu_metadata_db_get_chunk(struct cu_metadata_db *db, uint64_t shape_id, uint32_t n, struct cu_chunk_info *ret_info)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_GET_CHUNK, &stmt);
	int step;

	if (rc < 0)
		return rc;
	bind_num(stmt, 1, shape_id);
	bind_num(stmt, 2, n);
	step = sqlite3_step(stmt);
	if (step == SQLITE_ROW && sqlite3_column_int64(stmt, 0) == 1)
		*ret_info = (struct cu_chunk_info){ (uint64_t)sqlite3_column_int64(stmt, 1),
						    (uint64_t)sqlite3_column_int64(stmt, 2),
						    (uint32_t)sqlite3_column_int64(stmt, 3) };
	else if (step == SQLITE_ROW)
		rc = CU_ECORRUPT;
	else
		rc = step == SQLITE_DONE ? CU_ENOTFOUND : cu_metadata_db_failed(db, "get a chunk");
	sqlite3_reset(stmt);
	return rc;
}

/* bytes: which of their bytes go first. */
static int drop_log_chunks(struct cu_metadata_db *db, enum stmt bytes, uint64_t shape_id, uint64_t from_tx,
			   uint64_t from_op, uint64_t last_tx, uint64_t last_op)
{
	uint64_t range[5] = { shape_id, from_tx, from_op, last_tx, last_op };
	int rc = run_simple(db, bytes, range, 1);

	return rc < 0 ? rc : run_simple(db, STMT_DROP_LOG_CHUNKS, range, 5);
}

static int has_shape(struct cu_metadata_db *db, uint64_t shape_id)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_HAS_SHAPE, &stmt);
	int step;

	if (rc < 0)
		return rc;
	bind_num(stmt, 1, shape_id);
	step = sqlite3_step(stmt);
	rc = step == SQLITE_ROW    ? 0
	     : step == SQLITE_DONE ? CU_ENOTFOUND
				   : cu_metadata_db_failed(db, "look for a shape");
	sqlite3_reset(stmt);
	return rc;
}

static int run_put_log_chunk(struct cu_metadata_db *db, const struct cu_metadata_op *op)
{
	sqlite3_stmt *stmt;
	uint64_t count[2] = { op->num[0], 0 };
	int rc = has_shape(db, op->num[0]);

	if (rc == 0 && !op->follows) {
		/* The bytes of what is replaced now stay until the next time: readers may have looked up that chunk. */
		rc = drop_log_chunks(db, STMT_DROP_OLD_LOG_BYTES, op->num[0], op->num[9], op->num[10], op->num[11],
				     op->num[12]);
		count[1] = (uint64_t)sqlite3_changes(db->sqlite);
	}
	if (rc == 0)
		rc = run_simple(db, STMT_PUT_LOG_CHUNK, op->num, 9);
	if (rc == 0)
		rc = run_simple(db, STMT_COUNT_LOG_CHUNKS, count, 2);
	if (rc == 0 && op->is_small) {
		rc = stmt_get(db, STMT_PUT_LOG_BYTES, &stmt);
		if (rc == 0) {
			bind_num(stmt, 1, op->num[0]);
			bind_num(stmt, 2, op->num[1]);
			bind_blob(stmt, 3, op->blob, op->blob_len);
			rc = stmt_run(db, stmt);
		}
	}
	return rc == CU_EEXIST ? CU_EIO : rc; /* the range was just emptied, and no number is used twice */
}

static int run_set_snapshot(struct cu_metadata_db *db, const struct cu_metadata_op *op)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_SET_SNAPSHOT, &stmt);

	if (rc < 0)
		return rc;
	for (int i = 0; i < 4; i++)
		bind_num(stmt, i + 1, op->num[i]);
	sqlite3_bind_text(stmt, 5, op->text, -1, SQLITE_STATIC);
	if (op->has_route_key) {
		bind_num(stmt, 6, op->num[4]);
		bind_num(stmt, 7, op->num[5]);
	}
	bind_num(stmt, 8, op->is_small);
	bind_num(stmt, 9, op->chunks_len);
	sqlite3_bind_text(stmt, 10, op->published, -1, SQLITE_STATIC);
	rc = stmt_run(db, stmt);
	if (rc == 0 && sqlite3_changes(db->sqlite) == 0)
		return CU_ENOTFOUND;
	if (rc == 0)
		rc = clear_snapshot(db, op->num);
	if (rc == 0 && op->is_small)
		rc = run_put_small(db, op);
	for (uint32_t n = 0; rc == 0 && n < op->chunks_len; n++) {
		uint64_t nums[5] = { op->num[0], n, op->chunks[n].bytes, op->chunks[n].items, op->chunks[n].crc };

		rc = run_simple(db, STMT_PUT_CHUNK, nums, 5);
		if (rc == CU_EEXIST)
			rc = CU_EIO; /* they were just deleted */
	}
	return rc;
}

static int run_blob(struct cu_metadata_db *db, const struct cu_metadata_op *op)
{
	bool definition = op->kind == CU_METADATA_PUT_DEFINITION;
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, definition ? STMT_PUT_DEFINITION : STMT_SET, &stmt);

	if (rc < 0)
		return rc;
	if (definition)
		bind_num(stmt, 1, op->num[0]);
	else
		sqlite3_bind_text(stmt, 1, op->text, -1, SQLITE_STATIC);
	bind_blob(stmt, 2, op->blob, op->blob_len);
	return stmt_run(db, stmt);
}

static int run_get(struct cu_metadata_db *db, const struct cu_metadata_op *op)
{
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_GET, &stmt);
	int step;

	if (rc < 0)
		return rc;
	sqlite3_bind_text(stmt, 1, op->text, -1, SQLITE_STATIC);
	step = sqlite3_step(stmt);
	if (step == SQLITE_ROW)
		cu_buf_append(op->ret_value, sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
	else if (step == SQLITE_DONE)
		rc = CU_ENOTFOUND;
	else
		rc = cu_metadata_db_failed(db, "get");
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return rc;
}

/* The position, then the checksum of those eight bytes. */
struct log_start {
	uint64_t pos_le;
	uint32_t crc_le;
} __attribute__((packed));

static int run_set_log_start(struct cu_metadata_db *db, uint64_t pos)
{
	struct log_start value = { .pos_le = htole64(pos) };
	sqlite3_stmt *stmt;
	int rc = stmt_get(db, STMT_SET, &stmt);

	if (rc < 0)
		return rc;
	value.crc_le = htole32(cu_crc32c(0, &value.pos_le, sizeof value.pos_le));
	sqlite3_bind_text(stmt, 1, LOG_START_KEY, -1, SQLITE_STATIC);
	bind_blob(stmt, 2, &value, sizeof value);
	return stmt_run(db, stmt);
}

int cu_metadata_db_get_log_start(struct cu_metadata_db *db, uint64_t *ret_pos)
{
	struct cu_metadata_op op = { .text = (char[]){ LOG_START_KEY }, .ret_value = &(cu_buf)CU_BUF_INIT };
	struct log_start value = { 0 };
	int rc = run_get(db, &op);

	if (rc == 0 && op.ret_value->len == sizeof value)
		memcpy(&value, op.ret_value->data, sizeof value);
	if (rc == 0 && (op.ret_value->len != sizeof value ||
			cu_crc32c(0, &value.pos_le, sizeof value.pos_le) != le32toh(value.crc_le))) {
		cu_error("metadata: the change log's beginning is damaged");
		rc = CU_ECORRUPT;
	}
	*ret_pos = le64toh(value.pos_le);
	cu_buf_fini(op.ret_value);
	return rc == CU_ENOTFOUND ? 0 : rc;
}

int cu_metadata_db_run(struct cu_metadata_db *db, struct cu_metadata_op *op)
{
	int rc = 0;

	switch (op->kind) {
	case CU_METADATA_PUT_SHAPE: return run_put_shape(db, op);
	case CU_METADATA_SET_SNAPSHOT: return run_set_snapshot(db, op);
	case CU_METADATA_REMOVE_SHAPE:
		rc = clear_snapshot(db, op->num);
		if (rc == 0)
			rc = drop_log_chunks(db, STMT_DROP_LOG_BYTES, op->num[0], 0, 0, INT64_MAX, INT64_MAX);
		if (rc == 0)
			rc = run_simple(db, STMT_DROP_LOG_COUNT, op->num, 1);
		return rc < 0 ? rc : run_simple(db, STMT_REMOVE_SHAPE, op->num, 1);
	case CU_METADATA_PUT_LOG_CHUNK: return run_put_log_chunk(db, op);
	case CU_METADATA_PUT_DEFINITION:
	case CU_METADATA_SET: return run_blob(db, op);
	case CU_METADATA_REMOVE_DEFINITION: return run_simple(db, STMT_REMOVE_DEFINITION, op->num, 1);
	case CU_METADATA_PUT_CHECKPOINT: return run_simple(db, STMT_PUT_CHECKPOINT, op->num, 5);
	case CU_METADATA_GET: return run_get(db, op);
	case CU_METADATA_SET_LOG_START: return run_set_log_start(db, op->num[0]);
	case CU_METADATA_SYNC: return 0;
	}
	return CU_EINVAL;
}

int cu_metadata_db_begin(struct cu_metadata_db *db)
{
	return run_simple(db, STMT_BEGIN, NULL, 0);
}

int cu_metadata_db_commit(struct cu_metadata_db *db)
{
	return run_simple(db, STMT_COMMIT, NULL, 0);
}

void cu_metadata_db_rollback(struct cu_metadata_db *db)
{
	/* SQLite may have rolled back by itself already. */
	if (!sqlite3_get_autocommit(db->sqlite))
		exec(db, "ROLLBACK", "roll back");
}
