/* main.c: the copper binary: options, log, one stack, signals. */
#include "base/limits.h"
#include "base/log.h"
#include "cli/options.h"
#include "inspect/inspect.h"
#include "stack/stack.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

extern char **environ;

/* As many connections as the system allows: the soft limit is often 1,024. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			cu_warn("the limit of open files could not be raised", CU_KV("error", strerror(errno)));
	}
}

/* The signal to end that is waiting to be taken, 0: there is none. */
static int signal_to_end(void)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	sigset_t pending;

	sigemptyset(&pending);
	sigpending(&pending);
	for (size_t i = 0; i < CU_ARRAY_LEN(numbers); i++) {
		if (sigismember(&pending, numbers[i]) == 1)
			return numbers[i];
	}
	return 0;
}

static bool is_ending(void)
{
	return signal_to_end() != 0;
}

static struct cu_stack_opts stack_opts(const struct cu_options *options)
{
	return (struct cu_stack_opts){
		.database_url = options->database_url,
		.pooled_database_url = options->pooled_database_url,
		.database_ca_file = options->database_ca_file,
		.keepalive_idle_ms = options->keepalive_idle_ms,
		.keepalive_interval_ms = options->keepalive_interval_ms,
		.keepalive_count = options->keepalive_count,
		.tcp_user_timeout_ms = options->tcp_user_timeout_ms,
		.storage_dir = options->storage_dir,
		.stream_id = options->replication_stream_id,
		.temporary_slot = options->temporary_slot,
		.random_slot_name = options->random_slot_name,
		.idle_ms = options->replication_idle_ms,
		.manual_publishing = options->manual_table_publishing,
		.publication_refresh_ms = options->publication_refresh_ms,
		.db_pool_size = options->db_pool_size,
		.host = options->host,
		.port = options->port,
		.http_loops = options->threads,
		.secret = options->secret,
		.compression = options->compression,
		.allow_shape_deletion = options->allow_shape_deletion,
		.max_requests_initial = options->max_requests_initial,
		.max_requests_existing = options->max_requests_existing,
		.long_poll_ms = options->long_poll_ms,
		.sse_timeout_ms = options->sse_timeout_ms,
		.cache_max_age_s = options->cache_max_age_s,
		.cache_stale_age_s = options->cache_stale_age_s,
		.send_timeout_ms = options->send_timeout_ms,
		.idle_timeout_ms = options->read_timeout_ms,
		.chunk_bytes = options->chunk_bytes,
		.change_log_bytes_max = options->change_log_bytes_max,
		.checkpoint_ms = options->checkpoint_ms,
		.max_shapes = options->max_shapes,
		.max_storage_bytes = options->max_storage_bytes,
		.shape_max_idle_ms = options->shape_max_idle_ms,
		.enable_suspend = options->enable_suspend,
		.hibernate_after_ms = options->hibernate_after_ms,
		.suspend_after_ms = options->suspend_after_ms,
		.is_ending = is_ending,
	};
}

/* Until a signal to end comes (its number), or the stack waits no more: 0, or negative when it cannot go on. */
static int wait_for_directory(cu_stack *stack, const sigset_t *signals)
{
	const struct timespec pause = { .tv_nsec = CU_STORAGE_LOCK_POLL_MS * 1000000L };
	int rc = CU_EBUSY, signal_number;

	while (rc == CU_EBUSY) {
		signal_number = sigtimedwait(signals, NULL, &pause);
		if (signal_number > 0 && signal_number != SIGPIPE)
			return signal_number;
		rc = cu_stack_take_over(stack);
	}
	signal_number = rc == CU_ECLOSED ? signal_to_end() : 0; /* … while it loaded */
	return signal_number ? signal_number : rc;
}

static int serve(const struct cu_options *options)
{
	struct cu_stack_opts opts = stack_opts(options);
	cu_stack *stack = NULL;
	sigset_t signals;
	int signal_number = 0, status = EXIT_SUCCESS, rc;

	/* Blocked before any thread starts, so that only sigwait() below sees them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	raise_file_limit();
	rc = cu_stack_start(&opts, &stack);
	if (rc == CU_ECLOSED)
		signal_number = signal_to_end();
	if (rc < 0 && !signal_number) {
		cu_error("copper cannot start; see above");
		return EXIT_FAILURE;
	}
	if (rc == 0)
		cu_info("copper is ready", CU_KV("version", COPPER_VERSION), CU_KV("address", opts.host),
			CU_KV_U64("port", cu_stack_port(stack)));
	if (rc == 0 && cu_stack_waits(stack))
		signal_number = wait_for_directory(stack, &signals);
	if (signal_number < 0) {
		cu_error("copper cannot take over; see above");
		status = EXIT_FAILURE;
	}
	while (signal_number >= 0 && signal_number != SIGTERM && signal_number != SIGINT && signal_number != SIGHUP)
		sigwait(&signals, &signal_number);
	if (signal_number > 0)
		cu_info("stopping", CU_KV("signal", sigdescr_np(signal_number)));
	cu_stack_stop(&stack);
	cu_info("stopped");
	return status;
}

/* copper check DIR, copper inspect [--json] DIR. */
static int look(int argc, char **argv)
{
	bool json = argc == 4 && strcmp(argv[1], "inspect") == 0 && strcmp(argv[2], "--json") == 0;

	if (argc != 3 && !json) {
		fputs("Usage: copper check DIR\n       copper inspect [--json] DIR\n", stderr);
		return CU_INSPECT_CANNOT;
	}
	cu_log_set_level("error");
	return strcmp(argv[1], "check") == 0 ? cu_inspect_check(argv[2], stdout)
					     : cu_inspect_print(argv[argc - 1], json, stdout);
}

int main(int argc, char **argv)
{
	struct cu_options options;
	cu_buf text = CU_BUF_INIT;
	int rc, status = EXIT_SUCCESS;

	if (argc > 1 && (strcmp(argv[1], "check") == 0 || strcmp(argv[1], "inspect") == 0))
		return look(argc, argv);
	rc = cu_options_parse(argc, argv, environ, &options, &text);
	switch (rc) {
	case CU_OPTIONS_HELP:
		cu_options_help(&text);
		fputs(cu_buf_str(&text), stdout);
		break;
	case CU_OPTIONS_VERSION: puts("copper " COPPER_VERSION); break;
	case CU_OPTIONS_RUN:
		cu_log_set_level(options.log_level);
		cu_log_set_format(options.log_format);
		for (size_t i = 0; i < options.warnings_len; i++)
			cu_warn(options.warnings[i]);
		status = serve(&options);
		break;
	default: fprintf(stderr, "copper: %s\nTry 'copper --help'.\n", cu_buf_str(&text)); status = 2;
	}
	cu_buf_fini(&text);
	cu_options_fini(&options);
	return status;
}
