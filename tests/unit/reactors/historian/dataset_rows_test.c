/*
 * The data set: whose labels count, what is left out and why, weights, names after a rename, both formats, and that the order of
 * records makes no difference.
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
#include "reactors/historian/dataset_rows.h"
#include "topics/holdback.h"

/* The number of an issue whose text was erased. */
#define ERASED 7007

/* When the newest record is of, and a day. */
#define NOW_MS 1700000000000LL
/* See above. */
#define DAY_MS (24LL * 3600 * 1000)

/* A label of a test's record: "+person bug" and so on. */
struct label {
    const char *name;    /* NULL: no more */
    enum issue_actor by; /* who did it */
    bool is_there;       /* put there; else taken away */
};

/* A test's record. */
struct row {
    int64_t repository_id;  /* of the issue */
    const char *repository; /* its name then */
    int64_t number;         /* of the issue */
    int64_t as_of_ms;       /* before NOW_MS */
    int64_t age_ms;         /* of the issue */
    struct label labels[4]; /* those that it has and had */
};

static struct issue_record *make_record(const struct row *row)
{
    struct issue_record *record = issue_record_new(row->repository_id, row->number);
    record->as_of.time_ms = NOW_MS - row->as_of_ms;
    record->repository = mem_copy_text(row->repository);
    record->title = (struct issue_text){.data = mem_copy_text("a \"title\",\nyes"), .bytes = 14};
    record->state = mem_copy_text("open");
    record->created_ms = NOW_MS - row->age_ms;
    record->erased_ms = row->number == ERASED ? NOW_MS : 0;
    for (size_t i = 0; i < ARRAY_COUNT(row->labels) && row->labels[i].name != NULL; i++) {
        const struct label *from = &row->labels[i];
        struct issue_label *label = issue_record_put_label(record, from->name);
        label->listed = from->is_there;
        struct issue_action *action = from->is_there ? &label->added : &label->removed;
        action->by = from->by;
        action->stamp.time_ms = from->by == ISSUE_UNKNOWN ? -1 : 1;
    }
    return record;
}

static const char model_text[] = "{\"apiVersion\":\"nodag.dev/"
                                 "v1\",\"kind\":\"Model\",\"metadata\":{\"name\":\"m\"},\"spec\":{"
                                 "\"data\":{\"repositories\":[\"o/*\"],"
                                 "\"maxAge\":\"10d\"},\"labels\":{\"include\":[\"kind/*\",\"area/"
                                 "*\"],\"minExamples\":2},\"train\":{\"notebook\":\"n\"}}}";

static const char labeler_value[] =
    "{\"first_published\":\"2023-01-01T00:00:00Z\",\"invalid\":null,\"valid\":{\"repository\":"
    "\"u\",\"branch\":\"main\",\"path\":\"p\","
    "\"commit\":\"c\",\"line\":1,\"document\":{\"apiVersion\":\"nodag.dev/"
    "v1\",\"kind\":\"Labeler\",\"metadata\":{\"name\":\"l\"},"
    "\"spec\":{\"repositories\":[\"o/"
    "held\"],\"labels\":{\"include\":[\"*\"]},\"models\":[{\"file\":\"f\"}],\"since\":\"2026-01-"
    "01\","
    "\"audit\":{\"holdback\":0.5}}}}}";

/* What was written. */
struct written {
    struct buffer text;
};

static bool take(void *argument, const char *bytes, size_t byte_count)
{
    struct written *written = argument;
    assert_int_equal(buffer_append(&written->text, bytes, byte_count), 0);
    return true;
}

/* Makes the data set of these records, from the last to the first if `backwards`; owned text. */
static char *dataset_of(const struct row *rows, size_t count, bool count_unknown, bool backwards,
                        enum dataset_format format, struct dataset_counts *ret_counts)
{
    json_t *model = NULL;
    char key[SUBJECT_KEY_BYTES];
    struct written written = {.text = BUFFER_INIT(1 << 20)};
    struct spec_store *specs = spec_store_new();
    const struct bus_record labeler = {.topic = TOPIC_SPECS,
                                       .key = "Labeler/l",
                                       .key_bytes = 9,
                                       .value = labeler_value,
                                       .value_bytes = sizeof(labeler_value) - 1};
    assert_true(spec_store_apply(specs, &labeler, key));
    assert_int_equal(json_read(model_text, sizeof(model_text) - 1, &model, NULL), 0);
    struct dataset_rows *dataset = dataset_rows_new(model, specs, count_unknown);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count; i++) {
            struct issue_record *record = make_record(&rows[backwards ? count - 1 - i : i]);
            if (pass == 0)
                dataset_rows_note(dataset, record);
            if (pass == 0)
                issue_record_free(record);
            else
                dataset_rows_add(dataset, record);
        }
    }
    dataset_rows_write(dataset, format, take, &written, ret_counts);
    dataset_rows_free(dataset);
    spec_store_free(specs);
    json_decref(model);
    return written.text.data != NULL ? buffer_take(&written.text) : mem_copy_text("");
}

#define PERSON(label)                                                                              \
    {                                                                                              \
        label, ISSUE_PERSON, true                                                                  \
    }
#define AWAY(label, who)                                                                           \
    {                                                                                              \
        label, who, false                                                                          \
    }

static const struct row rows[] = {
    {1, "o/r", 1, 0, DAY_MS, {PERSON("kind/bug"), PERSON("area/x"), PERSON("other")}},
    {1, "o/r", 2, 0, DAY_MS, {PERSON("kind/bug"), {"area/x", ISSUE_THIS_BOT, true}}},
    {1, "o/r", 3, 0, DAY_MS, {AWAY("kind/bug", ISSUE_PERSON), AWAY("area/x", ISSUE_THIS_BOT)}},
    {1, "o/r", 4, 0, DAY_MS, {{"kind/bug", ISSUE_UNKNOWN, true}}},
    {1, "o/r", 5, 0, 11 * DAY_MS, {PERSON("kind/bug")}},   /* too old */
    {2, "p/old", 1, DAY_MS, DAY_MS, {PERSON("kind/bug")}}, /* renamed since: see the next */
    {2, "o/new", 2, 0, DAY_MS, {PERSON("kind/bug"), PERSON("area/x")}},
    {3, "p/q", 1, 0, DAY_MS, {PERSON("kind/bug")}}, /* not the Model's */
    {1, "o/r", 6, 0, DAY_MS, {PERSON("kind/rare"), PERSON("kind/a;b")}},
    {1, "o/r", ERASED, 0, DAY_MS, {PERSON("kind/bug"), PERSON("kind/rare")}},
};

static void test_whose_labels_count(void **state)
{
    (void)state;
    struct dataset_counts counts;
    char *text = dataset_of(rows, ARRAY_COUNT(rows), false, false, DATASET_JSON, &counts);
    static const char *const expected[] = {
        "\"label\":[\"area/x\",\"kind/bug\"],\"number\":1,\"removed\":[],\"repo\":\"o/r\"",
        "\"by_bots\":[\"area/x\"],",
        "\"label\":[\"kind/bug\"],\"number\":2,\"removed\":[],\"repo\":\"o/r\"",
        "\"label\":[],\"number\":3,\"removed\":[\"kind/bug\"],\"repo\":\"o/r\"",
        "\"label\":[\"kind/bug\"],\"number\":1,\"removed\":[],\"repo\":\"o/new\"",
        "\"label\":[\"area/x\",\"kind/bug\"],\"number\":2,\"removed\":[],\"repo\":\"o/new\"",
    };
    const char *at = text;
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        at = strstr(at, expected[i]);
        if (at == NULL)
            fail_msg("%s is not in, or not in this order in\n%s", expected[i], text);
    }
    assert_int_equal(counts.rows, 5);
    assert_int_equal(counts.labels, 2);
    assert_int_equal(counts.examples, 6);
    assert_int_equal(counts.removed, 1);
    assert_int_equal(counts.by_bots, 1);
    assert_int_equal(counts.unknown, 1);
    assert_int_equal(counts.rare, 1);
    assert_int_equal(counts.unwritable, 1);
    assert_int_equal(counts.too_old, 1);
    assert_int_equal(counts.erased, 1);
    mem_free(text);
    text = dataset_of(rows, ARRAY_COUNT(rows), true, false, DATASET_JSON, &counts);
    assert_non_null(strstr(text, "\"number\":4"));
    mem_free(text);
}

static void test_order_makes_no_difference(void **state)
{
    (void)state;
    struct dataset_counts counts;
    for (enum dataset_format format = DATASET_JSON; format <= DATASET_CSV; format++) {
        char *forwards = dataset_of(rows, ARRAY_COUNT(rows), false, false, format, &counts);
        char *backwards = dataset_of(rows, ARRAY_COUNT(rows), false, true, format, &counts);
        assert_string_equal(forwards, backwards);
        mem_free(forwards);
        mem_free(backwards);
    }
}

static void test_csv_is_quoted(void **state)
{
    (void)state;
    struct dataset_counts counts;
    char *text = dataset_of(rows, 2, false, false, DATASET_CSV, &counts);
    assert_string_equal(
        text, "repo,created_at,label,title,body,weight,number,removed,by_bots,unknown,held_back\n"
              "\"o/r\",2023-11-13T22:13:20Z,\"kind/bug\",\"a "
              "\"\"title\"\",\nyes\",\"\",1,1,\"\",\"\",\"\",false\n"
              "\"o/r\",2023-11-13T22:13:20Z,\"kind/bug\",\"a "
              "\"\"title\"\",\nyes\",\"\",1,2,\"\",\"\",\"\",false\n");
    mem_free(text);
}

static void test_held_back_issues_weigh_more(void **state)
{
    (void)state;
    struct dataset_counts counts;
    struct row held[40];
    size_t expected = 0;
    for (int64_t i = 0; i < 40; i++) {
        char key[SUBJECT_KEY_BYTES];
        held[i] = (struct row){7, "o/held", i + 1, 0, DAY_MS, {PERSON("kind/bug")}};
        subject_key_issue(7, i + 1, key);
        expected += holdback_includes(key, 0.5);
    }
    char *text = dataset_of(held, 40, false, false, DATASET_JSON, &counts);
    assert_int_equal(counts.rows, 40);
    assert_int_equal(counts.held_back, expected);
    assert_true(expected > 8 && expected < 32);
    size_t weighted = 0;
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        CLEANUP(json_release) json_t *row = NULL;
        assert_int_equal(json_read(line, strcspn(line, "\n"), &row, NULL), 0);
        bool is_held = json_is_true(json_object_get(row, "held_back"));
        assert_int_equal(json_int_or(row, "weight", 0), is_held ? 2 : 1);
        weighted += is_held;
    }
    assert_int_equal(weighted, expected);
    mem_free(text);
}

/* A tombstone takes an issue away; a newer record takes the place of an older one. */
static void test_newest_record_counts(void **state)
{
    (void)state;
    static const struct row twice[] = {
        {1, "o/r", 1, DAY_MS, DAY_MS, {PERSON("kind/bug")}},
        {1, "o/r", 2, 0, DAY_MS, {PERSON("kind/bug")}},
        {1, "o/r", 1, 0, DAY_MS, {AWAY("kind/bug", ISSUE_PERSON)}},
        {1, "o/r", 3, 0, DAY_MS, {PERSON("kind/bug")}},
    };
    struct dataset_counts counts;
    char *text = dataset_of(twice, ARRAY_COUNT(twice), false, false, DATASET_JSON, &counts);
    assert_int_equal(counts.examples, 2);
    assert_int_equal(counts.removed, 1);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_labels_count),
        cmocka_unit_test(test_order_makes_no_difference),
        cmocka_unit_test(test_csv_is_quoted),
        cmocka_unit_test(test_held_back_issues_weigh_more),
        cmocka_unit_test(test_newest_record_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
