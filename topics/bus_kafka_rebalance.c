/*
 * The Kafka bus: what a consumer group's handle says: partitions come and go, records, commits,
 * errors. See bus_kafka_group.c.
 *
 * Design: a rebalance is answered when the owner is ready: an assignment at once, a revocation by
 * bus_group_give_up or at once where nothing is owned or all is lost. librdkafka may still hold
 * records of a partition that was taken away; they are dropped here.
 *
 * Invariants: a record is handed out only in OWNING, for an owned partition, in order; nothing is
 * stored outside OWNING and ASKED.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "topics/bus_kafka_group.h"

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

rd_kafka_topic_partition_list_t *kafka_group_make_list(const struct kafka_group *group,
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

/*
 * Forgets what is owned. librdkafka keeps a pause across assignments; a new owner starts without.
 */
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
void kafka_group_unassign(struct kafka_group *group)
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
        kafka_group_unassign(group);
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
    kafka_group_set_state(group, GROUP_OWNING);
    group->handler.assigned(group->argument, partitions, (size_t)list->cnt);
}

/* What was owned is gone. */
void kafka_group_take_loss(struct kafka_group *group)
{
    CLEANUP(mem_free) int32_t *partitions = group_list_owned(group);
    size_t count = group->owned_count;
    kafka_group_unassign(group);
    kafka_group_set_state(group, GROUP_JOINING);
    group->handler.lost(group->argument, partitions, count);
}

static void take_revocation(struct kafka_group *group)
{
    if (group->owned_count == 0) {
        kafka_group_unassign(group);
    } else if (rd_kafka_assignment_lost(group->handle) != 0) {
        kafka_group_take_loss(group);
    } else if (group->state == GROUP_OWNING) {
        CLEANUP(mem_free) int32_t *partitions = group_list_owned(group);
        kafka_group_set_state(group, GROUP_ASKED);
        group->handler.revoking(group->argument, partitions, group->owned_count);
    }
}

static void take_rebalance(struct kafka_group *group, rd_kafka_event_t *event)
{
    const rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    kafka_bus_note(group->bus, true);
    if (group->state == GROUP_LEAVING)
        kafka_group_unassign(group);
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
    kafka_group_set_state(group, GROUP_WAITING);
    kafka_queue_close(group->queue);
    if (count > 0)
        group->handler.lost(group->argument, partitions, count);
}

void kafka_group_on_event(void *argument, rd_kafka_event_t *event)
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

/* ---- offsets and flow ---- */

void kafka_group_store(struct bus_group *interface, int32_t partition, int64_t next_offset)
{
    struct kafka_group *group = kafka_group_of(interface);
    if (group->state != GROUP_OWNING && group->state != GROUP_ASKED)
        return;
    struct group_slot *slot = group_slot(group, partition);
    if (!slot->owned || next_offset <= slot->stored)
        return;
    slot->stored = next_offset;
    rd_kafka_topic_partition_list_t *list = kafka_group_make_list(group, &partition, 1);
    list->elems[0].offset = next_offset;
    /*
     * Fails only when librdkafka knows already that the partition is gone: then it must not be
     * stored.
     */
    (void)rd_kafka_offsets_store(group->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
}

void kafka_group_pause(struct bus_group *interface, const int32_t *partitions, size_t count,
                       bool pause)
{
    struct kafka_group *group = kafka_group_of(interface);
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
    struct kafka_group *group = kafka_group_of(interface);
    if (group->state != GROUP_ASKED)
        return;
    kafka_group_unassign(group);
    kafka_group_set_state(group, GROUP_JOINING);
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
