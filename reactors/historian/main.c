/*
 * nodag-historian: the daemon around the historian. Options, readiness, drain.
 *
 * Design: everything that reaches outside is made here (the bus) and handed to the historian. It has
 * no sweep and no backoff: there is no world to look at but the topics.
 */
#include <stddef.h>

#include "base/daemon.h"
#include "base/memory.h"
#include "reactors/historian/historian.h"
#include "topics/bus_daemon.h"

/* How long the last records may take to be acknowledged at the end, in milliseconds. */
#define MAIN_FLUSH_MS 5000

/* Settings of the daemon. */
struct main_settings {
    struct daemon_settings daemon;   /* every daemon's */
    struct bus_kafka_settings bus;   /* Kafka */
    struct kernel_settings kernel;   /* reconciling */
    const char *login;               /* --login */
    struct option_list keep_private; /* --keep-private */
};

/* The daemon's own state. */
struct main_state {
    struct daemon *daemon;         /* borrowed */
    struct main_settings settings; /* a copy */
    struct bus_daemon kafka;       /* its bus is owned */
    struct historian *historian;   /* owned */
};

static const struct option_row main_rows[] = {
    {.name = "login",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct main_settings, login),
     .value_name = "LOGIN",
     .group = "Issues",
     .help = "nodag's own account at GitHub, for example nodag[bot]: labels that it put there are "
             "neither a person's nor another bot's."},
    {.name = "keep-private",
     .kind = OPTION_TEXT_LIST,
     .offset = offsetof(struct main_settings, keep_private),
     .value_name = "OWNER/REPO",
     .help = "A private repository whose issues are recorded although no document names it "
             "literally. May be repeated."},
    BUS_KAFKA_OPTION_ROWS(struct main_settings, bus),
    {.name = "concurrency",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct main_settings, kernel.concurrency),
     .default_value = "256",
     .least = 2,
     .most = 256,
     .group = "Reconciling",
     .help = "Issues whose record is being published at the same time."},
    {.name = "queue-keys",
     .kind = OPTION_INTEGER,
     .offset = offsetof(struct main_settings, kernel.keys_max),
     .default_value = "4000",
     .least = 10,
     .most = 1000000,
     .help = "Issues with unfinished events in memory, each with at most a few texts; beyond it "
             "the consumer is paused."},
    {.name = "revoke-timeout",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct main_settings, kernel.revoke_timeout_ms),
     .default_value = "20s",
     .least = 100,
     .most = 240000,
     .help = "How long records under way may hold up a rebalance before they are abandoned."},
};

static void main_on_ready(void *argument)
{
    struct main_state *state = argument;
    const char *reason = historian_unready_reason(state->historian);
    daemon_set_ready(state->daemon, "historian", reason == NULL, reason);
}

static void main_stop(void *argument)
{
    struct main_state *state = argument;
    if (state == NULL)
        return;
    historian_free(state->historian);
    bus_kafka_free(state->kafka.bus);
    mem_free(state);
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
    daemon_set_ready(daemon, "historian", false, "starting");
    int code =
        bus_daemon_open(&state->kafka, daemon, &state->settings.bus, "nodag-historian", error);
    if (code != 0)
        return code;
    struct kernel_settings *kernel = &state->settings.kernel;
    kernel->backoff_least_ms = 1000; /* no outcome of the historian's needs them */
    kernel->backoff_most_ms = 1000;
    kernel->sweep_interval_ms = 1000;
    const struct historian_ground ground = {
        .loop = daemon_loop(daemon),
        .bus = state->kafka.bus,
        .metrics = daemon_metrics(daemon),
        .kernel = kernel,
        .own_login = state->settings.login,
        .keep_private = &state->settings.keep_private,
    };
    code = historian_new(&ground, &state->historian, error);
    if (code == 0)
        historian_on_ready(state->historian, main_on_ready, state);
    return code;
}

static void main_drain(void *argument)
{
    struct main_state *state = argument;
    historian_drain(state->historian, bus_daemon_finish, &state->kafka);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .program =
            {
                .name = "nodag historian",
                .summary = "keeps true: every issue has one current record on the topic issues",
                .usage = "[OPTION…]",
                .description =
                    "Consumes the topic github.events and folds it: title, body, state and labels "
                    "of each issue, who put each label there and when, and who took which away. "
                    "Late and repeated events change nothing that a newer one said. An issue that "
                    "is deleted or transferred, or whose repository is deleted, turned private or "
                    "left by the App, gets a tombstone; a transferred issue takes its history "
                    "along. Pull requests are passed over. The topic issues is its only memory: a "
                    "start reads the partitions that it owns, about 200 bytes for each issue stay "
                    "in memory, and no text does.",
                .examples = "  nodag historian --login 'nodag[bot]' --brokers 127.0.0.1:9092\n",
                .rows = main_rows,
                .row_count = ARRAY_COUNT(main_rows),
            },
        .settings_bytes = sizeof(struct main_settings),
        .start = main_start,
        .drain = main_drain,
        .stop = main_stop,
    };
    return daemon_main(&spec, argc, argv);
}
