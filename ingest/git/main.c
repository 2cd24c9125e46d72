/*
 * nodag-ingest-git: moves of branches and tags become records of the topic git.pushes, and the documents that
 * sources hold records of the topic specs.
 *
 * Design: this file is the daemon around the watcher and the documents: the start, the reading of the
 * configuration and the trigger's secrets, also again and again, and the drain. When and how repositories are
 * looked at is in repository.c and repository_look.c; the options are in options.c. The executable is also
 * what its own children run: the worker (work.h) and git's credential helper (base/git_credential.h).
 *
 *      configuration ─▶ watcher ─▶ repositories ─▶ git.pushes
 *            ▲             ▲            │ files
 *            │ named       │ wake       ▼
 *            └─────────────┼──────── documents ─▶ specs
 *      trigger, webhooks ──┘
 *
 * Invariants: without a valid configuration the daemon does not start; later an invalid one changes nothing
 * but the log and a metric, and is read again every CONFIG_RETRY_MS until it is valid; the daemon is ready
 * while the broker can be reached and what was published is known.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/daemon.h"
#include "base/file.h"
#include "base/git_credential.h"
#include "base/git_mirror.h"
#include "base/log.h"
#include "base/memory.h"
#include "ingest/git/config.h"
#include "ingest/git/documents.h"
#include "ingest/git/options.h"
#include "ingest/git/trigger.h"
#include "ingest/git/watcher.h"
#include "ingest/git/webhooks.h"
#include "ingest/git/work.h"
#include "topics/bus_daemon.h"

/* How soon an invalid configuration is read again: a file that it names may come later. */
#define CONFIG_RETRY_MS 10000

/* How long the bus is waited for after the last record of a drain: nothing should be left in it by then. */
#define DRAIN_FLUSH_MS 2000

/* What the ingest passed through `void *` starts with. */
#define INGEST_MAGIC 0x16e46u

/* The daemon's own state. */
struct ingest {
    unsigned magic;
    struct daemon *daemon;                  /* borrowed */
    const struct ingest_settings *settings; /* borrowed for the process' life */
    char state[PATH_MAX];                   /* absolute */
    char program[PATH_MAX];                 /* this executable */
    int lock_fd;                            /* of the state folder; owned; -1: none */
    struct bus_daemon kafka;                /* its bus is owned */
    struct children *children;              /* owned: places of repositories that work */
    struct children *suspects;              /* owned: places of repositories that fail */
    struct watcher *watcher;                /* owned */
    struct documents *documents;            /* owned */
    struct config *config;          /* owned: the file; in force is what documents add, too */
    struct trigger *trigger;        /* owned; NULL: not asked for */
    struct webhooks *webhooks;      /* owned; NULL: not asked for */
    struct file_watch *watch;       /* owned: configuration and secrets */
    struct loop_timer *retry_timer; /* owned: set while the configuration is invalid */
};

/* ---- configuration ---- */

static int read_config(const struct ingest_settings *settings, struct config **ret_config,
                       struct error *error)
{
    const struct config_defaults defaults = {.interval_ms = settings->interval_ms};
    return config_load(settings->repositories_file, &defaults, ret_config, error);
}

static int read_secrets(struct ingest *ingest, struct error *error)
{
    const struct option_list *files = &ingest->settings->trigger_secrets;
    return ingest->trigger == NULL
               ? 0
               : trigger_read_secrets(ingest->trigger, files->items, files->count, error);
}

/* Adds a repository that a document names. */
static void add_named(void *argument, const char *key, const char *repository, const char *branch)
{
    struct error error = {.text = ""};
    int code = config_add_named(argument, repository, branch, &error);
    if (code != 0)
        LOG_WARNING("a repository that a document names is not watched", LOG_TEXT("document", key),
                    LOG_TEXT("repository", repository), LOG_TEXT("error", err_name(code)),
                    LOG_TEXT("detail", error.text));
}

/* Watches what the file and the documents name. */
static void watch_all(struct ingest *ingest)
{
    CLEANUP(config_free) struct config *config = config_copy(ingest->config);
    documents_visit_named(ingest->documents, add_named, config);
    watcher_apply(ingest->watcher, config, documents_known(ingest->documents));
}

/* Puts a configuration (taken) into force. */
static void put_into_force(struct ingest *ingest, struct config *config)
{
    config_free(ingest->config);
    ingest->config = config;
    watch_all(ingest);
    documents_apply(ingest->documents, config);
    LOG_INFO("configuration read", LOG_INT("repositories", config_count(config)),
             LOG_INT("sources", config_source_count(config)));
}

/* Reads everything again; what is invalid leaves the former in force. */
static void ingest_reload(void *argument)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    CLEANUP(config_free) struct config *config = NULL;
    struct error error;
    int code = read_config(ingest->settings, &config, &error);
    if (code == 0)
        code = read_secrets(ingest, &error);
    git_metrics_count(watcher_metrics(ingest->watcher)->reloads, code == 0 ? "valid" : "invalid");
    if (code != 0) {
        LOG_ERROR("the configuration is invalid; the former one stays in force",
                  LOG_TEXT("error", err_name(code)), LOG_TEXT("detail", error.text),
                  LOG_INT("retry_ms", CONFIG_RETRY_MS));
        loop_timer_set(ingest->retry_timer, CONFIG_RETRY_MS);
        return;
    }
    loop_timer_clear(ingest->retry_timer);
    put_into_force(ingest, TAKE(config));
}

static void watch_files(struct ingest *ingest)
{
    struct loop *loop = daemon_loop(ingest->daemon);
    ingest->watch = file_watch_new(loop, ingest_reload, ingest);
    ingest->retry_timer = loop_timer_new(loop, ingest_reload, ingest);
    file_watch_add(ingest->watch, ingest->settings->repositories_file);
    for (size_t i = 0; i < ingest->settings->trigger_secrets.count; i++)
        file_watch_add(ingest->watch, ingest->settings->trigger_secrets.items[i]);
}

/* ---- start ---- */

static void on_known(void *argument, bool is_known, const char *reason)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    daemon_set_ready(ingest->daemon, "published", is_known, reason);
}

static void on_documents_known(void *argument, bool is_known, const char *reason)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    daemon_set_ready(ingest->daemon, "documents", is_known, reason);
}

static void on_named(void *argument)
{
    watch_all(CAST_CHECKED(struct ingest, argument, INGEST_MAGIC));
}

static void on_unread(void *argument, const char *repository)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    (void)watcher_wake_url(ingest->watcher, repository, "timer");
}

static int check_settings(const struct ingest_settings *settings, struct error *error)
{
    if ((settings->listen != NULL) != (settings->trigger_secrets.count > 0))
        return error_set(
            error, ERR_USAGE,
            "--listen and --trigger-secret belong together: a trigger that anybody can "
            "call is none");
    return 0;
}

/* The folder and the executable as absolute paths: children have another working directory. */
static int find_places(struct ingest *ingest, struct error *error)
{
    const char *state = ingest->settings->state;
    int code = git_state_lock(state, &ingest->lock_fd, error);
    if (code != 0)
        return error_prefix(error, code, "--state");
    ssize_t bytes = readlink("/proc/self/exe", ingest->program, sizeof(ingest->program) - 1);
    if (bytes <= 0 || realpath(state, ingest->state) == NULL)
        return error_set(error, ERR_IO, "--state %s: its absolute path is not known: %s", state,
                         strerror(errno));
    ingest->program[bytes] = '\0';
    return 0;
}

static int start_trigger(struct ingest *ingest, struct error *error)
{
    if (ingest->settings->listen == NULL)
        return 0;
    int code = trigger_new(daemon_loop(ingest->daemon), ingest->watcher, ingest->settings->listen,
                           &ingest->trigger, error);
    if (code != 0)
        return error_prefix(error, code, "--listen");
    code = read_secrets(ingest, error);
    if (code != 0)
        return error_prefix(error, code, "--trigger-secret");
    char port[sizeof("65535")];
    (void)snprintf(port, sizeof(port), "%u", (unsigned)trigger_port(ingest->trigger));
    daemon_announce(ingest->daemon, "port", port);
    return 0;
}

static int start_bus(struct ingest *ingest, struct error *error)
{
    daemon_set_ready(ingest->daemon, "published", false, "what was published is not known yet");
    return bus_daemon_open(&ingest->kafka, ingest->daemon, &ingest->settings->kafka,
                           "nodag-ingest-git", error);
}

static void on_collect(void *argument)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    struct git_metrics *metrics = watcher_metrics(ingest->watcher);
    metric_set(metrics->children_running,
               (double)(children_running(ingest->children) + children_running(ingest->suspects)));
    metric_set(metrics->children_waiting,
               (double)(children_waiting(ingest->children) + children_waiting(ingest->suspects)));
}

static void start_watcher(struct ingest *ingest)
{
    static const struct watcher_handler handler = {.known = on_known};
    static const struct documents_handler documents_handler = {
        .known = on_documents_known, .named = on_named, .unread = on_unread};
    const struct ingest_settings *settings = ingest->settings;
    size_t places = (size_t)settings->children_max;
    ingest->children = children_new(daemon_loop(ingest->daemon), places);
    ingest->suspects = children_new(daemon_loop(ingest->daemon), places / 4 > 0 ? places / 4 : 1);
    const struct watcher_settings watcher = {
        .repository =
            {
                .state = ingest->state,
                .program = ingest->program,
                .list_deadline_ms = settings->list_deadline_ms,
                .fetch_deadline_ms = settings->fetch_deadline_ms,
                .work_deadline_ms = settings->work_deadline_ms,
                .wake_interval_ms = settings->wake_interval_ms,
                .backoff_max_ms = settings->backoff_max_ms,
                .mirror_max_bytes = settings->mirror_max_bytes,
            },
        .children = ingest->children,
        .suspects = ingest->suspects,
    };
    ingest->watcher = watcher_new(daemon_loop(ingest->daemon), ingest->kafka.bus,
                                  daemon_metrics(ingest->daemon), &watcher, &handler, ingest);
    ingest->documents = documents_new(daemon_loop(ingest->daemon), ingest->kafka.bus,
                                      watcher_metrics(ingest->watcher), &documents_handler, ingest);
    watcher_set_reader(ingest->watcher, &documents_reader, ingest->documents);
    metrics_on_collect(daemon_metrics(ingest->daemon), on_collect, ingest);
}

/* Whatever a person can have got wrong is looked at before the broker is. */
static int ingest_start(struct daemon *daemon, void *settings_pointer, void **ret_self,
                        struct error *error)
{
    CLEANUP(config_free) struct config *config = NULL;
    struct ingest *ingest = MEM_NEW(struct ingest);
    ingest->magic = INGEST_MAGIC;
    ingest->daemon = daemon;
    ingest->settings = settings_pointer;
    ingest->lock_fd = -1;
    ingest->kafka = (struct bus_daemon){
        .flush_ms = DRAIN_FLUSH_MS,
        .unflushed = "records were left unacknowledged; the next start publishes them again",
        .while_away = "the broker cannot be reached; what moves meanwhile is published when it can",
    };
    *ret_self = ingest;
    int code = check_settings(ingest->settings, error);
    if (code == 0)
        code = read_config(ingest->settings, &config, error);
    if (code == 0)
        code = find_places(ingest, error);
    if (code == 0)
        code = start_bus(ingest, error);
    if (code != 0)
        return code;
    start_watcher(ingest);
    code = start_trigger(ingest, error);
    if (code != 0)
        return code;
    watch_files(ingest);
    put_into_force(ingest, TAKE(config));
    if (!ingest->settings->ignores_webhooks)
        ingest->webhooks = webhooks_new(daemon_loop(daemon), ingest->kafka.bus, ingest->watcher);
    return 0;
}

/* ---- drain, stop ---- */

static void on_watcher_drained(void *argument)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    documents_drain(ingest->documents, bus_daemon_finish, &ingest->kafka);
}

static void ingest_drain(void *self)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, self, INGEST_MAGIC);
    if (ingest->trigger != NULL)
        trigger_quiesce(ingest->trigger);
    watcher_drain(ingest->watcher, on_watcher_drained, ingest);
}

static void ingest_stop(void *self)
{
    struct ingest *ingest = self;
    if (ingest == NULL)
        return;
    trigger_free(ingest->trigger);
    webhooks_free(ingest->webhooks);
    file_watch_free(ingest->watch);
    loop_timer_free(ingest->retry_timer);
    if (ingest->watcher != NULL)
        watcher_leave_bus(ingest->watcher);
    if (ingest->documents != NULL)
        documents_leave_bus(ingest->documents);
    children_free(ingest->children);
    children_free(ingest->suspects);
    bus_kafka_free(ingest->kafka.bus); /* tells both of what is left in its queue */
    watcher_free(ingest->watcher);
    documents_free(ingest->documents);
    config_free(ingest->config);
    if (ingest->lock_fd >= 0)
        (void)close(ingest->lock_fd);
    ingest->magic = 0;
    free(ingest);
}

int main(int argc, char **argv)
{
    if (work_is_asked(argc, argv))
        return work_main();
    if (git_credential_is_asked(argc, argv))
        return git_credential_main(argc, argv);
    const struct daemon_spec spec = {
        .program = ingest_program,
        .settings_bytes = sizeof(struct ingest_settings),
        .start = ingest_start,
        .reload = ingest_reload,
        .drain = ingest_drain,
        .stop = ingest_stop,
    };
    return daemon_main(&spec, argc, argv);
}
