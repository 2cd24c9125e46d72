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

/* What a document's issues are judged by now: its own list, or the one that it had before. */
struct force {
    char *document;              /* owned; its name */
    struct document_model *list; /* owned; texts owned */
    size_t count;                /* of it */
    bool is_said;                /* that the document wants another list */
    bool is_needed;              /* while models_settle sorts out */
    UT_hash_handle hh;           /* by document */
};

struct models {
    struct model_entry *entries;  /* hash */
    struct force *forces;         /* hash */
    struct versions *versions;    /* borrowed; NULL: none can be fetched */
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

static void force_drop_list(struct force *force)
{
    for (size_t i = 0; i < force->count; i++)
        free((void *)(uintptr_t)force->list[i].text);
    mem_free(force->list);
    force->list = NULL;
    force->count = 0;
}

static void force_free(struct models *models, struct force *force)
{
    HASH_DEL(models->forces, force);
    force_drop_list(force);
    mem_free(force->document);
    mem_free(force);
}

void models_use_versions(struct models *models, struct versions *versions)
{
    models->versions = versions;
}

void models_apply(struct models *models, const struct bus_record *record)
{
    if (models->versions != NULL)
        versions_apply(models->versions, record);
}

void models_are_read(struct models *models)
{
    if (models->versions != NULL)
        versions_are_read(models->versions);
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
    struct force *force = NULL;
    struct force *force_rest = NULL;
    HASH_ITER(hh, models->forces, force, force_rest)
    force_free(models, force);
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
    models_settle(models, documents);
    return failed;
}

void models_put(struct models *models, const char *path, struct classifier *classifier)
{
    struct model_entry *entry = models_entry(models, path);
    classifier_free(entry->classifier);
    entry->classifier = classifier;
}

/* Returns what an entry stands for now, or NULL where nothing can be used (yet). */
static const struct classifier *models_find(struct models *models,
                                            const struct document_model *model)
{
    if (model->source == DOCUMENT_MODEL_FILE)
        return models_entry(models, model->text)->classifier;
    if (model->source == DOCUMENT_MODEL_VERSION && models->versions != NULL)
        return versions_find(models->versions, model->text);
    return NULL; /* see models_missing */
}

/* Returns the name that records have for an entry's model: the version's own where it has one. */
static const char *models_name(const struct document_model *model,
                               const struct classifier *classifier)
{
    return model->source == DOCUMENT_MODEL_FILE ? classifier_version(classifier) : model->text;
}

/* Says why one model of a document cannot be used, and what to do about it. */
static int models_why_not(struct models *models, const struct document *document,
                          const struct document_model *model, struct error *error)
{
    if (model->source == DOCUMENT_MODEL_FILE)
        return error_set(error, ERR_UNAVAILABLE,
                         "the model file %s of Labeler `%s` is not there or not valid yet",
                         model->text, document->name);
    if (model->source == DOCUMENT_MODEL_VERSION && models->versions != NULL) {
        int code = versions_why_not(models->versions, model->text, error);
        return error_prefix(error, code, "the model of Labeler `%s`", document->name);
    }
    bool is_version = model->source == DOCUMENT_MODEL_VERSION;
    return error_set(
        error, ERR_UNSUPPORTED,
        "Labeler `%s` takes its model from the %s `%s`, which %s; write `file: PATH`%s",
        document->name, is_version ? "version" : "Deployment", model->text,
        is_version ? "nothing here can fetch" : "this version of nodag cannot do yet",
        is_version ? "" : " or `model: VERSION`");
}

/* Says which of a document's models cannot be used: first those for which a person is needed. */
static int models_missing(struct models *models, const struct document *document,
                          struct error *error)
{
    int code = ERR_BUG;
    (void)error_set(error, code, "Labeler `%s` has all its models", document->name);
    for (size_t i = 0; i < document->model_count; i++) {
        const struct document_model *model = &document->models[i];
        if (models_find(models, model) != NULL || (code != ERR_BUG && !err_is_retriable(code)))
            continue;
        struct error why = {0};
        int next = models_why_not(models, document, model, &why);
        if (code == ERR_BUG || !err_is_retriable(next))
            code = error_set(error, next, "%s", why.text);
    }
    return code;
}

/* --- which list is in force --- */

static bool models_has_all(struct models *models, const struct document_model *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (models_find(models, &list[i]) == NULL)
            return false;
    return true;
}

static bool force_is(const struct force *force, const struct document *document)
{
    if (force->count != document->model_count)
        return false;
    for (size_t i = 0; i < force->count; i++)
        if (force->list[i].source != document->models[i].source ||
            strcmp(force->list[i].text, document->models[i].text) != 0)
            return false;
    return true;
}

static struct force *models_force(const struct models *models, const char *document)
{
    struct force *force = NULL;
    HASH_FIND_STR(models->forces, document, force);
    return force;
}

/* The document's own list can be used, and is in force from now on. */
static void models_set_force(struct models *models, const struct document *document)
{
    struct force *force = models_force(models, document->name);
    if (force == NULL) {
        force = MEM_NEW(struct force);
        force->document = mem_copy_text(document->name);
        HASH_ADD_KEYPTR(hh, models->forces, force->document, strlen(force->document), force);
    } else if (force_is(force, document)) {
        force->is_said = false;
        return;
    }
    force_drop_list(force);
    force->list = mem_alloc_array(document->model_count, sizeof(force->list[0]));
    for (size_t i = 0; i < document->model_count; i++)
        force->list[force->count++] = (struct document_model){
            .source = document->models[i].source, .text = mem_copy_text(document->models[i].text)};
    force->is_said = false;
    LOG_INFO("a Labeler's models are in force", LOG_TEXT("document", document->name),
             LOG_TEXT("version", models_version(models, document)));
}

/* Says once that a document's own list cannot be used yet while a former one is in force. */
static void models_say_former(struct models *models, struct force *force,
                              const struct document *document)
{
    struct error error = {0};
    if (force->is_said || !models_has_all(models, force->list, force->count))
        return;
    force->is_said = true;
    (void)!models_missing(models, document, &error);
    LOG_WARNING("a Labeler's new model cannot be used yet; the former stays in force",
                LOG_TEXT("document", document->name), LOG_TEXT("reason", error.text),
                LOG_TEXT("meanwhile", models_version(models, document)));
}

/* Tells which versions are needed: those of the documents, and those in force. */
static void models_want(struct models *models, const struct document_set *documents)
{
    size_t count = 0;
    const char **names = NULL;
    for (size_t i = 0; i < document_count(documents); i++) {
        const struct document *document = document_at(documents, i);
        const struct force *force = models_force(models, document->name);
        size_t most = document->model_count + (force != NULL ? force->count : 0);
        names = mem_resize_array(names, count + most, sizeof(names[0]));
        for (size_t j = 0; j < document->model_count; j++)
            if (document->models[j].source == DOCUMENT_MODEL_VERSION)
                names[count++] = document->models[j].text;
        for (size_t j = 0; force != NULL && j < force->count; j++)
            if (force->list[j].source == DOCUMENT_MODEL_VERSION)
                names[count++] = force->list[j].text;
    }
    if (models->versions != NULL)
        versions_want(models->versions, names, count);
    mem_free(names);
}

void models_settle(struct models *models, const struct document_set *documents)
{
    struct force *force = NULL;
    struct force *rest = NULL;
    models_want(models, documents); /* first: one of them may be there already */
    for (force = models->forces; force != NULL; force = force->hh.next)
        force->is_needed = false;
    for (size_t i = 0; i < document_count(documents); i++) {
        const struct document *document = document_at(documents, i);
        if (models_has_all(models, document->models, document->model_count))
            models_set_force(models, document);
        force = models_force(models, document->name);
        if (force == NULL)
            continue;
        force->is_needed = true;
        if (!force_is(force, document))
            models_say_former(models, force, document);
    }
    HASH_ITER(hh, models->forces, force, rest)
    {
        if (!force->is_needed)
            force_free(models, force);
    }
    models_want(models, documents); /* again: what is in force no more is let go */
}

/*
 * Chooses the list that a document's issues are judged by: its own, or, until that can be used, the one
 * before. A list with a Deployment is waited for by a person. NULL: none.
 */
static const struct document_model *
models_choose(struct models *models, const struct document *document, size_t *ret_count)
{
    *ret_count = document->model_count;
    if (models_has_all(models, document->models, document->model_count))
        return document->models;
    for (size_t i = 0; i < document->model_count; i++)
        if (document->models[i].source == DOCUMENT_MODEL_DEPLOYMENT)
            return NULL;
    const struct force *force = models_force(models, document->name);
    if (force == NULL || !models_has_all(models, force->list, force->count))
        return NULL;
    *ret_count = force->count;
    return force->list;
}

const char *models_version(struct models *models, const struct document *document)
{
    struct buffer text = BUFFER_INIT(MODELS_VERSION_MAX_BYTES);
    size_t count = 0;
    const struct document_model *list = models_choose(models, document, &count);
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        (void)!buffer_append_format(&text, "%s%s", i > 0 ? "+" : "",
                                    models_name(&list[i], models_find(models, &list[i])));
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
static void models_join(struct model_opinion *opinion, const char *name,
                        const struct classifier_score *score, char *words)
{
    struct model_opinion_label label = {.score = *score, .model = name, .words = words};
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

static void models_ask_one(const struct classifier *classifier, const char *name,
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
        models_join(opinion, name, &scores[i], words);
    }
}

int models_ask(struct models *models, const struct document *document,
               const struct classifier_issue *issue, bool with_words,
               struct model_opinion **ret_opinion, struct error *error)
{
    size_t count = 0;
    const struct document_model *list = models_choose(models, document, &count);
    if (list == NULL)
        return models_missing(models, document, error);
    struct model_opinion *opinion = MEM_NEW(struct model_opinion);
    opinion->version = mem_copy_text(models_version(models, document));
    for (size_t i = 0; i < count; i++) {
        const struct classifier *classifier = models_find(models, &list[i]);
        models_ask_one(classifier, models_name(&list[i], classifier), issue, with_words, opinion);
    }
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
