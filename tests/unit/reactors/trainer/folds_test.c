/*
 * Tests of the trainer's folds and small parts: labels, pushes, versions in use, the registry's offsets, collection, the
 * lambda's answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/collect.h"
#include "reactors/trainer/labels.h"
#include "reactors/trainer/named.h"
#include "reactors/trainer/needs_sync.h"
#include "reactors/trainer/pushes.h"
#include "reactors/trainer/registry.h"
#include "topics/git_push.h"
#include "topics/issue_record.h"

#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* ---- labels ---- */

/* One action on the label of an issue, at `second`. */
static void act(struct issue_record *issue, const char *label, bool removes, enum issue_actor by,
                int64_t second)
{
    struct issue_label *found = issue_record_put_label(issue, label);
    struct issue_action *action = removes ? &found->removed : &found->added;
    action->by = by;
    action->stamp.time_ms = second * 1000;
    action->stamp.offset = 1;
}

static void apply_issue(struct labels *labels, const char *key, const struct issue_record *issue)
{
    size_t bytes = 0;
    CLEANUP(mem_free) char *value = issue != NULL ? issue_record_encode(issue, &bytes) : NULL;
    const struct bus_record record = {.topic = TOPIC_ISSUES,
                                      .key = key,
                                      .key_bytes = strlen(key),
                                      .value = value,
                                      .value_bytes = bytes};
    labels_apply(labels, &record);
}

static struct issue_record *new_issue(int64_t number, const char *repository)
{
    struct issue_record *issue = issue_record_new(1, number);
    issue->repository = mem_copy_text(repository);
    issue->state = mem_copy_text("open");
    issue->title.data = mem_copy_text("t");
    issue->title.bytes = 1;
    issue->as_of.time_ms = 1000;
    return issue;
}

static void test_labels(void **state)
{
    (void)state;
    CLEANUP(labels_free) struct labels *labels = labels_new();
    CLEANUP(json_release) json_t *acme = json_loads("[\"acme/*\"]", 0, NULL);
    CLEANUP(json_release) json_t *kinds = json_loads("[\"kind/*\"]", 0, NULL);
    CLEANUP(issue_record_free) struct issue_record *one = new_issue(1, "acme/x");
    act(one, "kind/bug", false, ISSUE_PERSON, 100);
    act(one, "kind/bug", true, ISSUE_PERSON, 200);
    act(one, "kind/feature", false, ISSUE_THIS_BOT, 300); /* no person */
    act(one, "area/x", false, ISSUE_PERSON, 300);         /* not learnt */
    CLEANUP(issue_record_free) struct issue_record *two = new_issue(2, "other/x");
    act(two, "kind/bug", false, ISSUE_PERSON, 300); /* another repository */
    apply_issue(labels, "1#1", one);
    apply_issue(labels, "1#2", two);
    assert_int_equal(labels_count(labels, acme, kinds, 0), 2);
    assert_int_equal(labels_count(labels, acme, kinds, 100000), 1);
    assert_int_equal(labels_count(labels, acme, kinds, 200000), 0);
    apply_issue(labels, "1#1", one); /* a record that comes again counts once */
    assert_int_equal(labels_count(labels, acme, kinds, 0), 2);
    act(one, "kind/bug", false, ISSUE_PERSON, 400);
    apply_issue(labels, "1#1", one);
    assert_int_equal(labels_count(labels, acme, kinds, 200000), 1);
    apply_issue(labels, "1#1", NULL);
    assert_int_equal(labels_count(labels, acme, kinds, 0), 0);
    assert_int_equal(labels_left_out(labels), 0);
}

/* ---- pushes ---- */

static void push(struct pushes *pushes, const char *old_id, const char *new_id, const char *path,
                 bool is_cut, int64_t move)
{
    char key[SUBJECT_KEY_BYTES];
    size_t bytes = 0;
    const struct git_push made = {.repository = "https://h/o/r",
                                  .ref = "refs/heads/main",
                                  .old_id = old_id,
                                  .new_id = new_id,
                                  .move = move,
                                  .paths = &path,
                                  .path_count = path != NULL ? 1 : 0,
                                  .paths_truncated = is_cut};
    assert_int_equal(git_push_key(made.repository, made.ref, key), 0);
    CLEANUP(mem_free) char *value = git_push_write(&made, &bytes);
    const struct bus_record record = {.topic = TOPIC_GIT_PUSHES,
                                      .key = key,
                                      .key_bytes = strlen(key),
                                      .value = value,
                                      .value_bytes = bytes};
    assert_true(pushes_apply(pushes, &record));
}

static void test_pushes(void **state)
{
    (void)state;
    CLEANUP(pushes_free) struct pushes *pushes = pushes_new();
    CLEANUP(json_release) json_t *globs = json_loads("[\"notebooks/**\"]", 0, NULL);
    const char *url = "https://h/o/r";
    assert_null(pushes_head(pushes, url, "main"));
    push(pushes, NULL, "a", NULL, true, 1);
    push(pushes, "a", "b", "README", false, 2);
    assert_string_equal(pushes_head(pushes, url, "main"), "b");
    assert_null(pushes_head(pushes, url, "other"));
    assert_false(pushes_differ(pushes, url, "main", "b", globs));
    assert_false(pushes_differ(pushes, url, "main", "a", globs));
    assert_true(pushes_differ(pushes, url, "main", "z", globs)); /* the way back is not known */
    push(pushes, "b", "c", "notebooks/train.ipynb", false, 3);
    push(pushes, "c", "d", "README", false, 4);
    assert_true(pushes_differ(pushes, url, "main", "a", globs));
    assert_true(pushes_differ(pushes, url, "main", "b", globs));
    assert_false(pushes_differ(pushes, url, "main", "c", globs));
    push(pushes, "d", "e", "README", true, 5); /* cut: nobody knows */
    assert_true(pushes_differ(pushes, url, "main", "c", globs));
    push(pushes, "x", "f", "README", false, 6); /* a move between was compacted away */
    assert_true(pushes_differ(pushes, url, "main", "e", globs));
    for (int64_t i = 0; i < PUSHES_MOVES_MAX + 5; i++) {
        char old_id[32];
        char new_id[32];
        (void)snprintf(old_id, sizeof(old_id), i == 0 ? "f" : "n%lld", (long long)i);
        (void)snprintf(new_id, sizeof(new_id), "n%lld", (long long)i + 1);
        push(pushes, old_id, new_id, "README", false, 7 + i);
    }
    assert_true(pushes_differ(pushes, url, "main", "f", globs)); /* too long ago */
    assert_false(pushes_differ(pushes, url, "main", "n20", globs));
}

/* ---- versions in use ---- */

static void name(struct named *named, enum topic topic, const char *key, const char *value)
{
    const struct bus_record record = {.topic = topic,
                                      .key = key,
                                      .key_bytes = strlen(key),
                                      .value = value,
                                      .value_bytes = value != NULL ? strlen(value) : 0};
    named_apply(named, &record);
}

static void test_named(void **state)
{
    (void)state;
    CLEANUP(named_free) struct named *named = named_new();
    name(named, TOPIC_DEPLOYMENTS, "prod",
         "{\"wanted\":{\"version\":\"m/m-1\"},\"old\":[\"m-2\"]}");
    name(named, TOPIC_SERVING, "prod", "{\"version\":\"m-3\"}");
    assert_true(named_has(named, "m", "m-1"));
    assert_true(named_has(named, "m", "m-2"));
    assert_true(named_has(named, "m", "m-3"));
    assert_false(named_has(named, "m", "m-4"));
    assert_false(named_has(named, "n", "m-1"));
    name(named, TOPIC_SERVING, "prod", NULL); /* of the other topic */
    assert_false(named_has(named, "m", "m-3"));
    assert_true(named_has(named, "m", "m-1"));
    name(named, TOPIC_SERVING, "bad", "{");
    assert_true(named_has(named, "m", "m-4")); /* who knows what it names */
    name(named, TOPIC_SERVING, "bad", NULL);
    assert_false(named_has(named, "m", "m-4"));
}

/* ---- registry ---- */

static struct run_record *new_run(const char *run, enum run_state run_state, int64_t created_ms)
{
    struct run_record *record = run_record_new();
    record_set_text(&record->run, run);
    record_set_text(&record->model, "m");
    record_set_text(&record->cause, "c");
    record_set_text(&record->executor, "local");
    record_set_text(&record->host, "h");
    record_set_text(&record->repository, "r");
    record_set_text(&record->commit, "c");
    record->state = run_state;
    record->attempt = 1;
    record->created_ms = created_ms;
    record->ended_ms = run_state_is_terminal(run_state) ? created_ms + 1 : 0;
    return record;
}

static void test_registry_offsets(void **state)
{
    (void)state;
    CLEANUP(registry_free) struct registry *registry = registry_new();
    registry_put_run(registry, "m-1", new_run("m-1", RUN_RUNNING, 5), 7);
    /* What the reader brings later from before does not undo it. */
    CLEANUP(run_record_free) struct run_record *old = new_run("m-1", RUN_PENDING, 5);
    size_t bytes = 0;
    CLEANUP(mem_free) char *value = run_record_encode(old, &bytes);
    struct bus_record record = {.topic = TOPIC_RUNS,
                                .offset = 6,
                                .key = "m-1",
                                .key_bytes = 3,
                                .value = value,
                                .value_bytes = bytes};
    assert_string_equal(registry_apply(registry, &record), "m");
    assert_int_equal(registry_find_run(registry, "m-1")->state, RUN_RUNNING);
    record.offset = 8;
    (void)registry_apply(registry, &record);
    assert_int_equal(registry_find_run(registry, "m-1")->state, RUN_PENDING);
    record.offset = 9;
    record.value = NULL;
    assert_string_equal(registry_apply(registry, &record), "m");
    assert_null(registry_find_run(registry, "m-1"));
    registry_put_run(registry, "m-1", new_run("m-1", RUN_RUNNING, 5),
                     8); /* from before the tombstone */
    assert_null(registry_find_run(registry, "m-1"));
    record.value = "?";
    record.value_bytes = 1;
    record.offset = 10;
    assert_null(registry_apply(registry, &record));
    assert_int_equal(registry_refused(registry), 1);
}

static struct model_record *new_version(const char *version, int64_t created_ms)
{
    struct model_record *record = model_record_new();
    record_set_text(&record->model, "m");
    record_set_text(&record->version, version);
    record->created_ms = created_ms;
    return record;
}

static void test_newest_version(void **state)
{
    (void)state;
    CLEANUP(registry_free) struct registry *registry = registry_new();
    registry_put_model(registry, new_version("m-z-1", 5), 1);
    registry_put_model(registry, new_version("m-a-1", 5), 2); /* in the same second */
    assert_string_equal(registry_newest(registry, "m")->version, "m-a-1");
    registry_put_model(registry, new_version("m-b-1", 3), 3); /* the clock was moved back */
    assert_string_equal(registry_newest(registry, "m")->version, "m-b-1");
    assert_null(registry_newest(registry, "n"));
}

/* ---- collection ---- */

static bool is_named(void *argument, const char *version)
{
    return argument != NULL && strcmp(argument, version) == 0;
}

/*
 * Runs as letters, oldest first: S successful, F failed, R under way; lower case: collected already. The run chosen
 * is told by its place; -1: none.
 */
static int choose(const char *runs, size_t keep_successful, size_t keep_failed, const char *in_use,
                  bool *ret_keeps)
{
    struct run_record *made[32];
    size_t count = strlen(runs);
    int chosen = -1;
    for (size_t i = 0; i < count; i++) {
        char text[8];
        char letter = runs[i] >= 'a' ? (char)(runs[i] - 'a' + 'A') : runs[i];
        (void)snprintf(text, sizeof(text), "m-%zu", i);
        made[i] = new_run(text,
                          letter == 'S'   ? RUN_SUCCEEDED
                          : letter == 'F' ? RUN_FAILED
                                          : RUN_RUNNING,
                          (int64_t)i + 1);
        made[i]->collected = runs[i] >= 'a';
    }
    const char *newest = count > 0 && runs[count - 1] == 'S' ? made[count - 1]->run : NULL;
    const struct collect_facts facts = {.runs = (const struct run_record *const *)made,
                                        .run_count = count,
                                        .newest = newest,
                                        .keep_successful = keep_successful,
                                        .keep_failed = keep_failed,
                                        .is_named = is_named,
                                        .argument = (void *)(uintptr_t)in_use};
    const struct collect_choice choice = collect_choose(&facts);
    for (size_t i = 0; i < count; i++) {
        if (choice.run == made[i])
            chosen = (int)i;
        run_record_free(made[i]);
    }
    *ret_keeps = choice.keeps_record;
    return chosen;
}

static void test_collect(void **state)
{
    (void)state;
    static const struct {
        const char *runs;
        size_t successful;
        size_t failed;
        const char *in_use;
        int chosen;
        bool keeps;
    } rows[] = {
        {"", 1, 1, NULL, -1, false},
        {"SSS", 3, 1, NULL, -1, false},
        {"SSS", 2, 1, NULL, 0, false},
        {"SSS", 2, 1, "m-0", -1, false}, /* in use */
        {"SSSS", 2, 1, "m-0", 1, false}, /* the next one */
        {"SSS", 0, 1, NULL, 0, false},
        {"S", 0, 1, NULL, -1, false},   /* the newest version */
        {"sSS", 2, 1, "m-0", 0, false}, /* begun: ended */
        {"FFF", 1, 2, NULL, 0, true},   /* backoff counts it */
        {"fFF", 1, 2, NULL, -1, true},  /* it is done */
        {"FFFFFFFFF", 1, 9, NULL, -1, false},
        {"FFFFFFFFF", 1, 2, NULL, 0, false}, /* over the floor */
        {"RSSS", 3, 0, NULL, -1, false},     /* under way */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        bool keeps = false;
        int chosen =
            choose(rows[i].runs, rows[i].successful, rows[i].failed, rows[i].in_use, &keeps);
        if (chosen != rows[i].chosen || (chosen >= 0 && keeps != rows[i].keeps))
            fail_msg("row %zu: %s gave %d, %d", i, rows[i].runs, chosen, (int)keeps);
    }
}

static void test_unreferenced(void **state)
{
    (void)state;
    CLEANUP(run_record_free) struct run_record *gone = new_run("m-0", RUN_SUCCEEDED, 1);
    CLEANUP(run_record_free) struct run_record *stays = new_run("m-1", RUN_SUCCEEDED, 2);
    gone->collected = true;
    gone->artefacts = json_loads(
        "{\"model\":{\"sha256\":\"" SHA_A "\"},\"dataset\":{\"sha256\":\"" SHA_B "\"}}", 0, NULL);
    stays->artefacts = json_loads("{\"dataset\":{\"sha256\":\"" SHA_B "\"}}", 0, NULL);
    const struct run_record *runs[] = {gone, stays};
    struct collect_known known = {.runs = runs, .run_count = 2};
    size_t count = 0;
    char **list = collect_unreferenced(gone, &known, &count);
    assert_int_equal(count, 1);
    assert_string_equal(list[0], SHA_A);
    mem_free(list[0]);
    mem_free(list);
    /* A run under way has stored the same. */
    CLEANUP(json_release)
    json_t *uploads = json_loads("[{}, {\"model\":{\"sha256\":\"" SHA_A "\"}}]", 0, NULL);
    known.uploads = uploads;
    mem_free(collect_unreferenced(gone, &known, &count));
    assert_int_equal(count, 0);
}

/* ---- the lambda ---- */

static void test_needs_sync(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        bool needs;
        size_t parameters;
    } rows[] = {
        {"{\"needsSync\":true}", 0, true, 0},
        {"{\"kind\":\"NeedsSync\",\"apiVersion\":\"v1alpha1\",\"metadata\":{\"creationTimestamp\":"
         "null},"
         "\"needsSync\":false,\"parameters\":{\"name\":\"x\"},\"errors\":null}",
         0, false, 1},
        {"{\"needsSync\":1}", ERR_INPUT, false, 0},
        {"{}", ERR_INPUT, false, 0},
        {"[]", ERR_INPUT, false, 0},
        {"{\"kind\":\"Other\",\"needsSync\":true}", ERR_INPUT, false, 0},
        {"{\"needsSync\":true,\"errors\":[\"no\"]}", ERR_INPUT, false, 0},
        {"{\"needsSync\":true,\"parameters\":{\"a\":{}}}", ERR_INPUT, false, 0},
        {"{\"needsSync\":true,\"parameters\":[]}", ERR_INPUT, false, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        CLEANUP(needs_sync_release) struct needs_sync answer = {.parameters = NULL};
        assert_int_equal(needs_sync_read(rows[i].text, strlen(rows[i].text), &answer, NULL),
                         rows[i].code);
        assert_int_equal(answer.needs_sync, rows[i].needs);
        assert_int_equal(json_object_size(answer.parameters), rows[i].parameters);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),         cmocka_unit_test(test_pushes),
        cmocka_unit_test(test_named),          cmocka_unit_test(test_registry_offsets),
        cmocka_unit_test(test_newest_version), cmocka_unit_test(test_collect),
        cmocka_unit_test(test_unreferenced),   cmocka_unit_test(test_needs_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
