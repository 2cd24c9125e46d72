/*
 * What people do on the simulated GitHub, and the webhooks that it sends: late, out of order, some
 * twice, some damaged on the way into Kafka.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "tests/sim/sim_private.h"
#include "topics/subject.h"

/* Longest delay of a webhook, in milliseconds: GitHub's own can take longer, and none of the
 * promises depends on it. A quarter where first looks are by records, so that they meet. */
#define PEOPLE_WEBHOOK_DELAY_MS 20000u

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
    char *value;                 /* owned; the payload */
    const char *sender;          /* login; static */
    struct sim_told told; /* what it says of a label; label "" where nothing, or not by a person */
    bool damaged;         /* has no envelope */
    struct sim_webhook *next; /* in sim->webhooks */
    struct sim_webhook *prev; /* likewise */
};

static void people_forget(struct sim_webhook *webhook)
{
    DL_DELETE(webhook->sim->webhooks, webhook);
    loop_timer_free(webhook->timer);
    mem_free(webhook->value);
    mem_free(webhook);
}

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
        .sender = text_of(webhook->sender),
        .sender_type = text_of(strcmp(webhook->sender, WORLD_BOT) == 0 ? "Bot" : "User"),
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
        .value = webhook->value,
        .value_bytes = strlen(webhook->value),
        .headers = headers.items,
        .header_count = webhook->damaged ? 0 : headers.count,
    };
    webhook->told.offset = bus_memory_append(sim->cluster, &message);
    webhook->told.arrived_ms = loop_now_ms(sim->loop);
    if (webhook->told.label[0] != '\0' && !webhook->damaged)
        sim_records_note(sim, &webhook->told);
    sim->result->events++;
    sim->undecodable += webhook->damaged ? 1 : 0;
    sim_tell(sim, "webhook %s %s arrives%s", webhook->type, webhook->key,
             webhook->damaged ? " damaged" : "");
    people_forget(webhook);
}

/* A time as GitHub says it. */
static int64_t people_whole_second(int64_t time_ms)
{
    return time_ms - time_ms % 1000;
}

/* The payload, as far as the historian reads it; owned. */
static char *people_write_payload(const struct world_issue *issue, const char *action,
                                  const char *label, const char *sender)
{
    char created[TIME_TEXT_BYTES];
    char updated[TIME_TEXT_BYTES];
    time_to_text(people_whole_second(issue->created_ms), created);
    time_to_text(people_whole_second(issue->updated_ms), updated);
    json_t *labels = json_array();
    for (size_t i = 0; i < sim_label_count; i++)
        if (world_has_label(issue, sim_labels[i]))
            (void)json_array_append_new(labels, json_pack("{s:s}", "name", sim_labels[i]));
    CLEANUP(json_release)
    json_t *payload =
        json_pack("{s:s, s:{s:I, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s}, s:o}, "
                  "s:{s:i, s:s, s:b, s:{s:s, s:i}}, s:{s:s, s:s}}",
                  "action", action, "issue", "number", (json_int_t)issue->number, "title",
                  issue->title, "body", issue->body, "state", issue->is_open ? "open" : "closed",
                  "created_at", created, "updated_at", updated, "user", "login", "ann", "type",
                  "User", "labels", labels, "repository", "id", WORLD_REPOSITORY_ID, "full_name",
                  WORLD_REPOSITORY, "private", 0, "owner", "login", "sim", "id", 9, "sender",
                  "login", sender, "type", strcmp(sender, WORLD_BOT) == 0 ? "Bot" : "User");
    assert(payload != NULL);
    if (label != NULL)
        (void)json_object_set_new(payload, "label", json_pack("{s:s}", "name", label));
    return json_write(payload, NULL);
}

/* What happened, for its webhook. */
struct people_doing {
    const struct world_issue *issue; /* as it is now */
    const char *action;              /* of the webhook */
    const char *label;               /* NULL: none */
    const char *sender;              /* login; static */
};

static void people_send_one(struct sim *sim, const struct people_doing *doing, unsigned long id,
                            bool damaged)
{
    const struct world_issue *issue = doing->issue;
    struct sim_webhook *webhook = MEM_NEW(struct sim_webhook);
    webhook->sim = sim;
    webhook->time_ms = people_whole_second(issue->updated_ms);
    webhook->sender = doing->sender;
    webhook->value = people_write_payload(issue, doing->action, doing->label, doing->sender);
    if (doing->label != NULL && strcmp(doing->sender, WORLD_BOT) != 0) {
        webhook->told.number = issue->number;
        webhook->told.added = strcmp(doing->action, "labeled") == 0;
        webhook->told.sequence = issue->entries[issue->entry_count - 1].sequence;
        (void)snprintf(webhook->told.label, sizeof(webhook->told.label), "%s", doing->label);
    }
    webhook->damaged = damaged;
    (void)snprintf(webhook->id, sizeof(webhook->id), "delivery-%lu", id);
    (void)snprintf(webhook->type, sizeof(webhook->type), "com.github.issue.%s", doing->action);
    subject_key_issue(WORLD_REPOSITORY_ID, issue->number, webhook->key);
    webhook->timer = loop_timer_new(sim->loop, people_arrive, webhook);
    uint64_t delay_ms = PEOPLE_WEBHOOK_DELAY_MS / (sim->plan->by_record ? 4u : 1u);
    loop_timer_set(webhook->timer, (int64_t)loop_random_below(sim->loop, delay_ms));
    DL_APPEND(sim->webhooks, webhook);
}

static void people_send_doing(struct sim *sim, const struct people_doing *doing)
{
    unsigned long id = ++sim->deliveries;
    sim_tell(sim, "%s: issue %lld %s %s", doing->sender, (long long)doing->issue->number,
             doing->action, doing->label != NULL ? doing->label : "");
    people_send_one(sim, doing, id, false);
    if (loop_random_below(sim->loop, 1000) < PEOPLE_TWICE)
        people_send_one(sim, doing, id, false);
    if (loop_random_below(sim->loop, 1000) < PEOPLE_DAMAGED)
        people_send_one(sim, doing, id, true);
}

static void people_send(struct sim *sim, const struct world_issue *issue, const char *action,
                        const char *label)
{
    const struct people_doing doing = {
        .issue = issue, .action = action, .label = label, .sender = "ann"};
    if (issue != NULL)
        people_send_doing(sim, &doing);
}

void sim_people_tell_write(void *argument, const struct world_issue *issue, const char *label,
                           bool added)
{
    const struct people_doing doing = {.issue = issue,
                                       .action = added ? "labeled" : "unlabeled",
                                       .label = label,
                                       .sender = WORLD_BOT};
    people_send_doing(argument, &doing);
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

/* Somebody who opened an issue labels it, and then takes the label away again. */
static void people_think_again(struct sim *sim)
{
    struct sim_thought *thought = &sim->thought;
    bool add = !thought->labeled;
    people_send(sim, world_set_label(sim->world, thought->number, thought->label, add),
                add ? "labeled" : "unlabeled", thought->label);
    if (!add)
        thought->number = 0;
    thought->labeled = true;
}

/* Where first looks are by records people have second thoughts soon, which a record must not hide. */
static void people_begin_to_think(struct sim *sim, const struct world_issue *issue)
{
    if (issue == NULL || !sim->plan->by_record || people_draw(sim, 2) == 0)
        return;
    sim->thought =
        (struct sim_thought){.number = issue->number,
                             .label = people_labels[people_draw(sim, ARRAY_COUNT(people_labels))]};
}

void sim_people_act(struct sim *sim)
{
    struct world *world = sim->world;
    if (sim->thought.number != 0) {
        people_think_again(sim);
        return;
    }
    char text[WORLD_TEXT_BYTES / 2];
    uint64_t what = people_draw(sim, 100);
    size_t count = world_issue_count(world);
    if (what < 35 || count == 0) {
        people_write_text(sim, text, sizeof(text));
        const struct world_issue *issue = world_open_issue(world, "it happens", text);
        people_send(sim, issue, "opened", NULL);
        people_begin_to_think(sim, issue);
        return;
    }
    int64_t number = 1 + (int64_t)people_draw(sim, count);
    const char *label = people_labels[people_draw(sim, ARRAY_COUNT(people_labels))];
    if (what < 55) {
        people_write_text(sim, text, sizeof(text));
        people_send(sim, world_edit_issue(world, number, text), "edited", NULL);
    } else if (what < 70) {
        people_send(sim, world_set_label(world, number, label, true), "labeled", label);
    } else if (what < 85) {
        people_send(sim, world_set_label(world, number, label, false), "unlabeled", label);
    } else if (what < 91) {
        people_send(sim, world_set_open(world, number, false), "closed", NULL);
    } else if (what < 97) {
        people_send(sim, world_set_open(world, number, true), "reopened", NULL);
    } else if (world_delete_comment(world, number) != NULL) {
        sim_tell(sim, "people: nodag's comment on issue %lld deleted", (long long)number);
    }
}

void sim_people_touch_all(struct sim *sim)
{
    for (size_t i = 1; i <= world_issue_count(sim->world); i++)
        people_send(sim, world_issue_at(sim->world, (int64_t)i), "edited", NULL);
}

void sim_people_release(struct sim *sim)
{
    struct sim_webhook *webhook = NULL;
    struct sim_webhook *rest = NULL;
    DL_FOREACH_SAFE(sim->webhooks, webhook, rest)
    {
        people_forget(webhook);
    }
}
