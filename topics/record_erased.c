/*
 * Erased artefacts in records: see record_erased.h.
 */
#include "topics/record_erased.h"

#include <string.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "topics/record_json.h"

/* Members of an entry. */
#define ENTRY_MEMBERS 4

static bool entry_is_valid(const json_t *entry)
{
    uint8_t digest[DIGEST_BYTES];
    const char *artefact = json_text_or(entry, "artefact", "");
    const char *sha256 = json_text_or(entry, "sha256", "");
    int64_t at_ms = 0;
    return *artefact != '\0' && strlen(artefact) <= RECORD_TEXT_MAX_BYTES &&
           digest_from_text(sha256, strlen(sha256), digest) == 0 &&
           record_read_time(entry, "at", &at_ms, NULL) == 0 && at_ms > 0 &&
           json_int_or(entry, "rows", -1) >= 0 && json_object_size(entry) == ENTRY_MEMBERS;
}

bool record_erased_is_valid(const json_t *list)
{
    size_t index = 0;
    const json_t *entry = NULL;
    if (list == NULL)
        return true;
    if (!json_is_array(list) || json_array_size(list) > RECORD_ERASED_MAX)
        return false;
    json_array_foreach(list, index, entry)
    {
        if (!entry_is_valid(entry))
            return false;
    }
    return true;
}

const json_t *record_erased_find(const json_t *list, const char *sha256)
{
    size_t index = 0;
    const json_t *entry = NULL;
    json_array_foreach(list, index, entry)
    {
        if (strcmp(json_text_or(entry, "sha256", ""), sha256) == 0)
            return entry;
    }
    return NULL;
}

static json_t *copy_list(const json_t *list)
{
    return list != NULL ? json_copy((json_t *)(uintptr_t)list) : json_array();
}

json_t *record_erased_add(const json_t *list, const char *artefact, const char *sha256,
                          int64_t at_ms, int64_t rows)
{
    json_t *copy = copy_list(list);
    if (record_erased_find(copy, sha256) != NULL || json_array_size(copy) >= RECORD_ERASED_MAX)
        return copy;
    (void)json_array_append_new(copy, json_pack("{s:s, s:s, s:o, s:I}", "artefact", artefact,
                                                "sha256", sha256, "at", record_time_to_json(at_ms),
                                                "rows", (json_int_t)rows));
    return copy;
}

/* Puts what `other` has in the place of an artefact of this object; nothing where that was erased, too. */
static bool carry_artefacts(json_t *artefacts, const json_t *other, const json_t *erased)
{
    const char *name = NULL;
    json_t *item = NULL;
    void *next = NULL;
    bool changed = false;
    json_object_foreach_safe(artefacts, next, name, item)
    {
        if (record_erased_find(erased, json_text_or(item, "sha256", "")) == NULL)
            continue;
        json_t *instead = json_object_get(other, name);
        changed = true;
        if (instead != NULL &&
            record_erased_find(erased, json_text_or(instead, "sha256", "")) == NULL)
            (void)json_object_set(artefacts, name, instead);
        else
            (void)json_object_del(artefacts, name);
    }
    return changed;
}

bool record_erased_carry(json_t **artefacts, json_t **erased, const json_t *other_artefacts,
                         const json_t *other_erased)
{
    bool changed = false;
    size_t index = 0;
    json_t *entry = NULL;
    if (json_array_size(other_erased) == 0)
        return false;
    json_t *list = copy_list(*erased);
    json_array_foreach(other_erased, index, entry)
    {
        if (record_erased_find(list, json_text_or(entry, "sha256", "")) != NULL ||
            json_array_size(list) >= RECORD_ERASED_MAX)
            continue;
        (void)json_array_append(list, entry);
        changed = true;
    }
    json_decref(*erased);
    *erased = list;
    if (*artefacts == NULL)
        return changed;
    json_t *copy = json_copy(*artefacts);
    changed = carry_artefacts(copy, other_artefacts, list) || changed;
    json_decref(*artefacts);
    *artefacts = copy;
    return changed;
}
