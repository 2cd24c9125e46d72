/*
 * Fuzz target: any bytes as a record of `predictions`. What jansson reads as an object and what the
 * streaming reader takes must agree: the same members, or none.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "reactors/labeler/prediction_read.h"

/* The entry point that libFuzzer and replay.c call. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count);

/* Ends the run where a promise does not hold; unlike assert, also in release builds. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    struct prediction_brief brief = {.comment_id = 42};
    CLEANUP(json_release) json_t *tree = NULL;
    int code = prediction_read((const char *)bytes, byte_count, &brief);
    require(code == 0 || (code == ERR_INPUT && brief.comment_id == 42));
    require(code != 0 || memchr(brief.repository, '\0', sizeof(brief.repository)) != NULL);
    if (byte_count == 0 || memchr(bytes, '\0', byte_count) != NULL)
        return 0; /* jansson overlooks a NUL byte behind a number; yajl does not */
    if (json_read((const char *)bytes, byte_count, &tree, NULL) != 0)
        return 0; /* jansson refuses more: repeated members, numbers beyond 64 bits */
    require((code == 0) == json_is_object(tree));
    if (code != 0)
        return 0;
    const char *model = json_text_or(tree, "model", "");
    const char *repository = json_text_or(tree, "repository", "");
    require(brief.comment_id == json_int_or(tree, "comment_id", 0));
    require(brief.model_hash == prediction_hash_model(model, strlen(model)));
    require(strcmp(brief.repository,
                   strlen(repository) < sizeof(brief.repository) ? repository : "") == 0);
    return 0;
}
