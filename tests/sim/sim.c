/* sim.c: one baton, many threads. See sim.h. Built with CU_SIM_NO_HOOKS: here the calls are the real ones. */
#include "sim/hooks.h"
#include "sim/sim.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS_MAX = 16, CHANGES_MAX = 4, STEPS_MAX = 400000, STEPS_ALONE_MAX = 4000, STEPS_USUAL = 1500 };

enum status {
	STATUS_UNUSED,
	STATUS_READY,
	STATUS_MUTEX, /* waits for `what` to be unlocked */
	STATUS_COND,  /* waits for a signal on `what` */
	STATUS_TIMED, /* the same, or for the time to come: goes on whenever it is chosen */
	STATUS_RCU,   /* waits for readers */
	STATUS_JOIN,  /* waits for the thread `what` */
	STATUS_QUIET, /* waits until nobody else is ready */
	STATUS_DONE
};

struct sim_thread {
	sem_t baton; /* posted: go on */
	bool exists;
	pthread_t os_thread;
	enum status status;
	const void *what;
	bool timed_out;
	unsigned rcu_depth;
	uint64_t rcu_since;
	int64_t priority;
	void *(*fn)(void *arg);
	void *arg;
	void *ret;
	const char *file; /* where it stands */
	int line;
};

enum cu_mutant cu_mutant;

static struct sim_thread threads[THREADS_MAX];
static struct sim_thread *current;
static sem_t all_done;

/* The rest belongs to whoever has the baton. */
static uint64_t seed_now;
static uint64_t schedule_rng;
static uint64_t scenario_rng;
static uint64_t steps;
static uint64_t steps_alone;
static uint64_t switches;
static uint64_t trace_hash;
static uint64_t rcu_clock;
static int64_t priority_low;
static bool by_priority;
static bool spurious; /* condition variables wake for no reason now and then */
static uint32_t eagerness;
static uint64_t changes[CHANGES_MAX];
static unsigned change_count;
static int64_t allocations;
static bool verbose;
static int paused;

static struct shared { /* with the parent process */
	struct cu_sim_result result;
} * shared;

static uint64_t rng_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint32_t rng_below(uint64_t *state, uint32_t bound)
{
	return (uint32_t)(rng_next(state) >> 32) % bound;
}

uint32_t cu_sim_random(uint32_t bound)
{
	return rng_below(&scenario_rng, bound);
}

static unsigned thread_index(const struct sim_thread *thread)
{
	return (unsigned)(thread - threads);
}

static void trace_mix(const char *what, int line)
{
	uint64_t word = (uint64_t)line << 24 | (uint64_t)(unsigned char)what[0] << 16 |
			(uint64_t)(unsigned char)what[1] << 8 | thread_index(current);

	trace_hash = (trace_hash ^ word) * 0x100000001b3ull;
	trace_hash ^= trace_hash >> 29;
}

void cu_sim_note(const char *format, ...)
{
	va_list args;

	if (!verbose)
		return;
	fprintf(stderr, "%6" PRIu64 "  thread %u: ", steps, thread_index(current));
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static const char *file_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "?";
}

static void threads_print(void)
{
	static const char *const names[] = {
		"unused", "ready", "mutex", "cond", "timed", "rcu", "join", "quiet", "done"
	};
	unsigned i;

	for (i = 0; i < THREADS_MAX; i++) {
		if (threads[i].status != STATUS_UNUSED)
			fprintf(stderr, "  thread %u: %s at %s:%d\n", i, names[threads[i].status],
				file_name(threads[i].file), threads[i].line);
	}
}

_Noreturn void cu_sim_fail(const char *file, int line, const char *text)
{
	fprintf(stderr, "simulation: seed %" PRIu64 " fails after %" PRIu64 " steps: %s:%d: %s\n", seed_now, steps,
		file_name(file), line, text);
	threads_print();
	fflush(stderr);
	abort();
}

static void wake_all(enum status status, const void *what)
{
	unsigned i;

	for (i = 0; i < THREADS_MAX; i++) {
		if (threads[i].status == status && threads[i].what == what)
			threads[i].status = STATUS_READY;
	}
}

/* Who goes on; NULL: all are done. `leave`: preferably not the current one. */
static struct sim_thread *thread_choose(void)
{
	struct sim_thread *ready[THREADS_MAX];
	struct sim_thread *best = NULL;
	unsigned count = 0;
	unsigned timed = 0;
	bool over = true;
	unsigned i;

	for (i = 0; i < THREADS_MAX; i++) {
		over = over && (threads[i].status == STATUS_UNUSED || threads[i].status == STATUS_DONE);
		timed += threads[i].status == STATUS_TIMED;
		if (threads[i].status == STATUS_READY || threads[i].status == STATUS_TIMED)
			ready[count++] = &threads[i];
	}
	/* It is quiet also when somebody could go on after a while. */
	for (i = 0; count == timed && i < THREADS_MAX; i++) {
		if (threads[i].status == STATUS_QUIET) {
			threads[i].status = STATUS_READY;
			return &threads[i];
		}
	}
	if (count == 0) {
		if (!over)
			cu_sim_fail(__FILE__, __LINE__, "deadlock: nobody can go on");
		return NULL;
	}
	if (!by_priority)
		return ready[rng_below(&schedule_rng, count)];
	for (i = 0; i < count; i++) {
		if (!best || ready[i]->priority > best->priority)
			best = ready[i];
	}
	return best;
}

static void baton_pass(struct sim_thread *self, struct sim_thread *next)
{
	switches++;
	current = next;
	if (verbose)
		fprintf(stderr, "%6" PRIu64 "  %u -> %u at %s:%d\n", steps, thread_index(self), thread_index(next),
			file_name(next->file), next->line);
	steps_alone = 0;
	sem_post(&next->baton);
}

static void baton_await(struct sim_thread *self)
{
	while (sem_wait(&self->baton) != 0)
		;
}

/* The current thread cannot go on (its status says why), or is asked to let another one. */
static void thread_switch(void)
{
	struct sim_thread *self = current;
	struct sim_thread *next = thread_choose();

	if (next != self) {
		baton_pass(self, next);
		baton_await(self);
	}
	if (self->status == STATUS_TIMED) {
		self->timed_out = true;
		self->status = STATUS_READY;
		self->priority = --priority_low; /* or it would wait for nothing else, again and again */
	}
}

static void conds_wake_for_no_reason(void)
{
	unsigned i;

	for (i = 0; i < THREADS_MAX; i++) {
		if (threads[i].status == STATUS_COND && rng_below(&schedule_rng, 64) == 0)
			threads[i].status = STATUS_READY;
	}
}

void cu_sim_point(const char *what, const char *file, int line)
{
	unsigned i;

	if (!current || paused)
		return; /* before and after a run */
	current->file = file;
	current->line = line;
	trace_mix(what, line);
	if (++steps > STEPS_MAX)
		cu_sim_fail(file, line, "livelock: it does not end");
	if (spurious)
		conds_wake_for_no_reason();
	if (!by_priority) {
		if (rng_below(&schedule_rng, eagerness) == 0)
			thread_switch();
		return;
	}
	for (i = 0; i < change_count; i++) {
		if (changes[i] == steps)
			current->priority = --priority_low;
	}
	/* A loop that waits for another thread must not starve it. */
	if (++steps_alone > STEPS_ALONE_MAX)
		current->priority = --priority_low;
	thread_switch();
}

/* ---- what the hooks stand for ---- */

static void mutex_take(pthread_mutex_t *mtx)
{
	while (pthread_mutex_trylock(mtx) != 0) {
		current->status = STATUS_MUTEX;
		current->what = mtx;
		thread_switch();
	}
}

int cu_sim_mutex_lock(pthread_mutex_t *mtx, const char *file, int line)
{
	cu_sim_point("lock", file, line);
	if (!current)
		return pthread_mutex_lock(mtx);
	mutex_take(mtx);
	return 0;
}

int cu_sim_mutex_trylock(pthread_mutex_t *mtx, const char *file, int line)
{
	cu_sim_point("trylock", file, line);
	return pthread_mutex_trylock(mtx);
}

int cu_sim_mutex_unlock(pthread_mutex_t *mtx, const char *file, int line)
{
	if (pthread_mutex_unlock(mtx) != 0)
		cu_sim_fail(file, line, "unlocks what it has not locked");
	wake_all(STATUS_MUTEX, mtx);
	cu_sim_point("unlock", file, line);
	return 0;
}

int cu_sim_mutex_destroy(pthread_mutex_t *mtx)
{
	if (pthread_mutex_destroy(mtx) != 0)
		cu_sim_fail(__FILE__, __LINE__, "destroys a locked mutex");
	return 0;
}

int cu_sim_rwlock_lock(pthread_rwlock_t *lock, bool write, const char *file, int line)
{
	cu_sim_point("rwlock", file, line);
	if (!current)
		return write ? pthread_rwlock_wrlock(lock) : pthread_rwlock_rdlock(lock);
	while ((write ? pthread_rwlock_trywrlock(lock) : pthread_rwlock_tryrdlock(lock)) != 0) {
		current->status = STATUS_MUTEX;
		current->what = lock;
		thread_switch();
	}
	return 0;
}

int cu_sim_rwlock_unlock(pthread_rwlock_t *lock, const char *file, int line)
{
	if (pthread_rwlock_unlock(lock) != 0)
		cu_sim_fail(file, line, "unlocks what it has not locked");
	wake_all(STATUS_MUTEX, lock);
	cu_sim_point("rwunlock", file, line);
	return 0;
}

static void cond_await(pthread_cond_t *cond, pthread_mutex_t *mtx, enum status status)
{
	pthread_mutex_unlock(mtx);
	wake_all(STATUS_MUTEX, mtx);
	current->status = status;
	current->what = cond;
	thread_switch();
	mutex_take(mtx);
}

int cu_sim_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mtx, const char *file, int line)
{
	cu_sim_point("wait", file, line);
	cond_await(cond, mtx, STATUS_COND);
	return 0;
}

int cu_sim_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mtx, const struct timespec *until, const char *file,
			  int line)
{
	(void)until;
	cu_sim_point("timedwait", file, line);
	current->timed_out = false;
	cond_await(cond, mtx, STATUS_TIMED);
	return current->timed_out ? ETIMEDOUT : 0;
}

static struct sim_thread *cond_waiter(const pthread_cond_t *cond)
{
	struct sim_thread *waiting[THREADS_MAX];
	unsigned count = 0;
	unsigned i;

	for (i = 0; i < THREADS_MAX; i++) {
		if ((threads[i].status == STATUS_COND || threads[i].status == STATUS_TIMED) && threads[i].what == cond)
			waiting[count++] = &threads[i];
	}
	return count ? waiting[rng_below(&schedule_rng, count)] : NULL;
}

int cu_sim_cond_signal(pthread_cond_t *cond, const char *file, int line)
{
	struct sim_thread *waiter;

	cu_sim_point("signal", file, line);
	waiter = cond_waiter(cond);
	if (waiter)
		waiter->status = STATUS_READY;
	return 0;
}

int cu_sim_cond_broadcast(pthread_cond_t *cond, const char *file, int line)
{
	cu_sim_point("broadcast", file, line);
	wake_all(STATUS_COND, cond);
	wake_all(STATUS_TIMED, cond);
	return 0;
}

static bool rcu_readers_before(uint64_t since)
{
	unsigned i;

	for (i = 0; i < THREADS_MAX; i++) {
		if (threads[i].status != STATUS_UNUSED && threads[i].rcu_depth && threads[i].rcu_since <= since)
			return true;
	}
	return false;
}

void cu_sim_rcu_enter(const char *file, int line)
{
	cu_sim_point("rcu enter", file, line);
	if (current && current->rcu_depth++ == 0)
		current->rcu_since = rcu_clock;
}

void cu_sim_rcu_leave(const char *file, int line)
{
	unsigned i;

	if (!current)
		return;
	if (current->rcu_depth == 0)
		cu_sim_fail(file, line, "leaves an RCU section that it is not in");
	current->rcu_depth--;
	for (i = 0; i < THREADS_MAX; i++) {
		if (threads[i].status == STATUS_RCU)
			threads[i].status = STATUS_READY;
	}
	cu_sim_point("rcu leave", file, line);
}

void cu_sim_rcu_wait(const char *file, int line)
{
	uint64_t since = rcu_clock++;

	cu_sim_point("rcu wait", file, line);
	if (current && current->rcu_depth)
		cu_sim_fail(file, line, "waits for readers inside an RCU section");
	while (current && rcu_readers_before(since)) {
		current->status = STATUS_RCU;
		thread_switch();
	}
}

/* A time that moves with the steps, so that nothing depends on the machine. */
int cu_sim_clock_gettime(clockid_t clock, struct timespec *ret_ts)
{
	(void)clock;
	ret_ts->tv_sec = (time_t)(1000 + steps / 1000);
	ret_ts->tv_nsec = (long)(steps % 1000) * 1000000;
	return 0;
}

void *cu_sim_malloc(size_t size)
{
	void *ptr = malloc(size);

	allocations += ptr != NULL;
	return ptr;
}

void *cu_sim_calloc(size_t count, size_t size)
{
	void *ptr = calloc(count, size);

	allocations += ptr != NULL;
	return ptr;
}

void *cu_sim_realloc(void *ptr, size_t size)
{
	void *moved = realloc(ptr, size);

	allocations += moved && !ptr;
	return moved;
}

void *cu_sim_aligned_alloc(size_t align, size_t size)
{
	void *ptr = aligned_alloc(align, size);

	allocations += ptr != NULL;
	return ptr;
}

/* Without ASan nobody would notice a look at freed memory: here it finds nonsense. */
void cu_sim_free(void *ptr)
{
	if (!ptr)
		return;
	allocations--;
	memset(ptr, 0xdb, malloc_usable_size(ptr));
	__asm__ volatile("" : : "r"(ptr) : "memory"); /* the compiler may not know that it is for nobody */
	free(ptr);
}

void *cu_sim_mmap(size_t size)
{
	void *ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	allocations += ptr != MAP_FAILED;
	return ptr;
}

int cu_sim_munmap(void *ptr, size_t size)
{
	allocations--;
	return munmap(ptr, size);
}

/* ---- threads ---- */

static void *thread_main(void *arg)
{
	struct sim_thread *self = arg;

	for (;;) {
		struct sim_thread *next;

		baton_await(self);
		self->ret = self->fn(self->arg);
		self->status = STATUS_DONE;
		wake_all(STATUS_JOIN, self);
		next = thread_choose();
		if (next) {
			baton_pass(self, next);
		} else {
			current = NULL;
			sem_post(&all_done);
		}
	}
	return NULL;
}

static struct sim_thread *thread_start(void *(*fn)(void *), void *arg)
{
	struct sim_thread *thread = threads;

	while (thread->status != STATUS_UNUSED) {
		if (++thread == threads + THREADS_MAX)
			cu_sim_fail(__FILE__, __LINE__, "too many threads");
	}
	if (!thread->exists) {
		sem_init(&thread->baton, 0, 0);
		if (pthread_create(&thread->os_thread, NULL, thread_main, thread) != 0)
			cu_sim_fail(__FILE__, __LINE__, "no thread");
		thread->exists = true;
	}
	thread->fn = fn;
	thread->arg = arg;
	thread->rcu_depth = 0;
	thread->file = NULL;
	thread->line = 0;
	thread->priority = (int64_t)rng_below(&schedule_rng, 1u << 30);
	thread->status = STATUS_READY;
	return thread;
}

int cu_sim_thread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	struct sim_thread *thread = thread_start(fn, arg);

	(void)attr;
	*ret_thread = (pthread_t)(uintptr_t)thread;
	cu_sim_point("create", __FILE__, __LINE__);
	return 0;
}

int cu_sim_thread_join(pthread_t os_thread, void **ret)
{
	struct sim_thread *thread = (struct sim_thread *)(uintptr_t)os_thread;

	cu_sim_point("join", __FILE__, __LINE__);
	while (thread->status != STATUS_DONE) {
		current->status = STATUS_JOIN;
		current->what = thread;
		thread_switch();
	}
	thread->status = STATUS_UNUSED;
	if (ret)
		*ret = thread->ret;
	return 0;
}

static void *task_main(void *arg)
{
	const struct cu_sim_task *task = arg;

	task->fn(task->arg);
	return NULL;
}

void cu_sim_together(const struct cu_sim_task *tasks, unsigned count)
{
	pthread_t ids[THREADS_MAX];
	unsigned i;

	for (i = 0; i < count; i++)
		cu_sim_thread_create(&ids[i], NULL, task_main, (void *)(uintptr_t)&tasks[i]);
	for (i = 0; i < count; i++)
		cu_sim_thread_join(ids[i], NULL);
}

void cu_sim_pause(int by)
{
	paused += by;
}

void cu_sim_quiesce(void)
{
	cu_sim_point("quiesce", __FILE__, __LINE__);
	current->status = STATUS_QUIET;
	thread_switch();
}

uint64_t cu_sim_run(uint64_t seed, void (*main_fn)(void *arg), void *arg)
{
	struct cu_sim_task task = { main_fn, arg };
	struct sim_thread *first;
	int64_t allocations_before = allocations;
	unsigned i;

	seed_now = seed;
	schedule_rng = seed * 2;
	scenario_rng = seed * 2 + 1;
	steps = steps_alone = 0;
	priority_low = 0;
	trace_hash = 0xcbf29ce484222325ull;
	by_priority = rng_below(&schedule_rng, 2) == 0;
	spurious = rng_below(&schedule_rng, 4) == 0;
	eagerness = 1u << (1 + rng_below(&schedule_rng, 6));
	change_count = 1 + rng_below(&schedule_rng, CHANGES_MAX);
	for (i = 0; i < change_count; i++)
		changes[i] = 1 + rng_below(&schedule_rng, STEPS_USUAL);

	first = thread_start(task_main, &task);
	current = first;
	sem_post(&first->baton);
	while (sem_wait(&all_done) != 0)
		;
	if (allocations != allocations_before)
		cu_sim_fail(__FILE__, __LINE__, "memory was left behind");
	first->status = STATUS_UNUSED;
	for (i = 0; i < THREADS_MAX; i++) {
		if (threads[i].status != STATUS_UNUSED)
			cu_sim_fail(__FILE__, __LINE__, "a thread was left behind");
	}
	return trace_hash;
}

/* ---- exploring ---- */

static _Noreturn void child_main(void (*main_fn)(void *arg), uint64_t first, uint64_t count, bool quiet)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	uint64_t hash = 0;
	uint64_t seed;
	size_t i;

	/* cmocka's handlers would carry on with the tests, here, on some thread's stack. */
	for (i = 0; i < CU_ARRAY_LEN(signals); i++)
		(void)signal(signals[i], SIG_DFL);
	if (quiet) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
	}
	sem_init(&all_done, 0, 0);
	for (seed = first; seed < first + count; seed++) {
		shared->result.seed = seed;
		hash = hash * 31 + cu_sim_run(seed, main_fn, NULL);
		shared->result.runs++;
		shared->result.steps += steps;
	}
	shared->result.hash = hash;
	shared->result.switches = switches;
	_exit(0);
}

void cu_sim_explore(void (*main_fn)(void *arg), uint64_t first, uint64_t count, enum cu_mutant mutant, bool quiet,
		    struct cu_sim_result *ret_result)
{
	int status = 0;
	pid_t child;

	if (!shared)
		shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(shared, 0, sizeof *shared);
	cu_mutant = mutant;
	fflush(NULL);
	child = fork();
	if (child == 0) {
		verbose = !quiet && getenv("COPPER_SIM_SEED");
		child_main(main_fn, first, count, quiet);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	cu_mutant = CU_MUTANT_NONE;
	if (WIFSIGNALED(status) && !quiet)
		fprintf(stderr, "simulation: seed %" PRIu64 " ended by signal %d\n", shared->result.seed,
			WTERMSIG(status));
	*ret_result = shared->result;
	ret_result->passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool number_from(const char *name, uint64_t *ret_value)
{
	const char *text = getenv(name);
	char *end = NULL;

	if (!text || !*text)
		return false;
	*ret_value = strtoull(text, &end, 10);
	return *end == '\0';
}

static bool replay_seed(uint64_t *ret_seed)
{
	return number_from("COPPER_SIM_SEED", ret_seed);
}

bool cu_sim_expect_pass(const char *name, void (*main_fn)(void *arg), uint64_t usual)
{
	struct cu_sim_result result;
	uint64_t first = 1;

	(void)number_from("COPPER_SIM_SEEDS", &usual);
	(void)number_from("COPPER_SIM_FIRST", &first);
	if (replay_seed(&first))
		usual = 1;
	cu_sim_explore(main_fn, first, usual, CU_MUTANT_NONE, false, &result);
	printf("simulation %s: %" PRIu64 " seeds, %" PRIu64 " steps, %" PRIu64 " switches, trace %016" PRIx64 "\n",
	       name, result.runs, result.steps, result.switches, result.hash);
	if (!result.passed)
		printf("simulation %s: seed %" PRIu64 " fails. Replay: COPPER_SIM_SEED=%" PRIu64
		       " ctest -R test_sim_%s -V\n",
		       name, result.seed, result.seed, name);
	return result.passed;
}

bool cu_sim_expect_repeatable(void (*main_fn)(void *arg), uint64_t count)
{
	struct cu_sim_result once;
	struct cu_sim_result again;
	struct cu_sim_result others;
	uint64_t first = 1;

	if (replay_seed(&first))
		count = 1;
	cu_sim_explore(main_fn, first, count, CU_MUTANT_NONE, true, &once);
	cu_sim_explore(main_fn, first, count, CU_MUTANT_NONE, true, &again);
	cu_sim_explore(main_fn, first + 1, count, CU_MUTANT_NONE, true, &others);
	printf("simulation: traces of %" PRIu64 " seeds: %016" PRIx64 ", again %016" PRIx64 ", others %016" PRIx64 "\n",
	       count, once.hash, again.hash, others.hash);
	return once.passed && again.passed && once.hash == again.hash && once.steps == again.steps &&
	       once.hash != others.hash;
}

bool cu_sim_expect_found(const char *what, void (*main_fn)(void *arg), enum cu_mutant mutant, uint64_t within)
{
	struct cu_sim_result result;
	struct cu_sim_result again;
	uint64_t ignored;

	if (replay_seed(&ignored))
		return true;
	cu_sim_explore(main_fn, 1, within, mutant, true, &result);
	if (result.passed) {
		printf("simulation: \"%s\" is not found within %" PRIu64 " seeds\n", what, within);
		return false;
	}
	cu_sim_explore(main_fn, result.seed, 1, mutant, true, &again);
	printf("simulation: \"%s\" is found by seed %" PRIu64 "%s\n", what, result.seed,
	       again.passed ? ", but not when replayed" : "");
	return !again.passed;
}
