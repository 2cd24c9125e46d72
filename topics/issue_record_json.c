/*
 * The record of `issues` as JSON: see issue_record.h.
 *
 * Design: jansson both ways. Reading trusts nobody: members have their types and bounds, labels
 * their order, and what `labels` and `removed` say must be what the stamps say.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "topics/issue_record.h"

/* Digits of an id's hash, with a NUL. */
#define HASH_TEXT_BYTES 17

/* ---- writing ---- */

static json_t *write_time(int64_t time_ms)
{
    char text[TIME_TEXT_BYTES];
    if (time_ms < 0)
        return json_null();
    time_to_text(time_ms, text);
    return json_string(text);
}

/* The time of a request; null where there was none. */
static json_t *write_mark(int64_t time_ms)
{
    return write_time(time_ms > 0 ? time_ms : -1);
}

static json_t *write_text(const struct issue_text *text)
{
    json_t *written = text->data == NULL ? json_null() : json_stringn(text->data, text->bytes);
    assert(written != NULL); /* it was valid UTF-8 when it was read */
    return written;
}

/* Adds the members of a stamp to an object (borrowed). */
static void write_stamp(json_t *object, const struct issue_stamp *stamp)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < stamp->id_count; i++) {
        char text[HASH_TEXT_BYTES];
        (void)snprintf(text, sizeof(text), "%016" PRIx64, stamp->ids[i]);
        (void)json_array_append_new(ids, json_string(text));
    }
    (void)json_object_set_new(object, "at", write_time(stamp->time_ms));
    (void)json_object_set_new(object, "offset", json_integer(stamp->offset));
    (void)json_object_set_new(object, "ids", ids);
}

static json_t *write_action(const struct issue_action *action)
{
    if (action->stamp.time_ms < 0)
        return json_null();
    json_t *object =
        json_pack("{s:s, s:s?}", "by", issue_actor_name(action->by), "login", action->login);
    assert(object != NULL);
    write_stamp(object, &action->stamp);
    return object;
}

/* The labels that are there, or those that are not. */
static json_t *write_labels(const struct issue_record *record, bool present)
{
    json_t *list = json_array();
    for (size_t i = 0; i < record->label_count; i++) {
        const struct issue_label *label = &record->labels[i];
        if (issue_label_is_present(record, label) != present)
            continue;
        enum issue_actor by = issue_action_by(issue_label_last(record, label));
        json_t *item =
            json_pack("{s:s, s:s, s:b, s:o, s:o}", "name", label->name, "by", issue_actor_name(by),
                      "listed", label->listed ? 1 : 0, "added", write_action(&label->added),
                      "removed", write_action(&label->removed));
        assert(item != NULL);
        (void)json_array_append_new(list, item);
    }
    return list;
}

static json_t *write_gone(const struct issue_record *record)
{
    if (record->gone == ISSUE_LIVE)
        return json_null();
    json_t *object = json_pack("{s:s}", "reason", issue_gone_name(record->gone));
    write_stamp(object, &record->gone_since);
    return object;
}

char *issue_record_encode(const struct issue_record *record, size_t *ret_bytes)
{
    assert(record->title.data != NULL && record->repository != NULL && record->state != NULL);
    json_t *as_of = json_object();
    write_stamp(as_of, &record->as_of);
    CLEANUP(json_release)
    json_t *value = json_pack(
        "{s:{s:I, s:s, s:I, s:b}, s:I, s:o, s:o, s:s, s:s?, s:o, s:o, s:o, s:{s:s, s:s?}, s:o, "
        "s:o, s:o, s:o, s:o, s:o}",
        "repository", "id", (json_int_t)record->repository_id, "name", record->repository,
        "owner_id", (json_int_t)record->owner_id, "private", record->is_private ? 1 : 0, "number",
        (json_int_t)record->number, "title", write_text(&record->title), "body",
        write_text(&record->body), "state", record->state, "state_reason", record->state_reason,
        "created_at", write_time(record->created_ms), "updated_at", write_time(record->updated_ms),
        "closed_at", write_time(record->closed_ms), "author", "by",
        issue_actor_name(record->author), "login", record->author_login, "labels",
        write_labels(record, true), "removed", write_labels(record, false), "as_of", as_of, "gone",
        write_gone(record), "erased_at", write_mark(record->erased_ms), "names_erased_at",
        write_mark(record->names_erased_ms));
    assert(value != NULL);
    return json_write(value, ret_bytes);
}

/* ---- reading ---- */

/* Reads a name member; an absent one is NULL where it may be. The copy is owned. */
static int read_name(const json_t *object, const char *name, bool may_be_null, char **ret_text,
                     struct error *error)
{
    const char *text = NULL;
    int code = json_get_text(object, name, &text, error);
    if (code == ERR_NOT_FOUND && may_be_null)
        return 0;
    if (code == 0 && (text[0] == '\0' || strlen(text) > ISSUE_NAME_MAX_BYTES))
        code = error_set(error, ERR_INPUT, "the member %s is empty or longer than %d bytes", name,
                         ISSUE_NAME_MAX_BYTES);
    if (code == 0)
        *ret_text = mem_copy_text(text);
    return code;
}

static int read_time(const json_t *object, const char *name, int64_t *ret_time_ms,
                     struct error *error)
{
    const char *text = NULL;
    int code = json_get_text(object, name, &text, error);
    if (code == ERR_NOT_FOUND)
        return 0;
    if (code == 0 && time_from_text(text, strlen(text), ret_time_ms) != 0)
        code = error_set(error, ERR_INPUT, "the member %s is no RFC 3339 time", name);
    return code;
}

static int read_text(const json_t *record, const char *name, struct issue_text *text,
                     struct error *error)
{
    const json_t *item = json_object_get(record, name);
    if (json_is_null(item))
        return 0;
    if (!json_is_string(item) || json_string_length(item) > ISSUE_TEXT_MAX_BYTES)
        return error_set(error, ERR_INPUT, "the member %s is no text of at most %zu bytes", name,
                         ISSUE_TEXT_MAX_BYTES);
    text->bytes = json_string_length(item);
    text->data = mem_copy_bytes(json_string_value(item), text->bytes);
    return 0;
}

static int read_actor(const json_t *object, enum issue_actor *ret_actor, struct error *error)
{
    const char *by = json_text_or(object, "by", "");
    for (size_t i = 0; i <= ISSUE_OTHER_BOT; i++) {
        if (strcmp(by, issue_actor_name((enum issue_actor)i)) != 0)
            continue;
        *ret_actor = (enum issue_actor)i;
        return 0;
    }
    return error_set(error, ERR_INPUT, "the member by names no kind of actor");
}

static int read_ids(const json_t *object, struct issue_stamp *stamp, struct error *error)
{
    const json_t *ids = json_object_get(object, "ids");
    size_t index = 0;
    const json_t *item = NULL;
    if (!json_is_array(ids) || json_array_size(ids) > ISSUE_STAMP_IDS_MAX)
        return error_set(error, ERR_INPUT, "the member ids is no list of at most %d",
                         ISSUE_STAMP_IDS_MAX);
    json_array_foreach(ids, index, item)
    {
        const char *text = json_string_value(item);
        if (text == NULL || strspn(text, "0123456789abcdef") != HASH_TEXT_BYTES - 1 ||
            json_string_length(item) != HASH_TEXT_BYTES - 1)
            return error_set(error, ERR_INPUT, "the member ids holds something that is no hash");
        stamp->ids[stamp->id_count++] = strtoull(text, NULL, 16);
    }
    return 0;
}

static int read_stamp(const json_t *object, struct issue_stamp *stamp, struct error *error)
{
    int code = read_time(object, "at", &stamp->time_ms, error);
    if (code == 0 && stamp->time_ms < 0)
        code = error_set(error, ERR_INPUT, "the member at is missing");
    if (code == 0)
        code = json_get_int(object, "offset", &stamp->offset, error);
    if (code == 0 && stamp->offset < 0)
        code = error_set(error, ERR_INPUT, "the member offset is below 0");
    return code == 0 ? read_ids(object, stamp, error) : code;
}

static int read_action(const json_t *label, const char *name, struct issue_action *action,
                       struct error *error)
{
    const json_t *object = json_object_get(label, name);
    if (json_is_null(object))
        return 0;
    int code = read_actor(object, &action->by, error);
    if (code == 0)
        code = read_name(object, "login", true, &action->login, error);
    return code == 0 ? read_stamp(object, &action->stamp, error) : code;
}

static int read_label(struct issue_record *record, const json_t *item, struct error *error)
{
    CLEANUP(mem_free) char *name = NULL;
    int code = read_name(item, "name", false, &name, error);
    if (code != 0)
        return code;
    size_t count = record->label_count;
    struct issue_label *label = issue_record_put_label(record, name);
    if (label == NULL || record->label_count == count)
        return error_set(error, ERR_INPUT, "a label stands twice, or there are more than %d",
                         ISSUE_LABELS_MAX);
    code = json_get_bool(item, "listed", &label->listed, error);
    if (code == 0)
        code = read_action(item, "added", &label->added, error);
    return code == 0 ? read_action(item, "removed", &label->removed, error) : code;
}

static int read_labels(const json_t *value, const char *name, struct issue_record *record,
                       struct error *error)
{
    const json_t *list = json_object_get(value, name);
    size_t index = 0;
    const json_t *item = NULL;
    int code = 0;
    if (!json_is_array(list))
        return error_set(error, ERR_INPUT, "the member %s is no list", name);
    json_array_foreach(list, index, item)
    {
        code = read_label(record, item, error);
        if (code != 0)
            return code;
    }
    return 0;
}

/* What is written twice, for readers: it must be the same as what it follows from. */
static int check_labels(const json_t *value, const char *name, bool present,
                        const struct issue_record *record, struct error *error)
{
    const json_t *list = json_object_get(value, name);
    const char *before = "";
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(list, index, item)
    {
        const char *label_name = json_text_or(item, "name", "");
        const struct issue_label *label = issue_record_find_label(record, label_name);
        enum issue_actor by = ISSUE_UNKNOWN;
        int code = read_actor(item, &by, error);
        if (code != 0)
            return code;
        if (strcmp(before, label_name) >= 0 || label == NULL ||
            issue_label_is_present(record, label) != present ||
            issue_action_by(issue_label_last(record, label)) != by)
            return error_set(error, ERR_INPUT, "the member %s contradicts itself", name);
        before = label_name;
    }
    return 0;
}

static int read_gone(const json_t *value, struct issue_record *record, struct error *error)
{
    const json_t *object = json_object_get(value, "gone");
    if (json_is_null(object))
        return 0;
    const char *reason = json_text_or(object, "reason", "");
    for (size_t i = ISSUE_LIVE + 1; i < ISSUE_GONE_COUNT; i++)
        if (strcmp(reason, issue_gone_name((enum issue_gone)i)) == 0)
            record->gone = (enum issue_gone)i;
    if (record->gone == ISSUE_LIVE)
        return error_set(error, ERR_INPUT, "the member gone has no known reason");
    return read_stamp(object, &record->gone_since, error);
}

/* Records of before there were such marks have none. */
static int read_marks(const json_t *value, struct issue_record *record, struct error *error)
{
    int64_t erased_ms = -1;
    int64_t names_ms = -1;
    int code = read_time(value, "erased_at", &erased_ms, error);
    if (code == 0)
        code = read_time(value, "names_erased_at", &names_ms, error);
    if (code == 0 && (erased_ms == 0 || names_ms == 0))
        code = error_set(error, ERR_INPUT, "the time of an erasure is not after 1970");
    if (code != 0)
        return code;
    record->erased_ms = erased_ms > 0 ? erased_ms : 0;
    record->names_erased_ms = names_ms > 0 ? names_ms : 0;
    return 0;
}

/* What was erased must not stand there. */
static int check_erased(const struct issue_record *record, struct error *error)
{
    bool is_clean =
        record->erased_ms == 0 ||
        (record->title.bytes == 0 && record->body.data == NULL && record->author_login == NULL);
    for (size_t i = 0; i < record->label_count && is_clean; i++) {
        const struct issue_label *label = &record->labels[i];
        is_clean = (label->added.login == NULL ||
                    issue_record_keeps_name(record, label->added.stamp.time_ms)) &&
                   (label->removed.login == NULL ||
                    issue_record_keeps_name(record, label->removed.stamp.time_ms));
    }
    return is_clean ? 0 : error_set(error, ERR_INPUT, "it is erased, and yet has text or names");
}

static int read_snapshot(const json_t *value, struct issue_record *record, struct error *error)
{
    const json_t *repository = json_object_get(value, "repository");
    const json_t *author = json_object_get(value, "author");
    int code = read_name(repository, "name", false, &record->repository, error);
    if (code == 0)
        code = json_get_int(repository, "owner_id", &record->owner_id, error);
    if (code == 0)
        code = record->owner_id >= 0
                   ? 0
                   : error_set(error, ERR_INPUT, "the member owner_id is below 0");
    if (code == 0)
        code = json_get_bool(repository, "private", &record->is_private, error);
    if (code == 0)
        code = read_text(value, "title", &record->title, error);
    if (code == 0 && record->title.data == NULL)
        code = error_set(error, ERR_INPUT, "the member title is missing");
    if (code == 0)
        code = read_text(value, "body", &record->body, error);
    if (code == 0)
        code = read_name(value, "state", false, &record->state, error);
    if (code == 0)
        code = read_name(value, "state_reason", true, &record->state_reason, error);
    if (code == 0)
        code = read_time(value, "created_at", &record->created_ms, error);
    if (code == 0)
        code = read_time(value, "updated_at", &record->updated_ms, error);
    if (code == 0)
        code = read_time(value, "closed_at", &record->closed_ms, error);
    if (code == 0)
        code = read_actor(author, &record->author, error);
    return code == 0 ? read_name(author, "login", true, &record->author_login, error) : code;
}

static int read_record(const json_t *value, struct issue_record *record, struct error *error)
{
    int code = read_snapshot(value, record, error);
    if (code == 0)
        code = read_stamp(json_object_get(value, "as_of"), &record->as_of, error);
    if (code == 0)
        code = read_gone(value, record, error);
    if (code == 0)
        code = read_marks(value, record, error);
    if (code == 0)
        code = read_labels(value, "labels", record, error);
    if (code == 0)
        code = read_labels(value, "removed", record, error);
    if (code == 0)
        code = check_labels(value, "labels", true, record, error);
    if (code == 0)
        code = check_labels(value, "removed", false, record, error);
    return code == 0 ? check_erased(record, error) : code;
}

int issue_record_decode(const char *key, size_t key_bytes, const char *value, size_t value_bytes,
                        struct issue_record **ret_record, struct error *error)
{
    int64_t repository_id = 0;
    int64_t number = 0;
    int64_t named_id = 0;
    int64_t named_number = 0;
    CLEANUP(json_release) json_t *root = NULL;
    if (subject_key_parse_issue(key, key_bytes, &repository_id, &number) != 0)
        return error_set(error, ERR_INPUT, "the key is no repository-id#number");
    int code = json_read(value, value_bytes, &root, error);
    if (code == 0)
        code = json_get_int(json_object_get(root, "repository"), "id", &named_id, error);
    if (code == 0)
        code = json_get_int(root, "number", &named_number, error);
    if (code == 0 && (named_id != repository_id || named_number != number))
        code = error_set(error, ERR_INPUT, "the record is not about its key");
    if (code != 0)
        return ERR_INPUT;
    CLEANUP(issue_record_free)
    struct issue_record *record = issue_record_new(repository_id, number);
    code = read_record(root, record, error);
    if (code != 0)
        return ERR_INPUT;
    *ret_record = TAKE(record);
    return 0;
}
