/*
 * What the sources mean for the records: the second half of spec_set.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/memory.h"
#include "topics/spec_set_private.h"

/* --- parts of a record --- */

/* Writes why, unless the record says the same of the same file already: then its place, with the
 * commit that it was of, stays. */
static void plan_set_reason(struct spec_record *record, const struct spec_record *previous,
                            const struct spec_place *place, char *reason)
{
    bool is_old = previous != NULL && previous->reason != NULL &&
                  strcmp(previous->reason, reason) == 0 &&
                  spec_place_is_same_file(&previous->invalid_place, place);
    mem_free(record->reason);
    record->reason = reason;
    spec_place_set(&record->invalid_place, is_old ? &previous->invalid_place : place);
}

static char *plan_errors_text(const struct spec_errors *errors, const char *path)
{
    struct buffer text = BUFFER_INIT(SPEC_REASON_MAX_BYTES);
    spec_errors_write(errors, path, &text);
    return buffer_take(&text);
}

/* Says what is wrong with the candidates of one key: `first` first, then the others. */
static void plan_set_invalid(const struct set *set, struct spec_record *record,
                             const struct spec_record *previous, size_t first, size_t group,
                             size_t end)
{
    struct buffer text = BUFFER_INIT(SPEC_REASON_MAX_BYTES);
    const struct set_candidate *wrong = &set->candidates[first];
    struct spec_place place = set_place(wrong->file, wrong->document->line);
    spec_errors_write(&wrong->document->errors, wrong->file->file->path, &text);
    for (size_t i = group; i < end; i++)
        if (i != first)
            spec_errors_write(&set->candidates[i].document->errors,
                              set->candidates[i].file->file->path, &text);
    plan_set_reason(record, previous, &place, buffer_take(&text));
}

static void plan_set_valid(struct spec_record *record, const struct spec_record *previous,
                           const struct set_candidate *candidate, int64_t now_ms)
{
    struct spec_place place = set_place(candidate->file, candidate->document->line);
    bool was_valid = previous != NULL && previous->valid != NULL;
    bool is_old = was_valid && json_equal(previous->valid, candidate->document->value) != 0 &&
                  spec_place_is_same_file(&previous->valid_place, &place);
    record->first_published_ms = was_valid ? previous->first_published_ms : now_ms;
    record->valid = json_incref(candidate->document->value);
    spec_place_set(&record->valid_place, is_old ? &previous->valid_place : &place);
}

/* Lets what is in force stay so. */
static void plan_keep_valid(struct spec_record *record, const struct spec_record *previous)
{
    record->first_published_ms = previous->first_published_ms;
    record->valid = json_incref(previous->valid);
    spec_place_set(&record->valid_place, &previous->valid_place);
}

/* Lets what is said of an invalid document stay, if nobody knows whether it still is. */
static void plan_keep_invalid(const struct set *set, struct spec_record *record,
                              const struct spec_record *previous)
{
    if (previous == NULL || previous->reason == NULL)
        return;
    const struct spec_source *source = set_source(set, &previous->invalid_place);
    if (source == NULL || source->is_known)
        return;
    record->reason = mem_copy_text(previous->reason);
    spec_place_set(&record->invalid_place, &previous->invalid_place);
}

/* --- changes --- */

/* Adds a change unless it is none; takes the record. */
static void plan_add(struct spec_plan *plan, const char *key, struct spec_record *record,
                     const struct spec_record *previous)
{
    if (record != NULL && previous != NULL) {
        CLEANUP(mem_free) char *now = spec_record_encode(record, NULL);
        CLEANUP(mem_free) char *before = spec_record_encode(previous, NULL);
        if (strcmp(now, before) == 0) {
            spec_record_free(record);
            return;
        }
    }
    plan->changes =
        mem_resize_array(plan->changes, plan->change_count + 1, sizeof(plan->changes[0]));
    struct spec_change *change = &plan->changes[plan->change_count++];
    *change = (struct spec_change){.record = record};
    (void)snprintf(change->key, sizeof(change->key), "%s", key);
}

/* The record of the candidates of one key. */
static struct spec_record *plan_key(const struct set *set, size_t first, size_t end, int64_t now_ms)
{
    const char *key = set->candidates[first].document->key;
    const struct spec_record *previous = spec_store_find(set->previous, key);
    const struct set_candidate *winner = NULL;
    size_t wrong = end;
    for (size_t i = first; i < end; i++) {
        const struct set_candidate *candidate = &set->candidates[i];
        if (candidate->is_winner)
            winner = candidate;
        bool is_wrong = candidate->document->value == NULL;
        if (is_wrong && (wrong == end || candidate->is_winner))
            wrong = i;
    }
    struct spec_record *record = spec_record_new();
    if (winner != NULL && winner->document->value != NULL)
        plan_set_valid(record, previous, winner, now_ms);
    else if (set_may_stay(set, key, previous))
        plan_keep_valid(record, previous);
    if (wrong < end)
        plan_set_invalid(set, record, previous, wrong, first, end);
    else
        plan_keep_invalid(set, record, previous);
    return record;
}

/* Returns the file at a place if something in it cannot be read, else NULL. */
static const struct set_file *plan_unreadable_file(const struct set *set,
                                                   const struct spec_place *place)
{
    for (size_t i = 0; i < set->file_count; i++) {
        struct spec_place own = set_place(&set->files[i], 0);
        if (set->files[i].is_unreadable && spec_place_is_same_file(&own, place))
            return &set->files[i];
    }
    return NULL;
}

/* What becomes of a key that no source defines any more. */
static void plan_gone(const struct set *set, struct spec_plan *plan, const char *key,
                      const struct spec_record *previous)
{
    const struct spec_place *place =
        previous->valid != NULL ? &previous->valid_place : &previous->invalid_place;
    const struct spec_source *source = set_source(set, place);
    if (source != NULL && !source->is_known)
        return;
    const struct set_file *file = plan_unreadable_file(set, place);
    if (file == NULL || !set_may_stay(set, key, previous)) {
        plan_add(plan, key, NULL, previous);
        return;
    }
    struct spec_record *record = spec_record_new();
    struct spec_place where = set_place(file, 0);
    plan_keep_valid(record, previous);
    plan_set_reason(record, previous, &where,
                    plan_errors_text(&file->read->faults, file->file->path));
    plan_add(plan, key, record, previous);
}

/* Writes the key of a file's faults: printable, and short enough whatever the path. */
static void plan_file_key(const struct set_file *file, char ret_key[SUBJECT_KEY_BYTES])
{
    int bytes = snprintf(ret_key, SUBJECT_KEY_BYTES, SPEC_FILE_PREFIX "%s/%s",
                         file->source->repository, file->file->path);
    bool fits = bytes < SUBJECT_KEY_BYTES;
    for (const char *at = ret_key; fits && *at != '\0';) {
        size_t step = text_printable_bytes(at, strlen(at));
        fits = step > 0;
        at += step;
    }
    if (fits)
        return;
    uint8_t digest[DIGEST_BYTES];
    char digest_text[DIGEST_TEXT_BYTES];
    CLEANUP(mem_free)
    char *whole = mem_format("%s/%s", file->source->repository, file->file->path);
    digest_sha256(whole, strlen(whole), digest);
    digest_to_text(digest, digest_text);
    (void)snprintf(ret_key, SUBJECT_KEY_BYTES, SPEC_FILE_PREFIX "sha256/%s", digest_text);
}

/* --- the plan --- */

/* Returns true if a key is among the candidates'. */
static bool plan_has_candidate(const struct set *set, const char *key)
{
    size_t low = 0;
    size_t high = set->candidate_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(set->candidates[middle].document->key, key);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Publishes the faults of files; notes their keys in `present`. */
static void plan_files(const struct set *set, struct spec_plan *plan, struct spec_store *present)
{
    for (size_t i = 0; i < set->file_count; i++) {
        const struct set_file *file = &set->files[i];
        char key[SUBJECT_KEY_BYTES];
        if (file->read->faults.count == 0)
            continue;
        plan_file_key(file, key);
        if (spec_store_find(present, key) != NULL)
            continue; /* the same path on another branch of the repository */
        const struct spec_record *previous = spec_store_find(set->previous, key);
        struct spec_record *record = spec_record_new();
        struct spec_place place = set_place(file, 0);
        plan_set_reason(record, previous, &place,
                        plan_errors_text(&file->read->faults, file->file->path));
        spec_store_put(present, key, spec_record_copy(record));
        plan_add(plan, key, record, previous);
    }
}

static int plan_compare(const void *left, const void *right)
{
    return strcmp(((const struct spec_change *)left)->key,
                  ((const struct spec_change *)right)->key);
}

struct spec_plan *spec_plan_make(const struct spec_source *sources, size_t source_count,
                                 const struct spec_store *previous, int64_t now_ms)
{
    struct spec_plan *plan = MEM_NEW(struct spec_plan);
    struct set set = {.sources = sources, .source_count = source_count, .previous = previous};
    CLEANUP(spec_store_free) struct spec_store *present = spec_store_new();
    set_read(&set);
    for (size_t first = 0; first < set.candidate_count;) {
        size_t end = set_group_end(&set, first);
        const char *key = set.candidates[first].document->key;
        plan_add(plan, key, plan_key(&set, first, end, now_ms), spec_store_find(previous, key));
        first = end;
    }
    plan_files(&set, plan, present);
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(previous);
    for (size_t i = 0; i < spec_store_count(previous); i++)
        if (!plan_has_candidate(&set, entries[i].key) &&
            spec_store_find(present, entries[i].key) == NULL)
            plan_gone(&set, plan, entries[i].key, entries[i].record);
    set_release(&set);
    if (plan->change_count > 1)
        qsort(plan->changes, plan->change_count, sizeof(plan->changes[0]), plan_compare);
    return plan;
}

void spec_plan_free(struct spec_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->change_count; i++)
        spec_record_free(plan->changes[i].record);
    mem_free(plan->changes);
    mem_free(plan);
}
