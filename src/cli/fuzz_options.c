/* fuzz_options.c: arbitrary argv and environment never make the option parser do anything but answer.
 * Input: words separated by newlines; those before an empty line are arguments, those after it variables. */
#include "cli/options.h"

#include <stdlib.h>

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = cu_xmalloc(len + 1), *at = text, *next;
	char *argv[WORDS_MAX + 1] = { (char *)"copper" }, *env[WORDS_MAX + 1];
	int argc = 1, env_len = 0, rc;
	bool in_env = false;
	struct cu_options options;
	cu_buf err = CU_BUF_INIT;

	if (len)
		memcpy(text, data, len);
	text[len] = '\0';
	for (; at; at = next) {
		next = strchr(at, '\n');
		if (next)
			*next++ = '\0';
		if (*at == '\0' && !in_env)
			in_env = true;
		else if (in_env && env_len < WORDS_MAX)
			env[env_len++] = at;
		else if (!in_env && argc < WORDS_MAX)
			argv[argc++] = at;
	}
	argv[argc] = NULL;
	env[env_len] = NULL;
	rc = cu_options_parse(argc, argv, env, &options, &err);
	CU_ASSERT(rc == CU_OPTIONS_RUN || rc == CU_OPTIONS_HELP || rc == CU_OPTIONS_VERSION || rc == CU_EINVAL);
	CU_ASSERT((rc == CU_EINVAL) == (err.len > 0));
	if (rc == CU_OPTIONS_RUN) {
		CU_ASSERT(options.database_url && options.storage_dir && options.host && options.threads > 0);
		CU_ASSERT(!options.secret == options.insecure);
	}
	cu_options_fini(&options);
	cu_buf_fini(&err);
	free(text);
	return 0;
}
