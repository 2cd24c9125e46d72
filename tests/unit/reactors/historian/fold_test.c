/*
 * Tests of reactors/historian/fold.c that need no historian: what a snapshot does not tell.
 */
#include "reactors/historian/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Tells a record of a snapshot of that second and its owner. Returns true if that changed it. */
static bool tell_owner(struct issue_record *record, int64_t at_s, int64_t owner_id)
{
    CLEANUP(issue_record_free) struct issue_record *snapshot = issue_record_new(1, 1);
    struct fold_change change = {
        .time_ms = at_s * 1000, .offset = at_s, .id = (uint64_t)at_s, .snapshot = snapshot};
    snapshot->owner_id = owner_id;
    return fold_apply(record, &change);
}

/* An owner that is not told takes nothing away, whichever is read first, whether events or records are joined. */
static void test_owner_that_is_not_told(void **state)
{
    (void)state;
    static const struct {
        int64_t owners[2]; /* the older event's and the newer one's */
        int64_t owner;
    } rows[] = {{{9, 0}, 9}, {{0, 9}, 9}, {{8, 9}, 9}, {{0, 0}, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (int first = 0; first < 2; first++) {
            const int64_t *owners = rows[i].owners;
            bool is_news = first == 0 || (owners[1] == 0 && owners[0] != 0);
            CLEANUP(issue_record_free) struct issue_record *record = issue_record_new(1, 1);
            CLEANUP(issue_record_free) struct issue_record *into = issue_record_new(1, 1);
            CLEANUP(issue_record_free) struct issue_record *from = issue_record_new(1, 1);
            assert_true(tell_owner(record, first, owners[first]));
            assert_int_equal(tell_owner(record, 1 - first, owners[1 - first]), is_news);
            assert_false(tell_owner(record, 1 - first, owners[1 - first]));
            assert_int_equal(record->owner_id, rows[i].owner);
            assert_true(tell_owner(into, first, owners[first]));
            assert_true(tell_owner(from, 1 - first, owners[1 - first]));
            assert_int_equal((fold_join(into, from) & FOLD_TOOK) != 0, is_news);
            assert_int_equal(into->owner_id, rows[i].owner);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owner_that_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
