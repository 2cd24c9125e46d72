/*
 * Judging the head of a request before anybody acts on it: framing and declared sizes.
 *
 * libmicrohttpd 0.9.75 prefers Transfer-Encoding where both lengths are there, takes the first of several, and
 * takes a name with a space before its colon for another name. Whoever stands before us may read such a request
 * differently, and then the two disagree on where the next one begins. So everything that is ambiguous is refused,
 * and the connection closed. Source: RFC 9110 §5, RFC 9112 §3.2, §6.
 */
#include "base/http_server_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Bodies up to this size may use the last part of the bodies' memory: most deliveries are far smaller. */
#define HTTP_SMALL_BODY_BYTES 262144

/* The part of the bodies' memory that is kept for small bodies: one in this many. */
#define HTTP_SMALL_BODY_SHARE 8

/* What the library keeps for each header, cookie and query argument beside its text, rounded up. */
#define HTTP_VALUE_BYTES 80

/* Memory of a connection that the head must leave for reading the body, or the library would turn on the spot. */
#define HTTP_BODY_ROOM_BYTES 2048

/* Digits of the largest Content-Length that fits int64_t for certain. */
#define HTTP_LENGTH_DIGITS_MAX 18

/* Longest end of a line, and of a head: that of its last header and of the empty line. */
#define HTTP_LINE_END_BYTES 2
/* See above. */
#define HTTP_HEAD_END_BYTES (2 * HTTP_LINE_END_BYTES)

/* What one walk over the headers finds. */
struct header_scan {
    const char *read_to; /* the head up to here is accounted for */
    bool malformed; /* a name that is no token, a control character in a value, bytes in neither */
    unsigned lengths;     /* Content-Length headers */
    unsigned encodings;   /* Transfer-Encoding headers */
    unsigned hosts;       /* Host headers */
    const char *length;   /* last Content-Length */
    const char *encoding; /* last Transfer-Encoding */
};

/* RFC 9110 §5.6.2. */
static bool is_token(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (!isalnum((unsigned char)*text) && strchr("!#$%&'*+-.^_`|~", *text) == NULL)
            return false;
    return true;
}

/* RFC 9110 §5.5: visible characters, space, tab and bytes above ASCII. */
static bool is_field_value(const char *text)
{
    for (; *text != '\0'; text++)
        if (((unsigned char)*text < ' ' && *text != '\t') || *text == '\x7f')
            return false;
    return true;
}

/*
 * Returns true if between two places of the head stand blanks, then at most `end_max_bytes` of line ends, and nothing
 * else. The library (0.9.75) ends names and values at a NUL byte that the client sent, adds a folded line to the
 * header's name, and takes a line that begins with a colon for the end of the head: in each case a proxy before us
 * would read another request than it. It parses in place, writing NUL bytes for separators, so that what it passed
 * over is still there.
 */
static bool line_ends_between(const char *from, const char *to, size_t end_max_bytes)
{
    if (HTTP_LIBRARY_JUDGES_LINES)
        return true; /* and may keep names and values elsewhere */
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    if (from > to || (size_t)(to - from) > end_max_bytes)
        return false;
    for (; from < to; from++)
        if (*from != '\0' && *from != '\r' && *from != '\n')
            return false;
    return true;
}

/* Counts a value of any kind, and the text of cookies, which the library copies. */
static enum MHD_Result measure_value(void *argument, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    size_t *sum_bytes = argument;
    *sum_bytes += HTTP_VALUE_BYTES;
    if (kind == MHD_COOKIE_KIND)
        *sum_bytes += strlen(name) + (value != NULL ? strlen(value) : 0);
    return MHD_YES;
}

static enum MHD_Result scan_header(void *argument, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    (void)kind;
    struct header_scan *scan = argument;
    if (value == NULL)
        value = "";
    if (!line_ends_between(scan->read_to, name, HTTP_LINE_END_BYTES) || !is_token(name) ||
        !is_field_value(value))
        scan->malformed = true;
    scan->read_to = value + strlen(value);
    if (strcasecmp(name, "Content-Length") == 0) {
        scan->lengths++;
        scan->length = value;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        scan->encodings++;
        scan->encoding = value;
    } else if (strcasecmp(name, "Host") == 0) {
        scan->hosts++;
    }
    return MHD_YES;
}

/* Reads a Content-Length of digits alone; -1 if it is not one. */
static int64_t parse_length(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > HTTP_LENGTH_DIGITS_MAX || text[digits] != '\0')
        return -1;
    return strtoll(text, NULL, 10);
}

/* Judges the framing (RFC 9112 §3.2, §6.1, §6.3) and notes it in the exchange. */
static struct http_refusal judge_framing(struct http_exchange *exchange, const char *version)
{
    struct MHD_Connection *mhd = exchange->connection->mhd;
    struct header_scan scan = {.read_to = version + strlen(version)};
    (void)MHD_get_connection_values(mhd, MHD_HEADER_KIND, scan_header, &scan);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (scan.malformed || info == NULL ||
        !line_ends_between(scan.read_to, exchange->method + info->header_size, HTTP_HEAD_END_BYTES))
        return (struct http_refusal){400, "a header has a malformed name or value"};
    if (scan.lengths > 0 && scan.encodings > 0)
        return (struct http_refusal){400, "send Content-Length or Transfer-Encoding, not both"};
    if (scan.lengths > 1 || scan.encodings > 1)
        return (struct http_refusal){400, "send one Content-Length or Transfer-Encoding"};
    if (strcmp(version, "HTTP/1.1") == 0 && scan.hosts != 1)
        return (struct http_refusal){400, "send one Host header"};
    if (scan.encodings > 0) {
        if (strcmp(version, "HTTP/1.0") == 0)
            return (struct http_refusal){400, "HTTP/1.0 has no Transfer-Encoding"};
        if (strcasecmp(scan.encoding, "chunked") != 0)
            return (struct http_refusal){501, "the only Transfer-Encoding known here is chunked"};
        exchange->chunked = true;
    }
    if (scan.lengths > 0) {
        exchange->content_length_bytes = parse_length(scan.length);
        if (exchange->content_length_bytes < 0)
            return (struct http_refusal){400, "Content-Length is not a number of bytes"};
    }
    return (struct http_refusal){0, NULL};
}

bool http_bodies_have_room(const struct http_server *server, size_t body_bytes, size_t more_bytes)
{
    size_t room_bytes = server->settings.bodies_max_bytes;
    if (body_bytes > HTTP_SMALL_BODY_BYTES)
        room_bytes -= room_bytes / HTTP_SMALL_BODY_SHARE;
    return server->bodies_bytes <= room_bytes && more_bytes <= room_bytes - server->bodies_bytes;
}

/* Returns true if the head is within its limit and leaves the library room to read a body. */
static bool head_fits(const struct http_exchange *exchange)
{
    struct MHD_Connection *mhd = exchange->connection->mhd;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    size_t head_bytes = info != NULL ? info->header_size : 0;
    size_t limit_bytes = exchange->connection->server->settings.header_max_bytes;
    size_t kept_bytes = 0;
    (void)MHD_get_connection_values(mhd, MHD_HEADER_KIND | MHD_COOKIE_KIND | MHD_GET_ARGUMENT_KIND,
                                    measure_value, &kept_bytes);
    return head_bytes <= limit_bytes &&
           head_bytes + kept_bytes + HTTP_BODY_ROOM_BYTES <= limit_bytes + HTTP_POOL_EXTRA_BYTES;
}

/* Judges the sizes that the head declares. */
static struct http_refusal judge_sizes(const struct http_exchange *exchange)
{
    const struct http_server *server = exchange->connection->server;
    if (!head_fits(exchange))
        return (struct http_refusal){MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                                     "the request line and headers are too long or too many"};
    size_t body_max_bytes = server->settings.body_max_bytes;
    if (exchange->chunked && body_max_bytes == 0)
        return (struct http_refusal){413, "no body is accepted here"};
    if (exchange->content_length_bytes <= 0)
        return (struct http_refusal){0, NULL};
    size_t length_bytes = (size_t)exchange->content_length_bytes;
    if (length_bytes > body_max_bytes)
        return (struct http_refusal){413, "the body is over the size limit"};
    if (!http_bodies_have_room(server, length_bytes, length_bytes))
        return (struct http_refusal){503, "too many bytes are under way; try again later"};
    return (struct http_refusal){0, NULL};
}

struct http_refusal http_head_judge(struct http_exchange *exchange, const char *version)
{
    struct http_refusal refusal = judge_framing(exchange, version);
    return refusal.status != 0 ? refusal : judge_sizes(exchange);
}
