/*
 * Writing a model file, and the parts of the format that reading shares: see model_file.h.
 */
#include "reactors/classifier/model_file.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "base/memory.h"

_Static_assert(sizeof(struct model_preamble) == 64, "the preamble is 64 bytes in every file");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "model files are mapped, and little-endian");

/* Everything begins at a multiple of this, so that mapped arrays can be used in place. */
#define SECTION_ALIGNMENT ((size_t)8)

static size_t aligned(size_t bytes)
{
    return (bytes + SECTION_ALIGNMENT - 1) / SECTION_ALIGNMENT * SECTION_ALIGNMENT;
}

int model_layout(const struct model_preamble *preamble, struct model_layout *ret_layout)
{
    const uint32_t counts[] = {preamble->feature_count, preamble->template_count,
                               preamble->repository_count, preamble->crossed_count};
    for (size_t c = 0; c < ARRAY_COUNT(counts); c++)
        if (counts[c] > MODEL_FEATURES_MAX)
            return ERR_CORRUPT;
    if (preamble->label_count == 0 || preamble->label_count > MODEL_LABELS_MAX ||
        preamble->header_bytes == 0 || preamble->header_bytes > MODEL_HEADER_BYTES_MAX)
        return ERR_CORRUPT;
    /* No sum below can overflow 64 bits: the limits bound every term. */
    struct model_layout layout = {.header = sizeof(*preamble)};
    layout.templates = layout.header + aligned(preamble->header_bytes);
    layout.repositories = layout.templates + preamble->template_count * sizeof(uint64_t);
    layout.crossed = layout.repositories + preamble->repository_count * sizeof(uint64_t);
    layout.hashes = layout.crossed + preamble->crossed_count * sizeof(uint64_t);
    layout.idf = layout.hashes + preamble->feature_count * sizeof(uint64_t);
    layout.weights = layout.idf + aligned(preamble->feature_count * sizeof(float));
    layout.digest = layout.weights + aligned((size_t)preamble->feature_count *
                                             preamble->label_count * sizeof(int16_t));
    layout.end = layout.digest + DIGEST_BYTES;
    if (layout.end > MODEL_BYTES_MAX)
        return ERR_CORRUPT;
    *ret_layout = layout;
    return 0;
}

/*
 * --- the feature configuration
 * ------------------------------------------------------------------------------
 */

json_t *model_config_to_json(const struct features_config *config)
{
    json_t *blocks = json_object();
    for (int b = 0; b < FEATURE_BLOCK_COUNT; b++)
        json_object_set_new(blocks, features_block_key((enum feature_block)b),
                            json_real(config->block_weight[b]));
    return json_pack("{s:o, s:i, s:i, s:i, s:f}", "blocks", blocks, "word_ngram_max",
                     (int)config->word_ngram_max, "piece_length_min", (int)config->piece_length_min,
                     "piece_length_max", (int)config->piece_length_max, "cross_weight",
                     config->cross_weight);
}

static bool read_count(const json_t *object, const char *name, uint32_t least, uint32_t most,
                       uint32_t *ret_count)
{
    const json_t *item = json_object_get(object, name);
    if (!json_is_integer(item) || json_integer_value(item) < least ||
        json_integer_value(item) > most)
        return false;
    *ret_count = (uint32_t)json_integer_value(item);
    return true;
}

/* A weight of a block or of copies; larger ones make no sense and could overflow. */
static bool read_weight(const json_t *object, const char *name, double *ret_weight)
{
    const json_t *item = json_object_get(object, name);
    double weight = json_number_value(item);
    if (!json_is_number(item) || !(weight >= 0 && weight <= 1000))
        return false;
    *ret_weight = weight;
    return true;
}

int model_config_from_json(const json_t *object, struct features_config *ret_config)
{
    struct features_config config = {0};
    const json_t *blocks = json_object_get(object, "blocks");
    bool is_valid =
        read_count(object, "word_ngram_max", 1, FEATURES_WORD_NGRAM_MAX, &config.word_ngram_max) &&
        read_count(object, "piece_length_min", 1, FEATURES_PIECE_LENGTH_MAX,
                   &config.piece_length_min) &&
        read_count(object, "piece_length_max", config.piece_length_min, FEATURES_PIECE_LENGTH_MAX,
                   &config.piece_length_max) &&
        read_weight(object, "cross_weight", &config.cross_weight);
    for (int b = 0; is_valid && b < FEATURE_BLOCK_COUNT; b++)
        is_valid =
            read_weight(blocks, features_block_key((enum feature_block)b), &config.block_weight[b]);
    if (!is_valid)
        return ERR_CORRUPT;
    *ret_config = config;
    return 0;
}

/*
 * --- writing
 * ------------------------------------------------------------------------------------------------
 */

static json_t *number_or_null(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *label_to_json(const struct model_label *model_label)
{
    const struct classifier_label *label = &model_label->label;
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(label->name));
    json_object_set_new(object, "bias", json_real(model_label->bias));
    json_object_set_new(object, "scale", json_real(model_label->scale));
    json_object_set_new(object, "threshold", number_or_null(label->threshold));
    json_object_set_new(object, "predictable", json_boolean(label->predictable));
    json_object_set_new(object, "reason", json_string(label->reason));
    json_object_set_new(object, "exclusive_group", json_integer(label->exclusive_group));
    json_object_set_new(object, "examples", json_integer(label->examples));
    json_object_set_new(object, "precision", number_or_null(label->precision));
    json_object_set_new(object, "recall", number_or_null(label->recall));
    json_object_set_new(object, "held_out_examples", json_integer(label->held_out_examples));
    return object;
}

/* The scale that maps a label's largest weight to MODEL_WEIGHT_MAX. */
static double label_scale(const struct model_parts *parts, size_t label)
{
    const float *weights = parts->weights + label * parts->space->count;
    double largest = 0;
    for (size_t f = 0; f < parts->space->count; f++)
        largest = fmax(largest, fabs((double)weights[f]));
    return largest > 0 ? largest / MODEL_WEIGHT_MAX : 1;
}

static char *header_text(const struct model_parts *parts, size_t *ret_bytes)
{
    json_t *labels = json_array();
    for (size_t l = 0; l < parts->label_count; l++) {
        struct model_label label = parts->labels[l];
        label.scale = label_scale(parts, l);
        json_array_append_new(labels, label_to_json(&label));
    }
    CLEANUP(json_release) json_t *header = json_object();
    json_object_update(header, (json_t *)(uintptr_t)parts->about);
    json_object_set_new(header, "labels", labels);
    json_object_set_new(header, "features", model_config_to_json(&parts->space->config));
    return json_write(header, ret_bytes);
}

static void put_hashes(char *image, size_t offset, const uint64_t *hashes, size_t count)
{
    if (count > 0)
        memcpy(image + offset, hashes, count * sizeof(*hashes));
}

static void put_weights(const struct model_parts *parts, int16_t *image)
{
    for (size_t l = 0; l < parts->label_count; l++) {
        const float *weights = parts->weights + l * parts->space->count;
        double scale = label_scale(parts, l);
        for (size_t f = 0; f < parts->space->count; f++)
            image[f * parts->label_count + l] = (int16_t)lround((double)weights[f] / scale);
    }
}

int model_image(const struct model_parts *parts, void **ret_bytes, size_t *ret_byte_count,
                struct error *error)
{
    const struct feature_space *space = parts->space;
    size_t header_bytes = 0;
    CLEANUP(mem_free) char *header = header_text(parts, &header_bytes);
    struct model_preamble preamble = {.format = MODEL_FORMAT,
                                      .header_bytes = (uint32_t)(header_bytes + 1),
                                      .label_count = (uint32_t)parts->label_count,
                                      .feature_count = (uint32_t)space->count,
                                      .template_count = (uint32_t)space->templates.count,
                                      .repository_count =
                                          (uint32_t)space->templates.repository_count,
                                      .crossed_count = (uint32_t)space->crossed_count};
    memcpy(preamble.magic, MODEL_MAGIC, sizeof(preamble.magic));
    struct model_layout layout;
    if (header_bytes >= MODEL_HEADER_BYTES_MAX || parts->label_count > MODEL_LABELS_MAX ||
        model_layout(&preamble, &layout) != 0)
        return error_set(error, ERR_TOO_LARGE,
                         "a model of %zu labels and %zu features would be larger than %llu bytes; "
                         "train on fewer labels (--labels, --min-examples)",
                         parts->label_count, space->count, (unsigned long long)MODEL_BYTES_MAX);
    preamble.file_bytes = layout.end;
    char *image = mem_alloc(layout.end);
    memcpy(image, &preamble, sizeof(preamble));
    memcpy(image + layout.header, header, header_bytes);
    put_hashes(image, layout.templates, space->templates.hashes, space->templates.count);
    put_hashes(image, layout.repositories, space->templates.repositories,
               space->templates.repository_count);
    put_hashes(image, layout.crossed, space->crossed, space->crossed_count);
    put_hashes(image, layout.hashes, space->hashes, space->count);
    if (space->count > 0)
        memcpy(image + layout.idf, space->idf, space->count * sizeof(*space->idf));
    put_weights(parts, (int16_t *)(void *)(image + layout.weights));
    digest_sha256(image, layout.digest, (uint8_t *)image + layout.digest);
    *ret_bytes = image;
    *ret_byte_count = layout.end;
    return 0;
}
