/*
 * The directory of a run: how the trainer and the supervisor of a run meet.
 *
 * Design: the trainer makes the directory and starts `nodag-train-run RUN_DIR`; from then on both talk through files only, so that
 * either may end without the other.
 *
 *      RUNS/NAME/          0700
 *          run.json        trainer: what to do (run_spec.h); complete or not there
 *          lock            supervisor: made once, locked for as long as it lives
 *          cancel          trainer: stop; holds the reason as text
 *          state.json      supervisor: {step, since, pid}; replaced at each step
 *          log             supervisor: all that the steps printed
 *          stored.json     supervisor: {NAME: {uri, sha256, size_bytes}}: what it has stored so far; replaced at each upload
 *          result.json     supervisor: the last thing that it writes, after every upload:
 *                          {state, reason, started_at, ended_at, artefacts: {NAME: {uri, sha256, size_bytes}}, metrics}
 *
 *      run.json | lock | result.json        run_directory_observe
 *      no       | –    | –                  ABSENT: not begun
 *      yes      | none | –                  ABSENT: no supervisor came so far; start one (again)
 *      yes      | any  | yes                FINISHED
 *      yes      | held | no                 RUNNING
 *      yes      | free | no                 GONE: its supervisor died
 *
 * The lock is an open-file-description lock (fcntl_locking(2)): looking at it does not take it. It is made under another
 * name, locked, and linked to its own, so it is never seen unlocked before its supervisor died.
 *
 * Artefacts are shared by content, so what is removed for one run must not be what another is about to name. RUNS/.uploads.lock
 * (flock(2)) keeps both apart: supervisors hold it together from their first upload until their result is written, whoever removes holds
 * it alone, and spares what stored.json of a run under way names.
 *
 * Invariants: a directory has at most one supervisor, ever; a result is never changed; what a supervisor uploaded and stored.json does
 * not name is one artefact at most, of a supervisor that was killed in between.
 */
#ifndef NODAG_TRAINER_RUN_DIRECTORY_H
#define NODAG_TRAINER_RUN_DIRECTORY_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "reactors/trainer/plan.h"

/* Names of the files; see above. */
#define RUN_FILE_SPEC "run.json"
/* See above. */
#define RUN_FILE_LOCK "lock"
/* See above. */
#define RUN_FILE_CANCEL "cancel"
/* See above. */
#define RUN_FILE_STATE "state.json"
/* See above. */
#define RUN_FILE_LOG "log"
/* See above. */
#define RUN_FILE_STORED "stored.json"
/* See above. */
#define RUN_FILE_RESULT "result.json"
/* See above; beside the directories. */
#define RUN_UPLOADS_LOCK ".uploads.lock"

/* Largest of these files that is read: metrics are bounded by run_outputs.h. */
#define RUN_FILE_MAX_BYTES ((size_t)8 << 20)

/* Room for a reason with its NUL. */
#define RUN_REASON_BYTES 512

/* Exit status of a supervisor whose directory has or had another one. */
#define RUN_EXIT_TAKEN 4

/* How a run ended. */
struct run_result {
    enum run_state state;          /* SUCCEEDED, FAILED or CANCELLED */
    char reason[RUN_REASON_BYTES]; /* a sentence for people; empty for a success */
    int64_t started_ms;            /* wall clock */
    int64_t ended_ms;              /* wall clock */
    json_t *json;                  /* owned: the whole result.json */
};

/* Makes the directory (its parent exists; one that is there without a lock is taken over) and writes run.json. ERR_CONFLICT if a supervisor has
 * or had it, ERR_DENIED, ERR_IO with the path. Blocks for small writes. Any thread. */
int run_directory_create(const char *folder, const json_t *spec, struct error *error) MUST_CHECK;

/*
 * Says what is seen of a run; `ret_result` is filled for RUN_SIGHT_FINISHED only, then to be released. ERR_CORRUPT if
 * the result is not one, ERR_DENIED, ERR_IO. Blocks for small reads. Any thread.
 */
int run_directory_observe(const char *folder, enum run_sight *ret_sight,
                          struct run_result *ret_result, struct error *error) MUST_CHECK;

/* Frees what a result owns. */
void run_result_release(struct run_result *result);

/* Tells the supervisor to stop, because of `reason`; again replaces the reason. ERR_NOT_FOUND (no directory), ERR_DENIED, ERR_IO. Any thread. */
int run_directory_cancel(const char *folder, const char *reason, struct error *error) MUST_CHECK;

/*
 * Takes the directory for the calling process, for as long as `ret_fd` (owned, closed on exec) is open. ERR_CONFLICT if another supervisor has
 * or had it, ERR_NOT_FOUND, ERR_DENIED, ERR_IO. Any thread.
 */
int run_directory_take(const char *folder, int *ret_fd, struct error *error) MUST_CHECK;

/*
 * Takes the lock of uploads for as long as `ret_fd` (owned, closed on exec) is open; `alone`: to remove artefacts, else: to store some.
 * `runs` is the folder of run directories. ERR_CONFLICT: others hold it, try again later. ERR_NOT_FOUND, ERR_DENIED, ERR_IO. Any thread.
 */
int run_uploads_lock(const char *runs, bool alone, int *ret_fd, struct error *error) MUST_CHECK;

/* Replaces a file of the directory by a JSON text, durably. ERR_IO, ERR_DENIED. Any thread. */
int run_directory_write(const char *folder, const char *name, const json_t *json,
                        struct error *error) MUST_CHECK;

/* Reads a JSON object of the directory; new reference. ERR_NOT_FOUND, ERR_CORRUPT, ERR_DENIED, ERR_IO. Any thread. */
int run_directory_read(const char *folder, const char *name, json_t **ret_json,
                       struct error *error) MUST_CHECK;

/* Returns the name of a sight, "RUNNING" for example; static storage. Any thread. */
const char *run_sight_name(enum run_sight sight);

#endif
