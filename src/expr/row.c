/* One row: each column's text is read when a clause first asks for it, once, whatever the number of clauses. */
#include "expr/program.h"

#include <stdlib.h>

int cu_expr_row_init(struct cu_expr_row *row, cu_expr_scope *scope)
{
	*row = (struct cu_expr_row){ .scope = cu_expr_scope_ref(scope) };
	row->datums = cu_try_zalloc((scope->columns_len + 1) * sizeof *row->datums);
	row->decoded = cu_try_zalloc(scope->columns_len + 1);
	if (row->datums == NULL || row->decoded == NULL) {
		cu_expr_row_fini(row);
		return CU_ENOMEM;
	}
	return 0;
}

void cu_expr_row_set(struct cu_expr_row *row, const struct cu_pg_value *values)
{
	row->values = values;
	memset(row->decoded, 0, row->scope->columns_len);
	if (row->arena.total)
		cu_arena_reset(&row->arena);
}

void cu_expr_row_fini(struct cu_expr_row *row)
{
	cu_arena_fini(&row->arena);
	cu_arena_fini(&row->work);
	free(row->datums);
	free(row->decoded);
	cu_expr_scope_unref(&row->scope);
	*row = (struct cu_expr_row){ 0 };
}

/* The datum of the row that this one is like, where the text is the same; or NULL. */
static const struct cu_datum *known_datum(const struct cu_expr_row *row, unsigned column)
{
	const struct cu_pg_value *mine = &row->values[column], *other;

	if (row->like == NULL || row->like->decoded[column] != 1)
		return NULL;
	other = &row->like->values[column];
	return mine->kind == CU_PG_TEXT && other->kind == CU_PG_TEXT && mine->len == other->len &&
			       memcmp(mine->data, other->data, mine->len) == 0
		       ? &row->like->datums[column]
		       : NULL;
}

int cu_expr_row_column(struct cu_expr_row *row, unsigned column, const struct cu_datum **ret_datum,
		       struct cu_value_error *err)
{
	const struct cu_pg_value *value = &row->values[column];
	struct cu_datum *datum = &row->datums[column];
	const struct cu_datum *known;
	int rc;

	if (row->decoded[column] == 1) {
		*ret_datum = datum;
		return 0;
	}
	if (value->kind == CU_PG_UNCHANGED) {
		cu_value_fail(err, "55000", "the value of column \"%s\" is not in the stream",
			      row->scope->columns[column].name);
		return CU_EAGAIN;
	}
	known = known_datum(row, column);
	if (known != NULL) {
		*datum = *known;
	} else if (value->kind == CU_PG_NULL) {
		*datum = CU_DATUM_NULL;
	} else {
		/* A column that failed is tried again: whoever asks gets the reason. */
		*datum = (struct cu_datum){ 0 };
		rc = row->scope->column_types[column] == 0
			     ? cu_value_fail(err, "0A000", "column \"%s\" cannot be read",
					     row->scope->columns[column].name)
			     : cu_value_in(row->scope->columns[column].type, -1, value->data, value->len, &row->arena,
					   datum, err);
		if (rc < 0) {
			row->decoded[column] = 2;
			return rc;
		}
	}
	row->decoded[column] = 1;
	*ret_datum = datum;
	return 0;
}
