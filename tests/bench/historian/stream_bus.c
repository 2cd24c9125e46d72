/*
 * A bus that makes its records: see stream_bus.h.
 */
#include "tests/bench/historian/stream_bus.h"

#include "base/memory.h"
#include "topics/subject.h"

/* Records of one turn of the loop. */
#define STREAM_BATCH 64

/* An acknowledgement under way. */
struct ack {
    struct stream_bus *stream;  /* borrowed */
    bus_delivered_fn delivered; /* whom to tell */
    void *argument;             /* of delivered */
    int32_t partition;          /* where */
    int64_t offset;             /* where */
};

/* A reader. */
struct stream_reader {
    struct bus_reader reader;          /* first: the interface */
    struct stream_bus *stream;         /* borrowed */
    enum topic topic;                  /* what it reads */
    struct bus_reader_handler handler; /* whom it tells */
    void *argument;                    /* of handler */
    bool added[TOPIC_PARTITIONS_MANY]; /* partitions that are to be read */
    bool deferred;                     /* a turn is to come */
    int64_t next;                      /* next record of `issues` */
};

struct stream_bus {
    struct bus bus;                                   /* first: the interface */
    struct bus_group group;                           /* the only one */
    struct loop *loop;                                /* borrowed */
    struct stream_settings settings;                  /* copied */
    struct stream_counts counts;                      /* so far */
    const struct bus_group_handler *handler;          /* of the group */
    void *argument;                                   /* of handler */
    bool paused;                                      /* the group is */
    bool deferred;                                    /* a turn is to come */
    int64_t ends[TOPIC_COUNT][TOPIC_PARTITIONS_MANY]; /* next offset of each partition */
    int64_t stored[TOPIC_PARTITIONS_MANY];            /* by the group */
};

static struct stream_bus *stream_of(struct bus *bus)
{
    return (struct stream_bus *)bus;
}

/* Fills in where a record stands. */
static void stream_place(struct stream_bus *stream, enum topic topic, struct bus_record *record)
{
    record->topic = topic;
    record->partition =
        subject_key_partition(record->key, record->key_bytes, TOPIC_PARTITIONS_MANY);
    record->offset = stream->ends[topic][record->partition]++;
}

/* ---- publishing ---- */

static void ack_tell(void *argument)
{
    struct ack *ack = argument;
    ack->stream->counts.published++;
    if (ack->delivered != NULL)
        ack->delivered(ack->argument, 0, ack->partition, ack->offset);
    mem_free(ack);
}

static int stream_publish(struct bus *bus, const struct bus_message *message,
                          bus_delivered_fn delivered, void *argument)
{
    struct stream_bus *stream = stream_of(bus);
    struct ack *ack = MEM_NEW(struct ack);
    int32_t partition = message->partition;
    if (partition < 0)
        partition = subject_key_partition(message->key, message->key_bytes, TOPIC_PARTITIONS_MANY);
    *ack = (struct ack){.stream = stream,
                        .delivered = delivered,
                        .argument = argument,
                        .partition = partition,
                        .offset = stream->ends[message->topic][partition]++};
    stream->counts.published_bytes += (int64_t)message->value_bytes;
    loop_defer(stream->loop, ack_tell, ack);
    return 0;
}

/* ---- the group ---- */

static void group_turn(void *argument)
{
    struct stream_bus *stream = argument;
    stream->deferred = false;
    for (int i = 0;
         i < STREAM_BATCH && !stream->paused && stream->counts.delivered < stream->settings.events;
         i++) {
        struct bus_record record = {.offset = 0};
        stream->settings.make_event(stream->counts.delivered++, &record);
        stream_place(stream, TOPIC_GITHUB_EVENTS, &record);
        stream->handler->record(stream->argument, &record);
    }
    if (!stream->paused && stream->counts.delivered < stream->settings.events) {
        stream->deferred = true;
        loop_defer(stream->loop, group_turn, stream);
    }
}

static void group_begin(void *argument)
{
    struct stream_bus *stream = argument;
    struct bus_partition partitions[TOPIC_PARTITIONS_MANY];
    for (int32_t i = 0; i < TOPIC_PARTITIONS_MANY; i++)
        partitions[i] = (struct bus_partition){.partition = i, .start_offset = 0};
    stream->handler->assigned(stream->argument, partitions, TOPIC_PARTITIONS_MANY);
    group_turn(stream);
}

static int stream_join(struct bus *bus, enum topic topic, const char *group_name,
                       const struct bus_group_handler *handler, void *argument,
                       struct bus_group **ret_group, struct error *error)
{
    struct stream_bus *stream = stream_of(bus);
    (void)topic;
    (void)group_name;
    (void)error;
    stream->handler = handler;
    stream->argument = argument;
    stream->group.bus = bus;
    loop_defer(stream->loop, group_begin, stream);
    *ret_group = &stream->group;
    return 0;
}

static void stream_store(struct bus_group *group, int32_t partition, int64_t next_offset)
{
    struct stream_bus *stream = stream_of(group->bus);
    stream->counts.stored += next_offset - stream->stored[partition];
    stream->stored[partition] = next_offset;
}

static void stream_pause(struct bus_group *group, const int32_t *partitions, size_t count,
                         bool pause)
{
    struct stream_bus *stream = stream_of(group->bus);
    (void)partitions;
    (void)count;
    stream->paused = pause;
    if (pause || stream->deferred)
        return;
    stream->deferred = true;
    loop_defer(stream->loop, group_turn, stream);
}

static void stream_give_up(struct bus_group *group)
{
    (void)group;
}

static void stream_leave(struct bus_group *group, void (*left)(void *argument), void *argument)
{
    loop_defer(stream_of(group->bus)->loop, left, argument);
}

/* ---- readers ---- */

/* `issues`: all records, each given to its partition; they come together once all partitions were added. */
static void reader_turn(void *argument)
{
    struct stream_reader *reader = argument;
    struct stream_bus *stream = reader->stream;
    reader->deferred = false;
    bool is_issues = reader->topic == TOPIC_ISSUES;
    for (int i = 0; is_issues && i < STREAM_BATCH && reader->next < stream->settings.issues; i++) {
        struct bus_record record = {.offset = 0};
        stream->settings.make_issue(reader->next++, &record);
        stream_place(stream, TOPIC_ISSUES, &record);
        reader->handler.record(reader->argument, &record);
        stream->counts.loaded++;
    }
    if (is_issues && reader->next < stream->settings.issues) {
        reader->deferred = true;
        loop_defer(stream->loop, reader_turn, reader);
        return;
    }
    for (int32_t i = 0; i < TOPIC_PARTITIONS_MANY; i++) {
        if (!reader->added[i])
            continue;
        reader->added[i] = false;
        reader->handler.caught_up(reader->argument, i);
    }
}

static int stream_read(struct bus *bus, enum topic topic, const struct bus_reader_handler *handler,
                       void *argument, struct bus_reader **ret_reader, struct error *error)
{
    struct stream_reader *reader = MEM_NEW(struct stream_reader);
    (void)error;
    *reader = (struct stream_reader){.reader = {.bus = bus},
                                     .stream = stream_of(bus),
                                     .topic = topic,
                                     .handler = *handler,
                                     .argument = argument};
    *ret_reader = &reader->reader;
    return 0;
}

static void stream_add(struct bus_reader *bus_reader, int32_t partition)
{
    struct stream_reader *reader = (struct stream_reader *)bus_reader;
    reader->added[partition] = true;
    if (reader->deferred)
        return;
    reader->deferred = true;
    loop_defer(reader->stream->loop, reader_turn, reader);
}

static void stream_add_at(struct bus_reader *reader, int32_t partition, int64_t offset)
{
    (void)offset;
    stream_add(reader, partition);
}

static void stream_remove(struct bus_reader *reader, int32_t partition)
{
    ((struct stream_reader *)reader)->added[partition] = false;
}

static void stream_reader_free(struct bus_reader *reader)
{
    loop_cancel_deferred(((struct stream_reader *)reader)->stream->loop, reader);
    mem_free(reader);
}

static int stream_partition_count(struct bus *bus, enum topic topic, int32_t *ret_count)
{
    (void)bus;
    *ret_count = topic_row(topic)->partitions;
    return 0;
}

/* ---- the interface ---- */

struct stream_bus *stream_bus_new(struct loop *loop, const struct stream_settings *settings)
{
    struct stream_bus *stream = MEM_NEW(struct stream_bus);
    stream->bus = (struct bus){
        .publish = stream_publish,
        .join = stream_join,
        .group_store = stream_store,
        .group_pause = stream_pause,
        .group_give_up = stream_give_up,
        .group_leave = stream_leave,
        .read = stream_read,
        .reader_add = stream_add,
        .reader_add_end = stream_add,
        .reader_add_at = stream_add_at,
        .reader_remove = stream_remove,
        .reader_free = stream_reader_free,
        .partition_count = stream_partition_count,
    };
    stream->loop = loop;
    stream->settings = *settings;
    return stream;
}

void stream_bus_free(struct stream_bus *stream)
{
    loop_cancel_deferred(stream->loop, stream);
    mem_free(stream);
}

struct bus *stream_bus_interface(struct stream_bus *stream)
{
    return &stream->bus;
}

const struct stream_counts *stream_bus_counts(const struct stream_bus *stream)
{
    return &stream->counts;
}
