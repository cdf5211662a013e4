/* pgoutput.h: decodes the messages of Postgres' pgoutput plugin, protocol version 1.
 *
 * One call decodes one message: the payload of one XLogData, behind its header. Everything in the result is
 * borrowed: texts point into the message, columns and tuples into the decoder's scratch arrays, valid until the
 * next call on the same decoder or until the message's bytes go away.
 *
 * Threads: one at a time per decoder. Cost: one pass over the bytes; no allocation once the scratch arrays have
 * reached the widest table. Never copies a value.
 *
 * Errors: CU_ECORRUPT, with dec->reason saying why, for bytes that are not a whole message (bytes behind the
 * message are corrupt too); CU_EUNSUPPORTED for a kind that version 1 does not have; CU_ENOMEM.
 */
#ifndef CU_PGOUTPUT_H
#define CU_PGOUTPUT_H

#include "base/base.h"

enum cu_pg_value_kind {
	CU_PG_NULL = 'n',
	CU_PG_UNCHANGED = 'u', /* a TOASTed value that the update did not touch and the stream does not carry */
	CU_PG_TEXT = 't',
	CU_PG_BINARY = 'b', /* only when asked for with the option binary; we never do */
};

/* One column of one row. Also what a COPY row becomes (copy_row.h). */
struct cu_pg_value {
	uint8_t kind;     /* enum cu_pg_value_kind */
	uint32_t len;     /* 0 without data */
	const char *data; /* not terminated; NULL for null and unchanged */
};

static inline bool cu_pg_value_has_data(const struct cu_pg_value *value)
{
	return value->kind == CU_PG_TEXT || value->kind == CU_PG_BINARY;
}

/* Two unchanged values are equal; an unchanged one and anything else are not. */
static inline bool cu_pg_value_equal(const struct cu_pg_value *a, const struct cu_pg_value *b)
{
	if (a->kind != b->kind || a->len != b->len)
		return false;
	return a->data == b->data || a->len == 0 || memcmp(a->data, b->data, a->len) == 0;
}

enum cu_pgoutput_kind {
	CU_PGOUTPUT_BEGIN = 'B',
	CU_PGOUTPUT_MESSAGE = 'M',
	CU_PGOUTPUT_COMMIT = 'C',
	CU_PGOUTPUT_ORIGIN = 'O',
	CU_PGOUTPUT_RELATION = 'R',
	CU_PGOUTPUT_TYPE = 'Y',
	CU_PGOUTPUT_INSERT = 'I',
	CU_PGOUTPUT_UPDATE = 'U',
	CU_PGOUTPUT_DELETE = 'D',
	CU_PGOUTPUT_TRUNCATE = 'T',
};

/* What an Update or a Delete says about the row before it. */
enum cu_pgoutput_old {
	CU_PGOUTPUT_OLD_NONE = 0,   /* replica identity is not FULL and no key column changed */
	CU_PGOUTPUT_OLD_KEY = 'K',  /* the columns of the identity index; the others are null */
	CU_PGOUTPUT_OLD_FULL = 'O', /* the whole row: REPLICA IDENTITY FULL */
};

#define CU_PG_EPOCH_US INT64_C(946684800000000) /* Postgres times count from 2000-01-01: add for Unix time */

struct cu_pgoutput_column {
	bool is_key;      /* part of the replica identity; with FULL, every column */
	const char *name; /* terminated */
	uint32_t type_oid;
	int32_t typmod;
};

struct cu_pgoutput_relation {
	uint32_t oid;
	const char *namespace; /* terminated; "pg_catalog" where the wire has it empty */
	const char *name;      /* terminated */
	char replica_identity; /* as pg_class.relreplident: d, n, f, i */
	unsigned columns_n;
	const struct cu_pgoutput_column *columns;
};

struct cu_pgoutput_change { /* Insert, Update, Delete */
	uint32_t oid;
	uint8_t old_kind; /* enum cu_pgoutput_old */
	unsigned old_n;   /* 0 with CU_PGOUTPUT_OLD_NONE */
	unsigned new_n;   /* 0 for a Delete; equals old_n where both are there */
	/* With CU_PGOUTPUT_OLD_FULL, unchanged values of the new row have been filled in from the old row, so none is
	 * left as CU_PG_UNCHANGED. The arrays are the decoder's scratch: the caller may edit them. */
	struct cu_pg_value *old_row;
	struct cu_pg_value *new_row;
};

struct cu_pgoutput_msg {
	enum cu_pgoutput_kind kind;
	union {
		struct {
			uint64_t final_lsn;  /* the tx of every offset in this transaction */
			int64_t commit_time; /* microseconds since 2000-01-01 */
			uint32_t xid;
		} begin;
		struct {
			uint64_t commit_lsn; /* equals begin.final_lsn */
			uint64_t end_lsn;    /* what may be confirmed */
			int64_t commit_time;
		} commit;
		struct {
			uint64_t lsn;
			const char *name;
		} origin;
		struct cu_pgoutput_relation relation;
		struct {
			uint32_t oid;
			const char *namespace;
			const char *name;
		} type;
		struct cu_pgoutput_change change;
		struct {
			bool cascade;
			bool restart_identity;
			unsigned oids_n;
			const uint8_t *oids_wire; /* big-endian; read with cu_pgoutput_truncate_oid() */
		} truncate;
		struct {
			bool transactional;
			uint64_t lsn;
			const char *prefix; /* terminated */
			uint32_t len;
			const char *data;
		} message;
	} u;
};

/* Caller-owned. The fields are the decoder's business, but for reason. */
struct cu_pgoutput_decoder {
	const char *reason; /* static text for the last error; NULL after a success */
	struct cu_pg_value *old_row, *new_row;
	struct cu_pgoutput_column *columns;
	unsigned old_cap, new_cap, columns_cap; /* <= CU_COLUMNS_MAX */
};

void cu_pgoutput_decoder_init(struct cu_pgoutput_decoder *dec);
void cu_pgoutput_decoder_fini(struct cu_pgoutput_decoder *dec);

/* Writes *ret_msg only on success. */
int cu_pgoutput_decode(struct cu_pgoutput_decoder *dec, const uint8_t *data, size_t len,
		       struct cu_pgoutput_msg *ret_msg);

/* The i-th table of a Truncate, i < oids_n. */
uint32_t cu_pgoutput_truncate_oid(const struct cu_pgoutput_msg *msg, unsigned i);

#endif
