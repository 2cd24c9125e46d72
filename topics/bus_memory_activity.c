/*
 * The memory bus: what happens later, and in which order. See the picture of an activity in
 * bus_memory_private.h.
 *
 * Design: one pump, deferred on the loop while anything is ready, draws one ready activity at a
 * time. The list of ready ones is an array without order; each activity knows its place in it, so
 * that it can be taken out again.
 *
 * Invariants: ready[i]->ready_index == i; the pump is deferred whenever the list is not empty, and
 * at most once.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "topics/bus_memory_private.h"

/* One in so many deliveries ends a batch, after which the next record waits out a delay. */
#define BATCH_MEAN 4

/* First capacity of the ready list. */
#define READY_FIRST_CAPACITY 16

/* Runs one ready activity, drawn by chance. */
static void cluster_pump(void *argument)
{
    struct bus_memory *cluster = argument;
    cluster->pump_deferred = false;
    if (cluster->ready_count == 0)
        return;
    size_t chosen = (size_t)loop_random_below(cluster->loop, cluster->ready_count);
    struct activity *activity = cluster->ready[chosen];
    activity_cancel(activity);
    if (cluster->ready_count > 0) {
        cluster->pump_deferred = true;
        loop_defer(cluster->loop, cluster_pump, cluster);
    }
    activity->function(activity->argument);
}

static void activity_make_ready(void *argument)
{
    struct activity *activity = argument;
    struct bus_memory *cluster = activity->cluster;
    if (cluster->ready_count == cluster->ready_capacity) {
        cluster->ready_capacity =
            cluster->ready_capacity > 0 ? cluster->ready_capacity * 2 : READY_FIRST_CAPACITY;
        cluster->ready = mem_resize_array(TAKE(cluster->ready), cluster->ready_capacity,
                                          sizeof(*cluster->ready));
    }
    activity->state = ACTIVITY_READY;
    activity->ready_index = cluster->ready_count;
    cluster->ready[cluster->ready_count++] = activity;
    if (!cluster->pump_deferred) {
        cluster->pump_deferred = true;
        loop_defer(cluster->loop, cluster_pump, cluster);
    }
}

void activity_init(struct activity *activity, struct bus_memory *cluster, loop_fn function,
                   void *argument)
{
    *activity = (struct activity){.cluster = cluster, .function = function, .argument = argument};
    activity->timer = loop_timer_new(cluster->loop, activity_make_ready, activity);
}

void activity_start(struct activity *activity)
{
    if (activity->state != ACTIVITY_IDLE)
        return;
    struct bus_memory *cluster = activity->cluster;
    uint64_t delay_max_ms = (uint64_t)cluster->faults.delay_max_ms;
    uint64_t delay_ms = delay_max_ms > 0 ? loop_random_below(cluster->loop, delay_max_ms + 1) : 0;
    if (delay_ms == 0) {
        activity_make_ready(activity);
        return;
    }
    activity->state = ACTIVITY_WAITING;
    loop_timer_set(activity->timer, (int64_t)delay_ms);
}

void activity_start_now(struct activity *activity)
{
    if (activity->state == ACTIVITY_IDLE)
        activity_make_ready(activity);
}

void activity_cancel(struct activity *activity)
{
    struct bus_memory *cluster = activity->cluster;
    if (activity->state == ACTIVITY_WAITING)
        loop_timer_clear(activity->timer);
    if (activity->state == ACTIVITY_READY) {
        struct activity *last = cluster->ready[--cluster->ready_count];
        cluster->ready[activity->ready_index] = last;
        last->ready_index = activity->ready_index;
    }
    activity->state = ACTIVITY_IDLE;
}

void activity_release(struct activity *activity)
{
    if (activity->cluster == NULL)
        return;
    activity_cancel(activity);
    loop_timer_free(activity->timer);
    activity->timer = NULL;
}

bool cluster_chance(struct bus_memory *cluster, unsigned chance)
{
    return chance > 0 && loop_random_below(cluster->loop, 1000) < chance;
}

void cursor_continue(struct cursor *cursor, bool just_delivered)
{
    if (!cursor->active || cursor->paused)
        return;
    struct bus_memory *cluster = cursor->activity.cluster;
    bool in_batch = just_delivered && loop_random_below(cluster->loop, BATCH_MEAN) != 0;
    if (in_batch)
        activity_start_now(&cursor->activity);
    else
        activity_start(&cursor->activity);
}
