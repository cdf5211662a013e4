/* held.h: requests that came while the connections to the database were closed: they wait until these are back, or are
 * known not to come back soon; private to api.
 *
 * Threads: any. Bound: that of requests under way (admission).
 */
#ifndef CU_API_HELD_H
#define CU_API_HELD_H

#include "http/http.h"

typedef struct cu_held cu_held;

/* The request, or NULL when it is over. */
typedef void cu_held_resume(cu_http_request *req, void *arg);

cu_held *cu_held_new(cu_held_resume *resume);
void cu_held_free(cu_held **held); /* after the HTTP server; nothing may be held. NULL is fine */
void cu_held_add(cu_held *held, cu_http_ticket ticket, void *arg);
/* Each goes on, on its own loop. */
void cu_held_release(cu_held *held);

#endif
