/*
 * What people want in a simulated history: the Labeler documents, as a git watcher would publish them.
 *
 * Design: the text of the one file that is pushed, made into records by the same plan as in life and
 * appended to the topic. While things fail, somebody changes it now and then: takes a label out, breaks
 * it, deletes it, writes a second Labeler for the same repository. At rest it is what it was first, so
 * that the end is the same whatever happened between.
 */
#include <assert.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "tests/sim/sim_private.h"
#include "topics/spec_set.h"

/* Longest file. */
#define DOCUMENTS_MAX_BYTES 4096

/* Least and most time between two changes, in simulated milliseconds. */
#define DOCUMENTS_LEAST_MS 3000
#define DOCUMENTS_SPREAD_MS 25000

#define DOCUMENTS_HEAD(name)                                                                       \
    "apiVersion: nodag.dev/v1\nkind: Labeler\nmetadata: {name: " name "}\nspec:\n"
#define DOCUMENTS_REST                                                                             \
    "  models: [{file: sim.model}]\n  since: 2026-01-01\n  comment: edit\n"                        \
    "  audit: {holdback: 10%}\n"

const char sim_document[] =
    DOCUMENTS_HEAD("sim") "  repositories: [\"sim/*\"]\n"
                          "  labels: {include: [\"area/*\", \"kind/*\"]}\n" DOCUMENTS_REST;

/* What the file may hold besides. */
static const struct {
    const char *what; /* for the history */
    const char *text; /* of the file */
} documents_versions[] = {
    {"as it was first", sim_document},
    {"with fewer labels",
     DOCUMENTS_HEAD("sim") "  repositories: [\"sim/*\"]\n"
                           "  labels: {include: [\"kind/*\"]}\n" DOCUMENTS_REST},
    {"not valid", DOCUMENTS_HEAD("sim") "  repositories: []\n" DOCUMENTS_REST},
    {"not YAML", "\t- x\n"},
    {"empty", "# nothing any more\n"},
    {"with a second Labeler",
     DOCUMENTS_HEAD("sim") "  repositories: [\"sim/*\"]\n"
                           "  labels: {include: [\"area/*\", \"kind/*\"]}\n" DOCUMENTS_REST
                           "---\n" DOCUMENTS_HEAD(
                               "other") "  repositories: [\"*/*\"]\n"
                                        "  labels: {include: [\"kind/*\"]}\n" DOCUMENTS_REST},
};

/* A text with other comments where first looks are by the topic's record: those are for silent documents. Owned. */
static char *documents_for(const struct sim *sim, const char *text)
{
    static const char edit[] = "comment: edit";
    struct buffer made = BUFFER_INIT(DOCUMENTS_MAX_BYTES);
    for (const char *at = strstr(text, edit); sim->plan->by_record && at != NULL;
         at = strstr(text, edit)) {
        (void)!buffer_append_format(&made, "%.*scomment: silent", (int)(at - text), text);
        text = at + strlen(edit);
    }
    (void)!buffer_append_text(&made, text);
    return buffer_take(&made);
}

/* Publishes what differs when the file holds this text. */
static void documents_push(struct sim *sim, const char *content)
{
    CLEANUP(mem_free) char *text = documents_for(sim, content);
    const struct spec_file file = {
        .path = "labeler.yaml", .text = text, .text_bytes = strlen(text)};
    const struct spec_source source = {.repository = "https://forge/sim/specs",
                                       .branch = "main",
                                       .commit = "c0ffee",
                                       .is_known = true,
                                       .files = &file,
                                       .file_count = 1};
    CLEANUP(spec_plan_free)
    struct spec_plan *plan = spec_plan_make(&source, 1, sim->published, loop_wall_ms(sim->loop));
    for (size_t i = 0; i < plan->change_count; i++) {
        struct spec_change *change = &plan->changes[i];
        CLEANUP(spec_message_free)
        struct spec_message *message =
            spec_message_make(change->key, change->record, loop_wall_ms(sim->loop));
        (void)bus_memory_append(sim->cluster, &message->message);
        spec_store_put(sim->published, change->key, TAKE(change->record));
    }
}

static void documents_change(void *argument)
{
    struct sim *sim = argument;
    if (sim->resting)
        return;
    size_t which = loop_random_below(sim->loop, ARRAY_COUNT(documents_versions));
    sim_tell(sim, "the Labeler's file is %s", documents_versions[which].what);
    documents_push(sim, documents_versions[which].text);
    loop_timer_set(sim->documents_timer,
                   DOCUMENTS_LEAST_MS + (int64_t)loop_random_below(sim->loop, DOCUMENTS_SPREAD_MS));
}

void sim_documents_begin(struct sim *sim)
{
    sim->published = spec_store_new();
    sim->documents_timer = loop_timer_new(sim->loop, documents_change, sim);
    documents_push(sim, sim_document);
    loop_timer_set(sim->documents_timer,
                   (int64_t)loop_random_below(sim->loop, DOCUMENTS_SPREAD_MS));
}

void sim_documents_rest(struct sim *sim)
{
    loop_timer_clear(sim->documents_timer);
    documents_push(sim, sim_document);
}

void sim_documents_release(struct sim *sim)
{
    loop_timer_free(sim->documents_timer);
    spec_store_free(sim->published);
}
