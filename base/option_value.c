/*
 * What the value of an option is: sizes, durations, shares, numbers, choices; see option.h.
 *
 * Design: every reader takes the whole text or refuses it: no white space, no signs where a number cannot be
 * negative, no exponents, no locale. A number outside its bounds is refused, never clamped: a person who wrote
 * 500m and got 5m would not find out.
 */
#include "base/option_internal.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/nearest.h"

/* Most choices that an OPTION_CHOICE has (asserted): beyond it, a person needs a list and not an option. */
#define OPTION_CHOICES_MAX 16

/* Longest text of a number with a fraction: more digits say nothing to a double. */
#define OPTION_NUMBER_MAX_BYTES 32

/* A unit with its factor. */
struct option_unit {
    const char *name; /* as written */
    int64_t factor;   /* how many of the smallest unit it is */
};

/* Units of time, longest first; the factor is in milliseconds. */
static const struct option_unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

/* Units of size; those with i are powers of 1024. */
static const struct option_unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
    {"TiB", INT64_C(1) << 40},
    {"Ki", INT64_C(1) << 10},
    {"Mi", INT64_C(1) << 20},
    {"Gi", INT64_C(1) << 30},
    {"Ti", INT64_C(1) << 40},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", INT64_C(1000000000000)},
    {"k", 1000},
    {"K", 1000},
    {"M", 1000000},
    {"G", 1000000000},
    {"T", INT64_C(1000000000000)},
};

/* Reads decimal digits, at least one, without overflow; moves `*next` behind them. */
static int option_read_digits(const char **next, int64_t *ret_number)
{
    const char *at = *next;
    int64_t number = 0;
    if (!isdigit((unsigned char)*at))
        return ERR_INPUT;
    for (; isdigit((unsigned char)*at); at++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *at - '0', &number))
            return ERR_INPUT;
    }
    *next = at;
    *ret_number = number;
    return 0;
}

int option_parse_bytes(const char *text, int64_t *ret_bytes)
{
    const char *unit = text;
    int64_t number = 0;
    int code = option_read_digits(&unit, &number);
    if (code != 0)
        return code;
    for (size_t i = 0; i < ARRAY_COUNT(size_units); i++) {
        if (strcmp(unit, size_units[i].name) != 0)
            continue;
        int64_t bytes = 0;
        if (__builtin_mul_overflow(number, size_units[i].factor, &bytes))
            return ERR_INPUT;
        *ret_bytes = bytes;
        return 0;
    }
    return ERR_INPUT;
}

/* Reads the unit at `*next`, which must be smaller than the one before (index `unit_count` onwards). */
static int option_read_duration_unit(const char **next, size_t *unit_index)
{
    size_t letters = strspn(*next, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = *unit_index; i < ARRAY_COUNT(duration_units); i++) {
        const char *name = duration_units[i].name;
        if (strlen(name) == letters && strncmp(*next, name, letters) == 0) {
            *next += letters;
            *unit_index = i;
            return 0;
        }
    }
    return ERR_INPUT;
}

int option_parse_duration_ms(const char *text, int64_t *ret_ms)
{
    int64_t total_ms = 0;
    const char *next = text;
    if (strcmp(text, "0") == 0) {
        *ret_ms = 0;
        return 0;
    }
    /* Units must fall, so that 5m5h or 5m5m is a mistake and not a sum. */
    size_t unit_index = 0;
    do {
        int64_t number = 0;
        int64_t part_ms = 0;
        int code = option_read_digits(&next, &number);
        if (code != 0)
            return code;
        code = option_read_duration_unit(&next, &unit_index);
        if (code != 0)
            return code;
        if (__builtin_mul_overflow(number, duration_units[unit_index].factor, &part_ms) ||
            __builtin_add_overflow(total_ms, part_ms, &total_ms))
            return ERR_INPUT;
        unit_index++;
    } while (*next != '\0');
    *ret_ms = total_ms;
    return 0;
}

/* Reads digits with an optional fraction and, where `sign` is set, a leading minus; the whole of `text_bytes`. */
static int option_read_number(const char *text, size_t text_bytes, bool sign, double *ret_number)
{
    char copy[OPTION_NUMBER_MAX_BYTES + 1];
    if (text_bytes == 0 || text_bytes > OPTION_NUMBER_MAX_BYTES)
        return ERR_INPUT;
    memcpy(copy, text, text_bytes);
    copy[text_bytes] = '\0';
    const char *next = copy + (sign && copy[0] == '-' ? 1 : 0);
    size_t digits = strspn(next, "0123456789");
    next += digits;
    if (*next == '.') {
        size_t fraction_digits = strspn(next + 1, "0123456789");
        if (fraction_digits == 0)
            return ERR_INPUT;
        next += 1 + fraction_digits;
    }
    if (digits == 0 || *next != '\0')
        return ERR_INPUT;
    *ret_number = strtod(copy, NULL);
    return 0;
}

int option_parse_percent(const char *text, double *ret_share)
{
    size_t text_bytes = strlen(text);
    bool percent = text_bytes > 0 && text[text_bytes - 1] == '%';
    double share = 0;
    int code = option_read_number(text, text_bytes - (percent ? 1 : 0), false, &share);
    if (code != 0)
        return code;
    if (percent)
        share /= 100;
    if (share > 1)
        return ERR_INPUT;
    *ret_share = share;
    return 0;
}

static int option_parse_integer(const char *text, int64_t *ret_integer)
{
    const char *next = text + (text[0] == '-' ? 1 : 0);
    if (!isdigit((unsigned char)*next))
        return ERR_INPUT;
    char *end = NULL;
    errno = 0;
    long long integer = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return ERR_INPUT;
    *ret_integer = integer;
    return 0;
}

static int option_parse_flag(const char *text, bool *ret_truth)
{
    static const char *const words[] = {"false", "true", "no", "yes", "0", "1"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_truth = i % 2 == 1;
            return 0;
        }
    }
    return ERR_INPUT;
}

static void option_bytes_to_text(int64_t bytes, char ret_text[OPTION_BOUND_BYTES])
{
    static const char *const names[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t power = 0;
    while (power + 1 < ARRAY_COUNT(names) && bytes != 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        power++;
    }
    (void)snprintf(ret_text, OPTION_BOUND_BYTES, "%lld%s", (long long)bytes, names[power]);
}

static void option_duration_to_text(int64_t duration_ms, char ret_text[OPTION_BOUND_BYTES])
{
    (void)snprintf(ret_text, OPTION_BOUND_BYTES, "0");
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_COUNT(duration_units); i++) {
        int64_t count = duration_ms / duration_units[i].factor;
        if (count == 0)
            continue;
        duration_ms %= duration_units[i].factor;
        int written = snprintf(ret_text + used, OPTION_BOUND_BYTES - used, "%lld%s",
                               (long long)count, duration_units[i].name);
        used += (size_t)written;
    }
}

static void option_number_to_text(const struct option_row *row, int64_t number,
                                  char ret_text[OPTION_BOUND_BYTES])
{
    if (row->kind == OPTION_BYTES)
        option_bytes_to_text(number, ret_text);
    else if (row->kind == OPTION_DURATION)
        option_duration_to_text(number, ret_text);
    else
        (void)snprintf(ret_text, OPTION_BOUND_BYTES, "%lld", (long long)number);
}

bool option_has_bounds(const struct option_row *row)
{
    bool numeric = row->kind == OPTION_INTEGER || row->kind == OPTION_BYTES ||
                   row->kind == OPTION_DURATION || row->kind == OPTION_NUMBER;
    return numeric && (row->least != 0 || row->most != 0);
}

void option_bounds_to_text(const struct option_row *row, char ret_text[OPTION_BOUND_BYTES])
{
    char least[OPTION_BOUND_BYTES];
    char most[OPTION_BOUND_BYTES];
    option_number_to_text(row, row->least, least);
    option_number_to_text(row, row->most, most);
    /* Two bounds of the longest kind fit because each is at most 24 characters in practice; else they are cut. */
    if (row->most == INT64_MAX)
        (void)snprintf(ret_text, OPTION_BOUND_BYTES, "at least %.40s", least);
    else
        (void)snprintf(ret_text, OPTION_BOUND_BYTES, "%.29s to %.29s", least, most);
}

void option_environment_name(const struct option_row *row, char ret_name[OPTION_ENVIRONMENT_BYTES])
{
    assert(strlen(row->name) < OPTION_NAME_BYTES);
    int length = snprintf(ret_name, OPTION_ENVIRONMENT_BYTES, "NODAG_%s", row->name);
    for (int i = 0; i < length; i++)
        ret_name[i] = ret_name[i] == '-' ? '_' : (char)toupper((unsigned char)ret_name[i]);
}

const char *option_placeholder(const struct option_row *row)
{
    static const char *const words[] = {
        [OPTION_TEXT] = "TEXT",        [OPTION_CHOICE] = "WORD",     [OPTION_FILE] = "FILE",
        [OPTION_SECRET_FILE] = "FILE", [OPTION_INTEGER] = "N",       [OPTION_BYTES] = "SIZE",
        [OPTION_DURATION] = "TIME",    [OPTION_PERCENT] = "PERCENT", [OPTION_NUMBER] = "NUMBER",
        [OPTION_FLAG] = "BOOL",        [OPTION_TEXT_LIST] = "TEXT",
    };
    if (row->value_name != NULL)
        return row->value_name;
    return row->kind == OPTION_CHOICE ? row->choices : words[row->kind];
}

/* What a value of the row's kind is and how it is written: the end of "'x' is not …". */
static const char *option_kind_text(enum option_kind kind)
{
    static const char *const texts[] = {
        [OPTION_FILE] = "a path; name a file",
        [OPTION_SECRET_FILE] = "a path; name the file that holds the secret",
        [OPTION_INTEGER] = "a whole number; write for example 12",
        [OPTION_BYTES] = "a size; write for example 512, 64KiB or 25MB",
        [OPTION_DURATION] = "a time; write for example 250ms, 5s, 1h30m or 30d",
        [OPTION_PERCENT] = "a share; write for example 5% or 0.05",
        [OPTION_NUMBER] = "a number; write for example 0.5",
        [OPTION_FLAG] = "a truth value; write true or false",
        [OPTION_TEXT_LIST] = NULL,
    };
    return texts[kind];
}

static int option_store_failed(const struct option_value *value, struct error *error)
{
    return error_set(error, ERR_USAGE, "--%s: '%s' (%s) is not %s", value->row->name, value->text,
                     value->origin, option_kind_text(value->row->kind));
}

static int option_out_of_bounds(const struct option_value *value, struct error *error)
{
    char bounds[OPTION_BOUND_BYTES];
    option_bounds_to_text(value->row, bounds);
    return error_set(error, ERR_USAGE, "--%s: '%s' (%s) is out of bounds; it must be %s",
                     value->row->name, value->text, value->origin, bounds);
}

static int option_store_choice(const struct option_value *value, const char **member,
                               struct error *error)
{
    char copy[ERROR_TEXT_BYTES];
    const char *choices[OPTION_CHOICES_MAX];
    size_t count = 0;
    assert(strlen(value->row->choices) < sizeof(copy));
    (void)snprintf(copy, sizeof(copy), "%s", value->row->choices);
    char *rest = NULL;
    for (char *choice = strtok_r(copy, "|", &rest); choice != NULL;
         choice = strtok_r(NULL, "|", &rest)) {
        if (strcmp(choice, value->text) == 0) {
            *member = value->text;
            return 0;
        }
        assert(count < OPTION_CHOICES_MAX);
        choices[count++] = choice;
    }
    const char *near = nearest_name(value->text, choices, count);
    int code = error_set(error, ERR_USAGE, "--%s: '%s' (%s) is not one of %s", value->row->name,
                         value->text, value->origin, value->row->choices);
    if (near != NULL)
        code = error_set(error, ERR_USAGE, "--%s: '%s' (%s) is not one of %s; did you mean '%s'?",
                         value->row->name, value->text, value->origin, value->row->choices, near);
    return code;
}

static int option_store_list(const struct option_value *value, struct option_list *list,
                             struct error *error)
{
    if (!value->append)
        list->count = 0;
    if (list->count == OPTION_LIST_MAX)
        return error_set(error, ERR_USAGE, "--%s: more than %d values (%s)", value->row->name,
                         OPTION_LIST_MAX, value->origin);
    list->items[list->count++] = value->text;
    return 0;
}

static int option_store_whole(const struct option_value *value, int64_t *member,
                              struct error *error)
{
    const struct option_row *row = value->row;
    int64_t number = 0;
    int code = row->kind == OPTION_BYTES      ? option_parse_bytes(value->text, &number)
               : row->kind == OPTION_DURATION ? option_parse_duration_ms(value->text, &number)
                                              : option_parse_integer(value->text, &number);
    if (code != 0)
        return option_store_failed(value, error);
    if (option_has_bounds(row) && (number < row->least || number > row->most))
        return option_out_of_bounds(value, error);
    *member = number;
    return 0;
}

static int option_store_real(const struct option_value *value, double *member, struct error *error)
{
    const struct option_row *row = value->row;
    double number = 0;
    int code = row->kind == OPTION_PERCENT
                   ? option_parse_percent(value->text, &number)
                   : option_read_number(value->text, strlen(value->text), true, &number);
    if (code != 0)
        return option_store_failed(value, error);
    if (option_has_bounds(row) && (number < (double)row->least || number > (double)row->most))
        return option_out_of_bounds(value, error);
    *member = number;
    return 0;
}

int option_store(const struct option_value *value, void *settings, struct error *error)
{
    void *member = (char *)settings + value->row->offset;
    bool truth = false;
    switch (value->row->kind) {
    case OPTION_FILE:
    case OPTION_SECRET_FILE:
        if (value->text[0] == '\0')
            return option_store_failed(value, error);
        *(const char **)member = value->text;
        return 0;
    case OPTION_TEXT:
        *(const char **)member = value->text;
        return 0;
    case OPTION_CHOICE:
        return option_store_choice(value, member, error);
    case OPTION_INTEGER:
    case OPTION_BYTES:
    case OPTION_DURATION:
        return option_store_whole(value, member, error);
    case OPTION_PERCENT:
    case OPTION_NUMBER:
        return option_store_real(value, member, error);
    case OPTION_FLAG:
        if (option_parse_flag(value->text, &truth) != 0)
            return option_store_failed(value, error);
        *(bool *)member = truth;
        return 0;
    case OPTION_TEXT_LIST:
        return option_store_list(value, member, error);
    }
    return error_set(error, ERR_BUG, "--%s: the row has no known kind", value->row->name);
}

void option_store_absent(const struct option_row *row, void *settings)
{
    void *member = (char *)settings + row->offset;
    switch (row->kind) {
    case OPTION_TEXT:
    case OPTION_CHOICE:
    case OPTION_FILE:
    case OPTION_SECRET_FILE:
        *(const char **)member = NULL;
        break;
    case OPTION_INTEGER:
    case OPTION_BYTES:
    case OPTION_DURATION:
        *(int64_t *)member = 0;
        break;
    case OPTION_PERCENT:
    case OPTION_NUMBER:
        *(double *)member = 0;
        break;
    case OPTION_FLAG:
        *(bool *)member = false;
        break;
    case OPTION_TEXT_LIST:
        ((struct option_list *)member)->count = 0;
        break;
    }
}
