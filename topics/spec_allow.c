/*
 * What a source of documents may define: see spec_allow.h.
 */
#include "topics/spec_allow.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/* Longest "KIND/NAME". */
#define ALLOW_NAME_BYTES 96

static bool allow_covers(const struct spec_globs *globs, const char *text)
{
    for (size_t i = 0; i < globs->count; i++)
        if (spec_glob_covers(globs->items[i], text))
            return true;
    return !globs->is_set;
}

bool spec_allows_name(const struct spec_allow *allow, enum spec_kind kind, const char *name)
{
    char full_name[ALLOW_NAME_BYTES];
    (void)snprintf(full_name, sizeof(full_name), "%s/%s", spec_kind_row(kind)->name, name);
    for (size_t i = 0; i < allow->names.count; i++) {
        const char *glob = allow->names.items[i];
        if (spec_glob_covers(glob, strchr(glob, '/') != NULL ? full_name : name))
            return true;
    }
    return !allow->names.is_set;
}

/* Returns the first text of a list that is not allowed, or NULL. */
static const char *allow_first_outside(const struct spec_globs *globs, const json_t *list)
{
    size_t index = 0;
    const json_t *entry = NULL;
    json_array_foreach(list, index, entry)
    {
        const char *text = json_string_value(entry);
        if (text != NULL && !allow_covers(globs, text))
            return text;
    }
    return NULL;
}

char *spec_allow_breach(const struct spec_allow *allow, enum spec_kind kind, const json_t *document)
{
    const char *outside = NULL;
    if (kind == SPEC_LABELER) {
        outside = allow_first_outside(&allow->targets, spec_get(document, "spec.repositories"));
        if (outside != NULL)
            return mem_format("its source may not act on `%s` (allow.targets)", outside);
        outside = allow_first_outside(&allow->labels, spec_get(document, "spec.labels.include"));
        if (outside != NULL)
            return mem_format("its source may not include the label `%s` (allow.labels)", outside);
    }
    if (kind == SPEC_DEPLOYMENT) {
        outside = json_string_value(spec_get(document, "spec.target.repository"));
        if (outside != NULL && !allow_covers(&allow->targets, outside))
            return mem_format("its source may not act on `%s` (allow.targets)", outside);
    }
    return NULL;
}
