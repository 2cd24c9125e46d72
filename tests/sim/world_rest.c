/*
 * The world's REST calls, as far as the labeler makes them. Source: GitHub REST API 2022-11-28
 * (users, repositories, labels, contents, issues, timeline, comments).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "tests/sim/world_private.h"

/* The marker that nodag's comments begin with. */
#define WORLD_MARKER "<!-- nodag:labeler -->"

/* Takes `value`. */
static void world_reply(struct world_call *call, int status, json_t *value)
{
    call->status = status;
    call->answer = value != NULL ? json_write(value, NULL) : mem_copy_text("");
    json_decref(value);
}

static void world_reply_missing(struct world_call *call)
{
    world_reply(call, 404, json_pack("{s:s}", "message", "Not Found"));
}

static json_t *world_user_json(const char *login)
{
    return json_pack("{s:s, s:s, s:i}", "login", login, "type", "User", "id", 7);
}

static json_t *world_label_json(const char *name)
{
    return json_pack("{s:s, s:s, s:i}", "name", name, "color", "ededed", "id", 1);
}

static void world_serve_repository(struct world_call *call)
{
    world_reply(call, 200,
                json_pack("{s:i, s:s, s:b, s:b, s:s}", "id", WORLD_REPOSITORY_ID, "full_name",
                          WORLD_REPOSITORY, "archived", 0, "private", 0, "name", "world"));
}

static void world_serve_labels(struct world_call *call)
{
    const struct world *world = call->client->world;
    json_t *list = json_array();
    for (size_t i = 0; i < world->label_count; i++)
        (void)json_array_append_new(list, world_label_json(world->labels[i]));
    world_reply(call, 200, list);
}

static json_t *world_labels_of(const struct world *world, const struct world_issue *issue)
{
    json_t *list = json_array();
    for (size_t i = 0; i < world->label_count; i++)
        if (world_has_label(issue, world->labels[i]))
            (void)json_array_append_new(list, world_label_json(world->labels[i]));
    return list;
}

static void world_serve_issue(struct world_call *call, const struct world_issue *issue)
{
    char when[TIME_TEXT_BYTES];
    time_to_text(issue->updated_ms, when);
    world_reply(call, 200,
                json_pack("{s:I, s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:b, s:o}", "number",
                          (json_int_t)issue->number, "title", issue->title, "body", issue->body,
                          "state", issue->is_open ? "open" : "closed", "labels",
                          world_labels_of(call->client->world, issue), "created_at", when,
                          "updated_at", when, "repository_url",
                          "http://world/repos/" WORLD_REPOSITORY, "locked", 0, "user",
                          world_user_json("ann")));
}

static json_t *world_entry_json(const struct world_entry *entry)
{
    char when[TIME_TEXT_BYTES];
    time_to_text(entry->sequence * 1000, when);
    if (entry->kind == WORLD_COMMENTED)
        return json_pack("{s:s, s:I, s:s, s:o, s:o, s:s}", "event", "commented", "id",
                         (json_int_t)entry->comment_id, "body", entry->body, "user",
                         world_user_json(entry->actor), "actor", world_user_json(entry->actor),
                         "created_at", when);
    return json_pack("{s:s, s:I, s:o, s:o, s:s}", "event",
                     entry->kind == WORLD_LABELED ? "labeled" : "unlabeled", "id",
                     (json_int_t)entry->sequence, "actor", world_user_json(entry->actor), "label",
                     world_label_json(entry->label), "created_at", when);
}

static void world_serve_timeline(struct world_call *call, const struct world_issue *issue)
{
    call->client->looked[issue->number - 1] = call->client->world->sequence;
    json_t *list = json_array();
    for (size_t i = 0; i < issue->entry_count; i++)
        if (issue->entries[i].kind != WORLD_GONE)
            (void)json_array_append_new(list, world_entry_json(&issue->entries[i]));
    world_reply(call, 200, list);
}

/* --- writes, watched --- */

static bool world_is_known_label(const struct world *world, const char *label)
{
    for (size_t i = 0; i < world->label_count; i++)
        if (strcasecmp(world->labels[i], label) == 0)
            return true;
    return false;
}

static void world_add_label(struct world_call *call, struct world_issue *issue, const char *label)
{
    struct world *world = call->client->world;
    const struct world_entry *person = world_last_person(issue, label);
    if (!world_is_known_label(world, label))
        world_violate(world, issue, "a label was created in the repository", label);
    if (strncmp(label, "area/", 5) != 0 && strncmp(label, "kind/", 5) != 0)
        world_violate(world, issue, "a label was written that is not included", label);
    if (person != NULL && person->kind == WORLD_UNLABELED &&
        person->sequence <= call->looked[issue->number - 1])
        world_violate(world, issue, "a label that somebody removed was added again", label);
    if (world_has_label(issue, label))
        return;
    struct world_entry *entry = world_add_entry(world, issue, WORLD_LABELED, WORLD_BOT);
    (void)snprintf(entry->label, sizeof(entry->label), "%s", label);
    world_tell_write(world, issue, label, true);
}

static void world_serve_add(struct world_call *call, struct world_issue *issue)
{
    CLEANUP(json_release) json_t *request = NULL;
    int code = json_read(call->body, strlen(call->body), &request, NULL);
    json_t *labels = code == 0 ? json_object_get(request, "labels") : NULL;
    if (!json_is_array(labels)) {
        world_reply(call, 422, json_pack("{s:s}", "message", "Validation Failed"));
        return;
    }
    for (size_t i = 0; i < json_array_size(labels); i++)
        world_add_label(call, issue, json_string_value(json_array_get(labels, i)));
    world_reply(call, 200, world_labels_of(call->client->world, issue));
}

static void world_decode(const char *text, char *ret_text, size_t text_bytes)
{
    size_t length = 0;
    for (; *text != '\0' && length + 1 < text_bytes; text++) {
        char digits[3] = {0};
        if (*text == '%' && text[1] != '\0' && text[2] != '\0') {
            memcpy(digits, text + 1, 2);
            ret_text[length++] = (char)strtol(digits, NULL, 16);
            text += 2;
        } else {
            ret_text[length++] = *text;
        }
    }
    ret_text[length] = '\0';
}

static void world_serve_remove(struct world_call *call, struct world_issue *issue,
                               const char *encoded)
{
    struct world *world = call->client->world;
    char label[WORLD_NAME_BYTES];
    world_decode(encoded, label, sizeof(label));
    if (!world_has_label(issue, label)) {
        world_reply(call, 404, json_pack("{s:s}", "message", "Label does not exist"));
        return;
    }
    const struct world_entry *person = world_last_person(issue, label);
    if (person != NULL && person->kind == WORLD_LABELED &&
        person->sequence <= call->looked[issue->number - 1])
        world_violate(world, issue, "a label about which somebody decided was removed", label);
    struct world_entry *entry = world_add_entry(world, issue, WORLD_UNLABELED, WORLD_BOT);
    (void)snprintf(entry->label, sizeof(entry->label), "%s", label);
    world_tell_write(world, issue, label, false);
    world_reply(call, 200, world_labels_of(world, issue));
}

static const char *world_comment_text(struct world_call *call, json_t **ret_request)
{
    int code = json_read(call->body, strlen(call->body), ret_request, NULL);
    return code == 0 ? json_text_or(*ret_request, "body", "") : "";
}

static void world_serve_comment(struct world_call *call, struct world_issue *issue)
{
    struct world *world = call->client->world;
    CLEANUP(json_release) json_t *request = NULL;
    const char *text = world_comment_text(call, &request);
    if (strncmp(text, WORLD_MARKER, strlen(WORLD_MARKER)) != 0)
        world_violate(world, issue, "a comment without the marker", text);
    struct world_entry *entry = world_add_entry(world, issue, WORLD_COMMENTED, WORLD_BOT);
    entry->comment_id = ++world->next_comment_id;
    (void)snprintf(entry->body, sizeof(entry->body), "%s", text);
    world_reply(call, 201,
                json_pack("{s:I, s:s}", "id", (json_int_t)entry->comment_id, "body", text));
}

static void world_serve_edit_comment(struct world_call *call, int64_t id)
{
    struct world *world = call->client->world;
    CLEANUP(json_release) json_t *request = NULL;
    const char *text = world_comment_text(call, &request);
    for (size_t i = 0; i < world->issue_count; i++) {
        struct world_issue *issue = &world->issues[i];
        for (size_t j = 0; j < issue->entry_count; j++) {
            struct world_entry *entry = &issue->entries[j];
            if (entry->kind != WORLD_COMMENTED || entry->comment_id != id)
                continue;
            (void)snprintf(entry->body, sizeof(entry->body), "%s", text);
            world_reply(call, 200, json_pack("{s:I, s:s}", "id", (json_int_t)id, "body", text));
            return;
        }
    }
    world_reply_missing(call);
}

static void world_serve_delete_comment(struct world_call *call, int64_t id)
{
    struct world *world = call->client->world;
    for (size_t i = 0; i < world->issue_count; i++) {
        struct world_issue *issue = &world->issues[i];
        for (size_t j = 0; j < issue->entry_count; j++) {
            struct world_entry *entry = &issue->entries[j];
            if (entry->kind != WORLD_COMMENTED || entry->comment_id != id)
                continue;
            if (world_marked_comments(issue) == 1)
                world_violate(world, issue, "the only comment was deleted", "");
            memmove(entry, entry + 1, (issue->entry_count - j - 1) * sizeof(*entry));
            issue->entry_count--;
            world_reply(call, 204, NULL);
            return;
        }
    }
    world_reply_missing(call);
}

/* --- routing --- */

static void world_serve_issue_path(struct world_call *call, struct world_issue *issue,
                                   const char *rest)
{
    bool is_get = strcmp(call->method, "GET") == 0;
    bool is_post = strcmp(call->method, "POST") == 0;
    if (is_get && (*rest == '\0' || *rest == '?'))
        world_serve_issue(call, issue);
    else if (is_get && strncmp(rest, "/timeline", 9) == 0)
        world_serve_timeline(call, issue);
    else if (is_post && strcmp(rest, "/labels") == 0)
        world_serve_add(call, issue);
    else if (is_post && strcmp(rest, "/comments") == 0)
        world_serve_comment(call, issue);
    else if (strcmp(call->method, "DELETE") == 0 && strncmp(rest, "/labels/", 8) == 0)
        world_serve_remove(call, issue, rest + 8);
    else
        world_reply_missing(call);
}

static void world_serve_comment_path(struct world_call *call, int64_t id)
{
    if (strcmp(call->method, "DELETE") == 0)
        world_serve_delete_comment(call, id);
    else
        world_serve_edit_comment(call, id);
}

/* Reads a positive number behind a prefix; `ret_rest` is what follows it. */
static bool world_read_number(const char *path, const char *prefix, int64_t *ret_number,
                              char **ret_rest)
{
    size_t prefix_bytes = strlen(prefix);
    if (strncmp(path, prefix, prefix_bytes) != 0)
        return false;
    *ret_number = strtoll(path + prefix_bytes, ret_rest, 10);
    return *ret_number >= 1;
}

void world_serve(struct world_call *call)
{
    struct world *world = call->client->world;
    const char *repository = strstr(call->url, "/repos/" WORLD_REPOSITORY);
    if (repository == NULL) {
        const char *tail = strrchr(call->url, '/');
        if (strcmp(tail, "/user") == 0)
            world_reply(call, 200, world_user_json(WORLD_BOT));
        else if (strcmp(tail, "/.github") == 0)
            world_serve_repository(call); /* the organisation's own, without the file */
        else
            world_reply_missing(call);
        return;
    }
    const char *path = repository + strlen("/repos/" WORLD_REPOSITORY);
    char *rest = NULL;
    int64_t number = 0;
    if (*path == '\0' || *path == '?')
        world_serve_repository(call);
    else if (strncmp(path, "/labels", 7) == 0)
        world_serve_labels(call);
    else if (world_read_number(path, "/issues/comments/", &number, &rest))
        world_serve_comment_path(call, number);
    else if (world_read_number(path, "/issues/", &number, &rest) &&
             (size_t)number <= world->issue_count)
        world_serve_issue_path(call, &world->issues[number - 1], rest);
    else
        world_reply_missing(call); /* also the configuration file: absent */
}
