/*
 * One simulated history: see sim.h.
 *
 * Design: a phase in which people act, things fail and labelers crash, then a phase of rest without faults, then the checks.
 * Everything is drawn from the loop's seed (the order) or from the people's generator, never from anything else.
 */
#include "tests/sim/sim.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/time_text.h"
#include "reactors/classifier/dataset.h"
#include "reactors/classifier/train.h"
#include "tests/sim/sim_private.h"
#include "tests/unit/reactors/labeler/documents.h"
#include "topics/subject.h"

/* What people do in a quiet history, before the first delivery. */
#define SIM_QUIET_ACTS 25

/* Time between two of them, in milliseconds. GitHub's times are whole seconds: some are of the same one. */
#define SIM_QUIET_STEP_MS 700

/* Rows of the training data: enough for every label to reach its precision target. */
#define SIM_TRAINING_ROWS 600

/* Labels that the repository has. The model knows two more: one that is not there and one that is
 * not included. */
const char *const sim_labels[] = {"kind/bug",       "kind/feature",     "area/jupyter",
                                  "area/pipelines", "good first issue", "priority/p1"};
const size_t sim_label_count = ARRAY_COUNT(sim_labels);

/* The model file's bytes, aligned; all simulated labelers map the same. */
static void *sim_model;
static size_t sim_model_bytes;

/* The same model, for the checks. */
static struct classifier *sim_judge;

/* The token of all simulated labelers: the forge client reads it from a file, as in life. */
static char sim_token_file[] = "/tmp/nodag-sim-token-XXXXXX";

void sim_tell(struct sim *sim, const char *format, ...)
{
    if (sim->plan->history == NULL)
        return;
    fprintf(sim->plan->history, "%10lld ms  ", (long long)loop_now_ms(sim->loop));
    va_list arguments;
    va_start(arguments, format);
    vfprintf(sim->plan->history, format, arguments);
    va_end(arguments);
    fputc('\n', sim->plan->history);
}

/* --- the model --- */

/* Longer than a write whose sender is gone may take to land (world.c). */
#define SIM_LATE_MS 30000

/* Longest text about what is not at rest. */
#define SIM_WHY_BYTES 1024

/* Appends some of the words that speak for a matter, and a word that speaks for nothing. */
static void sim_append_words(struct buffer *text, struct generator *generator,
                             const char *const words[4])
{
    for (int i = 0; i < 5; i++)
        (void)!buffer_append_format(text, "%s ", words[generator_next(generator) % 4]);
    (void)!buffer_append_format(text, "w%u ", (unsigned)(generator_next(generator) % 1000));
}

/* Rows of training data as CSV: texts as people of the simulation write them, with the labels that they speak for. */
static char *sim_write_training_data(size_t *ret_bytes)
{
    static const char *const labels[SIM_MATTERS] = {"kind/bug", "kind/feature", "area/jupyter",
                                                    "area/pipelines", "area/ghost;priority/p1"};
    struct buffer text = BUFFER_INIT(1u << 20);
    struct generator generator;
    generator_seed(&generator, 1);
    (void)!buffer_append_text(&text, "repo,created_at,label,title,body\n");
    for (unsigned row = 0; row < SIM_TRAINING_ROWS; row++) {
        size_t one = generator_next(&generator) % SIM_MATTERS;
        size_t other = generator_next(&generator) % SIM_MATTERS;
        (void)!buffer_append_format(
            &text, WORLD_REPOSITORY ",2026-%02u-%02u %02u:00:00,%s;%s,it happens,", 1 + row / 60,
            1 + row % 28, row % 24, labels[one], labels[other]);
        sim_append_words(&text, &generator, sim_words[one]);
        sim_append_words(&text, &generator, sim_words[other]);
        (void)!buffer_append_text(&text, "\n");
    }
    *ret_bytes = text.size_bytes;
    return buffer_take(&text);
}

static bool sim_write_token(void)
{
    int fd = mkstemp(sim_token_file);
    if (fd < 0)
        return false;
    bool written = write(fd, "a-token", 7) == 7;
    (void)close(fd);
    return written;
}

bool sim_prepare(void)
{
    if (!sim_write_token()) {
        fprintf(stderr, "nodag-sim: %s cannot be written\n", sim_token_file);
        return false;
    }
    size_t data_bytes = 0;
    CLEANUP(mem_free) char *data = sim_write_training_data(&data_bytes);
    CLEANUP(dataset_free) struct dataset *dataset = NULL;
    struct error error = {0};
    int code = dataset_read_bytes("simulation.csv", data, data_bytes, &dataset, &error);
    if (code == 0) {
        CLEANUP(mem_free)
        const struct dataset_row **rows = mem_alloc_array(dataset->row_count, sizeof(*rows));
        for (size_t i = 0; i < dataset->row_count; i++)
            rows[i] = &dataset->rows[i];
        struct train_config config;
        train_config_init(&config);
        code = train_model(dataset, rows, dataset->row_count, &config, NULL, NULL, &sim_model,
                           &sim_model_bytes, &error);
    }
    if (code == 0)
        code = classifier_load_bytes(sim_model, sim_model_bytes, &sim_judge, &error);
    if (code != 0)
        fprintf(stderr, "nodag-sim: the simulation's model cannot be trained: %s\n", error.text);
    return code == 0;
}

void sim_finish(void)
{
    classifier_free(sim_judge);
    mem_free(sim_model);
    (void)unlink(sim_token_file);
}

/* --- processes --- */

static const struct kernel_settings sim_kernel = {
    .concurrency = 3,
    .keys_max = 20,
    .backoff_least_ms = 500,
    .backoff_most_ms = 20000,
    .sweep_interval_ms = 86400000,
    .revoke_timeout_ms = 5000,
};

/* Records of issues are used soon after a partition was taken over. */
static const struct fresh_settings sim_fresh = {.history = "issues", .settle_ms = 500};

/* The documents come by the topic. */
static const struct spec_table_settings sim_specs = {.folder = NULL};

static void sim_start(struct sim *sim, struct sim_process *process)
{
    const struct forge_settings settings = {
        .api_url = "http://world",
        .token_file = sim_token_file,
        .writes_per_hour = 100000,
    };
    struct error error = {0};
    process->bus = bus_memory_open(sim->cluster);
    process->http = world_open(sim->world);
    int code = forge_new(sim->loop, process->http, &settings, NULL, &process->forge, &error);
    assert(code == 0);
    struct classifier *classifier = NULL;
    code = classifier_load_bytes(sim_model, sim_model_bytes, &classifier, &error);
    assert(code == 0);
    struct models *models = models_new(NULL);
    models_put(models, "sim.model", classifier);
    process->ground = (struct labeler_ground){.loop = sim->loop,
                                              .bus = process->bus,
                                              .forge = process->forge,
                                              .metrics = NULL,
                                              .kernel = &sim_kernel,
                                              .specs = &sim_specs,
                                              .fresh = sim->plan->by_record ? &sim_fresh : NULL,
                                              .looked = sim_records_looked,
                                              .looked_argument = process};
    process->sim = sim;
    code = labeler_new(&process->ground, models, &process->labeler, &error);
    assert(code == 0);
    process->alive = true;
    sim_tell(sim, "labeler %d starts", (int)(process - sim->processes));
}

static void sim_crash(struct sim *sim, struct sim_process *process)
{
    sim->result->by_record += labeler_looks_by_record(process->labeler);
    labeler_free(process->labeler);
    forge_free(process->forge);
    bus_memory_close(process->bus);
    world_close(process->http);
    *process = (struct sim_process){0};
    sim->result->crashes++;
    sim_tell(sim, "labeler %d is killed", (int)(process - sim->processes));
}

static void sim_crash_or_start(void *argument)
{
    struct sim *sim = argument;
    if (sim->resting)
        return;
    struct sim_process *process = &sim->processes[loop_random_below(sim->loop, SIM_PROCESSES_MAX)];
    if (process->alive)
        sim_crash(sim, process);
    else
        sim_start(sim, process);
    loop_timer_set(sim->crash_timer, 2000 + (int64_t)loop_random_below(sim->loop, 20000));
}

static void sim_people_timer(void *argument)
{
    struct sim *sim = argument;
    if (sim->resting)
        return;
    sim_people_act(sim);
    loop_timer_set(sim->people_timer, 500 + (int64_t)loop_random_below(sim->loop, 6000));
}

/* --- checks --- */

static void sim_fail(struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->result->failure[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sim->result->failure, sizeof(sim->result->failure), format, arguments);
    va_end(arguments);
}

/* True if all stored offsets of a group are at the end; else `ret_why` says which is not. */
static bool sim_has_stored_all(const struct sim *sim, const char *group,
                               char ret_why[SIM_WHY_BYTES])
{
    for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
        int64_t stored = bus_memory_committed(sim->cluster, group, TOPIC_GITHUB_EVENTS, p);
        int64_t end = bus_memory_end(sim->cluster, TOPIC_GITHUB_EVENTS, p);
        (void)snprintf(ret_why, SIM_WHY_BYTES, "%s: partition %d is stored to %lld of %lld", group,
                       (int)p, (long long)stored, (long long)end);
        if (stored != end)
            return false;
    }
    return true;
}

/* True if all stored offsets are at the end and no key is pending; else `ret_why` says what is open. */
static bool sim_is_at_rest(struct sim *sim, char ret_why[SIM_WHY_BYTES])
{
    if (!sim_has_stored_all(sim, "nodag-labeler", ret_why) ||
        (sim->plan->by_record && !sim_has_stored_all(sim, "nodag-historian", ret_why)))
        return false;
    for (size_t i = 1; i <= world_issue_count(sim->world); i++) {
        char key[SUBJECT_KEY_BYTES];
        char pending_key[SUBJECT_KEY_BYTES];
        subject_key_issue(WORLD_REPOSITORY_ID, (int64_t)i, key);
        if (subject_key_pending("labeler", key, pending_key) != 0)
            continue;
        const struct bus_record *record =
            bus_memory_latest(sim->cluster, TOPIC_PENDING, pending_key);
        if (record == NULL || record->value == NULL)
            continue;
        (void)snprintf(ret_why, SIM_WHY_BYTES, "%s is pending: %.*s", pending_key,
                       (int)record->value_bytes, record->value);
        return false;
    }
    (void)snprintf(ret_why, SIM_WHY_BYTES, "webhooks are on their way");
    return sim->webhooks == NULL;
}

static void sim_check_refusals(struct sim *sim)
{
    size_t refused = 0;
    char key[SUBJECT_KEY_BYTES];
    for (int32_t p = 0; p < SIM_PARTITIONS; p++) {
        for (int64_t offset = 0; offset < bus_memory_end(sim->cluster, TOPIC_GITHUB_EVENTS, p);
             offset++) {
            (void)snprintf(key, sizeof(key), "github.events/%d/%lld/labeler", (int)p,
                           (long long)offset);
            refused += bus_memory_latest(sim->cluster, TOPIC_DEAD_LETTERS, key) != NULL ? 1 : 0;
        }
    }
    if (refused != sim->undecodable)
        sim_fail(sim, "%zu undecodable records, %zu of them on dead.letters", sim->undecodable,
                 refused);
}

/* What the model says of an issue's text as it is now. */
static bool sim_is_predicted(const struct world_issue *issue, const char *label)
{
    struct classifier_issue text = {
        .title = issue->title,
        .title_bytes = strlen(issue->title),
        .body = issue->body,
        .body_bytes = strlen(issue->body),
        .repository = WORLD_REPOSITORY,
    };
    size_t count = classifier_label_count(sim_judge);
    CLEANUP(mem_free) struct classifier_score *scores = mem_alloc_array(count, sizeof(*scores));
    classifier_predict(sim_judge, &text, scores);
    bool predicted = false;
    for (size_t i = 0; i < count; i++)
        predicted = predicted || (strcmp(scores[i].label, label) == 0 && scores[i].predicted);
    return predicted;
}

static bool sim_is_held_back(const char *key)
{
    struct document_set *documents = documents_of(sim_document, strlen(sim_document));
    assert(documents != NULL);
    bool held_back = document_holds_back(document_at(documents, 0), key);
    document_set_free(documents);
    return held_back;
}

/* One label of one open issue at the end: is it there exactly if it should be? */
static void sim_check_label(struct sim *sim, const struct world_issue *issue, const char *label,
                            bool held_back)
{
    const struct world_entry *person = world_last_person(issue, label);
    bool has = world_has_label(issue, label);
    if (person != NULL) {
        if (has != (person->kind == WORLD_LABELED))
            sim_fail(sim, "issue %lld: a person's decision about %s does not stand",
                     (long long)issue->number, label);
        return;
    }
    bool writable = strncmp(label, "area/", 5) == 0 || strncmp(label, "kind/", 5) == 0;
    bool wanted = writable && !held_back && sim_is_predicted(issue, label);
    if (has != wanted)
        sim_fail(sim, "issue %lld: label %s is %s at the end, and should be %s",
                 (long long)issue->number, label, has ? "there" : "not there",
                 wanted ? "there" : "not there");
}

static void sim_check_issue(struct sim *sim, const struct world_issue *issue)
{
    char key[SUBJECT_KEY_BYTES];
    subject_key_issue(WORLD_REPOSITORY_ID, issue->number, key);
    bool held_back = sim_is_held_back(key);
    if (issue->is_open && world_marked_comments(issue) > 1) /* a closed one is left alone */
        sim_fail(sim, "issue %lld has %zu comments of nodag's", (long long)issue->number,
                 world_marked_comments(issue));
    if (held_back && world_marked_comments(issue) > 0)
        sim_fail(sim, "issue %lld is held back and has a comment", (long long)issue->number);
    for (size_t i = 0; issue->is_open && i < ARRAY_COUNT(sim_labels); i++)
        sim_check_label(sim, issue, sim_labels[i], held_back);
    if (issue->is_open && bus_memory_latest(sim->cluster, TOPIC_PREDICTIONS, key) == NULL)
        sim_fail(sim, "issue %lld has no record on predictions", (long long)issue->number);
}

static void sim_write_fingerprint(struct sim *sim)
{
    struct buffer text = BUFFER_INIT(SIM_TEXT_BYTES - 1);
    for (size_t n = 1; n <= world_issue_count(sim->world); n++) {
        const struct world_issue *issue = world_issue_at(sim->world, (int64_t)n);
        (void)!buffer_append_format(&text, "issue %zu:", n);
        if (sim->plan->by_record && !issue->is_open) {
            /* Whether it was closed when nodag wrote was not on the topic yet, or it was. */
            (void)!buffer_append_text(&text, " closed\n");
            continue;
        }
        for (size_t i = 0; i < ARRAY_COUNT(sim_labels); i++)
            if (world_has_label(issue, sim_labels[i]))
                (void)!buffer_append_format(&text, " [%s]", sim_labels[i]);
        (void)!buffer_append_format(&text, " comments %zu\n", world_marked_comments(issue));
    }
    (void)snprintf(sim->result->fingerprint, sizeof(sim->result->fingerprint), "%s",
                   text.data != NULL ? text.data : "");
    buffer_release(&text);
}

static void sim_check(struct sim *sim)
{
    if (world_violation(sim->world) != NULL)
        sim_fail(sim, "%s", world_violation(sim->world));
    sim_check_refusals(sim);
    CLEANUP(mem_free) char *overridden = sim_records_check(sim);
    if (overridden != NULL)
        sim_fail(sim, "%s", overridden);
    for (size_t n = 1; n <= world_issue_count(sim->world); n++)
        sim_check_issue(sim, world_issue_at(sim->world, (int64_t)n));
    sim_write_fingerprint(sim);
}

/* --- the run --- */

static void sim_set_faults(struct sim *sim, bool failing)
{
    struct bus_memory_faults bus = {.delay_max_ms = 20};
    struct world_faults world = {.delay_max_ms = 100};
    if (failing) {
        bus = (struct bus_memory_faults){.publish_refused = 30,
                                         .publish_failed = 30,
                                         .publish_unsure = 30,
                                         .rebalance = 10,
                                         .delay_max_ms = 500};
        world = (struct world_faults){.lost_before = 40,
                                      .lost_after = 40,
                                      .bad_gateway = 30,
                                      .limited = 10,
                                      .delay_max_ms = 2000};
    }
    bus_memory_set_faults(sim->cluster, &bus);
    world_set_faults(sim->world, &world);
}

static void sim_wait_for_rest(struct sim *sim)
{
    int64_t deadline_ms = loop_now_ms(sim->loop) + SIM_REST_MAX_MS;
    char why[SIM_WHY_BYTES];
    while (!sim_is_at_rest(sim, why) && loop_now_ms(sim->loop) < deadline_ms)
        loop_advance(sim->loop, 1000);
    if (!sim_is_at_rest(sim, why))
        sim_fail(sim, "not at rest after %lld ms: %s", (long long)SIM_REST_MAX_MS, why);
}

static void sim_rest(struct sim *sim)
{
    sim->resting = true;
    sim_tell(sim, "faults are over");
    sim_set_faults(sim, false);
    sim_documents_rest(sim);
    for (size_t i = 0; i < SIM_PROCESSES_MAX; i++)
        if (!sim->processes[i].alive)
            sim_start(sim, &sim->processes[i]);
    if (sim->plan->by_record && !sim->historian.alive)
        sim_records_start(sim);
    sim_wait_for_rest(sim);
    /* What was sent by labelers that are gone has landed by now. One look at each issue must mend what it did. */
    loop_advance(sim->loop, SIM_LATE_MS);
    sim_people_touch_all(sim);
    sim_wait_for_rest(sim);
}

static void sim_release(struct sim *sim)
{
    for (size_t i = 0; i < SIM_PROCESSES_MAX; i++)
        if (sim->processes[i].alive)
            sim_crash(sim, &sim->processes[i]);
    if (sim->historian.alive)
        sim_records_crash(sim);
    mem_free(sim->told);
    sim_people_release(sim);
    sim_documents_release(sim);
    loop_timer_free(sim->people_timer);
    loop_timer_free(sim->crash_timer);
    loop_timer_free(sim->records_timer);
    bus_memory_free(sim->cluster);
    world_free(sim->world);
    loop_free(sim->loop);
}

/* People act before anything is delivered, in the seconds before: records of issues are ordered by time. */
static void sim_act_quietly(struct sim *sim)
{
    for (int i = SIM_QUIET_ACTS; i > 0; i--) {
        world_set_ago(sim->world, sim->plan->by_record ? i * SIM_QUIET_STEP_MS : 0);
        sim_people_act(sim);
    }
    world_set_ago(sim->world, 0);
}

void sim_run(const struct sim_plan *plan, struct sim_result *ret_result)
{
    *ret_result = (struct sim_result){0};
    int64_t wall_ms = 0;
    int code = time_from_text("2026-11-22", 10, &wall_ms);
    assert(code == 0);
    struct sim sim = {.plan = plan, .result = ret_result};
    generator_seed(&sim.people, plan->people_seed);
    sim.loop = loop_new_simulated(plan->order_seed, wall_ms);
    sim.cluster = bus_memory_new(sim.loop, SIM_PARTITIONS);
    sim.world = world_new(sim.loop, sim_labels, ARRAY_COUNT(sim_labels));
    sim.people_timer = loop_timer_new(sim.loop, sim_people_timer, &sim);
    sim.crash_timer = loop_timer_new(sim.loop, sim_crash_or_start, &sim);
    if (plan->by_record)
        world_on_write(sim.world, sim_people_tell_write, &sim);
    sim_set_faults(&sim, true);
    sim_documents_begin(&sim);
    if (plan->concurrent)
        loop_timer_set(sim.people_timer, 0);
    else
        sim_act_quietly(&sim);
    sim_start(&sim, &sim.processes[0]);
    if (plan->by_record)
        sim_records_begin(&sim);
    loop_timer_set(sim.crash_timer, 5000);
    loop_advance(sim.loop, SIM_ACTIVE_MS);
    sim_rest(&sim);
    sim_check(&sim);
    if (plan->history != NULL)
        fprintf(plan->history, "at the end:\n%s", ret_result->fingerprint);
    ret_result->requests = world_request_count(sim.world);
    sim_release(&sim);
}
