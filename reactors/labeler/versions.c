/*
 * Versions of models from the registry: see versions.h.
 */
#include "reactors/labeler/versions.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "base/log.h"
#include "base/memory.h"
#include "reactors/labeler/version_table.h"

/* Bytes of a model that are digested in one turn of the loop: some milliseconds, as they are digested
 * twice. */
#define LOADING_PIECE_BYTES ((size_t)1 << 20)

/* Guard against structs of other types. */
#define VERSIONS_MAGIC 0x76657273u
#define WANTED_MAGIC 0x76657277u

/* States of a wanted version: name, text in metrics. */
#define VERSION_STATES(X)                                                                          \
    X(VERSION_UNKNOWN, "unknown")     /* not on the topic */                                       \
    X(VERSION_COLLECTED, "collected") /* its artefacts are gone, or going */                       \
    X(VERSION_QUEUED, "queued")       /* waits for its turn */                                     \
    X(VERSION_FETCHING, "fetching")   /* comes from the store */                                   \
    X(VERSION_LOADING, "loading")     /* is digested and checked */                                \
    X(VERSION_LOADED, "loaded")       /* can be used */                                            \
    X(VERSION_FAILED, "failed")       /* waits to be tried again */

/* See VERSION_STATES. */
enum version_state {
#define VERSION_STATE_ENUM(name, text) name, /* see VERSION_STATES */
    VERSION_STATES(VERSION_STATE_ENUM)
#undef VERSION_STATE_ENUM
};

static const char *const state_names[] = {
#define VERSION_STATE_TEXT(name, text) [name] = text,
    VERSION_STATES(VERSION_STATE_TEXT)
#undef VERSION_STATE_TEXT
};

/* One version that documents name. */
struct wanted {
    unsigned magic;                     /* WANTED_MAGIC */
    struct versions *versions;          /* borrowed */
    char *name;                         /* owned */
    enum version_state state;           /* changed by set_state only */
    char target[DIGEST_TEXT_BYTES];     /* content that is queued, fetched or loaded */
    char loaded[DIGEST_TEXT_BYTES];     /* content of `classifier` */
    struct classifier *classifier;      /* owned; NULL: none yet */
    struct artefact_call *call;         /* while FETCHING; borrowed */
    struct classifier_loading *loading; /* while LOADING; owned */
    bool from_cache;                    /* LOADING a file that was there already */
    struct loop_timer *timer;           /* owned: next piece, next try */
    unsigned attempts;                  /* failures since it was loaded or changed */
    struct error why;                   /* of the last failure; code 0: none */
    bool is_needed;                     /* while versions_want sorts out */
    UT_hash_handle hh;                  /* by name */
};

struct versions {
    unsigned magic;                    /* VERSIONS_MAGIC */
    struct loop *loop;                 /* borrowed */
    struct http_client *http;          /* borrowed; may be NULL */
    struct versions_settings settings; /* texts borrowed */
    struct artefact_store *store;      /* owned; NULL until it is needed */
    loop_fn changed;                   /* see versions_new */
    void *argument;                    /* of changed */
    struct version_table *table;       /* owned: what the topic says */
    struct wanted *wanted;             /* hash */
    const struct wanted *active;       /* being fetched or loaded, or NULL */
    struct loop_timer *timer;          /* owned: starts the next */
    bool is_read;                      /* the topic was read to its end */
    struct metrics_family *states;     /* NULL without metrics */
    struct metrics_family *fetches;    /* NULL without metrics */
    struct metric *fetched_bytes;      /* NULL without metrics */
};

static void run_soon(struct versions *versions)
{
    loop_timer_set(versions->timer, 0);
}

/* ---- states ---- */

static void count_state(const struct versions *versions, enum version_state state, double change)
{
    if (versions->states != NULL)
        metric_add(metrics_series(versions->states, &state_names[state]), change);
}

static void count_fetch(const struct versions *versions, const char *result)
{
    if (versions->fetches != NULL)
        metric_add(metrics_series(versions->fetches, &result), 1);
}

/* The only writer of wanted->state; keeps `active` and the gauges with it. */
static void set_state(struct wanted *wanted, enum version_state state)
{
    struct versions *versions = wanted->versions;
    bool is_active = state == VERSION_FETCHING || state == VERSION_LOADING;
    assert(!is_active || versions->active == NULL || versions->active == wanted);
    count_state(versions, wanted->state, -1);
    count_state(versions, state, 1);
    wanted->state = state;
    if (is_active)
        versions->active = wanted;
    else if (versions->active == wanted)
        versions->active = NULL;
    if (versions->active == NULL)
        run_soon(versions);
}

/* Stops what is under way for it. */
static void stop_work(struct wanted *wanted)
{
    loop_timer_clear(wanted->timer);
    if (wanted->call != NULL)
        artefact_cancel(wanted->versions->store, TAKE(wanted->call));
    classifier_loading_free(TAKE(wanted->loading));
}

static int64_t backoff_ms(const struct wanted *wanted)
{
    int64_t most_ms =
        err_is_retriable(wanted->why.code) ? VERSIONS_BACKOFF_MOST_MS : VERSIONS_BACKOFF_MENDED_MS;
    int64_t wait_ms = VERSIONS_BACKOFF_LEAST_MS;
    for (unsigned i = 1; i < wanted->attempts && wait_ms < most_ms; i++)
        wait_ms *= 2;
    if (wait_ms > most_ms)
        wait_ms = most_ms;
    return wait_ms / 2 +
           (int64_t)loop_random_below(wanted->versions->loop, (uint64_t)(wait_ms / 2 + 1));
}

/* It cannot be used: says so and sets the time of the next try. `what` goes before the error's text. */
static void fail(struct wanted *wanted, const char *what, const struct error *error)
{
    /* An artefact that is not there is a store that is away, or one that is mended. */
    bool is_away = err_is_retriable(error->code) || error->code == ERR_NOT_FOUND;
    stop_work(wanted);
    (void)error_set(&wanted->why, is_away ? ERR_UNAVAILABLE : error->code, "%s: %.300s", what,
                    error->text);
    wanted->attempts++;
    int64_t wait_ms = backoff_ms(wanted);
    count_fetch(wanted->versions, "failed");
    LOG_WARNING("a version of a model cannot be used; it is tried again",
                LOG_TEXT("version", wanted->name), LOG_TEXT("reason", wanted->why.text),
                LOG_INT("again_in_ms", wait_ms));
    set_state(wanted, VERSION_FAILED);
    loop_timer_set(wanted->timer, wait_ms);
}

/* ---- loading ---- */

static void fetch(struct wanted *wanted);

/* The file cannot be used. One that was there already may have gone bad there: it is fetched again. */
static void load_failed(struct wanted *wanted, const struct error *error)
{
    struct versions *versions = wanted->versions;
    stop_work(wanted);
    model_cache_drop(&versions->settings.cache, wanted->target);
    if (!wanted->from_cache) {
        fail(wanted, "its artefact cannot be used", error);
        return;
    }
    LOG_WARNING("a model in the cache is not what it was; it is fetched again",
                LOG_TEXT("version", wanted->name), LOG_TEXT("reason", error->text));
    fetch(wanted);
}

static void load_done(struct wanted *wanted, struct classifier *classifier)
{
    struct versions *versions = wanted->versions;
    stop_work(wanted);
    classifier_free(wanted->classifier);
    wanted->classifier = classifier;
    (void)snprintf(wanted->loaded, sizeof(wanted->loaded), "%s", wanted->target);
    wanted->attempts = 0;
    wanted->why = (struct error){.code = 0};
    model_cache_touch(&versions->settings.cache, wanted->target, loop_wall_ms(versions->loop));
    LOG_INFO("a version of a model is loaded", LOG_TEXT("version", wanted->name),
             LOG_TEXT("sha256", wanted->loaded), LOG_BOOL("from_cache", wanted->from_cache),
             LOG_INT("labels", classifier_label_count(classifier)));
    set_state(wanted, VERSION_LOADED);
    versions->changed(versions->argument); /* last: it may free this version */
}

static void load_piece(struct wanted *wanted)
{
    struct error error = {0};
    struct classifier *classifier = NULL;
    int code = classifier_loading_step(wanted->loading, LOADING_PIECE_BYTES, &classifier, &error);
    if (code == 0 && classifier == NULL) {
        loop_timer_set(wanted->timer, 0);
        return;
    }
    if (code == 0 && strcmp(classifier_sha256(classifier), wanted->target) != 0) {
        (void)error_set(&error, ERR_CORRUPT, "its SHA-256 is %s", classifier_sha256(classifier));
        classifier_free(TAKE(classifier));
    }
    if (classifier != NULL)
        load_done(wanted, classifier);
    else
        load_failed(wanted, &error);
}

static void load(struct wanted *wanted, bool from_cache)
{
    struct error error = {0};
    CLEANUP(mem_free)
    char *path = model_cache_path(&wanted->versions->settings.cache, wanted->target);
    wanted->from_cache = from_cache;
    if (from_cache)
        count_fetch(wanted->versions, "cached");
    set_state(wanted, VERSION_LOADING);
    if (classifier_loading_new(path, &wanted->loading, &error) != 0)
        load_failed(wanted, &error);
    else
        loop_timer_set(wanted->timer, 0);
}

/* ---- fetching ---- */

static void on_fetched(void *argument, int code, const struct artefact *artefact,
                       const struct error *error)
{
    struct wanted *wanted = CAST_CHECKED(struct wanted, argument, WANTED_MAGIC);
    struct versions *versions = wanted->versions;
    wanted->call = NULL;
    if (code != 0) {
        fail(wanted, "its artefact cannot be fetched", error);
        return;
    }
    count_fetch(versions, "fetched");
    if (versions->fetched_bytes != NULL)
        metric_add(versions->fetched_bytes, (double)artefact->size_bytes);
    load(wanted, false);
}

static int open_store(struct versions *versions, struct error *error)
{
    if (versions->store != NULL)
        return 0;
    return artefact_store_new(versions->loop, versions->http, &versions->settings.artefacts,
                              &versions->store, error);
}

/* Makes room in the folder for a version's file; what other versions use stays. */
static int make_room(const struct versions *versions, int64_t size_bytes, struct error *error)
{
    CLEANUP(mem_free)
    const char **kept = mem_alloc_array(HASH_COUNT(versions->wanted) * 2, sizeof(*kept));
    size_t count = 0;
    for (const struct wanted *other = versions->wanted; other != NULL; other = other->hh.next) {
        if (other->loaded[0] != '\0')
            kept[count++] = other->loaded;
        if (other->target[0] != '\0')
            kept[count++] = other->target;
    }
    return model_cache_make_room(&versions->settings.cache, size_bytes, kept, count,
                                 loop_wall_ms(versions->loop), error);
}

static void fetch(struct wanted *wanted)
{
    struct versions *versions = wanted->versions;
    const struct version_row *row = version_table_find(versions->table, wanted->name);
    struct error error = {0};
    int code = open_store(versions, &error);
    if (code == 0)
        code = make_room(versions, row->size_bytes, &error);
    if (code != 0) {
        fail(wanted, "its artefact cannot be fetched", &error);
        return;
    }
    CLEANUP(mem_free) char *path = model_cache_path(&versions->settings.cache, wanted->target);
    LOG_INFO("a version of a model is being fetched", LOG_TEXT("version", wanted->name),
             LOG_TEXT("sha256", wanted->target), LOG_INT("bytes", row->size_bytes));
    set_state(wanted, VERSION_FETCHING);
    wanted->call = artefact_get(versions->store, wanted->target, path, on_fetched, wanted);
}

/* Starts the version that waits longest, if none is under way. */
static void on_run(void *argument)
{
    struct versions *versions = CAST_CHECKED(struct versions, argument, VERSIONS_MAGIC);
    struct wanted *wanted = versions->wanted;
    if (versions->active != NULL)
        return;
    while (wanted != NULL && wanted->state != VERSION_QUEUED)
        wanted = wanted->hh.next;
    if (wanted == NULL)
        return;
    const struct version_row *row = version_table_find(versions->table, wanted->name);
    if (model_cache_size(&versions->settings.cache, wanted->target) == row->size_bytes)
        load(wanted, true);
    else
        fetch(wanted);
}

static void on_wanted_timer(void *argument)
{
    struct wanted *wanted = CAST_CHECKED(struct wanted, argument, WANTED_MAGIC);
    if (wanted->state == VERSION_LOADING)
        load_piece(wanted);
    else
        set_state(wanted, VERSION_QUEUED);
}

/* ---- what is known, what is wanted ---- */

/* Says why a version that is named `name` (`wanted` NULL: it is not looked for) cannot be had now. */
static int why_not(const char *name, const struct wanted *wanted, struct error *error)
{
    if (wanted == NULL || wanted->state == VERSION_UNKNOWN)
        return error_set(error, ERR_UNAVAILABLE, "version %s is not on the topic models", name);
    if (wanted->state == VERSION_COLLECTED)
        return error_set(error, ERR_NOT_FOUND,
                         "version %s is collected: its artefacts were removed; name another one",
                         name);
    if (wanted->state == VERSION_LOADED)
        return error_set(error, ERR_BUG, "version %s is loaded", name);
    if (wanted->why.code != 0)
        return error_set(error, wanted->why.code, "version %s: %s", name, wanted->why.text);
    return error_set(error, ERR_UNAVAILABLE, "version %s is being fetched", name);
}

/* Says once that a version which a document names is not to be had. */
static void report(const struct wanted *wanted)
{
    struct error why = {0};
    if (!wanted->versions->is_read ||
        (wanted->state != VERSION_UNKNOWN && wanted->state != VERSION_COLLECTED))
        return;
    (void)why_not(wanted->name, wanted, &why);
    LOG_WARNING("a document names a version of a model that is not to be had",
                LOG_TEXT("version", wanted->name), LOG_TEXT("reason", why.text));
}

/* Compares a wanted version with what is known of it now. */
static void look(struct wanted *wanted)
{
    const struct version_row *row = version_table_find(wanted->versions->table, wanted->name);
    bool is_under_way = wanted->state == VERSION_FETCHING || wanted->state == VERSION_LOADING ||
                        wanted->state == VERSION_QUEUED || wanted->state == VERSION_FAILED;
    enum version_state before = wanted->state;
    if (row == NULL) {
        stop_work(wanted);
        set_state(wanted, VERSION_UNKNOWN);
    } else if (row->collected) {
        stop_work(wanted);
        set_state(wanted, VERSION_COLLECTED);
    } else if (strcmp(row->sha256, wanted->loaded) == 0) {
        stop_work(wanted);
        set_state(wanted, VERSION_LOADED);
    } else if (!is_under_way || strcmp(row->sha256, wanted->target) != 0) {
        stop_work(wanted);
        (void)snprintf(wanted->target, sizeof(wanted->target), "%s", row->sha256);
        wanted->attempts = 0;
        wanted->why = (struct error){.code = 0};
        set_state(wanted, VERSION_QUEUED);
    }
    if (wanted->state != before)
        report(wanted);
}

static struct wanted *find_wanted(const struct versions *versions, const char *name)
{
    struct wanted *wanted = NULL;
    HASH_FIND_STR(versions->wanted, name, wanted);
    return wanted;
}

static void wanted_free(struct wanted *wanted)
{
    stop_work(wanted);
    set_state(wanted, VERSION_UNKNOWN);
    count_state(wanted->versions, VERSION_UNKNOWN, -1);
    HASH_DEL(wanted->versions->wanted, wanted);
    loop_timer_free(wanted->timer);
    classifier_free(wanted->classifier);
    mem_free(wanted->name);
    wanted->magic = 0;
    mem_free(wanted);
}

static struct wanted *wanted_new(struct versions *versions, const char *name)
{
    struct wanted *wanted = MEM_NEW(struct wanted);
    *wanted = (struct wanted){.magic = WANTED_MAGIC,
                              .versions = versions,
                              .name = mem_copy_text(name),
                              .state = VERSION_UNKNOWN};
    wanted->timer = loop_timer_new(versions->loop, on_wanted_timer, wanted);
    count_state(versions, VERSION_UNKNOWN, 1);
    HASH_ADD_KEYPTR(hh, versions->wanted, wanted->name, strlen(wanted->name), wanted);
    return wanted;
}

void versions_want(struct versions *versions, const char *const *names, size_t count)
{
    struct wanted *wanted = NULL;
    struct wanted *rest = NULL;
    for (wanted = versions->wanted; wanted != NULL; wanted = wanted->hh.next)
        wanted->is_needed = false;
    for (size_t i = 0; i < count; i++) {
        wanted = find_wanted(versions, names[i]);
        if (wanted == NULL) {
            wanted = wanted_new(versions, names[i]);
            look(wanted);
            if (wanted->state == VERSION_UNKNOWN)
                report(wanted);
        }
        wanted->is_needed = true;
    }
    HASH_ITER(hh, versions->wanted, wanted, rest)
    {
        if (!wanted->is_needed)
            wanted_free(wanted);
    }
}

void versions_are_read(struct versions *versions)
{
    if (versions->is_read)
        return;
    versions->is_read = true;
    for (const struct wanted *wanted = versions->wanted; wanted != NULL; wanted = wanted->hh.next)
        report(wanted);
}

void versions_retry(struct versions *versions)
{
    for (struct wanted *wanted = versions->wanted; wanted != NULL; wanted = wanted->hh.next)
        if (wanted->state == VERSION_FAILED) {
            loop_timer_clear(wanted->timer);
            set_state(wanted, VERSION_QUEUED);
        }
}

const struct classifier *versions_find(const struct versions *versions, const char *name)
{
    const struct wanted *wanted = find_wanted(versions, name);
    return wanted != NULL ? wanted->classifier : NULL;
}

int versions_why_not(const struct versions *versions, const char *name, struct error *error)
{
    const struct wanted *wanted = find_wanted(versions, name);
    return why_not(name, wanted, error);
}

/* ---- the topic ---- */

void versions_apply(struct versions *versions, const struct bus_record *record)
{
    const struct version_row *row = NULL;
    struct error error = {0};
    if (version_table_apply(versions->table, record, &row, &error) != 0) {
        LOG_WARNING("a record of the topic models cannot be used; it is passed over",
                    LOG_BYTES("key", record->key, record->key_bytes),
                    LOG_INT("offset", record->offset), LOG_TEXT("reason", error.text));
        return;
    }
    struct wanted *wanted = find_wanted(versions, row->name);
    if (wanted != NULL)
        look(wanted);
}

/* ---- the whole ---- */

static void declare_metrics(struct versions *versions, struct metrics *metrics)
{
    static const char *const by_state[] = {"state", NULL};
    static const char *const by_result[] = {"result", NULL};
    if (metrics == NULL)
        return;
    versions->states =
        metrics_declare(metrics, METRICS_GAUGE, "nodag_labeler_versions",
                        "Versions of models that Labeler documents name, by state.", by_state);
    versions->fetches = metrics_declare(
        metrics, METRICS_COUNTER, "nodag_labeler_model_fetches_total",
        "Models looked for: fetched from the artefact store, found in the cache, failed.",
        by_result);
    versions->fetched_bytes = metrics_single(
        metrics_declare(metrics, METRICS_COUNTER, "nodag_labeler_model_fetched_bytes_total",
                        "Bytes of models fetched from the artefact store.", NULL));
}

int versions_new(struct loop *loop, struct http_client *http, struct metrics *metrics,
                 const struct versions_settings *settings, loop_fn changed, void *argument,
                 struct versions **ret_versions, struct error *error)
{
    CLEANUP(versions_free) struct versions *versions = MEM_NEW(struct versions);
    *versions = (struct versions){.magic = VERSIONS_MAGIC,
                                  .loop = loop,
                                  .http = http,
                                  .settings = *settings,
                                  .changed = changed,
                                  .argument = argument};
    versions->table = version_table_new();
    versions->timer = loop_timer_new(loop, on_run, versions);
    bool is_folder = strncmp(settings->artefacts.url, "file:///", strlen("file:///")) == 0;
    int code = is_folder ? 0 : open_store(versions, error);
    if (code != 0)
        return code;
    declare_metrics(versions, metrics);
    *ret_versions = TAKE(versions);
    return 0;
}

void versions_free(struct versions *versions)
{
    if (versions == NULL)
        return;
    struct wanted *wanted = NULL;
    struct wanted *rest = NULL;
    HASH_ITER(hh, versions->wanted, wanted, rest)
    wanted_free(wanted);
    version_table_free(versions->table);
    artefact_store_free(versions->store);
    loop_timer_free(versions->timer);
    versions->magic = 0;
    mem_free(versions);
}
