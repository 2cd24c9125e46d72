/*
 * The labeler's centre: which events matter, jobs and how they end, start and readiness. See
 * labeler.h and labeler_private.h.
 */
#include "reactors/labeler/labeler.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/memory.h"
#include "reactors/labeler/labeler_private.h"

/* How long to wait before the forge is asked again who nodag is, in milliseconds. */
#define LABELER_IDENTITY_AGAIN_MS 2000

/* Jobs that a limit put off come back spread over a quarter of the wait, and at least over this, in milliseconds. */
#define LABELER_SPREAD_LEAST_MS 1000

/* Known issues that one step of the sweep passes over at most. */
#define LABELER_SWEEP_STEPS_MAX 1000

/*
 * Known issues that a change of documents has looked at at once; the sweep takes the others. So many
 * cost a tenth of GitHub's 5,000 requests an hour.
 */
#define LABELER_AFFECTED_MAX 250

/* Longest ref that is compared with a branch's name: git's own limit for a name in a ref is 255. */
#define LABELER_REF_BYTES 300

/* Event types that a person's issue can come by. */
static const char *const labeler_types[] = {"com.github.issue.opened", "com.github.issue.edited",
                                            "com.github.issue.reopened"};

/* --- jobs --- */

void job_set_step(struct labeler_job *job, enum job_step step)
{
    assert(step > job->step || (step == job->step && (step == JOB_DELETE || step == JOB_REMOVE)));
    job->step = step;
}

static void job_free(struct labeler_job *job)
{
    struct labeler *labeler = job->labeler;
    if (job->call != NULL)
        forge_cancel(labeler->ground.forge, job->call);
    if (job->waiter != NULL)
        repositories_cancel(labeler->repositories, job->waiter);
    if (job->fresh_waiter != NULL)
        fresh_cancel(job->fresh_waiter);
    observe_release(job);
    job->magic = 0;
    mem_free(job);
}

void job_end(struct labeler_job *job, enum kernel_outcome_kind kind, int64_t after_ms,
             const char *reason)
{
    struct kernel_work *work = job->work;
    struct kernel_outcome outcome = {.kind = kind, .after_ms = after_ms, .reason = reason};
    if (kind == KERNEL_STALLED && !job->is_reported)
        LOG_WARNING("an issue waits for a person", LOG_TEXT("key", kernel_work_key(work)),
                    LOG_TEXT("repository", kernel_work_note(work)), LOG_TEXT("reason", reason));
    else if (kind == KERNEL_RETRY || kind == KERNEL_AFTER)
        LOG_INFO("an issue is tried again later", LOG_TEXT("key", kernel_work_key(work)),
                 LOG_TEXT("repository", kernel_work_note(work)), LOG_TEXT("reason", reason));
    kernel_finish(work, &outcome); /* copies the reason, which may be the job's */
    job_free(job);
}

void job_end_later(struct labeler_job *job, int64_t wait_ms, const char *reason)
{
    uint64_t spread_ms = (uint64_t)(wait_ms / 4 + LABELER_SPREAD_LEAST_MS);
    int64_t after_ms = wait_ms + (int64_t)loop_random_below(job->labeler->ground.loop, spread_ms);
    job_end(job, KERNEL_AFTER, after_ms, reason);
}

void job_fail(struct labeler_job *job, const struct forge_result *result, const char *doing)
{
    CLEANUP(mem_free) char *reason = mem_format("%s: %s", doing, result->error->text);
    if (result->code == ERR_RATE_LIMITED)
        job_end_later(job, result->retry_after_ms, reason);
    else if (err_is_retriable(result->code) || result->effect_unsure)
        job_end(job, KERNEL_RETRY, 0, reason);
    else
        job_end(job, KERNEL_STALLED, 0, reason);
}

/* --- what the kernel asks --- */

static bool labeler_is_type(struct text type)
{
    for (size_t i = 0; i < ARRAY_COUNT(labeler_types); i++)
        if (text_equals(type, labeler_types[i]))
            return true;
    return false;
}

static bool labeler_copy_name(struct text text, char ret_name[FORGE_REPOSITORY_BYTES])
{
    if (text.data == NULL || text.bytes == 0 || text.bytes >= FORGE_REPOSITORY_BYTES ||
        memchr(text.data, '/', text.bytes) == NULL || memchr(text.data, '\0', text.bytes) != NULL)
        return false;
    memcpy(ret_name, text.data, text.bytes);
    ret_name[text.bytes] = '\0';
    return true;
}

/* A push or a change of labels: what is known of the repository may be out of date. */
static void labeler_notice(struct labeler *labeler, const struct event *event)
{
    char name[FORGE_REPOSITORY_BYTES];
    char ref[LABELER_REF_BYTES];
    bool is_push = text_equals(event->github_event, "push");
    if ((!is_push && !text_equals(event->github_event, "label")) ||
        !labeler_copy_name(event->repository, name))
        return;
    (void)snprintf(ref, sizeof(ref), "%.*s", (int)event->subject.bytes,
                   event->subject.data != NULL ? event->subject.data : "");
    repositories_touch(labeler->repositories, name, is_push && ref[0] != '\0' ? ref : NULL);
}

static bool labeler_route(void *self, const struct bus_record *record, const struct event *event,
                          struct kernel_route *ret_route)
{
    struct labeler *labeler = self;
    char name[FORGE_REPOSITORY_BYTES];
    int64_t repository_id = 0;
    int64_t number = 0;
    assert(desired_is_ready(labeler->desired)); /* no event is passed over for want of a document */
    if (labeler->fresh != NULL)
        fresh_note(labeler->fresh, record, event);
    /* What a record did not say yet: somebody took away a label that nodag may have put there since. */
    ret_route->is_minor =
        labeler->fresh != NULL && text_equals(event->type, "com.github.issue.unlabeled");
    if (!ret_route->is_minor && !labeler_is_type(event->type)) {
        labeler_notice(labeler, event);
        return false;
    }
    bool is_bot = text_equals(event->sender_type, "Bot") && !ret_route->is_minor;
    if (is_bot || text_equals(event->sender, labeler->login) ||
        !labeler_copy_name(event->repository, name) ||
        subject_key_parse_issue(record->key, record->key_bytes, &repository_id, &number) != 0)
        return false;
    const struct document *document = NULL;
    int code = document_find(desired_documents(labeler->desired), name, &document, NULL);
    if (code == ERR_NOT_FOUND ||
        (code == 0 && event->has_time && event->time_ms < document->since_ms))
        return false;
    subject_key_issue(repository_id, number, ret_route->key);
    (void)snprintf(ret_route->note, sizeof(ret_route->note), "%s", name);
    return true;
}

static void labeler_reconcile(void *self, struct kernel_work *work)
{
    struct labeler_job *job = MEM_NEW(struct labeler_job);
    job->magic = JOB_MAGIC;
    job->labeler = self;
    job->work = work;
    const char *key = kernel_work_key(work);
    int code = subject_key_parse_issue(key, strlen(key), &job->repository_id, &job->number);
    kernel_work_set_state(work, job);
    if (code != 0 || kernel_work_note(work)[0] == '\0') {
        job_end(job, KERNEL_STALLED, 0,
                "the pending record does not say which repository it is about");
        return;
    }
    struct labeler *labeler = self;
    if (kernel_work_is_minor(work) && history_find(labeler->history, key) == NULL &&
        !(labeler->fresh != NULL && fresh_was_asked(labeler->fresh, key))) {
        job_end(job, KERNEL_DONE, 0, NULL); /* nodag has never decided about it */
        return;
    }
    observe_begin(job);
}

static void labeler_abandon(void *self, struct kernel_work *work)
{
    (void)self;
    job_free(CAST_CHECKED(struct labeler_job, kernel_work_state(work), JOB_MAGIC));
}

/* True if a look at an issue that was decided before makes sense: an older model's decision stands unless the document says otherwise. */
static bool labeler_should_sweep(struct labeler *labeler, const struct history_entry *entry)
{
    const struct document *document = NULL;
    if (document_find(desired_documents(labeler->desired), entry->repository, &document, NULL) != 0)
        return false;
    const char *version = models_version(labeler->models, document);
    return version != NULL && (document->relabel == DOCUMENT_RELABEL_OPEN ||
                               entry->model_hash == history_hash_model(version));
}

static bool labeler_sweep_next(void *self, struct kernel_route *ret_route)
{
    struct labeler *labeler = self;
    const struct history_entry *entry = NULL;
    for (int i = 0; i < LABELER_SWEEP_STEPS_MAX; i++) {
        if (!history_next(labeler->history, ret_route->key, &entry))
            return false;
        if (!labeler_should_sweep(labeler, entry))
            continue;
        (void)snprintf(ret_route->note, sizeof(ret_route->note), "%s", entry->repository);
        ret_route->partition = entry->partition;
        return true;
    }
    return false;
}

static void labeler_apply_prediction(void *self, const struct bus_record *record)
{
    struct labeler *labeler = self;
    history_apply(labeler->history, record);
}

static void labeler_forget_predictions(void *self, int32_t partition)
{
    struct labeler *labeler = self;
    history_forget(labeler->history, partition);
    if (labeler->fresh != NULL)
        fresh_forget(labeler->fresh, partition);
}

static void labeler_apply_model(void *self, const struct bus_record *record)
{
    struct labeler *labeler = self;
    models_apply(labeler->models, record);
}

static const struct kernel_reactor labeler_reactor = {
    .name = "labeler",
    .home = TOPIC_GITHUB_EVENTS,
    .route = labeler_route,
    .reconcile = labeler_reconcile,
    .abandon = labeler_abandon,
    .sweep_next = labeler_sweep_next,
    .tables = {{
                   .topic = TOPIC_PREDICTIONS,
                   .scope = KERNEL_TABLE_OWNED,
                   .apply = labeler_apply_prediction,
                   .forget = labeler_forget_predictions,
               },
               {
                   .topic = TOPIC_MODELS,
                   .scope = KERNEL_TABLE_WHOLE,
                   .apply = labeler_apply_model,
               }},
    .table_count = 2,
};

/* --- start --- */

static void labeler_tell_ready(void *argument)
{
    struct labeler *labeler = argument;
    if (labeler->kernel != NULL && kernel_is_ready(labeler->kernel))
        models_are_read(labeler->models);
    if (labeler->ready_changed != NULL)
        labeler->ready_changed(labeler->ready_argument);
}

static bool labeler_look_all(void *argument, const char *key, const char *note)
{
    (void)argument;
    (void)key;
    (void)note;
    return true;
}

static bool labeler_look_repository(void *argument, const char *key, const char *note)
{
    (void)key;
    return strcasecmp(argument, note) == 0;
}

static void labeler_on_mended(void *argument, const char *name)
{
    struct labeler *labeler = argument;
    char copy[FORGE_REPOSITORY_BYTES];
    (void)snprintf(copy, sizeof(copy), "%s", name);
    if (labeler->kernel != NULL)
        kernel_wake_stalled(labeler->kernel, labeler_look_repository, copy);
}

/* --- documents --- */

/* Known issues of repositories whose document says something else now are looked at. */
static void labeler_enqueue_affected(struct labeler *labeler, const struct document_set *before)
{
    const struct document_set *now = desired_documents(labeler->desired);
    const struct history_entry *entry = NULL;
    struct kernel_route route = {.partition = -1};
    size_t enqueued = 0;
    for (size_t left = history_count(labeler->history); left > 0; left--) {
        const struct document *old_document = NULL;
        const struct document *document = NULL;
        if (enqueued == LABELER_AFFECTED_MAX || !history_next(labeler->history, route.key, &entry))
            return;
        if (document_find(now, entry->repository, &document, NULL) != 0)
            continue;
        if (document_find(before, entry->repository, &old_document, NULL) != 0)
            old_document = NULL;
        if (document_equals(old_document, document) || !labeler_should_sweep(labeler, entry))
            continue;
        (void)snprintf(route.note, sizeof(route.note), "%s", entry->repository);
        route.partition = entry->partition;
        kernel_enqueue(labeler->kernel, &route);
        enqueued++;
    }
}

static void labeler_documents_changed(void *argument, const struct document_set *before)
{
    struct labeler *labeler = argument;
    if (labeler->documents_changed != NULL)
        labeler->documents_changed(labeler->documents_argument);
    if (labeler->kernel == NULL)
        return;
    kernel_wake_stalled(labeler->kernel, labeler_look_all, NULL);
    labeler_enqueue_affected(labeler, before);
}

static void labeler_start_kernel(struct labeler *labeler);

static void labeler_documents_ready(void *argument)
{
    struct labeler *labeler = argument;
    if (labeler->documents_changed != NULL)
        labeler->documents_changed(labeler->documents_argument);
    labeler_start_kernel(labeler);
}

/* --- identity, kernel --- */

/* Says why the start waits, and sets the time of the next try. */
static void labeler_start_later(struct labeler *labeler, const char *reason, int64_t wait_ms)
{
    LOG_WARNING("not started yet: asking the forge who nodag is, or joining the topic, failed; it "
                "is tried again",
                LOG_TEXT("reason", reason), LOG_INT("again_in_ms", wait_ms));
    loop_timer_set(labeler->identity_timer, wait_ms);
}

/* Joins once both are known: who nodag is, and what people want: no event is routed before that. */
static void labeler_start_kernel(struct labeler *labeler)
{
    struct error error = {0};
    if (labeler->kernel != NULL || labeler->login == NULL || !desired_is_ready(labeler->desired)) {
        labeler_tell_ready(labeler);
        return;
    }
    int code =
        kernel_new(labeler->ground.loop, labeler->ground.bus, labeler->ground.metrics,
                   labeler->ground.kernel, &labeler_reactor, labeler, &labeler->kernel, &error);
    if (code != 0) {
        labeler_start_later(labeler, error.text, LABELER_IDENTITY_AGAIN_MS);
        return;
    }
    kernel_on_ready(labeler->kernel, labeler_tell_ready, labeler);
    LOG_INFO("acting on the forge", LOG_TEXT("login", labeler->login));
    labeler_tell_ready(labeler);
}

static void labeler_on_identity(void *argument, const struct forge_result *result, const char *text)
{
    struct labeler *labeler = argument;
    labeler->identity_call = NULL;
    if (result->code != 0) {
        labeler_start_later(labeler, result->error->text,
                            result->code == ERR_RATE_LIMITED ? result->retry_after_ms
                                                             : LABELER_IDENTITY_AGAIN_MS);
        return;
    }
    labeler->login = mem_copy_text(text);
    labeler_start_kernel(labeler);
}

static void labeler_ask_identity(void *argument)
{
    struct labeler *labeler = argument;
    if (labeler->login != NULL)
        labeler_start_kernel(labeler);
    else
        labeler->identity_call =
            forge_get_identity(labeler->ground.forge, labeler_on_identity, labeler);
}

static void labeler_declare_metrics(struct labeler *labeler, struct metrics *metrics)
{
    static const char *const by_verdict[] = {"verdict", NULL};
    static const char *const by_kind[] = {"kind", NULL};
    static const char *const by_place[] = {"by", NULL};
    if (metrics == NULL)
        return;
    labeler->verdicts = metrics_declare(metrics, METRICS_COUNTER, "nodag_labeler_verdicts_total",
                                        "Labels considered, by verdict.", by_verdict);
    labeler->writes = metrics_declare(metrics, METRICS_COUNTER, "nodag_labeler_writes_total",
                                      "Writes on the forge, by kind.", by_kind);
    labeler->looks =
        metrics_declare(metrics, METRICS_COUNTER, "nodag_labeler_looks_total",
                        "Issues looked at: on the forge, or by the topic's record.", by_place);
}

int labeler_new(const struct labeler_ground *ground, struct models *models,
                struct labeler **ret_labeler, struct error *error)
{
    static const struct desired_handler handler = {.ready = labeler_documents_ready,
                                                   .changed = labeler_documents_changed};
    CLEANUP(labeler_free) struct labeler *labeler = MEM_NEW(struct labeler);
    labeler->ground = *ground;
    labeler->models = models;
    labeler->history = history_new();
    labeler->repositories = repositories_new(ground->loop, ground->forge, ground->metrics);
    repositories_on_mended(labeler->repositories, labeler_on_mended, labeler);
    int code = desired_new(ground->loop, ground->bus, ground->metrics, ground->specs, &handler,
                           labeler, &labeler->desired, error);
    bool by_record = ground->fresh != NULL && strcmp(ground->fresh->history, "issues") == 0;
    if (code == 0 && by_record)
        code = fresh_new(ground->loop, ground->bus, ground->fresh, &labeler->fresh, error);
    if (code != 0)
        return code;
    labeler_declare_metrics(labeler, ground->metrics);
    labeler->identity_timer = loop_timer_new(ground->loop, labeler_ask_identity, labeler);
    labeler_ask_identity(labeler);
    *ret_labeler = TAKE(labeler);
    return 0;
}

const struct document_set *labeler_documents(const struct labeler *labeler)
{
    return desired_documents(labeler->desired);
}

void labeler_on_documents(struct labeler *labeler, loop_fn changed, void *argument)
{
    labeler->documents_changed = changed;
    labeler->documents_argument = argument;
}

void labeler_reload(struct labeler *labeler)
{
    desired_reload(labeler->desired);
}

struct models *labeler_models(struct labeler *labeler)
{
    return labeler->models;
}

/* True for keys whose document has models that can be used: what they were tried again for may be there. */
static bool labeler_look_usable(void *argument, const char *key, const char *note)
{
    struct labeler *labeler = argument;
    const struct document *document = NULL;
    (void)key;
    return document_find(desired_documents(labeler->desired), note, &document, NULL) == 0 &&
           models_version(labeler->models, document) != NULL;
}

void labeler_models_changed(struct labeler *labeler)
{
    if (labeler->kernel == NULL)
        return;
    kernel_wake_stalled(labeler->kernel, labeler_look_all, NULL);
    kernel_wake_retrying(labeler->kernel, labeler_look_usable, labeler);
}

void labeler_on_ready(struct labeler *labeler, loop_fn changed, void *argument)
{
    labeler->ready_changed = changed;
    labeler->ready_argument = argument;
}

const char *labeler_unready_reason(const struct labeler *labeler)
{
    if (!desired_is_ready(labeler->desired))
        return "the documents are still being read";
    if (labeler->login == NULL)
        return "the forge has not said yet under which login nodag acts";
    if (labeler->kernel == NULL)
        return "joining the topic github.events failed; it is tried again";
    return kernel_is_ready(labeler->kernel)
               ? NULL
               : "no partition yet, or its tables are still being read";
}

size_t labeler_looks_by_record(const struct labeler *labeler)
{
    return labeler->looks_by_record;
}

void labeler_drain(struct labeler *labeler, void (*drained)(void *argument), void *argument)
{
    if (labeler->kernel != NULL) {
        kernel_drain(labeler->kernel, drained, argument);
        return;
    }
    loop_timer_clear(labeler->identity_timer);
    if (labeler->identity_call != NULL)
        forge_cancel(labeler->ground.forge, TAKE(labeler->identity_call));
    loop_defer(labeler->ground.loop, drained, argument);
}

void labeler_free(struct labeler *labeler)
{
    if (labeler == NULL)
        return;
    kernel_free(labeler->kernel);
    if (labeler->identity_call != NULL)
        forge_cancel(labeler->ground.forge, labeler->identity_call);
    loop_timer_free(labeler->identity_timer);
    repositories_free(labeler->repositories);
    history_free(labeler->history);
    fresh_free(labeler->fresh);
    models_free(labeler->models);
    desired_free(labeler->desired);
    mem_free(labeler->login);
    mem_free(labeler);
}
