/*
 * What the files of the memory bus share; nobody else includes this. See bus_memory.h.
 *
 * Design: everything that happens later is an `activity`: it waits out a random delay on a timer of
 * the loop and then stands among the ready ones, of which one at a time is drawn by chance. So even
 * with no delay at all the order is the seed's.
 *
 *      activity:  IDLE ──start──▶ WAITING ──timer──▶ READY ──drawn──▶ IDLE, and its function runs
 *
 *      cluster ─┬─ topics[t].partitions[p].records[offset]        outlive every process
 *               ├─ groups: name, topic, committed offsets         outlive every process
 *               └─ connections ─┬─ outboxes[t][p]: messages on their way
 *                               ├─ readers ── cursors[p]
 *                               └─ members (struct memory_group) ── cursors[p]
 *
 * Invariants: a function of an activity changes all state before it calls a callback and touches
 * nothing afterwards, because the callback may close the connection; all functions here run on the
 * loop thread.
 */
#ifndef NODAG_TOPICS_BUS_MEMORY_PRIVATE_H
#define NODAG_TOPICS_BUS_MEMORY_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "topics/bus.h"
#include "topics/bus_memory.h"

/* Where an activity is: see the picture above. */
enum activity_state {
    ACTIVITY_IDLE,    /* not started */
    ACTIVITY_WAITING, /* its timer runs */
    ACTIVITY_READY,   /* in the cluster's ready list */
};

/* Something that happens later. Embedded in its owner; made by activity_init, ended by
 * activity_release. */
struct activity {
    struct bus_memory *cluster; /* borrowed */
    struct loop_timer *timer;   /* owned */
    enum activity_state state;  /* see above */
    size_t ready_index;         /* while READY */
    loop_fn function;           /* what happens */
    void *argument;             /* of function */
};

/* One record in its place; the memory behind `record` is owned. */
struct stored {
    struct bus_record record; /* as it is lent out */
    uint64_t sequence;        /* order of arrival in the cluster */
};

/* One partition. */
struct memory_partition {
    struct stored **records; /* owned, each for itself: lent records stay where they are */
    size_t count;            /* end offset */
    size_t capacity;         /* of records */
};

/* One topic. */
struct memory_topic {
    struct memory_partition *partitions; /* owned */
    int32_t count;                       /* how many */
};

/* The cluster: see the picture above. */
struct bus_memory {
    struct loop *loop;                       /* borrowed */
    struct bus_memory_faults faults;         /* chances */
    struct memory_topic topics[TOPIC_COUNT]; /* the records */
    uint64_t next_sequence;                  /* of stored records */
    struct memory_bus *connections;          /* list */
    struct group_state *groups;              /* list, owned */
    struct activity **ready;                 /* what may happen now, in no order; owned array */
    size_t ready_count;                      /* how many */
    size_t ready_capacity;                   /* of ready */
    bool pump_deferred;                      /* the pump stands in the loop's queue */
};

/* A message on its way, or its acknowledgement on its way back. */
struct outgoing {
    struct outgoing *next;      /* in its outbox */
    struct stored *stored;      /* owned until it is appended */
    bool appended;              /* the broker has it (or refused it): the answer is under way */
    int code;                   /* what the answer will be */
    int64_t offset;             /* where it stands; -1: nowhere */
    bus_delivered_fn delivered; /* NULL: nobody is told */
    void *argument;             /* of delivered */
};

/* Messages of one connection for one partition: they keep their order, as the idempotent producer's
 * do. */
struct outbox {
    struct memory_bus *connection; /* whose it is */
    struct outgoing *first;        /* oldest */
    struct outgoing **last;        /* where the next goes */
    enum topic topic;              /* where to */
    int32_t partition;             /* where to */
    struct activity activity;      /* one step of the oldest message */
};

/* One connection of one simulated process. */
struct memory_bus {
    struct bus bus;             /* first: the interface */
    struct bus_memory *cluster; /* borrowed */
    struct memory_bus *next;    /* in the cluster's list */
    struct outbox
        *outboxes[TOPIC_COUNT];    /* owned arrays, one outbox a partition; NULL before first use */
    size_t outgoing_count;         /* messages in all outboxes */
    struct memory_reader *readers; /* list, owned */
    bool closing;                  /* publishes are refused */
};

/* A place in a partition from which records flow. */
struct cursor {
    void *owner;           /* struct memory_reader or struct member */
    int32_t partition;     /* which */
    bool active;           /* read or assigned */
    bool paused;           /* no new deliveries */
    bool caught_up;        /* reader: told */
    int64_t position;      /* next offset */
    int64_t end_at_add;    /* reader: where it is caught up */
    int64_t stored_offset; /* group: finished below this; -1: nothing stored in this assignment */
    struct activity activity; /* one delivery */
};

/* Prepares an activity that is IDLE. */
void activity_init(struct activity *activity, struct bus_memory *cluster, loop_fn function,
                   void *argument);

/* Starts it after a random delay within the faults' delay_max_ms; no effect unless IDLE. */
void activity_start(struct activity *activity);

/* Makes it READY at once; no effect unless IDLE. */
void activity_start_now(struct activity *activity);

/* Makes it IDLE. */
void activity_cancel(struct activity *activity);

/* Makes it IDLE and frees what it owns; the struct is the owner's. */
void activity_release(struct activity *activity);

/* Returns true with a chance of `chance` in 1000; draws nothing where the chance is 0. */
bool cluster_chance(struct bus_memory *cluster, unsigned chance);

/* Starts a cursor again after a delivery or an append if it has anything to do; batches by chance,
 * as fetches do. */
void cursor_continue(struct cursor *cursor, bool just_delivered);

/* Returns the partition's end offset. */
int64_t cluster_end(const struct bus_memory *cluster, enum topic topic, int32_t partition);

/* Tells all members of groups on this partition that there is a new record. */
void groups_wake(struct bus_memory *cluster, enum topic topic, int32_t partition);

/* Ends all memberships of a connection that is closed, without a word. */
void groups_abandon(struct memory_bus *connection);

/* Frees all groups; none may have members. */
void groups_free(struct bus_memory *cluster);

/* Implements bus_join. */
int memory_join(struct bus *bus, enum topic topic, const char *group_name,
                const struct bus_group_handler *handler, void *argument,
                struct bus_group **ret_group, struct error *error);

/* Implements bus_group_store. */
void memory_group_store(struct bus_group *group, int32_t partition, int64_t next_offset);

/* Implements bus_group_pause. */
void memory_group_pause(struct bus_group *group, const int32_t *partitions, size_t count,
                        bool pause);

/* Implements bus_group_give_up. */
void memory_group_give_up(struct bus_group *group);

/* Implements bus_group_leave. */
void memory_group_leave(struct bus_group *group, void (*left)(void *argument), void *argument);

#endif
