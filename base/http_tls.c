/*
 * Reading and judging a certificate chain and its key: see http_tls.h.
 *
 * Design: files become GnuTLS' own objects one after another, so that an error names the file that is at fault:
 * chain, its time, key, and last whether the two belong together. The credentials that come of it are the only
 * thing kept.
 */
#include "base/http_tls.h"

#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/http_server_internal.h"
#include "base/memory.h"
#include "base/time_text.h"

/* Milliseconds in a second. */
#define MS_PER_SECOND 1000

struct http_tls_pair {
    size_t holders; /* how many http_tls_pair_free calls are still to come */
    gnutls_certificate_credentials_t credentials; /* owned */
    int64_t not_after_ms;                         /* of the first certificate */
};

struct http_tls {
    const struct loop *loop;    /* borrowed */
    char *certificate_file;     /* owned */
    char *key_file;             /* owned */
    struct http_tls_pair *pair; /* held: the one in force */
};

/* A chain as it is read. */
struct chain {
    gnutls_x509_crt_t *items; /* owned, by GnuTLS' allocator */
    unsigned count;
};

/* ---- pairs ---- */

static struct http_tls_pair *pair_new(void)
{
    struct http_tls_pair *pair = MEM_NEW(struct http_tls_pair);
    pair->holders = 1;
    if (gnutls_certificate_allocate_credentials(&pair->credentials) != GNUTLS_E_SUCCESS)
        abort(); /* out of memory, as base/memory.h */
    return pair;
}

struct http_tls_pair *http_tls_hold(const struct http_tls *tls)
{
    tls->pair->holders++;
    return tls->pair;
}

void http_tls_pair_free(struct http_tls_pair *pair)
{
    if (pair == NULL || --pair->holders > 0)
        return;
    gnutls_certificate_free_credentials(pair->credentials);
    free(pair);
}

gnutls_certificate_credentials_t http_tls_pair_credentials(const struct http_tls_pair *pair)
{
    return pair->credentials;
}

/* ---- reading ---- */

static void chain_release(struct chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        gnutls_x509_crt_deinit(chain->items[i]);
    gnutls_free(chain->items);
    *chain = (struct chain){.items = NULL};
}

/* Wipes a key's text, then releases the buffer. */
static void wipe(struct buffer *text)
{
    if (text->data != NULL)
        explicit_bzero(text->data, text->capacity_bytes);
    buffer_release(text);
}

/* GnuTLS' view of a buffer. */
static gnutls_datum_t datum_of(const struct buffer *text)
{
    return (gnutls_datum_t){.data = (unsigned char *)text->data,
                            .size = (unsigned)text->size_bytes};
}

/* Reads the certificates of a file; the chain is filled on success only. */
static int read_chain(const char *path, struct chain *ret_chain, struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(HTTP_TLS_CHAIN_MAX_BYTES);
    int code = file_read(path, &text, error);
    if (code != 0)
        return code;
    struct chain chain = {.items = NULL};
    const gnutls_datum_t datum = datum_of(&text);
    int result = text.size_bytes == 0
                     ? GNUTLS_E_NO_CERTIFICATE_FOUND
                     : gnutls_x509_crt_list_import2(&chain.items, &chain.count, &datum,
                                                    GNUTLS_X509_FMT_PEM, 0);
    if (result < 0)
        return error_set(error, ERR_INPUT,
                         "%s holds no certificate chain (%s): it must be PEM, \"-----BEGIN "
                         "CERTIFICATE-----\", the server's own certificate first",
                         path, gnutls_strerror(result));
    if (chain.count == 0 || chain.count > HTTP_TLS_CHAIN_MAX) {
        unsigned count = chain.count;
        chain_release(&chain);
        return error_set(error, ERR_INPUT, "%s holds %u certificates; a chain has 1 to %d", path,
                         count, HTTP_TLS_CHAIN_MAX);
    }
    *ret_chain = chain;
    return 0;
}

/* Milliseconds since 1970 of a time of GnuTLS. */
static int64_t ms_of(time_t time_s)
{
    return (int64_t)time_s * MS_PER_SECOND;
}

/* Refuses a certificate that clients would refuse for its time. */
static int check_time(const struct http_tls *tls, gnutls_x509_crt_t certificate,
                      struct error *error)
{
    int64_t now_ms = loop_wall_ms(tls->loop);
    int64_t begins_ms = ms_of(gnutls_x509_crt_get_activation_time(certificate));
    int64_t ends_ms = ms_of(gnutls_x509_crt_get_expiration_time(certificate));
    char text[TIME_TEXT_BYTES];
    if (ends_ms <= now_ms) {
        time_to_text(ends_ms, text);
        return error_set(error, ERR_INPUT, "the certificate in %s expired at %s; renew it",
                         tls->certificate_file, text);
    }
    if (begins_ms > now_ms + HTTP_TLS_CLOCK_LEEWAY_MS) {
        time_to_text(begins_ms, text);
        return error_set(error, ERR_INPUT,
                         "the certificate in %s is not valid before %s; is the clock right?",
                         tls->certificate_file, text);
    }
    return 0;
}

/* Reads the private key of a file; owned result, freed by gnutls_x509_privkey_deinit. */
static int read_key(const char *path, gnutls_x509_privkey_t *ret_key, struct error *error)
{
    struct buffer text = BUFFER_INIT(HTTP_TLS_KEY_MAX_BYTES);
    /* All at once: a buffer that grew would leave copies behind that nobody wipes. */
    int code = buffer_reserve(&text, HTTP_TLS_KEY_MAX_BYTES);
    if (code == 0)
        code = file_read_secret(path, &text, error);
    if (code != 0) {
        wipe(&text);
        return code;
    }
    gnutls_x509_privkey_t key = NULL;
    if (gnutls_x509_privkey_init(&key) != GNUTLS_E_SUCCESS)
        abort(); /* out of memory, as base/memory.h */
    const gnutls_datum_t datum = datum_of(&text);
    int result = gnutls_x509_privkey_import2(key, &datum, GNUTLS_X509_FMT_PEM, NULL, 0);
    wipe(&text);
    if (result == GNUTLS_E_SUCCESS) {
        *ret_key = key;
        return 0;
    }
    gnutls_x509_privkey_deinit(key);
    if (result == GNUTLS_E_DECRYPTION_FAILED)
        return error_set(error, ERR_INPUT,
                         "the key in %s is encrypted, and nobody can be asked for its passphrase; "
                         "write it without one (openssl pkey -in …)",
                         path);
    return error_set(error, ERR_INPUT,
                     "%s holds no private key that can be used (%s): it must be PEM, \"-----BEGIN "
                     "PRIVATE KEY-----\"",
                     path, gnutls_strerror(result));
}

/* Joins chain and key. */
static int join(const struct http_tls *tls, const struct chain *chain, gnutls_x509_privkey_t key,
                struct http_tls_pair **ret_pair, struct error *error)
{
    CLEANUP(http_tls_pair_free) struct http_tls_pair *pair = pair_new();
    pair->not_after_ms = ms_of(gnutls_x509_crt_get_expiration_time(chain->items[0]));
    int result =
        gnutls_certificate_set_x509_key(pair->credentials, chain->items, (int)chain->count, key);
    if (result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return error_set(error, ERR_INPUT,
                         "the key in %s does not belong to the first certificate in %s; give the "
                         "two that were made together",
                         tls->key_file, tls->certificate_file);
    if (result < 0)
        return error_set(error, ERR_INPUT, "%s and %s cannot be used for TLS: %s",
                         tls->certificate_file, tls->key_file, gnutls_strerror(result));
    *ret_pair = TAKE(pair);
    return 0;
}

static int read_pair(const struct http_tls *tls, struct http_tls_pair **ret_pair,
                     struct error *error)
{
    struct chain chain = {.items = NULL};
    gnutls_x509_privkey_t key = NULL;
    int code = read_chain(tls->certificate_file, &chain, error);
    if (code != 0)
        return code;
    code = check_time(tls, chain.items[0], error);
    if (code == 0)
        code = read_key(tls->key_file, &key, error);
    if (code == 0)
        code = join(tls, &chain, key, ret_pair, error);
    gnutls_x509_privkey_deinit(key);
    chain_release(&chain);
    return code;
}

/* ---- the pair in force ---- */

int http_tls_new(const struct loop *loop, const char *certificate_file, const char *key_file,
                 struct http_tls **ret_tls, struct error *error)
{
    CLEANUP(http_tls_free) struct http_tls *tls = MEM_NEW(struct http_tls);
    tls->loop = loop;
    tls->certificate_file = mem_copy_text(certificate_file);
    tls->key_file = mem_copy_text(key_file);
    int code = read_pair(tls, &tls->pair, error);
    if (code == 0)
        *ret_tls = TAKE(tls);
    return code;
}

int http_tls_reload(struct http_tls *tls, struct error *error)
{
    struct http_tls_pair *pair = NULL;
    int code = read_pair(tls, &pair, error);
    if (code != 0)
        return code;
    http_tls_pair_free(tls->pair);
    tls->pair = pair;
    return 0;
}

int64_t http_tls_not_after_ms(const struct http_tls *tls)
{
    return tls->pair->not_after_ms;
}

void http_tls_free(struct http_tls *tls)
{
    if (tls == NULL)
        return;
    http_tls_pair_free(tls->pair);
    free(tls->certificate_file);
    free(tls->key_file);
    free(tls);
}
