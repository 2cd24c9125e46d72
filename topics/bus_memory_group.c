/*
 * The memory bus: consumer groups. See bus_memory.h and bus_memory_private.h.
 *
 * Design: the eager protocol. Whenever the set of members changes (or a fault says so), every
 * member is asked for all that it owns; when the last one gave up, everything is dealt out anew,
 * from the committed offsets.
 *
 *      JOINING ─▶ IDLE ─▶ ASSIGNING ─▶ OWNING ─▶ REVOKING ─▶ ASKED ─▶ IDLE …
 *                   (any of them) ─▶ LOSING ─▶ JOINING     fenced first, told later: a zombie
 *                   (any of them) ─▶ LEAVING ─▶ freed
 *
 * In ASSIGNING and REVOKING the member is about to be told.
 *
 * A third of the rebalances that the fault `rebalance` makes are losses: the member's partitions go
 * to others at once, while it learns of it only later, as happens when a process was paused for
 * longer than its session.
 *
 * Invariants: in ASKED, IDLE and LOSING no record is delivered; a stored offset is committed only
 * while the member owns the partition; a partition has one owner that is not fenced.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "topics/bus_memory_private.h"

/* Longest time until a stored offset is committed, as the contract says. */
#define COMMIT_DELAY_MAX_MS 1000

/* Kafka's default max.poll.interval.ms: who does not give up within it is out of the group. */
#define REVOKE_TIMEOUT_MS 300000

/* One in so many rebalances by fault is a loss. */
#define LOSS_SHARE 3

/* What a member is doing. */
#define MEMBER_STATES(X)                                                                           \
    X(JOINING)   /* on its way into the group */                                                   \
    X(IDLE)      /* in the group, owns nothing */                                                  \
    X(ASSIGNING) /* owns partitions and will be told */                                            \
    X(OWNING)    /* was told; records flow */                                                      \
    X(REVOKING)  /* will be asked to give up */                                                    \
    X(ASKED)     /* was asked, finishes */                                                         \
    X(LOSING)    /* fenced out of the group, will be told */                                       \
    X(LEAVING)   /* left; its owner will be told, then it is freed */

/* See MEMBER_STATES. */
enum member_state {
#define MEMBER_ENUM(name) MEMBER_##name, /* see above */
    MEMBER_STATES(MEMBER_ENUM)
#undef MEMBER_ENUM
};

/* One process' membership; what the interface calls a group. */
struct member {
    struct bus_group group;           /* first: the interface */
    struct group_state *state;        /* borrowed */
    struct memory_bus *connection;    /* borrowed */
    struct member *next;              /* in the group's list */
    enum member_state member_state;   /* see above */
    struct bus_group_handler handler; /* whom it tells */
    void *argument;                   /* of handler */
    struct cursor *cursors;           /* owned, one a partition; active: owned by this member */
    size_t owned_count;               /* active cursors */
    struct activity control;          /* the next thing to tell */
    struct loop_timer *commit_timer;  /* owned */
    struct loop_timer *revoke_timer;  /* owned */
    void (*left)(void *argument);     /* LEAVING: whom to tell */
    void *left_argument;              /* of left */
};

/* One consumer group on one topic. */
struct group_state {
    struct bus_memory *cluster; /* borrowed */
    struct group_state *next;   /* in the cluster's list */
    char *name;                 /* owned */
    enum topic topic;           /* its home topic */
    int32_t partition_count;    /* of the topic */
    int64_t *committed;         /* owned, one a partition */
    struct member *members;     /* list, owned; LOSING and LEAVING ones too */
    bool rebalancing;           /* members are being asked */
};

static void group_rebalance(struct group_state *state);

static bool member_is_in(const struct member *member)
{
    return member->member_state >= MEMBER_IDLE && member->member_state <= MEMBER_ASKED;
}

/* ---- offsets ---- */

static void member_commit(void *argument)
{
    struct member *member = argument;
    for (int32_t p = 0; p < member->state->partition_count; p++) {
        if (member->cursors[p].active && member->cursors[p].stored_offset >= 0)
            member->state->committed[p] = member->cursors[p].stored_offset;
    }
}

/* Takes everything from a member without committing. */
static void member_drop(struct member *member)
{
    for (int32_t p = 0; p < member->state->partition_count; p++) {
        struct cursor *cursor = &member->cursors[p];
        cursor->active = false;
        cursor->paused = false;
        activity_cancel(&cursor->activity);
    }
    member->owned_count = 0;
    loop_timer_clear(member->commit_timer);
    loop_timer_clear(member->revoke_timer);
}

/* Lists the partitions that a member owns; owned array. */
static int32_t *member_list(const struct member *member)
{
    int32_t *partitions = mem_alloc_array(member->owned_count + 1, sizeof(*partitions));
    size_t count = 0;
    for (int32_t p = 0; p < member->state->partition_count; p++) {
        if (member->cursors[p].active)
            partitions[count++] = p;
    }
    assert(count == member->owned_count);
    return partitions;
}

/* ---- the protocol ---- */

/* Deals all partitions out to the members that are in, beginning with one drawn by chance. */
static void group_assign(struct group_state *state)
{
    struct bus_memory *cluster = state->cluster;
    size_t member_count = 0;
    for (struct member *member = state->members; member != NULL; member = member->next)
        member_count += member_is_in(member) ? 1 : 0;
    if (member_count == 0)
        return;
    size_t turn = (size_t)loop_random_below(cluster->loop, member_count);
    for (struct member *member = state->members; member != NULL; member = member->next) {
        if (!member_is_in(member))
            continue;
        for (int32_t p = (int32_t)turn; p < state->partition_count; p += (int32_t)member_count) {
            struct cursor *cursor = &member->cursors[p];
            cursor->active = true;
            cursor->position = state->committed[p];
            cursor->stored_offset = -1;
            member->owned_count++;
        }
        turn = (turn + 1) % member_count;
        if (member->owned_count > 0) {
            member->member_state = MEMBER_ASSIGNING;
            activity_start(&member->control);
        }
    }
}

/* Deals out when nobody owns anything any more. */
static void group_try_assign(struct group_state *state)
{
    if (!state->rebalancing)
        return;
    for (const struct member *member = state->members; member != NULL; member = member->next) {
        if (member_is_in(member) && member->member_state != MEMBER_IDLE)
            return;
    }
    state->rebalancing = false;
    group_assign(state);
}

/* Asks every member for what it owns. */
static void group_rebalance(struct group_state *state)
{
    state->rebalancing = true;
    for (struct member *member = state->members; member != NULL; member = member->next) {
        if (member->member_state == MEMBER_ASSIGNING) {
            activity_cancel(&member->control);
            member_drop(member);
            member->member_state = MEMBER_IDLE;
        } else if (member->member_state == MEMBER_OWNING) {
            member->member_state = MEMBER_REVOKING;
            activity_start(&member->control);
        }
    }
    group_try_assign(state);
}

/* Fences a member: others get its partitions at once; it learns of it later and joins again. */
static void member_lose(void *argument)
{
    struct member *member = argument;
    assert(member->member_state >= MEMBER_OWNING && member->member_state <= MEMBER_ASKED);
    member->member_state = MEMBER_LOSING;
    loop_timer_clear(member->commit_timer);
    loop_timer_clear(member->revoke_timer);
    for (int32_t p = 0; p < member->state->partition_count; p++)
        activity_cancel(&member->cursors[p].activity);
    activity_cancel(&member->control);
    activity_start(&member->control);
    group_rebalance(member->state);
}

static void member_tell_assigned(struct member *member)
{
    size_t count = 0;
    CLEANUP(mem_free)
    struct bus_partition *partitions = mem_alloc_array(member->owned_count, sizeof(*partitions));
    for (int32_t p = 0; p < member->state->partition_count; p++) {
        struct cursor *cursor = &member->cursors[p];
        if (!cursor->active)
            continue;
        partitions[count++] =
            (struct bus_partition){.partition = p, .start_offset = cursor->position};
        cursor_continue(cursor, false);
    }
    member->member_state = MEMBER_OWNING;
    member->handler.assigned(member->argument, partitions, count);
}

static void member_tell_revoking(struct member *member)
{
    CLEANUP(mem_free) int32_t *partitions = member_list(member);
    member->member_state = MEMBER_ASKED;
    for (int32_t p = 0; p < member->state->partition_count; p++)
        activity_cancel(&member->cursors[p].activity);
    loop_timer_set(member->revoke_timer, REVOKE_TIMEOUT_MS);
    member->handler.revoking(member->argument, partitions, member->owned_count);
}

static void member_tell_lost(struct member *member)
{
    CLEANUP(mem_free) int32_t *partitions = member_list(member);
    size_t count = member->owned_count;
    member_drop(member);
    member->member_state = MEMBER_JOINING;
    activity_start(&member->control);
    member->handler.lost(member->argument, partitions, count);
}

static void member_free(struct member *member)
{
    struct member **link = &member->state->members;
    while (*link != member)
        link = &(*link)->next;
    *link = member->next;
    for (int32_t p = 0; p < member->state->partition_count; p++)
        activity_release(&member->cursors[p].activity);
    activity_release(&member->control);
    loop_timer_free(member->commit_timer);
    loop_timer_free(member->revoke_timer);
    free(member->cursors);
    free(member);
}

static void member_tell_left(struct member *member)
{
    void (*left)(void *) = member->left;
    void *argument = member->left_argument;
    member_free(member);
    if (left != NULL)
        left(argument);
}

/* The next thing to tell has its turn. */
static void member_control(void *argument)
{
    struct member *member = argument;
    switch (member->member_state) {
    case MEMBER_JOINING:
        member->member_state = MEMBER_IDLE;
        group_rebalance(member->state);
        break;
    case MEMBER_ASSIGNING:
        member_tell_assigned(member);
        break;
    case MEMBER_REVOKING:
        member_tell_revoking(member);
        break;
    case MEMBER_LOSING:
        member_tell_lost(member);
        break;
    case MEMBER_LEAVING:
        member_tell_left(member);
        break;
    case MEMBER_IDLE:
    case MEMBER_OWNING:
    case MEMBER_ASKED:
        assert(false);
    }
}

/* One delivery to a member. */
static void member_step(void *argument)
{
    struct cursor *cursor = argument;
    struct member *member = cursor->owner;
    struct group_state *state = member->state;
    struct bus_memory *cluster = state->cluster;
    if (cursor->position >= cluster_end(cluster, state->topic, cursor->partition))
        return;
    const struct bus_record *record =
        bus_memory_record(cluster, state->topic, cursor->partition, cursor->position);
    cursor->position++;
    cursor_continue(cursor, true);
    if (cluster_chance(cluster, cluster->faults.rebalance)) {
        if (loop_random_below(cluster->loop, LOSS_SHARE) == 0)
            member_lose(member);
        else
            group_rebalance(state);
    }
    member->handler.record(member->argument, record);
}

/* ---- the interface ---- */

static struct group_state *group_find_or_new(struct bus_memory *cluster, const char *group_name,
                                             enum topic topic)
{
    for (struct group_state *state = cluster->groups; state != NULL; state = state->next) {
        if (state->topic == topic && strcmp(state->name, group_name) == 0)
            return state;
    }
    struct group_state *state = MEM_NEW(struct group_state);
    state->cluster = cluster;
    state->name = mem_copy_text(group_name);
    state->topic = topic;
    state->partition_count = cluster->topics[topic].count;
    state->committed = mem_alloc_array((size_t)state->partition_count, sizeof(*state->committed));
    state->next = cluster->groups;
    cluster->groups = state;
    return state;
}

int memory_join(struct bus *bus, enum topic topic, const char *group_name,
                const struct bus_group_handler *handler, void *argument,
                struct bus_group **ret_group, struct error *error)
{
    (void)error;
    struct memory_bus *connection = (struct memory_bus *)bus;
    struct bus_memory *cluster = connection->cluster;
    struct group_state *state = group_find_or_new(cluster, group_name, topic);
    struct member *member = MEM_NEW(struct member);
    member->group.bus = bus;
    member->state = state;
    member->connection = connection;
    member->member_state = MEMBER_JOINING;
    member->handler = *handler;
    member->argument = argument;
    member->cursors = mem_alloc_array((size_t)state->partition_count, sizeof(*member->cursors));
    for (int32_t p = 0; p < state->partition_count; p++) {
        member->cursors[p].owner = member;
        member->cursors[p].partition = p;
        activity_init(&member->cursors[p].activity, cluster, member_step, &member->cursors[p]);
    }
    activity_init(&member->control, cluster, member_control, member);
    member->commit_timer = loop_timer_new(cluster->loop, member_commit, member);
    member->revoke_timer = loop_timer_new(cluster->loop, member_lose, member);
    member->next = state->members;
    state->members = member;
    activity_start(&member->control);
    *ret_group = &member->group;
    return 0;
}

void memory_group_store(struct bus_group *group, int32_t partition, int64_t next_offset)
{
    struct member *member = (struct member *)group;
    assert(partition >= 0 && partition < member->state->partition_count);
    struct cursor *cursor = &member->cursors[partition];
    bool owns = member->member_state == MEMBER_OWNING || member->member_state == MEMBER_REVOKING ||
                member->member_state == MEMBER_ASKED;
    if (!owns || !cursor->active || next_offset <= cursor->stored_offset)
        return;
    cursor->stored_offset = next_offset;
    if (!loop_timer_is_set(member->commit_timer))
        loop_timer_set(
            member->commit_timer,
            (int64_t)loop_random_below(member->state->cluster->loop, COMMIT_DELAY_MAX_MS + 1));
}

void memory_group_pause(struct bus_group *group, const int32_t *partitions, size_t count,
                        bool pause)
{
    struct member *member = (struct member *)group;
    for (size_t i = 0; i < count; i++) {
        assert(partitions[i] >= 0 && partitions[i] < member->state->partition_count);
        struct cursor *cursor = &member->cursors[partitions[i]];
        if (!cursor->active)
            continue;
        /* A delivery that stands already still comes, as with records that were fetched. */
        cursor->paused = pause;
        if (!pause && member->member_state == MEMBER_OWNING)
            cursor_continue(cursor, false);
    }
}

void memory_group_give_up(struct bus_group *group)
{
    struct member *member = (struct member *)group;
    if (member->member_state != MEMBER_ASKED)
        return;
    member_commit(member);
    member_drop(member);
    member->member_state = MEMBER_IDLE;
    group_try_assign(member->state);
}

void memory_group_leave(struct bus_group *group, void (*left)(void *argument), void *argument)
{
    struct member *member = (struct member *)group;
    assert(member->member_state != MEMBER_LEAVING);
    bool owns = member->member_state == MEMBER_OWNING || member->member_state == MEMBER_REVOKING ||
                member->member_state == MEMBER_ASKED;
    if (owns)
        member_commit(member);
    member_drop(member);
    activity_cancel(&member->control);
    bool was_in = member_is_in(member);
    member->member_state = MEMBER_LEAVING;
    member->left = left;
    member->left_argument = argument;
    activity_start(&member->control);
    if (was_in)
        group_rebalance(member->state);
}

/* ---- for the cluster ---- */

void groups_wake(struct bus_memory *cluster, enum topic topic, int32_t partition)
{
    for (struct group_state *state = cluster->groups; state != NULL; state = state->next) {
        if (state->topic != topic)
            continue;
        for (struct member *member = state->members; member != NULL; member = member->next) {
            if (member->member_state == MEMBER_OWNING)
                cursor_continue(&member->cursors[partition], false);
        }
    }
}

void groups_abandon(struct memory_bus *connection)
{
    struct bus_memory *cluster = connection->cluster;
    for (struct group_state *state = cluster->groups; state != NULL; state = state->next) {
        bool changed = false;
        for (struct member *member = state->members, *next = NULL; member != NULL; member = next) {
            next = member->next;
            if (member->connection != connection)
                continue;
            member_free(member);
            changed = true;
        }
        if (changed)
            group_rebalance(state);
    }
}

void groups_free(struct bus_memory *cluster)
{
    while (cluster->groups != NULL) {
        struct group_state *state = cluster->groups;
        assert(state->members == NULL);
        cluster->groups = state->next;
        free(state->name);
        free(state->committed);
        free(state);
    }
}

int64_t bus_memory_committed(const struct bus_memory *cluster, const char *group_name,
                             enum topic topic, int32_t partition)
{
    for (const struct group_state *state = cluster->groups; state != NULL; state = state->next) {
        if (state->topic != topic || strcmp(state->name, group_name) != 0)
            continue;
        assert(partition >= 0 && partition < state->partition_count);
        return state->committed[partition];
    }
    return 0;
}
