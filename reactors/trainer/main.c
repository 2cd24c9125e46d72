/*
 * nodag-trainer: the daemon around the trainer. Options, what reaches outside, readiness, drain.
 *
 * Design: everything that reaches outside is made here (bus, HTTP client, artefact store, supervisors) and
 * handed to the trainer. A drain leaves the runs alone: their supervisors go on, and the next trainer
 * finds them.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/daemon.h"
#include "base/memory.h"
#include "reactors/trainer/plan.h"
#include "reactors/trainer/run_spec.h"
#include "reactors/trainer/serve.h"
#include "reactors/trainer/trainer.h"
#include "topics/bus_daemon.h"

/* How long the last records may take to be acknowledged at the end, in milliseconds. */
#define MAIN_FLUSH_MS 5000

/* Children of git at once. */
#define MAIN_CHILDREN_MAX 4

/* Most words of the data set's command. */
#define MAIN_WORDS_MAX RUN_DATASET_WORDS_MAX

/* Settings of the daemon. */
struct main_settings {
    struct daemon_settings daemon;      /* every daemon's */
    struct bus_kafka_settings bus;      /* Kafka */
    struct kernel_settings kernel;      /* reconciling */
    struct spec_table_settings specs;   /* documents */
    const char *runs;                   /* --runs */
    const char *host;                   /* --host */
    const char *cache;                  /* --cache */
    const char *supervisor;             /* --supervisor */
    const char *dataset;                /* --dataset */
    struct option_list dataset_command; /* --dataset-command */
    struct artefact_settings artefacts; /* --artefacts… */
    struct trainer_settings trainer;    /* the rest */
    const char *listen;                 /* --needs-train-address */
};

/* The daemon's own state. */
struct main_state {
    struct daemon *daemon;                 /* borrowed */
    struct main_settings settings;         /* a copy */
    struct bus_daemon kafka;               /* its bus is owned */
    struct http_client *http;              /* owned; for the artefact store */
    struct http_client *http_careful;      /* owned; for URLs of documents */
    struct artefact_store *artefacts;      /* owned */
    struct launcher *launcher;             /* owned */
    struct children *children;             /* owned */
    struct trainer *trainer;               /* owned */
    struct serve *serve;                   /* owned; NULL: not served */
    char *runs;                            /* owned; absolute */
    char *dataset;                         /* owned; absolute, or NULL */
    char *supervisor;                      /* owned */
    char *own_folder;                      /* owned; of this executable */
    char host[HOST_NAME_MAX + 1];          /* of this machine */
    const char *words[MAIN_WORDS_MAX + 1]; /* borrowed; the data set's command */
    char *command;                         /* owned; nodag-dataset */
    char *properties;                      /* owned; absolute, or NULL */
    char *specs;                           /* owned; absolute, or NULL */
};

static const struct option_row main_rows[] = {
    SPEC_TABLE_OPTION_ROW(struct main_settings, specs),
    {.name = "runs",
     .kind = OPTION_FILE,
     .offset = offsetof(struct main_settings, runs),
     .default_value = "/var/lib/nodag/runs",
     .value_name = "DIR",
     .group = "Runs",
     .help = "Folder of run directories, for this user alone. It must survive restarts."},
    {.name = "host",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct main_settings, host),
     .value_name = "NAME",
     .help =
         "Who sees the folder of --runs: a run of another host is waited for until its deadline. "
         "Default: the name of this machine. Replicas that share folder and machine share it."},
    {.name = "cache",
     .kind = OPTION_FILE,
     .offset = offsetof(struct main_settings, cache),
     .value_name = "DIR",
     .help = "Folder of the environments that runs share. Default: nodag-train-run's own."},
    {.name = "supervisor",
     .kind = OPTION_FILE,
     .offset = offsetof(struct main_settings, supervisor),
     .value_name = "PROGRAM",
     .help = "What is started for each run. Default: nodag-train-run beside this executable."},
    {.name = "dataset",
     .kind = OPTION_FILE,
     .offset = offsetof(struct main_settings, dataset),
     .value_name = "FILE",
     .help = "Examples for every run, as a file. Without it --dataset-command writes them."},
    {.name = "dataset-command",
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct main_settings, dataset_command),
     .value_name = "WORD",
     .help =
         "Command that writes the examples of a model, word by word; {model} stands for the "
         "model's name, {file} for the file, {run} at a word's beginning for the run's directory, "
         "where offsets.json says what was read. Default: nodag-dataset with this daemon's "
         "brokers and documents."},
    {.name = "run-memory",
     .kind = OPTION_BYTES,
     .offset = offsetof(struct main_settings, trainer.memory_bytes),
     .default_value = "4GiB",
     .least = RUN_MEMORY_LEAST_BYTES,
     .most = RUN_BYTES_MOST,
     .help = "Most memory of a run."},
    {.name = "run-output",
     .kind = OPTION_BYTES,
     .offset = offsetof(struct main_settings, trainer.output_bytes),
     .default_value = "2GiB",
     .least = RUN_OUTPUT_LEAST_BYTES,
     .most = RUN_BYTES_MOST,
     .help = "Most bytes that a run writes."},
    {.name = "retry-wait",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct main_settings, trainer.backoff_ms),
     .default_value = "1m",
     .least = 10,
     .most = PLAN_BACKOFF_MOST_MS,
     .help = "Wait after a failed run before the next attempt; it doubles with every further "
             "failure, up to an hour."},
    {.name = "git-credentials-file",
     .kind = OPTION_SECRET_FILE,
     .offset = offsetof(struct main_settings, trainer.git_credentials),
     .help = "How runs fetch their code: user:password for https, a private key for ssh."},
    {.name = "git-known-hosts-file",
     .kind = OPTION_FILE,
     .offset = offsetof(struct main_settings, trainer.git_known_hosts),
     .help = "Host keys for ssh."},
    {.name = "git-ca-file",
     .kind = OPTION_FILE,
     .offset = offsetof(struct main_settings, trainer.git_ca),
     .help = "Certificate authorities for https, instead of the system's."},
    ARTEFACT_OPTION_ROWS(struct main_settings, artefacts),
    {.name = "needs-train-address",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct main_settings, listen),
     .value_name = "HOST:PORT",
     .group = "Freshness over HTTP",
     .help = "Serves /needsTrain?model=NAME here. Without it nothing is served."},
    {.name = "needs-sync-interval",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct main_settings, trainer.sync_interval_ms),
     .default_value = "5m",
     .least = 100,
     .most = 86400000,
     .help = "How often a document's needsSyncUrl is asked."},
    BUS_KAFKA_OPTION_ROWS(struct main_settings, bus),
    KERNEL_OPTION_ROWS(struct main_settings, kernel),
};

static void main_on_ready(void *argument)
{
    struct main_state *state = argument;
    const char *reason = trainer_unready_reason(state->trainer);
    daemon_set_ready(state->daemon, "trainer", reason == NULL, reason);
}

static void main_stop(void *argument)
{
    struct main_state *state = argument;
    if (state == NULL)
        return;
    serve_free(state->serve);
    trainer_free(state->trainer);
    artefact_store_free(state->artefacts);
    launcher_free(state->launcher);
    children_free(state->children);
    http_client_free_curl(state->http);
    http_client_free_curl(state->http_careful);
    bus_kafka_free(state->kafka.bus);
    mem_free(state->runs);
    mem_free(state->dataset);
    mem_free(state->supervisor);
    mem_free(state->own_folder);
    mem_free(state->command);
    mem_free(state->properties);
    mem_free(state->specs);
    mem_free(state);
}

/* ---- folders and programs ---- */

/* Finds the folder of this executable. */
static int main_find_own_folder(struct main_state *state, struct error *error)
{
    char path[PATH_MAX];
    ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (bytes <= 0)
        return error_set(error, ERR_IO, "/proc/self/exe: %s", strerror(errno));
    path[bytes] = '\0';
    char *slash = strrchr(path, '/');
    state->own_folder = mem_copy_bytes(path, slash != NULL ? (size_t)(slash - path) : 0);
    return 0;
}

/* Makes the folder of run directories. */
static int main_make_runs(struct main_state *state, struct error *error)
{
    const char *runs = state->settings.runs;
    if (mkdir(runs, 0700) != 0 && errno != EEXIST)
        return error_set(error, ERR_INPUT, "--runs %s: %s; make its parent folder, or name another",
                         runs, strerror(errno));
    state->runs = realpath(runs, NULL);
    if (state->runs == NULL || access(state->runs, W_OK | X_OK) != 0)
        return error_set(error, ERR_INPUT, "--runs %s: %s", runs, strerror(errno));
    if (state->settings.dataset == NULL)
        return 0;
    state->dataset = realpath(state->settings.dataset, NULL);
    if (state->dataset == NULL)
        return error_set(error, ERR_INPUT, "--dataset %s: %s", state->settings.dataset,
                         strerror(errno));
    return 0;
}

/* An absolute path, because the command runs elsewhere; owned. */
static char *main_absolute(const char *path)
{
    char *real = path != NULL ? realpath(path, NULL) : NULL;
    return real != NULL ? real : mem_copy_text(path);
}

/* Fills the command that writes a data set: `nodag dataset` prints it, and a run wants a file. */
static void main_make_command(struct main_state *state)
{
    const struct main_settings *settings = &state->settings;
    size_t count = 0;
    for (size_t i = 0; i < settings->dataset_command.count && count < MAIN_WORDS_MAX; i++)
        state->words[count++] = settings->dataset_command.items[i];
    if (count > 0)
        return;
    state->command = mem_format("%s/nodag-dataset", state->own_folder);
    state->properties = main_absolute(settings->bus.properties_file);
    state->specs = main_absolute(settings->specs.folder);
    const char *const words[] = {"/bin/sh",
                                 "-c",
                                 "out=$1; shift; exec \"$@\" > \"$out\"",
                                 "sh",
                                 RUN_DATASET_PLACE,
                                 state->command,
                                 "{model}",
                                 "--offsets-out",
                                 "{run}/offsets.json",
                                 "--brokers",
                                 settings->bus.brokers};
    for (; count < ARRAY_COUNT(words); count++)
        state->words[count] = words[count];
    if (state->properties != NULL) {
        state->words[count++] = "--kafka-properties";
        state->words[count++] = state->properties;
    }
    if (state->specs != NULL) {
        state->words[count++] = "--specs";
        state->words[count++] = state->specs;
    }
}

static void main_fill_trainer(struct main_state *state)
{
    struct main_settings *settings = &state->settings;
    if (gethostname(state->host, sizeof(state->host) - 1) != 0 || state->host[0] == '\0')
        (void)snprintf(state->host, sizeof(state->host), "localhost");
    settings->trainer.host = settings->host != NULL ? settings->host : state->host;
    settings->trainer.runs = state->runs;
    settings->trainer.dataset_file = state->dataset;
    settings->trainer.dataset_argv = state->words;
    settings->trainer.artefacts = settings->artefacts;
    main_make_command(state);
    state->supervisor = settings->supervisor != NULL
                            ? mem_copy_text(settings->supervisor)
                            : mem_format("%s/nodag-train-run", state->own_folder);
    state->launcher = launcher_new(state->supervisor, settings->cache);
}

/* ---- start ---- */

static int main_connect(struct main_state *state, struct error *error)
{
    struct loop *loop = daemon_loop(state->daemon);
    const struct http_client_settings http = {.user_agent = "nodag-trainer/" NODAG_VERSION};
    const struct http_client_settings careful = {.user_agent = "nodag-trainer/" NODAG_VERSION,
                                                 .refuse_link_local = true};
    daemon_set_ready(state->daemon, "trainer", false, "starting");
    state->http = http_client_new_curl(loop, &http);
    state->http_careful = http_client_new_curl(loop, &careful);
    state->children = children_new(loop, MAIN_CHILDREN_MAX);
    int code =
        artefact_store_new(loop, state->http, &state->settings.artefacts, &state->artefacts, error);
    if (code != 0)
        return code;
    return bus_daemon_open(&state->kafka, state->daemon, &state->settings.bus, "nodag-trainer",
                           error);
}

static int main_listen(struct main_state *state, struct error *error)
{
    char port[8];
    if (state->settings.listen == NULL)
        return 0;
    int code = serve_new(daemon_loop(state->daemon), state->settings.listen, state->trainer,
                         &state->serve, error);
    if (code != 0)
        return code;
    (void)snprintf(port, sizeof(port), "%u", (unsigned)serve_port(state->serve));
    daemon_announce(state->daemon, "port", port);
    return 0;
}

static int main_start(struct daemon *daemon, void *settings, void **ret_self, struct error *error)
{
    struct main_state *state = MEM_NEW(struct main_state);
    *ret_self = state; /* from here on daemon calls main_stop, also after a failure */
    state->daemon = daemon;
    state->settings = *(struct main_settings *)settings;
    state->kafka = (struct bus_daemon){
        .flush_ms = MAIN_FLUSH_MS,
        .unflushed =
            "records were still unacknowledged at the end; what they say is looked at again",
    };
    int code = main_find_own_folder(state, error);
    if (code == 0)
        code = main_make_runs(state, error);
    if (code != 0)
        return code;
    main_fill_trainer(state);
    code = main_connect(state, error);
    if (code != 0)
        return code;
    const struct trainer_ground ground = {
        .loop = daemon_loop(daemon),
        .bus = state->kafka.bus,
        .http = state->http_careful,
        .artefacts = state->artefacts,
        .launcher = state->launcher,
        .children = state->children,
        .metrics = daemon_metrics(daemon),
        .kernel = &state->settings.kernel,
        .specs = &state->settings.specs,
        .settings = &state->settings.trainer,
    };
    code = trainer_new(&ground, &state->trainer, error);
    if (code != 0)
        return code;
    trainer_on_ready(state->trainer, main_on_ready, state);
    return main_listen(state, error);
}

static void main_reload(void *argument)
{
    struct main_state *state = argument;
    trainer_reload(state->trainer);
}

static void main_drain(void *argument)
{
    struct main_state *state = argument;
    trainer_drain(state->trainer, bus_daemon_finish, &state->kafka);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .program =
            {
                .name = "nodag trainer",
                .summary = "keeps true: a fresh model exists for each Model document",
                .usage = "[OPTION…]",
                .description =
                    "A model is stale when there is none, when it is older than maxAge, when "
                    "people "
                    "changed newLabels labels since its data, when onPush paths differ between its "
                    "code and the head, or when needsSyncUrl says so. Then a run is begun: a "
                    "directory, and a supervisor (nodag-train-run) that outlives the trainer. At "
                    "most one run of a model is under way. Failures back off, and after three "
                    "attempts for one cause a person must change something. Every run is recorded "
                    "on "
                    "the topic runs, every version on the topic models, after its artefacts were "
                    "stored. With several replicas one acts and the others stand by.",
                .examples = "  nodag trainer --brokers 127.0.0.1:9092 --runs runs "
                            "--artefacts file:///srv/artefacts\n",
                .rows = main_rows,
                .row_count = ARRAY_COUNT(main_rows),
            },
        .settings_bytes = sizeof(struct main_settings),
        .start = main_start,
        .reload = main_reload,
        .drain = main_drain,
        .stop = main_stop,
    };
    return daemon_main(&spec, argc, argv);
}
