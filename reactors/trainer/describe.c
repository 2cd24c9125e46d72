/*
 * What the trainer says of itself: metrics, and whether a model needs training. See trainer_private.h.
 */
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/trainer_private.h"

/* Milliseconds in a second, as metrics have times. */
#define SECOND_MS 1000.0

static void set_runs(const struct trainer *trainer)
{
    size_t count = 0;
    size_t by_state[RUN_STATE_COUNT] = {0};
    CLEANUP(mem_free)
    const struct run_record **runs = registry_list_runs(trainer->registry, NULL, &count);
    for (size_t i = 0; i < count; i++)
        by_state[runs[i]->state]++;
    for (int state = 0; state < RUN_STATE_COUNT; state++) {
        const char *name = run_state_name((enum run_state)state);
        metric_set(metrics_series(trainer->metrics.runs, &name), (double)by_state[state]);
    }
}

static void set_model(const struct trainer *trainer, const struct trainer_model *model)
{
    const char *name = model->name;
    const struct model_record *newest = registry_newest(trainer->registry, name);
    if (newest != NULL)
        metric_set(metrics_series(trainer->metrics.age, &name),
                   (double)(loop_wall_ms(trainer->ground.loop) - newest->created_ms) / SECOND_MS);
    metric_set(metrics_series(trainer->metrics.stalled, &name), model->is_stalled ? 1 : 0);
    if (model->labels_known)
        metric_set(metrics_series(trainer->metrics.labels, &name), (double)model->labels);
    for (int i = 0; i < PLAN_REASON_COUNT; i++) {
        const char *labels[] = {name, plan_reason_id((enum plan_reason)i)};
        metric_set(metrics_series(trainer->metrics.stale, labels),
                   (model->stale & (1u << i)) != 0 ? 1 : 0);
    }
}

static void on_collect(void *argument)
{
    const struct trainer *trainer = argument;
    set_runs(trainer);
    for (const struct trainer_model *model = trainer->models; model != NULL; model = model->hh.next)
        set_model(trainer, model);
    metric_set(trainer->metrics.refused, (double)registry_refused(trainer->registry));
    metric_set(trainer->metrics.left_out, (double)labels_left_out(trainer->labels));
}

void describe_declare(struct trainer *trainer)
{
    static const char *const by_state[] = {"state", NULL};
    static const char *const by_model[] = {"model", NULL};
    static const char *const by_reason[] = {"model", "reason", NULL};
    static const char *const by_result[] = {"result", NULL};
    struct metrics *metrics = trainer->ground.metrics;
    struct trainer_metrics *made = &trainer->metrics;
    made->runs = metrics_declare(metrics, METRICS_GAUGE, "nodag_trainer_runs",
                                 "Runs that are recorded, by state.", by_state);
    made->age = metrics_declare(metrics, METRICS_GAUGE, "nodag_trainer_model_age_seconds",
                                "Age of the newest version of a model.", by_model);
    made->labels =
        metrics_declare(metrics, METRICS_GAUGE, "nodag_trainer_label_changes",
                        "People's label changes since the newest version's data.", by_model);
    made->stale = metrics_declare(metrics, METRICS_GAUGE, "nodag_trainer_stale",
                                  "1 where a model is stale for this reason.", by_reason);
    made->stalled = metrics_declare(metrics, METRICS_GAUGE, "nodag_trainer_stalled",
                                    "1 where a model waits for a person.", by_model);
    made->sync = metrics_declare(metrics, METRICS_COUNTER, "nodag_trainer_needs_sync_total",
                                 "Questions to needsSyncUrl, by what was answered.", by_result);
    made->refused = metrics_single(
        metrics_declare(metrics, METRICS_GAUGE, "nodag_trainer_records_refused",
                        "Records of runs and models that cannot be read, or are too many.", NULL));
    made->left_out = metrics_single(
        metrics_declare(metrics, METRICS_GAUGE, "nodag_trainer_label_changes_left_out",
                        "Label changes that are not counted because of a limit.", NULL));
    made->collected = metrics_single(metrics_declare(metrics, METRICS_COUNTER,
                                                     "nodag_trainer_artefacts_removed_total",
                                                     "Artefacts removed by history limits.", NULL));
    metrics_on_collect(metrics, on_collect, trainer);
}

void describe_note(struct trainer_model *model, unsigned stale, const struct plan *plan)
{
    model->stale = stale;
    model->is_stalled = plan->action == PLAN_STALL;
    memcpy(model->stall_reason, plan->reason, sizeof(model->stall_reason));
}

/* ---- /needsTrain ---- */

static int answer(int status, bool needs, json_t *parameters, const char *fault, char **ret_text,
                  size_t *ret_bytes)
{
    CLEANUP(json_release) json_t *object = parameters != NULL ? parameters : json_object();
    *ret_text = needs_sync_write(needs, object, fault, ret_bytes);
    return status;
}

/* The name of the only Model document; NULL: there are none or several. Borrowed from the store. */
static const char *only_document(const struct trainer *trainer)
{
    const struct spec_store *store = spec_table_records(trainer->specs);
    const char *found = NULL;
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(store);
    for (size_t i = 0; i < spec_store_count(store); i++) {
        if (strncmp(entries[i].key, TRAINER_KEY_PREFIX, strlen(TRAINER_KEY_PREFIX)) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = entries[i].key + strlen(TRAINER_KEY_PREFIX);
    }
    return found;
}

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text != NULL)
        (void)json_object_set_new(object, name, json_string(text));
}

int trainer_describe(const struct trainer *trainer, const char *name, char **ret_text,
                     size_t *ret_bytes)
{
    struct trainer_model *model = NULL;
    struct facts facts;
    if (trainer->kernel == NULL || !kernel_is_ready(trainer->kernel))
        return answer(503, false, NULL, "this replica stands by, or reads its topics", ret_text,
                      ret_bytes);
    if (name == NULL)
        name = only_document(trainer);
    if (name == NULL)
        return answer(400, false, NULL,
                      "there are several Models, or none: ask /needsTrain?model=NAME", ret_text,
                      ret_bytes);
    CLEANUP(wish_free) struct wish *wish = trainer_make_wish(trainer, name);
    HASH_FIND_STR(trainer->models, name, model);
    if (!wish->plan.present || model == NULL ||
        observe_facts(trainer, model, wish, false, &facts, NULL) != 0)
        return answer(404, false, NULL, "there is no Model of this name in force", ret_text,
                      ret_bytes);
    char reasons[PLAN_REASON_BYTES];
    unsigned stale = wish->plan.suspend ? 0 : plan_stale(&wish->plan, &facts.plan);
    json_t *parameters = json_object();
    plan_describe(stale, reasons);
    set_text(parameters, "model", name);
    set_text(parameters, "name", facts.plan.model);
    set_text(parameters, "commit", facts.plan.head);
    set_text(parameters, "reason", stale != 0 ? reasons : NULL);
    facts_release(&facts);
    return answer(200, stale != 0, parameters, model->is_stalled ? model->stall_reason : NULL,
                  ret_text, ret_bytes);
}
