/*
 * Registers in few bytes: everything that the fold needs comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "reactors/historian/fold.h"
#include "reactors/historian/packed.h"

/* Adds an action with this many ids; the first is the one that follows from what it says. */
static void add(struct issue_record *record, const char *name, bool is_added, const char *login,
                size_t ids)
{
    struct issue_label *label = issue_record_put_label(record, name);
    struct issue_action *action = is_added ? &label->added : &label->removed;
    action->by = login != NULL ? ISSUE_PERSON : ISSUE_UNKNOWN;
    action->login = mem_copy_text(login);
    action->stamp.time_ms = 1690000000000;
    action->stamp.offset = 77;
    action->stamp.id_count = ids;
    for (size_t i = 0; i < ids; i++)
        action->stamp.ids[i] =
            fold_hash_action(name, is_added, action->stamp.time_ms, action->by, login) + i;
}

static void assert_stamp(const struct issue_stamp *left, const struct issue_stamp *right)
{
    assert_int_equal(left->time_ms, right->time_ms);
    assert_int_equal(left->offset, right->offset);
    assert_int_equal(left->id_count, right->id_count);
    assert_memory_equal(left->ids, right->ids, left->id_count * sizeof(left->ids[0]));
}

static void assert_action(const struct issue_action *left, const struct issue_action *right)
{
    assert_stamp(&left->stamp, &right->stamp);
    assert_int_equal(left->by, right->by);
    assert_int_equal(left->login == NULL, right->login == NULL);
    if (left->login != NULL)
        assert_string_equal(left->login, right->login);
}

static void test_there_and_back(void **state)
{
    (void)state;
    size_t bytes = 0;
    CLEANUP(issue_record_free) struct issue_record *record = issue_record_new(1, 7);
    record->owner_id = INT64_MAX;
    record->is_private = true;
    record->as_of = (struct issue_stamp){.time_ms = 0, .offset = 0, .id_count = 1, .ids = {5}};
    record->gone = ISSUE_UNINSTALLED;
    record->gone_since = (struct issue_stamp){.time_ms = 9, .offset = INT64_MAX};
    add(record, "bug", true, "ann", 1);
    add(record, "bug", false, "bo", 3);
    add(record, "help", true, NULL, 2);
    issue_record_put_label(record, "listed")->listed = true;
    CLEANUP(mem_free) uint8_t *packed = packed_write(record, &bytes);
    assert_int_equal(packed_owner(packed, bytes), INT64_MAX);
    CLEANUP(issue_record_free) struct issue_record *back = packed_read(packed, bytes, 1, 7);
    assert_true(back->is_private);
    assert_int_equal(back->owner_id, INT64_MAX);
    assert_int_equal(back->gone, ISSUE_UNINSTALLED);
    assert_stamp(&back->as_of, &record->as_of);
    assert_stamp(&back->gone_since, &record->gone_since);
    assert_int_equal(back->label_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(back->labels[i].name, record->labels[i].name);
        assert_int_equal(back->labels[i].listed, record->labels[i].listed);
        assert_action(&back->labels[i].added, &record->labels[i].added);
        assert_action(&back->labels[i].removed, &record->labels[i].removed);
    }
}

/* What is usual takes few bytes: a million issues must fit. */
static void test_it_is_small(void **state)
{
    (void)state;
    size_t bytes = 0;
    CLEANUP(issue_record_free) struct issue_record *record = issue_record_new(1, 7);
    record->as_of =
        (struct issue_stamp){.time_ms = 1690000000000, .offset = 123456, .id_count = 1, .ids = {5}};
    add(record, "kind/bug", true, "ann", 1);
    add(record, "area/notebooks", true, "nodag[bot]", 1);
    CLEANUP(mem_free) uint8_t *packed = packed_write(record, &bytes);
    assert_non_null(packed);
    assert_true(bytes < 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_it_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
