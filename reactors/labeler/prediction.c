/*
 * The record of one decision, for the topic `predictions`: what was looked at, what the model said,
 * what was done and why not more.
 *
 * {"repository":"o/r","number":7,"event":{"id":"…","partition":3,"offset":41},"text_sha256":"…","model":"…","held_back":false,
 *  "labels":[{"label":"bug","written":"kind/bug","probability":0.93,"threshold":0.5,"verdict":"ADD","why":"…","by":null}],
 *  "added":["kind/bug"],"removed":[],"comment_id":12,"corrections":[{"label":"area/x","what":"removed","by":"ann","at":"…"}]}
 *
 * Invariant: members are the ones above; a new meaning is a new schema version (ce_dataschema,
 * act.c).
 */
#include <assert.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "base/time_text.h"
#include "reactors/labeler/labeler_private.h"

/* Probabilities are recorded to this fraction: finer digits say nothing. */
#define PREDICTION_DIGITS 10000.0

static json_t *prediction_number(double number)
{
    return json_real(round(number * PREDICTION_DIGITS) / PREDICTION_DIGITS);
}

static json_t *prediction_labels(const struct labeler_job *job)
{
    json_t *labels = json_array();
    for (size_t i = 0; i < job->input.candidate_count; i++) {
        const struct plan_candidate *candidate = &job->input.candidates[i];
        const struct plan_decision *decision = &job->plan->decisions[i];
        json_t *label =
            json_pack("{s:s, s:s, s:o, s:o, s:s, s:s, s:s?}", "label", candidate->label, "written",
                      candidate->written, "probability", prediction_number(candidate->probability),
                      "threshold", prediction_number(candidate->threshold), "verdict",
                      plan_verdict_name(decision->verdict), "why",
                      plan_verdict_text(decision->verdict), "by", decision->by);
        if (label != NULL)
            (void)json_array_append_new(labels, label);
    }
    return labels;
}

static json_t *prediction_names(const char *const *names, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, json_string(names[i]));
    return list;
}

static bool prediction_is_considered(const struct labeler_job *job, const char *label)
{
    for (size_t i = 0; i < job->input.candidate_count; i++)
        if (strcasecmp(job->input.candidates[i].written, label) == 0)
            return true;
    return false;
}

/* What others did about labels that the model knows, after nodag first wrote on the issue. */
static json_t *prediction_corrections(const struct labeler_job *job)
{
    json_t *list = json_array();
    bool nodag_wrote = false;
    for (size_t i = 0; i < job->input.event_count; i++) {
        const struct plan_label_event *event = &job->input.events[i];
        nodag_wrote = nodag_wrote || event->is_own;
        if (event->is_own || !nodag_wrote || !prediction_is_considered(job, event->label))
            continue;
        char at[TIME_TEXT_BYTES];
        time_to_text(event->time_ms, at);
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "label", event->label,
                                                    "what", event->added ? "added" : "removed",
                                                    "by", event->actor, "at", at));
    }
    return list;
}

static void prediction_text_sha256(const struct labeler_job *job, char ret_text[DIGEST_TEXT_BYTES])
{
    uint8_t sum[DIGEST_BYTES];
    CLEANUP(digest_free) struct digest *digest = digest_new();
    digest_update(digest, job->observed.title,
                  strlen(job->observed.title) + 1); /* with its NUL: the border */
    digest_update(digest, job->observed.body, strlen(job->observed.body));
    digest_finish(digest, sum);
    digest_to_text(sum, ret_text);
}

char *prediction_write(const struct labeler_job *job, size_t *ret_bytes)
{
    char text_sha256[DIGEST_TEXT_BYTES];
    prediction_text_sha256(job, text_sha256);
    const struct kernel_work *work = job->work;
    json_t *event = NULL;
    if (kernel_work_offset(work) >= 0)
        event = json_pack("{s:s, s:i, s:I}", "id", kernel_work_event_id(work), "partition",
                          (int)kernel_work_partition(work), "offset",
                          (json_int_t)kernel_work_offset(work));
    CLEANUP(json_release)
    json_t *record =
        json_pack("{s:s, s:I, s:o?, s:s, s:s, s:b, s:o, s:o, s:o, s:I, s:b, s:o}", "repository",
                  job->observed.repository, "number", (json_int_t)job->number, "event", event,
                  "text_sha256", text_sha256, "model", job->prepared.opinion->version, "held_back",
                  job->held_back ? 1 : 0, "labels", prediction_labels(job), "added",
                  prediction_names(job->plan->add, job->plan->add_count), "removed",
                  prediction_names(job->plan->remove, job->plan->remove_count), "comment_id",
                  (json_int_t)job->comment_id, "comment_deleted",
                  job->plan->comment_deleted ? 1 : 0, "corrections", prediction_corrections(job));
    assert(record != NULL); /* every text in it was valid UTF-8 when it was read */
    return json_write(record, ret_bytes);
}
