/*
 * The trainer's centre: the kernel's callbacks, tables, timers, start. See trainer.h and
 * trainer_private.h.
 */
#include "reactors/trainer/trainer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "reactors/trainer/trainer_private.h"

/* How long to wait before `specs` is joined again, in milliseconds. */
#define AGAIN_MS 2000

/* How long changes of labels are gathered before they are counted, in milliseconds. */
#define LABELS_GATHER_MS 5000

/* Longest rest: then a model is looked at whatever its timers say, because clocks are moved. */
#define REST_MOST_MS 600000

/* ---- models and jobs ---- */

static void model_look(void *argument)
{
    struct trainer_model *model = CAST_CHECKED(struct trainer_model, argument, TRAINER_MODEL_MAGIC);
    trainer_wake(model->trainer, model->name);
}

struct trainer_model *trainer_model_open(struct trainer *trainer, const char *name)
{
    struct trainer_model *model = NULL;
    HASH_FIND_STR(trainer->models, name, model);
    if (model != NULL)
        return model;
    size_t bytes = strlen(name);
    model = mem_alloc(sizeof(*model) + bytes + 1);
    model->magic = TRAINER_MODEL_MAGIC;
    model->trainer = trainer;
    model->timer = loop_timer_new(trainer->ground.loop, model_look, model);
    memcpy(model->name, name, bytes);
    HASH_ADD_KEYPTR(hh, trainer->models, model->name, bytes, model);
    return model;
}

static void model_free(struct trainer_model *model)
{
    loop_timer_free(model->timer);
    needs_sync_release(&model->sync);
    mem_free(model->sync_url);
    mem_free(model->sync_version);
    model->magic = 0;
    mem_free(model);
}

static void job_free(struct trainer_job *job)
{
    struct trainer *trainer = job->trainer;
    if (job->call != NULL)
        http_cancel(trainer->ground.http, job->call);
    if (job->removal != NULL)
        artefact_cancel(trainer->ground.artefacts, job->removal);
    remove_end(job);
    loop_timer_free(job->timer);
    loop_cancel_deferred(trainer->ground.loop, job);
    wish_free(job->wish);
    run_record_free(job->run);
    model_record_free(job->version);
    mem_free(job->folder);
    job->magic = 0;
    mem_free(job);
}

void trainer_job_finish(struct trainer_job *job, enum kernel_outcome_kind kind, int64_t after_ms,
                        const char *reason)
{
    struct kernel_work *work = job->work;
    struct kernel_outcome outcome = {.kind = kind, .after_ms = after_ms, .reason = reason};
    if (kind == KERNEL_STALLED)
        LOG_WARNING("a model waits for a person", LOG_TEXT("key", kernel_work_key(work)),
                    LOG_TEXT("reason", reason));
    else if (kind != KERNEL_DONE)
        LOG_INFO("a model is looked at again later", LOG_TEXT("key", kernel_work_key(work)),
                 LOG_TEXT("reason", reason), LOG_INT("after_ms", after_ms));
    if (job->look_ms > 0)
        loop_timer_set(job->model->timer, job->look_ms);
    kernel_finish(work, &outcome); /* copies the reason, which may be the job's */
    job_free(job);
}

void trainer_job_rest(struct trainer_job *job, int64_t delay_ms)
{
    if (job->look_ms > 0 && job->look_ms < delay_ms)
        delay_ms = job->look_ms;
    job->look_ms = 0;
    loop_timer_set(job->model->timer, delay_ms < REST_MOST_MS ? delay_ms : REST_MOST_MS);
    trainer_job_finish(job, KERNEL_DONE, 0, NULL);
}

struct wish *trainer_make_wish(const struct trainer *trainer, const char *name)
{
    char key[SUBJECT_KEY_BYTES];
    (void)snprintf(key, sizeof(key), TRAINER_KEY_PREFIX "%s", name);
    return wish_new(name, spec_store_find(spec_table_records(trainer->specs), key));
}

void trainer_wake(struct trainer *trainer, const char *name)
{
    struct kernel_route route = {.partition = 0};
    if (trainer->kernel == NULL)
        return;
    (void)snprintf(route.key, sizeof(route.key), TRAINER_KEY_PREFIX "%s", name);
    kernel_enqueue(trainer->kernel, &route);
}

/* Calls for each Model document with its name. */
static void each_document(struct trainer *trainer,
                          void (*visit)(struct trainer *trainer, const char *name))
{
    const struct spec_store *store = spec_table_records(trainer->specs);
    size_t count = spec_store_count(store);
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(store);
    for (size_t i = 0; i < count; i++)
        if (strncmp(entries[i].key, TRAINER_KEY_PREFIX, strlen(TRAINER_KEY_PREFIX)) == 0)
            visit(trainer, entries[i].key + strlen(TRAINER_KEY_PREFIX));
}

/* Looks at all models: those with documents, and those with runs under way. */
static void wake_all(void *argument)
{
    struct trainer *trainer = argument;
    size_t count = 0;
    CLEANUP(mem_free)
    const struct run_record **runs = registry_list_runs(trainer->registry, NULL, &count);
    each_document(trainer, trainer_wake);
    for (size_t i = 0; i < count; i++)
        if (!run_state_is_terminal(runs[i]->state))
            trainer_wake(trainer, runs[i]->model);
}

/* ---- sleep ---- */

int64_t trainer_waking_ms(struct trainer *trainer)
{
    const struct loop *loop = trainer->ground.loop;
    int64_t now_ms = loop_now_ms(loop);
    int64_t wall_ms = loop_wall_ms(loop);
    if (now_ms - trainer->pulse_ms > TRAINER_SLEPT_MS ||
        wall_ms - trainer->pulse_wall_ms > TRAINER_SLEPT_MS) {
        LOG_WARNING(
            "it slept, or the clock was set: before anything is done the topics are read on",
            LOG_INT("slept_ms", wall_ms - trainer->pulse_wall_ms));
        trainer->awake_ms = now_ms + TRAINER_WAKING_MS;
    }
    trainer->pulse_ms = now_ms;
    trainer->pulse_wall_ms = wall_ms;
    return trainer->awake_ms > now_ms ? trainer->awake_ms - now_ms : 0;
}

static void on_pulse(void *argument)
{
    struct trainer *trainer = argument;
    (void)trainer_waking_ms(trainer);
    loop_timer_set(trainer->pulse_timer, TRAINER_PULSE_MS);
}

/* ---- what the kernel asks ---- */

static bool trainer_route(void *self, const struct bus_record *record, const struct event *event,
                          struct kernel_route *ret_route)
{
    struct trainer *trainer = self;
    size_t prefix_bytes = strlen(TRAINER_KEY_PREFIX);
    (void)event;
    if (trainer->ground.specs->folder != NULL || record->key == NULL ||
        record->key_bytes <= prefix_bytes || record->key_bytes >= sizeof(ret_route->key) ||
        memcmp(record->key, TRAINER_KEY_PREFIX, prefix_bytes) != 0 ||
        memchr(record->key, '\0', record->key_bytes) != NULL)
        return false;
    memcpy(ret_route->key, record->key, record->key_bytes);
    ret_route->key[record->key_bytes] = '\0';
    return spec_value_fault(SPEC_NAME, ret_route->key + prefix_bytes) == NULL;
}

static void trainer_reconcile(void *self, struct kernel_work *work)
{
    struct trainer *trainer = self;
    const char *key = kernel_work_key(work);
    size_t prefix_bytes = strlen(TRAINER_KEY_PREFIX);
    struct trainer_job *job = MEM_NEW(struct trainer_job);
    job->magic = TRAINER_JOB_MAGIC;
    job->trainer = trainer;
    job->work = work;
    kernel_work_set_state(work, job);
    if (strncmp(key, TRAINER_KEY_PREFIX, prefix_bytes) != 0) {
        trainer_job_finish(job, KERNEL_STALLED, 0, "the pending record's key is no Model's");
        return;
    }
    job->model = trainer_model_open(trainer, key + prefix_bytes);
    job->wish = trainer_make_wish(trainer, job->model->name);
    loop_timer_clear(job->model->timer);
    observe_begin(job);
}

static void trainer_abandon(void *self, struct kernel_work *work)
{
    (void)self;
    job_free(CAST_CHECKED(struct trainer_job, kernel_work_state(work), TRAINER_JOB_MAGIC));
}

/* ---- tables ---- */

static void apply_registry(void *self, const struct bus_record *record)
{
    struct trainer *trainer = self;
    const char *model = registry_apply(trainer->registry, record);
    if (model != NULL)
        trainer_wake(trainer, model);
}

static void apply_issues(void *self, const struct bus_record *record)
{
    struct trainer *trainer = self;
    labels_apply(trainer->labels, record);
    trainer->label_changes++;
    if (!loop_timer_is_set(trainer->labels_timer))
        loop_timer_set(trainer->labels_timer, LABELS_GATHER_MS);
}

static void apply_pushes(void *self, const struct bus_record *record)
{
    struct trainer *trainer = self;
    if (pushes_apply(trainer->pushes, record))
        each_document(trainer, trainer_wake);
}

static void apply_named(void *self, const struct bus_record *record)
{
    struct trainer *trainer = self;
    named_apply(trainer->named, record);
}

/* Looks at models whose count of labels went over another multiple of newLabels. */
static void count_labels(struct trainer *trainer, const char *name)
{
    struct trainer_model *model = trainer_model_open(trainer, name);
    CLEANUP(wish_free) struct wish *wish = trainer_make_wish(trainer, name);
    uint64_t step = wish->plan.new_labels;
    if (step == 0)
        return;
    uint64_t before = model->labels_known ? model->labels / step : 0;
    const struct model_record *newest = registry_newest(trainer->registry, name);
    model->labels_since_ms = newest != NULL ? newest->snapshot_ms : 0;
    model->labels =
        labels_count(trainer->labels, wish->repositories, wish->labels, model->labels_since_ms);
    model->labels_known = true;
    if (model->labels / step != before)
        trainer_wake(trainer, name);
}

static void on_labels(void *argument)
{
    struct trainer *trainer = argument;
    each_document(trainer, count_labels);
}

static bool trainer_sweep_next(void *self, struct kernel_route *ret_route)
{
    struct trainer *trainer = self;
    struct trainer_model *first = trainer->models;
    if (first == NULL)
        return false;
    (void)snprintf(ret_route->key, sizeof(ret_route->key), TRAINER_KEY_PREFIX "%s", first->name);
    ret_route->partition = 0;
    HASH_DEL(trainer->models, first); /* to the end of the hash's order: everybody's turn comes */
    HASH_ADD_KEYPTR(hh, trainer->models, first->name, strlen(first->name), first);
    return true;
}

static const struct kernel_reactor trainer_reactor = {
    .name = "trainer",
    .home = TOPIC_SPECS,
    .route = trainer_route,
    .reconcile = trainer_reconcile,
    .abandon = trainer_abandon,
    .sweep_next = trainer_sweep_next,
    .tables = {{.topic = TOPIC_RUNS, .scope = KERNEL_TABLE_WHOLE, .apply = apply_registry},
               {.topic = TOPIC_MODELS, .scope = KERNEL_TABLE_WHOLE, .apply = apply_registry},
               {.topic = TOPIC_ISSUES, .scope = KERNEL_TABLE_WHOLE, .apply = apply_issues},
               {.topic = TOPIC_GIT_PUSHES, .scope = KERNEL_TABLE_WHOLE, .apply = apply_pushes},
               {.topic = TOPIC_DEPLOYMENTS, .scope = KERNEL_TABLE_WHOLE, .apply = apply_named},
               {.topic = TOPIC_SERVING, .scope = KERNEL_TABLE_WHOLE, .apply = apply_named}},
    .table_count = 6,
};

/* ---- start ---- */

static void trainer_tell_ready(void *argument)
{
    struct trainer *trainer = argument;
    if (trainer->kernel != NULL && kernel_is_ready(trainer->kernel)) {
        wake_all(trainer);
        loop_timer_set(trainer->tidy_timer, 0);
    }
    if (trainer->ready_changed != NULL)
        trainer->ready_changed(trainer->ready_argument);
}

static void trainer_join(void *argument)
{
    struct trainer *trainer = argument;
    struct error error = {0};
    int code =
        kernel_new(trainer->ground.loop, trainer->ground.bus, trainer->ground.metrics,
                   trainer->ground.kernel, &trainer_reactor, trainer, &trainer->kernel, &error);
    if (code != 0) {
        LOG_WARNING("joining the topic specs failed; it is tried again",
                    LOG_TEXT("reason", error.text), LOG_INT("again_in_ms", AGAIN_MS));
        loop_timer_set(trainer->again_timer, AGAIN_MS);
        return;
    }
    kernel_on_ready(trainer->kernel, trainer_tell_ready, trainer);
    trainer_tell_ready(trainer);
}

/* Says what is wrong with one document. */
static void log_document(const struct trainer *trainer, const char *key)
{
    const struct spec_record *record = spec_store_find(spec_table_records(trainer->specs), key);
    if (record == NULL || record->reason == NULL ||
        strncmp(key, TRAINER_KEY_PREFIX, strlen(TRAINER_KEY_PREFIX)) != 0)
        return;
    LOG_ERROR("a document is not valid; what was valid before stays in force",
              LOG_TEXT("document", key), LOG_TEXT("reason", record->reason),
              LOG_TEXT("in_force", record->valid != NULL ? "the last valid version" : "nothing"));
}

static void on_documents_ready(void *argument)
{
    struct trainer *trainer = argument;
    const struct spec_store *store = spec_table_records(trainer->specs);
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(store);
    for (size_t i = 0; i < spec_store_count(store); i++)
        log_document(trainer, entries[i].key);
    trainer_join(trainer);
}

static void on_document_changed(void *argument, const char *key)
{
    struct trainer *trainer = argument;
    log_document(trainer, key);
    if (strncmp(key, TRAINER_KEY_PREFIX, strlen(TRAINER_KEY_PREFIX)) == 0)
        trainer_wake(trainer, key + strlen(TRAINER_KEY_PREFIX));
}

static void on_documents_failed(void *argument, const struct error *error)
{
    (void)argument;
    LOG_ERROR("the folder of documents cannot be read; what was read before stays in force",
              LOG_TEXT("reason", error->text));
}

int trainer_new(const struct trainer_ground *ground, struct trainer **ret_trainer,
                struct error *error)
{
    static const struct spec_table_handler handler = {
        .ready = on_documents_ready, .changed = on_document_changed, .failed = on_documents_failed};
    CLEANUP(trainer_free) struct trainer *trainer = MEM_NEW(struct trainer);
    trainer->ground = *ground;
    trainer->registry = registry_new();
    trainer->labels = labels_new();
    trainer->pushes = pushes_new();
    trainer->named = named_new();
    trainer->again_timer = loop_timer_new(ground->loop, trainer_join, trainer);
    trainer->labels_timer = loop_timer_new(ground->loop, on_labels, trainer);
    trainer->tidy_timer = loop_timer_new(ground->loop, tidy_look, trainer);
    trainer->pulse_timer = loop_timer_new(ground->loop, on_pulse, trainer);
    trainer->pulse_ms = loop_now_ms(ground->loop);
    trainer->pulse_wall_ms = loop_wall_ms(ground->loop);
    loop_timer_set(trainer->pulse_timer, TRAINER_PULSE_MS);
    if (ground->metrics != NULL)
        describe_declare(trainer);
    if (ground->specs->folder != NULL && ground->children != NULL)
        trainer->local = local_head_new(ground->loop, ground->children, ground->specs->folder,
                                        wake_all, trainer);
    int code = spec_table_new(ground->loop, ground->bus, ground->specs, &handler, trainer,
                              &trainer->specs, error);
    if (code == 0)
        *ret_trainer = TAKE(trainer);
    return code;
}

void trainer_on_ready(struct trainer *trainer, loop_fn changed, void *argument)
{
    trainer->ready_changed = changed;
    trainer->ready_argument = argument;
    changed(argument);
}

const char *trainer_unready_reason(const struct trainer *trainer)
{
    if (!spec_table_is_ready(trainer->specs))
        return "the documents are being read";
    return trainer->kernel == NULL ? "the topic specs could not be joined yet" : NULL;
}

static bool look_all(void *argument, const char *key, const char *note)
{
    (void)argument;
    (void)key;
    (void)note;
    return true;
}

void trainer_reload(struct trainer *trainer)
{
    struct error error = {0};
    if (spec_table_reload(trainer->specs, &error) != 0)
        on_documents_failed(trainer, &error);
    if (trainer->kernel != NULL)
        kernel_wake_stalled(trainer->kernel, look_all, NULL);
}

void trainer_drain(struct trainer *trainer, void (*drained)(void *argument), void *argument)
{
    loop_timer_clear(trainer->again_timer);
    if (trainer->kernel != NULL)
        kernel_drain(trainer->kernel, drained, argument);
    else
        loop_defer(trainer->ground.loop, drained, argument);
}

void trainer_free(struct trainer *trainer)
{
    struct trainer_model *model = NULL;
    struct trainer_model *rest = NULL;
    if (trainer == NULL)
        return;
    kernel_free(trainer->kernel);
    HASH_ITER(hh, trainer->models, model, rest)
    {
        HASH_DEL(trainer->models, model);
        model_free(model);
    }
    local_head_free(trainer->local);
    spec_table_free(trainer->specs);
    registry_free(trainer->registry);
    labels_free(trainer->labels);
    pushes_free(trainer->pushes);
    named_free(trainer->named);
    if (trainer->tidy_child != NULL)
        child_abandon(trainer->ground.children, trainer->tidy_child);
    loop_timer_free(trainer->again_timer);
    loop_timer_free(trainer->labels_timer);
    loop_timer_free(trainer->tidy_timer);
    loop_timer_free(trainer->pulse_timer);
    mem_free(trainer);
}
