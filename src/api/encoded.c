/* encoded.c: a map of copies, a queue, a thread. */
#include "api/encoded.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define PIECE ((size_t)64 * 1024)

/* What a copy is of. No padding: it is hashed and compared as bytes. */
struct source_key {
	uint64_t dev, ino;
	int64_t mtime_s, mtime_ns;
	uint64_t at, len;
	uint64_t encoding;
};

struct waiter {
	struct waiter *next;
	cu_encoded_done *done;
	void *arg;
};

/* In the queue (or with the thread) with its waiters, then in the list of copies, last used first. */
struct entry {
	struct entry *prev, *next;
	struct source_key key;
	uint64_t hash;
	uint64_t number; /* its file's name */
	bool ready;
	int fd; /* of the source, until it is made */
	struct waiter *waiters;
	uint64_t bytes;
	uint32_t crc;
};

struct list {
	struct entry *first, *last;
	uint32_t len;
};

struct cu_encoded {
	char *dir;
	struct cu_encoded_opts opts;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	cu_map entries; /* by hash */
	struct list queue, copies;
	uint64_t bytes; /* of all copies */
	uint64_t number;
	uint64_t paused_until_ms;
	bool stopping;
};

/* ---- lists ---- */

static void list_push(struct list *list, struct entry *entry)
{
	entry->prev = NULL;
	entry->next = list->first;
	if (list->first)
		list->first->prev = entry;
	else
		list->last = entry;
	list->first = entry;
	list->len++;
}

static void list_remove(struct list *list, struct entry *entry)
{
	if (entry->prev)
		entry->prev->next = entry->next;
	else
		list->first = entry->next;
	if (entry->next)
		entry->next->prev = entry->prev;
	else
		list->last = entry->prev;
	list->len--;
}

/* ---- looking ---- */

static int key_of(enum cu_encoding encoding, int fd, uint64_t at, uint64_t len, struct source_key *ret_key)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return CU_EIO;
	*ret_key = (struct source_key){
		.dev = stat.st_dev,
		.ino = stat.st_ino,
		.mtime_s = stat.st_mtim.tv_sec,
		.mtime_ns = stat.st_mtim.tv_nsec,
		.at = at,
		.len = len,
		.encoding = encoding,
	};
	return 0;
}

/* Locked. CU_EFULL: another file has its place, which two hashes in 2^64 may share. */
static int entry_of(const cu_encoded *encoded, const struct source_key *key, struct entry **ret_entry)
{
	struct entry *entry = cu_map_get(&encoded->entries, XXH3_64bits(key, sizeof *key));

	*ret_entry = entry;
	if (!entry)
		return CU_ENOTFOUND;
	return memcmp(&entry->key, key, sizeof *key) == 0 ? 0 : CU_EFULL;
}

/* Locked. */
static bool takes_more(const cu_encoded *encoded)
{
	return !encoded->stopping && encoded->queue.len < CU_ENCODED_QUEUE_MAX &&
	       cu_now_ms() >= encoded->paused_until_ms;
}

static char *path_of(const cu_encoded *encoded, uint64_t number)
{
	return cu_file_path("%s/%" PRIu64, encoded->dir, number);
}

int cu_encoded_find(cu_encoded *encoded, enum cu_encoding encoding, int fd, uint64_t at, uint64_t len,
		    struct cu_encoded_copy *ret_copy)
{
	struct source_key key;
	struct entry *entry;
	char *path = NULL;
	int rc = key_of(encoding, fd, at, len, &key);

	if (rc < 0)
		return CU_EFULL;
	pthread_mutex_lock(&encoded->lock);
	rc = entry_of(encoded, &key, &entry);
	if (rc == 0 && !entry->ready) {
		rc = CU_ENOTFOUND;
	} else if (rc == 0) {
		list_remove(&encoded->copies, entry);
		list_push(&encoded->copies, entry);
		*ret_copy = (struct cu_encoded_copy){ -1, entry->bytes, entry->crc };
		path = path_of(encoded, entry->number);
	} else if (rc == CU_ENOTFOUND && !takes_more(encoded)) {
		rc = CU_EFULL;
	}
	pthread_mutex_unlock(&encoded->lock);
	/* It may have gone this moment. */
	if (rc == 0 && cu_file_open(encoded->opts.ops, path, O_RDONLY, &ret_copy->fd) < 0)
		rc = CU_EFULL;
	free(path);
	return rc;
}

static void add_waiter(struct entry *entry, cu_encoded_done *done, void *arg)
{
	struct waiter *waiter = cu_xzalloc(sizeof *waiter);

	*waiter = (struct waiter){ entry->waiters, done, arg };
	entry->waiters = waiter;
}

/* Locked. True: somebody will call done. */
static bool enqueue(cu_encoded *encoded, const struct source_key *key, int fd, cu_encoded_done *done, void *arg)
{
	struct entry *entry;
	int rc = entry_of(encoded, key, &entry);

	if (rc == 0 && !entry->ready) {
		add_waiter(entry, done, arg);
		return true;
	}
	/* A copy that was made since it was looked for is for the next one. */
	if (rc != CU_ENOTFOUND || !takes_more(encoded))
		return false;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return false;
	entry = cu_xzalloc(sizeof *entry);
	entry->key = *key;
	entry->hash = XXH3_64bits(key, sizeof *key);
	entry->number = encoded->number++;
	entry->fd = fd;
	add_waiter(entry, done, arg);
	list_push(&encoded->queue, entry);
	cu_map_put(&encoded->entries, entry->hash, entry);
	pthread_cond_signal(&encoded->work);
	return true;
}

void cu_encoded_make(cu_encoded *encoded, enum cu_encoding encoding, int fd, uint64_t at, uint64_t len,
		     cu_encoded_done *done, void *arg)
{
	struct source_key key;
	bool queued = false;

	if (key_of(encoding, fd, at, len, &key) == 0) {
		pthread_mutex_lock(&encoded->lock);
		queued = enqueue(encoded, &key, fd, done, arg);
		pthread_mutex_unlock(&encoded->lock);
	}
	if (!queued)
		done(arg, NULL);
}

/* ---- making ---- */

static bool is_stopping(cu_encoded *encoded)
{
	bool stopping;

	pthread_mutex_lock(&encoded->lock);
	stopping = encoded->stopping;
	pthread_mutex_unlock(&encoded->lock);
	return stopping;
}

/* Reads, compresses and writes piece by piece. */
static int encode(cu_encoded *encoded, struct entry *entry, cu_encoder *encoder, int fd)
{
	const struct source_key *key = &entry->key;
	cu_buf out = CU_BUF_INIT;
	char *piece = cu_xzalloc(PIECE);
	uint64_t done = 0;
	int rc = 0;

	while (rc == 0 && done < key->len) {
		size_t want = (size_t)CU_MIN((uint64_t)PIECE, key->len - done), got = 0;

		if (is_stopping(encoded))
			rc = CU_ECLOSED;
		if (rc == 0)
			rc = cu_file_read_at(encoded->opts.ops, entry->fd, piece, want, key->at + done, &got);
		if (rc == 0 && got < want)
			rc = CU_EIO;
		done += got;
		if (rc == 0)
			rc = cu_encoder_add(encoder, piece, got, done == key->len, &out);
		if (rc == 0 && (out.len >= PIECE || done == key->len)) {
			rc = cu_file_write_at(encoded->opts.ops, fd, out.data, out.len, entry->bytes);
			entry->bytes += out.len;
			cu_buf_clear(&out);
		}
	}
	entry->crc = cu_encoder_crc(encoder);
	free(piece);
	cu_buf_fini(&out);
	return rc;
}

/* The copy's file; *ret_fd reads it. */
static int make(cu_encoded *encoded, struct entry *entry, int *ret_fd)
{
	const struct cu_file_ops *ops = encoded->opts.ops;
	char *path = path_of(encoded, entry->number);
	cu_encoder *encoder = NULL;
	int rc = cu_encoder_new((enum cu_encoding)entry->key.encoding, &encoder);

	*ret_fd = -1;
	if (rc == 0)
		rc = cu_file_open(ops, path, O_RDWR | O_CREAT | O_TRUNC, ret_fd);
	if (rc == 0) {
		rc = encode(encoded, entry, encoder, *ret_fd);
		if (rc < 0) {
			cu_file_close(ops, ret_fd);
			cu_file_unlink(ops, path);
		}
	}
	cu_encoder_free(&encoder);
	free(path);
	return rc;
}

/* Each gets a descriptor of its own. */
static void tell(struct waiter *waiters, const struct entry *entry, int fd)
{
	while (waiters) {
		struct waiter *waiter = waiters;
		struct cu_encoded_copy copy = { -1, entry->bytes, entry->crc };

		waiters = waiter->next;
		if (fd >= 0)
			copy.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		waiter->done(waiter->arg, copy.fd >= 0 ? &copy : NULL);
		free(waiter);
	}
}

/* Locked. The copies that have to go, linked by next. */
static struct entry *take_surplus(cu_encoded *encoded)
{
	struct entry *gone = NULL;

	while (encoded->copies.last &&
	       (encoded->bytes > encoded->opts.bytes_max || encoded->copies.len > encoded->opts.copies_max)) {
		struct entry *entry = encoded->copies.last;

		list_remove(&encoded->copies, entry);
		cu_map_del(&encoded->entries, entry->hash);
		encoded->bytes -= entry->bytes;
		entry->next = gone;
		gone = entry;
	}
	return gone;
}

static void remove_files(const cu_encoded *encoded, struct entry *gone)
{
	while (gone) {
		struct entry *entry = gone;
		char *path = path_of(encoded, entry->number);

		gone = entry->next;
		cu_file_unlink(encoded->opts.ops, path);
		free(path);
		free(entry);
	}
}

/* Locked, and unlocked in between: the first of the queue. */
static void make_next(cu_encoded *encoded)
{
	struct entry *entry = encoded->queue.last, *gone = NULL, told;
	struct waiter *waiters;
	bool stopping = encoded->stopping;
	int fd = -1, rc = CU_ECLOSED;

	list_remove(&encoded->queue, entry);
	pthread_mutex_unlock(&encoded->lock);
	if (!stopping)
		rc = make(encoded, entry, &fd);
	close(entry->fd);
	pthread_mutex_lock(&encoded->lock);
	waiters = entry->waiters;
	entry->waiters = NULL;
	told = *entry;
	if (rc == 0) {
		entry->ready = true;
		encoded->bytes += entry->bytes;
		list_push(&encoded->copies, entry);
		gone = take_surplus(encoded);
	} else {
		cu_map_del(&encoded->entries, entry->hash);
		encoded->paused_until_ms = cu_now_ms() + CU_ENCODED_PAUSE_MS;
		free(entry);
	}
	pthread_mutex_unlock(&encoded->lock);
	tell(waiters, &told, fd);
	cu_file_close(encoded->opts.ops, &fd);
	remove_files(encoded, gone);
	pthread_mutex_lock(&encoded->lock);
}

static void *run(void *arg)
{
	cu_encoded *encoded = arg;

	pthread_mutex_lock(&encoded->lock);
	while (!encoded->stopping || encoded->queue.len) {
		if (encoded->queue.len)
			make_next(encoded);
		else
			pthread_cond_wait(&encoded->work, &encoded->lock);
	}
	pthread_mutex_unlock(&encoded->lock);
	return NULL;
}

/* ---- start and end ---- */

static void empty(const cu_encoded *encoded)
{
	DIR *dir = opendir(encoded->dir);
	const struct dirent *item;

	if (!dir)
		return;
	while ((item = readdir(dir))) {
		char *path;

		if (item->d_name[0] == '.')
			continue;
		path = cu_file_path("%s/%s", encoded->dir, item->d_name);
		cu_file_unlink(encoded->opts.ops, path);
		free(path);
	}
	closedir(dir);
}

cu_encoded *cu_encoded_new(const struct cu_encoded_opts *opts)
{
	cu_encoded *encoded = cu_xzalloc(sizeof *encoded);
	int rc;

	encoded->opts = *opts;
	if (!encoded->opts.ops)
		encoded->opts.ops = &cu_file_system;
	encoded->dir = cu_xstrdup(opts->dir);
	pthread_mutex_init(&encoded->lock, NULL);
	pthread_cond_init(&encoded->work, NULL);
	rc = cu_file_mkdir(encoded->opts.ops, encoded->dir);
	if (rc == CU_EEXIST)
		rc = 0;
	if (rc == 0) {
		empty(encoded);
		if (pthread_create(&encoded->thread, NULL, run, encoded) != 0)
			rc = CU_ENOMEM;
	}
	if (rc < 0) {
		cu_warn("large answers are not compressed", CU_KV("directory", encoded->dir),
			CU_KV("error", cu_strerror(rc)));
		encoded->stopping = true;
		cu_encoded_free(&encoded);
		return NULL;
	}
	pthread_setname_np(encoded->thread, "encoder");
	return encoded;
}

void cu_encoded_stop(cu_encoded *encoded)
{
	bool stopping;

	if (!encoded)
		return;
	pthread_mutex_lock(&encoded->lock);
	stopping = encoded->stopping;
	encoded->stopping = true;
	pthread_cond_signal(&encoded->work);
	pthread_mutex_unlock(&encoded->lock);
	if (!stopping)
		pthread_join(encoded->thread, NULL);
}

void cu_encoded_free(cu_encoded **ref)
{
	cu_encoded *encoded = *ref;

	if (!encoded)
		return;
	*ref = NULL;
	CU_ASSERT(encoded->stopping && encoded->queue.len == 0);
	while (encoded->copies.first) {
		struct entry *entry = encoded->copies.first;

		list_remove(&encoded->copies, entry);
		free(entry);
	}
	cu_map_fini(&encoded->entries);
	pthread_cond_destroy(&encoded->work);
	pthread_mutex_destroy(&encoded->lock);
	free(encoded->dir);
	free(encoded);
}
