/* consumer.c: decisions, and the actor around them. */
#include "shape/consumer.h"

#include "base/log.h"

#include <stdlib.h>

static enum cu_decision decide(const cu_definition *def, const struct cu_touch *touch)
{
	if (!touch->old_row)
		return CU_DECIDE_INSERT;
	if (!touch->new_row)
		return CU_DECIDE_DELETE;
	if (cu_item_key_changed(def->layout, touch->old_row, touch->new_row))
		return CU_DECIDE_KEY_CHANGE;
	if (cu_item_row_changed(def->layout, touch->old_row, touch->new_row))
		return CU_DECIDE_UPDATE;
	return CU_DECIDE_NOTHING;
}

void cu_consumer_decide(const struct cu_event *event)
{
	bool held = cu_shape_holds(event->shape, event->xid, event->tx);

	for (uint32_t i = event->first; i != CU_TOUCH_NONE; i = event->touches[i].next) {
		struct cu_touch *touch = &event->touches[i];

		touch->decision = held ? CU_DECIDE_NOTHING : decide(event->shape->def, touch);
	}
}

/* ---- the actor ---- */

struct consumer {
	struct cu_consumers *all;
	cu_shape *shape;
};

static int on_start_consumer(struct cu_actor_ctx *ctx, void *state)
{
	(void)ctx;
	cu_debug("consumer started", CU_KV("handle", ((struct consumer *)state)->shape->handle));
	return 0;
}

static enum cu_verdict on_message(struct cu_actor_ctx *ctx, void *state, struct cu_message *msg)
{
	struct consumer *consumer = state;
	const struct cu_event *event = msg->payload;

	if (msg->type != CU_MSG_EVENT)
		return CU_VERDICT_CONTINUE;
	if (event->ahead)
		cu_shape_prefetch(event->ahead);
	if (event->shape != consumer->shape)
		return cu_actor_end(ctx, CU_EXIT_ERROR, CU_EINVAL, "an event for another shape");
	cu_consumer_decide(event);
	return CU_VERDICT_CONTINUE;
}

/* Only a consumer whose snapshot is complete may go: until then it is what the shape's creation leans on. Nothing is
 * ever pending here between two events: the collector owns what has been decided. */
static bool may_suspend(void *state)
{
	struct consumer *consumer = state;

	return cu_shape_status(consumer->shape).snapshot_complete &&
	       cu_stack_config_may_suspend(cu_consumer_registry_stack_id(consumer->all->registry));
}

static void on_exit_consumer(struct cu_actor_ctx *ctx, void *state, const struct cu_exit_reason *reason)
{
	struct consumer *consumer = state;

	if (reason->kind == CU_EXIT_SUSPEND)
		cu_consumer_registry_remove_if(consumer->all->registry, consumer->shape->handle, cu_actor_self(ctx));
	cu_debug("consumer ended", CU_KV("handle", consumer->shape->handle),
		 CU_KV("exit", cu_exit_kind_name(reason->kind)));
	cu_shape_unref(&consumer->shape);
	free(consumer);
}

static const struct cu_behaviour behaviour = {
	.name = "consumer",
	.on_start = on_start_consumer,
	.on_message = on_message,
	.may_suspend = may_suspend,
	.on_exit = on_exit_consumer,
};

static bool on_its_way_out(cu_shape *shape)
{
	enum cu_shape_state state = cu_shape_status(shape).state;

	return state == CU_SHAPE_REMOVING || state == CU_SHAPE_GONE;
}

int cu_consumers_start(void *ctx, const char *handle, cu_actor_id *ret_id)
{
	struct cu_consumers *all = ctx;
	cu_shape *shape = cu_shape_set_by_handle(all->shapes, handle);
	struct cu_actor_name name;
	struct consumer *consumer;
	int rc;

	if (!shape)
		return CU_ENOTFOUND;
	if (on_its_way_out(shape)) {
		cu_shape_unref(&shape);
		return CU_ENOTFOUND;
	}
	consumer = cu_xmalloc(sizeof *consumer);
	*consumer = (struct consumer){ all, cu_shape_ref(shape) };
	name = cu_consumer_name(cu_consumer_registry_stack_id(all->registry), handle);
	rc = cu_actor_start_named(all->system, &name, &behaviour, consumer, ret_id);
	if (rc != 0) {
		cu_shape_unref(&consumer->shape);
		free(consumer);
	} else if (on_its_way_out(shape)) {
		/* Removed meanwhile: whoever did it may have looked for the consumer before it had its name. */
		cu_consumer_registry_remove_if(all->registry, handle, *ret_id);
		cu_actor_kill(all->system, *ret_id, NULL);
		rc = CU_ENOTFOUND;
	}
	cu_shape_unref(&shape);
	return rc;
}

void cu_consumers_remove_shapes(void *ctx, const char *const *handles, size_t count)
{
	struct cu_consumers *all = ctx;

	for (size_t i = 0; i < count; i++) {
		cu_shape *shape = cu_shape_set_by_handle(all->shapes, handles[i]);

		if (shape)
			cu_shape_set_remove(all->shapes, shape, "its consumer suspended twice in a row", NULL);
		cu_shape_unref(&shape);
	}
}
