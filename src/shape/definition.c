/* definition.c: from a table and a request, or from storage. */
#include "shape/definition.h"

#include "base/limits.h"
#include "shape/scope.h"
#include "shape/view.h"

#include <jansson.h>
#include <stdlib.h>
#include <xxhash.h>

static int cmp_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool requested(const struct cu_definition_request *request, const char *name)
{
	if (!request->columns)
		return true;
	for (size_t i = 0; i < request->columns_len; i++) {
		if (strcmp(request->columns[i], name) == 0)
			return true;
	}
	return false;
}

/* Collects names into "a, b, c" behind a prefix; the prefix is only written with the first. */
struct name_list {
	cu_buf *out;
	const char *prefix;
	bool any;
};

static void name_list_add(struct name_list *list, const char *name)
{
	cu_buf_puts(list->out, list->any ? ", " : list->prefix);
	cu_buf_puts(list->out, name);
	list->any = true;
}

/* Postgres 18 publishes stored generated columns; virtual ones are in no stream. */
static bool in_stream(const struct cu_column *column, const struct cu_definition_request *request)
{
	return !column->generated || (column->generated == 's' && request->generated_in_stream);
}

static int check_columns(const struct cu_table *table, const struct cu_definition_request *request, cu_buf *message)
{
	struct name_list list = { message,
				  "The list of columns must include all primary key columns, missing: ", false };

	for (unsigned i = 0; i < table->pk_len; i++) {
		const char *name = table->columns[table->pk[i]].name;

		if (!requested(request, name))
			name_list_add(&list, name);
	}
	if (list.any)
		return CU_EINVAL;
	list.prefix = "The following columns are not found on the table: ";
	for (size_t i = 0; i < request->columns_len; i++) {
		if (!cu_table_column(table, request->columns[i]))
			name_list_add(&list, request->columns[i]);
	}
	if (list.any)
		return CU_EINVAL;
	list.prefix = "The following columns are generated and cannot be included in the shape: ";
	for (unsigned i = 0; i < table->columns_len; i++) {
		if (!in_stream(&table->columns[i], request) && requested(request, table->columns[i].name))
			name_list_add(&list, table->columns[i].name);
	}
	if (list.any && !request->columns)
		cu_buf_puts(message,
			    ". You can exclude them from the shape by explicitly listing which columns to fetch in the "
			    "'columns' query param");
	return list.any ? CU_EINVAL : 0;
}

static void key_put_text(cu_buf *key, const char *text)
{
	if (text)
		cu_buf_put_json(key, text, strlen(text));
	else
		cu_buf_putc(key, '-');
}

static void key_put_collation(cu_buf *key, const struct cu_catalog_collation *collate)
{
	cu_buf_printf(key, " %" PRIu32, collate->oid);
	if (!collate->oid)
		return;
	cu_buf_printf(key, "%c%d", collate->provider, collate->deterministic);
	key_put_text(key, collate->locale);
	key_put_text(key, collate->version);
	key_put_text(key, collate->rules);
}

/* What both ways of making a definition share, once its plain fields are set: layout, scope and key. */
static int finish(cu_definition *def)
{
	struct cu_item_column_spec *columns = cu_xzalloc(def->columns_len * sizeof *columns);
	struct cu_item_layout_spec spec = {
		.schema = def->schema,
		.table = def->name,
		.columns = columns,
		.columns_n = def->columns_len,
	};
	cu_buf key = CU_BUF_INIT;
	int rc;

	cu_buf_printf(&key, "%" PRIu32 " ", def->oid);
	cu_buf_put_json(&key, def->schema, strlen(def->schema));
	cu_buf_put_json(&key, def->name, strlen(def->name));
	cu_buf_printf(&key, " %s %s%s", def->replica_full ? "full" : "default",
		      def->changes_only ? "changes_only" : "full", def->listed ? " listed" : "");
	for (unsigned i = 0; i < def->columns_len; i++) {
		const struct cu_definition_column *column = &def->columns[i];

		columns[i] = (struct cu_item_column_spec){
			.name = column->name,
			.selected = column->selected,
			.pk_index = column->pk_index,
		};
		cu_buf_printf(&key, " %s%d,%" PRIu32 ",%" PRId32 ",%d", column->selected ? "+" : "-", column->attnum,
			      column->type_oid, column->typmod, column->pk_index);
		cu_buf_put_json(&key, column->name, strlen(column->name));
		/* A new label, another collation: a where clause may mean something else. */
		for (size_t k = 0; k < column->labels_len; k++)
			cu_buf_put_json(&key, column->labels[k], strlen(column->labels[k]));
		key_put_collation(&key, &column->collate);
	}
	key_put_collation(&key, &def->database);
	cu_buf_printf(&key, " %d", def->pg_version);
	def->scope = cu_shape_scope_new(def);
	rc = cu_item_layout_new(&spec, &def->layout);
	free(columns);
	if (rc < 0)
		goto out;
	def->key_hash = XXH3_64bits(key.data, key.len);
	def->key = cu_buf_steal(&key, NULL);
	rc = def->key ? 0 : CU_ENOMEM;
out:
	cu_buf_fini(&key);
	return rc;
}

static char *copy(const char *text)
{
	return text ? cu_xstrdup(text) : NULL;
}

static void copy_collation(struct cu_catalog_collation *to, const struct cu_catalog_collation *from)
{
	*to = *from;
	to->name = copy(from->name);
	to->locale = copy(from->locale);
	to->version = copy(from->version);
	to->rules = copy(from->rules);
}

static void free_collation(struct cu_catalog_collation *collate)
{
	free((char *)(uintptr_t)collate->name);
	free((char *)(uintptr_t)collate->locale);
	free((char *)(uintptr_t)collate->version);
	free((char *)(uintptr_t)collate->rules);
}

static void copy_column(struct cu_definition_column *to, const struct cu_column *from, bool selected)
{
	*to = (struct cu_definition_column){
		.name = cu_xstrdup(from->name),
		.type_oid = from->type_oid,
		.typmod = from->typmod,
		.attnum = from->attnum,
		.pk_index = from->pk_index,
		.selected = selected,
		.is_array = from->is_array,
		.is_domain = from->base_type_oid != from->type_oid,
		.scalar_oid = from->scalar_type_oid,
		.scalar_type = copy(from->scalar_type),
		.scalar_name = copy(from->scalar_name),
		.formatted_type = copy(from->formatted_type),
		.labels_len = from->enum_labels_len,
		.labels = cu_xmalloc((from->enum_labels_len + 1) * sizeof(*to->labels)),
	};
	for (unsigned i = 0; i < from->enum_labels_len; i++)
		to->labels[i] = cu_xstrdup(from->enum_labels[i]);
	copy_collation(&to->collate, &from->collate);
}

static void free_column(struct cu_definition_column *column)
{
	free(column->name);
	free(column->scalar_type);
	free(column->scalar_name);
	free(column->formatted_type);
	for (size_t i = 0; i < column->labels_len; i++)
		free(column->labels[i]);
	free(column->labels);
	free_collation(&column->collate);
}

int cu_definition_new(const struct cu_table *table, const struct cu_definition_request *request,
		      cu_definition **ret_def, cu_buf *ret_message)
{
	cu_definition *def = NULL;
	cu_buf schema_json = CU_BUF_INIT;
	uint16_t *selected = NULL;
	unsigned selected_len = 0;
	int rc;

	rc = check_columns(table, request, ret_message);
	if (rc < 0)
		return rc;
	def = cu_xzalloc(sizeof *def);
	atomic_init(&def->refs, 1);
	def->schema = cu_xstrdup(table->schema);
	def->name = cu_xstrdup(table->name);
	def->oid = table->oid;
	def->partitioned = table->kind == 'p';
	def->replica_full = request->replica_full;
	def->changes_only = request->changes_only;
	def->listed = request->columns != NULL;
	def->columns = cu_xzalloc(table->columns_len * sizeof *def->columns);
	def->generated = cu_xzalloc((table->columns_len + 1) * sizeof(*def->generated));
	selected = cu_xmalloc((table->columns_len + 1) * sizeof *selected);
	for (unsigned i = 0; i < table->columns_len; i++) {
		const struct cu_column *column = &table->columns[i];
		bool wanted = requested(request, column->name);

		if (!in_stream(column, request)) {
			def->generated[def->generated_len++] = cu_xstrdup(column->name);
			continue;
		}
		if (wanted)
			selected[selected_len++] = (uint16_t)i;
		copy_column(&def->columns[def->columns_len++], column, wanted);
	}
	def->encoding = copy(table->encoding);
	def->pg_version = table->pg_version;
	copy_collation(&def->database, &table->database);
	cu_catalog_put_schema_json(&schema_json, table, selected, selected_len);
	def->schema_json = cu_buf_steal(&schema_json, &def->schema_json_len);
	rc = def->schema_json ? finish(def) : CU_ENOMEM;
	if (rc < 0)
		goto out;
	*ret_def = def;
	def = NULL;
out:
	free(selected);
	cu_definition_unref(&def);
	return rc;
}

cu_definition *cu_definition_ref(cu_definition *def)
{
	atomic_fetch_add_explicit(&def->refs, 1, memory_order_relaxed);
	return def;
}

void cu_definition_unref(cu_definition **ref)
{
	cu_definition *def = *ref;

	if (!def)
		return;
	*ref = NULL;
	if (atomic_fetch_sub_explicit(&def->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < def->columns_len; i++)
		free_column(&def->columns[i]);
	free(def->columns);
	for (size_t i = 0; i < def->generated_len; i++)
		free(def->generated[i]);
	free(def->generated);
	free_collation(&def->database);
	free(def->encoding);
	cu_expr_scope_unref(&def->scope);
	cu_item_layout_free(&def->layout);
	cu_shape_views_free(&def->views);
	free(def->schema);
	free(def->name);
	free(def->schema_json);
	free(def->key);
	free(def);
}

bool cu_definition_matches(const cu_definition *def, const char *schema, const char *name,
			   const struct cu_definition_request *request)
{
	size_t found = 0, distinct = 0;
	const char **sorted;

	if (strcmp(def->schema, schema) != 0 || strcmp(def->name, name) != 0)
		return false;
	if (def->replica_full != request->replica_full || def->changes_only != request->changes_only ||
	    def->listed != (request->columns != NULL))
		return false;
	for (unsigned i = 0; i < def->columns_len; i++) {
		if (requested(request, def->columns[i].name) != def->columns[i].selected)
			return false;
		found += def->columns[i].selected;
	}
	if (!request->columns)
		return true;
	/* Every selected column was asked for; was anything else? Repeats count once. */
	sorted = cu_xmemdup(request->columns, request->columns_len * sizeof *sorted);
	qsort(sorted, request->columns_len, sizeof *sorted, cmp_names);
	for (size_t i = 0; i < request->columns_len; i++)
		distinct += i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0;
	free(sorted);
	return distinct == found;
}

bool cu_definition_needs(const cu_definition *def, unsigned column, const char *where)
{
	const struct cu_definition_column *at = &def->columns[column];
	cu_buf name = CU_BUF_INIT;
	bool named;

	if (at->selected || at->pk_index >= 0 || !cu_item_layout_has_pk(def->layout))
		return true;
	if (!where)
		return false;
	/* Canonical SQL quotes each column's name. */
	cu_pg_put_ident(&name, at->name);
	named = cu_buf_failed(&name) || strstr(where, cu_buf_str(&name));
	cu_buf_fini(&name);
	return named;
}

bool cu_definition_ignores_new_columns(const cu_definition *def)
{
	return def->listed && cu_item_layout_has_pk(def->layout);
}

void cu_definition_put_query(const cu_definition *def, const char *where, cu_buf *out)
{
	bool keyless = !cu_item_layout_has_pk(def->layout);

	cu_buf_puts(out, "SELECT ");
	for (unsigned i = 0; i < def->columns_len; i++) {
		const struct cu_definition_column *column = &def->columns[i];

		if (i)
			cu_buf_puts(out, ", ");
		if (column->selected || column->pk_index >= 0 || keyless)
			cu_pg_put_ident(out, column->name);
		else
			cu_buf_puts(out, "NULL");
	}
	/* The stream brings a table's own rows, and a partitioned table's through its partitions; those of tables that merely
	 * inherit from it come under their own name. */
	cu_buf_puts(out, def->partitioned ? " FROM " : " FROM ONLY ");
	cu_pg_put_relation(out, def->schema, def->name);
	if (where) {
		cu_buf_puts(out, " WHERE ");
		cu_buf_puts(out, where);
	}
}

/* ---- storage ---- */

static json_t *collation_json(const struct cu_catalog_collation *collate)
{
	if (!collate->oid)
		return json_null();
	return json_pack("{s:I, s:s?, s:s%, s:b, s:s?, s:s?, s:s?}", "oid", (json_int_t)collate->oid, "name",
			 collate->name, "provider", &collate->provider, (size_t)1, "deterministic",
			 (int)collate->deterministic, "locale", collate->locale, "version", collate->version, "rules",
			 collate->rules);
}

static json_t *names_json(char *const *names, size_t len)
{
	json_t *json = json_array();

	for (size_t i = 0; i < len; i++)
		json_array_append_new(json, json_string(names[i]));
	return json;
}

int cu_definition_put_json(const cu_definition *def, cu_buf *out)
{
	json_t *columns = json_array();
	json_t *root;
	char *text;

	for (unsigned i = 0; i < def->columns_len; i++) {
		const struct cu_definition_column *column = &def->columns[i];

		json_array_append_new(
			columns,
			json_pack("{s:s, s:I, s:i, s:i, s:i, s:b, s:b, s:b, s:I, s:s?, s:s?, s:s?, s:o, s:o}", "name",
				  column->name, "type", (json_int_t)column->type_oid, "typmod", (int)column->typmod,
				  "attnum", (int)column->attnum, "pk", (int)column->pk_index, "selected",
				  (int)column->selected, "array", (int)column->is_array, "domain",
				  (int)column->is_domain, "scalar", (json_int_t)column->scalar_oid, "scalar_type",
				  column->scalar_type, "scalar_name", column->scalar_name, "format",
				  column->formatted_type, "labels", names_json(column->labels, column->labels_len),
				  "collation", collation_json(&column->collate)));
	}
	root = json_pack("{s:s, s:s, s:I, s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:s?, s:i, s:s%}", "schema", def->schema,
			 "table", def->name, "oid", (json_int_t)def->oid, "partitioned", (int)def->partitioned,
			 "replica_full", (int)def->replica_full, "changes_only", (int)def->changes_only, "listed",
			 (int)def->listed, "columns", columns, "generated",
			 names_json(def->generated, def->generated_len), "collation", collation_json(&def->database),
			 "encoding", def->encoding, "postgres", def->pg_version, "electric_schema", def->schema_json,
			 def->schema_json_len);
	if (!root)
		return CU_ENOMEM;
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (!text)
		return CU_ENOMEM;
	cu_buf_puts(out, text);
	free(text);
	return cu_buf_failed(out) ? CU_ENOMEM : 0;
}

static int parse_collation(const json_t *json, struct cu_catalog_collation *ret_collate)
{
	struct cu_catalog_collation collate = { 0 };
	json_t *name, *locale, *version, *rules;
	const char *provider;
	size_t provider_len;
	json_int_t oid;
	int deterministic;

	if (json_is_null(json))
		return 0;
	if (json_unpack((json_t *)(uintptr_t)json, "{s:I, s:o, s:s%, s:b, s:o, s:o, s:o}", "oid", &oid, "name", &name,
			"provider", &provider, &provider_len, "deterministic", &deterministic, "locale", &locale,
			"version", &version, "rules", &rules) != 0 ||
	    oid <= 0 || oid > UINT32_MAX || provider_len != 1)
		return CU_ECORRUPT;
	collate.oid = (uint32_t)oid;
	collate.name = json_string_value(name);
	collate.locale = json_string_value(locale);
	collate.version = json_string_value(version);
	collate.rules = json_string_value(rules);
	collate.provider = *provider;
	collate.deterministic = deterministic != 0;
	copy_collation(ret_collate, &collate);
	return 0;
}

static int parse_names(const json_t *json, char ***names, size_t *len)
{
	size_t size = json_array_size(json);

	if (!json_is_array(json))
		return CU_ECORRUPT;
	*names = cu_xzalloc((size + 1) * sizeof(**names));
	for (size_t i = 0; i < size; i++) {
		const char *name = json_string_value(json_array_get(json, i));

		if (!name)
			return CU_ECORRUPT;
		(*names)[(*len)++] = cu_xstrdup(name);
	}
	return 0;
}

static int parse_columns(cu_definition *def, json_t *columns)
{
	size_t len = json_array_size(columns);

	if (!json_is_array(columns) || len > CU_COLUMNS_MAX)
		return CU_ECORRUPT;
	def->columns = cu_xzalloc(len * sizeof *def->columns);
	for (size_t i = 0; i < len; i++) {
		struct cu_definition_column *column = &def->columns[i];
		const char *name;
		json_t *scalar_type, *scalar_name, *format;
		json_int_t type, scalar;
		json_t *labels, *collation;
		int typmod, attnum, pk, selected, array, domain, rc;

		if (json_unpack(json_array_get(columns, i),
				"{s:s, s:I, s:i, s:i, s:i, s:b, s:b, s:b, s:I, s:o, s:o, s:o, s:o, s:o}", "name", &name,
				"type", &type, "typmod", &typmod, "attnum", &attnum, "pk", &pk, "selected", &selected,
				"array", &array, "domain", &domain, "scalar", &scalar, "scalar_type", &scalar_type,
				"scalar_name", &scalar_name, "format", &format, "labels", &labels, "collation",
				&collation) != 0)
			return CU_ECORRUPT;
		if (type < 0 || type > UINT32_MAX || scalar < 0 || scalar > UINT32_MAX || pk < -1 || pk >= (int)len ||
		    attnum < 1 || attnum > INT16_MAX)
			return CU_ECORRUPT;
		def->columns_len++;
		*column = (struct cu_definition_column){
			.name = cu_xstrdup(name),
			.type_oid = (uint32_t)type,
			.typmod = typmod,
			.attnum = (int16_t)attnum,
			.pk_index = (int16_t)pk,
			.selected = selected != 0,
			.is_array = array != 0,
			.is_domain = domain != 0,
			.scalar_oid = (uint32_t)scalar,
			.scalar_type = copy(json_string_value(scalar_type)),
			.scalar_name = copy(json_string_value(scalar_name)),
			.formatted_type = copy(json_string_value(format)),
		};
		rc = parse_names(labels, &column->labels, &column->labels_len);
		if (rc == 0)
			rc = parse_collation(collation, &column->collate);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int cu_definition_parse(const void *json, size_t len, cu_definition **ret_def)
{
	json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	const char *schema, *name, *schema_json;
	json_t *columns, *collation, *encoding, *generated = NULL;
	json_int_t oid;
	int partitioned, replica_full, changes_only, listed = 0, pg_version, rc = CU_ECORRUPT;
	size_t schema_json_len;
	cu_definition *def = NULL;

	if (!root ||
	    json_unpack(root, "{s:s, s:s, s:I, s:b, s:b, s:b, s?b, s:o, s?o, s:o, s:o, s:i, s:s%}", "schema", &schema,
			"table", &name, "oid", &oid, "partitioned", &partitioned, "replica_full", &replica_full,
			"changes_only", &changes_only, "listed", &listed, "columns", &columns, "generated", &generated,
			"collation", &collation, "encoding", &encoding, "postgres", &pg_version, "electric_schema",
			&schema_json, &schema_json_len) != 0 ||
	    oid < 0 || oid > UINT32_MAX)
		goto out;
	def = cu_xzalloc(sizeof *def);
	atomic_init(&def->refs, 1);
	def->schema = cu_xstrdup(schema);
	def->name = cu_xstrdup(name);
	def->oid = (uint32_t)oid;
	def->partitioned = partitioned != 0;
	def->replica_full = replica_full != 0;
	def->changes_only = changes_only != 0;
	def->listed = listed != 0;
	def->schema_json = cu_xstrndup(schema_json, schema_json_len);
	def->schema_json_len = schema_json_len;
	def->encoding = copy(json_string_value(encoding));
	def->pg_version = pg_version;
	rc = parse_collation(collation, &def->database);
	if (rc == 0)
		rc = parse_columns(def, columns);
	if (rc == 0 && generated)
		rc = parse_names(generated, &def->generated, &def->generated_len);
	if (rc == 0)
		rc = finish(def);
	if (rc == CU_EINVAL)
		rc = CU_ECORRUPT; /* key positions that no table has */
	if (rc < 0)
		goto out;
	*ret_def = def;
	def = NULL;
out:
	json_decref(root);
	cu_definition_unref(&def);
	return rc;
}
