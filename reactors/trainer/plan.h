/*
 * The trainer's plan: (what a Model document wants, what is observed, now) → the one thing to do next.
 * Pure: no input, no output, no clock.
 *
 * Design: the plan is asked again after every action and every event, so it names one step, never a
 * sequence. The order of the questions is the order of who wins:
 *
 *      runs that are over say so first      a result is recorded, a lost run becomes LOST
 *      then people                          deleted or suspended: cancel what runs, start nothing
 *      then the run under way               at most one: wait for it
 *      then freshness                       is there a reason to train? if not: when will there be?
 *      then the budget                      failures back off, and after attempts_max stall
 *
 * A cause is what made the model stale, as a hash: the document, the code commit, the model that is
 * to be replaced, the kinds of reasons, and how often `newLabels` was filled. Runs of one cause are
 * its attempts; when spec, code or data change there is a new cause and a new budget. The wait before
 * the next attempt grows with the failures since the last success, whatever their cause, so that a
 * model that fails for everything is not tried faster because labels keep coming.
 *
 * Invariants: PLAN_START is only ever said while every known run of the model is terminal; a run
 * name is a function of model, cause and attempt; no wait ends later than PLAN_BACKOFF_MOST_MS +
 * PLAN_CLOCK_STEP_MS from now because a clock moved, and asking again never moves its end.
 */
#ifndef NODAG_TRAINER_PLAN_H
#define NODAG_TRAINER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "topics/run_state.h"

/* Attempts for one cause, after which a person must change something. */
#define PLAN_ATTEMPTS_MAX 3

/* Wait before the second attempt where none is set; it doubles with every further failure. */
#define PLAN_BACKOFF_FIRST_MS 60000

/* Longest wait before the next attempt. */
#define PLAN_BACKOFF_MOST_MS 3600000

/* How far ahead the end of a run may be dated and still be waited for; farther, and a clock was moved. */
#define PLAN_CLOCK_STEP_MS 60000

/* How long a run on another host may be silent after its deadline before it counts as lost. */
#define PLAN_ELSEWHERE_GRACE_MS 600000

/* Room for a run's name with its NUL: "MODEL-CAUSE-ATTEMPT". */
#define PLAN_RUN_NAME_BYTES 128

/* Digits of a cause in a run's name. */
#define PLAN_CAUSE_DIGITS 12

/* Room for the reasons as people read them, with the NUL. */
#define PLAN_REASON_BYTES 256

/* Why a model is stale: name in records, text for people. */
#define PLAN_REASONS(X)                                                                            \
    X(PLAN_NO_MODEL, "no-model", "there is no model yet")                                          \
    X(PLAN_MAX_AGE, "max-age", "the model is older than maxAge")                                   \
    X(PLAN_NEW_LABELS, "new-labels", "people changed newLabels labels since its data")             \
    X(PLAN_ON_PUSH, "on-push", "onPush paths differ from the model's code")                        \
    X(PLAN_NEEDS_SYNC, "needs-sync", "needsSyncUrl says so")

/* See PLAN_REASONS; their numbers are bits of a set. */
enum plan_reason {
#define PLAN_REASON_ENUM(name, id, text) name, /* see PLAN_REASONS */
    PLAN_REASONS(PLAN_REASON_ENUM)
#undef PLAN_REASON_ENUM
};

/* What is seen of a run in the world, beside what its record says. */
enum run_sight {
    RUN_SIGHT_ABSENT,    /* no run directory here: it was never started */
    RUN_SIGHT_RUNNING,   /* its supervisor holds the lock */
    RUN_SIGHT_FINISHED,  /* there is a result */
    RUN_SIGHT_GONE,      /* the lock is free and there is no result */
    RUN_SIGHT_ELSEWHERE, /* it was started on another host, which cannot be seen from here */
};

/* One run of the model. Texts borrowed. */
struct plan_run {
    const char *name;
    const char *cause;         /* as in the record: PLAN_CAUSE_DIGITS hexadecimal digits */
    uint32_t attempt;          /* from 1 */
    enum run_state state;      /* as recorded */
    enum run_sight sight;      /* holds for runs that are not terminal */
    enum run_state result;     /* for RUN_SIGHT_FINISHED: SUCCEEDED, FAILED or CANCELLED */
    const char *result_reason; /* for RUN_SIGHT_FINISHED: a sentence */
    bool cancelling;           /* it was told to stop already */
    int64_t started_ms;        /* wall clock; 0: not yet */
    int64_t ended_ms;          /* wall clock; 0: not yet */
    int64_t deadline_ms;       /* longest duration */
};

/* What the document wants. Texts borrowed. */
struct plan_wish {
    const char *name;     /* of the model */
    const char *spec_sha; /* hash of the last valid document's value */
    bool present;         /* false: the document was deleted */
    bool suspend;         /* a person wants nothing to run */
    int64_t max_age_ms;   /* 0: age does not matter */
    uint64_t new_labels;  /* 0: labels do not matter */
    bool on_push;         /* pushes matter */
    bool needs_sync;      /* a lambda is asked */
};

/* What is known of the world; every "known" that is false means: not asked yet, or no answer. */
struct plan_facts {
    int64_t now_ms;              /* wall clock */
    int64_t backoff_ms;          /* wait before the second attempt; 0: PLAN_BACKOFF_FIRST_MS */
    bool has_model;              /* there is one, of any age */
    const char *model;           /* its version; NULL: none */
    int64_t model_ms;            /* when it was made; wall clock */
    bool labels_known;           /* … */
    uint64_t labels;             /* human label changes since the model's snapshot, or in all */
    bool head_known;             /* … */
    const char *head;            /* commit that would be trained with; NULL unless known */
    bool paths_differ;           /* onPush paths differ between the model's commit and head */
    bool sync_known;             /* … */
    bool sync;                   /* needsSync: true */
    const char *sync_parameters; /* canonical JSON of its parameters; NULL: none */
    const struct plan_run *runs; /* every recorded run of this model, any order */
    size_t run_count;
};

/* What to do next. */
enum plan_action {
    PLAN_WAIT,   /* nothing now: look again at `next_ms`, or when something changes */
    PLAN_START,  /* record `name` as PENDING and start it */
    PLAN_MARK,   /* record run `run` as RUNNING: its supervisor is there */
    PLAN_LAUNCH, /* run `run` is recorded and was never started: start it */
    PLAN_CANCEL, /* tell run `run` to stop, because of `reason` */
    PLAN_FINISH, /* record run `run` as `state`, because of `reason` */
    PLAN_STALL,  /* a person must change something: `reason` */
};

/* The decision. */
struct plan {
    enum plan_action action;
    size_t run;           /* index in facts->runs, for MARK, LAUNCH, CANCEL and FINISH */
    enum run_state state; /* FINISH: which terminal state */
    unsigned reasons;     /* START: bits of enum plan_reason */
    uint32_t attempt;     /* START: from 1 */
    int64_t
        next_ms; /* WAIT: wall clock; INT64_MAX: only when something changes. With a `reason` it is
                             the wait after a failure. */
    char cause[PLAN_CAUSE_DIGITS + 1];
    char name[PLAN_RUN_NAME_BYTES];
    char reason[PLAN_REASON_BYTES];
};

/* Decides; everything but `ret_plan` is borrowed. Any thread. */
void plan_make(const struct plan_wish *wish, const struct plan_facts *facts, struct plan *ret_plan);

/* Returns why the model is stale, bits of enum plan_reason; 0: it is fresh. Any thread. */
unsigned plan_stale(const struct plan_wish *wish, const struct plan_facts *facts);

/* Writes reasons as people read them; "" for none. Any thread. */
void plan_describe(unsigned reasons, char ret_text[PLAN_REASON_BYTES]);

/* How many reasons there are. */
#define PLAN_REASON_COUNT (PLAN_NEEDS_SYNC + 1)

/* Returns a reason's name in records; static. Any thread. */
const char *plan_reason_id(enum plan_reason reason);

#endif
