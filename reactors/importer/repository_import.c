/*
 * Importing a repository: see repository_import.h.
 *
 *   REPOSITORY ──▶ LISTING ──▶ READING ──▶ SETTLING ──▶ LISTING … ──▶ RESTING ──▶ LISTING
 *                     ▲                       │  a publish failed        (--follow)
 *                     └───────────────────────┘                    └──▶ ENDED
 *
 * Everything goes through import_step: it starts what the state asks for, unless something is under way.
 */
#include "reactors/importer/repository_import.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/importer/publisher.h"
#include "reactors/importer/seen.h"
#include "topics/history_event.h"

/* What passes through `void *` starts with it. */
#define IMPORT_MAGIC 0x1a9047e0u

/* Issues of a page, and where such a page is too large for one answer. */
#define PAGE_SIZE 100
/* See above. */
#define PAGE_SIZE_SMALL 10

/* First and longest wait after a failure; doubled from one to the other. */
#define WAIT_LEAST_MS 1000
/* See above. */
#define WAIT_MOST_MS 60000

/* States. */
#define IMPORT_STATES(X)                                                                           \
    X(REPOSITORY, "asks for the repository")                                                       \
    X(LISTING, "asks for a page of issues")                                                        \
    X(READING, "asks for the timeline of each, and publishes")                                     \
    X(SETTLING, "waits until all of the page is acknowledged")                                     \
    X(RESTING, "at the end of the list, until the next poll")                                      \
    X(ENDED, "nothing more will happen")

/* See IMPORT_STATES. */
enum import_state {
#define IMPORT_STATE_ENUM(name, text) IMPORT_##name, /* see IMPORT_STATES */
    IMPORT_STATES(IMPORT_STATE_ENUM)
#undef IMPORT_STATE_ENUM
};

/* One issue of the page, as an event without its timeline. */
struct page_item {
    char *value; /* owned */
    size_t value_bytes;
    int64_t number;
    int64_t updated_ms;
    bool is_pull_request;
};

struct repository_import {
    unsigned magic;
    struct loop *loop;           /* borrowed */
    struct forge *forge;         /* borrowed */
    struct publisher *publisher; /* owned */
    struct repository_import_settings settings;
    struct repository_import_handler handler;
    void *argument; /* theirs */

    enum import_state state;
    bool is_stopping;
    struct loop_timer *timer; /* owned; set: it waits */
    struct forge_call *call;  /* borrowed; under way */
    int forge_tries;          /* failures of the forge in a row */
    int kafka_tries;          /* pages in a row that Kafka did not take whole */

    char *asked_for;  /* owned; settings.repository */
    char *repository; /* owned; as it is named now */
    int64_t owner_id;
    bool is_private;

    int64_t since_ms;        /* what the list is asked from */
    int page;                /* of it */
    int page_size;           /* issues of a page */
    size_t fresh_count;      /* new ones of the second since_ms, in this pass over its pages */
    struct page_item *items; /* owned; the page */
    size_t item_count;       /* of them */
    size_t item_next;        /* which is read */
    struct seen *seen;       /* owned; what was read at or after since_ms */
    size_t seen_before;      /* how many of them before this page */

    struct repository_import_progress progress;
};

static void import_step(void *argument);

/* ---- small things ---- */

static void import_set_state(struct repository_import *import, enum import_state state)
{
    assert(import->state != IMPORT_ENDED);
    import->state = state;
    import->progress.is_resting = state == IMPORT_RESTING;
}

static void import_tell_progress(struct repository_import *import)
{
    import->progress.published = publisher_count(import->publisher);
    import->progress.quota = forge_get_quota(
        import->forge, import->repository != NULL ? import->repository : import->asked_for);
    import->handler.progress(import->argument, &import->progress);
}

/* A line for people about one issue. */
static void import_notice(struct repository_import *import, int64_t number, const char *text)
{
    CLEANUP(mem_free)
    char *line = mem_format("%s#%" PRId64 ": %s", import->repository, number, text);
    import->handler.noticed(import->argument, line);
}

static void import_end(struct repository_import *import, int code, const struct error *error)
{
    import_set_state(import, IMPORT_ENDED);
    loop_timer_clear(import->timer);
    import->progress.wait_ms = 0;
    import_tell_progress(import);
    import->handler.ended(import->argument, code, error);
}

static void import_drop_page(struct repository_import *import)
{
    for (size_t i = 0; i < import->item_count; i++)
        mem_free(import->items[i].value);
    mem_free(import->items);
    import->items = NULL;
    import->item_count = 0;
    import->item_next = 0;
}

static void import_set_place(struct repository_import *import, int64_t place_ms)
{
    if (place_ms <= import->progress.place_ms)
        return;
    import->progress.place_ms = place_ms;
    import->handler.placed(import->argument, import->progress.repository_id, place_ms);
}

/* ---- waiting ---- */

static void import_wait(struct repository_import *import, int64_t wait_ms, const char *why)
{
    import->progress.wait_ms = wait_ms;
    (void)snprintf(import->progress.why, sizeof(import->progress.why), "%s", why);
    loop_timer_set(import->timer, wait_ms);
    import_tell_progress(import);
}

static void import_on_timer(void *argument)
{
    struct repository_import *import =
        CAST_CHECKED(struct repository_import, argument, IMPORT_MAGIC);
    import->progress.wait_ms = 0;
    if (import->state == IMPORT_RESTING)
        import_set_state(import, IMPORT_LISTING);
    import_step(import);
}

/* After a failure: tries the same again later, or gives up. */
static void import_fail_after(struct repository_import *import, int *tries, int code,
                              int64_t retry_after_ms, const struct error *error)
{
    bool is_limit = code == ERR_RATE_LIMITED;
    *tries += is_limit ? 0 : 1;
    bool has_tries = import->settings.follow || *tries <= REPOSITORY_IMPORT_TRIES_MAX;
    if (!err_is_retriable(code) || !has_tries) {
        import_end(import, code, error);
        return;
    }
    int64_t wait_ms = retry_after_ms;
    if (!is_limit) {
        wait_ms = WAIT_LEAST_MS;
        for (int i = 1; i < *tries && wait_ms < WAIT_MOST_MS; i++)
            wait_ms *= 2;
        wait_ms = wait_ms < WAIT_MOST_MS ? wait_ms : WAIT_MOST_MS;
        wait_ms += (int64_t)loop_random_below(import->loop, (uint64_t)wait_ms / 4);
    }
    import_wait(import, wait_ms, error->text);
}

/* The forge failed. */
static void import_fail(struct repository_import *import, int code, int64_t retry_after_ms,
                        const struct error *error)
{
    import_fail_after(import, &import->forge_tries, code, retry_after_ms, error);
}

/* Returns true if the share of the limit is used up; then it waits. */
static bool import_is_over_budget(struct repository_import *import)
{
    const char *name = import->repository != NULL ? import->repository : import->asked_for;
    struct forge_quota quota = forge_get_quota(import->forge, name);
    double left_for_others = (1.0 - import->settings.share) * (double)quota.limit;
    if (!quota.is_known || quota.limit == 0 || (double)quota.remaining > left_for_others)
        return false;
    char why[REPOSITORY_IMPORT_WHY_BYTES];
    (void)snprintf(why, sizeof(why),
                   "of the forge's %" PRId64 " requests an hour %" PRId64
                   " are left, and these are for others (--budget %.0f%%)",
                   quota.limit, quota.remaining, import->settings.share * 100);
    import_wait(import, quota.reset_wait_ms, why);
    return true;
}

/* ---- the repository ---- */

static void import_on_repository(void *argument, const struct forge_result *result,
                                 const struct forge_repository *repository)
{
    struct repository_import *import =
        CAST_CHECKED(struct repository_import, argument, IMPORT_MAGIC);
    import->call = NULL;
    if (result->code != 0) {
        import_fail(import, result->code, result->retry_after_ms, result->error);
        return;
    }
    import->forge_tries = 0;
    int64_t wanted_id = import->settings.repository_id;
    if (wanted_id != 0 && wanted_id != repository->id) {
        struct error error = {0};
        int code = error_set(&error, ERR_INPUT,
                             "%s is another repository now (id %" PRId64 ", it was %" PRId64
                             "): its import begins anew, with another --state",
                             repository->full_name, repository->id, wanted_id);
        import_end(import, code, &error);
        return;
    }
    import->repository = mem_copy_text(repository->full_name);
    import->owner_id = repository->owner_id;
    import->is_private = repository->is_private;
    import->progress.repository = import->repository;
    import->progress.repository_id = repository->id;
    import_set_state(import, IMPORT_LISTING);
    import_step(import);
}

/* ---- a page ---- */

static void import_keep_item(struct repository_import *import,
                             const struct forge_listed_issue *listed)
{
    struct history_issue issue = {
        .repository_id = import->progress.repository_id,
        .repository = import->repository,
        .owner_id = import->owner_id,
        .is_private = import->is_private,
        .number = listed->number,
        .title = {.data = listed->title, .bytes = listed->title_bytes},
        .body = {.data = listed->body, .bytes = listed->body_bytes},
        .state = listed->state,
        .state_reason = listed->state_reason,
        .created_ms = listed->created_ms,
        .updated_ms = listed->updated_ms,
        .closed_ms = listed->closed_ms,
        .author = {.login = listed->author.login, .type = listed->author.type},
        .labels = (const char **)listed->labels,
        .label_count = listed->label_count,
        .is_pull_request = listed->is_pull_request,
    };
    struct page_item *item = &import->items[import->item_count++];
    item->value = history_issue_write(&issue, &item->value_bytes);
    item->number = listed->number;
    item->updated_ms = listed->updated_ms;
    item->is_pull_request = listed->is_pull_request;
}

static void import_on_issues(void *argument, const struct forge_result *result,
                             const struct forge_listed_issue *issues, size_t count)
{
    struct repository_import *import =
        CAST_CHECKED(struct repository_import, argument, IMPORT_MAGIC);
    import->call = NULL;
    if (result->code == ERR_TOO_LARGE && import->page_size > PAGE_SIZE_SMALL) {
        import->page_size = PAGE_SIZE_SMALL;
        import->page = 1;
        import_step(import);
        return;
    }
    if (result->code != 0) {
        import_fail(import, result->code, result->retry_after_ms, result->error);
        return;
    }
    import->forge_tries = 0;
    import_drop_page(import);
    import->items = mem_alloc_array(count, sizeof(*import->items));
    for (size_t i = 0; i < count; i++)
        import_keep_item(import, &issues[i]);
    import->seen_before = seen_count(import->seen);
    if (import->progress.first_ms < 0 && count > 0)
        import->progress.first_ms = issues[0].updated_ms;
    import_set_state(import, IMPORT_READING);
    import_step(import);
}

/* ---- an issue ---- */

/* The issue at hand is done with. */
static void import_next_item(struct repository_import *import)
{
    const struct page_item *item = &import->items[import->item_next++];
    if (item->updated_ms == import->since_ms)
        import->fresh_count++;
    import->progress.read_ms = item->updated_ms;
    seen_add(import->seen, item->number, item->updated_ms, item->value, item->value_bytes);
}

/* Publishes the issue at hand with its timeline. Returns a failure that may pass; what cannot be an event is skipped. */
static int import_publish(struct repository_import *import, const struct forge_labeling *labelings,
                          size_t count, bool has_timeline, struct error *error)
{
    const struct page_item *item = &import->items[import->item_next];
    CLEANUP(history_issue_release) struct history_issue issue = {.memory = NULL};
    int code = history_issue_read(item->value, item->value_bytes, &issue, error);
    if (code == 0) {
        issue.has_timeline = has_timeline;
        issue.timeline = mem_alloc_array(count, sizeof(*issue.timeline));
        for (; issue.timeline_count < count; issue.timeline_count++) {
            const struct forge_labeling *line = &labelings[issue.timeline_count];
            issue.timeline[issue.timeline_count] = (struct history_action){
                .is_added = line->is_added,
                .label = line->label,
                .time_ms = line->time_ms,
                .actor = {.login = line->actor.login, .type = line->actor.type},
            };
        }
        code = publisher_send(import->publisher, &issue, error);
    }
    if (code != ERR_INPUT && code != ERR_TOO_LARGE)
        return code;
    import->progress.skipped++;
    import_notice(import, item->number, error->text);
    return 0;
}

static void import_on_labelings(void *argument, const struct forge_result *result,
                                const struct forge_labeling *labelings, size_t count)
{
    struct repository_import *import =
        CAST_CHECKED(struct repository_import, argument, IMPORT_MAGIC);
    import->call = NULL;
    struct error error = {0};
    int code = result->code;
    int64_t number = import->items[import->item_next].number;
    switch (code) {
    case 0:
        code = import_publish(import, labelings, count, true, &error);
        break;
    case ERR_TOO_LARGE:
        import->progress.unknown_hands++;
        import_notice(import, number, "its timeline is too long: who labeled it stays unknown");
        code = import_publish(import, NULL, 0, false, &error);
        break;
    case ERR_NOT_FOUND:
        import->progress.gone++;
        import_notice(import, number, "it was deleted or transferred while it was read");
        code = 0;
        break;
    case ERR_INPUT:
        import->progress.skipped++;
        import_notice(import, number, result->error->text);
        code = 0;
        break;
    default:
        error = *result->error;
        break;
    }
    if (code != 0) {
        import_fail(import, code, result->retry_after_ms, &error);
        return;
    }
    import->forge_tries = 0;
    import_next_item(import);
    import_tell_progress(import);
    import_step(import);
}

/* Passes over what needs no timeline; true if there is an issue to be read. */
static bool import_find_item(struct repository_import *import)
{
    for (; import->item_next < import->item_count;) {
        const struct page_item *item = &import->items[import->item_next];
        if (seen_has(import->seen, item->number, item->updated_ms, item->value,
                     item->value_bytes)) {
            import->item_next++;
        } else if (item->is_pull_request) {
            import->progress.pull_requests++;
            import_next_item(import);
        } else {
            return true;
        }
    }
    return false;
}

/* ---- after a page ---- */

/* Goes on from `since_ms`: what was seen before that second need not be known any more. */
static void import_go_on_from(struct repository_import *import, int64_t since_ms)
{
    import->since_ms = since_ms > import->since_ms ? since_ms : import->since_ms;
    import->page = 1;
    import->page_size = PAGE_SIZE;
    import->fresh_count = 0;
    seen_forget_before(import->seen, import->since_ms);
}

/* All of the page is acknowledged: what next? */
static void import_finish_page(struct repository_import *import)
{
    bool is_last = import->item_count < (size_t)import->page_size;
    int64_t last_ms =
        import->item_count > 0 ? import->items[import->item_count - 1].updated_ms : -1;
    bool leaves_second = is_last || last_ms > import->since_ms;
    import_drop_page(import);
    if (!leaves_second) {
        import->page++;
        import_set_state(import, IMPORT_LISTING);
    } else if (import->page > 1 && import->fresh_count > 0) {
        /* By number something may have slipped to a page that was read before: once more. */
        import->page = 1;
        import->fresh_count = 0;
        import_set_state(import, IMPORT_LISTING);
    } else {
        import_go_on_from(import, last_ms);
        import_set_place(import, import->since_ms);
        import_set_state(import, is_last ? IMPORT_RESTING : IMPORT_LISTING);
    }
    if (import->state != IMPORT_RESTING)
        import_step(import);
    else if (import->settings.follow)
        import_wait(import, import->settings.interval_ms, "until the next poll");
    else
        import_end(import, 0, NULL);
}

static void import_finish_stop(struct repository_import *import, int failure)
{
    struct error error = {0};
    if (failure == 0 && import->item_next > 0)
        import_set_place(import, import->items[import->item_next - 1].updated_ms);
    import_end(import, error_set(&error, ERR_CANCELLED, "stopped"), &error);
}

static void import_settle(struct repository_import *import)
{
    if (publisher_in_flight(import->publisher) > 0)
        return;
    struct error error = {0};
    int failure = publisher_take_failure(import->publisher);
    if (import->is_stopping) {
        import_finish_stop(import, failure);
    } else if (failure != 0) {
        /* The page is read again: what is on the topic already is the same event once more. */
        seen_cut(import->seen, import->seen_before);
        import_drop_page(import);
        import_set_state(import, IMPORT_LISTING);
        (void)error_set(&error, failure, "Kafka did not take an event: %s", err_text(failure));
        import_fail_after(import, &import->kafka_tries, failure, 0, &error);
    } else {
        import->kafka_tries = 0;
        import_finish_page(import);
    }
}

/* ---- the machine ---- */

static void import_ask(struct repository_import *import)
{
    if (import_is_over_budget(import))
        return;
    if (import->state == IMPORT_REPOSITORY)
        import->call =
            forge_get_repository(import->forge, import->asked_for, import_on_repository, import);
    else if (import->state == IMPORT_LISTING)
        import->call = forge_list_issues(import->forge, import->repository, import->since_ms,
                                         import->page, import->page_size, import_on_issues, import);
    else
        import->call = forge_list_labelings(import->forge, import->repository,
                                            import->items[import->item_next].number,
                                            import_on_labelings, import);
}

static void import_step(void *argument)
{
    struct repository_import *import =
        CAST_CHECKED(struct repository_import, argument, IMPORT_MAGIC);
    if (import->call != NULL || loop_timer_is_set(import->timer) || import->state == IMPORT_ENDED)
        return;
    if (import->state == IMPORT_READING && !import_find_item(import))
        import_set_state(import, IMPORT_SETTLING);
    if (import->state == IMPORT_SETTLING || import->is_stopping)
        import_settle(import);
    else
        import_ask(import);
}

static void import_on_acknowledged(void *argument)
{
    struct repository_import *import =
        CAST_CHECKED(struct repository_import, argument, IMPORT_MAGIC);
    import_tell_progress(import);
    if (import->state == IMPORT_SETTLING)
        import_step(import);
}

/* ---- life ---- */

struct repository_import *repository_import_new(struct loop *loop, struct forge *forge,
                                                struct bus *bus, const char *source,
                                                const struct repository_import_settings *settings,
                                                const struct repository_import_handler *handler,
                                                void *argument)
{
    struct repository_import *import = MEM_NEW(struct repository_import);
    import->magic = IMPORT_MAGIC;
    import->loop = loop;
    import->forge = forge;
    import->publisher = publisher_new(bus, source, import_on_acknowledged, import);
    import->settings = *settings;
    import->settings.repository = NULL;
    import->asked_for = mem_copy_text(settings->repository);
    import->handler = *handler;
    import->argument = argument;
    import->state = IMPORT_REPOSITORY;
    import->timer = loop_timer_new(loop, import_on_timer, import);
    import->since_ms = settings->since_ms;
    import->page = 1;
    import->page_size = PAGE_SIZE;
    import->seen = seen_new();
    import->progress = (struct repository_import_progress){
        .first_ms = -1, .read_ms = -1, .place_ms = settings->since_ms};
    loop_defer(loop, import_step, import);
    return import;
}

void repository_import_free(struct repository_import *import)
{
    if (import == NULL)
        return;
    loop_cancel_deferred(import->loop, import);
    loop_timer_free(import->timer);
    if (import->call != NULL)
        forge_cancel(import->forge, import->call);
    import_drop_page(import);
    publisher_free(import->publisher);
    seen_free(import->seen);
    mem_free(import->asked_for);
    mem_free(import->repository);
    import->magic = 0;
    mem_free(import);
}

void repository_import_stop(struct repository_import *import)
{
    if (import->is_stopping || import->state == IMPORT_ENDED)
        return;
    import->is_stopping = true;
    if (import->call != NULL)
        forge_cancel(import->forge, import->call);
    import->call = NULL;
    loop_timer_clear(import->timer);
    import_set_state(import, IMPORT_SETTLING);
    loop_defer(import->loop, import_step, import);
}

const struct repository_import_progress *
repository_import_progress(const struct repository_import *import)
{
    return &import->progress;
}
