/*
 * Home partitions: assignment, the tables that belong to them, records → keys, and giving up.
 *
 * Design: an assigned partition first waits for its share of the tables (OWNED ones and `pending`)
 * and for the WHOLE tables. Its records are routed meanwhile; its keys only wait. Revoking lets
 * what is under way finish, then drops the rest: whoever gets the partition next replays from the
 * stored offset. Lost drops at once.
 *
 * Invariants: nothing is stored for a partition after it left kernel->partitions; a record that
 * cannot be decoded is refused with a dead letter before it is finished.
 */
#include <assert.h>
#include <string.h>

#include "base/digest.h"
#include "base/memory.h"
#include "reactors/kernel/dead_letter.h"
#include "reactors/kernel/kernel_private.h"

struct kernel_partition *partition_find(const struct kernel *kernel, int32_t number)
{
    struct kernel_partition *partition = NULL;
    HASH_FIND(hh, kernel->partitions, &number, sizeof(number), partition);
    return partition;
}

static bool partition_whole_tables_ready(const struct kernel *kernel)
{
    for (size_t i = 0; i < kernel->reading_count; i++) {
        const struct kernel_reading *reading = &kernel->readings[i];
        if (reading->table != NULL && reading->table->scope == KERNEL_TABLE_WHOLE &&
            reading->whole_behind != 0)
            return false;
    }
    return true;
}

bool partition_may_run(const struct kernel_partition *partition)
{
    return !partition->revoking && partition->tables_behind == 0 &&
           partition_whole_tables_ready(partition->kernel);
}

void partition_store(struct kernel_partition *partition)
{
    int64_t next_offset = 0;
    if (!ledger_storable(&partition->ledger, &next_offset) || next_offset == partition->stored)
        return;
    partition->stored = next_offset;
    bus_group_store(partition->kernel->group, partition->number, next_offset);
}

void partition_read_whole_tables(void *argument)
{
    struct kernel *kernel = argument;
    bool unknown = false;
    for (size_t i = 0; i < kernel->reading_count; i++) {
        struct kernel_reading *reading = &kernel->readings[i];
        if (reading->table == NULL || reading->table->scope != KERNEL_TABLE_WHOLE ||
            reading->whole_behind >= 0)
            continue;
        int32_t count = 0;
        if (bus_partition_count(kernel->bus, reading->table->topic, &count) != 0) {
            unknown = true;
            continue;
        }
        reading->whole_behind = count;
        for (int32_t number = 0; number < count; number++)
            bus_reader_add(reading->reader, number);
    }
    if (unknown)
        loop_timer_set(kernel->metadata_timer, KERNEL_METADATA_AGAIN_MS);
}

static void partition_begin_reading(struct kernel_partition *partition)
{
    struct kernel *kernel = partition->kernel;
    for (size_t i = 0; i < kernel->reading_count; i++) {
        struct kernel_reading *reading = &kernel->readings[i];
        if (reading->table != NULL && reading->table->scope == KERNEL_TABLE_WHOLE)
            continue;
        partition->tables_behind++;
        bus_reader_add(reading->reader, partition->number);
    }
}

static void partition_assigned(void *argument, const struct bus_partition *partitions, size_t count)
{
    struct kernel *kernel = argument;
    for (size_t i = 0; i < count; i++) {
        assert(partition_find(kernel, partitions[i].partition) == NULL);
        struct kernel_partition *partition = MEM_NEW(struct kernel_partition);
        partition->kernel = kernel;
        partition->number = partitions[i].partition;
        partition->stored = -1;
        partition->writer = loop_random(kernel->loop);
        HASH_ADD(hh, kernel->partitions, number, sizeof(partition->number), partition);
        partition_begin_reading(partition);
    }
    if (kernel->paused) {
        kernel->paused =
            false; /* new assignments flow: pause them again if the queue is still full */
        kernel_balance_flow(kernel);
    }
    kernel_tell_ready(kernel);
}

void partition_drop(struct kernel_partition *partition)
{
    struct kernel *kernel = partition->kernel;
    struct kernel_work *work = NULL;
    struct kernel_work *rest = NULL;
    HASH_ITER(hh, kernel->works, work, rest)
    {
        if (work->home == partition)
            queue_drop(work);
    }
    for (size_t i = 0; i < kernel->reading_count; i++) {
        struct kernel_reading *reading = &kernel->readings[i];
        if (reading->table != NULL && reading->table->scope == KERNEL_TABLE_WHOLE)
            continue;
        if (reading->reader != NULL)
            bus_reader_remove(reading->reader, partition->number);
        if (reading->table != NULL)
            reading->table->forget(kernel->self, partition->number);
    }
    dead_letter_forget(partition);
    HASH_DEL(kernel->partitions, partition);
    ledger_release(&partition->ledger);
    mem_free(partition);
}

static bool partition_is_idle(const struct kernel_partition *partition)
{
    const struct kernel_work *work = NULL;
    for (work = partition->kernel->works; work != NULL; work = work->hh.next)
        if (work->home == partition &&
            (work->state == WORK_RUNNING || work->state == WORK_SETTLING))
            return false;
    return true;
}

static void partition_give_up(struct kernel *kernel)
{
    kernel->revoking = false;
    loop_timer_clear(kernel->revoke_timer);
    struct kernel_partition *partition = NULL;
    struct kernel_partition *rest = NULL;
    HASH_ITER(hh, kernel->partitions, partition, rest)
    {
        if (partition->revoking)
            partition_drop(partition);
    }
    bus_group_give_up(kernel->group);
    kernel_tell_ready(kernel);
}

void partition_give_up_if_idle(struct kernel *kernel)
{
    if (!kernel->revoking)
        return;
    struct kernel_partition *partition = NULL;
    for (partition = kernel->partitions; partition != NULL; partition = partition->hh.next)
        if (partition->revoking && !partition_is_idle(partition))
            return;
    partition_give_up(kernel);
}

static void partition_revoking(void *argument, const int32_t *partitions, size_t count)
{
    struct kernel *kernel = argument;
    kernel->revoking = true;
    for (size_t i = 0; i < count; i++) {
        struct kernel_partition *partition = partition_find(kernel, partitions[i]);
        if (partition != NULL)
            partition->revoking = true;
    }
    loop_timer_set(kernel->revoke_timer, kernel->settings.revoke_timeout_ms);
    partition_give_up_if_idle(kernel);
}

static void partition_lost(void *argument, const int32_t *partitions, size_t count)
{
    struct kernel *kernel = argument;
    for (size_t i = 0; i < count; i++) {
        struct kernel_partition *partition = partition_find(kernel, partitions[i]);
        if (partition != NULL)
            partition_drop(partition);
    }
    kernel->revoking = false;
    if (!kernel->draining)
        loop_timer_clear(kernel->revoke_timer);
    kernel_tell_ready(kernel);
    kernel_check_drained(kernel);
}

/* Returns true if the event's id is among the newest of its partition, and remembers it. */
static bool partition_seen_before(struct kernel_partition *partition, struct text id)
{
    uint8_t digest[DIGEST_BYTES];
    digest_sha256(id.data, id.bytes, digest);
    uint64_t hash = 0;
    memcpy(&hash, digest, sizeof(hash));
    for (size_t i = 0; i < KERNEL_RECENT_IDS; i++)
        if (partition->recent[i] == hash)
            return true;
    partition->recent[partition->recent_next] = hash;
    partition->recent_next = (partition->recent_next + 1) % KERNEL_RECENT_IDS;
    return false;
}

static void partition_skip(struct kernel_partition *partition, const struct bus_record *record,
                           const char *result)
{
    ledger_skip(&partition->ledger, record->offset);
    kernel_count_event(partition->kernel, result);
    partition_store(partition);
}

static void partition_refuse(struct kernel_partition *partition, const struct bus_record *record,
                             const char *reason)
{
    ledger_begin(&partition->ledger, record->offset);
    kernel_count_event(partition->kernel, "refused");
    dead_letter_publish(partition, record, reason);
}

static void partition_route(struct kernel_partition *partition, const struct bus_record *record,
                            const struct event *event)
{
    struct kernel *kernel = partition->kernel;
    struct kernel_route route = {.partition = record->partition};
    if (!kernel->reactor->route(kernel->self, record, event, &route)) {
        partition_skip(partition, record, "skipped");
        return;
    }
    if (partition_seen_before(partition, event->id)) {
        partition_skip(partition, record, "duplicate");
        return;
    }
    struct error error = {0};
    int code = kernel->reactor->take == NULL
                   ? 0
                   : kernel->reactor->take(kernel->self, record, event, &route, &error);
    if (code != 0) {
        partition_refuse(partition, record, error.text);
        return;
    }
    ledger_begin(&partition->ledger, record->offset);
    struct kernel_work *work = queue_find(kernel, route.key);
    if (work == NULL) {
        work = queue_add(partition, route.key, route.note, false);
    } else {
        queue_set_note(work, route.note);
        queue_wake(work);
    }
    mem_free(work->event_id);
    work->event_id = mem_copy_bytes(event->id.data, event->id.bytes);
    queue_add_offset(work, record->offset);
    work->has_major = work->has_major || !route.is_minor;
    kernel_count_event(kernel, "routed");
    kernel_balance_flow(kernel);
}

static void partition_record(void *argument, const struct bus_record *record)
{
    struct kernel *kernel = argument;
    struct kernel_partition *partition = partition_find(kernel, record->partition);
    if (partition == NULL || partition->revoking)
        return; /* fetched before it was given up: the next owner replays it */
    struct event event;
    struct error error = {0};
    int code = envelope_decode(record->headers, record->header_count, &event, &error);
    if (code == 0) {
        partition_route(partition, record, &event);
        return;
    }
    partition_refuse(partition, record, error.text);
}

const struct bus_group_handler partition_group_handler = {
    .assigned = partition_assigned,
    .revoking = partition_revoking,
    .lost = partition_lost,
    .record = partition_record,
};

static void partition_reader_record(void *argument, const struct bus_record *record)
{
    struct kernel_reading *reading = argument;
    if (reading->table != NULL)
        reading->table->apply(reading->kernel->self, record);
    else
        settle_read_pending(reading->kernel, record);
}

static void partition_reader_caught_up(void *argument, int32_t number)
{
    struct kernel_reading *reading = argument;
    struct kernel *kernel = reading->kernel;
    if (reading->table != NULL && reading->table->scope == KERNEL_TABLE_WHOLE) {
        reading->whole_behind--;
    } else {
        struct kernel_partition *partition = partition_find(kernel, number);
        assert(partition != NULL && partition->tables_behind > 0);
        partition->tables_behind--;
        if (reading->table == NULL)
            partition->pending_loaded = true;
    }
    kernel_tell_ready(kernel);
    kernel_run_soon(kernel);
}

const struct bus_reader_handler partition_reader_handler = {
    .record = partition_reader_record,
    .caught_up = partition_reader_caught_up,
};
