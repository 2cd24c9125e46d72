/*
 * The offset ledger: a table of deliveries and finishes in every order, and a random walk against a
 * naive model.
 */
#include "reactors/kernel/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/generator.h"

/* Runs a script: "b10" begins, "s11" skips, "f10" finishes; returns what may be stored at the end,
 * -1 for nothing. */
static int64_t ledger_run(const char *script)
{
    struct ledger ledger = {0};
    for (const char *step = script; *step != '\0';
         step += strcspn(step, " ") + (strchr(step, ' ') != NULL ? 1 : 0)) {
        int64_t offset = strtoll(step + 1, NULL, 10);
        if (*step == 'b')
            ledger_begin(&ledger, offset);
        else if (*step == 's')
            ledger_skip(&ledger, offset);
        else
            ledger_finish(&ledger, offset);
    }
    int64_t next_offset = -1;
    if (!ledger_storable(&ledger, &next_offset))
        next_offset = -1;
    ledger_release(&ledger);
    return next_offset;
}

static void test_scripts(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        int64_t storable;
    } cases[] = {
        {"", -1},
        {"s0", 1},
        {"b0", 0},
        {"b0 f0", 1},
        {"b10 s11 s12", 10},
        {"b10 s11 f10", 12},
        {"b10 b11 f11", 10},
        {"b10 b11 f11 f10", 12},
        {"b10 b11 b12 f12 f10", 11},
        {"b10 s11 b13 f10 s14", 13},
        {"s5 b9 f9 s20", 21},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t storable = ledger_run(cases[i].script);
        if (storable != cases[i].storable)
            fail_msg("\"%s\": %lld, want %lld", cases[i].script, (long long)storable,
                     (long long)cases[i].storable);
    }
}

/* Ten thousand events, finished by chance: what may be stored is always the lowest unfinished
 * offset. */
static void test_random_walk(void **state)
{
    (void)state;
    enum { EVENTS = 10000 };
    static bool begun[EVENTS];
    static bool finished[EVENTS];
    struct ledger ledger = {0};
    struct generator generator;
    generator_seed(&generator, 42);
    int64_t next = 0;
    int64_t lowest = 0;
    while (lowest < EVENTS) {
        if (next < EVENTS && generator_next(&generator) % 2 == 0) {
            begun[next] = generator_next(&generator) % 4 != 0;
            finished[next] = !begun[next];
            if (begun[next])
                ledger_begin(&ledger, next);
            else
                ledger_skip(&ledger, next);
            next++;
        } else if (next > 0) {
            int64_t pick =
                lowest + (int64_t)(generator_next(&generator) % (uint64_t)(next - lowest + 1));
            if (pick < next && begun[pick] && !finished[pick]) {
                finished[pick] = true;
                ledger_finish(&ledger, pick);
            }
        }
        while (lowest < next && finished[lowest])
            lowest++;
        int64_t storable = -1;
        assert_int_equal(ledger_storable(&ledger, &storable), next > 0);
        if (next > 0)
            assert_int_equal(storable, lowest);
    }
    assert_int_equal(ledger_unfinished(&ledger), 0);
    ledger_release(&ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_random_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
