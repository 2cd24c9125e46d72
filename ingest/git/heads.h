/*
 * The heads that were last published: a fold of `git.pushes`, which is this daemon's only memory.
 *
 * Design: all partitions are read from their beginning and go on being read, so that a second daemon's
 * records are seen too. For each repository that is watched the last state of each ref is kept; a head is
 * also taken from a record of our own as soon as the broker acknowledged it. Whichever comes later in the
 * partition counts: offsets decide, so an old record that is read after a newer one was acknowledged
 * changes nothing. When a repository is added, everything is read again.
 *
 *      heads_watch ─▶ partition count known ─▶ reader from the beginning ─▶ every partition caught up ─▶ loaded
 *
 * Invariants: a repository is looked at only while heads_loaded; a record that cannot be read is counted
 * and left out; a head that was deleted stays, without an object, because its number goes on.
 */
#ifndef NODAG_INGEST_GIT_HEADS_H
#define NODAG_INGEST_GIT_HEADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/git_answer.h"
#include "base/loop.h"
#include "topics/bus.h"
#include "topics/git_push.h"

/* How soon the number of partitions is asked for again. */
#define HEADS_RETRY_MS 500

/* The fold. */
struct heads;

/* A published head. */
struct known_head {
    const char *ref;       /* borrowed */
    char id[GIT_ID_BYTES]; /* the object; "" when it was deleted */
    int64_t move;          /* how many moves were published */
};

/* What the owner is told; loop thread. */
struct heads_handler {
    /* Every partition was read to its end. */
    void (*loaded)(void *argument);
    /* It cannot be read for now; NULL: it can. */
    void (*trouble)(void *argument, const char *reason);
    /* A record that is none of ours, or from a later version. */
    void (*unreadable)(void *argument, const struct bus_record *record, const struct error *error);
};

/* Makes an empty fold; owned. Loop thread. */
struct heads *heads_new(struct loop *loop, struct bus *bus, const struct heads_handler *handler,
                        void *argument);

/* Frees it; NULL allowed. Loop thread. */
void heads_free(struct heads *heads);
DEFINE_CLEANUP(struct heads *, heads_free)

/*
 * Keeps the heads of these repositories (texts copied) and of no other. If one of them is new everything is
 * read again, and `loaded` is called again. Loop thread.
 */
void heads_watch(struct heads *heads, const char *const *repositories, size_t count);

/* Stops reading for good: the bus may be freed then. Loop thread. */
void heads_leave(struct heads *heads);

/* Returns true once all partitions were read, for all repositories that are watched. Loop thread. */
bool heads_loaded(const struct heads *heads);

/* Returns a head or NULL; borrowed until the next callback. Loop thread. */
const struct known_head *heads_find(const struct heads *heads, const char *repository,
                                    const char *ref);

/* Calls `visit` for each head of a repository, in no order. Loop thread. */
void heads_visit(const struct heads *heads, const char *repository,
                 void (*visit)(void *argument, const struct known_head *head), void *argument);

/* Takes in a push that was acknowledged at a place. Loop thread. */
void heads_take(struct heads *heads, const struct git_push *push, int64_t offset);

#endif
