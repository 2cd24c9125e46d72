/*
 * The App's signed statement: see forge_jwt.h.
 *
 *      base64url(header) . base64url(claims) . base64url(signature over what stands before)
 */
#include "reactors/clients/forge_jwt.h"

#include <inttypes.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

/* Largest key file: an RSA key of 16384 bits in PEM takes 13 KB. */
#define KEY_FILE_MAX_BYTES 16384

/* Smallest key that is accepted: what GitHub makes, and what RFC 7518 §3.3 asks for. */
#define KEY_BITS_LEAST 2048

/* Longest JWT: the signature of a 16384-bit key is 2731 characters. */
#define JWT_MAX_BYTES 8192

struct forge_key {
    EVP_PKEY *key; /* owned */
};

static void bio_release(BIO *bio)
{
    (void)BIO_free(bio);
}
DEFINE_CLEANUP(BIO *, bio_release)

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)

/* Wipes a buffer with a secret before its memory goes. */
static void secret_release(struct buffer *buffer)
{
    if (buffer->data != NULL)
        OPENSSL_cleanse(buffer->data, buffer->capacity_bytes);
    buffer_release(buffer);
}

static void secret_release_cleanup(struct buffer *buffer)
{
    secret_release(buffer);
}

void forge_secret_free(char *secret)
{
    if (secret != NULL)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
}

/* Says "no passphrase" where OpenSSL would ask the terminal. */
static int refuse_passphrase(char *text, int text_bytes, int is_writing, void *argument)
{
    (void)text, (void)text_bytes, (void)is_writing, (void)argument;
    return -1;
}

int forge_key_read(const char *path, struct forge_key **ret_key, struct error *error)
{
    CLEANUP(secret_release) struct buffer text = BUFFER_INIT(KEY_FILE_MAX_BYTES);
    int code = file_read_secret(path, &text, error);
    if (code != 0)
        return code;
    CLEANUP(bio_release) BIO *bio = BIO_new_mem_buf(text.data, (int)text.size_bytes);
    CLEANUP(EVP_PKEY_free) EVP_PKEY *key = NULL;
    if (bio != NULL)
        key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, NULL);
    if (key == NULL)
        return error_set(error, ERR_INPUT,
                         "%s holds no private key in PEM that can be read without a passphrase; "
                         "download one from the settings page of the GitHub App",
                         path);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) < KEY_BITS_LEAST)
        return error_set(
            error, ERR_INPUT,
            "%s holds a key that is not RSA with at least %d bits, as GitHub Apps have; "
            "download one from the settings page of the GitHub App",
            path, KEY_BITS_LEAST);
    *ret_key = MEM_NEW(struct forge_key);
    (*ret_key)->key = TAKE(key);
    return 0;
}

void forge_key_free(struct forge_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->key);
    free(key);
}

bool forge_key_equal(const struct forge_key *left, const struct forge_key *right)
{
    return EVP_PKEY_eq(left->key, right->key) == 1;
}

/* Appends base64url without padding (RFC 7515 §2). */
static int append_base64url(struct buffer *text, const void *bytes, size_t byte_count)
{
    CLEANUP(mem_free) char *encoded = mem_alloc((byte_count + 2) / 3 * 4 + 1);
    int length = EVP_EncodeBlock((unsigned char *)encoded, bytes, (int)byte_count);
    for (int i = 0; i < length; i++) {
        if (encoded[i] == '+')
            encoded[i] = '-';
        else if (encoded[i] == '/')
            encoded[i] = '_';
        else if (encoded[i] == '=')
            length = i;
    }
    return buffer_append(text, encoded, (size_t)length);
}

/* Signs what `text` holds and appends ".signature". */
static int append_signature(const struct forge_key *key, struct buffer *text)
{
    CLEANUP(EVP_MD_CTX_free) EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t signature_bytes = (size_t)EVP_PKEY_get_size(key->key);
    CLEANUP(mem_free) unsigned char *signature = mem_alloc(signature_bytes);
    if (context == NULL || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->key) != 1 ||
        EVP_DigestSign(context, signature, &signature_bytes, (const unsigned char *)text->data,
                       text->size_bytes) != 1)
        return ERR_INPUT;
    int code = buffer_append_text(text, ".");
    if (code != 0)
        return code;
    return append_base64url(text, signature, signature_bytes);
}

int forge_jwt_sign(const struct forge_key *key, const char *issuer, int64_t wall_ms, char **ret_jwt,
                   struct error *error)
{
    static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
    int64_t now_s = wall_ms / 1000;
    CLEANUP(mem_free)
    char *claims = mem_format("{\"iat\":%" PRId64 ",\"exp\":%" PRId64 ",\"iss\":\"%s\"}",
                              now_s - FORGE_JWT_BACKDATE_S, now_s + FORGE_JWT_LIFE_S, issuer);
    CLEANUP(secret_release) struct buffer text = BUFFER_INIT(JWT_MAX_BYTES);
    int code = append_base64url(&text, header, sizeof(header) - 1);
    if (code == 0)
        code = buffer_append_text(&text, ".");
    if (code == 0)
        code = append_base64url(&text, claims, strlen(claims));
    if (code == 0)
        code = append_signature(key, &text);
    if (code != 0)
        return error_set(error, ERR_INPUT, "the App's private key cannot sign (RS256)");
    *ret_jwt = buffer_take(&text);
    return 0;
}
