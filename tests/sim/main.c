/*
 * The simulation's command: runs many seeds, prints a failing one with its history and how to run
 * it again.
 *
 * Usage: nodag-sim [--seeds N] [--first SEED] [--history forge|issues|both] [--verbose]
 *
 * The last line is "N passed, N failed, 0 skipped", one test a seed.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/option.h"
#include "tests/sim/sim.h"

/* Failing seeds after which there is no point in going on. */
#define SIM_FAILURES_MAX 5

/* Settings of the command. */
struct sim_settings {
    int64_t seeds;    /* how many */
    int64_t first;    /* the first one */
    const char *mode; /* where first looks are */
    bool verbose;     /* print histories */
};

static const struct option_row sim_rows[] = {
    {.name = "seeds",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct sim_settings, seeds),
     .default_value = "1000",
     .least = 1,
     .most = 100000000,
     .group = "Simulation",
     .help = "How many seeds to run."},
    {.name = "first",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct sim_settings, first),
     .default_value = "1",
     .least = 1,
     .most = INT64_MAX,
     .help = "The first seed."},
    {.name = "history",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct sim_settings, mode),
     .choices = "forge|issues|both",
     .default_value = "both",
     .help = "Where labelers look first at a new issue, as their option of that name."},
    {.name = "verbose",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct sim_settings, verbose),
     .help = "Print the history of every seed."},
};

/* The same doings of people in two orders, and once with people acting in between. */
static bool sim_run_mode(uint64_t seed, bool by_record, FILE *history,
                         struct sim_result *ret_result)
{
    struct sim_result other;
    struct sim_plan plan = {
        .people_seed = seed, .order_seed = seed * 2, .by_record = by_record, .history = history};
    sim_run(&plan, ret_result);
    if (ret_result->failure[0] != '\0')
        return false;
    plan.order_seed = seed * 2 + 1;
    sim_run(&plan, &other);
    if (other.failure[0] == '\0' && strcmp(other.fingerprint, ret_result->fingerprint) != 0)
        (void)snprintf(other.failure, sizeof(other.failure),
                       "two orders of the same events end differently:\n%.2000s---\n%.2000s",
                       ret_result->fingerprint, other.fingerprint);
    if (other.failure[0] == '\0') {
        plan.concurrent = true;
        sim_run(&plan, &other);
    }
    ret_result->events += other.events;
    ret_result->requests += other.requests;
    ret_result->crashes += other.crashes;
    ret_result->by_record += other.by_record;
    memcpy(ret_result->failure, other.failure, sizeof(other.failure));
    return other.failure[0] == '\0';
}

/* One seed, in the modes that are wanted. */
static bool sim_run_seed(uint64_t seed, const char *mode, FILE *history,
                         struct sim_result *ret_result)
{
    struct sim_result other = {0};
    *ret_result = (struct sim_result){0};
    if (strcmp(mode, "issues") != 0 && !sim_run_mode(seed, false, history, ret_result))
        return false;
    if (strcmp(mode, "forge") == 0)
        return true;
    bool passed = sim_run_mode(seed, true, history, &other);
    ret_result->events += other.events;
    ret_result->requests += other.requests;
    ret_result->crashes += other.crashes;
    ret_result->by_record += other.by_record;
    memcpy(ret_result->failure, other.failure, sizeof(other.failure));
    return passed;
}

static void sim_report_failure(const char *program, const char *mode, uint64_t seed)
{
    struct sim_result result;
    printf("---- seed %" PRIu64 ", its history:\n", seed);
    (void)sim_run_seed(seed, mode, stdout, &result);
    printf("FAILED seed %" PRIu64 ": %s\nrun it again: %s --seeds 1 --first %" PRIu64
           " --verbose\n",
           seed, result.failure, program, seed);
}

static int sim_run_all(const char *program, const struct sim_settings *settings)
{
    int64_t passed = 0;
    int64_t failed = 0;
    unsigned long events = 0;
    unsigned long crashes = 0;
    unsigned long by_record = 0;
    for (int64_t i = 0; i < settings->seeds && failed < SIM_FAILURES_MAX; i++) {
        struct sim_result result;
        uint64_t seed = (uint64_t)(settings->first + i);
        if (sim_run_seed(seed, settings->mode, settings->verbose ? stdout : NULL, &result)) {
            passed++;
        } else {
            failed++;
            sim_report_failure(program, settings->mode, seed);
        }
        events += result.events;
        crashes += result.crashes;
        by_record += result.by_record;
    }
    printf("%lu events delivered, %lu crashes, %lu looks by a record of issues\n", events, crashes,
           by_record);
    printf("%" PRId64 " passed, %" PRId64 " failed, 0 skipped\n", passed, failed);
    return failed == 0 ? EXIT_STATUS_OK : EXIT_STATUS_FAILED;
}

int main(int argc, char **argv)
{
    static const struct option_program program = {
        .name = "nodag-sim",
        .summary = "runs kernel, labeler and historian in a world driven by seeds",
        .usage = "[OPTION…]",
        .description =
            "Every seed runs three histories in each mode, with duplicates, delays, reordering, "
            "faults of Kafka and GitHub, and crashes.",
        .rows = sim_rows,
        .row_count = sizeof(sim_rows) / sizeof(sim_rows[0]),
    };
    struct sim_settings settings = {0};
    int status = EXIT_STATUS_OK;
    if (!option_begin(&program, argc, argv, &settings, NULL, &status))
        return status;
    log_configure("nodag-sim", settings.verbose ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR);
    if (!settings.verbose) /* documents that are not valid are errors to people, and wanted here */
        log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    if (!sim_prepare())
        return EXIT_STATUS_FAILED;
    status = sim_run_all(argv[0], &settings);
    sim_finish();
    return status;
}
