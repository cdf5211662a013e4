/* world.c: a random table in a real database, and the scope that the engine gets for it. */
#include "where.h"

#include "shape/definition.h"

static const uint32_t scalars[] = { CU_BOOLOID,   CU_INT2OID,      CU_INT4OID,        CU_INT8OID,     CU_FLOAT4OID,
				    CU_FLOAT8OID, CU_NUMERICOID,   CU_TEXTOID,        CU_VARCHAROID,  CU_BPCHAROID,
				    CU_NAMEOID,   CU_UUIDOID,      CU_BYTEAOID,       CU_DATEOID,     CU_TIMEOID,
				    CU_TIMETZOID, CU_TIMESTAMPOID, CU_TIMESTAMPTZOID, CU_INTERVALOID, CU_JSONOID,
				    CU_JSONBOID,  CU_CHAROID,      CU_OIDOID };

#define ENUMS 2
#define TYPES_OWN (2 * ENUMS + 2) /* and citext, each with its array */

const struct wtype *w_type(const struct world *world, uint32_t oid)
{
	for (unsigned i = 0; i < world->types_len; i++)
		if (world->types[i].oid == oid)
			return &world->types[i];
	return NULL;
}

static void add_type(struct world *world, struct wtype type)
{
	world->types[world->types_len++] = type;
}

static void add_builtins(struct world *world)
{
	world->types = cu_arena_alloc(&world->arena, (2 * CU_ARRAY_LEN(scalars) + TYPES_OWN) * sizeof(*world->types));
	for (size_t i = 0; i < CU_ARRAY_LEN(scalars); i++) {
		const struct cu_type *type = cu_type_builtin(scalars[i]);

		add_type(world, (struct wtype){ .oid = type->oid, .array = type->array->oid, .name = type->name });
		add_type(world,
			 (struct wtype){ .oid = type->array->oid, .elem = type->oid, .name = type->array->name });
	}
}

static PGresult *rows_of(struct world *world, const char *sql)
{
	PGresult *result = PQexec(world->conn, sql);

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		fprintf(stderr, "%s\n%s", sql, PQerrorMessage(world->conn));
		abort();
	}
	return result;
}

static uint32_t oid_at(const PGresult *rows, int row, int column)
{
	return (uint32_t)strtoul(PQgetvalue(rows, row, column), NULL, 10);
}

static const char *const label_pool[] = { "sad",  "ok",   "happy", "Ok",   "two words", "é", "10",  "9",
					  "it's", "true", "a",     "NULL", "b",         "z", "日本" };

/* Two enums, one with a name that must be quoted. */
static void add_enums(struct world *world, cu_buf *ddl)
{
	static const char *const names[ENUMS] = { "mood", "\"Odd \"\"Enum\"" };

	for (unsigned i = 0; i < ENUMS; i++) {
		struct cu_type *own = &world->own_types[2 * i];
		unsigned start = w_below(&world->rand, CU_ARRAY_LEN(label_pool));
		unsigned n = 2 + w_below(&world->rand, 6);
		const char **labels = cu_arena_alloc(&world->arena, n * sizeof *labels);
		char sql[256];
		PGresult *rows;
		uint32_t oid, array;
		size_t before = ddl->len;

		cu_buf_printf(ddl, "CREATE TYPE %s AS ENUM (", names[i]);
		for (unsigned k = 0; k < n; k++) {
			labels[k] = label_pool[(start + k * 7) % CU_ARRAY_LEN(label_pool)];
			if (k)
				cu_buf_puts(ddl, ", ");
			w_put_literal(ddl, labels[k], strlen(labels[k]));
		}
		cu_buf_puts(ddl, ");\n");
		w_run(world->conn, "DROP TABLE IF EXISTS items");
		snprintf(sql, sizeof sql, "DROP TYPE IF EXISTS %s CASCADE", names[i]);
		w_run(world->conn, sql);
		w_run(world->conn, cu_buf_str(ddl) + before);
		snprintf(sql, sizeof sql, "SELECT '%s'::regtype::oid, '%s[]'::regtype::oid", names[i], names[i]);
		rows = rows_of(world, sql);
		oid = oid_at(rows, 0, 0);
		array = oid_at(rows, 0, 1);
		PQclear(rows);
		own[0] = (struct cu_type){ .oid = oid,
					   .repr = CU_REPR_ENUM,
					   .category = 'E',
					   .name = names[i],
					   .array = &own[1],
					   .labels = labels,
					   .labels_len = n };
		own[1] = (struct cu_type){ .oid = array,
					   .repr = CU_REPR_ARRAY,
					   .category = 'A',
					   .name = w_printf(&world->arena, "%s[]", names[i]),
					   .elem = &own[0] };
		add_type(world, (struct wtype){ .oid = oid,
						.array = array,
						.name = names[i],
						.is_enum = true,
						.labels = labels,
						.labels_len = n });
		add_type(world, (struct wtype){ .oid = array, .elem = oid, .name = own[1].name });
	}
}

/* Columns have it: the engine does not know of it else. */
static void add_citext(struct world *world)
{
	struct cu_type *own = &world->own_types[2 * ENUMS];
	PGresult *rows = rows_of(world, "SELECT to_regtype('citext')::oid, to_regtype('citext[]')::oid");

	if (!PQgetisnull(rows, 0, 0)) {
		own[0] = (struct cu_type){ .oid = oid_at(rows, 0, 0),
					   .repr = CU_REPR_TEXT,
					   .category = 'S',
					   .citext = true,
					   .name = "citext",
					   .array = &own[1] };
		own[1] = (struct cu_type){ .oid = oid_at(rows, 0, 1),
					   .repr = CU_REPR_ARRAY,
					   .category = 'A',
					   .name = "citext[]",
					   .elem = &own[0] };
		add_type(world, (struct wtype){ .oid = own[0].oid, .array = own[1].oid, .name = "citext" });
		add_type(world, (struct wtype){ .oid = own[1].oid, .elem = own[0].oid, .name = "citext[]" });
	}
	PQclear(rows);
}

static const char *modifier(struct wrand *r, int pg_version, uint32_t oid)
{
	static const char *const lens[] = { "(1)", "(3)", "(10)", "(100)" };
	static const char *const scales[] = { "(6,2)", "(10)", "(38,10)", "(3,-2)", "(4,6)" };
	static const char *const digits[] = { "(0)", "(3)", "(6)" };

	if (w_chance(r, 500))
		return "";
	switch (oid) {
	case CU_VARCHAROID:
	case CU_BPCHAROID: return W_PICK(r, lens);
	/* The last two are such as since 15. */
	case CU_NUMERICOID: return scales[w_below(r, pg_version < 15 ? 3 : CU_ARRAY_LEN(scales))];
	case CU_TIMEOID:
	case CU_TIMESTAMPOID:
	case CU_INTERVALOID: return W_PICK(r, digits);
	}
	return "";
}

static bool is_text(const struct world *world, uint32_t oid)
{
	return oid == CU_TEXTOID || oid == CU_VARCHAROID || oid == CU_BPCHAROID ||
	       (oid && oid == world->own_types[2 * ENUMS].oid);
}

static const char *type_declared(struct world *world, uint32_t oid)
{
	struct wrand *r = &world->rand;
	const char *mod = modifier(r, PQserverVersion(world->conn) / 10000, oid);

	switch (oid) {
	case CU_TIMEOID: return w_printf(&world->arena, "time%s", mod);
	case CU_TIMESTAMPOID: return w_printf(&world->arena, "timestamp%s", mod);
	case CU_BPCHAROID: return w_printf(&world->arena, "%s%s", *mod ? "char" : "bpchar", mod);
	}
	return w_printf(&world->arena, "%s%s", w_type(world, oid)->name, mod);
}

static void column_declare(struct world *world, unsigned i, cu_buf *ddl, cu_buf *table)
{
	static const char *const odd_names[] = { "Weird Name", "select", "é", "a\"b", "UPPER", "user" };
	static const char *const collations[] = { "\"C\"",         "\"en-x-icu\"", "\"C.utf8\"",   "\"POSIX\"",
						  "\"und-x-icu\"", "nocase",       "numeric_order" };
	struct wrand *r = &world->rand;
	struct wcolumn *column = &world->columns[i];
	uint32_t scalar = W_PICK(r, scalars);
	bool array = w_chance(r, 220);
	const char *type;
	char *quoted;

	/* The engine knows an enum by its columns: each has one at least, plain more often than not. */
	if (i <= ENUMS || w_chance(r, 80))
		scalar = world->own_types[2 * (i % ENUMS)].oid;
	else if (world->own_types[2 * ENUMS].oid && (i == ENUMS + 1 || w_chance(r, 60)))
		scalar = world->own_types[2 * ENUMS].oid;
	type = type_declared(world, scalar);
	if (array)
		type = w_printf(&world->arena, "%s[]", type);
	column->name = w_chance(r, 80) ? cu_xstrdup(W_PICK(r, odd_names)) : NULL;
	for (unsigned k = 0; column->name && k < i; k++) {
		if (strcmp(world->columns[k].name, column->name) == 0) {
			free(column->name);
			column->name = NULL;
		}
	}
	if (!column->name) {
		const char *name = w_printf(&world->arena, "c%u", i);

		column->name = cu_xstrdup(name);
	}
	quoted = PQescapeIdentifier(world->conn, column->name, strlen(column->name));
	column->sql = cu_xstrdup(column->name[0] == 'c' ? column->name : quoted);
	PQfreemem(quoted);
	if (i > ENUMS && w_chance(r, 80)) {
		cu_buf_printf(ddl, "CREATE DOMAIN d%u AS %s;\n", i, type);
		type = w_printf(&world->arena, "d%u", i);
		if (w_chance(r, 300)) {
			cu_buf_printf(ddl, "CREATE DOMAIN dd%u AS %s CHECK (VALUE IS NOT NULL OR true);\n", i, type);
			type = w_printf(&world->arena, "dd%u", i);
		}
	}
	cu_buf_printf(table, ", %s %s", column->sql, type);
	if (is_text(world, scalar) && w_chance(r, 350))
		cu_buf_printf(table, " COLLATE %s", W_PICK(r, collations));
	column->declared = cu_xstrdup(type);
	column->type = array ? w_type(world, scalar)->array : scalar;
}

static void insert_rows(struct world *world)
{
	cu_buf sql = CU_BUF_INIT, value = CU_BUF_INIT;
	unsigned wanted = 3 + w_below(&world->rand, W_ROWS_MAX - 2);

	/* A value that does not fit its column is NULL; the server is asked column by column, in one go. */
	for (unsigned i = 0; i < wanted; i++) {
		cu_buf_clear(&sql);
		cu_buf_printf(&sql, "INSERT INTO items (id) VALUES (%u)", i + 1);
		w_run(world->conn, cu_buf_str(&sql));
		for (unsigned k = 1; k < world->columns_len; k++) {
			PGresult *result;

			if (w_chance(&world->rand, 130))
				continue;
			cu_buf_clear(&value);
			w_value(world, world->columns[k].type, &value);
			cu_buf_clear(&sql);
			cu_buf_printf(&sql, "UPDATE items SET %s = ", world->columns[k].sql);
			w_put_literal(&sql, cu_buf_str(&value), value.len);
			cu_buf_printf(&sql, " WHERE id = %u", i + 1);
			result = PQexec(world->conn, cu_buf_str(&sql));
			PQclear(result);
		}
	}
	world->rows_len = wanted;
	cu_buf_fini(&sql);
	cu_buf_fini(&value);
}

static void read_rows(struct world *world)
{
	PGresult *rows;

	/* The updates have moved the rows: into the order of id, for scans give no other. */
	w_run(world->conn, "CREATE TEMP TABLE swap AS SELECT * FROM items; TRUNCATE items;"
			   "INSERT INTO items SELECT * FROM swap ORDER BY id; DROP TABLE swap");
	rows = rows_of(world, "SELECT * FROM items");
	CU_ASSERT(PQntuples(rows) == (int)world->rows_len && PQnfields(rows) == (int)world->columns_len);
	for (unsigned i = 0; i < world->rows_len; i++) {
		for (unsigned k = 0; k < world->columns_len; k++) {
			struct cu_pg_value *value = &world->values[i][k];

			*value = (struct cu_pg_value){ .kind = CU_PG_NULL };
			if (PQgetisnull(rows, (int)i, (int)k))
				continue;
			world->cells[i][k] = cu_xstrdup(PQgetvalue(rows, (int)i, (int)k));
			*value = (struct cu_pg_value){ .kind = CU_PG_TEXT,
						       .data = world->cells[i][k],
						       .len = (uint32_t)strlen(world->cells[i][k]) };
		}
	}
	PQclear(rows);
}

const struct cu_type *w_engine_type(const struct world *world, uint32_t oid)
{
	for (unsigned i = 0; i < CU_ARRAY_LEN(world->own_types); i++)
		if (world->own_types[i].oid == oid)
			return &world->own_types[i];
	return cu_type_builtin(oid);
}

/* As the product makes it, from its own look at the catalog. */
static void make_scope(struct world *world)
{
	const struct cu_table_name name = { "public", "items" };
	const struct cu_definition_request request = { 0 };
	struct cu_pg_error err = { 0 };
	struct cu_table *table = NULL;
	cu_definition *def = NULL;
	cu_catalog *catalog = NULL;
	cu_buf message = CU_BUF_INIT;

	CU_ASSERT(cu_catalog_new(0, &catalog) == 0);
	CU_ASSERT(cu_catalog_lookup(catalog, world->conn, &name, &table, &err) == 0);
	CU_ASSERT(cu_definition_new(table, &request, &def, &message) == 0);
	CU_ASSERT(def->columns_len == world->columns_len);
	world->scope = cu_expr_scope_ref(def->scope);
	world->templates = cu_expr_templates_new(world->scope);
	cu_definition_unref(&def);
	cu_table_unref(&table);
	cu_catalog_free(&catalog);
	cu_buf_fini(&message);
}

void w_world_init(struct world *world, PGconn *conn, const struct wfunctions *functions, uint64_t seed)
{
	cu_buf ddl = CU_BUF_INIT, table = CU_BUF_INIT;

	memset(world, 0, sizeof *world);
	world->conn = conn;
	world->functions = functions;
	world->rand.state = seed;
	world->database = PQdb(conn);
	add_builtins(world);
	add_enums(world, &ddl);
	add_citext(world);
	cu_buf_puts(&table, "CREATE TABLE items (id integer");
	world->columns[0] = (struct wcolumn){ .name = cu_xstrdup("id"),
					      .sql = cu_xstrdup("id"),
					      .declared = cu_xstrdup("integer"),
					      .type = CU_INT4OID,
					      .typmod = -1 };
	world->columns_len = 8 + w_below(&world->rand, W_COLUMNS_MAX - 8);
	for (unsigned i = 1; i < world->columns_len; i++) {
		size_t before = ddl.len;

		w_run(conn, w_printf(&world->arena, "DROP DOMAIN IF EXISTS dd%u; DROP DOMAIN IF EXISTS d%u", i, i));
		column_declare(world, i, &ddl, &table);
		if (ddl.len > before)
			w_run(conn, cu_buf_str(&ddl) + before);
	}
	cu_buf_puts(&table, ") WITH (autovacuum_enabled = off)");
	w_run(conn, cu_buf_str(&table));
	cu_buf_append(&ddl, table.data, table.len);
	world->ddl = cu_buf_steal(&ddl, NULL);
	cu_buf_fini(&table);
	insert_rows(world);
	read_rows(world);
	make_scope(world);
}

static const char columns_sql[] =
	"WITH RECURSIVE base AS (SELECT attnum, atttypid AS oid, t.typbasetype, t.typtype FROM pg_attribute a"
	" JOIN pg_type t ON t.oid = atttypid WHERE attrelid = 'items'::regclass AND attnum > 0"
	" UNION ALL SELECT attnum, t.oid, t.typbasetype, t.typtype FROM base JOIN pg_type t ON t.oid = base.typbasetype"
	" WHERE base.typtype = 'd')"
	" SELECT a.attname, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), b.oid"
	" FROM base b JOIN pg_attribute a USING (attnum) WHERE a.attrelid = 'items'::regclass AND b.typtype <> 'd'"
	" ORDER BY attnum";

void w_world_fixed(struct world *world, PGconn *conn)
{
	PGresult *rows;

	memset(world, 0, sizeof *world);
	world->conn = conn;
	world->database = PQdb(conn);
	rows = rows_of(world, columns_sql);
	world->columns_len = (unsigned)PQntuples(rows);
	CU_ASSERT(world->columns_len <= W_COLUMNS_MAX);
	for (unsigned i = 0; i < world->columns_len; i++)
		world->columns[i] = (struct wcolumn){ .name = cu_xstrdup(PQgetvalue(rows, (int)i, 0)),
						      .sql = cu_xstrdup(PQgetvalue(rows, (int)i, 1)),
						      .declared = cu_xstrdup(PQgetvalue(rows, (int)i, 2)),
						      .type = oid_at(rows, (int)i, 3) };
	PQclear(rows);
	add_builtins(world);
	rows = rows_of(world, "SELECT count(*) FROM items");
	world->rows_len = oid_at(rows, 0, 0);
	PQclear(rows);
	read_rows(world);
	make_scope(world);
}

void w_world_fini(struct world *world)
{
	cu_expr_templates_free(&world->templates);
	cu_expr_scope_unref(&world->scope);
	for (unsigned i = 0; i < W_ROWS_MAX; i++)
		for (unsigned k = 0; k < W_COLUMNS_MAX; k++)
			free(world->cells[i][k]);
	for (unsigned i = 0; i < world->columns_len; i++) {
		free(world->columns[i].name);
		free(world->columns[i].sql);
		free(world->columns[i].declared);
	}
	free(world->ddl);
	cu_arena_fini(&world->arena);
}
