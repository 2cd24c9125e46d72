/*
 * Tests of reactors/classifier/classifier.c and model_file.c: a model file is used only if it is
 * whole and sound; every cut, every flipped bit and every hostile header is refused with a text;
 * explanations add up.
 */
#include "reactors/classifier/classifier.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/reactors/classifier/sample.h"

#include "base/digest.h"
#include "base/json_text.h"
#include "reactors/classifier/model_file.h"

/* Bits that are flipped, one at a time. */
#define FLIPS 2000

/* A model that all tests share: trained once. */
static void *model_bytes;
static size_t model_byte_count;

static int train_once(void **state)
{
    (void)state;
    CLEANUP(dataset_free) struct dataset *dataset = sample_dataset();
    struct train_config config;
    sample_config(&config);
    model_bytes = sample_train(dataset, &config, &model_byte_count);
    return 0;
}

static int free_model(void **state)
{
    (void)state;
    free(model_bytes);
    return 0;
}

static void write_file(const char *path, const void *bytes, size_t byte_count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, byte_count, file), byte_count);
    assert_int_equal(fclose(file), 0);
}

static void test_file_and_bytes_agree(void **state)
{
    (void)state;
    char path[] = "/tmp/nodag-model-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
    write_file(path, model_bytes, model_byte_count);
    struct error error = {0};
    CLEANUP(classifier_free) struct classifier *mapped = NULL;
    CLEANUP(classifier_free) struct classifier *held = NULL;
    assert_int_equal(classifier_load(path, &mapped, &error), 0);
    (void)unlink(path);
    assert_int_equal(classifier_load_bytes(model_bytes, model_byte_count, &held, &error), 0);
    uint8_t digest[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES];
    digest_sha256(model_bytes, model_byte_count, digest);
    digest_to_text(digest, text);
    assert_string_equal(classifier_sha256(mapped), text);
    assert_int_equal(strlen(classifier_version(mapped)), 12);
    assert_int_equal(strncmp(text, classifier_version(mapped), 12), 0);
    struct classifier_issue issue = sample_issue("one/alpha", "It crashes", "after an update");
    struct classifier_score left[8];
    struct classifier_score right[8];
    classifier_predict(mapped, &issue, left);
    classifier_predict(held, &issue, right);
    for (size_t l = 0; l < classifier_label_count(mapped); l++)
        assert_true(left[l].probability == right[l].probability &&
                    left[l].predicted == right[l].predicted);
}

/* Loads a file piece by piece; the code of the step that ended it. */
static int load_in_pieces(const char *path, size_t piece_bytes, struct classifier **ret_classifier)
{
    struct error error = {0};
    CLEANUP(classifier_loading_free) struct classifier_loading *loading = NULL;
    int code = classifier_loading_new(path, &loading, &error);
    while (code == 0 && *ret_classifier == NULL)
        code = classifier_loading_step(loading, piece_bytes, ret_classifier, &error);
    return code;
}

/* Whatever the size of the pieces, the model is the same, and damage anywhere is found. */
static void test_pieces(void **state)
{
    (void)state;
    char path[] = "/tmp/nodag-model-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
    uint8_t digest[DIGEST_BYTES];
    char text[DIGEST_TEXT_BYTES];
    digest_sha256(model_bytes, model_byte_count, digest);
    digest_to_text(digest, text);
    const size_t pieces[] = {1,
                             31,
                             33,
                             4096,
                             model_byte_count - 33,
                             model_byte_count - 32,
                             model_byte_count - 31,
                             model_byte_count,
                             SIZE_MAX};
    CLEANUP(mem_free) char *copy = mem_copy_bytes(model_bytes, model_byte_count);
    for (size_t i = 0; i < ARRAY_COUNT(pieces); i++) {
        CLEANUP(classifier_free) struct classifier *classifier = NULL;
        struct classifier *damaged = NULL;
        write_file(path, model_bytes, model_byte_count);
        assert_int_equal(load_in_pieces(path, pieces[i], &classifier), 0);
        assert_string_equal(classifier_sha256(classifier), text);
        size_t at = 64 + (model_byte_count - 64) / ARRAY_COUNT(pieces) * i;
        copy[at] ^= 1;
        write_file(path, copy, model_byte_count);
        copy[at] ^= 1;
        assert_int_equal(load_in_pieces(path, pieces[i], &damaged), ERR_CORRUPT);
        assert_null(damaged);
    }
    (void)unlink(path);
}

static void test_files_that_are_none(void **state)
{
    (void)state;
    struct error error = {0};
    struct classifier *classifier = NULL;
    assert_int_equal(classifier_load("/nonexistent/x.model", &classifier, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "/nonexistent/x.model"));
    assert_int_equal(classifier_load("/tmp", &classifier, &error), ERR_CORRUPT);
    assert_int_equal(classifier_load("/dev/null", &classifier, &error), ERR_CORRUPT);
    assert_int_equal(classifier_load("CMakeLists.txt", &classifier, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.text, "nodag model train"));
    assert_null(classifier);
}

/* Loads a copy that is exactly as long as it says, so that ASan sees any read beyond. */
static int load_copy(const void *bytes, size_t byte_count, struct error *error)
{
    CLEANUP(mem_free) void *copy = mem_alloc(byte_count);
    struct classifier *classifier = NULL;
    memcpy(copy, bytes, byte_count);
    int result = classifier_load_bytes(copy, byte_count, &classifier, error);
    classifier_free(classifier);
    return result;
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    size_t step = 1;
    for (size_t cut = 0; cut < model_byte_count; cut += step) {
        struct error error = {0};
        step = cut < 512 || model_byte_count - cut < 512 ? 1 : 211;
        if (load_copy(model_bytes, cut, &error) != ERR_CORRUPT || error.text[0] == '\0')
            fail_msg("a model cut to %zu bytes is not refused", cut);
    }
    struct error error = {0};
    CLEANUP(mem_free) char *longer = mem_alloc(model_byte_count + 8);
    memcpy(longer, model_bytes, model_byte_count);
    assert_int_equal(load_copy(longer, model_byte_count + 8, &error), ERR_CORRUPT);
    assert_int_equal(load_copy(longer, model_byte_count, &error), 0);
}

static void test_every_flipped_bit_is_refused(void **state)
{
    (void)state;
    uint64_t random = 3;
    for (int f = 0; f < FLIPS; f++) {
        struct error error = {0};
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t bit = f < 64 * 8 ? (size_t)f : (size_t)(random >> 20) % (model_byte_count * 8);
        ((unsigned char *)model_bytes)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        int result = load_copy(model_bytes, model_byte_count, &error);
        ((unsigned char *)model_bytes)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        if (result != ERR_CORRUPT && result != ERR_UNSUPPORTED)
            fail_msg("a model with bit %zu flipped is not refused", bit);
    }
}

static void test_newer_format(void **state)
{
    (void)state;
    struct error error = {0};
    CLEANUP(mem_free) char *copy = mem_copy_bytes(model_bytes, model_byte_count);
    struct model_preamble preamble;
    memcpy(&preamble, copy, sizeof(preamble));
    preamble.format = MODEL_FORMAT + 1;
    memcpy(copy, &preamble, sizeof(preamble));
    assert_int_equal(load_copy(copy, model_byte_count, &error), ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "model format 2; this nodag reads format 1"));
}

/*
 * --- hostile files: the checksum is right, the content is not
 * -----------------------------------------------
 */

/* Makes the checksum right and loads. */
static int load_resealed(char *bytes, size_t byte_count, struct error *error)
{
    digest_sha256(bytes, byte_count - DIGEST_BYTES, (uint8_t *)bytes + byte_count - DIGEST_BYTES);
    return load_copy(bytes, byte_count, error);
}

static void test_hostile_preambles(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint32_t value;
    } cases[] = {
        {offsetof(struct model_preamble, header_bytes), 0},
        {offsetof(struct model_preamble, header_bytes), 1},
        {offsetof(struct model_preamble, header_bytes), UINT32_MAX},
        {offsetof(struct model_preamble, file_bytes), 0},
        {offsetof(struct model_preamble, file_bytes), UINT32_MAX},
        {offsetof(struct model_preamble, label_count), 0},
        {offsetof(struct model_preamble, label_count), 1},
        {offsetof(struct model_preamble, label_count), UINT32_MAX},
        {offsetof(struct model_preamble, feature_count), 0},
        {offsetof(struct model_preamble, feature_count), UINT32_MAX},
        {offsetof(struct model_preamble, template_count), 0x20000000},
        {offsetof(struct model_preamble, template_count), UINT32_MAX},
        {offsetof(struct model_preamble, repository_count), UINT32_MAX},
        {offsetof(struct model_preamble, crossed_count), UINT32_MAX},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error error = {0};
        CLEANUP(mem_free) char *copy = mem_copy_bytes(model_bytes, model_byte_count);
        memcpy(copy + cases[i].offset, &cases[i].value, sizeof(cases[i].value));
        if (load_resealed(copy, model_byte_count, &error) != ERR_CORRUPT)
            fail_msg("hostile preamble %zu is not refused", i);
    }
}

/*
 * Replaces the header by another text, as a file of the right length and checksum would have it,
 * and loads.
 */
static int load_with_header(const char *header, size_t header_bytes, struct error *error)
{
    struct model_preamble preamble;
    struct model_layout old_layout;
    struct model_layout new_layout;
    memcpy(&preamble, model_bytes, sizeof(preamble));
    assert_int_equal(model_layout(&preamble, &old_layout), 0);
    preamble.header_bytes = (uint32_t)header_bytes + 1;
    assert_int_equal(model_layout(&preamble, &new_layout), 0);
    preamble.file_bytes = new_layout.end;
    CLEANUP(mem_free) char *bytes = mem_alloc(new_layout.end);
    memcpy(bytes, &preamble, sizeof(preamble));
    memcpy(bytes + new_layout.header, header, header_bytes);
    memcpy(bytes + new_layout.templates, (const char *)model_bytes + old_layout.templates,
           old_layout.digest - old_layout.templates);
    return load_resealed(bytes, new_layout.end, error);
}

static char *header_text(void)
{
    return mem_copy_text((const char *)model_bytes + sizeof(struct model_preamble));
}

static void test_hostile_headers(void **state)
{
    (void)state;
    /* The first occurrence of the one becomes the other. */
    static const struct {
        const char *from;
        const char *to;
    } cases[] = {
        {"{", "["},
        {"\"labels\":[", "\"labels\":[{},"},
        {"\"name\":\"bug\"", "\"name\":\"\""},
        {"\"name\":\"bug\"", "\"name\":7"},
        {"\"name\":\"bug\"", "\"name\":\"docs\""},
        {"\"name\":\"bug\"", "\"name\":\"b\\u0000g\""},
        {"\"bias\":", "\"bias\":1e300,\"bios\":"},
        {"\"bias\":", "\"bios\":"},
        {"\"scale\":", "\"scale\":-1,\"scala\":"},
        {"\"scale\":", "\"scale\":null,\"scala\":"},
        {"\"threshold\":", "\"threshold\":1.5,\"thresh\":"},
        {"\"threshold\":", "\"threshold\":null,\"thresh\":"},
        {"\"precision\":", "\"precision\":\"high\",\"prec\":"},
        {"\"exclusive_group\":-1", "\"exclusive_group\":-2"},
        {"\"exclusive_group\":-1", "\"exclusive_group\":99999999999"},
        {"\"examples\":", "\"examples\":-1,\"ex\":"},
        {"\"reason\":\"\"", "\"reason\":null"},
        {"\"word_ngram_max\":", "\"word_ngram_max\":99,\"word\":"},
        {"\"word_ngram_max\":", "\"word_ngram_max\":0,\"word\":"},
        {"\"piece_length_max\":", "\"piece_length_max\":200,\"p\":"},
        {"\"piece_length_min\":", "\"piece_length_min\":8,\"p\":"},
        {"\"cross_weight\":", "\"cross_weight\":-1.0,\"c\":"},
        {"\"body_words\":", "\"body_words\":1e9,\"b\":"},
        {"\"body_words\":", "\"body_word\":"},
        {"\"features\":", "\"feature\":"},
    };
    CLEANUP(mem_free) char *header = header_text();
    struct error error = {0};
    assert_int_equal(load_with_header(header, strlen(header), &error), 0);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *at = strstr(header, cases[i].from);
        if (at == NULL)
            fail_msg("the header has no %s", cases[i].from);
        CLEANUP(mem_free)
        char *hostile = mem_format("%.*s%s%s", (int)(at - header), header, cases[i].to,
                                   at + strlen(cases[i].from));
        if (load_with_header(hostile, strlen(hostile), &error) != ERR_CORRUPT)
            fail_msg("a header with %s is not refused", cases[i].to);
    }
    CLEANUP(mem_free) char *with_nul = mem_copy_bytes(header, strlen(header));
    size_t header_bytes = strlen(header);
    with_nul[header_bytes / 2] = '\0';
    assert_int_equal(load_with_header(with_nul, header_bytes, &error), ERR_CORRUPT);
}

static void test_hostile_arrays(void **state)
{
    (void)state;
    struct model_preamble preamble;
    struct model_layout layout;
    memcpy(&preamble, model_bytes, sizeof(preamble));
    assert_int_equal(model_layout(&preamble, &layout), 0);
    assert_true(preamble.feature_count > 2 && preamble.repository_count == 2 &&
                preamble.crossed_count >= 2 && preamble.template_count > 1);
    const size_t tables[] = {layout.hashes, layout.repositories, layout.crossed, layout.templates};
    struct error error = {0};
    for (size_t t = 0; t < ARRAY_COUNT(tables); t++) {
        CLEANUP(mem_free) char *copy = mem_copy_bytes(model_bytes, model_byte_count);
        memcpy(copy + tables[t] + sizeof(uint64_t), copy + tables[t],
               sizeof(uint64_t)); /* the same twice */
        if (load_resealed(copy, model_byte_count, &error) != ERR_CORRUPT)
            fail_msg("table %zu out of order is not refused", t);
    }
    static const float rarities[] = {0, -1, 1e-30f, 1e30f, NAN, INFINITY};
    for (size_t r = 0; r < ARRAY_COUNT(rarities); r++) {
        CLEANUP(mem_free) char *copy = mem_copy_bytes(model_bytes, model_byte_count);
        memcpy(copy + layout.idf + sizeof(float), &rarities[r], sizeof(float));
        if (load_resealed(copy, model_byte_count, &error) != ERR_CORRUPT)
            fail_msg("rarity %g is not refused", (double)rarities[r]);
    }
    /* Any weights are weights: the result is a probability still. */
    CLEANUP(mem_free) char *copy = mem_copy_bytes(model_bytes, model_byte_count);
    memset(copy + layout.weights, 0x80, layout.digest - layout.weights);
    assert_int_equal(load_resealed(copy, model_byte_count, &error), 0);
}

static void test_any_bytes_are_an_issue(void **state)
{
    (void)state;
    struct error error = {0};
    CLEANUP(classifier_free) struct classifier *classifier = NULL;
    assert_int_equal(classifier_load_bytes(model_bytes, model_byte_count, &classifier, &error), 0);
    struct classifier_score scores[8];
    uint64_t random = 5;
    for (size_t bytes = 0; bytes < 60000; bytes = bytes * 3 / 2 + 1) {
        CLEANUP(mem_free) char *text = mem_alloc(bytes);
        for (size_t i = 0; i < bytes; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            text[i] = (char)(random >> 50);
        }
        struct classifier_issue issue = {.title = text,
                                         .title_bytes = bytes,
                                         .body = text,
                                         .body_bytes = bytes,
                                         .repository = "one/alpha"};
        classifier_predict(classifier, &issue, scores);
        struct classifier_explanation explanation;
        classifier_explain(classifier, &issue, 0, 1000, &explanation);
        assert_true(scores[0].probability >= 0 && scores[0].probability <= 1);
        classifier_explanation_free(&explanation);
    }
    struct classifier_issue nothing = {0};
    classifier_predict(classifier, &nothing, scores);
    assert_true(scores[0].probability > 0 && scores[0].probability < 1);
}

static void test_explanations_add_up(void **state)
{
    (void)state;
    struct error error = {0};
    CLEANUP(classifier_free) struct classifier *classifier = NULL;
    assert_int_equal(classifier_load_bytes(model_bytes, model_byte_count, &classifier, &error), 0);
    struct classifier_issue issue =
        sample_issue("one/alpha", "It crashes in the parser",
                     "### What happened\n\nafter an update it hangs handle");
    struct classifier_score scores[8];
    classifier_predict(classifier, &issue, scores);
    for (size_t l = 0; l < classifier_label_count(classifier); l++)
        for (size_t most = 0; most <= 1000; most += 5) {
            struct classifier_explanation explanation;
            classifier_explain(classifier, &issue, l, most, &explanation);
            double sum = explanation.bias + explanation.rest;
            for (size_t r = 0; r < explanation.reason_count; r++) {
                sum += explanation.reasons[r].contribution;
                assert_true(r == 0 || fabs(explanation.reasons[r - 1].contribution) >=
                                          fabs(explanation.reasons[r].contribution));
            }
            assert_true(explanation.reason_count <= most);
            assert_true(fabs(sum - explanation.logit) < 1e-9);
            assert_true(fabs(explanation.probability - scores[l].probability) < 1e-9);
            classifier_explanation_free(&explanation);
        }
    struct classifier_explanation explanation;
    classifier_explain(classifier, &issue, sample_label(classifier, "bug"), 3, &explanation);
    bool found = false;
    for (size_t r = 0; r < explanation.reason_count; r++)
        found = found || strstr(explanation.reasons[r].text, "crashes") != NULL ||
                strstr(explanation.reasons[r].text, "it") != NULL;
    assert_true(found);
    classifier_explanation_free(&explanation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_and_bytes_agree),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_every_flipped_bit_is_refused),
        cmocka_unit_test(test_newer_format),
        cmocka_unit_test(test_hostile_preambles),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_hostile_arrays),
        cmocka_unit_test(test_any_bytes_are_an_issue),
        cmocka_unit_test(test_explanations_add_up),
    };
    return cmocka_run_group_tests(tests, train_once, free_model);
}
