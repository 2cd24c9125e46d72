/*
 * Fuzz target: the values of `runs` and `models`, and the answers of needsSyncUrl.
 *
 * Invariant under test: what is read can be written, and reads back to the same bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/json_text.h"
#include "base/memory.h"
#include "reactors/trainer/needs_sync.h"
#include "topics/model_record.h"
#include "topics/run_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The key that a value would have; owned. */
static char *key_of(const char *text, size_t bytes, bool is_model)
{
    CLEANUP(json_release) json_t *json = NULL;
    if (json_read(text, bytes, &json, NULL) != 0)
        return mem_copy_text("");
    if (!is_model)
        return mem_copy_text(json_text_or(json, "run", ""));
    return mem_format("%s/%s", json_text_or(json, "model", ""), json_text_or(json, "version", ""));
}

static void try_run(const char *text, size_t bytes)
{
    CLEANUP(mem_free) char *key = key_of(text, bytes, false);
    CLEANUP(run_record_free) struct run_record *run = NULL;
    CLEANUP(run_record_free) struct run_record *again = NULL;
    if (run_record_decode(key, strlen(key), text, bytes, &run, NULL) != 0)
        return;
    CLEANUP(mem_free) char *written = run_record_encode(run, NULL);
    int code = run_record_decode(key, strlen(key), written, strlen(written), &again, NULL);
    assert(code == 0);
    (void)code;
    CLEANUP(mem_free) char *rewritten = run_record_encode(again, NULL);
    assert(strcmp(written, rewritten) == 0);
}

static void try_model(const char *text, size_t bytes)
{
    CLEANUP(mem_free) char *key = key_of(text, bytes, true);
    CLEANUP(model_record_free) struct model_record *model = NULL;
    CLEANUP(model_record_free) struct model_record *again = NULL;
    if (model_record_decode(key, strlen(key), text, bytes, &model, NULL) != 0)
        return;
    CLEANUP(mem_free) char *written = model_record_encode(model, NULL);
    int code = model_record_decode(key, strlen(key), written, strlen(written), &again, NULL);
    assert(code == 0);
    (void)code;
    CLEANUP(mem_free) char *rewritten = model_record_encode(again, NULL);
    assert(strcmp(written, rewritten) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(needs_sync_release) struct needs_sync answer = {.parameters = NULL};
    try_run((const char *)data, size);
    try_model((const char *)data, size);
    if (needs_sync_read((const char *)data, size, &answer, NULL) == 0)
        assert(answer.parameters == NULL ||
               json_object_size(answer.parameters) <= NEEDS_SYNC_PARAMETERS_MAX);
    return 0;
}
