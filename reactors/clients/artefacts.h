/*
 * The artefact store: files by their content, in a folder or in an S3-compatible bucket.
 *
 * Design: an artefact's name is the SHA-256 of its bytes, so putting is idempotent, a reader can tell
 * whether it got what a record names, and two runs that made the same file share it:
 *
 *      file:///srv/artefacts              →  /srv/artefacts/sha256/ab/abcdef…
 *      s3://bucket/prefix                 →  s3://bucket/prefix/sha256/ab/abcdef…
 *
 * `struct artefact_store` is a narrow interface, so that the simulation keeps artefacts in memory. A
 * put looks first and sends only what is not there. A get writes beside its target, compares the
 * digest, and renames. Files are read and written in slices, one for each turn of the loop. Requests
 * to S3 are signed by libcurl (AWS Signature Version 4); keys come from a file that is read for every
 * request, so they can be rotated. Source: Amazon S3 API Reference, PutObject, GetObject, HeadObject,
 * DeleteObject.
 *
 * Invariants: `done` runs exactly once for each call that was not cancelled, never from within the
 * call itself; when a put is done the artefact is durable under its name, whole; a get never leaves
 * a file with other bytes than its name says.
 */
#ifndef NODAG_CLIENTS_ARTEFACTS_H
#define NODAG_CLIENTS_ARTEFACTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/option.h"

/* Largest artefact: a model or a data set of a large organisation is a tenth of it. */
#define ARTEFACT_MAX_BYTES ((int64_t)1 << 30)

/* Room for an artefact's URI with its NUL. */
#define ARTEFACT_URI_BYTES 512

/* What a store has, or was given. */
struct artefact {
    char sha256[DIGEST_TEXT_BYTES]; /* of its bytes, lower-case hexadecimal */
    int64_t size_bytes;             /* 0..ARTEFACT_MAX_BYTES */
    char uri[ARTEFACT_URI_BYTES];   /* where it is: what records name */
};

/*
 * What came of a call. code 0: `artefact` is what was put, got or removed (size 0 then). Else it is
 * NULL, and code is ERR_NOT_FOUND (no such artefact), ERR_DENIED (the store's rights or keys),
 * ERR_TOO_LARGE, ERR_CORRUPT (what is stored under the name has another digest), ERR_INPUT (not a
 * regular file, keys cannot be read), ERR_UNAVAILABLE, ERR_TIMEOUT or ERR_IO, with a text in `error`.
 * Loop thread.
 */
typedef void (*artefact_done_fn)(void *argument, int code, const struct artefact *artefact,
                                 const struct error *error);

/* A call under way; borrowed until its `done` ran or it was cancelled. */
struct artefact_call;

/* The narrow interface. Implementations embed it as their first member. */
struct artefact_store {
    /* See artefact_put. */
    struct artefact_call *(*put)(struct artefact_store *store, int fd, artefact_done_fn done,
                                 void *argument);
    /* See artefact_get. */
    struct artefact_call *(*get)(struct artefact_store *store, const char *sha256, const char *path,
                                 artefact_done_fn done, void *argument);
    /* See artefact_remove. */
    struct artefact_call *(*remove)(struct artefact_store *store, const char *sha256,
                                    artefact_done_fn done, void *argument);
    /* See artefact_cancel. */
    void (*cancel)(struct artefact_store *store, struct artefact_call *call);
    /* Frees the store; its calls are over. */
    void (*free)(struct artefact_store *store);
};

/* Where artefacts are. Texts are copied. */
struct artefact_settings {
    const char *url;      /* file:///FOLDER (absolute) or s3://BUCKET[/PREFIX] */
    const char *endpoint; /* s3: https://HOST[:PORT] of a compatible server; NULL: Amazon's */
    const char *region;   /* s3: NULL: us-east-1 */
    const char *credentials_file; /* s3: YAML {access_key_id, secret_access_key, session_token?} */
};

/* Rows for option tables: `type` is the settings struct, `member` its struct artefact_settings. */
#define ARTEFACT_OPTION_ROWS(type, member)                                                         \
    {.name = "artefacts",                                                                          \
     .kind = OPTION_TEXT,                                                                          \
     .offset = offsetof(type, member.url),                                                         \
     .default_value = "file:///var/lib/nodag/artefacts",                                           \
     .value_name = "URL",                                                                          \
     .group = "Artefacts",                                                                         \
     .help = "Where models and what belongs to them are kept: file:///FOLDER or "                  \
             "s3://BUCKET/PREFIX."},                                                               \
        {.name = "artefacts-endpoint",                                                             \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, member.endpoint),                                                \
         .value_name = "URL",                                                                      \
         .help = "Of a server that is compatible with S3. Default: Amazon's."},                    \
        {.name = "artefacts-region",                                                               \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, member.region),                                                  \
         .value_name = "NAME",                                                                     \
         .help = "Of the bucket. Default: us-east-1."},                                            \
    {                                                                                              \
        .name = "artefacts-credentials-file", .kind = OPTION_SECRET_FILE,                          \
        .offset = offsetof(type, member.credentials_file),                                         \
        .help = "YAML with access_key_id and secret_access_key; read for every request."           \
    }

/*
 * Opens a store; a file store's folder is made if it is not there. `loop` and `http` (NULL for a file
 * store) are borrowed. Owned. ERR_INPUT for what the settings say wrongly, ERR_DENIED, ERR_IO. Loop
 * thread.
 */
int artefact_store_new(struct loop *loop, struct http_client *http,
                       const struct artefact_settings *settings, struct artefact_store **ret_store,
                       struct error *error) MUST_CHECK;

/* Frees a store without calls under way; NULL allowed. Loop thread. */
void artefact_store_free(struct artefact_store *store);
DEFINE_CLEANUP(struct artefact_store *, artefact_store_free)

/*
 * Stores the regular file that `fd` has open, from its first byte; takes the descriptor. A descriptor,
 * because the caller knows how to open what others may have written: never through a symbolic link.
 * Loop thread.
 */
static inline struct artefact_call *artefact_put(struct artefact_store *store, int fd,
                                                 artefact_done_fn done, void *argument)
{
    return store->put(store, fd, done, argument);
}

/* Fetches an artefact to `path` (copied), which is replaced when all of it is there and right. Loop
 * thread. */
static inline struct artefact_call *artefact_get(struct artefact_store *store, const char *sha256,
                                                 const char *path, artefact_done_fn done,
                                                 void *argument)
{
    return store->get(store, sha256, path, done, argument);
}

/* Removes an artefact; one that is not there is success: a repetition does no harm. Loop thread. */
static inline struct artefact_call *artefact_remove(struct artefact_store *store,
                                                    const char *sha256, artefact_done_fn done,
                                                    void *argument)
{
    return store->remove(store, sha256, done, argument);
}

/* Cancels a call: its `done` will not run; what was begun is removed or left harmless. Loop thread. */
static inline void artefact_cancel(struct artefact_store *store, struct artefact_call *call)
{
    store->cancel(store, call);
}

#endif
