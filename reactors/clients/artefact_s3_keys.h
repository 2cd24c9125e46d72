/*
 * The keys of an S3-compatible store, from a file: internal to reactors/clients/artefact_s3*.c.
 *
 * Invariant: what was read is wiped when it is released; no error's text has a key.
 */
#ifndef NODAG_CLIENTS_ARTEFACT_S3_KEYS_H
#define NODAG_CLIENTS_ARTEFACT_S3_KEYS_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/yaml_text.h"

/* Keys as their file has them now. The texts belong to `stream`. */
struct s3_keys {
    struct buffer text;         /* wiped and freed by s3_keys_release */
    struct yaml_stream *stream; /* owned */
    const char *id;
    const char *secret;
    const char *token; /* NULL: none */
};

/* Reads the file into `keys`, to be released in any case. ERR_INPUT with place, or file_read's codes. Loop thread. */
int s3_keys_read(const char *path, struct s3_keys *keys, struct error *error) MUST_CHECK;

/* Wipes and frees what was read. Loop thread. */
void s3_keys_release(struct s3_keys *keys);

#endif
