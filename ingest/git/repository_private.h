/*
 * What repository.c (when to look, children, failures) and repository_look.c (what a look does) share.
 */
#ifndef NODAG_INGEST_GIT_REPOSITORY_PRIVATE_H
#define NODAG_INGEST_GIT_REPOSITORY_PRIVATE_H

#include "ingest/git/repository.h"
#include "ingest/git/work.h"

/* Where a repository is: name, text for logs. */
#define REPOSITORY_STATE_TABLE(X)                                                                  \
    X(REPOSITORY_IDLE, "idle")             /* nothing runs; a timer is set unless it is stopped */ \
    X(REPOSITORY_PREPARING, "preparing")   /* a worker makes or tidies the mirror */               \
    X(REPOSITORY_LISTING, "listing")       /* git ls-remote */                                     \
    X(REPOSITORY_FETCHING, "fetching")     /* git fetch */                                         \
    X(REPOSITORY_DESCRIBING, "describing") /* a worker describes moves */                          \
    X(REPOSITORY_PUBLISHING, "publishing") /* the broker is waited for */                          \
    X(REPOSITORY_READING, "reading")       /* a worker reads documents */                          \
    X(REPOSITORY_PACKING, "packing")       /* git gc */                                            \
    X(REPOSITORY_DISCARDING, "discarding") /* a worker deletes the mirror */

/* The states of REPOSITORY_STATE_TABLE. */
enum repository_state {
#define REPOSITORY_STATE_ENUM(name, text) name, /* see REPOSITORY_STATE_TABLE */
    REPOSITORY_STATE_TABLE(REPOSITORY_STATE_ENUM)
#undef REPOSITORY_STATE_ENUM
};

/* One head that moved, as a look plans it. */
struct planned {
    char *ref;                 /* owned */
    char old_id[GIT_ID_BYTES]; /* "": not known */
    int64_t move;              /* number of the push */
    bool is_deleted;           /* the remote has it no more */
};

/* A record on its way to the broker; lives until the bus answers. */
struct publication;

/* A watched repository. */
struct repository {
    unsigned magic;                   /* REPOSITORY_MAGIC */
    struct repository_world *world;   /* borrowed */
    struct repository_config *config; /* owned */
    char *mirror;                     /* owned: folder */
    enum repository_state state;
    bool is_stopped;
    struct loop_timer *timer; /* owned: next look */
    const char *source;       /* static: what set it */
    int64_t began_ms;         /* of the last look; far in the past at first */
    bool wake_again;          /* a wake came during a look */

    struct children *pool; /* where `child` runs */
    struct child *child;   /* that runs; NULL: none */

    /* over looks */
    bool is_prepared;  /* the mirror is there and tidy */
    bool is_renewed;   /* it was made anew since a look last worked */
    bool is_oversized; /* rests */
    unsigned failures; /* in a row */
    unsigned fetches_since_pack;

    /* of a look */
    struct planned *planned; /* owned; those before `next` are done */
    size_t planned_count;
    size_t next;                      /* first of the present round */
    size_t round_count;               /* heads of the round */
    size_t round_max;                 /* most heads of a round; halves and doubles */
    size_t described;                 /* heads of the round that are described */
    size_t batch_count;               /* heads of the present batch */
    size_t batch_max;                 /* most heads of a batch */
    unsigned fetches;                 /* so far */
    size_t published;                 /* records acknowledged */
    size_t outstanding;               /* records on their way */
    int publish_code;                 /* of the first that failed */
    int broken_code;                  /* of the first head that was left out */
    struct error broken;              /* why */
    struct publication *publications; /* list */
    char *reading_ref;                /* owned: whose documents are being read; NULL: none */
    char reading_id[GIT_ID_BYTES];    /* its commit */
};

/* Guards against a struct of another type. */
#define REPOSITORY_MAGIC 0x4e905u

/* The one place where the state changes; traces. */
void repository_set_state(struct repository *repository, enum repository_state state);

/* Runs git; `done` gets the repository. Loop thread. */
void repository_run_git(struct repository *repository, enum repository_state state,
                        struct git_command *command, child_done_fn done);

/* Runs a worker with a request (taken). Loop thread. */
void repository_run_work(struct repository *repository, enum repository_state state, char *request,
                         size_t request_bytes, child_done_fn done);

/* Fills how the repository is reached; borrowed texts. */
void repository_access(const struct repository *repository, struct git_access *ret_access);

/* Ends a look that worked. Loop thread. */
void repository_succeed(struct repository *repository);

/* Ends a look that failed. Loop thread. */
void repository_fail(struct repository *repository, int code, const struct error *error);

/* Takes in the mirror's size. */
void repository_note_bytes(struct repository *repository, int64_t bytes);

/* Begins what follows once the mirror is prepared: ls-remote. */
void repository_list(struct repository *repository);

/* Returns the paths of documents that somebody wants of a ref at a commit, or NULL; borrowed. */
const struct patterns *repository_wants(const struct repository *repository, const char *ref,
                                        const char *commit);

/*
 * What follows once everything planned is published: the documents of the heads that somebody wants, one
 * after the other; then the end of the look. Loop thread.
 */
void repository_read_documents(struct repository *repository);

/* Ends a look whose moves are published and documents read. Loop thread. */
void repository_end_look(struct repository *repository);

/* Leaves something of a head to the next look, which is to come as after a failure. */
void repository_mark_broken(struct repository *repository, const char *ref, int code,
                            const char *text);

/* Forgets what a look planned. */
void repository_forget_plan(struct repository *repository);

/* Lets publications go on without their repository. */
void repository_detach_publications(struct repository *repository);

#endif
