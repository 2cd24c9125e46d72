/*
 * The kernel's centre: setup, which key runs next, the flow of the consumer, the sweep, drain. See
 * kernel.h and kernel_private.h.
 */
#include "reactors/kernel/kernel.h"

#include <assert.h>
#include <string.h>
#include <utlist.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "reactors/kernel/kernel_private.h"

/* A paused consumer is resumed when the queue has fallen to this share of its limit (numerator of
 * 4). */
#define KERNEL_RESUME_QUARTERS 3

/* Unfinished events for each key of the limit: many events of few keys must not grow the ledger
 * without bound. */
#define KERNEL_EVENTS_PER_KEY 4

static const char *const kernel_outcome_labels[] = {
    [KERNEL_DONE] = "done",
    [KERNEL_RETRY] = "retry",
    [KERNEL_AFTER] = "after",
    [KERNEL_STALLED] = "stalled",
};

static const double kernel_duration_bounds[] = {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

/* --- metrics --- */

static void kernel_set_key_metric(struct kernel *kernel, const char *state, enum work_state index)
{
    const char *labels[] = {state};
    metric_set(metrics_series(kernel->metrics.keys, labels), (double)kernel->state_counts[index]);
}

static void kernel_collect(void *argument)
{
    struct kernel *kernel = argument;
    struct kernel_counts counts;
    kernel_count(kernel, &counts);
    kernel_set_key_metric(kernel, "ready", WORK_READY);
    kernel_set_key_metric(kernel, "running", WORK_RUNNING);
    kernel_set_key_metric(kernel, "settling", WORK_SETTLING);
    kernel_set_key_metric(kernel, "waiting", WORK_WAITING);
    kernel_set_key_metric(kernel, "stalled", WORK_STALLED);
    metric_set(kernel->metrics.unfinished, (double)counts.unfinished);
    metric_set(kernel->metrics.paused, counts.paused ? 1 : 0);
}

static void kernel_declare_metrics(struct kernel *kernel, struct metrics *metrics)
{
    static const char *const by_result[] = {"result", NULL};
    static const char *const by_outcome[] = {"outcome", NULL};
    static const char *const by_state[] = {"state", NULL};
    if (metrics == NULL)
        return;
    kernel->metrics = (struct kernel_metrics){
        .events = metrics_declare(metrics, METRICS_COUNTER, "nodag_kernel_events_total",
                                  "Home records by what became of them.", by_result),
        .outcomes = metrics_declare(metrics, METRICS_COUNTER, "nodag_kernel_reconciles_total",
                                    "Finished reconciles by outcome.", by_outcome),
        .keys = metrics_declare(metrics, METRICS_GAUGE, "nodag_kernel_keys",
                                "Keys in memory by state.", by_state),
        .unfinished =
            metrics_single(metrics_declare(metrics, METRICS_GAUGE, "nodag_kernel_unfinished_events",
                                           "Delivered home records that are not finished.", NULL)),
        .paused = metrics_single(
            metrics_declare(metrics, METRICS_GAUGE, "nodag_kernel_paused",
                            "1 while the consumer is paused because the queue is full.", NULL)),
        .duration = metrics_single(metrics_declare_histogram(
            metrics, "nodag_kernel_reconcile_seconds", "How long a reconcile took.", NULL,
            kernel_duration_bounds, ARRAY_COUNT(kernel_duration_bounds))),
    };
    metrics_on_collect(metrics, kernel_collect, kernel);
}

void kernel_count_event(struct kernel *kernel, const char *result)
{
    if (kernel->metrics.events != NULL)
        metric_add(metrics_series(kernel->metrics.events, &result), 1);
}

static void kernel_count_outcome(struct kernel_work *work)
{
    struct kernel *kernel = work->kernel;
    if (kernel->metrics.outcomes == NULL)
        return;
    metric_add(metrics_series(kernel->metrics.outcomes, &kernel_outcome_labels[work->outcome]), 1);
    metric_observe(kernel->metrics.duration,
                   (double)(loop_now_ms(kernel->loop) - work->started_ms) / 1000.0);
}

/* --- running --- */

static void kernel_start(struct kernel_work *work)
{
    struct kernel *kernel = work->kernel;
    queue_set_state(work, WORK_RUNNING);
    work->covered = work->offset_count;
    work->is_minor = work->covered > 0 && !work->has_major && !work->has_pending;
    work->has_major = false;
    mem_free(work->run_event_id);
    work->run_event_id = work->covered > 0 ? TAKE(work->event_id) : NULL;
    work->started_ms = loop_now_ms(kernel->loop);
    work->published = -1;
    work->reactor_state = NULL;
    kernel->reactor->reconcile(kernel->self, work);
}

/* The key that became READY first in the list `list` of all partitions that may run, or NULL. */
static struct kernel_work *kernel_first_ready(const struct kernel *kernel, size_t list)
{
    struct kernel_work *first = NULL;
    const struct kernel_partition *partition = NULL;
    for (partition = kernel->partitions; partition != NULL; partition = partition->hh.next) {
        struct kernel_work *head = partition->ready[list];
        if (head != NULL && (first == NULL || head->turn < first->turn) &&
            partition_may_run(partition))
            first = head;
    }
    return first;
}

static struct kernel_work *kernel_next_ready(const struct kernel *kernel)
{
    struct kernel_work *work = kernel_first_ready(kernel, 0);
    return work != NULL ? work : kernel_first_ready(kernel, 1);
}

static void kernel_run(void *argument)
{
    struct kernel *kernel = argument;
    kernel->run_deferred = false;
    size_t limit = (size_t)kernel->settings.concurrency;
    while (!kernel->draining && kernel->state_counts[WORK_RUNNING] < limit) {
        struct kernel_work *work = kernel_next_ready(kernel);
        if (work == NULL)
            return;
        kernel_start(work);
    }
}

void kernel_run_soon(struct kernel *kernel)
{
    if (kernel->run_deferred)
        return;
    kernel->run_deferred = true;
    loop_defer(kernel->loop, kernel_run, kernel);
}

static int64_t kernel_backoff_ms(struct kernel_work *work)
{
    const struct kernel_settings *settings = &work->kernel->settings;
    int64_t wait_ms = settings->backoff_least_ms;
    for (unsigned i = 1; i < work->attempts && wait_ms < settings->backoff_most_ms; i++)
        wait_ms *= 2;
    if (wait_ms > settings->backoff_most_ms)
        wait_ms = settings->backoff_most_ms;
    /* Half fixed, half by chance: keys that failed together do not come back together. */
    return wait_ms / 2 +
           (int64_t)loop_random_below(work->kernel->loop, (uint64_t)(wait_ms / 2 + 1));
}

/* A copy of a reason, cut to its limit and fit for JSON. */
static char *kernel_copy_reason(const char *reason)
{
    char *copy = mem_format("%.*s", KERNEL_REASON_BYTES - 1, reason);
    utf8_clean(copy);
    return copy;
}

void kernel_finish(struct kernel_work *work, const struct kernel_outcome *outcome)
{
    assert(work->magic == KERNEL_WORK_MAGIC && work->state == WORK_RUNNING);
    struct kernel *kernel = work->kernel;
    work->outcome = outcome->kind;
    work->reactor_state = NULL;
    mem_free(work->reason);
    work->reason = NULL;
    if (outcome->kind != KERNEL_DONE)
        work->reason = kernel_copy_reason(outcome->reason);
    int64_t wait_ms = 0;
    if (outcome->kind == KERNEL_DONE)
        work->attempts = 0;
    else if (outcome->kind == KERNEL_RETRY)
        work->attempts++;
    if (outcome->kind == KERNEL_RETRY)
        wait_ms = kernel_backoff_ms(work);
    else if (outcome->kind == KERNEL_AFTER)
        wait_ms = outcome->after_ms;
    work->not_before_ms = loop_wall_ms(kernel->loop) + wait_ms;
    kernel_count_outcome(work);
    if (work->sweep && !work->has_pending && work->covered == 0)
        work->outcome = KERNEL_DONE; /* nobody asked: the sweep comes round again */
    settle_begin(work);
    kernel_run_soon(kernel);
    kernel_check_drained(kernel);
}

void kernel_enqueue(struct kernel *kernel, const struct kernel_route *route)
{
    struct kernel_partition *partition = partition_find(kernel, route->partition);
    if (partition == NULL || partition->revoking)
        return;
    struct kernel_work *work = queue_find(kernel, route->key);
    if (work == NULL) {
        work = queue_add(partition, route->key, route->note, false);
    } else {
        queue_set_note(work, route->note);
        queue_wake(work);
    }
    work->has_major = true;
}

void kernel_wake_stalled(struct kernel *kernel,
                         bool (*look)(void *argument, const char *key, const char *note),
                         void *argument)
{
    struct kernel_work *work = NULL;
    struct kernel_work *rest = NULL;
    HASH_ITER(hh, kernel->works, work, rest)
    {
        bool may_stall = work->state == WORK_STALLED || work->state == WORK_SETTLING ||
                         work->state == WORK_RUNNING;
        if (!may_stall || !look(argument, work->key, work->note))
            continue;
        work->has_major = true;
        queue_wake(work);
    }
}

void kernel_wake_retrying(struct kernel *kernel,
                          bool (*look)(void *argument, const char *key, const char *note),
                          void *argument)
{
    struct kernel_work *work = NULL;
    struct kernel_work *rest = NULL;
    HASH_ITER(hh, kernel->works, work, rest)
    {
        bool may_wait = work->state == WORK_WAITING || work->state == WORK_SETTLING;
        if (may_wait && work->outcome == KERNEL_RETRY && look(argument, work->key, work->note))
            queue_wake(work);
    }
}

/* --- publishing for a reactor --- */

static void kernel_published(void *argument, int code, int32_t partition, int64_t offset)
{
    (void)partition;
    struct work_publish *publish = argument;
    struct kernel_work *work = publish->work;
    if (work != NULL) {
        DL_DELETE(work->publishes, publish);
        if (code == 0)
            work->published = offset;
        publish->done(publish->argument, code);
    }
    mem_free(publish);
}

int kernel_publish(struct kernel_work *work, const struct bus_message *message,
                   void (*done)(void *argument, int code), void *argument)
{
    struct work_publish *publish = MEM_NEW(struct work_publish);
    *publish = (struct work_publish){.work = work, .done = done, .argument = argument};
    int code = bus_publish(work->kernel->bus, message, kernel_published, publish);
    if (code != 0) {
        mem_free(publish);
        return code;
    }
    DL_APPEND(work->publishes, publish);
    return 0;
}

/* --- flow and sweep --- */

static size_t kernel_unfinished(const struct kernel *kernel)
{
    size_t unfinished = 0;
    for (const struct kernel_partition *partition = kernel->partitions; partition != NULL;
         partition = partition->hh.next)
        unfinished += ledger_unfinished(&partition->ledger);
    return unfinished;
}

void kernel_balance_flow(struct kernel *kernel)
{
    /* STALLED keys do not count: only an event could wake them, and it would be behind the pause. */
    size_t keys = HASH_COUNT(kernel->works) - kernel->state_counts[WORK_STALLED];
    size_t keys_max = (size_t)kernel->settings.keys_max;
    size_t events = kernel_unfinished(kernel) / KERNEL_EVENTS_PER_KEY;
    size_t load = keys > events ? keys : events;
    bool pause = kernel->paused ? load > keys_max / 4 * KERNEL_RESUME_QUARTERS : load >= keys_max;
    if (pause == kernel->paused)
        return;
    int32_t numbers[TOPIC_PARTITIONS_MAX];
    size_t count = 0;
    for (const struct kernel_partition *partition = kernel->partitions;
         partition != NULL && count < ARRAY_COUNT(numbers); partition = partition->hh.next)
        numbers[count++] = partition->number;
    kernel->paused = pause;
    if (count > 0)
        bus_group_pause(kernel->group, numbers, count, pause);
}

static void kernel_sweep(void *argument)
{
    struct kernel *kernel = argument;
    loop_timer_set(kernel->sweep_timer, kernel->settings.sweep_interval_ms);
    if (kernel->draining || kernel->state_counts[WORK_READY] > 0)
        return;
    struct kernel_route route = {.partition = -1};
    if (!kernel->reactor->sweep_next(kernel->self, &route))
        return;
    struct kernel_partition *partition = partition_find(kernel, route.partition);
    if (partition == NULL || partition->revoking || queue_find(kernel, route.key) != NULL)
        return;
    (void)queue_add(partition, route.key, route.note, true);
}

/* --- setup and drain --- */

static void kernel_leave_group(struct kernel *kernel)
{
    loop_timer_clear(kernel->revoke_timer);
    loop_timer_clear(kernel->sweep_timer);
    loop_timer_clear(kernel->metadata_timer);
    struct kernel_partition *partition = NULL;
    struct kernel_partition *rest = NULL;
    HASH_ITER(hh, kernel->partitions, partition, rest)
    partition_drop(partition);
    struct bus_group *group = TAKE(kernel->group);
    bus_group_leave(group, kernel->drained, kernel->drained_argument);
}

void kernel_check_drained(struct kernel *kernel)
{
    if (kernel->draining && kernel->group != NULL && kernel->state_counts[WORK_RUNNING] == 0 &&
        kernel->state_counts[WORK_SETTLING] == 0)
        kernel_leave_group(kernel);
}

static void kernel_revoke_deadline(void *argument)
{
    struct kernel *kernel = argument;
    if (kernel->draining && kernel->group != NULL) {
        kernel_leave_group(kernel);
        return;
    }
    struct kernel_work *work = NULL;
    struct kernel_work *rest = NULL;
    HASH_ITER(hh, kernel->works, work, rest)
    {
        if (work->home->revoking)
            queue_drop(work);
    }
    partition_give_up_if_idle(kernel);
}

void kernel_drain(struct kernel *kernel, void (*drained)(void *argument), void *argument)
{
    kernel->draining = true;
    kernel->drained = drained;
    kernel->drained_argument = argument;
    loop_timer_set(kernel->revoke_timer, kernel->settings.revoke_timeout_ms);
    kernel_check_drained(kernel);
}

static int kernel_open_readings(struct kernel *kernel, struct error *error)
{
    kernel->reading_count = kernel->reactor->table_count + 1;
    for (size_t i = 0; i < kernel->reading_count; i++) {
        struct kernel_reading *reading = &kernel->readings[i];
        bool is_pending = i == kernel->reactor->table_count;
        reading->kernel = kernel;
        reading->table = is_pending ? NULL : &kernel->reactor->tables[i];
        reading->whole_behind = -1;
        int code = bus_read(kernel->bus, is_pending ? TOPIC_PENDING : reading->table->topic,
                            &partition_reader_handler, reading, &reading->reader, error);
        if (code != 0)
            return code;
    }
    partition_read_whole_tables(kernel);
    return 0;
}

int kernel_new(struct loop *loop, struct bus *bus, struct metrics *metrics,
               const struct kernel_settings *settings, const struct kernel_reactor *reactor,
               void *self, struct kernel **ret_kernel, struct error *error)
{
    assert(reactor->table_count <= KERNEL_TABLES_MAX);
    CLEANUP(kernel_free) struct kernel *kernel = MEM_NEW(struct kernel);
    kernel->loop = loop;
    kernel->bus = bus;
    kernel->settings = *settings;
    kernel->reactor = reactor;
    kernel->self = self;
    kernel->sweep_timer = loop_timer_new(loop, kernel_sweep, kernel);
    kernel->revoke_timer = loop_timer_new(loop, kernel_revoke_deadline, kernel);
    kernel->metadata_timer = loop_timer_new(loop, partition_read_whole_tables, kernel);
    int code = kernel_open_readings(kernel, error);
    if (code != 0)
        return code;
    char *group_name = mem_format("nodag-%s", reactor->name);
    code = bus_join(bus, reactor->home, group_name, &partition_group_handler, kernel,
                    &kernel->group, error);
    mem_free(group_name);
    if (code != 0)
        return code;
    kernel_declare_metrics(kernel, metrics); /* last: the registry remembers a kernel that stays */
    if (reactor->sweep_next != NULL)
        loop_timer_set(kernel->sweep_timer, settings->sweep_interval_ms);
    *ret_kernel = TAKE(kernel);
    return 0;
}

void kernel_free(struct kernel *kernel)
{
    if (kernel == NULL)
        return;
    struct kernel_partition *partition = NULL;
    struct kernel_partition *rest = NULL;
    HASH_ITER(hh, kernel->partitions, partition, rest)
    partition_drop(partition);
    for (size_t i = 0; i < kernel->reading_count; i++)
        bus_reader_free(kernel->readings[i].reader);
    loop_cancel_deferred(kernel->loop, kernel);
    loop_timer_free(kernel->sweep_timer);
    loop_timer_free(kernel->revoke_timer);
    loop_timer_free(kernel->metadata_timer);
    mem_free(kernel);
}

/* --- looking --- */

bool kernel_is_ready(const struct kernel *kernel)
{
    if (kernel->partitions == NULL)
        return false;
    for (const struct kernel_partition *partition = kernel->partitions; partition != NULL;
         partition = partition->hh.next)
        if (!partition_may_run(partition))
            return false;
    return true;
}

void kernel_on_ready(struct kernel *kernel, loop_fn changed, void *argument)
{
    kernel->ready_changed = changed;
    kernel->ready_argument = argument;
}

void kernel_tell_ready(struct kernel *kernel)
{
    if (kernel->ready_changed != NULL)
        kernel->ready_changed(kernel->ready_argument);
}

void kernel_count(const struct kernel *kernel, struct kernel_counts *ret_counts)
{
    *ret_counts = (struct kernel_counts){
        .keys = HASH_COUNT(kernel->works),
        .ready = kernel->state_counts[WORK_READY],
        .waiting = kernel->state_counts[WORK_WAITING],
        .running = kernel->state_counts[WORK_RUNNING] + kernel->state_counts[WORK_SETTLING],
        .stalled = kernel->state_counts[WORK_STALLED],
        .unfinished = kernel_unfinished(kernel),
        .paused = kernel->paused,
    };
}

const char *kernel_work_key(const struct kernel_work *work)
{
    return work->key;
}

const char *kernel_work_note(const struct kernel_work *work)
{
    return work->note;
}

int32_t kernel_work_partition(const struct kernel_work *work)
{
    return work->home->number;
}

int64_t kernel_work_offset(const struct kernel_work *work)
{
    return work->covered > 0 ? work->offsets[work->covered - 1] : -1;
}

const char *kernel_work_event_id(const struct kernel_work *work)
{
    return work->run_event_id != NULL ? work->run_event_id : "";
}

unsigned kernel_work_attempts(const struct kernel_work *work)
{
    return work->attempts;
}

bool kernel_work_is_minor(const struct kernel_work *work)
{
    return work->is_minor;
}

bool kernel_work_is_current(const struct kernel_work *work)
{
    return !work->home->revoking && !work->kernel->paused && !work->kernel->draining;
}

bool kernel_work_is_sweep(const struct kernel_work *work)
{
    return work->sweep;
}

int64_t kernel_work_published(const struct kernel_work *work)
{
    return work->published;
}

void kernel_work_set_state(struct kernel_work *work, void *state)
{
    work->reactor_state = state;
}

void *kernel_work_state(const struct kernel_work *work)
{
    return work->reactor_state;
}
