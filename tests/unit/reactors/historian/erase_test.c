/*
 * The pure parts of `nodag erase`: whose text it is, which rows of a data set are of it, data sets without these, and what records
 * become.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/historian/erase_found.h"
#include "reactors/historian/erase_records.h"
#include "reactors/historian/erase_rows.h"
#include "reactors/historian/erase_target.h"
#include "topics/record_erased.h"

/* Seconds since 1970 of 2026-01-01T00:00:00Z. */
#define DAY_S 1767225600LL

/* ---- targets ---- */

static void test_targets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *login;      /* NULL: none */
        const char *repository; /* of the target */
        int64_t id;             /* 0: none */
        int64_t number;         /* 0: all */
        bool is_refused;
    } rows[] = {
        {"ann", "ann", "", 0, 0, false},
        {"@123", "123", "", 0, 0, false},
        {"ci[bot]", "ci[bot]", "", 0, 0, false},
        {"o/r", NULL, "o/r", 0, 0, false},
        {"o/r.js#7", NULL, "o/r.js", 0, 7, false},
        {"123", NULL, "", 123, 0, false},
        {"123#4", NULL, "", 123, 4, false},
        {"", NULL, "", 0, 0, true},
        {"@", NULL, "", 0, 0, true},
        {"a b", NULL, "", 0, 0, true},
        {"o/", NULL, "", 0, 0, true},
        {"/r", NULL, "", 0, 0, true},
        {"o/r/s", NULL, "", 0, 0, true},
        {"o/r#", NULL, "", 0, 0, true},
        {"o/r#0", NULL, "", 0, 0, true},
        {"o/r#x", NULL, "", 0, 0, true},
        {"ann#1", NULL, "", 0, 0, true},
        {"https://github.com/o/r", NULL, "", 0, 0, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct erase_target target = {.login = NULL};
        struct error error = {0};
        int code = erase_target_read(rows[i].text, &target, &error);
        if (code != (rows[i].is_refused ? ERR_USAGE : 0))
            fail_msg("%s: %d %s", rows[i].text, code, error.text);
        if (code != 0)
            continue;
        assert_int_equal(target.login == NULL, rows[i].login == NULL);
        if (target.login != NULL)
            assert_string_equal(target.login, rows[i].login);
        assert_string_equal(target.repository, rows[i].repository);
        assert_int_equal(target.id_count, rows[i].id != 0);
        assert_int_equal(target.ids[0], rows[i].id);
        assert_int_equal(target.number, rows[i].number);
    }
}

static struct issue_record *make_record(int64_t id, const char *name, int64_t number,
                                        const char *author, const char *labeler)
{
    struct issue_record *record = issue_record_new(id, number);
    record->repository = mem_copy_text(name);
    record->author_login = mem_copy_text(author);
    record->state = mem_copy_text("open");
    record->created_ms = (DAY_S + number) * 1000;
    record->as_of.time_ms = record->created_ms;
    if (labeler != NULL) {
        struct issue_label *label = issue_record_put_label(record, "bug");
        label->removed.login = mem_copy_text(labeler);
        label->removed.stamp.time_ms = 1;
    }
    return record;
}

static void test_wants(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *author;
        const char *labeler;
        int64_t erased_ms;
        enum erase_what what;
    } rows[] = {
        {"ann", "Ann", NULL, 0, ERASE_TEXT},
        {"ann", "bo", "ANN", 0, ERASE_NAMES},
        {"ann", "ann", "ann", 0, ERASE_TEXT},
        {"ann", "bo", "bo", 0, ERASE_NOTHING},
        {"ann", NULL, NULL, 0, ERASE_NOTHING},
        {"ann", "ann", NULL, 9, ERASE_NOTHING},
        {"7", "bo", "bo", 0, ERASE_TEXT},
        {"8", "bo", "bo", 0, ERASE_NOTHING},
        {"7#3", "bo", "bo", 0, ERASE_TEXT},
        {"7#4", "bo", "bo", 0, ERASE_NOTHING},
        {"@annabel", "ann", NULL, 0, ERASE_NOTHING},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct erase_target target;
        struct error error = {0};
        assert_int_equal(erase_target_read(rows[i].target, &target, &error), 0);
        struct issue_record *record = make_record(7, "o/r", 3, rows[i].author, rows[i].labeler);
        record->erased_ms = rows[i].erased_ms;
        if (erase_target_wants(&target, record) != rows[i].what)
            fail_msg("row %zu", i);
        bool has_labeled = rows[i].what == ERASE_NAMES || i == 2;
        assert_int_equal(erase_target_newest(&target, record), has_labeled ? 1 : 0);
        issue_record_free(record);
    }
}

/* ---- issues ---- */

static void apply(struct erase_found *found, int64_t id, const char *name, int64_t number,
                  const char *author, int64_t erased_ms)
{
    struct issue_record *record = make_record(id, name, number, author, NULL);
    record->erased_ms = erased_ms;
    erase_found_note(found, record);
    erase_found_apply(found, record);
    issue_record_free(record);
}

static bool always(void *argument, const struct erase_issue *issue)
{
    size_t *asked = argument;
    (void)issue;
    (*asked)++;
    return true;
}

static void assert_counts(const struct erase_found *found, size_t text, size_t erased, size_t open)
{
    struct erase_counts counts = erase_found_count(found);
    assert_int_equal(counts.text, text);
    assert_int_equal(counts.erased, erased);
    assert_int_equal(counts.open, open);
}

static void test_open_until_done(void **state)
{
    (void)state;
    struct erase_target target;
    size_t asked = 0;
    assert_int_equal(erase_target_read("ann", &target, NULL), 0);
    CLEANUP(erase_found_free) struct erase_found *found = erase_found_new(&target);
    apply(found, 1, "o/r", 1, "ann", 0);
    apply(found, 1, "o/r", 2, "ann", 0);
    apply(found, 1, "o/r", 3, "bo", 0);
    apply(found, 1, "o/r", 4, "zed", 5); /* somebody else's request */
    assert_counts(found, 2, 1, 0);
    erase_found_ask(found, always, &asked);
    erase_found_ask(found, always, &asked);
    assert_int_equal(asked, 2);
    apply(found, 1, "o/r", 1, "ann", 0); /* a record from before it was folded */
    assert_counts(found, 2, 1, 2);
    apply(found, 1, "o/r", 1, NULL, 9);
    assert_counts(found, 1, 2, 1);
    erase_found_remove(found, 1, 2); /* a tombstone */
    assert_counts(found, 0, 2, 0);
}

static void test_rows_of_issues(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *repository;
        int64_t number;
        int64_t created_s; /* -1: not said */
        bool is_wanted;
    } rows[] = {
        {"ann", "o/new", 1, DAY_S + 1, true},
        {"ann", "O/Old", 1, DAY_S + 1, true},       /* an old name that a record has */
        {"ann", "o/forgotten", 1, DAY_S + 1, true}, /* number and second say it */
        {"ann", "o/forgotten", 1, DAY_S + 2, false},
        {"ann", "o/new", 1, DAY_S + 9, false}, /* the name was another repository's then */
        {"ann", "o/new", 1, -1, true},
        {"ann", "o/forgotten", 1, -1, false},
        {"ann", NULL, 1, DAY_S + 1, true},
        {"ann", "o/new", 0, DAY_S + 1, true}, /* CSV without numbers */
        {"ann", "o/forgotten", 0, DAY_S + 1, false},
        {"ann", "o/new", 2, DAY_S + 2, false},  /* bo's */
        {"ann", "o/other", 5, DAY_S + 5, true}, /* erased before, whoever asked */
        {"ann", NULL, 0, -1, false},
        {"o/new", "o/new", 77, -1, true}, /* of the repository, gone from issues */
        {"o/new", "o/old", 77, -1, true},
        {"o/new", "o/other", 77, -1, false},
        {"o/old", "o/old", 77, -1, true}, /* nothing has this name now: rows do */
        {"o/old", "o/new", 2, -1, false},
        {"o/new#2", "o/new", 2, DAY_S + 2, true},
        {"o/new#2", "o/new", 1, DAY_S + 1, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct erase_target target;
        assert_int_equal(erase_target_read(rows[i].target, &target, NULL), 0);
        CLEANUP(erase_found_free) struct erase_found *found = erase_found_new(&target);
        for (int pass = 0; pass < 2; pass++) {
            apply(found, 7, "o/old", 1, "ann", 0);
            apply(found, 7, "o/new", 2, "bo", 0);
            apply(found, 8, "o/other", 5, "zed", 1);
            if (pass == 0)
                erase_found_resolve(found, &target);
        }
        int64_t created_ms = rows[i].created_s < 0 ? -1 : rows[i].created_s * 1000;
        if (erase_found_has_row(found, rows[i].repository, rows[i].number, created_ms) !=
            rows[i].is_wanted)
            fail_msg("row %zu", i);
    }
}

/* Rows are told again when an issue came or went. */
static void test_rows_follow_issues(void **state)
{
    (void)state;
    struct erase_target target;
    assert_int_equal(erase_target_read("ann", &target, NULL), 0);
    CLEANUP(erase_found_free) struct erase_found *found = erase_found_new(&target);
    for (int64_t number = 1; number <= 500; number++) {
        uint64_t version = erase_found_version(found);
        assert_false(erase_found_has_row(found, "o/r", number, -1));
        apply(found, 1, "o/r", number, "ann", 0);
        assert_true(erase_found_version(found) > version);
        assert_true(erase_found_has_row(found, "o/r", number, (DAY_S + number) * 1000));
        if (number % 3 == 0) {
            erase_found_remove(found, 1, number);
            assert_false(erase_found_has_row(found, "o/r", number, (DAY_S + number) * 1000));
        }
    }
}

/* ---- rows ---- */

/* What a filter did. */
struct filtered {
    struct buffer out;
    size_t asked; /* rows */
};

/* Rows of o/r with an odd number, and rows of s/t made on 2026-01-02, are to go. */
static bool is_wanted(void *argument, const char *repository, int64_t number, int64_t created_ms)
{
    struct filtered *filtered = argument;
    filtered->asked++;
    return (repository != NULL && strcmp(repository, "o/r") == 0 && number % 2 == 1) ||
           (repository != NULL && strcmp(repository, "s/\"t\"") == 0 &&
            created_ms == (DAY_S + 86400) * 1000);
}

static int take(void *argument, const char *bytes, size_t byte_count, struct error *error)
{
    struct filtered *filtered = argument;
    (void)error;
    assert_int_equal(buffer_append(&filtered->out, bytes, byte_count), 0);
    return 0;
}

static const struct erase_rows_handler filter = {.is_wanted = is_wanted, .write = take};

static const struct {
    const char *in;
    const char *out;
    struct erase_rows_counts counts;
} files[] = {
    {"", "", {0, 0, 0}},
    {"\n\n", "\n\n", {0, 0, 0}},
    {"{\"repo\":\"o/r\",\"number\":1}\n{\"repo\":\"o/r\",\"number\":2}\n",
     "{\"repo\":\"o/r\",\"number\":2}\n",
     {1, 1, 0}},
    {"\n {\"number\":2,\"repo\":\"o/r\"}\n\n{\"repo\":\"o/r\",\"number\":3}",
     "\n {\"number\":2,\"repo\":\"o/r\"}\n\n",
     {1, 1, 0}},
    {"{\"repo\":\"o/r\",\"number\":\"5\"}\n{\"title\":\"x\"}\n{broken\n[]\n{\"repo\":\"o/r\"}\n",
     "{\"title\":\"x\"}\n{broken\n[]\n{\"repo\":\"o/r\"}\n",
     {4, 1, 3}},
    {"repo,created_at,label,title,body,number\no/r,x,,\"a\nb\",c,1\n\"o/r\",x,,\"a\"\"\n,b\",c,2\n",
     "repo,created_at,label,title,body,number\n\"o/r\",x,,\"a\"\"\n,b\",c,2\n",
     {1, 1, 0}},
    {"number,\"repo\"\r\n7,\"o/r\"\r\n8,o/r\r\n9,o/r", "number,\"repo\"\r\n8,o/r\r\n", {1, 2, 0}},
    {"repo,created_at\n\"s/\"\"t\"\"\",2026-01-02T00:00:00\n\"s/\"\"t\"\"\",2026-01-03\n",
     "repo,created_at\n\"s/\"\"t\"\"\",2026-01-03\n",
     {1, 1, 0}},
    {"title,body\na,b\n", "title,body\na,b\n", {1, 0, 1}},
    {"repo,number\no/r,1,\"", "repo,number\n", {0, 1, 0}},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        size_t bytes = strlen(files[i].in);
        for (size_t piece = 1; piece <= bytes + 1; piece++) { /* any pieces, the same result */
            struct filtered filtered = {.out = BUFFER_INIT(1 << 20)};
            struct erase_rows_counts counts;
            CLEANUP(erase_rows_free) struct erase_rows *rows = erase_rows_new(&filter, &filtered);
            for (size_t from = 0; from < bytes; from += piece) {
                size_t part = bytes - from < piece ? bytes - from : piece;
                assert_int_equal(erase_rows_feed(rows, files[i].in + from, part, NULL), 0);
            }
            assert_int_equal(erase_rows_end(rows, &counts, NULL), 0);
            CLEANUP(mem_free)
            char *out = filtered.out.data != NULL ? buffer_take(&filtered.out) : mem_copy_text("");
            assert_string_equal(out, files[i].out);
            if (counts.kept != files[i].counts.kept || counts.erased != files[i].counts.erased ||
                counts.untold != files[i].counts.untold)
                fail_msg("file %zu: kept %zu, erased %zu, untold %zu", i, counts.kept,
                         counts.erased, counts.untold);
            /* Once more: there is nothing to be left out. */
            struct filtered again = {.out = BUFFER_INIT(1 << 20)};
            CLEANUP(erase_rows_free) struct erase_rows *second = erase_rows_new(&filter, &again);
            assert_int_equal(erase_rows_feed(second, out, strlen(out), NULL), 0);
            assert_int_equal(erase_rows_end(second, &counts, NULL), 0);
            assert_int_equal(counts.erased, 0);
            assert_int_equal(again.out.size_bytes, strlen(out));
            buffer_release(&again.out);
        }
    }
}

static void test_row_too_long(void **state)
{
    (void)state;
    struct filtered filtered = {.out = BUFFER_INIT(1 << 20)};
    struct error error = {0};
    size_t bytes = (size_t)1 << 20;
    CLEANUP(mem_free) char *piece = mem_alloc(bytes);
    CLEANUP(erase_rows_free) struct erase_rows *rows = erase_rows_new(&filter, &filtered);
    memset(piece, 'x', bytes);
    int code = 0;
    for (size_t fed = 0; fed <= ERASE_ROW_MAX_BYTES && code == 0; fed += bytes)
        code = erase_rows_feed(rows, piece, bytes, &error);
    assert_int_equal(code, ERR_TOO_LARGE);
    assert_non_null(strstr(error.text, "row 1 is longer"));
    buffer_release(&filtered.out);
}

/* ---- records ---- */

#define SHA(digit) digit digit digit digit digit digit digit digit
#define A SHA("aaaaaaaa")
#define B SHA("bbbbbbbb")
#define C SHA("cccccccc")
#define D SHA("dddddddd")
#define ARTEFACT(sha) "{\"uri\":\"file:///s/" sha "\",\"sha256\":\"" sha "\",\"size_bytes\":1}"

static void put(struct erase_records *records, enum topic topic, const char *key, const char *value,
                int64_t offset)
{
    const struct bus_record record = {.topic = topic,
                                      .key = key,
                                      .key_bytes = strlen(key),
                                      .value = value,
                                      .value_bytes = value != NULL ? strlen(value) : 0,
                                      .offset = offset};
    erase_records_apply(records, &record);
}

static struct erase_record find(const struct erase_records *records, const char *key)
{
    size_t count = 0;
    struct erase_record found = {.key = NULL};
    CLEANUP(mem_free) struct erase_record *list = erase_records_list(records, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].key, key) == 0)
            found = list[i];
    return found;
}

static void assert_list(char **list, size_t count, const char *const *expected,
                        size_t expected_count)
{
    assert_int_equal(count, expected_count);
    for (size_t i = 0; i < count; i++) {
        bool is_there = false;
        for (size_t e = 0; e < expected_count; e++)
            is_there = is_there || strcmp(list[i], expected[e]) == 0;
        assert_true(is_there);
        mem_free(list[i]);
    }
    mem_free(list);
}

/* A data set that two records name; each is rewritten, and only then is the old one nobody's. */
static void test_records(void **state)
{
    (void)state;
    static const char run[] =
        "{\"run\":\"m-1\",\"state\":\"FAILED\",\"reason\":\"said x\",\"more\":7,"
        "\"artefacts\":{\"dataset\":" ARTEFACT(A) ",\"log\":" ARTEFACT(B) "}}";
    static const char version[] =
        "{\"version\":\"m-1\",\"snapshot\":{\"sha256\":\"" A "\",\"offsets\":null},\"artefacts\":{"
        "\"dataset\":" ARTEFACT(A) ",\"model\":" ARTEFACT(C) ",\"html\":" ARTEFACT(B) "}}";
    size_t count = 0;
    CLEANUP(erase_records_free) struct erase_records *records = erase_records_new();
    CLEANUP(json_release) json_t *instead = NULL;
    assert_int_equal(json_read(ARTEFACT(D), strlen(ARTEFACT(D)), &instead, NULL), 0);
    put(records, TOPIC_RUNS, "m-1", run, 3);
    put(records, TOPIC_RUNS, "m-1", NULL, 2); /* older */
    put(records, TOPIC_MODELS, "m/m-1", version, 5);
    put(records, TOPIC_RUNS, "m-0", "{\"artefacts\":7}", 6);
    assert_int_equal(erase_records_refused(records), 1);
    char **list = erase_records_datasets(records, &count);
    assert_list(list, count, (const char *const[]){A}, 1);
    struct erase_record old = find(records, "m-1");
    json_t *made = erase_record_redact(&old, instead, 4, 1700000000000);
    assert_string_equal(json_string_value(json_walk(made, "artefacts.dataset.sha256")), D);
    assert_null(json_walk(made, "artefacts.log"));
    assert_int_equal(json_int_or(made, "more", 0), 7); /* what is not known stays */
    assert_null(strstr(json_text_or(made, "reason", ""), "said x"));
    assert_null(json_object_get(made, "order"));
    assert_true(record_erased_is_valid(json_object_get(made, "erased")));
    erase_records_put(records, TOPIC_RUNS, "m-1", made, 7);
    put(records, TOPIC_RUNS, "m-1", run, 3); /* read late */
    assert_string_equal(erase_record_dataset(find(records, "m-1").value), D);
    list = erase_records_leftovers(records, &count);
    assert_list(list, count, NULL, 0); /* the version names both still */
    assert_string_equal(json_text_or(erase_records_successor(records, A), "sha256", ""), D);
    old = find(records, "m/m-1");
    made = erase_record_redact(&old, instead, 4, 1700000000000);
    assert_string_equal(json_string_value(json_walk(made, "snapshot.sha256")), D);
    assert_string_equal(json_string_value(json_walk(made, "artefacts.model.sha256")), C);
    assert_int_equal(json_int_or(made, "order", 0), 6);
    erase_records_put(records, TOPIC_MODELS, "m/m-1", made, 9);
    list = erase_records_leftovers(records, &count);
    assert_list(list, count, (const char *const[]){A, B}, 2);
    /* A second time: its place among the versions is that of the first record. */
    old = find(records, "m/m-1");
    made = erase_record_redact(&old, instead, 1, 1700000000001);
    assert_int_equal(json_int_or(made, "order", 0), 6);
    json_decref(made);
}

/* The newest that was written without knowing of an erasure gets it back. */
static void test_carry(void **state)
{
    (void)state;
    json_t *artefacts = NULL;
    json_t *erased = NULL;
    json_t *other = NULL;
    static const char old_text[] =
        "{\"dataset\":" ARTEFACT(A) ",\"html\":" ARTEFACT(B) ",\"model\":" ARTEFACT(C) "}";
    static const char new_text[] = "{\"dataset\":" ARTEFACT(D) ",\"model\":" ARTEFACT(C) "}";
    assert_int_equal(json_read(old_text, strlen(old_text), &artefacts, NULL), 0);
    assert_int_equal(json_read(new_text, strlen(new_text), &other, NULL), 0);
    assert_false(record_erased_carry(&artefacts, &erased, other, NULL));
    json_t *first = record_erased_add(NULL, "dataset", A, 1, 2);
    json_t *list = record_erased_add(first, "html", B, 1, 0);
    json_decref(first);
    assert_true(record_erased_carry(&artefacts, &erased, other, list));
    assert_true(json_equal(artefacts, other) && json_equal(erased, list));
    assert_false(record_erased_carry(&artefacts, &erased, other, list));
    json_decref(artefacts);
    json_decref(erased);
    json_decref(other);
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_wants),
        cmocka_unit_test(test_open_until_done),
        cmocka_unit_test(test_rows_of_issues),
        cmocka_unit_test(test_rows_follow_issues),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_row_too_long),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_carry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
