/*
 * A job's eyes: asks the lambda if it is time, gathers what is known, asks the plan. See
 * trainer_private.h.
 *
 * Invariant: facts borrow from the registry, so nothing is applied to it while they are in use.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json_text.h"
#include "base/log.h"
#include "base/memory.h"
#include "reactors/trainer/trainer_private.h"

/* Longest time that the lambda may take, in milliseconds. */
#define SYNC_TIMEOUT_MS 10000

/* Actions of one job before it makes room for others; a life of a run has five. */
#define ACTIONS_MAX 64

/* How often a run on another host is looked at, in milliseconds. */
#define ELSEWHERE_LOOK_MS 30000

/* How long it waits for a head that is not known, in milliseconds. */
#define HEAD_WAIT_MS 30000

/* ---- the lambda ---- */

static void note_sync(struct trainer *trainer, const char *result)
{
    if (trainer->metrics.sync != NULL)
        metric_add(metrics_series(trainer->metrics.sync, &result), 1);
}

static void on_sync(void *argument, int code, const struct http_response *response,
                    const struct error *http_error)
{
    struct trainer_job *job = CAST_CHECKED(struct trainer_job, argument, TRAINER_JOB_MAGIC);
    struct trainer_model *model = job->model;
    struct error error = {0};
    struct needs_sync answer = {0};
    job->call = NULL;
    if (code != 0)
        error = *http_error;
    else if (response->status != 200)
        code = error_set(&error, ERR_INPUT, "it answered %d", response->status);
    else
        code = needs_sync_read(response->body, response->body_bytes, &answer, &error);
    needs_sync_release(&model->sync);
    model->sync = answer;
    model->sync_known = code == 0;
    note_sync(job->trainer, code != 0 ? "failed" : answer.needs_sync ? "stale" : "fresh");
    if (code != 0)
        LOG_WARNING("needsSyncUrl gave no answer; the other reasons count alone until it does",
                    LOG_TEXT("model", model->name), LOG_TEXT("reason", error.text));
    observe_plan(job);
}

/* Returns true if the lambda is to be asked now. */
static bool sync_is_due(const struct trainer_job *job)
{
    const struct trainer *trainer = job->trainer;
    const struct trainer_model *model = job->model;
    const struct wish *wish = job->wish;
    if (!wish->plan.present || wish->plan.suspend || !wish->plan.needs_sync ||
        trainer->ground.http == NULL)
        return false;
    return model->sync_url == NULL || strcmp(model->sync_url, wish->needs_sync_url) != 0 ||
           loop_now_ms(trainer->ground.loop) - model->sync_asked_ms >=
               trainer->ground.settings->sync_interval_ms;
}

void observe_begin(struct trainer_job *job)
{
    struct trainer_model *model = job->model;
    if (!sync_is_due(job)) {
        observe_plan(job);
        return;
    }
    const struct model_record *newest = registry_newest(job->trainer->registry, model->name);
    const struct http_request request = {.method = "GET",
                                         .url = job->wish->needs_sync_url,
                                         .timeout_ms = SYNC_TIMEOUT_MS,
                                         .body_max_bytes = NEEDS_SYNC_MAX_BYTES,
                                         .redirects_max = -1};
    record_set_text(&model->sync_url, job->wish->needs_sync_url);
    record_set_text(&model->sync_version, newest != NULL ? newest->version : "");
    model->sync_asked_ms = loop_now_ms(job->trainer->ground.loop);
    model->sync_known = false;
    job->call = http_send(job->trainer->ground.http, &request, on_sync, job);
}

/* ---- facts ---- */

char *observe_folder(const struct trainer *trainer, const char *run)
{
    return mem_format("%s/%s", trainer->ground.settings->runs, run);
}

void facts_release(struct facts *facts)
{
    for (size_t i = 0; facts->results != NULL && i < facts->plan.run_count; i++)
        run_result_release(&facts->results[i]);
    mem_free(facts->records);
    mem_free(facts->runs);
    mem_free(facts->results);
    mem_free(facts->parameters);
    *facts = (struct facts){.records = NULL};
}

/* Looks at the directory of a run that is recorded as not over. */
static int look_at_run(const struct trainer *trainer, const struct run_record *record,
                       struct plan_run *run, struct run_result *result, struct error *error)
{
    if (strcmp(record->host, trainer->ground.settings->host) != 0) {
        run->sight = RUN_SIGHT_ELSEWHERE;
        return 0;
    }
    CLEANUP(mem_free) char *folder = observe_folder(trainer, record->run);
    CLEANUP(mem_free) char *cancel = mem_format("%s/" RUN_FILE_CANCEL, folder);
    int code = run_directory_observe(folder, &run->sight, result, error);
    if (code == ERR_CORRUPT) { /* it is over, and nobody will ever be able to say how */
        run->sight = RUN_SIGHT_FINISHED;
        result->state = RUN_FAILED;
        (void)snprintf(result->reason, sizeof(result->reason), "%s", error->text);
        code = 0;
    }
    run->cancelling = access(cancel, F_OK) == 0;
    if (code == 0 && run->sight == RUN_SIGHT_FINISHED) {
        run->result = result->state;
        run->result_reason = result->reason;
    }
    return code;
}

static int gather_runs(const struct trainer *trainer, const char *model, bool look,
                       struct facts *facts, struct error *error)
{
    size_t count = 0;
    facts->records = registry_list_runs(trainer->registry, model, &count);
    facts->runs = mem_alloc_array(count, sizeof(*facts->runs));
    facts->results = mem_alloc_array(count, sizeof(*facts->results));
    facts->plan.runs = facts->runs;
    facts->plan.run_count = count;
    for (size_t i = 0; i < count; i++) {
        const struct run_record *record = facts->records[i];
        facts->runs[i] = (struct plan_run){
            .name = record->run,
            .cause = record->cause,
            .attempt = record->attempt,
            .state = record->state,
            .sight = RUN_SIGHT_ELSEWHERE,
            .started_ms = record->started_ms != 0 ? record->started_ms : record->created_ms,
            .ended_ms = record->ended_ms,
            .deadline_ms = record->deadline_ms,
        };
        int code = !look || run_state_is_terminal(record->state)
                       ? 0
                       : look_at_run(trainer, record, &facts->runs[i], &facts->results[i], error);
        if (code != 0)
            return code;
    }
    return 0;
}

/* What is known of the code: the head, and whether onPush paths differ from the model's. */
static void gather_code(const struct trainer *trainer, const struct wish *wish,
                        const struct model_record *newest, struct plan_facts *facts)
{
    const struct spec_place *place = &wish->place;
    bool is_pushed = false;
    const char *repository = place->repository;
    if (trainer->local != NULL) {
        facts->head = local_head_commit(trainer->local);
        repository = local_head_root(trainer->local);
    } else if (place->branch != NULL) {
        facts->head = pushes_head(trainer->pushes, place->repository, place->branch);
        is_pushed = facts->head != NULL;
    }
    if (facts->head == NULL && trainer->local == NULL)
        facts->head = place->commit;
    facts->head_known = facts->head != NULL;
    if (!facts->head_known || newest == NULL || !wish->plan.on_push)
        return;
    if (strcmp(newest->repository, repository) != 0)
        facts->paths_differ = true;
    else if (strcmp(newest->commit, facts->head) == 0)
        facts->paths_differ = false;
    else if (trainer->local != NULL)
        (void)local_head_differs(trainer->local, newest->commit, wish->on_push,
                                 &facts->paths_differ);
    else if (is_pushed)
        facts->paths_differ = pushes_differ(trainer->pushes, place->repository, place->branch,
                                            newest->commit, wish->on_push);
    else
        facts->paths_differ = true; /* nobody tells which paths do */
}

static void gather_labels(const struct trainer *trainer, struct trainer_model *model,
                          const struct wish *wish, const struct model_record *newest,
                          struct plan_facts *facts)
{
    int64_t since_ms = newest != NULL ? newest->snapshot_ms : 0;
    if (!wish->plan.present || wish->plan.new_labels == 0)
        return;
    if (!model->labels_known || model->labels_since_ms != since_ms) {
        model->labels = labels_count(trainer->labels, wish->repositories, wish->labels, since_ms);
        model->labels_since_ms = since_ms;
        model->labels_known = true;
    }
    facts->labels_known = true;
    facts->labels = model->labels;
}

int observe_facts(const struct trainer *trainer, struct trainer_model *model,
                  const struct wish *wish, bool look, struct facts *ret_facts, struct error *error)
{
    const struct model_record *newest = registry_newest(trainer->registry, model->name);
    struct facts facts = {.plan = {.now_ms = loop_wall_ms(trainer->ground.loop),
                                   .backoff_ms = trainer->ground.settings->backoff_ms}};
    int code = gather_runs(trainer, model->name, look, &facts, error);
    if (code != 0) {
        facts_release(&facts);
        return code;
    }
    facts.plan.has_model = newest != NULL;
    facts.plan.model = newest != NULL ? newest->version : NULL;
    facts.plan.model_ms = newest != NULL ? newest->created_ms : 0;
    gather_code(trainer, wish, newest, &facts.plan);
    gather_labels(trainer, model, wish, newest, &facts.plan);
    facts.plan.sync_known = model->sync_known && wish->plan.needs_sync &&
                            strcmp(model->sync_version, newest != NULL ? newest->version : "") == 0;
    facts.plan.sync = model->sync.needs_sync;
    if (model->sync.parameters != NULL)
        facts.parameters = json_write(model->sync.parameters, NULL);
    facts.plan.sync_parameters = facts.parameters;
    *ret_facts = facts;
    return 0;
}

/* ---- the plan ---- */

static bool has_run_under_way(const struct facts *facts)
{
    for (size_t i = 0; i < facts->plan.run_count; i++)
        if (!run_state_is_terminal(facts->runs[i].state))
            return true;
    return false;
}

/* Why nothing is trained although the model is stale: nobody knows the code. */
static void wait_for_head(struct trainer_job *job)
{
    const struct local_head *local = job->trainer->local;
    const char *fault = local != NULL ? local_head_fault(local) : NULL;
    CLEANUP(mem_free)
    char *reason =
        fault != NULL ? mem_copy_text(fault)
        : local != NULL
            ? mem_format("the git repository of %s is being read", job->wish->place.repository)
            : mem_format("the head of %s is not known: nodag ingest-git has published neither a "
                         "push nor the document's commit",
                         job->wish->place.repository);
    trainer_job_finish(job, KERNEL_AFTER, HEAD_WAIT_MS, reason);
}

/* Nothing to do now: rests until something may be. */
static void wait_for(struct trainer_job *job, const struct plan *plan, const struct facts *facts)
{
    const struct trainer *trainer = job->trainer;
    int64_t now_ms = facts->plan.now_ms;
    int64_t delay_ms = plan->next_ms == INT64_MAX ? INT64_MAX : plan->next_ms - now_ms;
    if (delay_ms < 0)
        delay_ms = 0;
    if (remove_begin(job))
        return;
    if (has_run_under_way(facts)) {
        int64_t look_ms = TRAINER_LOOK_MS;
        for (size_t i = 0; i < facts->plan.run_count; i++)
            if (!run_state_is_terminal(facts->runs[i].state) &&
                facts->runs[i].sight == RUN_SIGHT_ELSEWHERE)
                look_ms = ELSEWHERE_LOOK_MS;
        trainer->ground.launcher->reap(trainer->ground.launcher);
        trainer_job_rest(job, look_ms);
        return;
    }
    if (plan->reason[0] != '\0') {
        trainer_job_finish(job, KERNEL_AFTER, delay_ms, plan->reason);
        return;
    }
    if (job->wish->plan.present && !job->wish->plan.suspend && !facts->plan.head_known &&
        plan_stale(&job->wish->plan, &facts->plan) != 0) {
        wait_for_head(job);
        return;
    }
    if (job->wish->plan.needs_sync && delay_ms > trainer->ground.settings->sync_interval_ms)
        delay_ms = trainer->ground.settings->sync_interval_ms;
    trainer_job_rest(job, delay_ms);
}

void observe_plan(struct trainer_job *job)
{
    struct plan plan;
    struct facts facts;
    struct error error = {0};
    const struct wish *wish = job->wish;
    if (++job->actions > ACTIONS_MAX) {
        trainer_job_finish(job, KERNEL_AFTER, TRAINER_LOOK_MS, "many things were to be done");
        return;
    }
    int64_t waking_ms = trainer_waking_ms(job->trainer);
    if (waking_ms > 0) {
        trainer_job_rest(job, waking_ms);
        return;
    }
    if (observe_facts(job->trainer, job->model, wish, true, &facts, &error) != 0) {
        trainer_job_finish(job, KERNEL_RETRY, 0, error.text);
        return;
    }
    plan_make(&wish->plan, &facts.plan, &plan);
    describe_note(job->model, wish->plan.present ? plan_stale(&wish->plan, &facts.plan) : 0, &plan);
    if (plan.action == PLAN_START && strcmp(wish->executor, "local") != 0) {
        plan.action = PLAN_STALL;
        (void)snprintf(plan.reason, sizeof(plan.reason),
                       "spec.train.executor is %s; this trainer has only local", wish->executor);
    }
    if (plan.action == PLAN_WAIT)
        wait_for(job, &plan, &facts);
    else if (plan.action == PLAN_STALL && !remove_begin(job))
        trainer_job_finish(job, KERNEL_STALLED, 0, plan.reason);
    else if (plan.action != PLAN_STALL)
        act_begin(job, &plan, &facts);
    facts_release(&facts);
}
