/* hooks.h: included before everything else in the simulation's build of base, actor and registry (-include): whatever
 * two threads could do at the same time goes through tests/sim/sim.c, which lets one thread run at a time.
 *
 * Nothing of this is in the product's sources: they call pthread_mutex_lock() and mean it.
 */
#ifndef CU_SIM_HOOKS_H
#define CU_SIM_HOOKS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <urcu-bp.h>

/* A place where another thread may go on. */
void cu_sim_point(const char *what, const char *file, int line);

int cu_sim_mutex_lock(pthread_mutex_t *mtx, const char *file, int line);
int cu_sim_mutex_trylock(pthread_mutex_t *mtx, const char *file, int line);
int cu_sim_mutex_unlock(pthread_mutex_t *mtx, const char *file, int line);
int cu_sim_mutex_destroy(pthread_mutex_t *mtx);
int cu_sim_rwlock_lock(pthread_rwlock_t *lock, bool write, const char *file, int line);
int cu_sim_rwlock_unlock(pthread_rwlock_t *lock, const char *file, int line);
int cu_sim_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mtx, const char *file, int line);
int cu_sim_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mtx, const struct timespec *until, const char *file,
			  int line);
int cu_sim_cond_signal(pthread_cond_t *cond, const char *file, int line);
int cu_sim_cond_broadcast(pthread_cond_t *cond, const char *file, int line);
int cu_sim_thread_create(pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int cu_sim_thread_join(pthread_t thread, void **ret);
int cu_sim_clock_gettime(clockid_t clock, struct timespec *ret_ts);
void cu_sim_rcu_enter(const char *file, int line);
void cu_sim_rcu_leave(const char *file, int line);
void cu_sim_rcu_wait(const char *file, int line);
void *cu_sim_malloc(size_t size);
void *cu_sim_calloc(size_t count, size_t size);
void *cu_sim_realloc(void *ptr, size_t size);
void *cu_sim_aligned_alloc(size_t align, size_t size);
void cu_sim_free(void *ptr);
void *cu_sim_mmap(size_t size);
int cu_sim_munmap(void *ptr, size_t size);

#ifndef CU_SIM_NO_HOOKS

/* Small worlds must meet what large ones do: these replace what the sources would choose. */
#include "base/limits.h"
#undef CU_ACTOR_RUN_MAX
#define CU_ACTOR_RUN_MAX 2u
#undef CU_ACTOR_HELP_NS
#define CU_ACTOR_HELP_NS 0u
#define CU_CALL_SHARE 1u
#define LOOKS_MAX 2u
#define WARM_EMPTY_MAX 0
#define TABLE_RETIRED_MAX 3u
#define TABLE_TOGETHER 2u
#define SLOTS_MIN 4u
#define CALLS_INLINE 2u

#define pthread_mutex_lock(m) cu_sim_mutex_lock(m, __FILE__, __LINE__)
#define pthread_mutex_trylock(m) cu_sim_mutex_trylock(m, __FILE__, __LINE__)
#define pthread_mutex_unlock(m) cu_sim_mutex_unlock(m, __FILE__, __LINE__)
#define pthread_mutex_destroy(m) cu_sim_mutex_destroy(m)
#define pthread_cond_wait(c, m) cu_sim_cond_wait(c, m, __FILE__, __LINE__)
#define pthread_cond_timedwait(c, m, t) cu_sim_cond_timedwait(c, m, t, __FILE__, __LINE__)
#define pthread_cond_signal(c) cu_sim_cond_signal(c, __FILE__, __LINE__)
#define pthread_cond_broadcast(c) cu_sim_cond_broadcast(c, __FILE__, __LINE__)
#define pthread_create cu_sim_thread_create
#define pthread_join cu_sim_thread_join
#define sched_yield() (cu_sim_point("yield", __FILE__, __LINE__), 0)
#define clock_gettime cu_sim_clock_gettime

#define urcu_bp_read_lock() cu_sim_rcu_enter(__FILE__, __LINE__)
#define urcu_bp_read_unlock() cu_sim_rcu_leave(__FILE__, __LINE__)
#define urcu_bp_synchronize_rcu() cu_sim_rcu_wait(__FILE__, __LINE__)

#define malloc cu_sim_malloc
#define calloc cu_sim_calloc
#define realloc cu_sim_realloc
#define aligned_alloc cu_sim_aligned_alloc
#define free cu_sim_free
#define mmap(at, size, prot, flags, fd, from) cu_sim_mmap(size)
#define munmap cu_sim_munmap

/* The atomics: a point, then the operation as the compiler's own header spells it. Only one thread runs, so all is
 * sequentially consistent here; weaker orders are for ThreadSanitizer to judge. */
#define SIM_POINT(what) cu_sim_point(what, __FILE__, __LINE__)
#undef atomic_load_explicit
#undef atomic_load
#undef atomic_store_explicit
#undef atomic_store
#undef atomic_exchange_explicit
#undef atomic_exchange
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak_explicit
#undef atomic_compare_exchange_weak
#undef atomic_fetch_add_explicit
#undef atomic_fetch_add
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_or_explicit
#undef atomic_fetch_or
#undef atomic_fetch_and_explicit
#undef atomic_fetch_and
#ifdef __clang__
#define SIM_LOAD(p) __c11_atomic_load(p, __ATOMIC_SEQ_CST)
#define SIM_STORE(p, v) __c11_atomic_store(p, v, __ATOMIC_SEQ_CST)
#define SIM_XCHG(p, v) __c11_atomic_exchange(p, v, __ATOMIC_SEQ_CST)
#define SIM_CAS(p, e, v) __c11_atomic_compare_exchange_strong(p, e, v, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define SIM_FETCH(op, p, v) __c11_atomic_fetch_##op(p, v, __ATOMIC_SEQ_CST)
#else
#define SIM_LOAD(p)                                                  \
	__extension__({                                              \
		__auto_type sim_at = (p);                            \
		__typeof__((void)0, *sim_at) sim_value;              \
		__atomic_load(sim_at, &sim_value, __ATOMIC_SEQ_CST); \
		sim_value;                                           \
	})
#define SIM_STORE(p, v)                                               \
	__extension__({                                               \
		__auto_type sim_at = (p);                             \
		__typeof__((void)0, *sim_at) sim_value = (v);         \
		__atomic_store(sim_at, &sim_value, __ATOMIC_SEQ_CST); \
	})
#define SIM_XCHG(p, v)                                                                \
	__extension__({                                                               \
		__auto_type sim_at = (p);                                             \
		__typeof__((void)0, *sim_at) sim_value = (v);                         \
		__typeof__((void)0, *sim_at) sim_before;                              \
		__atomic_exchange(sim_at, &sim_value, &sim_before, __ATOMIC_SEQ_CST); \
		sim_before;                                                           \
	})
#define SIM_CAS(p, e, v)                                                                                 \
	__extension__({                                                                                  \
		__auto_type sim_at = (p);                                                                \
		__typeof__((void)0, *sim_at) sim_value = (v);                                            \
		__atomic_compare_exchange(sim_at, e, &sim_value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	})
#define SIM_FETCH(op, p, v) __atomic_fetch_##op(p, v, __ATOMIC_SEQ_CST)
#endif
#define atomic_load_explicit(p, o) (SIM_POINT("load"), SIM_LOAD(p))
#define atomic_load(p) (SIM_POINT("load"), SIM_LOAD(p))
#define atomic_store_explicit(p, v, o) (SIM_POINT("store"), SIM_STORE(p, v))
#define atomic_store(p, v) (SIM_POINT("store"), SIM_STORE(p, v))
#define atomic_exchange_explicit(p, v, o) (SIM_POINT("exchange"), SIM_XCHG(p, v))
#define atomic_exchange(p, v) (SIM_POINT("exchange"), SIM_XCHG(p, v))
#define atomic_compare_exchange_strong_explicit(p, e, v, s, f) (SIM_POINT("cas"), SIM_CAS(p, e, v))
#define atomic_compare_exchange_strong(p, e, v) (SIM_POINT("cas"), SIM_CAS(p, e, v))
#define atomic_compare_exchange_weak_explicit(p, e, v, s, f) (SIM_POINT("cas"), SIM_CAS(p, e, v))
#define atomic_compare_exchange_weak(p, e, v) (SIM_POINT("cas"), SIM_CAS(p, e, v))
#define atomic_fetch_add_explicit(p, v, o) (SIM_POINT("add"), SIM_FETCH(add, p, v))
#define atomic_fetch_add(p, v) (SIM_POINT("add"), SIM_FETCH(add, p, v))
#define atomic_fetch_sub_explicit(p, v, o) (SIM_POINT("sub"), SIM_FETCH(sub, p, v))
#define atomic_fetch_sub(p, v) (SIM_POINT("sub"), SIM_FETCH(sub, p, v))
#define atomic_fetch_or_explicit(p, v, o) (SIM_POINT("or"), SIM_FETCH(or, p, v))
#define atomic_fetch_or(p, v) (SIM_POINT("or"), SIM_FETCH(or, p, v))
#define atomic_fetch_and_explicit(p, v, o) (SIM_POINT("and"), SIM_FETCH(and, p, v))
#define atomic_fetch_and(p, v) (SIM_POINT("and"), SIM_FETCH(and, p, v))

#endif
#endif
