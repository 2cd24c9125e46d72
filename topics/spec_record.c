/*
 * One record of the topic `specs`: see spec_record.h.
 */
#include "topics/spec_record.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "topics/spec_check.h"

/* --- records --- */

struct spec_record *spec_record_new(void)
{
    struct spec_record *record = MEM_NEW(struct spec_record);
    record->first_published_ms = -1;
    return record;
}

static void place_release(struct spec_place *place)
{
    mem_free(place->repository);
    mem_free(place->branch);
    mem_free(place->path);
    mem_free(place->commit);
    *place = (struct spec_place){0};
}

void spec_record_free(struct spec_record *record)
{
    if (record == NULL)
        return;
    json_decref(record->valid);
    place_release(&record->valid_place);
    mem_free(record->reason);
    place_release(&record->invalid_place);
    mem_free(record);
}

void spec_place_set(struct spec_place *place, const struct spec_place *other)
{
    struct spec_place copy = {
        .repository = mem_copy_text(other->repository),
        .branch = mem_copy_text(other->branch),
        .path = mem_copy_text(other->path),
        .commit = mem_copy_text(other->commit),
        .line = other->line,
    };
    place_release(place);
    *place = copy;
}

static bool place_text_equal(const char *left, const char *right)
{
    return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

bool spec_place_is_same_file(const struct spec_place *left, const struct spec_place *right)
{
    return place_text_equal(left->repository, right->repository) &&
           place_text_equal(left->branch, right->branch) &&
           place_text_equal(left->path, right->path);
}

struct spec_record *spec_record_copy(const struct spec_record *record)
{
    struct spec_record *copy = spec_record_new();
    copy->first_published_ms = record->first_published_ms;
    copy->valid = json_incref(record->valid);
    spec_place_set(&copy->valid_place, &record->valid_place);
    copy->reason = mem_copy_text(record->reason);
    spec_place_set(&copy->invalid_place, &record->invalid_place);
    return copy;
}

/* --- encoding --- */

/* A text of the outside as JSON: what is no UTF-8 becomes '?'. */
static json_t *record_text(const char *text)
{
    if (text == NULL)
        return json_null();
    CLEANUP(mem_free) char *clean = mem_copy_text(text);
    utf8_clean(clean);
    return json_string(clean);
}

static json_t *record_place(const struct spec_place *place)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:i}", "repository", record_text(place->repository),
                     "branch", record_text(place->branch), "path", record_text(place->path),
                     "commit", record_text(place->commit), "line", place->line);
}

char *spec_record_encode(const struct spec_record *record, size_t *ret_bytes)
{
    char time_text[TIME_TEXT_BYTES];
    json_t *valid = json_null();
    json_t *invalid = json_null();
    if (record->valid != NULL) {
        valid = record_place(&record->valid_place);
        (void)json_object_set(valid, "document", record->valid);
    }
    if (record->reason != NULL) {
        invalid = record_place(&record->invalid_place);
        (void)json_object_set_new(invalid, "reason", record_text(record->reason));
    }
    if (record->first_published_ms >= 0)
        time_to_text(record->first_published_ms, time_text);
    CLEANUP(json_release)
    json_t *value = json_pack("{s:s?, s:o, s:o}", "first_published",
                              record->first_published_ms >= 0 ? time_text : NULL, "valid", valid,
                              "invalid", invalid);
    return json_write(value, ret_bytes);
}

/* --- decoding --- */

int spec_key_parse(const char *key, enum spec_kind *ret_kind, const char **ret_name)
{
    const char *slash = strchr(key, '/');
    if (slash == NULL)
        return ERR_NOT_FOUND;
    CLEANUP(mem_free) char *kind = mem_copy_bytes(key, (size_t)(slash - key));
    if (spec_kind_from_name(kind, ret_kind) != 0 || spec_value_fault(SPEC_NAME, slash + 1) != NULL)
        return ERR_NOT_FOUND;
    *ret_name = slash + 1;
    return 0;
}

/* Reads a text member that may be null. */
static int record_read_text(const json_t *object, const char *name, char **ret_text,
                            struct error *error)
{
    const char *text = NULL;
    int code = json_get_text(object, name, &text, error);
    if (code == 0)
        *ret_text = mem_copy_text(text);
    return code == ERR_NOT_FOUND ? 0 : code;
}

static int record_read_place(const json_t *object, struct spec_place *place, struct error *error)
{
    int code = record_read_text(object, "repository", &place->repository, error);
    if (code == 0)
        code = record_read_text(object, "branch", &place->branch, error);
    if (code == 0)
        code = record_read_text(object, "path", &place->path, error);
    if (code == 0)
        code = record_read_text(object, "commit", &place->commit, error);
    if (code == 0 && (place->repository == NULL || place->path == NULL))
        code = error_set(error, ERR_INPUT, "repository or path is missing");
    int64_t line = json_int_or(object, "line", 0);
    place->line = line > 0 && line <= INT32_MAX ? (int)line : 0;
    return code;
}

static int record_read_valid(const char *key, const json_t *object, struct spec_record *record,
                             struct error *error)
{
    enum spec_kind kind = SPEC_KIND_COUNT;
    const char *name = NULL;
    if (json_is_null(object) || object == NULL)
        return 0;
    json_t *document = json_object_get(object, "document");
    int code = spec_key_parse(key, &kind, &name);
    if (code != 0)
        return error_set(error, ERR_INPUT, "a document under a key that is no kind/name");
    code = record_read_place(object, &record->valid_place, error);
    if (code == 0)
        code = spec_check_value(kind, document, error);
    if (code != 0)
        return code;
    const char *own = json_string_value(json_walk(document, "metadata.name"));
    if (own == NULL || strcmp(own, name) != 0)
        return error_set(error, ERR_INPUT, "the document is not the key's");
    record->valid = json_incref(document);
    return 0;
}

static int record_read_invalid(const json_t *object, struct spec_record *record,
                               struct error *error)
{
    const char *reason = NULL;
    if (json_is_null(object) || object == NULL)
        return 0;
    int code = json_get_text(object, "reason", &reason, error);
    if (code != 0)
        return error_set(error, ERR_INPUT, "no reason of what is invalid");
    record->reason = mem_copy_text(reason);
    return record_read_place(object, &record->invalid_place, error);
}

int spec_record_decode(const char *key, const char *value, size_t value_bytes,
                       struct spec_record **ret_record, struct error *error)
{
    CLEANUP(json_release) json_t *object = NULL;
    CLEANUP(spec_record_free) struct spec_record *record = spec_record_new();
    int code = json_read(value, value_bytes, &object, error);
    if (code == 0 && !json_is_object(object))
        code = error_set(error, ERR_INPUT, "a record must be an object");
    const char *time = code == 0 ? json_text_or(object, "first_published", NULL) : NULL;
    if (time != NULL && time_from_text(time, strlen(time), &record->first_published_ms) != 0)
        code = error_set(error, ERR_INPUT, "first_published is no time");
    if (code == 0)
        code = record_read_valid(key, json_object_get(object, "valid"), record, error);
    if (code == 0)
        code = record_read_invalid(json_object_get(object, "invalid"), record, error);
    if (code == 0 && record->valid == NULL && record->reason == NULL)
        code = error_set(error, ERR_INPUT, "neither a valid document nor an invalid one");
    if (code == 0 && record->valid != NULL && record->first_published_ms < 0)
        code = error_set(error, ERR_INPUT, "first_published is missing");
    if (code == 0)
        *ret_record = TAKE(record);
    return code;
}

/* --- messages --- */

/* Says who made the record: the repository of its newest document. */
static char *message_source(const struct spec_record *record)
{
    const struct spec_place *place = NULL;
    if (record != NULL)
        place = record->reason != NULL ? &record->invalid_place : &record->valid_place;
    bool is_usable = place != NULL && place->repository != NULL &&
                     spec_value_fault(SPEC_TEXT, place->repository) == NULL;
    return mem_copy_text(is_usable ? place->repository : "nodag");
}

struct spec_message *spec_message_make(const char *key, const struct spec_record *record,
                                       int64_t now_ms)
{
    struct spec_message *made = MEM_NEW(struct spec_message);
    size_t value_bytes = 0;
    char digest[DIGEST_TEXT_BYTES] = "deleted";
    assert(strlen(key) < SUBJECT_KEY_BYTES);
    (void)snprintf(made->key, sizeof(made->key), "%s", key);
    if (record != NULL) {
        uint8_t bytes[DIGEST_BYTES];
        made->value = spec_record_encode(record, &value_bytes);
        digest_sha256(made->value, value_bytes, bytes);
        digest_to_text(bytes, digest);
    }
    (void)snprintf(made->id, sizeof(made->id), "%s/%s/%lld", made->key, digest, (long long)now_ms);
    made->source = message_source(record);
    const struct event event = {
        .id = text_of(made->id),
        .source = text_of(made->source),
        .type = text_of(record != NULL ? "dev.nodag.spec" : "dev.nodag.spec.deleted"),
        .subject = text_of(made->key),
        .data_schema = text_of(SPEC_RECORD_SCHEMA),
        .content_type = text_of("application/json"),
        .has_time = true,
        .time_ms = now_ms,
    };
    int code = envelope_encode(&event, &made->headers, NULL);
    assert(code == 0); /* keys and sources are printable */
    (void)code;
    made->message = (struct bus_message){
        .topic = TOPIC_SPECS,
        .partition = BUS_PARTITION_BY_KEY,
        .key = made->key,
        .key_bytes = strlen(made->key),
        .value = made->value,
        .value_bytes = value_bytes,
        .headers = made->headers.items,
        .header_count = made->headers.count,
    };
    return made;
}

void spec_message_free(struct spec_message *message)
{
    if (message == NULL)
        return;
    mem_free(message->value);
    mem_free(message->source);
    mem_free(message);
}
