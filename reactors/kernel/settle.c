/*
 * Outcomes: what is written to `pending`, and when events are finished.
 *
 * Design: DONE without a record in `pending` finishes at once. Everything else first writes
 * `pending` (DONE: a tombstone) into the partition with the number of the key's home partition, and
 * goes on when that is acknowledged. A failed write is tried again until it succeeds: until then
 * the events stay unfinished, so that a crash replays them.
 *
 * Record:
 * {"outcome":"RETRY","reason":"…","attempts":3,"not_before":"2026-11-22T10:00:00Z","note":"…"}.
 *
 * Invariant: an event is finished after its key was DONE or `pending` holds the key.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/kernel/kernel_private.h"

/* Schema of the records, for ce_dataschema. */
#define SETTLE_DATA_SCHEMA "urn:nodag:schema:pending:1"

/* Longest wait that a record of `pending` may ask for at boot, in milliseconds: a damaged time must
 * not park a key for ever. */
#define SETTLE_WAIT_MAX_MS (24LL * 3600 * 1000)

/* Within this time after a boot or a rebalance each STALLED key is looked at once, spread so that a restart is no burst. */
#define SETTLE_STALLED_LOOK_MS (10LL * 60 * 1000)

static const char *const settle_outcome_names[] = {
    [KERNEL_DONE] = "DONE",
    [KERNEL_RETRY] = "RETRY",
    [KERNEL_AFTER] = "AFTER",
    [KERNEL_STALLED] = "STALLED",
};

static void settle_publish(struct kernel_work *work);

static void settle_wake_timer(void *argument)
{
    struct kernel_work *work = CAST_CHECKED(struct kernel_work, argument, KERNEL_WORK_MAGIC);
    loop_timer_free(TAKE(work->timer));
    queue_set_state(work, WORK_READY);
}

static void settle_wait(struct kernel_work *work)
{
    int64_t delay_ms = work->not_before_ms - loop_wall_ms(work->kernel->loop);
    if (delay_ms > SETTLE_WAIT_MAX_MS)
        delay_ms = SETTLE_WAIT_MAX_MS;
    queue_set_state(work, WORK_WAITING);
    queue_set_timer(work, delay_ms, settle_wake_timer);
}

static void settle_finish_events(struct kernel_work *work)
{
    for (size_t i = 0; i < work->covered; i++)
        ledger_finish(&work->home->ledger, work->offsets[i]);
    work->offset_count -= work->covered;
    if (work->offset_count > 0)
        memmove(work->offsets, work->offsets + work->covered,
                work->offset_count * sizeof(work->offsets[0]));
    work->covered = 0;
    partition_store(work->home);
}

/* The outcome is safe: finishes the events and sends the key where the picture says. */
static void settle_end(struct kernel_work *work)
{
    struct kernel *kernel = work->kernel;
    settle_finish_events(work);
    work->has_pending = work->outcome != KERNEL_DONE;
    bool again = work->again;
    work->again = false;
    if (again) {
        work->sweep = false;
        queue_set_state(work, WORK_READY);
    } else if (work->outcome == KERNEL_DONE) {
        queue_drop(work);
    } else if (work->outcome == KERNEL_STALLED) {
        queue_set_state(work, WORK_STALLED);
    } else {
        settle_wait(work);
    }
    kernel_balance_flow(kernel);
    partition_give_up_if_idle(kernel);
    kernel_run_soon(kernel);
    kernel_check_drained(kernel);
}

static void settle_publish_again(void *argument)
{
    settle_publish(CAST_CHECKED(struct kernel_work, argument, KERNEL_WORK_MAGIC));
}

static void settle_delivered(void *argument, int code, int32_t partition, int64_t offset)
{
    (void)partition;
    (void)offset;
    struct work_publish *publish = argument;
    struct kernel_work *work = publish->work;
    mem_free(publish);
    if (work == NULL)
        return;
    work->settling = NULL;
    if (code == 0)
        settle_end(work);
    else
        queue_set_timer(work, KERNEL_PUBLISH_AGAIN_MS, settle_publish_again);
}

static char *settle_record(const struct kernel_work *work, size_t *ret_bytes)
{
    char not_before[TIME_TEXT_BYTES];
    time_to_text(work->not_before_ms, not_before);
    CLEANUP(json_release)
    json_t *record =
        json_pack("{s:s, s:s, s:i, s:s, s:s}", "outcome", settle_outcome_names[work->outcome],
                  "reason", work->reason != NULL ? work->reason : "", "attempts",
                  (int)work->attempts, "not_before", not_before, "note", work->note);
    assert(record != NULL);
    return json_write(record, ret_bytes);
}

/* The envelope of a `pending` record; its texts are borrowed from the work and `id`. */
static void settle_envelope(const struct kernel_work *work, const char *id,
                            struct event_headers *ret_headers)
{
    struct event event = {
        .id = text_of(id),
        .source = text_of(work->kernel->reactor->name),
        .type = text_of("dev.nodag.pending"),
        .subject = text_of(work->key),
        .data_schema = text_of(SETTLE_DATA_SCHEMA),
        .content_type = text_of("application/json"),
        .has_time = true,
        .time_ms = loop_wall_ms(work->kernel->loop),
    };
    int code = envelope_encode(&event, ret_headers, NULL);
    if (code != 0)
        ret_headers->count = 0;
}

static void settle_publish(struct kernel_work *work)
{
    struct kernel *kernel = work->kernel;
    loop_timer_free(TAKE(work->timer));
    char key[SUBJECT_KEY_BYTES];
    int code = subject_key_pending(kernel->reactor->name, work->key, key);
    assert(code == 0); /* route and load refuse keys that would not fit */
    CLEANUP(mem_free)
    char *id = mem_format("%s@%016" PRIx64, work->key, work->home->writer);
    struct event_headers headers;
    settle_envelope(work, id, &headers);
    struct bus_message message = {
        .topic = TOPIC_PENDING,
        .partition = work->home->number,
        .key = key,
        .key_bytes = strlen(key),
        .headers = headers.items,
        .header_count = headers.count,
    };
    char *value = work->outcome == KERNEL_DONE ? NULL : settle_record(work, &message.value_bytes);
    message.value = value;
    struct work_publish *publish = MEM_NEW(struct work_publish);
    publish->work = work;
    code = bus_publish(kernel->bus, &message, settle_delivered, publish);
    mem_free(value);
    if (code == 0) {
        work->settling = publish;
        return;
    }
    mem_free(publish);
    queue_set_timer(work, KERNEL_PUBLISH_AGAIN_MS, settle_publish_again);
}

void settle_begin(struct kernel_work *work)
{
    queue_set_state(work, WORK_SETTLING);
    if (work->outcome == KERNEL_DONE && !work->has_pending)
        settle_end(work);
    else
        settle_publish(work);
}

void settle_forget_publishes(struct kernel_work *work)
{
    if (work->settling != NULL)
        work->settling->work = NULL;
    work->settling = NULL;
    struct work_publish *publish = NULL;
    struct work_publish *rest = NULL;
    DL_FOREACH_SAFE(work->publishes, publish, rest)
    {
        DL_DELETE(work->publishes, publish);
        publish->work = NULL;
    }
}

static void settle_apply_record(struct kernel_partition *home, const char *key,
                                const json_t *record)
{
    struct kernel *kernel = home->kernel;
    struct kernel_work *work = queue_find(kernel, key);
    if (work == NULL)
        work = queue_add(home, key, json_text_or(record, "note", ""), false);
    else if (work->note[0] == '\0')
        queue_set_note(work, json_text_or(record, "note", ""));
    work->has_pending = true;
    int64_t attempts = json_int_or(record, "attempts", 0);
    work->attempts = attempts > 0 && attempts < INT32_MAX ? (unsigned)attempts : 0;
    if (work->offset_count > 0)
        return; /* an event came: it runs as soon as the tables are there */
    const char *outcome = json_text_or(record, "outcome", "RETRY");
    loop_timer_free(TAKE(work->timer));
    if (strcmp(outcome, settle_outcome_names[KERNEL_STALLED]) == 0) {
        /* What the person changed may have been changed while nobody looked: one look, at some time. */
        work->not_before_ms = loop_wall_ms(kernel->loop) +
                              (int64_t)loop_random_below(kernel->loop, SETTLE_STALLED_LOOK_MS);
        settle_wait(work);
        return;
    }
    bool is_retry = strcmp(outcome, settle_outcome_names[KERNEL_RETRY]) == 0;
    work->outcome = is_retry ? KERNEL_RETRY : KERNEL_AFTER;
    const char *not_before = json_text_or(record, "not_before", "");
    int code = time_from_text(not_before, strlen(not_before), &work->not_before_ms);
    if (code != 0)
        work->not_before_ms = loop_wall_ms(kernel->loop);
    settle_wait(work);
}

/* The record at boot: what it says is the key's state, unless an event came meanwhile. */
static void settle_load(struct kernel_partition *home, const char *key,
                        const struct bus_record *record)
{
    if (record->value == NULL) {
        struct kernel_work *work = queue_find(home->kernel, key);
        if (work == NULL)
            return;
        work->has_pending = false;
        if (work->offset_count == 0)
            queue_drop(work);
        return;
    }
    CLEANUP(json_release) json_t *value = NULL;
    int code = json_read(record->value, record->value_bytes, &value, NULL);
    if (code == 0)
        settle_apply_record(home, key, value);
}

/* A record that came after the boot. Our own ones come back and say nothing new. */
static void settle_take_over(struct kernel_partition *home, const char *key,
                             const struct bus_record *record)
{
    char own[sizeof("@0123456789abcdef")];
    (void)snprintf(own, sizeof(own), "@%016" PRIx64, home->writer);
    struct event event;
    int code = envelope_decode(record->headers, record->header_count, &event, NULL);
    size_t own_bytes = sizeof(own) - 1;
    if (code == 0 && event.id.bytes > own_bytes &&
        memcmp(event.id.data + event.id.bytes - own_bytes, own, own_bytes) == 0)
        return;
    struct kernel_work *work = queue_find(home->kernel, key);
    if (work == NULL) {
        if (record->value != NULL)
            settle_load(home, key, record);
        return;
    }
    work->has_pending = true;
    if (record->value == NULL && work->state != WORK_READY)
        queue_wake(work); /* the stranger's tombstone covers our record: write it again */
}

void settle_read_pending(struct kernel *kernel, const struct bus_record *record)
{
    size_t prefix_bytes = strlen(kernel->reactor->name);
    struct kernel_partition *home = partition_find(kernel, record->partition);
    if (home == NULL || record->key_bytes <= prefix_bytes + 1 ||
        record->key_bytes >= SUBJECT_KEY_BYTES ||
        memcmp(record->key, kernel->reactor->name, prefix_bytes) != 0 ||
        record->key[prefix_bytes] != '|')
        return;
    CLEANUP(mem_free)
    char *key =
        mem_copy_bytes(record->key + prefix_bytes + 1, record->key_bytes - prefix_bytes - 1);
    if (home->pending_loaded)
        settle_take_over(home, key, record);
    else
        settle_load(home, key, record);
}
