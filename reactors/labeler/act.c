/*
 * Acting: doubled comments go, removals one by one, additions in one POST, the comment, and then the record of the
 * decision.
 *
 * Design: each step begins the next one when its answer is there. A write whose outcome is not sure
 * ends the job with RETRY: the next run looks first and finds what took effect.
 *
 * Invariant: the record is published after all writes, and the key is DONE after the record was
 * acknowledged.
 */
#include <string.h>

#include "base/memory.h"
#include "reactors/labeler/comment.h"
#include "reactors/labeler/labeler_private.h"

/* Schema of the records, for ce_dataschema. */
#define ACT_DATA_SCHEMA "urn:nodag:schema:prediction:1"

static void act_next(struct labeler_job *job);

static void act_count_write(struct labeler_job *job, const char *kind)
{
    if (job->labeler->writes != NULL)
        metric_add(metrics_series(job->labeler->writes, &kind), 1);
}

/* Returns true if the write was done; else the job has been ended. */
static bool act_wrote(struct labeler_job *job, const struct forge_result *result, const char *doing,
                      const char *kind)
{
    job->call = NULL;
    if (result->code == ERR_NOT_FOUND) {
        job_end(job, KERNEL_RETRY, 0, "the issue went away meanwhile"); /* the next look ends it */
        return false;
    }
    if (result->code != 0) {
        job_fail(job, result, doing);
        return false;
    }
    act_count_write(job, kind);
    return true;
}

static void act_on_deleted(void *argument, const struct forge_result *result, int64_t id)
{
    (void)id;
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    if (!act_wrote(job, result, "deleting a doubled comment", "delete_comment"))
        return;
    job->deleted++;
    act_next(job);
}

static void act_on_removed(void *argument, const struct forge_result *result, int64_t id)
{
    (void)id;
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    if (!act_wrote(job, result, "removing a label", "remove_label"))
        return;
    job->removed++;
    act_next(job);
}

static void act_on_added(void *argument, const struct forge_result *result, int64_t id)
{
    (void)id;
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    if (!act_wrote(job, result, "adding labels", "add_labels"))
        return;
    job->wrote_add = true;
    act_next(job);
}

static void act_on_comment(void *argument, const struct forge_result *result, int64_t id)
{
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    if (!act_wrote(job, result, "writing the comment", "comment"))
        return;
    job->comment_id = id;
    job->plan->comment = PLAN_COMMENT_NONE;
    act_next(job);
}

/* --- the record --- */

static void act_on_record(void *argument, int code)
{
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    if (code == 0)
        job_end(job, KERNEL_DONE, 0, NULL);
    else
        job_end(job, KERNEL_RETRY, 0, "the record of the decision was not acknowledged");
}

static void act_count_verdicts(const struct labeler_job *job)
{
    if (job->labeler->verdicts == NULL)
        return;
    for (size_t i = 0; i < job->plan->decision_count; i++) {
        const char *name = plan_verdict_name(job->plan->decisions[i].verdict);
        metric_add(metrics_series(job->labeler->verdicts, &name), 1);
    }
}

static void act_publish_record(struct labeler_job *job)
{
    struct loop *loop = job->labeler->ground.loop;
    job_set_step(job, JOB_RECORD);
    act_count_verdicts(job);
    const char *key = kernel_work_key(job->work);
    CLEANUP(mem_free)
    char *id = mem_format("%s:%d:%lld:%lld", key, kernel_work_partition(job->work),
                          (long long)kernel_work_offset(job->work), (long long)loop_wall_ms(loop));
    struct event event = {
        .id = text_of(id),
        .source = text_of("labeler"),
        .type = text_of("dev.nodag.prediction"),
        .subject = text_of(key),
        .data_schema = text_of(ACT_DATA_SCHEMA),
        .content_type = text_of("application/json"),
        .repository = text_of(job->observed.repository),
        .has_time = true,
        .time_ms = loop_wall_ms(loop),
    };
    struct event_headers headers;
    struct error error = {0};
    int code = envelope_encode(&event, &headers, &error);
    struct bus_message message = {
        .topic = TOPIC_PREDICTIONS,
        .partition = kernel_work_partition(job->work),
        .key = key,
        .key_bytes = strlen(key),
        .headers = headers.items,
        .header_count = headers.count,
    };
    CLEANUP(mem_free) char *value = prediction_write(job, &message.value_bytes);
    message.value = value;
    if (code == 0)
        code = kernel_publish(job->work, &message, act_on_record, job);
    else
        headers.count = 0;
    if (code != 0)
        job_end(job, KERNEL_RETRY, 0, "the record of the decision could not be published");
}

/* A sweep that found everything as it should be says nothing new. */
static bool act_has_news(const struct labeler_job *job)
{
    const struct history_entry *known =
        history_find(job->labeler->history, kernel_work_key(job->work));
    return !kernel_work_is_sweep(job->work) || known == NULL || job->removed > 0 ||
           job->wrote_add || job->comment_id != known->comment_id ||
           known->model_hash != history_hash_model(job->prepared.opinion->version);
}

/* --- the steps --- */

static void act_write_comment(struct labeler_job *job)
{
    struct forge *forge = job->labeler->ground.forge;
    CLEANUP(mem_free) char *body = comment_write(&job->input, job->plan, job->prepared.words);
    job_set_step(job, JOB_COMMENT);
    if (job->plan->comment == PLAN_COMMENT_CREATE) {
        job->call = forge_create_comment(forge, job->observed.repository, job->number, body,
                                         act_on_comment, job);
    } else if (strcmp(body, job->observed.comment_body) == 0) {
        job->plan->comment = PLAN_COMMENT_NONE;
        act_next(job);
    } else {
        job->call = forge_edit_comment(forge, job->observed.repository, job->observed.comment_id,
                                       body, act_on_comment, job);
    }
}

static void act_next(struct labeler_job *job)
{
    struct forge *forge = job->labeler->ground.forge;
    const struct plan *plan = job->plan;
    if (job->deleted < job->observed.double_count) {
        job_set_step(job, JOB_DELETE);
        job->call = forge_delete_comment(forge, job->observed.repository,
                                         job->observed.doubles[job->deleted], act_on_deleted, job);
    } else if (job->removed < plan->remove_count) {
        job_set_step(job, JOB_REMOVE);
        job->call = forge_remove_label(forge, job->observed.repository, job->number,
                                       plan->remove[job->removed], act_on_removed, job);
    } else if (plan->add_count > 0 && !job->wrote_add) {
        job_set_step(job, JOB_ADD);
        job->call = forge_add_labels(forge, job->observed.repository, job->number, plan->add,
                                     plan->add_count, act_on_added, job);
    } else if (plan->comment != PLAN_COMMENT_NONE) {
        act_write_comment(job);
    } else if (act_has_news(job)) {
        act_publish_record(job);
    } else {
        job_end(job, KERNEL_DONE, 0, NULL);
    }
}

void act_begin(struct labeler_job *job)
{
    job->comment_id =
        job->observed.comment_id != 0 ? job->observed.comment_id : job->known_comment_id;
    act_next(job);
}
