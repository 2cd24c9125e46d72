/*
 * What the trainer's own files share: models and jobs.
 *
 *   trainer.c     the kernel's callbacks, tables, timers, start
 *   observe.c     a job begins: asks needsSyncUrl if it is time; gathers facts; asks the plan
 *   plan.c        pure
 *   act.c         one action of a run's life: records, directory, supervisor
 *   collect.c     pure: which run's remains history limits remove
 *   remove.c      the removal
 *   tidy.c        what killed supervisors left
 *   describe.c    metrics, and whether a model needs training
 */
#ifndef NODAG_TRAINER_TRAINER_PRIVATE_H
#define NODAG_TRAINER_TRAINER_PRIVATE_H

#include <uthash.h>

#include "reactors/trainer/labels.h"
#include "reactors/trainer/local_head.h"
#include "reactors/trainer/named.h"
#include "reactors/trainer/needs_sync.h"
#include "reactors/trainer/pushes.h"
#include "reactors/trainer/registry.h"
#include "reactors/trainer/run_directory.h"
#include "reactors/trainer/trainer.h"
#include "reactors/trainer/wish.h"

/* What keys of the trainer begin with. */
#define TRAINER_KEY_PREFIX "Model/"

/* From the record of a lost run until what it left is deleted: by then its processes have died, too. */
#define TIDY_LOST_MS 5000

/*
 * A process that slept (SIGSTOP, a paused machine) may have lost its partition meanwhile, does not know it yet, and what it read of its topics is
 * old. After a gap of TRAINER_SLEPT_MS between two pulses it does nothing for TRAINER_WAKING_MS, in which it is told, and reads on. No member
 * of a group is missed sooner than after 6 s: brokers allow no shorter session (group.min.session.timeout.ms).
 */
#define TRAINER_PULSE_MS 1000
/* See above. */
#define TRAINER_SLEPT_MS 4000
/* See above. */
#define TRAINER_WAKING_MS 10000

/* Checks that a pointer is a model, a job. */
#define TRAINER_MODEL_MAGIC 0x746d6f64u
/* See above. */
#define TRAINER_JOB_MAGIC 0x746a6f62u

/* One model: what is remembered between its jobs. None of it is needed after a restart. */
struct trainer_model {
    unsigned magic;           /* TRAINER_MODEL_MAGIC */
    struct trainer *trainer;  /* borrowed */
    struct loop_timer *timer; /* owned; looks again */
    bool labels_known;        /* … */
    uint64_t labels;          /* as last counted */
    int64_t labels_since_ms;  /* since when they were counted */
    uint64_t labels_seen;     /* trainer.label_changes at that time */
    int64_t labels_ms;        /* monotonic time of the count; 0: never */
    int64_t sync_asked_ms;    /* monotonic time of the last answer, or failure; 0: never */
    bool sync_known;          /* there is an answer */
    struct needs_sync sync;   /* owned parts; the answer */
    char *sync_url;           /* owned; whose answer */
    char *sync_version;       /* owned; the newest version at that time; "": none */
    int64_t remove_due_ms;    /* monotonic; nothing is removed before, because it failed */
    unsigned stale;           /* as last planned */
    bool is_stalled;          /* as last planned */
    char stall_reason[PLAN_REASON_BYTES]; /* why */
    UT_hash_handle hh;                    /* by name */
    char name[];                          /* NUL-terminated */
};

/* The facts of a model with their memory. */
struct facts {
    struct plan_facts plan;            /* what the plan sees; borrows from the rest */
    const struct run_record **records; /* owned array; borrowed records: runs */
    struct plan_run *runs;             /* owned array; as records */
    struct run_result *results;        /* owned array; as records; for RUN_SIGHT_FINISHED */
    char *parameters;                  /* owned; of the lambda, canonical */
};

/* A key that runs. */
struct trainer_job {
    unsigned magic;                /* TRAINER_JOB_MAGIC */
    struct trainer *trainer;       /* borrowed */
    struct trainer_model *model;   /* borrowed */
    struct kernel_work *work;      /* borrowed */
    struct wish *wish;             /* owned */
    struct http_call *call;        /* under way, or NULL */
    struct run_record *run;        /* owned; being published */
    struct model_record *version;  /* owned; being published */
    struct artefact_call *removal; /* under way, or NULL */
    struct loop_timer *timer;      /* owned; waits for a supervisor */
    int64_t launch_due_ms;         /* monotonic; until when a supervisor may take its directory */
    char *folder;                  /* owned; of the run that is launched */
    char **remove;                 /* owned: digests of artefacts to be removed; NULL: none now */
    size_t remove_count;           /* of them */
    size_t removed;                /* so far */
    int uploads_fd;                /* owned while `remove` is there: the lock of uploads */
    bool keeps_record;             /* of the run that is removed: see collect.h */
    int64_t look_ms;               /* after its end the model is looked at so soon; 0: as it ends */
    size_t actions;                /* so far */
};

/* The trainer. */
struct trainer {
    struct trainer_ground ground;    /* borrowed parts */
    struct spec_table *specs;        /* owned */
    struct registry *registry;       /* owned */
    struct labels *labels;           /* owned */
    struct pushes *pushes;           /* owned */
    struct named *named;             /* owned */
    struct local_head *local;        /* owned; NULL: documents come from the topic */
    struct trainer_model *models;    /* hash */
    struct kernel *kernel;           /* owned; NULL until the documents were read */
    struct loop_timer *again_timer;  /* owned; joins again */
    struct loop_timer *labels_timer; /* owned; counts labels */
    struct loop_timer *pulse_timer;  /* owned; calls trainer_waking_ms */
    int64_t pulse_ms;                /* monotonic time of the last pulse */
    int64_t
        pulse_wall_ms; /* wall clock at that time: some machines' monotonic time stands still while they sleep */
    int64_t awake_ms;              /* monotonic; nothing is done before */
    struct loop_timer *tidy_timer; /* owned; looks for what runs left */
    struct child *tidy_child;      /* deletes that; NULL: none runs */
    bool tidy_is_cut;              /* there was more than one child deletes */
    uint64_t label_changes;        /* records of `issues` that came */
    loop_fn ready_changed;         /* see trainer_on_ready */
    void *ready_argument;          /* likewise */
    struct trainer_metrics {
        struct metrics_family *runs;    /* by state */
        struct metrics_family *age;     /* by model */
        struct metrics_family *labels;  /* by model */
        struct metrics_family *stale;   /* by model and reason */
        struct metrics_family *stalled; /* by model */
        struct metrics_family *sync;    /* questions to needsSyncUrl, by result */
        struct metric *refused;         /* records that cannot be read */
        struct metric *left_out;        /* label changes over a limit */
        struct metric *collected;       /* artefacts removed */
    } metrics;                          /* NULL without a registry */
};

/* trainer.c: looks at a model soon. */
void trainer_wake(struct trainer *trainer, const char *name);
/* trainer.c: finds a model, or makes it. */
struct trainer_model *trainer_model_open(struct trainer *trainer, const char *name);
/* trainer.c: how long nothing may be done, because the process slept; 0: now. */
int64_t trainer_waking_ms(struct trainer *trainer);
/* trainer.c: ends a job. `reason` is borrowed. */
void trainer_job_finish(struct trainer_job *job, enum kernel_outcome_kind kind, int64_t after_ms,
                        const char *reason);
/* trainer.c: ends a job with DONE and looks again after `delay_ms` (INT64_MAX: when something changes). */
void trainer_job_rest(struct trainer_job *job, int64_t delay_ms);
/* trainer.c: returns the present wish of a model; owned. */
struct wish *trainer_make_wish(const struct trainer *trainer, const char *name);

/* observe.c: begins. */
void observe_begin(struct trainer_job *job);
/* observe.c: gathers the facts, asks the plan and acts; again after each action. */
void observe_plan(struct trainer_job *job);
/* observe.c: fills facts; to be released. The present sights of runs are read where `look`. ERR_… with a text. */
int observe_facts(const struct trainer *trainer, struct trainer_model *model,
                  const struct wish *wish, bool look, struct facts *ret_facts,
                  struct error *error) MUST_CHECK;
/* observe.c: frees what facts own. */
void facts_release(struct facts *facts);
/* observe.c: the directory of a run; owned. */
char *observe_folder(const struct trainer *trainer, const char *run);

/* act.c: performs one action; ends with observe_plan, or finishes the job. */
void act_begin(struct trainer_job *job, const struct plan *plan, const struct facts *facts);
/* act.c: publishes job->run, or a tombstone of its name; then observe_plan. */
void act_publish_run(struct trainer_job *job, bool is_tombstone);
/* act.c: publishes job->version, and then job->run if there is one; then observe_plan. */
void act_publish_version(struct trainer_job *job);

/*
 * remove.c: removes what history limits say, one step of one run; ends with observe_plan, or finishes the
 * job. False: there is nothing to do.
 */
bool remove_begin(struct trainer_job *job);
/* remove.c: lets go of what a removal holds, if there is one. */
void remove_end(struct trainer_job *job);

/* tidy.c: looks through the run directories, if this replica acts, and sets trainer->tidy_timer. `argument` is the trainer. */
void tidy_look(void *argument);

/* describe.c: declares the metrics. */
void describe_declare(struct trainer *trainer);
/* describe.c: notes what a plan said of a model. */
void describe_note(struct trainer_model *model, unsigned stale, const struct plan *plan);

#endif
