/* catalog_cache.c: descriptions by name and by oid. An entry stands in two chains; a table that is seen under a new
 * name, or a name that belongs to another table now, replaces the older entry. */
#include "pg/catalog_private.h"

#include "base/clock.h"
#include "base/limits.h"

#include <pthread.h>
#include <stdlib.h>

#define CATALOG_MAGIC 0xca7a1063u
#define BUCKETS 1024u

struct entry {
	struct entry *next_name, *next_oid;
	struct cu_table *table;
	uint64_t read_ms;
};

struct cu_catalog {
	unsigned magic;
	unsigned ttl_ms;

	/* under mtx */
	pthread_mutex_t mtx;
	struct entry *by_name[BUCKETS];
	struct entry *by_oid[BUCKETS];
	unsigned len;
	uint64_t generation; /* counts invalidations: a read that was under way during one is not kept */
};

int cu_catalog_new(unsigned ttl_ms, cu_catalog **ret_cat)
{
	cu_catalog *cat = cu_xzalloc(sizeof *cat);

	cat->magic = CATALOG_MAGIC;
	cat->ttl_ms = ttl_ms ? ttl_ms : CU_CATALOG_TTL_MS;
	pthread_mutex_init(&cat->mtx, NULL);
	*ret_cat = cat;
	return 0;
}

static unsigned name_bucket(const char *schema, const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *schema; schema++)
		hash = (hash ^ (uint8_t)*schema) * 16777619u;
	hash = (hash ^ '.') * 16777619u;
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash % BUCKETS;
}

static struct entry *find_name(cu_catalog *cat, const char *schema, const char *name)
{
	struct entry *entry = cat->by_name[name_bucket(schema, name)];

	while (entry && (strcmp(entry->table->name, name) != 0 || strcmp(entry->table->schema, schema) != 0))
		entry = entry->next_name;
	return entry;
}

static struct entry *find_oid(cu_catalog *cat, uint32_t oid)
{
	struct entry *entry = cat->by_oid[oid % BUCKETS];

	while (entry && entry->table->oid != oid)
		entry = entry->next_oid;
	return entry;
}

static void entry_remove(cu_catalog *cat, struct entry *entry)
{
	struct entry **at;

	if (!entry)
		return;
	at = &cat->by_name[name_bucket(entry->table->schema, entry->table->name)];
	while (*at != entry)
		at = &(*at)->next_name;
	*at = entry->next_name;
	at = &cat->by_oid[entry->table->oid % BUCKETS];
	while (*at != entry)
		at = &(*at)->next_oid;
	*at = entry->next_oid;
	cat->len--;
	cu_table_unref(&entry->table);
	free(entry);
}

static void clear(cu_catalog *cat)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		while (cat->by_oid[i])
			entry_remove(cat, cat->by_oid[i]);
}

void cu_catalog_free(cu_catalog **cat_at)
{
	cu_catalog *cat = *cat_at;

	if (!cat)
		return;
	CU_ASSERT(cat->magic == CATALOG_MAGIC);
	*cat_at = NULL;
	clear(cat);
	cat->magic = 0;
	pthread_mutex_destroy(&cat->mtx);
	free(cat);
}

static int hand_out(cu_catalog *cat, struct entry *entry, struct cu_table **ret_table)
{
	if (!entry || cu_now_ms() - entry->read_ms >= cat->ttl_ms)
		return CU_ENOTFOUND;
	cu_table_ref(entry->table);
	*ret_table = entry->table;
	return 0;
}

int cu_catalog_peek(cu_catalog *cat, const struct cu_table_name *name, struct cu_table **ret_table)
{
	int rc;

	pthread_mutex_lock(&cat->mtx);
	rc = hand_out(cat, find_name(cat, name->schema, name->name), ret_table);
	pthread_mutex_unlock(&cat->mtx);
	return rc;
}

int cu_catalog_peek_oid(cu_catalog *cat, uint32_t oid, struct cu_table **ret_table)
{
	int rc;

	pthread_mutex_lock(&cat->mtx);
	rc = hand_out(cat, find_oid(cat, oid), ret_table);
	pthread_mutex_unlock(&cat->mtx);
	return rc;
}

static void keep(cu_catalog *cat, struct cu_table *table, uint64_t read_ms, uint64_t generation)
{
	struct entry *entry;
	unsigned bucket;

	pthread_mutex_lock(&cat->mtx);
	if (generation != cat->generation)
		goto out;
	entry_remove(cat, find_oid(cat, table->oid));
	entry_remove(cat, find_name(cat, table->schema, table->name));
	if (cat->len >= CU_CATALOG_TABLES_MAX)
		clear(cat);
	entry = cu_xzalloc(sizeof *entry);
	entry->table = table;
	cu_table_ref(table);
	entry->read_ms = read_ms;
	bucket = name_bucket(table->schema, table->name);
	entry->next_name = cat->by_name[bucket];
	cat->by_name[bucket] = entry;
	entry->next_oid = cat->by_oid[table->oid % BUCKETS];
	cat->by_oid[table->oid % BUCKETS] = entry;
	cat->len++;
out:
	pthread_mutex_unlock(&cat->mtx);
}

static int read_and_keep(cu_catalog *cat, PGconn *conn, const struct cu_table_name *name, uint32_t oid,
			 struct cu_table **ret_table, struct cu_pg_error *err)
{
	uint64_t read_ms = cu_now_ms();
	uint64_t generation;
	int rc;

	pthread_mutex_lock(&cat->mtx);
	generation = cat->generation;
	pthread_mutex_unlock(&cat->mtx);
	rc = cu_catalog_read(conn, name, oid, ret_table, err);
	if (rc == 0)
		keep(cat, *ret_table, read_ms, generation);
	else if (rc == CU_ENOTFOUND && oid)
		cu_catalog_invalidate(cat, oid);
	return rc;
}

int cu_catalog_lookup(cu_catalog *cat, PGconn *conn, const struct cu_table_name *name, struct cu_table **ret_table,
		      struct cu_pg_error *err)
{
	CU_ASSERT(cat->magic == CATALOG_MAGIC);
	if (cu_catalog_peek(cat, name, ret_table) == 0)
		return 0;
	return read_and_keep(cat, conn, name, 0, ret_table, err);
}

int cu_catalog_lookup_oid(cu_catalog *cat, PGconn *conn, uint32_t oid, struct cu_table **ret_table,
			  struct cu_pg_error *err)
{
	CU_ASSERT(cat->magic == CATALOG_MAGIC);
	if (cu_catalog_peek_oid(cat, oid, ret_table) == 0)
		return 0;
	return read_and_keep(cat, conn, NULL, oid, ret_table, err);
}

int cu_catalog_refresh(cu_catalog *cat, PGconn *conn, uint32_t oid, struct cu_table **ret_table,
		       struct cu_pg_error *err)
{
	return read_and_keep(cat, conn, NULL, oid, ret_table, err);
}

void cu_catalog_invalidate(cu_catalog *cat, uint32_t oid)
{
	pthread_mutex_lock(&cat->mtx);
	cat->generation++;
	if (oid)
		entry_remove(cat, find_oid(cat, oid));
	else
		clear(cat);
	pthread_mutex_unlock(&cat->mtx);
}
