/*
 * GitHub's rate limits, and the budget for our own writes: internal to the forge client.
 * Source: GitHub REST API, "Rate limits for the REST API" (primary and secondary limits,
 * "Exceeding the rate limit") and "Best practices for using the REST API".
 *
 * Design: pure bookkeeping on numbers that the caller hands in; no clock, no I/O.
 *
 *   primary    x-ratelimit-remaining is 0: nothing before x-ratelimit-reset. Judged by the forge's
 *              own clock (the Date header) where it is given, so that our clock may be wrong.
 *   secondary  403 or 429 with Retry-After, or that says so: nothing before that; without the
 *              header a minute, doubled each time that it happens again, until a request of the
 *              same kind (read, write) succeeds.
 *   budget     our own writes: a window that slides, not a bucket that refills, because a full
 *              bucket would allow twice the number within one hour.
 *
 * Each credential (App, token, installation) has its own limits at GitHub and so here. The budget
 * is one for the client. It is forgotten at a restart; what that overspends, the secondary limit
 * stops.
 *
 * Invariants: a wait never shrinks before it is over; no more than the budget's writes in any hour
 * and any minute.
 */
#ifndef NODAG_REACTORS_CLIENTS_FORGE_LIMITS_H
#define NODAG_REACTORS_CLIENTS_FORGE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/http_client.h"

/*
 * Wait after a secondary limit without Retry-After: "at least one minute" by GitHub's words;
 * doubled each time.
 */
#define FORGE_SECONDARY_FIRST_MS 60000

/* Longest wait that doubling makes. */
#define FORGE_SECONDARY_MOST_MS 3600000

/*
 * Longest wait that the forge can impose: a header that says more is a mistake, and a day is
 * noticed.
 */
#define FORGE_LIMIT_MOST_MS 86400000

/* Shortest wait that is told to callers. */
#define FORGE_LIMIT_LEAST_MS 1000

/*
 * Of the writes of an hour, how many may fall into one minute, in per cent: GitHub documents 80
 * for 500.
 */
#define FORGE_WRITES_MINUTE_PERCENT 16

/* Which limit said no. */
enum forge_limit_kind {
    FORGE_LIMIT_NONE,      /* none */
    FORGE_LIMIT_PRIMARY,   /* requests an hour */
    FORGE_LIMIT_SECONDARY, /* too fast, too many at once, too much content */
    FORGE_LIMIT_BUDGET,    /* our own budget of writes */
};

/* Limits of one credential; all zero at the start. */
struct forge_limit {
    int64_t primary_until_ms;   /* monotonic */
    int64_t secondary_until_ms; /* monotonic */
    int secondary_count;        /* refusals without Retry-After in a row */
    bool secondary_by_write;    /* a write met the last one */
    int64_t remaining;          /* of the primary limit, as last told; valid if is_known */
    bool is_known;              /* an answer had the header */
    int64_t limit;              /* requests an hour, as last told; 0: not told */
    int64_t reset_ms;           /* monotonic; when the hour of `remaining` is over; 0: not told */
};

/* The budget of writes. */
struct forge_budget;

/*
 * Returns how long nothing may be sent, 0 for not at all; which limit says so in `ret_kind`. Loop
 * thread.
 */
int64_t forge_limit_wait_ms(const struct forge_limit *limit, int64_t now_ms,
                            enum forge_limit_kind *ret_kind);

/*
 * Learns from an answer to a read or a write that came at `now_ms` (monotonic), `wall_ms` (since
 * 1970). Returns which limit the answer says was exceeded, FORGE_LIMIT_NONE if it says no such
 * thing. Loop thread.
 */
enum forge_limit_kind forge_limit_learn(struct forge_limit *limit,
                                        const struct http_response *response, bool is_write,
                                        int64_t now_ms, int64_t wall_ms);

/*
 * Returns the forge's time of an answer (its Date header), `wall_ms` where it has none. Loop
 * thread.
 */
int64_t forge_limit_forge_time_ms(const struct http_response *response, int64_t wall_ms);

/* Makes a budget of `per_hour` ≥ 1 writes; owned. Loop thread. */
struct forge_budget *forge_budget_new(size_t per_hour);

/* Frees it; NULL allowed. Loop thread. */
void forge_budget_free(struct forge_budget *budget);
DEFINE_CLEANUP(struct forge_budget *, forge_budget_free)

/* Returns how long no write may be made, 0 if one may be made now. Loop thread. */
int64_t forge_budget_wait_ms(const struct forge_budget *budget, int64_t now_ms);

/* Counts a write; the caller has seen that none need wait. Loop thread. */
void forge_budget_take(struct forge_budget *budget, int64_t now_ms);

#endif
