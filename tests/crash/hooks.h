/* hooks.h: included before everything else in the crash simulation's build of store, shape, router and collector
 * (-include): their threads go through tests/sim/sim.c, which lets one run at a time, as a seed decides. Unlike
 * tests/sim/hooks.h it leaves atomics and memory alone: what two threads do to the disk is the question here.
 */
#ifndef CU_CRASH_HOOKS_H
#define CU_CRASH_HOOKS_H

#define CU_SIM_NO_HOOKS
#include "sim/hooks.h"

#include <poll.h>

/* Small worlds must meet what large ones do: these replace what the sources would choose. */
#include "base/limits.h"
#undef CU_SEGMENT_BYTES
#define CU_SEGMENT_BYTES 4096u
#undef CU_CHANGELOG_BUFFER
#define CU_CHANGELOG_BUFFER 1024u
#undef CU_CHUNK_BUFFER
#define CU_CHUNK_BUFFER 700u
#undef CU_SNAPSHOT_SMALL_MAX
#define CU_SNAPSHOT_SMALL_MAX 900u
#undef CU_LOG_CHUNK_SMALL_MAX
#define CU_LOG_CHUNK_SMALL_MAX 900u
#undef CU_SEALER_BATCH
#define CU_SEALER_BATCH 3u
#undef CU_SEALER_LOG_FACTOR
#define CU_SEALER_LOG_FACTOR 1u
#undef CU_SEALER_TAILS_SLACK
#define CU_SEALER_TAILS_SLACK 2u
#undef CU_COMPACTION_CHUNKS
#define CU_COMPACTION_CHUNKS 3u
#undef CU_COMPACTION_WINDOW
#define CU_COMPACTION_WINDOW 1u
#undef CU_COMPACTION_BYTES_MIN
#define CU_COMPACTION_BYTES_MIN 300u
#undef CU_COMPACTION_BYTES
#define CU_COMPACTION_BYTES 6000u
#undef CU_COMPACTION_MEMORY
#define CU_COMPACTION_MEMORY 2500u
#undef CU_COMPACTION_BLOCK
#define CU_COMPACTION_BLOCK 600u
#undef CU_COMPACTION_YIELD
#define CU_COMPACTION_YIELD 400u
#undef CU_FRAGMENT_CHANGES_MAX
#define CU_FRAGMENT_CHANGES_MAX 6u
#undef CU_CHECKPOINT_BYTES
#define CU_CHECKPOINT_BYTES 8192u
#undef CU_STORE_TRASH_SLICE
#define CU_STORE_TRASH_SLICE 1u

#define pthread_mutex_lock(m) cu_sim_mutex_lock(m, __FILE__, __LINE__)
#define pthread_mutex_trylock(m) cu_sim_mutex_trylock(m, __FILE__, __LINE__)
#define pthread_mutex_unlock(m) cu_sim_mutex_unlock(m, __FILE__, __LINE__)
#define pthread_mutex_destroy(m) cu_sim_mutex_destroy(m)
#define pthread_rwlock_rdlock(l) cu_sim_rwlock_lock(l, false, __FILE__, __LINE__)
#define pthread_rwlock_wrlock(l) cu_sim_rwlock_lock(l, true, __FILE__, __LINE__)
#define pthread_rwlock_unlock(l) cu_sim_rwlock_unlock(l, __FILE__, __LINE__)
#define pthread_cond_wait(c, m) cu_sim_cond_wait(c, m, __FILE__, __LINE__)
#define pthread_cond_timedwait(c, m, t) cu_sim_cond_timedwait(c, m, t, __FILE__, __LINE__)
#define pthread_cond_signal(c) cu_sim_cond_signal(c, __FILE__, __LINE__)
#define pthread_cond_broadcast(c) cu_sim_cond_broadcast(c, __FILE__, __LINE__)
#define pthread_create cu_sim_thread_create
#define pthread_join cu_sim_thread_join
#define pthread_setname_np(thread, name) ((void)0)
#define clock_gettime cu_sim_clock_gettime
/* Into the trace, instead of standard error: a disk that has crashed fails all the time. */
#define cu_log_write crash_log_write
/* The model's: consumers decide without actors (world.c), Postgres is in memory (postgres_client.c). */
#define cu_consumer_registry_publish crash_publish
#define cu_pg_copy_out crash_copy_out
#define cu_replication_next crash_replication_next
#define cu_replication_release crash_replication_release
#define cu_replication_wake crash_replication_wake
#define cu_replication_confirm crash_replication_confirm
#define cu_replication_restart crash_replication_restart
/* Only pauses are asked for with poll() here: the collector's, before it tries a full disk again. */
int crash_poll(const struct pollfd *fds, unsigned count, int ms);
#define poll crash_poll

#endif
