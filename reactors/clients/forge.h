/*
 * The forge: what nodag needs of GitHub's REST API, typed, frugal and polite.
 * Source: GitHub REST API, version 2022-11-28 (apps, issues, labels, timeline, comments, contents,
 * rate limits, best practices).
 *
 * Design: every function starts one question and calls back once with a typed answer; JSON stays
 * in here. The transport is the narrow `struct http_client`, so the simulation plays GitHub
 * itself. The forge obeys limits for everybody: while a primary or secondary limit holds, or the
 * write budget is used up, a call fails at once with ERR_RATE_LIMITED and says in how many
 * milliseconds it is worth coming back; it never waits by itself and never retries: the reactor's
 * kernel does that. (Only the authentication that a call needs, and one repetition after 401 with
 * a fresh token, happen inside a call.) Each installation has limits of its own, as at GitHub; the
 * write budget is one for the client, counts every POST, PATCH and DELETE, and holds for any hour
 * and (16% of it) any minute. Reads that may be repeated (file, labels of a repository,
 * repository) are conditional: ETag → 304 costs no rate limit.
 *
 * Absent or hidden? GitHub answers 404 also for what one may not see. forge_get_file therefore
 * says ERR_NOT_FOUND only where the repository is known to be visible (App: the installation
 * includes it; token: the repository can be read; both as of the last five minutes) and ERR_DENIED
 * otherwise. Where the App is not installed, every call says ERR_DENIED without asking further
 * (forge_get_repository: ERR_NOT_FOUND); that is believed for a minute.
 *
 * Moved? Reads follow what was renamed or transferred. Writes do not: they say ERR_CONFLICT,
 * nothing was written, and forge_get_issue tells where the issue is now.
 *
 * Invariants: the callback runs exactly once for each call, never from within the starting
 * function, never after forge_cancel; it may call anything here, forge_free too; tokens, keys and
 * JWTs are never in an error text; writes stay within the budget. How many calls are under way at
 * once is the caller's to bound.
 */
#ifndef NODAG_REACTORS_CLIENTS_FORGE_H
#define NODAG_REACTORS_CLIENTS_FORGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/option.h"

/*
 * GitHub's documented secondary limit on content creation, which is the default budget: 500 an
 * hour.
 */
#define FORGE_WRITES_PER_HOUR 500

/* Most labels that an issue has on GitHub. */
#define FORGE_ISSUE_LABELS_MAX 100

/* Most pages that are read of one list; a timeline of 3,000 entries. Beyond it: ERR_TOO_LARGE. */
#define FORGE_PAGES_MAX 30

/* Longest owner/name. */
#define FORGE_REPOSITORY_BYTES 256

/* Settings; all texts borrowed until forge_new returns. */
struct forge_settings {
    const char *api_url;      /* --forge-url: https://api.github.com, or https://HOST/api/v3 */
    const char *token_file;   /* --forge-token-file: a token of a machine account */
    const char *app_id;       /* --forge-app-id: App id or client id */
    const char *app_key_file; /* --forge-app-key-file: the App's private key (PEM) */
    const char *login;        /* --forge-login: own login; NULL: asked from the forge */
    const char *ca_file; /* --forge-ca-file: extra certificate authorities, for the HTTP client */
    int64_t writes_per_hour; /* --forge-writes-per-hour */
};

/* Rows for option tables: `type` is the settings struct, `member` its struct forge_settings. */
#define FORGE_OPTION_ROWS(type, member)                                                            \
    {.name = "forge-url",                                                                          \
     .kind = OPTION_TEXT,                                                                          \
     .offset = offsetof(type, member.api_url),                                                     \
     .default_value = "https://api.github.com",                                                    \
     .value_name = "URL",                                                                          \
     .group = "Forge (GitHub)",                                                                    \
     .help = "REST API of the forge; for GitHub Enterprise https://HOST/api/v3."},                 \
        {.name = "forge-token-file",                                                               \
         .kind = OPTION_SECRET_FILE,                                                               \
         .offset = offsetof(type, member.token_file),                                              \
         .help = "File with a token of a machine account. What that account's owner does by hand " \
                 "counts as nodag's doing."},                                                      \
        {.name = "forge-app-id",                                                                   \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, member.app_id),                                                  \
         .value_name = "ID",                                                                       \
         .help = "Id of the GitHub App (instead of a token)."},                                    \
        {.name = "forge-app-key-file",                                                             \
         .kind = OPTION_SECRET_FILE,                                                               \
         .offset = offsetof(type, member.app_key_file),                                            \
         .help = "The App's private key, PEM."},                                                   \
        {.name = "forge-login",                                                                    \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, member.login),                                                   \
         .value_name = "LOGIN",                                                                    \
         .help = "Login under which nodag acts; asked from the forge when absent."},               \
        {.name = "forge-ca-file",                                                                  \
         .kind = OPTION_FILE,                                                                      \
         .offset = offsetof(type, member.ca_file),                                                 \
         .help = "Extra certificate authorities (PEM) for an Enterprise forge."},                  \
    {                                                                                              \
        .name = "forge-writes-per-hour", .kind = OPTION_INTEGER,                                   \
        .offset = offsetof(type, member.writes_per_hour), .default_value = "500", .least = 1,      \
        .most = 100000, .help = "Budget of content creations an hour; beyond it work is deferred." \
    }

/* A forge client. */
struct forge;

/* A call under way; borrowed until its callback ran or it was cancelled. */
struct forge_call;

/* How a call ended; borrowed for the callback. */
struct forge_result {
    int code; /* 0, or: ERR_NOT_FOUND, ERR_DENIED, ERR_RATE_LIMITED, ERR_UNAVAILABLE, ERR_TIMEOUT,
                 ERR_INPUT (422, or an answer that is not what GitHub documents), ERR_TOO_LARGE,
                 ERR_CONFLICT */
    int64_t retry_after_ms; /* with ERR_RATE_LIMITED: when to come back, ≥ 1000; else 0 */
    bool is_hidden;     /* with ERR_DENIED: the repository was proved to be invisible to nodag */
    bool effect_unsure; /* a write may have taken effect although it failed (connection cut,
                                  time-out, 5xx) */
    const struct error *error; /* text when code is not 0 */
};

/* An issue as GitHub has it now; borrowed for the callback. */
struct forge_issue {
    int64_t number;         /* of the issue */
    const char *repository; /* owner/name where it is, after redirects; from its repository_url */
    const char *title;      /* never NULL */
    const char *body;       /* never NULL */
    bool is_open;           /* state == "open" */
    bool is_pull_request;   /* it has a pull_request member */
    bool is_locked;         /* conversation locked */
    int64_t created_ms;     /* since 1970 */
    size_t label_count;     /* of labels */
    const char *const *labels; /* names */
};

/* What an entry of a timeline says; others are left out. */
enum forge_timeline_kind {
    FORGE_TIMELINE_LABELED,   /* label was added */
    FORGE_TIMELINE_UNLABELED, /* label was removed */
    FORGE_TIMELINE_COMMENTED, /* a comment stands there */
};

/* One entry of an issue's timeline, in the forge's order: oldest first. */
struct forge_timeline_item {
    enum forge_timeline_kind kind; /* what it says */
    const char *actor;             /* login, "" if the account is gone */
    bool is_own;                   /* the actor is nodag itself */
    bool is_bot;                   /* the actor is of type Bot */
    int64_t time_ms;               /* since 1970 */
    const char *label;             /* for labeled and unlabeled */
    int64_t comment_id;            /* for commented */
    const char *body;              /* for commented by nodag itself; "" for what others wrote: a
                                      marker counts only in a comment of our own */
};

/* A repository as the forge knows it. */
struct forge_repository {
    int64_t id;                 /* survives renames */
    const char *default_branch; /* its name; "" if the answer had none */
    const char *full_name;      /* owner/name now */
    int64_t owner_id;           /* of the account that owns it; 0 if the answer had none */
    bool is_archived;           /* read only: nothing can be written */
    bool is_private;            /* not public */
};

/* Somebody, as the forge names them. */
struct forge_person {
    const char *login; /* NULL: the account is gone, or not told */
    const char *type;  /* User, Bot, Organization, …; NULL: not told */
};

/* An issue of a list, with all that a record of it needs; borrowed for the callback. */
struct forge_listed_issue {
    int64_t number;             /* of the issue or pull request */
    const char *title;          /* never NULL; may hold NUL characters */
    size_t title_bytes;         /* its length */
    const char *body;           /* NULL: none; may hold NUL characters */
    size_t body_bytes;          /* its length */
    const char *state;          /* open, closed */
    const char *state_reason;   /* NULL: none */
    int64_t created_ms;         /* since 1970 */
    int64_t updated_ms;         /* likewise */
    int64_t closed_ms;          /* likewise; -1: it is not closed */
    struct forge_person author; /* who opened it */
    bool is_pull_request;       /* it has a pull_request member */
    size_t label_count;         /* of labels */
    const char *const *labels;  /* names */
};

/* Somebody put a label on an issue, or took it off. */
struct forge_labeling {
    bool is_added;             /* labeled; else unlabeled */
    const char *label;         /* its name */
    int64_t time_ms;           /* since 1970 */
    struct forge_person actor; /* who */
};

/* What is left of the forge's limit of requests, as the last answer told. */
struct forge_quota {
    bool is_known;         /* an answer told it, and its hour is not over */
    int64_t limit;         /* requests an hour; 0: not told */
    int64_t remaining;     /* of them */
    int64_t reset_wait_ms; /* until the hour is over */
};

/* Callbacks: `result->code` first; the other pointer is NULL unless it is 0. Loop thread. */
typedef void (*forge_issue_fn)(void *argument, const struct forge_result *result,
                               const struct forge_issue *issue);
/* A timeline: items are borrowed for the callback. */
typedef void (*forge_timeline_fn)(void *argument, const struct forge_result *result,
                                  const struct forge_timeline_item *items, size_t count);
/* Issues of one page. */
typedef void (*forge_issues_fn)(void *argument, const struct forge_result *result,
                                const struct forge_listed_issue *issues, size_t count);
/* Who labeled what, oldest first. */
typedef void (*forge_labelings_fn)(void *argument, const struct forge_result *result,
                                   const struct forge_labeling *labelings, size_t count);
/* A repository. */
typedef void (*forge_repository_fn)(void *argument, const struct forge_result *result,
                                    const struct forge_repository *repository);
/* A list of names. */
typedef void (*forge_names_fn)(void *argument, const struct forge_result *result,
                               const char *const *names, size_t count);
/* A file's bytes. */
typedef void (*forge_file_fn)(void *argument, const struct forge_result *result, const char *bytes,
                              size_t byte_count);
/* A login. */
typedef void (*forge_text_fn)(void *argument, const struct forge_result *result, const char *text);
/* An id: of the comment that was made or edited; 0 for calls without one. */
typedef void (*forge_written_fn)(void *argument, const struct forge_result *result, int64_t id);

/*
 * Makes a client; exactly one of token and App must be given, or neither (then only public reads
 * work). Reads the secret files (and again when a 401 says that they are out of date). `http` is
 * borrowed for the client's life; `metrics` may be NULL. Owned. ERR_USAGE for settings that do not
 * go together, ERR_NOT_FOUND/ERR_INPUT for files. Loop thread.
 */
int forge_new(struct loop *loop, struct http_client *http, const struct forge_settings *settings,
              struct metrics *metrics, struct forge **ret_forge, struct error *error) MUST_CHECK;

/* Cancels what is under way and frees; NULL allowed. Loop thread. */
void forge_free(struct forge *forge);
DEFINE_CLEANUP(struct forge *, forge_free)

/* Cancels a call: its callback will not run; a write may still take effect. Loop thread. */
void forge_cancel(struct forge *forge, struct forge_call *call);

/*
 * Asks who we are (App: "slug[bot]"; token: its login; else ERR_DENIED unless settings.login);
 * remembered for the client's life. forge_get_timeline does this by itself. Loop thread.
 */
struct forge_call *forge_get_identity(struct forge *forge, forge_text_fn done, void *argument);

/* Reads a repository. ERR_NOT_FOUND: absent or not visible. Loop thread. */
struct forge_call *forge_get_repository(struct forge *forge, const char *repository,
                                        forge_repository_fn done, void *argument);

/* Reads the names of a repository's labels (all pages). Loop thread. */
struct forge_call *forge_list_labels(struct forge *forge, const char *repository,
                                     forge_names_fn done, void *argument);

/*
 * Reads a file of the default branch. ERR_NOT_FOUND: proved absent; ERR_DENIED: hidden, so nothing
 * is known; ERR_INPUT: `path` is none, or a folder, submodule or link is there; ERR_TOO_LARGE over
 * 1 MiB. Loop thread.
 */
struct forge_call *forge_get_file(struct forge *forge, const char *repository, const char *path,
                                  forge_file_fn done, void *argument);

/*
 * Reads an issue, also where it was transferred to: compare number and repository with what was
 * asked. ERR_NOT_FOUND also for 410 (deleted). Loop thread.
 */
struct forge_call *forge_get_issue(struct forge *forge, const char *repository, int64_t number,
                                   forge_issue_fn done, void *argument);

/* Reads an issue's timeline: labels and comments, all pages; asks who we are first. Loop thread. */
struct forge_call *forge_get_timeline(struct forge *forge, const char *repository, int64_t number,
                                      forge_timeline_fn done, void *argument);

/*
 * Reads one page of a repository's issues and pull requests, open and closed, changed at or after
 * `since_ms` (≥ 0, whole seconds count), the one that was changed longest ago first. `page` ≥ 1 of `page_size`
 * 1..100; a page with fewer is the last. Conditional: asked again while nothing changed, it costs no
 * rate limit. ERR_TOO_LARGE over 32 MiB: ask for smaller pages. Loop thread.
 */
struct forge_call *forge_list_issues(struct forge *forge, const char *repository, int64_t since_ms,
                                     int page, int page_size, forge_issues_fn done, void *argument);

/*
 * Reads who put labels on an issue and took them off, from its timeline, all pages; needs no
 * identity. ERR_NOT_FOUND also for 410 (deleted); ERR_TOO_LARGE over FORGE_PAGES_MAX pages. Loop thread.
 */
struct forge_call *forge_list_labelings(struct forge *forge, const char *repository, int64_t number,
                                        forge_labelings_fn done, void *argument);

/*
 * Tells what is left of the limit of those requests that are about `repository`: for who wants to leave
 * some to others. Loop thread.
 */
struct forge_quota forge_get_quota(struct forge *forge, const char *repository);

/*
 * Adds labels (1..FORGE_ISSUE_LABELS_MAX, 512 bytes of UTF-8 each, else ERR_INPUT) in one POST;
 * present ones do no harm. GitHub creates a label that the repository lacks: look with
 * forge_list_labels first. Loop thread.
 */
struct forge_call *forge_add_labels(struct forge *forge, const char *repository, int64_t number,
                                    const char *const *labels, size_t count, forge_written_fn done,
                                    void *argument);

/*
 * Removes one label; that it is not there counts as done. ERR_INPUT for "", "." and "..", which no
 * URL can carry: without a name the same request removes all labels. Loop thread.
 */
struct forge_call *forge_remove_label(struct forge *forge, const char *repository, int64_t number,
                                      const char *label, forge_written_fn done, void *argument);

/* Writes a comment; ERR_TOO_LARGE over 256 KiB, ERR_INPUT if empty or not UTF-8. Loop thread. */
struct forge_call *forge_create_comment(struct forge *forge, const char *repository, int64_t number,
                                        const char *body, forge_written_fn done, void *argument);

/* Edits a comment, else as above. ERR_NOT_FOUND: somebody deleted it. Loop thread. */
struct forge_call *forge_edit_comment(struct forge *forge, const char *repository,
                                      int64_t comment_id, const char *body, forge_written_fn done,
                                      void *argument);

/* Deletes a comment; that it is gone already counts as done. Loop thread. */
struct forge_call *forge_delete_comment(struct forge *forge, const char *repository,
                                        int64_t comment_id, forge_written_fn done, void *argument);

/*
 * Returns for how many milliseconds the budget of writes is used up, 0 if a write may be made now: for asking before reads are spent on
 * work that could not be finished. Loop thread.
 */
int64_t forge_write_wait_ms(const struct forge *forge);

#endif
