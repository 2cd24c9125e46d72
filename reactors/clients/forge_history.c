/*
 * Reading history: pages of a repository's issues, who labeled them, and what is left of the limit.
 * Sources: GitHub REST API, "List repository issues" (since, sort, direction), "… for timeline
 * events", "Rate limits for the REST API".
 *
 * Design: what forge_issues.c reads is for deciding about one issue now; this is for keeping all of
 * them, so everything that a record has is read, texts as they came, and actors with their type. One
 * call is one page: who reads tens of thousands of issues must be able to stop and go on.
 *
 * Invariant: nothing here asks who we are, so that public repositories can be read without an account.
 */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/clients/forge_call.h"

/* Largest page: of issues or of a timeline, whose comments are in it too. */
#define HISTORY_PAGE_MAX_BYTES ((size_t)32 << 20)

/* Most issues of a page, by GitHub's documentation. */
#define PAGE_SIZE_MAX 100

/* First size of an array of labelings. */
#define LABELINGS_FIRST_COUNT 16

/* Largest number of an issue, as in forge_issues.c. */
#define NUMBER_MAX ((int64_t)1 << 53)

/* ---- what both have ---- */

static struct forge_person read_person(const json_t *account)
{
    return (struct forge_person){.login = json_text_or(account, "login", NULL),
                                 .type = json_text_or(account, "type", NULL)};
}

/* Reads a time; -1 where it is absent or null. */
static int read_time(const json_t *object, const char *name, int64_t *ret_time_ms,
                     struct error *error)
{
    const char *text = json_text_or(object, name, NULL);
    *ret_time_ms = -1;
    if (text != NULL && time_from_text(text, strlen(text), ret_time_ms) != 0)
        return error_set(error, ERR_INPUT, "%s is not a time", name);
    return 0;
}

/* ---- a page of issues ---- */

/* What a page is read into; texts lie in its JSON. */
struct issues_answer {
    struct forge_listed_issue *issues; /* owned array */
    size_t count;
    json_t *body; /* owned */
};

static void free_issues_answer(void *argument)
{
    struct issues_answer *answer = argument;
    for (size_t i = 0; i < answer->count; i++)
        free((void *)answer->issues[i].labels);
    free(answer->issues);
    json_decref(answer->body);
    free(answer);
}

static int read_listed_labels(const json_t *entry, struct forge_listed_issue *issue,
                              struct error *error)
{
    const json_t *labels = json_object_get(entry, "labels");
    if (!json_is_array(labels))
        return error_set(error, ERR_INPUT, "labels is not an array");
    const char **names = mem_alloc_array(json_array_size(labels), sizeof(*names));
    issue->labels = names;
    for (; issue->label_count < json_array_size(labels); issue->label_count++) {
        const json_t *label = json_array_get(labels, issue->label_count);
        const char *name =
            json_is_string(label) ? json_string_value(label) : json_text_or(label, "name", NULL);
        if (name == NULL)
            return error_set(error, ERR_INPUT, "labels[%zu] has no name", issue->label_count);
        names[issue->label_count] = name;
    }
    return 0;
}

static int read_listed_times(const json_t *entry, struct forge_listed_issue *issue,
                             struct error *error)
{
    int code = read_time(entry, "created_at", &issue->created_ms, error);
    if (code == 0)
        code = read_time(entry, "updated_at", &issue->updated_ms, error);
    if (code == 0)
        code = read_time(entry, "closed_at", &issue->closed_ms, error);
    if (code == 0 && (issue->created_ms < 0 || issue->updated_ms < 0))
        code = error_set(error, ERR_INPUT, "created_at or updated_at is missing");
    return code;
}

static int read_listed_issue(const json_t *entry, struct forge_listed_issue *issue,
                             struct error *error)
{
    const json_t *title = json_object_get(entry, "title");
    const json_t *body = json_object_get(entry, "body");
    issue->number = json_int_or(entry, "number", 0);
    issue->title = json_string_value(title);
    issue->title_bytes = json_string_length(title);
    issue->body = json_string_value(body);
    issue->body_bytes = json_string_length(body);
    issue->state = json_text_or(entry, "state", NULL);
    issue->state_reason = json_text_or(entry, "state_reason", NULL);
    issue->author = read_person(json_object_get(entry, "user"));
    issue->is_pull_request = json_is_object(json_object_get(entry, "pull_request"));
    if (issue->number <= 0 || issue->number > NUMBER_MAX)
        return error_set(error, ERR_INPUT, "number is missing");
    if (issue->title == NULL || issue->state == NULL)
        return error_set(error, ERR_INPUT, "title or state is missing");
    int code = read_listed_times(entry, issue, error);
    return code == 0 ? read_listed_labels(entry, issue, error) : code;
}

static int read_issues(struct forge_call *call, int status, const json_t *body, struct error *error)
{
    (void)status;
    size_t count = json_array_size(body);
    if (!json_is_array(body) || count > PAGE_SIZE_MAX)
        return error_set(error, ERR_INPUT, "a page of issues is an array of at most %d",
                         PAGE_SIZE_MAX);
    struct issues_answer *answer = MEM_NEW(struct issues_answer);
    call->answer = answer;
    answer->body = json_incref((json_t *)body);
    answer->issues = mem_alloc_array(count, sizeof(*answer->issues));
    for (size_t i = 0; i < count; i++) {
        answer->count++;
        int code = read_listed_issue(json_array_get(body, i), &answer->issues[i], error);
        if (code != 0)
            return error_prefix(error, code, "issue %zu of the page", i + 1);
    }
    return 0;
}

static void deliver_issues(struct forge_call *call, const struct forge_result *result)
{
    const struct issues_answer *answer = call->answer;
    bool is_good = result->code == 0;
    call->done.issues(call->argument, result, is_good ? answer->issues : NULL,
                      is_good ? answer->count : 0);
}

static const struct forge_operation issues_operation = {
    .name = "list the issues of",
    .method = "GET",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_conditional = true,
    .answer_max_bytes = HISTORY_PAGE_MAX_BYTES,
    .read = read_issues,
    .deliver = deliver_issues,
    .release = free_issues_answer,
};

struct forge_call *forge_list_issues(struct forge *forge, const char *repository, int64_t since_ms,
                                     int page, int page_size, forge_issues_fn done, void *argument)
{
    struct forge_call *call = forge_call_new(forge, &issues_operation, repository, argument);
    char since[TIME_TEXT_BYTES];
    time_to_text(since_ms - since_ms % 1000, since);
    forge_call_ask(call,
                   "/issues?state=all&sort=updated&direction=asc&since=%s&per_page=%d&page=%d",
                   since, page_size, page);
    if (call->outcome.error.code == 0)
        forge_call_set_what(call, mem_copy_text(repository));
    call->done.issues = done;
    return forge_call_start(call);
}

/* ---- who labeled ---- */

/* What the pages are read into; its texts are owned. */
struct labelings_answer {
    struct forge_labeling *items; /* owned array */
    size_t count;
    size_t capacity;
};

static void free_labelings_answer(void *argument)
{
    struct labelings_answer *answer = argument;
    for (size_t i = 0; i < answer->count; i++) {
        free((char *)answer->items[i].label);
        free((char *)answer->items[i].actor.login);
        free((char *)answer->items[i].actor.type);
    }
    free(answer->items);
    free(answer);
}

static int read_labeling(struct labelings_answer *answer, const json_t *entry, struct error *error)
{
    const char *event = json_text_or(entry, "event", NULL);
    const char *label = json_text_or(json_object_get(entry, "label"), "name", NULL);
    int64_t time_ms = -1;
    if (event == NULL)
        return error_set(error, ERR_INPUT, "event is missing");
    bool is_added = strcmp(event, "labeled") == 0;
    /* Without a name: of a label that was deleted from the repository. */
    if ((!is_added && strcmp(event, "unlabeled") != 0) || label == NULL)
        return 0;
    int code = read_time(entry, "created_at", &time_ms, error);
    if (code != 0 || time_ms < 0)
        return code != 0 ? code : error_set(error, ERR_INPUT, "created_at is missing");
    if (answer->count == answer->capacity) {
        answer->capacity = answer->capacity == 0 ? LABELINGS_FIRST_COUNT : answer->capacity * 2;
        answer->items = mem_resize_array(answer->items, answer->capacity, sizeof(*answer->items));
    }
    struct forge_person actor = read_person(json_object_get(entry, "actor"));
    answer->items[answer->count++] = (struct forge_labeling){
        .is_added = is_added,
        .label = mem_copy_text(label),
        .time_ms = time_ms,
        .actor = {.login = mem_copy_text(actor.login), .type = mem_copy_text(actor.type)},
    };
    return 0;
}

static int read_labelings(struct forge_call *call, int status, const json_t *body,
                          struct error *error)
{
    (void)status;
    if (!json_is_array(body))
        return error_set(error, ERR_INPUT, "a timeline is an array");
    if (call->answer == NULL)
        call->answer = MEM_NEW(struct labelings_answer);
    for (size_t i = 0; i < json_array_size(body); i++) {
        int code = read_labeling(call->answer, json_array_get(body, i), error);
        if (code != 0)
            return error_prefix(error, code, "page %zu, entry %zu", call->page_count + 1, i);
    }
    return 0;
}

static void deliver_labelings(struct forge_call *call, const struct forge_result *result)
{
    const struct labelings_answer *answer = call->answer;
    bool is_good = result->code == 0;
    call->done.labelings(call->argument, result, is_good ? answer->items : NULL,
                         is_good ? answer->count : 0);
}

static const struct forge_operation labelings_operation = {
    .name = "read who labeled",
    .method = "GET",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_list = true,
    .answer_max_bytes = HISTORY_PAGE_MAX_BYTES,
    .read = read_labelings,
    .deliver = deliver_labelings,
    .release = free_labelings_answer,
};

struct forge_call *forge_list_labelings(struct forge *forge, const char *repository, int64_t number,
                                        forge_labelings_fn done, void *argument)
{
    struct forge_call *call = forge_call_new(forge, &labelings_operation, repository, argument);
    forge_call_ask(call, "/issues/%" PRId64 "/timeline?per_page=100", number);
    if (call->outcome.error.code == 0)
        forge_call_set_what(call, mem_format("%s#%" PRId64, repository, number));
    if (number <= 0 || number > NUMBER_MAX)
        (void)forge_call_fail(call, ERR_INPUT, "issues are numbered from 1");
    call->done.labelings = done;
    return forge_call_start(call);
}

/* ---- what is left ---- */

struct forge_quota forge_get_quota(struct forge *forge, const char *repository)
{
    struct forge_quota unknown = {.is_known = false};
    const struct forge_place *place =
        forge->mode == FORGE_MODE_APP ? forge_auth_place(forge, repository) : NULL;
    const struct forge_credential *credential =
        forge_auth_credential(forge, place != NULL ? place->installation_id : 0);
    int64_t now_ms = loop_now_ms(forge->loop);
    if (credential == NULL || !credential->limit.is_known || credential->limit.reset_ms <= now_ms)
        return unknown;
    return (struct forge_quota){
        .is_known = true,
        .limit = credential->limit.limit,
        .remaining = credential->limit.remaining,
        .reset_wait_ms = credential->limit.reset_ms - now_ms,
    };
}
