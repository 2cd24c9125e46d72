/*
 * What the historian's own files share.
 *
 *   historian.c   setup, what the kernel asks, the tables, metrics
 *   issue_job.c   a key of an issue runs: fold, publish
 *   withdraw.c    many issues are gone: spread over the partitions, withdraw in each
 *   read_back.c   texts from the topic
 *
 * Design: a job is what runs for a key of the kernel. Jobs and withdrawals lock the issue that they
 * publish about, because a withdrawal publishes for many issues beside their own jobs.
 *
 * Invariants: of one issue at most one publish is under way; a row of a shelf is changed only after
 * the broker has the record, or when that record comes back.
 */
#ifndef NODAG_HISTORIAN_HISTORIAN_PRIVATE_H
#define NODAG_HISTORIAN_HISTORIAN_PRIVATE_H

#include <uthash.h>

#include "reactors/historian/change.h"
#include "reactors/historian/fold.h"
#include "reactors/historian/historian.h"
#include "reactors/historian/packed.h"
#include "reactors/historian/read_back.h"
#include "reactors/historian/shelf.h"
#include "topics/spec_store.h"

/* How long a job waits before it tries again what the broker refused, in milliseconds. */
#define HISTORIAN_AGAIN_MS 500

/* How often a text is asked for that is not where it should be, before the change waits for the
 * issue's next event. */
#define HISTORIAN_READ_BACKS_MAX 20

/* How long it waits for an issue that is locked, in milliseconds. */
#define HISTORIAN_LOCKED_MS 20

/* How long a gone issue is remembered after it went, in milliseconds: GitHub redelivers what is up to
 * three days old. */
#define HISTORIAN_REMEMBER_MS (3LL * 24 * 3600 * 1000)

/* How often what need not be remembered is forgotten, in milliseconds. */
#define HISTORIAN_FORGET_MS (3600LL * 1000)

/* Most withdrawals that are remembered of a partition; the oldest are forgotten. */
#define HISTORIAN_WITHDRAWALS_MAX 1000

/* Checks that a pointer is a job. */
#define HISTORIAN_JOB_MAGIC 0x686a6f62u

/* What is held for a key until it runs. */
struct held {
    char key[SUBJECT_KEY_BYTES];          /* of the kernel */
    int32_t partition;                    /* home */
    struct fold_change *first;            /* owned list, in the order of delivery */
    struct fold_change **last;            /* where the next goes */
    bool is_forced;                       /* publish although nothing is new */
    enum change_scope scope;              /* CHANGE_ISSUE, _SPREAD or _WITHDRAWN */
    struct history_withdrawal withdrawal; /* owned; not for CHANGE_ISSUE */
    int64_t time_ms;                      /* of the withdrawal */
    int64_t offset;                       /* of its event */
    char *event_id;                       /* owned; its ce_id */
    char *event_key;                      /* owned; its key */
    char *repository;                     /* owned; the repository's name, or NULL */
    UT_hash_handle hh;                    /* by key */
};

/* An issue that is being published about. */
struct issue_lock {
    char key[SUBJECT_KEY_BYTES]; /* ID#number */
    uint64_t serial;             /* locks are counted */
    UT_hash_handle hh;           /* by key */
};

/*
 * A withdrawal that was taken: it counts for issues that are not on the shelf yet, too, and for events of before that come
 * late. Remembered as long as a gone issue.
 */
struct withdrawal_note {
    int32_t partition;                    /* where */
    struct history_withdrawal withdrawal; /* owned */
    int64_t time_ms;                      /* when it happened */
    int64_t offset;                       /* of its event */
    uint64_t id;                          /* issue_hash_id of its ce_id */
    char *repository;                     /* owned; its name, or NULL */
    struct withdrawal_note *next;         /* in the list */
    struct withdrawal_note *prev;         /* likewise */
};

/* A key that runs. */
struct historian_job {
    unsigned magic;                /* HISTORIAN_JOB_MAGIC */
    struct historian *historian;   /* borrowed */
    struct kernel_work *work;      /* borrowed */
    struct held *held;             /* owned */
    struct loop_timer *timer;      /* owned; to try again */
    struct issue_record *record;   /* owned; the issue as it becomes */
    bool is_locked;                /* it holds its issue's lock */
    bool was_live;                 /* a record stands */
    bool is_tombstone;             /* what is published */
    struct issue_record *moved_to; /* owned; a transferred issue at its new place */
    struct read_back_wait *wait;   /* owned; for the text */
    unsigned read_backs;           /* how often it was asked for */
    bool told_erasure;         /* the new place of a transferred issue knows that it was erased */
    struct withdraw *withdraw; /* owned; see withdraw.c */
};

/* The historian. */
struct historian {
    struct historian_ground ground;              /* copied */
    struct kernel *kernel;                       /* owned */
    struct shelf *shelves[TOPIC_PARTITIONS_MAX]; /* owned; by partition; NULL: none yet */
    struct held *held;                           /* hash */
    struct withdrawal_note *notes;               /* list of what was withdrawn; oldest first */
    struct issue_lock *locks;                    /* hash; by age */
    uint64_t next_lock;                          /* serial of the next one */
    struct read_back *read_back;                 /* owned */
    struct spec_store *specs;                    /* owned; documents */
    struct loop_timer *forget_timer;             /* owned */
    struct historian_counts counts;              /* those that only rise */
    struct historian_metrics {
        struct metrics_family *published; /* records by kind */
        struct metric *read_back;         /* records read again */
        struct metric *nothing_new;       /* runs */
        struct metrics_family *issues;    /* rows by state */
        struct metric *issue_bytes;       /* memory */
        struct metric *held;              /* keys */
    } metrics;                            /* NULL without a registry */
};

/* historian.c: the shelf of a partition; made where there is none. */
struct shelf *historian_shelf(struct historian *historian, int32_t partition);
/* historian.c: true if a private repository is recorded. */
bool historian_keeps_private(const struct historian *historian, const char *repository);
/* historian.c: true if an issue that is gone keeps a record, because it was erased and may come back. */
bool historian_keeps_stub(const struct issue_record *record);
/* historian.c: counts a published record; `kind` for the metric. */
void historian_count_published(struct historian *historian, const char *kind, size_t *count);
/* historian.c: locks an issue; false if it is locked. */
bool historian_lock(struct historian *historian, const char *key);
/* historian.c: unlocks it. */
void historian_unlock(struct historian *historian, const char *key);
/* historian.c: puts a record's registers on the shelf. */
void historian_shelve(struct shelf *shelf, const struct issue_record *record, int64_t offset);
/* historian.c: frees what was held. */
void held_free(struct held *held);
DEFINE_CLEANUP(struct held *, held_free)
/* historian.c: ends a job: the key is done. */
void job_finish(struct historian_job *job);
/* historian.c: calls `function(job)` later. */
void job_later(struct historian_job *job, int64_t delay_ms, loop_fn function);
/* historian.c: the record of `issues` or its tombstone, as a message; it borrows all, `value` NULL is a
 * tombstone. */
struct bus_message job_message(const char *key, int32_t partition, const char *value,
                               size_t value_bytes, const struct event_headers *headers);

/* withdraw.c: remembers a withdrawal of a partition that was taken. */
void withdraw_note(struct historian *historian, const struct held *held);
/* withdraw.c: applies what is remembered of its partition to an issue. Returns true if it changed. */
bool withdraw_apply_notes(struct historian *historian, int32_t partition,
                          struct issue_record *record);
/* withdraw.c: forgets what happened before, or with a partition ≥ 0 all of that. */
void withdraw_forget_notes(struct historian *historian, int64_t before_ms, int32_t partition);

/* issue_job.c: begins a job of an issue. */
void issue_job_begin(struct historian_job *job);

/* withdraw.c: begins a job that spreads or withdraws. */
void withdraw_begin(struct historian_job *job);
/* withdraw.c: frees its state; what is under way reports to nobody. */
void withdraw_free(struct withdraw *withdraw);

#endif
