/*
 * nodag-labeler: the daemon around the labeler. Options, reload of documents and models, readiness,
 * drain.
 *
 * Design: everything that reaches outside is made here (bus, HTTP client, forge) and handed to the
 * labeler. The model files that its documents name are watched, the versions fetched; what is invalid
 * is said once and the last valid state stays in force.
 */
#include <malloc.h>
#include <stddef.h>
#include <string.h>

#include "base/daemon.h"
#include "base/file.h"
#include "base/http_client.h"
#include "base/memory.h"
#include "reactors/labeler/labeler.h"
#include "topics/bus_daemon.h"

/* How long the last records may take to be acknowledged at the end, in milliseconds. */
#define MAIN_FLUSH_MS 5000

/* Settings of the daemon. */
struct main_settings {
    struct daemon_settings daemon;    /* every daemon's */
    struct bus_kafka_settings bus;    /* Kafka */
    struct kernel_settings kernel;    /* reconciling */
    struct forge_settings forge;      /* GitHub */
    struct spec_table_settings specs; /* documents */
    struct versions_settings models;  /* the registry's versions */
    struct fresh_settings fresh;      /* where new issues are looked at */
};

/* The daemon's own state. */
struct main_state {
    struct daemon *daemon;         /* borrowed */
    struct main_settings settings; /* a copy */
    struct bus_daemon kafka;       /* its bus is owned */
    struct http_client *http;      /* owned */
    struct forge *forge;           /* owned */
    struct versions *versions;     /* owned */
    struct labeler *labeler;       /* owned */
    struct file_watch *watch;      /* owned */
    struct labeler_ground ground;  /* borrowed parts of the above */
    bool is_ready;                 /* as last told */
};

static const struct option_row main_rows[] = {
    SPEC_TABLE_OPTION_ROW(struct main_settings, specs),
    BUS_KAFKA_OPTION_ROWS(struct main_settings, bus),
    KERNEL_OPTION_ROWS(struct main_settings, kernel),
    FORGE_OPTION_ROWS(struct main_settings, forge),
    FRESH_OPTION_ROWS(struct main_settings, fresh),
    VERSIONS_OPTION_ROWS(struct main_settings, models),
};

/* Loads the models that the documents name now, and watches their files. */
static void main_load_models(struct main_state *state)
{
    const struct document_set *documents = labeler_documents(state->labeler);
    file_watch_clear(state->watch);
    for (size_t i = 0; i < document_count(documents); i++) {
        const struct document *document = document_at(documents, i);
        for (size_t j = 0; j < document->model_count; j++)
            if (document->models[j].source == DOCUMENT_MODEL_FILE)
                file_watch_add(state->watch, document->models[j].text);
    }
    (void)models_load(labeler_models(state->labeler), documents);
}

static void main_on_documents(void *argument)
{
    main_load_models(argument);
}

static void main_on_model_file(void *argument)
{
    struct main_state *state = argument;
    main_load_models(state);
    labeler_models_changed(state->labeler);
}

/* A version is there that was not before: documents that wait for it have it now. */
static void main_on_version(void *argument)
{
    struct main_state *state = argument;
    models_settle(labeler_models(state->labeler), labeler_documents(state->labeler));
    labeler_models_changed(state->labeler);
}

static void main_reload(void *argument)
{
    struct main_state *state = argument;
    versions_retry(state->versions);
    labeler_reload(state->labeler);
    main_on_model_file(state);
}

static void main_on_ready(void *argument)
{
    struct main_state *state = argument;
    const char *reason = labeler_unready_reason(state->labeler);
    /*
     * Reading the tables of an assignment needs several times the memory of what is kept of them, and malloc would
     * keep it for good.
     */
    if (reason == NULL && !state->is_ready)
        (void)malloc_trim(0);
    state->is_ready = reason == NULL;
    daemon_set_ready(state->daemon, "labeler", reason == NULL, reason);
}

static void main_stop(void *argument)
{
    struct main_state *state = argument;
    if (state == NULL)
        return;
    labeler_free(state->labeler);
    versions_free(state->versions);
    file_watch_free(state->watch);
    forge_free(state->forge);
    http_client_free_curl(state->http);
    bus_kafka_free(state->kafka.bus);
    mem_free(state);
}

static int main_connect(struct main_state *state, struct error *error)
{
    struct loop *loop = daemon_loop(state->daemon);
    struct metrics *metrics = daemon_metrics(state->daemon);
    daemon_set_ready(state->daemon, "labeler", false, "starting");
    int code =
        bus_daemon_open(&state->kafka, state->daemon, &state->settings.bus, "nodag-labeler", error);
    if (code != 0)
        return code;
    struct http_client_settings http = {.user_agent = "nodag-labeler/" NODAG_VERSION,
                                        .ca_file = state->settings.forge.ca_file};
    state->http = http_client_new_curl(loop, &http);
    code = versions_new(loop, state->http, metrics, &state->settings.models, main_on_version, state,
                        &state->versions, error);
    if (code != 0)
        return code;
    return forge_new(loop, state->http, &state->settings.forge, metrics, &state->forge, error);
}

static int main_start(struct daemon *daemon, void *settings, void **ret_self, struct error *error)
{
    struct main_state *state = MEM_NEW(struct main_state);
    *ret_self = state; /* from here on daemon calls main_stop, also after a failure */
    state->daemon = daemon;
    state->settings = *(struct main_settings *)settings;
    state->kafka = (struct bus_daemon){
        .flush_ms = MAIN_FLUSH_MS,
        .unflushed = "records were still unacknowledged at the end; their events are replayed",
    };
    int code = main_connect(state, error);
    if (code != 0)
        return code;
    state->watch = file_watch_new(daemon_loop(daemon), main_on_model_file, state);
    state->ground = (struct labeler_ground){
        .loop = daemon_loop(daemon),
        .bus = state->kafka.bus,
        .forge = state->forge,
        .metrics = daemon_metrics(daemon),
        .kernel = &state->settings.kernel,
        .specs = &state->settings.specs,
        .fresh = &state->settings.fresh,
    };
    struct models *models = models_new(daemon_metrics(daemon));
    models_use_versions(models, state->versions);
    code = labeler_new(&state->ground, models, &state->labeler, error);
    if (code != 0)
        return code;
    labeler_on_documents(state->labeler, main_on_documents, state);
    labeler_on_ready(state->labeler, main_on_ready, state);
    return 0;
}

static void main_drain(void *argument)
{
    struct main_state *state = argument;
    labeler_drain(state->labeler, bus_daemon_finish, &state->kafka);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .program =
            {
                .name = "nodag labeler",
                .summary = "keeps true: open issues carry the labels that the model predicts, "
                           "minus what people decided otherwise",
                .usage = "[OPTION…]",
                .description =
                    "Consumes the topic github.events, looks at each opened, edited or "
                    "reopened issue of the repositories that its Labeler "
                    "documents name, and writes the included labels that the model "
                    "predicts above its thresholds. A label that somebody "
                    "removed is never added again; one that somebody added is never "
                    "removed. Every decision is published on the topic "
                    "predictions, with the reason for each label. Its documents come from git "
                    "by the topic specs, or from a folder (--specs); changes take effect "
                    "at once. A model is a file, or a version from the registry: the topic "
                    "models and the artefact store. Where two documents match one repository, "
                    "nothing is "
                    "written there until one of them is changed.",
                .examples = "  nodag labeler --forge-app-id 1234 --forge-app-key-file key.pem\n"
                            "  nodag labeler --specs documents/ --brokers 127.0.0.1:9092 "
                            "--forge-token-file token\n",
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
