/*
 * SHA-256 and HMAC-SHA-256 over OpenSSL: see digest.h.
 *
 * Design: the algorithms are fetched from OpenSSL's provider once for the process (fetching for each digest would
 * take locks). OpenSSL's calls fail only where memory is out or the library is broken or restricted by policy;
 * nothing could be verified then, so that the process ends with one line instead of carrying on unverified.
 */
#include "base/digest.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/memory.h"

/* Guards against a struct of another type that came through a cast, or one that was freed. */
#define DIGEST_MAGIC 0x64696731u
#define HMAC_MAGIC 0x686d6331u
#define HMAC_KEY_MAGIC 0x686b6579u

struct digest {
    unsigned magic;      /* DIGEST_MAGIC */
    EVP_MD_CTX *context; /* owned; NULL once finished */
};

struct hmac {
    unsigned magic;       /* HMAC_MAGIC */
    EVP_MAC_CTX *context; /* owned; NULL once finished */
};

struct hmac_key {
    unsigned magic;       /* HMAC_KEY_MAGIC */
    EVP_MAC_CTX *context; /* owned; keyed, never updated */
};

static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static EVP_MD *digest_algorithm; /* owned by the process */
static EVP_MAC *hmac_algorithm;  /* owned by the process */

/* Ends the process unless OpenSSL did what it was asked to. */
static void digest_require(bool done, const char *call)
{
    if (done)
        return;
    fprintf(stderr, "nodag: OpenSSL's %s failed; aborting: nothing could be verified\n", call);
    abort();
}

static void digest_fetch_algorithms(void)
{
    digest_algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    digest_require(digest_algorithm != NULL, "EVP_MD_fetch");
    hmac_algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    digest_require(hmac_algorithm != NULL, "EVP_MAC_fetch");
}

static void digest_prepare(void)
{
    (void)pthread_once(&digest_once, digest_fetch_algorithms);
}

void digest_sha256(const void *bytes, size_t byte_count, uint8_t ret_digest[DIGEST_BYTES])
{
    digest_prepare();
    int done = EVP_Digest(bytes, byte_count, ret_digest, NULL, digest_algorithm, NULL);
    digest_require(done == 1, "EVP_Digest");
}

struct digest *digest_new(void)
{
    digest_prepare();
    struct digest *digest = MEM_NEW(struct digest);
    digest->magic = DIGEST_MAGIC;
    digest->context = EVP_MD_CTX_new();
    digest_require(digest->context != NULL, "EVP_MD_CTX_new");
    int done = EVP_DigestInit_ex2(digest->context, digest_algorithm, NULL);
    digest_require(done == 1, "EVP_DigestInit_ex2");
    return digest;
}

void digest_update(struct digest *digest, const void *bytes, size_t byte_count)
{
    assert(digest->magic == DIGEST_MAGIC && digest->context != NULL);
    int done = EVP_DigestUpdate(digest->context, bytes, byte_count);
    digest_require(done == 1, "EVP_DigestUpdate");
}

void digest_finish(struct digest *digest, uint8_t ret_digest[DIGEST_BYTES])
{
    assert(digest->magic == DIGEST_MAGIC && digest->context != NULL);
    int done = EVP_DigestFinal_ex(digest->context, ret_digest, NULL);
    digest_require(done == 1, "EVP_DigestFinal_ex");
    EVP_MD_CTX_free(digest->context);
    digest->context = NULL;
}

void digest_free(struct digest *digest)
{
    if (digest == NULL)
        return;
    assert(digest->magic == DIGEST_MAGIC);
    EVP_MD_CTX_free(digest->context);
    digest->magic = 0;
    free(digest);
}

void digest_to_text(const uint8_t digest[DIGEST_BYTES], char ret_text[DIGEST_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        ret_text[2 * i] = digits[digest[i] >> 4];
        ret_text[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_text[DIGEST_TEXT_BYTES - 1] = '\0';
}

int digest_from_text(const char *text, size_t text_bytes, uint8_t ret_digest[DIGEST_BYTES])
{
    if (text_bytes != DIGEST_TEXT_BYTES - 1)
        return ERR_INPUT;
    uint8_t digest[DIGEST_BYTES];
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_INPUT;
        digest[i] = (uint8_t)(high * 16 + low);
    }
    memcpy(ret_digest, digest, DIGEST_BYTES);
    return 0;
}

bool digest_equal(const void *left, const void *right, size_t byte_count)
{
    return CRYPTO_memcmp(left, right, byte_count) == 0;
}

struct hmac_key *hmac_key_new(const void *key, size_t key_bytes)
{
    assert(key_bytes >= 1);
    digest_prepare();
    struct hmac_key *prepared = MEM_NEW(struct hmac_key);
    prepared->magic = HMAC_KEY_MAGIC;
    prepared->context = EVP_MAC_CTX_new(hmac_algorithm);
    digest_require(prepared->context != NULL, "EVP_MAC_CTX_new");
    char digest_name[] = "SHA256";
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest_name, 0),
        OSSL_PARAM_construct_end(),
    };
    int done = EVP_MAC_init(prepared->context, key, key_bytes, parameters);
    digest_require(done == 1, "EVP_MAC_init");
    return prepared;
}

void hmac_key_free(struct hmac_key *key)
{
    if (key == NULL)
        return;
    assert(key->magic == HMAC_KEY_MAGIC);
    EVP_MAC_CTX_free(key->context); /* wipes the key and the state made from it */
    key->magic = 0;
    free(key);
}

struct hmac *hmac_new(const struct hmac_key *key)
{
    assert(key->magic == HMAC_KEY_MAGIC);
    struct hmac *hmac = MEM_NEW(struct hmac);
    hmac->magic = HMAC_MAGIC;
    hmac->context = EVP_MAC_CTX_dup(key->context);
    digest_require(hmac->context != NULL, "EVP_MAC_CTX_dup");
    return hmac;
}

void hmac_update(struct hmac *hmac, const void *bytes, size_t byte_count)
{
    assert(hmac->magic == HMAC_MAGIC && hmac->context != NULL);
    int done = EVP_MAC_update(hmac->context, bytes, byte_count);
    digest_require(done == 1, "EVP_MAC_update");
}

void hmac_finish(struct hmac *hmac, uint8_t ret_digest[DIGEST_BYTES])
{
    assert(hmac->magic == HMAC_MAGIC && hmac->context != NULL);
    int done = EVP_MAC_final(hmac->context, ret_digest, NULL, DIGEST_BYTES);
    digest_require(done == 1, "EVP_MAC_final");
    EVP_MAC_CTX_free(hmac->context);
    hmac->context = NULL;
}

void hmac_free(struct hmac *hmac)
{
    if (hmac == NULL)
        return;
    assert(hmac->magic == HMAC_MAGIC);
    EVP_MAC_CTX_free(hmac->context);
    hmac->magic = 0;
    free(hmac);
}
