/*
 * Process metrics from /proc: see metrics_process.h.
 *
 * Design: /proc/self/stat gives times and sizes in one read. Its second field, the command's name, may hold spaces
 * and brackets, so that fields are counted from the last `)`.
 */
#include "base/metrics_process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"

/* Room for /proc/self/stat: 52 numbers and a name of 16 bytes. */
#define PROCESS_STAT_BYTES 2048

/* Fields of /proc/self/stat by their number in proc(5). */
#define PROCESS_FIELD_FIRST 3 /* the first one behind the name */
#define PROCESS_FIELD_UTIME 14
#define PROCESS_FIELD_STIME 15
#define PROCESS_FIELD_STARTTIME 22
#define PROCESS_FIELD_VSIZE 23
#define PROCESS_FIELD_RSS 24

struct metrics_process {
    struct metric *cpu_seconds;    /* borrowed, as all of these */
    struct metric *resident_bytes; /* … */
    struct metric *virtual_bytes;  /* … */
    struct metric *open_fds;       /* … */
    struct metric *max_fds;        /* … */
    double boot_seconds;          /* start of the machine since 1970, from /proc/stat; 0: unknown */
    struct metric *start_seconds; /* … */
};

static struct metric *process_declare(struct metrics *metrics, enum metrics_kind kind,
                                      const char *name, const char *help)
{
    return metrics_single(metrics_declare(metrics, kind, name, help, NULL));
}

/* Reads the line "btime N" of /proc/stat: seconds since 1970 at which the machine started. */
static double process_read_boot_seconds(void)
{
    char line[256];
    double boot_seconds = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "btime ", 6) == 0)
            boot_seconds = strtod(line + 6, NULL);
    }
    (void)fclose(file);
    return boot_seconds;
}

struct metrics_process *metrics_process_new(struct metrics *metrics)
{
    struct metrics_process *process = MEM_NEW(struct metrics_process);
    process->cpu_seconds = process_declare(metrics, METRICS_COUNTER, "process_cpu_seconds_total",
                                           "Total user and system CPU time spent in seconds.");
    process->open_fds = process_declare(metrics, METRICS_GAUGE, "process_open_fds",
                                        "Number of open file descriptors.");
    process->max_fds = process_declare(metrics, METRICS_GAUGE, "process_max_fds",
                                       "Maximum number of open file descriptors.");
    process->virtual_bytes = process_declare(metrics, METRICS_GAUGE, "process_virtual_memory_bytes",
                                             "Virtual memory size in bytes.");
    process->resident_bytes = process_declare(
        metrics, METRICS_GAUGE, "process_resident_memory_bytes", "Resident memory size in bytes.");
    process->start_seconds =
        process_declare(metrics, METRICS_GAUGE, "process_start_time_seconds",
                        "Start time of the process since 1970-01-01T00:00:00Z in seconds.");
    process->boot_seconds = process_read_boot_seconds();
    return process;
}

/* Reads /proc/self/stat into `ret_text`; returns what follows the command's name, or NULL. */
static const char *process_read_stat(char ret_text[PROCESS_STAT_BYTES])
{
    FILE *file = fopen("/proc/self/stat", "re");
    if (file == NULL)
        return NULL;
    size_t got = fread(ret_text, 1, PROCESS_STAT_BYTES - 1, file);
    (void)fclose(file);
    ret_text[got] = '\0';
    const char *name_end = strrchr(ret_text, ')');
    return name_end == NULL ? NULL : name_end + 1;
}

static void process_refresh_stat(struct metrics_process *process)
{
    char text[PROCESS_STAT_BYTES];
    double fields[PROCESS_FIELD_RSS + 1] = {0};
    double ticks_per_second = (double)sysconf(_SC_CLK_TCK);
    const char *at = process_read_stat(text);
    for (int field = PROCESS_FIELD_FIRST; at != NULL && field <= PROCESS_FIELD_RSS; field++) {
        at += strspn(at, " ");
        fields[field] = strtod(at, NULL); /* the state, a letter, reads as 0 */
        at = strchr(at, ' ');
    }
    if (at == NULL)
        return;
    double cpu_seconds =
        (fields[PROCESS_FIELD_UTIME] + fields[PROCESS_FIELD_STIME]) / ticks_per_second;
    if (cpu_seconds > metric_value(process->cpu_seconds))
        metric_add(process->cpu_seconds, cpu_seconds - metric_value(process->cpu_seconds));
    metric_set(process->virtual_bytes, fields[PROCESS_FIELD_VSIZE]);
    metric_set(process->resident_bytes, fields[PROCESS_FIELD_RSS] * (double)sysconf(_SC_PAGESIZE));
    metric_set(process->start_seconds,
               process->boot_seconds + fields[PROCESS_FIELD_STARTTIME] / ticks_per_second);
}

static void process_refresh_descriptors(struct metrics_process *process)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metric_set(process->max_fds, (double)limit.rlim_cur);
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return;
    double count = -1; /* the folder's own descriptor does not count */
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        count += entry->d_name[0] != '.' ? 1 : 0;
    (void)closedir(folder);
    metric_set(process->open_fds, count);
}

void metrics_process_refresh(struct metrics_process *process)
{
    process_refresh_stat(process);
    process_refresh_descriptors(process);
}

void metrics_process_free(struct metrics_process *process)
{
    free(process);
}
