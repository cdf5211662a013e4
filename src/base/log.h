/* log.h: the structured log: one line per event, text or JSON, on standard error.
 *
 * Threads: any; a line is written with one write(2) and never interleaved. Cost when the level is off: one load
 * and a branch. A value of any size may be passed: it is shown up to CU_LOG_VALUE_MAX. Never pass a secret: connection
 * strings go through cu_log_redacted_url().
 *
 * A line says what happened, to whom (stack, handle, lsn) and what to do next:
 *   cu_info("replication started", CU_KV("slot", name), CU_KV_LSN("lsn", start));
 */
#ifndef CU_LOG_H
#define CU_LOG_H

#include "base/base.h"

enum cu_log_level { CU_LOG_ERROR, CU_LOG_WARN, CU_LOG_INFO, CU_LOG_DEBUG };
enum cu_log_format { CU_LOG_TEXT, CU_LOG_JSON };
enum cu_kv_kind { CU_KV_END, CU_KV_KIND_STR, CU_KV_KIND_STRN, CU_KV_KIND_I64, CU_KV_KIND_U64, CU_KV_KIND_LSN };

struct cu_kv {
	enum cu_kv_kind kind;
	const char *key;
	const char *str;
	uint64_t num; /* value, or the length for STRN */
};

#define CU_KV(k, s)                         \
	{                                   \
		CU_KV_KIND_STR, (k), (s), 0 \
	}
#define CU_KV_N(k, s, n)                       \
	{                                      \
		CU_KV_KIND_STRN, (k), (s), (n) \
	}
#define CU_KV_INT(k, v)                                           \
	{                                                         \
		CU_KV_KIND_I64, (k), NULL, (uint64_t)(int64_t)(v) \
	}
#define CU_KV_U64(k, v)                                  \
	{                                                \
		CU_KV_KIND_U64, (k), NULL, (uint64_t)(v) \
	}
#define CU_KV_LSN(k, v)                                  \
	{                                                \
		CU_KV_KIND_LSN, (k), NULL, (uint64_t)(v) \
	}

extern enum cu_log_level cu_log_level_max; /* set once at start-up */

/* Start-up only. level: "error", "warn"/"warning", "info", "debug"; CU_EINVAL when it is none of them. */
int cu_log_set_level(const char *level);
int cu_log_set_format(const char *format); /* "text" or "json" */
void cu_log_write(enum cu_log_level level, const char *msg, const struct cu_kv *kvs);
/* The URL or conninfo with its password replaced by "***". Returns owned. */
char *cu_log_redacted_url(const char *url);

#define CU_LOG_AT(level, msg, ...)                                                                                 \
	do {                                                                                                       \
		if ((level) <= cu_log_level_max)                                                                   \
			cu_log_write(                                                                              \
				(level), (msg),                                                                    \
				(const struct cu_kv[]){ __VA_ARGS__ __VA_OPT__(, ){ CU_KV_END, NULL, NULL, 0 } }); \
	} while (0)
#define cu_error(...) CU_LOG_AT(CU_LOG_ERROR, __VA_ARGS__)
#define cu_warn(...) CU_LOG_AT(CU_LOG_WARN, __VA_ARGS__)
#define cu_info(...) CU_LOG_AT(CU_LOG_INFO, __VA_ARGS__)
#define cu_debug(...) CU_LOG_AT(CU_LOG_DEBUG, __VA_ARGS__)

#endif
