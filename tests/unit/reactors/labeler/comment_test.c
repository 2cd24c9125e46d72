/*
 * The one comment: how it is found again, what stands in it, that nothing which people named or
 * wrote gets out of its code span, and that a decision which has not changed gives the same bytes.
 */
#include "reactors/labeler/comment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

/* Most bytes of a text in a code span (comment.c). */
#define SPAN_MAX_BYTES 256

/* Most rows in a test's table. */
#define ROWS_MAX 40

/* One candidate with its decision. */
struct row {
    const char *written;       /* name */
    double probability;        /* threshold is 0.5 */
    enum plan_verdict verdict; /* decision */
    const char *words;         /* may be NULL */
};

/* The comment for these rows; owned. */
static char *write_comment(const struct row *rows, size_t count)
{
    struct plan_candidate candidates[ROWS_MAX];
    struct plan_decision decisions[ROWS_MAX];
    const char *words[ROWS_MAX];
    assert_true(count <= ROWS_MAX);
    for (size_t i = 0; i < count; i++) {
        candidates[i] =
            (struct plan_candidate){.label = rows[i].written,
                                    .written = rows[i].written,
                                    .probability = rows[i].probability,
                                    .threshold = 0.5,
                                    .predicted = rows[i].probability >= 0.8,
                                    .predictable = rows[i].verdict != PLAN_NOT_PREDICTABLE,
                                    .model = "0123456789ab"};
        decisions[i] = (struct plan_decision){.verdict = rows[i].verdict};
        words[i] = rows[i].words;
    }
    struct plan_input input = {.candidates = candidates, .candidate_count = count};
    struct plan plan = {.decisions = decisions, .decision_count = count};
    return comment_write(&input, &plan, words);
}

static void test_marker(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *comment = write_comment(NULL, 0);
    assert_true(comment_has_marker(comment));
    assert_true(comment_has_marker("<!-- nodag:labeler -->"));
    assert_false(comment_has_marker(""));
    assert_false(comment_has_marker("<!-- nodag:labele"));
    assert_false(comment_has_marker("> <!-- nodag:labeler -->"));
    assert_false(comment_has_marker("see <!-- nodag:labeler -->"));
    assert_false(comment_has_marker("<!-- nodag:labeler:2 -->"));
}

/* The whole text once, so that a change of it is meant. */
static void test_whole(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"area/x", 0.123, PLAN_BELOW, ""},
        {"kind/bug", 0.934, PLAN_ADD, "panic\nnil pointer"},
    };
    CLEANUP(mem_free) char *comment = write_comment(rows, ARRAY_COUNT(rows));
    assert_string_equal(
        comment,
        "<!-- nodag:labeler -->\n"
        "Labels for this issue, as a model sees it:\n"
        "\n"
        "| label | probability | threshold | decision | words that speak for it |\n"
        "|---|---:|---:|---|---|\n"
        "| `kind/bug` | 93% | 50% | predicted above its threshold | `panic` `nil pointer` |\n"
        "| `area/x` | 12% | 50% | below its threshold |  |\n"
        "\n"
        "If a label is wrong, remove it: it will not come back. If one is missing, add it: it will "
        "stay. The "
        "next model learns from both.\n"
        "\n"
        "<sub>nodag, model 0123456789ab</sub>\n");
}

/* A label or word as somebody named it, and the cell that comes of it. */
struct escape {
    const char *text;
    const char *cell; /* with its code span */
};

static const struct escape escapes[] = {
    {"kind/bug", "`kind/bug`"},
    {"@ann", "`@ann`"},
    {"fixes #1", "`fixes #1`"},
    {"a`b", "`ab`"},
    {"``` @ann", "` @ann`"},
    {"a|b", "`ab`"},
    {"a\nb", "`ab`"},
    {"a\r\n\n@all\n", "`a@all`"},
    {"a\tb\x7f", "`ab`"},
    {"-->", "`-->`"},
    {"<img src=x>", "`<img src=x>`"},
    {"[x](https://example.invalid)", "`[x](https://example.invalid)`"},
    {"ünïcödé 🐛", "`ünïcödé 🐛`"},
    {"`|`", ""},
    {"", ""},
};

static void test_hostile_labels(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(escapes); i++) {
        struct row row = {escapes[i].text, 0.9, PLAN_ADD, NULL};
        CLEANUP(mem_free) char *comment = write_comment(&row, 1);
        CLEANUP(mem_free)
        char *wanted = mem_format("\n| %s | 90%% | 50%% | predicted above its threshold |  |\n\n",
                                  escapes[i].cell);
        if (strstr(comment, wanted) == NULL)
            fail_msg("label \"%s\": no row \"%s\" in\n%s", escapes[i].text, wanted, comment);
    }
}

/* Words are separated by line ends, so those cannot be in them. */
static void test_hostile_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(escapes); i++) {
        if (strchr(escapes[i].text, '\n') != NULL)
            continue;
        struct row row = {"x", 0.9, PLAN_ADD, escapes[i].text};
        CLEANUP(mem_free) char *comment = write_comment(&row, 1);
        CLEANUP(mem_free)
        char *wanted = mem_format(
            "\n| `x` | 90%% | 50%% | predicted above its threshold | %s |\n\n", escapes[i].cell);
        if (strstr(comment, wanted) == NULL)
            fail_msg("word \"%s\": no row \"%s\" in\n%s", escapes[i].text, wanted, comment);
    }
}

/* Fills a text of `size` bytes, with its NUL, with as many of a character as fit. */
static void fill(char *text, size_t size, const char *character)
{
    size_t width = strlen(character);
    size_t count = (size - 1) / width;
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * width, character, width);
    text[count * width] = '\0';
}

/* A long text is cut between characters, whatever their length. */
static void test_long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "é", "€", "🐛"};
    for (size_t i = 0; i < ARRAY_COUNT(characters); i++) {
        size_t width = strlen(characters[i]);
        for (size_t offset = 0; offset < width; offset++) {
            char text[SPAN_MAX_BYTES * 2 + 1];
            memset(text, '-', offset); /* so that each place inside a character meets the border */
            fill(text + offset, sizeof(text) - offset, characters[i]);
            struct row row = {text, 0.9, PLAN_ADD, NULL};
            CLEANUP(mem_free) char *comment = write_comment(&row, 1);
            const char *cell = strstr(comment, "\n| `") + 4;
            size_t length = strcspn(cell, "`");
            assert_true(length <= SPAN_MAX_BYTES && length > SPAN_MAX_BYTES - width);
            assert_int_equal((length - offset) % width, 0);
            assert_memory_equal(cell, text, length);
        }
    }
}

/* A text that fits exactly is not cut, not even its last character. */
static void test_fitting_text_is_whole(void **state)
{
    (void)state;
    char text[SPAN_MAX_BYTES + 1];
    fill(text, sizeof(text), "é");
    struct row row = {text, 0.9, PLAN_ADD, NULL};
    CLEANUP(mem_free) char *comment = write_comment(&row, 1);
    assert_int_equal(strcspn(strstr(comment, "\n| `") + 4, "`"), SPAN_MAX_BYTES);
}

/* Whether a decision has a row. */
struct showing {
    enum plan_verdict verdict;
    double probability;
    bool shown;
};

static void test_which_rows_are_shown(void **state)
{
    (void)state;
    static const struct showing showings[] = {
        {PLAN_ADD, 0.01, true},
        {PLAN_KEEP, 0.01, true},
        {PLAN_BELOW, 0.05, true},
        {PLAN_BELOW, 0.049, false},
        {PLAN_NOT_BEST, 0.9, true},
        {PLAN_NOT_PREDICTABLE, 0.9, false},
        {PLAN_ADDED_BY_PERSON, 0.2, true},
        {PLAN_ADDED_BY_PERSON, 0.01, false},
        {PLAN_REMOVED_BY_PERSON, 0.9, true},
        {PLAN_TRIGGER, 0.9, true},
        {PLAN_NOT_INCLUDED, 0.9, true},
        {PLAN_NOT_ALLOWED, 0.9, true},
        {PLAN_NO_SUCH_LABEL, 0.9, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(showings); i++) {
        struct row row = {"the-label", showings[i].probability, showings[i].verdict, NULL};
        CLEANUP(mem_free) char *comment = write_comment(&row, 1);
        if ((strstr(comment, "`the-label`") != NULL) != showings[i].shown)
            fail_msg("%s at %g: want shown %d", plan_verdict_name(showings[i].verdict),
                     showings[i].probability, (int)showings[i].shown);
    }
}

/* Best first, equal ones in the model's order, a bounded number. */
static void test_order_and_number_of_rows(void **state)
{
    (void)state;
    struct row rows[ROWS_MAX];
    char names[ROWS_MAX][8];
    for (size_t i = 0; i < ROWS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "l%02zu", i);
        rows[i] = (struct row){names[i], i % 2 == 0 ? 0.6 : 0.7, PLAN_BELOW, NULL};
    }
    CLEANUP(mem_free) char *comment = write_comment(rows, ROWS_MAX);
    const char *at = comment;
    for (size_t i = 0; i < COMMENT_ROWS_MAX; i++) {
        char wanted[32];
        (void)snprintf(wanted, sizeof(wanted), "| `l%02zu` |", 2 * i + 1);
        at = strstr(at, wanted);
        assert_non_null(at);
    }
    assert_null(strstr(comment, "`l00`"));
}

/* What nodag decides and what its next look finds done are one decision: the comment stays as it
 * is. */
static void test_second_look_writes_the_same(void **state)
{
    (void)state;
    static const struct {
        struct row now;
        enum plan_verdict next;
    } looks[] = {
        {{"a", 0.9, PLAN_ADD, "panic"}, PLAN_KEEP},
        {{"b", 0.2, PLAN_REMOVE, ""}, PLAN_BELOW},
        {{"c", 0.6, PLAN_REMOVE, ""}, PLAN_NOT_BEST},
        {{"d", 0.01, PLAN_REMOVE, ""}, PLAN_BELOW},
        {{"e", 0.9, PLAN_TAKE_BACK, "panic"}, PLAN_REMOVED_BY_PERSON},
        {{"f", 0.2, PLAN_TAKE_BACK, ""}, PLAN_BELOW},
        {{"g", 0.9, PLAN_GIVE_BACK, "panic"}, PLAN_KEEP},
        {{"h", 0.2, PLAN_GIVE_BACK, ""}, PLAN_ADDED_BY_PERSON},
    };
    for (size_t i = 0; i < ARRAY_COUNT(looks); i++) {
        struct row next = looks[i].now;
        next.verdict = looks[i].next;
        CLEANUP(mem_free) char *one = write_comment(&looks[i].now, 1);
        CLEANUP(mem_free) char *other = write_comment(&next, 1);
        assert_string_equal(one, other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marker),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_hostile_labels),
        cmocka_unit_test(test_hostile_words),
        cmocka_unit_test(test_long_texts_are_cut_between_characters),
        cmocka_unit_test(test_fitting_text_is_whole),
        cmocka_unit_test(test_which_rows_are_shown),
        cmocka_unit_test(test_order_and_number_of_rows),
        cmocka_unit_test(test_second_look_writes_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
