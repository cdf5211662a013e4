/* database.c: how the source database is reached, from the options. */
#include "stack/database.h"

#include "base/log.h"

#include <stdio.h>
#include <sys/random.h>

static void default_number(cu_pg_config *config, const char *keyword, unsigned value)
{
	char text[16];

	snprintf(text, sizeof text, "%u", value);
	if (value)
		cu_pg_config_set_default(config, keyword, text);
}

int cu_database_configure(const struct cu_stack_opts *opts, const char *url, const char *name,
			  cu_pg_config **ret_config)
{
	struct cu_pg_error err;
	int rc = cu_pg_config_new(url, ret_config, &err);

	if (rc == 0 && opts->database_ca_file)
		rc = cu_pg_config_set_ca(*ret_config, opts->database_ca_file, &err);
	if (rc < 0) {
		cu_error("a database URL is not right", CU_KV("variable", name), CU_KV("error", err.message),
			 CU_KV("next", "it looks like postgresql://user:password@host:5432/database"));
		return rc;
	}
	/* The kernel knows seconds. */
	default_number(*ret_config, "keepalives_idle", (opts->keepalive_idle_ms + 999) / 1000);
	default_number(*ret_config, "keepalives_interval", (opts->keepalive_interval_ms + 999) / 1000);
	default_number(*ret_config, "keepalives_count", opts->keepalive_count);
	default_number(*ret_config, "tcp_user_timeout", opts->tcp_user_timeout_ms);
	return 0;
}

int cu_database_random_slot(struct cu_pg_names *names)
{
	uint64_t random[2];

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
		cu_error("no random number for the slot's name", CU_KV("error", strerror(errno)));
		return CU_EIO;
	}
	snprintf(names->slot, sizeof names->slot, "electric_slot_%016" PRIx64 "%016" PRIx64, random[0], random[1]);
	return 0;
}
