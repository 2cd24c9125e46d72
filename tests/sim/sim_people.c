/*
 * What people do on the simulated GitHub, and the webhooks that it sends: late, out of order, some
 * twice, some damaged on the way into Kafka.
 */
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/memory.h"
#include "tests/sim/sim_private.h"
#include "topics/subject.h"

/* Longest delay of a webhook, in milliseconds: GitHub's own can take longer, and none of the
 * promises depends on it. */
#define PEOPLE_WEBHOOK_DELAY_MS 20000

/* Chances in 1/1000: a delivery arrives twice; a record without an envelope stands beside it. */
#define PEOPLE_TWICE 150
#define PEOPLE_DAMAGED 20

const char *const sim_words[SIM_MATTERS][4] = {
    {"panic", "crash", "segfault", "broken"},     {"please", "support", "proposal", "feature"},
    {"notebook", "jupyter", "kernel", "spawner"}, {"pipeline", "dag", "argo", "workflow"},
    {"ghost", "phantom", "spectre", "wraith"},
};

static const char *const people_labels[] = {"kind/bug", "kind/feature", "area/jupyter",
                                            "area/pipelines", "good first issue"};

/* One delivery on its way. */
struct sim_webhook {
    struct sim *sim;             /* borrowed */
    struct loop_timer *timer;    /* owned */
    char id[32];                 /* ce_id */
    char type[64];               /* ce_type */
    char key[SUBJECT_KEY_BYTES]; /* record key */
    int64_t time_ms;             /* ce_time */
    bool damaged;                /* has no envelope */
    struct sim_webhook *next;    /* in sim->webhooks */
    struct sim_webhook *prev;    /* likewise */
};

static void people_arrive(void *argument)
{
    struct sim_webhook *webhook = argument;
    struct sim *sim = webhook->sim;
    struct event event = {
        .id = text_of(webhook->id),
        .source = text_of("https://world/" WORLD_REPOSITORY),
        .type = text_of(webhook->type),
        .repository = text_of(WORLD_REPOSITORY),
        .github_event = text_of("issues"),
        .sender = text_of("ann"),
        .sender_type = text_of("User"),
        .has_time = true,
        .time_ms = webhook->time_ms,
    };
    struct event_headers headers;
    if (envelope_encode(&event, &headers, NULL) != 0)
        headers.count = 0;
    struct bus_message message = {
        .topic = TOPIC_GITHUB_EVENTS,
        .partition = BUS_PARTITION_BY_KEY,
        .key = webhook->key,
        .key_bytes = strlen(webhook->key),
        .value = "{}",
        .value_bytes = 2,
        .headers = headers.items,
        .header_count = webhook->damaged ? 0 : headers.count,
    };
    (void)bus_memory_append(sim->cluster, &message);
    sim->result->events++;
    sim->undecodable += webhook->damaged ? 1 : 0;
    sim_tell(sim, "webhook %s %s arrives%s", webhook->type, webhook->key,
             webhook->damaged ? " damaged" : "");
    DL_DELETE(sim->webhooks, webhook);
    loop_timer_free(webhook->timer);
    mem_free(webhook);
}

static void people_send_one(struct sim *sim, const struct world_issue *issue, const char *action,
                            unsigned long id, bool damaged)
{
    struct sim_webhook *webhook = MEM_NEW(struct sim_webhook);
    webhook->sim = sim;
    webhook->time_ms = issue->updated_ms;
    webhook->damaged = damaged;
    (void)snprintf(webhook->id, sizeof(webhook->id), "delivery-%lu", id);
    (void)snprintf(webhook->type, sizeof(webhook->type), "com.github.issue.%s", action);
    subject_key_issue(WORLD_REPOSITORY_ID, issue->number, webhook->key);
    webhook->timer = loop_timer_new(sim->loop, people_arrive, webhook);
    loop_timer_set(webhook->timer, (int64_t)loop_random_below(sim->loop, PEOPLE_WEBHOOK_DELAY_MS));
    DL_APPEND(sim->webhooks, webhook);
}

static void people_send(struct sim *sim, const struct world_issue *issue, const char *action)
{
    if (issue == NULL)
        return;
    unsigned long id = ++sim->deliveries;
    sim_tell(sim, "people: issue %lld %s", (long long)issue->number, action);
    people_send_one(sim, issue, action, id, false);
    if (loop_random_below(sim->loop, 1000) < PEOPLE_TWICE)
        people_send_one(sim, issue, action, id, false);
    if (loop_random_below(sim->loop, 1000) < PEOPLE_DAMAGED)
        people_send_one(sim, issue, action, id, true);
}

static uint64_t people_draw(struct sim *sim, uint64_t bound)
{
    return generator_next(&sim->people) % bound;
}

/* A text about one or two matters. */
static void people_write_text(struct sim *sim, char *ret_text, size_t text_bytes)
{
    size_t matters = 1 + people_draw(sim, 2);
    size_t length = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < matters; i++) {
        size_t row = people_draw(sim, SIM_MATTERS);
        for (size_t j = 0; j < 5 && length < text_bytes; j++)
            length += (size_t)snprintf(ret_text + length, text_bytes - length, "%s ",
                                       sim_words[row][people_draw(sim, 4)]);
    }
}

void sim_people_act(struct sim *sim)
{
    struct world *world = sim->world;
    char text[WORLD_TEXT_BYTES / 2];
    uint64_t what = people_draw(sim, 100);
    size_t count = world_issue_count(world);
    if (what < 35 || count == 0) {
        people_write_text(sim, text, sizeof(text));
        people_send(sim, world_open_issue(world, "it happens", text), "opened");
        return;
    }
    int64_t number = 1 + (int64_t)people_draw(sim, count);
    const char *label = people_labels[people_draw(sim, ARRAY_COUNT(people_labels))];
    if (what < 55) {
        people_write_text(sim, text, sizeof(text));
        people_send(sim, world_edit_issue(world, number, text), "edited");
    } else if (what < 70) {
        people_send(sim, world_set_label(world, number, label, true), "labeled");
    } else if (what < 85) {
        people_send(sim, world_set_label(world, number, label, false), "unlabeled");
    } else if (what < 91) {
        people_send(sim, world_set_open(world, number, false), "closed");
    } else if (what < 97) {
        people_send(sim, world_set_open(world, number, true), "reopened");
    } else if (world_delete_comment(world, number) != NULL) {
        sim_tell(sim, "people: nodag's comment on issue %lld deleted", (long long)number);
    }
}

void sim_people_touch_all(struct sim *sim)
{
    for (size_t i = 1; i <= world_issue_count(sim->world); i++)
        people_send(sim, world_issue_at(sim->world, (int64_t)i), "edited");
}

void sim_people_release(struct sim *sim)
{
    struct sim_webhook *webhook = NULL;
    struct sim_webhook *rest = NULL;
    DL_FOREACH_SAFE(sim->webhooks, webhook, rest)
    {
        DL_DELETE(sim->webhooks, webhook);
        loop_timer_free(webhook->timer);
        mem_free(webhook);
    }
}
