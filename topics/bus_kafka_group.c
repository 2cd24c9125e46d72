/*
 * The Kafka bus: consuming a home topic in a group.
 *
 * Design: the eager protocol of librdkafka with its rebalances as events, answered when the owner
 * is ready:
 *
 *      JOINING ──assign──▶ OWNING ──revoke──▶ ASKED ──bus_group_give_up──▶ JOINING …
 *         ▲                  └─────lost─────▶ JOINING      ASKED for too long: lost, too
 *         └── WAITING ◀── a fatal error in any state (another process has the same --replica, for example)
 *      any of them ──bus_group_leave──▶ LEAVING ──closed, or too slow──▶ freed
 *
 * Offsets: librdkafka commits what was stored each second and, before a partition is given up, once
 * more; it waits for that commit before it joins again. So a stored offset needs no care of ours,
 * and what was never stored cannot be committed. While the owner was asked and has not given up the
 * group waits, for at most max.poll.interval.ms; the queue's tick keeps polling meanwhile.
 * librdkafka does not tell when the broker throws the member out in that time, so ASKED has a
 * deadline of its own below it.
 *
 * Invariants: a handle in LEAVING is ended by one of two ways only, librdkafka's word or the
 * deadline; the owner of a group is told `left` after everything else.
 */
#include "topics/bus_kafka_group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

/*
 * Longest time an owner may take to give up: four fifths of Kafka's default max.poll.interval.ms
 * (five minutes).
 */
#define GIVE_UP_TIMEOUT_MS 240000

/* Longest time for leaving: a commit and a goodbye, within the shortest usual drain timeout. */
#define LEAVE_TIMEOUT_MS 8000

/*
 * Pause before joining anew after a fatal error: two processes with one name must not throw each
 * other out at speed.
 */
#define REJOIN_DELAY_MS 5000

struct kafka_group *kafka_group_of(struct bus_group *group)
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

void kafka_group_set_state(struct kafka_group *group, enum group_state state)
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

/* ---- making and ending ---- */

static void group_on_closed(void *argument);
static void group_on_turn_over(void *argument);

static const struct kafka_queue_handler group_queue_handler = {
    .event = kafka_group_on_event, .turn_over = group_on_turn_over, .closed = group_on_closed};

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
    rd_kafka_topic_partition_list_t *topics = kafka_group_make_list(group, &any, 1);
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
        kafka_group_take_loss(group);
        break;
    case GROUP_WAITING:
        if (group_open(group, &error) == 0) {
            kafka_group_set_state(group, GROUP_JOINING);
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
    struct kafka_group *group = kafka_group_of(interface);
    bool was_asked = group->state == GROUP_ASKED;
    bool was_waiting = group->state == GROUP_WAITING;
    kafka_group_set_state(group, GROUP_LEAVING);
    group->left = left;
    group->left_argument = argument;
    if (was_asked)
        kafka_group_unassign(group);
    /* A handle that cannot be closed, or none: the timer finishes. */
    if (was_waiting || !group_begin_close(group))
        loop_timer_set(group->timer, 0);
}
