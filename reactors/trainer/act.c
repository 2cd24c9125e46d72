/*
 * A job's hands: one action of a run's life. See trainer_private.h.
 *
 * Design: what is published counts once it was acknowledged, and is put into the registry then; then the
 * plan is asked again. A launch makes the directory, starts the supervisor and waits until that has taken the
 * directory, because until then nobody could tell a run that begins from one that was lost.
 *
 * Invariant: every action may be cut anywhere and done again.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/log.h"
#include "base/memory.h"
#include "reactors/trainer/run_spec.h"
#include "reactors/trainer/trainer_private.h"

/* What stands for the run's directory in the data set's command. */
#define RUN_PLACE "{run}"

/* File of a run's directory with the offsets that its data was folded at: nodag dataset writes it. */
#define OFFSETS_FILE "offsets.json"

/* How often it is looked whether a supervisor has taken its directory, in milliseconds. */
#define LAUNCH_LOOK_MS 20

/* How long a supervisor may take to do so, in milliseconds. */
#define LAUNCH_WAIT_MS 30000

/* ---- publishing ---- */

static void publish(struct trainer_job *job, enum topic topic, const char *key, const char *value,
                    size_t value_bytes, const struct event *event,
                    void (*delivered)(void *argument, int code))
{
    struct event_headers headers;
    struct error error = {0};
    int64_t waking_ms = trainer_waking_ms(job->trainer);
    if (waking_ms > 0) { /* what is to be said may not be true any more */
        trainer_job_rest(job, waking_ms);
        return;
    }
    int code = envelope_encode(event, &headers, &error);
    if (code != 0) {
        trainer_job_finish(job, KERNEL_STALLED, 0, error.text);
        return;
    }
    const struct bus_message message = {.topic = topic,
                                        .partition = BUS_PARTITION_BY_KEY,
                                        .key = key,
                                        .key_bytes = strlen(key),
                                        .value = value,
                                        .value_bytes = value_bytes,
                                        .headers = headers.items,
                                        .header_count = headers.count};
    code = kernel_publish(job->work, &message, delivered, job);
    if (code != 0)
        trainer_job_finish(
            job, err_is_retriable(code) ? KERNEL_RETRY : KERNEL_STALLED, 0,
            "a record could not be published: the queue is full, or it is too large");
}

/* A record was not acknowledged: whether it stands will show, because the topic is read. */
static bool publish_failed(struct trainer_job *job, int code)
{
    if (code == 0)
        return false;
    CLEANUP(mem_free)
    char *reason = mem_format("the broker has not acknowledged a record: %s", err_text(code));
    trainer_job_finish(job, err_is_retriable(code) ? KERNEL_RETRY : KERNEL_STALLED, 0, reason);
    return true;
}

static void run_published(struct trainer_job *job, int code, bool is_tombstone)
{
    if (publish_failed(job, code))
        return;
    struct run_record *record = TAKE(job->run);
    CLEANUP(mem_free) char *name = mem_copy_text(record->run);
    int64_t offset = kernel_work_published(job->work);
    if (is_tombstone) {
        run_record_free(record);
        record = NULL;
    } else {
        LOG_INFO("a run", LOG_TEXT("run", record->run), LOG_TEXT("model", record->model),
                 LOG_TEXT("state", run_state_name(record->state)),
                 LOG_TEXT("reason", record->reason), LOG_TEXT("commit", record->commit),
                 LOG_BOOL("collected", record->collected));
    }
    if (record != NULL && record->state == RUN_LOST)
        loop_timer_set(job->trainer->tidy_timer, TIDY_LOST_MS);
    bool missed = registry_put_run(job->trainer->registry, name, record, offset);
    if (missed && !is_tombstone) {
        job->run = run_record_copy(registry_find_run(job->trainer->registry, name));
        act_publish_run(job, false);
        return;
    }
    observe_plan(job);
}

static void on_run(void *argument, int code)
{
    run_published(CAST_CHECKED(struct trainer_job, argument, TRAINER_JOB_MAGIC), code, false);
}

static void on_run_gone(void *argument, int code)
{
    run_published(CAST_CHECKED(struct trainer_job, argument, TRAINER_JOB_MAGIC), code, true);
}

void act_publish_run(struct trainer_job *job, bool is_tombstone)
{
    char id[RUN_RECORD_ID_BYTES];
    size_t bytes = 0;
    const struct event event =
        run_record_envelope(job->run, is_tombstone, loop_wall_ms(job->trainer->ground.loop), id);
    CLEANUP(mem_free) char *value = run_record_encode(job->run, &bytes);
    CLEANUP(mem_free) char *key = mem_copy_text(job->run->run); /* the job may end in publish */
    publish(job, TOPIC_RUNS, key, is_tombstone ? NULL : value, is_tombstone ? 0 : bytes, &event,
            is_tombstone ? on_run_gone : on_run);
}

static void on_version(void *argument, int code)
{
    struct trainer_job *job = CAST_CHECKED(struct trainer_job, argument, TRAINER_JOB_MAGIC);
    if (publish_failed(job, code))
        return;
    LOG_INFO("a version of a model", LOG_TEXT("model", job->version->model),
             LOG_TEXT("version", job->version->version),
             LOG_BOOL("collected", job->version->collected));
    CLEANUP(mem_free) char *model = mem_copy_text(job->version->model);
    CLEANUP(mem_free) char *version = mem_copy_text(job->version->version);
    bool missed = registry_put_model(job->trainer->registry, TAKE(job->version),
                                     kernel_work_published(job->work));
    if (missed) {
        job->version =
            model_record_copy(registry_find_model(job->trainer->registry, model, version));
        act_publish_version(job);
        return;
    }
    if (job->run != NULL)
        act_publish_run(job, false); /* the end of the run that made it */
    else
        observe_plan(job);
}

void act_publish_version(struct trainer_job *job)
{
    char id[MODEL_RECORD_ID_BYTES];
    char key[SUBJECT_KEY_BYTES];
    size_t bytes = 0;
    if (model_record_key(job->version, key) != 0) {
        trainer_job_finish(job, KERNEL_STALLED, 0, "the names of model and run are too long");
        return;
    }
    const struct event event =
        model_record_envelope(job->version, loop_wall_ms(job->trainer->ground.loop), id);
    CLEANUP(mem_free) char *value = model_record_encode(job->version, &bytes);
    publish(job, TOPIC_MODELS, key, value, bytes, &event, on_version);
}

/* ---- PENDING ---- */

static void act_start(struct trainer_job *job, const struct plan *plan, const struct facts *facts)
{
    const struct trainer *trainer = job->trainer;
    const struct wish *wish = job->wish;
    struct run_record *run = run_record_new();
    record_set_text(&run->run, plan->name);
    record_set_text(&run->model, wish->name);
    record_set_text(&run->cause, plan->cause);
    record_set_text(&run->executor, wish->executor);
    record_set_text(&run->host, trainer->ground.settings->host);
    record_set_text(&run->reason, plan->reason);
    record_set_text(&run->spec_sha256, wish->sha);
    record_set_text(&run->repository, trainer->local != NULL ? local_head_root(trainer->local)
                                                             : wish->place.repository);
    record_set_text(&run->commit, facts->plan.head);
    record_set_text(&run->notebook, wish->notebook);
    run->attempt = plan->attempt;
    run->created_ms = facts->plan.now_ms;
    run->deadline_ms =
        wish->deadline_ms < RUN_DEADLINE_MOST_MS ? wish->deadline_ms : RUN_DEADLINE_MOST_MS;
    run->stale = json_array();
    for (int i = 0; i < PLAN_REASON_COUNT; i++)
        if ((plan->reasons & (1u << i)) != 0)
            (void)json_array_append_new(run->stale,
                                        json_string(plan_reason_id((enum plan_reason)i)));
    job->run = run;
    act_publish_run(job, false);
}

/* ---- the supervisor ---- */

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text != NULL)
        (void)json_object_set_new(object, name, json_string(text));
}

/* A word of the data set's command; new reference. {file} is the supervisor's to replace. */
static json_t *make_word(const char *word, const char *model, const char *folder)
{
    if (strcmp(word, "{model}") == 0)
        return json_string(model);
    if (strncmp(word, RUN_PLACE, strlen(RUN_PLACE)) != 0)
        return json_string(word);
    CLEANUP(mem_free) char *path = mem_format("%s%s", folder, word + strlen(RUN_PLACE));
    return json_string(path);
}

static json_t *make_dataset(const struct trainer_settings *settings, const char *model,
                            const char *folder)
{
    if (settings->dataset_file != NULL)
        return json_pack("{s:s}", "file", settings->dataset_file);
    json_t *argv = json_array();
    for (size_t i = 0; settings->dataset_argv[i] != NULL; i++)
        (void)json_array_append_new(argv, make_word(settings->dataset_argv[i], model, folder));
    return json_pack("{s:o}", "argv", argv);
}

/* The notebook's parameters: what the document says of labels, then its parameters, then the lambda's. */
static json_t *make_parameters(const struct trainer_job *job)
{
    json_t *parameters = json_pack("{s:I}", "min_examples", (json_int_t)job->wish->min_examples);
    if (job->wish->parameters != NULL)
        (void)json_object_update(parameters, (json_t *)(uintptr_t)job->wish->parameters);
    if (job->wish->plan.needs_sync && job->model->sync_known && job->model->sync.parameters != NULL)
        (void)json_object_update(parameters, job->model->sync.parameters);
    return parameters;
}

/* Makes run.json. */
static json_t *make_spec(const struct trainer_job *job, const struct run_record *run)
{
    const struct trainer_settings *settings = job->trainer->ground.settings;
    json_t *artefacts = json_object();
    json_t *git = json_object();
    set_text(artefacts, "url", settings->artefacts.url);
    set_text(artefacts, "endpoint", settings->artefacts.endpoint);
    set_text(artefacts, "region", settings->artefacts.region);
    set_text(artefacts, "credentials_file", settings->artefacts.credentials_file);
    set_text(git, "credentials", settings->git_credentials);
    set_text(git, "known_hosts", settings->git_known_hosts);
    set_text(git, "ca", settings->git_ca);
    json_t *spec = json_pack(
        "{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:o, s:b, s:I, s:I, s:I, s:o, s:o, s:o}", "run",
        run->run, "model", run->model, "cause", run->cause, "attempt", (json_int_t)run->attempt,
        "repository", run->repository, "commit", run->commit, "notebook", run->notebook,
        "parameters", make_parameters(job), "network", job->wish->network ? 1 : 0, "deadline_ms",
        (json_int_t)run->deadline_ms, "memory_bytes", (json_int_t)settings->memory_bytes,
        "output_bytes", (json_int_t)settings->output_bytes, "dataset",
        make_dataset(settings, run->model, job->folder), "artefacts", artefacts, "git", git);
    assert(spec != NULL); /* every text in it was valid UTF-8 when it was read */
    return spec;
}

/* Waits until the supervisor has taken the directory. */
static void launch_look(void *argument)
{
    struct trainer_job *job = CAST_CHECKED(struct trainer_job, argument, TRAINER_JOB_MAGIC);
    struct launcher *launcher = job->trainer->ground.launcher;
    enum run_sight sight = RUN_SIGHT_ABSENT;
    struct run_result result = {.state = RUN_FAILED};
    struct error error = {0};
    launcher->reap(launcher);
    int code = run_directory_observe(job->folder, &sight, &result, &error);
    run_result_release(&result);
    if (code == 0 && sight == RUN_SIGHT_ABSENT) {
        if (loop_now_ms(job->trainer->ground.loop) < job->launch_due_ms) {
            loop_timer_set(job->timer, LAUNCH_LOOK_MS);
            return;
        }
        CLEANUP(mem_free)
        char *reason = mem_format("the supervisor did not begin within %d s; see "
                                  "%s/supervisor.log",
                                  LAUNCH_WAIT_MS / 1000, job->folder);
        trainer_job_finish(job, KERNEL_RETRY, 0, reason);
        return;
    }
    observe_plan(job);
}

static void act_launch(struct trainer_job *job, const struct run_record *run)
{
    struct trainer *trainer = job->trainer;
    struct launcher *launcher = trainer->ground.launcher;
    struct error error = {0};
    if (strcmp(run->spec_sha256, job->wish->sha) != 0) {
        job->run = run_record_copy(run);
        job->run->state = RUN_CANCELLED;
        job->run->ended_ms = loop_wall_ms(trainer->ground.loop);
        record_set_text(&job->run->reason, "its Model document changed before it was started");
        act_publish_run(job, false);
        return;
    }
    mem_free(job->folder);
    job->folder = observe_folder(trainer, run->run);
    CLEANUP(json_release) json_t *spec = make_spec(job, run);
    int code = run_directory_create(job->folder, spec, &error);
    if (code == 0)
        code = launcher->start(launcher, job->folder, &error);
    if (code != 0 && code != ERR_CONFLICT) {
        trainer_job_finish(job, KERNEL_RETRY, 0, error.text);
        return;
    }
    job->launch_due_ms = loop_now_ms(trainer->ground.loop) + LAUNCH_WAIT_MS;
    if (job->timer == NULL)
        job->timer = loop_timer_new(trainer->ground.loop, launch_look, job);
    loop_timer_set(job->timer, LAUNCH_LOOK_MS);
}

static void act_mark(struct trainer_job *job, const struct run_record *run)
{
    job->run = run_record_copy(run);
    job->run->state = RUN_RUNNING;
    job->run->started_ms = loop_wall_ms(job->trainer->ground.loop);
    record_set_text(&job->run->reason, "its supervisor runs");
    act_publish_run(job, false);
}

static void act_cancel(struct trainer_job *job, const struct run_record *run, const char *reason)
{
    struct error error = {0};
    CLEANUP(mem_free) char *folder = observe_folder(job->trainer, run->run);
    if (run_directory_cancel(folder, reason, &error) != 0) {
        trainer_job_finish(job, KERNEL_RETRY, 0, error.text);
        return;
    }
    LOG_INFO("a run is told to stop", LOG_TEXT("run", run->run), LOG_TEXT("reason", reason));
    observe_plan(job);
}

/* ---- the end ---- */

/* The offsets that the data of a run was folded at, or NULL; new reference. */
static json_t *read_offsets(const struct trainer *trainer, const char *run)
{
    CLEANUP(json_release) json_t *json = NULL;
    CLEANUP(mem_free) char *folder = observe_folder(trainer, run);
    if (run_directory_read(folder, OFFSETS_FILE, &json, NULL) != 0)
        return NULL;
    json_t *offsets = json_object_get(json, "offsets");
    return json_is_object(offsets) && json_object_size(offsets) <= TOPIC_PARTITIONS_MAX
               ? json_incref(offsets)
               : NULL;
}

/*
 * A time before which all that people did is in the run's data: its supervisor's start, or earlier. A trainer that was away saw it run only later,
 * and what people did meanwhile would never count.
 */
static int64_t snapshot_ms(const struct run_record *run, int64_t supervisor_ms)
{
    int64_t seen_ms = run->started_ms != 0 ? run->started_ms : run->created_ms;
    return supervisor_ms > 0 && supervisor_ms < seen_ms ? supervisor_ms : seen_ms;
}

/* Makes the record of the version that a run made. */
static struct model_record *make_version(const struct trainer *trainer,
                                         const struct run_record *run,
                                         const struct run_result *result)
{
    struct model_record *version = model_record_new();
    json_t *metrics = json_object_get(result->json, "metrics");
    record_set_text(&version->model, run->model);
    record_set_text(&version->version, run->run);
    record_set_text(&version->run, run->run);
    record_set_text(&version->repository, run->repository);
    record_set_text(&version->commit, run->commit);
    record_set_text(&version->notebook, run->notebook);
    const char *snapshot = record_artefact_text(run->artefacts, "dataset", "sha256");
    record_set_text(&version->snapshot, snapshot != NULL ? snapshot : "");
    version->artefacts = json_incref(run->artefacts);
    version->metrics = json_is_object(metrics) ? json_incref(metrics) : json_object();
    version->thresholds = model_thresholds_of(metrics);
    version->offsets = read_offsets(trainer, run->run);
    version->snapshot_ms = snapshot_ms(run, result->started_ms);
    version->created_ms =
        loop_wall_ms(trainer->ground.loop); /* the clock that its age is measured by */
    return version;
}

/* Takes from a result what belongs into the run's record. */
static void take_result(struct run_record *run, const struct run_result *result)
{
    json_t *artefacts = json_object_get(result->json, "artefacts");
    if (run->started_ms == 0)
        run->started_ms = result->started_ms;
    if (result->ended_ms > 0)
        run->ended_ms = result->ended_ms;
    if (artefacts != NULL && !json_is_null(artefacts) && record_artefacts_are_valid(artefacts))
        run->artefacts = json_object_size(artefacts) > 0 ? json_incref(artefacts) : NULL;
    if (run->state == RUN_SUCCEEDED && json_object_get(run->artefacts, "model") == NULL) {
        run->state = RUN_FAILED;
        record_set_text(&run->reason, "its result names no model");
    }
}

/* What a run has stored that cannot say so any more: its record names it, so that history limits remove it. */
static void take_stored(const struct trainer *trainer, struct run_record *run)
{
    CLEANUP(json_release) json_t *stored = NULL;
    CLEANUP(mem_free) char *folder = observe_folder(trainer, run->run);
    if (run_directory_read(folder, RUN_FILE_STORED, &stored, NULL) == 0 &&
        record_artefacts_are_valid(stored) && json_object_size(stored) > 0)
        run->artefacts = TAKE(stored);
}

static void act_finish(struct trainer_job *job, const struct plan *plan, const struct facts *facts)
{
    struct run_record *run = run_record_copy(facts->records[plan->run]);
    const struct run_result *result = &facts->results[plan->run];
    run->state = plan->state;
    run->ended_ms = facts->plan.now_ms;
    record_set_text(&run->reason, plan->reason);
    job->run = run;
    if (facts->runs[plan->run].sight == RUN_SIGHT_FINISHED)
        take_result(run, result);
    if (run->artefacts == NULL && facts->runs[plan->run].sight != RUN_SIGHT_ELSEWHERE)
        take_stored(job->trainer, run);
    if (run->state == RUN_SUCCEEDED &&
        registry_find_model(job->trainer->registry, run->model, run->run) == NULL) {
        job->version = make_version(job->trainer, run, result);
        act_publish_version(job);
        return;
    }
    act_publish_run(job, false);
}

void act_begin(struct trainer_job *job, const struct plan *plan, const struct facts *facts)
{
    const struct run_record *run =
        facts->plan.run_count > 0 ? facts->records[plan->run] : NULL; /* of all but START */
    switch (plan->action) {
    case PLAN_START:
        act_start(job, plan, facts);
        break;
    case PLAN_MARK:
        act_mark(job, run);
        break;
    case PLAN_LAUNCH:
        act_launch(job, run);
        break;
    case PLAN_CANCEL:
        act_cancel(job, run, plan->reason);
        break;
    case PLAN_FINISH:
        act_finish(job, plan, facts);
        break;
    case PLAN_WAIT:
    case PLAN_STALL:
        assert(false); /* observe.c ends these */
        break;
    }
}
