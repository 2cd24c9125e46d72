/*
 * Reading values out of a YAML tree: the second half of yaml_text.h.
 *
 * Design: pure functions over nodes; what a value is, is decided here and nowhere else. Only forms that JSON and
 * every version of YAML read alike are numbers and truths, so that nobody's 010 becomes 8 or `on` becomes true.
 */
#include "base/yaml_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

/* Longest piece of the text that an error quotes. */
#define YAML_QUOTE_MAX_BYTES 60

/* Most names that a mapping may be checked against. */
#define YAML_NAMES_MAX 64

/* Longest plain number: what no int64_t or sensible double needs is refused before it is converted. */
#define YAML_NUMBER_MAX_BYTES 40

const struct yaml_node *yaml_get(const struct yaml_node *mapping, const char *name)
{
    if (mapping == NULL || mapping->kind != YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < mapping->count; i++) {
        if (strcmp(mapping->names[i]->text, name) == 0)
            return mapping->items[i];
    }
    return NULL;
}

/* What stands at a node, for "… where … is needed". */
static const char *yaml_kind_text(const struct yaml_node *node)
{
    if (yaml_is_null(node))
        return "nothing";
    static const char *const texts[] = {
        [YAML_SCALAR] = "a text", [YAML_SEQUENCE] = "a list", [YAML_MAPPING] = "a mapping"};
    return texts[node->kind];
}

static int yaml_wrong_kind(const struct yaml_stream *stream, const struct yaml_node *node,
                           const char *wanted, struct error *error)
{
    return yaml_error(stream, node, error, ERR_INPUT, "%s where %s is needed", yaml_kind_text(node),
                      wanted);
}

static int yaml_check_name(const struct yaml_stream *stream, const struct yaml_node *name_node,
                           const char *const *names, size_t name_count, struct error *error)
{
    for (size_t i = 0; i < name_count; i++) {
        if (strcmp(name_node->text, names[i]) == 0)
            return 0;
    }
    const char *near = nearest_name(name_node->text, names, name_count);
    if (near != NULL)
        return yaml_error(stream, name_node, error, ERR_INPUT,
                          "unknown name '%.*s'; did you mean '%s'?", YAML_QUOTE_MAX_BYTES,
                          name_node->text, near);
    char known[ERROR_TEXT_BYTES] = "";
    for (size_t i = 0, used = 0; i < name_count && used < sizeof(known); i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                                 names[i]);
    return yaml_error(stream, name_node, error, ERR_INPUT, "unknown name '%.*s'; known here: %s",
                      YAML_QUOTE_MAX_BYTES, name_node->text, known);
}

int yaml_check_names(const struct yaml_stream *stream, const struct yaml_node *mapping,
                     const char *const *names, struct error *error)
{
    if (mapping == NULL)
        return 0;
    if (mapping->kind != YAML_MAPPING)
        return yaml_wrong_kind(stream, mapping, "a mapping", error);
    size_t name_count = 0;
    while (names[name_count] != NULL)
        name_count++;
    assert(name_count <= YAML_NAMES_MAX);
    for (size_t i = 0; i < mapping->count; i++) {
        int code = yaml_check_name(stream, mapping->names[i], names, name_count, error);
        if (code != 0)
            return code;
    }
    return 0;
}

bool yaml_is_null(const struct yaml_node *node)
{
    if (node == NULL)
        return true;
    return node->kind == YAML_SCALAR && !node->quoted &&
           (node->text_bytes == 0 || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

int yaml_read_text(const struct yaml_stream *stream, const struct yaml_node *node,
                   const char **ret_text, struct error *error)
{
    if (yaml_is_null(node) || node->kind != YAML_SCALAR)
        return yaml_wrong_kind(stream, node, "a text", error);
    *ret_text = node->text;
    return 0;
}

/* Checks that a node is a scalar without quotes: what a number or a truth value is. */
static int yaml_check_plain(const struct yaml_stream *stream, const struct yaml_node *node,
                            const char *wanted, struct error *error)
{
    if (yaml_is_null(node) || node->kind != YAML_SCALAR)
        return yaml_wrong_kind(stream, node, wanted, error);
    if (node->quoted)
        return yaml_error(stream, node, error, ERR_INPUT,
                          "a quoted text where %s is needed; remove the quotes", wanted);
    return 0;
}

/* Returns true for -?(0|[1-9][0-9]*), with a fraction and an exponent where `real`: JSON's numbers. */
static bool yaml_is_number(const char *text, bool real)
{
    const char *at = text + (text[0] == '-' ? 1 : 0);
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || (digits > 1 && at[0] == '0') || strlen(text) > YAML_NUMBER_MAX_BYTES)
        return false;
    at += digits;
    if (real && *at == '.') {
        size_t fraction_digits = strspn(at + 1, "0123456789");
        if (fraction_digits == 0)
            return false;
        at += 1 + fraction_digits;
    }
    if (real && (*at == 'e' || *at == 'E')) {
        at += at[1] == '-' || at[1] == '+' ? 2 : 1;
        size_t exponent_digits = strspn(at, "0123456789");
        if (exponent_digits == 0)
            return false;
        at += exponent_digits;
    }
    return *at == '\0';
}

int yaml_read_int(const struct yaml_stream *stream, const struct yaml_node *node, int64_t least,
                  int64_t most, int64_t *ret_integer, struct error *error)
{
    int code = yaml_check_plain(stream, node, "a whole number", error);
    if (code != 0)
        return code;
    if (!yaml_is_number(node->text, false))
        return yaml_error(stream, node, error, ERR_INPUT, "'%.*s' is not a whole number",
                          YAML_QUOTE_MAX_BYTES, node->text);
    errno = 0;
    long long integer = strtoll(node->text, NULL, 10);
    if (errno != 0 || integer < least || integer > most)
        return yaml_error(stream, node, error, ERR_INPUT,
                          "%s is out of bounds; it must be %lld to %lld", node->text,
                          (long long)least, (long long)most);
    *ret_integer = integer;
    return 0;
}

int yaml_read_number(const struct yaml_stream *stream, const struct yaml_node *node, double least,
                     double most, double *ret_number, struct error *error)
{
    int code = yaml_check_plain(stream, node, "a number", error);
    if (code != 0)
        return code;
    if (!yaml_is_number(node->text, true))
        return yaml_error(stream, node, error, ERR_INPUT, "'%.*s' is not a number",
                          YAML_QUOTE_MAX_BYTES, node->text);
    double number = strtod(node->text, NULL);
    if (!(number >= least && number <= most))
        return yaml_error(stream, node, error, ERR_INPUT,
                          "%s is out of bounds; it must be %g to %g", node->text, least, most);
    *ret_number = number;
    return 0;
}

int yaml_read_bool(const struct yaml_stream *stream, const struct yaml_node *node, bool *ret_truth,
                   struct error *error)
{
    int code = yaml_check_plain(stream, node, "true or false", error);
    if (code != 0)
        return code;
    bool is_true = strcmp(node->text, "true") == 0;
    if (!is_true && strcmp(node->text, "false") != 0)
        return yaml_error(stream, node, error, ERR_INPUT, "'%.*s' where true or false is needed",
                          YAML_QUOTE_MAX_BYTES, node->text);
    *ret_truth = is_true;
    return 0;
}
