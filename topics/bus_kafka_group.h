/*
 * A consumer group of the Kafka bus, as its two files share it; nobody else includes this.
 *
 * Design: bus_kafka_group.c makes, leaves and ends the handle of a group; bus_kafka_rebalance.c
 * takes its events: partitions that come and go, records, commits. The states and what leads from
 * one to another are drawn in bus_kafka_group.c.
 *
 * Invariant: group_set_state is the only writer of `state`.
 */
#ifndef NODAG_TOPICS_BUS_KAFKA_GROUP_H
#define NODAG_TOPICS_BUS_KAFKA_GROUP_H

#include "topics/bus_kafka_private.h"

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

/* A group. */
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

/* Converts the interface to the implementation and checks it. */
struct kafka_group *kafka_group_of(struct bus_group *group);

/* Enters a state; those that may not last for ever have a deadline. */
void kafka_group_set_state(struct kafka_group *group, enum group_state state);

/* Makes a list for librdkafka of partitions of the group's topic; owned. */
rd_kafka_topic_partition_list_t *kafka_group_make_list(const struct kafka_group *group,
                                                       const int32_t *partitions, size_t count);

/* Gives everything back to librdkafka, which commits what was stored unless it was lost. */
void kafka_group_unassign(struct kafka_group *group);

/* Tells the owner that everything is gone. */
void kafka_group_take_loss(struct kafka_group *group);

/* Takes one event of the group's handle. */
void kafka_group_on_event(void *argument, rd_kafka_event_t *event);

#endif
