/*
 * `.github/issue_label_bot.yaml`: files of the organisation and of the repository merged in that
 * order, and what the result says of labels; files that are refused change nothing.
 */
#include "reactors/labeler/bot_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"

/* Largest text of a case: more than BOT_CONFIG_ENTRIES_MAX short entries. */
#define TEXT_MAX_BYTES (64u << 10)

/* Two files and what comes of them for one label. */
struct merging {
    const char *name;         /* what it is about */
    const char *organisation; /* text; NULL: absent */
    const char *own;          /* text; NULL: absent */
    const char *label;        /* what the model says */
    const char *written;      /* under which name */
    bool allowed;             /* and whether */
};

static const struct merging mergings[] = {
    {"no file", NULL, NULL, "bug", "bug", true},
    {"empty file", NULL, "", "bug", "bug", true},
    {"only a comment", NULL, "# nothing\n", "bug", "bug", true},
    {"null", NULL, "~\n", "bug", "bug", true},
    {"only what other bots read", NULL, "stale-after: 30d\nexempt: [a]\n", "bug", "bug", true},
    {"null members", NULL, "label-alias:\npredicted-labels:\n", "bug", "bug", true},
    {"empty members", NULL, "label-alias: {}\npredicted-labels: []\n", "bug", "bug", false},
    {"alias", NULL, "label-alias: {bug: kind/bug}\n", "bug", "kind/bug", true},
    {"alias of another case", NULL, "label-alias: {BUG: kind/bug}\n", "Bug", "kind/bug", true},
    {"alias of another label", NULL, "label-alias: {bug: kind/bug}\n", "question", "question",
     true},
    {"alias is not followed twice", NULL, "label-alias: {a: b, b: c}\n", "a", "b", true},
    {"allowed", NULL, "predicted-labels: [bug, question]\n", "bug", "bug", true},
    {"allowed in another case", NULL, "predicted-labels: [Bug]\n", "bUG", "bUG", true},
    {"not allowed", NULL, "predicted-labels: [question]\n", "bug", "bug", false},
    {"allowed are names after alias", NULL,
     "label-alias: {bug: kind/bug}\npredicted-labels: [kind/bug]\n", "bug", "kind/bug", true},
    {"the name before alias is not enough", NULL,
     "label-alias: {bug: kind/bug}\npredicted-labels: [bug]\n", "bug", "kind/bug", false},
    {"the organisation's alias", "label-alias: {bug: kind/bug}\n", NULL, "bug", "kind/bug", true},
    {"the organisation's alias stays beside another", "label-alias: {bug: kind/bug}\n",
     "label-alias: {question: help}\n", "bug", "kind/bug", true},
    {"the repository's alias wins", "label-alias: {bug: kind/bug}\n",
     "label-alias: {bug: defect}\n", "bug", "defect", true},
    {"the repository's alias wins in another case", "label-alias: {bug: kind/bug}\n",
     "label-alias: {Bug: defect}\n", "bug", "defect", true},
    {"the organisation's list", "predicted-labels: [question]\n", "label-alias: {a: b}\n", "bug",
     "bug", false},
    {"the repository's list replaces it", "predicted-labels: [question]\n",
     "predicted-labels: [bug]\n", "bug", "bug", true},
    {"all of it", "predicted-labels: [question]\n", "predicted-labels: [bug]\n", "question",
     "question", false},
    {"the organisation's alias, the repository's list", "label-alias: {bug: kind/bug}\n",
     "predicted-labels: [kind/bug]\n", "bug", "kind/bug", true},
    {"null in the repository's file changes nothing", "predicted-labels: [question]\n",
     "predicted-labels: null\n", "bug", "bug", false},
    {"numbers and truths are names", NULL, "label-alias: {bug: 42}\npredicted-labels: [42, true]\n",
     "bug", "42", true},
};

static void merge(struct bot_config *config, const char *text)
{
    struct error error = {0};
    if (text != NULL && bot_config_merge(config, "f.yaml", text, strlen(text), &error) != 0)
        fail_msg("refused: %s", error.text);
}

static void test_mergings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(mergings); i++) {
        const struct merging *merging = &mergings[i];
        CLEANUP(bot_config_free) struct bot_config *config = bot_config_new();
        merge(config, merging->organisation);
        merge(config, merging->own);
        const char *written = bot_config_alias(config, merging->label);
        if (strcmp(written, merging->written) != 0)
            fail_msg("%s: written as %s, want %s", merging->name, written, merging->written);
        if (bot_config_allows(config, written) != merging->allowed)
            fail_msg("%s: allowed %d, want %d", merging->name, (int)!merging->allowed,
                     (int)merging->allowed);
    }
}

/* A file that is refused, with the whole error. */
struct refusal {
    const char *name;
    const char *text;
    const char *error;
};

static const struct refusal refusals[] = {
    {"a list", "- bug\n",
     "f.yaml:1:1: the file must be a mapping with `label-alias` and `predicted-labels`"},
    {"a text", "bug\n",
     "f.yaml:1:1: the file must be a mapping with `label-alias` and `predicted-labels`"},
    {"alias is a list", "label-alias: [bug]\n",
     "f.yaml:1:14: `label-alias` must be a mapping from label to label"},
    {"alias to a list", "label-alias:\n  bug: [a, b]\n",
     "f.yaml:2:8: a list where a text is needed"},
    {"alias to nothing", "label-alias:\n  a: b\n  bug:\n",
     "f.yaml:3:7: nothing where a text is needed"},
    {"labels are a text", "predicted-labels: bug\n",
     "f.yaml:1:19: `predicted-labels` must be a list of labels"},
    {"labels are a mapping", "predicted-labels: {bug: 1}\n",
     "f.yaml:1:19: `predicted-labels` must be a list of labels"},
    {"a label is a mapping", "predicted-labels:\n- a\n- b: c\n",
     "f.yaml:3:3: a mapping where a text is needed"},
    {"good alias, bad labels", "label-alias: {bug: x}\npredicted-labels: 3\n",
     "f.yaml:2:19: `predicted-labels` must be a list of labels"},
    {"twice", "label-alias: {bug: a, bug: b}\n",
     "f.yaml:1:23: the name 'bug' stands here a second time; the first is in line 1"},
    {"syntax", "label-alias: {bug\n", NULL},
    {"not UTF-8", "label-alias: {bug: \xff}\n", NULL},
};

/* A refused file changes nothing of what was merged before. */
static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        const struct refusal *refusal = &refusals[i];
        CLEANUP(bot_config_free) struct bot_config *config = bot_config_new();
        merge(config, "label-alias: {bug: kind/bug}\npredicted-labels: [kind/bug]\n");
        struct error error = {0};
        int code = bot_config_merge(config, "f.yaml", refusal->text, strlen(refusal->text), &error);
        if (code != ERR_INPUT)
            fail_msg("%s: %s", refusal->name, err_name(code));
        if (refusal->error != NULL && strcmp(error.text, refusal->error) != 0)
            fail_msg("%s: \"%s\", want \"%s\"", refusal->name, error.text, refusal->error);
        assert_memory_equal(error.text, "f.yaml:", 7);
        assert_string_equal(bot_config_alias(config, "bug"), "kind/bug");
        assert_true(bot_config_allows(config, "kind/bug"));
        assert_false(bot_config_allows(config, "x"));
    }
}

/* Merges a file with `count` aliases, or predicted labels; returns the code. */
static int merge_many(bool aliases, int count, struct error *error)
{
    struct buffer text = BUFFER_INIT(TEXT_MAX_BYTES);
    assert_int_equal(buffer_append_text(&text, aliases ? "label-alias:\n" : "predicted-labels:\n"),
                     0);
    for (int i = 0; i < count; i++)
        assert_int_equal(buffer_append_format(&text, aliases ? "  a%d: b\n" : "- a%d\n", i), 0);
    CLEANUP(bot_config_free) struct bot_config *config = bot_config_new();
    int code = bot_config_merge(config, "f.yaml", text.data, text.size_bytes, error);
    buffer_release(&text);
    return code;
}

static void test_limits(void **state)
{
    (void)state;
    for (int aliases = 0; aliases <= 1; aliases++) {
        struct error error = {0};
        assert_int_equal(merge_many(aliases == 1, BOT_CONFIG_ENTRIES_MAX, &error), 0);
        assert_int_equal(merge_many(aliases == 1, BOT_CONFIG_ENTRIES_MAX + 1, &error),
                         ERR_TOO_LARGE);
        assert_string_equal(error.text, aliases == 1 ? "f.yaml:2:3: more than 1000 entries"
                                                     : "f.yaml:2:1: more than 1000 entries");
    }
}

/* Names live as long as the configuration, not the text. */
static void test_texts_are_copied(void **state)
{
    (void)state;
    char text[] = "label-alias: {bug: kind/bug}\npredicted-labels: [kind/bug]\n";
    CLEANUP(bot_config_free) struct bot_config *config = bot_config_new();
    merge(config, text);
    memset(text, 'x', sizeof(text) - 1);
    assert_string_equal(bot_config_alias(config, "bug"), "kind/bug");
    assert_true(bot_config_allows(config, "kind/bug"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mergings),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_texts_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
