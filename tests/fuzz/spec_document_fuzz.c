/*
 * Fuzz target: any bytes as a file of desired state. What is accepted keeps every promise of
 * spec_document.h and spec_record.h: it is accepted again as a record, equal, and a second reading is
 * the same; what is refused says so in printable text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "topics/envelope.h"
#include "topics/spec_document.h"
#include "topics/spec_set.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_errors(const struct spec_errors *errors)
{
    require(errors->count <= SPEC_ERRORS_MAX);
    require(errors->left_out == 0 || errors->count == SPEC_ERRORS_MAX);
    for (size_t i = 0; i < errors->count; i++) {
        const char *text = errors->items[i].text;
        require(text[0] != '\0' && errors->items[i].line >= 0 && errors->items[i].column >= 0);
        for (size_t left = strlen(text), step = 0; left > 0; left -= step, text += step) {
            step = text_printable_bytes(text, left);
            require(step > 0);
        }
    }
}

static void check_document(const struct spec_document *document)
{
    enum spec_kind kind = SPEC_KIND_COUNT;
    const char *name = NULL;
    require((document->value == NULL) == (document->errors.count > 0));
    require(spec_key_parse(document->key, &kind, &name) == 0 && kind == document->kind);
    check_errors(&document->errors);
    if (document->value == NULL)
        return;
    struct spec_record *record = spec_record_new();
    struct spec_record *again = NULL;
    const struct spec_place place = {.repository = (char *)(uintptr_t) "r",
                                     .path = (char *)(uintptr_t) "p"};
    size_t value_bytes = 0;
    record->first_published_ms = 1;
    record->valid = json_incref(document->value);
    spec_place_set(&record->valid_place, &place);
    char *value = spec_record_encode(record, &value_bytes);
    require(spec_record_decode(document->key, value, value_bytes, &again, NULL) == 0);
    require(json_equal(again->valid, document->value) != 0);
    mem_free(value);
    spec_record_free(record);
    spec_record_free(again);
}

/* The same bytes as the only file of a source: a plan that was carried out is followed by none. */
static void check_plan(const char *text, size_t text_bytes)
{
    const struct spec_file file = {.path = "p.yaml", .text = text, .text_bytes = text_bytes};
    const struct spec_source source = {
        .repository = "r", .is_known = true, .files = &file, .file_count = 1};
    struct spec_store *store = spec_store_new();
    struct spec_plan *plan = spec_plan_make(&source, 1, store, 1);
    for (size_t i = 0; i < plan->change_count; i++) {
        require(plan->changes[i].record != NULL);
        spec_message_free(spec_message_make(plan->changes[i].key, plan->changes[i].record, 1));
        spec_store_put(store, plan->changes[i].key, TAKE(plan->changes[i].record));
    }
    struct spec_plan *again = spec_plan_make(&source, 1, store, 2);
    require(again->change_count == 0);
    spec_plan_free(plan);
    spec_plan_free(again);
    spec_store_free(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    const char *text = (const char *)bytes;
    struct spec_file_documents *file = spec_documents_read(text, byte_count, SPEC_FROM_GIT);
    struct spec_file_documents *strict = spec_documents_read(text, byte_count, SPEC_FROM_FOLDER);
    require(file->count <= SPEC_FILE_DOCUMENTS_MAX && file->count == strict->count);
    check_errors(&file->faults);
    for (size_t i = 0; i < file->count; i++) {
        check_document(&file->documents[i]);
        require(strict->documents[i].value == NULL || file->documents[i].value != NULL);
    }
    check_plan(text, byte_count);
    spec_documents_free(file);
    spec_documents_free(strict);
    return 0;
}
