/*
 * nodag-bench-historian: how many events a second the historian folds, how much memory it takes, and how long a start takes.
 *
 * Design: the historian over a bus that makes its records (stream_bus.h), so that a million events need no memory but the
 * historian's. Events are webhooks of about the size of real ones (BENCH_PADDING): each issue is opened, labeled by people and bots,
 * commented and closed, and the issues' lives overlap. Time is the processor's, of the one thread.
 *
 *      make    events and records are made and thrown away: what the generator takes
 *      fold    events → records
 *      boot    the topic `issues` is read: a start with so many issues
 *
 * Prints one JSON object. Invariant: it counts only if every event was finished and every issue has its row; else it fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/option.h"
#include "base/time_text.h"
#include "reactors/historian/historian.h"
#include "tests/bench/historian/stream_bus.h"
#include "topics/issue_record.h"
#include "topics/subject.h"

/* Events of an issue's life. */
#define BENCH_LIFE 10

/* Issues whose lives overlap. */
#define BENCH_AT_A_TIME 1000

/* Issues are spread over so many repositories. */
#define BENCH_REPOSITORIES 50

/* Bytes of a webhook beside the issue: URLs and user objects, which nobody wants. */
#define BENCH_PADDING 6000

/* Bytes of a body. */
#define BENCH_BODY 1500

/* When the first event happened. */
#define BENCH_START_MS 1600000000000LL

/* Steps of the loop between two looks whether it is over. */
#define BENCH_STEPS 256

/* Settings of the command. */
struct bench_settings {
    int64_t events;   /* --events */
    int64_t issues;   /* --issues */
    const char *mode; /* --mode */
};

static const struct option_row bench_rows[] = {
    {.name = "events",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct bench_settings, events),
     .default_value = "10000",
     .least = 0,
     .most = 100000000,
     .group = "Load",
     .help = "How many events: modes make and fold."},
    {.name = "issues",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct bench_settings, issues),
     .default_value = "0",
     .least = 0,
     .most = 100000000,
     .help = "How many issues stand on the topic: mode boot."},
    {.name = "mode",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct bench_settings, mode),
     .default_value = "fold",
     .choices = "make|fold|boot",
     .help = "See the file's head."},
};

/* Memory of the record that was made last. */
static struct maker {
    char key[SUBJECT_KEY_BYTES];
    char id[64];
    char type[64];
    char repository[64];
    char value[BENCH_PADDING + BENCH_BODY + 4096];
    char body[BENCH_BODY + 1];
    char padding[BENCH_PADDING + 1];
    char *owned; /* of a record of `issues` */
    struct event_headers headers;
} maker;

/* ---- making ---- */

/* Which issue an event is about, and which of its events: lives overlap, each in the order of its times. */
static void bench_split(int64_t index, int64_t *ret_issue, int64_t *ret_step)
{
    int64_t block = index / (BENCH_AT_A_TIME * BENCH_LIFE);
    int64_t within = index % (BENCH_AT_A_TIME * BENCH_LIFE);
    *ret_issue = block * BENCH_AT_A_TIME + within % BENCH_AT_A_TIME;
    *ret_step = within / BENCH_AT_A_TIME;
}

static void bench_key(int64_t issue)
{
    subject_key_issue(700000000 + issue % BENCH_REPOSITORIES, issue / BENCH_REPOSITORIES + 1,
                      maker.key);
}

static const char *bench_labels(int64_t step)
{
    static const char *const lists[] = {
        "", "{\"name\":\"kind/bug\"}", "{\"name\":\"kind/bug\"},{\"name\":\"area/notebooks\"}",
        "{\"name\":\"kind/bug\"},{\"name\":\"area/notebooks\"},{\"name\":\"help wanted\"}"};
    return lists[step < 3 ? step : 3];
}

static void bench_envelope(int64_t time_ms)
{
    struct event event = {.id = text_of(maker.id),
                          .source = text_of("https://api.github.com/repos/o/r"),
                          .type = text_of(maker.type),
                          .repository = text_of(maker.repository),
                          .has_time = true,
                          .time_ms = time_ms};
    int code = envelope_encode(&event, &maker.headers, NULL);
    assert(code == 0);
    (void)code;
}

static void make_event(int64_t index, struct bus_record *ret_record)
{
    static const char *const actions[BENCH_LIFE] = {
        "issue.opened",          "issue.labeled",         "issue.labeled", "issue.labeled",
        "issue_comment.created", "issue_comment.created", "issue.edited",  "issue_comment.created",
        "issue_comment.created", "issue.closed"};
    static const char *const labels[BENCH_LIFE] = {"", "kind/bug", "area/notebooks", "help wanted"};
    int64_t issue = 0;
    int64_t step = 0;
    char updated[TIME_TEXT_BYTES];
    bench_split(index, &issue, &step);
    int64_t time_ms = BENCH_START_MS + issue * 1000 + step * 60000;
    bench_key(issue);
    time_to_text(time_ms, updated);
    (void)snprintf(maker.id, sizeof(maker.id), "72d3162e-cc78-11e3-0000-%012llx",
                   (unsigned long long)index);
    (void)snprintf(maker.type, sizeof(maker.type), "com.github.%s", actions[step]);
    (void)snprintf(maker.repository, sizeof(maker.repository), "an-organisation/repository-%lld",
                   (long long)(issue % BENCH_REPOSITORIES));
    int bytes = snprintf(maker.value, sizeof(maker.value),
                         "{\"action\":\"%s\",\"issue\":{\"url\":\"%s\",\"number\":%lld,\"title\":"
                         "\"Issue %lld does not work\",\"user\":{\"login\":\"person-%lld\","
                         "\"type\":\"User\"},\"labels\":[%s],\"state\":\"%s\",\"created_at\":"
                         "\"2020-09-13T12:26:40Z\",\"updated_at\":\"%s\",\"closed_at\":null,"
                         "\"body\":\"%s\"},\"label\":{\"name\":\"%s\"},\"repository\":{\"id\":%lld,"
                         "\"full_name\":\"%s\",\"private\":false,\"owner\":{\"id\":5}},"
                         "\"sender\":{\"login\":\"%s\",\"type\":\"%s\"}}",
                         strchr(actions[step], '.') + 1, maker.padding,
                         (long long)(issue / BENCH_REPOSITORIES + 1), (long long)issue,
                         (long long)(issue % 5000), bench_labels(step),
                         step == BENCH_LIFE - 1 ? "closed" : "open", updated, maker.body,
                         labels[step] != NULL ? labels[step] : "",
                         700000000LL + (long long)(issue % BENCH_REPOSITORIES), maker.repository,
                         step == 2 ? "nodag[bot]" : "a-maintainer", step == 2 ? "Bot" : "User");
    bench_envelope(time_ms);
    *ret_record = (struct bus_record){.timestamp_ms = time_ms,
                                      .key = maker.key,
                                      .key_bytes = strlen(maker.key),
                                      .value = maker.value,
                                      .value_bytes = (size_t)bytes,
                                      .headers = maker.headers.items,
                                      .header_count = maker.headers.count};
}

static void bench_label(struct issue_record *record, const char *name, enum issue_actor by,
                        const char *login, int64_t time_ms)
{
    struct issue_label *label = issue_record_put_label(record, name);
    label->listed = true;
    label->added.by = by;
    label->added.login = mem_copy_text(login);
    label->added.stamp = (struct issue_stamp){.time_ms = time_ms,
                                              .offset = time_ms / 1000 % 1000000,
                                              .id_count = 1,
                                              .ids = {(uint64_t)time_ms}};
}

static void make_issue(int64_t index, struct bus_record *ret_record)
{
    int64_t repository_id = 700000000 + index % BENCH_REPOSITORIES;
    int64_t time_ms = BENCH_START_MS + index * 1000;
    CLEANUP(issue_record_free)
    struct issue_record *record = issue_record_new(repository_id, index / BENCH_REPOSITORIES + 1);
    char id[ISSUE_ID_BYTES];
    size_t value_bytes = 0;
    record->as_of = (struct issue_stamp){
        .time_ms = time_ms + 600000, .offset = index, .id_count = 1, .ids = {(uint64_t)index}};
    record->repository =
        mem_format("an-organisation/repository-%lld", (long long)(index % BENCH_REPOSITORIES));
    record->owner_id = 5;
    record->title.data = mem_format("Issue %lld does not work", (long long)index);
    record->title.bytes = strlen(record->title.data);
    record->body.data = mem_copy_text(maker.body);
    record->body.bytes = BENCH_BODY;
    record->state = mem_copy_text("closed");
    record->created_ms = time_ms;
    record->updated_ms = time_ms + 600000;
    record->author = ISSUE_PERSON;
    record->author_login = mem_format("person-%lld", (long long)(index % 5000));
    bench_label(record, "kind/bug", ISSUE_PERSON, "a-maintainer", time_ms + 60000);
    bench_label(record, "area/notebooks", ISSUE_THIS_BOT, "nodag[bot]", time_ms + 120000);
    bench_label(record, "help wanted", ISSUE_PERSON, "a-maintainer", time_ms + 180000);
    bench_key(index);
    mem_free(maker.owned);
    maker.owned = issue_record_encode(record, &value_bytes);
    struct event event = issue_record_envelope(record, maker.key, maker.owned, value_bytes, id);
    (void)snprintf(maker.id, sizeof(maker.id), "%.60s", id);
    (void)snprintf(maker.type, sizeof(maker.type), "%s", event.type.data);
    (void)snprintf(maker.repository, sizeof(maker.repository), "%s", record->repository);
    bench_envelope(event.time_ms);
    *ret_record = (struct bus_record){.timestamp_ms = time_ms,
                                      .key = maker.key,
                                      .key_bytes = strlen(maker.key),
                                      .value = maker.owned,
                                      .value_bytes = value_bytes,
                                      .headers = maker.headers.items,
                                      .header_count = maker.headers.count};
}

/* ---- measuring ---- */

static double cpu_now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The largest resident memory since the program began (proc(5), VmHWM). */
static long long peak_bytes(void)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(64 << 10);
    const char *line =
        file_read("/proc/self/status", &text, NULL) == 0 ? strstr(text.data, "VmHWM:") : NULL;
    return line != NULL ? strtoll(line + strlen("VmHWM:"), NULL, 10) * 1024 : 0;
}

static void print_result(const struct bench_settings *settings, double cpu_s,
                         const struct historian_counts *counts, const struct stream_counts *stream)
{
    printf("{\"mode\":\"%s\",\"events\":%lld,\"issues\":%lld,\"cpu_s\":%.6f,\"records\":%lld,"
           "\"record_bytes\":%lld,"
           "\"row_bytes\":%lld,\"peak_bytes\":%lld}\n",
           settings->mode, (long long)settings->events, (long long)counts->issues, cpu_s,
           (long long)counts->records, (long long)stream->published_bytes,
           (long long)counts->issue_bytes, peak_bytes());
}

/* What the generator alone takes. */
static void bench_make(const struct bench_settings *settings)
{
    struct bus_record record;
    double start_s = cpu_now_s();
    for (int64_t i = 0; i < settings->events; i++)
        make_event(i, &record);
    for (int64_t i = 0; i < settings->issues; i++)
        make_issue(i, &record);
    print_result(settings, cpu_now_s() - start_s, &(struct historian_counts){0},
                 &(struct stream_counts){0});
}

static bool bench_is_done(const struct bench_settings *settings, const struct historian *historian,
                          const struct stream_counts *counts)
{
    return historian_unready_reason(historian) == NULL && counts->loaded == settings->issues &&
           counts->stored == settings->events;
}

static void bench_left(void *argument)
{
    *(bool *)argument = true;
}

static bool bench_run(const struct bench_settings *settings)
{
    const struct kernel_settings kernel = {.concurrency = 256,
                                           .keys_max = 4000,
                                           .backoff_least_ms = 1000,
                                           .backoff_most_ms = 1000,
                                           .sweep_interval_ms = 1000,
                                           .revoke_timeout_ms = 20000};
    const struct stream_settings made = {.events = settings->events,
                                         .issues = settings->issues,
                                         .make_event = make_event,
                                         .make_issue = make_issue};
    struct loop *loop = loop_new_simulated(1, BENCH_START_MS);
    struct stream_bus *stream = stream_bus_new(loop, &made);
    const struct stream_counts *counts = stream_bus_counts(stream);
    struct historian *historian = NULL;
    struct error error = {0};
    const struct historian_ground ground = {.loop = loop,
                                            .bus = stream_bus_interface(stream),
                                            .kernel = &kernel,
                                            .own_login = "nodag[bot]"};
    bool is_good = historian_new(&ground, &historian, &error) == 0;
    double start_s = cpu_now_s();
    while (is_good && !bench_is_done(settings, historian, counts))
        for (int i = 0; i < BENCH_STEPS && is_good; i++)
            is_good = loop_step(loop);
    double cpu_s = cpu_now_s() - start_s;
    struct historian_counts found;
    historian_count(historian, &found);
    int64_t issues = settings->issues > 0 ? settings->issues : settings->events / BENCH_LIFE;
    is_good = is_good && (int64_t)found.issues == issues;
    if (is_good)
        print_result(settings, cpu_s, &found, counts);
    bool left = false;
    historian_drain(historian, bench_left, &left);
    while (!left && loop_step(loop))
        continue;
    historian_free(historian);
    stream_bus_free(stream);
    loop_free(loop);
    return is_good;
}

int main(int argc, char **argv)
{
    static const struct option_program program = {
        .name = "nodag-bench-historian",
        .summary = "How many events a second the historian folds, and how much memory it takes.",
        .usage = "[OPTION…]",
        .rows = bench_rows,
        .row_count = ARRAY_COUNT(bench_rows),
    };
    struct bench_settings settings = {.events = 0};
    int status = EXIT_STATUS_OK;
    if (!option_begin(&program, argc, argv, &settings, NULL, &status))
        return status;
    log_configure("nodag-bench-historian", LOG_LEVEL_WARNING);
    memset(maker.padding, 'u', BENCH_PADDING);
    memset(maker.body, 'b', BENCH_BODY);
    if (strcmp(settings.mode, "make") == 0) {
        bench_make(&settings);
        mem_free(maker.owned);
        return EXIT_STATUS_OK;
    }
    bool is_boot = strcmp(settings.mode, "boot") == 0;
    settings.events =
        is_boot ? 0
                : settings.events / (BENCH_LIFE * BENCH_AT_A_TIME) * BENCH_LIFE * BENCH_AT_A_TIME;
    settings.issues = is_boot ? settings.issues : 0;
    if (bench_run(&settings)) {
        mem_free(maker.owned);
        return EXIT_STATUS_OK;
    }
    (void)fprintf(stderr, "not every event was finished, or not every issue has its row\n");
    return EXIT_STATUS_FAILED;
}
