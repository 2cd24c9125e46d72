/*
 * What a Model document wants: see wish.h.
 */
#include "reactors/trainer/wish.h"

#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"

static int64_t positive(int64_t value)
{
    return value > 0 ? value : 0;
}

static void read_document(struct wish *wish, const json_t *document)
{
    wish->repositories = spec_get(document, "spec.data.repositories");
    wish->labels = spec_get(document, "spec.labels.include");
    wish->min_examples =
        positive(spec_get_integer(SPEC_MODEL, document, "spec.labels.minExamples"));
    wish->on_push = spec_get(document, "spec.fresh.onPush");
    wish->needs_sync_url = spec_get_text(SPEC_MODEL, document, "spec.fresh.needsSyncUrl");
    wish->notebook = spec_get_text(SPEC_MODEL, document, "spec.train.notebook");
    wish->parameters = spec_get(document, "spec.train.parameters");
    wish->executor = spec_get_text(SPEC_MODEL, document, "spec.train.executor");
    wish->network = spec_get_bool(SPEC_MODEL, document, "spec.train.network");
    wish->deadline_ms = spec_get_duration_ms(SPEC_MODEL, document, "spec.train.deadline");
    wish->keep_successful =
        (size_t)positive(spec_get_integer(SPEC_MODEL, document, "spec.history.successful"));
    wish->keep_failed =
        (size_t)positive(spec_get_integer(SPEC_MODEL, document, "spec.history.failed"));
    wish->plan.suspend = spec_get_bool(SPEC_MODEL, document, "spec.suspend");
    wish->plan.max_age_ms =
        positive(spec_get_duration_ms(SPEC_MODEL, document, "spec.fresh.maxAge"));
    wish->plan.new_labels =
        (uint64_t)positive(spec_get_integer(SPEC_MODEL, document, "spec.fresh.newLabels"));
    wish->plan.on_push = json_array_size(wish->on_push) > 0;
    wish->plan.needs_sync = wish->needs_sync_url != NULL;
}

struct wish *wish_new(const char *name, const struct spec_record *record)
{
    struct wish *wish = MEM_NEW(struct wish);
    wish->name = mem_copy_text(name);
    wish->plan.name = wish->name;
    wish->plan.spec_sha = wish->sha;
    if (record == NULL || record->valid == NULL)
        return wish;
    uint8_t digest[DIGEST_BYTES];
    size_t bytes = 0;
    CLEANUP(mem_free) char *text = json_write(record->valid, &bytes);
    digest_sha256(text, bytes, digest);
    digest_to_text(digest, wish->sha);
    wish->document = json_incref(record->valid);
    wish->plan.present = true;
    spec_place_set(&wish->place, &record->valid_place);
    read_document(wish, wish->document);
    return wish;
}

void wish_free(struct wish *wish)
{
    static const struct spec_place nothing = {0};
    if (wish == NULL)
        return;
    spec_place_set(&wish->place, &nothing);
    json_decref(wish->document);
    mem_free(wish->name);
    mem_free(wish);
}

bool wish_matches(const json_t *globs, const char *text)
{
    for (size_t i = 0; i < json_array_size(globs); i++) {
        const char *glob = json_string_value(json_array_get(globs, i));
        if (glob != NULL && spec_glob_matches(glob, text))
            return true;
    }
    return false;
}
