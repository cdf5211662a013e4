/* spool.c: memory first, then a file whose name goes at once. */
#include "store/spool.h"

#include "base/limits.h"

#include <stdatomic.h>

/* Of all spools' files. */
static _Atomic uint64_t files_bytes;

void cu_spool_init(cu_spool *spool, const char *dir, const struct cu_file_ops *ops)
{
	*spool = (cu_spool){ .dir = dir, .ops = ops ? ops : &cu_file_system, .fd = -1 };
}

void cu_spool_fini(cu_spool *spool)
{
	cu_file_close(spool->ops, &spool->fd);
	atomic_fetch_sub(&files_bytes, spool->file_bytes);
	spool->file_bytes = 0;
	cu_buf_fini(&spool->memory);
}

static int to_file(cu_spool *spool)
{
	size_t len = spool->memory.len;
	int rc;

	if (spool->fd < 0) {
		rc = cu_file_open_unnamed(spool->ops, spool->dir, &spool->fd);
		if (rc < 0)
			return rc;
	}
	if (atomic_fetch_add(&files_bytes, len) + len > CU_SPOOL_FILES_MAX) {
		atomic_fetch_sub(&files_bytes, len);
		return CU_EFULL;
	}
	rc = cu_file_write_at(spool->ops, spool->fd, spool->memory.data, len, spool->file_bytes);
	spool->file_bytes += len;
	cu_buf_clear(&spool->memory);
	return rc;
}

int cu_spool_put(cu_spool *spool)
{
	if (cu_buf_failed(&spool->memory))
		return CU_ENOMEM;
	return spool->memory.len < CU_SPOOL_MEMORY ? 0 : to_file(spool);
}

int cu_spool_finish(cu_spool *spool)
{
	int rc;

	if (cu_buf_failed(&spool->memory))
		return CU_ENOMEM;
	if (spool->fd < 0)
		return 0;
	rc = to_file(spool);
	cu_buf_fini(&spool->memory);
	return rc;
}
