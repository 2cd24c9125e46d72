/*
 * The models of documents: two joined into one opinion, versions, words, and files that appear,
 * change and are damaged.
 *
 * Design: two small models are trained once; both know a label "kind/bug", by different words.
 */
#include "reactors/labeler/models.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/unit/reactors/labeler/documents.h"
#include "tests/unit/reactors/labeler/trained.h"

/* Longest path of a test's file. */
#define PATH_BYTES 128

/* Knows panics as bugs. */
static struct trained panics;
/* Knows glitches as bugs, under another spelling, and an area. */
static struct trained glitches;

/* A folder of this run's own. */
static char folder[] = "/tmp/nodag-models-XXXXXX";

static int begin(void **state)
{
    (void)state;
    static const struct trained_label first[] = {{"kind/bug", "panic crash"},
                                                 {"kind/feature", "please support"}};
    static const struct trained_label second[] = {{"Kind/Bug", "glitch hiccup"},
                                                  {"area/x", "xylophone xenon"}};
    log_set_fd(
        open("/dev/null", O_WRONLY | O_CLOEXEC)); /* what is said of bad files is not looked at */
    if (mkdtemp(folder) == NULL || !trained_make(first, ARRAY_COUNT(first), &panics) ||
        !trained_make(second, ARRAY_COUNT(second), &glitches))
        return -1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    mem_free(panics.bytes);
    mem_free(glitches.bytes);
    return rmdir(folder);
}

/* A document with these models. */
static struct document with_models(struct document_model *models, size_t count)
{
    return (struct document){.name = "one", .models = models, .model_count = count};
}

/* The opinion of a document's models of a text; owned. */
static struct model_opinion *ask(struct models *models, const struct document *document,
                                 const char *body, bool with_words)
{
    struct classifier_issue issue = {
        .title = "it happens",
        .title_bytes = strlen("it happens"),
        .body = body,
        .body_bytes = strlen(body),
        .repository = TRAINED_REPOSITORY,
    };
    struct model_opinion *opinion = NULL;
    struct error error = {0};
    if (models_ask(models, document, &issue, with_words, &opinion, &error) != 0)
        fail_msg("no opinion: %s", error.text);
    return opinion;
}

static const struct model_opinion_label *find_label(const struct model_opinion *opinion,
                                                    const char *label)
{
    const struct model_opinion_label *found = NULL;
    for (size_t i = 0; i < opinion->label_count; i++) {
        if (strcasecmp(opinion->labels[i].score.label, label) != 0)
            continue;
        assert_null(found); /* a label stands once in an opinion */
        found = &opinion->labels[i];
    }
    assert_non_null(found);
    return found;
}

/* What each of two models says of a text, and what both say together. */
static void check_join(const char *body, const struct trained *winner)
{
    static struct document_model files[] = {{DOCUMENT_MODEL_FILE, "a"}, {DOCUMENT_MODEL_FILE, "b"}};
    CLEANUP(models_free) struct models *models = models_new(NULL);
    models_put(models, "a", trained_load(&panics));
    models_put(models, "b", trained_load(&glitches));
    struct document both = with_models(files, 2);
    struct document first = with_models(files, 1);
    struct document second = with_models(files + 1, 1);
    CLEANUP(model_opinion_free) struct model_opinion *joined = ask(models, &both, body, true);
    CLEANUP(model_opinion_free) struct model_opinion *one = ask(models, &first, body, true);
    CLEANUP(model_opinion_free) struct model_opinion *other = ask(models, &second, body, true);
    assert_int_equal(joined->label_count, 3);
    assert_true(find_label(joined, "kind/feature")->score.probability ==
                find_label(one, "kind/feature")->score.probability);
    assert_true(find_label(joined, "area/x")->score.probability ==
                find_label(other, "area/x")->score.probability);
    const struct model_opinion_label *wanted =
        find_label(winner == &panics ? one : other, "kind/bug");
    const struct model_opinion_label *loser =
        find_label(winner == &panics ? other : one, "kind/bug");
    const struct model_opinion_label *found = find_label(joined, "kind/bug");
    assert_true(wanted->score.probability > loser->score.probability);
    assert_true(found->score.probability == wanted->score.probability);
    assert_true(found->score.predicted == wanted->score.predicted);
    assert_string_equal(found->score.label, wanted->score.label);
    assert_string_equal(found->model, wanted->model);
    assert_string_equal(found->words, wanted->words);
}

/* The union of the labels; of two opinions of one label the more probable, whichever model is
 * named first. */
static void test_join(void **state)
{
    (void)state;
    check_join("panic crash panic", &panics);
    check_join("glitch hiccup glitch", &glitches);
}

static void test_version(void **state)
{
    (void)state;
    static struct document_model files[] = {{DOCUMENT_MODEL_FILE, "a"}, {DOCUMENT_MODEL_FILE, "b"}};
    CLEANUP(models_free) struct models *models = models_new(NULL);
    struct document both = with_models(files, 2);
    struct classifier *one = trained_load(&panics);
    assert_null(models_version(models, &both));
    models_put(models, "a", one);
    assert_null(models_version(models, &both)); /* one of two is not enough */
    struct classifier_issue issue = {0};
    struct model_opinion *opinion = NULL;
    struct error error = {0};
    assert_int_equal(models_ask(models, &both, &issue, false, &opinion, &error), ERR_UNAVAILABLE);
    assert_string_equal(error.text,
                        "the model file b of Labeler `one` is not there or not valid yet");
    assert_null(opinion);
    struct classifier *other = trained_load(&glitches);
    models_put(models, "b", other);
    char wanted[64];
    (void)snprintf(wanted, sizeof(wanted), "%s+%s", classifier_version(one),
                   classifier_version(other));
    assert_string_equal(models_version(models, &both), wanted);
    opinion = ask(models, &both, "panic", false);
    assert_string_equal(opinion->version, wanted);
    assert_string_not_equal(classifier_version(one), classifier_version(other));
    model_opinion_free(opinion);
}

/* Words are there for predicted labels only, and only when asked for; at most MODELS_WORDS_MAX. */
static void test_words(void **state)
{
    (void)state;
    static struct document_model files[] = {{DOCUMENT_MODEL_FILE, "a"}};
    CLEANUP(models_free) struct models *models = models_new(NULL);
    models_put(models, "a", trained_load(&panics));
    struct document document = with_models(files, 1);
    CLEANUP(model_opinion_free)
    struct model_opinion *without = ask(models, &document, "panic crash panic", false);
    CLEANUP(model_opinion_free)
    struct model_opinion *with = ask(models, &document, "panic crash panic", true);
    const struct model_opinion_label *bug = find_label(with, "kind/bug");
    assert_true(bug->score.predicted);
    assert_non_null(strstr(bug->words, "panic"));
    size_t count = 1;
    for (const char *at = bug->words; *at != '\0'; at++)
        count += *at == '\n' ? 1 : 0;
    assert_true(count <= MODELS_WORDS_MAX);
    assert_false(find_label(with, "kind/feature")->score.predicted);
    assert_string_equal(find_label(with, "kind/feature")->words, "");
    assert_string_equal(find_label(without, "kind/bug")->words, "");
}

/* --- files --- */

static void write_file(const char *path, const void *bytes, size_t byte_count)
{
    char part[PATH_BYTES + 8];
    (void)snprintf(part, sizeof(part), "%s.part", path);
    FILE *file = fopen(part, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, byte_count, file), byte_count);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(part, path), 0);
}

static double failed_metric(struct metrics *metrics)
{
    struct buffer text = BUFFER_INIT(1u << 16);
    assert_int_equal(metrics_print(metrics, &text), 0);
    const char *line = strstr(text.data, "\nnodag_labeler_models_failed ");
    double value = line != NULL ? strtod(strchr(line, ' '), NULL) : -1;
    buffer_release(&text);
    return value;
}

/* A file that is not there, comes, changes, is damaged, and is whole again: the last good model
 * stays in force. */
static void test_files(void **state)
{
    (void)state;
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/label.model", folder);
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: one}\nspec:\n  "
                   "repositories: [o/r]\n"
                   "  labels: {include: [x]}\n  models: [{file: %s}]\n  since: 2026-11-01\n",
                   path);
    CLEANUP(document_set_free) struct document_set *documents = documents_of(text, strlen(text));
    assert_non_null(documents);
    const struct document *document = document_at(documents, 0);
    CLEANUP(metrics_free) struct metrics *metrics = metrics_new();
    CLEANUP(models_free) struct models *models = models_new(metrics);

    assert_int_equal(models_load(models, documents), 1);
    assert_true(failed_metric(metrics) == 1.0);
    assert_null(models_version(models, document));

    write_file(path, panics.bytes, panics.byte_count);
    assert_int_equal(models_load(models, documents), 0);
    assert_true(failed_metric(metrics) == 0.0);
    char first[CLASSIFIER_VERSION_BYTES];
    (void)snprintf(first, sizeof(first), "%s", models_version(models, document));

    write_file(path, glitches.bytes, glitches.byte_count / 2);
    assert_int_equal(models_load(models, documents), 1);
    assert_true(failed_metric(metrics) == 1.0);
    assert_string_equal(models_version(models, document), first);
    CLEANUP(model_opinion_free)
    struct model_opinion *opinion = ask(models, document, "panic crash panic", false);
    assert_true(find_label(opinion, "kind/bug")->score.predicted);

    write_file(path, glitches.bytes, glitches.byte_count);
    assert_int_equal(models_load(models, documents), 0);
    assert_string_not_equal(models_version(models, document), first);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(models_load(models, documents), 1);
    assert_string_not_equal(models_version(models, document), first);
}

/* What only other reactors can provide is said plainly, and waits for a person. */
static void test_other_sources(void **state)
{
    (void)state;
    static const struct {
        enum document_model_source source;
        const char *error;
    } cases[] = {
        {DOCUMENT_MODEL_VERSION, "Labeler `one` takes its model from the version `prod`, which "
                                 "nothing here can fetch; write `file: PATH`"},
        {DOCUMENT_MODEL_DEPLOYMENT,
         "Labeler `one` takes its model from the Deployment `prod`, which this version of nodag "
         "cannot do yet; write `file: PATH` or `model: VERSION`"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct document_model models_of[] = {{DOCUMENT_MODEL_FILE, "a"}, {cases[i].source, "prod"}};
        CLEANUP(models_free) struct models *models = models_new(NULL);
        models_put(models, "a", trained_load(&panics));
        models_put(models, "prod", trained_load(&panics)); /* a file of that name is not meant */
        struct document document = with_models(models_of, 2);
        struct classifier_issue issue = {0};
        struct model_opinion *opinion = NULL;
        struct error error = {0};
        assert_null(models_version(models, &document));
        assert_int_equal(models_ask(models, &document, &issue, false, &opinion, &error),
                         ERR_UNSUPPORTED);
        assert_string_equal(error.text, cases[i].error);
        assert_null(opinion);
    }
}

/* The one document with this list; owned. */
static struct document_set *document_with(const char *list)
{
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: one}\nspec:\n  "
                   "repositories: [o/r]\n  labels: {include: [x]}\n  models: [%s]\n"
                   "  since: 2026-11-01\n",
                   list);
    struct document_set *documents = documents_of(text, strlen(text));
    assert_non_null(documents);
    return documents;
}

/* Puts a model under each path, of one letter. */
static void put_all(struct models *models, const char *paths)
{
    for (const char *path = paths; *path != '\0'; path++)
        models_put(models, (char[]){*path, '\0'}, trained_load(*path == 'o' ? &panics : &glitches));
}

/* Asserts which list a document's issues are judged by: of `o`, of the two others, or none. */
static void check_force(struct models *models, const struct document_set *documents,
                        const char *wanted)
{
    struct classifier *one = trained_load(&panics);
    struct classifier *other = trained_load(&glitches);
    char text[64] = "none";
    if (strcmp(wanted, "former") == 0)
        (void)snprintf(text, sizeof(text), "%s", classifier_version(one));
    else if (strcmp(wanted, "new") == 0)
        (void)snprintf(text, sizeof(text), "%s+%s", classifier_version(other),
                       classifier_version(other));
    const char *version = models_version(models, document_at(documents, 0));
    assert_string_equal(version != NULL ? version : "none", text);
    classifier_free(one);
    classifier_free(other);
}

/* Which models are in force after a document named others: by what can be used before the change, and
 * what comes after it. */
static void test_former_stays(void **state)
{
    (void)state;
    static const char both[] = "{file: n}, {file: m}";
    static const char deployment[] = "{file: n}, {from: m}";
    static const struct {
        const char *has;   /* paths with a model before the document changes; `o` is the former's */
        const char *comes; /* afterwards */
        const char *list;  /* the new one */
        const char *before; /* in force when the document has changed */
        const char *after;  /* in force when what comes has come */
    } cases[] = {
        {"o", "", both, "former", "former"},     {"o", "n", both, "former", "former"},
        {"o", "nm", both, "former", "new"},      {"onm", "", both, "new", "new"},
        {"", "o", both, "none", "none"},         {"", "nm", both, "none", "new"},
        {"o", "nm", deployment, "none", "none"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(models_free) struct models *models = models_new(NULL);
        CLEANUP(document_set_free) struct document_set *former = document_with("{file: o}");
        CLEANUP(document_set_free) struct document_set *fresh = document_with(cases[i].list);
        CLEANUP(document_set_free) struct document_set *none = document_set_new();
        put_all(models, cases[i].has);
        models_settle(models, former);
        models_settle(models, fresh);
        check_force(models, fresh, cases[i].before);
        put_all(models, cases[i].comes);
        models_settle(models, fresh);
        check_force(models, fresh, cases[i].after);
        models_settle(models, none); /* a document that is gone leaves nothing behind */
        models_settle(models, fresh);
        check_force(models, fresh, strcmp(cases[i].after, "new") == 0 ? "new" : "none");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),          cmocka_unit_test(test_version),
        cmocka_unit_test(test_words),         cmocka_unit_test(test_files),
        cmocka_unit_test(test_other_sources), cmocka_unit_test(test_former_stays),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
