/*
 * The models of the labeler's documents: see models.h.
 */
#include "reactors/labeler/models.h"

#include <string.h>
#include <strings.h>
#include <uthash.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"

/* Longest joined version: a document has few models. */
#define MODELS_VERSION_MAX_BYTES 4096

/* Longest list of words of one label. */
#define MODELS_WORDS_MAX_BYTES 1024

/* One path. */
struct model_entry {
    char *path;                    /* owned */
    struct classifier *classifier; /* owned; NULL: no good file yet */
    UT_hash_handle hh;             /* by path */
};

struct models {
    struct model_entry *entries;  /* hash */
    char *version;                /* owned; the last answer of models_version */
    struct metric *failed_metric; /* NULL without metrics */
};

struct models *models_new(struct metrics *metrics)
{
    struct models *models = MEM_NEW(struct models);
    if (metrics != NULL)
        models->failed_metric = metrics_single(
            metrics_declare(metrics, METRICS_GAUGE, "nodag_labeler_models_failed",
                            "Model files that could not be loaded at the last try.", NULL));
    return models;
}

void models_free(struct models *models)
{
    if (models == NULL)
        return;
    struct model_entry *entry = NULL;
    struct model_entry *rest = NULL;
    HASH_ITER(hh, models->entries, entry, rest)
    {
        HASH_DEL(models->entries, entry);
        classifier_free(entry->classifier);
        mem_free(entry->path);
        mem_free(entry);
    }
    mem_free(models->version);
    mem_free(models);
}

static struct model_entry *models_entry(struct models *models, const char *path)
{
    struct model_entry *entry = NULL;
    HASH_FIND_STR(models->entries, path, entry);
    if (entry == NULL) {
        entry = MEM_NEW(struct model_entry);
        entry->path = mem_copy_text(path);
        HASH_ADD_KEYPTR(hh, models->entries, entry->path, strlen(entry->path), entry);
    }
    return entry;
}

/* Loads one file; the last good model stays if it cannot be. */
static bool models_load_entry(struct model_entry *entry)
{
    struct classifier *classifier = NULL;
    struct error error = {0};
    int code = classifier_load(entry->path, &classifier, &error);
    if (code != 0) {
        LOG_ERROR("a model file cannot be used", LOG_TEXT("path", entry->path),
                  LOG_TEXT("reason", error.text),
                  LOG_TEXT("meanwhile", entry->classifier != NULL
                                            ? classifier_version(entry->classifier)
                                            : "its issues wait"));
        return false;
    }
    if (entry->classifier == NULL ||
        strcmp(classifier_sha256(entry->classifier), classifier_sha256(classifier)) != 0)
        LOG_INFO("model loaded", LOG_TEXT("path", entry->path),
                 LOG_TEXT("version", classifier_version(classifier)),
                 LOG_INT("labels", classifier_label_count(classifier)));
    classifier_free(entry->classifier);
    entry->classifier = classifier;
    return true;
}

size_t models_load(struct models *models, const struct document_set *documents)
{
    size_t failed = 0;
    for (size_t i = 0; i < document_count(documents); i++) {
        const struct document *document = document_at(documents, i);
        for (size_t j = 0; j < document->model_count; j++)
            if (document->models[j].source == DOCUMENT_MODEL_FILE &&
                !models_load_entry(models_entry(models, document->models[j].text)))
                failed++;
    }
    if (models->failed_metric != NULL)
        metric_set(models->failed_metric, (double)failed);
    return failed;
}

void models_put(struct models *models, const char *path, struct classifier *classifier)
{
    struct model_entry *entry = models_entry(models, path);
    classifier_free(entry->classifier);
    entry->classifier = classifier;
}

/* Returns what a document's entry stands for now, or NULL where nothing can be used (yet). */
static const struct classifier *models_find(struct models *models,
                                            const struct document_model *model)
{
    if (model->source != DOCUMENT_MODEL_FILE)
        return NULL; /* versions and Deployments: see models_missing */
    return models_entry(models, model->text)->classifier;
}

const char *models_version(struct models *models, const struct document *document)
{
    struct buffer text = BUFFER_INIT(MODELS_VERSION_MAX_BYTES);
    for (size_t i = 0; i < document->model_count; i++) {
        const struct classifier *classifier = models_find(models, &document->models[i]);
        if (classifier == NULL) {
            buffer_release(&text);
            return NULL;
        }
        (void)!buffer_append_format(&text, "%s%s", i > 0 ? "+" : "",
                                    classifier_version(classifier));
    }
    mem_free(models->version);
    models->version = buffer_take(&text);
    return models->version;
}

static char *models_words(const struct classifier *classifier, const struct classifier_issue *issue,
                          size_t index)
{
    struct classifier_explanation explanation = {0};
    classifier_explain(classifier, issue, index, MODELS_WORDS_MAX * 2, &explanation);
    struct buffer words = BUFFER_INIT(MODELS_WORDS_MAX_BYTES);
    size_t count = 0;
    for (size_t i = 0; i < explanation.reason_count && count < MODELS_WORDS_MAX; i++) {
        const struct classifier_reason *reason = &explanation.reasons[i];
        if (reason->contribution <= 0 || reason->text[0] == '^')
            continue; /* '^' stands for the beginning of a title: nothing for people */
        (void)!buffer_append_format(&words, "%s%s", count > 0 ? "\n" : "", reason->text);
        count++;
    }
    classifier_explanation_free(&explanation);
    return buffer_take(&words);
}

/* Puts one label into the opinion, or lets the more probable of two stand. */
static void models_join(struct model_opinion *opinion, const struct classifier *classifier,
                        const struct classifier_score *score, char *words)
{
    struct model_opinion_label label = {
        .score = *score, .model = classifier_version(classifier), .words = words};
    for (size_t i = 0; i < opinion->label_count; i++) {
        struct model_opinion_label *known = &opinion->labels[i];
        if (strcasecmp(known->score.label, score->label) != 0)
            continue;
        if (known->score.probability >= score->probability) {
            mem_free(words);
        } else {
            mem_free(known->words);
            *known = label;
        }
        return;
    }
    opinion->labels[opinion->label_count++] = label;
}

static void models_ask_one(const struct classifier *classifier,
                           const struct classifier_issue *issue, bool with_words,
                           struct model_opinion *opinion)
{
    size_t count = classifier_label_count(classifier);
    CLEANUP(mem_free) struct classifier_score *scores = mem_alloc_array(count, sizeof(*scores));
    classifier_predict(classifier, issue, scores);
    opinion->labels =
        mem_resize_array(opinion->labels, opinion->label_count + count, sizeof(opinion->labels[0]));
    for (size_t i = 0; i < count; i++) {
        char *words = with_words && scores[i].predicted ? models_words(classifier, issue, i)
                                                        : mem_copy_text("");
        models_join(opinion, classifier, &scores[i], words);
    }
}

/* Says which of a document's models cannot be used, and what to do about it. */
static int models_missing(struct models *models, const struct document *document,
                          struct error *error)
{
    for (size_t i = 0; i < document->model_count; i++) {
        const struct document_model *model = &document->models[i];
        if (model->source == DOCUMENT_MODEL_FILE && models_find(models, model) == NULL)
            return error_set(error, ERR_UNAVAILABLE,
                             "the model file %s of Labeler `%s` is not there or not valid yet",
                             model->text, document->name);
        if (model->source != DOCUMENT_MODEL_FILE)
            return error_set(error, ERR_UNSUPPORTED,
                             "Labeler `%s` takes its model from the %s `%s`, which this version of "
                             "nodag cannot do yet; write `file: PATH`",
                             document->name,
                             model->source == DOCUMENT_MODEL_VERSION ? "version" : "Deployment",
                             model->text);
    }
    return error_set(error, ERR_BUG, "Labeler `%s` has all its models", document->name);
}

int models_ask(struct models *models, const struct document *document,
               const struct classifier_issue *issue, bool with_words,
               struct model_opinion **ret_opinion, struct error *error)
{
    const char *version = models_version(models, document);
    if (version == NULL)
        return models_missing(models, document, error);
    struct model_opinion *opinion = MEM_NEW(struct model_opinion);
    opinion->version = mem_copy_text(version);
    for (size_t i = 0; i < document->model_count; i++)
        models_ask_one(models_find(models, &document->models[i]), issue, with_words, opinion);
    *ret_opinion = opinion;
    return 0;
}

void model_opinion_free(struct model_opinion *opinion)
{
    if (opinion == NULL)
        return;
    for (size_t i = 0; i < opinion->label_count; i++)
        mem_free(opinion->labels[i].words);
    mem_free(opinion->labels);
    mem_free(opinion->version);
    mem_free(opinion);
}
