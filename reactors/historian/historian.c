/*
 * The historian's centre: setup, what the kernel asks, the tables, metrics. See historian.h.
 */
#include "reactors/historian/historian.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/memory.h"
#include "reactors/historian/historian_private.h"
#include "topics/spec_schema.h"

/* --- small things that all files need --- */

struct shelf *historian_shelf(struct historian *historian, int32_t partition)
{
    assert(partition >= 0 && partition < TOPIC_PARTITIONS_MAX);
    if (historian->shelves[partition] == NULL)
        historian->shelves[partition] = shelf_new();
    return historian->shelves[partition];
}

void historian_shelve(struct shelf *shelf, const struct issue_record *record, int64_t offset)
{
    size_t packed_bytes = 0;
    CLEANUP(mem_free) uint8_t *packed = packed_write(record, &packed_bytes);
    shelf_put(shelf, record->repository_id, record->number, offset, packed, packed_bytes);
}

/* True if a list of repositories in a document has this one, by its name and not by a glob. */
static bool spec_names(const json_t *repositories, const char *repository)
{
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(repositories, index, item)
    {
        const char *name = json_string_value(item);
        if (name != NULL && !spec_is_glob(name) && strcasecmp(name, repository) == 0)
            return true;
    }
    return false;
}

bool historian_keeps_private(const struct historian *historian, const char *repository)
{
    const struct option_list *kept = historian->ground.keep_private;
    for (size_t i = 0; kept != NULL && i < kept->count; i++)
        if (strcasecmp(kept->items[i], repository) == 0)
            return true;
    size_t count = spec_store_count(historian->specs);
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(historian->specs);
    for (size_t i = 0; i < count; i++) {
        const json_t *document = entries[i].record->valid;
        if (document != NULL &&
            (spec_names(spec_get(document, "spec.repositories"), repository) ||
             spec_names(spec_get(document, "spec.data.repositories"), repository)))
            return true;
    }
    return false;
}

bool historian_keeps_stub(const struct issue_record *record)
{
    return record->erased_ms != 0 && !issue_gone_is_final(record->gone);
}

void historian_count_published(struct historian *historian, const char *kind, size_t *count)
{
    (*count)++;
    if (historian->metrics.published != NULL)
        metric_add(metrics_series(historian->metrics.published, &kind), 1);
}

bool historian_lock(struct historian *historian, const char *key)
{
    struct issue_lock *lock = NULL;
    HASH_FIND_STR(historian->locks, key, lock);
    if (lock != NULL)
        return false;
    lock = MEM_NEW(struct issue_lock);
    (void)snprintf(lock->key, sizeof(lock->key), "%s", key);
    lock->serial = historian->next_lock++;
    HASH_ADD_STR(historian->locks, key, lock);
    return true;
}

void historian_unlock(struct historian *historian, const char *key)
{
    struct issue_lock *lock = NULL;
    HASH_FIND_STR(historian->locks, key, lock);
    assert(lock != NULL);
    HASH_DEL(historian->locks, lock);
    mem_free(lock);
}

struct bus_message job_message(const char *key, int32_t partition, const char *value,
                               size_t value_bytes, const struct event_headers *headers)
{
    return (struct bus_message){
        .topic = TOPIC_ISSUES,
        .partition = partition,
        .key = key,
        .key_bytes = strlen(key),
        .value = value,
        .value_bytes = value != NULL ? value_bytes : 0,
        .headers = headers->items,
        .header_count = headers->count,
    };
}

/* --- what is held --- */

void held_free(struct held *held)
{
    if (held == NULL)
        return;
    while (held->first != NULL) {
        struct fold_change *change = held->first;
        held->first = change->next;
        fold_change_free(change);
    }
    mem_free(held->withdrawal.repositories);
    mem_free(held->event_id);
    mem_free(held->event_key);
    mem_free(held->repository);
    mem_free(held);
}

static struct held *held_put(struct historian *historian, const char *key, int32_t partition)
{
    struct held *held = NULL;
    HASH_FIND_STR(historian->held, key, held);
    if (held != NULL)
        return held;
    held = MEM_NEW(struct held);
    (void)snprintf(held->key, sizeof(held->key), "%s", key);
    held->partition = partition;
    held->last = &held->first;
    held->scope = CHANGE_ISSUE;
    HASH_ADD_STR(historian->held, key, held);
    return held;
}

/* Of changes of different times only the newest one's texts can ever count. */
static void held_drop_old_texts(struct held *held)
{
    int64_t newest_ms = -1;
    struct fold_change *change = NULL;
    for (change = held->first; change != NULL; change = change->next)
        if (change->time_ms > newest_ms)
            newest_ms = change->time_ms;
    for (change = held->first; change != NULL; change = change->next)
        if (change->time_ms < newest_ms && change->snapshot != NULL)
            issue_record_drop_texts(change->snapshot);
}

static void held_append(struct held *held, struct fold_change *change)
{
    change->next = NULL;
    *held->last = change;
    held->last = &change->next;
    held_drop_old_texts(held);
}

/* --- what the kernel asks --- */

static bool historian_route(void *self, const struct bus_record *record, const struct event *event,
                            struct kernel_route *ret_route)
{
    (void)self;
    switch (change_scope_of(record, event)) {
    case CHANGE_NOTHING:
        return false;
    case CHANGE_ISSUE:
        memcpy(ret_route->key, record->key, record->key_bytes);
        ret_route->key[record->key_bytes] = '\0';
        return true;
    case CHANGE_SPREAD:
    case CHANGE_WITHDRAWN:
        /* Each such event is a key of its own: none may be lost in another's run. */
        (void)snprintf(ret_route->key, sizeof(ret_route->key), "withdrawn/%d/%lld",
                       (int)record->partition, (long long)record->offset);
        return true;
    }
    return false;
}

static int historian_take_withdrawal(struct historian *historian, const struct bus_record *record,
                                     const struct event *event, const struct kernel_route *route,
                                     struct error *error)
{
    struct history_withdrawal withdrawal = {.repositories = NULL};
    int64_t time_ms = 0;
    int code = change_read_withdrawal(record, event, &withdrawal, &time_ms, error);
    if (code != 0)
        return code;
    struct held *held = held_put(historian, route->key, record->partition);
    held->scope = change_scope_of(record, event);
    held->withdrawal = withdrawal;
    held->time_ms = time_ms;
    held->offset = record->offset;
    held->event_id = mem_copy_bytes(event->id.data, event->id.bytes);
    held->event_key = mem_copy_bytes(record->key, record->key_bytes);
    if (event->repository.data != NULL)
        held->repository = mem_copy_bytes(event->repository.data, event->repository.bytes);
    if (held->scope == CHANGE_WITHDRAWN)
        withdraw_note(historian, held);
    return 0;
}

static int historian_take(void *self, const struct bus_record *record, const struct event *event,
                          const struct kernel_route *route, struct error *error)
{
    struct historian *historian = self;
    struct fold_change *change = NULL;
    if (change_scope_of(record, event) != CHANGE_ISSUE)
        return historian_take_withdrawal(historian, record, event, route, error);
    int code = change_read(record, event, historian->ground.own_login, &change, error);
    if (code == 0 && change != NULL)
        held_append(held_put(historian, route->key, record->partition), change);
    return code;
}

static void historian_reconcile(void *self, struct kernel_work *work)
{
    struct historian *historian = self;
    static const struct kernel_outcome done = {.kind = KERNEL_DONE};
    struct held *held = NULL;
    HASH_FIND_STR(historian->held, kernel_work_key(work), held);
    if (held == NULL) {
        kernel_finish(work, &done);
        return;
    }
    HASH_DEL(historian->held, held);
    struct historian_job *job = MEM_NEW(struct historian_job);
    *job = (struct historian_job){
        .magic = HISTORIAN_JOB_MAGIC, .historian = historian, .work = work, .held = held};
    kernel_work_set_state(work, job);
    if (held->scope == CHANGE_ISSUE)
        issue_job_begin(job);
    else
        withdraw_begin(job);
}

static void job_free(struct historian_job *job)
{
    loop_timer_free(job->timer);
    read_back_cancel(job->wait);
    withdraw_free(job->withdraw);
    if (job->is_locked)
        historian_unlock(job->historian, job->held->key);
    issue_record_free(job->record);
    issue_record_free(job->moved_to);
    held_free(job->held);
    job->magic = 0;
    mem_free(job);
}

void job_finish(struct historian_job *job)
{
    static const struct kernel_outcome done = {.kind = KERNEL_DONE};
    struct kernel_work *work = job->work;
    job_free(job);
    kernel_finish(work, &done);
}

void job_later(struct historian_job *job, int64_t delay_ms, loop_fn function)
{
    loop_timer_free(job->timer);
    job->timer = loop_timer_new(job->historian->ground.loop, function, job);
    loop_timer_set(job->timer, delay_ms);
}

static void historian_abandon(void *self, struct kernel_work *work)
{
    (void)self;
    job_free(CAST_CHECKED(struct historian_job, kernel_work_state(work), HISTORIAN_JOB_MAGIC));
}

/* --- the table of issues --- */

/* Has the issue published again: what stands on the topic is not what it should be. */
static void historian_force(struct historian *historian, const char *key, int32_t partition)
{
    struct kernel_route route = {.partition = partition};
    held_put(historian, key, partition)->is_forced = true;
    (void)snprintf(route.key, sizeof(route.key), "%s", key);
    kernel_enqueue(historian->kernel, &route);
}

/* A tombstone of the topic as a record that is gone; NULL for one that nodag did not write. */
static struct issue_record *tombstone_read(const struct bus_record *record, int64_t repository_id,
                                           int64_t number)
{
    struct event event;
    enum issue_gone gone = ISSUE_LIVE;
    int64_t time_ms = 0;
    if (envelope_decode(record->headers, record->header_count, &event, NULL) != 0 ||
        issue_gone_read(&event, &gone, &time_ms) != 0)
        return NULL;
    struct issue_record *found = issue_record_new(repository_id, number);
    found->gone = gone;
    found->gone_since.time_ms = time_ms;
    return found;
}

/* Joins what came from the topic with what the row has, and shelves it. */
static void historian_join(struct historian *historian, const struct shelf_row *row,
                           struct issue_record *found, const struct bus_record *record)
{
    struct shelf *shelf = historian_shelf(historian, record->partition);
    CLEANUP(issue_record_free)
    struct issue_record *issue =
        packed_read(row->packed, row->packed_bytes, row->repository_id, row->number);
    bool is_tombstone = record->value == NULL;
    bool has_newer_text = !is_tombstone && (found->as_of.time_ms > issue->as_of.time_ms ||
                                            (found->as_of.time_ms == issue->as_of.time_ms &&
                                             found->as_of.offset >= issue->as_of.offset));
    bool is_stub = !is_tombstone && found->erased_ms != 0 && !issue_record_is_live(found);
    unsigned joined = fold_join(issue, found);
    /* A tombstone, or what stands for one, has no registers: it is behind only if the issue is live. */
    bool is_behind = is_tombstone || is_stub
                         ? issue_record_is_live(issue)
                         : (joined & FOLD_KEPT) != 0 || !issue_record_is_live(issue);
    int64_t offset = row->offset;
    if (!is_behind)
        offset = is_tombstone ? SHELF_GONE : record->offset;
    else if (has_newer_text)
        offset = record->offset;
    historian_shelve(shelf, issue, offset);
    if (!is_behind)
        return;
    char key[SUBJECT_KEY_BYTES];
    subject_key_issue(issue->repository_id, issue->number, key);
    historian_force(historian, key, record->partition);
}

/* One record of `issues`: at boot, our own that come back, and what a former owner writes late. */
static void historian_apply_issue(void *self, const struct bus_record *record)
{
    struct historian *historian = self;
    int64_t repository_id = 0;
    int64_t number = 0;
    if (record->key == NULL ||
        subject_key_parse_issue(record->key, record->key_bytes, &repository_id, &number) != 0)
        return;
    struct shelf *shelf = historian_shelf(historian, record->partition);
    const struct shelf_row *row = shelf_find(shelf, repository_id, number);
    if (row != NULL && row->offset >= record->offset)
        return; /* our own, acknowledged before */
    CLEANUP(issue_record_free) struct issue_record *found = NULL;
    struct error error = {0};
    int code = 0;
    if (record->value == NULL)
        found = tombstone_read(record, repository_id, number);
    else
        code = issue_record_decode(record->key, record->key_bytes, record->value,
                                   record->value_bytes, &found, &error);
    if (code != 0) {
        LOG_WARNING("a record cannot be read; the issue's next event replaces it",
                    LOG_BYTES("key", record->key, record->key_bytes),
                    LOG_INT("partition", record->partition), LOG_INT("offset", record->offset),
                    LOG_TEXT("error", error.text));
        return;
    }
    if (found == NULL)
        shelf_remove(shelf, repository_id, number);
    else if (row == NULL)
        historian_shelve(shelf, found, record->value != NULL ? record->offset : SHELF_GONE);
    else
        historian_join(historian, row, found, record);
}

static void historian_forget_partition(void *self, int32_t partition)
{
    struct historian *historian = self;
    shelf_free(TAKE(historian->shelves[partition]));
    withdraw_forget_notes(historian, 0, partition);
    struct held *held = NULL;
    struct held *rest = NULL;
    HASH_ITER(hh, historian->held, held, rest)
    {
        if (held->partition != partition)
            continue;
        HASH_DEL(historian->held, held);
        held_free(held);
    }
}

static void historian_apply_spec(void *self, const struct bus_record *record)
{
    struct historian *historian = self;
    char key[SUBJECT_KEY_BYTES];
    (void)spec_store_apply(historian->specs, record, key);
}

static const struct kernel_reactor historian_reactor = {
    .name = "historian",
    .home = TOPIC_GITHUB_EVENTS,
    .route = historian_route,
    .take = historian_take,
    .reconcile = historian_reconcile,
    .abandon = historian_abandon,
    .tables = {{.topic = TOPIC_ISSUES,
                .scope = KERNEL_TABLE_OWNED,
                .apply = historian_apply_issue,
                .forget = historian_forget_partition},
               {.topic = TOPIC_SPECS, .scope = KERNEL_TABLE_WHOLE, .apply = historian_apply_spec}},
    .table_count = 2,
};

/* --- forgetting what is gone for long --- */

static void shelf_forget_gone(struct shelf *shelf, int64_t before_ms)
{
    for (size_t place = 0; place < shelf_places(shelf);) {
        const struct shelf_row *row = shelf_at(shelf, place);
        bool is_old = false;
        if (row != NULL && row->offset == SHELF_GONE) {
            CLEANUP(issue_record_free)
            struct issue_record *issue =
                packed_read(row->packed, row->packed_bytes, row->repository_id, row->number);
            is_old = issue->gone_since.time_ms < before_ms;
        }
        if (is_old)
            shelf_remove(shelf, row->repository_id, row->number); /* another may stand here now */
        else
            place++;
    }
}

static void historian_on_forget(void *argument)
{
    struct historian *historian = argument;
    loop_timer_set(historian->forget_timer, HISTORIAN_FORGET_MS);
    int64_t before_ms = loop_wall_ms(historian->ground.loop) - HISTORIAN_REMEMBER_MS;
    withdraw_forget_notes(historian, before_ms, -1);
    for (size_t i = 0; i < ARRAY_COUNT(historian->shelves); i++)
        if (historian->shelves[i] != NULL)
            shelf_forget_gone(historian->shelves[i], before_ms);
}

/* --- metrics --- */

void historian_count(const struct historian *historian, struct historian_counts *ret_counts)
{
    *ret_counts = historian->counts;
    for (size_t i = 0; i < ARRAY_COUNT(historian->shelves); i++) {
        if (historian->shelves[i] == NULL)
            continue;
        ret_counts->issues += shelf_count(historian->shelves[i]);
        ret_counts->issue_bytes += shelf_bytes(historian->shelves[i]);
    }
    ret_counts->held = HASH_COUNT(historian->held);
    kernel_count(historian->kernel, &ret_counts->kernel);
}

static void historian_collect(void *argument)
{
    struct historian *historian = argument;
    struct historian_counts counts;
    historian_count(historian, &counts);
    metric_set(metrics_single(historian->metrics.issues), (double)counts.issues);
    metric_set(historian->metrics.issue_bytes, (double)counts.issue_bytes);
    metric_set(historian->metrics.held, (double)counts.held);
}

static void historian_declare_metrics(struct historian *historian)
{
    static const char *const by_kind[] = {"kind", NULL};
    struct metrics *metrics = historian->ground.metrics;
    if (metrics == NULL)
        return;
    historian->metrics = (struct historian_metrics){
        .published = metrics_declare(metrics, METRICS_COUNTER, "nodag_historian_published_total",
                                     "Records published, by kind.", by_kind),
        .read_back = metrics_single(metrics_declare(
            metrics, METRICS_COUNTER, "nodag_historian_read_back_total",
            "Records read again for their texts, because an event came late.", NULL)),
        .nothing_new = metrics_single(
            metrics_declare(metrics, METRICS_COUNTER, "nodag_historian_nothing_new_total",
                            "Runs of a key whose events said nothing new.", NULL)),
        .issues = metrics_declare(metrics, METRICS_GAUGE, "nodag_historian_issues",
                                  "Issues in memory.", NULL),
        .issue_bytes =
            metrics_single(metrics_declare(metrics, METRICS_GAUGE, "nodag_historian_issues_bytes",
                                           "Memory that they take.", NULL)),
        .held = metrics_single(metrics_declare(metrics, METRICS_GAUGE, "nodag_historian_held_keys",
                                               "Keys with events that wait.", NULL)),
    };
    metrics_on_collect(metrics, historian_collect, historian);
}

/* --- setup and end --- */

int historian_new(const struct historian_ground *ground, struct historian **ret_historian,
                  struct error *error)
{
    assert(ground->kernel->concurrency >= 2); /* a withdrawal waits for locks of other jobs */
    CLEANUP(historian_free) struct historian *historian = MEM_NEW(struct historian);
    historian->ground = *ground;
    historian->specs = spec_store_new();
    historian->forget_timer = loop_timer_new(ground->loop, historian_on_forget, historian);
    int code = read_back_new(ground->bus, &historian->read_back, error);
    if (code == 0)
        code = kernel_new(ground->loop, ground->bus, ground->metrics, ground->kernel,
                          &historian_reactor, historian, &historian->kernel, error);
    if (code != 0)
        return code;
    loop_timer_set(historian->forget_timer, HISTORIAN_FORGET_MS);
    historian_declare_metrics(historian); /* last: the registry remembers one that stays */
    *ret_historian = TAKE(historian);
    return 0;
}

void historian_drain(struct historian *historian, void (*drained)(void *argument), void *argument)
{
    loop_timer_clear(historian->forget_timer);
    kernel_drain(historian->kernel, drained, argument);
}

void historian_free(struct historian *historian)
{
    if (historian == NULL)
        return;
    kernel_free(historian->kernel); /* abandons the jobs, forgets the partitions */
    read_back_free(historian->read_back);
    loop_timer_free(historian->forget_timer);
    spec_store_free(historian->specs);
    assert(historian->held == NULL && historian->locks == NULL && historian->notes == NULL);
    for (size_t i = 0; i < ARRAY_COUNT(historian->shelves); i++)
        shelf_free(historian->shelves[i]);
    mem_free(historian);
}

const char *historian_unready_reason(const struct historian *historian)
{
    return kernel_is_ready(historian->kernel) ? NULL
                                              : "partitions or the topic issues are not loaded yet";
}

void historian_on_ready(struct historian *historian, loop_fn changed, void *argument)
{
    kernel_on_ready(historian->kernel, changed, argument);
}
