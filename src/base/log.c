/* log.c: one event, one line, one write. */
#include "base/log.h"

#include "base/buf.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum cu_log_level cu_log_level_max = CU_LOG_INFO;
static enum cu_log_format log_format = CU_LOG_TEXT;
static const char *const level_names[] = { "error", "warn", "info", "debug" };

int cu_log_set_level(const char *level)
{
	if (strcmp(level, "warning") == 0)
		level = "warn";
	for (size_t i = 0; i < CU_ARRAY_LEN(level_names); i++) {
		if (strcmp(level, level_names[i]) == 0) {
			cu_log_level_max = (enum cu_log_level)i;
			return 0;
		}
	}
	return CU_EINVAL;
}

int cu_log_set_format(const char *format)
{
	if (strcmp(format, "text") == 0)
		log_format = CU_LOG_TEXT;
	else if (strcmp(format, "json") == 0)
		log_format = CU_LOG_JSON;
	else
		return CU_EINVAL;
	return 0;
}

/* In text, a value is bare when it can't be misread, else quoted as in JSON. */
static bool bare_value(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 127)
			return false;
	}
	return len > 0;
}

/* A text that is cut is not cut within a character. */
static size_t shown_len(const char *s, size_t len)
{
	size_t cut = CU_LOG_VALUE_MAX;

	if (len <= cut)
		return len;
	while (cut > CU_LOG_VALUE_MAX - 3 && ((unsigned char)s[cut] & 0xc0) == 0x80)
		cut--;
	return cut;
}

static void put_value(cu_buf *line, const struct cu_kv *kv)
{
	const char *s = kv->str ? kv->str : "", *quote;
	size_t len, shown;

	switch (kv->kind) {
	case CU_KV_KIND_I64: cu_buf_printf(line, "%" PRId64, (int64_t)kv->num); return;
	case CU_KV_KIND_U64: cu_buf_printf(line, "%" PRIu64, kv->num); return;
	case CU_KV_KIND_LSN:
		cu_buf_printf(line, log_format == CU_LOG_JSON ? "\"%X/%X\"" : "%X/%X", (unsigned)(kv->num >> 32),
			      (unsigned)kv->num);
		return;
	case CU_KV_KIND_STRN: len = kv->num; break;
	default: len = strnlen(s, CU_LOG_VALUE_MAX + 1); break;
	}
	shown = shown_len(s, len);
	quote = log_format == CU_LOG_TEXT && bare_value(s, shown) ? "" : "\"";
	cu_buf_puts(line, quote);
	cu_buf_put_json_body(line, s, shown); /* of a bare value nothing is escaped */
	cu_buf_puts(line, shown < len ? "…" : "");
	cu_buf_puts(line, quote);
}

void cu_log_write(enum cu_log_level level, const char *msg, const struct cu_kv *kvs)
{
	cu_buf line = CU_BUF_INIT;
	struct timespec now;
	struct tm tm;
	char stamp[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	if (log_format == CU_LOG_JSON) {
		cu_buf_printf(&line, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"msg\":", stamp, now.tv_nsec / 1000000,
			      level_names[level]);
		cu_buf_put_json(&line, msg, strlen(msg));
	} else {
		cu_buf_printf(&line, "%s.%03ldZ %-5s %s", stamp, now.tv_nsec / 1000000, level_names[level], msg);
	}
	for (; kvs->kind != CU_KV_END; kvs++) {
		if (log_format == CU_LOG_JSON)
			cu_buf_printf(&line, ",\"%s\":", kvs->key);
		else
			cu_buf_printf(&line, " %s=", kvs->key);
		put_value(&line, kvs);
	}
	cu_buf_puts(&line, log_format == CU_LOG_JSON ? "}\n" : "\n");
	if (!cu_buf_failed(&line)) {
		ssize_t n = write(STDERR_FILENO, line.data, line.len);

		(void)n; /* nowhere left to complain */
	}
	cu_buf_fini(&line);
}

static bool is_url(const char *text)
{
	const char *scheme = strstr(text, "://");

	return scheme && scheme < text + strcspn(text, "= \t\n'");
}

static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* Behind the value at `at`, by libpq's rules: a URL's parameter ends at &, a conninfo's at its quote or a space. */
static const char *skip_value(const char *at, bool url)
{
	bool quoted = !url && *at == '\'';

	if (url)
		return at + strcspn(at, "&");
	for (at += quoted; *at && (quoted ? *at != '\'' : !strchr(" \t\r\n", *at)); at++)
		at += *at == '\\' && at[1];
	return at + (quoted && *at);
}

/* Copies the text with the value of every password= (and sslpassword=) masked. */
static void put_masked_parameters(cu_buf *out, const char *text, bool url)
{
	static const char word[] = "password";
	const char *key;

	while ((key = strstr(text, word))) {
		const char *value = key + sizeof word - 1;
		bool found;

		if (!url)
			value = skip_space(value);
		found = *value == '=';
		if (found)
			value = url ? value + 1 : skip_space(value + 1);
		cu_buf_append(out, text, (size_t)(value - text));
		text = value;
		if (found) {
			cu_buf_puts(out, "***");
			text = skip_value(value, url);
		}
	}
	cu_buf_puts(out, text);
}

/* In a URL, everything from the first colon behind the scheme to the last @ counts as the password, also where libpq
 * would see it otherwise: a text that it refuses is shown in an error, and hiding too much is the lesser harm. */
char *cu_log_redacted_url(const char *url)
{
	cu_buf masked = CU_BUF_INIT, out = CU_BUF_INIT;
	const char *text, *at, *colon = NULL;

	put_masked_parameters(&masked, url, is_url(url));
	text = cu_buf_str(&masked);
	at = strrchr(text, '@');
	if (at && is_url(text)) {
		const char *user = strstr(text, "://") + 3;

		colon = at > user ? memchr(user, ':', (size_t)(at - user)) : NULL;
	}
	if (colon) {
		cu_buf_append(&out, text, (size_t)(colon - text) + 1);
		cu_buf_puts(&out, "***");
		text = at;
	}
	cu_buf_puts(&out, text);
	cu_buf_fini(&masked);
	return cu_buf_steal(&out, NULL);
}
