/*
 * `Labeler` documents: a good one read whole, a table of changes to it with the exact error that
 * each must give, and what a document decides: which repositories, which labels, which issues are
 * held back.
 *
 * Design: most cases are the good document with one line replaced, so that the position in the
 * expected error can be counted.
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

/* Lines of the good document. */
static const char *const good_lines[] = {
    "apiVersion: nodag.dev/v1",                     /* 1 */
    "kind: Labeler",                                /* 2 */
    "metadata: {name: one}",                        /* 3 */
    "spec:",                                        /* 4 */
    "  repositories: [\"o/*\", p/q]",               /* 5 */
    "  labels: {include: [\"area/*\", lgtm]}",      /* 6 */
    "  models: [{file: a.model}, {file: b.model}]", /* 7 */
    "  since: 2026-11-01T08:00:00Z",                /* 8 */
    "  relabel: open",                              /* 9 */
    "  comment: edit",                              /* 10 */
    "  audit: {holdback: 5%}",                      /* 11 */
};

/* 2026-11-01T08:00:00Z in milliseconds since 1970. */
#define GOOD_SINCE_MS INT64_C(1793520000000)

/* Largest text of a case: more than DOCUMENT_COUNT_MAX documents of eleven short lines. */
#define TEXT_MAX_BYTES (256u << 10)

/* Keys that the holdback's share is counted over; a share of 10% is then within 9% and 11% by far
 * more than four sigma. */
#define HOLDBACK_KEYS 20000

/* The good document with line `line` (from 1; 0: none) replaced, or left out if NULL. */
static char *write_document(size_t line, const char *replacement)
{
    struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_COUNT(good_lines); i++) {
        const char *now = i + 1 == line ? replacement : good_lines[i];
        if (now != NULL)
            assert_int_equal(buffer_append_format(&text, "%s\n", now), 0);
    }
    return buffer_take(&text);
}

static struct document_set *parse_good(const char *text)
{
    struct document_set *set = NULL;
    struct error error = {0};
    if (document_set_parse("l.yaml", text, strlen(text), &set, &error) != 0)
        fail_msg("refused: %s", error.text);
    return set;
}

static void test_good(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *text = write_document(0, NULL);
    CLEANUP(document_set_free) struct document_set *set = parse_good(text);
    assert_int_equal(document_count(set), 1);
    const struct document *document = document_at(set, 0);
    assert_string_equal(document->name, "one");
    assert_int_equal(document->repositories.count, 2);
    assert_string_equal(document->repositories.items[1], "p/q");
    assert_int_equal(document->include.count, 2);
    assert_string_equal(document->include.items[0], "area/*");
    assert_int_equal(document->model_files.count, 2);
    assert_string_equal(document->model_files.items[1], "b.model");
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
                               "labels: {include: [x]}, models: [{file: m}], since: 2026-11-01}\n";
    CLEANUP(document_set_free) struct document_set *set = parse_good(text);
    const struct document *document = document_at(set, 0);
    assert_int_equal(document->relabel, DOCUMENT_RELABEL_NONE);
    assert_int_equal(document->comment, DOCUMENT_COMMENT_SILENT);
    assert_true(document->holdback == 0.0);
}

/* --- what is refused --- */

/* One change of the good document. */
struct refusal {
    const char *name;        /* what it is about */
    size_t line;             /* which line of the good document */
    const char *replacement; /* by what; NULL: left out */
    int code;
    const char *error; /* whole text */
};

static const struct refusal refusals[] = {
    {"unknown name", 10, "  coment: edit", ERR_INPUT,
     "l.yaml:10:3: unknown name 'coment'; did you mean 'comment'?"},
    {"unknown name at the top", 2, "kind: Labeler\nstatus: {}", ERR_INPUT,
     "l.yaml:3:1: unknown name 'status'; known here: apiVersion, kind, metadata, spec"},
    {"unknown metadata", 3, "metadata: {name: one, label: x}", ERR_INPUT,
     "l.yaml:3:23: unknown name 'label'; known here: name"},
    {"no apiVersion", 1, NULL, ERR_INPUT, "l.yaml:1:1: `apiVersion` is required"},
    {"no kind", 2, "kind:", ERR_INPUT, "l.yaml:2:6: `kind` is required"},
    {"other apiVersion", 1, "apiVersion: nodag.dev/v2", ERR_UNSUPPORTED,
     "l.yaml:1:13: `apiVersion: nodag.dev/v2` is not known; this version reads nodag.dev/v1"},
    {"other kind", 2, "kind: Model", ERR_INPUT,
     "l.yaml:2:7: the labeler reads documents of kind Labeler, not Model"},
    {"no metadata", 3, NULL, ERR_INPUT,
     "l.yaml:1:1: `metadata: {name: …}` and `spec: {…}` are required"},
    {"no name", 3, "metadata: {}", ERR_INPUT, "l.yaml:3:11: `name` is required"},
    {"empty name", 3, "metadata: {name: ''}", ERR_INPUT, "l.yaml:3:18: `name` is empty"},
    {"name is a list", 3, "metadata: {name: [one]}", ERR_INPUT,
     "l.yaml:3:18: a list where a text is needed"},
    {"no repositories", 5, NULL, ERR_INPUT,
     "l.yaml:5:3: `repositories` must be a list with at least one entry"},
    {"repositories are a text", 5, "  repositories: o/r", ERR_INPUT,
     "l.yaml:5:17: `repositories` must be a list with at least one entry"},
    {"empty repositories", 5, "  repositories: []", ERR_INPUT,
     "l.yaml:5:17: `repositories` must be a list with at least one entry"},
    {"empty entry", 5, "  repositories: [o/r, \"\"]", ERR_INPUT,
     "l.yaml:5:23: an entry of `repositories` is empty"},
    {"null entry", 5, "  repositories: [o/r, null]", ERR_INPUT,
     "l.yaml:5:23: nothing where a text is needed"},
    {"no labels", 6, NULL, ERR_INPUT,
     "l.yaml:5:3: `labels: {include: […]}` is required: nothing else is ever written"},
    {"labels are a list", 6, "  labels: [x]", ERR_INPUT,
     "l.yaml:6:11: `labels: {include: […]}` is required: nothing else is ever written"},
    {"labels.exclude", 6, "  labels: {exclude: [x]}", ERR_INPUT,
     "l.yaml:6:12: unknown name 'exclude'; did you mean 'include'?"},
    {"empty include", 6, "  labels: {include: []}", ERR_INPUT,
     "l.yaml:6:21: `include` must be a list with at least one entry"},
    {"no models", 7, NULL, ERR_INPUT,
     "l.yaml:5:3: `models` must be a list with 1 to 256 entries such as `- {file: label.model}`"},
    {"model is a text", 7, "  models: [a.model]", ERR_INPUT,
     "l.yaml:7:12: an entry of `models` names exactly one of `from`, `model` and `file`"},
    {"two ways to name a model", 7, "  models: [{file: a, model: b}]", ERR_INPUT,
     "l.yaml:7:12: an entry of `models` names exactly one of `from`, `model` and `file`"},
    {"no way to name a model", 7, "  models: [{path: a}]", ERR_INPUT,
     "l.yaml:7:13: unknown name 'path'; known here: from, model, file"},
    {"a Deployment", 7, "  models: [{from: prod}]", ERR_UNSUPPORTED,
     "l.yaml:7:12: `from` needs the records of a deployer, which this version does not have; use "
     "`file: PATH`"},
    {"a version", 7, "  models: [{model: run-1}]", ERR_UNSUPPORTED,
     "l.yaml:7:12: `model` needs the records of a deployer, which this version does not have; use "
     "`file: PATH`"},
    {"no since", 8, NULL, ERR_INPUT,
     "l.yaml:5:3: `since` is required in a document that is read from a file: events from before "
     "that day are not acted "
     "on (for example `since: 2026-11-01`)"},
    {"since yesterday", 8, "  since: yesterday", ERR_INPUT,
     "l.yaml:8:10: `since: yesterday` is no date; write 2026-11-01 or 2026-11-01T08:00:00Z"},
    {"since the 31st of November", 8, "  since: 2026-11-31", ERR_INPUT,
     "l.yaml:8:10: `since: 2026-11-31` is no date; write 2026-11-01 or 2026-11-01T08:00:00Z"},
    {"other relabel", 9, "  relabel: all", ERR_INPUT,
     "l.yaml:9:12: `relabel: all` is not known; write `none` or `open`"},
    {"other comment", 10, "  comment: true", ERR_INPUT,
     "l.yaml:10:12: `comment: true` is not known; write `silent` or `edit`"},
    {"audit is a text", 11, "  audit: 5%", ERR_INPUT,
     "l.yaml:11:10: `audit` must be a mapping: {holdback: 5%}"},
    {"unknown audit", 11, "  audit: {holdbakc: 5%}", ERR_INPUT,
     "l.yaml:11:11: unknown name 'holdbakc'; did you mean 'holdback'?"},
    {"too much holdback", 11, "  audit: {holdback: 101%}", ERR_INPUT,
     "l.yaml:11:21: `holdback: 101%` is no share; write 5% or 0.05"},
    {"negative holdback", 11, "  audit: {holdback: -1%}", ERR_INPUT,
     "l.yaml:11:21: `holdback: -1%` is no share; write 5% or 0.05"},
    {"holdback in words", 11, "  audit: {holdback: some}", ERR_INPUT,
     "l.yaml:11:21: `holdback: some` is no share; write 5% or 0.05"},
    {"a name twice", 9, "  comment: edit", ERR_INPUT,
     "l.yaml:10:3: the name 'comment' stands here a second time; the first is in line 9"},
};

static void check_refused(const char *name, const char *text, int code, const char *wanted)
{
    struct document_set *set = NULL;
    struct error error = {0};
    int found = document_set_parse("l.yaml", text, strlen(text), &set, &error);
    if (found != code || strcmp(error.text, wanted) != 0)
        fail_msg("%s: %s \"%s\", want %s \"%s\"", name, err_name(found), error.text, err_name(code),
                 wanted);
    assert_null(set);
}

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        CLEANUP(mem_free) char *text = write_document(refusals[i].line, refusals[i].replacement);
        check_refused(refusals[i].name, text, refusals[i].code, refusals[i].error);
    }
}

/* What is no Labeler at all. */
static void test_refused_texts(void **state)
{
    (void)state;
    check_refused("nothing", "", ERR_INPUT, "l.yaml: there is no Labeler document in it");
    check_refused("only comments", "# nothing yet\n---\n", ERR_INPUT,
                  "l.yaml: there is no Labeler document in it");
    check_refused(
        "a list", "- a\n", ERR_INPUT,
        "l.yaml:1:1: a document must be a mapping with apiVersion, kind, metadata and spec");
    check_refused(
        "a text", "Labeler\n", ERR_INPUT,
        "l.yaml:1:1: a document must be a mapping with apiVersion, kind, metadata and spec");
    check_refused("tabs", "kind:\n\t- x\n", ERR_INPUT,
                  "l.yaml:2:1: found character that cannot start any token while scanning for the "
                  "next token");
}

/* The error may be left out. */
static void test_refused_without_error(void **state)
{
    (void)state;
    struct document_set *set = NULL;
    assert_int_equal(document_set_parse("l.yaml", "- a\n", 4, &set, NULL), ERR_INPUT);
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

static void test_same_name(void **state)
{
    (void)state;
    struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
    append_document(&text, "one", "o/r", "x");
    append_document(&text, "two", "p/r", "x");
    append_document(&text, "one", "q/r", "x");
    check_refused("same name", text.data, ERR_INPUT,
                  "l.yaml:20:1: a Labeler named `one` stands above already");
    buffer_release(&text);
}

static void test_too_many(void **state)
{
    (void)state;
    struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
    char name[16];
    for (int i = 0; i <= DOCUMENT_COUNT_MAX; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        append_document(&text, name, "o/r", "x");
    }
    check_refused("too many", text.data, ERR_TOO_LARGE, "l.yaml: more than 256 documents");
    buffer_release(&text);
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
        {"\"do-not-merge/*\"", "do-not-merge/hold", false},
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
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refused_texts),
        cmocka_unit_test(test_refused_without_error),
        cmocka_unit_test(test_same_name),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_trigger_labels),
        cmocka_unit_test(test_includes),
        cmocka_unit_test(test_holdback_share),
        cmocka_unit_test(test_holdback_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
