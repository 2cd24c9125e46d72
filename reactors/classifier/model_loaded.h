/*
 * A loaded model from the inside: shared by loading (model_load.c) and using it (classifier.c).
 * Private to both.
 *
 * Invariant: whatever stands here has been checked; no value of the file is used as an index
 * without that.
 */
#ifndef NODAG_CLASSIFIER_MODEL_LOADED_H
#define NODAG_CLASSIFIER_MODEL_LOADED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactors/classifier/classifier.h"
#include "reactors/classifier/space.h"

/* A label with what only the model needs. */
struct loaded_label {
    struct classifier_label public; /* texts point into the header's JSON */
    double bias;                    /* of the calibrated logit */
    double scale;                   /* of the stored weights */
};

/* A loaded model; immutable. */
struct classifier {
    const char *bytes;                      /* the file */
    size_t byte_count;                      /* its length */
    bool is_mapped;                         /* munmap() at the end */
    json_t *header;                         /* owned */
    struct feature_space space;             /* arrays in the file, buckets owned */
    uint32_t *buckets;                      /* owned */
    const int16_t *weights;                 /* [feature][label], in the file */
    struct loaded_label *labels;            /* owned */
    size_t label_count;                     /* at least 1 */
    char sha256[CLASSIFIER_SHA256_BYTES];   /* of the whole file */
    char version[CLASSIFIER_VERSION_BYTES]; /* its beginning */
};

#endif
