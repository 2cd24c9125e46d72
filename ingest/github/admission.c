/*
 * Who may come in: see admission.h.
 *
 * Design: the settings are checked whole before anything is started. What a person might write and would not mean is
 * refused: a trusted range of everybody, the header `Forwarded`, a cache without GitHub.
 */
#include "ingest/github/admission.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/address_range.h"
#include "base/log.h"
#include "base/memory.h"
#include "ingest/github/hook_ranges.h"

/* What --allow-from calls the ranges of hook_ranges.h. */
#define WORD_GITHUB "github"

/* Longest URL of an API: its host has at most 253 characters, and the path is short. */
#define API_URL_MAX_BYTES 512

/* Longest name of a header. */
#define HEADER_NAME_MAX_BYTES 64

struct admission {
    struct address_ranges *trusted; /* owned: proxies */
    char *header;                   /* owned: names the client */
    bool is_limited;                /* --allow-from was given */
    struct address_ranges *allowed; /* owned: those that were given literally */
    struct http_client *client;     /* owned; NULL without GitHub's ranges */
    struct hook_ranges *hooks;      /* owned; NULL likewise */
    struct metric *unknown;         /* borrowed from the registry */
};

/* ---- settings ---- */

/* Reads the entries of one value, between commas; `ret_has_word` (may be NULL) becomes true at the word github. */
static int read_entries(const char *text, struct address_ranges *ranges, bool *ret_has_word,
                        struct error *error)
{
    int code = 0;
    for (const char *next = text; next != NULL && code == 0;) {
        const char *comma = strchr(next, ',');
        size_t bytes = comma != NULL ? (size_t)(comma - next) : strlen(next);
        while (bytes > 0 && next[0] == ' ') {
            next++;
            bytes--;
        }
        while (bytes > 0 && next[bytes - 1] == ' ')
            bytes--;
        struct address_range range;
        if (ret_has_word != NULL && bytes == strlen(WORD_GITHUB) &&
            memcmp(next, WORD_GITHUB, bytes) == 0) {
            *ret_has_word = true;
        } else {
            code = address_range_parse(next, bytes, &range, error);
            if (code == 0)
                code = address_ranges_add(ranges, &range, error);
        }
        next = comma != NULL ? comma + 1 : NULL;
    }
    return code;
}

/* Reads all values of an option. */
static int read_list(const char *option, const struct option_list *list,
                     struct address_ranges *ranges, bool *ret_has_word, struct error *error)
{
    for (size_t i = 0; i < list->count; i++) {
        if (read_entries(list->items[i], ranges, ret_has_word, error) != 0) {
            error->code = ERR_USAGE;
            return error_prefix(error, ERR_USAGE, "--%s", option);
        }
    }
    return 0;
}

/* Reads the proxies; whoever trusts everybody lets every client say who it is. */
static int read_proxies(struct admission *admission, const struct admission_settings *settings,
                        struct error *error)
{
    int code =
        read_list("trusted-proxies", &settings->trusted_proxies, admission->trusted, NULL, error);
    for (size_t i = 0; code == 0 && i < address_ranges_count(admission->trusted); i++) {
        if (address_ranges_at(admission->trusted, i)->prefix_bits == 0)
            code = error_set(error, ERR_USAGE,
                             "--trusted-proxies: a range of all addresses would let every client "
                             "say who it is; name the proxies' own addresses");
    }
    return code;
}

static int read_header_name(struct admission *admission, const struct admission_settings *settings,
                            struct error *error)
{
    const char *name = settings->client_address_header;
    size_t name_bytes = strlen(name);
    for (size_t i = 0; i < name_bytes; i++) {
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            return error_set(error, ERR_USAGE,
                             "--client-address-header: \"%s\" is no name of a header", name);
    }
    if (name_bytes == 0 || name_bytes > HEADER_NAME_MAX_BYTES)
        return error_set(error, ERR_USAGE, "--client-address-header: a name has 1 to %d characters",
                         HEADER_NAME_MAX_BYTES);
    if (strcasecmp(name, "Forwarded") == 0)
        return error_set(error, ERR_USAGE,
                         "--client-address-header: the format of Forwarded (RFC 7239) is not read; "
                         "let the proxy send X-Forwarded-For");
    admission->header = mem_copy_text(name);
    return 0;
}

/* Checks the URL of the API and cuts slashes off its end; owned. */
static int read_api_url(const char *url, char **ret_url, struct error *error)
{
    size_t scheme_bytes = 0;
    if (strncasecmp(url, "https://", strlen("https://")) == 0)
        scheme_bytes = strlen("https://");
    else if (strncasecmp(url, "http://", strlen("http://")) == 0)
        scheme_bytes = strlen("http://");
    size_t url_bytes = strlen(url);
    bool is_good = scheme_bytes > 0 && url_bytes <= API_URL_MAX_BYTES;
    for (size_t i = 0; is_good && i < url_bytes; i++)
        is_good = isgraph((unsigned char)url[i]) && strchr("?#@\"<>\\", url[i]) == NULL;
    while (is_good && url_bytes > scheme_bytes && url[url_bytes - 1] == '/')
        url_bytes--;
    if (!is_good || url_bytes == scheme_bytes)
        return error_set(error, ERR_USAGE,
                         "--forge-url: this is no http or https URL of a REST API; give for "
                         "example https://api.github.com or https://HOST/api/v3");
    if (scheme_bytes == strlen("http://"))
        LOG_WARNING("--forge-url is not https: whoever is on the way can change the addresses that "
                    "are let in",
                    LOG_TEXT("url", url));
    *ret_url = mem_copy_bytes(url, url_bytes);
    return 0;
}

/* Begins to ask GitHub. */
static int start_hooks(struct admission *admission, struct loop *loop,
                       const struct admission_settings *settings, struct metrics *registry,
                       void (*on_known)(void *argument), void *argument, struct error *error)
{
    CLEANUP(mem_free) char *api_url = NULL;
    int code = read_api_url(settings->forge_url, &api_url, error);
    if (code != 0)
        return code;
    const struct http_client_settings http = {
        .user_agent = "nodag-ingest-github/" NODAG_VERSION,
        .ca_file = settings->forge_ca_file,
    };
    const struct hook_ranges_settings hooks = {
        .api_url = api_url,
        .cache_file = settings->allow_cache,
        .refresh_ms = settings->allow_refresh_ms,
    };
    admission->client = http_client_new_curl(loop, &http);
    admission->hooks =
        hook_ranges_new(loop, admission->client, &hooks, registry, on_known, argument);
    return 0;
}

int admission_new(struct loop *loop, const struct admission_settings *settings,
                  struct metrics *registry, void (*on_known)(void *argument), void *argument,
                  struct admission **ret_admission, struct error *error)
{
    CLEANUP(admission_free) struct admission *admission = MEM_NEW(struct admission);
    bool has_github = false;
    admission->trusted = address_ranges_new();
    admission->allowed = address_ranges_new();
    admission->is_limited = settings->allow_from.count > 0;
    admission->unknown = metrics_single(metrics_declare(
        registry, METRICS_COUNTER, "nodag_ingest_github_unknown_clients_total",
        "Requests of a trusted proxy whose header does not say who the client is.", NULL));
    int code = read_proxies(admission, settings, error);
    if (code == 0)
        code = read_header_name(admission, settings, error);
    if (code == 0)
        code =
            read_list("allow-from", &settings->allow_from, admission->allowed, &has_github, error);
    if (code == 0 && settings->allow_cache != NULL && !has_github)
        code = error_set(error, ERR_USAGE,
                         "--allow-cache keeps GitHub's addresses: it needs --allow-from github");
    if (code == 0 && has_github)
        code = start_hooks(admission, loop, settings, registry, on_known, argument, error);
    if (code != 0)
        return code;
    if (admission->is_limited || admission_has_proxies(admission))
        LOG_INFO("clients are judged by their address",
                 LOG_INT("trusted_proxies", address_ranges_count(admission->trusted)),
                 LOG_BOOL("limited", admission->is_limited),
                 LOG_INT("allowed_ranges", address_ranges_count(admission->allowed)),
                 LOG_BOOL("github", has_github));
    *ret_admission = TAKE(admission);
    return 0;
}

void admission_free(struct admission *admission)
{
    if (admission == NULL)
        return;
    hook_ranges_free(admission->hooks);
    http_client_free_curl(admission->client);
    address_ranges_free(admission->trusted);
    address_ranges_free(admission->allowed);
    free(admission->header);
    free(admission);
}

bool admission_is_waiting(const struct admission *admission)
{
    return admission->hooks != NULL && hook_ranges_set(admission->hooks) == NULL;
}

bool admission_has_proxies(const struct admission *admission)
{
    return address_ranges_count(admission->trusted) > 0;
}

void admission_refresh(struct admission *admission)
{
    if (admission->hooks != NULL)
        hook_ranges_refresh(admission->hooks);
}

void admission_collect(struct admission *admission)
{
    if (admission->hooks != NULL)
        hook_ranges_collect(admission->hooks);
}

/* ---- the judgement ---- */

static void find_client(const struct admission *admission, const struct http_exchange *exchange,
                        struct client *ret_client)
{
    char text[ADDRESS_TEXT_BYTES];
    struct address peer = {.is_v4 = false};
    http_exchange_client(exchange, text, sizeof(text));
    if (address_parse(text, strlen(text), &peer) != 0) {
        *ret_client = (struct client){.is_known = false}; /* the connection is gone already */
        return;
    }
    const char *lines[CLIENT_LINES_MAX];
    size_t line_count = 0;
    if (admission != NULL && admission_has_proxies(admission))
        line_count =
            http_exchange_header_values(exchange, admission->header, lines, CLIENT_LINES_MAX);
    if (!client_find(&peer, admission != NULL ? admission->trusted : NULL, lines, line_count,
                     ret_client))
        metric_add(admission->unknown, 1);
}

int admission_judge(const struct admission *admission, const struct http_exchange *exchange,
                    struct client *ret_client, struct refusal *ret_refusal)
{
    find_client(admission, exchange, ret_client);
    if (admission == NULL || !admission->is_limited)
        return 0;
    if (!ret_client->is_known) {
        (void)refusal_set(ret_refusal, 403, REASON_ADDRESS,
                          "the proxy's %s does not say whose request this is", admission->header);
        return ERR_DENIED;
    }
    if (address_ranges_contain(admission->allowed, &ret_client->address))
        return 0;
    if (admission_is_waiting(admission)) {
        (void)refusal_set(ret_refusal, 503, REASON_RANGES,
                          "GitHub's addresses are not known yet; deliver again later");
        return ERR_DENIED;
    }
    if (admission->hooks != NULL &&
        address_ranges_contain(hook_ranges_set(admission->hooks), &ret_client->address))
        return 0;
    char text[ADDRESS_TEXT_BYTES];
    address_to_text(&ret_client->address, text);
    (void)refusal_set(ret_refusal, 403, REASON_ADDRESS, "deliveries from %s are not taken here",
                      text);
    return ERR_DENIED;
}
