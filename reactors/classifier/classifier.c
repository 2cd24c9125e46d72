/*
 * Using a loaded model: what it says of itself, probabilities, and why. See classifier.h. Loading
 * is in model_load.c.
 */
#include "reactors/classifier/classifier.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "reactors/classifier/model_file.h"
#include "reactors/classifier/model_loaded.h"
#include "reactors/classifier/text.h"

/* Most labels at which scratch memory stands on the stack. */
#define STACK_LABELS 256

/*
 * --- what a model says of itself
 * ----------------------------------------------------------------------------
 */

const char *classifier_version(const struct classifier *classifier)
{
    return classifier->version;
}

const char *classifier_sha256(const struct classifier *classifier)
{
    return classifier->sha256;
}

const char *classifier_header_json(const struct classifier *classifier)
{
    return classifier->bytes + sizeof(struct model_preamble);
}

size_t classifier_label_count(const struct classifier *classifier)
{
    return classifier->label_count;
}

const struct classifier_label *classifier_label_at(const struct classifier *classifier,
                                                   size_t index)
{
    assert(index < classifier->label_count);
    return &classifier->labels[index].public;
}

const struct feature_space *classifier_space(const struct classifier *classifier)
{
    return &classifier->space;
}

/*
 * --- predicting
 * ---------------------------------------------------------------------------------------------
 */

static double probability_of(double logit)
{
    return 1 / (1 + exp(-logit));
}

/* Sums value × weight of every label, over the vector. */
static void sum_weights(const struct classifier *classifier, const struct space_vector *vector,
                        double *ret_sums)
{
    size_t label_count = classifier->label_count;
    for (size_t l = 0; l < label_count; l++)
        ret_sums[l] = 0;
    for (size_t v = 0; v < vector->count; v++) {
        const int16_t *weights = classifier->weights + vector->values[v].feature * label_count;
        double value = (double)vector->values[v].value;
        for (size_t l = 0; l < label_count; l++)
            ret_sums[l] += value * weights[l];
    }
}

/* Of each exclusive group only the most probable label stays predicted. */
static void keep_best_of_groups(const struct classifier *classifier,
                                struct classifier_score *scores)
{
    for (size_t l = 0; l < classifier->label_count; l++) {
        int group = classifier->labels[l].public.exclusive_group;
        for (size_t k = 0; group >= 0 && scores[l].predicted && k < l; k++) {
            if (!scores[k].predicted || classifier->labels[k].public.exclusive_group != group)
                continue;
            bool is_better = scores[l].probability > scores[k].probability;
            scores[is_better ? k : l].predicted = false;
        }
    }
}

void classifier_predict(const struct classifier *classifier, const struct classifier_issue *issue,
                        struct classifier_score *ret_scores)
{
    double stack_sums[STACK_LABELS];
    CLEANUP(mem_free) double *heap_sums = NULL;
    if (classifier->label_count > STACK_LABELS)
        heap_sums = mem_alloc_array(classifier->label_count, sizeof(*heap_sums));
    double *sums = heap_sums == NULL ? stack_sums : heap_sums;
    CLEANUP(features_bag_free) struct feature_bag *bag = features_bag_new(false);
    struct space_vector vector = {0};
    features_extract(&classifier->space.config, &classifier->space.templates, issue, bag);
    space_vectorise(&classifier->space, bag, issue->repository, &vector);
    sum_weights(classifier, &vector, sums);
    space_vector_release(&vector);
    for (size_t l = 0; l < classifier->label_count; l++) {
        const struct loaded_label *label = &classifier->labels[l];
        double probability = probability_of(label->bias + label->scale * sums[l]);
        ret_scores[l] = (struct classifier_score){
            .label = label->public.name,
            .probability = probability,
            .threshold = label->public.threshold,
            .predictable = label->public.predictable,
            .predicted = label->public.predictable && probability >= label->public.threshold};
    }
    keep_best_of_groups(classifier, ret_scores);
}

/*
 * --- explaining
 * ---------------------------------------------------------------------------------------------
 */

void classifier_explanation_free(struct classifier_explanation *explanation)
{
    for (size_t r = 0; r < explanation->reason_count; r++)
        free(explanation->reasons[r].text);
    free(explanation->reasons);
    *explanation = (struct classifier_explanation){0};
}

/* A bag's entry and what it added. */
struct contribution {
    size_t entry; /* number in the bag */
    double value; /* added to the logit */
};

static int compare_contributions(const void *left, const void *right)
{
    const struct contribution *a = left;
    const struct contribution *b = right;
    double difference = fabs(b->value) - fabs(a->value);
    if (difference != 0)
        return difference > 0 ? 1 : -1;
    return (a->entry > b->entry) - (a->entry < b->entry);
}

/* An entry's text, made valid and printable: what is not becomes '?'. */
static char *printable_text(const struct feature_bag *bag, const struct feature_entry *entry)
{
    char *text = mem_copy_bytes(bag->texts + entry->text_offset, entry->text_bytes);
    for (size_t i = 0; i < entry->text_bytes;) {
        size_t step = utf8_sequence_bytes(text + i, entry->text_bytes - i);
        if (step == 0 || (unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
        i += step == 0 ? 1 : step;
    }
    return text;
}

/* Sums each entry's shared and per-repository parts; strongest first. */
static struct contribution *find_contributions(const struct classifier *classifier,
                                               const struct feature_bag *bag,
                                               const struct space_vector *vector,
                                               size_t label_index)
{
    struct contribution *contributions = mem_alloc_array(bag->count, sizeof(*contributions));
    double scale = classifier->labels[label_index].scale;
    for (size_t e = 0; e < bag->count; e++)
        contributions[e].entry = e;
    for (size_t v = 0; v < vector->count; v++) {
        const struct space_value *value = &vector->values[v];
        int weight = classifier->weights[value->feature * classifier->label_count + label_index];
        contributions[value->entry].value += scale * (double)value->value * weight;
    }
    qsort(contributions, bag->count, sizeof(*contributions), compare_contributions);
    return contributions;
}

void classifier_explain(const struct classifier *classifier, const struct classifier_issue *issue,
                        size_t label_index, size_t reason_max,
                        struct classifier_explanation *ret_explanation)
{
    assert(label_index < classifier->label_count);
    CLEANUP(features_bag_free) struct feature_bag *bag = features_bag_new(true);
    struct space_vector vector = {0};
    features_extract(&classifier->space.config, &classifier->space.templates, issue, bag);
    space_vectorise(&classifier->space, bag, issue->repository, &vector);
    CLEANUP(mem_free)
    struct contribution *contributions = find_contributions(classifier, bag, &vector, label_index);
    space_vector_release(&vector);
    struct classifier_explanation explanation = {.bias = classifier->labels[label_index].bias};
    explanation.logit = explanation.bias;
    explanation.reasons = mem_alloc_array(bag->count < reason_max ? bag->count : reason_max,
                                          sizeof(*explanation.reasons));
    for (size_t c = 0; c < bag->count && contributions[c].value != 0; c++) {
        const struct feature_entry *entry = &bag->entries[contributions[c].entry];
        explanation.logit += contributions[c].value;
        if (c >= reason_max) {
            explanation.rest += contributions[c].value;
            continue;
        }
        explanation.reasons[explanation.reason_count++] = (struct classifier_reason){
            .text = printable_text(bag, entry),
            .field = features_block_field((enum feature_block)entry->block),
            .contribution = contributions[c].value};
    }
    explanation.probability = probability_of(explanation.logit);
    *ret_explanation = explanation;
}
