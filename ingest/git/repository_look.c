/*
 * What a look does: see repository.h.
 *
 *      ls-remote ─▶ plan: heads that differ from the published ones, sorted by name
 *
 *      planned   [ done … │ round: fetched together │ to come … ]
 *                         next          └ batches: described together, published, acknowledged
 *
 * Invariants: `next` only rises within a look; a round ends when every head of it is acknowledged or marked as broken.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/git_answer.h"
#include "base/git_command.h"
#include "base/log.h"
#include "base/memory.h"
#include "ingest/git/repository_private.h"

/* What a publication handed through the bus' `void *` starts with. */
#define PUBLICATION_MAGIC 0x94b115u

struct publication {
    unsigned magic;
    struct repository_world *world; /* borrowed */
    struct repository *repository;  /* NULL once that was freed */
    struct git_push push;           /* owned */
    struct publication *next;       /* in the repository's list */
    struct publication **previous;  /* the link that points here; NULL: not in a list */
};

static void look_go_on(struct repository *repository);
static void look_describe(struct repository *repository);

/* ---- the plan ---- */

void repository_forget_plan(struct repository *repository)
{
    for (size_t i = 0; i < repository->planned_count; i++)
        free(repository->planned[i].ref);
    free(TAKE(repository->planned));
    repository->planned_count = 0;
    repository->next = 0;
    repository->round_count = 0;
    repository->described = 0;
    repository->batch_count = 0;
    repository->fetches = 0;
    repository->published = 0;
    repository->publish_code = 0;
    repository->broken_code = 0;
    free(TAKE(repository->reading_ref));
}

/* A plan being made. */
struct planning {
    struct repository *repository;
    const struct git_list *list;
    size_t wanted; /* heads of the list that are watched */
    size_t known;  /* heads that were published, are watched and stand */
    size_t capacity;
};

static struct planned *add_planned(struct planning *planning, const char *ref,
                                   const struct known_head *known)
{
    struct repository *repository = planning->repository;
    if (repository->planned_count == planning->capacity) {
        planning->capacity = planning->capacity > 0 ? planning->capacity * 2 : 16;
        repository->planned =
            mem_resize_array(repository->planned, planning->capacity, sizeof(*repository->planned));
    }
    struct planned *planned = &repository->planned[repository->planned_count++];
    *planned = (struct planned){.ref = mem_copy_text(ref), .move = 1};
    if (known != NULL) {
        planned->move = known->move + 1;
        (void)snprintf(planned->old_id, sizeof(planned->old_id), "%s", known->id);
    }
    return planned;
}

/* A published head: is it still there? */
static void plan_known(void *argument, const struct known_head *head)
{
    struct planning *planning = argument;
    if (head->id[0] == '\0' || !repository_config_wants(planning->repository->config, head->ref))
        return;
    planning->known++;
    if (git_list_find(planning->list, head->ref) == NULL)
        add_planned(planning, head->ref, head)->is_deleted = true;
}

static int compare_planned(const void *left, const void *right)
{
    return strcmp(((const struct planned *)left)->ref, ((const struct planned *)right)->ref);
}

/* Compares the list with what was published. */
static int make_plan(struct repository *repository, const struct git_list *list,
                     struct error *error)
{
    const char *url = repository->config->url.text;
    struct heads *heads = repository->world->heads;
    struct planning planning = {.repository = repository, .list = list};
    for (size_t i = 0; i < list->count; i++) {
        const struct git_head *head = &list->items[i];
        char key[SUBJECT_KEY_BYTES];
        if (!repository_config_wants(repository->config, head->ref) ||
            git_push_key(url, head->ref, key) != 0)
            continue;
        const struct known_head *known = heads_find(heads, url, head->ref);
        planning.wanted++;
        if (known == NULL || strcmp(known->id, head->id) != 0 ||
            repository_wants(repository, head->ref, head->id) != NULL)
            (void)add_planned(&planning, head->ref, known);
    }
    heads_visit(heads, url, plan_known, &planning);
    git_metrics_set(repository->world->metrics->heads, url, (double)planning.wanted);
    metric_add(repository->world->metrics->skipped_refs, (double)list->skipped);
    if (list->count == 0 && planning.known > 0)
        return error_set(
            error, ERR_INPUT,
            "the repository says that it is empty, and %zu of its heads were published; "
            "that is not believed, and nothing is published",
            planning.known);
    if (repository->planned_count > 0)
        qsort(repository->planned, repository->planned_count, sizeof(*repository->planned),
              compare_planned);
    return 0;
}

static void on_listed(void *argument, const struct child_result *result)
{
    struct repository *repository = CAST_CHECKED(struct repository, argument, REPOSITORY_MAGIC);
    CLEANUP(git_list_release) struct git_list list = {.items = NULL};
    struct error error = {.text = ""};
    repository->child = NULL;
    int code = git_failure(result, &error);
    if (code == 0)
        code = git_list_parse(result->output, result->output_bytes, &list, &error);
    if (code == 0)
        code = make_plan(repository, &list, &error);
    if (code != 0)
        repository_fail(repository, code, &error);
    else
        look_go_on(repository);
}

void repository_list(struct repository *repository)
{
    const struct git_command_limits limits = {.deadline_ms =
                                                  repository->world->settings.list_deadline_ms};
    struct git_access access;
    struct git_command command;
    repository_access(repository, &access);
    git_command_list(&command, &access, repository->mirror, &limits);
    repository_run_git(repository, REPOSITORY_LISTING, &command, on_listed);
}

/* ---- rounds ---- */

static void on_packed(void *argument, const struct child_result *result)
{
    struct repository *repository = CAST_CHECKED(struct repository, argument, REPOSITORY_MAGIC);
    struct error error = {.text = ""};
    repository->child = NULL;
    repository->fetches_since_pack = 0;
    repository->is_prepared = false; /* its size is measured before the next look */
    int code = git_failure(result, &error);
    if (code != 0)
        repository_fail(repository, code, &error);
    else
        repository_succeed(repository);
}

static void look_pack(struct repository *repository)
{
    const struct repository_settings *settings = &repository->world->settings;
    const struct git_command_limits limits = {.deadline_ms = settings->fetch_deadline_ms,
                                              .file_max_bytes = settings->mirror_max_bytes};
    struct git_access access;
    struct git_command command;
    repository_access(repository, &access);
    git_command_gc(&command, &access, repository->mirror, &limits);
    repository_run_git(repository, REPOSITORY_PACKING, &command, on_packed);
}

void repository_end_look(struct repository *repository)
{
    if (repository->broken_code != 0)
        repository_fail(repository, repository->broken_code, &repository->broken);
    else if (repository->fetches_since_pack >= REPOSITORY_FETCHES_PER_PACK)
        look_pack(repository);
    else
        repository_succeed(repository);
}

void repository_mark_broken(struct repository *repository, const char *ref, int code,
                            const char *text)
{
    if (repository->broken_code == 0)
        repository->broken_code = error_set(&repository->broken, code, "%s: %s", ref, text);
}

/* True if a smaller round may do better: what was fetched is wrong, not the way to it. */
static bool is_about_objects(int code)
{
    return code == ERR_CORRUPT || code == ERR_CONFLICT || code == ERR_IO;
}

/* A fetch failed: once more with half of its heads, or without its only one. */
static void on_fetch_failed(struct repository *repository, int code, const struct error *error)
{
    bool is_first_corruption = code == ERR_CORRUPT && !repository->is_renewed;
    if (!is_about_objects(code) || is_first_corruption ||
        repository->fetches >= REPOSITORY_FETCHES_MAX) {
        repository_fail(repository, code, error);
        return;
    }
    if (repository->round_count > 1) {
        repository->round_max = repository->round_count / 2;
    } else {
        repository_mark_broken(repository, repository->planned[repository->next].ref, code,
                               error->text);
        repository->next++;
        repository->round_max = 1;
    }
    look_go_on(repository);
}

static void on_fetched(void *argument, const struct child_result *result)
{
    struct repository *repository = CAST_CHECKED(struct repository, argument, REPOSITORY_MAGIC);
    struct error error = {.text = ""};
    repository->child = NULL;
    repository->fetches_since_pack++;
    int code = git_failure(result, &error);
    if (code != 0) {
        on_fetch_failed(repository, code, &error);
        return;
    }
    repository->round_max =
        repository->round_max * 2 < GIT_FETCH_MAX ? repository->round_max * 2 : GIT_FETCH_MAX;
    look_describe(repository);
}

/* Takes the next heads for a round; gives those of them that are to be fetched. */
static size_t take_round(struct repository *repository, const char **refs)
{
    size_t left = repository->planned_count - repository->next;
    size_t count = 0;
    repository->round_count = left < repository->round_max ? left : repository->round_max;
    repository->described = 0;
    for (size_t i = 0; i < repository->round_count; i++) {
        const struct planned *planned = &repository->planned[repository->next + i];
        if (!planned->is_deleted)
            refs[count++] = planned->ref;
    }
    return count;
}

/* The next round, or the end. */
static void look_go_on(struct repository *repository)
{
    if (repository->next == repository->planned_count) {
        repository_read_documents(repository);
        return;
    }
    CLEANUP(mem_free) const char **refs = mem_alloc_array(GIT_FETCH_MAX, sizeof(*refs));
    size_t count = take_round(repository, refs);
    if (count == 0) {
        look_describe(repository);
        return;
    }
    const struct repository_settings *settings = &repository->world->settings;
    const struct git_command_limits limits = {.deadline_ms = settings->fetch_deadline_ms,
                                              .file_max_bytes = settings->mirror_max_bytes};
    struct git_access access;
    struct git_command command;
    repository_access(repository, &access);
    git_command_fetch(&command, &access, repository->mirror, refs, count, &limits);
    repository->fetches++;
    repository_run_git(repository, REPOSITORY_FETCHING, &command, on_fetched);
}

/* ---- publishing ---- */

static void publication_free(struct publication *publication)
{
    struct repository_world *world = publication->world;
    if (publication->previous != NULL) {
        *publication->previous = publication->next;
        if (publication->next != NULL)
            publication->next->previous = publication->previous;
    }
    git_push_release(&publication->push);
    publication->magic = 0;
    free(publication);
    if (--world->publication_count == 0 && world->settled != NULL)
        world->settled(world->argument);
}

void repository_detach_publications(struct repository *repository)
{
    while (repository->publications != NULL) {
        struct publication *publication = repository->publications;
        repository->publications = publication->next;
        publication->repository = NULL;
        publication->previous = NULL;
        publication->next = NULL;
    }
}

/* The batch is through: the next one, the next round, or the end. */
static void on_batch_published(struct repository *repository)
{
    struct error error = {.text = ""};
    if (repository->is_stopped)
        return;
    if (repository->publish_code != 0) {
        int code =
            error_set(&error, repository->publish_code, "the broker did not take a record: %s",
                      err_text(repository->publish_code));
        repository_fail(repository, code, &error);
        return;
    }
    repository->described += repository->batch_count;
    if (repository->described < repository->round_count) {
        look_describe(repository);
        return;
    }
    repository->next += repository->round_count;
    look_go_on(repository);
}

static void on_acknowledged(const struct publication *publication)
{
    struct repository_world *world = publication->world;
    const struct git_push *push = &publication->push;
    git_metrics_count(world->metrics->pushes, push->repository);
    if (publication->repository != NULL)
        publication->repository->published++;
}

static void on_delivered(void *argument, int code, int32_t partition, int64_t offset)
{
    (void)partition;
    struct publication *publication = CAST_CHECKED(struct publication, argument, PUBLICATION_MAGIC);
    struct repository *repository = publication->repository;
    if (code == 0) {
        heads_take(publication->world->heads, &publication->push, offset);
        on_acknowledged(publication);
    } else if (repository != NULL && repository->publish_code == 0) {
        repository->publish_code = code;
    }
    publication_free(publication);
    if (repository != NULL && --repository->outstanding == 0)
        on_batch_published(repository);
}

/* Hands a push (taken) to the bus. */
static int publish(struct repository *repository, struct git_push *push)
{
    char key[SUBJECT_KEY_BYTES];
    char id[GIT_PUSH_ID_BYTES];
    struct event_headers headers;
    struct event event = git_push_envelope(push, id);
    int code = git_push_key(push->repository, push->ref, key);
    if (code == 0)
        code = envelope_encode(&event, &headers, NULL);
    if (code != 0)
        return code;
    struct bus_message message = {
        .topic = TOPIC_GIT_PUSHES,
        .partition = BUS_PARTITION_BY_KEY,
        .key = key,
        .key_bytes = strlen(key),
        .take_value = true,
        .headers = headers.items,
        .header_count = headers.count,
    };
    char *value = git_push_write(push, &message.value_bytes);
    message.value = value;
    struct publication *publication = MEM_NEW(struct publication);
    publication->magic = PUBLICATION_MAGIC;
    publication->world = repository->world;
    publication->repository = repository;
    publication->next = repository->publications;
    publication->previous = &repository->publications;
    if (publication->next != NULL)
        publication->next->previous = &publication->next;
    repository->publications = publication;
    publication->push = *push;
    *push = (struct git_push){.memory = NULL};
    repository->world->publication_count++;
    code = bus_publish(repository->world->bus, &message, on_delivered, publication);
    if (code == 0) {
        repository->outstanding++;
        return 0;
    }
    free(value);
    publication_free(publication);
    return code;
}

/* Publishes what a worker described. */
static void publish_batch(struct repository *repository, struct work_answer *answer)
{
    repository_set_state(repository, REPOSITORY_PUBLISHING);
    for (size_t i = 0; i < answer->count; i++) {
        struct work_result *result = &answer->results[i];
        struct planned *planned =
            &repository->planned[repository->next + repository->described + i];
        if (result->code != 0)
            repository_mark_broken(repository, planned->ref, result->code, result->text);
        if (result->code != 0 || result->is_unmoved)
            continue;
        int code = publish(repository, &result->push);
        if (code != 0 && repository->publish_code == 0)
            repository->publish_code = code;
    }
    if (repository->outstanding == 0)
        on_batch_published(repository);
}

/* ---- describing ---- */

static void on_described(void *argument, const struct child_result *result)
{
    struct repository *repository = CAST_CHECKED(struct repository, argument, REPOSITORY_MAGIC);
    CLEANUP(work_answer_release) struct work_answer answer = {.count = 0};
    struct error error = {.text = ""};
    repository->child = NULL;
    int code = work_read_answer(result, repository->batch_count, &answer, &error);
    if (code == ERR_TOO_LARGE && repository->batch_count > 1) {
        repository->batch_max = repository->batch_count / 2;
        look_describe(repository);
    } else if (code != 0) {
        repository_fail(repository, code, &error);
    } else {
        repository_note_bytes(repository, answer.bytes);
        publish_batch(repository, &answer);
    }
}

/* Has the next heads of the round described. */
static void look_describe(struct repository *repository)
{
    struct work_move moves[WORK_MOVES_MAX];
    size_t left = repository->round_count - repository->described;
    size_t bytes = 0;
    repository->batch_count = left < repository->batch_max ? left : repository->batch_max;
    for (size_t i = 0; i < repository->batch_count; i++) {
        const struct planned *planned =
            &repository->planned[repository->next + repository->described + i];
        moves[i] = (struct work_move){.ref = planned->ref,
                                      .old_id = planned->old_id,
                                      .move = planned->move,
                                      .is_deleted = planned->is_deleted};
    }
    char *request = work_write_describe(repository->mirror, repository->config->url.text, moves,
                                        repository->batch_count, &bytes);
    repository_run_work(repository, REPOSITORY_DESCRIBING, request, bytes, on_described);
}
