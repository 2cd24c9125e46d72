/*
 * The upload of a run's artefacts: see run_supervisor.h.
 *
 * Design: one after the other, the log last, so that it holds what was said of the others. What the notebook did not write is left out; whether that
 * fails the run was decided before. A store that is away is tried again until its patience is over, because a training may have taken hours;
 * then the others are tried once each, or not at all where it does not even answer.
 *
 * All is done under the lock of uploads, and each artefact is noted in the directory when it is stored: run_directory.h.
 *
 * Invariant: what stands in `artefacts` is durable in the store.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/run_outputs.h"
#include "reactors/trainer/run_private.h"

/* The wait before an artefact's second attempt; it doubles, up to the second of these. */
#define UPLOAD_RETRY_MS 1000
/* See above. */
#define UPLOAD_RETRY_MOST_MS 16000

/* Most patience for what a run leaves that has failed or was cancelled already. */
#define UPLOAD_FAILED_PATIENCE_MS 30000

/* How often the lock of uploads is tried: removals take a moment. */
#define UPLOAD_LOCK_MS 200

/* What is stored: its name in the result, and where it lies. */
static const struct {
    const char *name;
    const char *path; /* below scratch; NULL: in the run's directory, see path_of */
} artefacts[] = {
    {"dataset", NULL},
    {"notebook", RUN_OUT_NOTEBOOK},
    {"html", RUN_OUT_HTML},
    {"model", RUN_OUT_MODEL},
    {"metrics", RUN_OUT_METRICS},
    {"predictions", RUN_OUT_PREDICTIONS},
    {"log", NULL},
};

static void upload_next(struct run *run);

/* The wait before the next attempt; -1 where patience is over: it is counted from the first failure since something was stored. */
static int64_t next_wait_ms(struct run *run)
{
    int64_t now_ms = loop_now_ms(run->loop);
    int64_t patience_ms = run->settings.upload_patience_ms;
    if (run->has_verdict && patience_ms > UPLOAD_FAILED_PATIENCE_MS)
        patience_ms = UPLOAD_FAILED_PATIENCE_MS;
    if (run->upload_attempts == 0)
        run->upload_due_ms = now_ms + patience_ms;
    int64_t wait_ms = UPLOAD_RETRY_MS;
    for (int i = 0; i < run->upload_attempts && wait_ms < UPLOAD_RETRY_MOST_MS; i++)
        wait_ms *= 2;
    run->upload_attempts++;
    return now_ms + wait_ms <= run->upload_due_ms ? wait_ms : -1;
}

/* So that what a run has stored that gets lost can be removed. */
static void note_stored(struct run *run)
{
    struct error error = {0};
    if (run_directory_write(run->settings.folder, RUN_FILE_STORED, run->artefacts, &error) != 0)
        run_log(run, "==> %s", error.text); /* the result will say it */
}

static void on_stored(void *argument, int code, const struct artefact *artefact,
                      const struct error *error)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    const char *name = artefacts[run->upload].name;
    int64_t wait_ms = err_is_retriable(code) ? next_wait_ms(run) : -1;
    run->call = NULL;
    if (code == 0) {
        json_t *stored =
            json_pack("{s:s, s:s, s:I}", "uri", artefact->uri, "sha256", artefact->sha256,
                      "size_bytes", (json_int_t)artefact->size_bytes);
        (void)json_object_set_new(run->artefacts, name, stored);
        note_stored(run);
    } else if (wait_ms >= 0) {
        run_log(run, "%s is not stored yet: %s", name, error->text);
        run->upload_error = *error;
        loop_timer_set(run->retry, wait_ms);
        return;
    } else {
        run_set_verdict(run, RUN_FAILED, "%s could not be stored: %s", name, error->text);
        if (code == ERR_TIMEOUT) {
            run_step_over(run);
            return;
        }
        if (err_is_retriable(code))
            run->settings.upload_patience_ms = 0;
    }
    run->upload++;
    run->upload_attempts = 0;
    run->upload_error.code = 0;
    upload_next(run);
}

static int open_artefact(const struct run *run, size_t which, int *ret_fd, struct error *error)
{
    const char *path = artefacts[which].path;
    if (path != NULL)
        return run_output_open(run->scratch, path, ARTEFACT_MAX_BYTES, ret_fd, error);
    const char *own = strcmp(artefacts[which].name, "log") == 0 ? run->log : run->data;
    return run_output_open(run->settings.folder, strrchr(own, '/') + 1, ARTEFACT_MAX_BYTES, ret_fd,
                           error);
}

/* Stores the next artefact that is there; after the last the step is over. */
static void upload_next(struct run *run)
{
    for (; run->upload < ARRAY_COUNT(artefacts); run->upload++) {
        struct error error = {0};
        int fd = -1;
        int code = open_artefact(run, run->upload, &fd, &error);
        if (code == 0) {
            run->call = artefact_put(run->store, fd, on_stored, run);
            return;
        }
        if (code != ERR_NOT_FOUND)
            run_set_verdict(run, RUN_FAILED, "%s", error.text);
    }
    run_step_over(run);
}

/* Takes the lock first, and goes on; later, where artefacts are being removed. */
static void on_retry(void *argument)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    struct error error = {0};
    CLEANUP(mem_free) char *runs = mem_format("%s/..", run->settings.folder);
    int code = run->uploads_fd >= 0 ? 0 : run_uploads_lock(runs, false, &run->uploads_fd, &error);
    if (code == ERR_CONFLICT) {
        loop_timer_set(run->retry, UPLOAD_LOCK_MS);
        return;
    }
    if (code != 0) {
        run_set_verdict(run, RUN_FAILED, "nothing can be stored: %s", error.text);
        run_step_over(run);
        return;
    }
    upload_next(run);
}

int run_start_upload(struct run *run, struct error *error)
{
    const struct artefact_settings settings = {.url = run->spec.artefacts_url,
                                               .endpoint = run->spec.artefacts_endpoint,
                                               .region = run->spec.artefacts_region,
                                               .credentials_file = run->spec.artefacts_credentials};
    const struct http_client_settings http = {.user_agent = "nodag/" NODAG_VERSION};
    if (strncmp(settings.url, "file:", 5) != 0)
        run->http = http_client_new_curl(run->loop, &http);
    int code = artefact_store_new(run->loop, run->http, &settings, &run->store, error);
    if (code != 0)
        return code;
    loop_timer_free(run->retry);
    run->retry = loop_timer_new(run->loop, on_retry, run);
    on_retry(run);
    return 0;
}

void run_upload_release(struct run *run)
{
    if (run->call != NULL)
        artefact_cancel(run->store, run->call);
    artefact_store_free(run->store);
    http_client_free_curl(run->http);
    if (run->uploads_fd >= 0)
        (void)close(run->uploads_fd);
    run->uploads_fd = -1;
    run->call = NULL;
    run->store = NULL;
    run->http = NULL;
}
