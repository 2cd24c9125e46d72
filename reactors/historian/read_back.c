/*
 * Records read back: see read_back.h.
 */
#include "reactors/historian/read_back.h"

#include <utlist.h>

#include "base/memory.h"

struct read_back_wait {
    struct read_back *read_back; /* borrowed */
    int32_t partition;           /* where */
    int64_t offset;              /* where */
    bool is_read;                /* its turn: the partition is being read for it */
    read_back_fn found;          /* whom to tell */
    void *argument;              /* of found */
    struct read_back_wait *next; /* in line */
    struct read_back_wait *prev; /* likewise */
};

struct read_back {
    struct bus_reader *reader;    /* owned */
    struct read_back_wait *waits; /* list: all that wait, oldest first */
};

/* The wait whose turn it is in a partition, or NULL. */
static struct read_back_wait *read_back_turn(const struct read_back *read_back, int32_t partition)
{
    struct read_back_wait *wait = NULL;
    for (wait = read_back->waits; wait != NULL; wait = wait->next)
        if (wait->partition == partition && wait->is_read)
            return wait;
    return NULL;
}

/* Begins with the next one of a partition. */
static void read_back_next(struct read_back *read_back, int32_t partition)
{
    struct read_back_wait *wait = NULL;
    for (wait = read_back->waits; wait != NULL; wait = wait->next) {
        if (wait->partition != partition)
            continue;
        wait->is_read = true;
        bus_reader_add_at(read_back->reader, partition, wait->offset);
        return;
    }
}

void read_back_cancel(struct read_back_wait *wait)
{
    if (wait == NULL)
        return;
    struct read_back *read_back = wait->read_back;
    int32_t partition = wait->partition;
    bool is_read = wait->is_read;
    DL_DELETE(read_back->waits, wait);
    mem_free(wait);
    if (!is_read)
        return;
    bus_reader_remove(read_back->reader, partition);
    read_back_next(read_back, partition);
}

static void read_back_end(struct read_back_wait *wait, struct issue_record *record)
{
    read_back_fn found = wait->found;
    void *argument = wait->argument;
    read_back_cancel(wait);
    found(argument, record);
}

/* Records of an earlier reading of the partition may still come: only the offset that was asked for
 * counts. */
static void read_back_on_record(void *argument, const struct bus_record *record)
{
    struct read_back_wait *wait = read_back_turn(argument, record->partition);
    if (wait == NULL || record->offset != wait->offset)
        return;
    struct issue_record *found = NULL;
    int code = record->key == NULL || record->value == NULL
                   ? ERR_NOT_FOUND
                   : issue_record_decode(record->key, record->key_bytes, record->value,
                                         record->value_bytes, &found, NULL);
    read_back_end(wait, code == 0 ? found : NULL);
}

static void read_back_on_end(void *argument, int32_t partition)
{
    struct read_back_wait *wait = read_back_turn(argument, partition);
    if (wait != NULL)
        read_back_end(wait, NULL);
}

int read_back_new(struct bus *bus, struct read_back **ret_read_back, struct error *error)
{
    static const struct bus_reader_handler handler = {.record = read_back_on_record,
                                                      .caught_up = read_back_on_end};
    struct read_back *read_back = MEM_NEW(struct read_back);
    int code = bus_read(bus, TOPIC_ISSUES, &handler, read_back, &read_back->reader, error);
    if (code != 0) {
        mem_free(read_back);
        return code;
    }
    *ret_read_back = read_back;
    return 0;
}

void read_back_free(struct read_back *read_back)
{
    if (read_back == NULL)
        return;
    bus_reader_free(read_back->reader);
    mem_free(read_back);
}

struct read_back_wait *read_back_begin(struct read_back *read_back, int32_t partition,
                                       int64_t offset, read_back_fn found, void *argument)
{
    struct read_back_wait *wait = MEM_NEW(struct read_back_wait);
    *wait = (struct read_back_wait){.read_back = read_back,
                                    .partition = partition,
                                    .offset = offset,
                                    .found = found,
                                    .argument = argument};
    bool is_free = read_back_turn(read_back, partition) == NULL;
    DL_APPEND(read_back->waits, wait);
    if (is_free)
        read_back_next(read_back, partition);
    return wait;
}
