/*
 * The trainer's plan: see plan.h.
 *
 * Invariant: this file reads nothing but its arguments.
 */
#include "reactors/trainer/plan.h"

#include <stdio.h>
#include <string.h>

/* Room for one part of what a cause is made of. */
#define CAUSE_PART_BYTES 32

static const struct {
    const char *id;
    const char *text;
} reasons[] = {
#define PLAN_REASON_ROW(name, id, text) {id, text}, /* see PLAN_REASONS */
    PLAN_REASONS(PLAN_REASON_ROW)
#undef PLAN_REASON_ROW
};

/* How many reasons there are. */
#define REASON_COUNT (sizeof(reasons) / sizeof(reasons[0]))

const char *plan_reason_id(enum plan_reason reason)
{
    return reasons[reason].id;
}

/* ---- runs that are over, or not wanted ---- */

static void plan_finish(struct plan *plan, size_t run, enum run_state state, const char *reason)
{
    plan->action = PLAN_FINISH;
    plan->run = run;
    plan->state = state;
    (void)snprintf(plan->reason, sizeof(plan->reason), "%s", reason != NULL ? reason : "");
}

static bool is_overdue_elsewhere(const struct plan_run *run, int64_t now_ms)
{
    return run->sight == RUN_SIGHT_ELSEWHERE &&
           now_ms - run->started_ms > run->deadline_ms + PLAN_ELSEWHERE_GRACE_MS;
}

/* Records what the world says of runs that are over. */
static bool plan_over(const struct plan_facts *facts, struct plan *plan)
{
    for (size_t i = 0; i < facts->run_count; i++) {
        const struct plan_run *run = &facts->runs[i];
        if (run_state_is_terminal(run->state))
            continue;
        if (run->sight == RUN_SIGHT_FINISHED) {
            plan_finish(plan, i, run->result, run->result_reason);
            return true;
        }
        if (run->sight == RUN_SIGHT_GONE ||
            (run->sight == RUN_SIGHT_ABSENT && run->state == RUN_RUNNING)) {
            plan_finish(plan, i, RUN_LOST, "its supervisor is gone and left no result");
            return true;
        }
        if (is_overdue_elsewhere(run, facts->now_ms)) {
            plan_finish(plan, i, RUN_LOST, "it runs on another host, and its deadline has passed");
            return true;
        }
    }
    return false;
}

static void plan_wait(struct plan *plan, int64_t next_ms)
{
    plan->action = PLAN_WAIT;
    plan->next_ms = next_ms;
}

/* Ends a run that is not wanted: one that was never started is over at once. */
static void plan_unwanted(const struct plan_run *run, size_t i, const char *reason,
                          struct plan *plan)
{
    if (run->sight == RUN_SIGHT_ABSENT) {
        plan_finish(plan, i, RUN_CANCELLED, reason);
        return;
    }
    plan_wait(plan, INT64_MAX);
    if (run->cancelling)
        return;
    plan->action = PLAN_CANCEL;
    plan->run = i;
    (void)snprintf(plan->reason, sizeof(plan->reason), "%s", reason);
}

/* The run that goes on where, against all rules, there are several: the one recorded as started first. */
static bool goes_before(const struct plan_run *left, const struct plan_run *right)
{
    if (left->started_ms != right->started_ms)
        return left->started_ms != 0 &&
               (right->started_ms == 0 || left->started_ms < right->started_ms);
    return strcmp(left->name, right->name) < 0;
}

/* What is to be done about runs under way; false: there is none. */
static bool plan_under_way(const struct plan_wish *wish, const struct plan_facts *facts,
                           struct plan *plan)
{
    const struct plan_run *first = NULL;
    for (size_t i = 0; i < facts->run_count; i++) {
        const struct plan_run *run = &facts->runs[i];
        if (!run_state_is_terminal(run->state) && (first == NULL || goes_before(run, first)))
            first = run;
    }
    if (first == NULL)
        return false;
    for (size_t i = 0; i < facts->run_count; i++) {
        const struct plan_run *run = &facts->runs[i];
        const char *reason = !wish->present  ? "its Model document was deleted"
                             : wish->suspend ? "its Model document says suspend"
                             : run != first  ? "another run of this model is under way"
                                             : NULL;
        if (run_state_is_terminal(run->state) || reason == NULL)
            continue;
        plan_unwanted(run, i, reason, plan);
        if (plan->action != PLAN_WAIT)
            return true;
    }
    plan_wait(plan, first->sight == RUN_SIGHT_ELSEWHERE
                        ? first->started_ms + first->deadline_ms + PLAN_ELSEWHERE_GRACE_MS + 1
                        : INT64_MAX);
    if (first->state == RUN_PENDING && first->sight == RUN_SIGHT_RUNNING) {
        plan->action = PLAN_MARK;
        plan->run = (size_t)(first - facts->runs);
    }
    if (wish->present && !wish->suspend && first->sight == RUN_SIGHT_ABSENT) {
        plan->action = PLAN_LAUNCH;
        plan->run = (size_t)(first - facts->runs);
    }
    return true;
}

/* ---- freshness ---- */

/* Age of the model; a clock that was moved back makes it young, not ancient. */
static int64_t model_age_ms(const struct plan_facts *facts)
{
    return facts->now_ms > facts->model_ms ? facts->now_ms - facts->model_ms : 0;
}

/* A model that is dated farther ahead than it may get old has an age that nobody knows: too old. */
static bool is_too_old(const struct plan_wish *wish, const struct plan_facts *facts)
{
    return model_age_ms(facts) >= wish->max_age_ms ||
           facts->model_ms - facts->now_ms > wish->max_age_ms;
}

unsigned plan_stale(const struct plan_wish *wish, const struct plan_facts *facts)
{
    if (!facts->has_model)
        return 1u << PLAN_NO_MODEL;
    unsigned found = 0;
    if (wish->max_age_ms > 0 && is_too_old(wish, facts))
        found |= 1u << PLAN_MAX_AGE;
    if (wish->new_labels > 0 && facts->labels_known && facts->labels >= wish->new_labels)
        found |= 1u << PLAN_NEW_LABELS;
    if (wish->on_push && facts->head_known && facts->paths_differ)
        found |= 1u << PLAN_ON_PUSH;
    if (wish->needs_sync && facts->sync_known && facts->sync)
        found |= 1u << PLAN_NEEDS_SYNC;
    return found;
}

/* When a fresh model will be stale without any event. */
static int64_t stale_at_ms(const struct plan_wish *wish, const struct plan_facts *facts)
{
    if (wish->max_age_ms == 0)
        return INT64_MAX;
    return facts->now_ms + wish->max_age_ms - model_age_ms(facts);
}

/* ---- causes and budget ---- */

static void digest_part(struct digest *digest, const char *text)
{
    digest_update(digest, text != NULL ? text : "", (text != NULL ? strlen(text) : 0) + 1);
}

/* Names what made the model stale. */
static void make_cause(const struct plan_wish *wish, const struct plan_facts *facts, unsigned found,
                       char ret_cause[PLAN_CAUSE_DIGITS + 1])
{
    uint8_t bytes[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES];
    char part[CAUSE_PART_BYTES];
    uint64_t step = wish->new_labels > 0 ? wish->new_labels : 1;
    CLEANUP(digest_free) struct digest *digest = digest_new();
    digest_part(digest, wish->name);
    digest_part(digest, wish->spec_sha);
    digest_part(digest, facts->head);
    digest_part(digest, facts->model);
    (void)snprintf(part, sizeof(part), "%x", found);
    digest_part(digest, part);
    (void)snprintf(part, sizeof(part), "%llu",
                   (unsigned long long)(facts->labels_known ? facts->labels / step : 0));
    digest_part(digest, part);
    digest_part(digest, facts->sync_known && facts->sync ? facts->sync_parameters : NULL);
    digest_finish(digest, bytes);
    digest_to_text(bytes, text);
    (void)snprintf(ret_cause, PLAN_CAUSE_DIGITS + 1, "%.*s", PLAN_CAUSE_DIGITS, text);
}

/* What past runs say about trying again. */
struct past {
    uint32_t attempt;      /* highest of this cause; 0: none */
    uint32_t tried;        /* runs of this cause that ended and did not take it away */
    uint32_t failures;     /* of any cause since the last success */
    int64_t last_ended_ms; /* of these, but for those that a clock dated ahead; 0: none */
};

static struct past look_back(const struct plan_facts *facts, const char *cause)
{
    struct past past = {0};
    int64_t succeeded_ms = INT64_MIN;
    for (size_t i = 0; i < facts->run_count; i++)
        if (facts->runs[i].state == RUN_SUCCEEDED && facts->runs[i].ended_ms > succeeded_ms)
            succeeded_ms = facts->runs[i].ended_ms;
    for (size_t i = 0; i < facts->run_count; i++) {
        const struct plan_run *run = &facts->runs[i];
        bool same = strcmp(run->cause, cause) == 0;
        bool failed = run->state == RUN_FAILED || run->state == RUN_LOST;
        if (same && run->attempt > past.attempt)
            past.attempt = run->attempt;
        past.tried += same && (failed || run->state == RUN_SUCCEEDED); /* and it is still stale */
        if (!failed || run->ended_ms <= succeeded_ms)
            continue;
        past.failures++;
        if (run->ended_ms > past.last_ended_ms &&
            run->ended_ms <= facts->now_ms + PLAN_CLOCK_STEP_MS)
            past.last_ended_ms = run->ended_ms;
    }
    return past;
}

static int64_t backoff_ms(const struct plan_facts *facts, uint32_t failures)
{
    int64_t wait_ms = facts->backoff_ms > 0 ? facts->backoff_ms : PLAN_BACKOFF_FIRST_MS;
    for (uint32_t i = 1; i < failures && wait_ms < PLAN_BACKOFF_MOST_MS; i++)
        wait_ms *= 2;
    return wait_ms < PLAN_BACKOFF_MOST_MS ? wait_ms : PLAN_BACKOFF_MOST_MS;
}

/* When the next attempt may begin. */
static int64_t may_begin_ms(const struct plan_facts *facts, const struct past *past)
{
    if (past->failures == 0)
        return facts->now_ms;
    return past->last_ended_ms + backoff_ms(facts, past->failures);
}

void plan_describe(unsigned reasons_found, char ret_text[PLAN_REASON_BYTES])
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < REASON_COUNT && used < PLAN_REASON_BYTES; i++) {
        if ((reasons_found & (1u << i)) == 0)
            continue;
        int written = snprintf(ret_text + used, PLAN_REASON_BYTES - used, "%s%s",
                               used > 0 ? "; " : "", reasons[i].text);
        used += (size_t)written;
    }
}

/* Starts a run for what was found, if the budget allows. */
static void plan_train(const struct plan_wish *wish, const struct plan_facts *facts, unsigned found,
                       struct plan *plan)
{
    make_cause(wish, facts, found, plan->cause);
    struct past past = look_back(facts, plan->cause);
    if (past.tried >= PLAN_ATTEMPTS_MAX) {
        plan->action = PLAN_STALL;
        (void)snprintf(plan->reason, sizeof(plan->reason),
                       "%u attempts have failed; the next one begins when the document, its code "
                       "or the data change",
                       past.tried);
        return;
    }
    int64_t begin_ms = may_begin_ms(facts, &past);
    if (begin_ms > facts->now_ms) {
        plan_wait(plan, begin_ms);
        (void)snprintf(plan->reason, sizeof(plan->reason),
                       "%u run%s failed since the last success; the next attempt waits",
                       past.failures, past.failures == 1 ? "" : "s");
        return;
    }
    plan->action = PLAN_START;
    plan->attempt = past.attempt + 1;
    (void)snprintf(plan->name, sizeof(plan->name), "%.80s-%s-%u", wish->name, plan->cause,
                   plan->attempt);
    plan->reasons = found;
    plan_describe(found, plan->reason);
}

void plan_make(const struct plan_wish *wish, const struct plan_facts *facts, struct plan *ret_plan)
{
    *ret_plan = (struct plan){.action = PLAN_WAIT, .next_ms = INT64_MAX};
    if (plan_over(facts, ret_plan) || plan_under_way(wish, facts, ret_plan))
        return;
    if (!wish->present || wish->suspend)
        return;
    unsigned found = plan_stale(wish, facts);
    if (found == 0)
        plan_wait(ret_plan, stale_at_ms(wish, facts));
    else if (facts->head_known)
        plan_train(wish, facts, found, ret_plan);
    /* Without a head there is nothing to train with: the push that makes it known wakes us. */
}
