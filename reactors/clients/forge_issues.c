/*
 * Reading issues: the issue itself and its timeline.
 * Sources: GitHub REST API, "REST API endpoints for issues" (GET
 * /repos/{owner}/{repo}/issues/{issue_number}), "… for timeline events", "Issue event types".
 *
 * Strict about what nodag decides by (number, state, labels, who did what when), tolerant of all
 * the rest: unknown events and members are passed over, so that what GitHub adds does not stop the
 * labelling.
 *
 * A timeline's texts are copied page by page and its pages freed: of a page only labels and
 * comments are kept, and of comments the text only where nodag wrote them itself. So neither
 * strangers' long comments nor a marker that somebody else wrote can do anything.
 */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/clients/forge_call.h"

/* Largest page of a timeline: 100 comments of 65,536 characters of up to four bytes. */
#define TIMELINE_PAGE_MAX_BYTES ((size_t)32 << 20)

/* Most bytes of nodag's own comments that are kept of one timeline. */
#define TIMELINE_TEXT_MAX_BYTES ((size_t)16 << 20)

/* First size of the array of timeline entries: one page. */
#define TIMELINE_FIRST_COUNT 100

/* Largest number of an issue, so that it is one also in JSON readers that use doubles. */
#define NUMBER_MAX ((int64_t)1 << 53)

/* ---- an issue ---- */

/* What an answer is read into: the issue, its labels, and the JSON that their texts lie in. */
struct issue_answer {
    struct forge_issue issue; /* borrows from what follows */
    json_t *body;             /* owned */
    char *title;              /* owned; NULL: absent */
    char *text;               /* owned; of the issue's body */
    const char **labels;      /* owned array, borrowed texts */
};

static void free_issue_answer(void *argument)
{
    struct issue_answer *answer = argument;
    json_decref(answer->body);
    free(answer->title);
    free(answer->text);
    free(answer->labels);
    free(answer);
}

/*
 * Copies the text that a person wrote. It may hold U+0000, which JSON allows and C texts do not:
 * each becomes a space, so that nobody can hide what follows it, or make an issue unreadable. NULL
 * if it is no text. Owned.
 */
static char *copy_free_text(const json_t *value)
{
    if (!json_is_string(value))
        return NULL;
    size_t length = json_string_length(value);
    char *text = mem_copy_bytes(json_string_value(value), length);
    for (char *nul = memchr(text, '\0', length); nul != NULL;
         nul = memchr(nul, '\0', length - (size_t)(nul - text)))
        *nul = ' ';
    return text;
}

/* Returns OWNER/NAME out of an API URL …/repos/OWNER/NAME; NULL if it is none. Borrowed. */
static const char *find_repository(const char *url)
{
    static const char marker[] = "/repos/";
    const char *found = NULL;
    for (const char *place = strstr(url, marker); place != NULL; place = strstr(place + 1, marker))
        found = place + sizeof(marker) - 1;
    return found != NULL && forge_url_is_repository(found) ? found : NULL;
}

static int read_issue_labels(struct issue_answer *answer, struct error *error)
{
    const json_t *labels = json_object_get(answer->body, "labels");
    if (!json_is_array(labels))
        return error_set(error, ERR_INPUT, "labels is not an array");
    size_t count = json_array_size(labels);
    answer->labels = mem_alloc_array(count, sizeof(*answer->labels));
    for (size_t i = 0; i < count; i++) {
        const json_t *label = json_array_get(labels, i);
        const char *name =
            json_is_string(label) ? json_string_value(label) : json_text_or(label, "name", NULL);
        if (name == NULL)
            return error_set(error, ERR_INPUT, "labels[%zu] has no name", i);
        answer->labels[i] = name;
    }
    answer->issue.labels = answer->labels;
    answer->issue.label_count = count;
    return 0;
}

static int read_issue_fields(struct issue_answer *answer, struct error *error)
{
    const json_t *body = answer->body;
    struct forge_issue *issue = &answer->issue;
    const char *state = json_text_or(body, "state", NULL);
    const char *created_at = json_text_or(body, "created_at", NULL);
    const char *repository_url = json_text_or(body, "repository_url", NULL);
    issue->number = json_int_or(body, "number", 0);
    answer->title = copy_free_text(json_object_get(body, "title"));
    answer->text = copy_free_text(json_object_get(body, "body"));
    issue->title = answer->title;
    issue->body = answer->text != NULL ? answer->text : "";
    issue->is_locked = json_is_true(json_object_get(body, "locked"));
    issue->is_pull_request = json_is_object(json_object_get(body, "pull_request"));
    if (issue->number <= 0)
        return error_set(error, ERR_INPUT, "number is missing");
    if (issue->title == NULL)
        return error_set(error, ERR_INPUT, "title is missing");
    if (state == NULL)
        return error_set(error, ERR_INPUT, "state is missing");
    issue->is_open = strcmp(state, "open") == 0;
    if (created_at == NULL ||
        time_from_text(created_at, strlen(created_at), &issue->created_ms) != 0)
        return error_set(error, ERR_INPUT, "created_at is not a time");
    issue->repository = repository_url != NULL ? find_repository(repository_url) : NULL;
    if (issue->repository == NULL)
        return error_set(error, ERR_INPUT, "repository_url names no repository");
    return read_issue_labels(answer, error);
}

static int read_issue(struct forge_call *call, int status, const json_t *body, struct error *error)
{
    (void)status;
    if (!json_is_object(body))
        return error_set(error, ERR_INPUT, "an issue is an object");
    struct issue_answer *answer = MEM_NEW(struct issue_answer);
    answer->body = json_incref((json_t *)body);
    call->answer = answer;
    return read_issue_fields(answer, error);
}

static void deliver_issue(struct forge_call *call, const struct forge_result *result)
{
    const struct issue_answer *answer = call->answer;
    call->done.issue(call->argument, result, result->code == 0 ? &answer->issue : NULL);
}

static const struct forge_operation issue_operation = {
    .name = "read the issue",
    .method = "GET",
    .scope = FORGE_SCOPE_REPOSITORY,
    .read = read_issue,
    .deliver = deliver_issue,
    .release = free_issue_answer,
};

/* ---- a timeline ---- */

/* What the pages are read into. */
struct timeline_answer {
    struct forge_timeline_item *items; /* owned array; its texts are owned too */
    size_t count;
    size_t capacity;
    size_t text_bytes; /* of comments kept */
};

static void free_timeline_answer(void *argument)
{
    struct timeline_answer *answer = argument;
    for (size_t i = 0; i < answer->count; i++) {
        struct forge_timeline_item *item = &answer->items[i];
        free((char *)item->actor);
        free((char *)item->label);
        free((char *)item->body);
    }
    free(answer->items);
    free(answer);
}

/* Adds an entry; its texts are copied. */
static void add_item(struct timeline_answer *answer, const struct forge_timeline_item *item)
{
    if (answer->count == answer->capacity) {
        answer->capacity = answer->capacity == 0 ? TIMELINE_FIRST_COUNT : answer->capacity * 2;
        answer->items = mem_resize_array(answer->items, answer->capacity, sizeof(*answer->items));
    }
    struct forge_timeline_item *copy = &answer->items[answer->count++];
    *copy = *item;
    copy->actor = mem_copy_text(item->actor);
    copy->label = mem_copy_text(item->label);
    copy->body = item->kind == FORGE_TIMELINE_COMMENTED ? mem_copy_text(item->body) : NULL;
}

/* Which kind an event is; false for those that are passed over. */
static bool find_kind(const char *event, enum forge_timeline_kind *ret_kind)
{
    static const struct {
        const char *event;
        enum forge_timeline_kind kind;
    } kinds[] = {
        {"labeled", FORGE_TIMELINE_LABELED},
        {"unlabeled", FORGE_TIMELINE_UNLABELED},
        {"commented", FORGE_TIMELINE_COMMENTED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (strcmp(kinds[i].event, event) == 0) {
            *ret_kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

/* Who did it. A comment's author is its user: actor is the same, where it is there. */
static void read_actor(const struct forge_call *call, const json_t *entry,
                       struct forge_timeline_item *item)
{
    const json_t *actor = json_object_get(entry, "actor");
    if (item->kind == FORGE_TIMELINE_COMMENTED && json_is_object(json_object_get(entry, "user")))
        actor = json_object_get(entry, "user");
    item->actor = json_text_or(actor, "login", "");
    item->is_bot = strcmp(json_text_or(actor, "type", ""), "Bot") == 0;
    item->is_own = strcasecmp(item->actor, call->forge->login) == 0;
}

/* Reads what is particular about labels and about comments. */
static int read_item_content(struct timeline_answer *answer, const json_t *entry,
                             struct forge_timeline_item *item, struct error *error)
{
    if (item->kind != FORGE_TIMELINE_COMMENTED) {
        item->label = json_text_or(json_object_get(entry, "label"), "name", "");
        return 0;
    }
    item->comment_id = json_int_or(entry, "id", 0);
    if (item->comment_id <= 0)
        return error_set(error, ERR_INPUT, "id of a comment is missing");
    answer->text_bytes += strlen(item->body);
    if (answer->text_bytes > TIMELINE_TEXT_MAX_BYTES)
        return error_set(error, ERR_TOO_LARGE, "nodag's own comments have more than %zu bytes",
                         TIMELINE_TEXT_MAX_BYTES);
    return 0;
}

static int read_timeline_entry(struct forge_call *call, const json_t *entry, struct error *error)
{
    struct timeline_answer *answer = call->answer;
    struct forge_timeline_item item = {0};
    const char *event = json_text_or(entry, "event", NULL);
    if (event == NULL)
        return error_set(error, ERR_INPUT, "event is missing");
    if (!find_kind(event, &item.kind))
        return 0;
    if (item.kind != FORGE_TIMELINE_COMMENTED &&
        json_text_or(json_object_get(entry, "label"), "name", NULL) == NULL)
        return 0; /* of a label that was deleted from the repository: it says nothing about one that is there */
    const char *created_at = json_text_or(entry, "created_at", NULL);
    if (created_at == NULL || time_from_text(created_at, strlen(created_at), &item.time_ms) != 0)
        return error_set(error, ERR_INPUT, "created_at is not a time");
    read_actor(call, entry, &item);
    CLEANUP(mem_free) char *text = NULL;
    if (item.kind == FORGE_TIMELINE_COMMENTED && item.is_own)
        text = copy_free_text(json_object_get(entry, "body"));
    item.body = text != NULL ? text : "";
    int code = read_item_content(answer, entry, &item, error);
    if (code == 0)
        add_item(answer, &item);
    return code;
}

static int read_timeline(struct forge_call *call, int status, const json_t *body,
                         struct error *error)
{
    (void)status;
    if (!json_is_array(body))
        return error_set(error, ERR_INPUT, "a timeline is an array");
    if (call->answer == NULL)
        call->answer = MEM_NEW(struct timeline_answer);
    for (size_t i = 0; i < json_array_size(body); i++) {
        int code = read_timeline_entry(call, json_array_get(body, i), error);
        if (code != 0)
            return error_prefix(error, code, "page %zu, entry %zu", call->page_count + 1, i);
    }
    return 0;
}

static void deliver_timeline(struct forge_call *call, const struct forge_result *result)
{
    const struct timeline_answer *answer = call->answer;
    bool is_good = result->code == 0;
    call->done.timeline(call->argument, result, is_good ? answer->items : NULL,
                        is_good ? answer->count : 0);
}

static const struct forge_operation timeline_operation = {
    .name = "read the timeline of",
    .method = "GET",
    .scope = FORGE_SCOPE_REPOSITORY,
    .is_list = true,
    .needs_identity = true,
    .answer_max_bytes = TIMELINE_PAGE_MAX_BYTES,
    .read = read_timeline,
    .deliver = deliver_timeline,
    .release = free_timeline_answer,
};

/* ---- calls ---- */

/* Makes a call about one issue; `suffix` follows its path. */
static struct forge_call *new_issue_call(struct forge *forge,
                                         const struct forge_operation *operation,
                                         const char *repository, int64_t number, const char *suffix,
                                         void *argument)
{
    struct forge_call *call = forge_call_new(forge, operation, repository, argument);
    forge_call_ask(call, "/issues/%" PRId64 "%s", number, suffix);
    if (call->outcome.error.code == 0)
        forge_call_set_what(call, mem_format("%s#%" PRId64, repository, number));
    if (number <= 0 || number > NUMBER_MAX)
        (void)forge_call_fail(call, ERR_INPUT, "issues are numbered from 1");
    return call;
}

struct forge_call *forge_get_issue(struct forge *forge, const char *repository, int64_t number,
                                   forge_issue_fn done, void *argument)
{
    struct forge_call *call =
        new_issue_call(forge, &issue_operation, repository, number, "", argument);
    call->done.issue = done;
    return forge_call_start(call);
}

struct forge_call *forge_get_timeline(struct forge *forge, const char *repository, int64_t number,
                                      forge_timeline_fn done, void *argument)
{
    struct forge_call *call = new_issue_call(forge, &timeline_operation, repository, number,
                                             "/timeline?per_page=100", argument);
    call->done.timeline = done;
    return forge_call_start(call);
}
