/*
 * Between run_supervisor.c (order of steps, verdict, limits), run_steps.c (what each step starts), run_environment.c and run_upload.c.
 *
 * Invariants: at most one child runs; a step ends by run_step_over exactly once.
 */
#ifndef NODAG_TRAINER_RUN_PRIVATE_H
#define NODAG_TRAINER_RUN_PRIVATE_H

#include <stdbool.h>

#include "base/child.h"
#include "base/git_command.h"
#include "base/http_client.h"
#include "reactors/clients/artefacts.h"
#include "reactors/trainer/run_directory.h"
#include "reactors/trainer/run_sandbox.h"
#include "reactors/trainer/run_spec.h"
#include "reactors/trainer/run_supervisor.h"

/* What the struct that passes through `void *` starts with. */
#define RUN_MAGIC 0x4e0da64u

/* Steps in their order: name in state.json. */
#define RUN_STEPS(X)                                                                               \
    X(STEP_FETCH, "fetch", run_start_fetch, run_end_fetch)                                         \
    X(STEP_CHECKOUT, "checkout", run_start_checkout, run_end_checkout)                             \
    X(STEP_DATASET, "dataset", run_start_dataset, run_end_dataset)                                 \
    X(STEP_PYTHON, "python", run_start_python, run_end_python)                                     \
    X(STEP_WAIT, "environment", run_start_wait, NULL)                                              \
    X(STEP_SWEEP, "environment", run_start_sweep, run_end_sweep)                                   \
    X(STEP_VENV, "environment", run_start_venv, run_end_venv)                                      \
    X(STEP_PIP, "environment", run_start_pip, run_end_pip)                                         \
    X(STEP_NOTEBOOK, "notebook", run_start_notebook, run_end_notebook)                             \
    X(STEP_REPORT, "report", run_start_report, run_end_report)                                     \
    X(STEP_UPLOAD, "upload", run_start_upload, NULL)                                               \
    X(STEP_CLEAN, "clean", run_start_clean, run_end_clean)

/* See RUN_STEPS. */
enum run_step {
#define RUN_STEP_ENUM(name, text, start, end) name, /* see RUN_STEPS */
    RUN_STEPS(RUN_STEP_ENUM)
#undef RUN_STEP_ENUM
        STEP_COUNT,
};

/* Names of what is stored, and where the notebook writes it below scratch. */
#define RUN_OUT_NOTEBOOK "out/notebook.ipynb"
/* See above. */
#define RUN_OUT_HTML "out/notebook.html"
/* See above. */
#define RUN_OUT_MODEL "out/model"
/* See above. */
#define RUN_OUT_METRICS "out/metrics.json"
/* See above. */
#define RUN_OUT_PREDICTIONS "out/predictions.jsonl"
/* The checkout below scratch. */
#define RUN_CHECKOUT "repository"

/* The verdict of too much output; one number: the limit in MiB, long long. */
#define RUN_OUTPUT_REASON "output: the run wrote more than its limit of %lld MiB"

/* A run under way. */
struct run {
    unsigned magic;
    struct loop *loop;            /* borrowed */
    struct run_settings settings; /* texts borrowed */
    struct run_spec spec;         /* owned */
    bool has_spec;
    struct git_access access;
    char *scratch;   /* owned: writable for the sandbox */
    char *root;      /* owned: mount point of the sandbox' root */
    char *mirror;    /* owned */
    char *data;      /* owned: the data set */
    char *log;       /* owned */
    char *data_name; /* owned: where the sandbox sees it */
    enum run_step step;
    struct children *children;     /* owned */
    struct child *child;           /* borrowed; NULL: none runs */
    bool child_is_sandbox;         /* and is watched */
    struct loop_timer *watch;      /* owned: cancel file, memory, output */
    struct loop_timer *deadline;   /* owned */
    struct loop_timer *retry;      /* owned: environment's lock, uploads */
    bool has_verdict;              /* the run has failed or was cancelled */
    enum run_state verdict;        /* holds if so */
    char reason[RUN_REASON_BYTES]; /* likewise */
    bool is_afterwards;            /* the deadline is that of report and upload */
    bool is_over;                  /* the result is written, or cannot be */
    struct error outcome;
    int64_t started_ms; /* wall clock */
    /* environment */
    char *requirements; /* owned: copy in the run's directory */
    char *python;       /* owned: the interpreter */
    char *prefix;       /* owned: where it is installed */
    char *venv;         /* owned: CACHE/KEY */
    char *building;     /* owned: CACHE/KEY.building */
    int environment_fd; /* lock, held until the run ends; -1: none */
    /* results */
    json_t *metrics;              /* owned; NULL: none */
    json_t *artefacts;            /* owned: NAME → {uri, sha256, size_bytes} */
    struct http_client *http;     /* owned; NULL: not needed */
    struct artefact_store *store; /* owned */
    struct artefact_call *call;   /* borrowed; NULL: none */
    size_t upload;                /* which artefact is next */
    int upload_attempts;          /* of this one that failed */
    int64_t upload_due_ms;        /* when patience with the store is over */
    struct error upload_error;    /* why this one is not stored yet; code 0: nothing is wrong */
    int uploads_fd;               /* owned: lock of uploads; -1: none */
};

/* Sets the verdict unless there is one. Loop thread. */
void run_set_verdict(struct run *run, enum run_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says that the present step is over: the next one follows, or with a verdict report and upload. Loop thread. */
void run_step_over(struct run *run);

/* Goes on at another step, from within the present one. Loop thread. */
void run_go_to(struct run *run, enum run_step step);

/* Starts the present step's child (all is copied); its `end` follows. A sandbox' child is watched. Loop thread. */
void run_start_child(struct run *run, struct child_spec *spec, bool is_sandbox);

/* Starts a program in the sandbox (which is completed with what all have); `env` holds variables beside the usual ones, or NULL. Loop thread. */
void run_start_sandbox(struct run *run, struct sandbox *sandbox, const char *const *argv);

/* Appends a line to the log. Loop thread. */
void run_log(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies the last line of the log that says something, for a reason; "" if there is none. Loop thread. */
void run_last_line(struct run *run, char *ret_line, size_t line_bytes);

/* Sets a verdict for a child that did not end well: what it did, its status and last line; true if it did. Loop thread. */
bool run_child_failed(struct run *run, const struct child_result *result, const char *what);

/* Frees what run_upload.c made. Loop thread. */
void run_upload_release(struct run *run);

/* Starts of steps: 0, or a code with a text, which becomes the verdict. Ends: look at the child's result, and call run_step_over. */
#define RUN_STEP_START(name) int name(struct run *run, struct error *error) MUST_CHECK
/* See RUN_STEP_START. */
#define RUN_STEP_END(name) void name(struct run *run, const struct child_result *result)

/* The steps of RUN_STEPS. Loop thread. */
RUN_STEP_START(run_start_fetch);
/* See above, like all that follow. */
RUN_STEP_END(run_end_fetch);
/* … */
RUN_STEP_START(run_start_checkout);
/* … */
RUN_STEP_END(run_end_checkout);
/* … */
RUN_STEP_START(run_start_dataset);
/* … */
RUN_STEP_END(run_end_dataset);
/* … */
RUN_STEP_START(run_start_python);
/* … */
RUN_STEP_END(run_end_python);
/* … */
RUN_STEP_START(run_start_wait);
/* … */
RUN_STEP_START(run_start_sweep);
/* … */
RUN_STEP_END(run_end_sweep);
/* … */
RUN_STEP_START(run_start_venv);
/* … */
RUN_STEP_END(run_end_venv);
/* … */
RUN_STEP_START(run_start_pip);
/* … */
RUN_STEP_END(run_end_pip);
/* … */
RUN_STEP_START(run_start_notebook);
/* … */
RUN_STEP_END(run_end_notebook);
/* … */
RUN_STEP_START(run_start_report);
/* … */
RUN_STEP_END(run_end_report);
/* … */
RUN_STEP_START(run_start_upload);
/* … */
RUN_STEP_START(run_start_clean);
/* … */
RUN_STEP_END(run_end_clean);

#endif
