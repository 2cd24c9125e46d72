/*
 * HTTP server on the loop: libmicrohttpd's epoll descriptor watched by our loop, with the limits a
 * door needs.
 *
 * Why libmicrohttpd: it streams bodies, suspends and resumes a request for the late answer, bounds
 * memory and connections for each daemon, and its external epoll descriptor fits one loop;
 * libevent's own evhttp calls back only after the whole body, has no connection cap and accepts
 * `Content-Length` with `Transfer-Encoding`. What it lacks is added here: a total time limit for
 * each request, strict framing (RFC 9112 §6.1: both lengths, two lengths, names with spaces are
 * refused), an answer while the body is still coming, and a close that lets the client read that
 * answer. Source: the libmicrohttpd manual, MHD_suspend_connection(3), and RFC 9110 and 9112.
 *
 * A request runs through: head → body* → end → (later) answer.
 *
 *      on_head(request)   may answer at once (413 before a byte of body was read) or accept
 *      on_body(request)   for each piece of the body, as it came
 *      on_end(request)    the body is complete; answer now or later
 *      http_answer(…)     exactly one answer, from any of the above or later from the loop
 *      on_close(request)  always, once, last: release what belongs to the request
 *
 * What breaks HTTP's framing or a limit is refused by the server itself, before on_head if it shows
 * in the head:
 *
 *      400  malformed head or framing       413  body over body_max_bytes, by Content-Length or
 * while reading 408  over request_timeout_ms         431  head over header_max_bytes (414 if it is
 * the request line) 501  unknown transfer coding         503  bodies_max_bytes reached, with
 * Retry-After
 *
 * With TLS (1.2 or 1.3, settings.tls) all of this holds as on plain TCP. Time limits count from the
 * accepted connection: a handshake that is not complete after idle_timeout_ms is closed without a
 * word, as is what speaks plain HTTP, older TLS or anything else; nobody is told of them. Answers end
 * with close_notify. See http_tls_connection.c.
 *
 * With libmicrohttpd 1.0 and later (Debian 13) some of these are refused by the library, with 400 and its
 * own words, and chunk extensions (RFC 9112 §7.1.1), which no webhook sender uses, are refused too.
 *
 * Invariants: on_close is called once for each on_head; after it the request is gone; header, body,
 * total-time and connection limits hold before any callback sees the data; the sum of the bodies in
 * flight, counted as they are received, stays within `bodies_max_bytes`, and its last eighth is
 * kept for small bodies, so that a few huge ones do not shut out the many; all callbacks on the
 * loop thread.
 */
#ifndef NODAG_BASE_HTTP_SERVER_H
#define NODAG_BASE_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"

/* A certificate and its key: see http_tls.h. */
struct http_tls;

/* A server. */
struct http_server;

/* One request at the server; borrowed from on_head to on_close. */
struct http_exchange;

/* Most headers that an answer carries besides those of the library. */
#define HTTP_ANSWER_HEADERS_MAX 6

/* An answer; everything is copied by http_answer. */
struct http_answer {
    int status;               /* 200..599 */
    const char *content_type; /* NULL: text/plain; charset=utf-8 */
    const char *body;         /* or NULL */
    size_t body_bytes;        /* length of body */
    struct {
        const char *name;               /* header name; NULL ends the list */
        const char *value;              /* header value */
    } headers[HTTP_ANSWER_HEADERS_MAX]; /* more headers: Allow, Retry-After */
};

/*
 * What the owner of a server does with requests. All on the loop thread; `argument` is the
 * server's. on_body, on_close and on_refuse may be NULL.
 */
struct http_handler {
    /* The head is there: method, path and headers can be read. Returns the pointer that the later
     * calls get. */
    void *(*on_head)(void *argument, struct http_exchange *exchange);
    /* A piece of the body; not called after an answer. */
    void (*on_body)(void *request, struct http_exchange *exchange, const char *bytes,
                    size_t byte_count);
    /* The body is complete; not called after an answer. */
    void (*on_end)(void *request, struct http_exchange *exchange);
    /* The exchange is over, answered, cut or timed out; `request` may be NULL if on_head returned
     * NULL. */
    void (*on_close)(void *request, struct http_exchange *exchange);
    /* The server itself answered `status` (see above): for metrics. Not told of refusals within
     * libmicrohttpd. */
    void (*on_refuse)(void *argument, int status);
};

/* Limits and address of a server. Zero means the default named in brackets. */
struct http_server_settings {
    const char *address;      /* numeric address to listen on [127.0.0.1] */
    uint16_t port;            /* 0: any free port; see http_server_port */
    size_t body_max_bytes;    /* of one request; over it 413 [0: bodies are refused] */
    size_t bodies_max_bytes;  /* of all requests in flight together [4 × body_max_bytes] */
    size_t header_max_bytes;  /* request line and headers together; over it 431 [32 KiB] */
    unsigned connections_max; /* open connections; beyond it new ones wait unaccepted [1024] */
    unsigned connections_per_address_max; /* from one client address [0: no limit of its own] */
    int64_t idle_timeout_ms; /* without any byte, then close; rounded up to whole seconds [10 s] */
    int64_t request_timeout_ms; /* from the request line to the complete body; then 408 and close
                                   [30 s] */
    const struct http_tls *tls; /* the certificate to show (http_tls.h); borrowed for the server's
                                   life [NULL: plain HTTP] */
};

/* Room for a numeric host address with its NUL. */
#define HTTP_HOST_BYTES 64

/* Reads "host:port" or "[host]:port" into its parts; whether the host is an address shows when
 * listening. ERR_INPUT. Any thread. */
int http_address_parse(const char *text, char ret_host[HTTP_HOST_BYTES], uint16_t *ret_port,
                       struct error *error) MUST_CHECK;

/* Starts listening; owned. ERR_UNAVAILABLE if the address is taken, ERR_DENIED, ERR_INPUT, with
 * text. Loop thread. */
int http_server_new(struct loop *loop, const struct http_server_settings *settings,
                    const struct http_handler *handler, void *argument,
                    struct http_server **ret_server, struct error *error) MUST_CHECK;

/* Returns the port that it listens on. Loop thread. */
uint16_t http_server_port(const struct http_server *server);

/* Stops accepting connections; requests under way go on, and answers say `Connection: close`. Loop
 * thread. */
void http_server_quiesce(struct http_server *server);

/* Returns how many exchanges are open. Loop thread. */
size_t http_server_exchange_count(const struct http_server *server);

/* Closes everything (on_close is called for what is open) and frees; NULL allowed. Loop thread. */
void http_server_free(struct http_server *server);
DEFINE_CLEANUP(struct http_server *, http_server_free)

/* Returns the request method; borrowed. */
const char *http_exchange_method(const struct http_exchange *exchange);

/* Returns the path without query; borrowed. */
const char *http_exchange_path(const struct http_exchange *exchange);

/* Returns a query argument or NULL; borrowed. */
const char *http_exchange_query(const struct http_exchange *exchange, const char *name);

/* Returns a request header by any case, or NULL; borrowed. A header that was sent twice gives the
 * first. */
const char *http_exchange_header(const struct http_exchange *exchange, const char *name);

/* Returns how often a header was sent: 0, 1, more. */
size_t http_exchange_header_count(const struct http_exchange *exchange, const char *name);

/* Writes the values of a header in the order in which they were sent, the first `values_max` of
 * them (borrowed); returns how often it was sent. */
size_t http_exchange_header_values(const struct http_exchange *exchange, const char *name,
                                   const char **ret_values, size_t values_max);

/* Returns the declared Content-Length, or -1 for none (chunked or no body). */
int64_t http_exchange_content_length(const struct http_exchange *exchange);

/* Writes the client's numeric address into `ret_text` (at least 46 bytes). */
void http_exchange_client(const struct http_exchange *exchange, char *ret_text, size_t text_bytes);

/*
 * Answers the exchange; once. Before the body was read: a short rest is read and dropped, then the
 * answer goes out and the connection lives on; with a long or unknown rest the answer goes out at
 * once and the connection is closed. If the client has gone, nothing happens but on_close. Loop
 * thread.
 */
void http_answer(struct http_exchange *exchange, const struct http_answer *answer);

/* Answers with a status and a plain text (printf). Loop thread. */
void http_answer_text(struct http_exchange *exchange, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns true once the exchange was answered. */
bool http_exchange_is_answered(const struct http_exchange *exchange);

#endif
