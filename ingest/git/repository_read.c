/*
 * The last part of a look: the documents of heads that somebody wants. See repository.h.
 *
 * A damaged object first has the mirror made anew, as everywhere; if it is damaged in the new one too, it is
 * the remote's, and becomes the fault of its file. A commit that the mirror does not have (its fetch failed in
 * this look), or whose folders are damaged, waits for the next look, and the others are read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "ingest/git/repository_private.h"

const struct patterns *repository_wants(const struct repository *repository, const char *ref,
                                        const char *commit)
{
    const struct repository_world *world = repository->world;
    return world->reader != NULL ? world->reader->wants(world->reader_argument,
                                                        repository->config->url.text, ref, commit)
                                 : NULL;
}

/* Looks for the first published head whose documents are wanted. */
static void choose_head(void *argument, const struct known_head *head)
{
    struct repository *repository = argument;
    if (repository->reading_ref != NULL || head->id[0] == '\0' ||
        repository_wants(repository, head->ref, head->id) == NULL)
        return;
    repository->reading_ref = mem_copy_text(head->ref);
    (void)snprintf(repository->reading_id, sizeof(repository->reading_id), "%s", head->id);
}

/* Returns true if other heads of the repository can be read although this one cannot. */
static bool is_of_the_commit(const struct repository *repository, int code)
{
    return code == ERR_TOO_LARGE || code == ERR_INPUT || code == ERR_UNSUPPORTED ||
           code == ERR_NOT_FOUND || (code == ERR_CORRUPT && repository->is_renewed);
}

static void on_read(void *argument, const struct child_result *result)
{
    struct repository *repository = CAST_CHECKED(struct repository, argument, REPOSITORY_MAGIC);
    const struct repository_world *world = repository->world;
    CLEANUP(work_documents_release) struct work_documents documents = {.count = 0};
    CLEANUP(mem_free) char *ref = TAKE(repository->reading_ref);
    struct error error = {.text = ""};
    repository->child = NULL;
    int code = work_read_documents(result, &documents, &error);
    if (code != 0 && !is_of_the_commit(repository, code)) {
        repository_fail(repository, code, &error);
        return;
    }
    if (code == ERR_NOT_FOUND || code == ERR_CORRUPT)
        repository_mark_broken(repository, ref, code, error.text);
    world->reader->read(world->reader_argument, repository->config->url.text, ref,
                        repository->reading_id, &documents, code, &error);
    repository_read_documents(repository);
}

void repository_read_documents(struct repository *repository)
{
    heads_visit(repository->world->heads, repository->config->url.text, choose_head, repository);
    if (repository->reading_ref == NULL) {
        repository_end_look(repository);
        return;
    }
    const struct patterns *paths =
        repository_wants(repository, repository->reading_ref, repository->reading_id);
    size_t bytes = 0;
    char *request = work_write_documents(repository->mirror, repository->reading_id, paths,
                                         repository->is_renewed, &bytes);
    repository_run_work(repository, REPOSITORY_READING, request, bytes, on_read);
}
