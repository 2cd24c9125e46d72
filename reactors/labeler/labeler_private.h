/*
 * What the labeler's own files share: the job.
 *
 *   labeler.c     route, the kernel's callbacks, start, sweep
 *   observe.c     repository, then issue and timeline or the topic's record → struct observed
 *   plan.c        pure
 *   act.c         writes, then the record
 *   prediction.c  the record's form
 *
 * A job goes through the steps of JOB_STEPS in order; job_set_step is the only setter and asserts
 * that. At each step at most one thing is under way: a forge call, a wait for the repository, or a
 * publish.
 */
#ifndef NODAG_LABELER_LABELER_PRIVATE_H
#define NODAG_LABELER_LABELER_PRIVATE_H

#include "reactors/labeler/desired.h"
#include "reactors/labeler/history.h"
#include "reactors/labeler/labeler.h"
#include "reactors/labeler/plan.h"
#include "reactors/labeler/repository.h"

/* Steps of a job. */
#define JOB_STEPS(X)                                                                               \
    X(JOB_REPOSITORY) /* waits for what is known of the repository */                              \
    X(JOB_FRESH)      /* waits for what the topic issues says of an issue that was just opened */  \
    X(JOB_ISSUE)      /* reads the issue */                                                        \
    X(JOB_TIMELINE)   /* reads its timeline */                                                     \
    X(JOB_PLAN)       /* looks at the repository's knowledge once more, and plans */               \
    X(JOB_DELETE)     /* deletes doubled comments of nodag's own, one by one */                    \
    X(JOB_REMOVE)     /* removes labels, one by one */                                             \
    X(JOB_ADD)        /* adds labels, in one go */                                                 \
    X(JOB_COMMENT)    /* writes or edits the comment */                                            \
    X(JOB_RECORD)     /* publishes the decision */

/* See JOB_STEPS. */
enum job_step {
#define JOB_STEP_ENUM(name) name, /* see JOB_STEPS */
    JOB_STEPS(JOB_STEP_ENUM)
#undef JOB_STEP_ENUM
};

/* Most doubled comments that one run deletes; more are met by the next. */
#define OBSERVED_DOUBLES_MAX 8

/* What was observed, copied out of the answers; owned by the job. */
struct observed {
    char *repository;                      /* owner/name now */
    char *title;                           /* of the issue */
    char *body;                            /* of the issue */
    char **present;                        /* labels on the issue */
    size_t present_count;                  /* of them */
    struct plan_label_event *events;       /* label entries; texts owned */
    size_t event_count;                    /* of them */
    int64_t comment_id;                    /* nodag's comment; 0: none */
    char *comment_body;                    /* its text, or NULL */
    int64_t doubles[OBSERVED_DOUBLES_MAX]; /* further ones with the marker */
    size_t double_count;                   /* of them */
    bool is_locked;                        /* conversation locked: an App may not comment */
};

/* A model's opinion joined with what document and repository say of it; texts owned by the opinion
 * and by `written`. */
struct prepared {
    struct model_opinion *opinion;     /* owned */
    struct plan_candidate *candidates; /* owned */
    char **texts;                      /* owned copies of the candidates' names */
    size_t text_count;                 /* of them */
    const char **words;                /* owned list, for the comment */
};

/* Checks that a pointer is a job. */
#define JOB_MAGIC 0x6c6a6f62u

/* One key under way. */
struct labeler_job {
    unsigned magic;                     /* JOB_MAGIC */
    struct labeler *labeler;            /* borrowed */
    struct kernel_work *work;           /* borrowed */
    enum job_step step;                 /* changed by job_set_step only */
    int64_t repository_id;              /* of the key */
    int64_t number;                     /* of the key */
    bool held_back;                     /* in the audit's holdback */
    enum document_comment comment_mode; /* of the document at the plan */
    int64_t known_comment_id;           /* of the history at the plan */
    struct observed observed;           /* see there */
    struct prepared prepared;           /* see there */
    struct plan_input input;            /* borrowed from the two above */
    struct plan *plan;                  /* owned */
    bool is_reported;        /* what it waits for was said already, once for its repository */
    bool labels_checked;     /* the repository's labels were read again before adding */
    size_t deleted;          /* doubled comments deleted so far */
    size_t removed;          /* labels removed so far */
    bool wrote_add;          /* the POST was done */
    int64_t comment_id;      /* after the writes; 0: none */
    bool by_record;          /* observed by the topic's record */
    struct forge_call *call; /* under way, or NULL */
    struct repository_waiter *waiter;  /* under way, or NULL */
    struct fresh_waiter *fresh_waiter; /* under way, or NULL */
};

/* The labeler. */
struct labeler {
    struct labeler_ground ground;      /* borrowed parts */
    struct desired *desired;           /* owned; the documents */
    struct models *models;             /* owned */
    struct repositories *repositories; /* owned */
    struct history *history;           /* owned */
    struct fresh *fresh;               /* owned; NULL: the forge is asked, always */
    size_t looks_by_record;            /* see labeler_looks_by_record */
    struct kernel *kernel;             /* owned; NULL until the forge said who nodag is */
    char *login;                       /* owned; nodag's own */
    struct forge_call *identity_call;  /* under way, or NULL */
    struct loop_timer *identity_timer; /* owned; asks again */
    loop_fn documents_changed;         /* see labeler_on_documents */
    void *documents_argument;          /* likewise */
    loop_fn ready_changed;             /* see labeler_on_ready */
    void *ready_argument;              /* likewise */
    struct metrics_family *verdicts;   /* decisions by verdict; NULL without metrics */
    struct metrics_family *writes;     /* forge writes by kind; NULL without metrics */
    struct metrics_family *looks;      /* looks by where; NULL without metrics */
};

/* labeler.c: moves a job on; asserts that steps are not repeated or taken backwards (JOB_REMOVE may
 * repeat). */
void job_set_step(struct labeler_job *job, enum job_step step);
/* labeler.c: ends a job: frees it and tells the kernel. `reason` is borrowed. */
void job_end(struct labeler_job *job, enum kernel_outcome_kind kind, int64_t after_ms,
             const char *reason);
/* labeler.c: ends a job with AFTER, spread a little, so that jobs put off together do not come back together. */
void job_end_later(struct labeler_job *job, int64_t wait_ms, const char *reason);
/* labeler.c: ends a job after a failed forge call: rate limit → AFTER, away → RETRY, refused →
 * STALLED. */
void job_fail(struct labeler_job *job, const struct forge_result *result, const char *doing);

/* observe.c: begins; ends with act_begin, or finishes the job. */
void observe_begin(struct labeler_job *job);
/* observe.c: frees what was observed, prepared and planned. */
void observe_release(struct labeler_job *job);

/* act.c: performs job->plan, publishes the record, finishes the job. */
void act_begin(struct labeler_job *job);

/* prediction.c: the record of a job's decision as JSON; owned, length in ret_bytes. */
char *prediction_write(const struct labeler_job *job, size_t *ret_bytes);

#endif
