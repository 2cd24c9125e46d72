/*
 * nodag-labeler: the daemon around the labeler. Options, reload of documents and models, readiness,
 * drain.
 *
 * Design: everything that reaches outside is made here (bus, HTTP client, forge) and handed to the
 * labeler. The document file and the model files are watched; what is invalid is said once and the
 * last valid state stays in force.
 */
#include <stddef.h>
#include <string.h>

#include "base/daemon.h"
#include "base/file.h"
#include "base/http_client.h"
#include "base/log.h"
#include "base/memory.h"
#include "reactors/labeler/labeler.h"
#include "topics/bus_kafka.h"

/* Largest document file. */
#define MAIN_DOCUMENT_MAX_BYTES (1u << 20)

/* How long the last records may take to be acknowledged at the end, in milliseconds. */
#define MAIN_FLUSH_MS 5000

/* Settings of the daemon. */
struct main_settings {
    struct daemon_settings daemon; /* every daemon's */
    struct bus_kafka_settings bus; /* Kafka */
    struct kernel_settings kernel; /* reconciling */
    struct forge_settings forge;   /* GitHub */
    const char *document_file;     /* --document */
};

/* The daemon's own state. */
struct main_state {
    struct daemon *daemon;         /* borrowed */
    struct main_settings settings; /* a copy */
    struct bus *bus;               /* owned */
    struct http_client *http;      /* owned */
    struct forge *forge;           /* owned */
    struct labeler *labeler;       /* owned */
    struct file_watch *watch;      /* owned */
    struct labeler_ground ground;  /* borrowed parts of the above */
};

static const struct option_row main_rows[] = {
    {.name = "document",
     .letter = 'd',
     .kind = OPTION_FILE,
     .offset = offsetof(struct main_settings, document_file),
     .required = true,
     .group = "Labeler",
     .help = "YAML file with one or several Labeler documents: which repositories, labels and "
             "models. Read again when it changes."},
    BUS_KAFKA_OPTION_ROWS(struct main_settings, bus),
    KERNEL_OPTION_ROWS(struct main_settings, kernel),
    FORGE_OPTION_ROWS(struct main_settings, forge),
};

static int main_read_documents(const char *path, struct document_set **ret_documents,
                               struct error *error)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MAIN_DOCUMENT_MAX_BYTES);
    int code = file_read(path, &text, error);
    return code == 0 ? document_set_parse(path, text.data != NULL ? text.data : "", text.size_bytes,
                                          ret_documents, error)
                     : code;
}

/* Watches the document file and all model files that it names. */
static void main_watch_files(struct main_state *state, const struct document_set *documents)
{
    file_watch_clear(state->watch);
    file_watch_add(state->watch, state->settings.document_file);
    for (size_t i = 0; i < document_count(documents); i++)
        for (size_t j = 0; j < document_at(documents, i)->model_files.count; j++)
            file_watch_add(state->watch, document_at(documents, i)->model_files.items[j]);
}

static void main_reload(void *argument)
{
    struct main_state *state = argument;
    struct document_set *documents = NULL;
    struct error error = {0};
    int code = main_read_documents(state->settings.document_file, &documents, &error);
    if (code != 0) {
        LOG_ERROR("the Labeler documents are not valid; the last valid ones stay in force",
                  LOG_TEXT("reason", error.text));
        return;
    }
    main_watch_files(state, documents);
    (void)models_load(labeler_models(state->labeler), documents);
    LOG_INFO("Labeler documents read", LOG_INT("documents", document_count(documents)));
    labeler_set_documents(state->labeler, documents);
}

static void main_on_ready(void *argument)
{
    struct main_state *state = argument;
    const char *reason = labeler_unready_reason(state->labeler);
    daemon_set_ready(state->daemon, "labeler", reason == NULL, reason);
}

static void main_on_cluster(void *argument, bool reachable, const char *reason)
{
    struct main_state *state = argument;
    daemon_set_ready(state->daemon, "kafka", reachable, reason);
}

static void main_stop(void *argument)
{
    struct main_state *state = argument;
    if (state == NULL)
        return;
    labeler_free(state->labeler);
    file_watch_free(state->watch);
    forge_free(state->forge);
    http_client_free_curl(state->http);
    bus_kafka_free(state->bus);
    mem_free(state);
}

static int main_connect(struct main_state *state, struct error *error)
{
    struct loop *loop = daemon_loop(state->daemon);
    struct metrics *metrics = daemon_metrics(state->daemon);
    daemon_set_ready(state->daemon, "kafka", false, "no broker has answered yet");
    daemon_set_ready(state->daemon, "labeler", false, "starting");
    int code = bus_kafka_new(loop, &state->settings.bus, "nodag-labeler", metrics, main_on_cluster,
                             state, &state->bus, error);
    if (code != 0)
        return code;
    struct http_client_settings http = {.user_agent = "nodag-labeler/" NODAG_VERSION,
                                        .ca_file = state->settings.forge.ca_file};
    state->http = http_client_new_curl(loop, &http);
    return forge_new(loop, state->http, &state->settings.forge, metrics, &state->forge, error);
}

static int main_start(struct daemon *daemon, void *settings, void **ret_self, struct error *error)
{
    struct main_state *state = MEM_NEW(struct main_state);
    *ret_self = state; /* from here on daemon calls main_stop, also after a failure */
    state->daemon = daemon;
    state->settings = *(struct main_settings *)settings;
    CLEANUP(document_set_free) struct document_set *documents = NULL;
    int code = main_read_documents(state->settings.document_file, &documents, error);
    if (code == 0)
        code = main_connect(state, error);
    if (code != 0)
        return code;
    state->watch = file_watch_new(daemon_loop(daemon), main_reload, state);
    main_watch_files(state, documents);
    struct models *models = models_new(daemon_metrics(daemon));
    (void)models_load(models, documents);
    state->ground = (struct labeler_ground){
        .loop = daemon_loop(daemon),
        .bus = state->bus,
        .forge = state->forge,
        .metrics = daemon_metrics(daemon),
        .kernel = &state->settings.kernel,
    };
    code = labeler_new(&state->ground, TAKE(documents), models, &state->labeler, error);
    if (code == 0)
        labeler_on_ready(state->labeler, main_on_ready, state);
    return code;
}

static void main_flushed(void *argument, size_t still_queued)
{
    struct main_state *state = argument;
    if (still_queued > 0)
        LOG_WARNING("records were still unacknowledged at the end; their events are replayed",
                    LOG_INT("records", still_queued));
    daemon_drained(state->daemon);
}

static void main_left(void *argument)
{
    struct main_state *state = argument;
    bus_kafka_flush(state->bus, MAIN_FLUSH_MS, main_flushed, state);
}

static void main_drain(void *argument)
{
    struct main_state *state = argument;
    labeler_drain(state->labeler, main_left, state);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .program =
            {
                .name = "nodag labeler",
                .summary = "keeps true: open issues carry the labels that the model predicts, "
                           "minus what people decided otherwise",
                .usage = "--document FILE [OPTION…]",
                .description = "Consumes the topic github.events, looks at each opened, edited or "
                               "reopened issue of the repositories that its Labeler "
                               "documents name, and writes the included labels that the model "
                               "predicts above its thresholds. A label that somebody "
                               "removed is never added again; one that somebody added is never "
                               "removed. Every decision is published on the topic "
                               "predictions, with the reason for each label.",
                .examples = "  nodag labeler --document labeler.yaml --brokers 127.0.0.1:9092 "
                            "--forge-token-file token\n"
                            "  nodag labeler --document labeler.yaml --forge-app-id 1234 "
                            "--forge-app-key-file key.pem\n",
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
