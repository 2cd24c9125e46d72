/*
 * Tests of who may come in: settings that are refused, and the answers of a door with rules.
 *
 * Design: see door_bed.h. Every client of a test comes from 127.0.0.1; where it seems to come from is what its header
 * says. GitHub's ranges are asked from a port where nobody listens: they stay unknown.
 */
#include "ingest/github/admission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/ingest/github/door_bed.h"

/* Nobody listens there. */
#define NO_API "http://127.0.0.1:1"

#define XFF "X-Forwarded-For: "
#define LOOPBACK "127.0.0.0/8"

static void on_known(void *argument)
{
    (void)argument;
    fail_msg("GitHub's addresses cannot be known here");
}

/* Settings as options would fill them: empty texts are options that were not given. */
static struct admission_settings settings_of(const char *trusted, const char *allowed)
{
    struct admission_settings settings = {.client_address_header = "X-Forwarded-For",
                                          .allow_refresh_ms = 3600000,
                                          .forge_url = NO_API};
    if (trusted[0] != '\0')
        settings.trusted_proxies = (struct option_list){.count = 1, .items = {trusted}};
    if (allowed[0] != '\0')
        settings.allow_from = (struct option_list){.count = 1, .items = {allowed}};
    return settings;
}

/* ---- settings ---- */

static const struct {
    const char *trusted, *header, *allowed, *cache, *url;
    const char *says; /* part of the error; NULL: they are good */
} settings_cases[] = {
    {"", "X-Forwarded-For", "", NULL, NO_API, NULL},
    {"10.0.0.0/8", "X-Real-IP", "192.0.2.0/24", NULL, NO_API, NULL},
    {"10.0.0.0/8, 2001:db8::/32,192.0.2.7", "X_Client", "192.0.2.7, github", "cache", NO_API, NULL},
    {"", "X-Forwarded-For", "github", NULL, "https://ghe.example/api/v3/", NULL},
    {"", "X-Forwarded-For", "", NULL, "nowhere", NULL}, /* it is not asked */
    {"10.0.0.1/8", "X", "", NULL, NO_API, "--trusted-proxies: \"10.0.0.1/8\""},
    {"10.0.0.0/8,", "X", "", NULL, NO_API, "--trusted-proxies: \"\""},
    {"10.0.0.0/8 192.0.2.7", "X", "", NULL, NO_API, "--trusted-proxies"},
    {"proxy.example", "X", "", NULL, NO_API, "--trusted-proxies: \"proxy.example\""},
    {"github", "X", "", NULL, NO_API, "--trusted-proxies: \"github\""},
    {"192.0.2.7,0.0.0.0/0", "X", "", NULL, NO_API, "all addresses"},
    {"::/0", "X", "", NULL, NO_API, "all addresses"},
    {"", "Forwarded", "", NULL, NO_API, "RFC 7239"},
    {"", "forwarded", "", NULL, NO_API, "RFC 7239"},
    {"", "X-Forwarded-For:", "", NULL, NO_API, "no name of a header"},
    {"", "", "", NULL, NO_API, "1 to 64"},
    {"", "X", "GitHub", NULL, NO_API, "--allow-from: \"GitHub\""},
    {"", "X", "github,", NULL, NO_API, "--allow-from: \"\""},
    {"", "X", "192.0.2.0/24", "cache", NO_API, "--allow-from github"},
    {"", "X", "", "cache", NO_API, "--allow-from github"},
    {"", "X", "github", NULL, "api.github.com", "--forge-url"},
    {"", "X", "github", NULL, "https://", "--forge-url"},
    {"", "X", "github", NULL, "https://user@host", "--forge-url"},
    {"", "X", "github", NULL, "https://host/?a", "--forge-url"},
    {"", "X", "github", NULL, "ftp://host", "--forge-url"},
};

static void test_settings(void **state)
{
    (void)state;
    silence_log();
    CLEANUP(loop_free) struct loop *loop = loop_new_real();
    for (size_t i = 0; i < ARRAY_COUNT(settings_cases); i++) {
        CLEANUP(metrics_free) struct metrics *registry = metrics_new();
        CLEANUP(admission_free) struct admission *admission = NULL;
        struct error error = {0};
        struct admission_settings settings =
            settings_of(settings_cases[i].trusted, settings_cases[i].allowed);
        settings.client_address_header = settings_cases[i].header;
        settings.allow_cache = settings_cases[i].cache;
        settings.forge_url = settings_cases[i].url;
        int code = admission_new(loop, &settings, registry, on_known, NULL, &admission, &error);
        const char *says = settings_cases[i].says;
        if (code != (says != NULL ? ERR_USAGE : 0) || error.code != code ||
            (says != NULL && strstr(error.text, says) == NULL))
            fail_msg("case %zu: %d, %s", i, code, error.text);
    }
}

/* ---- answers ---- */

static const struct {
    const char *name;
    const char *trusted, *allowed; /* empty: not given */
    struct request request;
    int status;
    const char *says; /* part of the answer */
} answers[] = {
    {"no rules", "", "", {.extra = XFF "x\r\n"}, 202, ""},
    {"literally allowed", "", "192.0.2.0/24,127.0.0.1", {0}, 202, ""},
    {"literally outside", "", "192.0.2.0/24", {0}, 403, "deliveries from 127.0.0.1"},
    {"outside, another path", "", "192.0.2.0/24", {.path = "/"}, 403, "deliveries from"},
    {"outside, another method", "", "192.0.2.0/24", {.method = "PUT"}, 403, "deliveries from"},
    {"allowed, another path", "", "127.0.0.1", {.path = "/"}, 404, "nothing here"},
    {"allowed, wrong secret", "", "127.0.0.1", {.secret = "three"}, 401, "does not match"},
    {"a claim from who is not trusted",
     "10.0.0.0/8",
     "192.0.2.0/24",
     {.extra = XFF "192.0.2.1\r\n"},
     403,
     "deliveries from 127.0.0.1"},
    {"a claim and nobody is trusted",
     "",
     "192.0.2.0/24",
     {.extra = XFF "192.0.2.1\r\n"},
     403,
     "deliveries from 127.0.0.1"},
    {"through a proxy", LOOPBACK, "192.0.2.0/24", {.extra = XFF "192.0.2.1\r\n"}, 202, ""},
    {"through a proxy, outside",
     LOOPBACK,
     "192.0.2.0/24",
     {.extra = XFF "192.0.3.1\r\n"},
     403,
     "deliveries from 192.0.3.1"},
    {"a claim through a proxy",
     LOOPBACK,
     "192.0.2.0/24",
     {.extra = XFF "192.0.2.1, 192.0.3.1\r\n"},
     403,
     "deliveries from 192.0.3.1"},
    {"a claim in a line before",
     LOOPBACK,
     "192.0.2.0/24",
     {.extra = XFF "192.0.2.1\r\nx-forwarded-for: 192.0.3.1\r\n"},
     403,
     "deliveries from 192.0.3.1"},
    {"a claim in an earlier line, allowed",
     LOOPBACK,
     "192.0.2.0/24",
     {.extra = XFF "192.0.3.1\r\n" XFF "192.0.2.1\r\n"},
     202,
     ""},
    {"garbage", LOOPBACK, "192.0.2.0/24", {.extra = XFF "unknown\r\n"}, 403, "does not say"},
    {"garbage, and the proxy is allowed",
     LOOPBACK,
     "127.0.0.1",
     {.extra = XFF "192.0.2.1,\r\n"},
     403,
     "does not say"},
    {"garbage without a limit", LOOPBACK, "", {.extra = XFF "unknown\r\n"}, 202, ""},
    {"no header", LOOPBACK, "192.0.2.0/24", {0}, 403, "deliveries from 127.0.0.1"},
    {"no header, and the proxy is allowed", LOOPBACK, "127.0.0.1", {0}, 202, ""},
    {"another header", LOOPBACK, "192.0.2.0/24", {.extra = "X-Real-IP: 192.0.2.1\r\n"}, 403, "127"},
    {"unknown ranges", "", "github", {0}, 503, "Retry-After: 5"},
    {"unknown ranges, literally allowed", "", "github,127.0.0.1", {0}, 202, ""},
    {"unknown ranges, garbage", LOOPBACK, "github", {.extra = XFF "?\r\n"}, 403, "does not say"},
};

static struct admission *admission_of(struct bed *bed, const char *trusted, const char *allowed)
{
    const struct admission_settings settings = settings_of(trusted, allowed);
    struct admission *admission = NULL;
    struct error error = {0};
    if (admission_new(bed->bench.loop, &settings, bed->metrics, on_known, NULL, &admission,
                      &error) != 0)
        fail_msg("%s", error.text);
    bed->door->settings.admission = admission;
    return admission;
}

static void test_answers(void **state)
{
    (void)state;
    silence_log();
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
        CLEANUP(admission_free)
        struct admission *admission = admission_of(bed, answers[i].trusted, answers[i].allowed);
        assert_non_null(admission);
        CLEANUP(peer_free) struct peer *peer = send_request(bed, &answers[i].request);
        if (answers[i].status == 202) {
            wait_for_messages(bed, 1);
            deliver(bed, 0, 0);
        }
        bench_wait(&bed->bench, is_answered, peer);
        if (peer_status(peer) != answers[i].status ||
            strstr(peer_text(peer), answers[i].says) == NULL)
            fail_msg("%s: %s", answers[i].name, peer_text(peer));
        assert_int_equal(bed->door->delivery_count, 0);
    }
}

/* Not a byte of the body is waited for. */
static void test_refused_before_the_body(void **state)
{
    (void)state;
    silence_log();
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(admission_free) struct admission *admission = admission_of(bed, "", "192.0.2.0/24");
    CLEANUP(peer_free) struct peer *peer = peer_new(&bed->bench, http_server_port(bed->server));
    peer_send_text(peer, "POST /webhooks/github HTTP/1.1\r\nHost: door\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n");
    expect_status(bed, peer, 403);
    (void)admission;
}

/* Clients are those of the header: one's limit is not the other's, though both come through one proxy. */
static void test_requests_of_a_client(void **state)
{
    (void)state;
    silence_log();
    CLEANUP(bed_free) struct bed *bed = bed_new(LONG_DEADLINE_MS);
    CLEANUP(admission_free) struct admission *admission = admission_of(bed, LOOPBACK, "");
    const struct request one = {.extra = XFF "192.0.2.1\r\n"};
    const struct request other = {.extra = XFF "192.0.2.2\r\n", .delivery = GUID_2};
    bed->door->settings.requests_per_client_max = 2;
    CLEANUP(peer_free) struct peer *first = send_request(bed, &one);
    CLEANUP(peer_free) struct peer *second = send_request(bed, &one);
    wait_for_requests(bed, 2);
    CLEANUP(peer_free) struct peer *third = send_request(bed, &one);
    expect_status(bed, third, 429);
    assert_non_null(strstr(peer_text(third), "Retry-After"));
    CLEANUP(peer_free) struct peer *fourth = send_request(bed, &other);
    wait_for_messages(bed, 2);
    deliver(bed, 0, 0);
    deliver(bed, 1, 0);
    expect_status(bed, first, 202);
    expect_status(bed, second, 202);
    expect_status(bed, fourth, 202);
    CLEANUP(peer_free) struct peer *fifth = send_request(bed, &one);
    expect_status(bed, fifth, 202); /* repeated: no message */
    (void)admission;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refused_before_the_body),
        cmocka_unit_test(test_requests_of_a_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
