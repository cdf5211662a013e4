/* peer.h: where the active instance of a storage directory listens, told through a file in it (`listening`) to one that waits.
 *
 * Threads: any. Costs a few system calls. Errors: who cannot be found cannot be asked; what the file says is checked.
 */
#ifndef CU_STACK_PEER_H
#define CU_STACK_PEER_H

#include "api/api.h"

/* A name for this run of the process. CU_EIO (logged). */
int cu_peer_name(char ret_instance[CU_API_INSTANCE_TEXT_MAX]);
/* Whoever holds the directory's lock, once it listens. host: numeric, as in the options. CU_E… (logged): nobody will ask. */
int cu_peer_publish(const char *dir, const char *host, uint16_t port, const char *instance);
/* Before the lock is let go of. */
void cu_peer_withdraw(const char *dir);
/* False: there is nobody, or no way to it. */
bool cu_peer_find(const char *dir, struct cu_api_peer *ret_peer);

#endif
