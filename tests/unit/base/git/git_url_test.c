/*
 * Tests of base/git_url.c: which URLs are accepted, in which form they are known, and which are refused.
 */
#include "base/git_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"

/* One URL that is accepted. */
static const struct {
    const char *text;
    const char *form;
    const char *host;
    const char *path;
    enum git_scheme scheme;
    bool is_loopback;
} accepted[] = {
    {"https://github.com/o/r", "https://github.com/o/r", "github.com", "/o/r", GIT_SCHEME_HTTPS,
     false},
    {"HTTPS://GitHub.com:443/O/r.git//", "https://github.com/O/r.git", "github.com", "/O/r.git",
     GIT_SCHEME_HTTPS, false},
    {"https://host:8443/a", "https://host:8443/a", "host:8443", "/a", GIT_SCHEME_HTTPS, false},
    {"http://127.0.0.1:80/a", "http://127.0.0.1/a", "127.0.0.1", "/a", GIT_SCHEME_HTTP, true},
    {"http://localhost:3000/a", "http://localhost:3000/a", "localhost:3000", "/a", GIT_SCHEME_HTTP,
     true},
    {"http://[::1]:3000/a", "http://[::1]:3000/a", "[::1]:3000", "/a", GIT_SCHEME_HTTP, true},
    {"http://127.0.0.1.evil.example/a", "http://127.0.0.1.evil.example/a", "127.0.0.1.evil.example",
     "/a", GIT_SCHEME_HTTP, false},
    {"ssh://git@Host.example:22/a/b", "ssh://git@host.example/a/b", "host.example", "/a/b",
     GIT_SCHEME_SSH, false},
    {"ssh://host/~me/b", NULL, NULL, "/~me/b", GIT_SCHEME_SSH, false},
    {"file:///srv/git/a.git/", "file:///srv/git/a.git", "", "/srv/git/a.git", GIT_SCHEME_FILE,
     false},
    {"https://host/a%20b", "https://host/a%20b", "host", "/a%20b", GIT_SCHEME_HTTPS, false},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(accepted); i++) {
        struct git_url url;
        struct error error = {.text = ""};
        if (git_url_parse(accepted[i].text, &url, &error) != 0)
            fail_msg("%s: %s", accepted[i].text, error.text);
        if (accepted[i].form != NULL)
            assert_string_equal(url.text, accepted[i].form);
        if (accepted[i].host != NULL)
            assert_string_equal(url.host, accepted[i].host);
        assert_string_equal(url.path, accepted[i].path);
        assert_int_equal(url.scheme, accepted[i].scheme);
        assert_int_equal(url.is_loopback, accepted[i].is_loopback);
        /* The form is a fixed point. */
        struct git_url again;
        assert_int_equal(git_url_parse(url.text, &again, NULL), 0);
        assert_string_equal(again.text, url.text);
    }
}

/* One URL that is refused, and a word of the reason. */
static const struct {
    const char *text;
    const char *reason;
} refused[] = {
    {"", "must begin"},
    {"git@github.com:o/r", "ssh://git@host"},
    {"/srv/git/a", "must begin"},
    {"git://host/a", "must begin"},
    {"ext::sh -c touch% /tmp/x", "must begin"},
    {"ftp://host/a", "must begin"},
    {"https://user:secret@host/a", "password"},
    {"https://token@host/a", "must not name a user"},
    {"ssh://git:secret@host/a", "password"},
    {"ssh://-oProxyCommand=x/a", "no proper host"},
    {"ssh://-x@host/a", "no proper user"},
    {"ssh://@host/a", "no proper user"},
    {"https:///a", "no proper host"},
    {"https://host", "no path"},
    {"https://host/", "no path"},
    {"https://host:0/a", "port"},
    {"https://host:/a", "port"},
    {"https://host:65536/a", "port"},
    {"https://host:12345678901234567890/a", "port"},
    {"https://[::1/a", "host"},
    {"https://[]/a", "host"},
    {"https://ho_st!/a", "letters"},
    {"https://host/a b", "letters"},
    {"https://host/a|b", "letters"},
    {"https://host/a?b", "letters"},
    {"https://host/a\nb", "letters"},
    {"https://host/a%0ab", "control"},
    {"https://host/a%2", "hexadecimal"},
    {"https://host/\xc3\xa4", "letters"},
    {"file://host/a", "three slashes"},
    {"file:///", "no path"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        struct git_url url;
        struct error error = {.text = ""};
        if (git_url_parse(refused[i].text, &url, &error) != ERR_INPUT)
            fail_msg("%s is accepted", refused[i].text);
        if (strstr(error.text, refused[i].reason) == NULL)
            fail_msg("%s: %s", refused[i].text, error.text);
        assert_null(strstr(error.text, "secret"));
    }
}

static void test_length(void **state)
{
    (void)state;
    char text[GIT_URL_BYTES + 1];
    memset(text, 'a', sizeof(text));
    memcpy(text, "https://h/", 10);
    struct git_url url;
    text[GIT_URL_BYTES] = '\0';
    assert_int_equal(git_url_parse(text, &url, NULL), ERR_TOO_LARGE);
    text[GIT_URL_BYTES - 1] = '\0';
    assert_int_equal(git_url_parse(text, &url, NULL), 0);
    assert_string_equal(url.text, text);
}

static void test_named(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *name;
        bool is_named;
    } rows[] = {
        {"https://github.com/Owner/name.git", "owner/Name", true},
        {"https://github.com/owner/name", "owner/name", true},
        {"ssh://git@h/owner/name", "owner/name", true},
        {"https://h/xowner/name", "owner/name", false},
        {"https://h/owner/name2", "owner/name", false},
        {"https://h/owner/name", "", false},
        {"https://h/name", "owner/name", false},
        {"file:///srv/owner/name.git", "owner/name", true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct git_url url;
        assert_int_equal(git_url_parse(rows[i].url, &url, NULL), 0);
        assert_int_equal(git_url_is_named(&url, rows[i].name, strlen(rows[i].name)),
                         rows[i].is_named);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
