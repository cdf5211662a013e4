/* pgoutput.c: a bounds-checked walk over one message.
 *
 * The reader is inlined here rather than taken from buf.h, because a tuple costs two to three reads per column and
 * this is the hottest loop of the server. It has the same contract: a read past the end sets `failed` and
 * gives zeros or NULL, so that a message is checked once, at its end, and never overread.
 *
 * Format: https://www.postgresql.org/docs/15/protocol-logicalrep-message-formats.html
 */
#include "pg/pgoutput.h"

#include "base/limits.h"

#include <stdlib.h>

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

static inline const uint8_t *take(struct reader *in, size_t len)
{
	const uint8_t *at = in->at;

	if ((size_t)(in->end - at) < len) {
		in->failed = true;
		in->at = in->end; /* so that every later read of one byte or more fails as well */
		return NULL;
	}
	in->at += len;
	return at;
}

static inline uint8_t take_u8(struct reader *in)
{
	const uint8_t *b = take(in, 1);

	return b ? *b : 0;
}

static inline uint16_t take_u16(struct reader *in)
{
	const uint8_t *b = take(in, 2);

	return b ? (uint16_t)(b[0] << 8 | b[1]) : 0;
}

static inline uint32_t load_u32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint32_t take_u32(struct reader *in)
{
	const uint8_t *b = take(in, 4);

	return b ? load_u32(b) : 0;
}

static inline uint64_t take_u64(struct reader *in)
{
	const uint8_t *b = take(in, 8);

	return b ? (uint64_t)load_u32(b) << 32 | load_u32(b + 4) : 0;
}

static const char *take_cstr(struct reader *in)
{
	size_t left = (size_t)(in->end - in->at);
	const uint8_t *nul = left ? memchr(in->at, 0, left) : NULL;

	if (!nul) {
		in->failed = true;
		in->at = in->end;
		return NULL;
	}
	return (const char *)take(in, (size_t)(nul - in->at) + 1);
}

static int corrupt(struct cu_pgoutput_decoder *dec, const char *reason)
{
	dec->reason = reason;
	return CU_ECORRUPT;
}

/* Room for n elements in one of the scratch arrays. Doubling, so that tables of mixed widths settle soon. */
static int scratch_grow(struct cu_pgoutput_decoder *dec, void **array, unsigned *cap, unsigned n, size_t size)
{
	unsigned want = CU_MIN(CU_MAX(CU_MAX(n, *cap * 2), 16u), CU_COLUMNS_MAX);
	void *grown = cu_try_realloc(*array, want * size);

	if (!grown) {
		dec->reason = "out of memory for a row";
		return CU_ENOMEM;
	}
	*array = grown;
	*cap = want;
	return 0;
}

static int take_tuple(struct cu_pgoutput_decoder *dec, struct reader *in, struct cu_pg_value **row, unsigned *cap,
		      unsigned *ret_n)
{
	unsigned n = take_u16(in);
	struct cu_pg_value *value;
	int rc;

	if (n > CU_COLUMNS_MAX)
		return corrupt(dec, "a tuple has more columns than a table can have");
	if (n > *cap) {
		void *array = *row;

		rc = scratch_grow(dec, &array, cap, n, sizeof **row);
		if (rc < 0)
			return rc;
		*row = array;
	}
	value = *row;
	for (unsigned i = 0; i < n; i++, value++) {
		value->kind = take_u8(in);
		switch (value->kind) {
		case CU_PG_TEXT:
		case CU_PG_BINARY:
			value->len = take_u32(in);
			value->data = (const char *)take(in, value->len);
			break;
		case CU_PG_NULL:
		case CU_PG_UNCHANGED:
			value->len = 0;
			value->data = NULL;
			break;
		default:
			return corrupt(dec, in->failed ? "a tuple is cut off" : "a tuple has a column of unknown kind");
		}
		if (in->failed)
			return corrupt(dec, "a tuple is cut off");
	}
	*ret_n = n;
	return 0;
}

/* With a full old row, what the update did not touch is there. */
static void unchanged_fill(struct cu_pgoutput_change *change)
{
	for (unsigned i = 0; i < change->new_n; i++) {
		if (change->new_row[i].kind == CU_PG_UNCHANGED)
			change->new_row[i] = change->old_row[i];
	}
}

static int change_decode(struct cu_pgoutput_decoder *dec, struct reader *in, uint8_t kind,
			 struct cu_pgoutput_change *change)
{
	uint8_t tuple;
	int rc;

	*change = (struct cu_pgoutput_change){ 0 };
	change->oid = take_u32(in);
	tuple = take_u8(in);
	if (kind != CU_PGOUTPUT_INSERT && (tuple == CU_PGOUTPUT_OLD_KEY || tuple == CU_PGOUTPUT_OLD_FULL)) {
		change->old_kind = tuple;
		rc = take_tuple(dec, in, &dec->old_row, &dec->old_cap, &change->old_n);
		if (rc < 0)
			return rc;
		change->old_row = dec->old_row;
		if (kind == CU_PGOUTPUT_DELETE)
			return 0;
		tuple = take_u8(in);
	} else if (kind == CU_PGOUTPUT_DELETE) {
		return corrupt(dec, in->failed ? "a Delete is cut off" : "a Delete has no old row");
	}
	if (tuple != 'N')
		return corrupt(dec, in->failed ? "a change is cut off" : "a change has a tuple of unknown kind");
	rc = take_tuple(dec, in, &dec->new_row, &dec->new_cap, &change->new_n);
	if (rc < 0)
		return rc;
	change->new_row = dec->new_row;
	if (change->old_kind != CU_PGOUTPUT_OLD_NONE && change->old_n != change->new_n)
		return corrupt(dec, "old and new row differ in their number of columns");
	if (change->old_kind == CU_PGOUTPUT_OLD_FULL)
		unchanged_fill(change);
	return 0;
}

static int relation_decode(struct cu_pgoutput_decoder *dec, struct reader *in, struct cu_pgoutput_relation *relation)
{
	int rc;

	relation->oid = take_u32(in);
	relation->namespace = take_cstr(in);
	if (relation->namespace && !relation->namespace[0])
		relation->namespace = "pg_catalog";
	relation->name = take_cstr(in);
	relation->replica_identity = (char)take_u8(in);
	relation->columns_n = take_u16(in);
	if (in->failed)
		return corrupt(dec, "a Relation is cut off");
	if (!strchr("dnfi", relation->replica_identity) || !relation->replica_identity)
		return corrupt(dec, "a Relation has an unknown replica identity");
	if (relation->columns_n > CU_COLUMNS_MAX)
		return corrupt(dec, "a Relation has more columns than a table can have");
	if (relation->columns_n > dec->columns_cap) {
		void *array = dec->columns;

		rc = scratch_grow(dec, &array, &dec->columns_cap, relation->columns_n, sizeof *dec->columns);
		if (rc < 0)
			return rc;
		dec->columns = array;
	}
	for (unsigned i = 0; i < relation->columns_n && !in->failed; i++) {
		struct cu_pgoutput_column *column = &dec->columns[i];

		column->is_key = take_u8(in) & 1;
		column->name = take_cstr(in);
		column->type_oid = take_u32(in);
		column->typmod = (int32_t)take_u32(in);
	}
	relation->columns = dec->columns;
	return 0;
}

static int truncate_decode(struct cu_pgoutput_decoder *dec, struct reader *in, struct cu_pgoutput_msg *msg)
{
	uint32_t n = take_u32(in);
	uint8_t options = take_u8(in);

	/* Compared by division: the count times four may not fit a 32-bit size_t. */
	if (in->failed || n > (size_t)(in->end - in->at) / 4)
		return corrupt(dec, "a Truncate is cut off");
	msg->u.truncate.cascade = options & 1;
	msg->u.truncate.restart_identity = options & 2;
	msg->u.truncate.oids_n = n;
	msg->u.truncate.oids_wire = take(in, (size_t)n * 4);
	return 0;
}

static int type_decode(struct reader *in, struct cu_pgoutput_msg *msg)
{
	msg->u.type.oid = take_u32(in);
	msg->u.type.namespace = take_cstr(in);
	if (msg->u.type.namespace && !msg->u.type.namespace[0])
		msg->u.type.namespace = "pg_catalog";
	msg->u.type.name = take_cstr(in);
	return 0;
}

static int body_decode(struct cu_pgoutput_decoder *dec, struct reader *in, uint8_t kind, struct cu_pgoutput_msg *msg)
{
	switch (kind) {
	case CU_PGOUTPUT_INSERT:
	case CU_PGOUTPUT_UPDATE:
	case CU_PGOUTPUT_DELETE: return change_decode(dec, in, kind, &msg->u.change);
	case CU_PGOUTPUT_BEGIN:
		msg->u.begin.final_lsn = take_u64(in);
		msg->u.begin.commit_time = (int64_t)take_u64(in);
		msg->u.begin.xid = take_u32(in);
		return 0;
	case CU_PGOUTPUT_COMMIT:
		take_u8(in); /* flags: none defined yet, to be ignored */
		msg->u.commit.commit_lsn = take_u64(in);
		msg->u.commit.end_lsn = take_u64(in);
		msg->u.commit.commit_time = (int64_t)take_u64(in);
		return 0;
	case CU_PGOUTPUT_RELATION: return relation_decode(dec, in, &msg->u.relation);
	case CU_PGOUTPUT_TYPE: return type_decode(in, msg);
	case CU_PGOUTPUT_TRUNCATE: return truncate_decode(dec, in, msg);
	case CU_PGOUTPUT_ORIGIN:
		msg->u.origin.lsn = take_u64(in);
		msg->u.origin.name = take_cstr(in);
		return 0;
	case CU_PGOUTPUT_MESSAGE:
		msg->u.message.transactional = take_u8(in) & 1;
		msg->u.message.lsn = take_u64(in);
		msg->u.message.prefix = take_cstr(in);
		msg->u.message.len = take_u32(in);
		msg->u.message.data = (const char *)take(in, msg->u.message.len);
		return 0;
	default: dec->reason = "a message of a kind that protocol version 1 does not have"; return CU_EUNSUPPORTED;
	}
}

int cu_pgoutput_decode(struct cu_pgoutput_decoder *dec, const uint8_t *data, size_t len,
		       struct cu_pgoutput_msg *ret_msg)
{
	struct reader in = { data, data + len, false };
	struct cu_pgoutput_msg msg;
	uint8_t kind;
	int rc;

	dec->reason = NULL;
	if (len == 0)
		return corrupt(dec, "an empty message");
	kind = take_u8(&in);
	msg.kind = (enum cu_pgoutput_kind)kind;
	rc = body_decode(dec, &in, kind, &msg);
	if (rc < 0)
		return rc;
	if (in.failed)
		return corrupt(dec, "a message is cut off");
	if (in.at != in.end)
		return corrupt(dec, "a message has bytes behind its end");
	*ret_msg = msg;
	return 0;
}

uint32_t cu_pgoutput_truncate_oid(const struct cu_pgoutput_msg *msg, unsigned i)
{
	CU_ASSERT(msg->kind == CU_PGOUTPUT_TRUNCATE && i < msg->u.truncate.oids_n);
	return load_u32(msg->u.truncate.oids_wire + (size_t)i * 4);
}

void cu_pgoutput_decoder_init(struct cu_pgoutput_decoder *dec)
{
	*dec = (struct cu_pgoutput_decoder){ 0 };
}

void cu_pgoutput_decoder_fini(struct cu_pgoutput_decoder *dec)
{
	free(dec->old_row);
	free(dec->new_row);
	free(dec->columns);
	cu_pgoutput_decoder_init(dec);
}
