/*
 * Administration of topics: see topics_admin.h.
 *
 * Design: each request goes out with a queue of its own and is waited for. An error of the request
 * as a whole (nobody answered) and one of its only topic are told by the same code path, with what
 * to do next.
 */
#include "topics/topics_admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "topics/bus_kafka_private.h"

/* How long one request may take: a new controller may be being elected. */
#define ADMIN_TIMEOUT_MS 15000

/* How long the first contact may take: after this nobody is there. */
#define CONTACT_TIMEOUT_MS 5000

/* How long the end of one partition may take. */
#define WATERMARK_TIMEOUT_MS 5000

/*
 * How often, and with which pause, a broker is asked whether it has learnt of new topics: ten
 * seconds in all.
 */
#define LEARN_TRIES 200
/* See above. */
#define LEARN_PAUSE_MS 50

struct admin {
    rd_kafka_t *handle;                 /* owned */
    struct kafka_properties properties; /* owned */
    char *brokers;                      /* owned; for errors */
};

int admin_new(const struct bus_kafka_settings *settings, struct admin **ret_admin,
              struct error *error)
{
    CLEANUP(admin_free) struct admin *admin = MEM_NEW(struct admin);
    admin->brokers = mem_copy_text(settings->brokers);
    rd_kafka_conf_t *conf = NULL;
    int code = kafka_properties_read(settings->properties_file, &admin->properties, error);
    if (code == 0)
        code = kafka_conf_new(settings, &admin->properties, "nodag-topics", KAFKA_COMMAND, NULL,
                              &conf, error);
    if (code == 0)
        code = kafka_handle_new(RD_KAFKA_PRODUCER, conf, &admin->handle, error);
    if (code == 0)
        *ret_admin = TAKE(admin);
    return code;
}

void admin_free(struct admin *admin)
{
    if (admin == NULL)
        return;
    if (admin->handle != NULL)
        rd_kafka_destroy(admin->handle);
    kafka_properties_release(&admin->properties);
    free(admin->brokers);
    free(admin);
}

/* Tells a failure of librdkafka with what to do about it. */
static int admin_failed(const struct admin *admin, const char *doing, rd_kafka_resp_err_t failed,
                        const char *text, struct error *error)
{
    if (text == NULL)
        text = rd_kafka_err2str(failed);
    int code = kafka_error_code(failed);
    switch (failed) {
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
        return error_set(error, ERR_CONFLICT, "%s: %s", doing, text);
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
        return error_set(error, ERR_UNSUPPORTED,
                         "%s: the broker cannot do that (%s); is it librdkafka's mock cluster?",
                         doing, text);
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return error_set(error, ERR_INPUT, "%s: the broker refuses: %s", doing, text);
    default:
        break;
    }
    if (code == ERR_DENIED)
        return error_set(error, ERR_DENIED,
                         "%s: %s; `nodag topics acls topics` prints the rights it takes", doing,
                         text);
    if (code == ERR_UNAVAILABLE || code == ERR_TIMEOUT)
        return error_set(error, ERR_UNAVAILABLE,
                         "%s: no answer from %s (%s); is Kafka running there? --brokers says where "
                         "to look",
                         doing, admin->brokers, text);
    return error_set(error, ERR_IO, "%s: %s", doing, text);
}

/* ---- looking ---- */

void admin_view_free(struct admin_view *view)
{
    if (view == NULL)
        return;
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        for (size_t i = 0; i < view->topics[t].config_count; i++) {
            free(view->topics[t].configs[i].name);
            free(view->topics[t].configs[i].value);
        }
        free(view->topics[t].configs);
    }
    free(view);
}

static void view_take_topic(struct admin_topic *topic, const struct rd_kafka_metadata_topic *found)
{
    if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR && found->partition_cnt == 0)
        return;
    topic->exists = true;
    topic->partitions = found->partition_cnt;
    for (int p = 0; p < found->partition_cnt; p++) {
        int replicas = found->partitions[p].replica_cnt;
        if (p == 0 || replicas < topic->replication)
            topic->replication = replicas;
    }
}

static int view_take_metadata(struct admin *admin, struct admin_view *view, struct error *error)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t failed =
        rd_kafka_metadata(admin->handle, 1, NULL, &metadata, CONTACT_TIMEOUT_MS);
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
        return admin_failed(admin, "looking at the cluster", failed, NULL, error);
    view->brokers = metadata->broker_cnt;
    for (int i = 0; i < metadata->topic_cnt; i++) {
        enum topic topic = TOPIC_COUNT;
        if (topic_from_name(metadata->topics[i].topic, &topic) == 0)
            view_take_topic(&view->topics[topic], &metadata->topics[i]);
    }
    rd_kafka_metadata_destroy(metadata);
    return 0;
}

/*
 * Waits for the answer to the request that was sent with this queue (taken). NULL: nobody answered.
 */
static rd_kafka_event_t *wait_answer(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_TIMEOUT_MS);
    rd_kafka_queue_destroy(queue);
    return event;
}

static rd_kafka_AdminOptions_t *make_options(struct admin *admin, rd_kafka_admin_op_t operation,
                                             bool only_validate)
{
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->handle, operation);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, ADMIN_TIMEOUT_MS, NULL, 0);
    if (only_validate)
        (void)rd_kafka_AdminOptions_set_validate_only(options, 1, NULL, 0);
    return options;
}

static void topic_take_configs(struct admin_topic *topic, const rd_kafka_ConfigResource_t *resource)
{
    size_t count = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    topic->configs = mem_alloc_array(count, sizeof(*topic->configs));
    topic->config_count = count;
    for (size_t i = 0; i < count; i++) {
        topic->configs[i].name = mem_copy_text(rd_kafka_ConfigEntry_name(entries[i]));
        topic->configs[i].value = mem_copy_text(rd_kafka_ConfigEntry_value(entries[i]));
        topic->configs[i].set_on_topic =
            rd_kafka_ConfigEntry_source(entries[i]) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
    }
}

static int view_take_answer(struct admin *admin, struct admin_view *view, rd_kafka_event_t *event,
                            struct error *error)
{
    static const char doing[] = "reading the topics' configurations";
    if (event == NULL)
        return admin_failed(admin, doing, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, error);
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return admin_failed(admin, doing, rd_kafka_event_error(event),
                            rd_kafka_event_error_string(event), error);
    size_t count = 0;
    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t failed = rd_kafka_ConfigResource_error(resources[i]);
        if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
            return admin_failed(admin, doing, failed,
                                rd_kafka_ConfigResource_error_string(resources[i]), error);
        enum topic topic = TOPIC_COUNT;
        if (topic_from_name(rd_kafka_ConfigResource_name(resources[i]), &topic) == 0)
            topic_take_configs(&view->topics[topic], resources[i]);
    }
    return 0;
}

static int view_take_configs(struct admin *admin, struct admin_view *view, struct error *error)
{
    rd_kafka_ConfigResource_t *resources[TOPIC_COUNT];
    size_t count = 0;
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        if (view->topics[t].exists)
            resources[count++] =
                rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic_name((enum topic)t));
    }
    if (count == 0)
        return 0;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin->handle);
    rd_kafka_AdminOptions_t *options =
        make_options(admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, false);
    rd_kafka_DescribeConfigs(admin->handle, resources, count, options, queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy_array(resources, count);
    rd_kafka_event_t *event = wait_answer(queue);
    int code = view_take_answer(admin, view, event, error);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    return code;
}

int admin_look(struct admin *admin, bool configs, struct admin_view **ret_view, struct error *error)
{
    CLEANUP(admin_view_free) struct admin_view *view = MEM_NEW(struct admin_view);
    int code = view_take_metadata(admin, view, error);
    if (code == 0 && configs)
        code = view_take_configs(admin, view, error);
    if (code == 0)
        *ret_view = TAKE(view);
    return code;
}

const char *admin_config_value(const struct admin_topic *topic, const char *name)
{
    for (size_t i = 0; i < topic->config_count; i++) {
        if (strcmp(topic->configs[i].name, name) == 0)
            return topic->configs[i].value;
    }
    return NULL;
}

static const char *found_config(const void *argument, const char *name)
{
    return admin_config_value(argument, name);
}

struct topic_found admin_found(const struct admin_view *view, enum topic topic)
{
    const struct admin_topic *found = &view->topics[topic];
    return (struct topic_found){.exists = found->exists,
                                .partitions = found->partitions,
                                .replication = found->replication,
                                .config = found_config,
                                .argument = found};
}

int admin_count_records(struct admin *admin, enum topic topic, int partitions, int64_t *ret_count,
                        struct error *error)
{
    int64_t count = 0;
    for (int32_t p = 0; p < partitions; p++) {
        int64_t low = 0;
        int64_t high = 0;
        rd_kafka_resp_err_t failed = rd_kafka_query_watermark_offsets(
            admin->handle, topic_name(topic), p, &low, &high, WATERMARK_TIMEOUT_MS);
        if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
            return admin_failed(admin, "counting records", failed, NULL, error);
        count += high - low;
    }
    *ret_count = count;
    return 0;
}

/* ---- creating and altering ---- */

/* Reads the answer to a request about one topic; both kinds of result have the same form. */
static int take_topic_answer(struct admin *admin, const char *doing, rd_kafka_event_t *event,
                             struct error *error)
{
    if (event == NULL)
        return admin_failed(admin, doing, RD_KAFKA_RESP_ERR__TIMED_OUT, NULL, error);
    rd_kafka_resp_err_t failed = rd_kafka_event_error(event);
    const char *text = rd_kafka_event_error_string(event);
    const rd_kafka_CreateTopics_result_t *created = rd_kafka_event_CreateTopics_result(event);
    const rd_kafka_AlterConfigs_result_t *altered = rd_kafka_event_AlterConfigs_result(event);
    size_t count = 0;
    if (failed == RD_KAFKA_RESP_ERR_NO_ERROR && created != NULL) {
        const rd_kafka_topic_result_t **results =
            rd_kafka_CreateTopics_result_topics(created, &count);
        failed = rd_kafka_topic_result_error(results[0]);
        text = rd_kafka_topic_result_error_string(results[0]);
    } else if (failed == RD_KAFKA_RESP_ERR_NO_ERROR && altered != NULL) {
        const rd_kafka_ConfigResource_t **results =
            rd_kafka_AlterConfigs_result_resources(altered, &count);
        failed = rd_kafka_ConfigResource_error(results[0]);
        text = rd_kafka_ConfigResource_error_string(results[0]);
    }
    if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
        return admin_failed(admin, doing, failed, text, error);
    return 0;
}

int admin_create(struct admin *admin, const struct topic_plan *plan, bool only_validate,
                 struct error *error)
{
    char text[KAFKA_TEXT_BYTES];
    char doing[64];
    (void)snprintf(doing, sizeof(doing), "creating topic %s", topic_name(plan->topic));
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(topic_name(plan->topic), plan->partitions,
                                                       plan->replication, text, sizeof(text));
    if (topic == NULL)
        return error_set(error, ERR_INPUT, "%s: %s", doing, text);
    for (size_t i = 0; i < plan->config_count; i++)
        (void)rd_kafka_NewTopic_set_config(topic, plan->configs[i].name, plan->configs[i].value);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin->handle);
    rd_kafka_AdminOptions_t *options =
        make_options(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, only_validate);
    rd_kafka_CreateTopics(admin->handle, &topic, 1, options, queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_event_t *event = wait_answer(queue);
    int code = take_topic_answer(admin, doing, event, error);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    return code;
}

int admin_wait_created(struct admin *admin, struct error *error)
{
    for (int tries = 0; tries < LEARN_TRIES; tries++) {
        CLEANUP(admin_view_free) struct admin_view *view = NULL;
        bool missing = false;
        int code = admin_look(admin, false, &view, error);
        if (code != 0)
            return code;
        for (size_t t = 0; t < TOPIC_COUNT; t++)
            missing = missing || !view->topics[t].exists;
        if (!missing)
            return 0;
        (void)rd_kafka_poll(admin->handle, LEARN_PAUSE_MS);
    }
    return error_set(error, ERR_TIMEOUT,
                     "the topics were created, but the broker does not know them yet; "
                     "`nodag topics list` shows when it does");
}

/*
 * Returns true if a drift names the configuration, so that its old value must not be written back.
 */
static bool is_altered(const char *name, const struct topic_drift *drifts, size_t drift_count)
{
    for (size_t i = 0; i < drift_count; i++) {
        if (drifts[i].kind == TOPIC_DRIFT_FIXABLE && strcmp(drifts[i].what, name) == 0)
            return true;
    }
    return false;
}

int admin_alter(struct admin *admin, const struct admin_topic *found,
                const struct topic_drift *drifts, size_t drift_count, struct error *error)
{
    const char *name = topic_name(drifts[0].topic);
    char doing[64];
    (void)snprintf(doing, sizeof(doing), "altering topic %s", name);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    for (size_t i = 0; i < found->config_count; i++) {
        const struct admin_config *config = &found->configs[i];
        if (config->set_on_topic && config->value != NULL &&
            !is_altered(config->name, drifts, drift_count))
            (void)rd_kafka_ConfigResource_set_config(resource, config->name, config->value);
    }
    for (size_t i = 0; i < drift_count; i++) {
        if (drifts[i].kind == TOPIC_DRIFT_FIXABLE)
            (void)rd_kafka_ConfigResource_set_config(resource, drifts[i].what, drifts[i].wanted);
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin->handle);
    rd_kafka_AdminOptions_t *options = make_options(admin, RD_KAFKA_ADMIN_OP_ALTERCONFIGS, false);
    rd_kafka_AlterConfigs(admin->handle, &resource, 1, options, queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_event_t *event = wait_answer(queue);
    int code = take_topic_answer(admin, doing, event, error);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    return code;
}
