/*
 * The reconcile kernel: from a home topic to keys, from keys to outcomes, from outcomes to stored
 * offsets.
 *
 *   home topic ──route──▶ keyed queue ──▶ reconcile(work) ──▶ outcome ──▶ pending ──▶ ledger
 *                            ▲   ▲                              │                        │
 *        tables ─────────────┘   └────── delay ◀── RETRY, AFTER ┘              stored offset
 *
 * Design: a reactor says which key a home record concerns (from headers alone) and how a key is
 * made true. The kernel does the rest: deduplicates (ten events of one key are one reconcile),
 * bounds the queue by pausing the consumer, runs at most `concurrency` keys at a time and never one
 * key twice at once, backs off each key by itself, stores only offsets below which everything is
 * finished, remembers unfinished keys on the topic `pending`, and sweeps slowly over known keys
 * when idle.
 *
 * The key's `note` is a short text of the reactor's (for example the repository's name at the
 * time), taken from the newest event of the key; it comes back with the work, also from `pending`
 * after a restart.
 *
 * Invariants:
 *   - an event is finished only after its key's outcome was DONE, or after `pending` holds the key
 * (acknowledged);
 *   - no key runs before the reactor's tables have reached the ends that they had when its
 * partition was assigned;
 *   - after a partition was given up or lost nothing is stored for it and none of its keys runs;
 *   - everything runs on the loop thread.
 */
#ifndef NODAG_REACTORS_KERNEL_KERNEL_H
#define NODAG_REACTORS_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/option.h"
#include "topics/bus.h"
#include "topics/envelope.h"
#include "topics/subject.h"

/* Longest note of a key, with its NUL. */
#define KERNEL_NOTE_BYTES 512

/* Longest reason of an outcome, with its NUL; longer ones are cut. */
#define KERNEL_REASON_BYTES 512

/* Most tables of one reactor. */
#define KERNEL_TABLES_MAX 8

/* What became of a reconcile. */
enum kernel_outcome_kind {
    KERNEL_DONE,    /* the key's desired state is true */
    KERNEL_RETRY,   /* the world was away: again with backoff, for ever */
    KERNEL_AFTER,   /* again after after_ms: a limit said so, or it is too early */
    KERNEL_STALLED, /* a person must change something: not again until a new event of the key */
};

/* An outcome with its reason. */
struct kernel_outcome {
    enum kernel_outcome_kind kind; /* what became of it */
    int64_t after_ms;              /* for AFTER: ≥ 0 */
    const char
        *reason; /* for all but DONE: one line that a person understands; borrowed for the call */
};

/* One key that is to be made true; borrowed by the reactor from reconcile until it finishes it or
 * is told to abandon it. */
struct kernel_work;

/* Where a home record, a table's change or the sweep leads. */
struct kernel_route {
    char key[SUBJECT_KEY_BYTES];  /* the key, NUL-terminated */
    char note[KERNEL_NOTE_BYTES]; /* the note, may be empty */
    int32_t partition;            /* of the home topic; set by the kernel for home records */
    bool is_minor; /* of a home record: alone it matters only for keys that the reactor knows; see
                      kernel_work_is_minor */
};

/* Which partitions of a table's topic a reactor folds. */
enum kernel_table_scope {
    KERNEL_TABLE_OWNED, /* those with the numbers of the home partitions that it owns */
    KERNEL_TABLE_WHOLE, /* all */
};

/* One table: a fold of a topic that the reactor keeps. */
struct kernel_table {
    enum topic topic;              /* compacted */
    enum kernel_table_scope scope; /* which partitions */
    /* Folds one record (borrowed). May call kernel_enqueue for the keys that it concerns. */
    void (*apply)(void *self, const struct bus_record *record);
    /* Forgets what a partition brought; for OWNED. NULL for WHOLE. */
    void (*forget)(void *self, int32_t partition);
};

/* What a reactor is, for the kernel. Functions run on the loop thread. */
struct kernel_reactor {
    const char *name; /* "labeler"; the consumer group is "nodag-labeler", the prefix in pending
                         "labeler|" */
    enum topic home;  /* home topic */
    /* Says whether a home record concerns a key and which, from key and headers. False: nothing to
     * do for it. */
    bool (*route)(void *self, const struct bus_record *record, const struct event *event,
                  struct kernel_route *ret_route);
    /*
     * Keeps what it needs of a home record itself, for reactors that are folds of events: called once
     * for each record that route wants, repetitions left out, before the next reconcile of its key.
     * What it keeps is dropped by `forget` of its table when the partition goes. A code refuses the
     * record as a dead letter, with the text why. NULL: the key is all that is needed.
     */
    int (*take)(void *self, const struct bus_record *record, const struct event *event,
                const struct kernel_route *route, struct error *error);
    /* Makes a key true. Ends with kernel_finish, once, now or later, unless abandoned. */
    void (*reconcile)(void *self, struct kernel_work *work);
    /* Takes back a work that is under way: cancel its calls; kernel_finish must not be called for
     * it any more. */
    void (*abandon)(void *self, struct kernel_work *work);
    /* Names the next known key for the slow sweep; false: none. NULL: no sweep. */
    bool (*sweep_next)(void *self, struct kernel_route *ret_route);
    struct kernel_table tables[KERNEL_TABLES_MAX]; /* first table_count are used */
    size_t table_count;                            /* how many */
};

/* Settings that every reactor has. */
struct kernel_settings {
    int64_t concurrency;       /* --concurrency: keys under way at a time */
    int64_t keys_max;          /* --queue-keys: keys in memory; beyond it the consumer is paused */
    int64_t backoff_least_ms;  /* --backoff-least */
    int64_t backoff_most_ms;   /* --backoff-most */
    int64_t sweep_interval_ms; /* --sweep-interval: one known key each */
    int64_t
        revoke_timeout_ms; /* --revoke-timeout: how long effects in flight may hold a rebalance */
};

/* Rows for option tables: `type` is the settings struct, `member` its struct kernel_settings. */
#define KERNEL_OPTION_ROWS(type, member)                                                           \
    {.name = "concurrency",                                                                        \
     .kind = OPTION_INTEGER,                                                                       \
     .offset = offsetof(type, member.concurrency),                                                 \
     .default_value = "8",                                                                         \
     .least = 1,                                                                                   \
     .most = 256,                                                                                  \
     .group = "Reconciling",                                                                       \
     .help = "Keys that are made true at the same time."},                                         \
        {.name = "queue-keys",                                                                     \
         .kind = OPTION_INTEGER,                                                                   \
         .offset = offsetof(type, member.keys_max),                                                \
         .default_value = "20000",                                                                 \
         .least = 10,                                                                              \
         .most = 10000000,                                                                         \
         .help = "Keys that wait in memory; beyond it the consumer is paused."},                   \
        {.name = "backoff-least",                                                                  \
         .kind = OPTION_DURATION,                                                                  \
         .offset = offsetof(type, member.backoff_least_ms),                                        \
         .default_value = "1s",                                                                    \
         .least = 1,                                                                               \
         .most = 3600000,                                                                          \
         .help = "Wait before the first retry of a key; it doubles."},                             \
        {.name = "backoff-most",                                                                   \
         .kind = OPTION_DURATION,                                                                  \
         .offset = offsetof(type, member.backoff_most_ms),                                         \
         .default_value = "15m",                                                                   \
         .least = 1,                                                                               \
         .most = 86400000,                                                                         \
         .help = "Longest wait between retries."},                                                 \
        {.name = "sweep-interval",                                                                 \
         .kind = OPTION_DURATION,                                                                  \
         .offset = offsetof(type, member.sweep_interval_ms),                                       \
         .default_value = "15s",                                                                   \
         .least = 10,                                                                              \
         .most = 86400000,                                                                         \
         .help = "While idle, one known key is looked at again each interval. 15s spends 10% of "  \
                 "GitHub's "                                                                       \
                 "5,000 requests an hour."},                                                       \
    {                                                                                              \
        .name = "revoke-timeout", .kind = OPTION_DURATION,                                         \
        .offset = offsetof(type, member.revoke_timeout_ms), .default_value = "20s", .least = 100,  \
        .most = 240000,                                                                            \
        .help = "How long effects in flight may hold up a rebalance before they are abandoned."    \
    }

/* The kernel of one reactor. */
struct kernel;

/*
 * Joins the home topic and begins. `reactor` and `self` are borrowed for the kernel's life, so are
 * `loop`, `bus` and `metrics` (NULL allowed). Owned. ERR_INPUT, ERR_DENIED from the bus. Loop
 * thread.
 */
int kernel_new(struct loop *loop, struct bus *bus, struct metrics *metrics,
               const struct kernel_settings *settings, const struct kernel_reactor *reactor,
               void *self, struct kernel **ret_kernel, struct error *error) MUST_CHECK;

/* Starts nothing more, waits for what is under way (at most revoke_timeout_ms), leaves the group,
 * calls `drained(argument)`. Loop thread. */
void kernel_drain(struct kernel *kernel, void (*drained)(void *argument), void *argument);

/* Abandons everything and frees; NULL allowed. After kernel_drain, or in a simulated crash without it;
 * before the bus is freed or closed in any case. Loop thread. */
void kernel_free(struct kernel *kernel);
DEFINE_CLEANUP(struct kernel *, kernel_free)

/* Ends a work with its outcome. Loop thread. */
void kernel_finish(struct kernel_work *work, const struct kernel_outcome *outcome);

/* Wants a key to be looked at: a table changed. Ignored where its partition is not owned. Loop
 * thread. */
void kernel_enqueue(struct kernel *kernel, const struct kernel_route *route);

/*
 * Calls `look(argument, key, note)` for each STALLED key; where it returns true the key is looked
 * at again. For reactors that notice that a person has changed what several keys were waiting for.
 * Loop thread.
 */
void kernel_wake_stalled(struct kernel *kernel,
                         bool (*look)(void *argument, const char *key, const char *note),
                         void *argument);

/*
 * As kernel_wake_stalled, for each key whose last outcome was RETRY: its wait ends at once. For reactors
 * that notice that what several keys were waiting for is there now. A key that AFTER put off waits on.
 * Loop thread.
 */
void kernel_wake_retrying(struct kernel *kernel,
                          bool (*look)(void *argument, const char *key, const char *note),
                          void *argument);

/*
 * Publishes on behalf of a work: `done(argument, code)` is called unless the work was abandoned
 * meanwhile. Same codes as bus_publish, and those of bus_delivered_fn. Loop thread.
 */
int kernel_publish(struct kernel_work *work, const struct bus_message *message,
                   void (*done)(void *argument, int code), void *argument) MUST_CHECK;

/* The work's key, NUL-terminated; borrowed. */
const char *kernel_work_key(const struct kernel_work *work);

/* Its note, NUL-terminated; borrowed. */
const char *kernel_work_note(const struct kernel_work *work);

/* Its home partition. */
int32_t kernel_work_partition(const struct kernel_work *work);

/* The newest home offset that this run covers; -1 where none (sweep, table). */
int64_t kernel_work_offset(const struct kernel_work *work);

/* The ce_id of the newest event that this run covers; "" where none. Borrowed. */
const char *kernel_work_event_id(const struct kernel_work *work);

/* How often it was retried since it was last DONE. */
unsigned kernel_work_attempts(const struct kernel_work *work);

/* Returns true if nobody but the slow sweep asked for this run. */
bool kernel_work_is_sweep(const struct kernel_work *work);

/*
 * Returns true if this run covers minor events only (struct kernel_route): the tables are there now, which
 * say whether the key is known. False for retries, wakes, the sweep, and after a boot with a record in
 * `pending`.
 */
bool kernel_work_is_minor(const struct kernel_work *work);

/*
 * Returns true while records of the work's partition come in: it is neither being given up nor is the consumer
 * paused. Else the reactor may not have seen what stands on the topic.
 */
bool kernel_work_is_current(const struct kernel_work *work);

/* The offset of the newest record that kernel_publish published for it and that was acknowledged; -1:
 * none in this run. */
int64_t kernel_work_published(const struct kernel_work *work);

/* A pointer of the reactor's own that stays with the work while it is under way; NULL at first. */
void kernel_work_set_state(struct kernel_work *work, void *state);

/* See kernel_work_set_state. */
void *kernel_work_state(const struct kernel_work *work);

/* Returns true once the group has partitions and all tables of them are caught up. */
bool kernel_is_ready(const struct kernel *kernel);

/* Calls `changed(argument)` whenever kernel_is_ready may have changed. */
void kernel_on_ready(struct kernel *kernel, loop_fn changed, void *argument);

/* Counts for tests and readiness. */
struct kernel_counts {
    size_t keys;       /* in memory */
    size_t ready;      /* waiting for a place to run */
    size_t waiting;    /* in backoff */
    size_t running;    /* under way */
    size_t stalled;    /* a person must act */
    size_t unfinished; /* events */
    bool paused;       /* the consumer is paused */
};

/* Fills the counts. Loop thread. */
void kernel_count(const struct kernel *kernel, struct kernel_counts *ret_counts);

#endif
