/*
 * The signed payloads that loads send: a file made by make_payloads.py.
 *
 * The file: for each payload a line `BYTES KEY SIGNATURE`, then that many bytes and a newline. KEY is the record's
 * key as the door makes it; SIGNATURE the value of X-Hub-Signature-256. Invariant: everything is read before a load
 * starts, so that loads read no files while they measure.
 */
#ifndef NODAG_TESTS_BENCH_INGEST_POOL_H
#define NODAG_TESTS_BENCH_INGEST_POOL_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/* Most payloads in a file, and most bytes of it. */
#define POOL_PAYLOADS_MAX 65536
#define POOL_FILE_MAX_BYTES ((size_t)1 << 30)

/* The option that names a pool; a member of the settings struct `type`. */
#define POOL_OPTION_ROW(type, member, group_name)                                                  \
    {                                                                                              \
        .name = "pool", .kind = OPTION_FILE, .offset = offsetof(type, member), .required = true,   \
        .group = (group_name), .help = "File of signed payloads, made by make_payloads.py."        \
    }

/* One payload; all borrowed from the pool. */
struct payload_item {
    const char *body;      /* not NUL-terminated */
    size_t body_bytes;     /* length */
    const char *key;       /* NUL-terminated */
    const char *signature; /* NUL-terminated, `sha256=…` */
};

/* The payloads of a file. */
struct pool {
    struct buffer text;         /* owned: the file, its lines cut up */
    struct payload_item *items; /* owned */
    size_t count;               /* ≥ 1 */
};

/* Reads a file; pool_release frees it. ERR_INPUT with the payload's number, and what file_read gives. Any thread. */
int pool_read(const char *path, struct pool *ret_pool, struct error *error) MUST_CHECK;

/* Frees the payloads; an empty pool is fine. */
void pool_release(struct pool *pool);

#endif
