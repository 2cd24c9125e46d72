/*
 * URLs of the HTTP client: see http_url.h. Source: RFC 3986; curl_url(3).
 */
#include "base/http_url.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/http_client.h"
#include "base/memory.h"

char *http_url_make_label(const char *method, const char *url)
{
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    size_t authority_bytes = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', authority_bytes);
    int scheme_bytes = (int)(host - url);
    if (at != NULL)
        host = at + 1;
    return mem_format("%s %.*s%.*s", method, scheme_bytes, url, (int)strcspn(host, "?#"), host);
}

/* Reads one part of a URL; NULL if there is none. Freed by curl_free. */
static char *url_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK ? text : NULL;
}

bool http_url_same_origin(const char *left_text, const char *right_text)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    CURLU *left = curl_url();
    CURLU *right = curl_url();
    bool same = left != NULL && right != NULL &&
                curl_url_set(left, CURLUPART_URL, left_text, 0) == CURLUE_OK &&
                curl_url_set(right, CURLUPART_URL, right_text, 0) == CURLUE_OK;
    for (size_t i = 0; i < ARRAY_COUNT(parts) && same; i++) {
        char *left_part = url_part(left, parts[i]);
        char *right_part = url_part(right, parts[i]);
        same = left_part != NULL && right_part != NULL && strcasecmp(left_part, right_part) == 0;
        curl_free(left_part);
        curl_free(right_part);
    }
    curl_url_cleanup(left);
    curl_url_cleanup(right);
    return same;
}

int http_append_encoded(struct buffer *buffer, const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    size_t old_bytes = buffer->size_bytes;
    int code = 0;
    while (*text != '\0' && code == 0) {
        size_t plain_bytes = strspn(text, unreserved);
        if (plain_bytes > 0) {
            code = buffer_append(buffer, text, plain_bytes);
            text += plain_bytes;
        } else {
            code = buffer_append_format(buffer, "%%%02X", (unsigned)(unsigned char)*text);
            text++;
        }
    }
    if (code != 0 && buffer->data != NULL) { /* nothing is appended on failure */
        buffer->size_bytes = old_bytes;
        buffer->data[old_bytes] = '\0';
    }
    return code;
}
