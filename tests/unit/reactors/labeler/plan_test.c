/*
 * The labeler's plan: a table of situations of one label, and of several at once.
 */
#include "reactors/labeler/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* One situation of the label "kind/bug": letters say what is true, see situation_read. */
struct situation {
    const char *name;  /* what it is about */
    const char *facts; /* letters */
    enum plan_verdict verdict;
    bool added;   /* it is in the POST */
    bool removed; /* it is deleted */
    enum plan_comment comment;
};

/*
 * Letters: p predicted, u unpredictable, i included, T trigger, a allowed, e exists in the
 * repository, P present on the issue, H held back, C comment wanted, o own comment there, k comment
 * known to have been written; then the timeline: + added by nodag, - removed by nodag, A added by a
 * person, R removed by a person.
 */
static void situation_read(const char *facts, struct plan_candidate *candidate,
                           struct plan_label_event *events, struct plan_input *input)
{
    static const char *const present[] = {"Kind/Bug"};
    *candidate = (struct plan_candidate){
        .label = "bug",
        .written = "kind/bug",
        .probability = strchr(facts, 'p') != NULL ? 0.9 : 0.2,
        .threshold = 0.5,
        .predicted = strchr(facts, 'p') != NULL,
        .predictable = strchr(facts, 'u') == NULL,
        .included = strchr(facts, 'i') != NULL,
        .trigger = strchr(facts, 'T') != NULL,
        .allowed = strchr(facts, 'a') != NULL,
        .existing = strchr(facts, 'e') != NULL ? "Kind/Bug" : NULL,
        .model = "m",
    };
    *input = (struct plan_input){
        .candidates = candidate,
        .candidate_count = 1,
        .present = present,
        .present_count = strchr(facts, 'P') != NULL ? 1 : 0,
        .events = events,
        .held_back = strchr(facts, 'H') != NULL,
        .comment_wanted = strchr(facts, 'C') != NULL,
        .own_comment_id = strchr(facts, 'o') != NULL ? 5 : 0,
        .known_comment_id = strchr(facts, 'k') != NULL ? 5 : 0,
    };
    for (const char *letter = facts; *letter != '\0'; letter++) {
        if (strchr("+-AR", *letter) == NULL)
            continue;
        bool own = *letter == '+' || *letter == '-';
        events[input->event_count++] =
            (struct plan_label_event){.label = "kind/bug",
                                      .added = *letter == '+' || *letter == 'A',
                                      .is_own = own,
                                      .actor = own ? "nodag" : "ann"};
    }
}

static const struct situation situations[] = {
    {"new issue", "piae", PLAN_ADD, true, false, PLAN_COMMENT_NONE},
    {"new issue with comment", "piaeC", PLAN_ADD, true, false, PLAN_COMMENT_CREATE},
    {"again after a crash between label and comment", "piaeCP+", PLAN_KEEP, false, false,
     PLAN_COMMENT_CREATE},
    {"again after everything", "piaeCP+ok", PLAN_KEEP, false, false, PLAN_COMMENT_EDIT},
    {"comment was deleted by somebody", "piaeCP+k", PLAN_KEEP, false, false, PLAN_COMMENT_NONE},
    {"below threshold", "iaeC", PLAN_BELOW, false, false, PLAN_COMMENT_NONE},
    {"model does not reach its target", "iaeCu", PLAN_NOT_PREDICTABLE, false, false,
     PLAN_COMMENT_NONE},
    {"a person removed it", "piaeC+R", PLAN_REMOVED_BY_PERSON, false, false, PLAN_COMMENT_NONE},
    {"a person removed it, comment is there", "piaeC+Ro", PLAN_REMOVED_BY_PERSON, false, false,
     PLAN_COMMENT_EDIT},
    {"a person removed it before nodag came", "piaeAR", PLAN_REMOVED_BY_PERSON, false, false,
     PLAN_COMMENT_NONE},
    {"a person removed it and nodag too, in either order", "piae+R-", PLAN_REMOVED_BY_PERSON, false,
     false, PLAN_COMMENT_NONE},
    {"a person added it, predicted", "piaePA", PLAN_KEEP, false, false, PLAN_COMMENT_NONE},
    {"a person added it, not predicted", "iaePA", PLAN_ADDED_BY_PERSON, false, false,
     PLAN_COMMENT_NONE},
    {"a person added it after nodag had", "iaeP+-A", PLAN_ADDED_BY_PERSON, false, false,
     PLAN_COMMENT_NONE},
    {"a person removed and added again what nodag added", "iaeP+RA", PLAN_ADDED_BY_PERSON, false,
     false, PLAN_COMMENT_NONE},
    {"there without an entry: of unknown author", "iaeP", PLAN_ADDED_BY_PERSON, false, false,
     PLAN_COMMENT_NONE},
    {"nodag added it, not predicted any more", "iaeP+", PLAN_REMOVE, false, true,
     PLAN_COMMENT_NONE},
    {"the same, but not included any more", "aeP+", PLAN_BELOW, false, false, PLAN_COMMENT_NONE},
    {"the same, but not allowed any more", "ieP+", PLAN_BELOW, false, false, PLAN_COMMENT_NONE},
    {"not included", "pae", PLAN_NOT_INCLUDED, false, false, PLAN_COMMENT_NONE},
    {"trigger label", "paeT", PLAN_TRIGGER, false, false, PLAN_COMMENT_NONE},
    {"not allowed by the repository", "pie", PLAN_NOT_ALLOWED, false, false, PLAN_COMMENT_NONE},
    {"the repository has no such label", "pia", PLAN_NO_SUCH_LABEL, false, false,
     PLAN_COMMENT_NONE},
    {"held back", "piaeHC", PLAN_HELD_BACK, false, false, PLAN_COMMENT_NONE},
    {"held back later, nodag's label would go", "iaeHP+", PLAN_HELD_BACK, false, false,
     PLAN_COMMENT_NONE},
    {"held back later, comment is there", "piaeHCP+o", PLAN_KEEP, false, false, PLAN_COMMENT_NONE},
    {"nodag's write landed after a person had removed it", "piaeP+R+", PLAN_TAKE_BACK, false, true,
     PLAN_COMMENT_NONE},
    {"nodag's removal landed after a person had added it", "iae+RA-", PLAN_GIVE_BACK, true, false,
     PLAN_COMMENT_NONE},
    {"nodag's label was deleted from the repository and made again", "piae+",
     PLAN_REMOVED_BY_PERSON, false, false, PLAN_COMMENT_NONE},
    {"a person's label was deleted from the repository and made again", "piaeA",
     PLAN_REMOVED_BY_PERSON, false, false, PLAN_COMMENT_NONE},
    {"nodag removed it, predicted again", "piae+-", PLAN_ADD, true, false, PLAN_COMMENT_NONE},
};

static void test_situations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(situations) / sizeof(situations[0]); i++) {
        const struct situation *situation = &situations[i];
        struct plan_candidate candidate;
        struct plan_label_event events[8];
        struct plan_input input;
        situation_read(situation->facts, &candidate, events, &input);
        CLEANUP(plan_free) struct plan *plan = plan_make(&input);
        if (plan->decisions[0].verdict != situation->verdict)
            fail_msg("%s: verdict %s, want %s", situation->name,
                     plan_verdict_name(plan->decisions[0].verdict),
                     plan_verdict_name(situation->verdict));
        if ((plan->add_count == 1) != situation->added ||
            (plan->remove_count == 1) != situation->removed)
            fail_msg("%s: adds %zu, removes %zu", situation->name, plan->add_count,
                     plan->remove_count);
        if (plan->comment != situation->comment)
            fail_msg("%s: comment %d, want %d", situation->name, (int)plan->comment,
                     (int)situation->comment);
    }
}

static struct plan_candidate likely(const char *label, const char *written)
{
    return (struct plan_candidate){.label = label,
                                   .written = written,
                                   .probability = 0.9,
                                   .threshold = 0.5,
                                   .predicted = true,
                                   .predictable = true,
                                   .included = true,
                                   .allowed = true,
                                   .existing = written,
                                   .model = "m"};
}

/* Two of the model's labels are written under one name: it is added once, and kept while one of
 * them is predicted. */
static void test_two_labels_one_name(void **state)
{
    (void)state;
    struct plan_candidate candidates[] = {likely("bug", "kind/bug"), likely("defect", "kind/bug")};
    struct plan_input input = {.candidates = candidates, .candidate_count = 2};
    struct plan *plan = plan_make(&input);
    assert_int_equal(plan->add_count, 1);
    plan_free(plan);

    static const char *const present[] = {"kind/bug"};
    struct plan_label_event own = {
        .label = "kind/bug", .added = true, .is_own = true, .actor = "nodag"};
    candidates[0].predicted = false;
    candidates[0].probability = 0.1;
    input.present = present;
    input.present_count = 1;
    input.events = &own;
    input.event_count = 1;
    plan = plan_make(&input);
    assert_int_equal(plan->add_count, 0);
    assert_int_equal(plan->remove_count, 0);
    plan_free(plan);
}

static void test_repository_spelling_is_written(void **state)
{
    (void)state;
    struct plan_candidate candidate = likely("kind/bug", "kind/bug");
    candidate.existing = "Kind/Bug";
    struct plan_input input = {.candidates = &candidate, .candidate_count = 1};
    CLEANUP(plan_free) struct plan *plan = plan_make(&input);
    assert_string_equal(plan->add[0], "Kind/Bug");
}

static void test_nothing_known_is_nothing_done(void **state)
{
    (void)state;
    struct plan_input input = {.comment_wanted = true};
    CLEANUP(plan_free) struct plan *plan = plan_make(&input);
    assert_int_equal(plan->add_count + plan->remove_count, 0);
    assert_int_equal(plan->comment, PLAN_COMMENT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_situations),
        cmocka_unit_test(test_two_labels_one_name),
        cmocka_unit_test(test_repository_spelling_is_written),
        cmocka_unit_test(test_nothing_known_is_nothing_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
