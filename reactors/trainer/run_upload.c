/*
 * The upload of a run's artefacts: see run_supervisor.h.
 *
 * Design: one after the other, the log last, so that it holds what was said of the others. What the notebook did not write is left out; whether that
 * fails the run was decided before. A store that is away is tried again UPLOAD_ATTEMPTS times for each artefact.
 *
 * Invariant: what stands in `artefacts` is durable in the store.
 */
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/run_outputs.h"
#include "reactors/trainer/run_private.h"

/* Attempts for each artefact, and the wait before the second; it doubles. */
#define UPLOAD_ATTEMPTS 6
/* See above. */
#define UPLOAD_RETRY_MS 1000

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

static void on_stored(void *argument, int code, const struct artefact *artefact,
                      const struct error *error)
{
    struct run *run = CAST_CHECKED(struct run, argument, RUN_MAGIC);
    const char *name = artefacts[run->upload].name;
    run->call = NULL;
    if (code == 0) {
        json_t *stored =
            json_pack("{s:s, s:s, s:I}", "uri", artefact->uri, "sha256", artefact->sha256,
                      "size_bytes", (json_int_t)artefact->size_bytes);
        (void)json_object_set_new(run->artefacts, name, stored);
    } else if (err_is_retriable(code) && ++run->upload_attempts < UPLOAD_ATTEMPTS) {
        run_log(run, "%s is not stored yet: %s", name, error->text);
        loop_timer_set(run->retry, (int64_t)UPLOAD_RETRY_MS << (run->upload_attempts - 1));
        return;
    } else {
        run_set_verdict(run, RUN_FAILED, "%s could not be stored: %s", name, error->text);
    }
    run->upload++;
    run->upload_attempts = 0;
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

static void on_retry(void *argument)
{
    upload_next(CAST_CHECKED(struct run, argument, RUN_MAGIC));
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
    upload_next(run);
    return 0;
}

void run_upload_release(struct run *run)
{
    if (run->call != NULL)
        artefact_cancel(run->store, run->call);
    artefact_store_free(run->store);
    http_client_free_curl(run->http);
    run->call = NULL;
    run->store = NULL;
    run->http = NULL;
}
