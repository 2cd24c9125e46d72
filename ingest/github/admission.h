/*
 * Who may come in: whose request it is, and whether deliveries are taken from there. Before a byte of the body is read.
 *
 *      peer, header ──▶ client_find() ──▶ client ──▶ --allow-from: literal ranges, GitHub's (hook_ranges.h)
 *                                            │              │
 *                                    logs, limits     yes · 403 · 503 while GitHub's ranges are not known
 *
 * Design: the options of both, in one table; without them the TCP peer is the client and everybody is let in. An
 * allow-list stands before the signature and replaces nothing of it. It fails closed: a client that a trusted proxy
 * does not name is refused, and as long as GitHub's ranges were never known (no cache file, GitHub away) all but the
 * literal ranges are answered 503, which a redelivery mends.
 *
 * Invariants: loop thread only; the judgement reads the head alone; a request's client is what logs and limits call so.
 */
#ifndef NODAG_INGEST_GITHUB_ADMISSION_H
#define NODAG_INGEST_GITHUB_ADMISSION_H

#include <stdbool.h>

#include "base/http_server.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/option.h"
#include "ingest/github/client_address.h"
#include "ingest/github/head.h"

/* The settings as the options fill them; borrowed until admission_new returns. */
struct admission_settings {
    struct option_list trusted_proxies; /* --trusted-proxies */
    const char *client_address_header;  /* --client-address-header */
    struct option_list allow_from;      /* --allow-from */
    const char *allow_cache;            /* --allow-cache, or NULL */
    int64_t allow_refresh_ms;           /* --allow-refresh */
    const char *forge_url;              /* --forge-url */
    const char *forge_ca_file;          /* --forge-ca-file, or NULL */
};

/* Rows for option tables: `type` is the settings struct, `member` its struct admission_settings. */
#define ADMISSION_OPTION_ROWS(type, member)                                                        \
    {.name = "trusted-proxies",                                                                    \
     .kind = OPTION_TEXT_LIST,                                                                     \
     .offset = offsetof(type, member.trusted_proxies),                                             \
     .value_name = "CIDR,...",                                                                     \
     .group = "Clients",                                                                           \
     .help = "Addresses of the proxies whose header names the client; from others the "            \
             "header is ignored."},                                                                \
        {.name = "client-address-header",                                                          \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, member.client_address_header),                                   \
         .default_value = "X-Forwarded-For",                                                       \
         .value_name = "NAME",                                                                     \
         .help = "That header: addresses, the one that the nearest proxy saw last."},              \
        {.name = "allow-from",                                                                     \
         .kind = OPTION_TEXT_LIST,                                                                 \
         .offset = offsetof(type, member.allow_from),                                              \
         .value_name = "github|CIDR,...",                                                          \
         .help = "Clients whose deliveries are taken; others get 403. github: the "                \
                 "addresses that GitHub publishes for its webhooks, asked for again and again. "   \
                 "Absent: everybody's."},                                                          \
        {.name = "allow-cache",                                                                    \
         .kind = OPTION_FILE,                                                                      \
         .offset = offsetof(type, member.allow_cache),                                             \
         .help = "Keeps GitHub's last good answer, for a start while GitHub is away."},            \
        {.name = "allow-refresh",                                                                  \
         .kind = OPTION_DURATION,                                                                  \
         .offset = offsetof(type, member.allow_refresh_ms),                                        \
         .default_value = "1h",                                                                    \
         .least = 1000,                                                                            \
         .most = 86400000,                                                                         \
         .help = "How often GitHub is asked, and at SIGHUP. GitHub allows 60 anonymous requests "  \
                 "an hour."},                                                                      \
        {.name = "forge-url",                                                                      \
         .kind = OPTION_TEXT,                                                                      \
         .offset = offsetof(type, member.forge_url),                                               \
         .default_value = "https://api.github.com",                                                \
         .value_name = "URL",                                                                      \
         .help = "REST API that is asked; for GitHub Enterprise https://HOST/api/v3."},            \
    {                                                                                              \
        .name = "forge-ca-file", .kind = OPTION_FILE,                                              \
        .offset = offsetof(type, member.forge_ca_file),                                            \
        .help = "Extra certificate authorities (PEM) for an Enterprise forge."                     \
    }

/* The rules in force. */
struct admission;

/*
 * Reads the settings and, with `github` among them, begins to ask GitHub; owned. ERR_USAGE with a text that names the
 * option. `on_known(argument)` is called once when GitHub's ranges are known for the first time, maybe from within this
 * call, never if they are not asked for. Loop thread.
 */
int admission_new(struct loop *loop, const struct admission_settings *settings,
                  struct metrics *registry, void (*on_known)(void *argument), void *argument,
                  struct admission **ret_admission, struct error *error) MUST_CHECK;

/* Stops asking and frees; NULL allowed. Loop thread. */
void admission_free(struct admission *admission);
DEFINE_CLEANUP(struct admission *, admission_free)

/* Returns true while GitHub's ranges are wanted and not known. Loop thread. */
bool admission_is_waiting(const struct admission *admission);

/* Returns true if any proxy is trusted: TCP connections then say nothing about clients. Loop thread. */
bool admission_has_proxies(const struct admission *admission);

/* Asks GitHub now, if its ranges are wanted. Loop thread. */
void admission_refresh(struct admission *admission);

/* Refreshes gauges: before each exposition. Loop thread. */
void admission_collect(struct admission *admission);

/*
 * Finds the client of a request, and judges it. `ret_client` is filled in either case. 0: let in; ERR_DENIED: refused
 * as `ret_refusal` says (403, 503). `admission` NULL: the peer, let in. Loop thread.
 */
int admission_judge(const struct admission *admission, const struct http_exchange *exchange,
                    struct client *ret_client, struct refusal *ret_refusal) MUST_CHECK;

#endif
