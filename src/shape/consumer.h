/* consumer.h: the actor that owns one shape: it decides what each change is to its shape.
 *
 * The collector puts one event per touched shape and fragment together and publishes it by handle; the consumer goes
 * through the event's touches and writes a decision to each. It drops transactions that the shape's snapshot already
 * holds. Encoding and appending is the collector's business, afterwards.
 *
 * Threads: a consumer runs on one thread at a time, the publishing one or a worker. An event is borrowed until publish
 * returns; consumers write to their own touches only.
 */
#ifndef CU_CONSUMER_H
#define CU_CONSUMER_H

#include "copper/consumer_registry.h"
#include "pg/pgoutput.h"
#include "shape/shape_set.h"

enum cu_decision {
	CU_DECIDE_NOTHING,
	CU_DECIDE_INSERT,
	CU_DECIDE_UPDATE,
	CU_DECIDE_DELETE,
	CU_DECIDE_KEY_CHANGE, /* delete at op, insert at op + 1 */
};

#define CU_TOUCH_NONE UINT32_MAX

/* One change as one shape sees it. */
struct cu_touch {
	uint64_t op;                       /* position of the change in its transaction */
	const struct cu_pg_value *old_row; /* in the definition's column order; NULL for an insert */
	const struct cu_pg_value *new_row; /* NULL for a delete */
	uint32_t event;                    /* index of its event */
	uint32_t next;                     /* next touch of the same event, or CU_TOUCH_NONE */
	uint32_t item;             /* ordinal of its first item in the fragment, once it has one, or CU_TOUCH_NONE */
	enum cu_decision decision; /* the consumer's */
};

struct cu_event {
	cu_shape *shape; /* a reference */
	uint32_t xid;
	uint64_t tx;              /* final LSN */
	uint32_t first, last;     /* its touches */
	struct cu_touch *touches; /* of the whole fragment; set when it is published */
	const cu_shape *ahead;    /* likewise: whose event is decided soon, to ask for its memory; NULL: nobody's */
};

/* Writes the decisions of one event. */
void cu_consumer_decide(const struct cu_event *event);

/* Everything consumers share. */
struct cu_consumers {
	cu_actor_system *system;
	cu_consumer_registry *registry;
	cu_shape_set *shapes;
};
/* start_consumer and remove_shapes of the registry; ctx is the struct cu_consumers. */
int cu_consumers_start(void *ctx, const char *handle, cu_actor_id *ret_id);
void cu_consumers_remove_shapes(void *ctx, const char *const *handles, size_t count);

#endif
