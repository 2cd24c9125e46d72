/*
 * What the files of the HTTP client share: internal to base/http_client.c and http_client_request.c.
 *
 * Invariant: a call belongs to one client; its easy handle is in the client's multi handle from call_start until it is
 * collected or cancelled.
 */
#ifndef NODAG_BASE_HTTP_CLIENT_INTERNAL_H
#define NODAG_BASE_HTTP_CLIENT_INTERNAL_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/http_client.h"
#include "base/loop.h"

/* The first member is the interface, so that a pointer to it is a pointer to us. */
struct curl_client {
    struct http_client interface;
    struct loop *loop;        /* borrowed */
    CURLM *multi;             /* owned */
    struct loop_timer *timer; /* owned */
    char *user_agent;         /* owned */
    char *ca_file;            /* owned, or NULL */
    struct http_call *calls;  /* list of what is under way */
    bool refuse_link_local;   /* see the settings */
    bool finishing;           /* done callbacks are running */
};

/* One request under way, over all its hops. */
struct http_call {
    struct curl_client *client; /* borrowed */
    CURL *easy;                 /* owned */
    struct curl_slist *headers; /* owned */
    char *body;                 /* owned copy of the request's body */
    bool is_get;                /* redirects may be followed */
    int redirects_left;
    int64_t due_ms;            /* when the total time is over */
    struct buffer answer;      /* the answer's body */
    size_t header_bytes;       /* of the answer's headers so far */
    bool too_large;            /* a limit of the answer was passed */
    struct http_stream stream; /* bodies that are not held */
    bool stream_ended;         /* by one of its functions */
    size_t taken_bytes;        /* by stream.take, of at most answer.limit_bytes */
    char error_text[CURL_ERROR_SIZE];
    char *label; /* method and URL without query and user, for error texts; owned */
    http_done_fn done;
    void *argument;
    struct http_call *previous;
    struct http_call *next;
};

/* Aborts unless libcurl took an option: it refuses only what it was built without, or for want of memory. Any thread. */
void http_check_easy(CURLcode code);

/* Tells the call's easy handle everything but URL and time limits. The request is borrowed. Loop thread. */
void http_call_prepare(struct http_call *call, const struct http_request *request);

#endif
