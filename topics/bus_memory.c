/*
 * The memory bus: cluster, records, connections, publishing and readers. See bus_memory.h; groups
 * are in bus_memory_group.c, and what makes things happen later in bus_memory_activity.c.
 *
 * Design: bus_memory_private.h draws the objects and the life of an activity. A message takes two
 * steps through its outbox, so that a crash can fall between them:
 *
 *      publish ──▶ outbox ──step──▶ appended to the partition (or failed by a fault) ──step──▶ delivered(code, …)
 *
 * A crash (bus_memory_close) decides by chance up to which message each outbox still reached the
 * broker, and tells all owners ERR_CANCELLED.
 *
 * Invariants: messages of one connection for one partition are appended in the order in which they
 * were published; a record never moves in memory once it was appended; no randomness is drawn for a
 * fault whose chance is 0.
 */
#include "topics/bus_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "topics/bus_memory_private.h"
#include "topics/subject.h"

/* Messages of one connection that wait to be acknowledged: librdkafka's default, too. */
#define OUTGOING_MAX 100000

/* First capacity of growing arrays. */
#define FIRST_CAPACITY 16

/* A reader of one topic. */
struct memory_reader {
    struct bus_reader reader;          /* first: the interface */
    struct memory_bus *connection;     /* borrowed */
    struct memory_reader *next;        /* in the connection's list */
    enum topic topic;                  /* what it reads */
    struct bus_reader_handler handler; /* whom it tells */
    void *argument;                    /* of handler */
    struct cursor *cursors;            /* owned, one a partition */
};

/* ---- records ---- */

static void stored_free(struct stored *stored)
{
    for (size_t i = 0; i < stored->record.header_count; i++) {
        struct event_header header = stored->record.headers[i];
        free((void *)(uintptr_t)header.name);
        free((void *)(uintptr_t)header.value);
    }
    free((void *)(uintptr_t)stored->record.headers);
    free((void *)(uintptr_t)stored->record.key);
    free((void *)(uintptr_t)stored->record.value);
    free(stored);
}

static struct event_header *copy_headers(const struct event_header *headers, size_t header_count)
{
    struct event_header *copies = mem_alloc_array(header_count, sizeof(*copies));
    for (size_t i = 0; i < header_count; i++) {
        copies[i].name = mem_copy_text(headers[i].name);
        if (headers[i].value != NULL)
            copies[i].value = mem_copy_bytes(headers[i].value, headers[i].value_bytes);
        copies[i].value_bytes = headers[i].value_bytes;
    }
    return copies;
}

/*
 * Makes a record of a message, which has a place but no offset yet; takes the value where the
 * message says so.
 */
static struct stored *stored_new(const struct bus_message *message, int32_t partition)
{
    struct stored *stored = MEM_NEW(struct stored);
    struct bus_record *record = &stored->record;
    record->topic = message->topic;
    record->partition = partition;
    if (message->key != NULL)
        record->key = mem_copy_bytes(message->key, message->key_bytes);
    record->key_bytes = message->key_bytes;
    if (message->value != NULL)
        record->value = message->take_value ? message->value
                                            : mem_copy_bytes(message->value, message->value_bytes);
    record->value_bytes = message->value_bytes;
    if (message->header_count > 0)
        record->headers = copy_headers(message->headers, message->header_count);
    record->header_count = message->header_count;
    return stored;
}

static struct memory_partition *cluster_partition(const struct bus_memory *cluster,
                                                  enum topic topic, int32_t partition)
{
    assert(topic < TOPIC_COUNT);
    assert(partition >= 0 && partition < cluster->topics[topic].count);
    return &cluster->topics[topic].partitions[partition];
}

int64_t cluster_end(const struct bus_memory *cluster, enum topic topic, int32_t partition)
{
    return (int64_t)cluster_partition(cluster, topic, partition)->count;
}

static void readers_wake(struct bus_memory *cluster, enum topic topic, int32_t partition)
{
    for (struct memory_bus *connection = cluster->connections; connection != NULL;
         connection = connection->next) {
        for (struct memory_reader *reader = connection->readers; reader != NULL;
             reader = reader->next) {
            if (reader->topic == topic)
                cursor_continue(&reader->cursors[partition], false);
        }
    }
}

/* Appends a record (taken) and wakes who reads it. Returns its offset. */
static int64_t cluster_append(struct bus_memory *cluster, struct stored *stored)
{
    struct bus_record *record = &stored->record;
    struct memory_partition *partition =
        cluster_partition(cluster, record->topic, record->partition);
    if (partition->count == partition->capacity) {
        partition->capacity = partition->capacity > 0 ? partition->capacity * 2 : FIRST_CAPACITY;
        partition->records = mem_resize_array(TAKE(partition->records), partition->capacity,
                                              sizeof(*partition->records));
    }
    record->offset = (int64_t)partition->count;
    record->timestamp_ms = loop_wall_ms(cluster->loop);
    stored->sequence = cluster->next_sequence++;
    partition->records[partition->count++] = stored;
    readers_wake(cluster, record->topic, record->partition);
    groups_wake(cluster, record->topic, record->partition);
    return record->offset;
}

static int32_t choose_partition(struct bus_memory *cluster, const struct bus_message *message)
{
    int32_t count = cluster->topics[message->topic].count;
    if (message->partition != BUS_PARTITION_BY_KEY) {
        assert(message->partition >= 0 && message->partition < count);
        return message->partition;
    }
    if (message->key == NULL)
        return (int32_t)loop_random_below(cluster->loop, (uint64_t)count);
    return subject_key_partition(message->key, message->key_bytes, count);
}

/* ---- publishing ---- */

/* One step of an outbox: appends its oldest message, or answers it. */
static void outbox_step(void *argument)
{
    struct outbox *outbox = argument;
    struct bus_memory *cluster = outbox->connection->cluster;
    struct outgoing *oldest = outbox->first;
    if (!oldest->appended) {
        oldest->appended = true;
        if (cluster_chance(cluster, cluster->faults.publish_failed)) {
            oldest->code = ERR_TIMEOUT;
            stored_free(TAKE(oldest->stored));
        } else {
            oldest->offset = cluster_append(cluster, TAKE(oldest->stored));
            if (cluster_chance(cluster, cluster->faults.publish_unsure))
                oldest->code = ERR_TIMEOUT;
        }
        activity_start(&outbox->activity);
        return;
    }
    outbox->first = oldest->next;
    if (outbox->first == NULL)
        outbox->last = &outbox->first;
    else
        activity_start(&outbox->activity);
    outbox->connection->outgoing_count--;
    const struct outgoing done = *oldest;
    free(oldest);
    if (done.delivered != NULL)
        done.delivered(done.argument, done.code, outbox->partition,
                       done.code == 0 ? done.offset : -1);
}

static struct outbox *connection_outbox(struct memory_bus *connection, enum topic topic,
                                        int32_t partition)
{
    int32_t count = connection->cluster->topics[topic].count;
    if (connection->outboxes[topic] == NULL) {
        struct outbox *outboxes = mem_alloc_array((size_t)count, sizeof(*outboxes));
        for (int32_t i = 0; i < count; i++) {
            outboxes[i].connection = connection;
            outboxes[i].last = &outboxes[i].first;
            outboxes[i].topic = topic;
            outboxes[i].partition = i;
            activity_init(&outboxes[i].activity, connection->cluster, outbox_step, &outboxes[i]);
        }
        connection->outboxes[topic] = outboxes;
    }
    return &connection->outboxes[topic][partition];
}

static int memory_publish(struct bus *bus, const struct bus_message *message,
                          bus_delivered_fn delivered, void *argument)
{
    struct memory_bus *connection = (struct memory_bus *)bus;
    struct bus_memory *cluster = connection->cluster;
    bus_message_check(message);
    if (bus_message_bytes(message) > (size_t)topic_row(message->topic)->message_max_bytes)
        return ERR_TOO_LARGE;
    if (connection->closing || connection->outgoing_count >= OUTGOING_MAX ||
        cluster_chance(cluster, cluster->faults.publish_refused))
        return ERR_QUEUE_FULL;
    int32_t partition = choose_partition(cluster, message);
    struct outbox *outbox = connection_outbox(connection, message->topic, partition);
    struct outgoing *outgoing = MEM_NEW(struct outgoing);
    outgoing->stored = stored_new(message, partition);
    outgoing->offset = -1;
    outgoing->delivered = delivered;
    outgoing->argument = argument;
    *outbox->last = outgoing;
    outbox->last = &outgoing->next;
    connection->outgoing_count++;
    activity_start(&outbox->activity);
    return 0;
}

/*
 * Empties an outbox at a crash: a part of what was under way, by chance, still reaches its topic,
 * in order. The messages are moved to `cancelled`.
 */
static void outbox_crash(struct outbox *outbox, struct outgoing ***cancelled)
{
    struct bus_memory *cluster = outbox->connection->cluster;
    activity_cancel(&outbox->activity);
    bool reaches = true;
    while (outbox->first != NULL) {
        struct outgoing *oldest = outbox->first;
        outbox->first = oldest->next;
        reaches = reaches && loop_random_below(cluster->loop, 2) == 0;
        if (!oldest->appended && reaches)
            (void)cluster_append(cluster, TAKE(oldest->stored));
        else if (!oldest->appended)
            stored_free(TAKE(oldest->stored));
        oldest->next = NULL;
        **cancelled = oldest;
        *cancelled = &oldest->next;
    }
    outbox->last = &outbox->first;
}

/* Ends everything that is under way and tells its owners, while groups and readers still stand. */
static void connection_cancel_outgoing(struct memory_bus *connection)
{
    struct outgoing *cancelled = NULL;
    struct outgoing **last = &cancelled;
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        if (connection->outboxes[t] == NULL)
            continue;
        for (int32_t p = 0; p < connection->cluster->topics[t].count; p++)
            outbox_crash(&connection->outboxes[t][p], &last);
    }
    while (cancelled != NULL) {
        struct outgoing *outgoing = cancelled;
        cancelled = outgoing->next;
        if (outgoing->delivered != NULL)
            outgoing->delivered(outgoing->argument, ERR_CANCELLED, -1, -1);
        free(outgoing);
    }
}

static void connection_free_outboxes(struct memory_bus *connection)
{
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        if (connection->outboxes[t] == NULL)
            continue;
        for (int32_t p = 0; p < connection->cluster->topics[t].count; p++)
            activity_release(&connection->outboxes[t][p].activity);
        free(connection->outboxes[t]);
    }
}

/* ---- readers ---- */

/* One delivery to a reader: a record, or the news that it caught up, or nothing is left to do. */
static void reader_step(void *argument)
{
    struct cursor *cursor = argument;
    struct memory_reader *reader = cursor->owner;
    struct bus_memory *cluster = reader->connection->cluster;
    if (!cursor->caught_up && cursor->position >= cursor->end_at_add) {
        cursor->caught_up = true;
        cursor_continue(cursor, true);
        reader->handler.caught_up(reader->argument, cursor->partition);
        return;
    }
    if (cursor->position >= cluster_end(cluster, reader->topic, cursor->partition))
        return;
    const struct bus_record *record =
        bus_memory_record(cluster, reader->topic, cursor->partition, cursor->position);
    cursor->position++;
    cursor_continue(cursor, true);
    reader->handler.record(reader->argument, record);
}

static int memory_read(struct bus *bus, enum topic topic, const struct bus_reader_handler *handler,
                       void *argument, struct bus_reader **ret_reader, struct error *error)
{
    (void)error;
    struct memory_bus *connection = (struct memory_bus *)bus;
    int32_t count = connection->cluster->topics[topic].count;
    struct memory_reader *reader = MEM_NEW(struct memory_reader);
    reader->reader.bus = bus;
    reader->connection = connection;
    reader->topic = topic;
    reader->handler = *handler;
    reader->argument = argument;
    reader->cursors = mem_alloc_array((size_t)count, sizeof(*reader->cursors));
    for (int32_t i = 0; i < count; i++) {
        reader->cursors[i].owner = reader;
        reader->cursors[i].partition = i;
        activity_init(&reader->cursors[i].activity, connection->cluster, reader_step,
                      &reader->cursors[i]);
    }
    reader->next = connection->readers;
    connection->readers = reader;
    *ret_reader = &reader->reader;
    return 0;
}

static struct cursor *reader_cursor(struct memory_reader *reader, int32_t partition)
{
    assert(partition >= 0 && partition < reader->connection->cluster->topics[reader->topic].count);
    return &reader->cursors[partition];
}

/* Begins at offset `position`; below 0: at the end. */
static void reader_begin(struct bus_reader *bus_reader, int32_t partition, int64_t position)
{
    struct memory_reader *reader = (struct memory_reader *)bus_reader;
    struct cursor *cursor = reader_cursor(reader, partition);
    assert(!cursor->active);
    cursor->active = true;
    cursor->caught_up = false;
    cursor->end_at_add = cluster_end(reader->connection->cluster, reader->topic, partition);
    cursor->position = position >= 0 ? position : cursor->end_at_add;
    cursor_continue(cursor, false);
}

static void memory_reader_add(struct bus_reader *bus_reader, int32_t partition)
{
    reader_begin(bus_reader, partition, 0);
}

static void memory_reader_add_end(struct bus_reader *bus_reader, int32_t partition)
{
    reader_begin(bus_reader, partition, -1);
}

static void memory_reader_add_at(struct bus_reader *bus_reader, int32_t partition, int64_t offset)
{
    assert(offset >= 0);
    reader_begin(bus_reader, partition, offset);
}

static void memory_reader_remove(struct bus_reader *bus_reader, int32_t partition)
{
    struct cursor *cursor = reader_cursor((struct memory_reader *)bus_reader, partition);
    cursor->active = false;
    activity_cancel(&cursor->activity);
}

static void memory_reader_free(struct bus_reader *bus_reader)
{
    struct memory_reader *reader = (struct memory_reader *)bus_reader;
    struct memory_reader **link = &reader->connection->readers;
    while (*link != reader)
        link = &(*link)->next;
    *link = reader->next;
    for (int32_t i = 0; i < reader->connection->cluster->topics[reader->topic].count; i++)
        activity_release(&reader->cursors[i].activity);
    free(reader->cursors);
    free(reader);
}

/* ---- cluster and connections ---- */

static int memory_partition_count(struct bus *bus, enum topic topic, int32_t *ret_count)
{
    *ret_count = ((struct memory_bus *)bus)->cluster->topics[topic].count;
    return 0;
}

struct bus_memory *bus_memory_new(struct loop *loop, int32_t many)
{
    assert(many >= 1 && many <= TOPIC_PARTITIONS_MAX);
    struct bus_memory *cluster = MEM_NEW(struct bus_memory);
    cluster->loop = loop;
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        struct memory_topic *topic = &cluster->topics[t];
        topic->count = topic_row((enum topic)t)->partitions == 1 ? 1 : many;
        topic->partitions = mem_alloc_array((size_t)topic->count, sizeof(*topic->partitions));
    }
    return cluster;
}

void bus_memory_set_faults(struct bus_memory *cluster, const struct bus_memory_faults *faults)
{
    assert(faults->delay_max_ms >= 0);
    cluster->faults = *faults;
}

void bus_memory_free(struct bus_memory *cluster)
{
    if (cluster == NULL)
        return;
    assert(cluster->connections == NULL);
    groups_free(cluster);
    loop_cancel_deferred(cluster->loop, cluster);
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        struct memory_topic *topic = &cluster->topics[t];
        for (int32_t p = 0; p < topic->count; p++) {
            for (size_t i = 0; i < topic->partitions[p].count; i++)
                stored_free(topic->partitions[p].records[i]);
            free(topic->partitions[p].records);
        }
        free(topic->partitions);
    }
    free(cluster->ready);
    free(cluster);
}

struct bus *bus_memory_open(struct bus_memory *cluster)
{
    struct memory_bus *connection = MEM_NEW(struct memory_bus);
    connection->bus = (struct bus){
        .publish = memory_publish,
        .join = memory_join,
        .group_store = memory_group_store,
        .group_pause = memory_group_pause,
        .group_give_up = memory_group_give_up,
        .group_leave = memory_group_leave,
        .read = memory_read,
        .reader_add = memory_reader_add,
        .reader_add_end = memory_reader_add_end,
        .reader_add_at = memory_reader_add_at,
        .reader_remove = memory_reader_remove,
        .reader_free = memory_reader_free,
        .partition_count = memory_partition_count,
    };
    connection->cluster = cluster;
    connection->next = cluster->connections;
    cluster->connections = connection;
    return &connection->bus;
}

void bus_memory_close(struct bus *bus)
{
    if (bus == NULL)
        return;
    struct memory_bus *connection = (struct memory_bus *)bus;
    struct bus_memory *cluster = connection->cluster;
    connection->closing = true;
    connection_cancel_outgoing(connection);
    while (connection->readers != NULL)
        memory_reader_free(&connection->readers->reader);
    groups_abandon(connection);
    connection_free_outboxes(connection);
    struct memory_bus **link = &cluster->connections;
    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    free(connection);
}

/* ---- for tests ---- */

int64_t bus_memory_end(const struct bus_memory *cluster, enum topic topic, int32_t partition)
{
    return cluster_end(cluster, topic, partition);
}

const struct bus_record *bus_memory_record(const struct bus_memory *cluster, enum topic topic,
                                           int32_t partition, int64_t offset)
{
    const struct memory_partition *place = cluster_partition(cluster, topic, partition);
    assert(offset >= 0 && (size_t)offset < place->count);
    return &place->records[offset]->record;
}

const struct bus_record *bus_memory_latest(const struct bus_memory *cluster, enum topic topic,
                                           const char *key)
{
    const struct text wanted = text_of(key);
    const struct stored *latest = NULL;
    for (int32_t p = 0; p < cluster->topics[topic].count; p++) {
        const struct memory_partition *partition = cluster_partition(cluster, topic, p);
        for (size_t i = partition->count; i > 0; i--) {
            const struct stored *stored = partition->records[i - 1];
            if (latest != NULL && stored->sequence < latest->sequence)
                break;
            if (stored->record.key != NULL && stored->record.key_bytes == wanted.bytes &&
                memcmp(stored->record.key, wanted.data, wanted.bytes) == 0) {
                latest = stored;
                break;
            }
        }
    }
    return latest != NULL ? &latest->record : NULL;
}

int64_t bus_memory_append(struct bus_memory *cluster, const struct bus_message *message)
{
    bus_message_check(message);
    return cluster_append(cluster, stored_new(message, choose_partition(cluster, message)));
}
