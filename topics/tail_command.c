/*
 * nodag-tail: reads a topic. Runs as `nodag tail TOPIC`.
 *
 * Design: a scan of all partitions. Without a time or a filter the newest records are shown: they
 * are rendered, kept, and printed in the order of their times when all partitions were read to the
 * end. Otherwise records are printed as they come, which keeps the order within a partition, and so
 * for a key, but not between partitions.
 *
 * Invariants: at most --number records, and at most KEPT_MAX_BYTES of them, are kept; the payload
 * of a record is never parsed to decide whether it is shown.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "topics/tail_filter.h"
#include "topics/tail_print.h"
#include "topics/topic_scan.h"
#include "topics/topics_command.h"

/* Newest records that are shown where nothing else is asked for. */
#define NUMBER_DEFAULT 10

/* Most records that --number may ask for: they are kept in memory. */
#define NUMBER_MAX 10000

/* Most bytes of rendered records that are kept. */
#define KEPT_MAX_BYTES (256u << 20)

/* What a shell expects of a command that Ctrl-C ended. */
#define EXIT_STATUS_INTERRUPTED 130

/* What the command line says. */
struct tail_settings {
    struct bus_kafka_settings kafka;
    const char *key;
    const char *name;
    const char *type;
    const char *since;
    const char *until;
    bool from_beginning;
    int64_t number; /* 0: not given */
    bool follow;
    const char *payload;
    bool json;
};

static const struct option_row rows[] = {
    {.name = "key",
     .letter = 'k',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct tail_settings, key),
     .value_name = "KEY",
     .group = "Which records",
     .help = "Only this key, as it is printed."},
    {.name = "name",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct tail_settings, name),
     .value_name = "OWNER/REPO[#N]",
     .help = "Only this repository, or this issue of it, by the name in the records' headers."},
    {.name = "type",
     .letter = 't',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct tail_settings, type),
     .value_name = "GLOB",
     .help = "Only events whose type matches, for example 'com.github.issue.*'."},
    {.name = "since",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct tail_settings, since),
     .value_name = "TIME",
     .help = "Not older than this: a time, a date, or how long ago (10m, 2h, 30d)."},
    {.name = "until",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct tail_settings, until),
     .value_name = "TIME",
     .help = "Older than this."},
    {.name = "from-beginning",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct tail_settings, from_beginning),
     .help = "From the oldest record that is kept."},
    {.name = "number",
     .letter = 'n',
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct tail_settings, number),
     .least = 1,
     .most = NUMBER_MAX,
     .value_name = "N",
     .help = "The newest N of them; without a filter or a time the newest 10."},
    {.name = "follow",
     .letter = 'f',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct tail_settings, follow),
     .help = "Go on with what comes, until Ctrl-C."},
    {.name = "payload",
     .letter = 'p',
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct tail_settings, payload),
     .choices = "none|raw|pretty",
     .default_value = "none",
     .group = "Output",
     .help = "Print the values: their bytes, or indented where they are JSON."},
    {.name = "json",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct tail_settings, json),
     .help = "Print one JSON object a line, with the value as text, or as value_base64."},
    BUS_KAFKA_CONNECT_ROWS(struct tail_settings, kafka),
};

static const struct option_program program = {
    .name = "nodag tail",
    .summary = "Reads a topic: filters by key, name, type and time.",
    .usage = "[OPTION…] TOPIC",
    .description =
        "Prints each record's place (topic/partition@offset), time, key and headers. A filter or "
        "a time looks at everything that it may concern, from the oldest record on; otherwise the "
        "newest records are shown, those of a compacted topic as far as they are left. Order is "
        "kept within a partition, and so for each key.",
    .examples = "nodag tail github.events --name kubeflow/kubeflow#4711 --payload pretty\n"
                "nodag tail predictions --since 1h --json | jq .headers\n"
                "nodag tail github.events --type 'com.github.issue.*' --follow",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
    .positional_least = 1,
    .positional_most = 1,
};

/* A rendered record that is kept until the newest are known. */
struct kept {
    int64_t timestamp_ms;
    int32_t partition;
    int64_t offset;
    char *text; /* owned */
    size_t bytes;
};

/* A running tail. */
struct tail {
    struct loop *loop;
    struct tail_filter filter;
    struct tail_style style;
    int64_t keep;         /* how many are kept; 0: print at once */
    bool follow;          /* go on after the end */
    struct kept *kept;    /* owned; in the order of is_before */
    size_t kept_count;    /* ≤ keep */
    size_t kept_bytes;    /* of all texts */
    struct buffer buffer; /* the present record */
    int status;           /* what to exit with */
};

/* ---- the newest few ---- */

static bool is_before(const struct kept *left, const struct kept *right)
{
    if (left->timestamp_ms != right->timestamp_ms)
        return left->timestamp_ms < right->timestamp_ms;
    if (left->partition != right->partition)
        return left->partition < right->partition;
    return left->offset < right->offset;
}

static void drop_oldest(struct tail *tail)
{
    tail->kept_bytes -= tail->kept[0].bytes;
    free(tail->kept[0].text);
    tail->kept_count--;
    memmove(&tail->kept[0], &tail->kept[1], tail->kept_count * sizeof(tail->kept[0]));
}

/* Keeps what the buffer has, in its place; the oldest goes where there are too many. */
static void keep(struct tail *tail, const struct bus_record *record)
{
    struct kept newest = {.timestamp_ms = record->timestamp_ms,
                          .partition = record->partition,
                          .offset = record->offset,
                          .bytes = tail->buffer.size_bytes};
    newest.text = buffer_take(&tail->buffer);
    size_t place = tail->kept_count;
    for (; place > 0 && is_before(&newest, &tail->kept[place - 1]); place--)
        tail->kept[place] = tail->kept[place - 1];
    tail->kept[place] = newest;
    tail->kept_count++;
    tail->kept_bytes += newest.bytes;
    while ((int64_t)tail->kept_count > tail->keep ||
           (tail->kept_bytes > KEPT_MAX_BYTES && tail->kept_count > 1))
        drop_oldest(tail);
}

static void print_kept(struct tail *tail)
{
    for (size_t i = 0; i < tail->kept_count; i++) {
        (void)fwrite(tail->kept[i].text, 1, tail->kept[i].bytes, stdout);
        free(tail->kept[i].text);
    }
    tail->kept_count = 0;
    tail->keep = 0;
}

/* ---- what the scan says ---- */

static void on_record(void *argument, const struct bus_record *record)
{
    struct tail *tail = argument;
    if (!tail_filter_matches(&tail->filter, record))
        return;
    buffer_clear(&tail->buffer);
    if (tail_render(&tail->style, record, &tail->buffer) != 0) {
        (void)fprintf(stderr, "%s: %s/%d@%lld is too large to be shown\n", program.name,
                      topic_name(record->topic), (int)record->partition, (long long)record->offset);
        return;
    }
    if (tail->keep > 0) {
        keep(tail, record);
        return;
    }
    (void)fwrite(tail->buffer.data, 1, tail->buffer.size_bytes, stdout);
    if (tail->follow)
        (void)fflush(stdout);
}

static void on_caught_up(void *argument)
{
    struct tail *tail = argument;
    print_kept(tail);
    (void)fflush(stdout);
    if (!tail->follow)
        loop_stop(tail->loop);
}

static void on_failed(void *argument, const struct error *error)
{
    struct tail *tail = argument;
    (void)fflush(stdout);
    tail->status = command_fail(&program, error);
    loop_stop(tail->loop);
}

static void on_interrupt(void *argument)
{
    struct tail *tail = argument;
    tail->status = tail->follow ? EXIT_STATUS_OK : EXIT_STATUS_INTERRUPTED;
    loop_stop(tail->loop);
}

/* ---- from the command line ---- */

static int find_topic(const char *name, enum topic *ret_topic, struct error *error)
{
    const char *known[TOPIC_COUNT];
    if (topic_from_name(name, ret_topic) == 0)
        return 0;
    for (size_t t = 0; t < TOPIC_COUNT; t++)
        known[t] = topic_name((enum topic)t);
    const char *near = nearest_name(name, known, TOPIC_COUNT);
    return error_set(error, ERR_USAGE, "nodag has no topic \"%s\"%s%s; `nodag topics list` has all",
                     name, near != NULL ? "; did you mean " : "", near != NULL ? near : "");
}

static int make_filter(const struct tail_settings *settings, int64_t now_ms,
                       struct tail_filter *filter, struct error *error)
{
    *filter = (struct tail_filter){.key = settings->key,
                                   .type = settings->type,
                                   .since_ms = TAIL_TIME_NONE,
                                   .until_ms = TAIL_TIME_NONE};
    int code = 0;
    if (settings->name != NULL)
        code = tail_filter_set_name(filter, settings->name, error);
    if (code == 0 && settings->since != NULL)
        code = tail_parse_time(settings->since, now_ms, &filter->since_ms, error);
    if (code == 0 && settings->until != NULL)
        code = tail_parse_time(settings->until, now_ms, &filter->until_ms, error);
    return code;
}

static struct tail_style make_style(const struct tail_settings *settings)
{
    struct tail_style style = {.json = settings->json, .terminal = isatty(STDOUT_FILENO) == 1};
    const char *no_colour = getenv("NO_COLOR");
    style.colour = style.terminal && (no_colour == NULL || no_colour[0] == '\0');
    if (strcmp(settings->payload, "raw") == 0)
        style.payload = TAIL_PAYLOAD_RAW;
    else if (strcmp(settings->payload, "pretty") == 0)
        style.payload = TAIL_PAYLOAD_PRETTY;
    return style;
}

/* Decides where to start and how many records to keep. */
static struct scan_start make_start(const struct tail_settings *settings, struct tail *tail)
{
    bool everything = settings->from_beginning || settings->until != NULL ||
                      tail_filter_is_selective(&tail->filter);
    tail->keep = settings->number;
    if (settings->since != NULL)
        return (struct scan_start){.kind = SCAN_FROM_TIME, .value = tail->filter.since_ms};
    if (everything)
        return (struct scan_start){.kind = SCAN_FROM_BEGINNING};
    if (tail->keep == 0)
        tail->keep = NUMBER_DEFAULT;
    return (struct scan_start){.kind = SCAN_FROM_LAST, .value = tail->keep};
}

/* Reads until the end, an error or Ctrl-C. */
static void run(struct tail *tail, const struct tail_settings *settings, enum topic topic)
{
    static const struct scan_handler handler = {
        .record = on_record, .caught_up = on_caught_up, .failed = on_failed};
    struct error error = {0};
    struct scan_start start = make_start(settings, tail);
    /* One more than is kept: the oldest goes when the newest has come. */
    tail->kept = mem_alloc_array((size_t)tail->keep + 1, sizeof(*tail->kept));
    CLEANUP(topic_scan_free) struct topic_scan *scan = NULL;
    int code =
        topic_scan_new(tail->loop, &settings->kafka, topic, start, &handler, tail, &scan, &error);
    if (code != 0) {
        tail->status = command_fail(&program, &error);
        return;
    }
    struct loop_signal *interrupt = loop_signal_new(tail->loop, SIGINT, on_interrupt, tail);
    struct loop_signal *terminate = loop_signal_new(tail->loop, SIGTERM, on_interrupt, tail);
    loop_run(tail->loop);
    loop_signal_free(interrupt);
    loop_signal_free(terminate);
}

int main(int argc, char **argv)
{
    struct tail_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    CLEANUP(loop_free) struct loop *loop = loop_new_real();
    struct tail tail = {.loop = loop,
                        .style = make_style(&settings),
                        .follow = settings.follow,
                        .buffer = BUFFER_INIT(TAIL_RECORD_MAX_BYTES)};
    struct error error = {0};
    enum topic topic = TOPIC_COUNT;
    int code = find_topic(argv[first], &topic, &error);
    if (code == 0)
        code = make_filter(&settings, loop_wall_ms(loop), &tail.filter, &error);
    if (code != 0)
        return option_complain(&program, &error);
    run(&tail, &settings, topic);
    print_kept(&tail);
    free(tail.kept);
    buffer_release(&tail.buffer);
    if (fflush(stdout) != 0) {
        (void)fprintf(stderr, "%s: the output could not be written\n", program.name);
        return EXIT_STATUS_FAILED;
    }
    return tail.status;
}
