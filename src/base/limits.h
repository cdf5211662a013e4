/* limits.h: every bound of the server, with what happens at it. Sizes in bytes, times in milliseconds. */
#ifndef CU_LIMITS_H
#define CU_LIMITS_H

/* A client's clause may have megabytes; and a line below PIPE_BUF stays whole in a pipe that others write to, too. */
#define CU_LOG_VALUE_MAX 1024u /* bytes of a text in a log line: cut, "…" at the end */

/* HTTP: refuse. */
#define CU_HTTP_URL_MAX (64u * 1024)        /* longer request target: 414 */
#define CU_HTTP_HEADERS_MAX (64u * 1024)    /* all header bytes of a request: 431 */
#define CU_HTTP_BODY_MAX (1u * 1024 * 1024) /* request body: 413 */
#define CU_HTTP_PIPELINE_MAX (64u * 1024)   /* bytes of following requests kept while one is answered: stop reading */
#define CU_HTTP_HEADER_DEADLINE_MS 10000u   /* first byte of a request to its last header: 408, close */
#define CU_HTTP_IDLE_MS 60000u              /* keep-alive connection without a request: close */
#define CU_HTTP_SEND_STALL_MS 60000u        /* no byte taken by the peer: close */
#define CU_HTTP_WAKE_SLICE 1000u /* waiting readers answered before the loop looks at others: continue next turn */
#define CU_HTTP_BODY_PIECE (256u * 1024) /* bytes of a body held in memory per connection: wait for the socket */
#define CU_HTTP_BODY_DEADLINE_MS 60000u  /* last header byte to last body byte of a request: 408, close */
#define CU_HTTP_LINGER_MS 2000u /* a closing connection waits for the peer's end, so that it reads our answer: close */
#define CU_HTTP_LINGER_BYTES (16u * 1024 * 1024) /* … and throws away at most this much: close */
#define CU_HTTP_REFUSED_MAX 64u             /* connections over the limit that get a 503: more are closed unanswered */
#define CU_HTTP_NOTSENT_LOWAT (128u * 1024) /* unsent bytes in the kernel per connection: wait for the socket */
#define CU_HTTP_GATHER_MAX 2048u /* a small answer's parts are copied together: larger ones sendmsg() gathers */
#define CU_HTTP_SEND_SLICE \
	(2u * 1024 * 1024)           /* bytes sent to one peer before the loop looks at others: continue next turn */
#define CU_HTTP_ACCEPT_SLICE 128u    /* connections accepted … : continue next turn */
#define CU_HTTP_REQUESTS_SLICE 64u   /* pipelined requests of one connection answered … : continue next turn */
#define CU_HTTP_WAKE_KEYS_MAX 65536u /* different keys queued per loop for waking: wake everybody */
#define CU_HTTP_ACCEPT_PAUSE_MS 200u /* out of file descriptors: accept nothing for so long */

#define CU_LOADING_SLICE 256u /* rows of the storage directory loaded before a start looks whether it should end */
#define CU_LOADING_WAIT_MS \
	10000u /* a request waits for the storage directory to be loaded, or as long as a long poll: then 503 */

/* Requests relayed to another instance. */
#define CU_HTTP_RELAYED_MAX 16384u           /* under way: more are refused (503) */
#define CU_HTTP_RELAY_CONNECT_MS 1000u       /* no connection to the other instance: 503 */
#define CU_HTTP_RELAY_SLACK_MS 10000u        /* beyond the longest wait for an answer: 503 */
#define CU_HTTP_RELAY_SILENCE_MS 60000u      /* within an answer; streams are never silent so long: cut off */
#define CU_HTTP_RELAY_PIECE (16u * 1024)     /* bytes of an answer held per request: wait for the socket */
#define CU_HTTP_RELAY_HEAD_MAX (256u * 1024) /* of an answer, 1,600 columns of schema in it: 503 */

#define CU_LOG_PIECE \
	(12u * 1024) /* bytes aimed at of a long log answer's pieces behind the first, held while the peer takes none */
#define CU_SSE_PIECE \
	(16u * 1024) /* bytes aimed at of what a stream sends at a time, and holds while its peer takes none */
#define CU_SSE_KEEP_ALIVE_MS 21000u /* a live_sse stream without news: a comment, so that nobody in between hangs up */

/* Replication: wait (back-pressure to the walsender). */
#define CU_REPLICATION_QUEUE_MAX \
	(16u * 1024 * 1024)             /* bytes between replication and collector: stop reading the socket */
#define CU_REPLICATION_STUCK_MS 300000u /* the server fails to decode the next WAL, whatever the reason: a new slot */
#define CU_REPLICATION_STATUS_MS 10000u /* longest silence towards the walsender */
#define CU_FRAGMENT_BYTES_MAX (4u * 1024 * 1024) /* a transaction is handed on in fragments of about this size */
#define CU_FRAGMENT_CHANGES_MAX 8192u            /* … or this many changes */

#define CU_FRAGMENT_TOUCHES_MAX (256u * 1024) /* … or this many (change, shape) pairs */
#define CU_SHOW_INTERVAL_NS 1000000u          /* a busy stream's commits are shown together, at most this often */
#define CU_DISK_RETRY_MS 1000u                /* a write to the change log failed: stop the stream, try again */

/* Storage. */
#define CU_SEGMENT_BYTES (64u * 1024 * 1024)          /* change log segment: start the next */
#define CU_CHANGELOG_BUFFER (256u * 1024)             /* appended bytes held back: written to the file */
#define CU_CHANGELOG_RECORD_MAX (2047u * 1024 * 1024) /* one item or fan-out record: CU_ETOOBIG */
#define CU_FRAGMENT_ITEMS_MAX (1u << 24) /* items between two fan-out records: CU_EFULL, end the fragment first */
#define CU_CHUNK_BUFFER (64u * 1024)     /* per snapshot being written: written to the file */
#define CU_SNAPSHOT_SMALL_MAX \
	(16u * 1024) /* bytes of a snapshot that is kept in the metadata: a file for larger ones */
#define CU_LOG_CHUNK_SMALL_MAX \
	(16u * 1024) /* bytes of a sealed piece of a log that is kept in the metadata: a file for larger ones */
#define CU_METADATA_QUEUE_MAX \
	16384u /* metadata operations not yet taken by the writer: the caller waits; a new shape is refused (503) */
#define CU_METADATA_BLOB_MAX (256u * 1024 * 1024) /* definition, relation, setting: CU_ETOOBIG */
#define CU_CHANGELOG_BYTES_MAX \
	(256u * 1024 * 1024)                      /* default of --change-log-max: tails are sealed, segments dropped */
#define CU_SEALER_BATCH 512u                      /* sealed chunks that become durable together: waits for them */
#define CU_SEALER_BATCH_BYTES (64u * 1024 * 1024) /* … of which so much is written: fewer of them */
#define CU_SEALER_LOG_FACTOR 4u     /* the change log is so many times too long while it is drained: the stream waits */
#define CU_SEALER_HOLD_UP_MS 100u   /* … looks so often whether it should stop */
#define CU_SEALER_TOLD_MS 60000u    /* … says so at most so often */
#define CU_SEALER_TAILS_SLACK 1024u /* removed shapes that the sealer may hold on to: looks for them */
#define CU_CHUNK_CHECK_RETRY_MS \
	200u                     /* a chunk file that cannot be read (not: is damaged) is tried again after so long */
#define CU_STORE_TRASH_SLICE 64u /* trashed files unlinked before a checkpoint may go first: continue */
#define CU_CHECKPOINT_BYTES (64u * 1024 * 1024)
#define CU_COMPACTION_BYTES (64u * 1024 * 1024)             /* items compacted together: the next ones apart */
#define CU_COMPACTION_BYTES_MAX (4ull * 1024 * 1024 * 1024) /* … when everything is: older chunks stay as they are */
#define CU_COMPACTION_CHUNK_MAX (256u * 1024 * 1024) /* items of one transaction after it: they stay as they are */
#define CU_COMPACTION_MEMORY (16u * 1024 * 1024) /* items of a compaction in memory: the others in a file meanwhile */
#define CU_COMPACTION_PARTS_MAX 512u             /* parts of that file: larger ones */
#define CU_COMPACTION_BLOCK (16u * 1024)         /* bytes of a part that are written or read at a time: the next */
#define CU_COMPACTION_YIELD (1024u * 1024)       /* bytes that a compaction goes through: then sealing has its turn */
#define CU_COMPACTION_WINDOW 2u                  /* newest sealed chunks of a shape: left as they are */
#define CU_COMPACTION_BYTES_MIN (1024u * 1024)   /* items that are worth a compaction: fewer wait for others … */
#define CU_COMPACTION_CHUNKS 16u                 /* … until there are so many small chunks: joined all the same */

/* Between two times that what the heap has free is given back to the system: a burst's memory stays so long. Takes up to
 * ten milliseconds with a million shapes. */
#define CU_MEMORY_TRIM_MS 20000u

#define CU_RETENTION_CHECK_MS 5000u /* between two looks for shapes that have to go: what was exceeded stays so long */
#define CU_RETENTION_EVICTIONS_MAX 4096u /* shapes evicted in one look: the others in the next */
#define CU_RETENTION_SAVE_MS 600000u /* between two times that the shapes' last reads are stored: older after a crash */

/* Shapes. */
#define CU_RECENT_XIDS 16384u           /* transactions a new snapshot is checked against (power of two) */
#define CU_SNAPSHOT_WAIT_MS 60000u      /* a reader waits for a snapshot's next chunk: then 503 */
#define CU_SNAPSHOT_LOCK_WAIT_MS 20000u /* a snapshot waits for an ALTER or a TRUNCATE of its table: then 503 */
#define CU_SNAPSHOT_RETRIES 50u         /* a snapshot that may miss a transaction is taken again: then 503 */
#define CU_SNAPSHOT_SHARED_MAX 64u      /* snapshots in one transaction: the rest takes another */
#define CU_SNAPSHOT_SHARE_MS 50u    /* a transaction goes on so long with further snapshots: they wait for another */
#define CU_SNAPSHOT_WORKERS_MAX 16u /* transactions of snapshots at a time: the others wait */
#define CU_TABLE_CHECKS_MAX 64u     /* tables whose last description is kept for snapshots: read again */
#define CU_IDENTIFIER_MAX 63u       /* NAMEDATALEN - 1 */
#define CU_COLUMNS_MAX 1664u        /* MaxTupleAttributeNumber of Postgres */

/* Postgres connections: back-off. */
#define CU_RECONNECT_MS_MIN 100u
#define CU_RECONNECT_MS_MAX 10000u
#define CU_RECONNECT_REFUSED_MS 1000u   /* the first pause after a refusal that does not pass by itself */
#define CU_CATALOG_TABLES_MAX 16384u    /* cached table descriptions: forget all */
#define CU_CATALOG_TTL_MS 60000u        /* a cached table description is looked up again */
#define CU_TABLE_LOCK_TIMEOUT_MS 1000u  /* ALTER … REPLICA IDENTITY FULL: retry */
#define CU_TABLE_WRITERS_WAIT_MS 20000u /* transactions already writing to a table that joins: then 503 */

/* Postgres pool: refuse (503). */
#define CU_POOL_CONNECTIONS_MAX 8u /* connections of snapshots, catalog and publication: jobs wait */
#define CU_POOL_JOBS_MAX 4096u     /* jobs that wait for a connection: CU_EFULL */
#define CU_POOL_IDLE_MS 10000u     /* a worker without a job: ends, closes its connection */
#define CU_STORAGE_LOCK_POLL_MS \
	100u                    /* how often a second instance looks whether the first has let go of the directory */
#define CU_PG_LOCK_POLL_MS 250u /* the same for the lock in the database */
#define CU_PG_LOCK_TRIES \
	4u /* … in vain: another instance has it. Before, it may be of a run just killed, which Postgres has yet to notice */
#define CU_PG_CONNECT_TIMEOUT_S 10u /* one attempt to connect: give up, back off */

/* Subset snapshots. */
#define CU_SUBSET_QUERY_MS 60000u          /* its query in Postgres, from its begin to its last row: ended, then 503 */
#define CU_ORDER_BY_BYTES_MAX (64u * 1024) /* text of an ORDER BY: refused (400) */
#define CU_ORDER_BY_LEVELS_MAX 40u         /* levels of its parse tree, brackets at most: refused (400) */
#define CU_SPOOL_MEMORY (256u * 1024)      /* bytes of an answer kept in memory: the rest goes to a file */
#define CU_SPOOL_FILES_MAX (8ull * 1024 * 1024 * 1024) /* bytes in the files of all answers under way: refused (503) */

/* Compressed answers. */
#define CU_ENCODE_MIN 1024u /* bytes of a body: shorter ones are sent as they are */
#define CU_ENCODE_INLINE_MAX \
	(64u * 1024)              /* bytes that a loop compresses by itself: longer bodies are sent as they are */
#define CU_ENCODE_STREAMS_MAX 64u /* long answers compressed as they are sent, some 2 MiB each: others as they are */
#define CU_ENCODED_BYTES_MAX (1024ull * 1024 * 1024) /* compressed copies of files: those not used lately go */
#define CU_ENCODED_COPIES_MAX 16384u                 /* the same */
#define CU_ENCODED_QUEUE_MAX 64u                     /* files that wait to be compressed: others are sent as they are */
#define CU_ENCODED_PAUSE_MS 10000u                   /* a copy could not be written: none is made for so long */

/* Actors. */
#define CU_ACTORS_MAX (1024u * 1024) /* living actors of a system, by default: CU_EFULL */
#define CU_MAILBOX_MAX 1024u         /* waiting sent messages of an actor, by default: CU_EFULL */
#define CU_ACTOR_RUN_MAX 256u        /* messages a worker handles for one actor while others wait: next turn */
#define CU_ACTOR_HELP_NS 150000u     /* idle actors that would take one call_many this long alone: workers help */
#define CU_ACTOR_TICK_MS 100u        /* resolution of the idle timers */
#define CU_REGISTRY_ENTRIES_MAX (64u * 1024 * 1024) /* consumers in one registry: CU_ENOMEM */

/* Where clauses: refused (400). */
#define CU_WHERE_BYTES_MAX (1024u * 1024) /* text of a clause, and of its parameters together */
#define CU_WHERE_NODES_MAX 65536u         /* nodes of its parse tree; constants of an IN list count as well */
#define CU_WHERE_DEPTH_MAX 256u           /* levels of its parse tree */
#define CU_ROUTER_HOT_MAX 16384u          /* where clauses kept that had to be parsed: those not used lately go */
#define CU_ROUTER_HOT_CHEAP_MAX \
	1024u /* … that load without parsing: a few stay in the processor's cache, many would not */
#define CU_ROUTER_HELPERS_MAX 15u /* threads that help with clauses that no index serves: no more are started */
#define CU_ROUTER_SLICE 64u       /* clauses that one of them takes at a time: then the next slice */
#define CU_ROUTER_ALONE 256u      /* such clauses of a row evaluated before anybody is asked to help */
#define CU_ROUTER_HELP_NS 100000u /* … and only if the rest would take the collector about this long alone */
#define CU_API_WHERE_SEEN \
	16384u /* requests' clauses that are known without parsing (power of two): others are parsed */
#define CU_WHERE_TEMPLATES_MAX 1024u /* kinds of clauses of a definition that load without parsing: others are parsed */
#define CU_VALUE_DEPTH_MAX 256u      /* levels of a json value; Postgres allows more, such a row fails */
#define CU_VALUE_RESULT_MAX \
	(64u * 1024 *       \
	 1024) /* bytes of a text that a function makes beyond its arguments; Postgres: 1 GiB; such a row fails */

#endif
