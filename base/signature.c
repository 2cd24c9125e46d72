/*
 * HMAC signatures of HTTP bodies: see signature.h.
 */
#include "base/signature.h"

#include <string.h>

/* What stands before the digits. */
#define SIGNATURE_PREFIX "sha256="

int signature_key_read(const char *path, signature_read_fn read_secret, struct hmac_key **ret_key,
                       struct error *error)
{
    struct buffer bytes = BUFFER_INIT(SIGNATURE_SECRET_MAX_BYTES);
    /* All at once: a buffer that grew would leave copies behind that nobody wipes. */
    int code = buffer_reserve(&bytes, SIGNATURE_SECRET_MAX_BYTES);
    if (code == 0)
        code = read_secret(path, &bytes, error);
    if (code == 0)
        *ret_key = hmac_key_new(bytes.data, bytes.size_bytes);
    if (bytes.data != NULL)
        explicit_bzero(bytes.data, bytes.capacity_bytes);
    buffer_release(&bytes);
    return code;
}

int signature_parse(const char *text, uint8_t ret_mac[DIGEST_BYTES])
{
    size_t prefix_bytes = sizeof(SIGNATURE_PREFIX) - 1;
    if (text == NULL || strncmp(text, SIGNATURE_PREFIX, prefix_bytes) != 0)
        return ERR_INPUT;
    return digest_from_text(text + prefix_bytes, strnlen(text + prefix_bytes, DIGEST_TEXT_BYTES),
                            ret_mac);
}
