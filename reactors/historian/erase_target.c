/*
 * Whose text is erased: see erase_target.h.
 */
#include "reactors/historian/erase_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "topics/envelope.h"

/* What names of GitHub consist of. */
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* How logins of Apps end. */
#define BOT_SUFFIX "[bot]"

/* Most digits of an id. */
#define DIGITS_MAX 18

static bool is_number(const char *text, size_t bytes)
{
    return bytes > 0 && bytes <= DIGITS_MAX && strspn(text, "0123456789") >= bytes &&
           strtoll(text, NULL, 10) > 0;
}

static int refuse(const char *text, struct error *error)
{
    return error_set(error, ERR_USAGE,
                     "\"%.80s\" is no login, OWNER/REPO, repository id or OWNER/REPO#NUMBER", text);
}

static int read_login(const char *text, struct erase_target *target, struct error *error)
{
    const char *login = text + (text[0] == '@');
    size_t bytes = strspn(login, NAME_LETTERS);
    if (bytes == 0 || strlen(login) > ISSUE_NAME_MAX_BYTES ||
        (login[bytes] != '\0' && strcmp(login + bytes, BOT_SUFFIX) != 0))
        return refuse(text, error);
    target->login = login;
    return 0;
}

int erase_target_read(const char *text, struct erase_target *ret_target, struct error *error)
{
    struct erase_target target = {.login = NULL};
    size_t name_bytes = strcspn(text, "#");
    const char *slash = memchr(text, '/', name_bytes);
    int code = 0;
    if (text[name_bytes] == '#') {
        if (!is_number(text + name_bytes + 1, strlen(text + name_bytes + 1)))
            return refuse(text, error);
        target.number = strtoll(text + name_bytes + 1, NULL, 10);
    }
    if (slash != NULL) {
        size_t owner_bytes = (size_t)(slash - text);
        if (owner_bytes == 0 || owner_bytes + 1 == name_bytes ||
            strspn(text, NAME_LETTERS) != owner_bytes ||
            strspn(slash + 1, NAME_LETTERS) != name_bytes - owner_bytes - 1 ||
            name_bytes > ISSUE_NAME_MAX_BYTES)
            return refuse(text, error);
        (void)snprintf(target.repository, sizeof(target.repository), "%.*s", (int)name_bytes, text);
    } else if (is_number(text, name_bytes)) {
        erase_target_add(&target, strtoll(text, NULL, 10));
    } else {
        code = target.number != 0 ? refuse(text, error) : read_login(text, &target, error);
    }
    if (code == 0)
        *ret_target = target;
    return code;
}

void erase_target_add(struct erase_target *target, int64_t repository_id)
{
    for (size_t i = 0; i < target->id_count; i++)
        if (target->ids[i] == repository_id)
            return;
    if (target->id_count < ERASE_IDS_MAX)
        target->ids[target->id_count++] = repository_id;
}

static bool is_login(const struct erase_target *target, const char *login)
{
    return login != NULL && strcasecmp(login, target->login) == 0;
}

int64_t erase_target_newest(const struct erase_target *target, const struct issue_record *record)
{
    int64_t newest_ms = 0;
    for (size_t i = 0; target->login != NULL && i < record->label_count * 2; i++) {
        const struct issue_label *label = &record->labels[i / 2];
        const struct issue_action *action = i % 2 == 0 ? &label->added : &label->removed;
        if (is_login(target, action->login) && action->stamp.time_ms > newest_ms)
            newest_ms = action->stamp.time_ms;
    }
    return newest_ms;
}

static enum erase_what login_wants(const struct erase_target *target,
                                   const struct issue_record *record)
{
    if (is_login(target, record->author_login))
        return ERASE_TEXT;
    for (size_t i = 0; i < record->label_count; i++)
        if (is_login(target, record->labels[i].added.login) ||
            is_login(target, record->labels[i].removed.login))
            return ERASE_NAMES;
    return ERASE_NOTHING;
}

enum erase_what erase_target_wants(const struct erase_target *target,
                                   const struct issue_record *record)
{
    if (record->erased_ms != 0)
        return ERASE_NOTHING;
    if (target->login != NULL)
        return login_wants(target, record);
    if (target->number != 0 && target->number != record->number)
        return ERASE_NOTHING;
    for (size_t i = 0; i < target->id_count; i++)
        if (target->ids[i] == record->repository_id)
            return ERASE_TEXT;
    return ERASE_NOTHING;
}
