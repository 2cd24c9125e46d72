/*
 * nodag topics create: makes the topics that are missing.
 *
 * Design: idempotent. What exists is left alone, and where it differs from the table that is said
 * in one line; `check` says more. A topic that somebody else makes in the same moment counts as
 * there. --dry-run lets the broker judge each request without doing it.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "topics/topic_plan.h"
#include "topics/topics_admin.h"
#include "topics/topics_command.h"

static const struct option_row rows[] = {
    BUS_KAFKA_CONNECT_ROWS(struct topics_settings, kafka),
    TOPICS_PLAN_ROWS,
    {.name = "dry-run",
     .letter = 'n',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct topics_settings, dry_run),
     .help = "Only let the broker say whether it would."},
};

static const struct option_program program = {
    .name = "nodag topics create",
    .summary = "Makes the topics that are missing, each as it should be.",
    .usage = "[OPTION…]",
    .description = "Every topic gets its number of partitions, which is fixed from then on: the "
                   "order of records is kept for each key, and another number would move keys. "
                   "Topics that exist are left alone; `nodag topics check` compares them.",
    .examples = "nodag topics create --brokers kafka:9092\n"
                "nodag topics create --replication 3 --retention 30d --dry-run",
    .rows = rows,
    .row_count = ARRAY_COUNT(rows),
};

/* Says one line about a topic that is there already. */
static void tell_existing(const struct admin_view *view, const struct topic_plan *plan)
{
    struct topic_drift drifts[TOPIC_DRIFTS_MAX];
    const struct topic_found found = admin_found(view, plan->topic);
    size_t count = topic_plan_compare(plan, &found, drifts);
    if (count == 0)
        (void)printf("%-16s exists\n", topic_name(plan->topic));
    else
        (void)printf("%-16s exists, and differs in %s%s; see `nodag topics check`\n",
                     topic_name(plan->topic), drifts[0].what, count > 1 ? " and more" : "");
}

/* Makes one topic. Returns 0 also where it exists. */
static int create_one(struct admin *admin, const struct admin_view *view,
                      const struct topic_plan *plan, bool dry_run, struct error *error)
{
    if (view->topics[plan->topic].exists) {
        tell_existing(view, plan);
        return 0;
    }
    int code = admin_create(admin, plan, dry_run, error);
    if (code == ERR_CONFLICT)
        (void)printf("%-16s exists\n", topic_name(plan->topic));
    else if (code == 0)
        (void)printf("%-16s %s: %d partition%s, %d replica%s\n", topic_name(plan->topic),
                     dry_run ? "would be created" : "created", plan->partitions,
                     plan->partitions == 1 ? "" : "s", plan->replication,
                     plan->replication == 1 ? "" : "s");
    return code == ERR_CONFLICT ? 0 : code;
}

int topics_create(int argc, char **argv)
{
    struct topics_settings settings = {0};
    int first = 0;
    int status = EXIT_STATUS_OK;
    if (!command_begin(&program, argc, argv, &settings, &first, &status))
        return status;
    struct error error = {0};
    CLEANUP(admin_free) struct admin *admin = NULL;
    CLEANUP(admin_view_free) struct admin_view *view = NULL;
    int code = admin_new(&settings.kafka, &admin, &error);
    if (code == 0)
        code = admin_look(admin, true, &view, &error);
    if (code != 0)
        return command_fail(&program, &error);
    int replication = settings.replication > 0 ? (int)settings.replication
                                               : topic_plan_replication(view->brokers);
    if (settings.replication == 0 && replication == 1)
        (void)fprintf(stderr,
                      "%s: warning: the cluster has %d broker%s, so each record is kept once; "
                      "losing a disk loses records\n",
                      program.name, view->brokers, view->brokers == 1 ? "" : "s");
    for (size_t t = 0; t < TOPIC_COUNT && code == 0; t++) {
        struct topic_plan plan;
        topic_plan_make((enum topic)t, replication, settings.retention_ms, &plan);
        code = create_one(admin, view, &plan, settings.dry_run, &error);
    }
    if (code == 0 && !settings.dry_run)
        code = admin_wait_created(admin, &error);
    return code == 0 ? EXIT_STATUS_OK : command_fail(&program, &error);
}
