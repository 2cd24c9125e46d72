/*
 * nodag-bench-kernel: how long the kernel takes for a backlog of keys, and how much memory.
 *
 * Design: the kernel over the bus in memory, on a simulated clock, with a reactor that does
 * nothing: what is measured is the kernel itself, and the bus, whose share `--mode count` tells. A
 * round makes a world of its own, appends all records before the kernel starts, and goes through
 * two phases, each timed by the process' CPU (one thread, no waiting: other programs do not count):
 *
 *      intake   records → keys in the queue; what the reactor is handed is held until all are there
 *      drain    keys → outcomes → stored offsets
 *
 * In between stands the whole backlog: there the heap is measured, against the heap before the
 * kernel was made.
 *
 *      count    no kernel: a group whose owner counts the records. The limit
 *      drain    every key is DONE at its first run
 *      retry    every key is RETRY at its first run (a record on `pending`, a timer), then DONE
 *      behind   the tables of one partition come late, while the keys of the others run
 *      boot     the tables of all partitions come late: the backlog waits for them
 *      stream   nothing is held: keys run while records come, within --queue-keys
 *
 * Prints one JSON object a round. Invariant: a round counts only if every key was finished and
 * every offset committed; else the program says so and fails.
 */
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/option.h"
#include "reactors/kernel/kernel.h"
#include "topics/bus_memory.h"

/* Keys under way at a time: the kernel's default. */
#define BENCH_CONCURRENCY 8

/* Partitions of the home topic, as in a cluster. */
#define BENCH_PARTITIONS TOPIC_PARTITIONS_MANY

/* Issues are spread over so many repositories. */
#define BENCH_REPOSITORIES 50

/* Events of the mode `behind` for each record that comes late: enough that it comes last. */
#define BENCH_LATE_FACTOR 4

/* Steps of the loop between two looks whether a phase is over. */
#define BENCH_STEPS_PER_LOOK 64

/* Longer than a stored offset takes to be committed, in milliseconds. */
#define BENCH_COMMIT_MS 2000

/* Settings of the command. */
struct bench_settings {
    int64_t keys;           /* --keys */
    int64_t events_per_key; /* --events-per-key */
    int64_t queue_keys;     /* --queue-keys */
    int64_t rounds;         /* --rounds */
    const char *mode;       /* --mode */
};

/* One round's world. */
struct bench {
    const struct bench_settings *settings;       /* borrowed */
    struct loop *loop;                           /* simulated */
    struct bus_memory *cluster;                  /* owned */
    struct bus *bus;                             /* of the process */
    struct kernel *kernel;                       /* NULL in mode count */
    struct bus_group *group;                     /* mode count */
    struct kernel_work *held[BENCH_CONCURRENCY]; /* handed out and not finished */
    size_t held_count;                           /* of them */
    bool holding;                                /* nothing is finished yet */
    bool retrying;                               /* a first run ends with RETRY */
    bool left;                                   /* drained */
    int64_t routed;                              /* records seen */
    int64_t runs;                                /* reconciles */
    int64_t done;                                /* of them, DONE */
};

/* What a round tells. */
struct bench_result {
    double intake_s;   /* CPU */
    double drain_s;    /* CPU */
    size_t heap_bytes; /* of the kernel with the whole backlog */
    size_t left_bytes; /* of the kernel after the drain */
};

static const struct option_row bench_rows[] = {
    {.name = "keys",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct bench_settings, keys),
     .default_value = "1000",
     .least = 1,
     .most = 10000000,
     .group = "Backlog",
     .help = "How many keys."},
    {.name = "events-per-key",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct bench_settings, events_per_key),
     .default_value = "1",
     .least = 1,
     .most = 10000000,
     .help = "How many events each has."},
    {.name = "queue-keys",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct bench_settings, queue_keys),
     .default_value = "10000000",
     .least = 10,
     .most = 10000000,
     .help = "The kernel's limit of keys in memory."},
    {.name = "mode",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct bench_settings, mode),
     .default_value = "drain",
     .choices = "count|drain|retry|behind|boot|stream",
     .help = "What becomes of the keys; see the file's head."},
    {.name = "rounds",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct bench_settings, rounds),
     .default_value = "1",
     .least = 1,
     .most = 10000,
     .help = "How often it is done."},
};

/* --- measuring --- */

static double cpu_now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Bytes in use, with the allocator's own. */
static size_t heap_now_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static bool bench_is(const struct bench *bench, const char *mode)
{
    return strcmp(bench->settings->mode, mode) == 0;
}

/* --- the reactor that does nothing --- */

static bool bench_route(void *self, const struct bus_record *record, const struct event *event,
                        struct kernel_route *ret_route)
{
    struct bench *bench = self;
    bench->routed++;
    memcpy(ret_route->key, record->key, record->key_bytes);
    ret_route->key[record->key_bytes] = '\0';
    memcpy(ret_route->note, event->repository.data, event->repository.bytes);
    ret_route->note[event->repository.bytes] = '\0';
    return true;
}

static void bench_finish_held(void *argument)
{
    struct bench *bench = argument;
    while (bench->held_count > 0) {
        struct kernel_work *work = bench->held[--bench->held_count];
        bool again = bench->retrying && kernel_work_attempts(work) == 0;
        struct kernel_outcome outcome = {.kind = again ? KERNEL_RETRY : KERNEL_DONE,
                                         .reason = again ? "the forge does not answer" : NULL};
        if (!again)
            bench->done++;
        kernel_finish(work, &outcome);
    }
}

static void bench_reconcile(void *self, struct kernel_work *work)
{
    struct bench *bench = self;
    bench->runs++;
    bench->held[bench->held_count++] = work;
    if (bench->held_count == 1 && !bench->holding)
        loop_defer(bench->loop, bench_finish_held, bench);
}

static void bench_abandon(void *self, struct kernel_work *work)
{
    (void)work;
    struct bench *bench = self;
    bench->held_count = 0;
}

static void bench_apply(void *self, const struct bus_record *record)
{
    (void)self;
    (void)record;
}

static void bench_forget(void *self, int32_t partition)
{
    (void)self;
    (void)partition;
}

static const struct kernel_reactor bench_reactor = {
    .name = "bench",
    .home = TOPIC_GITHUB_EVENTS,
    .route = bench_route,
    .reconcile = bench_reconcile,
    .abandon = bench_abandon,
    .tables = {{.topic = TOPIC_PREDICTIONS,
                .scope = KERNEL_TABLE_OWNED,
                .apply = bench_apply,
                .forget = bench_forget}},
    .table_count = 1,
};

/* --- the owner that counts --- */

static void count_partitions(void *argument, const struct bus_partition *partitions, size_t count)
{
    (void)argument;
    (void)partitions;
    (void)count;
}

static void count_numbers(void *argument, const int32_t *partitions, size_t count)
{
    (void)argument;
    (void)partitions;
    (void)count;
}

static void count_record(void *argument, const struct bus_record *record)
{
    (void)record;
    struct bench *bench = argument;
    bench->routed++;
}

static const struct bus_group_handler count_handler = {
    .assigned = count_partitions,
    .revoking = count_numbers,
    .lost = count_numbers,
    .record = count_record,
};

/* --- the world --- */

static void bench_append(struct bench *bench, int64_t issue, int64_t repetition)
{
    char key[SUBJECT_KEY_BYTES];
    char id[64];
    char number[32];
    char repository[64];
    int64_t of_repository = issue % BENCH_REPOSITORIES;
    subject_key_issue(700000000 + of_repository, issue / BENCH_REPOSITORIES + 1, key);
    (void)snprintf(id, sizeof(id), "72d3162e-cc78-11e3-%04x-%012llx",
                   (unsigned)(repetition & 0xffff), (unsigned long long)issue);
    (void)snprintf(number, sizeof(number), "%lld", (long long)(issue / BENCH_REPOSITORIES + 1));
    (void)snprintf(repository, sizeof(repository), "an-organisation/repository-%lld",
                   (long long)of_repository);
    struct event event = {.id = text_of(id),
                          .source = text_of("https://github.com/an-organisation"),
                          .type = text_of("com.github.issue.opened"),
                          .subject = text_of(number),
                          .repository = text_of(repository),
                          .has_time = true,
                          .time_ms = 1700000000000};
    struct event_headers headers = {.count = 0};
    int code = envelope_encode(&event, &headers, NULL);
    assert(code == 0);
    (void)code;
    struct bus_message message = {.topic = TOPIC_GITHUB_EVENTS,
                                  .partition = BUS_PARTITION_BY_KEY,
                                  .key = key,
                                  .key_bytes = strlen(key),
                                  .value = "{}",
                                  .value_bytes = 2,
                                  .headers = headers.items,
                                  .header_count = headers.count};
    (void)bus_memory_append(bench->cluster, &message);
}

/* Fills a partition of a table: it is caught up only after all home records were delivered. */
static void bench_append_late(struct bench *bench, int32_t partition)
{
    struct bus_message message = {
        .topic = TOPIC_PREDICTIONS, .partition = partition, .key = "1#1", .key_bytes = 3};
    int64_t events = bench->settings->keys * bench->settings->events_per_key;
    for (int64_t i = 0; i < events * BENCH_LATE_FACTOR / BENCH_PARTITIONS; i++)
        (void)bus_memory_append(bench->cluster, &message);
}

static void bench_fill(struct bench *bench)
{
    for (int64_t i = 0; i < bench->settings->events_per_key; i++)
        for (int64_t issue = 0; issue < bench->settings->keys; issue++)
            bench_append(bench, issue, i);
    int32_t late = bench_is(bench, "behind") ? 1 : bench_is(bench, "boot") ? BENCH_PARTITIONS : 0;
    for (int32_t partition = 0; partition < late; partition++)
        bench_append_late(bench, partition);
}

static int bench_start(struct bench *bench, struct error *error)
{
    const struct kernel_settings settings = {
        .concurrency = BENCH_CONCURRENCY,
        .keys_max = bench->settings->queue_keys,
        .backoff_least_ms = 1000,
        .backoff_most_ms = 900000,
        .sweep_interval_ms = 15000,
        .revoke_timeout_ms = 20000,
    };
    if (bench_is(bench, "count"))
        return bus_join(bench->bus, TOPIC_GITHUB_EVENTS, "count", &count_handler, bench,
                        &bench->group, error);
    return kernel_new(bench->loop, bench->bus, NULL, &settings, &bench_reactor, bench,
                      &bench->kernel, error);
}

/* --- the phases --- */

static bool bench_is_taken_in(const struct bench *bench)
{
    return bench->routed >= bench->settings->keys * bench->settings->events_per_key;
}

static bool bench_is_drained(const struct bench *bench)
{
    struct kernel_counts counts;
    if (bench->kernel == NULL)
        return true;
    if (bench->done < bench->settings->keys || !bench_is_taken_in(bench))
        return false;
    kernel_count(bench->kernel, &counts);
    return counts.keys == 0 && counts.unfinished == 0;
}

/* Runs until a phase is over; returns the CPU that it took, -1 if nothing is left to run before. */
static double bench_run_phase(struct bench *bench, bool (*is_over)(const struct bench *bench))
{
    double start_s = cpu_now_s();
    while (!is_over(bench))
        for (int i = 0; i < BENCH_STEPS_PER_LOOK; i++)
            if (!loop_step(bench->loop) && !is_over(bench))
                return -1;
    return cpu_now_s() - start_s;
}

static bool bench_is_committed(struct bench *bench)
{
    if (bench->kernel == NULL)
        return true;
    loop_advance(bench->loop, BENCH_COMMIT_MS);
    for (int32_t p = 0; p < BENCH_PARTITIONS; p++)
        if (bus_memory_committed(bench->cluster, "nodag-bench", TOPIC_GITHUB_EVENTS, p) !=
            bus_memory_end(bench->cluster, TOPIC_GITHUB_EVENTS, p))
            return false;
    return true;
}

static bool bench_measure(struct bench *bench, struct bench_result *ret_result)
{
    bench->holding = bench_is(bench, "drain") || bench_is(bench, "retry");
    bench->retrying = bench_is(bench, "retry");
    ret_result->intake_s = bench_run_phase(bench, bench_is_taken_in);
    ret_result->heap_bytes = heap_now_bytes();
    bench->holding = false;
    if (bench->held_count > 0)
        loop_defer(bench->loop, bench_finish_held, bench);
    ret_result->drain_s = bench_run_phase(bench, bench_is_drained);
    ret_result->left_bytes = heap_now_bytes();
    return ret_result->intake_s >= 0 && ret_result->drain_s >= 0 && bench_is_committed(bench);
}

static void bench_on_left(void *argument)
{
    struct bench *bench = argument;
    bench->left = true;
}

static void bench_end(struct bench *bench)
{
    if (bench->kernel != NULL)
        kernel_drain(bench->kernel, bench_on_left, bench);
    else if (bench->group != NULL)
        bus_group_leave(bench->group, bench_on_left, bench);
    else
        bench->left = true;
    while (!bench->left && loop_step(bench->loop))
        continue;
    kernel_free(bench->kernel);
    bus_memory_close(bench->bus);
    bus_memory_free(bench->cluster);
    loop_free(bench->loop);
}

static bool bench_round(const struct bench_settings *settings, int64_t round)
{
    struct bench bench = {.settings = settings};
    struct bench_result result = {0};
    struct error error = {0};
    bench.loop = loop_new_simulated((uint64_t)round + 1, 1700000000000);
    bench.cluster = bus_memory_new(bench.loop, BENCH_PARTITIONS);
    bench.bus = bus_memory_open(bench.cluster);
    bench_fill(&bench);
    size_t before_bytes = heap_now_bytes();
    bool good = bench_start(&bench, &error) == 0 && bench_measure(&bench, &result);
    if (good)
        printf("{\"mode\":\"%s\",\"keys\":%lld,\"events\":%lld,\"runs\":%lld,\"intake_s\":%.6f,"
               "\"drain_s\":%.6f,\"heap_bytes\":%lld,\"left_bytes\":%lld}\n",
               settings->mode, (long long)settings->keys, (long long)bench.routed,
               (long long)bench.runs, result.intake_s, result.drain_s,
               (long long)result.heap_bytes - (long long)before_bytes,
               (long long)result.left_bytes - (long long)before_bytes);
    else
        (void)fprintf(stderr,
                      "nodag-bench-kernel: round %lld: %lld of %lld keys were finished, %lld "
                      "records seen %s\n",
                      (long long)round, (long long)bench.done, (long long)settings->keys,
                      (long long)bench.routed, error.text);
    bench_end(&bench);
    return good;
}

int main(int argc, char **argv)
{
    static const struct option_program program = {
        .name = "nodag-bench-kernel",
        .summary = "measures the kernel's time and memory for a backlog of keys",
        .usage = "[OPTION…]",
        .description = "Runs the kernel over a bus in memory with a reactor that does nothing, and "
                       "prints one JSON object a round.",
        .rows = bench_rows,
        .row_count = ARRAY_COUNT(bench_rows),
    };
    struct bench_settings settings = {0};
    int status = EXIT_STATUS_OK;
    if (!option_begin(&program, argc, argv, &settings, NULL, &status))
        return status;
    log_configure("nodag-bench-kernel", LOG_LEVEL_ERROR);
    for (int64_t round = 0; round < settings.rounds; round++)
        if (!bench_round(&settings, round))
            return EXIT_STATUS_FAILED;
    return EXIT_STATUS_OK;
}
