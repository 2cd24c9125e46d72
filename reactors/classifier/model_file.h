/*
 * The model file: what stands where, and writing one. Private to the classifier.
 *
 *     offset  0  struct model_preamble: magic, format, counts, header length, file length
 *            64  JSON header, NUL-terminated, padded with NULs to 8 bytes
 *                template lines      u64[template_count]     ascending
 *                repositories        u64[repository_count]   ascending
 *                crossed             u64[crossed_count]      ascending
 *                features            u64[feature_count]      ascending
 *                rarities            f32[feature_count]      padded to 8 bytes
 *                weights             i16[feature_count][label_count], padded to 8 bytes
 *        end-32  SHA-256 of everything before it
 *
 * Design: sections stand in one order without gaps, and their lengths follow from the counts, so
 * there is no offset in the file that could lie; the sum must be the file's length exactly. All
 * numbers are little-endian. A label's logit is bias + scale × Σ value × weight; bias and scale
 * stand with the label in the header, already calibrated. The header is JSON so that any tool can
 * read what a model is: `dd`, `jq`, or `nodag model show`.
 *
 * Invariants: the same training gives the same bytes: no time, no host name stands in a file.
 */
#ifndef NODAG_CLASSIFIER_MODEL_FILE_H
#define NODAG_CLASSIFIER_MODEL_FILE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "reactors/classifier/classifier.h"
#include "reactors/classifier/space.h"

/* The first bytes of every model file. */
#define MODEL_MAGIC "nodagmdl"

/* The format that this program writes and reads. */
#define MODEL_FORMAT 1u

/* Largest model: what a small daemon can map. */
#define MODEL_BYTES_MAX ((uint64_t)1 << 30)

/* Largest JSON header. */
#define MODEL_HEADER_BYTES_MAX ((size_t)8 << 20)

/* Most labels of a model. */
#define MODEL_LABELS_MAX ((size_t)2000)

/* Most features, and most hashes in each of the other sections. */
#define MODEL_FEATURES_MAX ((size_t)1 << 22)

/* The largest weight in a file; a label's scale maps it to its real size. */
#define MODEL_WEIGHT_MAX 32767

/* The start of a file. */
struct model_preamble {
    char magic[8];             /* MODEL_MAGIC without its NUL */
    uint32_t format;           /* MODEL_FORMAT */
    uint32_t header_bytes;     /* JSON header with its NUL, without padding */
    uint64_t file_bytes;       /* of the whole file */
    uint32_t label_count;      /* 1 … MODEL_LABELS_MAX */
    uint32_t feature_count;    /* 0 … MODEL_FEATURES_MAX */
    uint32_t template_count;   /* 0 … MODEL_FEATURES_MAX */
    uint32_t repository_count; /* 0 … MODEL_FEATURES_MAX */
    uint32_t crossed_count;    /* 0 … MODEL_FEATURES_MAX */
    uint32_t reserved[5];      /* 0 */
};

/* Where the sections of a file begin; computed from the preamble's counts. */
struct model_layout {
    size_t header;       /* JSON */
    size_t templates;    /* u64 */
    size_t repositories; /* u64 */
    size_t crossed;      /* u64 */
    size_t hashes;       /* u64 */
    size_t idf;          /* f32 */
    size_t weights;      /* i16 */
    size_t digest;       /* SHA-256 */
    size_t end;          /* the file's length */
};

/* One label as it goes into a file. */
struct model_label {
    struct classifier_label label; /* texts borrowed */
    double bias;                   /* of the calibrated logit */
    double scale;                  /* of the stored weights, calibration included */
};

/* All that makes a model. Pointers are borrowed. */
struct model_parts {
    const struct feature_space *space; /* its config, templates, vocabulary */
    const struct model_label *labels;  /* label_count entries; scale is computed by model_image() */
    size_t label_count;                /* 1 … MODEL_LABELS_MAX */
    const float *weights;              /* [label][feature], of the calibrated logit */
    const json_t *about;               /* object: its members are put into the header as they are */
};

/* Computes where things stand. ERR_CORRUPT if a count is over its limit. Any thread. */
int model_layout(const struct model_preamble *preamble, struct model_layout *ret_layout) MUST_CHECK;

/*
 * Makes the bytes of a model file, owned, aligned for classifier_load_bytes(). ERR_TOO_LARGE over a
 * limit. Any thread.
 */
int model_image(const struct model_parts *parts, void **ret_bytes, size_t *ret_byte_count,
                struct error *error) MUST_CHECK;

/* Returns the JSON of a feature configuration, new reference. Any thread. */
json_t *model_config_to_json(const struct features_config *config);

/*
 * Reads and checks a feature configuration. ERR_CORRUPT if anything is missing or out of range. Any
 * thread.
 */
int model_config_from_json(const json_t *object, struct features_config *ret_config) MUST_CHECK;

/* Returns the space of a loaded model, borrowed. Any thread. */
const struct feature_space *classifier_space(const struct classifier *classifier);

#endif
