/*
 * The head of a delivery: GitHub's headers, checked by syntax before a byte of the body is read.
 *
 * Source: GitHub, "Webhook events and payloads", section "Delivery headers"; "Validating webhook deliveries".
 *
 * Design: a pure function of header values; delivery.c takes them from the request, tests from tables. A refusal says
 * the status, a short reason for logs and metrics, and a text that tells a person what is wrong and what to set.
 *
 * Invariant: an accepted head holds printable ASCII only, so that it may stand in headers, logs and answers.
 */
#ifndef NODAG_INGEST_GITHUB_HEAD_H
#define NODAG_INGEST_GITHUB_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "topics/envelope.h"

/* Length of a delivery id, a GUID: 8-4-4-4-12 hexadecimal digits. */
#define HEAD_DELIVERY_BYTES 36

/* Bytes behind a GUID. */
#define HEAD_GUID_BYTES 16

/* Longest event name; GitHub's longest has 32. */
#define HEAD_EVENT_MAX_BYTES 64

/* Longest hook or target id: digits of 64 bits. */
#define HEAD_ID_MAX_BYTES 20

/* Longest target type; GitHub's longest, `organization`, has 12. */
#define HEAD_TARGET_TYPE_MAX_BYTES 32

/* Why a request was refused or what came of it: member, label value in metrics and logs. */
#define HEAD_REASON_TABLE(X)                                                                       \
    X(REASON_PUBLISHED, "published")                                                               \
    X(REASON_REPEATED, "repeated")                                                                 \
    X(REASON_ADDRESS, "address")                                                                   \
    X(REASON_RANGES, "ranges")                                                                     \
    X(REASON_CLIENT_LIMIT, "client_limit")                                                         \
    X(REASON_PATH, "path")                                                                         \
    X(REASON_METHOD, "method")                                                                     \
    X(REASON_SIZE, "size")                                                                         \
    X(REASON_HEADER, "header")                                                                     \
    X(REASON_CONTENT_TYPE, "content_type")                                                         \
    X(REASON_SIGNATURE, "signature")                                                               \
    X(REASON_JSON, "json")                                                                         \
    X(REASON_SCOPE, "scope")                                                                       \
    X(REASON_DRAINING, "draining")                                                                 \
    X(REASON_QUEUE_FULL, "queue_full")                                                             \
    X(REASON_BROKER, "broker")                                                                     \
    X(REASON_DEADLINE, "deadline")                                                                 \
    X(REASON_CLOSED, "closed")

/* The reasons of HEAD_REASON_TABLE. */
enum reason {
#define REASON_ENUM(name, text) name, /* see HEAD_REASON_TABLE */
    HEAD_REASON_TABLE(REASON_ENUM)
#undef REASON_ENUM
        REASON_COUNT, /* how many there are */
};

/* Header values as they came; NULL: not sent; how often each was sent where once is all that is allowed. */
struct head_input {
    const char *event;           /* X-GitHub-Event */
    const char *delivery;        /* X-GitHub-Delivery */
    const char *hook_id;         /* X-GitHub-Hook-ID */
    const char *target_type;     /* X-GitHub-Hook-Installation-Target-Type */
    const char *target_id;       /* X-GitHub-Hook-Installation-Target-ID */
    const char *content_type;    /* Content-Type */
    const char *signature;       /* X-Hub-Signature-256 */
    const char *repeated_header; /* name of one of these that was sent more than once, or NULL */
};

/* A head that was accepted; texts are borrowed from the input. */
struct delivery_head {
    struct text event;             /* [a-z][a-z0-9_]* */
    struct text delivery;          /* the GUID as sent */
    uint8_t guid[HEAD_GUID_BYTES]; /* the GUID's bytes */
    struct text hook_id;           /* digits; absent if not sent */
    struct text target_type;       /* [a-z_]*; absent if not sent */
    struct text target_id;         /* digits; absent if not sent */
    struct text signature;         /* "sha256=…" as sent */
    uint8_t mac[DIGEST_BYTES];     /* what it says */
};

/* A refusal. */
struct refusal {
    int status;                  /* of the answer */
    enum reason reason;          /* for logs and metrics */
    char text[ERROR_TEXT_BYTES]; /* for the person who set up the webhook */
};

/*
 * Checks the head in the order event, delivery, hook and target (400), content type (415), signature (401). 0:
 * accepted; ERR_INPUT: refused as `ret_refusal` says. Any thread.
 */
int head_read(const struct head_input *input, struct delivery_head *ret_head,
              struct refusal *ret_refusal) MUST_CHECK;

/* Fills a refusal and returns ERR_INPUT. Any thread. */
int refusal_set(struct refusal *refusal, int status, enum reason reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Returns the label of a reason; static storage. Any thread. */
const char *reason_text(enum reason reason);

#endif
