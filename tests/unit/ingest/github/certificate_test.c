/*
 * Tests of ingest/github/certificate.c on the fake clock: changes of the files, pairs that cannot be used, the retry.
 * The change under load is tested with the real daemon (tests/integration/test_ingest_tls.py).
 */
#include "ingest/github/certificate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/base/http_peer_tls.h"

/* Milliseconds in a second. */
#define MS_PER_SECOND 1000

/* A certificate that begins so much later cannot be used before the retry after the second next. */
#define BEGINS_LATER_S (HTTP_TLS_CLOCK_LEEWAY_MS / MS_PER_SECOND + 15)

/* A certificate under test. */
struct bed {
    struct loop *loop;
    struct metrics *registry;
    struct certificate_files files;
    struct certificate_settings settings;
    struct certificate *certificate;
};

static struct bed *bed_open(void)
{
    struct bed *bed = MEM_NEW(struct bed);
    bed->loop = loop_new_simulated(1, (int64_t)time(NULL) * MS_PER_SECOND);
    bed->registry = metrics_new();
    certificate_folder_make(&bed->files);
    certificate_write(&bed->files, &(struct certificate_spec){.serial = 1});
    bed->settings.certificate_file = bed->files.certificate;
    bed->settings.key_file = bed->files.key;
    struct error error;
    int code = certificate_new(bed->loop, &bed->settings, bed->registry, &bed->certificate, &error);
    assert_int_equal(code, 0);
    return bed;
}

static void bed_close(struct bed *bed)
{
    certificate_free(bed->certificate);
    metrics_free(bed->registry);
    loop_free(bed->loop);
    certificate_folder_remove(&bed->files);
    free(bed);
}

static double metric_of(struct bed *bed, const char *name)
{
    return metric_value(
        metrics_single(metrics_declare(bed->registry, METRICS_GAUGE, name, "", NULL)));
}

static bool is_valid(struct bed *bed)
{
    return metric_of(bed, "nodag_ingest_github_tls_certificate_valid") == 1;
}

static double not_after(struct bed *bed)
{
    return metric_of(bed, "nodag_ingest_github_tls_certificate_not_after_seconds");
}

static double reads(struct bed *bed, const char *result)
{
    static const char *const label_names[] = {"result", NULL};
    struct metrics_family *family =
        metrics_declare(bed->registry, METRICS_COUNTER,
                        "nodag_ingest_github_tls_certificate_reads_total", "", label_names);
    return metric_value(metrics_series(family, &result));
}

static void test_both_or_neither(void **state)
{
    (void)state;
    struct loop *loop = loop_new_simulated(1, 0);
    static const struct {
        struct certificate_settings settings;
        int code;
    } cases[] = {
        {{NULL, NULL}, 0},
        {{"certificate", NULL}, ERR_USAGE},
        {{NULL, "key"}, ERR_USAGE},
        {{"/nowhere/certificate", "/nowhere/key"}, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct metrics *registry = metrics_new();
        struct certificate *certificate = NULL;
        struct error error;
        int code = certificate_new(loop, &cases[i].settings, registry, &certificate, &error);
        assert_int_equal(code, cases[i].code);
        assert_null(certificate);
        assert_null(certificate_tls(certificate));
        certificate_reload(certificate);
        metrics_free(registry);
    }
    loop_free(loop);
}

static void test_change_of_either_file(void **state)
{
    (void)state;
    struct bed *bed = bed_open();
    double first = not_after(bed);
    assert_true(is_valid(bed));
    loop_advance(bed->loop, 10 * FILE_WATCH_INTERVAL_MS);
    assert_int_equal(reads(bed, "valid"), 1); /* nothing changed */

    const struct certificate_spec longer = {.serial = 2, .ends_s = 3 * CERTIFICATE_DAY_S};
    certificate_write(&bed->files, &longer);
    loop_advance(bed->loop, FILE_WATCH_INTERVAL_MS);
    assert_int_equal(reads(bed, "valid"), 2);
    assert_true(not_after(bed) > first);

    certificate_file_put(bed->files.key, "no key", 6);
    loop_advance(bed->loop, FILE_WATCH_INTERVAL_MS);
    assert_int_equal(reads(bed, "invalid"), 1);
    assert_false(is_valid(bed));
    assert_true(not_after(bed) > first);
    bed_close(bed);
}

static void test_hang_up(void **state)
{
    (void)state;
    struct bed *bed = bed_open();
    certificate_reload(bed->certificate);
    assert_int_equal(reads(bed, "valid"), 2);
    bed_close(bed);
}

/* What the files hold becomes usable without a change of theirs: here by the passing of time. */
static void test_retry(void **state)
{
    (void)state;
    struct bed *bed = bed_open();
    const struct certificate_spec later = {.serial = 2, .begins_s = BEGINS_LATER_S};
    certificate_write(&bed->files, &later);
    loop_advance(bed->loop, FILE_WATCH_INTERVAL_MS);
    assert_false(is_valid(bed));
    loop_advance(bed->loop, 3 * CERTIFICATE_RETRY_MS);
    assert_true(is_valid(bed));
    double readings = reads(bed, "valid") + reads(bed, "invalid");
    loop_advance(bed->loop, 3 * CERTIFICATE_RETRY_MS);
    assert_int_equal(reads(bed, "valid") + reads(bed, "invalid"), readings); /* no more retries */
    bed_close(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_or_neither),
        cmocka_unit_test(test_change_of_either_file),
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
