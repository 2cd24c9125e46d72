/*
 * The feature space: which features count, how rare each is, and the vector of an issue in it.
 *
 * Design: a feature is known by its 64-bit hash; the known ones stand sorted, and their place is
 * their number. A feature's copy for one repository ("repository × word") is a feature like any
 * other, with a hash of its own, so what repositories share is learnt once and where they differ
 * each has its say. A value is a saturated count × the root of idf; each block is scaled to its
 * weight as length, so that a long body cannot drown a short title.
 *
 * A space is a view: its arrays belong to a builder while training and to the mapped file while
 * serving.
 *
 * Invariants: hashes ascend strictly; buckets[b] is the number of hashes whose first
 * SPACE_BUCKET_BITS bits are below b, so a look-up is a short binary search; a vector depends only
 * on space and bag.
 */
#ifndef NODAG_CLASSIFIER_SPACE_H
#define NODAG_CLASSIFIER_SPACE_H

#include <stddef.h>
#include <stdint.h>

#include "reactors/classifier/dataset.h"
#include "reactors/classifier/features.h"

/* Leading bits of a hash that choose its bucket. */
#define SPACE_BUCKET_BITS 14u

/* Entries of the bucket index. */
#define SPACE_BUCKETS (((size_t)1 << SPACE_BUCKET_BITS) + 1)

/* A feature space; arrays are borrowed. */
struct feature_space {
    struct features_config config;   /* how text becomes features */
    struct template_lines templates; /* which lines are templates', and the known repositories */
    const uint64_t *crossed; /* ascending hashes of repositories and owners that have copies */
    size_t crossed_count;    /* how many; 0 if there was one repository only */
    const uint64_t *hashes;  /* ascending: the known features */
    const float *idf;        /* for each feature */
    size_t count;            /* features */
    const uint32_t *buckets; /* SPACE_BUCKETS entries */
};

/* One coordinate of an issue's vector. */
struct space_value {
    uint32_t feature; /* number in the space */
    uint32_t entry;   /* number of the bag's entry that it came from */
    float value;      /* never 0 */
};

/* The vector of an issue; reusable. Zero-initialise; release with space_vector_release(). */
struct space_vector {
    struct space_value *values; /* owned, no feature twice */
    size_t count;               /* used */
    size_t capacity;            /* allocated */
};

/* Owns the arrays of a space that is being trained. Opaque. */
struct space_builder;

/* Turns a bag into its vector. Cannot fail. Any thread. */
void space_vectorise(const struct feature_space *space, const struct feature_bag *bag,
                     const char *repository, struct space_vector *vector);

/* Frees a vector's memory. Any thread. */
void space_vector_release(struct space_vector *vector);

/*
 * Learns template lines, vocabulary and rarities from rows (borrowed for the call), `row_count` ≥
 * 1. Owned; its space is borrowed from it. Deterministic. Not for loop callbacks. Any thread.
 */
struct space_builder *space_learn(const struct features_config *config,
                                  const struct dataset_row *const *rows, size_t row_count);

/* Returns the learnt space, borrowed from the builder. Any thread. */
const struct feature_space *space_of(const struct space_builder *builder);

/* Frees a builder; NULL is fine. Any thread. */
void space_builder_free(struct space_builder *builder);

DEFINE_CLEANUP(struct space_builder *, space_builder_free)

/*
 * Fills the bucket index of `count` ascending hashes; `ret_buckets` has SPACE_BUCKETS entries. Any
 * thread.
 */
void space_index(const uint64_t *hashes, size_t count, uint32_t *ret_buckets);

#endif
