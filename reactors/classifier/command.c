/*
 * What the subcommands of `nodag model` share: see command.h.
 */
#include "reactors/classifier/command.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/time_text.h"

/* Width of a progress line's name, so that a shorter one overwrites a longer one. */
#define STAGE_WIDTH 28

int command_fail(const struct error *error)
{
    fprintf(stderr, "nodag model: %s\n", error->text);
    return error->code == ERR_USAGE ? EXIT_STATUS_USAGE : EXIT_STATUS_FAILED;
}

static int parse_bound(const char *text, int64_t otherwise, int64_t *ret_ms, struct error *error)
{
    *ret_ms = otherwise;
    if (text == NULL || time_from_text(text, strlen(text), ret_ms) == 0)
        return 0;
    return error_set(error, ERR_USAGE,
                     "\"%s\" is no time; write 2024-05-01 or 2024-05-01T12:34:56Z", text);
}

int command_pick_rows(const struct dataset *dataset, const char *from, const char *until,
                      const struct dataset_row ***ret_rows, size_t *ret_count, struct error *error)
{
    int64_t from_ms = 0;
    int64_t until_ms = 0;
    int result = parse_bound(from, INT64_MIN, &from_ms, error);
    if (result == 0)
        result = parse_bound(until, INT64_MAX, &until_ms, error);
    if (result != 0)
        return result;
    CLEANUP(mem_free)
    const struct dataset_row **rows = mem_alloc_array(dataset->row_count, sizeof(*rows));
    size_t count = 0;
    for (size_t r = 0; r < dataset->row_count; r++)
        if (dataset->rows[r].created_at_ms >= from_ms && dataset->rows[r].created_at_ms < until_ms)
            rows[count++] = &dataset->rows[r];
    if (count == 0)
        return error_set(error, ERR_INPUT, "none of the %zu rows was created in that time",
                         dataset->row_count);
    *ret_rows = TAKE(rows);
    *ret_count = count;
    return 0;
}

void command_show_progress(void *context, const char *stage, double share)
{
    (void)context;
    if (!isatty(STDERR_FILENO))
        return;
    if (stage == NULL)
        fprintf(stderr, "\r%*s\r", STAGE_WIDTH + 8, "");
    else
        fprintf(stderr, "\r%-*s %3.0f%%", STAGE_WIDTH, stage, 100 * share);
    (void)fflush(stderr);
}

double command_clock_s(void)
{
    struct timespec now;
    /* check: allow clock_gettime: a command without a loop says how long it took */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
