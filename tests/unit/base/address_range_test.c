/*
 * Tests of addresses and ranges: tables of texts and what is read of them, and of addresses and ranges.
 */
#include "base/address_range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- texts ---- */

static const struct {
    const char *text;
    const char *written; /* NULL: refused */
} addresses[] = {
    {"192.0.2.1", "192.0.2.1"},
    {"0.0.0.0", "0.0.0.0"},
    {"255.255.255.255", "255.255.255.255"},
    {"2001:db8::1", "2001:db8::1"},
    {"2001:DB8:0:0::1", "2001:db8::1"},
    {"::", "::"},
    {"::1", "::1"},
    {"fe80::1", "fe80::1"},
    {"::ffff:192.0.2.1", "192.0.2.1"},
    {"::FFFF:c000:201", "192.0.2.1"},
    {"0000:0000:0000:0000:0000:ffff:192.168.100.200", "192.168.100.200"},
    {"::192.0.2.1", "::192.0.2.1"},          /* IPv4-compatible: another thing */
    {"::fffe:192.0.2.1", "::fffe:c000:201"}, /* nearly in dress */
    {"", NULL},
    {" 192.0.2.1", NULL},
    {"192.0.2.1 ", NULL},
    {"192.0.2.01", NULL},
    {"192.0.2.256", NULL},
    {"192.0.2", NULL},
    {"192.0.2.1.5", NULL},
    {"3221225985", NULL},
    {"0xc0.0.2.1", NULL},
    {"192.0.2.1:80", NULL},
    {"192.0.2.1/32", NULL},
    {"[2001:db8::1]", NULL},
    {"fe80::1%eth0", NULL},
    {"fe80::1%1", NULL},
    {"2001:db8::1::2", NULL},
    {":::", NULL},
    {"g::1", NULL},
    {"unknown", NULL},
    {"localhost", NULL},
    {"0000:0000:0000:0000:0000:ffff:192.168.100.2000", NULL}, /* too long for any address */
};

static void test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
        const char *text = addresses[i].text;
        struct address address = {.is_v4 = false};
        int code = address_parse(text, strlen(text), &address);
        if (addresses[i].written == NULL) {
            if (code != ERR_INPUT)
                fail_msg("\"%s\" was read", text);
            continue;
        }
        char written[ADDRESS_TEXT_BYTES];
        if (code != 0)
            fail_msg("\"%s\" was refused", text);
        address_to_text(&address, written);
        assert_string_equal(written, addresses[i].written);
        struct address again = {.is_v4 = false};
        assert_int_equal(address_parse(written, strlen(written), &again), 0);
        assert_true(address_equal(&address, &again));
    }
}

static void test_only_the_given_bytes_are_read(void **state)
{
    (void)state;
    struct address address;
    struct address_range range;
    char written[ADDRESS_TEXT_BYTES];
    assert_int_equal(address_parse("192.0.2.12", 9, &address), 0);
    address_to_text(&address, written);
    assert_string_equal(written, "192.0.2.1");
    assert_int_equal(address_parse("192.0.2.1\0", 10, &address), ERR_INPUT);
    assert_int_equal(address_range_parse("192.0.2.0/245", 12, &range, NULL), 0);
    assert_int_equal(range.prefix_bits, 24);
    assert_int_equal(address_range_parse("192.0.2.0/2\0", 12, &range, NULL), ERR_INPUT);
}

static const struct {
    const char *text;
    const char *written; /* NULL: refused */
    const char *says;    /* part of the error */
} ranges[] = {
    {"192.0.2.0/24", "192.0.2.0/24", NULL},
    {"192.0.2.7", "192.0.2.7/32", NULL},
    {"192.0.2.7/32", "192.0.2.7/32", NULL},
    {"0.0.0.0/0", "0.0.0.0/0", NULL},
    {"2001:db8::/32", "2001:db8::/32", NULL},
    {"2001:db8::1", "2001:db8::1/128", NULL},
    {"::/0", "::/0", NULL},
    {"::ffff:192.0.2.0/120", "192.0.2.0/24", NULL},
    {"::ffff:0.0.0.0/96", "0.0.0.0/0", NULL},
    {"192.0.2.1/24", NULL, "192.0.2.0/24"},
    {"192.0.2.128/24", NULL, "192.0.2.0/24"},
    {"10.0.0.0/7", "10.0.0.0/7", NULL},
    {"11.0.0.0/7", NULL, "10.0.0.0/7"},
    {"2001:db8::1/127", NULL, "2001:db8::/127"},
    {"::ffff:192.0.2.0/24", NULL, "no address"}, /* would be most of IPv6's head */
    {"::ffff:0.0.0.0/95", NULL, "no address"},
    {"192.0.2.0/33", NULL, "no address"},
    {"2001:db8::/129", NULL, "no address"},
    {"192.0.2.0/", NULL, "no address"},
    {"192.0.2.0/-1", NULL, "no address"},
    {"192.0.2.0/+24", NULL, "no address"},
    {"192.0.2.0/024", NULL, "no address"},
    {"192.0.2.0/24 ", NULL, "no address"},
    {"192.0.2.0/24/24", NULL, "no address"},
    {"192.0.2.0/255.255.255.0", NULL, "no address"},
    {"192.0.2.0/4294967320", NULL, "no address"},
    {"fe80::%eth0/64", NULL, "no address"},
    {"/24", NULL, "no address"},
    {"", NULL, "no address"},
    {"github", NULL, "\"github\" is no address"},
};

static void test_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ranges); i++) {
        const char *text = ranges[i].text;
        struct address_range range = {.prefix_bits = 0};
        struct error error = {0};
        int code = address_range_parse(text, strlen(text), &range, &error);
        if (ranges[i].written == NULL) {
            if (code != ERR_INPUT || strstr(error.text, ranges[i].says) == NULL)
                fail_msg("\"%s\": %d, %s", text, code, error.text);
            continue;
        }
        char written[ADDRESS_RANGE_TEXT_BYTES];
        if (code != 0)
            fail_msg("\"%s\": %s", text, error.text);
        address_range_to_text(&range, written);
        assert_string_equal(written, ranges[i].written);
    }
}

/* ---- membership ---- */

static const struct {
    const char *range;
    const char *address;
    bool is_inside;
} members[] = {
    {"192.0.2.0/24", "192.0.2.0", true},
    {"192.0.2.0/24", "192.0.2.255", true},
    {"192.0.2.0/24", "192.0.3.0", false},
    {"192.0.2.0/24", "192.0.1.255", false},
    {"192.0.2.0/24", "::ffff:192.0.2.9", true},
    {"192.0.2.0/24", "::192.0.2.9", false},
    {"192.0.2.16/28", "192.0.2.31", true},
    {"192.0.2.16/28", "192.0.2.32", false},
    {"192.0.2.16/28", "192.0.2.15", false},
    {"192.0.2.7", "192.0.2.7", true},
    {"192.0.2.7", "192.0.2.6", false},
    {"128.0.0.0/1", "255.255.255.255", true},
    {"128.0.0.0/1", "127.255.255.255", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "2001:db8::1", false},
    {"0.0.0.0/0", "::", false},
    {"::/0", "2001:db8::1", true},
    {"::/0", "203.0.113.9", false},
    {"::/0", "::ffff:203.0.113.9", false},
    {"::ffff:192.0.2.0/120", "192.0.2.9", true},
    {"2001:db8::/32", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true},
    {"2001:db8::/32", "2001:db9::", false},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
    {"2001:db8::1", "2001:db8::1", true},
    {"2001:db8::1", "2001:db8::2", false},
};

static struct address address_of(const char *text)
{
    struct address address = {.is_v4 = false};
    assert_int_equal(address_parse(text, strlen(text), &address), 0);
    return address;
}

static struct address_range range_of(const char *text)
{
    struct address_range range = {.prefix_bits = 0};
    struct error error = {0};
    if (address_range_parse(text, strlen(text), &range, &error) != 0)
        fail_msg("%s", error.text);
    return range;
}

static void test_membership(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        const struct address address = address_of(members[i].address);
        const struct address_range range = range_of(members[i].range);
        if (address_range_contains(&range, &address) != members[i].is_inside)
            fail_msg("%s in %s", members[i].address, members[i].range);
    }
}

/* ---- sets ---- */

static void add(struct address_ranges *set, const char *text)
{
    const struct address_range range = range_of(text);
    assert_int_equal(address_ranges_add(set, &range, NULL), 0);
}

static void test_sets(void **state)
{
    (void)state;
    CLEANUP(address_ranges_free) struct address_ranges *set = address_ranges_new();
    const struct address inside = address_of("198.51.100.9");
    assert_false(address_ranges_contain(NULL, &inside));
    assert_false(address_ranges_contain(set, &inside));
    add(set, "192.0.2.0/24");
    add(set, "2001:db8::/32");
    assert_false(address_ranges_contain(set, &inside));
    add(set, "198.51.100.0/24");
    assert_true(address_ranges_contain(set, &inside));
    assert_int_equal(address_ranges_count(set), 3);
    assert_int_equal(address_ranges_at(set, 1)->prefix_bits, 32);
}

static void test_a_set_has_a_limit(void **state)
{
    (void)state;
    CLEANUP(address_ranges_free) struct address_ranges *set = address_ranges_new();
    struct error error = {0};
    const struct address_range range = range_of("192.0.2.0/24");
    for (size_t i = 0; i < ADDRESS_RANGES_MAX; i++)
        assert_int_equal(address_ranges_add(set, &range, &error), 0);
    assert_int_equal(address_ranges_add(set, &range, &error), ERR_TOO_LARGE);
    assert_int_equal(address_ranges_count(set), ADDRESS_RANGES_MAX);
}

static void test_equal_sets(void **state)
{
    (void)state;
    CLEANUP(address_ranges_free) struct address_ranges *left = address_ranges_new();
    CLEANUP(address_ranges_free) struct address_ranges *right = address_ranges_new();
    assert_true(address_ranges_equal(NULL, left));
    add(left, "192.0.2.0/24");
    assert_false(address_ranges_equal(left, right));
    assert_false(address_ranges_equal(NULL, left));
    add(left, "2001:db8::/32");
    add(right, "2001:db8::/32");
    assert_false(address_ranges_equal(left, right));
    assert_false(address_ranges_equal(right, left));
    add(right, "192.0.2.0/24");
    assert_true(address_ranges_equal(left, right));
    add(right, "192.0.2.0/25");
    assert_false(address_ranges_equal(left, right));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),  cmocka_unit_test(test_only_the_given_bytes_are_read),
        cmocka_unit_test(test_ranges),     cmocka_unit_test(test_membership),
        cmocka_unit_test(test_sets),       cmocka_unit_test(test_a_set_has_a_limit),
        cmocka_unit_test(test_equal_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
