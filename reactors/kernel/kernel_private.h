/*
 * What the kernel's own files share. Not for reactors.
 *
 *   kernel.c     setup, drain, the runner (which key runs next), sweep
 *   partition.c  assignment, tables, home records → keys, give up
 *   queue.c      keys and their states
 *   settle.c     outcomes → `pending` → ledger
 *   ledger.c     offsets
 *   dead_letter.c  records that cannot be decoded → `dead.letters`
 *
 * The states of a key, and the one setter (queue_set_state) that asserts them:
 *
 *            ┌────────────── new event, enqueue ──────────────┐
 *            ▼                                                │
 *   (new) → READY → RUNNING → SETTLING ─┬─ DONE ──────────▶ (gone)
 *            ▲  ▲                       ├─ RETRY, AFTER ──▶ WAITING ── timer or new event ─▶ READY
 *            │  └──── more came ────────┤
 *            └───────── new event ──────┴─ STALLED ───────▶ STALLED
 */
#ifndef NODAG_REACTORS_KERNEL_KERNEL_PRIVATE_H
#define NODAG_REACTORS_KERNEL_KERNEL_PRIVATE_H

#include <uthash.h>

#include "reactors/kernel/kernel.h"
#include "reactors/kernel/ledger.h"

/* Event ids remembered for each partition, to drop redeliveries: an hour of a busy installation. */
#define KERNEL_RECENT_IDS 1024

/* How long a failed publish to `pending` waits before it is tried again, in milliseconds. */
#define KERNEL_PUBLISH_AGAIN_MS 500

/* How often partition counts are asked for while the cluster does not answer, in milliseconds. */
#define KERNEL_METADATA_AGAIN_MS 500

/* States of a key. */
#define WORK_STATES(X)                                                                             \
    X(WORK_READY)    /* wants to run */                                                            \
    X(WORK_RUNNING)  /* the reactor has it */                                                      \
    X(WORK_SETTLING) /* its outcome is being written to `pending` */                               \
    X(WORK_WAITING)  /* its timer is set */                                                        \
    X(WORK_STALLED)  /* a person must act; `pending` holds it */

/* See WORK_STATES. */
enum work_state {
#define WORK_ENUM(name) name, /* see WORK_STATES */
    WORK_STATES(WORK_ENUM)
#undef WORK_ENUM
};

/* A publish on behalf of a work; the work forgets it when it is abandoned. */
struct work_publish {
    struct kernel_work *work;               /* NULL once abandoned */
    void (*done)(void *argument, int code); /* the reactor's */
    void *argument;                         /* the reactor's */
    struct work_publish *next;              /* in work->publishes */
    struct work_publish *prev;              /* likewise */
};

/* Checks that a pointer is a work. */
#define KERNEL_WORK_MAGIC 0x6b776f72u

/* One key. */
struct kernel_work {
    unsigned magic;                /* KERNEL_WORK_MAGIC */
    struct kernel *kernel;         /* borrowed */
    struct kernel_partition *home; /* borrowed */
    enum work_state state;         /* changed by queue_set_state only */
    char *key;                     /* owned */
    char *note;                    /* owned; newest event's */
    char *run_event_id;            /* owned; of this run, or NULL */
    char *event_id;                /* owned; newest event's, or NULL */
    bool sweep;                    /* low priority: nobody asked but the sweep */
    bool again;                    /* something came while it was running or settling */
    bool has_pending;              /* a record stands in `pending` */
    bool has_major;                /* something else than minor events came since the last start */
    bool is_minor;                 /* this run covers minor events only */
    unsigned attempts;             /* retries since DONE */
    int64_t *offsets;              /* owned; home offsets that wait for it, ascending */
    size_t offset_count;           /* of them */
    size_t offset_capacity;        /* allocated */
    size_t covered;                /* the first ones are covered by this run */
    int64_t started_ms;            /* of this run */
    int64_t published;             /* offset of this run's newest acknowledged record, or -1 */
    enum kernel_outcome_kind outcome; /* while settling */
    int64_t not_before_ms;            /* wall clock, while settling or waiting */
    char *reason;                     /* owned; of the outcome */
    struct loop_timer *timer;         /* owned; while waiting, or to publish again */
    struct work_publish *publishes;   /* list of the reactor's publishes under way */
    struct work_publish *settling;    /* the kernel's own publish, or NULL */
    void *reactor_state;              /* the reactor's */
    uint64_t turn;                    /* while READY: who became so first runs first */
    struct kernel_work *next;         /* in a ready list */
    struct kernel_work *prev;         /* likewise */
    UT_hash_handle hh;                /* in kernel->works, by key */
};

/* One home partition that is assigned. */
struct kernel_partition {
    struct kernel *kernel;        /* borrowed */
    int32_t number;               /* which */
    struct ledger ledger;         /* its events */
    int64_t stored;               /* last offset handed to the bus, -1 none */
    unsigned tables_behind;       /* readers (OWNED tables and pending) that are not caught up */
    bool revoking;                /* is being given up: nothing new runs */
    bool pending_loaded;          /* `pending` was read to its end */
    uint64_t writer;              /* of this assignment: names our records in `pending` */
    size_t works;                 /* keys of it */
    struct kernel_work *ready[2]; /* lists by rising turn: asked for, sweep */
    uint64_t recent[KERNEL_RECENT_IDS]; /* hashes of the newest event ids, a ring */
    size_t recent_next;                 /* where the next one goes */
    struct dead_letter *dead_letters;   /* list of refusals that are not acknowledged yet */
    UT_hash_handle hh;                  /* in kernel->partitions, by number */
};

/* One table or the pending topic being read. */
struct kernel_reading {
    struct kernel *kernel;            /* borrowed */
    const struct kernel_table *table; /* NULL: pending */
    struct bus_reader *reader;        /* owned */
    int32_t whole_behind;             /* WHOLE: partitions not caught up; -1: count not known yet */
};

/* The kernel. */
struct kernel {
    struct loop *loop;                                     /* borrowed */
    struct bus *bus;                                       /* borrowed */
    struct kernel_settings settings;                       /* copied */
    const struct kernel_reactor *reactor;                  /* borrowed */
    void *self;                                            /* the reactor's */
    struct bus_group *group;                               /* owned until leave */
    struct kernel_reading readings[KERNEL_TABLES_MAX + 1]; /* tables, then pending */
    size_t reading_count;                                  /* in use */
    struct kernel_partition *partitions;                   /* hash by number */
    struct kernel_work *works;                             /* hash by key */
    uint64_t next_turn;                                    /* of the next key to become READY */
    size_t state_counts[5];                                /* works in each state */
    bool paused;                                           /* the consumer is paused */
    bool draining;                                         /* no new runs */
    bool revoking;                     /* a rebalance waits for bus_group_give_up */
    bool run_deferred;                 /* kernel_run_soon was called */
    struct loop_timer *sweep_timer;    /* owned */
    struct loop_timer *revoke_timer;   /* owned */
    struct loop_timer *metadata_timer; /* owned */
    void (*drained)(void *argument);   /* of kernel_drain */
    void *drained_argument;            /* likewise */
    loop_fn ready_changed;             /* of kernel_on_ready */
    void *ready_argument;              /* likewise */
    struct kernel_metrics {
        struct metrics_family *events;   /* home records by what became of them */
        struct metrics_family *outcomes; /* reconciles by outcome */
        struct metrics_family *keys;     /* keys by state */
        struct metric *unfinished;       /* events */
        struct metric *duration;         /* of a reconcile, seconds */
        struct metric *paused;           /* 1 while paused */
    } metrics;                           /* all NULL without a registry */
};

/* queue.c: finds a key; NULL if it is not in memory. */
struct kernel_work *queue_find(struct kernel *kernel, const char *key);
/* queue.c: adds a key in state READY; its partition is owned. */
struct kernel_work *queue_add(struct kernel_partition *home, const char *key, const char *note,
                              bool sweep);
/* queue.c: the only place where a state changes; asserts that the change is one of the picture's.
 */
void queue_set_state(struct kernel_work *work, enum work_state state);
/* queue.c: something new came for the key: makes it READY or notes that it must run again. */
void queue_wake(struct kernel_work *work);
/* queue.c: frees a key whatever its state; a running one is abandoned first. */
void queue_drop(struct kernel_work *work);
/* queue.c: sets the timer that wakes a WAITING key at not_before_ms. */
void queue_set_timer(struct kernel_work *work, int64_t delay_ms, loop_fn function);
/* queue.c: adds a home offset that waits for the key. */
void queue_add_offset(struct kernel_work *work, int64_t offset);
/* queue.c: replaces the note (NULL or "" keeps the old one). */
void queue_set_note(struct kernel_work *work, const char *note);

/* settle.c: writes the outcome and, once that is safe, finishes the covered events. */
void settle_begin(struct kernel_work *work);
/* settle.c: takes one record of `pending`: at boot, and what a former owner writes late. */
void settle_read_pending(struct kernel *kernel, const struct bus_record *record);
/* settle.c: forgets the publishes under way of a work. */
void settle_forget_publishes(struct kernel_work *work);

/* partition.c: callbacks of the group. */
extern const struct bus_group_handler partition_group_handler;
/* partition.c: callbacks of readers. */
extern const struct bus_reader_handler partition_reader_handler;
/* partition.c: finds an owned partition; NULL otherwise. */
struct kernel_partition *partition_find(const struct kernel *kernel, int32_t number);
/* partition.c: hands the storable offset to the bus. */
void partition_store(struct kernel_partition *partition);
/* partition.c: true if keys of it may run. */
bool partition_may_run(const struct kernel_partition *partition);
/* partition.c: gives revoking partitions up if nothing of them is under way any more. */
void partition_give_up_if_idle(struct kernel *kernel);
/* partition.c: abandons all keys of a partition and forgets it. */
void partition_drop(struct kernel_partition *partition);
/* partition.c: starts reading WHOLE tables, again later while counts are not known. */
void partition_read_whole_tables(void *kernel);

/* kernel.c: looks soon what can run. */
void kernel_run_soon(struct kernel *kernel);
/* kernel.c: leaves the group if draining and nothing is under way any more. */
void kernel_check_drained(struct kernel *kernel);
/* kernel.c: pauses or resumes the consumer by the queue's size. */
void kernel_balance_flow(struct kernel *kernel);
/* kernel.c: tells the owner that readiness may have changed. */
void kernel_tell_ready(struct kernel *kernel);
/* kernel.c: counts an event by what became of it. */
void kernel_count_event(struct kernel *kernel, const char *result);

#endif
