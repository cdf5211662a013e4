/* changelog.h: the append-only log of items and fan-out records (docs/storage-format.md, "Change log").
 *
 * A position is a byte position in the whole log, over all segments; it never changes and is never reused while the
 * log lives. Position 0 is never an item.
 *
 * Threads: append_item, append_fanout, flush, idle: the one writer (collector). sync, drop_before: one other thread
 * at a time (checkpoint), while the writer goes on. read, start, flushed: any thread. end: the writer.
 * Cost: an append is a crc32c and a memcpy, and a pwrite per full buffer; a read is one lookup under a read lock and
 * one pread. Nothing but sync waits for the disk on purpose.
 * Errors: a failed append has appended nothing and a failed flush keeps its bytes: both may be tried again (disk
 * full). A failed sync is final: what the disk holds is unknown then, so every later call but read says CU_EIO until
 * the log is opened again, which cuts it at the last checkpoint.
 */
#ifndef CU_STORE_CHANGELOG_H
#define CU_STORE_CHANGELOG_H

#include "base/base.h"
#include "store/file.h"

typedef struct cu_changelog cu_changelog;

/* An item of a fragment, in the order of append; ordinals in runs index these. */
struct cu_changelog_item {
	uint64_t
		pos; /* of the payload; 0: damaged (op: UINT64_MAX), or in a segment that was dropped (first fragment of the log only) */
	uint64_t op;
	uint32_t len; /* of the payload */
};

/* Items [first, first + len) of the fragment. */
struct cu_fanout_run {
	uint32_t first;
	uint32_t len;
};

/* The runs [runs_at, runs_at + runs_len) of the record; many shapes may point to the same runs. */
struct cu_fanout_shape {
	uint64_t shape_id; /* < CU_SHAPE_ID_LIMIT */
	uint32_t runs_at;
	uint32_t runs_len;
};

#define CU_SHAPE_ID_LIMIT (UINT64_C(1) << 60)

enum cu_fanout_flags {
	CU_FANOUT_COMMIT = 1, /* last fragment of its transaction: all of them become visible */
	CU_FANOUT_ABORT = 2,  /* the connection broke: drop every fragment and item since the last commit; no shapes */
};

/* Which shapes see which items of a fragment: the items appended since the fan-out record before it. */
struct cu_fanout {
	uint64_t tx;      /* final LSN of the transaction, as in its items */
	uint64_t end_lsn; /* of the commit record; 0 unless COMMIT */
	uint32_t xid;
	uint32_t fragment;                    /* 0, 1, 2 … in the transaction */
	uint32_t flags;                       /* enum cu_fanout_flags */
	uint32_t items_len;                   /* set by replay; append counts itself */
	const struct cu_fanout_shape *shapes; /* any order; ascending ids are smallest on disk */
	const struct cu_fanout_run *runs;     /* of one shape: ascending, not overlapping */
	uint32_t shapes_len;
	uint32_t runs_len;
};

/* Called at open for every fan-out record in order, aborted ones too. Everything is borrowed until it returns.
 * A negative answer stops the open and is its result. */
typedef int cu_changelog_replay(void *ctx, const struct cu_fanout *fanout, const struct cu_changelog_item *items);

struct cu_changelog_opts {
	const char *dir;               /* exists; nothing else lives in it */
	const struct cu_file_ops *ops; /* NULL: the system; borrowed while the log lives */
	uint64_t end_pos;              /* from the checkpoint; everything behind it is cut */
	cu_changelog_replay *replay;   /* may be NULL */
	void *replay_ctx;
	size_t segment_bytes; /* 0: CU_SEGMENT_BYTES */
	size_t buffer_bytes;  /* 0: CU_CHANGELOG_BUFFER */
};

/* CU_ECORRUPT (position logged): a record below end_pos is not whole, or the log ends before it. Nothing is cut
 * then, so that the files can be looked at. An item whose bytes are wrong, between records that are whole, is
 * logged and replayed without a position. */
int cu_changelog_open(const struct cu_changelog_opts *opts, cu_changelog **ret_cl);
void cu_changelog_free(cu_changelog **cl); /* does not flush; NULL is fine */

/* A segment is closed at this size from now on (default: as opened). The writer, or before there is one. */
void cu_changelog_limit_segments(cu_changelog *cl, size_t bytes);

/* *ret_pos (may be NULL): where the payload will be; readable once flushed() is beyond its end. An item lies in one
 * segment. CU_ETOOBIG: over CU_CHANGELOG_RECORD_MAX. */
int cu_changelog_append_item(cu_changelog *cl, uint64_t tx, uint64_t op, const void *payload, size_t len,
			     uint64_t *ret_pos);
/* CU_EINVAL: a run beyond the fragment's items, or an id over its limit. */
int cu_changelog_append_fanout(cu_changelog *cl, const struct cu_fanout *fanout);
int cu_changelog_flush(cu_changelog *cl); /* to the page cache: readers see everything appended */
void cu_changelog_idle(cu_changelog *cl); /* gives the empty write buffer's memory back until the next append */
uint64_t cu_changelog_end(const cu_changelog *cl); /* behind the last record appended; after a commit's fan-out:
                                                          the log_pos of a checkpoint */
uint64_t cu_changelog_flushed(const cu_changelog *cl);
uint64_t cu_changelog_start(cu_changelog *cl); /* the oldest position kept */

/* Payload bytes, or a span over neighbouring records of one segment. CU_ENOTFOUND: dropped. CU_EINVAL: not flushed
 * yet, or not within one segment. CU_EIO. */
int cu_changelog_read(cu_changelog *cl, uint64_t pos, size_t len, void *out);

/* Everything below upto_pos (<= flushed, else CU_EINVAL) is on the disk when this says 0. */
int cu_changelog_sync(cu_changelog *cl, uint64_t upto_pos);
/* A sync failed: nothing can be written any more; only opening the log again, which cuts it at the last checkpoint,
 * helps. Any thread. */
bool cu_changelog_is_broken(const cu_changelog *cl);
/* Would drop_before() drop anything? The same thread. */
bool cu_changelog_can_drop_before(cu_changelog *cl, uint64_t pos);
/* Unlinks the segments that end below pos; the last one, and one that ends right at pos, stay. Reads under way finish. */
int cu_changelog_drop_before(cu_changelog *cl, uint64_t pos);

#endif
