/*
 * Paths to one value in a YAML file: see spec_path.h. Values in brackets may hold slashes, but no
 * closing bracket.
 */
#include "topics/spec_path.h"

#include <string.h>

/* Takes the text up to one of `ends` (or the end of all); false if it is empty. */
static bool path_take(const char **at, const char *ends, struct text *ret_text)
{
    size_t bytes = strcspn(*at, ends);
    *ret_text = (struct text){.data = *at, .bytes = bytes};
    *at += bytes;
    return bytes > 0;
}

static bool path_read_index(struct text digits, size_t *ret_index)
{
    size_t index = 0;
    for (size_t i = 0; i < digits.bytes; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        index = 10 * index + (size_t)(digits.data[i] - '0');
        if (index > SPEC_PATH_INDEX_MAX)
            return false;
    }
    *ret_index = index;
    return true;
}

/* Reads what stands between brackets: a number, or field=value. */
static bool path_take_item(const char **at, struct spec_path_step *step)
{
    struct text inside = {0};
    *at += 1;
    if (!path_take(at, "]", &inside) || **at != ']')
        return false;
    *at += 1;
    const char *equals = memchr(inside.data, '=', inside.bytes);
    if (equals == NULL) {
        step->kind = SPEC_PATH_INDEX;
        return path_read_index(inside, &step->index);
    }
    step->kind = SPEC_PATH_MATCH;
    step->name = (struct text){.data = inside.data, .bytes = (size_t)(equals - inside.data)};
    step->value = (struct text){.data = equals + 1, .bytes = inside.bytes - step->name.bytes - 1};
    return step->name.bytes > 0 && step->value.bytes > 0;
}

static bool path_take_step(const char **at, struct spec_path *path)
{
    if (**at != '/' || path->step_count == SPEC_PATH_STEPS_MAX)
        return false;
    *at += 1;
    struct spec_path_step *step = &path->steps[path->step_count++];
    if (**at == '[')
        return path_take_item(at, step) && (**at == '/' || **at == '\0');
    step->kind = SPEC_PATH_KEY;
    return path_take(at, "/", &step->name);
}

int spec_path_parse(const char *text, struct spec_path *ret_path)
{
    struct spec_path path = {0};
    const char *at = text;
    if (*at == '#') {
        at++;
        if (!path_take(&at, "/", &path.document_kind) || *at != '/')
            return ERR_INPUT;
        at++;
        if (!path_take(&at, "/", &path.document_name))
            return ERR_INPUT;
    }
    do {
        if (!path_take_step(&at, &path))
            return ERR_INPUT;
    } while (*at != '\0');
    *ret_path = path;
    return 0;
}
