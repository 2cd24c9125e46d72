/*
 * Reading all sources, and who may have which key and which branch: the first half of spec_set.h.
 */
#include "topics/spec_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "topics/spec_set_private.h"

/* Longest "REPOSITORY BRANCH" of a Deployment's claim. */
#define SET_CLAIM_BYTES (2 * SPEC_TEXT_MAX_BYTES + 2)

const struct spec_source *set_source(const struct set *set, const struct spec_place *place)
{
    for (size_t i = 0; i < set->source_count; i++) {
        const struct spec_source *source = &set->sources[i];
        const struct spec_place own = {.repository = (char *)(uintptr_t)source->repository,
                                       .branch = (char *)(uintptr_t)source->branch,
                                       .path = place->path};
        if (spec_place_is_same_file(&own, place))
            return source;
    }
    return NULL;
}

struct spec_place set_place(const struct set_file *file, int line)
{
    return (struct spec_place){
        .repository = (char *)(uintptr_t)file->source->repository,
        .branch = (char *)(uintptr_t)file->source->branch,
        .path = (char *)(uintptr_t)file->file->path,
        .commit = (char *)(uintptr_t)file->source->commit,
        .line = line,
    };
}

bool set_may_stay(const struct set *set, const char *key, const struct spec_record *record)
{
    enum spec_kind kind = SPEC_KIND_COUNT;
    const char *name = NULL;
    if (record == NULL || record->valid == NULL || spec_key_parse(key, &kind, &name) != 0)
        return false;
    const struct spec_source *source = set_source(set, &record->valid_place);
    if (source == NULL || !spec_allows_name(&source->allow, kind, name))
        return false;
    CLEANUP(mem_free) char *breach = spec_allow_breach(&source->allow, kind, record->valid);
    return breach == NULL;
}

size_t set_group_end(const struct set *set, size_t first)
{
    size_t end = first + 1;
    while (end < set->candidate_count &&
           strcmp(set->candidates[end].document->key, set->candidates[first].document->key) == 0)
        end++;
    return end;
}

/* --- reading --- */

static void set_read_file(struct set_file *file)
{
    const struct spec_file *from = file->file;
    if (from->text != NULL) {
        file->read = spec_documents_read(from->text, from->text_bytes, file->source->strictness);
    } else {
        file->read = MEM_NEW(struct spec_file_documents);
        spec_errors_add(&file->read->faults, 0, 0, "%s",
                        from->fault != NULL ? from->fault : "it cannot be read");
    }
    file->is_unreadable = file->read->faults.count > 0;
}

/* Takes the documents of a file that its source may define; the others become faults of the file. */
static void set_take_documents(struct set *set, struct set_file *file)
{
    const struct spec_allow *allow = &file->source->allow;
    for (size_t i = 0; i < file->read->count; i++) {
        struct spec_document *document = &file->read->documents[i];
        if (!spec_allows_name(allow, document->kind, document->name)) {
            spec_errors_add(&file->read->faults, document->line, 0,
                            "its source may not define %s (allow.names)", document->key);
            continue;
        }
        if (set->candidate_count == SPEC_STORE_MAX) {
            spec_errors_add(&file->read->faults, document->line, 0,
                            "more than %d documents in all sources; this one is left out",
                            SPEC_STORE_MAX);
            continue;
        }
        CLEANUP(mem_free) char *breach = NULL;
        if (document->value != NULL)
            breach = spec_allow_breach(allow, document->kind, document->value);
        if (breach != NULL)
            spec_document_refuse(document, "%s", breach);
        set->candidates =
            mem_resize_array(set->candidates, set->candidate_count + 1, sizeof(set->candidates[0]));
        set->candidates[set->candidate_count++] =
            (struct set_candidate){.file = file, .document = document};
    }
}

static int set_compare_texts(const char *left, const char *right)
{
    return strcmp(left != NULL ? left : "", right != NULL ? right : "");
}

static int set_compare_candidates(const void *left_candidate, const void *right_candidate)
{
    const struct set_candidate *left = left_candidate;
    const struct set_candidate *right = right_candidate;
    int order = strcmp(left->document->key, right->document->key);
    if (order == 0)
        order = strcmp(left->file->source->repository, right->file->source->repository);
    if (order == 0)
        order = set_compare_texts(left->file->source->branch, right->file->source->branch);
    if (order == 0)
        order = strcmp(left->file->file->path, right->file->file->path);
    return order != 0 ? order
                      : (left->document->line > right->document->line) -
                            (left->document->line < right->document->line);
}

/* --- keys --- */

/* Says of a document that its key is another's. */
static void set_refuse_key(const struct set_candidate *candidate, const struct spec_place *other)
{
    struct spec_place own = set_place(candidate->file, 0);
    if (spec_place_is_same_file(&own, other))
        return; /* spec_documents_read has said it, with the line */
    spec_document_refuse(candidate->document,
                         "%s stands in %s of %s too; rename or remove one of the two",
                         candidate->document->key, other->path, other->repository);
}

/* Settles which of the candidates of one key stands for it; the others are refused. */
static void set_settle_key(struct set *set, size_t first, size_t end)
{
    const char *key = set->candidates[first].document->key;
    const struct spec_record *previous = spec_store_find(set->previous, key);
    const struct spec_source *holder = previous != NULL && previous->valid != NULL
                                           ? set_source(set, &previous->valid_place)
                                           : NULL;
    bool is_frozen = holder != NULL && !holder->is_known;
    size_t at_home = 0;
    size_t winner = end;
    for (size_t i = first; i < end && !is_frozen; i++) {
        struct spec_place own = set_place(set->candidates[i].file, 0);
        if (holder == NULL || !spec_place_is_same_file(&own, &previous->valid_place))
            continue;
        winner = i;
        at_home++;
    }
    if (!is_frozen && end - first == 1)
        winner = first;
    else if (at_home != 1)
        winner = end;
    for (size_t i = first; i < end; i++) {
        struct spec_place other = {0};
        if (i == winner) {
            set->candidates[i].is_winner = true;
            continue;
        }
        if (is_frozen)
            other = previous->valid_place;
        else
            other = set_place(set->candidates[winner < end ? winner
                                              : i == first ? end - 1
                                                           : first]
                                  .file,
                              0);
        set_refuse_key(&set->candidates[i], &other);
    }
}

/* --- branches --- */

/* Who claims a branch for pull requests. */
struct set_claim {
    const char *key;                      /* of the Deployment */
    char *branch;                         /* owned: "REPOSITORY BRANCH" */
    const struct set_candidate *claimant; /* NULL: of a source that could not be read */
    bool is_holder;                       /* what is in force has this branch already */
};

/* Returns what a Deployment claims; owned. */
static char *set_claim_text(const char *name, const json_t *document)
{
    const char *repository = json_string_value(spec_get(document, "spec.target.repository"));
    const char *branch = json_string_value(spec_get(document, "spec.pullRequest.branch"));
    return branch != NULL ? mem_format("%s %s", repository, branch)
                          : mem_format("%s nodag/%s", repository, name);
}

static int set_compare_claims(const void *left_claim, const void *right_claim)
{
    const struct set_claim *left = left_claim;
    const struct set_claim *right = right_claim;
    int order = strcmp(left->branch, right->branch);
    return order != 0 ? order : strcmp(left->key, right->key);
}

static void set_add_claim(struct set_claim **claims, size_t *count, struct set_claim claim)
{
    *claims = mem_resize_array(*claims, *count + 1, sizeof((*claims)[0]));
    (*claims)[(*count)++] = claim;
}

/* Collects the claims of the present winners and of sources that could not be read. */
static size_t set_collect_claims(const struct set *set, struct set_claim **ret_claims)
{
    size_t count = 0;
    for (size_t i = 0; i < set->candidate_count; i++) {
        const struct set_candidate *candidate = &set->candidates[i];
        const struct spec_document *document = candidate->document;
        if (document->kind != SPEC_DEPLOYMENT || !candidate->is_winner || document->value == NULL)
            continue;
        const struct spec_record *previous = spec_store_find(set->previous, document->key);
        struct set_claim claim = {.key = document->key,
                                  .branch = set_claim_text(document->name, document->value),
                                  .claimant = candidate};
        if (previous != NULL && previous->valid != NULL) {
            CLEANUP(mem_free) char *held = set_claim_text(document->name, previous->valid);
            claim.is_holder = strcmp(held, claim.branch) == 0;
        }
        set_add_claim(ret_claims, &count, claim);
    }
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(set->previous);
    for (size_t i = 0; i < spec_store_count(set->previous); i++) {
        enum spec_kind kind = SPEC_KIND_COUNT;
        const char *name = NULL;
        const struct spec_record *record = entries[i].record;
        if (record->valid == NULL || spec_key_parse(entries[i].key, &kind, &name) != 0 ||
            kind != SPEC_DEPLOYMENT)
            continue;
        const struct spec_source *source = set_source(set, &record->valid_place);
        if (source != NULL && !source->is_known)
            set_add_claim(ret_claims, &count,
                          (struct set_claim){.key = entries[i].key,
                                             .branch = set_claim_text(name, record->valid),
                                             .is_holder = true});
    }
    return count;
}

/* Settles one branch that several claim: it is the holder's; of none if there is not exactly one. */
static void set_settle_branch(const struct set_claim *claims, size_t count)
{
    const struct set_claim *holder = NULL;
    size_t holders = 0;
    for (size_t i = 0; i < count; i++) {
        if (!claims[i].is_holder)
            continue;
        holder = &claims[i];
        holders++;
    }
    for (size_t i = 0; i < count && count > 1; i++) {
        const struct set_claim *other = holders == 1 ? holder : &claims[i == 0 ? 1 : 0];
        if (other != &claims[i] && claims[i].claimant != NULL)
            spec_document_refuse(claims[i].claimant->document,
                                 "its pull requests have the branch of %s (%s); write another "
                                 "`pullRequest.branch` in one of the two",
                                 other->key, strchr(claims[i].branch, ' ') + 1);
    }
}

static void set_settle_branches(struct set *set)
{
    struct set_claim *claims = NULL;
    size_t count = set_collect_claims(set, &claims);
    if (count > 1)
        qsort(claims, count, sizeof(claims[0]), set_compare_claims);
    for (size_t first = 0; first < count;) {
        size_t end = first + 1;
        while (end < count && strcmp(claims[end].branch, claims[first].branch) == 0)
            end++;
        set_settle_branch(&claims[first], end - first);
        first = end;
    }
    for (size_t i = 0; i < count; i++)
        mem_free(claims[i].branch);
    mem_free(claims);
}

/* --- all of it --- */

void set_read(struct set *set)
{
    size_t file_count = 0;
    for (size_t i = 0; i < set->source_count; i++)
        file_count += set->sources[i].is_known ? set->sources[i].file_count : 0;
    set->files = mem_alloc_array(file_count, sizeof(set->files[0]));
    for (size_t i = 0; i < set->source_count; i++) {
        const struct spec_source *source = &set->sources[i];
        for (size_t j = 0; source->is_known && j < source->file_count; j++) {
            struct set_file *file = &set->files[set->file_count++];
            file->source = source;
            file->file = &source->files[j];
            set_read_file(file);
            set_take_documents(set, file);
        }
    }
    if (set->candidate_count > 1)
        qsort(set->candidates, set->candidate_count, sizeof(set->candidates[0]),
              set_compare_candidates);
    for (size_t first = 0; first < set->candidate_count;) {
        size_t end = set_group_end(set, first);
        set_settle_key(set, first, end);
        first = end;
    }
    set_settle_branches(set);
}

void set_release(struct set *set)
{
    for (size_t i = 0; i < set->file_count; i++)
        spec_documents_free(set->files[i].read);
    mem_free(set->files);
    mem_free(set->candidates);
}
