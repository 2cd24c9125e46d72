/*
 * Which records `nodag tail` shows: see tail_filter.h.
 *
 * Design: a name is compared with ce_githubrepository without regard to case, as GitHub does; the
 * number with the key (`ID#number`), and where the key has none with ce_subject: a comment's
 * subject is the comment, but its key is its issue's.
 */
#include "topics/tail_filter.h"

#include <fnmatch.h>
#include <string.h>
#include <strings.h>

#include "base/option.h"
#include "base/time_text.h"
#include "topics/subject.h"

int tail_filter_set_name(struct tail_filter *filter, const char *name, struct error *error)
{
    size_t bytes = strcspn(name, "#");
    const char *slash = memchr(name, '/', bytes);
    bool sound = slash != NULL && slash > name && slash + 1 < name + bytes &&
                 memchr(slash + 1, '/', bytes - (size_t)(slash + 1 - name)) == NULL;
    int64_t number = 0;
    if (sound && name[bytes] == '#') {
        /* The same form as in a key, so its reader is used: any id before the '#'. */
        char key[SUBJECT_KEY_BYTES] = "1";
        int64_t ignored = 0;
        sound = strlen(name + bytes) < sizeof(key) - 2;
        if (sound) {
            memcpy(key + 1, name + bytes, strlen(name + bytes) + 1);
            sound = subject_key_parse_issue(key, strlen(key), &ignored, &number) == 0;
        }
    }
    if (!sound)
        return error_set(error, ERR_USAGE,
                         "--name: \"%s\" is no name; expected owner/repository or "
                         "owner/repository#number",
                         name);
    filter->repository = name;
    filter->repository_bytes = bytes;
    filter->number = number;
    return 0;
}

int tail_parse_time(const char *text, int64_t now_ms, int64_t *ret_wall_ms, struct error *error)
{
    int64_t ago_ms = 0;
    if (time_from_text(text, strlen(text), ret_wall_ms) == 0)
        return 0;
    if (option_parse_duration_ms(text, &ago_ms) == 0) {
        *ret_wall_ms = ago_ms > now_ms ? 0 : now_ms - ago_ms;
        return 0;
    }
    return error_set(error, ERR_USAGE,
                     "\"%s\" is no time; expected 2026-11-01, 2026-11-01T12:00:00Z, or how long "
                     "ago: 10m, 2h, 30d",
                     text);
}

bool tail_filter_is_selective(const struct tail_filter *filter)
{
    return filter->key != NULL || filter->repository != NULL || filter->type != NULL;
}

/* Returns the first header of that name; absent if there is none. */
static struct text find_header(const struct bus_record *record, const char *name)
{
    for (size_t i = 0; i < record->header_count; i++) {
        const struct event_header *header = &record->headers[i];
        if (header->value != NULL && strcmp(header->name, name) == 0)
            return (struct text){.data = header->value, .bytes = header->value_bytes};
    }
    return (struct text){0};
}

static bool number_matches(const struct bus_record *record, int64_t number)
{
    int64_t repository_id = 0;
    int64_t found = 0;
    if (record->key != NULL &&
        subject_key_parse_issue(record->key, record->key_bytes, &repository_id, &found) == 0)
        return found == number;
    /* The reader of keys reads a number, too, behind any id. */
    struct text subject = find_header(record, "ce_subject");
    char key[SUBJECT_KEY_BYTES] = "1#";
    if (subject.data == NULL || subject.bytes > sizeof(key) - 3)
        return false;
    memcpy(key + 2, subject.data, subject.bytes);
    return subject_key_parse_issue(key, subject.bytes + 2, &repository_id, &found) == 0 &&
           found == number;
}

static bool name_matches(const struct tail_filter *filter, const struct bus_record *record)
{
    struct text repository = find_header(record, "ce_githubrepository");
    if (repository.data == NULL || repository.bytes != filter->repository_bytes ||
        strncasecmp(repository.data, filter->repository, repository.bytes) != 0)
        return false;
    return filter->number == 0 || number_matches(record, filter->number);
}

static bool type_matches(const struct tail_filter *filter, const struct bus_record *record)
{
    char text[ENVELOPE_ATTRIBUTE_MAX_BYTES + 1];
    struct text type = find_header(record, "ce_type");
    if (type.data == NULL || type.bytes > ENVELOPE_ATTRIBUTE_MAX_BYTES)
        return false;
    memcpy(text, type.data, type.bytes);
    text[type.bytes] = '\0';
    return fnmatch(filter->type, text, 0) == 0;
}

bool tail_filter_matches(const struct tail_filter *filter, const struct bus_record *record)
{
    if (filter->since_ms != TAIL_TIME_NONE && record->timestamp_ms < filter->since_ms)
        return false;
    if (filter->until_ms != TAIL_TIME_NONE && record->timestamp_ms >= filter->until_ms)
        return false;
    if (filter->key != NULL && (record->key == NULL || record->key_bytes != strlen(filter->key) ||
                                memcmp(record->key, filter->key, record->key_bytes) != 0))
        return false;
    if (filter->repository != NULL && !name_matches(filter, record))
        return false;
    return filter->type == NULL || type_matches(filter, record);
}
