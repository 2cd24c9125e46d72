/*
 * HTTP client on the loop: libcurl's multi interface behind one function.
 *
 * Design: `struct http_client` is a narrow interface (one function pointer), so that the simulation
 * answers requests from an in-memory world and the reactors do not know. The real one drives
 * curl_multi_socket_action from the loop. Every request has a total time limit, a limit on the
 * answer's size, and a number of redirects; TLS is always verified. Redirects are followed only to
 * the same scheme, host and port (so that a token never leaves its host) and only for GET. Source:
 * libcurl's curl_multi_socket_action(3).
 *
 * Invariants: the callback runs exactly once for each request that http_send accepted, never from
 * within http_send, unless the request was cancelled; after cancel it never runs.
 */
#ifndef NODAG_BASE_HTTP_CLIENT_H
#define NODAG_BASE_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"

/* Most headers of a request. */
#define HTTP_REQUEST_HEADERS_MAX 16

/* Default limits of a request where the caller gives 0. */
#define HTTP_CLIENT_TIMEOUT_MS 30000
/* Largest answer body by default. */
#define HTTP_CLIENT_BODY_MAX_BYTES (32u << 20)
/* Redirects followed by default. */
#define HTTP_CLIENT_REDIRECTS_MAX 3

/* One header of a request: both texts borrowed until http_send returns. */
struct http_header {
    const char *name;  /* without colon */
    const char *value; /* without line ends (asserted) */
};

/* Keys for AWS Signature Version 4, which S3 and what behaves as S3 ask for; texts borrowed until
 * http_send returns, and never part of an error's text. A streamed body of a megabyte or more is then sent only when the server
 * asks for it, or says nothing for a second: it may refuse before (RFC 9110 §10.1.1). */
struct http_aws_signature {
    const char *region;            /* e.g. eu-central-1 */
    const char *service;           /* e.g. s3 */
    const char *access_key_id;     /* without a colon (asserted) */
    const char *secret_access_key; /* its secret */
};

/*
 * Bodies that are too large to be held: pieces go through these functions, on the loop thread, until
 * `done` runs or the call is cancelled.
 */
struct http_stream {
    /* Writes the next piece of the request's body, 1..room bytes, and returns its size; 0 ends the
     * request with ERR_CANCELLED. NULL: the request's body is `body`. */
    size_t (*read)(void *argument, char *ret_bytes, size_t room_bytes);
    /* Takes the next piece of a body that was answered with 2xx, whose response->body is then empty;
     * false ends the request with ERR_CANCELLED. NULL: it is collected. */
    bool (*take)(void *argument, const char *bytes, size_t byte_count);
    void *argument; /* of both; borrowed */
};

/* A request; everything is borrowed until http_send returns. */
struct http_request {
    const char *method;                                   /* GET, POST, PATCH, PUT, DELETE */
    const char *url;                                      /* absolute, http or https */
    struct http_header headers[HTTP_REQUEST_HEADERS_MAX]; /* first header_count are used */
    size_t header_count;                                  /* 0..HTTP_REQUEST_HEADERS_MAX */
    const char *body;                                     /* or NULL */
    size_t body_bytes;                    /* length of body, or of what stream.read gives */
    struct http_stream stream;            /* bodies that are not held; zero: none */
    const struct http_aws_signature *aws; /* how to sign; NULL: not at all */
    int64_t timeout_ms;                   /* total; 0: HTTP_CLIENT_TIMEOUT_MS */
    int64_t stall_ms; /* longest time in which no byte moves, to the second; 0: no such limit */
    size_t body_max_bytes; /* of the answer; 0: HTTP_CLIENT_BODY_MAX_BYTES */
    int redirects_max;     /* 0: HTTP_CLIENT_REDIRECTS_MAX; -1: follow none */
};

/* An answer; borrowed, valid during the callback. */
struct http_response {
    int status;            /* 100..599 */
    const char *body;      /* NUL-terminated, never NULL */
    size_t body_bytes;     /* length */
    const char *final_url; /* after redirects */
    void *headers;         /* for http_response_header */
    /* Returns the value of a header, by any case, or NULL; borrowed. */
    const char *(*get_header)(const struct http_response *response, const char *name);
};

/*
 * What came of a request. code 0: `response` is the answer, whatever its status. Else `response` is
 * NULL and code is ERR_TIMEOUT, ERR_UNAVAILABLE (no connection, name not found, TLS, connection
 * cut), ERR_TOO_LARGE, ERR_INPUT (URL), ERR_CANCELLED (by a function of its stream), with a text in `error`. Loop thread.
 */
typedef void (*http_done_fn)(void *argument, int code, const struct http_response *response,
                             const struct error *error);

/* A request under way; borrowed from the client until its callback ran or it was cancelled. */
struct http_call;

/* The narrow interface. Implementations embed it as their first member. */
struct http_client {
    /* Starts a request. */
    struct http_call *(*send)(struct http_client *client, const struct http_request *request,
                              http_done_fn done, void *argument);
    /* Cancels one. */
    void (*cancel)(struct http_client *client, struct http_call *call);
};

/* Settings of the real client. */
struct http_client_settings {
    const char *user_agent; /* copied; GitHub refuses requests without one */
    const char *ca_file; /* extra certificate authorities (PEM), or NULL for the system's; copied */
    long connections_max; /* to one host; 0: 8 */
    bool
        refuse_link_local; /* never connect to a link-local address (169.254.0.0/16, fe80::/10: where
                               clouds give out credentials), whatever a name resolves to; no proxy is
                               used then. For URLs that others wrote. Such a request: ERR_UNAVAILABLE */
};

/* Makes the real client on a real loop; owned. Loop thread. */
struct http_client *http_client_new_curl(struct loop *loop,
                                         const struct http_client_settings *settings);

/* Cancels what is under way and frees the client; NULL allowed. Loop thread. */
void http_client_free_curl(struct http_client *client);
DEFINE_CLEANUP(struct http_client *, http_client_free_curl)

/* Starts a request; `done(argument, …)` runs later, exactly once. Returns a borrowed handle for
 * http_cancel. Loop thread. */
static inline struct http_call *http_send(struct http_client *client,
                                          const struct http_request *request, http_done_fn done,
                                          void *argument)
{
    return client->send(client, request, done, argument);
}

/* Cancels a request under way: its callback will not run. Loop thread. */
static inline void http_cancel(struct http_client *client, struct http_call *call)
{
    client->cancel(client, call);
}

/* Returns a response header's value by any case, or NULL; borrowed, valid during the callback. */
static inline const char *http_response_header(const struct http_response *response,
                                               const char *name)
{
    return response->get_header(response, name);
}

/* Appends `text` percent-encoded as one path segment or query value (RFC 3986 §2.3 unreserved
 * stay). ERR_TOO_LARGE. */
struct buffer;
/* See above. Any thread. */
int http_append_encoded(struct buffer *buffer, const char *text) MUST_CHECK;

#endif
