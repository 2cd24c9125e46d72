/*
 * The documents that were last published: see specs.h.
 */
#include "ingest/git/specs.h"

#include <stdlib.h>

#include "base/memory.h"

/* What the fold passed through `void *` starts with. */
#define SPECS_MAGIC 0x59ec5u

struct specs {
    unsigned magic;
    struct bus *bus; /* borrowed */
    struct specs_handler handler;
    void *argument;
    struct loop_timer *timer;   /* owned: asks for the number of partitions */
    struct bus_reader *reader;  /* owned; NULL: not reading yet */
    struct spec_store *records; /* owned */
    int64_t end;                /* behind the last record */
    bool has_begun;
    bool is_loaded;
};

static void on_record(void *argument, const struct bus_record *record)
{
    struct specs *specs = CAST_CHECKED(struct specs, argument, SPECS_MAGIC);
    char key[SUBJECT_KEY_BYTES];
    bool has_changed = spec_store_apply(specs->records, record, key);
    specs->end = record->offset + 1;
    if (specs->is_loaded)
        specs->handler.advanced(specs->argument, has_changed ? key : NULL);
}

static void on_caught_up(void *argument, int32_t partition)
{
    (void)partition;
    struct specs *specs = CAST_CHECKED(struct specs, argument, SPECS_MAGIC);
    specs->is_loaded = true;
    specs->handler.loaded(specs->argument);
}

static int begin_reading(struct specs *specs, struct error *error)
{
    static const struct bus_reader_handler handler = {.record = on_record,
                                                      .caught_up = on_caught_up};
    const char *name = topic_name(TOPIC_SPECS);
    int32_t count = 0;
    int code = bus_partition_count(specs->bus, TOPIC_SPECS, &count);
    if (code == ERR_NOT_FOUND)
        return error_set(error, code, "the topic %s is not there; `nodag topics create` makes it",
                         name);
    if (code != 0)
        return error_set(error, code, "the topic %s is not known yet", name);
    if (count != topic_row(TOPIC_SPECS)->partitions)
        return error_set(error, ERR_CONFLICT,
                         "the topic %s has %d partitions instead of %d; see `nodag topics check`",
                         name, (int)count, topic_row(TOPIC_SPECS)->partitions);
    code = bus_read(specs->bus, TOPIC_SPECS, &handler, specs, &specs->reader, error);
    if (code == 0)
        bus_reader_add(specs->reader, 0);
    return code;
}

static void on_timer(void *argument)
{
    struct specs *specs = CAST_CHECKED(struct specs, argument, SPECS_MAGIC);
    struct error error = {.text = ""};
    if (begin_reading(specs, &error) == 0) {
        specs->handler.trouble(specs->argument, "reading the documents that were published");
        return;
    }
    specs->handler.trouble(specs->argument, error.text);
    loop_timer_set(specs->timer, SPECS_RETRY_MS);
}

struct specs *specs_new(struct loop *loop, struct bus *bus, const struct specs_handler *handler,
                        void *argument)
{
    struct specs *specs = MEM_NEW(struct specs);
    specs->magic = SPECS_MAGIC;
    specs->bus = bus;
    specs->handler = *handler;
    specs->argument = argument;
    specs->timer = loop_timer_new(loop, on_timer, specs);
    specs->records = spec_store_new();
    return specs;
}

void specs_begin(struct specs *specs)
{
    if (specs->has_begun)
        return;
    specs->has_begun = true;
    loop_timer_set(specs->timer, 0);
}

void specs_leave(struct specs *specs)
{
    loop_timer_clear(specs->timer);
    bus_reader_free(TAKE(specs->reader));
}

void specs_free(struct specs *specs)
{
    if (specs == NULL)
        return;
    specs_leave(specs);
    loop_timer_free(specs->timer);
    spec_store_free(specs->records);
    specs->magic = 0;
    free(specs);
}

bool specs_loaded(const struct specs *specs)
{
    return specs->is_loaded;
}

int64_t specs_end(const struct specs *specs)
{
    return specs->end;
}

const struct spec_store *specs_records(const struct specs *specs)
{
    return specs->records;
}

void specs_visit_named(const struct specs *specs, spec_named_fn visit, void *argument)
{
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(specs->records);
    for (size_t i = 0; i < spec_store_count(specs->records); i++) {
        const json_t *document = entries[i].record->valid;
        enum spec_kind kind = SPEC_KIND_COUNT;
        const char *name = NULL;
        if (document == NULL || spec_key_parse(entries[i].key, &kind, &name) != 0 ||
            kind != SPEC_DEPLOYMENT)
            continue;
        visit(argument, entries[i].key,
              spec_get_text(SPEC_DEPLOYMENT, document, "spec.target.repository"),
              spec_get_text(SPEC_DEPLOYMENT, document, "spec.target.base"));
    }
}

void specs_count(const struct specs *specs, size_t *ret_valid, size_t *ret_invalid)
{
    CLEANUP(mem_free) struct spec_entry *entries = spec_store_list(specs->records);
    *ret_valid = 0;
    *ret_invalid = 0;
    for (size_t i = 0; i < spec_store_count(specs->records); i++) {
        *ret_valid += entries[i].record->valid != NULL ? 1 : 0;
        *ret_invalid += entries[i].record->reason != NULL ? 1 : 0;
    }
}
