/* where_diff.c: the program.
 *
 *	where_diff [--seed N] [--cases N] [--seconds N] [--processes N] [--block N] [--clause SQL] [--generate-only] [--soft]
 *		[--verbose]
 *
 * Blocks of cases are dealt to processes, which share one private Postgres and nothing else; what they counted comes
 * back in shared memory. The exit code is 1 when anything differed. --block asks one block again, or the --clause in its
 * table; with --soft, messages and positions are reported like values.
 */
#include "where.h"

#include "base/clock.h"
#include "pg_cluster.h"

#include <getopt.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_CASES 1000
#define PROCESSES_MAX 16
#define REASONS_MAX 3000 /* half of them for hard findings */
#define PROCS_MAX 6000
#define REASON_LEN 120
#define SHOWN_MAX 25 /* shrunk findings of one process */

struct options {
	uint64_t seed, cases, seconds;
	long block;
	unsigned processes;
	bool generate_only, soft, verbose;
	const char *clause;
};

struct reason {
	char text[REASON_LEN];
	uint64_t count;
	enum wfinding finding;
	char example[400];
};

/* One process', in shared memory. */
struct tally {
	uint64_t cases, rows, accepted, refused, errors, trues, with_conditions, exact;
	uint64_t findings[W_FINDINGS];
	uint64_t nodes;
	struct reason reasons[REASONS_MAX];
	unsigned reasons_len;
	uint32_t calls[PROCS_MAX]; /* of each function or operator, in accepted clauses */
	unsigned shown;
	char shown_shapes[SHOWN_MAX][200];
	char current[4000]; /* what it is about to do, should it crash */
};

static struct options options = { .cases = 50000, .processes = 2, .block = -1 };
static struct tally *tallies;

/* Words that differ from case to case are taken out, so that reasons can be counted. */
static void reason_of(const char *text, char *out, size_t size)
{
	size_t n = 0;

	for (const char *p = text; *p && n + 2 < size; p++) {
		if (*p == '"' && strchr(p + 1, '"')) {
			p = strchr(p + 1, '"');
			out[n++] = '~';
		} else if (*p >= '0' && *p <= '9') {
			if (n == 0 || out[n - 1] != '#')
				out[n++] = '#';
		} else {
			out[n++] = *p;
		}
	}
	out[n] = 0;
}

static void count_reason(struct tally *tally, enum wfinding finding, const char *text, const char *example)
{
	char key[REASON_LEN];
	struct reason *reason = tally->reasons;

	reason_of(text, key, sizeof key);
	for (; reason < tally->reasons + tally->reasons_len; reason++) {
		if (reason->finding == finding && strcmp(reason->text, key) == 0) {
			reason->count++;
			if (strlen(example) < strlen(reason->example))
				snprintf(reason->example, sizeof reason->example, "%s", example);
			return;
		}
	}
	if (tally->reasons_len == REASONS_MAX || (!w_is_hard(finding) && tally->reasons_len > REASONS_MAX / 2))
		return;
	reason->finding = finding;
	reason->count = 1;
	snprintf(reason->text, sizeof reason->text, "%s", key);
	snprintf(reason->example, sizeof reason->example, "%s", example);
	tally->reasons_len++;
}

static void print_answer(const char *who, const struct wverdict *verdict, int row)
{
	if (verdict->refused)
		printf("  %s: refused, %s at %u: %s\n", who, verdict->sqlstate, verdict->position, verdict->message);
	else if (verdict->rows[row].kind == 'e')
		printf("  %s: error %s %s\n", who, verdict->rows[row].sqlstate, verdict->rows[row].message);
	else if (verdict->rows[row].kind)
		printf("  %s: %c\n", who, verdict->rows[row].kind);
}

static void print_case(struct world *world, struct wcase *c, enum wfinding finding, long block)
{
	printf("--- %s (block %ld, %s): %s\n", w_finding_names[finding], block, world->database,
	       c->detail ? c->detail : "");
	printf("  WHERE %s\n", cu_buf_str(&c->text.sql));
	for (unsigned i = 0; i < c->text.params_len; i++)
		printf("  $%u = %s\n", i + 1, c->text.params[i]);
	if (c->sql.len)
		printf("  our SQL: %s\n", cu_buf_str(&c->sql));
	print_answer("ours", &c->ours, (int)c->row);
	print_answer("Postgres", &c->theirs, (int)c->row);
	print_answer("Postgres on our SQL", &c->again, (int)c->row);
	for (unsigned k = 0; k < world->columns_len; k++) {
		const char *cell = world->cells[c->row][k];

		if (strstr(cu_buf_str(&c->text.sql), world->columns[k].sql))
			printf("  %s %s = %s\n", world->columns[k].sql, world->columns[k].declared,
			       cell ? cell : "NULL");
	}
	fflush(stdout);
}

/* The same fault in many clothes is shown once or twice: shapes are the shrunk text without its literals. */
static bool seen(struct tally *tally, struct wcase *c, enum wfinding finding)
{
	char shape[200];
	size_t n = (size_t)snprintf(shape, sizeof shape, "%d ", (int)finding);
	bool quoted = false;

	for (const char *p = cu_buf_str(&c->text.sql); *p && n + 1 < sizeof shape; p++) {
		if (*p == '\'')
			quoted = !quoted;
		else if (!quoted && (*p < '0' || *p > '9'))
			shape[n++] = *p;
	}
	shape[n] = 0;
	for (unsigned i = 0; i < tally->shown; i++)
		if (strcmp(tally->shown_shapes[i], shape) == 0)
			return true;
	snprintf(tally->shown_shapes[tally->shown], sizeof shape, "%s", shape);
	return false;
}

static void show(struct world *world, struct tally *tally, cu_arena *arena, struct wcase *found, enum wfinding finding,
		 long block)
{
	struct wrand rand = world->rand; /* shrinking draws nothing, but must not be able to matter */
	struct wcase small;

	if (tally->shown >= SHOWN_MAX)
		return;
	w_shrink(world, arena, found->node, finding, found->row, &small);
	if (!seen(tally, &small, finding)) {
		tally->shown++;
		print_case(world, &small, finding, block);
		if (options.verbose)
			printf("  from: %s\n%s\n", cu_buf_str(&found->text.sql), world->ddl);
	}
	w_case_fini(&small);
	world->rand = rand;
}

static void count_calls(struct tally *tally, const struct wnode *node)
{
	if (node->proc && node->proc < PROCS_MAX)
		tally->calls[node->proc]++;
	for (unsigned i = 0; i < node->kids_len; i++)
		count_calls(tally, node->kids[i]);
}

static void count(struct world *world, struct tally *tally, cu_arena *arena, struct wcase *c, long block)
{
	enum wfinding finding = c->finding ? c->finding : c->soft;
	const char *sql = cu_buf_str(&c->text.sql);

	tally->cases++;
	tally->nodes += w_node_count(c->node);
	tally->findings[finding]++;
	if (c->ours.refused) {
		tally->refused++;
	} else {
		tally->accepted++;
		tally->rows += c->ours.rows_len;
		tally->with_conditions += c->conditions > 0;
		tally->exact += c->exact;
		count_calls(tally, c->node);
		for (unsigned i = 0; i < c->ours.rows_len; i++) {
			tally->errors += c->ours.rows[i].kind == 'e';
			tally->trues += c->ours.rows[i].kind == 't';
		}
	}
	if (finding)
		count_reason(tally, finding, c->detail ? c->detail : "", sql);
	if (w_is_hard(finding) || (options.soft && finding > W_SKIPPED))
		show(world, tally, arena, c, finding, block);
}

static void generate_batch(struct world *world, struct tally *tally, cu_arena *arena, struct wcase *cases, unsigned len,
			   long block)
{
	for (unsigned i = 0; i < len; i++) {
		struct wcase *c = &cases[i];

		memset(c, 0, sizeof *c);
		c->node = w_generate(world, arena);
		w_render(world, c->node, &c->text);
		snprintf(tally->current, sizeof tally->current, "block %ld: %s", block, cu_buf_str(&c->text.sql));
		if (options.verbose)
			printf("%s\n", tally->current);
		if (!options.generate_only)
			w_ours(world, c, -1);
	}
}

/* What Postgres makes of the generator's output, when there is no engine to compare. */
static void judge_alone(struct world *world, struct tally *tally, struct wcase *cases, unsigned len)
{
	struct wquery queries[W_BATCH] = { 0 };
	PGresult *results[W_BATCH] = { 0 };
	cu_buf text[W_BATCH];

	for (unsigned i = 0; i < len; i++) {
		cu_buf_init(&text[i]);
		cu_buf_printf(&text[i], "SELECT (%s) FROM items", cu_buf_str(&cases[i].text.sql));
		queries[i] = (struct wquery){ cu_buf_str(&text[i]), cases[i].text.params, cases[i].text.params_len };
	}
	w_ask(world->conn, queries, len, results);
	for (unsigned i = 0; i < len; i++) {
		bool ok = PQresultStatus(results[i]) == PGRES_TUPLES_OK;

		tally->cases++;
		tally->nodes += w_node_count(cases[i].node);
		tally->accepted += ok;
		tally->refused += !ok;
		for (int k = 0; ok && k < PQntuples(results[i]); k++)
			tally->trues += *PQgetvalue(results[i], k, 0) == 't';
		if (!ok)
			count_reason(tally, W_REFUSED, PQresultErrorField(results[i], PG_DIAG_MESSAGE_PRIMARY),
				     cu_buf_str(&cases[i].text.sql));
		PQclear(results[i]);
		cu_buf_fini(&text[i]);
	}
}

/* One clause that was given, in the block's world. */
static void run_clause(struct world *world, cu_arena *arena, long block)
{
	struct wcase c;

	w_case_run(world, w_node(arena, W_LEAF, CU_BOOLOID, options.clause, 0), -1, &c);
	for (c.row = 0; c.row < world->rows_len; c.row++)
		print_case(world, &c, c.finding ? c.finding : c.soft, block);
	w_case_fini(&c);
}

static void run_block(PGconn *conn, const struct wfunctions *functions, struct tally *tally, long block)
{
	struct world *world = cu_xzalloc(sizeof *world);
	struct wcase *cases = cu_xzalloc(W_BATCH * sizeof *cases);
	cu_arena arena = CU_ARENA_INIT;

	w_world_init(world, conn, functions, options.seed * 1000003 + (uint64_t)block);
	if (options.clause)
		run_clause(world, &arena, block);
	for (unsigned done = 0; !options.clause && done < BLOCK_CASES; done += W_BATCH) {
		unsigned len = CU_MIN(W_BATCH, BLOCK_CASES - done);

		generate_batch(world, tally, &arena, cases, len, block);
		if (options.generate_only)
			judge_alone(world, tally, cases, len);
		else
			w_judge(world, cases, len, -1);
		for (unsigned i = 0; i < len; i++) {
			if (!options.generate_only)
				count(world, tally, &arena, &cases[i], block);
			w_case_fini(&cases[i]);
		}
		cu_arena_reset(&arena);
	}
	cu_arena_fini(&arena);
	w_world_fini(world);
	free(world);
	free(cases);
}

/* By their default collations, as far as the server has them. */
static const struct {
	const char *name;
	int since;
	const char *how;
} databases[] = {
	{ "bytes", 0, "LOCALE 'C'" },
	{ "libc", 0, "LOCALE 'C.UTF-8'" },
	{ "icu", 15, "LOCALE 'C.UTF-8' LOCALE_PROVIDER icu ICU_LOCALE 'en'" },
	{ "builtin", 17, "LOCALE 'C.UTF-8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'" },
};

static size_t databases_len(int pg_version)
{
	size_t len = 0;

	while (len < CU_ARRAY_LEN(databases) && databases[len].since <= pg_version)
		len++;
	return len;
}

static PGconn *connect_to(const char *dir, int port, const char *database)
{
	char info[256];
	PGconn *conn;

	snprintf(info, sizeof info, "host=%s port=%d user=postgres dbname=%s", dir, port, database);
	conn = PQconnectdb(info);
	if (PQstatus(conn) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(conn));
		abort();
	}
	w_session(conn);
	return conn;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Each process has databases of its own: tables and types are made under the same names. */
static int worker(const char *dir, int port, size_t len, unsigned process, double end)
{
	PGconn *conns[CU_ARRAY_LEN(databases)];
	struct wfunctions functions[CU_ARRAY_LEN(databases)]; /* the oids of citext differ */
	size_t database;
	long blocks = (long)((options.cases + BLOCK_CASES - 1) / BLOCK_CASES);

	for (size_t i = 0; i < len; i++) {
		char name[64];

		snprintf(name, sizeof name, "%s%u", databases[i].name, process);
		conns[i] = connect_to(dir, port, name);
		w_run(conns[i], "CREATE EXTENSION citext");
		w_run(conns[i], W_COLLATIONS);
		w_functions_load(conns[i], &functions[i]);
	}
	for (long block = process; options.seconds || block < blocks; block += options.processes) {
		if (options.seconds && now() > end)
			break;
		if (options.block >= 0 && block != options.block) {
			if (block > options.block)
				break;
			continue;
		}
		database = (size_t)block % len;
		run_block(conns[database], &functions[database], &tallies[process], block);
	}
	for (size_t i = 0; i < len; i++) {
		w_functions_free(&functions[i]);
		PQfinish(conns[i]);
	}
	return 0;
}

static void make_databases(struct pg_cluster *cluster, size_t len)
{
	for (unsigned i = 0; i < options.processes; i++) {
		for (size_t k = 0; k < len; k++)
			pg_cluster_sql(cluster, "CREATE DATABASE %s%u TEMPLATE template0 ENCODING 'UTF8' %s",
				       databases[k].name, i, databases[k].how);
	}
}

static void merge(struct tally *total, const struct tally *one)
{
	total->cases += one->cases;
	total->rows += one->rows;
	total->accepted += one->accepted;
	total->refused += one->refused;
	total->errors += one->errors;
	total->trues += one->trues;
	total->with_conditions += one->with_conditions;
	total->exact += one->exact;
	total->nodes += one->nodes;
	for (unsigned i = 0; i < W_FINDINGS; i++)
		total->findings[i] += one->findings[i];
	for (unsigned i = 0; i < PROCS_MAX; i++)
		total->calls[i] += one->calls[i];
	for (unsigned i = 0; i < one->reasons_len; i++) {
		unsigned k = 0;

		while (k < total->reasons_len && (total->reasons[k].finding != one->reasons[i].finding ||
						  strcmp(total->reasons[k].text, one->reasons[i].text) != 0))
			k++;
		if (k < total->reasons_len)
			total->reasons[k].count += one->reasons[i].count;
		else if (k < REASONS_MAX)
			total->reasons[total->reasons_len++] = one->reasons[i];
	}
}

static int by_count(const void *a, const void *b)
{
	const struct reason *x = a, *y = b;

	if (x->finding != y->finding)
		return x->finding < y->finding ? -1 : 1;
	return x->count > y->count ? -1 : x->count < y->count;
}

/* How much of what the engine offers was called in accepted clauses. */
static void report_calls(const struct tally *total, const struct wfunctions *functions)
{
	unsigned offered = 0, called = 0;

	for (unsigned i = 0; i < functions->procs_len && i + 1 < PROCS_MAX; i++) {
		const struct wproc *proc = &functions->procs[i];

		if (!proc->offered)
			continue;
		offered++;
		called += total->calls[i + 1] > 0;
		if (!total->calls[i + 1] && options.verbose) {
			printf("never called: %s", proc->name);
			for (unsigned k = 0; k < proc->args_len; k++)
				printf(" %u", proc->args[k]);
			printf("\n");
		}
	}
	printf("%u of %u functions and operators that the engine offers were called in accepted clauses\n", called,
	       offered);
}

static bool report(struct tally *total, const struct wfunctions *functions, double seconds)
{
	unsigned shown = 0;
	bool bad = false;

	qsort(total->reasons, total->reasons_len, sizeof total->reasons[0], by_count);
	for (unsigned i = 0; i < total->reasons_len; i++) {
		const struct reason *reason = &total->reasons[i];

		if (i && total->reasons[i - 1].finding != reason->finding)
			shown = 0;
		if (shown++ < (options.verbose ? 100u : 25u))
			printf("%8" PRIu64 "  %s: %s\n          e.g. %s\n", reason->count,
			       w_finding_names[reason->finding], reason->text, reason->example);
	}
	report_calls(total, functions);
	printf("seed %" PRIu64 ": %" PRIu64 " cases in %.1f s (%.0f/s): %" PRIu64 " accepted, asked of %" PRIu64
	       " rows (%" PRIu64 " true, %" PRIu64 " errors), %" PRIu64 " with conditions (%" PRIu64 " exact), %" PRIu64
	       " refused; %.1f nodes a case\n",
	       options.seed, total->cases, seconds, (double)total->cases / seconds, total->accepted, total->rows,
	       total->trues, total->errors, total->with_conditions, total->exact, total->refused,
	       (double)total->nodes / (double)CU_MAX(total->cases, 1u));
	for (unsigned i = 0; i < W_FINDINGS; i++) {
		if (total->findings[i])
			printf("%10" PRIu64 "  %s\n", total->findings[i], w_finding_names[i]);
		bad |= total->findings[i] && w_is_hard(i);
	}
	return bad;
}

static void options_read(int argc, char **argv)
{
	static const struct option known[] = { { "seed", 1, NULL, 's' },    { "cases", 1, NULL, 'c' },
					       { "seconds", 1, NULL, 't' }, { "processes", 1, NULL, 'p' },
					       { "block", 1, NULL, 'b' },   { "generate-only", 0, NULL, 'g' },
					       { "soft", 0, NULL, 'm' },    { "clause", 1, NULL, 'w' },
					       { "verbose", 0, NULL, 'v' }, { NULL, 0, NULL, 0 } };
	int c;

	options.seed = (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 's': options.seed = strtoull(optarg, NULL, 10); break;
		case 'c': options.cases = strtoull(optarg, NULL, 10); break;
		case 't': options.seconds = strtoull(optarg, NULL, 10); break;
		case 'p': options.processes = (unsigned)CU_MIN(strtoul(optarg, NULL, 10), PROCESSES_MAX); break;
		case 'b': options.block = strtol(optarg, NULL, 10); break;
		case 'g': options.generate_only = true; break;
		case 'w': options.clause = optarg; break;
		case 'm': options.soft = true; break;
		case 'v': options.verbose = true; break;
		default: exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct pg_cluster *cluster;
	struct tally *total;
	pid_t pids[PROCESSES_MAX];
	struct wfunctions functions;
	bool bad = false;
	double start, seconds;
	size_t len;
	PGconn *conn;

	options_read(argc, argv);
	if (!pg_cluster_available()) {
		printf("no Postgres here: skipped\n");
		return 77;
	}
	tallies = mmap(NULL, (PROCESSES_MAX + 1) * sizeof *tallies, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	CU_ASSERT(tallies != MAP_FAILED);
	total = &tallies[PROCESSES_MAX];
	printf("seed %" PRIu64 "\n", options.seed);
	fflush(stdout);
	cluster = pg_cluster_new("wal_level = minimal\nmax_wal_senders = 0\nfull_page_writes = off\nautovacuum = on\n");
	len = databases_len(atoi(pg_cluster_sql(cluster, "SHOW server_version_num")) / 10000);
	make_databases(cluster, len);
	start = now();
	for (unsigned i = 0; i < options.processes; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			exit(worker(pg_cluster_socket_dir(cluster), pg_cluster_port(cluster), len, i,
				    start + (double)options.seconds));
	}
	for (unsigned i = 0; i < options.processes; i++) {
		int status;

		if (waitpid(pids[i], &status, 0) != pids[i] || status != 0) {
			printf("process %u ended with status %d at %s\n", i, status, tallies[i].current);
			bad = true;
		}
		merge(total, &tallies[i]);
	}
	seconds = now() - start;
	conn = connect_to(pg_cluster_socket_dir(cluster), pg_cluster_port(cluster), "bytes0");
	w_functions_load(conn, &functions);
	bad |= report(total, &functions, seconds);
	w_functions_free(&functions);
	PQfinish(conn);
	pg_cluster_free(&cluster);
	return bad;
}
