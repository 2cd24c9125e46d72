/*
 * A key of an issue runs: what was held is folded into the record, and the record published.
 *
 *   lock ─▶ fold ─▶ nothing new? done
 *                 ─▶ went elsewhere? tell the new key (erased? first of that) ─▶ tombstone ─▶ done
 *                 ─▶ gone? tombstone ─▶ done (erased, and may come back? a record with only the mark)
 *                 ─▶ live: text at hand? else read it back ─▶ record ─▶ done
 *
 * Design: what the broker refuses is tried again, for ever: the events are not finished before, and
 * there is nothing else to be done about them.
 */
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "reactors/historian/historian_private.h"
#include "topics/subject.h"

static void job_publish(struct historian_job *job);
static void job_tell_new_place(struct historian_job *job);

static const struct shelf_row *job_row(const struct historian_job *job)
{
    const struct issue_record *record = job->record;
    return shelf_find(historian_shelf(job->historian, job->held->partition), record->repository_id,
                      record->number);
}

static void job_nothing_new(struct historian_job *job)
{
    struct historian *historian = job->historian;
    historian->counts.nothing_new++;
    if (historian->metrics.nothing_new != NULL)
        metric_add(historian->metrics.nothing_new, 1);
    job_finish(job);
}

/* --- publishing --- */

static void job_publish_again(void *argument)
{
    job_publish(CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC));
}

static void job_on_published(void *argument, int code)
{
    struct historian_job *job = CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC);
    struct historian *historian = job->historian;
    if (code != 0) {
        job_later(job, HISTORIAN_AGAIN_MS, job_publish_again);
        return;
    }
    int64_t offset = job->is_tombstone ? SHELF_GONE : kernel_work_published(job->work);
    historian_shelve(historian_shelf(historian, job->held->partition), job->record, offset);
    if (job->is_tombstone)
        historian_count_published(historian, "tombstone", &historian->counts.tombstones);
    else
        historian_count_published(historian, "record", &historian->counts.records);
    job_finish(job);
}

static void job_publish(struct historian_job *job)
{
    char id[ISSUE_ID_BYTES];
    struct event_headers headers;
    size_t value_bytes = 0;
    const char *key = job->held->key;
    CLEANUP(mem_free)
    char *value = job->is_tombstone ? NULL : issue_record_encode(job->record, &value_bytes);
    struct event event = issue_record_envelope(job->record, key, value, value_bytes, id);
    int code = envelope_encode(&event, &headers, NULL);
    assert(code == 0); /* names were checked when the event was read */
    struct bus_message message =
        job_message(key, job->held->partition, value, value_bytes, &headers);
    code = kernel_publish(job->work, &message, job_on_published, job);
    if (code != 0)
        job_later(job, HISTORIAN_AGAIN_MS, job_publish_again);
}

/* --- the text of an event that came before --- */

static void job_read_back(void *argument);

/* The registers stay in memory: the issue's next event publishes them. */
static void job_give_up(struct historian_job *job)
{
    const struct shelf_row *row = job_row(job);
    LOG_WARNING("an issue's record is not where it should be; its next event replaces it",
                LOG_TEXT("key", job->held->key), LOG_INT("partition", job->held->partition));
    if (row != NULL)
        historian_shelve(historian_shelf(job->historian, job->held->partition), job->record,
                         row->offset);
    job_nothing_new(job);
}

static void job_on_read_back(void *argument, struct issue_record *found)
{
    struct historian_job *job = CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC);
    struct issue_record *record = job->record;
    CLEANUP(issue_record_free) struct issue_record *old = found;
    job->wait = NULL;
    if (old == NULL || old->as_of.time_ms != record->as_of.time_ms) {
        if (++job->read_backs < HISTORIAN_READ_BACKS_MAX)
            job_later(job, HISTORIAN_AGAIN_MS, job_read_back); /* the table may say where it is */
        else
            job_give_up(job);
        return;
    }
    /* Everything that the snapshot has, and nothing of its stamps, which are older. */
    struct fold_change change = {
        .time_ms = record->as_of.time_ms, .offset = record->as_of.offset, .id = 0, .snapshot = old};
    struct issue_stamp as_of = record->as_of;
    record->as_of.id_count = 0;
    for (size_t i = 0; i < old->label_count; i++) {
        struct issue_label *label = issue_record_find_label(record, old->labels[i].name);
        old->labels[i].listed = label != NULL && label->listed;
    }
    (void)fold_apply(record, &change);
    record->as_of = as_of;
    job_publish(job);
}

static void job_read_back(void *argument)
{
    struct historian_job *job = CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC);
    struct historian *historian = job->historian;
    const struct shelf_row *row = job_row(job);
    if (row == NULL || row->offset == SHELF_GONE) {
        job_nothing_new(job); /* another owner took it away meanwhile */
        return;
    }
    historian->counts.read_back++;
    if (historian->metrics.read_back != NULL)
        metric_add(historian->metrics.read_back, 1);
    job->wait = read_back_begin(historian->read_back, job->held->partition, row->offset,
                                job_on_read_back, job);
}

/* --- a transferred issue --- */

static bool job_is_erased(const struct historian_job *job)
{
    return job->record->erased_ms != 0 || job->record->names_erased_ms != 0;
}

static const char *actor_type(enum issue_actor by)
{
    return by == ISSUE_PERSON ? "User" : "Bot";
}

/* Lines of a timeline for what is known of the labels. */
static void job_write_timeline(const struct issue_record *record, struct history_issue *history)
{
    history->timeline = mem_alloc_array(record->label_count * 2, sizeof(history->timeline[0]));
    for (size_t i = 0; i < record->label_count * 2; i++) {
        const struct issue_label *label = &record->labels[i / 2];
        const struct issue_action *action = i % 2 == 0 ? &label->added : &label->removed;
        if (action->stamp.time_ms < 0)
            continue;
        history->timeline[history->timeline_count++] = (struct history_action){
            .is_added = i % 2 == 0,
            .label = label->name,
            .time_ms = action->stamp.time_ms,
            .actor = {.login = action->login, .type = actor_type(action->by)},
        };
    }
    history->has_timeline = true;
}

/* The event for the new key; its texts are borrowed from the job. */
static void job_fill_history(const struct historian_job *job, struct history_issue *history)
{
    const struct issue_record *issue = job->moved_to;
    *history = (struct history_issue){
        .repository_id = issue->repository_id,
        .repository = issue->repository,
        .owner_id = issue->owner_id,
        .is_private = issue->is_private,
        .number = issue->number,
        .title = {.data = issue->title.data, .bytes = issue->title.bytes},
        .body = {.data = issue->body.data, .bytes = issue->body.bytes},
        .state = issue->state,
        .state_reason = issue->state_reason,
        .created_ms = issue->created_ms,
        .updated_ms = issue->updated_ms,
        .closed_ms = issue->closed_ms,
        .author = {.login = issue->author_login, .type = actor_type(issue->author)},
    };
    history->labels = mem_alloc_array(issue->label_count, sizeof(history->labels[0]));
    for (size_t i = 0; i < issue->label_count; i++)
        history->labels[history->label_count++] = issue->labels[i].name;
    job_write_timeline(job->record, history);
    if (job->record->erased_ms == 0)
        return;
    history->title = text_of("");
    history->body = (struct text){.data = NULL};
    history->author = (struct history_actor){.login = NULL};
}

/* The event that the issue at its new place is erased, too; its texts are borrowed from the job. */
static void job_fill_erasure(const struct historian_job *job, struct history_erasure *erasure)
{
    const struct issue_record *issue = job->moved_to;
    *erasure = (struct history_erasure){
        .names_only = job->record->erased_ms == 0,
        .repository_id = issue->repository_id,
        .repository = issue->repository,
        .owner_id = issue->owner_id,
        .is_private = issue->is_private,
        .number = issue->number,
        .state = issue->state,
    };
}

static void job_tell_again(void *argument)
{
    job_tell_new_place(CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC));
}

static void job_on_told(void *argument, int code)
{
    struct historian_job *job = CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC);
    bool was_erasure = job_is_erased(job) && !job->told_erasure;
    if (code == 0)
        job->told_erasure = true;
    if (code != 0 || was_erasure)
        job_later(job, code != 0 ? HISTORIAN_AGAIN_MS : 0, job_tell_again);
    else
        job_publish(job);
}

/* Publishes an event for the new key. */
static void job_tell(struct historian_job *job, const struct event *event, const char *value,
                     size_t value_bytes)
{
    char key[SUBJECT_KEY_BYTES];
    struct event_headers headers;
    subject_key_issue(job->moved_to->repository_id, job->moved_to->number, key);
    int code = envelope_encode(event, &headers, NULL);
    assert(code == 0); /* names were checked when the event was read */
    struct bus_message message =
        job_message(key, BUS_PARTITION_BY_KEY, value, value_bytes, &headers);
    message.topic = TOPIC_GITHUB_EVENTS;
    code = kernel_publish(job->work, &message, job_on_told, job);
    if (code != 0)
        job_later(job, HISTORIAN_AGAIN_MS, job_tell_again);
}

/* First that it is erased, so that nothing of it stands there even for a moment; then its history. */
static void job_tell_new_place(struct historian_job *job)
{
    CLEANUP(history_issue_release) struct history_issue history = {.memory = NULL};
    struct history_erasure erasure = {.memory = NULL};
    char id[HISTORY_ID_BYTES];
    char subject[HISTORY_ID_BYTES];
    size_t value_bytes = 0;
    CLEANUP(mem_free) char *value = NULL;
    struct event event;
    if (job_is_erased(job) && !job->told_erasure) {
        const struct issue_record *record = job->record;
        job_fill_erasure(job, &erasure);
        value = history_erasure_write(&erasure, &value_bytes);
        event = history_erasure_envelope(
            &erasure, "historian", erasure.names_only ? record->names_erased_ms : record->erased_ms,
            id, subject);
    } else {
        job_fill_history(job, &history);
        value = history_issue_write(&history, &value_bytes);
        event = history_issue_envelope(&history, "historian", value, value_bytes, id, subject);
    }
    job_tell(job, &event, value, value_bytes);
}

/* --- folding --- */

/* A private repository that nobody names: the issue is gone since its newest event. */
static void job_keep_private(struct historian_job *job)
{
    struct issue_record *record = job->record;
    if (!issue_record_is_live(record) || !record->is_private || record->repository == NULL ||
        historian_keeps_private(job->historian, record->repository))
        return;
    record->gone = ISSUE_PRIVATE;
    record->gone_since = record->as_of;
}

/* A tombstone is needed where a record stands, or where one could still come from a late event. */
static bool job_wants_tombstone(const struct historian_job *job, const struct shelf_row *row,
                                bool was_final)
{
    if (job->was_live || job->held->is_forced)
        return true;
    bool is_final = issue_gone_is_final(job->record->gone);
    return row == NULL ? is_final : is_final && !was_final;
}

/* Applies what is held. Returns true if anything is new. */
static bool job_fold(struct historian_job *job)
{
    bool changed = job->held->is_forced;
    for (struct fold_change *change = job->held->first; change != NULL; change = change->next) {
        changed = fold_apply(job->record, change) || changed;
        if (change->moved_to != NULL) {
            issue_record_free(job->moved_to);
            job->moved_to = TAKE(change->moved_to);
        }
    }
    return withdraw_apply_notes(job->historian, job->held->partition, job->record) || changed;
}

/* What is gone has a tombstone, or a stub. Returns false if there is nothing to publish: the stub stands. */
static bool job_bury(struct historian_job *job, bool was_stub)
{
    job->is_tombstone = !issue_record_is_live(job->record);
    if (!job->is_tombstone || !historian_keeps_stub(job->record))
        return true;
    fold_make_stub(job->record);
    job->is_tombstone = false;
    return !was_stub || job->held->is_forced;
}

static void job_decide(struct historian_job *job, const struct shelf_row *row)
{
    bool was_final = issue_gone_is_final(job->record->gone);
    bool was_stub = job->was_live && !issue_record_is_live(job->record);
    bool changed = job_fold(job);
    job_keep_private(job);
    changed = job_bury(job, was_stub) && changed;
    if (!changed || (job->is_tombstone && !job_wants_tombstone(job, row, was_final)))
        job_nothing_new(job);
    else if (job->moved_to != NULL && job->record->gone == ISSUE_TRANSFERRED && !was_final)
        job_tell_new_place(job);
    else if (job->is_tombstone || job->record->title.data != NULL)
        job_publish(job);
    else
        job_read_back(job);
}

static void job_start(void *argument)
{
    struct historian_job *job = CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC);
    struct held *held = job->held;
    int64_t repository_id = 0;
    int64_t number = 0;
    int code = subject_key_parse_issue(held->key, strlen(held->key), &repository_id, &number);
    assert(code == 0); /* the route looked */
    (void)code;
    job->is_locked = historian_lock(job->historian, held->key);
    if (!job->is_locked) {
        job_later(job, HISTORIAN_LOCKED_MS, job_start);
        return;
    }
    const struct shelf *shelf = historian_shelf(job->historian, held->partition);
    const struct shelf_row *row = shelf_find(shelf, repository_id, number);
    job->record = row != NULL ? packed_read(row->packed, row->packed_bytes, repository_id, number)
                              : issue_record_new(repository_id, number);
    job->was_live = row != NULL && row->offset != SHELF_GONE;
    job_decide(job, row);
}

void issue_job_begin(struct historian_job *job)
{
    job_start(job);
}
