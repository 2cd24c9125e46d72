/*
 * Fuzz target: the value of a record of git.pushes, and its key.
 *
 * Invariant under test: what is read can be written, and reads back to the same bytes.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "topics/git_push.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text repository;
    struct text ref;
    if (git_push_key_parse((const char *)data, size, &repository, &ref) == 0)
        assert(repository.bytes + ref.bytes + 1 == size);
    CLEANUP(git_push_release) struct git_push push = {.memory = NULL};
    CLEANUP(git_push_release) struct git_push again = {.memory = NULL};
    if (git_push_read((const char *)data, size, &push, NULL) != 0)
        return 0;
    size_t bytes = 0;
    size_t again_bytes = 0;
    CLEANUP(mem_free) char *text = git_push_write(&push, &bytes);
    int code = git_push_read(text, bytes, &again, NULL);
    assert(code == 0);
    (void)code;
    CLEANUP(mem_free) char *again_text = git_push_write(&again, &again_bytes);
    assert(bytes == again_bytes && memcmp(text, again_text, bytes) == 0);
    return 0;
}
