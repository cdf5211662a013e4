/* relations.c: what the stream said about its tables. */
#include "collector/relations.h"

#include <stdlib.h>

static void relation_free(struct cu_relation *relation)
{
	if (!relation)
		return;
	for (unsigned i = 0; i < relation->columns_len; i++)
		free(relation->columns[i].name);
	free(relation->columns);
	free(relation->route_oids);
	free(relation->schema);
	free(relation->name);
	free(relation);
}

void cu_relations_fini(cu_relations *relations)
{
	struct cu_relation *relation;

	for (size_t i = 0; (relation = cu_map_next(&relations->by_oid, &i));)
		relation_free(relation);
	cu_map_fini(&relations->by_oid);
}

struct cu_relation *cu_relations_get(const cu_relations *relations, uint32_t oid)
{
	return cu_map_get(&relations->by_oid, oid);
}

static bool same(const struct cu_relation *relation, const struct cu_pgoutput_relation *message)
{
	if (relation->columns_len != message->columns_n || relation->replica_identity != message->replica_identity ||
	    strcmp(relation->schema, message->namespace) != 0 || strcmp(relation->name, message->name) != 0)
		return false;
	for (unsigned i = 0; i < relation->columns_len; i++) {
		if (relation->columns[i].type_oid != message->columns[i].type_oid ||
		    relation->columns[i].typmod != message->columns[i].typmod ||
		    strcmp(relation->columns[i].name, message->columns[i].name) != 0)
			return false;
	}
	return true;
}

struct cu_relation *cu_relations_put(cu_relations *relations, const struct cu_pgoutput_relation *message,
				     const uint32_t *ancestors, unsigned ancestors_len, bool *ret_changed)
{
	struct cu_relation *before = cu_relations_get(relations, message->oid);
	struct cu_relation *relation = cu_xzalloc(sizeof *relation);

	*ret_changed = !before || !same(before, message);
	relation->oid = message->oid;
	relation->generation = *ret_changed ? ++relations->generation : before->generation;
	relation->replica_identity = message->replica_identity;
	relation->schema = cu_xstrdup(message->namespace);
	relation->name = cu_xstrdup(message->name);
	relation->columns_len = message->columns_n;
	relation->columns = cu_xzalloc(message->columns_n * sizeof *relation->columns);
	for (unsigned i = 0; i < message->columns_n; i++) {
		relation->columns[i] = (struct cu_relation_column){
			.name = cu_xstrdup(message->columns[i].name),
			.type_oid = message->columns[i].type_oid,
			.typmod = message->columns[i].typmod,
		};
	}
	relation->route_len = 1 + ancestors_len;
	relation->route_oids = cu_xmalloc(relation->route_len * sizeof *relation->route_oids);
	relation->route_oids[0] = message->oid;
	for (unsigned i = 0; i < ancestors_len; i++)
		relation->route_oids[1 + i] = ancestors[i];
	cu_map_put(&relations->by_oid, message->oid, relation);
	relation_free(before);
	return relation;
}
