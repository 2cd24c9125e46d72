/*
 * What a Labeler document decides: which repositories, which labels, which issues are held back; and
 * how a document of the topic `specs` becomes the struct that says so. What is refused is tested in
 * tests/unit/topics/spec_document_test.c.
 */
#include "reactors/labeler/document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "tests/unit/reactors/labeler/documents.h"

/* Lines of the good document. */
static const char *const good_lines[] = {
    "apiVersion: nodag.dev/v1",                                  /* 1 */
    "kind: Labeler",                                             /* 2 */
    "metadata: {name: one}",                                     /* 3 */
    "spec:",                                                     /* 4 */
    "  repositories: [\"o/*\", p/q]",                            /* 5 */
    "  labels: {include: [\"area/*\", lgtm]}",                   /* 6 */
    "  models: [{file: a.model}, {model: run-1}, {from: prod}]", /* 7 */
    "  since: 2026-11-01T08:00:00Z",                             /* 8 */
    "  relabel: open",                                           /* 9 */
    "  comment: edit",                                           /* 10 */
    "  audit: {holdback: 5%}",                                   /* 11 */
};

/* 2026-11-01T08:00:00Z in milliseconds since 1970. */
#define GOOD_SINCE_MS INT64_C(1793520000000)

/* Largest text of a case. */
#define TEXT_MAX_BYTES (256u << 10)

/* Keys that the holdback's share is counted over; a share of 10% is then within 9% and 11% by far
 * more than four sigma. */
#define HOLDBACK_KEYS 20000

/* The good document. */
static char *write_document(void)
{
    struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_COUNT(good_lines); i++)
        assert_int_equal(buffer_append_format(&text, "%s\n", good_lines[i]), 0);
    return buffer_take(&text);
}

static struct document_set *parse_good(const char *text)
{
    struct document_set *set = documents_of(text, strlen(text));
    if (set == NULL)
        fail_msg("refused: %s", text);
    return set;
}

static void test_good(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *text = write_document();
    CLEANUP(document_set_free) struct document_set *set = parse_good(text);
    assert_int_equal(document_count(set), 1);
    const struct document *document = document_at(set, 0);
    assert_string_equal(document->name, "one");
    assert_int_equal(document->repositories.count, 2);
    assert_string_equal(document->repositories.items[1], "p/q");
    assert_int_equal(document->include.count, 2);
    assert_string_equal(document->include.items[0], "area/*");
    assert_int_equal(document->model_count, 3);
    assert_int_equal(document->models[0].source, DOCUMENT_MODEL_FILE);
    assert_string_equal(document->models[0].text, "a.model");
    assert_int_equal(document->models[1].source, DOCUMENT_MODEL_VERSION);
    assert_string_equal(document->models[1].text, "run-1");
    assert_int_equal(document->models[2].source, DOCUMENT_MODEL_DEPLOYMENT);
    assert_string_equal(document->models[2].text, "prod");
    assert_int_equal(document->since_ms, GOOD_SINCE_MS);
    assert_int_equal(document->relabel, DOCUMENT_RELABEL_OPEN);
    assert_int_equal(document->comment, DOCUMENT_COMMENT_EDIT);
    assert_true(document->holdback > 0.0499 && document->holdback < 0.0501);
}

static void test_defaults(void **state)
{
    (void)state;
    static const char text[] = "apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: "
                               "one}\nspec: {repositories: [o/r], "
                               "labels: {include: [x]}, models: [{file: m}]}\n";
    CLEANUP(document_set_free) struct document_set *set = parse_good(text);
    const struct document *document = document_at(set, 0);
    assert_int_equal(document->relabel, DOCUMENT_RELABEL_NONE);
    assert_int_equal(document->comment, DOCUMENT_COMMENT_SILENT);
    assert_true(document->holdback == 0.0);
    assert_int_equal(document->since_ms, DOCUMENTS_PUBLISHED_MS);
}

/* --- several documents --- */

/* Appends a document with this name, repositories and include. */
static void append_document(struct buffer *text, const char *name, const char *repositories,
                            const char *include)
{
    assert_int_equal(
        buffer_append_format(
            text,
            "---\napiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: %s}\nspec:\n"
            "  repositories: [%s]\n  labels: {include: [%s]}\n  models: [{file: m}]\n"
            "  since: 2026-11-01\n",
            name, repositories, include),
        0);
}

/* The set of a fold: Labelers that are in force, also while a newer version of them is not valid. */
static void test_from_specs(void **state)
{
    (void)state;
    static const char invalid_only[] =
        "{\"first_published\":null,\"valid\":null,\"invalid\":{\"repository\":\"r\",\"path\":"
        "\"p\",\"reason\":\"x\"}}";
    CLEANUP(mem_free) char *text = write_document();
    CLEANUP(spec_documents_free)
    struct spec_file_documents *file = spec_documents_read(text, strlen(text), SPEC_FROM_GIT);
    CLEANUP(spec_store_free) struct spec_store *store = spec_store_new();
    const struct spec_place place = {.repository = (char *)(uintptr_t) "r",
                                     .path = (char *)(uintptr_t) "p"};
    struct spec_record *record = spec_record_new();
    record->valid = json_incref(file->documents[0].value);
    record->first_published_ms = 1;
    record->reason = mem_copy_text("a newer one is wrong");
    spec_place_set(&record->valid_place, &place);
    spec_place_set(&record->invalid_place, &place);
    spec_store_put(store, "Labeler/one", record);
    struct spec_record *invalid = NULL;
    assert_int_equal(
        spec_record_decode("Labeler/two", invalid_only, strlen(invalid_only), &invalid, NULL), 0);
    spec_store_put(store, "Labeler/two", invalid);
    CLEANUP(document_set_free) struct document_set *set = document_set_from_specs(store);
    assert_int_equal(document_count(set), 1);
    assert_string_equal(document_at(set, 0)->name, "one");
    spec_store_put(store, "Labeler/one", NULL); /* the set keeps what it needs */
    assert_string_equal(document_at(set, 0)->repositories.items[0], "o/*");
}

static void test_equals(void **state)
{
    (void)state;
    static const char other[] = "apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: one}\n"
                                "spec: {repositories: [o/r], labels: {include: [x]}, "
                                "models: [{file: m}]}\n";
    CLEANUP(mem_free) char *text = write_document();
    CLEANUP(document_set_free) struct document_set *one = parse_good(text);
    CLEANUP(document_set_free) struct document_set *same = parse_good(text);
    CLEANUP(document_set_free) struct document_set *changed = parse_good(other);
    assert_true(document_equals(document_at(one, 0), document_at(same, 0)));
    assert_false(document_equals(document_at(one, 0), document_at(changed, 0)));
    assert_false(document_equals(NULL, document_at(changed, 0)));
    assert_true(document_equals(NULL, NULL));
}

/* Who finds what, or which error. */
struct finding {
    const char *repository;
    const char *name;  /* of the document; NULL: none */
    const char *error; /* then */
};

static void test_find(void **state)
{
    (void)state;
    static const struct finding findings[] = {
        {"o/r", "one", NULL},
        {"O/R", "one", NULL},
        {"o/r2", NULL, "no Labeler matches o/r2"},
        {"p/anything", "two", NULL},
        {"p/.github", "two", NULL},
        {"p/shared", NULL,
         "the Labelers `two` and `three` both match p/shared; change `repositories` of one of "
         "them"},
        {"pp/x", NULL, "no Labeler matches pp/x"},
        {"z/b", "three", NULL},
        {"z/c", NULL, "no Labeler matches z/c"},
        {"", NULL, "no Labeler matches "},
    };
    struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
    append_document(&text, "one", "o/r", "x");
    append_document(&text, "two", "\"p/*\"", "x");
    append_document(&text, "three", "p/shared, \"z/[ab]\"", "x");
    CLEANUP(document_set_free) struct document_set *set = parse_good(text.data);
    buffer_release(&text);
    assert_int_equal(document_count(set), 3);
    for (size_t i = 0; i < ARRAY_COUNT(findings); i++) {
        const struct finding *finding = &findings[i];
        const struct document *document = NULL;
        struct error error = {0};
        int code = document_find(set, finding->repository, &document, &error);
        if (finding->name != NULL) {
            assert_int_equal(code, 0);
            assert_string_equal(document->name, finding->name);
            continue;
        }
        assert_int_equal(code,
                         strstr(finding->error, "both") != NULL ? ERR_CONFLICT : ERR_NOT_FOUND);
        assert_string_equal(error.text, finding->error);
        assert_null(document);
        assert_int_equal(document_find(set, finding->repository, &document, NULL), code);
    }
}

/* --- labels --- */

static void test_trigger_labels(void **state)
{
    (void)state;
    static const char *const triggers[] = {"ok-to-test",
                                           "needs-ok-to-test",
                                           "lgtm",
                                           "LGTM",
                                           "approved",
                                           "safe to test",
                                           "do-not-merge/hold",
                                           "do-not-merge",
                                           "automerge",
                                           "tide/merge-method-squash",
                                           "cherry-pick-approved",
                                           "backport release-1.2",
                                           "release-note",
                                           "deploy/prod"};
    static const char *const others[] = {"kind/bug",     "area/lgtm",   "good first issue",
                                         "not approved", "area/deploy", "priority/p0"};
    for (size_t i = 0; i < ARRAY_COUNT(triggers); i++)
        if (!document_is_trigger_label(triggers[i]))
            fail_msg("%s is no trigger label", triggers[i]);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        if (document_is_trigger_label(others[i]))
            fail_msg("%s is a trigger label", others[i]);
}

/* Whether a list of include lets a label be written. */
struct inclusion {
    const char *include; /* YAML list items */
    const char *label;
    bool included;
};

static void test_includes(void **state)
{
    (void)state;
    static const struct inclusion inclusions[] = {
        {"\"area/*\"", "area/x", true},
        {"\"area/*\"", "Area/X", true},
        {"\"area/*\"", "area/x/y", true},
        {"\"area/*\"", "area", false},
        {"\"area/*\"", "kind/bug", false},
        {"\"kind/bu[gs]\"", "kind/bus", true},
        {"\"*\"", "anything at all", true},
        {"\"*\"", "lgtm", false}, /* a glob never reaches a trigger label */
        {"\"l*\"", "LGTM", false},
        {"\"*\", lgtm", "lgtm", true}, /* its literal name does */
        {"\"*\", lgtm", "LGTM", true}, /* as GitHub compares names */
        {"\"*\", lgtm", "approved", false},
        {"\"do-not-*\"", "do-not-merge/hold", false},
        {"do-not-merge/hold", "do-not-merge/hold", true},
        {"\"a\\\\*\"", "a*", false}, /* a backslash is a character, not an escape */
    };
    for (size_t i = 0; i < ARRAY_COUNT(inclusions); i++) {
        struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
        append_document(&text, "one", "o/r", inclusions[i].include);
        CLEANUP(document_set_free) struct document_set *set = parse_good(text.data);
        buffer_release(&text);
        if (document_includes_label(document_at(set, 0), inclusions[i].label) !=
            inclusions[i].included)
            fail_msg("include [%s] and %s: want %d", inclusions[i].include, inclusions[i].label,
                     (int)inclusions[i].included);
    }
}

/* --- holdback --- */

static size_t count_held_back(const struct document *document)
{
    size_t count = 0;
    char key[32];
    for (int i = 1; i <= HOLDBACK_KEYS; i++) {
        (void)snprintf(key, sizeof(key), "4711#%d", i);
        bool held_back = document_holds_back(document, key);
        assert_int_equal(held_back, document_holds_back(document, key));
        count += held_back ? 1 : 0;
    }
    return count;
}

static void test_holdback_share(void **state)
{
    (void)state;
    static const double shares[] = {0, 0.1, 0.5, 1};
    for (size_t i = 0; i < ARRAY_COUNT(shares); i++) {
        struct document document = {.holdback = shares[i]};
        double wanted = shares[i] * HOLDBACK_KEYS;
        double found = (double)count_held_back(&document);
        if (found < wanted - 0.01 * HOLDBACK_KEYS || found > wanted + 0.01 * HOLDBACK_KEYS)
            fail_msg("a share of %g holds back %g of %d", shares[i], found, HOLDBACK_KEYS);
    }
    struct document none = {.holdback = 0};
    struct document all = {.holdback = 1};
    assert_int_equal(count_held_back(&none), 0);
    assert_int_equal(count_held_back(&all), HOLDBACK_KEYS);
}

/* Which issues are held back is compared over years: the draw must never change, and a larger
 * share holds back all that a smaller one does. */
static void test_holdback_is_stable(void **state)
{
    (void)state;
    /* The first four bytes of the key's SHA-256, over 2^32; computed by another program. */
    static const struct {
        const char *key;
        double draw;
    } draws[] = {{"4711#1", 0.68128}, {"4711#3", 0.16363}, {"1#1", 0.09869}, {"99#7", 0.45797}};
    for (size_t i = 0; i < ARRAY_COUNT(draws); i++) {
        struct document below = {.holdback = draws[i].draw - 0.0001};
        struct document above = {.holdback = draws[i].draw + 0.0001};
        assert_false(document_holds_back(&below, draws[i].key));
        assert_true(document_holds_back(&above, draws[i].key));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_from_specs),
        cmocka_unit_test(test_equals),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_trigger_labels),
        cmocka_unit_test(test_includes),
        cmocka_unit_test(test_holdback_share),
        cmocka_unit_test(test_holdback_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
