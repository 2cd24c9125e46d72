/*
 * The topics of `nodag erase`: see erase_command.h.
 */
#include <assert.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/historian/erase_command.h"
#include "topics/history_erasure.h"
#include "topics/model_record.h"
#include "topics/run_record.h"
#include "topics/subject.h"

/* Most requests that wait for their acknowledgement. */
#define FLIGHT_MAX 1000

/* How long a record may take to be acknowledged, in milliseconds: a broker's restart passes by. */
#define ACKNOWLEDGE_MS 30000

/* Bound of the producer's queue. */
#define QUEUE_MAX_BYTES (64LL << 20)

/* How often it is looked whether the historian is done, in milliseconds. */
#define LOOK_MS 100

/* What `source` of its records says. */
#define SOURCE "nodag erase"

static void stop(struct erase_command *command)
{
    command->is_done = true;
    loop_stop(command->loop);
}

/* Runs the loop until what is waited for is over; others may stop it, too. */
static int run(struct erase_command *command, struct error *error)
{
    command->is_done = false;
    while (!command->is_done && command->error.code == 0)
        loop_run(command->loop);
    if (command->error.code != 0)
        *error = command->error;
    return command->error.code;
}

static void on_failed(void *argument, const struct error *error)
{
    struct erase_command *command = argument;
    command->error = *error;
    loop_stop(command->loop);
}

static void on_caught_up(void *argument)
{
    stop(argument);
}

/* ---- issues ---- */

/* A record of `issues`, NULL for one that cannot be read; owned. */
static struct issue_record *read_issue(struct erase_command *command,
                                       const struct bus_record *record)
{
    struct issue_record *found = NULL;
    if (issue_record_decode(record->key, record->key_bytes, record->value, record->value_bytes,
                            &found, NULL) != 0)
        command->unreadable++;
    return found;
}

static void on_name(void *argument, const struct bus_record *record)
{
    struct erase_command *command = argument;
    if (record->key == NULL || record->value == NULL)
        return;
    CLEANUP(issue_record_free) struct issue_record *found = read_issue(command, record);
    if (found != NULL)
        erase_found_note(command->found, found);
}

static void on_issue(void *argument, const struct bus_record *record)
{
    struct erase_command *command = argument;
    int64_t repository_id = 0;
    int64_t number = 0;
    if (record->key == NULL ||
        subject_key_parse_issue(record->key, record->key_bytes, &repository_id, &number) != 0)
        return;
    if (record->value == NULL) {
        erase_found_remove(command->found, repository_id, number);
        return;
    }
    CLEANUP(issue_record_free) struct issue_record *found = read_issue(command, record);
    if (found == NULL)
        return;
    erase_found_note(command->found, found);
    erase_found_apply(command->found, found);
    erase_show(command, "reading issues: partition %d, offset %lld", (int)record->partition,
               (long long)record->offset);
}

static int scan(struct erase_command *command, enum topic topic, const struct scan_handler *handler,
                struct topic_scan **ret_scan, struct error *error)
{
    const struct scan_start start = {.kind = SCAN_FROM_BEGINNING};
    int code = topic_scan_new(command->loop, &command->settings->kafka, topic, start, handler,
                              command, ret_scan, error);
    return code == 0 ? run(command, error) : code;
}

int erase_read_names(struct erase_command *command, struct error *error)
{
    static const struct scan_handler handler = {
        .record = on_name, .caught_up = on_caught_up, .failed = on_failed};
    CLEANUP(topic_scan_free) struct topic_scan *names = NULL;
    if (command->target.repository[0] == '\0')
        return 0;
    int code = scan(command, TOPIC_ISSUES, &handler, &names, error);
    if (code == 0)
        erase_found_resolve(command->found, &command->target);
    return code;
}

int erase_read_issues(struct erase_command *command, struct error *error)
{
    static const struct scan_handler handler = {
        .record = on_issue, .caught_up = on_caught_up, .failed = on_failed};
    command->unreadable = 0;
    return scan(command, TOPIC_ISSUES, &handler, &command->issues, error);
}

/* ---- runs and versions ---- */

static void on_record(void *argument, const struct bus_record *record)
{
    struct erase_command *command = argument;
    erase_records_apply(command->records, record);
}

int erase_read_records(struct erase_command *command, struct error *error)
{
    static const struct scan_handler handler = {
        .record = on_record, .caught_up = on_caught_up, .failed = on_failed};
    CLEANUP(topic_scan_free) struct topic_scan *runs = NULL;
    CLEANUP(topic_scan_free) struct topic_scan *models = NULL;
    int code = scan(command, TOPIC_RUNS, &handler, &runs, error);
    return code == 0 ? scan(command, TOPIC_MODELS, &handler, &models, error) : code;
}

/* ---- publishing ---- */

static void on_delivered(void *argument, int code, int32_t partition, int64_t offset)
{
    struct erase_command *command = argument;
    (void)partition;
    command->in_flight--;
    command->published = offset;
    if (code != 0 && command->error.code == 0)
        (void)error_set(&command->error, code,
                        "a record was not acknowledged: %s; the same command goes on from there",
                        err_text(code));
    stop(command);
}

static int open_bus(struct erase_command *command, struct error *error)
{
    struct bus_kafka_settings settings = command->settings->kafka;
    settings.message_timeout_ms = ACKNOWLEDGE_MS;
    settings.queue_max_bytes = QUEUE_MAX_BYTES;
    if (command->bus != NULL)
        return 0;
    return bus_kafka_new(command->loop, &settings, "nodag-erase", NULL, NULL, NULL, &command->bus,
                         error);
}

static int publish(struct erase_command *command, enum topic topic, const char *key,
                   const char *value, size_t value_bytes, const struct event *event,
                   struct error *error)
{
    struct event_headers headers;
    int code = envelope_encode(event, &headers, error);
    if (code != 0)
        return code;
    const struct bus_message message = {.topic = topic,
                                        .partition = BUS_PARTITION_BY_KEY,
                                        .key = key,
                                        .key_bytes = strlen(key),
                                        .value = value,
                                        .value_bytes = value_bytes,
                                        .headers = headers.items,
                                        .header_count = headers.count};
    code = bus_publish(command->bus, &message, on_delivered, command);
    if (code == 0)
        command->in_flight++;
    else
        (void)error_set(error, code, "%s: %s cannot be published: %s", topic_name(topic), key,
                        err_text(code));
    return code;
}

/* One request. False: later, or never. */
static bool ask(void *argument, const struct erase_issue *issue)
{
    struct erase_command *command = argument;
    char key[SUBJECT_KEY_BYTES];
    char id[HISTORY_ID_BYTES];
    char subject[HISTORY_ID_BYTES];
    size_t value_bytes = 0;
    struct error error = {0};
    const struct history_erasure erasure = {.names_only = issue->what == ERASE_NAMES,
                                            .repository_id = issue->repository_id,
                                            .repository = issue->repository,
                                            .owner_id = issue->owner_id,
                                            .is_private = issue->is_private,
                                            .number = issue->number,
                                            .state = issue->is_open ? "open" : "closed"};
    if (command->in_flight >= FLIGHT_MAX)
        return false;
    CLEANUP(mem_free) char *value = history_erasure_write(&erasure, &value_bytes);
    /* Names go up to a time: this one is not before what they did by GitHub's clock. */
    int64_t time_ms = erasure.names_only && issue->newest_ms > command->request_ms
                          ? issue->newest_ms
                          : command->request_ms;
    const struct event event = history_erasure_envelope(&erasure, SOURCE, time_ms, id, subject);
    subject_key_issue(issue->repository_id, issue->number, key);
    int code = publish(command, TOPIC_GITHUB_EVENTS, key, value, value_bytes, &event, &error);
    if (code != 0 && code != ERR_QUEUE_FULL)
        command->error = error;
    command->asked += code == 0;
    return code == 0;
}

/* What is in flight goes on while the next are made. */
int erase_ask(struct erase_command *command, struct error *error)
{
    int code = open_bus(command, error);
    while (code == 0) {
        size_t before = command->asked;
        erase_found_ask(command->found, ask, command);
        if (command->asked == before && command->in_flight == 0 && command->error.code == 0)
            return 0;
        erase_show(command, "%zu requests published", command->asked);
        code = run(command, error);
    }
    return code;
}

/* ---- waiting ---- */

/* A wait for the historian. */
struct wait {
    struct erase_command *command; /* borrowed */
    struct loop_timer *timer;      /* owned */
    int64_t until_ms;              /* monotonic */
};

static void wait_look(void *argument)
{
    struct wait *wait = argument;
    struct erase_command *command = wait->command;
    struct erase_counts counts = erase_found_count(command->found);
    if (counts.open == 0 || loop_now_ms(command->loop) >= wait->until_ms) {
        stop(command);
        return;
    }
    erase_show(command, "the historian has %zu of %zu issues to do", counts.open, command->asked);
    loop_timer_set(wait->timer, LOOK_MS);
}

int erase_await(struct erase_command *command, int64_t wait_ms, struct error *error)
{
    struct wait wait = {.command = command, .until_ms = loop_now_ms(command->loop) + wait_ms};
    wait.timer = loop_timer_new(command->loop, wait_look, &wait);
    loop_timer_set(wait.timer, 0);
    int code = run(command, error);
    loop_timer_free(wait.timer);
    return code;
}

/* ---- records ---- */

/* What others would refuse is not published. */
static int check(const struct erase_record *record, const char *value, size_t value_bytes,
                 struct error *error)
{
    CLEANUP(run_record_free) struct run_record *run = NULL;
    CLEANUP(model_record_free) struct model_record *model = NULL;
    int code = record->topic == TOPIC_RUNS ? run_record_decode(record->key, strlen(record->key),
                                                               value, value_bytes, &run, error)
                                           : model_record_decode(record->key, strlen(record->key),
                                                                 value, value_bytes, &model, error);
    return code == 0 ? 0 : error_prefix(error, code, "%s", record->key);
}

int erase_publish(struct erase_command *command, const struct erase_record *record, json_t *value,
                  struct error *error)
{
    bool is_run = record->topic == TOPIC_RUNS;
    size_t bytes = 0;
    CLEANUP(json_release) json_t *made = value;
    CLEANUP(mem_free) char *text = json_write(made, &bytes);
    CLEANUP(mem_free)
    char *id = mem_format("%s/erased@%lld", record->key, (long long)command->request_ms);
    const struct event event = {
        .id = text_of(id),
        .source = text_of(SOURCE),
        .type = text_of(is_run ? RUN_RECORD_TYPE "erased" : MODEL_RECORD_TYPE ".erased"),
        .subject = text_of(json_text_or(made, is_run ? "run" : "version", record->key)),
        .data_schema = text_of(is_run ? RUN_RECORD_SCHEMA : MODEL_RECORD_SCHEMA),
        .content_type = text_of("application/json"),
        .has_time = true,
        .time_ms = command->request_ms,
    };
    int code = check(record, text, bytes, error);
    if (code == 0)
        code = open_bus(command, error);
    if (code == 0)
        code = publish(command, record->topic, record->key, text, bytes, &event, error);
    if (code == 0)
        code = run(command, error);
    if (code != 0)
        return code;
    command->rewritten++;
    erase_records_put(command->records, record->topic, record->key, TAKE(made), command->published);
    return 0;
}

void erase_topics_close(struct erase_command *command)
{
    topic_scan_free(command->issues);
    bus_kafka_free(command->bus);
}
