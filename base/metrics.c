/*
 * Prometheus metrics: see metrics.h.
 *
 *      metrics ─▶ family ─▶ family ─▶ …            in order of declaration, which is the order of the text
 *                   │
 *                   └─ series: list in order of creation, and a hash (uthash) from label values to series
 *
 * Design: the key of a series is its label text as it will be printed (`code="202",reason=""`), made once when the
 * series is made; so a look-up hashes exactly what tells series apart, and printing copies it.
 */
#include "base/metrics.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/metrics_process.h"

/* uthash allocates as everything does: it aborts instead of calling exit(). */
#define uthash_malloc(bytes) mem_alloc(bytes)
#include <uthash.h>
#include <utlist.h>

/* Most bytes of one label value; longer ones are cut: they would be a payload. */
#define METRICS_VALUE_MAX_BYTES 256

/* Room for the labels of one series: names of any sane length and values of which each byte may be escaped. */
#define METRICS_LABELS_TEXT_BYTES (METRICS_LABELS_MAX * (2 * METRICS_VALUE_MAX_BYTES + 128))

/* The label value that stands for all series beyond METRICS_SERIES_MAX. */
#define METRICS_OTHER "other"

/* Guards against a struct of another type or one that was freed. */
#define METRICS_MAGIC 0x6d747263u

struct metric {
    const struct metrics_family *family; /* borrowed */
    char *labels;        /* owned; `name="value",…` as printed; empty without labels */
    double value;        /* counter, gauge: the value; histogram: the sum */
    uint64_t count;      /* histogram: observations */
    uint64_t *buckets;   /* owned; histogram: observations in (bound before, bound] */
    struct metric *next; /* in order of creation */
    UT_hash_handle hh;   /* by labels */
};

struct metrics_family {
    enum metrics_kind kind;         /* what its series hold */
    const char *name;               /* borrowed */
    const char *help;               /* borrowed */
    const char *const *label_names; /* borrowed; NULL if label_count is 0 */
    size_t label_count;             /* 0..METRICS_LABELS_MAX */
    const double *bounds;           /* borrowed; histogram */
    size_t bound_count;             /* without +Inf */
    struct metric *series;          /* owned list */
    struct metric *by_labels;       /* hash over the same series */
    struct metrics_family *next;    /* in order of declaration */
};

/* A function that refreshes gauges. */
struct metrics_collector {
    void (*function)(void *argument); /* called before each exposition */
    void *argument;                   /* borrowed */
    struct metrics_collector *next;   /* in order of registration */
};

struct metrics {
    unsigned magic;                       /* METRICS_MAGIC */
    struct metrics_family *families;      /* owned list */
    struct metrics_collector *collectors; /* owned list */
    struct metrics_process *process;      /* owned; NULL unless metrics_add_process was called */
};

struct metrics *metrics_new(void)
{
    struct metrics *metrics = MEM_NEW(struct metrics);
    metrics->magic = METRICS_MAGIC;
    return metrics;
}

static void metrics_family_free(struct metrics_family *family)
{
    struct metric *metric = NULL;
    struct metric *after = NULL;
    HASH_CLEAR(hh, family->by_labels);
    LL_FOREACH_SAFE(family->series, metric, after)
    {
        free(metric->labels);
        free(metric->buckets);
        free(metric);
    }
    free(family);
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    assert(metrics->magic == METRICS_MAGIC);
    struct metrics_family *family = NULL;
    struct metrics_family *family_after = NULL;
    LL_FOREACH_SAFE(metrics->families, family, family_after)
    metrics_family_free(family);
    struct metrics_collector *collector = NULL;
    struct metrics_collector *collector_after = NULL;
    LL_FOREACH_SAFE(metrics->collectors, collector, collector_after)
    free(collector);
    metrics_process_free(metrics->process);
    metrics->magic = 0;
    free(metrics);
}

/* Prometheus' rule for names: [a-zA-Z_:][a-zA-Z0-9_:]*; labels have no colon. Only assertions ask it. */
static __attribute__((unused)) bool metrics_name_is_valid(const char *name, bool colon)
{
    if (name[0] == '\0' || isdigit((unsigned char)name[0]))
        return false;
    for (const char *at = name; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && *at != '_' && !(colon && *at == ':'))
            return false;
    }
    return true;
}

static struct metrics_family *metrics_find(struct metrics *metrics, const char *name)
{
    struct metrics_family *family = NULL;
    LL_FOREACH(metrics->families, family)
    {
        if (strcmp(family->name, name) == 0)
            return family;
    }
    return NULL;
}

static size_t metrics_count_labels(const char *const *label_names)
{
    size_t count = 0;
    while (label_names != NULL && label_names[count] != NULL) {
        assert(metrics_name_is_valid(label_names[count], false));
        count++;
    }
    assert(count <= METRICS_LABELS_MAX);
    return count;
}

struct metrics_family *metrics_declare(struct metrics *metrics, enum metrics_kind kind,
                                       const char *name, const char *help,
                                       const char *const *label_names)
{
    struct metrics_family *family = metrics_find(metrics, name);
    size_t label_count = metrics_count_labels(label_names);
    if (family != NULL) {
        assert(family->kind == kind && family->label_count == label_count);
        return family;
    }
    assert(metrics_name_is_valid(name, true));
    family = MEM_NEW(struct metrics_family);
    family->kind = kind;
    family->name = name;
    family->help = help;
    family->label_names = label_names;
    family->label_count = label_count;
    LL_APPEND(metrics->families, family);
    return family;
}

struct metrics_family *metrics_declare_histogram(struct metrics *metrics, const char *name,
                                                 const char *help, const char *const *label_names,
                                                 const double *bounds, size_t bound_count)
{
    struct metrics_family *family =
        metrics_declare(metrics, METRICS_HISTOGRAM, name, help, label_names);
    for (size_t i = 1; i < bound_count; i++)
        assert(bounds[i - 1] < bounds[i]);
    if (family->bounds == NULL) {
        family->bounds = bounds;
        family->bound_count = bound_count;
    }
    return family;
}

/* Appends one label value in quotes, escaped; what is too long is cut at a character. */
static char *metrics_put_value(char *at, const char *value)
{
    size_t value_bytes = strnlen(value, METRICS_VALUE_MAX_BYTES + 1);
    if (value_bytes > METRICS_VALUE_MAX_BYTES) {
        value_bytes = METRICS_VALUE_MAX_BYTES;
        while (value_bytes > 0 && ((unsigned char)value[value_bytes] & 0xc0) == 0x80)
            value_bytes--;
    }
    *at++ = '"';
    for (size_t i = 0; i < value_bytes; i++) {
        if (value[i] == '\\' || value[i] == '"' || value[i] == '\n')
            *at++ = '\\';
        *at++ = value[i];
        if (value[i] == '\n')
            at[-1] = 'n';
    }
    *at++ = '"';
    return at;
}

/* Writes `name="value",…` for the values; returns its length. */
static size_t metrics_labels_to_text(const struct metrics_family *family,
                                     const char *const *label_values,
                                     char ret_text[METRICS_LABELS_TEXT_BYTES])
{
    char *at = ret_text;
    for (size_t i = 0; i < family->label_count; i++) {
        size_t name_bytes = strlen(family->label_names[i]);
        assert(name_bytes < 64); /* keeps the sum within METRICS_LABELS_TEXT_BYTES */
        if (i > 0)
            *at++ = ',';
        memcpy(at, family->label_names[i], name_bytes);
        at += name_bytes;
        *at++ = '=';
        at = metrics_put_value(at, label_values[i]);
    }
    *at = '\0';
    return (size_t)(at - ret_text);
}

static struct metric *metrics_add_series(struct metrics_family *family, const char *labels,
                                         size_t label_bytes)
{
    struct metric *metric = MEM_NEW(struct metric);
    metric->family = family;
    metric->labels = mem_copy_bytes(labels, label_bytes);
    if (family->kind == METRICS_HISTOGRAM)
        metric->buckets = mem_alloc_array(family->bound_count + 1, sizeof(*metric->buckets));
    LL_APPEND(family->series, metric);
    HASH_ADD_KEYPTR(hh, family->by_labels, metric->labels, label_bytes, metric);
    return metric;
}

struct metric *metrics_series(struct metrics_family *family, const char *const *label_values)
{
    char labels[METRICS_LABELS_TEXT_BYTES];
    size_t label_bytes = metrics_labels_to_text(family, label_values, labels);
    struct metric *metric = NULL;
    HASH_FIND(hh, family->by_labels, labels, label_bytes, metric);
    if (metric != NULL)
        return metric;
    if (HASH_COUNT(family->by_labels) >= METRICS_SERIES_MAX) {
        static const char *const others[METRICS_LABELS_MAX] = {METRICS_OTHER, METRICS_OTHER,
                                                               METRICS_OTHER, METRICS_OTHER};
        label_bytes = metrics_labels_to_text(family, others, labels);
        HASH_FIND(hh, family->by_labels, labels, label_bytes, metric);
        if (metric != NULL)
            return metric;
    }
    return metrics_add_series(family, labels, label_bytes);
}

struct metric *metrics_single(struct metrics_family *family)
{
    assert(family->label_count == 0);
    return metrics_series(family, NULL);
}

void metric_add(struct metric *metric, double amount)
{
    assert(metric->family->kind != METRICS_HISTOGRAM);
    assert(metric->family->kind == METRICS_GAUGE || amount >= 0);
    metric->value += amount;
}

void metric_set(struct metric *metric, double value)
{
    assert(metric->family->kind == METRICS_GAUGE);
    metric->value = value;
}

void metric_observe(struct metric *metric, double value)
{
    const struct metrics_family *family = metric->family;
    assert(family->kind == METRICS_HISTOGRAM);
    size_t bucket = 0;
    while (bucket < family->bound_count && !(value <= family->bounds[bucket]))
        bucket++;
    metric->buckets[bucket]++;
    metric->count++;
    metric->value += value;
}

double metric_value(const struct metric *metric)
{
    return metric->value;
}

void metrics_on_collect(struct metrics *metrics, void (*function)(void *argument), void *argument)
{
    struct metrics_collector *collector = MEM_NEW(struct metrics_collector);
    collector->function = function;
    collector->argument = argument;
    LL_APPEND(metrics->collectors, collector);
}

/* Writes a number as the format wants it: whole numbers without a fraction; +Inf, -Inf, NaN by name. */
static void metrics_number_to_text(double number, char ret_text[JSON_NUMBER_BYTES])
{
    if (isnan(number)) {
        (void)snprintf(ret_text, JSON_NUMBER_BYTES, "NaN");
        return;
    }
    if (isinf(number)) {
        (void)snprintf(ret_text, JSON_NUMBER_BYTES, "%s", number < 0 ? "-Inf" : "+Inf");
        return;
    }
    json_number_to_text(number, ret_text);
    size_t length = strlen(ret_text);
    if (length > 2 && strcmp(ret_text + length - 2, ".0") == 0)
        ret_text[length - 2] = '\0';
}

/* Appends `name_suffix{labels,extra} value`; `extra` may be empty. */
static int metrics_print_sample(const struct metric *metric, const char *suffix, const char *extra,
                                double value, struct buffer *text)
{
    char number[JSON_NUMBER_BYTES];
    metrics_number_to_text(value, number);
    bool labelled = metric->labels[0] != '\0' || extra[0] != '\0';
    bool both = metric->labels[0] != '\0' && extra[0] != '\0';
    return buffer_append_format(text, "%s%s%s%s%s%s%s %s\n", metric->family->name, suffix,
                                labelled ? "{" : "", metric->labels, both ? "," : "", extra,
                                labelled ? "}" : "", number);
}

static int metrics_print_histogram(const struct metric *metric, struct buffer *text)
{
    const struct metrics_family *family = metric->family;
    uint64_t observations = 0;
    for (size_t i = 0; i <= family->bound_count; i++) {
        char bound[JSON_NUMBER_BYTES];
        char extra[JSON_NUMBER_BYTES + 8];
        observations += metric->buckets[i];
        metrics_number_to_text(i < family->bound_count ? family->bounds[i] : INFINITY, bound);
        (void)snprintf(extra, sizeof(extra), "le=\"%s\"", bound);
        int code = metrics_print_sample(metric, "_bucket", extra, (double)observations, text);
        if (code != 0)
            return code;
    }
    int code = metrics_print_sample(metric, "_sum", "", metric->value, text);
    if (code != 0)
        return code;
    return metrics_print_sample(metric, "_count", "", (double)metric->count, text);
}

/* Appends the two lines that introduce a family. */
static int metrics_print_head(const struct metrics_family *family, struct buffer *text)
{
    static const char *const kinds[] = {[METRICS_COUNTER] = "counter",
                                        [METRICS_GAUGE] = "gauge",
                                        [METRICS_HISTOGRAM] = "histogram"};
    int code = buffer_append_format(text, "# HELP %s ", family->name);
    for (const char *at = family->help; code == 0 && *at != '\0'; at++) {
        const char *escaped = *at == '\\' ? "\\\\" : *at == '\n' ? "\\n" : NULL;
        code = escaped != NULL ? buffer_append_text(text, escaped) : buffer_append(text, at, 1);
    }
    if (code != 0)
        return code;
    return buffer_append_format(text, "\n# TYPE %s %s\n", family->name, kinds[family->kind]);
}

static int metrics_print_family(const struct metrics_family *family, struct buffer *text)
{
    const struct metric *metric = NULL;
    int code = metrics_print_head(family, text);
    if (code != 0)
        return code;
    LL_FOREACH(family->series, metric)
    {
        code = family->kind == METRICS_HISTOGRAM
                   ? metrics_print_histogram(metric, text)
                   : metrics_print_sample(metric, "", "", metric->value, text);
        if (code != 0)
            return code;
    }
    return 0;
}

int metrics_print(struct metrics *metrics, struct buffer *text)
{
    struct metrics_collector *collector = NULL;
    LL_FOREACH(metrics->collectors, collector)
    collector->function(collector->argument);
    if (metrics->process != NULL)
        metrics_process_refresh(metrics->process);
    struct metrics_family *family = NULL;
    LL_FOREACH(metrics->families, family)
    {
        int code = metrics_print_family(family, text);
        if (code != 0)
            return code;
    }
    return 0;
}

void metrics_add_process(struct metrics *metrics)
{
    if (metrics->process == NULL)
        metrics->process = metrics_process_new(metrics);
}
