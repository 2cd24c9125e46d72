/*
 * The historian on the in-memory bus: what each kind of event makes of a record, what late, repeated and foreign ones do, and what a
 * crash leaves.
 */
#include "tests/unit/reactors/historian/historian_fixture.h"

/* The key of the issue that most tests have. */
#define KEY "1#1"

static void test_opened_makes_a_record(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.title = "It breaks",
                                         .body = "badly\\u0000\\ud83d\\ude00",
                                         .labels = "bug"});
    fixture_settle(fixture);
    struct issue_record *record = fixture_record(fixture, KEY);
    assert_non_null(record);
    assert_string_equal(record->repository, "o/r");
    assert_string_equal(record->title.data, "It breaks");
    assert_memory_equal(record->body.data, "badly\0\xf0\x9f\x98\x80", 10);
    assert_string_equal(record->state, "open");
    assert_int_equal(record->author, ISSUE_PERSON);
    assert_string_equal(record->author_login, "opener");
    assert_int_equal(record->created_ms, FIXTURE_EVENTS_MS);
    issue_record_free(record);
    assert_labels(fixture, KEY, "+bug:unknown:?");
}

/* One kind of hand each. */
static void test_hands(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *sender;
        const char *type;
        const char *labels;
    } rows[] = {
        {"ann", "User", "+bug:person:ann"},
        {"nodag[bot]", "Bot", "+bug:this bot:nodag[bot]"},
        {"NoDAG[bot]", "Bot", "+bug:this bot:NoDAG[bot]"},
        {"dependabot[bot]", "Bot", "+bug:other bot:dependabot[bot]"},
        {"odd[bot]", "User", "+bug:other bot:odd[bot]"},
        {"ghost", "User", "+bug:unknown:ghost"},
        {"acme", "Organization", "+bug:unknown:acme"},
    };
    fixture_start(fixture, 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char key[SUBJECT_KEY_BYTES];
        fixture_hook(fixture, &(struct hook){.action = "labeled",
                                             .number = (int64_t)i + 1,
                                             .labels = "bug",
                                             .label = "bug",
                                             .sender = rows[i].sender,
                                             .sender_type = rows[i].type});
        fixture_settle(fixture);
        subject_key_issue(1, (int64_t)i + 1, key);
        assert_labels(fixture, key, rows[i].labels);
    }
}

static void test_removed_by_whom(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.action = "labeled",
                                         .at_s = 1,
                                         .labels = "bug",
                                         .label = "bug",
                                         .sender = "nodag[bot]",
                                         .sender_type = "Bot"});
    fixture_hook(fixture,
                 &(struct hook){.action = "unlabeled", .at_s = 2, .label = "bug", .sender = "ann"});
    fixture_settle(fixture);
    assert_labels(fixture, KEY, "-bug:person:ann");
    fixture_hook(
        fixture,
        &(struct hook){
            .action = "labeled", .at_s = 3, .labels = "bug", .label = "bug", .sender = "bo"});
    fixture_settle(fixture);
    assert_labels(fixture, KEY, "+bug:person:bo");
}

static void test_stale_text_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.action = "edited", .at_s = 9, .title = "new"});
    fixture_settle(fixture);
    int64_t count = fixture_record_count(fixture);
    fixture_hook(fixture, &(struct hook){.at_s = 1, .title = "old"});
    fixture_settle(fixture);
    assert_title(fixture, KEY, "new");
    assert_int_equal(fixture_record_count(fixture), count);
}

static void test_same_second_by_offset(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(fixture,
                 &(struct hook){.action = "edited", .at_s = 1, .title = "first", .id = "a"});
    fixture_hook(fixture,
                 &(struct hook){.action = "edited", .at_s = 1, .title = "second", .id = "b"});
    fixture_settle(fixture);
    assert_title(fixture, KEY, "second");
    fixture_kill(fixture, 0); /* the kernel forgets which ids it saw: the record must tell */
    fixture_start(fixture, 0);
    fixture_settle(fixture);
    int64_t count = fixture_record_count(fixture);
    fixture_hook(fixture,
                 &(struct hook){.action = "edited", .at_s = 1, .title = "first", .id = "a"});
    fixture_settle(fixture);
    assert_title(fixture, KEY, "second");
    assert_int_equal(fixture_record_count(fixture), count);
}

/* The text stands on the topic only; a late event that tells who put a label there must not lose it. */
static void test_late_label_keeps_text(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(
        fixture,
        &(struct hook){
            .action = "edited", .at_s = 9, .title = "new", .body = "text", .labels = "bug"});
    fixture_settle(fixture);
    assert_labels(fixture, KEY, "+bug:unknown:?");
    fixture_hook(
        fixture,
        &(struct hook){
            .action = "labeled", .at_s = 2, .title = "old", .labels = "bug", .label = "bug"});
    fixture_settle(fixture);
    assert_labels(fixture, KEY, "+bug:person:ann");
    struct issue_record *record = fixture_record(fixture, KEY);
    assert_string_equal(record->title.data, "new");
    assert_string_equal(record->body.data, "text");
    assert_string_equal(record->repository, "o/r");
    assert_int_equal(record->as_of.time_ms, FIXTURE_EVENTS_MS + 9000);
    issue_record_free(record);
    struct historian_counts counts;
    historian_count(fixture->processes[0].historian, &counts);
    assert_int_equal(counts.read_back, 1);
}

/* Two labels within a second, delivered the wrong way round: the older payload does not list the newer label. */
static void test_actions_count_more_than_lists_of_the_same_second(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(
        fixture,
        &(struct hook){
            .action = "labeled", .at_s = 1, .labels = "bug,help", .label = "help", .sender = "bo"});
    fixture_hook(fixture,
                 &(struct hook){.action = "labeled", .at_s = 1, .labels = "bug", .label = "bug"});
    fixture_settle(fixture);
    assert_labels(fixture, KEY, "+bug:person:ann +help:person:bo");
}

static void test_comments_refresh_and_pull_requests_do_not(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(
        fixture,
        &(struct hook){.event = "issue_comment", .action = "created", .at_s = 3, .title = "seen"});
    fixture_hook(fixture, &(struct hook){.event = "issue_comment",
                                         .action = "created",
                                         .number = 2,
                                         .issue_more = ",\"pull_request\":{\"url\":\"u\"}"});
    fixture_hook(fixture, &(struct hook){.event = "pull_request", .number = 3, .key = "1#3"});
    fixture_settle(fixture);
    assert_title(fixture, KEY, "seen");
    assert_null(bus_memory_latest(fixture->cluster, TOPIC_ISSUES, "1#2"));
    assert_null(bus_memory_latest(fixture->cluster, TOPIC_ISSUES, "1#3"));
}

static void test_deleted_stays_deleted(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.at_s = 1});
    fixture_hook(fixture, &(struct hook){.action = "deleted", .at_s = 1});
    fixture_settle(fixture);
    assert_gone(fixture, KEY, "deleted");
    fixture_kill(fixture, 0);
    fixture_start(fixture, 0);
    fixture_hook(fixture,
                 &(struct hook){.action = "labeled", .at_s = 5, .labels = "bug", .label = "bug"});
    fixture_settle(fixture);
    assert_gone(fixture, KEY, "deleted");
    /* Also if nothing was known of it. */
    fixture_hook(fixture, &(struct hook){.action = "deleted", .at_s = 5, .number = 2});
    fixture_settle(fixture);
    fixture_hook(fixture, &(struct hook){.at_s = 1, .number = 2});
    fixture_settle(fixture);
    assert_gone(fixture, "1#2", "deleted");
}

static void test_transfer_takes_history_along(void **state)
{
    struct fixture *fixture = *state;
    static const char moved[] = ",\"changes\":{\"new_issue\":{\"number\":5,\"title\":\"moved\","
                                "\"body\":null,\"state\":\"open\","
                                "\"created_at\":\"2023-07-22T04:26:40Z\",\"updated_at\":\"2023-07-"
                                "22T04:26:50Z\",\"labels\":[{\"name\":\"bug\"}],"
                                "\"user\":{\"login\":\"opener\",\"type\":\"User\"}},"
                                "\"new_repository\":{\"id\":2,\"full_name\":\"o/"
                                "new\",\"private\":false,\"owner\":{\"id\":9}}}";
    fixture_start(fixture, 0);
    fixture_start(fixture, 1);
    fixture_hook(fixture, &(struct hook){
                              .action = "labeled", .at_s = 1, .labels = "bug,old", .label = "bug"});
    fixture_hook(
        fixture,
        &(struct hook){
            .action = "unlabeled", .at_s = 2, .labels = "bug", .label = "old", .sender = "bo"});
    fixture_settle(fixture);
    fixture_hook(fixture, &(struct hook){.action = "transferred", .at_s = 3, .more = moved});
    fixture_hook(fixture, &(struct hook){.at_s = 10,
                                         .repository_id = 2,
                                         .repository = "o/new",
                                         .number = 5,
                                         .title = "moved",
                                         .labels = "bug"});
    fixture_settle(fixture);
    assert_gone(fixture, KEY, "transferred");
    assert_labels(fixture, "2#5", "+bug:person:ann -old:person:bo");
    assert_title(fixture, "2#5", "moved");
}

/* The webhook stands in one partition, the issues in all of them, with two owners. */
static void test_withdrawn_in_all_partitions(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        struct hook hook;
        const char *reason;
        bool others_stay; /* issues of another repository of the owner */
    } rows[] = {
        {{.event = "repository", .action = "deleted"}, "repository-deleted", true},
        {{.event = "repository", .action = "privatized", .is_private = true}, "private", true},
        {{.event = "installation",
          .action = "deleted",
          .more = ",\"installation\":{\"id\":4,\"account\":{\"id\":9}}"},
         "uninstalled",
         false},
        {{.event = "installation_repository",
          .action = "removed",
          .more = ",\"repositories_added\":[{\"id\":2}],\"repositories_removed\":[{\"id\":77},{"
                  "\"id\":1}]"},
         "uninstalled",
         true},
    };
    fixture_start(fixture, 0);
    fixture_start(fixture, 1);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char key[SUBJECT_KEY_BYTES];
        /* After what was withdrawn before. */
        int64_t at_s = (loop_wall_ms(fixture->loop) - FIXTURE_EVENTS_MS) / 1000 + 1;
        for (int64_t number = 1; number <= 40; number++)
            fixture_hook(fixture, &(struct hook){.number = number, .at_s = at_s});
        fixture_hook(fixture,
                     &(struct hook){.repository_id = 2, .repository = "o/two", .at_s = at_s});
        fixture_settle(fixture);
        struct issue_record *record = fixture_record(fixture, "1#40");
        assert_non_null(record); /* what came later made it live again */
        issue_record_free(record);
        loop_advance(fixture->loop, 10000);
        fixture_hook(fixture, &rows[i].hook);
        fixture_settle(fixture);
        for (int64_t number = 1; number <= 40; number++) {
            subject_key_issue(1, number, key);
            assert_gone(fixture, key, rows[i].reason);
        }
        record = fixture_record(fixture, "2#1");
        assert_int_equal(record != NULL, rows[i].others_stay);
        issue_record_free(record);
    }
}

/* Records are under way, and the broker takes none, when a withdrawal comes: of issues that have a row, and of new ones. */
static void test_withdrawal_meets_records_under_way(void **state)
{
    struct fixture *fixture = *state;
    static const char value[] =
        "{\"owner_id\":0,\"reason\":\"repository-deleted\",\"repositories\":[1]}";
    const struct bus_memory_faults faults = {.publish_failed = 1000};
    int32_t partition = subject_key_partition("1", 1, FIXTURE_PARTITIONS);
    fixture_start(fixture, 0);
    for (int64_t number = 1; number <= 10; number++)
        fixture_hook(fixture, &(struct hook){.number = number});
    fixture_settle(fixture);
    bus_memory_set_faults(fixture->cluster, &faults);
    for (int64_t number = 1; number <= 20; number++)
        fixture_hook(fixture, &(struct hook){.number = number, .at_s = 1, .action = "edited"});
    loop_advance(fixture->loop, 100);
    fixture_append(fixture, HISTORY_WITHDRAWN_TYPE, "w", FIXTURE_WALL_MS, "o/r", "1", value);
    loop_advance(fixture->loop, 100);
    bus_memory_set_faults(fixture->cluster, &(struct bus_memory_faults){0});
    fixture_settle(fixture);
    for (int64_t number = 1; number <= 20; number++) {
        char key[SUBJECT_KEY_BYTES];
        subject_key_issue(1, number, key);
        bool is_there = subject_key_partition(key, strlen(key), FIXTURE_PARTITIONS) == partition;
        struct issue_record *record = fixture_record(fixture, key);
        assert_int_equal(record == NULL, is_there);
        issue_record_free(record);
    }
}

static void test_first_event_comes_after_a_withdrawal(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.event = "repository", .action = "deleted"});
    fixture_settle(fixture);
    fixture_hook(fixture, &(struct hook){.at_s = 1});
    fixture_hook(fixture, &(struct hook){.at_s = 1, .repository_id = 2});
    fixture_settle(fixture);
    assert_null(fixture_record(fixture, KEY));
    assert_title(fixture, "2#1", "a title");
}

static void test_private_is_not_recorded_unless_named(void **state)
{
    struct fixture *fixture = *state;
    fixture->keep_private.items[fixture->keep_private.count++] = "O/Named";
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.is_private = true});
    fixture_hook(fixture,
                 &(struct hook){.repository_id = 3, .repository = "o/named", .is_private = true});
    fixture_settle(fixture);
    assert_null(bus_memory_latest(fixture->cluster, TOPIC_ISSUES, KEY));
    assert_title(fixture, "3#1", "a title");
    fixture_hook(fixture, &(struct hook){.event = "repository",
                                         .action = "privatized",
                                         .repository_id = 3,
                                         .repository = "o/named",
                                         .is_private = true});
    fixture_settle(fixture);
    assert_title(fixture, "3#1", "a title");
    /* One that was public before, and comes back. */
    fixture_hook(fixture, &(struct hook){.number = 2, .at_s = 1});
    fixture_settle(fixture);
    fixture_hook(fixture,
                 &(struct hook){.number = 2, .at_s = 2, .action = "edited", .is_private = true});
    fixture_settle(fixture);
    assert_gone(fixture, "1#2", "private");
    fixture_hook(fixture, &(struct hook){.number = 2, .at_s = 3, .action = "edited"});
    fixture_settle(fixture);
    assert_title(fixture, "1#2", "a title");
}

/* Documents on the topic `specs` name repositories; a glob does not. */
static void test_documents_name_private_repositories(void **state)
{
    struct fixture *fixture = *state;
    static const char value[] =
        "{\"first_published\":\"2023-01-01T00:00:00Z\",\"invalid\":null,\"valid\":{\"repository\":"
        "\"u\",\"branch\":\"main\",\"path\":\"p\","
        "\"commit\":\"c\",\"line\":1,\"document\":{\"apiVersion\":\"nodag.dev/"
        "v1\",\"kind\":\"Model\",\"metadata\":{\"name\":\"m\"},"
        "\"spec\":{\"data\":{\"repositories\":[\"o/r\",\"p/"
        "*\"],\"maxAge\":\"30d\"},\"labels\":{\"include\":[\"*\"]},"
        "\"train\":{\"notebook\":\"n.ipynb\"}}}}}";
    struct bus_message message = {.topic = TOPIC_SPECS,
                                  .partition = 0,
                                  .key = "Model/m",
                                  .key_bytes = 7,
                                  .value = value,
                                  .value_bytes = sizeof(value) - 1};
    (void)bus_memory_append(fixture->cluster, &message);
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.is_private = true});
    fixture_hook(fixture,
                 &(struct hook){.repository_id = 3, .repository = "p/q", .is_private = true});
    fixture_settle(fixture);
    assert_title(fixture, KEY, "a title");
    assert_null(bus_memory_latest(fixture->cluster, TOPIC_ISSUES, "3#1"));
}

/* From REST with its timeline the record is the same as from webhooks, and both together change nothing. */
static void test_import_equals_webhooks(void **state)
{
    struct fixture *fixture = *state;
    static const char import[] =
        "{\"repository\":{\"id\":1,\"name\":\"o/"
        "r\",\"owner_id\":9,\"private\":false},\"issue\":{\"number\":1,\"title\":\"a title\","
        "\"body\":null,\"state\":\"open\",\"state_reason\":null,\"created_at\":\"2023-07-22T04:26:"
        "40Z\",\"updated_at\":\"2023-07-22T04:26:43Z\","
        "\"closed_at\":null,\"author\":{\"login\":\"opener\",\"type\":\"User\"},\"labels\":["
        "\"bug\"],\"pull_request\":false},"
        "\"timeline\":[{\"action\":\"labeled\",\"label\":\"bug\",\"at\":\"2023-07-22T04:26:41Z\","
        "\"actor\":{\"login\":\"ann\",\"type\":\"User\"}},"
        "{\"action\":\"labeled\",\"label\":\"help\",\"at\":\"2023-07-22T04:26:42Z\",\"actor\":{"
        "\"login\":\"nodag[bot]\",\"type\":\"Bot\"}},"
        "{\"action\":\"unlabeled\",\"label\":\"help\",\"at\":\"2023-07-22T04:26:43Z\",\"actor\":{"
        "\"login\":\"bo\",\"type\":\"User\"}}]}";
    static const char labels[] = "+bug:person:ann -help:person:bo";
    fixture_start(fixture, 0);
    fixture_append(fixture, HISTORY_ISSUE_TYPE, "import-1", FIXTURE_EVENTS_MS + 3000, "o/r", KEY,
                   import);
    fixture_settle(fixture);
    assert_labels(fixture, KEY, labels);
    struct issue_record *imported = fixture_record(fixture, KEY);
    fixture_hook(fixture,
                 &(struct hook){.action = "labeled", .at_s = 1, .labels = "bug", .label = "bug"});
    fixture_hook(fixture, &(struct hook){.action = "labeled",
                                         .at_s = 2,
                                         .labels = "bug,help",
                                         .label = "help",
                                         .sender = "nodag[bot]",
                                         .sender_type = "Bot"});
    fixture_settle(fixture);
    assert_int_equal(fixture_record_count(fixture), 1); /* the same actions: nothing new */
    fixture_hook(
        fixture,
        &(struct hook){
            .action = "unlabeled", .at_s = 3, .labels = "bug", .label = "help", .sender = "bo"});
    fixture_settle(fixture);
    assert_labels(fixture, KEY, labels);
    struct issue_record *both = fixture_record(fixture, KEY);
    assert_int_equal(both->as_of.time_ms, imported->as_of.time_ms);
    assert_int_equal(both->label_count, imported->label_count);
    for (size_t i = 0; i < both->label_count; i++) {
        assert_int_equal(both->labels[i].added.stamp.time_ms,
                         imported->labels[i].added.stamp.time_ms);
        assert_int_equal(both->labels[i].added.stamp.ids[0],
                         imported->labels[i].added.stamp.ids[0]);
        assert_int_equal(both->labels[i].removed.stamp.time_ms,
                         imported->labels[i].removed.stamp.time_ms);
    }
    issue_record_free(both);
    issue_record_free(imported);
}

static void test_what_cannot_be_read_is_a_dead_letter(void **state)
{
    struct fixture *fixture = *state;
    static const char *const values[] = {
        "",
        "[",
        "no JSON",
        "{}",
        "{\"issue\":{\"number\":1}}",
        "{\"issue\":7,\"repository\":{\"id\":-1}}",
        /* about another issue than its key says */
        ("{\"issue\":{\"number\":2,\"title\":\"t\",\"state\":\"open\"},\"repository\":{\"id\":1,"
         "\"full_name\":\"o/r\",\"private\":false}}"),
    };
    fixture_start(fixture, 0);
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "bad-%zu", i);
        fixture_append(fixture, "com.github.issue.opened", id, 1, "o/r", KEY, values[i]);
    }
    fixture_settle(fixture);
    assert_int_equal(bus_memory_end(fixture->cluster, TOPIC_DEAD_LETTERS, 0),
                     (int64_t)ARRAY_COUNT(values));
    assert_int_equal(fixture_record_count(fixture), 0);
}

/* A former owner wakes up and writes what it knew: the record is put right. */
static void test_late_record_of_a_former_owner(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.at_s = 1, .title = "old"});
    fixture_settle(fixture);
    struct bus_record old = *bus_memory_latest(fixture->cluster, TOPIC_ISSUES, KEY);
    fixture_hook(
        fixture,
        &(struct hook){
            .action = "labeled", .at_s = 2, .title = "new", .labels = "bug", .label = "bug"});
    fixture_settle(fixture);
    struct bus_message late = {.topic = TOPIC_ISSUES,
                               .partition = old.partition,
                               .key = old.key,
                               .key_bytes = old.key_bytes,
                               .value = old.value,
                               .value_bytes = old.value_bytes,
                               .headers = old.headers,
                               .header_count = old.header_count};
    (void)bus_memory_append(fixture->cluster, &late);
    loop_advance(fixture->loop, 5000);
    assert_title(fixture, KEY, "new");
    assert_labels(fixture, KEY, "+bug:person:ann");
    /* The same while nobody looks: the next start puts it right. */
    fixture_drain(fixture, 0);
    (void)bus_memory_append(fixture->cluster, &late);
    fixture_start(fixture, 0);
    loop_advance(fixture->loop, 5000);
    assert_title(fixture, KEY, "new");
    /* And over a tombstone. */
    fixture_hook(fixture, &(struct hook){.action = "deleted", .at_s = 3});
    fixture_settle(fixture);
    (void)bus_memory_append(fixture->cluster, &late);
    loop_advance(fixture->loop, 5000);
    assert_gone(fixture, KEY, "deleted");
}

/* A restart has all that it needs from the topic, and publishes nothing. */
static void test_restart_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    for (int64_t number = 1; number <= 200; number++)
        fixture_hook(
            fixture,
            &(struct hook){
                .action = "labeled", .number = number, .at_s = 5, .labels = "bug", .label = "bug"});
    fixture_settle(fixture);
    struct historian_counts before;
    historian_count(fixture->processes[0].historian, &before);
    assert_int_equal(before.issues, 200);
    fixture_drain(fixture, 0);
    fixture_start(fixture, 0);
    loop_advance(fixture->loop, 5000);
    struct historian_counts after;
    historian_count(fixture->processes[0].historian, &after);
    assert_int_equal(after.issues, 200);
    assert_int_equal(after.issue_bytes, before.issue_bytes);
    assert_int_equal(fixture_record_count(fixture), 200);
    fixture_hook(
        fixture,
        &(struct hook){
            .action = "unlabeled", .number = 7, .at_s = 6, .label = "bug", .sender = "bo"});
    fixture_settle(fixture);
    assert_labels(fixture, "1#7", "-bug:person:bo");
}

static void test_gone_issues_are_forgotten_in_time(void **state)
{
    struct fixture *fixture = *state;
    struct historian_counts counts;
    fixture_start(fixture, 0);
    fixture_hook(fixture, &(struct hook){.at_s = 1});
    fixture_hook(fixture, &(struct hook){.at_s = 10000000,
                                         .number = 2,
                                         .action = "deleted"}); /* at the wall's present */
    fixture_hook(fixture,
                 &(struct hook){.at_s = 1, .number = 3, .action = "deleted"}); /* long ago */
    fixture_settle(fixture);
    loop_advance(fixture->loop, 2 * 3600 * 1000);
    historian_count(fixture->processes[0].historian, &counts);
    assert_int_equal(counts.issues, 2);
    loop_advance(fixture->loop, 4LL * 24 * 3600 * 1000);
    historian_count(fixture->processes[0].historian, &counts);
    assert_int_equal(counts.issues, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_opened_makes_a_record),
        TEST(test_hands),
        TEST(test_removed_by_whom),
        TEST(test_stale_text_changes_nothing),
        TEST(test_same_second_by_offset),
        TEST(test_late_label_keeps_text),
        TEST(test_actions_count_more_than_lists_of_the_same_second),
        TEST(test_comments_refresh_and_pull_requests_do_not),
        TEST(test_deleted_stays_deleted),
        TEST(test_transfer_takes_history_along),
        TEST(test_withdrawn_in_all_partitions),
        TEST(test_withdrawal_meets_records_under_way),
        TEST(test_first_event_comes_after_a_withdrawal),
        TEST(test_private_is_not_recorded_unless_named),
        TEST(test_documents_name_private_repositories),
        TEST(test_import_equals_webhooks),
        TEST(test_what_cannot_be_read_is_a_dead_letter),
        TEST(test_late_record_of_a_former_owner),
        TEST(test_restart_changes_nothing),
        TEST(test_gone_issues_are_forgotten_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
