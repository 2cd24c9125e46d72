/*
 * What the world's own files share: world.c (state, people, transport) and world_rest.c (the REST
 * calls).
 */
#ifndef NODAG_TESTS_SIM_WORLD_PRIVATE_H
#define NODAG_TESTS_SIM_WORLD_PRIVATE_H

#include "tests/sim/world.h"

/* One process' transport. */
struct world_client {
    struct http_client interface; /* must be first */
    struct world *world;          /* borrowed */
    bool closed;                  /* the process is gone */
    struct world_call *calls;     /* list: under way */
    int64_t
        looked[WORLD_ISSUES_MAX]; /* the world's sequence when it last read the issue's timeline */
    struct world_client *next;    /* in world->clients */
    struct world_client *prev;    /* likewise */
};

/* One request under way. */
struct world_call {
    struct world_client *client;      /* borrowed */
    int64_t looked[WORLD_ISSUES_MAX]; /* the client's when it was sent */
    http_done_fn done;                /* whom to tell */
    void *argument;                   /* with what */
    char method[8];                   /* request */
    char *url;                        /* owned */
    char *body;                       /* owned or NULL */
    bool arrived;                     /* it reached GitHub, or was lost on the way */
    int status;                       /* answer; 0: none yet, or lost */
    char *answer;                     /* owned or NULL */
    struct loop_timer *timer;         /* owned */
    struct world_call *next;          /* in client->calls */
    struct world_call *prev;          /* likewise */
};

/* The world. */
struct world {
    struct loop *loop;                           /* borrowed */
    const char *const *labels;                   /* of the repository; borrowed */
    size_t label_count;                          /* of them */
    struct world_issue issues[WORLD_ISSUES_MAX]; /* by number − 1 */
    size_t issue_count;                          /* of them */
    int64_t sequence;                            /* of the newest entry */
    int64_t next_comment_id;                     /* from 1 */
    struct world_faults faults;                  /* now */
    struct world_client *nobody;                 /* owned; has the calls whose senders are gone */
    struct world_client *clients;                /* list */
    int64_t ago_ms;                              /* see world_set_ago */
    size_t request_count;                        /* so far */
    void (*wrote)(void *argument, const struct world_issue *issue, const char *label,
                  bool added); /* see world_on_write */
    void *wrote_argument;      /* likewise */
    char *violation;           /* owned: the first broken rule */
};

/* world_rest.c: performs the request and fills status and answer. */
void world_serve(struct world_call *call);
/* world.c: appends to an issue's timeline. */
struct world_entry *world_add_entry(struct world *world, struct world_issue *issue,
                                    enum world_entry_kind kind, const char *actor);
/* world.c: tells of a label that nodag added or removed. */
void world_tell_write(struct world *world, const struct world_issue *issue, const char *label,
                      bool added);
/* world.c: remembers the first broken rule. */
void world_violate(struct world *world, const struct world_issue *issue, const char *rule,
                   const char *detail);

#endif
