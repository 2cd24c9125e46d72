/*
 * Tests of the memory of deliveries, on the fake clock.
 *
 * Design: waiters write what they are told into a text, so that order and number of calls are seen at once.
 */
#include "ingest/github/dedup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

/* How many are remembered, and for how long, in these tests. */
#define PUBLISHED_MAX 3
#define AGE_MAX_MS 1000

/* A memory with its loop, and what was told. */
struct bed {
    struct loop *loop;
    struct dedup *dedup;
    char told[200]; /* "name:code " for each call */
};

/* A waiter with a name; it can make another one leave when it is told. */
struct named {
    struct dedup_waiter waiter; /* first, so that the pointer is the same */
    struct bed *bed;
    char name;
    struct named *drags_away;
};

static void on_finished(struct dedup_waiter *waiter, int code)
{
    struct named *named = (struct named *)(void *)waiter;
    struct bed *bed = named->bed;
    assert_null(waiter->entry);
    size_t at = strlen(bed->told);
    (void)snprintf(bed->told + at, sizeof(bed->told) - at, "%c:%d ", named->name, code);
    if (named->drags_away != NULL)
        dedup_leave(&named->drags_away->waiter);
}

static struct bed *bed_new(void)
{
    struct bed *bed = MEM_NEW(struct bed);
    bed->loop = loop_new_simulated(1, 0);
    bed->dedup = dedup_new(bed->loop, PUBLISHED_MAX, AGE_MAX_MS);
    return bed;
}

static void bed_free(struct bed *bed)
{
    dedup_free(bed->dedup);
    loop_free(bed->loop);
    free(bed);
}
DEFINE_CLEANUP(struct bed *, bed_free)

static struct named named_of(struct bed *bed, char name)
{
    return (struct named){.waiter.finished = on_finished, .bed = bed, .name = name};
}

/* A key made of two small numbers. */
static struct dedup_key key_of(uint64_t hook_id, uint8_t guid)
{
    return (struct dedup_key){.hook_id = hook_id, .guid = {guid}};
}

static enum dedup_verdict begin(struct bed *bed, uint8_t guid, struct named *named,
                                struct dedup_entry **ret_entry)
{
    struct dedup_key key = key_of(7, guid);
    return dedup_begin(bed->dedup, &key, &named->waiter, ret_entry);
}

/* Publishes one delivery from beginning to end. */
static void publish(struct bed *bed, uint8_t guid)
{
    struct named named = named_of(bed, 'p');
    struct dedup_entry *entry = NULL;
    assert_int_equal(begin(bed, guid, &named, &entry), DEDUP_FIRST);
    dedup_finish(bed->dedup, entry, 0);
    bed->told[0] = '\0';
}

static void test_published_once(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct named a = named_of(bed, 'a');
    struct named b = named_of(bed, 'b');
    struct dedup_entry *entry = NULL;
    struct dedup_entry *none = NULL;
    assert_int_equal(begin(bed, 1, &a, &entry), DEDUP_FIRST);
    assert_int_equal(dedup_in_flight_count(bed->dedup), 1);
    assert_string_equal(bed->told, "");
    dedup_finish(bed->dedup, entry, 0);
    assert_string_equal(bed->told, "a:0 ");
    assert_int_equal(dedup_in_flight_count(bed->dedup), 0);
    assert_int_equal(dedup_published_count(bed->dedup), 1);
    assert_int_equal(begin(bed, 1, &b, &none), DEDUP_PUBLISHED);
    assert_null(none);
    assert_null(b.waiter.entry);
}

static void test_failed_is_forgotten(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct named a = named_of(bed, 'a');
    struct dedup_entry *entry = NULL;
    assert_int_equal(begin(bed, 1, &a, &entry), DEDUP_FIRST);
    dedup_finish(bed->dedup, entry, ERR_TIMEOUT);
    assert_string_equal(bed->told, "a:-1 ");
    assert_int_equal(begin(bed, 1, &a, &entry), DEDUP_FIRST);
    dedup_finish(bed->dedup, entry, 0);
    assert_string_equal(bed->told, "a:-1 a:0 ");
}

static void test_repeats_in_flight_get_the_same_outcome(void **state)
{
    (void)state;
    static const int codes[] = {0, ERR_TIMEOUT};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        CLEANUP(bed_free) struct bed *bed = bed_new();
        struct named a = named_of(bed, 'a');
        struct named b = named_of(bed, 'b');
        struct named c = named_of(bed, 'c');
        struct dedup_entry *entry = NULL;
        struct dedup_entry *none = NULL;
        assert_int_equal(begin(bed, 1, &a, &entry), DEDUP_FIRST);
        assert_int_equal(begin(bed, 1, &b, &none), DEDUP_IN_FLIGHT);
        assert_int_equal(begin(bed, 1, &c, &none), DEDUP_IN_FLIGHT);
        dedup_finish(bed->dedup, entry, codes[i]);
        assert_string_equal(bed->told, codes[i] == 0 ? "a:0 b:0 c:0 " : "a:-1 b:-1 c:-1 ");
        assert_int_equal(dedup_published_count(bed->dedup), codes[i] == 0);
    }
}

static void test_waiters_may_leave(void **state)
{
    (void)state;
    /* Which of the waiters leave before the outcome, and what the others are told. */
    static const struct {
        const char *leave;
        const char *told;
    } cases[] = {{"", "a:0 b:0 c:0 "}, {"a", "b:0 c:0 "}, {"b", "a:0 c:0 "}, {"c", "a:0 b:0 "},
                 {"ab", "c:0 "},       {"cb", "a:0 "},    {"abc", ""},       {"cba", ""}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(bed_free) struct bed *bed = bed_new();
        struct named named[] = {named_of(bed, 'a'), named_of(bed, 'b'), named_of(bed, 'c')};
        struct named late = named_of(bed, 'd');
        struct dedup_entry *entry = NULL;
        struct dedup_entry *none = NULL;
        assert_int_equal(begin(bed, 1, &named[0], &entry), DEDUP_FIRST);
        assert_int_equal(begin(bed, 1, &named[1], &none), DEDUP_IN_FLIGHT);
        assert_int_equal(begin(bed, 1, &named[2], &none), DEDUP_IN_FLIGHT);
        for (const char *who = cases[i].leave; *who != '\0'; who++)
            dedup_leave(&named[*who - 'a'].waiter);
        assert_int_equal(begin(bed, 1, &late, &none), DEDUP_IN_FLIGHT);
        dedup_leave(&late.waiter);
        dedup_leave(&late.waiter); /* twice is once */
        dedup_finish(bed->dedup, entry, 0);
        assert_string_equal(bed->told, cases[i].told);
        assert_int_equal(dedup_published_count(bed->dedup), 1); /* whoever was there to hear it */
    }
}

static void test_one_who_is_told_may_take_another_away(void **state)
{
    (void)state;
    static const int codes[] = {0, ERR_TIMEOUT};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        CLEANUP(bed_free) struct bed *bed = bed_new();
        struct named a = named_of(bed, 'a');
        struct named b = named_of(bed, 'b');
        struct named c = named_of(bed, 'c');
        struct dedup_entry *entry = NULL;
        struct dedup_entry *none = NULL;
        a.drags_away = &c;
        assert_int_equal(begin(bed, 1, &a, &entry), DEDUP_FIRST);
        assert_int_equal(begin(bed, 1, &b, &none), DEDUP_IN_FLIGHT);
        assert_int_equal(begin(bed, 1, &c, &none), DEDUP_IN_FLIGHT);
        dedup_finish(bed->dedup, entry, codes[i]);
        assert_string_equal(bed->told, codes[i] == 0 ? "a:0 b:0 " : "a:-1 b:-1 ");
    }
}

/* So many keys that some share a bucket, whatever the hash: equality is what must tell them apart. */
static void test_hook_and_guid_both_count(void **state)
{
    (void)state;
    enum { HOOKS = 100, GUIDS = 2 };
    struct named named[HOOKS][GUIDS];
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct dedup_entry *entry = NULL;
    for (uint64_t hook = 0; hook < HOOKS; hook++) {
        for (uint8_t guid = 0; guid < GUIDS; guid++) {
            struct dedup_key key = key_of(hook, guid);
            struct named *one = &named[hook][guid];
            *one = named_of(bed, 'n');
            assert_int_equal(dedup_begin(bed->dedup, &key, &one->waiter, &entry), DEDUP_FIRST);
        }
    }
    assert_int_equal(dedup_in_flight_count(bed->dedup), HOOKS * GUIDS);
}

static void test_number_is_bounded_oldest_first(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct named named = named_of(bed, 'n');
    struct dedup_entry *entry = NULL;
    for (uint8_t guid = 1; guid <= PUBLISHED_MAX + 2; guid++)
        publish(bed, guid);
    assert_int_equal(dedup_published_count(bed->dedup), PUBLISHED_MAX);
    assert_int_equal(begin(bed, PUBLISHED_MAX + 2, &named, &entry), DEDUP_PUBLISHED);
    assert_int_equal(begin(bed, 3, &named, &entry), DEDUP_PUBLISHED);
    assert_int_equal(begin(bed, 2, &named, &entry), DEDUP_FIRST);
    dedup_leave(&named.waiter);
}

static void test_age_is_bounded(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct named named = named_of(bed, 'n');
    struct dedup_entry *entry = NULL;
    publish(bed, 1);
    loop_advance(bed->loop, AGE_MAX_MS / 2);
    publish(bed, 2);
    loop_advance(bed->loop, AGE_MAX_MS / 2 - 1);
    assert_int_equal(begin(bed, 1, &named, &entry), DEDUP_PUBLISHED);
    loop_advance(bed->loop, 1);
    assert_int_equal(begin(bed, 2, &named, &entry), DEDUP_PUBLISHED);
    assert_int_equal(begin(bed, 1, &named, &entry), DEDUP_FIRST);
    assert_int_equal(dedup_published_count(bed->dedup), 1);
    dedup_leave(&named.waiter);
}

static void test_in_flight_is_never_dropped(void **state)
{
    (void)state;
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct named a = named_of(bed, 'a');
    struct named b = named_of(bed, 'b');
    struct dedup_entry *entry = NULL;
    struct dedup_entry *none = NULL;
    assert_int_equal(begin(bed, 100, &a, &entry), DEDUP_FIRST);
    for (uint8_t guid = 1; guid <= 2 * PUBLISHED_MAX; guid++)
        publish(bed, guid);
    loop_advance(bed->loop, 10 * AGE_MAX_MS);
    assert_int_equal(begin(bed, 100, &b, &none), DEDUP_IN_FLIGHT);
    dedup_finish(bed->dedup, entry, 0);
    assert_string_equal(bed->told, "a:0 b:0 ");
}

static void test_key_of_head(void **state)
{
    (void)state;
    static const struct {
        const char *hook_id;
        uint64_t expected;
    } cases[] = {
        {NULL, 0}, {"5", 5}, {"109948940", 109948940}, {"18446744073709551615", UINT64_MAX}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct delivery_head head = {.guid = {1, 2, 3}, .hook_id = text_of(cases[i].hook_id)};
        struct dedup_key key = dedup_key_of(&head);
        assert_true(key.hook_id == cases[i].expected);
        assert_memory_equal(key.guid, head.guid, sizeof(key.guid));
    }
}

/* Hook and GUID are unsigned: the same ones over another body, or by another secret, are no repeat. */
static void test_another_signature_is_no_repeat(void **state)
{
    (void)state;
    struct delivery_head head = {.guid = {1, 2, 3}, .mac = {4, 5, 6}};
    struct dedup_key real = dedup_key_of(&head);
    head.mac[0] = 7;
    struct dedup_key other = dedup_key_of(&head);
    CLEANUP(bed_free) struct bed *bed = bed_new();
    struct named a = named_of(bed, 'a');
    struct named b = named_of(bed, 'b');
    struct dedup_entry *entry = NULL;
    assert_int_equal(dedup_begin(bed->dedup, &other, &a.waiter, &entry), DEDUP_FIRST);
    dedup_finish(bed->dedup, entry, 0);
    assert_int_equal(dedup_begin(bed->dedup, &real, &b.waiter, &entry), DEDUP_FIRST);
    dedup_finish(bed->dedup, entry, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_once),
        cmocka_unit_test(test_failed_is_forgotten),
        cmocka_unit_test(test_repeats_in_flight_get_the_same_outcome),
        cmocka_unit_test(test_waiters_may_leave),
        cmocka_unit_test(test_one_who_is_told_may_take_another_away),
        cmocka_unit_test(test_hook_and_guid_both_count),
        cmocka_unit_test(test_number_is_bounded_oldest_first),
        cmocka_unit_test(test_age_is_bounded),
        cmocka_unit_test(test_in_flight_is_never_dropped),
        cmocka_unit_test(test_key_of_head),
        cmocka_unit_test(test_another_signature_is_no_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
