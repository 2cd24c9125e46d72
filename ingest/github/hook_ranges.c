/*
 * GitHub's addresses: see hook_ranges.h.
 *
 * Design: one timer, one call. The timer asks; what came of it sets the timer again: the refresh interval after a
 * success, a backoff after a failure. The cache file is JSON that hook_ranges_parse() reads as it reads GitHub's
 * answer, so that what is not valid there is not valid here.
 */
#include "ingest/github/hook_ranges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/time_text.h"

/* Time for one question in all: the door does not wait for it. */
#define ASK_TIMEOUT_MS 30000

/* Waits are made longer or shorter by up to one part in so many, so that many doors do not ask at once. */
#define JITTER_SHARE 10

/* Longest ETag that is kept and sent back; GitHub's have 68 characters. */
#define ETAG_MAX_BYTES 256

/* Largest cache file: a full set of the longest ranges. */
#define CACHE_MAX_BYTES ((size_t)128 << 10)

/* What came of a question, as a label. */
#define RESULT_CHANGED "changed"
#define RESULT_UNCHANGED "unchanged"
#define RESULT_FAILED "failed"

/* Milliseconds in a second. */
#define MS_PER_SECOND 1000.0

/* What travels through the client's and the timer's `void *` starts with. */
#define HOOK_RANGES_MAGIC 0x400c5u

struct hook_ranges {
    unsigned magic;
    struct loop *loop;          /* borrowed */
    struct http_client *client; /* borrowed */
    char *url;                  /* owned: of the question */
    char *cache_file;           /* owned, or NULL */
    int64_t refresh_ms;
    void (*on_known)(void *argument);
    void *argument;             /* for on_known */
    struct address_ranges *set; /* owned; NULL: none is known */
    char *etag;                 /* owned; of the answer that the set is of, or NULL */
    int64_t confirmed_wall_ms;  /* when GitHub last said that the set is right; valid with a set */
    struct loop_timer *timer;   /* owned: the next question */
    struct http_call *call;     /* under way, or NULL */
    int64_t retry_ms;           /* the next wait after a failure */
    int failure;                /* code of the last failure that was logged; 0: all is well */
    int failure_status;         /* HTTP status of it, or 0 */
    int cache_failure;          /* code of the last failure to write the file; 0: none */
    struct metrics_family *reads; /* borrowed from the registry, as below */
    struct metric *count;
    struct metric *age;
};

/* ---- reading ---- */

int hook_ranges_parse(const char *text, size_t text_bytes, struct address_ranges **ret_ranges,
                      struct error *error)
{
    CLEANUP(json_release) json_t *value = NULL;
    CLEANUP(address_ranges_free) struct address_ranges *ranges = address_ranges_new();
    int code = json_read(text, text_bytes, &value, error);
    if (code != 0)
        return code;
    const json_t *hooks = json_object_get(value, "hooks");
    if (!json_is_array(hooks) || json_array_size(hooks) == 0)
        return error_set(error, ERR_INPUT,
                         "\"hooks\" is no list with entries: this server publishes no addresses");
    for (size_t i = 0; i < json_array_size(hooks) && code == 0; i++) {
        const json_t *entry = json_array_get(hooks, i);
        struct address_range range;
        if (!json_is_string(entry))
            return error_set(error, ERR_INPUT, "\"hooks\": entry %zu is no text", i + 1);
        code =
            address_range_parse(json_string_value(entry), json_string_length(entry), &range, error);
        if (code == 0 && range.prefix_bits == 0)
            code = error_set(error, ERR_INPUT, "it is a range of all addresses");
        if (code != 0)
            return error_prefix(error, code, "\"hooks\": entry %zu", i + 1);
        code = address_ranges_add(ranges, &range, error);
    }
    if (code == 0)
        *ret_ranges = TAKE(ranges);
    return code;
}

/* An ETag goes back as the value of a header: nothing but visible ASCII may be in it (RFC 9110 §8.8.3). */
static bool etag_is_usable(const char *etag)
{
    if (etag == NULL || etag[0] == '\0' || strlen(etag) > ETAG_MAX_BYTES)
        return false;
    for (const char *place = etag; *place != '\0'; place++) {
        if (*place < '!' || *place > '~')
            return false;
    }
    return true;
}

/* ---- the set in force ---- */

static struct metric *reads_series(struct hook_ranges *hooks, const char *result)
{
    const char *const labels[] = {result};
    return metrics_series(hooks->reads, labels);
}

/* Puts a set (taken) into force that was confirmed at a time. */
static void take_set(struct hook_ranges *hooks, struct address_ranges *set, const char *etag,
                     int64_t confirmed_wall_ms)
{
    bool is_first = hooks->set == NULL;
    address_ranges_free(hooks->set);
    hooks->set = set;
    free(hooks->etag);
    hooks->etag = etag_is_usable(etag) ? mem_copy_text(etag) : NULL;
    hooks->confirmed_wall_ms = confirmed_wall_ms;
    metric_set(hooks->count, (double)address_ranges_count(set));
    if (is_first)
        hooks->on_known(hooks->argument);
}

/* ---- the cache file ---- */

static json_t *make_list(const struct address_ranges *set)
{
    json_t *list = json_array();
    for (size_t i = 0; i < address_ranges_count(set); i++) {
        char text[ADDRESS_RANGE_TEXT_BYTES];
        address_range_to_text(address_ranges_at(set, i), text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

/* Writes the set in force; what fails is logged once. */
static void write_cache(struct hook_ranges *hooks)
{
    if (hooks->cache_file == NULL)
        return;
    char confirmed[TIME_TEXT_BYTES];
    time_to_text(hooks->confirmed_wall_ms, confirmed);
    CLEANUP(json_release)
    json_t *cache = json_pack("{s:s, s:s, s:o}", "url", hooks->url, "confirmed", confirmed, "hooks",
                              make_list(hooks->set));
    if (hooks->etag != NULL)
        json_object_set_new(cache, "etag", json_string(hooks->etag));
    size_t text_bytes = 0;
    CLEANUP(mem_free) char *text = json_write(cache, &text_bytes);
    struct error error = {0};
    int code = file_write_atomically(hooks->cache_file, text, text_bytes, &error);
    if (code != 0 && code != hooks->cache_failure)
        LOG_WARNING(
            "GitHub's addresses cannot be kept in the cache file; a restart while GitHub is "
            "away would have none",
            LOG_TEXT("error", err_name(code)), LOG_TEXT("detail", error.text));
    hooks->cache_failure = code;
}

/* Reads the file into the set in force. ERR_NOT_FOUND if there is none yet. */
static int read_cache(struct hook_ranges *hooks, struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(CACHE_MAX_BYTES);
    CLEANUP(address_ranges_free) struct address_ranges *set = NULL;
    CLEANUP(json_release) json_t *cache = NULL;
    const char *url = NULL;
    const char *confirmed = NULL;
    int64_t confirmed_wall_ms = 0;
    int code = file_read(hooks->cache_file, &text, error);
    if (code != 0)
        return code;
    code = hook_ranges_parse(text.data, text.size_bytes, &set, error);
    if (code == 0)
        code = json_read(text.data, text.size_bytes, &cache, error);
    if (code == 0)
        code = json_get_text(cache, "url", &url, error);
    if (code == 0)
        code = json_get_text(cache, "confirmed", &confirmed, error);
    if (code == 0 && time_from_text(confirmed, strlen(confirmed), &confirmed_wall_ms) != 0)
        code = error_set(error, ERR_INPUT, "\"confirmed\" is no time");
    if (code == 0 && strcmp(url, hooks->url) != 0)
        code = error_set(error, ERR_INPUT, "it is the answer of %s, not of %s", url, hooks->url);
    if (code != 0) /* a member that is absent is no file that is absent */
        return error_prefix(error, code == ERR_NOT_FOUND ? ERR_INPUT : code, "%s",
                            hooks->cache_file);
    take_set(hooks, TAKE(set), json_text_or(cache, "etag", NULL), confirmed_wall_ms);
    LOG_INFO("GitHub's addresses are those of the cache file until GitHub has been asked",
             LOG_TEXT("file", hooks->cache_file), LOG_TEXT("confirmed", confirmed),
             LOG_INT("ranges", address_ranges_count(hooks->set)));
    return 0;
}

static void start_from_cache(struct hook_ranges *hooks)
{
    struct error error = {0};
    int code = hooks->cache_file != NULL ? read_cache(hooks, &error) : 0;
    if (code != 0 && code != ERR_NOT_FOUND)
        LOG_WARNING("the cache file of GitHub's addresses is not used",
                    LOG_TEXT("error", err_name(code)), LOG_TEXT("detail", error.text));
}

/* ---- asking ---- */

/* Sets the timer to about `wait_ms`. */
static void ask_after(struct hook_ranges *hooks, int64_t wait_ms)
{
    int64_t jitter_ms = wait_ms / JITTER_SHARE;
    int64_t chance_ms = (int64_t)loop_random_below(hooks->loop, (uint64_t)(2 * jitter_ms + 1));
    loop_timer_set(hooks->timer, wait_ms - jitter_ms + chance_ms);
}

static int64_t first_retry_ms(const struct hook_ranges *hooks)
{
    return hooks->refresh_ms < HOOK_RANGES_RETRY_LEAST_MS ? hooks->refresh_ms
                                                          : HOOK_RANGES_RETRY_LEAST_MS;
}

static void on_failure(struct hook_ranges *hooks, int code, int status, const char *detail)
{
    int64_t wait_ms = hooks->retry_ms;
    int64_t most_ms = hooks->refresh_ms < HOOK_RANGES_RETRY_MOST_MS ? hooks->refresh_ms
                                                                    : HOOK_RANGES_RETRY_MOST_MS;
    hooks->retry_ms = 2 * wait_ms < most_ms ? 2 * wait_ms : most_ms;
    metric_add(reads_series(hooks, RESULT_FAILED), 1);
    ask_after(hooks, wait_ms);
    if (code == hooks->failure && status == hooks->failure_status)
        return;
    hooks->failure = code;
    hooks->failure_status = status;
    LOG_WARNING(hooks->set != NULL
                    ? "GitHub's addresses cannot be asked for; the former ones stay in force"
                    : "GitHub's addresses cannot be asked for; until they are known, deliveries "
                      "from elsewhere than --allow-from names literally are answered 503",
                LOG_TEXT("error", err_name(code)), LOG_TEXT("detail", detail),
                LOG_INT("retry_ms", wait_ms));
}

/* GitHub has said what is right; `set` (taken) is NULL if it is what is in force. */
static void on_success(struct hook_ranges *hooks, struct address_ranges *set, const char *etag)
{
    bool is_changed = set != NULL && !address_ranges_equal(set, hooks->set);
    if (set != NULL)
        take_set(hooks, set, etag, loop_wall_ms(hooks->loop));
    hooks->confirmed_wall_ms = loop_wall_ms(hooks->loop);
    metric_add(reads_series(hooks, is_changed ? RESULT_CHANGED : RESULT_UNCHANGED), 1);
    if (is_changed)
        LOG_INFO("GitHub's addresses are in force", LOG_TEXT("url", hooks->url),
                 LOG_INT("ranges", address_ranges_count(hooks->set)));
    else if (hooks->failure != 0)
        LOG_INFO("GitHub has confirmed its addresses again", LOG_TEXT("url", hooks->url));
    hooks->failure = 0;
    hooks->failure_status = 0;
    hooks->retry_ms = first_retry_ms(hooks);
    write_cache(hooks);
    ask_after(hooks, hooks->refresh_ms);
}

static void on_answer(void *argument, int code, const struct http_response *response,
                      const struct error *failure)
{
    struct hook_ranges *hooks = CAST_CHECKED(struct hook_ranges, argument, HOOK_RANGES_MAGIC);
    struct address_ranges *set = NULL;
    struct error error = {0};
    hooks->call = NULL;
    if (code != 0) {
        on_failure(hooks, code, 0, failure->text);
    } else if (response->status == 304 && hooks->etag != NULL) {
        on_success(hooks, NULL, NULL);
    } else if (response->status != 200) {
        (void)error_set(&error, ERR_UNAVAILABLE, "GET %s: the answer has the status %d", hooks->url,
                        response->status);
        on_failure(hooks, ERR_UNAVAILABLE, response->status, error.text);
    } else {
        code = hook_ranges_parse(response->body, response->body_bytes, &set, &error);
        if (code == 0) {
            on_success(hooks, set, http_response_header(response, "ETag"));
            return;
        }
        (void)error_prefix(&error, code, "GET %s", hooks->url);
        on_failure(hooks, code, response->status, error.text);
    }
}

void hook_ranges_refresh(struct hook_ranges *hooks)
{
    if (hooks->call != NULL)
        return;
    struct http_request request = {
        .method = "GET",
        .url = hooks->url,
        .headers = {{"Accept", "application/vnd.github+json"}},
        .header_count = 1,
        .timeout_ms = ASK_TIMEOUT_MS,
        .body_max_bytes = HOOK_RANGES_ANSWER_MAX_BYTES,
    };
    if (hooks->etag != NULL)
        request.headers[request.header_count++] =
            (struct http_header){"If-None-Match", hooks->etag};
    loop_timer_clear(hooks->timer);
    hooks->call = http_send(hooks->client, &request, on_answer, hooks);
}

static void on_timer(void *argument)
{
    hook_ranges_refresh(CAST_CHECKED(struct hook_ranges, argument, HOOK_RANGES_MAGIC));
}

/* ---- life ---- */

static void declare_metrics(struct hook_ranges *hooks, struct metrics *registry)
{
    static const char *const result_labels[] = {"result", NULL};
    hooks->reads = metrics_declare(
        registry, METRICS_COUNTER, "nodag_ingest_github_hook_ranges_reads_total",
        "Questions for GitHub's addresses, by result: changed, unchanged, failed.", result_labels);
    static const char *const results[] = {RESULT_CHANGED, RESULT_UNCHANGED, RESULT_FAILED};
    for (size_t i = 0; i < ARRAY_COUNT(results); i++)
        (void)reads_series(hooks, results[i]); /* there from the start, at 0 */
    hooks->count = metrics_single(
        metrics_declare(registry, METRICS_GAUGE, "nodag_ingest_github_hook_ranges",
                        "Ranges of GitHub's addresses in force; 0: they are not known yet.", NULL));
    hooks->age = metrics_single(
        metrics_declare(registry, METRICS_GAUGE, "nodag_ingest_github_hook_ranges_age_seconds",
                        "Time since GitHub last confirmed the ranges in force.", NULL));
}

struct hook_ranges *hook_ranges_new(struct loop *loop, struct http_client *client,
                                    const struct hook_ranges_settings *settings,
                                    struct metrics *registry, void (*on_known)(void *argument),
                                    void *argument)
{
    assert(settings->refresh_ms > 0);
    struct hook_ranges *hooks = MEM_NEW(struct hook_ranges);
    hooks->magic = HOOK_RANGES_MAGIC;
    hooks->loop = loop;
    hooks->client = client;
    hooks->url = mem_format("%s/meta", settings->api_url);
    hooks->cache_file = mem_copy_text(settings->cache_file);
    hooks->refresh_ms = settings->refresh_ms;
    hooks->on_known = on_known;
    hooks->argument = argument;
    hooks->timer = loop_timer_new(loop, on_timer, hooks);
    hooks->retry_ms = first_retry_ms(hooks);
    declare_metrics(hooks, registry);
    start_from_cache(hooks);
    hook_ranges_refresh(hooks);
    return hooks;
}

void hook_ranges_free(struct hook_ranges *hooks)
{
    if (hooks == NULL)
        return;
    if (hooks->call != NULL)
        http_cancel(hooks->client, hooks->call);
    loop_timer_free(hooks->timer);
    address_ranges_free(hooks->set);
    free(hooks->etag);
    free(hooks->url);
    free(hooks->cache_file);
    hooks->magic = 0;
    free(hooks);
}

const struct address_ranges *hook_ranges_set(const struct hook_ranges *hooks)
{
    return hooks->set;
}

void hook_ranges_collect(struct hook_ranges *hooks)
{
    if (hooks->set == NULL)
        return;
    int64_t age_ms = loop_wall_ms(hooks->loop) - hooks->confirmed_wall_ms;
    metric_set(hooks->age, (double)(age_ms > 0 ? age_ms : 0) / MS_PER_SECOND);
}
