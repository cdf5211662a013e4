/* subset.h: a subset snapshot: those of a shape's rows that a request's own clause meets, as they are now.
 *
 * One query in a transaction of its own; the answer's whole body, {"metadata":{…},"data":[…]}, goes to a spool. The
 * transaction misses nothing that the stream has passed already (snapshot.h), so whoever reads the shape's log on from
 * where it stood before, leaving out what metadata says is in the rows already, misses nothing and goes back to nothing.
 *
 * Threads: a worker of the pool's. Memory: a row, and the spool's.
 */
#ifndef CU_SHAPE_SUBSET_H
#define CU_SHAPE_SUBSET_H

#include "shape/snapshot.h"
#include "store/spool.h"

#define CU_SUBSET_ALL (-1)

/* What is asked for; all of it checked and written by us. */
struct cu_subset {
	char *where;    /* canonical SQL; NULL: every row of the shape */
	char *order_by; /* SQL; NULL: any order */
	int64_t limit;  /* CU_SUBSET_ALL: none */
	int64_t offset;
	unsigned timeout_ms; /* of the query; 0: CU_SUBSET_QUERY_MS */
};

void cu_subset_free(struct cu_subset **subset); /* NULL is fine */

/* shape_where: the shape's own clause, NULL: none. CU_EPG, CU_EAGAIN: err (CU_PG_CANCELED: also when it took too long, in our
 * words); else as the spool. The transaction may still be open, the connection in the middle of a COPY: the pool sees to it. */
int cu_subset_read(cu_snapshots *snapshots, PGconn *conn, const cu_definition *def, const char *shape_where,
		   const struct cu_subset *subset, cu_spool *out, struct cu_pg_error *err);
/* The query alone. */
void cu_subset_put_query(const cu_definition *def, const char *shape_where, const struct cu_subset *subset,
			 cu_buf *out);

#endif
