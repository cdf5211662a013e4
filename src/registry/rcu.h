/* rcu.h: the one RCU flavour of this module: liburcu-bp.
 *
 * Why bp: its threads register themselves at their first read, so the threads of a program that uses libcopper need
 * to know nothing of RCU. It uses sys_membarrier where the kernel has it, so a read costs two stores to the thread's
 * own memory, no barrier and no shared cache line. memb and qsbr ask every thread to register (qsbr also to announce
 * its quiet moments), which a library cannot ask.
 *
 * The calls are the library's functions, not its inlined ones (no _LGPL_SOURCE). TSan cannot see the ordering that
 * membarrier gives, so it is told: everything a reader did comes before the end of a grace period.
 */
#ifndef CU_REGISTRY_RCU_H
#define CU_REGISTRY_RCU_H

#include <urcu-bp.h>

#if defined(__SANITIZE_THREAD__)
#define CU_RCU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CU_RCU_TSAN 1
#endif
#endif

#ifdef CU_RCU_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char cu_rcu_tsan_domain;
#endif

static inline void rcu_enter(void)
{
	urcu_bp_read_lock();
}

static inline void rcu_leave(void)
{
#ifdef CU_RCU_TSAN
	__tsan_release(&cu_rcu_tsan_domain);
#endif
	urcu_bp_read_unlock();
}

/* Every reader that was inside has left. Never from inside, never under a lock that a reader takes. */
static inline void rcu_wait_for_readers(void)
{
	urcu_bp_synchronize_rcu();
#ifdef CU_RCU_TSAN
	__tsan_acquire(&cu_rcu_tsan_domain);
#endif
}

#endif
