/*
 * The door's TLS certificate: its options, and its reading again at SIGHUP and when one of its files changes.
 *
 * Design: without the options the door speaks plain HTTP and there is no certificate (NULL everywhere below). With them
 * base/http_tls.h holds the pair that new connections are shown; here it is watched as the secrets are (main.c). A new
 * pair that cannot be used changes nothing but the log and metrics, and is read again every CERTIFICATE_RETRY_MS until it
 * can: tools write the two files one after the other.
 *
 * Metrics: nodag_ingest_github_tls_certificate_not_after_seconds (of the pair in force), …_valid, …_reads_total{result}.
 *
 * Invariants: loop thread only; the pair in force is whole at any moment; the server is freed before the certificate.
 */
#ifndef NODAG_INGEST_GITHUB_CERTIFICATE_H
#define NODAG_INGEST_GITHUB_CERTIFICATE_H

#include "base/cleanup.h"
#include "base/error.h"
#include "base/http_tls.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/option.h"

/* How soon a pair that cannot be used is read again, beside when it changes: permissions change without a trace. */
#define CERTIFICATE_RETRY_MS 10000

/* The settings as the options fill them; the texts are borrowed for the certificate's life. */
struct certificate_settings {
    const char *certificate_file; /* --tls-certificate, or NULL */
    const char *key_file;         /* --tls-key, or NULL */
};

/* Rows for option tables: `type` is the settings struct, `member` its struct certificate_settings. */
#define CERTIFICATE_OPTION_ROWS(type, member)                                                      \
    {.name = "tls-certificate",                                                                    \
     .kind = OPTION_FILE,                                                                          \
     .offset = offsetof(type, member.certificate_file),                                            \
     .group = "TLS",                                                                               \
     .help = "PEM file with the certificate chain, the server's own first: then --listen speaks "  \
             "HTTPS (TLS 1.2 and 1.3). Absent: plain HTTP, for a proxy in front."},                \
    {                                                                                              \
        .name = "tls-key", .kind = OPTION_SECRET_FILE, .offset = offsetof(type, member.key_file),  \
        .help = "PEM file with its private key, without a passphrase. Both files are read again "  \
                "when they change and at SIGHUP; connections under way go on."                     \
    }

/* The door's certificate. */
struct certificate;

/*
 * Reads the pair and begins to watch its files; owned. NULL where neither option is given. ERR_USAGE where one is;
 * otherwise as http_tls_new. Loop thread.
 */
int certificate_new(struct loop *loop, const struct certificate_settings *settings,
                    struct metrics *registry, struct certificate **ret_certificate,
                    struct error *error) MUST_CHECK;

/* Returns what the HTTP server takes; borrowed, NULL for NULL. Loop thread. */
const struct http_tls *certificate_tls(const struct certificate *certificate);

/* Reads the pair again; NULL allowed. Loop thread. */
void certificate_reload(struct certificate *certificate);

/* Stops watching and frees; NULL allowed. Loop thread. */
void certificate_free(struct certificate *certificate);
DEFINE_CLEANUP(struct certificate *, certificate_free)

#endif
