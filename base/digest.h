/*
 * SHA-256, HMAC-SHA-256 and their texts, over OpenSSL's libcrypto.
 *
 * Design: streaming contexts, because bodies are digested as they arrive. Comparison of secrets is
 * in constant time. Sources: FIPS 180-4, RFC 2104; OpenSSL's EVP_DigestInit(3) and EVP_MAC(3).
 *
 * Invariant: key material is wiped (OPENSSL_cleanse) before its memory is freed.
 */
#ifndef NODAG_BASE_DIGEST_H
#define NODAG_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/* Bytes of a SHA-256 digest. */
#define DIGEST_BYTES 32

/* Bytes of its hexadecimal text with the NUL. */
#define DIGEST_TEXT_BYTES 65

/* A running HMAC-SHA-256. */
struct hmac;

/* A prepared key: the HMAC state after the key was absorbed, so that a start costs no key schedule.
 */
struct hmac_key;

/* Writes SHA-256 of the bytes to `ret_digest`. Any thread. */
void digest_sha256(const void *bytes, size_t byte_count, uint8_t ret_digest[DIGEST_BYTES]);

/* A running SHA-256. */
struct digest;

/* Starts a SHA-256; owned. Any thread. */
struct digest *digest_new(void);

/* Adds bytes. Owner's thread. */
void digest_update(struct digest *digest, const void *bytes, size_t byte_count);

/* Writes the result; the digest can only be freed after this. Owner's thread. */
void digest_finish(struct digest *digest, uint8_t ret_digest[DIGEST_BYTES]);

/* Frees it; NULL allowed. */
void digest_free(struct digest *digest);
DEFINE_CLEANUP(struct digest *, digest_free)

/* Writes lower-case hexadecimal of a digest with a NUL. Any thread. */
void digest_to_text(const uint8_t digest[DIGEST_BYTES], char ret_text[DIGEST_TEXT_BYTES]);

/* Reads 64 hexadecimal characters (either case). ERR_INPUT otherwise. Any thread. */
int digest_from_text(const char *text, size_t text_bytes,
                     uint8_t ret_digest[DIGEST_BYTES]) MUST_CHECK;

/* Compares in a time that depends on `byte_count` alone. Any thread. */
bool digest_equal(const void *left, const void *right, size_t byte_count);

/* Prepares a key of ≥ 1 bytes (copied by OpenSSL, wiped on free); owned. Any thread. */
struct hmac_key *hmac_key_new(const void *key, size_t key_bytes);

/* Wipes and frees a key; running HMACs made from it go on. NULL allowed. */
void hmac_key_free(struct hmac_key *key);
DEFINE_CLEANUP(struct hmac_key *, hmac_key_free)

/* Starts an HMAC-SHA-256; owned. Any thread. */
struct hmac *hmac_new(const struct hmac_key *key);

/* Adds bytes. Owner's thread. */
void hmac_update(struct hmac *hmac, const void *bytes, size_t byte_count);

/* Writes the result; the HMAC can only be freed after this. Owner's thread. */
void hmac_finish(struct hmac *hmac, uint8_t ret_digest[DIGEST_BYTES]);

/* Frees it; NULL allowed. */
void hmac_free(struct hmac *hmac);
DEFINE_CLEANUP(struct hmac *, hmac_free)

#endif
