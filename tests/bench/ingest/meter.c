/* What a load measures: see meter.h for what is kept and why it is exact. */
#include "tests/bench/ingest/meter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/memory.h"

/* Measurements that room is made for at first: further room doubles. */
#define TIMES_FIRST ((size_t)1 << 18)

#define US_PER_S 1000000

int64_t meter_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

void meter_start(struct meter *meter, const struct meter_settings *settings)
{
    *meter = (struct meter){
        .settings = *settings,
        .times_us = mem_alloc_array(TIMES_FIRST, sizeof(uint32_t)),
        .times_capacity = TIMES_FIRST,
    };
}

static void start_clock(struct meter *meter, int64_t now_us)
{
    meter->begin_us = now_us + meter->settings.warm_up_ms * 1000;
    meter->last_us = meter->begin_us;
    meter->end_us = meter->begin_us + meter->settings.duration_ms * 1000;
}

void meter_note(struct meter *meter, int64_t started_us, int64_t ended_us)
{
    if (meter->count++ == 0)
        start_clock(meter, ended_us);
    if (ended_us <= meter->begin_us || meter_is_over(meter, ended_us))
        return;
    if (meter->time_count == meter->times_capacity) {
        meter->times_capacity *= 2;
        meter->times_us =
            mem_resize_array(meter->times_us, meter->times_capacity, sizeof(uint32_t));
    }
    meter->times_us[meter->time_count++] = (uint32_t)(ended_us - started_us);
    meter->last_us = ended_us;
}

bool meter_is_over(const struct meter *meter, int64_t now_us)
{
    return meter->count > 0 && (now_us >= meter->end_us || meter->time_count == METER_TIMES_MAX);
}

static int compare_times(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* The smallest time that at least `share` of all are within. */
static uint32_t percentile(const struct meter *meter, double share)
{
    size_t at = (size_t)(share * (double)meter->time_count);
    return meter->times_us[at < meter->time_count ? at : meter->time_count - 1];
}

bool meter_print(struct meter *meter, FILE *stream, double cpu_s)
{
    if (meter->time_count == 0)
        return false;
    qsort(meter->times_us, meter->time_count, sizeof(*meter->times_us), compare_times);
    double seconds = (double)(meter->last_us - meter->begin_us) / US_PER_S;
    (void)fprintf(stream,
                  "{\"count\": %" PRIu64
                  ", \"measured\": %zu, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %" PRIu32
                  ", \"p99_us\": %" PRIu32 ", \"max_us\": %" PRIu32 ", \"cpu_s\": %.6f}\n",
                  meter->count, meter->time_count, seconds, (double)meter->time_count / seconds,
                  percentile(meter, 0.5), percentile(meter, 0.99),
                  meter->times_us[meter->time_count - 1], cpu_s);
    return true;
}

double meter_cpu_s(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / US_PER_S;
}

void meter_release(struct meter *meter)
{
    free(TAKE(meter->times_us));
}
