/*
 * The table of topics: see topic.h.
 *
 * Design: the table is expanded once into an array in the order of the enum, so that a row is found
 * by its number. Names are few, so they are found by looking at each.
 *
 * Invariant: rows[t].id == t.
 */
#include "topics/topic.h"

#include <assert.h>
#include <string.h>

static const struct topic_row rows[TOPIC_COUNT] = {
#define TOPIC_ROW(topic_id, topic_name_text, partition_count, policy, retention, segment, lag,     \
                  message_max, compression_type, key_text, value_text)                             \
    [topic_id] = {.id = topic_id,                                                                  \
                  .name = topic_name_text,                                                         \
                  .partitions = partition_count,                                                   \
                  .cleanup_policy = policy,                                                        \
                  .retention_ms = retention,                                                       \
                  .segment_ms = segment,                                                           \
                  .min_compaction_lag_ms = lag,                                                    \
                  .message_max_bytes = message_max,                                                \
                  .compression = compression_type,                                                 \
                  .key = key_text,                                                                 \
                  .value = value_text},
    TOPIC_TABLE(TOPIC_ROW)
#undef TOPIC_ROW
};

const struct topic_row *topic_row(enum topic topic)
{
    assert(topic < TOPIC_COUNT);
    return &rows[topic];
}

const char *topic_name(enum topic topic)
{
    return topic_row(topic)->name;
}

int topic_from_name(const char *name, enum topic *ret_topic)
{
    for (size_t i = 0; i < TOPIC_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *ret_topic = rows[i].id;
            return 0;
        }
    }
    return ERR_NOT_FOUND;
}

bool topic_is_compacted(enum topic topic)
{
    return strncmp(topic_row(topic)->cleanup_policy, "compact", strlen("compact")) == 0;
}
