/*
 * Fuzz target: any bytes as a model file.
 *
 * Design: the input is loaded as it is, which nearly always ends at the checksum; then once more with the length in
 * its preamble and the checksum at its end made right, so that everything behind them meets hostile bytes too. What
 * loads is asked for its opinion and its reasons. Asserted: probabilities are probabilities, what is not predictable is
 * not predicted, of an exclusive group at most one label is.
 *
 * corpus/model/good is a whole model of three labels; where the format changes, it is made anew by `nodag model train`
 * on two dozen issues of a few words (--min-examples 4 --precision-target 50% --exclusive 'kind*'), a few KB.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/memory.h"
#include "reactors/classifier/classifier.h"
#include "reactors/classifier/model_file.h"

/* Reasons that are asked for. */
#define REASONS_MAX 5

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Issues that are judged: empty, plain, and with bytes that are no text. */
static const struct classifier_issue issues[] = {
    {.title = "", .body = ""},
    {.title = "The pod crashes",
     .title_bytes = 15,
     .body = "```\npanic: nil pointer\n```\nSteps to reproduce: start it. v1.2.3 http://x.y/z",
     .body_bytes = 76,
     .repository = "acme/rocket"},
    {.title = "\xff\x00\xc3", .title_bytes = 3, .body = "a\x00\xed\xa0\x80", .body_bytes = 5},
};

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_scores(const struct classifier *model, const struct classifier_score *scores)
{
    size_t count = classifier_label_count(model);
    for (size_t i = 0; i < count; i++) {
        const struct classifier_label *label = classifier_label_at(model, i);
        require(strcmp(scores[i].label, label->name) == 0);
        require(scores[i].probability >= 0 && scores[i].probability <= 1);
        require(!scores[i].predicted || scores[i].predictable);
        require(!scores[i].predicted || scores[i].probability >= scores[i].threshold);
        for (size_t k = 0; k < i; k++)
            require(!scores[i].predicted || !scores[k].predicted || label->exclusive_group < 0 ||
                    label->exclusive_group != classifier_label_at(model, k)->exclusive_group);
    }
}

static void check_reasons(const struct classifier *model, const struct classifier_issue *issue,
                          size_t label, double probability)
{
    struct classifier_explanation why = {0};
    classifier_explain(model, issue, label, REASONS_MAX, &why);
    require(why.reason_count <= REASONS_MAX && fabs(why.probability - probability) < 1e-9);
    for (size_t r = 0; r < why.reason_count; r++)
        require(why.reasons[r].text[0] != '\0' && why.reasons[r].field[0] != '\0');
    classifier_explanation_free(&why);
}

static void load(const void *bytes, size_t byte_count)
{
    CLEANUP(classifier_free) struct classifier *model = NULL;
    struct error error = {0};
    int code = classifier_load_bytes(bytes, byte_count, &model, &error);
    if (code != 0) {
        require(model == NULL && error.code == code && error.text[0] != '\0');
        return;
    }
    size_t count = classifier_label_count(model);
    require(count >= 1 && count <= MODEL_LABELS_MAX);
    require(strlen(classifier_version(model)) == CLASSIFIER_VERSION_BYTES - 1);
    require(classifier_header_json(model)[0] == '{');
    CLEANUP(mem_free) struct classifier_score *scores = mem_alloc_array(count, sizeof(*scores));
    for (size_t i = 0; i < ARRAY_COUNT(issues); i++) {
        classifier_predict(model, &issues[i], scores);
        check_scores(model, scores);
        check_reasons(model, &issues[i], i % count, scores[i % count].probability);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    CLEANUP(mem_free) uint8_t *copy = mem_alloc_array(byte_count, 1);
    memcpy(copy, bytes, byte_count);
    load(copy, byte_count);
    if (byte_count < sizeof(struct model_preamble) + DIGEST_BYTES)
        return 0;
    uint64_t file_bytes = byte_count;
    memcpy(copy + offsetof(struct model_preamble, file_bytes), &file_bytes, sizeof(file_bytes));
    digest_sha256(copy, byte_count - DIGEST_BYTES, copy + byte_count - DIGEST_BYTES);
    load(copy, byte_count);
    return 0;
}
