/*
 * Dead letters: see dead_letter.h. Key: topic/partition/offset/consumer; the original's key,
 * consumer and reason travel as headers beside the original's own.
 */
#include "reactors/kernel/dead_letter.h"

#include <string.h>
#include <utlist.h>

#include "base/memory.h"
#include "reactors/kernel/kernel_private.h"

/* Headers of ours beside the original's. */
#define DEAD_LETTER_OWN_HEADERS 3

/* One refusal under way. */
struct dead_letter {
    struct kernel_partition *partition; /* NULL once forgotten */
    int64_t offset;                     /* of the refused record */
    char *key;                          /* owned: topic/partition/offset/consumer */
    char *value;                        /* owned copy; NULL for a tombstone */
    size_t value_bytes;                 /* length */
    struct event_header
        headers[ENVELOPE_HEADERS_MAX + DEAD_LETTER_OWN_HEADERS]; /* names and values owned */
    size_t header_count;                                         /* in use */
    bool published;           /* a publish is under way: its callback frees */
    struct loop_timer *timer; /* owned; to publish again */
    struct dead_letter *next; /* in partition->dead_letters */
    struct dead_letter *prev; /* likewise */
};

static void dead_letter_send(struct dead_letter *letter);

static void dead_letter_free(struct dead_letter *letter)
{
    for (size_t i = 0; i < letter->header_count; i++) {
        free((void *)(uintptr_t)letter->headers[i].name);
        free((void *)(uintptr_t)letter->headers[i].value);
    }
    loop_timer_free(letter->timer);
    mem_free(letter->key);
    mem_free(letter->value);
    mem_free(letter);
}

static void dead_letter_add_header(struct dead_letter *letter, const char *name, const void *value,
                                   size_t value_bytes)
{
    letter->headers[letter->header_count++] = (struct event_header){
        .name = mem_copy_text(name),
        .value = mem_copy_bytes(value, value_bytes),
        .value_bytes = value_bytes,
    };
}

static void dead_letter_send_again(void *argument)
{
    dead_letter_send(argument);
}

static void dead_letter_delivered(void *argument, int code, int32_t number, int64_t offset)
{
    (void)number;
    (void)offset;
    struct dead_letter *letter = argument;
    struct kernel_partition *partition = letter->partition;
    letter->published = false;
    if (partition == NULL) {
        dead_letter_free(letter);
        return;
    }
    if (code != 0 && code != ERR_TOO_LARGE) {
        loop_timer_set(letter->timer, KERNEL_PUBLISH_AGAIN_MS);
        return;
    }
    DL_DELETE(partition->dead_letters, letter);
    ledger_finish(&partition->ledger, letter->offset);
    partition_store(partition);
    dead_letter_free(letter);
    kernel_balance_flow(partition->kernel);
}

static void dead_letter_give_up(void *argument)
{
    dead_letter_delivered(argument, ERR_TOO_LARGE, 0, -1);
}

static void dead_letter_send(struct dead_letter *letter)
{
    struct kernel *kernel = letter->partition->kernel;
    struct bus_message message = {
        .topic = TOPIC_DEAD_LETTERS,
        .partition = BUS_PARTITION_BY_KEY,
        .key = letter->key,
        .key_bytes = strlen(letter->key),
        .value = letter->value,
        .value_bytes = letter->value_bytes,
        .headers = letter->headers,
        .header_count = letter->header_count,
    };
    int code = bus_publish(kernel->bus, &message, dead_letter_delivered, letter);
    if (code == 0 || code == ERR_TOO_LARGE)
        letter->published = true;
    if (code == ERR_TOO_LARGE)
        loop_defer(kernel->loop, dead_letter_give_up,
                   letter); /* it will never fit: what is left is the metric */
    else if (code != 0)
        loop_timer_set(letter->timer, KERNEL_PUBLISH_AGAIN_MS);
}

void dead_letter_publish(struct kernel_partition *partition, const struct bus_record *record,
                         const char *reason)
{
    struct kernel *kernel = partition->kernel;
    struct dead_letter *letter = MEM_NEW(struct dead_letter);
    letter->partition = partition;
    letter->offset = record->offset;
    letter->key = mem_format("%s/%d/%lld/%s", topic_name(record->topic), record->partition,
                             (long long)record->offset, kernel->reactor->name);
    if (record->value != NULL)
        letter->value = mem_copy_bytes(record->value, record->value_bytes);
    letter->value_bytes = record->value_bytes;
    letter->timer = loop_timer_new(kernel->loop, dead_letter_send_again, letter);
    dead_letter_add_header(letter, "nodag_refused_key", record->key, record->key_bytes);
    dead_letter_add_header(letter, "nodag_refused_by", kernel->reactor->name,
                           strlen(kernel->reactor->name));
    dead_letter_add_header(letter, "nodag_refused_reason", reason, strlen(reason));
    for (size_t i = 0; i < record->header_count && i < ENVELOPE_HEADERS_MAX; i++)
        dead_letter_add_header(letter, record->headers[i].name, record->headers[i].value,
                               record->headers[i].value == NULL ? 0
                                                                : record->headers[i].value_bytes);
    DL_APPEND(partition->dead_letters, letter);
    dead_letter_send(letter);
}

void dead_letter_forget(struct kernel_partition *partition)
{
    struct dead_letter *letter = NULL;
    struct dead_letter *rest = NULL;
    DL_FOREACH_SAFE(partition->dead_letters, letter, rest)
    {
        DL_DELETE(partition->dead_letters, letter);
        letter->partition = NULL;
        loop_timer_clear(letter->timer);
        if (!letter->published)
            dead_letter_free(letter);
    }
}
