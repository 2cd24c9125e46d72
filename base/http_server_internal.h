/*
 * What the files of the HTTP server share: internal to base/http_{server,exchange,head,linger,listen,tls,tls_connection}.c.
 *
 * Design: a connection goes through phases; each request on it is an exchange. The phase says which deadline holds.
 *
 *      WAITING ──request line──▶ HEAD ──head──▶ BODY ──complete──▶ ANSWERING ──sent──▶ WAITING …
 *         └──────────────────────┴──────────────┴─────────────────────┴───▶ CLOSED
 *
 * Invariants: only http_connection_set_phase() changes a phase, and it keeps the deadline lists; a connection has
 * an exchange from its first access callback until on_close.
 */
#ifndef NODAG_BASE_HTTP_SERVER_INTERNAL_H
#define NODAG_BASE_HTTP_SERVER_INTERNAL_H

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/http_server.h"
#include "base/http_tls.h"
#include "base/loop.h"

/*
 * Memory of a connection beyond the head: the library keeps its list of headers, cookies and arguments and the head
 * of the answer there. The body is read through what the head left free.
 */
#define HTTP_POOL_EXTRA_BYTES 8192

/*
 * From 1.0 on the library itself refuses what is ambiguous in a head (folded lines, NUL bytes, lines without a name), where
 * MHD_OPTION_CLIENT_DISCIPLINE_LVL says so; before, http_head.c finds it.
 */
#define HTTP_LIBRARY_JUDGES_LINES (MHD_VERSION >= 0x01000000)

/* The phases of a connection: name and what holds in it. */
#define HTTP_PHASES(X)                                                                             \
    X(WAITING)   /* no complete request line yet: a fresh or kept connection */                    \
    X(HEAD)      /* the request line is there, headers are coming or being judged */               \
    X(BODY)      /* the head was judged, the body is coming */                                     \
    X(ANSWERING) /* the request is complete or refused: waiting for the answer, or sending it */   \
    X(CLOSED)    /* the library has let go of it */

/* See HTTP_PHASES. */
enum http_phase {
#define HTTP_PHASE_ENUM(name) HTTP_PHASE_##name, /* see HTTP_PHASES */
    HTTP_PHASES(HTTP_PHASE_ENUM)
#undef HTTP_PHASE_ENUM
};

/* Connections in phases with the same time limit, in the order in which it runs out. */
struct http_deadlines {
    struct http_connection *first; /* the next to expire; NULL: none */
    struct http_connection *last;  /* the last to expire */
    int64_t limit_ms;              /* the time limit of them all; 0: none */
};

/* One connection. */
struct http_connection {
    unsigned magic;                 /* HTTP_CONNECTION_MAGIC */
    struct http_server *server;     /* borrowed */
    struct MHD_Connection *mhd;     /* borrowed */
    enum http_phase phase;          /* see http_connection_set_phase */
    bool cut;                       /* we ended it: nothing more is read or answered */
    bool linger;                    /* drain it after the close: the client shall read the answer */
    struct http_exchange *exchange; /* the present request; NULL: none */
    struct http_tls_pair *tls_pair; /* held: the certificate that it began with; NULL: plain TCP */
    struct http_deadlines *deadlines; /* the list that it is in; NULL: expired or closed */
    int64_t due_ms;                   /* when it expires, where the list has a limit */
    struct http_connection *previous; /* in that list */
    struct http_connection *next;     /* in that list */
};

/* One request. */
struct http_exchange {
    struct http_connection *connection; /* borrowed */
    const char *method;                 /* borrowed from the library */
    const char *path;                   /* borrowed from the library */
    void *request;                      /* the handler's */
    bool announced;                     /* on_head was called: on_close must follow */
    bool answered;                      /* http_answer was called */
    bool chunked;                       /* body of unknown length */
    bool suspended;                     /* the library waits for http_answer */
    int64_t content_length_bytes;       /* declared, or -1 */
    size_t received_bytes;              /* of the body so far */
    size_t counted_bytes;               /* of them, in the server's sum of bodies in flight */
    int status;                         /* of the answer */
    struct MHD_Response *response;      /* owned; NULL until answered, or where it was sent raw */
};

/* A server. */
struct http_server {
    struct loop *loop;                    /* borrowed */
    struct http_server_settings settings; /* with the defaults filled in; address is not kept */
    struct http_handler handler;
    void *argument;         /* the handler's */
    struct MHD_Daemon *mhd; /* owned */
    uint16_t port;
    bool running;                      /* within MHD_run: callbacks must not run it again */
    bool run_deferred;                 /* a run is on the loop's list */
    bool progress;                     /* the present run moved something */
    unsigned idle_runs;                /* runs in a row that moved nothing */
    uint64_t run_count;                /* runs of the library so far: for tests */
    bool quiesced;                     /* accepts no more */
    bool stopping;                     /* within http_server_free */
    struct loop_fd *watch;             /* of the library's epoll descriptor; owned */
    struct loop_timer *run_timer;      /* the library's timeouts; owned */
    int64_t run_due_ms;                /* when run_timer fires; valid while it is set */
    struct loop_timer *deadline_timer; /* our deadlines; owned */
    int64_t deadline_due_ms;           /* when deadline_timer fires; valid while it is set */
    struct http_deadlines waiting;     /* connections in WAITING */
    struct http_deadlines requesting;  /* connections in HEAD and BODY */
    struct http_deadlines answering;   /* connections in ANSWERING: no limit of ours */
    struct http_exchange *current;     /* whose callback runs; NULL: none */
    size_t exchange_count;
    size_t bodies_bytes;         /* sum of counted_bytes */
    struct http_linger *lingers; /* connections being drained; list */
    size_t linger_count;
};

/* The versions and algorithms of TLS: GnuTLS' usual ones, without the versions before 1.2 (RFC 8996). */
#define HTTP_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* A certificate chain and its key, counted. */
struct http_tls_pair;

/* What a connection starts with: it travels through the library's `void *`. */
#define HTTP_CONNECTION_MAGIC 0x477cc001u

/*
 * Opens a listening socket (owned result) on a numeric address; port 0: any free one. `ret_port` becomes the port
 * that it has. ERR_UNAVAILABLE (taken), ERR_DENIED, ERR_INPUT (no such address here), ERR_IO, with text. Loop
 * thread.
 */
int http_listen(const char *address, uint16_t port, int *ret_fd, uint16_t *ret_port,
                struct error *error) MUST_CHECK;

/* Moves a connection to its next phase and into the deadline list of that phase. Loop thread. */
void http_connection_set_phase(struct http_connection *connection, enum http_phase phase);

/* Makes the library look at its connections soon. Loop thread. */
void http_server_run_soon(struct http_server *server);

/* A reason to refuse a request. */
struct http_refusal {
    int status;       /* 0: none */
    const char *text; /* what is wrong and what would be right */
};

/* Judges a head and notes the body's framing in the exchange. `version` as in the request line. Loop thread. */
struct http_refusal http_head_judge(struct http_exchange *exchange, const char *version);

/*
 * Returns true if a body that has grown to `body_bytes` may take `more_bytes` of the bodies' memory. Loop thread.
 */
bool http_bodies_have_room(const struct http_server *server, size_t body_bytes, size_t more_bytes);

/* The library's access callback (MHD_AccessHandlerCallback): head, pieces of the body, end. */
enum MHD_Result http_exchange_on_access(void *server, struct MHD_Connection *mhd, const char *url,
                                        const char *method, const char *version,
                                        const char *upload_data, size_t *upload_data_bytes,
                                        void **exchange_pointer);

/* Ends an exchange: on_close if it was announced, then frees it. Loop thread. */
void http_exchange_close(struct http_exchange *exchange);

/*
 * Sends a refusal past the library, which cannot answer in the midst of a body, and cuts the connection. Loop
 * thread.
 */
void http_connection_refuse(struct http_connection *connection, int status, const char *text);

/*
 * Keeps the descriptor's connection open after the library closes its own copy, and reads and drops what the client
 * still sends, for a bounded time and size: closing with unread bytes would make the kernel reset the connection,
 * and the answer could be lost (RFC 9112 §9.6). Does nothing if too many are being drained. `fd` is borrowed. Loop
 * thread.
 */
void http_linger_start(struct http_server *server, int fd);

/* Closes all connections that are being drained. Loop thread. */
void http_linger_stop_all(struct http_server *server);

/* Counts one more holder of the pair in force; returns it. Loop thread. */
struct http_tls_pair *http_tls_hold(const struct http_tls *tls);

/* Counts one holder less; the last one frees. NULL allowed. Loop thread. */
void http_tls_pair_free(struct http_tls_pair *pair);
DEFINE_CLEANUP(struct http_tls_pair *, http_tls_pair_free)

/* Returns the pair as GnuTLS takes it; borrowed. Loop thread. */
gnutls_certificate_credentials_t http_tls_pair_credentials(const struct http_tls_pair *pair);

/* Gives a fresh connection the certificate in force, where the server speaks TLS; before its handshake. Loop thread. */
void http_tls_begin(struct http_connection *connection);

/*
 * Writes bytes to a connection with TLS past the library, which must be reading only. Returns false if they could not
 * be written: the handshake is not complete, the client does not read or is gone. Loop thread.
 */
bool http_tls_send(struct http_connection *connection, const char *bytes, size_t byte_count);

/* Tells the client of a connection with TLS that nothing more follows (close_notify). Loop thread. */
void http_tls_close(struct http_connection *connection);

/* Lets go of the certificate; the library has freed its session. Loop thread. */
void http_tls_end(struct http_connection *connection);

/*
 * What the library is started with as its way to a certificate (gnutls_certificate_retrieve_function2): there is none,
 * http_tls_begin gives each connection its own. Fails the handshake. Loop thread.
 */
int http_tls_no_certificate(gnutls_session_t session, const gnutls_datum_t *authorities,
                            int authority_count, const gnutls_pk_algorithm_t *algorithms,
                            int algorithm_count, gnutls_pcert_st **ret_chain,
                            unsigned *ret_chain_count, gnutls_privkey_t *ret_key);

#endif
