/*
 * What sources of documents mean for the records of `specs`: histories in steps. Each step says what
 * the sources hold now; the plan is compared with the changes that must come, one a line, and then
 * carried out, so that the next step goes on from there. After each step a second plan must be empty.
 *
 * A change reads "KEY gone", or "KEY first=TIME valid=REPOSITORY PATH COMMIT invalid=PATH COMMIT
 * REASON" with the parts that it has; long reasons are compared by what they begin with.
 */
#include "topics/spec_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"

/* Largest description of a plan. */
#define SAID_MAX_BYTES (64u << 10)

/* Most sources of a step. */
#define SOURCES_MAX 3

/* Most files of a source. */
#define FILES_MAX 3

#define LABELER(name, repositories)                                                                \
    "---\napiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: " name "}\nspec:\n"            \
    "  repositories: [\"" repositories "\"]\n  labels: {include: [\"area/*\"]}\n"                  \
    "  models: [{file: m}]\n"

#define DEPLOYMENT(name, branch)                                                                   \
    "---\napiVersion: nodag.dev/v1\nkind: Deployment\nmetadata: {name: " name "}\nspec:\n"         \
    "  model: m\n  target: {repository: \"https://h/o/r\", file: f, path: /a}\n" branch

/* Wrong, but with a key. */
#define BROKEN(name)                                                                               \
    "---\napiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: " name "}\nspec: {}\n"

#define A1 LABELER("a", "o/1")
#define A2 LABELER("a", "o/2")

/* One file of a step. */
struct step_file {
    const char *path; /* NULL: none */
    const char *text; /* NULL: cannot be read */
};

/* One source of a step. */
struct step_source {
    const char *repository; /* NULL: none */
    const char *commit;
    bool is_unknown;
    struct step_file files[FILES_MAX];
    const char *names;   /* allow.names: one glob, or NULL */
    const char *targets; /* likewise */
    const char *labels;  /* likewise */
};

/* One step. */
struct step {
    const char *name;
    struct step_source sources[SOURCES_MAX];
    const char
        *changes; /* all that must come, each with a line end; '*' at a line's end: and more */
};

/* --- one step --- */

static struct spec_globs one_glob(const char *const *glob)
{
    return (struct spec_globs){.is_set = *glob != NULL, .count = *glob != NULL, .items = glob};
}

static struct spec_plan *make_plan(const struct step *step, const struct spec_store *store,
                                   int64_t now_ms)
{
    struct spec_source sources[SOURCES_MAX] = {0};
    struct spec_file files[SOURCES_MAX][FILES_MAX] = {0};
    size_t count = 0;
    for (; count < SOURCES_MAX && step->sources[count].repository != NULL; count++) {
        const struct step_source *from = &step->sources[count];
        struct spec_source *source = &sources[count];
        source->repository = from->repository;
        source->branch = "main";
        source->commit = from->commit;
        source->is_known = !from->is_unknown;
        source->allow.names = one_glob(&from->names);
        source->allow.targets = one_glob(&from->targets);
        source->allow.labels = one_glob(&from->labels);
        source->files = files[count];
        for (size_t i = 0; i < FILES_MAX && from->files[i].path != NULL; i++) {
            const char *text = from->files[i].text;
            files[count][i] = (struct spec_file){.path = from->files[i].path,
                                                 .text = text,
                                                 .text_bytes = text != NULL ? strlen(text) : 0,
                                                 .fault = "larger than is read"};
            source->file_count++;
        }
    }
    return spec_plan_make(sources, count, store, now_ms);
}

static void describe_change(struct buffer *said, const struct spec_change *change)
{
    const struct spec_record *record = change->record;
    assert_int_equal(buffer_append_text(said, change->key), 0);
    if (record == NULL) {
        assert_int_equal(buffer_append_text(said, " gone\n"), 0);
        return;
    }
    if (record->valid != NULL)
        assert_int_equal(buffer_append_format(said, " first=%d valid=%s %s %s",
                                              (int)record->first_published_ms,
                                              record->valid_place.repository,
                                              record->valid_place.path, record->valid_place.commit),
                         0);
    if (record->reason != NULL)
        assert_int_equal(buffer_append_format(said, " invalid=%s %s %s",
                                              record->invalid_place.repository,
                                              record->invalid_place.commit, record->reason),
                         0);
    assert_int_equal(buffer_append_text(said, "\n"), 0);
}

/* Compares line by line; a wanted line that ends in '*' is what the found one begins with. */
static bool is_wanted(const char *found, const char *wanted)
{
    while (*found != '\0' && *wanted != '\0') {
        size_t found_bytes = strcspn(found, "\n");
        size_t wanted_bytes = strcspn(wanted, "\n");
        bool open = wanted_bytes > 0 && wanted[wanted_bytes - 1] == '*';
        size_t compared = open ? wanted_bytes - 1 : wanted_bytes;
        if (found_bytes < compared || (!open && found_bytes != compared) ||
            memcmp(found, wanted, compared) != 0)
            return false;
        found += found_bytes + 1;
        wanted += wanted_bytes + 1;
    }
    return *found == *wanted;
}

static void run_step(const struct step *step, struct spec_store *store, int64_t now_ms)
{
    CLEANUP(buffer_release) struct buffer said = BUFFER_INIT(SAID_MAX_BYTES);
    CLEANUP(spec_plan_free) struct spec_plan *plan = make_plan(step, store, now_ms);
    assert_int_equal(buffer_append_text(&said, ""), 0);
    for (size_t i = 0; i < plan->change_count; i++)
        describe_change(&said, &plan->changes[i]);
    if (!is_wanted(said.size_bytes > 0 ? said.data : "", step->changes))
        fail_msg("%s:\n%swanted:\n%s", step->name, said.size_bytes > 0 ? said.data : "",
                 step->changes);
    for (size_t i = 0; i < plan->change_count; i++) {
        struct spec_change *change = &plan->changes[i];
        struct spec_record *read = NULL;
        if (change->record != NULL) { /* as it comes back by the topic */
            size_t bytes = 0;
            CLEANUP(mem_free) char *value = spec_record_encode(change->record, &bytes);
            assert_int_equal(spec_record_decode(change->key, value, bytes, &read, NULL), 0);
        }
        spec_store_put(store, change->key, read);
    }
    CLEANUP(spec_plan_free) struct spec_plan *again = make_plan(step, store, now_ms + 1);
    if (again->change_count > 0) {
        describe_change(&said, &again->changes[0]);
        fail_msg("%s: a second plan is not empty: %s", step->name, said.data);
    }
}

/* Runs the steps from an empty topic, at the times 1000, 2000 … */
static void run_steps(const struct step *steps, size_t count)
{
    CLEANUP(spec_store_free) struct spec_store *store = spec_store_new();
    for (size_t i = 0; i < count; i++)
        run_step(&steps[i], store, (int64_t)(i + 1) * 1000);
}

/* --- histories --- */

static void test_life_of_a_document(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"new",
         {{.repository = "R", .commit = "c1", .files = {{"a.yaml", A1}}}},
         "Labeler/a first=1000 valid=R a.yaml c1\n"},
        {"another commit that leaves it alone",
         {{.repository = "R", .commit = "c2", .files = {{"a.yaml", A1}}}},
         ""},
        {"moved down in its file",
         {{.repository = "R", .commit = "c3", .files = {{"a.yaml", "# comment\n" A1}}}},
         ""},
        {"changed",
         {{.repository = "R", .commit = "c4", .files = {{"a.yaml", A2}}}},
         "Labeler/a first=1000 valid=R a.yaml c4\n"},
        {"broken: the last valid one stays",
         {{.repository = "R", .commit = "c5", .files = {{"a.yaml", BROKEN("a")}}}},
         "Labeler/a first=1000 valid=R a.yaml c4 invalid=R c5 a.yaml:5:7: `repositories` is "
         "required*\na.yaml:5:7: `labels`*\na.yaml:5:7: `models`*\n"},
        {"still broken",
         {{.repository = "R", .commit = "c6", .files = {{"a.yaml", BROKEN("a")}}}},
         ""},
        {"mended",
         {{.repository = "R", .commit = "c7", .files = {{"a.yaml", A2}}}},
         "Labeler/a first=1000 valid=R a.yaml c4\n"},
        {"renamed file",
         {{.repository = "R", .commit = "c8", .files = {{"b.yaml", A2}}}},
         "Labeler/a first=1000 valid=R b.yaml c8\n"},
        {"deleted",
         {{.repository = "R", .commit = "c9", .files = {{"b.yaml", "# empty\n"}}}},
         "Labeler/a gone\n"},
        {"there again is new",
         {{.repository = "R", .commit = "d0", .files = {{"a.yaml", A1}}}},
         "Labeler/a first=10000 valid=R a.yaml d0\n"},
        {"file gone", {{.repository = "R", .commit = "d1"}}, "Labeler/a gone\n"},
    };
    run_steps(steps, ARRAY_COUNT(steps));
}

static void test_never_valid(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"broken from the start",
         {{.repository = "R", .commit = "c1", .files = {{"a.yaml", BROKEN("a")}}}},
         "Labeler/a invalid=R c1 a.yaml:5:7: `repositories`*\na.yaml:5:7: *\na.yaml:5:7: *\n"},
        {"mended: published now",
         {{.repository = "R", .commit = "c2", .files = {{"a.yaml", A1}}}},
         "Labeler/a first=2000 valid=R a.yaml c2\n"},
    };
    run_steps(steps, ARRAY_COUNT(steps));
}

/* What cannot be read does not mean that anything is gone. */
static void test_unreadable(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"two in a file, one in another",
         {{.repository = "R",
           .commit = "c1",
           .files = {{"a.yaml", A1 LABELER("b", "o/b")}, {"c.yaml", LABELER("c", "o/c")}}}},
         "Labeler/a first=1000 valid=R a.yaml c1\nLabeler/b first=1000 valid=R a.yaml c1\n"
         "Labeler/c first=1000 valid=R c.yaml c1\n"},
        {"not YAML any more: both stay; the other file's is deleted",
         {{.repository = "R", .commit = "c2", .files = {{"a.yaml", "\t- x\n"}}}},
         "File/R/a.yaml invalid=R c2 a.yaml:1:1: *\n"
         "Labeler/a first=1000 valid=R a.yaml c1 invalid=R c2 a.yaml:1:1: *\n"
         "Labeler/b first=1000 valid=R a.yaml c1 invalid=R c2 a.yaml:1:1: *\n"
         "Labeler/c gone\n"},
        {"one of them readable again, and one without a name: that may be b",
         {{.repository = "R",
           .commit = "c3",
           .files = {{"a.yaml", A1 "---\napiVersion: nodag.dev/v1\nkind: Labeler\n"}}}},
         "File/R/a.yaml invalid=R c3 a.yaml:10:1: *\n"
         "Labeler/a first=1000 valid=R a.yaml c1\n"
         "Labeler/b first=1000 valid=R a.yaml c1 invalid=R c3 a.yaml:10:1: *\n"},
        {"too large to be read",
         {{.repository = "R", .commit = "c4", .files = {{"a.yaml", NULL}}}},
         "File/R/a.yaml invalid=R c4 a.yaml: larger than is read\n"
         "Labeler/a first=1000 valid=R a.yaml c1 invalid=R c4 a.yaml: larger than is read\n"
         "Labeler/b first=1000 valid=R a.yaml c1 invalid=R c4 a.yaml: larger than is read\n"},
        {"the source cannot be reached", {{.repository = "R", .is_unknown = true}}, ""},
        {"b is really gone",
         {{.repository = "R", .commit = "c6", .files = {{"a.yaml", A1}}}},
         "File/R/a.yaml gone\nLabeler/a first=1000 valid=R a.yaml c1\nLabeler/b gone\n"},
        {"the source is not configured any more; another one's document is broken",
         {{.repository = "S", .commit = "s1", .files = {{"x.yaml", BROKEN("a")}}}},
         "Labeler/a invalid=S s1 x.yaml:5:7: *\nx.yaml:5:7: *\nx.yaml:5:7: *\n"},
        {"that is gone too", {{.repository = "S", .commit = "s1"}}, "Labeler/a gone\n"},
    };
    run_steps(steps, ARRAY_COUNT(steps));
}

static void test_duplicates(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"first",
         {{.repository = "R", .commit = "c1", .files = {{"a.yaml", A1}}}},
         "Labeler/a first=1000 valid=R a.yaml c1\n"},
        {"another source: what is in force stays so, the other is named",
         {{.repository = "R", .commit = "c1", .files = {{"a.yaml", A1}}},
          {.repository = "S", .commit = "s1", .files = {{"x.yaml", A2}}}},
         "Labeler/a first=1000 valid=R a.yaml c1 invalid=S s1 x.yaml:2: Labeler/a stands in a.yaml "
         "of R too; rename or remove one of the two\n"},
        {"the holder may change",
         {{.repository = "S", .commit = "s1", .files = {{"x.yaml", A2}}},
          {.repository = "R", .commit = "c2", .files = {{"a.yaml", LABELER("a", "o/3")}}}},
         "Labeler/a first=1000 valid=R a.yaml c2 invalid=S s1 x.yaml:2: *\n"},
        {"also while its source cannot be reached",
         {{.repository = "R", .is_unknown = true},
          {.repository = "S", .commit = "s1", .files = {{"x.yaml", A2}}}},
         ""},
        {"and while the other's cannot be: what was said of it stays",
         {{.repository = "R", .commit = "c2", .files = {{"a.yaml", LABELER("a", "o/3")}}},
          {.repository = "S", .is_unknown = true}},
         ""},
        {"the holder goes: the other is in force",
         {{.repository = "R", .commit = "c3"},
          {.repository = "S", .commit = "s1", .files = {{"x.yaml", A2}}}},
         "Labeler/a first=1000 valid=S x.yaml s1\n"},
        {"twice in the holder's file: it stays as it was",
         {{.repository = "S", .commit = "s2", .files = {{"x.yaml", A1 A2}}}},
         "Labeler/a first=1000 valid=S x.yaml s1 invalid=S s2 x.yaml:2: Labeler/a stands in this "
         "file twice, also in line 10*\nx.yaml:10: *\n"},
    };
    run_steps(steps, ARRAY_COUNT(steps));
    static const struct step none[] = {
        {"two at once: neither",
         {{.repository = "R", .commit = "c1", .files = {{"a.yaml", A1}, {"b.yaml", A2}}}},
         "Labeler/a invalid=R c1 a.yaml:2: Labeler/a stands in b.yaml of R too; rename or remove "
         "one of the two\nb.yaml:2: Labeler/a stands in a.yaml of R too; rename or remove one of "
         "the "
         "two\n"},
    };
    run_steps(none, ARRAY_COUNT(none));
}

static void test_branches(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"one",
         {{.repository = "R", .commit = "c1", .files = {{"p.yaml", DEPLOYMENT("p", "")}}}},
         "Deployment/p first=1000 valid=R p.yaml c1\n"},
        {"another claims its branch: the holder has it",
         {{.repository = "R",
           .commit = "c2",
           .files = {{"p.yaml", DEPLOYMENT("p", "")},
                     {"q.yaml", DEPLOYMENT("q", "  pullRequest: {branch: nodag/p}\n")}}}},
         "Deployment/q invalid=R c2 q.yaml:2: its pull requests have the branch of Deployment/p "
         "(nodag/p)*\n"},
        {"also while the holder's source cannot be reached",
         {{.repository = "R", .is_unknown = true},
          {.repository = "S",
           .commit = "s1",
           .files = {{"z.yaml", DEPLOYMENT("z", "  pullRequest: {branch: nodag/p}\n")}}}},
         "Deployment/z invalid=S s1 z.yaml:2: its pull requests have the branch of "
         "Deployment/p*\n"},
        {"two new ones: neither",
         {{.repository = "R",
           .commit = "c4",
           .files = {{"p.yaml", DEPLOYMENT("v", "  pullRequest: {branch: b}\n")},
                     {"q.yaml", DEPLOYMENT("w", "  pullRequest: {branch: b}\n")}}}},
         "Deployment/p gone\nDeployment/q gone\n"
         "Deployment/v invalid=R c4 p.yaml:2: its pull requests have the branch of Deployment/w*\n"
         "Deployment/w invalid=R c4 q.yaml:2: its pull requests have the branch of Deployment/v*\n"
         "Deployment/z gone\n"},
    };
    run_steps(steps, ARRAY_COUNT(steps));
}

static void test_allow(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"within",
         {{.repository = "R",
           .commit = "c1",
           .files = {{"a.yaml", A1}},
           .names = "a*",
           .targets = "o/*",
           .labels = "area/*"}},
         "Labeler/a first=1000 valid=R a.yaml c1\n"},
        {"a name of somebody else's is no part of that key",
         {{.repository = "R",
           .commit = "c1",
           .files = {{"a.yaml", A1}},
           .names = "a*",
           .targets = "o/*",
           .labels = "area/*"},
          {.repository = "S", .commit = "s1", .files = {{"x.yaml", A2}}, .names = "Labeler/s-*"}},
         "File/S/x.yaml invalid=S s1 x.yaml:2: its source may not define Labeler/a "
         "(allow.names)\n"},
        {"a target outside",
         {{.repository = "R",
           .commit = "c2",
           .files = {{"a.yaml", LABELER("a", "p/1")}},
           .names = "a*",
           .targets = "o/*",
           .labels = "area/*"}},
         "File/S/x.yaml gone\n"
         "Labeler/a first=1000 valid=R a.yaml c1 invalid=R c2 a.yaml:2: its source may not act on "
         "`p/1` (allow.targets)\n"},
        {"a glob that reaches beyond",
         {{.repository = "R",
           .commit = "c3",
           .files = {{"a.yaml", LABELER("a", "o*/*")}},
           .names = "a*",
           .targets = "o/*",
           .labels = "area/*"}},
         "Labeler/a first=1000 valid=R a.yaml c1 invalid=R c3 a.yaml:2: its source may not act on "
         "`o*/*` (allow.targets)\n"},
        {"the last valid one is outside by now: it does not stay",
         {{.repository = "R",
           .commit = "c4",
           .files = {{"a.yaml", BROKEN("a")}},
           .names = "a*",
           .targets = "o/*",
           .labels = "kind/*"}},
         "Labeler/a invalid=R c4 a.yaml:5:7: `repositories`*\na.yaml:5:7: *\na.yaml:5:7: *\n"},
        {"labels outside",
         {{.repository = "R",
           .commit = "c5",
           .files = {{"a.yaml", A1}},
           .names = "a*",
           .targets = "o/*",
           .labels = "kind/*"}},
         "Labeler/a invalid=R c5 a.yaml:2: its source may not include the label `area/*` "
         "(allow.labels)\n"},
        {"its name is outside by now",
         {{.repository = "R", .commit = "c6", .files = {{"a.yaml", A1}}, .names = "b*"}},
         "File/R/a.yaml invalid=R c6 a.yaml:2: *\nLabeler/a gone\n"},
        {"a target of a Deployment",
         {{.repository = "R",
           .commit = "c7",
           .files = {{"p.yaml", DEPLOYMENT("p", "")}},
           .targets = "https://h/other/*"}},
         "Deployment/p invalid=R c7 p.yaml:2: its source may not act on `https://h/o/r`*\n"
         "File/R/a.yaml gone\n"},
    };
    run_steps(steps, ARRAY_COUNT(steps));
}

/* A path that no key may hold still has a key, and a long one too. */
static void test_odd_paths(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"control characters in a path",
         {{.repository = "R", .commit = "c1", .files = {{"a\n\033[2Jb.yaml", "- 1\n"}}}},
         "File/sha256/*\n\033*\n"},
    };
    run_steps(steps, ARRAY_COUNT(steps));
}

/* The order of sources and files makes no difference. */
static void test_order(void **state)
{
    (void)state;
    static const struct step one = {
        "one",
        {{.repository = "R", .commit = "c", .files = {{"a.yaml", A1}, {"b.yaml", BROKEN("b")}}},
         {.repository = "S",
          .commit = "s",
          .files = {{"a.yaml", A2}, {"c.yaml", LABELER("c", "o/c")}}}},
        ""};
    static const struct step other = {
        "other",
        {{.repository = "S",
          .commit = "s",
          .files = {{"c.yaml", LABELER("c", "o/c")}, {"a.yaml", A2}}},
         {.repository = "R", .commit = "c", .files = {{"b.yaml", BROKEN("b")}, {"a.yaml", A1}}}},
        ""};
    CLEANUP(spec_store_free) struct spec_store *nothing = spec_store_new();
    CLEANUP(spec_plan_free) struct spec_plan *left = make_plan(&one, nothing, 1);
    CLEANUP(spec_plan_free) struct spec_plan *right = make_plan(&other, nothing, 1);
    assert_int_equal(left->change_count, 3);
    assert_int_equal(right->change_count, 3);
    for (size_t i = 0; i < left->change_count; i++) {
        CLEANUP(mem_free) char *a = spec_record_encode(left->changes[i].record, NULL);
        CLEANUP(mem_free) char *b = spec_record_encode(right->changes[i].record, NULL);
        assert_string_equal(left->changes[i].key, right->changes[i].key);
        assert_string_equal(a, b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_of_a_document), cmocka_unit_test(test_never_valid),
        cmocka_unit_test(test_unreadable),         cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_branches),           cmocka_unit_test(test_allow),
        cmocka_unit_test(test_odd_paths),          cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
