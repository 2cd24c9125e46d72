/*
 * The door's TLS certificate: see certificate.h.
 *
 * Design: one function reads the pair again, whoever asks: the watch of its files, the timer of a retry, SIGHUP.
 */
#include "ingest/github/certificate.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/time_text.h"

/* Milliseconds in a second. */
#define MS_PER_SECOND 1000.0

/* What a certificate passed through `void *` starts with. */
#define CERTIFICATE_MAGIC 0xce271f1cu

struct certificate {
    unsigned magic;
    struct certificate_settings settings;
    struct http_tls *tls;           /* owned */
    struct file_watch *watch;       /* owned: of both files */
    struct loop_timer *retry_timer; /* owned: set while the pair cannot be used */
    struct metric *not_after;       /* borrowed from the registry, as those below */
    struct metric *valid;           /* 1, or 0 while the files hold no pair that can be used */
    struct metrics_family *reads;   /* by result */
};

static void declare_metrics(struct certificate *certificate, struct metrics *registry)
{
    static const char *const result_labels[] = {"result", NULL};
    certificate->not_after = metrics_single(metrics_declare(
        registry, METRICS_GAUGE, "nodag_ingest_github_tls_certificate_not_after_seconds",
        "Unix time at which the certificate in force expires.", NULL));
    certificate->valid = metrics_single(metrics_declare(
        registry, METRICS_GAUGE, "nodag_ingest_github_tls_certificate_valid",
        "1 if the certificate and key as they are in the files now are in force, 0 if they cannot "
        "be used and the former ones stay.",
        NULL));
    certificate->reads = metrics_declare(
        registry, METRICS_COUNTER, "nodag_ingest_github_tls_certificate_reads_total",
        "Readings of certificate and key, by result; after an invalid one the former stay in "
        "force.",
        result_labels);
}

/* Counts a reading. */
static void tell_read(struct certificate *certificate, bool is_valid)
{
    const char *const labels[] = {is_valid ? "valid" : "invalid"};
    metric_add(metrics_series(certificate->reads, labels), 1);
    metric_set(certificate->valid, is_valid ? 1 : 0);
    int64_t not_after_ms = http_tls_not_after_ms(certificate->tls);
    metric_set(certificate->not_after, (double)not_after_ms / MS_PER_SECOND);
    if (!is_valid)
        return;
    char not_after[TIME_TEXT_BYTES];
    time_to_text(not_after_ms, not_after);
    LOG_INFO("certificate read", LOG_TEXT("file", certificate->settings.certificate_file),
             LOG_TEXT("not_after", not_after));
}

static void reload(void *argument)
{
    struct certificate *certificate = CAST_CHECKED(struct certificate, argument, CERTIFICATE_MAGIC);
    struct error error;
    int code = http_tls_reload(certificate->tls, &error);
    if (code != 0) {
        LOG_ERROR("the certificate and its key cannot be used; the former ones stay in force",
                  LOG_TEXT("error", err_name(code)), LOG_TEXT("detail", error.text),
                  LOG_INT("retry_ms", CERTIFICATE_RETRY_MS));
        loop_timer_set(certificate->retry_timer, CERTIFICATE_RETRY_MS);
    } else {
        loop_timer_clear(certificate->retry_timer);
    }
    tell_read(certificate, code == 0);
}

int certificate_new(struct loop *loop, const struct certificate_settings *settings,
                    struct metrics *registry, struct certificate **ret_certificate,
                    struct error *error)
{
    *ret_certificate = NULL;
    if (settings->certificate_file == NULL && settings->key_file == NULL)
        return 0;
    if (settings->certificate_file == NULL || settings->key_file == NULL)
        return error_set(error, ERR_USAGE,
                         "--tls-certificate and --tls-key belong together: give both for HTTPS, "
                         "neither for plain HTTP");
    CLEANUP(certificate_free) struct certificate *certificate = MEM_NEW(struct certificate);
    certificate->magic = CERTIFICATE_MAGIC;
    certificate->settings = *settings;
    certificate->watch = file_watch_new(loop, reload, certificate);
    certificate->retry_timer = loop_timer_new(loop, reload, certificate);
    file_watch_add(certificate->watch, settings->certificate_file);
    file_watch_add(certificate->watch, settings->key_file); /* before they are read */
    int code = http_tls_new(loop, settings->certificate_file, settings->key_file, &certificate->tls,
                            error);
    if (code != 0)
        return code;
    declare_metrics(certificate, registry);
    tell_read(certificate, true);
    *ret_certificate = TAKE(certificate);
    return 0;
}

const struct http_tls *certificate_tls(const struct certificate *certificate)
{
    return certificate != NULL ? certificate->tls : NULL;
}

void certificate_reload(struct certificate *certificate)
{
    if (certificate != NULL)
        reload(certificate);
}

void certificate_free(struct certificate *certificate)
{
    if (certificate == NULL)
        return;
    file_watch_free(certificate->watch);
    loop_timer_free(certificate->retry_timer);
    http_tls_free(certificate->tls);
    certificate->magic = 0;
    free(certificate);
}
