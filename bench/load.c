/* load.c: the load generator's options and the readers that its subcommands share. bench/README.md explains it. */
#include "bench/load.h"

#include "base/clock.h"

#include <ctype.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define FAILURES_MAX 1000000u /* retries are for a server that starts or sheds load, not for one that is gone */

struct cu_load_failures cu_load_failures;

static const char usage_text[] =
	"usage: load COMMAND URL TABLE [options]\n"
	"\n"
	"  fetch URL TABLE         each reader follows the shape from offset -1 until up-to-date\n"
	"  get URL PATH…           the same with plain paths, for a yardstick; @FILE holds one path a line\n"
	"  drain URL TABLE         follow live until --items or --marker was readable; the clock starts at a line on stdin\n"
	"  wait URL TABLE          readers wait live; a write is made; how long until each is answered\n"
	"  sse URL TABLE           readers follow by live_sse while --rounds writes are made, --rate a second\n"
	"  idle URL TABLE          readers wait live until stdin ends\n"
	"  bare                    a bare replication connection instead of a server, measured as `wait` does\n"
	"\n"
	"  --readers N             connections (1)\n"
	"  --requests M            fetch, get: start new walks until M requests were made\n"
	"  --each                  get: each path once, one after the other, by whichever reader is free\n"
	"  --save DIR              fetch: keep the bodies of the first walk as DIR/000000.body …\n"
	"  --query TEXT            further parameters of every shape request, encoded\n"
	"  --spread N              {} in --query is each reader's number, from 1, times N: readers of different shapes (1)\n"
	"  --handle H --offset O   drain: start there instead of walking from -1\n"
	"  --items N               drain: until N items were readable\n"
	"  --marker TEXT           drain: until TEXT was readable\n"
	"  --cont PID              drain: SIGCONT to PID when the clock starts\n"
	"  --db CONNINFO           wait, bare: where to write\n"
	"  --write SQL             wait, bare: the measured write (one transaction)\n"
	"  --shell COMMAND         wait: the write as a command instead\n"
	"  --rounds R --warmup W   wait, bare: writes that count (20) and writes before them (3)\n"
	"  --signal PID            sse: the write as SIGRTMIN to a process, which makes an item of each\n"
	"  --rate N                sse: writes per second (100)\n"
	"  --settle MS             wait, bare: pause between parking and the write (100)\n"
	"  --others TABLE:N        wait: N more readers on a table that is not written\n"
	"  --publication NAME      bare: what the connection replicates\n"
	"  --limit S               give up after S seconds without progress (60)\n";

void cu_reader_rewind(cu_reader *reader)
{
	reader->handle[0] = '\0';
	reader->cursor[0] = '\0';
	strcpy(reader->offset, "-1");
	reader->walk_ns = cu_now_ns();
}

static void put_encoded(cu_buf *buf, const char *text)
{
	for (; *text; text++) {
		if (isalnum((unsigned char)*text) || strchr("-_.~", *text))
			cu_buf_putc(buf, *text);
		else
			cu_buf_printf(buf, "%%%02X", (unsigned char)*text);
	}
}

static void put_query(cu_buf *buf, const struct cu_load_opts *opts, unsigned number)
{
	const char *braces = strstr(opts->query, "{}");

	if (braces)
		cu_buf_printf(buf, "&%.*s%u%s", (int)(braces - opts->query), opts->query, number * opts->spread,
			      braces + 2);
	else
		cu_buf_printf(buf, "&%s", opts->query);
}

void cu_reader_ask(cu_reader *reader, const struct cu_load_opts *opts, bool live)
{
	cu_buf target = CU_BUF_INIT;

	cu_buf_puts(&target, "/v1/shape?table=");
	put_encoded(&target, reader->table);
	if (opts->query)
		put_query(&target, opts, reader->index + 1);
	if (reader->handle[0])
		cu_buf_printf(&target, "&handle=%s", reader->handle);
	cu_buf_printf(&target, "&offset=%s", reader->offset);
	if (live) {
		cu_buf_puts(&target, reader->sse ? "&live=true&live_sse=true" : "&live=true");
		if (reader->cursor[0])
			cu_buf_printf(&target, "&cursor=%s", reader->cursor);
	}
	reader->live = live;
	cu_conn_get(reader->conn, cu_buf_str(&target));
	cu_buf_fini(&target);
}

bool cu_reader_take(cu_reader *reader, const cu_answer *answer)
{
	switch (answer->status) {
	case 200:
		if (answer->handle[0])
			strcpy(reader->handle, answer->handle);
		if (answer->offset[0])
			strcpy(reader->offset, answer->offset);
		if (answer->cursor[0])
			strcpy(reader->cursor, answer->cursor);
		return true;
	case 409:
		cu_load_failures.refetches++;
		cu_reader_rewind(reader);
		return true;
	case 429:
	case 503: cu_load_failures.unavailable++; break;
	case 0: cu_load_failures.broken++; break;
	default:
		fprintf(stderr, "load: answered %d (table %s, handle %s, offset %s)\n", answer->status, reader->table,
			reader->handle, reader->offset);
		exit(1);
	}
	if (cu_load_failures.broken + cu_load_failures.unavailable > FAILURES_MAX) {
		fprintf(stderr, "load: too many failures\n");
		exit(1);
	}
	cu_conn_again(reader->conn);
	return false;
}

void cu_load_print_samples(const char *name, cu_samples *samples)
{
	printf("%-28s median %.3f  p90 %.3f  p99 %.3f  max %.3f ms  (%zu)\n", name, cu_samples_at(samples, 0.5),
	       cu_samples_at(samples, 0.9), cu_samples_at(samples, 0.99), cu_samples_at(samples, 1), samples->len);
}

void cu_load_json_samples(const char *name, cu_samples *samples)
{
	printf(",\"%s\":{\"median\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f,\"count\":%zu}", name,
	       cu_samples_at(samples, 0.5), cu_samples_at(samples, 0.9), cu_samples_at(samples, 0.99),
	       cu_samples_at(samples, 1), samples->len);
}

/* Adds the lines of a file, or the argument itself, to the targets. */
static void target_add(struct cu_load_opts *opts, const char *arg)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	FILE *file;

	if (arg[0] != '@') {
		opts->targets = cu_xrealloc(opts->targets, (opts->targets_len + 1) * sizeof *opts->targets);
		opts->targets[opts->targets_len++] = cu_xstrdup(arg);
		return;
	}
	file = fopen(arg + 1, "r");
	if (!file) {
		fprintf(stderr, "load: %s: %s\n", arg + 1, strerror(errno));
		exit(2);
	}
	while ((len = getline(&line, &cap, file)) > 0) {
		if (line[len - 1] == '\n')
			line[--len] = '\0';
		if (len && line[0] != '@')
			target_add(opts, line);
	}
	free(line);
	fclose(file);
}

static uint64_t number(const char *text)
{
	char *end = NULL;
	uint64_t value = strtoull(text, &end, 10);

	if (end == text || *end) {
		fprintf(stderr, "load: not a number: %s\n", text);
		exit(2);
	}
	return value;
}

/* --others TABLE:N; the text is argv's, so it may be cut in place. */
static void others_parse(struct cu_load_opts *opts, char *text)
{
	char *colon = strrchr(text, ':');

	if (!colon) {
		fprintf(stderr, "load: --others wants TABLE:N\n");
		exit(2);
	}
	*colon = '\0';
	opts->others = text;
	opts->others_len = (unsigned)number(colon + 1);
}

static void options_parse(struct cu_load_opts *opts, int argc, char **argv)
{
	static const struct option table[] = {
		{ "readers", required_argument, NULL, 'n' },
		{ "requests", required_argument, NULL, 'm' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "warmup", required_argument, NULL, 'w' },
		{ "rate", required_argument, NULL, 'R' },
		{ "settle", required_argument, NULL, 's' },
		{ "limit", required_argument, NULL, 'l' },
		{ "query", required_argument, NULL, 'q' },
		{ "spread", required_argument, NULL, 'P' },
		{ "handle", required_argument, NULL, 'h' },
		{ "offset", required_argument, NULL, 'o' },
		{ "save", required_argument, NULL, 'S' },
		{ "others", required_argument, NULL, 'O' },
		{ "db", required_argument, NULL, 'd' },
		{ "write", required_argument, NULL, 'W' },
		{ "shell", required_argument, NULL, 'c' },
		{ "publication", required_argument, NULL, 'p' },
		{ "marker", required_argument, NULL, 'k' },
		{ "items", required_argument, NULL, 'i' },
		{ "cont", required_argument, NULL, 'C' },
		{ "signal", required_argument, NULL, 'g' },
		{ "each", no_argument, NULL, 'e' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case 'n': opts->readers = (unsigned)number(optarg); break;
		case 'm': opts->requests = number(optarg); break;
		case 'r': opts->rounds = (unsigned)number(optarg); break;
		case 'w': opts->warmup = (unsigned)number(optarg); break;
		case 'R': opts->rate = (unsigned)number(optarg); break;
		case 's': opts->settle_ms = (unsigned)number(optarg); break;
		case 'l': opts->limit_s = (unsigned)number(optarg); break;
		case 'q': opts->query = optarg; break;
		case 'P': opts->spread = (unsigned)number(optarg); break;
		case 'h': opts->handle = optarg; break;
		case 'o': opts->offset = optarg; break;
		case 'S': opts->save = optarg; break;
		case 'O': others_parse(opts, optarg); break;
		case 'd': opts->db = optarg; break;
		case 'W': opts->write = optarg; break;
		case 'c': opts->shell = optarg; break;
		case 'p': opts->publication = optarg; break;
		case 'k': opts->marker = optarg; break;
		case 'i': opts->items = number(optarg); break;
		case 'e': opts->each = true; break;
		case 'C': opts->cont_pid = (int)number(optarg); break;
		case 'g': opts->signal_pid = (int)number(optarg); break;
		default: fputs(usage_text, stderr); exit(2);
		}
	}
	if (opts->readers == 0 || opts->rounds == 0 || opts->rate == 0) {
		fprintf(stderr, "load: --readers, --rounds and --rate are at least 1\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct cu_load_opts opts = {
		.readers = 1, .rounds = 20, .warmup = 3, .rate = 100, .spread = 1, .settle_ms = 100, .limit_s = 60
	};
	struct rlimit files;
	const char *command;
	int rc = CU_EINVAL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	options_parse(&opts, argc, argv);
	argv += optind;
	argc -= optind;
	command = argc > 0 ? argv[0] : "";
	if (strcmp(command, "bare") == 0 && argc == 1) {
		rc = cu_load_bare(&opts);
	} else if (strcmp(command, "get") == 0 && argc >= 3) {
		opts.base = argv[1];
		for (int i = 2; i < argc; i++)
			target_add(&opts, argv[i]);
		if (opts.targets_len)
			rc = cu_load_fetch(&opts);
		for (unsigned i = 0; i < opts.targets_len; i++)
			free(opts.targets[i]);
		free(opts.targets);
	} else if (argc == 3) {
		opts.base = argv[1];
		opts.table = argv[2];
		if (strcmp(command, "fetch") == 0)
			rc = cu_load_fetch(&opts);
		else if (strcmp(command, "drain") == 0)
			rc = cu_load_drain(&opts);
		else if (strcmp(command, "wait") == 0)
			rc = cu_load_wait(&opts);
		else if (strcmp(command, "idle") == 0)
			rc = cu_load_idle(&opts);
		else if (strcmp(command, "sse") == 0)
			rc = cu_load_sse(&opts);
		else
			fputs(usage_text, stderr);
	} else {
		fputs(usage_text, stderr);
	}
	return rc == 0 ? 0 : rc == CU_EINVAL ? 2 : 1;
}
