/*
 * nodag topics acls: the least rights that each daemon and command needs.
 *
 * Design: one table of rights, next to what it is about: who reads and writes which topic, in which
 * group. It is printed for people, or as calls of Kafka's own kafka-acls.sh, which take effect one
 * by one and may be repeated. No cluster is asked.
 *
 * Invariant: a daemon gets no right that it does not use; nobody but an administrator may create,
 * alter or delete topics.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "topics/text_table.h"
#include "topics/topics_command.h"

/* What a right is on. */
enum acl_kind {
    ACL_TOPIC,      /* one topic */
    ACL_ALL_TOPICS, /* every topic of the table */
    ACL_GROUP,      /* a consumer group */
    ACL_CLUSTER,    /* the cluster */
};

/* The rights of one user on one thing. */
struct acl {
    const char *user;       /* daemon or command, as in nodag-USER */
    enum acl_kind kind;     /* what it is on */
    enum topic topic;       /* ACL_TOPIC */
    const char *name;       /* ACL_GROUP */
    const char *operations; /* as kafka-acls.sh takes them, separated by spaces */
    const char *why;        /* for people */
};

/* Publishing takes Describe for the metadata; brokers before 3.0 also want IdempotentWrite. */
#define ACL_PUBLISH "Write Describe"
/* Consuming. */
#define ACL_CONSUME "Read Describe"
/* Both. */
#define ACL_BOTH "Read Write Describe"
/* Besides one of these: asking how long records are kept. */
#define ACL_ASK " DescribeConfigs"

static const struct acl acls[] = {
    {"ingest-github", ACL_TOPIC, TOPIC_GITHUB_EVENTS, NULL, ACL_PUBLISH, "webhooks"},
    {"ingest-github", ACL_CLUSTER, TOPIC_COUNT, NULL, "IdempotentWrite", "brokers before 3.0"},
    {"ingest-git", ACL_TOPIC, TOPIC_GIT_PUSHES, NULL, ACL_BOTH, "moves of heads; the last known"},
    {"ingest-git", ACL_TOPIC, TOPIC_SPECS, NULL, ACL_BOTH, "documents of sources; what they name"},
    {"ingest-git", ACL_TOPIC, TOPIC_GITHUB_EVENTS, NULL, ACL_CONSUME, "push webhooks wake it"},
    {"ingest-git", ACL_CLUSTER, TOPIC_COUNT, NULL, "IdempotentWrite", "brokers before 3.0"},
    {"labeler", ACL_TOPIC, TOPIC_GITHUB_EVENTS, NULL, ACL_CONSUME, "home topic"},
    {"labeler", ACL_GROUP, TOPIC_COUNT, "nodag-labeler", "Read", "ownership of keys"},
    {"labeler", ACL_TOPIC, TOPIC_SPECS, NULL, ACL_CONSUME, "its documents; not with --specs"},
    {"labeler", ACL_TOPIC, TOPIC_MODELS, NULL, ACL_CONSUME, "versions that its documents name"},
    {"labeler", ACL_TOPIC, TOPIC_ISSUES, NULL, ACL_CONSUME, "new issues; with --history issues"},
    {"labeler", ACL_TOPIC, TOPIC_PREDICTIONS, NULL, ACL_BOTH, "its decisions"},
    {"labeler", ACL_TOPIC, TOPIC_PENDING, NULL, ACL_BOTH, "what waits"},
    {"labeler", ACL_TOPIC, TOPIC_DEAD_LETTERS, NULL, ACL_PUBLISH, "what it refuses"},
    {"labeler", ACL_CLUSTER, TOPIC_COUNT, NULL, "IdempotentWrite", "brokers before 3.0"},
    {"historian", ACL_TOPIC, TOPIC_GITHUB_EVENTS, NULL, ACL_BOTH,
     "home topic; withdrawals, history of transferred issues"},
    {"historian", ACL_GROUP, TOPIC_COUNT, "nodag-historian", "Read", "ownership of keys"},
    {"historian", ACL_TOPIC, TOPIC_ISSUES, NULL, ACL_BOTH, "the records; its memory"},
    {"historian", ACL_TOPIC, TOPIC_SPECS, NULL, ACL_CONSUME, "private repositories that are named"},
    {"historian", ACL_TOPIC, TOPIC_PENDING, NULL, ACL_BOTH, "what waits"},
    {"historian", ACL_TOPIC, TOPIC_DEAD_LETTERS, NULL, ACL_PUBLISH, "what it refuses"},
    {"historian", ACL_CLUSTER, TOPIC_COUNT, NULL, "IdempotentWrite", "brokers before 3.0"},
    {"dataset", ACL_TOPIC, TOPIC_ISSUES, NULL, ACL_CONSUME, "the issues"},
    {"dataset", ACL_TOPIC, TOPIC_SPECS, NULL, ACL_CONSUME, "the Model; not with --specs"},
    {"erase", ACL_TOPIC, TOPIC_ISSUES, NULL, ACL_CONSUME ACL_ASK,
     "whose text it is; whether it is gone"},
    {"erase", ACL_TOPIC, TOPIC_GITHUB_EVENTS, NULL, ACL_PUBLISH ACL_ASK,
     "what is to be erased; how long webhooks stay"},
    {"erase", ACL_TOPIC, TOPIC_DEAD_LETTERS, NULL, "Describe" ACL_ASK, "how long they stay"},
    {"erase", ACL_TOPIC, TOPIC_RUNS, NULL, ACL_BOTH ACL_ASK,
     "what runs left; what of it was erased"},
    {"erase", ACL_TOPIC, TOPIC_MODELS, NULL, ACL_BOTH ACL_ASK,
     "data of versions; what of it was erased"},
    {"erase", ACL_CLUSTER, TOPIC_COUNT, NULL, "IdempotentWrite", "brokers before 3.0"},
    {"trainer", ACL_TOPIC, TOPIC_SPECS, NULL, ACL_CONSUME, "home topic; its documents"},
    {"trainer", ACL_GROUP, TOPIC_COUNT, "nodag-trainer", "Read", "ownership of keys"},
    {"trainer", ACL_TOPIC, TOPIC_RUNS, NULL, ACL_BOTH, "runs"},
    {"trainer", ACL_TOPIC, TOPIC_MODELS, NULL, ACL_BOTH, "versions"},
    {"trainer", ACL_TOPIC, TOPIC_ISSUES, NULL, ACL_CONSUME, "label changes; data sets"},
    {"trainer", ACL_TOPIC, TOPIC_GIT_PUSHES, NULL, ACL_CONSUME, "heads of code"},
    {"trainer", ACL_TOPIC, TOPIC_DEPLOYMENTS, NULL, ACL_CONSUME, "versions in use"},
    {"trainer", ACL_TOPIC, TOPIC_SERVING, NULL, ACL_CONSUME, "versions in use"},
    {"trainer", ACL_TOPIC, TOPIC_PENDING, NULL, ACL_BOTH, "what waits"},
    {"trainer", ACL_TOPIC, TOPIC_DEAD_LETTERS, NULL, ACL_PUBLISH, "what it refuses"},
    {"trainer", ACL_CLUSTER, TOPIC_COUNT, NULL, "IdempotentWrite", "brokers before 3.0"},
    {"import", ACL_TOPIC, TOPIC_GITHUB_EVENTS, NULL, ACL_PUBLISH, "issues that it read"},
    {"import", ACL_CLUSTER, TOPIC_COUNT, NULL, "IdempotentWrite", "brokers before 3.0"},
    {"topics", ACL_ALL_TOPICS, TOPIC_COUNT, NULL, "Create Describe DescribeConfigs AlterConfigs",
     "create, list, check"},
    {"tail", ACL_ALL_TOPICS, TOPIC_COUNT, NULL, ACL_CONSUME, "reading any topic"},
    {"status", ACL_TOPIC, TOPIC_PENDING, NULL, ACL_CONSUME, "what waits"},
    {"specs", ACL_TOPIC, TOPIC_SPECS, NULL, ACL_CONSUME, "list and show"},
    {"models", ACL_TOPIC, TOPIC_MODELS, NULL, ACL_CONSUME, "list, show and diff"},
    {"runs", ACL_TOPIC, TOPIC_RUNS, NULL, ACL_CONSUME, "list and show"},
};

static const struct option_row rows[] = {
    {.name = "brokers",
     .letter = 'b',
     .kind = OPTION_TEXT,
     .offset = offsetof(struct topics_settings, kafka.brokers),
     .default_value = "127.0.0.1:9092",
     .value_name = "HOST:PORT,…",
     .group = "Output",
     .help = "What the printed calls name; nothing is asked of them."},
    {.name = "principal-prefix",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct topics_settings, principal_prefix),
     .default_value = "User:nodag-",
     .value_name = "TEXT",
     .help = "What stands before the daemon's name in its principal."},
    {.name = "format",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct topics_settings, format),
     .choices = "table|commands",
     .default_value = "table",
     .help = "For reading, or as calls of kafka-acls.sh."},
};

static const struct option_program program = {
    .name = "nodag topics acls",
    .summary = "Prints the least rights that each daemon and command needs.",
    .usage = "[OPTION…] [DAEMON…]",
    .description = "With DAEMON only its rights. `topics` stands for an administrator who runs "
                   "`nodag topics`; nobody else needs rights to create or alter.",
    .examples = "nodag topics acls labeler\n"
                "nodag topics acls --format commands --brokers kafka:9092 | sh",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
    .positional_most = -1,
};

static bool is_wanted(const char *user, int argc, char **argv, int first)
{
    for (int i = first; i < argc; i++) {
        if (strcmp(argv[i], user) == 0)
            return true;
    }
    return first >= argc;
}

/* Refuses names that no row has. */
static int check_names(int argc, char **argv, int first, struct error *error)
{
    const char *known[ARRAY_COUNT(acls)];
    for (size_t i = 0; i < ARRAY_COUNT(acls); i++)
        known[i] = acls[i].user;
    for (int i = first; i < argc; i++) {
        const char *near = nearest_name(argv[i], known, ARRAY_COUNT(known));
        if (near != NULL && strcmp(near, argv[i]) == 0)
            continue;
        return error_set(
            error, ERR_USAGE,
            "nothing is known of the rights of \"%s\"%s%s; without a name all are printed", argv[i],
            near != NULL ? "; did you mean " : "", near != NULL ? near : "");
    }
    return 0;
}

static void write_resource(const struct acl *acl, char text[64])
{
    switch (acl->kind) {
    case ACL_TOPIC:
        (void)snprintf(text, 64, "topic %s", topic_name(acl->topic));
        break;
    case ACL_ALL_TOPICS:
        (void)snprintf(text, 64, "every topic");
        break;
    case ACL_GROUP:
        (void)snprintf(text, 64, "group %s", acl->name);
        break;
    case ACL_CLUSTER:
        (void)snprintf(text, 64, "cluster");
        break;
    }
}

static void add_row(struct text_table *table, const struct acl *acl, const char *prefix)
{
    char resource[64];
    write_resource(acl, resource);
    CLEANUP(mem_free) char *principal = mem_format("%s%s", prefix, acl->user);
    const char *cells[] = {principal, resource, acl->operations, acl->why};
    text_table_add(table, cells);
}

static void print_operations(const char *operations)
{
    while (*operations != '\0') {
        size_t bytes = strcspn(operations, " ");
        (void)printf(" --operation %.*s", (int)bytes, operations);
        operations += bytes;
        operations += strspn(operations, " ");
    }
}

/* Writes a text so that a shell takes it as one word. */
static void print_quoted(const char *text)
{
    (void)putchar('\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            (void)fputs("'\\''", stdout);
        else
            (void)putchar(*text);
    }
    (void)putchar('\'');
}

static void print_command(const struct acl *acl, const struct topics_settings *settings)
{
    CLEANUP(mem_free) char *principal = mem_format("%s%s", settings->principal_prefix, acl->user);
    (void)fputs("kafka-acls.sh --bootstrap-server ", stdout);
    print_quoted(settings->kafka.brokers);
    (void)fputs(" --add --allow-principal ", stdout);
    print_quoted(principal);
    print_operations(acl->operations);
    if (acl->kind == ACL_TOPIC)
        (void)printf(" --topic %s", topic_name(acl->topic));
    for (size_t t = 0; acl->kind == ACL_ALL_TOPICS && t < TOPIC_COUNT; t++)
        (void)printf(" --topic %s", topic_name((enum topic)t));
    if (acl->kind == ACL_GROUP)
        (void)printf(" --group %s", acl->name);
    if (acl->kind == ACL_CLUSTER)
        (void)fputs(" --cluster", stdout);
    (void)putchar('\n');
}

int topics_acls(int argc, char **argv)
{
    static const char *const headings[] = {"PRINCIPAL", "ON", "MAY", "FOR"};
    struct topics_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    struct error error = {0};
    if (check_names(argc, argv, first, &error) != 0)
        return command_fail(&program, &error);
    bool as_table = strcmp(settings.format, "table") == 0;
    CLEANUP(text_table_free)
    struct text_table *table = text_table_new(headings, ARRAY_COUNT(headings));
    for (size_t i = 0; i < ARRAY_COUNT(acls); i++) {
        if (!is_wanted(acls[i].user, argc, argv, first))
            continue;
        if (as_table)
            add_row(table, &acls[i], settings.principal_prefix);
        else
            print_command(&acls[i], &settings);
    }
    if (as_table)
        text_table_print(table, stdout);
    return EXIT_STATUS_OK;
}
