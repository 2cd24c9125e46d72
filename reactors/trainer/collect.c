/*
 * What history limits say is to be removed: see collect.h.
 */
#include "reactors/trainer/collect.h"

#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"

/* Returns true if a run's collection has something left to do. */
static bool is_unfinished(const struct run_record *run, bool keeps_record)
{
    return !keeps_record || !run->collected || run->artefacts != NULL;
}

struct collect_choice collect_choose(const struct collect_facts *facts)
{
    size_t successful = 0;
    size_t failed = 0;
    struct collect_choice choice = {0};
    for (size_t i = facts->run_count; i > 0; i--) {
        const struct run_record *run = facts->runs[i - 1];
        if (!run_state_is_terminal(run->state))
            continue;
        if (run->state == RUN_SUCCEEDED) {
            bool is_kept = successful < facts->keep_successful ||
                           (facts->newest != NULL && strcmp(facts->newest, run->run) == 0) ||
                           facts->is_named(facts->argument, run->run);
            successful++;
            /* One whose collection has begun is finished, whatever names it now. */
            if (!is_kept || run->collected)
                choice = (struct collect_choice){.run = run};
            continue;
        }
        bool keeps_record = failed < COLLECT_FLOOR;
        bool is_kept = failed < facts->keep_failed && !run->collected;
        failed++;
        if (!is_kept && is_unfinished(run, keeps_record))
            choice = (struct collect_choice){.run = run, .keeps_record = keeps_record};
    }
    return choice;
}

static bool names_hash(const json_t *artefacts, const char *sha256)
{
    const char *name = NULL;
    json_t *item = NULL;
    json_object_foreach((json_t *)(uintptr_t)artefacts, name, item)
    {
        if (strcmp(json_text_or(item, "sha256", ""), sha256) == 0)
            return true;
    }
    return false;
}

/* Returns true if anybody but the run itself needs an artefact. */
static bool is_needed(const struct run_record *run, const struct collect_known *known,
                      const char *sha256)
{
    for (size_t i = 0; i < known->run_count; i++)
        if (!known->runs[i]->collected && strcmp(known->runs[i]->run, run->run) != 0 &&
            names_hash(known->runs[i]->artefacts, sha256))
            return true;
    for (size_t i = 0; i < known->version_count; i++)
        if (!known->versions[i]->collected && names_hash(known->versions[i]->artefacts, sha256))
            return true;
    for (size_t i = 0; i < json_array_size(known->uploads); i++)
        if (names_hash(json_array_get(known->uploads, i), sha256))
            return true;
    return false;
}

char **collect_unreferenced(const struct run_record *run, const struct collect_known *known,
                            size_t *ret_count)
{
    const char *name = NULL;
    json_t *item = NULL;
    char **list = mem_alloc_array(json_object_size(run->artefacts) + 1, sizeof(*list));
    *ret_count = 0;
    json_object_foreach(run->artefacts, name, item)
    {
        const char *sha256 = json_text_or(item, "sha256", "");
        if (!is_needed(run, known, sha256))
            list[(*ret_count)++] = mem_copy_text(sha256);
    }
    return list;
}
