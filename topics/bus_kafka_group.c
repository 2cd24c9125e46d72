/*
 * The Kafka bus: consuming a home topic in a group.
 *
 * Design: the eager protocol of librdkafka with its rebalances as events, answered when the owner is ready:
 *
 *      JOINING ──assign──▶ OWNING ──revoke──▶ ASKED ──bus_group_give_up──▶ JOINING …
 *         ▲                  └─────lost─────▶ JOINING      ASKED for too long: lost, too
 *         └── WAITING ◀── a fatal error in any state (another process has the same --replica, for example)
 *      any of them ──bus_group_leave──▶ LEAVING ──closed, or too slow──▶ freed
 *
 * Offsets: librdkafka commits what was stored each second and, before a partition is given up, once more; it waits for
 * that commit before it joins again. So a stored offset needs no care of ours, and what was never stored cannot be committed.
 * While the owner was asked and has not given up the group waits, for at most max.poll.interval.ms; the queue's tick keeps polling
 * meanwhile. librdkafka does not tell when the broker throws the member out in that time, so ASKED has a deadline of its
 * own below it.
 *
 * librdkafka may still hold records of a partition that was taken away; they are dropped here.
 *
 * Invariants: set_state is the only writer of `state`; a record is handed out only in OWNING, for an owned partition, in
 * order; nothing is stored outside OWNING and ASKED.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* Longest time an owner may take to give up: four fifths of Kafka's default max.poll.interval.ms (five minutes). */
#define GIVE_UP_TIMEOUT_MS 240000

/* Longest time for leaving: a commit and a goodbye, within the shortest usual drain timeout. */
#define LEAVE_TIMEOUT_MS 8000

/* Pause before joining anew after a fatal error: two processes with one name must not throw each other out at speed. */
#define REJOIN_DELAY_MS 5000

/* Guards against a struct of another type. */
#define KAFKA_GROUP_MAGIC 0x6b677270u

/* What a group is doing. */
#define GROUP_STATES(X)                                                                            \
    X(JOINING) /* in the group or on the way into it; owns nothing */                              \
    X(OWNING)  /* has partitions; records flow */                                                  \
    X(ASKED)   /* the owner was asked to give up and finishes */                                   \
    X(WAITING) /* no handle: it had a fatal error; a new one is made soon */                       \
    X(LEAVING) /* closing; its owner will be told */

/* See GROUP_STATES. */
enum group_state {
#define GROUP_ENUM(name) GROUP_##name, /* see above */
    GROUP_STATES(GROUP_ENUM)
#undef GROUP_ENUM
};

/* What is known of one partition. */
struct group_slot {
    bool owned;     /* assigned and told */
    bool paused;    /* by the owner */
    int64_t next;   /* least offset that may come next; -1: any */
    int64_t stored; /* -1: nothing in this assignment */
};

struct kafka_group {
    struct bus_group group; /* first: the interface */
    unsigned magic;
    struct kafka_bus *bus;            /* borrowed */
    struct kafka_group *next;         /* in the bus' list */
    enum topic topic;                 /* its home topic */
    char *name;                       /* owned */
    struct bus_group_handler handler; /* whom it tells */
    void *argument;                   /* of handler */
    enum group_state state;           /* see above */
    rd_kafka_t *handle;               /* owned; NULL in WAITING */
    struct kafka_queue *queue;        /* owned; the consumer's */
    struct kafka_queue *close_queue;  /* owned; while LEAVING */
    int open_queues;                  /* of these two */
    struct loop_timer *timer;         /* owned: the deadline of ASKED, WAITING and LEAVING */
    struct group_slot *slots;         /* owned; by partition */
    int32_t slot_count;               /* how many */
    size_t owned_count;               /* slots that are owned */
    struct event_header *headers;     /* owned; of the present record */
    size_t header_capacity;           /* of headers */
    void (*left)(void *argument);     /* LEAVING: whom to tell; NULL: nobody */
    void *left_argument;              /* of left */
};

static struct kafka_group *group_of(struct bus_group *group)
{
    return CAST_CHECKED(struct kafka_group, (void *)group, KAFKA_GROUP_MAGIC);
}

static const char *group_state_name(enum group_state state)
{
    static const char *const names[] = {
#define GROUP_NAME(name) #name,
        GROUP_STATES(GROUP_NAME)
#undef GROUP_NAME
    };
    return names[state];
}

static void set_state(struct kafka_group *group, enum group_state state)
{
    assert(group->state != GROUP_LEAVING);
    LOG_DEBUG("consumer group", LOG_TEXT("group", group->name),
              LOG_TEXT("from", group_state_name(group->state)),
              LOG_TEXT("to", group_state_name(state)));
    group->state = state;
    loop_timer_clear(group->timer);
    if (state == GROUP_ASKED)
        loop_timer_set(group->timer, GIVE_UP_TIMEOUT_MS);
    else if (state == GROUP_WAITING)
        loop_timer_set(group->timer, REJOIN_DELAY_MS);
    else if (state == GROUP_LEAVING)
        loop_timer_set(group->timer, LEAVE_TIMEOUT_MS);
}

/* ---- partitions ---- */

static struct group_slot *group_slot(struct kafka_group *group, int32_t partition)
{
    assert(partition >= 0);
    if (partition >= group->slot_count) {
        group->slots =
            mem_resize_array(TAKE(group->slots), (size_t)partition + 1, sizeof(*group->slots));
        for (int32_t p = group->slot_count; p <= partition; p++)
            group->slots[p] = (struct group_slot){.next = -1, .stored = -1};
        group->slot_count = partition + 1;
    }
    return &group->slots[partition];
}

/* Lists the owned partitions; owned array of owned_count. */
static int32_t *group_list_owned(const struct kafka_group *group)
{
    int32_t *partitions = mem_alloc_array(group->owned_count + 1, sizeof(*partitions));
    size_t count = 0;
    for (int32_t p = 0; p < group->slot_count; p++) {
        if (group->slots[p].owned)
            partitions[count++] = p;
    }
    assert(count == group->owned_count);
    return partitions;
}

static rd_kafka_topic_partition_list_t *make_list(const struct kafka_group *group,
                                                  const int32_t *partitions, size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++)
        (void)rd_kafka_topic_partition_list_add(list, topic_name(group->topic), partitions[i]);
    return list;
}

static void set_lag(const struct kafka_group *group, int32_t partition, int64_t lag)
{
    if (group->bus->metrics.lag == NULL)
        return;
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", (int)partition);
    const char *values[] = {topic_name(group->topic), text, NULL};
    metric_set(metrics_series(group->bus->metrics.lag, values), (double)lag);
}

/* Forgets what is owned. librdkafka keeps a pause across assignments; a new owner starts without. */
static void group_drop(struct kafka_group *group)
{
    rd_kafka_topic_partition_list_t *paused = rd_kafka_topic_partition_list_new(0);
    for (int32_t p = 0; p < group->slot_count; p++) {
        if (group->slots[p].paused)
            (void)rd_kafka_topic_partition_list_add(paused, topic_name(group->topic), p);
        if (group->slots[p].owned)
            set_lag(group, p, 0);
        group->slots[p] = (struct group_slot){.next = -1, .stored = -1};
    }
    group->owned_count = 0;
    if (paused->cnt > 0 && group->handle != NULL)
        (void)rd_kafka_resume_partitions(group->handle, paused);
    rd_kafka_topic_partition_list_destroy(paused);
}

/* Gives everything back to librdkafka, which commits what was stored unless it was lost. */
static void group_unassign(struct kafka_group *group)
{
    group_drop(group);
    rd_kafka_resp_err_t failed = rd_kafka_assign(group->handle, NULL);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
        LOG_INFO("partitions were not given up in order", LOG_TEXT("group", group->name),
                 LOG_TEXT("error", rd_kafka_err2name(failed)));
}

/* ---- rebalances ---- */

static void take_assignment(struct kafka_group *group, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_resp_err_t failed = rd_kafka_assign(group->handle, list);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR) {
        LOG_WARNING("librdkafka refuses its own assignment; giving it back",
                    LOG_TEXT("group", group->name), LOG_TEXT("error", rd_kafka_err2name(failed)));
        group_unassign(group);
        return;
    }
    if (list->cnt == 0)
        return;
    CLEANUP(mem_free)
    struct bus_partition *partitions = mem_alloc_array((size_t)list->cnt, sizeof(*partitions));
    for (int i = 0; i < list->cnt; i++) {
        int32_t partition = list->elems[i].partition;
        partitions[i] = (struct bus_partition){.partition = partition, .start_offset = -1};
        *group_slot(group, partition) =
            (struct group_slot){.owned = true, .next = -1, .stored = -1};
        group->owned_count++;
    }
    set_state(group, GROUP_OWNING);
    group->handler.assigned(group->argument, partitions, (size_t)list->cnt);
}

/* What was owned is gone. */
static void take_loss(struct kafka_group *group)
{
    CLEANUP(mem_free) int32_t *partitions = group_list_owned(group);
    size_t count = group->owned_count;
    group_unassign(group);
    set_state(group, GROUP_JOINING);
    group->handler.lost(group->argument, partitions, count);
}

static void take_revocation(struct kafka_group *group)
{
    if (group->owned_count == 0) {
        group_unassign(group);
    } else if (rd_kafka_assignment_lost(group->handle) != 0) {
        take_loss(group);
    } else if (group->state == GROUP_OWNING) {
        CLEANUP(mem_free) int32_t *partitions = group_list_owned(group);
        set_state(group, GROUP_ASKED);
        group->handler.revoking(group->argument, partitions, group->owned_count);
    }
}

static void take_rebalance(struct kafka_group *group, rd_kafka_event_t *event)
{
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    kafka_bus_note(group->bus, true);
    if (group->state == GROUP_LEAVING)
        group_unassign(group);
    else if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        take_assignment(group, list);
    else
        take_revocation(group);
}

/* ---- records and errors ---- */

static void take_message(struct kafka_group *group, const rd_kafka_message_t *message)
{
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || group->state != GROUP_OWNING)
        return;
    struct group_slot *slot = group_slot(group, message->partition);
    if (!slot->owned || message->offset < slot->next)
        return;
    slot->next = message->offset + 1;
    kafka_bus_count_consumed(group->bus, group->topic);
    const struct bus_record record =
        kafka_read_record(group->topic, message, &group->headers, &group->header_capacity);
    group->handler.record(group->argument, &record);
}

static void take_commit(struct kafka_group *group, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t failed = rd_kafka_event_error(event);
    if (failed == RD_KAFKA_RESP_ERR_NO_ERROR || failed == RD_KAFKA_RESP_ERR__NO_OFFSET)
        return;
    LOG_WARNING("offsets were not committed; records since the last commit may come again",
                LOG_TEXT("group", group->name), LOG_TEXT("error", rd_kafka_err2name(failed)));
    if (group->bus->metrics.commit_failures != NULL)
        metric_add(group->bus->metrics.commit_failures, 1);
}

/* The handle is of no use any more; queue_on_closed goes on. */
static void take_fatal(struct kafka_group *group, rd_kafka_event_t *event)
{
    if (group->state == GROUP_WAITING || group->state == GROUP_LEAVING)
        return;
    LOG_ERROR("the consumer is made anew after a fatal error; is another process running with the "
              "same --replica?",
              LOG_TEXT("group", group->name), LOG_TEXT("text", rd_kafka_event_error_string(event)));
    if (group->bus->metrics.restarts != NULL)
        metric_add(group->bus->metrics.restarts, 1);
    CLEANUP(mem_free) int32_t *partitions = group_list_owned(group);
    size_t count = group->owned_count;
    group_drop(group);
    set_state(group, GROUP_WAITING);
    kafka_queue_close(group->queue);
    if (count > 0)
        group->handler.lost(group->argument, partitions, count);
}

static void group_on_event(void *argument, rd_kafka_event_t *event)
{
    struct kafka_group *group = CAST_CHECKED(struct kafka_group, argument, KAFKA_GROUP_MAGIC);
    const rd_kafka_message_t *message = NULL;
    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
        for (message = rd_kafka_event_message_next(event); message != NULL;
             message = rd_kafka_event_message_next(event))
            take_message(group, message);
        break;
    case RD_KAFKA_EVENT_REBALANCE:
        take_rebalance(group, event);
        break;
    case RD_KAFKA_EVENT_OFFSET_COMMIT:
        take_commit(group, event);
        break;
    case RD_KAFKA_EVENT_ERROR:
        if (rd_kafka_event_error_is_fatal(event) != 0)
            take_fatal(group, event);
        else
            kafka_bus_take_error(group->bus, group->name, event);
        break;
    default:
        break;
    }
}

/* ---- making and ending ---- */

static void group_on_closed(void *argument);
static void group_on_turn_over(void *argument);

static const struct kafka_queue_handler group_queue_handler = {
    .event = group_on_event, .turn_over = group_on_turn_over, .closed = group_on_closed};

/* Makes the handle, subscribes and bridges its queue. */
static int group_open(struct kafka_group *group, struct error *error)
{
    struct kafka_bus *bus = group->bus;
    rd_kafka_conf_t *conf = NULL;
    int code = kafka_conf_new(&bus->settings, &bus->properties, bus->client_name, KAFKA_GROUP,
                              group->name, &conf, error);
    if (code == 0)
        code = kafka_handle_new(RD_KAFKA_CONSUMER, conf, &group->handle, error);
    if (code != 0)
        return code;
    (void)rd_kafka_poll_set_consumer(group->handle);
    const int32_t any = RD_KAFKA_PARTITION_UA;
    rd_kafka_topic_partition_list_t *topics = make_list(group, &any, 1);
    rd_kafka_resp_err_t failed = rd_kafka_subscribe(group->handle, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR) {
        kafka_bus_reap(bus, TAKE(group->handle), NULL, 0, NULL);
        return error_set(error, ERR_INPUT, "cannot subscribe to topic %s: %s",
                         topic_name(group->topic), rd_kafka_err2str(failed));
    }
    group->queue = kafka_queue_open(bus->loop, rd_kafka_queue_get_consumer(group->handle),
                                    &group_queue_handler, group);
    group->open_queues = 1;
    return 0;
}

static void group_free(struct kafka_group *group)
{
    struct kafka_group **link = &group->bus->groups;
    while (*link != group)
        link = &(*link)->next;
    *link = group->next;
    loop_timer_free(group->timer);
    free(group->slots);
    free(group->headers);
    free(group->name);
    group->magic = 0;
    free(group);
}

static void group_tell_left(struct kafka_group *group)
{
    void (*left)(void *) = group->left;
    void *argument = group->left_argument;
    group_free(group);
    if (left != NULL)
        left(argument);
}

/* One of the queues is gone. After the last the handle can go, too. */
static void group_on_closed(void *argument)
{
    struct kafka_group *group = CAST_CHECKED(struct kafka_group, argument, KAFKA_GROUP_MAGIC);
    group->open_queues--;
    if (group->open_queues > 0)
        return;
    group->queue = NULL;
    group->close_queue = NULL;
    kafka_bus_reap(group->bus, TAKE(group->handle), NULL, 0, NULL);
    if (group->state == GROUP_LEAVING)
        group_tell_left(group);
}

/* Ends LEAVING, whether librdkafka is done or not. */
static void group_finish(struct kafka_group *group)
{
    struct kafka_queue *queue = TAKE(group->queue);
    struct kafka_queue *close_queue = TAKE(group->close_queue);
    loop_timer_clear(group->timer);
    if (group->handle == NULL) {
        group_tell_left(group);
        return;
    }
    /* The group may be gone after the last of these. */
    if (close_queue != NULL)
        kafka_queue_close(close_queue);
    kafka_queue_close(queue);
}

static void group_on_turn_over(void *argument)
{
    struct kafka_group *group = CAST_CHECKED(struct kafka_group, argument, KAFKA_GROUP_MAGIC);
    bool finishing = group->queue == NULL;
    if (group->state == GROUP_LEAVING && !finishing && group->close_queue != NULL &&
        rd_kafka_consumer_closed(group->handle) != 0)
        group_finish(group);
}

static void group_on_timer(void *argument)
{
    struct kafka_group *group = CAST_CHECKED(struct kafka_group, argument, KAFKA_GROUP_MAGIC);
    struct error error = {0};
    switch (group->state) {
    case GROUP_ASKED:
        LOG_WARNING("partitions were not given up in time; abandoning them",
                    LOG_TEXT("group", group->name));
        take_loss(group);
        break;
    case GROUP_WAITING:
        if (group_open(group, &error) == 0) {
            set_state(group, GROUP_JOINING);
            break;
        }
        LOG_ERROR("no consumer; trying again", LOG_TEXT("group", group->name),
                  LOG_TEXT("text", error.text));
        loop_timer_set(group->timer, REJOIN_DELAY_MS);
        break;
    case GROUP_LEAVING:
        group_finish(group);
        break;
    case GROUP_JOINING:
    case GROUP_OWNING:
        break;
    }
}

void kafka_groups_measure(struct kafka_bus *bus)
{
    if (bus->metrics.lag == NULL)
        return;
    for (struct kafka_group *group = bus->groups; group != NULL; group = group->next) {
        for (int32_t p = 0; p < group->slot_count; p++) {
            int64_t low = 0;
            int64_t high = 0;
            if (!group->slots[p].owned || group->slots[p].next < 0)
                continue;
            if (rd_kafka_get_watermark_offsets(group->handle, topic_name(group->topic), p, &low,
                                               &high) == RD_KAFKA_RESP_ERR_NO_ERROR &&
                high >= group->slots[p].next)
                set_lag(group, p, high - group->slots[p].next);
        }
    }
}

/* ---- the interface ---- */

int kafka_join(struct bus *interface, enum topic topic, const char *group_name,
               const struct bus_group_handler *handler, void *argument,
               struct bus_group **ret_group, struct error *error)
{
    struct kafka_bus *bus = kafka_bus_of(interface);
    struct kafka_group *group = MEM_NEW(struct kafka_group);
    group->group.bus = interface;
    group->magic = KAFKA_GROUP_MAGIC;
    group->bus = bus;
    group->topic = topic;
    group->name = mem_copy_text(group_name);
    group->handler = *handler;
    group->argument = argument;
    group->timer = loop_timer_new(bus->loop, group_on_timer, group);
    group->next = bus->groups;
    bus->groups = group;
    int code = group_open(group, error);
    if (code != 0) {
        group_free(group);
        return code;
    }
    *ret_group = &group->group;
    return 0;
}

void kafka_group_store(struct bus_group *interface, int32_t partition, int64_t next_offset)
{
    struct kafka_group *group = group_of(interface);
    if (group->state != GROUP_OWNING && group->state != GROUP_ASKED)
        return;
    struct group_slot *slot = group_slot(group, partition);
    if (!slot->owned || next_offset <= slot->stored)
        return;
    slot->stored = next_offset;
    rd_kafka_topic_partition_list_t *list = make_list(group, &partition, 1);
    list->elems[0].offset = next_offset;
    /* Fails only when librdkafka knows already that the partition is gone: then it must not be stored. */
    (void)rd_kafka_offsets_store(group->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
}

void kafka_group_pause(struct bus_group *interface, const int32_t *partitions, size_t count,
                       bool pause)
{
    struct kafka_group *group = group_of(interface);
    if (group->state != GROUP_OWNING)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; i < count; i++) {
        struct group_slot *slot = group_slot(group, partitions[i]);
        if (!slot->owned || slot->paused == pause)
            continue;
        slot->paused = pause;
        (void)rd_kafka_topic_partition_list_add(list, topic_name(group->topic), partitions[i]);
    }
    if (list->cnt > 0)
        (void)(pause ? rd_kafka_pause_partitions(group->handle, list)
                     : rd_kafka_resume_partitions(group->handle, list));
    rd_kafka_topic_partition_list_destroy(list);
}

void kafka_group_give_up(struct bus_group *interface)
{
    struct kafka_group *group = group_of(interface);
    if (group->state != GROUP_ASKED)
        return;
    group_unassign(group);
    set_state(group, GROUP_JOINING);
}

/* Starts librdkafka's own leaving: it asks for the assignment, commits, says goodbye. */
static bool group_begin_close(struct kafka_group *group)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(group->handle);
    rd_kafka_error_t *failed = rd_kafka_consumer_close_queue(group->handle, queue);
    if (failed != NULL) {
        rd_kafka_error_destroy(failed);
        rd_kafka_queue_destroy(queue);
        return false;
    }
    group->close_queue = kafka_queue_open(group->bus->loop, queue, &group_queue_handler, group);
    group->open_queues++;
    return true;
}

void kafka_group_leave(struct bus_group *interface, void (*left)(void *argument), void *argument)
{
    struct kafka_group *group = group_of(interface);
    bool was_asked = group->state == GROUP_ASKED;
    bool was_waiting = group->state == GROUP_WAITING;
    set_state(group, GROUP_LEAVING);
    group->left = left;
    group->left_argument = argument;
    if (was_asked)
        group_unassign(group);
    /* A handle that cannot be closed, or none: the timer finishes. */
    if (was_waiting || !group_begin_close(group))
        loop_timer_set(group->timer, 0);
}
