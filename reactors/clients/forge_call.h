/*
 * Calls of the forge client and what they stand on: internal to the forge client.
 *
 * Design: one state machine (forge_call.c) carries every call; a `struct forge_operation` says
 * what is particular about a kind of call. A *lookup* is a call that other calls wait for (who are
 * we, which installation, a token, can the repository be seen): as many calls as need the same
 * answer wait for the one lookup.
 *
 *   STARTING ──▶ AUTHENTICATING ◀──▶ (lookups) ──▶ ASKING ──▶ done
 *                     ▲                              │ │
 *                     └──────────────────────────────┘ └──▶ PROVING ──▶ (lookup) ──▶ done
 *                      next page, 401 with a fresh       404 of a file
 *                      secret, 304 for what is gone
 *
 * Files: forge.c (settings, life), forge_call.c (the machine), forge_auth.c (secrets,
 * credentials), forge_lookup.c (lookups), forge_request.c (URLs, headers), forge_answer.c (status
 * → code), forge_issues.c, forge_history.c,
 * forge_writes.c and forge_repositories.c (the operations).
 *
 * Invariants: a call is in forge.calls from forge_call_new until it is finished or dropped; a
 * callback is the last thing that happens to a call, after it has left the list, and nothing
 * touches the forge after it in the same turn, so a callback may even free the forge; credentials
 * are named by installation id, never by pointer, so forgetting one leaves nothing dangling.
 */
#ifndef NODAG_REACTORS_CLIENTS_FORGE_CALL_H
#define NODAG_REACTORS_CLIENTS_FORGE_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/http_client.h"
#include "base/json_text.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "reactors/clients/forge.h"
#include "reactors/clients/forge_cache.h"
#include "reactors/clients/forge_jwt.h"
#include "reactors/clients/forge_limits.h"
#include "reactors/clients/forge_map.h"

/* What a call starts with: it travels through `void *`. */
#define FORGE_CALL_MAGIC 0xf0c9ca11u

/* States of a call. */
#define FORGE_CALL_STATES(X)                                                                       \
    X(STARTING, "was made; its first step is deferred")                                            \
    X(AUTHENTICATING, "finds out as whom to ask; may wait for lookups")                            \
    X(ASKING, "its request is under way")                                                          \
    X(PROVING, "waits to learn whether a 404 can be believed")

/* See FORGE_CALL_STATES. */
enum forge_call_state {
#define FORGE_CALL_STATE_ENUM(name, text) FORGE_CALL_##name, /* see FORGE_CALL_STATES */
    FORGE_CALL_STATES(FORGE_CALL_STATE_ENUM)
#undef FORGE_CALL_STATE_ENUM
};

/* As whom a call asks. */
enum forge_scope {
    FORGE_SCOPE_OWN,        /* as ourselves: the token, or the App by its JWT */
    FORGE_SCOPE_REPOSITORY, /* the token, or the App's installation for the repository */
};

/* How the client proves who it is. */
enum forge_mode {
    FORGE_MODE_NONE,  /* not at all: public reads */
    FORGE_MODE_TOKEN, /* one token for everything */
    FORGE_MODE_APP,   /* JWT, and a token for each installation */
};

/* How a call ended, or that it has not: error.code 0. */
struct forge_outcome {
    struct error error;     /* code and text */
    int64_t retry_after_ms; /* with ERR_RATE_LIMITED */
    bool is_hidden;         /* the repository was proved to be invisible */
    bool effect_unsure;     /* a write may have taken effect */
};

struct forge_call;

/* What is particular about one kind of call. */
struct forge_operation {
    const char *name;        /* for error texts, after "cannot": "read the issue" */
    const char *method;      /* HTTP method; NULL: needs no request of its own */
    enum forge_scope scope;  /* as whom */
    bool is_write;           /* counts against the budget; its effect may be unsure */
    bool is_conditional;     /* ETag and 304 */
    bool is_list;            /* has pages */
    bool needs_identity;     /* our login must be known before */
    bool needs_proof;        /* 404 is believed only where the repository is visible */
    bool hidden_is_absent;   /* where the App is not installed: ERR_NOT_FOUND, not ERR_DENIED */
    bool absent_is_answer;   /* `read` also sees 404 */
    size_t answer_max_bytes; /* 0: FORGE_ANSWER_MAX_BYTES */
    /*
     * Takes what is needed out of an answer (status 200..299, or 404; body NULL if not JSON) into
     * call->answer; once for each page. ERR_INPUT, ERR_TOO_LARGE with a text; for 404
     * ERR_NOT_FOUND leaves the text that is there. NULL: not looked at.
     */
    int (*read)(struct forge_call *call, int status, const json_t *body, struct error *error);
    /* Runs the typed callback. NULL: a lookup, whose answer is in the forge. */
    void (*deliver)(struct forge_call *call, const struct forge_result *result);
    /* Frees call->answer. NULL: free(). */
    void (*release)(void *answer);
};

/* The typed callback of a call. */
union forge_done {
    forge_issue_fn issue;           /* forge_get_issue */
    forge_timeline_fn timeline;     /* forge_get_timeline */
    forge_issues_fn issues;         /* forge_list_issues */
    forge_labelings_fn labelings;   /* forge_list_labelings */
    forge_repository_fn repository; /* forge_get_repository */
    forge_names_fn names;           /* forge_list_labels */
    forge_file_fn file;             /* forge_get_file */
    forge_text_fn text;             /* forge_get_identity */
    forge_written_fn written;       /* all writes */
};

/* A call; see the picture above. */
struct forge_call {
    unsigned magic;                          /* FORGE_CALL_MAGIC */
    struct forge *forge;                     /* borrowed */
    struct forge_call *previous;             /* in forge.calls */
    struct forge_call *next;                 /* in forge.calls */
    const struct forge_operation *operation; /* static */
    union forge_done done;                   /* whom to tell */
    void *argument;                          /* theirs */
    enum forge_call_state state;             /* set by forge_call.c alone */
    struct forge_outcome outcome;            /* a code here ends the call at its next step */
    int64_t started_ms;                      /* monotonic */

    char *repository;   /* owned; NULL for calls about ourselves */
    char *what;         /* owned; for error texts: "owner/name#12" */
    char *url;          /* owned; of the next request */
    char *body;         /* owned; NULL: none */
    int64_t subject_id; /* token lookup: of which installation */

    int64_t installation_id; /* whose credential the request used; 0: our own */
    uint64_t generation;     /* of that credential when it was used */
    bool is_repeated;        /* after 401, once */
    bool is_conditional_now; /* the request that is under way carries If-None-Match */
    struct http_call *http;  /* borrowed; the request under way */
    size_t page_count;       /* pages read */
    int64_t answer_time_ms;  /* the forge's time of the last answer, since 1970 */

    size_t lookup_count;                       /* lookups that it waited for */
    const struct forge_operation *last_lookup; /* the last of them */
    struct forge_call *waits_for;              /* borrowed; a lookup */
    struct forge_call *next_waiting;           /* in waits_for->waiting */
    struct forge_call *waiting;                /* a lookup's: first call that waits for it */

    void *answer; /* owned; what operation->read made */
};

/* A token and the limits that go with it. */
struct forge_credential {
    char *token;              /* owned secret; NULL: none (yet), or the App's own credential */
    int64_t expires_ms;       /* monotonic; INT64_MAX: never */
    uint64_t generation;      /* rises when the secret is replaced */
    struct forge_limit limit; /* of the requests made with it */
    struct metric *remaining; /* borrowed gauge, or NULL */
};

/* What is known about a repository. */
struct forge_place {
    int64_t installation_id; /* App: the installation that includes it; 0: none */
    bool is_visible;         /* it can be seen by us */
    int64_t checked_ms;      /* monotonic */
};

/* Metrics; all NULL without a registry. */
struct forge_metrics {
    struct metrics_family *requests;  /* by method, status */
    struct metrics_family *remaining; /* by credential */
    struct metrics_family *deferred;  /* by limit */
    struct metric *not_modified;      /* answers 304 */
    struct metric *writes;            /* writes counted against the budget */
};

/* The client. */
struct forge {
    struct loop *loop;               /* borrowed */
    struct http_client *http;        /* borrowed */
    char *api_url;                   /* owned; without a slash at the end */
    enum forge_mode mode;            /* token, App or neither */
    char *token_file;                /* owned or NULL */
    char *app_id;                    /* owned or NULL */
    char *app_key_file;              /* owned or NULL */
    char *login;                     /* owned; NULL: not known yet */
    struct forge_key *key;           /* owned; App only */
    struct forge_credential own;     /* token, or the App's JWT */
    struct forge_map *installations; /* owned; id → struct forge_credential */
    struct forge_map *places;        /* owned; owner/name in lower case → struct forge_place */
    struct forge_cache *cache;       /* owned */
    struct forge_budget *budget;     /* owned */
    struct forge_call *calls;        /* owned list */
    struct forge_metrics metrics;    /* borrowed */
};

/* What forge_auth_prepare says. */
enum forge_progress {
    FORGE_READY,  /* the credential is there */
    FORGE_WAITS,  /* the call waits for a lookup and will be stepped again */
    FORGE_FAILED, /* call->outcome says why not */
};

/* ---- forge_call.c: the machine ---- */

/*
 * Makes a call on `repository` (copied; NULL: about ourselves); it does nothing until
 * forge_call_start. Owned by the forge.
 */
struct forge_call *forge_call_new(struct forge *forge, const struct forge_operation *operation,
                                  const char *repository, void *argument);

/*
 * Sets URL and subject: `path_format` is what follows /repos/OWNER/NAME. If the repository's name
 * is none, the outcome is ERR_INPUT. Loop thread.
 */
void forge_call_ask(struct forge_call *call, const char *path_format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Sets an ERR_… outcome (the first stays) with "cannot … WHAT: " before the text; the call ends at
 * its next step.
 */
int forge_call_fail(struct forge_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets the text that stands for the call's subject in errors: takes ownership. */
void forge_call_set_what(struct forge_call *call, char *what_taken);

/* Defers the first step; returns the call. */
struct forge_call *forge_call_start(struct forge_call *call);

/* Makes `call` wait for `lookup`; its next step comes when that has ended. */
void forge_call_wait(struct forge_call *call, struct forge_call *lookup);

/* Ends the call without telling anybody: cancels what is under way and frees it. */
void forge_call_drop(struct forge_call *call);

/* ---- forge_auth.c: secrets and credentials ---- */

/* Reads the secret files that the settings name. Errors as forge_new. */
int forge_auth_load(struct forge *forge, struct error *error) MUST_CHECK;

/* Finds as whom the call asks, and makes it wait for the lookups that this needs. */
enum forge_progress forge_auth_prepare(struct forge_call *call);

/*
 * Returns the Authorization header's value in `ret_value` (owned secret; NULL: none). ERR_INPUT if
 * the key cannot sign.
 */
int forge_auth_header(struct forge_call *call, char **ret_value, struct error *error) MUST_CHECK;

/*
 * After 401: replaces the secret that the call used, unless that has happened since. True if
 * asking again makes sense.
 */
bool forge_auth_refresh(struct forge_call *call);

/*
 * Returns a credential (0: our own), or NULL if it was forgotten. Borrowed until the next lookup
 * ends.
 */
struct forge_credential *forge_auth_credential(struct forge *forge, int64_t installation_id);

/* Returns the installation's credential, made if it is new. Borrowed as above. */
struct forge_credential *forge_auth_installation(struct forge *forge, int64_t installation_id);

/* Frees a credential; for the map of installations. */
void forge_auth_credential_free(void *credential);

/* Returns what is known about a repository, or NULL. Borrowed as above. */
struct forge_place *forge_auth_place(struct forge *forge, const char *repository);

/* Remembers what is known about a repository as of now. */
void forge_auth_set_place(struct forge *forge, const char *repository, int64_t installation_id,
                          bool is_visible);

/* ---- forge_lookup.c: lookups ---- */

/* Makes the call wait until our login is known. */
void forge_lookup_identity(struct forge_call *call);

/* Makes the call wait until its repository's installation is known. */
void forge_lookup_installation(struct forge_call *call);

/* Makes the call wait until the installation has a new token. */
void forge_lookup_token(struct forge_call *call, int64_t installation_id);

/* Makes the call wait until it is known whether its repository is visible. */
void forge_lookup_visibility(struct forge_call *call);

/*
 * True if the last lookup that the call waited for was for a token: then a token that ends soon is
 * used all the same.
 */
bool forge_lookup_was_token(const struct forge_call *call);

/* ---- forge_request.c: URLs and headers ---- */

/* Largest answer by default: an issue is at most 1 MB of JSON, a file 1.4 MB. */
#define FORGE_ANSWER_MAX_BYTES ((size_t)4 << 20)

/* Longest URL that is built. */
#define FORGE_URL_MAX_BYTES 8192

/*
 * Checks an API URL and returns it without slashes at the end; owned. ERR_USAGE with what is
 * wrong.
 */
int forge_url_normalise(const char *url, char **ret_url, struct error *error) MUST_CHECK;

/*
 * Returns true for OWNER/NAME as GitHub allows it (letters, digits, '.', '-', '_'; neither part
 * "." or "..").
 */
bool forge_url_is_repository(const char *repository);

/*
 * Encodes a path of a file, segment by segment; owned. ERR_INPUT for an empty, "." or ".."
 * segment; ERR_TOO_LARGE.
 */
int forge_url_encode_path(const char *path, char **ret_encoded) MUST_CHECK;

/*
 * Encodes one segment; owned. ERR_INPUT for "", "." and "..", which a URL cannot carry: HTTP
 * clients take them for steps in the path, and DELETE …/labels/. would remove all labels.
 * ERR_TOO_LARGE.
 */
int forge_url_encode_segment(const char *segment, char **ret_encoded) MUST_CHECK;

/*
 * Finds rel="next" in a Link header (RFC 8288; NULL: none) and returns it owned, NULL if there is
 * none. ERR_INPUT if it leads to another scheme, host or port than `api_url`: the token must not
 * go there.
 */
int forge_url_next_page(const char *api_url, const char *link, char **ret_url,
                        struct error *error) MUST_CHECK;

/*
 * Sends the call's request as call->installation_id; `done` gets the call. ERR_INPUT as
 * forge_auth_header.
 */
int forge_request_send(struct forge_call *call, http_done_fn done, struct error *error) MUST_CHECK;

/* ---- forge_answer.c: what an answer means ---- */

/* Judges a request that got no answer: sets the call's outcome. */
void forge_answer_judge_failure(struct forge_call *call, int code, const struct error *error);

/*
 * Judges an answer: learns the limits from it, counts it, and sets the call's outcome where its
 * status is not 2xx or 304.
 */
void forge_answer_judge(struct forge_call *call, const struct http_response *response);

/* Copies `text` without control characters into `ret_text`, cut at a character's start. */
void forge_answer_clean_text(const char *text, size_t room_bytes, char *ret_text);

/*
 * Returns 0 if the call's credential (and, for writes, the budget) lets it go out now, else sets
 * ERR_RATE_LIMITED.
 */
int forge_answer_check_limits(struct forge_call *call) MUST_CHECK;

#endif
