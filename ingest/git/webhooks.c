/*
 * Webhooks that wake: see webhooks.h.
 *
 * Design: the two headers that matter are looked for by name; nothing of the envelope is checked,
 * because a wake does no harm.
 */
#include "ingest/git/webhooks.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

/* What passes through `void *` starts with this. */
#define WEBHOOKS_MAGIC 0x3eb400u

/* Type of the events that tell of a push; branches and tags that come and go are pushes too. */
#define PUSH_TYPE "com.github.push"

struct webhooks {
    unsigned magic;
    struct loop *loop;         /* borrowed */
    struct bus *bus;           /* borrowed */
    struct watcher *watcher;   /* borrowed */
    struct loop_timer *timer;  /* owned */
    struct bus_reader *reader; /* owned; NULL: the topic is not known yet */
    int32_t behind_count;      /* partitions of which the end is not known yet */
};

static struct text find_header(const struct bus_record *record, const char *name)
{
    for (size_t i = 0; i < record->header_count; i++)
        if (strcmp(record->headers[i].name, name) == 0)
            return (struct text){.data = record->headers[i].value,
                                 .bytes = record->headers[i].value_bytes};
    return (struct text){.data = NULL};
}

static void on_record(void *argument, const struct bus_record *record)
{
    struct webhooks *webhooks = CAST_CHECKED(struct webhooks, argument, WEBHOOKS_MAGIC);
    if (!text_equals(find_header(record, "ce_type"), PUSH_TYPE))
        return;
    struct text name = find_header(record, "ce_githubrepository");
    if (name.data != NULL)
        (void)watcher_wake_named(webhooks->watcher, name.data, name.bytes, "webhook");
}

static void on_caught_up(void *argument, int32_t partition)
{
    (void)partition;
    struct webhooks *webhooks = CAST_CHECKED(struct webhooks, argument, WEBHOOKS_MAGIC);
    if (--webhooks->behind_count == 0)
        LOG_INFO("push webhooks wake repositories",
                 LOG_TEXT("topic", topic_name(TOPIC_GITHUB_EVENTS)));
}

static const struct bus_reader_handler reader_handler = {.record = on_record,
                                                         .caught_up = on_caught_up};

static int begin(struct webhooks *webhooks, struct error *error)
{
    int32_t count = 0;
    int code = bus_partition_count(webhooks->bus, TOPIC_GITHUB_EVENTS, &count);
    if (code == 0)
        code = bus_read(webhooks->bus, TOPIC_GITHUB_EVENTS, &reader_handler, webhooks,
                        &webhooks->reader, error);
    if (code != 0)
        return code;
    webhooks->behind_count = count;
    for (int32_t i = 0; i < count; i++)
        bus_reader_add_end(webhooks->reader, i);
    return 0;
}

static void on_timer(void *argument)
{
    struct webhooks *webhooks = CAST_CHECKED(struct webhooks, argument, WEBHOOKS_MAGIC);
    struct error error = {.text = ""};
    int code = begin(webhooks, &error);
    if (code == 0)
        return;
    LOG_DEBUG("webhooks cannot be read yet", LOG_TEXT("error", err_name(code)));
    loop_timer_set(webhooks->timer, WEBHOOKS_RETRY_MS);
}

struct webhooks *webhooks_new(struct loop *loop, struct bus *bus, struct watcher *watcher)
{
    struct webhooks *webhooks = MEM_NEW(struct webhooks);
    webhooks->magic = WEBHOOKS_MAGIC;
    webhooks->loop = loop;
    webhooks->bus = bus;
    webhooks->watcher = watcher;
    webhooks->timer = loop_timer_new(loop, on_timer, webhooks);
    loop_timer_set(webhooks->timer, 0);
    return webhooks;
}

void webhooks_free(struct webhooks *webhooks)
{
    if (webhooks == NULL)
        return;
    bus_reader_free(webhooks->reader);
    loop_timer_free(webhooks->timer);
    webhooks->magic = 0;
    free(webhooks);
}
