/*
 * The registers of an issue and what they are told: see fold.h.
 */
#include "reactors/historian/fold.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"

/* What a register makes of something that it is told. */
enum fold_verdict {
    FOLD_OLD,    /* nothing changes */
    FOLD_BESIDE, /* of the same time and new, but not the last: only the stamp changes */
    FOLD_NEW,    /* it is the last now */
};

/* ---- stamps ---- */

static bool stamp_knows(const struct issue_stamp *stamp, uint64_t id)
{
    for (size_t i = 0; i < stamp->id_count; i++)
        if (stamp->ids[i] == id)
            return true;
    return false;
}

/* Beyond the limit the oldest is forgotten. */
static void stamp_remember(struct issue_stamp *stamp, uint64_t id)
{
    if (stamp->id_count == ISSUE_STAMP_IDS_MAX)
        memmove(stamp->ids, stamp->ids + 1, --stamp->id_count * sizeof(stamp->ids[0]));
    stamp->ids[stamp->id_count++] = id;
}

static enum fold_verdict stamp_tell(struct issue_stamp *stamp, int64_t time_ms, int64_t offset,
                                    uint64_t id)
{
    if (time_ms < stamp->time_ms || (time_ms == stamp->time_ms && stamp_knows(stamp, id)))
        return FOLD_OLD;
    bool is_last = time_ms > stamp->time_ms || offset >= stamp->offset;
    if (time_ms > stamp->time_ms)
        *stamp = (struct issue_stamp){.time_ms = time_ms};
    stamp_remember(stamp, id);
    if (is_last)
        stamp->offset = offset;
    return is_last ? FOLD_NEW : FOLD_BESIDE;
}

/* Joins two stamps of one register. Returns true if what `from` stamps is to be taken. */
static bool stamp_join(struct issue_stamp *into, const struct issue_stamp *from,
                       unsigned *ret_joined)
{
    if (from->time_ms != into->time_ms) {
        *ret_joined |= from->time_ms > into->time_ms ? FOLD_TOOK : FOLD_KEPT;
        if (from->time_ms < into->time_ms)
            return false;
        *into = *from;
        return true;
    }
    for (size_t i = 0; i < into->id_count; i++)
        if (!stamp_knows(from, into->ids[i]))
            *ret_joined |= FOLD_KEPT;
    for (size_t i = 0; i < from->id_count; i++) {
        if (stamp_knows(into, from->ids[i]))
            continue;
        *ret_joined |= FOLD_TOOK;
        stamp_remember(into, from->ids[i]);
    }
    bool take = from->offset > into->offset;
    if (from->offset != into->offset)
        *ret_joined |= take ? FOLD_TOOK : FOLD_KEPT;
    if (take)
        into->offset = from->offset;
    return take;
}

/* ---- erasure ---- */

/* Takes the name from an action that must not have one; what stands for the action follows. */
static void fold_strip_action(const struct issue_record *record, const struct issue_label *label,
                              struct issue_action *action)
{
    if (action->login == NULL || issue_record_keeps_name(record, action->stamp.time_ms))
        return;
    mem_free(TAKE(action->login));
    action->stamp.id_count = 0;
    stamp_remember(&action->stamp, fold_hash_action(label->name, action == &label->added,
                                                    action->stamp.time_ms, action->by, NULL));
}

/* Takes out what the marks say. A title that is not in memory stays so. */
static void fold_redact(struct issue_record *record)
{
    if (record->erased_ms == 0 && record->names_erased_ms == 0)
        return;
    if (record->erased_ms != 0) {
        if (record->title.data != NULL) {
            issue_record_drop_texts(record);
            record->title.data = mem_copy_text("");
        }
        mem_free(TAKE(record->author_login));
    }
    for (size_t i = 0; i < record->label_count; i++) {
        struct issue_label *label = &record->labels[i];
        fold_strip_action(record, label, &label->added);
        fold_strip_action(record, label, &label->removed);
    }
}

/* Joins the marks of one record with what another, or an event, says; 0 is none. True if they moved. */
static bool fold_mark(struct issue_record *record, int64_t erased_ms, int64_t names_erased_ms)
{
    bool is_first = erased_ms != 0 && (record->erased_ms == 0 || erased_ms < record->erased_ms);
    bool is_last = names_erased_ms > record->names_erased_ms;
    if (is_first)
        record->erased_ms = erased_ms;
    if (is_last)
        record->names_erased_ms = names_erased_ms;
    if (is_first || is_last)
        fold_redact(record);
    return is_first || is_last;
}

/* ---- registers ---- */

/* Puts an owned text in the place of another. */
static void fold_move_name(char **into, char **from)
{
    mem_free(*into);
    *into = TAKE(*from);
}

/* Takes an owner where none is known: GH Archive's events do not tell it. True if it did. */
static bool fold_fill_owner(struct issue_record *record, int64_t owner_id)
{
    if (record->owner_id != 0 || owner_id == 0)
        return false;
    record->owner_id = owner_id;
    return true;
}

/* The snapshot's members; its labels are listed, and no others. */
static void fold_take_snapshot(struct issue_record *record, struct issue_record *snapshot)
{
    issue_record_drop_texts(record);
    record->title = snapshot->title;
    record->body = snapshot->body;
    snapshot->title = (struct issue_text){.data = NULL};
    snapshot->body = (struct issue_text){.data = NULL};
    fold_move_name(&record->repository, &snapshot->repository);
    fold_move_name(&record->state, &snapshot->state);
    fold_move_name(&record->state_reason, &snapshot->state_reason);
    fold_move_name(&record->author_login, &snapshot->author_login);
    if (snapshot->owner_id != 0)
        record->owner_id = snapshot->owner_id;
    record->is_private = snapshot->is_private;
    record->author = snapshot->author;
    record->created_ms = snapshot->created_ms;
    record->updated_ms = snapshot->updated_ms;
    record->closed_ms = snapshot->closed_ms;
    for (size_t i = 0; i < record->label_count; i++)
        record->labels[i].listed = false;
    for (size_t i = 0; i < snapshot->label_count; i++) {
        const struct issue_label *listed = &snapshot->labels[i];
        struct issue_label *label =
            listed->listed ? issue_record_put_label(record, listed->name) : NULL;
        if (label != NULL)
            label->listed = true;
    }
    fold_redact(record);
}

uint64_t fold_hash_action(const char *label, bool is_added, int64_t time_ms, enum issue_actor by,
                          const char *login)
{
    CLEANUP(mem_free)
    char *text = mem_format("%s\n%c%lld\n%s\n%s", label, is_added ? '+' : '-', (long long)time_ms,
                            issue_actor_name(by), login != NULL ? login : "");
    return issue_hash_id(text, strlen(text));
}

static bool fold_tell_action(struct issue_record *record, struct fold_action *action,
                             int64_t offset)
{
    struct issue_label *label = issue_record_put_label(record, action->label);
    if (label == NULL)
        return false;
    struct issue_action *into = action->is_added ? &label->added : &label->removed;
    if (!issue_record_keeps_name(record, action->time_ms))
        mem_free(TAKE(action->login));
    uint64_t id = fold_hash_action(action->label, action->is_added, action->time_ms, action->by,
                                   action->login);
    enum fold_verdict verdict = stamp_tell(&into->stamp, action->time_ms, offset, id);
    if (verdict == FOLD_NEW) {
        into->by = action->by;
        fold_move_name(&into->login, &action->login);
    }
    return verdict != FOLD_OLD;
}

/* What is gone for ever stays so for that reason; else the newest reason counts. */
static bool fold_tell_gone(struct issue_record *record, const struct fold_change *change)
{
    if (issue_gone_is_final(record->gone))
        return false;
    if (issue_gone_is_final(change->gone))
        record->gone_since = (struct issue_stamp){.time_ms = -1};
    enum fold_verdict verdict =
        stamp_tell(&record->gone_since, change->time_ms, change->offset, change->id);
    if (verdict == FOLD_NEW)
        record->gone = change->gone;
    return verdict != FOLD_OLD;
}

/* ---- the interface ---- */

void fold_make_stub(struct issue_record *record)
{
    assert(record->erased_ms != 0);
    while (record->label_count > 0) {
        struct issue_label *label = &record->labels[--record->label_count];
        mem_free(label->name);
        mem_free(label->added.login);
        mem_free(label->removed.login);
    }
    mem_free(TAKE(record->labels));
    issue_record_drop_texts(record);
    record->title.data = mem_copy_text("");
    mem_free(record->repository);
    record->repository = mem_copy_text(FOLD_STUB_REPOSITORY);
    mem_free(record->state);
    record->state = mem_copy_text("closed");
    mem_free(TAKE(record->state_reason));
    mem_free(TAKE(record->author_login));
    record->author = ISSUE_UNKNOWN;
    record->created_ms = record->updated_ms = record->closed_ms = -1;
}

void fold_change_free(struct fold_change *change)
{
    if (change == NULL)
        return;
    issue_record_free(change->snapshot);
    issue_record_free(change->moved_to);
    for (size_t i = 0; i < change->action_count; i++) {
        mem_free(change->actions[i].label);
        mem_free(change->actions[i].login);
    }
    mem_free(change->actions);
    mem_free(change);
}

bool fold_apply(struct issue_record *record, struct fold_change *change)
{
    bool changed = fold_mark(record, change->erased_ms, change->names_erased_ms);
    if (change->snapshot != NULL) {
        enum fold_verdict verdict =
            stamp_tell(&record->as_of, change->time_ms, change->offset, change->id);
        if (verdict == FOLD_NEW)
            fold_take_snapshot(record, change->snapshot);
        bool is_filled = fold_fill_owner(record, change->snapshot->owner_id);
        changed = changed || verdict != FOLD_OLD || is_filled;
    }
    for (size_t i = 0; i < change->action_count; i++)
        changed = fold_tell_action(record, &change->actions[i], change->offset) || changed;
    if (change->gone != ISSUE_LIVE)
        changed = fold_tell_gone(record, change) || changed;
    return changed;
}

static void fold_join_action(struct issue_action *into, struct issue_action *from,
                             unsigned *ret_joined)
{
    if (!stamp_join(&into->stamp, &from->stamp, ret_joined))
        return;
    into->by = from->by;
    fold_move_name(&into->login, &from->login);
}

static void fold_join_gone(struct issue_record *into, const struct issue_record *from,
                           unsigned *ret_joined)
{
    bool into_final = issue_gone_is_final(into->gone);
    bool from_final = issue_gone_is_final(from->gone);
    if (into_final != from_final) {
        *ret_joined |= from_final ? FOLD_TOOK : FOLD_KEPT;
        if (from_final) {
            into->gone = from->gone;
            into->gone_since = from->gone_since;
        }
        return;
    }
    if (stamp_join(&into->gone_since, &from->gone_since, ret_joined))
        into->gone = from->gone;
}

unsigned fold_join(struct issue_record *into, struct issue_record *from)
{
    unsigned joined = 0;
    assert(into->repository_id == from->repository_id && into->number == from->number);
    if (fold_mark(into, from->erased_ms, from->names_erased_ms))
        joined |= FOLD_TOOK;
    if (fold_mark(from, into->erased_ms, into->names_erased_ms))
        joined |= FOLD_KEPT;
    if (fold_fill_owner(into, from->owner_id))
        joined |= FOLD_TOOK;
    if (fold_fill_owner(from, into->owner_id))
        joined |= FOLD_KEPT;
    if (stamp_join(&into->as_of, &from->as_of, &joined))
        fold_take_snapshot(into, from);
    for (size_t i = 0; i < from->label_count; i++) {
        struct issue_label *label = issue_record_put_label(into, from->labels[i].name);
        if (label == NULL)
            continue;
        fold_join_action(&label->added, &from->labels[i].added, &joined);
        fold_join_action(&label->removed, &from->labels[i].removed, &joined);
    }
    for (size_t i = 0; i < into->label_count; i++)
        if (issue_record_find_label(from, into->labels[i].name) == NULL)
            joined |= FOLD_KEPT;
    fold_join_gone(into, from, &joined);
    return joined;
}
