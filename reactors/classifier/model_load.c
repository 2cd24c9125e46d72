/*
 * Loading a model file: mapping it and checking everything. See classifier.h and, for the format,
 * model_file.h.
 *
 * Design: the checks run in an order in which each may rely on those before: length, preamble, sum
 * of sections, checksum, header, arrays. The checksum finds damage; the checks after it refuse a
 * file that somebody made on purpose. After the load no value from the file is used as an index
 * without having been checked here.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/classifier/model_file.h"
#include "reactors/classifier/model_loaded.h"

/* Rarities, biases and scales that a sound training can give; others could overflow. */
#define IDF_MIN 1e-3f
#define IDF_MAX 1e3f
#define COEFFICIENT_MAX 1e6

/* What a hostile or damaged file is called in errors. */
#define HINT_CORRUPT "train it again or fetch it again"

void classifier_free(struct classifier *classifier)
{
    if (classifier == NULL)
        return;
    if (classifier->is_mapped)
        (void)munmap((void *)(uintptr_t)classifier->bytes, classifier->byte_count);
    json_decref(classifier->header);
    free(classifier->buckets);
    free(classifier->labels);
    free(classifier);
}

/* A load under way. */
struct classifier_loading {
    struct classifier *classifier; /* owned until it is given away */
    struct model_preamble preamble;
    struct model_layout layout;
    struct digest *inner;  /* owned: of what stands before the stored digest */
    struct digest *whole;  /* owned: of the file */
    size_t digested_bytes; /* so far */
    char *path;            /* owned, for errors; NULL: from memory */
};

void classifier_loading_free(struct classifier_loading *loading)
{
    if (loading == NULL)
        return;
    classifier_free(loading->classifier);
    digest_free(loading->inner);
    digest_free(loading->whole);
    free(loading->path);
    free(loading);
}

/*
 * --- checks
 * -------------------------------------------------------------------------------------------------
 */

static int check_preamble(const struct classifier *classifier, struct model_preamble *ret_preamble,
                          struct model_layout *ret_layout, struct error *error)
{
    if (classifier->byte_count < sizeof(*ret_preamble) ||
        memcmp(classifier->bytes, MODEL_MAGIC, sizeof(ret_preamble->magic)) != 0)
        return error_set(error, ERR_CORRUPT,
                         "not a nodag model; one is made by `nodag model train`");
    memcpy(ret_preamble, classifier->bytes, sizeof(*ret_preamble));
    if (ret_preamble->format != MODEL_FORMAT)
        return error_set(
            error, ERR_UNSUPPORTED,
            "model format %u; this nodag reads format %u: train again with this one, or "
            "use the nodag that made it",
            ret_preamble->format, MODEL_FORMAT);
    if (model_layout(ret_preamble, ret_layout) != 0)
        return error_set(error, ERR_CORRUPT,
                         "a count in the model is over its limit; " HINT_CORRUPT);
    if (ret_preamble->file_bytes != classifier->byte_count ||
        ret_layout->end != classifier->byte_count)
        return error_set(
            error, ERR_CORRUPT,
            "the model is %zu bytes where it says %llu: cut short or damaged; " HINT_CORRUPT,
            classifier->byte_count, (unsigned long long)ret_preamble->file_bytes);
    return 0;
}

/* Takes the two digests, of everything before the stored one and of the whole file, to their end. */
static int check_digest(struct classifier_loading *loading, struct error *error)
{
    struct classifier *classifier = loading->classifier;
    uint8_t digest[DIGEST_BYTES];
    digest_finish(loading->inner, digest);
    if (memcmp(digest, classifier->bytes + loading->layout.digest, sizeof(digest)) != 0)
        return error_set(error, ERR_CORRUPT,
                         "the model's checksum does not hold: damaged; " HINT_CORRUPT);
    digest_finish(loading->whole, digest);
    digest_to_text(digest, classifier->sha256);
    memcpy(classifier->version, classifier->sha256, sizeof(classifier->version) - 1);
    return 0;
}

/* Points to an array of hashes if it ascends strictly. */
static bool read_hashes(const struct classifier *classifier, size_t offset, size_t count,
                        const uint64_t **ret_hashes)
{
    const uint64_t *hashes = (const uint64_t *)(const void *)(classifier->bytes + offset);
    for (size_t h = 1; h < count; h++)
        if (hashes[h - 1] >= hashes[h])
            return false;
    *ret_hashes = hashes;
    return true;
}

static int check_arrays(struct classifier *classifier, const struct model_preamble *preamble,
                        const struct model_layout *layout, struct error *error)
{
    struct feature_space *space = &classifier->space;
    space->templates.count = preamble->template_count;
    space->templates.repository_count = preamble->repository_count;
    space->crossed_count = preamble->crossed_count;
    space->count = preamble->feature_count;
    if (!read_hashes(classifier, layout->templates, space->templates.count,
                     &space->templates.hashes) ||
        !read_hashes(classifier, layout->repositories, space->templates.repository_count,
                     &space->templates.repositories) ||
        !read_hashes(classifier, layout->crossed, space->crossed_count, &space->crossed) ||
        !read_hashes(classifier, layout->hashes, space->count, &space->hashes))
        return error_set(error, ERR_CORRUPT, "a table of the model is out of order; " HINT_CORRUPT);
    space->idf = (const float *)(const void *)(classifier->bytes + layout->idf);
    for (size_t f = 0; f < space->count; f++)
        if (!(space->idf[f] >= IDF_MIN && space->idf[f] <= IDF_MAX))
            return error_set(error, ERR_CORRUPT,
                             "a rarity of the model is out of range; " HINT_CORRUPT);
    classifier->buckets = mem_alloc_array(SPACE_BUCKETS, sizeof(*classifier->buckets));
    space_index(space->hashes, space->count, classifier->buckets);
    space->buckets = classifier->buckets;
    classifier->weights = (const int16_t *)(const void *)(classifier->bytes + layout->weights);
    return 0;
}

/*
 * --- the header
 * ---------------------------------------------------------------------------------------------
 */

static bool read_number(const json_t *object, const char *name, double least, double most,
                        double *ret_number)
{
    const json_t *item = json_object_get(object, name);
    double number = json_number_value(item);
    if (!json_is_number(item) || !(number >= least && number <= most))
        return false;
    *ret_number = number;
    return true;
}

static bool read_integer(const json_t *object, const char *name, int64_t least, int64_t most,
                         int64_t *ret_integer)
{
    const json_t *item = json_object_get(object, name);
    if (!json_is_integer(item) || json_integer_value(item) < least ||
        json_integer_value(item) > most)
        return false;
    *ret_integer = json_integer_value(item);
    return true;
}

static const char *read_text(const json_t *object, const char *name)
{
    const json_t *item = json_object_get(object, name);
    const char *text = json_string_value(item);
    return text != NULL && strlen(text) == json_string_length(item) ? text : NULL;
}

static bool read_label(const json_t *object, struct loaded_label *ret_label)
{
    struct classifier_label *label = &ret_label->public;
    int64_t group = 0;
    int64_t examples = 0;
    int64_t held_out_examples = 0;
    label->name = read_text(object, "name");
    label->reason = read_text(object, "reason");
    label->predictable = json_is_true(json_object_get(object, "predictable"));
    label->threshold = 2; /* a probability never reaches it */
    label->precision = NAN;
    label->recall = NAN;
    bool is_valid =
        label->name != NULL && label->name[0] != '\0' && label->reason != NULL &&
        read_number(object, "bias", -COEFFICIENT_MAX, COEFFICIENT_MAX, &ret_label->bias) &&
        read_number(object, "scale", 0, COEFFICIENT_MAX, &ret_label->scale) &&
        read_integer(object, "exclusive_group", -1, MODEL_LABELS_MAX - 1, &group) &&
        read_integer(object, "examples", 0, UINT32_MAX, &examples) &&
        read_integer(object, "held_out_examples", 0, UINT32_MAX, &held_out_examples);
    if (is_valid && label->predictable)
        is_valid = read_number(object, "threshold", 0, 1, &label->threshold) &&
                   read_number(object, "precision", 0, 1, &label->precision) &&
                   read_number(object, "recall", 0, 1, &label->recall);
    label->exclusive_group = (int)group;
    label->examples = (uint32_t)examples;
    label->held_out_examples = (uint32_t)held_out_examples;
    return is_valid;
}

static int check_labels(struct classifier *classifier, const json_t *labels, struct error *error)
{
    if (json_array_size(labels) != classifier->label_count)
        return error_set(error, ERR_CORRUPT,
                         "the model's labels and weights disagree; " HINT_CORRUPT);
    classifier->labels = mem_alloc_array(classifier->label_count, sizeof(*classifier->labels));
    for (size_t l = 0; l < classifier->label_count; l++) {
        if (!read_label(json_array_get(labels, l), &classifier->labels[l]))
            return error_set(error, ERR_CORRUPT,
                             "label %zu of the model is not valid; " HINT_CORRUPT, l);
        for (size_t k = 0; k < l; k++)
            if (strcmp(classifier->labels[k].public.name, classifier->labels[l].public.name) == 0)
                return error_set(error, ERR_CORRUPT, "the model has a label twice; " HINT_CORRUPT);
    }
    return 0;
}

static int check_header(struct classifier *classifier, const struct model_preamble *preamble,
                        const struct model_layout *layout, struct error *error)
{
    const char *text = classifier->bytes + layout->header;
    struct error json_error = {0};
    if (memchr(text, '\0', preamble->header_bytes) != text + preamble->header_bytes - 1)
        return error_set(error, ERR_CORRUPT,
                         "the model's header does not end where it says; " HINT_CORRUPT);
    if (json_read(text, preamble->header_bytes - 1, &classifier->header, &json_error) != 0)
        return error_set(error, ERR_CORRUPT,
                         "the model's header is not JSON (%.200s); " HINT_CORRUPT, json_error.text);
    if (model_config_from_json(json_object_get(classifier->header, "features"),
                               &classifier->space.config) != 0)
        return error_set(error, ERR_CORRUPT,
                         "the model's feature configuration is not valid; " HINT_CORRUPT);
    classifier->label_count = preamble->label_count;
    return check_labels(classifier, json_object_get(classifier->header, "labels"), error);
}

/*
 * --- loading
 * ------------------------------------------------------------------------------------------------
 */

/* Digests the next piece; the piece that ends before the stored digest counts for both. */
static void digest_piece(struct classifier_loading *loading, size_t piece_bytes)
{
    const struct classifier *classifier = loading->classifier;
    size_t from = loading->digested_bytes;
    size_t left = classifier->byte_count - from;
    size_t bytes = piece_bytes < left ? piece_bytes : left;
    size_t inner_left = from < loading->layout.digest ? loading->layout.digest - from : 0;
    digest_update(loading->whole, classifier->bytes + from, bytes);
    digest_update(loading->inner, classifier->bytes + from,
                  bytes < inner_left ? bytes : inner_left);
    loading->digested_bytes += bytes;
}

static int check_rest(struct classifier_loading *loading, struct error *error)
{
    int result = check_digest(loading, error);
    if (result == 0)
        result = check_header(loading->classifier, &loading->preamble, &loading->layout, error);
    if (result == 0)
        result = check_arrays(loading->classifier, &loading->preamble, &loading->layout, error);
    return result;
}

int classifier_loading_step(struct classifier_loading *loading, size_t piece_bytes,
                            struct classifier **ret_classifier, struct error *error)
{
    *ret_classifier = NULL;
    digest_piece(loading, piece_bytes);
    if (loading->digested_bytes < loading->classifier->byte_count)
        return 0;
    int result = check_rest(loading, error);
    if (result == 0)
        *ret_classifier = TAKE(loading->classifier);
    else if (loading->path != NULL)
        (void)error_prefix(error, result, "model %s", loading->path);
    return result;
}

/* Starts a load of `classifier` (taken), whose bytes are there; `path` is for errors, or NULL. */
static int loading_begin(struct classifier *classifier, const char *path,
                         struct classifier_loading **ret_loading, struct error *error)
{
    CLEANUP(classifier_loading_free)
    struct classifier_loading *loading = MEM_NEW(struct classifier_loading);
    loading->classifier = classifier;
    loading->path = mem_copy_text(path);
    int result = check_preamble(classifier, &loading->preamble, &loading->layout, error);
    if (result != 0)
        return path != NULL ? error_prefix(error, result, "model %s", path) : result;
    loading->inner = digest_new();
    loading->whole = digest_new();
    *ret_loading = TAKE(loading);
    return 0;
}

int classifier_load_bytes(const void *bytes, size_t byte_count, struct classifier **ret_classifier,
                          struct error *error)
{
    assert((uintptr_t)bytes % sizeof(uint64_t) == 0);
    CLEANUP(classifier_loading_free) struct classifier_loading *loading = NULL;
    struct classifier *classifier = MEM_NEW(struct classifier);
    classifier->bytes = bytes;
    classifier->byte_count = byte_count;
    int result = loading_begin(classifier, NULL, &loading, error);
    if (result != 0)
        return result;
    return classifier_loading_step(loading, byte_count, ret_classifier, error);
}

static int map_file(int descriptor, struct classifier *classifier, struct error *error)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0)
        return error_set(error, ERR_IO, "%s", strerror(errno));
    if (!S_ISREG(status.st_mode) || status.st_size <= 0)
        return error_set(error, ERR_CORRUPT, "empty, or not a regular file");
    if ((uint64_t)status.st_size > MODEL_BYTES_MAX)
        return error_set(error, ERR_TOO_LARGE, "%jd bytes; the limit is %llu",
                         (intmax_t)status.st_size, (unsigned long long)MODEL_BYTES_MAX);
    void *mapped = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapped == MAP_FAILED)
        return error_set(error, ERR_IO, "%s", strerror(errno));
    classifier->bytes = mapped;
    classifier->byte_count = (size_t)status.st_size;
    classifier->is_mapped = true;
    return 0;
}

int classifier_loading_new(const char *path, struct classifier_loading **ret_loading,
                           struct error *error)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set(error, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "model %s: %s", path,
                         strerror(errno));
    CLEANUP(classifier_free) struct classifier *classifier = MEM_NEW(struct classifier);
    int result = map_file(descriptor, classifier, error);
    (void)close(descriptor);
    if (result != 0)
        return error_prefix(error, result, "model %s", path);
    return loading_begin(TAKE(classifier), path, ret_loading, error);
}

int classifier_load(const char *path, struct classifier **ret_classifier, struct error *error)
{
    CLEANUP(classifier_loading_free) struct classifier_loading *loading = NULL;
    CLEANUP(classifier_free) struct classifier *classifier = NULL;
    int result = classifier_loading_new(path, &loading, error);
    if (result == 0)
        result = classifier_loading_step(loading, SIZE_MAX, &classifier, error);
    if (result == 0)
        *ret_classifier = TAKE(classifier);
    return result;
}
