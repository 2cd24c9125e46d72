/*
 * GitHub in memory, for the simulation: one repository, its issues, and the REST calls that the
 * labeler makes.
 *
 * Design: the world outlives the simulated processes. Each process opens a `struct http_client` on
 * it; a request takes effect at some time after it was sent and is answered at some later time,
 * both drawn from the loop's seed. Faults: an answer is lost before or after the effect, 502, a
 * secondary rate limit. People act through world_…() calls, each of which gives the webhook that
 * GitHub would send.
 *
 * What the world watches while nodag writes (a broken rule is remembered with its history, not
 * asserted, so that the seed can be printed):
 *   - a label that somebody else removed, before nodag looked, is not added again;
 *   - a label that nodag did not put there is not removed; no label is created in the repository;
 *   - nothing is written outside of the included labels; an issue never has two comments with the
 * marker.
 *
 * Invariant: a function of the seed and the calls.
 */
#ifndef NODAG_TESTS_SIM_WORLD_H
#define NODAG_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/http_client.h"
#include "base/loop.h"

/* The repository's id and name. */
#define WORLD_REPOSITORY_ID 4711
#define WORLD_REPOSITORY "sim/world"

/* nodag's login in the world. */
#define WORLD_BOT "nodag-bot"

/* Most issues, labels of an issue's history, comments, text bytes. */
#define WORLD_ISSUES_MAX 64
#define WORLD_ENTRIES_MAX 90
#define WORLD_TEXT_BYTES 256
#define WORLD_NAME_BYTES 32

/* Faults as chances in 1/1000 for each request. */
struct world_faults {
    unsigned lost_before; /* no effect, no answer */
    unsigned lost_after;  /* effect, no answer */
    unsigned bad_gateway; /* 502 without effect */
    unsigned limited;     /* secondary rate limit, Retry-After */
    int64_t delay_max_ms; /* of effect and of answer */
};

/* What an entry of a timeline says. */
enum world_entry_kind {
    WORLD_LABELED,   /* a label was added */
    WORLD_UNLABELED, /* a label was removed */
    WORLD_COMMENTED, /* a comment stands there */
    WORLD_GONE,      /* a comment stood there and was deleted */
};

/* One entry of a timeline. */
struct world_entry {
    enum world_entry_kind kind;   /* what it says */
    char actor[WORLD_NAME_BYTES]; /* login */
    char label[WORLD_NAME_BYTES]; /* for labels */
    char body[4096];              /* for comments */
    int64_t comment_id;           /* for comments */
    int64_t sequence;             /* order of everything that happened in the world */
};

/* One issue. */
struct world_issue {
    int64_t number;                                /* from 1 */
    bool is_open;                                  /* state */
    char title[WORLD_TEXT_BYTES];                  /* text */
    char body[WORLD_TEXT_BYTES];                   /* text */
    struct world_entry entries[WORLD_ENTRIES_MAX]; /* timeline */
    size_t entry_count;                            /* of them */
    int64_t created_ms;                            /* wall clock of its opening */
    int64_t updated_ms;                            /* wall clock of the last change */
};

/* The world. */
struct world;

/* Makes a world with these repository labels (borrowed); owned. */
struct world *world_new(struct loop *loop, const char *const *labels, size_t label_count);

/* Frees it; its clients must have been closed. */
void world_free(struct world *world);
DEFINE_CLEANUP(struct world *, world_free)

/* Sets the faults from now on. */
void world_set_faults(struct world *world, const struct world_faults *faults);

/* What people do from now on happened so many milliseconds ago. */
void world_set_ago(struct world *world, int64_t ago_ms);

/* Opens the transport of one process; ended by world_close. */
struct http_client *world_open(struct world *world);

/* Kills a process' transport: what was sent may still take effect, nothing is answered. */
void world_close(struct http_client *client);

/*
 * A process looked at an issue without a request: it knows what people did up to `sequence`, and its writes are
 * judged by that.
 */
void world_note_look(struct http_client *client, int64_t number, int64_t sequence);

/* People. Each returns the issue that changed (borrowed), or NULL if there was nothing to do. */
struct world_issue *world_open_issue(struct world *world, const char *title, const char *body);
/* A person edits the text. */
struct world_issue *world_edit_issue(struct world *world, int64_t number, const char *body);
/* A person closes or opens again. */
struct world_issue *world_set_open(struct world *world, int64_t number, bool open);
/* A person adds or removes a label. */
struct world_issue *world_set_label(struct world *world, int64_t number, const char *label,
                                    bool add);
/* A person deletes nodag's comment. */
struct world_issue *world_delete_comment(struct world *world, int64_t number);

/* Calls `wrote(argument, issue, label, added)` after each label that nodag added or removed: for the webhook
 * that GitHub sends of it. */
void world_on_write(struct world *world,
                    void (*wrote)(void *argument, const struct world_issue *issue,
                                  const char *label, bool added),
                    void *argument);

/* Looking. */
size_t world_issue_count(const struct world *world);
/* Issue `number` in 1..count; borrowed. */
const struct world_issue *world_issue_at(const struct world *world, int64_t number);
/* True if the label is on the issue now. */
bool world_has_label(const struct world_issue *issue, const char *label);
/* The last one who did something about the label and is not nodag: NULL: nobody. Borrowed. */
const struct world_entry *world_last_person(const struct world_issue *issue, const char *label);
/* How many comments with nodag's marker there are now. */
size_t world_marked_comments(const struct world_issue *issue);
/* The first broken rule, or NULL; borrowed. */
const char *world_violation(const struct world *world);
/* How many requests of a method were made. */
size_t world_request_count(const struct world *world);

#endif
