/*
 * Observing: what is known of the repository, the issue, its timeline, the models' opinion → the
 * plan's input.
 *
 * Design: the repository is asked for twice: first to learn whether work makes sense at all
 * (visible, not archived, configuration valid) before an issue costs two reads, and again when the
 * plan is made, from memory, because nothing borrowed is kept over a turn of the loop.
 *
 * Invariant: everything in the plan's input is owned by the job: models, documents and the
 * repository's labels may be replaced while the job writes.
 */
#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "reactors/labeler/comment.h"
#include "reactors/labeler/labeler_private.h"

/* Frees the plan and what it was made of. */
static void observe_release_plan(struct labeler_job *job)
{
    struct prepared *prepared = &job->prepared;
    for (size_t i = 0; i < prepared->text_count; i++)
        mem_free(prepared->texts[i]);
    mem_free(prepared->texts);
    mem_free(prepared->candidates);
    mem_free(prepared->words);
    model_opinion_free(prepared->opinion);
    *prepared = (struct prepared){0};
    plan_free(TAKE(job->plan));
}

void observe_release(struct labeler_job *job)
{
    struct observed *observed = &job->observed;
    for (size_t i = 0; i < observed->present_count; i++)
        mem_free(observed->present[i]);
    for (size_t i = 0; i < observed->event_count; i++) {
        free((void *)(uintptr_t)observed->events[i].label);
        free((void *)(uintptr_t)observed->events[i].actor);
    }
    mem_free(observed->present);
    mem_free(observed->events);
    mem_free(observed->repository);
    mem_free(observed->title);
    mem_free(observed->body);
    mem_free(observed->comment_body);
    observe_release_plan(job);
}

/* --- the plan's input --- */

static void observe_end_in_conflict(struct labeler_job *job, const char *repository,
                                    const char *text);

static void observe_on_repository(void *argument, int code, int64_t retry_after_ms,
                                  const struct repository *repository, const char *text);

static const char *observe_keep_text(struct prepared *prepared, const char *text)
{
    prepared->texts[prepared->text_count] = mem_copy_text(text);
    return prepared->texts[prepared->text_count++];
}

static const char *observe_spelling(const struct repository *repository, const char *label)
{
    for (size_t i = 0; i < repository->label_count; i++)
        if (strcasecmp(repository->labels[i], label) == 0)
            return repository->labels[i];
    return NULL;
}

static void observe_prepare_candidate(struct prepared *prepared, size_t index,
                                      const struct repository *repository,
                                      const struct document *document)
{
    const struct model_opinion_label *label = &prepared->opinion->labels[index];
    const char *written =
        observe_keep_text(prepared, bot_config_alias(repository->config, label->score.label));
    const char *existing = observe_spelling(repository, written);
    bool included = document_includes_label(document, written);
    prepared->candidates[index] = (struct plan_candidate){
        .label = observe_keep_text(prepared, label->score.label),
        .written = written,
        .probability = label->score.probability,
        .threshold = label->score.threshold,
        .predicted = label->score.predicted,
        .predictable = label->score.predictable,
        .included = included,
        .trigger = !included && document_is_trigger_label(written),
        .allowed = bot_config_allows(repository->config, written),
        .existing = existing != NULL ? observe_keep_text(prepared, existing) : NULL,
        .model = prepared->opinion->version,
    };
    prepared->words[index] = label->words;
}

static void observe_prepare(struct labeler_job *job, const struct repository *repository,
                            const struct document *document)
{
    struct prepared *prepared = &job->prepared;
    size_t count = prepared->opinion->label_count;
    prepared->candidates = mem_alloc_array(count, sizeof(prepared->candidates[0]));
    prepared->words = mem_alloc_array(count, sizeof(prepared->words[0]));
    prepared->texts = mem_alloc_array(count * 3, sizeof(prepared->texts[0]));
    for (size_t i = 0; i < count; i++)
        observe_prepare_candidate(prepared, i, repository, document);
    const struct history_entry *known =
        history_find(job->labeler->history, kernel_work_key(job->work));
    job->known_comment_id = known != NULL ? known->comment_id : 0;
    job->held_back = document_holds_back(document, kernel_work_key(job->work));
    job->comment_mode = document->comment;
    job->input = (struct plan_input){
        .candidates = prepared->candidates,
        .candidate_count = count,
        .present = (const char *const *)job->observed.present,
        .present_count = job->observed.present_count,
        .events = job->observed.events,
        .event_count = job->observed.event_count,
        .held_back = job->held_back,
        .comment_wanted = document->comment == DOCUMENT_COMMENT_EDIT && !job->observed.is_locked,
        .own_comment_id = job->observed.comment_id,
        .known_comment_id = job->known_comment_id,
    };
}

/* True if only the sweep asks, an older model decided, and the document leaves such issues alone.
 */
static bool observe_leave_alone(const struct labeler_job *job, const struct document *document,
                                const char *version)
{
    if (!kernel_work_is_sweep(job->work) || document->relabel == DOCUMENT_RELABEL_OPEN)
        return false;
    const struct history_entry *known =
        history_find(job->labeler->history, kernel_work_key(job->work));
    return known == NULL || known->model_hash != history_hash_model(version);
}

/* GitHub creates a label that the repository does not have any more: before something is added, the list must be new. */
static void observe_check_labels(struct labeler_job *job)
{
    job->labels_checked = true;
    observe_release_plan(job);
    job->waiter = repositories_get_for_adding(job->labeler->repositories, job->observed.repository,
                                              observe_on_repository, job);
}

static void observe_plan(struct labeler_job *job, const struct repository *repository)
{
    const struct document *document = NULL;
    struct error error = {0};
    int code = document_find(desired_documents(job->labeler->desired), repository->full_name,
                             &document, &error);
    if (code == ERR_NOT_FOUND) {
        job_end(job, KERNEL_DONE, 0, NULL);
        return;
    }
    if (code == ERR_CONFLICT) {
        observe_end_in_conflict(job, repository->full_name, error.text);
        return;
    }
    if (code == 0 && job->by_record && document->comment != DOCUMENT_COMMENT_SILENT) {
        job_end(job, KERNEL_AFTER, 0, "its document wants comments now: they are looked at");
        return;
    }
    struct classifier_issue issue = {
        .title = job->observed.title,
        .title_bytes = strlen(job->observed.title),
        .body = job->observed.body,
        .body_bytes = strlen(job->observed.body),
        .repository = repository->full_name,
    };
    if (code == 0)
        code =
            models_ask(job->labeler->models, document, &issue,
                       document->comment == DOCUMENT_COMMENT_EDIT, &job->prepared.opinion, &error);
    if (code != 0) {
        job_end(job, err_is_retriable(code) ? KERNEL_RETRY : KERNEL_STALLED, 0, error.text);
        return;
    }
    if (observe_leave_alone(job, document, job->prepared.opinion->version)) {
        job_end(job, KERNEL_DONE, 0, NULL);
        return;
    }
    observe_prepare(job, repository, document);
    job->plan = plan_make(&job->input);
    if (job->plan->add_count > 0 && !job->labels_checked) {
        observe_check_labels(job);
        return;
    }
    act_begin(job);
}

/* --- the reads --- */

/* nodag's comment, or one that a write which landed late has doubled. */
static void observe_note_comment(struct observed *observed, const struct forge_timeline_item *item)
{
    if (observed->comment_id == 0) {
        observed->comment_id = item->comment_id;
        observed->comment_body = mem_copy_text(item->body);
    } else if (observed->double_count < OBSERVED_DOUBLES_MAX) {
        observed->doubles[observed->double_count++] = item->comment_id;
    }
}

/* Counts where an issue was looked at. */
static void observe_count_look(struct labeler_job *job, const char *where)
{
    if (job->labeler->looks != NULL)
        metric_add(metrics_series(job->labeler->looks, &where), 1);
}

static void observe_on_timeline(void *argument, const struct forge_result *result,
                                const struct forge_timeline_item *items, size_t count)
{
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    job->call = NULL;
    if (result->code == ERR_NOT_FOUND) {
        job_end(job, KERNEL_DONE, 0, NULL);
        return;
    }
    if (result->code != 0) {
        job_fail(job, result, "reading the issue's timeline");
        return;
    }
    struct observed *observed = &job->observed;
    observe_count_look(job, "forge");
    observed->events = mem_alloc_array(count, sizeof(observed->events[0]));
    for (size_t i = 0; i < count; i++) {
        const struct forge_timeline_item *item = &items[i];
        if (item->kind != FORGE_TIMELINE_COMMENTED) {
            observed->events[observed->event_count++] = (struct plan_label_event){
                .label = mem_copy_text(item->label),
                .added = item->kind == FORGE_TIMELINE_LABELED,
                .is_own = item->is_own,
                .actor = mem_copy_text(item->actor),
                .time_ms = item->time_ms,
            };
        } else if (item->is_own && comment_has_marker(item->body)) {
            observe_note_comment(observed, item);
        }
    }
    job_set_step(job, JOB_PLAN);
    job->waiter = repositories_get(job->labeler->repositories, observed->repository,
                                   observe_on_repository, job);
}

static void observe_on_issue(void *argument, const struct forge_result *result,
                             const struct forge_issue *issue)
{
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    struct observed *observed = &job->observed;
    job->call = NULL;
    if (result->code == ERR_NOT_FOUND) {
        job_end(job, KERNEL_DONE, 0, NULL); /* deleted */
        return;
    }
    if (result->code != 0) {
        job_fail(job, result, "reading the issue");
        return;
    }
    bool moved =
        issue->number != job->number || strcasecmp(issue->repository, observed->repository) != 0;
    if (!issue->is_open || issue->is_pull_request || moved) {
        job_end(job, KERNEL_DONE, 0, NULL); /* a transferred issue is `opened` at its destination */
        return;
    }
    observed->is_locked = issue->is_locked;
    observed->title = mem_copy_text(issue->title);
    observed->body = mem_copy_text(issue->body);
    observed->present = mem_alloc_array(issue->label_count, sizeof(observed->present[0]));
    for (size_t i = 0; i < issue->label_count; i++)
        observed->present[observed->present_count++] = mem_copy_text(issue->labels[i]);
    job_set_step(job, JOB_TIMELINE);
    job->call = forge_get_timeline(job->labeler->ground.forge, observed->repository, job->number,
                                   observe_on_timeline, job);
}

static void observe_read_issue(struct labeler_job *job)
{
    job_set_step(job, JOB_ISSUE);
    job->call = forge_get_issue(job->labeler->ground.forge, job->observed.repository, job->number,
                                observe_on_issue, job);
}

/* Takes what the topic's record says: nobody but people and other bots has put a label there, and nobody
 * took one away (fresh.h). */
static void observe_take_record(struct labeler_job *job, const struct issue_record *record)
{
    struct observed *observed = &job->observed;
    job->by_record = true;
    job->labeler->looks_by_record++;
    observe_count_look(job, "record");
    if (job->labeler->ground.looked != NULL)
        job->labeler->ground.looked(job->labeler->ground.looked_argument,
                                    kernel_work_key(job->work));
    observed->title = mem_copy_text(record->title.data);
    observed->body = mem_copy_text(record->body.data != NULL ? record->body.data : "");
    observed->present = mem_alloc_array(record->label_count, sizeof(observed->present[0]));
    observed->events = mem_alloc_array(record->label_count, sizeof(observed->events[0]));
    for (size_t i = 0; i < record->label_count; i++) {
        const struct issue_label *label = &record->labels[i];
        observed->present[observed->present_count++] = mem_copy_text(label->name);
        observed->events[observed->event_count++] = (struct plan_label_event){
            .label = mem_copy_text(label->name),
            .added = true,
            .actor = mem_copy_text(label->added.login != NULL ? label->added.login : "somebody"),
            .time_ms = label->added.stamp.time_ms,
        };
    }
    job_set_step(job, JOB_PLAN);
    job->waiter = repositories_get(job->labeler->repositories, observed->repository,
                                   observe_on_repository, job);
}

static void observe_on_record(void *argument, const struct issue_record *record)
{
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    job->fresh_waiter = NULL;
    if (record != NULL && kernel_work_is_current(job->work))
        observe_take_record(job, record);
    else
        observe_read_issue(job);
}

/* True if a record of the topic would do: the first look at an issue, whose comments do not matter. */
static bool observe_may_use_record(const struct labeler_job *job, const char *repository)
{
    struct labeler *labeler = job->labeler;
    const struct document *document = NULL;
    return labeler->fresh != NULL && kernel_work_offset(job->work) >= 0 &&
           kernel_work_attempts(job->work) == 0 &&
           history_find(labeler->history, kernel_work_key(job->work)) == NULL &&
           document_find(desired_documents(labeler->desired), repository, &document, NULL) == 0 &&
           document->comment == DOCUMENT_COMMENT_SILENT;
}

static void observe_look(struct labeler_job *job, const struct repository *repository)
{
    if (repository->id != job->repository_id || repository->is_archived) {
        /* The name belongs to another repository now, or nothing can be written in it. */
        job_end(job, KERNEL_DONE, 0, NULL);
        return;
    }
    int64_t wait_ms = forge_write_wait_ms(job->labeler->ground.forge);
    if (wait_ms > 0) {
        /* Reads would be spent on a decision that could not be written. */
        job_end_later(job, wait_ms, "the budget of writes is used up");
        return;
    }
    mem_free(job->observed.repository);
    job->observed.repository = mem_copy_text(repository->full_name);
    if (!observe_may_use_record(job, repository->full_name)) {
        observe_read_issue(job);
        return;
    }
    job_set_step(job, JOB_FRESH);
    job->fresh_waiter =
        fresh_ask(job->labeler->fresh, kernel_work_key(job->work), repository->full_name,
                  kernel_work_offset(job->work), observe_on_record, job);
}

static void observe_on_repository(void *argument, int code, int64_t retry_after_ms,
                                  const struct repository *repository, const char *text)
{
    struct labeler_job *job = CAST_CHECKED(struct labeler_job, argument, JOB_MAGIC);
    job->waiter = NULL;
    if (code == 0 && job->step == JOB_REPOSITORY) {
        observe_look(job, repository);
        return;
    }
    if (code == 0) {
        observe_plan(job, repository);
        return;
    }
    struct error error = {.code = code};
    (void)error_set(&error, code, "%s", text);
    struct forge_result result = {.code = code, .retry_after_ms = retry_after_ms, .error = &error};
    if (code == ERR_NOT_FOUND)
        (void)error_set(&error, code,
                        "%s is not visible to nodag: give the App or token access to it",
                        kernel_work_note(job->work));
    job->is_reported = code == ERR_INPUT; /* the configuration: repository.c said it once */
    job_fail(job, &result, "reading the repository");
}

/* Two documents match: nobody writes there until a person has changed one of them. */
static void observe_end_in_conflict(struct labeler_job *job, const char *repository,
                                    const char *text)
{
    desired_note_conflict(job->labeler->desired, repository, text);
    job->is_reported = true;
    job_end(job, KERNEL_STALLED, 0, text);
}

void observe_begin(struct labeler_job *job)
{
    const struct document *document = NULL;
    const char *name = kernel_work_note(job->work);
    struct error error = {0};
    job->step = JOB_REPOSITORY;
    if (document_find(desired_documents(job->labeler->desired), name, &document, &error) ==
        ERR_CONFLICT) {
        observe_end_in_conflict(job, name, error.text);
        return;
    }
    job->waiter = repositories_get(job->labeler->repositories, kernel_work_note(job->work),
                                   observe_on_repository, job);
}
