/*
 * Reading a decision back: which members count, and what is no record.
 */
#include "reactors/labeler/prediction_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* One reading. */
struct row {
    const char *value;      /* the record */
    const char *repository; /* NULL: it is refused */
    const char *model;      /* whose hash is wanted */
    int64_t comment_id;     /* wanted */
};

static const struct row rows[] = {
    {"{}", "", "", 0},
    {"{\"repository\":\"o/r\",\"model\":\"m1\",\"comment_id\":7}", "o/r", "m1", 7},
    {" { \"comment_id\" : -9223372036854775808 , \"model\" : \"m\\u0031\" } \n", "", "m1",
     INT64_MIN},
    /* The newest of a repeated member. */
    {"{\"model\":\"m0\",\"model\":\"m1\"}", "", "m1", 0},
    /* Members of inner objects and lists are not the record's, and do not hide what follows. */
    {"{\"event\":{\"repository\":\"x/y\",\"model\":\"x\",\"comment_id\":1},\"repository\":\"o/r\"}",
     "o/r", "", 0},
    {"{\"labels\":[{\"model\":\"x\"},[\"model\"],\"model\"],\"comment_id\":2}", "", "", 2},
    {"{\"model\":{\"a\":1},\"repository\":[\"o/r\"],\"comment_id\":{\"comment_id\":5}}", "", "", 0},
    {"{\"model\":[],\"comment_id\":3}", "", "", 3},
    /* Of the wrong type. */
    {"{\"repository\":7,\"model\":null,\"comment_id\":\"8\"}", "", "", 0},
    {"{\"repository\":true,\"model\":1.5,\"comment_id\":1.5}", "", "", 0},
    {"{\"comment_id\":1e3}", "", "", 0},
    {"{\"comment_id\":11111111111111111111111111111111}", "", "", 0},
    {"{\"comment_id\":9223372036854775808}", "", "", 0},
    {"{\"model\":\"m\\u0000\",\"comment_id\":1}", "", "", 1},
    {"{\"comment_id\":null,\"model\":\"m1\"}", "", "m1", 0},
    {"{\"repository\":\"o\\u0000r\"}", "", "", 0},
    /* No record. */
    {"", NULL, NULL, 0},
    {"{", NULL, NULL, 0},
    {"{\"repository\":\"o/r\"", NULL, NULL, 0},
    {"{\"repository\":\"o/r\"}}", NULL, NULL, 0},
    {"{\"repository\":\"o/r\"}{}", NULL, NULL, 0},
    {"{\"repository\":\"o/r\",}", NULL, NULL, 0},
    {"[{\"repository\":\"o/r\"}]", NULL, NULL, 0},
    {"\"repository\"", NULL, NULL, 0},
    {"7", NULL, NULL, 0},
    {"null", NULL, NULL, 0},
    {"true", NULL, NULL, 0},
    {"{\"repository\":\"\xff\"}", NULL, NULL, 0},
    {"not JSON", NULL, NULL, 0},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct prediction_brief brief = {.comment_id = 42};
        int code = prediction_read(rows[i].value, strlen(rows[i].value), &brief);
        if (code != (rows[i].repository != NULL ? 0 : ERR_INPUT))
            fail_msg("%s: code %d", rows[i].value, code);
        if (code != 0) {
            assert_int_equal(brief.comment_id, 42); /* outputs are touched on success only */
            continue;
        }
        if (strcmp(brief.repository, rows[i].repository) != 0 ||
            brief.comment_id != rows[i].comment_id ||
            brief.model_hash != prediction_hash_model(rows[i].model, strlen(rows[i].model)))
            fail_msg("%s: %s, %lld", rows[i].value, brief.repository, (long long)brief.comment_id);
    }
}

/* A name that no repository can have is not cut into another one's. */
static void test_longest_name(void **state)
{
    (void)state;
    char value[FORGE_REPOSITORY_BYTES + 64];
    struct prediction_brief brief;
    for (int bytes = FORGE_REPOSITORY_BYTES - 2; bytes <= FORGE_REPOSITORY_BYTES + 1; bytes++) {
        (void)snprintf(value, sizeof(value), "{\"repository\":\"%0*d\"}", bytes, 7);
        assert_int_equal(prediction_read(value, strlen(value), &brief), 0);
        assert_int_equal(strlen(brief.repository), bytes < FORGE_REPOSITORY_BYTES ? bytes : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_longest_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
