/* fuzz_pgoutput.c: any bytes decode or are refused, and what is decoded lies inside the message. */
#include "pg/pgoutput.h"

#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void inside(const uint8_t *data, size_t len, const char *at, size_t n)
{
	CU_ASSERT((const uint8_t *)at >= data && (const uint8_t *)at + n <= data + len);
}

static void row_check(const uint8_t *data, size_t len, const struct cu_pg_value *row, unsigned n)
{
	CU_ASSERT(n <= CU_COLUMNS_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (cu_pg_value_has_data(&row[i]))
			inside(data, len, row[i].data, row[i].len);
		else
			CU_ASSERT(!row[i].data && row[i].len == 0);
	}
}

static void msg_check(const uint8_t *data, size_t len, const struct cu_pgoutput_msg *msg)
{
	switch (msg->kind) {
	case CU_PGOUTPUT_INSERT:
	case CU_PGOUTPUT_UPDATE:
	case CU_PGOUTPUT_DELETE:
		row_check(data, len, msg->u.change.old_row, msg->u.change.old_n);
		row_check(data, len, msg->u.change.new_row, msg->u.change.new_n);
		break;
	case CU_PGOUTPUT_RELATION:
		inside(data, len, msg->u.relation.name, strlen(msg->u.relation.name) + 1);
		for (unsigned i = 0; i < msg->u.relation.columns_n; i++) {
			const char *name = msg->u.relation.columns[i].name;

			inside(data, len, name, strlen(name) + 1);
		}
		break;
	case CU_PGOUTPUT_TRUNCATE:
		for (unsigned i = 0; i < msg->u.truncate.oids_n; i++)
			(void)cu_pgoutput_truncate_oid(msg, i);
		break;
	case CU_PGOUTPUT_MESSAGE:
		inside(data, len, msg->u.message.data, msg->u.message.len);
		inside(data, len, msg->u.message.prefix, strlen(msg->u.message.prefix) + 1);
		break;
	case CU_PGOUTPUT_ORIGIN: inside(data, len, msg->u.origin.name, strlen(msg->u.origin.name) + 1); break;
	case CU_PGOUTPUT_TYPE: inside(data, len, msg->u.type.name, strlen(msg->u.type.name) + 1); break;
	case CU_PGOUTPUT_BEGIN:
	case CU_PGOUTPUT_COMMIT: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cu_pgoutput_decoder dec;
	struct cu_pgoutput_msg msg;
	int rc;

	cu_pgoutput_decoder_init(&dec);
	rc = cu_pgoutput_decode(&dec, data, len, &msg);
	if (rc == 0)
		msg_check(data, len, &msg);
	else
		CU_ASSERT(dec.reason && (rc == CU_ECORRUPT || rc == CU_EUNSUPPORTED));
	cu_pgoutput_decoder_fini(&dec);
	return 0;
}
