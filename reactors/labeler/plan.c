/*
 * The labeler's plan: see plan.h. Label names are compared without regard to case, as GitHub does.
 */
#include "reactors/labeler/plan.h"

#include <strings.h>

#include "base/memory.h"

/* Bytes of the prefix that every verdict's enum name has. */
#define PLAN_PREFIX_BYTES (sizeof("PLAN_") - 1)

const char *plan_verdict_name(enum plan_verdict verdict)
{
    switch (verdict) {
#define PLAN_VERDICT_NAME(name, text)                                                              \
    case name:                                                                                     \
        return &#name[PLAN_PREFIX_BYTES];
        PLAN_VERDICTS(PLAN_VERDICT_NAME)
#undef PLAN_VERDICT_NAME
    }
    return "";
}

const char *plan_verdict_text(enum plan_verdict verdict)
{
    switch (verdict) {
#define PLAN_VERDICT_TEXT(name, text)                                                              \
    case name:                                                                                     \
        return text;
        PLAN_VERDICTS(PLAN_VERDICT_TEXT)
#undef PLAN_VERDICT_TEXT
    }
    return "";
}

static bool plan_is_present(const struct plan_input *input, const char *label)
{
    for (size_t i = 0; i < input->present_count; i++)
        if (strcasecmp(input->present[i], label) == 0)
            return true;
    return false;
}

/* The newest entry for a label by anybody else, or by nodag; NULL: none. */
static const struct plan_label_event *plan_newest(const struct plan_input *input, const char *label,
                                                  bool own)
{
    for (size_t i = input->event_count; i > 0; i--) {
        const struct plan_label_event *event = &input->events[i - 1];
        if (event->is_own == own && strcasecmp(event->label, label) == 0)
            return event;
    }
    return NULL;
}

/* What others and nodag did last about a candidate. Entries are in one array, so pointers tell which was later. */
struct plan_past {
    const struct plan_label_event *other; /* newest by anybody else; NULL: none */
    const struct plan_label_event *own;   /* newest by nodag; NULL: none */
};

static struct plan_past plan_past_of(const struct plan_input *input,
                                     const struct plan_candidate *candidate)
{
    return (struct plan_past){.other = plan_newest(input, candidate->written, false),
                              .own = plan_newest(input, candidate->written, true)};
}

/* True if nodag put the label there and nobody else decided anything about it. */
static bool plan_is_own_doing(const struct plan_input *input, const char *label)
{
    const struct plan_label_event *own = plan_newest(input, label, true);
    return own != NULL && own->added && plan_newest(input, label, false) == NULL;
}

static bool plan_is_written_twice(const struct plan_input *input, size_t index)
{
    const struct plan_candidate *mine = &input->candidates[index];
    for (size_t i = 0; i < input->candidate_count; i++) {
        const struct plan_candidate *other = &input->candidates[i];
        if (i != index && other->predicted && strcasecmp(other->written, mine->written) == 0)
            return true;
    }
    return false;
}

/* Why a label may not be written at all; PLAN_ADD if it may. */
static enum plan_verdict plan_may_write(const struct plan_candidate *candidate)
{
    if (candidate->trigger)
        return PLAN_TRIGGER;
    if (!candidate->included)
        return PLAN_NOT_INCLUDED;
    if (!candidate->allowed)
        return PLAN_NOT_ALLOWED;
    return PLAN_ADD;
}

enum plan_verdict plan_why_not_predicted(const struct plan_candidate *candidate)
{
    if (!candidate->predictable)
        return PLAN_NOT_PREDICTABLE;
    return candidate->probability >= candidate->threshold ? PLAN_NOT_BEST : PLAN_BELOW;
}

static struct plan_decision plan_decide_present(const struct plan_input *input, size_t index)
{
    const struct plan_candidate *candidate = &input->candidates[index];
    struct plan_past past = plan_past_of(input, candidate);
    const char *actor = past.other != NULL ? past.other->actor : NULL;
    if (past.other != NULL && !past.other->added && past.own != NULL && past.own->added &&
        past.own > past.other)
        return (struct plan_decision){.verdict = PLAN_TAKE_BACK, .by = actor};
    if (candidate->predicted)
        return (struct plan_decision){.verdict = PLAN_KEEP};
    if (!plan_is_own_doing(input, candidate->written))
        return (struct plan_decision){.verdict = PLAN_ADDED_BY_PERSON, .by = actor};
    if (plan_may_write(candidate) != PLAN_ADD || plan_is_written_twice(input, index))
        return (struct plan_decision){.verdict = plan_why_not_predicted(candidate)};
    return (struct plan_decision){.verdict = input->held_back ? PLAN_HELD_BACK : PLAN_REMOVE};
}

/* Somebody's removal that stands against adding the label; NULL: none. Labels are also known by the model's own name: after a
 * renaming the timeline keeps the old one. */
static const struct plan_label_event *plan_removal(const struct plan_input *input,
                                                   const struct plan_candidate *candidate)
{
    struct plan_past past = plan_past_of(input, candidate);
    if (past.other != NULL && !past.other->added)
        return past.other;
    /* The newest entry says that it was added, and it is not there: it was deleted from the repository. */
    if (past.other != NULL && (past.own == NULL || past.other > past.own))
        return past.other;
    if (past.own != NULL && past.own->added && (past.other == NULL || past.own > past.other))
        return past.own;
    const struct plan_label_event *renamed = plan_newest(input, candidate->label, false);
    return renamed != NULL && !renamed->added ? renamed : NULL;
}

static struct plan_decision plan_decide_absent(const struct plan_input *input, size_t index)
{
    const struct plan_candidate *candidate = &input->candidates[index];
    struct plan_past past = plan_past_of(input, candidate);
    if (past.other != NULL && past.other->added && past.own != NULL && !past.own->added &&
        past.own > past.other && candidate->existing != NULL)
        return (struct plan_decision){.verdict = PLAN_GIVE_BACK, .by = past.other->actor};
    if (!candidate->predicted)
        return (struct plan_decision){.verdict = plan_why_not_predicted(candidate)};
    const struct plan_label_event *removal = plan_removal(input, candidate);
    if (removal != NULL)
        return (struct plan_decision){.verdict = PLAN_REMOVED_BY_PERSON,
                                      .by = removal->is_own ? NULL : removal->actor};
    enum plan_verdict verdict = plan_may_write(candidate);
    if (verdict == PLAN_ADD && candidate->existing == NULL)
        verdict = PLAN_NO_SUCH_LABEL;
    if (verdict == PLAN_ADD && input->held_back)
        verdict = PLAN_HELD_BACK;
    return (struct plan_decision){.verdict = verdict};
}

static void plan_append_unique(const char **list, size_t *count, const char *label)
{
    for (size_t i = 0; i < *count; i++)
        if (strcasecmp(list[i], label) == 0)
            return;
    list[(*count)++] = label;
}

static void plan_decide_comment(const struct plan_input *input, struct plan *plan,
                                bool something_to_say)
{
    if (!input->comment_wanted || input->held_back)
        return;
    if (input->own_comment_id != 0)
        plan->comment = PLAN_COMMENT_EDIT;
    else if (input->known_comment_id != 0)
        plan->comment_deleted = true;
    else if (something_to_say)
        plan->comment = PLAN_COMMENT_CREATE;
}

struct plan *plan_make(const struct plan_input *input)
{
    struct plan *plan = MEM_NEW(struct plan);
    plan->decision_count = input->candidate_count;
    plan->decisions = mem_alloc_array(input->candidate_count, sizeof(plan->decisions[0]));
    plan->add = mem_alloc_array(input->candidate_count, sizeof(plan->add[0]));
    plan->remove = mem_alloc_array(input->candidate_count, sizeof(plan->remove[0]));
    bool something_to_say = false;
    for (size_t i = 0; i < input->candidate_count; i++) {
        const struct plan_candidate *candidate = &input->candidates[i];
        plan->decisions[i] = plan_is_present(input, candidate->written)
                                 ? plan_decide_present(input, i)
                                 : plan_decide_absent(input, i);
        enum plan_verdict verdict = plan->decisions[i].verdict;
        if (verdict == PLAN_ADD || verdict == PLAN_GIVE_BACK)
            plan_append_unique(plan->add, &plan->add_count, candidate->existing);
        if (verdict == PLAN_REMOVE || verdict == PLAN_TAKE_BACK)
            plan_append_unique(plan->remove, &plan->remove_count, candidate->written);
        if (verdict == PLAN_ADD ||
            (verdict == PLAN_KEEP && plan_is_own_doing(input, candidate->written)))
            something_to_say = true;
    }
    plan_decide_comment(input, plan, something_to_say);
    return plan;
}

void plan_free(struct plan *plan)
{
    if (plan == NULL)
        return;
    mem_free(plan->decisions);
    mem_free(plan->add);
    mem_free(plan->remove);
    mem_free(plan);
}
