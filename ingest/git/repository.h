/*
 * One watched repository: looks at it again and again, and publishes what moved.
 *
 *      IDLE ─timer, wake─▶ PREPARING ─▶ LISTING ─▶ FETCHING ─▶ DESCRIBING ─▶ PUBLISHING ─▶ (READING) ─▶ …
 *       ▲                  (first time,    │            ▲  round       ▲  batch    │      … (PACKING) ─▶ IDLE
 *       │                   or after a     │ nothing    └──────────────┴───────────┘
 *       │                   failure)       │ moved
 *       └──────────────────────────────────┘                any failure: back to IDLE with backoff
 *
 * Design: a look compares `git ls-remote` with the heads that were last published (heads.h), fetches what
 * moved in rounds, has it described by a worker in batches (work.h), publishes one record for each move and
 * waits for the broker. A head is known once that was acknowledged, not before; whatever breaks in between
 * is seen again by the next look, and makes the same event. If a fetch fails for what it brings, it is
 * tried again with half of the refs, so that one broken ref holds up no other; each broken one is left to
 * the next look.
 *
 *      corrupt objects     the mirror is thrown away and made anew, once; if they come again it is the remote
 *      an empty answer     where heads are known is not believed: a server that lost its disk says so too.
 *                          Nothing is published
 *      a wake meanwhile    one more look follows
 *      a killed fetch      the mirror is tidied before the next one; the repository uses places of its own
 *                          until a look works, so that remotes that hang cannot take all
 *      documents           of heads that somebody wants are read last, once their move is published
 *
 * Invariants: at most one child of a repository runs; a look publishes a head once; two looks begin at
 * least wake_interval_ms apart; every look has deadlines; a failing repository is looked at ever less
 * often, up to backoff_max_ms.
 */
#ifndef NODAG_INGEST_GIT_REPOSITORY_H
#define NODAG_INGEST_GIT_REPOSITORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/child.h"
#include "base/loop.h"
#include "ingest/git/config.h"
#include "ingest/git/git_metrics.h"
#include "ingest/git/heads.h"
#include "topics/bus.h"

/* Most fetches of one look: halving finds a broken ref among a thousand in some twenty. */
#define REPOSITORY_FETCHES_MAX 64

/* Fetches after which the mirror is packed. */
#define REPOSITORY_FETCHES_PER_PACK 100

/*
 * How long a repository that is over a size limit rests: a person must change something, and each try costs
 * a whole fetch.
 */
#define REPOSITORY_OVERSIZED_MS (6 * 3600 * 1000)

/* How soon a look that failed to publish is repeated, at first. */
#define REPOSITORY_PUBLISH_AGAIN_MS 1000

struct work_documents;

/*
 * Who wants the documents of some heads (documents.h); loop thread. A look fetches such a head whether it
 * moved or not, and once the move is published has the files read.
 */
struct repository_reader {
    /*
     * Returns the paths that are to be read of a ref at this commit, borrowed for the call; NULL: none, or
     * they were read already.
     */
    const struct patterns *(*wants)(void *argument, const char *repository, const char *ref,
                                    const char *commit);
    /*
     * What was read (it may be taken, by emptying it), or with a code why this commit's files cannot be
     * read. Then wants() is not to ask for them again before the look ended, or never again, if the code is
     * one that another look cannot change (ERR_TOO_LARGE, ERR_INPUT, ERR_UNSUPPORTED). It must not free
     * repositories.
     */
    void (*read)(void *argument, const char *repository, const char *ref, const char *commit,
                 struct work_documents *documents, int code, const struct error *error);
    /* A look ended, well or not: what can be read for now was read. */
    void (*looked)(void *argument, const char *repository);
};

/* Settings of all repositories. */
struct repository_settings {
    const char *state;         /* folder of the mirrors; absolute; borrowed */
    const char *program;       /* this executable; absolute; borrowed */
    int64_t list_deadline_ms;  /* of ls-remote */
    int64_t fetch_deadline_ms; /* of one fetch, and of packing */
    int64_t work_deadline_ms;  /* of one request to a worker */
    int64_t wake_interval_ms;  /* least time between the beginnings of two looks */
    int64_t backoff_max_ms;    /* longest pause of a failing repository */
    int64_t mirror_max_bytes;  /* largest mirror */
};

/* What repositories share; everything borrowed. Outlives them and the bus' last answer. */
struct repository_world {
    struct loop *loop;
    struct bus *bus;
    struct heads *heads;
    struct children *children; /* places of repositories that work */
    struct children *suspects; /* places of repositories whose last look failed */
    struct git_metrics *metrics;
    struct repository_settings settings;
    const struct repository_reader *reader; /* NULL: nobody wants documents */
    void *reader_argument;                  /* of reader */
    size_t publication_count; /* records on their way to the broker, also of freed repositories */
    void (*settled)(void *argument); /* may be NULL; called whenever publication_count becomes 0 */
    void *argument;                  /* of settled */
};

/* A watched repository. */
struct repository;

/* Makes one (the configuration is copied); it rests until repository_wake. Owned. Loop thread. */
struct repository *repository_new(struct repository_world *world,
                                  const struct repository_config *config);

/* Ends what runs and frees it; records on their way to the broker go on. NULL allowed. Loop thread. */
void repository_free(struct repository *repository);

/* Puts another configuration into force from the next look on. Loop thread. */
void repository_configure(struct repository *repository, const struct repository_config *config);

/* Returns its configuration; borrowed. Loop thread. */
const struct repository_config *repository_config_of(const struct repository *repository);

/* Returns the folder of its mirror; borrowed. Loop thread. */
const char *repository_mirror(const struct repository *repository);

/* Has it looked at within `delay_ms`, or as soon as the limits allow; `source` (static) is counted. Loop thread. */
void repository_wake(struct repository *repository, int64_t delay_ms, const char *source);

/* Stops looking; ends what runs. Records on their way go on. Loop thread. */
void repository_stop(struct repository *repository);

#endif
