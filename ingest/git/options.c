/*
 * The options of nodag-ingest-git: see options.h.
 */
#include "ingest/git/options.h"

#include <stddef.h>

#include "base/cleanup.h"
#include "ingest/git/config.h"

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
     .help = "YAML file that lists the repositories, and the sources of documents: see above."},
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

/* clang-format off: a line is a line */
const struct option_program ingest_program = {
    .name = "nodag ingest-git",
    .summary = "watches git repositories: each move of a branch or tag is published to git.pushes, "
               "the documents in "
               "them to specs",
    .usage = "--repositories FILE --state FOLDER [OPTION…]",
    .description =
        "Each repository is asked by git ls-remote; what moved is fetched into a local mirror, "
        "compared with what was\n"
        "last published, and published: one record for each ref. What moved while the daemon was "
        "down is published\n"
        "once when it is up. The file of repositories:\n"
        "\n"
        "    repositories:\n"
        "      - url: https://github.com/kubeflow/code-intelligence\n"
        "        branches: [master, \"release-*\"]  # default: all; tags: [\"v*\"], default: none\n"
        "        credentials: /run/secrets/token  # a token, or lines username=… and password=…\n"
        "      - url: ssh://git@host/owner/name\n"
        "        credentials: /run/secrets/key    # a private key\n"
        "        known_hosts: known_hosts         # the host's keys\n"
        "        interval: 5m\n"
        "    sources:                             # where documents (Model, Deployment, Labeler) "
        "come from\n"
        "      - repository: https://github.com/acme/desired-state\n"
        "        branch: main\n"
        "        paths: [\"nodag/*\"]             # .yaml and .yml files; * matches slashes too\n"
        "        allow: {names: [\"Labeler/*\"], targets: [\"acme/*\"], labels: [\"area/*\"]}  # "
        "default: everything\n"
        "    credentials:                         # for repositories that name none\n"
        "      - prefix: https://github.com/acme/\n"
        "        file: /run/secrets/acme-token    # or known_hosts, ca\n"
        "\n"
        "It is read again when it changes and at SIGHUP. A source's repository is watched, and so "
        "are those that\n"
        "documents name (`target.repository` of a Deployment), with the credentials of their "
        "prefix or none.\n"
        "Documents of a source that is taken out of the file are withdrawn; `sources: []` "
        "withdraws all; without\n"
        "`sources` this daemon leaves documents alone. One daemon may publish documents, no more.\n"
        "`nodag specs check --help` tries documents before they are pushed; `nodag specs` shows "
        "what is in force.\n"
        "\n"
        "A repository can be woken by push webhooks on github.events, or by a hook of its own:\n"
        "\n"
        "    body='{\"repository\":\"https://host/owner/name\"}'\n"
        "    mac=$(printf %s \"$body\" | openssl dgst -sha256 -hmac \"$(cat secret)\" | sed 's/.* "
        "//')\n"
        "    curl -d \"$body\" -H \"X-Hub-Signature-256: sha256=$mac\" http://host:8090/trigger\n",
    .examples = "    nodag ingest-git --repositories repositories.yaml --state /var/lib/nodag/git\n"
                "    nodag ingest-git -r repositories.yaml -s /data/git --listen 0.0.0.0:8090 "
                "--trigger-secret secret\n",
    .rows = ingest_rows,
    .row_count = ARRAY_COUNT(ingest_rows),
};
/* clang-format on */
