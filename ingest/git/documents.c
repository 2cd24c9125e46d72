/*
 * The documents of all sources: see documents.h.
 */
#include "ingest/git/documents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "ingest/git/specs.h"
#include "ingest/git/work.h"
#include "topics/spec_set.h"

/* What the documents passed through `void *` start with. */
#define DOCUMENTS_MAGIC 0xd0c5u

/* Where branches' refs begin. */
#define BRANCH_PREFIX "refs/heads/"

/* Longest text of everything that documents name: SPEC_STORE_MAX lines. */
#define NAMED_MAX_BYTES (64u << 20)

/* One source, and its files as they were last read. */
struct source {
    struct source_config config; /* owned */
    struct work_documents files; /* owned */
    bool is_looked_at;           /* a look came to an end since it was configured */
    bool is_skipped;             /* reading failed; not again in this look */
    bool is_read;                /* `files` are those of `commit` */
    char commit[GIT_ID_BYTES];   /* see above */
    char answered[GIT_ID_BYTES]; /* the commit that reading last came to an end with, well or not */
};

struct documents {
    unsigned magic;
    struct loop *loop;           /* borrowed */
    struct bus *bus;             /* borrowed */
    struct git_metrics *metrics; /* borrowed */
    struct documents_handler handler;
    void *argument;
    struct specs *specs;    /* owned: what was published */
    bool is_on;             /* there is `sources` in the configuration */
    bool is_stopped;        /* nothing is published any more */
    struct source *sources; /* owned */
    size_t count;
    int64_t wait_until_ms;           /* for sources that were not looked at yet */
    bool is_dirty;                   /* everything is to be compared */
    struct loop_timer *timer;        /* owned: do what is to be done, soon */
    struct loop_timer *again_timer;  /* owned: compare everything again */
    size_t outstanding;              /* records on their way to the broker */
    int64_t acknowledged_end;        /* behind the last record that was acknowledged */
    int publish_code;                /* of the first record of the plan that failed */
    unsigned failures;               /* plans in a row that were not carried out */
    char *named;                     /* owned: what documents name, as last told */
    void (*drained)(void *argument); /* NULL: not draining, or told already */
    void *drained_argument;
};

/* ---- sources ---- */

static void source_release(struct source *source)
{
    source_config_release(&source->config);
    work_documents_release(&source->files);
}

static struct source *find_source(const struct documents *documents, const char *repository,
                                  const char *ref)
{
    size_t prefix_bytes = sizeof(BRANCH_PREFIX) - 1;
    if (strncmp(ref, BRANCH_PREFIX, prefix_bytes) != 0)
        return NULL;
    for (size_t i = 0; i < documents->count; i++) {
        const struct source_config *config = &documents->sources[i].config;
        if (strcmp(config->url.text, repository) == 0 &&
            strcmp(config->branch, ref + prefix_bytes) == 0)
            return &documents->sources[i];
    }
    return NULL;
}

static bool same_texts(const struct patterns *left, const struct patterns *right)
{
    bool is_same = left->count == right->count;
    for (size_t i = 0; is_same && i < left->count; i++)
        is_same = strcmp(left->items[i], right->items[i]) == 0;
    return is_same;
}

static void note_sources(const struct documents *documents)
{
    size_t read = 0;
    for (size_t i = 0; i < documents->count; i++)
        read += documents->sources[i].is_read ? 1 : 0;
    git_metrics_set(documents->metrics->sources, "read", (double)read);
    git_metrics_set(documents->metrics->sources, "unread", (double)(documents->count - read));
}

/* Has everything compared as soon as that is possible. */
static void compare_soon(struct documents *documents)
{
    documents->is_dirty = true;
    loop_timer_set(documents->timer, 0);
}

/* ---- what looks ask and tell ---- */

static const struct patterns *on_wants(void *argument, const char *repository, const char *ref,
                                       const char *commit)
{
    const struct documents *documents = CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC);
    const struct source *source = find_source(documents, repository, ref);
    return source != NULL && !source->is_skipped && strcmp(source->answered, commit) != 0
               ? &source->config.paths
               : NULL;
}

static void on_unreadable(struct documents *documents, struct source *source, const char *commit,
                          int code, const struct error *error)
{
    const char *repository = source->config.url.text;
    bool is_final = code == ERR_TOO_LARGE || code == ERR_INPUT || code == ERR_UNSUPPORTED;
    if (is_final)
        (void)snprintf(source->answered, sizeof(source->answered), "%s", commit);
    source->is_skipped = true;
    git_metrics_count(documents->metrics->source_failures, repository);
    LOG_AT(is_final ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
           "the documents of a commit cannot be read; those of the one before stay",
           LOG_TEXT("repository", repository), LOG_TEXT("branch", source->config.branch),
           LOG_TEXT("commit", commit), LOG_TEXT("error", err_name(code)),
           LOG_TEXT("detail", error->text));
}

static void on_read(void *argument, const char *repository, const char *ref, const char *commit,
                    struct work_documents *files, int code, const struct error *error)
{
    struct documents *documents = CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC);
    struct source *source = find_source(documents, repository, ref);
    if (source == NULL)
        return; /* the configuration changed meanwhile */
    if (code != 0) {
        on_unreadable(documents, source, commit, code, error);
        return;
    }
    (void)snprintf(source->answered, sizeof(source->answered), "%s", commit);
    if (files->skipped > 0)
        LOG_WARNING("files are left out, because their names are no UTF-8",
                    LOG_TEXT("repository", repository), LOG_INT("files", files->skipped));
    LOG_INFO("documents read", LOG_TEXT("repository", repository), LOG_TEXT("ref", ref),
             LOG_TEXT("commit", commit), LOG_INT("files", files->count));
    work_documents_release(&source->files);
    source->files = *files;
    *files = (struct work_documents){.count = 0};
    source->is_read = true;
    (void)snprintf(source->commit, sizeof(source->commit), "%s", commit);
    note_sources(documents);
    compare_soon(documents);
}

static void on_looked(void *argument, const char *repository)
{
    struct documents *documents = CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC);
    for (size_t i = 0; i < documents->count; i++) {
        struct source *source = &documents->sources[i];
        if (strcmp(source->config.url.text, repository) != 0)
            continue;
        source->is_skipped = false;
        source->is_looked_at = true;
        loop_timer_set(documents->timer, 0);
    }
}

const struct repository_reader documents_reader = {
    .wants = on_wants, .read = on_read, .looked = on_looked};

/* ---- publishing ---- */

static struct spec_globs globs_of(bool is_set, const struct patterns *patterns)
{
    return (struct spec_globs){
        .is_set = is_set, .count = patterns->count, .items = (const char *const *)patterns->items};
}

static struct spec_plan *make_plan(const struct documents *documents)
{
    CLEANUP(mem_free)
    struct spec_source *sources = mem_alloc_array(documents->count, sizeof(*sources));
    for (size_t i = 0; i < documents->count; i++) {
        const struct source *source = &documents->sources[i];
        const struct source_config *config = &source->config;
        sources[i] = (struct spec_source){
            .repository = config->url.text,
            .branch = config->branch,
            .commit = source->commit,
            .is_known = source->is_read,
            .strictness = SPEC_FROM_GIT,
            .allow = {.names = globs_of(config->has_names, &config->names),
                      .targets = globs_of(config->has_targets, &config->targets),
                      .labels = globs_of(config->has_labels, &config->labels)},
            .files = source->files.files,
            .file_count = source->files.count,
        };
    }
    return spec_plan_make(sources, documents->count, specs_records(documents->specs),
                          loop_wall_ms(documents->loop));
}

/* All that was on its way is answered. */
static void on_answered(struct documents *documents)
{
    int code = documents->publish_code;
    documents->publish_code = 0;
    if (documents->drained != NULL)
        TAKE(documents->drained)(documents->drained_argument);
    if (documents->is_stopped)
        return;
    if (code == 0) {
        documents->failures = 0;
        loop_timer_set(documents->timer, 0);
        return;
    }
    int64_t again_ms = DOCUMENTS_AGAIN_MS;
    for (unsigned i = 0; i < documents->failures && again_ms < DOCUMENTS_AGAIN_MOST_MS; i++)
        again_ms *= 2;
    again_ms = again_ms < DOCUMENTS_AGAIN_MOST_MS ? again_ms : DOCUMENTS_AGAIN_MOST_MS;
    again_ms += (int64_t)loop_random_below(documents->loop, (uint64_t)again_ms / 4 + 1);
    documents->failures++;
    LOG_WARNING("the broker did not take documents", LOG_TEXT("error", err_name(code)),
                LOG_INT("again_ms", again_ms));
    loop_timer_set(documents->again_timer, again_ms);
}

static void on_delivered(void *argument, int code, int32_t partition, int64_t offset)
{
    (void)partition;
    struct documents *documents = CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC);
    if (code == 0 && offset + 1 > documents->acknowledged_end)
        documents->acknowledged_end = offset + 1;
    if (code != 0 && documents->publish_code == 0)
        documents->publish_code = code;
    if (--documents->outstanding == 0)
        on_answered(documents);
}

static void log_change(const struct spec_change *change)
{
    const struct spec_record *record = change->record;
    if (record == NULL)
        LOG_INFO("a document is withdrawn", LOG_TEXT("key", change->key));
    else if (record->reason != NULL)
        LOG_WARNING("a document is not valid", LOG_TEXT("key", change->key),
                    LOG_TEXT("repository", record->invalid_place.repository),
                    LOG_TEXT("commit", record->invalid_place.commit),
                    LOG_TEXT("reason", record->reason),
                    LOG_BOOL("former_in_force", record->valid != NULL));
    else
        LOG_INFO("a document is published", LOG_TEXT("key", change->key),
                 LOG_TEXT("repository", record->valid_place.repository),
                 LOG_TEXT("commit", record->valid_place.commit));
}

/* Hands the records of a plan to the bus, in order, up to the first that it does not take. */
static void publish(struct documents *documents, const struct spec_plan *plan)
{
    for (size_t i = 0; i < plan->change_count && documents->publish_code == 0; i++) {
        const struct spec_change *change = &plan->changes[i];
        CLEANUP(spec_message_free)
        struct spec_message *message =
            spec_message_make(change->key, change->record, loop_wall_ms(documents->loop));
        int code = bus_publish(documents->bus, &message->message, on_delivered, documents);
        if (code != 0) {
            documents->publish_code = code;
            break;
        }
        documents->outstanding++;
        git_metrics_count(documents->metrics->specs,
                          change->record != NULL ? "record" : "tombstone");
        log_change(change);
    }
    if (documents->outstanding == 0 && documents->publish_code != 0)
        on_answered(documents);
}

/* ---- what documents name ---- */

void documents_visit_named(const struct documents *documents, spec_named_fn visit, void *argument)
{
    if (documents->is_on)
        specs_visit_named(documents->specs, visit, argument);
}

static void write_named(void *argument, const char *key, const char *repository, const char *branch)
{
    (void)key;
    struct buffer *text = argument;
    int code = buffer_append_format(text, "%s %s\n", repository, branch != NULL ? branch : "");
    (void)code; /* beyond the limit a change is not seen until the next start */
}

static void tell_named(struct documents *documents)
{
    struct buffer text = BUFFER_INIT(NAMED_MAX_BYTES);
    documents_visit_named(documents, write_named, &text);
    CLEANUP(mem_free) char *named = buffer_take(&text);
    if (documents->named != NULL && strcmp(named, documents->named) == 0)
        return;
    free(documents->named);
    documents->named = TAKE(named);
    documents->handler.named(documents->argument);
}

/* ---- the one step ---- */

static void note_records(const struct documents *documents)
{
    size_t valid = 0;
    size_t invalid = 0;
    specs_count(documents->specs, &valid, &invalid);
    git_metrics_set(documents->metrics->documents, "valid", (double)valid);
    git_metrics_set(documents->metrics->documents, "invalid", (double)invalid);
}

/* Returns how long sources that were not looked at yet are still waited for. */
static int64_t left_to_wait_ms(const struct documents *documents)
{
    int64_t left_ms = documents->wait_until_ms - loop_now_ms(documents->loop);
    bool is_missing = false;
    for (size_t i = 0; i < documents->count; i++)
        is_missing = is_missing || !documents->sources[i].is_looked_at;
    return is_missing && left_ms > 0 ? left_ms : 0;
}

/* Does what is to be done, if that is possible now; whatever makes it possible calls again. */
static void on_timer(void *argument)
{
    struct documents *documents = CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC);
    if (documents->is_stopped || !specs_loaded(documents->specs))
        return;
    tell_named(documents);
    note_records(documents);
    if (!documents->is_on || !documents->is_dirty || documents->outstanding > 0 ||
        specs_end(documents->specs) < documents->acknowledged_end)
        return;
    int64_t left_ms = left_to_wait_ms(documents);
    if (left_ms > 0) {
        loop_timer_set(documents->timer, left_ms);
        return;
    }
    documents->is_dirty = false;
    loop_timer_clear(documents->again_timer);
    CLEANUP(spec_plan_free) struct spec_plan *plan = make_plan(documents);
    publish(documents, plan);
}

static void on_again(void *argument)
{
    compare_soon(CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC));
}

/* ---- what was published ---- */

static void on_loaded(void *argument)
{
    struct documents *documents = CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC);
    LOG_INFO("what was published of documents is known",
             LOG_INT("documents", spec_store_count(specs_records(documents->specs))));
    documents->handler.known(documents->argument, true, NULL);
    loop_timer_set(documents->timer, 0);
}

static void on_trouble(void *argument, const char *reason)
{
    struct documents *documents = CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC);
    if (documents->is_on)
        documents->handler.known(documents->argument, false, reason);
}

static void on_advanced(void *argument, const char *key)
{
    struct documents *documents = CAST_CHECKED(struct documents, argument, DOCUMENTS_MAGIC);
    if (documents->is_stopped)
        return;
    loop_timer_set(documents->timer, 0);
    if (key != NULL && !loop_timer_is_set(documents->again_timer))
        loop_timer_set(documents->again_timer, DOCUMENTS_CORRECT_MS);
}

/* ---- the configuration ---- */

/* Fills a source; what is known of it already is taken over. */
static void make_source(struct documents *documents, const struct source_config *config,
                        struct source *source)
{
    CLEANUP(mem_free) char *ref = mem_format("%s%s", BRANCH_PREFIX, config->branch);
    struct source *former = find_source(documents, config->url.text, ref);
    if (former != NULL) {
        *source = *former;
        former->files = (struct work_documents){.count = 0};
        if (!same_texts(&former->config.paths, &config->paths))
            source->answered[0] = '\0';
    }
    source_config_copy(&source->config, config);
}

void documents_apply(struct documents *documents, const struct config *config)
{
    bool was_on = documents->is_on;
    size_t count = config_source_count(config);
    struct source *sources = mem_alloc_array(count, sizeof(*sources));
    for (size_t i = 0; i < count; i++)
        make_source(documents, config_source_at(config, i), &sources[i]);
    for (size_t i = 0; i < documents->count; i++)
        source_release(&documents->sources[i]);
    free(documents->sources);
    documents->sources = sources;
    documents->count = count;
    documents->is_on = config_has_sources(config);
    documents->wait_until_ms = loop_now_ms(documents->loop) + DOCUMENTS_WAIT_MS;
    note_sources(documents);
    if (was_on != documents->is_on)
        documents->handler.known(documents->argument, documents_known(documents),
                                 "what was published of documents is not known yet");
    if (documents->is_on)
        specs_begin(documents->specs);
    for (size_t i = 0; i < count; i++)
        if (sources[i].answered[0] == '\0')
            documents->handler.unread(documents->argument, sources[i].config.url.text);
    compare_soon(documents);
}

bool documents_known(const struct documents *documents)
{
    return !documents->is_on || specs_loaded(documents->specs);
}

/* ---- making ---- */

struct documents *documents_new(struct loop *loop, struct bus *bus, struct git_metrics *metrics,
                                const struct documents_handler *handler, void *argument)
{
    static const struct specs_handler specs_handler = {
        .loaded = on_loaded, .trouble = on_trouble, .advanced = on_advanced};
    struct documents *documents = MEM_NEW(struct documents);
    documents->magic = DOCUMENTS_MAGIC;
    documents->loop = loop;
    documents->bus = bus;
    documents->metrics = metrics;
    documents->handler = *handler;
    documents->argument = argument;
    documents->specs = specs_new(loop, bus, &specs_handler, documents);
    documents->timer = loop_timer_new(loop, on_timer, documents);
    documents->again_timer = loop_timer_new(loop, on_again, documents);
    return documents;
}

void documents_drain(struct documents *documents, void (*drained)(void *argument), void *argument)
{
    documents->is_stopped = true;
    documents->drained = drained;
    documents->drained_argument = argument;
    if (documents->outstanding == 0)
        TAKE(documents->drained)(documents->drained_argument);
}

void documents_leave_bus(struct documents *documents)
{
    documents->is_stopped = true;
    documents->drained = NULL;
    loop_timer_clear(documents->timer);
    loop_timer_clear(documents->again_timer);
    specs_leave(documents->specs);
}

void documents_free(struct documents *documents)
{
    if (documents == NULL)
        return;
    documents_leave_bus(documents);
    for (size_t i = 0; i < documents->count; i++)
        source_release(&documents->sources[i]);
    free(documents->sources);
    free(documents->named);
    specs_free(documents->specs);
    loop_timer_free(documents->timer);
    loop_timer_free(documents->again_timer);
    documents->magic = 0;
    free(documents);
}
