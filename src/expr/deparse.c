/* The checked tree as SQL in which nothing is left to Postgres' choice: types, casts and operators are spelled out, so
 * that reading it again, here or there, gives the same tree. Everything a client wrote is quoted by us. */
#include "expr/template.h"

#include "base/limits.h"

#include <stdlib.h>

struct deparse {
	struct cu_check check; /* for its scope */
	cu_buf *out;
	struct cu_const_marks *marks; /* NULL: nobody asks */
	int rc;
};

static void put(struct deparse *d, const struct cu_node *node);

/* '…', or E'…' with doubled backslashes: read alike whatever standard_conforming_strings says. */
static void put_literal(cu_buf *out, const char *text, size_t len)
{
	bool escape = memchr(text, '\\', len) != NULL;

	cu_buf_puts(out, escape ? "E'" : "'");
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\'' || text[i] == '\\')
			cu_buf_putc(out, text[i]);
		cu_buf_putc(out, text[i]);
	}
	cu_buf_putc(out, '\'');
}

static void put_identifier(cu_buf *out, const char *name)
{
	cu_buf_putc(out, '"');
	for (; *name; name++) {
		if (*name == '"')
			cu_buf_putc(out, '"');
		cu_buf_putc(out, *name);
	}
	cu_buf_putc(out, '"');
}

/* A name after a dot needs quotes only where it is not all small letters. */
static void put_member(cu_buf *out, const char *name)
{
	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789")] == 0 && (*name < '0' || *name > '9'))
		cu_buf_puts(out, name);
	else
		put_identifier(out, name);
}

static void put_type(struct deparse *d, uint32_t oid, int32_t typmod)
{
	struct cu_tinfo info = cu_type_info(&d->check, oid);

	if (info.elem != 0 && typmod >= 0) {
		put_type(d, info.elem, typmod);
		cu_buf_puts(d->out, "[]");
		return;
	}
	if (info.base != 0) {
		put_type(d, info.base, typmod);
		return;
	}
	if (cu_catalog_type(oid) == NULL || oid == CU_CITEXTOID || oid == CU_CITEXTARRAYOID) {
		cu_buf_puts(d->out, info.type->name);
	} else if (oid == CU_INTERVALOID && typmod >= 0) {
		/* Under its qualified name its modifier would be a bare mask. */
		cu_buf_puts(d->out, "interval");
	} else {
		cu_buf_puts(d->out, "pg_catalog.");
		put_member(d->out, info.name);
	}
	cu_put_typmod(oid, typmod, d->out);
}

/* What was written from `at` on is the literal of a constant; nothing: it has none. */
static void mark_const(struct deparse *d, const struct cu_node *node, size_t at)
{
	struct cu_const_marks *marks = d->marks;

	if (marks == NULL)
		return;
	if (marks->len == marks->cap) {
		uint32_t cap = marks->cap ? marks->cap * 2 : 8;
		struct cu_const_mark *list = cu_try_realloc(marks->list, cap * sizeof *list);

		if (list == NULL) {
			marks->incomplete = true;
			return;
		}
		marks->list = list;
		marks->cap = cap;
	}
	marks->incomplete |= node->number == 0 || d->out->len == at;
	marks->list[marks->len++] =
		(struct cu_const_mark){ (uint32_t)at, (uint32_t)(d->out->len - at), node->number - 1 };
}

static void put_const(struct deparse *d, const struct cu_node *node)
{
	size_t at = d->out->len;
	struct cu_tinfo info = cu_type_info(&d->check, node->type);
	cu_buf text = CU_BUF_INIT;
	int rc;

	if (node->value.is_null) {
		mark_const(d, node, at);
		cu_buf_puts(d->out, "NULL");
	} else if (node->type == CU_BOOLOID) {
		mark_const(d, node, at);
		cu_buf_puts(d->out, node->value.boolean ? "TRUE" : "FALSE");
		return;
	} else if (node->type == CU_INT4OID && node->value.integer >= 0) {
		cu_buf_printf(d->out, "%d", (int)node->value.integer);
		mark_const(d, node, at);
		return;
	} else {
		rc = cu_value_out(info.type, &node->value, &text);
		if (rc < 0 || cu_buf_failed(&text))
			d->rc = CU_ENOMEM;
		else
			put_literal(d->out, text.data ? text.data : "", text.len);
		mark_const(d, node, at);
		cu_buf_fini(&text);
	}
	if (node->type != CU_UNKNOWNOID) {
		cu_buf_puts(d->out, "::");
		put_type(d, node->type, -1);
	}
}

/* citext's own functions and operators stand in citext's schema, the others in pg_catalog. */
static bool is_extension(const struct cu_node *node)
{
	const uint16_t *args = cu_catalog_args(node->proc);

	for (unsigned i = 0; i < node->proc->args_len; i++) {
		if (args[i] == CU_CITEXTOID || args[i] == CU_CITEXTARRAYOID)
			return true;
	}
	return node->proc->ret == CU_CITEXTOID;
}

/* The schema part of citext's name, with its dot; nothing where the name is found without. */
static void put_extension_schema(struct deparse *d)
{
	struct cu_tinfo citext = cu_type_info(&d->check, CU_CITEXTOID);
	const char *dot = NULL;
	bool quoted = false;

	for (const char *p = citext.type->name; *p; p++) {
		quoted ^= *p == '"';
		if (*p == '.' && !quoted)
			dot = p;
	}
	if (dot != NULL)
		cu_buf_append(d->out, citext.type->name, (size_t)(dot - citext.type->name) + 1);
}

static void put_op(struct deparse *d, const struct cu_node *node, const char *name)
{
	size_t before = d->out->len, at;

	cu_buf_puts(d->out, "OPERATOR(");
	at = d->out->len;
	if (is_extension(node))
		put_extension_schema(d);
	else
		cu_buf_puts(d->out, "pg_catalog.");
	if (d->out->len > at) {
		cu_buf_printf(d->out, "%s)", name);
		return;
	}
	/* Without a schema it is a bare operator: OPERATOR(=) is no syntax. */
	d->out->len = before;
	cu_buf_puts(d->out, name);
}

static void put_list(struct deparse *d, struct cu_node *const *args, unsigned len, const char *between)
{
	for (unsigned i = 0; i < len; i++) {
		if (i)
			cu_buf_puts(d->out, between);
		put(d, args[i]);
	}
}

static void put_cast(struct deparse *d, const struct cu_node *arg, uint32_t type, int32_t typmod)
{
	cu_buf_putc(d->out, '(');
	put(d, arg);
	cu_buf_puts(d->out, ")::");
	put_type(d, type, typmod);
}

static void put_call(struct deparse *d, const struct cu_node *node)
{
	if (node->form == CU_FORM_CAST) {
		put_cast(d, node->args[0], node->type, -1);
		return;
	}
	if (node->op != NULL) {
		cu_buf_putc(d->out, '(');
		if (node->args_len == 2) {
			put(d, node->args[0]);
			cu_buf_putc(d->out, ' ');
		}
		put_op(d, node, node->op);
		cu_buf_putc(d->out, ' ');
		put(d, node->args[node->args_len - 1]);
		cu_buf_putc(d->out, ')');
		return;
	}
	if (is_extension(node))
		put_extension_schema(d);
	else
		cu_buf_puts(d->out, "pg_catalog.");
	put_member(d->out, cu_catalog_string(node->proc->name));
	cu_buf_putc(d->out, '(');
	for (unsigned i = 0; i < node->args_len; i++) {
		cu_buf_puts(d->out, i ? ", " : "");
		if (node->sub && i + 1 == node->args_len)
			cu_buf_puts(d->out, "VARIADIC ");
		put(d, node->args[i]);
	}
	cu_buf_putc(d->out, ')');
}

static void put_infix(struct deparse *d, const struct cu_node *node, const char *between)
{
	cu_buf_putc(d->out, '(');
	put_list(d, node->args, node->args_len, between);
	cu_buf_putc(d->out, ')');
}

static void put_postfix(struct deparse *d, const struct cu_node *node, const char *text)
{
	cu_buf_putc(d->out, '(');
	put(d, node->args[0]);
	cu_buf_puts(d->out, text);
	cu_buf_putc(d->out, ')');
}

static void put_function(struct deparse *d, const struct cu_node *node, const char *name)
{
	cu_buf_puts(d->out, name);
	cu_buf_putc(d->out, '(');
	put_list(d, node->args, node->args_len, ", ");
	cu_buf_putc(d->out, ')');
}

static void put_case(struct deparse *d, const struct cu_node *node)
{
	unsigned i = node->sub;

	cu_buf_puts(d->out, "CASE");
	if (node->sub) {
		cu_buf_putc(d->out, ' ');
		put(d, node->args[0]);
	}
	for (; i + 1 < node->args_len; i += 2) {
		cu_buf_puts(d->out, " WHEN ");
		/* CASE arg: the test is arg = value, of which only the value is written. */
		put(d, node->sub ? node->args[i]->args[1] : node->args[i]);
		cu_buf_puts(d->out, " THEN ");
		put(d, node->args[i + 1]);
	}
	cu_buf_puts(d->out, " ELSE ");
	put(d, node->args[i]);
	cu_buf_puts(d->out, " END");
}

static void put_any(struct deparse *d, const struct cu_node *node)
{
	cu_buf_putc(d->out, '(');
	put(d, node->args[0]);
	cu_buf_putc(d->out, ' ');
	put_op(d, node, node->op);
	cu_buf_puts(d->out, node->sub ? " ALL (" : " ANY (");
	put(d, node->args[1]);
	cu_buf_puts(d->out, "))");
}

static void put_array(struct deparse *d, const struct cu_node *node)
{
	cu_buf_puts(d->out, "ARRAY[");
	put_list(d, node->args, node->args_len, ", ");
	cu_buf_puts(d->out, "]::");
	put_type(d, node->type, -1);
}

static void put_subscripts(struct deparse *d, const struct cu_node *node)
{
	bool slice = node->kind == CU_NODE_SLICE;

	cu_buf_putc(d->out, '(');
	put(d, node->args[0]);
	cu_buf_putc(d->out, ')');
	for (unsigned i = 1; i < node->args_len; i += slice ? 2 : 1) {
		cu_buf_putc(d->out, '[');
		if (node->args[i] != NULL)
			put(d, node->args[i]);
		if (slice)
			cu_buf_putc(d->out, ':');
		if (slice && node->args[i + 1] != NULL)
			put(d, node->args[i + 1]);
		cu_buf_putc(d->out, ']');
	}
}

static void put_rowcmp(struct deparse *d, const struct cu_node *node)
{
	for (unsigned side = 0; side < 2; side++) {
		cu_buf_puts(d->out, side ? "ROW(" : "(ROW(");
		for (unsigned i = 0; i < node->args_len; i += 2) {
			cu_buf_puts(d->out, i ? ", " : "");
			put(d, node->args[i]->args[side]);
		}
		cu_buf_puts(d->out, side ? "))" : ") ");
		if (side == 0) {
			bool extension = false;

			/* Only without a schema can one operator be citext's for one pair and Postgres' for another. */
			for (unsigned i = 0; i < node->args_len; i++)
				extension |= is_extension(node->args[i]);
			if (extension)
				cu_buf_puts(d->out, node->op);
			else
				put_op(d, node->args[node->args_len - 1], node->op);
			cu_buf_putc(d->out, ' ');
		}
	}
}

static void put_collate(struct deparse *d, const struct cu_node *node)
{
	const struct cu_collation_desc *desc = cu_collation_desc(node->collation);

	cu_buf_puts(d->out, "((");
	put(d, node->args[0]);
	cu_buf_puts(d->out, ") COLLATE ");
	switch (desc->oid) {
	case 100: cu_buf_puts(d->out, "pg_catalog.\"default\""); break;
	case 950: cu_buf_puts(d->out, "pg_catalog.\"C\""); break;
	case 951: cu_buf_puts(d->out, "pg_catalog.\"POSIX\""); break;
	default: cu_buf_puts(d->out, desc->name); break;
	}
	cu_buf_putc(d->out, ')');
}

static void put(struct deparse *d, const struct cu_node *node)
{
	static const char *const tests[] = {
		"", " IS TRUE", " IS NOT TRUE", " IS FALSE", " IS NOT FALSE", " IS UNKNOWN", " IS NOT UNKNOWN"
	};

	/* What is too long to be read again is not written to its end. */
	if (d->out->len > CU_WHERE_BYTES_MAX)
		d->rc = CU_ETOOBIG;
	if (d->rc < 0)
		return;
	/* The constants written here are not the program's: what the part comes to is. */
	if (node->known != NULL && d->marks != NULL)
		d->marks->incomplete = true;
	switch (node->kind) {
	case CU_NODE_COLUMN: put_identifier(d->out, d->check.scope->columns[node->column].name); break;
	case CU_NODE_CONST: put_const(d, node); break;
	case CU_NODE_CALL: put_call(d, node); break;
	case CU_NODE_RELABEL:
	case CU_NODE_IO: put_cast(d, node->args[0], node->type, -1); break;
	case CU_NODE_MAP: put_cast(d, node->args[0], node->type, node->typmod); break;
	case CU_NODE_TYPMOD: put_cast(d, node->args[0], node->type, node->typmod); break;
	case CU_NODE_COLLATE: put_collate(d, node); break;
	case CU_NODE_AND: put_infix(d, node, " AND "); break;
	case CU_NODE_OR: put_infix(d, node, " OR "); break;
	case CU_NODE_NOT:
		cu_buf_puts(d->out, "(NOT ");
		put(d, node->args[0]);
		cu_buf_putc(d->out, ')');
		break;
	case CU_NODE_NULLTEST: put_postfix(d, node, node->sub ? " IS NOT NULL" : " IS NULL"); break;
	case CU_NODE_BOOLTEST: put_postfix(d, node, tests[node->sub]); break;
	case CU_NODE_CASE: put_case(d, node); break;
	case CU_NODE_COALESCE: put_function(d, node, "COALESCE"); break;
	case CU_NODE_MINMAX: put_function(d, node, node->sub ? "LEAST" : "GREATEST"); break;
	case CU_NODE_DISTINCT: put_infix(d, node, node->sub ? " IS NOT DISTINCT FROM " : " IS DISTINCT FROM "); break;
	case CU_NODE_NULLIF: put_function(d, node, "NULLIF"); break;
	case CU_NODE_ANY: put_any(d, node); break;
	case CU_NODE_ARRAY: put_array(d, node); break;
	case CU_NODE_ELEMENT:
	case CU_NODE_SLICE: put_subscripts(d, node); break;
	case CU_NODE_ROWCMP: put_rowcmp(d, node); break;
	default: CU_ASSERT(!"a kind of node that has been taken apart");
	}
}

int cu_deparse(const struct cu_expr_scope *scope, const struct cu_node *node, cu_buf *out, struct cu_const_marks *marks)
{
	struct deparse d = { .check = { .scope = (struct cu_expr_scope *)scope }, .out = out, .marks = marks };

	put(&d, node);
	if (cu_buf_failed(out))
		return CU_ENOMEM;
	if (d.rc == 0 && out->len > CU_WHERE_BYTES_MAX)
		d.rc = CU_ETOOBIG;
	return d.rc;
}
