/*
 * Fuzz target: the executed notebook of a run, which strangers wrote and the supervisor searches for its failure, and run.json.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "base/utf8.h"
#include "reactors/trainer/run_outputs.h"
#include "reactors/trainer/run_spec.h"

/* What libFuzzer calls with each input. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Aborts where a promise does not hold, with assertions or without. */
static void require(int holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    char text[512];
    struct error error = {0};
    struct utf8 utf8 = {0};
    struct run_spec spec;
    CLEANUP(json_release) json_t *json = NULL;
    memset(text, 'x', sizeof(text));
    if (run_notebook_failure((const char *)bytes, byte_count, text, sizeof(text))) {
        size_t length = strnlen(text, sizeof(text));
        require(length > 0 && length < sizeof(text));
        require(utf8_feed(&utf8, (const uint8_t *)text, length) == length);
        for (size_t i = 0; i < length; i++)
            require((unsigned char)text[i] >= ' ');
    }
    if (json_read((const char *)bytes, byte_count, &json, &error) != 0)
        return 0;
    if (run_spec_read(json, &spec, &error) != 0) {
        require(error.code != 0 && error.text[0] != '\0');
        return 0;
    }
    require(run_path_is_inside(spec.notebook) && spec.deadline_ms > 0);
    run_spec_release(&spec);
    return 0;
}
