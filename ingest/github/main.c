/*
 * nodag-ingest-github: GitHub's webhook deliveries become records of the topic github.events.
 *
 * Design: this file is the daemon around the door: the table of options, the start, the reading and re-reading of the
 * secrets, the drain. What happens to a request is in delivery.c.
 *
 *      HTTP server ──▶ door (delivery.c) ──▶ bus (Kafka)
 *                       ▲
 *      secrets ─────────┘  read at the start, at SIGHUP and when one of their files changes; so is the TLS
 *                          certificate, where there is one (certificate.c)
 *
 * Invariants: without a valid set of secrets the daemon does not start; later an invalid one changes nothing
 * but the log and a metric, and is read again every SECRETS_RETRY_MS until it is valid; the daemon is ready
 * while the broker can be reached.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/daemon.h"
#include "base/file.h"
#include "base/http_server.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/option.h"
#include "ingest/github/admission.h"
#include "ingest/github/certificate.h"
#include "ingest/github/delivery.h"
#include "ingest/github/door.h"
#include "topics/bus_daemon.h"

/*
 * How soon an invalid set of secrets is read again: a secret's file may come later than the configuration that
 * names it.
 */
#define SECRETS_RETRY_MS 10000

/* How long the bus is waited for after the last answer of a drain: nothing should be left in it by then. */
#define DRAIN_FLUSH_MS 2000

/* What the ingest passed through `void *` starts with. */
#define INGEST_MAGIC 0x16e57u

/* The settings, as the options below fill them. */
struct ingest_settings {
    struct daemon_settings daemon;
    struct bus_kafka_settings kafka;
    struct admission_settings admission;
    struct certificate_settings certificate;
    const char *listen;
    const char *path;
    const char *secrets_file;
    const char *secret_file;
    struct option_list scope;
    int64_t body_max_bytes;
    int64_t bodies_max_bytes;
    int64_t connections_max;
    int64_t connections_per_address_max;
    int64_t idle_timeout_ms;
    int64_t request_timeout_ms;
    int64_t answer_deadline_ms;
};

/* The daemon's own state. */
struct ingest {
    unsigned magic;
    struct daemon *daemon;                  /* borrowed */
    const struct ingest_settings *settings; /* borrowed for the process' life */
    struct bus_daemon kafka;                /* its bus is owned */
    struct admission *admission;            /* owned: who may come in */
    struct door *door;                      /* owned */
    struct certificate *certificate;        /* owned; NULL: plain HTTP */
    struct http_server *server;             /* owned */
    struct file_watch *watch;               /* owned: configuration and files of the secrets */
    struct loop_timer *retry_timer;         /* owned: set while the secrets are invalid */
};

/* Offsets into the settings, short enough to be read in the table. */
#define AT(member) offsetof(struct ingest_settings, member)

/* clang-format off: a row is an option */
static const struct option_row ingest_rows[] = {
    {.name = "listen",
     .letter = 'l',
     .kind = OPTION_TEXT,
     .offset = AT(listen),
     .default_value = "127.0.0.1:8080",
     .value_name = "ADDRESS:PORT",
     .group = "Webhook",
     .help = "Numeric address and port that take deliveries; port 0 takes any free one."},
    {.name = "path",
     .kind = OPTION_TEXT,
     .offset = AT(path),
     .default_value = "/webhooks/github",
     .help = "The one path that takes deliveries; every other is answered 404."},
    {.name = "secrets",
     .kind = OPTION_FILE,
     .offset = AT(secrets_file),
     .group = "Secrets",
     .help = "YAML file that lists the webhook secrets with their hooks, targets and scopes."},
    {.name = "secret-file",
     .kind = OPTION_SECRET_FILE,
     .offset = AT(secret_file),
     .help = "Instead of --secrets: a file with the one secret of all hooks; needs --scope."},
    {.name = "scope",
     .kind = OPTION_TEXT_LIST,
     .offset = AT(scope),
     .value_name = "PATTERN",
     .help = "With --secret-file, repeatable: whose events are taken: OWNER, OWNER/PATTERN, or * "
             "for everybody's."},
    {.name = "body-max",
     .kind = OPTION_BYTES,
     .offset = AT(body_max_bytes),
     .default_value = "25MiB",
     .least = 1024,
     .most = TOPIC_BODY_MAX_BYTES,
     .group = "Limits",
     .help = "Largest body; over it 413. GitHub sends up to 25 MB."},
    {.name = "bodies-max",
     .kind = OPTION_BYTES,
     .offset = AT(bodies_max_bytes),
     .default_value = "256MiB",
     .least = TOPIC_BODY_MAX_BYTES,
     .most = 16LL << 30,
     .help = "Most bytes of all bodies under way together; over it 503."},
    {.name = "connections",
     .kind = OPTION_INTEGER,
     .offset = AT(connections_max),
     .default_value = "1024",
     .least = 1,
     .most = 65536,
     .help = "Most open connections; further ones wait."},
    {.name = "connections-per-address",
     .kind = OPTION_INTEGER,
     .offset = AT(connections_per_address_max),
     .default_value = "0",
     .least = 0,
     .most = 65536,
     .help = "Most open connections of one client address; 0: no limit. With --trusted-proxies: "
             "most requests under way of one client address; over it 429."},
    {.name = "idle-timeout",
     .kind = OPTION_DURATION,
     .offset = AT(idle_timeout_ms),
     .default_value = "10s",
     .least = 1000,
     .most = 600000,
     .help = "A connection that sends nothing for so long is closed."},
    {.name = "request-timeout",
     .kind = OPTION_DURATION,
     .offset = AT(request_timeout_ms),
     .default_value = "30s",
     .least = 1000,
     .most = 600000,
     .help = "A request that has not arrived wholly by then is answered 408."},
    {.name = "answer-deadline",
     .kind = OPTION_DURATION,
     .offset = AT(answer_deadline_ms),
     .default_value = "7s",
     .least = 100,
     .most = 9000,
     .help = "A complete delivery is answered by then, 503 if the broker has not acknowledged it. "
             "GitHub waits 10 s."},
    ADMISSION_OPTION_ROWS(struct ingest_settings, admission),
    CERTIFICATE_OPTION_ROWS(struct ingest_settings, certificate),
    BUS_KAFKA_OPTION_ROWS(struct ingest_settings, kafka),
};
/* clang-format on */

/* ---- secrets ---- */

static int secrets_read(const struct ingest_settings *settings, struct secrets **ret_secrets,
                        struct error *error)
{
    if (settings->secrets_file != NULL)
        return secrets_load(settings->secrets_file, ret_secrets, error);
    return secrets_load_single(settings->secret_file, settings->scope.items, settings->scope.count,
                               ret_secrets, error);
}

/* Watches the configuration and the files of the set in force. */
static void secrets_watch(struct ingest *ingest)
{
    file_watch_clear(ingest->watch);
    if (ingest->settings->secrets_file != NULL)
        file_watch_add(ingest->watch, ingest->settings->secrets_file);
    const struct secrets *secrets = ingest->door->secrets;
    for (size_t i = 0; i < secrets_count(secrets); i++)
        file_watch_add(ingest->watch, secrets_at(secrets, i)->file);
}

/* Reads the secrets again; what is invalid leaves the former set in force. */
static void secrets_reload(void *argument)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    struct secrets *secrets = NULL;
    struct error error;
    int code = secrets_read(ingest->settings, &secrets, &error);
    door_metrics_secrets_read(ingest->door->metrics, code == 0);
    if (code != 0) {
        LOG_ERROR("the secrets are invalid; the former ones stay in force",
                  LOG_TEXT("error", err_name(code)), LOG_TEXT("detail", error.text),
                  LOG_INT("retry_ms", SECRETS_RETRY_MS));
        loop_timer_set(ingest->retry_timer, SECRETS_RETRY_MS);
        return;
    }
    loop_timer_clear(ingest->retry_timer);
    door_take_secrets(ingest->door, secrets);
    secrets_watch(ingest);
    LOG_INFO("secrets read", LOG_INT("count", secrets_count(secrets)));
}

/* Puts the first set (taken) into force and begins to watch its files. */
static void secrets_take(struct ingest *ingest, struct secrets *secrets)
{
    struct loop *loop = daemon_loop(ingest->daemon);
    ingest->watch = file_watch_new(loop, secrets_reload, ingest);
    ingest->retry_timer = loop_timer_new(loop, secrets_reload, ingest);
    door_take_secrets(ingest->door, secrets);
    door_metrics_secrets_read(ingest->door->metrics, true);
    secrets_watch(ingest);
}

/* ---- start ---- */

static int server_start(struct ingest *ingest, struct error *error)
{
    const struct ingest_settings *settings = ingest->settings;
    char address[HTTP_HOST_BYTES];
    /* A proxy's connections are many clients': the door counts requests then. */
    bool has_proxies = admission_has_proxies(ingest->admission);
    struct http_server_settings server = {
        .address = address,
        .body_max_bytes = (size_t)settings->body_max_bytes,
        .bodies_max_bytes = (size_t)settings->bodies_max_bytes,
        .connections_max = (unsigned)settings->connections_max,
        .connections_per_address_max =
            has_proxies ? 0 : (unsigned)settings->connections_per_address_max,
        .idle_timeout_ms = settings->idle_timeout_ms,
        .request_timeout_ms = settings->request_timeout_ms,
        .tls = certificate_tls(ingest->certificate),
    };
    int code = http_address_parse(settings->listen, address, &server.port, error);
    if (code != 0)
        return error_prefix(error, code, "--listen");
    code = http_server_new(daemon_loop(ingest->daemon), &server, &delivery_handler, ingest->door,
                           &ingest->server, error);
    if (code != 0)
        return code;
    char port[sizeof("65535")];
    (void)snprintf(port, sizeof(port), "%u", (unsigned)http_server_port(ingest->server));
    daemon_announce(ingest->daemon, "port", port);
    LOG_INFO("taking deliveries", LOG_TEXT("scheme", server.tls != NULL ? "https" : "http"),
             LOG_TEXT("address", address), LOG_TEXT("port", port),
             LOG_TEXT("path", settings->path));
    return 0;
}

static void on_collect(void *argument)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    door_metrics_in_flight(ingest->door->metrics, ingest->door->delivery_count,
                           ingest->door->publication_count);
    admission_collect(ingest->admission);
}

/* GitHub's addresses are known. */
static void on_ranges_known(void *argument)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, argument, INGEST_MAGIC);
    daemon_set_ready(ingest->daemon, "addresses", true, NULL);
}

static int check_settings(const struct ingest_settings *settings, struct error *error)
{
    if (settings->path[0] != '/')
        return error_set(error, ERR_USAGE, "--path %s: a path begins with a slash", settings->path);
    if ((settings->secrets_file == NULL) == (settings->secret_file == NULL))
        return error_set(
            error, ERR_USAGE,
            "give either --secrets FILE or --secret-file FILE: without a secret nobody "
            "can be believed");
    if (settings->secret_file != NULL && settings->scope.count == 0)
        return error_set(
            error, ERR_USAGE,
            "--secret-file needs --scope: say whose events are taken, such as "
            "--scope kubeflow or --scope 'kubeflow/*', or --scope '*' for everybody's");
    if (settings->secrets_file != NULL && settings->scope.count > 0)
        return error_set(
            error, ERR_USAGE,
            "--scope belongs to --secret-file; with --secrets each secret has its own");
    if (settings->kafka.message_timeout_ms >= settings->answer_deadline_ms)
        LOG_WARNING("--message-timeout is not below --answer-deadline: a sender may be told 503 "
                    "for a record that is written later",
                    LOG_INT("message_timeout_ms", settings->kafka.message_timeout_ms),
                    LOG_INT("answer_deadline_ms", settings->answer_deadline_ms));
    return 0;
}

/* Whatever a person can have got wrong is looked at before the broker is. */
static int ingest_start(struct daemon *daemon, void *settings_pointer, void **ret_self,
                        struct error *error)
{
    const struct ingest_settings *settings = settings_pointer;
    CLEANUP(secrets_free) struct secrets *secrets = NULL;
    struct ingest *ingest = MEM_NEW(struct ingest);
    ingest->magic = INGEST_MAGIC;
    ingest->daemon = daemon;
    ingest->settings = settings;
    ingest->kafka = (struct bus_daemon){
        .flush_ms = DRAIN_FLUSH_MS,
        .unflushed = "records were left unacknowledged; their senders were told 503",
        .while_away = "the broker cannot be reached; deliveries are answered 503 until it can",
    };
    *ret_self = ingest;
    int code = check_settings(settings, error);
    if (code == 0)
        code = secrets_read(settings, &secrets, error);
    if (code == 0)
        code = certificate_new(daemon_loop(daemon), &settings->certificate, daemon_metrics(daemon),
                               &ingest->certificate, error);
    if (code != 0)
        return code;
    code = admission_new(daemon_loop(daemon), &settings->admission, daemon_metrics(daemon),
                         on_ranges_known, ingest, &ingest->admission, error);
    if (code != 0)
        return code;
    if (admission_is_waiting(ingest->admission))
        daemon_set_ready(daemon, "addresses", false, "GitHub's addresses are not known yet");
    code = bus_daemon_open(&ingest->kafka, daemon, &settings->kafka, "nodag-ingest-github", error);
    if (code != 0)
        return code;
    const struct door_settings door = {
        .path = settings->path,
        .body_max_bytes = (size_t)settings->body_max_bytes,
        .answer_deadline_ms = settings->answer_deadline_ms,
        .admission = ingest->admission,
        .requests_per_client_max = admission_has_proxies(ingest->admission)
                                       ? (size_t)settings->connections_per_address_max
                                       : 0,
    };
    ingest->door = door_new(daemon_loop(daemon), ingest->kafka.bus, daemon_metrics(daemon), &door);
    metrics_on_collect(daemon_metrics(daemon), on_collect, ingest);
    secrets_take(ingest, TAKE(secrets));
    return server_start(ingest, error);
}

/* ---- reload, drain, stop ---- */

static void ingest_reload(void *self)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, self, INGEST_MAGIC);
    secrets_reload(ingest);
    certificate_reload(ingest->certificate);
    admission_refresh(ingest->admission);
}

static void ingest_drain(void *self)
{
    struct ingest *ingest = CAST_CHECKED(struct ingest, self, INGEST_MAGIC);
    LOG_INFO("finishing what is under way", LOG_INT("requests", ingest->door->delivery_count),
             LOG_INT("records", ingest->door->publication_count));
    http_server_quiesce(ingest->server);
    door_drain(ingest->door, bus_daemon_finish, &ingest->kafka);
}

static void ingest_stop(void *self)
{
    struct ingest *ingest = self;
    if (ingest == NULL)
        return;
    http_server_free(ingest->server);
    certificate_free(ingest->certificate);
    file_watch_free(ingest->watch);
    loop_timer_free(ingest->retry_timer);
    bus_kafka_free(ingest->kafka.bus); /* tells the door of what is left in its queue */
    door_free(ingest->door);
    admission_free(ingest->admission);
    ingest->magic = 0;
    free(ingest);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .program =
            {
                .name = "nodag ingest-github",
                .summary = "takes GitHub's webhook deliveries and publishes them, byte for byte, "
                           "to github.events",
                .usage = "[OPTION…]",
                .description =
                    "A delivery is answered 202 once the broker has acknowledged it, so that "
                    "nothing that was\n"
                    "accepted is lost; 503 when the broker is away, so that it can be delivered "
                    "again. Signatures\n"
                    "(X-Hub-Signature-256) are checked over the raw bytes before anything is "
                    "parsed.\n"
                    "\n"
                    "The secrets are files. Several hooks, organisations and GitHub Apps are "
                    "listed with --secrets:\n"
                    "\n"
                    "    secrets:\n"
                    "      - id: kubeflow-2026           # several of one hook are all valid: so "
                    "they are rotated\n"
                    "        file: /run/secrets/kubeflow\n"
                    "        hook_id: 109948940          # or target_type and target_id, or "
                    "neither: the default\n"
                    "        organisations: [kubeflow]   # and repositories: [owner/pattern]\n"
                    "\n"
                    "They are read again when a file changes and at SIGHUP, as are "
                    "--tls-certificate "
                    "and --tls-key.\n"
                    "SIGTERM answers what is under way, then ends.\n"
                    "\n"
                    "Behind a proxy, --trusted-proxies names it, so that logs, limits and "
                    "--allow-from see the client.\n"
                    "--allow-from github takes deliveries from GitHub's own addresses only; as "
                    "long as these were never\n"
                    "known, the daemon is not ready and answers 503.\n",
                .examples =
                    "    nodag ingest-github --secret-file secret --scope kubeflow --brokers "
                    "kafka:9092\n"
                    "    nodag ingest-github --secrets secrets.yaml --listen 0.0.0.0:8080\n",
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
