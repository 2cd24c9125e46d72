/*
 * Tests of base/nearest.c: which mistakes find their name, and which find none.
 */
#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"

/* A name that is too long to be compared. */
#define LONG_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_nearest(void **state)
{
    (void)state;
    static const char *const known[] = {"brokers", "topic",   NULL,     "listen-admin",
                                        "of",      LONG_NAME, "topics", "drain-timeout"};
    static const struct {
        const char *name;
        const char *nearest; /* NULL: none */
    } cases[] = {
        {"broker", "brokers"},
        {"brokres", "brokers"},
        {"topics", "topics"},
        {"topicz", "topic"}, /* as near as topics, and first */
        {"listen_admin", "listen-admin"},
        {"listenadmn", "listen-admin"},
        {"drain", NULL},
        {"xyz", NULL},
        {"o", NULL}, /* one letter of one would be another word */
        {"if", "of"},
        {"", NULL},
        {LONG_NAME, NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *nearest = nearest_name(cases[i].name, known, ARRAY_COUNT(known));
        if (cases[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest, cases[i].nearest);
    }
    assert_null(nearest_name("topic", known, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nearest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
