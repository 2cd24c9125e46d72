/*
 * A webhook payload → the members that the historian needs: see payload.h.
 */
#include "reactors/historian/payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "base/memory.h"
#include "base/time_text.h"

/* Deepest nesting that is followed; what lies deeper is passed over. */
#define PAYLOAD_FOLLOW_MAX 16

/* Digits of the longest whole number, its sign and a NUL. */
#define PAYLOAD_NUMBER_BYTES 24

/* Entries of a list's first allocation. */
#define PAYLOAD_FIRST_ENTRIES 8

/* yajl's callbacks return this to go on, or to be cancelled. */
enum { PAYLOAD_CANCEL = 0, PAYLOAD_GO_ON = 1 };

/* What is made of a member. */
enum payload_kind {
    KIND_NUMBER,  /* int64_t */
    KIND_NAME,    /* char * */
    KIND_TEXT,    /* struct issue_text */
    KIND_TIME,    /* int64_t, ms since 1970 */
    KIND_TRUTH,   /* bool */
    KIND_PRESENT, /* bool: there is anything but null */
    KIND_LABELS,  /* appended to a payload_issue's labels; the offset is that of the issue */
    KIND_IDS,     /* appended to the payload's repositories */
};

/* One path. */
struct payload_row {
    const char *path;       /* from the top; [] stands for each entry of a list */
    enum payload_kind kind; /* what is made of it */
    size_t offset;          /* of the member in struct payload */
};

/* Rows of an issue object; sorted by path within the prefix. */
#define ISSUE_ROWS(prefix, member)                                                                 \
    {prefix ".closed_at", KIND_TIME, offsetof(struct payload, member.closed_ms)},                  \
        {prefix ".created_at", KIND_TIME, offsetof(struct payload, member.created_ms)},            \
        {prefix ".body", KIND_TEXT, offsetof(struct payload, member.body)},                        \
        {prefix ".labels[].name", KIND_LABELS, offsetof(struct payload, member)},                  \
        {prefix ".number", KIND_NUMBER, offsetof(struct payload, member.number)},                  \
        {prefix ".pull_request", KIND_PRESENT, offsetof(struct payload, member.is_pull_request)},  \
        {prefix ".state", KIND_NAME, offsetof(struct payload, member.state)},                      \
        {prefix ".state_reason", KIND_NAME, offsetof(struct payload, member.state_reason)},        \
        {prefix ".title", KIND_TEXT, offsetof(struct payload, member.title)},                      \
        {prefix ".updated_at", KIND_TIME, offsetof(struct payload, member.updated_ms)},            \
        {prefix ".user.login", KIND_NAME, offsetof(struct payload, member.author_login)},          \
    {                                                                                              \
        prefix ".user.type", KIND_NAME, offsetof(struct payload, member.author_type)               \
    }

/* Rows of a repository object. */
#define REPOSITORY_ROWS(prefix, member)                                                            \
    {prefix ".full_name", KIND_NAME, offsetof(struct payload, member.name)},                       \
        {prefix ".id", KIND_NUMBER, offsetof(struct payload, member.id)},                          \
        {prefix ".owner.id", KIND_NUMBER, offsetof(struct payload, member.owner_id)},              \
    {                                                                                              \
        prefix ".private", KIND_TRUTH, offsetof(struct payload, member.is_private)                 \
    }

/* The paths: those that begin alike stand together, so that a range stands for a place. */
static const struct payload_row payload_rows[] = {
    ISSUE_ROWS("changes.new_issue", new_issue),
    REPOSITORY_ROWS("changes.new_repository", new_repository),
    {"installation.account.id", KIND_NUMBER, offsetof(struct payload, account_id)},
    ISSUE_ROWS("issue", issue),
    {"label.name", KIND_NAME, offsetof(struct payload, label)},
    {"repositories[].id", KIND_IDS, 0},
    {"repositories_removed[].id", KIND_IDS, 0},
    REPOSITORY_ROWS("repository", repository),
    {"sender.login", KIND_NAME, offsetof(struct payload, sender_login)},
    {"sender.type", KIND_NAME, offsetof(struct payload, sender_type)},
};

/* A place in the payload: the rows whose paths begin with it. */
struct payload_place {
    size_t first;  /* row */
    size_t last;   /* row after the last; first == last: nobody wants what is there */
    size_t length; /* bytes of the paths that were walked */
    bool is_list;  /* its values are entries of a list */
};

/* A reading. */
struct payload_state {
    struct payload *payload;                         /* so far */
    struct payload_place places[PAYLOAD_FOLLOW_MAX]; /* open objects and lists */
    size_t depth;                                    /* of them, also beyond those followed */
    struct payload_place value;                      /* where the next value belongs */
    struct error *error;                             /* why it was cancelled */
    bool refused;                                    /* it was */
};

/* ---- places ---- */

/* Rows of a place whose paths go on with `text`. */
static struct payload_place place_narrow(const struct payload_place *place, const char *text,
                                         size_t text_bytes)
{
    struct payload_place narrow = {.first = place->first, .length = place->length + text_bytes};
    for (; narrow.first < place->last; narrow.first++)
        if (strncmp(payload_rows[narrow.first].path + place->length, text, text_bytes) == 0)
            break;
    for (narrow.last = narrow.first; narrow.last < place->last; narrow.last++)
        if (strncmp(payload_rows[narrow.last].path + place->length, text, text_bytes) != 0)
            break;
    return narrow;
}

/* Rows of a key; one that only begins with it is another key. */
static struct payload_place place_of_key(const struct payload_place *place, const char *key,
                                         size_t key_bytes)
{
    struct payload_place narrow = place_narrow(place, key, key_bytes);
    while (narrow.first < narrow.last) {
        char after = payload_rows[narrow.first].path[narrow.length];
        if (after == '\0' || after == '.' || after == '[')
            break;
        narrow.first++;
    }
    size_t last = narrow.first;
    while (last < narrow.last) {
        char after = payload_rows[last].path[narrow.length];
        if (after != '\0' && after != '.' && after != '[')
            break;
        last++;
    }
    narrow.last = last;
    return narrow;
}

/* The row that ends at a place; NULL. */
static const struct payload_row *place_leaf(const struct payload_place *place)
{
    if (place->first == place->last || payload_rows[place->first].path[place->length] != '\0')
        return NULL;
    return &payload_rows[place->first];
}

/* Where the value that comes now belongs; the next one of an object has to be named first. */
static struct payload_place state_take_value(struct payload_state *state)
{
    struct payload_place value = state->value;
    bool is_entry = state->depth > 0 && state->depth <= PAYLOAD_FOLLOW_MAX &&
                    state->places[state->depth - 1].is_list;
    if (!is_entry)
        state->value = (struct payload_place){.first = 0};
    return value;
}

static int state_refuse(struct payload_state *state, const struct payload_row *row, const char *why)
{
    (void)error_set(state->error, ERR_INPUT, "the payload's %s %s", row->path, why);
    state->refused = true;
    return PAYLOAD_CANCEL;
}

/* ---- members ---- */

static void *row_member(const struct payload_state *state, const struct payload_row *row)
{
    return (char *)state->payload + row->offset;
}

static int store_name(struct payload_state *state, const struct payload_row *row, char **name,
                      const char *text, size_t text_bytes)
{
    if (text_bytes > ISSUE_NAME_MAX_BYTES || memchr(text, '\0', text_bytes) != NULL)
        return state_refuse(state, row, "is longer than a name can be, or holds a NUL");
    mem_free(*name);
    *name = text_bytes > 0 ? mem_copy_bytes(text, text_bytes) : NULL;
    return PAYLOAD_GO_ON;
}

static int store_text(struct payload_state *state, const struct payload_row *row, const char *text,
                      size_t text_bytes)
{
    struct issue_text *into = row_member(state, row);
    if (text_bytes > ISSUE_TEXT_MAX_BYTES)
        return state_refuse(state, row, "is longer than 1 MiB");
    mem_free(into->data);
    into->data = mem_copy_bytes(text, text_bytes);
    into->bytes = text_bytes;
    return PAYLOAD_GO_ON;
}

static int store_label(struct payload_state *state, const struct payload_row *row, const char *text,
                       size_t text_bytes)
{
    struct payload_issue *issue = row_member(state, row);
    char *name = NULL;
    if (issue->label_count == ISSUE_LABELS_MAX)
        return state_refuse(state, row, "has more entries than an issue can have labels");
    int go_on = store_name(state, row, &name, text, text_bytes);
    if (name == NULL)
        return go_on;
    size_t count = issue->label_count;
    if (count == 0 || (count >= PAYLOAD_FIRST_ENTRIES && (count & (count - 1)) == 0))
        issue->labels = mem_resize_array(
            issue->labels, count == 0 ? PAYLOAD_FIRST_ENTRIES : count * 2, sizeof(char *));
    issue->labels[issue->label_count++] = name;
    return PAYLOAD_GO_ON;
}

static int store_string(struct payload_state *state, const struct payload_row *row,
                        const char *text, size_t text_bytes)
{
    switch (row->kind) {
    case KIND_NAME:
        return store_name(state, row, row_member(state, row), text, text_bytes);
    case KIND_TEXT:
        return store_text(state, row, text, text_bytes);
    case KIND_LABELS:
        return store_label(state, row, text, text_bytes);
    case KIND_TIME:
        if (time_from_text(text, text_bytes, row_member(state, row)) != 0)
            return state_refuse(state, row, "is no RFC 3339 time");
        return PAYLOAD_GO_ON;
    case KIND_PRESENT:
        *(bool *)row_member(state, row) = true;
        return PAYLOAD_GO_ON;
    case KIND_NUMBER:
    case KIND_TRUTH:
    case KIND_IDS:
        break;
    }
    return state_refuse(state, row, "is a text");
}

static int store_id(struct payload_state *state, const struct payload_row *row, int64_t id)
{
    struct payload *payload = state->payload;
    size_t count = payload->repository_count;
    if (count == PAYLOAD_LIST_MAX)
        return state_refuse(state, row, "has too many entries");
    if (count == 0 || (count >= PAYLOAD_FIRST_ENTRIES && (count & (count - 1)) == 0))
        payload->repositories = mem_resize_array(
            payload->repositories, count == 0 ? PAYLOAD_FIRST_ENTRIES : count * 2, sizeof(int64_t));
    payload->repositories[payload->repository_count++] = id;
    return PAYLOAD_GO_ON;
}

/* ---- yajl's callbacks ---- */

static int on_null(void *context)
{
    (void)state_take_value(context);
    return PAYLOAD_GO_ON;
}

static int on_boolean(void *context, int truth)
{
    struct payload_state *state = context;
    struct payload_place value = state_take_value(state);
    const struct payload_row *row = place_leaf(&value);
    if (row == NULL)
        return PAYLOAD_GO_ON;
    if (row->kind != KIND_TRUTH && row->kind != KIND_PRESENT)
        return state_refuse(state, row, "is true or false");
    *(bool *)row_member(state, row) = row->kind == KIND_PRESENT || truth != 0;
    return PAYLOAD_GO_ON;
}

static int on_number(void *context, const char *digits, size_t digit_count)
{
    struct payload_state *state = context;
    struct payload_place value = state_take_value(state);
    const struct payload_row *row = place_leaf(&value);
    char text[PAYLOAD_NUMBER_BYTES];
    char *end = NULL;
    if (row == NULL)
        return PAYLOAD_GO_ON;
    if ((row->kind != KIND_NUMBER && row->kind != KIND_IDS) || digit_count >= sizeof(text))
        return state_refuse(state, row, "is a number, or too large a one");
    memcpy(text, digits, digit_count);
    text[digit_count] = '\0';
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0 || number <= 0)
        return state_refuse(state, row, "is no whole number above 0");
    if (row->kind == KIND_IDS)
        return store_id(state, row, number);
    *(int64_t *)row_member(state, row) = number;
    return PAYLOAD_GO_ON;
}

static int on_string(void *context, const unsigned char *text, size_t text_bytes)
{
    struct payload_state *state = context;
    struct payload_place value = state_take_value(state);
    const struct payload_row *row = place_leaf(&value);
    return row == NULL ? PAYLOAD_GO_ON : store_string(state, row, (const char *)text, text_bytes);
}

static void state_open(struct payload_state *state, struct payload_place place)
{
    if (state->depth < PAYLOAD_FOLLOW_MAX)
        state->places[state->depth] = place;
    state->depth++;
    bool is_followed = state->depth <= PAYLOAD_FOLLOW_MAX && place.is_list;
    state->value = is_followed ? place : (struct payload_place){.first = 0};
}

static int on_object(void *context)
{
    struct payload_state *state = context;
    struct payload_place value = state_take_value(state);
    const struct payload_row *row = place_leaf(&value);
    if (row != NULL && row->kind == KIND_PRESENT)
        *(bool *)row_member(state, row) = true;
    bool is_root = state->depth == 0;
    state_open(state, is_root ? value : place_narrow(&value, ".", 1));
    return PAYLOAD_GO_ON;
}

/* A list that comes a second time takes the place of the first. */
static void state_clear_list(struct payload_state *state, const struct payload_place *place)
{
    for (size_t i = place->first; i < place->last; i++) {
        if (payload_rows[i].kind != KIND_LABELS)
            continue;
        struct payload_issue *issue = row_member(state, &payload_rows[i]);
        while (issue->label_count > 0)
            mem_free(issue->labels[--issue->label_count]);
    }
}

static int on_list(void *context)
{
    struct payload_state *state = context;
    struct payload_place value = state_take_value(state);
    struct payload_place entries = place_narrow(&value, "[]", 2);
    if (state->depth == 0)
        entries = (struct payload_place){.first = 0};
    entries.is_list = true;
    state_clear_list(state, &entries);
    state_open(state, entries);
    return PAYLOAD_GO_ON;
}

static int on_key(void *context, const unsigned char *key, size_t key_bytes)
{
    struct payload_state *state = context;
    state->value = (struct payload_place){.first = 0};
    if (state->depth <= PAYLOAD_FOLLOW_MAX) {
        const struct payload_place *place = &state->places[state->depth - 1];
        bool is_plain = memchr(key, '.', key_bytes) == NULL && memchr(key, '[', key_bytes) == NULL;
        if (place->first < place->last && is_plain)
            state->value = place_of_key(place, (const char *)key, key_bytes);
    }
    return PAYLOAD_GO_ON;
}

static int on_end(void *context)
{
    struct payload_state *state = context;
    state->depth--;
    state->value = (struct payload_place){.first = 0};
    if (state->depth > 0 && state->depth <= PAYLOAD_FOLLOW_MAX &&
        state->places[state->depth - 1].is_list)
        state->value = state->places[state->depth - 1];
    return PAYLOAD_GO_ON;
}

static const yajl_callbacks payload_callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_list,
    .yajl_end_array = on_end,
};

/* ---- the interface ---- */

static void payload_free_issue(struct payload_issue *issue)
{
    mem_free(issue->title.data);
    mem_free(issue->body.data);
    mem_free(issue->state);
    mem_free(issue->state_reason);
    mem_free(issue->author_login);
    mem_free(issue->author_type);
    for (size_t i = 0; i < issue->label_count; i++)
        mem_free(issue->labels[i]);
    mem_free(issue->labels);
}

void payload_free(struct payload *payload)
{
    if (payload == NULL)
        return;
    payload_free_issue(&payload->issue);
    payload_free_issue(&payload->new_issue);
    mem_free(payload->repository.name);
    mem_free(payload->new_repository.name);
    mem_free(payload->label);
    mem_free(payload->sender_login);
    mem_free(payload->sender_type);
    mem_free(payload->repositories);
    mem_free(payload);
}

static struct payload *payload_new(void)
{
    struct payload *payload = MEM_NEW(struct payload);
    struct payload_issue *issues[] = {&payload->issue, &payload->new_issue};
    for (size_t i = 0; i < ARRAY_COUNT(issues); i++) {
        issues[i]->created_ms = -1;
        issues[i]->updated_ms = -1;
        issues[i]->closed_ms = -1;
    }
    return payload;
}

int payload_read(const char *value, size_t value_bytes, struct payload **ret_payload,
                 struct error *error)
{
    CLEANUP(payload_free) struct payload *payload = payload_new();
    struct payload_state state = {
        .payload = payload, .value = {.last = ARRAY_COUNT(payload_rows)}, .error = error};
    yajl_handle yajl = yajl_alloc(&payload_callbacks, NULL, &state);
    if (yajl == NULL)
        abort(); /* as base/memory.h: an allocation failed */
    yajl_status status = yajl_parse(yajl, (const unsigned char *)value, value_bytes);
    if (status == yajl_status_ok)
        status = yajl_complete_parse(yajl);
    size_t at = yajl_get_bytes_consumed(yajl);
    yajl_free(yajl);
    if (state.refused)
        return ERR_INPUT;
    if (status != yajl_status_ok)
        return error_set(error, ERR_INPUT, "the payload is no JSON at byte %zu", at);
    *ret_payload = TAKE(payload);
    return 0;
}
