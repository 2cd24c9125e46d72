/*
 * Learning a feature space and finding issues' vectors in it: see space.h.
 *
 * What did not help (macro F1 on nlbse24, mean recall at precision .80 on sig-release by time): log
 * counts or mere presence instead of saturated counts (−.002); features of one issue only (−.005);
 * the whole idf instead of its root (−.001, and recall −.003).
 */
#include "reactors/classifier/space.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "reactors/classifier/counter.h"

/* Issues that must have a feature: once is chance. */
#define FEATURE_ISSUES_MIN 2u

/* Most features: bounds a model's size; the most frequent are kept. */
#define FEATURES_MAX ((size_t)1 << 20)

/* Issues of a repository that must have a line … */
#define TEMPLATE_ISSUES_MIN 5u

/* … and the share of its issues that must, for the line to be a template's. */
#define TEMPLATE_SHARE_MIN 0.02

/* Count at which a feature has half of its largest worth, as BM25 does it. */
#define COUNT_HALF 1.2f

/* Repositories that must be there for copies of features to make sense. */
#define CROSSED_REPOSITORIES_MIN 2u

/* What is being learnt; owns the arrays of the view. */
struct space_builder {
    struct feature_space space; /* the view */
    uint64_t *templates;        /* owned */
    uint64_t *repositories;     /* owned */
    uint64_t *crossed;          /* owned */
    uint64_t *hashes;           /* owned */
    float *idf;                 /* owned */
    uint32_t *buckets;          /* owned */
};

void space_index(const uint64_t *hashes, size_t count, uint32_t *ret_buckets)
{
    size_t bucket = 0;
    for (size_t f = 0; f < count; f++)
        while (bucket <= hashes[f] >> (64 - SPACE_BUCKET_BITS))
            ret_buckets[bucket++] = (uint32_t)f;
    while (bucket < SPACE_BUCKETS)
        ret_buckets[bucket++] = (uint32_t)count;
}

/* The number of a feature, or space->count if it is not known. */
static size_t space_find(const struct feature_space *space, uint64_t hash)
{
    size_t bucket = hash >> (64 - SPACE_BUCKET_BITS);
    size_t low = space->buckets[bucket];
    size_t high = space->buckets[bucket + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (space->hashes[middle] == hash)
            return middle;
        if (space->hashes[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return space->count;
}

/*
 * --- vectors
 * ------------------------------------------------------------------------------------------------
 */

static void vector_add(struct space_vector *vector, size_t feature, size_t entry, float value)
{
    if (vector->count == vector->capacity) {
        vector->capacity = 2 * vector->capacity + 256;
        vector->values =
            mem_resize_array(vector->values, vector->capacity, sizeof(*vector->values));
    }
    vector->values[vector->count++] = (struct space_value){
        .feature = (uint32_t)feature, .entry = (uint32_t)entry, .value = value};
}

void space_vector_release(struct space_vector *vector)
{
    free(vector->values);
    *vector = (struct space_vector){0};
}

static bool is_crossed(const struct feature_space *space, uint64_t repository_hash)
{
    return repository_hash != 0 &&
           features_sorted_has(space->crossed, space->crossed_count, repository_hash);
}

/* Adds the copies of the shared features for one repository or owner. */
static void vector_cross(const struct feature_space *space, const struct feature_bag *bag,
                         uint64_t repository_hash, size_t shared_count, struct space_vector *vector)
{
    if (!is_crossed(space, repository_hash))
        return;
    for (size_t v = 0; v < shared_count; v++) {
        struct space_value shared = vector->values[v];
        size_t feature =
            space_find(space, features_cross(repository_hash, bag->entries[shared.entry].hash));
        if (feature < space->count)
            vector_add(vector, feature, shared.entry,
                       shared.value * (float)space->config.cross_weight);
    }
}

/*
 * What a count is worth: it grows towards 1 + COUNT_HALF, a word said ten times is not ten words.
 */
static float saturated(uint32_t count)
{
    return (float)count * (1 + COUNT_HALF) / ((float)count + COUNT_HALF);
}

void space_vectorise(const struct feature_space *space, const struct feature_bag *bag,
                     const char *repository, struct space_vector *vector)
{
    double squares[FEATURE_BLOCK_COUNT] = {0};
    vector->count = 0;
    for (size_t e = 0; e < bag->count; e++) {
        size_t feature = space_find(space, bag->entries[e].hash);
        if (feature == space->count)
            continue;
        float value = saturated(bag->entries[e].count) * space->idf[feature];
        squares[bag->entries[e].block] += (double)value * (double)value;
        vector_add(vector, feature, e, value);
    }
    double scale[FEATURE_BLOCK_COUNT];
    for (size_t b = 0; b < FEATURE_BLOCK_COUNT; b++)
        scale[b] = squares[b] > 0 ? space->config.block_weight[b] / sqrt(squares[b]) : 0;
    for (size_t v = 0; v < vector->count; v++)
        vector->values[v].value *= (float)scale[bag->entries[vector->values[v].entry].block];
    size_t shared_count = vector->count;
    vector_cross(space, bag, features_repository_hash(repository), shared_count, vector);
    vector_cross(space, bag, features_owner_hash(repository), shared_count, vector);
}

/*
 * --- learning
 * -----------------------------------------------------------------------------------------------
 */

void space_builder_free(struct space_builder *builder)
{
    if (builder == NULL)
        return;
    free(builder->templates);
    free(builder->repositories);
    free(builder->crossed);
    free(builder->hashes);
    free(builder->idf);
    free(builder->buckets);
    free(builder);
}

const struct feature_space *space_of(const struct space_builder *builder)
{
    return &builder->space;
}

/* Repositories by their rows, and owners by their repositories. */
static void learn_repositories(struct space_builder *builder, struct counter *rows_of,
                               const struct dataset_row *const *rows, size_t row_count)
{
    CLEANUP(counter_free) struct counter *repositories_of = counter_new();
    CLEANUP(counter_free) struct counter *crossed = counter_new();
    for (size_t r = 0; r < row_count; r++) {
        uint64_t repository_hash = features_repository_hash(rows[r]->repository);
        bool is_new = counter_get(rows_of, repository_hash) == 0;
        counter_add(rows_of, repository_hash, (uint32_t)r + 1);
        if (is_new)
            counter_add(repositories_of, features_owner_hash(rows[r]->repository), (uint32_t)r + 1);
    }
    size_t repository_count = 0;
    builder->repositories = counter_sorted(rows_of, 1, &repository_count);
    builder->space.templates.repositories = builder->repositories;
    builder->space.templates.repository_count = repository_count;
    if (repository_count < CROSSED_REPOSITORIES_MIN || builder->space.config.cross_weight <= 0)
        return;
    for (size_t r = 0; r < repository_count; r++)
        counter_add(crossed, builder->repositories[r], 1);
    size_t owner_count = 0;
    uint64_t *owners = counter_sorted(repositories_of, CROSSED_REPOSITORIES_MIN, &owner_count);
    for (size_t o = 0; o < owner_count; o++) /* an owner of all has nothing of its own */
        if (counter_get(repositories_of, owners[o]) < repository_count)
            counter_add(crossed, owners[o], 1);
    free(owners);
    builder->crossed = counter_sorted(crossed, 1, &builder->space.crossed_count);
    builder->space.crossed = builder->crossed;
}

/* Counts of a row's lines, for features_visit_lines(). */
struct line_visit {
    struct counter *lines; /* borrowed: (repository, line) → issues */
    struct counter *kept;  /* borrowed: lines found to be templates', NULL while counting */
    uint32_t unit;         /* the row's number, from 1 */
    double least;          /* issues that make a template line */
};

static void count_line(void *context, uint64_t repository_line, uint64_t any_line)
{
    struct line_visit *visit = context;
    if (visit->kept == NULL) {
        counter_add(visit->lines, repository_line, visit->unit);
        return;
    }
    if ((double)counter_get(visit->lines, repository_line) >= visit->least) {
        counter_add(visit->kept, repository_line, visit->unit);
        counter_add(visit->kept, any_line, visit->unit);
    }
}

static void learn_templates(struct space_builder *builder, const struct counter *rows_of,
                            const struct dataset_row *const *rows, size_t row_count)
{
    CLEANUP(counter_free) struct counter *lines = counter_new();
    CLEANUP(counter_free) struct counter *kept = counter_new();
    struct line_visit visit = {.lines = lines};
    for (int pass = 0; pass < 2; pass++) {
        visit.kept = pass == 0 ? NULL : kept;
        for (size_t r = 0; r < row_count; r++) {
            struct classifier_issue issue = dataset_issue(rows[r]);
            uint32_t issues = counter_get(rows_of, features_repository_hash(issue.repository));
            visit.unit = (uint32_t)r + 1;
            visit.least = fmax(TEMPLATE_ISSUES_MIN, TEMPLATE_SHARE_MIN * issues);
            features_visit_lines(&issue, count_line, &visit);
        }
    }
    builder->templates = counter_sorted(kept, 1, &builder->space.templates.count);
    builder->space.templates.hashes = builder->templates;
}

static void count_row(const struct feature_space *space, const struct dataset_row *row,
                      uint32_t unit, struct feature_bag *bag, struct counter *features)
{
    struct classifier_issue issue = dataset_issue(row);
    features_extract(&space->config, &space->templates, &issue, bag);
    const uint64_t copies[] = {features_repository_hash(row->repository),
                               features_owner_hash(row->repository)};
    for (size_t e = 0; e < bag->count; e++)
        counter_add(features, bag->entries[e].hash, unit);
    for (size_t c = 0; c < ARRAY_COUNT(copies); c++) {
        if (!is_crossed(space, copies[c]))
            continue;
        for (size_t e = 0; e < bag->count; e++)
            counter_add(features, features_cross(copies[c], bag->entries[e].hash), unit);
    }
}

/* Numbers the features that are frequent enough, the most frequent FEATURES_MAX of them. */
static void learn_vocabulary(struct space_builder *builder, const struct counter *features,
                             size_t row_count)
{
    struct feature_space *space = &builder->space;
    uint32_t least = FEATURE_ISSUES_MIN;
    builder->hashes = counter_sorted(features, least, &space->count);
    while (space->count > FEATURES_MAX) {
        free(builder->hashes);
        builder->hashes = counter_sorted(features, ++least, &space->count);
    }
    builder->idf = mem_alloc_array(space->count, sizeof(*builder->idf));
    for (size_t f = 0; f < space->count; f++) {
        double issues = counter_get(features, builder->hashes[f]);
        builder->idf[f] = (float)sqrt(log((1 + (double)row_count) / (1 + issues)) + 1);
    }
    builder->buckets = mem_alloc_array(SPACE_BUCKETS, sizeof(*builder->buckets));
    space_index(builder->hashes, space->count, builder->buckets);
    space->hashes = builder->hashes;
    space->idf = builder->idf;
    space->buckets = builder->buckets;
}

struct space_builder *space_learn(const struct features_config *config,
                                  const struct dataset_row *const *rows, size_t row_count)
{
    assert(row_count > 0);
    struct space_builder *builder = MEM_NEW(struct space_builder);
    builder->space.config = *config;
    CLEANUP(counter_free) struct counter *rows_of = counter_new();
    learn_repositories(builder, rows_of, rows, row_count);
    learn_templates(builder, rows_of, rows, row_count);
    CLEANUP(features_bag_free) struct feature_bag *bag = features_bag_new(false);
    CLEANUP(counter_free) struct counter *features = counter_new();
    for (size_t r = 0; r < row_count; r++)
        count_row(&builder->space, rows[r], (uint32_t)r + 1, bag, features);
    learn_vocabulary(builder, features, row_count);
    return builder;
}
