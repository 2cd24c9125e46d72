/*
 * Erased stays erased: the mark against every order of events, random worlds of them, records that come late, transfers, issues that
 * go and come back, and a historian that begins anew.
 */
#include "reactors/historian/fold.h"
#include "reactors/historian/packed.h"
#include "tests/unit/reactors/historian/historian_fixture.h"
#include "topics/history_erasure.h"

/* The key of the issue that most tests have. */
#define KEY "1#1"

/* What must never be seen again, in texts and logins. */
#define SECRET "Sesame"

/* Seeds of the random test. */
#define SEEDS 3000

/* Events of a random history at most. */
#define EVENTS 10

/* When the request is made, in seconds after FIXTURE_EVENTS_MS. */
#define REQUEST_S 50

/* ---- one event of a history ---- */

/* What an event says. */
enum kind { TOLD, LABELED, UNLABELED, ERASED, NAMES_ERASED, GONE, KINDS };

/* One event; its texts hold SECRET. */
struct said {
    enum kind kind; /* … */
    int64_t at_s;   /* when */
    unsigned which; /* label, or reason of being gone */
    uint64_t id;    /* of the event */
};

static void take_snapshot(struct fold_change *change, const struct said *said)
{
    struct issue_record *snapshot = issue_record_new(1, 1);
    snapshot->repository = mem_copy_text("o/r");
    snapshot->title.data = mem_format(SECRET " %lld", (long long)said->at_s);
    snapshot->title.bytes = strlen(snapshot->title.data);
    snapshot->body.data = mem_copy_text(SECRET);
    snapshot->body.bytes = strlen(SECRET);
    snapshot->state = mem_copy_text(said->at_s % 2 == 0 ? "open" : "closed");
    snapshot->author = ISSUE_PERSON;
    snapshot->author_login = mem_copy_text(SECRET);
    if (said->at_s % 3 == 0)
        issue_record_put_label(snapshot, "l0")->listed = true;
    change->snapshot = snapshot;
}

static struct fold_change *make_change(const struct said *said)
{
    static const enum issue_gone reasons[] = {ISSUE_DELETED, ISSUE_PRIVATE, ISSUE_UNINSTALLED};
    struct fold_change *change = MEM_NEW(struct fold_change);
    change->time_ms = FIXTURE_EVENTS_MS + said->at_s * 1000;
    change->offset = (int64_t)said->id;
    change->id = said->id;
    if (said->kind == ERASED)
        change->erased_ms = change->time_ms;
    else if (said->kind == NAMES_ERASED)
        change->names_erased_ms = change->time_ms;
    else
        take_snapshot(change, said);
    if (said->kind == LABELED || said->kind == UNLABELED) {
        change->actions = mem_alloc_array(1, sizeof(change->actions[0]));
        change->action_count = 1;
        change->actions[0] = (struct fold_action){.label = mem_format("l%u", said->which % 2),
                                                  .is_added = said->kind == LABELED,
                                                  .by = ISSUE_PERSON,
                                                  .login = mem_copy_text(SECRET),
                                                  .time_ms = change->time_ms};
    }
    if (said->kind == GONE)
        change->gone = reasons[said->which % ARRAY_COUNT(reasons)];
    return change;
}

static bool tell(struct issue_record *record, const struct said *said)
{
    CLEANUP(fold_change_free) struct fold_change *change = make_change(said);
    return fold_apply(record, change);
}

/* As the record is written, "" while there is no text in memory; owned. */
static char *write_record(const struct issue_record *record)
{
    return record->title.data != NULL ? issue_record_encode(record, NULL) : mem_copy_text("");
}

static void assert_forgotten(const struct issue_record *record)
{
    CLEANUP(mem_free) char *written = write_record(record);
    size_t packed_bytes = 0;
    CLEANUP(mem_free) uint8_t *packed = packed_write(record, &packed_bytes);
    if (strstr(written, SECRET) != NULL)
        print_error("%s\n", written);
    assert_null(strstr(written, SECRET));
    assert_null(memmem(packed, packed_bytes, SECRET, strlen(SECRET)));
}

/* The record goes through memory and topic and comes back. */
static struct issue_record *through_topic(struct issue_record *record)
{
    size_t bytes = 0;
    struct issue_record *read = NULL;
    struct error error = {0};
    CLEANUP(mem_free) char *value = issue_record_encode(record, &bytes);
    int code = issue_record_decode(KEY, strlen(KEY), value, bytes, &read, &error);
    if (code != 0)
        print_error("%s: %s\n", error.text, value);
    assert_int_equal(code, 0);
    CLEANUP(mem_free) char *again = issue_record_encode(read, NULL);
    assert_string_equal(again, value);
    return read;
}

/* ---- the fold ---- */

/* Every order of a history with a request in the middle of it makes the same record. */
static void test_every_order(void **state)
{
    (void)state;
    static const struct said history[] = {
        {TOLD, 1, 0, 1},       {LABELED, 10, 0, 2}, {ERASED, REQUEST_S, 0, 3},
        {UNLABELED, 60, 0, 4}, {LABELED, 70, 1, 5}, {ERASED, 40, 0, 6},
    };
    enum { COUNT = ARRAY_COUNT(history) };
    char *first = NULL;
    size_t order[COUNT];
    size_t ways = 1;
    for (size_t i = 2; i <= COUNT; i++)
        ways *= i;
    for (size_t way = 0; way < ways; way++) {
        size_t rest = way;
        for (size_t i = 0; i < COUNT; i++)
            order[i] = i;
        for (size_t i = COUNT; i > 1; rest /= i, i--) {
            size_t other = rest % i;
            size_t swapped = order[i - 1];
            order[i - 1] = order[other];
            order[other] = swapped;
        }
        CLEANUP(issue_record_free) struct issue_record *record = issue_record_new(1, 1);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(tell(record, &history[order[i]]) || history[order[i]].kind == ERASED ||
                        history[order[i]].at_s < 70);
            assert_false(tell(record, &history[order[i]])); /* a repetition */
        }
        assert_forgotten(record);
        assert_int_equal(record->erased_ms, FIXTURE_EVENTS_MS + 40 * 1000);
        char *written = write_record(record);
        if (first != NULL)
            assert_string_equal(written, first);
        mem_free(first);
        first = written;
    }
    mem_free(first);
}

/* Labels and who put them there by kind stay; only what is later than the request names somebody. */
static void test_names(void **state)
{
    (void)state;
    static const struct said history[] = {
        {TOLD, 1, 0, 1}, {LABELED, 10, 0, 2}, {LABELED, 60, 1, 3}};
    for (size_t at = 0; at <= ARRAY_COUNT(history); at++) {
        CLEANUP(issue_record_free) struct issue_record *record = issue_record_new(1, 1);
        for (size_t i = 0; i <= ARRAY_COUNT(history); i++) {
            if (i == at)
                assert_true(tell(record, &(struct said){NAMES_ERASED, REQUEST_S, 0, 9}));
            if (i < ARRAY_COUNT(history))
                assert_true(tell(record, &history[i]));
        }
        assert_string_equal(record->body.data, SECRET); /* the text stays */
        const struct issue_label *before = issue_record_find_label(record, "l0");
        const struct issue_label *after = issue_record_find_label(record, "l1");
        assert_null(before->added.login);
        assert_int_equal(before->added.by, ISSUE_PERSON);
        assert_string_equal(after->added.login, SECRET);
        for (size_t i = 0; i < ARRAY_COUNT(history); i++)
            assert_false(tell(record, &history[i]));
        issue_record_free(through_topic(record));
    }
}

static uint64_t draw(uint64_t *chance, uint64_t bound)
{
    *chance = *chance * 6364136223846793005u + 1442695040888963407u;
    return (*chance >> 33) % bound;
}

/* One random history, told to two records in different orders, which then meet. */
static void random_history(uint64_t seed)
{
    uint64_t chance = seed * 2654435761u + 11;
    struct said history[EVENTS];
    struct issue_record *records[2] = {issue_record_new(1, 1), issue_record_new(1, 1)};
    size_t count = 2 + draw(&chance, EVENTS - 2);
    for (size_t i = 0; i < count; i++)
        history[i] = (struct said){.kind = (enum kind)draw(&chance, KINDS),
                                   .at_s = 1 + (int64_t)draw(&chance, 100),
                                   .which = (unsigned)draw(&chance, 3),
                                   .id = i + 1};
    history[0].kind = TOLD;
    history[draw(&chance, count)].kind = ERASED;
    for (size_t side = 0; side < 2; side++) {
        bool is_erased = false;
        for (size_t step = 0; step < count * 4; step++) {
            const struct said *said =
                &history[step < count * 3 ? draw(&chance, count) : step % count];
            (void)tell(records[side], said);
            is_erased = is_erased || said->kind == ERASED;
            if (is_erased)
                assert_forgotten(records[side]);
            if (records[side]->title.data != NULL && draw(&chance, 4) == 0) {
                struct issue_record *read = through_topic(records[side]);
                issue_record_free(records[side]);
                records[side] = read;
            }
        }
    }
    (void)fold_join(records[0], records[1]);
    assert_forgotten(records[0]);
    issue_record_free(records[0]);
    issue_record_free(records[1]);
}

static void test_random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        random_history(seed);
}

/* A record that a former owner wrote late, without the mark, and the other way round. */
static void test_join(void **state)
{
    (void)state;
    for (int direction = 0; direction < 2; direction++) {
        CLEANUP(issue_record_free) struct issue_record *erased = issue_record_new(1, 1);
        CLEANUP(issue_record_free) struct issue_record *late = issue_record_new(1, 1);
        (void)tell(erased, &(struct said){TOLD, 1, 0, 1});
        (void)tell(erased, &(struct said){ERASED, REQUEST_S, 0, 2});
        (void)tell(late, &(struct said){TOLD, 1, 0, 1});
        (void)tell(late, &(struct said){LABELED, 90, 0, 3});
        unsigned joined = direction == 0 ? fold_join(erased, late) : fold_join(late, erased);
        assert_int_equal(joined, FOLD_TOOK | FOLD_KEPT); /* so it is written anew */
        struct issue_record *result = direction == 0 ? erased : late;
        assert_forgotten(result);
        assert_int_equal(result->erased_ms, FIXTURE_EVENTS_MS + REQUEST_S * 1000);
        assert_int_equal(result->as_of.time_ms, FIXTURE_EVENTS_MS + 90 * 1000);
    }
}

/* A record that says that it is erased, and yet has text, is none. */
static void test_contradictions_are_refused(void **state)
{
    (void)state;
    CLEANUP(issue_record_free) struct issue_record *record = issue_record_new(1, 1);
    (void)tell(record, &(struct said){LABELED, 1, 0, 1});
    for (int row = 0; row < 3; row++) {
        size_t bytes = 0;
        struct issue_record *read = NULL;
        struct error error = {0};
        record->erased_ms = row == 0 ? 1 : 0;
        record->names_erased_ms = row == 1 ? FIXTURE_EVENTS_MS + 1000 : 0;
        CLEANUP(mem_free) char *value = issue_record_encode(record, &bytes);
        int code = issue_record_decode(KEY, strlen(KEY), value, bytes, &read, &error);
        assert_int_equal(code, row == 2 ? 0 : ERR_INPUT);
        assert_true(row == 2 || strstr(error.text, "erased") != NULL);
        issue_record_free(read);
    }
}

/* ---- the historian ---- */

static void request(struct fixture *fixture, bool names_only, int64_t at_s)
{
    const struct history_erasure erasure = {.names_only = names_only,
                                            .repository_id = 1,
                                            .repository = "o/r",
                                            .owner_id = 9,
                                            .number = 1,
                                            .state = "open"};
    char id[HISTORY_ID_BYTES];
    char subject[HISTORY_ID_BYTES];
    int64_t time_ms = FIXTURE_EVENTS_MS + at_s * 1000;
    CLEANUP(mem_free) char *value = history_erasure_write(&erasure, NULL);
    struct event event = history_erasure_envelope(&erasure, "nodag erase", time_ms, id, subject);
    assert_true(text_equals(event.type, HISTORY_ERASED_TYPE));
    fixture_append(fixture, HISTORY_ERASED_TYPE, id, time_ms, "o/r", KEY, value);
}

static void tell_hook(struct fixture *fixture, const char *action, int64_t at_s)
{
    fixture_hook(fixture, &(struct hook){.action = action,
                                         .at_s = at_s,
                                         .title = SECRET,
                                         .body = SECRET " body",
                                         .labels = "bug",
                                         .label = "bug",
                                         .sender = SECRET});
}

static void assert_erased(const struct fixture *fixture, const char *key)
{
    struct issue_record *record = fixture_record(fixture, key);
    assert_non_null(record);
    assert_true(record->erased_ms > 0);
    assert_forgotten(record);
    assert_string_equal(record->title.data, "");
    issue_record_free(record);
}

/* The next webhook carries the whole text again; so does a late one, and an import. */
static void test_next_webhook(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    tell_hook(fixture, "opened", 1);
    fixture_settle(fixture);
    assert_title(fixture, KEY, SECRET);
    request(fixture, false, REQUEST_S);
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
    tell_hook(fixture, "labeled", REQUEST_S + 10);
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
    assert_labels(fixture, KEY, "+bug:person:?");
    tell_hook(fixture, "edited", REQUEST_S - 10);
    tell_hook(fixture, "edited", REQUEST_S + 100);
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
    int64_t count = fixture_record_count(fixture);
    request(fixture, false, REQUEST_S + 500); /* asked again: nothing is to be done */
    fixture_settle(fixture);
    assert_int_equal(fixture_record_count(fixture), count);
}

/* All of it is held at once, also where the request comes first and nothing was heard of the issue. */
static void test_held_together(void **state)
{
    struct fixture *fixture = *state;
    request(fixture, false, REQUEST_S);
    tell_hook(fixture, "opened", 1);
    fixture_start(fixture, 0);
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
    struct issue_record *record = fixture_record(fixture, KEY);
    assert_int_equal(record->updated_ms,
                     FIXTURE_EVENTS_MS + 1000); /* the webhook's, not the stub's */
    issue_record_free(record);
}

/* A request has no text of its own: that of the webhooks that wait with it is not given up for it. */
static void test_names_held_together(void **state)
{
    struct fixture *fixture = *state;
    tell_hook(fixture, "labeled", 1);
    request(fixture, true, REQUEST_S);
    fixture_start(fixture, 0);
    fixture_settle(fixture);
    assert_title(fixture, KEY, SECRET);
    assert_labels(fixture, KEY, "+bug:person:?");
}

static void test_nothing_heard_before(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    request(fixture, false, REQUEST_S);
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
    fixture_drain(fixture, 0);
    fixture_start(fixture, 0);
    tell_hook(fixture, "opened", 1);
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
}

static void test_names_of_a_record(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    tell_hook(fixture, "labeled", 1);
    fixture_settle(fixture);
    assert_labels(fixture, KEY, "+bug:person:" SECRET);
    request(fixture, true, REQUEST_S);
    fixture_settle(fixture);
    assert_labels(fixture, KEY, "+bug:person:?");
    assert_title(fixture, KEY, SECRET);
    fixture_drain(fixture, 0);
    fixture_start(fixture, 0);
    tell_hook(fixture, "labeled", 1); /* redelivered */
    fixture_settle(fixture);
    assert_labels(fixture, KEY, "+bug:person:?");
}

/* A group that begins at offset 0 folds all again, over the marks that stand on the topic. */
static void test_from_offset_zero(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    tell_hook(fixture, "opened", 1);
    tell_hook(fixture, "labeled", 10);
    request(fixture, false, REQUEST_S);
    fixture_settle(fixture);
    fixture_kill(fixture, 0);
    int32_t partition = subject_key_partition(KEY, strlen(KEY), FIXTURE_PARTITIONS);
    int64_t end = bus_memory_end(fixture->cluster, TOPIC_GITHUB_EVENTS, partition);
    for (int64_t offset = 0; offset < end; offset++) { /* what a new group would read */
        const struct bus_record *record =
            bus_memory_record(fixture->cluster, TOPIC_GITHUB_EVENTS, partition, offset);
        const struct bus_message again = {.topic = TOPIC_GITHUB_EVENTS,
                                          .partition = partition,
                                          .key = record->key,
                                          .key_bytes = record->key_bytes,
                                          .value = record->value,
                                          .value_bytes = record->value_bytes,
                                          .headers = record->headers,
                                          .header_count = record->header_count};
        (void)bus_memory_append(fixture->cluster, &again);
        fixture_start(fixture, 0);
        fixture_settle(fixture);
        assert_erased(fixture, KEY);
        fixture_kill(fixture, 0);
    }
}

/* Whoever goes and may come back keeps the mark, and nothing else. */
static void test_gone_and_back(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture, 0);
    tell_hook(fixture, "labeled", 1);
    request(fixture, false, REQUEST_S);
    fixture_settle(fixture);
    fixture_hook(fixture, &(struct hook){.event = "repository", .action = "deleted"});
    fixture_settle(fixture);
    struct issue_record *record = fixture_record(fixture, KEY);
    assert_non_null(record);
    assert_string_equal(record->repository, FOLD_STUB_REPOSITORY);
    assert_int_equal(record->label_count, 0);
    assert_false(issue_record_is_live(record));
    issue_record_free(record);
    fixture_drain(fixture, 0);
    fixture_start(fixture, 0);
    int64_t count = fixture_record_count(fixture);
    fixture_settle(fixture);
    assert_int_equal(fixture_record_count(fixture), count);
    int64_t later_s = (FIXTURE_WALL_MS - FIXTURE_EVENTS_MS) / 1000 + 3600;
    tell_hook(fixture, "edited", later_s); /* it is there again */
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
    fixture_hook(fixture, &(struct hook){.action = "edited",
                                         .at_s = later_s + 10,
                                         .title = SECRET,
                                         .is_private = true});
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
    record = fixture_record(fixture, KEY);
    assert_string_equal(record->repository, FOLD_STUB_REPOSITORY);
    issue_record_free(record);
    tell_hook(fixture, "edited", later_s + 20);
    fixture_settle(fixture);
    assert_erased(fixture, KEY);
}

/* The mark goes along, before anything else is told at the new place. */
static void test_transfer(void **state)
{
    struct fixture *fixture = *state;
    static const char moved[] =
        ",\"changes\":{\"new_issue\":{\"number\":5,\"title\":\"" SECRET "\",\"body\":\"" SECRET
        "\","
        "\"state\":\"open\",\"created_at\":\"2023-07-22T04:26:40Z\",\"updated_at\":"
        "\"2023-07-22T05:00:00Z\",\"labels\":[{\"name\":\"bug\"}],\"user\":{\"login\":\"" SECRET
        "\",\"type\":\"User\"}},\"new_repository\":{\"id\":2,\"full_name\":\"o/"
        "s\",\"private\":false,"
        "\"owner\":{\"id\":9}}}";
    fixture_start(fixture, 0);
    tell_hook(fixture, "labeled", 1);
    request(fixture, false, REQUEST_S);
    fixture_settle(fixture);
    fixture_hook(fixture, &(struct hook){.action = "transferred",
                                         .at_s = REQUEST_S + 5,
                                         .title = SECRET,
                                         .more = moved});
    fixture_settle(fixture);
    assert_gone(fixture, KEY, "transferred");
    assert_erased(fixture, "2#5");
    /* The destination's own webhook. */
    fixture_hook(fixture, &(struct hook){.action = "opened",
                                         .at_s = REQUEST_S + 6,
                                         .repository_id = 2,
                                         .repository = "o/s",
                                         .number = 5,
                                         .title = SECRET,
                                         .body = SECRET});
    fixture_settle(fixture);
    assert_erased(fixture, "2#5");
    /* Nothing that the historian told of it has any text. */
    int64_t told = 0;
    for (int32_t p = 0; p < FIXTURE_PARTITIONS; p++) {
        for (int64_t o = 0; o < bus_memory_end(fixture->cluster, TOPIC_GITHUB_EVENTS, p); o++) {
            const struct bus_record *record =
                bus_memory_record(fixture->cluster, TOPIC_GITHUB_EVENTS, p, o);
            struct event event;
            assert_int_equal(envelope_decode(record->headers, record->header_count, &event, NULL),
                             0);
            if (!text_equals(event.source, "historian"))
                continue;
            assert_null(memmem(record->value, record->value_bytes, SECRET, strlen(SECRET)));
            told++;
        }
    }
    assert_int_equal(told, 2);
}

/* ---- the event ---- */

static void test_event_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *error;
    } rows[] = {
        {"{\"what\":\"text\",\"repository\":{\"id\":1,\"name\":\"o/r\",\"owner_id\":0,"
         "\"private\":true},\"number\":7,\"state\":\"open\"}",
         NULL},
        {"[]", "object"},
        {"{\"what\":\"all\"}", "what is neither"},
        {"{\"what\":\"text\",\"repository\":{\"id\":0,\"name\":\"o/r\",\"owner_id\":0,"
         "\"private\":true},\"number\":7,\"state\":\"open\"}",
         "not above 0"},
        {"{\"what\":\"names\",\"repository\":{\"id\":1,\"name\":\"\",\"owner_id\":0,"
         "\"private\":true},\"number\":7,\"state\":\"open\"}",
         "name is empty"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct history_erasure erasure = {.memory = NULL};
        struct error error = {0};
        int code = history_erasure_read(rows[i].value, strlen(rows[i].value), &erasure, &error);
        assert_int_equal(code, rows[i].error == NULL ? 0 : ERR_INPUT);
        if (rows[i].error != NULL) {
            assert_non_null(strstr(error.text, rows[i].error));
            continue;
        }
        size_t bytes = 0;
        CLEANUP(mem_free) char *again = history_erasure_write(&erasure, &bytes);
        CLEANUP(history_erasure_release) struct history_erasure twin = {.memory = NULL};
        assert_int_equal(history_erasure_read(again, bytes, &twin, &error), 0);
        assert_string_equal(twin.repository, "o/r");
        assert_true(twin.is_private && !twin.names_only && twin.number == 7);
        history_erasure_release(&erasure);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_contradictions_are_refused),
        cmocka_unit_test(test_event_is_read),
        TEST(test_next_webhook),
        TEST(test_held_together),
        TEST(test_names_held_together),
        TEST(test_nothing_heard_before),
        TEST(test_names_of_a_record),
        TEST(test_from_offset_zero),
        TEST(test_gone_and_back),
        TEST(test_transfer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
