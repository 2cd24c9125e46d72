/*
 * The historian in the simulation, and what its records may not make the labeler do.
 *
 * Design: the real historian, killed and started like the labelers, late like everything on the bus. Its records
 * are one more way in which a labeler sees an issue. What it knows after such a look is what stood on the topic for a
 * while: the world judges its writes by that, as it does by its reads. And at the end every decision, by whatever way it
 * came, must respect what a webhook told before the event that the decision was about.
 */
#include <assert.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "tests/sim/sim_private.h"
#include "topics/subject.h"

/* After this a record of the topic has reached a labeler, in milliseconds: twice the longest delay of the bus. */
#define RECORDS_READ_MS 1000

/* Least and most time between two of the historian's starts and ends, in milliseconds: it is often behind. */
#define RECORDS_LEAST_MS 1000
#define RECORDS_SPREAD_MS 9000

/* As the labelers' (sim.c), as far as it concerns a historian. */
static const struct kernel_settings records_kernel = {
    .concurrency = 3,
    .keys_max = 20,
    .backoff_least_ms = 500,
    .backoff_most_ms = 20000,
    .sweep_interval_ms = 86400000,
    .revoke_timeout_ms = 5000,
};

void sim_records_start(struct sim *sim)
{
    struct sim_historian *process = &sim->historian;
    struct error error = {0};
    process->bus = bus_memory_open(sim->cluster);
    process->ground = (struct historian_ground){
        .loop = sim->loop, .bus = process->bus, .kernel = &records_kernel, .own_login = WORLD_BOT};
    int code = historian_new(&process->ground, &process->historian, &error);
    assert(code == 0);
    (void)code;
    process->alive = true;
    sim_tell(sim, "the historian starts");
}

void sim_records_crash(struct sim *sim)
{
    historian_free(sim->historian.historian);
    bus_memory_close(sim->historian.bus);
    sim->historian = (struct sim_historian){0};
    sim->result->crashes++;
    sim_tell(sim, "the historian is killed");
}

static void records_on_timer(void *argument)
{
    struct sim *sim = argument;
    if (sim->resting)
        return;
    if (sim->historian.alive)
        sim_records_crash(sim);
    else
        sim_records_start(sim);
    loop_timer_set(sim->records_timer,
                   RECORDS_LEAST_MS + (int64_t)loop_random_below(sim->loop, RECORDS_SPREAD_MS));
}

void sim_records_begin(struct sim *sim)
{
    sim->records_timer = loop_timer_new(sim->loop, records_on_timer, sim);
    sim_records_start(sim);
    loop_timer_set(sim->records_timer, RECORDS_SPREAD_MS);
}

/* True if it stood on the topic for so long that a labeler has read it. */
static bool records_was_told(const struct sim *sim, int64_t sequence)
{
    for (size_t i = 0; i < sim->told_count; i++)
        if (sim->told[i].sequence == sequence)
            return sim->told[i].arrived_ms + RECORDS_READ_MS <= loop_now_ms(sim->loop);
    return false;
}

void sim_records_looked(void *argument, const char *key)
{
    struct sim_process *process = argument;
    struct sim *sim = process->sim;
    int64_t repository_id = 0;
    int64_t number = 0;
    int64_t known = 0;
    int code = subject_key_parse_issue(key, strlen(key), &repository_id, &number);
    assert(code == 0);
    (void)code;
    const struct world_issue *issue = world_issue_at(sim->world, number);
    for (size_t i = 0; i < issue->entry_count; i++) {
        const struct world_entry *entry = &issue->entries[i];
        if (entry->kind > WORLD_UNLABELED || strcmp(entry->actor, WORLD_BOT) == 0)
            continue;
        if (!records_was_told(sim, entry->sequence))
            break; /* what came after it may have been told before: it does not count */
        known = entry->sequence;
    }
    sim_tell(sim, "issue %lld is looked at by its record", (long long)number);
    world_note_look(process->http, number, known);
}

void sim_records_note(struct sim *sim, const struct sim_told *told)
{
    for (size_t i = 0; i < sim->told_count; i++)
        if (sim->told[i].sequence == told->sequence)
            return; /* a repetition */
    sim->told = mem_resize_array(sim->told, sim->told_count + 1, sizeof(sim->told[0]));
    sim->told[sim->told_count++] = *told;
}

/* True if the last that was told of a label up to `offset` is that a person removed it, and no person has put
 * it back since. */
static bool records_is_removed(const struct sim *sim, int64_t number, const char *label,
                               int64_t offset)
{
    const struct sim_told *last = NULL;
    for (size_t i = 0; i < sim->told_count; i++) {
        const struct sim_told *told = &sim->told[i];
        if (told->number == number && told->offset <= offset && strcmp(told->label, label) == 0 &&
            (last == NULL || told->sequence > last->sequence))
            last = told;
    }
    const struct world_entry *newest = world_last_person(world_issue_at(sim->world, number), label);
    return last != NULL && !last->added && newest->kind == WORLD_UNLABELED &&
           newest->sequence == last->sequence;
}

static char *records_check_decision(const struct sim *sim, const struct bus_record *record)
{
    CLEANUP(json_release) json_t *decision = NULL;
    int code = json_read(record->value, record->value_bytes, &decision, NULL);
    assert(code == 0);
    (void)code;
    int64_t number = json_int_or(decision, "number", 0);
    int64_t offset = json_int_or(json_object_get(decision, "event"), "offset", -1);
    size_t index = 0;
    const json_t *label = NULL;
    json_array_foreach(json_object_get(decision, "added"), index, label)
    {
        const char *name = json_string_value(label);
        if (records_is_removed(sim, number, name, offset))
            return mem_format(
                "issue %lld: %s was added for the event at %lld, before which it stood "
                "that somebody removed it",
                (long long)number, name, (long long)offset);
    }
    return NULL;
}

char *sim_records_check(const struct sim *sim)
{
    char *failure = NULL;
    for (int32_t p = 0; p < SIM_PARTITIONS && failure == NULL; p++) {
        int64_t end = bus_memory_end(sim->cluster, TOPIC_PREDICTIONS, p);
        for (int64_t offset = 0; offset < end && failure == NULL; offset++) {
            const struct bus_record *record =
                bus_memory_record(sim->cluster, TOPIC_PREDICTIONS, p, offset);
            if (record->value != NULL)
                failure = records_check_decision(sim, record);
        }
    }
    return failure;
}
