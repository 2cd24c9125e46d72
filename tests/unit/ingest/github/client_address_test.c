/*
 * Tests of whose request it is: a table of (peer, trusted proxies, lines of the header, client).
 */
#include "ingest/github/client_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

#define PROXIES "10.0.0.0/8 2001:db8:ffff::/48"

/* An address of GitHub's, as somebody else would claim to have it. */
#define CLAIMED "192.30.252.1"

static const struct {
    const char *name;
    const char *peer;
    const char *trusted; /* separated by spaces */
    const char *lines;   /* of the header, separated by \n; NULL: not sent */
    const char *client;  /* NULL: not known */
} cases[] = {
    {"no header", "10.0.0.1", PROXIES, NULL, "10.0.0.1"},
    {"nobody is trusted", "203.0.113.9", "", CLAIMED, "203.0.113.9"},
    {"the peer is not trusted", "203.0.113.9", PROXIES, CLAIMED, "203.0.113.9"},
    {"the peer is not trusted, garbage", "203.0.113.9", PROXIES, "?", "203.0.113.9"},
    {"one proxy", "10.0.0.1", PROXIES, "203.0.113.9", "203.0.113.9"},
    {"IPv6 through IPv4", "10.0.0.1", PROXIES, "2001:db8::9", "2001:db8::9"},
    {"IPv4 through IPv6", "2001:db8:ffff::1", PROXIES, "203.0.113.9", "203.0.113.9"},
    {"in IPv6 dress", "::ffff:10.0.0.1", PROXIES, "::ffff:203.0.113.9", "203.0.113.9"},
    {"a claim on the left", "10.0.0.1", PROXIES, CLAIMED ", 203.0.113.9", "203.0.113.9"},
    {"garbage on the left", "10.0.0.1", PROXIES, "<script>,,, 203.0.113.9", "203.0.113.9"},
    {"a proxy claimed on the left", "10.0.0.1", PROXIES, CLAIMED ", 10.0.0.9, 203.0.113.9",
     "203.0.113.9"},
    {"two proxies", "10.0.0.1", PROXIES, "203.0.113.9, 10.0.0.2", "203.0.113.9"},
    {"three, and a claim", "10.0.0.1", PROXIES, CLAIMED ",203.0.113.9 ,\t10.0.0.3,10.0.0.2",
     "203.0.113.9"},
    {"all are trusted", "10.0.0.1", PROXIES, "10.0.0.3, 10.0.0.2", "10.0.0.3"},
    {"white space", "10.0.0.1", PROXIES, " \t203.0.113.9\t ", "203.0.113.9"},
    /* repeated lines */
    {"a claim in the first line", "10.0.0.1", PROXIES, CLAIMED "\n203.0.113.9", "203.0.113.9"},
    {"proxies in lines of their own", "10.0.0.1", PROXIES,
     CLAIMED "\n203.0.113.9\n10.0.0.3\n10.0.0.2", "203.0.113.9"},
    {"all are trusted, in lines", "10.0.0.1", PROXIES, "10.0.0.3\n10.0.0.2", "10.0.0.3"},
    {"an empty last line", "10.0.0.1", PROXIES, CLAIMED "\n", NULL},
    /* ports */
    {"port", "10.0.0.1", PROXIES, "203.0.113.9:5000", "203.0.113.9"},
    {"brackets and port", "10.0.0.1", PROXIES, "[2001:db8::9]:5000", "2001:db8::9"},
    {"brackets", "10.0.0.1", PROXIES, "[2001:db8::9]", "2001:db8::9"},
    {"brackets and dress", "10.0.0.1", PROXIES, "[::ffff:203.0.113.9]:1", "203.0.113.9"},
    {"proxy with port", "10.0.0.1", PROXIES, "203.0.113.9, 10.0.0.2:80", "203.0.113.9"},
    {"no digits", "10.0.0.1", PROXIES, "203.0.113.9:", NULL},
    {"a name as port", "10.0.0.1", PROXIES, "203.0.113.9:http", NULL},
    {"long port", "10.0.0.1", PROXIES, "203.0.113.9:000080", NULL},
    {"IPv4 in brackets", "10.0.0.1", PROXIES, "[203.0.113.9]", NULL},
    {"brackets, then letters", "10.0.0.1", PROXIES, "[2001:db8::9]x", NULL},
    {"open bracket", "10.0.0.1", PROXIES, "[2001:db8::9", NULL},
    /* garbage that is reached */
    {"nothing", "10.0.0.1", PROXIES, "", NULL},
    {"white space alone", "10.0.0.1", PROXIES, "  ", NULL},
    {"comma", "10.0.0.1", PROXIES, CLAIMED ",", NULL},
    {"unknown", "10.0.0.1", PROXIES, CLAIMED ", unknown", NULL},
    {"behind a proxy", "10.0.0.1", PROXIES, "unknown, 10.0.0.2", NULL},
    {"a name", "10.0.0.1", PROXIES, "client.example", NULL},
    {"a zone", "10.0.0.1", PROXIES, "fe80::1%eth0", NULL},
    {"a range", "10.0.0.1", PROXIES, "203.0.113.9/32", NULL},
    {"two words", "10.0.0.1", PROXIES, CLAIMED " 203.0.113.9", NULL},
    {"quotes", "10.0.0.1", PROXIES, "\"203.0.113.9\"", NULL},
    {"Forwarded", "10.0.0.1", PROXIES, "for=203.0.113.9", NULL},
    {"leading zeros", "10.0.0.1", PROXIES, "203.0.113.009", NULL},
};

/* Cuts a text at a character; returns how many pieces there are. */
static size_t cut(char *text, char separator, const char **pieces, size_t most)
{
    size_t count = 0;
    for (char *next = text; next != NULL && count < most; count++) {
        pieces[count] = next;
        next = strchr(next, separator);
        if (next != NULL)
            *next++ = '\0';
    }
    return count;
}

static struct address_ranges *ranges_of(const char *text)
{
    CLEANUP(mem_free) char *copy = mem_copy_text(text);
    const char *pieces[8];
    struct address_ranges *ranges = address_ranges_new();
    size_t count = text[0] != '\0' ? cut(copy, ' ', pieces, 8) : 0;
    for (size_t i = 0; i < count; i++) {
        struct address_range range;
        assert_int_equal(address_range_parse(pieces[i], strlen(pieces[i]), &range, NULL), 0);
        assert_int_equal(address_ranges_add(ranges, &range, NULL), 0);
    }
    return ranges;
}

static struct client find(const char *peer_text, const char *trusted_text, const char *const *lines,
                          size_t line_count)
{
    CLEANUP(address_ranges_free) struct address_ranges *trusted = ranges_of(trusted_text);
    struct address peer;
    struct client client;
    assert_int_equal(address_parse(peer_text, strlen(peer_text), &peer), 0);
    bool is_known = client_find(&peer, trusted, lines, line_count, &client);
    assert_int_equal(is_known, client.is_known);
    assert_true(address_equal(&client.peer, &peer));
    assert_true(is_known || address_equal(&client.address, &peer));
    return client;
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        CLEANUP(mem_free) char *text = mem_copy_text(cases[i].lines);
        const char *lines[8];
        size_t line_count = text != NULL ? cut(text, '\n', lines, 8) : 0;
        const struct client client = find(cases[i].peer, cases[i].trusted, lines, line_count);
        char found[ADDRESS_TEXT_BYTES];
        address_to_text(&client.address, found);
        if (client.is_known != (cases[i].client != NULL) ||
            (client.is_known && strcmp(found, cases[i].client) != 0))
            fail_msg("%s: %s%s", cases[i].name, found, client.is_known ? "" : ", not known");
    }
}

/* A text of `count` times `piece`, then `end`; owned. */
static char *repeated(const char *piece, size_t count, const char *end)
{
    char *text = mem_copy_text("");
    for (size_t i = 0; i < count; i++) {
        char *longer = mem_format("%s%s", piece, text);
        free(text);
        text = longer;
    }
    char *whole = mem_format("%s%s", text, end);
    free(text);
    return whole;
}

static void test_hops_have_a_limit(void **state)
{
    (void)state;
    CLEANUP(mem_free) char *most = repeated("10.0.0.3,", CLIENT_HOPS_MAX - 1, "10.0.0.2");
    CLEANUP(mem_free) char *more = repeated("10.0.0.3,", CLIENT_HOPS_MAX, "10.0.0.2");
    CLEANUP(mem_free) char *claims = repeated(CLAIMED ",", 3000, "203.0.113.9");
    assert_true(find("10.0.0.1", PROXIES, (const char *const[]){most}, 1).is_known);
    assert_false(find("10.0.0.1", PROXIES, (const char *const[]){more}, 1).is_known);
    /* What the client wrote is not walked, however much it is. */
    assert_true(find("10.0.0.1", PROXIES, (const char *const[]){claims}, 1).is_known);
}

static void test_lines_have_a_limit(void **state)
{
    (void)state;
    const char *lines[CLIENT_LINES_MAX + 1];
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++)
        lines[i] = "203.0.113.9";
    assert_true(find("10.0.0.1", PROXIES, lines, CLIENT_LINES_MAX).is_known);
    assert_false(find("10.0.0.1", PROXIES, lines, CLIENT_LINES_MAX + 1).is_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_hops_have_a_limit),
        cmocka_unit_test(test_lines_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
