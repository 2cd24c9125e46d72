/*
 * Issues that were read, published as events: see publisher.h.
 */
#include "reactors/importer/publisher.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "topics/subject.h"

struct publisher {
    struct bus *bus;    /* borrowed */
    const char *source; /* borrowed */
    void (*acknowledged)(void *argument);
    void *argument; /* theirs */
    size_t in_flight;
    size_t count;
    int failure; /* the first; 0: none */
};

struct publisher *publisher_new(struct bus *bus, const char *source,
                                void (*acknowledged)(void *argument), void *argument)
{
    struct publisher *publisher = MEM_NEW(struct publisher);
    publisher->bus = bus;
    publisher->source = source;
    publisher->acknowledged = acknowledged;
    publisher->argument = argument;
    return publisher;
}

void publisher_free(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    assert(publisher->in_flight == 0);
    mem_free(publisher);
}

static void publisher_on_delivered(void *argument, int code, int32_t partition, int64_t offset)
{
    struct publisher *publisher = argument;
    (void)partition;
    (void)offset;
    publisher->in_flight--;
    if (code == 0)
        publisher->count++;
    else if (publisher->failure == 0)
        publisher->failure = code;
    if (code != ERR_CANCELLED)
        publisher->acknowledged(publisher->argument);
}

/* What consumers would refuse is refused here. */
static int check_readable(const char *value, size_t value_bytes, struct error *error)
{
    CLEANUP(history_issue_release) struct history_issue read = {.memory = NULL};
    return history_issue_read(value, value_bytes, &read, error);
}

int publisher_send(struct publisher *publisher, const struct history_issue *issue,
                   struct error *error)
{
    if (publisher->in_flight >= PUBLISHER_FLIGHT_MAX)
        return error_set(error, ERR_QUEUE_FULL, "%d events wait to be acknowledged",
                         PUBLISHER_FLIGHT_MAX);
    size_t value_bytes = 0;
    CLEANUP(mem_free) char *value = history_issue_write(issue, &value_bytes);
    int code = check_readable(value, value_bytes, error);
    if (code != 0)
        return code;
    char id[HISTORY_ID_BYTES];
    char subject[HISTORY_ID_BYTES];
    char key[SUBJECT_KEY_BYTES];
    struct event_headers headers = {.count = 0};
    struct event event =
        history_issue_envelope(issue, publisher->source, value, value_bytes, id, subject);
    code = envelope_encode(&event, &headers, error);
    if (code != 0)
        return code;
    subject_key_issue(issue->repository_id, issue->number, key);
    struct bus_message message = {
        .topic = TOPIC_GITHUB_EVENTS,
        .partition = BUS_PARTITION_BY_KEY,
        .key = key,
        .key_bytes = strlen(key),
        .value = value,
        .value_bytes = value_bytes,
        .headers = headers.items,
        .header_count = headers.count,
    };
    code = bus_publish(publisher->bus, &message, publisher_on_delivered, publisher);
    if (code != 0)
        return error_set(error, code, "cannot publish: %s", err_text(code));
    publisher->in_flight++;
    return 0;
}

size_t publisher_in_flight(const struct publisher *publisher)
{
    return publisher->in_flight;
}

size_t publisher_count(const struct publisher *publisher)
{
    return publisher->count;
}

int publisher_take_failure(struct publisher *publisher)
{
    int failure = publisher->failure;
    publisher->failure = 0;
    return failure;
}
