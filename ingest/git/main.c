/*
 * nodag-ingest-git: moves of branches and tags become records of the topic git.pushes.
 *
 * Design: this file is the daemon around the watcher: the table of options, the start, the reading and re-
 * reading of the configuration
 * and the trigger's secrets, the drain. When and how repositories are looked at is in repository.c and
 * repository_look.c. The executable is
 * also what its own children run: the worker (work.h) and git's credential helper (base/git_credential.h).
 *
 *      configuration ─▶ watcher ─▶ repositories ─▶ bus (Kafka)
 *                          ▲
 *      trigger, webhooks ──┘  wake
 *
 * Invariants: without a valid configuration the daemon does not start; later an invalid one changes nothing
 * but the log and
 * a metric, and is read again every CONFIG_RETRY_MS until it is valid; the daemon is ready while the broker
 * can be reached and what was
 * published is known.
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
#include "base/option.h"
#include "ingest/git/config.h"
#include "ingest/git/trigger.h"
#include "ingest/git/watcher.h"
#include "ingest/git/webhooks.h"
#include "ingest/git/work.h"
#include "topics/bus_kafka.h"

/* How soon an invalid configuration is read again: a file that it names may come later. */
#define CONFIG_RETRY_MS 10000

/* How long the bus is waited for after the last record of a drain: nothing should be left in it by then. */
#define DRAIN_FLUSH_MS 2000

/* What the ingest passed through `void *` starts with. */
#define INGEST_MAGIC 0x16e46u

/* The settings, as the options below fill them. */
struct ingest_settings {
    struct daemon_settings daemon;
    struct bus_kafka_settings kafka;
    const char *repositories_file;
    const char *state;
    const char *listen;
    struct option_list trigger_secrets;
    bool ignores_webhooks;
    int64_t interval_ms;
    int64_t wake_interval_ms;
    int64_t backoff_max_ms;
    int64_t list_deadline_ms;
    int64_t fetch_deadline_ms;
    int64_t work_deadline_ms;
    int64_t mirror_max_bytes;
    int64_t children_max;
};

/* The daemon's own state. */
struct ingest {
    unsigned magic;
    struct daemon *daemon;                  /* borrowed */
    const struct ingest_settings *settings; /* borrowed for the process' life */
    char state[PATH_MAX];                   /* absolute */
    char program[PATH_MAX];                 /* this executable */
    int lock_fd;                            /* of the state folder; owned; -1: none */
    struct bus *bus;                        /* owned */
    struct children *children;              /* owned: places of repositories that work */
    struct children *suspects;              /* owned: places of repositories that fail */
    struct watcher *watcher;                /* owned */
    struct trigger *trigger;                /* owned; NULL: not asked for */
    struct webhooks *webhooks;              /* owned; NULL: not asked for */
    struct file_watch *watch;               /* owned: configuration and secrets */
    struct loop_timer *retry_timer;         /* owned: set while the configuration is invalid */
};

/* Offsets into the settings, short enough to be read in the table. */
#define AT(member) offsetof(struct ingest_settings, member)

/* clang-format off: a row is an option */
static const struct option_row ingest_rows[] = {
    {.name = "repositories",
     .letter = 'r',
     .kind = OPTION_FILE,
     .offset = AT(repositories_file),
     .required = true,
     .group = "Repositories",
     .help = "YAML file that lists the repositories with their branches, tags and credentials."},
    {.name = "state",
     .letter = 's',
     .kind = OPTION_FILE,
     .offset = AT(state),
     .required = true,
     .value_name = "FOLDER",
     .help = "Folder of the local mirrors, for this process alone. It may be deleted while the "
             "daemon is down."},
    {.name = "interval",
     .kind = OPTION_DURATION,
     .offset = AT(interval_ms),
     .default_value = "60s",
     .least = CONFIG_INTERVAL_LEAST_MS,
     .most = CONFIG_INTERVAL_MOST_MS,
     .help =
         "Time between two looks at a repository that names none itself, give or take a tenth."},
    {.name = "wake-interval",
     .kind = OPTION_DURATION,
     .offset = AT(wake_interval_ms),
     .default_value = "2s",
     .least = 100,
     .most = 3600000,
     .help = "Looks at one repository are at least so far apart, however often it is woken."},
    {.name = "backoff-max",
     .kind = OPTION_DURATION,
     .offset = AT(backoff_max_ms),
     .default_value = "30m",
     .least = 1000,
     .most = CONFIG_INTERVAL_MOST_MS,
     .help = "Longest pause of a repository that cannot be read."},
    {.name = "listen",
     .letter = 'l',
     .kind = OPTION_TEXT,
     .offset = AT(listen),
     .value_name = "ADDRESS:PORT",
     .group = "Waking",
     .help = "Numeric address and port of the trigger; port 0 takes any free one. Without it there "
             "is none."},
    {.name = "trigger-secret",
     .kind = OPTION_TEXT_LIST,
     .offset = AT(trigger_secrets),
     .value_name = "FILE",
     .help = "Repeatable, required with --listen: a file with a secret that signs calls of the "
             "trigger. All are valid."},
    {.name = "ignore-webhooks",
     .kind = OPTION_FLAG,
     .offset = AT(ignores_webhooks),
     .help = "Do not read github.events, whose push webhooks otherwise wake repositories."},
    {.name = "list-timeout",
     .kind = OPTION_DURATION,
     .offset = AT(list_deadline_ms),
     .default_value = "60s",
     .least = 100,
     .most = 3600000,
     .group = "Limits",
     .help = "Longest git ls-remote."},
    {.name = "fetch-timeout",
     .kind = OPTION_DURATION,
     .offset = AT(fetch_deadline_ms),
     .default_value = "10m",
     .least = 100,
     .most = CONFIG_INTERVAL_MOST_MS,
     .help = "Longest git fetch. The first one of a repository brings its whole history."},
    {.name = "work-timeout",
     .kind = OPTION_DURATION,
     .offset = AT(work_deadline_ms),
     .default_value = "5m",
     .least = 100,
     .most = CONFIG_INTERVAL_MOST_MS,
     .help = "Longest time for comparing what was fetched."},
    {.name = "mirror-max",
     .kind = OPTION_BYTES,
     .offset = AT(mirror_max_bytes),
     .default_value = "5GiB",
     .least = 1 << 20,
     .most = 1LL << 40,
     .help = "Largest local mirror of one repository; a larger one is given up for some hours."},
    {.name = "children",
     .kind = OPTION_INTEGER,
     .offset = AT(children_max),
     .default_value = "8",
     .least = 1,
     .most = 256,
     .help =
         "Most git processes at once; repositories that fail have a quarter as many of their own."},
    BUS_KAFKA_OPTION_ROWS(struct ingest_settings, kafka),
};
/* clang-format on */

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
    watcher_apply(ingest->watcher, config);
    LOG_INFO("configuration read", LOG_INT("repositories", config_count(config)));
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

static void on_bus_state(void *argument, bool reachable, const char *reason)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    daemon_set_ready(ingest->daemon, "kafka", reachable, reason);
    if (reachable)
        LOG_INFO("the broker can be reached", LOG_TEXT("brokers", ingest->settings->kafka.brokers));
    else
        LOG_WARNING("the broker cannot be reached; what moves meanwhile is published when it can",
                    LOG_TEXT("brokers", ingest->settings->kafka.brokers),
                    LOG_TEXT("reason", reason));
}

static void on_known(void *argument, bool is_known, const char *reason)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    daemon_set_ready(ingest->daemon, "published", is_known, reason);
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
    daemon_set_ready(ingest->daemon, "kafka", false, "not connected yet");
    daemon_set_ready(ingest->daemon, "published", false, "what was published is not known yet");
    return bus_kafka_new(daemon_loop(ingest->daemon), &ingest->settings->kafka, "nodag-ingest-git",
                         daemon_metrics(ingest->daemon), on_bus_state, ingest, &ingest->bus, error);
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
    ingest->watcher = watcher_new(daemon_loop(ingest->daemon), ingest->bus,
                                  daemon_metrics(ingest->daemon), &watcher, &handler, ingest);
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
    watcher_apply(ingest->watcher, config);
    if (!ingest->settings->ignores_webhooks)
        ingest->webhooks = webhooks_new(daemon_loop(daemon), ingest->bus, ingest->watcher);
    LOG_INFO("watching repositories", LOG_INT("repositories", config_count(config)),
             LOG_TEXT("state", ingest->state));
    return 0;
}

/* ---- drain, stop ---- */

static void on_flushed(void *argument, size_t still_queued)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    if (still_queued > 0)
        LOG_WARNING("records were left unacknowledged; the next start publishes them again",
                    LOG_INT("records", still_queued));
    daemon_drained(ingest->daemon);
}

static void on_watcher_drained(void *argument)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    bus_kafka_flush(ingest->bus, DRAIN_FLUSH_MS, on_flushed, ingest);
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
    children_free(ingest->children);
    children_free(ingest->suspects);
    bus_kafka_free(ingest->bus); /* tells the watcher of what is left in its queue */
    watcher_free(ingest->watcher);
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
    static const struct daemon_spec spec = {
        .program =
            {
                .name = "nodag ingest-git",
                .summary = "watches git repositories and publishes each move of a branch or tag to "
                           "git.pushes",
                .usage = "--repositories FILE --state FOLDER [OPTION…]",
                .description =
                    "Each repository is asked by git ls-remote; what moved is fetched into a local "
                    "mirror, compared\n"
                    "with what was last published, and published: one record for each ref. What "
                    "moved "
                    "while the\n"
                    "daemon was down is published once when it is up. The file of repositories:\n"
                    "\n"
                    "    repositories:\n"
                    "      - url: https://github.com/kubeflow/code-intelligence\n"
                    "        branches: [master, \"release-*\"]  # default: all; tags: [\"v*\"], "
                    "default: "
                    "none\n"
                    "        credentials: /run/secrets/token  # a token, or lines username=… and "
                    "password=…\n"
                    "      - url: ssh://git@host/owner/name\n"
                    "        credentials: /run/secrets/key    # a private key\n"
                    "        known_hosts: known_hosts         # the host's keys\n"
                    "        interval: 5m\n"
                    "\n"
                    "It is read again when it changes and at SIGHUP. A repository can be woken by "
                    "push "
                    "webhooks on\n"
                    "github.events, or by a hook of its own:\n"
                    "\n"
                    "    body='{\"repository\":\"https://host/owner/name\"}'\n"
                    "    mac=$(printf %s \"$body\" | openssl dgst -sha256 -hmac \"$(cat secret)\" "
                    "| sed "
                    "'s/.* //')\n"
                    "    curl -d \"$body\" -H \"X-Hub-Signature-256: sha256=$mac\" "
                    "http://host:8090/trigger\n",
                .examples =
                    "    nodag ingest-git --repositories repositories.yaml --state "
                    "/var/lib/nodag/git\n"
                    "    nodag ingest-git -r repositories.yaml -s /data/git --listen 0.0.0.0:8090 "
                    "--trigger-secret secret\n",
                .rows = ingest_rows,
                .row_count = ARRAY_COUNT(ingest_rows),
            },
        .settings_bytes = sizeof(struct ingest_settings),
        .start = ingest_start,
        .reload = ingest_reload,
        .drain = ingest_drain,
        .stop = ingest_stop,
    };
    return daemon_main(&spec, argc, argv);
}
