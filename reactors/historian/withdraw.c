/*
 * Many issues are gone: spread over the partitions, then withdrawn in each.
 *
 *   webhook at its own key ──▶ one event for each partition of github.events
 *   event in a partition   ──▶ a tombstone for each of its issues there, WITHDRAW_WINDOW at a time
 *
 * Design: a withdrawal goes over the shelf again and again until it finds nothing more to do: an
 * issue that a job has locked, or whose tombstone the broker refused, is met in the next round. So it
 * needs no list of what it did. Issues that are not on the shelf yet are met by a note: their jobs look
 * at it when they fold, and the withdrawal waits for those that had folded before it came.
 *
 * Invariant: the event is finished only when a whole round found nothing to do.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <utlist.h>

#include "base/memory.h"
#include "reactors/historian/historian_private.h"
#include "topics/subject.h"

/* Tombstones under way at a time. */
#define WITHDRAW_WINDOW 64

/* Rows that are looked at before others get their turn. */
#define WITHDRAW_ROWS 20000

/* One withdrawal under way. */
struct withdraw {
    struct historian_job *job; /* borrowed */
    int32_t next_partition;    /* spreading: the next to be told */
    size_t place;              /* withdrawing: the next place of the shelf */
    uint64_t moves;            /* of the shelf when the round began */
    uint64_t first_lock;       /* locks that are older than the withdrawal are below */
    size_t under_way;          /* tombstones */
    bool again;                /* something was left: another round */
    struct withdraw_one *ones; /* list of those under way */
};

/* One tombstone under way. */
struct withdraw_one {
    struct withdraw *withdraw;   /* borrowed */
    struct issue_record *record; /* owned; as it becomes */
    bool is_stub;                /* a record with nothing but marks takes the tombstone's place */
    char key[SUBJECT_KEY_BYTES]; /* its key: locked */
    struct withdraw_one *next;   /* in the list */
};

static void withdraw_round(void *argument);
static void spread_next(void *argument);

static void one_free(struct withdraw_one *one)
{
    struct withdraw_one **link = &one->withdraw->ones;
    while (*link != one)
        link = &(*link)->next;
    *link = one->next;
    historian_unlock(one->withdraw->job->historian, one->key);
    issue_record_free(one->record);
    mem_free(one);
}

void withdraw_free(struct withdraw *withdraw)
{
    if (withdraw == NULL)
        return;
    while (withdraw->ones != NULL)
        one_free(withdraw->ones);
    mem_free(withdraw);
}

/* --- spreading --- */

static void spread_on_published(void *argument, int code)
{
    struct historian_job *job = CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC);
    if (code != 0) {
        job_later(job, HISTORIAN_AGAIN_MS, spread_next);
        return;
    }
    job->withdraw->next_partition++;
    spread_next(job);
}

static int spread_publish(struct historian_job *job)
{
    const struct held *held = job->held;
    struct event_headers headers;
    size_t value_bytes = 0;
    CLEANUP(mem_free) char *value = history_withdrawal_write(&held->withdrawal, &value_bytes);
    CLEANUP(mem_free)
    char *id = mem_format("%s/%d", held->event_id, (int)job->withdraw->next_partition);
    struct event event = {
        .id = text_of(id),
        .source = text_of("historian"),
        .type = text_of(HISTORY_WITHDRAWN_TYPE),
        .subject = text_of(held->event_key),
        .data_schema = text_of(HISTORY_WITHDRAWN_SCHEMA),
        .content_type = text_of("application/json"),
        .repository = text_of(held->repository),
        .has_time = true,
        .time_ms = held->time_ms,
    };
    int code = envelope_encode(&event, &headers, NULL);
    if (code != 0)
        return code;
    struct bus_message message =
        job_message(held->event_key, job->withdraw->next_partition, value, value_bytes, &headers);
    message.topic = TOPIC_GITHUB_EVENTS;
    return kernel_publish(job->work, &message, spread_on_published, job);
}

static void spread_next(void *argument)
{
    struct historian_job *job = CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC);
    struct historian *historian = job->historian;
    int32_t count = 0;
    int code = bus_partition_count(historian->ground.bus, TOPIC_GITHUB_EVENTS, &count);
    if (code == 0 && job->withdraw->next_partition >= count) {
        job_finish(job);
        return;
    }
    if (code == 0)
        code = spread_publish(job);
    if (code != 0)
        job_later(job, HISTORIAN_AGAIN_MS, spread_next);
}

/* --- withdrawing --- */

static bool withdraw_concerns(const struct history_withdrawal *withdrawal, int64_t repository_id,
                              int64_t owner_id)
{
    for (size_t i = 0; i < withdrawal->repository_count; i++)
        if (withdrawal->repositories[i] == repository_id)
            return true;
    return withdrawal->owner_id != 0 && owner_id == withdrawal->owner_id;
}

/* What a document names stays although its repository is private now. */
static bool withdraw_is_kept(const struct historian *historian,
                             const struct history_withdrawal *withdrawal, const char *repository)
{
    return withdrawal->reason == ISSUE_PRIVATE && repository != NULL &&
           historian_keeps_private(historian, repository);
}

static void withdraw_on_published(void *argument, int code)
{
    struct withdraw_one *one = argument;
    struct withdraw *withdraw = one->withdraw;
    struct historian_job *job = withdraw->job;
    struct historian *historian = job->historian;
    if (code == 0 && one->is_stub) {
        historian_shelve(historian_shelf(historian, job->held->partition), one->record,
                         kernel_work_published(job->work));
        historian_count_published(historian, "record", &historian->counts.records);
    } else if (code == 0) {
        historian_shelve(historian_shelf(historian, job->held->partition), one->record, SHELF_GONE);
        historian_count_published(historian, "tombstone", &historian->counts.tombstones);
    } else {
        withdraw->again = true;
    }
    one_free(one);
    withdraw->under_way--;
    /* The round goes on as soon as there is room, unless it waits for its turn or to try again. */
    if (withdraw->under_way == WITHDRAW_WINDOW / 2 || withdraw->under_way == 0)
        job_later(job, code == 0 ? 0 : HISTORIAN_AGAIN_MS, withdraw_round);
}

/* Publishes the tombstone, or the stub, of what is gone; it is locked and in the list. */
static void withdraw_publish(struct historian_job *job, struct withdraw_one *one)
{
    struct withdraw *withdraw = job->withdraw;
    char id[ISSUE_ID_BYTES];
    struct event_headers headers;
    size_t value_bytes = 0;
    if (one->is_stub)
        fold_make_stub(one->record);
    CLEANUP(mem_free)
    char *value = one->is_stub ? issue_record_encode(one->record, &value_bytes) : NULL;
    struct event event = issue_record_envelope(one->record, one->key, value, value_bytes, id);
    int code = envelope_encode(&event, &headers, NULL);
    assert(code == 0);
    struct bus_message message =
        job_message(one->key, job->held->partition, value, value_bytes, &headers);
    code = kernel_publish(job->work, &message, withdraw_on_published, one);
    if (code == 0) {
        withdraw->under_way++;
        return;
    }
    withdraw->again = true;
    one_free(one);
}

/* Publishes the tombstone of a row that is gone by this event; what cannot be done now is left. */
static void withdraw_row(struct historian_job *job, const struct shelf_row *row)
{
    struct withdraw *withdraw = job->withdraw;
    const struct held *held = job->held;
    struct withdraw_one *one = MEM_NEW(struct withdraw_one);
    struct fold_change change = {.time_ms = held->time_ms,
                                 .offset = held->offset,
                                 .id = issue_hash_id(held->event_id, strlen(held->event_id)),
                                 .gone = held->withdrawal.reason};
    one->withdraw = withdraw;
    one->record = packed_read(row->packed, row->packed_bytes, row->repository_id, row->number);
    subject_key_issue(row->repository_id, row->number, one->key);
    bool is_new = fold_apply(one->record, &change);
    one->is_stub = historian_keeps_stub(one->record);
    /* A stub stays on the shelf: one that knows of this is done. */
    bool is_gone = !issue_record_is_live(one->record) && (is_new || !one->is_stub);
    bool is_locked = is_gone && historian_lock(job->historian, one->key);
    if (!is_locked) {
        withdraw->again = withdraw->again || is_gone; /* its job may end within this round */
        issue_record_free(one->record);
        mem_free(one);
        return;
    }
    one->next = withdraw->ones;
    withdraw->ones = one;
    withdraw_publish(job, one);
}

/* True while a job that folded before the withdrawal came has not ended: its issue may be new. */
static bool withdraw_has_older_locks(const struct historian_job *job)
{
    const struct issue_lock *lock = job->historian->locks; /* the hash keeps the order of adding */
    return lock != NULL && lock->serial < job->withdraw->first_lock;
}

/* One turn of a round: some rows. */
static void withdraw_round(void *argument)
{
    struct historian_job *job = CAST_CHECKED(struct historian_job, argument, HISTORIAN_JOB_MAGIC);
    struct withdraw *withdraw = job->withdraw;
    const struct shelf *shelf = historian_shelf(job->historian, job->held->partition);
    if (withdraw->place == 0)
        withdraw->moves = shelf_moves(shelf);
    for (size_t looked = 0; looked < WITHDRAW_ROWS && withdraw->place < shelf_places(shelf) &&
                            withdraw->under_way < WITHDRAW_WINDOW;
         looked++) {
        const struct shelf_row *row = shelf_at(shelf, withdraw->place++);
        if (row != NULL && row->offset != SHELF_GONE &&
            withdraw_concerns(&job->held->withdrawal, row->repository_id,
                              packed_owner(row->packed, row->packed_bytes)))
            withdraw_row(job, row);
    }
    if (withdraw->under_way >= WITHDRAW_WINDOW)
        return; /* an acknowledgement goes on */
    if (withdraw->place < shelf_places(shelf)) {
        job_later(job, 0, withdraw_round);
        return;
    }
    if (withdraw->under_way > 0)
        return; /* the last acknowledgement goes on */
    bool is_whole = withdraw->moves == shelf_moves(shelf) && !withdraw_has_older_locks(job);
    if (!withdraw->again && is_whole) {
        job_finish(job);
        return;
    }
    withdraw->again = false;
    withdraw->place = 0;
    job_later(job, HISTORIAN_LOCKED_MS, withdraw_round);
}

/* --- notes --- */

static void note_free(struct historian *historian, struct withdrawal_note *note)
{
    DL_DELETE(historian->notes, note);
    mem_free(note->withdrawal.repositories);
    mem_free(note->repository);
    mem_free(note);
}

void withdraw_note(struct historian *historian, const struct held *held)
{
    struct withdrawal_note *note = MEM_NEW(struct withdrawal_note);
    struct withdrawal_note *other = NULL;
    struct withdrawal_note *oldest = NULL;
    size_t count = 0;
    *note = (struct withdrawal_note){
        .partition = held->partition,
        .withdrawal = held->withdrawal,
        .time_ms = held->time_ms,
        .offset = held->offset,
        .id = issue_hash_id(held->event_id, strlen(held->event_id)),
        .repository = mem_copy_text(held->repository),
    };
    size_t ids = held->withdrawal.repository_count;
    note->withdrawal.repositories = mem_alloc_array(ids, sizeof(int64_t));
    if (ids > 0)
        memcpy(note->withdrawal.repositories, held->withdrawal.repositories, ids * sizeof(int64_t));
    DL_APPEND(historian->notes, note);
    for (other = historian->notes; other != NULL; other = other->next) {
        if (other->partition != held->partition)
            continue;
        oldest = oldest == NULL ? other : oldest;
        count++;
    }
    if (count > HISTORIAN_WITHDRAWALS_MAX)
        note_free(historian, oldest);
}

bool withdraw_apply_notes(struct historian *historian, int32_t partition,
                          struct issue_record *record)
{
    bool changed = false;
    for (const struct withdrawal_note *note = historian->notes; note != NULL; note = note->next) {
        struct fold_change change = {.time_ms = note->time_ms,
                                     .offset = note->offset,
                                     .id = note->id,
                                     .gone = note->withdrawal.reason};
        if (note->partition == partition &&
            withdraw_concerns(&note->withdrawal, record->repository_id, record->owner_id) &&
            !withdraw_is_kept(historian, &note->withdrawal, note->repository))
            changed = fold_apply(record, &change) || changed;
    }
    return changed;
}

void withdraw_forget_notes(struct historian *historian, int64_t before_ms, int32_t partition)
{
    struct withdrawal_note *note = NULL;
    struct withdrawal_note *rest = NULL;
    DL_FOREACH_SAFE(historian->notes, note, rest)
    {
        if (partition >= 0 ? note->partition == partition : note->time_ms < before_ms)
            note_free(historian, note);
    }
}

/* --- the interface --- */

void withdraw_begin(struct historian_job *job)
{
    struct held *held = job->held;
    job->withdraw = MEM_NEW(struct withdraw);
    job->withdraw->job = job;
    job->withdraw->first_lock = job->historian->next_lock;
    if (held->scope == CHANGE_SPREAD)
        spread_next(job);
    else if (withdraw_is_kept(job->historian, &held->withdrawal, held->repository))
        job_finish(job);
    else
        withdraw_round(job);
}
