/*
 * The signed statement "I am App N" by which a GitHub App asks for its tokens: internal to the
 * forge client.
 * Sources: RFC 7519 (JSON Web Token), RFC 7515 (its signature), RFC 7518 §3.3 (RS256); GitHub,
 * "Generating a JSON Web Token (JWT) for a GitHub App"; OpenSSL's EVP_DigestSign(3).
 *
 * Invariants: a key file is read without ever asking a terminal for a passphrase; the text of a
 * key is wiped after it was read; no error text holds any of it.
 */
#ifndef NODAG_REACTORS_CLIENTS_FORGE_JWT_H
#define NODAG_REACTORS_CLIENTS_FORGE_JWT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

/*
 * How far `iat` lies back, as GitHub advises, so that a forge whose clock is behind ours accepts
 * it.
 */
#define FORGE_JWT_BACKDATE_S 60

/* Life from now on; GitHub refuses more than 600 s, and a minute is left for clocks that differ. */
#define FORGE_JWT_LIFE_S 540

/* A private RSA key. */
struct forge_key;

/*
 * Reads a PEM private key (PKCS#1, as GitHub gives it, or PKCS#8) from a file; owned.
 * ERR_NOT_FOUND, ERR_DENIED, ERR_IO for the file; ERR_INPUT if it holds no unencrypted RSA key of
 * at least 2048 bits; ERR_TOO_LARGE. Loop thread.
 */
int forge_key_read(const char *path, struct forge_key **ret_key, struct error *error) MUST_CHECK;

/* Wipes and frees a key; NULL allowed. Loop thread. */
void forge_key_free(struct forge_key *key);
DEFINE_CLEANUP(struct forge_key *, forge_key_free)

/* Returns true if both are the same key. Loop thread. */
bool forge_key_equal(const struct forge_key *left, const struct forge_key *right);

/*
 * Makes a JWT of App `issuer` (App id or client id: letters, digits, '.', '-', '_') at `wall_ms`
 * since 1970; owned text, which is a secret for as long as it lives. ERR_INPUT if the key cannot
 * sign. Loop thread.
 */
int forge_jwt_sign(const struct forge_key *key, const char *issuer, int64_t wall_ms, char **ret_jwt,
                   struct error *error) MUST_CHECK;

/* Wipes and frees an owned secret text; NULL allowed. Loop thread. */
void forge_secret_free(char *secret);
DEFINE_CLEANUP(char *, forge_secret_free)

#endif
