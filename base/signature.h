/*
 * HMAC signatures of HTTP bodies, as GitHub's webhooks made them common: the header `X-Hub-Signature-256:
 * sha256=HEX`, with keys from files.
 *
 * Source: GitHub, "Validating webhook deliveries"; RFC 2104.
 *
 * Invariant: the bytes of a secret are in memory only between reading its file and making its key, and are wiped.
 */
#ifndef NODAG_BASE_SIGNATURE_H
#define NODAG_BASE_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"

/* The header that carries a signature. */
#define SIGNATURE_HEADER "X-Hub-Signature-256"

/* Longest secret in bytes; GitHub's own limit is below. */
#define SIGNATURE_SECRET_MAX_BYTES 4096

/* Reads a secret's file into a buffer: file_read_secret, or a test's own. */
typedef int (*signature_read_fn)(const char *path, struct buffer *secret, struct error *error);

/* Reads a secret's file and makes its key; owned. Errors of `read_secret`. Loop thread. */
int signature_key_read(const char *path, signature_read_fn read_secret, struct hmac_key **ret_key,
                       struct error *error) MUST_CHECK;

/* Reads "sha256=" and 64 hexadecimal digits. ERR_INPUT for anything else, NULL among it. Any thread. */
int signature_parse(const char *text, uint8_t ret_mac[DIGEST_BYTES]) MUST_CHECK;

#endif
