/*
 * What all requests share: see door.h.
 *
 * Design: publications are kept in a list only so that a door which is freed before its bus leaks none.
 */
#include "ingest/github/door.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "ingest/github/delivery.h"

/* What a publication handed through the bus' `void *` starts with. */
#define PUBLICATION_MAGIC 0x9ab1154u

struct publication {
    unsigned magic;
    struct door *door;
    struct dedup_entry *entry; /* borrowed from the door's memory */
    const char *label;         /* static: the event */
    size_t payload_bytes;
    struct publication *next;      /* in the door's list */
    struct publication **previous; /* the link that points here */
};

static void on_drain_timer(void *argument)
{
    delivery_cut_unfinished(argument);
}

struct door *door_new(struct loop *loop, struct bus *bus, struct metrics *registry,
                      const struct door_settings *settings)
{
    struct door *door = MEM_NEW(struct door);
    door->loop = loop;
    door->bus = bus;
    door->settings = *settings;
    door->metrics = door_metrics_new(registry);
    door->dedup = dedup_new(loop, DEDUP_PUBLISHED_MAX, DEDUP_AGE_MAX_MS);
    door->parse_queue = parse_queue_new(loop);
    door->drain_timer = loop_timer_new(loop, on_drain_timer, door);
    return door;
}

static struct publication *publication_new(struct door *door, struct dedup_entry *entry)
{
    struct publication *publication = MEM_NEW(struct publication);
    publication->magic = PUBLICATION_MAGIC;
    publication->door = door;
    publication->entry = entry;
    publication->next = door->first_publication;
    publication->previous = &door->first_publication;
    if (publication->next != NULL)
        publication->next->previous = &publication->next;
    door->first_publication = publication;
    door->publication_count++;
    return publication;
}

static void publication_free(struct publication *publication)
{
    *publication->previous = publication->next;
    if (publication->next != NULL)
        publication->next->previous = publication->previous;
    publication->door->publication_count--;
    publication->magic = 0;
    free(publication);
}

void door_free(struct door *door)
{
    if (door == NULL)
        return;
    assert(door->first_delivery == NULL);
    while (door->first_publication != NULL)
        publication_free(door->first_publication);
    loop_timer_free(door->drain_timer);
    parse_queue_free(door->parse_queue);
    dedup_free(door->dedup);
    secrets_free(door->secrets);
    door_metrics_free(door->metrics);
    free(door);
}

void door_take_secrets(struct door *door, struct secrets *secrets)
{
    secrets_free(door->secrets);
    door->secrets = secrets;
    door_metrics_secrets(door->metrics, secrets);
}

void door_check_drained(struct door *door)
{
    if (!door->is_draining || door->drained == NULL || door->delivery_count > 0 ||
        door->publication_count > 0)
        return;
    loop_timer_clear(door->drain_timer);
    TAKE(door->drained)(door->drained_argument);
}

void door_drain(struct door *door, void (*drained)(void *argument), void *argument)
{
    assert(!door->is_draining);
    door->is_draining = true;
    door->drained = drained;
    door->drained_argument = argument;
    loop_timer_set(door->drain_timer, DOOR_DRAIN_BODY_MS);
    door_check_drained(door);
}

/* The bus says what came of a record. */
static void on_delivered(void *argument, int code, int32_t partition, int64_t offset)
{
    (void)partition;
    (void)offset;
    struct publication *publication = CAST_CHECKED(struct publication, argument, PUBLICATION_MAGIC);
    struct door *door = publication->door;
    struct dedup_entry *entry = publication->entry;
    if (code == 0)
        door_metrics_event(door->metrics, publication->label, publication->payload_bytes);
    publication_free(publication);
    dedup_finish(door->dedup, entry, code);
    door_check_drained(door);
}

void door_publish(struct door *door, struct dedup_entry *entry, const struct bus_message *message,
                  const char *label)
{
    assert(message->take_value);
    struct publication *publication = publication_new(door, entry);
    publication->label = label;
    publication->payload_bytes = message->value_bytes;
    int code = bus_publish(door->bus, message, on_delivered, publication);
    if (code == 0)
        return;
    free((void *)(uintptr_t)message->value);
    publication_free(publication);
    dedup_finish(door->dedup, entry, code);
}
