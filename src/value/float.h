/* float.h: the text forms of real and double precision, for whoever converts through them (numeric).
 *
 * Threads: any. Cost: about a microsecond each; printing what has more than 15 (6) significant digits, some more.
 */
#ifndef CU_VALUE_FLOAT_H
#define CU_VALUE_FLOAT_H

#include "value/value.h"

/* float8in, float4in. Text need not be terminated. CU_EINVAL with Postgres' error, CU_ENOMEM. */
int cu_float8_parse(const char *text, size_t len, double *ret_value, struct cu_value_error *err);
int cu_float4_parse(const char *text, size_t len, double *ret_value, struct cu_value_error *err);

/* The shortest digits that read back as the value: float8out, float4out with extra_float_digits 1. */
void cu_float8_print(double value, cu_buf *out);
void cu_float4_print(float value, cu_buf *out);

#endif
