/*
 * Rate limits and the budget of writes: see forge_limits.h.
 *
 * The budget remembers the times of its last `per_hour` writes in a ring; `next` is the oldest of
 * them once the ring is full. A write may be made when the one `per_hour` before it is an hour
 * old, and the one `per_minute` before it a minute.
 */
#include "reactors/clients/forge_limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/time_text.h"

/* Milliseconds of a second, a minute, an hour. */
#define SECOND_MS 1000
/* See above. */
#define MINUTE_MS 60000
/* See above. */
#define HOUR_MS 3600000

/* After x-ratelimit-reset: its second must be over, and clocks round. */
#define RESET_MARGIN_MS 1000

/* Statuses by which GitHub says "too many". */
#define STATUS_FORBIDDEN 403
/* See above. */
#define STATUS_TOO_MANY 429

/* Doublings after which the longest wait is reached for sure; keeps the shift defined. */
#define DOUBLINGS_MAX 20

struct forge_budget {
    size_t per_hour;
    size_t per_minute;
    int64_t *times_ms; /* owned ring of per_hour times */
    size_t count;      /* how many are filled */
    size_t next;       /* where the next goes */
};

static int64_t least(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

static int64_t most(int64_t left, int64_t right)
{
    return left > right ? left : right;
}

/* Keeps a wait that the forge named within what is sensible. */
static int64_t bound_wait(int64_t wait_ms)
{
    return most(FORGE_LIMIT_LEAST_MS, least(wait_ms, FORGE_LIMIT_MOST_MS));
}

/* Reads a header that is a whole number ≥ 0. */
static bool read_number(const struct http_response *response, const char *name, int64_t *ret_number)
{
    const char *text = http_response_header(response, name);
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return false;
    char *end = NULL;
    long long number = strtoll(text, &end, 10);
    if (*end != '\0' || number > INT64_MAX / SECOND_MS)
        return false;
    *ret_number = number;
    return true;
}

int64_t forge_limit_forge_time_ms(const struct http_response *response, int64_t wall_ms)
{
    const char *date = http_response_header(response, "Date");
    int64_t time_ms = 0;
    if (date == NULL || time_from_http_date(date, &time_ms) != 0)
        return wall_ms;
    return time_ms;
}

/* Reads Retry-After (RFC 9110 §10.2.3): seconds, or a date. */
static bool read_retry_after(const struct http_response *response, int64_t wall_ms,
                             int64_t *ret_wait_ms)
{
    int64_t seconds = 0;
    if (read_number(response, "Retry-After", &seconds)) {
        *ret_wait_ms = seconds * SECOND_MS;
        return true;
    }
    const char *text = http_response_header(response, "Retry-After");
    int64_t until_ms = 0;
    if (text == NULL || time_from_http_date(text, &until_ms) != 0)
        return false;
    *ret_wait_ms = until_ms - forge_limit_forge_time_ms(response, wall_ms);
    return true;
}

/* The words of GitHub's messages; the older one is still given by Enterprise. */
static bool says_secondary(const struct http_response *response)
{
    return strcasestr(response->body, "secondary rate limit") != NULL ||
           strcasestr(response->body, "abuse detection") != NULL;
}

static void learn_primary(struct forge_limit *limit, const struct http_response *response,
                          int64_t now_ms, int64_t wall_ms)
{
    int64_t remaining = 0;
    int64_t reset_s = 0;
    if (!read_number(response, "x-ratelimit-remaining", &remaining))
        return;
    limit->remaining = remaining;
    limit->is_known = true;
    if (!read_number(response, "x-ratelimit-limit", &limit->limit))
        limit->limit = 0;
    limit->reset_ms = 0;
    if (!read_number(response, "x-ratelimit-reset", &reset_s))
        return;
    int64_t wait_ms = reset_s * SECOND_MS - forge_limit_forge_time_ms(response, wall_ms);
    limit->reset_ms = now_ms + bound_wait(wait_ms + RESET_MARGIN_MS);
    if (remaining == 0)
        limit->primary_until_ms = most(limit->primary_until_ms, limit->reset_ms);
}

static void meet_secondary(struct forge_limit *limit, const struct http_response *response,
                           bool is_write, int64_t now_ms, int64_t wall_ms)
{
    int64_t wait_ms = 0;
    if (!read_retry_after(response, wall_ms, &wait_ms)) {
        /*
         * Several requests were under way when the limit struck: that is one refusal, not several.
         */
        if (now_ms >= limit->secondary_until_ms && limit->secondary_count < DOUBLINGS_MAX)
            limit->secondary_count++;
        int doublings = limit->secondary_count > 0 ? limit->secondary_count - 1 : 0;
        wait_ms = least((int64_t)FORGE_SECONDARY_FIRST_MS << doublings, FORGE_SECONDARY_MOST_MS);
    }
    limit->secondary_by_write = is_write;
    limit->secondary_until_ms = most(limit->secondary_until_ms, now_ms + bound_wait(wait_ms));
}

enum forge_limit_kind forge_limit_learn(struct forge_limit *limit,
                                        const struct http_response *response, bool is_write,
                                        int64_t now_ms, int64_t wall_ms)
{
    learn_primary(limit, response, now_ms, wall_ms);
    if (response->status != STATUS_FORBIDDEN && response->status != STATUS_TOO_MANY) {
        bool is_success = response->status >= 200 && response->status < 400;
        if (is_success && is_write == limit->secondary_by_write)
            limit->secondary_count = 0;
        return FORGE_LIMIT_NONE;
    }
    int64_t remaining = 0;
    bool is_used_up = read_number(response, "x-ratelimit-remaining", &remaining) && remaining == 0;
    if (http_response_header(response, "Retry-After") == NULL && !says_secondary(response)) {
        if (is_used_up && now_ms < limit->primary_until_ms)
            return FORGE_LIMIT_PRIMARY;
        if (!is_used_up && response->status == STATUS_FORBIDDEN)
            return FORGE_LIMIT_NONE;
    }
    meet_secondary(limit, response, is_write, now_ms, wall_ms);
    return FORGE_LIMIT_SECONDARY;
}

int64_t forge_limit_wait_ms(const struct forge_limit *limit, int64_t now_ms,
                            enum forge_limit_kind *ret_kind)
{
    bool is_secondary = limit->secondary_until_ms > limit->primary_until_ms;
    int64_t until_ms = most(limit->secondary_until_ms, limit->primary_until_ms);
    if (until_ms <= now_ms) {
        *ret_kind = FORGE_LIMIT_NONE;
        return 0;
    }
    *ret_kind = is_secondary ? FORGE_LIMIT_SECONDARY : FORGE_LIMIT_PRIMARY;
    return most(until_ms - now_ms, FORGE_LIMIT_LEAST_MS);
}

struct forge_budget *forge_budget_new(size_t per_hour)
{
    assert(per_hour >= 1);
    struct forge_budget *budget = MEM_NEW(struct forge_budget);
    budget->per_hour = per_hour;
    budget->per_minute = (per_hour * FORGE_WRITES_MINUTE_PERCENT + 99) / 100;
    budget->times_ms = mem_alloc_array(per_hour, sizeof(*budget->times_ms));
    return budget;
}

void forge_budget_free(struct forge_budget *budget)
{
    if (budget == NULL)
        return;
    free(budget->times_ms);
    free(budget);
}

/*
 * Returns how long to wait so that the write `back` writes ago (1: the last one) lies `window_ms`
 * in the past.
 */
static int64_t wait_for(const struct forge_budget *budget, size_t back, int64_t window_ms,
                        int64_t now_ms)
{
    if (budget->count < back)
        return 0;
    size_t place = (budget->next + budget->per_hour - back) % budget->per_hour;
    return most(0, budget->times_ms[place] + window_ms - now_ms);
}

int64_t forge_budget_wait_ms(const struct forge_budget *budget, int64_t now_ms)
{
    int64_t wait_ms = most(wait_for(budget, budget->per_hour, HOUR_MS, now_ms),
                           wait_for(budget, budget->per_minute, MINUTE_MS, now_ms));
    return wait_ms == 0 ? 0 : most(wait_ms, FORGE_LIMIT_LEAST_MS);
}

void forge_budget_take(struct forge_budget *budget, int64_t now_ms)
{
    assert(forge_budget_wait_ms(budget, now_ms) == 0);
    budget->times_ms[budget->next] = now_ms;
    budget->next = (budget->next + 1) % budget->per_hour;
    if (budget->count < budget->per_hour)
        budget->count++;
}
