/*
 * What a load measures: how many a second, and how long each took.
 *
 * Design: what ends during the warm-up is counted but not measured; the warm-up begins with the first that ends, so
 * that nobody's connecting is measured. Every time is kept, four bytes each, and sorted
 * at the end: percentiles are exact, and noting costs nothing that could disturb. Invariant: a run is bounded by
 * warm-up and duration; one that passes METER_TIMES_MAX measurements is over.
 */
#ifndef NODAG_TESTS_BENCH_INGEST_METER_H
#define NODAG_TESTS_BENCH_INGEST_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Most measurements of a run: 64 MB, two minutes at a hundred thousand a second. */
#define METER_TIMES_MAX ((size_t)16 << 20)

/* The options that every load has; members of its settings struct `type`. */
#define METER_OPTION_ROWS(type, member)                                                            \
    {.name = "warm-up",                                                                            \
     .kind = OPTION_DURATION,                                                                      \
     .offset = offsetof(type, member.warm_up_ms),                                                  \
     .default_value = "1s",                                                                        \
     .least = 0,                                                                                   \
     .most = 60000,                                                                                \
     .group = "Measuring",                                                                         \
     .help = "How long it runs before anything is measured."},                                     \
    {                                                                                              \
        .name = "duration", .kind = OPTION_DURATION, .offset = offsetof(type, member.duration_ms), \
        .default_value = "5s", .least = 100, .most = 120000,                                       \
        .help = "How long it is measured; then it ends by itself."                                 \
    }

/* How long to measure. */
struct meter_settings {
    int64_t warm_up_ms;  /* before it */
    int64_t duration_ms; /* of it */
};

/* A measurement under way; members are the meter's own. */
struct meter {
    struct meter_settings settings; /* of the run */
    int64_t begin_us;               /* of the measured time; 0: none has ended yet */
    int64_t end_us;                 /* of it, as it was planned */
    int64_t last_us;                /* when the last one ended that was measured */
    uint64_t count;                 /* ended, warm-up included */
    uint32_t *times_us;             /* owned */
    size_t time_count;              /* in use */
    size_t times_capacity;          /* allocated */
};

/* Returns monotonic time in microseconds. Any thread. */
int64_t meter_now_us(void);

/* Makes it ready; the clock starts with the first note. meter_release frees what it holds. One thread. */
void meter_start(struct meter *meter, const struct meter_settings *settings);

/* Notes one that took from `started_us` to `ended_us`. */
void meter_note(struct meter *meter, int64_t started_us, int64_t ended_us);

/* Returns true when nothing new should be started. */
bool meter_is_over(const struct meter *meter, int64_t now_us);

/*
 * Prints one line of JSON: count (warm-up included), measured, seconds, rate (measured a second), p50_us, p99_us,
 * max_us, and cpu_s, the processor time that the caller says it used for all of `count`. Returns false, and prints
 * nothing, if nothing was measured.
 */
bool meter_print(struct meter *meter, FILE *stream, double cpu_s);

/* Returns the seconds of processor time that this process has used, all threads, user and system. Any thread. */
double meter_cpu_s(void);

/* Frees the measurements. */
void meter_release(struct meter *meter);

#endif
